#include "command.h"
#include "command_line.h"
#include "neighbour_schema.h"
#include "run_hosts.h"
#include "run_load.h"
#include "run_report.h"
#include "run_target.h"
#include "run_worker.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

/* One `run` from its options to its answer. */
struct run {
    const struct command_line *line;
    bool as_json;
    bool quiet;
    bool told; /* the reason of a failure is on stderr already */
    struct run_plan *plan;
    struct run_target target;
    struct session session;
    struct run_totals *totals;
    int64_t hosts; /* 0 = this process alone */
    int64_t concurrency;
    int pool;
    int busy_poll_us;
    int exit_code; /* of a single run */
    bool answered; /* a single run was reported */
};

static bool read_plan(struct run *run, struct fault *fault)
{
    const struct command_line *line = run->line;
    const char *varies[RUN_PLAN_VARIES_MAX];
    struct run_plan_source source = {
        .input = command_line_value(line, OPTION_INPUT),
        .inputs_file = command_line_value(line, OPTION_INPUTS),
        .varies = varies,
    };
    if (!command_line_integer(line, OPTION_COUNT, 1, RUN_PLAN_COUNT_MAX, &source.count, fault))
        return false;
    for (int i = 0; i < line->n_given; i++) {
        if (line->given[i].option != OPTION_VARY)
            continue;
        if (source.n_varies == RUN_PLAN_VARIES_MAX)
            return fault_set(fault, FAULT_INVALID, "--vary is given more than %d times",
                             RUN_PLAN_VARIES_MAX);
        varies[source.n_varies++] = line->given[i].value;
    }
    return run_plan_new(&source, &run->plan, fault);
}

static bool read_options(struct run *run, struct fault *fault)
{
    const struct command_line *line = run->line;
    run->concurrency = RUN_CONCURRENCY_DEFAULT;
    if (!read_plan(run, fault) ||
        !command_line_integer(line, OPTION_CONCURRENCY, 1, RUN_CONCURRENCY_MAX, &run->concurrency,
                              fault) ||
        !command_line_integer(line, OPTION_HOSTS, 1, RUN_HOSTS_MAX, &run->hosts, fault) ||
        !session_read_options(line, &run->pool, &run->busy_poll_us, fault))
        return false;
    if (run->hosts && run_plan_is_single(run->plan))
        return fault_set(fault, FAULT_INVALID, "--hosts wants --count or --inputs");
    if (run->concurrency > run_plan_count(run->plan))
        run->concurrency = run_plan_count(run->plan);
    return true;
}

/* All inputs of a plan without a file have one shape, so what is wrong with one is wrong with all
 * and is told without a database. Of a file, each line is one run's own affair. */
static bool check_first_input(struct run *run, struct fault *fault)
{
    if (!run->target.definition || command_line_has(run->line, OPTION_INPUTS))
        return true;
    json_t *input = run_plan_input(run->plan, 0);
    if (!input)
        return fault_no_memory(fault);
    bool ok = definition_check_input(run->target.definition, input, fault);
    json_decref(input);
    return ok;
}

static void on_result(const struct result *result, void *arg)
{
    struct run *run = arg;
    run->exit_code = run_report_result(result, run->as_json);
    run->answered = true;
}

static bool load_neighbour(struct run *run, struct fault *fault)
{
    bool loaded = false;
    if (!run->target.is_file || !run->session.choice.embedded)
        return true;
    bool ok = neighbour_schema_load(&run->session, run->target.text, &loaded, fault);
    if (ok && loaded)
        command_say(run->line, "loaded the schema.sql beside %s into the embedded PostgreSQL",
                    run->target.text);
    return ok;
}

