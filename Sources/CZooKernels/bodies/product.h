// Matrix products, row-major, by tiles of registers over packed operands.
//
// op(B) is packed into panels of PANEL columns, op(A) into strips of STRIP rows; a tile of C = strip x panel stays in
// registers while the depth goes by: per step two vectors of B are loaded and STRIP numbers of A repeated. The depth is
// cut into runs whose strips stay in the first cache, the columns into blocks whose panels stay in the second.

#if ZOO_WIDTH == 16
#define STRIP 12
#else
#define STRIP 6
#endif
#define PANEL (2 * ZOO_WIDTH)
/// Steps of the depth that are taken at once.
#define PRODUCT_DEPTH 384
/// Rows and columns of the blocks that are packed at a time.
#define PRODUCT_ROWS 96
#define PRODUCT_COLUMNS 384

typedef reg reg_loose __attribute__((aligned(4)));
INLINE reg load_reg_loose(const float *p) { return *(const reg_loose *)p; }
INLINE void store_reg_loose(float *p, reg v) { *(reg_loose *)p = v; }

INLINE size_t rounded_up(size_t n, size_t step) { return (n + step - 1) / step * step; }


/// A strip as the tile reads it: row r at depth k is at a[r * row + k * step], packed or where it lies in the matrix.
typedef struct product_strip {
    const float *a;
    size_t row, step;
} product_strip;

/// acc += strip x panel.
INLINE void product_tile(size_t depth, product_strip s, const float *b, reg acc[STRIP][2]) {
    // A pointer for every three rows: the others are reached by the processor's own scaling.
    const float *a[STRIP / 3];
#pragma clang loop unroll(full)
    for (int i = 0; i < STRIP / 3; i++) a[i] = s.a + 3 * i * s.row;
#pragma clang loop unroll(disable)
    for (size_t k = 0; k < depth; k++, b += PANEL) {
        const reg left = load_reg_loose(b), right = load_reg_loose(b + ZOO_WIDTH);
#pragma clang loop unroll(full)
        for (int r = 0; r < STRIP; r++) {
            const reg number = splat_reg(a[r / 3][r % 3 * s.row]);
            acc[r][0] += number * left;
            acc[r][1] += number * right;
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < STRIP / 3; i++) a[i] += s.step;
    }
}

/// One tile of C = scale * strip x panel + bias + initial, the latter two where they are not NULL.
static __attribute__((noinline)) void product_whole(size_t depth, product_strip s, const float *b, float scale,
                                                    const float *bias, const float *initial, float *c,
                                                    size_t c_stride) {
    // What the tile adds to at the end is on its way while the depth goes by.
    if (initial != NULL)
        for (int r = 0; r < STRIP; r++) {
            __builtin_prefetch(initial + r * c_stride);
            __builtin_prefetch(initial + r * c_stride + PANEL - 1);
        }
    reg acc[STRIP][2];
    const reg zero = splat_reg(0), factor = splat_reg(scale);
#pragma clang loop unroll(full)
    for (int r = 0; r < STRIP; r++) acc[r][0] = zero, acc[r][1] = zero;
    product_tile(depth, s, b, acc);
    const reg left = bias != NULL ? load_reg_loose(bias) : zero, right = bias != NULL ? load_reg_loose(bias + ZOO_WIDTH) : zero;
#pragma clang loop unroll(full)
    for (int r = 0; r < STRIP; r++) {
        acc[r][0] = acc[r][0] * factor + left;
        acc[r][1] = acc[r][1] * factor + right;
    }
    if (initial != NULL) {
#pragma clang loop unroll(full)
        for (int r = 0; r < STRIP; r++) {
            acc[r][0] += load_reg_loose(initial + r * c_stride);
            acc[r][1] += load_reg_loose(initial + r * c_stride + ZOO_WIDTH);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < STRIP; r++) {
        store_reg_loose(c + r * c_stride, acc[r][0]);
        store_reg_loose(c + r * c_stride + ZOO_WIDTH, acc[r][1]);
    }
}

/// A tile that reaches past the last row or column of C.
static __attribute__((noinline)) void product_part(size_t rows, size_t columns, size_t depth, product_strip s,
                                                   const float *b, float scale, const float *bias,
                                                   const float *initial, float *c, size_t c_stride) {
    float tile[STRIP * PANEL];
    product_whole(depth, s, b, scale, NULL, NULL, tile, PANEL);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++) {
            float value = tile[r * PANEL + j] + (bias != NULL ? bias[j] : 0);
            c[r * c_stride + j] = initial != NULL ? value + initial[r * c_stride + j] : value;
        }
}

