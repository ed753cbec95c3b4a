/*
 * Writing JSON: what jansson's json_dumps writes, save that each real has the fewest digits, 15 at
 * least, that read back the same, and without its look-outs for cycles, which no value here can
 * have. Every answer and every history row is written by it.
 */
#include "json.h"
#include "number_text.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REAL_BYTES = 40,
    DIGITS_SAFE = 15, /* as many decimal digits survive the way through a double */
    DIGITS_ENOUGH = 17,
};

static const double MILLI_MAX = 1e11; /* with three digits behind the point still safe */

static void add_value(struct text *out, const json_t *value);

static void add_escape(struct text *out, unsigned char c)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* in pairs */
    for (const char *at = letters; *at; at += 2)
        if ((unsigned char)*at == c) {
            text_add_char(out, '\\');
            text_add_char(out, at[1]);
            return;
        }
    text_addf(out, "\\u%04X", c);
}

static void add_string(struct text *out, const char *bytes, size_t n_bytes)
{
    size_t done = 0;
    text_add_char(out, '"');
    for (size_t i = 0; i < n_bytes; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        text_add(out, bytes + done, i - done);
        add_escape(out, c);
        done = i + 1;
    }
    text_add(out, bytes + done, n_bytes - done);
    text_add_char(out, '"');
}

/* Milliseconds with their microseconds, as most are: 1.5, 26.0. False for any other number. */
static bool add_milli(struct text *out, double value)
{
    char digits[NUMBER_TEXT_BYTES];
    if (!(value >= 0 && value < MILLI_MAX) || signbit(value))
        return false;
    int64_t thousandths = (int64_t)(value * 1000 + 0.5);
    if ((double)thousandths / 1000 != value)
        return false;
    char *end = number_text_milli(digits, thousandths);
    while (end[-1] == '0' && end[-2] != '.')
        end--;
    text_add(out, digits, (size_t)(end - digits));
    return true;
}

/* printf writes the locale's point, which may be several bytes, and 1e+05 for 1e5. */
static void add_digits(struct text *out, const char *at)
{
    bool is_integral = true;
    for (; *at; at++) {
        if (strchr("0123456789-", *at)) {
            text_add_char(out, *at);
        } else if (*at == 'e') {
            is_integral = false;
            text_add_char(out, 'e');
            if (at[1] == '-')
                text_add_char(out, '-');
            at += 1 + strspn(at + 2, "0");
        } else if (is_integral) {
            is_integral = false;
            text_add_char(out, '.');
        }
    }
    if (is_integral)
        text_add_chars(out, ".0");
}

static void add_real(struct text *out, double value)
{
    char digits[REAL_BYTES];
    if (add_milli(out, value))
        return;
    for (int precision = DIGITS_SAFE; precision <= DIGITS_ENOUGH; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    add_digits(out, digits);
}

static void add_object(struct text *out, const json_t *object)
{
    const char *key, *comma = "";
    json_t *member;
    text_add_char(out, '{');
    json_object_foreach((json_t *)object, key, member)
    {
        text_add_chars(out, comma);
        add_string(out, key, strlen(key));
        text_add_char(out, ':');
        add_value(out, member);
        comma = ",";
    }
    text_add_char(out, '}');
}

static void add_array(struct text *out, const json_t *array)
{
    json_t *member;
    size_t i;
    text_add_char(out, '[');
    json_array_foreach(array, i, member)
    {
        if (i > 0)
            text_add_char(out, ',');
        add_value(out, member);
    }
    text_add_char(out, ']');
}

static void add_value(struct text *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: add_object(out, value); return;
    case JSON_ARRAY: add_array(out, value); return;
    case JSON_STRING: add_string(out, json_string_value(value), json_string_length(value)); return;
    case JSON_INTEGER: text_add_int64(out, json_integer_value(value)); return;
    case JSON_REAL: add_real(out, json_real_value(value)); return;
    case JSON_TRUE: text_add(out, "true", 4); return;
    case JSON_FALSE: text_add(out, "false", 5); return;
    case JSON_NULL: text_add(out, "null", 4); return;
    }
}

char *json_write(const json_t *value)
{
    struct text out;
    text_init(&out, SIZE_MAX / 4);
    add_value(&out, value);
    return text_take(&out);
}
