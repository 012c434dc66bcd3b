#define _GNU_SOURCE
#include "CZooKernels.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

static locale_t c_locale(void) {
    // A locale object is immutable; a race makes two of them and leaks one.
    static locale_t cached;
    locale_t found = __atomic_load_n(&cached, __ATOMIC_ACQUIRE);
    if (!found) {
        found = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        __atomic_store_n(&cached, found, __ATOMIC_RELEASE);
    }
    return found;
}

// Powers of ten that a double holds exactly.
static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// Clinger's fast path: at most 2^53 of significand and a power of ten that is exact give one correct rounding.
static bool fast_path(const char *text, size_t length, double *result) {
    size_t at = 0;
    bool negative = false;
    if (at < length && text[at] == '-') {
        negative = true;
        at++;
    }
    uint64_t significand = 0;
    int digits = 0, scale = 0;
    bool point = false, any = false;
    for (; at < length; at++) {
        char c = text[at];
        if (c == '.') {
            if (point) return false;
            point = true;
            continue;
        }
        if (c < '0' || c > '9') break;
        any = true;
        if (digits >= 19) return false;
        significand = significand * 10 + (uint64_t)(c - '0');
        if (significand) digits++;
        if (point) scale--;
    }
    if (!any) return false;
    if (at < length) {
        if (text[at] != 'e' && text[at] != 'E') return false;
        at++;
        bool minus = false;
        if (at < length && (text[at] == '+' || text[at] == '-')) minus = text[at++] == '-';
        if (at >= length || length - at > 4) return false;
        int exponent = 0;
        for (; at < length; at++) {
            if (text[at] < '0' || text[at] > '9') return false;
            exponent = exponent * 10 + (text[at] - '0');
        }
        scale += minus ? -exponent : exponent;
    }
    if (significand > (1ull << 53) || scale < -22 || scale > 22) return false;
    double value = (double)significand;
    value = scale < 0 ? value / exact_powers[-scale] : value * exact_powers[scale];
    *result = negative ? -value : value;
    return true;
}

bool zoo_parse_double(const char *text, size_t length, double *result) {
    if (length == 0 || length > 512) return false;
    if (fast_path(text, length, result)) return true;
    char copy[513];
    memcpy(copy, text, length);
    copy[length] = 0;
    char *end = NULL;
    *result = strtod_l(copy, &end, c_locale());
    return end == copy + length;
}
