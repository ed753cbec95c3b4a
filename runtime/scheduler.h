/*
 * Who runs next, and on which connection. Executions wait here without a connection; batches come
 * with one and take what is ready.
 *
 *   turn in the lock queue --> PLAIN, ALONE or LEASING --> batch (a try) --> done
 *                                      ^                      |
 *                                      |        refused       |
 *                                      +-- DELAYED, SLOT, LEASED
 *
 * - DELAYED: a few milliseconds, while it has been refused for a short time.
 * - SLOT: refused for longer. It joins PostgreSQL's own queue on one of the few waiter connections;
 *   who had the fewest turns there comes first.
 * - LEASED: refused for a lease, until one ends, this one expires, or the slow poll.
 */
#pragma once
#include "execution.h"

struct batch;
struct scheduler;

/* What a batch is for; decides what it takes when its connection comes. */
enum batch_kind {
    BATCH_PLAIN, /* many executions, tried */
    BATCH_ALONE, /* one execution, tried */
    BATCH_WAIT, /* one execution, waiting in PostgreSQL; then all that stand behind it and it covers
                 */
};

MUST_CHECK bool scheduler_new(struct runtime *runtime, struct scheduler **out, struct fault *fault);
void scheduler_free(struct scheduler *scheduler);

/* Puts a prepared execution into the queues. Without memory its outcome is failed. */
void scheduler_add(struct scheduler *scheduler, struct execution *execution);

/* Adds to a batch what is ready for its kind, by batch_admit, within its limits. */
void scheduler_fill(struct scheduler *scheduler, struct batch *batch);

/* A BATCH_WAIT has its locks, or a batch of one stays long: its place is free for another. Returns
 * what it is from now on. */
enum batch_kind scheduler_becomes(struct scheduler *scheduler, enum batch_kind was,
                                  const struct execution *head);

/* After the grant of a BATCH_WAIT: adds those behind `head` whose locks it covers. */
void scheduler_fill_covered(struct scheduler *scheduler, struct batch *batch,
                            struct execution *head);

/* And then whatever is ready, for the transaction to try its locks. */
void scheduler_fill_joining(struct scheduler *scheduler, struct batch *batch);

/* A batch gives an execution back. It keeps its place. Give members back the last first. */
void scheduler_refused(struct scheduler *scheduler, struct execution *execution);
void scheduler_refused_by_lease(struct scheduler *scheduler, struct execution *execution,
                                int64_t lease_us);
void scheduler_again(struct scheduler *scheduler, struct execution *execution, int64_t delay_us);

/* The same, but it gives up its place: it waits for something that those behind it may bring. */
void scheduler_step_aside(struct scheduler *scheduler, struct execution *execution,
                          int64_t delay_us);

/* An execution of this host has taken a lease (1), or is over with it (-1). */
void scheduler_count_lease(struct scheduler *scheduler, int change);

/* Some lease has ended: who waits for one tries now. */
void scheduler_lease_ended(struct scheduler *scheduler);

/* How many stand in a line. */
int scheduler_n_in_line(const struct scheduler *scheduler, enum ready_line line);

/* True while this machine is short of processors: see crowding.h. */
bool scheduler_is_crowded(const struct scheduler *scheduler);

/* How long a BATCH_WAIT may wait now. */
int64_t scheduler_wait_budget_us(const struct scheduler *scheduler,
                                 const struct execution *execution);

/* Whether enough stand ready or behind those of a batch that is over to fill the next one: then
 * that begins before these are answered, and the server works meanwhile. */
bool scheduler_next_is_full(const struct scheduler *scheduler, const struct batch *batch);

/* Begins what may begin, not later but now. Asks for connections only: nobody is called. */
void scheduler_go(struct scheduler *scheduler);

/* A batch is over (fault NULL), or got no connection and took nothing (fault says why). */
void scheduler_batch_ended(struct scheduler *scheduler, enum batch_kind kind,
                           const struct fault *fault);
