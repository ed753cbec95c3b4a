#include "definition_import.h"

#include "definition_file.h"
#include "definition_store.h"
#include "runtime_sql.h"
#include "utf8.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

enum {
    FILES_MAX = 10000,
    PATH_BYTES_MAX = 8192,
};

/* A workflow that is published, or that a file holds. */
struct head {
    char *name;
    int version; /* the latest; 0 = none */
    char *checksum;
    char *file;                    /* where it was found last; NULL = nowhere */
    struct found *found;           /* where it is now */
    struct definition *definition; /* its text there, if that is another one than the latest */
    bool twice;
    UT_hash_handle hh;
};

struct found {
    char *name;        /* of the file, without the directory */
    struct head *head; /* NULL: broken */
};

struct definition_import {
    struct sandbox *sandbox;
    char *directory;
    char *published_by;
    struct head *heads;
    struct found *files;
    int n_files;
    int capacity;
    int at; /* the file that is next */
    json_t *problems;
    bool lost; /* a problem, for lack of memory */
};

/* ---- life ---- */

static void free_head(struct head *head)
{
    free(head->name);
    free(head->checksum);
    free(head->file);
    definition_free(head->definition);
    free(head);
}

static void forget(struct definition_import *import)
{
    struct head *head, *next;
    HASH_ITER(hh, import->heads, head, next)
    {
        HASH_DEL(import->heads, head);
        free_head(head);
    }
    for (int i = 0; i < import->n_files; i++)
        free(import->files[i].name);
    import->n_files = import->at = 0;
    json_decref(import->problems);
    import->problems = NULL;
    import->lost = false;
}

bool definition_import_new(struct sandbox *sandbox, const char *directory, const char *published_by,
                           struct definition_import **out, struct fault *fault)
{
    struct definition_import *import = calloc(1, sizeof *import);
    if (!import)
        return fault_no_memory(fault);
    import->sandbox = sandbox;
    import->directory = strdup(directory);
    import->published_by = strdup(published_by);
    if (!import->directory || !import->published_by) {
        definition_import_free(import);
        return fault_no_memory(fault);
    }
    *out = import;
    return true;
}

void definition_import_free(struct definition_import *import)
{
    if (!import)
        return;
    forget(import);
    free(import->files);
    free(import->directory);
    free(import->published_by);
    free(import);
}

/* ---- heads ---- */

static struct head *find_head(const struct definition_import *import, const char *name)
{
    struct head *head;
    HASH_FIND_STR(import->heads, name, head);
    return head;
}

static struct head *add_head(struct definition_import *import, const char *name)
{
    struct head *head = calloc(1, sizeof *head);
    if (!head)
        return NULL;
    head->name = strdup(name);
    if (head->name)
        HASH_ADD_KEYPTR(hh, import->heads, head->name, strlen(head->name), head);
    if (!head->name || !head->hh.tbl) { /* uthash had no memory; it leaves it out */
        free_head(head);
        return NULL;
    }
    return head;
}

static bool copy_heads(struct definition_import *import, const PGresult *rows, struct fault *fault)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        struct head *head = add_head(import, PQgetvalue(rows, i, 0));
        if (!head)
            return fault_no_memory(fault);
        head->version = atoi(PQgetvalue(rows, i, 1));
        head->checksum = strdup(PQgetvalue(rows, i, 2));
        if (!PQgetisnull(rows, i, 3))
            head->file = strdup(PQgetvalue(rows, i, 3));
        if (!head->checksum || (!head->file && !PQgetisnull(rows, i, 3)))
            return fault_no_memory(fault);
    }
    return true;
}

/* ---- problems ---- */

/* A message may have been cut inside a character. */
static void add_problem(struct definition_import *import, const char *file, int line, int column,
                        enum problem_severity severity, const char *message)
{
    size_t length = utf8_prefix(message, strlen(message), SIZE_MAX);
    json_t *problem = json_pack("{s:s, s:i, s:i, s:s, s:s%}", "file", file, "line", line, "column",
                                column, "severity", severity == PROBLEM_ERROR ? "error" : "warning",
                                "message", message, length);
    if (json_array_append_new(import->problems, problem) != 0)
        import->lost = true;
}

