/*
 * A native action in the place of a script: it runs alone in its transaction, and the loop goes on
 * until it ends or its time is over. Its end is taken from the loop, never inside its own call.
 */
#include "action_run.h"
#include "batch_state.h"
#include "clock.h"
#include "runtime_state.h"

#include <event2/event.h>

static void on_ended(void *arg)
{
    struct batch *batch = arg;
    batch->wake_us = 0;
    event_active(batch->timer, EV_TIMEOUT, 0);
}

static void drop(struct batch *batch, const struct fault *fault)
{
    member_drop_for_fault(batch->running, fault);
    batch_end_running(batch);
    batch_leave(batch);
}

void batch_act(struct batch *batch)
{
    struct script *script = batch->running->script;
    const struct execution *execution = batch->running->execution;
    const struct activity *activity = execution_activity(execution);
    struct action *action = NULL;
    struct fault fault;
    void *arg = NULL;
    action_fn *fn = action_run_find(batch->runtime, activity->action, &arg);
    if (!fn) {
        fault_set(&fault, FAULT_INVALID, "%s:%d: action '%s' is not registered with this host",
                  execution->workflow->definition->file, activity->action_line, activity->action);
        drop(batch, &fault);
        return;
    }
    if (!script_act(script, batch->deadline_us, &action, &fault)) {
        drop(batch, &fault);
        return;
    }
    action->ended = on_ended;
    action->ended_arg = batch;
    batch->wake_us = batch->deadline_us;
    struct timeval left = clock_timeval_us(batch->deadline_us - clock_monotonic_us());
    event_add(batch->timer, &left);
    fn(action, arg);
}
