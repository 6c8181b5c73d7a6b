/* SPDX-License-Identifier: MIT */
/*
 * /dev/zero that is mapped, as a program on Linux 6.18 saw it: anonymous memory
 * with a name when it is private, an object of its own when it is shared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "fs_machine.h"

#include <mmkit/errno.h>
#include <mmkit/mman.h>

#include "base/fail.h"
#include "space/space.h"

#define P(n) ((u64)(n)*PAGE_SIZE)
#define RW   (PROT_READ | PROT_WRITE)

static s64 map(const char *path, int how, int prot, int flags, u64 pgoff,
	       u64 pages)
{
	s64 fd = OPEN(path, how, 0), at;
	struct file *file;

	CHECK(fd >= 0);
	file = fd_get((int)fd);
	at = do_mmap_file(ft.mm, &(struct mm_mmap){.len = P(pages),
						   .prot = prot,
						   .flags = flags,
						   .file = file,
						   .pgoff = pgoff});
	fput(file);
	CHECK_EQ(CLOSE(fd), 0);
	return at;
}

static s64 map_zero(int how, int prot, int flags, u64 pgoff, u64 pages)
{
	return map("/dev/zero", how, prot, flags, pgoff, pages);
}

/* The mapping at AT: PAGES long, called NAME. */
static struct vm_area_struct *is_named(s64 at, u64 pages, const char *name)
{
	struct vm_area_struct *vma;

	CHECK(at > 0);
	vma = find_vma(ft.mm, (uva_t)at);
	CHECK(vma_contains(vma, (uva_t)at));
	CHECK_EQ(vma_pages(vma), pages);
	CHECK_EQ(strcmp(vma->vm_file->f_path, name), 0);
	return vma;
}

static u8 load(struct mm_struct *mm, u64 at)
{
	u8 v = 0xee;

	CHECK_EQ(copy_from_user(mm, &v, at, 1), 0);
	return v;
}

static void store(struct mm_struct *mm, u64 at, u8 v)
{
	CHECK_EQ(copy_to_user(mm, at, &v, 1), 0);
}

static void unmap(s64 at, u64 pages)
{
	CHECK_EQ(do_munmap(ft.mm, (uva_t)at, P(pages)), 0);
}

static void private_ones(void)
{
	s64 at = map_zero(O_RDONLY, RW, MAP_PRIVATE, 0, 3);
	struct vm_area_struct *vma = is_named(at, 3, "/dev/zero");
	struct mm_struct *child;
	u8 seen[3];

	CHECK(vma_is_anonymous(vma) && !(vma->vm_flags & VM_SHARED));
	CHECK_EQ(load(ft.mm, (u64)at), 0);
	store(ft.mm, (u64)at, 7);
	CHECK_EQ(load(ft.mm, (u64)at), 7);
	/* Its pages are the program's own: anybody may ask. */
	ft_become(1000);
	CHECK_EQ(do_mincore(ft.mm, (uva_t)at, P(3), FT_AT), 0);
	ft_become(0);
	ft_get(seen, sizeof(seen), 0);
	CHECK(seen[0] == 1 && seen[1] == 0 && seen[2] == 0);
	/* Copies of a fork, as of any private memory. */
	CHECK_EQ(mm_fork(ft.mm, &child), 0);
	store(child, (u64)at, 9);
	CHECK_EQ(load(child, (u64)at), 9);
	CHECK_EQ(load(ft.mm, (u64)at), 7);
	mm_check(child);
	mm_put(child);
	unmap(at, 3);
	/* Nothing of it went to the device. */
	at = map_zero(O_RDWR, RW, MAP_PRIVATE, 256, 2);
	vma = is_named(at, 2, "/dev/zero");
	CHECK_EQ(vma->vm_pgoff, 256);
	CHECK_EQ(load(ft.mm, (u64)at), 0);
	store(ft.mm, (u64)at, 7);
	mm_check(ft.mm);
	unmap(at, 2);
}

