#include "pattern.h"

#include "run.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

enum {
    STEPS_PER_UNIT = 4,   /* a step of matching is cheaper than an instruction of Lua */
    STEPS_BETWEEN = 4096, /* two charges */
};

/* One item of a pattern: a single-character class and where it ends. */
struct item {
    const char *start;
    const char *end;
};

void pattern_init(struct pattern *pattern, lua_State *L, const char *subject, size_t subject_length,
                  size_t pattern_length, const char *text)
{
    pattern->L = L;
    pattern->subject = subject;
    pattern->subject_end = subject + subject_length;
    pattern->pattern_end = text + pattern_length;
    pattern->depth = 0;
    pattern->steps = 0;
    pattern->n_captures = 0;
}

void pattern_charge(struct pattern *pattern)
{
    int64_t steps = pattern->steps;
    pattern->steps = 0;
    run_charge(pattern->L, steps / STEPS_PER_UNIT + 1);
}

static inline void count(struct pattern *pattern, int64_t steps)
{
    pattern->steps += steps;
    if (pattern->steps >= STEPS_BETWEEN)
        pattern_charge(pattern);
}

/* The item that begins at text, which is not at the end of the pattern. */
static struct item read_item(struct pattern *pattern, const char *text)
{
    struct item item = {.start = text};
    char first = *text++;
    if (first == '%') {
        if (text == pattern->pattern_end)
            luaL_error(pattern->L, "malformed pattern (ends with '%%')");
        item.end = text + 1;
        return item;
    }
    if (first != '[') {
        item.end = text;
        return item;
    }
    if (text < pattern->pattern_end && *text == '^')
        text++;
    /* A ']' that comes first stands for itself. */
    bool is_first = true;
    while (text < pattern->pattern_end && (*text != ']' || is_first)) {
        is_first = false;
        if (*text == '%')
            text++; /* the character after it belongs to it */
        text++;
    }
    if (text >= pattern->pattern_end)
        luaL_error(pattern->L, "malformed pattern (missing ']')");
    count(pattern, (text - item.start) / 8);
    item.end = text + 1;
    return item;
}

static bool in_class(unsigned char c, char class)
{
    bool result;
    switch (tolower((unsigned char)class)) {
    case 'a': result = isalpha(c); break;
    case 'c': result = iscntrl(c); break;
    case 'd': result = isdigit(c); break;
    case 'g': result = isgraph(c); break;
    case 'l': result = islower(c); break;
    case 'p': result = ispunct(c); break;
    case 's': result = isspace(c); break;
    case 'u': result = isupper(c); break;
    case 'w': result = isalnum(c); break;
    case 'x': result = isxdigit(c); break;
    case 'z': result = c == 0; break; /* old, still understood */
    default: return (unsigned char)class == c;
    }
    return isupper((unsigned char)class) ? !result : result;
}

/* set is "[...]" whole. */
static bool in_set(struct pattern *pattern, unsigned char c, struct item set)
{
    const char *at = set.start + 1;
    const char *closing = set.end - 1;
    bool is_negated = *at == '^';
    if (is_negated)
        at++;
    count(pattern, (closing - at) / 4);
    while (at < closing) {
        if (*at == '%') {
            if (in_class(c, at[1]))
                return !is_negated;
            at += 2;
        } else if (at[1] == '-' && at + 2 < closing) {
            if ((unsigned char)at[0] <= c && c <= (unsigned char)at[2])
                return !is_negated;
            at += 3;
        } else {
            if ((unsigned char)*at == c)
                return !is_negated;
            at++;
        }
    }
    return is_negated;
}

static bool item_holds(struct pattern *pattern, const char *at, struct item item)
{
    count(pattern, 1);
    if (at >= pattern->subject_end)
        return false;
    unsigned char c = (unsigned char)*at;
    switch (*item.start) {
    case '.': return true;
    case '%': return in_class(c, item.start[1]);
    case '[': return in_set(pattern, c, item);
    default: return (unsigned char)*item.start == c;
    }
}

/* item*: as many as there are, then fewer. */
static const char *match_greedy(struct pattern *pattern, const char *at, struct item item,
                                const char *rest)
{
    ptrdiff_t n = 0;
    while (item_holds(pattern, at + n, item))
        n++;
    for (; n >= 0; n--) {
        const char *end = pattern_match(pattern, at + n, rest);
        if (end)
            return end;
    }
    return NULL;
}

/* item-: as few as possible. */
static const char *match_lazy(struct pattern *pattern, const char *at, struct item item,
                              const char *rest)
{
    for (;; at++) {
        const char *end = pattern_match(pattern, at, rest);
        if (end)
            return end;
        if (!item_holds(pattern, at, item))
            return NULL;
    }
}

static const char *match_open(struct pattern *pattern, const char *at, const char *rest,
                              ptrdiff_t kind)
{
    if (pattern->n_captures >= PATTERN_CAPTURES_MAX)
        luaL_error(pattern->L, "too many captures");
    pattern->captures[pattern->n_captures++] = (struct pattern_capture){at, kind};
    const char *end = pattern_match(pattern, at, rest);
    if (!end)
        pattern->n_captures--;
    return end;
}

static const char *match_close(struct pattern *pattern, const char *at, const char *rest)
{
    int i = pattern->n_captures - 1;
    while (i >= 0 && pattern->captures[i].length != PATTERN_CAPTURE_OPEN)
        i--;
    if (i < 0)
        luaL_error(pattern->L, "invalid pattern capture");
    pattern->captures[i].length = at - pattern->captures[i].start;
    const char *end = pattern_match(pattern, at, rest);
    if (!end)
        pattern->captures[i].length = PATTERN_CAPTURE_OPEN;
    return end;
}

