/* SPDX-License-Identifier: MIT */
/* mlock(2) and its family: errors as Linux gives them, pages, reclaim, fork. */
#include "calls.h"

static u64 mlocked(void)
{
	return global_zone_page_state(NR_MLOCK);
}

static bool locked_page(struct mm_struct *mm, uva_t at)
{
	struct page *page = page_at(mm, at);

	return page && PageMlocked(page);
}

/* ---- errors
 * ---------------------------------------------------------------- */

/* Results that Linux 6.18 gave for the same calls, without capabilities. */
static int errors_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 8), top = (uva_t)-4096L;

	(void)arg;
	tm_use(mm);
	REFUSED(mm, do_mlock(mm, p, (u64)-1, 0), 0);
	REFUSED(mm, do_mlock(mm, p, (u64)-4096L, 0), -ENOMEM);
	REFUSED(mm, do_mlock(mm, p + 1, (u64)-5000L, 0), -ENOMEM);
	REFUSED(mm, do_mlock(mm, p, 0, 0), 0);
	REFUSED(mm, do_munlock(mm, p, (u64)-1), 0);
	REFUSED(mm, do_munlock(mm, p, (u64)-8192L), -EINVAL);
	REFUSED(mm, do_mlock(mm, top, 4096, 0), -EINVAL);
	REFUSED(mm, do_mlock(mm, top, 1, 0), -EINVAL);
	REFUSED(mm, do_mlock(mm, top, 0, 0), 0);
	REFUSED(mm, do_mlock(mm, 1, 0, 0), -ENOMEM);
	REFUSED(mm, do_mlock(mm, 0, 4096, 0), -ENOMEM);
	REFUSED(mm, do_mlock(mm, mm->layout.task_size, 4096, 0), -ENOMEM);
	REFUSED(mm, do_mlock(mm, p, 4096, 2), -EINVAL);
	REFUSED(mm, do_mlockall(mm, 0), -EINVAL);
	REFUSED(mm, do_mlockall(mm, MCL_ONFAULT), -EINVAL);
	REFUSED(mm, do_mlockall(mm, 8), -EINVAL);
	REFUSED(mm, do_mlockall(mm, 8 | MCL_CURRENT), -EINVAL);
	mm_put(mm);
	return 0;
}

static void errors(void **state)
{
	(void)state;
	TM_RUN(errors_body);
}

