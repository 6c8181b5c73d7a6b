/* SPDX-License-Identifier: MIT */
/*
 * Files read into user memory and written from it, as read(2) and write(2) do:
 * memory that is absent, swapped, shared with a child, read-only or not there;
 * mappings of the file itself; random calls against byte arrays; while another
 * thread changes the space; failures.
 */
#include <mmkit/fs.h>
#include <mmkit/shmem.h>
#include <mmkit/uaccess.h>

#include "base/fail.h"
#include "calls.h"
#include "filemap_machine.h"
#include "sim.h"

static s64 user_read(struct file *f, u64 pos, uva_t to, u64 n)
{
	struct iov_iter iter;

	iov_iter_user(&iter, port_current()->mm, to, n);
	return vfs_iter_read(f, &iter, &pos);
}

static s64 user_write(struct file *f, u64 pos, uva_t from, u64 n)
{
	struct iov_iter iter;

	iov_iter_user(&iter, port_current()->mm, from, n);
	return vfs_iter_write(f, &iter, &pos);
}

/* By the kernel itself. */
static s64 file_read(struct file *f, void *to, u64 n, u64 pos)
{
	return kernel_read(f, to, n, &pos);
}

static s64 file_write(struct file *f, const void *from, u64 n, u64 pos)
{
	return kernel_write(f, from, n, &pos);
}

/* ---- random calls ----------------------------------------------------------
 */

#define AREA	   12u /* pages of user memory */
#define FILE_PAGES 10u
#define BASE	   0x40000000UL

enum page_state { HOLE, READ_ONLY, READ_WRITE };

static struct {
	struct prng *rng;
	struct mm_struct *mm;
	struct file *f;
	struct fm_inode *disk; /* NULL: a file in memory */
	u8 mem[AREA * PAGE_SIZE], file[FILE_PAGES * PAGE_SIZE];
	enum page_state page[AREA];
	u64 size;
	u64 cut, refused, moved; /* what came to pass */
} m;

static u8 buf[AREA * PAGE_SIZE];

/* Bytes of N at AT that are in pages of STATE at least. */
static u64 usable(u64 at, u64 n, enum page_state state)
{
	u64 done = 0;

	while (done < n && (at + done) / PAGE_SIZE < AREA &&
	       m.page[(at + done) / PAGE_SIZE] >= state)
		done += min(n - done,
			    PAGE_SIZE - ((at + done) & (PAGE_SIZE - 1)));
	return done;
}

static s64 expected(u64 want, u64 can)
{
	m.cut += can && can < want;
	m.refused += want && !can;
	m.moved += can;
	return want && !can ? -EFAULT : (s64)can;
}

static void op_write(void)
{
	u64 at = prng_below(m.rng, (u32)P(AREA));
	u64 pos = prng_below(m.rng, (u32)P(FILE_PAGES));
	u64 n = prng_below(m.rng, prng_below(m.rng, 4) ? 6000u : 30000u);
	u64 can;

	n = min(n, P(FILE_PAGES) - pos);
	can = usable(at, n, READ_ONLY);
	CHECK_EQ(user_write(m.f, pos, BASE + at, n), expected(n, can));
	memcpy(m.file + pos, m.mem + at, can);
	if (can)
		m.size = max(m.size, pos + can);
}

static void op_read(void)
{
	u64 at = prng_below(m.rng, (u32)P(AREA));
	u64 pos = prng_below(m.rng, (u32)P(FILE_PAGES));
	u64 n = prng_below(m.rng, prng_below(m.rng, 4) ? 6000u : 30000u);
	u64 want = pos < m.size ? min(n, m.size - pos) : 0;
	u64 can = usable(at, want, READ_WRITE);

	CHECK_EQ(user_read(m.f, pos, BASE + at, n), expected(want, can));
	memcpy(m.mem + at, m.file + pos, can);
}

