#pragma once
// Vector types and small helpers of the kernel bodies. Included once per instruction set, by a file of variants/ that
// has defined ZOO_VARIANT (a suffix), ZOO_WIDTH (floats per register), ZOO_OUT_TILE (most output channels of the
// convolution tile), ZOO_GRADIENT_OUT_TILE (the same for weight gradients) and ZOO_HALF_HARDWARE (1 when the
// instruction set converts halves to floats).

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "CZooKernels.h"

#define ZOO_PASTE(a, b) a##_##b
#define ZOO_PASTE_EXPANDED(a, b) ZOO_PASTE(a, b)
/// The name of a kernel in this variant.
#define NAME(kernel) ZOO_PASTE_EXPANDED(kernel, ZOO_VARIANT)
#define INLINE static inline __attribute__((always_inline))
#define PER_GROUP (16 / ZOO_WIDTH)

// Vectors wider than the registers are passed between functions that are always inlined, so no ABI is involved.
#pragma clang diagnostic ignored "-Wpsabi"

/// Sixteen lanes: one, two or four registers.
typedef float lanes __attribute__((vector_size(64)));
typedef int32_t lanes_int __attribute__((vector_size(64)));
typedef float lanes_loose __attribute__((vector_size(64), aligned(4)));
typedef int32_t lanes_int_loose __attribute__((vector_size(64), aligned(4)));
/// One register of floats.
typedef float reg __attribute__((vector_size(ZOO_WIDTH * 4)));
/// Eight doubles, and the floats they come from.
typedef double octet __attribute__((vector_size(64)));
typedef int64_t octet_int __attribute__((vector_size(64)));
typedef float octet_float __attribute__((vector_size(32)));

INLINE lanes load(const float *p) { return *(const lanes_loose *)p; }
INLINE void store(float *p, lanes v) { *(lanes_loose *)p = v; }
INLINE lanes_int load_int(const int32_t *p) { return *(const lanes_int_loose *)p; }
INLINE void store_int(int32_t *p, lanes_int v) { *(lanes_int_loose *)p = v; }
// Spelled out, because adding to a zero vector is an addition (it turns -0 into 0), which the compiler has to keep.
INLINE lanes splat(float x) { return (lanes){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE lanes_int splat_int(int32_t x) { return (lanes_int){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
#if ZOO_WIDTH == 4
INLINE reg splat_reg(float x) { return (reg){x, x, x, x}; }
#elif ZOO_WIDTH == 8
INLINE reg splat_reg(float x) { return (reg){x, x, x, x, x, x, x, x}; }
#else
INLINE reg splat_reg(float x) { return splat(x); }
#endif
INLINE lanes as_float(lanes_int v) { return (lanes)v; }
INLINE lanes_int as_int(lanes v) { return (lanes_int)v; }
INLINE lanes pick(lanes_int mask, lanes yes, lanes no) {
    return as_float((as_int(yes) & mask) | (as_int(no) & ~mask));
}
INLINE lanes_int pick_int(lanes_int mask, lanes_int yes, lanes_int no) { return (yes & mask) | (no & ~mask); }
INLINE lanes magnitude(lanes x) { return as_float(as_int(x) & 0x7FFFFFFF); }
INLINE lanes with_sign(lanes magnitude, lanes sign) {
    return as_float((as_int(magnitude) & 0x7FFFFFFF) | (as_int(sign) & (int32_t)0x80000000));
}
/// min and max that keep a NaN of the first argument.
INLINE lanes at_least(lanes x, float low) { return pick(x < low, splat(low), x); }
INLINE lanes at_most(lanes x, float high) { return pick(x > high, splat(high), x); }

/// The first `count` (1...15) of sixteen floats; the rest is `fill`.
INLINE lanes load_part(const float *p, size_t count, float fill) {
    float part[16];
    for (int i = 0; i < 16; i++) part[i] = fill;
    memcpy(part, p, count * sizeof(float));
    return load(part);
}
INLINE void store_part(float *p, lanes v, size_t count) {
    float part[16];
    store(part, v);
    memcpy(p, part, count * sizeof(float));
}
/// The sum of sixteen lanes, always in the same order.
INLINE float lane_sum(lanes v) {
    typedef float half __attribute__((vector_size(32)));
    typedef float quarter __attribute__((vector_size(16)));
    half h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    quarter q = __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
    return (q[0] + q[2]) + (q[1] + q[3]);
}
INLINE float lane_max(lanes v) {
    float m[16];
    store(m, v);
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) m[i] = m[i + step] > m[i] ? m[i + step] : m[i];
    return m[0];
}
INLINE octet low_half(lanes v) {
    return __builtin_convertvector(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), octet);
}
INLINE octet high_half(lanes v) {
    return __builtin_convertvector(__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15), octet);
}
INLINE double octet_sum(octet v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/// One of `rounds` interleavings: log2(n) of them transpose n rows of n.
#define INTERLEAVE(rows, half, rounds, low, high)                              \
    _Pragma("clang loop unroll(full)") for (int round = 0; round < rounds; round++) { \
        __typeof__(rows[0]) next[2 * half];                                    \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < half; i++) {    \
            next[2 * i] = low;                                                 \
            next[2 * i + 1] = high;                                            \
        }                                                                      \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < 2 * half; i++) rows[i] = next[i]; \
    }

/// Row i of `to` (at i * stride) = element i of the 16 rows of 16 floats that `from` points to.
INLINE void transpose_block(const float *const *from, float *to, size_t stride) {
#if ZOO_WIDTH == 16
    lanes r[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) r[i] = load(from[i]);
    INTERLEAVE(r, 8, 4,
               __builtin_shufflevector(r[i], r[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
               __builtin_shufflevector(r[i], r[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31))
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 16; i++) store(to + i * stride, r[i]);
#else
    // Quarters of 8 x 8 stay in sixteen registers.
    typedef float eight __attribute__((vector_size(32)));
    typedef float eight_loose __attribute__((vector_size(32), aligned(4)));
    for (size_t y = 0; y < 16; y += 8)
        for (size_t x = 0; x < 16; x += 8) {
            eight r[8];
#pragma clang loop unroll(full)
            for (size_t i = 0; i < 8; i++) r[i] = *(const eight_loose *)(from[y + i] + x);
            INTERLEAVE(r, 4, 3, __builtin_shufflevector(r[i], r[i + 4], 0, 8, 1, 9, 2, 10, 3, 11),
                       __builtin_shufflevector(r[i], r[i + 4], 4, 12, 5, 13, 6, 14, 7, 15))
#pragma clang loop unroll(full)
            for (size_t i = 0; i < 8; i++) *(eight_loose *)(to + (x + i) * stride + y) = r[i];
        }
#endif
}
#undef INTERLEAVE
