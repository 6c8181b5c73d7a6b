/* SPDX-License-Identifier: MIT */
/*
 * Files in memory, mapped: shared anonymous memory, memfd and seals, swap and
 * truncation under a mapping; several processes against byte arrays.
 */
#include "shmem_machine.h"

#include "base/fail.h"
#include "space/fault.h"

#define SHARED_ANON (MAP_SHARED | MAP_ANONYMOUS)

static s64 map_file(struct mm_struct *mm, struct file *f, u64 pages, int prot,
		    int flags)
{
	struct mm_mmap r = {0, P(pages), prot, flags, f, 0};

	return do_mmap_file(mm, &r);
}

static u64 counter(struct mm_struct *mm, enum mm_counter c)
{
	return mm_counter_get(mm, c);
}

static struct inode *inode_at(struct mm_struct *mm, uva_t at)
{
	return find_vma(mm, at)->vm_file->f_inode;
}

/* ---- shared anonymous memory -----------------------------------------------
 */

static int anon_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	struct inode *inode;
	s64 at;

	(void)arg;
	tm_use(mm);
	at = do_mmap(mm, 0, P(8), TM_RW, SHARED_ANON);
	CHECK(at > 0);
	CHECK_EQ(space_sys.committed, 8);
	CHECK_EQ(find_vma(mm, (uva_t)at)->vm_pgoff, 0);
	CHECK(!strcmp(find_vma(mm, (uva_t)at)->vm_file->f_path,
		      "/dev/zero (deleted)"));
	inode = inode_at(mm, (uva_t)at);
	CHECK_EQ(tm_load((uva_t)at), 0);
	tm_store((uva_t)at + P(1), 11);
	tm_store((uva_t)at + P(2), 22);
	CHECK_EQ(counter(mm, MM_SHMEMPAGES), 3);
	CHECK_EQ(counter(mm, MM_ANONPAGES), 0);
	CHECK_EQ(shmem_inode_blocks(inode), 3);
	/* A child shares it, and what it writes is seen. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(space_sys.committed, 8);
	tm_use(child);
	CHECK_EQ(tm_load((uva_t)at + P(1)), 11);
	tm_store((uva_t)at + P(1), 12);
	tm_store((uva_t)at + P(7), 77);
	tm_use(mm);
	CHECK_EQ(tm_load((uva_t)at + P(1)), 12);
	CHECK_EQ(tm_load((uva_t)at + P(7)), 77);
	/* To swap from both, and back. */
	sh_swap_out(inode, 1);
	CHECK(sh_swapped(inode, 1));
	CHECK(pte_none(tm_pte(mm, (uva_t)at + P(1))));
	CHECK(pte_none(tm_pte(child, (uva_t)at + P(1))));
	CHECK_EQ(counter(mm, MM_SWAPENTS), 0);
	CHECK_EQ(tm_load((uva_t)at + P(1)), 12);
	CHECK(port_current()->maj_flt > 0);
	tm_store((uva_t)at + P(1), 13);
	tm_use(child);
	CHECK_EQ(tm_load((uva_t)at + P(1)), 13);
	/* MADV_DONTNEED drops entries, not contents. */
	CHECK_EQ(do_madvise(child, (uva_t)at, P(8), MADV_DONTNEED), 0);
	CHECK_EQ(counter(child, MM_SHMEMPAGES), 0);
	CHECK_EQ(tm_load((uva_t)at + P(2)), 22);
	/* Part of it moves; pages go with their numbers. */
	CHECK(do_mremap(child, (uva_t)at + P(4), P(4), P(4),
			MREMAP_MAYMOVE | MREMAP_FIXED,
			0x10000000) == 0x10000000);
	CHECK_EQ(tm_load(0x10000000 + P(3)), 77);
	tm_use(mm);
	mm_check(mm);
	mm_check(child);
	mm_put(child);
	CHECK_EQ(tm_load((uva_t)at + P(7)), 77);
	shmem_check();
	filemap_check();
	sh_swap_out(inode, 2);
	lru_add_drain_all();
	tm_audit();
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(space_sys.committed, 0);
	CHECK_EQ(global_node_page_state(NR_SHMEM), 0);
	CHECK_EQ(global_node_page_state(NR_FILE_MAPPED), 0);
	return 0;
}

