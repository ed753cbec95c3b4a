/* The handlers of the routes, by the file that has them. */
#pragma once
#include "http_exchange.h"

/* http_instances.c, http_events.c */
http_handler_fn http_instances_start;
http_handler_fn http_instances_list;
http_handler_fn http_instances_show;
http_handler_fn http_instances_history;
http_handler_fn http_instances_deliver;
http_handler_fn http_instances_resume;
http_handler_fn http_events_emit;
http_handler_fn http_jobs_list;

/* http_workflows.c, http_definitions.c */
http_handler_fn http_workflows_list;
http_handler_fn http_workflows_show;
http_handler_fn http_workflows_put;
http_handler_fn http_definitions_reload;
http_handler_fn http_definitions_refresh;

/* http_evaluate.c, http_locks.c */
http_handler_fn http_evaluate;
http_handler_fn http_locks_list;
http_handler_fn http_locks_break;

/* http_stream.c, http_metrics.c, http_health.c, http_openapi.c */
http_handler_fn http_stream;
http_handler_fn http_metrics;
http_handler_fn http_health_lives;
http_handler_fn http_health_ready;
http_handler_fn http_openapi;
