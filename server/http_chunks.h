/*
 * A chunked body as it comes over the wire, byte by byte: its frame, not what is in it. Read more
 * strictly than evhttp does, which takes "0x5", "+5" and bare line feeds, adds trailers to the
 * head, and answers what it refuses with a page of its own. Pure: no socket, no clock.
 *
 *   SIZE --CR LF--> DATA --all of it, CR LF--> SIZE ... "0" --> LAST --CR LF--> WHOLE
 *     \_______________\___________________________________________\___ refused: status and why
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_chunks_state {
    HTTP_CHUNKS_SIZE,    /* digits, then CR */
    HTTP_CHUNKS_SIZE_LF, /* the line feed behind them */
    HTTP_CHUNKS_DATA,    /* as many bytes as were announced */
    HTTP_CHUNKS_DATA_CR, /* the line end behind them */
    HTTP_CHUNKS_DATA_LF,
    HTTP_CHUNKS_LAST_CR, /* the empty line behind the chunk of size 0 */
    HTTP_CHUNKS_LAST_LF,
    HTTP_CHUNKS_WHOLE,
    HTTP_CHUNKS_REFUSED,
};

struct http_chunks {
    enum http_chunks_state state;
    int n_digits;     /* of the size so far */
    uint64_t size;    /* of this chunk */
    uint64_t left;    /* DATA: bytes of it to come */
    uint64_t n_body;  /* bytes of all chunks that were announced */
    uint64_t n_frame; /* bytes of the frame */
    int status;       /* REFUSED: of the answer */
    const char *why;  /* REFUSED: one sentence */
};

void http_chunks_init(struct http_chunks *chunks);

/* The next bytes. What follows a whole body is not looked at. False: it is refused. */
bool http_chunks_read(struct http_chunks *chunks, const char *bytes, size_t n_bytes);
