/*
 * bench_constant: an evhttp server that answers every request with the same few bytes, and nothing
 * else: the most that a host on evhttp could answer here. Prints its port, serves until SIGTERM.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* As long as what a host answers when an instance has completed. */
static const char answer[] =
    "{\"id\":\"01a2024a-82bd-7026-92d1-4623b2cb194e\",\"workflow\":\"message-read\",\"version\":1,"
    "\"activity\":\"read\",\"status\":\"completed\",\"output\":null,\"reason\":null,\"lock\":{"
    "\"paths\":[\"message/1\"],\"token\":null,\"waited_ms\":51.798,\"held_ms\":16.344},"
    "\"attempts\":1,\"replayed\":false}";

static void on_request(struct evhttp_request *request, void *arg)
{
    struct evbuffer *body = evbuffer_new();
    (void)arg;
    if (body)
        evbuffer_add(body, answer, sizeof answer - 1);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "application/json");
    evhttp_send_reply(request, 200, "OK", body);
    if (body)
        evbuffer_free(body);
}

static void on_signal(evutil_socket_t fd, short what, void *base)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(base);
}

static int port_of(evutil_socket_t fd)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 ? ntohs(address.sin_port) : 0;
}

int main(void)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    struct evhttp_bound_socket *bound =
        http ? evhttp_bind_socket_with_handle(http, "127.0.0.1", 0) : NULL;
    struct event *end = base ? evsignal_new(base, SIGTERM, on_signal, base) : NULL;
    if (!bound || !end || event_add(end, NULL) != 0) {
        fputs("bench_constant: cannot listen\n", stderr);
        return 1;
    }
    evhttp_set_gencb(http, on_request, NULL);
    printf("listening on http://127.0.0.1:%d\n", port_of(evhttp_bound_socket_get_fd(bound)));
    fflush(stdout);
    event_base_dispatch(base);
    event_free(end);
    evhttp_free(http);
    event_base_free(base);
    return 0;
}
