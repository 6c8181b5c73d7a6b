/* SPDX-License-Identifier: MIT */
/*
 * Mapped files against arrays of bytes: several processes with private and
 * shared mappings, read, write, truncate, punch hole, sync, fork, mremap,
 * mprotect, madvise, and memory that is too small for all of it.
 */
#include "sim_machine.h"

#include <mmkit/flatfile.h>

#include "base/prng.h"
#include "cache/filemap.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

#define FILES  2
#define FPAGES 24 /* of a file, at most */
#define PROCS  4
#define WPAGES 32 /* of the window that a process maps in */
#define WINDOW 0x40000000UL

struct mpage {
	bool mapped, shared, write, cow;
	u8 file;
	u32 pgoff;
	u8 bytes[PAGE_SIZE]; /* of a copy */
};

struct mproc {
	struct mm_struct *mm;
	struct mpage page[WPAGES];
};

struct mfile {
	struct file *file;
	struct port_bdev *disk;
	u64 size;
	u8 bytes[P(FPAGES)]; /* behind size: 0 */
};

struct model {
	struct prng rnd;
	struct super_block sb;
	struct mfile f[FILES];
	struct mproc *p[PROCS];
	u64 iters, sigbus, sigsegv, major, io_errors;
};

static u64 below(struct model *m, u64 n)
{
	return prng_below(&m->rnd, n);
}

/* ---- what a page of a process holds ----------------------------------------
 */

static bool within(const struct model *m, const struct mpage *pg)
{
	return P(pg->pgoff) < m->f[pg->file].size;
}

/* What touching PG for reading or writing ends in. */
static int expect_signal(const struct model *m, const struct mpage *pg,
			 bool write)
{
	if (!pg->mapped || (write && !pg->write))
		return MM_SIGSEGV;
	return pg->cow || within(m, pg) ? 0 : MM_SIGBUS;
}

static u8 *content(struct model *m, struct mpage *pg)
{
	return pg->cow ? pg->bytes : m->f[pg->file].bytes + P(pg->pgoff);
}

static void count_signal(struct model *m, int sig)
{
	m->sigbus += sig == MM_SIGBUS;
	m->sigsegv += sig == MM_SIGSEGV;
}

static void op_load(struct model *m, struct mproc *p)
{
	u64 i = below(m, WPAGES), at = below(m, PAGE_SIZE - 8);
	struct mpage *pg = &p->page[i];
	int want = expect_signal(m, pg, false);
	u64 got = 0;

	CHECK_EQ(sim_copy_from_user(&got, WINDOW + P(i) + at, 8), want);
	count_signal(m, want);
	if (!want)
		CHECK(!memcmp(&got, content(m, pg) + at, 8));
}

static void op_store(struct model *m, struct mproc *p)
{
	u64 i = below(m, WPAGES), at = below(m, PAGE_SIZE - 8);
	struct mpage *pg = &p->page[i];
	u64 v = prng_u64(&m->rnd), fpos = P(pg->pgoff) + at;
	int want = expect_signal(m, pg, true);

	/* What lies behind the end in the last page is nobody's. */
	if (!want && !pg->cow && fpos + 8 > m->f[pg->file].size)
		return;
	CHECK_EQ(sim_copy_to_user(WINDOW + P(i) + at, &v, 8), want);
	count_signal(m, want);
	if (want)
		return;
	if (!pg->shared && !pg->cow) {
		memcpy(pg->bytes, content(m, pg), PAGE_SIZE);
		pg->cow = true;
	}
	memcpy(content(m, pg) + at, &v, 8);
}

/* ---- calls of one process --------------------------------------------------
 */

