/*
 * Checks of `triggers` against each other and against what the workflow takes.
 */
#pragma once
#include "reading.h"

void trigger_check(struct reading *reading, const struct yaml_tree *root);
