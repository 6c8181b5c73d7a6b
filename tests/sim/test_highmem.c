/* SPDX-License-Identifier: MIT */
/*
 * High memory: loans of addresses, their counts, flushes and order; that the
 * direct map ends at low memory; and processes whose pages all lie above it.
 */
#include "sim_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <mmkit/highmem.h>

#include "base/fail.h"
#include "base/prng.h"
#include "pgtable/highmem.h"
#include "pgtable/kernel.h"

#define MiB (1UL << 20)
#define GiB (1UL << 30)

static u64 seed;

struct setup {
	const struct paging_format *fmt;
	u64 mem; /* 0: 2 GiB */
	int cpus;
	bool explore;
	u32 swap_pages;
	int panics; /* what sim_run() gives if BODY is to panic; 0: it is not */
	struct mm_debug_params debug;
	int (*body)(void);
};

static struct setup now;

static int booted(void *arg)
{
	struct mm_boot_params bp = {
		.map = arg, .arch = now.fmt->name, .debug = now.debug};

	CHECK_EQ(mm_boot(&bp), 0);
	if (now.swap_pages) {
		tm.disk = tm_swap_disk(now.swap_pages);
		CHECK_EQ(swapon(tm.disk, -2), 0);
	}
	CHECK_EQ(now.body(), 0);
	tm_use(NULL);
	tm_settle();
	highmem_check();
	kernel_tables_check();
	tm_audit();
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		CHECK_EQ(pgtable_sys.high.cpu[cpu].depth, 0);
	mm_shutdown();
	return 0;
}

static void machine(const struct setup *s, struct e820_table *map)
{
	struct sim_config sc = {.cpus = s->cpus ? s->cpus : 1,
				.seed = seed,
				.explore = s->explore,
				.format = s->fmt,
				.console = tm_console,
				.console_level = 6,
				.quiet = s->panics != 0,
				.catch_panic = s->panics != 0};
	u64 mem = s->mem ? s->mem : 2 * GiB;

	memset(&tm, 0, sizeof(tm));
	tm.cfg.cpus = sc.cpus;
	tm.cfg.seed = seed;
	tm.cfg.explore = s->explore;
	now = *s;
	snprintf(tm_context, sizeof(tm_context), "%s", s->fmt->name);
	e820_init(map);
	CHECK_EQ(e820_add(map, 0, 0x9f000, E820_TYPE_RAM), 0);
	CHECK_EQ(e820_add(map, MiB, mem - MiB, E820_TYPE_RAM), 0);
	mm_reset();
	CHECK_EQ(sim_init(&sc), 0);
}

static void run(const struct setup *s)
{
	static struct e820_table map;

	machine(s, &map);
	CHECK_EQ(sim_run(booted, &map), s->panics);
	sim_shutdown();
	mm_reset();
}

/* Both formats that have high memory. */
static void run_both(struct setup s)
{
	s.fmt = &paging_x86_32;
	run(&s);
	s.fmt = &paging_x86_32_pae;
	run(&s);
}

/* ---- helpers
 * ------------------------------------------------------------------------- */

/* Could the program read a byte at P? */
static bool readable(const void *p)
{
	static int fd[2];
	char c;

	if (!fd[1])
		CHECK_EQ(pipe(fd), 0);
	if (write(fd[1], p, 1) != 1) {
		CHECK_EQ(errno, EFAULT);
		return false;
	}
	CHECK_EQ(read(fd[0], &c, 1), 1);
	return true;
}

static struct page *high_page(void)
{
	struct page *page = alloc_page(GFP_HIGHUSER);

	CHECK(page && PageHighMem(page));
	CHECK_EQ(page_zone_idx(page), ZONE_HIGHMEM);
	return page;
}

/* What stands in PAGE, past the manager. */
static u64 *contents(const struct page *page)
{
	return sim_phys(PFN_PHYS(page_to_pfn(page)));
}

/* The kernel's address of a view of the window. */
static kva_t kva(const void *view)
{
	kva_t va = port_kva_of(view);

	CHECK(va);
	return va;
}

/* What the CPU reads at VA. */
static u64 probe(kva_t va)
{
	u32 error;
	const u64 *p = sim_kernel(va, SIM_READ, &error);

	CHECK(p);
	return *p;
}

