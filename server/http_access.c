#include "http_access.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_BYTES = 512,
};

struct token {
    enum http_role role;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char name[HTTP_NAME_BYTES];
};

struct http_access {
    struct token *tokens;
    int n_tokens;
};

static const char *const role_names[] = {"none", "viewer", "operator", "designer", "admin"};

const char *http_role_name(enum http_role role)
{
    return role_names[role];
}

static bool read_role(const char *word, enum http_role *out)
{
    for (int i = HTTP_ROLE_VIEWER; i <= HTTP_ROLE_ADMIN; i++) {
        if (strcmp(word, role_names[i]) == 0) {
            *out = (enum http_role)i;
            return true;
        }
    }
    return false;
}

static bool read_hash(const char *word, unsigned char out[SHA256_DIGEST_LENGTH])
{
    if (strlen(word) != 2 * SHA256_DIGEST_LENGTH ||
        strspn(word, "0123456789abcdefABCDEF") != 2 * SHA256_DIGEST_LENGTH)
        return false;
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        char digits[3] = {word[2 * i], word[2 * i + 1], '\0'};
        out[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return true;
}

static bool is_name(const char *word)
{
    for (const char *c = word; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c == 0x7F)
            return false;
    return strlen(word) < HTTP_NAME_BYTES;
}

/* Fills a token; *any is false for a line that has none. The text of a bad line is not repeated: a
 * token might stand in it. */
static bool read_line(char *line, struct token *token, bool *any, struct fault *fault)
{
    char *rest = NULL;
    const char *role = strtok_r(line, " \t\r\n", &rest);
    const char *hash = strtok_r(NULL, " \t\r\n", &rest);
    const char *name = strtok_r(NULL, " \t\r\n", &rest);
    *any = role && *role != '#';
    if (!*any)
        return true;
    if (!read_role(role, &token->role))
        return fault_set(fault, FAULT_INVALID,
                         "a line begins with viewer, operator, designer or admin");
    if (!hash || !read_hash(hash, token->hash))
        return fault_set(fault, FAULT_INVALID,
                         "the SHA-256 of the token, 64 hexadecimal digits, is wanted");
    if ((name && !is_name(name)) || strtok_r(NULL, " \t\r\n", &rest))
        return fault_set(fault, FAULT_INVALID, "a name is one word of less than %d bytes",
                         HTTP_NAME_BYTES);
    snprintf(token->name, sizeof token->name, "%s", name ? name : http_role_name(token->role));
    return true;
}

static bool add_token(struct http_access *access, const struct token *token, struct fault *fault)
{
    if (access->n_tokens == HTTP_TOKENS_MAX)
        return fault_set(fault, FAULT_INVALID, "more than %d tokens", HTTP_TOKENS_MAX);
    struct token *grown =
        realloc(access->tokens, ((size_t)access->n_tokens + 1) * sizeof *access->tokens);
    if (!grown)
        return fault_no_memory(fault);
    access->tokens = grown;
    access->tokens[access->n_tokens++] = *token;
    return true;
}

static bool read_all(FILE *stream, struct http_access *access, int *line_number,
                     struct fault *fault)
{
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, stream)) {
        struct token token = {0};
        bool any = false;
        ++*line_number;
        if (strlen(line) == sizeof line - 1)
            return fault_set(fault, FAULT_INVALID, "the line is too long");
        if (!read_line(line, &token, &any, fault) || (any && !add_token(access, &token, fault)))
            return false;
    }
    return true;
}

bool http_access_read(const char *file, struct http_access **out, struct fault *fault)
{
    struct http_access *access = calloc(1, sizeof *access);
    FILE *stream = access ? fopen(file, "re") : NULL;
    int line = 0;
    bool ok = false;
    if (!access)
        return fault_no_memory(fault);
    if (!stream)
        fault_set(fault, FAULT_INVALID, "%s: cannot be read: %s", file, strerror(errno));
    else if (!read_all(stream, access, &line, fault))
        fault_prefix(fault, "%s:%d", file, line);
    else if (access->n_tokens == 0)
        fault_set(fault, FAULT_INVALID, "%s: holds no token", file);
    else
        ok = true;
    if (stream)
        fclose(stream);
    if (ok)
        *out = access;
    else
        http_access_free(access);
    return ok;
}

void http_access_free(struct http_access *access)
{
    if (!access)
        return;
    free(access->tokens);
    free(access);
}

enum http_role http_access_role(const struct http_access *access, const char *token,
                                const char **name)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    const struct token *found = NULL;
    size_t length = strlen(token);
    if (length == 0 || length > HTTP_TOKEN_BYTES_MAX)
        return HTTP_ROLE_NONE;
    SHA256((const unsigned char *)token, length, hash);
    for (int i = 0; i < access->n_tokens; i++) /* all of them, whichever it is */
        if (CRYPTO_memcmp(access->tokens[i].hash, hash, sizeof hash) == 0)
            found = &access->tokens[i];
    if (!found)
        return HTTP_ROLE_NONE;
    *name = found->name;
    return found->role;
}