/* Promised as a whole, or page by page, or not at all. */
static int promise_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	s64 at;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(do_mmap(mm, 0, P(1UL << 31), TM_RW, SHARED_ANON), -ENOMEM);
	CHECK_EQ(mm->map_count, 0);
	at = do_mmap(mm, 0, P(1UL << 31), TM_RW, SHARED_ANON | MAP_NORESERVE);
	CHECK(at > 0);
	CHECK_EQ(space_sys.committed, 0);
	tm_store((uva_t)at + P(1UL << 20), 1);
	CHECK_EQ(space_sys.committed, 1);
	space_sys.overcommit_memory = 2;
	CHECK_EQ(do_mmap(mm, 0, P(1UL << 20), TM_RW,
			 SHARED_ANON | MAP_NORESERVE),
		 -ENOMEM);
	space_sys.overcommit_memory = 0;
	/* Two of them never melt. */
	CHECK(do_mmap(mm, 0x10000000, P(1), TM_RW, SHARED_ANON | MAP_FIXED) >
	      0);
	CHECK(do_mmap(mm, 0x10001000, P(1), TM_RW, SHARED_ANON | MAP_FIXED) >
	      0);
	CHECK_EQ(mm->map_count, 3);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void shared_anon(void **state)
{
	(void)state;
	TM_RUN(anon_body, .swap_pages = 64);
	TM_RUN(promise_body);
}

/* ---- memfd: size, holes, seals under mappings ------------------------------
 */

/* The signal that a load, a store at VA ends in; 0: none. */
static int touch(uva_t va, bool write)
{
	u64 v = 7;

	return write ? sim_copy_to_user(va, &v, sizeof(v))
		     : sim_copy_from_user(&v, va, sizeof(v));
}

static int size_body(void *arg)
{
	struct file *f = memfd_create_file("m", 0);
	struct mm_struct *mm = tm_mm();
	u64 v = 5;
	uva_t sh, priv;

	(void)arg;
	tm_use(mm);
	sh = (uva_t)map_file(mm, f, 4, TM_RW, MAP_SHARED);
	priv = (uva_t)map_file(mm, f, 4, TM_RW, MAP_PRIVATE);
	CHECK_EQ(touch(sh, false), MM_SIGBUS);
	CHECK_EQ(touch(priv, true), MM_SIGBUS);
	CHECK_EQ(shmem_truncate(f->f_inode, P(2) + 8), 0);
	CHECK_EQ(touch(sh + P(2) + 100, true), 0);
	CHECK_EQ(touch(sh + P(3), true), MM_SIGBUS);
	/* Mapping and calls agree. */
	tm_store(sh + P(1), 0x1111);
	CHECK_EQ(sh_read(f, &v, 8, P(1)), 8);
	CHECK_EQ(v, 0x1111);
	v = 0x2222;
	CHECK_EQ(sh_write(f, &v, 8, P(1)), 8);
	CHECK_EQ(tm_load(sh + P(1)), 0x2222);
	CHECK_EQ(tm_load(priv + P(1)), 0x2222);
	/* A private copy is nobody's business, until the file is cut. */
	tm_store(priv + P(1), 0x3333);
	CHECK_EQ(tm_load(sh + P(1)), 0x2222);
	CHECK_EQ(counter(mm, MM_ANONPAGES), 1);
	CHECK_EQ(vfs_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (s64)P(1), (s64)P(1)),
		 0);
	CHECK_EQ(tm_load(sh + P(1)), 0);
	CHECK_EQ(tm_load(priv + P(1)), 0x3333);
	/* What was stored behind the end is gone when the file grows. */
	CHECK_EQ(tm_load(sh + P(2) + 96) != 0, true);
	CHECK_EQ(shmem_truncate(f->f_inode, P(3)), 0);
	CHECK_EQ(tm_load(sh + P(2) + 96), 0);
	CHECK_EQ(shmem_truncate(f->f_inode, P(1)), 0);
	CHECK_EQ(touch(sh + P(1), false), MM_SIGBUS);
	CHECK_EQ(touch(priv + P(1), false), MM_SIGBUS);
	CHECK_EQ(counter(mm, MM_ANONPAGES), 0);
	mm_check(mm);
	fput(f);
	tm_store(sh, 9);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* The mount has no room: SIGBUS, as tmpfs says. */
