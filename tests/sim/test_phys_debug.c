/* SPDX-License-Identifier: MIT */
/*
 * Debugging aids of the page allocator: poison, clearing, guards, unmapping,
 * page_ext and owners; and every kind of bad frame: reported, never given out
 * again, and nothing else lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "phys/page_owner.h"
#include "phys_machine.h"

/* Which line of a table is being tried, for a failure's message. */
static char doing[128];

static int teardown(void **state)
{
	(void)state;
	if (doing[0])
		fprintf(stderr, "while: %s\n%s", doing, pm_log);
	doing[0] = '\0';
	pm_shutdown();
	return 0;
}

static void boot_debug(u64 bytes, struct mm_debug_params d)
{
	static struct e820_table map;
	static struct mm_debug_params debug;
	struct phys_boot_params p = {.map = &map, .debug = &debug};

	debug = d;
	pm_hardware(1, NULL, 1);
	pm_map(&map, bytes);
	assert_int_equal(phys_boot_memory(&p), 0);
}

static void expect(const char *what)
{
	if (!pm_logged(what))
		fail_msg("expected \"%s\" in: %s", what, pm_log);
}

static void expect_bad(const char *why)
{
	expect("BUG: Bad page state in process");
	expect("page dumped because: ");
	expect(why);
}

/* A frame down to the last one: no watermark. */
static struct page *take_any(gfp_t gfp)
{
	struct alloc_context ac;

	prepare_alloc_context(&ac, gfp, -1);
	return get_page_from_freelist(gfp, 0, ALLOC_NO_WATERMARKS, &ac);
}

static u64 guard_frames(void)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone)
		sum += zone->nr_guard;
	return sum;
}

/*
 * Take all there is: NR frames, and none of the range at BAD. Afterwards all
 * are given back.
 */
static void drain_machine(const struct page *bad, u64 frames, u64 nr)
{
	static struct page *all[1 << 16];
	struct page *page;
	u64 got = 0;

	for (;;) {
		page = take_any(GFP_KERNEL | __GFP_NOWARN);
		if (!page) {
			/* Blocks of other sizes wait on per-CPU lists. */
			drain_all_pages();
			page = take_any(GFP_KERNEL | __GFP_NOWARN);
		}
		if (!page)
			break;
		assert_true(page < bad || page >= bad + frames);
		all[got++] = page;
	}
	assert_int_equal(got, nr);
	while (got)
		__free_page(all[--got]);
}

static bool filled(const struct page *page, u8 byte)
{
	const u8 *view = page_view(page);

	for (u64 i = 0; i < PAGE_SIZE; i++) {
		if (view[i] != byte)
			return false;
	}
	return true;
}

/* ---- poison
 * ------------------------------------------------------------------------ */

static void test_poison(void **state)
{
	struct page *page, *other;
	u8 *view;

	(void)state;
	boot_debug(32 * MiB, (struct mm_debug_params){.poison = true});
	expect("page_poison=on");
	page = alloc_page(GFP_KERNEL);
	assert_true(filled(page, PAGE_POISON));
	memset(page_view(page), 0x11, PAGE_SIZE);
	__free_page(page);
	assert_true(filled(page, PAGE_POISON));
	assert_ptr_equal(alloc_page(GFP_KERNEL), page);
	__free_page(page);
	assert_false(pm_logged("BUG"));
	/* One bit, then many bytes, of a free frame. */
	view = page_view(page);
	view[1234] ^= 0x10;
	other = alloc_page(GFP_KERNEL);
	assert_non_null(other);
	assert_ptr_not_equal(other, page);
	expect("pagealloc: single bit error");
	expect("page dumped because: pagealloc: corrupted page details");
	expect(": ba ");
	assert_true(PageReserved(page));
	assert_int_equal(phys_sys.debug.nr_set_aside, 1);
	pm_log_clear();
	__free_page(other);
	memcpy((u8 *)page_view(other) + 100, "Hello, page", 11);
	page = alloc_page(GFP_KERNEL);
	assert_ptr_not_equal(page, other);
	expect("pagealloc: memory corruption");
	expect("48 65 6c 6c 6f 2c 20 70 61 67 65");
	expect("Hello, page");
	assert_false(pm_logged("single bit"));
	assert_int_equal(phys_sys.debug.nr_set_aside, 2);
	assert_int_equal(phys_sys.debug.nr_poison_errors, 2);
	__free_page(page);
	phys_check();
}

/* Blocks of ORDER, until one is found bad; all are given back. */
static void take_blocks(unsigned int order)
{
	static struct page *all[1 << 14];
	u64 got = 0;

	while (!pm_logged("pagealloc:")) {
		all[got] = alloc_pages(GFP_KERNEL | __GFP_COMP, order);
		assert_non_null(all[got]);
		got++;
	}
	while (got)
		__free_pages(all[--got], order);
}

