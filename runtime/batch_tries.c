#include "batch_tries.h"

#include "lock_tries.h"

#include <stdlib.h>
#include <string.h>

/* ---- asking ---- */

enum {
    SEEN_MAX = 256, /* a power of two */
};

/* On a hot path all members have the same locks: the server tries them once. seen remembers one
 * member for each value of a few bits of the last key; who is forgotten only costs a try more. */
static bool asks_by_itself(struct member *member, struct member *seen[SEEN_MAX])
{
    const struct lock_set *set = member->execution->locks;
    member->asks_as = NULL;
    if (!set)
        return false;
    const struct lock_entry *last = lock_set_entry(set, lock_set_n_entries(set) - 1);
    struct member **place = &seen[(uint64_t)last->key % SEEN_MAX];
    if (*place && lock_set_equal((*place)->execution->locks, set))
        member->asks_as = *place;
    else
        *place = member;
    return !member->asks_as;
}

/* Who is refused one of several paths may not keep the others, and who meets a lease none. By
 * itself it keeps nothing, since its transaction ends. */
static bool wants_groups(const struct batch *batch)
{
    for (const struct member *member = batch->members; member; member = member->next)
        if (execution_wants_group(member->execution))
            return !batch_is_alone(batch);
    return false;
}

static bool add_groups(struct batch *batch, struct fault *fault)
{
    struct member *seen[SEEN_MAX] = {NULL};
    struct lock_tries tries;
    lock_tries_init(&tries);
    for (struct member *member = batch->members; member; member = member->next)
        if (asks_by_itself(member, seen))
            lock_tries_add(&tries, member->execution->locks);
    bool ok = lock_tries_add_try(&tries, batch->pipeline, &batch->at_try, fault);
    lock_tries_done(&tries);
    return ok;
}

static bool add_keys(struct batch *batch, const struct transaction_limits *limits, bool groups,
                     struct fault *fault)
{
    struct member *seen[SEEN_MAX] = {NULL};
    struct key_tries tries;
    key_tries_init(&tries);
    for (struct member *member = batch->members; member && !groups; member = member->next)
        if (asks_by_itself(member, seen))
            key_tries_add(&tries, member->execution->locks);
    bool ok = key_tries_add_open(&tries, limits, batch->pipeline, &batch->at_begin, &batch->at_look,
                                 fault);
    key_tries_done(&tries);
    return ok && (!groups || add_groups(batch, fault));
}

bool batch_add_tries(struct batch *batch, const struct transaction_limits *limits,
                     struct fault *fault)
{
    batch->at_try = batch->at_look = NO_STATEMENT;
    batch->opened_lone = batch_is_alone(batch) &&
                         key_tries_add_lone(batch->members->execution->locks, limits,
                                            batch->pipeline, &batch->at_begin, &batch->at_look);
    return batch->opened_lone || add_keys(batch, limits, wants_groups(batch), fault);
}

/* Wants locks that the transaction does not hold yet. */
static bool is_tried(const struct member *member)
{
    return member->fate == FATE_OPEN && member->execution->locks && !member->granted;
}

bool batch_add_join(struct batch *batch, struct fault *fault)
{
    struct member *seen[SEEN_MAX] = {NULL};
    struct key_tries tries;
    key_tries_init(&tries);
    batch->at_try = batch->at_look = NO_STATEMENT;
    for (struct member *member = batch->members; member; member = member->next)
        if (is_tried(member) && asks_by_itself(member, seen))
            key_tries_add(&tries, member->execution->locks);
    bool ok = tries.n_sets == 0 ||
              key_tries_add_join(&tries, batch->pipeline, &batch->at_try, &batch->at_look, fault);
    key_tries_done(&tries);
    return ok;
}

/* ---- what is answered ---- */

static void refuse_for_lease(struct member *member, int64_t lease_us)
{
    member->fate = FATE_REFUSED;
    member->leased = true;
    member->lease_us = lease_us;
}

static void read_groups(struct batch *batch, const PGresult *result)
{
    const char *at = PQgetvalue(result, 0, 0);
    for (struct member *member = batch->members; member; member = member->next) {
        if (!member->execution->locks)
            continue;
        if (member->asks_as) {
            member->answer = member->asks_as->answer;
            member->answer_us = member->asks_as->answer_us;
        } else {
            member->answer = lock_tries_read(&at, &member->answer_us);
        }
        if (member->fate != FATE_OPEN)
            continue;
        switch (member->answer) {
        case LOCK_TRY_GRANTED: break;
        case LOCK_TRY_REFUSED: member->fate = FATE_REFUSED; break;
        case LOCK_TRY_LEASED: refuse_for_lease(member, member->answer_us); break;
        }
    }
}

static void again_as_group(struct member *member)
{
    member->execution->tries_as_group = true;
    member_again(member, /* alone= */ false, /* delay_us= */ 0);
}

/* An execution by itself got all that it wants, or not. */
static void read_all(struct batch *batch, const PGresult *opened)
{
    bool granted = strcmp(PQgetvalue(opened, 0, OPEN_GRANTED), "t") == 0;
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate == FATE_OPEN && member->execution->locks && !granted)
            member->fate = FATE_REFUSED;
}

static bool read_keys(struct batch *batch, const PGresult *tried, int column, struct fault *fault)
{
    struct key_refusals refusals;
    if (!key_refusals_read(&refusals, tried, column, &batch->region, fault))
        return false;
    for (struct member *member = batch->members; member; member = member->next) {
        if (!is_tried(member))
            continue;
        if (key_refusals_meet(&refusals, member->execution->locks))
            member->fate = FATE_REFUSED;
        else if (refusals.n_shared > 0)
            again_as_group(member); /* its path was not tried */
    }
    return true;
}

/* By the answer of sql/lease_look.sql. */
static bool lease_stands(const PGresult *look)
{
    return PQntuples(look) > 0 && !PQgetisnull(look, 0, 0);
}

/* Alone it is its own; together they are tried as groups. */
void batch_read_look(struct batch *batch, const PGresult *look)
{
    if (!lease_stands(look))
        return;
    for (struct member *member = batch->members; member; member = member->next) {
        if (!is_tried(member))
            continue;
        if (batch_is_alone(batch)) {
            refuse_for_lease(member, strtoll(PQgetvalue(look, 0, 0), NULL, 10) * 1000);
        } else {
            again_as_group(member);
        }
    }
}

bool batch_read_tries(struct batch *batch, const struct pg_answer *answer, struct fault *fault)
{
    const PGresult *look = batch->at_look == NO_STATEMENT ? NULL : answer->results[batch->at_look];
    if (batch->at_try != NO_STATEMENT)
        read_groups(batch, answer->results[batch->at_try]);
    else if (batch->opened_lone)
        read_all(batch, answer->results[batch->at_begin]);
    else if (!read_keys(batch, answer->results[batch->at_begin], OPEN_REFUSED, fault))
        return false;
    if (look)
        batch_read_look(batch, look);
    batch_hold_back(batch);
    return true;
}

bool batch_read_join(struct batch *batch, const struct pg_answer *answer, struct fault *fault)
{
    if (batch->at_try == NO_STATEMENT)
        return true;
    if (!read_keys(batch, answer->results[batch->at_try], JOIN_REFUSED, fault))
        return false;
    batch_read_look(batch, answer->results[batch->at_look]);
    batch_hold_back(batch);
    return true;
}
