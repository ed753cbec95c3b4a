#include "decimal.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void decimal_write(double number, char out[DECIMAL_BUFFER_BYTES])
{
    if (isnan(number)) {
        snprintf(out, DECIMAL_BUFFER_BYTES, "NaN");
        return;
    }
    if (isinf(number)) {
        snprintf(out, DECIMAL_BUFFER_BYTES, "%s", number > 0 ? "Infinity" : "-Infinity");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, DECIMAL_BUFFER_BYTES, "%.*g", digits, number);
        if (strtod(out, NULL) == number)
            return;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_special(const char *bytes, size_t n_bytes)
{
    static const char *const specials[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
        if (n_bytes == strlen(specials[i]) && memcmp(bytes, specials[i], n_bytes) == 0)
            return true;
    return false;
}

static size_t skip_digits(const char *bytes, size_t n_bytes, size_t at)
{
    while (at < n_bytes && is_digit(bytes[at]))
        at++;
    return at;
}

static size_t skip_sign(const char *bytes, size_t n_bytes, size_t at)
{
    return at < n_bytes && (bytes[at] == '-' || bytes[at] == '+') ? at + 1 : at;
}

bool decimal_valid(const char *bytes, size_t n_bytes)
{
    if (is_special(bytes, n_bytes))
        return true;
    size_t start = skip_sign(bytes, n_bytes, 0);
    size_t at = skip_digits(bytes, n_bytes, start);
    size_t n_digits = at - start;
    if (at < n_bytes && bytes[at] == '.') {
        size_t fraction = at + 1;
        at = skip_digits(bytes, n_bytes, fraction);
        n_digits += at - fraction;
    }
    if (n_digits == 0)
        return false;
    if (at < n_bytes && (bytes[at] == 'e' || bytes[at] == 'E')) {
        size_t exponent = skip_sign(bytes, n_bytes, at + 1);
        at = skip_digits(bytes, n_bytes, exponent);
        if (at == exponent)
            return false;
    }
    return at == n_bytes;
}

/* 0.DIGITS * 10^point, the first and the last digit not 0. first is NULL for zero. */
struct normal {
    bool negative;
    const char *first;
    const char *last; /* a '.' may stand between them */
    long point;
};

static struct normal normalise(const char *text)
{
    struct normal normal = {.negative = *text == '-'};
    if (*text == '-' || *text == '+')
        text++;
    bool after_point = false;
    for (; is_digit(*text) || *text == '.'; text++) {
        if (*text == '.') {
            after_point = true;
            continue;
        }
        if (*text != '0') {
            if (!normal.first)
                normal.first = text;
            normal.last = text;
        }
        if (normal.first && !after_point)
            normal.point++;
        else if (!normal.first && after_point)
            normal.point--;
    }
    if (*text == 'e' || *text == 'E') {
        /* What is beyond is beyond numeric as well; the sum below must not overflow. */
        const long limit = 1000000000;
        long exponent = strtol(text + 1, NULL, 10);
        normal.point += exponent > limit ? limit : exponent < -limit ? -limit : exponent;
    }
    return normal;
}

bool decimal_same(const char *a, const char *b)
{
    if (is_special(a, strlen(a)) || is_special(b, strlen(b)))
        return strcmp(a, b) == 0;
    struct normal x = normalise(a);
    struct normal y = normalise(b);
    if (!x.first || !y.first)
        return !x.first && !y.first;
    if (x.negative != y.negative || x.point != y.point)
        return false;
    for (;; x.first++, y.first++) {
        x.first += *x.first == '.';
        y.first += *y.first == '.';
        if (*x.first != *y.first)
            return false;
        if (x.first == x.last || y.first == y.last)
            return x.first == x.last && y.first == y.last;
    }
}

/* Every decimal of at most DBL_DIG digits comes back whole from a double of ordinary size. */
static bool is_short(const char *text)
{
    struct normal normal = normalise(text);
    return normal.first && normal.last - normal.first < DBL_DIG && normal.point > DBL_MIN_10_EXP &&
           normal.point < DBL_MAX_10_EXP;
}

enum decimal_fit decimal_read(const char *text, int64_t *integer, double *number)
{
    char shortest[DECIMAL_BUFFER_BYTES];
    char *end;
    errno = 0;
    *integer = strtoll(text, &end, 10);
    if (*end == '\0' && end != text && errno == 0)
        return DECIMAL_FITS_INTEGER;
    *number = strtod(text, NULL);
    if (is_short(text))
        return DECIMAL_FITS_FLOAT;
    decimal_write(*number, shortest);
    return decimal_same(text, shortest) ? DECIMAL_FITS_FLOAT : DECIMAL_FITS_NEITHER;
}
