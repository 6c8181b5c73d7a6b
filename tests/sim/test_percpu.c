/* SPDX-License-Identifier: MIT */
/*
 * The per-CPU allocator: where objects lie, against a map of bytes; that each
 * CPU has its own; what happens when memory is short; and counters built on
 * it. With frames in blocks and with frames mapped page by page.
 */
#include "sim_machine.h"

#include <mmkit/percpu.h>
#include <mmkit/percpu_counter.h>
#include <mmkit/vmalloc.h>

#include "base/fail.h"
#include "base/prng.h"
#include "kmem/percpu.h"
#include "kmem/vmalloc.h"

static u64 seed;

static struct pcpu_state *state(void)
{
	return &kmem_sys.pcpu;
}

static void settle(void)
{
	CHECK_EQ(state()->nr_objects, 0);
	pcpu_check();
	percpu_reclaim();
	CHECK_EQ(state()->nr_chunks, 0);
	CHECK_EQ(pcpu_nr_pages(), 0);
	vm_unmap_aliases();
	vmalloc_check();
}

/* Both ways to get frames. */
static void both(int (*body)(void *), int cpus, void *arg)
{
	for (int shared = 0; shared < 2; shared++) {
		snprintf(tm_context, sizeof(tm_context), "shared_ram %d",
			 shared);
		TM_RUN(body, .mem = 32UL << 20, .cpus = cpus, .seed = seed,
		       .shared_ram = shared, .arg = arg);
	}
	tm_context[0] = 0;
}

/* ---- objects
 * ------------------------------------------------------------------------- */

static int basic_body(void *arg)
{
	u64 *a = alloc_percpu(u64);
	struct odd {
		u8 byte[13];
	} *b = alloc_percpu(struct odd);
	u8 *page = __alloc_percpu(PAGE_SIZE, PAGE_SIZE);
	u8 *all = __alloc_percpu(PCPU_UNIT_SIZE, 4);

	(void)arg;
	CHECK(a && b && page && all);
	CHECK(IS_ALIGNED((u64)a, 8) && IS_ALIGNED((u64)page, PAGE_SIZE));
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		CHECK_EQ(*per_cpu_ptr(a, cpu), 0);
		*per_cpu_ptr(a, cpu) = 100 + (u64)cpu;
		memset(per_cpu_ptr(b, cpu), cpu + 1, 13);
		memset(per_cpu_ptr(page, cpu), cpu + 2, PAGE_SIZE);
		memset(per_cpu_ptr(all, cpu), cpu + 3, PCPU_UNIT_SIZE);
	}
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		CHECK_EQ(*per_cpu_ptr(a, cpu), 100 + cpu);
		CHECK_EQ(per_cpu_ptr(b, cpu)->byte[0], cpu + 1);
		CHECK_EQ(per_cpu_ptr(b, cpu)->byte[12], cpu + 1);
		CHECK_EQ(per_cpu_ptr(page, cpu)[PAGE_SIZE - 1], cpu + 2);
		CHECK_EQ(per_cpu_ptr(all, cpu)[0], cpu + 3);
		CHECK_EQ(per_cpu_ptr(all, cpu)[PCPU_UNIT_SIZE - 1], cpu + 3);
	}
	pcpu_check();
	CHECK_EQ(pcpu_nr_pages() % (u64)port_nr_cpus(), 0);
	free_percpu(a);
	/* Zero again for the next one. */
	a = alloc_percpu(u64);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		CHECK_EQ(*per_cpu_ptr(a, cpu), 0);
	free_percpu(a);
	free_percpu(b);
	free_percpu(page);
	free_percpu(all);
	free_percpu(NULL);
	settle();
	return 0;
}

static int access_body(void *arg)
{
	s64 *n = alloc_percpu(s64);
	void **p = alloc_percpu(void *);

	(void)arg;
	this_cpu_write(n, 5);
	this_cpu_add(n, 10);
	this_cpu_sub(n, 3);
	this_cpu_inc(n);
	this_cpu_dec(n);
	CHECK_EQ(this_cpu_read(n), 12);
	CHECK_EQ(this_cpu_inc_return(n), 13);
	CHECK_EQ(this_cpu_add_return(n, -20), -7);
	CHECK_EQ(this_cpu_cmpxchg(n, 0, 9), -7);
	CHECK_EQ(this_cpu_cmpxchg(n, -7, 9), -7);
	CHECK_EQ(this_cpu_xchg(n, 1), 9);
	CHECK_EQ(*get_cpu_ptr(n), 1);
	put_cpu_ptr(n);
	this_cpu_write(p, (void *)n);
	CHECK(this_cpu_read(p) == (void *)n);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		CHECK_EQ(*per_cpu_ptr(n, cpu), cpu == port_cpu());
	free_percpu(n);
	free_percpu(p);
	settle();
	return 0;
}

