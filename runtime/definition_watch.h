/*
 * Keeps a host's definitions at what is published, while it works: listens for notices of changes
 * on a connection of its own, and looks slowly all the same, so that a lost notice only delays.
 *
 *   CONNECTING --> LISTENING --> RESTING <--notice, or a few seconds--> LOOKING
 *        ^______________lost (a pause)_____________________________________/
 *
 * A notice is only a reason to look: what has changed is read from the tables. A new version is
 * loaded and is the one that new instances run; those that run keep theirs.
 */
#pragma once
#include "fault.h"

struct definition_watch;
struct runtime;

/* directory: whose reloads this host takes up when nobody else carried them out; NULL = none. Both
 * strings are copied. */
MUST_CHECK bool definition_watch_new(struct runtime *runtime, const char *directory,
                                     const char *published_by, struct definition_watch **out,
                                     struct fault *fault);
void definition_watch_free(struct definition_watch *watch);

/* The latest version of a workflow; 0 = ask the store: unknown, or nothing was heard from the
 * database for some time. watch may be NULL. */
int definition_watch_latest(const struct definition_watch *watch, const char *name);

/* A version that this host itself has learnt of. watch may be NULL. */
void definition_watch_note(struct definition_watch *watch, const char *name, int version);
