/*
 * Digits, without the detour over printf: each execution writes some thirty numbers.
 * Each function writes at `at`, adds no NUL and returns the end.
 */
#pragma once
#include <stdint.h>

enum {
    NUMBER_TEXT_BYTES = 24, /* room for any of them, and a NUL */
};

/* "-42" */
char *number_text_int(char *at, int64_t value);

/* The low n_digits hexadecimal digits, lower case, with leading zeros. At most 16. */
char *number_text_hex(char *at, uint64_t value, int n_digits);

/* A number of thousandths, with three digits after the point: 1234 -> "1.234", -5 -> "-0.005". */
char *number_text_milli(char *at, int64_t thousandths);
