/* SPDX-License-Identifier: MIT */
/*
 * The kernel's page tables: what they map, that every process shares them,
 * and that the simulated MMU treats them as a CPU does. Each format in turn.
 */
#include "sim_machine.h"

#include "arch/walk.h"
#include "base/fail.h"
#include "base/prng.h"
#include "pgtable/highmem.h"
#include "pgtable/kernel.h"

#define MiB (1UL << 20)
#define GiB (1UL << 30)

static u64 seed;

/* The machine of one test: FMT, with MEM bytes. */
struct setup {
	const struct paging_format *fmt;
	u64 mem, max_possible;
	int cpus;
	struct kernel_image image;
	bool pagealloc; /* debug_pagealloc */
	int (*body)(void);
};

static struct setup now;

static int booted(void *arg)
{
	struct e820_table *map = arg;
	struct mm_boot_params bp = {
		.map = map,
		.arch = now.fmt->name,
		.max_possible = now.max_possible,
		.kernel_start = now.image.start,
		.kernel_size = now.image.size,
		.kernel_text_size = now.image.text_size,
		.debug = {.debug_pagealloc = now.pagealloc},
	};
	u64 tables;

	CHECK_EQ(mm_boot(&bp), 0);
	kernel_tables_check();
	tables = pgtable_sys.nr_tables;
	CHECK_EQ(now.body(), 0);
	tm_use(NULL);
	tm_settle();
	kernel_tables_check();
	highmem_check();
	CHECK(pgtable_sys.nr_tables >= tables);
	CHECK(list_empty(&pgtable_sys.roots));
	CHECK_EQ(space_sys.nr_mms, 0);
	tm_audit();
	mm_shutdown();
	return 0;
}

static void run(const struct setup *s)
{
	static struct e820_table map;
	struct sim_config sc = {.cpus = s->cpus ? s->cpus : 1,
				.seed = seed,
				.format = s->fmt,
				.console = tm_console,
				.console_level = 6};
	u64 low = min(s->mem, 3 * GiB);

	memset(&tm, 0, sizeof(tm));
	tm.cfg.cpus = sc.cpus;
	tm.cfg.seed = seed;
	now = *s;
	snprintf(tm_context, sizeof(tm_context), "%s %lu MiB", s->fmt->name,
		 s->mem >> 20);
	e820_init(&map);
	CHECK_EQ(e820_add(&map, 0, 0x9f000, E820_TYPE_RAM), 0);
	CHECK_EQ(e820_add(&map, MiB, low - MiB, E820_TYPE_RAM), 0);
	if (s->mem > low)
		CHECK_EQ(e820_add(&map, 4 * GiB, s->mem - low, E820_TYPE_RAM),
			 0);
	mm_reset();
	CHECK_EQ(sim_init(&sc), 0);
	CHECK_EQ(sim_run(booted, &map), 0);
	sim_shutdown();
	mm_reset();
}

static void run_all(u64 mem, int (*body)(void))
{
	for (u32 i = 0; paging_format_nth(i); i++)
		run(&(struct setup){
			.fmt = paging_format_nth(i), .mem = mem, .body = body});
}

/* ---- translations
 * -------------------------------------------------------------------- */

/* Walk VA as a CPU that has loaded ROOT, supervisor, reading. */
static enum paging_reason walk_at(u64 root_pfn, kva_t va, u32 access,
				  struct paging_walk *w)
{
	struct paging_cpu cpu;

	paging_cpu_init(&cpu, now.fmt, PFN_PHYS(root_pfn), true);
	cpu.root_high = PFN_PHYS(pgtable_sys.master.root_pfn);
	return paging_walk(&cpu, va, access, PFN_PHYS(phys_sys.hot.max_pfn), w);
}

/* A random frame of RAM that is in the direct map. */
static u64 low_frame(struct prng *r)
{
	u64 limit =
		min(phys_sys.hot.max_pfn, PFN_DOWN(pgtable_sys.layout.low_end));
	u64 pfn;

	do {
		pfn = prng_below(r, limit);
	} while (!memblock_is_memory(PFN_PHYS(pfn)));
	return pfn;
}

