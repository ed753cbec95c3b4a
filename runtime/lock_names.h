/*
 * What this host tells about its locks. PostgreSQL knows who holds and who waits, by keys that are
 * hashes; the paths and executions behind them are told here (latchkey.lock_name), and only where
 * somebody waits or asks: about once a second the host looks, on its reserved connection, for keys
 * that some session or another host waits for, and for a word that an operator is looking.
 */
#pragma once
#include "fault.h"

struct lock_names;
struct runtime;

MUST_CHECK bool lock_names_new(struct runtime *runtime, struct lock_names **out,
                               struct fault *fault);
void lock_names_start(struct lock_names *names);
void lock_names_free(struct lock_names *names); /* NULL is fine */