static int full_body(void *arg)
{
	struct super_block *sb = sh_mount(1, 0);
	struct file *f = sh_file(sb, SH_RW);
	struct mm_struct *mm = tm_mm();
	uva_t at;

	(void)arg;
	CHECK_EQ(shmem_truncate(f->f_inode, P(2)), 0);
	tm_use(mm);
	at = (uva_t)map_file(mm, f, 2, TM_RW, MAP_SHARED);
	CHECK_EQ(touch(at, true), 0);
	CHECK_EQ(touch(at + P(1), false), MM_SIGBUS);
	CHECK_EQ(touch(at, true), 0);
	fput(f);
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static int seals_body(void *arg)
{
	struct file *f = memfd_create_file("s", MFD_ALLOW_SEALING), *ro;
	struct mm_struct *mm = tm_mm();
	s64 at, ro_at;

	(void)arg;
	ro = file_open(f->f_inode, FMODE_READ, 0, "ro");
	CHECK_EQ(shmem_truncate(f->f_inode, P(2)), 0);
	tm_use(mm);
	at = map_file(mm, f, 2, TM_RW, MAP_SHARED);
	CHECK(at > 0);
	tm_store((uva_t)at, 1);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_WRITE), -EBUSY);
	/* It stays in the way as long as it may become writable again. */
	CHECK_EQ(do_mprotect(mm, (uva_t)at, P(2), PROT_READ), 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_WRITE), -EBUSY);
	/* FUTURE_WRITE lets it write on, but nobody else. */
	CHECK_EQ(shmem_add_seals(f, F_SEAL_FUTURE_WRITE), 0);
	CHECK_EQ(do_mprotect(mm, (uva_t)at, P(2), TM_RW), 0);
	tm_store((uva_t)at, 2);
	CHECK_EQ(map_file(mm, f, 2, TM_RW, MAP_SHARED), -EPERM);
	ro_at = map_file(mm, f, 2, PROT_READ, MAP_SHARED);
	CHECK(ro_at > 0);
	CHECK_EQ(do_mprotect(mm, (uva_t)ro_at, P(2), TM_RW), -EACCES);
	CHECK_EQ(tm_load((uva_t)ro_at), 2);
	CHECK_EQ(do_munmap(mm, (uva_t)at, P(2)), 0);
	CHECK_EQ(do_munmap(mm, (uva_t)ro_at, P(2)), 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_WRITE), 0);
	CHECK_EQ(map_file(mm, f, 2, TM_RW, MAP_SHARED), -EPERM);
	/* Reading what is sealed is no harm, for as long as it lasts. */
	ro_at = map_file(mm, f, 2, PROT_READ, MAP_SHARED);
	CHECK(ro_at > 0);
	CHECK_EQ(do_mprotect(mm, (uva_t)ro_at, P(2), TM_RW), -EACCES);
	CHECK_EQ(tm_load((uva_t)ro_at), 2);
	CHECK_EQ(do_munmap(mm, (uva_t)ro_at, P(2)), 0);
	/* Private copies are free; so is reading what was opened for that. */
	at = map_file(mm, f, 2, TM_RW, MAP_PRIVATE);
	CHECK(at > 0);
	tm_store((uva_t)at, 3);
	ro_at = map_file(mm, ro, 2, PROT_READ, MAP_SHARED);
	CHECK(ro_at > 0);
	CHECK_EQ(tm_load((uva_t)ro_at), 2);
	CHECK_EQ(do_mprotect(mm, (uva_t)ro_at, P(2), TM_RW), -EACCES);
	shmem_check();
	fput(ro);
	fput(f);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void memfd(void **state)
{
	(void)state;
	TM_RUN(size_body);
	TM_RUN(full_body);
	TM_RUN(seals_body);
}

/* ---- the model: processes, one object, swap --------------------------------
 */

#define M_PAGES 16u
#define M_PROCS 4u

struct model {
	struct file *f;
	struct mm_struct *mm[M_PROCS];
	uva_t at[M_PROCS];
	u64 pages; /* of the file */
	u64 word[M_PAGES];
};

