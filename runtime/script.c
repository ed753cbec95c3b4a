#include "script_private.h"

#include "action_run.h"
#include "execution_lock.h"
#include "execution_names.h"
#include "lock_context.h"
#include "runtime_state.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* ---- protected calls ---- */

struct protected_call {
    struct script *script;
    script_body_fn *body;
    void *arg;
};

static int run_protected(lua_State *L)
{
    struct protected_call *call = lua_touserdata(L, 1);
    call->body(call->script, L, call->arg);
    return 0;
}

bool script_protect(struct script *script, script_body_fn *body, void *arg, struct fault *fault)
{
    lua_State *L = sandbox_lua(script->execution->runtime->sandbox);
    struct protected_call call = {.script = script, .body = body, .arg = arg};
    if (!lua_checkstack(L, 4))
        return fault_no_memory(fault);
    lua_pushcfunction(L, run_protected);
    lua_pushlightuserdata(L, &call);
    int status = lua_pcall(L, 1, 0, 0);
    if (status == LUA_OK)
        return true;
    const char *said = lua_tostring(L, -1);
    fault_set(fault, status == LUA_ERRMEM ? FAULT_EXHAUSTED : FAULT_SCRIPT, "%s",
              said ? said : "an error without a message");
    lua_pop(L, 1);
    return false;
}

/* ---- what it sees ---- */

static void push_lock(lua_State *L, const struct execution *execution)
{
    lua_createtable(L, 0, 2);
    lua_newtable(L);
    const char *paths[LOCK_SET_PATHS_MAX];
    int n_paths = execution_paths(execution, paths);
    for (int i = 0; i < n_paths; i++) {
        lua_pushstring(L, paths[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "paths");
    if (execution->token) {
        lua_pushinteger(L, execution->token);
        lua_setfield(L, -2, "token");
    }
    script_functions_lock(L);
}

/* A scope_source_fn. */
static bool push_name(lua_State *L, const char *name, void *arg)
{
    const struct script *script = arg;
    if (script->locks && lock_context_name(L, name))
        return true;
    if (strcmp(name, "data") == 0)
        lua_rawgeti(L, LUA_REGISTRYINDEX, script->place->sealed_ref);
    else if (strcmp(name, "output") == 0)
        lua_newtable(L);
    else if (strcmp(name, "lock") == 0)
        push_lock(L, script->execution);
    else
        return execution_names_push(L, name, script->execution);
    return true;
}

/* ---- life ---- */

bool script_new(struct execution *execution, struct region *region, struct batch_rows *rows,
                struct script **out, struct fault *fault)
{
    struct script *script = region_take(region, sizeof *script);
    if (!script)
        return fault_no_memory(fault);
    script->execution = execution;
    script->region = region;
    script->rows = rows;
    script->log_end = &script->log;
    script->events_end = &script->events;
    if (!script_place_take(execution->runtime, &script->place, fault))
        return false;
    script->scope = script->place->scope;
    scope_set_source(script->scope, push_name, script);
    *out = script;
    return true;
}

static void detach_rows(struct script *script, lua_State *L, void *arg)
{
    (void)arg;
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->place->rows_ref);
    for (int i = 1; i <= script->n_bound; i++) {
        if (lua_rawgeti(L, -1, i) == LUA_TUSERDATA)
            row_lua_detach(L, lua_gettop(L));
        lua_pop(L, 1);
    }
}

void script_free(struct script *script)
{
    struct fault ignored;
    if (!script)
        return;
    task_free(script->task);
    script->task = NULL;
    struct action *action = script->action;
    script->action = NULL;
    action_run_release(action);
    if (script->n_bound > 0)
        (void)!script_protect(script, detach_rows, NULL, &ignored);
    script_place_give(script->place, script->n_bound);
    script->place = NULL;
    script->scope = NULL;
    free(script->bound);
    script->bound = NULL;
    script->n_bound = 0;
}

/* ---- data ---- */

static struct bound_row *bind_row(struct script *script, struct row *row, int slot,
                                  const char *name)
{
    struct bound_row *bound = region_take(script->region, sizeof *bound);
    if (!bound)
        return NULL;
    if (script->n_bound == script->bound_capacity) {
        int capacity = script->bound_capacity ? 2 * script->bound_capacity : 4;
        struct bound_row **grown = realloc(script->bound, (size_t)capacity * sizeof *grown);
        if (!grown)
            return NULL;
        script->bound = grown;
        script->bound_capacity = capacity;
    }
    bound->change.row = row;
    bound->slot = slot;
    bound->binding =
        (struct row_binding){.change = &bound->change, .region = script->region, .name = name};
    script->bound[script->n_bound++] = bound;
    return bound;
}

void script_push_row(struct script *script, lua_State *L, struct row *row, int slot,
                     const char *name)
{
    for (int i = 0; i < script->n_bound; i++) {
        if (script->bound[i]->change.row == row) { /* one row, one userdata: else changes part */
            lua_rawgeti(L, LUA_REGISTRYINDEX, script->place->rows_ref);
            lua_rawgeti(L, -1, i + 1);
            lua_remove(L, -2);
            return;
        }
    }
    struct bound_row *bound = bind_row(script, row, slot, name);
    if (!bound)
        luaL_error(L, "out of memory");
    row_lua_push(L, &bound->binding);
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->place->rows_ref);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, script->n_bound);
    lua_pop(L, 1);
}

