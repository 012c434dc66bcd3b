#pragma once
// Matrix products by OpenBLAS, which is loaded when it is first needed: commands that need none of it do not pay for its
// start (2 ms and threads that spin).

#include <stdbool.h>
#include <stddef.h>
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

// MARK: LAPACK

enum {
    /// The library has no LAPACK.
    ZOO_LAPACK_MISSING = -1000,
    /// Memory for its work is missing.
    ZOO_LAPACK_MEMORY = -1001,
};

/// Replaces a symmetric positive definite n × n matrix by the upper factor U of its inverse, A⁻¹ = UᵀU, by rows.
int32_t zoo_inverse_upper_cholesky(int32_t n, double *a);

/// Eigenvalues, ascending, of a symmetric matrix n x n, which is overwritten: with the eigenvectors, row by row, when
/// `wants_vectors`. Returns 0, LAPACK's code, or one of the above; so do the others.
int32_t zoo_dsyevd(int32_t n, double *a, double *values, bool wants_vectors);
/// Eigenvalues, ascending, of a symmetric tridiagonal matrix, which overwrite its diagonal; the off-diagonal (n - 1) is
/// overwritten. `vectors` n x n gets the eigenvectors, row by row.
int32_t zoo_dstev(int32_t n, double *diagonal, double *off_diagonal, double *vectors);
/// A = U diag(values) Vt of a row-major matrix, which is overwritten: u rows x k, vt k x columns, k the smaller side.
int32_t zoo_dgesdd(int32_t rows, int32_t columns, double *a, double *values, double *u, double *vt);

#ifdef __cplusplus
}
#endif
