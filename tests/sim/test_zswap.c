/* SPDX-License-Identifier: MIT */
/*
 * zswap: pages kept compressed instead of written; the pool against a model;
 * limits, write-back of the oldest, errors; random processes with it on.
 */
#include "sim_machine.h"

#define WL_CHECK(c)		CHECK(c)
#define WL_WRITE(va, from, len) sim_copy_to_user(va, from, len)
#define WL_READ(to, va, len)	sim_copy_from_user(to, va, len)
#define WL_LOCK()		((void)0)
#define WL_UNLOCK()		((void)0)

#include "model_whole.h"

#include "base/fail.h"
#include "base/prng.h"
#include "compact/compact.h"
#include "move/move.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)
#define ZP   "/sys/module/zswap/parameters/"

static void set(const char *name, const char *value)
{
	char path[100];

	snprintf(path, sizeof(path), ZP "%s", name);
	CHECK_EQ(mm_write(path, value, strlen(value)), (s64)strlen(value));
}

static const char *shown(const char *path)
{
	static char text[8192];
	struct seq_buf s;

	memset(text, 0, sizeof(text));
	seq_buf_init(&s, text, sizeof(text) - 1);
	CHECK_EQ(mm_show(path, &s), 0);
	return text;
}

static u64 debug(const char *name)
{
	char path[100];

	snprintf(path, sizeof(path), "/sys/kernel/debug/zswap/%s", name);
	return strtoull(shown(path), NULL, 10);
}

static u64 meminfo_kb(const char *name)
{
	const char *at = strstr(shown("/proc/meminfo"), name);

	CHECK(at);
	return strtoull(at + strlen(name), NULL, 10);
}

/* ---- parameters ------------------------------------------------------------
 */

static int params_body(void *arg)
{
	(void)arg;
	CHECK(!strcmp(shown(ZP "enabled"), "N\n"));
	CHECK(!strcmp(shown(ZP "max_pool_percent"), "20\n"));
	CHECK(!strcmp(shown(ZP "accept_threshold_percent"), "90\n"));
	CHECK(!strcmp(shown(ZP "compressor"), "lz4\n"));
	CHECK_EQ(mm_write(ZP "max_pool_percent", "101", 3), -EINVAL);
	CHECK_EQ(mm_write(ZP "max_pool_percent", "x", 1), -EINVAL);
	CHECK_EQ(mm_write(ZP "max_pool_percent", "", 0), -EINVAL);
	CHECK_EQ(mm_write(ZP "nothing", "1", 1), -ENOENT);
	CHECK_EQ(mm_write(ZP "enabled", "2", 1), -EINVAL);
	set("max_pool_percent", "31\n");
	CHECK(!strcmp(shown(ZP "max_pool_percent"), "31\n"));
	for (u64 n = 1;; n++) { /* no memory to enable it */
		s64 got;

		fail_arm_nth(FAIL_ALL, n, false);
		got = mm_write(ZP "enabled", "Y", 1);
		if (!fail_disarm().fired) {
			CHECK_EQ(got, 1);
			break;
		}
		CHECK(got == -ENOMEM || got == 1);
		zswap_exit();
	}
	CHECK(!strcmp(shown(ZP "enabled"), "Y\n"));
	zswap_exit();
	return 0;
}

static void parameters(void **state)
{
	(void)state;
	TM_RUN(params_body);
}

/* ---- pages -----------------------------------------------------------------
 */

/* Page I of a mapping: a word all over, words that compress, or noise. */
static void page_bytes(u64 i, u64 *bytes)
{
	struct prng r;

	prng_seed(&r, i + 1);
	for (u32 k = 0; k < PAGE_SIZE / 8; k++)
		bytes[k] = i % 3 == 0	? 0x1111 * i
			   : i % 3 == 1 ? (k * 8 + i) & 0xff0
					: prng_u64(&r);
}

static void write_page(uva_t at, u64 i)
{
	static u64 bytes[PAGE_SIZE / 8];

	page_bytes(i, bytes);
	CHECK_EQ(sim_copy_to_user(at + P(i), bytes, PAGE_SIZE), 0);
}

static void check_page(uva_t at, u64 i)
{
	static u64 want[PAGE_SIZE / 8], got[PAGE_SIZE / 8];

	page_bytes(i, want);
	CHECK_EQ(sim_copy_from_user(got, at + P(i), PAGE_SIZE), 0);
	CHECK(!memcmp(want, got, PAGE_SIZE));
}

