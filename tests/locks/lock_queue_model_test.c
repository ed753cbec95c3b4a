/*
 * Random steps, side by side with a model that keeps a list of all tickets and asks every pair
 * whether their lock sets conflict. After each step every ticket must agree with the model.
 */
#include "lock_queue.h"
#include "locks_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    SETS = 64,
    MEMBERS_MAX = 20,
    BATCHES = 3,
    SEEDS = 40,
    STEPS = 2000,
};

struct member {
    struct lock_ticket *ticket;
    int set;
    const void *batch;
    bool turn_known; /* its turn came: seen after joining or putting back, or announced */
};

struct model {
    struct lock_queue *queue;
    struct lock_set *sets[SETS];
    bool conflicts[SETS][SETS];
    struct member members[MEMBERS_MAX]; /* in the order of joining */
    int n_members;
    char batches[BATCHES + 1]; /* only their addresses count; the last one never takes anything */
    uint64_t random;
    bool turns_act; /* the turn function takes and leaves */
    size_t n_announced;
};

/* Drawn alike; the leaves stand here more than once. */
static const char *const universe[] = {
    "*",
    "a",
    "a/1",
    "b",
    "b/1",
    "a-b/1",
    "$definitions",
    "$definitions/n",
    "a/1/x",
    "a/1/y",
    "a/1/x",
    "a/1/y",
    "b/1/x",
    "b/1/y",
    "$definitions/m",
    "$instance/i",
    "a/2",
    "a/3",
    "a/2",
    "a/3",
    "b/2",
    "b/3",
    "b/2",
    "b/3",
};

static int draw(struct model *m, int n)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (int)(m->random % (uint64_t)n);
}

static struct lock_set *draw_set(struct model *m)
{
    struct lock_path *paths[3];
    struct lock_set *set;
    struct fault fault;
    int n = 1 + draw(m, 3) * draw(m, 2);
    for (int i = 0; i < n; i++) {
        const char *text = universe[draw(m, sizeof universe / sizeof universe[0])];
        assert_true(lock_path_parse(text, &paths[i], &fault));
    }
    assert_true(lock_set_new(paths, n, "test", &set, &fault));
    while (n > 0)
        lock_path_free(paths[--n]);
    return set;
}

static bool conflict(const struct model *m, int i, int j)
{
    return m->conflicts[m->members[i].set][m->members[j].set];
}

static bool has_turn(const struct model *m, int i)
{
    for (int j = 0; j < i; j++)
        if (conflict(m, i, j))
            return false;
    return !m->members[i].batch;
}

static bool can_join(const struct model *m, int i, const void *batch)
{
    for (int j = 0; j < i; j++)
        if (conflict(m, i, j) && m->members[j].batch != batch)
            return false;
    return !m->members[i].batch;
}

/* The mode in which a member stands at a path: 0 not at all, 1 shared, 2 exclusive. */
static int mode_at(const struct model *m, int i, const char *text)
{
    const struct lock_set *set = m->sets[m->members[i].set];
    for (int e = 0; e < lock_set_n_entries(set); e++)
        if (strcmp(lock_set_entry(set, e)->text, text) == 0)
            return 1 + lock_set_entry(set, e)->exclusive;
    return 0;
}

/* True if j waits behind i at the path and nothing that conflicts with j there stands between. */
static bool is_candidate(const struct model *m, int i, int j, const char *text)
{
    int mode = mode_at(m, j, text);
    for (int k = i + 1; k < j; k++)
        if (!m->members[k].batch && mode_at(m, k, text) + mode > 2 && mode_at(m, k, text) > 0)
            return false;
    return mode > 0 && !m->members[j].batch;
}

static void assert_next(const struct model *m, int i)
{
    const struct lock_ticket *next = lock_ticket_next(m->members[i].ticket);
    const struct lock_set *set = m->sets[m->members[i].set];
    int answer = i + 1;
    while (answer < m->n_members && m->members[answer].ticket != next)
        answer++;
    assert_true(!next || answer < m->n_members);
    bool justified = !next;
    for (int p = 0; p < lock_set_n_paths(set); p++) {
        int last_candidate = -1;
        for (int j = i + 1; j < m->n_members; j++)
            if (is_candidate(m, i, j, lock_set_path(set, p)))
                last_candidate = j;
        assert_true(last_candidate < 0 || (next && answer <= last_candidate));
        justified = justified || is_candidate(m, i, answer, lock_set_path(set, p));
    }
    assert_true(justified);
}

static void assert_agrees(const struct model *m)
{
    for (int i = 0; i < m->n_members; i++) {
        const struct member *member = &m->members[i];
        assert_int_equal(lock_ticket_is_taken(member->ticket), member->batch != NULL);
        assert_int_equal(lock_ticket_has_turn(member->ticket), has_turn(m, i));
        assert_true(member->turn_known || !has_turn(m, i));
        for (int b = 0; b <= BATCHES; b++)
            assert_int_equal(lock_ticket_can_join(member->ticket, &m->batches[b]),
                             can_join(m, i, &m->batches[b]));
        assert_next(m, i);
    }
}

