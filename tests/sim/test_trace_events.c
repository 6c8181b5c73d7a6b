/* SPDX-License-Identifier: MIT */
/*
 * What tracepoints tell is what happened: sums over their records are the
 * counters that are kept anyway, and who takes a lock gives it back.
 */
#include "calls.h"

#include <mmkit/cma.h>
#include <mmkit/memcg.h>
#include <mmkit/percpu.h>
#include <mmkit/uaccess.h>

#include "cache/filemap.h"
#include "trace_ears.h"

/* ---- resident sizes, TLBs, locks
 * ----------------------------------------------------------------------- */

static int rss_body(void *arg)
{
	struct port_tlb_counts before, after;
	struct mm_struct *mm = tm_mm();
	struct trace_record r;
	char byte = 1;
	uva_t at;

	(void)arg;
	tm_use(mm);
	listen_to("rss_stat tlb mmap_lock page_fault_kernel");
	port_tlb_counts(&before);
	at = tm_map(mm, 64);
	for (u64 i = 0; i < 64; i++)
		tm_store(at + P(i), i);
	hush();
	/* Each change is told with the sum that it made. */
	CHECK(count(TRACE_RSS_STAT, "mm_id", mm->serial, &r) > 0);
	CHECK_EQ(count(TRACE_RSS_STAT, "member", 1, &r),
		 count(TRACE_RSS_STAT, NULL, 0, NULL));
	CHECK_EQ(trace_field(&r, "size"), mm_counter_get(mm, MM_ANONPAGES)
						  << PAGE_SHIFT);
	CHECK_EQ(trace_field(&r, "curr"), 1);
	/* Asked for, had and given back, as often. */
	CHECK(count(TRACE_MMAP_LOCK_START_LOCKING, "write", 1, NULL) > 0);
	CHECK_EQ(count(TRACE_MMAP_LOCK_START_LOCKING, NULL, 0, NULL),
		 count(TRACE_MMAP_LOCK_RELEASED, NULL, 0, NULL));
	CHECK_EQ(count(TRACE_MMAP_LOCK_ACQUIRE_RETURNED, "success", 1, NULL),
		 count(TRACE_MMAP_LOCK_RELEASED, NULL, 0, NULL));
	/* One CPU: its own TLB, and nobody is asked. */
	forget();
	listen_to("tlb rss_stat page_fault_kernel");
	CHECK_EQ(do_munmap(mm, at, P(8)), 0);
	CHECK_EQ(do_madvise(mm, at + P(8), P(40), 4), 0);
	CHECK_EQ(copy_to_user(mm, at + P(10), &byte, 1), 0);
	CHECK_EQ(copy_to_user(mm, at + P(10), &byte, 1), 0);
	hush();
	port_tlb_counts(&after);
	CHECK_EQ(after.remote, before.remote);
	CHECK_EQ(count(TRACE_TLB_FLUSH, "reason", 4, NULL), 0);
	CHECK(count(TRACE_TLB_FLUSH, "reason", 3, &r) >= 2);
	/* 40 pages are more than one by one. */
	CHECK_EQ(count(TRACE_TLB_FLUSH, "pages", 8, NULL), 1);
	CHECK(count(TRACE_TLB_FLUSH, "pages", ~0ul, NULL) >= 1);
	CHECK_EQ(count(TRACE_RSS_STAT, "size", P(17), NULL), 1);
	/* The kernel's own access, once: then the page is there. */
	CHECK_EQ(count(TRACE_PAGE_FAULT_KERNEL, NULL, 0, &r), 1);
	CHECK_EQ(trace_field(&r, "address"), at + P(10));
	CHECK_EQ(trace_field(&r, "error_code"), 2);
	CHECK_EQ(trace_field(&r, "mm"), mm->serial);
	forget();
	mm_put(mm);
	return 0;
}

static void rss(void **state)
{
	(void)state;
	TM_RUN(rss_body);
}

/* ---- whose a lock is
 * ----------------------------------------------------------------------- */

/* The paths of what was told of mmap locks, each once, in order. */
static void paths_told(char *out, size_t size)
{
	char text[256], last[128] = "", *path;
	struct trace_cursor c;
	struct trace_record r;
	struct seq_buf s;

	*out = '\0';
	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r)) {
		seq_buf_init(&s, text, sizeof(text));
		trace_show_fields(&r, &s);
		path = strstr(seq_buf_str(&s), "memcg_path=");
		CHECK(path != NULL);
		path = strtok(path + 11, " ");
		if (strcmp(path, last)) {
			snprintf(last, sizeof(last), "%s", path);
			snprintf(out + strlen(out), size - strlen(out), "%s ",
				 path);
		}
	}
}

static struct mm_struct *lent;