static void test_objects(void **st)
{
	(void)st;
	both(basic_body, 1, NULL);
	both(basic_body, 4, NULL);
	both(access_body, 3, NULL);
}

/* ---- the map, against a map of bytes
 * -------------------------------------------------------- */

#define LIVE 400

struct object {
	char *p;
	u32 size;
};

static struct object live[LIVE];

static void check_overlap(const struct object *o, int except)
{
	for (int i = 0; i < LIVE; i++) {
		if (i == except || !live[i].p)
			continue;
		CHECK(o->p + o->size <= live[i].p ||
		      live[i].p + live[i].size <= o->p);
	}
}

static u8 stamp(int i, int cpu)
{
	return (u8)(i * 7 + cpu * 31 + 1);
}

static void model_alloc(int i, struct prng *r)
{
	struct object *o = &live[i];
	u64 align = 1UL << prng_below(r, prng_one_in(r, 20) ? 13 : 7);
	gfp_t gfp = prng_one_in(r, 6) ? GFP_NOWAIT | __GFP_NOWARN : GFP_KERNEL;

	o->size = 1 + (u32)prng_below(r, prng_one_in(r, 10)  ? 9000
					 : prng_one_in(r, 3) ? 300
							     : 40);
	o->p = __alloc_percpu_gfp(o->size, align, gfp);
	CHECK(o->p || gfp != GFP_KERNEL);
	if (!o->p)
		return;
	CHECK(IS_ALIGNED((u64)o->p, max(align, (u64)PCPU_MIN_ALLOC)));
	check_overlap(o, i);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		char *own = per_cpu_ptr(o->p, cpu);

		for (u32 b = 0; b < o->size; b++)
			CHECK_EQ(own[b], 0);
		memset(own, stamp(i, cpu), o->size);
	}
}

static void model_free(int i)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		const char *own = per_cpu_ptr(live[i].p, cpu);

		for (u32 b = 0; b < live[i].size; b++)
			CHECK_EQ((u8)own[b], stamp(i, cpu));
	}
	free_percpu(live[i].p);
	live[i].p = NULL;
}

static int model_body(void *arg)
{
	struct prng r;

	prng_seed(&r, seed);
	memset(live, 0, sizeof(live));
	for (u64 n = 0; n < *(u64 *)arg; n++) {
		int i = (int)prng_below(&r, LIVE);

		if (live[i].p)
			model_free(i);
		else
			model_alloc(i, &r);
		if (n % 64 == 0)
			pcpu_check();
		if (prng_one_in(&r, 1000))
			percpu_reclaim();
	}
	for (int i = 0; i < LIVE; i++)
		if (live[i].p)
			model_free(i);
	settle();
	return 0;
}

static void test_model(void **st)
{
	u64 iters = test_iters(test_env("SOAK", 0) ? 100000 : 6000);

	(void)st;
	both(model_body, 3, &iters);
}

/* One chunk's map alone: the lowest place that fits, hints as a scan says. */
static struct pcpu_chunk map;

static u32 naive_fit(u32 bits, u32 align, bool ready)
{
	for (u32 at = 0; at + bits <= PCPU_BITS; at += align) {
		u32 n = 0;

		while (n < bits && !test_bit(at + n, map.alloc_map) &&
		       (!ready ||
			map.populated >> ((at + n) / PCPU_BLOCK_BITS) & 1))
			n++;
		if (n == bits)
			return at;
	}
	return PCPU_BITS;
}

