// What every processor of the architecture has: SSE2 on x86-64, NEON on arm64.

#define ZOO_VARIANT baseline
#define ZOO_WIDTH 4
#if defined(__aarch64__)
#define ZOO_OUT_TILE 6
#define ZOO_HALF_HARDWARE 1
#else
#define ZOO_OUT_TILE 3
#define ZOO_HALF_HARDWARE 0
#endif
#define ZOO_GRADIENT_OUT_TILE 4
#include "variant.h"
