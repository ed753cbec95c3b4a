/*
 * Who may do what: roles, and the tokens that stand for them. A file of tokens has one a line,
 *
 *     ROLE SHA256-OF-TOKEN [NAME]
 *
 * so that reading it gives no token away. "#" begins a comment.
 */
#pragma once
#include "fault.h"

/* Each may do what those before it may. */
enum http_role {
    HTTP_ROLE_NONE,     /* signs of life only */
    HTTP_ROLE_VIEWER,   /* looks */
    HTTP_ROLE_OPERATOR, /* runs workflows, breaks locks, reloads */
    HTTP_ROLE_DESIGNER, /* changes definitions */
    HTTP_ROLE_ADMIN,
};

struct http_access;

enum {
    HTTP_TOKENS_MAX = 1000,
    HTTP_TOKEN_BYTES_MAX = 1024,
    HTTP_NAME_BYTES = 64,
};

const char *http_role_name(enum http_role role);

/* Reads a file of tokens. *out is yours to http_access_free. FAULT_INVALID with "FILE:LINE:
 * reason". */
MUST_CHECK bool http_access_read(const char *file, struct http_access **out, struct fault *fault);
void http_access_free(struct http_access *access);

/* The role of a token, HTTP_ROLE_NONE if it is unknown; the time that takes does not tell how near
 * it was. name is the token's, or its role's; borrowed. */
enum http_role http_access_role(const struct http_access *access, const char *token,
                                const char **name);