static void check_direct(u64 root, struct prng *r, int n)
{
	for (int i = 0; i < n; i++) {
		phys_addr_t pa = PFN_PHYS(low_frame(r)) + prng_below(r, 4096);
		kva_t va = pgtable_sys.layout.page_offset + pa;
		struct paging_walk w;

		CHECK_EQ(walk_at(root, va, PAGING_WRITE, &w), PAGING_OK);
		CHECK_EQ(w.pa, pa);
		CHECK(w.global && !w.user);
		CHECK(!w.changed); /* A and D are set from the start */
		CHECK_EQ(walk_at(root, va, PAGING_EXEC, &w),
			 now.fmt->has_nx ? PAGING_NO_EXEC : PAGING_OK);
		CHECK_EQ(walk_at(root, va, PAGING_READ | PAGING_USER, &w),
			 PAGING_SUPERVISOR_PAGE);
		CHECK_EQ(w.error, PF_ERR_PRESENT | PF_ERR_USER);
	}
}

static void check_vmemmap(u64 root, struct prng *r)
{
	const struct kernel_layout *l = &pgtable_sys.layout;

	for (int i = 0; i < 64 && l->vmemmap; i++) {
		u64 off = low_frame(r) * sizeof(struct page);
		struct paging_walk w;

		CHECK_EQ(walk_at(root, l->vmemmap + off, PAGING_WRITE, &w),
			 PAGING_OK);
		/* What boot set aside: reserved, and one frame for a place. */
		CHECK(memblock_is_reserved(w.pa));
		CHECK_EQ(w.pa % PAGE_SIZE, off % PAGE_SIZE);
	}
}

/* Nothing but RAM is mapped; regions without contents are empty. */
static void check_holes(u64 root)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	struct paging_walk w;

	CHECK_EQ(walk_at(root, l->page_offset + 0xa0000, PAGING_READ, &w),
		 PAGING_NOT_PRESENT);
	CHECK_EQ(walk_at(root, l->vmalloc_start, PAGING_READ, &w),
		 PAGING_NOT_PRESENT);
	CHECK_EQ(walk_at(root, fix_to_virt(l, FIX_EARLYCON), PAGING_READ, &w),
		 PAGING_NOT_PRESENT);
	if (l->highmem)
		CHECK_EQ(walk_at(root, l->page_offset + l->low_end, PAGING_READ,
				 &w),
			 PAGING_NOT_PRESENT);
}

static int body_direct(void)
{
	struct mm_struct *mm[3];
	struct prng r;
	u64 direct = 0;

	prng_seed(&r, seed);
	check_direct(pgtable_sys.master.root_pfn, &r, 500);
	for (u32 i = 0; i < ARRAY_SIZE(mm); i++) {
		mm[i] = tm_mm();
		check_direct(mm[i]->pt.root_pfn, &r, 500);
		check_vmemmap(mm[i]->pt.root_pfn, &r);
		check_holes(mm[i]->pt.root_pfn);
		CHECK_EQ(pgtable_check(&mm[i]->pt), 1);
	}
	for (u32 i = 0; i < ARRAY_SIZE(mm); i++)
		mm_put(mm[i]);
	/* Every low frame of RAM once, no more. */
	for (int level = 0; level < now.fmt->levels; level++)
		direct += pgtable_sys.direct[level] *
			  (pt_span(now.fmt, level) >> PAGE_SHIFT);
	for (u64 pfn = 0; pfn < phys_sys.hot.max_pfn; pfn++)
		direct -= PFN_PHYS(pfn) < pgtable_sys.layout.low_end &&
			  memblock_is_memory(PFN_PHYS(pfn));
	CHECK_EQ(direct, 0);
	return 0;
}

static void test_direct(void **state)
{
	(void)state;
	run_all(16 * MiB, body_direct);
	run_all(100 * MiB, body_direct);
	run_all(2 * GiB, body_direct);
}

