/* SPDX-License-Identifier: MIT */
/*
 * Memory policies of mappings and the calls around them: answers row by row as
 * the running Linux gives them, where pages go, what splits, merges, forks and
 * moves keep, random calls against a map of policies, failures.
 */
#include "calls.h"

#include <mmkit/mempolicy.h>
#include <mmkit/uaccess.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mempolicy_machine.h"
#include "mempolicy_rows.h"
#include "sim.h"

#define MiB    1048576UL
#define LLU(n) ((unsigned long long)(n))

static int nid_at(struct mm_struct *mm, uva_t at)
{
	struct page *page = page_at(mm, at);

	return page ? zone_to_nid(page_zone(page)) : -1;
}

static struct vm_area_struct *vma_at(struct mm_struct *mm, uva_t at)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, at);
	mmap_read_unlock(mm);
	CHECK(vma_contains(vma, at));
	return vma;
}

/* ---- answers, row by row
 * -------------------------------------------------------- */

struct answer {
	s64 ret;
	u8 out[4096]; /* page 2 */
};
struct answers {
	bool valid;
	struct answer row[NR_ROWS];
};

static void linux_layout(void)
{
	char *base = mmap((void *)R_BASE, R_END * 4096, TM_RW,
			  TM_ANON | MAP_FIXED_NOREPLACE, -1, 0);

	if (base != (char *)R_BASE)
		_exit(0);
	munmap(base + P(9), P(2));
	mprotect(base + P(8), P(1), PROT_NONE);
	for (unsigned int i = 0; i < 4; i++)
		rows_fill(i, (u64 *)(base + P(i)));
	base[P(4)] = 1;
	(void)*(volatile char *)(base + P(6));
}

/* One node, and nobody forbids the calls. */
static bool linux_fits(void)
{
	u64 allowed[16] = {0};

	return geteuid() == 0 &&
	       syscall(SYS_GET, NULL, allowed, 1024UL, NULL, 4UL) == 0 &&
	       allowed[0] == 1 &&
	       access("/sys/devices/system/node/node1", F_OK) != 0 &&
	       syscall(SYS_HOME, 0UL, 0UL, 0UL, 0UL) == 0;
}

static void linux_answers(struct answers *a)
{
	if (!linux_fits())
		_exit(0);
	linux_layout();
	for (size_t i = 0; i < NR_ROWS; i++) {
		const struct row *r = row_at(i);

		if (i == NR_PRIVILEGED && setuid(65534))
			_exit(0);
		a->row[i].ret = syscall(r->nr, r->a[0], r->a[1], r->a[2],
					r->a[3], r->a[4], r->a[5]);
		if (a->row[i].ret < 0)
			a->row[i].ret = -errno;
		memcpy(a->row[i].out, (void *)R(2), 4096);
	}
	a->valid = true;
	_exit(0);
}

static s64 sim_row(struct mm_struct *mm, const struct row *r)
{
	const u64 *a = r->a;
	struct mm_mbind b = {a[0], a[1], (int)a[2], a[3], a[4], (u32)a[5]};
	struct mm_move_pages m = {mm, mm, a[1], a[2], a[3], a[4], (u32)a[5]};

	switch (r->nr) {
	case SYS_SET:
		return kernel_set_mempolicy(mm, (int)a[0], a[1], a[2]);
	case SYS_GET:
		return kernel_get_mempolicy(mm, a[0], a[1], a[2], a[3], a[4]);
	case SYS_MBIND:
		return kernel_mbind(mm, &b);
	case SYS_HOME:
		return do_set_mempolicy_home_node(mm, a[0], a[1], a[2], a[3]);
	case SYS_MOVE:
		return kernel_move_pages(&m);
	case SYS_MIGRATE:
		return kernel_migrate_pages(mm, mm, a[1], a[2], a[3]);
	default:
		tm_fail("a known call", __FILE__, __LINE__);
	}
}

static struct mm_struct *sim_layout(void)
{
	struct mm_struct *mm = tm_mm();
	u64 words[512];

	tm_use(mm);
	CHECK_EQ(do_mmap(mm, R_BASE, P(R_END), TM_RW, TM_ANON | MAP_FIXED),
		 R_BASE);
	CHECK_EQ(do_munmap(mm, R(9), P(2)), 0);
	CHECK_EQ(do_mprotect(mm, R(8), P(1), PROT_NONE), 0);
	for (unsigned int i = 0; i < 4; i++) {
		rows_fill(i, words);
		CHECK_EQ(copy_to_user(mm, R(i), words, sizeof(words)), 0);
	}
	tm_store(R(4), 1);
	CHECK_EQ(tm_load(R(6)), 0);
	return mm;
}

static int rows_body(void *arg)
{
	const struct answers *linux_said = arg;
	struct mm_struct *mm = sim_layout();
	static u8 out[4096];

	port_current()->caps = MM_CAP_SYS_NICE;
	for (size_t i = 0; i < NR_ROWS; i++) {
		const struct row *r = row_at(i);

		if (i == NR_PRIVILEGED)
			port_current()->caps = 0;
		snprintf(tm_context, sizeof(tm_context),
			 "row %zu: call %d, %llx %llx %llx %llx %llx %llx", i,
			 r->nr, LLU(r->a[0]), LLU(r->a[1]), LLU(r->a[2]),
			 LLU(r->a[3]), LLU(r->a[4]), LLU(r->a[5]));
		if (r->want < 0)
			REFUSED(mm, sim_row(mm, r), r->want);
		else
			CHECK_EQ(sim_row(mm, r), r->want);
		CHECK_EQ(copy_from_user(mm, out, R(2), sizeof(out)), 0);
		if (!linux_said->valid)
			continue;
		CHECK_EQ(r->want, linux_said->row[i].ret);
		CHECK(memcmp(out, linux_said->row[i].out, sizeof(out)) == 0);
	}
	tm_context[0] = 0;
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	no_policies_left();
	return 0;
}

