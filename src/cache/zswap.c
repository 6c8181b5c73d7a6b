/* SPDX-License-Identifier: MIT */
/*
 * zswap.c - a page that goes to swap is compressed and kept, if that is worth
 * it; only when the pool is full do the oldest go to the disk.
 *
 * 1. Purpose. A disk is a thousand times slower than decompressing. Most pages
 *    of programs compress to a third; many are one word repeated.
 *
 * 2. Way. The page gets a slot as ever, then swap_writepage() comes here. A
 *    page of one word is kept as that word; others as an LZ4 block in a pool
 *    (zs_pool.c). Reading finds the entry by its slot. An entry lives as long
 *    as its slot is in use and has not been written: a page that was read and
 *    stays clean in the swap cache equals it, and needs no second compressing.
 *
 * 3. Full. Above max_pool_percent of RAM nothing more is taken until the pool
 *    is below accept_threshold_percent of that limit; each page that is turned
 *    away meanwhile sends two of the oldest to the disk, so that what is new
 *    (and likelier to be wanted) finds room again. With shrinker_enabled
 *    reclaim asks for the same. Such a page comes into the swap cache, is
 *    decompressed, and written like any other.
 *
 * 4. Invariants.
 *    ZW-1  An entry's slot is in use; entry, page on the disk and page in the
 *          swap cache, clean, are equal where they exist.
 *    ZW-2  A slot that is written to its disk has no entry: what is older must
 *          not be found later.
 *    ZW-3  stored = entries in the tree = entries on the list; the pool's
 *          objects are those of them with a length.
 *
 * 5. Locking. One CPU's buffer, then the lock over tree, list and pool, inside
 *    an area's lock where slots are freed. Decompressing is done in the CPU's
 *    buffer without the latter.
 *
 * 6. Failure. No memory for an entry or its frames, or a page that does not
 *    compress: the page is written as without this. A block that does not
 *    decompress to a page, which would be broken memory, is a read error.
 *
 * 7. Rejected. Frames from what direct reclaim might free: it is reclaim that
 *    calls.
 *
 * References: Linux documentation, admin-guide/mm/zswap; S. Jennings (2013).
 */
#include "cache/zswap.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>
#include <mmkit/slab.h>

#include "base/lz4.h"
#include "base/printk.h"
#include "base/string.h"
#include "cache/swap.h"
#include "phys/phys.h"
#include "phys/vmstat.h"

/* For an entry and its frames: nobody waits, reclaim calls. */
#define ZSWAP_GFP  (__GFP_NORETRY | __GFP_NOWARN | __GFP_KSWAPD_RECLAIM)
#define PAGE_WORDS (PAGE_SIZE / sizeof(u64))

struct zswap_entry {
	struct rb_node rb;
	struct list_head lru;
	u64 slot; /* the swp_entry_t */
	u32 len;  /* of the block; 0: the page is WORD */
	union {
		u64 word;
		struct zs_ref ref;
	};
};

static struct zswap_state *zs(void)
{
	return &cache_sys.zswap;
}

void zswap_init(void)
{
	struct zswap_state *z = zs();

	spin_lock_init(&z->lock, LOCK_CLASS_ZSWAP);
	INIT_LIST_HEAD(&z->lru);
	z->same_filled_pages_enabled = 1;
	z->non_same_filled_pages_enabled = 1;
	z->max_pool_percent = 20;
	z->accept_threshold_percent = 90;
}

/* ---- entries ---------------------------------------------------------------
 */

static struct zswap_entry *entry_find(u64 slot)
{
	struct rb_node *n = zs()->tree.rb_node;

	while (n) {
		struct zswap_entry *e = rb_entry(n, struct zswap_entry, rb);

		if (e->slot == slot)
			return e;
		n = slot < e->slot ? n->left : n->right;
	}
	return NULL;
}

static void entry_insert(struct zswap_entry *new)
{
	struct rb_node **link = &zs()->tree.rb_node, *parent = NULL;

	while (*link) {
		struct zswap_entry *e = rb_entry(*link, struct zswap_entry, rb);

		mm_verify(e->slot != new->slot);
		parent = *link;
		link = new->slot < e->slot ? &parent->left : &parent->right;
	}
	rb_link_node(&new->rb, parent, link);
	rb_insert_color(&new->rb, &zs()->tree);
	list_add_tail(&new->lru, &zs()->lru);
	WRITE_ONCE(zs()->stored, zs()->stored + 1);
	zs()->same_filled += !new->len;
}

