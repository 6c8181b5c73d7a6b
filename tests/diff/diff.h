/* SPDX-License-Identifier: MIT */
/*
 * diff.h - what both sides of the differential test agree on: operations,
 * results, and the memory in which they are passed.
 *
 * A sequence is an array of operations in one total order. Each names the
 * process that performs it. Both sides have the same address space: user space
 * of 47 bits, of which the first GiB is taken (on Linux by the executor itself,
 * in sim by one mapping), mmap's search begins at the same address, the heap
 * at DIFF_HEAP. So addresses are compared as they are.
 *
 * Used by hosted programs and by the executor, which has no C library.
 */
#ifndef TESTS_DIFF_H
#define TESTS_DIFF_H

#include <stdint.h>

#define DIFF_PAGE      4096ul
#define DIFF_TASK_SIZE 0x7ffffffff000ul
/* Below lies the executor: nothing may touch it. */
#define DIFF_LOW_END  0x40000000ul
#define DIFF_SHM_BASE 0x20000000ul
#define DIFF_WINDOW   0x100000000000ul
#define DIFF_HEAP     0x500000000000ul
/* mmap's search goes down from here under ADDR_NO_RANDOMIZE. */
#define DIFF_MMAP_BASE 0x7ffff7fff000ul

#define DIFF_MAX_OPS   4096u
#define DIFF_MAX_PROCS 8u
#define DIFF_BLOB      (1u << 20) /* words for snapshots */
/* RLIMIT_MEMLOCK, of which no capability frees. */
#define DIFF_MEMLOCK (8ul << 20)
/* What one operation may fault in. */
#define DIFF_POPULATE (128 * DIFF_PAGE)
/* Pages of one mincore. */
#define DIFF_MINCORE (1ul << 18)

/*
 * Open files are named by the numbers that they have on Linux. At the start of
 * a sequence there are two files with a disk, and one in memory:
 *   f0 A, to read and write  f1 A, to read  f2 A, to write
 *   f3 B, to read and append  f4 a memfd with seals  f5 the same, to read
 * f6 and f7 come from memfd_create. A child has its parent's.
 */
#define DIFF_FD0      100u
#define DIFF_NR_FDS   8u
#define DIFF_FD_MEMFD 4u
#define DIFF_A_SIZE   (5 * DIFF_PAGE + 0x123)
#define DIFF_IO	      (8 * DIFF_PAGE)  /* what one operation moves at most */
#define DIFF_SIZE     (1ul << 20)      /* of files; only errors go beyond */
#define DIFF_HASHED   (64 * DIFF_PAGE) /* of a file in a snapshot */

enum diff_call {
#define CALL(id, name, nr, args, weight) id,
#include "calls.def"
#undef CALL
	DIFF_NR_CALLS
};

struct diff_op {
	uint16_t call; /* enum diff_call */
	uint16_t proc;
	uint32_t pad;
	uint64_t arg[6];
};

/* What an operation did. Zero where it says nothing. */
struct diff_result {
	int64_t ret;
	int32_t sig, code;    /* of the signal that it ended in */
	uint64_t addr;	      /* si_addr */
	uint32_t blob, words; /* of the snapshot */
};

/*
 * A snapshot: the number of mappings, five words for each (start, end with
 * access in the low bits; if the snapshot is a deep one DIFF_VF_* and what
 * smaps counts, diff_sizes(); offset with the file, diff_file_id()), then the
 * number of populated pages, and two for each: address with DIFF_PG_*, and a
 * hash of its contents (0 if they cannot be read); then, for each open file,
 * its size (~0: not open) and a hash of what it holds; those with a disk only
 * if the sequence uses some.
 */
#define DIFF_MAP_WORDS 5u
#define DIFF_R	       1ul
#define DIFF_W	       2ul
#define DIFF_X	       4ul
#define DIFF_SHARED    8ul
#define DIFF_PG_ZERO   1ul
#define DIFF_PG_SWAP   2ul
#define DIFF_PG_FILE   4ul

/* Flags of a mapping as smaps names them. */
enum diff_vf {
#define VF(id, text) DIFF_VF_##id,
#include "vmflags.def"
#undef VF
	DIFF_NR_VF
};

/* The counters of smaps, all in kB, in a word. */
enum { SZ_RSS, SZ_PSS, SZ_ANON, SZ_LOCKED, NR_SZ };

static inline uint64_t diff_sizes(const uint64_t *kb)
{
	uint64_t w = 0;

	for (unsigned i = 0; i < NR_SZ; i++)
		w = w << 16 | (kb[i] & 0xffff);
	return w;
}