static void m_fork(struct model *m, struct prng *r)
{
	u64 from = prng_below(r, M_PROCS), to = prng_below(r, M_PROCS);

	if (from == to)
		return;
	tm_use(NULL);
	mm_put(m->mm[to]);
	CHECK_EQ(mm_fork(m->mm[from], &m->mm[to]), 0);
	m->at[to] = m->at[from];
}

static void m_move(struct model *m, u64 p, struct prng *r)
{
	uva_t to = 0x20000000 + P(64) * prng_below(r, 16);

	if (to != m->at[p])
		CHECK_EQ(do_mremap(m->mm[p], m->at[p], P(M_PAGES), P(M_PAGES),
				   MREMAP_MAYMOVE | MREMAP_FIXED, to),
			 (s64)to);
	m->at[p] = to;
}

static void m_resize(struct model *m, struct prng *r)
{
	u64 pages = prng_below(r, M_PAGES + 1);

	CHECK_EQ(shmem_truncate(m->f->f_inode, P(pages)), 0);
	for (u64 i = pages; i < M_PAGES; i++)
		m->word[i] = 0;
	m->pages = pages;
}

static void m_touch(struct model *m, u64 p, u64 page, struct prng *r)
{
	uva_t va = m->at[p] + P(page) + 8;
	bool write = prng_below(r, 2);
	u64 v = prng_u64(r);

	tm_use(m->mm[p]);
	if (page >= m->pages) {
		CHECK_EQ(touch(va, write), MM_SIGBUS);
	} else if (write) {
		tm_store(va, v);
		m->word[page] = v;
	} else {
		CHECK_EQ(tm_load(va), m->word[page]);
	}
}

static void m_step(struct model *m, struct prng *r)
{
	u64 p = prng_below(r, M_PROCS), page = prng_below(r, M_PAGES), v;

	switch (prng_below(r, 12)) {
	case 0:
		m_fork(m, r);
		break;
	case 1:
		m_move(m, p, r);
		break;
	case 2:
		m_resize(m, r);
		break;
	case 3:
		CHECK_EQ(vfs_fallocate(m->f,
				       FALLOC_FL_PUNCH_HOLE |
					       FALLOC_FL_KEEP_SIZE,
				       (s64)P(page), (s64)P(1)),
			 0);
		m->word[page] = 0;
		break;
	case 4:
	case 5:
		sh_swap_out(m->f->f_inode, page);
		break;
	case 6:
		v = prng_u64(r);
		CHECK_EQ(sh_write(m->f, &v, 8, P(page) + 8), 8);
		m->word[page] = v;
		if (page >= m->pages)
			CHECK_EQ(shmem_truncate(m->f->f_inode, P(page + 1)), 0);
		m->pages = max(m->pages, page + 1);
		break;
	default:
		m_touch(m, p, page, r);
	}
}

static int model_body(void *arg)
{
	struct model m = {.f = memfd_create_file("model", 0)};
	struct prng *r = arg;

	for (u32 p = 0; p < M_PROCS; p++) {
		m.mm[p] = tm_mm();
		m.at[p] = (uva_t)map_file(m.mm[p], m.f, M_PAGES, TM_RW,
					  MAP_SHARED);
	}
	for (u64 i = 0; i < 600; i++) {
		snprintf(tm_context, sizeof(tm_context), "step %llu",
			 (unsigned long long)i);
		m_step(&m, r);
		if (i % 50)
			continue;
		for (u32 p = 0; p < M_PROCS; p++)
			mm_check(m.mm[p]);
		shmem_check();
		filemap_check();
	}
	for (u64 page = 0; page < m.pages; page++) {
		u64 v = 0;

		CHECK_EQ(sh_read(m.f, &v, 8, P(page) + 8), 8);
		CHECK_EQ(v, m.word[page]);
	}
	tm_use(NULL);
	for (u32 p = 0; p < M_PROCS; p++)
		mm_put(m.mm[p]);
	fput(m.f);
	tm_context[0] = 0;
	return 0;
}

static void model(void **state)
{
	struct prng r;

	(void)state;
	test_seed(&r, "shmem mapped model");
	for (u64 i = 0; i < test_iters(6); i++)
		TM_RUN(model_body, .arg = &r, .swap_pages = 128,
		       .seed = test_env("SEED", 1) + i);
}

/* ---- every allocation fails ------------------------------------------------
 */