/* One bad frame in a block costs one frame. */
static void test_poison_block(void **state)
{
	struct page *page;
	u64 free;

	(void)state;
	boot_debug(32 * MiB, (struct mm_debug_params){.poison = true});
	for (unsigned int order = 1; order < MAX_ORDER; order += 3) {
		drain_all_pages();
		free = nr_free_pages();
		page = alloc_pages(GFP_KERNEL | __GFP_COMP, order);
		assert_non_null(page);
		__free_pages(page, order);
		pm_log_clear();
		((u8 *)page_view(page + 1))[7] = 0;
		take_blocks(order);
		expect("pagealloc: memory corruption");
		drain_all_pages();
		assert_int_equal(nr_free_pages(), free - 1);
		assert_true(PageReserved(page + 1));
		assert_false(PageReserved(page));
		pm_log_clear();
		drain_machine(page + 1, 1, free - 1);
		assert_false(pm_logged("BUG"));
	}
	phys_check();
}

/* Sections that are made late are poison too, and only then. */
static void test_poison_deferred(void **state)
{
	struct page *page;
	struct zone *zone;
	u64 left, now = 0;

	(void)state;
	boot_debug(1 * GiB, (struct mm_debug_params){.poison = true});
	zone = &node_data(0)->node_zones[ZONE_DMA32];
	left = zone->nr_deferred;
	assert_true(left > 0);
	do {
		page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, MAX_ORDER - 1);
		assert_non_null(page);
		assert_true(filled(page + 1023, PAGE_POISON));
		now = zone->nr_deferred;
	} while (now == left);
	assert_false(pm_logged("corruption"));
}

/* ---- clearing
 * ---------------------------------------------------------------------- */

/* Virtual time of one allocation of ORDER. */
static u64 cost_of(gfp_t gfp, unsigned int order, struct page **page)
{
	u64 before = port_now_ns();

	*page = alloc_pages(gfp, order);
	assert_non_null(*page);
	return port_now_ns() - before;
}

static void dirty_and_free(struct page *page, unsigned int order)
{
	for (u64 i = 0; i < 1UL << order; i++)
		memset(page_view(page + i), 0x5a, PAGE_SIZE);
	__free_pages(page, order);
}

static void test_init(void **state)
{
	struct mm_debug_params on_alloc = {.init_on_alloc = true};
	struct mm_debug_params on_free = {.init_on_free = true};
	struct page *page;
	u64 plain, zeroed;

	(void)state;
	boot_debug(32 * MiB, on_alloc);
	dirty_and_free(alloc_pages(GFP_KERNEL, 3), 3);
	plain = cost_of(GFP_KERNEL, 3, &page);
	assert_true(filled(page + 5, 0));
	dirty_and_free(page, 3);
	assert_true(filled(page + 5, 0x5a));
	/* The caller's wish for zeroes costs nothing more. */
	zeroed = cost_of(GFP_KERNEL | __GFP_ZERO, 3, &page);
	assert_int_equal(plain, zeroed);
	pm_shutdown();
	boot_debug(32 * MiB, on_free);
	page = alloc_pages(GFP_KERNEL, 3);
	assert_true(filled(page + 2, 0));
	dirty_and_free(page, 3);
	assert_true(filled(page + 5, 0));
	plain = cost_of(GFP_KERNEL, 3, &page);
	dirty_and_free(page, 3);
	zeroed = cost_of(GFP_KERNEL | __GFP_ZERO, 3, &page);
	assert_int_equal(plain, zeroed);
	assert_true(filled(page + 5, 0));
	pm_shutdown();
	/* Neither: what is asked for alone is cleared. */
	boot_debug(32 * MiB, (struct mm_debug_params){.check_pages = true});
	dirty_and_free(alloc_pages(GFP_KERNEL, 3), 3);
	page = alloc_pages(GFP_KERNEL, 3);
	assert_true(filled(page + 5, 0x5a));
	__free_pages(page, 3);
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 3);
	assert_true(filled(page + 5, 0));
}

static void test_precedence(void **state)
{
	struct mm_debug_params all = {
		.poison = true, .init_on_alloc = true, .init_on_free = true};
	struct page *page;

	(void)state;
	boot_debug(32 * MiB, all);
	expect("take precedence over init_on_alloc and init_on_free");
	page = alloc_page(GFP_KERNEL);
	assert_true(filled(page, PAGE_POISON));
	__free_page(page);
	assert_true(filled(page, PAGE_POISON));
	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	assert_true(filled(page, 0));
}

/* ---- unmapping and guards
 * ------------------------------------------------------------- */

