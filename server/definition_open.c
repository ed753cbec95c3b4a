#include "definition_open.h"

#include <stdio.h>

enum {
    PROBLEMS_BYTES_MAX = 8 << 20,
};

void definition_open_print(const char *file, const struct problems *problems,
                           const struct fault *fault, bool failed)
{
    struct text text;
    text_init(&text, PROBLEMS_BYTES_MAX);
    problems_print(problems, file, &text);
    fputs(text_chars(&text), stderr);
    text_done(&text);
    if (failed && problems->n_items == 0)
        fprintf(stderr, "latchkey: %s\n", fault->text);
}

bool definition_open(struct sandbox *sandbox, const char *file, bool quiet, struct definition **out,
                     struct fault *fault)
{
    struct problems problems;
    problems_init(&problems);
    bool ok = definition_file_read(sandbox, file, out, &problems, fault);
    if (!ok || !quiet)
        definition_open_print(file, &problems, fault, !ok);
    problems_done(&problems);
    return ok;
}
