/* SPDX-License-Identifier: MIT */
/* The sim world's MMU against tables built by hand: bits, errors, staleness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "sim.h"

#define RAM_BYTES (16UL << 20)
#define ROOT_PFN  1
#define VA	  0x7f1234567000UL
#define URW	  (X86_PTE_P | X86_PTE_RW | X86_PTE_US)
#define DATA_PFN  100
#define ASID	  5

static u64 next_table;
static u64 *leaf;

static u64 *table(u64 pfn)
{
	return port_ram(PFN_PHYS(pfn));
}

/* Map VA_ to PFN with BITS, making upper tables with UPPER; the leaf slot. */
static u64 *map_at(uva_t va, u64 pfn, u64 bits, u64 upper)
{
	const struct paging_format *f = &paging_x86_64_4level;
	u64 *t = table(ROOT_PFN);
	int level;

	for (level = 3; level > 0; level--) {
		u64 *e = &t[pt_index(f, level, va)];

		if (!*e)
			*e = PFN_PHYS(next_table++) | upper;
		t = table(PFN_DOWN(*e & X86_PTE_FRAME));
	}
	t[pt_index(f, 0, va)] = PFN_PHYS(pfn) | bits;
	return &t[pt_index(f, 0, va)];
}

static void boot_cpus(int cpus)
{
	struct sim_config cfg = {.cpus = cpus, .seed = 1, .ram_max = 1UL << 36};

	assert_int_equal(sim_init(&cfg), 0);
	assert_int_equal(port_ram_online(0, RAM_BYTES), 0);
	next_table = 2;
	port_load_root(ROOT_PFN, ASID);
}

static int setup(void **state)
{
	(void)state;
	boot_cpus(1);
	leaf = map_at(VA, DATA_PFN, URW, URW);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sim_shutdown();
	return 0;
}

static void flush_self(uva_t start, uva_t end)
{
	struct port_cpumask m = {.bits = {1UL << port_cpu()}};

	port_tlb_flush(&m, ASID, start, end);
}

/* ---- RAM
 * ---------------------------------------------------------------------- */

static void ram_ranges(void **state)
{
	char *p = port_ram(0x3000);

	(void)state;
	assert_int_equal(port_ram_phys(p + 5), 0x3005);
	assert_int_equal(p[0], 0);
	assert_int_equal(port_ram_online(1UL << 36, PAGE_SIZE), -ERANGE);
	assert_int_equal(port_ram_online((1UL << 36) - PAGE_SIZE, 8192),
			 -ERANGE);
	assert_int_equal(port_ram_online(UINT64_MAX - 4095, 8192), -ERANGE);
	assert_int_equal(port_ram_online(100, PAGE_SIZE), -ERANGE);
	p = port_memmap_reserve(40UL << 30);
	assert_non_null(p);
	assert_null(port_memmap_reserve(4096));
	assert_int_equal(port_memmap_back(1UL << 30, 4096, 0), 0);
	assert_int_equal(port_memmap_back(40UL << 30, 1, 0), -ENOMEM);
	assert_int_equal(p[1UL << 30], 0);
	p[1UL << 30] = 1;
}

/* ---- the walk
 * ------------------------------------------------------------------ */

static void accessed_and_dirty(void **state)
{
	const u64 *up =
		&table(ROOT_PFN)[pt_index(&paging_x86_64_4level, 3, VA)];
	phys_addr_t pa = 0;

	(void)state;
	assert_false(*up & X86_PTE_A);
	assert_int_equal(sim_walk(ROOT_PFN, VA + 0x123, SIM_READ, &pa), 0);
	assert_int_equal(pa, PFN_PHYS(DATA_PFN) + 0x123);
	assert_int_equal(*leaf & (X86_PTE_A | X86_PTE_D), X86_PTE_A);
	assert_int_equal(*up & (X86_PTE_A | X86_PTE_D), X86_PTE_A);
	assert_int_equal(sim_walk(ROOT_PFN, VA, SIM_WRITE, &pa), 0);
	assert_true(*leaf & X86_PTE_D);
	assert_false(*up & X86_PTE_D);
}

/* The error code of an access, without SIM_WALK_FAULT. */
static u32 error_of(uva_t va, unsigned access)
{
	phys_addr_t pa = 0x55;
	u32 err = sim_walk(ROOT_PFN, va, access, &pa);

	assert_true(err & SIM_WALK_FAULT);
	assert_int_equal(pa, 0x55);
	return err & ~SIM_WALK_FAULT;
}

