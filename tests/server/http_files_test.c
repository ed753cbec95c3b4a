/* A host that runs out of file descriptors: who is connected is served, who is not waits. */
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    FILES_LEFT = 8,
    CLIENTS = 40,
    WATCHED_SECONDS = 2,
    CPU_MS_MAX = 250, /* in that time; one that tries without end takes all it can get */
};

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

static bool is_open(const struct http_scene *scene, int fd)
{
    char path[64];
    struct stat about;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)scene->host.pid, fd);
    return lstat(path, &about) == 0;
}

/* The limit is one of numbers, and there are gaps between those in use. */
static void leave_files(const struct http_scene *scene, int n_left)
{
    int most = 0;
    for (int n_free = 0; n_free < n_left; most++)
        n_free += !is_open(scene, most);
    struct rlimit limit = {.rlim_cur = (rlim_t)most, .rlim_max = (rlim_t)most};
    assert_int_equal(prlimit(scene->host.pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

static int64_t cpu_ms(const struct http_scene *scene)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)scene->host.pid);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    assert_true(fread(text, 1, sizeof text - 1, stream) > 0);
    fclose(stream);
    const char *at = strrchr(text, ')');
    assert_non_null(at);
    assert_int_equal(
        sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

static bool is_answered(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* Reads the answers that are there and closes their connections. How many they were. */
static int take_answers(int fds[CLIENTS])
{
    int n = 0;
    for (int i = 0; i < CLIENTS; i++) {
        struct http_answer answer;
        if (fds[i] < 0 || !is_answered(fds[i]))
            continue;
        http_read(fds[i], &answer, true);
        assert_int_equal(answer.status, 200);
        http_answer_done(&answer);
        close(fds[i]);
        fds[i] = -1;
        n++;
    }
    return n;
}

static int count_answered(const int fds[CLIENTS])
{
    int n = 0;
    for (int i = 0; i < CLIENTS; i++)
        n += fds[i] >= 0 && is_answered(fds[i]);
    return n;
}

static void run_on(int fd)
{
    struct http_answer answer;
    http_write_chars(fd,
                     "POST /v1/workflows/read/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                     "Content-Length: 18\r\n\r\n{\"input\":{\"id\":1}}");
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 200);
    http_answer_done(&answer);
}

static void a_host_without_file_descriptors_waits_for_some(void **state)
{
    struct http_scene *scene = *state;
    int fds[CLIENTS], own = http_connect(scene->port, NULL), n_done = 0;
    run_on(own);
    leave_files(scene, FILES_LEFT);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = http_connect(scene->port, NULL);
        assert_true(fds[i] >= 0); /* the kernel takes it; the host may not yet */
        http_write_chars(fds[i], request);
    }
    usleep(500 * 1000);
    int n_answered = count_answered(fds);
    int64_t cpu_before_ms = cpu_ms(scene);
    sleep(WATCHED_SECONDS);
    int64_t used_ms = cpu_ms(scene) - cpu_before_ms;
    print_message("%d of %d were answered at first; waiting took %lld ms of the processor\n",
                  n_answered, CLIENTS, (long long)used_ms);
    assert_true(count_answered(fds) < CLIENTS);
    assert_true(used_ms < CPU_MS_MAX);
    run_on(own);
    for (int i = 0; n_done < CLIENTS; i++) {
        n_done += take_answers(fds);
        usleep(10 * 1000);
        assert_true(i < HTTP_SCENE_PATIENCE_MS / 10);
    }
    run_on(own);
    close(own);
    http_scene_stop(scene, 0);
}

int http_files_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_host_without_file_descriptors_waits_for_some,
                                        http_scene_set_up, http_scene_tear_down),
    };
    return cmocka_run_group_tests_name("http_files", tests, NULL, NULL);
}
