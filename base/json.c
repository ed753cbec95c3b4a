#include "json.h"

#include "json_reader.h"

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