static void op_page(void)
{
	u32 i = prng_below(m.rng, AREA);
	uva_t at = BASE + P(i);

	switch (prng_below(m.rng, 5)) {
	case 0:
		CHECK_EQ(do_munmap(m.mm, at, P(1)), 0);
		m.page[i] = HOLE;
		break;
	case 1:
		if (m.page[i] == HOLE)
			CHECK_EQ(do_mmap(m.mm, at, P(1), TM_RW,
					 TM_ANON | MAP_FIXED),
				 (s64)at);
		else
			CHECK_EQ(do_madvise(m.mm, at, P(1), MADV_DONTNEED), 0);
		memset(m.mem + P(i), 0, PAGE_SIZE);
		CHECK_EQ(do_mprotect(m.mm, at, P(1), TM_RW), 0);
		m.page[i] = READ_WRITE;
		break;
	case 2:
		if (m.page[i] == HOLE)
			break;
		CHECK_EQ(do_mprotect(m.mm, at, P(1), PROT_READ), 0);
		m.page[i] = READ_ONLY;
		break;
	case 3:
		if (page_at(m.mm, at) && page_mapcount(page_at(m.mm, at)) == 1)
			(void)tm_reclaim_one(m.mm, at);
		break;
	default:
		if (m.page[i] != READ_WRITE)
			break;
		memset(buf, (int)prng_below(m.rng, 256), PAGE_SIZE);
		CHECK_EQ(copy_to_user(m.mm, at, buf, PAGE_SIZE), 0);
		memcpy(m.mem + P(i), buf, PAGE_SIZE);
	}
}

static void check_all(void)
{
	for (u32 i = 0; i < AREA; i++) {
		if (m.page[i] == HOLE)
			continue;
		CHECK_EQ(copy_from_user(m.mm, buf, BASE + P(i), PAGE_SIZE), 0);
		CHECK(!memcmp(buf, m.mem + P(i), PAGE_SIZE));
	}
	CHECK_EQ(file_read(m.f, buf, P(FILE_PAGES), 0), (s64)m.size);
	CHECK(!memcmp(buf, m.file, m.size));
}

/* A fault with the mmap lock held waits for page locks: the checker of lock
 * orders knows then that nobody may do it the other way. */
static void learn_order(struct mm_struct *mm)
{
	s64 at = do_mmap(mm, 0, P(1), TM_RW, MAP_SHARED | MAP_ANONYMOUS);

	CHECK(at > 0);
	CHECK_EQ(copy_to_user(mm, (uva_t)at, "x", 1), 0);
	CHECK_EQ(do_munmap(mm, (uva_t)at, P(1)), 0);
}

static void model_begin(struct prng *rng)
{
	memset(&m, 0, sizeof(m));
	m.rng = rng;
	m.mm = tm_mm();
	tm_use(m.mm);
	CHECK_EQ(do_mmap(m.mm, BASE, P(AREA), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)BASE);
	for (u32 i = 0; i < AREA; i++)
		m.page[i] = READ_WRITE;
	if (prng_below(rng, 2)) {
		m.disk = fm_inode_new(FILE_PAGES);
		m.f = file_open(&m.disk->inode, FMODE_READ | FMODE_WRITE, 0,
				"/f");
		m.size = i_size_read(&m.disk->inode);
		CHECK_EQ(file_read(m.f, m.file, P(FILE_PAGES), 0), (s64)m.size);
	} else {
		m.f = memfd_create_file("f", 0);
	}
	CHECK(m.f && !IS_ERR(m.f));
	learn_order(m.mm);
}

static void model_end(void)
{
	fput(m.f);
	if (m.disk)
		fm_inode_drop(m.disk);
	tm_use(NULL);
	mm_put(m.mm);
}

static int model_body(void *arg)
{
	struct mm_struct *child;

	model_begin(arg);
	for (int i = 0; i < 400; i++) {
		u32 what = prng_below(m.rng, 16);

		if (what < 5)
			op_write();
		else if (what < 10)
			op_read();
		else
			op_page();
		if (prng_below(m.rng, 40) == 0) {
			CHECK_EQ(mm_fork(m.mm, &child), 0);
			if (prng_below(m.rng, 2))
				op_read();
			mm_put(child);
		}
		if (i % 16 == 0)
			check_all();
	}
	check_all();
	CHECK(m.cut && m.refused && m.moved);
	model_end();
	return 0;
}

static void model(void **state)
{
	u64 runs = test_iters(tm_soak() ? 400 : 12);
	struct prng rng;

	(void)state;
	test_seed(&rng, "user_io model");
	for (u64 i = 0; i < runs; i++)
		TM_RUN(model_body, .swap_pages = 512, .arg = &rng);
}

