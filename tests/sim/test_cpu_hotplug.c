/* SPDX-License-Identifier: MIT */
/*
 * CPUs that go out of use and come back: what they kept for themselves goes
 * back to all, sizes that are shares follow, nodes lose their last CPU, wrong
 * numbers are refused; programs whose CPUs come and go find what they stored.
 */
#include <mmkit/cpu_hotplug.h>
#include <mmkit/memcg.h>
#include <mmkit/slab.h>

#include "base/prng.h"
#include "calls.h"
#include "kmem/slab_priv.h"
#include "phys/memory_tiers.h"

/* ---- what a CPU keeps ------------------------------------------------------
 */

static u64 frames_of(int cpu)
{
	struct zone *zone;
	u64 n = 0;

	for_each_populated_zone (zone)
		n += (u64)pcp_count(&zone->pageset[cpu]);
	return n;
}

struct kept {
	int cpu;
	u64 objects, slabs, caches;
};

static void count_part(struct kmem_cache *s, void *arg)
{
	struct kept *k = arg;
	struct kmem_cache_cpu *c = cache_part(s, (u32)k->cpu);

	if (c == &kmem_sys.cpu_none)
		return;
	k->objects += (u64)max(sheaf_top(READ_ONCE(c->top)), 0);
	k->slabs += (c->slab != NULL) + c->nr_partial;
	k->caches += sheaf_top(c->top) > 0 || c->slab || c->nr_partial;
}

static struct kept objects_of(int cpu)
{
	struct kept k = {.cpu = cpu};

	slab_for_each(count_part, &k);
	return k;
}

static u64 others_of(int cpu)
{
	const struct swap_slots *slots = &cache_sys.slots[cpu];
	const struct memcg_stock *stock = &memcg_sys.stock[cpu];

	return phys_sys.lru_add[cpu].nr + (slots->nr != slots->next) +
	       (stock->nr || stock->bytes || stock->objcg);
}

static void keeps_nothing(int cpu)
{
	struct kept k = objects_of(cpu);

	CHECK_EQ(frames_of(cpu), 0);
	CHECK_EQ(k.objects, 0);
	CHECK_EQ(k.slabs, 0);
	CHECK_EQ(others_of(cpu), 0);
}

/* ---- one CPU ---------------------------------------------------------------
 */

/* A program that uses a bit of everything, in a group of its own. */
static void use_all(void *arg)
{
	u16 group = *(const u16 *)arg;
	struct mm_struct *mm = tm_mm();
	struct page *page[40];
	void *obj[100];
	uva_t at;

	CHECK_EQ(memcg_attach(port_current(), group), 0);
	tm_use(mm);
	at = tm_map(mm, 200);
	for (u64 i = 0; i < 200; i++)
		tm_store(at + P(i), i);
	CHECK(do_madvise(mm, at, P(100), MADV_PAGEOUT) == 0);
	for (u32 i = 0; i < ARRAY_SIZE(obj); i++)
		CHECK(obj[i] = kmalloc(100, GFP_KERNEL_ACCOUNT));
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		CHECK(page[i] = alloc_page(GFP_KERNEL));
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		__free_pages(page[i], 0);
	for (u32 i = 0; i < ARRAY_SIZE(obj); i++)
		kfree(obj[i]);
	CHECK_EQ(memcg_attach(port_current(), 0), 0);
	tm_use(NULL);
	mm_put(mm);
}

static void run_on(int cpu, u16 *group)
{
	struct port_thread *t;

	CHECK_EQ(sim_thread_start_on(&t, "user", cpu, use_all, group), 0);
	port_thread_join(t);
}

