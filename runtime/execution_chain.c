#include "execution_chain.h"

#include "clock.h"
#include "runtime_state.h"

#include <stdlib.h>

enum {
    PATHS_BYTES_MAX = 1 << 20,
    SET_PATHS_MAX = 2 * LOCK_SET_PATHS_MAX + 8, /* two sets with latchkey's own */
};

bool execution_chain_continues(const struct execution *execution)
{
    const struct activity *activity = execution_activity(execution);
    const struct instance_next *next = &execution->instance.next;
    const struct activity_plan *after = &execution->workflow->activities[next->activity];
    if (activity->auto_commit || activity->persist_on_close || next->step != STEP_GOES_ON)
        return false;
    /* taking a lease is a commit point, and so is its end */
    return !execution->token && !activity_plan_takes_lease(after);
}

static struct execution_chain *begin(struct execution *execution)
{
    struct execution_chain *chain = calloc(1, sizeof *chain);
    if (!chain)
        return NULL;
    chain->first_plan = execution->plan;
    chain->vars = json_incref(execution->instance.vars);
    chain->output = json_incref(execution->instance.output);
    chain->event = execution->event;
    chain->steps = execution->instance.steps;
    chain->submitted_us = execution->submitted_us;
    chain->first_locks = execution->locks;
    execution->event = NULL;
    execution->locks = NULL;
    execution->chain = chain;
    return chain;
}

static bool add_link(struct execution_chain *chain, const struct execution *execution)
{
    struct text paths;
    struct execution_link *links =
        realloc(chain->links, (size_t)(chain->n_links + 1) * sizeof *links);
    if (!links)
        return false;
    chain->links = links;
    text_init(&paths, PATHS_BYTES_MAX);
    execution_add_paths(execution, &paths);
    text_add(&paths, "", 0);
    links[chain->n_links] = (struct execution_link){
        .activity = execution_activity(execution),
        .paths = paths.length ? text_take(&paths) : NULL,
        .waited_us = execution->granted_us - execution->submitted_us,
        .granted_us = execution->granted_us,
        .ended_us = clock_monotonic_us(),
        .attempts = execution->attempts,
    };
    bool ok = !paths.failed;
    text_done(&paths);
    chain->n_links++;
    return ok;
}

bool execution_chain_step(struct execution *execution, struct fault *fault)
{
    struct instance *instance = &execution->instance;
    int next = instance->next.activity;
    struct lock_set *locks = execution->locks;
    bool is_first = !execution->chain;
    struct execution_chain *chain = is_first ? begin(execution) : execution->chain;
    if (!chain)
        return fault_no_memory(fault);
    execution->locks = locks; /* its paths are those of the link */
    bool ok = add_link(chain, execution);
    execution->locks = NULL;
    if (!is_first)
        lock_set_free(locks);
    if (!ok)
        return fault_no_memory(fault);
    json_decref(instance->vars);
    instance->vars = instance->next.vars;
    instance->next.vars = NULL;
    if (instance->next.output) {
        json_decref(instance->output);
        instance->output = instance->next.output;
        instance->next.output = NULL;
    }
    instance->steps++;
    execution->plan = &execution->workflow->activities[next];
    execution->submitted_us = clock_monotonic_us();
    return true;
}

bool execution_chain_learn(struct execution *execution, const struct lock_set *set,
                           struct fault *fault)
{
    struct execution_chain *chain = execution->chain;
    const struct lock_set *sets[] = {chain->learnt ? chain->learnt : chain->first_locks, set};
    struct lock_path *paths[SET_PATHS_MAX];
    struct lock_set *joined = NULL;
    int n = 0;
    bool ok = true;
    for (int s = 0; s < 2; s++)
        for (int i = 0; ok && sets[s] && i < lock_set_n_paths(sets[s]); i++) {
            ok = n < SET_PATHS_MAX
                     ? lock_path_parse(lock_set_path(sets[s], i), &paths[n], fault)
                     : fault_set(fault, FAULT_INVALID, "more than %d paths", LOCK_SET_PATHS_MAX);
            n += ok;
        }
    ok = ok && (n == 0 || lock_set_new(paths, n, execution->runtime->schema, &joined, fault));
    while (n > 0)
        lock_path_free(paths[--n]);
    if (!ok)
        return fault_prefix(fault, "the activities from '%s' on, which commit together",
                            chain->first_plan->activity->name);
    lock_set_free(chain->learnt);
    chain->learnt = joined;
    return true;
}

static void drop_links(struct execution_chain *chain)
{
    for (int i = 0; i < chain->n_links; i++)
        free(chain->links[i].paths);
    free(chain->links);
    chain->links = NULL;
    chain->n_links = 0;
}

void execution_chain_rewind(struct execution *execution)
{
    struct execution_chain *chain = execution->chain;
    if (!chain)
        return;
    lock_set_free(execution->locks);
    execution->locks = chain->first_locks;
    chain->first_locks = NULL;
    if (chain->learnt) {
        lock_set_free(execution->next_locks);
        execution->next_locks = chain->learnt;
        execution->has_learnt = true;
        chain->learnt = NULL;
    }
    execution->plan = chain->first_plan;
    execution->submitted_us = chain->submitted_us;
    execution->instance.steps = chain->steps;
    json_decref(execution->instance.vars);
    json_decref(execution->instance.output);
    json_decref(execution->event);
    execution->instance.vars = chain->vars;
    execution->instance.output = chain->output;
    execution->event = chain->event;
    chain->vars = chain->output = chain->event = NULL;
    execution->chain = NULL;
    execution_chain_free(chain);
}

void execution_chain_free(struct execution_chain *chain)
{
    if (!chain)
        return;
    drop_links(chain);
    json_decref(chain->vars);
    json_decref(chain->output);
    json_decref(chain->event);
    lock_set_free(chain->first_locks);
    lock_set_free(chain->learnt);
    free(chain);
}