static void rows(void **state)
{
	struct answers *a = mmap(NULL, sizeof(*a), TM_RW,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	(void)state;
	assert_ptr_not_equal(a, MAP_FAILED);
	pid = fork();
	if (pid == 0)
		linux_answers(a);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fprintf(stderr, "mempolicy_calls: %zu rows%s\n", NR_ROWS,
		a->valid ? ", each asked of the running kernel as well" : "");
	TM_RUN(rows_body, .arg = a);
	munmap(a, sizeof(*a));
}

/* ---- where pages go
 * ------------------------------------------------------------- */

/* Node of page number INDEX by P, else by TASK, with room everywhere. */
static int expect_node(struct mp p, struct mp task, u64 index)
{
	u64 total = 0;

	if (p.mode == MPOL_DEFAULT)
		p = task;
	switch (p.mode) {
	case MPOL_PREFERRED:
		return __builtin_ctzll(p.nodes);
	case MPOL_BIND:
	case MPOL_PREFERRED_MANY:
		return nearest(p.nodes, p.home >= 0 ? p.home : 0);
	case MPOL_INTERLEAVE:
		return nth(p.nodes, index);
	case MPOL_WEIGHTED_INTERLEAVE:
		for (int i = 0; i < 4; i++)
			total += p.nodes & NODE_MASK(i) ? mpol_weight(i) : 0;
		index %= total;
		for (int i = 0;; i++) {
			u32 w = p.nodes & NODE_MASK(i) ? mpol_weight(i) : 0;

			if (index < w)
				return i;
			index -= w;
		}
	default:
		return 0;
	}
}

/* A page of a mapping with MODE, NODES: a first write, a write to the zero
 * page, one to a page that a child has as well, and one that was swapped. */
static void each_fault(struct mm_struct *mm, struct mp p, uva_t at)
{
	static const struct mp none = {0};
	struct mm_struct *child = NULL;
	u64 index = at >> PAGE_SHIFT,
	    hit = global_zone_page_state(NUMA_INTERLEAVE_HIT);

	CHECK_EQ(do_mbind(mm, at, P(8), p.mode, p.nodes, 0), 0);
	if (p.home >= 0)
		CHECK_EQ(do_set_mempolicy_home_node(mm, at, P(8), (u64)p.home,
						    0),
			 0);
	tm_store(at, 1);
	CHECK_EQ(nid_at(mm, at), expect_node(p, none, index));
	CHECK_EQ(tm_load(at + P(1)), 0);
	tm_store(at + P(1), 1);
	CHECK_EQ(nid_at(mm, at + P(1)), expect_node(p, none, index + 1));
	/* A page that came before the policy; its copy obeys. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(do_mbind(child, at, P(8), MPOL_BIND, NODE_MASK(3), 0), 0);
	tm_use(child);
	tm_store(at, 2);
	CHECK_EQ(nid_at(child, at), 3);
	tm_store(at + P(2), 2);
	CHECK_EQ(nid_at(child, at + P(2)), 3);
	tm_use(mm);
	tm_store(at + P(2), 1);
	CHECK_EQ(nid_at(mm, at + P(2)), expect_node(p, none, index + 2));
	CHECK_EQ(tm_load(at), 1);
	tm_store(at + P(1), 3);
	mm_put(child);
	if (p.mode == MPOL_INTERLEAVE || p.mode == MPOL_WEIGHTED_INTERLEAVE)
		CHECK(global_zone_page_state(NUMA_INTERLEAVE_HIT) >= hit + 3);
}

static int faults_body(void *arg)
{
	static const struct mp all[] = {
		{MPOL_PREFERRED, 4, -1},
		{MPOL_BIND, 2, -1},
		{MPOL_BIND, 0xe, -1},
		{MPOL_BIND, 0xd, 2},
		{MPOL_PREFERRED_MANY, 0xc, -1},
		{MPOL_PREFERRED_MANY, 0xe, 3},
		{MPOL_INTERLEAVE, 0xf, -1},
		{MPOL_INTERLEAVE, 0xb, -1},
		{MPOL_WEIGHTED_INTERLEAVE, 0xe, -1},
		{MPOL_LOCAL, 0, -1},
	};
	static const struct mp none = {0};
	struct mm_struct *mm = tm_mm();
	uva_t base = tm_map(mm, 128);

	(void)arg;
	tm_use(mm);
	CHECK_EQ(mpol_set_weight(2, 3), 0);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		each_fault(mm, all[i], base + P(8 * i));
	/* From swap: the frame is another, and lies where it should. */
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uva_t at = base + P(8 * i);

		for (u64 k = 0; k < 3; k++)
			tm_swap_out(mm, at + P(k));
		/* By a fault, and asked for in advance. */
		CHECK_EQ(do_madvise(mm, at + P(1), P(1), MADV_WILLNEED), 0);
		for (u64 k = 0; k < 3; k++) {
			(void)tm_load(at + P(k));
			CHECK_EQ(nid_at(mm, at + P(k)),
				 expect_node(all[i], none,
					     (at >> PAGE_SHIFT) + k));
		}
	}
	mm_check(mm);
	/* A task's policy where mappings have none: by page number too. */
	CHECK_EQ(do_set_mempolicy(MPOL_INTERLEAVE, 0xa), 0);
	for (u64 k = 127; k >= 100; k--) {
		tm_store(base + P(k), 1);
		CHECK_EQ(nid_at(mm, base + P(k)),
			 nth(0xa, (base >> PAGE_SHIFT) + k));
	}
	tm_use(NULL);
	mm_put(mm);
	no_policies_left();
	return 0;
}

