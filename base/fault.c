#include "fault.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One line of UTF-8, whatever came in: a text that was cut inside a character, or bytes that a
 * script made up, would be refused by PostgreSQL and by JSON. */
static void clean(char *text)
{
    char *out = text;
    for (size_t left = strlen(text); left > 0;) {
        size_t n_good = utf8_prefix(text, left, left);
        memmove(out, text, n_good);
        out += n_good;
        text += n_good;
        left -= n_good;
        if (left > 0) {
            *out++ = '?';
            text++;
            left--;
            while (left > 0 && ((unsigned char)*text & 0xc0) == 0x80) {
                text++;
                left--;
            }
        }
    }
    *out = '\0';
}

static void one_line(char *text)
{
    clean(text);
    for (; *text; text++)
        if (*text == '\n' || *text == '\r')
            *text = ' ';
}

void fault_write(struct fault *fault, enum fault_kind kind, const char *format, ...)
{
    va_list args;
    fault->kind = kind;
    fault->sqlstate[0] = '\0';
    va_start(args, format);
    vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    one_line(fault->text);
}

bool fault_prefix(struct fault *fault, const char *format, ...)
{
    char old[FAULT_TEXT_BYTES];
    va_list args;
    memcpy(old, fault->text, sizeof old);
    va_start(args, format);
    vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    size_t used = strlen(fault->text), room = sizeof fault->text - used - 1;
    strncat(fault->text, ": ", room);
    strncat(fault->text, old, room > 2 ? room - 2 : 0);
    one_line(fault->text);
    return false;
}
