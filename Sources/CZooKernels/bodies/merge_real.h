// Merge kernels for one element type. Included twice by merge.h, with REAL, BITS (its unsigned integer), R(name) and
// REAL_ABS defined.

/// Elements that stay in the first cache while several loops go over them.
#define MERGE_STEP 512

static void R(subtract)(size_t count, const REAL *a, const REAL *b, REAL *output) {
    for (size_t i = 0; i < count; i++) output[i] = a[i] - b[i];
}

static void R(scale)(size_t count, double factor, REAL *x) {
    const REAL f = (REAL)factor;
    for (size_t i = 0; i < count; i++) x[i] *= f;
}

/// total (+)= weight * x.
INLINE void R(accumulate)(size_t count, REAL weight, const REAL *restrict x, REAL *restrict total, bool fresh) {
    if (fresh) {
        for (size_t i = 0; i < count; i++) total[i] = weight * x[i];
    } else {
        for (size_t i = 0; i < count; i++) total[i] += weight * x[i];
    }
}

static void R(sum)(size_t count, const REAL *const *deltas, const double *weights, size_t k, double divisor,
                   double lambda, const REAL *base, REAL *output) {
    REAL total[MERGE_STEP] __attribute__((aligned(64)));
    const REAL d = (REAL)divisor, l = (REAL)lambda;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        for (size_t m = 0; m < k; m++) R(accumulate)(n, (REAL)weights[m], deltas[m] + at, total, m == 0);
        if (k == 0) memset(total, 0, sizeof total);
        if (d == 1 && l == 1) {
            for (size_t i = 0; i < n; i++) output[at + i] = base[at + i] + total[i];
        } else {
            for (size_t i = 0; i < n; i++) output[at + i] = base[at + i] + l * (total[i] / d);
        }
    }
}

static void R(consensus)(size_t count, const REAL *const *deltas, const double *weights, size_t k, bool by_count,
                         bool normalise, double lambda, const REAL *base, REAL *output) {
    REAL sum[MERGE_STEP] __attribute__((aligned(64)));
    REAL numerator[MERGE_STEP] __attribute__((aligned(64)));
    REAL divisor[MERGE_STEP] __attribute__((aligned(64)));
    const REAL l = (REAL)lambda;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        for (size_t i = 0; i < n; i++) sum[i] = numerator[i] = divisor[i] = 0;
        for (size_t m = 0; m < k; m++) {
            const REAL w = (REAL)weights[m];
            const REAL *restrict d = deltas[m] + at;
            if (by_count) {
                for (size_t i = 0; i < n; i++) {
                    REAL v = w * d[i];
                    sum[i] += (v > 0 ? (REAL)1 : 0) - (v < 0 ? (REAL)1 : 0);
                }
            } else {
                for (size_t i = 0; i < n; i++) sum[i] += w * d[i];
            }
        }
        for (size_t m = 0; m < k; m++) {
            const REAL w = (REAL)weights[m];
            const REAL *restrict d = deltas[m] + at;
            for (size_t i = 0; i < n; i++) {
                REAL v = w * d[i];
                // A product with the elected sign is positive; exact zeros never agree.
                REAL turned = sum[i] >= 0 ? v : -v;
                numerator[i] += turned > 0 ? v : 0;
                divisor[i] += turned > 0 ? w : 0;
            }
        }
        if (normalise) {
            for (size_t i = 0; i < n; i++) numerator[i] /= divisor[i] == 0 ? (REAL)1 : divisor[i];
        }
        for (size_t i = 0; i < n; i++) output[at + i] = base[at + i] + l * numerator[i];
    }
}

static void R(nearswap)(size_t count, const REAL *a, const REAL *b, double t, REAL *output) {
    const REAL step = (REAL)t, floor = (REAL)1e-6;
    for (size_t i = 0; i < count; i++) {
        REAL distance = REAL_ABS(a[i] - b[i]);
        REAL w = step / (distance < floor ? floor : distance);
        w = w < 0 ? 0 : w > 1 ? 1 : w;
        output[i] = w * b[i] + (1 - w) * a[i];
    }
}

static void R(largest)(size_t count, const REAL *const *deltas, size_t k, double alpha, const REAL *base,
                       REAL *output) {
    REAL best[MERGE_STEP] __attribute__((aligned(64)));
    const REAL a = (REAL)alpha;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        for (size_t i = 0; i < n; i++) best[i] = 0;
        for (size_t m = 0; m < k; m++) {
            const REAL *restrict d = deltas[m] + at;
            for (size_t i = 0; i < n; i++) best[i] = REAL_ABS(d[i]) >= REAL_ABS(best[i]) ? d[i] : best[i];
        }
        for (size_t i = 0; i < n; i++) output[at + i] = base[at + i] + a * best[i];
    }
}

