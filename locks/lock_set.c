#include "lock_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One block: this head, the entries, for each path the index of its entry, the texts. */
struct lock_set {
    int n_paths;
    int n_entries;
    int *path_entries;
    struct lock_entry entries[];
};

/* What is being built. The entries are walked twice: to measure, then to fill. */
struct draft {
    const struct lock_path **paths;
    int n_paths;
    struct lock_set *set; /* NULL while measuring */
    const char *name_space;
    char *texts; /* where the next text goes */
    size_t n_text_bytes;
    int n_entries;
};

static int compare_paths(const void *a, const void *b)
{
    return lock_path_compare(*(const struct lock_path *const *)a,
                             *(const struct lock_path *const *)b);
}

/* The whole system covers paths that do not follow it directly (latchkey's own stand between), so
 * every path kept is asked, not the last one alone. */
static bool is_covered(const struct lock_path *const *kept, int n_kept,
                       const struct lock_path *path)
{
    for (int i = 0; i < n_kept; i++)
        if (lock_path_covers(kept[i], path))
            return true;
    return false;
}

/* Sorts, drops what is covered, and counts a user's paths that remain. An ancestor comes before its
 * descendants, so a path can only be covered by one that was kept before it. */
static int sort_and_drop(struct draft *draft)
{
    const struct lock_path **paths = draft->paths;
    int n_kept = 0, n_users = 0;
    qsort(paths, (size_t)draft->n_paths, sizeof(struct lock_path *), compare_paths);
    for (int i = 0; i < draft->n_paths && n_users <= LOCK_SET_PATHS_MAX; i++) {
        if (is_covered(paths, n_kept, paths[i]))
            continue;
        n_users += !lock_path_is_own(paths[i]);
        paths[n_kept++] = paths[i];
    }
    draft->n_paths = n_kept;
    return n_users;
}

static void add_entry(struct draft *draft, const char *text, size_t n_bytes, bool exclusive)
{
    if (draft->set) {
        memcpy(draft->texts, text, n_bytes);
        draft->texts[n_bytes] = '\0';
        draft->set->entries[draft->n_entries] = (struct lock_entry){
            .key = lock_key(draft->name_space, text, n_bytes),
            .exclusive = exclusive,
            .text = draft->texts,
        };
        draft->texts += n_bytes + 1;
    }
    draft->n_text_bytes += n_bytes + 1;
    draft->n_entries++;
}

/* How many whole segments two paths have in common at their beginning. */
static int n_common_segments(const struct lock_path *a, const struct lock_path *b)
{
    int n = 0;
    while (n < lock_path_n_segments(a) && n < lock_path_n_segments(b)) {
        size_t n_bytes = lock_path_prefix_bytes(a, n + 1);
        if (n_bytes != lock_path_prefix_bytes(b, n + 1) ||
            memcmp(lock_path_text(a), lock_path_text(b), n_bytes) != 0)
            break;
        n++;
    }
    return n;
}

/* Adds the entries in the total order. The descendants of a prefix of at least one segment follow
 * each other in the sorted paths, so such a prefix is new exactly if the path before lacks it. "*"
 * comes before everything. */
static void add_entries(struct draft *draft)
{
    draft->n_entries = 0;
    draft->n_text_bytes = 0;
    bool any_below_system = false;
    for (int i = 0; i < draft->n_paths; i++)
        if (lock_path_first_shared(draft->paths[i]) == 0 &&
            lock_path_n_segments(draft->paths[i]) > 0)
            any_below_system = true;
    if (any_below_system)
        add_entry(draft, "*", 1, false);

    for (int i = 0; i < draft->n_paths; i++) {
        const struct lock_path *path = draft->paths[i];
        const char *text = lock_path_text(path);
        int n = lock_path_first_shared(path);
        if (n == 0)
            n = 1;
        if (i > 0 && n_common_segments(draft->paths[i - 1], path) >= n)
            n = n_common_segments(draft->paths[i - 1], path) + 1;
        for (; n < lock_path_n_segments(path); n++)
            add_entry(draft, text, lock_path_prefix_bytes(path, n), false);
        if (draft->set)
            draft->set->path_entries[i] = draft->n_entries;
        add_entry(draft, text, strlen(text), true);
    }
}

bool lock_set_new(struct lock_path *const *paths, int n_paths, const char *name_space,
                  struct lock_set **out, struct fault *fault)
{
    if (n_paths < 1)
        return fault_set(fault, FAULT_INVALID, "no path to lock");
    struct draft draft = {.n_paths = n_paths, .name_space = name_space};
    bool ok = false;
    draft.paths = malloc((size_t)n_paths * sizeof *draft.paths);
    if (!draft.paths)
        return fault_no_memory(fault);
    for (int i = 0; i < n_paths; i++)
        draft.paths[i] = paths[i];
    if (sort_and_drop(&draft) > LOCK_SET_PATHS_MAX) {
        fault_set(fault, FAULT_INVALID, "more than %d paths", LOCK_SET_PATHS_MAX);
        goto done;
    }

    add_entries(&draft);
    size_t n_entries = (size_t)draft.n_entries;
    struct lock_set *set = malloc(sizeof *set + n_entries * sizeof set->entries[0] +
                                  (size_t)draft.n_paths * sizeof(int) + draft.n_text_bytes);
    if (!set) {
        fault_no_memory(fault);
        goto done;
    }
    set->n_paths = draft.n_paths;
    set->n_entries = draft.n_entries;
    set->path_entries = (int *)(set->entries + n_entries);
    draft.set = set;
    draft.texts = (char *)(set->path_entries + draft.n_paths);
    add_entries(&draft);
    *out = set;
    ok = true;
done:
    free(draft.paths);
    return ok;
}

void lock_set_free(struct lock_set *set)
{
    free(set);
}

int lock_set_n_paths(const struct lock_set *set)
{
    return set->n_paths;
}

const char *lock_set_path(const struct lock_set *set, int i)
{
    assert(i >= 0 && i < set->n_paths);
    return set->entries[set->path_entries[i]].text;
}

int lock_set_n_entries(const struct lock_set *set)
{
    return set->n_entries;
}

const struct lock_entry *lock_set_entry(const struct lock_set *set, int i)
{
    assert(i >= 0 && i < set->n_entries);
    return &set->entries[i];
}

static bool covers_path(const struct lock_set *held, const char *path)
{
    for (int i = 0; i < held->n_paths; i++)
        if (lock_path_text_covers(lock_set_path(held, i), path))
            return true;
    return false;
}

bool lock_set_covers(const struct lock_set *held, const struct lock_set *wanted)
{
    for (int i = 0; i < wanted->n_paths; i++)
        if (!covers_path(held, lock_set_path(wanted, i)))
            return false;
    return true;
}

bool lock_set_conflicts(const struct lock_set *a, const struct lock_set *b)
{
    for (int i = 0; i < a->n_paths; i++)
        if (covers_path(b, lock_set_path(a, i)))
            return true;
    for (int i = 0; i < b->n_paths; i++)
        if (covers_path(a, lock_set_path(b, i)))
            return true;
    return false;
}

bool lock_set_equal(const struct lock_set *a, const struct lock_set *b)
{
    if (a->n_paths != b->n_paths)
        return false;
    for (int i = 0; i < a->n_paths; i++)
        if (strcmp(lock_set_path(a, i), lock_set_path(b, i)) != 0)
            return false;
    return true;
}
