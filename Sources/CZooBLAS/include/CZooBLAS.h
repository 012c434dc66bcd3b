#pragma once
// Matrix products by OpenBLAS, which is loaded when it is first needed: commands that need none of it do not pay for its
// start (2 ms and threads that spin).

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Loads the library, once per process; NULL, or what went wrong. Any thread may call.
const char *zoo_blas_load(void);
/// The library's description of itself; NULL unless it is loaded.
const char *zoo_blas_description(void);
/// A function of the library (BLAS, or LAPACK where it has it) by name; NULL when it is not there.
void *zoo_blas_symbol(const char *name);

/// C = op(A) op(B) + beta C, row-major with the given row lengths. The library must be loaded.
void zoo_sgemm(int transpose_a, int transpose_b, int32_t rows, int32_t columns, int32_t depth, const float *a,
               int32_t stride_a, const float *b, int32_t stride_b, float beta, float *c, int32_t stride_c);
/// The same in double precision.
void zoo_dgemm(int transpose_a, int transpose_b, int32_t rows, int32_t columns, int32_t depth, const double *a,
               int32_t stride_a, const double *b, int32_t stride_b, double beta, double *c, int32_t stride_c);

#ifdef __cplusplus
}
#endif
