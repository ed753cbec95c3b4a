#include "result.h"

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
    return json_pack("{s:o, s:n, s:f, s:f}", "paths", paths, "token", "waited_ms",
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
