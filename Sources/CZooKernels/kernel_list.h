// Every kernel that exists once per instruction set: X(result, name, (parameters), (arguments)).

// CZooKernelsNN.h
X(size_t, zoo_conv2d_workspace_size, (const zoo_conv2d *conv), (conv))
X(void, zoo_conv2d_pack, (const zoo_conv2d *conv, const float *weights, float *packed), (conv, weights, packed))
X(void, zoo_conv2d_pack_transposed, (const zoo_conv2d *conv, const float *weights, float *packed), (conv, weights,
  packed))
X(void, zoo_conv2d_forward, (const zoo_conv2d *conv, size_t groups, const float *x, const float *packed, const float
  *bias, float *y, int32_t flags, void *workspace), (conv, groups, x, packed, bias, y, flags, workspace))
X(void, zoo_conv2d_input_gradient, (const zoo_conv2d *conv, size_t groups, const float *dy, const float *packed, float
  *dx, int32_t flags, void *workspace), (conv, groups, dy, packed, dx, flags, workspace))
X(void, zoo_conv2d_weight_gradient, (const zoo_conv2d *conv, size_t groups, const float *x, const float *dy, float
  *dw, float *db, int32_t flags, void *workspace), (conv, groups, x, dy, dw, db, flags, workspace))
X(void, zoo_conv2d_sample_gradients, (const zoo_conv2d *conv, size_t groups, const float *x, const float *dy, float
  *dw, float *db, int32_t flags), (conv, groups, x, dy, dw, db, flags))
X(void, zoo_max_pool2d, (const zoo_pool2d *pool, size_t planes, const float *x, float *y, int32_t *taps), (pool,
  planes, x, y, taps))
X(void, zoo_max_pool2d_gather, (const zoo_pool2d *pool, size_t planes, const float *x, const int32_t *taps, float *y),
  (pool, planes, x, taps, y))
X(void, zoo_max_pool2d_scatter, (const zoo_pool2d *pool, size_t planes, const float *dy, const int32_t *taps, float
  *dx, int32_t flags), (pool, planes, dy, taps, dx, flags))
X(void, zoo_average_pool2d, (const zoo_pool2d *pool, size_t planes, const float *x, float *y, int32_t flags), (pool,
  planes, x, y, flags))
X(void, zoo_average_pool2d_gradient, (const zoo_pool2d *pool, size_t planes, const float *dy, float *dx, int32_t
  flags), (pool, planes, dy, dx, flags))
X(void, zoo_global_average, (size_t planes, size_t pixels, const float *x, float *y), (planes, pixels, x, y))
X(void, zoo_global_average_gradient, (size_t planes, size_t pixels, const float *dy, float *dx, int32_t flags),
  (planes, pixels, dy, dx, flags))
X(void, zoo_lanes_from_rows, (const float *data, const int64_t *rows, size_t samples, size_t features, float *lanes),
  (data, rows, samples, features, lanes))
X(void, zoo_lanes_from_bytes, (const uint8_t *data, const int64_t *rows, size_t samples, size_t channels, size_t
  pixels, const float *scale, const float *shift, float *lanes), (data, rows, samples, channels, pixels, scale, shift,
  lanes))
X(void, zoo_rows_from_lanes, (const float *lanes, size_t samples, size_t features, float *rows), (lanes, samples,
  features, rows))
X(void, zoo_transpose, (size_t rows, size_t columns, const float *x, size_t x_stride, float *y, size_t y_stride),
  (rows, columns, x, x_stride, y, y_stride))
X(void, zoo_channel_affine, (size_t groups, size_t channels, size_t pixels, const float *x, const float *scale, const
  float *shift, float *y, int32_t flags), (groups, channels, pixels, x, scale, shift, y, flags))
X(void, zoo_channel_combine, (size_t groups, size_t channels, size_t pixels, const float *x, const float *a, const
  float *y, const float *b, const float *c, const float *lane_weights, float *out), (groups, channels, pixels, x, a,
  y, b, c, lane_weights, out))
