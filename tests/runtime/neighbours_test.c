/*
 * Hostile scripts and expressions on a host that has other work to do. Each must end by itself in
 * time, and the neighbours must not feel it: no turn of the loop may take much processor time. With
 * LATCHKEY_TEST_LONG each runs beside a thousand well-behaved executions whose p99 stays under
 * 100 ms (more than without it, and not counting how long the loop waits for a processor that other
 * programs have); otherwise several at once beside fewer, and times on the clock are
 * loose, since the machine may be slow. LATCHKEY_TEST_SAY prints what was measured.
 */
#include "hostile_texts.h"
#include "runtime_tests.h"

#include "clock.h"
#include "memory_peak.h"
#include "peer.h"
#include "runtime_fixture.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
    WAITING_US = 1000 * 1000,
    WITHIN_US = 500 * 1000, /* of the waiting timeout */
    P99_US = 100 * 1000,
    TURN_US = 150 * 1000, /* processor time */
    SLOW = 60,            /* a machine may be so many times slower when nobody measures */
    TRIES = 3,
    N_ROWS = 1000,
    CONCURRENCY = 8,
    NEIGHBOURS_MAX = 4000,
    YAML_BYTES = 8192,
    PEAK_KIB = 700 << 10,
};

#if defined(__SANITIZE_ADDRESS__)
static const bool is_measured = false; /* its allocator keeps what was freed */
#else
static const bool is_measured = true;
#endif

struct street {
    struct runtime_fixture *fixture;
    struct host *host;
    struct workflow *neighbour;
    int n_wanted, n_started, n_ended, n_in_flight;
    int64_t latencies_us[NEIGHBOURS_MAX];
    int n_hostile;   /* in flight */
    int64_t turn_us; /* the longest turn of the loop, in processor time */
    int64_t quiet_p99_us;
    int n_felt; /* texts that the neighbours felt */
};

struct hostile {
    struct street *street;
    const struct hostile_text *text;
    int64_t submitted_us;
};

struct neighbour {
    struct street *street;
    int64_t submitted_us;
    int64_t unserved_us; /* then */
};

/* ---- neighbours ---- */

static void invite(struct street *street);

/* How long this thread has been ready to run while others had the processors. */
static int64_t unserved_us(void)
{
    long long on_processor_ns, waited_ns = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "r");
    if (file && fscanf(file, "%lld %lld", &on_processor_ns, &waited_ns) != 2)
        waited_ns = 0;
    if (file)
        fclose(file);
    return waited_ns / 1000;
}

static void on_neighbour(const struct result *result, void *arg)
{
    struct neighbour *neighbour = arg;
    struct street *street = neighbour->street;
    if (result->status != STATUS_COMPLETED)
        fail_msg("a neighbour ended %s: %s", execution_status_row(result->status)->name,
                 result->reason);
    street->latencies_us[street->n_ended++] =
        clock_monotonic_us() - neighbour->submitted_us - (unserved_us() - neighbour->unserved_us);
    street->n_in_flight--;
    free(neighbour);
    invite(street);
}

static void submit(struct street *street, struct workflow *workflow, int id, runtime_done_fn *done,
                   void *arg)
{
    struct fault fault;
    json_t *input = json_pack("{s:i}", "id", id);
    struct submission submission = {.workflow = workflow, .input = input, .done = done, .arg = arg};
    if (!runtime_submit(host_runtime(street->host), &submission, &fault))
        fail_msg("%s", fault.text);
    json_decref(input);
}