/* ---- plain use
 * ----------------------------------------------------------------------------
 */

static int body_plain(void)
{
	struct page *high = high_page(), *low = alloc_page(GFP_KERNEL);
	char *a, *b;
	char text[16];

	CHECK(!PageHighMem(low));
	CHECK(!readable(port_ram(PFN_PHYS(page_to_pfn(high)))));
	CHECK(readable(page_view(low)));
	CHECK_EQ((u64)page_address(high), 0);
	CHECK(page_address(low) == page_view(low));
	CHECK(kmap(low) == page_view(low));
	kunmap(low);
	CHECK(kmap_local_page(low) == page_view(low));
	kunmap_local(page_view(low));

	a = kmap(high);
	CHECK(kmap(high) == a && page_address(high) == a);
	CHECK(kmap_to_page(a + 77) == high &&
	      kmap_to_page(page_view(low)) == low);
	strcpy(a + 100, "pkmap");
	b = kmap_local_page(high);
	CHECK(a != b);
	CHECK_EQ(strcmp(b + 100, "pkmap"), 0);
	CHECK(kmap_to_page(b) == high);
	strcpy(b + 200, "local");
	kunmap_local(b + 200);
	CHECK(!readable(b));
	CHECK_EQ(strcmp(a + 200, "local"), 0);
	CHECK_EQ(strcmp((char *)contents(high) + 200, "local"), 0);
	kunmap(high);
	kunmap(high);
	kmap_flush_unused();
	CHECK(!readable(a));
	CHECK_EQ((u64)page_address(high), 0);

	memset(contents(high), 0x55, PAGE_SIZE);
	memcpy_to_page(high, 4090, "123456", 6);
	memcpy_from_page(text, high, 4090, 6);
	CHECK_EQ(memcmp(text, "123456", 6), 0);
	zero_user(high, 1, 2);
	CHECK_EQ(contents(high)[0], 0x5555555555000055UL);
	copy_highpage(low, high);
	CHECK_EQ(memcmp(page_view(low), contents(high), PAGE_SIZE), 0);
	clear_highpage(high);
	CHECK_EQ(contents(high)[511], 0);
	copy_highpage(high, low);
	CHECK_EQ(memcmp(page_view(low), contents(high), PAGE_SIZE), 0);
	a = kmap_atomic(low);
	CHECK(a == page_view(low));
	kunmap_atomic(a);
	__free_page(low);
	__free_page(high);
	return 0;
}

static void test_plain(void **state)
{
	(void)state;
	run_both((struct setup){.body = body_plain});
}

/* With 64 bits, and on a small machine, nothing is high. */
static int body_none(void)
{
	struct page *page = alloc_page(GFP_HIGHUSER);

	CHECK(page && !PageHighMem(page));
	CHECK(kmap(page) == page_view(page));
	CHECK(kmap_local_page(page) == page_view(page));
	CHECK(kmap_to_page(page_view(page)) == page);
	kunmap_local(page_view(page));
	kunmap(page);
	kmap_flush_unused();
	__free_page(page);
	return 0;
}

static void test_none(void **state)
{
	(void)state;
	run(&(struct setup){.fmt = &paging_x86_64_4level, .body = body_none});
	run(&(struct setup){.fmt = &paging_arm64, .body = body_none});
	run_both((struct setup){.mem = 64 * MiB, .body = body_none});
}

/* ---- pkmap
 * -------------------------------------------------------------------------------
 */

