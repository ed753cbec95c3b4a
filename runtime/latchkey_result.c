#include "latchkey_result.h"

#include <stdlib.h>

/* The public part is what callers are given; they may ask for the rest of it. */
struct told {
    struct latchkey_result result;
    const struct result *of;
};

void latchkey_result_tell(const struct result *result, latchkey_result_fn *done, void *arg)
{
    if (!done)
        return;
    char *output = result->output ? json_write(result->output) : NULL;
    bool lost = result->output && !output;
    const struct told told = {
        .result = {.status = (enum latchkey_status)result->status,
                   .id = result->id,
                   .workflow = result->workflow ? result->workflow : "",
                   .version = result->version,
                   .activity = result->activity ? result->activity : "",
                   .output = output ? output : "null",
                   .reason = lost             ? "out of memory: the output cannot be told"
                             : result->reason ? result->reason
                                              : "",
                   .paths = result->paths,
                   .n_paths = result->n_paths,
                   .token = result->token,
                   .waited_us = result->waited_us,
                   .held_us = result->held_us,
                   .attempts = result->attempts,
                   .replayed = result->replayed},
        .of = result,
    };
    done(&told.result, arg);
    free(output);
}

char *latchkey_result_json(const struct latchkey_result *result)
{
    json_t *json = result_to_json(((const struct told *)result)->of);
    char *text = json ? json_write(json) : NULL;
    json_decref(json);
    return text;
}

const char *latchkey_status_name(enum latchkey_status status)
{
    if ((int)status < 0 || (int)status >= STATUS_COUNT)
        return "";
    return execution_status_row((enum execution_status)status)->name;
}
