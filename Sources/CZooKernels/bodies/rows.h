// Row-major kernels. Rows are walked sixteen floats at a time; the last step of a row may be shorter.

/// Rows whose column sums are added in Float32 before they join the result.
#define ROW_RUN 64

INLINE lanes take(const float *p, size_t left, float fill) { return left >= 16 ? load(p) : load_part(p, left, fill); }
INLINE void give(float *p, lanes v, size_t left) {
    if (left >= 16)
        store(p, v);
    else
        store_part(p, v, left);
}

INLINE float row_mean(size_t width, const float *x) {
    lanes sum[2] = {splat(0), splat(0)};
    for (size_t i = 0; i < width; i += 16) sum[i / 16 & 1] += take(x + i, width - i, 0);
    return lane_sum(sum[0] + sum[1]) / (float)width;
}

/// Mean of (x - center)^2.
INLINE float row_square(size_t width, const float *x, float center) {
    lanes sum[2] = {splat(0), splat(0)};
    for (size_t i = 0; i < width; i += 16) {
        lanes d = take(x + i, width - i, center) - center;
        sum[i / 16 & 1] += d * d;
    }
    return lane_sum(sum[0] + sum[1]) / (float)width;
}

/// y = (x - center) * factor * gamma + beta
INLINE void row_affine(size_t width, const float *x, float center, float factor, const float *gamma, const float *beta,
                       float *y) {
    for (size_t i = 0; i < width; i += 16) {
        size_t left = width - i;
        lanes value = (take(x + i, left, 0) - center) * factor;
        if (gamma != NULL) value *= take(gamma + i, left, 0);
        if (beta != NULL) value += take(beta + i, left, 0);
        give(y + i, value, left);
    }
}

void NAME(zoo_layer_norm)(size_t rows, size_t width, const float *x, const float *gamma, const float *beta,
                          float epsilon, float *y, float *mean, float *rstd) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        float m = row_mean(width, x), factor = 1.0f / sqrtf(row_square(width, x, m) + epsilon);
        row_affine(width, x, m, factor, gamma, beta, y);
        if (mean != NULL) mean[r] = m;
        if (rstd != NULL) rstd[r] = factor;
    }
}

void NAME(zoo_rms_norm)(size_t rows, size_t width, const float *x, const float *gamma, float epsilon, float *y,
                        float *rstd) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        float factor = 1.0f / sqrtf(row_square(width, x, 0) + epsilon);
        row_affine(width, x, 0, factor, gamma, NULL, y);
        if (rstd != NULL) rstd[r] = factor;
    }
}

/// Gradients of gamma and beta over at most ROW_RUN rows, column block by column block.
INLINE void norm_parameter_gradients(size_t rows, size_t width, const float *x, const float *mean, const float *rstd,
                                     const float *dy, float *dgamma, float *dbeta) {
    for (size_t i = 0; i < width; i += 16) {
        size_t left = width - i;
        lanes gamma = splat(0), beta = splat(0);
        for (size_t r = 0; r < rows; r++) {
            lanes delta = take(dy + r * width + i, left, 0), value = take(x + r * width + i, left, 0);
            gamma += delta * ((value - (mean != NULL ? mean[r] : 0)) * rstd[r]);
            beta += delta;
        }
        if (dgamma != NULL) give(dgamma + i, take(dgamma + i, left, 0) + gamma, left);
        if (dbeta != NULL) give(dbeta + i, take(dbeta + i, left, 0) + beta, left);
    }
}

/// dx = rstd * (g - mean(g) - h * mean(g * h)) with g = dy * gamma and h the normalised row; without `center` no
/// mean(g).
INLINE void norm_row_gradient(size_t width, const float *x, const float *gamma, float mean, float rstd, bool center,
                              const float *dy, float *dx) {
    lanes first = splat(0), second = splat(0);
    for (size_t i = 0; i < width; i += 16) {
        size_t left = width - i;
        lanes g = take(dy + i, left, 0);
        if (gamma != NULL) g *= take(gamma + i, left, 0);
        first += g;
        second += g * ((take(x + i, left, 0) - mean) * rstd);
    }
    const float mean_g = center ? lane_sum(first) / (float)width : 0, mean_gh = lane_sum(second) / (float)width;
    for (size_t i = 0; i < width; i += 16) {
        size_t left = width - i;
        lanes g = take(dy + i, left, 0), h = (take(x + i, left, 0) - mean) * rstd;
        if (gamma != NULL) g *= take(gamma + i, left, 0);
        give(dx + i, (g - mean_g - h * mean_gh) * rstd, left);
    }
}

