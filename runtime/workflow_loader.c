#include "workflow_loader.h"

#include "clock.h"
#include "definition_read.h"
#include "definition_watch.h"
#include "errand.h"
#include "runtime_state.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READS_AT_ONCE = 8, /* statements of one pipeline: what they bring is compiled in one turn */
    PATIENCE_US = 30 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    NAME_BYTES = 72, /* 63 and more, so that one too long stays too long */
};

TAILQ_HEAD(load_line, workflow_load);

/* One request. */
struct workflow_load {
    struct workflow_loader *loader;
    struct load_line *line; /* where it stands */
    char name[NAME_BYTES];
    int version;
    bool anew;
    int at; /* in line asked: its statement */
    int64_t until_us;
    workflow_loaded_fn *done;
    void *arg;
    TAILQ_ENTRY(workflow_load) link;
};

struct workflow_loader {
    struct runtime *runtime;
    struct load_line waiting; /* for the next pipeline */
    struct load_line asked;   /* in the one under way */
    struct load_line ready;   /* ready here: told at the loop's next turn */
    struct load_line failed;  /* being told why not */
    struct event *soon;
    struct errand *errand;
    bool connected; /* it has a connection: those asked are in its pipeline */
};

/* ---- what is ready here ---- */

struct workflow *workflow_loader_find(struct runtime *runtime, const char *name, int version)
{
    struct workflow *workflow;
    LIST_FOREACH(workflow, &runtime->workflows, link)
    {
        if (!workflow->retired && workflow->version == version &&
            strcmp(workflow->definition->name, name) == 0)
            return workflow;
    }
    return NULL;
}

bool workflow_loader_adopt(struct runtime *runtime, struct definition *definition, int version,
                           struct workflow **out, struct fault *fault)
{
    struct workflow *workflow = workflow_loader_find(runtime, definition->name, version);
    if (workflow) {
        definition_free(definition);
    } else {
        if (!workflow_new(runtime, runtime->sandbox, definition, version, &workflow, fault))
            return false;
        LIST_INSERT_HEAD(&runtime->workflows, workflow, link);
    }
    definition_watch_note(runtime->watch, workflow->definition->name, version);
    *out = workflow;
    return true;
}

static bool unreadable(const char *name, int version, const struct problems *problems,
                       struct fault *fault)
{
    for (int i = 0; i < problems->n_items; i++)
        if (problems->items[i].severity == PROBLEM_ERROR)
            return fault_set(fault, FAULT_INVALID, "%s, version %d, line %d: %s", name, version,
                             problems->items[i].line, problems->items[i].message);
    return fault_no_memory(fault);
}

bool workflow_loader_compile(struct runtime *runtime, const char *name,
                             const struct stored_definition *stored, struct workflow **out,
                             struct fault *fault)
{
    struct definition *definition = NULL;
    struct problems problems;
    if ((*out = workflow_loader_find(runtime, name, stored->version)))
        return true;
    problems_init(&problems);
    bool ok = definition_read(runtime->sandbox, name, stored->source, strlen(stored->source),
                              &definition, &problems) ||
              unreadable(name, stored->version, &problems, fault);
    problems_done(&problems);
    if (!ok)
        return false;
    if (workflow_loader_adopt(runtime, definition, stored->version, out, fault))
        return true;
    definition_free(definition);
    return false;
}

/* ---- requests ---- */

static void place(struct workflow_load *load, struct load_line *line)
{
    if (load->line)
        TAILQ_REMOVE(load->line, load, link);
    load->line = line;
    if (line)
        TAILQ_INSERT_TAIL(line, load, link);
}

static void place_all(struct load_line *from, struct load_line *to)
{
    while (!TAILQ_EMPTY(from))
        place(TAILQ_FIRST(from), to);
}

/* done may ask for the next, or withdraw others. */
static void tell(struct workflow_load *load, struct workflow *workflow, const struct fault *fault)
{
    place(load, NULL);
    load->done(workflow, fault, load->arg);
    free(load);
}

static void tell_failed(struct workflow_loader *loader, const struct fault *fault)
{
    struct workflow_load *load;
    while ((load = TAILQ_FIRST(&loader->failed)))
        tell(load, NULL, fault);
}

static void fill(struct pg_pipeline *pipeline, void *arg);
static void on_answer(struct pg_answer *answered, void *arg);

static bool start(struct workflow_loader *loader, struct fault *fault)
{
    if (loader->errand || TAILQ_EMPTY(&loader->waiting))
        return true;
    int64_t left_us = TAILQ_FIRST(&loader->waiting)->until_us - clock_monotonic_us();
    loader->connected = false;
    if (!errand_start(loader->runtime, PG_POOL_ORDINARY, pg_pipeline_new(),
                      left_us > 0 ? left_us : 0, ANSWER_US, on_answer, loader, &loader->errand,
                      fault))
        return false;
    errand_fill_late(loader->errand, fill);
    return true;
}

static void start_next(struct workflow_loader *loader)
{
    struct fault fault;
    if (start(loader, &fault))
        return;
    place_all(&loader->waiting, &loader->failed);
    tell_failed(loader, &fault);
}

static void retire_other_text(struct runtime *runtime, const char *name,
                              const struct stored_definition *stored)
{
    struct workflow *workflow = workflow_loader_find(runtime, name, stored->version);
    if (!workflow)
        return;
    workflow->retired = strcmp(workflow->definition->source, stored->source) != 0;
    workflow->runtime->foreseen_until_us = 0;
    workflow_forget_tables(workflow);
}

