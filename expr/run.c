#include "run.h"

#include "clock.h"
#include "cpu_clock.h"
#include "sandbox_state.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    SCANTY = 16,      /* what a run over its limit must get back, as a part of that */
    COLLECT_US = 500, /* at a time, where garbage is collected and the run cannot yield */
};

static void watch(lua_State *L, lua_Debug *activation);

void run_init(struct run *run, struct sandbox *sandbox, const struct source *source, lua_State *L,
              bool is_task)
{
    const struct sandbox_limits *limits = &sandbox->limits;
    run->sandbox = sandbox;
    run->L = L;
    run->outer = NULL;
    run->source = source;
    run->is_task = is_task;
    run->was_sliced = false;
    run->spent = RUN_WITHIN;
    run->n_catchers = 0;
    run->interval = 0;
    run->instructions_max = is_task ? limits->script_instructions : limits->expression_instructions;
    run->instructions_left = run->instructions_max;
    run->uncharged_clock = 0;
    run->look_us = 0;
    run->clock_us = 0;
    run->interval_most = sandbox->limits.check_every;
    run->processor_us = 0;
    run->stretch_us = 0;
    run->time_us = is_task ? limits->slice_us : limits->expression_us;
    run->unyieldable_us = is_task ? limits->unyieldable_us : 0;
    run->bytes_max = (int64_t)(is_task ? limits->script_bytes : limits->expression_bytes);
    run->bytes_left = run->bytes_max;
    run->collect_below = run->bytes_max / 2;
    run->collections_wanted = 0;
    run->refused = RUN_WITHIN;
    run->place[0] = '\0';
}

static void arm(struct run *run)
{
    int interval = sandbox_hook_interval(run->sandbox);
    if (interval > run->interval_most)
        interval = run->interval_most;
    if (run->bytes_left < 0 && run->is_task && lua_isyieldable(run->L))
        interval = 1;
    if (interval > run->instructions_left)
        interval = run->instructions_left < 1 ? 1 : (int)run->instructions_left;
    if (interval == run->interval)
        return;
    run->interval = interval;
    lua_sethook(run->L, watch, LUA_MASKCOUNT, interval);
}

/* Makes the hook come at the next instruction. What has passed of the interval is unknown, so the
 * whole of it is charged: otherwise arming early again and again would hide instructions. */
static void arm_now(struct run *run)
{
    if (run->interval > 1) {
        run->instructions_left -= run->interval;
        run->interval = 1;
        lua_sethook(run->L, watch, LUA_MASKCOUNT, 1);
    }
}

void run_took(struct run *run, int64_t bytes)
{
    run->bytes_left -= bytes;
    if (run->bytes_left < 0 && run->bytes_left + bytes >= 0)
        arm_now(run);
}

bool run_pace(struct sandbox *sandbox)
{
    return collector_pace(&sandbox->collector, sandbox->L);
}

/* One thread writes, so that plain stores do. */
static void note_stretch(struct sandbox *sandbox, const struct source *source)
{
    unsigned number = atomic_load_explicit(&sandbox->stretch, memory_order_relaxed);
    atomic_store_explicit(&sandbox->stretch_source, source, memory_order_release);
    atomic_store_explicit(&sandbox->stretch, number + 1, memory_order_release);
}

void run_open(struct run *run)
{
    run->outer = run->sandbox->run;
    if (!run->outer) {
        note_stretch(run->sandbox, run->source);
        run_pace(run->sandbox);
    }
    run->sandbox->run = run;
    run->sandbox->was_refused = false;
    run->was_sliced = false;
    run->look_us = 0;
    run->clock_us = 0;
    if (!run->interval)
        arm(run);
}

void run_close(struct run *run, int status)
{
    assert(run->sandbox->run == run);
    run->sandbox->run = run->outer;
    run->stretch_us = run->look_us ? cpu_clock_us() - run->processor_us : 0;
    if (!run->outer)
        note_stretch(run->sandbox, NULL);
    if (status == LUA_ERRMEM && run->spent == RUN_WITHIN)
        run->spent = run->refused;
}

void run_pause(struct sandbox *sandbox, struct run_pause *pause)
{
    pause->run = sandbox->run;
    pause->processor_us = pause->run && pause->run->look_us ? cpu_clock_us() : 0;
    sandbox->run = NULL;
}

