// What is the same for every instruction set.

#include <limits.h>
#include <math.h>
#include <string.h>

#include "CZooKernels.h"

bool zoo_conv2d_is_valid(const zoo_conv2d *c) {
    const int32_t positive[] = {c->in_channels,  c->in_height,    c->in_width,     c->out_channels, c->out_height,
                                c->out_width,    c->kernel_height, c->kernel_width, c->stride_y,     c->stride_x,
                                c->dilation_y,   c->dilation_x,    c->channel_groups};
    for (size_t i = 0; i < sizeof positive / sizeof positive[0]; i++)
        if (positive[i] < 1) return false;
    if (c->padding_y < 0 || c->padding_x < 0) return false;
    if (c->in_channels % c->channel_groups != 0 || c->out_channels % c->channel_groups != 0) return false;
    // 32-bit coordinates: everything an output can reach, and one image in floats.
    const int64_t limit = INT32_MAX / 64;
    const int64_t sizes[] = {(int64_t)c->in_height * c->in_width, (int64_t)c->out_height * c->out_width,
                             (int64_t)c->kernel_height * c->kernel_width,
                             (int64_t)c->out_height * c->stride_y + (int64_t)c->kernel_height * c->dilation_y,
                             (int64_t)c->out_width * c->stride_x + (int64_t)c->kernel_width * c->dilation_x,
                             c->padding_y, c->padding_x};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] > limit) return false;
    const int64_t weights = (int64_t)c->kernel_height * c->kernel_width * (c->in_channels / c->channel_groups);
    return weights <= limit && weights * c->out_channels <= INT32_MAX;
}

size_t zoo_conv2d_packed_count(const zoo_conv2d *c) {
    return (size_t)c->out_channels * (size_t)(c->in_channels / c->channel_groups) *
           ((size_t)c->kernel_height * (size_t)c->kernel_width);
}

void zoo_gather_rows(size_t count, size_t width, const float *table, const int32_t *indices, float *y,
                     int32_t flags) {
    for (size_t i = 0; i < count; i++, y += width) {
        const float *row = table + (size_t)indices[i] * width;
        if (flags & ZOO_ADD)
            for (size_t j = 0; j < width; j++) y[j] += row[j];
        else
            memcpy(y, row, width * sizeof(float));
    }
}

void zoo_scatter_add_rows(size_t count, size_t width, const float *x, const int32_t *indices, float *table) {
    for (size_t i = 0; i < count; i++, x += width) {
        float *row = table + (size_t)indices[i] * width;
        for (size_t j = 0; j < width; j++) row[j] += x[j];
    }
}

// MARK: Combining blocks

// Blocks are combined as a binary counter carries: two neighbours, then two pairs, and so on; at the end what is left,
// from the smallest to the largest. The order depends on the number of blocks alone.

static zoo_statistics both(zoo_statistics a, zoo_statistics b) {
    zoo_statistics s = {a.sum + b.sum, a.squared_norm + b.squared_norm, a.absolute_sum + b.absolute_sum,
                        fmax(a.largest_magnitude, b.largest_magnitude), fmin(a.minimum, b.minimum),
                        fmax(a.maximum, b.maximum), a.non_finite + b.non_finite, a.zeros + b.zeros};
    return s;
}

static zoo_pair_statistics both_pairs(zoo_pair_statistics a, zoo_pair_statistics b) {
    zoo_pair_statistics s = {a.dot + b.dot, a.squared_norm_a + b.squared_norm_a, a.squared_norm_b + b.squared_norm_b,
                             a.squared_distance + b.squared_distance};
    return s;
}

#define COUNTER(type, name, join)                                                     \
    typedef struct name {                                                             \
        type level[64];                                                               \
        uint64_t count;                                                               \
    } name;                                                                           \
    static void name##_push(name *counter, type value) {                              \
        int level = 0;                                                                \
        for (; counter->count >> level & 1; level++) value = join(counter->level[level], value); \
        counter->level[level] = value;                                                \
        counter->count++;                                                             \
    }                                                                                 \
    static type name##_total(const name *counter, type empty) {                       \
        type total = empty;                                                           \
        bool some = false;                                                            \
        for (int level = 0; level < 64; level++) {                                    \
            if (!(counter->count >> level & 1)) continue;                             \
            total = some ? join(counter->level[level], total) : counter->level[level]; \
            some = true;                                                              \
        }                                                                             \
        return total;                                                                 \
    }
COUNTER(zoo_statistics, statistics_counter, both)
COUNTER(zoo_pair_statistics, pair_counter, both_pairs)
static double both_dots(double a, double b) { return a + b; }
COUNTER(double, dot_counter, both_dots)

static const zoo_statistics no_statistics = {0, 0, 0, 0, INFINITY, -INFINITY, 0, 0};
static const zoo_pair_statistics no_pairs = {0, 0, 0, 0};

zoo_statistics zoo_vector_statistics_combine(const zoo_statistics *blocks, size_t count) {
    statistics_counter counter = {.count = 0};
    for (size_t i = 0; i < count; i++) statistics_counter_push(&counter, blocks[i]);
    return statistics_counter_total(&counter, no_statistics);
}

zoo_pair_statistics zoo_vector_pair_combine(const zoo_pair_statistics *blocks, size_t count) {
    pair_counter counter = {.count = 0};
    for (size_t i = 0; i < count; i++) pair_counter_push(&counter, blocks[i]);
    return pair_counter_total(&counter, no_pairs);
}

