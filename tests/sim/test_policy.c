/* SPDX-License-Identifier: MIT */
/*
 * The policies made of queues against models in arrays: pages come, are used,
 * go, come back as ghosts, and are scanned, at random; after each scan every
 * queue holds the same pages in the same order. The pages are nobody's, so what
 * a policy evicts cannot be freed and stays where victims wait, to be compared.
 * And: which kinds of pages a scan takes, and an exchange of the policy.
 */
#include "phys/lru.h"
#include "reclaim/queue.h"
#include "sim_machine.h"

#define NR_PAGES 400u

enum { CLOCK, SIEVE, S3FIFO, ARC, S3LOOP, NR_MODELS };
enum { A, B, NEWBORN, VICTIM, NQ };

struct mpage {
	struct page *page;
	bool there, used, own;
};

struct mlist {
	u32 v[NR_PAGES], nr; /* v[0] is the head */
};

struct model {
	u32 policy;
	struct mpage page[NR_PAGES];
	struct mlist q[NQ];
	/* SIEVE as in the paper: one queue, oldest first, and a hand. */
	u32 queue[NR_PAGES], nr_queue, hand;
	u64 small_evicted;	      /* s3fifo */
	u64 p, ghosts[2], evicted[2]; /* arc */
	/* s3loop: looks at B and evictions, in units and what is left over */
	u64 turn, looks, age, gone, granted, util, mean;
	bool busy; /* all are in use whenever they are looked at */
	bool bare; /* the scan has found nothing else */
	u32 gave;  /* pages in use that it gave up for that */
};

static struct lruvec *vec(void)
{
	return &NODE_DATA(0)->lruvec;
}

/* ---- lists ------------------------------------------------------------------
 */

static void push(struct mlist *l, u32 n)
{
	memmove(&l->v[1], &l->v[0], l->nr * sizeof(u32));
	l->v[0] = n;
	l->nr++;
}

static u32 pop(struct mlist *l)
{
	CHECK(l->nr > 0);
	return l->v[--l->nr];
}

static bool drop(struct mlist *l, u32 n)
{
	for (u32 i = 0; i < l->nr; i++) {
		if (l->v[i] != n)
			continue;
		memmove(&l->v[i], &l->v[i + 1], (l->nr - i - 1) * sizeof(u32));
		l->nr--;
		return true;
	}
	return false;
}

static u64 total(const struct model *m)
{
	return m->q[A].nr + m->q[B].nr + m->q[NEWBORN].nr + m->q[VICTIM].nr +
	       m->nr_queue;
}

static void sieve_drop(struct model *m, u32 n)
{
	for (u32 i = 0; i < m->nr_queue; i++) {
		if (m->queue[i] != n)
			continue;
		memmove(&m->queue[i], &m->queue[i + 1],
			(m->nr_queue - i - 1) * sizeof(u32));
		m->nr_queue--;
		m->hand -= m->hand > i;
		return;
	}
}

/* ---- the rules --------------------------------------------------------------
 */

/* s3loop: looks at the main queue are earned, in 64ths: a circle in 9/8 of the
 * mean age of ghosts, at most eight, no more than 32 saved up. */
static void earn(struct model *m)
{
	u64 looks =
		min(8 * 64UL, 1024 * 64UL * 8 / 9 / max(m->mean / 256, 1UL));

	m->granted = min(m->granted + looks, 64 * min(m->q[B].nr, 32UL));
}

static void join(struct model *m, u32 n)
{
	earn(m);
	push(&m->q[B], n);
}

static u64 share_loop(const struct model *m, u64 all)
{
	u64 idle = 1024 - min(m->util / 256, 1024UL);

	return max(min(all / 10, all * idle / 4096), all / 40);
}

/* Another of the events of which B's length is PARTS units. */
static void count(const struct model *m, u64 *unit, u64 *part, u64 parts)
{
	*part += 1;
	if (*part * 1 >= max(m->q[B].nr / parts, 1UL)) {
		*part = 0;
		*unit += 1;
	}
}

