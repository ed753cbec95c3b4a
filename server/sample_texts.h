/* The files of samples/ inside the program, so that `demo` works wherever it is started. */
#pragma once
#include <stddef.h>

struct sample_text {
    const char *name; /* "message-read/schema.sql" */
    const char *text;
};

/* Ended by a row without a name. The bytes are made by CMakeLists.txt. */
extern const struct sample_text sample_texts[];

/* NULL if there is none. */
const char *sample_text_find(const char *name);