zoo_statistics zoo_vector_statistics(const void *a, int32_t dtype, size_t count) {
    statistics_counter counter = {.count = 0};
    const size_t size = zoo_dtype_size(dtype);
    for (size_t at = 0; at < count; at += ZOO_BLOCK) {
        zoo_statistics block;
        size_t part = count - at < ZOO_BLOCK ? count - at : ZOO_BLOCK;
        zoo_vector_statistics_blocks((const char *)a + at * size, dtype, part, &block);
        statistics_counter_push(&counter, block);
    }
    return statistics_counter_total(&counter, no_statistics);
}

zoo_pair_statistics zoo_vector_pair(const void *a, int32_t a_dtype, const void *b, int32_t b_dtype, size_t count) {
    pair_counter counter = {.count = 0};
    const size_t a_size = zoo_dtype_size(a_dtype), b_size = zoo_dtype_size(b_dtype);
    for (size_t at = 0; at < count; at += ZOO_BLOCK) {
        zoo_pair_statistics block;
        size_t part = count - at < ZOO_BLOCK ? count - at : ZOO_BLOCK;
        zoo_vector_pair_blocks((const char *)a + at * a_size, a_dtype, (const char *)b + at * b_size, b_dtype, part,
                               &block);
        pair_counter_push(&counter, block);
    }
    return pair_counter_total(&counter, no_pairs);
}

double zoo_vector_dot(const void *a, int32_t a_dtype, const void *b, int32_t b_dtype, size_t count) {
    double dot;
    zoo_vector_dots(a, a_dtype, &b, &b_dtype, 1, count, &dot);
    return dot;
}

// Vectors whose sums are kept at a time.
enum { DOTS_TOGETHER = 16 };

void zoo_vector_dots(const void *g, int32_t g_dtype, const void *const *inputs, const int32_t *dtypes, size_t k,
                     size_t count, double *dots) {
    for (size_t first = 0; first < k; first += DOTS_TOGETHER) {
        const size_t together = k - first < DOTS_TOGETHER ? k - first : DOTS_TOGETHER;
        dot_counter counters[DOTS_TOGETHER];
        for (size_t j = 0; j < together; j++) counters[j].count = 0;
        for (size_t at = 0; at < count; at += ZOO_BLOCK) {
            const void *from[DOTS_TOGETHER];
            double block[DOTS_TOGETHER];
            for (size_t j = 0; j < together; j++)
                from[j] = (const char *)inputs[first + j] + at * zoo_dtype_size(dtypes[first + j]);
            zoo_vector_dots_block((const char *)g + at * zoo_dtype_size(g_dtype), g_dtype, from, dtypes + first,
                                  together, count - at < ZOO_BLOCK ? count - at : ZOO_BLOCK, block);
            for (size_t j = 0; j < together; j++) dot_counter_push(&counters[j], block[j]);
        }
        for (size_t j = 0; j < together; j++) dots[first + j] = dot_counter_total(&counters[j], 0);
    }
}

// MARK: Errors of zoo_apply

typedef struct function_error {
    float multiple, floor;
} function_error;

// The largest errors found over a million values of the whole range, with and without fused multiply-add, plus a fifth.
// Derivatives with zeros are measured against a larger floor: near a zero the error is absolute.
static const function_error errors[][4] = {
    {{0, 1e-6f}, {0, 1e-6f}, {0, 1e-6f}, {0, 1e-6f}},             // ReLU
    {{3, 1e-6f}, {5.5f, 1e-6f}, {7.5f, 1e-6f}, {6, 1}},           // tanh
    {{3.5f, 1e-6f}, {6, 1e-6f}, {3.5f, 0.1f}, {9, 0.1f}},         // sigmoid
    {{8.5f, 1e-3f}, {16.5f, 0.1f}, {4, 0.1f}, {2, 1}},            // GELU
    {{15.5f, 1e-3f}, {11, 0.1f}, {24, 0.1f}, {6.5f, 1}},          // GELU, tanh
    {{9, 1e-3f}, {9.5f, 0.1f}, {14, 0.1f}, {5.5f, 1}},            // GELU, quick
    {{4.5f, 1e-3f}, {7.5f, 0.1f}, {6, 0.1f}, {2.5f, 1}},          // SiLU
    {{2, 1e-6f}, {2, 1e-6f}, {2, 1e-6f}, {2, 1e-6f}},             // exp
    {{2, 1e-6f}, {1.5f, 1e-6f}, {4, 1e-6f}, {6, 1e-6f}},          // log
    {{1.5f, 1e-6f}, {2, 1e-6f}, {3.5f, 1e-6f}, {6, 1e-6f}},       // square root
    {{2, 1e-6f}, {3.5f, 1e-6f}, {6, 1e-6f}, {7, 1e-6f}},          // reciprocal square root
    {{4, 1e-6f}, {3.5f, 1e-6f}, {4, 1e-3f}, {17, 0.1f}},          // erf
    {{2.5f, 1e-6f}, {2.5f, 1e-6f}, {2.5f, 1e-6f}, {2.5f, 1e-6f}}, // sin
    {{2.5f, 1e-6f}, {2.5f, 1e-6f}, {2.5f, 1e-6f}, {2.5f, 1e-6f}}, // cos
    {{3.5f, 1e-6f}, {3.5f, 1e-6f}, {6, 1e-6f}, {3.5f, 0.1f}},     // softplus
    {{1.5f, 1e-6f}, {4, 1e-6f}, {6, 1e-6f}, {9, 1e-6f}},          // reciprocal
    {{0, 1e-6f}, {0, 1e-6f}, {0, 1e-6f}, {0, 1e-6f}},             // absolute value
};

float zoo_function_error(zoo_function function, int32_t order, float *floor) {
    *floor = errors[function][order].floor;
    return errors[function][order].multiple;
}
