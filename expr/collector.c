#include "collector.h"

#include "cpu_clock.h"

enum {
    PACE_BYTES = 8 << 10, /* a step for so many allocated: a collection ends long before the next */
    PACE_US = 1000,
    STEP_LOG2 = 11, /* some 13,000 units of work, such as visiting a slot: a tenth of a ms */
    STEP_MULTIPLIER = 100,
    BEGIN_MIN_BYTES = 64 << 10,
    LOOK_STEPS = 4, /* between two looks at the clock */
};

/* The next is due when what is there has doubled, and earlier where the state fills up. */
static size_t next_at(const struct collector *collector)
{
    size_t used = *collector->used_bytes;
    size_t room = used < collector->state_bytes ? (collector->state_bytes - used) / 2 : 0;
    size_t more = used > BEGIN_MIN_BYTES ? used : BEGIN_MIN_BYTES;
    return used + (more < room ? more : room);
}

void collector_init(struct collector *collector, lua_State *L, const size_t *used_bytes,
                    size_t state_bytes)
{
    lua_gc(L, LUA_GCINC, 0, STEP_MULTIPLIER, STEP_LOG2);
    lua_gc(L, LUA_GCSTOP);
    *collector = (struct collector){.used_bytes = used_bytes, .state_bytes = state_bytes};
    collector->begin_at = next_at(collector);
}

/* True if it was the last one of a collection. */
static bool step(struct collector *collector, lua_State *L)
{
    collector->at_work = !lua_gc(L, LUA_GCSTEP, 0);
    if (collector->at_work)
        return false;
    collector->n_collections++;
    collector->begin_at = next_at(collector);
    return true;
}

bool collector_pace(struct collector *collector, lua_State *L)
{
    if (!collector->at_work && *collector->used_bytes < collector->begin_at) {
        collector->unpaced_bytes = 0;
        return false;
    }
    if (collector->unpaced_bytes < PACE_BYTES)
        return false;
    int64_t end_us = cpu_clock_us() + PACE_US;
    for (int n = 1; collector->unpaced_bytes >= PACE_BYTES; n++) {
        collector->unpaced_bytes -= PACE_BYTES;
        if (step(collector, L))
            collector->unpaced_bytes = 0;
        else if (n % LOOK_STEPS == 0 && cpu_clock_us() >= end_us)
            break;
    }
    return true;
}

int64_t collector_target(const struct collector *collector)
{
    /* One at work may have marked already what has become garbage since. */
    return collector->n_collections + (collector->at_work ? 2 : 1);
}

bool collector_work(struct collector *collector, lua_State *L, int64_t target, int64_t end_us)
{
    for (int n = 1; collector->n_collections < target; n++)
        if (!step(collector, L) && n % LOOK_STEPS == 0 && cpu_clock_us() >= end_us)
            return false;
    return true;
}
