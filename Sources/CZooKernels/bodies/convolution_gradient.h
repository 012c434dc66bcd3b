// Weight gradients over the lanes layout: dot products of output gradients with shifted inputs.
//
// A tile holds up to 8 output channels times up to 3 input streams in registers; a stream is an input channel at one
// tap. Lanes are summed at the end of a tile. Small planes: one tap after the other over the rectangle of pixels where
// it is inside the image. Large planes: a band of rows at a time, the input copied with its padding so that the taps
// of a row become streams and everything a tile reads stays in the first cache.

/// Planes up to this many pixels are taken whole.
#define GRADIENT_SMALL_PLANE 64
/// Bytes that one tile reads, which should stay in the first cache.
#define GRADIENT_WINDOW ((size_t)28 << 10)

#if ZOO_GRADIENT_OUT_TILE >= 8
#define GRADIENT_OUTS(streams) 8
#else
#define GRADIENT_OUTS(streams) ((streams) == 1 ? 8 : (streams) == 2 ? 6 : 4)
#endif

typedef struct gradient_loops {
    size_t n0, n1, n2;
    ptrdiff_t x0, x1, x2, dy0, dy1, dy2;
} gradient_loops;

typedef float four __attribute__((vector_size(16)));

/// The sums over lanes of four registers.
INLINE four reg_sums(reg a, reg b, reg c, reg d) {
#if ZOO_WIDTH == 4
    four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
    four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
#else
    typedef float eight __attribute__((vector_size(32)));
#if ZOO_WIDTH == 16
#define HALVES(v) (__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + \
                   __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15))
    eight a8 = HALVES(a), b8 = HALVES(b), c8 = HALVES(c), d8 = HALVES(d);
#undef HALVES
#else
    eight a8 = a, b8 = b, c8 = c, d8 = d;
#endif
    eight ab = __builtin_shufflevector(a8, b8, 0, 8, 1, 9, 4, 12, 5, 13) +
               __builtin_shufflevector(a8, b8, 2, 10, 3, 11, 6, 14, 7, 15);
    eight cd = __builtin_shufflevector(c8, d8, 0, 8, 1, 9, 4, 12, 5, 13) +
               __builtin_shufflevector(c8, d8, 2, 10, 3, 11, 6, 14, 7, 15);
    eight all = __builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
                __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
    return __builtin_shufflevector(all, all, 0, 1, 2, 3) + __builtin_shufflevector(all, all, 4, 5, 6, 7);
#endif
}

/// dw[o * dw_out + s * dw_stream] += sum of dy[o] * x[s] over the loops and lanes.
INLINE void gradient_tile_once(const int outs, const int streams, const gradient_loops *loops, const float *x,
                               ptrdiff_t x_stream, const float *dy, ptrdiff_t dy_channel, float *dw, ptrdiff_t dw_out,
                               ptrdiff_t dw_stream) {
    // One flat array, so that sums over lanes can be taken four at a time.
    reg sum[24 + 3];
#pragma clang loop unroll(full)
    for (int i = 0; i < outs * streams + 3; i++) sum[i] = (reg){};
    const ptrdiff_t x_step = loops->x2, dy_step = loops->dy2;
    for (size_t i = 0; i < loops->n0; i++)
        for (size_t j = 0; j < loops->n1; j++) {
            const float *xs = x + (ptrdiff_t)i * loops->x0 + (ptrdiff_t)j * loops->x1;
            const float *ds = dy + (ptrdiff_t)i * loops->dy0 + (ptrdiff_t)j * loops->dy1;
            for (size_t k = loops->n2; k > 0; k--) {
#pragma clang loop unroll(full)
                for (int v = 0; v < PER_GROUP; v++) {
                    reg value[3];
#pragma clang loop unroll(full)
                    for (int s = 0; s < streams; s++) value[s] = load_reg(xs + s * x_stream + v * ZOO_WIDTH);
#pragma clang loop unroll(full)
                    for (int o = 0; o < outs; o++) {
                        reg delta = load_reg(ds + o * dy_channel + v * ZOO_WIDTH);
#pragma clang loop unroll(full)
                        for (int s = 0; s < streams; s++) sum[o * streams + s] += delta * value[s];
                    }
                }
                xs += x_step;
                ds += dy_step;
            }
        }
#pragma clang loop unroll(full)
    for (int i = 0; i < outs * streams; i += 4) {
        four sums = reg_sums(sum[i], sum[i + 1], sum[i + 2], sum[i + 3]);
#pragma clang loop unroll(full)
        for (int j = i; j < i + 4 && j < outs * streams; j++)
            dw[j / streams * dw_out + j % streams * dw_stream] += sums[j - i];
    }
}

