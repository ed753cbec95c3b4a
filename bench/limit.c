/*
 * How fast could it be? The batches of the runtime made by hand in one file, without its checks,
 * limits, waiting and recovery: what is left is what PostgreSQL and Lua cost.
 *     bench_limit [--connections N] [--batch N] [--keys N] [--seconds S]
 * The database comes from the PG* variables; tables.sql and the schema "latchkey" must be there.
 *
 * One thread, some connections in turn, each always with a pipeline under way:
 *
 *   IDLE --draw members; BEGIN, limits, try-locks, load, Sync--> TAKING
 *        --a coroutine each; UPDATE, instances, history, mark, COMMIT, Sync--> SAVING --> IDLE
 *
 * A member whose lock was refused comes first in its connection's next batch.
 */
#include <getopt.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <libpq-fe.h>
#include <lua.h>
#include <lualib.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    CONNECTIONS_MAX = 16,
    BATCH_MAX = 4096,
    ELEMENT_BYTES_MAX = 96, /* of one element of an array parameter */
    UUID_BYTES = 37,
    RUNG_SYSTEM = -1, /* advisory keys of the prefixes "*" and "message" */
    RUNG_MESSAGE = -2,
};

enum statement {
    STATEMENT_BEGIN,
    STATEMENT_LIMITS,
    STATEMENT_TRY,
    STATEMENT_LOAD,
    STATEMENT_UPDATE,
    STATEMENT_INSTANCES,
    STATEMENT_HISTORY,
    STATEMENT_MARK,
    STATEMENT_COMMIT,
    STATEMENTS,
};

static const struct {
    const char *name;
    const char *text;
} statements[STATEMENTS] = {
    [STATEMENT_BEGIN] = {"begin", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"},
    [STATEMENT_LIMITS] = {"limits",
                          "SELECT set_config('statement_timeout', '5000', true), "
                          "set_config('idle_in_transaction_session_timeout', '5000', true), "
                          "set_config('lock_timeout', '5000', true)"},
    [STATEMENT_TRY] = {"try", "SELECT k FROM unnest($1::bigint[]) k WHERE NOT CASE WHEN k < 0 "
                              "THEN pg_try_advisory_xact_lock_shared(k) "
                              "ELSE pg_try_advisory_xact_lock(k) END"},
    [STATEMENT_LOAD] = {"load", "SELECT id, read, xmin FROM message WHERE id = ANY($1::bigint[])"},
    [STATEMENT_UPDATE] = {"update", "UPDATE message t SET read = v.r FROM unnest($1::bigint[], "
                                    "$2::bigint[], $3::xid[]) v(i, r, x) "
                                    "WHERE t.id = v.i AND t.xmin = v.x"},
    [STATEMENT_INSTANCES] = {"instances",
                             "INSERT INTO latchkey.instance (id, workflow, version, activity, "
                             "status, input, process) SELECT i, 'bench-limit', 1, 'read', "
                             "'completed', j, $3::uuid FROM unnest($1::uuid[], $2::jsonb[]) "
                             "v(i, j)"},
    [STATEMENT_HISTORY] = {"history",
                           "INSERT INTO latchkey.execution (instance, workflow, version, activity, "
                           "status, paths, waited_ms, held_ms, attempts, process) SELECT i, "
                           "'bench-limit', 1, 'read', 'completed', ARRAY[p], 0, 0, 1, $3::uuid "
                           "FROM unnest($1::uuid[], $2::text[]) v(i, p)"},
    [STATEMENT_MARK] = {"mark", "INSERT INTO latchkey.commit_mark (attempt) VALUES ($1::uuid)"},
    [STATEMENT_COMMIT] = {"commit", "COMMIT"},
};

static const char script_text[] = "local data = ...\ndata.message.read = data.message.read + 1\n";

struct array {
    char *text;
    size_t length;
};

/* A row of a batch: all members with its id change it one after the other. */
struct row {
    int64_t id;
    int64_t read;
    char xmin[12];
    int n_members;
    bool refused;
    bool loaded;
};

enum lane_state { LANE_IDLE, LANE_TAKING, LANE_SAVING };

/* One connection and the batch it carries. */
struct lane {
    PGconn *conn;
    enum lane_state state;
    int64_t *members; /* ids, sorted once the batch is sent */
    int n_members;
    struct row *rows;
    int n_rows;
};

struct limit {
    lua_State *lua;
    int script;
    int n_connections;
    int batch;
    int64_t n_keys;
    double seconds;
    uint64_t seed;
    char process[UUID_BYTES];
    struct lane lanes[CONNECTIONS_MAX];
    struct array arrays[3];
    int64_t n_executions;
    int64_t n_batches;
    int64_t n_refused;
};

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench_limit: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *take_memory(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (!memory)
        die("out of memory");
    return memory;
}

static double now_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double processor_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static uint64_t draw(struct limit *limit)
{
    limit->seed ^= limit->seed << 13;
    limit->seed ^= limit->seed >> 7;
    limit->seed ^= limit->seed << 17;
    return limit->seed;
}

static void draw_uuid(struct limit *limit, char uuid[UUID_BYTES])
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    uint64_t ms = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
    uint64_t a = draw(limit), b = draw(limit);
    snprintf(uuid, UUID_BYTES, "%08x-%04x-7%03x-%04x-%012" PRIx64, (unsigned)(ms >> 16),
             (unsigned)(ms & 0xffff), (unsigned)(a & 0xfff),
             (unsigned)(0x8000 | (a >> 12 & 0x3fff)), b & UINT64_C(0xffffffffffff));
}

