// Merge kernels: the bodies for both element types, and the functions that choose between them.

#pragma clang fp contract(off)

/// SplitMix64's output for state key + golden ratio * (index + 1).
INLINE uint64_t hash_of(uint64_t key, uint64_t index) {
    uint64_t x = key + 0x9E3779B97F4A7C15ull * (index + 1);
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ x >> 27) * 0x94D049BB133111EBull;
    return x ^ x >> 31;
}

double NAME(zoo_merge_uniform)(uint64_t key, uint64_t index) { return (double)(hash_of(key, index) >> 11) * 0x1p-53; }

#define REAL float
#define BITS uint32_t
#define R(name) merge_##name##_f32
#define REAL_ABS(x) __builtin_fabsf(x)
#include "merge_real.h"
#undef REAL
#undef BITS
#undef R
#undef REAL_ABS

#define REAL double
#define BITS uint64_t
#define R(name) merge_##name##_f64
#define REAL_ABS(x) __builtin_fabs(x)
#include "merge_real.h"
#undef REAL
#undef BITS
#undef R
#undef REAL_ABS

// Untyped pointers convert to either element type; arrays of pointers need it said.
#define F32S(pointers) ((const float *const *)(pointers))
#define F64S(pointers) ((const double *const *)(pointers))

void NAME(zoo_merge_subtract)(bool wide, size_t count, const void *a, const void *b, void *output) {
    if (wide)
        merge_subtract_f64(count, a, b, output);
    else
        merge_subtract_f32(count, a, b, output);
}

void NAME(zoo_merge_scale)(bool wide, size_t count, double factor, void *x) {
    if (wide)
        merge_scale_f64(count, factor, x);
    else
        merge_scale_f32(count, factor, x);
}

void NAME(zoo_merge_sum)(bool wide, size_t count, const void *const *deltas, const double *weights, size_t k, double
    divisor, double lambda, const void *base, void *output) {
    if (wide)
        merge_sum_f64(count, F64S(deltas), weights, k, divisor, lambda, base, output);
    else
        merge_sum_f32(count, F32S(deltas), weights, k, divisor, lambda, base, output);
}

void NAME(zoo_merge_consensus)(bool wide, size_t count, const void *const *deltas, const double *weights, size_t k,
    bool by_count, bool normalise, double lambda, const void *base, void *output) {
    if (wide)
        merge_consensus_f64(count, F64S(deltas), weights, k, by_count, normalise, lambda, base, output);
    else
        merge_consensus_f32(count, F32S(deltas), weights, k, by_count, normalise, lambda, base, output);
}

void NAME(zoo_merge_nearswap)(bool wide, size_t count, const void *a, const void *b, double t, void *output) {
    if (wide)
        merge_nearswap_f64(count, a, b, t, output);
    else
        merge_nearswap_f32(count, a, b, t, output);
}

void NAME(zoo_merge_largest)(bool wide, size_t count, const void *const *deltas, size_t k, double alpha, const void
    *base, void *output) {
    if (wide)
        merge_largest_f64(count, F64S(deltas), k, alpha, base, output);
    else
        merge_largest_f32(count, F32S(deltas), k, alpha, base, output);
}

void NAME(zoo_merge_consensus_mask)(bool wide, size_t count, const void *const *deltas, size_t k, double lambda,
    size_t least, double alpha, const void *base, void *output) {
    if (wide)
        merge_consensus_mask_f64(count, F64S(deltas), k, lambda, least, alpha, base, output);
    else
        merge_consensus_mask_f32(count, F32S(deltas), k, lambda, least, alpha, base, output);
}

void NAME(zoo_merge_columns)(bool wide, size_t count, const void *const *inputs, size_t k, const double *coefficients,
    size_t stride, void *output) {
    if (wide)
        merge_columns_f64(count, F64S(inputs), k, coefficients, stride, output);
    else
        merge_columns_f32(count, F32S(inputs), k, coefficients, stride, output);
}

void NAME(zoo_merge_gram)(bool wide, size_t count, const void *const *vectors, size_t k, double *gram) {
    if (wide)
        merge_gram_f64(count, F64S(vectors), k, gram);
    else
        merge_gram_f32(count, F32S(vectors), k, gram);
}

