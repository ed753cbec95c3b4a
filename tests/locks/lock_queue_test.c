#include "lock_queue.h"

#include "clock.h"
#include "locks_tests.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    TURNS_MAX = 16,
    PATHS_MAX = 4,
};

struct fixture {
    struct lock_queue *queue;
    struct lock_ticket *turns[TURNS_MAX]; /* announced since they were looked at */
    int n_turns;
    int n_tickets; /* that have not left */
    int depth;     /* of turn functions */
    struct lock_ticket *leaves_on_turn;
    struct lock_ticket *taken_on_turn;
};

/* Only their addresses count. */
static const char one[1], two[1];

/* texts: paths in canonical text form, divided by spaces */
static struct lock_set *set_of(const char *texts)
{
    struct lock_path *paths[PATHS_MAX];
    struct lock_set *set;
    struct fault fault;
    char copy[200], *rest = copy, *text;
    int n = 0;
    snprintf(copy, sizeof copy, "%s", texts);
    while ((text = strsep(&rest, " ")))
        assert_true(lock_path_parse(text, &paths[n++], &fault));
    assert_true(lock_set_new(paths, n, "test", &set, &fault));
    while (n > 0)
        lock_path_free(paths[--n]);
    return set;
}

static struct lock_ticket *join(struct fixture *f, const char *texts)
{
    struct lock_set *set = set_of(texts);
    struct lock_ticket *ticket;
    struct fault fault;
    assert_true(lock_queue_join(f->queue, set, f, &ticket, &fault));
    lock_set_free(set);
    f->n_tickets++;
    return ticket;
}

static void leave(struct lock_ticket *ticket)
{
    ((struct fixture *)lock_ticket_owner(ticket))->n_tickets--;
    lock_queue_leave(ticket);
}

static void leave_all(struct lock_ticket **tickets, int n)
{
    for (int i = 0; i < n; i++)
        leave(tickets[i]);
}
#define LEAVE(...)                                                                                 \
    leave_all((struct lock_ticket *[]){__VA_ARGS__},                                               \
              sizeof((struct lock_ticket *[]){__VA_ARGS__}) / sizeof(struct lock_ticket *))

static void on_turn(struct lock_ticket *ticket, void *arg)
{
    struct fixture *f = arg;
    assert_int_equal(f->depth, 0);
    assert_true(lock_ticket_has_turn(ticket));
    assert_in_range(f->n_turns, 0, TURNS_MAX - 1);
    f->depth++;
    f->turns[f->n_turns++] = ticket;
    if (f->taken_on_turn)
        lock_queue_take(f->taken_on_turn, one);
    f->taken_on_turn = NULL;
    struct lock_ticket *leaving = f->leaves_on_turn;
    f->leaves_on_turn = NULL;
    if (leaving)
        leave(leaving);
    f->depth--;
}

/* True if exactly these turns were announced since the last question, in whatever order. */
static bool turns_were(struct fixture *f, struct lock_ticket *a, struct lock_ticket *b)
{
    int n = f->n_turns;
    f->n_turns = 0;
    if (n != !!a + !!b)
        return false;
    return n == 0 || (n == 1 && f->turns[0] == a) ||
           (n == 2 &&
            ((f->turns[0] == a && f->turns[1] == b) || (f->turns[0] == b && f->turns[1] == a)));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fault fault;
    if (!f || !lock_queue_new(&f->queue, &fault))
        return -1;
    lock_queue_on_turn(f->queue, on_turn, f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    if (f->n_tickets != 0)
        return -1; /* after a failure; the queue may not be freed */
    lock_queue_free(f->queue);
    free(f);
    return 0;
}

static void an_empty_queue_gives_the_turn_at_once(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "message/1");
    assert_true(lock_ticket_has_turn(a));
    assert_true(lock_ticket_can_join(a, one));
    assert_false(lock_ticket_is_taken(a));
    assert_ptr_equal(lock_ticket_owner(a), f);
    assert_true(turns_were(f, NULL, NULL));
    LEAVE(a);
}

