/* SPDX-License-Identifier: MIT */
/*
 * What groups count: every row of memory.stat is what the groups below have
 * together, every row of memory.numa_stat its sum over nodes; nodes that come
 * while there are groups; objects of which every CPU has its own.
 */
#include <mmkit/memory_hotplug.h>
#include <mmkit/mempolicy.h>
#include <mmkit/percpu.h>

#include "base/fail.h"
#include "kmem/percpu.h"
#include "memcg_groups.h"
#include "shmem_machine.h"

/* ---- sums
 * ---------------------------------------------------------------------------
 */

#define ROWS 80

struct rows {
	u32 nr;
	char name[ROWS][40];
	u64 value[ROWS];
};

static void rows_get(u16 id, struct rows *r)
{
	const char *at = text_of(id, "memory.stat");

	for (r->nr = 0; *at; at = strchr(at, '\n') + 1) {
		unsigned long long v;

		CHECK(r->nr < ROWS);
		CHECK_EQ(sscanf(at, "%39s %llu", r->name[r->nr], &v), 2);
		r->value[r->nr++] = v;
	}
	CHECK(r->nr > 40);
}

static u64 rows_find(const struct rows *r, const char *name)
{
	for (u32 i = 0; i < r->nr; i++)
		if (!strcmp(r->name[i], name))
			return r->value[i];
	CHECK(false);
	return 0;
}

/* Each row of ABOVE is MORE's and those of all NR groups at BELOW. */
static void rows_sum_up(u16 above, const u16 *below, u32 nr,
			const struct rows *more)
{
	static struct rows sum, one;

	rows_get(above, &sum);
	for (u32 g = 0; g < nr; g++) {
		rows_get(below[g], &one);
		CHECK_EQ(one.nr, sum.nr);
		for (u32 i = 0; i < sum.nr; i++)
			sum.value[i] -= one.value[i];
	}
	for (u32 i = 0; i < sum.nr; i++) {
		snprintf(tm_context, sizeof(tm_context), "row %s", sum.name[i]);
		CHECK_EQ(sum.value[i], more ? more->value[i] : 0);
	}
	tm_context[0] = '\0';
}

/* Each line of memory.numa_stat names all nodes, and is the row's sum. */
static void nodes_sum_up(u16 id, u32 nodes)
{
	static char text[8192];
	static struct rows all;
	char *line, *rest = text;
	u32 lines = 0;

	rows_get(id, &all);
	snprintf(text, sizeof(text), "%s", text_of(id, "memory.numa_stat"));
	while ((line = strsep(&rest, "\n")) && *line) {
		char *name = strsep(&line, " "), *field;
		u64 sum = 0;
		u32 n = 0;

		while ((field = strsep(&line, " "))) {
			unsigned int nid;
			unsigned long long v;

			CHECK_EQ(sscanf(field, "N%u=%llu", &nid, &v), 2);
			CHECK(nid < MM_MAX_NODES && NODE_DATA((int)nid));
			sum += v;
			n++;
		}
		snprintf(tm_context, sizeof(tm_context), "row %s", name);
		CHECK_EQ(n, nodes);
		CHECK_EQ(sum, rows_find(&all, name));
		lines++;
	}
	tm_context[0] = '\0';
	CHECK_EQ(lines, 25);
}

/* What NAME's line of memory.numa_stat says of NID. */
static u64 on_node(u16 id, const char *name, int nid)
{
	const char *at = line_of(text_of(id, "memory.numa_stat"), name);
	char field[16];

	snprintf(field, sizeof(field), " N%d=", nid);
	at = strstr(at, field);
	CHECK(at != NULL);
	return strtoull(at + strlen(field), NULL, 10);
}

static void quiet(void)
{
	lru_add_drain_all();
	memcg_drain(NULL);
	memcg_check();
}

/* Anonymous memory, some of it in swap, files in memory, tables, objects of
 * all kinds, a stack: in several groups. */
