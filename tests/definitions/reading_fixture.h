/* A sandbox and one reading of a text, for tests. */
#pragma once
#include "definition_read.h"

struct reading_fixture {
    struct sandbox *sandbox;
    struct problems problems;
    struct definition *definition; /* NULL if the last reading was refused */
    struct text printed;           /* its problems */
};

void reading_fixture_init(struct reading_fixture *fixture);
void reading_fixture_done(struct reading_fixture *fixture);

/* Reads under the name of file; forgets the reading before. */
bool reading_fixture_read(struct reading_fixture *fixture, const char *file, const char *source,
                          size_t n_bytes);

/* The same for a text in C, under the name "w.yaml", which must be accepted without a warning. */
const struct definition *reading_fixture_accept(struct reading_fixture *fixture,
                                                const char *source);

/* The same for one that must be refused: its problems. */
const char *reading_fixture_refuse(struct reading_fixture *fixture, const char *source);
