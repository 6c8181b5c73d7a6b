/* SPDX-License-Identifier: MIT */
/*
 * Read-ahead from swap by addresses: how the window of a mapping opens, grows
 * and shrinks, where it lies, and what it is worth against the neighbours of
 * slots.
 */
#include "sim_machine.h"

#include <mmkit/sysctl.h>

#define P(n)   ((u64)(n) << PAGE_SHIFT)
#define SWITCH "/sys/kernel/mm/swap/vma_ra_enabled"
#define PAGES  64u

struct seen {
	u64 in, ra, hit, maj;
};

static struct seen now(void)
{
	return (struct seen){sum_vm_event(PSWPIN), sum_vm_event(SWAP_RA),
			     sum_vm_event(SWAP_RA_HIT),
			     port_current()->maj_flt};
}

static struct seen since(struct seen was)
{
	struct seen n = now();

	return (struct seen){n.in - was.in, n.ra - was.ra, n.hit - was.hit,
			     n.maj - was.maj};
}

static void out(struct mm_struct *mm, uva_t at)
{
	while (!tm_reclaim_one(mm, at))
		port_park(1000 * 1000);
}

/* A mapping of PAGES pages, each with its number, all of them in swap; in the
 * order in which STEP visits them. */
static uva_t swapped(struct mm_struct *mm, u64 step)
{
	uva_t p = tm_map(mm, PAGES);

	for (u64 i = 0; i < PAGES; i++)
		tm_store(p + P(i), i + 1);
	for (u64 i = 0; i < PAGES; i++)
		out(mm, p + P(i * step % PAGES));
	return p;
}

static void check_value(uva_t p, u64 i)
{
	CHECK_EQ(tm_load(p + P(i)), i + 1);
}

/* ---- one mapping ------------------------------------------------------- */

static void upwards(uva_t p)
{
	struct seen was = now(), d;

	check_value(p, 0);
	d = since(was);
	CHECK(d.in == 1 && d.ra == 0 && d.maj == 1);
	check_value(p, 1); /* beside it: four, up from here */
	d = since(was);
	CHECK(d.in == 5 && d.ra == 3 && d.maj == 2);
	for (u64 i = 2; i < 5; i++)
		check_value(p, i);
	d = since(was);
	CHECK(d.in == 5 && d.hit == 3 && d.maj == 2);
	check_value(p, 5); /* all were used: eight */
	d = since(was);
	CHECK(d.in == 13 && d.ra == 10 && d.maj == 3);
	for (u64 i = 6; i < PAGES; i++)
		check_value(p, i);
	/* Never more than 1 << page-cluster, and not beyond the end. */
	d = since(was);
	CHECK_EQ(d.maj, 10);
	CHECK_EQ(d.in, PAGES);
	CHECK_EQ(d.ra, PAGES - 10);
	CHECK_EQ(d.hit, d.ra);
}

static void downwards(uva_t p)
{
	struct seen was = now(), d;

	for (u64 i = PAGES; i-- > 0;)
		check_value(p, i);
	d = since(was);
	CHECK_EQ(d.maj, 10);
	CHECK_EQ(d.in, PAGES);
	CHECK_EQ(d.hit, PAGES - 10);
}

/* Who jumps gets nothing read ahead. */
static void jumps(uva_t p)
{
	struct seen was = now(), d;

	for (u64 i = 0; i < PAGES; i += 2)
		check_value(p, i * 3 % PAGES);
	d = since(was);
	CHECK_EQ(d.ra, 0);
	CHECK_EQ(d.in, d.maj);
}

/* A window that was of use once closes again. */
static void closes(uva_t p)
{
	struct seen was, d;

	for (u64 i = 0; i < 13; i++)
		check_value(p, i);
	was = now();
	for (u64 i = 20; i < PAGES; i += 10)
		check_value(p, i);
	d = since(was);
	CHECK_EQ(d.maj, 5);
	/* Eight of use: 16 is too many, so 8; then 4, 2 and 1. */
	CHECK_EQ(d.ra, 7 + 3 + 1);
	CHECK_EQ(d.hit, 0);
}

/* The window ends where the mapping ends, and begins where it begins. */
static void border(uva_t p)
{
	struct seen was, d;

	CHECK_EQ(do_mprotect(port_current()->mm, p + P(16), P(16), PROT_READ),
		 0);
	was = now();
	check_value(p, 17);
	check_value(p, 16); /* going down: nothing below is this mapping's */
	d = since(was);
	CHECK_EQ(d.in, 2);
	for (u64 i = 8; i < 16; i++)
		check_value(p, i);
	d = since(was);
	CHECK_EQ(d.in, 10);
}

static void (*const ways[])(uva_t p) = {upwards, downwards, jumps, closes,
					border};

static int windows_body(void *arg)
{
	void (*const *way)(uva_t p) = arg;
	struct mm_struct *mm = tm_mm();

	tm_use(mm);
	(*way)(swapped(mm, 1));
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void windows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		TM_RUN(windows_body, .arg = (void *)(uintptr_t)&ways[i],
		       .swap_pages = 256);
}

/* ---- the switch, and the other way ------------------------------------- */

/* Faults that wait, of all pages in order, after they went in STEP's. */
static struct seen in_order(u64 step)
{
	struct mm_struct *mm = tm_mm();
	struct seen was, d;
	uva_t p;

	tm_use(mm);
	p = swapped(mm, step);
	was = now();
	for (u64 i = 0; i < PAGES; i++)
		check_value(p, i);
	d = since(was);
	tm_use(NULL);
	mm_put(mm);
	return d;
}

static void show_is(const char *want)
{
	char text[16];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(SWITCH, &s), 0);
	CHECK(strcmp(seq_buf_str(&s), want) == 0);
}

static int switch_body(void *arg)
{
	struct seen by_address, by_slot;

	(void)arg;
	show_is("true\n");
	by_address = in_order(29);
	CHECK_EQ(by_address.maj, 10);
	CHECK_EQ(mm_write(SWITCH, "perhaps", 7), -EINVAL);
	CHECK_EQ(mm_write("/sys/kernel/mm/swap/no", "1", 1), -ENOENT);
	CHECK_EQ(mm_write(SWITCH, "false\n", 6), 6);
	show_is("false\n");
	by_slot = in_order(29);
	CHECK(by_slot.maj > by_address.maj);
	CHECK_EQ(mm_write(SWITCH, "1", 1), 1);
	show_is("true\n");
	CHECK_EQ(mm_sysctl_set("vm.page-cluster", "0"), 0);
	by_address = in_order(1);
	CHECK_EQ(by_address.maj, PAGES);
	CHECK_EQ(by_address.ra, 0);
	return 0;
}

static void switched(void **state)
{
	(void)state;
	TM_RUN(switch_body, .swap_pages = 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows),
		cmocka_unit_test(switched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
