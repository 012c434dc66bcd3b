#if defined(__x86_64__)
// Headers first: they must not be compiled for the instruction set below.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../kernel_table.h"

// Spelled feature by feature: naming a processor instead makes the compiler prefer half-width vectors.
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), \
                             apply_to = function)
#define ZOO_VARIANT avx512
#define ZOO_WIDTH 16
#define ZOO_OUT_TILE 12
#define ZOO_HALF_HARDWARE 1
#define ZOO_GRADIENT_OUT_TILE 8
#include "variant.h"
#pragma clang attribute pop
#endif
