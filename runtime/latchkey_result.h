/*
 * A result as C programs see it.
 */
#pragma once
#include "latchkey.h"
#include "result.h"

/* done may be NULL. */
void latchkey_result_tell(const struct result *result, latchkey_result_fn *done, void *arg);
