/*
 * Internal to expr: collects garbage in steps. Left to itself, Lua does as much at once as was
 * allocated at once: a table that doubles to megabytes would stop the loop for a whole collection
 * of the state, which all scripts share. So Lua's own collector is stopped, and the sandbox takes
 * bounded steps whenever Lua code begins and whenever the hook comes. Only when memory is refused
 * does Lua still collect everything in one go.
 */
#pragma once
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collector {
    const size_t *used_bytes; /* of the state, now */
    size_t state_bytes;       /* that it may have */
    bool at_work;             /* between two steps of a collection */
    size_t begin_at;          /* bytes in the state from which one is due */
    size_t unpaced_bytes;     /* allocated since the last steps */
    int64_t n_collections;    /* that have ended */
};

/* Takes the collecting of L's state over. used_bytes is kept. */
void collector_init(struct collector *collector, lua_State *L, const size_t *used_bytes,
                    size_t state_bytes);

/* So many steps as what was allocated asks for, in about a millisecond. True if there was one. */
bool collector_pace(struct collector *collector, lua_State *L);

/* The number that n_collections will have when all that is garbage now is gone. */
int64_t collector_target(const struct collector *collector);

/* Steps until the target is reached or the thread's processor clock shows end_us; at least one.
 * True if it is reached. */
bool collector_work(struct collector *collector, lua_State *L, int64_t target, int64_t end_us);
