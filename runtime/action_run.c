#include "action_run.h"

#include "clock.h"
#include "json_lua.h"
#include "runtime_state.h"
#include "script_private.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* ---- registered actions ---- */

enum {
    NAME_BYTES_MAX = 63,
};

struct registered_action {
    char *name;
    action_fn *fn;
    void *arg;
    LIST_ENTRY(registered_action) link;
};

static struct registered_action *find(const struct runtime *runtime, const char *name)
{
    struct registered_action *action;
    LIST_FOREACH(action, &runtime->actions, link)
    if (strcmp(action->name, name) == 0)
        return action;
    return NULL;
}

/* As a definition may name it. */
static bool is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return *name >= 'a' && *name <= 'z' && n <= NAME_BYTES_MAX && !name[n];
}

bool runtime_register_action(struct runtime *runtime, const char *name, action_fn *fn, void *arg,
                             struct fault *fault)
{
    if (!is_name(name))
        return fault_set(fault, FAULT_INVALID,
                         "'%.80s' is no name of an action: [a-z][a-z0-9_-]{0,62}", name);
    if (find(runtime, name))
        return fault_set(fault, FAULT_INVALID, "the action '%s' is registered already", name);
    struct registered_action *action = calloc(1, sizeof *action);
    if (!action)
        return fault_no_memory(fault);
    *action = (struct registered_action){.name = strdup(name), .fn = fn, .arg = arg};
    if (!action->name) {
        free(action);
        return fault_no_memory(fault);
    }
    LIST_INSERT_HEAD(&runtime->actions, action, link);
    return true;
}

action_fn *action_run_find(const struct runtime *runtime, const char *name, void **arg)
{
    const struct registered_action *action = find(runtime, name);
    if (!action)
        return NULL;
    *arg = action->arg;
    return action->fn;
}

void action_run_forget_all(struct runtime *runtime)
{
    while (!LIST_EMPTY(&runtime->actions)) {
        struct registered_action *action = LIST_FIRST(&runtime->actions);
        LIST_REMOVE(action, link);
        free(action->name);
        free(action);
    }
}

/* ---- life of a run ---- */

static void free_action(struct action *action)
{
    json_decref(action->input);
    json_decref(action->event);
    json_decref(action->vars);
    json_decref(action->output);
    free(action->activity);
    free(action);
}

bool action_run_new(struct script *script, int64_t deadline_us, struct action **out,
                    struct fault *fault)
{
    const struct execution *execution = script->execution;
    struct action *action = calloc(1, sizeof *action);
    if (!action)
        return fault_no_memory(fault);
    action->script = script;
    action->deadline_us = deadline_us;
    action->token = execution->token;
    memcpy(action->instance, execution->id, sizeof action->instance);
    action->activity = strdup(execution_activity(execution)->name);
    action->input = json_incref(execution->input);
    action->event = json_incref(execution->event);
    action->vars =
        execution->instance.vars ? json_deep_copy(execution->instance.vars) : json_object();
    action->output = json_object();
    if (!action->activity || !action->vars || !action->output) {
        free_action(action);
        return fault_no_memory(fault);
    }
    *out = action;
    return true;
}

void action_run_release(struct action *action)
{
    if (!action)
        return;
    action->script = NULL;
    if (action->state != ACTION_RUNS)
        free_action(action);
    else if (action->cancelled)
        action->cancelled(action, action->cancelled_arg); /* may free it */
}

static void end(struct action *action, enum action_state state)
{
    if (!action->script) {
        free_action(action);
        return;
    }
    action->state = state;
    action->ended(action->ended_arg);
}

void action_done(struct action *action)
{
    end(action, ACTION_DONE);
}

void action_fail(struct action *action, const char *reason)
{
    fault_set(&action->fault, FAULT_SCRIPT, "%s", *reason ? reason : "the action failed");
    end(action, ACTION_FAILED);
}

/* ---- what it knows ---- */

const char *action_instance(const struct action *action)
{
    return action->instance;
}

const char *action_activity(const struct action *action)
{
    return action->activity;
}

const json_t *action_input(const struct action *action)
{
    return action->input;
}

const json_t *action_event(const struct action *action)
{
    return action->event;
}

json_t *action_vars(struct action *action)
{
    return action->vars;
}

json_t *action_output(struct action *action)
{
    return action->output;
}

int64_t action_remaining_us(const struct action *action)
{
    int64_t left_us = action->deadline_us - clock_monotonic_us();
    return action->script && left_us > 0 ? left_us : 0;
}

int64_t action_token(const struct action *action)
{
    return action->token;
}

bool action_is_cancelled(const struct action *action)
{
    return action->script == NULL;
}

void action_on_cancel(struct action *action, action_fn *cancelled, void *arg)
{
    action->cancelled = cancelled;
    action->cancelled_arg = arg;
}

/* ---- rows ---- */

/* One look at a row or a change of one, by the way that scripts go: the rules are theirs. */
struct row_access {
    const struct bound_data *data;
    int row;
    const char *column;
    const json_t *value; /* to set; NULL = get */
    json_t **out;
    struct fault *fault;
};

static const struct bound_data *find_data(const struct action *action, const char *name)
{
    const struct bound_data *data = action->script ? action->script->data : NULL;
    while (data && strcmp(data->plan->declaration->name, name) != 0)
        data = data->next;
    return data;
}

int action_n_rows(struct action *action, const char *data)
{
    const struct bound_data *found = find_data(action, data);
    return found ? batch_rows_n_found(action->script->rows, found->slot) : -1;
}

static void access_row(struct script *script, lua_State *L, void *arg)
{
    struct row_access *access = arg;
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->place->data_ref);
    lua_getfield(L, -1, access->data->plan->declaration->name);
    if (access->data->plan->declaration->list)
        lua_rawgeti(L, -1, (lua_Integer)access->row + 1);
    if (!access->value) {
        lua_getfield(L, -1, access->column);
        if (!json_lua_read(L, lua_gettop(L), access->column, access->out, access->fault))
            luaL_error(L, "%s", access->fault->text);
        return;
    }
    if (json_is_null(access->value))
        lua_pushnil(L);
    else
        json_lua_push(L, access->value);
    lua_setfield(L, -2, access->column);
}

static bool reach(struct action *action, const char *data, int row, struct row_access *access)
{
    if (!action->script)
        return fault_set(access->fault, FAULT_SCRIPT, "the action was cancelled");
    access->data = find_data(action, data);
    access->row = row;
    if (!access->data)
        return fault_set(access->fault, FAULT_SCRIPT, "no data is declared as '%s'", data);
    if (row < 0 || row >= action_n_rows(action, data))
        return fault_set(access->fault, FAULT_SCRIPT, "data.%s has no row %d", data, row);
    return script_protect(action->script, access_row, access, access->fault);
}

bool action_get(struct action *action, const char *data, int row, const char *column, json_t **out,
                struct fault *fault)
{
    struct row_access access = {.column = column, .out = out, .fault = fault};
    *out = NULL;
    if (!reach(action, data, row, &access))
        return false;
    if (!*out)
        *out = json_null();
    return true;
}

bool action_set(struct action *action, const char *data, int row, const char *column,
                const json_t *value, struct fault *fault)
{
    struct row_access access = {.column = column, .value = value, .fault = fault};
    return reach(action, data, row, &access);
}
