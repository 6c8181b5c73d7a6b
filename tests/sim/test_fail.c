/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of every operation fails in turn: once, and it and all
 * later ones. Then nothing is lost, the space is as it was, its contents are
 * there, and the operation works when there is memory again.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "space/fault.h"

#define P(n)	 ((u64)(n) << PAGE_SHIFT)
#define PAGES	 12u
#define SWAPPED	 3u /* this page stands in swap */
#define FAIL_ANY (FAIL_ALL & ~FAIL_MASK(FAIL_BIO_WRITE))

/* A grandchild with relatives, so that links and copies have work to do. */
struct family {
	struct mm_struct *mm, *parent, *root;
	uva_t at;
	u64 stamp;
};

static void family_make(struct family *f)
{
	static u64 stamp;

	f->stamp = stamp += 1000;
	f->root = tm_mm();
	f->at = tm_map(f->root, PAGES);
	tm_use(f->root);
	for (u64 i = 0; i < PAGES; i++)
		tm_store(f->at + P(i), f->stamp + i);
	CHECK_EQ(mm_fork(f->root, &f->parent), 0);
	tm_use(f->parent);
	tm_store(f->at + P(1), f->stamp + 1);
	CHECK_EQ(mm_fork(f->parent, &f->mm), 0);
	tm_use(f->mm);
	tm_store(f->at + P(2), f->stamp + 2);
	tm_store(f->at + P(SWAPPED), f->stamp + SWAPPED);
	if (tm.cfg.swap_pages)
		tm_swap_out(f->mm, f->at + P(SWAPPED));
}

static void family_contents(const struct family *f, struct mm_struct *mm)
{
	tm_use(mm);
	for (u64 i = 0; i < PAGES; i++)
		if (pte_present(tm_pte(mm, f->at + P(i))) ||
		    pte_swap(tm_pte(mm, f->at + P(i))))
			CHECK_EQ(tm_load(f->at + P(i)), f->stamp + i);
	tm_use(f->mm);
}

static void family_end(struct family *f)
{
	family_contents(f, f->root);
	family_contents(f, f->parent);
	tm_use(NULL);
	mm_check(f->mm);
	mm_check(f->parent);
	mm_check(f->root);
	mm_put(f->root);
	mm_put(f->parent);
	mm_put(f->mm);
}

/* Failures of the operation under test; its own checks come after them. */
static u64 op_fired;

static void armed_end(void)
{
	op_fired += fail_disarm().fired;
}

/* ---- the operations: 0, or the error; undone after success
 * ------------------- */

static int op_create(struct family *f)
{
	struct mm_struct *mm;
	int err = mm_create(&f->mm->layout, &mm);

	if (!err)
		mm_put(mm);
	return err;
}

static int op_fork(struct family *f)
{
	struct mm_struct *child = NULL;
	int err = mm_fork(f->mm, &child);

	CHECK((err == 0) == (child != NULL));
	if (!err)
		mm_put(child);
	return err;
}

static int op_mmap(struct family *f)
{
	s64 at = do_mmap(f->mm, 0x100000, P(3), PROT_EXEC, TM_ANON);

	if (at < 0)
		return (int)at;
	CHECK_EQ(at, 0x100000);
	CHECK_EQ(do_munmap(f->mm, (uva_t)at, P(3)), 0);
	return 0;
}

static int op_brk(struct family *f)
{
	uva_t old = f->mm->brk;

	if (do_brk(f->mm, old + P(5)) == old)
		return -ENOMEM;
	CHECK_EQ(do_brk(f->mm, old), old);
	return 0;
}

static int op_munmap(struct family *f)
{
	return do_munmap(f->mm, f->at + P(5), P(2));
}

static int op_mprotect(struct family *f)
{
	return do_mprotect(f->mm, f->at + P(2), P(3), PROT_READ);
}

