/*
 * Server-sent events: one poll of the database for all who listen. A client that does not take what
 * it is sent is dropped.
 *
 *   RESTING --a second, if anybody listens--> LOOKING --answer--> told to all
 */
#pragma once

struct http_stream;

/* Ends every stream properly: the host stops. NULL is fine. */
void http_stream_end_all(struct http_stream *stream);

/* Their connections are closed by evhttp. NULL is fine. */
void http_stream_free(struct http_stream *stream);

int http_stream_n_clients(const struct http_stream *stream);
