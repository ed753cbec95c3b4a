/**
 * @file
 * @brief latchkey inside a program of your own, on its libevent loop.
 *
 * A host is one participant in a database: it publishes definitions, runs workflows, takes part in
 * their locks, and may do background work. Any number of hosts, in any number of processes, share a
 * database; several may live in one process and on one loop.
 *
 * What holds for every call:
 *
 * - Everything happens on the thread that runs the event base, and nothing waits: a call only
 *   starts something. What became of it is told to a callback, exactly once, by the loop or within
 *   latchkey_free(), and never before the call has returned.
 * - A call that returns false has started nothing; its callback is not called, and the fault says
 *   why. `fault` is never NULL.
 * - Strings given to a call are copied. What a callback is given is lent until it returns.
 * - JSON is text in UTF-8. JSON that a call returns as `char *` is yours to free().
 * - Callbacks may call anything but latchkey_free(), which only latchkey_started_fn and
 *   latchkey_stopped_fn may.
 *
 * Link with `pkg-config --cflags --libs latchkey` or, in CMake, `find_package(latchkey)` and the
 * target `latchkey::latchkey`.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Marks what the shared library exports. */
#define LATCHKEY_API __attribute__((visibility("default")))
/** Marks a call whose answer must be looked at. */
#define LATCHKEY_CHECK LATCHKEY_API __attribute__((warn_unused_result))

struct event_base;

/** A host. Opaque. */
struct latchkey;

/** One run of a native action. Opaque. */
struct latchkey_action;

/** The version of the library, as "0.1.0". */
LATCHKEY_API const char *latchkey_version(void);

/** @name Failures
 * @{ */

/** What went wrong, coarse enough to branch on. Each kind has one reaction. */
enum latchkey_fault_kind {
    LATCHKEY_FAULT_NONE,      /**< nothing failed */
    LATCHKEY_FAULT_INVALID,   /**< the caller's input is wrong: report it, never retry */
    LATCHKEY_FAULT_MISSING,   /**< the named thing does not exist */
    LATCHKEY_FAULT_CONFLICT,  /**< lost a race or a lock: retry later */
    LATCHKEY_FAULT_DATABASE,  /**< PostgreSQL refused or is away: see the sqlstate */
    LATCHKEY_FAULT_SCRIPT,    /**< an expression, a script or an action failed */
    LATCHKEY_FAULT_EXHAUSTED, /**< memory or a limit ran out: give this request up */
    LATCHKEY_FAULT_CANCELLED, /**< the host stops */
    LATCHKEY_FAULT_UNKNOWN    /**< the commit's answer was lost: look it up, never retry */
};

/** A failure, as a value. */
struct latchkey_fault {
    enum latchkey_fault_kind kind; /**< what to do about it */
    char sqlstate[6];              /**< five characters from PostgreSQL, or "" */
    char text[512];                /**< one English sentence, no newline */
};

/** @}
 * @name A host's life
 * @{ */

/**
 * Makes a host; connects to nothing yet.
 *
 * @param base the loop it will live on, kept
 * @param options names and values in turn, ended by NULL; or NULL for no options. Unknown names and
 *        unreadable values are LATCHKEY_FAULT_INVALID. Durations are written as in definitions,
 *        "500ms" or "30s".
 * @param out yours to latchkey_free()
 * @param fault why it failed
 *
 * | option | value | unless given |
 * |---|---|---|
 * | `database` | libpq connection string or URI | `LATCHKEY_DATABASE`, else the `PG*` variables |
 * | `schema` | latchkey's own schema | `LATCHKEY_SCHEMA`, else `latchkey` |
 * | `pool` | connections at most, 2 to 400; one more listens for changes of definitions | 12 |
 * | `waiters` | of them, so many may wait for locks | a quarter of the pool |
 * | `queue-after` | a lock refused for longer is waited for in PostgreSQL's own queue | 50ms |
 * | `start-patience` | how long latchkey_start() bears a database that is away or full | 30s |
 * | `connect-timeout` | of one attempt to connect | 5s |
 * | `look-up` | how long is asked what became of a commit whose answer was lost | 10s |
 * | `ownership-timeout` | a host silent for so long loses its instances and jobs | 30s |
 * | `busy-poll-us` | a lone execution's answers keep the loop awake; 0 to 10000, 0 = never | 750 |
 * | `prepared-statements` | `true`, or `false` for a pooler that is not noticed | `true` |
 * | `watchdog` | Lua that holds the loop for so much processor time ends the process; 0s = never
 *   | 0s |
 * | `definitions` | directory that is read when any host asks for a reload | none |
 * | `published-by` | who is recorded with definitions | `latchkey.h` |
 */
