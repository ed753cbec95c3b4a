#include "reading.h"

#include "duration.h"
#include "lua_names.h"
#include "spelling.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    NAME_BYTES_MAX = 63,
    SPELLING_STEPS = 50, /* comparing two spellings costs as much as so many plain comparisons */
};

static void add(struct reading *reading, enum problem_severity severity, const struct yaml_tree *at,
                const char *format, va_list args) FORMAT_ARGS(4, 0);

static void add(struct reading *reading, enum problem_severity severity, const struct yaml_tree *at,
                const char *format, va_list args)
{
    char message[FAULT_TEXT_BYTES];
    if (vsnprintf(message, sizeof message, format, args) < 0)
        message[0] = '\0';
    problems_add(reading->problems, severity, at->line, at->column, "%s", message);
}

void reading_error(struct reading *reading, const struct yaml_tree *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(reading, PROBLEM_ERROR, at, format, args);
    va_end(args);
}

void reading_warning(struct reading *reading, const struct yaml_tree *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(reading, PROBLEM_WARNING, at, format, args);
    va_end(args);
}

const char *reading_label(const struct yaml_tree *value)
{
    return value->key && value->key->kind == YAML_TREE_TEXT ? value->key->text : "value";
}

void *reading_take(struct reading *reading, size_t n, size_t n_bytes)
{
    void *taken = region_take(&reading->definition->memory, n ? n * n_bytes : 1);
    if (!taken)
        problems_no_memory(reading->problems);
    return taken;
}

bool reading_usable(struct reading *reading, const struct yaml_tree *value)
{
    if (value->kind == YAML_TREE_REFUSED)
        return false;
    if (!yaml_tree_is_nothing(value))
        return true;
    if (value->n_bytes > 0)
        reading_error(reading, value,
                      "%s: `%s` is nothing, which never means the default: give a value",
                      reading_label(value), value->text);
    else if (value->key)
        reading_error(reading, value->key,
                      "%s: nothing follows the colon, which never means the default: give a value",
                      reading_label(value));
    else
        reading_error(reading, value, "nothing follows the `-`");
    return false;
}

const char *reading_chars(struct reading *reading, const struct yaml_tree *value)
{
    if (value->kind != YAML_TREE_TEXT) {
        reading_error(reading, value, "%s: a text should stand here, not a %s",
                      reading_label(value), value->kind == YAML_TREE_LIST ? "list" : "mapping");
        return NULL;
    }
    if (memchr(value->text, '\0', value->n_bytes)) {
        reading_error(reading, value, "%s: the text holds a NUL character", reading_label(value));
        return NULL;
    }
    const char *copy = region_copy(&reading->definition->memory, value->text, value->n_bytes);
    if (!copy)
        problems_no_memory(reading->problems);
    return copy;
}

static const struct reading_key *find_key(const struct reading_schema *schema,
                                          const struct yaml_tree *key)
{
    for (const struct reading_key *row = schema->keys; row->name; row++) {
        if (yaml_tree_is(key, row->name))
            return row;
    }
    return NULL;
}

static const char *nearest_key(const struct reading_schema *schema, const char *written)
{
    struct spelling spelling = {0};
    for (const struct reading_key *row = schema->keys; row->name; row++)
        spelling_consider(&spelling, written, row->name);
    return spelling.nearest;
}

/* The schema, other than this one, that has the key: most often a slip of the indentation. */
static const struct reading_schema *owner_elsewhere(const struct reading *reading,
                                                    const struct reading_schema *schema,
                                                    const struct yaml_tree *key)
{
    for (const struct reading_schema *const *other = reading->schemas; *other; other++) {
        if (*other != schema && find_key(*other, key))
            return *other;
    }
    return NULL;
}

static bool differs_in_dashes(const char *written, const char *name)
{
    while (*written && (*written == *name || (*written == '_' && *name == '-'))) {
        written++;
        name++;
    }
    return !*written && !*name;
}

