/* SPDX-License-Identifier: MIT */
/*
 * Many processes: a fork bomb with every kind of mapping and forks that fail
 * half way; chains of forks a hundred deep and what reverse mapping visits in
 * them; vfork, clone and exec in every order of exits. The machine's books
 * (tests/books.h) are compared at the end of each.
 */
#include "filemap_machine.h"

#include "base/fail.h"
#include "base/wait.h"
#include "cache/shmem.h"
#include "space/rmap.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

/* ---- the bomb --------------------------------------------------------------
 */

#define BOMB	  1000u
#define AREA	  8u /* pages of each area */
#define ANON_AT	  0x10000000UL
#define SHARED_AT 0x10100000UL
#define FILE_AT	  0x10200000UL /* shared */
#define COPY_AT	  0x10300000UL /* the same file, private */
#define MEMFD_AT  0x10400000UL

/* What one process must find in its private pages. */
struct bomb_proc {
	struct mm_struct *mm;
	u64 anon[AREA], copy[AREA];
	bool copied[AREA]; /* the private file page is its own */
};

struct bomb {
	struct prng r;
	struct fm_inode *fi;
	struct file *file, *memfd;
	struct bomb_proc proc[BOMB];
	u32 live;
	u64 shared[AREA], filed[AREA], memory[AREA]; /* what all see */
	u64 forks, failed, most, swapped;
};

static struct bomb bomb;

static void map_fixed(struct mm_struct *mm, uva_t at, int flags,
		      struct file *file)
{
	struct mm_mmap r = {at, P(AREA), TM_RW, flags | MAP_FIXED, file, 0};

	CHECK_EQ(do_mmap_file(mm, &r), (s64)at);
}

static struct mm_struct *bomb_first(struct bomb *b)
{
	struct mm_struct *mm = tm_mm();

	b->fi = fm_inode_new(AREA);
	b->file = file_open(&b->fi->inode, FMODE_READ | FMODE_WRITE, 0, "/b");
	b->memfd = memfd_create_file("bomb", 0);
	CHECK(b->file && !IS_ERR(b->memfd));
	CHECK_EQ(shmem_truncate(b->memfd->f_inode, P(AREA)), 0);
	map_fixed(mm, ANON_AT, TM_ANON, NULL);
	map_fixed(mm, SHARED_AT, MAP_SHARED | MAP_ANONYMOUS, NULL);
	map_fixed(mm, FILE_AT, MAP_SHARED, b->file);
	map_fixed(mm, COPY_AT, MAP_PRIVATE, b->file);
	map_fixed(mm, MEMFD_AT, MAP_SHARED, b->memfd);
	return mm;
}

static void bomb_word(struct bomb *b, uva_t at, u64 *model)
{
	if (prng_one_in(&b->r, 2)) {
		*model = prng_u64(&b->r);
		tm_store(at, *model);
	}
	CHECK_EQ(tm_load(at), *model);
}

/* P looks at, or changes, a page of each kind. */
static void bomb_touch(struct bomb *b, struct bomb_proc *p)
{
	u64 i = prng_below(&b->r, AREA);
	u64 seen = p->copied[i] ? p->copy[i] : b->filed[i];

	tm_use(p->mm);
	bomb_word(b, ANON_AT + P(i), &p->anon[i]);
	bomb_word(b, SHARED_AT + P(i), &b->shared[i]);
	bomb_word(b, MEMFD_AT + P(i), &b->memory[i]);
	CHECK_EQ(tm_load(COPY_AT + P(i)), seen);
	if (prng_one_in(&b->r, 3)) {
		p->copy[i] = prng_u64(&b->r);
		p->copied[i] = true;
		tm_store(COPY_AT + P(i), p->copy[i]);
	}
	bomb_word(b, FILE_AT + P(i), &b->filed[i]);
	CHECK_EQ(tm_load(COPY_AT + P(i)),
		 p->copied[i] ? p->copy[i] : b->filed[i]);
}