/// `repeat` tiles side by side along the streams.
INLINE void gradient_tile(const int outs, const int streams, int32_t repeat, const gradient_loops *loops,
                          const float *x, ptrdiff_t x_stream, const float *dy, ptrdiff_t dy_channel, float *dw,
                          ptrdiff_t dw_out, ptrdiff_t dw_stream) {
    for (; repeat > 0; repeat--, x += streams * x_stream, dw += streams * dw_stream)
        gradient_tile_once(outs, streams, loops, x, x_stream, dy, dy_channel, dw, dw_out, dw_stream);
}

typedef void gradient_function(int32_t repeat, const gradient_loops *loops, const float *x, ptrdiff_t x_stream,
                               const float *dy, ptrdiff_t dy_channel, float *dw, ptrdiff_t dw_out,
                               ptrdiff_t dw_stream);

#define GRADIENT_TILE(outs, streams)                                                                                 \
    static __attribute__((noinline)) void gradient_tile_##outs##_##streams(                                          \
        int32_t repeat, const gradient_loops *loops, const float *x, ptrdiff_t x_stream, const float *dy,            \
        ptrdiff_t dy_channel, float *dw, ptrdiff_t dw_out, ptrdiff_t dw_stream) {                                    \
        gradient_tile(outs, streams, repeat, loops, x, x_stream, dy, dy_channel, dw, dw_out, dw_stream);             \
    }
#define GRADIENT_TILES(outs) GRADIENT_TILE(outs, 1) GRADIENT_TILE(outs, 2) GRADIENT_TILE(outs, 3)
GRADIENT_TILES(1)
GRADIENT_TILES(2)
GRADIENT_TILES(3)
GRADIENT_TILES(4)
GRADIENT_TILES(5)
GRADIENT_TILES(6)
GRADIENT_TILES(7)
GRADIENT_TILES(8)
#define GRADIENT_ROW(outs) {gradient_tile_##outs##_1, gradient_tile_##outs##_2, gradient_tile_##outs##_3}
static gradient_function *const gradient_tiles[8][3] = {
    GRADIENT_ROW(1), GRADIENT_ROW(2), GRADIENT_ROW(3), GRADIENT_ROW(4),
    GRADIENT_ROW(5), GRADIENT_ROW(6), GRADIENT_ROW(7), GRADIENT_ROW(8),
};

/// Item `index` of `total` cut into parts of at most `most`, as equal as possible.
INLINE int32_t part_begin(int32_t total, int32_t most, int32_t index) {
    int32_t count = (total + most - 1) / most;
    return (int32_t)((int64_t)total * index / count);
}
INLINE int32_t part_count(int32_t total, int32_t most) { return (total + most - 1) / most; }

/// Output coordinates at which tap `tap` is inside the source: [*begin, *end).
INLINE void tap_span(int32_t tap, int32_t size, int32_t source, int32_t stride, int32_t padding, int32_t dilation,
                     int32_t *begin, int32_t *end) {
    int64_t shift = (int64_t)tap * dilation - padding, last = source - 1 - shift;
    int64_t low = shift < 0 ? (-shift + stride - 1) / stride : 0, high = last < 0 ? 0 : last / stride + 1;
    *begin = (int32_t)low;
    *end = (int32_t)(high > size ? size : high);
    if (*end < *begin) *end = *begin;
}

