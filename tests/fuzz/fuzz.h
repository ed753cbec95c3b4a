/*
 * What the fuzz targets share. Each target is one file with one LLVMFuzzerTestOneInput: it gives
 * the bytes to the code under test and checks what must be true of every answer. `./dev fuzz`
 * builds and runs them.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* Ends the process, so that libFuzzer keeps the input, unless it is true. */
#define MUST(truth)                                                                                \
    do {                                                                                           \
        if (!(truth)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #truth);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