static void report_unknown(struct reading *reading, const struct reading_schema *schema,
                           const struct yaml_tree *key)
{
    if (key->kind != YAML_TREE_TEXT) {
        if (key->kind != YAML_TREE_REFUSED)
            reading_error(reading, key, "a key should stand here, not a %s",
                          key->kind == YAML_TREE_LIST ? "list" : "mapping");
        return;
    }
    const struct reading_schema *owner = owner_elsewhere(reading, schema, key);
    const char *nearest = nearest_key(schema, key->text);
    if (nearest && differs_in_dashes(key->text, nearest))
        reading_error(reading, key, "unknown key `%s`: keys are written with dashes: `%s`",
                      key->text, nearest);
    else if (owner)
        reading_error(reading, key,
                      "unknown key `%s` in %s: it belongs to %s (look at the indentation)",
                      key->text, schema->what, owner->what);
    else if (nearest)
        reading_error(reading, key, "unknown key `%s`: did you mean `%s`?", key->text, nearest);
    else
        reading_error(reading, key, "unknown key `%s` in %s", key->text, schema->what);
}

/* By rows, not in the order of the file: a row may rely on what the rows above it have read. */
bool reading_mapping(struct reading *reading, const struct yaml_tree *node,
                     const struct reading_schema *schema, void *target)
{
    if (node->kind != YAML_TREE_MAPPING) {
        if (node->key)
            reading_error(reading, node, "%s: %s", reading_label(node), schema->slip);
        else
            reading_error(reading, node, "%s", schema->slip);
        return false;
    }
    for (const struct reading_key *row = schema->keys; row->name; row++) {
        const struct yaml_tree *value = yaml_tree_child(node, row->name);
        if (!value && row->needed)
            reading_error(reading, node->key ? node->key : node, "%s lacks `%s`", schema->what,
                          row->name);
        if (value && reading_usable(reading, value))
            row->read(reading, value, (char *)target + row->offset);
    }
    for (const struct yaml_tree *child = node->children; child; child = child->next) {
        if (!find_key(schema, child->key))
            report_unknown(reading, schema, child->key);
    }
    return true;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

bool reading_is_name(struct reading *reading, const struct yaml_tree *at, const char *what,
                     const char *text)
{
    size_t length = strlen(text);
    bool ok = is_lower(text[0]) && length <= NAME_BYTES_MAX;
    for (const char *c = text; *c && ok; c++)
        ok = is_lower(*c) || is_digit(*c) || *c == '_' || *c == '-';
    if (!ok)
        reading_error(reading, at,
                      "`%s` is no name of %s: a name begins with a-z, then come a-z, 0-9, `_` and "
                      "`-`, 63 characters at most",
                      text, what);
    return ok;
}

bool reading_is_lua_name(struct reading *reading, const struct yaml_tree *at, const char *what,
                         const char *text)
{
    bool ok = is_letter(text[0]) && strlen(text) <= NAME_BYTES_MAX;
    for (const char *c = text; *c && ok; c++)
        ok = is_letter(*c) || is_digit(*c);
    if (!ok)
        reading_error(reading, at,
                      "`%s` is no name of %s: Lua must be able to say it: a letter or `_`, then "
                      "letters, digits and `_`, 63 characters at most",
                      text, what);
    else if (lua_names_is_keyword(text))
        reading_error(reading, at, "`%s` is no name of %s: it is a word of Lua's own", text, what);
    return ok && !lua_names_is_keyword(text);
}

bool reading_affords(struct reading *reading, int n_steps)
{
    if (reading->hint_steps < n_steps)
        return false;
    reading->hint_steps -= n_steps;
    return true;
}

int reading_spelling_steps(int n_names)
{
    return n_names * SPELLING_STEPS;
}

void reading_text(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    const char *text = reading_chars(reading, value);
    if (text)
        *(const char **)slot = text;
}

void reading_name(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    const char *text = reading_chars(reading, value);
    if (text && reading_is_name(reading, value, reading_label(value), text))
        *(const char **)slot = text;
}

void reading_boolean(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    if (value->kind != YAML_TREE_TEXT) {
        reading_error(reading, value, "%s: write true or false", reading_label(value));
    } else if (yaml_tree_is(value, "true") || yaml_tree_is(value, "false")) {
        if (value->style == YAML_TREE_PLAIN)
            *(bool *)slot = value->text[0] == 't';
        else
            reading_error(reading, value, "%s: write %s without quotes", reading_label(value),
                          value->text);
    } else {
        reading_error(reading, value, "%s: write true or false, not `%s`", reading_label(value),
                      value->text);
    }
}

/* Digits only. Returns where they end; *out stays at INT64_MAX when they are too many. */
static const char *scan_digits(const char *text, int64_t *out)
{
    int64_t found = 0;
    for (; is_digit(*text); text++) {
        int digit = *text - '0';
        found = found > (INT64_MAX - digit) / 10 ? INT64_MAX : found * 10 + digit;
    }
    *out = found;
    return text;
}

void reading_integer(struct reading *reading, const struct yaml_tree *value, int least, int most,
                     int *slot)
{
    int64_t found = 0;
    bool digits = value->kind == YAML_TREE_TEXT && value->n_bytes > 0 &&
                  scan_digits(value->text, &found) == value->text + value->n_bytes;
    if (!digits)
        reading_error(reading, value, "%s: write a whole number from %d to %d",
                      reading_label(value), least, most);
    else if (value->style != YAML_TREE_PLAIN)
        reading_error(reading, value, "%s: write the number without quotes", reading_label(value));
    else if (found < least || found > most)
        reading_error(reading, value, "%s: the number must be from %d to %d", reading_label(value),
                      least, most);
    else
        *slot = (int)found;
}

void reading_duration(struct reading *reading, const struct yaml_tree *value, int64_t least_ms,
                      int64_t most_ms, int64_t *slot)
{
    const char *label = reading_label(value);
    if (value->kind != YAML_TREE_TEXT) {
        reading_error(reading, value, "%s: write a duration such as 5s or 500ms", label);
        return;
    }
    int64_t ms = 0;
    enum duration_slip slip = duration_read(value->text, &ms);
    if (slip == DURATION_NO_UNIT) {
        reading_error(reading, value, "%s: a duration needs its unit: write %ss or %sms", label,
                      value->text, value->text);
        return;
    }
    if (slip == DURATION_NONE) {
        reading_error(reading, value,
                      "%s: `%s` is no duration: write a whole number and, without a space, ms, s, "
                      "m, h or d",
                      label, value->text);
        return;
    }
    if (slip == DURATION_TOO_LARGE || ms > most_ms || ms < least_ms) {
        char least[32];
        char most[32];
        duration_write(least_ms, least, sizeof least);
        duration_write(most_ms, most, sizeof most);
        reading_error(reading, value, "%s: the duration must be from %s to %s", label, least, most);
        return;
    }
    *slot = ms;
}

bool reading_choice(struct reading *reading, const struct yaml_tree *value,
                    const char *const *names, int *slot)
{
    struct text all;
    text_init(&all, FAULT_TEXT_BYTES);
    bool found = false;
    int i = 0;
    for (; names[i]; i++) {
        text_addf(&all, "%s%s", i == 0 ? "" : names[i + 1] ? ", " : " or ", names[i]);
        if (yaml_tree_is(value, names[i])) {
            *slot = i;
            found = true;
        }
    }
    const char *nearest =
        value->kind == YAML_TREE_TEXT ? spelling_nearest(value->text, names) : NULL;
    if (!found && value->kind != YAML_TREE_TEXT)
        reading_error(reading, value, "%s: write %s", reading_label(value), text_chars(&all));
    else if (!found && nearest)
        reading_error(reading, value, "%s: `%s` is unknown: did you mean `%s`?",
                      reading_label(value), value->text, nearest);
    else if (!found)
        reading_error(reading, value, "%s: `%s` is unknown: write %s", reading_label(value),
                      value->text, text_chars(&all));
    text_done(&all);
    return found;
}