static void private_advice(void)
{
	s64 at = map_zero(O_RDONLY, RW, MAP_PRIVATE, 0, 4);
	u64 to = (u64)at + P(64);

	for (u64 i = 0; i < 4; i++)
		store(ft.mm, (u64)at + P(i), 3);
	CHECK_EQ(do_madvise(ft.mm, (uva_t)at, P(1), MADV_DONTNEED), 0);
	CHECK_EQ(load(ft.mm, (u64)at), 0);
	CHECK_EQ(do_madvise(ft.mm, (uva_t)at, P(4), MADV_FREE), 0);
	CHECK_EQ(do_madvise(ft.mm, (uva_t)at, P(4), MADV_WILLNEED), 0);
	CHECK_EQ(do_madvise(ft.mm, (uva_t)at, P(4), MADV_COLD), 0);
	CHECK_EQ(do_madvise(ft.mm, (uva_t)at, P(4), MADV_REMOVE), -EACCES);
	CHECK_EQ(do_madvise(ft.mm, (uva_t)at, P(4), MADV_WIPEONFORK), -EINVAL);
	CHECK_EQ(do_msync(ft.mm, (uva_t)at, P(4), MS_SYNC), 0);
	store(ft.mm, (u64)at + P(3), 5);
	/* Moved, and longer. */
	CHECK_EQ(do_mremap(ft.mm, (uva_t)at, P(4), P(9),
			   MREMAP_MAYMOVE | MREMAP_FIXED, to),
		 (s64)to);
	is_named((s64)to, 9, "/dev/zero");
	CHECK_EQ(load(ft.mm, to + P(3)), 5);
	store(ft.mm, to + P(8), 1);
	mm_check(ft.mm);
	CHECK_EQ(do_munmap(ft.mm, to, P(9)), 0);
}

/* Neighbours are one mapping only where their offsets follow each other. */
static void merges(void)
{
	s64 fd = OPEN("/dev/zero", O_RDONLY, 0);
	struct file *file = fd_get((int)fd);
	static const u64 pgoff[] = {0, 1, 0};
	s64 at =
		do_mmap(ft.mm, 0, P(3), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);

	for (u64 i = 0; i < 3; i++)
		CHECK_EQ(do_mmap_file(ft.mm,
				      &(struct mm_mmap){.addr = (u64)at + P(i),
							.len = P(1),
							.prot = RW,
							.flags = MAP_PRIVATE |
								 MAP_FIXED,
							.file = file,
							.pgoff = pgoff[i]}),
			 at + (s64)P(i));
	fput(file);
	CHECK_EQ(CLOSE(fd), 0);
	is_named(at, 2, "/dev/zero");
	is_named(at + (s64)P(2), 1, "/dev/zero");
	for (u64 i = 0; i < 3; i++)
		store(ft.mm, (u64)at + P(i), (u8)i);
	for (u64 i = 0; i < 3; i++)
		CHECK_EQ(load(ft.mm, (u64)at + P(i)), i);
	mm_check(ft.mm);
	unmap(at, 3);
}

#define OBJECT "/dev/zero (deleted)"

static void shared_ones(void)
{
	s64 at = map_zero(O_RDWR, RW, MAP_SHARED, 0, 2), other;
	struct vm_area_struct *vma = is_named(at, 2, OBJECT);
	struct mm_struct *child;

	CHECK(vma->vm_flags & VM_SHARED);
	store(ft.mm, (u64)at + P(1), 7);
	CHECK_EQ(mm_fork(ft.mm, &child), 0);
	store(child, (u64)at + P(1), 9);
	store(child, (u64)at, 5);
	CHECK_EQ(load(ft.mm, (u64)at), 5);
	CHECK_EQ(load(ft.mm, (u64)at + P(1)), 9);
	mm_check(child);
	mm_put(child);
	/* Another mapping is another object. */
	other = map_zero(O_RDWR, RW, MAP_SHARED, 0, 2);
	is_named(other, 2, OBJECT);
	CHECK_EQ(load(ft.mm, (u64)other + P(1)), 0);
	mm_check(ft.mm);
	unmap(at, 2);
	unmap(other, 2);
	/* As long as the mapping: what an offset leaves over is SIGBUS. */
	at = map_zero(O_RDWR, RW, MAP_SHARED, 1, 2);
	CHECK_EQ(is_named(at, 2, OBJECT)->vm_pgoff, 1);
	CHECK_EQ(sim_touch((u64)at, SIM_WRITE), 0);
	CHECK_EQ(sim_touch((u64)at + P(1), SIM_WRITE), 7);
	unmap(at, 2);
	/* Not written yet, but by a descriptor that may. */
	at = map_zero(O_RDWR, PROT_READ, MAP_SHARED, 0, 2);
	is_named(at, 2, OBJECT);
	CHECK_EQ(do_mprotect(ft.mm, (uva_t)at, P(2), RW), 0);
	store(ft.mm, (u64)at, 7);
	unmap(at, 2);
}