/* A fork that some allocation ends; the parent must not notice. */
static void bomb_fork_fails(struct bomb *b, struct bomb_proc *p)
{
	u64 committed = space_sys.committed, links, objects;
	struct mm_struct *child = NULL;
	struct fail_result r;
	int err;

	objects = kmem_cache_active(space_sys.vma_cache);
	links = kmem_cache_active(space_sys.avc_cache);
	fail_arm_nth(FAIL_ALL & ~FAIL_MASK(FAIL_BIO_WRITE),
		     prng_range(&b->r, 1, 40), prng_one_in(&b->r, 2));
	fail_only_task(port_current());
	err = mm_fork(p->mm, &child);
	r = fail_disarm();
	if (!err) {
		mm_put(child);
	} else {
		CHECK(r.fired && err == -ENOMEM);
		b->failed++;
	}
	CHECK_EQ(space_sys.committed, committed);
	CHECK_EQ(kmem_cache_active(space_sys.vma_cache), objects);
	CHECK_EQ(kmem_cache_active(space_sys.avc_cache), links);
}

static void bomb_fork(struct bomb *b)
{
	u64 from = prng_below(&b->r, b->live);
	struct bomb_proc *p = &b->proc[from], *c = &b->proc[b->live];

	if (prng_one_in(&b->r, 6))
		bomb_fork_fails(b, p);
	*c = *p;
	CHECK_EQ(mm_fork(p->mm, &c->mm), 0);
	b->live++;
	b->forks++;
	b->most = max(b->most, (u64)b->live);
	bomb_touch(b, c);
	bomb_touch(b, p);
	if (prng_one_in(&b->r, 64)) {
		mm_check(p->mm);
		mm_check(c->mm);
	}
}

static void bomb_exit(struct bomb *b)
{
	u64 i = prng_below(&b->r, b->live);

	bomb_touch(b, &b->proc[i]);
	tm_use(NULL);
	if (prng_one_in(&b->r, 64))
		mm_check(b->proc[i].mm);
	mm_put(b->proc[i].mm);
	b->proc[i] = b->proc[--b->live];
}

static void bomb_grow(struct bomb *b)
{
	while (b->live < BOMB) {
		if (b->live > 1 && prng_one_in(&b->r, 4))
			bomb_exit(b);
		else
			bomb_fork(b);
	}
}

static int bomb_body(void *arg)
{
	struct bomb *b = arg;

	b->proc[0].mm = bomb_first(b);
	b->live = 1;
	bomb_grow(b);
	CHECK_EQ(space_sys.nr_mms, BOMB);
	tm_audit();
	while (b->live)
		bomb_exit(b);
	CHECK_EQ(space_sys.committed, AREA); /* the memfd's */
	CHECK_EQ(kmem_cache_active(space_sys.vma_cache), 0);
	CHECK_EQ(kmem_cache_active(space_sys.avc_cache), 0);
	b->swapped = sum_vm_event(PSWPOUT);
	fput(b->memfd);
	fput(b->file);
	fm_inode_drop(b->fi);
	return 0;
}

static void fork_bomb(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 20 : 2);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		memset(&bomb, 0, sizeof(bomb));
		prng_seed(&bomb.r, seed + i);
		/* First with memory for all, then with swap. */
		TM_RUN(bomb_body, .arg = &bomb, .seed = seed + i,
		       .mem = (i % 2 ? 36UL : 96UL) << 20, .swap_pages = 32768);
		CHECK(bomb.most == BOMB && bomb.failed > BOMB / 20);
		CHECK(i % 2 == 0 || bomb.swapped > 500);
		fprintf(stderr,
			"bomb: SEED=%llu, %llu forks, %llu failed, %llu pages to swap\n",
			(unsigned long long)(seed + i),
			(unsigned long long)bomb.forks,
			(unsigned long long)bomb.failed,
			(unsigned long long)bomb.swapped);
	}
}

/* ---- the same, every process a thread --------------------------------------
 */

struct swarm {
	u32 left; /* (A) processes that may still be made */
	u32 made; /* (A) */
	u64 seed;
	struct port_thread *thread[BOMB + 1];
};

struct swarm_start {
	struct swarm *s;
	struct mm_struct *mm;
	u64 word, seed;
};

static void swarm_life(void *arg);