static void equal_paths_come_in_order(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "message/1"), *b = join(f, "message/1"),
                       *c = join(f, "message/1");
    assert_false(lock_ticket_has_turn(b));
    assert_false(lock_ticket_has_turn(c));
    LEAVE(a);
    assert_true(turns_were(f, b, NULL));
    assert_false(lock_ticket_has_turn(c));
    LEAVE(b);
    assert_true(turns_were(f, c, NULL));
    LEAVE(c);
}

static void different_paths_do_not_wait_for_each_other(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "message/1"), *b = join(f, "message/2"),
                       *c = join(f, "message/1/part/2 invoice");
    assert_true(lock_ticket_has_turn(b));
    assert_false(lock_ticket_has_turn(c));
    LEAVE(c, a, b);
    assert_true(turns_were(f, NULL, NULL));
}

static void a_path_waits_for_its_descendants_and_they_for_it(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1/x"), *b = join(f, "m/1/y"), *p = join(f, "m/1"),
                       *c = join(f, "m/1/x"), *d = join(f, "m/1/z"), *other = join(f, "m/2");
    assert_true(lock_ticket_has_turn(b));
    assert_true(lock_ticket_has_turn(other));
    assert_false(lock_ticket_has_turn(p));
    assert_false(lock_ticket_has_turn(d));
    LEAVE(a);
    assert_true(turns_were(f, NULL, NULL));
    LEAVE(b);
    assert_true(turns_were(f, p, NULL));
    LEAVE(p);
    assert_true(turns_were(f, c, d));
    LEAVE(other, c, d);
}

static void the_system_waits_for_all_and_all_for_it(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1"), *system = join(f, "*"), *b = join(f, "m/2"),
                       *own = join(f, "$instance/7");
    assert_false(lock_ticket_has_turn(system));
    assert_false(lock_ticket_has_turn(b));
    assert_true(lock_ticket_has_turn(own));
    LEAVE(a);
    assert_true(turns_were(f, system, NULL));
    LEAVE(system);
    assert_true(turns_were(f, b, NULL));
    LEAVE(own, b);
}

static void a_ticket_of_two_paths_holds_up_both(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *both = join(f, "a b"), *a = join(f, "a"), *b = join(f, "b"),
                       *again = join(f, "a b");
    assert_false(lock_ticket_has_turn(a));
    assert_false(lock_ticket_has_turn(b));
    LEAVE(both);
    assert_true(turns_were(f, a, b));
    LEAVE(a);
    assert_true(turns_were(f, NULL, NULL));
    LEAVE(b);
    assert_true(turns_were(f, again, NULL));
    LEAVE(again);
}

static void a_waiting_path_is_not_overtaken_by_descendants(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1"), *p = join(f, "m"), *b = join(f, "m/2");
    assert_false(lock_ticket_has_turn(b));
    LEAVE(p); /* gives up from between two shared requests */
    assert_true(turns_were(f, b, NULL));
    struct lock_ticket *q = join(f, "m");
    LEAVE(a);
    assert_false(lock_ticket_has_turn(q));
    LEAVE(b);
    assert_true(turns_were(f, q, NULL));
    LEAVE(q);
}

static void a_taken_ticket_still_holds_up_others(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1"), *b = join(f, "m/1");
    lock_queue_take(a, one);
    assert_true(lock_ticket_is_taken(a));
    assert_false(lock_ticket_has_turn(a));
    assert_false(lock_ticket_can_join(a, one));
    assert_false(lock_ticket_has_turn(b));
    assert_false(lock_ticket_can_join(b, two));
    LEAVE(a);
    assert_true(turns_were(f, b, NULL));
    LEAVE(b);
}

static void a_batch_takes_a_queue_one_after_the_other(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1"), *b = join(f, "m/1/x"), *c = join(f, "m/1");
    lock_queue_take(a, one);
    assert_true(lock_ticket_can_join(b, one));
    assert_false(lock_ticket_can_join(c, one));
    lock_queue_take(b, one);
    assert_true(lock_ticket_can_join(c, one));
    assert_false(lock_ticket_can_join(c, two));
    lock_queue_take(c, one);
    LEAVE(b, a, c);
    assert_true(turns_were(f, NULL, NULL));
}

