/*
 * What a script leaves behind when it has ended: changes, output, vars, and where the workflow
 * goes.
 */
#include "script_private.h"

#include "action_run.h"
#include "json_lua.h"

#include <lauxlib.h>
#include <string.h>

/* ---- changes ---- */

static void settle(struct script *script, lua_State *L, void *arg)
{
    (void)arg;
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->place->rows_ref);
    for (int i = 1; i <= script->n_bound; i++) {
        if (lua_rawgeti(L, -1, i) == LUA_TUSERDATA)
            row_lua_settle(L, lua_gettop(L));
        lua_pop(L, 1);
    }
}

/* Only tables of json columns are settled. */
static bool has_json(const struct script *script)
{
    for (int i = 0; i < script->n_bound; i++) {
        const struct table *table = script->bound[i]->change.row->table;
        for (int c = 0; c < table->n_columns; c++)
            if (table->columns[c].kind == COLUMN_JSON)
                return true;
    }
    return false;
}

bool script_settle(struct script *script, struct fault *fault)
{
    return !has_json(script) || script_protect(script, settle, NULL, fault);
}

int script_n_changes(const struct script *script)
{
    return script->n_bound;
}

struct row_change *script_change(const struct script *script, int i)
{
    return &script->bound[i]->change;
}

void script_refresh(struct script *script)
{
    for (int i = 0; i < script->n_bound; i++) {
        struct bound_row *bound = script->bound[i];
        bound->change = (struct row_change){.row = bound->change.row};
        bound->binding.dead = bound->change.row->state != ROW_FOUND;
    }
}

/* ---- output and vars ---- */

struct output_request {
    const char *name;
    bool untouched; /* the script has not even read it */
    json_t *value;
    struct fault *fault;
};

static void read_object(struct script *script, lua_State *L, void *arg)
{
    struct output_request *request = arg;
    lua_pushnil(L);
    if (script->task) {
        lua_pop(L, 1);
        task_push_global(script->task, L, request->name);
    }
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        scope_push(script->scope, L, request->name);
    }
    request->untouched = lua_isnil(L, -1);
    if (request->untouched)
        return;
    if (lua_istable(L, -1)) {
        lua_pushnil(L);
        if (!lua_next(L, -2))
            return; /* an empty table: no output */
        lua_pop(L, 2);
    }
    if (!json_lua_read(L, lua_gettop(L), request->name, &request->value, request->fault))
        luaL_error(L, "%s", request->fault->text);
}

static bool check_stored(const char *name, json_t *value, json_t **out, struct fault *fault)
{
    if (!json_has_zero(value)) {
        *out = value;
        return true;
    }
    json_decref(value);
    return fault_set(fault, FAULT_SCRIPT,
                     "%s holds a zero character (U+0000), which PostgreSQL cannot store", name);
}

/* Of an action; none if it is empty, as with scripts. */
static bool keep_object(const char *name, json_t *object, json_t **out, struct fault *fault)
{
    return json_object_size(object) == 0 || check_stored(name, json_incref(object), out, fault);
}

static bool read_global(struct script *script, const char *name, json_t **out, bool *untouched,
                        struct fault *fault)
{
    struct output_request request = {.name = name, .fault = fault};
    *out = NULL;
    if (!script_protect(script, read_object, &request, fault))
        return false;
    *untouched = request.untouched;
    return check_stored(name, request.value, out, fault);
}

bool script_output(struct script *script, json_t **out, struct fault *fault)
{
    bool untouched;
    *out = NULL;
    if (script->action)
        return keep_object("output", script->action->output, out, fault);
    return read_global(script, "output", out, &untouched, fault);
}

bool script_vars(struct script *script, json_t **out, struct fault *fault)
{
    bool untouched = true;
    *out = NULL;
    if (script->action)
        return keep_object("vars", script->action->vars, out, fault);
    if (script->task && !read_global(script, "vars", out, &untouched, fault))
        return false;
    if (untouched)
        *out = json_incref(script->execution->instance.vars);
    if (!*out || json_is_object(*out))
        return true;
    json_decref(*out);
    *out = NULL;
    return fault_set(fault, FAULT_SCRIPT, "vars is not a table of names and values");
}

void script_follow(struct script *script, struct script *previous)
{
    script->previous = previous;
}

const struct script *script_previous(const struct script *script)
{
    return script->previous;
}

const struct script_event *script_events(const struct script *script)
{
    return script->events;
}

/* ---- navigation ---- */

bool script_navigate(struct script *script, const json_t *vars, int *next, struct fault *fault)
{
    const struct activity_plan *plan = script->execution->plan;
    const struct activity *activity = plan->activity;
    bool ok = true, taken = false;
    *next = -1;
    if (activity->n_navigation == 0)
        return true;
    json_t *none = vars ? NULL : json_object();
    if (!vars && !none)
        return fault_no_memory(fault);
    ok = scope_set_json(script->scope, "vars", vars ? vars : none, fault);
    json_decref(none);
    script_set_read_only(script, true);
    for (int i = 0; ok && !taken && i < activity->n_navigation; i++) {
        taken = true;
        if (plan->rules[i])
            ok = expression_test(plan->rules[i], script->scope, &taken, fault);
        if (ok && taken)
            *next = activity->navigation[i].to;
    }
    script_set_read_only(script, false);
    return ok;
}
