#pragma once
// Float32 kernels of neural networks.
//
// Conventions
// - "Lanes" layout: [group][channel][y][x][16]. Sixteen samples share a group and are the fastest index, so every
//   kernel is 16-wide vector code whatever the size of the image. `groups` counts groups of 16 samples. A group that is
//   not full is padded with lanes whose data is finite (zero is best) and whose weight, where a kernel takes
//   `lane_weights` ([group][16], NULL = all one), is zero. Gradients that reach a padded lane must be zero there: then
//   every sum over samples is right without a mask.
// - Lanes data is aligned to 64 bytes. Row-major data, weights, biases and everything else: alignment of the type only.
// - A vector of per-channel numbers, a weight matrix and so on are in PyTorch's order.
// - Pointers of one call must not overlap unless the comment says "in place", which means exactly equal pointers.
// - `flags`: ZOO_ADD adds to what the output holds, otherwise the output is overwritten.
// - No kernel allocates or has state, save for the choice of the instruction set: everything may be called from any
//   thread. Sizes are the caller's duty: they come from a compiled program, never from a file unchecked. A count of
//   zero is fine everywhere.
// - Rounding may differ by a few units in the last place between instruction sets; on one machine a call always gives
//   the same bytes.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /// Samples in a group.
    ZOO_LANES = 16,
    /// Flag: add to the output.
    ZOO_ADD = 1,
    /// Flag of convolutions and affine maps: clamp the result at zero; NaN stays. Applied after ZOO_ADD.
    ZOO_CLAMP = 2,
    /// Flag of average pooling: padding counts in the divisor.
    ZOO_COUNT_PADDING = 4,
};

// MARK: Instruction sets

/// The instruction set that the calling thread uses: "avx512", "avx2", "baseline" or "wide" (the tiles of "avx512"
/// compiled for the baseline, never chosen by itself).
const char *zoo_kernel_isa(void);
/// Makes later calls of the calling thread use one instruction set, or the best of this processor when `name` is NULL.
/// Returns false, changing nothing, when it is unknown or the processor lacks it. For tests and benchmarks; packed
/// weights belong to the instruction set that packed them.
bool zoo_kernel_select(const char *name);
/// The sets this processor can run, best first: index 0, 1, ...; NULL past the end.
const char *zoo_kernel_available(int32_t index);

// MARK: Convolution, lanes layout

/// A two-dimensional convolution as PyTorch defines it: output (y, x) reads input (y * stride_y - padding_y + ky *
/// dilation_y, ...); what lies outside the image counts as zero. The output's size is given, so padding at the bottom
/// and right needs no field of its own. A linear layer has all sizes, strides and dilations 1 and no padding.
typedef struct zoo_conv2d {
    int32_t in_channels, in_height, in_width;
    int32_t out_channels, out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t padding_y, padding_x;
    int32_t dilation_y, dilation_x;
    /// Divides in_channels and out_channels; weights are [out][in / channel_groups][ky][kx].
    int32_t channel_groups;
} zoo_conv2d;

/// The convolution of a linear layer.
static inline zoo_conv2d zoo_linear(int32_t in_features, int32_t out_features) {
    zoo_conv2d linear = {in_features, 1, 1, out_features, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1};
    return linear;
}

/// Whether sizes are positive, channel groups divide the channels and all index arithmetic stays in range.
bool zoo_conv2d_is_valid(const zoo_conv2d *conv);
/// Floats that packed weights take, the same for both directions; aligned to 4 bytes only.
size_t zoo_conv2d_packed_count(const zoo_conv2d *conv);
/// Bytes of scratch that one call needs, the same for all of them; may be 0. Aligned to 64 bytes. One per thread.
size_t zoo_conv2d_workspace_size(const zoo_conv2d *conv);
/// Packs weights [out][in / channel_groups][ky][kx] for `zoo_conv2d_forward`. Once per model, not per call.
void zoo_conv2d_pack(const zoo_conv2d *conv, const float *weights, float *packed);
/// Packs the same weights for `zoo_conv2d_input_gradient`.
void zoo_conv2d_pack_transposed(const zoo_conv2d *conv, const float *weights, float *packed);
/// y = conv(x) + bias. `bias` [out_channels] may be NULL. Flags: ZOO_ADD, ZOO_CLAMP.
void zoo_conv2d_forward(const zoo_conv2d *conv, size_t groups, const float *x, const float *packed, const float *bias,
                        float *y, int32_t flags, void *workspace);