/* The signal that a process dies of which touches VIEW; 0: none. */
static int touch(volatile u8 *view, bool write)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (write)
			*view = 1;
		else
			(void)*view;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_unmapped(void **state)
{
	struct page *page;
	u8 *view;

	(void)state;
	boot_debug(32 * MiB, (struct mm_debug_params){.debug_pagealloc = true});
	page = alloc_pages(GFP_KERNEL, 2);
	view = page_view(page);
	memset(view, 0x77, 4 * PAGE_SIZE);
	assert_int_equal(touch(view + 3 * PAGE_SIZE, true), 0);
	__free_pages(page, 2);
	assert_int_equal(touch(view + 3 * PAGE_SIZE, true), SIGSEGV);
	assert_int_equal(touch(view, false), SIGSEGV);
	drain_all_pages();
	assert_int_equal(touch(view, false), SIGSEGV);
	drain_machine(NULL, 0, nr_free_pages());
	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	assert_true(filled(page, 0));
}

static void test_unmapped_poison(void **state)
{
	struct mm_debug_params d = {.debug_pagealloc = true, .poison = true};
	struct page *page;

	(void)state;
	boot_debug(32 * MiB, d);
	page = alloc_page(GFP_KERNEL);
	__free_page(page);
	assert_int_equal(touch(page_view(page), true), SIGSEGV);
	/* By a device, say: the unmapping does not help, the poison does. */
	port_ram_protect(PFN_PHYS(page_to_pfn(page)), PAGE_SIZE, false);
	((u8 *)page_view(page))[9] = 9;
	port_ram_protect(PFN_PHYS(page_to_pfn(page)), PAGE_SIZE, true);
	assert_ptr_not_equal(alloc_page(GFP_KERNEL), page);
	expect("pagealloc: memory corruption");
	assert_int_equal(touch(page_view(page), false), 0);
}

/* Guards beside every small block, merged again when it is freed. */
static void test_guards(void **state)
{
	struct mm_debug_params d = {.guard_minorder = 2};
	struct page *one, *two, *four;
	u64 free;

	(void)state;
	boot_debug(32 * MiB, d);
	expect("Setting debug_guardpage_minorder to 2");
	drain_all_pages();
	free = nr_free_pages() + guard_frames();
	one = alloc_page(GFP_KERNEL);
	drain_all_pages();
	assert_true(guard_frames() >= 3);
	assert_true(PageGuard(one + 1) || PageGuard(one - 1));
	assert_int_equal(nr_free_pages() + guard_frames(), free - 1);
	two = alloc_pages(GFP_KERNEL, 1);
	four = alloc_pages(GFP_KERNEL, 2);
	drain_all_pages();
	/* One of two halves of four, and nothing beside four. */
	assert_true(PageGuard(two + 2) || PageGuard(two - 2));
	assert_int_equal(guard_frames(), 3 + 2);
	assert_int_equal(nr_free_pages() + guard_frames(), free - 7);
	assert_int_equal(touch(page_view(two + 2), false), SIGSEGV);
	phys_check();
	__free_page(one);
	__free_pages(two, 1);
	__free_pages(four, 2);
	drain_all_pages();
	assert_int_equal(guard_frames(), 0);
	assert_int_equal(nr_free_pages(), free);
	phys_check();
}

/* At random, to exhaustion: no frame is lost between guard and free. */
static void test_guards_random(void **state)
{
	u64 rounds = pm_env("ITERS", 4000), seed = pm_env("SEED", 1);
	static struct page *held[512];
	static unsigned int order[512];
	struct prng rnd;
	u64 free;

	(void)state;
	printf("SEED=%llu ITERS=%llu\n", (unsigned long long)seed,
	       (unsigned long long)rounds);
	prng_seed(&rnd, seed);
	boot_debug(16 * MiB, (struct mm_debug_params){.guard_minorder = 3});
	memset(held, 0, sizeof(held));
	drain_all_pages();
	free = nr_free_pages() + guard_frames();
	for (u64 i = 0; i < rounds; i++) {
		u64 k = prng_below(&rnd, 512);

		if (held[k]) {
			__free_pages(held[k], order[k]);
			held[k] = NULL;
			continue;
		}
		order[k] = (unsigned int)prng_below(&rnd, 5);
		held[k] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, order[k]);
		if (i % 512 == 0)
			phys_check();
	}
	for (u64 k = 0; k < 512; k++) {
		if (held[k])
			__free_pages(held[k], order[k]);
	}
	drain_all_pages();
	assert_int_equal(guard_frames(), 0);
	assert_int_equal(nr_free_pages(), free);
	phys_check();
}

static void test_guard_order(void **state)
{
	static struct e820_table map;
	struct mm_debug_params d = {.guard_minorder = MAX_ORDER / 2 + 1};
	struct phys_boot_params p = {.map = &map, .debug = &d};

	(void)state;
	pm_hardware(1, NULL, 1);
	pm_map(&map, 32 * MiB);
	assert_int_equal(phys_boot_memory(&p), -EINVAL);
	expect("debug_guardpage_minorder=6: at most 5");
}