void NAME(zoo_merge_column_dots)(bool wide, size_t count, const void *a, const void *b, double *dots) {
    if (wide)
        merge_column_dots_f64(count, a, b, dots);
    else
        merge_column_dots_f32(count, a, b, dots);
}

void NAME(zoo_merge_magnitudes)(bool wide, size_t count, const void *x, double *sums) {
    if (wide)
        merge_magnitudes_f64(count, x, sums);
    else
        merge_magnitudes_f32(count, x, sums);
}

void NAME(zoo_merge_drop)(bool wide, size_t count, uint64_t key, uint64_t first, double keep, bool inverse, void *x) {
    if (wide)
        merge_drop_f64(count, key, first, keep, inverse, x);
    else
        merge_drop_f32(count, key, first, keep, inverse, x);
}

void NAME(zoo_merge_drop_each)(bool wide, size_t count, uint64_t key, uint64_t first, const double *keep, bool
    inverse, void *x) {
    if (wide)
        merge_drop_each_f64(count, key, first, keep, inverse, x);
    else
        merge_drop_each_f32(count, key, first, keep, inverse, x);
}

void NAME(zoo_merge_histogram)(bool wide, size_t count, const void *x, int32_t shift, int32_t width, uint64_t prefix,
    uint64_t *bins) {
    if (wide)
        merge_histogram_f64(count, x, shift, width, prefix, bins);
    else
        merge_histogram_f32(count, x, shift, width, prefix, bins);
}

uint64_t NAME(zoo_merge_count_bits)(bool wide, size_t count, const void *x, uint64_t bits) {
return wide ? merge_count_bits_f64(count, x, bits) : merge_count_bits_f32(count, x, bits);
}

void NAME(zoo_merge_trim)(bool wide, size_t count, const zoo_merge_range *range, uint64_t *low_rank, uint64_t
    *high_rank, void *x) {
    if (wide)
        merge_trim_f64(count, range, low_rank, high_rank, x);
    else
        merge_trim_f32(count, range, low_rank, high_rank, x);
}

void NAME(zoo_merge_ranks)(bool wide, size_t count, const void *x, uint32_t *ranks, uint64_t *scratch) {
    if (wide)
        merge_ranks_f64(count, x, ranks, scratch);
    else
        merge_ranks_f32(count, x, ranks, scratch);
}

void NAME(zoo_merge_variance)(bool wide, size_t count, const void *const *deltas, size_t k, void *output) {
    if (wide)
        merge_variance_f64(count, F64S(deltas), k, output);
    else
        merge_variance_f32(count, F32S(deltas), k, output);
}

void NAME(zoo_merge_erase)(bool wide, size_t count, const void *const *deltas, const double *coefficients, size_t k,
    double floor, const void *base, void *output) {
    if (wide)
        merge_erase_f64(count, F64S(deltas), coefficients, k, floor, base, output);
    else
        merge_erase_f32(count, F32S(deltas), coefficients, k, floor, base, output);
}

void NAME(zoo_merge_activity)(bool wide, size_t count, const void *const *deltas, size_t k, double epsilon, uint64_t
    *counts) {
    if (wide)
        merge_activity_f64(count, F64S(deltas), k, epsilon, counts);
    else
        merge_activity_f32(count, F32S(deltas), k, epsilon, counts);
}

void NAME(zoo_merge_unique)(bool wide, size_t count, const void *const *deltas, const double *unique, size_t k, double
    epsilon, const void *base, void *output) {
    if (wide)
        merge_unique_f64(count, F64S(deltas), unique, k, epsilon, base, output);
    else
        merge_unique_f32(count, F32S(deltas), unique, k, epsilon, base, output);
}

double NAME(zoo_merge_divergence)(bool wide, size_t count, const void *a, const void *b) {
return wide ? merge_divergence_f64(count, a, b) : merge_divergence_f32(count, a, b);
}

void NAME(zoo_merge_importance)(bool wide, size_t count, const void *a, const void *b, double factor, void *output) {
    if (wide)
        merge_importance_f64(count, a, b, factor, output);
    else
        merge_importance_f32(count, a, b, factor, output);
}

void NAME(zoo_merge_choose)(bool wide, size_t count, const void *a, const void *b, const void *importance, double
    threshold, void *output) {
    if (wide)
        merge_choose_f64(count, a, b, importance, threshold, output);
    else
        merge_choose_f32(count, a, b, importance, threshold, output);
}
#undef F32S
#undef F64S