/* E, which is in the tree, and its object are gone. */
static void entry_free(struct zswap_entry *e)
{
	struct zswap_state *z = zs();

	rb_erase(&e->rb, &z->tree);
	list_del(&e->lru);
	WRITE_ONCE(z->stored, z->stored - 1);
	z->same_filled -= !e->len;
	if (e->len)
		zs_free(&z->pool, &e->ref);
	kmem_cache_free(z->entry_cache, e);
}

/* SLOT has no entry any more. True: it had. Locked. */
static bool entry_drop(u64 slot)
{
	struct zswap_entry *e = entry_find(slot);

	if (e)
		entry_free(e);
	return e != NULL;
}

void zswap_invalidate(swp_entry_t entry)
{
	struct zswap_state *z = zs();

	if (!READ_ONCE(z->stored))
		return;
	spin_lock(&z->lock);
	(void)entry_drop(entry.val);
	spin_unlock(&z->lock);
}

/* ---- how much --------------------------------------------------------------
 */

static u64 pool_limit(void)
{
	return totalram_pages() * READ_ONCE(zs()->max_pool_percent) / 100;
}

/* May one more come in? Locked. */
static bool may_accept(struct zswap_state *z)
{
	u64 limit = pool_limit(),
	    below = limit * READ_ONCE(z->accept_threshold_percent) / 100;

	if (!z->reached_full && z->pool.frames < limit)
		return true;
	if (!z->reached_full) {
		z->pool_limit_hit++;
		(void)zs_compact(&z->pool, z->pool.frames);
	}
	z->reached_full = z->pool.frames > below;
	return !z->reached_full;
}

u64 zswap_pool_pages(void)
{
	return READ_ONCE(zs()->pool.frames);
}

/* ---- storing ---------------------------------------------------------------
 */

/* The page at VIEW is *WORD all over. */
static bool same_filled(const void *view, u64 *word)
{
	const u64 *w = view;

	for (u32 i = 1; i < PAGE_WORDS; i++)
		if (w[i] != w[0])
			return false;
	*word = w[0];
	return true;
}

/* What PAGE becomes: E's length and word, the block in C's buffer. False: it
 * is not to be kept. */
static bool squeeze(struct page *page, struct zswap_cpu *c,
		    struct zswap_entry *e)
{
	struct zswap_state *z = zs();
	void *view = page_map(page);
	bool kept = READ_ONCE(z->same_filled_pages_enabled) &&
		    same_filled(view, &e->word);

	e->len = 0;
	if (!kept && READ_ONCE(z->non_same_filled_pages_enabled)) {
		e->len = lz4_compress(view, PAGE_SIZE, c->buf, ZS_MAX_OBJECT,
				      c->table);
		kept = e->len != 0;
		if (!kept)
			WRITE_ONCE(z->reject_compress_poor,
				   z->reject_compress_poor + 1);
	}
	page_unmap(page, view);
	return kept;
}

/* E, squeezed into C's buffer, becomes its slot's entry. False: no frames. */
static bool entry_store(struct zswap_cpu *c, struct zswap_entry *e)
{
	struct zswap_state *z = zs();
	bool done = true;

	spin_lock(&z->lock);
	if (entry_drop(e->slot))
		z->duplicate_entry++;
	if (e->len) {
		done = zs_alloc(&z->pool, e->len, ZSWAP_GFP, &e->ref);
		if (done)
			zs_store(&e->ref, c->buf, e->len);
		else
			z->reject_alloc_fail++;
	}
	if (done)
		entry_insert(e);
	spin_unlock(&z->lock);
	return done;
}

static bool store_page(struct page *page)
{
	struct zswap_state *z = zs();
	struct zswap_cpu *c = &z->cpu[port_cpu()];
	struct zswap_entry *e = kmem_cache_alloc(z->entry_cache, ZSWAP_GFP);
	bool done;

	if (!e) {
		WRITE_ONCE(z->reject_kmemcache_fail,
			   z->reject_kmemcache_fail + 1);
		return false;
	}
	e->slot = page_swap_entry(page).val;
	spin_lock(&c->lock);
	done = squeeze(page, c, e) && entry_store(c, e);
	spin_unlock(&c->lock);
	if (!done)
		kmem_cache_free(z->entry_cache, e);
	return done;
}

