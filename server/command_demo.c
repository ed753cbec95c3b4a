#include "command.h"
#include "command_line.h"
#include "demo_place.h"
#include "run_hosts.h"
#include "sample_texts.h"
#include "session.h"
#include "spelling.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOSTS = 4,
    CONCURRENCY = 64,
    QUICK_DIVISOR = 5,
};

struct demo_variant {
    const char *file;
    const char *words;
    int64_t count;
    bool exact; /* its counter must be right */
};

struct demo {
    const char *name;
    const char *words;
    const char *vary;
    const char *reset;                   /* before each variant */
    const char *counter;                 /* what was counted since */
    const struct demo_variant *variants; /* ended by one without a file */
};

static const struct demo_variant message_read[] = {
    {"unlocked.yaml", "no lock", 1000, false},
    {"system-wide.yaml", "one lock for all", 200, true},
    {"lock-context.yaml", "a lock per message", 1000, true},
    {"message-read.yaml", "the same, no delay", 5000, true},
    {.file = NULL},
};

static const struct demo demos[] = {
    {"message-read",
     "Readers of 10 messages, by 4 host processes. Each loads a message's counter, adds one and\n"
     "saves it; in the first three it takes 5 ms over that.",
     "message_id=1..10", "UPDATE message SET read = 0 WHERE read <> 0",
     "SELECT coalesce(sum(read), 0)::bigint FROM message", message_read},
    {.name = NULL},
};

struct demo_outcome {
    const struct demo_variant *variant;
    struct run_totals totals;
    int64_t counter;
};

static const struct demo *find_demo(const char *name, struct fault *fault)
{
    struct spelling spelling = {0};
    for (const struct demo *demo = demos; demo->name; demo++) {
        if (strcmp(demo->name, name) == 0)
            return demo;
        spelling_consider(&spelling, name, demo->name);
    }
    if (spelling.nearest)
        fault_set(fault, FAULT_INVALID, "there is no demo '%s'; did you mean '%s'?", name,
                  spelling.nearest);
    else
        fault_set(fault, FAULT_INVALID, "there is no demo '%s'; there is %s", name, demos[0].name);
    return NULL;
}

static int64_t lost(const struct demo_outcome *outcome)
{
    return outcome->totals.counts[STATUS_COMPLETED] - outcome->counter;
}

static void print_head(void)
{
    printf("%-18s  %-18s  %10s %10s %10s %10s %10s\n", "definition", "", "completed", "counter",
           "lost", "per second", "p99 ms");
}

static void print_row(const struct demo_outcome *outcome)
{
    printf("%-18s  %-18s  %10ld %10lld %10lld %10.0f %10.1f\n", outcome->variant->file,
           outcome->variant->words, outcome->totals.counts[STATUS_COMPLETED],
           (long long)outcome->counter, (long long)lost(outcome),
           run_totals_per_second(&outcome->totals),
           run_totals_percentile_ms(&outcome->totals, 0.99));
    fflush(stdout);
}

static json_t *row_to_json(const struct demo_outcome *outcome)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f}", "definition", outcome->variant->file,
                     "count", (json_int_t)run_totals_count(&outcome->totals), "completed",
                     (json_int_t)outcome->totals.counts[STATUS_COMPLETED], "counter",
                     (json_int_t)outcome->counter, "lost", (json_int_t)lost(outcome), "per_second",
                     run_totals_per_second(&outcome->totals), "p99_ms",
                     run_totals_percentile_ms(&outcome->totals, 0.99));
}

static bool load_schema(struct demo_place *place, const struct demo *demo, struct fault *fault)
{
    char name[128];
    snprintf(name, sizeof name, "%s/schema.sql", demo->name);
    return demo_place_run(place, sample_text_find(name), fault);
}