/// How many rows ahead memory is asked for: rows of matrices lie on pages of their own, where the processor does not
/// foresee what is read next.
#define PACK_AHEAD 8

/// Columns `begin` to `end` of x, depth 0 to `depth`, as blocks [depth][width] that lie `apart` floats from each other;
/// missing columns are zero.
INLINE void pack_columns(size_t depth, size_t begin, size_t end, const size_t width, const float *x, size_t stride,
                         float *packed, size_t apart) {
    // Row by row, so that x is read as it lies.
    for (size_t k = 0; k < depth; k++, x += stride, packed += width) {
        float *to = packed;
        size_t i = begin;
        if (k + PACK_AHEAD < depth)
            for (size_t ahead = begin; ahead < end; ahead += 16) __builtin_prefetch(x + PACK_AHEAD * stride + ahead);
        for (; i + width <= end; i += width, to += apart) memcpy(to, x + i, width * sizeof(float));
        if (i == end) continue;
        for (size_t w = 0; w < width; w++) to[w] = i + w < end ? x[i + w] : 0;
    }
}

/// `count` <= `width` rows of x as [depth][width]: a transpose. Stores whole vectors, so up to 16 floats past the end
/// are overwritten. The rows that follow, `following` of them, are asked for on the way.
INLINE void pack_rows(size_t depth, size_t count, const size_t width, const float *x, size_t stride, float *packed,
                      size_t following) {
    static const float zeros[16] = {0};
    size_t k = 0;
    for (; k + 16 <= depth; k += 16) {
        for (size_t i = 0; i < following; i++) __builtin_prefetch(x + (count + i) * stride + k);
        for (size_t w = 0; w < width; w += 16) {
            const float *from[16];
            for (size_t i = 0; i < 16; i++) from[i] = w + i < count ? x + (w + i) * stride + k : zeros;
            if (width - w >= 16 || ZOO_WIDTH == 16) {
                // Narrower blocks overlap: the end of each vector is overwritten by the next one.
                transpose_block(from, packed + k * width + w, width);
                continue;
            }
            // Here a block is not written row by row.
            float block[16 * 16];
            transpose_block(from, block, 16);
            for (size_t s = 0; s < 16; s++)
                memcpy(packed + (k + s) * width + w, block + s * 16, (width - w) * sizeof(float));
        }
    }
    for (; k < depth; k++)
        for (size_t w = 0; w < width; w++) packed[k * width + w] = w < count ? x[w * stride + k] : 0;
}

static void pack_panels(const zoo_product *p, size_t depth_begin, size_t depth_end, size_t begin, size_t end,
                        const float *b, float *packed, size_t panel_size) {
    const size_t depth = depth_end - depth_begin;
    if (!p->transpose_b) {
        pack_columns(depth, begin, end, PANEL, b + depth_begin * p->b_stride, p->b_stride, packed, panel_size);
        return;
    }
    for (size_t j = begin; j < end; j += PANEL, packed += panel_size)
        pack_rows(depth, smaller(PANEL, end - j), PANEL, b + j * p->b_stride + depth_begin, p->b_stride, packed,
                  j + PANEL < end ? smaller(PANEL, end - j - PANEL) : 0);
}

static void pack_strips(const zoo_product *p, size_t depth_begin, size_t depth_end, size_t begin, size_t end,
                        const float *a, float *packed) {
    const size_t depth = depth_end - depth_begin;
    if (p->transpose_a) {
        pack_columns(depth, begin, end, STRIP, a + depth_begin * p->a_stride, p->a_stride, packed, STRIP * depth);
        return;
    }
    for (size_t i = begin; i < end; i += STRIP, packed += STRIP * depth)
        pack_rows(depth, smaller(STRIP, end - i), STRIP, a + i * p->a_stride + depth_begin, p->a_stride, packed,
                  i + STRIP < end ? smaller(STRIP, end - i - STRIP) : 0);
}

bool NAME(zoo_product_is_fast)(void) { return ZOO_WIDTH >= 8 && ZOO_HALF_HARDWARE; }

size_t NAME(zoo_product_packed_count)(const zoo_product *p) { return rounded_up(p->columns, PANEL) * p->depth + 16; }

void NAME(zoo_product_pack)(const zoo_product *p, const float *b, float *packed) {
    pack_panels(p, 0, p->depth, 0, p->columns, b, packed, (size_t)PANEL * p->depth);
}

/// Runs of the depth, as equal as possible.
INLINE size_t depth_run(size_t depth) {
    size_t runs = (depth + PRODUCT_DEPTH - 1) / PRODUCT_DEPTH;
    return runs == 0 ? 1 : (depth + runs - 1) / runs;
}

