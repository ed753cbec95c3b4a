/* What batch_rows.c (asking, loading), batch_rows_keep.c, batch_rows_save.c
 * and batch_rows_one.c share. */
#pragma once
#include "batch_rows.h"

#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    SCRATCH_BYTES_MAX = 64 << 20,
    SAVE_TEXTS = PG_PARAMS_MAX,
};

/* One statement of loading: the slots of one table asked for by the same columns. */
struct load {
    struct load *next;
    const struct table *table;
    const int *columns;
    int n_columns;
    const char *order; /* SQL for ORDER BY, "" = none */
    int n_asked;       /* in the present pipeline */
    int statement;     /* its index there; -1 = none */
    bool by_value;     /* lines are told apart by their key, not by an ordinal */
    struct slot **by_ordinal;
};

struct slot {
    struct load *load;
    const char *const *values;
    const char *question;
    int number;
    int ordinal;
    bool loaded;
    struct held *before; /* see held_for */
    struct held **found;
    int n_found;
    int found_capacity;
    UT_hash_handle hh;
};

struct held {
    struct row row;
    const char *identity;  /* equal for equal rows of the table; NULL = in no index */
    char ctid[24];         /* where the version stands that row.xmin names */
    int round;             /* of reading in which it was last filled */
    const int *id_columns; /* what finds the row again; none: it cannot be found again */
    int n_id_columns;
    int n_updates; /* kept and not saved */
    bool merges;   /* all of them may become one UPDATE */
    bool version_ignored;
    uint64_t *assigned;             /* union over the updates, while they merge */
    const struct cell *first_cells; /* as before the first of them: what finds the row */
    UT_hash_handle hh;
};

/* One kept change, in the order of the members. */
struct update {
    struct held *held;
    const struct cell *before;
    const struct cell *after;
    const uint64_t *assigned;
};

struct batch_rows {
    struct region *region;
    struct load *loads;
    struct slot **slots;
    int n_slots, slots_capacity;
    struct slot *slots_by_question;
    struct held **held;
    int n_held, held_capacity;
    struct held *held_by_identity;
    int round;                   /* of reading */
    const struct slot *recalled; /* its row is remembered; NULL = none is */
    const char *content;         /* its values, as PostgreSQL writes a record */
    bool forgot;                 /* the next round fills every row that is still there */
    bool keeps_as_read;          /* over several transactions: the first reading counts */
    struct update *updates;
    int n_updates, updates_capacity;
    struct text scratch;
    struct text texts[SAVE_TEXTS]; /* array parameters under construction */
    bool spread;
    bool wrote;  /* to the database; a trigger of it may be deferred to the end */
    bool failed; /* memory ran out while statements were built */
};

/* Makes room for one more element; false without memory. */
#define GROW(array, n, capacity)                                                                   \
    batch_rows_grow((void **)&(array), sizeof *(array), (n), &(capacity))
static inline bool batch_rows_grow(void **array, size_t size, int n, int *capacity)
{
    if (n < *capacity)
        return true;
    int wanted = *capacity ? 2 * *capacity : 8;
    void *grown = realloc(*array, (size_t)wanted * size);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

/* Sets of columns. */
static inline size_t batch_rows_bit_words(const struct table *table)
{
    return ((size_t)table->n_columns + 63) / 64;
}

static inline bool batch_rows_bit(const uint64_t *bits, int i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

/* False with *fault for a row without a key: only its text could tell it from others, if that. */
MUST_CHECK bool batch_rows_can_be_found(const struct held *held, struct fault *fault);

/* True if the column's values travel in its own type. */
bool batch_rows_travels_as_itself(const struct column *column);

/* The element type in which values of a column travel, and the SQL that turns element NAMEn of v
 * into the column's type. Simple types travel as themselves, others as text: an array of arrays
 * would be flattened by unnest. */
const char *batch_rows_array_type(const struct column *column);
void batch_rows_add_value(struct text *sql, const struct column *column, const char *name, int n);

/* The same for the value of one row alone, which is parameter n. */
void batch_rows_add_param(struct text *sql, const struct column *column, int n);

/* The row's place in the index, after its primary key may have changed. False without memory. */
MUST_CHECK bool batch_rows_index(struct batch_rows *rows, struct held *held, const char *ctid);
void batch_rows_unindex(struct batch_rows *rows, struct held *held);

/* A line of an answer that has 0 or an ordinal, ctid, xmin and all columns is a row of the slot;
 * see held_for. */
MUST_CHECK bool batch_rows_read_line(struct batch_rows *rows, struct slot *slot,
                                     const PGresult *result, int at, struct held *before,
                                     struct fault *fault);

/* Empties parameter text i for building. */
void batch_rows_text(struct batch_rows *rows, int i);

/* ---- batch_rows_one.c ---- */

/* So many columns of a row travel as one array of texts, and each such row in a statement of its
 * own: a statement has only so many parameters. */
bool batch_rows_is_wide(const struct table *table, const uint64_t *assigned);

/* What the row must have as its version; NULL = it is not checked. */
const char *batch_rows_version(const struct held *held);

/* A count that is not $1 is an error of the server; one that is calls no function. */
void batch_rows_add_expect(struct text *sql);

/* The UPDATE of a row that is not wide; version may be NULL. */
void batch_rows_add_one(struct batch_rows *rows, struct pg_pipeline *pipeline,
                        const struct update *update, const char *version);

/* All updates of the row of the first, which merges, as one. */
struct update batch_rows_all_of(const struct update *first);