void run_go_on(struct sandbox *sandbox, const struct run_pause *pause)
{
    struct run *run = pause->run;
    sandbox->run = run;
    if (pause->processor_us) {
        int64_t passed_us = cpu_clock_us() - pause->processor_us;
        run->processor_us += passed_us;
        run->look_us += passed_us;
    }
}

/* Finds the innermost Lua function. Neither allocates nor raises. */
static void note_place(struct run *run)
{
    lua_Debug activation;
    for (int level = 0; lua_getstack(run->L, level, &activation); level++) {
        lua_getinfo(run->L, "Sl", &activation);
        if (activation.currentline > 0) {
            snprintf(run->place, sizeof run->place, "%s:%d", activation.short_src,
                     activation.currentline);
            return;
        }
    }
}

static void spend(struct run *run, enum run_limit limit)
{
    if (run->spent != RUN_WITHIN)
        return;
    note_place(run);
    run->spent = limit;
}

void run_memory_refused(struct run *run, enum run_limit limit, bool is_final)
{
    if (run->spent == RUN_WITHIN) {
        run->refused = limit;
        note_place(run);
    }
    if (is_final) {
        spend(run, limit);
        arm_now(run);
    }
}

void run_collided(struct run *run)
{
    spend(run, RUN_COLLISIONS);
    arm_now(run);
}

void run_note(lua_State *L, int64_t units)
{
    struct run *run = sandbox_of(L)->run;
    if (!run)
        return;
    run->instructions_left -= units;
    if (units >= 1000 || run->instructions_left <= 0)
        arm_now(run);
}

/* The time used since the measuring began, or 0 while the other clock says that it cannot be over.
 * The first call begins it: most runs end before, and need no clock. */
static int64_t used_us(struct run *run)
{
    int64_t now_us = clock_monotonic_us();
    run->clock_us = now_us;
    if (!run->look_us) {
        run->processor_us = cpu_clock_us();
        run->look_us = now_us + run->time_us;
        return 0;
    }
    if (now_us < run->look_us)
        return 0;
    int64_t used = cpu_clock_us() - run->processor_us;
    if (used < run->time_us)
        run->look_us = now_us + run->time_us - used;
    return used;
}

/* True when a task must yield. Without a way to yield it goes on for a while. */
static bool check(struct run *run, bool can_yield)
{
    if (run->instructions_left <= 0) {
        spend(run, RUN_INSTRUCTIONS);
        return false;
    }
    int64_t used = used_us(run);
    if (used < run->time_us)
        return false;
    if (run->is_task && can_yield)
        return true;
    if (used >= run->time_us + run->unyieldable_us)
        spend(run, RUN_TIME);
    return run->is_task;
}

void run_count_catchers(lua_State *L, int change)
{
    enum { CATCHERS_MAX = 190 }; /* about where Lua's own limit of C calls stands */
    struct run *run = sandbox_of(L)->run;
    if (!run || run->L != L)
        return;
    if (change > 0 && run->n_catchers + change > CATCHERS_MAX)
        luaL_error(L, "pcall within pcall is nested too deeply");
    run->n_catchers += change;
}

static const char *limit_words(enum run_limit limit)
{
    switch (limit) {
    case RUN_WITHIN: return "nothing is spent";
    case RUN_INSTRUCTIONS: return "ran over the limit of instructions";
    case RUN_TIME: return "ran over the limit of time";
    case RUN_MEMORY: return "ran over the limit of memory";
    case RUN_STATE_MEMORY: return "no memory is left";
    case RUN_COLLISIONS: return "has a table whose keys collide";
    }
    return "";
}

/* level: where the line is, 0 = the function at work (a hook's), 1 = its caller (a C function's).
 */
static void raise_spent(struct run *run, int level)
{
    arm_now(run);
    luaL_where(run->L, level);
    lua_pushstring(run->L, limit_words(run->spent));
    lua_concat(run->L, 2);
    lua_error(run->L);
}

/* Garbage must not eat up the limit. So from half of it on, and wherever it is exceeded, a task
 * makes its way only as garbage is collected, and only what is left then counts. Where it cannot
 * yield it runs on meanwhile. True when a task must yield. */
