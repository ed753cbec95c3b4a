/* The options of latchkey_new: one table. */
#include "duration.h"
#include "latchkey_state.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum option_type {
    OPTION_TEXT,
    OPTION_INTEGER,
    OPTION_DURATION,
    OPTION_SWITCHED_OFF, /* `false` sets the bool */
};

struct option_row {
    const char *name;
    enum option_type type;
    size_t at;           /* in struct latchkey_options */
    int64_t least, most; /* durations in ms */
};

#define AT(member) offsetof(struct latchkey_options, member)
#define MOST_MS (INT64_C(24) * 3600 * 1000)

static const struct option_row option_rows[] = {
    {"database", OPTION_TEXT, AT(runtime.conninfo), 0, 0},
    {"schema", OPTION_TEXT, AT(runtime.schema), 0, 0},
    {"pool", OPTION_INTEGER, AT(runtime.pool_size), 2, 400},
    {"waiters", OPTION_INTEGER, AT(runtime.waiters), 1, 399},
    {"queue-after", OPTION_DURATION, AT(runtime.queue_after_us), 1, MOST_MS},
    {"start-patience", OPTION_DURATION, AT(start_patience_us), 0, MOST_MS},
    {"connect-timeout", OPTION_DURATION, AT(runtime.connect_timeout_us), 1, MOST_MS},
    {"look-up", OPTION_DURATION, AT(runtime.look_up_us), 0, MOST_MS},
    {"ownership-timeout", OPTION_DURATION, AT(runtime.ownership_us), 1000, MOST_MS},
    {"busy-poll-us", OPTION_INTEGER, AT(runtime.busy_poll_us), 0, RUNTIME_BUSY_POLL_US_MAX},
    {"prepared-statements", OPTION_SWITCHED_OFF, AT(runtime.unnamed_only), 0, 0},
    {"watchdog", OPTION_DURATION, AT(runtime.watchdog_us), 0, MOST_MS},
    {"definitions", OPTION_TEXT, AT(definitions), 0, 0},
    {"published-by", OPTION_TEXT, AT(published_by), 0, 0},
};

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static bool read_integer(const struct option_row *row, const char *value, void *out,
                         struct fault *fault)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno || end == value || *end || number < row->least || number > row->most)
        return fault_set(fault, FAULT_INVALID,
                         "option '%s': '%.40s' is no number from %lld to %lld", row->name, value,
                         (long long)row->least, (long long)row->most);
    *(int *)out = (int)number;
    return true;
}

static bool read_duration(const struct option_row *row, const char *value, void *out,
                          struct fault *fault)
{
    char least[32], most[32];
    int64_t ms;
    if (duration_read(value, &ms) == DURATION_FINE && ms >= row->least && ms <= row->most) {
        *(int64_t *)out = ms * 1000;
        return true;
    }
    duration_write(row->least, least, sizeof least);
    duration_write(row->most, most, sizeof most);
    return fault_set(
        fault, FAULT_INVALID,
        "option '%s': '%.40s' is no duration from %s to %s: a whole number with ms, s, "
        "m, h or d",
        row->name, value, least, most);
}

static bool read_switched_off(const struct option_row *row, const char *value, void *out,
                              struct fault *fault)
{
    *(bool *)out = strcmp(value, "false") == 0;
    return *(bool *)out || strcmp(value, "true") == 0 ||
           fault_set(fault, FAULT_INVALID, "option '%s': '%.40s' is neither true nor false",
                     row->name, value);
}

static bool read_value(const struct option_row *row, const char *value, void *out,
                       struct fault *fault)
{
    switch (row->type) {
    case OPTION_TEXT: *(const char **)out = value; return true;
    case OPTION_INTEGER: return read_integer(row, value, out, fault);
    case OPTION_DURATION: return read_duration(row, value, out, fault);
    case OPTION_SWITCHED_OFF: return read_switched_off(row, value, out, fault);
    }
    return false;
}

static const struct option_row *find(const char *name)
{
    for (size_t i = 0; i < sizeof option_rows / sizeof *option_rows; i++)
        if (strcmp(option_rows[i].name, name) == 0)
            return &option_rows[i];
    return NULL;
}

/* As the runtime expects it: it goes into SQL as an identifier. */
static bool check_schema(const char *schema, struct fault *fault)
{
    size_t n = strspn(schema, "abcdefghijklmnopqrstuvwxyz0123456789_");
    bool fine = n > 0 && n <= 63 && !schema[n] && !(*schema >= '0' && *schema <= '9');
    return fine || fault_set(fault, FAULT_INVALID,
                             "option 'schema': '%.80s' is none: [a-z_][a-z0-9_]{0,62}", schema);
}

bool latchkey_option_read(const char *const *texts, struct latchkey_options *out,
                          struct fault *fault)
{
    *out = (struct latchkey_options){.runtime = runtime_default_options(),
                                     .start_patience_us = 30 * 1000 * 1000,
                                     .published_by = "latchkey.h"};
    out->runtime.conninfo = environment("LATCHKEY_DATABASE", "");
    out->runtime.schema = environment("LATCHKEY_SCHEMA", "latchkey");
    out->runtime.watchdog_us = 0;
    out->runtime.waiters = 0;
    for (; texts && texts[0]; texts += 2) {
        const struct option_row *row = find(texts[0]);
        if (!row)
            return fault_set(fault, FAULT_INVALID, "there is no option '%.80s'", texts[0]);
        if (!texts[1])
            return fault_set(fault, FAULT_INVALID, "option '%s' has no value", row->name);
        if (!read_value(row, texts[1], (char *)out + row->at, fault))
            return false;
    }
    int pool = out->runtime.pool_size;
    if (!out->runtime.waiters)
        out->runtime.waiters = pool / 4 ? pool / 4 : 1;
    if (out->runtime.waiters >= pool)
        return fault_set(fault, FAULT_INVALID, "option 'waiters': %d of %d connections is too many",
                         out->runtime.waiters, pool);
    return check_schema(out->runtime.schema, fault);
}
