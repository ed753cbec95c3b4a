#include "http_chunks.h"

#include "http_head.h"

enum {
    DIGITS_MAX = 8,
    FRAME_BYTES_MAX = 256 << 10, /* for chunks of one byte, some 40,000 of them */
};

void http_chunks_init(struct http_chunks *chunks)
{
    *chunks = (struct http_chunks){.state = HTTP_CHUNKS_SIZE};
}

static void refuse(struct http_chunks *chunks, int status, const char *why)
{
    chunks->state = HTTP_CHUNKS_REFUSED;
    chunks->status = status;
    chunks->why = why;
}

static int value_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

static void read_size(struct http_chunks *chunks, char c)
{
    int value = value_of(c);
    if (value >= 0 && chunks->n_digits < DIGITS_MAX) {
        chunks->n_digits++;
        chunks->size = chunks->size * 16 + (uint64_t)value;
    } else if (c == '\r' && chunks->n_digits > 0) {
        chunks->state = HTTP_CHUNKS_SIZE_LF;
    } else {
        refuse(chunks, 400, "the size of a chunk is not one to eight hexadecimal digits and CR LF");
    }
}

static void end_size(struct http_chunks *chunks)
{
    chunks->n_body += chunks->size;
    chunks->left = chunks->size;
    if (chunks->n_body > HTTP_BODY_BYTES_MAX)
        refuse(chunks, 413, "the body is larger than 1 MiB");
    else
        chunks->state = chunks->size ? HTTP_CHUNKS_DATA : HTTP_CHUNKS_LAST_CR;
}

static void begin_size(struct http_chunks *chunks)
{
    chunks->state = HTTP_CHUNKS_SIZE;
    chunks->n_digits = 0;
    chunks->size = 0;
}

static void expect(struct http_chunks *chunks, char c, char wanted, enum http_chunks_state next,
                   const char *why)
{
    if (c == wanted)
        chunks->state = next;
    else
        refuse(chunks, 400, why);
}

/* One byte of the frame. */
static void step(struct http_chunks *chunks, char c)
{
    static const char size_end[] = "the size of a chunk does not end in CR LF",
                      data_end[] = "a chunk is longer than its size, or does not end in CR LF",
                      last_end[] = "a chunked body ends in an empty line; trailers are not taken";
    if (++chunks->n_frame > FRAME_BYTES_MAX) {
        refuse(chunks, 413, "the chunks of the body are too small");
        return;
    }
    switch (chunks->state) {
    case HTTP_CHUNKS_SIZE: read_size(chunks, c); return;
    case HTTP_CHUNKS_SIZE_LF:
        if (c == '\n')
            end_size(chunks);
        else
            refuse(chunks, 400, size_end);
        return;
    case HTTP_CHUNKS_DATA_CR: expect(chunks, c, '\r', HTTP_CHUNKS_DATA_LF, data_end); return;
    case HTTP_CHUNKS_DATA_LF:
        expect(chunks, c, '\n', HTTP_CHUNKS_SIZE, data_end);
        if (chunks->state == HTTP_CHUNKS_SIZE)
            begin_size(chunks);
        return;
    case HTTP_CHUNKS_LAST_CR: expect(chunks, c, '\r', HTTP_CHUNKS_LAST_LF, last_end); return;
    case HTTP_CHUNKS_LAST_LF: expect(chunks, c, '\n', HTTP_CHUNKS_WHOLE, last_end); return;
    case HTTP_CHUNKS_DATA:
    case HTTP_CHUNKS_WHOLE:
    case HTTP_CHUNKS_REFUSED: return;
    }
}

bool http_chunks_read(struct http_chunks *chunks, const char *bytes, size_t n_bytes)
{
    size_t at = 0;
    while (at < n_bytes && chunks->state != HTTP_CHUNKS_WHOLE &&
           chunks->state != HTTP_CHUNKS_REFUSED) {
        if (chunks->state != HTTP_CHUNKS_DATA) {
            step(chunks, bytes[at++]);
            continue;
        }
        size_t n = n_bytes - at < chunks->left ? n_bytes - at : (size_t)chunks->left;
        at += n;
        chunks->left -= n;
        if (chunks->left == 0)
            chunks->state = HTTP_CHUNKS_DATA_CR;
    }
    return chunks->state != HTTP_CHUNKS_REFUSED;
}
