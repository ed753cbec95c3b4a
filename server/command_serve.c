#include "command.h"
#include "command_line.h"
#include "definitions_choice.h"
#include "host.h"
#include "run_target.h"

#include <stdlib.h>
#include <string.h>

enum {
    WORKERS_MAX = 100000,
    DRAIN_SECONDS = 30,
    DRAIN_SECONDS_MAX = 24 * 60 * 60,
};

static const int64_t KEEP_MS_MAX = INT64_C(36500) * 24 * 3600 * 1000; /* a hundred years */

static bool read_options(const struct command_line *line, struct host *host, struct fault *fault)
{
    int64_t seconds = DRAIN_SECONDS;
    const char *listen = command_line_value(line, OPTION_LISTEN);
    if (!command_line_integer(line, OPTION_DRAIN, 0, DRAIN_SECONDS_MAX, &seconds, fault))
        return false;
    if (!command_line_integer(line, OPTION_WORKERS, 1, WORKERS_MAX, &host->workers, fault))
        return false;
    host->keep_history_us = -1;
    if (!command_line_duration(line, OPTION_KEEP_HISTORY, 0, KEEP_MS_MAX, &host->keep_history_us,
                               fault))
        return false;
    host->drain_us = seconds * 1000 * 1000;
    host->directory = definitions_choose(line);
    if (!listen || strcmp(listen, "none") != 0)
        return fault_set(fault, FAULT_INVALID,
                         "HTTP is not there yet: it comes with a later version; --listen none");
    return true;
}

int command_serve(const struct command_line *line)
{
    struct fault fault;
    struct host host = {0};
    char publisher[PUBLISHER_BYTES];
    run_target_publisher(publisher);
    host.publisher = publisher;
    if (!read_options(line, &host, &fault))
        return command_fail(&fault);
    bool ok =
        session_open(line, &host.session, SESSION_POOL_MAX, &fault) && host_run(&host, &fault);
    int signal_number = host.interrupt.signal_number;
    session_close(&host.session);
    if (!ok)
        return command_fail(&fault);
    return host.cut_short ? EXIT_SIGNAL + signal_number : 0;
}