/* A page that nobody knows, or whose fate is HOT, gets its first queue. */
static void settle(struct model *m, u32 n, bool hot)
{
	m->page[n].own = false;
	if (m->policy == SIEVE)
		m->queue[m->nr_queue++] = n;
	else if (m->policy == S3LOOP && hot)
		join(m, n);
	else
		push(&m->q[m->policy != CLOCK && hot ? B : A], n);
}

static u32 choose_loop(struct model *m)
{
	u64 a = m->q[A].nr, b = m->q[B].nr;

	if (!b || (a && a > share_loop(m, a + b)))
		return A;
	if (m->granted >= 64)
		m->granted -= 64;
	else if (!m->bare)
		return a ? A : NQ;
	return B;
}

static u32 choose(struct model *m)
{
	u32 a = m->q[A].nr, b = m->q[B].nr;

	switch (m->policy) {
	case S3FIFO:
		return b == 0 || (a && a > (a + b) / 10) ? A : B;
	case ARC:
		return b == 0 || (a && a >= max(m->p, 1UL)) ? A : B;
	case S3LOOP:
		return choose_loop(m);
	default:
		return A;
	}
}

/* N, from s3loop's queue FROM: as judge(). */
static bool judge_loop(struct model *m, u32 n, u32 from, bool counted)
{
	struct mpage *p = &m->page[n];

	if (from == A) {
		p->own = !p->used;
		if (p->used)
			join(m, n);
		return p->used;
	}
	count(m, &m->turn, &m->looks, 64);
	m->util += p->used ? 1024 : 0;
	m->util -= m->util / 256;
	p->own = p->used;
	if (m->bare && m->util / 256 >= 960) {
		m->gave += p->used;
		return false;
	}
	if (p->used || counted)
		push(&m->q[B], n);
	return p->used || counted;
}

/* N, from FROM, stays somewhere; or false: it is a victim. */
static bool judge(struct model *m, u32 n, u32 from)
{
	struct mpage *p = &m->page[n];
	bool used = p->used, counted = p->own;

	p->own = false;
	switch (m->policy) {
	case S3FIFO:
		if (from == A && !used)
			p->own = true;
		if (from == B && used)
			p->own = true;
		if (used || (from == B && counted))
			push(&m->q[B], n);
		return used || (from == B && counted);
	case S3LOOP:
		return judge_loop(m, n, from, counted);
	case ARC:
		p->own = !used && from == B;
		if (used)
			push(&m->q[B], n);
		return used;
	default:
		if (used)
			push(&m->q[A], n);
		return used;
	}
}

static void scan_victims(struct model *m)
{
	u32 left = m->q[VICTIM].nr;

	while (left) {
		u32 nr = min(left, SWAP_CLUSTER_MAX), kept[32], k = 0;

		left -= nr;
		for (u32 i = 0; i < nr; i++) {
			u32 n = m->q[VICTIM].v[m->q[VICTIM].nr - 1 - i];

			if (!m->page[n].used)
				kept[k++] = n;
			else
				settle(m, n, true);
			m->page[n].used = false;
		}
		m->q[VICTIM].nr -= nr;
		for (u32 i = 0; i < k; i++)
			push(&m->q[VICTIM], kept[i]);
	}
}

static void scan_newborn(struct model *m, u64 share)
{
	for (;;) {
		u64 limit = share ? total(m) / share : 0;
		u64 nr = m->q[NEWBORN].nr - min((u64)m->q[NEWBORN].nr, limit);

		nr = min(nr, 32UL);
		if (!nr)
			return;
		for (u64 i = 0; i < nr; i++) {
			u32 n = pop(&m->q[NEWBORN]);
			bool hot = m->page[n].own && m->page[n].used;

			m->page[n].used = false;
			settle(m, n, hot);
		}
	}
}

