/*
 * Internal to expr: a piece of Lua text on its way to a compiled function, and its origin, which
 * stands in every error.
 */
#pragma once
#include "expression.h"
#include "text.h"

struct source {
    char *file;
    char *what;
    int line;
};

/* Copies. Give it back with source_done also after a failure. */
MUST_CHECK bool source_init(struct source *source, const char *file, const char *what, int line,
                            struct fault *fault);
void source_done(struct source *source);

/* "FILE:LINE: what", for errors that have no place of their own. */
void source_place(const struct source *source, char *out, size_t out_bytes);

/*
 * Compiles `head text tail` so that text's lines are the file's, and leaves a function on the
 * stack. Text only, never bytecode. Head and tail have no newline: the compiler gives an
 * instruction the line of the token behind it, so a tail on a line of its own would move errors.
 * Its first argument is its environment; the usual upvalue is empty. Does not raise.
 * Fails with FAULT_INVALID, "FILE:LINE: reason", or FAULT_EXHAUSTED, and leaves nothing.
 */
MUST_CHECK bool source_load(struct sandbox *sandbox, const struct source *source, const char *head,
                            const char *text, size_t n_bytes, const char *tail,
                            struct fault *fault);

/* Keeps the function on top of the stack in the registry and pops it; *ref is its key. */
MUST_CHECK bool source_keep(struct sandbox *sandbox, int *ref, struct fault *fault);

/* What a look at the tokens tells. */
struct source_tokens {
    struct text names; /* "\nNAME\nNAME\n": each name that may be a global, at least once */
    bool sees_all;  /* mentions _ENV or `...`, by which any global can be reached, or too many names
                     */
    size_t n_bytes; /* up to the end of the last token: what follows is blank or comment */
    bool is_empty;  /* blank, or comments alone */
    bool is_statement;       /* begins with a word that no expression begins with */
    int n_branches;          /* and, or, elseif, goto, break, labels */
    bool binds_constant_env; /* `_ENV <const>`: miscompiled by Lua 5.4.4 */
};

/* Never misses a use of a global; a local of the same name counts as one. text_done(&names)
 * after.*/
void source_scan(const char *text, struct source_tokens *tokens);

/* True if name stands among the names. */
bool source_names(const struct source_tokens *tokens, const char *name);

/* Refuses what compiles dangerously: too many branches (the compiler needs quadratic time for
 * them), and constant environments. */
MUST_CHECK bool source_acceptable(const struct source *source, const struct source_tokens *tokens,
                                  struct fault *fault);
