/* SPDX-License-Identifier: MIT */
/*
 * What mmkit explain says of TLBs, against TLBs that were filled one access at
 * a time: hit or miss, for which reason, and entries that tables changed under.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "explain.h"
#include "sim.h"

#define RAM_BYTES (16UL << 20)
#define ROOT_PFN  1
#define VA	  0x7f1234567000UL
#define LARGE_VA  0x7f1234800000UL
#define KERNEL_VA 0xffff888000003000UL
#define UPPER	  (X86_PTE_P | X86_PTE_RW | X86_PTE_US)
#define URW	  UPPER
#define KRW	  (X86_PTE_P | X86_PTE_RW | X86_PTE_NX)
#define DATA_PFN  100
#define ASID	  5

static u64 next_table;
static struct doc doc;

static u64 *slot_at(u64 va, int level)
{
	const struct paging_format *f = &paging_x86_64_4level;
	u64 *t = port_ram(PFN_PHYS(ROOT_PFN));

	for (int l = 3; l > level; l--) {
		u64 *e = &t[pt_index(f, l, va)];

		if (!*e)
			*e = PFN_PHYS(next_table++) | UPPER;
		t = port_ram(PFN_PHYS(PFN_DOWN(*e & X86_PTE_FRAME)));
	}
	return &t[pt_index(f, level, va)];
}

static u64 *map(u64 va, u64 pfn, u64 bits)
{
	u64 *e = slot_at(va, bits & X86_PTE_PS ? 1 : 0);

	*e = PFN_PHYS(pfn) | bits;
	return e;
}

static void boot(const struct sim_config *more)
{
	struct sim_config cfg = more ? *more : (struct sim_config){.cpus = 1};

	cfg.seed = 1;
	cfg.ram_max = 1UL << 36;
	assert_int_equal(sim_init(&cfg), 0);
	assert_int_equal(port_ram_online(0, RAM_BYTES), 0);
	next_table = 2;
	port_load_root(ROOT_PFN, ASID);
}

static bool ram_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		     u64 *raw)
{
	(void)arg;
	*raw = pt_raw_read(f, port_ram(pa));
	return true;
}

/* The blocks for ACCESS (PAGING_*) at VA. */
static void ask(u64 va, u32 access)
{
	const struct paging_mem mem = {ram_read, NULL, NULL};
	struct explain_target t = {.fmt = &paging_x86_64_4level, .asid = ASID};
	struct paging_walk w;

	doc_free(&doc);
	paging_cpu_init(&t.cpu, t.fmt, PFN_PHYS(ROOT_PFN), true);
	t.cpu.root_high = PFN_PHYS(ROOT_PFN);
	(void)paging_walk_with(&t.cpu, va, access, &w, &mem);
	explain_tlb(&doc, &t, va, access, &w);
}

static const char *line(u32 block, const char *key)
{
	assert_in_range(block, 0, doc.nr - 1);
	for (u32 i = 0; i < doc.block[block]->nr_items; i++)
		if (!strcmp(doc.block[block]->item[i].key, key))
			return doc.block[block]->item[i].str;
	fail_msg("block %u has no line %s", block, key);
	return NULL;
}

#define USER_R (PAGING_READ | PAGING_USER)
#define USER_W (PAGING_WRITE | PAGING_USER)
#define WALKED "; tables are walked"
#define NO_USE "the entry is of no use: "
#define MATCHES \
	"page and ASID are the same, and the rights suffice: no table is read"

/* ACCESS at VA has this VERDICT and WHY, and so many ENTRIES. */
static void expect(u64 va, u32 access, const char *verdict, const char *why,
		   u32 entries)
{
	char title[64];

	ask(va, access);
	(void)snprintf(title, sizeof(title), "TLB of CPU 0: %s", verdict);
	assert_string_equal(doc.block[0]->title, title);
	assert_string_equal(line(0, "why"), why);
	assert_int_equal(doc.nr, entries + 1);
	assert_string_equal(line(0, "verdict"),
			    strcmp(verdict, "miss") ? "hit" : "miss");
}