/* The hand passes up to NR pages, or comes to the head. */
static u32 sieve_round(struct model *m, u32 nr)
{
	u32 seen = 0;

	if (m->hand == m->nr_queue)
		m->hand = 0;
	for (; seen < nr && m->hand < m->nr_queue; seen++) {
		u32 n = m->queue[m->hand];

		if (m->page[n].used) {
			m->page[n].used = false;
			m->hand++;
			continue;
		}
		sieve_drop(m, n);
		push(&m->q[VICTIM], n);
	}
	return seen;
}

static u32 queue_round(struct model *m, u32 nr)
{
	u32 n[32], from[32], seen = 0, victims[32], v = 0;

	if (m->policy == SIEVE)
		return m->nr_queue ? sieve_round(m, nr) : 0;
	for (; seen < nr && m->q[A].nr + m->q[B].nr; seen++) {
		from[seen] = choose(m);
		if (from[seen] == NQ)
			break;
		n[seen] = pop(&m->q[from[seen]]);
	}
	for (u32 i = 0; i < seen; i++) {
		if (!judge(m, n[i], from[i]))
			victims[v++] = n[i];
		m->page[n[i]].used = false;
	}
	for (u32 i = 0; i < v; i++)
		push(&m->q[VICTIM], victims[i]);
	return seen;
}

/* What s3loop asks for before it gives up what it keeps. */
static u32 frugal_round(struct model *m, u32 nr, bool hard, bool *end)
{
	u32 n;

	if (m->policy != S3LOOP)
		return 0;
	scan_newborn(m, 128);
	n = queue_round(m, nr);
	*end = !n && m->q[VICTIM].nr && !hard;
	return n;
}

static void model_scan(struct model *m, bool hard)
{
	u32 nr = 32;

	scan_victims(m);
	while (nr) {
		bool end = false;
		u32 n;

		scan_newborn(m, 32);
		n = queue_round(m, nr);
		if (!n)
			n = frugal_round(m, nr, hard, &end);
		if (!n && !end) {
			scan_newborn(m, 0);
			m->bare = true;
			n = queue_round(m, nr);
			m->bare = false;
		}
		if (!n)
			break;
		nr -= n;
	}
}

/* What a victim leaves behind, and what that is worth. */
static u64 model_evict(struct model *m, u32 n)
{
	u64 c = total(m) + 1, t1 = m->q[A].nr, number;
	u32 list = m->page[n].own;

	if (m->policy == S3FIFO)
		return list ? m->small_evicted++ << 1 | 1 : 0;
	if (m->policy == S3LOOP && list) {
		number = m->turn << 17 | m->age << 1 | 1;
		count(m, &m->age, &m->gone, 1024);
		return number;
	}
	if (m->policy != ARC)
		return 0;
	c--; /* it is on no queue any more */
	number = m->evicted[list]++;
	m->ghosts[list]++;
	c = max(c, 1UL);
	m->ghosts[0] = min(m->ghosts[0], c - min(c, t1));
	m->ghosts[1] = min(m->ghosts[1], c - min(c, m->ghosts[0]));
	m->p = min(m->p, c);
	return number << 1 | list;
}

static bool loop_refault(struct model *m, u64 cookie)
{
	u64 b = m->q[B].nr, rest = m->q[A].nr + m->q[NEWBORN].nr,
	    all = b + rest;
	u64 turns = m->turn - (cookie >> 17);
	u64 ages = m->age - (cookie >> 1 & 0xffff);

	if (!(cookie & 1))
		return false;
	if (rest > share_loop(m, all) + all / 32)
		return true;
	m->mean += ages;
	m->mean -= m->mean / 256;
	if (4 * turns * max(b / 64, 1UL) >= 3 * b ||
	    ages * max(b / 1024, 1UL) > b)
		return false;
	if (m->util / 256 < 960)
		return true;
	earn(m);
	return false;
}

