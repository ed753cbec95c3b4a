#include "batch_relock.h"

#include "execution_chain.h"
#include "execution_lock.h"

#include <string.h>

enum {
    RELOCKS_MAX = 3,
};

static int next_of_user(const struct lock_set *set, int i)
{
    while (i < lock_set_n_paths(set) && *lock_set_path(set, i) == '$')
        i++;
    return i;
}

/* latchkey's own paths do not come from the data, and a lease may have changed them already. */
static bool names_the_same(const struct lock_set *held, const struct lock_set *wanted)
{
    int i = next_of_user(held, 0), j = next_of_user(wanted, 0);
    int n_held = lock_set_n_paths(held), n_wanted = lock_set_n_paths(wanted);
    while (i < n_held && j < n_wanted &&
           strcmp(lock_set_path(held, i), lock_set_path(wanted, j)) == 0) {
        i = next_of_user(held, i + 1);
        j = next_of_user(wanted, j + 1);
    }
    return i == n_held && j == n_wanted;
}

bool batch_relock_is_right(struct member *member, struct fault *fault)
{
    struct execution *execution = member->execution;
    struct lock_set *set = NULL;
    if (!execution_lock_uses_data(execution))
        return true;
    if (!script_lock(member->script, &set, fault)) {
        member_drop_for_fault(member, fault);
        return false;
    }
    if (names_the_same(execution->locks, set)) {
        lock_set_free(set);
        return true;
    }
    if (!execution_lock_join(execution, &set, fault)) {
        member_drop_for_fault(member, fault);
        return false;
    }
    if (lock_set_equal(set, execution->locks) ||
        (execution->has_learnt && lock_set_covers(execution->locks, set))) {
        lock_set_free(set);
        return true;
    }
    if (execution->chain && !execution_chain_learn(execution, set, fault)) {
        lock_set_free(set);
        member_drop_for_fault(member, fault);
        return false;
    }
    lock_set_free(execution->next_locks);
    execution->next_locks = set;
    if (execution->n_relocks++ < RELOCKS_MAX) {
        member->fate = FATE_ASIDE;
        member->delay_us = 0;
    } else {
        member_drop(member, STATUS_CONFLICT, "the data named another lock at each try");
    }
    return false;
}
