/*
 * A Lua 5.4 state in which nothing a designer writes can hurt the host: an environment built by
 * allow-list, a cap on memory, limits on instructions and time.
 *
 * Two kinds of code run in it: expressions (expression.h: pure, never yield) and tasks (task.h:
 * scripts as coroutines, which may yield to the host). One sandbox belongs to one event loop.
 */
#pragma once
#include "fault.h"

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

struct sandbox;

struct sandbox_limits {
    size_t state_bytes;              /* all that lives in the state */
    int64_t expression_instructions; /* of one evaluation */
    int64_t expression_us;           /* processor time, as are the times below */
    size_t expression_bytes;         /* that one evaluation may add to the state */
    int64_t script_instructions;     /* of one run of a task, over all its resumes */
    size_t script_bytes;             /* that one run may add to the state */
    int64_t slice_us;                /* so long a task runs before it is made to yield */
    int64_t unyieldable_us; /* it may then go on where it cannot yield, as in a sort or a gsub */
    int check_every;        /* instructions between two looks at the limits, at least 1 */
};

/* 256 MiB; 100,000 instructions, 50 ms, 1 MiB; 10 million instructions, 16 MiB; slices of 3 ms,
 * 50 ms where no yield is possible; a look every 1000 instructions. */
struct sandbox_limits sandbox_default_limits(void);

/* *out is yours to sandbox_free, after everything made from it was freed. */
MUST_CHECK bool sandbox_new(const struct sandbox_limits *limits, struct sandbox **out,
                            struct fault *fault);
void sandbox_free(struct sandbox *sandbox);

/* The state, for callers that read results from its stack. Borrowed. */
lua_State *sandbox_lua(struct sandbox *sandbox);

/* Bytes that live in the state now. */
size_t sandbox_bytes(const struct sandbox *sandbox);

/* For a watchdog, the only functions that another thread may call. Which stretch of Lua is under
 * way, from one entry to the next return; 0 = none. */
unsigned sandbox_stretch(const struct sandbox *sandbox);

/* "FILE:LINE: WHAT" of the stretch under way. Only for one that has lasted, and does not seem to
 * end: its source is not held. */
void sandbox_stretch_place(const struct sandbox *sandbox, char *out, size_t out_bytes);

/* Adds to what scripts see: open is called with the table of their global names on top of the stack
 * and may raise. Tables that it adds go through sandbox_seal, or one script could change another's.
 */
MUST_CHECK bool sandbox_offer(struct sandbox *sandbox, int (*open)(lua_State *L),
                              struct fault *fault);

/* Takes the table on top of the stack away and leaves a read-only view of it. May raise. */
void sandbox_seal(lua_State *L);