/* Large pages where they fit, and few tables. */
static int body_large(void)
{
	CHECK_EQ(pgtable_sys.direct[2], 2 + 4);
	CHECK(pgtable_sys.direct[1] >= 511);
	CHECK(pgtable_sys.direct[0] < 600);
	/* 70 MiB of descriptors, mapped by 2 MiB pages but for their ends. */
	CHECK(pgtable_sys.nr_tables < 16);
	return 0;
}

static void test_large(void **state)
{
	(void)state;
	run(&(struct setup){.fmt = &paging_x86_64_4level,
			    .mem = 7 * GiB,
			    .body = body_large});
	run(&(struct setup){.fmt = &paging_x86_64_5level,
			    .mem = 7 * GiB,
			    .body = body_large});
	run(&(struct setup){
		.fmt = &paging_arm64, .mem = 7 * GiB, .body = body_large});
}

/* With debug_pagealloc frames of the direct map go and come one by one. */
static int body_pagealloc(void)
{
	u64 pfn = page_to_pfn(alloc_pages(GFP_KERNEL, 3));
	u64 root = pgtable_sys.master.root_pfn, tables = pgtable_sys.nr_tables;
	u64 small = pgtable_sys.direct[0];
	kva_t va = direct_map_va(pfn);
	struct paging_walk w;

	CHECK_EQ(pgtable_sys.direct[1] + pgtable_sys.direct[2], 0);
	CHECK_EQ(small, (16 * MiB - MiB + 0x9e000) >> PAGE_SHIFT);
	kernel_direct_present(pfn + 1, 6, false);
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(walk_at(root, va + i * PAGE_SIZE, PAGING_READ, &w),
			 i % 7 ? PAGING_NOT_PRESENT : PAGING_OK);
	kernel_tables_check();
	kernel_direct_present(pfn + 2, 1, true);
	CHECK_EQ(walk_at(root, va + PAGE_SIZE, PAGING_READ, &w),
		 PAGING_NOT_PRESENT);
	CHECK_EQ(walk_at(root, va + 2 * PAGE_SIZE, PAGING_WRITE, &w),
		 PAGING_OK);
	CHECK_EQ(w.pa, PFN_PHYS(pfn + 2));
	CHECK(w.global && !w.user && !w.changed);
	kernel_direct_present(pfn, 8, true);
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(walk_at(root, va + i * PAGE_SIZE, PAGING_WRITE, &w),
			 PAGING_OK);
	/* Neither tables nor what meminfo says of them. */
	CHECK_EQ(pgtable_sys.nr_tables, tables);
	CHECK_EQ(pgtable_sys.direct[0], small);
	/* Beyond low memory nothing is meant. */
	kernel_direct_present(PFN_DOWN(pgtable_sys.layout.low_end), 4, false);
	__free_pages(pfn_to_page(pfn), 3);
	return 0;
}

static void test_pagealloc(void **state)
{
	(void)state;
	for (u32 i = 0; paging_format_nth(i); i++)
		run(&(struct setup){.fmt = paging_format_nth(i),
				    .mem = 16 * MiB,
				    .pagealloc = true,
				    .body = body_pagealloc});
}

/* A small machine pays little: README's 16 MiB one must go on working. */
static int body_small(void)
{
	CHECK(pgtable_sys.nr_tables <= 14);
	CHECK_EQ(pgtable_sys.direct[0] * 4 +
			 pgtable_sys.direct[1] * (pt_span(now.fmt, 1) >> 10),
		 ((16 * MiB - MiB) + 0x9e000) >> 10);
	return 0;
}

static void test_small(void **state)
{
	(void)state;
	run_all(16 * MiB, body_small);
}

/* ---- the image
 * ------------------------------------------------------------------------- */