/* ---- the directory ---- */

static bool is_definition_file(const char *name)
{
    static const char *const ends[] = {".yaml", ".yml", ".json"};
    size_t length = strlen(name);
    for (size_t i = 0; *name != '.' && i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i]);
        if (length > end && strcmp(name + length - end, ends[i]) == 0)
            return true;
    }
    return false;
}

static bool path_of(const struct definition_import *import, const char *name, struct text *out,
                    struct fault *fault)
{
    text_init(out, PATH_BYTES_MAX);
    text_addf(out, "%s/%s", import->directory, name);
    return text_ok(out, fault);
}

static bool add_file(struct definition_import *import, const char *name, struct fault *fault)
{
    if (import->n_files == FILES_MAX)
        return fault_set(fault, FAULT_EXHAUSTED, "%s: more than %d definition files",
                         import->directory, FILES_MAX);
    if (import->n_files == import->capacity) {
        int capacity = import->capacity ? 2 * import->capacity : 64;
        struct found *grown = realloc(import->files, (size_t)capacity * sizeof *grown);
        if (!grown)
            return fault_no_memory(fault);
        import->files = grown;
        import->capacity = capacity;
    }
    struct found *found = &import->files[import->n_files];
    *found = (struct found){.name = strdup(name)};
    if (!found->name)
        return fault_no_memory(fault);
    import->n_files++;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static bool unreadable(const struct definition_import *import, struct fault *fault)
{
    return fault_set(fault, FAULT_INVALID, "%s: cannot be read: %s", import->directory,
                     strerror(errno));
}

static bool is_text(const char *name)
{
    size_t length = strlen(name);
    return utf8_prefix(name, length, length) == length;
}

static bool add_nameless(struct definition_import *import, struct fault *fault)
{
    add_problem(import, "?", 1, 1, PROBLEM_ERROR, "the name of a file is not UTF-8");
    return !import->lost || fault_no_memory(fault);
}

static bool list_directory(struct definition_import *import, struct fault *fault)
{
    struct dirent *entry;
    bool ok = true;
    DIR *stream = opendir(import->directory);
    if (!stream)
        return unreadable(import, fault);
    errno = 0;
    while (ok && (entry = readdir(stream))) {
        if (is_definition_file(entry->d_name))
            ok = is_text(entry->d_name) ? add_file(import, entry->d_name, fault)
                                        : add_nameless(import, fault);
        errno = 0;
    }
    if (ok && errno)
        ok = unreadable(import, fault);
    closedir(stream);
    if (import->n_files)
        qsort(import->files, (size_t)import->n_files, sizeof *import->files, by_name);
    return ok;
}

bool definition_import_begin(struct definition_import *import, const PGresult *heads,
                             struct fault *fault)
{
    forget(import);
    import->problems = json_array();
    if (!import->problems)
        return fault_no_memory(fault);
    return list_directory(import, fault) && copy_heads(import, heads, fault);
}

/* ---- a file ---- */

static void add_problems(struct definition_import *import, const char *file,
                         const struct problems *problems, const struct fault *fault, bool failed)
{
    for (int i = 0; i < problems->n_items; i++) {
        const struct problem *problem = &problems->items[i];
        add_problem(import, file, problem->line, problem->column, problem->severity,
                    problem->message);
    }
    if (failed && problems->n_errors == 0)
        add_problem(import, file, 1, 1, PROBLEM_ERROR, fault->text);
}

/* Files of one workflow are all at fault: which of them is meant, nobody can tell. */
static void refuse_twice(struct definition_import *import, struct head *head,
                         const struct found *other)
{
    char message[FAULT_TEXT_BYTES];
    if (!head->twice) {
        snprintf(message, sizeof message, "workflow '%s' is in %s too; neither was imported",
                 head->name, other->name);
        add_problem(import, head->found->name, 1, 1, PROBLEM_ERROR, message);
    }
    snprintf(message, sizeof message, "workflow '%s' is in %s too; neither was imported",
             head->name, head->found->name);
    add_problem(import, other->name, 1, 1, PROBLEM_ERROR, message);
    head->twice = true;
}

static bool place(struct definition_import *import, struct found *found,
                  struct definition *definition, struct fault *fault)
{
    struct head *head = find_head(import, definition->name);
    if (!head)
        head = add_head(import, definition->name);
    if (!head) {
        definition_free(definition);
        return fault_no_memory(fault);
    }
    found->head = head;
    if (head->found)
        refuse_twice(import, head, found);
    else
        head->found = found;
    if (head->twice || (head->version && strcmp(head->checksum, definition->checksum) == 0))
        definition_free(definition);
    else
        head->definition = definition;
    return true;
}

/* A pipe or a device would stop the loop. */
static bool is_regular(const char *path, struct fault *fault)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return fault_set(fault, FAULT_INVALID, "cannot be read: %s", strerror(errno));
    return S_ISREG(info.st_mode) || fault_set(fault, FAULT_INVALID, "is not a file");
}

