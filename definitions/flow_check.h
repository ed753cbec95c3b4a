/*
 * Where navigation leads: activities that never run, rounds that never end, and `event` where no
 * event ever comes.
 */
#pragma once
#include "reading.h"

void flow_check(struct reading *reading, const struct yaml_tree *root);
