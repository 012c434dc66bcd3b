#pragma once
// Streaming kernels over whole weight vectors: averages, norms, dot products.
//
// Data may have any alignment, so that memory-mapped files are read in place. Results don't depend on the instruction
// set or on the number of threads: sums run in a fixed order over blocks of ZOO_BLOCK elements counted from the
// vector's first element, and a caller cuts work at block borders.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /// Elements of one block of a reduction. Cut work at multiples of it.
    ZOO_BLOCK = 4096,
};

/// Element types of the streaming kernels, little-endian.
typedef enum zoo_dtype {
    ZOO_DTYPE_F32 = 0,
    ZOO_DTYPE_F64 = 1,
    ZOO_DTYPE_F16 = 2,
    ZOO_DTYPE_BF16 = 3,
} zoo_dtype;

/// Bytes of one element.
static inline size_t zoo_dtype_size(int32_t dtype) {
    return dtype == ZOO_DTYPE_F64 ? 8 : dtype == ZOO_DTYPE_F32 ? 4 : 2;
}

// MARK: Weighted sums

/// output = sum over k of weights[k] * inputs[k], in one pass over all inputs, `dtypes[k]` each a zoo_dtype.
///
/// Accumulates in Float64 when `accumulate_in_double`, when an input or the output is f64, and rounds once at the end.
/// Otherwise accumulates in Float32, in the order of k: the weights are rounded to Float32, and the error before the
/// final rounding is at most (k + 1) * 2^-24 * sum |weights[k] * inputs[k]| (first order). When all weights are equal
/// the inputs are added first and scaled once, with the same bound; the sum must then stay below the largest Float32,
/// otherwise use Float64.
/// `output` may be one of the inputs if that has the same element size, and may not overlap inputs otherwise.
/// Work may be cut at any element. k = 0 gives zeros.
void zoo_weighted_sum(const void *const *inputs, const int32_t *dtypes, const double *weights, size_t k, size_t count,
                      void *output, int32_t output_dtype, bool accumulate_in_double);
/// Converts `count` elements at any alignment, rounding once to nearest even.
void zoo_convert(const void *input, int32_t input_dtype, size_t count, void *output, int32_t output_dtype);

// MARK: Reductions in one pass

/// Numbers of one vector.
typedef struct zoo_statistics {
    double sum, squared_norm, absolute_sum;
    /// Of the finite elements; 0, +infinity and -infinity when there is none.
    double largest_magnitude, minimum, maximum;
    /// NaN and infinities, which also go into the sums.
    uint64_t non_finite;
    /// Elements equal to zero.
    uint64_t zeros;
} zoo_statistics;

/// Numbers of a pair of vectors: enough for distance, cosine and norms.
typedef struct zoo_pair_statistics {
    double dot, squared_norm_a, squared_norm_b, squared_distance;
} zoo_pair_statistics;

/// Blocks that `count` elements make.
static inline size_t zoo_block_count(size_t count) { return count / ZOO_BLOCK + (count % ZOO_BLOCK != 0); }
/// One result per block of ZOO_BLOCK elements; sums in Float64. A thread may take any range of whole blocks.
void zoo_vector_statistics_blocks(const void *a, int32_t dtype, size_t count, zoo_statistics *blocks);
/// Combines blocks in a fixed (pairwise) order; count 0 gives the statistics of an empty vector.
zoo_statistics zoo_vector_statistics_combine(const zoo_statistics *blocks, size_t count);
/// Both steps on one thread.
zoo_statistics zoo_vector_statistics(const void *a, int32_t dtype, size_t count);

/// One result per block of ZOO_BLOCK elements; sums in Float64.
void zoo_vector_pair_blocks(const void *a, int32_t a_dtype, const void *b, int32_t b_dtype, size_t count,
                            zoo_pair_statistics *blocks);
/// Combines blocks in a fixed (pairwise) order.
zoo_pair_statistics zoo_vector_pair_combine(const zoo_pair_statistics *blocks, size_t count);
/// Both steps on one thread.
zoo_pair_statistics zoo_vector_pair(const void *a, int32_t a_dtype, const void *b, int32_t b_dtype, size_t count);
/// The dot product alone: the same number as `zoo_vector_pair`'s.
double zoo_vector_dot(const void *a, int32_t a_dtype, const void *b, int32_t b_dtype, size_t count);
/// The dot products of one vector with k others, read once; the same numbers as `zoo_vector_dot`'s.
void zoo_vector_dots(const void *g, int32_t g_dtype, const void *const *inputs, const int32_t *dtypes, size_t k,
                     size_t count, double *dots);
/// `zoo_vector_dots` over at most ZOO_BLOCK elements.
void zoo_vector_dots_block(const void *g, int32_t g_dtype, const void *const *inputs, const int32_t *dtypes, size_t k,
                           size_t count, double *dots);

#ifdef __cplusplus
}
#endif
