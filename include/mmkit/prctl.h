/* SPDX-License-Identifier: MIT */
/*
 * prctl.h - where the parts of a program lie: prctl(2), PR_SET_MM.
 *
 * The kernel that runs a program notes it when it has loaded it, a checkpoint
 * when it restores one. The heap's bounds rule brk(2) from then on, the sizes
 * of code and data count in /proc/PID/status and against RLIMIT_DATA; the rest
 * is kept for who shows it. Numbers and the structure are Linux's, bit for
 * bit; do not include <linux/prctl.h> beside this.
 *
 * Source: prctl(2); results as Linux 6.18 gave them where the page says
 * nothing (tests/sim/test_prctl.c).
 */
#ifndef MMKIT_PRCTL_H
#define MMKIT_PRCTL_H

#include <mmkit/types.h>

struct file;
struct mm_struct;

#define PR_SET_MM_START_CODE  1
#define PR_SET_MM_END_CODE    2
#define PR_SET_MM_START_DATA  3
#define PR_SET_MM_END_DATA    4
#define PR_SET_MM_START_STACK 5
#define PR_SET_MM_START_BRK   6
#define PR_SET_MM_BRK	      7
#define PR_SET_MM_ARG_START   8
#define PR_SET_MM_ARG_END     9
#define PR_SET_MM_ENV_START   10
#define PR_SET_MM_ENV_END     11
#define PR_SET_MM_AUXV	      12
#define PR_SET_MM_EXE_FILE    13
#define PR_SET_MM_MAP	      14
#define PR_SET_MM_MAP_SIZE    15

/* prctl(2) itself. */
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68

struct prctl_mm_map {
	u64 start_code, end_code, start_data, end_data;
	u64 start_brk, brk, start_stack;
	u64 arg_start, arg_end, env_start, env_end;
	u64 auxv; /* address */
	u32 auxv_size;
	u32 exe_fd; /* -1: as it is */
};

/* Words of an auxiliary vector, the two zeroes at its end included. */
#define MM_AUXV_WORDS 56u

/* The arguments of prctl(PR_SET_MM, OP, ARG3, ARG4, ARG5). FGET: the caller's
 * open file FD, with a reference, or NULL; only asked where one is named. */
struct mm_set_mm {
	int op;
	u64 arg3, arg4, arg5;
	struct file *(*fget)(u32 fd, void *arg);
	void *arg;
};

/*
 * mm_prctl_set_mm: PR_SET_MM of MM, the running task's.
 *	all but MAP and MAP_SIZE: -EPERM without MM_CAP_SYS_RESOURCE
 *	ARG4, ARG5 not zero where they are not used (MAP_SIZE does not mind
 *	ARG4), an unknown OP: -EINVAL
 *	an address below vm.mmap_min_addr or beyond user space: -EINVAL
 *	START_CODE, END_CODE: -EINVAL unless private memory is there that can
 *	be read and run, not written; START_DATA, END_DATA: read and written,
 *	not run; START_STACK, ARG_*, ENV_*: read and written. The ends are the
 *	first byte beyond.
 *	START_BRK, BRK: -EINVAL unless behind the data
 *	a start behind its end (where both were given): -EINVAL; heap and data
 *	together beyond RLIMIT_DATA: -EINVAL
 *	AUXV: ARG4 bytes at ARG3; -EINVAL (more than 8 * MM_AUXV_WORDS), -EFAULT
 *	EXE_FILE: descriptor ARG3; -EBADF, -EACCES (no regular file that may be
 *	run), -EBUSY (the old one is still mapped)
 *	MAP: a struct prctl_mm_map at ARG3, ARG4 its size. Its addresses need
 *	not be mapped; code must not be empty. Errors as above, -EFAULT, and
 *	-EPERM: exe_fd without MM_CAP_SYS_ADMIN. All is set, or nothing.
 *	MAP_SIZE: its size, 32 bits, to ARG3: -EFAULT
 * 0; -ENOMEM besides. May sleep; takes the mmap lock.
 */
int mm_prctl_set_mm(struct mm_struct *mm,
		    const struct mm_set_mm *req) MM_MUST_CHECK;

/*
 * mm_prctl_map_set: the same for a program that has just been loaded: all of
 * *MAP, the auxiliary vector AUXV of WORDS words, EXE with a reference more.
 * Nothing is checked. 0, -ENOMEM. May sleep; takes the mmap lock.
 */
int mm_prctl_map_set(struct mm_struct *mm, const struct prctl_mm_map *map,
		     const u64 *auxv, u32 words,
		     struct file *exe) MM_MUST_CHECK;

/*
 * mm_prctl_map_get: what is set now, 0 where nothing was; auxv_size is what
 * mm_auxv_get() gives, in bytes, auxv 0, exe_fd -1. mm_auxv_get: up to N words
 * of the auxiliary vector, its end included; how many. mm_exe_file_get: the
 * program's file with a reference, or NULL. May sleep; take the mmap lock.
 */
void mm_prctl_map_get(struct mm_struct *mm, struct prctl_mm_map *out);
u32 mm_auxv_get(struct mm_struct *mm, u64 *words, u32 n);
struct file *mm_exe_file_get(struct mm_struct *mm);

/*
 * mm_prctl_set_memory_merge: PR_SET_MEMORY_MERGE: all private mappings of MM,
 * and those to come, are looked at for pages that are equal (mmkit/ksm.h), or
 * none is any more and what was shared is private. Inherited by fork and
 * execve. 0; -ENOMEM, -EINTR (the caller is being killed): on or off as before;
 * switching off has made some pages private already. May sleep; takes the mmap
 * lock. _get: is it on? Any context.
 */
int mm_prctl_set_memory_merge(struct mm_struct *mm, bool on) MM_MUST_CHECK;
bool mm_prctl_get_memory_merge(const struct mm_struct *mm);

#endif
