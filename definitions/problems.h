/*
 * What was found wrong in one file: each problem with its place. Collected while the file is read,
 * sorted by place at the end, so that a designer sees everything at once from top to bottom.
 */
#pragma once
#include "fault.h"
#include "text.h"

enum problem_severity {
    PROBLEM_ERROR,
    PROBLEM_WARNING,
};

/* How many of each severity are kept: a file of a million slips must not cost a gigabyte. */
enum {
    PROBLEMS_ERRORS_MAX = 1000,
    PROBLEMS_WARNINGS_MAX = 200,
};

struct problem {
    enum problem_severity severity;
    int line;   /* from 1 */
    int column; /* from 1, in characters */
    char message[FAULT_TEXT_BYTES];
};

/* What was found, sorted by place. Embedded: problems_init and problems_done. */
struct problems {
    struct problem *items;
    int n_items;
    int capacity;
    int n_errors;       /* also those that were not kept */
    int n_warnings;     /* as well */
    bool out_of_memory; /* some could not be kept, or found; counts as an error */
};

void problems_init(struct problems *problems);
void problems_done(struct problems *problems);

/* Newlines in the message become spaces, a longer message is cut. One too many is counted only. */
void problems_add(struct problems *problems, enum problem_severity severity, int line, int column,
                  const char *format, ...) FORMAT_ARGS(5, 6);

/* Notes that memory ran out: whatever was not looked at counts as one error. */
void problems_no_memory(struct problems *problems);

/* False when a further problem of that severity would only be counted. */
bool problems_has_room(const struct problems *problems, enum problem_severity severity);

/* How many were counted only. */
int problems_n_hidden(const struct problems *problems);

void problems_sort(struct problems *problems);

/* Adds "FILE:LINE:COLUMN: error: message" lines (or "warning:") for every problem that was kept,
 * and a line that counts the others. */
void problems_print(const struct problems *problems, const char *file, struct text *out);