static void looker(void *arg)
{
	(void)arg;
	mmap_read_lock(lent);
	mmap_read_unlock(lent);
}

static int path_body(void *arg)
{
	static const char long_name[] =
		"a-name-that-is-longer-than-a-path-may-be-in-one-record-of-it";
	struct mm_struct *mm = tm_mm();
	struct port_thread *t;
	char seen[512];
	u16 shop, till, far;

	(void)arg;
	CHECK_EQ(memcg_create(0, &shop), 0);
	CHECK_EQ(memcg_set_name(shop, "shop"), 0);
	CHECK_EQ(memcg_create(shop, &till), 0);
	CHECK_EQ(memcg_set_name(till, "till"), 0);
	CHECK_EQ(memcg_create(till, &far), 0);
	CHECK_EQ(memcg_set_name(far, long_name), 0);
	tm_use(mm);
	lent = mm;
	listen_to("mmap_lock");
	(void)tm_map(mm, 1);
	CHECK_EQ(memcg_attach(port_current(), shop), 0);
	(void)tm_map(mm, 1);
	CHECK_EQ(memcg_attach(port_current(), till), 0);
	(void)tm_map(mm, 1);
	CHECK_EQ(memcg_attach(port_current(), far), 0);
	(void)tm_map(mm, 1);
	hush();
	paths_told(seen, sizeof(seen));
	CHECK(!strcmp(seen, "/ /shop /shop/till "
			    "/shop/till/a-name-that-is-longer-than-a-"
			    "path-may-be-in-one-recor "));
	CHECK_EQ(memcg_attach(port_current(), shop), 0);
	forget();
	listen_to("mmap_lock");
	mmap_write_lock(mm);
	mmap_write_unlock(mm);
	/* Somebody else's look at it: it is the space's group, not his. */
	CHECK_EQ(sim_thread_start_on(&t, "looker", 0, looker, NULL), 0);
	port_thread_join(t);
	hush();
	paths_told(seen, sizeof(seen));
	CHECK(!strcmp(seen, "/shop "));
	CHECK_EQ(count(TRACE_MMAP_LOCK_RELEASED, NULL, 0, NULL), 2);
	CHECK_EQ(count(TRACE_MMAP_LOCK_RELEASED, "write", 1, NULL), 1);
	forget();
	CHECK_EQ(memcg_attach(port_current(), 0), 0);
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(memcg_remove(far), 0);
	CHECK_EQ(memcg_remove(till), 0);
	CHECK_EQ(memcg_remove(shop), 0);
	return 0;
}

static void paths(void **state)
{
	(void)state;
	TM_RUN(path_body);
}

static struct mm_struct *shared;
static uva_t shared_at;

static void toucher(void *arg)
{
	(void)arg;
	tm_use(shared);
	for (u64 i = 0; i < 8; i++)
		tm_store(shared_at + P(i), i);
	tm_use(NULL);
}

static int shootdown_body(void *arg)
{
	struct port_tlb_counts before, after;
	struct port_thread *t;

	(void)arg;
	shared = tm_mm();
	tm_use(shared);
	shared_at = tm_map(shared, 8);
	CHECK_EQ(sim_thread_start_on(&t, "other", 1, toucher, NULL), 0);
	port_thread_join(t);
	listen_to("tlb");
	port_tlb_counts(&before);
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(do_munmap(shared, shared_at + P(i), P(1)), 0);
	hush();
	port_tlb_counts(&after);
	/* Who asked has told it as often as it is counted. */
	CHECK_EQ(count(TRACE_TLB_FLUSH, "reason", 4, NULL),
		 after.remote - before.remote);
	CHECK_EQ(count(TRACE_TLB_FLUSH, "reason", 1, NULL),
		 after.received - before.received);
	forget();
	mm_put(shared);
	return 0;
}

static void shootdowns(void **state)
{
	(void)state;
	TM_RUN(shootdown_body, .cpus = 2);
}

/* ---- frames and per-CPU objects
 * ----------------------------------------------------------------------- */