/* %bxy; text stands after the 'b'. Returns the end of the balanced part. */
static const char *match_balanced(struct pattern *pattern, const char *at, const char *text)
{
    if (text + 1 >= pattern->pattern_end)
        luaL_error(pattern->L, "malformed pattern (missing arguments to '%%b')");
    if (at >= pattern->subject_end || *at != text[0])
        return NULL;
    size_t open = 1;
    while (++at < pattern->subject_end) {
        count(pattern, 1);
        if (*at == text[1]) {
            if (--open == 0)
                return at + 1;
        } else if (*at == text[0]) {
            open++;
        }
    }
    return NULL;
}

/* %f[set]; *text stands after the 'f' and is moved behind the set. */
static bool match_frontier(struct pattern *pattern, const char *at, const char **text)
{
    if (*text >= pattern->pattern_end || **text != '[')
        luaL_error(pattern->L, "missing '[' after '%%f' in pattern");
    struct item set = read_item(pattern, *text);
    *text = set.end;
    unsigned char before = at == pattern->subject ? 0 : (unsigned char)at[-1];
    unsigned char after = at < pattern->subject_end ? (unsigned char)*at : 0;
    return !in_set(pattern, before, set) && in_set(pattern, after, set);
}

/* %1 to %9. Returns the end of the repeated part. */
static const char *match_again(struct pattern *pattern, const char *at, char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= pattern->n_captures || pattern->captures[i].length == PATTERN_CAPTURE_OPEN)
        luaL_error(pattern->L, "invalid capture index %%%d", i + 1);
    /* A position capture has no text: it can be found nowhere. */
    size_t length = (size_t)pattern->captures[i].length;
    if ((size_t)(pattern->subject_end - at) < length)
        return NULL;
    count(pattern, (int64_t)(length / 16));
    return memcmp(pattern->captures[i].start, at, length) == 0 ? at + length : NULL;
}

/* %b, %f and %1, when one stands at *text: moves *text behind it, and *at behind what it matches,
 * or to NULL. False if another item stands there. */
static bool match_special(struct pattern *pattern, const char **at, const char **text)
{
    if (**text != '%' || *text + 1 >= pattern->pattern_end)
        return false;
    char kind = (*text)[1];
    if (kind == 'b') {
        *at = match_balanced(pattern, *at, *text + 2);
        *text += 4;
    } else if (kind == 'f') {
        *text += 2;
        if (!match_frontier(pattern, *at, text))
            *at = NULL;
    } else if (isdigit((unsigned char)kind)) {
        *at = match_again(pattern, *at, kind);
        *text += 2;
    } else {
        return false;
    }
    return true;
}

/* What has no alternative goes on in the loop; the rest recurses, for the way back. */
static const char *match_here(struct pattern *pattern, const char *at, const char *text)
{
    while (at && text != pattern->pattern_end) {
        count(pattern, 1);
        if (*text == '(') {
            bool is_position = text + 1 < pattern->pattern_end && text[1] == ')';
            return match_open(pattern, at, text + (is_position ? 2 : 1),
                              is_position ? PATTERN_CAPTURE_POSITION : PATTERN_CAPTURE_OPEN);
        }
        if (*text == ')')
            return match_close(pattern, at, text + 1);
        if (*text == '$' && text + 1 == pattern->pattern_end)
            return at == pattern->subject_end ? at : NULL;
        if (match_special(pattern, &at, &text))
            continue;

        struct item item = read_item(pattern, text);
        char suffix = item.end < pattern->pattern_end ? *item.end : '\0';
        const char *rest = item.end + 1;
        if (!item_holds(pattern, at, item)) {
            if (suffix != '*' && suffix != '?' && suffix != '-')
                return NULL;
            text = rest;
        } else if (suffix == '*') {
            return match_greedy(pattern, at, item, rest);
        } else if (suffix == '+') {
            return match_greedy(pattern, at + 1, item, rest);
        } else if (suffix == '-') {
            return match_lazy(pattern, at, item, rest);
        } else if (suffix == '?') {
            const char *end = pattern_match(pattern, at + 1, rest);
            if (end)
                return end;
            text = rest;
        } else {
            at++;
            text = item.end;
        }
    }
    return at;
}

const char *pattern_match(struct pattern *pattern, const char *at, const char *text)
{
    if (pattern->depth == PATTERN_DEPTH_MAX)
        luaL_error(pattern->L, "pattern too complex");
    pattern->depth++;
    const char *end = match_here(pattern, at, text);
    pattern->depth--;
    return end;
}

void pattern_push_capture(struct pattern *pattern, int i, const char *start, const char *end)
{
    if (i >= pattern->n_captures) {
        if (i != 0)
            luaL_error(pattern->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(pattern->L, start, (size_t)(end - start));
        return;
    }
    const struct pattern_capture *capture = &pattern->captures[i];
    if (capture->length == PATTERN_CAPTURE_OPEN)
        luaL_error(pattern->L, "unfinished capture");
    if (capture->length == PATTERN_CAPTURE_POSITION)
        lua_pushinteger(pattern->L, capture->start - pattern->subject + 1);
    else
        lua_pushlstring(pattern->L, capture->start, (size_t)capture->length);
}

int pattern_push_captures(struct pattern *pattern, const char *start, const char *end, bool whole)
{
    int n = pattern->n_captures == 0 && whole ? 1 : pattern->n_captures;
    luaL_checkstack(pattern->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        pattern_push_capture(pattern, i, start, end);
    return n;
}