X(void, zoo_channel_sums, (size_t groups, size_t channels, size_t pixels, const float *x, const float *lane_weights,
  float *sums, int32_t flags), (groups, channels, pixels, x, lane_weights, sums, flags))
X(void, zoo_channel_dots, (size_t groups, size_t channels, size_t pixels, const float *x, const float *y, const float
  *lane_weights, float *dots, int32_t flags), (groups, channels, pixels, x, y, lane_weights, dots, flags))
X(void, zoo_channel_moments, (size_t groups, size_t channels, size_t pixels, const float *x, const float
  *lane_weights, float *mean, float *variance), (groups, channels, pixels, x, lane_weights, mean, variance))
X(void, zoo_apply, (zoo_function function, int32_t order, size_t count, const float *x, const float *g, float *y,
  int32_t flags), (function, order, count, x, g, y, flags))
X(void, zoo_axpby, (size_t count, float a, const float *x, float b, float *y), (count, a, x, b, y))
X(void, zoo_add, (size_t count, const float *x, const float *y, float *z), (count, x, y, z))
X(void, zoo_subtract, (size_t count, const float *x, const float *y, float *z), (count, x, y, z))
X(void, zoo_multiply, (size_t count, const float *x, const float *y, float *z, int32_t flags), (count, x, y, z,
  flags))
X(void, zoo_divide, (size_t count, const float *x, const float *y, float *z), (count, x, y, z))
X(double, zoo_inner, (size_t count, const float *x, const float *y, const float *weights), (count, x, y, weights))
X(void, zoo_softmax_lanes, (size_t groups, size_t classes, const float *x, float *y), (groups, classes, x, y))
X(void, zoo_log_softmax_lanes, (size_t groups, size_t classes, const float *x, float *y), (groups, classes, x, y))
X(void, zoo_softmax_lanes_gradient, (size_t groups, size_t classes, const float *p, const float *g, float *out,
  int32_t flags), (groups, classes, p, g, out, flags))
X(void, zoo_cross_entropy_lanes, (size_t groups, size_t classes, const float *x, const int32_t *labels, float
  smoothing, const float *lane_weights, float *losses, float *gradient), (groups, classes, x, labels, smoothing,
  lane_weights, losses, gradient))
X(void, zoo_cross_entropy_targets_lanes, (size_t groups, size_t classes, const float *x, const float *targets, const
  float *lane_weights, float *losses, float *gradient), (groups, classes, x, targets, lane_weights, losses, gradient))
X(void, zoo_argmax_lanes, (size_t groups, size_t classes, const float *x, int32_t *indices), (groups, classes, x,
  indices))
X(size_t, zoo_correct_lanes, (size_t groups, size_t classes, const float *x, const int32_t *labels, const float
  *lane_weights), (groups, classes, x, labels, lane_weights))
X(bool, zoo_product_is_fast, (void), ())
X(size_t, zoo_product_packed_count, (const zoo_product *product), (product))
X(void, zoo_product_pack, (const zoo_product *product, const float *b, float *packed), (product, b, packed))
X(size_t, zoo_product_workspace_size, (const zoo_product *product, bool is_packed), (product, is_packed))
X(void, zoo_product_run, (const zoo_product *product, const float *a, const float *b, bool is_packed, const float
  *bias, const float *initial, float *c, void *workspace), (product, a, b, is_packed, bias, initial, c, workspace))
X(void, zoo_row_apply, (zoo_row_operation operation, size_t rows, size_t width, const float *x, const float *v, float
  *y), (operation, rows, width, x, v, y))
X(void, zoo_layer_norm, (size_t rows, size_t width, const float *x, const float *gamma, const float *beta, float
  epsilon, float *y, float *mean, float *rstd), (rows, width, x, gamma, beta, epsilon, y, mean, rstd))
X(void, zoo_layer_norm_gradient, (size_t rows, size_t width, const float *x, const float *gamma, const float *mean,
  const float *rstd, const float *dy, float *dx, float *dgamma, float *dbeta, int32_t flags), (rows, width, x, gamma,
  mean, rstd, dy, dx, dgamma, dbeta, flags))
