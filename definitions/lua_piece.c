#include "lua_piece.h"

#include "lua_names.h"
#include "spelling.h"
#include "task.h"

#include <stdlib.h>
#include <string.h>

enum {
    NAMES_LOOKED_AT = 300, /* of one piece, since looking is quadratic: a designer's has dozens */
};

struct piece_rules {
    const char *what; /* names the piece in messages */
    bool statements;  /* a script: impure, and may be empty */
    bool no_data;     /* it finds the data, so there is none yet */
};

static const struct piece_rules rules_of[] = {
    [LUA_PIECE_LOCK_CONTEXT] = {.what = "lock-context"},
    [LUA_PIECE_GUARD] = {.what = "guard"},
    [LUA_PIECE_RULE] = {.what = "rule"},
    [LUA_PIECE_KEY] = {.what = "key", .no_data = true},
    [LUA_PIECE_WHERE] = {.what = "where", .no_data = true},
    [LUA_PIECE_SCRIPT] = {.what = "script", .statements = true},
};

/* The allow-list of expressions, and what the runtime puts beside it. */
static const char *const known_names[] = {
    "input",    "data",         "vars",   "instance", "activity", "event",
    "lock",     "string",       "math",   "table",    "utf8",     "assert",
    "error",    "getmetatable", "ipairs", "next",     "pairs",    "pcall",
    "rawequal", "rawget",       "rawlen", "rawset",   "select",   "setmetatable",
    "tonumber", "tostring",     "type",   "_VERSION", NULL};

/* What scripts or other Lua programs have and an expression has not. */
struct impure_name {
    const char *name;
    const char *words;
};

static const struct impure_name impure_names[] = {
    {"sql", "it cannot ask the database: declare what it needs under `data`"},
    {"objects", "it cannot ask the database: declare what it needs under `data`"},
    {"sleep", "it cannot wait"},
    {"now", "it cannot know the time: two evaluations must agree"},
    {"os", "it cannot know the time or the system: two evaluations must agree"},
    {"uuid", "it cannot draw anything at random: two evaluations must agree"},
    {"emit", "it cannot emit events: the script can"},
    {"fail", "it cannot fail the activity: return a value"},
    {"log", "it cannot write to the log: the script can"},
    {"json", "it gets values, not texts: the script can read and write JSON"},
    {"output", "it cannot see or set the output: the script can"},
    {"io", "there are no files in the sandbox"},
    {"print", "there is nowhere to print to"},
    {"require", "there are no modules in the sandbox"},
    {"load", "the sandbox compiles no text"},
    {"loadstring", "the sandbox compiles no text"},
    {"dofile", "there are no files in the sandbox"},
    {"debug", "there is no `debug` in the sandbox"},
    {"coroutine", "there are no coroutines in the sandbox"},
};

struct piece {
    struct reading *reading;
    const struct yaml_tree *value;
    const struct piece_rules *rules;
    struct lua_source source;
};

/* A problem on a line of the piece, from 0. Only `|` keeps lines apart; its columns are unknown. */
static void add(const struct piece *piece, enum problem_severity severity, int line_of_piece,
                const char *message)
{
    const struct yaml_tree *value = piece->value;
    bool block = value->style == YAML_TREE_LITERAL || value->style == YAML_TREE_FOLDED;
    int line = piece->source.line + (value->style == YAML_TREE_LITERAL ? line_of_piece : 0);
    problems_add(piece->reading->problems, severity, line, block ? 1 : value->column, "%s: %s",
                 reading_label(value), message);
}

static void addf(const struct piece *piece, enum problem_severity severity, int line_of_piece,
                 const char *format, ...) FORMAT_ARGS(4, 5);

static void addf(const struct piece *piece, enum problem_severity severity, int line_of_piece,
                 const char *format, ...)
{
    struct text message;
    text_init(&message, FAULT_TEXT_BYTES * 2);
    va_list args;
    va_start(args, format);
    text_vaddf(&message, format, args);
    va_end(args);
    add(piece, severity, line_of_piece, text_chars(&message));
    text_done(&message);
}