/* A thread for MM, whose user becomes the thread's. */
static void swarm_start(struct swarm *s, struct mm_struct *mm, u64 word,
			u64 seed)
{
	struct swarm_start *a = malloc(sizeof(*a));
	u32 nr = __atomic_fetch_add(&s->made, 1, __ATOMIC_RELAXED);

	CHECK(a);
	*a = (struct swarm_start){s, mm, word, seed};
	CHECK_EQ(sim_thread_start_on(&s->thread[nr], "swarm",
				     (int)(nr % (u32)tm.cfg.cpus), swarm_life,
				     a),
		 0);
}

static void swarm_fork(struct swarm *s, struct prng *r, u64 word)
{
	struct mm_struct *child;
	int err;

	if (__atomic_fetch_sub(&s->left, 1, __ATOMIC_RELAXED) - 1 >= BOMB) {
		__atomic_fetch_add(&s->left, 1, __ATOMIC_RELAXED);
		return;
	}
	err = mm_clone(port_current()->mm, 0, &child);
	CHECK_EQ(err, 0);
	swarm_start(s, child, word, prng_u64(r));
}

static void swarm_life(void *arg)
{
	struct swarm_start a = *(struct swarm_start *)arg;
	struct mm_task *task = port_current();
	struct prng r;

	free(arg);
	prng_seed(&r, a.seed);
	mm_task_register(task, "swarm");
	mm_task_exec(a.mm);
	CHECK_EQ(tm_load(ANON_AT), a.word);
	for (u32 i = 0; i < 6; i++) {
		if (prng_one_in(&r, 2)) {
			a.word = prng_u64(&r);
			tm_store(ANON_AT, a.word);
		}
		tm_store(SHARED_AT + P(prng_below(&r, AREA)), a.seed);
		tm_store(MEMFD_AT + P(prng_below(&r, AREA)), a.seed);
		tm_store(FILE_AT + P(prng_below(&r, AREA)), a.seed);
		tm_store(COPY_AT + P(prng_below(&r, AREA)), a.seed);
		swarm_fork(a.s, &r, a.word);
		CHECK_EQ(tm_load(ANON_AT), a.word);
		if (prng_one_in(&r, 3))
			port_park(prng_below(&r, 1000000));
	}
	mm_task_exit(task);
	mm_task_unregister(task);
}

static int swarm_body(void *arg)
{
	struct swarm *s = arg;
	struct mm_struct *mm = bomb_first(&bomb);

	swarm_start(s, mm, 0, s->seed);
	for (u32 i = 0; i < s->made; i++)
		port_thread_join(s->thread[i]);
	fput(bomb.memfd);
	fput(bomb.file);
	fm_inode_drop(bomb.fi);
	return 0;
}

static void fork_swarm(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 100 : 4);
	static struct swarm s;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		s = (struct swarm){.left = 200, .seed = seed + i};
		TM_RUN(swarm_body, .arg = &s, .seed = seed + i, .cpus = 4,
		       .explore = i % 2 == 0,
		       .mem = (i % 4 < 2 ? 64UL : 10UL) << 20,
		       .swap_pages = 16384);
		CHECK(s.made > 150);
	}
}

/* ---- chains ----------------------------------------------------------------
 */

#define DEPTH 100u

/* Who is alive in a chain: process I forked process I + 1. */
struct chain {
	u32 depth;
	struct mm_struct *mm[DEPTH];
	u64 most_links, most_objects;
	u64 visits, hits; /* of walks over all pages */
	u64 worst;	  /* VMAs visited in vain by one walk */
};

static u64 links_of(struct mm_struct *mm)
{
	struct anon_vma_chain *avc;
	struct vm_area_struct *vma;
	u64 n = 0;

	mmap_read_lock(mm);
	vma = find_vma(mm, ANON_AT);
	list_for_each_entry (avc, &vma->anon_vma_chain, same_vma)
		n++;
	mmap_read_unlock(mm);
	return n;
}

/* From VMA's own anon_vma up to the root. */
static u64 height_of(struct mm_struct *mm)
{
	struct anon_vma *av;
	u64 n = 1;

	mmap_read_lock(mm);
	for (av = find_vma(mm, ANON_AT)->anon_vma; av->parent != av;
	     av = av->parent)
		n++;
	mmap_read_unlock(mm);
	return n;
}

