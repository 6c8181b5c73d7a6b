/* SPDX-License-Identifier: MIT */
/*
 * dump_task.h - files of /proc that the manager by itself does not make, of the
 * simulated machine. Theory: dump_task.c.
 */
#ifndef LAB_DUMP_TASK_H
#define LAB_DUMP_TASK_H

#include "base/seqbuf.h"

/*
 * dump_task_show: the file PATH to OUT: /proc/stat, uptime, loadavg, version,
 * cpuinfo, and of each task stat, status, comm, cmdline. 0; -ENOENT: none of
 * these; -ESRCH: no such task. Inside the body of machine_run(); may sleep.
 */
int dump_task_show(const char *path, struct seq_buf *out);
/* dump_task_list: FN for each that is not of a task. */
void dump_task_list(void (*fn)(const char *path));

#endif