static int fail_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 fired = 0;

	(void)arg;
	tm_use(mm);
	for (u64 n = 1; n < 100; n++) {
		u64 committed = space_sys.committed;
		struct fail_result res;
		vm_fault_t ret = 0;
		s64 at;

		fail_arm_nth(FAIL_ALL, n / 2 + 1, n & 1);
		fail_only_task(port_current());
		at = do_mmap(mm, 0x10000000, P(4), TM_RW,
			     SHARED_ANON | MAP_FIXED);
		if (at > 0) {
			mmap_read_lock(mm);
			ret = handle_mm_fault(find_vma(mm, (uva_t)at),
					      (uva_t)at + P(2),
					      FAULT_FLAG_WRITE);
			mmap_read_unlock(mm);
		}
		res = fail_disarm();
		fired += res.fired;
		CHECK(at > 0 || (at == -ENOMEM && res.fired));
		CHECK(!(ret & VM_FAULT_ERROR) ||
		      (ret == VM_FAULT_OOM && res.fired));
		if (at > 0) {
			tm_store((uva_t)at + P(2), n);
			CHECK_EQ(tm_load((uva_t)at + P(2)), n);
			CHECK_EQ(do_munmap(mm, (uva_t)at, P(4)), 0);
		}
		CHECK_EQ(space_sys.committed, committed);
		CHECK_EQ(mm->map_count, 0);
		if (!res.fired)
			break;
	}
	CHECK(fired > 5);
	shmem_check();
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(fail_body);
}

/* ---- races -----------------------------------------------------------------
 */

#define R_PAGES 5u

struct race {
	struct file *f;
	struct mm_struct *mm;
	uva_t at;
	u64 seed;
};

/* Touches; words are page + 1 in the low byte, or 0. SIGBUS behind the end. */
static void race_touch(void *arg)
{
	struct race *r = arg;
	struct prng p;

	prng_seed(&p, r->seed + 1);
	mm_task_attach(port_current(), r->mm);
	for (int i = 0; i < 60; i++) {
		u64 page = prng_below(&p, R_PAGES),
		    v = (u64)i << 8 | (page + 1);
		uva_t va = r->at + P(page);
		int sig;

		if (prng_below(&p, 2)) {
			sig = sim_copy_to_user(va, &v, sizeof(v));
		} else {
			sig = sim_copy_from_user(&v, va, sizeof(v));
			if (!sig)
				CHECK(v == 0 || (v & 0xff) == page + 1);
		}
		CHECK(sig == 0 || sig == MM_SIGBUS);
	}
	mm_task_exit(port_current());
}

static void race_reclaim(void *arg)
{
	struct race *r = arg;
	struct prng p;

	prng_seed(&p, r->seed + 2);
	for (int i = 0; i < 80; i++) {
		if (!sh_try_swap_out(r->f->f_inode, prng_below(&p, R_PAGES)))
			port_park(20 * 1000);
		port_sched_point();
	}
}

static void race_cut(void *arg)
{
	struct race *r = arg;
	struct prng p;

	prng_seed(&p, r->seed + 3);
	for (int i = 0; i < 30; i++) {
		u64 page = prng_below(&p, R_PAGES);

		if (prng_below(&p, 2)) {
			CHECK_EQ(shmem_truncate(r->f->f_inode, P(page)), 0);
			CHECK(shmem_inode_blocks(r->f->f_inode) <= page);
			CHECK_EQ(shmem_truncate(r->f->f_inode, P(R_PAGES)), 0);
		} else {
			CHECK_EQ(vfs_fallocate(r->f,
					       FALLOC_FL_PUNCH_HOLE |
						       FALLOC_FL_KEEP_SIZE,
					       (s64)P(page), (s64)P(1)),
				 0);
		}
	}
}

static int race_body(void *arg)
{
	static void (*const fn[])(void *) = {race_touch, race_touch,
					     race_reclaim, race_cut};
	struct race r = {.f = memfd_create_file("race", 0),
			 .mm = tm_mm(),
			 .seed = tm.cfg.seed};
	struct port_thread *t[ARRAY_SIZE(fn)];

	(void)arg;
	CHECK_EQ(shmem_truncate(r.f->f_inode, P(R_PAGES)), 0);
	r.at = (uva_t)map_file(r.mm, r.f, R_PAGES, TM_RW, MAP_SHARED);
	for (size_t i = 0; i < ARRAY_SIZE(fn); i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "race",
					     (int)i % tm.cfg.cpus, fn[i], &r),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(fn); i++)
		port_thread_join(t[i]);
	mm_check(r.mm);
	shmem_check();
	filemap_check();
	mm_put(r.mm);
	fput(r.f);
	return 0;
}

