#include "trigger_check.h"

#include <string.h>

/* NULL if none is. */
static const struct input_field *first_required(const struct definition *definition)
{
    for (int i = 0; i < definition->n_inputs; i++) {
        if (!definition->inputs[i].optional)
            return &definition->inputs[i];
    }
    return NULL;
}

static bool same(const struct trigger *a, const struct trigger *b)
{
    if (a->event && b->event)
        return strcmp(a->event, b->event) == 0;
    return a->every_ms > 0 && a->every_ms == b->every_ms;
}

static void check_same(struct reading *reading, const struct yaml_tree *nodes, int index)
{
    const struct definition *definition = reading->definition;
    const struct yaml_tree *node = nodes->children;
    const struct yaml_tree *earlier = NULL;
    for (int i = 0; i < index; i++, node = node->next) {
        if (!earlier && same(&definition->triggers[i], &definition->triggers[index]))
            earlier = node;
    }
    if (earlier)
        reading_error(reading, node,
                      "the same trigger stands on line %d: the workflow would start twice",
                      earlier->line);
}

/* A timer has nothing to give; an event gives its payload. */
static void check_input(struct reading *reading, const struct yaml_tree *node)
{
    const struct yaml_tree *every = yaml_tree_child(node, "every");
    const struct input_field *field = first_required(reading->definition);
    if (every && field)
        reading_error(reading, every->key,
                      "a timer starts the workflow without input, but `%s` is required: make it "
                      "optional, `%s?`",
                      field->name, field->name);
}

void trigger_check(struct reading *reading, const struct yaml_tree *root)
{
    const struct definition *definition = reading->definition;
    const struct yaml_tree *nodes = yaml_tree_child(root, "triggers");
    if (!nodes || nodes->kind != YAML_TREE_LIST || definition->n_triggers != nodes->n_children)
        return;
    int index = 0;
    for (const struct yaml_tree *node = nodes->children; node; node = node->next) {
        check_input(reading, node);
        if (reading_affords(reading, index))
            check_same(reading, nodes, index);
        index++;
    }
}
