/* The OpenAPI document: the routes from their table, the bodies from the schemas here. */
#include "http_handlers.h"
#include "http_route.h"

#include <ctype.h>
#include <string.h>

#define LIST(name)                                                                                 \
    "{\"type\":\"object\",\"required\":[\"" name "\"],\"properties\":{\"" name                     \
    "\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},\"next\":{\"type\":[\"string\","      \
    "\"null\"]}}}"
#define STATUS_REPORT                                                                              \
    "{\"type\":\"object\",\"required\":[\"status\"],\"properties\":{\"status\":"                   \
    "{\"type\":\"string\"}}}"
#define OBJECT "{\"type\":\"object\"}"

struct schema {
    const char *name;
    const char *media;
    const char *json;
};

static const struct schema schemas[] = {
    {"Start", "application/json",
     "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"input\":" OBJECT "}}"},
    {"Event", "application/json",
     "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"payload\":{}}}"},
    {"Nothing", "application/json", "{\"type\":\"object\",\"additionalProperties\":false}"},
    {"Refresh", "application/json",
     "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"ids\":"
     "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}"},
    {"Evaluate", "application/json",
     "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"activity\",\"samples\"],"
     "\"properties\":{\"definition\":{\"type\":\"string\"},\"workflow\":{\"type\":\"string\"},"
     "\"version\":{\"type\":\"integer\"},\"activity\":{\"type\":\"string\"},\"samples\":"
     "{\"type\":\"array\",\"minItems\":1,\"maxItems\":32,\"items\":{\"type\":\"object\","
     "\"additionalProperties\":false,\"properties\":{\"input\":" OBJECT ",\"data\":" OBJECT
     "}}}}}"},
    {"Definition", "application/yaml", "{\"type\":\"string\"}"},
    {"Result", "application/json",
     "{\"type\":\"object\",\"required\":[\"id\",\"workflow\",\"version\",\"activity\",\"status\","
     "\"output\",\"reason\",\"lock\",\"attempts\",\"replayed\"],\"properties\":{"
     "\"id\":{\"type\":[\"string\",\"null\"]},\"workflow\":{\"type\":[\"string\",\"null\"]},"
     "\"version\":{\"type\":\"integer\"},\"activity\":{\"type\":[\"string\",\"null\"]},"
     "\"status\":{\"enum\":[\"completed\",\"idle\",\"queued\",\"locked\",\"blocked\",\"missing\","
     "\"conflict\",\"expired\",\"failed\",\"invalid\",\"unknown\"]},"
     "\"output\":{},\"reason\":{\"type\":[\"string\",\"null\"]},\"lock\":{\"type\":\"object\","
     "\"properties\":{\"paths\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
     "\"token\":{\"type\":[\"integer\",\"null\"]},\"waited_ms\":{\"type\":\"number\"},"
     "\"held_ms\":{\"type\":\"number\"}}},\"attempts\":{\"type\":\"integer\"},"
     "\"replayed\":{\"type\":\"boolean\"}}}"},
    {"Problem", "application/problem+json",
     "{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\",\"detail\"],\"properties\":{"
     "\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},\"status\":"
     "{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"},\"errors\":{\"type\":\"array\","
     "\"items\":{\"type\":\"object\",\"required\":[\"pointer\",\"detail\"],\"properties\":{"
     "\"pointer\":{\"type\":\"string\"},\"line\":{\"type\":\"integer\"},\"column\":"
     "{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"}}}}}}"},
    {"Instances", "application/json", LIST("instances")},
    {"Instance", "application/json",
     "{\"type\":\"object\",\"required\":[\"id\",\"workflow\",\"status\"]}"},
    {"History", "application/json", LIST("executions")},
    {"Emitted", "application/json", LIST("started")},
    {"Workflows", "application/json", LIST("workflows")},
    {"Published", "application/json",
     "{\"type\":\"object\",\"required\":[\"workflow\",\"version\",\"published\",\"warnings\"]}"},
    {"Reloaded", "application/json", STATUS_REPORT},
    {"Refreshed", "application/json", STATUS_REPORT},
    {"Evaluated", "application/json", LIST("samples")},
    {"Locks", "application/json", LIST("locks")},
    {"Broken", "application/json", "{\"type\":\"object\",\"required\":[\"path\",\"met\"]}"},
    {"Stream", "text/event-stream", "{\"type\":\"string\"}"},
    {"Jobs", "application/json", LIST("jobs")},
    {"OpenAPI", "application/json", OBJECT},
    {"Metrics", "text/plain", "{\"type\":\"string\"}"},
    {"Health", "application/json", STATUS_REPORT},
    {.name = NULL},
};

