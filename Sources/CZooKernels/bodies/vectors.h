// Streaming kernels. Every operation is rounded by itself (no fused multiply-add) and sums have a fixed order, so all
// instruction sets give the same bytes.

#include "../half.h"

#pragma clang fp contract(off)

typedef float __attribute__((aligned(1))) any_float;
typedef double __attribute__((aligned(1))) any_double;
typedef uint16_t __attribute__((aligned(1))) any_half;

/// Elements that are accumulated in the first cache before they are written.
#define SUM_BLOCK 2048

#define FROM_F32(p, i) (((const any_float *)(p))[i])
#if ZOO_HALF_HARDWARE
typedef _Float16 __attribute__((aligned(1))) any_hardware_half;
#define FROM_F16(p, i) ((float)((const any_hardware_half *)(p))[i])
#else
#define FROM_F16(p, i) half_to_float(((const any_half *)(p))[i])
#endif
#define FROM_BF16(p, i) float_of((uint32_t)((const any_half *)(p))[i] << 16)
#define FROM_F64(p, i) (((const any_double *)(p))[i])

#define EACH for (size_t i = 0; i < count; i++)

/// total (+)= the values of one, two, four or eight inputs, in order, with or without weights.
#define ADD_INPUTS(name, type, from)                                                                                  \
    static __attribute__((noinline)) void add_##name(type *restrict total, size_t count, const char *const *inputs,   \
                                                     const double *factors, bool fresh, bool weighted, size_t k) {    \
        const char *restrict a = inputs[0], *restrict b = inputs[1], *restrict c = inputs[2];                         \
        const char *restrict d = inputs[3], *restrict e = inputs[4], *restrict f = inputs[5];                         \
        const char *restrict g = inputs[6], *restrict h = inputs[7];                                                  \
        const type wa = (type)factors[0], wb = (type)factors[1], wc = (type)factors[2], wd = (type)factors[3];        \
        const type we = (type)factors[4], wf = (type)factors[5], wg = (type)factors[6], wh = (type)factors[7];        \
        switch ((int)k * 4 + (weighted ? 2 : 0) + (fresh ? 1 : 0)) {                                                  \
        case 4:                                                                                                       \
            EACH {                                                                                                    \
                type sum = total[i];                                                                                  \
                sum = sum + (type)from(a, i);                                                                         \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 5:                                                                                                       \
            EACH {                                                                                                    \
                type sum = (type)from(a, i);                                                                          \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 6:                                                                                                       \
            EACH {                                                                                                    \
                type sum = total[i];                                                                                  \
                sum = sum + wa * (type)from(a, i);                                                                    \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 7:                                                                                                       \
            EACH {                                                                                                    \
                type sum = wa * (type)from(a, i);                                                                     \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 8:                                                                                                       \
            EACH {                                                                                                    \
                type sum = total[i];                                                                                  \
                sum = sum + (type)from(a, i); sum = sum + (type)from(b, i);                                           \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 9:                                                                                                       \
            EACH {                                                                                                    \
                type sum = (type)from(a, i);                                                                          \
                sum = sum + (type)from(b, i);                                                                         \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 10:                                                                                                      \
            EACH {                                                                                                    \
                type sum = total[i];                                                                                  \
                sum = sum + wa * (type)from(a, i); sum = sum + wb * (type)from(b, i);                                 \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 11:                                                                                                      \
            EACH {                                                                                                    \
                type sum = wa * (type)from(a, i);                                                                     \
                sum = sum + wb * (type)from(b, i);                                                                    \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 16:                                                                                                      \
            EACH {                                                                                                    \
                type sum = total[i];                                                                                  \
                sum = sum + (type)from(a, i); sum = sum + (type)from(b, i); sum = sum + (type)from(c, i);             \
                sum = sum + (type)from(d, i);                                                                         \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 17:                                                                                                      \
            EACH {                                                                                                    \
                type sum = (type)from(a, i);                                                                          \
                sum = sum + (type)from(b, i); sum = sum + (type)from(c, i); sum = sum + (type)from(d, i);             \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 18:                                                                                                      \
            EACH {                                                                                                    \
                type sum = total[i];                                                                                  \
                sum = sum + wa * (type)from(a, i); sum = sum + wb * (type)from(b, i);                                 \
                sum = sum + wc * (type)from(c, i); sum = sum + wd * (type)from(d, i);                                 \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 19:                                                                                                      \
            EACH {                                                                                                    \
                type sum = wa * (type)from(a, i);                                                                     \
                sum = sum + wb * (type)from(b, i); sum = sum + wc * (type)from(c, i);                                 \
                sum = sum + wd * (type)from(d, i);                                                                    \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 32:                                                                                                      \
            EACH {                                                                                                    \
                type sum = total[i];                                                                                  \
                sum = sum + (type)from(a, i); sum = sum + (type)from(b, i); sum = sum + (type)from(c, i);             \
                sum = sum + (type)from(d, i); sum = sum + (type)from(e, i); sum = sum + (type)from(f, i);             \
                sum = sum + (type)from(g, i); sum = sum + (type)from(h, i);                                           \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 33:                                                                                                      \
            EACH {                                                                                                    \
                type sum = (type)from(a, i);                                                                          \
                sum = sum + (type)from(b, i); sum = sum + (type)from(c, i); sum = sum + (type)from(d, i);             \
                sum = sum + (type)from(e, i); sum = sum + (type)from(f, i); sum = sum + (type)from(g, i);             \
                sum = sum + (type)from(h, i);                                                                         \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        case 34:                                                                                                      \
            EACH {                                                                                                    \
                type sum = total[i];                                                                                  \
                sum = sum + wa * (type)from(a, i); sum = sum + wb * (type)from(b, i);                                 \
                sum = sum + wc * (type)from(c, i); sum = sum + wd * (type)from(d, i);                                 \
                sum = sum + we * (type)from(e, i); sum = sum + wf * (type)from(f, i);                                 \
                sum = sum + wg * (type)from(g, i); sum = sum + wh * (type)from(h, i);                                 \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
            break;                                                                                                    \
        default:                                                                                                      \
            EACH {                                                                                                    \
                type sum = wa * (type)from(a, i);                                                                     \
                sum = sum + wb * (type)from(b, i); sum = sum + wc * (type)from(c, i);                                 \
                sum = sum + wd * (type)from(d, i); sum = sum + we * (type)from(e, i);                                 \
                sum = sum + wf * (type)from(f, i); sum = sum + wg * (type)from(g, i);                                 \
                sum = sum + wh * (type)from(h, i);                                                                    \
                total[i] = sum;                                                                                       \
            }                                                                                                         \
        }                                                                                                             \
    }
ADD_INPUTS(f32_to_f32, float, FROM_F32)
ADD_INPUTS(f16_to_f32, float, FROM_F16)
ADD_INPUTS(bf16_to_f32, float, FROM_BF16)
ADD_INPUTS(f32_to_f64, double, FROM_F32)
ADD_INPUTS(f16_to_f64, double, FROM_F16)
ADD_INPUTS(bf16_to_f64, double, FROM_BF16)
ADD_INPUTS(f64_to_f64, double, FROM_F64)
#undef EACH

/// output = total * factor, rounded to its type.
static void finish_f32(const float *restrict total, size_t count, float factor, void *restrict output, int32_t dtype) {
    if (dtype == ZOO_DTYPE_F32) {
        for (size_t i = 0; i < count; i++) ((any_float *)output)[i] = total[i] * factor;
    } else if (dtype == ZOO_DTYPE_F16) {
        for (size_t i = 0; i < count; i++) ((any_half *)output)[i] = float_to_half(total[i] * factor);
    } else {
        for (size_t i = 0; i < count; i++) ((any_half *)output)[i] = float_to_brain(total[i] * factor);
    }
}

static void finish_f64(const double *restrict total, size_t count, double factor, void *restrict output,
                       int32_t dtype) {
    if (dtype == ZOO_DTYPE_F32) {
        for (size_t i = 0; i < count; i++) ((any_float *)output)[i] = (float)(total[i] * factor);
    } else if (dtype == ZOO_DTYPE_F64) {
        for (size_t i = 0; i < count; i++) ((any_double *)output)[i] = total[i] * factor;
    } else if (dtype == ZOO_DTYPE_F16) {
        for (size_t i = 0; i < count; i++) ((any_half *)output)[i] = float_to_half(to_odd(total[i] * factor));
    } else {
        for (size_t i = 0; i < count; i++) ((any_half *)output)[i] = float_to_brain(to_odd(total[i] * factor));
    }
}

/// How many inputs from `first` on go together: eight, four or two of a type, or one.
INLINE size_t inputs_together(const int32_t *dtypes, size_t first, size_t k) {
    size_t alike = 1;
    while (alike < 8 && first + alike < k && dtypes[first + alike] == dtypes[first]) alike++;
    return alike >= 8 ? 8 : alike >= 4 ? 4 : alike >= 2 ? 2 : 1;
}

typedef struct sum_call {
    const void *const *inputs;
    const int32_t *dtypes;
    const double *weights;
    size_t k;
    bool weighted, in_double;
} sum_call;

/// total = sum of elements [at, at + count).
static void sum_block(const sum_call *call, size_t at, size_t count, float *singles, double *doubles) {
    for (size_t j = 0; j < call->k;) {
        size_t together = inputs_together(call->dtypes, j, call->k);
        const char *from[8];
        double weights[8];
        for (size_t i = 0; i < 8; i++) {
            size_t source = i < together ? j + i : j;
            from[i] = (const char *)call->inputs[source] + at * zoo_dtype_size(call->dtypes[source]);
            weights[i] = call->weights[source];
        }
        const bool fresh = j == 0, weighted = call->weighted;
        switch (call->dtypes[j] + (call->in_double ? 4 : 0)) {
        case ZOO_DTYPE_F32: add_f32_to_f32(singles, count, from, weights, fresh, weighted, together); break;
        case ZOO_DTYPE_F16: add_f16_to_f32(singles, count, from, weights, fresh, weighted, together); break;
        case ZOO_DTYPE_BF16: add_bf16_to_f32(singles, count, from, weights, fresh, weighted, together); break;
        case ZOO_DTYPE_F32 + 4: add_f32_to_f64(doubles, count, from, weights, fresh, weighted, together); break;
        case ZOO_DTYPE_F16 + 4: add_f16_to_f64(doubles, count, from, weights, fresh, weighted, together); break;
        case ZOO_DTYPE_BF16 + 4: add_bf16_to_f64(doubles, count, from, weights, fresh, weighted, together); break;
        default: add_f64_to_f64(doubles, count, from, weights, fresh, weighted, together); break;
        }
        j += together;
    }
}

void NAME(zoo_weighted_sum)(const void *const *inputs, const int32_t *dtypes, const double *weights, size_t k,
                            size_t count, void *output, int32_t output_dtype, bool accumulate_in_double) {
    const size_t size = zoo_dtype_size(output_dtype);
    if (k == 0) {
        memset(output, 0, count * size);
        return;
    }
    sum_call call = {inputs, dtypes, weights, k, false, accumulate_in_double || output_dtype == ZOO_DTYPE_F64};
    for (size_t j = 0; j < k; j++) {
        call.weighted |= weights[j] != weights[0];
        call.in_double |= dtypes[j] == ZOO_DTYPE_F64;
    }
    float singles[SUM_BLOCK] __attribute__((aligned(64)));
    double doubles[SUM_BLOCK] __attribute__((aligned(64)));
    const double factor = call.weighted ? 1 : weights[0];
    for (size_t at = 0; at < count; at += SUM_BLOCK) {
        size_t part = smaller(SUM_BLOCK, count - at);
        sum_block(&call, at, part, singles, doubles);
        char *target = (char *)output + at * size;
        if (call.in_double)
            finish_f64(doubles, part, factor, target, output_dtype);
        else
            finish_f32(singles, part, (float)factor, target, output_dtype);
    }
}

void NAME(zoo_convert)(const void *input, int32_t input_dtype, size_t count, void *output, int32_t output_dtype) {
    const double one = 1;
    if (input_dtype == output_dtype)
        memmove(output, input, count * zoo_dtype_size(input_dtype));
    else
        NAME(zoo_weighted_sum)(&input, &input_dtype, &one, 1, count, output, output_dtype, false);
}

// MARK: Reductions: element i of a block belongs to lane i % 16

/// A block's elements as floats: in place for f32, else through `buffer`.
static const float *block_floats(const void *data, int32_t dtype, size_t at, size_t count, float *buffer) {
    const char *from = (const char *)data + at * zoo_dtype_size(dtype);
    if (dtype == ZOO_DTYPE_F16) {
        for (size_t i = 0; i < count; i++) buffer[i] = FROM_F16(from, i);
    } else if (dtype == ZOO_DTYPE_BF16) {
        for (size_t i = 0; i < count; i++) buffer[i] = FROM_BF16(from, i);
    } else {
        return (const float *)(const void *)from;
    }
    return buffer;
}

static void block_doubles(const void *data, int32_t dtype, size_t at, size_t count, double *buffer) {
    const char *from = (const char *)data + at * zoo_dtype_size(dtype);
    if (dtype == ZOO_DTYPE_F64) {
        memcpy(buffer, from, count * sizeof(double));
    } else {
        float floats[ZOO_BLOCK];
        const any_float *values = block_floats(data, dtype, at, count, floats);
        for (size_t i = 0; i < count; i++) buffer[i] = values[i];
    }
}

typedef float lanes_any __attribute__((vector_size(64), aligned(1)));
INLINE lanes load_any(const float *p, size_t left) {
    lanes value = splat(0);
    if (left >= 16) return *(const lanes_any *)p;
    memcpy(&value, p, left * sizeof(float));
    return value;
}
INLINE octet load_octet(const double *p, size_t left) {
    octet value = {};
    memcpy(&value, p, left < 8 ? left * sizeof(double) : sizeof value);
    return value;
}

typedef struct block_sums {
    octet sum, square, magnitude;
} block_sums;

INLINE void add_octet(block_sums *sums, octet v) {
    sums->sum += v;
    sums->square += v * v;
    sums->magnitude += (octet)((octet_int)v & INT64_MAX);
}

/// Ranges and counts of a block with NaN or infinities in it.
static void careful_range(const any_float *x, size_t count, zoo_statistics *s) {
    s->minimum = INFINITY, s->maximum = -INFINITY, s->largest_magnitude = 0;
    for (size_t i = 0; i < count; i++) {
        const double v = x[i];
        if (!(fabs(v) < INFINITY)) {
            s->non_finite++;
            continue;
        }
        s->largest_magnitude = fmax(s->largest_magnitude, fabs(v));
        s->minimum = fmin(s->minimum, v);
        s->maximum = fmax(s->maximum, v);
    }
}

static zoo_statistics float_statistics(const float *x, size_t count) {
    block_sums low = {{0}, {0}, {0}}, high = low;
    lanes least = splat(INFINITY), most = splat(-INFINITY);
    lanes_int zero = splat_int(0);
    const lanes_int iota = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const lanes v = load_any(x + i, 16);
        add_octet(&low, low_half(v));
        add_octet(&high, high_half(v));
        least = pick(v < least, v, least);
        most = pick(v > most, v, most);
        zero -= v == 0.0f;
    }
    if (i < count) {
        const lanes v = load_any(x + i, count - i);
        const lanes_int inside = iota < (int32_t)(count - i);
        add_octet(&low, low_half(v));
        add_octet(&high, high_half(v));
        least = pick((v < least) & inside, v, least);
        most = pick((v > most) & inside, v, most);
        zero -= (v == 0.0f) & inside;
    }
    zoo_statistics s = {octet_sum(low.sum + high.sum), octet_sum(low.square + high.square),
                        octet_sum(low.magnitude + high.magnitude), 0, INFINITY, -INFINITY, 0, 0};
    float least_parts[16], most_parts[16];
    int32_t zeros[16];
    store(least_parts, least), store(most_parts, most), store_int(zeros, zero);
    for (int lane = 0; lane < 16; lane++) {
        s.minimum = fmin(s.minimum, least_parts[lane]);
        s.maximum = fmax(s.maximum, most_parts[lane]);
        s.zeros += (uint64_t)zeros[lane];
    }
    s.largest_magnitude = fmax(s.maximum, -s.minimum);
    // A block of finite floats can't overflow in Float64, so this finds every NaN and infinity.
    if (!(s.absolute_sum < INFINITY)) careful_range((const any_float *)x, count, &s);
    return s;
}

static zoo_statistics double_statistics(const double *x, size_t count) {
    block_sums low = {{0}, {0}, {0}}, high = low;
    zoo_statistics s = {0, 0, 0, 0, INFINITY, -INFINITY, 0, 0};
    for (size_t i = 0; i < count; i += 8) add_octet(i & 8 ? &high : &low, load_octet(x + i, count - i));
    for (size_t i = 0; i < count; i++) {
        s.zeros += x[i] == 0;
        if (!(fabs(x[i]) < INFINITY)) {
            s.non_finite++;
            continue;
        }
        s.largest_magnitude = fmax(s.largest_magnitude, fabs(x[i]));
        s.minimum = fmin(s.minimum, x[i]);
        s.maximum = fmax(s.maximum, x[i]);
    }
    s.sum = octet_sum(low.sum + high.sum);
    s.squared_norm = octet_sum(low.square + high.square);
    s.absolute_sum = octet_sum(low.magnitude + high.magnitude);
    return s;
}

void NAME(zoo_vector_statistics_blocks)(const void *a, int32_t dtype, size_t count, zoo_statistics *blocks) {
    for (size_t at = 0; at < count; at += ZOO_BLOCK, blocks++) {
        size_t part = smaller(ZOO_BLOCK, count - at);
        if (dtype == ZOO_DTYPE_F64) {
            double buffer[ZOO_BLOCK];
            block_doubles(a, dtype, at, part, buffer);
            *blocks = double_statistics(buffer, part);
        } else {
            float buffer[ZOO_BLOCK];
            *blocks = float_statistics(block_floats(a, dtype, at, part, buffer), part);
        }
    }
}

typedef struct pair_sums {
    octet dot, aa, bb, distance;
} pair_sums;

INLINE void add_pair(pair_sums *sums, octet a, octet b) {
    octet d = a - b;
    sums->dot += a * b;
    sums->aa += a * a;
    sums->bb += b * b;
    sums->distance += d * d;
}

static zoo_pair_statistics pair_result(const pair_sums *low, const pair_sums *high) {
    zoo_pair_statistics s = {octet_sum(low->dot + high->dot), octet_sum(low->aa + high->aa),
                             octet_sum(low->bb + high->bb), octet_sum(low->distance + high->distance)};
    return s;
}

void NAME(zoo_vector_pair_blocks)(const void *a, int32_t a_dtype, const void *b, int32_t b_dtype, size_t count,
                                  zoo_pair_statistics *blocks) {
    for (size_t at = 0; at < count; at += ZOO_BLOCK, blocks++) {
        size_t part = smaller(ZOO_BLOCK, count - at);
        pair_sums low = {{0}, {0}, {0}, {0}}, high = low;
        if (a_dtype == ZOO_DTYPE_F64 || b_dtype == ZOO_DTYPE_F64) {
            double x[ZOO_BLOCK], y[ZOO_BLOCK];
            block_doubles(a, a_dtype, at, part, x);
            block_doubles(b, b_dtype, at, part, y);
            for (size_t i = 0; i < part; i += 8)
                add_pair(i & 8 ? &high : &low, load_octet(x + i, part - i), load_octet(y + i, part - i));
        } else {
            float x_buffer[ZOO_BLOCK], y_buffer[ZOO_BLOCK];
            const float *x = block_floats(a, a_dtype, at, part, x_buffer);
            const float *y = block_floats(b, b_dtype, at, part, y_buffer);
            for (size_t i = 0; i < part; i += 16) {
                lanes u = load_any(x + i, part - i), v = load_any(y + i, part - i);
                add_pair(&low, low_half(u), low_half(v));
                add_pair(&high, high_half(u), high_half(v));
            }
        }
        *blocks = pair_result(&low, &high);
    }
}

/// Vectors whose products with one other are taken together: as many as their sums fit into registers.
#if ZOO_WIDTH == 16
#define DOT_GROUP 4
#elif ZOO_WIDTH == 8
#define DOT_GROUP 2
#else
#define DOT_GROUP 1
#endif

INLINE void dot_group(const int k, const float *g, const float *const *inputs, size_t count, double *dots) {
// Products of two floats are exact in Float64: fused or not, the sums are the same bytes.
#pragma clang fp contract(fast)
    octet low[DOT_GROUP], high[DOT_GROUP];
#pragma clang loop unroll(full)
    for (int j = 0; j < k; j++) low[j] = high[j] = (octet){0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const lanes u = load_any(g + i, 16);
        const octet u_low = low_half(u), u_high = high_half(u);
#pragma clang loop unroll(full)
        for (int j = 0; j < k; j++) {
            const lanes v = load_any(inputs[j] + i, 16);
            low[j] += u_low * low_half(v);
            high[j] += u_high * high_half(v);
        }
    }
    if (i < count) {
        const lanes u = load_any(g + i, count - i);
#pragma clang loop unroll(full)
        for (int j = 0; j < k; j++) {
            const lanes v = load_any(inputs[j] + i, count - i);
            low[j] += low_half(u) * low_half(v);
            high[j] += high_half(u) * high_half(v);
        }
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < k; j++) dots[j] = octet_sum(low[j] + high[j]);
}

/// One block of at most ZOO_BLOCK elements.
void NAME(zoo_vector_dots_block)(const void *g, int32_t g_dtype, const void *const *inputs, const int32_t *dtypes,
                                 size_t k, size_t count, double *dots) {
    float g_buffer[ZOO_BLOCK], buffers[DOT_GROUP][ZOO_BLOCK];
    const float *from = g_dtype == ZOO_DTYPE_F64 ? NULL : block_floats(g, g_dtype, 0, count, g_buffer);
    for (size_t first = 0; first < k;) {
        if (g_dtype == ZOO_DTYPE_F64 || dtypes[first] == ZOO_DTYPE_F64) {
            zoo_pair_statistics pair;
            NAME(zoo_vector_pair_blocks)(g, g_dtype, inputs[first], dtypes[first], count, &pair);
            dots[first++] = count == 0 ? 0 : pair.dot;
            continue;
        }
        const float *floats[DOT_GROUP];
        size_t together = 0;
        for (; together < DOT_GROUP && first + together < k && dtypes[first + together] != ZOO_DTYPE_F64; together++)
            floats[together] = block_floats(inputs[first + together], dtypes[first + together], 0, count,
                                            buffers[together]);
        if (together == DOT_GROUP) {
            dot_group(DOT_GROUP, from, floats, count, dots + first);
        } else {
            for (size_t j = 0; j < together; j++) dot_group(1, from, floats + j, count, dots + first + j);
        }
        first += together;
    }
}