bool zswap_store(struct page *page)
{
	struct zswap_state *z = zs();
	bool room = false;

	if (READ_ONCE(z->enabled)) {
		spin_lock(&z->lock);
		room = may_accept(z);
		spin_unlock(&z->lock);
		if (!room)
			(void)zswap_writeback(2);
	}
	if (room && store_page(page)) {
		count_vm_event(ZSWPOUT);
		return true;
	}
	zswap_invalidate(page_swap_entry(page));
	return false;
}

/* ---- reading ---------------------------------------------------------------
 */

/* SLOT's block to C's buffer, or its word. *LEN, 0: the word. False: no entry.
 */
static bool entry_fetch(u64 slot, struct zswap_cpu *c, u32 *len, u64 *word)
{
	struct zswap_state *z = zs();
	struct zswap_entry *e;

	spin_lock(&z->lock);
	e = entry_find(slot);
	if (e && e->len)
		zs_load(&e->ref, c->buf, e->len);
	if (e) {
		*len = e->len;
		*word = e->word;
	}
	spin_unlock(&z->lock);
	return e != NULL;
}

/* PAGE becomes what is stored of its slot: 1; 0: nothing is; -EIO. */
static int entry_fill(struct page *page)
{
	struct zswap_cpu *c = &zs()->cpu[port_cpu()];
	u64 word, *view, *w;
	bool good = true;
	u32 len;

	spin_lock(&c->lock);
	if (!entry_fetch(page_swap_entry(page).val, c, &len, &word)) {
		spin_unlock(&c->lock);
		return 0;
	}
	w = view = page_map(page);
	if (len)
		good = lz4_decompress(c->buf, len, (u8 *)view, PAGE_SIZE) ==
		       PAGE_SIZE;
	for (u32 i = 0; i < PAGE_WORDS && !len; i++)
		*w++ = word;
	page_unmap(page, view);
	spin_unlock(&c->lock);
	return good ? 1 : -EIO;
}

bool zswap_load(struct page *page)
{
	int got;

	if (!READ_ONCE(zs()->stored))
		return false;
	got = entry_fill(page);
	if (!got)
		return false;
	if (got > 0) {
		SetPageUptodate(page);
		count_vm_event(ZSWPIN);
	} else {
		pr_err("zswap: what is kept of slot %llu is broken\n",
		       (unsigned long long)page_swap_entry(page).val);
		SetPageError(page);
	}
	return true;
}

/* ---- to the disk -----------------------------------------------------------
 */

/* The oldest entry's slot becomes the youngest's place in the row; 0: none. */
static u64 oldest_slot(void)
{
	struct zswap_state *z = zs();
	struct zswap_entry *e;
	u64 slot = 0;

	spin_lock(&z->lock);
	e = list_first_entry_or_null(&z->lru, struct zswap_entry, lru);
	if (e) {
		slot = e->slot;
		/* Whatever becomes of it, the next call looks at another. */
		list_move_tail(&e->lru, &z->lru);
	}
	spin_unlock(&z->lock);
	return slot;
}

/* PAGE, new in the swap cache, locked: written if the entry is still there. It
 * is unlocked by the write, or here. */
static bool write_out(struct page *page)
{
	swp_entry_t entry = page_swap_entry(page);

	if (entry_fill(page) <= 0) {
		delete_from_swap_cache(page);
		unlock_page(page);
		return false;
	}
	SetPageUptodate(page);
	/* ZW-2; a reader finds the page in the swap cache. */
	zswap_invalidate(entry);
	SetPageReclaim(page);
	if (!swap_write_disk(page))
		return true;
	/* No request: it is memory's again, and will be stored or written. */
	ClearPageReclaim(page);
	SetPageDirty(page);
	unlock_page(page);
	return false;
}

static bool writeback_one(u64 slot)
{
	static const struct mpol_place anywhere = {.pol = NULL};
	swp_entry_t entry = {slot};
	struct zswap_state *z = zs();
	struct page *page;
	bool started = false;

	if (!swap_area_get(entry))
		return false;
	page = swap_cache_new_page(
		entry, GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN, &anywhere);
	if (page && !IS_ERR(page)) {
		started = write_out(page);
		put_page(page);
	}
	swap_area_put(entry);
	spin_lock(&z->lock);
	z->written_back_pages += started;
	z->reject_reclaim_fail += !started;
	spin_unlock(&z->lock);
	return started;
}

