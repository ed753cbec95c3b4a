/*
 * jansson's own reader goes on when its buffer cannot grow, and a number or a text then lacks bytes
 * in its middle; the one way to notice is its allocator, which belongs to the whole process, so
 * also to the program that we are a part of. Its values tell when there is no memory, so only they
 * are used.
 *
 * One function a rule of the grammar; each leaves `at` behind what it has read. Keys and texts are
 * put together in `scratch`, which is a stack: a key stays there while its value is read.
 */
#include "json_reader.h"

#include "json.h"
#include "text.h"
#include "utf8.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEAR_BYTES_MAX = 20,
    SCRATCH_EXTRA_BYTES = 64, /* a decimal point of another locale, and a NUL */
};

struct json_reader {
    const char *what;
    const char *bytes;
    size_t n_bytes;
    size_t at;
    int depth;
    struct text scratch;
    struct fault *fault;
};

static bool read_value(struct json_reader *reader, json_t **out);

/* ---- refusals ---- */

static bool refuse(struct json_reader *reader, size_t at, const char *reason, const char *near)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (reader->bytes[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)reader->bytes[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    return fault_set(reader->fault, FAULT_INVALID, "%s: line %d, column %d: %s%s", reader->what,
                     line, column, reason, near);
}

static bool is_at_end(const struct json_reader *reader)
{
    return reader->at >= reader->n_bytes;
}

/* The byte that is next; '\0' at the end, which is no part of any token. */
static char next(const struct json_reader *reader)
{
    return is_at_end(reader) ? '\0' : reader->bytes[reader->at];
}

static bool is_of_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '+' || c == '.' || c == '_';
}

static size_t token_length(const struct json_reader *reader)
{
    const char *token = reader->bytes + reader->at;
    size_t n_left = reader->n_bytes - reader->at, length = 0;
    while (length < n_left && is_of_word(token[length]))
        length++;
    if (length == 0)
        length = utf8_character(token, n_left);
    return utf8_prefix(token, length, NEAR_BYTES_MAX);
}

/* What is next is not what the grammar has there. */
static bool refuse_token(struct json_reader *reader, const char *reason)
{
    char near[NEAR_BYTES_MAX + sizeof " near ''"];
    unsigned char c = (unsigned char)next(reader);
    if (is_at_end(reader))
        return refuse(reader, reader->at, reason, " near end of file");
    size_t length = token_length(reader);
    if (length == 0) {
        snprintf(near, sizeof near, "0x%x", c);
        return refuse(reader, reader->at, "unable to decode byte ", near);
    }
    if (c < ' ') {
        snprintf(near, sizeof near, "0x%x", c);
        return refuse(reader, reader->at, "control character ", near);
    }
    snprintf(near, sizeof near, " near '%.*s'", (int)length, reader->bytes + reader->at);
    if (!strchr("{}[]:,\"-0123456789", c) && !(c >= 'a' && c <= 'z'))
        reason = "invalid token";
    return refuse(reader, reader->at, reason, near);
}

static void skip_space(struct json_reader *reader)
{
    while (!is_at_end(reader) && strchr(" \t\n\r", next(reader)) && next(reader))
        reader->at++;
}

static bool take(struct json_reader *reader, char c)
{
    skip_space(reader);
    bool found = !is_at_end(reader) && next(reader) == c;
    reader->at += found;
    return found;
}

/* ---- texts ---- */

