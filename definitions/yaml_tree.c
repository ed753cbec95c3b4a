#include "yaml_tree.h"

#include "yaml_fault.h"
#include "yaml_source.h"

#include <string.h>
#include <yaml.h>

struct building {
    yaml_parser_t parser;
    const struct yaml_source *source;
    struct yaml_tree_limits limits;
    struct region *region;
    struct problems *problems;
    int depth;
    int n_nodes;
};

static int mark_line(yaml_mark_t mark)
{
    return (int)mark.line + 1;
}

static void refuse(struct building *b, yaml_mark_t at, const char *words)
{
    problems_add(b->problems, PROBLEM_ERROR, mark_line(at),
                 yaml_source_column(b->source, at.line, at.column), "%s", words);
}

/* False, with a problem added, where the text cannot be read. Otherwise *event is to be deleted. */
static bool next_event(struct building *b, yaml_event_t *event)
{
    if (yaml_parser_parse(&b->parser, event))
        return true;
    yaml_fault_report(&b->parser, b->source, b->problems);
    return false;
}

static struct yaml_tree *add_node(struct building *b, const yaml_event_t *event,
                                  enum yaml_tree_kind kind)
{
    if (++b->n_nodes > b->limits.n_nodes) {
        problems_add(
            b->problems, PROBLEM_ERROR, mark_line(event->start_mark),
            yaml_source_column(b->source, event->start_mark.line, event->start_mark.column),
            "there are more than %d keys and values up to here: split the workflow",
            b->limits.n_nodes);
        return NULL;
    }
    struct yaml_tree *node = region_take(b->region, sizeof *node);
    if (!node) {
        problems_no_memory(b->problems);
        return NULL;
    }
    node->kind = kind;
    node->line = mark_line(event->start_mark);
    node->column = yaml_source_column(b->source, event->start_mark.line, event->start_mark.column);
    node->end_line = mark_line(event->end_mark);
    return node;
}

static void refuse_properties(struct building *b, const yaml_event_t *event,
                              const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        refuse(b, event->start_mark,
               "anchors (`&name`) are refused: write the value out where it is used");
    if (tag)
        refuse(b, event->start_mark,
               "tags (`!name`) are refused: the schema says what type a value has");
}

static enum yaml_tree_style text_style(yaml_scalar_style_t style)
{
    switch (style) {
    case YAML_ANY_SCALAR_STYLE:
    case YAML_PLAIN_SCALAR_STYLE: return YAML_TREE_PLAIN;
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE: return YAML_TREE_QUOTED;
    case YAML_LITERAL_SCALAR_STYLE: return YAML_TREE_LITERAL;
    case YAML_FOLDED_SCALAR_STYLE: return YAML_TREE_FOLDED;
    }
    return YAML_TREE_PLAIN;
}

static struct yaml_tree *build_text(struct building *b, const yaml_event_t *event)
{
    refuse_properties(b, event, event->data.scalar.anchor, event->data.scalar.tag);
    struct yaml_tree *node = add_node(b, event, YAML_TREE_TEXT);
    if (!node)
        return NULL;
    node->style = text_style(event->data.scalar.style);
    node->n_bytes = event->data.scalar.length;
    node->text = region_copy(b->region, (const char *)event->data.scalar.value, node->n_bytes);
    if (!node->text) {
        problems_no_memory(b->problems);
        return NULL;
    }
    return node;
}

static bool same_text(const struct yaml_tree *a, const struct yaml_tree *b)
{
    return a->kind == YAML_TREE_TEXT && b->kind == YAML_TREE_TEXT && a->n_bytes == b->n_bytes &&
           memcmp(a->text, b->text, a->n_bytes) == 0;
}

/* `{1, 1}` is Lua that lacks quotes, and told so by whoever wants Lua there. */
static bool lua_in_braces(const struct yaml_tree *mapping, const struct yaml_tree *value)
{
    return mapping->flow && yaml_tree_is_nothing(value) && value->n_bytes == 0;
}

/* False if the pair must not get into the mapping: a problem was added. */
static bool check_key(struct building *b, const struct yaml_tree *mapping,
                      const struct yaml_tree *value)
{
    const struct yaml_tree *key = value->key;
    if (key->kind == YAML_TREE_TEXT && key->style == YAML_TREE_PLAIN && yaml_tree_is(key, "<<")) {
        problems_add(b->problems, PROBLEM_ERROR, key->line, key->column,
                     "merge keys (`<<`) are refused: write the keys out");
        return false;
    }
    if (lua_in_braces(mapping, value))
        return true;
    for (const struct yaml_tree *child = mapping->children; child; child = child->next) {
        if (same_text(child->key, key)) {
            problems_add(b->problems, PROBLEM_ERROR, key->line, key->column,
                         "`%s` was already given on line %d", key->text, child->key->line);
            return false;
        }
    }
    return true;
}

static struct yaml_tree *build_node(struct building *b, yaml_event_t *event);