static void descendants_in_two_batches_admit_neither(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1"), *b = join(f, "m/2"), *c = join(f, "m/3"),
                       *p = join(f, "m");
    lock_queue_take(a, one);
    lock_queue_take(b, two);
    lock_queue_take(c, one);
    assert_false(lock_ticket_can_join(p, one));
    assert_false(lock_ticket_can_join(p, two));
    LEAVE(b);
    assert_true(lock_ticket_can_join(p, one));
    assert_false(lock_ticket_can_join(p, two));
    lock_queue_put_back(c);
    assert_false(lock_ticket_can_join(p, one));
    LEAVE(a, c);
    assert_true(turns_were(f, p, NULL));
    LEAVE(p);
}

static void a_batch_needs_all_paths_of_a_ticket(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "a"), *b = join(f, "b"), *both = join(f, "a b");
    lock_queue_take(a, one);
    assert_false(lock_ticket_can_join(both, one));
    lock_queue_take(b, two);
    assert_false(lock_ticket_can_join(both, one));
    lock_queue_put_back(b);
    lock_queue_take(b, one);
    assert_true(lock_ticket_can_join(both, one));
    LEAVE(both, a, b);
}

static void putting_back_restores_the_old_place(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1"), *b = join(f, "m/1"), *c = join(f, "m"),
                       *d = join(f, "m/1");
    lock_queue_take(a, one);
    lock_queue_take(b, one);
    lock_queue_take(c, one);
    lock_queue_take(d, one);
    lock_queue_put_back(d);
    lock_queue_put_back(c);
    lock_queue_put_back(b);
    lock_queue_put_back(a);
    assert_true(lock_ticket_has_turn(a));
    assert_false(lock_ticket_can_join(b, one));
    LEAVE(a);
    assert_true(turns_were(f, b, NULL));
    LEAVE(b);
    assert_true(turns_were(f, c, NULL));
    LEAVE(c);
    assert_true(turns_were(f, d, NULL));
    LEAVE(d);
}

static void a_turn_that_came_while_taken_is_found_after_putting_back(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m"), *b = join(f, "m/1"), *c = join(f, "m");
    lock_queue_take(a, one);
    lock_queue_take(b, one);
    LEAVE(a);
    assert_true(turns_were(f, NULL, NULL));
    lock_queue_put_back(b);
    assert_true(turns_were(f, NULL, NULL));
    assert_true(lock_ticket_has_turn(b));
    assert_false(lock_ticket_can_join(c, one));
    LEAVE(b);
    assert_true(turns_were(f, c, NULL));
    LEAVE(c);
}

static void a_new_batch_at_an_old_address_inherits_nothing(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1"), *b = join(f, "m"), *c = join(f, "m/1");
    lock_queue_take(a, one);
    lock_queue_take(b, one);
    LEAVE(a, b);
    assert_true(turns_were(f, c, NULL));
    struct lock_ticket *d = join(f, "m");
    assert_false(lock_ticket_can_join(d, one));
    lock_queue_take(c, two);
    assert_false(lock_ticket_can_join(d, one));
    LEAVE(d, c);
}

static void next_walks_a_hot_path(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *a = join(f, "m/1"), *b = join(f, "m/1"), *c = join(f, "m/1"),
                       *other = join(f, "m/2");
    assert_ptr_equal(lock_ticket_next(a), b);
    assert_ptr_equal(lock_ticket_next(b), c);
    lock_queue_take(a, one);
    assert_ptr_equal(lock_ticket_next(a), b);
    lock_queue_take(b, one);
    assert_ptr_equal(lock_ticket_next(a), c);
    assert_ptr_equal(lock_ticket_next(b), c);
    assert_null(lock_ticket_next(c));
    assert_null(lock_ticket_next(other));
    LEAVE(c);
    assert_null(lock_ticket_next(a));
    LEAVE(a, b, other);
}

