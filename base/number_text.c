#include "number_text.h"

#include <string.h>

static char *write_digits(char *at, uint64_t value, int n_least)
{
    char digits[NUMBER_TEXT_BYTES];
    char *const end = digits + sizeof digits;
    char *first = end;
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value || end - first < n_least);
    size_t n_digits = (size_t)(end - first);
    memcpy(at, first, n_digits);
    return at + n_digits;
}

static uint64_t without_sign(char **at, int64_t value)
{
    if (value >= 0)
        return (uint64_t)value;
    *(*at)++ = '-';
    return -(uint64_t)value;
}

char *number_text_int(char *at, int64_t value)
{
    uint64_t left = without_sign(&at, value);
    return write_digits(at, left, 1);
}

char *number_text_hex(char *at, uint64_t value, int n_digits)
{
    for (int i = n_digits; i-- > 0; value >>= 4)
        at[i] = "0123456789abcdef"[value & 15];
    return at + n_digits;
}

char *number_text_milli(char *at, int64_t thousandths)
{
    uint64_t left = without_sign(&at, thousandths);
    at = write_digits(at, left / 1000, 1);
    *at++ = '.';
    return write_digits(at, left % 1000, 3);
}
