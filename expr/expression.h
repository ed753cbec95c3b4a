/*
 * A compiled lock context, guard, navigation rule or data key: one Lua expression, or statements
 * with an explicit return. Pure: no time, randomness, I/O or yield. Compile once, evaluate many.
 */
#pragma once
#include "sandbox.h"
#include "scope.h"

struct expression;

/* Where a piece of Lua stands in its file, so that errors carry the file's line. */
struct lua_source {
    const char *text; /* NULL = the piece is absent */
    int line;         /* line of the file on which text begins, from 1 */
};

/* file and what ("lock-context") name the source in errors and are copied. *out is yours to
 * expression_free, before its sandbox. Fails with FAULT_INVALID, "FILE:LINE: reason". */
MUST_CHECK bool expression_compile(struct sandbox *sandbox, const char *file, const char *what,
                                   struct lua_source source, struct expression **out,
                                   struct fault *fault);
void expression_free(struct expression *expression);

/* True if the expression may use the global `name`. Never false for one that does; true without
 * need where a local or a key has that name, and for every name where _ENV or `...` is mentioned.
 */
bool expression_uses(const struct expression *expression, const char *name);

/* Evaluates under the limits for expressions. On success exactly one value is left on the stack of
 * sandbox_lua; pop it. Statements that return nothing give nil; two values are an error, for
 * `return "message", input.id` would otherwise mean less than it says. Fails with FAULT_SCRIPT,
 * "FILE:LINE: reason", also when a limit of the evaluation is spent, or with FAULT_EXHAUSTED when
 * the whole state has no memory left; it leaves nothing then. */
MUST_CHECK bool expression_evaluate(struct expression *expression, struct scope *scope,
                                    struct fault *fault);

/* The same for conditions: nil and false are false, everything else is true. */
MUST_CHECK bool expression_test(struct expression *expression, struct scope *scope, bool *out,
                                struct fault *fault);
