/*
 * Native actions: activities written in C, `action: NAME` in place of `script`. An action has the
 * contract of a script: it runs when the locks are held, the rows are loaded and the guard has said
 * yes, alone in a transaction of its own; what it sets is saved and committed when it is done, and
 * nothing of it when it fails, is too late or is stopped. Navigation, retries, on-conflict and the
 * limits of time are as for scripts.
 *
 *     static void charge(struct action *action, void *arg)
 *     {
 *         struct fault fault;
 *         json_t *paid = json_true();
 *         if (!action_set(action, "invoice", 0, "paid", paid, &fault))
 *             action_fail(action, fault.text);
 *         else
 *             action_done(action);
 *         json_decref(paid);
 *     }
 *     ... runtime_register_action(runtime, "charge", charge, NULL, &fault) ...
 *
 * The function runs on the runtime's loop and must not block. What takes time is started there and
 * ended later, from the loop as well: until then the transaction stays open, at most for the
 * waiting timeout. Whatever happens meanwhile, every run must be ended by exactly one action_done
 * or action_fail; that frees the action, so it is not touched again.
 *
 * Values are JSON: a null column is null, integers, booleans and floats are themselves, numeric is
 * a number or, where that would lose digits, a string, json columns are what they hold, all else is
 * a string, as in scripts.
 */
#pragma once
#include "fault.h"
#include "json.h"

#include <stdbool.h>
#include <stdint.h>

struct action; /* one run of an action */
struct runtime;

/* arg is what was registered. */
typedef void action_fn(struct action *action, void *arg);

/* From now on activities with `action: NAME` run it on this host. name is copied, arg kept. A host
 * without the action answers `invalid`. Fails with FAULT_INVALID for a name that is registered or
 * is none. */
MUST_CHECK bool runtime_register_action(struct runtime *runtime, const char *name, action_fn *fn,
                                        void *arg, struct fault *fault);

/* What the activity knows. Borrowed until the action is ended, also after it was cancelled. */
const char *action_instance(const struct action *action);
const char *action_activity(const struct action *action);
const json_t *action_input(const struct action *action);
const json_t *action_event(const struct action *action); /* {"name", "payload"}; NULL = none */

/* Objects to be changed in place: the instance's variables, which are kept with it, and the output,
 * which is empty at first. */
json_t *action_vars(struct action *action);
json_t *action_output(struct action *action);

/* The rows of `data.NAME`: 1, or 0 for an optional row that is not there, or as many as the list
 * has; -1 if nothing is declared so. */
int action_n_rows(struct action *action, const char *data);

/* A column of a row, as the action has set it or as it was loaded. *out is yours to json_decref.
 * Fails with FAULT_SCRIPT: no such row or column, or the action was cancelled. */
MUST_CHECK bool action_get(struct action *action, const char *data, int row, const char *column,
                           json_t **out, struct fault *fault);

/* Sets it; type, range and NOT NULL are checked at once. Fails with FAULT_SCRIPT. */
MUST_CHECK bool action_set(struct action *action, const char *data, int row, const char *column,
                           const json_t *value, struct fault *fault);

/* Time that is left until the lock is lost; 0 = it is too late, or the action was cancelled. */
int64_t action_remaining_us(const struct action *action);

/* The token of its lease, for systems outside the database to refuse a late writer; 0 = it holds
 * none. */
int64_t action_token(const struct action *action);

/* True when nothing that the action does will be kept: it was too late, or its host stops. */
bool action_is_cancelled(const struct action *action);

/* cancelled is called once, from the loop or within runtime_free, when that happens before the
 * action has ended; it may end the action itself. */
void action_on_cancel(struct action *action, action_fn *cancelled, void *arg);

/* The end: what was set is to be saved, or nothing and the activity has failed for this reason
 * (copied), and is tried again if it has retries. */
void action_done(struct action *action);
void action_fail(struct action *action, const char *reason);
