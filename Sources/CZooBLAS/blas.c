#include "CZooBLAS.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

typedef void (*sgemm_function)(int, int, int, int, int, int, float, const float *, int, const float *, int, float,
                               float *, int);
typedef void (*dgemm_function)(int, int, int, int, int, int, double, const double *, int, const double *, int, double,
                               double *, int);

static void *library;
static sgemm_function sgemm;
static dgemm_function dgemm;
static char failure[512];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *const names[] = {
#if defined(__APPLE__)
    "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
    "/usr/local/opt/openblas/lib/libopenblas.dylib",
    "/System/Library/Frameworks/Accelerate.framework/Accelerate",
#else
    "libopenblas.so.0",
    "libopenblas.so",
#endif
};

// OpenBLAS starts its threads as it is loaded, and they spin. It is told not to before anything else runs in the
// process: later, another thread might be reading the environment. Who sets the variable keeps it.
__attribute__((constructor)) static void ask_for_one_thread(void) { setenv("OPENBLAS_NUM_THREADS", "1", 0); }

static void load(void) {
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && library == NULL; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *reason = dlerror();
        strncpy(failure, reason != NULL ? reason : "no reason given", sizeof(failure) - 1);
        return;
    }
    *(void **)&sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&dgemm = dlsym(library, "cblas_dgemm");
    if (sgemm == NULL || dgemm == NULL) {
        strncpy(failure, "the library has no cblas_sgemm", sizeof(failure) - 1);
        return;
    }
    // Work is split by the caller, at the outermost level: the library's own threads lose on everything small.
    void (*set_threads)(int);
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    if (set_threads != NULL) set_threads(1);
}

const char *zoo_blas_load(void) {
    pthread_once(&once, load);
    return failure[0] != 0 ? failure : NULL;
}

const char *zoo_blas_description(void) {
    if (zoo_blas_load() != NULL) return NULL;
    const char *(*describe)(void);
    *(void **)&describe = dlsym(library, "openblas_get_config");
    return describe != NULL ? describe() : "a BLAS that does not say its version";
}

void *zoo_blas_symbol(const char *name) { return zoo_blas_load() == NULL ? dlsym(library, name) : NULL; }

void zoo_sgemm(int transpose_a, int transpose_b, int32_t rows, int32_t columns, int32_t depth, const float *a,
               int32_t stride_a, const float *b, int32_t stride_b, float beta, float *c, int32_t stride_c) {
    sgemm(ROW_MAJOR, transpose_a ? TRANSPOSED : PLAIN, transpose_b ? TRANSPOSED : PLAIN, rows, columns, depth, 1, a,
          stride_a, b, stride_b, beta, c, stride_c);
}

void zoo_dgemm(int transpose_a, int transpose_b, int32_t rows, int32_t columns, int32_t depth, const double *a,
               int32_t stride_a, const double *b, int32_t stride_b, double beta, double *c, int32_t stride_c) {
    dgemm(ROW_MAJOR, transpose_a ? TRANSPOSED : PLAIN, transpose_b ? TRANSPOSED : PLAIN, rows, columns, depth, 1, a,
          stride_a, b, stride_b, beta, c, stride_c);
}