#define N 90u

/* A word, a block, and what does not compress; each comes back. */
static int kept_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, N);
	struct sim_disk_stats d;
	u64 writes;

	(void)arg;
	set("enabled", "1");
	sim_disk_stats(tm.disk, &d);
	writes = d.writes;
	tm_use(mm);
	for (u64 i = 0; i < N; i++)
		write_page(at, i);
	for (u64 i = 0; i < N; i++)
		tm_swap_out(mm, at + P(i));
	sim_disk_stats(tm.disk, &d);
	CHECK_EQ(d.writes - writes, N / 3);
	CHECK_EQ(d.reads, 1); /* the header */
	CHECK_EQ(debug("stored_pages"), N / 3 * 2);
	CHECK_EQ(debug("same_filled_pages"), N / 3);
	CHECK_EQ(debug("reject_compress_poor"), N / 3);
	CHECK_EQ(sum_vm_event(ZSWPOUT), N / 3 * 2);
	CHECK_EQ(sum_vm_event(PSWPOUT), N / 3);
	CHECK_EQ(meminfo_kb("Zswapped:"), N / 3 * 2 * 4);
	CHECK(meminfo_kb("Zswap:") > 0 && meminfo_kb("Zswap:") < N / 3 * 4);
	swap_check();
	tm_audit();
	cache_sys.page_cluster = 0;
	for (u64 i = 0; i < N; i++)
		check_page(at, i);
	CHECK_EQ(sum_vm_event(ZSWPIN), N / 3 * 2);
	/* A store of the same slot replaces what was there. */
	for (u64 i = 0; i < N; i++) {
		tm_store(at + P(i) + 8, i * 3);
		tm_swap_out(mm, at + P(i));
	}
	for (u64 i = 0; i < N; i++)
		CHECK_EQ(tm_load(at + P(i) + 8), i * 3);
	swap_check();
	/* Off: what is there is found, nothing new comes in. */
	for (u64 i = 0; i < N; i++)
		tm_swap_out(mm, at + P(i));
	set("enabled", "N");
	for (u64 i = 0; i < N; i++) {
		CHECK_EQ(tm_load(at + P(i) + 8), i * 3);
		tm_store(at + P(i) + 8, i * 5);
		tm_swap_out(mm, at + P(i));
	}
	for (u64 i = 0; i < N; i++)
		CHECK_EQ(tm_load(at + P(i) + 8), i * 5);
	CHECK_EQ(debug("stored_pages"), 0);
	mm_put(mm);
	tm_use(NULL);
	zswap_exit();
	return 0;
}

/* Every frame of the machine that can be moved is. */
static void move_pool(void)
{
	struct migrate_target where = {.nid = NUMA_NO_NODE,
				       .nodes = NODE_MASK_ALL,
				       .gfp = __GFP_NOWARN};
	struct migrate_control mc = {.get_new = migrate_new_page,
				     .arg = &where,
				     .mode = MIGRATE_SYNC};
	u64 before = cache_sys.zswap.pool.migrated;
	u64 frames = cache_sys.zswap.pool.frames;
	int err;

	lru_add_drain_all();
	(void)migrate_frames(0, phys_sys.hot.max_pfn, &mc, &err);
	CHECK_EQ(err, 0);
	CHECK(cache_sys.zswap.pool.migrated >= before + frames);
	swap_check();
}

/* Compaction moves what is stored, and each page is what it was. */
static int compacted_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 n = 900;
	uva_t at = tm_map(mm, n);

	(void)arg;
	set("enabled", "1");
	set("max_pool_percent", "50");
	tm_use(mm);
	for (u64 i = 0; i < n; i++)
		write_page(at, i);
	for (u64 i = 0; i < n; i++)
		if (i % 3 == 1)
			tm_swap_out(mm, at + P(i));
	CHECK_EQ(debug("stored_pages"), n / 3);
	CHECK_EQ(global_zone_page_state(NR_ZSPAGES),
		 debug("pool_total_size") >> PAGE_SHIFT);
	/* Holes between the pool's frames. */
	CHECK_EQ(do_munmap(mm, at + P(n / 2), P(n / 4)), 0);
	for (int i = 0; i < 3; i++)
		compact_nodes();
	CHECK(cache_sys.zswap.pool.migrated > 10);
	swap_check();
	tm_audit();
	/* What is in use of an exact range goes, the pool's frames too. */
	move_pool();
	for (u64 i = 0; i < n; i++)
		if (i < n / 2 || i >= n / 2 + n / 4)
			check_page(at, i);
	mm_put(mm);
	tm_use(NULL);
	zswap_exit();
	CHECK_EQ(global_zone_page_state(NR_ZSPAGES), 0);
	return 0;
}