static void op_mmap(struct model *m, struct mproc *p)
{
	u64 i = below(m, WPAGES), n = 1 + below(m, min(8UL, WPAGES - i));
	u32 pgoff = (u32)below(m, FPAGES - n + 1), f = (u32)below(m, FILES);
	bool shared = below(m, 2), write = below(m, 4) != 0;
	struct mm_mmap r = {
		.addr = WINDOW + P(i),
		.len = P(n),
		.prot = write ? PROT_READ | PROT_WRITE : PROT_READ,
		.flags = MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE) |
			 (below(m, 8) ? 0 : MAP_POPULATE),
		.file = m->f[f].file,
		.pgoff = pgoff,
	};

	CHECK_EQ(do_mmap_file(p->mm, &r), (s64)r.addr);
	for (u64 k = 0; k < n; k++) {
		struct mpage *pg = &p->page[i + k];

		pg->mapped = true;
		pg->shared = shared;
		pg->write = write;
		pg->cow = false;
		pg->file = (u8)f;
		pg->pgoff = pgoff + (u32)k;
		/* MAP_POPULATE writes to private memory: copies. */
		if ((r.flags & MAP_POPULATE) && write && !shared &&
		    within(m, pg)) {
			memcpy(pg->bytes, content(m, pg), PAGE_SIZE);
			pg->cow = true;
		} else if ((r.flags & MAP_POPULATE) && !within(m, pg)) {
			r.flags &= ~MAP_POPULATE; /* it stops there */
		}
	}
}

static void op_munmap(struct model *m, struct mproc *p)
{
	u64 i = below(m, WPAGES), n = 1 + below(m, min(6UL, WPAGES - i));

	CHECK_EQ(do_munmap(p->mm, WINDOW + P(i), P(n)), 0);
	for (u64 k = i; k < i + n; k++)
		p->page[k].mapped = p->page[k].cow = false;
}

/* All of [I, I + N) mapped? */
static bool all_mapped(const struct mproc *p, u64 i, u64 n)
{
	while (n--)
		if (!p->page[i + n].mapped)
			return false;
	return true;
}

static void op_mprotect(struct model *m, struct mproc *p)
{
	u64 i = below(m, WPAGES), n = 1 + below(m, min(6UL, WPAGES - i));
	bool write = below(m, 2), all = all_mapped(p, i, n);

	/* A hole ends it: what was done before stays, so do without. */
	if (!all)
		return;
	CHECK_EQ(do_mprotect(p->mm, WINDOW + P(i), P(n),
			     write ? PROT_READ | PROT_WRITE : PROT_READ),
		 0);
	for (u64 k = i; k < i + n; k++)
		p->page[k].write = write;
}

static void op_mremap(struct model *m, struct mproc *p)
{
	u64 n = 1 + below(m, 6), from = below(m, WPAGES - n + 1);
	u64 to = below(m, WPAGES - n + 1);

	if (!all_mapped(p, from, n) || (from < to + n && to < from + n))
		return;
	CHECK_EQ(do_mremap(p->mm, WINDOW + P(from), P(n), P(n),
			   MREMAP_MAYMOVE | MREMAP_FIXED, WINDOW + P(to)),
		 (s64)(WINDOW + P(to)));
	memcpy(&p->page[to], &p->page[from], n * sizeof(p->page[0]));
	for (u64 k = from; k < from + n; k++)
		p->page[k].mapped = p->page[k].cow = false;
}

static void op_madvise(struct model *m, struct mproc *p)
{
	static const int advice[] = {MADV_DONTNEED,  MADV_WILLNEED, MADV_COLD,
				     MADV_PAGEOUT,   MADV_RANDOM,   MADV_NORMAL,
				     MADV_SEQUENTIAL};
	u64 i = below(m, WPAGES), n = 1 + below(m, min(6UL, WPAGES - i));
	int a = advice[below(m, ARRAY_SIZE(advice))];

	CHECK_EQ(do_madvise(p->mm, WINDOW + P(i), P(n), a),
		 all_mapped(p, i, n) ? 0 : -ENOMEM);
	for (u64 k = i; a == MADV_DONTNEED && k < i + n; k++)
		p->page[k].cow = false;
}

static void op_msync(struct model *m, struct mproc *p)
{
	static const int how[] = {MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE};
	u64 i = below(m, WPAGES), n = 1 + below(m, min(6UL, WPAGES - i));

	CHECK_EQ(do_msync(p->mm, WINDOW + P(i), P(n), how[below(m, 3)]),
		 all_mapped(p, i, n) ? 0 : -ENOMEM);
}

/* ---- calls on files --------------------------------------------------------
 */

static u8 buf[P(4)];

static void op_read(struct model *m, struct mfile *f)
{
	u64 pos = below(m, P(FPAGES)), at = pos, n = 1 + below(m, sizeof(buf));
	u64 want = pos < f->size ? min(n, f->size - pos) : 0;

	CHECK_EQ(kernel_read(f->file, buf, n, &at), (s64)want);
	CHECK(!memcmp(buf, f->bytes + pos, want));
}

