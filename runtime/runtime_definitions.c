/* The part of runtime.h that is about definitions, for the loop and, for start-up, waiting. */
#include "definition_publish.h"
#include "definition_refresh.h"
#include "definition_reload.h"
#include "definition_watch.h"
#include "runtime.h"
#include "runtime_state.h"
#include "table_foresight.h"
#include "workflow_loader.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

struct publishing {
    struct runtime *runtime;
    struct definition *definition;
    char *published_by;
    bool is_lent; /* unless it is published, the definition stays the caller's */
    struct definition_publish *publish;
    runtime_published_fn *done;
    void *arg;
    LIST_ENTRY(publishing) link;
};

/* ---- publishing ---- */

static void publishing_free(struct publishing *publishing)
{
    definition_publish_cancel(publishing->publish);
    if (!publishing->is_lent)
        definition_free(publishing->definition);
    free(publishing->published_by);
    LIST_REMOVE(publishing, link);
    free(publishing);
}

static void on_published(int version, bool published, const struct fault *fault, void *arg)
{
    struct publishing *publishing = arg;
    struct runtime *runtime = publishing->runtime;
    struct workflow *workflow = NULL;
    struct fault failed;
    publishing->publish = NULL;
    if (!fault &&
        workflow_loader_adopt(runtime, publishing->definition, version, &workflow, &failed))
        publishing->definition = NULL; /* the runtime's now */
    else if (!fault)
        fault = &failed;
    publishing->done(workflow, published, fault, publishing->arg);
    publishing_free(publishing);
}

static bool publish(struct runtime *runtime, struct definition *definition, bool is_lent, int base,
                    const char *published_by, runtime_published_fn *done, void *arg,
                    struct fault *fault)
{
    struct publishing *publishing = calloc(1, sizeof *publishing);
    if (!publishing)
        return fault_no_memory(fault);
    *publishing = (struct publishing){
        .runtime = runtime,
        .is_lent = is_lent,
        .published_by = strdup(published_by),
        .done = done,
        .arg = arg,
    };
    LIST_INSERT_HEAD(&runtime->publishings, publishing, link);
    bool ok = publishing->published_by
                  ? definition_publish_start(runtime, definition, base, publishing->published_by,
                                             on_published, publishing, &publishing->publish, fault)
                  : fault_no_memory(fault);
    if (ok)
        publishing->definition = definition;
    else
        publishing_free(publishing);
    return ok;
}

bool runtime_publish_start(struct runtime *runtime, struct definition *definition, int base,
                           const char *published_by, runtime_published_fn *done, void *arg,
                           struct fault *fault)
{
    return publish(runtime, definition, /* is_lent= */ false, base, published_by, done, arg, fault);
}

/* ---- waiting forms ---- */

struct waiting {
    bool told;
    struct workflow *workflow;
    bool published;
    struct fault fault;
};

static void on_waited_published(struct workflow *workflow, bool published,
                                const struct fault *fault, void *arg)
{
    struct waiting *waiting = arg;
    waiting->told = true;
    waiting->workflow = workflow;
    waiting->published = published;
    if (fault)
        waiting->fault = *fault;
}

static void on_waited_loaded(struct workflow *workflow, const struct fault *fault, void *arg)
{
    on_waited_published(workflow, false, fault, arg);
}

static bool wait(struct runtime *runtime, struct waiting *waiting, struct workflow **out,
                 struct fault *fault)
{
    while (!waiting->told)
        event_base_loop(runtime->base, EVLOOP_ONCE);
    if (!waiting->workflow) {
        *fault = waiting->fault;
        return false;
    }
    *out = waiting->workflow;
    return true;
}

bool runtime_publish(struct runtime *runtime, struct definition *definition, int base,
                     const char *published_by, struct workflow **out, bool *published,
                     struct fault *fault)
{
    struct waiting waiting = {0};
    int version = table_foresight_take_version(runtime, definition);
    *published = false;
    if (version && base < 0)
        return workflow_loader_adopt(runtime, definition, version, out, fault);
    if (!publish(runtime, definition, /* is_lent= */ true, base, published_by, on_waited_published,
                 &waiting, fault) ||
        !wait(runtime, &waiting, out, fault))
        return false;
    *published = waiting.published;
    return true;
}

bool runtime_find(struct runtime *runtime, const char *name, struct workflow **out,
                  struct fault *fault)
{
    struct waiting waiting = {0};
    struct workflow_load *load;
    return workflow_loader_get(runtime, name, 0, on_waited_loaded, &waiting, &load, fault) &&
           wait(runtime, &waiting, out, fault);
}

/* ---- reload, refresh, watch ---- */

bool runtime_reload(struct runtime *runtime, const char *directory, const char *published_by,
                    runtime_report_fn *done, void *arg, struct fault *fault)
{
    return definition_reload_start(runtime, directory, published_by, done, arg, fault);
}

bool runtime_refresh(struct runtime *runtime, const char *const *ids, int n_ids,
                     runtime_report_fn *done, void *arg, struct fault *fault)
{
    return definition_refresh_start(runtime, ids, n_ids, done, arg, fault);
}

bool runtime_is_changing_definitions(const struct runtime *runtime)
{
    return !LIST_EMPTY(&runtime->reloads) || !LIST_EMPTY(&runtime->refreshes) ||
           !LIST_EMPTY(&runtime->publishings);
}

bool runtime_watch(struct runtime *runtime, const char *directory, const char *published_by,
                   struct fault *fault)
{
    return definition_watch_new(runtime, directory, published_by, &runtime->watch, fault);
}

void runtime_stop_definitions(struct runtime *runtime)
{
    struct publishing *publishing;
    struct fault fault;
    fault_set(&fault, FAULT_CANCELLED, "the host is stopping");
    definition_watch_free(runtime->watch);
    runtime->watch = NULL;
    definition_reload_abandon(runtime);
    definition_refresh_abandon(runtime);
    while ((publishing = LIST_FIRST(&runtime->publishings))) {
        publishing->done(NULL, false, &fault, publishing->arg);
        publishing_free(publishing);
    }
}