/* The next node of a collection; *ended where there is none. */
static struct yaml_tree *build_next(struct building *b, yaml_event_type_t end, bool *ended)
{
    yaml_event_t event;
    if (!next_event(b, &event))
        return NULL;
    *ended = event.type == end;
    struct yaml_tree *node = *ended ? NULL : build_node(b, &event);
    yaml_event_delete(&event);
    return node;
}

static bool build_children(struct building *b, struct yaml_tree *parent, yaml_event_type_t end)
{
    struct yaml_tree **last = &parent->children;
    for (;;) {
        bool ended = false;
        struct yaml_tree *key = NULL;
        struct yaml_tree *child = build_next(b, end, &ended);
        if (child && parent->kind == YAML_TREE_MAPPING) {
            key = child;
            child = build_next(b, end, &ended);
        }
        if (!child)
            return ended;
        child->key = key;
        if (key && !check_key(b, parent, child))
            continue;
        *last = child;
        last = &child->next;
        parent->n_children++;
    }
}

static struct yaml_tree *build_collection(struct building *b, const yaml_event_t *event,
                                          enum yaml_tree_kind kind, bool flow,
                                          yaml_event_type_t end)
{
    if (b->depth == b->limits.depth) {
        problems_add(
            b->problems, PROBLEM_ERROR, mark_line(event->start_mark),
            yaml_source_column(b->source, event->start_mark.line, event->start_mark.column),
            "nested deeper than %d", b->limits.depth);
        return NULL;
    }
    struct yaml_tree *node = add_node(b, event, kind);
    if (!node)
        return NULL;
    node->flow = flow;
    b->depth++;
    bool ok = build_children(b, node, end);
    b->depth--;
    return ok ? node : NULL;
}

/* The recursion goes as deep as limits.depth. */
static struct yaml_tree *build_node(struct building *b, yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        return build_text(b, event);
    if (event->type == YAML_MAPPING_START_EVENT) {
        refuse_properties(b, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
        return build_collection(b, event, YAML_TREE_MAPPING,
                                event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE,
                                YAML_MAPPING_END_EVENT);
    }
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        refuse_properties(b, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
        return build_collection(b, event, YAML_TREE_LIST,
                                event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE,
                                YAML_SEQUENCE_END_EVENT);
    }
    refuse(b, event->start_mark, "aliases (`*name`) are refused: write the value out, or quote it");
    return add_node(b, event, YAML_TREE_REFUSED);
}

/* Reads to the end of the stream: a second document, or an error after the first, counts. */
static struct yaml_tree *build_document(struct building *b)
{
    struct yaml_tree *root = NULL;
    bool ok = true;
    bool at_end = false;
    int n_documents = 0;
    while (ok && !at_end) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return NULL;
        if (event.type == YAML_STREAM_END_EVENT) {
            at_end = true;
        } else if (event.type == YAML_DOCUMENT_START_EVENT && ++n_documents > 1) {
            refuse(b, event.start_mark, "a file holds one workflow: a second document begins here");
            ok = false;
        } else if (event.type != YAML_STREAM_START_EVENT &&
                   event.type != YAML_DOCUMENT_START_EVENT &&
                   event.type != YAML_DOCUMENT_END_EVENT) {
            root = build_node(b, &event);
            ok = root;
        }
        yaml_event_delete(&event);
    }
    if (ok && !root)
        problems_add(b->problems, PROBLEM_ERROR, 1, 1, "the file is empty");
    return ok ? root : NULL;
}

struct yaml_tree *yaml_tree_read(const char *bytes, size_t n_bytes, struct yaml_tree_limits limits,
                                 struct region *region, struct problems *problems)
{
    struct yaml_source source;
    struct building b = {
        .source = &source, .limits = limits, .region = region, .problems = problems};
    struct yaml_tree *root = NULL;
    if (!yaml_source_init(&source, bytes, n_bytes, limits.n_bytes, problems)) {
        yaml_source_done(&source);
        return NULL;
    }
    if (yaml_parser_initialize(&b.parser)) {
        yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&b.parser, (const unsigned char *)source.bytes,
                                     source.n_bytes);
        root = build_document(&b);
        yaml_parser_delete(&b.parser);
    } else {
        problems_no_memory(problems);
    }
    yaml_source_done(&source);
    return root;
}

const struct yaml_tree *yaml_tree_child(const struct yaml_tree *mapping, const char *name)
{
    if (!mapping || mapping->kind != YAML_TREE_MAPPING)
        return NULL;
    for (const struct yaml_tree *child = mapping->children; child; child = child->next) {
        if (yaml_tree_is(child->key, name))
            return child;
    }
    return NULL;
}

bool yaml_tree_is_nothing(const struct yaml_tree *node)
{
    if (node->kind != YAML_TREE_TEXT || node->style != YAML_TREE_PLAIN)
        return false;
    return node->n_bytes == 0 || yaml_tree_is(node, "~") || yaml_tree_is(node, "null") ||
           yaml_tree_is(node, "Null") || yaml_tree_is(node, "NULL");
}

bool yaml_tree_is(const struct yaml_tree *node, const char *text)
{
    return node->kind == YAML_TREE_TEXT && node->n_bytes == strlen(text) &&
           memcmp(node->text, text, node->n_bytes) == 0;
}
