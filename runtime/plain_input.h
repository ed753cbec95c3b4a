/*
 * Expressions that only say `input.NAME`, or list such names and texts, as most lock contexts and
 * keys do: known for that when they are compiled, they are read from the input without a call into
 * Lua. Whatever is out of the ordinary (a field that is not there, a number with a fraction, a
 * table) is left to Lua, which also tells what is wrong with it.
 */
#pragma once
#include "json.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    PLAIN_TERMS_MAX = 8, /* the segments of a path */
};

struct plain_term {
    const char *bytes; /* of a name in the input, or of a text; borrowed from the source */
    size_t n_bytes;
    bool is_text;
};

/* All zero: not such an expression. */
struct plain_input {
    struct plain_term terms[PLAIN_TERMS_MAX];
    int n_terms;
    bool is_list; /* {term, ...} */
};

/* Reads Lua source, which out borrows from; NULL is no such expression. */
void plain_input_read(const char *source, struct plain_input *out);

/* What a term is in the input: NULL if it is a text, or there is no such field. Borrowed. */
const json_t *plain_input_field(const struct plain_term *term, const json_t *input);