static void page_faults(void **state)
{
	(void)state;
	TM_RUN(faults_body, .mem = 128 * MiB, .nodes = 4, .swap_pages = 1024);
}

/* ---- what keeps a policy, what melts
 * ---------------------------------------------- */

static int shape_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	uva_t p = tm_map(mm, 12), to = 0x300000000UL;
	u32 one = mm->map_count;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(do_mbind(mm, p + P(4), P(4), MPOL_BIND, 2, 0), 0);
	CHECK_EQ(mm->map_count, one + 2);
	/* The same again, in parts, with another object: nothing is cut. */
	CHECK_EQ(do_mbind(mm, p + P(5), P(1), MPOL_BIND, 2, 0), 0);
	CHECK_EQ(mm->map_count, one + 2);
	CHECK_EQ(do_mbind(mm, p + P(2), P(3), MPOL_BIND, 2, 0), 0);
	CHECK_EQ(mm->map_count, one + 2);
	CHECK(vma_at(mm, p + P(2))->vm_end == p + P(8));
	/* Only what a policy says counts, not who made it. */
	CHECK_EQ(do_mbind(mm, p + P(8), P(2), MPOL_PREFERRED, 2, 0), 0);
	CHECK_EQ(mm->map_count, one + 3);
	CHECK_EQ(do_mbind(mm, p + P(8), P(2), MPOL_BIND | MPOL_F_STATIC_NODES,
			  2, 0),
		 0);
	CHECK_EQ(mm->map_count, one + 3);
	CHECK_EQ(do_mbind(mm, p + P(8), P(2), MPOL_BIND, 2, 0), 0);
	CHECK_EQ(mm->map_count, one + 2);
	/* A home divides as well, and goes with the next mbind(). */
	CHECK_EQ(do_set_mempolicy_home_node(mm, p, P(4), 1, 0), 0);
	CHECK_EQ(mm->map_count, one + 3);
	CHECK_EQ(vma_at(mm, p)->vm_home, -1);
	CHECK_EQ(vma_at(mm, p + P(2))->vm_home, 1);
	CHECK_EQ(do_set_mempolicy_home_node(mm, p, P(12), 1, 0), 0);
	CHECK_EQ(mm->map_count, one + 2);
	CHECK_EQ(do_mbind(mm, p + P(3), P(1), MPOL_BIND, 2, 0), 0);
	CHECK_EQ(mm->map_count, one + 4);
	CHECK_EQ(vma_at(mm, p + P(3))->vm_home, -1);
	CHECK_EQ(do_set_mempolicy_home_node(mm, p + P(3), P(1), 1, 0), 0);
	/* Other flags cut; the parts have the policy; equal, they melt. */
	CHECK_EQ(do_mprotect(mm, p + P(5), P(1), PROT_READ), 0);
	CHECK_EQ(mm->map_count, one + 4);
	for (u64 i = 2; i < 10; i++)
		CHECK_EQ(mpol_mode(vma_at(mm, p + P(i))->vm_policy), MPOL_BIND);
	CHECK_EQ(do_mprotect(mm, p + P(5), P(1), TM_RW), 0);
	CHECK_EQ(mm->map_count, one + 2);
	/* A new mapping beside it has none and stays apart. */
	CHECK_EQ(do_munmap(mm, p + P(9), P(1)), 0);
	CHECK_EQ(do_mmap(mm, p + P(9), P(1), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)(p + P(9)));
	CHECK(!vma_at(mm, p + P(9))->vm_policy);
	CHECK(vma_at(mm, p + P(9))->vm_end == p + P(12));
	/* Fork shares it, mremap takes it along, grown or moved. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK(vma_at(child, p + P(4))->vm_policy ==
	      vma_at(mm, p + P(4))->vm_policy);
	CHECK_EQ(vma_at(child, p + P(4))->vm_home, 1);
	CHECK_EQ(do_mbind(child, p, P(12), MPOL_DEFAULT, 0, 0), 0);
	CHECK_EQ(child->map_count, one);
	mm_check(child);
	mm_put(child);
	CHECK_EQ(do_mremap(mm, p + P(2), P(7), P(7),
			   MREMAP_MAYMOVE | MREMAP_FIXED, to),
		 (s64)to);
	CHECK_EQ(mpol_nodes(vma_at(mm, to)->vm_policy), 2);
	CHECK_EQ(vma_at(mm, to)->vm_home, 1);
	CHECK_EQ(do_mremap(mm, to, P(7), P(9), 0, 0), (s64)to);
	CHECK(vma_at(mm, to)->vm_end == to + P(9));
	tm_store(to + P(8), 1);
	CHECK_EQ(nid_at(mm, to + P(8)), 1);
	/* Into a gap before what has another policy: its own goes with it. */
	p = tm_map(mm, 8);
	CHECK_EQ(do_mbind(mm, p, P(4), MPOL_BIND, 2, 0), 0);
	CHECK_EQ(do_munmap(mm, p + P(4), P(1)), 0);
	CHECK_EQ(do_mremap(mm, p, P(4), P(5), 0, 0), (s64)p);
	CHECK_EQ(mpol_nodes(vma_at(mm, p + P(4))->vm_policy), 2);
	CHECK(!vma_at(mm, p + P(5))->vm_policy);
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	no_policies_left();
	return 0;
}

static void shape(void **state)
{
	(void)state;
	TM_RUN(shape_body, .mem = 64 * MiB, .nodes = 2);
}

