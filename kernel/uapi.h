/* SPDX-License-Identifier: MIT */
/*
 * uapi.h - system calls that only this kernel has, as a program sees them.
 *
 * Includes nothing but <stdint.h>, so that programs of any kind can include it.
 * A Linux gives ENOSYS for these numbers, which is how a program finds out that
 * it runs on another kernel. labs/10-new-call.md shows how one is added.
 */
#ifndef KERNEL_UAPI_H
#define KERNEL_UAPI_H

#include <stdint.h>

/*
 * long fault_counts(pid_t pid, struct fault_counts *out, size_t size)
 *
 * Page faults of the machine and of one process (0: the caller's) since it
 * began, its ended threads included. The two belong to about the same moment:
 * they are counted on while they are read.
 *
 * SIZE is sizeof(struct fault_counts) as the program knows it. A kernel that
 * knows more fills so much of it; one that knows less fills what it knows, and
 * the rest with zeroes.
 *
 * 0, or -EINVAL (SIZE is 0, no multiple of a word, or more than a page),
 * -ESRCH (no such process), -EFAULT (OUT cannot be written).
 */
#define NR_FAULT_COUNTS 1000

struct fault_counts {
	uint64_t system;	/* pgfault of /proc/vmstat: all of them */
	uint64_t system_major;	/* pgmajfault: those that read a disk */
	uint64_t process_minor; /* ru_minflt of getrusage(2) */
	uint64_t process_major; /* ru_majflt */
};

#endif
