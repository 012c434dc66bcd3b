// Convolution over the lanes layout, forward and input gradient with one kernel.
//
// Along each axis an output coordinate reads an arithmetic progression of taps from an arithmetic progression of source
// coordinates; that holds for the convolution and for its transpose, with any stride, padding and dilation. A table of
// (first tap, count, first source) per coordinate therefore describes both, and taps in the padding cost nothing.
//
// A block of up to ZOO_OUT_TILE output channels times one output pixel (several pixels when the block is small) stays
// in registers. Large inputs are copied, some channels and rows at a time, to [row][column][channel][16]: that keeps
// the window of a pixel in the first cache, where planes of a power-of-two size would evict each other.

/// Bytes of the copied rows: they are read once per output block, from the second cache.
#define CONV_BUFFER ((size_t)192 << 10)
/// Bytes of one pixel's window and weights, which should stay in the first cache.
#define CONV_WINDOW ((size_t)24 << 10)
/// Below this many channels the taps of a row are the innermost loop, above it the channels.
#define CONV_FEW_CHANNELS 4

typedef struct axis_range {
    int32_t tap, count, source;
} axis_range;

/// One direction of a convolution, in the words of its output.
typedef struct direction {
    int32_t source_channels, source_height, source_width;
    int32_t channels, height, width;
    int32_t tap_step_y, tap_step_x, source_step_y, source_step_x;
    int32_t taps, kernel_height, kernel_width, channel_groups;
    bool transposed;
} direction;

typedef struct conv_job {
    const float *x;
    ptrdiff_t x_row, x_column, x_channel;
    const float *w;
    ptrdiff_t w_tap, w_channel;
    float *y;
    ptrdiff_t y_row, y_column, y_channel;
    /// NULL: one tap, source coordinate = output coordinate.
    const axis_range *rows, *columns;
    int32_t row_begin, row_end, column_count, row_origin;
    int32_t kernel_width, tap_step_y, tap_step_x, source_step_y, source_step_x, channels;
    const float *bias;
    bool taps_innermost, add, clamp;
} conv_job;