static int sums_body(void *arg)
{
	u16 top = make(0), a = make(top), b = make(top), c = make(b);
	u16 below[] = {a, b}, stack;
	struct user u = {.id = a, .pages = 500, .rounds = 2, .stay = true};
	struct user v = {.id = b, .pages = 120, .stay = true};
	struct user w = {.id = c, .pages = 90, .stay = true};
	struct file *file;
	static struct rows own, now;
	char buf[64] = {0};
	void *slab[60];
	u64 *percpu;

	(void)arg;
	set(a, "memory.max", 300);
	start(&u, 0);
	start(&v, tm.cfg.cpus - 1);
	start(&w, 0);
	wait_for(&u);
	wait_for(&v);
	wait_for(&w);
	join(c);
	file = shmem_file_setup("f", (s64)P(40), 0);
	CHECK(!IS_ERR(file));
	for (u64 i = 0; i < 40; i++)
		CHECK_EQ(sh_write(file, buf, 64, P(i)), 64);
	join(b);
	for (u32 i = 0; i < 60; i++)
		slab[i] = kmalloc(100 + i * 20, GFP_KERNEL_ACCOUNT);
	percpu = __alloc_percpu_gfp(80, 8, GFP_KERNEL_ACCOUNT);
	CHECK(percpu != NULL);
	CHECK_EQ(memcg_stack_charge(0, 16, &stack), 0);
	join(0);
	quiet();
	CHECK(row(top, "anon") > 0 && row(top, "shmem") > 0);
	CHECK(row(top, "pgsteal") > 0 && row(top, "kernel_stack") == 16 << 10);
	CHECK(row(top, "workingset_refault_anon") > 0);
	CHECK(row(top, "slab") > 0 && row(top, "percpu") > 0);
	rows_sum_up(top, below, 2, NULL);
	CHECK_EQ(usage(top), usage(a) + usage(b));
	nodes_sum_up(a, (u32)tm.cfg.nodes);
	nodes_sum_up(b, (u32)tm.cfg.nodes);
	nodes_sum_up(top, (u32)tm.cfg.nodes);
	nodes_sum_up(0, (u32)tm.cfg.nodes);
	/* What one that ends did stays above it; what it had goes. */
	finish(&u);
	quiet();
	rows_get(a, &own);
	CHECK_EQ(rows_find(&own, "anon"), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 3);
	rows_sum_up(top, &b, 1, &own);
	nodes_sum_up(top, (u32)tm.cfg.nodes);
	/* All is given back: only what happened is left. */
	finish(&v);
	finish(&w);
	free_percpu(percpu);
	for (u32 i = 0; i < 60; i++)
		kfree(slab[i]);
	memcg_stack_uncharge(0, 16, stack);
	fput(file);
	quiet();
	rows_get(top, &now);
	for (u32 i = 0; i < now.nr; i++)
		CHECK(!now.value[i] || !strncmp(now.name[i], "pg", 2) ||
		      !strncmp(now.name[i], "workingset", 10));
	CHECK_EQ(usage(top), 0);
	CHECK_EQ(memcg_remove(c), 0);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(top), 0);
	end_all();
	(void)percpu_reclaim();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void sums(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 5; seed++)
		TM_RUN(sums_body, .mem = 48UL << 20, .swap_pages = 3000,
		       .nodes = 1 + (int)(seed % 3), .cpus = 3, .seed = seed,
		       .explore = seed % 2 == 0);
}

/* ---- nodes
 * -------------------------------------------------------------------------- */

