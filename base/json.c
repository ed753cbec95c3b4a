#include "json.h"

#include "json_reader.h"

#include <stdlib.h>
#include <string.h>

bool json_read(const char *what, const char *bytes, size_t n_bytes, json_t **out,
               struct fault *fault)
{
    return json_reader_read(what, bytes, n_bytes, out, fault);
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
        struct fault ignored;
        json_t *again;
        if (!text || !json_read("", text, strlen(text), &again,
                                &ignored)) { /* no memory: other digits would be another text */
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
