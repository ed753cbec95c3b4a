#include "http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PATIENCE_SECONDS = 60,
    HEAD_BYTES_MAX = 64 << 10,
    BODY_BYTES_MAX = 64 << 20,
};

int http_connect(int port, const char *from)
{
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in own = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (from) {
        assert_int_equal(inet_pton(AF_INET, from, &own.sin_addr), 1);
        assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

void http_write(int fd, const void *bytes, size_t n_bytes)
{
    const char *at = bytes;
    while (n_bytes > 0) {
        ssize_t n = send(fd, at, n_bytes, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        n_bytes -= (size_t)n;
    }
}

void http_write_chars(int fd, const char *chars)
{
    http_write(fd, chars, strlen(chars));
}

/* False at the end of the stream. */
static bool read_byte(int fd, char *out)
{
    ssize_t n = recv(fd, out, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        fail_msg("no answer within %d s", PATIENCE_SECONDS);
    return n == 1;
}

static bool read_line(int fd, char *out, size_t out_bytes)
{
    size_t n = 0;
    while (n < out_bytes - 1 && read_byte(fd, &out[n]))
        if (out[n++] == '\n') {
            out[n] = '\0';
            return true;
        }
    out[n] = '\0';
    return false;
}

static void read_bytes(int fd, struct http_answer *answer, size_t n_bytes)
{
    assert_true(answer->length + n_bytes <= BODY_BYTES_MAX);
    answer->body = realloc(answer->body, answer->length + n_bytes + 1);
    assert_non_null(answer->body);
    while (n_bytes > 0) {
        ssize_t n = recv(fd, answer->body + answer->length, n_bytes, 0);
        assert_true(n > 0);
        answer->length += (size_t)n;
        n_bytes -= (size_t)n;
    }
    answer->body[answer->length] = '\0';
}

static void read_chunks(int fd, struct http_answer *answer)
{
    char line[64];
    for (;;) {
        assert_true(read_line(fd, line, sizeof line));
        size_t n = strtoul(line, NULL, 16);
        read_bytes(fd, answer, n);
        assert_true(read_line(fd, line, sizeof line));
        if (n == 0)
            return;
    }
}

void http_field_of(const struct http_answer *answer, const char *name, char *out, size_t out_bytes)
{
    char wanted[80];
    snprintf(wanted, sizeof wanted, "\n%s:", name);
    const char *at = strcasestr(answer->head, wanted);
    *out = '\0';
    if (!at)
        return;
    at += strlen(wanted);
    at += strspn(at, " ");
    size_t length = strcspn(at, "\r\n");
    assert_true(length < out_bytes);
    memcpy(out, at, length);
    out[length] = '\0';
}

void http_read(int fd, struct http_answer *answer, bool want_body)
{
    char field[256];
    size_t length = 0;
    *answer = (struct http_answer){.head = calloc(1, HEAD_BYTES_MAX), .body = calloc(1, 1)};
    assert_true(answer->head && answer->body);
    while (read_line(fd, answer->head + length, HEAD_BYTES_MAX - length)) {
        size_t n = strlen(answer->head + length);
        length += n;
        if (n <= 2)
            break;
    }
    if (length == 0) {
        answer->closed = true;
        return;
    }
    assert_int_equal(sscanf(answer->head, "HTTP/1.%*d %d", &answer->status), 1);
    if (answer->status == 100) {
        http_answer_done(answer);
        http_read(fd, answer, want_body);
        return;
    }
    http_field_of(answer, "Content-Length", field, sizeof field);
    if (*field && want_body)
        read_bytes(fd, answer, strtoul(field, NULL, 10));
    http_field_of(answer, "Transfer-Encoding", field, sizeof field);
    if (*field && want_body)
        read_chunks(fd, answer);
    http_field_of(answer, "Connection", field, sizeof field);
    char byte;
    if (strcasecmp(field, "close") == 0)
        answer->closed = !read_byte(fd, &byte);
}

void http_answer_done(struct http_answer *answer)
{
    free(answer->head);
    free(answer->body);
}

void http_call(int port, const char *method, const char *path, const char *headers,
               const char *body, struct http_answer *answer)
{
    int fd = http_connect(port, NULL);
    char *request = NULL;
    char length[64] = "";
    assert_true(fd >= 0);
    if (body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    assert_true(asprintf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n%s", method, path,
                         headers ? headers : "", length, body ? body : "") > 0);
    http_write_chars(fd, request);
    http_read(fd, answer, strcmp(method, "HEAD") != 0);
    free(request);
    close(fd);
}

json_t *http_expect(int port, const char *method, const char *path, const char *headers,
                    const char *body, int status)
{
    struct http_answer answer;
    http_call(port, method, path, headers, body, &answer);
    json_t *value = json_loads(answer.body, JSON_DECODE_ANY, NULL);
    if (answer.status != status)
        print_error("%s %s\n%s%s\n", method, path, answer.head, answer.body);
    assert_int_equal(answer.status, status);
    http_answer_done(&answer);
    return value;
}
