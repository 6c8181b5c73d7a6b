/* SPDX-License-Identifier: MIT */
/* dev_test_tlb.c - flushes, tested by what CPUs read (theory: dev_test.c). */
#include "dev_test.h"

#include <mmkit/page_alloc.h>

#include "base/atomic.h"
#include "base/bitops.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "metal.h"
#include "pgtable/kernel.h"
#include "phys/page.h"

#define TEST_ASID 4000u
#define TEST_VA	  0x10000000000ul
#define TEST_SPAN (64 * PAGE_SIZE)
#define NR_FRAMES 4u	 /* that the page of one CPU changes between */
#define CHANGES	  80u	 /* of all pages together, in one mode */
#define ENTRY	  0x63ul /* present, writable, accessed, dirty */
#define ENTRY_G	  0x100ul

/* How entries are flushed, and what the others do meanwhile. */
enum mode {
	FLUSH_PAGE,
	FLUSH_FEW,   /* pages, the changed one the last of them */
	FLUSH_RANGE, /* more pages than go one by one */
	FLUSH_ALL,
	FLUSH_LOCKED, /* by one, with a lock that others want, interrupts off */
	FLUSH_AWAY,   /* others change tables all the time */
	FLUSH_GLOBAL, /* global entries, as the kernel's */
	NR_MODES
};

static struct {
	u64 root; /* frame */
	u64 *table;
	struct page *tables[4];
	struct page *frames[MM_NR_CPUS][NR_FRAMES];
	u64 epoch[MM_NR_CPUS]; /* the page of that CPU is at least so new */
	u64 gen[MM_NR_CPUS];
	u32 done; /* CPUs that have changed their page often enough */
	u32 lock;
	struct port_cpumask all;
} tt;

/* CPU's page, not the first of its table. */
static u32 index_of(int cpu)
{
	return (u32)cpu + 4;
}

static u64 va_of(int cpu)
{
	return TEST_VA + index_of(cpu) * PAGE_SIZE;
}

static u64 entry_of(struct page *page)
{
	return PFN_PHYS(page_to_pfn(page)) | ENTRY;
}

/* Tables for 512 pages at TEST_VA, and the kernel's upper half. */
static bool make_tables(void)
{
	u64 *t[4];

	for (u32 i = 0; i < 4; i++) {
		tt.tables[i] = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
		if (!tt.tables[i])
			return false;
		t[i] = page_view(tt.tables[i]);
	}
	mm_memcpy(t[0] + 256,
		  (u64 *)port_ram(PFN_PHYS(pgtable_sys.idle_root)) + 256,
		  PAGE_SIZE / 2);
	for (u32 i = 0; i < 3; i++)
		t[i][TEST_VA >> (39 - 9 * i) & 511] =
			entry_of(tt.tables[i + 1]);
	tt.root = page_to_pfn(tt.tables[0]);
	tt.table = t[3];
	return true;
}

static bool make_frames(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		tt.all.bits[0] |= BIT(cpu);
		for (u32 i = 0; i < NR_FRAMES; i++) {
			tt.frames[cpu][i] =
				alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
			if (!tt.frames[cpu][i])
				return false;
		}
		tt.table[index_of(cpu)] = entry_of(tt.frames[cpu][0]);
	}
	return true;
}

static void free_all(void)
{
	for (u32 i = 0; i < 4; i++) {
		if (tt.tables[i])
			__free_page(tt.tables[i]);
	}
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		for (u32 i = 0; i < NR_FRAMES; i++) {
			if (tt.frames[cpu][i])
				__free_page(tt.frames[cpu][i]);
		}
	}
}

static void flush(int cpu, enum mode mode)
{
	u64 va = va_of(cpu);

	switch (mode) {
	case FLUSH_FEW:
		port_tlb_flush(&tt.all, TEST_ASID, va - 3 * PAGE_SIZE,
			       va + PAGE_SIZE);
		break;
	case FLUSH_RANGE:
		port_tlb_flush(&tt.all, TEST_ASID, TEST_VA,
			       TEST_VA + TEST_SPAN);
		break;
	case FLUSH_ALL:
		port_tlb_flush(&tt.all, TEST_ASID, 0, 0);
		break;
	case FLUSH_GLOBAL:
		port_tlb_flush_kernel(va, tt.gen[cpu] % 2 ? va + PAGE_SIZE
							  : va + TEST_SPAN);
		break;
	default:
		port_tlb_flush(&tt.all, TEST_ASID, va, va + PAGE_SIZE);
		break;
	}
}

