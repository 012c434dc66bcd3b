#if defined(__x86_64__)
// Headers first: they must not be compiled for the instruction set below.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../kernel_table.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define ZOO_VARIANT avx2
#define ZOO_WIDTH 8
#define ZOO_OUT_TILE 6
#define ZOO_HALF_HARDWARE 1
#define ZOO_GRADIENT_OUT_TILE 4
#include "variant.h"
#pragma clang attribute pop
#endif