typedef struct gradient_call {
    const zoo_conv2d *c;
    int32_t ins, outs, taps;
    size_t x_plane, dy_plane, x_group, dy_group;
    float *buffer;
} gradient_call;

/// Streams per tile for `total` streams: the fewest cycles by a count of multiplications, loads and tile overhead.
static int32_t best_streams(int32_t outs, int32_t total) {
    int32_t best = 1, least = INT32_MAX;
    for (int32_t streams = 1; streams <= 3 && streams <= total; streams++) {
        int32_t blocks = part_count(outs, GRADIENT_OUTS(streams)), size = (outs + blocks - 1) / blocks;
        int32_t step = size * streams > size + streams ? size * streams : size + streams;
        int32_t cost = blocks * part_count(total, streams) * (step + 3);
        if (cost <= least) least = cost, best = streams;
    }
    return best;
}

/// One tap of whole planes: outputs [o, o + outs), all inputs.
static void gradient_tap(const gradient_call *call, int32_t streams, const gradient_loops *loops, int32_t outs,
                         const float *x, const float *dy, float *dw, int32_t first, int32_t count) {
    gradient_function *const *tiles = gradient_tiles[outs - 1];
    const ptrdiff_t x_plane = (ptrdiff_t)call->x_plane, out_stride = (ptrdiff_t)call->ins * call->taps;
    int32_t whole = count / streams, rest = count % streams;
    x += first * x_plane, dw += first * call->taps;
    tiles[streams - 1](whole, loops, x, x_plane, dy, (ptrdiff_t)call->dy_plane, dw, out_stride, call->taps);
    if (rest == 0) return;
    x += whole * streams * x_plane, dw += whole * streams * call->taps;
    tiles[rest - 1](1, loops, x, x_plane, dy, (ptrdiff_t)call->dy_plane, dw, out_stride, call->taps);
}

/// Whole planes of some groups of samples, tap by tap.
static void gradient_planes(const gradient_call *call, size_t groups, const float *x, const float *dy, float *dw) {
    const zoo_conv2d *c = call->c;
    const int32_t streams = best_streams(call->outs, call->ins), most = GRADIENT_OUTS(streams);
    // All inputs for one tap when they stay in the first cache over all taps, otherwise a tile's inputs for all taps.
    const bool stays = call->taps == 1 || call->x_plane * call->ins * groups * sizeof(float) <= GRADIENT_WINDOW / 2;
    const int32_t inputs_at_once = stays ? call->ins : streams;
    for (int32_t ob = 0; ob < part_count(call->outs, most); ob++) {
        int32_t o = part_begin(call->outs, most, ob), outs = part_begin(call->outs, most, ob + 1) - o;
        for (int32_t i = 0; i < call->ins; i += inputs_at_once) {
            int32_t inputs = call->ins - i < inputs_at_once ? call->ins - i : inputs_at_once;
            float *target = dw + (size_t)o * call->ins * call->taps;
            for (int32_t ky = 0; ky < c->kernel_height; ky++) {
                int32_t y0, y1;
                tap_span(ky, c->out_height, c->in_height, c->stride_y, c->padding_y, c->dilation_y, &y0, &y1);
                for (int32_t kx = 0; kx < c->kernel_width; kx++, target++) {
                    int32_t x0, x1;
                    tap_span(kx, c->out_width, c->in_width, c->stride_x, c->padding_x, c->dilation_x, &x0, &x1);
                    if (y1 == y0 || x1 == x0) continue;
                    int32_t sy = y0 * c->stride_y - c->padding_y + ky * c->dilation_y;
                    int32_t sx = x0 * c->stride_x - c->padding_x + kx * c->dilation_x;
                    gradient_loops loops = {
                        groups, (size_t)(y1 - y0), (size_t)(x1 - x0), (ptrdiff_t)call->x_group,
                        (ptrdiff_t)c->stride_y * c->in_width * 16, c->stride_x * 16, (ptrdiff_t)call->dy_group,
                        (ptrdiff_t)c->out_width * 16, 16,
                    };
                    if (loops.n1 == 1 && loops.n2 == 1) {
                        loops.n0 = 1, loops.n2 = groups;
                        loops.x2 = loops.x0, loops.dy2 = loops.dy0;
                    }
                    gradient_tap(call, streams, &loops, outs, x + ((size_t)sy * c->in_width + sx) * 16,
                                 dy + o * call->dy_plane + ((size_t)y0 * c->out_width + x0) * 16, target, i, inputs);
                }
            }
        }
    }
}