static int op_madvise(struct family *f)
{
	int err = do_madvise(f->mm, f->at + P(2), P(3), MADV_DONTFORK);

	/* madvise(2): no memory to split is EAGAIN, ENOMEM is a hole. */
	CHECK(err == 0 || err == -EAGAIN);
	return err ? -ENOMEM : 0;
}

static int op_mremap(struct family *f)
{
	uva_t to = 0x7000000ff000;
	s64 got = do_mremap(f->mm, f->at + P(2), P(4), P(6),
			    MREMAP_MAYMOVE | MREMAP_FIXED, to);

	armed_end();
	if (got < 0)
		return (int)got;
	for (u64 i = 0; i < 4; i++)
		CHECK_EQ(tm_load(to + P(i)), f->stamp + 2 + i);
	CHECK_EQ(tm_load(to + P(5)), 0);
	return 0;
}

static int op_mremap_grow(struct family *f)
{
	s64 got = do_mremap(f->mm, f->at, P(PAGES), P(PAGES + 700),
			    MREMAP_MAYMOVE, 0);

	armed_end();
	if (got < 0)
		return (int)got;
	f->at = (uva_t)got;
	for (u64 i = 0; i < PAGES; i++)
		CHECK_EQ(tm_load(f->at + P(i)), f->stamp + i);
	/* Where the relatives have it, for the check at the end. */
	CHECK_EQ(do_munmap(f->mm, f->at, P(PAGES + 700)), 0);
	tm_use(f->parent);
	return 0;
}

/* One fault, seen from inside: the driver above would repeat it. */
static int fault_at(struct family *f, uva_t va, u32 flags)
{
	struct vm_area_struct *vma;
	vm_fault_t ret;

	mmap_read_lock(f->mm);
	vma = find_vma(f->mm, va);
	CHECK(vma_contains(vma, va));
	ret = handle_mm_fault(vma, va, flags);
	mmap_read_unlock(f->mm);
	CHECK((ret & ~VM_FAULT_MAJOR) == 0 || ret == VM_FAULT_OOM);
	return ret & VM_FAULT_OOM ? -ENOMEM : 0;
}

static int op_write_fault(struct family *f)
{
	uva_t va = 0x40000000;
	int err;

	if (!find_vma(f->mm, va) || find_vma(f->mm, va)->vm_start > va)
		CHECK_EQ(do_mmap(f->mm, va, P(1), TM_RW, TM_ANON | MAP_FIXED),
			 (s64)va);
	err = fault_at(f, va, FAULT_FLAG_WRITE);
	if (!err)
		CHECK(pte_write(tm_pte(f->mm, va)));
	return err;
}

static int op_read_fault(struct family *f)
{
	uva_t va = 0x40000000;
	int err;

	if (!find_vma(f->mm, va) || find_vma(f->mm, va)->vm_start > va)
		CHECK_EQ(do_mmap(f->mm, va, P(1), TM_RW, TM_ANON | MAP_FIXED),
			 (s64)va);
	err = fault_at(f, va, 0);
	if (!err)
		CHECK(pte_special(tm_pte(f->mm, va)));
	return err;
}

static int op_cow_fault(struct family *f)
{
	int err = fault_at(f, f->at + P(6), FAULT_FLAG_WRITE);

	if (!err)
		CHECK(pte_write(tm_pte(f->mm, f->at + P(6))));
	return err;
}

static int op_swap_fault(struct family *f)
{
	uva_t va = f->at + P(SWAPPED);
	int err;

	CHECK(pte_swap(tm_pte(f->mm, va)));
	err = fault_at(f, va, 0);
	if (!err)
		CHECK(pte_present(tm_pte(f->mm, va)));
	return err;
}

static int op_cache_create(struct family *f)
{
	struct kmem_cache *s = kmem_cache_create("test", 100, 0, 0, NULL);
	void *obj;

	(void)f;
	if (!s)
		return -ENOMEM;
	obj = kmem_cache_alloc(s, GFP_KERNEL);
	if (obj)
		kmem_cache_free(s, obj);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return obj ? 0 : -ENOMEM;
}

