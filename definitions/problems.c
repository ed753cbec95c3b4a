#include "problems.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void problems_init(struct problems *problems)
{
    *problems = (struct problems){0};
}

void problems_done(struct problems *problems)
{
    free(problems->items);
    problems_init(problems);
}

void problems_no_memory(struct problems *problems)
{
    if (!problems->out_of_memory)
        problems->n_errors++;
    problems->out_of_memory = true;
}

static int n_found(const struct problems *problems, enum problem_severity severity)
{
    switch (severity) {
    case PROBLEM_ERROR: return problems->n_errors;
    case PROBLEM_WARNING: return problems->n_warnings;
    }
    return 0;
}

static int most(enum problem_severity severity)
{
    switch (severity) {
    case PROBLEM_ERROR: return PROBLEMS_ERRORS_MAX;
    case PROBLEM_WARNING: return PROBLEMS_WARNINGS_MAX;
    }
    return 0;
}

bool problems_has_room(const struct problems *problems, enum problem_severity severity)
{
    return n_found(problems, severity) < most(severity);
}

static int n_over(const struct problems *problems, enum problem_severity severity)
{
    int n = n_found(problems, severity) - most(severity);
    return n > 0 ? n : 0;
}

int problems_n_hidden(const struct problems *problems)
{
    return n_over(problems, PROBLEM_ERROR) + n_over(problems, PROBLEM_WARNING);
}

static struct problem *append(struct problems *problems)
{
    if (problems->n_items == problems->capacity) {
        int capacity = problems->capacity ? problems->capacity * 2 : 8;
        struct problem *grown =
            realloc(problems->items, (size_t)capacity * sizeof *problems->items);
        if (!grown) {
            problems_no_memory(problems);
            return NULL;
        }
        problems->items = grown;
        problems->capacity = capacity;
    }
    return &problems->items[problems->n_items++];
}

/* Cuts a text that filled its buffer back to whole characters. */
static void cut_to_characters(char *text, size_t length)
{
    size_t first = length;
    while (first > 0 && ((unsigned char)text[first - 1] & 0xC0) == 0x80)
        first--;
    if (first > 0 && (unsigned char)text[first - 1] >= 0xC0)
        first--;
    text[first] = '\0';
}

void problems_add(struct problems *problems, enum problem_severity severity, int line, int column,
                  const char *format, ...)
{
    bool kept = problems_has_room(problems, severity);
    if (severity == PROBLEM_ERROR)
        problems->n_errors++;
    else
        problems->n_warnings++;
    struct problem *problem = kept ? append(problems) : NULL;
    if (!problem)
        return;
    problem->severity = severity;
    problem->line = line;
    problem->column = column;
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(problem->message, sizeof problem->message, format, args);
    va_end(args);
    if (needed < 0)
        problem->message[0] = '\0';
    if (needed >= (int)sizeof problem->message)
        cut_to_characters(problem->message, sizeof problem->message - 1);
    for (char *c = problem->message; *c; c++) {
        if ((unsigned char)*c < ' ')
            *c = ' ';
    }
}

/* Total, since qsort is not stable and the order of the output is promised. */
static int compare(const void *left, const void *right)
{
    const struct problem *a = left;
    const struct problem *b = right;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    if (a->severity != b->severity)
        return a->severity == PROBLEM_ERROR ? -1 : 1;
    return strcmp(a->message, b->message);
}

void problems_sort(struct problems *problems)
{
    if (problems->n_items > 1)
        qsort(problems->items, (size_t)problems->n_items, sizeof *problems->items, compare);
}

static const char *severity_name(enum problem_severity severity)
{
    switch (severity) {
    case PROBLEM_ERROR: return "error";
    case PROBLEM_WARNING: return "warning";
    }
    return "error";
}

void problems_print(const struct problems *problems, const char *file, struct text *out)
{
    for (int i = 0; i < problems->n_items; i++) {
        const struct problem *problem = &problems->items[i];
        text_addf(out, "%s:%d:%d: %s: %s\n", file, problem->line, problem->column,
                  severity_name(problem->severity), problem->message);
    }
    if (problems_n_hidden(problems) > 0)
        text_addf(out, "%s: and %d more errors, %d more warnings\n", file,
                  n_over(problems, PROBLEM_ERROR), n_over(problems, PROBLEM_WARNING));
    if (problems->out_of_memory)
        text_addf(out, "%s:1:1: error: memory ran out before everything was checked\n", file);
}
