/*
 * latchkey as it is installed: into a directory under the build, from which programs of their own
 * are built elsewhere.
 */
#include "desk.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PREFIX BUILD "/installed"
#define ELSEWHERE BUILD "/elsewhere"

enum {
    COMMAND_BYTES = 4096,
    TEXT_BYTES = 128 * 1024,
};

/* Shows what it says only when it fails. */
static bool shell(const char *command)
{
    char whole[COMMAND_BYTES + 128];
    snprintf(whole, sizeof whole, "{ %s ; } > " BUILD "/installed.log 2>&1", command);
    if (system(whole) == 0) /* NOLINT(cert-env33-c): a test of what people type */
        return true;
    fprintf(stderr, "%s\n", command);
    if (system("cat " BUILD "/installed.log >&2") != 0) /* NOLINT(cert-env33-c) */
        perror("cat");
    return false;
}

static int install(void **state)
{
    if (!shell("rm -rf " PREFIX " " ELSEWHERE " && mkdir " ELSEWHERE " && " CMAKE
               " --install " BUILD " --prefix " PREFIX))
        return -1;
    return desk_open(state);
}

/* The whole output, up to its size. */
static void output_of(const char *command, char *out, size_t out_bytes)
{
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c) */
    size_t n = fread(out, 1, out_bytes - 1, pipe);
    out[n] = '\0';
    if (pclose(pipe) != 0)
        fail_msg("%s", command);
}

static void everything_is_where_it_belongs(void **state)
{
    static const char *const files[] = {
        "bin/latchkey",
        LIBDIR "/liblatchkey.so",
        "include/latchkey.h",
        LIBDIR "/pkgconfig/latchkey.pc",
        LIBDIR "/cmake/latchkey/latchkeyConfig.cmake",
        LIBDIR "/cmake/latchkey/latchkeyConfigVersion.cmake",
        LIBDIR "/cmake/latchkey/latchkeyTargets.cmake",
        "share/man/man1/latchkey.1",
        "share/man/man1/latchkey-run.1",
        "share/bash-completion/completions/latchkey",
        "share/zsh/site-functions/_latchkey",
    };
    char path[COMMAND_BYTES], text[256];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, PREFIX "/%s", files[i]);
        if (access(path, R_OK) != 0)
            fail_msg("%s is not installed", files[i]);
    }
    output_of("ls " PREFIX "/include", text, sizeof text);
    assert_string_equal(text, "latchkey.h\n"); /* and no header of the layers */
}

/* ---- the program of the README ---- */

static void read_whole(const char *file, char *out, size_t out_bytes)
{
    FILE *stream = fopen(file, "r");
    assert_non_null(stream);
    size_t n = fread(out, 1, out_bytes - 1, stream);
    out[n] = '\0';
    fclose(stream);
}

static void write_program_of_readme(const char *file)
{
    static char readme[TEXT_BYTES];
    read_whole(SOURCE "/README.md", readme, sizeof readme);
    char *begin = strstr(readme, "```c\n"), *end = begin ? strstr(begin + 5, "```\n") : NULL;
    assert_non_null(end);
    FILE *out = fopen(file, "w");
    assert_int_equal(fwrite(begin + 5, 1, (size_t)(end - begin - 5), out), end - begin - 5);
    assert_int_equal(fclose(out), 0);
}

static void append(const char *file, const char *text)
{
    FILE *stream = fopen(file, "a");
    assert_non_null(stream);
    fputs(text, stream);
    assert_int_equal(fclose(stream), 0);
}