static bool model_refault(struct model *m, u64 cookie)
{
	u32 l = cookie & 1;
	u64 step, c = max(total(m), 1UL);

	if (m->policy == S3FIFO)
		return l && m->small_evicted - (cookie >> 1) <= m->q[B].nr;
	if (m->policy == S3LOOP)
		return loop_refault(m, cookie);
	if (m->policy != ARC || m->evicted[l] - (cookie >> 1) > m->ghosts[l])
		return false;
	step = max(m->ghosts[!l] / max(m->ghosts[l], 1UL), 1UL);
	m->p = l ? m->p - min(m->p, step) : m->p + step;
	m->ghosts[l] -= m->ghosts[l] > 0;
	m->ghosts[0] = min(m->ghosts[0], c - min(c, (u64)m->q[A].nr));
	m->ghosts[1] = min(m->ghosts[1], c - min(c, m->ghosts[0]));
	m->p = min(m->p, c);
	return true;
}

/* ---- comparing --------------------------------------------------------------
 */

static const struct page_list *real_list(u32 id)
{
	struct queue_room *room = queue_room(vec());

	return &room->q[id <= B ? id ^ room->flip : id].of[1];
}

static void compare_list(const struct model *m, u32 id, const struct mlist *l)
{
	const struct page *p = page_list_first(real_list(id));

	CHECK_EQ(real_list(id)->count, l->nr);
	for (u32 i = 0; i < l->nr; i++, p = page_list_next(p))
		CHECK(p == m->page[l->v[i]].page);
	CHECK(!p);
}

/* The paper's queue, newest first: what the hand has before it, then what it
 * has passed. */
static void sieve_lists(const struct model *m, struct mlist *a, struct mlist *b)
{
	a->nr = b->nr = 0;
	for (u32 i = 0; i < m->nr_queue; i++)
		push(i < m->hand ? b : a, m->queue[i]);
}

static void compare(const struct model *m)
{
	const struct queue_room *room = queue_room(vec());
	static struct mlist a, b;

	lru_check(vec());
	compare_list(m, NEWBORN, &m->q[NEWBORN]);
	compare_list(m, VICTIM, &m->q[VICTIM]);
	a = m->q[A];
	b = m->q[B];
	if (m->policy == SIEVE)
		sieve_lists(m, &a, &b);
	compare_list(m, A, &a);
	compare_list(m, B, &b);
	if (m->policy == S3FIFO)
		CHECK_EQ(room->own[0], m->small_evicted);
	for (u32 i = 0; m->policy == ARC && i < 2; i++) {
		CHECK_EQ(room->own[0], m->p);
		CHECK_EQ(room->own[1 + i], m->ghosts[i]);
		CHECK_EQ(room->own[3 + i], m->evicted[i]);
	}
	if (m->policy == S3LOOP) {
		const u64 own[] = {m->age,     m->gone, m->turn, m->looks,
				   m->granted, m->util, m->mean};

		CHECK(!memcmp(room->own, own, sizeof(own)));
	}
	CHECK_EQ(node_page_state(NODE_DATA(0), NR_ISOLATED_FILE), 0);
}

/* ---- operations -------------------------------------------------------------
 */

static void op_add(struct model *m, u32 n, bool hot)
{
	struct mpage *p = &m->page[n];

	*p = (struct mpage){.page = p->page, .there = true, .own = hot};
	lru_cache_add(p->page);
	lru_add_drain();
	if (m->policy == CLOCK)
		settle(m, n, false);
	else
		push(&m->q[NEWBORN], n);
}

static void op_new(struct model *m, u32 n)
{
	m->page[n].page = alloc_page(GFP_KERNEL);
	CHECK(m->page[n].page);
	op_add(m, n, false);
}

static void op_use(struct model *m, u32 n)
{
	mark_page_accessed(m->page[n].page);
	m->page[n].used = true;
}

static void op_free(struct model *m, u32 n)
{
	ClearPageReferenced(m->page[n].page);
	put_page(m->page[n].page);
	m->page[n].there = false;
	for (u32 i = 0; i < NQ; i++)
		drop(&m->q[i], n);
	if (m->policy == SIEVE)
		sieve_drop(m, n);
}