static void op_write(struct model *m, struct mfile *f)
{
	u64 pos = below(m, P(FPAGES)), at = pos, n = 1 + below(m, sizeof(buf));

	n = min(n, P(FPAGES) - pos);
	for (u64 i = 0; i < n; i++)
		buf[i] = (u8)prng_u64(&m->rnd);
	CHECK_EQ(kernel_write(f->file, buf, n, &at), (s64)n);
	memcpy(f->bytes + pos, buf, n);
	f->size = max(f->size, pos + n);
}

static void op_truncate(struct model *m, struct mfile *f)
{
	u64 size = below(m, P(FPAGES) + 1);

	CHECK_EQ(vfs_truncate(f->file->f_inode, size), 0);
	if (size < f->size)
		memset(f->bytes + size, 0, f->size - size);
	f->size = size;
	for (int i = 0; i < PROCS; i++) {
		struct mproc *p = m->p[i];

		for (u64 k = 0; p && k < WPAGES; k++)
			if (&m->f[p->page[k].file] == f &&
			    !within(m, &p->page[k]))
				p->page[k].cow = false;
	}
}

static void op_punch(struct model *m, struct mfile *f)
{
	u64 pos = below(m, P(FPAGES)), n = 1 + below(m, P(6)), end;

	CHECK_EQ(f->file->f_op->fallocate(
			 f->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 pos, n),
		 0);
	end = min(pos + n, f->size);
	if (pos < end)
		memset(f->bytes + pos, 0, end - pos);
}

/* The next read of the disk fails: the touch ends in SIGBUS, if it needs one;
 * the one after that is right. */
static void op_read_error(struct model *m, struct mproc *p, struct mfile *f)
{
	struct sim_disk_fault rule = {.reads = true, .error = -EIO};
	u64 i = below(m, WPAGES), v;
	struct mpage *pg = &p->page[i];
	int sig;

	if (&m->f[pg->file] != f || expect_signal(m, pg, false))
		return;
	sim_disk_fail(f->disk, &rule);
	sig = sim_copy_from_user(&v, WINDOW + P(i), 8);
	CHECK(sig == 0 || sig == MM_SIGBUS);
	m->io_errors += sig != 0;
	if (!sig)
		CHECK(!memcmp(&v, content(m, pg), 8));
	sim_disk_fail(f->disk, NULL);
	CHECK_EQ(sim_copy_from_user(&v, WINDOW + P(i), 8), 0);
	CHECK(!memcmp(&v, content(m, pg), 8));
}

/* ---- the world around ------------------------------------------------------
 */

static void op_fork(struct model *m, struct mproc *p)
{
	u64 slot = below(m, PROCS);
	struct mproc *c = m->p[slot];

	if (c == p)
		return;
	if (c) {
		mm_put(c->mm);
	} else {
		c = m->p[slot] = malloc(sizeof(*c));
		CHECK(c);
	}
	memcpy(c, p, sizeof(*c));
	CHECK_EQ(mm_fork(p->mm, &c->mm), 0);
}

static void op_pressure(struct model *m)
{
	static struct page *held[512];
	u32 n = 0, want = (u32)below(m, ARRAY_SIZE(held));

	while (n < want) {
		held[n] = alloc_pages(
			GFP_HIGHUSER | __GFP_NORETRY | __GFP_NOWARN, 0);
		if (!held[n])
			break;
		n++;
	}
	while (n)
		put_page(held[--n]);
}

static void check_all(struct model *m)
{
	for (int i = 0; i < PROCS; i++)
		if (m->p[i])
			mm_check(m->p[i]->mm);
	filemap_check();
}

static void op_world(struct model *m, struct mproc *p)
{
	struct mfile *f = &m->f[below(m, FILES)];

	switch (below(m, 8)) {
	case 0:
		op_fork(m, p);
		break;
	case 1:
	case 2:
		op_pressure(m);
		break;
	case 3:
		CHECK_EQ(vfs_fsync_range(f->file, 0, INT64_MAX, false), 0);
		break;
	case 4:
		(void)drop_pagecache();
		break;
	case 5:
		op_read_error(m, p, f);
		break;
	case 6:
		port_park(below(m, 20) * 1000 * 1000);
		break;
	default:
		check_all(m);
	}
}