/* ---- page_ext
 * ------------------------------------------------------------------------ */

static void test_ext(void **state)
{
	u64 none, section, bytes;
	struct page_ext *a, *b;
	struct page *page;

	(void)state;
	pm_boot(512 * MiB, 1);
	none = totalram_pages();
	assert_int_equal(phys_sys.page_ext.entry_size, 0);
	assert_null(lookup_page_ext(alloc_page(GFP_KERNEL)));
	assert_int_equal(page_ext_online(1), 0);
	assert_null(phys_sys.sections[1].page_ext);
	assert_false(base_watched());
	pm_shutdown();
	boot_debug(512 * MiB, (struct mm_debug_params){.page_owner = true});
	assert_true(base_watched());
	bytes = phys_sys.page_ext.reserved_bytes;
	assert_int_equal(phys_sys.page_ext.entry_size,
			 sizeof(struct page_ext) + sizeof(struct page_owner));
	assert_int_equal(bytes, (512 * MiB >> PAGE_SHIFT) *
					phys_sys.page_ext.entry_size);
	assert_int_equal(totalram_pages(), none - (bytes >> PAGE_SHIFT) -
						   base_sys.depot.nr_chunks);
	page = alloc_page(GFP_KERNEL);
	a = lookup_page_ext(page);
	b = lookup_page_ext(page + 1);
	assert_int_equal((u8 *)b - (u8 *)a, phys_sys.page_ext.entry_size);
	assert_int_equal(a->flags, 3);
	assert_ptr_equal(page_ext_data(a, PAGE_EXT_PAGE_OWNER),
			 page_owner_of(page));
	/* Deferred: none yet; made: a clean one. */
	section = page_zone(page)->deferred_next;
	page = pfn_to_page(section << PFN_SECTION_SHIFT);
	assert_int_equal(phys_sys.sections[section].state, SECTION_DEFERRED);
	assert_null(lookup_page_ext(page));
	assert_ptr_equal(pfn_to_online_page(page_to_pfn(page)), page);
	assert_int_equal(lookup_page_ext(page)->flags, 0);
	assert_null(page_owner_of(page));
}

/* What hot-adding and removing a section asks for. */
static void test_ext_hotplug(void **state)
{
	struct mem_section *sec;
	u64 free, need;
	void *boot;

	(void)state;
	boot_debug(512 * MiB, (struct mm_debug_params){.page_owner = true});
	sec = &phys_sys.sections[1];
	boot = sec->page_ext;
	assert_non_null(boot);
	/* Boot's memory stays, whatever happens. */
	page_ext_offline(1);
	assert_ptr_equal(sec->page_ext, boot);
	sec->page_ext = NULL;
	need = PFN_UP(PAGES_PER_SECTION * phys_sys.page_ext.entry_size);
	drain_all_pages();
	free = nr_free_pages();
	fail_arm_nth(1u << FAIL_PAGE_ALLOC, 1, false);
	assert_int_equal(page_ext_online(1), -ENOMEM);
	assert_int_equal(fail_disarm().fired, 1);
	assert_null(sec->page_ext);
	assert_int_equal(page_ext_online(1), 0);
	assert_non_null(sec->page_ext);
	drain_all_pages();
	assert_int_equal(nr_free_pages(), free - need);
	page_ext_offline(1);
	assert_null(sec->page_ext);
	drain_all_pages();
	assert_int_equal(nr_free_pages(), free);
	sec->page_ext = boot;
}

/* ---- owners
 * -------------------------------------------------------------------------- */

