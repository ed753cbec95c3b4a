/*
 * An execution by itself, of a row that this host saved a moment ago: its script runs on what the
 * database gave back then, before its locks are asked for, and all of its transaction goes out in
 * one pipeline rather than two: BEGIN, limits and tries, one statement that saves and keeps,
 * COMMIT.
 *
 * Nothing is promised less. The locks are tried in a statement of their own. The next one finds the
 * row by the key that is asked for, its place and version (ctid, xmin) and its values by
 * their names, under the locks and without any lease in the table of leases, or fails: so the row
 * that the script saw is the row that a load would have found. Until then nothing that it did is
 * seen by anybody: scripts that ask for anything but that row, emit, act, wait or do not end well
 * leave no trace, and run in the ordinary way. So does everything that misses: a lock that is held,
 * a row that is another. An activity that misses does not try for a second, and twice as long after
 * each further miss.
 *
 * A row is remembered when one of its kind was saved twice within row_memory_us, and is loaded anew
 * after that time at the latest; after a new connection too, which may be to another server. A
 * pooler would not tell of that: behind one nothing runs so.
 */
#pragma once
#include "batch_state.h"

/* At the begin of a batch with its connection. True: it has taken over; batch_early_end follows. */
bool batch_early_takes(struct batch *batch);

/* The script is over. */
void batch_early_end(struct batch *batch);

/* How an execution by itself saves its row. */
enum save_manner batch_early_manner(struct batch *batch);

/* Its commit is answered. */
void batch_early_committed(struct batch *batch, struct pg_answer *answer);

/* The connection was lost before its commit was answered: an operator may have broken its lock. */
void batch_early_lost(struct batch *batch, const struct pg_answer *answer);

/* The database refused: nothing has happened. Without its locks, its row or its right to them it
 * runs in the ordinary way; all else is as ever. */
void batch_early_failed(struct batch *batch, const struct pg_answer *answer);
