/* Internal to expr: what a sandbox holds. */
#pragma once
#include "collector.h"
#include "rehash.h"
#include "run.h"
#include "sandbox.h"
#include "source.h"

struct sandbox {
    lua_State *L;
    struct sandbox_limits limits;
    size_t used_bytes;
    struct run *run; /* the innermost open one, or NULL */
    /* Written by the loop's thread, read by a watchdog. Odd = a stretch is under way. */
    _Atomic unsigned stretch;
    const struct source *_Atomic stretch_source;
    /* Operations on big blocks make single instructions slow: the hook comes more often then. */
    int n_large_blocks;
    int n_huge_blocks;
    int n_giant_blocks;
    bool was_refused; /* the last wish for more memory; Lua collects garbage and asks once more */
    struct collector collector;
    struct rehash rehash;
    bool compiles; /* no run is open, and so no hook: the allocator alone can end it */
    bool collided; /* while it compiles: the constants of a text collide */
    int expression_libraries_ref; /* behind the values of a scope */
    int script_libraries_ref;     /* what scripts have in addition, before them */
};

enum {
    SANDBOX_LARGE_BYTES = 64 << 10,
    SANDBOX_HUGE_BYTES = 1 << 20,
    SANDBOX_GIANT_BYTES = 4 << 20,
};

/* The sandbox of a state or of any thread in it. */
struct sandbox *sandbox_of(lua_State *L);

/* Calls body(arg) protected; arg arrives as a light userdata, and n_args values from the top of the
 * stack follow it. They are popped; nothing is left. Errors become FAULT_EXHAUSTED or
 * FAULT_INVALID. */
MUST_CHECK bool sandbox_protect(struct sandbox *sandbox, lua_CFunction body, void *arg, int n_args,
                                struct fault *fault);

/* How many instructions may pass until the hook comes. */
int sandbox_hook_interval(const struct sandbox *sandbox);