static void test_owner(void **state)
{
	const struct page_owner *o;
	static char buf[4096];
	struct page *page;
	struct seq_buf s;
	char want[256];
	u64 ts;

	(void)state;
	boot_debug(64 * MiB, (struct mm_debug_params){.page_owner = true});
	expect("page_owner is enabled");
	port_charge_ns(1000);
	ts = port_now_ns();
	page = alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_COMP, 2);
	o = page_owner_of(page + 3);
	assert_non_null(o);
	assert_true(page_owner_allocated(page + 3));
	assert_int_equal(o->order, 2);
	assert_int_equal(o->gfp, GFP_HIGHUSER_MOVABLE | __GFP_COMP);
	assert_int_equal(o->migratetype, MIGRATE_MOVABLE);
	assert_string_equal(o->comm, port_current()->comm);
	assert_int_equal(o->pid, port_current()->pid);
	assert_true(o->ts_ns >= ts && o->ts_ns <= port_now_ns());
	assert_int_equal(o->free_ts_ns, 0);
	assert_non_null(o->caller);
	seq_buf_init(&s, buf, sizeof(buf));
	page_owner_print(&s, page);
	snprintf(want, sizeof(want),
		 "Page allocated via order 2, mask %#x("
		 "GFP_HIGHUSER_MOVABLE|__GFP_COMP), pid 0, tgid 0 (boot), "
		 "ts %llu ns, free_ts 0 ns\n"
		 "PFN 0x%llx type Movable Block %llu type Movable Flags "
		 "0x%x(head|charged)\n",
		 o->gfp, (unsigned long long)o->ts_ns,
		 (unsigned long long)page_to_pfn(page),
		 (unsigned long long)page_to_pfn(page) >> 9, page->flags);
	assert_memory_equal(seq_buf_str(&s), want, strlen(want));
	port_charge_ns(1000);
	__free_pages(page, 2);
	assert_false(page_owner_allocated(page));
	assert_true(o->free_ts_ns >= ts + 1000);
	/* A block that is split is many owners'. */
	page = alloc_pages(GFP_KERNEL, 3);
	split_page(page, 3);
	assert_int_equal(page_owner_of(page)->order, 0);
	assert_int_equal(page_owner_of(page + 7)->order, 0);
	__free_page(page + 7);
	assert_false(page_owner_allocated(page + 7));
	assert_true(page_owner_allocated(page + 6));
}

/* Contents that move are the same owner's; who had the frame before is not. */
static void test_owner_moves(void **state)
{
	const struct page_owner *o;
	struct page *old, *new;
	u64 ts;

	(void)state;
	boot_debug(64 * MiB, (struct mm_debug_params){.page_owner = true});
	port_current()->pid = 42;
	new = alloc_page(GFP_KERNEL);
	__free_page(new);
	port_current()->pid = 41;
	old = alloc_page(GFP_HIGHUSER_MOVABLE);
	ts = page_owner_of(old)->ts_ns;
	port_charge_ns(1000);
	port_current()->pid = 0;
	o = page_owner_of(new);
	copy_page_owner(new, old);
	assert_int_equal(o->pid, 41);
	assert_int_equal(o->ts_ns, ts);
	assert_int_equal(o->gfp, GFP_HIGHUSER_MOVABLE);
	assert_int_equal(o->migratetype, MIGRATE_MOVABLE);
	assert_ptr_equal(o->caller, page_owner_of(old)->caller);
	assert_int_equal(o->free_pid, 42);
}

static void test_owner_dump(void **state)
{
	struct page *page;

	(void)state;
	boot_debug(64 * MiB, (struct mm_debug_params){.page_owner = true});
	page = alloc_page(GFP_KERNEL);
	SetPageLocked(page);
	__free_page(page);
	expect("page_owner tracks the page as allocated");
	expect("page last allocated via order 0, migratetype Unmovable, "
	       "gfp_mask");
	expect("(GFP_KERNEL), pid 0, tgid 0 (boot), ts ");
	pm_log_clear();
	page = alloc_page(GFP_KERNEL);
	__free_page(page);
	__free_page(page);
	expect("page_owner tracks the page as freed");
	pm_log_clear();
	bad_page(pfn_to_page(1), "test");
	expect("page_owner info is not present");
}

/* ---- bad frames
 * ----------------------------------------------------------------------- */

enum wrong {
	FREE_TWICE,
	FREE_TWICE_DRAINED,
	PUT_TWICE,
	FREE_SMALLER,
	FREE_LARGER,
	FREE_TAIL,
	FREE_MAPPED,
	FREE_LOCKED,
	FREE_LRU,
	FREE_SLAB,
	FREE_MAPPING,
	FREE_NEGATIVE,
	CHANGED_FLAGS,
	CHANGED_COUNT,
	CHANGED_MAPCOUNT,
	CHANGED_WORD,
	CHANGED_TAIL,
	ORDER_BROKEN
};

