/* SPDX-License-Identifier: MIT */
/*
 * The LRU lists against lists: pages are added, isolated, put back,
 * activated, rotated and released at random, through the batches. And many
 * released at once, with whatever can be among them.
 */
#include "phys/page_isolation.h"
#include "sim_machine.h"

#define NR_PAGES 200u

enum place { NOWHERE, BATCH, LIST, ISOLATED };

struct mpage {
	struct page *page;
	enum place place;
	int cpu; /* whose batch */
	u32 lru; /* which list */
	bool active, file, referenced;
};

struct model {
	struct mpage page[NR_PAGES];
	u32 list[NR_LRU_LISTS][NR_PAGES], nr[NR_LRU_LISTS]; /* head first */
	u32 batch[4][LRU_BATCH], nr_batch[4];
};

static void list_remove(struct model *m, u32 n)
{
	u32 l = m->page[n].lru, i = 0;

	while (m->list[l][i] != n)
		i++;
	memmove(&m->list[l][i], &m->list[l][i + 1],
		(m->nr[l] - i - 1) * sizeof(u32));
	m->nr[l]--;
}

/* At the head, or at the end. */
static void list_insert(struct model *m, u32 n, bool tail)
{
	struct mpage *p = &m->page[n];
	u32 l = (p->file ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON) +
		(p->active ? LRU_ACTIVE : 0);

	p->place = LIST;
	p->lru = l;
	if (tail) {
		m->list[l][m->nr[l]] = n;
	} else {
		memmove(&m->list[l][1], &m->list[l][0], m->nr[l] * sizeof(u32));
		m->list[l][0] = n;
	}
	m->nr[l]++;
}

static void batch_flush(struct model *m, int cpu)
{
	for (u32 i = 0; i < m->nr_batch[cpu]; i++)
		list_insert(m, m->batch[cpu][i], false);
	m->nr_batch[cpu] = 0;
}

static void batch_add(struct model *m, u32 n)
{
	int cpu = port_cpu();

	m->page[n].place = BATCH;
	m->page[n].cpu = cpu;
	m->batch[cpu][m->nr_batch[cpu]++] = n;
	if (m->nr_batch[cpu] == LRU_BATCH)
		batch_flush(m, cpu);
}

/* ---- comparing
 * --------------------------------------------------------------- */

static void compare(const struct model *m)
{
	struct lruvec *lv = &NODE_DATA(0)->lruvec;

	for (u32 l = 0; l < NR_LRU_LISTS; l++) {
		const struct page *p = page_list_first(&lv->lists[l]);

		CHECK_EQ(lruvec_size(lv, (enum lru_list)l), m->nr[l]);
		CHECK_EQ(node_page_state(NODE_DATA(0), NR_LRU_BASE + (int)l),
			 m->nr[l]);
		CHECK_EQ(global_zone_page_state(NR_ZONE_LRU_BASE + (int)l),
			 m->nr[l]);
		for (u32 i = 0; i < m->nr[l]; i++, p = page_list_next(p))
			CHECK(p == m->page[m->list[l][i]].page);
		CHECK(!p);
	}
	for (u32 n = 0; n < NR_PAGES; n++) {
		const struct mpage *p = &m->page[n];

		if (p->place == NOWHERE)
			continue;
		CHECK_EQ(PageLRU(p->page), p->place == LIST);
		CHECK_EQ(PageActive(p->page), p->active);
		CHECK_EQ(PageReferenced(p->page), p->referenced);
		CHECK_EQ(page_count(p->page), p->place == LIST ? 1 : 2);
	}
	lru_check(lv);
}

/* ---- operations
 * ------------------------------------------------------------------ */

static void op_add(struct model *m, u32 n, struct prng *r)
{
	struct mpage *p = &m->page[n];

	memset(p, 0, sizeof(*p));
	p->page = alloc_page(GFP_KERNEL);
	CHECK(p->page);
	p->file = prng_one_in(r, 2);
	p->active = prng_one_in(r, 4);
	if (!p->file)
		SetPageSwapBacked(p->page);
	if (p->active)
		SetPageActive(p->page);
	lru_cache_add(p->page);
	batch_add(m, n);
}

