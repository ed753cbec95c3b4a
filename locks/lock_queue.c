#include "lock_queue_node.h"

#include <assert.h>
#include <stdlib.h>

struct lock_queue {
    struct lock_queue_node *nodes; /* by key; only those where somebody stands */
    uint64_t last_number;
    lock_queue_turn_fn *turn;
    void *turn_arg;
    struct lock_ticket *first_announced; /* whose turn is still to be announced */
    struct lock_ticket *last_announced;
    bool announcing;
};

bool lock_queue_new(struct lock_queue **out, struct fault *fault)
{
    struct lock_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return fault_no_memory(fault);
    *out = queue;
    return true;
}

void lock_queue_free(struct lock_queue *queue)
{
    assert((!queue || !queue->nodes) && "all tickets must have left");
    free(queue);
}

void lock_queue_on_turn(struct lock_queue *queue, lock_queue_turn_fn *turn, void *arg)
{
    queue->turn = turn;
    queue->turn_arg = arg;
}

static struct lock_queue_node *find_or_add_node(struct lock_queue *queue, int64_t key)
{
    struct lock_queue_node *node;
    HASH_FIND(hh, queue->nodes, &key, sizeof key, node);
    if (node)
        return node;
    node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->key = key;
    HASH_ADD(hh, queue->nodes, key, sizeof node->key, node);
    if (!node->hh.tbl) {
        free(node);
        return NULL;
    }
    return node;
}

static void drop_node_if_empty(struct lock_queue *queue, struct lock_queue_node *node)
{
    if (!lock_queue_node_is_empty(node))
        return;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the table */
    HASH_DEL(queue->nodes, node);
    free(node);
}

/* Two entries of one set may have the same key, though hardly by chance. They become one request,
 * so that a ticket never stands behind itself. */
static void merge_request(struct lock_ticket *ticket, struct lock_queue_node *node, bool exclusive)
{
    struct lock_request *request = ticket->requests;
    while (request->node != node)
        request++;
    request->exclusive = request->exclusive || exclusive;
}

/* Finds or makes the nodes; what can fail is done before anything is linked. */
static bool find_nodes(struct lock_ticket *ticket, const struct lock_set *set)
{
    for (int i = 0; i < lock_set_n_entries(set); i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        struct lock_queue_node *node = find_or_add_node(ticket->queue, entry->key);
        if (!node)
            return false;
        if (node->last_number == ticket->number) {
            merge_request(ticket, node, entry->exclusive);
            continue;
        }
        node->last_number = ticket->number;
        ticket->requests[ticket->n_requests++] =
            (struct lock_request){.ticket = ticket, .node = node, .exclusive = entry->exclusive};
    }
    return true;
}

bool lock_queue_join(struct lock_queue *queue, const struct lock_set *set, void *owner,
                     struct lock_ticket **out, struct fault *fault)
{
    size_t n_entries = (size_t)lock_set_n_entries(set);
    struct lock_ticket *ticket = malloc(sizeof *ticket + n_entries * sizeof ticket->requests[0]);
    if (!ticket)
        return fault_no_memory(fault);
    *ticket = (struct lock_ticket){.queue = queue, .owner = owner, .number = ++queue->last_number};
    if (!find_nodes(ticket, set)) {
        for (int i = 0; i < ticket->n_requests; i++)
            drop_node_if_empty(queue, ticket->requests[i].node);
        free(ticket);
        return fault_no_memory(fault);
    }
    for (int i = 0; i < ticket->n_requests; i++) {
        lock_queue_node_join(&ticket->requests[i]);
        ticket->n_without_turn += !ticket->requests[i].has_turn;
    }
    *out = ticket;
    return true;
}

bool lock_ticket_has_turn(const struct lock_ticket *ticket)
{
    return !ticket->batch && ticket->n_without_turn == 0;
}

bool lock_ticket_can_join(const struct lock_ticket *ticket, const void *batch)
{
    assert(batch);
    if (ticket->batch)
        return false;
    if (ticket->n_without_turn == 0)
        return true;
    for (int i = 0; i < ticket->n_requests; i++)
        if (!lock_queue_node_admits(&ticket->requests[i], batch))
            return false;
    return true;
}

struct lock_ticket *lock_ticket_next(const struct lock_ticket *ticket)
{
    struct lock_ticket *next = NULL;
    for (int i = 0; i < ticket->n_requests; i++) {
        if (!ticket->requests[i].exclusive)
            continue;
        const struct lock_request *behind = lock_queue_node_next(&ticket->requests[i]);
        if (behind && (!next || behind->ticket->number < next->number))
            next = behind->ticket;
    }
    return next;
}

static void announce_later(struct lock_ticket *ticket)
{
    struct lock_queue *queue = ticket->queue;
    ticket->to_announce = true;
    ticket->announced_before = queue->last_announced;
    ticket->announced_behind = NULL;
    if (queue->last_announced)
        queue->last_announced->announced_behind = ticket;
    else
        queue->first_announced = ticket;
    queue->last_announced = ticket;
}

static void announce_not(struct lock_ticket *ticket)
{
    struct lock_queue *queue = ticket->queue;
    if (!ticket->to_announce)
        return;
    ticket->to_announce = false;
    if (ticket->announced_before)
        ticket->announced_before->announced_behind = ticket->announced_behind;
    else
        queue->first_announced = ticket->announced_behind;
    if (ticket->announced_behind)
        ticket->announced_behind->announced_before = ticket->announced_before;
    else
        queue->last_announced = ticket->announced_before;
}

/* The turn function may lead back here. Only the outermost call announces, so that the stack does
 * not grow with the queue. */
static void announce(struct lock_queue *queue)
{
    if (queue->announcing)
        return;
    queue->announcing = true;
    while (queue->first_announced) {
        struct lock_ticket *ticket = queue->first_announced;
        announce_not(ticket);
        if (queue->turn)
            queue->turn(ticket, queue->turn_arg);
    }
    queue->announcing = false;
}

void lock_queue_take(struct lock_ticket *ticket, const void *batch)
{
    assert(lock_ticket_can_join(ticket, batch));
    announce_not(ticket);
    ticket->batch = batch;
    for (int i = 0; i < ticket->n_requests; i++)
        lock_queue_node_take(&ticket->requests[i]);
}

void lock_queue_put_back(struct lock_ticket *ticket)
{
    assert(ticket->batch);
    ticket->n_without_turn = 0;
    for (int i = 0; i < ticket->n_requests; i++) {
        lock_queue_node_put_back(&ticket->requests[i]);
        ticket->n_without_turn += !ticket->requests[i].has_turn;
    }
    ticket->batch = NULL;
}

void lock_queue_leave(struct lock_ticket *ticket)
{
    struct lock_queue *queue = ticket->queue;
    announce_not(ticket);
    for (int i = 0; i < ticket->n_requests; i++) {
        struct lock_queue_node *node = ticket->requests[i].node;
        struct lock_request *opened;
        lock_queue_node_leave(&ticket->requests[i]);
        while ((opened = lock_queue_node_open_turn(node)))
            if (--opened->ticket->n_without_turn == 0)
                announce_later(opened->ticket);
        drop_node_if_empty(queue, node);
    }
    free(ticket);
    announce(queue);
}

void *lock_ticket_owner(const struct lock_ticket *ticket)
{
    return ticket->owner;
}

bool lock_ticket_is_taken(const struct lock_ticket *ticket)
{
    return ticket->batch;
}
