/*
 * When the next plain batch begins, and how many run at a time.
 *
 * A transaction costs the server about as much as thirty executions in it. With processors to spare
 * several batches at a time use them: the server works on one while the process works on another.
 * Without, they only make each other smaller and dearer: then there is one at a time, and it waits
 * a little for most of those that the last one answered, who often come back.
 */
#pragma once
#include "crowding.h"
#include "runtime.h"

struct pace {
    const struct runtime_options *options;
    int connections; /* no more batches at a time than these */
    struct crowding crowding;
    int last_size;           /* members of the last batch */
    int expected;            /* that stood ready when the last batch ended, and its own */
    int64_t linger_until_us; /* 0: nobody lingers */
};

/* options are kept. */
void pace_open(struct pace *pace, const struct runtime_options *options, int connections);
void pace_close(struct pace *pace);

/* How many may run now, those that do among them, while so many stand ready. */
int pace_batches(struct pace *pace, int n_ready, int64_t now_us);

/* How many the next one takes, itself among those that run: others are for the next connection, to
 * work on while the server does. */
int pace_share(const struct pace *pace, int n_ready, int n_running, int n_batches);

/* Whether the next one will be full as one ends, itself among those that run. Others are all that
 * are under way beside its members: where no second one runs they stand ready, or behind the
 * members. */
bool pace_next_is_full(const struct pace *pace, int n_ready, int n_running, int n_others);

/* How long those that stand ready had better wait for more; 0 = not at all. */
int64_t pace_linger_us(struct pace *pace, int n_ready, int n_running, int64_t now_us);

/* A batch has taken so many; one has ended while so many stand ready; nobody stands ready. */
void pace_began(struct pace *pace, int n_members);
void pace_ended(struct pace *pace, int n_ready);
void pace_emptied(struct pace *pace);
