/*
 * The rows that one transaction has loaded, each once however often it was asked for, and what its
 * members changed in them, in order. Builds the statements that load and save them.
 */
#pragma once
#include "pg_pipeline.h"
#include "row.h"
#include "text.h"

struct batch_rows;
struct data_plan;

enum {
    BATCH_ROWS_MAX = 10000, /* rows of one transaction */
};

/* region gives all memory and outlives the rows. NULL without memory. */
struct batch_rows *batch_rows_new(struct region *region);
void batch_rows_free(struct batch_rows *rows);

/* Asks for the row (or, for a list, the rows) where the columns have these texts; order is SQL for
 * ORDER BY over t, "" = none. The same question twice is the same slot. Returns the slot, or -1
 * with *fault. Values are copied. */
int batch_rows_want(struct batch_rows *rows, const struct table *table, const int *columns,
                    int n_columns, const char *const *values, const char *order,
                    struct fault *fault);

/* Adds the statements that load every slot not loaded yet: one a table and key. */
void batch_rows_add_loads(struct batch_rows *rows, struct pg_pipeline *pipeline);

/* Reads their results. */
MUST_CHECK bool batch_rows_read_loads(struct batch_rows *rows, PGresult *const *results,
                                      struct fault *fault);

/* From now on a row that is known stays as it was first read, whatever later loads find: its
 * version is checked at the end, over transactions. */
void batch_rows_keep_as_read(struct batch_rows *rows);

/* Loads one slot again with the next batch_rows_add_loads. */
void batch_rows_ask_anew(struct batch_rows *rows, int slot);

/* Forgets what was loaded: the next batch_rows_add_loads asks again for every slot and every row.
 * Rows are filled anew in place; one that is gone becomes ROW_ABSENT. Nothing may be unsaved by the
 * time the answer is read. */
MUST_CHECK bool batch_rows_forget(struct batch_rows *rows, struct fault *fault);

int batch_rows_n_found(const struct batch_rows *rows, int slot);
struct row *batch_rows_found(const struct batch_rows *rows, int slot, int i);

/* True if two slots found some row in common. */
bool batch_rows_share(const struct batch_rows *rows, int a, int b);

/* What a slot asked for: the texts of its columns. */
int batch_rows_n_columns(const struct batch_rows *rows, int slot);
int batch_rows_column(const struct batch_rows *rows, int slot, int i);
const char *batch_rows_value(const struct batch_rows *rows, int slot, int i);

/* Makes a row of a RETURNING list that began with 0, ctid, xmin and has all columns: a row that
 * this transaction inserted. NULL with *fault. */
struct row *batch_rows_adopt(struct batch_rows *rows, const struct table *table,
                             const PGresult *result, struct fault *fault);

/* "0, ctid, xmin, columns...": what batch_rows_adopt reads. */
void batch_rows_add_returning(const struct table *table, struct text *sql);

/* Which versions count when a row is saved. */
enum version_check {
    VERSION_CHECKED,
    VERSION_IGNORED, /* last writer wins */
};

/* Keeps a member's change: later members see it, and it will be saved. */
MUST_CHECK bool batch_rows_keep(struct batch_rows *rows, struct row_change *change,
                                enum version_check check, struct fault *fault);

/* Adds the DELETE of a row that stands in the table, after the saves. */
MUST_CHECK bool batch_rows_add_delete(struct batch_rows *rows, struct row *row,
                                      enum version_check check, struct pg_pipeline *pipeline,
                                      struct fault *fault);

/* True if a change kept since the last call may have altered what others loaded, beyond the values
 * that they see in memory. */
bool batch_rows_take_spread(struct batch_rows *rows);

/* True if some kept change is not saved yet. */
bool batch_rows_unsaved(const struct batch_rows *rows);

/* Adds the statements that save all kept changes: tables in one fixed order, rows locked in key
 * order with their versions checked, at the latest by the update itself. last: nothing is loaded
 * after it in the transaction, and no SQL of a script has run in it. */
void batch_rows_add_saves(struct batch_rows *rows, struct pg_pipeline *pipeline, bool last);

/* True if all that would be saved is one row by one plain UPDATE, of a table whose writing does
 * nothing else: it may stand within a statement of n_params parameters. */
bool batch_rows_saves_one(const struct batch_rows *rows, int n_params);

enum save_manner {
    SAVE_SILENT,
    SAVE_GIVES_BACK, /* its answer is the row as it stands now, as batch_rows_recall wants it */
    SAVE_RECALLED,   /* the same, of a row that was recalled; and there may be no lease at all */
};

/* Adds the statement with the UPDATE in it. list is the text of a WITH list from its first name on,
 * and an INSERT ... SELECT without WHERE of one row, which begins at last. Without the row that was
 * loaded it fails like the others. Returns the statement's index. */
int batch_rows_add_save_within(struct batch_rows *rows, struct pg_pipeline *pipeline,
                               enum save_manner manner, const char *list, const char *last,
                               int n_params, const char *const *params);

/* ---- rows that are remembered over transactions: batch_rows_recall.c ---- */

/* A text that is the same for the same question in another transaction, of the same description of
 * the table. */
void batch_rows_add_question(const struct batch_rows *rows, int slot, struct text *out);

/* True if the slot, which has found its row, is all that was asked for, and the row is that one. */
bool batch_rows_is_all(const struct batch_rows *rows, int slot);

/* True if the text of some column of the slot's table depends on settings. */
bool batch_rows_text_varies(const struct batch_rows *rows, int slot);

/* The slot finds this row, without asking the database. */
MUST_CHECK bool batch_rows_recall(struct batch_rows *rows, int slot, const PGresult *row,
                                  struct fault *fault);

/* False when memory ran out while statements were built: the pipeline must not be sent. */
MUST_CHECK bool batch_rows_ok(const struct batch_rows *rows, struct fault *fault);

/* The saves were executed: the rows' versions are this transaction's own now. */
MUST_CHECK bool batch_rows_saved(struct batch_rows *rows, struct fault *fault);