static const struct bad_case {
	enum wrong wrong;
	unsigned int order;
	gfp_t gfp;
	const char *why;
	bool in_use; /* the block stays the caller's: it leaks */
} bad_cases[] = {
	{FREE_TWICE, 0, 0, "freed while free", false},
	{FREE_TWICE, 3, 0, "freed while free", false},
	{FREE_TWICE, 3, __GFP_COMP, "freed while free", false},
	{FREE_TWICE, 5, __GFP_COMP, "freed while free", false},
	{FREE_TWICE, 10, 0, "freed while free", false},
	{FREE_TWICE_DRAINED, 0, 0, "freed while free", false},
	{FREE_TWICE_DRAINED, 2, 0, "freed while free", false},
	{PUT_TWICE, 0, 0, "freed while free", false},
	{PUT_TWICE, 4, __GFP_COMP, "freed while free", false},
	{FREE_SMALLER, 4, 0, "freed with wrong order", true},
	{FREE_SMALLER, 1, 0, "freed with wrong order", true},
	{FREE_SMALLER, 4, __GFP_COMP, "freed with wrong order", true},
	{FREE_LARGER, 0, 0, "freed with wrong order", true},
	{FREE_LARGER, 3, 0, "freed with wrong order", true},
	{FREE_LARGER, 3, __GFP_COMP, "freed with wrong order", true},
	{FREE_TAIL, 1, __GFP_COMP, "freed by a tail", true},
	{FREE_TAIL, 9, __GFP_COMP, "freed by a tail", true},
	{FREE_MAPPED, 0, 0, "nonzero mapcount", false},
	{FREE_MAPPED, 3, __GFP_COMP, "nonzero mapcount", false},
	{FREE_LOCKED, 0, 0, "PAGE_FLAGS_CHECK_AT_FREE", false},
	{FREE_LOCKED, 6, 0, "PAGE_FLAGS_CHECK_AT_FREE", false},
	{FREE_LRU, 0, 0, "PAGE_FLAGS_CHECK_AT_FREE", false},
	{FREE_SLAB, 2, __GFP_COMP, "PAGE_FLAGS_CHECK_AT_FREE", false},
	{FREE_MAPPING, 0, 0, "non-NULL mapping", false},
	{FREE_NEGATIVE, 0, 0, "refcount underflow", true},
	{FREE_NEGATIVE, 3, __GFP_COMP, "refcount underflow", true},
	{CHANGED_FLAGS, 0, 0, "PAGE_FLAGS_CHECK_AT_PREP", false},
	{CHANGED_FLAGS, 3, 0, "PAGE_FLAGS_CHECK_AT_PREP", false},
	{CHANGED_COUNT, 0, 0, "nonzero _refcount", false},
	{CHANGED_MAPCOUNT, 0, 0, "nonzero mapcount", false},
	{CHANGED_MAPCOUNT, 3, __GFP_COMP, "nonzero mapcount", false},
	{CHANGED_WORD, 5, 0, "corrupted free-list descriptor", false},
	{CHANGED_TAIL, 3, 0, "PAGE_FLAGS_CHECK_AT_PREP", false},
	{CHANGED_TAIL, 5, 0, "PAGE_FLAGS_CHECK_AT_PREP", false},
	{ORDER_BROKEN, 3, __GFP_COMP, "order of the block is no order", true},
};

/* Free PAGE, the whole of it, twice or as C says. */
static void do_wrong_free(const struct bad_case *c, struct page *page)
{
	switch (c->wrong) {
	case FREE_TWICE:
		__free_pages(page, c->order);
		__free_pages(page, c->order);
		return;
	case FREE_TWICE_DRAINED:
		__free_pages(page, c->order);
		drain_all_pages();
		__free_pages(page, c->order);
		return;
	case PUT_TWICE:
		put_page(page);
		put_page(page);
		return;
	case FREE_SMALLER:
		__free_pages(page, c->order - 1);
		return;
	case FREE_LARGER:
		__free_pages(page, c->order + 1);
		return;
	case FREE_TAIL:
		__free_pages(page + 1, 0);
		return;
	case ORDER_BROKEN:
		page[1].index = 77;
		put_page(page);
		return;
	default:
		__free_pages(page, c->order);
	}
}

/* Tamper with PAGE before it is freed, or with its free frame afterwards. */
static void do_wrong(const struct bad_case *c, struct page *page)
{
	if (c->wrong == FREE_MAPPED)
		page_mapcount_add(page, 1);
	if (c->wrong == FREE_LOCKED)
		SetPageLocked(page);
	if (c->wrong == FREE_LRU)
		SetPageLRU(page);
	if (c->wrong == FREE_SLAB)
		SetPageSlab(page);
	if (c->wrong == FREE_MAPPING)
		set_page_mapping_word(page, 0x5550);
	if (c->wrong == FREE_NEGATIVE)
		set_page_count(page, -3);
	do_wrong_free(c, page);
	if (c->wrong == CHANGED_FLAGS)
		SetPageDirty(page);
	if (c->wrong == CHANGED_COUNT)
		set_page_count(page, 1);
	if (c->wrong == CHANGED_MAPCOUNT)
		page_mapcount_add(page, 4);
	if (c->wrong == CHANGED_WORD)
		page->word = 0x1230;
	if (c->wrong == CHANGED_TAIL)
		SetPageReferenced(page + 1);
}

static u64 set_aside_of(const struct bad_case *c)
{
	if (c->in_use)
		return c->wrong == FREE_NEGATIVE || c->wrong == ORDER_BROKEN;
	switch (c->wrong) {
	case FREE_MAPPED:
	case FREE_LOCKED:
	case FREE_LRU:
	case FREE_SLAB:
	case FREE_MAPPING:
		return 1UL << c->order;
	default:
		return 1;
	}
}

