#include "sql_check.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Skips white space and comments (which nest); NULL at an unclosed comment. */
static const char *skip_blank(const char *at)
{
    for (;;) {
        while (isspace((unsigned char)*at) || *at == '(')
            at++;
        if (at[0] == '-' && at[1] == '-') {
            while (*at && *at != '\n')
                at++;
        } else if (at[0] == '/' && at[1] == '*') {
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
        } else {
            return at;
        }
    }
}

bool sql_check(const char *text, size_t n_bytes, struct fault *fault)
{
    static const char *const kinds[] = {"select", "insert", "update", "delete",
                                        "merge",  "values", "with"};
    if (strlen(text) != n_bytes)
        return fault_set(fault, FAULT_SCRIPT, "the statement holds a zero byte");
    const char *word = skip_blank(text);
    size_t length = 0;
    while (word && (isalpha((unsigned char)word[length]) || word[length] == '_'))
        length++;
    if (length == 0)
        return fault_set(fault, FAULT_SCRIPT, "no statement");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i]) == length && strncasecmp(kinds[i], word, length) == 0)
            return true;
    return fault_set(
        fault, FAULT_SCRIPT,
        "%.*s is not allowed: one SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES or WITH",
        (int)(length < 40 ? length : 40), word);
}