/// Floats that the strips of one block take: of all its rows where op(A) is packed, else of the last, incomplete strip.
/// Packing by rows writes up to 16 floats past its end.
INLINE size_t strips_size(const zoo_product *p, size_t run) {
    const size_t rows = p->transpose_a ? rounded_up(smaller(p->rows, PRODUCT_ROWS), STRIP) : STRIP;
    return rounded_up(rows * run, 16) + 16;
}

size_t NAME(zoo_product_workspace_size)(const zoo_product *p, bool is_packed) {
    const size_t run = depth_run(p->depth);
    const size_t panels = is_packed ? 0 : rounded_up(smaller(p->columns, PRODUCT_COLUMNS), PANEL) * run + 16;
    return (strips_size(p, run) + panels) * sizeof(float);
}

/// C = initial + bias where there is nothing to multiply.
static void product_empty(const zoo_product *p, const float *bias, const float *initial, float *c) {
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->columns; j++)
            c[i * p->c_stride + j] =
                (bias != NULL ? bias[j] : 0) + (initial != NULL ? initial[i * p->c_stride + j] : 0);
}

/// A block of rows times a block of columns for one run of the depth.
typedef struct product_block {
    const zoo_product *p;
    size_t k, steps, i, i_end, j, j_end;
    const float *panels;
    size_t panel_size;
    const float *bias, *initial;
    float *c, *strips;
} product_block;

static void product_block_run(const product_block *block, const float *a) {
    const zoo_product *p = block->p;
    const size_t steps = block->steps, j_end = block->j_end;
    if (p->transpose_a) pack_strips(p, block->k, block->k + steps, block->i, block->i_end, a, block->strips);
    for (size_t i = block->i; i < block->i_end; i += STRIP) {
        const size_t rows = smaller(STRIP, block->i_end - i);
        product_strip strip = {block->strips, 1, STRIP};
        if (p->transpose_a)
            strip.a += (i - block->i) * steps;
        else if (rows == STRIP)
            strip = (product_strip){a + i * p->a_stride + block->k, p->a_stride, 1};
        else
            pack_strips(p, block->k, block->k + steps, i, block->i_end, a, block->strips);
        // The rows of the next strip are asked for in equal parts, panel by panel.
        const size_t lines = p->transpose_a || i + 2 * STRIP > p->rows ? 0 : (steps + 15) / 16;
        const size_t panels = (j_end - block->j + PANEL - 1) / PANEL, share = (lines + panels - 1) / panels;
        size_t line = 0;
        for (size_t j = block->j; j < j_end; j += PANEL) {
            for (size_t end = smaller(lines, line + share); line < end; line++)
                for (size_t r = 0; r < STRIP; r++)
                    __builtin_prefetch(strip.a + (STRIP + r) * p->a_stride + line * 16);
            const float *panel = block->panels + (j - block->j) / PANEL * block->panel_size;
            const float *start = block->initial != NULL ? block->initial + i * p->c_stride + j : NULL;
            const float *row = block->bias != NULL ? block->bias + j : NULL;
            float *to = block->c + i * p->c_stride + j;
            if (rows == STRIP && j_end - j >= PANEL)
                product_whole(steps, strip, panel, p->scale, row, start, to, p->c_stride);
            else
                product_part(rows, smaller(PANEL, j_end - j), steps, strip, panel, p->scale, row, start, to,
                             p->c_stride);
        }
    }
}

void NAME(zoo_product_run)(const zoo_product *p, const float *a, const float *b, bool is_packed, const float *bias,
                           const float *initial, float *c, void *workspace) {
    const size_t rows = p->rows, columns = p->columns, depth = p->depth, run = depth_run(depth);
    float *strips = workspace, *panels = strips + strips_size(p, run);
    if (depth == 0) product_empty(p, bias, initial, c);
    for (size_t k = 0; k < depth; k += run) {
        const size_t steps = smaller(depth, k + run) - k;
        for (size_t j = 0; j < columns; j += PRODUCT_COLUMNS) {
            const size_t j_end = smaller(columns, j + PRODUCT_COLUMNS);
            const size_t panel_size = PANEL * (is_packed ? depth : steps);
            if (!is_packed) pack_panels(p, k, k + steps, j, j_end, b, panels, panel_size);
            for (size_t i = 0; i < rows; i += PRODUCT_ROWS) {
                const product_block block = {
                    p, k, steps, i, smaller(rows, i + PRODUCT_ROWS), j, j_end,
                    is_packed ? b + j * depth + k * PANEL : panels, panel_size,
                    k == 0 ? bias : NULL, k == 0 ? initial : c, c, strips};
                product_block_run(&block, a);
            }
        }
    }
}
