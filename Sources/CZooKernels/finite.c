#include "CZooKernels.h"

#include <string.h>

// A float is not finite when its exponent is all ones; on integers the test vectorises for every type and never traps.

#define COUNT(name, type, exponent)                                                  \
    static uint64_t name(const char *source, size_t count) {                         \
        uint64_t found = 0;                                                          \
        for (size_t start = 0; start < count; start += 4096) {                       \
            size_t end = count - start < 4096 ? count : start + 4096;                \
            uint32_t block = 0;                                                      \
            for (size_t i = start; i < end; i++) {                                   \
                type bits;                                                           \
                memcpy(&bits, source + i * sizeof(type), sizeof(type));              \
                block += (bits & (type)(exponent)) == (type)(exponent);              \
            }                                                                        \
            found += block;                                                          \
        }                                                                            \
        return found;                                                                \
    }

COUNT(count_single, uint32_t, 0x7F800000u)
COUNT(count_double, uint64_t, 0x7FF0000000000000ull)
COUNT(count_half, uint16_t, 0x7C00u)
COUNT(count_brain, uint16_t, 0x7F80u)

uint64_t zoo_count_nonfinite(const void *input, int32_t dtype, size_t count) {
    switch (dtype) {
    case 0: return count_single(input, count);
    case 1: return count_double(input, count);
    case 2: return count_half(input, count);
    case 3: return count_brain(input, count);
    default: return 0;
    }
}
