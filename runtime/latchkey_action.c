/* Native actions as C programs see them: what action.h offers, with JSON as text. */
#include "action.h"
#include "latchkey_state.h"

#include <stdlib.h>
#include <string.h>

struct registered {
    latchkey_action_fn *fn;
    void *arg;
    LIST_ENTRY(registered) link;
};

struct latchkey_action {
    struct action *action;
    latchkey_action_fn *cancelled;
    void *cancelled_arg;
};

/* ---- registering ---- */

static void on_run(struct action *action, void *arg)
{
    const struct registered *registered = arg;
    struct latchkey_action *told = calloc(1, sizeof *told);
    if (!told) {
        action_fail(action, "out of memory");
        return;
    }
    told->action = action;
    registered->fn(told, registered->arg);
}

bool latchkey_register_action(struct latchkey *host, const char *name, latchkey_action_fn *fn,
                              void *arg, struct latchkey_fault *fault)
{
    struct fault failed;
    struct registered *registered = NULL;
    bool ok = host->runtime || fault_set(&failed, FAULT_CANCELLED, "the host is stopping");
    if (ok) {
        registered = calloc(1, sizeof *registered);
        ok = registered || fault_no_memory(&failed);
    }
    ok = ok && runtime_register_action(host->runtime, name, on_run, registered, &failed);
    if (!ok) {
        free(registered);
        return latchkey_fault_tell(&failed, fault);
    }
    registered->fn = fn;
    registered->arg = arg;
    LIST_INSERT_HEAD(&host->actions, registered, link);
    return true;
}

void latchkey_action_forget_all(struct latchkey *host)
{
    while (!LIST_EMPTY(&host->actions)) {
        struct registered *registered = LIST_FIRST(&host->actions);
        LIST_REMOVE(registered, link);
        free(registered);
    }
}

/* ---- what it knows ---- */

const char *latchkey_action_instance(const struct latchkey_action *action)
{
    return action_instance(action->action);
}

const char *latchkey_action_activity(const struct latchkey_action *action)
{
    return action_activity(action->action);
}

char *latchkey_action_input(const struct latchkey_action *action)
{
    return json_write(action_input(action->action));
}

char *latchkey_action_event(const struct latchkey_action *action)
{
    const json_t *event = action_event(action->action);
    return event ? json_write(event) : strdup("null");
}

char *latchkey_action_vars(struct latchkey_action *action)
{
    return json_write(action_vars(action->action));
}

/* Changed in place: the object belongs to the execution. */
static bool replace(json_t *object, const char *what, const char *text,
                    struct latchkey_fault *fault)
{
    struct fault failed;
    json_t *read = NULL;
    bool ok = json_read(what, text, strlen(text), &read, &failed);
    if (ok && !json_is_object(read))
        ok = fault_set(&failed, FAULT_INVALID, "%s: not an object", what);
    if (ok && (json_object_clear(object) != 0 || json_object_update(object, read) != 0))
        ok = fault_no_memory(&failed);
    json_decref(read);
    return ok || latchkey_fault_tell(&failed, fault);
}

bool latchkey_action_set_vars(struct latchkey_action *action, const char *object,
                              struct latchkey_fault *fault)
{
    return replace(action_vars(action->action), "vars", object, fault);
}

bool latchkey_action_set_output(struct latchkey_action *action, const char *object,
                                struct latchkey_fault *fault)
{
    return replace(action_output(action->action), "output", object, fault);
}

/* ---- rows ---- */

int latchkey_action_n_rows(struct latchkey_action *action, const char *data)
{
    return action_n_rows(action->action, data);
}

bool latchkey_action_get(struct latchkey_action *action, const char *data, int row,
                         const char *column, char **value, struct latchkey_fault *fault)
{
    struct fault failed;
    json_t *json;
    if (!action_get(action->action, data, row, column, &json, &failed))
        return latchkey_fault_tell(&failed, fault);
    char *text = json_write(json);
    json_decref(json);
    if (!text) {
        fault_no_memory(&failed);
        return latchkey_fault_tell(&failed, fault);
    }
    *value = text;
    return true;
}

bool latchkey_action_get_integer(struct latchkey_action *action, const char *data, int row,
                                 const char *column, int64_t *value, struct latchkey_fault *fault)
{
    struct fault failed;
    json_t *json;
    if (!action_get(action->action, data, row, column, &json, &failed))
        return latchkey_fault_tell(&failed, fault);
    bool ok = json_is_integer(json) ||
              fault_set(&failed, FAULT_SCRIPT, "data.%s.%s is no integer", data, column);
    if (ok)
        *value = json_integer_value(json);
    json_decref(json);
    return ok || latchkey_fault_tell(&failed, fault);
}

static bool set(struct latchkey_action *action, const char *data, int row, const char *column,
                json_t *value, struct latchkey_fault *fault)
{
    struct fault failed;
    bool ok = value ? action_set(action->action, data, row, column, value, &failed)
                    : fault_no_memory(&failed);
    json_decref(value);
    return ok || latchkey_fault_tell(&failed, fault);
}

bool latchkey_action_set(struct latchkey_action *action, const char *data, int row,
                         const char *column, const char *value, struct latchkey_fault *fault)
{
    struct fault failed;
    json_t *json;
    if (!json_read(column, value, strlen(value), &json, &failed))
        return latchkey_fault_tell(&failed, fault);
    return set(action, data, row, column, json, fault);
}

bool latchkey_action_set_integer(struct latchkey_action *action, const char *data, int row,
                                 const char *column, int64_t value, struct latchkey_fault *fault)
{
    return set(action, data, row, column, json_integer(value), fault);
}

/* ---- time ---- */

int64_t latchkey_action_remaining_us(const struct latchkey_action *action)
{
    return action_remaining_us(action->action);
}

int64_t latchkey_action_token(const struct latchkey_action *action)
{
    return action_token(action->action);
}

bool latchkey_action_is_cancelled(const struct latchkey_action *action)
{
    return action_is_cancelled(action->action);
}

static void on_cancelled(struct action *action, void *arg)
{
    struct latchkey_action *told = arg;
    (void)action;
    told->cancelled(told, told->cancelled_arg);
}

void latchkey_action_on_cancel(struct latchkey_action *action, latchkey_action_fn *cancelled,
                               void *arg)
{
    action->cancelled = cancelled;
    action->cancelled_arg = arg;
    action_on_cancel(action->action, cancelled ? on_cancelled : NULL, action);
}

/* ---- the end ---- */

void latchkey_action_done(struct latchkey_action *action)
{
    struct action *ended = action->action;
    free(action);
    action_done(ended);
}

void latchkey_action_fail(struct latchkey_action *action, const char *reason)
{
    struct action *ended = action->action;
    free(action);
    action_fail(ended, reason);
}
