/* SPDX-License-Identifier: MIT */
/*
 * tracefs.h - /sys/kernel/tracing. Theory: tracefs.c.
 */
#ifndef KERNEL_PROCFS_TRACEFS_H
#define KERNEL_PROCFS_TRACEFS_H

#include "base/mutex.h"
#include "base/trace_ring.h"
#include "procfs/pseudo.h"

/* All that it keeps. */
struct tracefs_state {
	struct mutex lock;
	bool off;		 /* (lock) tracing_on is 0 */
	u64 wanted[TRACE_WORDS]; /* (lock) events that are enabled */
	u64 kb;			 /* (lock) of each CPU's ring; 0: the default */
	bool made;		 /* (lock) the rings are there, for good */
	struct trace_record *ring[MM_NR_CPUS];
	/* (lock) What trace_pipe and trace begin with. */
	u64 piped[MM_NR_CPUS], first[MM_NR_CPUS];
	u64 lost; /* (lock) overwritten before trace_pipe came to them */
	/* (lock) A line of which trace_pipe has given out AT bytes. */
	char line[1024];
	size_t len, at;
};

extern const struct pdir tracefs_dir;
extern const struct pentry tracefs_root_entry;

void tracefs_init(void);
/* tracefs_exit: no event is on any more, the rings are given back. For tests.
 */
void tracefs_exit(void);

#endif
