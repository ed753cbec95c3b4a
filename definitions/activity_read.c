#include "activity_read.h"

#include "lua_piece.h"
#include "spelling.h"

#include <string.h>

enum {
    RETRIES_MAX = 100,
};

static const int64_t duration_max_ms = (int64_t)ACTIVITY_DURATION_MAX_DAYS * 24 * 3600 * 1000;
static const int64_t waiting_timeout_default_ms = 30 * 1000;

static void read_lock_context(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    struct activity *activity = slot;
    lua_piece_read(reading, value, LUA_PIECE_LOCK_CONTEXT, &activity->lock_context,
                   &activity->lock_context_uses_data);
}

static void read_guard(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    lua_piece_read(reading, value, LUA_PIECE_GUARD, slot, /* uses_data= */ NULL);
}

static void read_rule(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    lua_piece_read(reading, value, LUA_PIECE_RULE, slot, /* uses_data= */ NULL);
}

static void read_script(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    lua_piece_read(reading, value, LUA_PIECE_SCRIPT, slot, /* uses_data= */ NULL);
}

static void read_waiting_timeout(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    reading_duration(reading, value, 1, duration_max_ms, slot);
}

/* 0 means: try once. */
static void read_acquire_timeout(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    reading_duration(reading, value, 0, duration_max_ms, slot);
}

static void read_lock_hold(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    static const char *const names[] = {"transaction", "lease", NULL};
    int choice = 0;
    if (reading_choice(reading, value, names, &choice))
        *(enum lock_hold *)slot = (enum lock_hold)choice;
}

static void read_on_conflict(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    static const char *const names[] = {"retry", "fail", "overwrite", NULL};
    int choice = 0;
    if (reading_choice(reading, value, names, &choice))
        *(enum on_conflict *)slot = (enum on_conflict)choice;
}

static void read_retries(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    reading_integer(reading, value, 0, RETRIES_MAX, slot);
}

int activity_read_reference(struct reading *reading, const struct yaml_tree *value)
{
    const struct definition *definition = reading->definition;
    const char *name = reading_chars(reading, value);
    if (!name)
        return -1;
    for (int i = 0; i < definition->n_activities; i++) {
        if (strcmp(definition->activities[i].name, name) == 0)
            return i;
    }
    struct spelling spelling = {0};
    bool affordable = reading_affords(reading, reading_spelling_steps(definition->n_activities));
    for (int i = 0; i < definition->n_activities && affordable; i++)
        spelling_consider(&spelling, name, definition->activities[i].name);
    if (spelling.nearest)
        reading_error(reading, value, "%s: there is no activity `%s`: did you mean `%s`?",
                      reading_label(value), name, spelling.nearest);
    else
        reading_error(reading, value, "%s: there is no activity `%s`", reading_label(value), name);
    return -1;
}

static void read_to(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    *(int *)slot = activity_read_reference(reading, value);
}

static const struct reading_key navigation_keys[] = {
    {"to", read_to, offsetof(struct navigation, to), true},
    {"rule", read_rule, offsetof(struct navigation, rule), false},
    {0},
};

const struct reading_schema activity_read_navigation_schema = {
    .what = "a navigation entry",
    .slip = "a mapping with `to` and, if it is not always taken, `rule` should stand here",
    .keys = navigation_keys,
};

static void read_navigation(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    struct activity *activity = slot;
    if (value->kind != YAML_TREE_LIST) {
        reading_error(reading, value,
                      "navigation: a list should stand here: write `- to: NAME` and its `rule` "
                      "below");
        return;
    }
    activity->navigation =
        reading_take(reading, (size_t)value->n_children, sizeof *activity->navigation);
    if (!activity->navigation)
        return;
    for (const struct yaml_tree *child = value->children; child; child = child->next) {
        struct navigation *navigation = &activity->navigation[activity->n_navigation++];
        navigation->to = -1;
        if (reading_usable(reading, child))
            reading_mapping(reading, child, &activity_read_navigation_schema, navigation);
        if (child->kind == YAML_TREE_MAPPING && !yaml_tree_child(child, "rule") && child->next)
            reading_warning(reading, child->next,
                            "this is never taken: the entry before it has no rule");
    }
}

