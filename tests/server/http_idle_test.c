/*
 * A host with thousands of connections that ask nothing, and some that drip: the others are served.
 * 2,000 of them, 10,000 with LATCHKEY_TEST_LONG.
 */
#include "clock.h"
#include "http_scene.h"
#include "server_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PEERS = 10, /* addresses, from 127.0.0.2 on */
    PER_PEER = 200,
    PER_PEER_LONG = 1000,
    DRIPS = 50,
    ROOM = 5,          /* for others, under the cap */
    FILES_MORE = 1000, /* descriptors of the test and of the host that are no connections */
    ROUNDS = 20,
    SERVED_MS_MAX = 5000,
    CONNECTION_BYTES_MAX = 32 << 10, /* of the host, for one that is idle */
    ADDRESS_BYTES = 24,
};

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_REAL false
#else
#define MEMORY_IS_REAL true
#endif

struct idle {
    struct http_scene *scene;
    int per_peer;
    int n; /* connections that ask nothing */
    int *fds;
    int drips[DRIPS];
};

/* False if this machine does not let us. */
static bool may_open(int n_files)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < (rlim_t)n_files)
        limit.rlim_max = (rlim_t)n_files;
    if (limit.rlim_cur < (rlim_t)n_files)
        limit.rlim_cur = (rlim_t)n_files;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void name_peer(int peer, char out[ADDRESS_BYTES])
{
    snprintf(out, ADDRESS_BYTES, "127.0.0.%d", 2 + peer);
}

static int ask(int fd)
{
    struct http_answer answer;
    http_write_chars(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    http_read(fd, &answer, true);
    int status = answer.status;
    http_answer_done(&answer);
    return status;
}

static int64_t memory_bytes(const struct http_scene *scene)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)scene->host.pid);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    while (fgets(line, sizeof line, stream))
        if (sscanf(line, "VmRSS: %ld kB", &kib) == 1)
            break;
    fclose(stream);
    return (int64_t)kib * 1024;
}

/* Half of them have asked something before. */
static void connect_all(struct idle *idle)
{
    char address[ADDRESS_BYTES];
    for (int i = 0; i < idle->n; i++) {
        name_peer(i / idle->per_peer, address);
        idle->fds[i] = http_connect(idle->scene->port, address);
        assert_true(idle->fds[i] >= 0);
        if (i % 2)
            assert_int_equal(ask(idle->fds[i]), 200);
    }
}

static void begin_drips(struct idle *idle)
{
    for (int i = 0; i < DRIPS; i++) {
        idle->drips[i] = http_connect(idle->scene->port, NULL);
        assert_true(idle->drips[i] >= 0);
        http_write_chars(idle->drips[i], i % 2 ? "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "
                                               : "POST /v1/events/x HTTP/1.1\r\nHost: localhost\r\n"
                                                 "Content-Length: 9999\r\n\r\n");
    }
}

static void drip(const struct idle *idle)
{
    for (int i = 0; i < DRIPS; i++)
        http_write_chars(idle->drips[i], "a");
}

/* What others wait, at most. */
static int64_t serve_others(const struct idle *idle)
{
    int64_t most_us = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char input[32];
        drip(idle);
        int64_t began_us = clock_monotonic_us();
        snprintf(input, sizeof input, "{\"id\":%d}", i + 1);
        json_decref(http_scene_run(idle->scene, "read", input, 200));
        int64_t took_us = clock_monotonic_us() - began_us;
        most_us = took_us > most_us ? took_us : most_us;
        usleep(10 * 1000);
    }
    return most_us;
}

static void expect_full(const struct idle *idle, const char *from)
{
    struct http_answer answer;
    int fd = http_connect(idle->scene->port, from);
    http_read(fd, &answer, true); /* it is not waited for a request */
    assert_int_equal(answer.status, 503);
    assert_true(answer.closed);
    assert_non_null(strstr(answer.body, "too many connections"));
    http_answer_done(&answer);
    close(fd);
}

/* Those that served others are closed by us, and seen to be so a little later. */
static void fill_the_room(const struct idle *idle, int out[ROOM])
{
    int n = 0;
    for (int i = 0; n < ROOM; i++) {
        out[n] = http_connect(idle->scene->port, "127.0.0.100");
        int status = ask(out[n]);
        if (status == 200) {
            n++;
            continue;
        }
        assert_int_equal(status, 503);
        close(out[n]);
        assert_true(i < HTTP_SCENE_PATIENCE_MS / 10);
        usleep(10 * 1000);
    }
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

static void start(struct idle *idle)
{
    char in_all[16], per_peer[16];
    snprintf(in_all, sizeof in_all, "%d", idle->n + DRIPS + ROOM);
    snprintf(per_peer, sizeof per_peer, "%d", idle->per_peer);
    http_scene_start(idle->scene,
                     (const char *const[]){"--connections", in_all, "--connections-per-peer",
                                           per_peer, "--request-timeout", "60s", NULL});
}

static void among_idle_and_dripping_connections_the_others_are_served(void **state)
{
    struct idle idle = {.scene = *state,
                        .per_peer = getenv("LATCHKEY_TEST_LONG") ? PER_PEER_LONG : PER_PEER};
    int room[ROOM];
    idle.n = PEERS * idle.per_peer;
    if (!may_open(idle.n + FILES_MORE)) {
        print_message("no %d files may be open here\n", idle.n + FILES_MORE);
        skip();
    }
    idle.fds = calloc((size_t)idle.n, sizeof *idle.fds);
    assert_non_null(idle.fds);
    start(&idle);
    json_decref(http_scene_run(idle.scene, "read", "{\"id\":1}", 200));
    int64_t before = memory_bytes(idle.scene), began_us = clock_monotonic_us();
    connect_all(&idle);
    int64_t took_us = clock_monotonic_us() - began_us;
    int64_t each = (memory_bytes(idle.scene) - before) / idle.n;
    begin_drips(&idle);
    int64_t most_us = serve_others(&idle);
    print_message("%d idle connections, made in %.1f s, of %lld bytes each; others were served "
                  "within %.1f ms\n",
                  idle.n, (double)took_us / 1e6, (long long)each, (double)most_us / 1e3);
    assert_true(most_us < SERVED_MS_MAX * 1000);
    assert_true(each < CONNECTION_BYTES_MAX || !MEMORY_IS_REAL);

    expect_full(&idle, "127.0.0.2");
    fill_the_room(&idle, room);
    expect_full(&idle, "127.0.0.101");
    for (int i = 0; i < idle.n; i += idle.n / 20) /* and no idle one was closed for others */
        assert_int_equal(ask(idle.fds[i]), 200);
    close_all(idle.fds, idle.n);
    close_all(room, ROOM);
    json_decref(http_scene_run(idle.scene, "read", "{\"id\":1}", 200));
    close_all(idle.drips, DRIPS);
    http_scene_stop(idle.scene, 0);
    free(idle.fds);
}

int http_idle_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(among_idle_and_dripping_connections_the_others_are_served,
                                        http_scene_prepare, http_scene_tear_down),
    };
    return cmocka_run_group_tests_name("http_idle", tests, NULL, NULL);
}
