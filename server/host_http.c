#include "host_http.h"

#include "host.h"

#include <string.h>
#include <sys/resource.h>

enum {
    FILES_OF_OTHERS = 500, /* descriptors that are not clients' */
};

/* A connection is a file descriptor: as many as may be. */
static void raise_file_limit(const struct host *host)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)host->http.connections + FILES_OF_OTHERS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

bool host_http_start(struct host *host, struct fault *fault)
{
    struct http_home home = {
        .base = host->session.base,
        .runtime = host->session.runtime,
        .log = &host->session.log,
        .schema = host->session.choice.schema,
        .directory = host->directory,
        .publisher = host->publisher,
    };
    if (!host->serves_http)
        return true;
    raise_file_limit(host);
    if (!http_server_new(&home, &host->http, &host->http_server, fault))
        return false;
    log_line(&host->session.log, LOG_LEVEL_INFO, "http", "listening on http://%s%s%s:%d",
             strchr(host->http.address, ':') ? "[" : "", host->http.address,
             strchr(host->http.address, ':') ? "]" : "", http_server_port(host->http_server));
    return true;
}

void host_http_drain(struct host *host)
{
    if (host->http_server)
        http_server_drain(host->http_server);
}

bool host_http_is_busy(const struct host *host)
{
    return host->http_server && http_server_is_busy(host->http_server);
}

void host_http_stop(struct host *host)
{
    http_server_free(host->http_server);
    host->http_server = NULL;
}