/* Keeps some in flight until enough have come and no hostile one is left. */
static void invite(struct street *street)
{
    while (street->n_in_flight < CONCURRENCY && street->n_started < NEIGHBOURS_MAX &&
           (street->n_started < street->n_wanted || street->n_hostile > 0)) {
        struct neighbour *neighbour = malloc(sizeof *neighbour);
        *neighbour = (struct neighbour){
            .street = street, .submitted_us = clock_monotonic_us(), .unserved_us = unserved_us()};
        street->n_in_flight++;
        submit(street, street->neighbour, 1 + street->n_started++ % N_ROWS, on_neighbour,
               neighbour);
    }
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int64_t p99_us(struct street *street)
{
    qsort(street->latencies_us, (size_t)street->n_ended, sizeof(int64_t), by_value);
    return street->latencies_us[(street->n_ended - 1) * 99 / 100];
}

/* ---- hostile ones ---- */

static void on_hostile(const struct result *result, void *arg)
{
    struct hostile *hostile = arg;
    int64_t took_us = clock_monotonic_us() - hostile->submitted_us;
    int64_t most_us = (WAITING_US + WITHIN_US) * (long_or(1, 0) ? 1 : SLOW);
    enum execution_status status = result->status;
    bool ended = status == STATUS_FAILED || status == STATUS_EXPIRED || status == STATUS_INVALID;
    if (!ended && !(hostile->text->is_harmless && status == STATUS_COMPLETED))
        fail_msg("%s: %s %s", hostile->text->text, execution_status_row(status)->name,
                 result->reason);
    if (took_us > most_us)
        fail_msg("%s: took %lld ms (%s)", hostile->text->text, (long long)took_us / 1000,
                 result->reason);
    if (getenv("LATCHKEY_TEST_SAY"))
        printf("%-9s %5lld ms  %.60s  <- %.70s\n", execution_status_row(status)->name,
               (long long)took_us / 1000, result->reason, hostile->text->text);
    hostile->street->n_hostile--;
}

static struct workflow *publish_hostile(struct street *street, const struct hostile_text *text,
                                        int number)
{
    static const char *const keys[] = {"script", "lock-context", "guard"};
    char yaml[YAML_BYTES];
    int n = snprintf(
        yaml, sizeof yaml,
        "workflow: hostile%d\ninput: { id: integer }\nstart: go\nactivities:\n"
        "  go:\n    enable-exclusive-lock: true\n    waiting-timeout: 1s\n"
        "    acquire-timeout: 30s\n"
        "    %s    %s: |\n      ",
        number, text->where == HOSTILE_LOCK_CONTEXT ? "" : "lock-context: '{\"h\", input.id}'\n",
        keys[text->where]);
    if (text->where == HOSTILE_LOCK_CONTEXT) /* no second key stands before it */
        n = snprintf(yaml, sizeof yaml,
                     "workflow: hostile%d\ninput: { id: integer }\nstart: go\nactivities:\n"
                     "  go:\n    enable-exclusive-lock: true\n    waiting-timeout: 1s\n"
                     "    acquire-timeout: 30s\n"
                     "    lock-context: |\n      ",
                     number);
    for (const char *at = text->text; *at; at++)
        n += snprintf(yaml + n, sizeof yaml - (size_t)n, *at == '\n' ? "\n      " : "%c", *at);
    snprintf(yaml + n, sizeof yaml - (size_t)n, "\n");
    return host_publish(street->host, yaml);
}

static int64_t processor_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void turn_until_all_ended(struct street *street)
{
    street->turn_us = 0;
    while (street->n_hostile > 0 || street->n_in_flight > 0) {
        int64_t start_us = processor_us();
        event_base_loop(street->fixture->base, EVLOOP_ONCE);
        int64_t took_us = processor_us() - start_us;
        if (took_us > street->turn_us)
            street->turn_us = took_us;
    }
}

/* How long neighbours take by themselves. Opens the pool's connections, too. */
static void run_quiet(struct street *street, int n_neighbours)
{
    for (int round = 0; round < 2; round++) {
        street->n_wanted = n_neighbours;
        street->n_started = street->n_ended = 0;
        invite(street);
        turn_until_all_ended(street);
        street->quiet_p99_us = p99_us(street);
    }
    if (getenv("LATCHKEY_TEST_SAY"))
        printf("alone: p99 %lld us\n", (long long)street->quiet_p99_us);
}

/* Runs n of them at once, beside their neighbours. True if these felt it. */
static bool felt_beside(struct street *street, int first, int n, int n_neighbours)
{
    struct hostile hostiles[16];
    struct workflow *workflows[16];
    for (int i = 0; i < n; i++)
        workflows[i] = publish_hostile(street, &hostile_texts[first + i], first + i);
    street->n_wanted = n_neighbours;
    street->n_started = street->n_ended = 0;
    street->n_hostile = n;
    invite(street);
    for (int i = 0; i < n; i++) {
        hostiles[i] = (struct hostile){.street = street,
                                       .text = &hostile_texts[first + i],
                                       .submitted_us = clock_monotonic_us()};
        submit(street, workflows[i], first + i, on_hostile, &hostiles[i]);
    }
    turn_until_all_ended(street);
    int64_t found_us = p99_us(street);
    if (getenv("LATCHKEY_TEST_SAY"))
        printf("  %d neighbours, p99 %lld us, max %lld us, longest turn %lld us\n", street->n_ended,
               (long long)found_us, (long long)street->latencies_us[street->n_ended - 1],
               (long long)street->turn_us);
    if (street->turn_us > TURN_US * (is_measured ? 1 : SLOW))
        fail_msg("%s: a turn of the loop took %lld ms", hostile_texts[first].text,
                 (long long)street->turn_us / 1000);
    if (!long_or(1, 0) || found_us <= P99_US + street->quiet_p99_us)
        return false;
    print_error("%s: the neighbours' p99 is %lld ms\n", hostile_texts[first].text,
                (long long)found_us / 1000);
    return true;
}

static void hostile_texts_end_in_time_and_neighbours_do_not_feel_them(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct street *street = calloc(1, sizeof *street);
    int at_once = long_or(1, 6), n_neighbours = long_or(1000, 100);
    runtime_fixture_tables(fixture,
                           "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0,"
                           " t text, doc jsonb);"
                           "INSERT INTO item (id) SELECT generate_series(1, 1000);"
                           "CREATE TABLE many (id int PRIMARY KEY, t text);"
                           "INSERT INTO many SELECT n, repeat('x', 500)"
                           " FROM generate_series(1, 200000) n");
    street->fixture = fixture;
    street->host = host_start(fixture, NULL);
    street->neighbour = host_publish(
        street->host, "workflow: neighbour\ninput: { id: integer }\ndata:\n"
                      "  item: { table: item, key: { id: input.id } }\nstart: go\nactivities:\n"
                      "  go:\n    enable-exclusive-lock: true\n"
                      "    lock-context: '{\"item\", input.id}'\n    acquire-timeout: 60s\n"
                      "    script: data.item.n = data.item.n + 1\n");
    run_quiet(street, n_neighbours);
    memory_peak_reset();
    int64_t before_kib = memory_peak_kib();
    for (int first = 0; first < n_hostile_texts; first += at_once) {
        int n = n_hostile_texts - first < at_once ? n_hostile_texts - first : at_once;
        int n_felt = 0; /* once may be anybody's doing: PostgreSQL, too, waits for processors */
        while (n_felt < TRIES && felt_beside(street, first, n, n_neighbours))
            n_felt++;
        street->n_felt += n_felt == TRIES;
    }
    int64_t took_kib = memory_peak_kib() - before_kib;
    if (getenv("LATCHKEY_TEST_SAY"))
        printf("peak %lld MiB\n", (long long)took_kib / 1024);
    if (is_measured && took_kib > PEAK_KIB)
        fail_msg("%lld MiB of memory at once", (long long)took_kib / 1024);
    assert_int_equal(street->n_felt, 0);
    assert_nothing_held(fixture);
    assert_sql_int(fixture, "SELECT count(*) FROM item WHERE t IS NOT NULL OR doc IS NOT NULL", 0);
    host_stop(street->host);
    free(street);
}

int neighbours_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_texts_end_in_time_and_neighbours_do_not_feel_them),
    };
    return cmocka_run_group_tests_name("neighbours", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