typedef struct band_plan {
    int32_t rows, x_rows, x_width, channels;
} band_plan;

/// Rows of output per band and channels per copy; channels 0 when not even one fits.
static band_plan plan_band(const zoo_conv2d *c) {
    band_plan plan;
    plan.x_width = (c->out_width - 1) * c->stride_x + (c->kernel_width - 1) * c->dilation_x + 1;
    const int32_t reach = (c->kernel_height - 1) * c->dilation_y + 1;
    plan.rows = 0;
    do {
        plan.rows++;
        plan.x_rows = plan.rows * c->stride_y + reach;
    } while (plan.rows < c->out_height &&
             ((size_t)(plan.rows + 1) * c->out_width * 4 + (size_t)plan.x_rows * plan.x_width) * 64 <= GRADIENT_WINDOW);
    plan.x_rows = (plan.rows - 1) * c->stride_y + reach;
    size_t band = (size_t)plan.x_rows * plan.x_width * 64;
    plan.channels = (int32_t)smaller(CONV_BUFFER / band, (size_t)c->in_channels / c->channel_groups);
    return plan;
}

/// Copies the rows that outputs [row, row + rows) read, with zeros for the padding, to [channel][row][column][16].
static void copy_band(const zoo_conv2d *c, const band_plan *plan, int32_t row, int32_t channels, const float *x,
                      size_t plane, float *buffer) {
    const int32_t first = row * c->stride_y - c->padding_y;
    for (int32_t i = 0; i < channels; i++)
        for (int32_t r = 0; r < plan->x_rows; r++, buffer += (size_t)plan->x_width * 16) {
            int32_t y = first + r;
            int32_t left = c->padding_x < plan->x_width ? c->padding_x : plan->x_width;
            int32_t inside = plan->x_width - left < c->in_width ? plan->x_width - left : c->in_width;
            if (y < 0 || y >= c->in_height) left = plan->x_width, inside = 0;
            memset(buffer, 0, (size_t)left * 64);
            memcpy(buffer + (size_t)left * 16, x + i * plane + (size_t)y * c->in_width * 16 * (inside > 0),
                   (size_t)inside * 64);
            memset(buffer + (size_t)(left + inside) * 16, 0, (size_t)(plan->x_width - left - inside) * 64);
        }
}

/// All tiles between the copied channels and all output channels, for one band.
static void gradient_band(const gradient_call *call, const band_plan *plan, int32_t rows, int32_t channels,
                          const float *dy, float *dw) {
    const zoo_conv2d *c = call->c;
    const bool pointwise = c->kernel_width == 1;
    const int32_t x_plane = plan->x_rows * plan->x_width * 16, total = pointwise ? channels : c->kernel_width;
    const int32_t widest = best_streams(call->outs, total), most = GRADIENT_OUTS(widest);
    const gradient_loops loops = {
        1, (size_t)rows, (size_t)c->out_width, 0, (ptrdiff_t)c->stride_y * plan->x_width * 16, c->stride_x * 16, 0,
        (ptrdiff_t)c->out_width * 16, 16,
    };
    for (int32_t ob = 0; ob < part_count(call->outs, most); ob++) {
        int32_t o = part_begin(call->outs, most, ob), outs = part_begin(call->outs, most, ob + 1) - o;
        for (int32_t i = 0; i < (pointwise ? 1 : channels); i++)
            for (int32_t ky = 0; ky < c->kernel_height; ky++)
                for (int32_t sb = 0; sb < part_count(total, widest); sb++) {
                    int32_t s = part_begin(total, widest, sb), streams = part_begin(total, widest, sb + 1) - s;
                    int32_t channel = pointwise ? s : i, kx = pointwise ? 0 : s;
                    const float *from = call->buffer + channel * (ptrdiff_t)x_plane +
                                        (ky * c->dilation_y * plan->x_width + kx * c->dilation_x) * 16;
                    gradient_tiles[outs - 1][streams - 1](
                        1, &loops, from, pointwise ? x_plane : c->dilation_x * 16, dy + o * call->dy_plane,
                        (ptrdiff_t)call->dy_plane,
                        dw + ((size_t)o * call->ins + channel) * call->taps + ky * c->kernel_width + kx,
                        (ptrdiff_t)call->ins * call->taps, pointwise ? call->taps : 1);
                }
    }
}