static void op_file(struct model *m)
{
	struct mfile *f = &m->f[below(m, FILES)];

	switch (below(m, 8)) {
	case 0:
		op_truncate(m, f);
		break;
	case 1:
		op_punch(m, f);
		break;
	case 2:
	case 3:
	case 4:
		op_write(m, f);
		break;
	default:
		op_read(m, f);
	}
}

static void op_process(struct model *m, struct mproc *p)
{
	static void (*const ops[])(struct model * m, struct mproc * p) = {
		op_mmap,   op_mmap,    op_munmap, op_mprotect,
		op_mremap, op_madvise, op_msync,  op_madvise,
	};

	ops[below(m, ARRAY_SIZE(ops))](m, p);
}

static void step(struct model *m, u64 i)
{
	struct mproc *p = m->p[below(m, PROCS)];
	u64 what = below(m, 100);

	if (!p)
		return;
	snprintf(tm_context, sizeof(tm_context), "step %llu op %llu",
		 (unsigned long long)i, (unsigned long long)what);
	if (port_current()->mm != p->mm)
		tm_use(p->mm);
	if (what < 35)
		op_load(m, p);
	else if (what < 65)
		op_store(m, p);
	else if (what < 80)
		op_process(m, p);
	else if (what < 92)
		op_file(m);
	else
		op_world(m, p);
}

static void file_new(struct model *m, u32 i)
{
	struct mfile *f = &m->f[i];
	struct inode *inode;

	f->disk = tm_disk(FPAGES);
	CHECK_EQ(port_bdev_resize(f->disk, 0), 0);
	CHECK_EQ(flatfile_new(&m->sb, f->disk, i + 1, S_IFREG | 0644, &inode),
		 0);
	f->file = file_open(inode, FMODE_READ | FMODE_WRITE, 0, "/model");
	CHECK(f->file);
	iput(inode);
}

static int model_body(void *arg)
{
	struct model *m = arg;

	m->sb = (struct super_block){.s_dev = 0x801,
				     .s_id = "model",
				     .s_maxbytes = MAX_LFS_FILESIZE};
	for (u32 i = 0; i < FILES; i++)
		file_new(m, i);
	m->p[0] = calloc(1, sizeof(*m->p[0]));
	CHECK(m->p[0]);
	m->p[0]->mm = tm_mm();
	for (u64 i = 0; i < m->iters; i++)
		step(m, i);
	m->major = port_current()->maj_flt;
	check_all(m);
	tm_use(NULL);
	/* Whoever goes first: files outlive their last name's holder. */
	for (int i = 0; i < FILES; i++)
		fput(m->f[i].file);
	for (int i = 0; i < PROCS; i++) {
		if (m->p[i])
			mm_put(m->p[i]->mm);
		free(m->p[i]);
	}
	CHECK_EQ(cache_sys.fm.nr_inodes, 0);
	return 0;
}

static void model(void **state)
{
	u64 seed = test_env("SEED", 1), runs = tm_soak() ? 400 : 8;
	u64 bus = 0, segv = 0, major = 0, io = 0;

	(void)state;
	for (u64 i = 0; i < runs; i++) {
		struct model *m = calloc(1, sizeof(*m));

		CHECK(m);
		m->iters = test_iters(6000);
		prng_seed(&m->rnd, seed + i);
		TM_RUN(model_body, .arg = m, .seed = seed + i,
		       .mem = i % 2 ? 5UL << 20 : 16UL << 20,
		       .swap_pages = 4096, .cpus = 1 + (int)(i % 3),
		       .explore = i % 4 == 3);
		bus += m->sigbus;
		segv += m->sigsegv;
		major += m->major;
		io += m->io_errors;
		free(m);
	}
	fprintf(stderr,
		"file mappings: SEED=%llu, %llu runs, SIGBUS %llu, SIGSEGV "
		"%llu, major faults %llu, failed reads %llu\n",
		(unsigned long long)seed, (unsigned long long)runs,
		(unsigned long long)bus, (unsigned long long)segv,
		(unsigned long long)major, (unsigned long long)io);
	CHECK(bus && segv && major && io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
