#include "lua_names.h"

#include <ctype.h>
#include <string.h>

static bool begins_name(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

static bool continues_name(char c)
{
    return begins_name(c) || isdigit((unsigned char)c);
}

static void step(struct lua_names *names)
{
    if (*names->at == '\n')
        names->line++;
    names->at++;
}

/* The number of `=` of a long bracket `[==[` at `at`, -1 if there is none. */
static int bracket_level(const char *at)
{
    if (*at != '[')
        return -1;
    int level = (int)strspn(at + 1, "=");
    return at[1 + level] == '[' ? level : -1;
}

static void skip_long_bracket(struct lua_names *names, int level)
{
    names->at += level + 2;
    while (*names->at) {
        if (*names->at == ']' && (int)strspn(names->at + 1, "=") == level &&
            names->at[1 + level] == ']') {
            names->at += level + 2;
            return;
        }
        step(names);
    }
}

static void skip_string(struct lua_names *names)
{
    char quote = *names->at;
    step(names);
    while (*names->at && *names->at != quote && *names->at != '\n') {
        if (*names->at == '\\' && names->at[1])
            step(names);
        step(names);
    }
    if (*names->at)
        step(names);
}

static void skip_comment(struct lua_names *names)
{
    int level = bracket_level(names->at + 2);
    names->at += 2;
    if (level >= 0) {
        skip_long_bracket(names, level);
        return;
    }
    while (*names->at && *names->at != '\n')
        names->at++;
}

/* Numbers are passed whole: 0x1F and 1e3 hold letters. */
static void skip_number(struct lua_names *names)
{
    while (continues_name(*names->at) || (*names->at == '.' && names->at[1] != '.'))
        names->at++;
}

static void pass_value(struct lua_names *names)
{
    memset(names->before, 0, sizeof names->before);
    names->after_dot = false;
}

bool lua_names_is_keyword(const char *text)
{
    static const char *const keywords[] = {
        "and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
        "function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
        "repeat",   "return", "then", "true", "until",  "while", NULL};
    for (const char *const *keyword = keywords; *keyword; keyword++) {
        if (strcmp(*keyword, text) == 0)
            return true;
    }
    return false;
}

static void pass_keyword(struct lua_names *names, const char *keyword)
{
    if (strcmp(keyword, "function") == 0)
        names->state = LUA_NAMES_FUNCTION;
    else if (strcmp(keyword, "local") == 0 || strcmp(keyword, "for") == 0 ||
             strcmp(keyword, "goto") == 0)
        names->state = LUA_NAMES_DECLARE;
    else
        names->state = LUA_NAMES_USE;
    memset(names->before, 0, sizeof names->before);
    names->after_dot = false;
}

/* Whether names are declared goes on over commas and attributes, in `local a <const>, b`. */
static void pass_mark(struct lua_names *names)
{
    char c = names->at[0];
    char next = names->at[1];
    bool twice = next == c && (c == '.' || c == ':');
    names->after_dot = !twice && (c == '.' || c == ':');
    if (!names->after_dot)
        memset(names->before, 0, sizeof names->before);
    if (c == ':' && twice)
        names->state = LUA_NAMES_DECLARE;
    else if (names->state == LUA_NAMES_FUNCTION ? c == ')' : !strchr(",<>", c))
        names->state = LUA_NAMES_USE;
    names->at += twice ? 2 : 1;
}

static bool sets(const char *after_name)
{
    after_name += strspn(after_name, " \t\r\n");
    return after_name[0] == '=' && after_name[1] != '=';
}

/* False for what is passed over. */
static bool take_name(struct lua_names *names, struct lua_name *out)
{
    const char *start = names->at;
    while (continues_name(*names->at))
        names->at++;
    size_t length = (size_t)(names->at - start);
    *out = (struct lua_name){.field = names->after_dot, .line = names->line};
    if (length < LUA_NAME_BYTES)
        memcpy(out->text, start, length);
    if (lua_names_is_keyword(out->text)) {
        pass_keyword(names, out->text);
        return false;
    }
    if (names->state == LUA_NAMES_DECLARE && names->before[0])
        names->state = LUA_NAMES_USE; /* `local a` has ended without a mark */
    out->declared = names->state != LUA_NAMES_USE;
    out->set = sets(names->at);
    memcpy(out->owner, names->before, sizeof out->owner);
    memset(names->before, 0, sizeof names->before);
    if (!out->field)
        memcpy(names->before, out->text, sizeof out->text);
    names->after_dot = false;
    if (names->state == LUA_NAMES_DECLARE && *names->at && out->set)
        names->state = LUA_NAMES_USE;
    return length < LUA_NAME_BYTES;
}

bool lua_names_next(struct lua_names *names, struct lua_name *out)
{
    while (*names->at) {
        char c = *names->at;
        if (begins_name(c)) {
            if (take_name(names, out))
                return true;
        } else if (isspace((unsigned char)c)) {
            step(names);
        } else if (c == '-' && names->at[1] == '-') {
            skip_comment(names);
        } else if (c == '"' || c == '\'') {
            skip_string(names);
            pass_value(names);
        } else if (bracket_level(names->at) >= 0) {
            skip_long_bracket(names, bracket_level(names->at));
            pass_value(names);
        } else if (isdigit((unsigned char)c)) {
            skip_number(names);
            pass_value(names);
        } else {
            pass_mark(names);
        }
    }
    return false;
}