/* Counts against a model, contents against what was written. */
static int body_model(void)
{
	enum { PAGES = 2 * PKMAP_MAX };
	static struct page *page[PAGES];
	static u32 users[PAGES];
	struct highmem_state *h = &pgtable_sys.high;
	u32 nr_pkmap = pgtable_sys.layout.nr_pkmap, mapped = 0;
	struct prng r;

	prng_seed(&r, seed);
	memset(users, 0, sizeof(users));
	for (u32 i = 0; i < PAGES; i++) {
		page[i] = high_page();
		*contents(page[i]) = i + 1;
	}
	for (u64 n = 0; n < test_iters(20000); n++) {
		u32 i = (u32)prng_below(&r, PAGES);

		if (users[i] && prng_one_in(&r, 2)) {
			kunmap(page[i]);
			users[i]--;
			mapped -= users[i] == 0;
		} else if (users[i] || mapped + 1 < nr_pkmap) {
			u64 *view = kmap(page[i]);

			CHECK_EQ(*view, i + 1);
			CHECK_EQ(probe(kva(view)), i + 1);
			mapped += users[i]++ == 0;
		}
		if (users[i])
			CHECK_EQ(*(u64 *)page_address(page[i]), i + 1);
		CHECK_EQ(h->nr_free, nr_pkmap - mapped);
		if (n % 1024 == 0)
			highmem_check();
		if (n % 4096 == 0)
			kmap_flush_unused();
	}
	CHECK(h->wraps > 1 && h->waits == 0);
	for (u32 i = 0; i < PAGES; i++) {
		for (; users[i]; users[i]--)
			kunmap(page[i]);
		__free_page(page[i]);
	}
	highmem_check();
	return 0;
}

static void test_model(void **state)
{
	(void)state;
	run_both((struct setup){.body = body_model});
}

static struct {
	struct page *page;
	bool started, got;
} waiter;

static void wait_for_slot(void *arg)
{
	u64 *view;

	(void)arg;
	waiter.started = true;
	view = kmap(waiter.page);
	CHECK_EQ(*view, 4711);
	waiter.got = true;
	kunmap(waiter.page);
}

/* All slots have users: the next one sleeps, until one is given back. */
static int body_full(void)
{
	static struct page *page[PKMAP_MAX];
	u32 nr = pgtable_sys.layout.nr_pkmap;
	struct port_thread *t[3];

	memset(&waiter, 0, sizeof(waiter));
	waiter.page = high_page();
	*contents(waiter.page) = 4711;
	for (u32 i = 0; i < nr; i++) {
		page[i] = high_page();
		kmap(page[i]);
	}
	CHECK_EQ(pgtable_sys.high.nr_free, 0);
	/* A frame that has a slot needs none. */
	CHECK(kmap(page[5]) == page_address(page[5]));
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(port_thread_start(&t[i], "waiter", -1, wait_for_slot,
					   NULL),
			 0);
	port_park(1000 * 1000);
	CHECK(waiter.started && !waiter.got);
	CHECK_EQ(pgtable_sys.high.waits, 3);
	kunmap(page[5]);
	port_park(1000 * 1000);
	CHECK(!waiter.got);
	kunmap(page[5]);
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		port_thread_join(t[i]);
	CHECK(waiter.got);
	for (u32 i = 0; i < nr; i++) {
		if (i != 5)
			kunmap(page[i]);
		__free_page(page[i]);
	}
	__free_page(waiter.page);
	highmem_check();
	return 0;
}

static void test_full(void **state)
{
	(void)state;
	run_both((struct setup){.body = body_full});
	run_both((struct setup){.body = body_full, .cpus = 4});
}

/*
 * What the TLB knows of a slot outlives the last user, until the flush; then
 * the slot serves another frame, and no CPU sees the old one.
 */
static int body_flush(void)
{
	u32 nr = pgtable_sys.layout.nr_pkmap, wraps = pgtable_sys.high.wraps;
	struct page *a = high_page(), *b = high_page();
	struct sim_tlb_stats s1, s2;
	struct pt_slot slot;
	kva_t va;

	*contents(a) = 0xa;
	*contents(b) = 0xb;
	va = kva(kmap(a));
	CHECK_EQ(probe(va), 0xa);
	kunmap(a);
	sim_tlb_stats(&s1);
	CHECK_EQ(probe(va), 0xa);
	/* Round the circle, with frames that are let go at once. */
	for (u32 i = 0; i < nr + 3 && kva(kmap(b)) != va; i++) {
		kunmap(b);
		kmap_flush_unused();
	}
	sim_tlb_stats(&s2);
	CHECK(s2.flushed > s1.flushed);
	CHECK(pgtable_sys.high.wraps > wraps);
	CHECK_EQ(probe(va), 0xb);
	/* The same without a flush is seen. */
	CHECK(kernel_slot(va, &slot));
	pt_set(&slot, pte_make(page_to_pfn(a), PAGE_KERNEL));
	CHECK_EQ(probe(va), 0xb);
	port_tlb_flush_kernel(va, va + PAGE_SIZE);
	CHECK_EQ(probe(va), 0xa);
	pt_set(&slot, pte_make(page_to_pfn(b), PAGE_KERNEL));
	port_tlb_flush_kernel(va, va + PAGE_SIZE);
	kunmap(b);
	__free_page(a);
	__free_page(b);
	return 0;
}

