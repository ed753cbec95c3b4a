#include "execution.h"

#include "clock.h"
#include "lock_context.h"
#include "runtime_state.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

const struct activity *execution_activity(const struct execution *execution)
{
    return execution->plan->activity;
}

void execution_set_outcome(struct execution *execution, enum execution_status status,
                           const char *reason)
{
    char *copy = reason && *reason ? strdup(reason) : NULL; /* it may be the present one */
    execution->status = status;
    free(execution->reason);
    execution->reason = copy;
    execution->ended_us = clock_monotonic_us();
}

/* The whole system, for an activity that says no lock context. */
static bool lock_everything(struct execution *execution, struct fault *fault)
{
    struct lock_path *path = NULL;
    if (!lock_path_new(NULL, 0, &path, fault))
        return false;
    bool ok = lock_set_new(&path, 1, execution->runtime->schema, &execution->locks, fault);
    lock_path_free(path);
    return ok;
}

bool execution_scope(const struct execution *execution, struct scope *scope, struct fault *fault)
{
    json_t *vars = json_object();
    json_t *activity = json_pack("{s:s}", "name", execution_activity(execution)->name);
    json_t *instance =
        json_pack("{s:s, s:s, s:i}", "id", execution->id, "workflow",
                  execution->workflow->definition->name, "version", execution->workflow->version);
    bool ok = vars && activity && instance;
    if (!ok)
        fault_no_memory(fault);
    ok = ok && scope_set_json(scope, "input", execution->input, fault) &&
         scope_set_json(scope, "vars", vars, fault) &&
         scope_set_json(scope, "activity", activity, fault) &&
         scope_set_json(scope, "instance", instance, fault);
    json_decref(vars);
    json_decref(activity);
    json_decref(instance);
    return ok;
}

static bool evaluate_lock(struct execution *execution, struct fault *fault)
{
    struct expression *context = execution->plan->lock_context;
    if (!context)
        return lock_everything(execution, fault);
    struct scope *scope = NULL;
    lua_State *L = sandbox_lua(execution->runtime->sandbox);
    if (!scope_new(execution->runtime->sandbox, &scope, fault))
        return false;
    bool ok = execution_scope(execution, scope, fault) &&
              lock_context_offer(execution->runtime->sandbox, scope, fault) &&
              expression_evaluate(context, scope, fault);
    if (ok) {
        ok = lock_context_read(L, -1, execution->runtime->schema, &execution->locks, fault);
        lua_pop(L, 1);
        if (!ok)
            fault_prefix(fault, "%s:%d: lock-context", execution->workflow->definition->file,
                         execution_activity(execution)->lock_context.line);
    }
    scope_free(scope);
    return ok;
}

/* A field that is null is an absent one: `input.name == nil`. The object itself where there is
 * none. */
static json_t *without_nulls(const json_t *input)
{
    const char *name;
    json_t *value;
    void *next;
    json_t *copy = NULL;
    bool any = false;
    json_object_foreach((json_t *)input, name, value)
    {
        any = any || json_is_null(value);
    }
    if (!any)
        return json_incref((json_t *)input);
    copy = json_copy((json_t *)input);
    json_object_foreach_safe(copy, next, name, value)
    {
        if (json_is_null(value))
            json_object_del(copy, name);
    }
    return copy;
}

static bool input_can_be_kept(const struct execution *execution, struct fault *fault)
{
    return !json_has_zero(execution->input) ||
           fault_set(fault, FAULT_INVALID,
                     "input holds a zero character (U+0000), which PostgreSQL cannot store");
}

bool execution_new(struct runtime *runtime, const struct submission *submission,
                   struct execution **out, bool *refused, struct fault *fault)
{
    struct workflow *workflow = submission->workflow;
    struct execution *execution = calloc(1, sizeof *execution);
    json_t *input = without_nulls(submission->input);
    struct fault why;
    if (!execution || !input) {
        free(execution);
        json_decref(input);
        return fault_no_memory(fault);
    }
    execution->runtime = runtime;
    execution->workflow = workflow;
    execution->plan = &workflow->activities[workflow->definition->start];
    execution->input = input;
    LIST_INSERT_HEAD(&runtime->executions, execution, everyone);
    runtime->n_running++;
    execution->done = submission->done;
    execution->arg = submission->arg;
    execution->submitted_us = clock_monotonic_us();
    const struct activity *activity = execution_activity(execution);
    execution->acquire_until_us = execution->submitted_us + activity->acquire_timeout_ms * 1000;
    execution->run_until_us = execution->acquire_until_us + activity->waiting_timeout_ms * 1000;
    if (submission->id)
        strncpy(execution->id, submission->id, sizeof execution->id - 1);
    else
        uuid_draw(&runtime->uuids, execution->id);
    *refused = !input_can_be_kept(execution, &why) ||
               !definition_check_input(workflow->definition, execution->input, &why) ||
               (activity->exclusive_lock && !evaluate_lock(execution, &why));
    if (*refused && why.kind == FAULT_EXHAUSTED) {
        execution_free(execution);
        *fault = why;
        return false;
    }
    if (*refused)
        execution_set_outcome(execution, STATUS_INVALID, why.text);
    *out = execution;
    return true;
}

void execution_free(struct execution *execution)
{
    if (!execution)
        return;
    if (event_initialized(&execution->timer))
        event_del(&execution->timer);
    if (execution->ticket)
        lock_queue_leave(execution->ticket);
    LIST_REMOVE(execution, everyone);
    execution->runtime->n_running--;
    lock_set_free(execution->locks);
    json_decref(execution->input);
    json_decref(execution->output);
    free(execution->reason);
    free(execution);
}

void execution_answer(struct execution *execution)
{
    const char *paths[LOCK_SET_PATHS_MAX];
    int n_paths = 0;
    for (; execution->locks && n_paths < lock_set_n_paths(execution->locks); n_paths++)
        paths[n_paths] = lock_set_path(execution->locks, n_paths);
    int64_t until_us = execution->granted_us ? execution->granted_us : execution->ended_us;
    bool kept = execution_status_row(execution->status)->keeps_changes;
    struct result result = {
        .workflow = execution->workflow->definition->name,
        .version = execution->workflow->version,
        .activity = execution_activity(execution)->name,
        .status = execution->status,
        .output = kept ? execution->output : NULL,
        .reason = execution->reason ? execution->reason : "",
        .paths = paths,
        .n_paths = n_paths,
        .waited_us = until_us - execution->submitted_us,
        .held_us = execution->granted_us ? execution->ended_us - execution->granted_us : 0,
        .attempts = execution->attempts,
    };
    memcpy(result.id, execution->id, sizeof result.id);
    if (execution->done)
        execution->done(&result, execution->arg);
    execution_free(execution);
}

void execution_add_paths(const struct execution *execution, struct text *out)
{
    for (int i = 0; execution->locks && i < lock_set_n_paths(execution->locks); i++) {
        if (i)
            text_add_char(out, '\n');
        text_add_chars(out, lock_set_path(execution->locks, i));
    }
}
