/* SPDX-License-Identifier: MIT */
/*
 * resource.h - the limits of a process that memory goes by: prlimit(2).
 *
 * Numbers are Linux's on x86-64; MM_RLIM_INFINITY is RLIM_INFINITY. Other
 * resources are the business of the kernel around the manager. A fork inherits
 * all limits, execve(2) keeps them, and who shares an address space shares
 * them.
 *
 * Source: getrlimit(2), prlimit(2), brk(2), mlock(2).
 */
#ifndef MMKIT_RESOURCE_H
#define MMKIT_RESOURCE_H

#include <mmkit/types.h>

struct mm_struct;

#define MM_RLIM_INFINITY (~0UL)

enum mm_rlimit_resource {
	MM_RLIMIT_DATA = 2,    /* data, heap and private writable mappings */
	MM_RLIMIT_STACK = 3,   /* a stack's growth */
	MM_RLIMIT_MEMLOCK = 8, /* locked memory */
	MM_RLIMIT_AS = 9,      /* mapped address space */
};

/* Bytes. CUR binds; up to MAX a process may raise it itself. */
struct mm_rlimit {
	u64 cur, max;
};

/*
 * mm_prlimit: *OLD (unless NULL) gets MM's limit of RESOURCE, and it becomes
 * *NEW (unless NULL). What is over a lowered limit stays; it is asked about
 * what comes. 0; -EPERM (MM is not the running task's, or a hard limit is
 * raised, and there is no MM_CAP_SYS_RESOURCE), -EINVAL (RESOURCE; CUR above
 * MAX). Whether one process may look at another's limits otherwise (users of
 * the same name may) is decided by the kernel around, which knows users, before
 * it calls; so is -EFAULT. After a failure *OLD and the limit are as before.
 * May sleep; takes the mmap lock.
 */
int mm_prlimit(struct mm_struct *mm, int resource, const struct mm_rlimit *new,
	       struct mm_rlimit *old) MM_MUST_CHECK;

/*
 * mm_rlimit_set: MM's limit of RESOURCE becomes NEW, for a kernel around that
 * has decided by itself who may set it and how far. 0; -EINVAL as above. May
 * sleep; takes the mmap lock.
 */
int mm_rlimit_set(struct mm_struct *mm, int resource,
		  const struct mm_rlimit *new) MM_MUST_CHECK;

#endif
