/*
 * Decimal numbers as text, the way PostgreSQL's numeric reads and writes them: "-12.50", "1e3",
 * "NaN", "Infinity", "-Infinity". This file is pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DECIMAL_BUFFER_BYTES = 40,
};

/* The shortest text that reads back as the same double, among 15, 16 and 17 digits. */
void decimal_write(double number, char out[DECIMAL_BUFFER_BYTES]);

/* True for what numeric accepts, without spaces around it and without hexadecimal forms. */
bool decimal_valid(const char *bytes, size_t n_bytes);

/* True if both, valid and NUL-terminated, are the same number: "1.50" and "15e-1". */
bool decimal_same(const char *a, const char *b);

enum decimal_fit {
    DECIMAL_FITS_INTEGER, /* written without point or exponent, within int64 */
    DECIMAL_FITS_FLOAT,   /* the double's shortest form is the same number */
    DECIMAL_FITS_NEITHER,
};

/* What a valid, NUL-terminated text can become without losing a digit. */
enum decimal_fit decimal_read(const char *text, int64_t *integer, double *number);