static int body_image(void)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	const struct kernel_image *im = &now.image;
	u64 root = pgtable_sys.master.root_pfn;
	kva_t direct = l->page_offset + im->start, text = direct;
	struct paging_walk w;

	if (kernel_layout_region(l, KL_TEXT))
		text = l->text + im->start;
	else if (l->text)
		text = l->text + im->start % pt_span(l->fmt, 1);
	for (u64 off = 0; off < im->size; off += PAGE_SIZE) {
		bool code = off < im->text_size;

		CHECK_EQ(walk_at(root, text + off, PAGING_READ, &w), PAGING_OK);
		CHECK_EQ(w.pa, im->start + off);
		CHECK_EQ(walk_at(root, text + off, PAGING_EXEC, &w),
			 code || !now.fmt->has_nx ? PAGING_OK : PAGING_NO_EXEC);
		CHECK_EQ(walk_at(root, text + off, PAGING_WRITE, &w),
			 code ? PAGING_READ_ONLY : PAGING_OK);
		/* The other address of code must not be written either. */
		CHECK_EQ(walk_at(root, direct + off, PAGING_WRITE, &w),
			 code ? PAGING_READ_ONLY : PAGING_OK);
	}
	CHECK_EQ(walk_at(root, direct + im->size, PAGING_WRITE, &w), PAGING_OK);
	CHECK_EQ(walk_at(root, direct - PAGE_SIZE, PAGING_WRITE, &w),
		 PAGING_OK);
	return 0;
}

static void test_image(void **state)
{
	(void)state;
	for (u32 i = 0; paging_format_nth(i); i++)
		run(&(struct setup){
			.fmt = paging_format_nth(i),
			.mem = 64 * MiB,
			.image = {16 * MiB, 9 * MiB + 0x5000, 5 * MiB + 0x3000},
			.body = body_image});
}

/* ---- changes reach everybody
 * --------------------------------------------------------------- */

/* A place of the vmalloc area, far from I - 1's: often a root entry. */
static kva_t far_place(u32 i)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	u64 step = (l->vmalloc_end - l->vmalloc_start) / 16;

	return ALIGN_DOWN(l->vmalloc_start + i * step, PAGE_SIZE);
}

static void expect_mapped(kva_t va, struct mm_struct **mm, u32 nr, u64 pfn)
{
	struct paging_walk w;
	enum paging_reason want = pfn ? PAGING_OK : PAGING_NOT_PRESENT;

	for (u32 i = 0; i < nr; i++) {
		CHECK_EQ(walk_at(mm[i]->pt.root_pfn, va, PAGING_READ, &w),
			 want);
		if (pfn)
			CHECK_EQ(w.pa, PFN_PHYS(pfn));
	}
}

static int body_shared(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, 2);
	struct mm_struct *mm[12];
	struct kernel_entry e;
	u64 pfn;

	CHECK(page);
	pfn = page_to_pfn(page);
	for (u32 i = 0; i < 6; i++)
		mm[i] = tm_mm();
	for (u32 i = 0; i < 12; i++) {
		kva_t va = far_place(i);

		expect_mapped(va, mm, 6, 0);
		CHECK_EQ(kernel_map(va, pfn, 4, PAGE_KERNEL), 0);
		expect_mapped(va, mm, 6, pfn);
		expect_mapped(va + 3 * PAGE_SIZE, mm, 6, pfn + 3);
		expect_mapped(va + 4 * PAGE_SIZE, mm, 6, 0);
		CHECK(kernel_lookup(va + PAGE_SIZE, &e) && e.pfn == pfn + 1);
	}
	kernel_tables_check();
	/* Those who come later see it too. */
	for (u32 i = 6; i < 12; i++)
		mm[i] = tm_mm();
	expect_mapped(far_place(11), mm, 12, pfn);
	for (u32 i = 0; i < 4; i++)
		mm_put(mm[i]);
	for (u32 i = 0; i < 12; i++) {
		kernel_unmap(far_place(i), 4);
		expect_mapped(far_place(i), mm + 4, 8, 0);
		CHECK(!kernel_lookup(far_place(i), &e));
	}
	for (u32 i = 4; i < 12; i++) {
		CHECK_EQ(pgtable_check(&mm[i]->pt), 1);
		mm_put(mm[i]);
	}
	__free_pages(page, 2);
	return 0;
}

static void test_shared(void **state)
{
	(void)state;
	run_all(64 * MiB, body_shared);
}