INLINE void norm_gradient(size_t rows, size_t width, const float *x, const float *gamma, const float *mean,
                          const float *rstd, const float *dy, float *dx, float *dgamma, float *dbeta, int32_t flags) {
    if (!(flags & ZOO_ADD)) {
        if (dgamma != NULL) memset(dgamma, 0, width * sizeof(float));
        if (dbeta != NULL) memset(dbeta, 0, width * sizeof(float));
    }
    for (size_t begin = 0; begin < rows; begin += ROW_RUN) {
        size_t end = smaller(rows, begin + ROW_RUN), at = begin * width;
        if (dgamma != NULL || dbeta != NULL)
            norm_parameter_gradients(end - begin, width, x + at, mean != NULL ? mean + begin : NULL, rstd + begin,
                                     dy + at, dgamma, dbeta);
        if (dx == NULL) continue;
        for (size_t r = begin; r < end; r++)
            norm_row_gradient(width, x + r * width, gamma, mean != NULL ? mean[r] : 0, rstd[r], mean != NULL,
                              dy + r * width, dx + r * width);
    }
}

void NAME(zoo_layer_norm_gradient)(size_t rows, size_t width, const float *x, const float *gamma, const float *mean,
                                   const float *rstd, const float *dy, float *dx, float *dgamma, float *dbeta,
                                   int32_t flags) {
    norm_gradient(rows, width, x, gamma, mean, rstd, dy, dx, dgamma, dbeta, flags);
}

void NAME(zoo_rms_norm_gradient)(size_t rows, size_t width, const float *x, const float *gamma, const float *rstd,
                                 const float *dy, float *dx, float *dgamma, int32_t flags) {
    norm_gradient(rows, width, x, gamma, NULL, rstd, dy, dx, dgamma, NULL, flags);
}

// MARK: Softmax

INLINE float row_max(size_t width, const float *x) {
    lanes most = splat(-INFINITY);
    for (size_t i = 0; i < width; i += 16) {
        lanes value = take(x + i, width - i, -INFINITY);
        most = pick(value > most, value, most);
    }
    return lane_max(most);
}

/// y = e^(x - most) (not stored when y is NULL), returns the sum.
INLINE float row_exp(size_t width, const float *x, float most, float *y) {
    lanes sum = splat(0);
    for (size_t i = 0; i < width; i += 16) {
        size_t left = width - i;
        lanes e = exp_lanes(take(x + i, left, -INFINITY) - most);
        sum += e;
        if (y != NULL) give(y + i, e, left);
    }
    return lane_sum(sum);
}

INLINE void row_scale(size_t width, float factor, float *y) {
    for (size_t i = 0; i < width; i += 16) give(y + i, take(y + i, width - i, 0) * factor, width - i);
}

void NAME(zoo_softmax_rows)(size_t queries, size_t keys, const float *x, size_t x_stride, float scale,
                            const float *mask, size_t mask_stride, int64_t causal_offset, float *y,
                            size_t y_stride) {
    for (size_t q = 0; q < queries; q++, x += x_stride, y += y_stride) {
        size_t visible = keys;
        // Written so that INT64_MAX can't overflow.
        if (causal_offset < (int64_t)keys - (int64_t)q - 1) {
            int64_t last = (int64_t)q + causal_offset;
            visible = last < 0 ? 0 : (size_t)last + 1;
        }
        lanes most = splat(-INFINITY);
        for (size_t i = 0; i < visible; i += 16) {
            size_t left = visible - i;
            lanes value = take(x + i, left, 0) * scale;
            if (mask != NULL) value += take(mask + q * mask_stride + i, left, 0);
            if (left < 16) {
                float part[16];
                store(part, value);
                value = load_part(part, left, -INFINITY);
            }
            most = pick(value > most, value, most);
            give(y + i, value, left);
        }
        float highest = lane_max(most), sum = 0;
        if (highest > -INFINITY) sum = row_exp(visible, y, highest, y);
        // With NaN among -infinity the maximum is -infinity as well; NaN must not turn into zeros.
        for (size_t i = 0; i < visible && highest == -INFINITY; i++) y[i] = y[i] != y[i] ? y[i] : 0;
        if (highest > -INFINITY) row_scale(visible, 1.0f / sum, y);
        memset(y + visible, 0, (keys - visible) * sizeof(float));
    }
}

