/* Heads of requests, line by line: what is refused, and with which status. */
#include "server_tests.h"

#include "http_access.h"
#include "http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void read_head(const char *text, struct http_head *head)
{
    http_head_init(head);
    for (const char *at = text;;) {
        size_t n = strcspn(at, "|");
        if (!http_head_line(head, at, n))
            return;
        assert_true(at[n] == '|');
        at += n + 1;
    }
}

static void heads_are_read_strictly(void **state)
{
    /* lines end in "|"; 0 = it is fine */
    static const struct {
        const char *head;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1|Host: a||", 0},
        {"POST /a?b=c HTTP/1.1|host: a:80|Content-Length: 5||", 0},
        {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked||", 0},
        {"GET / HTTP/1.0||", 0},
        {"GET / HTTP/1.1|Host: a|Content-Length: 0||", 0},
        {"|", 400},
        {"GET|", 400},
        {"GET /|", 400},
        {"GET  / HTTP/1.1|", 400},
        {"GET / HTTP/1.1 x|", 400},
        {"GET / http/1.1|", 400},
        {"GET / HTTP/2.0|", 505},
        {"get / HTTP/1.1|", 501},
        {"BREW / HTTP/1.1|", 501},
        {"GET http://a/ HTTP/1.1|", 400},
        {"GET * HTTP/1.1|", 400},
        {"GET /\xC3\xA4 HTTP/1.1|", 400},
        {"GET /#x HTTP/1.1|", 400},
        {"GET / HTTP/1.1||", 400},
        {"GET / HTTP/1.1|Host: a|Host: a||", 400},
        {"GET / HTTP/1.1|Host: a|: x|", 400},
        {"GET / HTTP/1.1|Host : a|", 400},
        {"GET / HTTP/1.1|Host: a| folded|", 400},
        {"GET / HTTP/1.1|Host: a|\tfolded|", 400},
        {"GET / HTTP/1.1|Host: a|no colon|", 400},
        {"GET / HTTP/1.1|Host: a|X: \x01|", 400},
        {"GET / HTTP/1.1|Host: a|X: a\rb|", 400},
        {"GET / HTTP/1.1|Host: a|Content-Length: 5||", 400},
        {"DELETE / HTTP/1.1|Host: a|Transfer-Encoding: chunked||", 400},
        {"POST / HTTP/1.1|Host: a|Content-Length: 5|Content-Length: 5|", 400},
        {"POST / HTTP/1.1|Host: a|Content-Length: 5, 5|", 400},
        {"POST / HTTP/1.1|Host: a|Content-Length: +5|", 400},
        {"POST / HTTP/1.1|Host: a|Content-Length: 0x5|", 400},
        {"POST / HTTP/1.1|Host: a|Content-Length:|", 400},
        {"POST / HTTP/1.1|Host: a|Content-Length: 99999999999999999999|", 400},
        {"POST / HTTP/1.1|Host: a|Content-Length: 5|Transfer-Encoding: chunked||", 400},
        {"POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked|", 400},
        {"POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked|", 501},
        {"POST / HTTP/1.1|Host: a|Transfer-Encoding: xchunked|", 501},
        {"POST / HTTP/1.0|Transfer-Encoding: chunked||", 400},
        {"POST / HTTP/1.1|Host: a|Content-Length: 1048576||", 0},
        {"POST / HTTP/1.1|Host: a|Content-Length: 1048577||", 413},
        {"POST / HTTP/1.1|Host: a|Origin: http://a|Origin: http://b||", 400},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head;
        read_head(cases[i].head, &head);
        bool whole = head.state == HTTP_HEAD_WHOLE;
        if (whole != (cases[i].status == 0) || (!whole && head.status != cases[i].status))
            fail_msg("%s: %d (%s)", cases[i].head, head.status, head.why ? head.why : "");
    }
}

static void heads_have_limits(void **state)
{
    struct http_head head;
    char *line = malloc(HTTP_HEAD_BYTES_MAX + 100);
    (void)state;
    assert_non_null(line);
    memset(line, 'a', HTTP_HEAD_BYTES_MAX + 100);
    memcpy(line, "GET /", 5);
    memcpy(line + HTTP_TARGET_BYTES_MAX + 10, " HTTP/1.1", 9);
    http_head_init(&head);
    assert_false(http_head_line(&head, line, HTTP_TARGET_BYTES_MAX + 19));
    assert_int_equal(head.status, 414);
    http_head_init(&head);
    assert_true(http_head_line(&head, "GET / HTTP/1.1", 14));
    int n = 0;
    while (http_head_line(&head, "Name: value", 11))
        n++;
    assert_int_equal(head.status, 431);
    assert_true(n > 1000 && n < HTTP_HEAD_BYTES_MAX / 13);
    free(line);
}

static void names_of_hosts_are_cut_out(void **state)
{
    static const struct {
        const char *host;
        const char *name; /* NULL: it is none */
    } cases[] = {
        {"LocalHost:8080", "localhost"},
        {"[::1]:80", "[::1]"},
        {"[::1]", "[::1]"},
        {"a.b", "a.b"},
        {"", NULL},
        {":80", NULL},
        {"[::1", NULL},
        {"a:b", NULL},
        {"a:", NULL},
        {"a:123456", NULL},
        {"[::1]x", NULL},
    };
    char name[HTTP_HOST_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_name = http_head_host_name(cases[i].host, name);
        assert_int_equal(is_name, cases[i].name != NULL);
        if (is_name)
            assert_string_equal(name, cases[i].name);
    }
}

/* The SHA-256 of "abc" and of "" */
#define HASH_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HASH_NONE "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char *file_of(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/latchkey-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void tokens_are_known_by_their_hash(void **state)
{
    struct http_access *access = NULL;
    struct fault fault;
    const char *name = NULL;
    (void)state;
    const char *path = file_of("# who\n\noperator " HASH_ABC " ann\nadmin " HASH_NONE "\n");
    assert_true(http_access_read(path, &access, &fault));
    unlink(path);
    assert_int_equal(http_access_role(access, "abc", &name), HTTP_ROLE_OPERATOR);
    assert_string_equal(name, "ann");
    assert_int_equal(http_access_role(access, "abd", &name), HTTP_ROLE_NONE);
    assert_int_equal(http_access_role(access, HASH_ABC, &name), HTTP_ROLE_NONE);
    assert_int_equal(http_access_role(access, "", &name), HTTP_ROLE_NONE);
    http_access_free(access);
}

static void bad_files_of_tokens_are_refused_by_line(void **state)
{
    static const char *const cases[] = {
        "",
        "# nothing\n",
        "viewer\n",
        "viewer abc\n",
        "boss " HASH_ABC "\n",
        "viewer " HASH_ABC " a b\n",
        "viewer " HASH_ABC "0\n",
    };
    struct http_access *access = NULL;
    struct fault fault;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = file_of(cases[i]);
        assert_false(http_access_read(path, &access, &fault));
        assert_int_equal(fault.kind, FAULT_INVALID);
        assert_null(strstr(fault.text, "ba7816"));
        unlink(path);
    }
    assert_false(http_access_read("/nowhere", &access, &fault));
}

int http_head_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_read_strictly),
        cmocka_unit_test(heads_have_limits),
        cmocka_unit_test(names_of_hosts_are_cut_out),
        cmocka_unit_test(tokens_are_known_by_their_hash),
        cmocka_unit_test(bad_files_of_tokens_are_refused_by_line),
    };
    return cmocka_run_group_tests_name("http_head", tests, NULL, NULL);
}