X(void, zoo_rms_norm, (size_t rows, size_t width, const float *x, const float *gamma, float epsilon, float *y, float
  *rstd), (rows, width, x, gamma, epsilon, y, rstd))
X(void, zoo_rms_norm_gradient, (size_t rows, size_t width, const float *x, const float *gamma, const float *rstd,
  const float *dy, float *dx, float *dgamma, int32_t flags), (rows, width, x, gamma, rstd, dy, dx, dgamma, flags))
X(void, zoo_softmax_rows, (size_t queries, size_t keys, const float *x, size_t x_stride, float scale, const float
  *mask, size_t mask_stride, int64_t causal_offset, float *y, size_t y_stride), (queries, keys, x, x_stride, scale,
  mask, mask_stride, causal_offset, y, y_stride))
X(void, zoo_softmax_rows_gradient, (size_t rows, size_t width, const float *p, const float *g, float scale, float
  *out, int32_t flags), (rows, width, p, g, scale, out, flags))
X(void, zoo_log_softmax_rows, (size_t rows, size_t width, const float *x, float *y), (rows, width, x, y))
X(void, zoo_cross_entropy_rows, (size_t rows, size_t classes, const float *x, const int32_t *labels, float smoothing,
  const float *row_weights, float *losses, float *gradient), (rows, classes, x, labels, smoothing, row_weights,
  losses, gradient))
X(void, zoo_argmax_rows, (size_t rows, size_t width, const float *x, int32_t *indices), (rows, width, x, indices))
X(void, zoo_bias_apply_rows, (zoo_function function, int32_t order, size_t rows, size_t width, const float *x, const
  float *bias, const float *g, float *y, int32_t flags), (function, order, rows, width, x, bias, g, y, flags))
X(void, zoo_column_affine, (size_t rows, size_t width, const float *x, const float *scale, const float *bias, float
  *y, int32_t flags), (rows, width, x, scale, bias, y, flags))
X(void, zoo_column_sums, (size_t rows, size_t width, const float *x, const float *y, float *sums, int32_t flags),
  (rows, width, x, y, sums, flags))
X(void, zoo_row_sums, (size_t rows, size_t width, const float *x, const float *y, float *sums, int32_t flags), (rows,
  width, x, y, sums, flags))
X(void, zoo_rotary, (size_t tokens, size_t heads, size_t head_size, size_t rotary_size, const int32_t *positions,
  const float *cosines, const float *sines, bool interleaved, bool inverse, const float *x, float *y), (tokens, heads,
  head_size, rotary_size, positions, cosines, sines, interleaved, inverse, x, y))

// CZooKernelsVector.h
X(void, zoo_weighted_sum, (const void *const *inputs, const int32_t *dtypes, const double *weights, size_t k, size_t
  count, void *output, int32_t output_dtype, bool accumulate_in_double), (inputs, dtypes, weights, k, count, output,
  output_dtype, accumulate_in_double))
X(void, zoo_convert, (const void *input, int32_t input_dtype, size_t count, void *output, int32_t output_dtype),
  (input, input_dtype, count, output, output_dtype))
X(void, zoo_vector_statistics_blocks, (const void *a, int32_t dtype, size_t count, zoo_statistics *blocks), (a, dtype,
  count, blocks))
X(void, zoo_vector_pair_blocks, (const void *a, int32_t a_dtype, const void *b, int32_t b_dtype, size_t count,
  zoo_pair_statistics *blocks), (a, a_dtype, b, b_dtype, count, blocks))
X(void, zoo_vector_dots_block, (const void *g, int32_t g_dtype, const void *const *inputs, const int32_t *dtypes, size_t
  k, size_t count, double *dots), (g, g_dtype, inputs, dtypes, k, count, dots))

// CZooKernelsMerge.h
X(void, zoo_merge_subtract, (bool wide, size_t count, const void *a, const void *b, void *output), (wide, count, a, b,
  output))
X(void, zoo_merge_scale, (bool wide, size_t count, double factor, void *x), (wide, count, factor, x))
X(void, zoo_merge_sum, (bool wide, size_t count, const void *const *deltas, const double *weights, size_t k, double
  divisor, double lambda, const void *base, void *output), (wide, count, deltas, weights, k, divisor, lambda, base,
  output))