static void test_map(void **st)
{
	static u32 start[PCPU_BITS];
	u64 iters = test_iters(4000), nr = 0;
	struct prng r;

	(void)st;
	prng_seed(&r, seed);
	memset(&map, 0, sizeof(map));
	pcpu_chunk_init(&map);
	for (u64 i = 0; i < iters; i++) {
		u32 bits =
			1 + (u32)prng_below(&r, prng_one_in(&r, 8) ? 2500 : 60);
		u32 align = 1u << prng_below(&r, 11);
		bool ready = prng_one_in(&r, 3);
		u32 at = pcpu_chunk_fit(&map, bits, align, ready);

		assert_int_equal(at, naive_fit(bits, align, ready));
		if (at < PCPU_BITS && nr < PCPU_BITS) {
			pcpu_chunk_take(&map, at, bits);
			start[nr++] = at;
		}
		while (nr && prng_one_in(&r, at < PCPU_BITS ? 3 : 2)) {
			u64 k = prng_below(&r, nr);

			/* Not in the middle of an object. */
			if (!test_bit(start[k] + 1, map.bound_map) &&
			    start[k] + 1 < PCPU_BITS)
				assert_int_equal(
					pcpu_chunk_give(&map, start[k] + 1), 0);
			assert_true(pcpu_chunk_give(&map, start[k]) > 0);
			assert_int_equal(pcpu_chunk_give(&map, start[k]), 0);
			start[k] = start[--nr];
		}
		if (prng_one_in(&r, 10)) {
			u32 page = (u32)prng_below(&r, PCPU_PAGES);

			pcpu_chunk_populated(&map, page,
					     !(map.populated >> page & 1));
		}
		pcpu_chunk_check(&map);
	}
}

/* ---- failure, misuse
 * ------------------------------------------------------------------- */

#define FAIL_HERE                                            \
	(FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB) | \
	 FAIL_MASK(FAIL_PGTABLE) | FAIL_MASK(FAIL_VMAP) |    \
	 FAIL_MASK(FAIL_PERCPU))

static int fail_body(void *arg)
{
	u64 fired = 0;

	(void)arg;
	for (int keep = 0; keep < 2; keep++) {
		for (u64 n = 1;; n++) {
			struct fail_result r;
			char *p;

			percpu_reclaim();
			fail_arm_nth(FAIL_HERE, n, keep);
			fail_only_task(port_current());
			p = __alloc_percpu(5000, 8);
			r = fail_disarm();
			CHECK(p || r.fired);
			CHECK_EQ(state()->nr_objects, p != NULL);
			free_percpu(p);
			pcpu_check();
			vm_unmap_aliases();
			fired += r.fired;
			if (!r.fired)
				break;
		}
	}
	CHECK(fired > 5);
	settle();
	return 0;
}

/* Who may not sleep gets what is ready, then NULL. */
static int atomic_body(void *arg)
{
	static u32 *p[4096];
	u32 *first;
	u32 n = 0;

	(void)arg;
	CHECK(!alloc_percpu_gfp(u32, GFP_NOWAIT));
	CHECK(tm_logged("atomic alloc failed, no space left"));
	first = alloc_percpu(u32);
	CHECK(state()->nr_empty >= PCPU_EMPTY_LOW);
	while (n < 4096 &&
	       (p[n] = __alloc_percpu_gfp(64, 4, GFP_NOWAIT | __GFP_NOWARN)))
		n++;
	CHECK(n >= PCPU_EMPTY_LOW * PAGE_SIZE / 64 && n < 4096);
	CHECK_EQ(state()->nr_chunks, 1);
	while (n)
		free_percpu(p[--n]);
	free_percpu(first);
	settle();
	return 0;
}

static int misuse_body(void *arg)
{
	u64 *p = __alloc_percpu(64, 8);

	(void)arg;
	CHECK(!__alloc_percpu(0, 4));
	CHECK(tm_logged("illegal size (0) or align (4)"));
	CHECK(!__alloc_percpu(PCPU_UNIT_SIZE + 1, 4));
	CHECK(!__alloc_percpu(8, 3) && !__alloc_percpu(8, 2 * PAGE_SIZE));
	CHECK(!__alloc_reserved_percpu(8, 8)); /* nothing is reserved */
	free_percpu(p + 1);
	CHECK(tm_logged("BUG: free_percpu() of what is no object (in a chunk"));
	free_percpu((char *)p + 2);
	free_percpu(&seed);
	CHECK(tm_logged("no object (not in a chunk"));
	CHECK_EQ(state()->nr_objects, 1);
	free_percpu(p);
	free_percpu(p);
	settle();
	return 0;
}

