#include "CZooBLAS.h"

#include <stdlib.h>

// LAPACK's own (Fortran) entry points, which OpenBLAS brings: every argument by address, matrices by columns, the lengths
// of texts at the end.

typedef void (*syevd_function)(const char *, const char *, const int *, double *, const int *, double *, double *,
                               const int *, int *, const int *, int *, size_t, size_t);
typedef void (*stev_function)(const char *, const int *, double *, double *, double *, const int *, double *, int *,
                              size_t);
typedef void (*gesdd_function)(const char *, const int *, const int *, double *, const int *, double *, double *,
                               const int *, double *, const int *, double *, const int *, int *, int *, size_t);

typedef void (*potrf_function)(const char *, const int *, double *, const int *, int *, size_t);

int32_t zoo_inverse_upper_cholesky(int32_t n, double *a) {
    // The factorisation and the inverse take the same arguments.
    potrf_function potrf, potri;
    *(void **)&potrf = zoo_blas_symbol("dpotrf_");
    *(void **)&potri = zoo_blas_symbol("dpotri_");
    if (potrf == NULL || potri == NULL) return ZOO_LAPACK_MISSING;
    if (n == 0) return 0;
    int info = 0;
    potrf("L", &n, a, &n, &info, 1);
    if (info != 0) return info;
    potri("L", &n, a, &n, &info, 1);
    if (info != 0) return info;
    // By columns the lower triangle is the upper one by rows, so the lower factor is the upper one, too.
    potrf("L", &n, a, &n, &info, 1);
    if (info != 0) return info;
    for (int32_t row = 1; row < n; row++)
        for (int32_t column = 0; column < row; column++) a[(size_t)row * n + column] = 0;
    return 0;
}

int32_t zoo_dsyevd(int32_t n, double *a, double *values, bool wants_vectors) {
    syevd_function syevd;
    *(void **)&syevd = zoo_blas_symbol("dsyevd_");
    if (syevd == NULL) return ZOO_LAPACK_MISSING;
    if (n == 0) return 0;
    const char *job = wants_vectors ? "V" : "N";
    double wanted = 0;
    int info = 0, integers = 0, query = -1;
    syevd(job, "L", &n, a, &n, values, &wanted, &query, &integers, &query, &info, 1, 1);
    if (info != 0) return info;
    int length = (int)wanted;
    double *work = malloc((size_t)length * sizeof(double));
    int *integer_work = malloc((size_t)integers * sizeof(int));
    if (work == NULL || integer_work == NULL)
        info = ZOO_LAPACK_MEMORY;
    else
        syevd(job, "L", &n, a, &n, values, work, &length, integer_work, &integers, &info, 1, 1);
    free(work);
    free(integer_work);
    return info;
}

int32_t zoo_dstev(int32_t n, double *diagonal, double *off_diagonal, double *vectors) {
    stev_function stev;
    *(void **)&stev = zoo_blas_symbol("dstev_");
    if (stev == NULL) return ZOO_LAPACK_MISSING;
    if (n == 0) return 0;
    double *work = malloc((size_t)(2 * n) * sizeof(double));
    if (work == NULL) return ZOO_LAPACK_MEMORY;
    int info = 0;
    stev("V", &n, diagonal, off_diagonal, vectors, &n, work, &info, 1);
    free(work);
    return info;
}

int32_t zoo_dgesdd(int32_t rows, int32_t columns, double *a, double *values, double *u, double *vt) {
    gesdd_function gesdd;
    *(void **)&gesdd = zoo_blas_symbol("dgesdd_");
    if (gesdd == NULL) return ZOO_LAPACK_MISSING;
    int k = rows < columns ? rows : columns;
    if (k == 0) return 0;
    // By columns, a is its transpose: U and Vᵀ change places.
    double wanted = 0;
    int info = 0, query = -1;
    int *integer_work = malloc((size_t)(8 * k) * sizeof(int));
    if (integer_work == NULL) return ZOO_LAPACK_MEMORY;
    gesdd("S", &columns, &rows, a, &columns, values, vt, &columns, u, &k, &wanted, &query, integer_work, &info, 1);
    if (info == 0) {
        int length = (int)wanted;
        double *work = malloc((size_t)length * sizeof(double));
        if (work == NULL)
            info = ZOO_LAPACK_MEMORY;
        else
            gesdd("S", &columns, &rows, a, &columns, values, vt, &columns, u, &k, work, &length, integer_work, &info, 1);
        free(work);
    }
    free(integer_work);
    return info;
}