bool definition_import_step(struct definition_import *import, bool *more, struct fault *fault)
{
    struct text path;
    struct problems problems;
    struct definition *definition = NULL;
    *more = import->at < import->n_files;
    if (!*more)
        return true;
    struct found *found = &import->files[import->at++];
    bool ok = path_of(import, found->name, &path, fault);
    if (ok) {
        struct fault broken;
        problems_init(&problems);
        bool good = is_regular(text_chars(&path), &broken) &&
                    definition_file_read(import->sandbox, text_chars(&path), &definition, &problems,
                                         &broken);
        add_problems(import, found->name, &problems, &broken, !good);
        problems_done(&problems);
        ok = !good || place(import, found, definition, fault);
    }
    text_done(&path);
    *more = import->at < import->n_files;
    return ok && (!import->lost || fault_no_memory(fault));
}

/* ---- what comes of it ---- */

static bool is_new(const struct head *head)
{
    return head->definition && !head->twice;
}

bool definition_import_write(struct definition_import *import, struct pg_pipeline *pipeline,
                             struct fault *fault)
{
    for (int i = 0; i < import->n_files; i++) {
        const struct head *head = import->files[i].head;
        if (!head || head->twice)
            continue;
        if (is_new(head) &&
            !definition_store_add_version(pipeline, head->definition, head->version + 1,
                                          import->published_by, fault))
            return false;
        const char *params[] = {head->name, import->files[i].name};
        if (!head->file || strcmp(head->file, params[1]) != 0)
            pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_FILE, 2, params);
    }
    return true;
}

static bool has_file(const struct definition_import *import, char *name)
{
    struct found wanted = {.name = name};
    return import->n_files &&
           bsearch(&wanted, import->files, (size_t)import->n_files, sizeof *import->files, by_name);
}

static json_t *removed(const struct definition_import *import)
{
    json_t *list = json_array();
    for (const struct head *head = import->heads; head; head = head->hh.next)
        if (head->file && !head->found && !has_file(import, head->file))
            json_array_append_new(
                list, json_pack("{s:s, s:s}", "workflow", head->name, "file", head->file));
    return list;
}

void definition_import_report(const struct definition_import *import, json_t *report)
{
    json_t *published = json_object_get(report, "published");
    json_t *unchanged = json_array();
    for (int i = 0; i < import->n_files; i++) {
        const struct head *head = import->files[i].head;
        if (!head || head->twice)
            continue;
        if (is_new(head))
            json_array_append_new(published,
                                  json_pack("{s:s, s:i, s:s}", "workflow", head->name, "version",
                                            head->version + 1, "file", import->files[i].name));
        else
            json_array_append_new(unchanged, json_string(head->name));
    }
    json_object_set_new(report, "files", json_integer(import->n_files));
    json_object_set_new(report, "unchanged", unchanged);
    json_object_set_new(report, "removed", removed(import));
    json_object_set(report, "problems", import->problems);
}
