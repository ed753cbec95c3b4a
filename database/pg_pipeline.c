#include "pg_pipeline.h"

#include "text.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BYTES_MAX = 256 << 20,
    STATEMENTS_MAX = 20000,
};

static const size_t NULL_PARAM = SIZE_MAX;

struct record {
    enum pg_prepare prepare;
    size_t text;        /* offset into bytes */
    size_t first_param; /* index into params */
    int n_params;
};

struct pg_pipeline {
    bool begun;
    struct text bytes; /* every text and parameter, each with its NUL */
    struct record *records;
    int n_records;
    int records_capacity;
    size_t *params; /* offsets into bytes, or NULL_PARAM */
    size_t n_params;
    size_t params_capacity;
    bool failed;
};

struct pg_pipeline *pg_pipeline_new(void)
{
    struct pg_pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (pipeline)
        text_init(&pipeline->bytes, BYTES_MAX);
    return pipeline;
}

void pg_pipeline_free(struct pg_pipeline *pipeline)
{
    if (!pipeline)
        return;
    text_done(&pipeline->bytes);
    free(pipeline->records);
    free(pipeline->params);
    free(pipeline);
}

void pg_pipeline_clear(struct pg_pipeline *pipeline)
{
    pipeline->begun = false;
    text_clear(&pipeline->bytes);
    pipeline->n_records = 0;
    pipeline->n_params = 0;
    pipeline->failed = false;
}

static size_t keep(struct pg_pipeline *pipeline, const char *chars)
{
    size_t offset = pipeline->bytes.length;
    text_add(&pipeline->bytes, chars, strlen(chars) + 1);
    return offset;
}

static bool reserve(struct pg_pipeline *pipeline, size_t n_params)
{
    if (pipeline->n_records == STATEMENTS_MAX)
        return false;
    if (pipeline->n_records == pipeline->records_capacity) {
        int capacity = pipeline->records_capacity ? 2 * pipeline->records_capacity : 16;
        struct record *grown =
            realloc(pipeline->records, (size_t)capacity * sizeof *pipeline->records);
        if (!grown)
            return false;
        pipeline->records = grown;
        pipeline->records_capacity = capacity;
    }
    if (pipeline->n_params + n_params > pipeline->params_capacity) {
        size_t capacity = 2 * pipeline->params_capacity + n_params + 16;
        size_t *grown = realloc(pipeline->params, capacity * sizeof *pipeline->params);
        if (!grown)
            return false;
        pipeline->params = grown;
        pipeline->params_capacity = capacity;
    }
    return true;
}

int pg_pipeline_add(struct pg_pipeline *pipeline, enum pg_prepare prepare, const char *text,
                    int n_params, const char *const *params)
{
    assert(n_params >= 0 && n_params <= PG_PARAMS_MAX);
    if (!reserve(pipeline, (size_t)n_params)) {
        pipeline->failed = true;
        return pipeline->n_records;
    }
    struct record *record = &pipeline->records[pipeline->n_records];
    *record = (struct record){
        .prepare = prepare,
        .text = keep(pipeline, text),
        .first_param = pipeline->n_params,
        .n_params = n_params,
    };
    for (int i = 0; i < n_params; i++)
        pipeline->params[pipeline->n_params++] = params[i] ? keep(pipeline, params[i]) : NULL_PARAM;
    return pipeline->n_records++;
}

void pg_pipeline_begin(struct pg_pipeline *pipeline)
{
    pipeline->begun = true;
    pg_pipeline_add(pipeline, PG_PREPARED, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", 0,
                    NULL);
}

bool pg_pipeline_has_begun(const struct pg_pipeline *pipeline)
{
    return pipeline->begun;
}

int pg_pipeline_commit(struct pg_pipeline *pipeline)
{
    return pg_pipeline_add(pipeline, PG_PREPARED, "COMMIT", 0, NULL);
}

int pg_pipeline_length(const struct pg_pipeline *pipeline)
{
    return pipeline->n_records;
}

bool pg_pipeline_ok(const struct pg_pipeline *pipeline)
{
    return !pipeline->failed && !pipeline->bytes.failed;
}

void pg_pipeline_read(const struct pg_pipeline *pipeline, int i, struct pg_statement *out)
{
    assert(i >= 0 && i < pipeline->n_records);
    const struct record *record = &pipeline->records[i];
    out->prepare = record->prepare;
    out->text = pipeline->bytes.bytes + record->text;
    out->n_params = record->n_params;
    for (int p = 0; p < record->n_params; p++) {
        size_t offset = pipeline->params[record->first_param + (size_t)p];
        out->params[p] = offset == NULL_PARAM ? NULL : pipeline->bytes.bytes + offset;
    }
}
