/* SPDX-License-Identifier: MIT */
/* Swap areas: header, slot map against a model, the cache, I/O errors. */
#include "base/fail.h"
#include "sim_machine.h"

#include <unistd.h>

#define P(n) ((u64)(n) << PAGE_SHIFT)

/* ---- the header ------------------------------------------------------------
 */

struct header { /* mkswap's, at offset 1024 */
	u8 boot[1024];
	u32 version, last_page, nr_badpages;
	u8 uuid[16], label[16];
	u32 padding[117], badpages[637];
	u8 rest[2];
	char magic[10];
} __attribute__((packed));

_Static_assert(sizeof(struct header) == PAGE_SIZE, "one page");

/* swapon() of a disk of PAGES pages that begins with H. */
static int swapon_with(u32 pages, const struct header *h)
{
	struct port_bdev *disk = tm_disk(pages);
	int err;

	CHECK_EQ(tm_disk_write(disk, 0, h), 0);
	err = swapon(disk, 0);
	if (err >= 0) {
		swap_check();
		swap_areas_release();
	}
	CHECK_EQ(get_nr_swap_pages(), 0);
	CHECK_EQ(cache_sys.total_swap_pages, 0);
	sim_disk_close(disk);
	return err;
}

static int header_body(void *arg)
{
	static struct header good, h;

	(void)arg;
	swap_header_init(&good, 100);
	CHECK_EQ(swapon_with(100, &good), 0);
	CHECK_EQ(swapon_with(200, &good), 0);
	CHECK_EQ(swapon_with(99, &good), -EINVAL);
	h = good;
	memcpy(h.magic, "SWAP-SPACE", 10);
	CHECK_EQ(swapon_with(100, &h), -EINVAL);
	memset(&h, 0, sizeof(h));
	CHECK_EQ(swapon_with(100, &h), -EINVAL);
	memset(&h, 0xff, sizeof(h));
	CHECK_EQ(swapon_with(100, &h), -EINVAL);
	h = good;
	for (h.version = 0; h.version < 4; h.version++)
		CHECK_EQ(swapon_with(100, &h), h.version == 1 ? 0 : -EINVAL);
	h = good;
	h.last_page = 0;
	CHECK_EQ(swapon_with(100, &h), -EINVAL);
	h.last_page = 1;
	CHECK_EQ(swapon_with(100, &h), 0);
	h.last_page = ~0u;
	CHECK_EQ(swapon_with(100, &h), -EINVAL);
	h.last_page = SWAP_MAX_PAGES;
	CHECK_EQ(swapon_with(100, &h), -EINVAL);
	return 0;
}

static void headers(void **state)
{
	(void)state;
	TM_RUN(header_body);
}

static int badpages_body(void *arg)
{
	static struct header good, h;
	struct port_bdev *disk;

	(void)arg;
	swap_header_init(&good, 600);
	h = good;
	h.nr_badpages = 638;
	CHECK_EQ(swapon_with(600, &h), -EINVAL);
	h.nr_badpages = ~0u;
	CHECK_EQ(swapon_with(600, &h), -EINVAL);
	h.nr_badpages = 2;
	h.badpages[0] = 7;
	h.badpages[1] = 600;
	CHECK_EQ(swapon_with(600, &h), -EINVAL);
	h.badpages[1] = 0;
	CHECK_EQ(swapon_with(600, &h), -EINVAL);
	h.badpages[1] = 599;
	CHECK_EQ(swapon_with(600, &h), 0);
	/* All pages bad: nothing to use. */
	h.last_page = 2;
	h.badpages[0] = 1;
	h.badpages[1] = 2;
	CHECK_EQ(swapon_with(600, &h), -EINVAL);
	/* A bad page is never handed out; named twice it counts once. */
	h = good;
	h.nr_badpages = 5;
	for (u32 i = 0; i < 4; i++)
		h.badpages[i] = 250 + 3 * i;
	h.badpages[4] = 250;
	disk = tm_disk(600);
	CHECK_EQ(tm_disk_write(disk, 0, &h), 0);
	CHECK_EQ(swapon(disk, 0), 0);
	CHECK_EQ(get_nr_swap_pages(), 595);
	for (u32 i = 0; i < 595; i++) {
		u64 off = swp_offset(get_swap_page());

		CHECK(off > 0 && off < 600);
		for (u32 j = 0; j < 4; j++)
			CHECK(off != h.badpages[j]);
	}
	CHECK_EQ(get_swap_page().val, 0);
	swap_check();
	for (u32 off = 1; off < 600; off++)
		if (swap_slot_cached(swp_entry(0, off)))
			swapcache_free(swp_entry(0, off));
	CHECK_EQ(get_nr_swap_pages(), 595);
	swap_areas_release();
	return 0;
}

