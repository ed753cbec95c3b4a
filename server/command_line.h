/*
 * A command line, read by the tables of command.h: which command, which options, which arguments.
 */
#pragma once
#include "command.h"

#include <stdint.h>

struct command_line_given {
    enum command_option option;
    const char *value; /* "" for a flag */
};

struct command_line {
    const struct command_row *command; /* NULL if none was given */
    struct command_line_given *given;  /* in the order written */
    int n_given;
    const char **arguments; /* of the command; ended by NULL */
    int n_arguments;
    int n_plain; /* of them, so many stood before "--" */
};

/* argv is kept. Also after a failure, which is FAULT_INVALID, *line tells what was read so far and
 * wants command_line_done. */
MUST_CHECK bool command_line_read(int argc, char **argv, struct command_line *line,
                                  struct fault *fault);
void command_line_done(struct command_line *line);

bool command_line_has(const struct command_line *line, enum command_option option);

/* NULL if it was not given. */
const char *command_line_value(const struct command_line *line, enum command_option option);

/* A duration such as 30s; *out_us stays as it is where the option is not given. */
MUST_CHECK bool command_line_duration(const struct command_line *line, enum command_option option,
                                      int64_t least_ms, int64_t most_ms, int64_t *out_us,
                                      struct fault *fault);

/* A whole number from least to most; *out keeps its value if the option was not given.
 * Fails with FAULT_INVALID naming the option. */
MUST_CHECK bool command_line_integer(const struct command_line *line, enum command_option option,
                                     int64_t least, int64_t most, int64_t *out,
                                     struct fault *fault);

/* Fails with FAULT_INVALID if the option was given and is no UUID. */
MUST_CHECK bool command_line_uuid(const struct command_line *line, enum command_option option,
                                  struct fault *fault);

/* Sets the fault of a command that does not exist, with the one that was perhaps meant. */
void command_line_unknown_command(const char *written, struct fault *fault);

/* A whole number that is all of the text. */
bool command_line_read_integer(const char *text, int64_t *out);