static int back_body(void *arg)
{
	u16 group = 0;
	struct zone *zone = page_zone(pfn_to_page(1024));
	s32 high = zone->pageset[0].high;
	struct kept k;

	(void)arg;
	CHECK_EQ(memcg_create(0, &group), 0);
	run_on(1, &group);
	sim_cpu_down(1);
	k = objects_of(1);
	CHECK(frames_of(1) > 0);
	CHECK(k.objects > 0 && k.slabs > 0);
	CHECK(others_of(1) > 0);
	CHECK(cpu_online(1));
	CHECK_EQ(remove_cpu(1), 0);
	CHECK(!cpu_online(1));
	CHECK_EQ(num_online_cpus(), 1);
	keeps_nothing(1);
	/* Its share is the others'. */
	CHECK_EQ(zone->pageset[0].high, 2 * high);
	CHECK(tm_logged("CPU 1 is now offline"));
	run_on(0, &group);
	keeps_nothing(1);
	CHECK_EQ(add_cpu(1), 0);
	sim_cpu_up(1);
	CHECK_EQ(zone->pageset[0].high, high);
	run_on(1, &group);
	CHECK(frames_of(1) > 0);
	CHECK_EQ(memcg_remove(group), 0);
	return 0;
}

static void gives_back(void **state)
{
	(void)state;
	TM_RUN(back_body, .cpus = 2, .swap_pages = 1024);
}

static int wrong_body(void *arg)
{
	(void)arg;
	CHECK_EQ(remove_cpu(-1), -EINVAL);
	CHECK_EQ(remove_cpu(3), -EINVAL);
	CHECK_EQ(add_cpu(-1), -EINVAL);
	CHECK_EQ(add_cpu(3), -EINVAL);
	CHECK_EQ(add_cpu(1), -EINVAL);
	CHECK(!cpu_online(-1) && !cpu_online(3));
	for (int cpu = 1; cpu < 3; cpu++) {
		sim_cpu_down(cpu);
		CHECK_EQ(remove_cpu(cpu), 0);
		CHECK_EQ(remove_cpu(cpu), -EINVAL);
	}
	CHECK_EQ(num_online_cpus(), 1);
	CHECK_EQ(remove_cpu(0), -EBUSY);
	CHECK(cpu_online(0));
	for (int cpu = 1; cpu < 3; cpu++) {
		CHECK_EQ(add_cpu(cpu), 0);
		sim_cpu_up(cpu);
	}
	CHECK_EQ(num_online_cpus(), 3);
	return 0;
}

static void wrong_numbers(void **state)
{
	(void)state;
	TM_RUN(wrong_body, .cpus = 3);
}

/* Node 1 has CPU 1 alone: without it memory there is slower than node 0's. */
static int node_body(void *arg)
{
	(void)arg;
	CHECK_EQ(node_tier(1), 0);
	sim_cpu_down(1);
	CHECK_EQ(remove_cpu(1), 0);
	CHECK_EQ(node_tier(1), 1);
	CHECK_EQ(demotion_nodes(0), NODE_MASK(1));
	CHECK_EQ(add_cpu(1), 0);
	sim_cpu_up(1);
	CHECK_EQ(node_tier(1), 0);
	return 0;
}

static void nodes_without(void **state)
{
	(void)state;
	TM_RUN(node_body, .cpus = 2, .nodes = 2, .mem = 32UL << 20);
}

/* ---- under load ------------------------------------------------------------
 */

#define WORKERS 4u
#define PAGES	300u
#define OBJECTS 64u

struct load {
	struct mm_struct *mm;
	uva_t at;
	u64 seed;
	u64 next; /* (A) */
	u64 live; /* (A) workers that are not done */
};

struct object {
	char *at;
	u32 size;
	char fill;
};

static void object_check(const struct object *o)
{
	for (u32 i = 0; i < o->size; i++)
		CHECK_EQ(o->at[i], o->fill);
}

static void object_step(struct object *o, struct prng *r)
{
	if (o->at) {
		object_check(o);
		kfree(o->at);
		o->at = NULL;
		return;
	}
	o->size = 8 + (u32)prng_below(r, 300);
	o->fill = (char)prng_below(r, 256);
	o->at = kmalloc(o->size, GFP_KERNEL);
	CHECK(o->at);
	memset(o->at, o->fill, o->size);
}

