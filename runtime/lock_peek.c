#include "lock_peek.h"

#include "batch_fault.h"
#include "declared_data.h"
#include "errand.h"
#include "execution_lock.h"
#include "runtime_state.h"
#include "scheduler.h"

#include <event2/event.h>
#include <stdlib.h>

enum {
    TOGETHER_MAX = 128,
    REGION_BYTES_MAX = 64 << 20,
    CONNECTION_WAIT_US = 10 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    LOST_MAX = 20, /* more connections than a pool has that was broken at once */
};

struct peeked {
    struct execution *execution;
    int *slots;
    struct peeked *next;
};

/* One pipeline of loads, for those that came in one turn of the loop. */
struct lock_peek {
    struct runtime *runtime;
    struct region region;
    struct batch_rows *rows;
    struct peeked *all, **all_end;
    int n;
    int n_lost; /* connections */
    bool sent;
    struct event *go;
    struct errand *errand;
    LIST_ENTRY(lock_peek) link;
};

static void free_peek(struct lock_peek *peek)
{
    LIST_REMOVE(peek, link);
    errand_cancel(peek->errand);
    if (peek->go)
        event_free(peek->go);
    batch_rows_free(peek->rows);
    region_done(&peek->region);
    free(peek);
}

static void end_execution(struct runtime *runtime, struct execution *execution,
                          const struct fault *fault)
{
    enum execution_status status = STATUS_FAILED;
    if (fault->kind == FAULT_INVALID || batch_fault_meaning(fault) == MEANS_SCHEMA)
        status = STATUS_INVALID;
    if (fault->kind == FAULT_MISSING)
        status = STATUS_MISSING;
    execution_set_outcome(execution, status, fault->text);
    runtime_conclude(runtime, execution, /* recorded= */ false);
}

static void end_all(struct lock_peek *peek, const struct fault *fault)
{
    struct runtime *runtime = peek->runtime;
    for (struct peeked *peeked = peek->all; peeked; peeked = peeked->next)
        if (peeked->execution)
            end_execution(runtime, peeked->execution, fault);
    free_peek(peek);
}

/* Its rows are there: which lock is it? */
static bool evaluate(struct lock_peek *peek, struct peeked *peeked, struct fault *fault)
{
    struct execution *execution = peeked->execution;
    struct script *script = NULL;
    struct lock_set *set = NULL;
    if (!script_new(execution, &peek->region, peek->rows, &script, fault))
        return false;
    bool ok = declared_data_bind(execution, script, peek->rows, peeked->slots, fault) &&
              script_lock(script, &set, fault) && execution_lock_join(execution, &set, fault);
    script_free(script);
    if (!ok)
        return false;
    lock_set_free(execution->locks);
    execution->locks = set;
    return true;
}

static void load(struct lock_peek *peek);

static void on_loaded(struct pg_answer *answer, void *arg)
{
    struct lock_peek *peek = arg;
    struct runtime *runtime = peek->runtime;
    struct fault fault;
    peek->errand = NULL;
    if (answer->connection_lost && !answer->nothing_sent && peek->n_lost++ < LOST_MAX) {
        load(peek);
        return;
    }
    if (answer->fault.kind) {
        end_all(peek, &answer->fault);
        return;
    }
    if (!batch_rows_read_loads(peek->rows, answer->results, &fault)) {
        end_all(peek, &fault);
        return;
    }
    for (struct peeked *peeked = peek->all; peeked; peeked = peeked->next) {
        struct execution *execution = peeked->execution;
        if (!execution)
            continue;
        if (evaluate(peek, peeked, &fault))
            scheduler_add(runtime->scheduler, execution);
        else
            end_execution(runtime, execution, &fault);
    }
    free_peek(peek);
}

static void want_all(struct lock_peek *peek)
{
    struct fault fault;
    for (struct peeked *peeked = peek->all; peeked; peeked = peeked->next) {
        struct execution *execution = peeked->execution;
        if (declared_data_want(execution, &peek->region, peek->rows, &peeked->slots, &fault))
            continue;
        peeked->execution = NULL;
        end_execution(peek->runtime, execution, &fault);
    }
}

static void load(struct lock_peek *peek)
{
    struct fault fault;
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (pipeline)
        batch_rows_add_loads(peek->rows, pipeline);
    if (!batch_rows_ok(peek->rows, &fault)) {
        pg_pipeline_free(pipeline);
        end_all(peek, &fault);
    } else if (!errand_start(peek->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US,
                             ANSWER_US, on_loaded, peek, &peek->errand, &fault)) {
        end_all(peek, &fault);
    }
}

static void on_go(evutil_socket_t fd, short what, void *arg)
{
    struct lock_peek *peek = arg;
    (void)fd;
    (void)what;
    peek->sent = true;
    want_all(peek);
    load(peek);
}

static struct lock_peek *new_peek(struct runtime *runtime)
{
    struct lock_peek *peek = calloc(1, sizeof *peek);
    if (!peek)
        return NULL;
    peek->runtime = runtime;
    peek->all_end = &peek->all;
    region_init(&peek->region, REGION_BYTES_MAX);
    LIST_INSERT_HEAD(&runtime->peeks, peek, link);
    peek->rows = batch_rows_new(&peek->region);
    peek->go = event_new(runtime->base, -1, 0, on_go, peek);
    if (!peek->rows || !peek->go) {
        free_peek(peek);
        return NULL;
    }
    event_active(peek->go, EV_TIMEOUT, 0);
    return peek;
}

void lock_peek_start(struct runtime *runtime, struct execution *execution)
{
    struct lock_peek *peek = LIST_FIRST(&runtime->peeks);
    struct fault fault;
    if (!peek || peek->sent || peek->n >= TOGETHER_MAX)
        peek = new_peek(runtime);
    struct peeked *peeked = peek ? region_take(&peek->region, sizeof *peeked) : NULL;
    if (!peeked) {
        fault_no_memory(&fault);
        end_execution(runtime, execution, &fault);
        return;
    }
    execution->state = EXECUTION_PREPARING;
    peeked->execution = execution;
    *peek->all_end = peeked;
    peek->all_end = &peeked->next;
    peek->n++;
}

void lock_peek_abandon_all(struct runtime *runtime)
{
    while (!LIST_EMPTY(&runtime->peeks))
        free_peek(LIST_FIRST(&runtime->peeks));
}
