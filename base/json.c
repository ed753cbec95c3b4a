#include "json.h"

#include <stdlib.h>
#include <string.h>

/* jansson's own limit of nesting is 2048 and set at its build; ours is checked before it parses.
 * The offset of the bracket that is one too deep; n_bytes if none is. */
static size_t too_deep_at(const char *bytes, size_t n_bytes)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        if (in_string) {
            if (bytes[i] == '\\')
                i++;
            else if (bytes[i] == '"')
                in_string = false;
        } else if (bytes[i] == '"') {
            in_string = true;
        } else if (bytes[i] == '[' || bytes[i] == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return i;
        } else if (bytes[i] == ']' || bytes[i] == '}') {
            depth--;
        }
    }
    return n_bytes;
}

static bool report_depth(const char *what, const char *bytes, size_t offset, struct fault *fault)
{
    int line = 1;
    int column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (bytes[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)bytes[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    return fault_set(fault, FAULT_INVALID, "%s: line %d, column %d: nested deeper than %d", what,
                     line, column, JSON_DEPTH_MAX);
}

/* A number is not rounded: written back it would be another one. */
static const char *reason(const json_error_t *error)
{
    if (json_error_code(error) == json_error_numeric_overflow)
        return "a number out of range: integers go from -2^63 to 2^63-1, others to 1.8e308";
    return error->text;
}

/*
 * jansson's lexer goes on when its buffer could not grow, and a number or a text then lacks bytes
 * in its middle. So what it allocates is watched while it reads. Its allocator is one for the whole
 * process: it is put back at once.
 */
static _Thread_local struct {
    json_malloc_t real;
    bool refused;
} reading;

static void *watched_malloc(size_t n_bytes)
{
    void *block = reading.real ? reading.real(n_bytes) : malloc(n_bytes);
    reading.refused = reading.refused || !block;
    return block;
}

static json_t *load(const char *bytes, size_t n_bytes, json_error_t *error)
{
    json_free_t release;
    json_get_alloc_funcs(&reading.real, &release);
    json_set_alloc_funcs(watched_malloc, release);
    reading.refused = false;
    json_t *value = json_loadb(bytes, n_bytes,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
    json_set_alloc_funcs(reading.real, release);
    if (!reading.refused)
        return value;
    json_decref(value);
    return NULL;
}

bool json_read(const char *what, const char *bytes, size_t n_bytes, json_t **out,
               struct fault *fault)
{
    json_error_t error;
    size_t too_deep = too_deep_at(bytes, n_bytes);
    if (too_deep < n_bytes)
        return report_depth(what, bytes, too_deep, fault);
    json_t *value = load(bytes, n_bytes, &error);
    if (!value && reading.refused)
        return fault_no_memory(fault);
    if (!value)
        return fault_set(fault, FAULT_INVALID, "%s: line %d, column %d: %s", what, error.line,
                         error.column, reason(&error));
    *out = value;
    return true;
}

bool json_has_zero(const json_t *value)
{
    const char *key;
    json_t *part;
    size_t i;
    if (json_is_object(value)) {
        /* jansson refuses U+0000 in keys by itself */
        json_object_foreach((json_t *)value, key, part)
        {
            if (json_has_zero(part))
                return true;
        }
    }
    json_array_foreach(value, i, part)
    {
        if (json_has_zero(part))
            return true;
    }
    return json_is_string(value) &&
           memchr(json_string_value(value), '\0', json_string_length(value)) != NULL;
}

static bool has_real(const json_t *value)
{
    const char *key;
    json_t *part;
    size_t i;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)value, key, part)
        {
            if (has_real(part))
                return true;
        }
    }
    json_array_foreach(value, i, part)
    {
        if (has_real(part))
            return true;
    }
    return json_is_real(value);
}

/* The shortest digits that read back the same: 1.1 and not 1.1000000000000001. 17 always do. */
static char *write_reals(const json_t *value)
{
    for (size_t precision = 15; precision < 17; precision++) {
        char *text =
            json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(precision));
        json_t *again = text ? load(text, strlen(text), /* error= */ NULL) : NULL;
        if (!again) { /* no memory: other digits would be another text */
            free(text);
            return NULL;
        }
        bool same = json_equal(value, again);
        json_decref(again);
        if (same)
            return text;
        free(text);
    }
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *json_write(const json_t *value)
{
    return has_real(value) ? write_reals(value) : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}