static void test_failure(void **st)
{
	(void)st;
	both(fail_body, 2, NULL);
	both(atomic_body, 2, NULL);
	both(misuse_body, 2, NULL);
}

/* Empty chunks are given back, but for one. */
static int reclaim_body(void *arg)
{
	char *p[6];

	(void)arg;
	for (int i = 0; i < 6; i++)
		CHECK((p[i] = __alloc_percpu(PCPU_UNIT_SIZE, 4)));
	CHECK_EQ(state()->nr_chunks, 6);
	CHECK_EQ(pcpu_nr_pages(), 6 * PCPU_PAGES * 2);
	for (int i = 0; i < 5; i++)
		free_percpu(p[i]);
	CHECK_EQ(state()->nr_chunks, 6);
	p[0] = __alloc_percpu(PCPU_UNIT_SIZE, 4);
	CHECK_EQ(state()->nr_chunks, 3);
	free_percpu(p[0]);
	CHECK_EQ(percpu_reclaim(), 2 * PCPU_PAGES * 2);
	CHECK_EQ(state()->nr_chunks, 1);
	free_percpu(p[5]);
	settle();
	return 0;
}

static const char *show(const char *file)
{
	static char text[1 << 14];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(file, &s), 0);
	return seq_buf_str(&s);
}

/* Only pages with objects have frames, on each CPU's own node. */
static int demand_body(void *arg)
{
	char *p = __alloc_percpu(PAGE_SIZE, PAGE_SIZE);
	char want[64];

	(void)arg;
	CHECK_EQ(pcpu_nr_pages(), (1 + PCPU_EMPTY_HIGH) * 2);
	snprintf(want, sizeof(want), "Percpu:         %8llu kB\n",
		 (unsigned long long)pcpu_nr_pages() * 4);
	CHECK(strstr(show("meminfo"), want));
	CHECK(strstr(show("vmallocinfo"), " 69632 pcpu_create_chunk vmalloc"));
	for (int cpu = 0; cpu < 2; cpu++)
		CHECK_EQ(page_to_nid(vmalloc_to_page(per_cpu_ptr(p, cpu))),
			 cpu);
	CHECK(!vmalloc_to_page(p + PCPU_UNIT_SIZE - PAGE_SIZE));
	/* The area is not vfree()'s. */
	vfree(p);
	CHECK(tm_logged("BUG: trying to vfree() nonexistent vm area"));
	free_percpu(p);
	settle();
	return 0;
}

/* Does the running CPU find a frame at P, which is CPU 0's, by its TLB? */
static bool seen(const void *p)
{
	u32 error = 0;

	return sim_kernel(vmalloc_kva(p), SIM_READ, &error) != NULL;
}

enum { NR_PAGES = 3 * PCPU_PAGES };
static u32 *page_of[NR_PAGES]; /* one object each */

static bool stays(u32 i)
{
	return i % PCPU_PAGES == 3;
}

/* Objects that are pages; one in each chunk stays, so no chunk is empty. */
static void fill_pages(void)
{
	for (u32 i = 0; i < NR_PAGES; i++) {
		CHECK((page_of[i] = __alloc_percpu(PAGE_SIZE, PAGE_SIZE)));
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
			*per_cpu_ptr(page_of[i], cpu) = i << 8 | (u32)cpu;
		CHECK(seen(page_of[i]));
	}
	for (u32 i = 0; i < NR_PAGES; i++) {
		if (!stays(i))
			free_percpu(page_of[i]);
	}
}

/* Only what stays has frames, but for the page that MORE is in. */
static void look_at_pages(const u32 *more)
{
	for (u32 i = 0; i < NR_PAGES; i++) {
		bool used = stays(i) ||
			    PAGE_ALIGN_DOWN((u64)more) == (u64)page_of[i];

		CHECK_EQ(seen(page_of[i]), used);
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
			u32 *p = per_cpu_ptr(page_of[i], cpu);

			CHECK_EQ(vmalloc_to_page(p) != NULL, used);
			if (stays(i))
				CHECK_EQ(*p, i << 8 | (u32)cpu);
		}
	}
}

