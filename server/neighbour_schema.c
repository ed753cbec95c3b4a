#include "neighbour_schema.h"

#include "pg_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCHEMA_BYTES_MAX = 4 << 20,
    ANSWER_US = 30 * 1000 * 1000,
    CHUNK_BYTES = 16 * 1024,
};

/* Several first runs at once: one loads, the others wait and then see that it was done. Held until
 * the connection is closed. */
static const char LOCK[] = "SELECT pg_advisory_lock(hashtextextended('latchkey schema.sql', 0))";

/* What was loaded is remembered beside the tables that it made, not in latchkey's own schema. */
static const char PREPARE[] = "CREATE TABLE IF NOT EXISTS public.latchkey_loaded"
                              " (file text PRIMARY KEY, text_md5 text NOT NULL, loaded_at "
                              "timestamptz NOT NULL DEFAULT now())";
static const char WAS_LOADED[] =
    "SELECT 1 FROM public.latchkey_loaded WHERE file = $1::text AND text_md5 = md5($2::text)";
static const char NOTE[] =
    "INSERT INTO public.latchkey_loaded (file, text_md5) VALUES ($1::text, md5($2::text))"
    " ON CONFLICT (file) DO UPDATE SET text_md5 = excluded.text_md5, loaded_at = now()";

void neighbour_schema_path(const char *definition_file, struct text *out)
{
    const char *slash = strrchr(definition_file, '/');
    if (slash)
        text_add(out, definition_file, (size_t)(slash - definition_file) + 1);
    text_add_chars(out, "schema.sql");
}

static bool read_file(const char *path, FILE *stream, struct text *out, struct fault *fault)
{
    char chunk[CHUNK_BYTES];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, stream)) > 0)
        text_add(out, chunk, n);
    if (ferror(stream))
        return fault_set(fault, FAULT_INVALID, "%s: cannot be read: %s", path, strerror(errno));
    return text_ok(out, fault);
}

static bool call(struct session *session, struct pg_conn *conn, const char *statement,
                 const char *file, const char *text, int *n_rows, struct fault *fault)
{
    struct pg_answer answer;
    const char *params[] = {file, text};
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (!pipeline)
        return fault_no_memory(fault);
    pg_pipeline_add(pipeline, PG_UNNAMED, statement, file ? 2 : 0, params);
    bool ok = pg_conn_call(session->base, conn, pipeline, ANSWER_US, &answer, fault);
    if (ok) {
        *n_rows = PQntuples(answer.results[0]);
        pg_answer_done(&answer);
    }
    pg_pipeline_free(pipeline);
    return ok;
}

static bool load(struct session *session, struct pg_conn *conn, const char *file, const char *text,
                 bool *loaded, struct fault *fault)
{
    int n_rows = 0;
    if (!call(session, conn, LOCK, NULL, NULL, &n_rows, fault) ||
        !call(session, conn, PREPARE, NULL, NULL, &n_rows, fault) ||
        !call(session, conn, WAS_LOADED, file, text, &n_rows, fault))
        return false;
    if (n_rows > 0)
        return true;
    *loaded = pg_conn_run_script(conn, text, fault) &&
              call(session, conn, NOTE, file, text, &n_rows, fault);
    return *loaded;
}

static bool open_and_load(struct session *session, const char *path, const char *text, bool *loaded,
                          struct fault *fault)
{
    struct pg_conn *conn = NULL;
    struct pg_conn_options options = {
        .conninfo = text_chars(&session->choice.conninfo),
        .schema = session->choice.schema,
        .application_name = "latchkey schema",
        .connect_timeout_us = ANSWER_US,
        .unnamed_only = true,
    };
    char *whole = realpath(path, NULL);
    bool ok = pg_conn_open_now(session->base, &options, &conn, fault) &&
              load(session, conn, whole ? whole : path, text, loaded, fault);
    pg_conn_close(conn);
    free(whole);
    return ok || fault_prefix(fault, "%s", path);
}

bool neighbour_schema_load(struct session *session, const char *definition_file, bool *loaded,
                           struct fault *fault)
{
    struct text path;
    struct text text;
    bool ok = true;
    *loaded = false;
    text_init(&path, SCHEMA_BYTES_MAX);
    text_init(&text, SCHEMA_BYTES_MAX);
    neighbour_schema_path(definition_file, &path);
    FILE *stream = text_ok(&path, fault) ? fopen(text_chars(&path), "re") : NULL;
    if (stream) {
        ok = read_file(text_chars(&path), stream, &text, fault) &&
             open_and_load(session, text_chars(&path), text_chars(&text), loaded, fault);
        fclose(stream);
    }
    text_done(&path);
    text_done(&text);
    return ok;
}
