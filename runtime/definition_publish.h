/*
 * Publishing one definition without stopping the loop. An equal text takes no lock and changes
 * nothing; otherwise it becomes a new version, with its triggers and one notice, under the lock
 * path $definitions/NAME.
 *
 *   LOOKING --another text--> CHANGING --> done
 *       \________equal, or another base___/^
 */
#pragma once
#include "definition.h"

struct definition_publish;
struct runtime;

/* version is the one that has this text now, published whether it was added; on a failure (fault is
 * not NULL) both mean nothing. Exactly once, from the loop, never before start has returned. */
typedef void definition_publish_fn(int version, bool published, const struct fault *fault,
                                   void *arg);

/* definition and published_by are kept until done, and stay the caller's. base is the version that
 * the change was made from, -1 = any. Told: FAULT_CONFLICT for another base and for a lock that was
 * not free within 30 s; FAULT_UNKNOWN when the commit's answer was lost and a base was given. */
MUST_CHECK bool definition_publish_start(struct runtime *runtime,
                                         const struct definition *definition, int base,
                                         const char *published_by, definition_publish_fn *done,
                                         void *arg, struct definition_publish **out,
                                         struct fault *fault);

/* done is not called. NULL is fine. */
void definition_publish_cancel(struct definition_publish *publish);
