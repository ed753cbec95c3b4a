#include "http_head.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum {
    NAME_BYTES_MAX = 256,
};

struct method {
    const char *name;
    bool may_have_body;
    bool is_safe;
};

/* Those that evhttp knows; of the others it tells nothing about. */
static const struct method methods[] = {
    {"GET", false, true},     {"HEAD", false, true},  {"POST", true, false},
    {"PUT", true, false},     {"PATCH", true, false}, {"DELETE", false, false},
    {"OPTIONS", false, true}, {"TRACE", false, true}, {"CONNECT", false, false},
};

void http_head_init(struct http_head *head)
{
    memset(head, 0, sizeof *head);
    head->content_length = -1;
}

void http_head_refuse(struct http_head *head, int status, const char *why)
{
    head->state = HTTP_HEAD_REFUSED;
    head->status = status;
    head->why = why;
}

static bool refuse(struct http_head *head, int status, const char *why)
{
    http_head_refuse(head, status, why);
    return false;
}

static bool is_token_character(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_clean(const char *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if ((c < ' ' && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

static bool equals(const char *bytes, size_t n_bytes, const char *chars)
{
    return strlen(chars) == n_bytes && strncasecmp(bytes, chars, n_bytes) == 0;
}

/* ---- METHOD TARGET HTTP/1.1 ---- */

static const struct method *find_method(const char *name, size_t n_bytes)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strlen(methods[i].name) == n_bytes && memcmp(methods[i].name, name, n_bytes) == 0)
            return &methods[i];
    return NULL;
}

static bool is_target(const char *target, size_t n_bytes)
{
    if (n_bytes == 0 || *target != '/' || (n_bytes > 1 && target[1] == '/'))
        return false;
    for (size_t i = 0; i < n_bytes; i++)
        if (target[i] <= ' ' || (unsigned char)target[i] >= 0x7F || target[i] == '#')
            return false;
    return true;
}

static bool read_first_line(struct http_head *head, const char *line, size_t n_bytes)
{
    const char *end = line + n_bytes;
    const char *target = memchr(line, ' ', n_bytes);
    const char *version = target ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;
    if (!version || target == line)
        return refuse(head, 400, "the first line is not METHOD TARGET HTTP/1.1");
    target++;
    version++;
    size_t n_version = (size_t)(end - version);
    if (n_version != 8 || memcmp(version, "HTTP/", 5) != 0)
        return refuse(head, 400, "the first line is not METHOD TARGET HTTP/1.1");
    if (memcmp(version, "HTTP/1.1", 8) != 0 && memcmp(version, "HTTP/1.0", 8) != 0)
        return refuse(head, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    head->is_old = version[7] == '0';
    if ((size_t)(version - target) > HTTP_TARGET_BYTES_MAX)
        return refuse(head, 414, "the target is longer than 8 KiB");
    const struct method *method = find_method(line, (size_t)(target - line) - 1);
    if (!method)
        return refuse(head, 501, "there is no such method");
    if (!is_target(target, (size_t)(version - target) - 1))
        return refuse(
            head, 400,
            "the target is not a path of printable ASCII characters that begins with one slash");
    head->may_have_body = method->may_have_body;
    head->is_safe = method->is_safe;
    head->state = HTTP_HEAD_FIELDS;
    return true;
}

/* ---- Name: value ---- */

static bool read_content_length(struct http_head *head, const char *value, size_t n_bytes)
{
    if (head->content_length >= 0)
        return refuse(head, 400, "Content-Length is given twice");
    if (n_bytes == 0 || n_bytes > 18)
        return refuse(head, 400, "Content-Length is not a length");
    head->content_length = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        if (!isdigit((unsigned char)value[i]))
            return refuse(head, 400, "Content-Length is not a length");
        head->content_length = head->content_length * 10 + (value[i] - '0');
    }
    return true;
}

static bool read_transfer_encoding(struct http_head *head, const char *value, size_t n_bytes)
{
    if (head->is_chunked)
        return refuse(head, 400, "Transfer-Encoding is given twice");
    if (!equals(value, n_bytes, "chunked"))
        return refuse(head, 501, "the only Transfer-Encoding is chunked");
    head->is_chunked = true;
    return true;
}

static bool copy(struct http_head *head, char *out, size_t out_bytes, const char *value,
                 size_t n_bytes)
{
    if (n_bytes >= out_bytes)
        return refuse(head, 400, "Host or Origin is too long");
    memcpy(out, value, n_bytes);
    out[n_bytes] = '\0';
    return true;
}

static bool read_field(struct http_head *head, const char *line, size_t n_bytes)
{
    const char *colon = memchr(line, ':', n_bytes);
    if (*line == ' ' || *line == '\t')
        return refuse(head, 400, "a header field is folded over several lines");
    if (!colon)
        return refuse(head, 400, "a header field has no colon");
    size_t n_name = (size_t)(colon - line);
    if (n_name == 0 || n_name > NAME_BYTES_MAX)
        return refuse(head, 400, "the name of a header field is empty or too long");
    for (size_t i = 0; i < n_name; i++)
        if (!is_token_character(line[i]))
            return refuse(head, 400, "the name of a header field has a character it may not have");
    const char *value = colon + 1, *end = line + n_bytes;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t n_value = (size_t)(end - value);
    if (equals(line, n_name, "content-length"))
        return read_content_length(head, value, n_value);
    if (equals(line, n_name, "transfer-encoding"))
        return read_transfer_encoding(head, value, n_value);
    if (equals(line, n_name, "expect") && !equals(value, n_value, "100-continue"))
        return refuse(head, 417, "the only expectation is 100-continue");
    if (equals(line, n_name, "host")) {
        head->n_hosts++;
        return copy(head, head->host, sizeof head->host, value, n_value);
    }
    if (equals(line, n_name, "origin")) {
        head->n_origins++;
        return copy(head, head->origin, sizeof head->origin, value, n_value);
    }
    return true;
}

/* ---- the end of the head ---- */

static bool end_head(struct http_head *head)
{
    bool has_body = head->is_chunked || head->content_length > 0;
    if (head->n_hosts > 1 || (head->n_hosts == 0 && !head->is_old))
        return refuse(head, 400, "exactly one Host is wanted");
    if (head->n_origins > 1)
        return refuse(head, 400, "Origin is given twice");
    if (head->is_chunked && head->content_length >= 0)
        return refuse(head, 400, "Content-Length and Transfer-Encoding are given together");
    if (head->is_chunked && head->is_old)
        return refuse(head, 400, "HTTP/1.0 has no Transfer-Encoding");
    /* evhttp would take the body for the next request */
    if (has_body && !head->may_have_body)
        return refuse(head, 400, "a request by this method has no body");
    if (head->content_length > HTTP_BODY_BYTES_MAX)
        return refuse(head, 413, "the body is larger than 1 MiB");
    head->state = HTTP_HEAD_WHOLE;
    return false;
}

bool http_head_line(struct http_head *head, const char *line, size_t n_bytes)
{
    head->n_bytes += n_bytes + 2;
    if (head->n_bytes > HTTP_HEAD_BYTES_MAX)
        return refuse(head, head->state == HTTP_HEAD_FIRST_LINE ? 414 : 431,
                      "the head of the request is larger than 16 KiB");
    if (!is_clean(line, n_bytes))
        return refuse(head, 400, "the head of the request has a control character");
    if (head->state == HTTP_HEAD_FIRST_LINE)
        return read_first_line(head, line, n_bytes);
    return n_bytes ? read_field(head, line, n_bytes) : end_head(head);
}

static bool is_port(const char *text)
{
    size_t length = strspn(text, "0123456789");
    return length > 0 && length <= 5 && !text[length];
}

bool http_head_host_name(const char *host, char *out)
{
    const char *end = *host == '[' ? strchr(host, ']') : host + strcspn(host, ":");
    if (!end)
        return false;
    end += *host == '[';
    size_t length = (size_t)(end - host);
    if (length == 0 || length >= HTTP_HOST_BYTES || (*end && (*end != ':' || !is_port(end + 1))))
        return false;
    for (size_t i = 0; i < length; i++)
        out[i] = (char)tolower((unsigned char)host[i]);
    out[length] = '\0';
    return true;
}
