/*
 * The versions of workflows that are ready to run in this host. Each is read from the store and
 * compiled once; those that wait for it meanwhile share the reading.
 *
 *   get --> WAITING --connection--> ASKED --answer--> told
 *              \__ready here already: told at the loop's next turn__/
 */
#pragma once
#include "definition_store.h"

struct runtime;
struct workflow;
struct workflow_load;
struct workflow_loader;

/* workflow is borrowed until runtime_free; NULL: *fault says why. Called exactly once, from the
 * loop, never before workflow_loader_get has returned; not after workflow_loader_cancel. */
typedef void workflow_loaded_fn(struct workflow *workflow, const struct fault *fault, void *arg);

/* Asks for a version, 0 = the latest. name is copied. *out may be used to cancel until done runs.
 * Told: FAULT_MISSING for a version that is not in the store (leave its work alone), FAULT_INVALID
 * for one that this program cannot read, FAULT_DATABASE after some time without one,
 * FAULT_CANCELLED at the end of the runtime. Fails, without calling done, only for memory. */
MUST_CHECK bool workflow_loader_get(struct runtime *runtime, const char *name, int version,
                                    workflow_loaded_fn *done, void *arg, struct workflow_load **out,
                                    struct fault *fault);

/* The same for a version that may be ready already: the store is read all the same, and if the text
 * is not what is ready here, that is used by those that have it alone. */
MUST_CHECK bool workflow_loader_get_anew(struct runtime *runtime, const char *name, int version,
                                         workflow_loaded_fn *done, void *arg,
                                         struct workflow_load **out, struct fault *fault);

/* Withdraws a request; done is not called. NULL is fine. */
void workflow_loader_cancel(struct workflow_load *load);

/* The version if it is ready here, otherwise NULL. */
struct workflow *workflow_loader_find(struct runtime *runtime, const char *name, int version);

/* Makes a version ready. definition is owned by the runtime on success, unless that version was
 * ready already: then that one is *out, and definition is freed. */
MUST_CHECK bool workflow_loader_adopt(struct runtime *runtime, struct definition *definition,
                                      int version, struct workflow **out, struct fault *fault);

/* The same from the store's text. Fails with FAULT_INVALID and the place of the first error. */
MUST_CHECK bool workflow_loader_compile(struct runtime *runtime, const char *name,
                                        const struct stored_definition *stored,
                                        struct workflow **out, struct fault *fault);

MUST_CHECK bool workflow_loader_new(struct runtime *runtime, struct workflow_loader **out,
                                    struct fault *fault);

/* Tells everybody who waits FAULT_CANCELLED. */
void workflow_loader_abandon(struct workflow_loader *loader);

/* After workflow_loader_abandon. */
void workflow_loader_free(struct workflow_loader *loader);
