/* Manual pages and completions tell every command and every option. */
#include "completion.h"
#include "manual.h"
#include "server_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Not inlined: gcc 12 would take what open_memstream wrote to `text` for the address of `text`. */
__attribute__((noinline)) static char *page(const struct command_row *command)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *out = open_memstream(&text, &n_bytes);
    manual_write(command, out);
    fclose(out);
    return text;
}

__attribute__((noinline)) static char *completion(void (*write)(FILE *out))
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *out = open_memstream(&text, &n_bytes);
    write(out);
    fclose(out);
    return text;
}

/* In roff a hyphen is written as a minus. */
static bool has(const char *text, const char *before, const char *name, const char *after,
                bool in_roff)
{
    char wanted[256], escaped[512];
    size_t n = 0;
    snprintf(wanted, sizeof wanted, "%s%s%s", before, name, after);
    for (const char *c = wanted; *c; c++) {
        if (in_roff && *c == '-')
            escaped[n++] = '\\';
        escaped[n++] = *c;
    }
    escaped[n] = '\0';
    return strstr(text, escaped) != NULL;
}

static bool is_hidden(const struct command_option_row *row)
{
    return row->manner == OPTION_HIDDEN;
}

static void every_command_and_option_has_its_place_in_the_manual(void **state)
{
    (void)state;
    char *whole = page(NULL);
    int n_options = 0;
    for (const struct command_row *command = commands; command->name; command++) {
        char *text = page(command);
        if (!has(whole, "latchkey-", command->name, "", true))
            fail_msg("latchkey(1) does not tell %s", command->name);
        assert_true(has(text, "latchkey-", command->name, "", true));
        for (const struct command_option_row *row = command_options; row->name; row++) {
            bool is_its = row->commands & 1u << command->id &&
                          command_find_option(command, row->name, strlen(row->name)) == row;
            bool told = has(text, "\n.TP\n\\fB--", row->name, "\\fR", true);
            if (is_its && told == is_hidden(row))
                fail_msg("latchkey-%s(1): --%s", command->name, row->name);
            n_options += is_its;
        }
        free(text);
    }
    assert_true(n_options > 50);
    assert_non_null(strstr(whole, ".B 75 unknown\n"));
    free(whole);
}

static void no_line_of_the_manual_is_a_request_by_chance(void **state)
{
    static const char *const known[] = {".TH ", ".SH ", ".TP", ".B ", ".BR ", ".I "};
    (void)state;
    for (const struct command_row *command = commands; command->name; command++) {
        char *text = page(command);
        char *rest;
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            bool is_known = *line != '.' && *line != '\'';
            for (size_t i = 0; i < sizeof known / sizeof *known; i++)
                is_known |= strncmp(line, known[i], strlen(known[i])) == 0;
            if (!is_known)
                fail_msg("latchkey-%s(1): %s", command->name, line);
        }
        free(text);
    }
}

/* What bash offers for a line, one a line, as it does on a terminal. */
static void offered(const char *words, int at, char *out, size_t out_bytes)
{
    char file[] = "/tmp/latchkey-completion-XXXXXX", command[512];
    char *script = completion(completion_write_bash);
    int fd = mkstemp(file);
    assert_int_equal(write(fd, script, strlen(script)), strlen(script));
    close(fd);
    free(script);
    snprintf(command, sizeof command,
             "bash -c '. %s; COMP_WORDS=(%s); COMP_CWORD=%d; _latchkey; "
             "printf \"%%s\\n\" \"${COMPREPLY[@]}\"'",
             file, words, at);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): the shell is what is tested */
    size_t n = fread(out, 1, out_bytes - 1, pipe);
    out[n] = '\0';
    assert_int_equal(pclose(pipe), 0);
    unlink(file);
}

static bool is_offered(const char *answer, const char *before, const char *name)
{
    char line[128];
    char in_lines[8192];
    snprintf(line, sizeof line, "\n%s%s\n", before, name);
    snprintf(in_lines, sizeof in_lines, "\n%s", answer);
    return strstr(in_lines, line) != NULL;
}

static void bash_completes_every_command_and_option(void **state)
{
    char answer[8000], words[128];
    (void)state;
    offered("latchkey \"\"", 1, answer, sizeof answer);
    for (const struct command_row *command = commands; command->name; command++)
        if (!is_offered(answer, "", command->name))
            fail_msg("%s is not offered", command->name);
    for (const struct command_row *command = commands; command->name; command++) {
        snprintf(words, sizeof words, "latchkey %s --", command->name);
        offered(words, 2, answer, sizeof answer);
        for (const struct command_option_row *row = command_options; row->name; row++) {
            bool is_its = row->commands & 1u << command->id && !is_hidden(row);
            bool is_there = is_offered(answer, "--", row->name);
            if (is_its && !is_there)
                fail_msg("%s --%s is not offered", command->name, row->name);
            if (is_hidden(row) && is_there)
                fail_msg("%s --%s is offered", command->name, row->name);
        }
    }
}

static void bash_completes_what_stands_there_in_part(void **state)
{
    char answer[8000];
    (void)state;
    offered("latchkey ref", 1, answer, sizeof answer);
    assert_string_equal(answer, "refresh\n");
    offered("latchkey run --con", 2, answer, sizeof answer);
    assert_string_equal(answer, "--concurrency\n");
    offered("latchkey db st", 2, answer, sizeof answer);
    assert_string_equal(answer, "start\nstop\n");
    offered("latchkey help publ", 2, answer, sizeof answer);
    assert_string_equal(answer, "publish\n");
    offered("latchkey check samples/message-read/message-r", 2, answer, sizeof answer);
    assert_string_equal(answer, "samples/message-read/message-read.yaml\n");
    offered("latchkey reload --definitions samples/mess", 3, answer, sizeof answer);
    assert_string_equal(answer, "samples/message-read\n");
    offered("latchkey run --count 1", 3, answer, sizeof answer);
    assert_string_equal(answer, "\n");
}

static void zsh_is_told_every_command_and_option(void **state)
{
    char *text = completion(completion_write_zsh), arm[64];
    (void)state;
    for (const struct command_row *command = commands; command->name; command++) {
        snprintf(arm, sizeof arm, "\n        %s)\n", command->name);
        assert_true(has(text, "\n        '", command->name, ":", false));
        const char *begin = strstr(text, arm);
        assert_non_null(begin);
        char *told = strndup(begin, (size_t)(strstr(begin, ";;") - begin));
        for (const struct command_option_row *row = command_options; row->name; row++)
            if (row->commands & 1u << command->id)
                assert_int_equal(has(told, "--", row->name, "[", false), !is_hidden(row));
        free(told);
    }
    free(text);
}

int manual_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_and_option_has_its_place_in_the_manual),
        cmocka_unit_test(no_line_of_the_manual_is_a_request_by_chance),
        cmocka_unit_test(bash_completes_every_command_and_option),
        cmocka_unit_test(bash_completes_what_stands_there_in_part),
        cmocka_unit_test(zsh_is_told_every_command_and_option),
    };
    return cmocka_run_group_tests_name("manual", tests, NULL, NULL);
}
