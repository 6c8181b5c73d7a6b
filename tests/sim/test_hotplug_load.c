/* SPDX-License-Identifier: MIT */
/*
 * Memory goes offline and comes back, by the files of /sys, while a program
 * uses it: threads check what they stored; shared memory and files lie there as
 * well; a node loses all it has. Where what is left would not do it is refused,
 * and everything is as before.
 */
#include <mmkit/memory_hotplug.h>
#include <mmkit/mempolicy.h>

#include "base/prng.h"
#include "calls.h"
#include "compact/compact.h"

#define MiB	(1UL << 20)
#define BLOCK	(128 * MiB)
#define HOT_PA	(8UL << 30)
#define HOT_PFN (HOT_PA >> PAGE_SHIFT)
#define HOT_NID 3

#define THREADS 3u
#define PAGES	6000u /* of the program, two thirds of them on the hot node */
#define SHARED	1000u

struct load {
	struct mm_struct *mm;
	uva_t at, shared;
	u64 seed;
	u64 next; /* (A) numbers threads */
	bool stop;
	u64 checks; /* (A) */
};

static s64 set(const char *file, const char *text)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/devices/system/memory/%s", file);
	return mm_write(path, text, strlen(text));
}

static void shows(const char *file, const char *want)
{
	char path[96], text[64];
	struct seq_buf s;

	snprintf(path, sizeof(path), "/sys/devices/system/memory/%s", file);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(path, &s), 0);
	if (strcmp(seq_buf_str(&s), want))
		tm_fail(seq_buf_str(&s), __FILE__, __LINE__);
}

static u64 value(u64 seed, u64 thread, u64 page, u64 round)
{
	return seed * 0x9e3779b97f4a7c15UL + thread * 1000003 + page * 31 +
	       round;
}

/* A thread's word of each page; PAGES in all, and the shared ones. */
static uva_t word(const struct load *l, u64 thread, u64 page)
{
	uva_t at = page < PAGES ? l->at + P(page) : l->shared + P(page - PAGES);

	return at + 8 * thread;
}

static void user_thread(void *arg)
{
	static u16 round[THREADS][PAGES + SHARED];
	struct load *l = arg;
	u64 id = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
	struct prng r;

	memset(round[id], 0, sizeof(round[id]));
	prng_seed(&r, l->seed + id);
	mm_task_attach(port_current(), l->mm);
	for (u64 page = 0; page < PAGES + SHARED; page++)
		tm_store(word(l, id, page), value(l->seed, id, page, 0));
	while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
		for (int i = 0; i < 50; i++) {
			u64 page = prng_below(&r, PAGES + SHARED);

			CHECK_EQ(tm_load(word(l, id, page)),
				 value(l->seed, id, page, round[id][page]));
			tm_store(word(l, id, page),
				 value(l->seed, id, page, ++round[id][page]));
			__atomic_fetch_add(&l->checks, 1, __ATOMIC_RELAXED);
		}
		port_park(20000);
	}
	for (u64 page = 0; page < PAGES + SHARED; page++)
		CHECK_EQ(tm_load(word(l, id, page)),
			 value(l->seed, id, page, round[id][page]));
	mm_task_exit(port_current());
	port_current()->flags |= PF_KTHREAD;
}

/* Pages of the program in the frames of the hot node. */
static u64 on_hot(const struct load *l)
{
	u64 n = 0;

	for (u64 page = 0; page < PAGES + SHARED; page++) {
		struct page *p = page_at(l->mm, word(l, 0, page) &
							~(u64)(PAGE_SIZE - 1));

		n += p && page_to_nid(p) == HOT_NID;
	}
	return n;
}

static void load_begin(struct load *l, struct port_thread *t[THREADS])
{
	l->mm = tm_mm();
	l->at = tm_map(l->mm, PAGES);
	l->shared = (uva_t)do_mmap(l->mm, 0, P(SHARED), TM_RW,
				   MAP_SHARED | MAP_ANONYMOUS);
	CHECK_EQ(do_mbind(l->mm, l->at, P(PAGES / 3 * 2), MPOL_PREFERRED,
			  NODE_MASK(HOT_NID), 0),
		 0);
	CHECK_EQ(do_mbind(l->mm, l->shared, P(SHARED), MPOL_PREFERRED,
			  NODE_MASK(HOT_NID), 0),
		 0);
	for (u32 i = 0; i < THREADS; i++)
		CHECK_EQ(port_thread_start(&t[i], "user", -1, user_thread, l),
			 0);
	while (__atomic_load_n(&l->checks, __ATOMIC_ACQUIRE) < 100)
		port_park(1000000);
	CHECK_EQ(do_mbind(l->mm, l->at, P(PAGES), MPOL_DEFAULT, 0, 0), 0);
}

