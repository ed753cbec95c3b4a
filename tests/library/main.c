/* test_library [GROUP]: all groups of tests, or one. */
#include "desk.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"host", host_tests}, {"requests", requests_tests},   {"action", action_tests},
    {"loop", loop_tests}, {"installed", installed_tests},
};

int main(int argc, char **argv)
{
    int n_failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
            n_failed += groups[i].run();
    return n_failed != 0;
}