struct visit {
	struct chain *c;
	u64 visits, hits;
};

static bool visit_one(struct page *page, struct vm_area_struct *vma, uva_t addr,
		      void *arg)
{
	struct visit *v = arg;
	struct pt_slot slot;

	v->visits++;
	if (page_vma_slot(page, vma, addr, &slot)) {
		v->hits++;
		pt_unlock(&slot);
	}
	return true;
}

/* Walk from PAGE; the walk's own counters tell the same. */
static void chain_walk(struct chain *c, struct page *page)
{
	u64 walks = sum_vm_event(RMAP_WALKS), hits;
	u64 vmas = sum_vm_event(RMAP_WALK_VMAS);
	struct visit v = {.c = c};
	struct rmap_walk_control rwc = {.arg = &v, .rmap_one = visit_one};

	hits = sum_vm_event(RMAP_WALK_HITS);
	CHECK(rmap_walk(page, &rwc));
	CHECK_EQ(v.hits, page_mapcount(page));
	c->worst = max(c->worst, v.visits - v.hits);
	CHECK_EQ(rwc.visited, v.visits);
	CHECK_EQ(sum_vm_event(RMAP_WALKS) - walks, 1);
	CHECK_EQ(sum_vm_event(RMAP_WALK_VMAS) - vmas, v.visits);
	CHECK_EQ(sum_vm_event(RMAP_WALK_HITS) - hits, v.hits);
	c->visits += v.visits;
	c->hits += v.hits;
}

/* Every page that the process I maps is found in it and nowhere else. */
static void chain_walk_all(struct chain *c, u32 i)
{
	for (u32 page = 0; page <= i; page++) {
		pte_t e = tm_pte(c->mm[i], ANON_AT + P(page));
		u64 sharers = 0;

		CHECK(pte_present(e));
		for (u32 k = 0; k < c->depth; k++)
			if (c->mm[k] &&
			    pte_pfn(tm_pte(c->mm[k], ANON_AT + P(page))) ==
				    pte_pfn(e))
				sharers++;
		chain_walk(c, pfn_to_page(pte_pfn(e)));
		CHECK(sharers <= (u64)page_mapcount(pfn_to_page(pte_pfn(e))));
	}
}

static u32 chain_living(const struct chain *c)
{
	u32 n = 0;

	for (u32 i = 0; i < c->depth; i++)
		n += c->mm[i] != NULL;
	return n;
}

/*
 * The reuse rules: a tree of forks has at most two anon_vmas for each VMA that
 * lives (each is used by a VMA, or has two children, or is the root), and no
 * process has more links than there are.
 */
static void chain_bounds(struct chain *c)
{
	u64 objects, living = chain_living(c);

	epoch_drain();
	objects = kmem_cache_active(space_sys.anon_vma_cache);
	c->most_objects = max(c->most_objects, objects);
	CHECK(objects <= 2 * living + 1);
	for (u32 i = 0; i < c->depth; i++) {
		u64 links = c->mm[i] ? links_of(c->mm[i]) : 0;

		c->most_links = max(c->most_links, links);
		CHECK(links <= objects);
		CHECK(!c->mm[i] || height_of(c->mm[i]) <= 2 * living + 1);
	}
}

/* Who has exited by the time that process I has been forked. */
enum chain_kind {
	CHAIN_LIVE,
	CHAIN_EXIT, /* each parent right after its fork */
	CHAIN_ODD,
	CHAIN_EVEN,
	CHAIN_RANDOM,
	CHAIN_LATE, /* a random one that lives, each time */
	CHAIN_BITS, /* bit I of the mask: process I exits after its fork */
};

static void chain_exit(struct chain *c, u32 i)
{
	tm_use(NULL);
	mm_put(c->mm[i]);
	c->mm[i] = NULL;
}

static void chain_exits(struct chain *c, enum chain_kind kind, u32 i, u64 mask,
			struct prng *r)
{
	u32 pick = (u32)prng_below(r, i + 1);
	bool go = false;

