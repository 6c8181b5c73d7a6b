/* SPDX-License-Identifier: MIT */
/*
 * Control groups against a plain tree of counters: random creation, removal,
 * moves of tasks, charges, limits, with allocations that fail. After each step
 * every group's usage is what the model says, and the checker agrees.
 */
#include <mmkit/memcg.h>

#include "base/fail.h"
#include "base/prng.h"
#include "memcg/limits.h"
#include "sim_machine.h"

#define NODES 24
#define TASKS 10
#define PAGES 600

/* A group of the model: live as long as something refers to it. */
struct node {
	bool used, online;
	u16 id;
	int parent; /* -1: the root */
	u64 max, own;
};

static struct {
	struct node node[NODES];
	struct mm_task task[TASKS]; /* 0 is nobody's: the running one is used */
	int task_node[TASKS];	    /* -1: the root */
	struct {
		struct page *page;
		u32 order;
		int node; /* who is charged; -1: the root */
	} held[PAGES];
	u32 nr_held;
	struct prng rng;
	u64 refused, charged;
} md;

static u32 pick(u32 n)
{
	return (u32)prng_below(&md.rng, n);
}

static struct mm_task *task_of(int t)
{
	return t ? &md.task[t] : port_current();
}

static u64 model_usage(int g)
{
	u64 sum = md.node[g].own;

	for (int i = 0; i < NODES; i++)
		if (md.node[i].used && md.node[i].parent == g)
			sum += model_usage(i);
	return sum;
}

static bool model_fits(int g, u64 nr)
{
	for (; g >= 0; g = md.node[g].parent)
		if (model_usage(g) + nr > md.node[g].max)
			return false;
	return true;
}

static int some_online(void)
{
	int g = (int)pick(NODES + 1) - 1;

	return g >= 0 && md.node[g].used && md.node[g].online ? g : -1;
}

/* What nothing refers to any more is forgotten, from the leaves up. */
static void model_sweep(void)
{
	for (int round = 0; round < NODES; round++) {
		for (int g = 0; g < NODES; g++) {
			bool needed = md.node[g].online || md.node[g].own;

			for (int i = 0; i < NODES; i++)
				needed |= md.node[i].used &&
					  md.node[i].parent == g;
			if (md.node[g].used && !needed)
				md.node[g].used = false;
		}
	}
}

static void op_create(void)
{
	int parent = some_online(), g = 0;
	u16 id = 0;
	int err;

	while (g < NODES && md.node[g].used)
		g++;
	if (g == NODES)
		return;
	err = memcg_create(parent < 0 ? 0 : md.node[parent].id, &id);
	if (err) {
		CHECK_EQ(err, -ENOMEM);
		return;
	}
	md.node[g] = (struct node){.used = true,
				   .online = true,
				   .id = id,
				   .parent = parent,
				   .max = MEMCG_NO_LIMIT};
	for (int i = 0; i < NODES; i++)
		CHECK(i == g || !md.node[i].used || md.node[i].id != id);
}

static void op_remove(void)
{
	int g = some_online();
	bool busy = false;

	if (g < 0)
		return;
	for (int t = 0; t < TASKS; t++)
		busy |= md.task_node[t] == g;
	for (int i = 0; i < NODES; i++)
		busy |= md.node[i].used && md.node[i].online &&
			md.node[i].parent == g;
	CHECK_EQ(memcg_remove(md.node[g].id), busy ? -EBUSY : 0);
	md.node[g].online = busy;
	model_sweep();
}

static void op_attach(void)
{
	int t = (int)pick(TASKS), g = some_online();

	CHECK_EQ(memcg_attach(task_of(t), g < 0 ? 0 : md.node[g].id), 0);
	md.task_node[t] = g;
}

/* A child of another task, in the place of one that ends. */
static void op_fork(void)
{
	int from = (int)pick(TASKS), to = 1 + (int)pick(TASKS - 1);

	if (from == to)
		return;
	memcg_task_leave(task_of(to));
	CHECK_EQ(task_of(to)->group, 0);
	memcg_fork(task_of(to), task_of(from));
	CHECK_EQ(task_of(to)->group, task_of(from)->group);
	md.task_node[to] = md.task_node[from];
}

static void op_limit(void)
{
	int g = some_online();
	char text[32];

	if (g < 0)
		return;
	md.node[g].max = pick(3) ? pick(300) : MEMCG_NO_LIMIT;
	if (md.node[g].max == MEMCG_NO_LIMIT)
		snprintf(text, sizeof(text), "max");
	else
		snprintf(text, sizeof(text), "%uK", (u32)md.node[g].max * 4);
	CHECK_EQ(memcg_write(md.node[g].id, "memory.max", text), 0);
}