LATCHKEY_CHECK bool latchkey_new(struct event_base *base, const char *const *options,
                                 struct latchkey **out, struct latchkey_fault *fault);

/** How important a log line is. */
enum latchkey_log_level {
    LATCHKEY_LOG_DEBUG,   /**< for those who look for a mistake */
    LATCHKEY_LOG_INFO,    /**< what scripts say, what happens now and then */
    LATCHKEY_LOG_WARNING, /**< somebody should look */
    LATCHKEY_LOG_ERROR    /**< something is lost */
};

/** Log lines of this level and above go to the stream, which is kept and never closed. NULL, as at
 * first: a host is silent. */
LATCHKEY_API void latchkey_log_to(struct latchkey *host, FILE *stream,
                                  enum latchkey_log_level least);

/** fault NULL: the host is up. */
typedef void latchkey_started_fn(struct latchkey *host, const struct latchkey_fault *fault,
                                 void *arg);

/**
 * Connects, creates or upgrades the schema if needed, and keeps the host alive and at what is
 * published. Requests made before that is done wait for it. When it fails they fail too, and
 * latchkey_start() may be called again. done may be NULL.
 */
LATCHKEY_CHECK bool latchkey_start(struct latchkey *host, latchkey_started_fn *done, void *arg,
                                   struct latchkey_fault *fault);

/** From now on, or once it is up, the host runs background jobs, at most jobs_max at a time (0 =
 * 64, and up to 512 while they are done fast), fires timers and takes over what died with other
 * hosts. */
LATCHKEY_CHECK bool latchkey_work(struct latchkey *host, int jobs_max,
                                  struct latchkey_fault *fault);

/** Takes no more background work; what runs goes on, and requests are still taken. */
LATCHKEY_API void latchkey_drain(struct latchkey *host);

/** What the host has under way: requests not yet told, and background executions. */
LATCHKEY_API int latchkey_n_running(const struct latchkey *host);

/** The host has ended; only latchkey_free() is left to be called, here or later. */
typedef void latchkey_stopped_fn(struct latchkey *host, void *arg);

/**
 * Ends a host in an orderly way: no new work is taken, what is under way may take patience_ms more,
 * then the other hosts are told, then done is called. What was still under way is rolled back and
 * told by latchkey_free().
 */
LATCHKEY_CHECK bool latchkey_stop(struct latchkey *host, int64_t patience_ms,
                                  latchkey_stopped_fn *done, void *arg,
                                  struct latchkey_fault *fault);

/** Ends a host at once and frees it. Every callback that is still due is called before this
 * returns: LATCHKEY_UNKNOWN where a commit may have been sent, otherwise LATCHKEY_FAILED or
 * LATCHKEY_FAULT_CANCELLED; latchkey_stopped_fn alone is not. NULL is fine. */
LATCHKEY_API void latchkey_free(struct latchkey *host);

/** @}
 * @name Definitions
 * @{ */

/** A published version of a workflow; changed tells whether it is new. workflow NULL: fault says
 * why not. */
typedef void latchkey_published_fn(const char *workflow, int version, bool changed,
                                   const struct latchkey_fault *fault, void *arg);