/* A hole: the part before it is locked; no access: locked, and told. */
static int holes_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 8);

	(void)arg;
	tm_use(mm);
	CHECK_EQ(do_munmap(mm, p + P(4), P(1)), 0);
	CHECK_EQ(do_mlock(mm, p, P(8), 0), -ENOMEM);
	CHECK_EQ(mm->locked_vm, 4);
	CHECK(!(vma_flags_at(mm, p + P(5)) & VM_LOCKED));
	/* Nothing was faulted in: that comes after all of it is locked. */
	CHECK_EQ(mlocked(), 0);
	CHECK_EQ(do_munlock(mm, p, P(8)), -ENOMEM);
	CHECK_EQ(mm->locked_vm, 0);
	CHECK_EQ(do_mprotect(mm, p + P(1), P(1), PROT_NONE), 0);
	CHECK_EQ(do_mlock(mm, p, P(3), 0), -ENOMEM);
	CHECK_EQ(mm->locked_vm, 3);
	CHECK_EQ(mlocked(), 1); /* the page before it */
	mm_check(mm);
	CHECK_EQ(do_munlock(mm, p, P(3)), 0);
	CHECK_EQ(mlocked(), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void holes(void **state)
{
	(void)state;
	TM_RUN(holes_body);
}

/* ---- limits
 * ---------------------------------------------------------------- */

static int limit_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 16);
	s64 at;

	(void)arg;
	tm_use(mm);
	mm->rlimit_memlock = P(4) + 100;
	REFUSED(mm, do_mlock(mm, p, P(5), 0), -ENOMEM);
	CHECK_EQ(do_mlock(mm, p, P(4), 0), 0);
	/* What is locked already costs nothing. */
	CHECK_EQ(do_mlock(mm, p + P(1), P(3), 0), 0);
	REFUSED(mm, do_mlock(mm, p + P(3), P(2), 0), -ENOMEM);
	REFUSED(mm, do_mmap(mm, 0, P(1), TM_RW, TM_ANON | MAP_LOCKED), -EAGAIN);
	REFUSED(mm, do_mlockall(mm, MCL_CURRENT), -ENOMEM);
	/* The future is not counted, but binds mmap and brk. */
	CHECK_EQ(do_mlockall(mm, MCL_FUTURE), 0);
	REFUSED(mm, do_mmap(mm, 0, P(1), PROT_READ, TM_ANON), -EAGAIN);
	CHECK_EQ(do_brk(mm, mm->brk + P(1)), mm->brk);
	CHECK_EQ(do_munlockall(mm), 0);
	CHECK_EQ(mm->locked_vm, 0);
	CHECK_EQ(mm->def_flags, 0);
	at = do_mmap(mm, 0, P(4), TM_RW, TM_ANON | MAP_LOCKED);
	CHECK(at > 0);
	CHECK_EQ(mm->locked_vm, 4);
	CHECK_EQ(mlocked(), 4);
	/* mremap: no more than the limit either. */
	REFUSED(mm, do_mremap(mm, (uva_t)at, P(4), P(6), MREMAP_MAYMOVE, 0),
		-EAGAIN);
	port_current()->caps = MM_CAP_IPC_LOCK;
	CHECK_EQ(do_mlock(mm, p, P(16), 0), 0);
	CHECK_EQ(mm->locked_vm, 20);
	port_current()->caps = 0;
	CHECK_EQ(do_munlockall(mm), 0);
	mm->rlimit_memlock = 0;
	REFUSED(mm, do_mlock(mm, p, P(1), 0), -EPERM);
	REFUSED(mm, do_mlockall(mm, MCL_FUTURE), -EPERM);
	REFUSED(mm, do_mmap(mm, 0, P(1), TM_RW, TM_ANON | MAP_LOCKED), -EPERM);
	CHECK_EQ(do_munlock(mm, p, P(1)), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void limits(void **state)
{
	(void)state;
	TM_RUN(limit_body);
}

/* ---- pages
 * ----------------------------------------------------------------- */

static int pages_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 8), q;
	u64 before = sum_vm_event(UNEVICTABLE_PGMLOCKED);

	(void)arg;
	tm_use(mm);
	tm_store(p, 11);
	tm_load(p + P(1)); /* the zero page: mlock breaks it off */
	CHECK_EQ(do_mlock(mm, p, P(4), 0), 0);
	for (u64 i = 0; i < 4; i++)
		CHECK(locked_page(mm, p + P(i)));
	CHECK(!page_at(mm, p + P(4)));
	CHECK_EQ(mlocked(), 4);
	CHECK_EQ(sum_vm_event(UNEVICTABLE_PGMLOCKED), before + 4);
	lru_add_drain_all();
	CHECK_EQ(global_node_page_state(NR_UNEVICTABLE), 4);
	CHECK_EQ(tm_load(p), 11);
	/* Split and merge. */
	CHECK_EQ(mm->map_count, 2);
	CHECK_EQ(do_munlock(mm, p + P(1), P(1)), 0);
	CHECK_EQ(mm->map_count, 4);
	CHECK(!locked_page(mm, p + P(1)));
	lru_add_drain_all();
	CHECK_EQ(global_node_page_state(NR_UNEVICTABLE), 3);
	CHECK_EQ(sum_vm_event(UNEVICTABLE_PGMUNLOCKED), 1);
	CHECK_EQ(do_munlock(mm, p, P(8)), 0);
	CHECK_EQ(mm->map_count, 1);
	CHECK_EQ(mlocked(), 0);
	/* On fault: what is there now, and what comes. */
	CHECK_EQ(do_mlock(mm, p, P(8), MLOCK_ONFAULT), 0);
	CHECK_EQ(mlocked(), 4);
	CHECK(!page_at(mm, p + P(6)));
	tm_store(p + P(6), 5);
	CHECK(locked_page(mm, p + P(6)));
	CHECK_EQ(mlocked(), 5);
	CHECK_EQ(mm->locked_vm, 8);
	/* The other kind of lock over it: the rest comes in. */
	CHECK_EQ(do_mlock(mm, p, P(8), 0), 0);
	CHECK_EQ(mlocked(), 8);
	/* Move, protect, unmap: the lock goes along and ends with the page. */
	q = (uva_t)do_mremap(mm, p + P(4), P(4), P(6), MREMAP_MAYMOVE, 0);
	CHECK_EQ(mlocked(), 10);
	CHECK_EQ(mm->locked_vm, 10);
	CHECK_EQ(tm_load(q + P(2)), 5);
	CHECK_EQ(do_mprotect(mm, q, P(2), PROT_READ), 0);
	mm_check(mm);
	CHECK_EQ(do_munmap(mm, q, P(3)), 0);
	CHECK_EQ(mlocked(), 7);
	CHECK_EQ(do_madvise(mm, p, P(1), MADV_DONTNEED), -EINVAL);
	CHECK_EQ(mlocked(), 7);
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(mlocked(), 0);
	return 0;
}

