#pragma once
// The functions of one instruction set.

#include "CZooKernels.h"

typedef struct zoo_kernel_table {
    const char *name;
#define X(result, name, parameters, arguments) result(*name) parameters;
#include "kernel_list.h"
#undef X
} zoo_kernel_table;

extern const zoo_kernel_table zoo_kernels_baseline __attribute__((visibility("hidden")));
extern const zoo_kernel_table zoo_kernels_wide __attribute__((visibility("hidden")));
#if defined(__x86_64__)
extern const zoo_kernel_table zoo_kernels_avx2 __attribute__((visibility("hidden")));
extern const zoo_kernel_table zoo_kernels_avx512 __attribute__((visibility("hidden")));
#endif