/* ---- pages that are elsewhere
 * ----------------------------------------------------- */

static uva_t put_words(struct mm_struct *mm, uva_t at, const void *w, size_t n)
{
	CHECK_EQ(copy_to_user(mm, at, w, n), 0);
	return at;
}

static void status_of(struct mm_struct *mm, uva_t area, const s32 *nodes,
		      u32 flags, s64 want, s32 *st)
{
	struct mm_move_pages m = {
		mm, mm, 6, area, nodes ? area + 512 : 0, area + 1024, flags};

	if (nodes)
		put_words(mm, area + 512, nodes, 6 * sizeof(*nodes));
	CHECK_EQ(kernel_move_pages(&m), want);
	CHECK_EQ(copy_from_user(mm, st, area + 1024, 6 * sizeof(*st)), 0);
}

static void check_status(const s32 *got, const s32 *want)
{
	for (int i = 0; i < 6; i++)
		CHECK_EQ(got[i], want[i]);
}

/* Pages 0, 1 of P on node 0, 2 on node 1, 3 the zero page, 4 not there. */
static void status_and_moves(struct mm_struct *mm, uva_t p, uva_t area)
{
	const uva_t at[6] = {p, p + P(1) + 9, p + P(2), p + P(3), p + P(4), 0};
	static const s32 where[6] = {0, 0, 1, -EFAULT, -ENOENT, -EFAULT};
	static const s32 moved[6] = {0, 1, 0, -EFAULT, -ENOENT, -EFAULT};
	static const s32 shared[6] = {0,       -EACCES, -EACCES,
				      -EFAULT, -ENOENT, -EFAULT};
	static const s32 to[6] = {0, 1, 0, 1, 1, 1}, back[6] = {0, 0, 1};
	s32 bad[6] = {0, 1, 0, 2, 1, 1}, st[6];
	struct mm_move_pages kthread = {NULL, mm, 0, 0, 0, 0, 0};
	u64 good = sum_vm_event(PGMIGRATE_SUCCESS);
	struct mm_struct *child = NULL;
	struct page *held;

	put_words(mm, area, at, sizeof(at));
	status_of(mm, area, NULL, MPOL_MF_MOVE, 0, st);
	check_status(st, where);
	/* One that is held stays, and is told of; the other moves. */
	held = page_at(mm, p + P(1));
	get_page(held);
	status_of(mm, area, to, MPOL_MF_MOVE, 1, st);
	CHECK_EQ(st[1], -EBUSY);
	CHECK_EQ(st[2], 0);
	put_page(held);
	status_of(mm, area, to, MPOL_MF_MOVE, 0, st);
	check_status(st, moved);
	CHECK_EQ(sum_vm_event(PGMIGRATE_SUCCESS), good + 2);
	status_of(mm, area, NULL, 0, 0, st);
	check_status(st, moved);
	CHECK_EQ(tm_load(p + P(1)), 1);
	CHECK_EQ(mm_fork(mm, &child), 0);
	status_of(mm, area, back, MPOL_MF_MOVE, 0, st);
	check_status(st, shared);
	port_current()->caps = MM_CAP_SYS_NICE;
	status_of(mm, area, back, MPOL_MF_MOVE_ALL, 0, st);
	check_status(st, where);
	CHECK_EQ(nid_at(child, p + P(2)), 1);
	port_current()->caps = 0;
	mm_put(child);
	/* No such node: what stands before it was done and told. */
	memset(st, 0x55, sizeof(st));
	put_words(mm, area + 1024, st, sizeof(st));
	status_of(mm, area, bad, MPOL_MF_MOVE, -ENODEV, st);
	CHECK_EQ(st[1], 1);
	CHECK_EQ(st[2], 0);
	CHECK_EQ(st[3], 0x55555555);
	status_of(mm, area, back, MPOL_MF_MOVE, 0, st);
	check_status(st, where);
	CHECK_EQ(kernel_move_pages(&kthread), -EINVAL);
}

static s64 migrate(struct mm_struct *mm, uva_t area, u64 from, u64 to)
{
	put_words(mm, area + 2048, &from, 8);
	put_words(mm, area + 2056, &to, 8);
	return kernel_migrate_pages(mm, mm, 64, area + 2048, area + 2056);
}

static void strict_and_move(struct mm_struct *mm, uva_t p)
{
	const u32 s = MPOL_MF_STRICT, m = MPOL_MF_MOVE;
	struct page *held;

	/* Told before anything changes. */
	REFUSED(mm, do_mbind(mm, p, P(3), MPOL_BIND, 1, s), -EIO);
	REFUSED(mm, do_mbind(mm, p, P(1), MPOL_BIND, 2, s), -EIO);
	REFUSED(mm, do_mbind(mm, p, P(3), MPOL_PREFERRED, 3, s), -EIO);
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_INTERLEAVE, 3, s), 0);
	CHECK_EQ(do_mbind(mm, p + P(3), P(2), MPOL_BIND, 2, s), 0);
	CHECK_EQ(do_mbind(mm, p, P(2), MPOL_BIND, 1, s), 0);
	/* Asked to move: they do. */
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_BIND, 2, m), 0);
	CHECK_EQ(nid_at(mm, p), 1);
	CHECK_EQ(nid_at(mm, p + P(2)), 1);
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_BIND, 1, s | m), 0);
	CHECK_EQ(mpol_nodes(vma_at(mm, p)->vm_policy), 1);
	CHECK_EQ(nid_at(mm, p + P(2)), 0);
	/* Not what somebody holds: without STRICT nobody is told. */
	held = page_at(mm, p + P(1));
	get_page(held);
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_BIND, 2, s | m), -EIO);
	CHECK_EQ(nid_at(mm, p), 1);
	CHECK_EQ(nid_at(mm, p + P(1)), 0);
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_BIND, 2, m), 0);
	put_page(held);
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_LOCAL, 0, s | m), 0);
	CHECK_EQ(nid_at(mm, p), 0);
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_DEFAULT, 0, s | m), 0);
	/* In turn, by the page's number. */
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_INTERLEAVE, 3, m), 0);
	CHECK_EQ(do_mbind(mm, p, P(3), MPOL_DEFAULT, 0, 0), 0);
	REFUSED(mm, do_mbind(mm, p, P(3), MPOL_BIND, 1, MPOL_MF_MOVE_ALL),
		-EPERM);
}