/* HARD: under pressure that takes what is kept. */
static void op_scan(struct model *m, bool hard)
{
	struct scan_control sc = {.nr_to_reclaim = 1,
				  .gfp = GFP_KERNEL,
				  .reclaim_idx = MAX_NR_ZONES - 1,
				  .priority = hard ? DEF_PRIORITY / 2 - 1
						   : DEF_PRIORITY};
	struct mm_task *task = port_current();

	task->flags |= PF_MEMALLOC;
	CHECK_EQ(vec()->ops->scan(vec(), &sc), 0);
	task->flags &= ~(u32)PF_MEMALLOC;
	model_scan(m, hard);
}

/* A victim is really evicted, and its contents come back in another frame. */
static void op_refault(struct model *m, struct prng *r)
{
	struct page *old;
	void *shadow;
	u64 cookie;
	bool hot;
	u32 n;

	if (!m->q[VICTIM].nr)
		return;
	n = m->q[VICTIM].v[prng_below(r, m->q[VICTIM].nr)];
	old = m->page[n].page;
	CHECK(lru_isolate_page(old));
	drop(&m->q[VICTIM], n);
	cookie = model_evict(m, n);
	shadow = workingset_eviction(old);
	put_page(old);
	m->page[n].there = false;
	ClearPageReferenced(old);
	put_page(old);
	/* Long ago, it may be: hands have moved. */
	for (u32 i = prng_one_in(r, 4) ? 4 : 0; i > 0; i--)
		op_scan(m, false);
	m->page[n].page = alloc_page(GFP_KERNEL);
	CHECK(m->page[n].page);
	/* Others like it go meanwhile. */
	m->page[n].page->policy = m->page[n].own ? QUEUE_OWN : 0;
	for (u64 i = prng_below(r, 30); i > 0; i--) {
		(void)workingset_eviction(m->page[n].page);
		(void)model_evict(m, n);
	}
	m->page[n].page->policy = 0;
	workingset_refault(m->page[n].page, shadow);
	hot = model_refault(m, cookie);
	CHECK_EQ(PageActive(m->page[n].page), hot);
	op_add(m, n, hot);
}

static void step(struct model *m, struct prng *r)
{
	u32 n = (u32)prng_below(r, NR_PAGES);

	/* Some pages are hot. */
	if (prng_one_in(r, 2))
		n %= 40;
	if (prng_one_in(r, 60)) {
		bool hard = prng_one_in(r, 2);

		for (u32 i = 0; m->busy && i < NR_PAGES; i++)
			if (m->page[i].there)
				op_use(m, i);
		op_scan(m, hard);
		compare(m);
	} else if (prng_one_in(r, 12)) {
		op_refault(m, r);
	} else if (!m->page[n].there) {
		op_new(m, n);
	} else if (prng_one_in(r, 10)) {
		op_free(m, n);
	} else {
		op_use(m, n);
	}
}

/* A scan that began under another policy finds nothing that is its own. */
static void op_others_scan(const struct model *m)
{
	struct scan_control sc = {.nr_to_reclaim = 1,
				  .gfp = GFP_KERNEL,
				  .reclaim_idx = MAX_NR_ZONES - 1,
				  .priority = 1};
	struct mm_task *task = port_current();
	const struct lru_ops *ops;

	task->flags |= PF_MEMALLOC;
	for (u32 i = 0; (ops = reclaim_policy(i)); i++)
		if (ops != vec()->ops)
			CHECK_EQ(ops->scan(vec(), &sc), 0);
	task->flags &= ~(u32)PF_MEMALLOC;
	compare(m);
}

/* Half of all pages are in use, scan after scan: so those before the head are,
 * where a hand begins again. */
static void in_use(struct model *m, struct prng *r)
{
	for (u32 round = 0; round < 40; round++) {
		for (u32 n = 0; n < NR_PAGES; n++)
			if (m->page[n].there && prng_one_in(r, 2))
				op_use(m, n);
		op_scan(m, false);
		compare(m);
	}
}

static const char *const names[NR_MODELS] = {"clock", "sieve", "s3fifo", "arc",
					     "s3loop"};