static int frames_body(void *arg)
{
	struct page *page[200];
	struct trace_record r;
	void *obj[40];

	(void)arg;
	listen_to("kmem percpu");
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		CHECK((page[i] = alloc_page(GFP_KERNEL)) != NULL);
	release_pages(page, ARRAY_SIZE(page));
	for (u32 i = 0; i < ARRAY_SIZE(obj); i++)
		CHECK((obj[i] = __alloc_percpu(2048, 8)) != NULL);
	CHECK(!__alloc_percpu_gfp(32768, 4096, GFP_NOWAIT | __GFP_NOWARN));
	for (u32 i = 0; i < ARRAY_SIZE(obj); i++)
		free_percpu(obj[i]);
	(void)percpu_reclaim();
	hush();
	CHECK_EQ(count(TRACE_MM_PAGE_FREE_BATCHED, NULL, 0, NULL),
		 ARRAY_SIZE(page));
	/* Stacks are filled from the zone, in stock. */
	CHECK(count(TRACE_MM_PAGE_ALLOC_ZONE_LOCKED, "percpu_refill", 1,
		    NULL) >= 100);
	CHECK_EQ(count(TRACE_PERCPU_ALLOC_PERCPU, NULL, 0, &r),
		 ARRAY_SIZE(obj));
	CHECK_EQ(trace_field(&r, "size"), 2048);
	CHECK_EQ(trace_field(&r, "bytes_alloc"), 2048 * 2);
	CHECK_EQ(trace_field(&r, "ptr"), (u64)(uintptr_t)obj[39]);
	CHECK_EQ(trace_field(&r, "ptr") - trace_field(&r, "off"),
		 trace_field(&r, "base_addr"));
	CHECK_EQ(count(TRACE_PERCPU_FREE_PERCPU, NULL, 0, NULL),
		 ARRAY_SIZE(obj));
	CHECK_EQ(count(TRACE_PERCPU_ALLOC_PERCPU_FAIL, "size", 32768, &r), 1);
	CHECK_EQ(trace_field(&r, "is_atomic"), 1);
	CHECK(count(TRACE_PERCPU_CREATE_CHUNK, NULL, 0, NULL) >= 2);
	CHECK_EQ(count(TRACE_PERCPU_CREATE_CHUNK, NULL, 0, NULL),
		 count(TRACE_PERCPU_DESTROY_CHUNK, NULL, 0, NULL));
	forget();
	return 0;
}

static void frames(void **state)
{
	(void)state;
	TM_RUN(frames_body, .cpus = 2);
}

/* ---- rounds of an allocation that finds nothing
 * ----------------------------------------------------------------------- */

static int rounds_body(void *arg)
{
	static struct page *all[8192];
	struct trace_record r;
	struct page *block;
	u32 nr = 0;

	(void)arg;
	while (nr < ARRAY_SIZE(all) &&
	       (all[nr] = alloc_page(GFP_KERNEL | __GFP_NORETRY |
				     __GFP_MEMALLOC | __GFP_NOWARN)))
		nr++;
	/* Half of it in single frames: no block, nothing to move. */
	for (u32 i = 0; i < nr; i++)
		if (page_to_pfn(all[i]) % 2 == 0)
			__free_pages(all[i], 0);
	listen_to("oom");
	block = alloc_pages(GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN, 3);
	hush();
	CHECK(!block);
	CHECK(count(TRACE_RECLAIM_RETRY_ZONE, "order", 3, &r) > 0);
	CHECK(trace_field(&r, "available") >= trace_field(&r, "reclaimable"));
	CHECK(trace_field(&r, "available") > nr / 4);
	CHECK_EQ(trace_field(&r, "min_wmark"),
		 min_wmark_pages(&NODE_DATA(0)->node_zones[trace_field(
			 &r, "zone_idx")]));
	CHECK_EQ(trace_field(&r, "wmark_check"), 0);
	CHECK(count(TRACE_COMPACT_RETRY, "order", 3, &r) > 0);
	CHECK_EQ(trace_field(&r, "max_retries"), 16);
	CHECK_EQ(trace_field(&r, "ret"), 0);
	CHECK(trace_field(&r, "result") >= 1 && trace_field(&r, "result") <= 3);
	forget();
	for (u32 i = 0; i < nr; i++)
		if (page_to_pfn(all[i]) % 2)
			__free_pages(all[i], 0);
	return 0;
}

static void rounds(void **state)
{
	(void)state;
	TM_RUN(rounds_body, .mem = 8UL << 20);
}

/* ---- text
 * ----------------------------------------------------------------------- */

static void line(enum trace_event event, const u64 *arg, const char *want)
{
	struct trace_record r = {.event = (u16)event};
	char text[512];
	struct seq_buf s;

	memcpy(r.arg, arg, sizeof(r.arg));
	seq_buf_init(&s, text, sizeof(text));
	trace_show_fields(&r, &s);
	assert_string_equal(seq_buf_str(&s), want);
}

