/*
 * A look at the tokens of a Lua text, to know which globals it may use. It need not be right about
 * text that does not compile.
 */
#include "source.h"

#include <ctype.h>
#include <string.h>

enum token {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_FIELD_MARK, /* a single '.' or ':': the name that follows is a field, not a global */
    TOKEN_DOTS,       /* ... */
    TOKEN_LABEL,      /* :: */
    TOKEN_LESS,       /* < */
    TOKEN_OTHER,      /* numbers, strings, and all other marks */
};

struct scanner {
    const char *at;
    const char *name; /* of the last TOKEN_NAME */
    size_t name_length;
};

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* At "[", "[=", ...: the length of an opening long bracket, or 0. */
static size_t long_bracket(const char *at)
{
    size_t level = 1;
    while (at[level] == '=')
        level++;
    return at[level] == '[' ? level + 1 : 0;
}

static void skip_long(struct scanner *scanner, size_t opening)
{
    const char *at = scanner->at + opening;
    size_t equals = opening - 2;
    for (; *at; at++) {
        if (*at == ']' && strspn(at + 1, "=") == equals && at[1 + equals] == ']') {
            scanner->at = at + opening;
            return;
        }
    }
    scanner->at = at;
}

static void skip_string(struct scanner *scanner, char quote)
{
    const char *at = scanner->at + 1;
    while (*at && *at != quote && *at != '\n') {
        if (*at == '\\' && at[1] == 'z') {
            at += 2;
            while (isspace((unsigned char)*at))
                at++;
        } else if (*at == '\\' && at[1] == '\r' && at[2] == '\n') {
            at += 3;
        } else if (*at == '\\' && at[1]) {
            at += 2;
        } else {
            at++;
        }
    }
    scanner->at = *at == quote ? at + 1 : at;
}

static void skip_blank(struct scanner *scanner)
{
    for (;;) {
        while (isspace((unsigned char)*scanner->at))
            scanner->at++;
        if (strncmp(scanner->at, "--", 2) != 0)
            return;
        scanner->at += 2;
        size_t opening = *scanner->at == '[' ? long_bracket(scanner->at) : 0;
        if (opening)
            skip_long(scanner, opening);
        else
            scanner->at += strcspn(scanner->at, "\r\n");
    }
}

/* "1..x" does not compile, so dots may be taken along; "3e-x" splits differently, which is as good
 * for us: the sign is a mark of its own. */
static void skip_number(struct scanner *scanner)
{
    while (is_name_byte(*scanner->at) || *scanner->at == '.')
        scanner->at++;
}

static enum token skip_mark(struct scanner *scanner)
{
    char first = *scanner->at++;
    if (first == '<')
        return TOKEN_LESS;
    if (first == ':') {
        if (*scanner->at != ':')
            return TOKEN_FIELD_MARK;
        scanner->at++;
        return TOKEN_LABEL;
    }
    if (first == '.') {
        if (*scanner->at != '.')
            return TOKEN_FIELD_MARK;
        scanner->at++;
        if (*scanner->at != '.')
            return TOKEN_OTHER;
        scanner->at++;
        return TOKEN_DOTS;
    }
    return TOKEN_OTHER;
}

static enum token next(struct scanner *scanner)
{
    skip_blank(scanner);
    const char *at = scanner->at;
    if (!*at)
        return TOKEN_END;
    if (isdigit((unsigned char)*at) || (*at == '.' && isdigit((unsigned char)at[1]))) {
        skip_number(scanner);
        return TOKEN_OTHER;
    }
    if (is_name_byte(*at)) {
        scanner->name = at;
        while (is_name_byte(*scanner->at))
            scanner->at++;
        scanner->name_length = (size_t)(scanner->at - at);
        return TOKEN_NAME;
    }
    if (*at == '"' || *at == '\'') {
        skip_string(scanner, *at);
        return TOKEN_OTHER;
    }
    size_t opening = *at == '[' ? long_bracket(at) : 0;
    if (opening) {
        skip_long(scanner, opening);
        return TOKEN_OTHER;
    }
    return skip_mark(scanner);
}

static bool is_one_of(const struct scanner *scanner, const char *const words[])
{
    for (; *words; words++)
        if (strlen(*words) == scanner->name_length &&
            memcmp(*words, scanner->name, scanner->name_length) == 0)
            return true;
    return false;
}

/* Looks through all names, so their number must be bounded: false when it is reached. */
static bool add_name(struct text *names, const char *name, size_t length)
{
    enum { NAMES_BYTES_MAX = 16384 };
    if (names->length > NAMES_BYTES_MAX)
        return false;
    if (!names->length)
        text_add_char(names, '\n');
    for (const char *at = text_chars(names) + 1; !names->failed && *at;) {
        const char *end = strchr(at, '\n');
        if ((size_t)(end - at) == length && memcmp(at, name, length) == 0)
            return true;
        at = end + 1;
    }
    text_add(names, name, length);
    text_add_char(names, '\n');
    return true;
}

void source_scan(const char *text, struct source_tokens *tokens)
{
    static const char *const starters[] = {"local",  "if",   "for",   "while", "repeat",
                                           "return", "goto", "break", "do",    NULL};
    static const char *const branches[] = {"and", "or", "elseif", "goto", "break", NULL};
    static const char *const env[] = {"_ENV", NULL};
    struct scanner scanner = {.at = text};
    enum token before = TOKEN_END;
    bool env_before = false;
    *tokens = (struct source_tokens){0};
    text_init(&tokens->names, (size_t)1 << 20);
    for (;;) {
        enum token token = next(&scanner);
        if (token == TOKEN_END)
            break;
        tokens->n_bytes = (size_t)(scanner.at - text);
        bool is_env = token == TOKEN_NAME && is_one_of(&scanner, env);
        if (token == TOKEN_DOTS || is_env)
            tokens->sees_all = true;
        if (token == TOKEN_LESS && env_before)
            tokens->binds_constant_env = true;
        if (token == TOKEN_LABEL || (token == TOKEN_NAME && is_one_of(&scanner, branches)))
            tokens->n_branches++;
        if (token == TOKEN_NAME && before == TOKEN_END)
            tokens->is_statement = is_one_of(&scanner, starters);
        if (token == TOKEN_NAME && before != TOKEN_FIELD_MARK &&
            !add_name(&tokens->names, scanner.name, scanner.name_length))
            tokens->sees_all = true;
        env_before = is_env;
        before = token;
    }
    tokens->is_empty = before == TOKEN_END;
}

bool source_names(const struct source_tokens *tokens, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = text_chars(&tokens->names); *at && at[1];) {
        const char *end = strchr(at + 1, '\n');
        if ((size_t)(end - at - 1) == length && memcmp(at + 1, name, length) == 0)
            return true;
        at = end;
    }
    return false;
}
