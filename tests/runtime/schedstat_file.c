#include "schedstat_file.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    NS = 1000 * 1000, /* a millisecond */
};

static void write_counts(const struct schedstat_file *file)
{
    FILE *stream = fopen(file->path, "w");
    assert_non_null(stream);
    fprintf(stream, "%" PRId64 " %" PRId64 " 17\n", file->ran_ms * NS, file->waited_ms * NS);
    assert_int_equal(fclose(stream), 0);
}

void schedstat_file_open(struct schedstat_file *file, int64_t ran_ms, int64_t waited_ms)
{
    *file = (struct schedstat_file){
        .path = "/tmp/latchkey-schedstat.XXXXXX", .ran_ms = ran_ms, .waited_ms = waited_ms};
    int fd = mkstemp(file->path);
    assert_true(fd >= 0);
    close(fd);
    write_counts(file);
}

void schedstat_file_add(struct schedstat_file *file, int64_t ran_ms, int64_t waited_ms)
{
    file->ran_ms += ran_ms;
    file->waited_ms += waited_ms;
    write_counts(file);
}

void schedstat_file_close(struct schedstat_file *file)
{
    unlink(file->path);
}
