/* SPDX-License-Identifier: MIT */
/*
 * The multi-generational policy: a model of generations, tiers and their
 * feedback in arrays, driven at random and compared page by page in order; the
 * aging of mapped pages, filters, looking around; what is promised by
 * min_ttl_ms; the files and commands; groups; and an exchange of policies in
 * the midst of everything.
 */
#include <mmkit/memcg.h>

#include "base/fail.h"
#include "move/migrate.h"
#include "policy/policy.h"
#include "reclaim/mglru.h"
#include "sim_machine.h"
#include "space/rmap.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

static struct lruvec *vec(void)
{
	return &NODE_DATA(0)->lruvec;
}

static struct mglru_room *room(void)
{
	CHECK(vec()->ops == &mglru_ops);
	return mglru_room(vec());
}

static s64 command(const char *text)
{
	return mm_write("/sys/kernel/debug/lru_gen", text, strlen(text));
}

static s64 set(const char *file, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/mm/lru_gen/%s", file);
	return mm_write(path, text, strlen(text));
}

static const char *get(const char *file)
{
	static char path[64], text[64];
	struct seq_buf s;

	snprintf(path, sizeof(path), "/sys/kernel/mm/lru_gen/%s", file);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(path, &s), 0);
	return seq_buf_str(&s);
}

/* A generation more, after a walk over ALL tables. */
static void age(bool all)
{
	char text[64];

	snprintf(text, sizeof(text), "+ 0 0 %llu",
		 (unsigned long long)room()->max_seq);
	if (all)
		CHECK_EQ(command(text), (s64)strlen(text));
	else
		CHECK(mglru_age(vec(), room()->max_seq, false));
	lru_check(vec());
}

static struct scan_control scan_of(int priority)
{
	return (struct scan_control){.nr_to_reclaim = 1,
				     .gfp = GFP_KERNEL,
				     .reclaim_idx = MAX_NR_ZONES - 1,
				     .may_unmap = true,
				     .may_swap = true,
				     .may_writepage = true,
				     .priority = priority};
}

static u64 scan(struct scan_control *sc)
{
	struct mm_task *task = port_current();
	u64 freed;

	task->flags |= PF_MEMALLOC;
	freed = vec()->ops->scan(vec(), sc);
	task->flags &= ~(u32)PF_MEMALLOC;
	lru_check(vec());
	return freed;
}

/* ---- the model: pages of files that nobody maps, so that all stay ---------
 */

#define NR_PAGES 600u

struct mpage {
	struct page *page;
	bool there;
	u32 uses; /* within a tier's count */
};

struct mgen {
	u32 v[NR_PAGES], nr; /* v[0] is the head */
};

struct model {
	struct mpage page[NR_PAGES];
	struct mgen gen[64]; /* by number, modulo */
	u64 max_seq, min_seq, anon_min;
	struct {
		u64 refaulted, evicted, protected;
	} now[4];
	struct {
		u64 refaulted, total;
	} past[4];
	u64 kept, evicted, returned;
};

static struct mgen *gen_of(struct model *m, u64 seq)
{
	return &m->gen[seq % ARRAY_SIZE(m->gen)];
}

static void push(struct mgen *g, u32 n)
{
	memmove(&g->v[1], &g->v[0], g->nr * sizeof(u32));
	g->v[0] = n;
	g->nr++;
}

static bool drop(struct mgen *g, u32 n)
{
	for (u32 i = 0; i < g->nr; i++) {
		if (g->v[i] != n)
			continue;
		memmove(&g->v[i], &g->v[i + 1], (g->nr - i - 1) * sizeof(u32));
		g->nr--;
		return true;
	}
	return false;
}

static u32 tier_of(u32 uses)
{
	u32 tier = 0;

	/* log2, rounded up */
	while (tier < 3 && 1u << tier < uses)
		tier++;
	return tier;
}

static u32 last_tier(const struct model *m)
{
	u64 back[4], gone[4];
	u32 t;

	for (t = 0; t < 4; t++) {
		back[t] = m->past[t].refaulted + m->now[t].refaulted;
		gone[t] = m->past[t].total + m->now[t].evicted +
			  m->now[t].protected + 64;
	}
	for (t = 1; t < 4; t++)
		if (back[t] * gone[0] > 2 * (back[0] + 1) * gone[t])
			break;
	return t - 1;
}

static void close_empty(struct model *m)
{
	while (m->max_seq - m->min_seq > 1 && !gen_of(m, m->min_seq)->nr)
		m->min_seq++;
}

static void model_age(struct model *m)
{
	if (m->max_seq - m->min_seq == 3) {
		struct mgen *old = gen_of(m, m->min_seq),
			    *next = gen_of(m, m->min_seq + 1);

		memcpy(&next->v[next->nr], old->v, old->nr * sizeof(u32));
		next->nr += old->nr;
		old->nr = 0;
		m->min_seq++;
	}
	for (u32 t = 0; t < 4; t++) {
		m->past[t].refaulted =
			(m->past[t].refaulted + m->now[t].refaulted) / 2;
		m->past[t].total = (m->past[t].total + m->now[t].evicted +
				    m->now[t].protected) /
				   2;
	}
	memset(m->now, 0, sizeof(m->now));
	m->max_seq++;
	gen_of(m, m->max_seq)->nr = 0;
	close_empty(m);
}

