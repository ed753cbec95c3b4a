/*
 * What a definition may say but this version does not run yet, told as errors: better at check
 * than at night. One table; a row goes when the runtime learns the thing.
 */
#pragma once
#include "definition.h"
#include "problems.h"
#include "yaml_tree.h"

/* root is the tree that the definition was read from, for the places. */
void definition_check_support(const struct definition *definition, const struct yaml_tree *root,
                              struct problems *problems);