INLINE int32_t divisor(int32_t a, int32_t b) {
    while (b != 0) {
        int32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static direction conv_direction(const zoo_conv2d *c, bool transposed) {
    direction d = {c->in_channels,   c->in_height,   c->in_width,      c->out_channels,     c->out_height,
                   c->out_width,     1,              1,                c->dilation_y,       c->dilation_x,
                   c->kernel_height * c->kernel_width, c->kernel_height, c->kernel_width,   c->channel_groups,
                   transposed};
    if (!transposed) return d;
    d.source_channels = c->out_channels, d.source_height = c->out_height, d.source_width = c->out_width;
    d.channels = c->in_channels, d.height = c->in_height, d.width = c->in_width;
    int32_t gy = divisor(c->stride_y, c->dilation_y), gx = divisor(c->stride_x, c->dilation_x);
    d.tap_step_y = c->stride_y / gy, d.tap_step_x = c->stride_x / gx;
    d.source_step_y = -c->dilation_y / gy, d.source_step_x = -c->dilation_x / gx;
    return d;
}

static void axis_forward(axis_range *out, int32_t size, int32_t source, int32_t kernel, int32_t stride,
                         int32_t padding, int32_t dilation) {
    for (int32_t o = 0; o < size; o++) {
        int64_t first = (int64_t)o * stride - padding;
        int64_t low = first < 0 ? (-first + dilation - 1) / dilation : 0;
        int64_t high = first >= source ? -1 : (source - 1 - first) / dilation;
        if (high > kernel - 1) high = kernel - 1;
        axis_range none = {0, 0, 0};
        axis_range some = {(int32_t)low, (int32_t)(high - low + 1), (int32_t)(first + low * dilation)};
        out[o] = high >= low ? some : none;
    }
}

static void axis_transposed(axis_range *out, int32_t size, int32_t source, int32_t kernel, int32_t stride,
                            int32_t padding, int32_t dilation) {
    for (int32_t i = 0; i < size; i++) {
        axis_range range = {0, 0, 0};
        for (int32_t k = 0; k < kernel; k++) {
            int64_t scaled = (int64_t)i + padding - (int64_t)k * dilation;
            if (scaled < 0 || scaled % stride != 0 || scaled / stride >= source) continue;
            if (range.count++ == 0) range.tap = k, range.source = (int32_t)(scaled / stride);
        }
        out[i] = range;
    }
}

static void conv_tables(const zoo_conv2d *c, bool transposed, axis_range *rows, axis_range *columns) {
    if (transposed) {
        axis_transposed(rows, c->in_height, c->out_height, c->kernel_height, c->stride_y, c->padding_y, c->dilation_y);
        axis_transposed(columns, c->in_width, c->out_width, c->kernel_width, c->stride_x, c->padding_x, c->dilation_x);
    } else {
        axis_forward(rows, c->out_height, c->in_height, c->kernel_height, c->stride_y, c->padding_y, c->dilation_y);
        axis_forward(columns, c->out_width, c->in_width, c->kernel_width, c->stride_x, c->padding_x, c->dilation_x);
    }
}

// MARK: Blocks of output channels

typedef struct block_split {
    int32_t count, size, larger;
} block_split;

/// Blocks as equal as possible: the first `larger` have `size` + 1 channels.
INLINE block_split split_blocks(int32_t channels) {
    int32_t count = (channels + ZOO_OUT_TILE - 1) / ZOO_OUT_TILE;
    block_split split = {count, channels / count, channels % count};
    return split;
}

static void pack_direction(const zoo_conv2d *c, const float *weights, float *packed, bool transposed) {
    direction d = conv_direction(c, transposed);
    int32_t outs = d.channels / d.channel_groups, ins = d.source_channels / d.channel_groups, taps = d.taps;
    size_t out_stride = (size_t)(transposed ? taps : ins * taps), in_stride = (size_t)(transposed ? outs * taps : taps);
    block_split split = split_blocks(outs);
    for (int32_t g = 0; g < d.channel_groups; g++) {
        const float *group = weights + (size_t)g * outs * ins * taps;
        for (int32_t b = 0; b < split.count; b++) {
            int32_t size = split.size + (b < split.larger);
            bool few = ins < CONV_FEW_CHANNELS;
            for (int32_t outer = 0; outer < (few ? ins : taps); outer++)
                for (int32_t inner = 0; inner < (few ? taps : ins); inner++) {
                    size_t offset = (few ? outer : inner) * in_stride + (few ? inner : outer);
                    for (int32_t o = 0; o < size; o++) *packed++ = group[o * out_stride + offset];
                }
            group += size * out_stride;
        }
    }
}

void NAME(zoo_conv2d_pack)(const zoo_conv2d *conv, const float *weights, float *packed) {
    pack_direction(conv, weights, packed, false);
}

void NAME(zoo_conv2d_pack_transposed)(const zoo_conv2d *conv, const float *weights, float *packed) {
    pack_direction(conv, weights, packed, true);
}

// MARK: The register tile

typedef struct tile_loops {
    int32_t n0, n1, n2;
    ptrdiff_t x0, x1, x2, w0, w1, w2;
} tile_loops;

INLINE reg load_reg(const float *p) { return *(const reg *)p; }
INLINE void store_reg(float *p, reg v) { *(reg *)p = v; }

/// `outs` channels times `pixels` pixels; both are constants after inlining. Pixels differ by `x_pixel` in the source.
INLINE void conv_tile(const int outs, const int pixels, const conv_job *job, const tile_loops *loops, const float *x,
                      ptrdiff_t x_pixel, const float *w, float *y) {
    reg sum[ZOO_OUT_TILE][8][PER_GROUP];
    const ptrdiff_t y_channel = job->y_channel, y_column = job->y_column;
#pragma clang loop unroll(full)
    for (int o = 0; o < outs; o++) {
        reg start = splat_reg(job->bias != NULL ? job->bias[o] : 0.0f);
#pragma clang loop unroll(full)
        for (int p = 0; p < pixels; p++)
#pragma clang loop unroll(full)
            for (int v = 0; v < PER_GROUP; v++) sum[o][p][v] = start;
    }
    if (job->add) {
#pragma clang loop unroll(full)
        for (int o = 0; o < outs; o++)
#pragma clang loop unroll(full)
            for (int p = 0; p < pixels; p++)
#pragma clang loop unroll(full)
                for (int v = 0; v < PER_GROUP; v++)
                    sum[o][p][v] += load_reg(y + o * y_channel + p * y_column + v * ZOO_WIDTH);
    }
    for (int32_t i = 0; i < loops->n0; i++) {
        for (int32_t j = 0; j < loops->n1; j++) {
            const float *xs = x + i * loops->x0 + j * loops->x1;
            const float *ws = w + i * loops->w0 + j * loops->w1;
            const ptrdiff_t x_step = loops->x2, w_step = loops->w2;
            for (int32_t k = loops->n2; k > 0; k--) {
                reg value[8][PER_GROUP];
#pragma clang loop unroll(full)
                for (int p = 0; p < pixels; p++)
#pragma clang loop unroll(full)
                    for (int v = 0; v < PER_GROUP; v++) value[p][v] = load_reg(xs + p * x_pixel + v * ZOO_WIDTH);
#pragma clang loop unroll(full)
                for (int o = 0; o < outs; o++) {
                    reg weight = splat_reg(ws[o]);
#pragma clang loop unroll(full)
                    for (int p = 0; p < pixels; p++)
#pragma clang loop unroll(full)
                        for (int v = 0; v < PER_GROUP; v++) sum[o][p][v] += value[p][v] * weight;
                }
                xs += x_step;
                ws += w_step;
            }
        }
    }
    if (job->clamp) {
#pragma clang loop unroll(full)
        for (int o = 0; o < outs; o++)
#pragma clang loop unroll(full)
            for (int p = 0; p < pixels; p++)
#pragma clang loop unroll(full)
                for (int v = 0; v < PER_GROUP; v++) {
                    typedef int32_t reg_int __attribute__((vector_size(ZOO_WIDTH * 4)));
                    sum[o][p][v] = (reg)((reg_int)sum[o][p][v] & ~(reg_int)(sum[o][p][v] < 0.0f));
                }
    }
#pragma clang loop unroll(full)
    for (int o = 0; o < outs; o++)
#pragma clang loop unroll(full)
        for (int p = 0; p < pixels; p++)
#pragma clang loop unroll(full)
            for (int v = 0; v < PER_GROUP; v++)
                store_reg(y + o * y_channel + p * y_column + v * ZOO_WIDTH, sum[o][p][v]);
}

INLINE axis_range range_at(const axis_range *table, int32_t index) {
    axis_range same = {0, 1, index};
    return table != NULL ? table[index] : same;
}

/// Whether the next `pixels` outputs use the same taps, at evenly spaced sources.
INLINE bool even_run(const axis_range *table, int32_t column, int32_t pixels, int32_t *step) {
    axis_range first = range_at(table, column), second = range_at(table, column + 1);
    *step = second.source - first.source;
    for (int32_t p = 1; p < pixels; p++) {
        axis_range other = range_at(table, column + p);
        if (other.tap != first.tap || other.count != first.count || other.source != first.source + p * *step)
            return false;
    }
    return true;
}

/// All pixels of the job's rows for one block of `outs` channels.
INLINE void conv_block(const int outs, const conv_job *job) {
    const int pixels = (8 + outs * PER_GROUP - 1) / (outs * PER_GROUP);
    const bool inner_taps = job->taps_innermost;
    for (int32_t r = job->row_begin; r < job->row_end; r++) {
        axis_range row = range_at(job->rows, r);
        const float *x_row = job->x + (row.source - job->row_origin) * job->x_row;
        const float *w_row = job->w + row.tap * job->kernel_width * job->w_tap;
        float *y_row = job->y + r * job->y_row;
        ptrdiff_t xy = job->source_step_y * job->x_row, xx = job->source_step_x * job->x_column;
        ptrdiff_t wy = job->tap_step_y * job->kernel_width * job->w_tap, wx = job->tap_step_x * job->w_tap;
        for (int32_t c = 0; c < job->column_count;) {
            axis_range column = range_at(job->columns, c);
            tile_loops loops;
            if (inner_taps) {
                tile_loops chosen = {job->channels, row.count, column.count, job->x_channel, xy, xx,
                                     job->w_channel, wy, wx};
                loops = chosen;
            } else {
                tile_loops chosen = {row.count, column.count, job->channels, xy, xx, job->x_channel, wy, wx,
                                     job->w_channel};
                loops = chosen;
            }
            const float *x = x_row + column.source * job->x_column, *w = w_row + column.tap * job->w_tap;
            float *y = y_row + c * job->y_column;
            int32_t step;
            if (pixels > 1 && c + pixels <= job->column_count && even_run(job->columns, c, pixels, &step)) {
                conv_tile(outs, pixels, job, &loops, x, step * job->x_column, w, y);
                c += pixels;
            } else {
                conv_tile(outs, 1, job, &loops, x, 0, w, y);
                c += 1;
            }
        }
    }
}

/// One instance for every size of a block.
#if ZOO_OUT_TILE == 3
#define FOR_OUT_TILES(make) make(1) make(2) make(3)
#elif ZOO_OUT_TILE == 6
#define FOR_OUT_TILES(make) make(1) make(2) make(3) make(4) make(5) make(6)
#else
#define FOR_OUT_TILES(make) \
    make(1) make(2) make(3) make(4) make(5) make(6) make(7) make(8) make(9) make(10) make(11) make(12)
#endif

#define CONV_BLOCK(outs) \
    static __attribute__((noinline)) void conv_block_##outs(const conv_job *job) { conv_block(outs, job); }
FOR_OUT_TILES(CONV_BLOCK)
#define CONV_BLOCK_NAME(outs) conv_block_##outs,
static void (*const conv_blocks[])(const conv_job *) = {NULL, FOR_OUT_TILES(CONV_BLOCK_NAME)};

/// Runs every block of output channels over the job's rows. `job.w`, `y` and `bias` are those of the first block;
/// `ins` source channels are packed, of which the job reads `job.channels` from `first` on.
static void conv_all_blocks(conv_job job, int32_t outs, int32_t ins, int32_t first, int32_t taps) {
    block_split split = split_blocks(outs);
    const float *weights = job.w;
    for (int32_t b = 0; b < split.count; b++) {
        int32_t size = split.size + (b < split.larger);
        job.w_tap = (ptrdiff_t)(job.taps_innermost ? 1 : ins) * size;
        job.w_channel = (ptrdiff_t)(job.taps_innermost ? taps : 1) * size;
        job.w = weights + first * job.w_channel;
        conv_blocks[size](&job);
        weights += (size_t)size * ins * taps;
        job.y += size * job.y_channel;
        if (job.bias != NULL) job.bias += size;
    }
}

// MARK: Copied rows

typedef struct copy_plan {
    int32_t chunk;  // channels at a time; 0: no copy
    int32_t rows;   // source rows that fit
} copy_plan;

INLINE int32_t most_rows(const axis_range *rows, int32_t begin, int32_t end, int32_t step, int32_t *first) {
    int32_t low = INT32_MAX, high = -1;
    for (int32_t r = begin; r < end; r++) {
        if (rows[r].count == 0) continue;
        int32_t a = rows[r].source, b = a + (rows[r].count - 1) * step;
        if (a > b) {
            int32_t swap = a;
            a = b;
            b = swap;
        }
        if (a < low) low = a;
        if (b > high) high = b;
    }
    *first = high < 0 ? 0 : low;
    return high < 0 ? 0 : high - low + 1;
}

/// Copying pays when the input doesn't fit the first cache and each copied value is used often enough.
static copy_plan plan_copy(const direction *d) {
    copy_plan plan = {0, 0};
    int32_t ins = d->source_channels / d->channel_groups, outs = d->channels / d->channel_groups;
    size_t row = (size_t)d->source_width * 64, plane = row * d->source_height;
    if (ins * plane <= CONV_WINDOW || ins < 8 || outs < 12) return plan;
    size_t window = (size_t)d->taps * (64 + ZOO_OUT_TILE * 4);
    size_t most = CONV_WINDOW / window, step = (size_t)abs(d->source_step_y) * (d->kernel_height - 1) + 1;
    size_t span = smaller(step, (size_t)d->source_height) * row;
    if (span > CONV_BUFFER / 4) return plan;
    if (most > CONV_BUFFER / 2 / span) most = CONV_BUFFER / 2 / span;
    if (most < 4) most = 4;
    size_t chunks = (ins + most - 1) / most;
    plan.chunk = (int32_t)((ins + chunks - 1) / chunks);
    plan.rows = (int32_t)(CONV_BUFFER / (plan.chunk * row));
    return plan;
}

/// Copies rows [first, first + rows) of `channels` planes to [row][column][channel][16].
static void copy_rows(const float *x, size_t plane, int32_t width, int32_t channels, int32_t first, int32_t rows,
                      float *buffer) {
    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < channels; c++) {
            const float *source = x + c * plane + (size_t)(first + r) * width * 16;
            float *target = buffer + ((size_t)r * width * channels + c) * 16;
            for (int32_t i = 0; i < width; i++)
                *(lanes *)(target + (size_t)i * channels * 16) = *(const lanes *)(source + (size_t)i * 16);
        }
}

typedef struct conv_call {
    direction d;
    const axis_range *rows, *columns;
    const float *bias;
    int32_t flags;
    float *buffer;
} conv_call;

static conv_job job_of(const conv_call *call, const float *x, const float *w, float *y) {
    const direction *d = &call->d;
    int32_t ins = d->source_channels / d->channel_groups;
    bool few = ins < CONV_FEW_CHANNELS;
    conv_job job = {
        .x = x, .x_row = (ptrdiff_t)d->source_width * 16, .x_column = 16,
        .x_channel = (ptrdiff_t)d->source_height * d->source_width * 16,
        .w = w, .w_tap = 0, .w_channel = 0,
        .y = y, .y_row = (ptrdiff_t)d->width * 16, .y_column = 16, .y_channel = (ptrdiff_t)d->height * d->width * 16,
        .rows = call->rows, .columns = call->columns, .row_begin = 0, .row_end = d->height, .column_count = d->width,
        .row_origin = 0, .kernel_width = d->kernel_width, .tap_step_y = d->tap_step_y, .tap_step_x = d->tap_step_x,
        .source_step_y = d->source_step_y, .source_step_x = d->source_step_x, .channels = ins, .bias = call->bias,
        .taps_innermost = few, .add = (call->flags & ZOO_ADD) != 0, .clamp = (call->flags & ZOO_CLAMP) != 0,
    };
    return job;
}

/// One group of samples and one group of channels, through the buffer.
static void conv_copied(const conv_call *call, copy_plan plan, conv_job job) {
    const direction *d = &call->d;
    const int32_t ins = job.channels, outs = d->channels / d->channel_groups;
    const size_t plane = (size_t)job.x_channel;
    const float *x = job.x, *bias = job.bias;
    const bool add = job.add, clamp = job.clamp;
    for (int32_t begin = 0; begin < d->height;) {
        int32_t first, end = begin + 1, span = most_rows(call->rows, begin, end, d->source_step_y, &first);
        while (end < d->height) {
            int32_t next_first, next = most_rows(call->rows, begin, end + 1, d->source_step_y, &next_first);
            if (next > plan.rows) break;
            first = next_first, span = next, end++;
        }
        for (int32_t c = 0; c < ins; c += plan.chunk) {
            int32_t chunk = ins - c < plan.chunk ? ins - c : plan.chunk;
            copy_rows(x + c * plane, plane, d->source_width, chunk, first, span, call->buffer);
            job.x = call->buffer;
            job.x_row = (ptrdiff_t)d->source_width * chunk * 16, job.x_column = chunk * 16, job.x_channel = 16;
            job.row_begin = begin, job.row_end = end, job.row_origin = first, job.channels = chunk;
            job.bias = c == 0 ? bias : NULL;
            job.add = add || c > 0;
            job.clamp = clamp && c + chunk == ins;
            conv_all_blocks(job, outs, ins, c, d->taps);
        }
        begin = end;
    }
}

/// One tap everywhere, stride 1, one pixel: groups of samples take the place of pixels.
static void conv_linear(const conv_call *call, size_t groups, const float *x, const float *packed, float *y) {
    const direction *d = &call->d;
    conv_job job = job_of(call, x, packed, y);
    job.rows = NULL, job.columns = NULL;
    job.x_channel = 16, job.y_channel = 16;
    job.x_column = (ptrdiff_t)d->source_channels * 16, job.y_column = (ptrdiff_t)d->channels * 16;
    // As many groups as leave their inputs in the second cache while all blocks of outputs pass over them.
    size_t most = CONV_BUFFER / ((size_t)d->source_channels * 64);
    if (most < 1) most = 1;
    for (size_t g = 0; g < groups; g += most) {
        job.column_count = (int32_t)smaller(most, groups - g);
        job.x = x + (ptrdiff_t)g * job.x_column, job.y = y + (ptrdiff_t)g * job.y_column;
        conv_all_blocks(job, d->channels, job.channels, 0, 1);
    }
}

static void conv_run(const zoo_conv2d *conv, bool transposed, size_t groups, const float *x, const float *packed,
                     const float *bias, float *y, int32_t flags, void *workspace) {
    conv_call call = {conv_direction(conv, transposed), NULL, NULL, bias, flags, NULL};
    const direction *d = &call.d;
    bool one_pixel = d->source_height * d->source_width == 1 && d->height * d->width == 1;
    if (one_pixel && d->taps == 1 && d->channel_groups == 1 && conv->padding_x == 0 && conv->padding_y == 0)
        return conv_linear(&call, groups, x, packed, y);
    axis_range *rows = workspace, *columns = rows + d->height;
    conv_tables(conv, transposed, rows, columns);
    call.rows = rows, call.columns = columns;
    size_t table = sizeof(axis_range) * ((size_t)d->height + d->width);
    call.buffer = (float *)((char *)workspace + (table + 63) / 64 * 64);
    copy_plan plan = plan_copy(d);
    int32_t ins = d->source_channels / d->channel_groups, outs = d->channels / d->channel_groups;
    size_t x_plane = (size_t)d->source_height * d->source_width * 16, y_plane = (size_t)d->height * d->width * 16;
    for (size_t g = 0; g < groups; g++)
        for (int32_t h = 0; h < d->channel_groups; h++) {
            conv_job job = job_of(&call, x + (g * d->source_channels + (size_t)h * ins) * x_plane,
                                  packed + (size_t)h * outs * ins * d->taps,
                                  y + (g * d->channels + (size_t)h * outs) * y_plane);
            if (bias != NULL) job.bias = bias + (size_t)h * outs;
            if (plan.chunk > 0)
                conv_copied(&call, plan, job);
            else
                conv_all_blocks(job, outs, ins, 0, d->taps);
        }
}

void NAME(zoo_conv2d_forward)(const zoo_conv2d *conv, size_t groups, const float *x, const float *packed,
                              const float *bias, float *y, int32_t flags, void *workspace) {
    conv_run(conv, false, groups, x, packed, bias, y, flags, workspace);
}

void NAME(zoo_conv2d_input_gradient)(const zoo_conv2d *conv, size_t groups, const float *dy, const float *packed,
                                     float *dx, int32_t flags, void *workspace) {
    conv_run(conv, true, groups, dy, packed, NULL, dx, flags & ZOO_ADD, workspace);
}