/* 32 pages at most from the oldest generation; how many; 0: there is none. */
static u32 model_round(struct model *m)
{
	u32 picked[32], n = 0, moved = 0, last = last_tier(m);
	u64 seq = m->min_seq;
	struct mgen *g;

	while (seq + 2 <= m->max_seq && !gen_of(m, seq)->nr)
		seq++;
	if (seq + 2 > m->max_seq)
		return 0;
	g = gen_of(m, seq);
	while (n < 32 && n + moved < 128 && g->nr) {
		u32 i = g->v[--g->nr], tier = tier_of(m->page[i].uses);

		if (tier <= last) {
			picked[n++] = i;
			continue;
		}
		m->now[tier].protected ++;
		m->page[i].uses = 0;
		push(gen_of(m, seq + 1), i);
		moved++;
		m->kept++;
	}
	close_empty(m);
	for (u32 i = 0; i < n; i++)
		push(gen_of(m, m->min_seq + 1), picked[i]);
	return max(n, 1u);
}

static void op_scan(struct model *m)
{
	struct scan_control sc = scan_of(DEF_PRIORITY);
	u32 left = 32, aged = 0;

	CHECK_EQ(scan(&sc), 0);
	for (u32 i = 0; i < NR_PAGES && left; i++) {
		u32 n = model_round(m);

		left -= min(left, n);
		if (!n && aged++ == 4)
			break;
		if (!n)
			model_age(m);
	}
}

static void compare_gen(struct model *m, u64 seq)
{
	const struct mgen *g = gen_of(m, seq);
	const struct page_list *l = NULL;
	const struct page *p;

	for (u32 z = 0; z < LRU_NR_ZONES; z++) {
		struct page_list *of =
			&room()->lists[seq % MGLRU_MAX_GENS][MGLRU_FILE][z];

		if (of->count) {
			CHECK(!l);
			l = of;
		}
	}
	CHECK_EQ(l ? l->count : 0, g->nr);
	p = l ? page_list_first(l) : NULL;
	for (u32 i = 0; i < g->nr; i++, p = page_list_next(p)) {
		CHECK(p == m->page[g->v[i]].page);
		CHECK_EQ(mglru_tier(p), tier_of(m->page[g->v[i]].uses));
	}
}

static void compare(struct model *m)
{
	lru_check(vec());
	CHECK_EQ(room()->max_seq, m->max_seq);
	CHECK_EQ(room()->min_seq[MGLRU_FILE], m->min_seq);
	for (u64 seq = m->min_seq; seq <= m->max_seq; seq++)
		compare_gen(m, seq);
	CHECK_EQ(mglru_last_tier(room(), MGLRU_FILE), last_tier(m));
	CHECK_EQ(lruvec_size(vec(), LRU_ACTIVE_FILE),
		 gen_of(m, m->max_seq)->nr + gen_of(m, m->max_seq - 1)->nr);
	CHECK_EQ(node_page_state(NODE_DATA(0), NR_ISOLATED_FILE), 0);
}

static void op_add(struct model *m, u32 n, u64 seq)
{
	m->page[n].there = true;
	lru_cache_add(m->page[n].page);
	lru_add_drain();
	push(gen_of(m, seq), n);
}

static void op_new(struct model *m, u32 n)
{
	m->page[n].page = alloc_page(GFP_KERNEL);
	CHECK(m->page[n].page);
	m->page[n].uses = 0;
	op_add(m, n, m->min_seq);
}

static void op_use(struct model *m, u32 n)
{
	struct mpage *p = &m->page[n];

	mark_page_accessed(p->page);
	/* Above the last tier's begin it says no more than odd or even. */
	if (p->uses < 7)
		p->uses++;
}

static void op_free(struct model *m, u32 n)
{
	ClearPageReferenced(m->page[n].page);
	put_page(m->page[n].page);
	m->page[n].there = false;
	for (u64 seq = m->min_seq; seq <= m->max_seq; seq++)
		if (drop(gen_of(m, seq), n))
			return;
	CHECK(false);
}

/* What of it came back, if that is SINCE closed generations later? */
static void model_refault(struct model *m, u32 n, u32 tier, u64 since)
{
	static const u8 uses[] = {0, 2, 4, 6};

	if (since >= 4) {
		m->page[n].uses = 0;
		return;
	}
	m->now[tier].refaulted++;
	m->page[n].uses = uses[tier];
	m->returned++;
}

/* A page of the oldest generation is evicted, and comes back in another
 * frame, now or when generations have gone. */