static void test_flush(void **state)
{
	(void)state;
	run_both((struct setup){.body = body_flush});
}

/* ---- kmap_local
 * -------------------------------------------------------------------------
 */

/* The stack of slots to its end; the same slot serves frame after frame. */
static int body_stack(void)
{
	struct page *page[KM_SLOTS];
	u64 *view[KM_SLOTS], *again;

	for (u32 i = 0; i < KM_SLOTS; i++) {
		page[i] = high_page();
		*contents(page[i]) = i;
	}
	for (u32 i = 0; i < KM_SLOTS; i++) {
		view[i] = kmap_local_page(page[i]);
		CHECK_EQ(probe(kva(view[i])), i);
	}
	for (u32 i = 0; i < KM_SLOTS; i++)
		CHECK_EQ(*view[i], i);
	for (u32 i = KM_SLOTS; i-- > 0;) {
		u32 error;

		kunmap_local(view[i]);
		CHECK(!readable(view[i]));
		CHECK(!sim_kernel(kva(view[i]), SIM_READ, &error));
	}
	for (u32 i = 0; i < KM_SLOTS; i++) {
		again = kmap_local_page(page[i]);
		CHECK(again == view[0]);
		CHECK_EQ(probe(kva(again)), i);
		kunmap_local(again);
		__free_page(page[i]);
	}
	return 0;
}

static void test_stack(void **state)
{
	(void)state;
	run_both((struct setup){.body = body_stack});
}

/* Did a misuse go unnoticed? */
static bool survived;

static int body_wrong_order(void)
{
	void *a = kmap_local_page(high_page());

	kmap_local_page(high_page());
	kunmap_local(a);
	survived = true;
	return 0;
}

static int body_too_deep(void)
{
	for (u32 i = 0; i <= KM_SLOTS; i++)
		kmap_local_page(high_page());
	survived = true;
	return 0;
}

static int body_twice(void)
{
	void *a = kmap_local_page(high_page());

	kunmap_local(a);
	kunmap_local(a);
	survived = true;
	return 0;
}

static int body_not_mapped(void)
{
	kunmap(high_page());
	survived = true;
	return 0;
}

static int body_too_often(void)
{
	struct page *page = high_page();

	kmap(page);
	kunmap(page);
	kunmap(page);
	survived = true;
	return 0;
}

/* Whoever holds a loan of this CPU must not sleep. */
static int body_sleeps(void)
{
	kmap_local_page(high_page());
	port_park(1000);
	survived = true;
	return 0;
}

static void test_misuse(void **state)
{
	int (*const bodies[])(void) = {body_wrong_order, body_too_deep,
				       body_twice,	 body_not_mapped,
				       body_too_often,	 body_sleeps};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(bodies); i++)
		run(&(struct setup){.fmt = &paging_x86_32_pae,
				    .body = bodies[i],
				    .panics = -EIO});
	CHECK(!survived);
}

/* An interrupt borrows above what it interrupted. */
static struct {
	struct page *page;
	bool done, in_irq;
	u64 *view;
} irq;

static void irq_end(struct port_bio *bio)
{
	(void)bio;
	irq.in_irq = port_in_irq();
	irq.view = kmap_local_page(irq.page);
	*irq.view = 0x1337;
	kunmap_local(irq.view);
	irq.done = true;
}

static int body_irq(void)
{
	struct page *mine = high_page(), *io = high_page();
	struct port_bdev *disk = tm_disk(8);
	struct port_bio bio = {.bdev = disk,
			       .op = PORT_BIO_READ,
			       .nr_pages = 1,
			       .pfn = {page_to_pfn(io)},
			       .end_io = irq_end};
	u64 *view;

	memset(&irq, 0, sizeof(irq));
	irq.page = high_page();
	*contents(mine) = 1;
	view = kmap_local_page(mine);
	port_bio_submit(&bio);
	while (!READ_ONCE(irq.done))
		port_relax();
	CHECK(irq.in_irq && irq.view != view);
	CHECK_EQ(*view, 1);
	CHECK_EQ(probe(kva(view)), 1);
	*view = 2;
	kunmap_local(view);
	CHECK_EQ(*contents(mine), 2);
	CHECK_EQ(*contents(irq.page), 0x1337);
	sim_disk_close(disk);
	__free_page(mine);
	__free_page(io);
	__free_page(irq.page);
	return 0;
}

