/* SPDX-License-Identifier: MIT */
/*
 * exec_sys.h - system calls of x86-64 Linux by number, for a program without
 * a C library.
 */
#ifndef TESTS_DIFF_EXEC_SYS_H
#define TESTS_DIFF_EXEC_SYS_H

#include <stddef.h>
#include <stdint.h>

static inline long sys6(long nr, const uint64_t *a)
{
	register uint64_t r10 __asm__("r10") = a[3];
	register uint64_t r8 __asm__("r8") = a[4];
	register uint64_t r9 __asm__("r9") = a[5];
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define SYS(nr, ...) sys6(nr, (const uint64_t[6]){__VA_ARGS__})
#define U64(p)	     ((uint64_t)(uintptr_t)(p))

enum {
	NR_read = 0,
	NR_write = 1,
	NR_open = 2,
	NR_close = 3,
	NR_fstat = 5,
	NR_mmap = 9,
	NR_munmap = 11,
	NR_rt_sigaction = 13,
	NR_ioctl = 16,
	NR_mincore = 27,
	NR_madvise = 28,
	NR_dup2 = 33,
	NR_getpid = 39,
	NR_getrlimit = 97,
	NR_process_vm_readv = 310,
	NR_process_vm_writev = 311,
	NR_pidfd_open = 434,
	NR_process_madvise = 440,
	NR_pread64 = 17,
	NR_pwrite64 = 18,
	NR_fcntl = 72,
	NR_ftruncate = 77,
	NR_memfd_create = 319,
	NR_mbind = 237,
	NR_get_mempolicy = 239,
	NR_clone = 56,
	NR_exit_group = 231,
	NR_wait4 = 61,
	NR_kill = 62,
	NR_capset = 126,
	NR_prctl = 157,
	NR_setrlimit = 160,
	NR_futex = 202,
};

/* exec_file.c: the files that a sequence begins with. 0, or a negative
 * errno. */
struct diff_shared;
struct diff_result;
struct diff_op;
long files_prepare(const struct diff_shared *sh);
/* Calls on open files: result in R. */
void file_call(const struct diff_op *op, struct diff_result *r);
/* Size of what stands at slot N, and a hash of what it holds. */
void file_state(uint32_t n, uint64_t *size, uint64_t *hash);

/* exec_main.c; what the compiler may call by itself. */
void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* exec_snap.c: a snapshot of this process into the shared blob; DEEP also
 * with flags and counters of smaps. 0, or a negative errno. */
enum snap_depth { SNAP_MAPS, SNAP_PAGES, SNAP_DEEP };
long snapshot(struct diff_shared *sh, struct diff_result *res,
	      enum snap_depth depth);

/* A line of /proc/self/maps; FILE: diff_file_id(). */
struct maps_line {
	uint64_t start, end, prot, offset, file;
};

/* maps_each: FN for each mapping of this process. 0, or a negative errno. */
long maps_each(void (*fn)(const struct maps_line *m, void *arg), void *arg);

#endif