static const struct schema *find_schema(const char *name)
{
    const struct schema *schema = schemas;
    while (schema->name && strcmp(schema->name, name) != 0)
        schema++;
    return schema;
}

static json_t *content_of(const char *name)
{
    const struct schema *schema = find_schema(name);
    json_t *reference = json_pack("{s:s+}", "$ref", "#/components/schemas/", name);
    json_t *content = json_object();
    json_object_set_new(content, schema->media ? schema->media : "application/json",
                        json_pack("{s:o}", "schema", reference));
    if (strcmp(name, "Definition") == 0)
        json_object_set(content, "application/json", json_object_get(content, schema->media));
    return content;
}

static json_t *parameter(const char *in, const char *name, size_t length, bool required)
{
    return json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", name, length, "in", in, "required",
                     required, "schema", "type", "string");
}

static void add_named(json_t *parameters, const char *in, const char *list)
{
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, " ");
        json_array_append_new(parameters, parameter(in, at, n, false));
        at += n + (at[n] == ' ');
    }
}

static json_t *parameters_of(const struct http_route *route)
{
    json_t *parameters = json_array();
    for (const char *at = strchr(route->pattern, '{'); at; at = strchr(at + 1, '{'))
        json_array_append_new(parameters, parameter("path", at + 1, strcspn(at + 1, "*}"), true));
    add_named(parameters, "query", route->query);
    add_named(parameters, "header", route->headers);
    return parameters;
}

/* Outcomes of executions are results whatever their status; everything else that fails is a
 * problem. */
static json_t *response_of(const struct http_route *route, int status)
{
    bool is_result = strcmp(route->answers, "Result") == 0;
    json_t *content = content_of(status < 300 ? route->answers : "Problem");
    if (status >= 300 && is_result)
        json_object_update_new(content, content_of("Result"));
    if (status == 304)
        json_object_clear(content);
    return json_pack("{s:s, s:o}", "description", http_problem_title(status), "content", content);
}

static json_t *responses_of(const struct http_route *route)
{
    json_t *responses = json_object();
    char code[8];
    for (const short *own = route->statuses; *own; own++) {
        snprintf(code, sizeof code, "%d", *own);
        json_object_set_new(responses, code, response_of(route, *own));
    }
    for (const short *any = http_route_any_statuses; *any; any++) {
        snprintf(code, sizeof code, "%d", *any);
        json_object_set_new(responses, code, response_of(route, *any));
    }
    return responses;
}

static json_t *operation_of(const struct http_route *route)
{
    json_t *operation = json_pack("{s:s, s:o, s:o, s:s}", "summary", route->summary, "parameters",
                                  parameters_of(route), "responses", responses_of(route),
                                  "x-latchkey-role", http_role_name(route->role));
    if (*route->asks)
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:b, s:o}", "required", route->body > HTTP_BODY_OPTIONAL,
                                      "content", content_of(route->asks)));
    if (route->role != HTTP_ROLE_NONE)
        json_object_set_new(operation, "security", json_pack("[{s:[]}]", "token"));
    return operation;
}

static json_t *paths(void)
{
    json_t *all = json_object();
    char path[64], method[8];
    for (const struct http_route *route = http_routes; route->method; route++) {
        size_t n = 0, m = 0;
        for (const char *c = route->pattern; *c && n < sizeof path - 1; c++)
            if (*c != '*')
                path[n++] = *c;
        path[n] = '\0';
        for (const char *c = route->method; *c && m < sizeof method - 1; c++)
            method[m++] = (char)tolower((unsigned char)*c);
        method[m] = '\0';
        json_t *item = json_object_get(all, path);
        if (!item && json_object_set_new(all, path, json_object()) == 0)
            item = json_object_get(all, path);
        json_object_set_new(item, method, operation_of(route));
    }
    return all;
}

static json_t *components(void)
{
    struct fault ignored;
    json_t *all = json_object();
    for (const struct schema *schema = schemas; schema->name; schema++) {
        json_t *value = NULL;
        if (json_read(schema->name, schema->json, strlen(schema->json), &value, &ignored))
            json_object_set_new(all, schema->name, value);
    }
    return json_pack("{s:o, s:{s:{s:s, s:s}}}", "schemas", all, "securitySchemes", "token", "type",
                     "http", "scheme", "bearer");
}

void http_openapi(struct http_exchange *exchange)
{
    http_reply_json(exchange, 200,
                    json_pack("{s:s, s:{s:s, s:s}, s:o, s:o}", "openapi", "3.1.0", "info", "title",
                              "latchkey", "version", LATCHKEY_VERSION, "paths", paths(),
                              "components", components()));
}