u32 zswap_writeback(u32 nr)
{
	u32 started = 0;

	for (u32 i = 0; i < nr; i++) {
		u64 slot = oldest_slot();

		if (!slot)
			break;
		started += writeback_one(slot);
	}
	return started;
}

/* ---- reclaim's wish --------------------------------------------------------
 */

static u64 shrink_count(struct shrinker *s, struct shrink_control *sc)
{
	u64 n = 0;

	(void)s;
	if (READ_ONCE(zs()->shrinker_enabled) && (sc->gfp_mask & __GFP_IO))
		n = READ_ONCE(zs()->stored) - READ_ONCE(zs()->same_filled);
	return n + zs_compactable(&zs()->pool);
}

/* First what costs no disk. */
static u64 shrink_scan(struct shrinker *s, struct shrink_control *sc)
{
	struct zswap_state *z = zs();
	u64 freed;

	(void)s;
	spin_lock(&z->lock);
	freed = zs_compact(&z->pool, sc->nr_to_scan);
	spin_unlock(&z->lock);
	if (freed < sc->nr_to_scan && READ_ONCE(z->shrinker_enabled) &&
	    (sc->gfp_mask & __GFP_IO))
		freed +=
			zswap_writeback((u32)min(sc->nr_to_scan - freed, 32ul));
	return freed ? freed : SHRINK_STOP;
}

/* ---- on and off ------------------------------------------------------------
 */

static void cpus_free(struct zswap_state *z)
{
	for (int i = 0; z->cpu && i < port_nr_cpus(); i++) {
		kfree(z->cpu[i].buf);
		kfree(z->cpu[i].table);
	}
	kfree(z->cpu);
	z->cpu = NULL;
}

static int cpus_make(struct zswap_state *z)
{
	z->cpu = kcalloc((size_t)port_nr_cpus(), sizeof(*z->cpu), GFP_KERNEL);
	if (!z->cpu)
		return -ENOMEM;
	for (int i = 0; i < port_nr_cpus(); i++) {
		spin_lock_init(&z->cpu[i].lock, LOCK_CLASS_ZSWAP_CPU);
		z->cpu[i].buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
		z->cpu[i].table = kmalloc(LZ4_TABLE_SIZE, GFP_KERNEL);
		if (!z->cpu[i].buf || !z->cpu[i].table)
			return -ENOMEM;
	}
	return 0;
}

/* Everything that storing needs. 0 or -ENOMEM. swapon_mutex held. */
static int make_ready(struct zswap_state *z)
{
	int err = cpus_make(z);

	if (!err)
		err = zs_pool_init(&z->pool, &z->lock);
	if (!err) {
		z->entry_cache = kmem_cache_create(
			"zswap_entry", sizeof(struct zswap_entry), 0, 0, NULL);
		err = z->entry_cache ? 0 : -ENOMEM;
		z->shrinker = (struct shrinker){.count_objects = shrink_count,
						.scan_objects = shrink_scan,
						.seeks = DEFAULT_SEEKS};
		if (!err)
			err = register_shrinker(&z->shrinker, "mm-zswap");
		if (err && z->entry_cache)
			kmem_cache_destroy(z->entry_cache);
		if (err)
			zs_pool_exit(&z->pool);
	}
	if (err)
		cpus_free(z);
	else
		__atomic_store_n(&z->ready, true, __ATOMIC_RELEASE);
	return err;
}

void zswap_exit(void)
{
	struct zswap_state *z = zs();

	WRITE_ONCE(z->enabled, 0);
	if (!z->ready)
		return;
	mm_verify(z->stored == 0);
	unregister_shrinker(&z->shrinker);
	zs_pool_exit(&z->pool);
	kmem_cache_destroy(z->entry_cache);
	cpus_free(z);
	z->ready = false;
}