static void load_end(struct load *l, struct port_thread *t[THREADS])
{
	__atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
	for (u32 i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
	mm_check(l->mm);
	mm_put(l->mm);
}

static void quiet(void)
{
	lru_add_drain_all();
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_FILE), 0);
	phys_check();
}

/* Block 64 goes and comes; 65 stays: the node keeps memory. */
static void comes_and_goes(struct load *l)
{
	for (int i = 0; i < 3; i++) {
		u64 checks = __atomic_load_n(&l->checks, __ATOMIC_ACQUIRE);

		CHECK_EQ(set("memory64/state", "offline\n"), 8);
		shows("memory64/state", "offline\n");
		shows("memory64/online", "0\n");
		CHECK_EQ(set("memory64/state", "offline"), -EINVAL);
		CHECK(!pfn_to_online_page(HOT_PFN));
		quiet();
		while (__atomic_load_n(&l->checks, __ATOMIC_ACQUIRE) <
		       checks + 500)
			port_park(1000000);
		CHECK_EQ(set("memory64/state", "online_movable"), 14);
		shows("memory64/valid_zones", "Movable\n");
		/* What it had comes back by request. */
		CHECK_EQ(do_mbind(l->mm, l->at, P(PAGES), MPOL_BIND,
				  NODE_MASK(HOT_NID), MPOL_MF_MOVE),
			 0);
		CHECK_EQ(do_mbind(l->mm, l->at, P(PAGES), MPOL_DEFAULT, 0, 0),
			 0);
		CHECK(on_hot(l) > PAGES / 2);
	}
}

/* All of the node goes; what lies there has room elsewhere. */
static void node_goes(struct load *l)
{
	CHECK_EQ(set("memory64/online", "0"), 1);
	CHECK_EQ(set("memory65/online", "0"), 1);
	CHECK_EQ(set("memory65/online", "0"), 1);
	CHECK_EQ(on_hot(l), 0);
	CHECK_EQ(NODE_DATA(HOT_NID)->node_present_pages, 0);
	CHECK(!NODE_DATA(HOT_NID)->kswapd);
	quiet();
	CHECK_EQ(set("memory65/state", "online_movable"), 14);
	CHECK_EQ(do_mbind(l->mm, l->at, P(PAGES), MPOL_BIND, NODE_MASK(HOT_NID),
			  MPOL_MF_MOVE),
		 0);
	CHECK_EQ(do_mbind(l->mm, l->at, P(PAGES), MPOL_DEFAULT, 0, 0), 0);
	CHECK(on_hot(l) > PAGES / 2);
}

static u64 free_frames_of(int nid)
{
	u64 n = 0;

	for (int zt = 0; zt < MAX_NR_ZONES; zt++)
		n += zone_page_state(&NODE_DATA(nid)->node_zones[zt],
				     NR_FREE_PAGES);
	return n;
}

/* Memory of node 0 that nobody gives back: the largest blocks first. */
static struct hog {
	struct page *page;
	unsigned int order;
} hog[4096];

static u32 take_rest(u64 leave)
{
	unsigned int order = MAX_ORDER - 1;
	u32 n = 0;

	drain_all_pages();
	while (n < ARRAY_SIZE(hog) &&
	       free_frames_of(0) > leave + (1UL << order)) {
		hog[n].page = __alloc_pages(
			GFP_NOWAIT | __GFP_THISNODE | __GFP_NOWARN, order, 0);
		hog[n].order = order;
		if (hog[n].page)
			n++;
		else if (order-- == 0)
			break;
	}
	while (order && n < ARRAY_SIZE(hog) && free_frames_of(0) > leave) {
		hog[n].order = 0;
		hog[n].page = __alloc_pages(
			GFP_NOWAIT | __GFP_THISNODE | __GFP_NOWARN, 0, 0);
		if (!hog[n].page)
			break;
		n++;
	}
	CHECK(free_frames_of(0) < leave + 200);
	return n;
}