static void pages(void **state)
{
	(void)state;
	TM_RUN(pages_body);
}

static int future_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	uva_t p = tm_map(mm, 2), brk = mm->brk;
	s64 at;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(do_mlockall(mm, MCL_FUTURE), 0);
	CHECK(!(vma_flags_at(mm, p) & VM_LOCKED));
	at = do_mmap(mm, 0, P(3), TM_RW, TM_ANON);
	CHECK(at > 0);
	CHECK_EQ(mlocked(), 3);
	CHECK_EQ(do_brk(mm, brk + P(2)), brk + P(2));
	CHECK_EQ(mlocked(), 5);
	CHECK_EQ(do_mlockall(mm, MCL_CURRENT | MCL_ONFAULT), 0);
	/* Without MCL_FUTURE there is no future any more. */
	CHECK_EQ(mm->def_flags, 0);
	CHECK(vma_flags_at(mm, p) & VM_LOCKONFAULT);
	CHECK_EQ(mlocked(), 5);
	CHECK_EQ(do_mlockall(mm, MCL_FUTURE | MCL_ONFAULT), 0);
	at = do_mmap(mm, 0, P(3), PROT_READ, TM_ANON);
	CHECK(vma_flags_at(mm, (uva_t)at) & VM_LOCKONFAULT);
	CHECK_EQ(mlocked(), 5);
	/* fork(2): the child has no locks, nor the future. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(child->locked_vm, 0);
	CHECK_EQ(child->def_flags, 0);
	CHECK_EQ(mlocked(), 5);
	mm_check(child);
	CHECK_EQ(do_munlockall(mm), 0);
	CHECK_EQ(mlocked(), 0);
	mm_check(mm);
	mm_put(child);
	mm_put(mm);
	return 0;
}

static void future(void **state)
{
	(void)state;
	TM_RUN(future_body);
}

/* Two processes lock one page: the second to let go unlocks it. */
static int shared_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	uva_t p = tm_map(mm, 2);
	struct page *page;

	(void)arg;
	tm_use(mm);
	tm_store(p, 1);
	tm_store(p + P(1), 2);
	CHECK_EQ(mm_fork(mm, &child), 0);
	page = page_at(mm, p);
	/* On fault: an ordinary lock would break the sharing. */
	CHECK_EQ(do_mlock(mm, p, P(2), MLOCK_ONFAULT), 0);
	CHECK_EQ(do_mlock(child, p, P(2), MLOCK_ONFAULT), 0);
	CHECK_EQ(page_mapcount(page), 2);
	CHECK_EQ(mlocked(), 2);
	CHECK_EQ(do_munlock(mm, p, P(1)), 0);
	CHECK(PageMlocked(page));
	CHECK_EQ(mlocked(), 2);
	/* A copy for the one who writes is locked as well. */
	tm_store(p + P(1), 3);
	CHECK_EQ(mlocked(), 3);
	CHECK(locked_page(mm, p + P(1)) && locked_page(child, p + P(1)));
	CHECK_EQ(do_munmap(child, p, P(1)), 0);
	CHECK(!PageMlocked(page));
	CHECK_EQ(mlocked(), 2);
	mm_check(mm);
	mm_check(child);
	mm_put(child);
	CHECK_EQ(mlocked(), 1);
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(mlocked(), 0);
	return 0;
}

static void shared_page(void **state)
{
	(void)state;
	TM_RUN(shared_body);
}

/* ---- reclaim
 * --------------------------------------------------------------- */

