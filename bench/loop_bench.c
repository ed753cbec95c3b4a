/*
 * How long does the library keep the loop of the program that it lives in? A timer of that program
 * is due every millisecond; how late it comes at most is noted for each kind of work, on the clock
 * and in processor time of the thread. On a busy machine only the latter tells about the library.
 *     bench_loop CONNINFO [SECONDS]
 * Makes a table `loop_row` and workflows of its own.
 */
#include "latchkey.h"

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    ROWS = 10000,
    FILES = 100,
    ACTIVITIES = 500,
    VALUES = 40000,
    TEXT_BYTES_MAX = 2 << 20,
};

static const char count_text[] = "workflow: loop-count\n"
                                 "input: { id: integer }\n"
                                 "data:\n"
                                 "  row: { table: loop_row, key: { id: input.id } }\n"
                                 "start: x\n"
                                 "activities:\n"
                                 "  x:\n"
                                 "    enable-exclusive-lock: true\n"
                                 "    lock-context: '{\"loop\", input.id}'\n"
                                 "    waiting-timeout: 60s\n"
                                 "    script: data.row.n = data.row.n + 1\n";

static const char list_text[] = "workflow: loop-list\n"
                                "data:\n"
                                "  rows: { table: loop_row, list: true, where: { g: '1' } }\n"
                                "start: x\n"
                                "activities:\n"
                                "  x:\n"
                                "    script: |\n"
                                "      local sum = 0\n"
                                "      for i = 1, #data.rows do sum = sum + data.rows[i].n end\n"
                                "      output.sum = sum\n";

static const char echo_text[] = "workflow: loop-echo\n"
                                "input: { values: array }\n"
                                "start: x\n"
                                "activities:\n"
                                "  x:\n"
                                "    script: output.values = input.values\n";

static const char busy_text[] = "workflow: loop-busy\n"
                                "start: x\n"
                                "activities:\n"
                                "  x:\n"
                                "    script: |\n"
                                "      local n = 0\n"
                                "      for i = 1, 2000000 do n = n + i end\n"
                                "      output.n = n\n";

struct bench {
    struct event_base *base;
    struct event *tick;
    struct latchkey *host;
    int64_t tick_us;
    int64_t tick_cpu_us;
    int64_t worst_us;
    int64_t worst_cpu_us;
    int64_t n_ticks;
    int n_waiting;
    int64_t until_us; /* runs are replaced by new ones until then */
    int64_t n_done;
    int64_t n_failed;
    char reason[512];
};

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_loop: %s: %s\n", what, why);
    exit(1);
}