static void error_codes(void **state)
{
	const u32 pu = PF_ERR_PRESENT | PF_ERR_USER;
	uva_t other = VA + 0x200000; /* another last-level table */
	u64 *e;

	(void)state;
	assert_int_equal(error_of(VA + PAGE_SIZE, SIM_READ), PF_ERR_USER);
	assert_int_equal(error_of(VA + PAGE_SIZE, SIM_WRITE),
			 PF_ERR_USER | PF_ERR_WRITE);
	assert_int_equal(error_of(0x1000, SIM_EXEC),
			 PF_ERR_USER | PF_ERR_INSTR);
	*leaf = PFN_PHYS(DATA_PFN) | X86_PTE_P | X86_PTE_US;
	assert_int_equal(error_of(VA, SIM_WRITE), pu | PF_ERR_WRITE);
	*leaf = PFN_PHYS(DATA_PFN) | URW | X86_PTE_NX;
	assert_int_equal(error_of(VA, SIM_EXEC), pu | PF_ERR_INSTR);
	*leaf = PFN_PHYS(DATA_PFN) | X86_PTE_P | X86_PTE_RW;
	assert_int_equal(error_of(VA, SIM_READ), pu);
	/* A failed walk marks nothing. */
	assert_false(*leaf & (X86_PTE_A | X86_PTE_D));
	/* Rights are those of all levels together. */
	e = map_at(other, DATA_PFN, URW, X86_PTE_P | X86_PTE_US);
	assert_int_equal(error_of(other, SIM_WRITE), pu | PF_ERR_WRITE);
	*e = 0;
	assert_int_equal(error_of(other, SIM_WRITE),
			 PF_ERR_USER | PF_ERR_WRITE);
	/* No large pages at the root. */
	table(ROOT_PFN)[0] = URW | X86_PTE_PS;
	assert_int_equal(error_of(0x1000, SIM_READ), pu | PF_ERR_RSVD);
}

static void large_page(void **state)
{
	const struct paging_format *f = &paging_x86_64_4level;
	uva_t va = VA & ~0x1fffffUL;
	struct sim_tlb_entry *e;
	phys_addr_t pa;
	u64 *pud, *pmd;
	int sig = 0;

	(void)state;
	pud = table(
		PFN_DOWN(table(ROOT_PFN)[pt_index(f, 3, va)] & X86_PTE_FRAME));
	pmd = table(PFN_DOWN(pud[pt_index(f, 2, va)] & X86_PTE_FRAME));
	pmd[pt_index(f, 1, va)] = 0x400000 | URW | X86_PTE_PS;
	assert_int_equal(sim_walk(ROOT_PFN, va + 0x12345, SIM_READ, &pa), 0);
	assert_int_equal(pa, 0x412345);
	e = sim_tlb_get(va + 0x3000, SIM_READ, &sig);
	assert_non_null(e);
	assert_int_equal(e->level, 1);
	assert_int_equal(e->pfn, 0x403);
	assert_non_null(sim_tlb_get(va + 0x5000, SIM_READ, &sig));
	/* Flushing any part flushes all. */
	flush_self(va + 0x5000, va + 0x6000);
	assert_false(sim_tlb_hit(va + 0x3000, SIM_READ));
	assert_false(sim_tlb_hit(va + 0x5000, SIM_READ));
}

/* ---- the TLB
 * ----------------------------------------------------------------------- */

static void stale_until_flushed(void **state)
{
	int sig = 0;
	char *old;

	(void)state;
	old = sim_user(VA + 7, SIM_READ, &sig);
	assert_ptr_equal(old, (char *)port_ram(PFN_PHYS(DATA_PFN)) + 7);
	/* Another frame, then none at all: the TLB does not know. */
	*leaf = PFN_PHYS(DATA_PFN + 1) | URW;
	assert_ptr_equal(sim_user(VA + 7, SIM_READ, &sig), old);
	*leaf = 0;
	assert_ptr_equal(sim_user(VA + 7, SIM_READ, &sig), old);
	/* Another ASID's flush, and another page's, change nothing. */
	port_tlb_flush(&(struct port_cpumask){{1}}, ASID + 1, 0, 0);
	flush_self(VA + PAGE_SIZE, VA + 2 * PAGE_SIZE);
	assert_ptr_equal(sim_user(VA + 7, SIM_READ, &sig), old);
	flush_self(VA, VA + PAGE_SIZE);
	assert_null(sim_user(VA + 7, SIM_READ, &sig));
	assert_int_equal(sig, 11);
	/* The same by a flush of the whole ASID. */
	*leaf = PFN_PHYS(DATA_PFN) | URW;
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	*leaf = 0;
	assert_true(sim_tlb_hit(VA, SIM_READ));
	flush_self(0, 0);
	assert_false(sim_tlb_hit(VA, SIM_READ));
	assert_int_equal(sim_touch(VA, SIM_READ), 11);
}