/* Reclaim that isolated the page before it was locked. */
static int reclaim_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 4);
	u64 rescued;

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < 4; i++)
		tm_store(p + P(i), 100 + i);
	tm_swap_out(mm, p + P(3));
	CHECK_EQ(do_mlock(mm, p, P(2), 0), 0);
	for (int i = 0; i < 20; i++) {
		CHECK(!tm_reclaim_one(mm, p));
		CHECK(locked_page(mm, p));
	}
	tm_swap_out(mm, p + P(2)); /* not locked */
	/* Locking brings pages back from swap. */
	CHECK_EQ(do_mlock(mm, p, P(4), 0), 0);
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), 0);
	CHECK_EQ(mlocked(), 4);
	for (u64 i = 0; i < 4; i++)
		CHECK_EQ(tm_load(p + P(i)), 100 + i);
	mm_check(mm);
	lru_add_drain_all();
	CHECK_EQ(global_node_page_state(NR_UNEVICTABLE), 4);
	rescued = sum_vm_event(UNEVICTABLE_PGMUNLOCKED);
	CHECK_EQ(do_munlockall(mm), 0);
	lru_add_drain_all();
	CHECK_EQ(sum_vm_event(UNEVICTABLE_PGMUNLOCKED), rescued + 4);
	CHECK_EQ(global_node_page_state(NR_UNEVICTABLE), 0);
	tm_swap_out(mm, p);
	CHECK_EQ(tm_load(p), 100);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void reclaim(void **state)
{
	(void)state;
	TM_RUN(reclaim_body, .swap_pages = 256);
}

/* A page that lost its mark, as by a race: the reverse map finds the lock,
 * refuses, and the page is culled. */
static int culled_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 1);
	struct page *page;
	u64 culled;

	(void)arg;
	tm_use(mm);
	tm_store(p, 7);
	page = page_at(mm, p);
	lru_add_drain_all();
	mmap_write_lock(mm);
	vm_stat_account(mm, VM_READ, -1);
	vm_stat_account(mm, VM_READ | VM_LOCKED, 1);
	find_vma(mm, p)->vm_flags |= VM_LOCKED;
	mmap_write_unlock(mm);
	culled = sum_vm_event(UNEVICTABLE_PGCULLED);
	for (int i = 0; i < 8 && !PageMlocked(page); i++)
		CHECK(!tm_reclaim_one(mm, p));
	CHECK(PageMlocked(page));
	lru_add_drain_all();
	CHECK(PageLRU(page) && PageUnevictable(page));
	CHECK_EQ(sum_vm_event(UNEVICTABLE_PGCULLED), culled + 1);
	CHECK_EQ(mlocked(), 1);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void culled(void **state)
{
	(void)state;
	TM_RUN(culled_body, .swap_pages = 256);
}

/* Much more than fits: what is locked stays, the rest is swapped. */
static int pressure_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 256), q = tm_map(mm, 3000);

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < 256; i++)
		tm_store(p + P(i), i);
	CHECK_EQ(do_mlock(mm, p, P(256), 0), 0);
	for (u64 round = 0; round < 2; round++) {
		for (u64 i = 0; i < 3000; i++)
			tm_store(q + P(i), i);
		for (u64 i = 0; i < 256; i++)
			CHECK(locked_page(mm, p + P(i)));
	}
	CHECK(mm_counter_get(mm, MM_SWAPENTS) > 0);
	CHECK_EQ(mlocked(), 256);
	for (u64 i = 0; i < 256; i++)
		CHECK_EQ(tm_load(p + P(i)), i);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void pressure(void **state)
{
	(void)state;
	TM_RUN(pressure_body, .mem = 8UL << 20, .swap_pages = 4096);
}

/* ---- a model
 * --------------------------------------------------------------- */

#define MODEL_PAGES 24u
enum { HOLE, OPEN, LOCK, ONFAULT };

struct model {
	u8 kind[MODEL_PAGES];
	bool there[MODEL_PAGES];
};

static int model_lock(struct model *m, u32 at, u32 len, u8 kind)
{
	for (u32 i = at; i < at + len; i++) {
		if (m->kind[i] == HOLE)
			return -ENOMEM;
		m->kind[i] = kind;
	}
	for (u32 i = at; i < at + len; i++)
		m->there[i] |= kind == LOCK;
	return 0;
}