/* Never to be written: there is nothing to share. */
static void shared_for_reading(void)
{
	s64 at = map_zero(O_RDONLY, PROT_READ, MAP_SHARED, 0, 2);
	struct vm_area_struct *vma = is_named(at, 2, "/dev/zero");

	CHECK(vma->vm_flags & VM_MAYSHARE);
	CHECK_EQ(load(ft.mm, (u64)at), 0);
	CHECK_EQ(sim_touch((u64)at, SIM_WRITE), 11);
	CHECK_EQ(do_mprotect(ft.mm, (uva_t)at, P(2), RW), -EACCES);
	mm_check(ft.mm);
	unmap(at, 2);
}

static void refusals(void)
{
	static const char *const others[] = {"/dev/null", "/dev/full",
					     "/dev/urandom"};

	CHECK_EQ(map_zero(O_WRONLY, PROT_READ, MAP_PRIVATE, 0, 1), -EACCES);
	CHECK_EQ(map_zero(O_RDONLY, RW, MAP_SHARED, 0, 1), -EACCES);
	CHECK_EQ(map_zero(O_RDWR, RW, MAP_SHARED_VALIDATE | 0x80000, 0, 1),
		 -EOPNOTSUPP);
	CHECK_EQ(map_zero(O_RDWR, RW, MAP_PRIVATE | MAP_GROWSDOWN, 0, 1),
		 -EINVAL);
	for (u32 i = 0; i < ARRAY_SIZE(others); i++) {
		CHECK_EQ(map(others[i], O_RDWR, RW, MAP_PRIVATE, 0, 1),
			 -ENODEV);
		CHECK_EQ(map(others[i], O_RDWR, RW, MAP_SHARED, 0, 1), -ENODEV);
	}
}

static int body(void *arg)
{
	u64 committed = space_sys.committed;

	(void)arg;
	private_advice();
	merges();
	shared_ones();
	shared_for_reading();
	refusals();
	CHECK_EQ(space_sys.committed, committed);
	private_ones();
	return 0;
}

static void mapped(void **state)
{
	(void)state;
	FS_RUN(body, .mem = 24UL << 20);
}

/* Each allocation fails once: no mapping, or all of it, and nothing is lost. */
static int failing_body(void *arg)
{
	s64 fd = OPEN("/dev/zero", O_RDWR, 0);
	struct file *file = fd_get((int)fd);
	struct mm_mmap req = {
		.len = P(4), .prot = RW, .flags = MAP_SHARED, .file = file};
	u64 committed = space_sys.committed, n = 0, failed = 0;
	int maps = ft.mm->map_count;
	struct fail_result r;

	(void)arg;
	do {
		s64 at;

		fail_arm_nth(FAIL_ALL, ++n, false);
		fail_only_task(port_current());
		at = do_mmap_file(ft.mm, &req);
		r = fail_disarm();
		failed += at < 0;
		CHECK(at > 0 || (at == -ENOMEM && r.fired));
		if (at > 0)
			unmap(at, 4);
		CHECK_EQ(ft.mm->map_count, maps);
		CHECK_EQ(space_sys.committed, committed);
	} while (r.fired);
	CHECK(failed > 3);
	fput(file);
	CHECK_EQ(CLOSE(fd), 0);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	FS_RUN(failing_body, .mem = 24UL << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapped),
		cmocka_unit_test(failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
