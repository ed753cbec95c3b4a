#include "definition_check.h"

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
    if (!activity->auto_commit && auto_commit)
        reading_warning(reading, auto_commit->key,
                        "`%s` keeps its lock until a later activity commits: an exclusive lock "
                        "should go with `auto-commit-changes: true`",
                        activity->name);
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
        if (activity->exclusive_lock)
            check_locked(reading, node, activity);
        else
            check_unlocked(reading, node);
    }
}

/* True if each `to` is known: otherwise, what is reached is not. */
static bool all_resolved(const struct definition *definition)
{
    if (definition->start < 0)
        return false;
    for (int i = 0; i < definition->n_activities; i++) {
        for (int j = 0; j < definition->activities[i].n_navigation; j++) {
            if (definition->activities[i].navigation[j].to < 0)
                return false;
        }
    }
    return true;
}

static void check_reach(struct reading *reading, const struct yaml_tree *activities)
{
    const struct definition *definition = reading->definition;
    if (definition->n_activities == 0 || !all_resolved(definition))
        return;
    bool *reached = reading_take(reading, (size_t)definition->n_activities, sizeof *reached);
    int *queue = reading_take(reading, (size_t)definition->n_activities, sizeof *queue);
    if (!reached || !queue)
        return;
    int n_queued = 0;
    reached[definition->start] = true;
    queue[n_queued++] = definition->start;
    for (int i = 0; i < n_queued; i++) {
        const struct activity *activity = &definition->activities[queue[i]];
        for (int j = 0; j < activity->n_navigation; j++) {
            int to = activity->navigation[j].to;
            if (!reached[to]) {
                reached[to] = true;
                queue[n_queued++] = to;
            }
        }
    }
    for (int i = 0; i < definition->n_activities; i++) {
        const char *name = definition->activities[i].name;
        if (!reached[i])
            reading_warning(reading, yaml_tree_child(activities, name)->key,
                            "no navigation leads from `%s` to `%s`, so it never runs",
                            definition->activities[definition->start].name, name);
    }
}

void definition_check(struct reading *reading, const struct yaml_tree *root)
{
    const struct yaml_tree *activities = yaml_tree_child(root, "activities");
    if (!activities)
        return;
    check_activities(reading, activities);
    check_reach(reading, activities);
}