/* Memory is counted where it is. */
static int place_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u16 a = make(0);
	uva_t at;

	(void)arg;
	join(a);
	tm_use(mm);
	at = tm_map(mm, 60);
	for (int nid = 0; nid < 2; nid++) {
		CHECK_EQ(do_set_mempolicy(MPOL_BIND, NODE_MASK(nid)), 0);
		for (u64 i = 0; i < 20 + 10 * (u64)nid; i++)
			tm_store(at + P(20UL * (u64)nid + i), i);
	}
	CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	quiet();
	CHECK_EQ(on_node(a, "anon", 0), P(20));
	CHECK_EQ(on_node(a, "anon", 1), P(30));
	CHECK_EQ(on_node(a, "inactive_anon", 1) + on_node(a, "active_anon", 1),
		 P(30));
	nodes_sum_up(a, 2);
	join(0);
	tm_use(NULL);
	mm_put(mm);
	end_all();
	CHECK_EQ(on_node(a, "anon", 0) + on_node(a, "anon", 1), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void place(void **state)
{
	(void)state;
	TM_RUN(place_body, .mem = 32UL << 20, .nodes = 2, .cpus = 2, .seed = 1);
}

#define LATE	   (4UL << 30)
#define LATE_BYTES (128UL << 20)

/* The N-th page that adding memory asks for is not there. */
static int add_failing(u32 n)
{
	int err;

	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), n, false);
	err = add_memory(1, LATE, LATE_BYTES, MHP_NONE);
	(void)fail_disarm();
	CHECK(err == 0 || err == -ENOMEM);
	return err;
}

static u64 free_frames(void)
{
	drain_all_pages();
	return global_zone_page_state(NR_FREE_PAGES);
}

/* A node that comes later has lists of its own for groups that were there, and
 * for those that come after it: their limits reach what is on it. */
static int later_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u16 a = make(0), b = make(a), c;
	u32 failed = 0;
	int err = -ENOMEM;
	uva_t at;
	u64 left;

	(void)arg;
	for (u32 n = 1; err; n++) {
		err = add_failing(n);
		/* What slabs keep is theirs by now: another failure costs
		 * nothing. */
		left = free_frames();
		if (err && (err = add_failing(n)))
			CHECK_EQ(free_frames(), left);
		CHECK((err == 0) == (group(b)->page.node[1] != NULL));
		CHECK((err == 0) == (memcg_sys.pgdat[1] != NULL));
		memcg_check();
		failed += err != 0;
	}
	CHECK(failed > 2);
	c = make(a);
	CHECK_EQ(
		online_pages(PFN_DOWN(LATE), PFN_DOWN(LATE_BYTES), MMOP_ONLINE),
		0);
	tm_use(mm);
	for (u32 k = 0; k < 2; k++) {
		join(k ? c : b);
		at = tm_map(mm, 300);
		CHECK_EQ(do_set_mempolicy(MPOL_BIND, NODE_MASK(1)), 0);
		for (u64 i = 0; i < 300; i++)
			tm_store(at + P(i), i);
		CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
		quiet();
		CHECK_EQ(on_node(k ? c : b, "anon", 1), P(300));
		set(k ? c : b, "memory.max", 100);
		CHECK(usage(k ? c : b) <= 100);
		CHECK(row(k ? c : b, "pgsteal") >= 200);
		for (u64 i = 0; i < 300; i++)
			CHECK_EQ(tm_load(at + P(i)), i);
		nodes_sum_up(k ? c : b, 2);
	}
	CHECK_EQ(event(a, "oom_kill"), 0);
	join(0);
	tm_use(NULL);
	mm_put(mm);
	end_all();
	CHECK_EQ(memcg_remove(c), 0);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void later_node(void **state)
{
	(void)state;
	TM_RUN(later_body, .mem = 32UL << 20, .swap_pages = 2000, .cpus = 2,
	       .seed = 1, .max_possible = 8UL << 30, .no_audit = true);
}

/* ---- objects of each CPU
 * ------------------------------------------------------------- */

#define OBJECTS 40

