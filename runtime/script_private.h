/* What script.c (life), script_functions.c (what scripts call) and script_answer.c share. */
#pragma once
#include "script.h"
#include "script_place.h"

struct bound_row {
    struct row_binding binding;
    struct row_change change;
    int slot; /* of batch_rows; -1 = made by the script */
};

/* A declaration and the slot of its rows. */
struct bound_data {
    struct bound_data *next;
    const struct data_plan *plan;
    int slot;
};

struct log_entry {
    struct log_entry *next;
    int level;
    const char *text;
};

struct script {
    struct execution *execution;
    struct region *region;
    struct batch_rows *rows;
    struct script_place *place;
    struct scope *scope; /* of the place */
    bool locks;          /* its lock context is evaluated */
    struct task *task;
    struct action *action; /* in the place of a task */
    struct bound_row **bound;
    int n_bound, bound_capacity;
    struct bound_data *data;
    struct script_request request;
    bool asks;
    bool gave_up;  /* fail() was called */
    int n_results; /* on the task's stack, for the next resume */
    struct fault failure;
    struct log_entry *log, **log_end;
    int n_log;
    struct script *previous;
    struct script_event *events, **events_end;
    int n_events;
};

/* Runs body(script, L, arg) on the main thread's stack, protected; errors become *fault. */
typedef void script_body_fn(struct script *script, lua_State *L, void *arg);
MUST_CHECK bool script_protect(struct script *script, script_body_fn *body, void *arg,
                               struct fault *fault);

/* Inside script_protect: makes a userdata for a row and pushes it. */
void script_push_row(struct script *script, lua_State *L, struct row *row, int slot,
                     const char *name);

/* Guards and rules may look at rows and not change them. */
void script_set_read_only(struct script *script, bool read_only);

/* Makes the table on top, `lock`, answer for a token that it has not. */
void script_functions_lock(lua_State *L);

/* Gives the table on top the methods of a list of rows. table is kept by the state. */
void script_functions_list(lua_State *L, int slot, const char *table);