static int elsewhere_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	uva_t p = tm_map(mm, 8), area = tm_map(mm, 2) + P(1);

	(void)arg;
	tm_use(mm);
	tm_store(area, 1);
	tm_store(p, 1);
	tm_store(p + P(1), 1);
	CHECK_EQ(do_mbind(mm, p + P(2), P(1), MPOL_BIND, 2, 0), 0);
	tm_store(p + P(2), 1);
	CHECK_EQ(do_mbind(mm, p, P(8), MPOL_DEFAULT, 0, 0), 0);
	CHECK_EQ(tm_load(p + P(3)), 0);
	status_and_moves(mm, p, area);
	/* Two of P's pages and AREA's on node 0, one on node 1. */
	CHECK_EQ(migrate(mm, area, 3, 3), 0);
	CHECK_EQ(nid_at(mm, p), 0);
	CHECK_EQ(nid_at(mm, p + P(2)), 1);
	CHECK_EQ(migrate(mm, area, 1, 2), 0);
	CHECK_EQ(nid_at(mm, p), 1);
	CHECK_EQ(migrate(mm, area, 2, 1), 0);
	CHECK_EQ(nid_at(mm, p), 0);
	CHECK_EQ(nid_at(mm, p + P(2)), 0);
	CHECK_EQ(migrate(mm, area, 0, 2), 0);
	CHECK_EQ(nid_at(mm, p), 0);
	CHECK_EQ(migrate(mm, area, 1, 6), -EPERM);
	/* Others' pages stay, unless one may move them. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(migrate(mm, area, 1, 2), 3);
	port_current()->caps = MM_CAP_SYS_NICE;
	CHECK_EQ(migrate(mm, area, 1, 6), 0);
	CHECK_EQ(nid_at(child, p), 1);
	mm_put(child);
	CHECK_EQ(migrate(mm, area, 2, 1), 0);
	CHECK_EQ(migrate(mm, area, 1, 4), -EINVAL);
	port_current()->caps = 0;
	CHECK_EQ(do_mbind(mm, p + P(2), P(1), MPOL_BIND, 2, MPOL_MF_MOVE), 0);
	CHECK_EQ(do_mbind(mm, p, P(8), MPOL_DEFAULT, 0, 0), 0);
	CHECK_EQ(kernel_migrate_pages(NULL, mm, 64, area + 2056, area + 2048),
		 -EINVAL);
	strict_and_move(mm, p);
	/* Told where it is: by address, which reads. */
	CHECK_EQ(kernel_get_mempolicy(mm, area, 0, 0, p + P(2), 3), 0);
	CHECK_EQ((s32)tm_load(area), nid_at(mm, p + P(2)));
	CHECK_EQ(kernel_get_mempolicy(mm, area, area + 8, 1, p, 0), -EINVAL);
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	no_policies_left();
	return 0;
}

static void pages_elsewhere(void **state)
{
	(void)state;
	TM_RUN(elsewhere_body, .mem = 64 * MiB, .nodes = 2);
}

/* ---- /proc/PID/numa_maps
 * ----------------------------------------------------------- */

static int numa_maps_body(void *arg)
{
	static const char want[] =
		"10000000 bind:1 anon=2 dirty=2 active=0 N1=2 "
		"kernelpagesize_kB=4\n"
		"10002000 interleave=relative:0-3 anon=4 dirty=4 active=0 N0=1 "
		"N1=1 N2=1 N3=1 kernelpagesize_kB=4\n"
		"10006000 prefer (many)=static:0,2-3\n"
		"10007000 weighted interleave:0-1\n"
		"10008000 local\n"
		"10009000 prefer:3 anon=1 dirty=1 mapmax=2 active=0 N3=1 "
		"kernelpagesize_kB=4\n"
		"1000a000 prefer:2\n";
	struct mm_struct *mm = tm_mm(), *child = NULL;
	const uva_t p = 0x10000000;
	static char text[4096];
	struct seq_buf s;

	(void)arg;
	tm_use(mm);
	mm_task_register(port_current(), "prog");
	CHECK_EQ(do_mmap(mm, p, P(11), TM_RW, TM_ANON | MAP_FIXED), (s64)p);
	CHECK_EQ(do_mbind(mm, p, P(2), MPOL_BIND, 2, 0), 0);
	CHECK_EQ(do_mbind(mm, p + P(2), P(4),
			  MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES, 0xf, 0),
		 0);
	CHECK_EQ(do_mbind(mm, p + P(6), P(1),
			  MPOL_PREFERRED_MANY | MPOL_F_STATIC_NODES, 0xd, 0),
		 0);
	CHECK_EQ(do_mbind(mm, p + P(7), P(1), MPOL_WEIGHTED_INTERLEAVE, 3, 0),
		 0);
	CHECK_EQ(do_mbind(mm, p + P(8), P(1), MPOL_PREFERRED, 0, 0), 0);
	CHECK_EQ(do_mbind(mm, p + P(9), P(1), MPOL_PREFERRED, 8, 0), 0);
	for (u64 i = 0; i < 6; i++)
		tm_store(p + P(i), 1);
	(void)tm_load(p + P(7));
	tm_store(p + P(9), 1);
	CHECK_EQ(mm_fork(mm, &child), 0);
	for (u64 i = 0; i < 6; i++)
		CHECK_EQ(do_madvise(child, p + P(i), P(1), MADV_DONTNEED), 0);
	/* The task's policy where there is none. */
	CHECK_EQ(do_set_mempolicy(MPOL_PREFERRED, 4), 0);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/self/numa_maps", &s), 0);
	if (strcmp(seq_buf_str(&s), want) != 0) {
		fprintf(stderr, "%s", text);
		tm_fail("numa_maps is as wanted", __FILE__, __LINE__);
	}
	CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/self/numa_maps", &s), 0);
	CHECK(strstr(text, "\n1000a000 default\n"));
	mm_put(child);
	mm_task_unregister(port_current());
	tm_use(NULL);
	mm_put(mm);
	no_policies_left();
	return 0;
}

