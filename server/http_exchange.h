/*
 * One request and its answer. A handler gets an exchange and sees to it that exactly one
 * http_reply* is called for it, now or from a later turn of the loop; that ends it. The client may
 * be gone by then: the exchange lives on until its reply, which goes nowhere.
 */
#pragma once
#include "http_access.h"
#include "http_problem.h"
#include "json.h"
#include "log.h"
#include "result.h"

#include <stdint.h>
#include <sys/queue.h>

struct evhttp_request;
struct evkeyvalq;
struct http_conn;
struct http_exchange;
struct http_route;
struct http_server;
struct pg_result;
struct text;

enum {
    HTTP_PARAMS_MAX = 3,
    HTTP_PEER_BYTES = 46,
};

typedef void http_handler_fn(struct http_exchange *exchange);

struct http_exchange {
    struct http_server *server;
    struct evhttp_request *request; /* NULL: nobody waits for the answer any more */
    struct http_conn *conn;         /* NULL as well */
    const struct http_route *route; /* NULL while it is looked for */
    const char *method;
    char *path;                     /* owned, without the query; undecoded */
    char *params[HTTP_PARAMS_MAX];  /* owned; decoded */
    struct evkeyvalq *query;        /* owned; NULL = none */
    json_t *body;                   /* owned; NULL until http_body */
    struct log_caller caller;       /* the client's ids; that of the request else drawn here */
    char parent_id[17];             /* of its traceparent; "" = none */
    char peer[HTTP_PEER_BYTES];     /* its address */
    char who[HTTP_NAME_BYTES];      /* of the token; "" = nobody asked */
    char instance[UUID_TEXT_BYTES]; /* that the answer is about; "" = none */
    const char *outcome;            /* the word for its status; NULL = none */
    int64_t started_us;
    int64_t limit;                                /* of a list */
    void *work;                                   /* the handler's own */
    void (*drop)(struct http_exchange *exchange); /* frees work at the end; NULL = nothing to do */
    /* The server ends, and no other's callback is to come: frees the exchange. NULL = one is. */
    void (*abandon)(struct http_exchange *exchange);
    LIST_ENTRY(http_exchange) link;
};

/* NULL if the request has none. Borrowed. */
const char *http_header(const struct http_exchange *exchange, const char *name);
const char *http_query(const struct http_exchange *exchange, const char *name);

/* The bytes of the body, without a NUL. Borrowed. */
const char *http_body_bytes(const struct http_exchange *exchange, size_t *n_bytes);

/* A member of the body's object. */
struct http_field {
    const char *name;
    int type; /* of jansson; JSON_NULL = any */
    bool required;
};

/* Reads the body as an object with these members (ended by one without a name) and no others. An
 * empty body counts as {} if none is required. False: it has been replied to. */
MUST_CHECK bool http_body(struct http_exchange *exchange, const struct http_field *fields);

/* A path parameter that is an instance's id; a query's numbers. False: it has been replied to. */
MUST_CHECK bool http_param_is_id(struct http_exchange *exchange, int param);
MUST_CHECK bool http_query_is_id(struct http_exchange *exchange, const char *name);
MUST_CHECK bool http_query_limit(struct http_exchange *exchange);

/* A header of the answer; both are copied. */
void http_add_header(struct http_exchange *exchange, const char *name, const char *value);

/* ---- replies; each ends the exchange ---- */

void http_reply(struct http_exchange *exchange, int status, const char *type, const char *bytes,
                size_t n_bytes);

/* value is taken over; NULL counts as lack of memory. */
void http_reply_json(struct http_exchange *exchange, int status, json_t *value);

/* problem is taken over; its status is the reply's. */
void http_reply_problem(struct http_exchange *exchange, json_t *problem);
void http_reply_error(struct http_exchange *exchange, int status, const char *format, ...)
    FORMAT_ARGS(3, 4);

/* With one entry in errors[]. */
void http_reply_bad(struct http_exchange *exchange, const char *pointer, const char *format, ...)
    FORMAT_ARGS(3, 4);
void http_reply_fault(struct http_exchange *exchange, const struct fault *fault);

/* What an execution came to: the result as JSON, with the status that stands for it. */
void http_reply_result(struct http_exchange *exchange, const struct result *result);
int http_result_status(const struct result *result);

/* Runs a query whose first value is a JSON array and replies {NAME: array, "next": id of the last
 * row, or null at the end of the list}. The exchange's limit is set. */
void http_reply_list(struct http_exchange *exchange, const char *name, const char *query,
                     int n_params, const char *const *params);

/* For those that stream their answer: from here on evhttp's request is theirs, and the exchange is
 * counted and logged. The exchange stays until http_exchange_free. */
void http_exchange_streams(struct http_exchange *exchange);
void http_exchange_free(struct http_exchange *exchange);

/* The client is gone, or the server is: its request is given up, and whatever is replied goes
 * nowhere. */
void http_exchange_lose_client(struct http_exchange *exchange);
