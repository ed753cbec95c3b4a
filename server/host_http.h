/*
 * The HTTP API as a service of host.h: listens last and stops first.
 */
#pragma once
#include "fault.h"

struct host;

MUST_CHECK bool host_http_start(struct host *host, struct fault *fault);
void host_http_drain(struct host *host);
bool host_http_is_busy(const struct host *host);
void host_http_stop(struct host *host);