/// dx = transposed conv(dy), `packed` from `zoo_conv2d_pack_transposed`. Flags: ZOO_ADD.
void zoo_conv2d_input_gradient(const zoo_conv2d *conv, size_t groups, const float *dy, const float *packed, float *dx,
                               int32_t flags, void *workspace);
/// dw [out][in / channel_groups][ky][kx] = sum over samples and pixels of dy * x; db [out_channels] = sum of dy. Either
/// may be NULL. Flags: ZOO_ADD (for both).
void zoo_conv2d_weight_gradient(const zoo_conv2d *conv, size_t groups, const float *x, const float *dy, float *dw,
                                float *db, int32_t flags, void *workspace);
/// The same for each sample by itself: dw [group][out][in / channel_groups][ky][kx][16], db [group][out][16].
void zoo_conv2d_sample_gradients(const zoo_conv2d *conv, size_t groups, const float *x, const float *dy, float *dw,
                                 float *db, int32_t flags);

// MARK: Pooling, lanes layout

/// Windows over one channel; `planes` = groups * channels. Padding is at most half of the window, as in PyTorch.
typedef struct zoo_pool2d {
    int32_t in_height, in_width;
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t padding_y, padding_x;
} zoo_pool2d;

/// y [planes][out][16] = largest of each window; `taps` [planes][out][16] (may be NULL) = ky * kernel_width + kx of it.
/// The first of equal values wins, NaN wins over numbers (the last NaN of a window, as in PyTorch).
void zoo_max_pool2d(const zoo_pool2d *pool, size_t planes, const float *x, float *y, int32_t *taps);
/// y = x at the taps chosen before: tangents and second derivatives of max pooling.
void zoo_max_pool2d_gather(const zoo_pool2d *pool, size_t planes, const float *x, const int32_t *taps, float *y);
/// dx = dy put back at the taps. Flags: ZOO_ADD.
void zoo_max_pool2d_scatter(const zoo_pool2d *pool, size_t planes, const float *dy, const int32_t *taps, float *dx,
                            int32_t flags);
/// y = mean of each window over the pixels inside the image, or over the window with ZOO_COUNT_PADDING (only up to
/// `padding` beyond the image, as in PyTorch).
void zoo_average_pool2d(const zoo_pool2d *pool, size_t planes, const float *x, float *y, int32_t flags);
/// The transpose of `zoo_average_pool2d`. Flags: ZOO_ADD, ZOO_COUNT_PADDING.
void zoo_average_pool2d_gradient(const zoo_pool2d *pool, size_t planes, const float *dy, float *dx, int32_t flags);
/// y [planes][16] = mean of x [planes][pixels][16].
void zoo_global_average(size_t planes, size_t pixels, const float *x, float *y);
/// dx [planes][pixels][16] = dy / pixels. Flags: ZOO_ADD.
void zoo_global_average_gradient(size_t planes, size_t pixels, const float *dy, float *dx, int32_t flags);

// MARK: Layouts

/// Rows of `features` floats (PyTorch's NCHW, flattened) to lanes: lane i of the groups is row `rows[i]` of `data`, or
/// row i when `rows` is NULL. Lanes past `samples` are zero. lanes [ceil(samples / 16)][features][16].
void zoo_lanes_from_rows(const float *data, const int64_t *rows, size_t samples, size_t features, float *lanes);
/// The same for bytes with a scale and shift per channel: value * scale[c] + shift[c]; rows of channels * pixels bytes.
void zoo_lanes_from_bytes(const uint8_t *data, const int64_t *rows, size_t samples, size_t channels, size_t pixels,
                          const float *scale, const float *shift, float *lanes);
/// Lanes to rows [samples][features]; padded lanes are dropped.
void zoo_rows_from_lanes(const float *lanes, size_t samples, size_t features, float *rows);
/// y [columns][rows] = x [rows][columns]; strides in floats between rows of x and of y.
void zoo_transpose(size_t rows, size_t columns, const float *x, size_t x_stride, float *y, size_t y_stride);

// MARK: Channels, lanes layout [group][channel][pixels][16]

/// y = x * scale[c] + shift[c] (either may be NULL: 1, 0). In place allowed. Flags: ZOO_ADD, ZOO_CLAMP.
void zoo_channel_affine(size_t groups, size_t channels, size_t pixels, const float *x, const float *scale,
                        const float *shift, float *y, int32_t flags);