static void kept(void **state)
{
	(void)state;
	TM_RUN(kept_body, .swap_pages = 400);
	TM_RUN(compacted_body, .swap_pages = 2048);
}

/* ---- full ------------------------------------------------------------------
 */

/* The pool's limit holds; the oldest go to the disk; all pages are right. */
static int limit_body(void *arg)
{
	u64 pages = tm.cfg.mem >> PAGE_SHIFT, most = 0;
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 2 * pages);

	(void)arg;
	set("enabled", "1");
	set("max_pool_percent", "3");
	set("accept_threshold_percent", "80");
	if (arg)
		set("shrinker_enabled", "Y");
	tm_use(mm);
	for (u64 round = 0; round < 2; round++) {
		for (u64 i = 0; i < 2 * pages; i++) {
			/* Back again: what came last is there still. */
			if (round)
				check_page(at, 2 * pages - 1 - i);
			else
				write_page(at, i);
			most = max(most, zswap_pool_pages());
		}
	}
	/* One allocation of up to four frames beyond. */
	CHECK(most > 0 && most <= totalram_pages() * 3 / 100 + 4);
	CHECK(debug("pool_limit_hit") > 0);
	CHECK(debug("written_back_pages") > 20);
	CHECK(sum_vm_event(ZSWPIN) > 20);
	swap_check();
	mm_check(mm);
	mm_put(mm);
	tm_use(NULL);
	zswap_exit();
	return 0;
}

static void limit(void **state)
{
	int shrink = 1;

	(void)state;
	TM_RUN(limit_body, .mem = 6UL << 20, .swap_pages = 8192, .seed = 1);
	TM_RUN(limit_body, .mem = 6UL << 20, .swap_pages = 8192, .seed = 2,
	       .arg = &shrink);
	TM_RUN(limit_body, .mem = 6UL << 20, .swap_pages = 8192, .seed = 3,
	       .cpus = 2, .explore = true);
}

/* Write-back to a disk that fails: pages stay, and are right. */
static int broken_disk_body(void *arg)
{
	struct sim_disk_fault rule = {.writes = true, .error = -EIO};
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, N);

	(void)arg;
	set("enabled", "1");
	tm_use(mm);
	for (u64 i = 0; i < N; i += 3)
		write_page(at, i + 1);
	for (u64 i = 0; i < N; i += 3)
		tm_swap_out(mm, at + P(i + 1));
	sim_disk_fail(tm.disk, &rule);
	CHECK_EQ(zswap_writeback(N / 6), N / 6);
	port_park(50 * 1000 * 1000);
	CHECK(tm_logged("write error"));
	for (u64 i = 0; i < N; i += 6)
		check_page(at, i + 1);
	sim_disk_fail(tm.disk, NULL);
	CHECK(zswap_writeback(N) > 0);
	port_park(50 * 1000 * 1000);
	for (u64 i = 0; i < N; i += 3)
		check_page(at, i + 1);
	swap_check();
	mm_put(mm);
	tm_use(NULL);
	zswap_exit();
	return 0;
}

static void broken_disk(void **state)
{
	(void)state;
	TM_RUN(broken_disk_body, .swap_pages = 400);
}

/* A kept block that is broken is a read error for its owner alone. */
static int broken_block_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, N);
	struct zspage *z;
	u64 v;

	(void)arg;
	set("enabled", "1");
	cache_sys.page_cluster = 0;
	tm_use(mm);
	write_page(at, 1);
	write_page(at, 3);
	tm_swap_out(mm, at + P(1));
	tm_swap_out(mm, at + P(3));
	for (u32 c = 0; c < ZS_CLASSES; c++)
		list_for_each_entry (z, &cache_sys.zswap.pool.class[c].partial,
				     list)
			memset((u8 *)page_view(z->frame[0]) + ZS_HEADER, 0xff,
			       ZS_STEP - ZS_HEADER);
	CHECK_EQ(sim_copy_from_user(&v, at + P(1), 8), MM_SIGBUS);
	check_page(at, 3);
	CHECK(tm_logged("is broken"));
	mm_put(mm);
	tm_use(NULL);
	zswap_exit();
	return 0;
}