/* Runs it as it was built. */
static void run_program_of_readme(struct desk *desk, const char *program)
{
    char command[COMMAND_BYTES], said[512];
    fixture_exec(desk->sql, "CREATE TABLE message (id integer PRIMARY KEY, read integer NOT NULL);"
                            "INSERT INTO message VALUES (42, 7)");
    snprintf(command, sizeof command,
             PREFIX "/bin/latchkey publish --database '%s' " SOURCE
                    "/samples/message-read/message-read.yaml",
             desk->conninfo);
    if (!shell(command))
        fail();
    snprintf(command, sizeof command, "LATCHKEY_DATABASE='%s' %s", desk->conninfo, program);
    output_of(command, said, sizeof said);
    assert_string_equal(said, "message-read completed \n");
    assert_int_equal(fixture_int(desk->sql, "SELECT read FROM message WHERE id = 42"), 8);
    fixture_exec(desk->sql, "DROP TABLE message");
}

static void the_program_of_the_readme_runs_a_workflow(void **state)
{
    write_program_of_readme(ELSEWHERE "/read.c");
    if (!shell("export PKG_CONFIG_PATH=" PREFIX "/" LIBDIR "/pkgconfig; " COMPILER " " SANITIZE
               " -Wall -Wextra -Werror " ELSEWHERE "/read.c -o " ELSEWHERE "/read "
               "$(pkg-config --cflags --libs latchkey) -Wl,-rpath," PREFIX "/" LIBDIR))
        fail();
    run_program_of_readme(*state, ELSEWHERE "/read");
}

/* As docs/c-api.md says, by pkg-config and by the CMake package; the program has names of its own
 * that the layers have too, and needs no liblatchkey.so. */
static void it_runs_with_the_static_library(void **state)
{
    static const char own_names[] = "\nint log_line(void);\nint log_line(void) { return 1; }\n"
                                    "int text_add(void);\nint text_add(void) { return 2; }\n";
    static const char project[] = "cmake_minimum_required(VERSION 3.24)\n"
                                  "project(mine LANGUAGES C)\n"
                                  "find_package(latchkey 0.1 REQUIRED)\n"
                                  "add_executable(mine ../read.c)\n"
                                  "target_link_libraries(mine PRIVATE latchkey::static)\n";
    char needed[TEXT_BYTES / 16];
    if (!HAS_STATIC)
        skip();
    write_program_of_readme(ELSEWHERE "/read.c");
    append(ELSEWHERE "/read.c", own_names);
    if (!shell("export PKG_CONFIG_PATH=" PREFIX "/" LIBDIR "/pkgconfig; " COMPILER
               " -Wall -Wextra -Werror " ELSEWHERE "/read.c -o " ELSEWHERE "/read_static "
               "$(pkg-config --cflags --static --libs latchkey |"
               " sed s/-llatchkey/-l:liblatchkey.a/)"))
        fail();
    output_of("readelf -d " ELSEWHERE "/read_static", needed, sizeof needed);
    assert_non_null(strstr(needed, "libpq.so"));
    assert_null(strstr(needed, "liblatchkey.so"));
    run_program_of_readme(*state, ELSEWHERE "/read_static");
    if (!shell("mkdir -p " ELSEWHERE "/mine"))
        fail();
    append(ELSEWHERE "/mine/CMakeLists.txt", project);
    if (!shell(CMAKE " -S " ELSEWHERE "/mine -B " ELSEWHERE "/mine/build -G Ninja "
                     "-DCMAKE_PREFIX_PATH=" PREFIX " -DCMAKE_C_COMPILER=" COMPILER " && " CMAKE
                     " --build " ELSEWHERE "/mine/build"))
        fail();
    run_program_of_readme(*state, ELSEWHERE "/mine/build/mine");
}

/* ---- samples/embedded-host ---- */

struct guest {
    pid_t pid;
    int port;
};

