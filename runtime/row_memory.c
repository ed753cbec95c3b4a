#include "row_memory.h"

#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    PLACES = 256,
    ROW_BYTES_MAX = 8 << 10, /* as libpq keeps it */
};

struct place {
    char *key; /* NULL: it is free */
    int64_t noted_us;
    PGresult *row; /* NULL = none */
    int64_t read_us;
    bool large; /* the last row that came was, then */
    int64_t large_us;
};

struct row_memory {
    struct place places[PLACES];
};

bool row_memory_new(struct row_memory **out, struct fault *fault)
{
    *out = calloc(1, sizeof **out);
    return *out || fault_no_memory(fault);
}

static void empty(struct place *place)
{
    free(place->key);
    PQclear(place->row);
    *place = (struct place){.key = NULL};
}

void row_memory_free(struct row_memory *memory)
{
    for (int i = 0; memory && i < PLACES; i++)
        empty(&memory->places[i]);
    free(memory);
}

static int place_of(const char *key)
{
    unsigned hash;
    HASH_VALUE(key, strlen(key), hash);
    return (int)(hash % PLACES);
}

static const struct place *find(const struct row_memory *memory, const char *key)
{
    const struct place *place = &memory->places[place_of(key)];
    return place->key && strcmp(place->key, key) == 0 ? place : NULL;
}

bool row_memory_noted(const struct row_memory *memory, const char *key, int64_t since_us)
{
    const struct place *place = find(memory, key);
    return place && place->noted_us >= since_us && !(place->large && place->large_us >= since_us);
}

void row_memory_note(struct row_memory *memory, const char *key, int64_t now_us, PGresult *row,
                     int64_t read_us)
{
    struct place *place = &memory->places[place_of(key)];
    if (!find(memory, key)) {
        empty(place);
        place->key = strdup(key);
    }
    PQclear(place->row);
    place->row = NULL;
    place->noted_us = now_us;
    place->read_us = read_us;
    if (!row)
        return;
    place->large = PQresultMemorySize(row) > ROW_BYTES_MAX;
    place->large_us = now_us;
    if (place->key && !place->large)
        place->row = row;
    else
        PQclear(row);
}

const PGresult *row_memory_find(const struct row_memory *memory, const char *key, int64_t since_us,
                                int64_t *read_us)
{
    const struct place *place = find(memory, key);
    if (!place || !place->row || place->read_us < since_us)
        return NULL;
    *read_us = place->read_us;
    return place->row;
}

void row_memory_forget(struct row_memory *memory, const char *key)
{
    if (find(memory, key))
        empty(&memory->places[place_of(key)]);
}