static void permissions_cached(void **state)
{
	struct sim_tlb_stats s0, s1;

	(void)state;
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	/* Write protection is not seen before the flush, and then it is. */
	*leaf &= ~X86_PTE_RW;
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	flush_self(VA, VA + 1);
	assert_int_equal(sim_touch(VA, SIM_WRITE), 11);
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	/* More rights need no flush. */
	*leaf |= X86_PTE_RW;
	*leaf &= ~X86_PTE_D;
	sim_tlb_stats(&s0);
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	assert_true(*leaf & X86_PTE_D);
	sim_tlb_stats(&s1);
	assert_int_equal(s1.dirty_walks, s0.dirty_walks + 1);
	assert_int_equal(s1.misses, s0.misses);
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	sim_tlb_stats(&s0);
	assert_int_equal(s0.hits, s1.hits + 1);
	assert_int_equal(s0.walks, s1.walks);
}

/* Cleaning a table without a flush loses the next dirty bit: visible. */
static void dirty_lost_without_flush(void **state)
{
	(void)state;
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	*leaf &= ~X86_PTE_D;
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	assert_false(*leaf & X86_PTE_D);
	flush_self(VA, VA + PAGE_SIZE);
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	assert_true(*leaf & X86_PTE_D);
}

static void asids_are_apart(void **state)
{
	uva_t wild = VA | 0xf000000000000000UL;

	(void)state;
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	assert_false(sim_tlb_hit(wild, SIM_READ));
	assert_int_equal(sim_touch(wild, SIM_READ), 11);
	port_load_root(ROOT_PFN, ASID + 1);
	assert_false(sim_tlb_hit(VA, SIM_READ));
	port_load_root(ROOT_PFN, ASID);
	assert_true(sim_tlb_hit(VA, SIM_READ));
}

static u32 loads, firsts;

static void on_fill(struct sim_tlb_entry *e, uva_t va, unsigned access,
		    bool loaded)
{
	assert_int_equal(va & PAGE_MASK, VA);
	assert_int_not_equal(access, 0);
	assert_int_equal(e->pfn, DATA_PFN);
	loads += loaded;
	firsts += !loaded;
}

static void fill_hook(void **state)
{
	struct sim_tlb_entry *e;

	(void)state;
	loads = firsts = 0;
	sim_set_fill_hook(on_fill);
	assert_int_equal(sim_touch(VA + 9, SIM_READ), 0);
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	assert_int_equal(loads, 1);
	e = sim_tlb_lookup(VA, SIM_READ);
	assert_non_null(e);
	e->user_bits = SIM_TLB_USER1;
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	assert_int_equal(firsts, 1);
	assert_int_equal(sim_tlb_lookup(VA, SIM_WRITE)->user_bits,
			 SIM_TLB_USER1);
	flush_self(0, 0);
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	assert_int_equal(sim_tlb_lookup(VA, SIM_WRITE)->user_bits, 0);
	assert_int_equal(loads, 2);
}

/* More pages than the TLB has: all right translations, some walked twice. */
static void replacement(void **state)
{
	const u32 n = 4000;
	struct sim_tlb_stats s;
	u32 i, round;
	int sig = 0;

	(void)state;
	for (i = 0; i < n; i++)
		map_at(0x10000000UL + i * PAGE_SIZE, i % 4000, URW, URW);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < n; i++) {
			uva_t va = 0x10000000UL + i * PAGE_SIZE;

			assert_ptr_equal(sim_user(va, SIM_READ, &sig),
					 port_ram(PFN_PHYS(i % 4000)));
			assert_true(sim_tlb_hit(va, SIM_READ));
		}
	}
	sim_tlb_stats(&s);
	assert_true(s.misses >= n && s.misses <= 3 * n);
	assert_int_equal(s.hits, 3 * (u64)n + 3 * (u64)n - s.misses);
}

/* ---- faults and copies
 * ------------------------------------------------------------- */

static u32 fault_error;
static u32 fault_count;

