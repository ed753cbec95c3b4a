/*
 * A client that writes what it is told, also what no decent client would, and reads one answer.
 * What goes wrong in the writing is the caller's to judge; a connection that hangs fails the test.
 */
#pragma once
#include "json.h"

#include <stdbool.h>
#include <stddef.h>

struct http_answer {
    int status;    /* 0: the connection was closed without an answer */
    char *head;    /* the status line and the fields */
    char *body;    /* ended by a NUL; chunks are put together */
    size_t length; /* of the body */
    bool closed;   /* the server has closed the connection after it */
};

/* A connection to 127.0.0.1:port, from an address of this machine (NULL = any). -1: it was refused.
 */
int http_connect(int port, const char *from);
void http_write(int fd, const void *bytes, size_t n_bytes); /* as far as the server takes it */
void http_write_chars(int fd, const char *chars);

/* The next answer on a connection. wants want_body false after a HEAD. */
void http_read(int fd, struct http_answer *answer, bool want_body);
void http_answer_done(struct http_answer *answer);

/* One request on a connection of its own. headers are lines that end in \r\n; body may be NULL. */
void http_call(int port, const char *method, const char *path, const char *headers,
               const char *body, struct http_answer *answer);

/* The same, which must be answered with that status; the body as JSON, yours to json_decref. */
json_t *http_expect(int port, const char *method, const char *path, const char *headers,
                    const char *body, int status);

/* The value of a field of the head; "" if there is none. out_bytes are enough for it. */
void http_field_of(const struct http_answer *answer, const char *name, char *out, size_t out_bytes);

#define HTTP_JSON "Content-Type: application/json\r\n"
#define HTTP_YAML "Content-Type: application/yaml\r\n"
