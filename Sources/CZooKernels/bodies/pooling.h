// Pooling over planes of the lanes layout. A window's part inside the image is found per axis: borders need no tests.

typedef struct pool_span {
    int32_t first_tap, begin, end;  // taps from first_tap on read source coordinates [begin, end)
} pool_span;

INLINE pool_span span_at(int32_t out, int32_t kernel, int32_t stride, int32_t padding, int32_t size) {
    int32_t start = out * stride - padding, begin = start < 0 ? 0 : start, end = start + kernel;
    pool_span span = {begin - start, begin, end > size ? size : end};
    return span;
}

#define POOL_LOOPS(pool)                                                                                              \
    const size_t in_plane = (size_t)(pool)->in_height * (pool)->in_width * 16;                                        \
    const size_t row = (size_t)(pool)->in_width * 16;                                                                 \
    for (size_t plane = 0; plane < planes; plane++)                                                                   \
        for (int32_t oy = 0; oy < (pool)->out_height; oy++) {                                                         \
            const pool_span ys = span_at(oy, (pool)->kernel_height, (pool)->stride_y, (pool)->padding_y,              \
                                         (pool)->in_height);                                                          \
            for (int32_t ox = 0; ox < (pool)->out_width; ox++) {                                                      \
                const pool_span xs = span_at(ox, (pool)->kernel_width, (pool)->stride_x, (pool)->padding_x,           \
                                             (pool)->in_width);                                                       \
                const size_t out =                                                                                    \
                    ((plane * (pool)->out_height + (size_t)oy) * (pool)->out_width + (size_t)ox) * 16;
#define POOL_END } }

/// Runs `body` for every tap of the window at `at` floats into the plane, as tap number `tap`.
#define POOL_TAPS(pool, body)                                                                                         \
    for (int32_t iy = ys.begin; iy < ys.end; iy++) {                                                                  \
        size_t at = plane * in_plane + (size_t)iy * row + (size_t)xs.begin * 16;                                      \
        int32_t tap = (ys.first_tap + iy - ys.begin) * (pool)->kernel_width + xs.first_tap;                           \
        for (int32_t ix = xs.begin; ix < xs.end; ix++, at += 16, tap++) { body }                                      \
    }

void NAME(zoo_max_pool2d)(const zoo_pool2d *pool, size_t planes, const float *x, float *y, int32_t *taps) {
    POOL_LOOPS(pool)
        lanes best = splat(-INFINITY);
        lanes_int best_tap = splat_int(ys.first_tap * pool->kernel_width + xs.first_tap);
        POOL_TAPS(pool, {
            lanes value = load(x + at);
            lanes_int better = (value > best) | (value != value);
            best = pick(better, value, best);
            best_tap = pick_int(better, splat_int(tap), best_tap);
        })
        store(y + out, best);
        if (taps != NULL) store_int(taps + out, best_tap);
    POOL_END
}

void NAME(zoo_max_pool2d_gather)(const zoo_pool2d *pool, size_t planes, const float *x, const int32_t *taps,
                                 float *y) {
    POOL_LOOPS(pool)
        lanes value = splat(0);
        const lanes_int chosen = load_int(taps + out);
        POOL_TAPS(pool, { value = pick(chosen == tap, load(x + at), value); })
        store(y + out, value);
    POOL_END
}

void NAME(zoo_max_pool2d_scatter)(const zoo_pool2d *pool, size_t planes, const float *dy, const int32_t *taps,
                                  float *dx, int32_t flags) {
    const bool once = pool->stride_y >= pool->kernel_height && pool->stride_x >= pool->kernel_width;
    const bool covers = once && !(flags & ZOO_ADD) && pool->stride_y == pool->kernel_height &&
                        pool->stride_x == pool->kernel_width && pool->padding_y == 0 && pool->padding_x == 0 &&
                        pool->out_height * pool->stride_y >= pool->in_height &&
                        pool->out_width * pool->stride_x >= pool->in_width;
    if (!(flags & ZOO_ADD) && !covers)
        memset(dx, 0, planes * (size_t)pool->in_height * pool->in_width * 16 * sizeof(float));
    POOL_LOOPS(pool)
        const lanes delta = load(dy + out);
        const lanes_int chosen = load_int(taps + out);
        if (covers) {
            POOL_TAPS(pool, { store(dx + at, pick(chosen == tap, delta, splat(0))); })
        } else {
            POOL_TAPS(pool, { store(dx + at, load(dx + at) + pick(chosen == tap, delta, splat(0))); })
        }
    POOL_END
}

/// One over the number of pixels that a window averages.
INLINE float pool_share(const zoo_pool2d *pool, pool_span ys, pool_span xs, int32_t oy, int32_t ox, int32_t flags) {
    int32_t height = ys.end - ys.begin, width = xs.end - xs.begin;
    if (flags & ZOO_COUNT_PADDING) {
        int32_t y = oy * pool->stride_y - pool->padding_y, x = ox * pool->stride_x - pool->padding_x;
        int32_t bottom = pool->in_height + pool->padding_y, right = pool->in_width + pool->padding_x;
        height = (y + pool->kernel_height < bottom ? y + pool->kernel_height : bottom) - y;
        width = (x + pool->kernel_width < right ? x + pool->kernel_width : right) - x;
    }
    return 1.0f / (float)(height * width);
}

void NAME(zoo_average_pool2d)(const zoo_pool2d *pool, size_t planes, const float *x, float *y, int32_t flags) {
    POOL_LOOPS(pool)
        lanes sum = splat(0);
        POOL_TAPS(pool, { (void)tap; sum += load(x + at); })
        store(y + out, sum * pool_share(pool, ys, xs, oy, ox, flags));
    POOL_END
}

void NAME(zoo_average_pool2d_gradient)(const zoo_pool2d *pool, size_t planes, const float *dy, float *dx,
                                       int32_t flags) {
    if (!(flags & ZOO_ADD)) memset(dx, 0, planes * (size_t)pool->in_height * pool->in_width * 16 * sizeof(float));
    POOL_LOOPS(pool)
        const lanes delta = load(dy + out) * pool_share(pool, ys, xs, oy, ox, flags);
        POOL_TAPS(pool, { (void)tap; store(dx + at, load(dx + at) + delta); })
    POOL_END
}
#undef POOL_LOOPS
#undef POOL_TAPS
#undef POOL_END

void NAME(zoo_global_average)(size_t planes, size_t pixels, const float *x, float *y) {
    const float share = 1.0f / (float)pixels;
    for (size_t plane = 0; plane < planes; plane++, x += pixels * 16) {
        lanes sum = splat(0), other = splat(0);
        size_t p = 0;
        for (; p + 1 < pixels; p += 2) sum += load(x + p * 16), other += load(x + p * 16 + 16);
        if (p < pixels) sum += load(x + p * 16);
        store(y + plane * 16, (sum + other) * share);
    }
}

void NAME(zoo_global_average_gradient)(size_t planes, size_t pixels, const float *dy, float *dx, int32_t flags) {
    const float share = 1.0f / (float)pixels;
    for (size_t plane = 0; plane < planes; plane++, dx += pixels * 16) {
        const lanes delta = load(dy + plane * 16) * share;
        if (flags & ZOO_ADD) {
            for (size_t p = 0; p < pixels; p++) store(dx + p * 16, load(dx + p * 16) + delta);
        } else {
            for (size_t p = 0; p < pixels; p++) store(dx + p * 16, delta);
        }
    }
}