/* ---- array parameters, as text ---- */

static void array_begin(struct array *array)
{
    array->text[0] = '{';
    array->length = 1;
}

static void array_add(struct array *array, const char *text)
{
    size_t length = strlen(text);
    if (array->length > 1)
        array->text[array->length++] = ',';
    memcpy(array->text + array->length, text, length);
    array->length += length;
}

static void array_add_number(struct array *array, int64_t number)
{
    char digits[24], *at = digits + sizeof digits - 1;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *at = '\0';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        *--at = '-';
    array_add(array, at);
}

static const char *array_end(struct array *array)
{
    array->text[array->length++] = '}';
    array->text[array->length] = '\0';
    return array->text;
}

/* ---- pipelines ---- */

static void send(struct lane *lane, enum statement statement, int n, const char *const *params)
{
    if (!PQsendQueryPrepared(lane->conn, statements[statement].name, n, params, NULL, NULL, 0))
        die("%s: %s", statements[statement].name, PQerrorMessage(lane->conn));
}

static void send_sync(struct lane *lane)
{
    if (!PQpipelineSync(lane->conn))
        die("sync: %s", PQerrorMessage(lane->conn));
}

/* The result of the next statement; the caller clears it. */
static PGresult *receive(struct lane *lane, enum statement statement)
{
    PGresult *result = PQgetResult(lane->conn);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        die("%s: %s", statements[statement].name, PQresultErrorMessage(result));
    PQclear(PQgetResult(lane->conn)); /* NULL: the end of this statement */
    return result;
}

static void receive_sync(struct lane *lane)
{
    PGresult *result = PQgetResult(lane->conn);
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
        die("no end of the pipeline: %s", PQerrorMessage(lane->conn));
    PQclear(result);
}

