/*
 * A host's definitions: loads what is published and keeps at it, imports the directory at the start
 * and at every SIGHUP. A service of host.h.
 */
#pragma once
#include "fault.h"

struct host;

/* Ends when the directory has been read once, by this host or by another. A directory that cannot
 * be read fails; a broken file in it does not. */
MUST_CHECK bool host_definitions_start(struct host *host, struct fault *fault);
void host_definitions_reload(struct host *host); /* at a signal */
bool host_definitions_is_busy(const struct host *host);