static int op_kmalloc(struct family *f)
{
	void *a = kmalloc(40000, GFP_KERNEL), *b = kmalloc(3000, GFP_KERNEL);
	int err = a && b ? 0 : -ENOMEM;

	(void)f;
	kfree(a);
	kfree(b);
	return err;
}

struct fail_case {
	const char *name;
	int (*op)(struct family *f);
};

static const struct fail_case cases[] = {
	{"mm_create", op_create},
	{"fork", op_fork},
	{"mmap", op_mmap},
	{"brk", op_brk},
	{"munmap", op_munmap},
	{"mprotect", op_mprotect},
	{"madvise", op_madvise},
	{"mremap move", op_mremap},
	{"mremap grow", op_mremap_grow},
	{"write fault", op_write_fault},
	{"read fault", op_read_fault},
	{"copy-on-write fault", op_cow_fault},
	{"swap-in fault", op_swap_fault},
	{"kmem_cache_create", op_cache_create},
	{"kmalloc", op_kmalloc},
};

/* ---- driving
 * ------------------------------------------------------------------- */

struct before {
	struct tm_maps maps;
	u64 committed, rss_and_swap;
};

static void note(const struct family *f, struct before *b)
{
	struct mm_usage u;

	tm_maps_get(f->mm, &b->maps);
	mm_usage_get(f->mm, &u);
	b->rss_and_swap = u.rss_anon + u.swap;
	b->committed = space_sys.committed;
}

/* One try with the N-th call failing; true when it failed. */
static bool try_nth(const struct fail_case *c, u64 n, bool keep)
{
	static struct before before, after;
	struct family f;
	int err;

	family_make(&f);
	/* What the operation itself prepares is not part of the comparison. */
	if (c->op == op_write_fault || c->op == op_read_fault)
		CHECK_EQ(do_mmap(f.mm, 0x40000000, P(1), TM_RW,
				 TM_ANON | MAP_FIXED),
			 0x40000000);
	/* Something in the way, so that growing is moving. */
	if (c->op == op_mremap_grow)
		CHECK(do_mmap(f.mm, f.at + P(PAGES), P(1), PROT_READ,
			      TM_ANON | MAP_FIXED) > 0);
	note(&f, &before);
	fail_arm_nth(FAIL_ANY, n, keep);
	fail_only_task(port_current());
	op_fired = 0;
	err = c->op(&f);
	armed_end();
	CHECK(err == 0 || err == -ENOMEM);
	CHECK(err == 0 || op_fired > 0);
	if (err) {
		note(&f, &after);
		CHECK(tm_maps_same(&before.maps, &after.maps));
		CHECK_EQ(after.committed, before.committed);
		CHECK_EQ(after.rss_and_swap, before.rss_and_swap);
		mm_check(f.mm);
		family_contents(&f, f.parent);
		if (c->op != op_swap_fault)
			family_contents(&f, f.mm);
		CHECK_EQ(c->op(&f), 0);
	}
	family_end(&f);
	return op_fired > 0;
}

static int fail_body(void *arg)
{
	const struct fail_case *c = arg;
	u64 n[2];

	for (int keep = 0; keep < 2; keep++) {
		for (n[keep] = 1;; n[keep]++) {
			snprintf(tm_context, sizeof(tm_context),
				 "%s, allocation %llu fails%s", c->name,
				 (unsigned long long)n[keep],
				 keep ? " and all later ones" : "");
			CHECK(n[keep] < 2000);
			if (!try_nth(c, n[keep], keep))
				break;
		}
	}
	/* Something must have failed, or the test tests nothing. */
	CHECK(n[0] > 1 && n[1] > 1);
	return 0;
}

static void each_operation(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		TM_RUN(fail_body, .arg = (void *)(uintptr_t)&cases[i],
		       .swap_pages = 512);
}

/* ---- swapon
 * -------------------------------------------------------------------- */