static bool has_text_kind(struct reading *reading, const struct yaml_tree *value)
{
    const char *label = reading_label(value);
    if (value->kind == YAML_TREE_MAPPING && value->flow)
        reading_error(reading, value,
                      "%s: braces without quotes are a YAML mapping, not Lua: quote it ('{...}'), "
                      "or use `|`",
                      label);
    else if (value->kind == YAML_TREE_LIST && value->flow)
        reading_error(reading, value,
                      "%s: brackets without quotes are a YAML list: Lua writes lists in braces; "
                      "quote it ('{...}'), or use `|`",
                      label);
    else if (value->kind != YAML_TREE_TEXT)
        reading_error(reading, value, "%s: Lua should stand here, not a %s", label,
                      value->kind == YAML_TREE_LIST ? "list" : "mapping");
    return value->kind == YAML_TREE_TEXT;
}

static bool survives_joining(struct reading *reading, const struct yaml_tree *value)
{
    bool joined = value->style == YAML_TREE_FOLDED ||
                  (value->style != YAML_TREE_LITERAL && value->end_line > value->line);
    if (!joined ||
        (!strstr(value->text, "--") && !strstr(value->text, "[[") && !strstr(value->text, "[=")))
        return true;
    reading_error(reading, value,
                  "%s: YAML joins these lines into one, which breaks Lua comments and long "
                  "strings: use `|`",
                  reading_label(value));
    return false;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* The last line with words, from 0: Lua misses what lacks at the end on the line after it. */
static int last_line(const char *text)
{
    int line = 0;
    int last = 0;
    for (; *text; text++) {
        if (*text == '\n')
            line++;
        else if (!strchr(" \t\r", *text))
            last = line;
    }
    return last;
}

/* "FILE:LINE: reason" -> the line of the piece, from 0, and the reason. */
static const char *split_place(const struct piece *piece, const char *text, int *line_of_piece)
{
    const char *file = piece->reading->definition->file;
    size_t length = strlen(file);
    *line_of_piece = 0;
    if (strncmp(text, file, length) != 0 || text[length] != ':')
        return text;
    char *end = NULL;
    long line = strtol(text + length + 1, &end, 10);
    if (end == text + length + 1 || strncmp(end, ": ", 2) != 0)
        return text;
    if (line > piece->source.line)
        *line_of_piece = (int)(line - piece->source.line);
    if (*line_of_piece > last_line(piece->source.text))
        *line_of_piece = last_line(piece->source.text);
    return end + 2;
}

static void report_fault(const struct piece *piece, const struct fault *fault)
{
    int line = 0;
    const char *reason = split_place(piece, fault->text, &line);
    if (strstr(reason, "C stack overflow"))
        add(piece, PROBLEM_ERROR, line,
            "it is nested too deeply for Lua: at most some 200 brackets, operators or blocks "
            "inside each other");
    else if (fault->kind == FAULT_EXHAUSTED)
        addf(piece, PROBLEM_ERROR, line, "it is too large to be compiled: %s", reason);
    else
        add(piece, PROBLEM_ERROR, line, reason);
}

static bool declares_input(const struct definition *definition, const char *name)
{
    for (int i = 0; i < definition->n_inputs; i++) {
        if (definition->inputs[i].name && strcmp(definition->inputs[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool declares_data(const struct definition *definition, const char *name)
{
    for (int i = 0; i < definition->n_data; i++) {
        if (definition->data[i].name && strcmp(definition->data[i].name, name) == 0)
            return true;
    }
    return false;
}

static const char *nearest_input(struct reading *reading, const char *name)
{
    const struct definition *definition = reading->definition;
    struct spelling spelling = {0};
    if (!reading_affords(reading, reading_spelling_steps(definition->n_inputs)))
        return NULL;
    for (int i = 0; i < definition->n_inputs; i++) {
        if (definition->inputs[i].name)
            spelling_consider(&spelling, name, definition->inputs[i].name);
    }
    return spelling.nearest;
}

static const char *nearest_data(struct reading *reading, const char *name)
{
    const struct definition *definition = reading->definition;
    struct spelling spelling = {0};
    if (!reading_affords(reading, reading_spelling_steps(definition->n_data)))
        return NULL;
    for (int i = 0; i < definition->n_data; i++) {
        if (definition->data[i].name)
            spelling_consider(&spelling, name, definition->data[i].name);
    }
    return spelling.nearest;
}

static void warn_undeclared(const struct piece *piece, const struct lua_name *name,
                            const char *nearest)
{
    if (nearest)
        addf(piece, PROBLEM_WARNING, name->line,
             "%s.%s is not declared under `%s`: did you mean %s.%s?", name->owner, name->text,
             name->owner, name->owner, nearest);
    else
        addf(piece, PROBLEM_WARNING, name->line, "%s.%s is not declared under `%s`", name->owner,
             name->text, name->owner);
}

/* expression is NULL for a script: whether it uses a global is not known then, only its words. */
static bool may_use(const struct expression *expression, const char *name)
{
    return !expression || expression_uses(expression, name);
}

static void check_field(const struct piece *piece, const struct expression *expression,
                        const struct lua_name *name)
{
    struct reading *reading = piece->reading;
    const struct definition *definition = reading->definition;
    if (strcmp(name->owner, "input") == 0 && may_use(expression, "input") &&
        !declares_input(definition, name->text))
        warn_undeclared(piece, name, nearest_input(reading, name->text));
    if (strcmp(name->owner, "data") == 0 && !piece->rules->no_data && may_use(expression, "data") &&
        !declares_data(definition, name->text))
        warn_undeclared(piece, name, nearest_data(reading, name->text));
    if (strcmp(name->owner, "lock") == 0 && expression && expression_uses(expression, "lock") &&
        strcmp(name->text, "system") != 0)
        addf(piece, PROBLEM_WARNING, name->line,
             "lock.%s is nil in a %s: only lock.system is known there", name->text,
             piece->rules->what);
}

static bool known(const char *name)
{
    for (const char *const *each = known_names; *each; each++) {
        if (strcmp(*each, name) == 0)
            return true;
    }
    return false;
}

static void check_global(const struct piece *piece, const struct lua_name *name)
{
    const struct definition *definition = piece->reading->definition;
    if (piece->rules->no_data && strcmp(name->text, "data") == 0) {
        addf(piece, PROBLEM_ERROR, name->line,
             "it may not use `data`: it says which rows to load, so none is there yet");
        return;
    }
    for (size_t i = 0; i < sizeof impure_names / sizeof *impure_names; i++) {
        if (strcmp(impure_names[i].name, name->text) == 0) {
            addf(piece, PROBLEM_ERROR, name->line, "`%s` cannot be used in a %s: %s", name->text,
                 piece->rules->what, impure_names[i].words);
            return;
        }
    }
    if (known(name->text))
        return;
    const char *nearest = spelling_nearest(name->text, known_names);
    if (declares_input(definition, name->text))
        addf(piece, PROBLEM_WARNING, name->line,
             "`%s` is not a name that expressions know: did you mean input.%s, or \"%s\" in "
             "quotes?",
             name->text, name->text, name->text);
    else if (declares_data(definition, name->text))
        addf(piece, PROBLEM_WARNING, name->line,
             "`%s` is not a name that expressions know: did you mean data.%s, or \"%s\" in "
             "quotes?",
             name->text, name->text, name->text);
    else if (nearest)
        addf(piece, PROBLEM_WARNING, name->line,
             "`%s` is not a name that expressions know: did you mean `%s`, or \"%s\" in quotes?",
             name->text, nearest, name->text);
    else
        addf(piece, PROBLEM_WARNING, name->line,
             "`%s` is not a name that expressions know: did you mean \"%s\" in quotes?%s",
             name->text, name->text,
             piece->value->style == YAML_TREE_QUOTED ? " (YAML takes the outer ones away)" : "");
}

/* Whether an earlier name settles this one: the same words, told already, or a local that hides a
 * global. Scopes are not followed: a hint too few is better than a wrong one. */
static bool settled(const struct piece *piece, const struct lua_name *name, int n_before)
{
    struct lua_names names = {.at = piece->source.text};
    struct lua_name other;
    const char *global = name->field ? name->owner : name->text;
    for (int i = 0; i < n_before && lua_names_next(&names, &other); i++) {
        if (other.declared && strcmp(other.text, global) == 0)
            return true;
        if (!other.set && other.field == name->field && strcmp(other.text, name->text) == 0 &&
            strcmp(other.owner, name->owner) == 0)
            return true;
    }
    return false;
}

/* A few hints too few do no harm: what is impure is not there when the expression runs. */
static void check_names(const struct piece *piece, const struct expression *expression)
{
    struct reading *reading = piece->reading;
    int n_declared = reading->definition->n_inputs + reading->definition->n_data;
    struct lua_names names = {.at = piece->source.text};
    struct lua_name name;
    for (int i = 0; i < NAMES_LOOKED_AT && lua_names_next(&names, &name); i++) {
        if (name.declared || name.set)
            continue;
        if (!reading_affords(reading, i + 1 + n_declared) || settled(piece, &name, i))
            continue;
        if (name.field)
            check_field(piece, expression, &name);
        else if (expression && expression_uses(expression, name.text))
            check_global(piece, &name);
    }
}

static bool compile_expression(const struct piece *piece, bool *uses_data)
{
    struct reading *reading = piece->reading;
    struct expression *expression = NULL;
    struct fault fault;
    if (!expression_compile(reading->sandbox, reading->definition->file, piece->rules->what,
                            piece->source, &expression, &fault)) {
        report_fault(piece, &fault);
        return false;
    }
    check_names(piece, expression);
    if (uses_data)
        *uses_data = expression_uses(expression, "data");
    expression_free(expression);
    return true;
}

static bool compile_script(const struct piece *piece)
{
    struct reading *reading = piece->reading;
    struct chunk *chunk = NULL;
    struct fault fault;
    if (!chunk_compile(reading->sandbox, reading->definition->file, piece->rules->what,
                       piece->source, &chunk, &fault)) {
        report_fault(piece, &fault);
        return false;
    }
    check_names(piece, /* expression= */ NULL);
    chunk_free(chunk);
    return true;
}

void lua_piece_read(struct reading *reading, const struct yaml_tree *value,
                    enum lua_piece_kind kind, struct lua_source *out, bool *uses_data)
{
    if (!reading_usable(reading, value) || !has_text_kind(reading, value) ||
        !survives_joining(reading, value))
        return;
    bool block = value->style == YAML_TREE_LITERAL || value->style == YAML_TREE_FOLDED;
    struct piece piece = {.reading = reading, .value = value, .rules = &rules_of[kind]};
    piece.source.text = reading_chars(reading, value);
    piece.source.line = value->line + (block ? 1 : 0);
    if (!piece.source.text)
        return;
    if (!piece.rules->statements && is_blank(piece.source.text)) {
        reading_error(reading, value, "%s: an empty text is no Lua expression%s",
                      reading_label(value),
                      kind == LUA_PIECE_LOCK_CONTEXT
                          ? ": for the whole system write lock.system, or leave the key out"
                          : "");
        return;
    }
    if (piece.rules->statements ? compile_script(&piece) : compile_expression(&piece, uses_data))
        *out = piece.source;
}