static void gradient_bands(const gradient_call *call, const band_plan *plan, const float *x, const float *dy,
                           float *dw) {
    const zoo_conv2d *c = call->c;
    for (int32_t row = 0; row < c->out_height; row += plan->rows) {
        int32_t rows = c->out_height - row < plan->rows ? c->out_height - row : plan->rows;
        for (int32_t i = 0; i < call->ins; i += plan->channels) {
            int32_t channels = call->ins - i < plan->channels ? call->ins - i : plan->channels;
            copy_band(c, plan, row, channels, x + i * call->x_plane, call->x_plane, call->buffer);
            gradient_band(call, plan, rows, channels, dy + (size_t)row * c->out_width * 16,
                          dw + (size_t)i * call->taps);
        }
    }
}

// MARK: Linear layers

/// Samples that are transposed at once.
#define LINEAR_GROUPS 16

typedef float reg_loose __attribute__((vector_size(ZOO_WIDTH * 4), aligned(4)));

/// dw[o][0..<width] += sum over samples of dy[o] * x for 16 inputs: `x` holds [sample][16], so that inputs are the
/// lanes and nothing has to be summed across a register.
INLINE void linear_gradient_tile(const int outs, size_t groups, const float *x, const float *dy, size_t dy_group,
                                 float *dw, size_t dw_out, size_t width) {
    reg sum[ZOO_OUT_TILE][PER_GROUP];
#pragma clang loop unroll(full)
    for (int o = 0; o < outs; o++)
#pragma clang loop unroll(full)
        for (int v = 0; v < PER_GROUP; v++) sum[o][v] = splat_reg(0);
    for (size_t g = 0; g < groups; g++, dy += dy_group)
        for (int lane = 0; lane < 16; lane++, x += 16) {
            reg value[PER_GROUP];
#pragma clang loop unroll(full)
            for (int v = 0; v < PER_GROUP; v++) value[v] = load_reg(x + v * ZOO_WIDTH);
#pragma clang loop unroll(full)
            for (int o = 0; o < outs; o++) {
                reg delta = splat_reg(dy[o * 16 + lane]);
#pragma clang loop unroll(full)
                for (int v = 0; v < PER_GROUP; v++) sum[o][v] += value[v] * delta;
            }
        }
#pragma clang loop unroll(full)
    for (int o = 0; o < outs; o++) {
        float *row = dw + o * dw_out;
        if (width == 16) {
#pragma clang loop unroll(full)
            for (int v = 0; v < PER_GROUP; v++) *(reg_loose *)(row + v * ZOO_WIDTH) += sum[o][v];
        } else {
            float part[16];
            memcpy(part, sum[o], sizeof part);
            for (size_t i = 0; i < width; i++) row[i] += part[i];
        }
    }
}

typedef void linear_gradient_function(size_t groups, const float *x, const float *dy, size_t dy_group, float *dw,
                                      size_t dw_out, size_t width);