/* Those that went get frames again, which are zeroed. */
static void refill_pages(void)
{
	for (u32 i = 0; i < NR_PAGES; i++) {
		if (stays(i))
			continue;
		CHECK((page_of[i] = __alloc_percpu(PAGE_SIZE, PAGE_SIZE)));
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
			CHECK_EQ(*per_cpu_ptr(page_of[i], cpu), 0);
	}
	pcpu_check();
}

/* Of a chunk in use pages without objects are given back: when there are many,
 * or asked for. What is left keeps its bytes. */
static int pages_body(void *arg)
{
	u64 cpus = (u64)port_nr_cpus(), frames, before;
	u32 *more;

	(void)arg;
	fill_pages();
	frames = pcpu_nr_pages();
	CHECK(state()->nr_empty > PCPU_EMPTY_MOST);
	drain_all_pages();
	before = nr_free_pages();
	more = __alloc_percpu(64, 4);
	CHECK_EQ(state()->nr_empty, PCPU_EMPTY_HIGH);
	CHECK_EQ(pcpu_nr_pages(), (3 + 1 + PCPU_EMPTY_HIGH) * cpus);
	drain_all_pages();
	CHECK_EQ(nr_free_pages() - before, frames - pcpu_nr_pages());
	pcpu_check();
	CHECK_EQ(percpu_reclaim(), PCPU_EMPTY_HIGH * cpus);
	CHECK_EQ(state()->nr_empty, 0);
	CHECK_EQ(pcpu_nr_pages(), (3 + 1) * cpus);
	/* Nobody who may not sleep gets a page that has no frames any more. */
	CHECK(!__alloc_percpu_gfp(PAGE_SIZE, PAGE_SIZE,
				  GFP_NOWAIT | __GFP_NOWARN));
	look_at_pages(more);
	refill_pages();
	for (u32 i = 0; i < NR_PAGES; i++)
		free_percpu(page_of[i]);
	free_percpu(more);
	settle();
	return 0;
}

static void test_reclaim(void **st)
{
	(void)st;
	both(reclaim_body, 2, NULL);
	for (int cpus = 2; cpus <= 20; cpus += 18)
		TM_RUN(pages_body, .mem = 32UL << 20, .cpus = cpus,
		       .seed = seed, .shared_ram = true);
	TM_RUN(demand_body, .mem = 32UL << 20, .cpus = 2, .nodes = 2,
	       .seed = seed, .shared_ram = true);
}

/* ---- the image's own data
 * ---------------------------------------------------------------- */

static int static_main(void *arg)
{
	static const u32 image[5] = {11, 22, 33, 44, 55};
	struct e820_table *m = arg;
	struct mm_boot_params bp = {.map = m,
				    .percpu_template = image,
				    .percpu_static_size = sizeof(image),
				    .percpu_reserved_size = 4096};
	u32 *v, *r1, *r2, *dyn;

	CHECK_EQ(mm_boot(&bp), 0);
	CHECK(tm_logged("percpu: Embedded 8 pages/cpu s64 r4096 d28608 "
			"u32768"));
	v = pcpu_static(8);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		CHECK_EQ(*per_cpu_ptr(v, cpu), 33);
		*per_cpu_ptr(v, cpu) = (u32)cpu;
	}
	r1 = __alloc_reserved_percpu(4000, 64);
	CHECK(r1 && (char *)r1 == (char *)pcpu_static(0) + 64);
	CHECK(!__alloc_reserved_percpu(200, 4));
	r2 = __alloc_reserved_percpu(96, 4);
	dyn = alloc_percpu(u32);
	CHECK(r2 && dyn && (char *)dyn == (char *)pcpu_static(0) + 64 + 4096);
	memset(per_cpu_ptr(r1, 1), 0xff, 4000);
	CHECK_EQ(*per_cpu_ptr(v, 1), 1);
	CHECK_EQ(*per_cpu_ptr(dyn, 1), 0);
	free_percpu(pcpu_static(0));
	CHECK(tm_logged("BUG: free_percpu()"));
	pcpu_check();
	free_percpu(r1);
	free_percpu(r2);
	free_percpu(dyn);
	r1 = __alloc_reserved_percpu(4096, 64);
	CHECK(r1);
	free_percpu(r1);
	CHECK_EQ(percpu_reclaim(), 0); /* the first chunk stays */
	pcpu_check();
	tm_audit();
	mm_shutdown();
	return 0;
}