/**
 * Publishes a definition if its text differs from the latest version. Workflows that are submitted
 * or enqueued after this call wait for it.
 *
 * @param host the host
 * @param file names the text in messages
 * @param text YAML or JSON. The first error in it is LATCHKEY_FAULT_INVALID, with its place
 * @param base the version that the text was made from, 0 = there was none; another latest version
 *        is told as LATCHKEY_FAULT_CONFLICT. -1 = any
 * @param done told when it is committed; may be NULL
 * @param arg given to done
 * @param fault why it was not started
 */
LATCHKEY_CHECK bool latchkey_publish(struct latchkey *host, const char *file, const char *text,
                                     int base, latchkey_published_fn *done, void *arg,
                                     struct latchkey_fault *fault);

/** The same for the text of a file, which is read at once. */
LATCHKEY_CHECK bool latchkey_publish_file(struct latchkey *host, const char *file, int base,
                                          latchkey_published_fn *done, void *arg,
                                          struct latchkey_fault *fault);

/** Tells the latest published version of a workflow, read from the database where this host does
 * not have it yet; LATCHKEY_FAULT_MISSING if there is none. */
LATCHKEY_CHECK bool latchkey_find(struct latchkey *host, const char *workflow,
                                  latchkey_published_fn *done, void *arg,
                                  struct latchkey_fault *fault);

/** A JSON object: as `latchkey reload --json` and `latchkey refresh --json` print it, or what an
 * event has started; NULL: fault says why not. */
typedef void latchkey_report_fn(const char *report, const struct latchkey_fault *fault, void *arg);

/** Publishes what has changed in the *.yaml, *.yml and *.json files of a directory. */
LATCHKEY_CHECK bool latchkey_reload(struct latchkey *host, const char *directory,
                                    latchkey_report_fn *done, void *arg,
                                    struct latchkey_fault *fault);

/** Has every host read a workflow again, NULL = all, and indexes its triggers anew. */
LATCHKEY_CHECK bool latchkey_refresh(struct latchkey *host, const char *workflow,
                                     latchkey_report_fn *done, void *arg,
                                     struct latchkey_fault *fault);

/** @}
 * @name Running
 * @{ */

/** How a request ended. */
enum latchkey_status {
    LATCHKEY_COMPLETED, /**< ran, committed, the workflow ended */
    LATCHKEY_IDLE,      /**< ran, committed, waits for an event */
    LATCHKEY_QUEUED,    /**< accepted for the background */
    LATCHKEY_LOCKED,    /**< no lock within the acquire timeout; nothing ran */
    LATCHKEY_BLOCKED,   /**< the guard said no, or the instance does not take this event now */
    LATCHKEY_MISSING,   /**< no such workflow, activity, instance, or a required row */
    LATCHKEY_CONFLICT,  /**< rows changed by someone without the lock, retries used up */
    LATCHKEY_EXPIRED,   /**< held longer than the waiting timeout: released, rolled back */
    LATCHKEY_FAILED,    /**< the script or action failed, or the database refused or is away */
    LATCHKEY_INVALID,   /**< bad input, definition or lock context; no such table or column */
    LATCHKEY_UNKNOWN    /**< the commit's answer was lost and could not be looked up */
};

/** The word for a status, as "completed"; "" for a number that is none. */
LATCHKEY_API const char *latchkey_status_name(enum latchkey_status status);

/** What an execution came to. Made by the library alone; later versions may add fields at the end.
 */
struct latchkey_result {
    enum latchkey_status status; /**< how it ended */
    const char *id;              /**< of the instance, a UUID; "" if there is none */
    const char *workflow;        /**< "" if not known */
    int version;                 /**< of the definition; 0 if not known */
    const char *activity;        /**< the last one; "" if not known */
    const char *output;          /**< JSON; "null" if there is none */
    const char *reason;          /**< one sentence with the place; "" if there is none */
    const char *const *paths;    /**< lock paths in their order, n_paths of them */
    int n_paths;                 /**< how many paths there are */
    int64_t token;               /**< of the lease that it held; 0 = it held none */
    int64_t waited_us;           /**< until the locks were had, or given up */
    int64_t held_us;             /**< how long they were held */
    int attempts;                /**< how often it was tried */
    bool replayed;               /**< recorded before, under the same idempotency key */
};

