#pragma once
// Kernels of model merging over blocks of decoded elements.
//
// Blocks are arrays of Float32, or of Float64 where `wide` is set, small enough to stay in the cache between calls;
// they need no alignment beyond their element's. Every operation is rounded by itself and sums run in Float64 in a
// fixed order, so results depend neither on the instruction set nor on threads. Selections work on the magnitude's
// bits, which order like the magnitudes themselves.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Arithmetic

/// output = a - b; `output` may be either.
void zoo_merge_subtract(bool wide, size_t count, const void *a, const void *b, void *output);
/// x *= factor.
void zoo_merge_scale(bool wide, size_t count, double factor, void *x);
/// output = base + lambda * (sum over k of weights[k] * deltas[k]) / divisor.
void zoo_merge_sum(bool wide, size_t count, const void *const *deltas, const double *weights, size_t k, double divisor,
                   double lambda, const void *base, void *output);
/// The sign election of TIES: an element keeps the weighted deltas that agree with the elected sign, which is that of
/// their sum (or, with `by_count`, of the number of positive less the number of negative ones), zero counting as
/// positive; divided by the weights that agree when `normalise`; times lambda; plus the base.
void zoo_merge_consensus(bool wide, size_t count, const void *const *deltas, const double *weights, size_t k,
                         bool by_count, bool normalise, double lambda, const void *base, void *output);
/// w = clamp(t / max(|a - b|, 1e-6), 0, 1); output = w * b + (1 - w) * a.
void zoo_merge_nearswap(bool wide, size_t count, const void *a, const void *b, double t, void *output);
/// output = base + alpha * the delta of largest magnitude at each position; among equals the later one.
void zoo_merge_largest(bool wide, size_t count, const void *const *deltas, size_t k, double alpha, const void *base,
                       void *output);
/// output = base + the deltas' sum where at least `least` of them satisfy |d| > lambda * |sum - d|, times alpha.
void zoo_merge_consensus_mask(bool wide, size_t count, const void *const *deltas, size_t k, double lambda, size_t least,
                              double alpha, const void *base, void *output);
/// output[i] = sum over k of coefficients[k * stride + i] * inputs[k][i].
void zoo_merge_columns(bool wide, size_t count, const void *const *inputs, size_t k, const double *coefficients,
                       size_t stride, void *output);

// MARK: Sums

/// gram[i * k + j] += dot product of vectors i and j, for i <= j.
void zoo_merge_gram(bool wide, size_t count, const void *const *vectors, size_t k, double *gram);
/// dots[i] += a[i] * b[i], element by element.
void zoo_merge_column_dots(bool wide, size_t count, const void *a, const void *b, double *dots);
/// sums[0] += sum |x|, sums[1] += sum x^2, sums[2] = max(sums[2], max |x|).
void zoo_merge_magnitudes(bool wide, size_t count, const void *x, double *sums);

// MARK: Random masks

/// Keeps element i when hash(key, first + i) < keep, else makes it zero; kept ones are divided by `keep` when
/// `inverse`.
void zoo_merge_drop(bool wide, size_t count, uint64_t key, uint64_t first, double keep, bool inverse, void *x);
/// The same with a probability for every element.
void zoo_merge_drop_each(bool wide, size_t count, uint64_t key, uint64_t first, const double *keep, bool inverse,
                         void *x);
/// The hash as a number in [0, 1): SplitMix64's output for state key + golden ratio * (index + 1).
double zoo_merge_uniform(uint64_t key, uint64_t index);

// MARK: Selection by magnitude

/// Counts magnitudes by a digit: bins[(bits >> shift) mod 2^width] for those whose bits >> (shift + width) == prefix.
void zoo_merge_histogram(bool wide, size_t count, const void *x, int32_t shift, int32_t width, uint64_t prefix,
                         uint64_t *bins);
/// How many magnitudes have exactly these bits.
uint64_t zoo_merge_count_bits(bool wide, size_t count, const void *x, uint64_t bits);

/// Which magnitudes stay: those strictly between low and high, of those equal to low the ones of rank
/// [low_from, low_to), of those equal to high the ones of rank below high_to; ranks count equals in flat order. When
/// low and high are the same, low's ranks decide.
typedef struct zoo_merge_range {
    uint64_t low, high;
    uint64_t low_from, low_to, high_to;
} zoo_merge_range;

/// Zeroes what does not stay. `low_rank` and `high_rank` are the equals seen before this block, and are advanced.
void zoo_merge_trim(bool wide, size_t count, const zoo_merge_range *range, uint64_t *low_rank, uint64_t *high_rank,
                    void *x);
/// ranks[i] = how many elements of the row have a smaller magnitude, equals in order. `scratch` holds 4 * count
/// 64-bit numbers.
void zoo_merge_ranks(bool wide, size_t count, const void *x, uint32_t *ranks, uint64_t *scratch);

// MARK: Methods with several sums

/// The population variance over the deltas at each position.
void zoo_merge_variance(bool wide, size_t count, const void *const *deltas, size_t k, void *output);
/// output = base + (sum of c[k] * d over deltas of the elected sign) / max(sum of their c, floor); the sign is that of
/// the unweighted sum, zero counting as positive.
void zoo_merge_erase(bool wide, size_t count, const void *const *deltas, const double *coefficients, size_t k,
                     double floor, const void *base, void *output);
/// counts[2 * k] += positions where only delta k exceeds epsilon, counts[2 * k + 1] += where others do too.
void zoo_merge_activity(bool wide, size_t count, const void *const *deltas, size_t k, double epsilon, uint64_t *counts);
/// output = base + sum over active deltas of (unique[k] where it is alone, else 1 / how many are active) * d.
void zoo_merge_unique(bool wide, size_t count, const void *const *deltas, const double *unique, size_t k,
                      double epsilon, const void *base, void *output);
/// Kullback-Leibler divergence sum p ln(p / q) of p = softmax(b) + 1e-8 from q = softmax(a) + 1e-8.
double zoo_merge_divergence(bool wide, size_t count, const void *a, const void *b);
/// output[i] = |b[i] - a[i]| * factor.
void zoo_merge_importance(bool wide, size_t count, const void *a, const void *b, double factor, void *output);
/// output = importance >= threshold ? b : a, elementwise, as a + (b - a).
void zoo_merge_choose(bool wide, size_t count, const void *a, const void *b, const void *importance, double threshold,
                      void *output);

#ifdef __cplusplus
}
#endif