static void hits_and_misses(void **state)
{
	u64 *leaf;

	(void)state;
	boot(NULL);
	leaf = map(VA, DATA_PFN, URW);
	expect(VA + 5, USER_R, "miss",
	       "no CPU remembers this page: tables are walked", 0);
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	expect(VA + 5, USER_R, "hit in the first level", MATCHES, 1);
	assert_string_equal(line(1, "usable"), "yes");
	assert_string_equal(line(1, "as tables"), "yes");
	assert_string_equal(line(1, "page"), "4 KiB at 0x64000");
	assert_string_equal(line(1, "holds"),
			    "user, read, execute, not global");
	/* D is a walk's to set. */
	expect(VA, USER_W, "miss",
	       NO_USE "it was loaded without D, which a walk must set" WALKED,
	       1);
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	expect(VA, USER_W, "hit in the first level", MATCHES, 1);
	/* The neighbour is another page. */
	expect(VA + PAGE_SIZE, USER_R, "miss",
	       "no CPU remembers this page: tables are walked", 0);
	/* Nothing was filled in or set by asking. */
	*leaf &= ~X86_PTE_D;
	ask(VA, USER_W);
	assert_false(*leaf & X86_PTE_D);
	/* What supervisors may not do with a user's page. */
	expect(VA, PAGING_READ, "miss",
	       NO_USE "supervisor access to a user page (SMAP)" WALKED, 1);
	doc_free(&doc);
	sim_shutdown();
}

static void stale(void **state)
{
	u64 *leaf;

	(void)state;
	boot(NULL);
	leaf = map(VA, DATA_PFN, URW);
	assert_int_equal(sim_touch(VA, SIM_WRITE), 0);
	*leaf &= ~X86_PTE_RW;
	expect(VA, USER_R, "hit in the first level", MATCHES, 1);
	assert_string_equal(line(1, "as tables"), "no: STALE, they grant less");
	expect(VA, USER_W, "hit in the first level", MATCHES, 1);
	*leaf = PFN_PHYS(DATA_PFN + 1) | URW;
	expect(VA, USER_R, "hit in the first level", MATCHES, 1);
	assert_string_equal(line(1, "as tables"),
			    "no: STALE, they lead to another frame");
	*leaf = 0;
	expect(VA, USER_R, "hit in the first level", MATCHES, 1);
	assert_string_equal(line(1, "as tables"),
			    "no: STALE, they have no page there");
	/* More rights than were loaded are no fault of anybody's. */
	*leaf = PFN_PHYS(DATA_PFN) | (URW & ~X86_PTE_RW);
	port_tlb_flush(&(struct port_cpumask){{1}}, ASID, 0, 0);
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	*leaf |= X86_PTE_RW;
	ask(VA, USER_R);
	assert_string_equal(line(1, "as tables"), "yes");
	doc_free(&doc);
	sim_shutdown();
}

static void other_asids(void **state)
{
	(void)state;
	boot(NULL);
	map(VA, DATA_PFN, URW);
	port_load_root(ROOT_PFN, ASID + 1);
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	expect(VA, USER_R, "miss", NO_USE "it is of another ASID" WALKED, 1);
	assert_non_null(strstr(line(0, "looks for"), "not loaded now"));
	port_load_root(ROOT_PFN, ASID);
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	expect(VA, USER_R, "hit in the first level", MATCHES, 2);
	assert_null(strstr(line(0, "looks for"), "not loaded"));
	doc_free(&doc);
	sim_shutdown();
}

/* One slot in the first level: what it had is in the second. */
static void second_level(void **state)
{
	const struct sim_config cfg = {
		.cpus = 1, .tlb_l1 = 1, .tlb_sets = 1, .tlb_ways = 2};

	(void)state;
	boot(&cfg);
	for (u64 i = 0; i < 3; i++)
		map(VA + i * PAGE_SIZE, DATA_PFN + i, URW);
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	expect(VA, USER_R, "hit in the first level", MATCHES, 1);
	assert_string_equal(line(0, "looks at"),
			    "slot 0 of 1, then set 0 of 1 (2 ways)");
	assert_int_equal(sim_touch(VA + PAGE_SIZE, SIM_READ), 0);
	expect(VA, USER_R, "hit in the second level", MATCHES, 1);
	assert_string_equal(line(1, "place"), "set 0, way 0");
	assert_int_equal(sim_touch(VA + 2 * PAGE_SIZE, SIM_READ), 0);
	expect(VA, USER_R, "miss",
	       "no CPU remembers this page: tables are walked", 0);
	doc_free(&doc);
	sim_shutdown();
}