void NAME(zoo_softmax_rows_gradient)(size_t rows, size_t width, const float *p, const float *g, float scale,
                                     float *out, int32_t flags) {
    for (size_t r = 0; r < rows; r++, p += width, g += width, out += width) {
        lanes sum = splat(0);
        for (size_t i = 0; i < width; i += 16) sum += take(p + i, width - i, 0) * take(g + i, width - i, 0);
        const float inner = lane_sum(sum);
        for (size_t i = 0; i < width; i += 16) {
            size_t left = width - i;
            lanes value = take(p + i, left, 0) * (take(g + i, left, 0) - inner) * scale;
            if (flags & ZOO_ADD) value += take(out + i, left, 0);
            give(out + i, value, left);
        }
    }
}

INLINE float log_one(float x) {
    float part[16];
    store(part, log_lanes(splat(x)));
    return part[0];
}

void NAME(zoo_log_softmax_rows)(size_t rows, size_t width, const float *x, float *y) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        float most = row_max(width, x), rest = log_one(row_exp(width, x, most, NULL));
        for (size_t i = 0; i < width; i += 16) {
            size_t left = width - i;
            give(y + i, (take(x + i, left, 0) - most) - rest, left);
        }
    }
}

void NAME(zoo_cross_entropy_rows)(size_t rows, size_t classes, const float *x, const int32_t *labels, float smoothing,
                                  const float *row_weights, float *losses, float *gradient) {
    const float even = smoothing / (float)classes, sharp = 1.0f - smoothing;
    for (size_t r = 0; r < rows; r++, x += classes) {
        float *row = gradient != NULL ? gradient + r * classes : NULL;
        if (labels[r] < 0) {
            if (losses != NULL) losses[r] = 0;
            if (row != NULL) memset(row, 0, classes * sizeof(float));
            continue;
        }
        const float most = row_max(classes, x), chosen = x[labels[r]];
        const float spread = smoothing != 0 ? most - row_mean(classes, x) : 0;
        const float sum = row_exp(classes, x, most, row);
        if (losses != NULL)
            losses[r] = (smoothing != 0 ? (most - chosen) * sharp + spread * smoothing : most - chosen) + log_one(sum);
        if (row == NULL) continue;
        const float weight = row_weights != NULL ? row_weights[r] : 1, share = weight / sum;
        for (size_t i = 0; i < classes; i += 16)
            give(row + i, take(row + i, classes - i, 0) * share - weight * even, classes - i);
        row[labels[r]] -= weight * sharp;
    }
}

void NAME(zoo_argmax_rows)(size_t rows, size_t width, const float *x, int32_t *indices) {
    for (size_t r = 0; r < rows; r++, x += width) {
        float best = x[0];
        int32_t index = 0;
        for (size_t i = 1; i < width; i++) {
            if (!(x[i] > best) && (x[i] == x[i] || best != best)) continue;
            best = x[i];
            index = (int32_t)i;
        }
        indices[r] = index;
    }
}

// MARK: Columns

void NAME(zoo_column_affine)(size_t rows, size_t width, const float *x, const float *scale, const float *bias,
                             float *y, int32_t flags) {
    for (size_t r = 0; r < rows; r++, x += width, y += width)
        for (size_t i = 0; i < width; i += 16) {
            size_t left = width - i;
            lanes value = take(x + i, left, 0);
            if (scale != NULL) value *= take(scale + i, left, 0);
            if (bias != NULL) value += take(bias + i, left, 0);
            if (flags & ZOO_ADD) value += take(y + i, left, 0);
            give(y + i, value, left);
        }
}

