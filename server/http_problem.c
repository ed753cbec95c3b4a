#include "http_problem.h"

#define TYPE_PREFIX "urn:latchkey:problem:"

static const struct {
    int status;
    const char *kind;
    const char *title;
} statuses[] = {
    {200, "", "OK"},
    {201, "", "Created"},
    {202, "", "Accepted"},
    {304, "", "Not Modified"},
    {400, "bad-request", "Bad Request"},
    {401, "unauthorized", "Unauthorized"},
    {403, "forbidden", "Forbidden"},
    {404, "not-found", "Not Found"},
    {405, "method-not-allowed", "Method Not Allowed"},
    {408, "too-slow", "Request Timeout"},
    {409, "conflict", "Conflict"},
    {412, "precondition-failed", "Precondition Failed"},
    {413, "too-large", "Content Too Large"},
    {414, "target-too-long", "URI Too Long"},
    {415, "media-type", "Unsupported Media Type"},
    {417, "expectation", "Expectation Failed"},
    {421, "unknown-host", "Misdirected Request"},
    {422, "unprocessable", "Unprocessable Content"},
    {423, "locked", "Locked"},
    {428, "precondition-required", "Precondition Required"},
    {431, "head-too-large", "Request Header Fields Too Large"},
    {500, "internal", "Internal Server Error"},
    {501, "not-implemented", "Not Implemented"},
    {503, "unavailable", "Service Unavailable"},
    {504, "expired", "Gateway Timeout"},
    {505, "http-version", "HTTP Version Not Supported"},
};

enum {
    N_STATUSES = sizeof statuses / sizeof *statuses,
};

static int find(int status)
{
    int i = 0;
    while (i < N_STATUSES - 1 && statuses[i].status != status)
        i++;
    return i;
}

const char *http_problem_title(int status)
{
    return statuses[find(status)].title;
}

json_t *http_problem_new(int status, const char *kind, const char *detail)
{
    int i = find(status);
    return json_pack("{s:s++, s:s, s:i, s:s}", "type", TYPE_PREFIX, kind ? kind : statuses[i].kind,
                     "", "title", statuses[i].title, "status", status, "detail", detail);
}

void http_problem_add(json_t *problem, const char *pointer, int line, int column,
                      const char *detail)
{
    json_t *errors = json_object_get(problem, "errors");
    if (!errors && json_object_set_new(problem, "errors", json_array()) != 0)
        return;
    errors = json_object_get(problem, "errors");
    json_t *error = json_pack("{s:s}", "pointer", pointer);
    if (line)
        json_object_set_new(error, "line", json_integer(line));
    if (column)
        json_object_set_new(error, "column", json_integer(column));
    json_object_set_new(error, "detail", json_string(detail));
    json_array_append_new(errors, error);
}