/* A mapping for which tables are missing: all or nothing. */
static int body_fail(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, 1);
	u64 nr_failed = 0;
	struct kernel_entry e;

	for (u32 i = 0; i < 15; i++) {
		/* Two pages, two tables: the first may have been mapped. */
		kva_t va = ALIGN(far_place(i) + 1, pt_span(now.fmt, 1)) -
			   PAGE_SIZE;
		int err = -ENOMEM;

		for (u64 nth = 1; err; nth++) {
			fail_arm_nth(FAIL_MASK(FAIL_PGTABLE), nth, false);
			err = kernel_map(va, page_to_pfn(page), 2, PAGE_KERNEL);
			fail_disarm();
			CHECK(err == 0 || err == -ENOMEM);
			CHECK_EQ(kernel_lookup(va, &e), err == 0);
			nr_failed += err != 0;
		}
		kernel_tables_check();
		kernel_unmap(va, 2);
	}
	CHECK(nr_failed > 0);
	__free_pages(page, 1);
	return 0;
}

static void test_fail(void **state)
{
	(void)state;
	run_all(64 * MiB, body_fail);
}

/* A gigabyte's entry becomes 512, and one of these 512 again. */
static int body_split(void)
{
	u64 large = pgtable_sys.direct[2], middle = pgtable_sys.direct[1];
	u64 small = pgtable_sys.direct[0], tables = pgtable_sys.nr_tables;
	kva_t va = direct_map_va(PFN_DOWN(GiB + 6 * MiB));
	struct prng r;

	CHECK(large > 0);
	CHECK_EQ(kernel_split_at(va), 0);
	CHECK_EQ(pgtable_sys.direct[2], large - 1);
	CHECK_EQ(pgtable_sys.direct[1], middle + 512);
	CHECK_EQ(pgtable_sys.nr_tables, tables + 1);
	CHECK_EQ(kernel_split_at(va), 0);
	CHECK_EQ(pgtable_sys.nr_tables, tables + 1);
	fail_arm_nth(FAIL_MASK(FAIL_PGTABLE), 1, false);
	CHECK_EQ(kernel_split_at(va + PAGE_SIZE), -ENOMEM);
	fail_disarm();
	CHECK_EQ(kernel_split_at(va + PAGE_SIZE), 0);
	CHECK_EQ(pgtable_sys.direct[0], small + 512);
	prng_seed(&r, seed);
	check_direct(pgtable_sys.master.root_pfn, &r, 2000);
	return 0;
}

static void test_split(void **state)
{
	(void)state;
	run(&(struct setup){.fmt = &paging_x86_64_4level,
			    .mem = 3 * GiB,
			    .body = body_split});
	run(&(struct setup){
		.fmt = &paging_arm64, .mem = 3 * GiB, .body = body_split});
}

/* ---- the simulated MMU
 * ---------------------------------------------------------------- */

static u64 probe(kva_t va)
{
	u32 error;
	const u64 *p = sim_kernel(va, SIM_READ, &error);

	CHECK(p);
	return *p;
}

