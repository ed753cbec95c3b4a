/*
 * The form of a command's log lines: --log, else LATCHKEY_LOG, else auto: for people where standard
 * error is a terminal, otherwise JSON.
 */
#pragma once
#include "log.h"

struct command_line;

/* *out is a log on standard error. FAULT_INVALID for a form that there is not. */
MUST_CHECK bool log_choose(const struct command_line *line, struct log *out, struct fault *fault);
