/*
 * How `run` tells what it came to: as JSON or for people, on standard output; reasons on stderr.
 */
#pragma once
#include "result.h"
#include "run_totals.h"

/* One run. Returns the exit code. */
int run_report_result(const struct result *result, bool as_json);

/* Many. Returns the exit code; a signal that cut it short has the last word. */
int run_report_totals(const struct run_totals *totals, bool as_json, int signal_number);

/* Nothing ran: the object of one run (count 0) or the totals of many, all of them in the status
 * that the fault stands for. told: its reason is on stderr already. Returns the exit code. */
int run_report_fault(const struct fault *fault, const char *workflow, int64_t count, bool as_json,
                     bool told);

enum execution_status run_report_status(enum fault_kind kind);
