/* What a workflow takes and loads: `input` and `data`. */
#pragma once
#include "reading.h"

extern const struct reading_schema data_read_schema; /* of one declaration under `data` */

/* Slots: the struct definition. */
reading_fn data_read_inputs;
reading_fn data_read_declarations;
