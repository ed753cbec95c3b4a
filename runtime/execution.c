#include "execution.h"

#include "clock.h"
#include "execution_chain.h"
#include "execution_lock.h"
#include "runtime_state.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

const struct activity *execution_activity(const struct execution *execution)
{
    return execution->plan->activity;
}

bool execution_takes_lease(const struct execution *execution)
{
    return !execution->parks && activity_plan_takes_lease(execution->plan);
}

void execution_set_outcome(struct execution *execution, enum execution_status status,
                           const char *reason)
{
    char *copy = reason && *reason ? strdup(reason) : NULL; /* it may be the present one */
    execution->status = status;
    execution->cause = CAUSE_DATABASE;
    free(execution->reason);
    execution->reason = copy;
    execution->ended_us = clock_monotonic_us();
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

bool execution_check_input(const struct definition *definition, const json_t *input,
                           struct fault *fault)
{
    if (json_has_zero(input))
        return fault_set(fault, FAULT_INVALID,
                         "input holds a zero character (U+0000), which PostgreSQL cannot store");
    json_t *present = without_nulls(input);
    bool ok = present ? definition_check_input(definition, present, fault) : fault_no_memory(fault);
    json_decref(present);
    return ok;
}

void execution_renew_time(struct execution *execution)
{
    const struct activity *about = execution_activity(execution);
    execution->acquire_until_us = clock_monotonic_us() + about->acquire_timeout_ms * 1000;
    execution->run_until_us = execution->acquire_until_us + about->waiting_timeout_ms * 1000;
}

/* Puts it before an activity. False with what is wrong with its lock context. */
static bool stand_before(struct execution *execution, int activity, struct fault *why)
{
    execution->plan = &execution->workflow->activities[activity];
    const struct activity *about = execution_activity(execution);
    execution->parks = execution->origin == ORIGIN_START && execution->first && about->wait_for;
    execution->submitted_us = clock_monotonic_us();
    execution_renew_time(execution);
    return execution_lock_evaluate(execution, why);
}

static struct execution *new_execution(struct runtime *runtime, struct workflow *workflow,
                                       runtime_done_fn *done, void *arg)
{
    struct execution *execution = calloc(1, sizeof *execution);
    if (!execution)
        return NULL;
    execution->runtime = runtime;
    execution->workflow = workflow;
    execution->first = true;
    execution->done = done;
    execution->arg = arg;
    TAILQ_INSERT_TAIL(&runtime->executions, execution, by_time);
    runtime->n_running++;
    return execution;
}

/* Its outcome if why says that it may not run. False only for memory. */
static bool refuse(struct execution *execution, const struct fault *why, struct fault *fault)
{
    if (why->kind == FAULT_EXHAUSTED) {
        execution_free(execution);
        *fault = *why;
        return false;
    }
    execution_set_outcome(execution, STATUS_INVALID, why->text);
    return true;
}

/* Most executions have none: it costs those that wait nothing. */
static bool keep_caller(struct execution *execution, const struct log_caller *caller)
{
    if (!caller)
        return true;
    execution->caller = malloc(sizeof *execution->caller);
    if (execution->caller)
        *execution->caller = *caller;
    return execution->caller != NULL;
}

bool execution_new(struct runtime *runtime, const struct submission *submission,
                   struct execution **out, bool *refused, struct fault *fault)
{
    struct workflow *workflow = submission->workflow;
    struct execution *execution =
        new_execution(runtime, workflow, submission->done, submission->arg);
    struct fault why;
    if (!execution)
        return fault_no_memory(fault);
    execution->origin = ORIGIN_START;
    execution->plan = &workflow->activities[workflow->definition->start];
    execution->input = without_nulls(submission->input);
    if (!execution->input) {
        execution_free(execution);
        return fault_no_memory(fault);
    }
    execution->alone = submission->alone;
    if (submission->key && !(execution->key = strdup(submission->key))) {
        execution_free(execution);
        return fault_no_memory(fault);
    }
    if (!keep_caller(execution, submission->caller)) {
        execution_free(execution);
        return fault_no_memory(fault);
    }
    if (submission->job)
        strncpy(execution->job, submission->job, sizeof execution->job - 1);
    if (submission->id)
        strncpy(execution->id, submission->id, sizeof execution->id - 1);
    else
        uuid_draw(&runtime->uuids, execution->id);
    *refused = !execution_check_input(workflow->definition, execution->input, &why) ||
               !stand_before(execution, workflow->definition->start, &why);
    if (*refused && !refuse(execution, &why, fault))
        return false;
    *out = execution;
    return true;
}

static int activity_index(const struct definition *definition, const char *name)
{
    const struct activity *activity = definition_activity(definition, name);
    return activity ? (int)(activity - definition->activities) : -1;
}

bool execution_new_of_instance(struct runtime *runtime, const struct execution_of_instance *about,
                               struct execution **out, bool *refused, struct fault *fault)
{
    struct execution *execution = new_execution(runtime, about->workflow, about->done, about->arg);
    struct fault why;
    if (!execution) {
        struct instance dropped = about->instance;
        instance_done(&dropped);
        return fault_no_memory(fault);
    }
    int activity = activity_index(about->workflow->definition, about->activity);
    strncpy(execution->id, about->id, sizeof execution->id - 1);
    execution->origin = about->origin;
    execution->input = json_incref(about->input);
    execution->event = about->event ? json_incref(about->event) : NULL;
    execution->instance = about->instance;
    execution->plan = &about->workflow->activities[activity < 0 ? 0 : activity];
    execution->alone = about->alone;
    if (about->key && !(execution->key = strdup(about->key))) {
        execution_free(execution);
        return fault_no_memory(fault);
    }
    if (!keep_caller(execution, about->caller)) {
        execution_free(execution);
        return fault_no_memory(fault);
    }
    if (about->job)
        strncpy(execution->job, about->job, sizeof execution->job - 1);
    *refused = activity < 0 ? !fault_set(&why, FAULT_INVALID, "version %d has no activity '%s'",
                                         about->workflow->version, about->activity)
                            : !stand_before(execution, activity, &why);
    if (*refused && !refuse(execution, &why, fault))
        return false;
    *out = execution;
    return true;
}

bool execution_wants_group(const struct execution *execution)
{
    return execution->locks &&
           (lock_set_n_paths(execution->locks) > 1 || execution->tries_as_group);
}

void execution_leave_queue(struct execution *execution)
{
    if (event_initialized(&execution->timer))
        event_del(&execution->timer);
    if (execution->ticket) {
        struct lock_ticket *ticket = execution->ticket;
        execution->ticket = NULL;
        lock_queue_leave(ticket);
    }
}

static void reset_for_next(struct execution *execution)
{
    execution_leave_queue(execution);
    execution_chain_free(execution->chain);
    execution->chain = NULL;
    execution->has_learnt = false;
    json_decref(execution->event);
    execution->event = NULL;
    execution->first = execution->alone = execution->looked_anew = execution->out_of_time = false;
    execution->attempts = execution->failures = execution->n_relocks = execution->polls =
        execution->slices = 0;
    execution->refused_since_us = execution->granted_us = execution->token = 0;
    free(execution->reason);
    execution->reason = NULL;
}

bool execution_committed(struct execution *execution, bool *refused)
{
    const struct definition *definition = execution->workflow->definition;
    struct instance *instance = &execution->instance;
    struct fault why;
    bool stored = instance->next.step != STEP_ENDS;
    int activity = instance->next.activity;
    instance->steps += execution->parks ? 0 : 1;
    instance_adopt(instance, stored);
    *execution->job = '\0';
    *refused = false;
    if (instance->next.step != STEP_GOES_ON)
        return false;
    reset_for_next(execution);
    if (instance->steps >= definition->max_steps) {
        execution->plan = &execution->workflow->activities[activity];
        execution_set_outcome(execution, STATUS_FAILED,
                              "it has run as many activities as max-steps allows");
        execution->cause = CAUSE_SCRIPT;
        *refused = true;
    } else if (!stand_before(execution, activity, &why)) {
        execution_set_outcome(
            execution, why.kind == FAULT_EXHAUSTED ? STATUS_FAILED : STATUS_INVALID, why.text);
        *refused = true;
    }
    return true;
}

void execution_free(struct execution *execution)
{
    if (!execution)
        return;
    execution_leave_queue(execution);
    execution_chain_free(execution->chain);
    TAILQ_REMOVE(&execution->runtime->executions, execution, by_time);
    execution->runtime->n_running--;
    lock_set_free(execution->locks);
    lock_set_free(execution->next_locks);
    json_decref(execution->input);
    json_decref(execution->event);
    json_decref(execution->recorded);
    free(execution->key);
    free(execution->caller);
    instance_done(&execution->instance);
    free(execution->reason);
    free(execution);
}

int execution_paths(const struct execution *execution, const char **texts)
{
    int n = 0;
    for (int i = 0; execution->locks && i < lock_set_n_paths(execution->locks); i++)
        if (*lock_set_path(execution->locks, i) != '$')
            texts[n++] = lock_set_path(execution->locks, i);
    return n;
}

void execution_describe(const struct execution *execution, const char **paths,
                        struct result *result)
{
    int64_t until_us = execution->granted_us ? execution->granted_us : execution->ended_us;
    bool kept = execution_status_row(execution->status)->keeps_changes;
    *result = (struct result){
        .workflow = execution->workflow->definition->name,
        .version = execution->workflow->version,
        .activity = execution_activity(execution)->name,
        .status = execution->status,
        .output = kept ? execution->instance.output : NULL,
        .reason = execution->reason ? execution->reason : "",
        .paths = paths,
        .n_paths = execution_paths(execution, paths),
        .token = execution->token,
        .waited_us = until_us - execution->submitted_us,
        .held_us = execution->granted_us ? execution->ended_us - execution->granted_us : 0,
        .attempts = execution->attempts,
        .cause = execution->cause,
        .job_lost = execution->job_lost,
        .overtaken = execution->overtaken && execution->first,
    };
    memcpy(result->id, execution->id, sizeof result->id);
}

/* What the key's row has is told to everybody alike. */
static bool describe_recorded(const struct execution *execution, const char **paths,
                              struct result *result)
{
    struct fault ignored;
    bool kept = execution_status_row(execution->status)->keeps_changes;
    if (!execution->recorded || !kept ||
        !result_read(execution->recorded, paths, LOCK_SET_PATHS_MAX, result, &ignored))
        return false;
    result->replayed = execution->replayed;
    return true;
}

void execution_log(const struct execution *execution, enum log_level level, const char *part,
                   const char *text)
{
    static const struct log_caller nobody = {.request_id = ""};
    const struct log *log = execution->runtime->options.log;
    const struct log_caller *caller = execution->caller ? execution->caller : &nobody;
    const struct log_field fields[] = {
        {.name = "workflow", .text = execution->workflow->definition->name},
        {.name = "activity", .text = execution_activity(execution)->name},
        {.name = "instance", .text = execution->id},
        {.name = "job", .text = execution->job},
        {.name = "request_id", .text = caller->request_id},
        {.name = "trace_id", .text = caller->trace_id},
    };
    if (log)
        log_fields(log, level, part, fields, (int)(sizeof fields / sizeof *fields), "%s", text);
}

void execution_answer(struct execution *execution)
{
    const char *paths[LOCK_SET_PATHS_MAX];
    struct result result;
    if (!describe_recorded(execution, paths, &result))
        execution_describe(execution, paths, &result);
    runtime_count(execution->runtime, &result);
    if (execution->done)
        execution->done(&result, execution->arg);
    execution_free(execution);
}

void execution_add_paths(const struct execution *execution, struct text *out)
{
    const char *paths[LOCK_SET_PATHS_MAX];
    int n_paths = execution_paths(execution, paths);
    for (int i = 0; i < n_paths; i++) {
        if (i)
            text_add_char(out, '\n');
        text_add_chars(out, paths[i]);
    }
}
