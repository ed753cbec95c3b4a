/*
 * The real program, run as a child: what it printed and how it ended. What goes wrong in running it
 * fails the test.
 */
#pragma once
#include "json.h"

#include <sys/types.h>

struct program {
    pid_t pid;
    int exit_code; /* 128 + n when signal n ended it */
    long peak_kib; /* of memory, and what it used of the processor */
    double cpu_seconds;
    char *out;
    char *err;
    int out_fd;
    int err_fd;
};

/* Starts it with arguments ended by NULL; it is over after program_wait. */
void program_start(struct program *program, const char *const *arguments);
void program_wait(struct program *program);
void program_done(struct program *program);

/* Both, with the arguments one by one. */
#define program_run(program, ...)                                                                  \
    do {                                                                                           \
        program_start(program, (const char *const[]){__VA_ARGS__, NULL});                          \
        program_wait(program);                                                                     \
    } while (0)

/* What it printed as JSON: yours to json_decref. */
json_t *program_json(const struct program *program);

/* Runs it and gives the JSON that it prints, yours to json_decref; it must exit so. */
#define program_answer(exit_code, ...)                                                             \
    program_answer_of((const char *const[]){__VA_ARGS__, NULL}, exit_code)
json_t *program_answer_of(const char *const *arguments, int exit_code);

/* A text of what it printed; "" if there is none. Borrowed. */
const char *program_member(const json_t *object, const char *key);

/* Fail the test, showing what was printed, unless it ended so. */
void program_expect(const struct program *program, int exit_code);
void program_expect_err(const struct program *program, const char *part);

/* A file of its own with that text: yours to remove and to free. */
char *program_file(const char *text);