static void test_irq(void **state)
{
	(void)state;
	run_both((struct setup){.body = body_irq});
}

/* CPUs borrow at the same time, sched points in between; kmap() too. */
static void worker(void *arg)
{
	struct page *page[6], *shared = arg;
	u64 *view[6];
	struct prng r;
	u64 tag;

	prng_seed(&r, seed + (u64)port_cpu());
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		page[i] = high_page();
	for (u32 n = 0; n < 60; n++) {
		u32 depth = (u32)prng_below(&r, ARRAY_SIZE(page)) + 1;

		tag = prng_u64(&r);
		for (u32 i = 0; i < depth; i++) {
			view[i] = kmap_local_page(page[i]);
			view[i][n % 512] = tag + i;
			port_sched_point();
		}
		for (u32 i = depth; i-- > 0;) {
			CHECK_EQ(view[i][n % 512], tag + i);
			CHECK_EQ(probe(kva(view[i]) + n % 512 * 8), tag + i);
			port_sched_point();
			kunmap_local(view[i]);
		}
		view[0] = kmap(shared);
		CHECK_EQ(*view[0], 99);
		port_sched_point();
		CHECK_EQ(probe(kva(view[0])), 99);
		kunmap(shared);
		if (n % 16 == 0)
			kmap_flush_unused();
	}
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		__free_page(page[i]);
}

static int body_cpus(void)
{
	struct port_thread *t[8];
	struct page *shared = high_page();

	*contents(shared) = 99;
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "worker", (int)i % 4,
					     worker, shared),
			 0);
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		port_thread_join(t[i]);
	__free_page(shared);
	return 0;
}

static void test_cpus(void **state)
{
	(void)state;
	run_both((struct setup){.body = body_cpus, .cpus = 4});
	run_both((struct setup){.body = body_cpus, .cpus = 4, .explore = true});
}

/* ---- processes
 * ----------------------------------------------------------------------------
 */

#define PROC_PAGES 300u

/* Are the pages of MM from VA on high, as far as they are there? */
static u32 count_high(struct mm_struct *mm, uva_t va)
{
	u32 high = 0;

	for (u32 i = 0; i < PROC_PAGES; i++) {
		pte_t e = tm_pte(mm, va + i * PAGE_SIZE);

		high += pte_present(e) && !pte_special(e) &&
			PageHighMem(pfn_to_page(pte_pfn(e)));
	}
	return high;
}

/* Demand zero, copy on write, out to swap and in again: all in high frames. */
static int body_process(void)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	uva_t va = tm_map(mm, PROC_PAGES);

	tm_use(mm);
	for (u32 i = 0; i < PROC_PAGES; i++) {
		CHECK_EQ(tm_load(va + i * PAGE_SIZE + 8), 0);
		tm_store(va + i * PAGE_SIZE, i);
		CHECK_EQ(tm_load(va + i * PAGE_SIZE + 4088), 0);
	}
	CHECK_EQ(count_high(mm, va), PROC_PAGES);
	CHECK_EQ(mm_fork(mm, &child), 0);
	for (u32 i = 0; i < PROC_PAGES; i++)
		tm_store(va + i * PAGE_SIZE + 8, i + 1000);
	tm_use(child);
	for (u32 i = 0; i < PROC_PAGES; i++) {
		CHECK_EQ(tm_load(va + i * PAGE_SIZE), i);
		CHECK_EQ(tm_load(va + i * PAGE_SIZE + 8), 0);
	}
	tm_use(mm);
	for (u32 i = 0; i < PROC_PAGES; i += 7)
		tm_swap_out(mm, va + i * PAGE_SIZE);
	CHECK(count_high(mm, va) < PROC_PAGES);
	for (u32 i = 0; i < PROC_PAGES; i++) {
		CHECK_EQ(tm_load(va + i * PAGE_SIZE), i);
		CHECK_EQ(tm_load(va + i * PAGE_SIZE + 8), i + 1000);
	}
	CHECK_EQ(count_high(mm, va), PROC_PAGES);
	tm_use(NULL);
	mm_put(child);
	mm_put(mm);
	return 0;
}

