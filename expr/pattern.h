/*
 * Internal to expr: Lua patterns (reference manual, 6.4.1), matched with counted steps. The stock
 * matcher may need exponential time within a single call, where no hook can stop it; this one
 * charges each step to the run.
 */
#pragma once
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PATTERN_CAPTURES_MAX = 32,
    PATTERN_DEPTH_MAX = 200, /* of nested alternatives; the C stack pays for them */
};

struct pattern_capture {
    const char *start;
    ptrdiff_t length; /* or one of the two marks below */
};

enum {
    PATTERN_CAPTURE_OPEN = -1,
    PATTERN_CAPTURE_POSITION = -2,
};

/* One search. Subject and pattern are lent and must stay on the Lua stack. */
struct pattern {
    lua_State *L;
    const char *subject;
    const char *subject_end;
    const char *pattern_end;
    int depth;
    int64_t steps; /* taken and not yet charged */
    int n_captures;
    struct pattern_capture captures[PATTERN_CAPTURES_MAX];
};

void pattern_init(struct pattern *pattern, lua_State *L, const char *subject, size_t subject_length,
                  size_t pattern_length, const char *text);

/* Matches the text of a pattern, without its leading "^", at one place of the subject. Returns the
 * end of the match or NULL. Raises on a malformed pattern and when the run is spent. */
const char *pattern_match(struct pattern *pattern, const char *at, const char *text);

/* Charges what was counted. After the last match. */
void pattern_charge(struct pattern *pattern);

/* Pushes capture i (from 0); a pattern without captures has one: the whole match. Raises. */
void pattern_push_capture(struct pattern *pattern, int i, const char *start, const char *end);

/* Pushes all captures. whole is false where a pattern without captures gives nothing. */
int pattern_push_captures(struct pattern *pattern, const char *start, const char *end, bool whole);