static void join(struct model *m)
{
    struct fault fault;
    if (m->n_members == MEMBERS_MAX)
        return;
    struct member *member = &m->members[m->n_members++];
    *member = (struct member){.set = draw(m, SETS)};
    assert_true(lock_queue_join(m->queue, m->sets[member->set], NULL, &member->ticket, &fault));
    member->turn_known = has_turn(m, m->n_members - 1);
}

static void leave(struct model *m, int i)
{
    struct lock_ticket *ticket = m->members[i].ticket;
    m->n_members--;
    memmove(&m->members[i], &m->members[i + 1], (size_t)(m->n_members - i) * sizeof m->members[0]);
    lock_queue_leave(ticket);
}

static void take(struct model *m, int i, const void *batch)
{
    if (!can_join(m, i, batch))
        return;
    m->members[i].batch = batch;
    lock_queue_take(m->members[i].ticket, batch);
}

/* Puts back a member, and before it, the last first, what was taken in conflict behind it. */
static void put_back(struct model *m, int i)
{
    if (!m->members[i].batch)
        return;
    for (int j = m->n_members - 1; j > i; j--)
        if (conflict(m, i, j))
            put_back(m, j);
    lock_queue_put_back(m->members[i].ticket);
    m->members[i].batch = NULL;
    m->members[i].turn_known = m->members[i].turn_known || has_turn(m, i);
}

/* From its end or from its beginning. */
static void leave_batch(struct model *m, const void *batch, bool backwards)
{
    for (int n = m->n_members, i = backwards ? n - 1 : 0; n > 0; n--) {
        bool leaves = i < m->n_members && m->members[i].batch == batch;
        if (leaves)
            leave(m, i);
        i += backwards ? -1 : !leaves;
        if (i >= m->n_members)
            i = m->n_members - 1; /* turn functions left as well */
        if (i < 0)
            return;
    }
}

static void on_turn(struct lock_ticket *ticket, void *arg)
{
    struct model *m = arg;
    int i = 0;
    while (i < m->n_members && m->members[i].ticket != ticket)
        i++;
    assert_true(i < m->n_members);
    assert_true(has_turn(m, i));
    assert_false(m->members[i].turn_known);
    m->members[i].turn_known = true;
    m->n_announced++;
    if (!m->turns_act)
        return;
    switch (draw(m, 6)) {
    case 0: take(m, i, &m->batches[draw(m, BATCHES)]); break;
    case 1: leave(m, i); break;
    case 2: leave(m, draw(m, m->n_members)); break;
    case 3: take(m, draw(m, m->n_members), &m->batches[draw(m, BATCHES)]); break;
    case 4: put_back(m, draw(m, m->n_members)); break;
    case 5: join(m); break;
    }
}

static void step(struct model *m)
{
    const void *batch = &m->batches[draw(m, BATCHES)];
    int action = draw(m, 16);
    if (m->n_members == 0 || action < 6)
        join(m);
    else if (action < 8)
        take(m, draw(m, m->n_members), batch);
    else if (action < 10)
        for (int i = 0; i < m->n_members; i++)
            take(m, i, batch);
    else if (action < 12)
        put_back(m, draw(m, m->n_members));
    else if (action < 14)
        leave(m, draw(m, m->n_members));
    else if (action < 15)
        leave(m, 0);
    else
        leave_batch(m, batch, draw(m, 2));
}

static void run(uint64_t seed, bool turns_act)
{
    struct model *m = calloc(1, sizeof *m);
    struct fault fault;
    assert_non_null(m);
    assert_true(lock_queue_new(&m->queue, &fault));
    lock_queue_on_turn(m->queue, on_turn, m);
    m->random = seed;
    m->turns_act = turns_act;
    for (int i = 0; i < SETS; i++)
        m->sets[i] = draw_set(m);
    for (int i = 0; i < SETS; i++)
        for (int j = 0; j < SETS; j++)
            m->conflicts[i][j] = lock_set_conflicts(m->sets[i], m->sets[j]);
    for (int i = 0; i < STEPS; i++) {
        step(m);
        assert_agrees(m);
    }
    assert_in_range(m->n_announced, STEPS / 40, STEPS);
    while (m->n_members > 0) {
        leave(m, 0);
        assert_agrees(m);
    }
    lock_queue_free(m->queue);
    for (int i = 0; i < SETS; i++)
        lock_set_free(m->sets[i]);
    free(m);
}

static void random_steps_agree_with_a_list_of_all(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed * 0x9E3779B97F4A7C15u, false);
}

static void random_steps_with_acting_turns_agree_too(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed * 0x9E3779B97F4A7C15u, true);
}

int lock_queue_model_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_steps_agree_with_a_list_of_all),
        cmocka_unit_test(random_steps_with_acting_turns_agree_too),
    };
    return cmocka_run_group_tests_name("lock_queue_model", tests, NULL, NULL);
}
