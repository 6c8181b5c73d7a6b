/* SPDX-License-Identifier: MIT */
/*
 * cgroup.h - control groups as a file system. Theory: cgroup.c.
 */
#ifndef KERNEL_PROCFS_CGROUP_H
#define KERNEL_PROCFS_CGROUP_H

#include "base/seqbuf.h"
#include "task.h"

/* cgroup_init: register "cgroup2". cgroup_exit: the names are given back; for
 * tests. */
void cgroup_init(void);
void cgroup_exit(void);

/* cgroup_rested: T came to rest (task_on_rest()): who waits for its group to be
 * frozen is told. May sleep. */
void cgroup_rested(struct task *t);

/* cgroup_show_task: the text of T's /proc/PID/cgroup. 0, -ENOMEM,
 * -ENAMETOOLONG. */
int cgroup_show_task(struct task *t, struct seq_buf *out);

#endif
