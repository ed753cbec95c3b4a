#include "key_follow.h"

#include "clock.h"
#include "runtime_state.h"

#include <stdlib.h>
#include <string.h>

struct key_follow {
    struct runtime *runtime;
    struct workflow *workflow;
    char *key;
    struct log_caller *caller;
    json_t *input;
    int64_t until_us; /* what changes under us is looked at anew until then */
    runtime_done_fn *done;
    void *arg;
};

static void free_follow(struct key_follow *follow)
{
    json_decref(follow->input);
    free(follow->key);
    free(follow->caller);
    free(follow);
}

/* Somebody else went on with it meanwhile: the key is asked again. */
static bool ask_again(const struct key_follow *follow)
{
    struct fault ignored;
    struct submission submission = {.workflow = follow->workflow,
                                    .input = follow->input,
                                    .key = follow->key,
                                    .caller = follow->caller,
                                    .done = follow->done,
                                    .arg = follow->arg};
    return clock_monotonic_us() < follow->until_us && !follow->runtime->stopping &&
           runtime_submit(follow->runtime, &submission, &ignored);
}

static void on_done(const struct result *result, void *arg)
{
    struct key_follow *follow = arg;
    bool raced = result->status == STATUS_BLOCKED && (result->attempts == 0 || result->overtaken);
    if ((!raced || !ask_again(follow)) && follow->done)
        follow->done(result, follow->arg);
    free_follow(follow);
}

bool key_follow(struct execution *execution)
{
    struct fault ignored;
    struct key_follow *follow = calloc(1, sizeof *follow);
    if (!follow)
        return false;
    *follow = (struct key_follow){.runtime = execution->runtime,
                                  .workflow = execution->workflow,
                                  .key = execution->key,
                                  .input = json_incref(execution->input),
                                  .until_us = execution->run_until_us,
                                  .caller = execution->caller,
                                  .done = execution->done,
                                  .arg = execution->arg};
    struct delivery delivery = {
        .instance = execution->follow, .caller = execution->caller, .done = on_done, .arg = follow};
    if (!runtime_deliver(execution->runtime, &delivery, &ignored)) {
        follow->key = NULL;
        follow->caller = NULL;
        free_follow(follow);
        return false;
    }
    execution->key = NULL;
    execution->caller = NULL;
    execution_free(execution);
    return true;
}
