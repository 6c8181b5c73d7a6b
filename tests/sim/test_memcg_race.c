/* SPDX-License-Identifier: MIT */
/*
 * Groups under explored schedules: tasks that charge, read what they wrote,
 * give back and move from group to group, while somebody makes and removes
 * groups, sets limits below what is in use, reclaims, drains and reads. What
 * they wrote is there; afterwards everything is given back to whom it was
 * charged. With memory that fails, too.
 */
#include "base/fail.h"
#include "base/prng.h"
#include "memcg/psi_trigger.h"
#include "memcg_groups.h"

#define WORKERS 3
#define SLOTS	6
#define AREAS	4
#define PAGES	24

static struct {
	u64 seed, steps;
	u16 top, id[SLOTS]; /* (A) 0: none */
	bool done;
	u64 moves, refused, removed, busy, killed, limits;
} rc;

static void count(u64 *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

/* ---- those who use memory
 * ------------------------------------------------------------ */

struct area {
	uva_t at;
	u64 tag;
};

/* Writes all of A, or reads it. False: it was killed. */
static bool pass(struct area *a, bool write)
{
	for (u64 i = 0; i < PAGES; i++) {
		u64 v = a->tag + i, got;

		if (write && sim_copy_to_user(a->at + P(i), &v, sizeof(v)))
			return false;
		if (sim_copy_from_user(&got, a->at + P(i), sizeof(got)))
			return false;
		CHECK_EQ(got, v);
	}
	return true;
}

static bool area_step(struct mm_struct *mm, struct area *a, struct prng *rng)
{
	if (!a->at) {
		s64 at = do_mmap(mm, 0, P(PAGES), TM_RW,
				 TM_ANON | MAP_NORESERVE);

		if (at < 0)
			return true;
		*a = (struct area){(uva_t)at, prng_u64(rng)};
		return pass(a, true);
	}
	if (prng_below(rng, 3))
		return pass(a, false);
	if (!do_munmap(mm, a->at, P(PAGES)))
		a->at = 0;
	return true;
}

static void move_somewhere(struct prng *rng)
{
	u16 id = READ_ONCE(rc.id[prng_below(rng, SLOTS)]);
	int err = memcg_attach(port_current(), id);

	CHECK(err == 0 || err == -ENOENT);
	count(err ? &rc.refused : &rc.moves);
}

static void worker(void *arg)
{
	struct mm_task *task = port_current();
	struct mm_struct *mm = NULL;
	struct mm_layout layout;
	struct area area[AREAS] = {0};
	struct prng rng;
	bool alive = true;

	prng_seed(&rng, rc.seed * 100 + (u64)(uintptr_t)arg);
	mm_default_layout(&layout);
	while (mm_create(&layout, &mm)) /* memory may fail here, too */
		port_park(1000);
	mm_task_register(task, "worker");
	mm_task_attach(task, mm);
	mm_put(mm);
	for (u64 n = 0; n < rc.steps && alive; n++) {
		if (prng_below(&rng, 4) == 0)
			move_somewhere(&rng);
		alive = area_step(mm, &area[prng_below(&rng, AREAS)], &rng);
	}
	if (!alive)
		count(&rc.killed);
	mm_task_exit(task);
	mm_task_unregister(task);
}

/* ---- who keeps the groups
 * ------------------------------------------------------------ */

static void set_some(u16 id, struct prng *rng)
{
	static const char *const files[] = {
		"memory.max", "memory.high",	 "memory.low",
		"memory.min", "memory.swap.max", "memory.swap.high"};
	char text[16] = "max";
	int err;

	if (prng_below(rng, 3))
		snprintf(text, sizeof(text), "%uK",
			 4 * (40 + (u32)prng_below(rng, 120)));
	err = memcg_write(id, files[prng_below(rng, ARRAY_SIZE(files))], text);
	CHECK(err == 0 || err == -ENOENT);
	count(&rc.limits);
}

static void make_or_remove(u32 slot, struct prng *rng)
{
	u16 id = rc.id[slot], parent = rc.top;
	int err;

	if (!id) {
		u16 other = rc.id[prng_below(rng, SLOTS)];

		if (other && prng_below(rng, 3) == 0)
			parent = other;
		err = memcg_create(parent, &id);
		CHECK(err == 0 || err == -ENOMEM);
		WRITE_ONCE(rc.id[slot], err ? 0 : id);
		return;
	}
	err = memcg_remove(id);
	CHECK(err == 0 || err == -EBUSY);
	count(err ? &rc.busy : &rc.removed);
	if (!err)
		WRITE_ONCE(rc.id[slot], 0);
}

static void look_around(u16 id, struct prng *rng)
{
	static char buf[8192];
	struct psi_trigger t = {0};

	switch (prng_below(rng, 4)) {
	case 0:
		memcg_drain(NULL);
		return;
	case 1:
		(void)memcg_read(id, "memory.stat", buf, sizeof(buf));
		return;
	case 2:
		(void)memcg_read(id, "memory.numa_stat", buf, sizeof(buf));
		return;
	default:
		CHECK_EQ(psi_trigger_parse("some 1000 500000", &t), 0);
		if (psi_trigger_start(&t, id))
			return;
		(void)psi_triggers_look();
		(void)psi_trigger_take(&t);
		psi_trigger_end(&t);
	}
}

static void keeper(void *arg)
{
	struct prng rng;

	(void)arg;
	prng_seed(&rng, rc.seed * 100 + 99);
	while (!READ_ONCE(rc.done)) {
		u32 slot = (u32)prng_below(&rng, SLOTS);
		u16 id = rc.id[slot];

		switch (prng_below(&rng, 6)) {
		case 0:
		case 1:
			make_or_remove(slot, &rng);
			break;
		case 2:
			(void)memcg_write(id ? id : rc.top, "memory.reclaim",
					  "64K");
			break;
		case 3:
			look_around(id, &rng);
			break;
		default:
			if (id)
				set_some(id, &rng);
		}
		port_park(20 * 1000);
	}
}

/* ---- together
 * ------------------------------------------------------------------------ */

static void remove_all(void)
{
	for (u32 round = 0; round < SLOTS; round++)
		for (u32 i = 0; i < SLOTS; i++)
			if (rc.id[i] && !memcg_remove(rc.id[i]))
				rc.id[i] = 0;
	CHECK_EQ(memcg_remove(rc.top), 0);
}

static int race_body(void *arg)
{
	struct port_thread *t[WORKERS], *k;
	bool failing = *(bool *)arg;

	rc.top = make(0);
	set(rc.top, "memory.max", 220);
	if (failing)
		fail_arm_prob(FAIL_MASK(FAIL_PAGE_ALLOC) |
				      FAIL_MASK(FAIL_CHARGE) |
				      FAIL_MASK(FAIL_SWAP_SLOT),
			      30, rc.seed);
	CHECK_EQ(sim_thread_start_on(&k, "keeper", 0, keeper, NULL), 0);
	for (u32 w = 0; w < WORKERS; w++)
		CHECK_EQ(sim_thread_start_on(&t[w], "worker",
					     (int)w % tm.cfg.cpus, worker,
					     (void *)(uintptr_t)w),
			 0);
	for (u32 w = 0; w < WORKERS; w++)
		port_thread_join(t[w]);
	WRITE_ONCE(rc.done, true);
	port_thread_join(k);
	(void)fail_disarm();
	port_park(200 * 1000 * 1000); /* the reaper has its say */
	end_all();
	/* Pages that were read ahead when their owner ended are nobody's, and
	 * stay until somebody wants memory; of a group that had been removed
	 * they are whose who read them, the root's, too. */
	if (usage(rc.top))
		(void)memcg_write(rc.top, "memory.reclaim", "1M");
	CHECK_EQ(memcg_write(0, "memory.reclaim", "1G"), -EAGAIN);
	CHECK_EQ(usage(rc.top), 0);
	CHECK_EQ(get(rc.top, "memory.swap.current", NULL), 0);
	CHECK_EQ(row(rc.top, "anon"), 0);
	remove_all();
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	CHECK_EQ(memcg_sys.nr_protected, 0);
	return 0;
}

static void races(void **state)
{
	u64 base = test_env("SEED", 1), nr = tm_soak() ? 300 : 8;
	u64 moves = 0, removed = 0, busy = 0, limits = 0, killed = 0;

	(void)state;
	for (u64 seed = base; seed < base + nr; seed++) {
		bool failing = seed % 4 == 3;

		memset(&rc, 0, sizeof(rc));
		rc.seed = seed;
		rc.steps = test_iters(tm_soak() ? 300 : 120);
		TM_RUN(race_body, .arg = &failing, .mem = 24UL << 20,
		       .swap_pages = 3000, .cpus = 1 + (int)(seed % 3),
		       .seed = seed, .explore = true,
		       .stall = seed / 2 % 2 * 32);
		moves += rc.moves;
		removed += rc.removed;
		busy += rc.busy;
		limits += rc.limits;
		killed += rc.killed;
	}
	if (getenv("VERBOSE"))
		printf("moves %llu removed %llu busy %llu limits %llu killed %llu\n",
		       (unsigned long long)moves, (unsigned long long)removed,
		       (unsigned long long)busy, (unsigned long long)limits,
		       (unsigned long long)killed);
	CHECK(moves > 10 * nr && removed > nr && limits > nr);
	CHECK(killed < nr * WORKERS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
