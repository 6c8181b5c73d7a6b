/* SPDX-License-Identifier: MIT */
/*
 * coredump.h - core dumps, for who ends a process and for /proc. Theory:
 * coredump.c.
 */
#ifndef KERNEL_TASK_COREDUMP_H
#define KERNEL_TASK_COREDUMP_H

#include "task/task_priv.h"

#define CORE_PATTERN_MAX    128u
#define CORE_FILTER_DEFAULT 0x33u
#define CORE_FILTER_MASK    0x1ffu

extern struct core_settings {
	char pattern[CORE_PATTERN_MAX]; /* kernel.core_pattern */
	u32 uses_pid;			/* kernel.core_uses_pid */
} core_settings;

/* core_signal: is SIG one whose default is to leave a core? */
bool core_signal(int sig);
/* core_dump: T, running, ends its process by SIG, which INFO describes: writes
 * the core if there is to be one. How the process ends, as wait4 tells. No
 * locks held; sleeps. */
int core_dump(struct task *t, int sig, const struct ksiginfo *info);
/* core_rest: T ends: if its process's core is being written it waits. */
void core_rest(struct task *t);
/* core_pattern_set: 0; -EINVAL: too long, or a pipe. */
int core_pattern_set(const char *text, size_t len);

#endif