static void next_walks_descendants_of_a_hot_path(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *system = join(f, "*"), *a = join(f, "m/1"), *b = join(f, "m/2"),
                       *c = join(f, "*"), *d = join(f, "m/1");
    struct lock_ticket *order[] = {a, b, c, d, NULL}, *next;
    assert_ptr_equal(lock_ticket_next(c), d);
    lock_queue_take(system, one);
    for (int i = 0; (next = lock_ticket_next(system)); i++) {
        assert_ptr_equal(next, order[i]);
        assert_true(lock_ticket_can_join(next, one));
        lock_queue_take(next, one);
    }
    assert_true(lock_ticket_is_taken(d));
    LEAVE(system, a, b, c, d);
}

static void next_takes_the_earliest_of_several_paths(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *both = join(f, "a b"), *b = join(f, "b/1"), *a = join(f, "a");
    assert_ptr_equal(lock_ticket_next(both), b);
    lock_queue_take(both, one);
    lock_queue_take(b, one);
    assert_ptr_equal(lock_ticket_next(both), a);
    LEAVE(both, b, a);
}

static void a_turn_may_let_others_leave(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *both = join(f, "a b"), *a = join(f, "a"), *b = join(f, "b"),
                       *c = join(f, "b");
    f->leaves_on_turn = b; /* whose own announcement is due: dropped */
    LEAVE(both);
    assert_true(turns_were(f, a, c));
    f->leaves_on_turn = c;
    struct lock_ticket *d = join(f, "a");
    LEAVE(a);
    assert_true(turns_were(f, d, NULL));
    LEAVE(d);
}

static void a_turn_may_take_others(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *both = join(f, "a b"), *a = join(f, "a"), *b = join(f, "b");
    f->taken_on_turn = b;
    LEAVE(both);
    assert_true(turns_were(f, a, NULL));
    assert_true(lock_ticket_is_taken(b));
    LEAVE(a, b);
}

static void leave_at_once(struct lock_ticket *ticket, void *arg)
{
    ++*(int *)arg;
    leave(ticket);
}

static void a_chain_of_leaving_does_not_grow_the_stack(void **state)
{
    struct fixture *f = *state;
    struct lock_ticket *first = join(f, "a");
    int n_turns = 0;
    lock_queue_on_turn(f->queue, leave_at_once, &n_turns);
    for (int i = 0; i < 100000; i++)
        join(f, "a");
    LEAVE(first);
    assert_int_equal(n_turns, 100000);
}

enum {
    MANY = 100000,
    MANY_MS_MAX = 20000, /* a quadratic queue would need minutes; the sanitizers need their time */
    TICKET_BYTES_MAX = 400,
};

static struct lock_ticket **join_many(struct fixture *f, const char *texts)
{
    struct lock_ticket **tickets = malloc(MANY * sizeof *tickets);
    struct lock_set *set = set_of(texts);
    struct fault fault;
    assert_non_null(tickets);
    for (int i = 0; i < MANY; i++)
        assert_true(lock_queue_join(f->queue, set, f, &tickets[i], &fault));
    lock_set_free(set);
    f->n_tickets += MANY;
    return tickets;
}

static void assert_quick_since(int64_t began_us)
{
    assert_in_range((clock_monotonic_us() - began_us) / 1000, 0, MANY_MS_MAX);
}

static void many_on_one_path_are_small_and_quick(void **state)
{
    struct fixture *f = *state;
    int64_t began_us = clock_monotonic_us();
    size_t before = mallinfo2().uordblks;
    struct lock_ticket **tickets = join_many(f, "message/1");
    size_t used = mallinfo2().uordblks - before;
    assert_in_range(used / MANY, 0,
                    TICKET_BYTES_MAX); /* the sanitizer's allocator counts nothing */
    for (int i = 0; i < MANY; i++) {
        assert_true(lock_ticket_has_turn(tickets[i]));
        assert_ptr_equal(lock_ticket_next(tickets[i]), i + 1 < MANY ? tickets[i + 1] : NULL);
        lock_queue_take(tickets[i], one);
        lock_queue_put_back(tickets[i]);
        lock_queue_take(tickets[i], two);
        LEAVE(tickets[i]);
        assert_true(turns_were(f, i + 1 < MANY ? tickets[i + 1] : NULL, NULL));
    }
    assert_quick_since(began_us);
    free(tickets);
}

