#include "sql_scan.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes of multi-byte characters are letters. */
static bool begins_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool in_tag(char c)
{
    return begins_word(c) || is_digit(c);
}

/* NULL = it has no end. */
static const char *skip_comment(const char *at)
{
    int depth = 0;
    do {
        if (at[0] == '/' && at[1] == '*') {
            depth++;
            at += 2;
        } else if (at[0] == '*' && at[1] == '/') {
            depth--;
            at += 2;
        } else if (!*at++) {
            return NULL;
        }
    } while (depth > 0);
    return at;
}

static const char *skip_blank(const char *at)
{
    while (at) {
        if (is_space(*at))
            at++;
        else if (at[0] == '-' && at[1] == '-')
            at += strcspn(at, "\r\n");
        else if (at[0] == '/' && at[1] == '*')
            at = skip_comment(at);
        else
            break;
    }
    return at;
}

/* From the opening quote to behind the closing one; a doubled quote stands for itself. */
static const char *skip_quoted(const char *at, bool has_escapes)
{
    char quote = *at++;
    while (*at) {
        if (*at == '\\' && has_escapes && at[1])
            at += 2;
        else if (*at != quote)
            at++;
        else if (at[1] == quote)
            at += 2;
        else
            return at + 1;
    }
    return NULL;
}

/* 'a' 'b' on two lines is one string, and the second part has the escapes of the first. */
static const char *skip_escape_string(const char *at)
{
    while (at && *at == '\'') {
        const char *end = skip_quoted(at, /* has_escapes= */ true);
        const char *next = skip_blank(end);
        if (!next || *next != '\'')
            return end;
        at = next;
    }
    return at;
}

/* $tag$...$tag$; NULL with *is_one false if it is none. */
static const char *skip_dollar(const char *at, bool *is_one)
{
    size_t n = 1;
    if (!is_digit(at[1]))
        while (in_tag(at[n]))
            n++;
    *is_one = at[n++] == '$';
    if (!*is_one)
        return NULL;
    for (const char *end = at + n; (end = strchr(end, '$')); end++)
        if (strncmp(end, at, n) == 0)
            return end + n;
    return NULL;
}

static void finish(struct sql_token *token, enum sql_token_kind kind, const char *end)
{
    token->kind = end ? kind : SQL_UNCLOSED;
    token->end = end ? end : token->begin;
}

static void copy_word(struct sql_token *token, const char *from, size_t n_bytes)
{
    size_t kept = n_bytes < SQL_WORD_BYTES ? n_bytes : SQL_WORD_BYTES - 1;
    for (size_t i = 0; i < kept; i++)
        token->word[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] - 'A' + 'a' : from[i]);
    token->word[kept] = '\0';
}

static void copy_name(struct sql_token *token)
{
    size_t n = 0;
    for (const char *at = token->begin + 1; at < token->end - 1 && n < SQL_WORD_BYTES - 1; at++) {
        token->word[n++] = *at;
        at += *at == '"';
    }
    token->word[n] = '\0';
}

static void scan_word(struct sql_token *token)
{
    const char *at = token->begin;
    size_t n = 1;
    if ((*at == 'e' || *at == 'E') && at[1] == '\'') {
        finish(token, SQL_STRING, skip_escape_string(at + 1));
        return;
    }
    if ((*at == 'u' || *at == 'U') && at[1] == '&' && (at[2] == '"' || at[2] == '\'')) {
        finish(token, at[2] == '"' ? SQL_UNICODE_NAME : SQL_STRING, skip_quoted(at + 2, false));
        return;
    }
    while (in_tag(at[n]) || at[n] == '$')
        n++;
    copy_word(token, at, n);
    finish(token, SQL_WORD, at + n);
}

void sql_scan(const char *at, struct sql_token *token)
{
    bool is_dollar = false;
    const char *begin = skip_blank(at);
    *token = (struct sql_token){.kind = SQL_UNCLOSED, .begin = at, .end = at};
    if (!begin)
        return;
    token->begin = begin;
    token->end = begin;
    const char *dollar = *begin == '$' ? skip_dollar(begin, &is_dollar) : NULL;
    if (!*begin) {
        token->kind = SQL_END;
    } else if (is_dollar) {
        finish(token, SQL_STRING, dollar);
    } else if (begins_word(*begin)) {
        scan_word(token);
    } else if (*begin == '\'') {
        finish(token, SQL_STRING, skip_quoted(begin, false));
    } else if (*begin == '"') {
        finish(token, SQL_NAME, skip_quoted(begin, false));
        if (token->kind == SQL_NAME)
            copy_name(token);
    } else {
        token->mark = *begin;
        finish(token, SQL_OTHER, begin + 1);
    }
}