/* Global pages live through a change of address space and of no other thing. */
static int body_tlb(void)
{
	struct page *a = alloc_page(GFP_KERNEL), *b = alloc_page(GFP_KERNEL);
	struct mm_struct *mm[2] = {tm_mm(), tm_mm()};
	struct port_cpumask all = {{~0UL}};
	kva_t va = far_place(3);
	struct sim_tlb_stats s1, s2;
	struct pt_slot slot;
	u32 error = 0;
	int sig = 0;

	*(u64 *)page_view(a) = 0xa;
	*(u64 *)page_view(b) = 0xb;
	CHECK_EQ(kernel_map(va, page_to_pfn(a), 1, PAGE_KERNEL), 0);
	tm_use(mm[0]);
	CHECK_EQ(probe(va), 0xa);
	CHECK_EQ(sim_kernel_pa(direct_map_va(page_to_pfn(a)) + 5, SIM_WRITE,
			       &error),
		 PFN_PHYS(page_to_pfn(a)) + 5);
	/* Change the entry behind the TLB's back: a flush is missing. */
	CHECK(kernel_slot(va, &slot));
	pt_set(&slot, pte_make(page_to_pfn(b), PAGE_KERNEL));
	sim_tlb_stats(&s1);
	CHECK_EQ(probe(va), 0xa);
	tm_use(mm[1]);
	CHECK_EQ(probe(va), 0xa);
	port_tlb_flush(&all, mm[0]->asid, 0, 0);
	port_tlb_flush(&all, mm[1]->asid, 0, 0);
	port_tlb_flush(&all, 0, 0, 0);
	CHECK_EQ(probe(va), 0xa);
	sim_tlb_stats(&s2);
	CHECK_EQ(s1.walks, s2.walks);
	port_tlb_flush_kernel(va + PAGE_SIZE, va + 2 * PAGE_SIZE);
	/* (Beside it lies nothing, but large entries may make it a scan.) */
	CHECK_EQ(probe(va), 0xa);
	port_tlb_flush_kernel(va, va + PAGE_SIZE);
	CHECK_EQ(probe(va), 0xb);
	/* kernel_unmap() does not forget the flush. */
	kernel_unmap(va, 1);
	CHECK(!sim_kernel(va, SIM_READ, &error));
	CHECK_EQ(error, SIM_WALK_FAULT);
	CHECK(!sim_kernel(va, SIM_WRITE, &error));
	CHECK_EQ(error, SIM_WALK_FAULT | PF_ERR_WRITE);
	/* A process cannot: what the TLB knows is the supervisor's. */
	va = direct_map_va(page_to_pfn(a));
	CHECK_EQ(probe(va), 0xa);
	CHECK(!sim_user(va, SIM_READ, &sig));
	CHECK_EQ(sig, 11);
	/* Not even with the ASID that global pages are found by. */
	port_load_root(mm[1]->pt.root_pfn, 0);
	CHECK_EQ(probe(va), 0xa);
	CHECK(!sim_user(va, SIM_READ, &sig));
	CHECK_EQ(sig, 11);
	tm_use(NULL);
	mm_put(mm[0]);
	mm_put(mm[1]);
	__free_page(a);
	__free_page(b);
	return 0;
}

static void test_tlb(void **state)
{
	(void)state;
	run_all(64 * MiB, body_tlb);
}

/* Pages that are not global belong to an ASID, and a kernel flush finds all. */
static int body_private(void)
{
	pgprot_t prot = __pgprot(PAGE_KERNEL_BITS & ~X86_PTE_G);
	struct page *a = alloc_page(GFP_KERNEL), *b = alloc_page(GFP_KERNEL);
	struct mm_struct *mm[2] = {tm_mm(), tm_mm()};
	kva_t va = far_place(5);
	struct pt_slot slot;

	*(u64 *)page_view(a) = 0xa;
	*(u64 *)page_view(b) = 0xb;
	CHECK_EQ(kernel_map(va, page_to_pfn(a), 1, prot), 0);
	tm_use(mm[0]);
	CHECK_EQ(probe(va), 0xa);
	CHECK(kernel_slot(va, &slot));
	pt_set(&slot, pte_make(page_to_pfn(b), prot));
	CHECK_EQ(probe(va), 0xa);
	tm_use(mm[1]);
	CHECK_EQ(probe(va), 0xb);
	tm_use(mm[0]);
	CHECK_EQ(probe(va), 0xa);
	tm_use(mm[1]);
	port_tlb_flush_kernel(va, va + PAGE_SIZE);
	tm_use(mm[0]);
	CHECK_EQ(probe(va), 0xb);
	tm_use(NULL);
	kernel_unmap(va, 1);
	mm_put(mm[0]);
	mm_put(mm[1]);
	__free_page(a);
	__free_page(b);
	return 0;
}

static void test_private(void **state)
{
	(void)state;
	run_all(64 * MiB, body_private);
}

/* ---- other CPUs
 * ------------------------------------------------------------------------ */

static struct {
	kva_t va;
	u64 seen;
	u32 error;
	bool ok;
} remote;

static void remote_read(void *arg)
{
	const u64 *p = sim_kernel(remote.va, SIM_READ, &remote.error);

	(void)arg;
	remote.ok = p != NULL;
	remote.seen = p ? *p : 0;
}