	if (kind == CHAIN_EXIT)
		go = true;
	else if (kind == CHAIN_ODD || kind == CHAIN_EVEN)
		go = i % 2 == (kind == CHAIN_ODD);
	else if (kind == CHAIN_RANDOM)
		go = prng_one_in(r, 2);
	else if (kind == CHAIN_BITS)
		go = mask >> i & 1;
	else if (kind == CHAIN_LATE && c->mm[pick])
		chain_exit(c, pick);
	if (go)
		chain_exit(c, i);
}

static void chain_make(struct chain *c, enum chain_kind kind, u64 mask,
		       struct prng *r)
{
	c->mm[0] = tm_mm();
	CHECK_EQ(do_mmap(c->mm[0], ANON_AT, P(DEPTH), TM_RW,
			 TM_ANON | MAP_FIXED),
		 (s64)ANON_AT);
	for (u32 i = 0; i < c->depth; i++) {
		tm_use(c->mm[i]);
		tm_store(ANON_AT + P(i), 1000 + i);
		if (i + 1 < c->depth) {
			CHECK_EQ(mm_fork(c->mm[i], &c->mm[i + 1]), 0);
			chain_exits(c, kind, i, mask, r);
		}
		if (c->depth < 10 || i % 10 == 9)
			chain_bounds(c);
	}
}

static void chain_contents(struct chain *c, u32 i)
{
	tm_use(c->mm[i]);
	for (u32 page = 0; page <= i; page++)
		CHECK_EQ(tm_load(ANON_AT + P(page)), 1000 + page);
	CHECK_EQ(mm_counter_get(c->mm[i], MM_ANONPAGES) +
			 mm_counter_get(c->mm[i], MM_SWAPENTS),
		 i + 1);
}

/* All pages go to swap, by the walks from frames, and come back. */
static void chain_reclaim(struct chain *c)
{
	u32 last = c->depth - 1;

	for (u32 page = 0; page < c->depth; page++) {
		tm_swap_out(c->mm[last], ANON_AT + P(page));
		for (u32 i = page; i < c->depth; i++)
			CHECK(!c->mm[i] ||
			      pte_swap(tm_pte(c->mm[i], ANON_AT + P(page))));
	}
	CHECK_EQ(global_node_page_state(NR_ANON_MAPPED), 0);
	for (u32 i = 0; i < c->depth; i++)
		if (c->mm[i])
			chain_contents(c, i);
}

static void chain_run(struct chain *c, u32 depth, enum chain_kind kind,
		      u64 mask, struct prng *r)
{
	memset(c, 0, sizeof(*c));
	c->depth = depth;
	snprintf(tm_context, sizeof(tm_context), "chain of %u, kind %d, %#llx",
		 depth, (int)kind, (unsigned long long)mask);
	chain_make(c, kind, mask, r);
	for (u32 i = 0; i < depth; i++)
		if (c->mm[i])
			chain_walk_all(c, i);
	/* Pages that were made before the next fork: no walk in vain, unless
	 * an anon_vma was taken over, to which others are still linked. */
	if (kind == CHAIN_LIVE || kind == CHAIN_EXIT)
		CHECK_EQ(c->visits, c->hits);
	else if (kind != CHAIN_BITS)
		CHECK((c->visits - c->hits) * 8 <= c->hits);
	if (kind != CHAIN_BITS)
		chain_reclaim(c);
	for (u32 i = 0; i < depth; i++) {
		if (!c->mm[i])
			continue;
		chain_contents(c, i);
		mm_check(c->mm[i]);
		chain_exit(c, i);
	}
	epoch_drain();
	CHECK_EQ(kmem_cache_active(space_sys.anon_vma_cache), 0);
	CHECK_EQ(kmem_cache_active(space_sys.avc_cache), 0);
}