/* ---- a batch ---- */

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void start_batch(struct limit *limit, struct lane *lane)
{
    while (lane->n_members < limit->batch)
        lane->members[lane->n_members++] = (int64_t)(draw(limit) >> 16) % limit->n_keys + 1;
    qsort(lane->members, (size_t)lane->n_members, sizeof *lane->members, compare_ids);
    lane->n_rows = 0;
    for (int i = 0; i < lane->n_members; i++) {
        if (i == 0 || lane->members[i] != lane->members[i - 1])
            lane->rows[lane->n_rows++] = (struct row){.id = lane->members[i]};
        lane->rows[lane->n_rows - 1].n_members++;
    }

    struct array *keys = &limit->arrays[0], *ids = &limit->arrays[1];
    array_begin(keys);
    array_begin(ids);
    array_add_number(keys, RUNG_SYSTEM);
    array_add_number(keys, RUNG_MESSAGE);
    for (int i = 0; i < lane->n_rows; i++) {
        array_add_number(keys, lane->rows[i].id);
        array_add_number(ids, lane->rows[i].id);
    }
    const char *const tries[] = {array_end(keys)}, *const loads[] = {array_end(ids)};
    send(lane, STATEMENT_BEGIN, 0, NULL);
    send(lane, STATEMENT_LIMITS, 0, NULL);
    send(lane, STATEMENT_TRY, 1, tries);
    send(lane, STATEMENT_LOAD, 1, loads);
    send_sync(lane);
    lane->state = LANE_TAKING;
}

