#include "lock_queue_node.h"

#include <assert.h>

static void push_front(struct lock_request_list *list, struct lock_request *request)
{
    request->before = NULL;
    request->behind = list->first;
    if (list->first)
        list->first->before = request;
    else
        list->last = request;
    list->first = request;
}

static void push_back(struct lock_request_list *list, struct lock_request *request)
{
    request->before = list->last;
    request->behind = NULL;
    if (list->last)
        list->last->behind = request;
    else
        list->first = request;
    list->last = request;
}

static void drop(struct lock_request_list *list, struct lock_request *request)
{
    if (request->before)
        request->before->behind = request->behind;
    else
        list->first = request->behind;
    if (request->behind)
        request->behind->before = request->before;
    else
        list->last = request->before;
    request->before = NULL;
    request->behind = NULL;
}

/* Never true of two requests of one ticket. */
static bool is_ahead(const struct lock_request *a, const struct lock_request *b)
{
    return a && a->ticket->number < b->ticket->number;
}

static bool differ(const struct lock_request *a, const struct lock_request *b)
{
    return a && b && a->ticket->batch != b->ticket->batch;
}

static void taken_add(struct lock_queue_node *node, struct lock_request *request)
{
    node->n_changes += differ(node->taken.last, request);
    push_back(&node->taken, request);
}

static void taken_drop(struct lock_queue_node *node, struct lock_request *request)
{
    node->n_changes += differ(request->before, request->behind);
    node->n_changes -= differ(request->before, request);
    node->n_changes -= differ(request, request->behind);
    drop(&node->taken, request);
}

static const struct lock_request *last_taken_exclusive(const struct lock_queue_node *node)
{
    return node->first_waiting ? node->first_waiting->before : node->exclusive.last;
}

/* An exclusive request must wait: then everything in taken is ahead of it. */
static bool nothing_ahead(const struct lock_request *request)
{
    const struct lock_queue_node *node = request->node;
    if (request->exclusive)
        return node->exclusive.first == request && !node->open.first && !node->taken.first;
    return !is_ahead(node->exclusive.first, request);
}

bool lock_queue_node_is_empty(const struct lock_queue_node *node)
{
    return !node->exclusive.first && !node->open.first && !node->blocked.first &&
           !node->taken.first;
}

void lock_queue_node_join(struct lock_request *request)
{
    struct lock_queue_node *node = request->node;
    if (request->exclusive) {
        push_back(&node->exclusive, request);
        if (!node->first_waiting)
            node->first_waiting = request;
        request->has_turn = nothing_ahead(request);
    } else {
        request->has_turn = nothing_ahead(request);
        push_back(request->has_turn ? &node->open : &node->blocked, request);
    }
}

static bool admits_exclusive(const struct lock_request *request, const void *batch)
{
    const struct lock_queue_node *node = request->node;
    const struct lock_request *head = node->exclusive.first;
    if (node->first_waiting != request || (head != request && head->ticket->batch != batch))
        return false;
    if (node->open.first || is_ahead(node->blocked.first, request))
        return false;
    return !node->taken.first ||
           (node->n_changes == 0 && node->taken.first->ticket->batch == batch);
}

static bool admits_shared(const struct lock_request *request, const void *batch)
{
    const struct lock_queue_node *node = request->node;
    return !is_ahead(node->exclusive.first, request) ||
           (node->exclusive.first->ticket->batch == batch &&
            !is_ahead(node->first_waiting, request));
}

bool lock_queue_node_admits(const struct lock_request *request, const void *batch)
{
    if (request->has_turn)
        return true;
    return request->exclusive ? admits_exclusive(request, batch) : admits_shared(request, batch);
}

void lock_queue_node_take(struct lock_request *request)
{
    struct lock_queue_node *node = request->node;
    if (request->exclusive) {
        node->first_waiting = request->behind;
    } else {
        drop(request->has_turn ? &node->open : &node->blocked, request);
        taken_add(node, request);
    }
}

void lock_queue_node_put_back(struct lock_request *request)
{
    struct lock_queue_node *node = request->node;
    if (request->exclusive) {
        assert(last_taken_exclusive(node) == request && "put back the last first");
        assert(!is_ahead(request, node->taken.last ? node->taken.last : request));
        node->first_waiting = request;
        request->has_turn = request->has_turn || nothing_ahead(request);
    } else {
        const struct lock_request *last = last_taken_exclusive(node);
        assert((!last || is_ahead(last, request)) && "put back the last first");
        (void)last;
        taken_drop(node, request);
        request->has_turn = nothing_ahead(request);
        push_front(request->has_turn ? &node->open : &node->blocked, request);
    }
}

void lock_queue_node_leave(struct lock_request *request)
{
    struct lock_queue_node *node = request->node;
    if (request->exclusive) {
        if (node->first_waiting == request)
            node->first_waiting = request->behind;
        drop(&node->exclusive, request);
    } else if (request->ticket->batch) {
        taken_drop(node, request);
    } else {
        drop(request->has_turn ? &node->open : &node->blocked, request);
    }
}

struct lock_request *lock_queue_node_open_turn(struct lock_queue_node *node)
{
    struct lock_request *shared = node->blocked.first;
    struct lock_request *exclusive = node->first_waiting;
    if (shared && nothing_ahead(shared)) {
        drop(&node->blocked, shared);
        push_back(&node->open, shared);
        shared->has_turn = true;
        return shared;
    }
    if (exclusive && !exclusive->has_turn && nothing_ahead(exclusive)) {
        exclusive->has_turn = true;
        return exclusive;
    }
    return NULL;
}

struct lock_request *lock_queue_node_next(const struct lock_request *request)
{
    const struct lock_queue_node *node = request->node;
    struct lock_request *exclusive = request->ticket->batch ? node->first_waiting : request->behind;
    struct lock_request *shared = node->blocked.first;
    /* No step at all unless exclusive requests ahead wait: see lock_queue_node.h. */
    while (is_ahead(shared, request))
        shared = shared->behind;
    return exclusive && (!shared || is_ahead(exclusive, shared)) ? exclusive : shared;
}