static void run_bad_case(const struct bad_case *c, bool watched)
{
	struct page *page, *bad;
	u64 free, managed, lost, bad_frames = 1UL << c->order;
	struct mm_debug_params d = {.check_pages = watched};

	snprintf(doing, sizeof(doing),
		 "wrong %d, order %u, gfp %#x, watched %d", c->wrong, c->order,
		 c->gfp, watched);
	boot_debug(32 * MiB, d);
	phys_sys.tunables.check_pages = true;
	managed = totalram_pages();
	drain_all_pages();
	free = nr_free_pages();
	page = alloc_pages(GFP_KERNEL | c->gfp, c->order);
	assert_non_null(page);
	pm_log_clear();
	do_wrong(c, page);
	lost = c->in_use ? 1UL << c->order : set_aside_of(c);
	bad = page;
	if (!c->in_use && lost == 1)
		bad_frames = 1;
	if (c->wrong == CHANGED_TAIL)
		bad = page + 1;
	/* Where it is found only when it is wanted, this wants it. */
	drain_machine(bad, bad_frames, free - lost);
	expect_bad(c->why);
	assert_int_equal(phys_sys.debug.nr_set_aside, set_aside_of(c));
	assert_int_equal(phys_sys.nr_bad_pages, 1);
	assert_int_equal(totalram_pages(), managed);
	drain_all_pages();
	assert_int_equal(nr_free_pages(), free - lost);
	phys_check();
	pm_shutdown();
}

static void test_bad_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
		run_bad_case(&bad_cases[i], false);
		run_bad_case(&bad_cases[i], true);
	}
	doing[0] = '\0';
	pm_hardware(1, NULL, 1);
}

/* Reserved frames: nothing counts them, nothing changes. */
static void test_bad_reserved(void **state)
{
	struct page *page = NULL;
	u64 managed, free;

	(void)state;
	pm_boot(32 * MiB, 1);
	for (u64 pfn = 1; !page; pfn++) {
		if (pfn_valid(pfn) && PageReserved(pfn_to_page(pfn)))
			page = pfn_to_page(pfn);
	}
	drain_all_pages();
	managed = page_zone(page)->managed_pages;
	free = nr_free_pages();
	for (int i = 0; i < 3; i++) {
		pm_log_clear();
		if (i & 1)
			put_page(page);
		else
			__free_page(page);
		expect_bad("PAGE_FLAGS_CHECK_AT_FREE flag(s) set");
		expect("(reserved)");
		assert_int_equal(page_count(page), 1);
		assert_true(PageReserved(page));
	}
	pm_log_clear();
	__free_pages(page, 1);
	expect_bad("freed with wrong order");
	assert_int_equal(page_zone(page)->managed_pages, managed);
	assert_int_equal(phys_sys.debug.nr_set_aside, 0);
	assert_int_equal(nr_free_pages(), free);
	drain_machine(page, 1, free);
	phys_check();
}

/* Descriptors that describe nothing are reported, not followed. */
static void test_bad_poisoned(void **state)
{
	static const char *const why = "is uninitialized and poisoned";
	struct page *page;
	u64 section;

	(void)state;
	pm_boot(512 * MiB, 1);
	section = node_data(0)->node_zones[ZONE_DMA32].deferred_next;
	page = pfn_to_page(section << PFN_SECTION_SHIFT);
	assert_true(PagePoisoned(page));
	for (int i = 0; i < 2; i++) {
		pm_log_clear();
		__free_page(page);
		expect_bad(why);
		pm_log_clear();
		__free_pages(page, 3);
		expect_bad(why);
		pm_log_clear();
		put_page(page);
		expect_bad(why);
		/* Then as a removed section leaves them. */
		page_init_poison(page, 16);
		assert_true(PagePoisoned(page + 15));
	}
	assert_int_equal(phys_sys.nr_bad_pages, 6);
	assert_int_equal(phys_sys.debug.nr_set_aside, 0);
}

/* ---- free lists
 * ----------------------------------------------------------------------- */

/* What is overwritten in the descriptor of a free block. */
enum damage {
	DAMAGE_NEXT,
	DAMAGE_NEXT_NONE,
	DAMAGE_PREV,
	DAMAGE_BOTH,
	DAMAGE_ORDER,
	DAMAGE_TYPE,
	DAMAGE_FLAGS,
	DAMAGE_CLEARED,
	DAMAGE_COUNT,
	DAMAGE_MAPCOUNT,
	NR_DAMAGES
};