static struct row *find_row(struct lane *lane, int64_t id)
{
    int low = 0, high = lane->n_rows - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (lane->rows[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (lane->n_rows == 0 || lane->rows[low].id != id)
        die("a row with id %" PRId64 " that was not asked for", id);
    return &lane->rows[low];
}

static void read_refused(struct lane *lane, const PGresult *result)
{
    for (int i = 0; i < PQntuples(result); i++) {
        int64_t key = strtoll(PQgetvalue(result, i, 0), NULL, 10);
        if (key < 0)
            die("somebody holds the whole system");
        find_row(lane, key)->refused = true;
    }
}

static void read_rows(struct lane *lane, const PGresult *result)
{
    for (int i = 0; i < PQntuples(result); i++) {
        struct row *row = find_row(lane, strtoll(PQgetvalue(result, i, 0), NULL, 10));
        row->read = strtoll(PQgetvalue(result, i, 1), NULL, 10);
        snprintf(row->xmin, sizeof row->xmin, "%s", PQgetvalue(result, i, 2));
        row->loaded = true;
    }
}

static void run_script(struct limit *limit, struct row *row)
{
    lua_State *L = limit->lua;
    int n_results = 0;
    lua_State *thread = lua_newthread(L);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, row->id);
    lua_setfield(L, -2, "id");
    lua_pushinteger(L, row->read);
    lua_setfield(L, -2, "read");
    lua_rawgeti(thread, LUA_REGISTRYINDEX, limit->script);
    lua_createtable(thread, 0, 1);
    lua_pushvalue(L, -1);
    lua_xmove(L, thread, 1);
    lua_setfield(thread, -2, "message");
    if (lua_resume(thread, L, 1, &n_results) != LUA_OK)
        die("script: %s", lua_tostring(thread, -1));
    lua_getfield(L, -1, "read");
    row->read = lua_tointeger(L, -1);
    lua_settop(L, 0);
}

/* All but the refused ones run; their ids, inputs and paths go into the arrays. */
static int run_members(struct limit *limit, struct lane *lane)
{
    int n_run = 0;
    char text[ELEMENT_BYTES_MAX];
    for (int i = 0; i < 3; i++)
        array_begin(&limit->arrays[i]);
    for (int i = 0; i < lane->n_rows; i++) {
        struct row *row = &lane->rows[i];
        if (row->refused)
            continue;
        if (!row->loaded)
            die("no message %" PRId64, row->id);
        for (int k = 0; k < row->n_members; k++) {
            run_script(limit, row);
            draw_uuid(limit, text);
            array_add(&limit->arrays[0], text);
            snprintf(text, sizeof text, "\"{\\\"message_id\\\":%" PRId64 "}\"", row->id);
            array_add(&limit->arrays[1], text);
            snprintf(text, sizeof text, "message/%" PRId64, row->id);
            array_add(&limit->arrays[2], text);
            n_run++;
        }
    }
    return n_run;
}

static void send_update(struct limit *limit, struct lane *lane)
{
    for (int i = 0; i < 3; i++)
        array_begin(&limit->arrays[i]);
    for (int i = 0; i < lane->n_rows; i++) {
        if (lane->rows[i].refused)
            continue;
        array_add_number(&limit->arrays[0], lane->rows[i].id);
        array_add_number(&limit->arrays[1], lane->rows[i].read);
        array_add(&limit->arrays[2], lane->rows[i].xmin);
    }
    const char *const params[] = {array_end(&limit->arrays[0]), array_end(&limit->arrays[1]),
                                  array_end(&limit->arrays[2])};
    send(lane, STATEMENT_UPDATE, 3, params);
}

static void on_taken(struct limit *limit, struct lane *lane)
{
    char attempt[UUID_BYTES];
    PQclear(receive(lane, STATEMENT_BEGIN));
    PQclear(receive(lane, STATEMENT_LIMITS));
    PGresult *refused = receive(lane, STATEMENT_TRY), *rows = receive(lane, STATEMENT_LOAD);
    receive_sync(lane);
    read_refused(lane, refused);
    read_rows(lane, rows);
    PQclear(refused);
    PQclear(rows);

    int n_run = run_members(limit, lane);
    const char *ids = array_end(&limit->arrays[0]);
    const char *const instances[] = {ids, array_end(&limit->arrays[1]), limit->process};
    const char *const history[] = {ids, array_end(&limit->arrays[2]), limit->process};
    const char *const mark[] = {attempt};
    draw_uuid(limit, attempt);
    send(lane, STATEMENT_INSTANCES, 3, instances);
    send(lane, STATEMENT_HISTORY, 3, history);
    send_update(limit, lane);
    send(lane, STATEMENT_MARK, 1, mark);
    send(lane, STATEMENT_COMMIT, 0, NULL);
    send_sync(lane);
    limit->n_executions += n_run;
    limit->n_refused += lane->n_members - n_run;
    lane->state = LANE_SAVING;
}

/* The rows are locked by their keys, so a version that does not fit is a bug or a foreign writer.
 */
static void check_update(const struct lane *lane, PGresult *result)
{
    int n_expected = 0;
    for (int i = 0; i < lane->n_rows; i++)
        n_expected += lane->rows[i].refused ? 0 : 1;
    if (atoi(PQcmdTuples(result)) != n_expected)
        die("%s rows were saved in place of %d", PQcmdTuples(result), n_expected);
}

static void keep_refused(struct lane *lane)
{
    lane->n_members = 0;
    for (int i = 0; i < lane->n_rows; i++)
        for (int k = 0; lane->rows[i].refused && k < lane->rows[i].n_members; k++)
            lane->members[lane->n_members++] = lane->rows[i].id;
}

static void on_saved(struct limit *limit, struct lane *lane)
{
    PQclear(receive(lane, STATEMENT_INSTANCES));
    PQclear(receive(lane, STATEMENT_HISTORY));
    PGresult *updated = receive(lane, STATEMENT_UPDATE);
    PQclear(receive(lane, STATEMENT_MARK));
    PGresult *committed = receive(lane, STATEMENT_COMMIT);
    receive_sync(lane);
    check_update(lane, updated);
    if (strcmp(PQcmdStatus(committed), "COMMIT") != 0)
        die("the commit was answered by %s", PQcmdStatus(committed));
    PQclear(updated);
    PQclear(committed);
    keep_refused(lane);
    limit->n_batches++;
    lane->state = LANE_IDLE;
}

static void step(struct limit *limit, struct lane *lane, bool may_start)
{
    switch (lane->state) {
    case LANE_IDLE:
        if (may_start)
            start_batch(limit, lane);
        break;
    case LANE_TAKING: on_taken(limit, lane); break;
    case LANE_SAVING:
        on_saved(limit, lane);
        if (may_start)
            start_batch(limit, lane);
        break;
    }
}

static bool any_busy(const struct limit *limit)
{
    for (int i = 0; i < limit->n_connections; i++)
        if (limit->lanes[i].state != LANE_IDLE)
            return true;
    return false;
}

/* ---- life ---- */

static void open_lane(struct limit *limit, struct lane *lane)
{
    lane->conn = PQconnectdb("");
    if (PQstatus(lane->conn) != CONNECTION_OK)
        die("%s", PQerrorMessage(lane->conn));
    for (int i = 0; i < STATEMENTS; i++) {
        PGresult *result = PQprepare(lane->conn, statements[i].name, statements[i].text, 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            die("%s: %s", statements[i].name, PQresultErrorMessage(result));
        PQclear(result);
    }
    if (!PQenterPipelineMode(lane->conn))
        die("%s", PQerrorMessage(lane->conn));
    lane->members = take_memory((size_t)limit->batch, sizeof *lane->members);
    lane->rows = take_memory((size_t)limit->batch, sizeof *lane->rows);
}

static int64_t number_option(const char *text, int64_t least, int64_t most)
{
    char *end;
    int64_t number = strtoll(text, &end, 10);
    if (end == text || *end || number < least || number > most)
        die("'%s' is no number from %" PRId64 " to %" PRId64, text, least, most);
    return number;
}

static void read_options(struct limit *limit, int argc, char **argv)
{
    static const struct option options[] = {{"connections", required_argument, NULL, 'c'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c': limit->n_connections = (int)number_option(optarg, 1, CONNECTIONS_MAX); break;
        case 'b': limit->batch = (int)number_option(optarg, 1, BATCH_MAX); break;
        case 'k': limit->n_keys = number_option(optarg, 1, 1000000000); break;
        case 's': limit->seconds = strtod(optarg, NULL); break;
        default: exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct limit limit = {.n_connections = 3, .batch = 128, .n_keys = 10000, .seconds = 5};
    read_options(&limit, argc, argv);
    limit.seed = (uint64_t)(now_seconds() * 1e9) | 1;
    draw_uuid(&limit, limit.process);
    limit.lua = luaL_newstate();
    if (!limit.lua)
        die("out of memory");
    luaL_openlibs(limit.lua);
    if (luaL_loadstring(limit.lua, script_text) != LUA_OK)
        die("script: %s", lua_tostring(limit.lua, -1));
    limit.script = luaL_ref(limit.lua, LUA_REGISTRYINDEX);
    for (int i = 0; i < 3; i++)
        limit.arrays[i].text = take_memory((size_t)limit.batch + 4, ELEMENT_BYTES_MAX);
    for (int i = 0; i < limit.n_connections; i++)
        open_lane(&limit, &limit.lanes[i]);

    double start = now_seconds(), start_us = processor_us();
    for (bool more = true; more || any_busy(&limit);) {
        for (int i = 0; i < limit.n_connections; i++)
            step(&limit, &limit.lanes[i], more);
        more = now_seconds() - start < limit.seconds;
    }
    double took = now_seconds() - start, took_us = processor_us() - start_us;

    printf("{\"count\":%" PRId64 ",\"seconds\":%.6f,\"per_second\":%.1f,\"batches\":%" PRId64
           ",\"refused\":%" PRId64 ",\"processor_us\":%.3f}\n",
           limit.n_executions, took, (double)limit.n_executions / took, limit.n_batches,
           limit.n_refused, limit.n_executions ? took_us / (double)limit.n_executions : 0);
    for (int i = 0; i < limit.n_connections; i++) {
        PQfinish(limit.lanes[i].conn);
        free(limit.lanes[i].members);
        free(limit.lanes[i].rows);
    }
    for (int i = 0; i < 3; i++)
        free(limit.arrays[i].text);
    lua_close(limit.lua);
    return 0;
}
