/*
 * How a host comes and goes: runtime_enter and runtime_leave of runtime.h, and their waiting forms.
 */
#pragma once

struct runtime;

/* Whoever waits for either is told FAULT_CANCELLED. */
void presence_abandon(struct runtime *runtime);
