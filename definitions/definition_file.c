#include "definition_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    CHUNK_BYTES = 16 * 1024,
};

static bool unreadable(const char *file, int error, struct fault *fault)
{
    return fault_set(fault, FAULT_INVALID, "%s: cannot be read: %s", file, strerror(error));
}

/* One byte over the limit is read, so that the reader can tell a file that is too large. */
static bool read_all(const char *file, FILE *stream, struct text *out, struct fault *fault)
{
    char chunk[CHUNK_BYTES];
    struct stat info;
    if (fstat(fileno(stream), &info) == 0 && S_ISDIR(info.st_mode))
        return unreadable(file, EISDIR, fault);
    while (out->length <= DEFINITION_BYTES_MAX) {
        size_t room = DEFINITION_BYTES_MAX + 1 - out->length;
        size_t n = fread(chunk, 1, room < sizeof chunk ? room : sizeof chunk, stream);
        if (n == 0)
            break;
        text_add(out, chunk, n);
        if (!text_ok(out, fault))
            return false;
    }
    return !ferror(stream) || unreadable(file, errno, fault);
}

void definition_file_first_error(const char *file, const struct problems *problems,
                                 struct fault *fault)
{
    for (int i = 0; i < problems->n_items; i++) {
        const struct problem *problem = &problems->items[i];
        if (problem->severity == PROBLEM_ERROR) {
            fault_set(fault, FAULT_INVALID, "%s:%d:%d: error: %s", file, problem->line,
                      problem->column, problem->message);
            return;
        }
    }
    fault_no_memory(fault);
}

bool definition_file_read(struct sandbox *sandbox, const char *file, struct definition **out,
                          struct problems *problems, struct fault *fault)
{
    struct text source;
    FILE *stream = fopen(file, "re");
    if (!stream)
        return unreadable(file, errno, fault);
    text_init(&source, DEFINITION_BYTES_MAX + 1);
    bool ok = read_all(file, stream, &source, fault);
    fclose(stream);
    if (ok) {
        ok = definition_read(sandbox, file, text_chars(&source), source.length, out, problems);
        if (!ok)
            definition_file_first_error(file, problems, fault);
    }
    text_done(&source);
    return ok;
}
