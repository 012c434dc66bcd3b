#pragma once
// Portable C kernels. Every function may be called from any thread; the only state is the choice of the instruction
// set.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CZooKernelsMerge.h"
#include "CZooKernelsNN.h"
#include "CZooKernelsVector.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Reads a decimal number of `length` characters (no terminator needed), independent of the locale's decimal point.
/// Returns false when it is longer than 512 characters or not a number.
bool zoo_parse_double(const char *text, size_t length, double *result);

/// Starts writing a range of a file to the disk without waiting for it (sync_file_range); does nothing elsewhere
/// than on Linux.
void zoo_start_writeback(int descriptor, int64_t offset, int64_t count);

/// Lets two files or folders of one file system change places in one step. Returns 0, or the error number; ENOSYS or
/// EINVAL where the system or file system cannot.
int zoo_exchange_paths(const char *left, const char *right);

/// How many of `count` elements at any alignment are NaN or infinite; `dtype` as in zoo_dtype (0 float32, 1 float64,
/// 2 half, 3 bfloat16), 0 for other codes.
uint64_t zoo_count_nonfinite(const void *input, int32_t dtype, size_t count);

/// Length of the JSON string, list or object that begins at `text`, found by matching quotes and brackets only: what
/// stands between them is not checked. 0 when it is not closed, closed by the wrong bracket, nested deeper than
/// `depth` (at most 1024), or has a control character in a string.
size_t zoo_json_span(const char *text, size_t length, size_t depth);

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

// MARK: Block quantisation

/// Decodes `count` blocks of a GGUF tensor type (its number in the file) to floats. Returns false for a type that is
/// not decoded; 2, 3, 6, 7, 8 (32 elements a block) and 10 to 14 (256) are.
bool zoo_dequantise(int type, const void *blocks, size_t count, float *output);

#ifdef __cplusplus
}
#endif
