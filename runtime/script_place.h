/*
 * The Lua tables around a script: its scope, `data` and the userdatas of its rows. Making them
 * costs more than most scripts do, so a place is emptied and lent again when a script is over.
 *
 * Nothing of one script is left for the next: values go, and the globals were a table of its own.
 */
#pragma once
#include "scope.h"

struct runtime;

struct script_place {
    struct runtime *runtime;
    struct scope *scope;
    int data_ref;   /* registry: what `data` reads through to */
    int sealed_ref; /* registry: `data` as scripts see it */
    int rows_ref;   /* registry: the rows' userdatas, 1..n */
    struct script_place *next;
};

/* *out is an empty place, to be given back by script_place_give. */
MUST_CHECK bool script_place_take(struct runtime *runtime, struct script_place **out,
                                  struct fault *fault);

/* n_rows: userdatas that stand in rows_ref. Whoever runs code in the place is gone. NULL is legal.
 */
void script_place_give(struct script_place *place, int n_rows);

/* Frees those that nobody has, before the sandbox goes. */
void script_place_free_all(struct runtime *runtime);