static void numa_maps(void **state)
{
	(void)state;
	TM_RUN(numa_maps_body, .mem = 128 * MiB, .nodes = 4);
}

/* ---- random calls against a map of policies
 * ---------------------------------------- */

#define AREA	   96u
#define MODEL_BASE 0x40000000UL

static struct {
	struct prng rng;
	struct mm_struct *mm;
	struct mp task;
	struct {
		bool mapped;
		struct mp p;
		int nid;     /* -1: no page of its own */
		bool forked; /* since its last write: that may copy it */
	} page[AREA];
} m;

static struct mp random_policy(void)
{
	struct mp p = {(int)prng_below(&m.rng, MPOL_MAX), 0, -1};

	if (p.mode != MPOL_DEFAULT && p.mode != MPOL_LOCAL)
		p.nodes = 1 + prng_below(&m.rng, 15);
	if (p.mode == MPOL_PREFERRED)
		p.nodes &= -p.nodes;
	return p;
}

static int model_node(u32 i);

static bool misplaced(u32 from, u32 to, nodemask_t nodes)
{
	for (u32 i = from; i < to; i++)
		if (m.page[i].nid >= 0 && !(nodes & NODE_MASK(m.page[i].nid)))
			return true;
	return false;
}

/* With a hole behind page AT: are pages told of that lie elsewhere? Those of
 * the mapping at AT are not. Where that begins is the space's affair. */
static int hole_expect(u32 from, u32 at, nodemask_t nodes)
{
	uva_t start = vma_at(m.mm, MODEL_BASE + P(at))->vm_start;
	u32 last = start > MODEL_BASE + P(from)
			   ? (u32)((start - MODEL_BASE) >> PAGE_SHIFT)
			   : from;

	return misplaced(from, last, nodes) ? -EIO : -EFAULT;
}

static int mbind_expect(u32 from, u32 to, struct mp p, u32 flags)
{
	u32 mapped = 0, hole = from;
	bool strict = (flags & MPOL_MF_STRICT) && p.mode != MPOL_DEFAULT;

	for (u32 i = from; i < to; i++)
		mapped += m.page[i].mapped;
	while (hole < to && m.page[hole].mapped)
		hole++;
	if (hole > from && hole < to && strict && !(flags & MPOL_MF_MOVE))
		return hole_expect(from, hole - 1, p.nodes);
	if (!mapped || (mapped < to - from && p.mode != MPOL_DEFAULT))
		return -EFAULT;
	if (strict && !(flags & MPOL_MF_MOVE) && misplaced(from, to, p.nodes))
		return -EIO;
	for (u32 i = from; i < to; i++)
		if (m.page[i].mapped)
			m.page[i].p = p;
	if (p.mode == MPOL_LOCAL)
		p.nodes = 1;
	for (u32 i = from; i < to; i++)
		if ((flags & MPOL_MF_MOVE) && p.mode != MPOL_DEFAULT &&
		    misplaced(i, i + 1, p.nodes))
			m.page[i].nid = model_node(i);
	return strict && misplaced(from, to, p.nodes) ? -EIO : 0;
}

static void op_mbind(u32 from, u32 to)
{
	struct mp p = random_policy();
	u32 flags = prng_below(&m.rng, 3) ? 0 : (u32)prng_below(&m.rng, 4);
	int want = mbind_expect(from, to, p, flags);

	CHECK_EQ(do_mbind(m.mm, MODEL_BASE + P(from), P(to - from), p.mode,
			  p.nodes, flags),
		 want);
}

static int home_expect(u32 from, u32 to, int home)
{
	int err = -ENOENT;

	for (u32 i = from; i < to; i++) {
		int mode = m.page[i].p.mode;

		if (!m.page[i].mapped || mode == MPOL_DEFAULT)
			continue;
		if (mode != MPOL_BIND && mode != MPOL_PREFERRED_MANY)
			return -EOPNOTSUPP;
		err = 0;
	}
	for (u32 i = from; i < to && !err; i++)
		if (m.page[i].mapped && m.page[i].p.mode != MPOL_DEFAULT)
			m.page[i].p.home = home;
	return err;
}

static void op_home(u32 from, u32 to)
{
	int home = (int)prng_below(&m.rng, 4);
	int want = home_expect(from, to, home);

	CHECK_EQ(do_set_mempolicy_home_node(m.mm, MODEL_BASE + P(from),
					    P(to - from), (u64)home, 0),
		 want);
}

