#pragma once
// Portable C kernels. Every function may be called from any thread; the only state is the choice of the instruction
// set.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CZooKernelsNN.h"
#include "CZooKernelsVector.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Reads a decimal number of `length` characters (no terminator needed), independent of the locale's decimal point.
/// Returns false when it is longer than 512 characters or not a number.
bool zoo_parse_double(const char *text, size_t length, double *result);

// MARK: Half precision

/// The value of IEEE half-precision bits.
float zoo_f16_value(uint16_t bits);
/// Half-precision bits of a value, rounded to nearest even once.
uint16_t zoo_f16_bits_of_double(double value);
/// bfloat16 bits of a value, rounded to nearest even once.
uint16_t zoo_bf16_bits_of_double(double value);
/// `count` halves at any alignment to floats.
void zoo_f16_to_f32(const void *restrict input, float *restrict output, size_t count);
/// `count` bfloat16 at any alignment to floats.
void zoo_bf16_to_f32(const void *restrict input, float *restrict output, size_t count);
/// `count` floats at any alignment to halves, rounded to nearest even.
void zoo_f32_to_f16(const void *restrict input, void *restrict output, size_t count);
/// `count` floats at any alignment to bfloat16, rounded to nearest even; NaN stays NaN.
void zoo_f32_to_bf16(const void *restrict input, void *restrict output, size_t count);

#ifdef __cplusplus
}
#endif
