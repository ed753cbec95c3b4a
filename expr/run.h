/*
 * Internal to expr: one stretch of Lua under limits. A run is opened, code is called, the run is
 * closed; runs nest (a host function of a task may evaluate an expression). Three places watch it:
 *
 *   the count hook     instructions, time, slices   (run_watch)
 *   C functions        work that escapes the hook   (run_charge)
 *   the allocator      memory                       (run_memory_refused)
 *
 * A spent run cannot be rescued: from then on the hook fires at each instruction and raises, so
 * that pcall hands the error on step by step, and run_close tells the caller that it was spent.
 */
#pragma once
#include "fault.h"

#include <lua.h>
#include <stdint.h>

struct sandbox;
struct source;

enum run_limit {
    RUN_WITHIN,       /* nothing is spent */
    RUN_INSTRUCTIONS, /* and work charged like instructions */
    RUN_TIME,
    RUN_MEMORY,       /* what this run may add */
    RUN_STATE_MEMORY, /* what the whole state, or the machine, has */
    RUN_COLLISIONS,   /* a table whose keys fall into one chain: see rehash.h */
};

enum {
    RUN_PLACE_BYTES = LUA_IDSIZE + 16,
};

struct run {
    struct sandbox *sandbox;
    struct run *outer;
    const struct source *source;
    lua_State *L;
    bool is_task;
    bool was_sliced; /* the last stretch of a task ended with its slice */
    enum run_limit spent;
    int n_catchers;            /* pcalls at work */
    int interval;              /* the hook's count in force */
    int interval_most;         /* what the pace of the run allows */
    int64_t instructions_left; /* counted in steps of the interval */
    int64_t instructions_max;
    int64_t uncharged_clock; /* work charged since the clock was last read */
    /* What counts is the processor time of the thread: a busy machine must not fail a script. The
     * other clock costs a tenth, and so says when to look. */
    int64_t clock_us;       /* when it was last looked at; 0 = not in this stretch */
    int64_t look_us;        /* on the monotonic clock; 0 = nothing measured yet */
    int64_t processor_us;   /* when the measuring began */
    int64_t time_us;        /* of an expression, or of a slice */
    int64_t stretch_us;     /* processor time of the last stretch; 0 = too short to measure */
    int64_t unyieldable_us; /* on top, where a task cannot be made to yield */
    /* Rises when memory is freed, never over bytes_max; less than 0 until the garbage is collected,
     * never less than -bytes_max / 2. */
    int64_t bytes_left;
    int64_t bytes_max;
    int64_t collect_below;       /* bytes left, at which garbage is collected */
    int64_t collections_wanted;  /* until when it waits for that; 0 = it does not */
    enum run_limit refused;      /* why memory was refused last */
    char place[RUN_PLACE_BYTES]; /* "FILE:LINE" of the limit spent or the memory refused, or "" */
};

/* Fills a run with the limits of an expression, or of a task. Not yet open. */
void run_init(struct run *run, struct sandbox *sandbox, const struct source *source, lua_State *L,
              bool is_task);

/* Between the two, what L does counts. A task's run is opened anew for each slice; its instructions
 * and bytes go on, its slice begins again. */
void run_open(struct run *run);
void run_close(struct run *run, int status);

/* What the host does for the code at work counts for none of its limits. Nothing may raise between
 * the two. */
struct run_pause {
    struct run *run;
    int64_t processor_us;
};
void run_pause(struct sandbox *sandbox, struct run_pause *pause);
void run_go_on(struct sandbox *sandbox, const struct run_pause *pause);

/* For C functions whose work is not bounded by a constant: one unit is about one instruction.
 * Raises when the run is spent; does nothing outside a run. */
void run_charge(lua_State *L, int64_t units);

/* The same without raising: a spent run ends at its next instruction. */
void run_note(lua_State *L, int64_t units);

/* Adds to the number of pcalls at work, and raises when there are too many: the error of a spent
 * run visits each, and Lua walks the whole stack each time. */
void run_count_catchers(lua_State *L, int change);

/* Called by the allocator: the run has got so much. */
void run_took(struct run *run, int64_t bytes);

/* Takes the steps of collecting that are due. True if there was one. */
bool run_pace(struct sandbox *sandbox);

/* Called by the allocator, which may not raise. A refusal is final when Lua has collected garbage
 * and asked again. */
void run_memory_refused(struct run *run, enum run_limit limit, bool is_final);

/* Called by the allocator too: a table's keys collide. */
void run_collided(struct run *run);
/* For C functions that lack memory which is not Lua's: the run is spent. Raises. */
int run_raise_no_memory(lua_State *L);

/* Sets the fault for a spent run. fallback is the place if none is known. Returns false. */
bool run_fault(const struct run *run, const char *fallback, struct fault *fault);