/* ---- the file's own mappings -----------------------------------------------
 */

/* From a page to itself and to others, shared and private, absent before. */
static int itself_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct file *f = memfd_create_file("f", 0);
	struct mm_mmap r = {BASE, P(4), TM_RW, MAP_SHARED | MAP_FIXED, f, 0};
	char text[16];

	(void)arg;
	tm_use(mm);
	CHECK_EQ(file_write(f, "0123456789", 10, 0), 10);
	CHECK_EQ(shmem_truncate(f->f_inode, P(4)), 0);
	CHECK_EQ(do_mmap_file(mm, &r), (s64)BASE);
	/* The page that is being written is the one that is read. */
	CHECK_EQ(user_write(f, 5, BASE, 5), 5);
	CHECK_EQ(copy_from_user(mm, text, BASE, 10), 0);
	CHECK(!memcmp(text, "0123401234", 10));
	CHECK_EQ(do_madvise(mm, BASE, P(4), MADV_DONTNEED), 0);
	CHECK_EQ(user_write(f, P(1) - 3, BASE, 6), 6);
	CHECK_EQ(user_read(f, P(1) - 3, BASE + P(2) - 4, 6), 6);
	CHECK_EQ(file_read(f, text, 6, P(2) - 4), 6);
	CHECK(!memcmp(text, "012340", 6));
	/* Private: the file stays as it is. */
	r.flags = MAP_PRIVATE | MAP_FIXED;
	CHECK_EQ(do_mmap_file(mm, &r), (s64)BASE);
	CHECK_EQ(user_read(f, 0, BASE + 2, 5), 5);
	CHECK_EQ(copy_from_user(mm, text, BASE, 10), 0);
	CHECK(!memcmp(text, "0101234234", 10));
	CHECK_EQ(file_read(f, text, 5, 0), 5);
	CHECK(!memcmp(text, "01234", 5));
	/* Behind the end of the file a mapping has nothing. */
	CHECK_EQ(shmem_truncate(f->f_inode, P(1)), 0);
	CHECK_EQ(user_write(f, 0, BASE + P(1) - 2, 8), 2);
	CHECK_EQ(user_write(f, 0, BASE + P(1), 8), -EFAULT);
	fput(f);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* Wild addresses, lengths, a stack that grows for it. */
static int wild_body(void *arg)
{
	static const uva_t wild[] = {
		0, 0x1000, 0x7fffffffffff, 0x800000000000, ~0UL - 4096, ~0UL};
	struct mm_struct *mm = tm_mm();
	struct file *f = memfd_create_file("f", 0);
	uva_t top = 0x50000000;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(file_write(f, "0123456789", 10, 0), 10);
	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		CHECK_EQ(user_read(f, 0, wild[i], 10), -EFAULT);
		CHECK_EQ(user_write(f, 0, wild[i], 10), -EFAULT);
		CHECK_EQ(user_read(f, 0, wild[i], 0), 0);
		CHECK_EQ(user_write(f, 0, wild[i], 0), 0);
		CHECK_EQ(user_read(f, 10, wild[i], 10), 0); /* at the end */
	}
	CHECK_EQ(i_size_read(f->f_inode), 10);
	CHECK_EQ(do_mmap(mm, top, P(1), TM_RW,
			 TM_ANON | MAP_FIXED | MAP_GROWSDOWN),
		 (s64)top);
	CHECK_EQ(user_read(f, 0, top - P(1) + 8, 10), 10);
	CHECK_EQ(find_vma(mm, top)->vm_start, top - P(1));
	fput(f);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void itself(void **state)
{
	(void)state;
	TM_RUN(itself_body);
	TM_RUN(wild_body);
}

/* ---- while the space changes -----------------------------------------------
 */

static struct {
	struct mm_struct *mm;
	bool stop;
} race;

