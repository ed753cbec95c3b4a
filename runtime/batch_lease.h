/*
 * A batch of one execution that holds its locks as a lease: rows of latchkey.lease, over several
 * transactions, with none open while its script works.
 *
 *   LEASING: the transaction that was granted the locks writes the rows, and commits
 *     --> RUNNING <--> FETCHING --> ASKING   each request of the script: a short read-only one
 *           |--> FETCHING --> SAVING         the last one: deletes the rows first of all, then
 * saves
 *           \--> FETCHING --> RELEASING      nothing is kept: the rows are deleted
 *
 * Time is the database's: at the end the rows must be there and unexpired, or nothing is kept.
 */
#pragma once
#include "batch_state.h"

/* The locks of the one member are granted, no lease is in its way, and it is to take one. */
bool batch_lease_wanted(const struct batch *batch);

/* Takes it, in the batch's open transaction; batch_run follows when that has committed. */
void batch_lease_take(struct batch *batch);

/* True while the transaction under way is the one that takes it. */
bool batch_lease_is_being_taken(const struct batch *batch);

/* That transaction has committed. */
void batch_lease_taken(struct batch *batch);

/* True if the lease was taken: the batch has left its place among the scheduler's. */
bool batch_lease_runs(const struct batch *batch);

/* True while its rows are there, as far as this host knows. */
bool batch_lease_stands(const struct batch *batch);

/* Gets a connection, before all others of this host, and goes on with `then`. Past the deadline,
 * or without one, the member ends. */
typedef void batch_lease_then_fn(struct batch *batch);
void batch_lease_fetch(struct batch *batch, batch_lease_then_fn *then);

/* Begins the read-only transaction of a request. */
void batch_lease_begin_request(struct batch *batch);

/* Begins the last transaction: limits of the time that is left, and the end of the lease. */
MUST_CHECK bool batch_lease_add_end(struct batch *batch, struct fault *fault);

/* The last transaction failed, or never was: true if it is sent again in the time that is left, or
 * the member's end is under way. What the script did outside is not done twice for that. */
bool batch_lease_goes_on(struct batch *batch, const struct pg_answer *answer);

/* Its rows are gone, or nothing more can be done about them. */
void batch_lease_ended(struct batch *batch);

/* Deletes the rows, then batch_end. */
void batch_lease_release(struct batch *batch);
