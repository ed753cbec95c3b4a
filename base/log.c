#include "log.h"

#include "clock.h"
#include "utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

enum {
    TEXT_BYTES = 2048,
    ESCAPED_BYTES_MAX = 4096, /* of the text, in the line */
    FIELD_BYTES_MAX = 512,    /* of a field's text, in the line */
    NAME_BYTES_MAX = 64,
    LINE_BYTES = 256 + ESCAPED_BYTES_MAX + LOG_FIELDS_MAX * (NAME_BYTES_MAX + FIELD_BYTES_MAX),
};

static const char cut[] = "\xE2\x80\xA6"; /* an ellipsis */

/* Has room for the text and for all fields: each is bounded. */
struct line {
    char bytes[LINE_BYTES];
    size_t length;
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

/* ---- the line ---- */

static void add(struct line *line, const char *bytes, size_t n_bytes)
{
    assert(n_bytes <= sizeof line->bytes - line->length);
    memcpy(line->bytes + line->length, bytes, n_bytes);
    line->length += n_bytes;
}

static void add_chars(struct line *line, const char *chars)
{
    add(line, chars, strlen(chars));
}

/* ---- text that others made ---- */

/* Moves a terminal, or ends a line somewhere: C0, DEL, C1, and the separators U+2028 and U+2029. */
static bool is_control(const unsigned char *bytes, size_t length)
{
    if (length == 1)
        return bytes[0] < ' ' || bytes[0] == 0x7F;
    if (length == 2)
        return bytes[0] == 0xC2 && bytes[1] < 0xA0;
    return length == 3 && bytes[0] == 0xE2 && bytes[1] == 0x80 && (bytes[2] & 0xFE) == 0xA8;
}

static unsigned code_of(const unsigned char *bytes, size_t length)
{
    if (length == 1)
        return bytes[0];
    if (length == 2)
        return (bytes[0] & 0x1Fu) << 6 | (bytes[1] & 0x3Fu);
    return (bytes[0] & 0x0Fu) << 12 | (bytes[1] & 0x3Fu) << 6 | (bytes[2] & 0x3Fu);
}

/* One character as it stands in a line; returns its bytes in the text. quoted: between quotation
 * marks. */
static size_t escape(const char *text, size_t n_left, bool quoted, char out[8])
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = utf8_character(text, n_left);
    if (length == 0) {
        memcpy(out, "\xEF\xBF\xBD",
               sizeof "\xEF\xBF\xBD"); /* U+FFFD stands for a byte that is no UTF-8 */
        return 1;
    }
    if (*text == '\n')
        memcpy(out, "\\n", sizeof "\\n");
    else if (is_control(bytes, length))
        snprintf(out, 8, "\\u%04x", code_of(bytes, length));
    else if (*text == '\\' || (quoted && *text == '"'))
        snprintf(out, 8, "\\%c", *text);
    else
        snprintf(out, 8, "%.*s", (int)length, text);
    return length;
}

/* How many bytes from the start stand for themselves. */
static size_t ordinary(const char *text)
{
    size_t n = 0;
    while (text[n] >= ' ' && text[n] < 0x7F && text[n] != '\\' && text[n] != '"')
        n++;
    return n;
}

static void add_escaped(struct line *line, const char *text, bool quoted, size_t limit)
{
    size_t n_left = strlen(text), n_used, end = line->length + limit - (sizeof cut - 1);
    char piece[8];
    for (; n_left > 0; text += n_used, n_left -= n_used) {
        const char *bytes = text;
        size_t n_bytes = n_used = ordinary(text);
        if (n_used == 0) {
            n_used = escape(text, n_left, quoted, piece);
            bytes = piece;
            n_bytes = strlen(piece);
        }
        bool fits = line->length + n_bytes <= end;
        add(line, bytes, fits ? n_bytes : bytes == text ? end - line->length : 0);
        if (!fits) {
            add_chars(line, cut);
            return;
        }
    }
}

static void add_quoted(struct line *line, const char *text, size_t limit)
{
    add_chars(line, "\"");
    add_escaped(line, text, /* quoted= */ true, limit);
    add_chars(line, "\"");
}

/* ---- parts of a line ---- */

static bool is_given(const struct log_field *field)
{
    return field->kind != LOG_FIELD_TEXT || (field->text && *field->text);
}

