#include "pg_conninfo.h"

#include <libpq-fe.h>
#include <string.h>

void pg_conninfo_add(struct text *out, const char *keyword, const char *value)
{
    text_addf(out, "%s%s='", out->length ? " " : "", keyword);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            text_add_char(out, '\\');
        text_add_char(out, *value);
    }
    text_add_char(out, '\'');
}

bool pg_conninfo_with(const char *conninfo, const char *keyword, const char *value,
                      struct text *out, struct fault *fault)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &message);
    if (!options) {
        fault_set(fault, FAULT_INVALID, "connection string: %s", message ? message : "no memory");
        PQfreemem(message);
        return false;
    }
    for (const PQconninfoOption *option = options; option->keyword; option++)
        if (option->val && strcmp(option->keyword, keyword) != 0)
            pg_conninfo_add(out, option->keyword, option->val);
    PQconninfoFree(options);
    pg_conninfo_add(out, keyword, value);
    return text_ok(out, fault);
}
