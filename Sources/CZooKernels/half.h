#pragma once
// Conversions between halves, bfloat16 and floats, written on integers so that the results are the same on every
// processor, with or without half-precision hardware; loops over them vectorise.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t magnitude = half & 0x7FFF;
    // Shift the exponent into place and scale by 2^112: subnormals become normal on the way.
    float scaled = float_of(magnitude << 13) * 0x1p112f;
    uint32_t finite = bits_of(scaled);
    uint32_t special = 0x7F800000u | (magnitude & 0x3FF) << 13;
    return float_of(sign | (magnitude >= 0x7C00 ? special : finite));
}

static inline uint16_t float_to_half(float value) {
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7FFFFFFF;
    // Normal range: add half of the dropped part, plus the odd bit, then shift.
    uint32_t rounded = (magnitude + 0xFFF + (magnitude >> 13 & 1) - 0x38000000u) >> 13;
    // Below 2^-14: adding 0.5 lets the float adder round to the subnormal grid of 2^-24.
    uint32_t small = bits_of(float_of(magnitude) + 0.5f) - 0x3F000000u;
    uint32_t special = magnitude > 0x7F800000 ? 0x7E00 : 0x7C00;
    uint32_t result = magnitude < 0x38800000 ? small : magnitude >= 0x477FF000 ? special : rounded;
    return (uint16_t)(sign | result);
}

static inline uint16_t float_to_brain(float value) {
    uint32_t bits = bits_of(value);
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

// Rounds a double to float towards odd, so that the next rounding, to fewer bits, is as if it were the only one.
static inline float to_odd(double value) {
    float nearest = (float)value;
    uint32_t bits = bits_of(nearest);
    double magnitude = value < 0 ? -value : value, near = nearest < 0 ? -(double)nearest : (double)nearest;
    uint32_t moved = magnitude > near ? bits + 1 : bits - 1;
    // Exact results, NaN, infinities and results already odd stay.
    bool moves = magnitude != near && value == value && (bits & 0x7FFFFFFF) < 0x7F800000 && !(bits & 1);
    return float_of(moves ? moved : bits);
}
