/*
 * Who holds lock paths and who waits, as latchkey.locks has it. Hosts tell the names of their locks
 * only where somebody waits or asks: listing asks, and what is not told yet comes about a second
 * later.
 */
#include "clock.h"
#include "command.h"
#include "command_line.h"
#include "interrupt.h"
#include "lock_break.h"
#include "lock_path.h"
#include "run_target.h"
#include "runtime_sql.h"
#include "session.h"

#include <event2/event.h>
#include <libpq-fe.h>
#include <string.h>
#include <unistd.h>

enum {
    NAMES_US = 3 * 1000 * 1000, /* so long for hosts to tell */
    ASK_AGAIN_US = 200 * 1000,
    WATCH_US = 1000 * 1000,
    HELD_NEAR_MAX = 5, /* paths named when nobody holds the wanted one */
};

struct locks_command {
    const struct command_line *line;
    struct session session;
    struct interrupt interrupt;
    json_t *rows; /* as of the last look */
    bool stop;
};

static void on_interrupt(int n, void *arg)
{
    struct locks_command *command = arg;
    (void)n;
    command->stop = true;
    event_base_loopbreak(command->session.base);
}

static void pause_for(struct locks_command *command, int64_t pause_us)
{
    struct timeval pause = clock_timeval_us(pause_us);
    event_base_loopexit(command->session.base, &pause);
    event_base_dispatch(command->session.base);
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static bool is(const json_t *row, const char *key, const char *value)
{
    return strcmp(text_of(row, key), value) == 0;
}

static bool is_granted(const json_t *row)
{
    return json_is_true(json_object_get(row, "granted"));
}

/* ---- looking ---- */

static bool look(struct locks_command *command, struct fault *fault)
{
    PGresult *result = NULL;
    json_decref(command->rows);
    command->rows = NULL;
    bool ok = runtime_query(command->session.runtime, SQL_LOCK_LIST, 0, NULL, &result, fault) &&
              json_read("locks", PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0),
                        &command->rows, fault);
    PQclear(result);
    return ok;
}

/* What a host holds and has not told yet; strangers tell nothing. */
static bool anything_untold(const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (is(row, "mode", "exclusive") && json_is_null(json_object_get(row, "instance")) &&
            !strstr(text_of(row, "host"), "backend "))
            return true;
    }
    return false;
}

static bool look_with_names(struct locks_command *command, struct fault *fault)
{
    int64_t until_us = clock_monotonic_us() + NAMES_US;
    if (!look(command, fault))
        return false;
    while (!command->stop && anything_untold(command->rows) && clock_monotonic_us() < until_us) {
        pause_for(command, ASK_AGAIN_US);
        if (!look(command, fault))
            return false;
    }
    return true;
}

/* ---- printing ---- */

static bool is_waited_for(const json_t *rows, const char *path)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (!is_granted(row) && is(row, "path", path))
            return true;
    }
    return false;
}

static void print_row(const json_t *row)
{
    size_t i;
    json_t *path;
    bool granted = is_granted(row);
    printf("%-32s %-9s %-5s %-24s", text_of(row, "path"), text_of(row, "mode"),
           granted ? "holds" : "waits", text_of(row, "host"));
    if (*text_of(row, "workflow"))
        printf("  %s/%s %s", text_of(row, "workflow"), text_of(row, "activity"),
               text_of(row, "instance"));
    if (granted && *text_of(row, "since"))
        printf("  since %s", text_of(row, "since"));
    if (!granted)
        printf("  for %.1f s", json_number_value(json_object_get(row, "waiting_ms")) / 1000);
    json_array_foreach(json_object_get(row, "blocked_by"), i, path)
        printf("%s %s", i ? "," : "  behind", json_string_value(path));
    putchar('\n');
}

static void print(const struct locks_command *command)
{
    size_t i;
    json_t *row;
    if (command_line_has(command->line, OPTION_JSON)) {
        command_print_json(command->rows);
        return;
    }
    json_array_foreach(command->rows, i, row)
    {
        bool is_prefix = is(row, "mode", "shared") && is_granted(row);
        if (!is_prefix || is_waited_for(command->rows, text_of(row, "path")))
            print_row(row);
    }
}

/* ---- watching ---- */

/* The rows without what changes by itself. */
static json_t *still_picture(const json_t *rows)
{
    size_t i;
    json_t *row, *picture = json_deep_copy(rows);
    json_array_foreach(picture, i, row) json_object_del(row, "waiting_ms");
    return picture;
}

static void print_screen(const struct locks_command *command)
{
    fputs("\033[H\033[2J", stdout);
    print(command);
    fflush(stdout);
}

