#include "definition_support.h"

static bool holds_a_lease(const struct activity *activity)
{
    return activity->lock_hold == LOCK_HOLD_LEASE;
}

struct unsupported {
    const char *key;                               /* where to point */
    bool (*used)(const struct activity *activity); /* NULL = a key of the workflow */
    const char *words;
};

static const struct unsupported unsupported[] = {
    {"lock-hold", holds_a_lease,
     "`lock-hold: lease` is not there yet: it comes with a later version"},
};

static void report(const struct unsupported *row, const struct yaml_tree *mapping,
                   struct problems *problems)
{
    const struct yaml_tree *value = yaml_tree_child(mapping, row->key);
    if (value)
        problems_add(problems, PROBLEM_ERROR, value->key->line, value->key->column, "%s",
                     row->words);
}

void definition_check_support(const struct definition *definition, const struct yaml_tree *root,
                              struct problems *problems)
{
    const struct yaml_tree *activities = yaml_tree_child(root, "activities");
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
        const struct unsupported *row = &unsupported[i];
        if (!row->used)
            report(row, root, problems);
        for (int j = 0; row->used && j < definition->n_activities; j++) {
            const struct activity *activity = &definition->activities[j];
            if (row->used(activity))
                report(row, yaml_tree_child(activities, activity->name), problems);
        }
    }
}