static int swapon_body(void *arg)
{
	struct port_bdev *disk = tm_swap_disk(20000);
	u64 n;

	(void)arg;
	for (int keep = 0; keep < 2; keep++) {
		for (n = 1;; n++) {
			struct fail_result r;
			int err;

			fail_arm_nth(FAIL_ANY, n, keep);
			fail_only_task(port_current());
			err = swapon(disk, 1);
			r = fail_disarm();
			CHECK(err == (r.fired ? -ENOMEM : 0));
			CHECK_EQ(get_nr_swap_pages(), err ? 0 : 19999);
			if (!err)
				break;
			tm_check_all();
		}
		CHECK(n > 5);
		swap_areas_release();
	}
	return 0;
}

static void swapon_fails(void **state)
{
	(void)state;
	TM_RUN(swapon_body);
}

/* ---- reclaim: no slot, no bio
 * ---------------------------------------------------- */

static int reclaim_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 pages = 64;
	uva_t at = tm_map(mm, pages);

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < pages; i++)
		tm_store(at + P(i), i + 1);
	for (u64 i = 0; i < pages; i++) {
		fail_arm_nth(FAIL_ALL, 1 + i % 6, i % 2);
		for (int tries = 0; tries < 4; tries++) {
			if (tm_reclaim_one(mm, at + P(i)))
				break;
			port_park(1000 * 1000);
		}
		fail_disarm();
		if (i % 3)
			CHECK_EQ(tm_load(at + P(i)), i + 1);
	}
	mm_check(mm);
	tm_check_all();
	for (u64 i = 0; i < pages; i++)
		tm_swap_out(mm, at + P(i));
	for (u64 i = 0; i < pages; i++)
		CHECK_EQ(tm_load(at + P(i)), i + 1);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void reclaim_fails(void **state)
{
	(void)state;
	TM_RUN(reclaim_body, .swap_pages = 512);
}

/* ---- at random, in a program
 * ------------------------------------------------------- */

/* Calls may fail or not; what is mapped must always have its contents. */
static int random_body(void *arg)
{
	struct prng *r = arg;
	struct mm_struct *mm = tm_mm();
	u64 pages = 600, fired = 0;
	uva_t at = tm_map(mm, pages);
	struct mm_struct *child;

	tm_use(mm);
	for (u64 i = 0; i < pages; i++)
		tm_store(at + P(i), i);
	for (int round = 0; round < 300; round++) {
		u64 from = prng_below(r, pages - 20);
		u64 n = prng_range(r, 1, 20);

		fail_arm_prob(FAIL_ALL, prng_range(r, 2, 20), prng_u64(r));
		switch (prng_below(r, 4)) {
		case 0:
			if (!do_mprotect(mm, at + P(from), P(n), PROT_READ)) {
				fired += fail_disarm().fired;
				CHECK_EQ(do_mprotect(mm, at, P(pages), TM_RW),
					 0);
			}
			break;
		case 1:
			if (!mm_fork(mm, &child)) {
				tm_store(at + P(from), from);
				mm_put(child);
			}
			break;
		case 2:
			tm_reclaim_one(mm, at + P(from));
			break;
		default:
			for (u64 i = from; i < from + n; i++)
				CHECK_EQ(tm_load(at + P(i)), i);
		}
		fired += fail_disarm().fired;
		tm_store(at + P(from), from);
	}
	for (u64 i = 0; i < pages; i++)
		CHECK_EQ(tm_load(at + P(i)), i);
	CHECK(fired > 50);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void random_failures(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 200 : 5);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct prng r;

		prng_seed(&r, seed + i);
		TM_RUN(random_body, .arg = &r, .seed = seed + i,
		       .mem = 8UL << 20, .swap_pages = 4096);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_operation),
		cmocka_unit_test(swapon_fails),
		cmocka_unit_test(reclaim_fails),
		cmocka_unit_test(random_failures),
	};

	return cmocka_run_group_tests_name("fail", tests, NULL, NULL);
}