static void op_accessed(struct model *m, u32 n)
{
	struct mpage *p = &m->page[n];

	mark_page_accessed(p->page);
	if (!p->referenced) {
		p->referenced = true;
		return;
	}
	if (p->active)
		return;
	if (p->place != LIST)
		batch_flush(m, port_cpu());
	if (p->place == LIST) {
		list_remove(m, n);
		p->active = true;
		list_insert(m, n, false);
	}
	p->referenced = false;
}

static void op_activate(struct model *m, u32 n)
{
	struct mpage *p = &m->page[n];

	activate_page(p->page);
	if (p->place != LIST || p->active)
		return;
	list_remove(m, n);
	p->active = true;
	list_insert(m, n, false);
}

static void op_rotate(struct model *m, u32 n, struct prng *r)
{
	struct mpage *p = &m->page[n];
	bool dirty = prng_one_in(r, 4);

	if (dirty)
		SetPageDirty(p->page);
	lru_rotate_reclaimable(p->page);
	ClearPageDirty(p->page);
	if (p->place != LIST || p->active || dirty)
		return;
	list_remove(m, n);
	list_insert(m, n, true);
}

static void op_isolate(struct model *m, u32 n)
{
	struct mpage *p = &m->page[n];

	CHECK_EQ(lru_isolate_page(p->page), p->place == LIST);
	if (p->place != LIST)
		return;
	list_remove(m, n);
	p->place = ISOLATED;
	/* Nobody isolates it a second time. */
	CHECK(!lru_isolate_page(p->page));
}

/* Back, perhaps as active. */
static void op_putback(struct model *m, u32 n, struct prng *r)
{
	struct mpage *p = &m->page[n];

	if (p->place != ISOLATED)
		return;
	p->active = prng_one_in(r, 3);
	if (p->active)
		SetPageActive(p->page);
	else
		ClearPageActive(p->page);
	lru_putback_page(p->page);
	batch_add(m, n);
}

/* The last reference goes while the page is on a list. */
static void op_release(struct model *m, u32 n)
{
	struct mpage *p = &m->page[n];

	if (p->place != LIST)
		return;
	ClearPageReferenced(p->page);
	list_remove(m, n);
	p->place = NOWHERE;
	put_page(p->page);
}

static void step(struct model *m, struct prng *r)
{
	u32 n = (u32)prng_below(r, NR_PAGES);

	if (m->page[n].place == NOWHERE) {
		op_add(m, n, r);
		return;
	}
	switch (prng_below(r, 16)) {
	case 0:
		op_release(m, n);
		break;
	case 1:
		lru_add_drain();
		batch_flush(m, port_cpu());
		break;
	case 2:
		if (!prng_one_in(r, 4))
			break;
		lru_add_drain_all();
		for (int cpu = 0; cpu < tm.cfg.cpus; cpu++)
			batch_flush(m, cpu);
		break;
	case 3:
	case 4:
		op_activate(m, n);
		break;
	case 5:
	case 6:
		op_rotate(m, n, r);
		break;
	case 7:
	case 8:
	case 9:
		op_isolate(m, n);
		break;
	case 10:
	case 11:
	case 12:
		op_putback(m, n, r);
		break;
	default:
		op_accessed(m, n);
	}
}

static int random_body(void *arg)
{
	static struct model m;
	struct prng *r = arg;

	memset(&m, 0, sizeof(m));
	for (int i = 0; i < 3000; i++) {
		if (i % 40 == 0)
			sim_set_cpu(port_self(),
				    (int)prng_below(r, (u64)tm.cfg.cpus));
		step(&m, r);
		if (i % 5 == 0)
			compare(&m);
	}
	for (u32 n = 0; n < NR_PAGES; n++)
		op_putback(&m, n, r);
	lru_add_drain_all();
	for (int cpu = 0; cpu < tm.cfg.cpus; cpu++)
		batch_flush(&m, cpu);
	compare(&m);
	for (u32 n = 0; n < NR_PAGES; n++)
		op_release(&m, n);
	compare(&m);
	sim_set_cpu(port_self(), 0);
	return 0;
}

static void random_lists(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 1000 : 15);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct prng r;

		prng_seed(&r, seed + i);
		TM_RUN(random_body, .arg = &r, .seed = seed + i,
		       .cpus = 1 + (int)(i % 4));
	}
}