static void page_step(const struct load *l, u64 id, u64 *round, struct prng *r)
{
	u64 i = prng_below(r, PAGES);
	uva_t at = l->at + P(i) + 8 * id;

	CHECK_EQ(tm_load(at), round[i] ? (i << 32 | round[i]) : 0);
	if (prng_below(r, 8) == 0) {
		/* Every worker's word of the page is kept. */
		(void)do_madvise(l->mm, l->at + P(i), P(1), MADV_PAGEOUT);
		return;
	}
	tm_store(at, i << 32 | ++round[i]);
}

static void worker(void *arg)
{
	static u64 round[WORKERS][PAGES];
	struct object objects[OBJECTS] = {{0}};
	struct load *l = arg;
	u64 id = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
	struct prng r;

	memset(round[id], 0, sizeof(round[id]));
	prng_seed(&r, l->seed + id);
	mm_task_attach(port_current(), l->mm);
	for (int i = 0; i < 1500; i++) {
		page_step(l, id, round[id], &r);
		object_step(&objects[prng_below(&r, OBJECTS)], &r);
		if (i % 16 == 0)
			port_park(5000);
	}
	for (u32 i = 0; i < OBJECTS; i++)
		kfree(objects[i].at);
	mm_task_exit(port_current());
	port_current()->flags |= PF_KTHREAD;
	__atomic_fetch_sub(&l->live, 1, __ATOMIC_RELEASE);
}

/* Whoever was moved with a store of the CPU chosen may still fill that one. */
static void keeps_little(int cpu)
{
	struct kept k = objects_of(cpu);

	CHECK((frames_of(cpu) != 0) + k.caches + others_of(cpu) <= WORKERS);
}

/* A CPU goes, or comes back and gets somebody to run. */
static void change_step(struct port_thread *const *t, struct prng *r)
{
	int cpu = 1 + (int)prng_below(r, 3);

	if (cpu_online(cpu)) {
		sim_cpu_down(cpu);
		CHECK_EQ(remove_cpu(cpu), 0);
		keeps_little(cpu);
	} else {
		CHECK_EQ(add_cpu(cpu), 0);
		sim_cpu_up(cpu);
		sim_set_cpu(t[prng_below(r, WORKERS)], cpu);
	}
}

static int load_body(void *arg)
{
	struct load l = {.seed = *(u64 *)arg, .live = WORKERS};
	struct port_thread *t[WORKERS];
	struct prng r;
	u32 changes = 0;

	prng_seed(&r, l.seed ^ 0x43505553);
	l.mm = tm_mm();
	l.at = tm_map(l.mm, PAGES);
	for (u32 i = 0; i < WORKERS; i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "worker", (int)i, worker,
					     &l),
			 0);
	for (; __atomic_load_n(&l.live, __ATOMIC_ACQUIRE); changes++) {
		change_step(t, &r);
		port_park(10000 + prng_below(&r, 100000));
	}
	for (u32 i = 0; i < WORKERS; i++)
		port_thread_join(t[i]);
	for (int cpu = 1; cpu < 4; cpu++) {
		if (cpu_online(cpu))
			continue;
		CHECK_EQ(add_cpu(cpu), 0);
		sim_cpu_up(cpu);
	}
	mm_put(l.mm);
	CHECK(changes > 10);
	return 0;
}

static void under_load(void **state)
{
	u64 first = test_env("SEED", 100), nr = test_iters(40);

	(void)state;
	for (u64 seed = first; seed < first + nr; seed++) {
		snprintf(tm_context, sizeof(tm_context), "SEED=%llu ITERS=1",
			 (unsigned long long)seed);
		TM_RUN(load_body, .cpus = 4, .swap_pages = 2048, .seed = seed,
		       .explore = seed & 1, .stall = seed % 4 == 3 ? 300 : 0,
		       .arg = &seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back),
		cmocka_unit_test(wrong_numbers),
		cmocka_unit_test(nodes_without),
		cmocka_unit_test(under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