static void bad_pages(void **state)
{
	(void)state;
	TM_RUN(badpages_body);
}

/* What mkswap(8) makes is what we make, but for its uuid; and we take it. */
static int mkswap_body(void *arg)
{
	static struct header theirs, ours;
	FILE *f = fopen(arg, "rb");

	CHECK(f && fread(&theirs, sizeof(theirs), 1, f) == 1);
	fclose(f);
	swap_header_init(&ours, 300);
	memcpy(ours.uuid, theirs.uuid, sizeof(ours.uuid));
	CHECK(!memcmp(&ours, &theirs, sizeof(ours)));
	CHECK_EQ(swapon_with(300, &theirs), 0);
	return 0;
}

static void mkswap_agrees(void **state)
{
	char path[] = "/tmp/mmkit-test-swap-XXXXXX", cmd[200];
	int fd;

	(void)state;
	if (access("/sbin/mkswap", X_OK)) {
		fprintf(stderr, "mkswap is not installed\n");
		skip();
	}
	fd = mkstemp(path);
	assert_true(fd >= 0 && !ftruncate(fd, 300 * (off_t)PAGE_SIZE));
	close(fd);
	snprintf(cmd, sizeof(cmd), "/sbin/mkswap %s >/dev/null 2>&1", path);
	assert_int_equal(system(cmd), 0);
	TM_RUN(mkswap_body, .arg = path);
	unlink(path);
}

/* A header that cannot be read; too many areas; areas by priority. */
static int areas_body(void *arg)
{
	struct sim_disk_fault rule = {.reads = true, .error = -EIO};
	struct port_bdev *disk = tm_swap_disk(20);
	swp_entry_t e[60];

	(void)arg;
	sim_disk_fail(disk, &rule);
	CHECK_EQ(swapon(disk, 0), -EIO);
	sim_disk_fail(disk, NULL);
	CHECK_EQ(swapon(disk, 5), 0);
	CHECK_EQ(swapon(tm_swap_disk(20), 9), 1);
	CHECK_EQ(swapon(tm_swap_disk(20), -2), 2);
	for (u32 i = 0; i < 57; i++) {
		e[i] = get_swap_page();
		CHECK(e[i].val);
		CHECK_EQ(swp_type(e[i]), i < 19 ? 1 : i < 38 ? 0 : 2);
	}
	CHECK_EQ(get_swap_page().val, 0);
	for (u32 i = 0; i < 57; i++)
		swapcache_free(e[i]);
	for (u32 i = 3; i < MAX_SWAPFILES; i++)
		CHECK_EQ(swapon(tm_swap_disk(20), 1), (int)i);
	CHECK_EQ(swapon(tm_swap_disk(20), 1), -EPERM);
	swap_check();
	swap_areas_release();
	return 0;
}

static void areas(void **state)
{
	(void)state;
	TM_RUN(areas_body);
}

/* ---- the map
 * ------------------------------------------------------------------ */

#define SLOTS 1500u

struct slot_model {
	u32 count; /* entries */
	bool cache;
};

static void map_compare(const struct slot_model *m)
{
	u32 used = 0;

	/* A slot in a CPU's cache looks taken from inside, not from outside. */
	for (u32 off = 1; off < SLOTS; off++)
		used += m[off].count || m[off].cache;
	CHECK_EQ(get_nr_swap_pages(), SLOTS - 1 - used);
	swap_check();
	(void)swap_slots_drain();
	used = 0;

	for (u32 off = 1; off < SLOTS; off++) {
		swp_entry_t e = swp_entry(0, off);

		CHECK_EQ(swap_count(e), m[off].count);
		CHECK_EQ(swap_slot_cached(e), m[off].cache);
		CHECK_EQ(swap_slot_used(e), m[off].count > 0);
		used += m[off].count || m[off].cache;
	}
	CHECK_EQ(get_nr_swap_pages(), SLOTS - 1 - used);
	CHECK_EQ(vm_swap_full(), get_nr_swap_pages() * 2 < SLOTS - 1);
	swap_check();
}

