#include "program.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    ARGUMENTS_MAX = 32,
    SECONDS_MAX = 120, /* of one run, before it is taken for hanging */
};

static _Noreturn void become(const struct program *program, const char *const *arguments)
{
    const char *argv[ARGUMENTS_MAX + 2] = {LATCHKEY_PROGRAM};
    int null_fd = open("/dev/null", O_RDONLY);
    for (int i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[i + 1] = arguments[i];
    dup2(null_fd, STDIN_FILENO);
    dup2(program->out_fd, STDOUT_FILENO);
    dup2(program->err_fd, STDERR_FILENO);
    alarm(SECONDS_MAX);
    execv(LATCHKEY_PROGRAM, (char *const *)argv);
    _exit(127);
}

void program_start(struct program *program, const char *const *arguments)
{
    *program = (struct program){
        .out_fd = memfd_create("out", MFD_CLOEXEC),
        .err_fd = memfd_create("err", MFD_CLOEXEC),
    };
    assert_true(program->out_fd >= 0 && program->err_fd >= 0);
    program->pid = fork();
    assert_true(program->pid >= 0);
    if (program->pid == 0)
        become(program, arguments);
}

static char *read_all(int fd)
{
    off_t length = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)length + 1);
    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t)length, 0), length);
    return text;
}

void program_wait(struct program *program)
{
    int status;
    struct rusage usage;
    assert_int_equal(wait4(program->pid, &status, 0, &usage), program->pid);
    program->peak_kib = usage.ru_maxrss;
    program->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    program->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    program->out = read_all(program->out_fd);
    program->err = read_all(program->err_fd);
}

void program_done(struct program *program)
{
    close(program->out_fd);
    close(program->err_fd);
    free(program->out);
    free(program->err);
}

static void show(const struct program *program)
{
    print_error("exit %d\n--- stdout\n%s--- stderr\n%s---\n", program->exit_code, program->out,
                program->err);
}

json_t *program_json(const struct program *program)
{
    json_t *value = json_loads(program->out, 0, NULL);
    if (!value) {
        show(program);
        fail();
    }
    return value;
}

json_t *program_answer_of(const char *const *arguments, int exit_code)
{
    struct program program;
    program_start(&program, arguments);
    program_wait(&program);
    program_expect(&program, exit_code);
    json_t *answer = program_json(&program);
    program_done(&program);
    return answer;
}

const char *program_member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

void program_expect(const struct program *program, int exit_code)
{
    if (program->exit_code == exit_code)
        return;
    show(program);
    assert_int_equal(program->exit_code, exit_code);
}

void program_expect_err(const struct program *program, const char *part)
{
    if (strstr(program->err, part))
        return;
    show(program);
    print_error("stderr has no \"%s\"\n", part);
    fail();
}

char *program_file(const char *text)
{
    char path[] = "/tmp/latchkey-test-XXXXXX.yaml";
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    char *copy = strdup(path);
    assert_non_null(copy);
    return copy;
}
