/*
 * The routes of the HTTP API: one table, from which requests are dispatched, access is decided and
 * the OpenAPI document is printed.
 */
#pragma once
#include "http_exchange.h"

enum http_body_kind {
    HTTP_BODY_NONE,
    HTTP_BODY_OPTIONAL, /* JSON, or nothing */
    HTTP_BODY_JSON,
    HTTP_BODY_DEFINITION, /* YAML or JSON */
};

enum {
    HTTP_STATUSES_MAX = 16,
};

struct http_route {
    const char *method;
    const char *pattern; /* "/v1/instances/{id}"; "{path*}" is all the rest */
    enum http_role role; /* the least that may */
    http_handler_fn *handle;
    enum http_body_kind body;
    const char *query;   /* names of parameters, with a space after each */
    const char *headers; /* of requests, the same */
    const char *asks;    /* schemas of bodies, names in http_openapi.c; "" = none */
    const char *answers; /* of a success */
    const char *summary;
    short statuses[HTTP_STATUSES_MAX]; /* beside those of every route; ended by 0 */
};

/* Ends with a row without a method. */
extern const struct http_route http_routes[];

/* What every route may answer; ended by 0. */
extern const short http_route_any_statuses[];

/* Finds the route and decodes the parameters into the exchange. Otherwise NULL and *status: 404;
 * 405 with the methods that the path has in allow; 400 for a path that cannot be decoded. */
const struct http_route *http_route_find(struct http_exchange *exchange, int *status,
                                         struct text *allow);
bool http_route_may_answer(const struct http_route *route, int status);

/* True if name is one of a list of names, each with a space after it. */
bool http_route_names(const char *list, const char *name);