static void on_cpu(int cpu)
{
	struct port_thread *t;

	CHECK_EQ(sim_thread_start_on(&t, "reader", cpu, remote_read, NULL), 0);
	port_thread_join(t);
}

/* Unmapping reaches the TLB of a CPU that never loaded a process. */
static int body_remote(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	*(u64 *)page_view(page) = 0xc0ffee;
	remote.va = far_place(7);
	CHECK_EQ(kernel_map(remote.va, page_to_pfn(page), 1, PAGE_KERNEL), 0);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		on_cpu(cpu);
		CHECK(remote.ok && remote.seen == 0xc0ffee);
	}
	kernel_unmap(remote.va, 1);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		on_cpu(cpu);
		CHECK(!remote.ok);
		CHECK_EQ(remote.error, SIM_WALK_FAULT);
	}
	__free_page(page);
	return 0;
}

static void test_remote(void **state)
{
	(void)state;
	for (u32 i = 0; paging_format_nth(i); i++)
		run(&(struct setup){.fmt = paging_format_nth(i),
				    .mem = 64 * MiB,
				    .cpus = 4,
				    .body = body_remote});
}

/* ---- fixmap
 * -------------------------------------------------------------------------------
 */

static int body_fixmap(void)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	struct page *page = alloc_page(GFP_KERNEL);
	kva_t va = fix_to_virt(l, FIX_TEXT_POKE0);
	phys_addr_t device = 0xfec00000;
	u64 tables = pgtable_sys.nr_tables;
	u32 error = 0;

	*(u64 *)page_view(page) = 0xf1;
	set_fixmap(FIX_TEXT_POKE0, PFN_PHYS(page_to_pfn(page)), PAGE_KERNEL);
	CHECK_EQ(probe(va), 0xf1);
	set_fixmap(FIX_TEXT_POKE0, device, PAGE_KERNEL_RO);
	CHECK_EQ(sim_kernel_pa(va + 0x20, SIM_READ, &error), device + 0x20);
	CHECK_EQ(sim_kernel_pa(va, SIM_WRITE, &error), ~0UL);
	CHECK_EQ(error, SIM_WALK_FAULT | PF_ERR_PRESENT | PF_ERR_WRITE);
	clear_fixmap(FIX_TEXT_POKE0);
	clear_fixmap(FIX_TEXT_POKE0);
	CHECK(!sim_kernel(va, SIM_READ, &error));
	CHECK_EQ(pgtable_sys.nr_tables, tables);
	__free_page(page);
	return 0;
}

static void test_fixmap(void **state)
{
	(void)state;
	run_all(64 * MiB, body_fixmap);
}

/* ---- memory that comes and goes
 * ------------------------------------------------------------- */

#define HOT	 (1 * GiB)
#define HOT_SIZE (2 * MEMORY_BLOCK_BYTES)

/* Is each kind of page of the hot range there, or none? */
static void expect_hot(bool there)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	u64 root = pgtable_sys.master.root_pfn;
	enum paging_reason want = there ? PAGING_OK : PAGING_NOT_PRESENT;
	struct paging_walk w;

	for (u64 at = HOT; at < HOT + HOT_SIZE; at += HOT_SIZE / 16) {
		u64 off = PFN_DOWN(at) * sizeof(struct page);

		if (at < l->low_end) {
			CHECK_EQ(walk_at(root, l->page_offset + at,
					 PAGING_WRITE, &w),
				 want);
			CHECK(!there || w.pa == at);
		}
		if (l->vmemmap)
			CHECK_EQ(walk_at(root, l->vmemmap + off, PAGING_WRITE,
					 &w),
				 want);
	}
}

static void hot_cycle(mhp_t flags)
{
	u64 pfn = PFN_DOWN(HOT), nr = PFN_DOWN(HOT_SIZE);

	CHECK_EQ(add_memory(0, HOT, HOT_SIZE, flags), 0);
	expect_hot(false);
	CHECK_EQ(online_pages(pfn, nr, MMOP_ONLINE_MOVABLE), 0);
	expect_hot(true);
	CHECK_EQ(offline_pages(pfn, nr), 0);
	expect_hot(false);
	CHECK_EQ(online_pages(pfn, nr / 2, MMOP_ONLINE_MOVABLE), 0);
	CHECK_EQ(offline_pages(pfn, nr / 2), 0);
	expect_hot(false);
	CHECK_EQ(remove_memory(HOT, HOT_SIZE), 0);
	kernel_tables_check();
}

