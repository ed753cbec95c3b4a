#include "fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void one_line(char *text)
{
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
