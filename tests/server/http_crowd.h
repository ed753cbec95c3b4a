/*
 * Many clients in one loop: each posts to the workflow read, takes its answer and posts again, all
 * on the connection that it began with. A client whose connection ends is gone for good.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct http_crowd;

struct http_crowd_count {
    int64_t ok;         /* answers with 200 */
    int64_t refused;    /* with 503 */
    int64_t odd;        /* with another status */
    int64_t unanswered; /* requests on connections that ended before the first byte of an answer, */
    int64_t cut;        /* and in the middle of one */
    int n_here;         /* clients that are not gone */
};

/* Connects all of them and posts. NULL without memory. */
struct http_crowd *http_crowd_new(int port, int n_clients);
void http_crowd_free(struct http_crowd *crowd);

/* Goes on for a moment, waiting for the server if there is nothing to do. */
void http_crowd_turn(struct http_crowd *crowd);
const struct http_crowd_count *http_crowd_count(const struct http_crowd *crowd);