static void many_leave_from_the_end_and_the_middle(void **state)
{
    struct fixture *f = *state;
    int64_t began_us = clock_monotonic_us();
    struct lock_ticket **tickets = join_many(f, "message/1");
    for (int i = MANY - 1; i > MANY / 2; i--)
        LEAVE(tickets[i]);
    for (int i = 1; i <= MANY / 2; i++)
        LEAVE(tickets[i]);
    assert_true(turns_were(f, NULL, NULL));
    LEAVE(tickets[0]);
    assert_quick_since(began_us);
    free(tickets);
}

static void an_ancestor_among_many_is_quick(void **state)
{
    struct fixture *f = *state;
    int64_t began_us = clock_monotonic_us();
    struct lock_ticket *running = join(f, "message/1"), *system = join(f, "*");
    struct lock_ticket **tickets = join_many(f, "message/1");
    for (int i = 0; i < MANY; i++) {
        struct lock_ticket *last = join(f, "*");
        assert_false(lock_ticket_has_turn(last));
        LEAVE(last);
    }
    LEAVE(running);
    assert_true(turns_were(f, system, NULL));
    for (int i = 0; i < MANY; i++) {
        lock_queue_take(system, one);
        assert_ptr_equal(lock_ticket_next(system), tickets[0]);
        lock_queue_take(tickets[0], one);
        assert_ptr_equal(lock_ticket_next(system), tickets[1]);
        lock_queue_put_back(tickets[0]);
        lock_queue_put_back(system);
    }
    LEAVE(system);
    assert_true(turns_were(f, tickets[0], NULL));
    struct lock_ticket *between = join(f, "message");
    for (int i = 0; i < MANY; i++) { /* the open shared ones are not walked again */
        struct lock_ticket *last = join(f, "*");
        LEAVE(last);
    }
    leave_all(tickets + 1, MANY - 1);
    assert_true(turns_were(f, NULL, NULL));
    LEAVE(tickets[0]);
    assert_true(turns_were(f, between, NULL));
    LEAVE(between);
    assert_quick_since(began_us);
    free(tickets);
}

static void many_paths_leave_nothing_behind(void **state)
{
    struct fixture *f = *state;
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++) {
        char text[40];
        snprintf(text, sizeof text, "message/%d", i);
        struct lock_ticket *ticket = join(f, text);
        LEAVE(ticket);
    }
    assert_int_equal(mallinfo2().uordblks, before);
}

int lock_queue_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_queue_gives_the_turn_at_once),
        TEST(equal_paths_come_in_order),
        TEST(different_paths_do_not_wait_for_each_other),
        TEST(a_path_waits_for_its_descendants_and_they_for_it),
        TEST(the_system_waits_for_all_and_all_for_it),
        TEST(a_ticket_of_two_paths_holds_up_both),
        TEST(a_waiting_path_is_not_overtaken_by_descendants),
        TEST(a_taken_ticket_still_holds_up_others),
        TEST(a_batch_takes_a_queue_one_after_the_other),
        TEST(descendants_in_two_batches_admit_neither),
        TEST(a_batch_needs_all_paths_of_a_ticket),
        TEST(putting_back_restores_the_old_place),
        TEST(a_turn_that_came_while_taken_is_found_after_putting_back),
        TEST(a_new_batch_at_an_old_address_inherits_nothing),
        TEST(next_walks_a_hot_path),
        TEST(next_walks_descendants_of_a_hot_path),
        TEST(next_takes_the_earliest_of_several_paths),
        TEST(a_turn_may_let_others_leave),
        TEST(a_turn_may_take_others),
        TEST(a_chain_of_leaving_does_not_grow_the_stack),
        TEST(many_on_one_path_are_small_and_quick),
        TEST(many_leave_from_the_end_and_the_middle),
        TEST(an_ancestor_among_many_is_quick),
        TEST(many_paths_leave_nothing_behind),
    };
    return cmocka_run_group_tests_name("lock_queue", tests, NULL, NULL);
}