static void large_pages(void **state)
{
	const struct sim_config own = {
		.cpus = 1, .tlb_large_sets = 2, .tlb_large_ways = 2};

	(void)state;
	for (u32 i = 0; i < 2; i++) {
		boot(i ? &own : NULL);
		map(LARGE_VA, 1024, URW | X86_PTE_PS);
		assert_int_equal(sim_touch(LARGE_VA + 0x5000, SIM_WRITE), 0);
		expect(LARGE_VA + 0x5008, USER_W, "hit in the first level",
		       MATCHES, 1);
		assert_string_equal(line(1, "page"), "2 MiB at 0x400000");
		assert_int_equal(
			strstr(line(1, "place"), "large pages' array") != NULL,
			i);
		assert_string_equal(line(1, "as tables"), "yes");
		/* Its other parts are known to the second level only. */
		expect(LARGE_VA + 0x6000, USER_R, "hit in the second level",
		       MATCHES, 1);
		assert_string_equal(line(1, "as tables"), "yes");
		doc_free(&doc);
		sim_shutdown();
	}
}

static void kernels(void **state)
{
	u32 error;

	(void)state;
	boot(NULL);
	map(KERNEL_VA, DATA_PFN, KRW | X86_PTE_G);
	map(KERNEL_VA + PAGE_SIZE, DATA_PFN, KRW);
	port_load_kernel_root(ROOT_PFN);
	assert_non_null(sim_kernel(KERNEL_VA, SIM_READ, &error));
	assert_non_null(sim_kernel(KERNEL_VA + PAGE_SIZE, SIM_READ, &error));
	expect(KERNEL_VA, PAGING_READ, "hit in the second level",
	       "the page is the same (global: any ASID), and the rights suffice: "
	       "no table is read",
	       1);
	assert_string_equal(line(1, "holds"), "supervisor, read, global");
	assert_non_null(strstr(doc.block[1]->title, ", global"));
	assert_non_null(strstr(line(0, "looks at"), "(global pages)"));
	expect(KERNEL_VA, USER_R, "miss",
	       NO_USE "it is the supervisor's alone" WALKED, 1);
	expect(KERNEL_VA, PAGING_EXEC, "miss",
	       NO_USE "it does not grant this access" WALKED, 1);
	expect(KERNEL_VA + PAGE_SIZE, PAGING_READ, "hit in the second level",
	       MATCHES, 1);
	/* Of all ASIDs, and of one. */
	port_load_root(ROOT_PFN, ASID + 1);
	ask(KERNEL_VA, PAGING_READ);
	assert_string_equal(line(1, "usable"), "yes");
	assert_non_null(sim_kernel(KERNEL_VA + PAGE_SIZE, SIM_READ, &error));
	ask(KERNEL_VA + PAGE_SIZE, PAGING_READ);
	assert_int_equal(doc.nr, 3);
	doc_free(&doc);
	sim_shutdown();
}

static int touch_there(void *arg)
{
	(void)arg;
	port_load_root(ROOT_PFN, ASID);
	assert_int_equal(sim_touch(VA, SIM_READ), 0);
	return 0;
}

static void touch_thread(void *arg)
{
	(void)touch_there(arg);
}

static int look_from_first(void *arg)
{
	struct port_thread *t;

	(void)arg;
	assert_int_equal(
		sim_thread_start_on(&t, "other", 1, touch_thread, NULL), 0);
	port_thread_join(t);
	while (port_cpu() != 0)
		sim_yield();
	port_load_root(ROOT_PFN, ASID);
	expect(VA, USER_R, "miss", NO_USE "it is another CPU's" WALKED, 1);
	assert_string_equal(doc.block[1]->title,
			    "TLB entry of CPU 1: page 0x7f1234567000, ASID 5");
	return 0;
}

static void other_cpus(void **state)
{
	const struct sim_config two = {.cpus = 2};

	(void)state;
	boot(&two);
	map(VA, DATA_PFN, URW);
	assert_int_equal(sim_run(look_from_first, NULL), 0);
	doc_free(&doc);
	sim_shutdown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hits_and_misses),
		cmocka_unit_test(stale),
		cmocka_unit_test(other_asids),
		cmocka_unit_test(second_level),
		cmocka_unit_test(large_pages),
		cmocka_unit_test(kernels),
		cmocka_unit_test(other_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