INLINE lanes row_step(const zoo_row_operation operation, lanes x, float v) {
    switch (operation) {
    case ZOO_ROW_ADD: return x + v;
    case ZOO_ROW_SUBTRACT: return x - v;
    case ZOO_ROW_SUBTRACT_FROM: return v - x;
    case ZOO_ROW_MULTIPLY: return x * v;
    }
    return x;
}

INLINE void row_loop(const zoo_row_operation operation, size_t rows, size_t width, const float *x, const float *v,
                     float *y) {
    for (size_t r = 0; r < rows; r++, x += width, y += width)
        for (size_t i = 0; i < width; i += 16)
            give(y + i, row_step(operation, take(x + i, width - i, 0), v[r]), width - i);
}

void NAME(zoo_row_apply)(zoo_row_operation operation, size_t rows, size_t width, const float *x, const float *v,
                         float *y) {
    switch (operation) {
    case ZOO_ROW_ADD: return row_loop(ZOO_ROW_ADD, rows, width, x, v, y);
    case ZOO_ROW_SUBTRACT: return row_loop(ZOO_ROW_SUBTRACT, rows, width, x, v, y);
    case ZOO_ROW_SUBTRACT_FROM: return row_loop(ZOO_ROW_SUBTRACT_FROM, rows, width, x, v, y);
    case ZOO_ROW_MULTIPLY: return row_loop(ZOO_ROW_MULTIPLY, rows, width, x, v, y);
    }
}

void NAME(zoo_column_sums)(size_t rows, size_t width, const float *x, const float *y, float *sums, int32_t flags) {
    if (!(flags & ZOO_ADD)) memset(sums, 0, width * sizeof(float));
    for (size_t begin = 0; begin < rows; begin += ROW_RUN) {
        size_t end = smaller(rows, begin + ROW_RUN);
        for (size_t i = 0; i < width; i += 16) {
            size_t left = width - i;
            lanes sum = splat(0);
            for (size_t r = begin; r < end; r++) {
                lanes value = take(x + r * width + i, left, 0);
                if (y != NULL) value *= take(y + r * width + i, left, 0);
                sum += value;
            }
            give(sums + i, take(sums + i, left, 0) + sum, left);
        }
    }
}

void NAME(zoo_row_sums)(size_t rows, size_t width, const float *x, const float *y, float *sums, int32_t flags) {
    for (size_t r = 0; r < rows; r++) {
        lanes sum[2] = {splat(0), splat(0)};
        for (size_t i = 0; i < width; i += 16) {
            lanes value = take(x + r * width + i, width - i, 0);
            if (y != NULL) value *= take(y + r * width + i, width - i, 0);
            sum[i / 16 & 1] += value;
        }
        float total = lane_sum(sum[0] + sum[1]);
        sums[r] = flags & ZOO_ADD ? sums[r] + total : total;
    }
}

void NAME(zoo_rotary)(size_t tokens, size_t heads, size_t head_size, size_t rotary_size, const int32_t *positions,
                      const float *cosines, const float *sines, bool interleaved, bool inverse, const float *x,
                      float *y) {
    const size_t half = rotary_size / 2;
    const float sign = inverse ? -1.0f : 1.0f;
    const size_t apart = interleaved ? 1 : half, step = interleaved ? 2 : 1;
    for (size_t t = 0; t < tokens; t++) {
        size_t position = positions != NULL ? (size_t)positions[t] : t;
        const float *cosine = cosines + position * half, *sine = sines + position * half;
        for (size_t h = 0; h < heads; h++, x += head_size, y += head_size) {
#pragma clang loop vectorize(assume_safety)
            for (size_t i = 0; i < half; i++) {
                float a = x[i * step], b = x[i * step + apart], s = sine[i] * sign;
                y[i * step] = a * cosine[i] - b * s;
                y[i * step + apart] = b * cosine[i] + a * s;
            }
            if (y != x) memcpy(y + rotary_size, x + rotary_size, (head_size - rotary_size) * sizeof(float));
        }
    }
}
