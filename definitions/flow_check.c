#include "flow_check.h"

#include "lua_names.h"

#include <string.h>

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

/* Relies on all_resolved. */
static void check_reach(struct reading *reading, const struct yaml_tree *activities)
{
    const struct definition *definition = reading->definition;
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

/* Where an activity always leads, whatever the rules say; -1 if that depends, or nowhere. */
static int forced(const struct activity *activity)
{
    bool open = activity->wait_for || activity->guard.text || activity->n_navigation == 0 ||
                activity->navigation[0].rule.text;
    return open ? -1 : activity->navigation[0].to;
}

/* A round that nothing leaves and in which nothing waits or can be refused: the instance runs until
 * `max-steps` ends it. Told once, where the round closes. */
static void check_rounds(struct reading *reading, const struct yaml_tree *activities)
{
    const struct definition *definition = reading->definition;
    int *seen = reading_take(reading, (size_t)definition->n_activities, sizeof *seen);
    if (!seen)
        return;
    for (int i = 0; i < definition->n_activities; i++)
        seen[i] = -1;
    for (int i = 0; i < definition->n_activities; i++) {
        int last = i;
        int at = i;
        while (at >= 0 && seen[at] < 0) {
            seen[at] = i;
            last = at;
            at = forced(&definition->activities[at]);
        }
        if (at < 0 || seen[at] != i)
            continue;
        const struct activity *closing = &definition->activities[last];
        const struct yaml_tree *node = yaml_tree_child(activities, closing->name);
        reading_warning(reading, yaml_tree_child(node, "navigation")->key,
                        "this leads back to `%s` for ever, without a rule, a guard or an event in "
                        "between: only `max-steps` ends it",
                        definition->activities[at].name);
    }
}

static bool has_event(const struct definition *definition)
{
    for (int i = 0; i < definition->n_triggers; i++) {
        if (definition->triggers[i].event)
            return true;
    }
    for (int i = 0; i < definition->n_activities; i++) {
        if (definition->activities[i].wait_for)
            return true;
    }
    return false;
}

static bool mentions_event(const struct lua_source *source)
{
    struct lua_names names = {.at = source->text};
    struct lua_name name;
    while (source->text && lua_names_next(&names, &name)) {
        if (name.field || strcmp(name.text, "event") != 0)
            continue;
        if (name.declared || !name.set)
            return !name.declared;
    }
    return false;
}

static void check_event(struct reading *reading, const struct yaml_tree *node, const char *key,
                        const struct lua_source *source)
{
    const struct yaml_tree *value = yaml_tree_child(node, key);
    if (value && mentions_event(source))
        reading_warning(reading, value->key,
                        "`%s` uses `event`, which is always nil here: no trigger has an `event` "
                        "and no activity has `wait-for`",
                        key);
}

static void check_events(struct reading *reading, const struct yaml_tree *activities)
{
    const struct definition *definition = reading->definition;
    for (int i = 0; i < definition->n_activities; i++) {
        const struct activity *activity = &definition->activities[i];
        const struct yaml_tree *node = yaml_tree_child(activities, activity->name);
        check_event(reading, node, "lock-context", &activity->lock_context);
        check_event(reading, node, "guard", &activity->guard);
        check_event(reading, node, "script", &activity->script);
        for (int j = 0; j < activity->n_navigation; j++)
            if (mentions_event(&activity->navigation[j].rule))
                check_event(reading, node, "navigation", &activity->navigation[j].rule);
    }
}

void flow_check(struct reading *reading, const struct yaml_tree *root)
{
    const struct definition *definition = reading->definition;
    const struct yaml_tree *activities = yaml_tree_child(root, "activities");
    if (!activities || definition->n_activities == 0)
        return;
    if (!has_event(definition))
        check_events(reading, activities);
    if (!all_resolved(definition))
        return;
    check_reach(reading, activities);
    check_rounds(reading, activities);
}