static void do_damage(struct page *page, enum damage what)
{
	if (what == DAMAGE_NEXT || what == DAMAGE_BOTH)
		page->next = 0x4141;
	if (what == DAMAGE_NEXT_NONE)
		page->next = PFN_NONE;
	if (what == DAMAGE_PREV || what == DAMAGE_BOTH)
		page->prev = 0xfffffff0;
	if (what == DAMAGE_ORDER)
		page->private += 1;
	if (what == DAMAGE_TYPE)
		page->private = 0x41414141;
	if (what == DAMAGE_FLAGS)
		SetPageLocked(page);
	if (what == DAMAGE_CLEARED)
		page->flags = 0;
	if (what == DAMAGE_COUNT)
		set_page_count(page, 2);
	if (what == DAMAGE_MAPCOUNT)
		page_mapcount_add(page, 7);
}

/* Five free blocks of ORDER, apart; the Kth on the list is damaged. */
static void run_damage(unsigned int order, int k, enum damage what)
{
	struct page *blocks[10], *victim;
	struct free_area *area;
	u64 free;

	snprintf(doing, sizeof(doing), "order %u, place %d, damage %d", order,
		 k, what);
	pm_boot(32 * MiB, 1);
	phys_sys.tunables.check_pages = true;
	for (int i = 0; i < 10; i++)
		blocks[i] = alloc_pages(GFP_KERNEL, order);
	for (int i = 0; i < 10; i += 2)
		__free_pages(blocks[i], order);
	drain_all_pages();
	free = nr_free_pages();
	area = &page_zone(blocks[0])->free_area[order];
	victim = page_list_first(&area->free_list[MIGRATE_UNMOVABLE]);
	assert_true(area->free_list[MIGRATE_UNMOVABLE].count >= 5);
	if (k < 0)
		victim = page_list_last(&area->free_list[MIGRATE_UNMOVABLE]);
	for (; k > 0; k--)
		victim = page_list_next(victim);
	if (what == DAMAGE_NEXT_NONE && !victim->next)
		what = DAMAGE_NEXT;
	pm_log_clear();
	do_damage(victim, what);
	/* Merging meets it too. */
	for (int i = 1; i < 10; i += 2)
		__free_pages(blocks[i], order);
	drain_all_pages();
	drain_machine(victim, 1, free + (5UL << order) - 1);
	expect_bad("");
	assert_int_equal(phys_sys.debug.nr_set_aside, 1);
	assert_true(PageReserved(victim));
	drain_all_pages();
	assert_int_equal(nr_free_pages(), free + (5UL << order) - 1);
	phys_check();
	pm_shutdown();
}

static void test_free_list(void **state)
{
	(void)state;
	for (unsigned int order = 0; order < 6; order += 5) {
		for (int what = 0; what < NR_DAMAGES; what++) {
			for (int k = -1; k < 4; k++)
				run_damage(order, k, (enum damage)what);
		}
	}
	doing[0] = '\0';
	pm_hardware(1, NULL, 1);
}

/* A link of a CPU's list: what lay below is lost, and counted. */
static void test_pcp_link(void **state)
{
	struct page *pages[8];
	struct zone *zone;
	u64 free, stored;

	(void)state;
	for (int drained = 0; drained < 2; drained++) {
		boot_debug(32 * MiB,
			   (struct mm_debug_params){.check_pages = true});
		for (int i = 0; i < 8; i++)
			pages[i] = alloc_page(GFP_KERNEL);
		drain_all_pages();
		zone = page_zone(pages[0]);
		for (int i = 0; i < 8; i++)
			__free_page(pages[i]);
		free = nr_free_pages();
		stored = (u64)pcp_count(&zone->pageset[0]);
		assert_int_equal(stored, 8);
		pages[5]->word = 0x4141414141414140;
		pm_log_clear();
		if (drained)
			drain_all_pages();
		/* The two above it are good; it and the five below are not. */
		drain_machine(pages[0], 0, free + 2);
		expect_bad("corrupted link of a per-CPU list");
		assert_int_equal(phys_sys.debug.nr_set_aside, 6);
		assert_int_equal(phys_sys.nr_bad_pages, 1);
		drain_all_pages();
		assert_int_equal(nr_free_pages(), free + 2);
		phys_check();
		pm_shutdown();
	}
	pm_hardware(1, NULL, 1);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_poison),
		T(test_poison_block),
		T(test_poison_deferred),
		T(test_init),
		T(test_precedence),
		T(test_unmapped),
		T(test_unmapped_poison),
		T(test_guards),
		T(test_guards_random),
		T(test_guard_order),
		T(test_ext),
		T(test_ext_hotplug),
		T(test_owner),
		T(test_owner_moves),
		T(test_owner_dump),
		T(test_bad_table),
		T(test_bad_reserved),
		T(test_bad_poisoned),
		T(test_free_list),
		T(test_pcp_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