/* One operation on a random slot, or on a fresh one. */
static void map_step(struct prng *r, struct slot_model *m, u32 grow)
{
	u32 off = (u32)prng_range(r, 1, SLOTS - 1);
	swp_entry_t e = swp_entry(0, off);
	u32 op = (u32)prng_below(r, 8);

	if (op < grow) {
		e = get_swap_page();
		off = (u32)swp_offset(e);
		if (!e.val) {
			CHECK_EQ(get_nr_swap_pages(), 0);
			return;
		}
		CHECK(!m[off].count && !m[off].cache);
		m[off].cache = true;
		return;
	}
	switch (op % 4) {
	case 0:
		if (m[off].count || m[off].cache) {
			CHECK_EQ(swap_duplicate(e), 0);
			m[off].count++;
		}
		break;
	case 1:
		if (m[off].count) {
			swap_free(e);
			m[off].count--;
		}
		break;
	case 2:
		CHECK_EQ(swapcache_prepare(e), !m[off].count  ? -ENOENT
					       : m[off].cache ? -EEXIST
							      : 0);
		m[off].cache |= m[off].count > 0;
		break;
	default:
		if (m[off].cache) {
			swapcache_free(e);
			m[off].cache = false;
		}
	}
}

static int map_body(void *arg)
{
	static struct slot_model m[SLOTS];
	struct prng *r = arg;

	memset(m, 0, sizeof(m));
	for (u32 i = 0; i < 12000; i++) {
		if (i % 64 == 0)
			sim_set_cpu(port_self(),
				    (int)prng_below(r, (u64)tm.cfg.cpus));
		/* Fill up, then empty, and so on. */
		map_step(r, m, i / 3000 % 2 ? 1 : 6);
		if (i % 500 == 0)
			map_compare(m);
	}
	map_compare(m);
	for (u32 off = 1; off < SLOTS; off++) {
		while (m[off].count--)
			swap_free(swp_entry(0, off));
		if (m[off].cache)
			swapcache_free(swp_entry(0, off));
	}
	sim_set_cpu(port_self(), 0);
	return 0;
}

static void slot_map(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 300 : 6);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct prng r;

		prng_seed(&r, seed + i);
		TM_RUN(map_body, .arg = &r, .seed = seed + i,
		       .swap_pages = SLOTS, .cpus = 1 + (int)(i % 3));
	}
}

/* Many slots with more entries than a word holds: counts go up and down across
 * the edge, and nothing is left of them. */
#define MANY 5u

static int many_entries_body(void *arg)
{
	static const u32 top[MANY] = {SWAP_MAP_MAX, SWAP_MAP_MAX + 1,
				      2 * SWAP_MAP_MAX + 7, 60000, 1};
	swp_entry_t e[MANY];

	(void)arg;
	for (u32 i = 0; i < MANY; i++)
		e[i] = get_swap_page();
	for (u32 n = 0; n < 60000; n++)
		for (u32 i = 0; i < MANY; i++)
			if (n < top[i])
				CHECK_EQ(swap_duplicate(e[i]), 0);
	swap_check();
	for (u32 i = 0; i < MANY; i++) {
		CHECK_EQ(swap_count(e[i]), top[i]);
		CHECK(swap_slot_cached(e[i]));
		swapcache_free(e[i]);
	}
	CHECK(cache_sys.swap[0]->more && cache_sys.swap[0]->more->next);
	for (u32 n = 0; n < 60000; n++)
		for (u32 i = 0; i < MANY; i++) {
			if (n >= top[i])
				continue;
			CHECK_EQ(swap_count(e[i]), top[i] - n);
			swap_free(e[i]);
		}
	CHECK(!cache_sys.swap[0]->more);
	for (u32 i = 0; i < MANY; i++)
		CHECK(!swap_slot_used(e[i]));
	return 0;
}

static void many_entries(void **state)
{
	(void)state;
	TM_RUN(many_entries_body, .swap_pages = 20);
}

/* Without memory for a continuation nothing is counted, and the next try does.
 */
