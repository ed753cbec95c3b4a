/*
 * What only shows when all of a definition is read: keys that do not go together, activities that
 * nothing leads to, locks that are wider or kept longer than a designer may think.
 */
#pragma once
#include "reading.h"

/* root is the tree that the definition was read from; parts of both may be missing. */
void definition_check(struct reading *reading, const struct yaml_tree *root);
