/*
 * The statement texts that one connection has met: rendered for its schema, and prepared under a
 * name once. Bounded: texts beyond the limit are rendered but run unnamed.
 */
#pragma once
#include "fault.h"

struct pg_statements;

enum pg_statement_state {
    PG_STATEMENT_NEW,      /* not prepared on the server */
    PG_STATEMENT_SENT,     /* its Prepare is in the pipeline in flight */
    PG_STATEMENT_PREPARED, /* may be run by name */
};

enum {
    PG_STATEMENT_NAME_BYTES = 40,
};

struct pg_statement_entry {
    enum pg_statement_state state;
    const char *rendered;
    char name[PG_STATEMENT_NAME_BYTES]; /* of what it says; "" = run unnamed */
};

MUST_CHECK bool pg_statements_new(const char *schema, bool unnamed_only, struct pg_statements **out,
                                  struct fault *fault);
void pg_statements_free(struct pg_statements *statements);

/* From now on no further text is given a name. */
void pg_statements_unname(struct pg_statements *statements);

/* The entry of a text, made if needed; borrowed until free. NULL without memory. */
struct pg_statement_entry *pg_statements_get(struct pg_statements *statements, const char *text);

/* The text with "@schema@" and "@schema_literal@" replaced. Yours to free; NULL without memory. */
char *pg_statements_render(const struct pg_statements *statements, const char *text);