void zswap_check(void)
{
	struct zswap_state *z = zs();
	u64 n = 0, same = 0, objects = 0;
	struct zswap_entry *e;

	if (!z->ready)
		return;
	spin_lock(&z->lock);
	list_for_each_entry (e, &z->lru, lru) {
		mm_verify(entry_find(e->slot) == e);
		n++;
		same += !e->len;
	}
	zs_check(&z->pool);
	for (u32 i = 0; i < ZS_CLASSES; i++)
		objects += z->pool.class[i].objects;
	mm_verify(n == z->stored && same == z->same_filled);
	mm_verify(objects == n - same);
	spin_unlock(&z->lock);
}

/* ---- parameters ------------------------------------------------------------
 */

#define PARAM(n, most)                              \
	{                                           \
#n, &cache_sys.zswap.n, most, false \
	}
#define PARAM_BOOL(n)                           \
	{                                       \
#n, &cache_sys.zswap.n, 1, true \
	}

static const struct zswap_param {
	const char *name;
	u32 *value;
	u32 most;
	bool yes_no;
} params[] = {
	PARAM(accept_threshold_percent, 100),
	PARAM_BOOL(enabled),
	PARAM(max_pool_percent, 100),
	PARAM_BOOL(non_same_filled_pages_enabled),
	PARAM_BOOL(same_filled_pages_enabled),
	PARAM_BOOL(shrinker_enabled),
};

static const struct zswap_param *param_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(params); i++)
		if (!mm_strcmp(params[i].name, name))
			return &params[i];
	return NULL;
}

int zswap_param_show(const char *name, struct seq_buf *out)
{
	const struct zswap_param *p = param_find(name);

	if (!mm_strcmp(name, "compressor"))
		seq_puts(out, "lz4\n");
	else if (!mm_strcmp(name, "zpool"))
		seq_puts(out, "zsmalloc\n");
	else if (p && p->yes_no)
		seq_puts(out, READ_ONCE(*p->value) ? "Y\n" : "N\n");
	else if (p)
		seq_printf(out, "%u\n", READ_ONCE(*p->value));
	else
		return -ENOENT;
	return 0;
}

/* TEXT[LEN], a line, as P wants it. 0 or -EINVAL. */
static int param_parse(const struct zswap_param *p, const char *text,
		       size_t len, u32 *out)
{
	u32 v = 0;

	if (len && text[len - 1] == '\n')
		len--;
	if (!len || len > 9)
		return -EINVAL;
	if (p->yes_no && len == 1 && (*text == 'Y' || *text == 'y'))
		v = 1;
	else if (p->yes_no && len == 1 && (*text == 'N' || *text == 'n'))
		v = 0;
	else
		for (size_t i = 0; i < len; i++) {
			if (text[i] < '0' || text[i] > '9')
				return -EINVAL;
			v = v * 10 + (u32)(text[i] - '0');
		}
	if (v > p->most)
		return -EINVAL;
	*out = v;
	return 0;
}

int zswap_param_store(const char *name, const char *text, size_t len)
{
	const struct zswap_param *p = param_find(name);
	struct zswap_state *z = zs();
	u32 v;
	int err;

	if (!p)
		return -ENOENT;
	err = param_parse(p, text, len, &v);
	if (!err && p->value == &z->enabled && v) {
		mutex_lock(&cache_sys.swapon_mutex);
		err = z->ready ? 0 : make_ready(z);
		mutex_unlock(&cache_sys.swapon_mutex);
	}
	if (!err)
		WRITE_ONCE(*p->value, v);
	return err;
}

int zswap_debug_show(const char *name, struct seq_buf *out)
{
	const struct zswap_state *z = zs();
	const struct {
		const char *name;
		u64 value;
	} numbers[] = {
		{"duplicate_entry", z->duplicate_entry},
		{"pool_limit_hit", z->pool_limit_hit},
		{"pool_total_size", z->pool.frames << PAGE_SHIFT},
		{"reject_alloc_fail", z->reject_alloc_fail},
		{"reject_compress_poor", z->reject_compress_poor},
		{"reject_kmemcache_fail", z->reject_kmemcache_fail},
		{"reject_reclaim_fail", z->reject_reclaim_fail},
		{"same_filled_pages", z->same_filled},
		{"stored_pages", z->stored},
		{"written_back_pages", z->written_back_pages},
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (mm_strcmp(numbers[i].name, name))
			continue;
		seq_printf(out, "%llu\n", (unsigned long long)numbers[i].value);
		return 0;
	}
	return -ENOENT;
}