/* What the executor found out about its kernel. */
struct diff_host {
	uint32_t ready;
	int32_t error;	 /* what could not be prepared, as an errno */
	uint32_t stage;	 /* where that was */
	uint32_t scan;	 /* pages can be listed (PAGEMAP_SCAN) */
	uint32_t nr_low; /* mappings below DIFF_LOW_END */
	uint32_t heap;	 /* the heap could be put where it belongs */
	uint32_t swap;	 /* the host has some: PAGEOUT is not compared */
	uint64_t mmap_base;
	uint64_t data_pages; /* below DIFF_LOW_END, for RLIMIT_DATA */
	uint64_t min_addr;
	uint32_t noexec;   /* the file system of A and B is mounted so */
	uint32_t death;	   /* how a process ended that should not have */
	uint32_t death_at; /* the operation whose turn it was then */
};

/*
 * set_heap: PR_SET_MM_MAP with START, BRK and DATA bytes of data; all else is
 * as it was.
 */
struct diff_prctl_map {
	uint64_t start_code, end_code, start_data, end_data;
	uint64_t start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t auxv;
	uint32_t auxv_size, exe_fd;
};

static inline void diff_heap_map(struct diff_prctl_map *m, uint64_t start,
				 uint64_t brk, uint64_t data)
{
	uint64_t low = DIFF_LOW_END - DIFF_PAGE;

	m->start_code = low - DIFF_PAGE;
	m->end_code = m->start_data = low;
	m->end_data = low + data;
	m->start_brk = start;
	m->brk = brk;
	m->start_stack = m->arg_start = m->arg_end = low;
	m->env_start = m->env_end = low;
	m->auxv = 0;
	m->auxv_size = 0;
	m->exe_fd = ~0u;
}

/* What a sequence's operations name: both sides prepare that. */
#define DIFF_USES_FILES	 1u
#define DIFF_USES_DISK	 2u
#define DIFF_USES_ALLOC	 4u /* fallocate of a file in memory */
#define DIFF_USES_SHARED 8u /* anonymous memory */
/* Which pages are cached is not compared then. */
#define DIFF_LAZY (DIFF_USES_DISK | DIFF_USES_ALLOC)

struct diff_shared {
	struct diff_host host;
	uint32_t nr_ops;
	uint32_t turn;	/* index of the operation that is next */
	uint32_t abort; /* a process died: all others end */
	uint32_t blob_used;
	uint32_t files; /* DIFF_USES_* of the sequence */
	struct diff_op op[DIFF_MAX_OPS];
	struct diff_result res[DIFF_MAX_OPS];
	uint64_t blob[DIFF_BLOB];
};

#define DIFF_SHM_SIZE ((sizeof(struct diff_shared) + 0xfffful) & ~0xfffful)

/* A page's contents in a word. */
static inline uint64_t diff_hash(const void *page)
{
	const uint64_t *w = page;
	uint64_t a = 1, b = 2;

	for (unsigned i = 0; i < DIFF_PAGE / 8; i += 2) {
		a = (a ^ w[i]) * 0x9e3779b97f4a7c15ul;
		b = (b ^ w[i + 1]) * 0xc2b2ae3d27d4eb4ful;
		a ^= b >> 29;
		b ^= a >> 31;
	}
	return a ^ b;
}

/* N bytes in a word, H being that of what comes before. */
static inline uint64_t diff_bytes(uint64_t h, const void *bytes, uint64_t n)
{
	const unsigned char *b = bytes;

	for (uint64_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3ul;
	return h;
}

/* The contents that A begins with, and those that pwrite writes: W at each
 * word, told apart by where in the buffer it is. */
static inline void diff_fill(uint64_t *words, uint64_t n, uint64_t w)
{
	for (uint64_t i = 0; i < n; i++)
		words[i] = w ^ i << 48;
}

enum { DIFF_ID_NONE, DIFF_ID_A, DIFF_ID_B, DIFF_ID_SHARED, DIFF_ID_MEMFD };

/* Which file a mapping shows, by its path (which the sides give alike). */
static inline uint64_t diff_file_id(const char *path)
{
	static const char *const marks[] = {"mmdiff-A", "mmdiff-B", "/dev/zero",
					    "/memfd:m"};

	for (; path && *path; path++)
		for (uint64_t i = 0; i < 4; i++) {
			unsigned k = 0;

			while (marks[i][k] && path[k] == marks[i][k])
				k++;
			if (!marks[i][k])
				return i < 3 ? i + 1
					     : DIFF_ID_MEMFD +
						       (uint64_t)path[k] - '0';
		}
	return DIFF_ID_NONE;
}

#endif