#define OK(call)                                                                                   \
    do {                                                                                           \
        struct latchkey_fault why;                                                                 \
        if (!(call))                                                                               \
            die(#call, why.text);                                                                  \
    } while (0)

/* ---- gaps ---- */

static void note(struct bench *bench)
{
    int64_t now_us = read_clock(CLOCK_MONOTONIC), cpu_us = read_clock(CLOCK_THREAD_CPUTIME_ID);
    int64_t late_us = now_us - bench->tick_us - 1000, used_us = cpu_us - bench->tick_cpu_us;
    bench->worst_us = late_us > bench->worst_us ? late_us : bench->worst_us;
    bench->worst_cpu_us = used_us > bench->worst_cpu_us ? used_us : bench->worst_cpu_us;
    bench->tick_us = now_us;
    bench->tick_cpu_us = cpu_us;
    bench->n_ticks++;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct bench *bench = arg;
    struct timeval pause = {.tv_usec = 1000};
    (void)fd;
    (void)what;
    note(bench);
    event_add(bench->tick, &pause);
}

static void begin(struct bench *bench)
{
    note(bench);
    bench->worst_us = bench->worst_cpu_us = bench->n_done = bench->n_ticks = 0;
}

static void report(struct bench *bench, const char *what)
{
    note(bench);
    printf("%-44s %8lld done %9.1f ms late %9.1f ms of the processor\n", what,
           (long long)bench->n_done, (double)bench->worst_us / 1000,
           (double)bench->worst_cpu_us / 1000);
    if (bench->n_failed)
        die(what, bench->reason);
}

static void wait_for_all(struct bench *bench)
{
    while (bench->n_waiting > 0)
        event_base_loop(bench->base, EVLOOP_ONCE);
}

/* ---- what is told ---- */

static void told(struct bench *bench, const char *reason)
{
    bench->n_waiting--;
    bench->n_done++;
    if (reason) {
        bench->n_failed++;
        snprintf(bench->reason, sizeof bench->reason, "%s", reason);
    }
}

static void on_started(struct latchkey *host, const struct latchkey_fault *fault, void *arg)
{
    (void)host;
    told(arg, fault ? fault->text : NULL);
}

static void on_published(const char *workflow, int version, bool changed,
                         const struct latchkey_fault *fault, void *arg)
{
    (void)version;
    (void)changed;
    told(arg, workflow ? NULL : fault->text);
}

static void on_report(const char *text, const struct latchkey_fault *fault, void *arg)
{
    told(arg, text ? NULL : fault->text);
}

static void on_done(const struct latchkey_result *result, void *arg)
{
    told(arg, result->status == LATCHKEY_COMPLETED ? NULL : result->reason);
}

static void on_stopped(struct latchkey *host, void *arg)
{
    (void)host;
    told(arg, NULL);
}

static void count_one(struct bench *bench);

static void on_counted(const struct latchkey_result *result, void *arg)
{
    struct bench *bench = arg;
    on_done(result, arg);
    if (read_clock(CLOCK_MONOTONIC) < bench->until_us)
        count_one(bench);
}

static void count_one(struct bench *bench)
{
    char input[40];
    snprintf(input, sizeof input, "{\"id\":%d}", 1 + rand() % 1000);
    bench->n_waiting++;
    OK(latchkey_submit(bench->host, "loop-count", input, NULL, on_counted, bench, &why));
}

/* ---- kinds of work ---- */

static void publish(struct bench *bench, const char *text)
{
    bench->n_waiting++;
    OK(latchkey_publish(bench->host, "loop.yaml", text, -1, on_published, bench, &why));
}

static void run(struct bench *bench, const char *workflow, const char *input)
{
    bench->n_waiting++;
    OK(latchkey_submit(bench->host, workflow, input, NULL, on_done, bench, &why));
    wait_for_all(bench);
}

static void steady(struct bench *bench, int at_once, int seconds)
{
    char what[64];
    begin(bench);
    bench->until_us = read_clock(CLOCK_MONOTONIC) + (int64_t)seconds * 1000000;
    for (int i = 0; i < at_once; i++) {
        count_one(bench);
        if (i % 100 == 99)
            event_base_loop(bench->base, EVLOOP_NONBLOCK);
    }
    wait_for_all(bench);
    snprintf(what, sizeof what, "%d executions at a time", at_once);
    report(bench, what);
}

static void large_definition(struct bench *bench, char *text)
{
    size_t n = (size_t)sprintf(text, "workflow: loop-large\nstart: a0\nactivities:\n");
    for (int i = 0; i < ACTIVITIES; i++)
        n += (size_t)sprintf(text + n,
                             "  a%d:\n    title: %d of many\n    script: |\n"
                             "      -- %0200d\n      vars.n = (vars.n or 0) + %d\n"
                             "%s%d\n",
                             i, i, i, i,
                             i < ACTIVITIES - 1 ? "    navigation:\n      - to: a"
                                                : "    waiting-timeout: 1s\n    # ",
                             i + 1);
    begin(bench);
    publish(bench, text);
    wait_for_all(bench);
    char what[64];
    snprintf(what, sizeof what, "publishing a definition of %zu KiB", n / 1024);
    report(bench, what);
}

static void directory(struct bench *bench)
{
    char path[64] = "/tmp/latchkey-bench-XXXXXX", file[128];
    if (!mkdtemp(path))
        die("a directory", "cannot be made");
    for (int i = 0; i < FILES; i++) {
        snprintf(file, sizeof file, "%s/f%d.yaml", path, i);
        FILE *stream = fopen(file, "w");
        if (!stream)
            die(file, "cannot be written");
        fprintf(stream, "workflow: loop-f%d\nstart: x\nactivities:\n  x:\n    script: |\n", i);
        for (int line = 0; line < 40; line++)
            fprintf(stream, "      vars.a%d = %060d\n", line, i);
        fclose(stream);
    }
    for (int again = 0; again < 2; again++) {
        begin(bench);
        bench->n_waiting++;
        OK(latchkey_reload(bench->host, path, on_report, bench, &why));
        wait_for_all(bench);
        report(bench,
               again ? "reload of 100 files, unchanged" : "reload of 100 new files of 3 KiB");
    }
    for (int i = 0; i < FILES; i++) {
        snprintf(file, sizeof file, "%s/f%d.yaml", path, i);
        unlink(file);
    }
    rmdir(path);
}

static void large_values(struct bench *bench, char *text)
{
    size_t n = (size_t)sprintf(text, "{\"values\":[");
    for (int i = 0; i < VALUES; i++)
        n += (size_t)sprintf(text + n, "%s\"value number %d\"", i ? "," : "", i);
    sprintf(text + n, "]}");
    begin(bench);
    run(bench, "loop-echo", text);
    char what[64];
    snprintf(what, sizeof what, "input and output of %d values, %zu KiB", VALUES, n / 1024);
    report(bench, what);
}

/* ---- */

static void prepare(const char *conninfo)
{
    PGconn *conn = PQconnectdb(conninfo);
    char sql[300];
    snprintf(sql, sizeof sql,
             "DROP TABLE IF EXISTS loop_row; CREATE TABLE loop_row (id integer PRIMARY KEY, "
             "g integer NOT NULL, n bigint NOT NULL);"
             "INSERT INTO loop_row SELECT i, (i <= %d)::int, 0 FROM generate_series(1, %d) AS i;"
             "CREATE INDEX ON loop_row (g); ANALYZE loop_row",
             ROWS - 1000, ROWS);
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die("the table", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

int main(int argc, char **argv)
{
    struct event_config *config = event_config_new();
    struct bench bench = {0};
    int seconds = argc > 2 ? atoi(argv[2]) : 5;
    char *text = malloc(TEXT_BYTES_MAX);
    if (argc < 2 || !text || !config)
        die("usage", "bench_loop CONNINFO [SECONDS]");
    const char *options[] = {"database", argv[1], NULL};
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    bench.base = event_base_new_with_config(config);
    bench.tick = event_new(bench.base, -1, 0, on_tick, &bench);
    prepare(argv[1]);
    note(&bench);
    on_tick(-1, 0, &bench);

    begin(&bench);
    OK(latchkey_new(bench.base, options, &bench.host, &why));
    bench.n_waiting++;
    OK(latchkey_start(bench.host, on_started, &bench, &why));
    OK(latchkey_work(bench.host, 0, &why));
    wait_for_all(&bench);
    report(&bench, "start, with the schema");
    begin(&bench);
    publish(&bench, count_text);
    publish(&bench, list_text);
    publish(&bench, echo_text);
    publish(&bench, busy_text);
    wait_for_all(&bench);
    report(&bench, "publishing small definitions");
    steady(&bench, 1, seconds);
    steady(&bench, 64, seconds);
    steady(&bench, 1000, seconds);
    steady(&bench, 10000, seconds);
    large_values(&bench, text);
    begin(&bench);
    run(&bench, "loop-list", "{}");
    report(&bench, "a list of 9000 rows");
    begin(&bench);
    run(&bench, "loop-busy", "{}");
    report(&bench, "a script of two million rounds");
    large_definition(&bench, text);
    directory(&bench);
    begin(&bench);
    bench.n_waiting++;
    OK(latchkey_stop(bench.host, 5000, on_stopped, &bench, &why));
    wait_for_all(&bench);
    latchkey_free(bench.host);
    report(&bench, "stop");

    event_free(bench.tick);
    event_base_free(bench.base);
    event_config_free(config);
    free(text);
    return 0;
}