/* ---- release_pages()
 * ------------------------------------------------------------------------ */

#define MANY 400u

struct many {
	struct page *page[MANY];
	bool held[MANY]; /* we keep a reference of our own */
	u32 nr;		 /* in use at page[] */
	u64 frames;	 /* of those that are to be freed */
	u64 charged;
};

/* One more for release_pages(): PAGE of ORDER, by chance on a list, held, or
 * there twice. */
static void many_add(struct many *m, struct prng *r)
{
	bool charge = prng_one_in(r, 2), user = prng_one_in(r, 3) != 0;
	unsigned int order = prng_one_in(r, 16) ? 2 : 0;
	gfp_t gfp =
		(user ? GFP_HIGHUSER_MOVABLE : GFP_KERNEL) & ~__GFP_HARDWALL;
	struct page *page = alloc_pages((charge ? gfp | __GFP_ACCOUNT : gfp) |
						(order ? __GFP_COMP : 0),
					order);
	u32 n = m->nr++;

	CHECK(page);
	m->page[n] = page;
	m->held[n] = prng_one_in(r, 5);
	if (m->held[n])
		get_page(page);
	else
		m->frames += 1UL << order;
	if (charge && !m->held[n])
		m->charged += 1UL << order;
	if (order)
		return;
	if (prng_one_in(r, 2)) {
		if (prng_one_in(r, 2))
			SetPageSwapBacked(page);
		if (prng_one_in(r, 4))
			SetPageActive(page);
		lru_cache_add(page);
	}
	/* As an anonymous page has it when its last entry is gone. */
	if (prng_one_in(r, 2))
		set_page_mapping_word(page, 0x1000 | PAGE_MAPPING_ANON);
	if (m->nr < MANY && prng_one_in(r, 8)) {
		get_page(page);
		m->page[m->nr] = page;
		m->held[m->nr] = false;
		m->nr++;
	}
}

/* Release all of M, and see what is left. */
static void many_release(struct many *m)
{
	u64 freed = sum_vm_event(PGFREE), charged = root_charged_pages();
	struct page *pages[MANY];

	memcpy(pages, m->page, sizeof(pages));
	release_pages(pages, m->nr);
	CHECK_EQ(sum_vm_event(PGFREE) - freed, m->frames);
	CHECK_EQ(charged - root_charged_pages(), m->charged);
	phys_check();
	for (u32 i = 0; i < m->nr; i++) {
		if (!m->held[i])
			continue;
		CHECK_EQ(page_count(m->page[i]), 1);
		if (PageAnon(m->page[i]))
			set_page_mapping_word(m->page[i], 0);
		put_page(m->page[i]);
	}
}

static int many_body(void *arg)
{
	u64 start, block = pageblock_nr_pages;
	struct prng *r = arg;
	struct many m;

	for (int round = 0; round < 20; round++) {
		bool isolate = round % 4 == 3;

		memset(&m, 0, sizeof(m));
		sim_set_cpu(port_self(), (int)prng_below(r, (u64)tm.cfg.cpus));
		while (m.nr < 1 + prng_below(r, MANY))
			many_add(&m, r);
		lru_add_drain_all();
		if (round % 3 == 2)
			drain_all_pages();
		/* A pageblock whose frames may not go to a per-CPU set. */
		start = ALIGN_DOWN(page_to_pfn(m.page[0]), block);
		if (isolate)
			isolate = !start_isolate_page_range(
				start, start + block, MIGRATE_MOVABLE, 0);
		many_release(&m);
		if (isolate)
			undo_isolate_page_range(start, start + block,
						MIGRATE_MOVABLE);
	}
	sim_set_cpu(port_self(), 0);
	return 0;
}

static void release_many(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 1000 : 6);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct prng r;

		prng_seed(&r, seed + i);
		TM_RUN(many_body, .arg = &r, .seed = seed + i,
		       .mem = 64UL << 20, .cpus = 1 + (int)(i % 4),
		       .nodes = 1 + (int)(i % 2));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_lists),
		cmocka_unit_test(release_many),
	};

	return cmocka_run_group_tests_name("lru", tests, NULL, NULL);
}
