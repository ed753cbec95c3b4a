/*
 * The head of a request as it comes over the wire, line by line, read more strictly than evhttp
 * does: what two parsers could understand differently is refused, so that nothing can be smuggled
 * past a proxy. Pure: no socket, no clock.
 *
 *   FIRST LINE --> FIELDS --empty line--> WHOLE
 *        \___________\___ refused: status and why
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_HEAD_BYTES_MAX = 16 << 10,
    HTTP_BODY_BYTES_MAX = 1 << 20,
    HTTP_TARGET_BYTES_MAX = 8 << 10,
    HTTP_HOST_BYTES = 264,
    HTTP_ORIGIN_BYTES = 280,
};

enum http_head_state {
    HTTP_HEAD_FIRST_LINE,
    HTTP_HEAD_FIELDS,
    HTTP_HEAD_WHOLE,
    HTTP_HEAD_REFUSED,
};

struct http_head {
    enum http_head_state state;
    size_t n_bytes;     /* of the lines so far */
    bool is_old;        /* HTTP/1.0 */
    bool may_have_body; /* by its method, as evhttp sees it */
    bool is_safe;       /* GET or HEAD: changes nothing */
    bool is_chunked;
    int64_t content_length; /* -1 = none was given */
    int n_hosts;
    int n_origins;
    char host[HTTP_HOST_BYTES];
    char origin[HTTP_ORIGIN_BYTES]; /* "" = none */
    int status;                     /* REFUSED: of the answer */
    const char *why;                /* REFUSED: one sentence */
};

void http_head_init(struct http_head *head);

/* The next line without its line end. False: the head is whole or refused, as state says. */
bool http_head_line(struct http_head *head, const char *line, size_t n_bytes);

/* For limits that are seen before a line is whole. */
void http_head_refuse(struct http_head *head, int status, const char *why);

/* The name in a Host field, without its port and in lower case: "localhost", "[::1]". False if it
 * is none. out wants HTTP_HOST_BYTES. */
bool http_head_host_name(const char *host, char *out);
