#include "CZooKernels.h"

#include <string.h>

// How many of the 8 bytes at `text` come before the first quote, backslash or control character.
static inline size_t plain_bytes(const unsigned char *text) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ones = 0x0101010101010101ull, highs = ones << 7;
    uint64_t word;
    memcpy(&word, text, 8);
    uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
    // A byte's high bit is set where it is zero (below 0x20 for `word`); exact up to the first such byte.
    uint64_t found = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word);
    found &= highs;
    return found ? (size_t)__builtin_ctzll(found) >> 3 : 8;
#else
    (void)text;
    return 0;
#endif
}

// The index after the closing quote of a string whose first character is at `at`; 0 when it is not closed.
static size_t string_end(const unsigned char *text, size_t at, size_t length) {
    while (at < length) {
        while (length - at >= 8) {
            size_t plain = plain_bytes(text + at);
            at += plain;
            if (plain < 8) break;
        }
        if (at >= length) return 0;
        unsigned char c = text[at];
        if (c == '"') return at + 1;
        if (c < 0x20) return 0;
        at += c == '\\' ? 2 : 1;
    }
    return 0;
}

size_t zoo_json_span(const char *characters, size_t length, size_t depth) {
    const unsigned char *text = (const unsigned char *)characters;
    unsigned char open[1024];
    size_t level = 0, at = 0;
    if (depth > sizeof open) depth = sizeof open;
    while (at < length) {
        unsigned char c = text[at++];
        switch (c) {
        case '"':
            at = string_end(text, at, length);
            if (at == 0) return 0;
            if (level == 0) return at;
            break;
        case '{':
        case '[':
            if (level >= depth) return 0;
            open[level++] = c;
            break;
        case '}':
        case ']':
            // '{' and '}' differ by 2, as '[' and ']' do.
            if (level == 0 || open[level - 1] != c - 2) return 0;
            if (--level == 0) return at;
            break;
        default:
            if (level == 0) return 0;
        }
    }
    return 0;
}