static int count_memory_body(void *arg)
{
	swp_entry_t e = get_swap_page();

	(void)arg;
	for (u32 i = 0; i < SWAP_MAP_MAX; i++)
		CHECK_EQ(swap_duplicate(e), 0);
	fail_arm_nth(FAIL_MASK(FAIL_SLAB), 1, false);
	CHECK_EQ(swap_duplicate(e), -ENOMEM);
	CHECK_EQ(fail_disarm().fired, 1);
	CHECK_EQ(swap_count(e), SWAP_MAP_MAX);
	CHECK_EQ(swap_duplicate(e), 0);
	CHECK_EQ(swap_count(e), SWAP_MAP_MAX + 1);
	swapcache_free(e);
	for (u32 i = 0; i <= SWAP_MAP_MAX; i++)
		swap_free(e);
	return 0;
}

static void count_memory(void **state)
{
	(void)state;
	TM_RUN(count_memory_body, .swap_pages = 20);
}

/* ---- who gets which slot ---------------------------------------------------
 */

/* Areas of equal priority take turns by batches, a higher one comes first, and
 * what CPUs keep is nobody's. */
static int turns_body(void *arg)
{
	static swp_entry_t e[3000];
	u32 n[3] = {0}, runs = 0, beside = 0;

	(void)arg;
	for (u32 i = 0; i < 3; i++)
		CHECK_EQ(swapon(tm_swap_disk(1001), i == 1 ? 4 : 3), (int)i);
	for (u32 i = 0; i < 3000; i++) {
		e[i] = get_swap_page();
		CHECK(e[i].val);
		n[swp_type(e[i])]++;
		CHECK_EQ(get_nr_swap_pages(), 3000 - i - 1);
		if (i && swp_type(e[i]) != swp_type(e[i - 1]))
			runs++;
		if (i == 999)
			CHECK(n[1] == 1000);
		if (i >= 1000 && i < 2000)
			CHECK(n[0] <= n[2] + 64 && n[2] <= n[0] + 64);
		/* A run's neighbours are neighbours on the disk, but where the
		 * area's first cluster, of which the header is, comes last. */
		if (i && swp_type(e[i]) == swp_type(e[i - 1]) &&
		    swp_offset(e[i]) != 1)
			beside += swp_offset(e[i]) == swp_offset(e[i - 1]) + 1;
	}
	CHECK(beside + runs > 2900);
	CHECK(n[0] == 1000 && n[2] == 1000 && runs >= 2000 / 64 - 1);
	CHECK_EQ(get_swap_page().val, 0);
	for (u32 i = 0; i < 3000; i++)
		swapcache_free(e[i]);
	swap_check();
	swap_areas_release();
	return 0;
}

/* What one CPU keeps another one can have when nothing else is left. */
static int lend_body(void *arg)
{
	static swp_entry_t e[SLOTS];
	u32 got = 0;

	(void)arg;
	for (int cpu = 0; cpu < tm.cfg.cpus; cpu++) {
		sim_set_cpu(port_self(), cpu);
		e[got++] = get_swap_page();
	}
	CHECK_EQ(cache_sys.swap[0]->slots_cached, 63 * (u32)tm.cfg.cpus);
	/* Each CPU has a run of its own. */
	CHECK(swp_offset(e[1]) / SWAPFILE_CLUSTER !=
	      swp_offset(e[0]) / SWAPFILE_CLUSTER);
	for (; got < SLOTS - 1; got++) {
		e[got] = get_swap_page();
		CHECK(e[got].val);
	}
	CHECK_EQ(get_swap_page().val, 0);
	CHECK_EQ(cache_sys.swap[0]->slots_cached, 0);
	while (got)
		swapcache_free(e[--got]);
	sim_set_cpu(port_self(), 0);
	return 0;
}

static void turns(void **state)
{
	(void)state;
	TM_RUN(turns_body);
	TM_RUN(lend_body, .cpus = 4, .swap_pages = SLOTS);
}

/* ---- pages out and in
 * -------------------------------------------------------------- */

