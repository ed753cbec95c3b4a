/* Our pattern functions and the stock ones, asked the same. */
#pragma once
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    PATTERN_OURS = 1, /* stack indices of the two libraries */
    PATTERN_STOCK = 2,
    PATTERN_TEXT_BYTES = 64,
};

struct pattern_text {
    char bytes[PATTERN_TEXT_BYTES];
    size_t length;
};

/* Adds a piece if it still fits. */
void pattern_text_add(struct pattern_text *text, const char *piece, size_t length);

enum {
    PATTERN_FIND,
    PATTERN_MATCH,
    PATTERN_PLAIN,
    PATTERN_GMATCH,
    PATTERN_GSUB_STRING,
    PATTERN_GSUB_FUNCTION,
    PATTERN_GSUB_TABLE,
    PATTERN_N_KINDS,
};

struct pattern_case {
    unsigned kind;
    struct pattern_text subject, pattern, replacement;
    int init;
    bool has_init;
};

/* Puts both libraries on an empty stack, at their indices. */
void pattern_pair_open(lua_State *L);

/* Pushes a table with the answers of one library: {ok, how many, values...}. */
void pattern_pair_answer(lua_State *L, int library, const struct pattern_case *test);

/* True if two such tables, at absolute indices, are the same. */
bool pattern_pair_same(lua_State *L, int a, int b);
