/*
 * The names that a piece of Lua sees besides the standard ones: input, data, vars, ...
 * One scope serves one execution: its lock context, guard, script and rules.
 *
 * Globals that a chunk assigns never reach the scope: an expression may assign none (an error), a
 * task writes into a table of its own that dies with it.
 */
#pragma once
#include "json.h"
#include "sandbox.h"

struct scope;

/* *out is yours to scope_free; it must go before its sandbox. */
MUST_CHECK bool scope_new(struct sandbox *sandbox, struct scope **out, struct fault *fault);
void scope_free(struct scope *scope);

/* Pushes the value of `name` and returns true, or pushes nothing and returns false. May raise, and
 * must leave nothing else on the stack. What it takes counts for no limit of the code at work. */
typedef bool scope_source_fn(lua_State *L, const char *name, void *arg);

/* Names that nobody set are asked of source when they are first read, each once: most code reads
 * few. NULL = there is none. arg is kept until the source is another. */
void scope_set_source(struct scope *scope, scope_source_fn *source, void *arg);

/* Forgets every value, set or given: the source is asked anew. Costs less than a new scope. */
void scope_clear(struct scope *scope);

/* Makes `name` a fresh Lua copy of a JSON value (null = nil). The value is lent for the call. */
MUST_CHECK bool scope_set_json(struct scope *scope, const char *name, const json_t *value,
                               struct fault *fault);

/* Makes `name` the value on top of the sandbox's stack, and pops it. */
MUST_CHECK bool scope_set_top(struct scope *scope, const char *name, struct fault *fault);

/* Pushes the value of `name` on L, a thread of the sandbox's state: nil if it was neither set nor
 * read yet. Does not raise. */
void scope_push(struct scope *scope, lua_State *L, const char *name);
