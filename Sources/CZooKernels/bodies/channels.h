// Affine maps and sums per channel of the lanes layout.

/// Pixels whose 16-lane sums are added in Float32 before they go to Float64.
#define CHANNEL_RUN 256

void NAME(zoo_channel_affine)(size_t groups, size_t channels, size_t pixels, const float *x, const float *scale,
                              const float *shift, float *y, int32_t flags) {
    for (size_t g = 0; g < groups; g++)
        for (size_t c = 0; c < channels; c++, x += pixels * 16, y += pixels * 16) {
            const lanes a = splat(scale != NULL ? scale[c] : 1), b = splat(shift != NULL ? shift[c] : 0);
            for (size_t p = 0; p < pixels * 16; p += 16) {
                lanes value = load(x + p) * a + b;
                if (flags & ZOO_ADD) value += load(y + p);
                if (flags & ZOO_CLAMP) value = pick(value < 0.0f, splat(0), value);
                store(y + p, value);
            }
        }
}

void NAME(zoo_channel_combine)(size_t groups, size_t channels, size_t pixels, const float *x, const float *a,
                               const float *y, const float *b, const float *c, const float *lane_weights,
                               float *out) {
    size_t at = 0;
    for (size_t g = 0; g < groups; g++) {
        const lanes weight = lane_weights != NULL ? load(lane_weights + g * 16) : splat(1);
        for (size_t i = 0; i < channels; i++) {
            const lanes wa = weight * a[i], wb = weight * b[i], wc = weight * c[i];
            for (size_t p = 0; p < pixels; p++, at += 16) store(out + at, load(x + at) * wa + load(y + at) * wb + wc);
        }
    }
}

typedef struct lane_totals {
    octet low, high;
} lane_totals;

INLINE void add_lanes(lane_totals *totals, lanes sum) { totals->low += low_half(sum), totals->high += high_half(sum); }

/// Sum over pixels of x, x * y or (x - center)^2 per lane.
INLINE lane_totals plane_totals(size_t pixels, const float *x, const float *y, const lanes *center) {
    lane_totals totals = {{0}, {0}};
    for (size_t begin = 0; begin < pixels; begin += CHANNEL_RUN) {
        size_t end = smaller(pixels, begin + CHANNEL_RUN), p = begin;
        lanes sum[2] = {splat(0), splat(0)};
        for (; p < end; p++) {
            lanes value = load(x + p * 16);
            if (y != NULL) value *= load(y + p * 16);
            if (center != NULL) value = (value - *center) * (value - *center);
            sum[p & 1] += value;
        }
        add_lanes(&totals, sum[0] + sum[1]);
    }
    return totals;
}

INLINE double weighted_total(lane_totals totals, const float *weights) {
    if (weights == NULL) return octet_sum(totals.low + totals.high);
    const lanes w = load(weights);
    // A lane of weight zero may hold anything finite; its product is zero.
    return octet_sum(totals.low * low_half(w) + totals.high * high_half(w));
}

INLINE void channel_sums(size_t groups, size_t channels, size_t pixels, const float *x, const float *y,
                         const float *lane_weights, float *sums, int32_t flags) {
    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        for (size_t g = 0; g < groups; g++) {
            size_t at = (g * channels + c) * pixels * 16;
            lane_totals totals = plane_totals(pixels, x + at, y == NULL ? NULL : y + at, NULL);
            sum += weighted_total(totals, lane_weights == NULL ? NULL : lane_weights + g * 16);
        }
        sums[c] = (float)(flags & ZOO_ADD ? sums[c] + sum : sum);
    }
}

void NAME(zoo_channel_sums)(size_t groups, size_t channels, size_t pixels, const float *x, const float *lane_weights,
                            float *sums, int32_t flags) {
    channel_sums(groups, channels, pixels, x, NULL, lane_weights, sums, flags);
}

void NAME(zoo_channel_dots)(size_t groups, size_t channels, size_t pixels, const float *x, const float *y,
                            const float *lane_weights, float *dots, int32_t flags) {
    channel_sums(groups, channels, pixels, x, y, lane_weights, dots, flags);
}

void NAME(zoo_channel_moments)(size_t groups, size_t channels, size_t pixels, const float *x,
                               const float *lane_weights, float *mean, float *variance) {
    double weight = 0;
    for (size_t g = 0; g < groups; g++)
        for (size_t i = 0; i < 16; i++) weight += lane_weights == NULL ? 1 : lane_weights[g * 16 + i];
    weight *= (double)pixels;
    for (size_t c = 0; c < channels; c++) {
        double sum = 0, squares = 0;
        for (size_t g = 0; g < groups; g++)
            sum += weighted_total(plane_totals(pixels, x + (g * channels + c) * pixels * 16, NULL, NULL),
                                  lane_weights == NULL ? NULL : lane_weights + g * 16);
        const double center_value = sum / weight;
        const lanes center = splat((float)center_value);
        for (size_t g = 0; g < groups; g++)
            squares += weighted_total(plane_totals(pixels, x + (g * channels + c) * pixels * 16, NULL, &center),
                                      lane_weights == NULL ? NULL : lane_weights + g * 16);
        // The center was rounded; its square is taken off again.
        const double off = center_value - (float)center_value;
        mean[c] = (float)center_value;
        variance[c] = (float)fmax(squares / weight - off * off, 0);
    }
}