static void op_refault(struct model *m, struct prng *r)
{
	struct mgen *g = gen_of(m, m->min_seq);
	struct page *old;
	u64 since, was;
	void *shadow;
	u32 n, tier;

	if (!g->nr)
		return;
	n = g->v[prng_below(r, g->nr)];
	old = m->page[n].page;
	tier = tier_of(m->page[n].uses);
	CHECK(lru_isolate_page(old));
	drop(g, n);
	shadow = workingset_eviction(old);
	m->now[tier].evicted++;
	m->evicted++;
	put_page(old);
	ClearPageReferenced(old);
	ClearPageActive(old);
	put_page(old);
	/* What was used is missed more often. */
	m->page[n].there = false;
	if (!tier && !prng_one_in(r, 10))
		return;
	was = m->min_seq;
	for (u64 i = prng_one_in(r, 10) ? prng_below(r, 7) : 0; i > 0; i--) {
		age(true);
		model_age(m);
	}
	since = m->min_seq - was;
	m->page[n].page = alloc_page(GFP_KERNEL);
	CHECK(m->page[n].page);
	workingset_refault(m->page[n].page, shadow);
	model_refault(m, n, tier, since);
	CHECK_EQ(PageActive(m->page[n].page), since < 4);
	op_add(m, n, m->min_seq + (since < 4));
}

static void step(struct model *m, struct prng *r)
{
	u32 n = (u32)prng_below(r, NR_PAGES);

	/* Some pages are hot. */
	if (prng_one_in(r, 2))
		n %= 60;
	if (prng_one_in(r, 90)) {
		op_scan(m);
		compare(m);
	} else if (prng_one_in(r, 200)) {
		age(prng_one_in(r, 2));
		model_age(m);
	} else if (prng_one_in(r, 4)) {
		op_refault(m, r);
	} else if (!m->page[n].there) {
		op_new(m, n);
	} else if (prng_one_in(r, 10)) {
		op_free(m, n);
	} else {
		op_use(m, n);
	}
}

static int model_body(void *arg)
{
	static struct model m;
	u32 left = 0;
	struct prng r;

	(void)arg;
	memset(&m, 0, sizeof(m));
	m.max_seq = room()->max_seq;
	m.min_seq = room()->min_seq[MGLRU_FILE];
	prng_seed(&r, tm.cfg.seed);
	for (u32 i = 0; i < 5000; i++)
		step(&m, &r);
	compare(&m);
	CHECK(m.kept > 10 && m.evicted > 100 && m.returned > 50);
	/* What it leaves is somebody else's, and again. */
	for (u32 n = 0; n < NR_PAGES; n++)
		left += m.page[n].there;
	for (u32 i = 0; i < 4; i++) {
		CHECK_EQ(reclaim_select(i == 1 ? "mglru" : "s3fifo"), 0);
		lru_check(vec());
		CHECK_EQ(lruvec_size(vec(), LRU_INACTIVE_FILE) +
				 lruvec_size(vec(), LRU_ACTIVE_FILE),
			 left);
	}
	for (u32 n = 0; n < NR_PAGES; n++) {
		if (!m.page[n].there)
			continue;
		ClearPageReferenced(m.page[n].page);
		put_page(m.page[n].page);
	}
	return 0;
}

static void model(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 500 : 8);

	(void)state;
	for (u64 i = 0; i < n; i++)
		TM_RUN(model_body, .seed = seed + i, .policy = "mglru");
}

/* ---- mapped pages
 * ---------------------------------------------------------------------------
 */

static struct mm_struct *new_space(void)
{
	struct mm_struct *mm = tm_mm();

	tm_use(mm);
	return mm;
}

static uva_t map_pages(struct mm_struct *mm, u64 n, uva_t at)
{
	s64 got = do_mmap(mm, at, P(n), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0));

	CHECK(got > 0);
	return (uva_t)got;
}

static void touch(uva_t at)
{
	u64 v = at;

	CHECK_EQ(sim_copy_to_user(at, &v, sizeof(v)), 0);
}

static void touch_some(uva_t at, u64 from, u64 n, u64 every)
{
	for (u64 i = from; i < from + n; i += every)
		touch(at + P(i));
	lru_add_drain();
}

static struct page *page_at(struct mm_struct *mm, uva_t at)
{
	struct pt_slot slot;
	pte_t e;

	if (!pt_lookup(&mm->pt, at, &slot))
		return NULL;
	e = pt_get(&slot);
	return pte_present(e) ? pfn_to_page(pte_pfn(e)) : NULL;
}

/* Of one of the two youngest generations: a walk promotes to the youngest,
 * and then begins another. */
static bool is_young(struct mm_struct *mm, uva_t at)
{
	struct page *p = page_at(mm, at);
	u32 gen;

	CHECK(p && PageLRU(p));
	gen = mglru_field(p, MGLRU_GEN);
	return gen == mglru_gen(room()->max_seq) ||
	       gen == mglru_gen(room()->max_seq - 1);
}

