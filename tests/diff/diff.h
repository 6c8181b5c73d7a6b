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
 * A snapshot: the number of mappings, four words for each (start, end with
 * access in the low bits; if the snapshot is a deep one DIFF_VF_* and what
 * smaps counts, diff_sizes()), then the number of populated pages, and two for
 * each: address with DIFF_PG_*, and a hash of its contents (0 if they cannot
 * be read).
 */
#define DIFF_MAP_WORDS 4u
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
	uint32_t death;	   /* how a process ended that should not have */
	uint32_t death_at; /* the operation whose turn it was then */
};

struct diff_shared {
	struct diff_host host;
	uint32_t nr_ops;
	uint32_t turn;	/* index of the operation that is next */
	uint32_t abort; /* a process died: all others end */
	uint32_t blob_used;
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

#endif