/* A page that three processes share goes out once and comes back once. */
static int shared_body(void *arg)
{
	struct mm_struct *mm[3] = {tm_mm()};
	uva_t at = tm_map(mm[0], 1);
	swp_entry_t e;
	struct page *page;

	(void)arg;
	tm_use(mm[0]);
	tm_store(at, 42);
	CHECK_EQ(mm_fork(mm[0], &mm[1]), 0);
	CHECK_EQ(mm_fork(mm[1], &mm[2]), 0);
	tm_swap_out(mm[0], at);
	for (int i = 0; i < 3; i++)
		CHECK(pte_swap(tm_pte(mm[i], at)));
	e = pte_to_swp_entry(tm_pte(mm[0], at));
	CHECK_EQ(swap_count(e), 3);
	CHECK_EQ(tm_load(at), 42);
	page = lookup_swap_cache(e);
	CHECK(page && PageSwapCache(page));
	tm_use(mm[1]);
	CHECK_EQ(tm_load(at), 42);
	CHECK_EQ(pte_pfn(tm_pte(mm[1], at)), page_to_pfn(page));
	put_page(page);
	/* A write takes a copy; the others keep the old contents. */
	tm_store(at, 43);
	CHECK(pte_pfn(tm_pte(mm[1], at)) != page_to_pfn(page));
	CHECK_EQ(swap_count(e), 1);
	mm_put(mm[1]);
	tm_use(mm[0]);
	CHECK_EQ(tm_load(at), 42);
	mm_put(mm[0]);
	tm_use(mm[2]);
	CHECK_EQ(tm_load(at), 42);
	tm_store(at, 44);
	CHECK(!swap_slot_used(e));
	tm_swap_out(mm[2], at);
	CHECK_EQ(tm_load(at), 44);
	mm_check(mm[2]);
	mm_put(mm[2]);
	return 0;
}

static void shared_page(void **state)
{
	(void)state;
	TM_RUN(shared_body, .swap_pages = 64);
}

/* A page that stays clean in the swap cache is not written a second time. */
static int clean_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 1);
	struct sim_disk_stats before, after;

	(void)arg;
	tm_use(mm);
	tm_store(at, 1);
	tm_swap_out(mm, at);
	CHECK_EQ(tm_load(at), 1);
	sim_disk_stats(tm.disk, &before);
	tm_swap_out(mm, at);
	sim_disk_stats(tm.disk, &after);
	CHECK_EQ(after.writes, before.writes);
	CHECK_EQ(tm_load(at), 1);
	tm_store(at, 2);
	tm_swap_out(mm, at);
	sim_disk_stats(tm.disk, &after);
	CHECK_EQ(after.writes, before.writes + 1);
	CHECK_EQ(tm_load(at), 2);
	mm_put(mm);
	return 0;
}

static void clean_page(void **state)
{
	(void)state;
	TM_RUN(clean_body, .swap_pages = 64);
}

/* ---- I/O errors
 * ----------------------------------------------------------------------- */

/* A write error: the page stays, and goes out when the disk works again. */
static int write_error_body(void *arg)
{
	struct sim_disk_fault rule = {.writes = true, .error = -EIO};
	struct mm_struct *mm = tm_mm();
	struct sim_disk_stats s;
	uva_t at = tm_map(mm, 32);

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < 32; i++)
		tm_store(at + P(i), 70 + i);
	sim_disk_fail(tm.disk, &rule);
	for (u64 i = 0; i < 32; i++) {
		for (int tries = 0; tries < 3; tries++) {
			CHECK(!tm_reclaim_one(mm, at + P(i)));
			port_park(2 * 1000 * 1000);
		}
	}
	sim_disk_stats(tm.disk, &s);
	CHECK(s.errors >= 32);
	CHECK(tm_logged("write error"));
	for (u64 i = 0; i < 32; i += 2)
		CHECK_EQ(tm_load(at + P(i)), 70 + i);
	mm_check(mm);
	sim_disk_fail(tm.disk, NULL);
	for (u64 i = 0; i < 32; i++)
		tm_swap_out(mm, at + P(i));
	for (u64 i = 0; i < 32; i++)
		CHECK_EQ(tm_load(at + P(i)), 70 + i);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void write_error(void **state)
{
	(void)state;
	TM_RUN(write_error_body, .swap_pages = 128);
}

