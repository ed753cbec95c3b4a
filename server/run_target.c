#include "run_target.h"

#include "definition_open.h"
#include "sandbox.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t length = strlen(text);
    return text[0] >= 'a' && text[0] <= 'z' && length <= 63 && strspn(text, letters) == length;
}

bool run_target_read(struct run_target *target, const char *text, bool quiet, struct fault *fault)
{
    struct sandbox *sandbox = NULL;
    struct sandbox_limits limits = sandbox_default_limits();
    *target = (struct run_target){.text = text, .is_file = !is_name(text)};
    if (!target->is_file)
        return true;
    if (!sandbox_new(&limits, &sandbox, fault))
        return false;
    bool ok = definition_open(sandbox, text, quiet, &target->definition, fault);
    sandbox_free(sandbox);
    return ok;
}

void run_target_done(struct run_target *target)
{
    definition_free(target->definition);
    target->definition = NULL;
}

const char *run_target_name(const struct run_target *target)
{
    if (target->definition)
        return target->definition->name;
    return target->is_file ? "" : target->text;
}

void run_target_publisher(char out[PUBLISHER_BYTES])
{
    char host[64] = "";
    const struct passwd *user = getpwuid(geteuid());
    gethostname(host, sizeof host - 1);
    if (user)
        snprintf(out, PUBLISHER_BYTES, "%.48s@%s", user->pw_name, host);
    else
        snprintf(out, PUBLISHER_BYTES, "%ld@%s", (long)geteuid(), host);
}

bool run_target_open(struct run_target *target, struct runtime *runtime, struct workflow **out,
                     bool *published, struct fault *fault)
{
    char publisher[PUBLISHER_BYTES];
    *published = false;
    if (!target->is_file)
        return runtime_find(runtime, target->text, out, fault);
    run_target_publisher(publisher);
    if (!runtime_publish(runtime, target->definition, /* base= */ -1, publisher, out, published,
                         fault))
        return false;
    target->definition = NULL; /* the runtime's now */
    return true;
}