static int body_hotplug(void)
{
	u64 pfn = PFN_DOWN(HOT), nr = PFN_DOWN(HOT_SIZE), failed = 0;
	int err = -ENOMEM;

	CHECK_EQ(add_memory(0, HOT, HOT_SIZE, MHP_NONE), 0);
	for (u64 nth = 1; err; nth++) {
		fail_arm_nth(FAIL_MASK(FAIL_PGTABLE), nth, false);
		err = online_pages(pfn, nr, MMOP_ONLINE_MOVABLE);
		fail_disarm();
		expect_hot(err == 0);
		failed += err != 0;
	}
	/* High memory needs no tables here. */
	CHECK(failed > 0 || pgtable_sys.layout.highmem);
	CHECK_EQ(offline_pages(pfn, nr), 0);
	CHECK_EQ(remove_memory(HOT, HOT_SIZE), 0);
	hot_cycle(MHP_NONE);
	hot_cycle(MHP_MEMMAP_ON_MEMORY);
	return 0;
}

/* Blocks out of the middle of what boot mapped by a page of 1 GiB. */
static int body_cut(void)
{
	u64 pfn = PFN_DOWN(5 * GiB + 3 * MEMORY_BLOCK_BYTES);
	u64 large = pgtable_sys.direct[2], nr = PFN_DOWN(HOT_SIZE);
	struct paging_walk w;

	fail_arm_nth(FAIL_MASK(FAIL_PGTABLE), 1, false);
	CHECK_EQ(offline_pages(pfn, nr), -ENOMEM);
	fail_disarm();
	CHECK_EQ(pgtable_sys.direct[2], large);
	CHECK_EQ(offline_pages(pfn, nr), 0);
	CHECK_EQ(pgtable_sys.direct[2], large - 1);
	kernel_tables_check();
	CHECK_EQ(walk_at(pgtable_sys.master.root_pfn, direct_map_va(pfn),
			 PAGING_READ, &w),
		 PAGING_NOT_PRESENT);
	CHECK_EQ(walk_at(pgtable_sys.master.root_pfn, direct_map_va(pfn - 1),
			 PAGING_READ, &w),
		 PAGING_OK);
	CHECK_EQ(walk_at(pgtable_sys.master.root_pfn, direct_map_va(pfn + nr),
			 PAGING_READ, &w),
		 PAGING_OK);
	CHECK_EQ(online_pages(pfn, nr, MMOP_ONLINE), 0);
	CHECK_EQ(walk_at(pgtable_sys.master.root_pfn, direct_map_va(pfn),
			 PAGING_READ, &w),
		 PAGING_OK);
	return 0;
}

static void test_hotplug(void **state)
{
	(void)state;
	for (u32 i = 0; paging_format_nth(i); i++)
		run(&(struct setup){.fmt = paging_format_nth(i),
				    .mem = 512 * MiB,
				    .max_possible = 2 * GiB,
				    .body = body_hotplug});
	run(&(struct setup){.fmt = &paging_x86_64_4level,
			    .mem = 8 * GiB,
			    .body = body_cut});
}

/* ---- the audit
 * ------------------------------------------------------------------------- */

static int body_audit(void)
{
	static char text[16384];
	struct seq_buf s;

	pgtable_sys.nr_tables++;
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_audit(&s), 1);
	CHECK(strstr(text, "page tables of the kernel"));
	pgtable_sys.nr_tables--;
	return 0;
}

static void test_audit(void **state)
{
	(void)state;
	run_all(64 * MiB, body_audit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_image),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_tlb),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_remote),
		cmocka_unit_test(test_fixmap),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_hotplug),
		cmocka_unit_test(test_pagealloc),
	};

	seed = test_env("SEED", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