static void answer(struct workflow_loader *loader, struct workflow_load *load,
                   const PGresult *result)
{
    struct stored_definition stored = {0};
    struct workflow *workflow = NULL;
    struct fault fault;
    bool ok = definition_store_read(result, &stored, &fault);
    if (ok && !stored.version)
        ok = load->version
                 ? fault_set(&fault, FAULT_MISSING, "workflow '%s' has no version %d", load->name,
                             load->version)
                 : fault_set(&fault, FAULT_MISSING, "no workflow '%s' is published", load->name);
    if (ok && load->anew)
        retire_other_text(loader->runtime, load->name, &stored);
    ok = ok && workflow_loader_compile(loader->runtime, load->name, &stored, &workflow, &fault);
    free(stored.source);
    tell(load, ok ? workflow : NULL, ok ? NULL : &fault);
}

static void on_answer(struct pg_answer *answered, void *arg)
{
    struct workflow_loader *loader = arg;
    struct workflow_load *load;
    const struct fault fault = answered->fault;
    loader->errand = NULL;
    if (!loader->connected) {
        place_all(&loader->waiting, &loader->failed);
    } else if (answered->connection_lost && fault.kind != FAULT_EXHAUSTED) {
        int64_t now_us = clock_monotonic_us();
        while ((load = TAILQ_FIRST(&loader->asked)))
            place(load, now_us < load->until_us ? &loader->waiting : &loader->failed);
    } else if (fault.kind) {
        place_all(&loader->asked, &loader->failed);
    }
    assert(answered->results || TAILQ_EMPTY(&loader->asked));
    while ((load = TAILQ_FIRST(&loader->asked)))
        answer(loader, load, answered->results[load->at]);
    tell_failed(loader, &fault);
    start_next(loader);
}

/* Those that ask for the same share a statement; who finds no room takes the next pipeline. */
static void add(struct workflow_loader *loader, struct pg_pipeline *pipeline,
                struct workflow_load *load)
{
    struct workflow_load *other;
    TAILQ_FOREACH(other, &loader->asked, link)
    {
        if (other->version == load->version && strcmp(other->name, load->name) == 0) {
            load->at = other->at;
            place(load, &loader->asked);
            return;
        }
    }
    if (pg_pipeline_length(pipeline) >= READS_AT_ONCE)
        return;
    load->at = definition_store_add_read(pipeline, load->name, load->version);
    place(load, &loader->asked);
}

static void fill(struct pg_pipeline *pipeline, void *arg)
{
    struct workflow_loader *loader = arg;
    struct workflow_load *load, *next;
    loader->connected = true;
    for (load = TAILQ_FIRST(&loader->waiting); load; load = next) {
        next = TAILQ_NEXT(load, link);
        add(loader, pipeline, load);
    }
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    struct workflow_loader *loader = arg;
    struct workflow_load *load;
    (void)fd;
    (void)what;
    while ((load = TAILQ_FIRST(&loader->ready)))
        tell(load, workflow_loader_find(loader->runtime, load->name, load->version), NULL);
}

static bool get(struct runtime *runtime, const char *name, int version, bool anew,
                workflow_loaded_fn *done, void *arg, struct workflow_load **out,
                struct fault *fault)
{
    struct workflow_loader *loader = runtime->loader;
    if (runtime->stopping)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    struct workflow_load *load = calloc(1, sizeof *load);
    if (!load)
        return fault_no_memory(fault);
    load->loader = loader;
    snprintf(load->name, sizeof load->name, "%s", name);
    load->version = version ? version : definition_watch_latest(runtime->watch, name);
    load->anew = anew;
    load->until_us = clock_monotonic_us() + PATIENCE_US;
    load->done = done;
    load->arg = arg;
    if (!anew && load->version && workflow_loader_find(runtime, name, load->version)) {
        place(load, &loader->ready);
        event_active(loader->soon, EV_TIMEOUT, 0);
    } else {
        place(load, &loader->waiting);
        if (!start(loader, fault)) {
            workflow_loader_cancel(load);
            return false;
        }
    }
    *out = load;
    return true;
}

bool workflow_loader_get(struct runtime *runtime, const char *name, int version,
                         workflow_loaded_fn *done, void *arg, struct workflow_load **out,
                         struct fault *fault)
{
    return get(runtime, name, version, /* anew= */ false, done, arg, out, fault);
}

bool workflow_loader_get_anew(struct runtime *runtime, const char *name, int version,
                              workflow_loaded_fn *done, void *arg, struct workflow_load **out,
                              struct fault *fault)
{
    return get(runtime, name, version, /* anew= */ true, done, arg, out, fault);
}

void workflow_loader_cancel(struct workflow_load *load)
{
    if (!load)
        return;
    place(load, NULL);
    free(load);
}

/* ---- life ---- */

bool workflow_loader_new(struct runtime *runtime, struct workflow_loader **out, struct fault *fault)
{
    struct workflow_loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return fault_no_memory(fault);
    loader->runtime = runtime;
    TAILQ_INIT(&loader->waiting);
    TAILQ_INIT(&loader->asked);
    TAILQ_INIT(&loader->ready);
    TAILQ_INIT(&loader->failed);
    loader->soon = event_new(runtime->base, -1, 0, on_soon, loader);
    if (!loader->soon) {
        workflow_loader_free(loader);
        return fault_no_memory(fault);
    }
    *out = loader;
    return true;
}

void workflow_loader_abandon(struct workflow_loader *loader)
{
    struct fault fault;
    errand_cancel(loader->errand);
    loader->errand = NULL;
    place_all(&loader->waiting, &loader->failed);
    place_all(&loader->asked, &loader->failed);
    place_all(&loader->ready, &loader->failed);
    fault_set(&fault, FAULT_CANCELLED, "the host is stopping");
    tell_failed(loader, &fault);
}

void workflow_loader_free(struct workflow_loader *loader)
{
    if (!loader)
        return;
    if (loader->soon)
        event_free(loader->soon);
    free(loader);
}