static void read_action(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    struct activity *activity = slot;
    activity->action_line = value->line;
    reading_name(reading, value, &activity->action);
}

static const struct reading_key activity_keys[] = {
    {"title", reading_text, offsetof(struct activity, title), false},
    {"enable-exclusive-lock", reading_boolean, offsetof(struct activity, exclusive_lock), false},
    {"lock-context", read_lock_context, 0, false},
    {"waiting-timeout", read_waiting_timeout, offsetof(struct activity, waiting_timeout_ms), false},
    {"acquire-timeout", read_acquire_timeout, offsetof(struct activity, acquire_timeout_ms), false},
    {"lock-hold", read_lock_hold, offsetof(struct activity, lock_hold), false},
    {"auto-commit-changes", reading_boolean, offsetof(struct activity, auto_commit), false},
    {"on-conflict", read_on_conflict, offsetof(struct activity, on_conflict), false},
    {"persist-on-close", reading_boolean, offsetof(struct activity, persist_on_close), false},
    {"wait-for", reading_name, offsetof(struct activity, wait_for), false},
    {"guard", read_guard, offsetof(struct activity, guard), false},
    {"script", read_script, offsetof(struct activity, script), false},
    {"action", read_action, 0, false},
    {"retries", read_retries, offsetof(struct activity, retries), false},
    {"navigation", read_navigation, 0, false},
    {0},
};

const struct reading_schema activity_read_schema = {
    .what = "an activity",
    .slip = "a mapping should stand here, with `script` and other keys of an activity",
    .keys = activity_keys,
};

static void read_activity(struct reading *reading, const struct yaml_tree *value,
                          struct activity *activity)
{
    if (yaml_tree_is_nothing(value)) {
        reading_error(reading, value->key,
                      "%s: nothing follows the colon: write `{}` for an activity that runs nothing",
                      activity->name);
        return;
    }
    if (reading_usable(reading, value))
        reading_mapping(reading, value, &activity_read_schema, activity);
    if (activity->acquire_timeout_ms < 0)
        activity->acquire_timeout_ms = activity->waiting_timeout_ms;
}

static void begin_activity(struct reading *reading, const struct yaml_tree *value)
{
    struct definition *definition = reading->definition;
    const struct yaml_tree *key = value->key;
    const char *name = NULL;
    if (key->kind == YAML_TREE_TEXT)
        name = reading_chars(reading, key);
    else
        reading_error(reading, key, "a name of an activity should stand here");
    if (!name)
        return;
    (void)reading_is_name(reading, key, "an activity", name);
    definition->activities[definition->n_activities++] = (struct activity){
        .name = name,
        .line = key->line,
        .waiting_timeout_ms = waiting_timeout_default_ms,
        .acquire_timeout_ms = -1, /* not given: the waiting timeout, once that is known */
        .auto_commit = true,
    };
}

/* All names come first, so that navigation can go to an activity further down. */
void activity_read_all(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    struct definition *definition = slot;
    if (value->kind != YAML_TREE_MAPPING) {
        reading_error(reading, value,
                      "activities: a mapping of names should stand here: write `NAME:` instead of "
                      "`- name: NAME`");
        return;
    }
    if (value->n_children == 0) {
        reading_error(reading, value, "activities: a workflow needs at least one activity");
        return;
    }
    definition->activities =
        reading_take(reading, (size_t)value->n_children, sizeof *definition->activities);
    if (!definition->activities)
        return;
    for (const struct yaml_tree *child = value->children; child; child = child->next)
        begin_activity(reading, child);
    for (int i = 0; i < definition->n_activities; i++) {
        struct activity *activity = &definition->activities[i];
        read_activity(reading, yaml_tree_child(value, activity->name), activity);
    }
}
