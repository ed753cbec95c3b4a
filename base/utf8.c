#include "utf8.h"

size_t utf8_character(const char *text, size_t n_left)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || n_left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
    if ((first == 0xE0 && bytes[1] < 0xA0) || (first == 0xED && bytes[1] > 0x9F) ||
        (first == 0xF0 && bytes[1] < 0x90) || (first == 0xF4 && bytes[1] > 0x8F))
        return 0;
    return length;
}

size_t utf8_prefix(const char *bytes, size_t n_bytes, size_t limit)
{
    size_t at = 0;
    while (at < n_bytes) {
        size_t length = utf8_character(bytes + at, n_bytes - at);
        if (length == 0 || at + length > limit)
            break;
        at += length;
    }
    return at;
}