static void model_step(struct prng *r, struct model *m, struct mm_struct *mm,
		       uva_t base)
{
	u32 at = (u32)prng_below(r, MODEL_PAGES);
	u32 len = (u32)prng_range(r, 1, MODEL_PAGES - at);
	uva_t va = base + P(at);

	switch (prng_below(r, 7)) {
	case 0:
		CHECK_EQ(do_munmap(mm, va, P(len)), 0);
		memset(m->kind + at, HOLE, len);
		memset(m->there + at, 0, len);
		break;
	case 1:
		CHECK_EQ(do_mmap(mm, va, P(len), TM_RW, TM_ANON | MAP_FIXED),
			 (s64)va);
		memset(m->kind + at, OPEN, len);
		memset(m->there + at, 0, len);
		break;
	case 2:
		CHECK_EQ(do_mlock(mm, va, P(len), 0),
			 model_lock(m, at, len, LOCK));
		break;
	case 3:
		CHECK_EQ(do_mlock(mm, va, P(len), MLOCK_ONFAULT),
			 model_lock(m, at, len, ONFAULT));
		break;
	case 4:
		CHECK_EQ(do_munlock(mm, va, P(len)),
			 model_lock(m, at, len, OPEN));
		break;
	case 5:
		CHECK_EQ(do_mlockall(mm, MCL_CURRENT), 0);
		for (u32 i = 0; i < MODEL_PAGES; i++) {
			m->there[i] = m->kind[i] != HOLE;
			m->kind[i] = m->kind[i] ? LOCK : HOLE;
		}
		break;
	default:
		if (m->kind[at] == HOLE)
			break;
		tm_store(va, at);
		m->there[at] = true;
	}
}

static void model_compare(const struct model *m, struct mm_struct *mm,
			  uva_t base)
{
	u64 marked = 0, locked = 0;

	for (u32 i = 0; i < MODEL_PAGES; i++) {
		u64 f = vma_flags_at(mm, base + P(i));

		CHECK_EQ(f != 0, m->kind[i] != HOLE);
		CHECK_EQ((f & VM_LOCKED) != 0, m->kind[i] >= LOCK);
		CHECK_EQ((f & VM_LOCKONFAULT) != 0, m->kind[i] == ONFAULT);
		CHECK_EQ(page_at(mm, base + P(i)) != NULL, m->there[i]);
		locked += m->kind[i] >= LOCK;
		marked += m->kind[i] >= LOCK && m->there[i];
	}
	CHECK_EQ(mm->locked_vm, locked);
	CHECK_EQ(mlocked(), marked);
	mm_check(mm);
}

static int model_body(void *arg)
{
	u64 seed = *(u64 *)arg, n = test_iters(tm_soak() ? 2000 : 40);
	uva_t base = 0x10000000;
	struct prng r;

	for (u64 i = 0; i < n; i++) {
		struct mm_struct *mm = tm_mm();
		struct model m = {0};

		tm.cfg.seed = seed + i;
		prng_seed(&r, seed + i);
		tm_use(mm);
		for (int step = 0; step < 60; step++) {
			model_step(&r, &m, mm, base);
			model_compare(&m, mm, base);
		}
		tm_use(NULL);
		mm_put(mm);
		CHECK_EQ(mlocked(), 0);
	}
	return 0;
}

static void model(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	TM_RUN(model_body, .arg = &seed, .seed = seed);
}

/* ---- failures
 * -------------------------------------------------------------- */

static uva_t fail_at;

static struct mm_struct *fail_setup(void)
{
	struct mm_struct *mm = tm_mm();

	fail_at = tm_map(mm, 6);
	return mm;
}

static int op_mlock(struct mm_struct *mm)
{
	int err = do_mlock(mm, fail_at + P(1), P(3), 0);

	CHECK(err == 0 || err == -ENOMEM || err == -EAGAIN);
	return err;
}

static int op_mlock_onfault(struct mm_struct *mm)
{
	int err = do_mlock(mm, fail_at + P(1), P(3), MLOCK_ONFAULT);

	CHECK(err == 0 || err == -ENOMEM);
	return err;
}

static int op_mmap_locked(struct mm_struct *mm)
{
	s64 at = do_mmap(mm, 0x10000000, P(3), PROT_READ, TM_ANON | MAP_LOCKED);

	return at < 0 ? (int)at : 0;
}

static int failures_body(void *arg)
{
	(void)arg;
	/* After the mappings are locked, pages may be missing: EAGAIN. */
	fail_each(&(struct fail_case){fail_setup, op_mlock, true, 8});
	fail_each(&(struct fail_case){fail_setup, op_mlock_onfault, false, 4});
	fail_each(&(struct fail_case){fail_setup, op_mmap_locked, false, 2});
	return 0;
}

static void failures(void **state)
{
	(void)state;
	TM_RUN(failures_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors),   cmocka_unit_test(holes),
		cmocka_unit_test(limits),   cmocka_unit_test(pages),
		cmocka_unit_test(future),   cmocka_unit_test(shared_page),
		cmocka_unit_test(reclaim),  cmocka_unit_test(culled),
		cmocka_unit_test(pressure), cmocka_unit_test(model),
		cmocka_unit_test(failures),
	};

	return cmocka_run_group_tests_name("mlock", tests, NULL, NULL);
}
