#include "CZooKernels.h"

// The index after the closing quote of a string whose first character is at `at`; 0 when it is not closed.
static size_t string_end(const unsigned char *text, size_t at, size_t length) {
    while (at < length) {
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