/// out = (a[c] * x + b[c] * y + c[c]) * lane weight: the input gradient of batch norm. In place allowed with x or y.
void zoo_channel_combine(size_t groups, size_t channels, size_t pixels, const float *x, const float *a, const float *y,
                         const float *b, const float *c, const float *lane_weights, float *out);
/// sums [channels] = sum of x * lane weight over everything else. Sums of 16 lanes in Float32 over at most 256 pixels,
/// then Float64. Flags: ZOO_ADD.
void zoo_channel_sums(size_t groups, size_t channels, size_t pixels, const float *x, const float *lane_weights,
                      float *sums, int32_t flags);
/// dots [channels] = sum of x * y * lane weight, summed the same way. Flags: ZOO_ADD.
void zoo_channel_dots(size_t groups, size_t channels, size_t pixels, const float *x, const float *y,
                      const float *lane_weights, float *dots, int32_t flags);
/// Mean and biased variance of every channel over samples and pixels, weighted by lane (two passes).
void zoo_channel_moments(size_t groups, size_t channels, size_t pixels, const float *x, const float *lane_weights,
                         float *mean, float *variance);

// MARK: Elementwise

/// Functions of one variable, with derivatives of order 0 to 3.
typedef enum zoo_function {
    ZOO_FUNCTION_RELU = 0,
    ZOO_FUNCTION_TANH = 1,
    ZOO_FUNCTION_SIGMOID = 2,
    /// x * Phi(x), the exact GELU.
    ZOO_FUNCTION_GELU = 3,
    /// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    ZOO_FUNCTION_GELU_TANH = 4,
    /// x * sigmoid(1.702 x)
    ZOO_FUNCTION_GELU_QUICK = 5,
    ZOO_FUNCTION_SILU = 6,
    ZOO_FUNCTION_EXP = 7,
    ZOO_FUNCTION_LOG = 8,
    ZOO_FUNCTION_SQRT = 9,
    ZOO_FUNCTION_RSQRT = 10,
    ZOO_FUNCTION_ERF = 11,
    ZOO_FUNCTION_SIN = 12,
    ZOO_FUNCTION_COS = 13,
    /// log(1 + exp(x))
    ZOO_FUNCTION_SOFTPLUS = 14,
    /// 1 / x
    ZOO_FUNCTION_RECIPROCAL = 15,
    /// |x|; derivative 0 at 0.
    ZOO_FUNCTION_ABS = 16,
} zoo_function;

/// y = g * f^(order)(x), order 0...3; `g` may be NULL (1). In place allowed with x or g. Flags: ZOO_ADD.
/// ReLU: derivative 0 at 0 and 1 at NaN, and g is selected rather than multiplied. Otherwise NaN gives NaN. The limits
/// at infinity are exact (0 where x * 0 would be NaN), subnormal inputs are honoured, results that underflow lose
/// digits gradually. Errors: see `zoo_function_error`.
void zoo_apply(zoo_function function, int32_t order, size_t count, const float *x, const float *g, float *y,
               int32_t flags);
/// Bound on the error of `zoo_apply` (g = 1) as a multiple of 2^-24 * (|f| + floor), held by tests: a relative error
/// where |f| is well above the floor (1e-6 to 1, set by the call), an absolute one near zeros. Values: exp, log, sqrt
/// and sin within 2.5, tanh, sigmoid, softplus and erf within 4, GELU within 9 (tanh form 15.5), SiLU within 4.5.
float zoo_function_error(zoo_function function, int32_t order, float *floor);

/// y = a x + b y.
void zoo_axpby(size_t count, float a, const float *x, float b, float *y);
/// z = x + y. In place allowed.
void zoo_add(size_t count, const float *x, const float *y, float *z);
/// z = x - y. In place allowed.
void zoo_subtract(size_t count, const float *x, const float *y, float *z);
/// z = x * y. In place allowed. Flags: ZOO_ADD.
void zoo_multiply(size_t count, const float *x, const float *y, float *z, int32_t flags);
/// z = x / y. In place allowed.
void zoo_divide(size_t count, const float *x, const float *y, float *z);
/// Sum of x * y * weights in Float64 (fixed order); `y` and `weights` may be NULL. Lengths alike.
double zoo_inner(size_t count, const float *x, const float *y, const float *weights);

