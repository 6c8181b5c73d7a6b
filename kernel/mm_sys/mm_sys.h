/* SPDX-License-Identifier: MIT */
/*
 * mm_sys.h - what the files of kernel/mm_sys share.
 */
#ifndef KERNEL_MM_SYS_H
#define KERNEL_MM_SYS_H

#include "syscall.h"

/* target_mm: the memory of process PID (0: the caller's own), with a reference
 * (mm_put). CAP: a capability that gives the right even to a stranger's, if
 * may_ptrace() does not. 0, -ESRCH, -EPERM. A task without memory: *OUT NULL.
 */
int target_mm(s32 pid, struct mm_struct **out) MM_MUST_CHECK;

void fault_sys_init(void);
void map_sys_init(void);
void numa_sys_init(void);
void shm_sys_init(void);
void swap_sys_init(void);
void uffd_sys_init(void);

#endif