static void R(consensus_mask)(size_t count, const REAL *const *deltas, size_t k, double lambda, size_t least,
                              double alpha, const REAL *base, REAL *output) {
    REAL sum[MERGE_STEP] __attribute__((aligned(64)));
    REAL votes[MERGE_STEP] __attribute__((aligned(64)));
    const REAL l = (REAL)lambda, a = (REAL)alpha, needed = (REAL)least;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        for (size_t i = 0; i < n; i++) sum[i] = votes[i] = 0;
        for (size_t m = 0; m < k; m++) {
            const REAL *restrict d = deltas[m] + at;
            for (size_t i = 0; i < n; i++) sum[i] += d[i];
        }
        for (size_t m = 0; m < k; m++) {
            const REAL *restrict d = deltas[m] + at;
            for (size_t i = 0; i < n; i++)
                votes[i] += REAL_ABS(d[i]) > l * REAL_ABS(sum[i] - d[i]) ? (REAL)1 : (REAL)0;
        }
        for (size_t i = 0; i < n; i++) output[at + i] = base[at + i] + (votes[i] >= needed ? a * sum[i] : 0);
    }
}

static void R(columns)(size_t count, const REAL *const *inputs, size_t k, const double *coefficients, size_t stride,
                       REAL *output) {
    double total[MERGE_STEP] __attribute__((aligned(64)));
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        for (size_t i = 0; i < n; i++) total[i] = 0;
        for (size_t m = 0; m < k; m++) {
            const REAL *restrict x = inputs[m] + at;
            const double *restrict c = coefficients + m * stride + at;
            for (size_t i = 0; i < n; i++) total[i] += c[i] * (double)x[i];
        }
        for (size_t i = 0; i < n; i++) output[at + i] = (REAL)total[i];
    }
}

/// Sixteen partial sums, added in pairs at the end: a fixed order that vectorises.
static double R(dot)(size_t count, const REAL *restrict x, const REAL *restrict y) {
    double part[16] __attribute__((aligned(64))) = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (size_t j = 0; j < 16; j++) part[j] += (double)x[i + j] * (double)y[i + j];
    for (size_t j = 0; i + j < count; j++) part[j] += (double)x[i + j] * (double)y[i + j];
    for (size_t step = 8; step > 0; step /= 2)
        for (size_t j = 0; j < step; j++) part[j] += part[j + step];
    return part[0];
}

static void R(gram)(size_t count, const REAL *const *vectors, size_t k, double *gram) {
    for (size_t i = 0; i < k; i++)
        for (size_t j = i; j < k; j++) gram[i * k + j] += R(dot)(count, vectors[i], vectors[j]);
}

static void R(column_dots)(size_t count, const REAL *restrict a, const REAL *restrict b, double *restrict dots) {
    for (size_t i = 0; i < count; i++) dots[i] += (double)a[i] * (double)b[i];
}

static void R(magnitudes)(size_t count, const REAL *restrict x, double *sums) {
    double sum[16] __attribute__((aligned(64))) = {0};
    double largest[16] __attribute__((aligned(64))) = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (size_t j = 0; j < 16; j++) {
            double m = (double)REAL_ABS(x[i + j]);
            sum[j] += m;
            largest[j] = m > largest[j] ? m : largest[j];
        }
    for (size_t j = 0; i + j < count; j++) {
        double m = (double)REAL_ABS(x[i + j]);
        sum[j] += m;
        largest[j] = m > largest[j] ? m : largest[j];
    }
    for (size_t step = 8; step > 0; step /= 2)
        for (size_t j = 0; j < step; j++) {
            sum[j] += sum[j + step];
            largest[j] = largest[j] > largest[j + step] ? largest[j] : largest[j + step];
        }
    sums[0] += sum[0];
    sums[1] += R(dot)(count, x, x);
    sums[2] = sums[2] > largest[0] ? sums[2] : largest[0];
}

static void R(drop)(size_t count, uint64_t key, uint64_t first, double keep, bool inverse, REAL *x) {
    const REAL factor = inverse ? (REAL)(1 / keep) : (REAL)1;
    // The hash's upper 53 bits below this number: the same as the quotient below `keep`, in integers.
    const uint64_t limit = keep >= 1 ? 1ull << 53 : keep <= 0 ? 0 : (uint64_t)ceil(keep * 0x1p53);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = hash_of(key, first + i) >> 11;
        x[i] = hash < limit ? x[i] * factor : 0;
    }
}

static void R(drop_each)(size_t count, uint64_t key, uint64_t first, const double *keep, bool inverse, REAL *x) {
    for (size_t i = 0; i < count; i++) {
        double u = (double)(hash_of(key, first + i) >> 11) * 0x1p-53;
        REAL factor = inverse ? (REAL)(1 / keep[i]) : (REAL)1;
        x[i] = u < keep[i] ? x[i] * factor : 0;
    }
}