/* What each kind of hundred may cost, links of a process and objects. */
static const u64 chain_limits[][2] = {
	[CHAIN_LIVE] = {DEPTH, DEPTH},
	[CHAIN_EXIT] = {3, 3},
	[CHAIN_ODD] = {DEPTH * 3 / 4 + 2, DEPTH * 3 / 4 + 2},
	[CHAIN_EVEN] = {DEPTH * 3 / 4 + 2, DEPTH * 3 / 4 + 2},
	[CHAIN_RANDOM] = {DEPTH, DEPTH},
	[CHAIN_LATE] = {DEPTH, DEPTH},
};

static int chains_body(void *arg)
{
	struct prng *r = arg;
	static struct chain c;

	for (int kind = CHAIN_LIVE; kind < CHAIN_BITS; kind++) {
		chain_run(&c, DEPTH, (enum chain_kind)kind, 0, r);
		fprintf(stderr,
			"chain kind %d: %llu visits, %llu hits, links %llu, "
			"objects %llu, in vain %llu\n",
			kind, (unsigned long long)c.visits,
			(unsigned long long)c.hits,
			(unsigned long long)c.most_links,
			(unsigned long long)c.most_objects,
			(unsigned long long)c.worst);
		CHECK(c.most_links <= chain_limits[kind][0]);
		CHECK(c.most_objects <= chain_limits[kind][1]);
	}
	/* Short ones, every pattern of who exits. */
	for (u64 mask = 0; mask < 1u << 7; mask++)
		chain_run(&c, 8, CHAIN_BITS, mask, r);
	return 0;
}

static void fork_chains(void **state)
{
	struct prng r;

	(void)state;
	test_seed(&r, "chains");
	TM_RUN(chains_body, .arg = &r, .mem = 64UL << 20, .swap_pages = 1024);
}

/*
 * The other case, as in Linux: what a process writes after its fork belongs to
 * the anon_vma that its children were linked to, so they are looked at too;
 * never its parents or siblings.
 */
static int family_body(void *arg)
{
	struct mm_struct *mm[6] = {tm_mm()};
	static struct chain c;
	u64 most;

	(void)arg;
	CHECK_EQ(do_mmap(mm[0], ANON_AT, P(8), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)ANON_AT);
	tm_use(mm[0]);
	tm_store(ANON_AT, 1);
	/* 1 and 2 are children of 0, 3 and 4 of 1, 5 of 3. */
	CHECK_EQ(mm_fork(mm[0], &mm[1]), 0);
	CHECK_EQ(mm_fork(mm[0], &mm[2]), 0);
	CHECK_EQ(mm_fork(mm[1], &mm[3]), 0);
	CHECK_EQ(mm_fork(mm[1], &mm[4]), 0);
	CHECK_EQ(mm_fork(mm[3], &mm[5]), 0);
	for (u32 i = 0; i < 6; i++) {
		static const u64 descendants[] = {5, 3, 0, 1, 0, 0};

		tm_use(mm[i]);
		tm_store(ANON_AT + P(1 + i), 10 + i);
		most = c.visits;
		chain_walk(&c, pfn_to_page(pte_pfn(
				       tm_pte(mm[i], ANON_AT + P(1 + i)))));
		CHECK_EQ(c.visits - most, 1 + descendants[i]);
	}
	tm_use(NULL);
	for (u32 i = 0; i < 6; i++)
		mm_put(mm[i]);
	return 0;
}

static void fork_family(void **state)
{
	(void)state;
	TM_RUN(family_body);
}

/* ---- /sys/kernel/debug/rmap ------------------------------------------------
 */

static int shown_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	static struct chain c;
	char text[256] = {0}, want[256];
	struct seq_buf s;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(do_mmap(mm, ANON_AT, P(1), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)ANON_AT);
	tm_store(ANON_AT, 1);
	CHECK_EQ(mm_fork(mm, &child), 0);
	chain_walk(&c, pfn_to_page(pte_pfn(tm_pte(mm, ANON_AT))));
	CHECK_EQ(c.visits, 2);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/sys/kernel/debug/rmap", &s), 0);
	snprintf(want, sizeof(want),
		 "walks %llu\nvmas %llu\nhits %llu\nanon_vmas 2\nlinks 3\n",
		 (unsigned long long)sum_vm_event(RMAP_WALKS),
		 (unsigned long long)sum_vm_event(RMAP_WALK_VMAS),
		 (unsigned long long)sum_vm_event(RMAP_WALK_HITS));
	CHECK(!strcmp(text, want));
	tm_use(NULL);
	mm_put(child);
	mm_put(mm);
	return 0;
}

