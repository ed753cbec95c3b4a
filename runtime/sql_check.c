#include "sql_check.h"

#include "sql_scan.h"

#include <stdint.h>
#include <string.h>

static const char *const kinds[] = {"select", "insert", "update", "delete",
                                    "merge",  "values", "with",   NULL};

/* A name that ends in '*' stands for all that begin so. */
static const char *const functions[] = {
    /* the session: settings, and locks outside the lock paths */
    "set_config",
    "pg_advisory_*",
    "pg_try_advisory_*",
    "setval", /* of any sequence, latchkey's too, and no rollback takes it back */
    /* other sessions, the server */
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_promote",
    "pg_switch_wal",
    "pg_start_backup",
    "pg_stop_backup",
    "pg_backup_*",
    "pg_wal_replay_*",
    "pg_create_restore_point",
    "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_copy_logical_replication_slot",
    "pg_drop_replication_slot",
    "pg_replication_*",
    "pg_logical_*",
    "pg_log_*",
    "pg_stat_reset*",
    "dblink*",
    /* its files */
    "pg_read_*",
    "pg_ls_*",
    "pg_stat_file",
    "pg_file_*",
    "pg_logdir_ls",
    "lo_import",
    "lo_export",
    /* a text becomes SQL */
    "query_to_xml*",
    "cursor_to_xml*",
    "crosstab*",
    "connectby",
    "xpath_table",
    "ts_stat",
    "ts_rewrite",
    NULL,
};

static bool is_listed(const char *const *list, const char *word)
{
    for (; *list; list++) {
        size_t n = strcspn(*list, "*");
        if ((*list)[n] == '*' ? strncmp(word, *list, n) == 0 : strcmp(word, *list) == 0)
            return true;
    }
    return false;
}

static bool is_word(const struct sql_token *token, const char *word)
{
    return token->kind == SQL_WORD && strcmp(token->word, word) == 0;
}

/* Where in the statement a token stands. INTO after a SELECT of the same parentheses makes a table,
 * whatever is between them: `SELECT 1 AS insert INTO x` is no INSERT. */
struct place {
    unsigned depth;    /* of parentheses */
    uint64_t selected; /* bit n: a SELECT stood at depth n */
};

enum {
    DEPTH_MAX = 63, /* deeper, INTO is always refused */
};

static void follow(struct place *place, const struct sql_token *token)
{
    if (token->kind == SQL_OTHER && token->mark == '(') {
        place->depth++;
        if (place->depth <= DEPTH_MAX)
            place->selected &= ~((uint64_t)1 << place->depth);
    } else if (token->kind == SQL_OTHER && token->mark == ')' && place->depth > 0) {
        place->depth--;
    } else if (is_word(token, "select") && place->depth <= DEPTH_MAX) {
        place->selected |= (uint64_t)1 << place->depth;
    }
}

static bool may_be_into(const struct place *place, const struct sql_token *before)
{
    return (is_word(before, "insert") || is_word(before, "merge")) && place->depth <= DEPTH_MAX &&
           !(place->selected >> place->depth & 1);
}

/* A word or name: what it must not be, given where it stands and what is around it. */
static bool check_name(const struct place *place, const struct sql_token *before,
                       const struct sql_token *token, const char *schema, struct fault *fault)
{
    struct sql_token after;
    sql_scan(token->end, &after);
    char mark = after.kind == SQL_OTHER ? after.mark : '\0';
    if (mark == '(' && is_listed(functions, token->word))
        return fault_set(fault, FAULT_SCRIPT, "the function %s is not allowed", token->word);
    if (mark == '.' && strcmp(token->word, schema) == 0)
        return fault_set(fault, FAULT_SCRIPT, "the schema %s is not allowed: it is latchkey's own",
                         token->word);
    if (strcmp(token->word, "pg_settings") == 0)
        return fault_set(fault, FAULT_SCRIPT,
                         "pg_settings is not allowed: current_setting() tells a setting");
    if (is_word(token, "into") && !may_be_into(place, before))
        return fault_set(fault, FAULT_SCRIPT, "SELECT INTO is not allowed: it makes a table");
    return true;
}

static bool check_kind(const struct sql_token *first, struct fault *fault)
{
    if (first->kind == SQL_END || first->kind == SQL_UNCLOSED)
        return fault_set(fault, FAULT_SCRIPT, "no statement");
    if (first->kind == SQL_WORD && is_listed(kinds, first->word))
        return true;
    int n_shown = (int)(first->end - first->begin);
    return fault_set(fault, FAULT_SCRIPT,
                     "%.*s is not allowed: one SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES or "
                     "WITH",
                     n_shown < 40 ? n_shown : 40, first->begin);
}

static bool check_token(const struct place *place, const struct sql_token *before,
                        const struct sql_token *token, const char *schema, struct fault *fault)
{
    switch (token->kind) {
    case SQL_END:
    case SQL_STRING: break;
    case SQL_WORD:
    case SQL_NAME: return check_name(place, before, token, schema, fault);
    case SQL_UNICODE_NAME:
        return fault_set(fault, FAULT_SCRIPT, "U&\"...\" is not allowed: write the name itself");
    case SQL_UNCLOSED:
        return fault_set(fault, FAULT_SCRIPT, "a string, a name or a comment has no end");
    case SQL_OTHER: {
        struct sql_token after = *token;
        if (token->mark != ';')
            break;
        while (after.kind == SQL_OTHER && after.mark == ';')
            sql_scan(after.end, &after);
        if (after.kind != SQL_END)
            return fault_set(fault, FAULT_SCRIPT, "only one statement is allowed");
        break;
    }
    }
    return true;
}

bool sql_check(const char *text, size_t n_bytes, const char *schema, struct fault *fault)
{
    struct sql_token before = {.kind = SQL_END}, token;
    struct place place = {0};
    if (strlen(text) != n_bytes)
        return fault_set(fault, FAULT_SCRIPT, "the statement holds a zero byte");
    sql_scan(text, &token);
    while (token.kind == SQL_OTHER && token.mark == '(')
        sql_scan(token.end, &token);
    if (!check_kind(&token, fault))
        return false;
    while (token.kind != SQL_END) {
        follow(&place, &token);
        if (!check_token(&place, &before, &token, schema, fault))
            return false;
        before = token;
        sql_scan(before.end, &token);
    }
    return true;
}