static bool run_plan_of(const struct demo *demo, const struct demo_variant *variant, bool quick,
                        struct run_plan **out, struct fault *fault)
{
    struct run_plan_source source = {
        .varies = &demo->vary,
        .n_varies = 1,
        .count = quick ? variant->count / QUICK_DIVISOR : variant->count,
    };
    return run_plan_new(&source, out, fault);
}

static bool run_variant(const struct command_line *line, struct demo_place *place,
                        const struct demo *demo, struct demo_outcome *outcome, int *signal_number,
                        struct fault *fault)
{
    struct text file;
    struct run_hosts_options options = {
        .base = place->base,
        .conninfo = text_chars(&place->conninfo),
        .schema = place->schema,
        .n_hosts = HOSTS,
        .concurrency = CONCURRENCY,
        .pool = SESSION_POOL_DEFAULT,
        .quiet = command_line_has(line, OPTION_QUIET),
    };
    text_init(&file, 1024);
    run_totals_init(&outcome->totals);
    bool ok = demo_place_write(place, demo->name, outcome->variant->file, &file, fault) &&
              demo_place_run(place, demo->reset, fault) &&
              run_plan_of(demo, outcome->variant, command_line_has(line, OPTION_QUICK),
                          &options.plan, fault);
    options.target = text_chars(&file);
    ok = ok && run_hosts(&options, &outcome->totals, signal_number, fault) &&
         demo_place_number(place, demo->counter, &outcome->counter, fault);
    run_plan_free(options.plan);
    text_done(&file);
    return ok;
}

/* The worst exit code: a locked variant that lost something is our own failure. */
static int exit_code_of(const struct demo_outcome *outcome)
{
    if (outcome->variant->exact &&
        (lost(outcome) > 0 || -lost(outcome) > outcome->totals.counts[STATUS_UNKNOWN])) {
        fprintf(stderr, "latchkey: the counter of %s is wrong\n", outcome->variant->file);
        return 1;
    }
    run_totals_print_reasons(&outcome->totals, stderr);
    return run_totals_exit_code(&outcome->totals);
}

static int play(const struct command_line *line, struct demo_place *place, const struct demo *demo)
{
    struct fault fault;
    int exit_code = 0;
    int signal_number = 0;
    bool as_json = command_line_has(line, OPTION_JSON);
    json_t *rows = json_array();
    struct demo_outcome *outcome = calloc(1, sizeof *outcome);
    bool ok = rows && outcome ? load_schema(place, demo, &fault) : fault_no_memory(&fault);
    if (ok && !as_json)
        print_head();
    for (const struct demo_variant *variant = demo->variants; ok && variant->file && !signal_number;
         variant++) {
        outcome->variant = variant;
        ok = run_variant(line, place, demo, outcome, &signal_number, &fault);
        if (!ok)
            break;
        json_array_append_new(rows, row_to_json(outcome));
        if (!as_json)
            print_row(outcome);
        int code = exit_code_of(outcome);
        exit_code = exit_code ? exit_code : code;
    }
    if (as_json)
        command_print_json(rows);
    if (signal_number)
        exit_code = EXIT_SIGNAL + signal_number;
    json_decref(rows);
    free(outcome);
    return ok ? exit_code : command_fail(&fault);
}

int command_demo(const struct command_line *line)
{
    struct fault fault;
    struct demo_place place;
    int exit_code;
    const struct demo *demo =
        find_demo(line->n_arguments ? line->arguments[0] : demos[0].name, &fault);
    if (!demo)
        return command_fail(&fault);
    struct event_base *base = session_new_loop();
    if (!base) {
        fault_no_memory(&fault);
        return command_fail(&fault);
    }
    /* Whatever comes, the end must be reached, where all that was made is removed. While hosts run,
     * a signal stops them. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    command_say(line, "%s", demo->words);
    if (demo_place_open(line, base, &place, &fault))
        exit_code = play(line, &place, demo);
    else
        exit_code = command_fail(&fault);
    demo_place_close(&place);
    event_base_free(base);
    return exit_code;
}