static void op_map(u32 from, u32 to, bool map)
{
	uva_t at = MODEL_BASE + P(from);

	if (map)
		CHECK_EQ(do_mmap(m.mm, at, P(to - from), TM_RW,
				 TM_ANON | MAP_FIXED),
			 (s64)at);
	else
		CHECK_EQ(do_munmap(m.mm, at, P(to - from)), 0);
	for (u32 i = from; i < to; i++) {
		m.page[i].mapped = map;
		m.page[i].p = (struct mp){0, 0, -1};
		m.page[i].nid = -1;
	}
}

static void op_dontneed(u32 from, u32 to)
{
	int err = do_madvise(m.mm, MODEL_BASE + P(from), P(to - from),
			     MADV_DONTNEED);

	CHECK(err == 0 || err == -ENOMEM);
	for (u32 i = from; i < to; i++)
		m.page[i].nid = -1;
}

static int model_node(u32 i)
{
	return expect_node(m.page[i].p, m.task, (MODEL_BASE >> PAGE_SHIFT) + i);
}

static void op_touch(u32 from, u32 to)
{
	for (u32 i = from; i < to; i++) {
		uva_t at = MODEL_BASE + P(i);

		if (!m.page[i].mapped)
			continue;
		if (prng_below(&m.rng, 3) == 0) {
			(void)tm_load(at);
			continue;
		}
		tm_store(at, i);
		if (m.page[i].nid < 0 ||
		    (m.page[i].forked && nid_at(m.mm, at) != m.page[i].nid))
			m.page[i].nid = model_node(i);
		m.page[i].forked = false;
		CHECK_EQ(nid_at(m.mm, at), m.page[i].nid);
	}
}

/* To leave a space is to exit: the task's policy goes with it. */
static void use_with_policy(struct mm_struct *mm)
{
	tm_use(mm);
	CHECK_EQ(do_set_mempolicy(m.task.mode, m.task.nodes), 0);
}

/* A child writes: copies where its mappings, equal to ours, say. */
static void op_fork(u32 from, u32 to)
{
	struct mm_struct *child = NULL;

	CHECK_EQ(mm_fork(m.mm, &child), 0);
	for (u32 i = 0; i < AREA; i++)
		m.page[i].forked = true;
	use_with_policy(child);
	for (u32 i = from; i < to; i++) {
		if (!m.page[i].mapped)
			continue;
		tm_store(MODEL_BASE + P(i), 1);
		CHECK_EQ(nid_at(child, MODEL_BASE + P(i)), model_node(i));
	}
	mm_check(child);
	use_with_policy(m.mm);
	mm_put(child);
}

static void op_task(void)
{
	m.task = random_policy();
	CHECK_EQ(do_set_mempolicy(m.task.mode, m.task.nodes), 0);
}

static void check_neighbours(struct vm_area_struct *a, struct vm_area_struct *b)
{
	if (!b || a->vm_end != b->vm_start || a->anon_vma || b->anon_vma)
		return;
	CHECK(a->vm_home != b->vm_home ||
	      !mpol_equal(a->vm_policy, b->vm_policy));
}

static void check_model(void)
{
	struct vm_area_struct *vma;

	mmap_read_lock(m.mm);
	for (u32 i = 0; i < AREA; i++) {
		const struct mp *p = &m.page[i].p;

		vma = find_vma(m.mm, MODEL_BASE + P(i));
		CHECK_EQ(vma_contains(vma, MODEL_BASE + P(i)),
			 m.page[i].mapped);
		if (!m.page[i].mapped)
			continue;
		CHECK_EQ(mpol_mode(vma->vm_policy), p->mode);
		CHECK_EQ(mpol_nodes(vma->vm_policy), p->nodes);
		CHECK_EQ(vma->vm_home, p->home);
		CHECK_EQ(nid_at(m.mm, MODEL_BASE + P(i)) >= 0 &&
				 !pte_special(tm_pte(m.mm, MODEL_BASE + P(i))),
			 m.page[i].nid >= 0);
		check_neighbours(vma, vma_next(vma));
	}
	mmap_read_unlock(m.mm);
}

static void model_step(void)
{
	u32 from = (u32)prng_below(&m.rng, AREA);
	u32 to = from + 1 + (u32)prng_below(&m.rng, min(AREA - from, 24u));
	u64 op = prng_below(&m.rng, 20);

	if (op < 8)
		op_mbind(from, to);
	else if (op < 10)
		op_home(from, to);
	else if (op < 11)
		op_map(from, to, false);
	else if (op < 13)
		op_map(from, to, true);
	else if (op < 14)
		op_dontneed(from, to);
	else if (op < 18)
		op_touch(from, to);
	else if (op < 19)
		op_fork(from, to);
	else
		op_task();
}

static int model_body(void *arg)
{
	u64 iters = test_iters(tm_soak() ? 100000 : 3000);

	(void)arg;
	m.mm = tm_mm();
	m.task = (struct mp){0, 0, -1};
	tm_use(m.mm);
	for (u32 i = 0; i < AREA; i++)
		m.page[i].nid = m.page[i].p.home = -1;
	CHECK_EQ(mpol_set_weight(1, 2), 0);
	CHECK_EQ(mpol_set_weight(3, 5), 0);
	op_map(0, AREA / 2, true);
	for (u64 i = 0; i < iters; i++) {
		snprintf(tm_context, sizeof(tm_context), "step %llu", LLU(i));
		model_step();
		check_model();
		if (i % 64 == 0)
			mm_check(m.mm);
	}
	tm_context[0] = 0;
	tm_use(NULL);
	mm_put(m.mm);
	no_policies_left();
	return 0;
}

static void model(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	test_seed(&m.rng, "mempolicy_calls");
	TM_RUN(model_body, .mem = 128 * MiB, .nodes = 4);
}

