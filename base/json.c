#include "json.h"

#include <stdio.h>
#include <string.h>

/* jansson's own limit of nesting is 2048 and set at its build; ours is checked before it parses. */
static bool depth_ok(const char *bytes, size_t n_bytes)
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
                return false;
        } else if (bytes[i] == ']' || bytes[i] == '}') {
            depth--;
        }
    }
    return true;
}

bool json_read(const char *what, const char *bytes, size_t n_bytes, json_t **out,
               struct fault *fault)
{
    json_error_t error;
    if (!depth_ok(bytes, n_bytes))
        return fault_set(fault, FAULT_INVALID, "%s: nested deeper than %d", what, JSON_DEPTH_MAX);
    json_t *value =
        json_loadb(bytes, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!value)
        return fault_set(fault, FAULT_INVALID, "%s: line %d, column %d: %s", what, error.line,
                         error.column, error.text);
    *out = value;
    return true;
}

char *json_write(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}
