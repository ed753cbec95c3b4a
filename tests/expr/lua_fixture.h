/* A sandbox with a scope, and short ways to run texts in it. */
#pragma once
#include "expression.h"
#include "json_lua.h"
#include "task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct lua_fixture {
    struct sandbox *sandbox;
    struct scope *scope;
    struct fault fault; /* of the last thing that failed */
};

/* For cmocka's set-up and tear-down: *state becomes a fixture with the default limits. */
int lua_fixture_open(void **state);
int lua_fixture_close(void **state);

struct lua_fixture *lua_fixture_new(const struct sandbox_limits *limits);
void lua_fixture_free(struct lua_fixture *fixture);

/* Compiles and evaluates in the fixture's scope, from line 1 of "test.yaml". The value as JSON, a
 * new reference; NULL after a fault. */
json_t *lua_evaluate(struct lua_fixture *fixture, const char *text);

/* Runs a script to its end, slices included; host yields are resumed without values. The first
 * value as JSON; NULL after a fault. */
json_t *lua_run(struct lua_fixture *fixture, const char *text);

/* Sets a name of the scope from JSON text. */
void lua_set(struct lua_fixture *fixture, const char *name, const char *json_text);

/* Fail the test unless the text evaluates, or runs, to this JSON, or to a fault with this part. */
void assert_evaluates(struct lua_fixture *fixture, const char *text, const char *json_text);
void assert_evaluation_fails(struct lua_fixture *fixture, const char *text, const char *part);
void assert_runs(struct lua_fixture *fixture, const char *text, const char *json_text);
void assert_run_fails(struct lua_fixture *fixture, const char *text, const char *part);