// MARK: Softmax and losses, lanes layout [group][class][16]

/// Probabilities. In place allowed.
void zoo_softmax_lanes(size_t groups, size_t classes, const float *x, float *y);
/// Logarithms of probabilities. In place allowed.
void zoo_log_softmax_lanes(size_t groups, size_t classes, const float *x, float *y);
/// out = p * (g - sum over classes of p * g): both the tangent and the transpose of softmax at probabilities p.
/// In place allowed with g. Flags: ZOO_ADD.
void zoo_softmax_lanes_gradient(size_t groups, size_t classes, const float *p, const float *g, float *out,
                                int32_t flags);
/// Cross-entropy with labels [group][16] (of padded lanes: anything from 0 to classes - 1). `losses` [group][16] =
/// unweighted loss with label smoothing as PyTorch defines it; `gradient` = lane weight * d loss / d x, may equal `x`.
/// Either may be NULL. `smoothing` 0 is plain cross-entropy.
void zoo_cross_entropy_lanes(size_t groups, size_t classes, const float *x, const int32_t *labels, float smoothing,
                             const float *lane_weights, float *losses, float *gradient);
/// The same with target probabilities [group][class][16], which need not sum to one.
void zoo_cross_entropy_targets_lanes(size_t groups, size_t classes, const float *x, const float *targets,
                                     const float *lane_weights, float *losses, float *gradient);
/// Index of the largest class per lane: the lowest index of equals; NaN counts as the largest (PyTorch's argmax).
void zoo_argmax_lanes(size_t groups, size_t classes, const float *x, int32_t *indices);
/// How many lanes have their label as argmax, counting lanes of non-zero weight.
size_t zoo_correct_lanes(size_t groups, size_t classes, const float *x, const int32_t *labels,
                         const float *lane_weights);

// MARK: Matrix products, row-major

/// C = scale * op(A) op(B) [+ bias] [+ initial]: op(A) is rows x depth, op(B) depth x columns. Strides are in floats
/// between the rows of a stored matrix, so that parts of wider matrices (attention's heads) are read and written in
/// place.
typedef struct zoo_product {
    size_t rows, columns, depth;
    /// A is stored as depth x rows, B as columns x depth.
    bool transpose_a, transpose_b;
    size_t a_stride, b_stride, c_stride;
    float scale;
} zoo_product;

/// Whether the calling thread's instruction set has products worth using; where it has not, a BLAS library is faster.
bool zoo_product_is_fast(void);
/// Floats that a packed B takes.
size_t zoo_product_packed_count(const zoo_product *product);
/// Packs B for `zoo_product_run`. Once per model, not per call.
void zoo_product_pack(const zoo_product *product, const float *b, float *packed);
/// Bytes of scratch that a call needs. Aligned to 64 bytes.
size_t zoo_product_workspace_size(const zoo_product *product, bool is_packed);
/// The product. `b` is packed or as it is stored; `bias` [columns] and `initial` (laid out as C, may be C) may be NULL.
void zoo_product_run(const zoo_product *product, const float *a, const float *b, bool is_packed, const float *bias,
                     const float *initial, float *c, void *workspace);

// MARK: Row-major kernels (transformers): [rows][width], rows contiguous unless a stride (in floats) is given

/// y = (x - mean) * rstd * gamma + beta with mean and biased variance of each row; gamma and beta may be NULL. `mean`
/// and `rstd` [rows] are written when not NULL. In place allowed.
void zoo_layer_norm(size_t rows, size_t width, const float *x, const float *gamma, const float *beta, float epsilon,
                    float *y, float *mean, float *rstd);
/// dx (may be NULL, may equal dy), dgamma and dbeta (may be NULL) from dy. Flags: ZOO_ADD (dgamma and dbeta only).
void zoo_layer_norm_gradient(size_t rows, size_t width, const float *x, const float *gamma, const float *mean,
                             const float *rstd, const float *dy, float *dx, float *dgamma, float *dbeta,
                             int32_t flags);
/// y = x * rstd * gamma, rstd = 1 / sqrt(mean square + epsilon). In place allowed.
void zoo_rms_norm(size_t rows, size_t width, const float *x, const float *gamma, float epsilon, float *y, float *rstd);
/// dx (may be NULL, may equal dy) and dgamma (may be NULL). Flags: ZOO_ADD (dgamma only).
void zoo_rms_norm_gradient(size_t rows, size_t width, const float *x, const float *gamma, const float *rstd,
                           const float *dy, float *dx, float *dgamma, int32_t flags);