/* A read error is its owner's SIGBUS; others and other pages don't notice. */
static int read_error_body(void *arg)
{
	struct sim_disk_fault rule = {.reads = true, .error = -EIO};
	struct mm_struct *mm = tm_mm(), *other = tm_mm();
	uva_t at = tm_map(mm, 4), at2 = tm_map(other, 1);
	u64 v;

	(void)arg;
	tm_use(other);
	tm_store(at2, 5);
	tm_use(mm);
	for (u64 i = 0; i < 4; i++)
		tm_store(at + P(i), 80 + i);
	tm_swap_out(mm, at + P(1));
	tm_swap_out(other, at2);
	rule.first = swp_offset(pte_to_swp_entry(tm_pte(mm, at + P(1)))) * 8;
	rule.last = rule.first + 7;
	sim_disk_fail(tm.disk, &rule);
	CHECK_EQ(sim_copy_from_user(&v, at + P(1), 8), MM_SIGBUS);
	CHECK_EQ(sim_touch(at + P(1), SIM_WRITE), MM_SIGBUS);
	CHECK_EQ(tm_load(at), 80);
	CHECK_EQ(tm_load(at + P(2)), 82);
	CHECK(tm_logged("read error"));
	tm_use(other);
	CHECK_EQ(tm_load(at2), 5);
	mm_check(mm);
	mm_check(other);
	mm_put(other);
	tm_use(mm);
	/* What replaces it works, and nothing of it is left behind. */
	CHECK_EQ(do_madvise(mm, at + P(1), P(1), MADV_DONTNEED), 0);
	CHECK_EQ(tm_load(at + P(1)), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void read_error(void **state)
{
	(void)state;
	TM_RUN(read_error_body, .swap_pages = 128);
}

/* A read that fails once is tried again by the next access. */
static int read_again_body(void *arg)
{
	struct sim_disk_fault rule = {.reads = true, .times = 1, .error = -EIO};
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 1);
	u64 v;

	(void)arg;
	tm_use(mm);
	tm_store(at, 9);
	tm_swap_out(mm, at);
	sim_disk_fail(tm.disk, &rule);
	CHECK_EQ(sim_copy_from_user(&v, at, 8), MM_SIGBUS);
	CHECK_EQ(tm_load(at), 9);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

/* After a failed read the cache knows nothing of the slot: the next one needs
 * memory, and if there is none the slot is as it was. */
static int read_without_memory_body(void *arg)
{
	struct sim_disk_fault rule = {.reads = true, .times = 1, .error = -EIO};
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 1);
	u32 failed = 0;
	u64 v;

	(void)arg;
	tm_use(mm);
	for (u32 n = 1; n < 8; n++) {
		tm_store(at, n);
		tm_swap_out(mm, at);
		sim_disk_fail(tm.disk, &rule);
		CHECK_EQ(sim_copy_from_user(&v, at, 8), MM_SIGBUS);
		fail_arm_nth(FAIL_ALL, n, false);
		if (sim_copy_from_user(&v, at, 8) == 0)
			CHECK_EQ(v, n);
		failed += fail_disarm().fired > 0;
		CHECK_EQ(tm_load(at), n);
		swap_check();
	}
	CHECK(failed > 1);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void read_again(void **state)
{
	(void)state;
	TM_RUN(read_again_body, .swap_pages = 128);
	TM_RUN(read_without_memory_body, .swap_pages = 128);
}

/* Under pressure, with a disk that fails now and then: writes only delay. */
static int flaky_body(void *arg)
{
	struct sim_disk_fault rule = {
		.writes = true, .skip = 50, .times = 40, .error = -EIO};
	struct mm_struct *mm = tm_mm();
	u64 pages = 2 * tm.cfg.mem >> PAGE_SHIFT;
	uva_t at = tm_map(mm, pages);

	(void)arg;
	tm_use(mm);
	for (u64 round = 0; round < 4; round++) {
		sim_disk_fail(tm.disk, &rule);
		for (u64 i = 0; i < pages; i++) {
			if (round)
				CHECK_EQ(tm_load(at + P(i)), round * pages + i);
			tm_store(at + P(i), (round + 1) * pages + i);
		}
	}
	sim_disk_fail(tm.disk, NULL);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void flaky_disk(void **state)
{
	(void)state;
	TM_RUN(flaky_body, .mem = 6UL << 20, .swap_pages = 8192, .seed = 1);
	TM_RUN(flaky_body, .mem = 6UL << 20, .swap_pages = 8192, .seed = 2,
	       .cpus = 2, .explore = true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),	 cmocka_unit_test(bad_pages),
		cmocka_unit_test(mkswap_agrees), cmocka_unit_test(areas),
		cmocka_unit_test(slot_map),	 cmocka_unit_test(many_entries),
		cmocka_unit_test(count_memory),	 cmocka_unit_test(turns),
		cmocka_unit_test(shared_page),	 cmocka_unit_test(clean_page),
		cmocka_unit_test(write_error),	 cmocka_unit_test(read_error),
		cmocka_unit_test(read_again),	 cmocka_unit_test(flaky_disk),
	};

	return cmocka_run_group_tests_name("swap", tests, NULL, NULL);
}