/* The page of CPU moves to its next frame, which holds the next number. */
static void change(int cpu, enum mode mode)
{
	u64 g = ++tt.gen[cpu];
	struct page *frame = tt.frames[cpu][g % NR_FRAMES];

	if (mode == FLUSH_LOCKED)
		port_spin_lock(&tt.lock);
	WRITE_ONCE(*(u64 *)page_view(frame), g);
	WRITE_ONCE(tt.table[index_of(cpu)],
		   entry_of(frame) | (mode == FLUSH_GLOBAL ? ENTRY_G : 0));
	flush(cpu, mode);
	smp_store_release(&tt.epoch[cpu], g);
	if (mode == FLUSH_LOCKED)
		port_spin_unlock(&tt.lock);
}

static void look(int self, enum mode mode)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		u64 least = smp_load_acquire(&tt.epoch[cpu]);
		u64 v = READ_ONCE(*(u64 *)va_of(cpu));

		if (v < least)
			test_fail("mode %d: CPU %d reads %llu of CPU %d, "
				  "flushed up to %llu",
				  mode, self, (unsigned long long)v, cpu,
				  (unsigned long long)least);
	}
}

/* Under the lock, interrupts off: others flush while we wait for it. */
static void look_locked(int self)
{
	unsigned long flags = port_irq_save();

	port_spin_lock(&tt.lock);
	look(self, FLUSH_LOCKED);
	port_spin_unlock(&tt.lock);
	port_irq_restore(flags);
}

static void tlb_member(int cpu, void *arg)
{
	enum mode mode = *(enum mode *)arg;
	u32 nr = (u32)port_nr_cpus();

	port_pin();
	port_load_root(tt.root, TEST_ASID);
	/* On until the last one is through, so that all run at once. */
	for (u32 i = 0; test_good() && READ_ONCE(tt.done) < nr; i++) {
		if (i == CHANGES / nr)
			mm_fetch_add(&tt.done, 1);
		if (mode != FLUSH_LOCKED || cpu == 0)
			change(cpu, mode);
		if (mode == FLUSH_LOCKED)
			look_locked(cpu);
		else
			look(cpu, mode);
		if (mode != FLUSH_AWAY)
			continue;
		port_load_root(pgtable_sys.idle_root, 0);
		for (u32 k = 0; k < i % 64; k++)
			port_relax();
		port_load_root(tt.root, TEST_ASID);
	}
	port_load_root(pgtable_sys.idle_root, 0);
	port_unpin();
}

/* Nobody has the ASID loaded any more: nobody is interrupted. */
static void flush_for_nobody(void)
{
	struct tlb_stats before, after;

	tlb_stats(&before);
	for (u32 i = 0; i < 100; i++)
		port_tlb_flush(&tt.all, TEST_ASID, 0, 0);
	tlb_stats(&after);
	test_check(after.flushes >= before.flushes + 100,
		   "flushes are not counted");
	test_check(after.asked == before.asked,
		   "%llu CPUs were interrupted for a table that none has",
		   (unsigned long long)(after.asked - before.asked));
}

void test_tlb(char *figures, u32 size)
{
	struct tlb_stats before, after;
	enum mode mode;

	tlb_stats(&before);
	if (!make_tables() || !make_frames()) {
		test_fail("no memory");
		free_all();
		return;
	}
	for (mode = FLUSH_PAGE; mode < NR_MODES; mode++) {
		tt.done = 0;
		test_on_cpus(0, tlb_member, &mode);
		/* Global entries outlive the tables of the next mode. */
		port_tlb_flush_kernel(TEST_VA, TEST_VA + (1ul << 30));
	}
	tlb_stats(&after);
	test_check(port_nr_cpus() == 1 || after.asked > before.asked,
		   "no CPU was interrupted");
	flush_for_nobody();
	free_all();
	mm_snprintf(figures, size,
		    "%llu flushes and %llu of the kernel; %llu CPUs "
		    "interrupted, %llu not",
		    (unsigned long long)(after.flushes - before.flushes),
		    (unsigned long long)(after.kernel - before.kernel),
		    (unsigned long long)(after.asked - before.asked),
		    (unsigned long long)(after.skipped - before.skipped));
}