static void test_process(void **state)
{
	(void)state;
	run_both((struct setup){.body = body_process, .swap_pages = 1024});
}

/* Checks of free frames reach high ones too. */
static void test_debug(void **state)
{
	struct setup s = {.body = body_process, .swap_pages = 1024};

	(void)state;
	s.debug = (struct mm_debug_params){.poison = true};
	run_both(s);
	s.debug = (struct mm_debug_params){.init_on_alloc = true,
					   .init_on_free = true};
	run_both(s);
	s.debug = (struct mm_debug_params){.debug_pagealloc = true};
	run_both(s);
}

/* Poison in a high frame is looked at. */
static int body_poison(void)
{
	struct page *page = high_page(), *other;
	u64 pfn = page_to_pfn(page), nr = 0;

	__free_page(page);
	drain_all_pages();
	CHECK_EQ(contents(pfn_to_page(pfn))[17], 0xaaaaaaaaaaaaaaaaUL);
	contents(pfn_to_page(pfn))[17] = 0;
	other = high_page();
	for (; page_to_pfn(other) != pfn && nr < 4096; nr++) {
		if (phys_sys.debug.nr_poison_errors)
			break;
		other = high_page();
	}
	CHECK_EQ(phys_sys.debug.nr_poison_errors, 1);
	return 0;
}

static int poison_main(void *arg)
{
	struct mm_boot_params bp = {
		.map = arg, .arch = now.fmt->name, .debug = now.debug};

	CHECK_EQ(mm_boot(&bp), 0);
	return body_poison();
}

static void test_poison(void **state)
{
	struct setup s = {.fmt = &paging_x86_32_pae, .mem = 960 * MiB};
	static struct e820_table map;

	(void)state;
	s.debug.poison = true;
	machine(&s, &map);
	CHECK_EQ(sim_run(poison_main, &map), 0);
	sim_shutdown();
	mm_reset();
}

/* ---- a boot that fails
 * -------------------------------------------------------------------- */

static u64 fail_at;

static int boot_failing(void *arg)
{
	struct mm_boot_params bp = {.map = arg, .arch = now.fmt->name};
	int err;

	fail_arm_nth(FAIL_MASK(FAIL_PGTABLE), fail_at, false);
	err = mm_boot(&bp);
	if (!fail_disarm().fired) {
		CHECK_EQ(err, 0);
		mm_shutdown();
		return 1;
	}
	CHECK_EQ(err, -ENOMEM);
	CHECK(tm_logged("no memory for the kernel's page tables"));
	return 0;
}

static void test_boot_fails(void **state)
{
	static struct e820_table map;

	(void)state;
	for (u32 i = 0; paging_format_nth(i); i++) {
		struct setup s = {.fmt = paging_format_nth(i)};
		int done = 0;

		for (fail_at = 1; !done; fail_at++) {
			machine(&s, &map);
			done = sim_run(boot_failing, &map);
			sim_shutdown();
			mm_reset();
		}
		CHECK(fail_at > 4);
	}
}

/* A world that cannot map RAM twice refuses, in clear. */
static int boot_other(void *arg)
{
	struct mm_boot_params bp = {.map = arg, .arch = "x86-32-pae"};

	CHECK_EQ(mm_boot(&bp), -EOPNOTSUPP);
	CHECK(tm_logged("cannot be mapped twice"));
	return 0;
}

static void test_refused(void **state)
{
	struct setup s = {.fmt = &paging_x86_64_4level};
	static struct e820_table map;

	(void)state;
	machine(&s, &map);
	CHECK_EQ(sim_run(boot_other, &map), 0);
	sim_shutdown();
	mm_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_stack),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_irq),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_boot_fails),
		cmocka_unit_test(test_refused),
	};

	seed = test_env("SEED", 1);
	fprintf(stderr, "highmem: SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