static int model_body(void *arg)
{
	static struct model m;
	struct prng r;

	memset(&m, 0, sizeof(m));
	m.policy = *(u32 *)arg;
	m.busy = m.policy == S3LOOP && tm.cfg.seed % 2;
	m.mean = 1024 * 256;
	prng_seed(&r, tm.cfg.seed);
	for (u32 i = 0; i < 4000; i++)
		step(&m, &r);
	in_use(&m, &r);
	CHECK(total(&m) > 50);
	CHECK(!m.busy || m.gave > 0);
	op_scan(&m, false);
	op_others_scan(&m);
	/* What it leaves is somebody else's, and again. */
	for (u32 i = 0; i < 3; i++) {
		CHECK_EQ(reclaim_select(i == 1 ? names[m.policy] : "classic"),
			 0);
		lru_check(vec());
		CHECK_EQ(lruvec_size(vec(), LRU_INACTIVE_FILE) +
				 lruvec_size(vec(), LRU_ACTIVE_FILE),
			 total(&m));
	}
	for (u32 n = 0; n < NR_PAGES; n++)
		if (m.page[n].there)
			op_free(&m, n);
	return 0;
}

static void models(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 500 : 8);

	(void)state;
	for (u64 i = 0; i < n; i++)
		for (u32 k = 0; k < NR_MODELS; k++) {
			snprintf(tm_context, sizeof(tm_context),
				 "(policy %s, SEED=%llu)", names[k],
				 (unsigned long long)(seed + i));
			TM_RUN(model_body, .arg = &k, .seed = seed + i,
			       .policy = names[k]);
		}
}

/* ---- cost -----------------------------------------------------------------
 */

/* A page, ANON or of a file, that WAS active, goes and comes back: what its
 * kind costs now, and what the other does. */
static void cost_of_refault(bool anon, bool was, u64 *mine, u64 *others)
{
	struct page *page = alloc_page(GFP_KERNEL);
	void *shadow;

	CHECK(page);
	if (anon)
		SetPageSwapBacked(page);
	if (was)
		SetPageWorkingset(page);
	shadow = workingset_eviction(page);
	ClearPageWorkingset(page);
	workingset_refault(page, shadow);
	CHECK_EQ(PageWorkingset(page), was);
	*mine = anon ? vec()->anon_cost : vec()->file_cost;
	*others = anon ? vec()->file_cost : vec()->anon_cost;
	ClearPageReferenced(page);
	ClearPageWorkingset(page);
	ClearPageSwapBacked(page);
	put_page(page);
}

/* What was needed and came back counts for its kind, until both are halved. */
static int cost_body(void *arg)
{
	struct page *page[80];
	u64 mine, others, last = 0, halved = 0;

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(page); i++) {
		page[i] = alloc_page(GFP_KERNEL);
		CHECK(page[i]);
		SetPageActive(page[i]);
		lru_cache_add(page[i]);
	}
	lru_add_drain();
	cost_of_refault(false, false, &mine, &others);
	CHECK(!mine && !others);
	cost_of_refault(true, false, &mine, &others);
	CHECK(!mine && !others);
	cost_of_refault(true, true, &mine, &others);
	CHECK(mine == 1 && !others);
	for (u32 i = 0; i < 60; i++) {
		cost_of_refault(false, true, &mine, &others);
		CHECK(mine == last + 1 || mine == (last + 1) / 2);
		halved += mine != last + 1;
		last = mine;
		CHECK(mine + others <= ARRAY_SIZE(page) / 4);
	}
	CHECK(halved > 2 && others == 0);
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		put_page(page[i]);
	return 0;
}

static void costs(void **state)
{
	(void)state;
	TM_RUN(cost_body, .policy = "classic", .mem = 64UL << 20);
}

/* ---- zones ----------------------------------------------------------------
 */

/* A scan for zone DMA meets newborn pages that are all of others: it looks at
 * each once, and ends. */
