#include "lock_context_source.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 256, /* Lua itself stops at 200 */
    MARK_BYTES = 40, /* "_lock_item(NUMBER,(" */
    FIRST_MARKS = 16,
};

enum token {
    TOKEN_END,
    TOKEN_NAME, /* keywords too */
    TOKEN_MARK, /* one byte of punctuation, or "==", "~=", "<=", ">=" */
    TOKEN_OTHER,
};

/* What is open around a token. An item ends only at the level of its constructor. */
enum level_kind {
    LEVEL_TABLE,   /* { } */
    LEVEL_BRACKET, /* ( ) and [ ] */
    LEVEL_BLOCK,   /* function, if, do ... end and repeat ... until */
};

struct level {
    enum level_kind kind;
    int n_items;
    int open_mark; /* of the item that is open; -1 while there is none */
    bool at_field; /* the next token begins a field */
};

/* What is put in at a place of the text. They are made in the order of their places. */
struct mark {
    size_t at;
    char text[MARK_BYTES];
};

struct rewrite {
    const char *text;
    const char *begin; /* the token */
    const char *end;
    const char *end_before; /* of the token before it */
    struct level levels[DEPTH_MAX];
    int depth;
    struct mark *marks;
    int n_marks;
    int marks_capacity;
};

int lock_context_source_item(lua_State *L)
{
    int n = lua_gettop(L);
    int first = (int)lua_tointeger(L, 1);
    if (n < 2)
        return luaL_error(L, "item %d of the list is nil", first);
    for (int i = 2; i <= n; i++)
        if (lua_isnil(L, i))
            return luaL_error(L, "item %d of the list is nil", first + i - 2);
    return n - 1;
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The length of a long bracket "[==[" that opens here, 0 if none does. */
static size_t long_bracket(const char *at)
{
    size_t n_equals = *at == '[' ? strspn(at + 1, "=") : 0;
    return *at == '[' && at[1 + n_equals] == '[' ? n_equals + 2 : 0;
}

static const char *skip_long(const char *at, size_t n_opening)
{
    for (at += n_opening; *at; at++)
        if (*at == ']' && strspn(at + 1, "=") == n_opening - 2 && at[n_opening - 1] == ']')
            return at + n_opening;
    return at;
}

static const char *skip_quoted(const char *at)
{
    char quote = *at++;
    while (*at && *at != quote)
        at += *at == '\\' && at[1] ? 2 : 1;
    return *at ? at + 1 : at;
}

static const char *skip_blank(const char *at)
{
    for (;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (at[0] != '-' || at[1] != '-')
            return at;
        at += 2;
        size_t n_opening = long_bracket(at);
        at = n_opening ? skip_long(at, n_opening) : at + strcspn(at, "\r\n");
    }
}

static enum token next(struct rewrite *rewrite)
{
    rewrite->end_before = rewrite->end;
    const char *at = skip_blank(rewrite->end);
    rewrite->begin = at;
    enum token token = TOKEN_OTHER;
    size_t n_opening = long_bracket(at);
    if (!*at) {
        token = TOKEN_END;
    } else if (n_opening) {
        at = skip_long(at, n_opening);
    } else if (*at == '"' || *at == '\'') {
        at = skip_quoted(at);
    } else if (is_name_byte(*at)) {
        /* A number's sign, point or exponent makes tokens of its own, which separate nothing. */
        token = isdigit((unsigned char)*at) ? TOKEN_OTHER : TOKEN_NAME;
        while (is_name_byte(*at))
            at++;
    } else {
        token = TOKEN_MARK;
        at += strchr("=~<>", *at) && at[1] == '=' ? 2 : 1;
    }
    rewrite->end = at;
    return token;
}

static bool is_word(const struct rewrite *rewrite, const char *word)
{
    size_t n_bytes = (size_t)(rewrite->end - rewrite->begin);
    return strlen(word) == n_bytes && memcmp(rewrite->begin, word, n_bytes) == 0;
}

static bool add_mark(struct rewrite *rewrite, const char *at, const char *text, struct fault *fault)
{
    if (rewrite->n_marks == rewrite->marks_capacity) {
        int capacity = rewrite->marks_capacity ? rewrite->marks_capacity * 2 : FIRST_MARKS;
        struct mark *grown = realloc(rewrite->marks, (size_t)capacity * sizeof *grown);
        if (!grown)
            return fault_no_memory(fault);
        rewrite->marks = grown;
        rewrite->marks_capacity = capacity;
    }
    struct mark *mark = &rewrite->marks[rewrite->n_marks++];
    mark->at = (size_t)(at - rewrite->text);
    snprintf(mark->text, sizeof mark->text, "%s", text);
    return true;
}

static bool push(struct rewrite *rewrite, enum level_kind kind, struct fault *fault)
{
    if (rewrite->depth == DEPTH_MAX)
        return fault_set(fault, FAULT_INVALID, "nested too deep");
    rewrite->levels[rewrite->depth++] =
        (struct level){.kind = kind, .open_mark = -1, .at_field = kind == LEVEL_TABLE};
    return true;
}

static void pop(struct rewrite *rewrite, enum level_kind kind)
{
    if (rewrite->depth > 0 && rewrite->levels[rewrite->depth - 1].kind == kind)
        rewrite->depth--;
}

static struct level *top_table(struct rewrite *rewrite)
{
    struct level *top = rewrite->depth > 0 ? &rewrite->levels[rewrite->depth - 1] : NULL;
    return top && top->kind == LEVEL_TABLE ? top : NULL;
}

/* At the first token of a field: "[key] = value" and "name = value" are no items. */
static bool is_item(const struct rewrite *rewrite, enum token token)
{
    if (token == TOKEN_MARK)
        return *rewrite->begin != '[';
    const char *after = skip_blank(rewrite->end);
    return token != TOKEN_NAME || after[0] != '=' || after[1] == '=';
}

static bool open_item(struct rewrite *rewrite, struct level *table, struct fault *fault)
{
    table->open_mark = rewrite->n_marks;
    table->n_items++;
    return add_mark(rewrite, rewrite->begin, "", fault);
}

/* At the token after a field; only now it is known whether the item is the last. */
static bool close_item(struct rewrite *rewrite, struct level *table, struct fault *fault)
{
    if (table->open_mark < 0)
        return true;
    bool is_last = *rewrite->begin == '}' || *skip_blank(rewrite->end) == '}';
    struct mark *open = &rewrite->marks[table->open_mark];
    snprintf(open->text, sizeof open->text, LOCK_CONTEXT_SOURCE_ITEM "(%d,%s", table->n_items,
             is_last ? "" : "(");
    table->open_mark = -1;
    return add_mark(rewrite, rewrite->end_before, is_last ? ")" : "))", fault);
}

static bool take_mark(struct rewrite *rewrite, struct fault *fault)
{
    struct level *table = top_table(rewrite);
    switch (*rewrite->begin) {
    case '{': return push(rewrite, LEVEL_TABLE, fault);
    case '(':
    case '[': return push(rewrite, LEVEL_BRACKET, fault);
    case ')':
    case ']': pop(rewrite, LEVEL_BRACKET); return true;
    case '}':
        if (table && !close_item(rewrite, table, fault))
            return false;
        pop(rewrite, LEVEL_TABLE);
        return true;
    case ',':
    case ';':
        if (table && !close_item(rewrite, table, fault))
            return false;
        if (table)
            table->at_field = true;
        return true;
    default: return true;
    }
}

/* "for" and "while" are closed by the "end" of their "do". */
static bool take_word(struct rewrite *rewrite, struct fault *fault)
{
    if (is_word(rewrite, "function") || is_word(rewrite, "if") || is_word(rewrite, "do") ||
        is_word(rewrite, "repeat"))
        return push(rewrite, LEVEL_BLOCK, fault);
    if (is_word(rewrite, "end") || is_word(rewrite, "until"))
        pop(rewrite, LEVEL_BLOCK);
    return true;
}

static bool place_marks(struct rewrite *rewrite, struct fault *fault)
{
    enum token token;
    while ((token = next(rewrite)) != TOKEN_END) {
        struct level *table = top_table(rewrite);
        if (table && table->at_field && *rewrite->begin != '}') {
            table->at_field = false;
            if (is_item(rewrite, token) && !open_item(rewrite, table, fault))
                return false;
        }
        if (token == TOKEN_MARK && !take_mark(rewrite, fault))
            return false;
        if (token == TOKEN_NAME && !take_word(rewrite, fault))
            return false;
    }
    return true;
}

bool lock_context_source_add(const char *text, struct text *out, struct fault *fault)
{
    struct rewrite rewrite = {.text = text, .begin = text, .end = text, .end_before = text};
    bool ok = place_marks(&rewrite, fault);
    size_t at = 0;
    for (int i = 0; ok && i < rewrite.n_marks; i++) {
        text_add(out, text + at, rewrite.marks[i].at - at);
        text_add_chars(out, rewrite.marks[i].text);
        at = rewrite.marks[i].at;
    }
    if (ok)
        text_add_chars(out, text + at);
    free(rewrite.marks);
    return ok && text_ok(out, fault);
}