static void is_refused(struct load *l)
{
	u64 hot = on_hot(l), kills = sum_vm_event(OOM_KILL);
	u32 n = take_rest(1500);

	CHECK(n > 10);
	CHECK(hot > PAGES / 2);
	/* 3000 pages do not go into 1500 frames. */
	CHECK_EQ(set("memory65/state", "offline") < 0, 1);
	shows("memory65/state", "online\n");
	CHECK_EQ(sum_vm_event(OOM_KILL), kills);
	CHECK(on_hot(l) > 0);
	quiet();
	/* It is as good as before: pages are allocated there. */
	for (int i = 0; i < 8; i++) {
		struct page *page = __alloc_pages(
			GFP_HIGHUSER_MOVABLE | __GFP_THISNODE, 0, HOT_NID);

		CHECK(page && page_to_nid(page) == HOT_NID);
		__free_page(page);
	}
	while (n--)
		__free_pages(hog[n].page, hog[n].order);
	CHECK_EQ(set("memory65/state", "offline"), 7);
}

static int load_body(void *arg)
{
	struct port_thread *t[THREADS];
	struct load l = {.seed = *(u64 *)arg};

	CHECK_EQ(add_memory(HOT_NID, HOT_PA, 2 * BLOCK, MHP_NONE), 0);
	shows("block_size_bytes", "8000000\n");
	shows("memory64/state", "offline\n");
	shows("memory64/valid_zones", "Normal Movable\n");
	shows("memory65/phys_index", "00000041\n");
	CHECK_EQ(set("memory66/state", "online"), -ENOENT);
	CHECK_EQ(set("memory64/state", "on"), -EINVAL);
	CHECK_EQ(set("memory64/nosuch", "online"), -ENOENT);
	CHECK_EQ(set("memory64/state", "online_movable"), 14);
	CHECK_EQ(set("memory65/state", "online_movable\n"), 15);
	CHECK_EQ(set("memory65/state", "online"), -EINVAL);
	/* The kernel lies in the first. */
	CHECK(set("memory0/state", "offline") < 0);
	shows("memory0/state", "online\n");
	load_begin(&l, t);
	CHECK(on_hot(&l) > PAGES / 2);
	comes_and_goes(&l);
	node_goes(&l);
	is_refused(&l);
	load_end(&l, t);
	CHECK_EQ(remove_memory(HOT_PA, 2 * BLOCK), 0);
	tm_audit();
	return 0;
}

static void under_load(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	for (u64 i = 0; i < test_iters(tm_soak() ? 50 : 2); i++, seed++) {
		snprintf(tm_context, sizeof(tm_context), "SEED=%llu",
			 (unsigned long long)seed);
		TM_RUN(load_body, .arg = &seed, .seed = seed, .cpus = 2,
		       .mem = 160 * MiB, .max_possible = 16UL << 30,
		       .no_audit = true, .explore = i % 2);
	}
}

/* ---- nodeN/compact ---------------------------------------------------------
 */

static int compact_body(void *arg)
{
	static struct page *page[512];
	u64 before;

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		CHECK(page[i] = alloc_page(GFP_HIGHUSER_MOVABLE));
	for (u32 i = 0; i < ARRAY_SIZE(page); i += 2)
		__free_page(page[i]);
	before = sum_vm_event(COMPACTFREE_SCANNED) +
		 sum_vm_event(COMPACTMIGRATE_SCANNED);
	CHECK_EQ(mm_write("/sys/devices/system/node/node7/compact", "1", 1),
		 -ENOENT);
	CHECK_EQ(mm_write("/sys/devices/system/node/node0/compact", "1", 1), 1);
	CHECK(sum_vm_event(COMPACTFREE_SCANNED) +
		      sum_vm_event(COMPACTMIGRATE_SCANNED) >
	      before);
	for (u32 i = 1; i < ARRAY_SIZE(page); i += 2)
		__free_page(page[i]);
	return 0;
}

static void by_node(void **state)
{
	(void)state;
	TM_RUN(compact_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(under_load),
		cmocka_unit_test(by_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