static int map_on_fault(struct mm_task *task, uva_t va, u32 error)
{
	assert_ptr_equal(task, port_current());
	fault_error = error;
	fault_count++;
	if (va < 0x10000)
		return 7;
	map_at(va & PAGE_MASK, 200 + fault_count, URW, URW);
	return 0;
}

static void copies_across_pages(void **state)
{
	uva_t va = 0x20000000UL + 4000;
	static char in[9000], back[9000];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 31 + i / 251);
	fault_count = 0;
	port_set_fault_hook(map_on_fault);
	assert_int_equal(sim_copy_to_user(va, in, sizeof(in)), 0);
	assert_int_equal(fault_count, 4);
	assert_int_equal(fault_error, PF_ERR_USER | PF_ERR_WRITE);
	assert_int_equal(sim_copy_from_user(back, va, sizeof(back)), 0);
	assert_memory_equal(in, back, sizeof(in));
	assert_int_equal(fault_count, 4);
	assert_int_equal(sim_copy_to_user(0x8000, in, 10), 7);
	assert_int_equal(sim_touch(0x8000, SIM_EXEC), 7);
	assert_int_equal(fault_error, PF_ERR_USER | PF_ERR_INSTR);
}

/* ---- remote flushes
 * --------------------------------------------------------------- */

static int stage;

static void other_cpu(void *arg)
{
	int sig = 0;

	(void)arg;
	port_pin();
	port_load_root(ROOT_PFN, ASID);
	assert_non_null(sim_user(VA, SIM_READ, &sig));
	stage = 1;
	while (stage != 2)
		port_relax();
	/* The table has changed, nobody has flushed: still the old frame. */
	assert_true(sim_tlb_hit(VA, SIM_READ));
	stage = 3;
	while (stage != 4)
		port_relax();
	/* Flushed from CPU 0. */
	assert_false(sim_tlb_hit(VA, SIM_READ));
	assert_ptr_equal(sim_user(VA, SIM_READ, &sig),
			 port_ram(PFN_PHYS(DATA_PFN + 1)));
	port_unpin();
}

static int run_remote(void *arg)
{
	struct port_cpumask both = {{3}};
	struct port_thread *t;
	struct sim_tlb_stats s;

	(void)arg;
	stage = 0;
	assert_int_equal(sim_thread_start_on(&t, "other", 1, other_cpu, NULL),
			 0);
	while (stage != 1)
		port_relax();
	*leaf = PFN_PHYS(DATA_PFN + 1) | URW;
	stage = 2;
	while (stage != 3)
		port_relax();
	port_tlb_flush(&both, ASID, VA, VA + PAGE_SIZE);
	stage = 4;
	port_thread_join(t);
	sim_tlb_stats(&s);
	assert_int_equal(s.ipis, 1);
	assert_int_equal(s.flushed, 1);
	return 0;
}

/* A CPU with interrupts off answers when they come on again, not before. */
static void deaf_cpu(void *arg)
{
	unsigned long flags;
	int i;

	(void)arg;
	flags = port_irq_save();
	stage = 1;
	for (i = 0; i < 50; i++) {
		port_relax();
		assert_int_equal(stage, 1);
	}
	stage = 2;
	port_irq_restore(flags);
	while (stage != 3)
		port_relax();
}

static int run_deaf(void *arg)
{
	struct port_cpumask cpu1 = {{2}};
	struct port_thread *t;

	(void)arg;
	stage = 0;
	assert_int_equal(sim_thread_start_on(&t, "deaf", 1, deaf_cpu, NULL), 0);
	while (stage == 0)
		port_relax();
	port_tlb_flush(&cpu1, ASID, VA, VA + PAGE_SIZE);
	assert_int_equal(stage, 2);
	stage = 3;
	port_thread_join(t);
	return 0;
}

static void remote_flush(void **state)
{
	(void)state;
	boot_cpus(2);
	leaf = map_at(VA, DATA_PFN, URW, URW);
	assert_int_equal(sim_run(run_remote, NULL), 0);
	assert_int_equal(sim_run(run_deaf, NULL), 0);
	sim_shutdown();
}

#define MMU_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MMU_TEST(ram_ranges),
		MMU_TEST(accessed_and_dirty),
		MMU_TEST(error_codes),
		MMU_TEST(large_page),
		MMU_TEST(stale_until_flushed),
		MMU_TEST(permissions_cached),
		MMU_TEST(dirty_lost_without_flush),
		MMU_TEST(asids_are_apart),
		MMU_TEST(fill_hook),
		MMU_TEST(replacement),
		MMU_TEST(copies_across_pages),
		cmocka_unit_test(remote_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
