/* SPDX-License-Identifier: MIT */
/*
 * sim_machine.h - a booted sim machine for a test, with swap on a memory disk.
 *
 *	TM_RUN(body, .mem = 8UL << 20, .swap_pages = 4096, .seed = seed);
 *
 * BODY(arg) runs as the machine's first thread. Afterwards everything that
 * was free before it must be free again, and all checkers pass; then the
 * machine is gone. CHECK() prints where, the seed and the tail of the
 * machine's log, and ends the program: a failure must not unwind through a
 * simulated thread.
 */
#ifndef TESTS_SIM_MACHINE_H
#define TESTS_SIM_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/boot.h>
#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>
#include <mmkit/report.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/seqbuf.h"
#include "base/wait.h"
#include "base_seed.h"
#include "books.h"
#include "cache/swap.h"
#include "kmem/slab.h"
#include "memcg/memcg.h"
#include "pgtable/huge.h"
#include "pgtable/kernel.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"
#include "sim.h"
#include "space/space.h"
#include "task_use.h"

struct tm_config {
	u64 mem;	/* bytes of RAM; 0: 16 MiB */
	u32 swap_pages; /* header included; 0: no swap */
	int cpus;	/* 0: 1 */
	int nodes;	/* 0: 1; RAM in equal parts, CPU i on node i % nodes */
	u64 seed;
	bool explore;
	u32 stall;	  /* as in sim_config */
	u64 max_possible; /* RAM may be added up to here */
	bool no_audit;	  /* BODY leaves frames behind on purpose */
	bool shared_ram;  /* frames can be mapped twice: vmalloc works */
	const struct paging_format *format; /* NULL: x86-64 */
	const char *policy;		    /* NULL: classic */
	int (*body)(void *arg);
	void *arg;
};

struct tm_state {
	struct tm_config cfg;
	struct port_bdev *disk;
	u64 free_start, swap_start;
	struct books books;
	u64 digest, end_ns; /* results */
	size_t log_len;
	char log[1 << 16];
};

MM_UNUSED static struct tm_state tm;

/* What the test was doing, for the failure's message. */
MM_UNUSED static char tm_context[256];

MM_UNUSED static _Noreturn void tm_fail(const char *what, const char *file,
					int line)
{
	size_t tail = tm.log_len > 3000 ? tm.log_len - 3000 : 0;

	fprintf(stderr, "%.*s", (int)(tm.log_len - tail), tm.log + tail);
	fprintf(stderr, "FAILED %s:%d: %s\n  seed %llu cpus %d explore %d %s\n",
		file, line, what, (unsigned long long)tm.cfg.seed, tm.cfg.cpus,
		tm.cfg.explore, tm_context);
	fflush(NULL);
	abort();
}

