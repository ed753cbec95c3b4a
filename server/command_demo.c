#include "command.h"
#include "command_line.h"
#include "demo_place.h"
#include "demo_sample.h"
#include "run_hosts.h"
#include "session.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUICK_DIVISOR = 5,
};

struct demo_outcome {
    const struct demo_variant *variant;
    struct run_totals totals;
    int64_t counter;
    int64_t wrong;
};

/* The columns of those turned away only where a sample expects any. */
static void print_head(const struct demo_sample *sample)
{
    printf("%-20s  %-20s  %10s ", "definition", "", "completed");
    if (sample->turns_away)
        printf("%10s %10s ", "locked", "blocked");
    printf("%10s %10s %10s %10s\n", sample->counter_name, sample->wrong_name, "per second",
           "p99 ms");
}

static void print_row(const struct demo_sample *sample, const struct demo_outcome *outcome)
{
    const long *counts = outcome->totals.counts;
    printf("%-20s  %-20s  %10ld ", outcome->variant->file, outcome->variant->words,
           counts[STATUS_COMPLETED]);
    if (sample->turns_away)
        printf("%10ld %10ld ", counts[STATUS_LOCKED], counts[STATUS_BLOCKED]);
    printf("%10lld %10lld %10.0f %10.1f\n", (long long)outcome->counter, (long long)outcome->wrong,
           run_totals_per_second(&outcome->totals),
           run_totals_percentile_ms(&outcome->totals, 0.99));
    fflush(stdout);
}

/* The two columns of the sample bear its own names, with underscores. */
static bool add_number(json_t *row, const char *name, int64_t number)
{
    char key[32];
    snprintf(key, sizeof key, "%s", name);
    for (char *at = key; (at = strchr(at, ' '));)
        *at = '_';
    return json_object_set_new(row, key, json_integer(number)) == 0;
}

static bool add_row(const struct demo_sample *sample, const struct demo_outcome *outcome,
                    json_t *rows, struct fault *fault)
{
    const struct run_totals *totals = &outcome->totals;
    json_t *row = json_pack("{s:s, s:I, s:I, s:I, s:I}", "definition", outcome->variant->file,
                            "count", (json_int_t)run_totals_count(totals), "completed",
                            (json_int_t)totals->counts[STATUS_COMPLETED], "locked",
                            (json_int_t)totals->counts[STATUS_LOCKED], "blocked",
                            (json_int_t)totals->counts[STATUS_BLOCKED]);
    bool ok =
        row && add_number(row, sample->counter_name, outcome->counter) &&
        add_number(row, sample->wrong_name, outcome->wrong) &&
        json_object_set_new(row, "per_second", json_real(run_totals_per_second(totals))) == 0 &&
        json_object_set_new(row, "p99_ms", json_real(run_totals_percentile_ms(totals, 0.99))) ==
            0 &&
        json_array_append(rows, row) == 0;
    json_decref(row);
    return ok || fault_no_memory(fault);
}

static bool run_plan_of(struct demo_place *place, const struct demo_sample *sample,
                        const struct demo_variant *variant, bool quick, struct run_plan **out,
                        struct fault *fault)
{
    struct text inputs;
    struct run_plan_source source = {
        .varies = &sample->vary,
        .n_varies = sample->vary ? 1 : 0,
        .count = quick ? variant->count / QUICK_DIVISOR : variant->count,
    };
    text_init(&inputs, 1024);
    bool ok =
        !sample->inputs || demo_place_write(place, sample->name, sample->inputs, &inputs, fault);
    if (sample->inputs)
        source.inputs_file = text_chars(&inputs);
    ok = ok && run_plan_new(&source, out, fault);
    text_done(&inputs);
    return ok;
}

static bool run_variant(const struct command_line *line, struct demo_place *place,
                        const struct demo_sample *sample, struct demo_outcome *outcome,
                        int *signal_number, struct fault *fault)
{
    struct text file;
    struct run_hosts_options options = {
        .base = place->base,
        .conninfo = text_chars(&place->conninfo),
        .schema = place->schema,
        .n_hosts = sample->n_hosts,
        .concurrency = sample->concurrency,
        .pool = SESSION_POOL_DEFAULT,
        .busy_poll_us = runtime_default_options().busy_poll_us,
        .quiet = command_line_has(line, OPTION_QUIET),
    };
    text_init(&file, 1024);
    run_totals_init(&outcome->totals);
    bool ok = demo_place_write(place, sample->name, outcome->variant->file, &file, fault) &&
              demo_place_run(place, sample->reset, fault) &&
              run_plan_of(place, sample, outcome->variant, command_line_has(line, OPTION_QUICK),
                          &options.plan, fault);
    options.target = text_chars(&file);
    ok = ok && run_hosts(&options, &outcome->totals, signal_number, fault);
    int64_t n_completed = outcome->totals.counts[STATUS_COMPLETED];
    ok = ok && demo_place_number(place, sample->counter, NULL, &outcome->counter, fault) &&
         demo_place_number(place, sample->wrong, &n_completed, &outcome->wrong, fault);
    run_plan_free(options.plan);
    text_done(&file);
    return ok;
}

/* The worst exit code: a locked variant that left something wrong is our own failure. What is
 * unknown may have been done without being counted. */
static int exit_code_of(const struct demo_sample *sample, const struct demo_outcome *outcome)
{
    if (outcome->variant->exact &&
        (outcome->wrong > 0 || -outcome->wrong > outcome->totals.counts[STATUS_UNKNOWN])) {
        fprintf(stderr, "latchkey: %s left %lld %s\n", outcome->variant->file,
                (long long)outcome->wrong, sample->wrong_name);
        return 1;
    }
    enum execution_status worst = execution_status_worst(outcome->totals.counts);
    if (sample->turns_away && (worst == STATUS_LOCKED || worst == STATUS_BLOCKED))
        return 0;
    run_totals_print_reasons(&outcome->totals, stderr);
    return run_totals_exit_code(&outcome->totals);
}

static int play(const struct command_line *line, struct demo_place *place,
                const struct demo_sample *sample)
{
    struct fault fault;
    int exit_code = 0;
    int signal_number = 0;
    bool as_json = command_line_has(line, OPTION_JSON);
    json_t *rows = json_array();
    struct demo_outcome *outcome = calloc(1, sizeof *outcome);
    bool ok =
        rows && outcome ? demo_place_load(place, sample->name, &fault) : fault_no_memory(&fault);
    if (ok && !as_json)
        print_head(sample);
    for (const struct demo_variant *variant = sample->variants;
         ok && variant->file && !signal_number; variant++) {
        outcome->variant = variant;
        ok = run_variant(line, place, sample, outcome, &signal_number, &fault) &&
             add_row(sample, outcome, rows, &fault);
        if (!ok)
            break;
        if (!as_json)
            print_row(sample, outcome);
        int code = exit_code_of(sample, outcome);
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
    const struct demo_sample *sample =
        demo_sample_find(line->n_arguments ? line->arguments[0] : demo_samples[0].name, &fault);
    if (!sample)
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
    command_say(line, "%s", sample->words);
    if (demo_place_open(line, base, &place, &fault))
        exit_code = sample->play ? sample->play(line, &place) : play(line, &place, sample);
    else
        exit_code = command_fail(&fault);
    demo_place_close(&place);
    event_base_free(base);
    return exit_code;
}