INLINE BITS R(bits)(REAL x) {
    BITS bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & (BITS)~((BITS)1 << (8 * sizeof(BITS) - 1));
}

static void R(histogram)(size_t count, const REAL *x, int32_t shift, int32_t width, uint64_t prefix, uint64_t *bins) {
    const BITS mask = (BITS)(((BITS)1 << width) - 1);
    const int32_t above = shift + width;
    if (above >= (int32_t)(8 * sizeof(BITS)) - 1) {
        for (size_t i = 0; i < count; i++) bins[R(bits)(x[i]) >> shift & mask]++;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        BITS bits = R(bits)(x[i]);
        if ((uint64_t)(bits >> above) == prefix) bins[bits >> shift & mask]++;
    }
}

static uint64_t R(count_bits)(size_t count, const REAL *x, uint64_t wanted) {
    const BITS bits = (BITS)wanted;
    uint64_t found = 0;
    for (size_t i = 0; i < count; i++) found += R(bits)(x[i]) == bits;
    return found;
}

static void R(trim)(size_t count, const zoo_merge_range *range, uint64_t *low_rank, uint64_t *high_rank, REAL *x) {
    const BITS low = (BITS)range->low, high = (BITS)range->high;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        REAL *restrict part = x + at;
        uint64_t equal = 0;
        for (size_t i = 0; i < n; i++) {
            BITS bits = R(bits)(part[i]);
            equal += (uint64_t)(bits == low) + (uint64_t)(bits == high);
        }
        if (equal == 0) {
            for (size_t i = 0; i < n; i++) {
                BITS bits = R(bits)(part[i]);
                part[i] = ((bits > low) & (bits < high)) ? part[i] : 0;
            }
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            BITS bits = R(bits)(part[i]);
            bool stays = bits > low && bits < high;
            if (bits == low) {
                uint64_t rank = (*low_rank)++;
                stays = rank >= range->low_from && rank < range->low_to;
            } else if (bits == high) {
                stays = (*high_rank)++ < range->high_to;
            }
            if (!stays) part[i] = 0;
        }
    }
}

static void R(ranks)(size_t count, const REAL *x, uint32_t *ranks, uint64_t *scratch) {
    // Least significant digit first, eleven bits a pass, stable: equals stay in order.
    uint64_t *from = scratch, *to = scratch + 2 * count;
    for (size_t i = 0; i < count; i++) {
        from[2 * i] = (uint64_t)R(bits)(x[i]);
        from[2 * i + 1] = i;
    }
    for (int32_t shift = 0; shift < (int32_t)(8 * sizeof(BITS)); shift += 11) {
        size_t starts[2048] = {0};
        for (size_t i = 0; i < count; i++) starts[from[2 * i] >> shift & 2047]++;
        size_t start = 0;
        bool single = false;
        for (size_t d = 0; d < 2048; d++) {
            size_t size = starts[d];
            single |= size == count;
            starts[d] = start;
            start += size;
        }
        if (single) continue;
        for (size_t i = 0; i < count; i++) {
            size_t place = starts[from[2 * i] >> shift & 2047]++;
            to[2 * place] = from[2 * i];
            to[2 * place + 1] = from[2 * i + 1];
        }
        uint64_t *other = from;
        from = to;
        to = other;
    }
    for (size_t i = 0; i < count; i++) ranks[from[2 * i + 1]] = (uint32_t)i;
}

static void R(variance)(size_t count, const REAL *const *deltas, size_t k, REAL *output) {
    REAL mean[MERGE_STEP] __attribute__((aligned(64)));
    REAL sum[MERGE_STEP] __attribute__((aligned(64)));
    const REAL models = (REAL)k;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        for (size_t m = 0; m < k; m++) R(accumulate)(n, 1, deltas[m] + at, mean, m == 0);
        for (size_t i = 0; i < n; i++) mean[i] /= models, sum[i] = 0;
        for (size_t m = 0; m < k; m++) {
            const REAL *restrict d = deltas[m] + at;
            for (size_t i = 0; i < n; i++) sum[i] += (d[i] - mean[i]) * (d[i] - mean[i]);
        }
        for (size_t i = 0; i < n; i++) output[at + i] = sum[i] / models;
    }
}

