/* Queries that list, from the loop: runtime_inquire of runtime.h. */
#pragma once
#include "runtime.h"

/* At the end of the runtime: tells all. */
void runtime_inquiry_abandon_all(struct runtime *runtime);
