/*
 * A YAML (or JSON) text as a small tree in which every key and value has its place. Nothing is
 * typed here: `no`, `1e3` and `~` are texts, and a schema says what they mean.
 *
 * Refused, each with its place: anchors, aliases, tags, merge keys, a second document, equal keys,
 * nesting or size over the limits, text that is not UTF-8. Without aliases a small file cannot
 * become a large tree.
 */
#pragma once
#include "problems.h"
#include "region.h"

enum yaml_tree_kind {
    YAML_TREE_TEXT,
    YAML_TREE_MAPPING,
    YAML_TREE_LIST,
    YAML_TREE_REFUSED, /* an alias: a problem already, to be passed over in silence */
};

enum yaml_tree_style {
    YAML_TREE_PLAIN,
    YAML_TREE_QUOTED,
    YAML_TREE_LITERAL, /* | keeps line ends */
    YAML_TREE_FOLDED,  /* > joins lines */
};

struct yaml_tree {
    enum yaml_tree_kind kind;
    int line;     /* from 1; of a block text, the line of its indicator */
    int column;   /* from 1, in characters */
    int end_line; /* of a plain or quoted text: where it ends */

    enum yaml_tree_style style; /* of a text */
    const char *text;           /* NUL-terminated, and may hold NULs */
    size_t n_bytes;

    bool flow; /* a mapping in braces, a list in brackets */
    struct yaml_tree *children;
    int n_children;

    struct yaml_tree *key;  /* of a child of a mapping; may be of any kind */
    struct yaml_tree *next; /* the next child of the same parent */
};

struct yaml_tree_limits {
    size_t n_bytes;
    int depth;
    int n_nodes;
};

/* The root of the only document, in memory of region. NULL, with a problem added, if the text
 * cannot be read to its end; problems that leave a tree are added too. bytes are lent. */
struct yaml_tree *yaml_tree_read(const char *bytes, size_t n_bytes, struct yaml_tree_limits limits,
                                 struct region *region, struct problems *problems);

/* The child of a mapping whose key is `name`; NULL if there is none, or no mapping. */
const struct yaml_tree *yaml_tree_child(const struct yaml_tree *mapping, const char *name);

/* True for nothing, `~` and `null` without quotes. */
bool yaml_tree_is_nothing(const struct yaml_tree *node);

/* True for a text that is `text`, byte for byte. */
bool yaml_tree_is(const struct yaml_tree *node, const char *text);
