#include "half.h"

#include <string.h>

#include "CZooKernels.h"

float zoo_f16_value(uint16_t bits) { return half_to_float(bits); }
uint16_t zoo_f16_bits_of_double(double value) { return float_to_half(to_odd(value)); }
uint16_t zoo_bf16_bits_of_double(double value) { return float_to_brain(to_odd(value)); }

void zoo_f16_to_f32(const void *restrict input, float *restrict output, size_t count) {
    const char *source = input;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, source + 2 * i, 2);
        output[i] = half_to_float(half);
    }
}

void zoo_bf16_to_f32(const void *restrict input, float *restrict output, size_t count) {
    const char *source = input;
    for (size_t i = 0; i < count; i++) {
        uint16_t brain;
        memcpy(&brain, source + 2 * i, 2);
        output[i] = float_of((uint32_t)brain << 16);
    }
}

void zoo_f32_to_f16(const void *restrict input, void *restrict output, size_t count) {
    const char *source = input;
    char *target = output;
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, source + 4 * i, 4);
        uint16_t half = float_to_half(value);
        memcpy(target + 2 * i, &half, 2);
    }
}

void zoo_f32_to_bf16(const void *restrict input, void *restrict output, size_t count) {
    const char *source = input;
    char *target = output;
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, source + 4 * i, 4);
        uint16_t brain = float_to_brain(value);
        memcpy(target + 2 * i, &brain, 2);
    }
}