static void races(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(60);

	(void)state;
	fprintf(stderr, "shmem mapped races: SEED=%llu\n",
		(unsigned long long)seed);
	for (u64 i = 0; i < n; i++)
		TM_RUN(race_body, .swap_pages = 64, .cpus = 3, .seed = seed + i,
		       .explore = true);
}

/* ---- MADV_WILLNEED ---------------------------------------------------------
 */

/* What a step may change, and by how much. */
struct reads {
	u64 pswpin, ra, maj, min;
};

static struct reads reads_now(void)
{
	const struct mm_task *task = port_current();

	return (struct reads){sum_vm_event(PSWPIN), sum_vm_event(SWAP_RA),
			      task->maj_flt, task->min_flt};
}

static void expect_reads(const struct reads *was, u64 pswpin, u64 maj, u64 min)
{
	struct reads now = reads_now();

	CHECK_EQ(now.pswpin - was->pswpin, pswpin);
	/* Who knows what he needs is no guess of the read-ahead. */
	CHECK_EQ(now.ra, was->ra);
	CHECK_EQ(now.maj - was->maj, maj);
	CHECK_EQ(now.min - was->min, min);
}

#define WN_PAGES 40u

/* A file's pages at AT are read early as far as they are in swap. */
static void willneed_file(struct mm_struct *mm, uva_t at, struct inode *inode)
{
	struct reads was;

	for (u64 i = 0; i < WN_PAGES; i++)
		if (i % 10 != 9)
			tm_store(at + P(i), 500 + i);
	for (u64 i = 0; i < WN_PAGES; i += 2)
		sh_swap_out(inode, i);
	was = reads_now();
	CHECK_EQ(do_madvise(mm, at + P(4), P(20), MADV_WILLNEED), 0);
	expect_reads(&was, 10, 0, 0);
	port_park(100 * 1000 * 1000);
	CHECK_EQ(do_madvise(mm, at + P(4), P(20), MADV_WILLNEED), 0);
	expect_reads(&was, 10, 0, 0);
	/* It waits in the swap cache; holes are still holes. */
	CHECK(sh_swapped(inode, 4) && sh_swapped(inode, 22));
	CHECK(!xa_load(&inode->i_mapping->i_pages, 9));
	for (u64 i = 4; i < 24; i += 2)
		CHECK_EQ(tm_load(at + P(i)), 500 + i);
	expect_reads(&was, 10, 0, 10);
	CHECK_EQ(tm_load(at), 500);
	CHECK_EQ(reads_now().maj - was.maj, 1);
}

static int willneed_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct file *f = memfd_create_file("wn", 0);
	struct reads was;
	uva_t at, own;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(shmem_truncate(f->f_inode, P(WN_PAGES)), 0);
	at = (uva_t)map_file(mm, f, WN_PAGES, TM_RW, MAP_SHARED);
	willneed_file(mm, at, f->f_inode);
	CHECK_EQ(do_munmap(mm, at, P(WN_PAGES)), 0);
	at = (uva_t)do_mmap(mm, 0, P(WN_PAGES), TM_RW, SHARED_ANON);
	willneed_file(mm, at, inode_at(mm, at));
	/* Private copies, some in swap; the file's own pages, too. */
	own = (uva_t)map_file(mm, f, WN_PAGES, TM_RW, MAP_PRIVATE);
	for (u64 i = 0; i < 8; i++)
		tm_store(own + P(i), 900 + i);
	for (u64 i = 0; i < 6; i++)
		tm_swap_out(mm, own + P(i));
	for (u64 i = 2; i < 5; i++)
		sh_swap_out(f->f_inode, i);
	was = reads_now();
	CHECK_EQ(do_madvise(mm, own, P(4), MADV_WILLNEED), 0);
	expect_reads(&was, 4 + 2, 0, 0);
	port_park(100 * 1000 * 1000);
	for (u64 i = 0; i < 4; i++)
		CHECK_EQ(tm_load(own + P(i)), 900 + i);
	expect_reads(&was, 6, 0, 4);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	return 0;
}