static void op_charge(void)
{
	u32 order = pick(8) ? 0 : pick(4);
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
	int g = md.task_node[0];
	bool drained = pick(2), armed = pick(8) == 0;
	struct page *page;
	u64 failed = 0;

	if (md.nr_held == PAGES)
		return;
	if (drained)
		memcg_drain(NULL);
	if (armed)
		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC) |
				     FAIL_MASK(FAIL_CHARGE),
			     1 + pick(3), false);
	page = alloc_pages(gfp, order);
	if (armed)
		failed = fail_disarm().fired;
	if (!page) {
		CHECK(failed || !model_fits(g, 1UL << order));
		md.refused += !failed;
		return;
	}
	/* What waits in the CPU's stock may be used beyond a new limit. */
	CHECK(!drained || model_fits(g, 1UL << order));
	CHECK_EQ(page_group(page), g < 0 ? 0 : md.node[g].id);
	if (g >= 0)
		md.node[g].own += 1UL << order;
	md.charged++;
	md.held[md.nr_held].page = page;
	md.held[md.nr_held].order = order;
	md.held[md.nr_held++].node = g;
}

static void uncharge_one(u32 i)
{
	int g = md.held[i].node;

	__free_pages(md.held[i].page, md.held[i].order);
	if (g >= 0)
		md.node[g].own -= 1UL << md.held[i].order;
	md.held[i] = md.held[--md.nr_held];
	model_sweep();
}

static void op_uncharge(void)
{
	if (md.nr_held)
		uncharge_one(pick(md.nr_held));
}

static void op_step(void)
{
	u32 n = pick(100);

	if (n < 4)
		op_create();
	else if (n < 8)
		op_remove();
	else if (n < 18)
		op_attach();
	else if (n < 22)
		op_fork();
	else if (n < 26)
		op_limit();
	else if (n < 67)
		op_charge();
	else
		op_uncharge();
}

/* Parents are what they have and what is below; all equal the model. */
static void compare(void)
{
	u32 used = 0;

	memcg_drain(NULL);
	epoch_drain();
	epoch_drain();
	memcg_check();
	for (int g = 0; g < NODES; g++) {
		struct memcg *m;

		if (!md.node[g].used)
			continue;
		used++;
		m = memcg_get(md.node[g].id);
		CHECK(m != NULL);
		CHECK_EQ(m->online, md.node[g].online);
		CHECK_EQ(memcg_usage(&m->memory), model_usage(g));
		CHECK_EQ(memcg_own_pages(m), md.node[g].own);
		CHECK_EQ(memcg_id(m->parent),
			 md.node[g].parent < 0 ? 0
					       : md.node[md.node[g].parent].id);
		memcg_put(m, 1);
	}
	CHECK_EQ(memcg_sys.nr_groups, used);
}

static int model_body(void *arg)
{
	u64 steps = *(u64 *)arg;

	for (u64 i = 0; i < steps; i++) {
		op_step();
		if (i % 16 == 0)
			compare();
	}
	compare();
	CHECK(md.charged > steps / 10);
	while (md.nr_held)
		uncharge_one(md.nr_held - 1);
	for (int t = 0; t < TASKS; t++)
		CHECK_EQ(memcg_attach(task_of(t), 0), 0);
	for (int t = 0; t < TASKS; t++)
		md.task_node[t] = -1;
	for (int round = 0; round < NODES; round++)
		for (int g = 0; g < NODES; g++)
			if (md.node[g].used && md.node[g].online &&
			    !memcg_remove(md.node[g].id))
				md.node[g].online = false;
	model_sweep();
	compare();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void against_model(void **state)
{
	u64 base = test_env("SEED", 1),
	    steps = test_iters(tm_soak() ? 20000 : 3000);
	u64 refused = 0;

	(void)state;
	for (u64 seed = base; seed < base + (tm_soak() ? 40 : 6); seed++) {
		memset(&md, 0, sizeof(md));
		for (int t = 0; t < TASKS; t++)
			md.task_node[t] = -1;
		prng_seed(&md.rng, seed);
		TM_RUN(model_body, .arg = &steps, .mem = 32UL << 20,
		       .seed = seed, .cpus = 1 + (int)(seed % 2));
		refused += md.refused;
	}
	CHECK(refused > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
