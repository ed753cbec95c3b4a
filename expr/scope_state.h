/* Internal to expr: the tables of a scope, as keys of the registry. */
#pragma once
#include "scope.h"

/*
 *   expressions:  environment (empty, read-only) -+
 *                                                 +-> values --> libraries
 *   a task:       its own globals ----------------+
 */
struct scope {
    struct sandbox *sandbox;
    int values_ref;
    int environment_ref;
    int task_metatable_ref; /* of the globals of tasks */
};