static void broken_block(void **state)
{
	(void)state;
	TM_RUN(broken_block_body, .swap_pages = 400);
}

/* ---- the pool against a model ----------------------------------------------
 */

#define REFS 900u

struct thing {
	struct zs_ref ref;
	u32 len;
	u8 fill;
};

static void thing_check(const struct thing *t)
{
	static u8 got[ZS_MAX_OBJECT];

	zs_load(&t->ref, got, t->len);
	for (u32 i = 0; i < t->len; i++)
		CHECK_EQ(got[i], (u8)(t->fill + i * 7));
}

static void thing_make(struct zs_pool *pool, struct thing *t, struct prng *r)
{
	static u8 bytes[ZS_MAX_OBJECT];

	t->len = (u32)prng_range(r, 1, prng_one_in(r, 2) ? 300 : ZS_MAX_OBJECT);
	t->fill = (u8)prng_u32(r);
	for (u32 i = 0; i < t->len; i++)
		bytes[i] = (u8)(t->fill + i * 7);
	CHECK(zs_alloc(pool, t->len, GFP_KERNEL, &t->ref));
	zs_store(&t->ref, bytes, t->len);
}

static void moved(struct page *page, int err, void *arg)
{
	(void)page;
	(void)arg;
	CHECK_EQ(err, 0);
}

/* All frames of Z get others; what is in them is found by who looks next. */
static void move_frames(struct zs_pool *pool, struct zspage *z, struct prng *r)
{
	struct migrate_target where = {.nid = NUMA_NO_NODE,
				       .nodes = NODE_MASK_ALL};
	struct migrate_control mc = {.get_new = migrate_new_page,
				     .done = moved,
				     .arg = &where,
				     .mode = MIGRATE_SYNC};
	struct page_list list;
	u32 nr = z->frames;

	page_list_init(&list);
	for (u32 i = 0; i < nr; i++) {
		CHECK_EQ(isolate_movable_page(z->frame[i], MIGRATE_SYNC), 0);
		/* Nobody else takes it now. */
		CHECK_EQ(isolate_movable_page(z->frame[i], MIGRATE_SYNC),
			 -EBUSY);
		page_list_add(&list, z->frame[i]);
	}
	zs_check(pool);
	if (prng_one_in(r, 4)) {
		putback_movable_pages(&list);
	} else {
		CHECK_EQ(migrate_pages(&list, &mc), 0);
		CHECK_EQ(mc.succeeded, nr);
	}
	zs_check(pool);
}

/* A frame that the pool drops while it is on its way. */
static int pool_drops_body(void *arg)
{
	struct migrate_target where = {.nid = NUMA_NO_NODE,
				       .nodes = NODE_MASK_ALL};
	struct migrate_control mc = {.get_new = migrate_new_page,
				     .arg = &where,
				     .mode = MIGRATE_SYNC};
	struct page_list list;
	struct zs_pool pool;
	spinlock_t lock;
	struct page *page;
	struct zs_ref ref;

	(void)arg;
	spin_lock_init(&lock, LOCK_CLASS_ZSWAP);
	CHECK_EQ(zs_pool_init(&pool, &lock), 0);
	CHECK(zs_alloc(&pool, ZS_MAX_OBJECT, GFP_NOWAIT, &ref));
	page_list_init(&list);
	page = ref.zspage->frame[0];
	CHECK_EQ(isolate_movable_page(page, MIGRATE_SYNC), 0);
	page_list_add(&list, page);
	zs_free(&pool, &ref);
	CHECK_EQ(page_count(page), 1);
	CHECK_EQ(migrate_pages(&list, &mc), 1);
	putback_movable_pages(&list);
	CHECK_EQ(page_count(page), 0);
	CHECK_EQ(global_zone_page_state(NR_ZSPAGES), 0);
	zs_pool_exit(&pool);
	return 0;
}

