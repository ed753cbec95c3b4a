/*
 * What libyaml found wrong, in words for a designer: the usual slips of YAML.
 */
#pragma once
#include "problems.h"
#include "yaml_source.h"

#include <yaml.h>

/* Adds the problem for which a parser stopped. */
void yaml_fault_report(const yaml_parser_t *parser, const struct yaml_source *source,
                       struct problems *problems);