static void counters_are_shown(void **state)
{
	(void)state;
	TM_RUN(shown_body);
}

/* ---- vfork, clone, exec ----------------------------------------------------
 */

struct vfork {
	struct mm_struct *mm;
	bool execs;
	u32 step; /* (A) */
};

struct vfork_child {
	struct vfork *v;
	struct completion *done;
};

static void vfork_child(void *arg)
{
	struct vfork_child a = *(struct vfork_child *)arg;
	struct vfork *v = a.v;

	mm_task_register(port_current(), "vfork");
	mm_task_vfork(port_current(), v->mm, a.done);
	CHECK_EQ(tm_load(ANON_AT), 1);
	port_park(1000000);
	tm_store(ANON_AT, 2);
	WRITE_ONCE(v->step, 1);
	if (v->execs) {
		struct mm_struct *mm = tm_mm();

		CHECK_EQ(do_mmap(mm, ANON_AT, P(1), TM_RW, TM_ANON | MAP_FIXED),
			 (s64)ANON_AT);
		mm_task_exec(mm);
		CHECK(port_current()->vfork_done == NULL);
		CHECK_EQ(tm_load(ANON_AT), 0);
		tm_store(ANON_AT, 3);
		CHECK_EQ(mm->mm_users, 1);
		CHECK_EQ(mm->rlimit_as, 1UL << 30);
	}
	mm_task_exit(port_current());
	mm_task_unregister(port_current());
}

static int vfork_body(void *arg)
{
	struct vfork v = {.mm = tm_mm(), .execs = *(bool *)arg};
	struct completion done;
	struct vfork_child a = {&v, &done};
	struct port_thread *t;
	struct mm_struct *same;

	tm_use(v.mm);
	v.mm->rlimit_as = 1UL << 30;
	CHECK_EQ(do_mmap(v.mm, ANON_AT, P(1), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)ANON_AT);
	tm_store(ANON_AT, 1);
	CHECK_EQ(mm_clone(v.mm, MM_CLONE_VM, &same), 0);
	CHECK(same == v.mm);
	init_completion(&done);
	CHECK_EQ(sim_thread_start_on(&t, "vfork", tm.cfg.cpus - 1, vfork_child,
				     &a),
		 0);
	wait_for_completion(&done);
	CHECK_EQ(READ_ONCE(v.step), 1);
	CHECK_EQ(tm_load(ANON_AT), 2);
	mm_put(same);
	port_thread_join(t);
	CHECK_EQ(tm_load(ANON_AT), 2);
	CHECK_EQ(v.mm->mm_users, 2);
	tm_use(NULL);
	mm_put(v.mm);
	return 0;
}

static void vfork_waits(void **state)
{
	bool execs[] = {false, true};

	(void)state;
	for (u64 seed = 0; seed < 40; seed++)
		TM_RUN(vfork_body, .arg = &execs[seed % 2], .seed = seed,
		       .cpus = 1 + (int)(seed / 2 % 2),
		       .explore = seed % 4 > 1);
}

/*
 * Exits in every order: a process, a thread of it, a child of vfork, a child
 * of fork. Tasks that never run, as mm.h allows.
 */
#define EXITS 4u

struct exits {
	struct mm_task task[EXITS];
	struct mm_struct *mm, *copy;
	struct completion done;
};

static void exits_make(struct exits *e)
{
	memset(e, 0, sizeof(*e));
	e->mm = tm_mm();
	tm_use(e->mm);
	CHECK_EQ(do_mmap(e->mm, ANON_AT, P(4), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)ANON_AT);
	tm_store(ANON_AT, 1);
	tm_use(NULL);
	CHECK_EQ(mm_clone(e->mm, 0, &e->copy), 0);
	init_completion(&e->done);
	mm_task_attach(&e->task[0], e->mm);
	mm_task_attach(&e->task[1], e->mm);
	mm_task_vfork(&e->task[2], e->mm, &e->done);
	mm_task_attach(&e->task[3], e->copy);
	CHECK_EQ(e->mm->mm_users, 4);
	CHECK_EQ(e->mm->mm_count, 4);
	CHECK_EQ(e->copy->mm_users, 2);
	mm_put(e->mm);
	mm_put(e->copy);
}

