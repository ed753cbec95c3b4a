/*
 * A command of this program, run by a demo in a process of its own, on the demo's database: a host
 * that comes, does one thing and goes.
 */
#pragma once
#include "json.h"

struct demo_place;

struct demo_answer {
    int exit_code;
    json_t *json;
};

enum {
    DEMO_COMMAND_ARGUMENTS_MAX = 10,
};

/* Blocking. The arguments, ended by NULL, without those that name the database; --json is added.
 * answer->json is yours to json_decref. Fails when the process could not be run or printed no JSON;
 * what it wrote to stderr is shown then, and not otherwise. */
MUST_CHECK bool demo_command_run(const struct demo_place *place, const char *const *arguments,
                                 struct demo_answer *answer, struct fault *fault);
