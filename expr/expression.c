#include "expression.h"

#include "failure.h"
#include "sandbox_state.h"
#include "scope_state.h"
#include "source.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

struct expression {
    struct sandbox *sandbox;
    struct source source;
    struct source_tokens tokens;
    int function_ref;
};

/* The environment comes as an argument, and not in the function's upvalue: closures that outlive an
 * evaluation keep their own, whatever the function is evaluated in next. */
static const char head_of_expression[] = "local _ENV = ...; return (";
static const char head_of_list[] = "local _ENV = ...; return ";
static const char head_of_statements[] = "local _ENV = ...; ";

/* Of the two readings that failed, reports the one that the text looks like. */
static bool load(struct expression *expression, const char *text, struct fault *fault)
{
    struct sandbox *sandbox = expression->sandbox;
    const struct source *source = &expression->source;
    size_t n_bytes = expression->tokens.n_bytes;
    struct fault as_statements;
    struct fault as_list;
    if (source_load(sandbox, source, head_of_expression, text, n_bytes, ")", fault))
        return true;
    if (source_load(sandbox, source, head_of_statements, text, n_bytes, "", &as_statements))
        return true;
    if (expression->tokens.is_statement) {
        *fault = as_statements;
        return false;
    }
    /* Without our bracket the words are about the text alone; a list has only the bracket's. */
    if (source_load(sandbox, source, head_of_list, text, n_bytes, "", &as_list))
        lua_pop(sandbox->L, 1);
    else
        *fault = as_list;
    return false;
}

static bool compile(struct expression *expression, const char *file, const char *what,
                    struct lua_source source, struct fault *fault)
{
    const char *text = source.text ? source.text : "";
    if (!source_init(&expression->source, file, what, source.line, fault))
        return false;
    source_scan(text, &expression->tokens);
    if (expression->tokens.is_empty)
        return fault_set(fault, FAULT_INVALID, "%s:%d: %s: the expression is empty", file,
                         source.line, what);
    return source_acceptable(&expression->source, &expression->tokens, fault) &&
           load(expression, text, fault) &&
           source_keep(expression->sandbox, &expression->function_ref, fault);
}

bool expression_compile(struct sandbox *sandbox, const char *file, const char *what,
                        struct lua_source source, struct expression **out, struct fault *fault)
{
    struct expression *expression = calloc(1, sizeof *expression);
    if (!expression)
        return fault_no_memory(fault);
    expression->sandbox = sandbox;
    expression->function_ref = LUA_NOREF;
    if (!compile(expression, file, what, source, fault)) {
        expression_free(expression);
        return false;
    }
    *out = expression;
    return true;
}

void expression_free(struct expression *expression)
{
    if (!expression)
        return;
    if (lua_checkstack(expression->sandbox->L, 4))
        luaL_unref(expression->sandbox->L, LUA_REGISTRYINDEX, expression->function_ref);
    source_done(&expression->source);
    text_done(&expression->tokens.names);
    free(expression);
}

bool expression_uses(const struct expression *expression, const char *name)
{
    return expression->tokens.sees_all || source_names(&expression->tokens, name);
}

/* Turns whatever the function left above base into one value. */
static bool take_value(struct expression *expression, int base, struct fault *fault)
{
    lua_State *L = expression->sandbox->L;
    int n = lua_gettop(L) - base;
    if (n > 1) {
        const struct source *source = &expression->source;
        return fault_set(fault, FAULT_SCRIPT, "%s:%d: %s: gave %d values instead of one",
                         source->file, source->line, source->what, n);
    }
    if (n == 0)
        lua_pushnil(L);
    return true;
}

bool expression_evaluate(struct expression *expression, struct scope *scope, struct fault *fault)
{
    struct sandbox *sandbox = expression->sandbox;
    lua_State *L = sandbox->L;
    if (!lua_checkstack(L, 4))
        return fault_no_memory(fault);
    int base = lua_gettop(L);
    struct run run;
    run_init(&run, sandbox, &expression->source, L, /* is_task= */ false);
    lua_rawgeti(L, LUA_REGISTRYINDEX, expression->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->environment_ref);
    run_open(&run);
    int status = lua_pcall(L, 1, LUA_MULTRET, 0);
    run_close(&run, status);

    bool ok;
    if (run.spent != RUN_WITHIN) {
        char place[FAULT_TEXT_BYTES / 2];
        source_place(&expression->source, place, sizeof place);
        ok = run_fault(&run, place, fault);
    } else if (status != LUA_OK) {
        ok = failure_from_error(L, status, FAULT_SCRIPT, &expression->source, fault);
    } else {
        ok = take_value(expression, base, fault);
    }
    if (!ok)
        lua_settop(L, base);
    return ok;
}

bool expression_test(struct expression *expression, struct scope *scope, bool *out,
                     struct fault *fault)
{
    if (!expression_evaluate(expression, scope, fault))
        return false;
    *out = lua_toboolean(expression->sandbox->L, -1);
    lua_pop(expression->sandbox->L, 1);
    return true;
}
