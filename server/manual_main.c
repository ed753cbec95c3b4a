/* latchkey_manual DIRECTORY: writes the manual pages and the completions, when latchkey is built.
 */
#include "completion.h"
#include "manual.h"

#include <stdlib.h>
#include <string.h>

enum {
    PATH_BYTES = 4096,
};

static FILE *open_in(const char *directory, const char *name, const char *suffix)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s%s", directory, name, suffix);
    FILE *stream = fopen(path, "we");
    if (!stream) {
        perror(path);
        exit(1);
    }
    return stream;
}

static void finish(FILE *stream)
{
    bool failed = ferror(stream);
    if (fclose(stream) != 0 || failed) {
        perror("latchkey_manual");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    char name[64];
    if (argc != 2) {
        fputs("latchkey_manual DIRECTORY\n", stderr);
        return EXIT_USAGE;
    }
    FILE *out = open_in(argv[1], "latchkey", ".1");
    manual_write(NULL, out);
    finish(out);
    for (const struct command_row *row = commands; row->name; row++) {
        snprintf(name, sizeof name, "latchkey-%s", row->name);
        out = open_in(argv[1], name, ".1");
        manual_write(row, out);
        finish(out);
    }
    out = open_in(argv[1], "latchkey", ".bash");
    completion_write_bash(out);
    finish(out);
    out = open_in(argv[1], "_latchkey", "");
    completion_write_zsh(out);
    finish(out);
    return 0;
}