/* Swap that cannot be read, and no memory: advice is no order. */
static int willneed_fails_body(void *arg)
{
	struct sim_disk_fault rule = {.reads = true, .error = -EIO};
	struct file *f = memfd_create_file("wn", 0);
	struct mm_struct *mm = tm_mm();
	struct fail_result r;
	uva_t at;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(shmem_truncate(f->f_inode, P(8)), 0);
	at = (uva_t)map_file(mm, f, 8, TM_RW, MAP_SHARED);
	for (u64 i = 0; i < 8; i++)
		tm_store(at + P(i), i + 1);
	for (u64 n = 1;; n++) {
		for (u64 i = 0; i < 8; i++)
			sh_swap_out(f->f_inode, i);
		fail_arm_nth(FAIL_ALL, n, false);
		fail_only_task(port_current());
		CHECK_EQ(do_madvise(mm, at, P(8), MADV_WILLNEED), 0);
		r = fail_disarm();
		for (u64 i = 0; i < 8; i++)
			CHECK_EQ(tm_load(at + P(i)), i + 1);
		shmem_check();
		swap_check();
		if (!r.fired)
			break;
		CHECK(n < 200);
	}
	for (u64 i = 0; i < 8; i++)
		sh_swap_out(f->f_inode, i);
	sim_disk_fail(tm.disk, &rule);
	CHECK_EQ(do_madvise(mm, at, P(8), MADV_WILLNEED), 0);
	port_park(100 * 1000 * 1000);
	sim_disk_fail(tm.disk, NULL);
	/* Who needs it reads again. */
	for (u64 i = 0; i < 8; i++)
		if (touch(at + P(i), false))
			CHECK_EQ(touch(at + P(i), false), 0);
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(tm_load(at + P(i)), i + 1);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	return 0;
}

static void willneed(void **state)
{
	(void)state;
	TM_RUN(willneed_body, .swap_pages = 256);
	TM_RUN(willneed_fails_body, .swap_pages = 256);
}

/* ---- fallocate that is killed, or fails part way ---------------------------
 */

#define FA_PAGES 64u

struct falloc_race {
	struct file *f;
	struct mm_struct *mm;
	struct mm_task *victim;
	uva_t at;
	u64 used, kill_at; /* pages */
	bool by_read, done;
};

/* Uses one page that is being allocated, then kills who allocates. */
static void falloc_user(void *arg)
{
	struct falloc_race *r = arg;
	struct address_space *mapping = r->f->f_mapping;
	bool used = false;

	mm_task_attach(port_current(), r->mm);
	while (!READ_ONCE(r->done)) {
		u64 there = READ_ONCE(mapping->nrpages);

		if (!used && there > r->used) {
			if (r->by_read)
				CHECK_EQ(sh_byte(r->f, P(r->used)), 0);
			else
				tm_store(r->at + P(r->used), 4711);
			used = true;
		}
		if (used && there >= r->kill_at)
			WRITE_ONCE(r->victim->fatal_signal, MM_SIGKILL);
		port_park(1000);
	}
	CHECK(used);
	mm_task_exit(port_current());
}

static u64 pages_of(struct file *f)
{
	return shmem_inode_blocks(f->f_inode);
}