/** The whole result as a JSON object, as `latchkey run --json` prints it. Yours to free(); NULL
 * without memory. */
LATCHKEY_API char *latchkey_result_json(const struct latchkey_result *result);

/** Told every outcome: losing a lock, bad input and an unknown workflow are results too. */
typedef void latchkey_result_fn(const struct latchkey_result *result, void *arg);

/**
 * Runs a new instance of a workflow until it ends or waits for an event.
 *
 * @param host the host
 * @param workflow its name; the latest published version is taken
 * @param input a JSON object; NULL = an empty one
 * @param key idempotency key, 1 to 255 bytes of UTF-8: the same key, workflow and input is executed
 *        once and answered with the same result. NULL = none
 * @param done told the result; may be NULL
 * @param arg given to done
 * @param fault LATCHKEY_FAULT_INVALID for text that is no JSON, LATCHKEY_FAULT_EXHAUSTED, or
 *        LATCHKEY_FAULT_CANCELLED while the host stops
 */
LATCHKEY_CHECK bool latchkey_submit(struct latchkey *host, const char *workflow, const char *input,
                                    const char *key, latchkey_result_fn *done, void *arg,
                                    struct latchkey_fault *fault);

/** Leaves a new instance to the background, for any host to run: jobs of higher priority first.
 * Told LATCHKEY_QUEUED once that is committed, with the id that the instance will have. */
LATCHKEY_CHECK bool latchkey_enqueue(struct latchkey *host, const char *workflow, const char *input,
                                     const char *key, int priority, latchkey_result_fn *done,
                                     void *arg, struct latchkey_fault *fault);

/** Sends an event to an idle instance, whichever host ran it before. payload is JSON, NULL = null.
 * An instance that does not take the event now is LATCHKEY_BLOCKED, with its true state. */
LATCHKEY_CHECK bool latchkey_deliver(struct latchkey *host, const char *instance, const char *event,
                                     const char *payload, latchkey_result_fn *done, void *arg,
                                     struct latchkey_fault *fault);

/** Runs an instance on that failed or was blocked, or whose host died. */
LATCHKEY_CHECK bool latchkey_resume(struct latchkey *host, const char *instance,
                                    latchkey_result_fn *done, void *arg,
                                    struct latchkey_fault *fault);

/** Starts the workflows whose triggers name an event, in the background, for any host to run.
 * payload is the input that they get, a JSON object; NULL = an empty one. Told once the jobs are
 * committed: `{"started":[{"workflow","instance"}]}` with the ids that the instances will have,
 * an empty list if no trigger names the event; LATCHKEY_FAULT_UNKNOWN when the commit's answer was
 * lost. */
LATCHKEY_CHECK bool latchkey_emit(struct latchkey *host, const char *event, const char *payload,
                                  latchkey_report_fn *done, void *arg,
                                  struct latchkey_fault *fault);

/** @}
 * @name Native actions
 *
 * An activity written in C: `action: NAME` in place of `script`. It runs when the locks are held,
 * the rows are loaded and the guard has said yes, alone in a transaction; what it sets is committed
 * when it is done, and nothing of it when it fails, is too late or is stopped.
 *
 * The function must not block. What takes time is started there and ended later from the loop;
 * until then the transaction stays open, at most for the waiting timeout. Whatever happens
 * meanwhile, every run is ended by exactly one latchkey_action_done() or latchkey_action_fail(),
 * also after latchkey_free(); the action is not touched after that.
 * @{ */

/** arg is what was registered. */
typedef void latchkey_action_fn(struct latchkey_action *action, void *arg);

/** From now on activities with `action: NAME` run it on this host; a host without the action
 * answers LATCHKEY_INVALID. LATCHKEY_FAULT_INVALID: a name that is registered or is none. */