static int pool_body(void *arg)
{
	static struct thing t[REFS];
	struct prng *r = arg;
	struct zs_pool pool;
	spinlock_t lock;
	u64 freed = 0;

	memset(t, 0, sizeof(t));
	spin_lock_init(&lock, LOCK_CLASS_ZSWAP);
	CHECK_EQ(zs_pool_init(&pool, &lock), 0);
	for (u32 i = 0; i < 12000; i++) {
		struct thing *one = &t[prng_below(r, REFS)];
		bool grow = i / 2000 % 2 == 0;

		if (one->ref.zspage && (!grow || prng_one_in(r, 3))) {
			thing_check(one);
			zs_free(&pool, &one->ref);
			CHECK(!one->ref.zspage);
		} else if (!one->ref.zspage && (grow || prng_one_in(r, 6))) {
			thing_make(&pool, one, r);
		}
		if (i % 50 == 0 && one->ref.zspage)
			move_frames(&pool, one->ref.zspage, r);
		if (i % 700 == 0) {
			u64 frames = pool.frames, may = zs_compactable(&pool);
			u64 got = zs_compact(&pool, ~0UL);

			CHECK_EQ(pool.frames, frames - got);
			CHECK(got >= may);
			CHECK_EQ(zs_compact(&pool, ~0UL), 0);
			freed += got;
			zs_check(&pool);
		}
	}
	CHECK(freed > 20);
	CHECK(pool.migrated > 20);
	for (u32 i = 0; i < REFS; i++) {
		if (!t[i].ref.zspage)
			continue;
		thing_check(&t[i]);
		zs_free(&pool, &t[i].ref);
	}
	zs_pool_exit(&pool);
	return 0;
}

static void pool_model(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 200 : 6);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct prng r;

		prng_seed(&r, seed + i);
		TM_RUN(pool_body, .arg = &r, .seed = seed + i);
	}
}

/* No frame in the middle of a zspage: nothing has changed. */
static int pool_fails_body(void *arg)
{
	struct zs_pool pool;
	spinlock_t lock;
	struct zs_ref ref;

	(void)arg;
	spin_lock_init(&lock, LOCK_CLASS_ZSWAP);
	CHECK_EQ(zs_pool_init(&pool, &lock), 0);
	for (u64 n = 1;; n++) {
		bool ok;

		fail_arm_nth(FAIL_ALL, n, false);
		ok = zs_alloc(&pool, ZS_MAX_OBJECT, GFP_NOWAIT, &ref);
		if (!fail_disarm().fired) {
			CHECK(ok && n > 2);
			break;
		}
		if (ok)
			zs_free(&pool, &ref);
		zs_check(&pool);
		CHECK_EQ(pool.frames, 0);
	}
	zs_free(&pool, &ref);
	zs_pool_exit(&pool);
	return 0;
}

static void pool_fails(void **state)
{
	(void)state;
	TM_RUN(pool_fails_body);
	TM_RUN(pool_drops_body);
}

/* ---- everything with it on -------------------------------------------------
 */

static void whole_thread(void *arg)
{
	wl_life(arg);
}

static int wl_start(struct wl_proc *p)
{
	p->next = wl.started;
	wl.started = p;
	CHECK_EQ(sim_thread_start_on(&p->thread, "whole",
				     (int)(p->id % (u32)tm.cfg.cpus),
				     whole_thread, p),
		 0);
	return 0;
}

static int whole_body(void *arg)
{
	u64 seed = tm.cfg.seed;

	(void)arg;
	set("enabled", "1");
	set("max_pool_percent", seed % 2 ? "10" : "40");
	if (seed % 3 == 0)
		set("shrinker_enabled", "1");
	wl_run(3, 120, 700, 5, seed);
	CHECK(sum_vm_event(ZSWPOUT) > 100 && sum_vm_event(ZSWPIN) > 10);
	lru_add_drain_all();
	books_drop_orphans();
	zswap_exit();
	return 0;
}

static void whole(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 200 : 6);

	(void)state;
	for (u64 i = 0; i < n; i++)
		TM_RUN(whole_body, .mem = 6UL << 20, .swap_pages = 16384,
		       .seed = seed + i, .cpus = 1 + (int)(i % 3),
		       .explore = i % 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters),	cmocka_unit_test(kept),
		cmocka_unit_test(limit),	cmocka_unit_test(broken_disk),
		cmocka_unit_test(broken_block), cmocka_unit_test(pool_model),
		cmocka_unit_test(pool_fails),	cmocka_unit_test(whole),
	};

	return cmocka_run_group_tests_name("zswap", tests, NULL, NULL);
}
