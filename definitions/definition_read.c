/* The low-level SHA-256 is deprecated in OpenSSL 3 in favour of EVP, whose first digest sets up all
 * of OpenSSL: a millisecond and more of the start of a run. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "definition_read.h"

#include "activity_read.h"
#include "data_read.h"
#include "definition_check.h"
#include "reading.h"
#include "yaml_tree.h"

#include <openssl/sha.h>
#include <stdlib.h>

enum {
    MEMORY_BYTES_MAX = 64 << 20, /* of one definition, or of the tree it is read from */
    MAX_STEPS_DEFAULT = 1000,
    MAX_STEPS_MAX = 1000000,
    HINT_STEPS_MAX = 1000000, /* a long definition of 1000 activities takes a fifth of that */
};

static const int64_t every_least_ms = 1000;
static const int64_t every_most_ms = (int64_t)365 * 24 * 3600 * 1000;

static void read_start(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    if (reading->definition->n_activities > 0)
        *(int *)slot = activity_read_reference(reading, value);
}

static void read_history(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    static const char *const names[] = {"full", "failures", "none", NULL};
    int choice = 0;
    if (reading_choice(reading, value, names, &choice))
        *(enum history_kind *)slot = (enum history_kind)choice;
}

static void read_max_steps(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    reading_integer(reading, value, 1, MAX_STEPS_MAX, slot);
}

static void read_every(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    reading_duration(reading, value, every_least_ms, every_most_ms, slot);
}

static const struct reading_key trigger_keys[] = {
    {"event", reading_name, offsetof(struct trigger, event), false},
    {"every", read_every, offsetof(struct trigger, every_ms), false},
    {0},
};

static const struct reading_schema trigger_schema = {
    .what = "a trigger",
    .slip = "a mapping with `event` or `every` should stand here",
    .keys = trigger_keys,
};

static void read_triggers(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    struct definition *definition = slot;
    if (value->kind != YAML_TREE_LIST) {
        reading_error(
            reading, value,
            "triggers: a list should stand here: write `- event: NAME` or `- every: 10m`");
        return;
    }
    definition->triggers =
        reading_take(reading, (size_t)value->n_children, sizeof *definition->triggers);
    if (!definition->triggers)
        return;
    for (const struct yaml_tree *child = value->children; child; child = child->next) {
        struct trigger *trigger = &definition->triggers[definition->n_triggers++];
        if (!reading_usable(reading, child) ||
            !reading_mapping(reading, child, &trigger_schema, trigger))
            continue;
        if (!yaml_tree_child(child, "event") == !yaml_tree_child(child, "every"))
            reading_error(reading, child, "a trigger has either `event` or `every`");
    }
}

/* Activities come before `start`, and what Lua may name before the Lua that names it. */
static const struct reading_key workflow_keys[] = {
    {"workflow", reading_name, offsetof(struct definition, name), true},
    {"title", reading_text, offsetof(struct definition, title), false},
    {"description", reading_text, offsetof(struct definition, description), false},
    {"input", data_read_inputs, 0, false},
    {"data", data_read_declarations, 0, false},
    {"activities", activity_read_all, 0, true},
    {"start", read_start, offsetof(struct definition, start), true},
    {"triggers", read_triggers, 0, false},
    {"history", read_history, offsetof(struct definition, history), false},
    {"max-steps", read_max_steps, offsetof(struct definition, max_steps), false},
    {0},
};

static const struct reading_schema workflow_schema = {
    .what = "the workflow",
    .slip = "a workflow is a mapping: begin with `workflow: NAME`",
    .keys = workflow_keys,
};

static const struct reading_schema *const schemas[] = {
    &workflow_schema,  &activity_read_schema,
    &data_read_schema, &activity_read_navigation_schema,
    &trigger_schema,   NULL,
};

static void write_checksum(const char *bytes, size_t n_bytes, char out[CHECKSUM_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX hash;
    SHA256_Init(&hash);
    SHA256_Update(&hash, bytes, n_bytes);
    SHA256_Final(digest, &hash);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * SHA256_DIGEST_LENGTH] = '\0';
}

/* A definition with its defaults and its source; NULL without memory. */
static struct definition *begin(const char *file, const char *source, size_t source_bytes)
{
    struct definition *definition = calloc(1, sizeof *definition);
    if (!definition)
        return NULL;
    region_init(&definition->memory, MEMORY_BYTES_MAX);
    definition->file = region_copy_chars(&definition->memory, file);
    definition->source = region_copy(&definition->memory, source, source_bytes);
    definition->source_bytes = source_bytes;
    definition->start = -1;
    definition->max_steps = MAX_STEPS_DEFAULT;
    write_checksum(source, source_bytes, definition->checksum);
    if (!definition->file || !definition->source) {
        definition_free(definition);
        return NULL;
    }
    return definition;
}

static void fill(struct reading *reading, const struct yaml_tree *root)
{
    if (!reading_usable(reading, root) ||
        !reading_mapping(reading, root, &workflow_schema, reading->definition))
        return;
    definition_check(reading, root);
}

bool definition_read(struct sandbox *sandbox, const char *file, const char *source,
                     size_t source_bytes, struct definition **out, struct problems *problems)
{
    static const struct yaml_tree_limits limits = {
        .n_bytes = DEFINITION_BYTES_MAX,
        .depth = DEFINITION_DEPTH_MAX,
        .n_nodes = DEFINITION_NODES_MAX,
    };
    int n_errors_before = problems->n_errors;
    struct definition *definition = NULL;
    struct region tree_memory;
    region_init(&tree_memory, MEMORY_BYTES_MAX);
    const struct yaml_tree *root =
        yaml_tree_read(source, source_bytes, limits, &tree_memory, problems);
    if (root) {
        definition = begin(file, source, source_bytes);
        struct reading reading = {.definition = definition,
                                  .sandbox = sandbox,
                                  .problems = problems,
                                  .schemas = schemas,
                                  .hint_steps = HINT_STEPS_MAX};
        if (definition)
            fill(&reading, root);
        else
            problems_no_memory(problems);
    }
    region_done(&tree_memory);
    problems_sort(problems);
    if (!definition || problems->n_errors > n_errors_before || problems->out_of_memory) {
        definition_free(definition);
        return false;
    }
    *out = definition;
    return true;
}
