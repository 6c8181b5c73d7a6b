/* world: host */
/* SPDX-License-Identifier: MIT */
/*
 * space - instructions of address spaces: faults, fork, and the calls that
 * change mappings.
 *
 *	space              print the table
 *	space ITEM N       do ITEM N times
 *
 * Linux's figures: Debian's 6.1, guest instructions under QEMU TCG with
 * init_on_alloc=0 and mitigations=off, trap or system call included (337 for a
 * call); ours begin at the manager's door. Rows that need something undone
 * before the next round (DONTNEED after faults, the second half of a pair)
 * have both in them, on either side. Below the table: what two threads take of
 * locks that they share, and their time against one (fault_threads).
 */
#include "bench_items.h"

#include <mmkit/mm.h>
#include <mmkit/mman.h>

#include "arch/paging.h"

#define PAGES 4096u /* of the mapping that is touched: 16 MiB */
#define MANY  10000u
#define HUGE  512u
#define P(n)  ((u64)(n) << PAGE_SHIFT)

static struct mm_struct *mm;

static void space_begin(void)
{
	struct mm_layout l;

	mm_default_layout(&l);
	need(!mm_create(&l, &mm));
	mm_task_attach(port_current(), mm);
}

static void space_end(void)
{
	mm_task_exit(port_current());
	port_current()->flags &= ~(u32)PF_EXITING;
	mm_put(mm);
}

static uva_t map(u64 pages, int flags)
{
	s64 va = do_mmap(mm, 0, P(pages), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | flags);

	need(va > 0);
	return (uva_t)va;
}

static void touch(uva_t va, u32 error)
{
	need(!mm_user_fault(port_current(), va, PF_ERR_USER | error));
}

static void dontneed(uva_t va, u64 pages)
{
	need(!do_madvise(mm, va, P(pages), MADV_DONTNEED));
}

static void faults(u64 n, u32 error)
{
	uva_t va;

	space_begin();
	va = map(PAGES, 0);
	for (u64 done = 0; done < n; done += PAGES) {
		for (u64 i = 0; i < PAGES; i++)
			touch(va + P(i), error);
		dontneed(va, PAGES);
	}
	space_end();
}

static void run_write_fault(u64 n)
{
	faults(n, PF_ERR_WRITE);
}

static void run_read_fault(u64 n)
{
	faults(n, 0);
}

static void run_populate(u64 n)
{
	space_begin();
	for (u64 done = 0; done < n; done += PAGES)
		need(!do_munmap(mm, map(PAGES, MAP_POPULATE), P(PAGES)));
	space_end();
}

/* Copies of pages that a child still has; one fork for 4,096 of them. */
static void run_cow(u64 n)
{
	struct mm_struct *child = NULL;
	uva_t va;

	space_begin();
	va = map(PAGES, MAP_POPULATE);
	for (u64 done = 0; done < n; done += PAGES) {
		need(!mm_fork(mm, &child));
		for (u64 i = 0; i < PAGES; i++)
			touch(va + P(i), PF_ERR_PRESENT | PF_ERR_WRITE);
		mm_put(child);
	}
	space_end();
}

/* Of 16 MiB, touched: 4,096 "times" are one fork. */
static void run_fork_exit(u64 n)
{
	struct mm_struct *child = NULL;

	space_begin();
	map(PAGES, MAP_POPULATE);
	for (u64 done = 0; done < n; done += PAGES) {
		need(!mm_fork(mm, &child));
		mm_put(child);
	}
	space_end();
}

static void run_mmap(u64 n)
{
	space_begin();
	while (n--)
		need(!do_munmap(mm, map(1, 0), PAGE_SIZE));
	space_end();
}

static void run_mmap_touch(u64 n)
{
	space_begin();
	while (n--) {
		uva_t va = map(1, 0);

		touch(va, PF_ERR_WRITE);
		need(!do_munmap(mm, va, PAGE_SIZE));
	}
	space_end();
}

/* The middle of three pages: split in three, and joined again. */
static void run_mprotect(u64 n)
{
	uva_t va;

	space_begin();
	va = map(3, MAP_POPULATE);
	while (n--) {
		need(!do_mprotect(mm, va + P(1), PAGE_SIZE, PROT_READ));
		need(!do_mprotect(mm, va + P(1), PAGE_SIZE,
				  PROT_READ | PROT_WRITE));
	}
	space_end();
}

