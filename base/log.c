#include "log.h"

#include "clock.h"

#include <stdarg.h>
#include <time.h>

enum {
    LINE_BYTES = 2048,
};

const char *log_level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG: return "debug";
    case LOG_LEVEL_INFO: return "info";
    case LOG_LEVEL_WARNING: return "warning";
    case LOG_LEVEL_ERROR: return "error";
    }
    return "";
}

void log_line(const struct log *log, enum log_level level, const char *part, const char *format,
              ...)
{
    if (!log->stream || level < log->least)
        return;
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    int64_t now_us = clock_wall_us();
    time_t seconds = now_us / 1000000;
    struct tm utc;
    char stamp[32];
    gmtime_r(&seconds, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(log->stream, "%s.%03dZ %s %s: %s\n", stamp, (int)(now_us / 1000 % 1000),
            log_level_name(level), part, line);
}
