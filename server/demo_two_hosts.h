/*
 * The demo of samples/two-hosts: five steps of two hosts that have seen older and newer states of
 * one workflow, and what each was told.
 */
#pragma once
#include "demo_sample.h"

demo_play_fn demo_two_hosts_play;
