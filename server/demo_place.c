#include "demo_place.h"

#include "pg_conn.h"
#include "pg_conninfo.h"
#include "pg_server.h"
#include "pg_server_dir.h"
#include "sample_texts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CONNINFO_BYTES_MAX = 64 * 1024,
    ANSWER_US = 30 * 1000 * 1000,
};

static bool make_directory(struct demo_place *place, struct fault *fault)
{
    char directory[sizeof place->directory];
    const char *parent = getenv("TMPDIR");
    int length = snprintf(directory, sizeof directory, "%s/latchkey-demo-XXXXXX",
                          parent && *parent ? parent : "/tmp");
    if (length >= (int)sizeof directory)
        return fault_set(fault, FAULT_INVALID, "TMPDIR is too long");
    if (!mkdtemp(directory))
        return fault_set(fault, FAULT_EXHAUSTED, "%s: %s", directory, strerror(errno));
    memcpy(place->directory, directory, sizeof directory);
    /* For root the server runs as another user, who has to get through. */
    if (geteuid() == 0 && chmod(directory, 0711) != 0)
        return fault_set(fault, FAULT_EXHAUSTED, "%s: %s", directory, strerror(errno));
    return true;
}

static bool start_server(struct demo_place *place, struct fault *fault)
{
    snprintf(place->schema, sizeof place->schema, "latchkey");
    snprintf(place->data_dir, sizeof place->data_dir, "%s/data", place->directory);
    return pg_server_start(place->data_dir, &place->conninfo, /* started= */ NULL, fault);
}

static bool take_schemas(const struct command_line *line, struct demo_place *place,
                         struct fault *fault)
{
    struct database_choice choice;
    uint32_t tag = 0;
    char settings[SCHEMA_BYTES + 32];
    if (getrandom(&tag, sizeof tag, 0) != sizeof tag)
        tag = (uint32_t)getpid();
    snprintf(place->schema, sizeof place->schema, "latchkey_demo_%08x", tag);
    snprintf(place->application_schema, sizeof place->application_schema,
             "latchkey_demo_%08x_application", tag);
    snprintf(settings, sizeof settings, "-c search_path=%s", place->application_schema);
    bool ok = database_choose(line, &choice, fault) &&
              pg_conninfo_with(text_chars(&choice.conninfo), "options", settings, &place->conninfo,
                               fault);
    database_choice_done(&choice);
    return ok;
}

static bool create_schema(struct demo_place *place, struct fault *fault)
{
    char script[128];
    if (!place->application_schema[0])
        return true;
    snprintf(script, sizeof script, "CREATE SCHEMA %s", place->application_schema);
    return demo_place_run(place, script, fault);
}

bool demo_place_open(const struct command_line *line, struct event_base *base,
                     struct demo_place *place, struct fault *fault)
{
    *place = (struct demo_place){.base = base};
    text_init(&place->conninfo, CONNINFO_BYTES_MAX);
    if (!make_directory(place, fault))
        return false;
    if (!(database_is_named(line) ? take_schemas(line, place, fault) : start_server(place, fault)))
        return false;
    struct pg_conn_options options = {
        .conninfo = text_chars(&place->conninfo),
        .schema = place->schema,
        .application_name = "latchkey demo",
        .connect_timeout_us = ANSWER_US,
        .unnamed_only = true,
    };
    return pg_conn_open_now(base, &options, &place->conn, fault) && create_schema(place, fault);
}

static void drop_schemas(struct demo_place *place)
{
    struct fault fault;
    char script[256];
    snprintf(script, sizeof script, "DROP SCHEMA IF EXISTS %s, %s CASCADE", place->schema,
             place->application_schema);
    if (!demo_place_run(place, script, &fault))
        fprintf(stderr, "latchkey: the schemas %s and %s could not be removed: %s\n", place->schema,
                place->application_schema, fault.text);
}

void demo_place_close(struct demo_place *place)
{
    struct fault fault;
    if (place->conn && place->application_schema[0])
        drop_schemas(place);
    pg_conn_close(place->conn);
    if (place->data_dir[0] && !pg_server_stop(place->data_dir, /* stopped= */ NULL, &fault))
        fprintf(stderr, "latchkey: the server in %s could not be stopped: %s\n", place->data_dir,
                fault.text);
    else if (place->directory[0])
        pg_server_dir_remove_tree(place->directory);
    text_done(&place->conninfo);
}

static bool write_file(const char *path, const char *text, struct fault *fault)
{
    FILE *stream = fopen(path, "we");
    bool ok = stream && fputs(text, stream) >= 0;
    if (stream && fclose(stream) != 0)
        ok = false;
    return ok || fault_set(fault, FAULT_EXHAUSTED, "%s: %s", path, strerror(errno));
}

bool demo_place_write(struct demo_place *place, const char *sample, const char *file,
                      struct text *out, struct fault *fault)
{
    char name[128];
    snprintf(name, sizeof name, "%s/%s", sample, file);
    const char *text = sample_text_find(name);
    if (!text)
        return fault_set(fault, FAULT_MISSING, "there is no sample %s", name);
    text_addf(out, "%s/%s", place->directory, file);
    return text_ok(out, fault) && write_file(text_chars(out), text, fault);
}

bool demo_place_run(struct demo_place *place, const char *script, struct fault *fault)
{
    return pg_conn_run_script(place->conn, script, fault);
}

bool demo_place_load(struct demo_place *place, const char *sample, struct fault *fault)
{
    static const char *const files[] = {"schema.sql", "check.sql"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%s", sample, files[i]);
        const char *script = sample_text_find(name);
        if (script && !demo_place_run(place, script, fault))
            return fault_prefix(fault, "%s", name);
    }
    return true;
}

bool demo_place_number(struct demo_place *place, const char *query, const int64_t *param,
                       int64_t *out, struct fault *fault)
{
    struct pg_answer answer;
    char text[24];
    const char *params[] = {text};
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (!pipeline)
        return fault_no_memory(fault);
    if (param)
        snprintf(text, sizeof text, "%lld", (long long)*param);
    pg_pipeline_add(pipeline, PG_UNNAMED, query, param ? 1 : 0, params);
    bool ok = pg_conn_call(place->base, place->conn, pipeline, ANSWER_US, &answer, fault);
    if (ok) {
        *out = strtoll(PQgetvalue(answer.results[0], 0, 0), NULL, 10);
        pg_answer_done(&answer);
    }
    pg_pipeline_free(pipeline);
    return ok;
}
