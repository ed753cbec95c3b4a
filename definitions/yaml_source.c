#include "yaml_source.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct yaml_shift {
    size_t line;   /* from 0 */
    size_t column; /* from 0, in the rewritten text: places behind it moved two to the left */
};

enum {
    SHIFT_CHARACTERS = 2, /* \uD83D\uDE00 is 12 characters, \U0001F600 is 10 */
    SURROGATE_PAIR_BYTES = 12,
};

struct place {
    int line;
    int column;
};

static struct place place_of(const char *bytes, size_t offset)
{
    struct place place = {.line = 1, .column = 1};
    for (size_t i = 0; i < offset; i++) {
        bool crlf = bytes[i] == '\r' && bytes[i + 1] == '\n';
        if (bytes[i] == '\n' || (bytes[i] == '\r' && !crlf)) {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)bytes[i] & 0xC0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

/* Bytes of the character at `at`, 0 if it is not well-formed UTF-8 (RFC 3629). */
static int character(const unsigned char *at, size_t n_left, uint32_t *out)
{
    static const uint32_t least_by_length[] = {0, 0, 0x80, 0x800, 0x10000};
    int length = at[0] < 0x80             ? 1
                 : (at[0] & 0xE0) == 0xC0 ? 2
                 : (at[0] & 0xF0) == 0xE0 ? 3
                 : (at[0] & 0xF8) == 0xF0 ? 4
                                          : 0;
    if (length == 0 || (size_t)length > n_left)
        return 0;
    uint32_t code = length == 1 ? at[0] : at[0] & (0xFFu >> (length + 1));
    for (int i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3F);
    }
    if (code < least_by_length[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    *out = code;
    return length;
}

/* What libyaml reads without complaint. */
static bool printable(uint32_t code)
{
    if (code < 0x20)
        return code == '\t' || code == '\n' || code == '\r';
    if (code >= 0x7F && code < 0xA0)
        return code == 0x85;
    return code != 0xFEFF && code != 0xFFFE && code != 0xFFFF;
}

static bool check_characters(const char *bytes, size_t n_bytes, struct problems *problems)
{
    for (size_t i = 0; i < n_bytes;) {
        uint32_t code = 0;
        int length = character((const unsigned char *)bytes + i, n_bytes - i, &code);
        if (length > 0 && printable(code)) {
            i += (size_t)length;
            continue;
        }
        struct place at = place_of(bytes, i);
        if (length == 0)
            problems_add(problems, PROBLEM_ERROR, at.line, at.column,
                         "this is not UTF-8 (byte %02X): save the file as UTF-8",
                         (unsigned char)bytes[i]);
        else
            problems_add(problems, PROBLEM_ERROR, at.line, at.column,
                         "the character U+%04X may not stand here: write it as an escape in double "
                         "quotes",
                         code);
        return false;
    }
    return true;
}

static bool begins_as_json(const char *bytes, size_t n_bytes)
{
    size_t i = 0;
    while (i < n_bytes && strchr(" \t\r\n", bytes[i]) && bytes[i])
        i++;
    return i < n_bytes && bytes[i] == '{';
}

/* The value of `\uXXXX` at `at`, or -1. */
static int32_t escape_value(const char *at)
{
    if (at[0] != '\\' || at[1] != 'u')
        return -1;
    int32_t value = 0;
    for (int i = 2; i < 6; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = at[i] ? strchr(digits, at[i]) : NULL;
        if (!digit)
            return -1;
        value = value << 4 | (int32_t)((digit - digits) & 15);
    }
    return value;
}

/* The character that a pair of escapes at `at` stands for, or 0. */
static uint32_t pair_value(const char *at, size_t n_left)
{
    if (n_left < SURROGATE_PAIR_BYTES)
        return 0;
    int32_t high = escape_value(at);
    int32_t low = escape_value(at + SURROGATE_PAIR_BYTES / 2);
    if (high < 0xD800 || high > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
        return 0;
    return 0x10000u + (((uint32_t)high - 0xD800u) << 10) + ((uint32_t)low - 0xDC00u);
}

enum lexical {
    OUTSIDE,
    IN_DOUBLE_QUOTES,
    IN_SINGLE_QUOTES, /* not JSON; YAML in braces may have them, and comments */
    IN_COMMENT,
};

/* Copies JSON (or YAML in braces) into a text of at most the same length. */
struct rewriting {
    const char *from;
    size_t n_from;
    size_t at; /* in from */
    char *to;
    size_t n_to;
    enum lexical state;
    char before; /* the last character outside that is no blank: tells where a quote opens */
    size_t line;
    size_t column; /* of the end of `to` */
    struct yaml_shift *shifts;
    int n_shifts;
    int capacity;
};

static void copy_byte(struct rewriting *r)
{
    char c = r->from[r->at++];
    r->to[r->n_to++] = c;
    bool crlf = c == '\r' && r->at < r->n_from && r->from[r->at] == '\n';
    if (c == '\n' || (c == '\r' && !crlf)) {
        r->line++;
        r->column = 0;
    } else if (((unsigned char)c & 0xC0) != 0x80) {
        r->column++;
    }
}

static bool rewrite_pair(struct rewriting *r, uint32_t code)
{
    if (r->n_shifts == r->capacity) {
        int capacity = r->capacity ? r->capacity * 2 : 16;
        struct yaml_shift *grown = realloc(r->shifts, (size_t)capacity * sizeof *r->shifts);
        if (!grown)
            return false;
        r->shifts = grown;
        r->capacity = capacity;
    }
    static const char digits[] = "0123456789ABCDEF";
    r->to[r->n_to++] = '\\';
    r->to[r->n_to++] = 'U';
    for (int bits = 28; bits >= 0; bits -= 4)
        r->to[r->n_to++] = digits[code >> bits & 15];
    r->at += SURROGATE_PAIR_BYTES;
    r->column += SURROGATE_PAIR_BYTES - SHIFT_CHARACTERS;
    r->shifts[r->n_shifts++] = (struct yaml_shift){.line = r->line, .column = r->column};
    return true;
}

static bool step_in_double_quotes(struct rewriting *r)
{
    char c = r->from[r->at];
    uint32_t code = c == '\\' ? pair_value(r->from + r->at, r->n_from - r->at) : 0;
    if (code)
        return rewrite_pair(r, code);
    if (c == '"')
        r->state = OUTSIDE;
    if (c == '\\' && r->at + 1 < r->n_from)
        copy_byte(r);
    copy_byte(r);
    return true;
}

static void step_outside(struct rewriting *r)
{
    char c = r->from[r->at];
    bool value_begins = r->before && strchr("{[,:", r->before);
    bool after_blank = r->at > 0 && strchr(" \t\r\n", r->from[r->at - 1]);
    if (c == '"' && value_begins)
        r->state = IN_DOUBLE_QUOTES;
    else if (c == '\'' && value_begins)
        r->state = IN_SINGLE_QUOTES;
    else if (c == '#' && after_blank)
        r->state = IN_COMMENT;
    if (!strchr(" \t\r\n", c) && r->state != IN_COMMENT)
        r->before = c;
    copy_byte(r);
}

static bool rewrite(struct rewriting *r)
{
    while (r->at < r->n_from) {
        char c = r->from[r->at];
        switch (r->state) {
        case OUTSIDE: step_outside(r); break;
        case IN_DOUBLE_QUOTES:
            if (!step_in_double_quotes(r))
                return false;
            break;
        case IN_SINGLE_QUOTES:
            if (c == '\'')
                r->state = OUTSIDE;
            copy_byte(r);
            break;
        case IN_COMMENT:
            if (c == '\n' || c == '\r')
                r->state = OUTSIDE;
            copy_byte(r);
            break;
        }
    }
    return true;
}

static bool rewrite_json(struct yaml_source *source)
{
    struct rewriting r = {.from = source->bytes, .n_from = source->n_bytes};
    r.to = malloc(source->n_bytes + 1);
    bool ok = r.to && rewrite(&r);
    source->rewritten = r.to;
    source->shifts = r.shifts;
    source->n_shifts = r.n_shifts;
    source->bytes = r.to;
    source->n_bytes = r.n_to;
    return ok;
}

bool yaml_source_init(struct yaml_source *source, const char *bytes, size_t n_bytes,
                      size_t limit_bytes, struct problems *problems)
{
    *source = (struct yaml_source){.bytes = bytes, .n_bytes = n_bytes};
    if (n_bytes > limit_bytes) {
        problems_add(problems, PROBLEM_ERROR, 1, 1,
                     "the file has %zu bytes, a definition may have %zu", n_bytes, limit_bytes);
        return false;
    }
    if (n_bytes >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) {
        source->bytes += 3;
        source->n_bytes -= 3;
    }
    if (!check_characters(source->bytes, source->n_bytes, problems))
        return false;
    if (begins_as_json(source->bytes, source->n_bytes) && !rewrite_json(source)) {
        problems_no_memory(problems);
        return false;
    }
    return true;
}

void yaml_source_done(struct yaml_source *source)
{
    free(source->rewritten);
    free(source->shifts);
    *source = (struct yaml_source){0};
}

/* How many shifts stand at or before a place. They are in order of place. */
static int shifts_up_to(const struct yaml_source *source, size_t line, size_t column)
{
    int first = 0;
    int beyond = source->n_shifts;
    while (first < beyond) {
        int middle = first + (beyond - first) / 2;
        const struct yaml_shift *shift = &source->shifts[middle];
        if (shift->line < line || (shift->line == line && shift->column <= column))
            first = middle + 1;
        else
            beyond = middle;
    }
    return first;
}

int yaml_source_column(const struct yaml_source *source, size_t line, size_t column)
{
    int before_line = line > 0 ? shifts_up_to(source, line - 1, SIZE_MAX) : 0;
    int on_line = shifts_up_to(source, line, column) - before_line;
    return (int)column + on_line * SHIFT_CHARACTERS + 1;
}