static void add_number(struct line *line, const struct log_field *field)
{
    char number[32];
    if (field->kind == LOG_FIELD_MS)
        snprintf(number, sizeof number, "%.3f", (double)field->number / 1000);
    else
        snprintf(number, sizeof number, "%lld", (long long)field->number);
    add_chars(line, number);
}

static void add_time(struct line *line)
{
    int64_t now_us = clock_wall_us();
    time_t seconds = now_us / 1000000;
    struct tm utc;
    char stamp[40];
    gmtime_r(&seconds, &utc);
    size_t length = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + length, sizeof stamp - length, ".%03dZ", (int)(now_us / 1000 % 1000));
    add_chars(line, stamp);
}

/* ---- plain ---- */

static void add_plain_field(struct line *line, const struct log_field *field)
{
    add_chars(line, " ");
    add_chars(line, field->name);
    add_chars(line, "=");
    if (field->kind != LOG_FIELD_TEXT)
        add_number(line, field);
    else if (strpbrk(field->text, " =\"\\"))
        add_quoted(line, field->text, FIELD_BYTES_MAX);
    else
        add_escaped(line, field->text, /* quoted= */ false, FIELD_BYTES_MAX);
}

/* Before fields, a text that could be taken for one is quoted. */
static void add_plain(struct line *line, enum log_level level, const char *part, const char *text,
                      const struct log_field *fields, int n_fields)
{
    add_time(line);
    add_chars(line, " ");
    add_chars(line, log_level_name(level));
    add_chars(line, " ");
    add_escaped(line, part, /* quoted= */ false, NAME_BYTES_MAX);
    add_chars(line, ": ");
    if (n_fields && strpbrk(text, "=\""))
        add_quoted(line, text, ESCAPED_BYTES_MAX);
    else
        add_escaped(line, text, /* quoted= */ false, ESCAPED_BYTES_MAX);
    for (int i = 0; i < n_fields; i++)
        if (is_given(&fields[i]) && !fields[i].in_text)
            add_plain_field(line, &fields[i]);
}

/* ---- JSON ---- */

static void add_json_field(struct line *line, const struct log_field *field)
{
    add_chars(line, ",\"");
    add_chars(line, field->name);
    add_chars(line, "\":");
    if (field->kind == LOG_FIELD_TEXT)
        add_quoted(line, field->text, FIELD_BYTES_MAX);
    else
        add_number(line, field);
}

static void add_json(struct line *line, enum log_level level, const char *part, const char *text,
                     const struct log_field *fields, int n_fields)
{
    add_chars(line, "{\"time\":\"");
    add_time(line);
    add_chars(line, "\",\"level\":\"");
    add_chars(line, log_level_name(level));
    add_chars(line, "\",\"part\":");
    add_quoted(line, part, NAME_BYTES_MAX);
    add_chars(line, ",\"message\":");
    add_quoted(line, text, ESCAPED_BYTES_MAX);
    for (int i = 0; i < n_fields; i++)
        if (is_given(&fields[i]))
            add_json_field(line, &fields[i]);
    add_chars(line, "}");
}

/* ---- writing ---- */

/* In one piece, so that lines of processes that share a stream do not mix. */
static void write_line(const struct log *log, enum log_level level, const char *part,
                       const struct log_field *fields, int n_fields, const char *format,
                       va_list args) FORMAT_ARGS(6, 0);
static void write_line(const struct log *log, enum log_level level, const char *part,
                       const struct log_field *fields, int n_fields, const char *format,
                       va_list args)
{
    char text[TEXT_BYTES];
    struct line line;
    if (!log->stream || level < log->least)
        return;
    assert(n_fields <= LOG_FIELDS_MAX);
    line.length = 0;
    if (vsnprintf(text, sizeof text, format, args) >= (int)sizeof text)
        memcpy(text + sizeof text - sizeof cut, cut, sizeof cut);
    switch (log->form) {
    case LOG_FORM_PLAIN: add_plain(&line, level, part, text, fields, n_fields); break;
    case LOG_FORM_JSON: add_json(&line, level, part, text, fields, n_fields); break;
    }
    add_chars(&line, "\n");
    fwrite(line.bytes, 1, line.length, log->stream);
}

void log_line(const struct log *log, enum log_level level, const char *part, const char *format,
              ...)
{
    va_list args;
    va_start(args, format);
    write_line(log, level, part, NULL, 0, format, args);
    va_end(args);
}

void log_fields(const struct log *log, enum log_level level, const char *part,
                const struct log_field *fields, int n_fields, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(log, level, part, fields, n_fields, format, args);
    va_end(args);
}
