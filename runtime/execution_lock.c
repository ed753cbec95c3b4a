#include "execution_lock.h"

#include "execution_names.h"
#include "lock_context.h"
#include "number_text.h"
#include "runtime_state.h"

#include <string.h>

enum {
    OWN_PATHS_MAX = 2,
};

/* The whole system, for an activity that says no lock context. */
static bool lock_everything(const struct execution *execution, struct lock_set **out,
                            struct fault *fault)
{
    struct lock_path *path = NULL;
    if (!lock_path_new(NULL, 0, &path, fault))
        return false;
    bool ok = lock_set_new(&path, 1, execution->runtime->schema, out, fault);
    lock_path_free(path);
    return ok;
}

bool execution_lock_in_scope(const struct execution *execution, struct scope *scope,
                             struct lock_set **out, struct fault *fault)
{
    struct expression *context = execution->plan->lock_context;
    lua_State *L = sandbox_lua(execution->runtime->sandbox);
    if (!context)
        return lock_everything(execution, out, fault);
    if (!expression_evaluate(context, scope, fault)) {
        if (fault->kind == FAULT_SCRIPT)
            fault->kind = FAULT_INVALID;
        return false;
    }
    bool ok = lock_context_read(L, -1, execution->runtime->schema, out, fault);
    lua_pop(L, 1);
    return ok || fault_prefix(fault, "%s:%d: lock-context", execution->workflow->definition->file,
                              execution_activity(execution)->lock_context.line);
}

static bool plain_segment(const struct plain_term *term, const json_t *input,
                          char digits[NUMBER_TEXT_BYTES], struct lock_segment *out)
{
    const json_t *value = plain_input_field(term, input);
    *out = (struct lock_segment){term->bytes, term->n_bytes};
    if (term->is_text)
        return true;
    if (json_is_string(value))
        *out = (struct lock_segment){json_string_value(value), json_string_length(value)};
    else if (json_is_integer(value))
        *out = (struct lock_segment){
            digits, (size_t)(number_text_int(digits, json_integer_value(value)) - digits)};
    else
        return false;
    return true;
}

/* What Lua would make of the lock context, or false: then ask it. */
static bool take_plain(const struct execution *execution, struct lock_set **out)
{
    const struct plain_input *plain = &execution->plan->plain_lock;
    struct lock_segment segments[PLAIN_TERMS_MAX];
    char digits[PLAIN_TERMS_MAX][NUMBER_TEXT_BYTES];
    struct lock_path *path = NULL;
    struct fault ignored;
    for (int i = 0; i < plain->n_terms; i++)
        if (!plain_segment(&plain->terms[i], execution->input, digits[i], &segments[i]))
            return false;
    if (plain->n_terms == 0 || !lock_path_new(segments, plain->n_terms, &path, &ignored))
        return false;
    bool ok = lock_set_new(&path, 1, execution->runtime->schema, out, &ignored);
    lock_path_free(path);
    return ok;
}

static bool push_name(lua_State *L, const char *name, void *arg)
{
    return lock_context_name(L, name) || execution_names_push(L, name, arg);
}

static bool evaluate(const struct execution *execution, struct lock_set **out, struct fault *fault)
{
    if (!execution->plan->lock_context)
        return lock_everything(execution, out, fault);
    if (take_plain(execution, out))
        return true;
    struct scope *scope = execution_names_enter(execution, push_name);
    bool ok = execution_lock_in_scope(execution, scope, out, fault);
    execution_names_leave(execution);
    return ok;
}

bool execution_lock_uses_data(const struct execution *execution)
{
    const struct activity *activity = execution_activity(execution);
    return activity->exclusive_lock && activity->lock_context_uses_data && !execution->parks;
}

static bool add_instance_path(const struct execution *execution, struct lock_path **paths,
                              int *n_paths, struct fault *fault)
{
    struct lock_segment segment = {execution->id, strlen(execution->id)};
    if (!execution->instance.stored && !execution_takes_lease(execution))
        return true; /* nobody else knows of it before the last commit */
    if (!lock_path_new_own("instance", &segment, 1, &paths[*n_paths], fault))
        return false;
    ++*n_paths;
    return true;
}

/* Only a new instance asks for its key; later runs of the instance have it. */
static bool add_key_path(const struct execution *execution, struct lock_path **paths, int *n_paths,
                         struct fault *fault)
{
    const char *workflow = execution->workflow->definition->name;
    if (!execution->key || execution->instance.stored)
        return true;
    struct lock_segment segments[] = {{workflow, strlen(workflow)},
                                      {execution->key, strlen(execution->key)}};
    if (!lock_path_new_own("key", segments, 2, &paths[*n_paths], fault))
        return fault_prefix(fault, "idempotency key");
    ++*n_paths;
    return true;
}

/* A set of what the activity locks and of latchkey's own paths. */
static bool join(const struct execution *execution, const struct lock_set *set,
                 struct lock_path *const *own, int n_own, struct lock_set **out,
                 struct fault *fault)
{
    struct lock_path *paths[LOCK_SET_PATHS_MAX + OWN_PATHS_MAX];
    int n_set = set ? lock_set_n_paths(set) : 0, n = 0;
    bool ok = true;
    for (; ok && n < n_set; n += ok)
        ok = lock_path_parse(lock_set_path(set, n), &paths[n], fault);
    int n_parsed = n;
    for (int i = 0; i < n_own; i++)
        paths[n++] = own[i];
    ok = ok && lock_set_new(paths, n, execution->runtime->schema, out, fault);
    for (int i = 0; i < n_parsed; i++)
        lock_path_free(paths[i]);
    return ok;
}

bool execution_lock_join(const struct execution *execution, struct lock_set **set,
                         struct fault *fault)
{
    struct lock_set *users = *set;
    struct lock_path *own[OWN_PATHS_MAX];
    int n_own = 0;
    bool ok = add_instance_path(execution, own, &n_own, fault) &&
              add_key_path(execution, own, &n_own, fault);
    *set = NULL;
    if (ok && n_own > 0) {
        ok = join(execution, users, own, n_own, set, fault);
        lock_set_free(users);
    } else if (ok) {
        *set = users;
    } else {
        lock_set_free(users);
    }
    for (int i = 0; i < n_own; i++)
        lock_path_free(own[i]);
    return ok;
}

bool execution_lock_evaluate(struct execution *execution, struct fault *fault)
{
    struct lock_set *set = NULL;
    bool now = execution_activity(execution)->exclusive_lock && !execution->parks &&
               !execution_lock_uses_data(execution);
    if ((now && !evaluate(execution, &set, fault)) || !execution_lock_join(execution, &set, fault))
        return false;
    lock_set_free(execution->locks);
    execution->locks = set;
    return true;
}