static int zones_body(void *arg)
{
	struct scan_control sc = {.nr_to_reclaim = 1,
				  .gfp = GFP_KERNEL,
				  .reclaim_idx = ZONE_DMA,
				  .priority = DEF_PRIORITY};
	struct mm_task *task = port_current();
	struct page *page[200];
	u64 looked;

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(page); i++) {
		page[i] = alloc_page(GFP_HIGHUSER_MOVABLE);
		CHECK(page[i] && zone_idx(page_zone(page[i])) > ZONE_DMA);
		lru_cache_add(page[i]);
	}
	lru_add_drain();
	looked = sum_vm_event(PGREFILL);
	task->flags |= PF_MEMALLOC;
	CHECK_EQ(vec()->ops->scan(vec(), &sc), 0);
	task->flags &= ~(u32)PF_MEMALLOC;
	CHECK(sum_vm_event(PGREFILL) - looked <= 2 * ARRAY_SIZE(page));
	lru_check(vec());
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		put_page(page[i]);
	return 0;
}

static void other_zones(void **state)
{
	(void)state;
	TM_RUN(zones_body, .policy = "s3fifo", .mem = 64UL << 20);
}

/* ---- kinds ------------------------------------------------------------------
 */

static struct page *kinds[2][64]; /* anon, file */

static u32 victims_of(u32 kind)
{
	return (u32)queue_room(vec())->q[QUEUE_VICTIM].of[kind].count;
}

/* Where do 32 looks go with this swappiness? */
static void kinds_scan(const char *name, u32 swappiness, bool may_swap)
{
	struct scan_control sc = {.nr_to_reclaim = 1,
				  .gfp = GFP_KERNEL,
				  .reclaim_idx = MAX_NR_ZONES - 1,
				  .may_swap = may_swap,
				  .priority = DEF_PRIORITY};

	reclaim_sys.swappiness = swappiness;
	/* All pages anew: first all anonymous ones, then all of files. */
	CHECK_EQ(reclaim_select("classic"), 0);
	for (u32 k = 0; k < 2; k++)
		for (u32 i = 0; i < 64; i++) {
			struct page *p = kinds[k][i];

			CHECK(lru_isolate_page(p));
			ClearPageActive(p);
			lru_putback_page(p);
			lru_add_drain();
		}
	CHECK_EQ(reclaim_select(name), 0);
	/* Twice: newborn ones first become old. */
	for (u32 i = 0; i < 3; i++) {
		struct mm_task *task = port_current();

		task->flags |= PF_MEMALLOC;
		CHECK_EQ(vec()->ops->scan(vec(), &sc), 0);
		task->flags &= ~(u32)PF_MEMALLOC;
	}
	lru_check(vec());
}

static int kinds_body(void *arg)
{
	const char *name = arg;

	for (u32 k = 0; k < 2; k++)
		for (u32 i = 0; i < 64; i++) {
			kinds[k][i] = alloc_page(GFP_KERNEL);
			CHECK(kinds[k][i]);
			if (k == 0)
				SetPageSwapBacked(kinds[k][i]);
			lru_cache_add(kinds[k][i]);
		}
	lru_add_drain();
	kinds_scan(name, 60, false);
	CHECK(victims_of(0) == 0 && victims_of(1) > 30);
	kinds_scan(name, 0, true);
	CHECK(victims_of(0) == 0 && victims_of(1) > 30);
	kinds_scan(name, 200, true);
	CHECK(victims_of(0) > 30 && victims_of(1) == 0);
	kinds_scan(name, 100, true);
	CHECK(victims_of(0) > 10 && victims_of(1) > 10);
	reclaim_sys.swappiness = 60;
	for (u32 k = 0; k < 2; k++)
		for (u32 i = 0; i < 64; i++)
			put_page(kinds[k][i]);
	return 0;
}

static void kinds_taken(void **state)
{
	(void)state;
	for (u32 k = 0; k < NR_MODELS; k++) {
		snprintf(tm_context, sizeof(tm_context), "(policy %s)",
			 names[k]);
		TM_RUN(kinds_body, .arg = (void *)(uintptr_t)names[k],
		       .swap_pages = 1024);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(models),
		cmocka_unit_test(costs),
		cmocka_unit_test(other_zones),
		cmocka_unit_test(kinds_taken),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