/// One attention matrix: y = softmax over keys of (scale * x + mask). `mask` (may be NULL) is additive, -infinity hides
/// a key; row i starts at mask + i * mask_stride (0: one row for all). Key j of query i is hidden when
/// j > i + causal_offset; pass INT64_MAX for none. Hidden keys give 0, a row with all keys hidden gives zeros.
/// In place allowed.
void zoo_softmax_rows(size_t queries, size_t keys, const float *x, size_t x_stride, float scale, const float *mask,
                      size_t mask_stride, int64_t causal_offset, float *y, size_t y_stride);
/// out = scale * p * (g - sum of p * g) per row. In place allowed with g. Flags: ZOO_ADD.
void zoo_softmax_rows_gradient(size_t rows, size_t width, const float *p, const float *g, float scale, float *out,
                               int32_t flags);
/// What a number per row does to the row's elements.
typedef enum zoo_row_operation {
    ZOO_ROW_ADD = 0,
    /// x - v
    ZOO_ROW_SUBTRACT = 1,
    /// v - x
    ZOO_ROW_SUBTRACT_FROM = 2,
    ZOO_ROW_MULTIPLY = 3,
} zoo_row_operation;
/// y = x op v, v [rows]. In place allowed.
void zoo_row_apply(zoo_row_operation operation, size_t rows, size_t width, const float *x, const float *v, float *y);
/// y = log softmax of every row. In place allowed.
void zoo_log_softmax_rows(size_t rows, size_t width, const float *x, float *y);
/// Cross-entropy of rows; rows with a negative label are ignored (loss 0, gradient 0). `losses` [rows] unweighted,
/// `gradient` (may equal x) = row weight * d loss / d x. `row_weights`, `losses`, `gradient` may be NULL.
void zoo_cross_entropy_rows(size_t rows, size_t classes, const float *x, const int32_t *labels, float smoothing,
                            const float *row_weights, float *losses, float *gradient);
/// Index of the largest per row, as `zoo_argmax_lanes`.
void zoo_argmax_rows(size_t rows, size_t width, const float *x, int32_t *indices);
/// y = g * f^(order)(x + bias), bias [width] and g [rows][width] may be NULL. In place allowed. Flags: ZOO_ADD.
void zoo_bias_apply_rows(zoo_function function, int32_t order, size_t rows, size_t width, const float *x,
                         const float *bias, const float *g, float *y, int32_t flags);
/// y = x * scale + bias over columns, [width] each, either may be NULL. In place allowed. Flags: ZOO_ADD.
void zoo_column_affine(size_t rows, size_t width, const float *x, const float *scale, const float *bias, float *y,
                       int32_t flags);
/// sums [width] = sum over rows of x, or of x * y when y is not NULL. Flags: ZOO_ADD.
void zoo_column_sums(size_t rows, size_t width, const float *x, const float *y, float *sums, int32_t flags);
/// sums [rows] = sum over columns of x, or of x * y when y is not NULL. Flags: ZOO_ADD.
void zoo_row_sums(size_t rows, size_t width, const float *x, const float *y, float *sums, int32_t flags);
/// Rotary embedding of [tokens][heads][head_size], the first `rotary_size` (even) of each head turned, the rest copied.
/// `cosines` and `sines`: [positions][rotary_size / 2]; token t uses row positions[t] (NULL: row t). `interleaved`:
/// pairs (0, 1), (2, 3)... (GPT-J), otherwise (i, i + rotary_size / 2) (Llama). `inverse` turns backwards: the
/// gradient.
/// In place allowed.
void zoo_rotary(size_t tokens, size_t heads, size_t head_size, size_t rotary_size, const int32_t *positions,
                const float *cosines, const float *sines, bool interleaved, bool inverse, const float *x, float *y);
/// y [count][width] = table rows `indices`; the caller has checked the indices. Flags: ZOO_ADD.
void zoo_gather_rows(size_t count, size_t width, const float *table, const int32_t *indices, float *y, int32_t flags);
/// table row indices[i] += x row i, in order.
void zoo_scatter_add_rows(size_t count, size_t width, const float *x, const int32_t *indices, float *table);

#ifdef __cplusplus
}
#endif