static bool watch(struct locks_command *command, struct fault *fault)
{
    bool on_screen = isatty(STDOUT_FILENO) && !command_line_has(command->line, OPTION_JSON);
    json_t *shown = NULL;
    bool ok = true;
    while (!command->stop && (ok = look(command, fault))) {
        json_t *picture = still_picture(command->rows);
        if (on_screen) {
            print_screen(command);
        } else if (!shown || !json_equal(shown, picture)) {
            if (shown && !command_line_has(command->line, OPTION_JSON))
                putchar('\n');
            print(command);
            fflush(stdout);
        }
        json_decref(shown);
        shown = picture;
        pause_for(command, WATCH_US);
    }
    json_decref(shown);
    return ok;
}

/* ---- breaking ---- */

struct breaking {
    struct event_base *base;
    bool told;
    bool broken;
    struct fault fault;
    json_t *met;
};

static void on_broken(const char *met, const struct fault *fault, void *arg)
{
    struct breaking *breaking = arg;
    breaking->told = true;
    if (fault)
        breaking->fault = *fault;
    else
        breaking->broken = json_read("locks", met, strlen(met), &breaking->met, &breaking->fault);
    event_base_loopbreak(breaking->base);
}

static bool is_near(const char *a, const char *b)
{
    return lock_path_text_covers(a, b) || lock_path_text_covers(b, a);
}

/* Nobody holds the path itself: perhaps an ancestor or a descendant was meant. */
static void add_near(const json_t *rows, const char *path, struct fault *fault)
{
    size_t i;
    json_t *row;
    struct text near;
    struct fault ignored;
    int n = 0;
    text_init(&near, sizeof fault->text);
    json_array_foreach(rows, i, row)
    {
        if (n < HELD_NEAR_MAX && is_granted(row) && !is(row, "mode", "shared") &&
            is_near(path, text_of(row, "path")))
            text_addf(&near, "%s%s", n++ ? ", " : "", text_of(row, "path"));
    }
    if (n && text_ok(&near, &ignored))
        fault_set(fault, FAULT_MISSING, "nobody holds %s itself; held are %s", path,
                  text_chars(&near));
    text_done(&near);
}

static void print_broken(const struct locks_command *command, const char *path, const char *by,
                         const json_t *met)
{
    size_t i;
    json_t *row;
    if (command_line_has(command->line, OPTION_JSON)) {
        json_t *answer = json_pack("{s:s, s:s, s:O}", "path", path, "by", by, "met", met);
        command_print_json(answer);
        json_decref(answer);
        return;
    }
    printf("broken: %s\n", path);
    json_array_foreach(met, i, row) print_row(row);
}

static bool break_path(struct locks_command *command, const char *path, struct fault *fault)
{
    char by[PUBLISHER_BYTES];
    struct breaking breaking = {.base = command->session.base};
    struct lock_break *request = NULL;
    run_target_publisher(by);
    /* so that the record says who it was */
    if (!look_with_names(command, fault))
        return false;
    if (command->stop)
        return true;
    if (!lock_break_start(command->session.runtime, path, by, on_broken, &breaking, &request,
                          fault))
        return false;
    while (!breaking.told)
        event_base_loop(command->session.base, EVLOOP_ONCE);
    if (breaking.broken)
        print_broken(command, path, by, breaking.met);
    else
        *fault = breaking.fault;
    if (!breaking.broken && fault->kind == FAULT_MISSING)
        add_near(command->rows, path, fault);
    json_decref(breaking.met);
    return breaking.broken;
}

static bool list(struct locks_command *command, struct fault *fault)
{
    if (!look_with_names(command, fault))
        return false;
    if (!command->stop)
        print(command);
    return true;
}

int command_locks(const struct command_line *line)
{
    struct fault fault;
    struct locks_command command = {.line = line};
    const char *path = command_line_value(line, OPTION_BREAK);
    bool watches = command_line_has(line, OPTION_WATCH);
    if (path && watches) {
        fault_set(&fault, FAULT_INVALID, "--break and --watch do not go together");
        return command_fail(&fault);
    }
    bool ok =
        session_open(line, &command.session, SESSION_POOL_LONE, &fault) &&
        interrupt_init(&command.interrupt, command.session.base, on_interrupt, &command, &fault);
    if (ok)
        ok = path      ? break_path(&command, path, &fault)
             : watches ? watch(&command, &fault)
                       : list(&command, &fault);
    json_decref(command.rows);
    interrupt_done(&command.interrupt);
    session_close(&command.session);
    if (!ok)
        return command_fail(&fault);
    return command.stop && !watches ? EXIT_SIGNAL + command.interrupt.signal_number : 0;
}
