/*
 * Lock paths: one on each line. Those that parse are compared with a plain model, which splits the
 * text and decodes it anew, and together make a set.
 */
#include "fuzz.h"
#include "lock_set.h"

#include <string.h>

enum {
    PATHS_MAX = 48,
    PARTS_MAX = LOCK_PATH_SEGMENTS_MAX + 1,
};

struct part {
    char bytes[LOCK_SEGMENT_BYTES_MAX * 3 + 1];
    size_t n_bytes;
};

/* What the text says, understood the plain way. */
struct model {
    struct part encoded[PARTS_MAX];
    struct part decoded[PARTS_MAX];
    int n_parts;
    bool own;
    bool flat;
};

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'A' + 10;
}

static void model_init(struct model *model, const char *text)
{
    memset(model, 0, sizeof *model);
    model->own = text[0] == '$';
    model->flat = model->own && strncmp(text, "$definitions", strlen("$definitions")) != 0;
    if (strcmp(text, "*") == 0)
        return;
    for (const char *at = text;; at++) {
        MUST(model->n_parts < PARTS_MAX);
        struct part *encoded = &model->encoded[model->n_parts];
        struct part *decoded = &model->decoded[model->n_parts++];
        encoded->n_bytes = strcspn(at, "/");
        MUST(encoded->n_bytes < sizeof encoded->bytes);
        memcpy(encoded->bytes, at, encoded->n_bytes);
        for (size_t i = 0; i < encoded->n_bytes; i++) {
            if (at[i] == '%') {
                decoded->bytes[decoded->n_bytes++] =
                    (char)(nibble(at[i + 1]) << 4 | nibble(at[i + 2]));
                i += 2;
            } else {
                decoded->bytes[decoded->n_bytes++] = at[i];
            }
        }
        at += encoded->n_bytes;
        if (!*at)
            return;
    }
}

static int compare_parts(const struct part *a, const struct part *b)
{
    size_t n_bytes = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
    int order = memcmp(a->bytes, b->bytes, n_bytes);
    return order ? order : (a->n_bytes > b->n_bytes) - (a->n_bytes < b->n_bytes);
}

static int model_compare(const struct model *a, const struct model *b)
{
    for (int i = 0; i < a->n_parts && i < b->n_parts; i++) {
        int order = compare_parts(&a->encoded[i], &b->encoded[i]);
        if (order)
            return order;
    }
    return a->n_parts - b->n_parts;
}

static bool model_covers(const struct model *a, const struct model *b)
{
    if (a->own != b->own || a->n_parts > b->n_parts)
        return false;
    if (a->flat && a->n_parts != b->n_parts)
        return false;
    for (int i = 0; i < a->n_parts; i++)
        if (compare_parts(&a->decoded[i], &b->decoded[i]) != 0)
            return false;
    return true;
}

static int sign(int number)
{
    return (number > 0) - (number < 0);
}

/* A path made of the decoded segments has the text that was parsed. */
static void check_round_trip(const struct lock_path *path, const struct model *model)
{
    struct lock_segment segments[PARTS_MAX];
    struct lock_path *again = NULL;
    struct fault fault;
    int first = model->own ? 1 : 0;
    for (int i = first; i < model->n_parts; i++)
        segments[i - first] =
            (struct lock_segment){model->decoded[i].bytes, model->decoded[i].n_bytes};
    MUST(lock_path_n_segments(path) == model->n_parts);
    MUST(lock_path_is_own(path) == model->own && lock_path_is_flat(path) == model->flat);
    if (model->own) {
        char root[32];
        snprintf(root, sizeof root, "%.*s", (int)model->decoded[0].n_bytes - 1,
                 model->decoded[0].bytes + 1);
        MUST(lock_path_new_own(root, segments, model->n_parts - 1, &again, &fault));
    } else {
        MUST(lock_path_new(segments, model->n_parts, &again, &fault));
    }
    MUST(strcmp(lock_path_text(again), lock_path_text(path)) == 0);
    MUST(lock_path_compare(again, path) == 0);
    lock_path_free(again);
}

static void check_pair(const struct lock_path *a, const struct lock_path *b)
{
    static struct model model_a, model_b;
    model_init(&model_a, lock_path_text(a));
    model_init(&model_b, lock_path_text(b));
    bool covers = model_covers(&model_a, &model_b);
    bool conflicts = covers || model_covers(&model_b, &model_a);
    MUST(lock_path_covers(a, b) == covers);
    MUST(lock_path_text_covers(lock_path_text(a), lock_path_text(b)) == covers);
    MUST(lock_path_conflicts(a, b) == conflicts && lock_path_conflicts(b, a) == conflicts);
    MUST(sign(lock_path_compare(a, b)) == sign(model_compare(&model_a, &model_b)));
    MUST(sign(lock_path_compare(b, a)) == -sign(lock_path_compare(a, b)));
    MUST((lock_path_compare(a, b) == 0) == (strcmp(lock_path_text(a), lock_path_text(b)) == 0));
}

