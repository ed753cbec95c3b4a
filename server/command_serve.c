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
    REQUEST_MS_LEAST = 100,
    REQUEST_MS_MAX = 60 * 60 * 1000,
};

static const int64_t KEEP_MS_MAX = INT64_C(36500) * 24 * 3600 * 1000; /* a hundred years */

static bool read_hosts(const struct command_line *line, struct http_options *http,
                       struct fault *fault)
{
    for (int i = 0; i < line->n_given; i++) {
        if (line->given[i].option != OPTION_HOST_NAME)
            continue;
        if (http->n_hosts == HTTP_HOSTS_MAX)
            return fault_set(fault, FAULT_INVALID, "more than %d times --host", HTTP_HOSTS_MAX);
        http->hosts[http->n_hosts++] = line->given[i].value;
    }
    return true;
}

static bool read_http(const struct command_line *line, struct host *host, struct fault *fault)
{
    const char *listen = command_line_value(line, OPTION_LISTEN);
    host->serves_http = !listen || strcmp(listen, "none") != 0;
    host->http = http_default_options();
    host->http.tokens = command_line_value(line, OPTION_TOKENS);
    return (!listen || !host->serves_http || http_options_listen(&host->http, listen, fault)) &&
           command_line_duration(line, OPTION_REQUEST_TIMEOUT, REQUEST_MS_LEAST, REQUEST_MS_MAX,
                                 &host->http.request_us, fault) &&
           command_line_integer(line, OPTION_CONNECTIONS, 1, HTTP_CONNECTIONS_MAX,
                                &host->http.connections, fault) &&
           command_line_integer(line, OPTION_PEER_CONNECTIONS, 1, HTTP_CONNECTIONS_MAX,
                                &host->http.connections_per_peer, fault) &&
           read_hosts(line, &host->http, fault);
}

static bool read_options(const struct command_line *line, struct host *host, struct fault *fault)
{
    int64_t seconds = DRAIN_SECONDS;
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
    return read_http(line, host, fault);
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