#define LINEAR_GRADIENT(outs)                                                                                         \
    static __attribute__((noinline)) void linear_gradient_##outs(size_t groups, const float *x, const float *dy,      \
                                                                 size_t dy_group, float *dw, size_t dw_out,           \
                                                                 size_t width) {                                      \
        linear_gradient_tile(outs, groups, x, dy, dy_group, dw, dw_out, width);                                       \
    }
FOR_OUT_TILES(LINEAR_GRADIENT)
#define LINEAR_GRADIENT_NAME(outs) linear_gradient_##outs,
static linear_gradient_function *const linear_gradients[] = {NULL, FOR_OUT_TILES(LINEAR_GRADIENT_NAME)};

static void linear_gradient(const zoo_conv2d *c, size_t groups, const float *x, const float *dy, float *dw) {
    const size_t ins = (size_t)c->in_channels, dy_group = (size_t)c->out_channels * 16;
    const block_split split = split_blocks(c->out_channels);
    float turned[LINEAR_GROUPS * 256] __attribute__((aligned(64)));
    static const float zeros[16];
    for (size_t g = 0; g < groups; g += LINEAR_GROUPS) {
        const size_t part = smaller(LINEAR_GROUPS, groups - g);
        for (size_t i = 0; i < ins; i += 16) {
            const size_t width = smaller(16, ins - i);
            for (size_t h = 0; h < part; h++) {
                const float *block[16];
                for (size_t r = 0; r < 16; r++) block[r] = r < width ? x + ((g + h) * ins + i + r) * 16 : zeros;
                transpose_block(block, turned + h * 256, 16);
            }
            const float *delta = dy + g * dy_group;
            float *target = dw + i;
            for (int32_t b = 0; b < split.count; b++) {
                const int32_t size = split.size + (b < split.larger);
                linear_gradients[size](part, turned, delta, dy_group, target, ins, width);
                delta += size * 16;
                target += size * ins;
            }
        }
    }
}

static void bias_gradient(const zoo_conv2d *c, size_t groups, const float *dy, float *db) {
    const size_t pixels = (size_t)c->out_height * c->out_width;
    for (size_t g = 0; g < groups; g++)
        for (int32_t o = 0; o < c->out_channels; o++, dy += pixels * 16) {
            lanes sum = {}, other = {};
            size_t p = 0;
            for (; p + 1 < pixels; p += 2) sum += load(dy + p * 16), other += load(dy + p * 16 + 16);
            if (p < pixels) sum += load(dy + p * 16);
            db[o] += lane_sum(sum + other);
        }
}

void NAME(zoo_conv2d_weight_gradient)(const zoo_conv2d *conv, size_t groups, const float *x, const float *dy,
                                      float *dw, float *db, int32_t flags, void *workspace) {
    gradient_call call = {.c = conv, .ins = conv->in_channels / conv->channel_groups,
                          .outs = conv->out_channels / conv->channel_groups,
                          .taps = conv->kernel_height * conv->kernel_width,
                          .x_plane = (size_t)conv->in_height * conv->in_width * 16,
                          .dy_plane = (size_t)conv->out_height * conv->out_width * 16, .buffer = workspace};
    call.x_group = call.x_plane * conv->in_channels, call.dy_group = call.dy_plane * conv->out_channels;
    const size_t weights = (size_t)call.outs * call.ins * call.taps;
    if (!(flags & ZOO_ADD)) {
        if (dw != NULL) memset(dw, 0, weights * conv->channel_groups * sizeof(float));
        if (db != NULL) memset(db, 0, (size_t)conv->out_channels * sizeof(float));
    }
    if (db != NULL) bias_gradient(conv, groups, dy, db);
    if (dw == NULL) return;
    if (call.taps == 1 && call.x_plane == 16 && call.dy_plane == 16 && conv->channel_groups == 1 &&
        conv->padding_y == 0 && conv->padding_x == 0 && conv->in_channels >= 8)
        return linear_gradient(conv, groups, x, dy, dw);
    band_plan plan = plan_band(conv);
    const bool whole = call.dy_plane / 16 <= GRADIENT_SMALL_PLANE || plan.channels == 0;
    // As many groups at once as leave a tile's planes in the first cache.
    size_t tile = (4 * call.dy_plane + 3 * call.x_plane) * sizeof(float);
    size_t at_once = whole && tile < GRADIENT_WINDOW ? GRADIENT_WINDOW / tile : 1;
    for (size_t g = 0; g < groups; g += at_once)
        for (int32_t h = 0; h < conv->channel_groups; h++) {
            const float *from = x + g * call.x_group + h * call.ins * call.x_plane;
            const float *delta = dy + g * call.dy_group + h * call.outs * call.dy_plane;
            if (whole)
                gradient_planes(&call, smaller(at_once, groups - g), from, delta, dw + h * weights);
            else
                gradient_bands(&call, &plan, from, delta, dw + h * weights);
        }
}

