// Block-quantised weights of GGUF files to floats. Layouts: the GGML project's description of its tensor types; every
// block stores a half-precision scale (and perhaps a minimum) beside packed integers. Products and sums are rounded
// one by one, as the reference does on processors without fused operations.
#include "CZooKernels.h"

#pragma STDC FP_CONTRACT OFF

static float half_at(const uint8_t *bytes) { return zoo_f16_value((uint16_t)(bytes[0] | bytes[1] << 8)); }

// 32 elements: low nibbles are the first 16, high nibbles the last.
static int nibble(const uint8_t *packed, int index) {
    return index < 16 ? packed[index] & 15 : packed[index - 16] >> 4;
}

static int fifth_bit(const uint8_t *bits, int index) { return (bits[index >> 3] >> (index & 7) & 1) << 4; }

static void q4_0(const uint8_t *block, float *out) {
    float scale = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = scale * (float)(nibble(block + 2, i) - 8);
}

static void q4_1(const uint8_t *block, float *out) {
    float scale = half_at(block), minimum = half_at(block + 2);
    for (int i = 0; i < 32; i++) out[i] = scale * (float)nibble(block + 4, i) + minimum;
}

static void q5_0(const uint8_t *block, float *out) {
    float scale = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = scale * (float)((nibble(block + 6, i) | fifth_bit(block + 2, i)) - 16);
}

static void q5_1(const uint8_t *block, float *out) {
    float scale = half_at(block), minimum = half_at(block + 2);
    for (int i = 0; i < 32; i++) out[i] = scale * (float)(nibble(block + 8, i) | fifth_bit(block + 4, i)) + minimum;
}

static void q8_0(const uint8_t *block, float *out) {
    float scale = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)block[2 + i] * scale;
}

// Super-blocks of 256. Two-bit fields: byte `32 g + l` holds elements `128 g + 32 s + l` at bit `2 s`.
static int two_bits(const uint8_t *packed, int index) {
    return packed[(index >> 7) * 32 + (index & 31)] >> (index >> 5 & 3) * 2 & 3;
}

// Four-bit fields: byte `32 g + l` holds elements `64 g + 32 s + l` at bit `4 s`.
static int four_bits(const uint8_t *packed, int index) {
    return packed[(index >> 6) * 32 + (index & 31)] >> (index >> 5 & 1) * 4 & 15;
}

// One-bit fields: byte `l` holds elements `32 b + l` at bit `b`.
static int one_bit(const uint8_t *packed, int index) { return packed[index & 31] >> (index >> 5) & 1; }

static void q2_k(const uint8_t *block, float *out) {
    const uint8_t *scales = block, *packed = block + 16;
    float scale = half_at(block + 80), minimum = half_at(block + 82);
    for (int i = 0; i < 256; i++) {
        float step = scale * (float)(scales[i >> 4] & 15), base = minimum * (float)(scales[i >> 4] >> 4);
        out[i] = step * (float)two_bits(packed, i) - base;
    }
}

static void q3_k(const uint8_t *block, float *out) {
    const uint8_t *high = block, *packed = block + 32, *scales = block + 96;
    float scale = half_at(block + 108);
    for (int i = 0; i < 256; i++) {
        int j = i >> 4;
        int low = scales[j & 7] >> (j >> 3) * 4 & 15, top = scales[8 + (j & 3)] >> (j >> 2) * 2 & 3;
        float step = scale * (float)((low | top << 4) - 32);
        // The offset is taken when the bit is clear.
        out[i] = step * (float)(two_bits(packed, i) - (one_bit(high, i) ? 0 : 4));
    }
}

// Eight 6-bit scales and minima in twelve bytes.
static void scale_and_minimum(const uint8_t *packed, int j, int *scale, int *minimum) {
    if (j < 4) {
        *scale = packed[j] & 63;
        *minimum = packed[4 + j] & 63;
    } else {
        *scale = (packed[4 + j] & 15) | (packed[j - 4] >> 2 & 48);
        *minimum = packed[4 + j] >> 4 | (packed[j] >> 2 & 48);
    }
}

static void q4_or_q5_k(const uint8_t *block, float *out, const uint8_t *high, const uint8_t *packed) {
    float scale = half_at(block), minimum = half_at(block + 2);
    for (int j = 0; j < 8; j++) {
        int steps, bases;
        scale_and_minimum(block + 4, j, &steps, &bases);
        float step = scale * (float)steps, base = minimum * (float)bases;
        for (int i = j * 32; i < j * 32 + 32; i++) {
            int value = four_bits(packed, i) | (high ? one_bit(high, i) << 4 : 0);
            out[i] = step * (float)value - base;
        }
    }
}

static void q4_k(const uint8_t *block, float *out) { q4_or_q5_k(block, out, 0, block + 16); }

static void q5_k(const uint8_t *block, float *out) { q4_or_q5_k(block, out, block + 16, block + 48); }

static void q6_k(const uint8_t *block, float *out) {
    const uint8_t *low = block, *high = block + 128, *scales = block + 192;
    float scale = half_at(block + 208);
    for (int i = 0; i < 256; i++) {
        int four = low[(i >> 7) * 64 + (i & 63)] >> (i >> 6 & 1) * 4 & 15;
        int value = (four | two_bits(high, i) << 4) - 32;
        out[i] = scale * (float)(int8_t)scales[i >> 4] * (float)value;
    }
}

bool zoo_dequantise(int type, const void *blocks, size_t count, float *output) {
    static const struct {
        int type, bytes, elements;
        void (*decode)(const uint8_t *, float *);
    } decoders[] = {
        {2, 18, 32, q4_0},    {3, 20, 32, q4_1},    {6, 22, 32, q5_0},    {7, 24, 32, q5_1},    {8, 34, 32, q8_0},
        {10, 84, 256, q2_k},  {11, 110, 256, q3_k}, {12, 144, 256, q4_k}, {13, 176, 256, q5_k}, {14, 210, 256, q6_k},
    };
    for (size_t d = 0; d < sizeof decoders / sizeof *decoders; d++) {
        if (decoders[d].type != type) continue;
        const uint8_t *block = blocks;
        for (size_t i = 0; i < count; i++)
            decoders[d].decode(block + i * (size_t)decoders[d].bytes, output + i * (size_t)decoders[d].elements);
        return true;
    }
    return false;
}
