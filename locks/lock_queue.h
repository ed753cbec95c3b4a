/*
 * The queues of one process: executions with conflicting paths keep their order, whether the paths
 * are equal or one is a prefix of the other. One PostgreSQL session never excludes itself, so the
 * order inside a process is kept here, before any database lock is tried. Pure: no database.
 *
 * A ticket stands in the queue of every entry of its lock set: shared on the prefixes, exclusive on
 * the paths, as a hierarchy of locks does (Gray et al., "Granularity of Locks in a Shared Data
 * Base", 1975, with shared prefixes as intention locks). A batch (a database transaction) takes
 * tickets; those ahead of a ticket must be out of the way or in the same batch:
 *
 *   WAITING --lock_queue_take(batch)--> TAKEN --lock_queue_put_back--> WAITING (its old place)
 *      \________________________lock_queue_leave____/
 *
 * Costs: joining, taking, putting back and leaving touch each entry of the ticket once; leaving
 * also touches the entries that come to their turn by it, each once in its life. Nothing else is
 * proportional to the length of a queue.
 *
 * What stands in a queue is the advisory key, as in the database: of two paths with one key each
 * counts as the other.
 */
#pragma once
#include "lock_set.h"

struct lock_queue;
struct lock_ticket;

/* *out is yours to lock_queue_free, after all tickets left. */
MUST_CHECK bool lock_queue_new(struct lock_queue **out, struct fault *fault);
void lock_queue_free(struct lock_queue *queue);

/* Called for a waiting ticket that comes to its turn because another one left: nothing conflicting,
 * taken or waiting, is ahead of it any more. This happens at most once to a ticket and stays true.
 * A ticket that was taken at that moment is not announced: ask lock_ticket_has_turn after
 * lock_queue_put_back, as after lock_queue_join, since neither calls this function. It may call
 * everything here except lock_queue_free; the ticket that was leaving is gone already. */
typedef void lock_queue_turn_fn(struct lock_ticket *ticket, void *arg);
void lock_queue_on_turn(struct lock_queue *queue, lock_queue_turn_fn *turn, void *arg);

/* Puts a ticket at the end of all its queues. set is lent for the call, owner is kept.
 * Ask lock_ticket_has_turn after. Fails with FAULT_EXHAUSTED, and has then changed nothing. */
MUST_CHECK bool lock_queue_join(struct lock_queue *queue, const struct lock_set *set, void *owner,
                                struct lock_ticket **out, struct fault *fault);

/* True if the ticket waits and nothing conflicting, taken or waiting, is ahead of it. */
bool lock_ticket_has_turn(const struct lock_ticket *ticket);

/* True if the ticket waits and everything conflicting ahead of it is taken by `batch` itself; so
 * always at its turn. batch is compared, never looked into, and not NULL. */
bool lock_ticket_can_join(const struct lock_ticket *ticket, const void *batch);

/* A waiting ticket behind this one on one of its own paths, thus in conflict with it; NULL if there
 * is none. On each path the candidate is the first waiting one: no other that waits and conflicts
 * with it there stands between (of descendants of the path that do not conflict with each other,
 * any may come first). Of the candidates it is the one that joined earliest. Whether it can join a
 * batch is another question: it may also stand behind others on its other paths.
 * Constant time for each path if the ticket is taken or has its turn. To fill a batch, ask the same
 * ticket again and again, since the next one may stand there as a descendant:
 *
 *     while ((next = lock_ticket_next(head)) && lock_ticket_can_join(next, batch))
 *         lock_queue_take(next, batch);
 */
struct lock_ticket *lock_ticket_next(const struct lock_ticket *ticket);

/* Takes a waiting ticket into a batch; lock_ticket_can_join must hold. The batch is forgotten with
 * its last ticket: a later one may have the same address. */
void lock_queue_take(struct lock_ticket *ticket, const void *batch);

/* Gives a taken ticket its old place back. Conflicting tickets behind it that the same batch took
 * must be put back before, the last first. */
void lock_queue_put_back(struct lock_ticket *ticket);

/* Leaves all queues and frees the ticket, taken or waiting. The turns that this opens are announced
 * before it returns; when called from the turn function, before the outermost leave returns. */
void lock_queue_leave(struct lock_ticket *ticket);

void *lock_ticket_owner(const struct lock_ticket *ticket);
bool lock_ticket_is_taken(const struct lock_ticket *ticket);