static int percpu_body(void *arg)
{
	u16 a = make(0), b = make(a);
	u64 each, most;
	void *obj[OBJECTS], *free_one;
	u32 n;

	(void)arg;
	free_one = __alloc_percpu_gfp(64, 8, GFP_KERNEL_ACCOUNT); /* root's */
	join(b);
	obj[0] = __alloc_percpu_gfp(64, 8, GFP_KERNEL_ACCOUNT);
	CHECK(obj[0] != NULL);
	each = row(b, "percpu");
	CHECK(each >= 64 * (u64)tm.cfg.cpus);
	CHECK(each <= 64 * (u64)tm.cfg.cpus + 64);
	for (n = 1; n < OBJECTS; n++) {
		obj[n] = __alloc_percpu_gfp(64, 8,
					    (n % 2 ? GFP_KERNEL : GFP_ATOMIC) |
						    __GFP_ACCOUNT);
		CHECK(obj[n] != NULL);
	}
	/* Who does not ask for it is not charged. */
	free_percpu(alloc_percpu(u64));
	CHECK_EQ(row(b, "percpu"), OBJECTS * each);
	CHECK_EQ(row(a, "kernel"), OBJECTS * each);
	CHECK_EQ(usage(a), PFN_UP(OBJECTS * each));
	tm_audit();
	/* At the limit there is none, and nothing was taken. */
	set(b, "memory.max", PFN_UP(OBJECTS * each));
	most = P(PFN_UP(OBJECTS * each)) - OBJECTS * each;
	CHECK(__alloc_percpu_gfp(ALIGN(most / (u64)tm.cfg.cpus + 8, 8), 8,
				 GFP_KERNEL_ACCOUNT | __GFP_NORETRY) == NULL);
	CHECK_EQ(row(b, "percpu"), OBJECTS * each);
	CHECK_EQ(memcg_write(b, "memory.max", "max"), 0);
	/* Whoever frees, and after the group is gone. */
	join(0);
	for (n = 0; n < OBJECTS / 2; n++)
		free_percpu(obj[n]);
	CHECK_EQ(row(b, "percpu"), (OBJECTS - OBJECTS / 2) * each);
	CHECK_EQ(memcg_remove(b), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 1);
	CHECK_EQ(row(a, "percpu"), (OBJECTS - OBJECTS / 2) * each);
	tm_audit();
	for (; n < OBJECTS; n++)
		free_percpu(obj[n]);
	free_percpu(free_one);
	CHECK_EQ(row(a, "percpu"), 0);
	CHECK_EQ(usage(a), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	(void)percpu_reclaim();
	return 0;
}

static void percpu(void **state)
{
	(void)state;
	for (int cpus = 1; cpus < 5; cpus += 2)
		TM_RUN(percpu_body, .mem = 32UL << 20, .cpus = cpus, .seed = 1);
}

/* Whatever fails under it: there is an object that is paid for, or nothing. */
static int percpu_fail_body(void *arg)
{
	u16 a = make(0);
	u32 none = 0;
	bool fired = true;

	(void)arg;
	join(a);
	for (u32 n = 1; fired; n++) {
		void *obj;

		(void)percpu_reclaim();
		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB) |
				     FAIL_MASK(FAIL_CHARGE) |
				     FAIL_MASK(FAIL_PERCPU),
			     n, false);
		obj = __alloc_percpu_gfp(200, 8,
					 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		fired = fail_disarm().fired;
		none += !obj;
		CHECK((row(a, "percpu") != 0) == (obj != NULL));
		memcg_drain(NULL);
		tm_audit();
		free_percpu(obj);
		CHECK_EQ(row(a, "percpu"), 0);
		CHECK_EQ(usage(a), 0);
	}
	CHECK(none >= 3);
	join(0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	(void)percpu_reclaim();
	return 0;
}

static void percpu_fails(void **state)
{
	(void)state;
	TM_RUN(percpu_fail_body, .mem = 32UL << 20, .cpus = 2, .seed = 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums),		cmocka_unit_test(place),
		cmocka_unit_test(later_node),	cmocka_unit_test(percpu),
		cmocka_unit_test(percpu_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