/* Writers of the mmap lock, and memory that goes and comes. */
static void race_change(void *arg)
{
	(void)arg;
	mm_task_attach(port_current(), race.mm);
	for (u64 i = 0; !READ_ONCE(race.stop) || i < 20; i++) {
		uva_t at = BASE + P(4 + i % 4);

		CHECK_EQ(do_mmap(race.mm, at, P(1), TM_RW, TM_ANON | MAP_FIXED),
			 (s64)at);
		CHECK_EQ(do_mprotect(race.mm, BASE, P(2), PROT_READ), 0);
		CHECK_EQ(do_mprotect(race.mm, BASE, P(2), TM_RW), 0);
		CHECK_EQ(do_madvise(race.mm, BASE + P(2), P(2), MADV_PAGEOUT),
			 0);
	}
	mm_task_exit(port_current());
}

static int race_body(void *arg)
{
	struct file *f = memfd_create_file("f", 0);
	struct port_thread *t;
	static u8 want[P(3)];
	struct prng *rng = arg;

	race.mm = tm_mm();
	race.stop = false;
	tm_use(race.mm);
	CHECK_EQ(do_mmap(race.mm, BASE, P(8), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)BASE);
	CHECK_EQ(sim_thread_start_on(&t, "change", 1, race_change, NULL), 0);
	for (int i = 0; i < 30; i++) {
		u64 n = 1 + prng_below(rng, (u32)P(1)),
		    at = P(2) + prng_below(rng, (u32)P(1)) / 2;

		memset(want, i + 1, n);
		CHECK_EQ(file_write(f, want, n, 100), (s64)n);
		/* Third and fourth page: writable at all times. */
		CHECK_EQ(user_read(f, 100, BASE + at, n), (s64)n);
		CHECK_EQ(user_write(f, P(2) + 7, BASE + at, n), (s64)n);
		CHECK_EQ(file_read(f, buf, n, P(2) + 7), (s64)n);
		CHECK(!memcmp(buf, want, n));
	}
	WRITE_ONCE(race.stop, true);
	port_thread_join(t);
	mm_check(race.mm);
	fput(f);
	tm_use(NULL);
	mm_put(race.mm);
	return 0;
}

static void races(void **state)
{
	u64 runs = test_iters(tm_soak() ? 3000 : 60);
	struct prng rng;

	(void)state;
	test_seed(&rng, "user_io races");
	for (u64 i = 0; i < runs; i++)
		TM_RUN(race_body, .cpus = 2, .swap_pages = 256,
		       .seed = prng_u64(&rng), .explore = true, .arg = &rng);
}

/* ---- failures --------------------------------------------------------------
 */

static int io_once(struct file *f, uva_t at)
{
	s64 n = user_write(f, 0, at, P(2) + 9);

	if (n >= 0 && n < (s64)P(2) + 9)
		return -EFAULT;
	if (n > 0)
		n = user_read(f, 0, at + P(3), P(2) + 9);
	return n < 0 ? (int)n : n < (s64)P(2) + 9 ? -EFAULT : 0;
}

/* Each allocation fails in turn: a short count or an errno, and afterwards all
 * of it can be done. */
static int failures_body(void *arg)
{
	u64 fired = 0;

	(void)arg;
	for (u64 n = 1;; n++) {
		struct mm_struct *mm = tm_mm();
		struct file *f = memfd_create_file("f", 0);
		uva_t at = tm_map(mm, 8);
		struct fail_result r;
		int err;

		tm_use(mm);
		for (u64 i = 0; i < 3; i++)
			tm_store(at + P(i), i + 1);
		fail_arm_nth(FAIL_ALL & ~FAIL_MASK(FAIL_BIO_WRITE), n, true);
		fail_only_task(port_current());
		err = io_once(f, at);
		r = fail_disarm();
		fired += r.fired;
		CHECK(err == 0 || err == -ENOMEM || err == -EFAULT ||
		      err == -ENOSPC);
		CHECK(r.fired || err == 0);
		CHECK_EQ(io_once(f, at), 0);
		CHECK_EQ(tm_load(at + P(3)), 1);
		CHECK_EQ(tm_load(at + P(4)), 2);
		mm_check(mm);
		fput(f);
		tm_use(NULL);
		mm_put(mm);
		if (!r.fired)
			break;
	}
	CHECK(fired >= 5);
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
		cmocka_unit_test(model),
		cmocka_unit_test(itself),
		cmocka_unit_test(races),
		cmocka_unit_test(failures),
	};

	return cmocka_run_group_tests_name("user_io", tests, NULL, NULL);
}
