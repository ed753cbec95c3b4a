#include "text.h"

#include "number_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_init(struct text *text, size_t limit_bytes)
{
    *text = (struct text){.limit_bytes = limit_bytes};
}

void text_done(struct text *text)
{
    free(text->bytes);
    *text = (struct text){.limit_bytes = text->limit_bytes};
}

void text_clear(struct text *text)
{
    text->length = 0;
    text->failed = false;
    if (text->bytes)
        text->bytes[0] = '\0';
}

void text_cut(struct text *text, size_t length)
{
    if (length < text->length) {
        text->length = length;
        text->bytes[length] = '\0';
    }
}

static bool grow(struct text *text, size_t n_more)
{
    if (text->failed)
        return false;
    if (n_more > text->limit_bytes || text->length > text->limit_bytes - n_more) {
        text->failed = true;
        return false;
    }
    size_t needed = text->length + n_more + 1;
    if (needed <= text->capacity)
        return true;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    char *grown = realloc(text->bytes, capacity);
    if (!grown) {
        text->failed = true;
        return false;
    }
    text->bytes = grown;
    text->capacity = capacity;
    return true;
}

/* Most additions are of a few bytes into room that is there: what is within the capacity may still
 * be over the limit, so only those of both are let through here. */
static inline bool reserve(struct text *text, size_t n_more)
{
    size_t end = text->length + n_more;
    if (!text->failed && end >= n_more && end < text->capacity && end <= text->limit_bytes)
        return true;
    return grow(text, n_more);
}

void text_add(struct text *text, const char *bytes, size_t n_bytes)
{
    if (!reserve(text, n_bytes))
        return;
    if (n_bytes)
        memcpy(text->bytes + text->length, bytes, n_bytes);
    text->length += n_bytes;
    text->bytes[text->length] = '\0';
}

void text_add_chars(struct text *text, const char *chars)
{
    text_add(text, chars, strlen(chars));
}

void text_add_char(struct text *text, char c)
{
    if (!reserve(text, 1))
        return;
    text->bytes[text->length++] = c;
    text->bytes[text->length] = '\0';
}

void text_add_int64(struct text *text, int64_t value)
{
    char digits[NUMBER_TEXT_BYTES];
    text_add(text, digits, (size_t)(number_text_int(digits, value) - digits));
}

FORMAT_ARGS(2, 0)
static void add_formatted(struct text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int needed = vsnprintf(NULL, 0, format, args);
    if (needed < 0) {
        text->failed = true;
    } else if (reserve(text, (size_t)needed)) {
        vsnprintf(text->bytes + text->length, (size_t)needed + 1, format, again);
        text->length += (size_t)needed;
    }
    va_end(again);
}

/* %s, %d and %% alone: what SQL is built of, many times for each transaction. */
static bool is_simple(const char *format)
{
    while ((format = strchr(format, '%'))) {
        if (format[1] != 's' && format[1] != 'd' && format[1] != '%')
            return false;
        format += 2;
    }
    return true;
}

static void add_simple(struct text *text, const char *format, va_list args)
{
    for (;;) {
        size_t n_plain = strcspn(format, "%");
        text_add(text, format, n_plain);
        format += n_plain;
        if (*format == '\0')
            return;
        if (format[1] == 's') {
            const char *chars = va_arg(args, const char *);
            text_add_chars(text, chars ? chars : "(null)");
        }
        if (format[1] == 'd')
            text_add_int64(text, va_arg(args, int));
        if (format[1] == '%')
            text_add_char(text, '%');
        format += 2;
    }
}

void text_vaddf(struct text *text, const char *format, va_list args)
{
    if (is_simple(format))
        add_simple(text, format, args);
    else
        add_formatted(text, format, args);
}

void text_addf(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    text_vaddf(text, format, args);
    va_end(args);
}

const char *text_chars(const struct text *text)
{
    return text->bytes ? text->bytes : "";
}

bool text_ok(const struct text *text, struct fault *fault)
{
    if (!text->failed)
        return true;
    return fault_set(fault, FAULT_EXHAUSTED,
                     "a text grew over its limit of %zu bytes, or memory ran out",
                     text->limit_bytes);
}

char *text_take(struct text *text)
{
    char *taken = NULL;
    if (!text->failed) {
        taken = text->bytes ? text->bytes : calloc(1, 1);
        text->bytes = NULL;
    }
    text_done(text);
    return taken;
}