/* 256 touched pages to and fro: 256 "times" are one move. */
static void run_mremap(u64 n)
{
	uva_t at, other = 0x200000000UL;

	space_begin();
	at = map(256, MAP_POPULATE);
	for (u64 done = 0; done < n; done += 256) {
		uva_t to = other;

		need(do_mremap(mm, at, P(256), P(256),
			       MREMAP_MAYMOVE | MREMAP_FIXED, to) == (s64)to);
		other = at;
		at = to;
	}
	space_end();
}

static void run_brk(u64 n)
{
	struct mm_usage u;

	space_begin();
	mm_usage_get(mm, &u);
	while (n--) {
		need(do_brk(mm, u.start_brk + P(8)) == u.start_brk + P(8));
		need(do_brk(mm, u.start_brk) == u.start_brk);
	}
	space_end();
}

static uva_t map_many(void)
{
	uva_t va;

	space_begin();
	va = map(2 * MANY, MAP_NORESERVE);
	for (u64 i = 0; i < MANY; i++)
		need(!do_mprotect(mm, va + P(2 * i), PAGE_SIZE, PROT_READ));
	return va;
}

/* Among 10,000 mappings; what makes them is in both runs. */
static void run_many_map(u64 n)
{
	u64 at = 1;

	map_many();
	while (n--) {
		at = at * 7919 % MANY;
		need(!do_munmap(mm, map(1, 0), PAGE_SIZE));
	}
	space_end();
}

static void run_many_fault(u64 n)
{
	uva_t va = map_many();
	u64 at = 1;

	for (u64 i = 0; i < n; i++) {
		at = (at * 7919 + 1) % MANY;
		touch(va + P(2 * at), 0);
		dontneed(va + P(2 * at), 1);
	}
	space_end();
}

/* A region of 2 MiB, by first touch; 512 "times" are one. */
static void run_huge(u64 n)
{
	uva_t va;

	space_begin();
	va = ALIGN(map(2 * HUGE, 0), P(HUGE));
	need(!do_madvise(mm, va, P(HUGE), MADV_HUGEPAGE));
	for (u64 done = 0; done < n; done += HUGE) {
		touch(va, PF_ERR_WRITE);
		dontneed(va, HUGE);
	}
	space_end();
}

static const struct item items[] = {
	{"write_fault", "write fault and DONTNEED, a page", 3308 + 1300,
	 1000 + 120, run_write_fault},
	{"read_fault", "zero-page fault and DONTNEED, a page", 1241, 300,
	 run_read_fault},
	{"populate", "populate and munmap, a page", 3420 + 1300, 620 + 120,
	 run_populate},
	{"cow", "COW break, with its share of fork + exit", 3934 + 392, 1000,
	 run_cow},
	{"fork_exit", "fork + exit of 16 MiB, a page", 392, 61, run_fork_exit},
	{"mmap", "mmap + munmap, 1 page, untouched", 12846, 1500, run_mmap},
	{"mmap_touch", "mmap + touch + munmap, 1 page", 20940, 2800,
	 run_mmap_touch},
	{"mprotect", "mprotect: split and join of 3", 11620 + 7380, 2700,
	 run_mprotect},
	{"mremap", "mremap of 256 touched pages, a page", 23970.0 / 256,
	 6000.0 / 256, run_mremap},
	{"brk", "brk: grow by 8 and shrink, untouched", 7008, 1600, run_brk},
	{"many_map", "mmap + munmap among 10,000", 2 * 34530, 2 * 3000,
	 run_many_map},
	{"many_fault", "random read fault, DONTNEED, 10,000", 5336, 1300,
	 run_many_fault},
	{"huge", "huge page: fault and DONTNEED, 4 KiB of it", BENCH_NONE,
	 BENCH_NONE, run_huge},
	{"huge:mm_user_fault", "  the fault alone", 288560.0 / HUGE,
	 265000.0 / HUGE, run_huge},
};

/* Two threads that fault in one process: a program of its own beside this. */
static void print_threads(void)
{
	static char path[512];
	char *name;

	if (readlink("/proc/self/exe", path, sizeof(path) - 32) < 0)
		bench_die("cannot find this program's path");
	name = strrchr(path, '/') + 1;
	memcpy(name, "fault_threads", sizeof("fault_threads"));
	putchar('\n');
	fflush(stdout);
	if (system(path))
		bench_die("fault_threads, beside this program, does not run");
}

int main(int argc, char **argv)
{
	const struct bench_table t = {.items = items,
				      .nr = ARRAY_SIZE(items),
				      .few = 2 * PAGES,
				      .many = 10 * PAGES};

	if (bench_items(&t, argc, argv))
		return 1;
	if (argc == 1)
		print_threads();
	return 0;
}
