/*
 * Log lines on a stream, as text. Only the server and the runtime's scheduler log; layers below
 * return faults. One line a call: "2026-01-02T03:04:05.678Z warning runtime: text".
 */
#pragma once
#include "fault.h"

#include <stdio.h>

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
};

struct log {
    FILE *stream;         /* kept, not closed; NULL = silent */
    enum log_level least; /* lines below are dropped */
};

/* part names the layer or noun that speaks. Newlines in the text become spaces. */
void log_line(const struct log *log, enum log_level level, const char *part, const char *format,
              ...) FORMAT_ARGS(4, 5);

const char *log_level_name(enum log_level level);
