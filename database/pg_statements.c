#include "pg_statements.h"

#include "text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts are long and looked up for each statement that is sent: eight bytes a step. */
static uint64_t mix_text(uint64_t hash, const char *text, size_t length)
{
    uint64_t word;
    for (; length >= sizeof word; text += sizeof word, length -= sizeof word) {
        memcpy(&word, text, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, text, length);
    return (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
}

static unsigned hash_text(const void *key, size_t length)
{
    return (unsigned)(mix_text(length, key, length) >> 32);
}

#define HASH_FUNCTION(key, length, hash) ((hash) = hash_text((key), (length)))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    NAMED_MAX = 1000,
    RENDERED_BYTES_MAX = 16 << 20,
};

struct node {
    struct pg_statement_entry entry;
    UT_hash_handle hh;
    char text[];
};

struct pg_statements {
    struct node *nodes; /* by text */
    int n_named;
    bool unnamed_only;
    char *identifier; /* the schema, quoted as SQL wants it */
    char *literal;
};

static char *quote(const char *chars, char mark)
{
    struct text out;
    text_init(&out, RENDERED_BYTES_MAX);
    text_add_char(&out, mark);
    for (; *chars; chars++) {
        if (*chars == mark)
            text_add_char(&out, mark);
        text_add_char(&out, *chars);
    }
    text_add_char(&out, mark);
    return text_take(&out);
}

bool pg_statements_new(const char *schema, bool unnamed_only, struct pg_statements **out,
                       struct fault *fault)
{
    struct pg_statements *statements = calloc(1, sizeof *statements);
    if (!statements)
        return fault_no_memory(fault);
    statements->unnamed_only = unnamed_only;
    statements->identifier = quote(schema, '"');
    statements->literal = quote(schema, '\'');
    if (!statements->identifier || !statements->literal) {
        pg_statements_free(statements);
        return fault_no_memory(fault);
    }
    *out = statements;
    return true;
}

static void node_free(struct node *node)
{
    if (node)
        free((char *)node->entry.rendered);
    free(node);
}

void pg_statements_unname(struct pg_statements *statements)
{
    statements->unnamed_only = true;
}

void pg_statements_free(struct pg_statements *statements)
{
    if (!statements)
        return;
    struct node *node, *next;
    HASH_ITER(hh, statements->nodes, node, next)
    {
        HASH_DEL(statements->nodes, node);
        node_free(node);
    }
    free(statements->identifier);
    free(statements->literal);
    free(statements);
}

char *pg_statements_render(const struct pg_statements *statements, const char *text)
{
    static const char schema[] = "@schema@", literal[] = "@schema_literal@";
    struct text out;
    text_init(&out, RENDERED_BYTES_MAX);
    for (;;) {
        const char *at = strchr(text, '@');
        if (!at)
            break;
        text_add(&out, text, (size_t)(at - text));
        if (strncmp(at, schema, sizeof schema - 1) == 0) {
            text_add_chars(&out, statements->identifier);
            text = at + sizeof schema - 1;
        } else if (strncmp(at, literal, sizeof literal - 1) == 0) {
            text_add_chars(&out, statements->literal);
            text = at + sizeof literal - 1;
        } else {
            text_add_char(&out, '@');
            text = at + 1;
        }
    }
    text_add_chars(&out, text);
    return text_take(&out);
}

/* By its text: should a pooler that nobody noticed lend a session where others have prepared
 * theirs, then what is run by this name is this statement or none. */
static void name(struct pg_statement_entry *entry)
{
    size_t length = strlen(entry->rendered);
    snprintf(entry->name, sizeof entry->name, "lk%016llx%016llx",
             (unsigned long long)mix_text(length, entry->rendered, length),
             (unsigned long long)mix_text(~(uint64_t)length, entry->rendered, length));
}

struct pg_statement_entry *pg_statements_get(struct pg_statements *statements, const char *text)
{
    struct node *node = NULL;
    size_t length = strlen(text);
    HASH_FIND(hh, statements->nodes, text, length, node);
    if (node)
        return &node->entry;
    node = calloc(1, sizeof *node + length + 1);
    if (!node)
        return NULL;
    memcpy(node->text, text, length + 1);
    node->entry.rendered = pg_statements_render(statements, text);
    if (!node->entry.rendered) {
        node_free(node);
        return NULL;
    }
    if (!statements->unnamed_only && statements->n_named < NAMED_MAX) {
        statements->n_named++;
        name(&node->entry);
    }
    HASH_ADD(hh, statements->nodes, text, length, node);
    if (!node->hh.tbl) { /* uthash had no memory; it leaves the node out */
        node_free(node);
        return NULL;
    }
    return &node->entry;
}
