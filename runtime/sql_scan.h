/*
 * Internal to sql_check: the words of an SQL text as PostgreSQL's own scanner would see them, given
 * standard_conforming_strings. Comments, strings and dollar quotes are passed over.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum {
    SQL_WORD_BYTES = 64, /* longer ones are cut, as PostgreSQL does, at 63 bytes */
};

enum sql_token_kind {
    SQL_END,
    SQL_WORD,   /* unquoted, in lower case */
    SQL_NAME,   /* quoted */
    SQL_STRING, /* of any kind */
    SQL_OTHER,  /* a single character: `mark` */
    SQL_UNICODE_NAME /* U&"..." */,
    SQL_UNCLOSED, /* a comment, string or name without an end */
};

struct sql_token {
    enum sql_token_kind kind;
    char mark;
    char word[SQL_WORD_BYTES]; /* of a word or name */
    const char *begin, *end;   /* in the text */
};

/* Reads the token that begins at `at` or after white space and comments. */
void sql_scan(const char *at, struct sql_token *token);
