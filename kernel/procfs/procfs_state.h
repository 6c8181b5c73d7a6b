/* SPDX-License-Identifier: MIT */
/*
 * procfs_state.h - all that /proc keeps itself: the load averages.
 */
#ifndef KERNEL_PROCFS_STATE_H
#define KERNEL_PROCFS_STATE_H

#include "machine.h"
#include "vfs.h"

struct procfs_state {
	u64 load[3]; /* (A) 1/65536 */
	struct machine_timer load_timer;
	struct vfs_fstype types[2]; /* proc, sysfs */
};
extern struct procfs_state proc_sys;

void loadavg_start(void);
void loadavg_stop(void);

#endif