static void R(erase)(size_t count, const REAL *const *deltas, const double *coefficients, size_t k, double floor,
                     const REAL *base, REAL *output) {
    REAL sum[MERGE_STEP] __attribute__((aligned(64)));
    REAL numerator[MERGE_STEP] __attribute__((aligned(64)));
    REAL divisor[MERGE_STEP] __attribute__((aligned(64)));
    const REAL least = (REAL)floor;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        for (size_t i = 0; i < n; i++) sum[i] = numerator[i] = divisor[i] = 0;
        for (size_t m = 0; m < k; m++) {
            const REAL *restrict d = deltas[m] + at;
            for (size_t i = 0; i < n; i++) sum[i] += d[i];
        }
        for (size_t m = 0; m < k; m++) {
            const REAL c = (REAL)coefficients[m];
            const REAL *restrict d = deltas[m] + at;
            for (size_t i = 0; i < n; i++) {
                REAL turned = sum[i] >= 0 ? d[i] : -d[i];
                numerator[i] += turned > 0 ? c * d[i] : 0;
                divisor[i] += turned > 0 ? c : 0;
            }
        }
        for (size_t i = 0; i < n; i++)
            output[at + i] = base[at + i] + numerator[i] / (divisor[i] < least ? least : divisor[i]);
    }
}

/// How many deltas exceed epsilon at each of `n` positions from `at` on.
INLINE void R(active)(size_t n, size_t at, const REAL *const *deltas, size_t k, REAL epsilon, REAL *restrict active) {
    for (size_t i = 0; i < n; i++) active[i] = 0;
    for (size_t m = 0; m < k; m++) {
        const REAL *restrict d = deltas[m] + at;
        for (size_t i = 0; i < n; i++) active[i] += REAL_ABS(d[i]) > epsilon ? (REAL)1 : (REAL)0;
    }
}

static void R(activity)(size_t count, const REAL *const *deltas, size_t k, double epsilon, uint64_t *counts) {
    REAL active[MERGE_STEP] __attribute__((aligned(64)));
    const REAL e = (REAL)epsilon;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        R(active)(n, at, deltas, k, e, active);
        for (size_t m = 0; m < k; m++) {
            const REAL *restrict d = deltas[m] + at;
            uint64_t alone = 0, together = 0;
            for (size_t i = 0; i < n; i++) {
                bool exceeds = REAL_ABS(d[i]) > e;
                alone += exceeds & (active[i] == 1);
                together += exceeds & (active[i] > 1);
            }
            counts[2 * m] += alone;
            counts[2 * m + 1] += together;
        }
    }
}

static void R(unique)(size_t count, const REAL *const *deltas, const double *unique, size_t k, double epsilon,
                      const REAL *base, REAL *output) {
    REAL active[MERGE_STEP] __attribute__((aligned(64)));
    REAL shared[MERGE_STEP] __attribute__((aligned(64)));
    REAL alone[MERGE_STEP] __attribute__((aligned(64)));
    const REAL e = (REAL)epsilon;
    for (size_t at = 0; at < count; at += MERGE_STEP) {
        const size_t n = smaller(MERGE_STEP, count - at);
        R(active)(n, at, deltas, k, e, active);
        for (size_t i = 0; i < n; i++) shared[i] = alone[i] = 0;
        for (size_t m = 0; m < k; m++) {
            const REAL factor = (REAL)unique[m];
            const REAL *restrict d = deltas[m] + at;
            for (size_t i = 0; i < n; i++) {
                REAL v = REAL_ABS(d[i]) > e ? d[i] : 0;
                shared[i] += v;
                alone[i] += factor * v;
            }
        }
        for (size_t i = 0; i < n; i++) {
            REAL divisor = active[i] < 1 ? (REAL)1 : active[i];
            output[at + i] = base[at + i] + (active[i] == 1 ? alone[i] : shared[i] / divisor);
        }
    }
}

static double R(divergence)(size_t count, const REAL *a, const REAL *b) {
    double top_a = -INFINITY, top_b = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        top_a = a[i] > top_a ? (double)a[i] : top_a;
        top_b = b[i] > top_b ? (double)b[i] : top_b;
    }
    double sum_a = 0, sum_b = 0;
    for (size_t i = 0; i < count; i++) {
        sum_a += exp((double)a[i] - top_a);
        sum_b += exp((double)b[i] - top_b);
    }
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        double p = exp((double)b[i] - top_b) / sum_b + 1e-8, q = exp((double)a[i] - top_a) / sum_a + 1e-8;
        total += p * log(p / q);
    }
    return total;
}

static void R(importance)(size_t count, const REAL *a, const REAL *b, double factor, REAL *output) {
    const REAL f = (REAL)factor;
    for (size_t i = 0; i < count; i++) output[i] = REAL_ABS(b[i] - a[i]) * f;
}

static void R(choose)(size_t count, const REAL *a, const REAL *b, const REAL *importance, double threshold,
                      REAL *output) {
    const REAL t = (REAL)threshold;
    for (size_t i = 0; i < count; i++) output[i] = a[i] + (importance[i] >= t ? b[i] - a[i] : 0);
}
#undef MERGE_STEP