static bool collect(struct run *run, bool can_yield)
{
    struct collector *collector = &run->sandbox->collector;
    if (!run->collections_wanted) {
        if (run->bytes_left >= run->collect_below)
            return false;
        run->collections_wanted = collector_target(collector);
    }
    int64_t end_us =
        can_yield && run->look_us ? run->processor_us + run->time_us : cpu_clock_us() + COLLECT_US;
    run->clock_us = 0; /* this says nothing of the pace of the run */
    if (!collector_work(collector, run->L, run->collections_wanted, end_us))
        return true;
    run->collections_wanted = 0;
    /* Ever closer to the limit, ever more collections would find nothing. */
    if (run->bytes_left < (run->collect_below ? 0 : run->bytes_max / SCANTY))
        spend(run, RUN_MEMORY);
    run->collect_below = run->bytes_left / 2;
    if (run->collect_below < run->bytes_max / 8)
        run->collect_below = 0;
    return false;
}

/* Single instructions may be slow without big blocks: a lookup through two thousand tables. The
 * hook comes more often where the time between two of them says so. */
static void adapt(struct run *run, int64_t passed_us)
{
    enum { LONG_US = 1000, SHORT_US = 50, LEAST = 16 };
    if (passed_us > LONG_US && run->interval_most > LEAST)
        run->interval_most = run->interval_most / 4 > LEAST ? run->interval_most / 4 : LEAST;
    else if (passed_us < SHORT_US && run->interval_most < run->sandbox->limits.check_every)
        run->interval_most *= 2;
}

static void watch(lua_State *L, lua_Debug *activation)
{
    (void)activation;
    struct run *run = sandbox_of(L)->run;
    if (!run || run->L != L)
        return;
    run->instructions_left -= run->interval;
    bool can_yield = lua_isyieldable(L);
    int64_t before_us = run->clock_us;
    bool slice_over = run->spent == RUN_WITHIN && check(run, can_yield);
    if (run->spent != RUN_WITHIN) {
        raise_spent(run, 0);
        return;
    }
    if (before_us)
        adapt(run, run->clock_us - before_us);
    if (run_pace(run->sandbox))
        run->clock_us = 0;
    if (collect(run, can_yield))
        slice_over = true;
    if (run->spent != RUN_WITHIN) {
        raise_spent(run, 0);
        return;
    }
    arm(run);
    if (slice_over && can_yield) {
        run->was_sliced = true;
        lua_yield(L, 0); /* from a hook it returns, and the hook must too */
    }
}

void run_charge(lua_State *L, int64_t units)
{
    struct run *run = sandbox_of(L)->run;
    if (!run || run->L != L)
        return;
    run->instructions_left -= units;
    run->uncharged_clock += units;
    if (run->spent == RUN_WITHIN && (run->instructions_left <= 0 || run->uncharged_clock >= 1000)) {
        run->uncharged_clock = 0;
        if (check(run, /* can_yield= */ false))
            arm_now(run);
    }
    if (run->spent != RUN_WITHIN)
        raise_spent(run, 1);
}

int run_raise_no_memory(lua_State *L)
{
    struct run *run = sandbox_of(L)->run;
    if (run && run->L == L)
        run_memory_refused(run, RUN_STATE_MEMORY, /* is_final= */ true);
    return luaL_error(L, "%s", limit_words(RUN_STATE_MEMORY));
}

bool run_fault(const struct run *run, const char *fallback, struct fault *fault)
{
    const char *place = run->place[0] ? run->place : fallback;
    switch (run->spent) {
    case RUN_WITHIN: break;
    case RUN_INSTRUCTIONS:
        return fault_set(fault, FAULT_SCRIPT, "%s: ran over %lld instructions", place,
                         (long long)run->instructions_max);
    case RUN_TIME:
        if (run->is_task)
            return fault_set(fault, FAULT_SCRIPT, "%s: ran over %lld ms in one call", place,
                             (long long)run->unyieldable_us / 1000);
        return fault_set(fault, FAULT_SCRIPT, "%s: ran over %lld ms", place,
                         (long long)run->time_us / 1000);
    case RUN_MEMORY:
        return fault_set(fault, FAULT_SCRIPT, "%s: used over %lld KiB of memory", place,
                         (long long)run->bytes_max / 1024);
    case RUN_STATE_MEMORY:
        return fault_set(fault, FAULT_EXHAUSTED, "%s: no memory is left for Lua", place);
    case RUN_COLLISIONS:
        return fault_set(fault, FAULT_SCRIPT,
                         "%s: ran over the time that a table may take to grow: its keys collide",
                         place);
    }
    return fault_set(fault, FAULT_SCRIPT, "%s: %s", place, limit_words(run->spent));
}