static int falloc_killed_body(void *arg)
{
	u64 mode = tm.cfg.seed % 2 ? FALLOC_FL_KEEP_SIZE : 0, err;
	struct falloc_race r = {.f = memfd_create_file("fa", 0),
				.mm = tm_mm(),
				.victim = port_current(),
				.used = 2 + tm.cfg.seed % 7,
				.by_read = tm.cfg.seed % 4 >= 2,
				.kill_at = 10 + tm.cfg.seed % 30};
	struct port_thread *t;
	u64 v = 33;

	(void)arg;
	CHECK_EQ(shmem_truncate(r.f->f_inode, P(FA_PAGES)), 0);
	r.at = (uva_t)map_file(r.mm, r.f, FA_PAGES, TM_RW, MAP_SHARED);
	CHECK_EQ(sh_write(r.f, &v, sizeof(v), P(1)), sizeof(v));
	CHECK_EQ(sim_thread_start_on(&t, "user", tm.cfg.cpus - 1, falloc_user,
				     &r),
		 0);
	err = (u64)vfs_fallocate(r.f, (u32)mode, 0, (s64)P(FA_PAGES + 16));
	WRITE_ONCE(r.done, true);
	port_thread_join(t);
	CHECK_EQ((s64)err, -EINTR);
	port_current()->fatal_signal = 0;
	/* Its own page, and the one that somebody uses; the rest went again. */
	CHECK_EQ(pages_of(r.f), 2);
	CHECK_EQ(r.f->f_inode->i_size, P(FA_PAGES));
	CHECK_EQ(r.f->f_mapping->nrpages, 2);
	CHECK(!xa_marked(&r.f->f_mapping->i_pages, SHMEM_TAG_FALLOC));
	CHECK_EQ(sh_read(r.f, &v, sizeof(v), P(1)), sizeof(v));
	CHECK_EQ(v, 33);
	CHECK_EQ(sh_read(r.f, &v, sizeof(v), P(r.used)), sizeof(v));
	CHECK_EQ(v, r.by_read ? 0 : 4711);
	shmem_check();
	CHECK_EQ(vfs_fallocate(r.f, 0, 0, (s64)P(FA_PAGES)), 0);
	CHECK_EQ(pages_of(r.f), FA_PAGES);
	mm_put(r.mm);
	fput(r.f);
	return 0;
}

/* Each allocation fails while it grows: the file is as before, size and
 * promise included; what was in swap or a hole is so or has come back. */
static int falloc_fails_body(void *arg)
{
	struct file *f = memfd_create_file("fa", 0);
	u64 v = 7, committed, fired = 0;

	(void)arg;
	CHECK_EQ(shmem_truncate(f->f_inode, P(4)), 0);
	CHECK_EQ(sh_write(f, &v, sizeof(v), P(2)), sizeof(v));
	committed = space_sys.committed;
	for (u64 n = 1;; n++) {
		struct fail_result res;
		int err;

		sh_swap_out(f->f_inode, 2);
		fail_arm_nth(FAIL_ALL, n, false);
		fail_only_task(port_current());
		err = vfs_fallocate(f, 0, 0, (s64)P(80) + 5);
		res = fail_disarm();
		fired += res.fired;
		CHECK_EQ(sh_read(f, &v, sizeof(v), P(2)), sizeof(v));
		CHECK_EQ(v, 7);
		CHECK(!xa_marked(&f->f_mapping->i_pages, SHMEM_TAG_FALLOC));
		shmem_check();
		if (!err) {
			CHECK_EQ(f->f_inode->i_size, P(80) + 5);
			CHECK_EQ(pages_of(f), 81);
			CHECK_EQ(shmem_truncate(f->f_inode, P(4)), 0);
			CHECK_EQ(vfs_fallocate(f,
					       FALLOC_FL_PUNCH_HOLE |
						       FALLOC_FL_KEEP_SIZE,
					       0, (s64)P(2)),
				 0);
			CHECK_EQ(vfs_fallocate(f,
					       FALLOC_FL_PUNCH_HOLE |
						       FALLOC_FL_KEEP_SIZE,
					       (s64)P(3), (s64)P(1)),
				 0);
		}
		CHECK(err == 0 || (err == -ENOMEM && res.fired));
		CHECK_EQ(f->f_inode->i_size, P(4));
		CHECK_EQ(pages_of(f), 1);
		CHECK_EQ(space_sys.committed, committed);
		if (!res.fired)
			break;
	}
	CHECK(fired > 80);
	fput(f);
	return 0;
}

static void fallocate_undone(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 13; seed++)
		TM_RUN(falloc_killed_body, .cpus = 2 + (int)(seed % 3),
		       .explore = seed % 2 == 0, .seed = seed);
	TM_RUN(falloc_fails_body, .swap_pages = 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_anon),
		cmocka_unit_test(memfd),
		cmocka_unit_test(model),
		cmocka_unit_test(failing),
		cmocka_unit_test(willneed),
		cmocka_unit_test(fallocate_undone),
		cmocka_unit_test(races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
