/*
 * The Lua side of one run of an activity: its guard, then its script, over the rows it was given.
 * Knows no transaction: what the script wants from the database it asks for, and stops until it
 * has the answer.
 *
 *   script_new --> script_start --> SCRIPT_ENDED | SCRIPT_BLOCKED | SCRIPT_FAILED
 *                              --> SCRIPT_ASKS (script_request; script_answer...) --> script_resume
 *                              --> SCRIPT_SLICED (it takes long) --> script_resume
 */
#pragma once
#include "batch_rows.h"
#include "execution.h"
#include "row_lua.h"

struct script;

enum script_state {
    SCRIPT_ENDED,   /* changes and output may be read */
    SCRIPT_BLOCKED, /* the guard said no; nothing ran */
    SCRIPT_FAILED,  /* raised, or fail() was called: *fault */
    SCRIPT_ASKS,    /* wants something that takes a transaction of its own */
    SCRIPT_SLICED,  /* ran for a slice; the loop should turn before it goes on */
};

enum request_kind {
    REQUEST_SQL,    /* text and parameters */
    REQUEST_SLEEP,  /* seconds */
    REQUEST_NEW,    /* objects.new(table, fields), list:add(fields) */
    REQUEST_LOAD,   /* objects.load(table, key) */
    REQUEST_LIST,   /* objects.list(table, {where=, order_by=}) */
    REQUEST_ACTION, /* a native action in the place of the script: script_act */
    REQUEST_DELETE, /* objects.delete(row), list:remove(row) */
    REQUEST_TOKEN,  /* lock.token without a lease */
};

struct script_request {
    enum request_kind kind;
    const char *place; /* "FILE:LINE", "" if not known */
    const char *text;  /* SQL, or the table's name */
    double seconds;
    int list_slot; /* REQUEST_NEW by list:add: the slot of the list; otherwise -1 */
    int n_params;
    const char *params[PG_PARAMS_MAX]; /* text forms; NULL = null */
};

/* execution, region and rows outlive the script. *out is yours to script_free. */
MUST_CHECK bool script_new(struct execution *execution, struct region *region,
                           struct batch_rows *rows, struct script **out, struct fault *fault);
void script_free(struct script *script);

/* What an earlier script of the same transaction logged and emitted goes first; NULL = none. */
void script_follow(struct script *script, struct script *previous);

/* Makes rows of slot `data.NAME` visible; call for each declaration before script_start. */
MUST_CHECK bool script_bind(struct script *script, const struct data_plan *plan, int slot,
                            struct fault *fault);

/* Evaluates the lock context over the rows as they are; before script_start. *out is yours. */
MUST_CHECK bool script_lock(struct script *script, struct lock_set **out, struct fault *fault);

enum script_state script_start(struct script *script, struct fault *fault);
enum script_state script_resume(struct script *script, struct fault *fault);

/* After SCRIPT_SLICED: how long others should have the loop before it goes on, mostly 0. */
int64_t script_pause_us(const struct script *script);

/* The answer to REQUEST_ACTION: a run of an action, lent to whoever carries it out. script_resume
 * when it has ended. deadline_us on the monotonic clock. */
struct action;
MUST_CHECK bool script_act(struct script *script, int64_t deadline_us, struct action **out,
                           struct fault *fault);

/* Whether it ended by fail(reason). */
bool script_called_fail(const struct script *script);

const struct script_request *script_request(const struct script *script);

/* The thread on whose stack the arguments of a REQUEST_NEW/LOAD/LIST/DELETE stand, from 1 on. */
lua_State *script_arguments(struct script *script);

/* The answer to the request becomes the result of the function that asked; then script_resume. */
MUST_CHECK bool script_answer_nothing(struct script *script, struct fault *fault);
MUST_CHECK bool script_answer_sql(struct script *script, const PGresult *result,
                                  struct fault *fault);
MUST_CHECK bool script_answer_row(struct script *script, struct row *row, struct fault *fault);
MUST_CHECK bool script_answer_rows(struct script *script, int slot, struct fault *fault);

/* The change behind a row userdata at index of script_arguments; NULL if it is none. */
struct row_change *script_row_at(struct script *script, int index);

/* After SCRIPT_ENDED, or before the script's own SQL: the changes, in the order of binding. */
MUST_CHECK bool script_settle(struct script *script, struct fault *fault);
int script_n_changes(const struct script *script);
struct row_change *script_change(const struct script *script, int i);

/* After a statement of the script's own and script_refresh: `data` gets the rows that are there
 * now. A list keeps its table. */
MUST_CHECK bool script_rebind(struct script *script, struct fault *fault);

/* Changes were kept and saved, or rows were loaded anew: the script's copies start from the rows.
 */
void script_refresh(struct script *script);

/* The output as JSON, NULL if empty. *out is yours. Fails with FAULT_SCRIPT if it is no JSON. */
MUST_CHECK bool script_output(struct script *script, json_t **out, struct fault *fault);

/* The instance's vars as the script left them, NULL if empty. *out is yours. */
MUST_CHECK bool script_vars(struct script *script, json_t **out, struct fault *fault);

/* After script_settle: the activity that the first true rule leads to, -1 = the workflow ends. The
 * rules see vars as given here. */
MUST_CHECK bool script_navigate(struct script *script, const json_t *vars, int *next,
                                struct fault *fault);

/* What it emitted, in order; NULL if nothing. */
struct script_event {
    struct script_event *next;
    const char *name;
    const char *payload; /* JSON, an object */
};
const struct script_event *script_events(const struct script *script);

/* As script_follow said; NULL if there is none. */
const struct script *script_previous(const struct script *script);

/* Writes its buffered log lines: once its outcome is final. */
void script_flush_log(struct script *script);

/* Adds sql, objects, sleep, fail, ... to what scripts see. Once per sandbox; may raise. */
int script_functions_open(lua_State *L);
