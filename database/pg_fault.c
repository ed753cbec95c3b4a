#include "pg_fault.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
    SQLSTATE_LENGTH = 5,
    MESSAGE_BYTES = 2 * FAULT_TEXT_BYTES,
};

/* Severity in the C locale's words, whatever lc_messages says. */
static bool severity_is(const PGresult *result, const char *severity)
{
    const char *said = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (!said) /* a pooler speaks for itself */
        said = PQresultErrorField(result, PG_DIAG_SEVERITY);
    return said && strcmp(said, severity) == 0;
}

/* A pooler says of every end of a connection that the protocol was violated, such as that the
 * server is gone. */
static void mend_sqlstate(const PGresult *result, struct fault *fault)
{
    if (strcmp(fault->sqlstate, "08P01") == 0 && pg_fault_ends_connection(result))
        memcpy(fault->sqlstate, "08006", sizeof fault->sqlstate);
}

void pg_fault_from_result(const PGresult *result, struct fault *fault)
{
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *whole = PQresultErrorMessage(result);
    if (!primary)
        primary = *whole ? whole : "the database refused";
    fault_set(fault, FAULT_DATABASE, "%s%s%s%s%s", primary, detail ? "; " : "",
              detail ? detail : "", hint ? "; " : "", hint ? hint : "");
    snprintf(fault->sqlstate, sizeof fault->sqlstate, "%.5s", sqlstate ? sqlstate : "");
    mend_sqlstate(result, fault);
}

bool pg_fault_ends_connection(const PGresult *result)
{
    return severity_is(result, "FATAL") || severity_is(result, "PANIC");
}

void pg_fault_of_size(int64_t most_bytes, struct fault *fault)
{
    fault_set(fault, FAULT_DATABASE, "the answer of the database is larger than %lld KiB",
              (long long)most_bytes / 1024);
    memcpy(fault->sqlstate, PG_ANSWER_TOO_LARGE, sizeof fault->sqlstate);
}

bool pg_fault_is_made_up(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_FATAL_ERROR &&
           !PQresultErrorField(result, PG_DIAG_SQLSTATE);
}

bool pg_fault_wears(const struct fault *fault)
{
    return strcmp(fault->sqlstate, "0A000") == 0 || strcmp(fault->sqlstate, "26000") == 0;
}

bool pg_fault_is_warning(const PGresult *notice)
{
    return severity_is(notice, "WARNING");
}

/* Where a sqlstate stands in a verbose message: "FATAL:  28P01: password ...". The severity is
 * translated by the server, so only what follows it is looked for. */
static const char *find_sqlstate(const char *line)
{
    for (const char *at = strstr(line, ":  "); at; at = strstr(at + 1, ":  ")) {
        const char *code = at + 3;
        size_t length = 0;
        while (isdigit((unsigned char)code[length]) || isupper((unsigned char)code[length]))
            length++;
        if (length == SQLSTATE_LENGTH && code[length] == ':' && code[length + 1] == ' ')
            return code;
    }
    return NULL;
}

static void add(char *out, size_t *used, const char *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes && *used + 1 < MESSAGE_BYTES; i++) {
        char c = isspace((unsigned char)bytes[i]) ? ' ' : bytes[i];
        if (c != ' ' || (*used > 0 && out[*used - 1] != ' '))
            out[(*used)++] = c;
    }
    out[*used] = '\0';
}

/* One line of words out of libpq's several; a sqlstate is taken out, with where it arose in
 * PostgreSQL's source. With several hosts the last sqlstate stands. */
static void set_from_message(const char *message, const char *otherwise, struct fault *fault)
{
    char words[MESSAGE_BYTES] = "", sqlstate[sizeof fault->sqlstate] = "";
    size_t used = 0;
    while (*message) {
        size_t length = strcspn(message, "\n");
        char line[MESSAGE_BYTES];
        size_t kept = length < sizeof line ? length : sizeof line - 1;
        memcpy(line, message, kept);
        line[kept] = '\0';
        const char *code = find_sqlstate(line);
        if (code) {
            memcpy(sqlstate, code, SQLSTATE_LENGTH);
            add(words, &used, line, (size_t)(code - line));
            code += SQLSTATE_LENGTH + 2;
            add(words, &used, code, strlen(code));
        } else if (strncmp(line, "LOCATION:", strlen("LOCATION:")) != 0) {
            add(words, &used, line, kept);
        }
        add(words, &used, " ", 1);
        message += length + (message[length] == '\n');
    }
    while (used && words[used - 1] == ' ')
        words[--used] = '\0';
    fault_set(fault, FAULT_DATABASE, "%s", used ? words : otherwise);
    memcpy(fault->sqlstate, sqlstate, sizeof sqlstate);
}

void pg_fault_from_broken(const PGconn *pq, struct fault *fault)
{
    set_from_message(PQerrorMessage(pq), "the connection was lost", fault);
    fault->sqlstate[0] = '\0';
}

void pg_fault_from_connecting(const PGconn *pq, struct fault *fault)
{
    set_from_message(PQerrorMessage(pq), "the database cannot be reached", fault);
}

bool pg_fault_is_final(const struct fault *fault)
{
    static const char *const classes[] = {
        "22", /* an option's value */
        "28", /* password, pg_hba.conf, no such role */
        "3D", /* no such database */
        "42", /* no right to connect, no such option */
    };
    if (fault->kind == FAULT_INVALID)
        return true;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(fault->sqlstate, classes[i], 2) == 0)
            return true;
    /* Said by libpq itself, before the server could. */
    return strstr(fault->text, "no password supplied") != NULL;
}
