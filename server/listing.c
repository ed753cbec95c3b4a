#include "listing.h"

bool listing_read(struct session *session, const char *query, int n_params,
                  const char *const *params, json_t **out, PGresult **rows, struct fault *fault)
{
    PGresult *result = NULL;
    if (!runtime_query(session->runtime, query, n_params, params, &result, fault))
        return false;
    bool ok = json_read("the list", PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0),
                        out, fault);
    if (ok && rows)
        *rows = result;
    else
        PQclear(result);
    return ok;
}

const char *listing_text(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}
