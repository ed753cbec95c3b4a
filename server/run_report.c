#include "run_report.h"

#include "command.h"

#include <stdlib.h>

enum execution_status run_report_status(enum fault_kind kind)
{
    /* before a run a script can only fail as a part of its definition */
    return kind == FAULT_SCRIPT ? STATUS_INVALID : execution_status_of_fault(kind);
}

static void print_json(const struct result *result)
{
    json_t *object = result_to_json(result);
    command_print_json(object);
    json_decref(object);
}

static void print_table(const struct result *result)
{
    printf("%-9s %s\n", "status", execution_status_row(result->status)->name);
    if (result->workflow[0] && result->version)
        printf("%-9s %s, version %d\n", "workflow", result->workflow, result->version);
    if (result->activity[0])
        printf("%-9s %s\n", "activity", result->activity);
    if (result->id[0])
        printf("%-9s %s\n", "instance", result->id);
    for (int i = 0; i < result->n_paths; i++)
        printf("%-9s %s\n", i ? "" : "locks", result->paths[i]);
    if (result->token)
        printf("%-9s %lld\n", "token", (long long)result->token);
    printf("%-9s %.1f ms\n%-9s %.1f ms\n", "waited", (double)result->waited_us / 1000, "held",
           (double)result->held_us / 1000);
    char *output = result->output ? json_write(result->output) : NULL;
    if (output)
        printf("%-9s %s\n", "output", output);
    free(output);
}

int run_report_result(const struct result *result, bool as_json)
{
    if (as_json)
        print_json(result);
    else
        print_table(result);
    fflush(stdout);
    if (result->reason[0])
        fprintf(stderr, "latchkey: %s: %s\n", execution_status_row(result->status)->name,
                result->reason);
    return execution_status_row(result->status)->exit_code;
}

int run_report_totals(const struct run_totals *totals, bool as_json, int signal_number)
{
    if (as_json)
        run_totals_print_json(totals, stdout);
    else
        run_totals_print(totals, stdout);
    fflush(stdout);
    run_totals_print_reasons(totals, stderr);
    if (signal_number) {
        fprintf(stderr, "latchkey: stopped by signal %d before all had run\n", signal_number);
        return EXIT_SIGNAL + signal_number;
    }
    return run_totals_exit_code(totals);
}

int run_report_fault(const struct fault *fault, const char *workflow, int64_t count, bool as_json,
                     bool told)
{
    enum execution_status status = run_report_status(fault->kind);
    struct result result = {
        .workflow = workflow,
        .activity = "",
        .status = status,
        .reason = fault->text,
    };
    if (!told)
        fprintf(stderr, "latchkey: %s\n", fault->text);
    if (as_json && count > 0) {
        struct run_totals *totals = calloc(1, sizeof *totals);
        if (totals) {
            run_totals_add_many(totals, status, (long)count, fault->text);
            run_totals_print_json(totals, stdout);
        }
        free(totals);
    } else if (as_json) {
        print_json(&result);
    }
    return execution_status_row(status)->exit_code;
}