X(void, zoo_merge_consensus, (bool wide, size_t count, const void *const *deltas, const double *weights, size_t k,
  bool by_count, bool normalise, double lambda, const void *base, void *output), (wide, count, deltas, weights, k,
  by_count, normalise, lambda, base, output))
X(void, zoo_merge_nearswap, (bool wide, size_t count, const void *a, const void *b, double t, void *output), (wide,
  count, a, b, t, output))
X(void, zoo_merge_largest, (bool wide, size_t count, const void *const *deltas, size_t k, double alpha, const void
  *base, void *output), (wide, count, deltas, k, alpha, base, output))
X(void, zoo_merge_consensus_mask, (bool wide, size_t count, const void *const *deltas, size_t k, double lambda, size_t
  least, double alpha, const void *base, void *output), (wide, count, deltas, k, lambda, least, alpha, base, output))
X(void, zoo_merge_columns, (bool wide, size_t count, const void *const *inputs, size_t k, const double *coefficients,
  size_t stride, void *output), (wide, count, inputs, k, coefficients, stride, output))
X(void, zoo_merge_gram, (bool wide, size_t count, const void *const *vectors, size_t k, double *gram), (wide, count,
  vectors, k, gram))
X(void, zoo_merge_column_dots, (bool wide, size_t count, const void *a, const void *b, double *dots), (wide, count, a,
  b, dots))
X(void, zoo_merge_magnitudes, (bool wide, size_t count, const void *x, double *sums), (wide, count, x, sums))
X(void, zoo_merge_drop, (bool wide, size_t count, uint64_t key, uint64_t first, double keep, bool inverse, void *x),
  (wide, count, key, first, keep, inverse, x))
X(void, zoo_merge_drop_each, (bool wide, size_t count, uint64_t key, uint64_t first, const double *keep, bool inverse,
  void *x), (wide, count, key, first, keep, inverse, x))
X(double, zoo_merge_uniform, (uint64_t key, uint64_t index), (key, index))
X(void, zoo_merge_histogram, (bool wide, size_t count, const void *x, int32_t shift, int32_t width, uint64_t prefix,
  uint64_t *bins), (wide, count, x, shift, width, prefix, bins))
X(uint64_t, zoo_merge_count_bits, (bool wide, size_t count, const void *x, uint64_t bits), (wide, count, x, bits))
X(void, zoo_merge_trim, (bool wide, size_t count, const zoo_merge_range *range, uint64_t *low_rank, uint64_t
  *high_rank, void *x), (wide, count, range, low_rank, high_rank, x))
X(void, zoo_merge_ranks, (bool wide, size_t count, const void *x, uint32_t *ranks, uint64_t *scratch), (wide, count,
  x, ranks, scratch))
X(void, zoo_merge_variance, (bool wide, size_t count, const void *const *deltas, size_t k, void *output), (wide,
  count, deltas, k, output))
X(void, zoo_merge_erase, (bool wide, size_t count, const void *const *deltas, const double *coefficients, size_t k,
  double floor, const void *base, void *output), (wide, count, deltas, coefficients, k, floor, base, output))
X(void, zoo_merge_activity, (bool wide, size_t count, const void *const *deltas, size_t k, double epsilon, uint64_t
  *counts), (wide, count, deltas, k, epsilon, counts))
X(void, zoo_merge_unique, (bool wide, size_t count, const void *const *deltas, const double *unique, size_t k, double
  epsilon, const void *base, void *output), (wide, count, deltas, unique, k, epsilon, base, output))
X(double, zoo_merge_divergence, (bool wide, size_t count, const void *a, const void *b), (wide, count, a, b))
X(void, zoo_merge_importance, (bool wide, size_t count, const void *a, const void *b, double factor, void *output),
  (wide, count, a, b, factor, output))
X(void, zoo_merge_choose, (bool wide, size_t count, const void *a, const void *b, const void *importance, double
  threshold, void *output), (wide, count, a, b, importance, threshold, output))