static void exits_one(struct exits *e, u32 who, u32 *sharers)
{
	u64 objects = kmem_cache_active(space_sys.vma_cache);
	bool last = who == 3 || --*sharers == 0;

	CHECK_EQ(completion_done(&e->done), e->task[2].mm == NULL);
	mm_task_exit(&e->task[who]);
	CHECK(!e->task[who].mm && !e->task[who].active_mm);
	CHECK_EQ(completion_done(&e->done), e->task[2].mm == NULL);
	epoch_drain();
	CHECK_EQ(objects - kmem_cache_active(space_sys.vma_cache), last);
	if (who != 3 && *sharers) {
		CHECK_EQ(e->mm->mm_users, *sharers);
		CHECK_EQ(e->mm->mm_count, *sharers + 1);
	}
}

static int exits_body(void *arg)
{
	u32 order[EXITS];
	struct exits e;

	(void)arg;
	for (u32 code = 0; code < 256; code++) {
		u32 seen = 0, sharers = 3;

		for (u32 i = 0; i < EXITS; i++) {
			order[i] = code >> 2 * i & 3;
			seen |= 1u << order[i];
		}
		if (seen != 15)
			continue;
		exits_make(&e);
		for (u32 i = 0; i < EXITS; i++)
			exits_one(&e, order[i], &sharers);
		CHECK_EQ(space_sys.nr_mms, 0);
		CHECK_EQ(space_sys.committed, 0);
	}
	return 0;
}

static void exit_orders(void **state)
{
	(void)state;
	TM_RUN(exits_body, .swap_pages = 64);
}

/* Exec of a space with threads, and of a kernel thread; what comes along. */
static int exec_body(void *arg)
{
	struct mm_struct *old = tm_mm(), *new = tm_mm(), *next;
	struct mm_task *self = port_current(), thread = {0};
	u64 faults;

	(void)arg;
	tm_use(NULL);
	CHECK(self->flags & PF_KTHREAD);
	mm_get(old);
	mm_task_exec(old);
	CHECK(!(self->flags & PF_KTHREAD) && self->mm == old);
	CHECK_EQ(old->mm_users, 2);
	CHECK_EQ(do_mmap(old, ANON_AT, P(2), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)ANON_AT);
	tm_store(ANON_AT, 7);
	CHECK_EQ(do_mlockall(old, MCL_CURRENT | MCL_FUTURE), 0);
	old->rlimit_data = 123 << 12;
	mm_task_attach(&thread, old);
	faults = self->min_flt;
	mm_task_exec(new);
	CHECK(self->mm == new && self->active_mm == new);
	CHECK(self->min_flt == faults && faults > 0);
	CHECK_EQ(new->rlimit_data, 123 << 12);
	CHECK_EQ(new->def_flags, 0);
	CHECK_EQ(old->mm_users, 2);
	CHECK_EQ(sim_touch(ANON_AT, SIM_READ), MM_SIGSEGV);
	/* Somebody looks at it from outside while its last task goes. */
	mm_task_exit(&thread);
	CHECK_EQ(old->mm_users, 1);
	CHECK_EQ(old->total_vm, 2);
	mm_put(old);
	CHECK_EQ(mm_clone(new, 0, &next), 0);
	mm_task_exec(next);
	CHECK_EQ(next->mm_users, 1);
	CHECK_EQ(space_sys.nr_mms, 1);
	return 0;
}

static void exec_changes_space(void **state)
{
	(void)state;
	TM_RUN(exec_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fork_bomb),
		cmocka_unit_test(fork_swarm),
		cmocka_unit_test(fork_chains),
		cmocka_unit_test(fork_family),
		cmocka_unit_test(counters_are_shown),
		cmocka_unit_test(vfork_waits),
		cmocka_unit_test(exit_orders),
		cmocka_unit_test(exec_changes_space),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
