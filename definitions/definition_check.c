#include "definition_check.h"

#include "flow_check.h"
#include "trigger_check.h"

#include <string.h>

static void check_work(struct reading *reading, const struct yaml_tree *node)
{
    const struct yaml_tree *action = yaml_tree_child(node, "action");
    if (action && yaml_tree_child(node, "script"))
        reading_error(reading, action->key, "an activity has a `script` or an `action`, not both");
}

/* Keys that say nothing without a lock; not where the lock was meant and misspelt. */
static void check_unlocked(struct reading *reading, const struct yaml_tree *node)
{
    const struct yaml_tree *enable = yaml_tree_child(node, "enable-exclusive-lock");
    if (enable && !yaml_tree_is(enable, "false"))
        return;
    static const char *const lock_keys[] = {"lock-context", "acquire-timeout", "lock-hold", NULL};
    for (const char *const *name = lock_keys; *name; name++) {
        const struct yaml_tree *value = yaml_tree_child(node, *name);
        if (value)
            reading_warning(reading, value->key,
                            "`%s` does nothing without `enable-exclusive-lock: true`", *name);
    }
}

static void check_locked(struct reading *reading, const struct yaml_tree *node,
                         const struct activity *activity)
{
    const struct yaml_tree *enable = yaml_tree_child(node, "enable-exclusive-lock");
    const struct yaml_tree *auto_commit = yaml_tree_child(node, "auto-commit-changes");
    if (!yaml_tree_child(node, "lock-context"))
        reading_warning(reading, enable->key,
                        "`%s` has no `lock-context`, so it locks the whole system: no other "
                        "activity with a lock can run meanwhile",
                        activity->name);
    if (!activity->auto_commit && auto_commit && !activity->persist_on_close &&
        activity->lock_hold != LOCK_HOLD_LEASE)
        reading_warning(reading, auto_commit->key,
                        "`%s` keeps its lock until a later activity commits: an exclusive lock "
                        "should go with `auto-commit-changes: true`",
                        activity->name);
}

/* Keys that say when changes are committed. */
static void check_commit(struct reading *reading, const struct yaml_tree *node,
                         const struct activity *activity)
{
    const struct yaml_tree *auto_commit = yaml_tree_child(node, "auto-commit-changes");
    if (activity->auto_commit || !auto_commit)
        return;
    if (activity->lock_hold == LOCK_HOLD_LEASE)
        reading_error(reading, auto_commit->key,
                      "`auto-commit-changes: false` cannot go with `lock-hold: lease`: a lease "
                      "ends with the commit of its own activity");
    else if (activity->persist_on_close)
        reading_warning(reading, auto_commit->key,
                        "`auto-commit-changes: false` does nothing beside `persist-on-close: "
                        "true`, which commits when the activity closes");
}

static void check_activities(struct reading *reading, const struct yaml_tree *activities)
{
    const struct definition *definition = reading->definition;
    for (int i = 0; i < definition->n_activities; i++) {
        const struct activity *activity = &definition->activities[i];
        const struct yaml_tree *node = yaml_tree_child(activities, activity->name);
        if (!node || node->kind != YAML_TREE_MAPPING)
            continue;
        check_work(reading, node);
        check_commit(reading, node, activity);
        if (activity->exclusive_lock)
            check_locked(reading, node, activity);
        else
            check_unlocked(reading, node);
    }
}

void definition_check(struct reading *reading, const struct yaml_tree *root)
{
    const struct yaml_tree *activities = yaml_tree_child(root, "activities");
    if (activities)
        check_activities(reading, activities);
    trigger_check(reading, root);
    flow_check(reading, root);
}