LATCHKEY_CHECK bool latchkey_register_action(struct latchkey *host, const char *name,
                                             latchkey_action_fn *fn, void *arg,
                                             struct latchkey_fault *fault);

/** The id of the instance. Borrowed until the action is ended. */
LATCHKEY_API const char *latchkey_action_instance(const struct latchkey_action *action);

/** The name of the activity. Borrowed until the action is ended. */
LATCHKEY_API const char *latchkey_action_activity(const struct latchkey_action *action);

/** The input of the workflow, a JSON object. Yours to free(); NULL without memory. */
LATCHKEY_API char *latchkey_action_input(const struct latchkey_action *action);

/** The event that it waited for, `{"name","payload"}`, or `null`. Yours to free(); NULL without
 * memory. */
LATCHKEY_API char *latchkey_action_event(const struct latchkey_action *action);

/** The instance's variables, a JSON object. Yours to free(); NULL without memory. */
LATCHKEY_API char *latchkey_action_vars(struct latchkey_action *action);

/** Replaces them. They are kept with the instance. */
LATCHKEY_CHECK bool latchkey_action_set_vars(struct latchkey_action *action, const char *object,
                                             struct latchkey_fault *fault);

/** Replaces the output, which is empty at first, by a JSON object. */
LATCHKEY_CHECK bool latchkey_action_set_output(struct latchkey_action *action, const char *object,
                                               struct latchkey_fault *fault);

/** The rows of `data.NAME`: 1, or 0 for an optional row that is not there, or as many as the list
 * has; -1 if nothing is declared so. */
LATCHKEY_API int latchkey_action_n_rows(struct latchkey_action *action, const char *data);

/** A column of a row, as JSON: null, integers, booleans and floats are themselves, numeric is a
 * number or, where that would lose digits, a string, json columns are what they hold, all else is a
 * string. *value is yours to free(). LATCHKEY_FAULT_SCRIPT: no such row or column, or the action
 * was cancelled. */
LATCHKEY_CHECK bool latchkey_action_get(struct latchkey_action *action, const char *data, int row,
                                        const char *column, char **value,
                                        struct latchkey_fault *fault);

/** The same for a column that holds an integer. */
LATCHKEY_CHECK bool latchkey_action_get_integer(struct latchkey_action *action, const char *data,
                                                int row, const char *column, int64_t *value,
                                                struct latchkey_fault *fault);

/** Sets a column to a JSON value; its type, its range and NOT NULL are checked at once. */
LATCHKEY_CHECK bool latchkey_action_set(struct latchkey_action *action, const char *data, int row,
                                        const char *column, const char *value,
                                        struct latchkey_fault *fault);

/** The same for an integer. */
LATCHKEY_CHECK bool latchkey_action_set_integer(struct latchkey_action *action, const char *data,
                                                int row, const char *column, int64_t value,
                                                struct latchkey_fault *fault);

/** Time that is left until the lock is lost; 0: too late, or the action was cancelled. */
LATCHKEY_API int64_t latchkey_action_remaining_us(const struct latchkey_action *action);

/** The token of its lease, for systems outside the database to refuse a late writer; 0 = it holds
 * none. */
LATCHKEY_API int64_t latchkey_action_token(const struct latchkey_action *action);

/** True when nothing that the action does will be kept: it was too late, or its host stops. */
LATCHKEY_API bool latchkey_action_is_cancelled(const struct latchkey_action *action);

/** cancelled is called once, from the loop or within latchkey_free(), when that happens before the
 * action has ended; it may end the action itself. */
LATCHKEY_API void latchkey_action_on_cancel(struct latchkey_action *action,
                                            latchkey_action_fn *cancelled, void *arg);

/** The end: what was set is saved. */
LATCHKEY_API void latchkey_action_done(struct latchkey_action *action);

/** The end: nothing is kept, and the activity has failed for this reason, or is tried again if it
 * has `retries`. */
LATCHKEY_API void latchkey_action_fail(struct latchkey_action *action, const char *reason);

/** @} */

#ifdef __cplusplus
}
#endif