static struct guest start(const char *conninfo)
{
    struct guest guest = {0};
    char line[256] = "";
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    guest.pid = fork();
    assert_true(guest.pid >= 0);
    if (guest.pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        setenv("LATCHKEY_DATABASE", conninfo, 1);
        execl(ELSEWHERE "/host/embedded-host", "embedded-host",
              SOURCE "/samples/embedded-host/visit.yaml", "0", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *said = fdopen(ends[0], "r");
    assert_non_null(fgets(line, sizeof line, said));
    fclose(said);
    if (sscanf(line, "visit, version %*d, on port %d", &guest.port) != 1)
        fail_msg("it says: %s", line);
    return guest;
}

static void stop(const struct guest *guest)
{
    int status = 0;
    kill(guest->pid, SIGTERM);
    assert_int_equal(waitpid(guest->pid, &status, 0), guest->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int send_request(const struct guest *guest, const char *method, const char *path)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)guest->port)};
    char request[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    int n = snprintf(request, sizeof request,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                     "Connection: close\r\n\r\n",
                     method, path);
    assert_int_equal(write(fd, request, (size_t)n), n);
    return fd;
}

/* The status; the whole answer in out. */
static int read_answer(int fd, char *out, size_t out_bytes)
{
    size_t length = 0;
    ssize_t n;
    int status = 0;
    while (length < out_bytes - 1 && (n = read(fd, out + length, out_bytes - 1 - length)) > 0)
        length += (size_t)n;
    out[length] = '\0';
    close(fd);
    sscanf(out, "HTTP/1.1 %d", &status);
    return status;
}

static void the_sample_builds_and_admits_no_more_than_there_is_room(void **state)
{
    enum {
        VISITORS = 50,
        ROOM = 30,
    };
    struct desk *desk = *state;
    static char schema[TEXT_BYTES];
    char answer[4096];
    int fds[VISITORS], n_admitted = 0, n_refused = 0;
    if (!shell(CMAKE " -S " SOURCE "/samples/embedded-host -B " ELSEWHERE "/host -G Ninja "
                     "-DCMAKE_PREFIX_PATH=" PREFIX " -DCMAKE_C_COMPILER=" COMPILER
                     " '-DCMAKE_C_FLAGS=" SANITIZE " -Werror' && " CMAKE " --build " ELSEWHERE
                     "/host"))
        fail();
    read_whole(SOURCE "/samples/embedded-host/schema.sql", schema, sizeof schema);
    fixture_exec(desk->sql, schema);
    struct guest guests[] = {start(desk->conninfo), start(desk->conninfo)};
    for (int i = 0; i < VISITORS; i++)
        fds[i] = send_request(&guests[i % 2], "POST", "/doors/1");
    for (int i = 0; i < VISITORS; i++) {
        int status = read_answer(fds[i], answer, sizeof answer);
        if (status == 200 && strstr(answer, "\"status\":\"completed\"") &&
            strstr(answer, "\"door/1\""))
            n_admitted++;
        else if (status == 422 && strstr(answer, "the house is full"))
            n_refused++;
        else
            fail_msg("%s", answer);
    }
    assert_int_equal(n_admitted, ROOM);
    assert_int_equal(n_refused, VISITORS - ROOM);
    assert_int_equal(fixture_int(desk->sql, "SELECT visitors FROM door WHERE id = 1"), ROOM);
    assert_int_equal(
        read_answer(send_request(&guests[0], "POST", "/doors/9"), answer, sizeof answer), 404);
    assert_int_equal(
        read_answer(send_request(&guests[0], "GET", "/doors/1"), answer, sizeof answer), 404);
    close(send_request(&guests[0], "POST", "/doors/2")); /* a client that does not wait */
    fixture_eventually_true(desk->sql, "SELECT visitors = 1 FROM door WHERE id = 2", 60000);
    int64_t n_hosts = fixture_int(desk->sql, "SELECT count(*) FROM latchkey.host");
    stop(&guests[0]);
    stop(&guests[1]);
    assert_int_equal(fixture_int(desk->sql, "SELECT count(*) FROM latchkey.host"), n_hosts - 2);
}

int installed_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_where_it_belongs),
        cmocka_unit_test(the_program_of_the_readme_runs_a_workflow),
        cmocka_unit_test(it_runs_with_the_static_library),
        cmocka_unit_test(the_sample_builds_and_admits_no_more_than_there_is_room),
    };
    return cmocka_run_group_tests_name("installed", tests, install, desk_close);
}
