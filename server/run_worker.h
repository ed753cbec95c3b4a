/*
 * One host process of `run --hosts`: takes work from standard input, which is a socket to the
 * process that started it, and answers there.
 *
 *   to the host    SEQ UUID INPUT      start an instance of that id; INPUT is JSON
 *   from the host  ready PROCESS       the workflow is found, work may come
 *                  fault KIND TEXT     it cannot work, and ends
 *                  SEQ STATUS LATENCY_US REASON
 *
 * The end of input means: finish what is under way, then end.
 */
#pragma once

struct command_line;

int run_worker(const struct command_line *line);
