#include "result.h"

#include <string.h>

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *lock_to_json(const struct result *result)
{
    json_t *paths = json_array();
    for (int i = 0; i < result->n_paths; i++)
        if (json_array_append_new(paths, json_string(result->paths[i])) != 0) {
            json_decref(paths);
            return NULL;
        }
    json_t *token = result->token ? json_integer(result->token) : json_null();
    return json_pack("{s:o, s:o, s:f, s:f}", "paths", paths, "token", token, "waited_ms",
                     (double)result->waited_us / 1000, "held_ms", (double)result->held_us / 1000);
}

json_t *result_to_json(const struct result *result)
{
    json_t *lock = lock_to_json(result);
    json_t *output = result->output ? json_deep_copy(result->output) : json_null();
    json_t *id = text_or_null(result->id), *workflow = text_or_null(result->workflow);
    json_t *activity = text_or_null(result->activity), *reason = text_or_null(result->reason);
    /* json_pack steals what "o" names, also when it fails */
    return json_pack("{s:o, s:o, s:i, s:o, s:s, s:o, s:o, s:o, s:i, s:b}", "id", id, "workflow",
                     workflow, "version", result->version, "activity", activity, "status",
                     execution_status_row(result->status)->name, "output", output, "reason", reason,
                     "lock", lock, "attempts", result->attempts, "replayed", result->replayed);
}

static const char *chars(const json_t *value)
{
    const char *text = json_string_value(value);
    return text ? text : "";
}

bool result_read(const json_t *json, const char **paths, int n_paths_max, struct result *out,
                 struct fault *fault)
{
    const json_t *lock = json_object_get(json, "lock"), *texts = json_object_get(lock, "paths");
    const json_t *output = json_object_get(json, "output");
    *out = (struct result){
        .workflow = chars(json_object_get(json, "workflow")),
        .version = (int)json_integer_value(json_object_get(json, "version")),
        .activity = chars(json_object_get(json, "activity")),
        .output = json_is_null(output) ? NULL : output,
        .reason = chars(json_object_get(json, "reason")),
        .paths = paths,
        .token = json_integer_value(json_object_get(lock, "token")),
        .waited_us = (int64_t)(json_number_value(json_object_get(lock, "waited_ms")) * 1000),
        .held_us = (int64_t)(json_number_value(json_object_get(lock, "held_ms")) * 1000),
        .attempts = (int)json_integer_value(json_object_get(json, "attempts")),
        .replayed = json_is_true(json_object_get(json, "replayed")),
    };
    const char *id = chars(json_object_get(json, "id"));
    if (strlen(id) >= sizeof out->id ||
        !execution_status_named(chars(json_object_get(json, "status")), &out->status))
        return fault_set(fault, FAULT_INVALID, "this is not the result of an execution");
    memcpy(out->id, id, strlen(id) + 1);
    for (size_t i = 0; i < json_array_size(texts) && out->n_paths < n_paths_max; i++)
        paths[out->n_paths++] = chars(json_array_get(texts, i));
    return true;
}
