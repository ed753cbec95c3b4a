/*
 * The lock paths of an activity without a database: what `latchkey key` and the designer's preview
 * ask. The names in scope are those of a run; the instance, which is not there yet, has the nil id.
 */
#include "runtime.h"

#include "lock_context.h"
#include "scope.h"

#include <stdlib.h>
#include <string.h>

static const char NIL_UUID[] = "00000000-0000-0000-0000-000000000000";

static bool set_new(struct scope *scope, const char *name, json_t *value, struct fault *fault)
{
    bool ok = value ? scope_set_json(scope, name, value, fault) : fault_no_memory(fault);
    json_decref(value);
    return ok;
}

static bool fill_scope(struct scope *scope, const struct activity *activity, const json_t *input,
                       const json_t *data, struct fault *fault)
{
    lock_context_offer(scope);
    return scope_set_json(scope, "input", input, fault) &&
           (!data || scope_set_json(scope, "data", data, fault)) &&
           set_new(scope, "vars", json_object(), fault) &&
           set_new(scope, "activity", json_pack("{s:s}", "name", activity->name), fault) &&
           set_new(scope, "instance", json_pack("{s:s}", "id", NIL_UUID), fault);
}

/* Takes the value that the expression left on the stack. */
static bool read_value(struct sandbox *sandbox, const struct definition *definition,
                       const struct activity *activity, const char *schema, struct lock_set **out,
                       struct fault *fault)
{
    lua_State *L = sandbox_lua(sandbox);
    bool ok = lock_context_read(L, -1, schema, out, fault);
    lua_pop(L, 1);
    return ok || fault_prefix(fault, "%s:%d: lock-context", definition->file,
                              activity->lock_context.line);
}

static bool evaluate(struct sandbox *sandbox, const struct definition *definition,
                     const struct activity *activity, const json_t *input, const json_t *data,
                     const char *schema, struct lock_set **out, struct fault *fault)
{
    struct scope *scope = NULL;
    struct expression *expression = NULL;
    bool ok = false;
    if (!scope_new(sandbox, &scope, fault) || !fill_scope(scope, activity, input, data, fault) ||
        !lock_context_compile(sandbox, definition->file, activity->lock_context, &expression,
                              fault))
        goto done;
    if (!data && expression_uses(expression, "data"))
        fault_set(fault, FAULT_INVALID, "%s:%d: the lock context uses data, and none was given",
                  definition->file, activity->lock_context.line);
    else
        ok = expression_evaluate(expression, scope, fault) &&
             read_value(sandbox, definition, activity, schema, out, fault);
done:
    expression_free(expression);
    scope_free(scope);
    return ok;
}

static bool whole_system(const char *schema, struct lock_set **out, struct fault *fault)
{
    struct lock_path *path = NULL;
    bool ok = lock_path_new(NULL, 0, &path, fault) && lock_set_new(&path, 1, schema, out, fault);
    lock_path_free(path);
    return ok;
}

static void free_texts(char **texts, int n_texts)
{
    for (int i = 0; i < n_texts; i++)
        free(texts[i]);
    free(texts);
}

static bool copy_paths(const struct lock_set *set, char ***paths, int *n_paths, struct fault *fault)
{
    int n = lock_set_n_paths(set);
    char **texts = calloc((size_t)n, sizeof *texts);
    if (!texts)
        return fault_no_memory(fault);
    for (int i = 0; i < n; i++) {
        texts[i] = strdup(lock_set_path(set, i));
        if (!texts[i]) {
            free_texts(texts, i);
            return fault_no_memory(fault);
        }
    }
    *paths = texts;
    *n_paths = n;
    return true;
}

bool workflow_key(struct sandbox *sandbox, const struct definition *definition,
                  const struct activity *activity, const json_t *input, const json_t *data,
                  const char *schema, char ***paths, int *n_paths, struct fault *fault)
{
    struct lock_set *set = NULL;
    if (!definition_check_input(definition, input, fault))
        return false;
    if (!activity->exclusive_lock) {
        *paths = NULL;
        *n_paths = 0;
        return true;
    }
    bool ok = activity->lock_context.text
                  ? evaluate(sandbox, definition, activity, input, data, schema, &set, fault)
                  : whole_system(schema, &set, fault);
    ok = ok && copy_paths(set, paths, n_paths, fault);
    lock_set_free(set);
    return ok;
}
