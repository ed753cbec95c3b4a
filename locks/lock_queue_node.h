/*
 * The queue at one advisory key. Private to lock_queue.c.
 *
 * A request is one ticket's place here, shared or exclusive; tickets are numbered as they join, so
 * "ahead" is a lower number. Where a request stands:
 *
 *   exclusive   every exclusive request, in order: first the taken ones, all of one batch, then
 *               from first_waiting on those that wait
 *   open        shared, waiting, no exclusive request ahead; in no particular order
 *   blocked     shared, waiting, an exclusive request ahead. Two that are divided by an exclusive
 *               request stand in order; the order of others does not matter
 *   taken       shared and taken, in the order of taking
 *
 * What conflicts is taken in order and put back in reverse order, so everything in open and taken
 * is ahead of first_waiting, and a blocked request that is put back belongs at the front.
 */
#pragma once
#include "lock_queue.h"

/* Running out of memory must not exit(): the element's hh.tbl stays NULL instead. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct lock_request {
    struct lock_ticket *ticket;
    struct lock_queue_node *node;
    struct lock_request *before; /* neighbours in its list */
    struct lock_request *behind;
    bool exclusive;
    bool has_turn; /* nothing conflicting is ahead; may be stale while taken */
};

struct lock_ticket {
    struct lock_queue *queue;
    void *owner;
    const void *batch; /* NULL while waiting */
    uint64_t number;
    struct lock_ticket *announced_before; /* neighbours among the turns still to be announced */
    struct lock_ticket *announced_behind;
    bool to_announce;
    int n_without_turn; /* requests; may be stale while taken */
    int n_requests;
    struct lock_request requests[];
};

struct lock_request_list {
    struct lock_request *first;
    struct lock_request *last;
};

struct lock_queue_node {
    int64_t key;
    uint64_t last_number; /* of the ticket that came last */
    struct lock_request_list exclusive;
    struct lock_request *first_waiting; /* in exclusive */
    struct lock_request_list open;
    struct lock_request_list blocked;
    struct lock_request_list taken;
    size_t n_changes; /* neighbours in taken of different batches: 0 if one batch has them all */
    UT_hash_handle hh;
};

bool lock_queue_node_is_empty(const struct lock_queue_node *node);

/* Puts a request at the end. */
void lock_queue_node_join(struct lock_request *request);

/* True if everything conflicting ahead of this waiting request is taken by `batch`. */
bool lock_queue_node_admits(const struct lock_request *request, const void *batch);

/* ticket->batch must be set: before taking, and still when putting back. */
void lock_queue_node_take(struct lock_request *request);
void lock_queue_node_put_back(struct lock_request *request);

void lock_queue_node_leave(struct lock_request *request);

/* After somebody left: the next waiting request that has its turn only now, or NULL. */
struct lock_request *lock_queue_node_open_turn(struct lock_queue_node *node);

/* The first waiting request behind an exclusive one, see lock_ticket_next. */
struct lock_request *lock_queue_node_next(const struct lock_request *request);