static void bind_list(struct script *script, lua_State *L, const struct bound_data *data)
{
    const struct data_declaration *declaration = data->plan->declaration;
    int n_found = batch_rows_n_found(script->rows, data->slot);
    if (lua_getfield(L, -1, declaration->name) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_createtable(L, n_found, 0);
        script_functions_list(L, data->slot, declaration->table);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, declaration->name);
    }
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i > n_found; i--) {
        lua_pushnil(L);
        lua_rawseti(L, -2, i);
    }
    for (int i = 0; i < n_found; i++) {
        script_push_row(script, L, batch_rows_found(script->rows, data->slot, i), data->slot,
                        declaration->name);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pop(L, 1);
}

/* With a row whose key the script has changed nothing is found: it stays. */
static void bind_row_or_nil(struct script *script, lua_State *L, const struct bound_data *data)
{
    const struct data_declaration *declaration = data->plan->declaration;
    if (batch_rows_n_found(script->rows, data->slot) > 0) {
        script_push_row(script, L, batch_rows_found(script->rows, data->slot, 0), data->slot,
                        declaration->name);
        lua_setfield(L, -2, declaration->name);
        return;
    }
    lua_getfield(L, -1, declaration->name);
    const struct row_binding *binding = row_lua_binding(L, lua_gettop(L));
    lua_pop(L, 1);
    if (binding && !binding->dead)
        return;
    lua_pushnil(L);
    lua_setfield(L, -2, declaration->name);
}

static void bind_data(struct script *script, lua_State *L, void *arg)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->place->data_ref);
    for (const struct bound_data *data = arg; data; data = data->next) {
        if (data->plan->declaration->list)
            bind_list(script, L, data);
        else
            bind_row_or_nil(script, L, data);
    }
}

bool script_bind(struct script *script, const struct data_plan *plan, int slot, struct fault *fault)
{
    struct bound_data *data = region_take(script->region, sizeof *data);
    if (!data)
        return fault_no_memory(fault);
    *data = (struct bound_data){.plan = plan, .slot = slot};
    if (!script_protect(script, bind_data, data, fault))
        return false;
    data->next = script->data;
    script->data = data;
    return true;
}

bool script_rebind(struct script *script, struct fault *fault)
{
    return script_protect(script, bind_data, script->data, fault);
}

void script_set_read_only(struct script *script, bool read_only)
{
    for (int i = 0; i < script->n_bound; i++)
        script->bound[i]->binding.read_only = read_only;
}

bool script_lock(struct script *script, struct lock_set **out, struct fault *fault)
{
    script->locks = true;
    script_set_read_only(script, true);
    bool ok = execution_lock_in_scope(script->execution, script->scope, out, fault);
    script_set_read_only(script, false);
    script->locks = false;
    scope_clear(script->scope); /* what a lock context does to its values is of no effect */
    return ok;
}

/* ---- running ---- */

bool script_called_fail(const struct script *script)
{
    return script->gave_up && script->failure.kind == FAULT_SCRIPT;
}

static enum script_state run_on(struct script *script, struct fault *fault)
{
    int n_results = script->n_results;
    script->asks = false;
    script->n_results = 0;
    enum task_state state = task_resume(script->task, n_results, fault);
    if (script->gave_up) { /* whatever the script did with it */
        *fault = script->failure;
        return SCRIPT_FAILED;
    }
    switch (state) {
    case TASK_DONE: return SCRIPT_ENDED;
    case TASK_SLICED: return SCRIPT_SLICED;
    case TASK_FAILED: return SCRIPT_FAILED;
    case TASK_YIELDED: break;
    }
    return SCRIPT_ASKS;
}

enum script_state script_start(struct script *script, struct fault *fault)
{
    const struct activity_plan *plan = script->execution->plan;
    bool allowed = true;
    if (plan->guard) {
        script_set_read_only(script, true);
        bool ok = expression_test(plan->guard, script->scope, &allowed, fault);
        script_set_read_only(script, false);
        scope_clear(script->scope); /* what a guard does to its values is of no effect */
        if (!ok)
            return SCRIPT_FAILED;
    }
    if (!allowed)
        return SCRIPT_BLOCKED;
    if (plan->activity->action) {
        script->request = (struct script_request){.kind = REQUEST_ACTION, .place = "", .text = ""};
        return SCRIPT_ASKS;
    }
    if (!plan->script)
        return SCRIPT_ENDED;
    if (!task_new(script->execution->runtime->sandbox, plan->script, script->scope, script,
                  &script->task, fault))
        return SCRIPT_FAILED;
    return run_on(script, fault);
}

bool script_act(struct script *script, int64_t deadline_us, struct action **out,
                struct fault *fault)
{
    if (!action_run_new(script, deadline_us, &script->action, fault))
        return false;
    *out = script->action;
    return true;
}

/* Whoever resumes it knows that it has ended. */
static enum script_state action_went(const struct script *script, struct fault *fault)
{
    assert(script->action->state != ACTION_RUNS);
    if (script->action->state == ACTION_DONE)
        return SCRIPT_ENDED;
    *fault = script->action->fault;
    return SCRIPT_FAILED;
}

enum script_state script_resume(struct script *script, struct fault *fault)
{
    if (script->action)
        return action_went(script, fault);
    return run_on(script, fault);
}

int64_t script_pause_us(const struct script *script)
{
    return task_pause_us(script->task);
}

const struct script_request *script_request(const struct script *script)
{
    return &script->request;
}

lua_State *script_arguments(struct script *script)
{
    return task_lua(script->task);
}

void script_flush_log(struct script *script)
{
    if (script->previous)
        script_flush_log(script->previous);
    for (struct log_entry *entry = script->log; entry; entry = entry->next)
        execution_log(script->execution, (enum log_level)entry->level, "script", entry->text);
    script->log = NULL;
    script->log_end = &script->log;
}