static int aging_body(void *arg)
{
	struct mm_struct *mm = new_space();
	uva_t at = map_pages(mm, 300, 0);
	u64 seq = room()->max_seq, vmin;
	char text[64];

	(void)arg;
	touch_some(at, 0, 300, 1);
	for (u64 i = 0; i < 300; i++)
		CHECK(is_young(mm, at + P(i)));
	/* The touch that made them counts as one; then it takes uses. */
	age(true);
	age(true);
	CHECK_EQ(room()->max_seq, seq + 2);
	for (u64 i = 0; i < 300; i++)
		CHECK(!is_young(mm, at + P(i)));
	touch_some(at, 0, 300, 3);
	age(true);
	for (u64 i = 0; i < 300; i++)
		CHECK_EQ(is_young(mm, at + P(i)), i % 3 == 0);
	/* In place: they stand where they stood. */
	CHECK_EQ(mglru_field(page_at(mm, at), MGLRU_ON), mglru_gen(seq));
	CHECK_EQ(lruvec_size(vec(), LRU_ACTIVE_ANON), 100);
	/* What is evicted is what was not used. */
	vmin = room()->min_seq[MGLRU_ANON];
	CHECK(vmin + MGLRU_MIN_GENS <= room()->max_seq);
	snprintf(text, sizeof(text), "- 0 0 %llu 100",
		 (unsigned long long)vmin);
	for (u32 i = 0; i < 20; i++) {
		CHECK_EQ(command(text), (s64)strlen(text));
		port_park(20 * 1000 * 1000);
		if (i % 4 == 3)
			age(true);
		vmin = room()->min_seq[MGLRU_ANON];
		snprintf(text, sizeof(text), "- 0 0 %llu 100",
			 (unsigned long long)min(vmin, room()->max_seq - 2));
		/* Whoever is used stays used. */
		touch_some(at, 0, 300, 3);
	}
	for (u64 i = 0; i < 300; i++)
		CHECK_EQ(page_at(mm, at + P(i)) != NULL, i % 3 == 0);
	lru_check(vec());
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* PAGE moves to another frame of its node. */
static void migrate_one(struct page *page)
{
	struct migrate_target where = {.nid = NUMA_NO_NODE,
				       .nodes = NODE_MASK_ALL};
	struct migrate_control mc = {.get_new = migrate_new_page,
				     .arg = &where,
				     .mode = MIGRATE_SYNC};
	struct page_list list;

	page_list_init(&list);
	CHECK(isolate_lru_page(page));
	page_list_add(&list, page);
	CHECK_EQ(migrate_pages(&list, &mc), 0);
	lru_add_drain_all();
}

/* In its new frame a page is of the generation that it was of, and its entry
 * says whether it was used since. */
static int frames_body(void *arg)
{
	struct mm_struct *mm = new_space();
	uva_t at = map_pages(mm, 40, 0);

	(void)arg;
	touch_some(at, 0, 40, 1);
	age(true);
	age(true);
	touch_some(at, 0, 40, 2);
	age(true);
	touch_some(at, 0, 40, 5);
	for (u64 i = 0; i < 40; i++) {
		struct page *page = page_at(mm, at + P(i));
		u32 gen = mglru_field(page, MGLRU_GEN);
		u64 young = lruvec_size(vec(), LRU_ACTIVE_ANON);

		CHECK_EQ(is_young(mm, at + P(i)), i % 2 == 0);
		migrate_one(page);
		CHECK(page_at(mm, at + P(i)) != page);
		CHECK_EQ(mglru_field(page_at(mm, at + P(i)), MGLRU_GEN), gen);
		CHECK_EQ(lruvec_size(vec(), LRU_ACTIVE_ANON), young);
	}
	lru_check(vec());
	/* The entries of every fifth are accessed still. */
	age(true);
	for (u64 i = 0; i < 40; i++)
		CHECK_EQ(is_young(mm, at + P(i)), i % 5 == 0);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void frames(void **state)
{
	(void)state;
	TM_RUN(frames_body, .policy = "mglru");
}

static void aging(void **state)
{
	(void)state;
	TM_RUN(aging_body, .swap_pages = 2048, .policy = "mglru");
}

/* Tables with many used pages are read by the next walk, others are not. */
static int filter_body(void *arg)
{
	uva_t base = 64UL << 30;
	struct mm_struct *mm = new_space();
	u64 read, passed;

	(void)arg;
	/* Eight tables; three of them dense. */
	for (u64 t = 0; t < 8; t++) {
		(void)map_pages(mm, 512, base + P(512) * t);
		touch_some(base + P(512) * t, 0, 512, t < 3 ? 4 : 64);
		CHECK(page_at(mm, base + P(512) * t));
	}
	read = reclaim_sys.mglru.tables_read;
	age(false);
	CHECK_EQ(reclaim_sys.mglru.tables_read - read, 8);
	CHECK_EQ(reclaim_sys.mglru.nr_filters, 1);
	for (u64 t = 0; t < 8; t++)
		touch_some(base + P(512) * t, 0, t < 3 ? 512 : 1, 4);
	/* All were dense: of what is present every page was used. Now not. */
	for (u64 t = 3; t < 8; t++)
		touch_some(base + P(512) * t, 64, 448, 1);
	age(true);
	for (u64 t = 0; t < 8; t++)
		touch_some(base + P(512) * t, 0, t < 3 ? 512 : 1, 4);
	age(true);
	for (u64 t = 0; t < 8; t++)
		touch_some(base + P(512) * t, 0, t < 3 ? 512 : 1, 4);
	read = reclaim_sys.mglru.tables_read;
	passed = reclaim_sys.mglru.tables_passed;
	age(false);
	CHECK_EQ(reclaim_sys.mglru.tables_read - read, 3);
	CHECK_EQ(reclaim_sys.mglru.tables_passed - passed, 5);
	CHECK(is_young(mm, base) && !is_young(mm, base + P(512) * 3));
	/* Asked for all, it reads all: that bit has waited. */
	age(true);
	CHECK(is_young(mm, base + P(512) * 3));
	/* The frame goes with the policy. */
	CHECK_EQ(reclaim_select("classic"), 0);
	CHECK_EQ(reclaim_sys.mglru.nr_filters, 0);
	CHECK_EQ(reclaim_select("mglru"), 0);
	/* Without one everything is read. */
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1, false);
	age(false);
	CHECK_EQ(fail_disarm().fired, 1);
	CHECK_EQ(reclaim_sys.mglru.nr_filters, 0);
	read = reclaim_sys.mglru.tables_read;
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1, false);
	age(false);
	(void)fail_disarm();
	CHECK_EQ(reclaim_sys.mglru.tables_read - read, 8);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void filters(void **state)
{
	(void)state;
	TM_RUN(filter_body, .mem = 32UL << 20, .policy = "mglru");
}

/* Eviction, without walks, asks one page and sees its neighbours. */
static int look_body(void *arg)
{
	uva_t at = 64UL << 30;
	struct mm_struct *mm = new_space();
	struct page *page;
	u64 walks;

	(void)arg;
	CHECK_EQ(set("enabled", "1"), 1);
	(void)map_pages(mm, 512, at);
	touch_some(at, 0, 512, 1);
	/* No walk: the bits of all stay, and their pages grow old. */
	age(true);
	age(true);
	CHECK(!is_young(mm, at));
	page = page_at(mm, at + P(200));
	CHECK(lru_isolate_page(page));
	walks = sum_vm_event(RMAP_WALKS);
	CHECK(mglru_look(vec(), page));
	CHECK_EQ(sum_vm_event(RMAP_WALKS), walks + 1);
	CHECK(!mglru_look(vec(), page));
	lru_putback_page(page);
	lru_add_drain();
	for (u64 i = 0; i < 512; i++)
		if (i != 200)
			CHECK_EQ(is_young(mm, at + P(i)), i >= 168 && i < 232);
	/* At the ends of a mapping and of a table. */
	page = page_at(mm, at + P(511));
	CHECK(lru_isolate_page(page));
	CHECK(mglru_look(vec(), page));
	lru_putback_page(page);
	lru_add_drain();
	CHECK(is_young(mm, at + P(479)) && !is_young(mm, at + P(478)));
	/* Isolated ones are for who isolated them. */
	page = page_at(mm, at + P(10));
	CHECK(lru_isolate_page(page));
	CHECK(lru_isolate_page(page_at(mm, at)));
	CHECK(mglru_look(vec(), page));
	CHECK(is_young(mm, at + P(1)));
	CHECK(mglru_look(vec(), page_at(mm, at)));
	lru_putback_page(page);
	lru_putback_page(page_at(mm, at));
	lru_add_drain();
	lru_check(vec());
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void looking_around(void **state)
{
	(void)state;
	TM_RUN(look_body, .policy = "mglru");
}

/* ---- the balance of types
 * ------------------------------------------------------------------------ */

static int balance_body(void *arg)
{
	struct mglru_room *r = room();
	struct scan_control sc = scan_of(1);

	(void)arg;
	/* Nothing known: swappiness decides. */
	CHECK_EQ(mglru_prefer(r, 60), MGLRU_FILE);
	CHECK_EQ(mglru_prefer(r, 100), MGLRU_FILE);
	CHECK_EQ(mglru_prefer(r, 140), MGLRU_ANON);
	CHECK_EQ(mglru_prefer(r, 200), MGLRU_ANON);
	/* Files come back: less of them. */
	r->now[MGLRU_FILE][0].refaulted = 40;
	r->now[MGLRU_FILE][0].evicted = 100;
	r->past[MGLRU_ANON][0].total = 100;
	CHECK_EQ(mglru_prefer(r, 60), MGLRU_ANON);
	CHECK_EQ(mglru_prefer(r, 0), MGLRU_FILE);
	/* And anonymous ones as much: by swappiness again. */
	r->past[MGLRU_ANON][0].refaulted = 40;
	CHECK_EQ(mglru_prefer(r, 60), MGLRU_FILE);
	CHECK_EQ(mglru_prefer(r, 140), MGLRU_ANON);
	/* The other tiers are no part of it. */
	r->now[MGLRU_ANON][2].refaulted = 1000;
	CHECK_EQ(mglru_prefer(r, 140), MGLRU_ANON);
	memset(r->now, 0, sizeof(r->now));
	memset(r->past, 0, sizeof(r->past));
	CHECK_EQ(scan(&sc), 0);
	return 0;
}

static void balance(void **state)
{
	(void)state;
	TM_RUN(balance_body, .policy = "mglru", .swap_pages = 128);
}

/* Without swap, or with swappiness 0, no anonymous page is taken. */
static int kinds_body(void *arg)
{
	struct page *pages[2][64];
	struct scan_control sc = scan_of(2);

	for (u32 k = 0; k < 2; k++)
		for (u32 i = 0; i < 64; i++) {
			pages[k][i] = alloc_page(GFP_KERNEL);
			CHECK(pages[k][i]);
			if (k == 0)
				SetPageSwapBacked(pages[k][i]);
			lru_cache_add(pages[k][i]);
		}
	lru_add_drain();
	if (arg)
		reclaim_sys.swappiness = *(u32 *)arg;
	for (u32 i = 0; i < 3; i++)
		CHECK_EQ(scan(&sc), 0);
	CHECK_EQ(sum_vm_event(PGSCAN_ANON) > 0,
		 tm.cfg.swap_pages > 0 && arg && *(u32 *)arg > 0);
	CHECK(sum_vm_event(PGSCAN_FILE) > 0);
	for (u32 k = 0; k < 2; k++)
		for (u32 i = 0; i < 64; i++)
			put_page(pages[k][i]);
	return 0;
}

static void kinds(void **state)
{
	u32 none = 0, most = 100;

	(void)state;
	TM_RUN(kinds_body, .policy = "mglru");
	TM_RUN(kinds_body, .policy = "mglru", .swap_pages = 256, .arg = &none);
	TM_RUN(kinds_body, .policy = "mglru", .swap_pages = 256, .arg = &most);
}

/* ---- min_ttl_ms
 * ----------------------------------------------------------------------------
 */

static int ttl_body(void *arg)
{
	struct mm_struct *mm = new_space();
	uva_t at = map_pages(mm, 400, 0);
	struct scan_control sc = scan_of(0);

	(void)arg;
	touch_some(at, 0, 400, 1);
	CHECK_EQ(set("min_ttl_ms", "500\n"), 4);
	port_park(20 * 1000 * 1000);
	age(true);
	age(true);
	age(true);
	/* The oldest one is as old as the machine, or nearly. */
	CHECK_EQ(scan(&sc), 0);
	CHECK_EQ(sc.nr_scanned, 0);
	CHECK_EQ(sc.nr.taken, 0);
	port_park(600UL * 1000 * 1000);
	(void)scan(&sc);
	CHECK(sc.nr.taken > 0);
	CHECK_EQ(set("min_ttl_ms", "0"), 1);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void hog_thread(void *arg)
{
	struct mm_task *task = port_current();
	struct mm_struct *mm = tm_mm();
	u64 *rounds = arg;
	uva_t at;

	mm_task_register(task, "hog");
	mm_task_attach(task, mm);
	mm_put(mm);
	at = map_pages(mm, 8192, 0);
	for (*rounds = 0; *rounds < 3; ++*rounds)
		for (u64 i = 0; i < 8192; i++) {
			u64 v = i;

			if (sim_copy_to_user(at + P(i), &v, sizeof(v)))
				goto out;
		}
out:
	mm_task_exit(task);
	mm_task_unregister(task);
}

/* Twice the RAM, all of it used: it is paged, or, protected, killed. */
static int ttl_oom_body(void *arg)
{
	struct port_thread *t;
	u64 rounds = 0;
	bool protect = *(bool *)arg;

	if (protect)
		CHECK_EQ(set("min_ttl_ms", "1000000"), 7);
	CHECK_EQ(sim_thread_start_on(&t, "hog", 0, hog_thread, &rounds), 0);
	port_thread_join(t);
	CHECK_EQ(policy_sys.oom_kills, protect);
	CHECK_EQ(rounds, protect ? 0 : 3);
	CHECK_EQ(sum_vm_event(PSWPOUT) > 1000, !protect);
	return 0;
}

static void min_ttl(void **state)
{
	bool protect = true, page = false;

	(void)state;
	TM_RUN(ttl_body, .swap_pages = 2048, .policy = "mglru");
	TM_RUN(ttl_oom_body, .swap_pages = 16384, .policy = "mglru",
	       .arg = &page);
	TM_RUN(ttl_oom_body, .swap_pages = 16384, .policy = "mglru",
	       .arg = &protect);
}

/* ---- files and commands
 * -------------------------------------------------------------------------- */

static const char *debug_text(void)
{
	static char text[2048];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/sys/kernel/debug/lru_gen", &s), 0);
	return seq_buf_str(&s);
}

static int files_body(void *arg)
{
	struct page *page;

	(void)arg;
	CHECK(!strcmp(get("enabled"), "0x0002\n"));
	CHECK(!strcmp(get("min_ttl_ms"), "0\n"));
	CHECK(!strcmp(debug_text(), "memcg     0 /\n node     0\n"));
	CHECK_EQ(command("+ 0 0 3"), -EINVAL);
	CHECK_EQ(set("enabled", "y\n"), 2);
	CHECK(!strcmp(get("enabled"), "0x0003\n"));
	CHECK(lru_policy() == &mglru_ops);
	CHECK_EQ(set("enabled", "0x0005"), 6);
	CHECK(!strcmp(get("enabled"), "0x0001\n"));
	CHECK_EQ(set("enabled", "x"), -EINVAL);
	CHECK_EQ(set("enabled", ""), -EINVAL);
	CHECK_EQ(set("enabled", "99999999999999999999"), -EINVAL);
	CHECK_EQ(set("min_ttl_ms", "-1"), -EINVAL);
	CHECK_EQ(set("min_ttl", "1"), -ENOENT);
	CHECK(!strcmp(get("enabled"), "0x0001\n"));
	CHECK_EQ(set("enabled", "0"), 1);
	CHECK(lru_policy() == &classic_ops);
	/* It takes the place of whatever there was. */
	CHECK_EQ(reclaim_select("arc"), 0);
	CHECK_EQ(set("enabled", "7"), 1);
	CHECK_EQ(set("enabled", "n"), 1);
	CHECK(!strcmp(lru_policy()->name, "arc"));
	CHECK_EQ(set("enabled", "Y"), 1);

	page = alloc_page(GFP_KERNEL);
	CHECK(page);
	lru_cache_add(page);
	lru_add_drain();
	CHECK(!strcmp(debug_text(),
		      "memcg     0 /\n node     0\n"
		      "          2          0          0           1 \n"
		      "          3          0          0           0 \n"));
	port_park(7 * 1000 * 1000);
	CHECK_EQ(command("+ 0 0 3\n"), 8);
	CHECK(!strcmp(debug_text(),
		      "memcg     0 /\n node     0\n"
		      "          2          7          0           1 \n"
		      "          3          7          0           0 \n"
		      "          4          0          0           0 \n"));
	put_page(page);
	return 0;
}

static int commands_body(void *arg)
{
	static const char *const bad[] = {
		"x 0 0 3",   "+",	    "+ 0",	     "+ 0 0",
		"+ 0 0 x",   "+ 0 0 4",	    "+ 0 1 3",	     "+ 0 99999 3",
		"+ 7 0 3",   "+ 99999 0 3", "+ 0 0 3 1 1 1", "- 0 0 2",
		"- 0 0 3",   "- 0 0 1 201", "+ 0 0 -3",	     "- 0 0",
		"+ 0 0 3x1", "+0x 0 3",
	};

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(tm_context, sizeof(tm_context), "(%s)", bad[i]);
		CHECK_EQ(command(bad[i]), -EINVAL);
		CHECK_EQ(room()->max_seq, 3);
	}
	CHECK_EQ(command(""), 0);
	CHECK_EQ(command("\n"), 1);
	/* What is there already need not be made. */
	CHECK_EQ(command("+ 0 0 2"), 7);
	CHECK_EQ(room()->max_seq, 3);
	/* Several, each way of ending one. */
	CHECK_EQ(command("+ 0 0 3;+ 0 0 4,+ 0 0 5\n"), 24);
	CHECK_EQ(room()->max_seq, 6);
	/* Those before a bad one are done. */
	CHECK_EQ(command("+ 0 0 6\nz\n+ 0 0 7\n"), -EINVAL);
	CHECK_EQ(room()->max_seq, 7);
	CHECK_EQ(command("- 0 0 5 60 10"), 13);
	return 0;
}

/* "+" that is not forced loses no generation. */
static int range_body(void *arg)
{
	struct page *page = alloc_page(GFP_KERNEL);

	(void)arg;
	CHECK(page);
	lru_cache_add(page);
	lru_add_drain();
	CHECK_EQ(command("+ 0 0 3 0 0;+ 0 0 4 0 0"), 23);
	CHECK_EQ(command("+ 0 0 5 0 0"), -ERANGE);
	CHECK_EQ(room()->max_seq, 5);
	CHECK_EQ(room()->min_seq[MGLRU_FILE], 2);
	CHECK_EQ(command("+ 0 0 5 0 1"), 11);
	CHECK_EQ(room()->max_seq, 6);
	CHECK_EQ(room()->min_seq[MGLRU_FILE], 3);
	lru_check(vec());
	put_page(page);
	return 0;
}

static void files(void **state)
{
	(void)state;
	TM_RUN(files_body);
	TM_RUN(commands_body, .policy = "mglru");
	TM_RUN(range_body, .policy = "mglru");
}

/* ---- groups and nodes
 * ------------------------------------------------------------------------------
 */

static int groups_body(void *arg)
{
	struct mm_struct *mm = new_space();
	struct mm_task *task = port_current();
	struct lruvec *theirs;
	struct memcg *m;
	uva_t at;
	char text[64];
	u16 id = 0;

	(void)arg;
	CHECK_EQ(memcg_create(0, &id), 0);
	at = map_pages(mm, 64, 0);
	touch_some(at, 0, 32, 1);
	CHECK_EQ(memcg_attach(task, id), 0);
	touch_some(at, 32, 32, 1);
	m = memcg_get(id);
	CHECK(m);
	theirs = group_lruvec(&m->page, NODE_DATA(0));
	CHECK(page_lruvec(page_at(mm, at)) == vec());
	CHECK(page_lruvec(page_at(mm, at + P(40))) == theirs);
	/* Nobody uses them for two generations. */
	age(true);
	age(true);
	snprintf(text, sizeof(text), "+ %u 0 3;+ %u 0 4", id, id);
	CHECK_EQ(command(text), (s64)strlen(text));
	touch_some(at, 0, 64, 1);
	/* The group's aging: its pages, and nobody else's bits. */
	snprintf(text, sizeof(text), "+ %u 0 5", id);
	CHECK_EQ(command(text), (s64)strlen(text));
	CHECK_EQ(mglru_room(theirs)->max_seq, 6);
	CHECK_EQ(room()->max_seq, 5);
	CHECK_EQ(mglru_nr(mglru_room(theirs), 5, MGLRU_ANON, LRU_NR_ZONES), 32);
	CHECK_EQ(mglru_nr(room(), 5, MGLRU_ANON, LRU_NR_ZONES), 0);
	age(true);
	CHECK_EQ(mglru_nr(room(), 5, MGLRU_ANON, LRU_NR_ZONES), 32);
	snprintf(text, sizeof(text), "memcg %5u /%u\n node     0\n", id, id);
	CHECK(strstr(debug_text(), text));
	lru_check(theirs);
	memcg_put(m, 1);
	CHECK_EQ(memcg_attach(task, 0), 0);
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(memcg_remove(id), 0);
	return 0;
}

static void groups(void **state)
{
	(void)state;
	TM_RUN(groups_body, .policy = "mglru");
}

/* ---- an exchange of the policy, and everything else meanwhile --------------
 */

#define NR_MOVED 1500u

struct mover {
	struct page *pages[NR_MOVED];
	bool done;
	u64 between; /* how often it was seen in the midst */
};

/* One of the pages leaves its list and comes back, is used, or written. */
static void disturb(struct mover *m, struct prng *r)
{
	struct page *page = m->pages[prng_below(r, NR_MOVED)];

	switch (prng_below(r, 5)) {
	case 0:
		if (lru_isolate_page(page))
			lru_putback_page(page);
		break;
	case 1:
		mark_page_accessed(page);
		break;
	case 2:
		lru_rotate_reclaimable(page);
		break;
	case 3:
		lru_deactivate_page(page);
		break;
	default:
		activate_page(page);
	}
}

static void disturber(void *arg)
{
	struct mover *m = arg;
	struct prng r;

	prng_seed(&r, tm.cfg.seed);
	while (!READ_ONCE(m->done)) {
		for (u32 i = 0; i < 20; i++)
			disturb(m, &r);
		if (lru_exchanging(vec())) {
			m->between++;
			lru_check(vec());
		}
		if (prng_one_in(&r, 10))
			lru_add_drain();
		port_sched_point();
	}
	lru_add_drain();
}

static int moving_body(void *arg)
{
	static struct mover m;
	struct port_thread *t;
	const struct lru_ops *ops;
	struct prng r;
	u32 nr = 0;

	(void)arg;
	memset(&m, 0, sizeof(m));
	prng_seed(&r, tm.cfg.seed);
	for (u32 i = 0; i < NR_MOVED; i++) {
		m.pages[i] = alloc_page(GFP_KERNEL);
		CHECK(m.pages[i]);
		if (i % 2)
			SetPageSwapBacked(m.pages[i]);
		lru_cache_add(m.pages[i]);
	}
	lru_add_drain();
	while (reclaim_policy(nr))
		nr++;
	CHECK_EQ(sim_thread_start_on(&t, "disturber", 1, disturber, &m), 0);
	for (u32 i = 0; i < 12; i++) {
		ops = reclaim_policy((u32)prng_below(&r, nr));
		CHECK_EQ(reclaim_select(ops->name), 0);
		CHECK(vec()->ops == ops && !lru_exchanging(vec()));
	}
	WRITE_ONCE(m.done, true);
	port_thread_join(t);
	lru_add_drain_all();
	lru_check(vec());
	CHECK(m.between > 0);
	CHECK_EQ(lruvec_size(vec(), LRU_INACTIVE_FILE) +
			 lruvec_size(vec(), LRU_ACTIVE_FILE),
		 NR_MOVED / 2);
	CHECK_EQ(lruvec_size(vec(), LRU_INACTIVE_ANON) +
			 lruvec_size(vec(), LRU_ACTIVE_ANON),
		 NR_MOVED / 2);
	for (u32 i = 0; i < NR_MOVED; i++) {
		ClearPageReferenced(m.pages[i]);
		put_page(m.pages[i]);
	}
	return 0;
}

static void moving(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 200 : 3);

	(void)state;
	for (u64 i = 0; i < n; i++)
		TM_RUN(moving_body, .seed = seed + i, .cpus = 2,
		       .explore = true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),   cmocka_unit_test(aging),
		cmocka_unit_test(filters), cmocka_unit_test(looking_around),
		cmocka_unit_test(balance), cmocka_unit_test(kinds),
		cmocka_unit_test(min_ttl), cmocka_unit_test(files),
		cmocka_unit_test(groups),  cmocka_unit_test(moving),
		cmocka_unit_test(frames),
	};

	return cmocka_run_group_tests_name("mglru", tests, NULL, NULL);
}