/* ---- every allocation fails
 * --------------------------------------------------------- */

static uva_t fail_at;

static struct mm_struct *fail_setup(void)
{
	struct mm_struct *mm = tm_mm();

	fail_at = tm_map(mm, 8);
	return mm;
}

static struct mm_struct *fail_setup_bound(void)
{
	struct mm_struct *mm = fail_setup();

	CHECK_EQ(do_mbind(mm, fail_at, P(4), MPOL_BIND, 3, 0), 0);
	CHECK_EQ(do_mbind(mm, fail_at + P(4), P(4), MPOL_BIND, 1, 0), 0);
	return mm;
}

static int op_fail_mbind(struct mm_struct *mm)
{
	int err = do_mbind(mm, fail_at + P(2), P(3), MPOL_INTERLEAVE, 3, 0);

	CHECK(err == 0 || err == -ENOMEM);
	return err;
}

static int op_fail_home(struct mm_struct *mm)
{
	int err = do_set_mempolicy_home_node(mm, fail_at + P(1), P(5), 1, 0);

	CHECK(err == 0 || err == -ENOMEM);
	return err;
}

/* The page may have come before what tells of it failed. */
static int op_fail_get(struct mm_struct *mm)
{
	int err = kernel_get_mempolicy(mm, fail_at, 0, 0, fail_at + P(6), 3);

	CHECK(err == 0 || err == -ENOMEM || err == -EFAULT);
	return err;
}

static int op_fail_set(struct mm_struct *mm)
{
	int err = kernel_set_mempolicy(mm, MPOL_LOCAL, 0, 0);

	CHECK(err == 0 || err == -ENOMEM);
	if (!err)
		CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	return err;
}

static int failures_body(void *arg)
{
	(void)arg;
	fail_each(&(struct fail_case){fail_setup, op_fail_mbind, false, 6});
	fail_each(
		&(struct fail_case){fail_setup_bound, op_fail_home, false, 4});
	fail_each(&(struct fail_case){fail_setup, op_fail_get, true, 4});
	fail_each(&(struct fail_case){fail_setup, op_fail_set, false, 2});
	no_policies_left();
	return 0;
}

static void failures(void **state)
{
	(void)state;
	TM_RUN(failures_body, .mem = 64 * MiB, .nodes = 2);
}

/* Too many mappings: nothing is cut. */
static int limit_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 8);

	(void)arg;
	tm_use(mm);
	space_sys.max_map_count = mm->map_count + 1;
	REFUSED(mm, do_mbind(mm, p + P(2), P(2), MPOL_LOCAL, 0, 0), -ENOMEM);
	CHECK_EQ(do_mbind(mm, p + P(2), P(6), MPOL_LOCAL, 0, 0), 0);
	REFUSED(mm, do_mbind(mm, p + P(3), P(1), MPOL_BIND, 1, 0), -ENOMEM);
	tm_use(NULL);
	mm_put(mm);
	no_policies_left();
	return 0;
}

static void limit(void **state)
{
	(void)state;
	TM_RUN(limit_body);
}

/* ---- policies change while pages are touched
 * ------------------------------------------- */

static struct {
	struct mm_struct *mm;
	uva_t p;
	bool stop;
} race;

static void race_touch(void *arg)
{
	(void)arg;
	mm_task_attach(port_current(), race.mm);
	for (u64 i = 0; !READ_ONCE(race.stop) || i < 64; i++) {
		tm_store(race.p + P(i % 16), i);
		if (i % 16 == 15)
			CHECK_EQ(do_madvise(race.mm, race.p, P(16),
					    MADV_DONTNEED),
				 0);
	}
	mm_task_exit(port_current());
}

static int race_body(void *arg)
{
	struct prng *rng = arg;
	struct port_thread *t;

	race.mm = tm_mm();
	race.p = tm_map(race.mm, 16);
	race.stop = false;
	tm_use(race.mm);
	CHECK_EQ(sim_thread_start_on(&t, "touch", 1, race_touch, NULL), 0);
	for (int i = 0; i < 60; i++) {
		u64 at = prng_below(rng, 16), n = 1 + prng_below(rng, 16 - at);
		int mode = prng_below(rng, 3) ? MPOL_BIND : MPOL_INTERLEAVE;

		CHECK_EQ(do_mbind(race.mm, race.p + P(at), P(n), mode,
				  1 + prng_below(rng, 3), 0),
			 0);
		if (i % 8 == 7)
			CHECK_EQ(do_mbind(race.mm, race.p, P(16), MPOL_DEFAULT,
					  0, 0),
				 0);
	}
	WRITE_ONCE(race.stop, true);
	port_thread_join(t);
	mm_check(race.mm);
	tm_use(NULL);
	mm_put(race.mm);
	no_policies_left();
	return 0;
}

static void races(void **state)
{
	u64 runs = test_iters(tm_soak() ? 2000 : 40);
	struct prng rng;

	(void)state;
	test_seed(&rng, "mempolicy_calls races");
	for (u64 i = 0; i < runs; i++)
		TM_RUN(race_body, .mem = 64 * MiB, .nodes = 2, .cpus = 2,
		       .seed = prng_u64(&rng), .explore = true, .arg = &rng);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows),	     cmocka_unit_test(page_faults),
		cmocka_unit_test(shape),     cmocka_unit_test(pages_elsewhere),
		cmocka_unit_test(numa_maps), cmocka_unit_test(model),
		cmocka_unit_test(failures),  cmocka_unit_test(limit),
		cmocka_unit_test(races),
	};

	return cmocka_run_group_tests_name("mempolicy_calls", tests, NULL,
					   NULL);
}