static bool run_here(struct run *run, int *signal_number, struct fault *fault)
{
    bool single = run_plan_is_single(run->plan);
    bool published;
    struct run_load *load = NULL;
    struct run_load_options options = {
        .plan = run->plan,
        .concurrency = (int)run->concurrency,
        .quiet = run->quiet,
        .key = command_line_value(run->line, OPTION_KEY),
        .queue = command_line_has(run->line, OPTION_QUEUE),
        .each = single ? on_result : NULL,
        .arg = run,
    };
    run->session.expected = run->target.definition;
    if (!session_start(run->line, &run->session, single ? SESSION_POOL_LONE : SESSION_POOL_MAX,
                       fault) ||
        !run_target_open(&run->target, run->session.runtime, &options.workflow, &published, fault))
        return false;
    if (published)
        command_say(run->line, "published %s, version %d",
                    workflow_definition(options.workflow)->name,
                    workflow_version(options.workflow));
    options.base = run->session.base;
    options.runtime = run->session.runtime;
    bool ok = run_load_new(&options, run->totals, &load, fault) &&
              run_load_run(load, signal_number, fault);
    session_close(&run->session); /* answers what is still under way */
    run_load_free(load);
    return ok;
}

static bool run_there(struct run *run, int *signal_number, struct fault *fault)
{
    struct run_hosts_options options = {
        .base = run->session.base,
        .target = run->target.text,
        .conninfo = text_chars(&run->session.choice.conninfo),
        .schema = run->session.choice.schema,
        .plan = run->plan,
        .n_hosts = (int)run->hosts,
        .concurrency = (int)run->concurrency,
        .pool = run->pool,
        .busy_poll_us = run->busy_poll_us,
        .key = command_line_value(run->line, OPTION_KEY),
        .queue = command_line_has(run->line, OPTION_QUEUE),
        .quiet = run->quiet,
        .log_form = run->session.log.form,
    };
    return run_hosts(&options, run->totals, signal_number, fault);
}

static bool go(struct run *run, int *signal_number, struct fault *fault)
{
    run->told = true; /* a bad file's problems are */
    if (!run_target_read(&run->target, run->line->arguments[0], run->quiet, fault))
        return false;
    run->told = false;
    run->totals = calloc(1, sizeof *run->totals);
    if (!run->totals)
        return fault_no_memory(fault);
    if (!check_first_input(run, fault) || !session_prepare(run->line, &run->session, fault) ||
        !load_neighbour(run, fault))
        return false;
    return run->hosts ? run_there(run, signal_number, fault) : run_here(run, signal_number, fault);
}

static int report(struct run *run, bool ok, int signal_number, const struct fault *fault)
{
    bool single = !run->plan || run_plan_is_single(run->plan);
    if (run->answered)
        return run->exit_code;
    if (ok || (run->totals && run_totals_count(run->totals) > 0)) {
        if (!ok)
            fprintf(stderr, "latchkey: %s\n", fault->text);
        int exit_code = run_report_totals(run->totals, run->as_json, signal_number);
        return exit_code || ok ? exit_code : 1;
    }
    return run_report_fault(fault, run_target_name(&run->target),
                            single ? 0 : run_plan_count(run->plan), run->as_json, run->told);
}

int command_run(const struct command_line *line)
{
    struct fault fault;
    int signal_number = 0;
    struct run run = {
        .line = line,
        .as_json = command_line_has(line, OPTION_JSON),
        .quiet = command_line_has(line, OPTION_QUIET),
    };
    if (command_line_has(line, OPTION_WORKER))
        return run_worker(line);
    if (!read_options(&run, &fault)) {
        run_plan_free(run.plan);
        return command_run_refused(line, &fault);
    }
    bool ok = go(&run, &signal_number, &fault);
    session_close(&run.session);
    int exit_code = report(&run, ok, signal_number, &fault);
    run_target_done(&run.target);
    run_plan_free(run.plan);
    free(run.totals);
    return exit_code;
}

int command_run_refused(const struct command_line *line, const struct fault *fault)
{
    struct fault ignored;
    int64_t count = 0;
    bool counted =
        command_line_integer(line, OPTION_COUNT, 1, RUN_PLAN_COUNT_MAX, &count, &ignored);
    if (command_line_has(line, OPTION_WORKER))
        return command_fail(fault);
    return run_report_fault(fault, "", counted ? count : 0, command_line_has(line, OPTION_JSON),
                            /* told= */ false);
}