static int too_much_main(void *arg)
{
	static const u32 image[1];
	struct e820_table *m = arg;
	struct mm_boot_params bp = {.map = m,
				    .percpu_template = image,
				    .percpu_static_size = sizeof(image),
				    .percpu_reserved_size = PCPU_UNIT_SIZE};

	CHECK_EQ(mm_boot(&bp), -E2BIG);
	return 0;
}

static void test_static(void **st)
{
	static struct e820_table m;

	(void)st;
	for (int i = 0; i < 3; i++) {
		struct sim_config sc = {.cpus = 2,
					.seed = seed,
					.shared_ram = i == 1,
					.console = tm_console,
					.console_level = 6};

		memset(&tm, 0, sizeof(tm));
		e820_init(&m);
		CHECK_EQ(e820_add(&m, 0x100000, 32UL << 20, E820_TYPE_RAM), 0);
		mm_reset();
		CHECK_EQ(sim_init(&sc), 0);
		CHECK_EQ(sim_run(i < 2 ? static_main : too_much_main, &m), 0);
		sim_shutdown();
		mm_reset();
	}
}

/* ---- counters
 * ----------------------------------------------------------------------------
 */

struct adder {
	struct percpu_counter *c;
	u64 n;
};

static void add_thread(void *arg)
{
	struct adder *a = arg;

	for (u64 i = 0; i < a->n; i++) {
		percpu_counter_add(a->c, (s64)(i % 7));
		percpu_counter_dec(a->c);
		port_sched_point();
	}
}

static int counter_body(void *arg)
{
	struct percpu_counter c;
	struct port_thread *t[3];
	struct adder a = {&c, 3500};
	s64 batch = percpu_counter_batch(), far;

	(void)arg;
	CHECK_EQ(batch, 32);
	CHECK_EQ(percpu_counter_init(&c, 10, GFP_KERNEL), 0);
	CHECK_EQ(percpu_counter_read(&c), 10);
	for (int i = 0; i < 31; i++)
		percpu_counter_inc(&c);
	CHECK_EQ(percpu_counter_read(&c), 10);
	CHECK_EQ(percpu_counter_sum(&c), 41);
	percpu_counter_inc(&c);
	CHECK_EQ(percpu_counter_read(&c), 42);
	percpu_counter_add(&c, 1UL << 40);
	CHECK_EQ(percpu_counter_read(&c), 42 + (1L << 40));
	percpu_counter_set(&c, -5);
	CHECK_EQ(percpu_counter_read_positive(&c), 0);
	CHECK_EQ(percpu_counter_compare(&c, -5), 0);
	percpu_counter_add(&c, 3);
	CHECK_EQ(percpu_counter_compare(&c, -2), 0);
	CHECK(percpu_counter_compare(&c, -3) > 0);
	CHECK(percpu_counter_compare(&c, -1) < 0);
	CHECK(percpu_counter_compare(&c, 100000) < 0);
	percpu_counter_set(&c, 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(port_thread_start(&t[i], "add", -1, add_thread, &a),
			 0);
	for (int i = 0; i < 3; i++)
		port_thread_join(t[i]);
	CHECK_EQ(percpu_counter_sum(&c), 3 * (500 * 21 - 3500));
	far = percpu_counter_sum(&c) - percpu_counter_read(&c);
	CHECK(far < batch * port_nr_cpus() && -far < batch * port_nr_cpus());
	percpu_counter_destroy(&c);
	percpu_counter_destroy(&c);
	fail_arm_nth(FAIL_MASK(FAIL_PERCPU), 1, false);
	CHECK_EQ(percpu_counter_init(&c, 0, GFP_KERNEL), -ENOMEM);
	fail_disarm();
	settle();
	return 0;
}

static void test_counter(void **st)
{
	(void)st;
	both(counter_body, 3, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects), cmocka_unit_test(test_model),
		cmocka_unit_test(test_map),	cmocka_unit_test(test_failure),
		cmocka_unit_test(test_reclaim), cmocka_unit_test(test_static),
		cmocka_unit_test(test_counter),
	};

	seed = test_env("SEED", 1);
	fprintf(stderr, "test_percpu: SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
