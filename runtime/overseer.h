/*
 * What a host does for itself and the others, on its reserved connection: it says that it lives,
 * and ends sessions whose published deadline has passed (batch_begin.sql publishes it).
 */
#pragma once
#include "fault.h"

struct overseer;
struct runtime;

MUST_CHECK bool overseer_new(struct runtime *runtime, struct overseer **out, struct fault *fault);
void overseer_start(struct overseer *overseer);
void overseer_free(struct overseer *overseer);