/* Any bytes as the segments of a path: refused, or a path whose text parses. */
static void check_raw(const uint8_t *bytes, size_t n_bytes)
{
    struct lock_segment segments[PARTS_MAX];
    int n_segments = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= n_bytes && n_segments < PARTS_MAX; i++) {
        if (i < n_bytes && bytes[i] != '\n')
            continue;
        segments[n_segments++] = (struct lock_segment){(const char *)bytes + begin, i - begin};
        begin = i + 1;
    }
    struct lock_path *path = NULL;
    struct lock_path *again = NULL;
    struct fault fault = {.kind = FAULT_NONE};
    if (!lock_path_new(segments, n_segments, &path, &fault)) {
        MUST(fault.kind == FAULT_INVALID);
        return;
    }
    MUST(!lock_path_is_own(path));
    MUST(lock_path_parse(lock_path_text(path), &again, &fault));
    MUST(lock_path_compare(path, again) == 0);
    lock_path_free(path);
    lock_path_free(again);
}

static void check_entries(const struct lock_set *set)
{
    int n_exclusive = 0;
    struct lock_path *before = NULL;
    for (int i = 0; i < lock_set_n_entries(set); i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        struct lock_path *path = NULL;
        struct fault fault;
        n_exclusive += entry->exclusive;
        MUST(lock_path_parse(entry->text, &path, &fault));
        MUST(entry->key == lock_key("latchkey", entry->text, strlen(entry->text)));
        MUST(!before || lock_path_compare(before, path) < 0);
        lock_path_free(before);
        before = path;
    }
    lock_path_free(before);
    MUST(n_exclusive == lock_set_n_paths(set));
}

/* The set covers each path and nothing else, without a path that another one covers. */
static void check_set(struct lock_path *const *paths, int n_paths)
{
    struct lock_set *set = NULL;
    struct fault fault = {.kind = FAULT_NONE};
    if (!lock_set_new(paths, n_paths, "latchkey", &set, &fault)) {
        MUST(fault.kind == FAULT_INVALID && (n_paths == 0 || n_paths > LOCK_SET_PATHS_MAX));
        return;
    }
    for (int i = 0; i < n_paths; i++) {
        int n_covering = 0;
        for (int k = 0; k < lock_set_n_paths(set); k++)
            n_covering += lock_path_text_covers(lock_set_path(set, k), lock_path_text(paths[i]));
        MUST(n_covering == 1);
    }
    for (int k = 0; k < lock_set_n_paths(set); k++) {
        int n_same = 0;
        for (int i = 0; i < n_paths; i++)
            n_same += strcmp(lock_set_path(set, k), lock_path_text(paths[i])) == 0;
        MUST(n_same >= 1);
    }
    check_entries(set);
    MUST(lock_set_equal(set, set) && lock_set_covers(set, set) && lock_set_conflicts(set, set));
    lock_set_free(set);
}

static int read_paths(const uint8_t *bytes, size_t n_bytes, struct lock_path **paths)
{
    static struct model model;
    int n_paths = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= n_bytes && n_paths < PATHS_MAX; i++) {
        if (i < n_bytes && bytes[i] != '\n')
            continue;
        char *text = strndup((const char *)bytes + begin, i - begin);
        struct fault fault = {.kind = FAULT_NONE};
        MUST(text);
        if (lock_path_parse(text, &paths[n_paths], &fault)) {
            MUST(strcmp(lock_path_text(paths[n_paths]), text) == 0);
            model_init(&model, text);
            check_round_trip(paths[n_paths++], &model);
        } else {
            MUST(fault.kind == FAULT_INVALID && fault.text[0]);
        }
        free(text);
        begin = i + 1;
    }
    return n_paths;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct lock_path *paths[PATHS_MAX];
    check_raw(bytes, n_bytes);
    int n_paths = read_paths(bytes, n_bytes, paths);
    for (int i = 0; i < n_paths && i < 8; i++)
        for (int k = 0; k < n_paths && k < 8; k++)
            check_pair(paths[i], paths[k]);
    check_set(paths, n_paths);
    for (int i = 0; i < n_paths; i++)
        lock_path_free(paths[i]);
    return 0;
}
