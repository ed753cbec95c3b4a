#include "pg_array.h"

#include "number_text.h"

#include <string.h>

void pg_array_begin(struct text *text)
{
    text_add_char(text, '{');
}

void pg_array_end(struct text *text)
{
    text_add_char(text, '}');
}

/* Elements end in a digit, a quote or the word NULL, so a last '{' can only be the opening one. */
static void separate(struct text *text)
{
    if (text->length > 0 && text->bytes[text->length - 1] != '{')
        text_add_char(text, ',');
}

/* All digits, perhaps after a minus: needs no quotes. */
static bool is_plain(const char *element)
{
    const char *at = element + (*element == '-');
    if (*at == '\0')
        return false;
    while (*at >= '0' && *at <= '9')
        at++;
    return *at == '\0';
}

static void add_quoted(struct text *text, const char *element)
{
    text_add_char(text, '"');
    for (;;) {
        size_t n_clean = strcspn(element, "\"\\");
        text_add(text, element, n_clean);
        element += n_clean;
        if (*element == '\0')
            break;
        text_add_char(text, '\\');
        text_add_char(text, *element++);
    }
    text_add_char(text, '"');
}

void pg_array_add(struct text *text, const char *element)
{
    separate(text);
    if (!element)
        text_add(text, "NULL", strlen("NULL"));
    else if (is_plain(element))
        text_add_chars(text, element);
    else
        add_quoted(text, element);
}

void pg_array_add_int64(struct text *text, int64_t element)
{
    separate(text);
    text_add_int64(text, element);
}

void pg_array_add_milli(struct text *text, int64_t thousandths)
{
    char digits[NUMBER_TEXT_BYTES];
    separate(text);
    text_add(text, digits, (size_t)(number_text_milli(digits, thousandths) - digits));
}