static bool read_hex(struct json_reader *reader, uint32_t *out)
{
    *out = 0;
    if (reader->n_bytes - reader->at < 4)
        return false;
    for (int i = 0; i < 4; i++, reader->at++) {
        char c = next(reader);
        if (!isxdigit((unsigned char)c))
            return false;
        *out = *out * 16 + (uint32_t)(isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return true;
}

static void add_character(struct text *text, uint32_t code)
{
    char bytes[4] = {(char)code};
    size_t n = 1;
    if (code >= 0x80) {
        n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        for (size_t i = n; i-- > 1; code >>= 6)
            bytes[i] = (char)(0x80 | (code & 0x3F));
        bytes[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | code);
    }
    text_add(text, bytes, n);
}

/* Behind "\u". Half of a pair alone is no character. */
static bool read_unicode(struct json_reader *reader)
{
    size_t from = reader->at;
    uint32_t code, low;
    if (!read_hex(reader, &code))
        return refuse(reader, from, "invalid escape", "");
    if (code >= 0xD800 && code < 0xDC00) {
        bool pair = reader->n_bytes - reader->at >= 6 && next(reader) == '\\' &&
                    reader->bytes[reader->at + 1] == 'u';
        reader->at += pair ? 2 : 0;
        if (!pair || !read_hex(reader, &low) || low < 0xDC00 || low > 0xDFFF)
            return refuse(reader, from, "invalid Unicode: half of a surrogate pair", "");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
        return refuse(reader, from, "invalid Unicode: half of a surrogate pair", "");
    }
    add_character(&reader->scratch, code);
    return true;
}

/* Behind the backslash. */
static bool read_escape(struct json_reader *reader)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char name = next(reader);
    const char *found = name ? strchr(names, name) : NULL;
    if (name != 'u' && !found)
        return refuse(reader, reader->at,
                      is_at_end(reader) ? "premature end of input" : "invalid escape", "");
    reader->at++;
    if (!found)
        return read_unicode(reader);
    text_add_char(&reader->scratch, values[found - names]);
    return true;
}

/* Behind the first quotation mark. Adds what it says to scratch. */
static bool read_text(struct json_reader *reader)
{
    for (;;) {
        const char *run = reader->bytes + reader->at;
        size_t n_left = reader->n_bytes - reader->at, length = 0, step = 1;
        while (length < n_left && run[length] != '"' && run[length] != '\\' &&
               (unsigned char)run[length] >= ' ' &&
               (step = utf8_character(run + length, n_left - length)) > 0)
            length += step;
        text_add(&reader->scratch, run, length);
        reader->at += length;
        if (is_at_end(reader))
            return refuse(reader, reader->at, "premature end of input", "");
        if (next(reader) != '"' && next(reader) != '\\')
            return refuse_token(reader, "");
        if (reader->bytes[reader->at++] == '"')
            return text_ok(&reader->scratch, reader->fault);
        if (!read_escape(reader))
            return false;
    }
}

static bool read_string(struct json_reader *reader, json_t **out)
{
    size_t from = reader->scratch.length;
    bool ok = read_text(reader);
    if (ok) {
        *out = json_stringn_nocheck(text_chars(&reader->scratch) + from,
                                    reader->scratch.length - from);
        ok = *out || fault_no_memory(reader->fault);
    }
    text_cut(&reader->scratch, from);
    return ok;
}

/* ---- numbers ---- */

static bool skip_digits(struct json_reader *reader)
{
    size_t from = reader->at;
    while (isdigit((unsigned char)next(reader)))
        reader->at++;
    return reader->at > from;
}

/* *point: where its decimal point is, 0 = none. */
static bool skip_number(struct json_reader *reader, size_t *point, bool *is_real)
{
    reader->at += next(reader) == '-';
    bool zero = next(reader) == '0';
    size_t from = reader->at;
    if (!skip_digits(reader) || (zero && reader->at > from + 1))
        return false;
    *point = next(reader) == '.' ? reader->at : 0;
    *is_real = *point > 0;
    if (*point) {
        reader->at++;
        if (!skip_digits(reader))
            return false;
    }
    if (next(reader) != 'e' && next(reader) != 'E')
        return true;
    *is_real = true;
    reader->at++;
    reader->at += next(reader) == '+' || next(reader) == '-';
    return skip_digits(reader);
}

/* strtod takes the decimal point of the process's locale, which is not ours to choose. */
static void add_number(struct json_reader *reader, size_t from, size_t point)
{
    struct text *scratch = &reader->scratch;
    const char *digits = reader->bytes + from;
    size_t length = reader->at - from, whole = point ? point - from : length;
    text_add(scratch, digits, whole);
    if (point) {
        text_add_chars(scratch, localeconv()->decimal_point);
        text_add(scratch, digits + whole + 1, length - whole - 1);
    }
}

/* A number is not rounded to what fits: written back it would be another one. */
static bool read_number(struct json_reader *reader, json_t **out)
{
    size_t from = reader->at, kept = reader->scratch.length, point;
    bool is_real;
    if (!skip_number(reader, &point, &is_real)) {
        reader->at = from;
        return refuse_token(reader, "invalid token");
    }
    add_number(reader, from, point);
    if (!text_ok(&reader->scratch, reader->fault))
        return false;
    const char *text = text_chars(&reader->scratch) + kept;
    errno = 0;
    double real = is_real ? strtod(text, NULL) : 0;
    int64_t integer = is_real ? 0 : strtoll(text, NULL, 10);
    text_cut(&reader->scratch, kept);
    if (is_real ? isinf(real) : errno == ERANGE)
        return refuse(reader, reader->at - 1,
                      "a number out of range: integers go from -2^63 to 2^63-1, others to 1.8e308",
                      "");
    *out = is_real ? json_real(real) : json_integer(integer);
    return *out || fault_no_memory(reader->fault);
}

/* ---- arrays and objects ---- */

static bool read_elements(struct json_reader *reader, json_t *array)
{
    json_t *element;
    if (take(reader, ']'))
        return true;
    do {
        if (!read_value(reader, &element))
            return false;
        if (json_array_append_new(array, element) != 0)
            return fault_no_memory(reader->fault);
    } while (take(reader, ','));
    return take(reader, ']') || refuse_token(reader, "']' expected");
}

/* Behind the key's first quotation mark; the key and a NUL stay on the stack. */
static bool read_key(struct json_reader *reader, const json_t *object, size_t from)
{
    size_t at = reader->at;
    if (!read_text(reader))
        return false;
    text_add(&reader->scratch, "", 1);
    if (!text_ok(&reader->scratch, reader->fault))
        return false;
    const char *key = text_chars(&reader->scratch) + from;
    if (strlen(key) + 1 < reader->scratch.length - from)
        return refuse(reader, at, "NUL byte in object key not supported", "");
    if (json_object_get(object, key))
        return refuse(reader, at, "duplicate object key", "");
    return take(reader, ':') || refuse_token(reader, "':' expected");
}

static bool read_member(struct json_reader *reader, json_t *object)
{
    size_t from = reader->scratch.length;
    json_t *value;
    if (!take(reader, '"'))
        return refuse_token(reader, "string or '}' expected");
    if (!read_key(reader, object, from) || !read_value(reader, &value))
        return false;
    bool ok = json_object_set_new_nocheck(object, text_chars(&reader->scratch) + from, value) == 0;
    text_cut(&reader->scratch, from);
    return ok || fault_no_memory(reader->fault);
}

static bool read_members(struct json_reader *reader, json_t *object)
{
    if (take(reader, '}'))
        return true;
    do {
        if (!read_member(reader, object))
            return false;
    } while (take(reader, ','));
    return take(reader, '}') || refuse_token(reader, "'}' expected");
}

/* Behind its first bracket. */
static bool read_nested(struct json_reader *reader, bool is_object, json_t **out)
{
    if (reader->depth == JSON_DEPTH_MAX) {
        char limit[16];
        snprintf(limit, sizeof limit, "%d", JSON_DEPTH_MAX);
        return refuse(reader, reader->at - 1, "nested deeper than ", limit);
    }
    json_t *value = is_object ? json_object() : json_array();
    if (!value)
        return fault_no_memory(reader->fault);
    reader->depth++;
    bool ok = is_object ? read_members(reader, value) : read_elements(reader, value);
    reader->depth--;
    if (ok)
        *out = value;
    else
        json_decref(value);
    return ok;
}

/* ---- values ---- */

static bool read_word(struct json_reader *reader, json_t **out)
{
    static const char *const words[] = {"null", "true", "false"};
    json_t *const values[] = {json_null(), json_true(), json_false()};
    const char *token = reader->bytes + reader->at;
    size_t length = is_at_end(reader) ? 0 : token_length(reader);
    for (int i = 0; i < 3; i++) {
        if (length == strlen(words[i]) && memcmp(token, words[i], length) == 0) {
            reader->at += length;
            *out = values[i];
            return true;
        }
    }
    return refuse_token(reader, isalpha((unsigned char)next(reader)) ? "invalid token"
                                                                     : "unexpected token");
}

static bool read_value(struct json_reader *reader, json_t **out)
{
    if (take(reader, '"'))
        return read_string(reader, out);
    if (take(reader, '{'))
        return read_nested(reader, /* is_object= */ true, out);
    if (take(reader, '['))
        return read_nested(reader, /* is_object= */ false, out);
    if (next(reader) == '-' || isdigit((unsigned char)next(reader)))
        return read_number(reader, out);
    return read_word(reader, out);
}

bool json_reader_read(const char *what, const char *bytes, size_t n_bytes, json_t **out,
                      struct fault *fault)
{
    struct json_reader reader = {.what = what, .bytes = bytes, .n_bytes = n_bytes, .fault = fault};
    json_t *value = NULL;
    text_init(&reader.scratch, n_bytes + SCRATCH_EXTRA_BYTES);
    bool ok = read_value(&reader, &value);
    skip_space(&reader);
    if (ok && !is_at_end(&reader)) {
        json_decref(value);
        ok = refuse_token(&reader, "end of file expected");
    }
    text_done(&reader.scratch);
    if (ok)
        *out = value;
    return ok;
}