#define A (const u64[TRACE_ARGS])
static void lines(void **state)
{
	(void)state;
	line(TRACE_RSS_STAT, A{7, 1, 2, 8192},
	     "mm_id=7 curr=1 type=MM_SWAPENTS size=8192B");
	line(TRACE_TLB_FLUSH, A{1, 33}, "pages:33 reason:remote shootdown (1)");
	line(TRACE_TLB_FLUSH, A{4, ~0ul},
	     "pages:-1 reason:remote ipi send (4)");
	line(TRACE_RECLAIM_RETRY_ZONE, A{0, 2, 3, 100, 120, 50, 1, 1},
	     "node=0 zone=Normal   order=3 reclaimable=100 available=120 "
	     "min_wmark=50 no_progress_loops=1 wmark_check=1");
	line(TRACE_COMPACT_RETRY, A{9, 1, 2, 3, 16, 0},
	     "order=9 priority=COMPACT_PRIO_SYNC_LIGHT "
	     "compaction_result=withdrawn retries=3 max_retries=16 "
	     "should_retry=0");
	line(TRACE_MM_PAGE_ALLOC, A{0x1f, 0, 0, 1},
	     "pfn=0x1f order=0 migratetype=1 gfp_flags=none");
	line(TRACE_MM_FILEMAP_ADD_TO_PAGE_CACHE,
	     A{0x1f, 0xab, 3, 8 << 20 | 1, 0},
	     "dev 8:1 ino ab pfn=0x1f ofs=12288 order=0");
	line(TRACE_MM_COLLAPSE_HUGE_PAGE, A{0x10, 1, 0},
	     "mm=0x10, isolated=1, status=succeeded");
	line(TRACE_WRITEBACK_SINGLE_INODE, A{8 << 20, 12, 3, 5, 6, 7, 8},
	     "bdi 8:0: ino=12 state=I_DIRTY_PAGES|I_SYNC dirtied_when=5 "
	     "index=6 to_write=7 wrote=8");
}

/* ---- one page each
 * ----------------------------------------------------------------------- */

static int pages_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	u64 pfn, other, fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	struct trace_record r;
	uva_t at, to;

	(void)arg;
	tm_use(mm);
	at = tm_map(mm, 2);
	to = tm_map(mm, 1);
	CHECK_EQ(do_munmap(mm, to, P(1)), 0);
	listen_to("page");
	tm_store(at, 1);
	pfn = pte_pfn(tm_pte(mm, at));
	CHECK_EQ(count(TRACE_PAGE_MAP, "how", PAGE_MAP_NEW, &r), 1);
	CHECK(field(&r, "pfn") == pfn && field(&r, "address") == at);
	CHECK_EQ(field(&r, "mm"), mm->serial);
	/* Shared by a child, copied by the first who writes. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(count(TRACE_PAGE_MAP, "how", PAGE_MAP_FORK, &r), 1);
	CHECK(field(&r, "pfn") == pfn && field(&r, "address") == at);
	CHECK_EQ(field(&r, "mm"), child->serial);
	tm_store(at, 2);
	other = pte_pfn(tm_pte(mm, at));
	CHECK(other != pfn);
	CHECK_EQ(told(TRACE_PAGE_COW), 1);
	r = first(TRACE_PAGE_COW);
	CHECK(field(&r, "pfn") == pfn && field(&r, "copy") == other);
	CHECK(field(&r, "mm") == mm->serial && field(&r, "address") == at);
	CHECK_EQ(count(TRACE_PAGE_UNMAP, "why", PAGE_UNMAP_COW, &r), 1);
	CHECK_EQ(field(&r, "pfn"), pfn);
	/* Other rights, another address; given back. */
	CHECK_EQ(do_mprotect(mm, at, P(1), PROT_READ), 0);
	CHECK_EQ(told(TRACE_PAGE_PROTECT), 1);
	r = first(TRACE_PAGE_PROTECT);
	CHECK(field(&r, "pfn") == other && field(&r, "access") == 1);
	CHECK(field(&r, "mm") == mm->serial && field(&r, "address") == at);
	CHECK_EQ(do_mremap(mm, at, P(1), P(1), fixed, to), (s64)to);
	CHECK_EQ(told(TRACE_PAGE_REMAP), 1);
	r = first(TRACE_PAGE_REMAP);
	CHECK(field(&r, "pfn") == other && field(&r, "address") == at);
	CHECK_EQ(field(&r, "new_address"), to);
	CHECK_EQ(do_munmap(mm, to, P(1)), 0);
	CHECK_EQ(count(TRACE_PAGE_UNMAP, "why", PAGE_UNMAP_ZAP, &r), 1);
	CHECK(field(&r, "pfn") == other && field(&r, "address") == to);
	tm_use(NULL);
	mm_put(child);
	hush();
	CHECK_EQ(count(TRACE_PAGE_UNMAP, "pfn", pfn, NULL), 2);
	forget();
	mm_put(mm);
	return 0;
}

static void pages(void **state)
{
	(void)state;
	TM_RUN(pages_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rss),	  cmocka_unit_test(shootdowns),
		cmocka_unit_test(frames), cmocka_unit_test(rounds),
		cmocka_unit_test(pages),  cmocka_unit_test(lines),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
