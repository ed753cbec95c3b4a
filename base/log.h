/*
 * Log lines on a stream, for people or for programs. Only the server and the runtime's scheduler
 * log; layers below return faults. One line a call, whatever the text holds:
 *
 *   2026-01-02T03:04:05.678Z warning runtime: text name=value name="a \"value\""
 *   {"time":"2026-01-02T03:04:05.678Z","level":"warning","part":"runtime","message":"text",...}
 *
 * Needs no memory. A lock path is not given to it, nor anything secret.
 */
#pragma once
#include "fault.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
};

enum log_form {
    LOG_FORM_PLAIN,
    LOG_FORM_JSON,
};

struct log {
    FILE *stream;         /* kept, not closed; NULL = silent */
    enum log_level least; /* lines below are dropped */
    enum log_form form;
};

enum {
    LOG_FIELDS_MAX = 16,
};

enum log_field_kind {
    LOG_FIELD_TEXT,
    LOG_FIELD_NUMBER,
    LOG_FIELD_MS, /* the number is microseconds, written as milliseconds */
};

/* What a line tells beside its text. */
struct log_field {
    const char *name; /* [a-z_]; not time, level, part or message */
    enum log_field_kind kind;
    const char *text; /* NULL or "": the field is left out */
    int64_t number;
    bool in_text; /* the text says it too: plain lines leave it out */
};

/* The request by which work came, for the log lines about it; "" = there is none. */
struct log_caller {
    char request_id[72];
    char trace_id[33]; /* of a traceparent */
};

/* part names the layer or noun that speaks. Control characters and what is not UTF-8 are escaped;
 * what is too long is cut. */
void log_line(const struct log *log, enum log_level level, const char *part, const char *format,
              ...) FORMAT_ARGS(4, 5);

/* The same with fields. */
void log_fields(const struct log *log, enum log_level level, const char *part,
                const struct log_field *fields, int n_fields, const char *format, ...)
    FORMAT_ARGS(6, 7);

const char *log_level_name(enum log_level level);
