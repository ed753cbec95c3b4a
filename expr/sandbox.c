#include "sandbox_state.h"

#include "failure.h"
#include "libraries.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BYTES_PER_UNIT = 64, /* filling a big block costs time, which no instruction shows */
};

struct sandbox_limits sandbox_default_limits(void)
{
    return (struct sandbox_limits){
        .state_bytes = (size_t)256 << 20,
        .expression_instructions = 100000,
        .expression_us = 50000,
        .expression_bytes = (size_t)1 << 20,
        .script_instructions = 10000000,
        .script_bytes = (size_t)16 << 20,
        .slice_us = 3000,
        .unyieldable_us = 50000,
        .check_every = 1000,
    };
}

int sandbox_hook_interval(const struct sandbox *sandbox)
{
    int interval = sandbox->limits.check_every;
    int most = interval;
    if (sandbox->n_giant_blocks)
        most = 1;
    else if (sandbox->n_huge_blocks)
        most = 4;
    else if (sandbox->n_large_blocks)
        most = 16;
    return interval < most ? interval : most;
}

/* A first refusal makes Lua collect garbage and ask again; only a second one in a row is final. */
static void *refuse(struct sandbox *sandbox, enum run_limit limit)
{
    if (sandbox->run) {
        run_memory_refused(sandbox->run, limit, sandbox->was_refused);
        run_note(sandbox->run->L, SANDBOX_HUGE_BYTES / BYTES_PER_UNIT); /* for the collection */
    }
    sandbox->was_refused = true;
    return NULL;
}

static void count_blocks(struct sandbox *sandbox, size_t old_bytes, size_t new_bytes)
{
    sandbox->n_large_blocks += (new_bytes >= SANDBOX_LARGE_BYTES);
    sandbox->n_large_blocks -= (old_bytes >= SANDBOX_LARGE_BYTES);
    sandbox->n_huge_blocks += (new_bytes >= SANDBOX_HUGE_BYTES);
    sandbox->n_huge_blocks -= (old_bytes >= SANDBOX_HUGE_BYTES);
    sandbox->n_giant_blocks += (new_bytes >= SANDBOX_GIANT_BYTES);
    sandbox->n_giant_blocks -= (old_bytes >= SANDBOX_GIANT_BYTES);
}

static void *allocate(void *arg, void *block, size_t old_bytes, size_t new_bytes)
{
    struct sandbox *sandbox = arg;
    struct run *run = sandbox->run;
    if (!block)
        old_bytes = 0; /* Lua passes the kind of object there */
    if (new_bytes > old_bytes) {
        size_t more = new_bytes - old_bytes;
        if (more > sandbox->limits.state_bytes ||
            sandbox->used_bytes > sandbox->limits.state_bytes - more)
            return refuse(sandbox, RUN_STATE_MEMORY);
        if (sandbox->compiles && sandbox->collided)
            return refuse(sandbox, RUN_COLLISIONS);
        if (run && more > INT64_MAX / 2)
            return refuse(sandbox, RUN_MEMORY);
        if (run && run->bytes_left + run->bytes_max / 2 < (int64_t)more)
            return refuse(sandbox, RUN_MEMORY);
        void *grown = realloc(block, new_bytes);
        if (!grown)
            return refuse(sandbox, RUN_STATE_MEMORY);
        sandbox->was_refused = false;
        sandbox->used_bytes += more;
        sandbox->collector.unpaced_bytes += more;
        if (run) {
            run_took(run, (int64_t)more);
            if (more >= SANDBOX_LARGE_BYTES)
                run_note(sandbox->L, (int64_t)(more / BYTES_PER_UNIT));
        }
        count_blocks(sandbox, old_bytes, new_bytes);
        if (!block)
            rehash_allocated(&sandbox->rehash, new_bytes);
        return grown;
    }

    size_t less = old_bytes - new_bytes;
    void *shrunk = NULL;
    if (new_bytes == 0) {
        free(block);
        if (rehash_freed(&sandbox->rehash, old_bytes)) {
            if (run)
                run_collided(run);
            else
                sandbox->collided = true;
        }
    } else {
        shrunk = realloc(block, new_bytes);
        if (!shrunk)
            shrunk = block; /* Lua counts on shrinking never to fail */
    }
    sandbox->used_bytes -= less;
    if (run) {
        run->bytes_left += (int64_t)less;
        if (run->bytes_left > run->bytes_max)
            run->bytes_left = run->bytes_max;
    }
    count_blocks(sandbox, old_bytes, new_bytes);
    return shrunk;
}

struct sandbox *sandbox_of(lua_State *L)
{
    void *arg = NULL;
    lua_getallocf(L, &arg);
    return arg;
}

static int open_state(lua_State *L)
{
    struct sandbox *sandbox = lua_touserdata(L, 1);
    lua_settop(L, 0);
    libraries_open(L);
    sandbox->script_libraries_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    sandbox->expression_libraries_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

bool sandbox_protect(struct sandbox *sandbox, lua_CFunction body, void *arg, int n_args,
                     struct fault *fault)
{
    lua_State *L = sandbox->L;
    if (!lua_checkstack(L, 4)) {
        lua_pop(L, n_args);
        return fault_no_memory(fault);
    }
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, arg);
    lua_rotate(L, -2 - n_args, 2);
    int status = lua_pcall(L, n_args + 1, 0, 0);
    if (status == LUA_OK)
        return true;
    failure_from_error(L, status, FAULT_INVALID, NULL, fault);
    lua_pop(L, 1);
    return false;
}

bool sandbox_new(const struct sandbox_limits *limits, struct sandbox **out, struct fault *fault)
{
    struct sandbox *sandbox = calloc(1, sizeof *sandbox);
    if (!sandbox)
        return fault_no_memory(fault);
    sandbox->limits = *limits;
    if (sandbox->limits.check_every < 1)
        sandbox->limits.check_every = 1;
    sandbox->L = lua_newstate(allocate, sandbox);
    if (!sandbox->L) {
        sandbox_free(sandbox);
        return fault_no_memory(fault);
    }
    *(void **)lua_getextraspace(sandbox->L) = NULL; /* threads inherit it; see task_of */
    if (!sandbox_protect(sandbox, open_state, sandbox, 0, fault)) {
        sandbox_free(sandbox);
        return false;
    }
    collector_init(&sandbox->collector, sandbox->L, &sandbox->used_bytes, limits->state_bytes);
    *out = sandbox;
    return true;
}

void sandbox_free(struct sandbox *sandbox)
{
    if (!sandbox)
        return;
    assert(!sandbox->run);
    if (sandbox->L)
        lua_close(sandbox->L);
    free(sandbox);
}

lua_State *sandbox_lua(struct sandbox *sandbox)
{
    return sandbox->L;
}

unsigned sandbox_stretch(const struct sandbox *sandbox)
{
    unsigned number = atomic_load_explicit(&sandbox->stretch, memory_order_acquire);
    return number % 2 ? number : 0;
}

void sandbox_stretch_place(const struct sandbox *sandbox, char *out, size_t out_bytes)
{
    const struct source *source =
        atomic_load_explicit(&sandbox->stretch_source, memory_order_acquire);
    if (source)
        snprintf(out, out_bytes, "%s:%d: %s", source->file, source->line, source->what);
    else
        snprintf(out, out_bytes, "Lua");
}

size_t sandbox_bytes(const struct sandbox *sandbox)
{
    return sandbox->used_bytes;
}