void NAME(zoo_conv2d_sample_gradients)(const zoo_conv2d *conv, size_t groups, const float *x, const float *dy,
                                       float *dw, float *db, int32_t flags) {
    const zoo_conv2d *c = conv;
    const int32_t ins = c->in_channels / c->channel_groups, outs = c->out_channels / c->channel_groups;
    const size_t x_plane = (size_t)c->in_height * c->in_width * 16;
    const size_t dy_plane = (size_t)c->out_height * c->out_width * 16;
    for (size_t g = 0; g < groups; g++)
        for (int32_t o = 0; o < c->out_channels; o++) {
            const float *delta = dy + (g * c->out_channels + o) * dy_plane;
            const float *group = x + (g * c->in_channels + (size_t)(o / outs) * ins) * x_plane;
            if (db != NULL) {
                lanes sum = flags & ZOO_ADD ? load(db) : splat(0);
                for (size_t p = 0; p < dy_plane; p += 16) sum += load(delta + p);
                store(db, sum);
                db += 16;
            }
            if (dw == NULL) continue;
            for (int32_t i = 0; i < ins; i++)
                for (int32_t ky = 0; ky < c->kernel_height; ky++)
                    for (int32_t kx = 0; kx < c->kernel_width; kx++, dw += 16) {
                        int32_t y0, y1, x0, x1;
                        tap_span(ky, c->out_height, c->in_height, c->stride_y, c->padding_y, c->dilation_y, &y0, &y1);
                        tap_span(kx, c->out_width, c->in_width, c->stride_x, c->padding_x, c->dilation_x, &x0, &x1);
                        lanes sum = flags & ZOO_ADD ? load(dw) : splat(0);
                        for (int32_t py = y0; py < y1; py++) {
                            int32_t sy = py * c->stride_y - c->padding_y + ky * c->dilation_y;
                            const float *row = group + i * x_plane + (size_t)sy * c->in_width * 16;
                            for (int32_t px = x0; px < x1; px++) {
                                int32_t sx = px * c->stride_x - c->padding_x + kx * c->dilation_x;
                                sum += load(row + sx * 16) * load(delta + ((size_t)py * c->out_width + px) * 16);
                            }
                        }
                        store(dw, sum);
                    }
        }
}

size_t NAME(zoo_conv2d_workspace_size)(const zoo_conv2d *conv) {
    if (conv->in_height * conv->in_width == 1 && conv->out_height * conv->out_width == 1 &&
        conv->kernel_height * conv->kernel_width == 1 && conv->channel_groups == 1)
        return 0;
    size_t height = (size_t)(conv->in_height > conv->out_height ? conv->in_height : conv->out_height);
    size_t width = (size_t)(conv->in_width > conv->out_width ? conv->in_width : conv->out_width);
    size_t table = ((height + width) * sizeof(axis_range) + 63) / 64 * 64;
    direction forward = conv_direction(conv, false), backward = conv_direction(conv, true);
    bool copies = plan_copy(&forward).chunk > 0 || plan_copy(&backward).chunk > 0 ||
                  (size_t)conv->out_height * conv->out_width > GRADIENT_SMALL_PLANE;
    return table + (copies ? CONV_BUFFER : 0);
}