#define CHECK(cond)                                         \
	do {                                                \
		if (!(cond))                                \
			tm_fail(#cond, __FILE__, __LINE__); \
	} while (0)

#define CHECK_EQ(a, b)                                                     \
	do {                                                               \
		long long a_ = (long long)(a), b_ = (long long)(b);        \
		if (a_ != b_) {                                            \
			char text_[256];                                   \
			snprintf(text_, sizeof(text_),                     \
				 "%s == %s (%lld, %lld)", #a, #b, a_, b_); \
			tm_fail(text_, __FILE__, __LINE__);                \
		}                                                          \
	} while (0)

static inline void tm_console(void *arg, int level, const char *text,
			      size_t len)
{
	(void)arg;
	if (level == 0)
		fprintf(stderr, "%.*s", (int)len, text);
	/* The newest text matters: begin again when full. */
	if (tm.log_len + len > sizeof(tm.log))
		tm.log_len = 0;
	if (len <= sizeof(tm.log)) {
		memcpy(tm.log + tm.log_len, text, len);
		tm.log_len += len;
	}
}

MM_UNUSED static bool tm_logged(const char *text)
{
	return memmem(tm.log, tm.log_len, text, strlen(text)) != NULL;
}

/* ---- a disk with a swap header
 * ------------------------------------------------ */

static inline void tm_bio_end(struct port_bio *bio)
{
	complete(bio->private);
}

/* Write one page of BYTES at page INDEX of DISK, waiting. The status. */
static inline int tm_disk_write(struct port_bdev *disk, u64 index,
				const void *bytes)
{
	struct page *page = alloc_page(GFP_KERNEL);
	struct completion done;
	struct port_bio bio = {0};

	CHECK(page);
	memcpy(page_view(page), bytes, PAGE_SIZE);
	init_completion(&done);
	bio.bdev = disk;
	bio.op = PORT_BIO_WRITE;
	bio.sector = index * (PAGE_SIZE / PORT_SECTOR_SIZE);
	bio.nr_pages = 1;
	bio.pfn[0] = page_to_pfn(page);
	bio.end_io = tm_bio_end;
	bio.private = &done;
	port_bio_submit(&bio);
	wait_for_completion(&done);
	__free_page(page);
	return bio.status;
}

static inline struct port_bdev *tm_disk(u32 pages)
{
	struct sim_disk_config dc = {.name = "tmdisk",
				     .size_bytes = (u64)pages << PAGE_SHIFT};
	struct port_bdev *disk;

	CHECK_EQ(sim_disk_open(&disk, &dc, NULL), 0);
	return disk;
}

static inline struct port_bdev *tm_swap_disk(u32 pages)
{
	static _Alignas(8) char header[PAGE_SIZE];
	struct port_bdev *disk = tm_disk(pages);

	swap_header_init(header, pages);
	CHECK_EQ(tm_disk_write(disk, 0, header), 0);
	return disk;
}

/* ---- coming to rest
 * -------------------------------------------------------------- */

struct tm_caches {
	u32 nr;
	struct kmem_cache *cache[KMEM_MAX_CACHES];
};

static inline void tm_note_cache(struct kmem_cache *s, void *arg)
{
	struct tm_caches *c = arg;

	c->cache[c->nr++] = s;
}

/* A user thread that comes and goes: afterwards its CPU, idle, has no address
 * space of the past loaded. */
static inline void tm_visit(void *arg)
{
	struct mm_struct *mm = NULL;
	struct mm_layout l;

	(void)arg;
	mm_default_layout(&l);
	CHECK_EQ(mm_create(&l, &mm), 0);
	mm_task_attach(port_current(), mm);
	mm_put(mm);
	mm_task_exit(port_current());
}

static inline void tm_visit_cpus(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct port_thread *t;

		CHECK_EQ(sim_thread_start_on(&t, "visit", cpu, tm_visit, NULL),
			 0);
		port_thread_join(t);
	}
}

/* Let daemons finish, give everything back that is only stored somewhere. */
static inline u64 tm_settle(void)
{
	static struct tm_caches caches;

	for (int i = 0; i < 8; i++) {
		port_park(5 * 1000 * 1000);
		tm_visit_cpus();
		lru_add_drain_all();
		memcg_drain(NULL);
		books_drop_orphans();
		epoch_drain();
	}
	caches.nr = 0;
	slab_for_each(tm_note_cache, &caches);
	for (int round = 0; round < 2; round++) {
		for (u32 i = 0; i < caches.nr; i++) {
			slab_drain(caches.cache[i]);
			slab_check(caches.cache[i]);
			kmem_cache_shrink(caches.cache[i]);
		}
	}
	/* What these were charged to may go now. */
	memcg_drain(NULL);
	epoch_drain();
	drain_all_pages();
	return nr_free_pages() + kmem_part_frames();
}

/*
 * Of vmalloc's records some always stay, and stand in whatever slab they were
 * taken from: as many of them may hold another number of frames.
 */
static inline struct slab_count tm_areas(void)
{
	struct slab_count n = {0};

	if (kmem_sys.vm.areas.cache)
		slab_counts(kmem_sys.vm.areas.cache, &n);
	return n;
}

static inline u64 tm_more_frames(const struct slab_count *before)
{
	struct slab_count now = tm_areas();

	if (now.active != before->active || !now.slabs)
		return 0;
	return (now.slabs - before->slabs)
	       << kmem_sys.vm.areas.cache->layout.order;
}

/* Every checker there is, on a machine at rest. */
static inline void tm_check_all(void)
{
	pg_data_t *pgdat;

	phys_check();
	swap_check();
	for (int node = 0; node < MM_MAX_NODES; node++) {
		pgdat = NODE_DATA(node);
		if (pgdat)
			lru_check(&pgdat->lruvec);
	}
	memcg_check();
}

static inline void tm_audit(void)
{
	static char text[16384];
	struct seq_buf s;
	int findings;

	seq_buf_init(&s, text, sizeof(text));
	findings = mm_audit(&s);
	if (findings) {
		fprintf(stderr, "%s", text);
		tm_fail("audit is clean", __FILE__, __LINE__);
	}
}

/* ---- the machine
 * ------------------------------------------------------------------- */

/* The main thread runs in MM from now on (NULL: in none, a kernel thread). */
static inline void tm_use(struct mm_struct *mm)
{
	task_use(mm);
	if (!mm)
		port_current()->flags |= PF_KTHREAD;
}

static inline int tm_main(void *arg)
{
	static struct mm_boot_node nodes[MM_MAX_NODES];
	struct e820_table *map = arg;
	struct mm_boot_params bp = {.map = map,
				    .policy = tm.cfg.policy,
				    .max_possible = tm.cfg.max_possible,
				    .arch = tm.cfg.format ? tm.cfg.format->name
							  : NULL};
	u64 free_end, part, tables;
	struct slab_count areas;
	int ret;

	if (tm.cfg.nodes > 1) {
		part = tm.cfg.mem / (u64)tm.cfg.nodes;
		for (int i = 0; i < tm.cfg.nodes; i++)
			nodes[i] = (struct mm_boot_node){
				(u64)i * part, (u64)(i + 1) * part, i};
		bp.nodes = nodes;
		bp.nr_nodes_ranges = (u32)tm.cfg.nodes;
	}

	ret = mm_boot(&bp);
	CHECK_EQ(ret, 0);
	if (tm.cfg.swap_pages) {
		tm.disk = tm_swap_disk(tm.cfg.swap_pages);
		CHECK_EQ(swapon(tm.disk, -2), 0);
	}
	tm.free_start = tm_settle();
	tables = pgtable_sys.nr_tables;
	areas = tm_areas();
	tm.swap_start = get_nr_swap_pages();
	books_open(&tm.books);
	ret = tm.cfg.body(tm.cfg.arg);
	tm_use(NULL);
	free_end = tm_settle();
	tm.digest = mm_stats_digest();
	tm.end_ns = sim_now_ns();
	tm_check_all();
	CHECK_EQ(space_sys.nr_mms, 0);
	CHECK_EQ(phys_sys.nr_bad_pages, 0);
	CHECK_EQ(space_sys.committed, 0);
	if (!tm.cfg.no_audit) {
		/* Tables of the kernel stay once they were needed. */
		free_end += pgtable_sys.nr_tables - tables;
		free_end += tm_more_frames(&areas);
		/* So does the list of groups by id. */
		for (u32 i = 0; i < GROUP_LEAFS; i++)
			free_end += phys_sys.hot.groups[i] != NULL;
		/* And a policy's filters, while it is the policy. */
		free_end += reclaim_sys.mglru.nr_filters;
		/* Zeroes of 2 MiB wait for the next who reads them. */
		if (space_sys.thp.zero)
			free_end += HPAGE_PMD_NR;
		/* And what is known of who uses frames. */
		if (space_sys.numa.history)
			free_end += PFN_UP(space_sys.numa.history_size * 4);
		CHECK_EQ(free_end, tm.free_start);
		CHECK_EQ(books_close(&tm.books), 0);
	}
	mm_shutdown();
	return ret;
}

static inline int tm_run(const struct tm_config *cfg)
{
	static struct e820_table map;
	static u8 cpu_node[MM_NR_CPUS];
	struct sim_config sc = {0};
	u64 mem = cfg->mem ? cfg->mem : 16UL << 20;
	int ret;

	memset(&tm, 0, sizeof(tm));
	tm.cfg = *cfg;
	if (!tm.cfg.cpus)
		tm.cfg.cpus = 1;
	for (int i = 0; i < MM_NR_CPUS; i++)
		cpu_node[i] = (u8)(cfg->nodes > 1 ? i % cfg->nodes : 0);
	sc.cpus = tm.cfg.cpus;
	sc.cpu_node = cpu_node;
	sc.seed = cfg->seed;
	sc.explore = cfg->explore;
	sc.stall = cfg->stall;
	sc.shared_ram = cfg->shared_ram;
	sc.format = cfg->format;
	sc.console = tm_console;
	sc.console_level = 6;
	e820_init(&map);
	CHECK_EQ(e820_add(&map, 0, 0x9f000, E820_TYPE_RAM), 0);
	CHECK_EQ(e820_add(&map, 0x100000, mem - 0x100000, E820_TYPE_RAM), 0);
	mm_reset();
	CHECK_EQ(sim_init(&sc), 0);
	ret = sim_run(tm_main, &map);
	CHECK_EQ(ret, 0);
	sim_shutdown();
	mm_reset();
	return ret;
}

#define TM_RUN(fn, ...) tm_run(&(struct tm_config){.body = (fn), __VA_ARGS__})

/* ---- small helpers
 * ------------------------------------------------------------------- */

static inline struct mm_struct *tm_mm(void)
{
	struct mm_struct *mm = NULL;
	struct mm_layout l;

	mm_default_layout(&l);
	CHECK_EQ(mm_create(&l, &mm), 0);
	return mm;
}

#define TM_ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define TM_RW	(PROT_READ | PROT_WRITE)

static inline uva_t tm_map(struct mm_struct *mm, u64 pages)
{
	s64 at = do_mmap(mm, 0, pages << PAGE_SHIFT, TM_RW, TM_ANON);

	CHECK(at > 0);
	return (uva_t)at;
}

/* The word at VA of the running task; a signal fails the test. */
static inline u64 tm_load(uva_t va)
{
	u64 v;

	CHECK_EQ(sim_copy_from_user(&v, va, sizeof(v)), 0);
	return v;
}

static inline void tm_store(uva_t va, u64 v)
{
	CHECK_EQ(sim_copy_to_user(va, &v, sizeof(v)), 0);
}

/* A space's mappings, to be compared before and after. */
struct tm_maps {
	u32 nr;
	struct mm_map_info m[512];
};

static inline void tm_maps_one(const struct mm_map_info *m, void *arg)
{
	struct tm_maps *maps = arg;

	CHECK(maps->nr < ARRAY_SIZE(maps->m));
	maps->m[maps->nr++] = *m;
}

static inline void tm_maps_get(struct mm_struct *mm, struct tm_maps *out)
{
	out->nr = 0;
	mm_for_each_map(mm, tm_maps_one, out);
}

static inline bool tm_maps_same(const struct tm_maps *a,
				const struct tm_maps *b)
{
	if (a->nr != b->nr)
		return false;
	for (u32 i = 0; i < a->nr; i++)
		if (a->m[i].start != b->m[i].start ||
		    a->m[i].end != b->m[i].end ||
		    a->m[i].prot != b->m[i].prot ||
		    a->m[i].grows_down != b->m[i].grows_down)
			return false;
	return true;
}

/* The entry at VA, 0 if there is no table. */
static inline pte_t tm_pte(struct mm_struct *mm, uva_t va)
{
	struct pt_slot slot;

	if (!pt_lookup(&mm->pt, va, &slot))
		return (pte_t){0};
	return pt_get(&slot);
}

/* One try of reclaim at the page at VA; true when the frame is gone. */
static inline bool tm_reclaim_one(struct mm_struct *mm, uva_t va)
{
	struct scan_control sc = {.gfp = GFP_KERNEL,
				  .may_writepage = true,
				  .may_unmap = true,
				  .may_swap = true};
	struct reclaim_stat stat = {0};
	pte_t e = tm_pte(mm, va);
	struct page_list list;
	struct page *page;

	if (pte_swap(e)) {
		page = lookup_swap_cache(pte_to_swp_entry(e));
		if (!page)
			return true;
	} else {
		CHECK(pte_present(e) && !pte_special(e));
		page = pfn_to_page(pte_pfn(e));
		get_page(page);
	}
	lru_add_drain_all();
	page_list_init(&list);
	if (lru_isolate_page(page)) {
		put_page(page);
		ClearPageActive(page);
		page_list_add(&list, page);
		shrink_page_list(&list, page_zone(page)->zone_pgdat, &sc,
				 &stat);
		page = page_list_pop(&list);
		if (page)
			lru_putback_page(page);
	} else {
		put_page(page);
	}
	return false;
}

/* Write the page at VA to swap and free its frame. */
static inline void tm_swap_out(struct mm_struct *mm, uva_t va)
{
	for (int i = 0; i < 50; i++) {
		if (tm_reclaim_one(mm, va))
			return;
		port_park(1000 * 1000);
	}
	tm_fail("the page goes to swap", __FILE__, __LINE__);
}

/* Is this a long run (make soak)? */
static inline bool tm_soak(void)
{
	return getenv("SOAK") != NULL;
}

#endif
