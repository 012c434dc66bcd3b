// The tiles of AVX-512 without its instructions: lets tests run that code on every processor.

#define ZOO_VARIANT wide
#define ZOO_WIDTH 16
#define ZOO_OUT_TILE 12
#define ZOO_HALF_HARDWARE 0
#define ZOO_GRADIENT_OUT_TILE 8
#include "variant.h"
