/*
 * A growing text with a limit. Additions after a failure (no memory, over the limit) are ignored,
 * so a caller builds a whole text and checks once at the end, with text_ok.
 */
#pragma once
#include "fault.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *bytes; /* NUL-terminated once anything was added; NULL before */
    size_t length;
    size_t capacity;
    size_t limit_bytes;
    bool failed;
};

/* An empty text that refuses to grow over limit_bytes. No memory is taken yet. */
void text_init(struct text *text, size_t limit_bytes);
void text_done(struct text *text);

/* Forgets the content and the failure, keeps the memory. */
void text_clear(struct text *text);

/* Cuts the content back to an earlier length. */
void text_cut(struct text *text, size_t length);

void text_add(struct text *text, const char *bytes, size_t n_bytes);
void text_add_chars(struct text *text, const char *chars);
void text_add_char(struct text *text, char c);
void text_add_int64(struct text *text, int64_t value);
void text_addf(struct text *text, const char *format, ...) FORMAT_ARGS(2, 3);
void text_vaddf(struct text *text, const char *format, va_list args) FORMAT_ARGS(2, 0);

/* The content, "" when there is none. Borrowed until the next change. */
const char *text_chars(const struct text *text);

/* False with FAULT_EXHAUSTED when an addition failed. */
MUST_CHECK bool text_ok(const struct text *text, struct fault *fault);

/* The content as a heap string that is yours to free; the text is empty after. NULL when an
 * addition failed or there is no memory. */
char *text_take(struct text *text);
