#include "plain_input.h"

#include <string.h>

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static size_t name_length(const char *at)
{
    size_t n = 0;
    while (is_letter(at[n]) || (n > 0 && at[n] >= '0' && at[n] <= '9'))
        n++;
    return n;
}

/* NULL if no term stands there; else what follows it. */
static const char *read_term(const char *at, struct plain_term *out)
{
    static const char input[] = "input.";
    if (*at == '"' || *at == '\'') {
        const char stops[] = {*at, '\\', '\n', '\r', '\0'};
        size_t n = strcspn(at + 1, stops);
        *out = (struct plain_term){.bytes = at + 1, .n_bytes = n, .is_text = true};
        return at[1 + n] == *at ? at + n + 2 : NULL;
    }
    if (strncmp(at, input, sizeof input - 1) != 0)
        return NULL;
    at += sizeof input - 1;
    *out = (struct plain_term){.bytes = at, .n_bytes = name_length(at)};
    return out->n_bytes ? at + out->n_bytes : NULL;
}

static bool read_all(const char *at, struct plain_input *out)
{
    at = skip_blanks(at);
    out->is_list = *at == '{';
    at = skip_blanks(at + out->is_list);
    do {
        if (out->n_terms == PLAIN_TERMS_MAX || !(at = read_term(at, &out->terms[out->n_terms])))
            return false;
        out->n_terms++;
        at = skip_blanks(at);
    } while (out->is_list && *at == ',' && (at = skip_blanks(at + 1)));
    if (out->is_list && *at++ != '}')
        return false;
    return *skip_blanks(at) == '\0';
}

void plain_input_read(const char *source, struct plain_input *out)
{
    *out = (struct plain_input){.n_terms = 0};
    if (!source || !read_all(source, out))
        out->n_terms = 0;
}

const json_t *plain_input_field(const struct plain_term *term, const json_t *input)
{
    return term->is_text ? NULL : json_object_getn(input, term->bytes, term->n_bytes);
}
