/* SPDX-License-Identifier: MIT */
/*
 * procfs_state.h - all that /proc keeps itself: the load averages, names of
 * control groups, rings of tracepoints.
 */
#ifndef KERNEL_PROCFS_STATE_H
#define KERNEL_PROCFS_STATE_H

#include "base/list.h"
#include "base/mutex.h"
#include "base/wait.h"
#include "machine.h"
#include "procfs/tracefs.h"
#include "vfs.h"

struct procfs_state {
	u64 load[3]; /* (A) 1/65536 */
	struct machine_timer load_timer;
	struct vfs_fstype types[4]; /* proc, sysfs, cgroup2, tracefs */
	wait_queue_head_t changed;  /* pseudo_changed() */
	struct mutex cpu_lock;	    /* one CPU comes or goes at a time */
	struct mutex cgroup_lock;
	struct list_head cgroups; /* (cgroup_lock) by age: parents first */
	u64 cgroup_root_max[2];	  /* (cgroup_lock) as cgroup.max */
	bool cgroup_root_control; /* (cgroup_lock) as cgroup.control */
	struct list_head cgroup_root_notes; /* (cgroup_lock) as cgroup.notes */
	struct tracefs_state trace;
	u32 kptr_restrict; /* (A) kernel.kptr_restrict */
};
extern struct procfs_state proc_sys;

void loadavg_start(void);
void loadavg_stop(void);

#endif
