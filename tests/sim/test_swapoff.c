/* SPDX-License-Identifier: MIT */
/*
 * swapoff: what comes back, what refuses it and leaves everything as it was,
 * pages that cannot be read; areas that come and go under random processes and
 * under a file in memory that is written, cut and reclaimed.
 */
#include "sim_machine.h"

#define WL_CHECK(c)		CHECK(c)
#define WL_WRITE(va, from, len) sim_copy_to_user(va, from, len)
#define WL_READ(to, va, len)	sim_copy_from_user(to, va, len)
#define WL_LOCK()		((void)0)
#define WL_UNLOCK()		((void)0)

#include "model_whole.h"

#include <mmkit/memory_failure.h>
#include <mmkit/userfaultfd.h>

#include "base/fail.h"
#include "shmem_machine.h"
#include "space/fault.h"

#define AT 0x20000000UL

static void may_swapoff(bool may)
{
	port_current()->caps = may ? MM_CAP_SYS_ADMIN : 0;
}

/* An area that comes on top of the machine's own. */
static struct port_bdev *second_area(u32 pages, int prio)
{
	struct port_bdev *disk = tm_swap_disk(pages);

	CHECK(swapon(disk, (s16)prio) >= 0);
	return disk;
}

static bool shown(const char *path, const char *text)
{
	static char buf[8192];
	struct seq_buf s;

	memset(buf, 0, sizeof(buf));
	seq_buf_init(&s, buf, sizeof(buf) - 1);
	CHECK_EQ(mm_show(path, &s), 0);
	return strstr(buf, text) != NULL;
}

/* ---- what comes back -------------------------------------------------------
 */

#define PAGES 24u

struct scene {
	struct mm_struct *mm, *child;
	struct file *f;
	uva_t sh;
};

/* Private pages, shared with a child but for one; a mapped file in memory; all
 * in swap. */
static void scene_make(struct scene *s)
{
	struct mm_mmap r = {0, P(4), TM_RW, MAP_SHARED, NULL, 0};

	s->mm = tm_mm();
	tm_use(s->mm);
	CHECK_EQ(do_mmap(s->mm, AT, P(PAGES), TM_RW, TM_ANON | MAP_FIXED), AT);
	s->f = memfd_create_file("scene", 0);
	CHECK_EQ(shmem_truncate(s->f->f_inode, P(4)), 0);
	r.file = s->f;
	s->sh = (uva_t)do_mmap_file(s->mm, &r);
	for (u64 i = 0; i < PAGES; i++)
		tm_store(AT + P(i), 100 + i);
	for (u64 i = 0; i < 4; i++)
		tm_store(s->sh + P(i), 200 + i);
	CHECK_EQ(mm_fork(s->mm, &s->child), 0);
	tm_use(s->child);
	tm_store(AT + P(3), 1003);
	tm_use(s->mm);
	CHECK_EQ(do_mprotect(s->mm, AT + P(5), P(1), PROT_NONE), 0);
	for (u64 i = 0; i < PAGES; i++)
		tm_swap_out(s->mm, AT + P(i));
	tm_swap_out(s->child, AT + P(3));
	for (u64 i = 0; i < 4; i++)
		sh_swap_out(s->f->f_inode, i);
	CHECK_EQ(mm_counter_get(s->mm, MM_SWAPENTS), PAGES);
}

static void scene_check(struct scene *s)
{
	mm_check(s->mm);
	mm_check(s->child);
	CHECK_EQ(do_mprotect(s->mm, AT + P(5), P(1), TM_RW), 0);
	for (u64 i = 0; i < PAGES; i++)
		CHECK_EQ(tm_load(AT + P(i)), 100 + i);
	for (u64 i = 0; i < 4; i++)
		CHECK_EQ(tm_load(s->sh + P(i)), 200 + i);
	tm_use(s->child);
	for (u64 i = 0; i < PAGES; i++)
		CHECK_EQ(tm_load(AT + P(i)), i == 3 ? 1003 : 100 + i);
	tm_store(AT + 8, 7);
	tm_use(s->mm);
	CHECK_EQ(tm_load(AT + 8), 0);
	shmem_check();
	swap_check();
}

static void scene_end(struct scene *s)
{
	tm_use(NULL);
	mm_put(s->mm);
	mm_put(s->child);
	fput(s->f);
}

static int back_body(void *arg)
{
	u64 total = cache_sys.total_swap_pages;
	struct scene s;

	(void)arg;
	scene_make(&s);
	CHECK(shown("/proc/swaps", "tmdisk"));
	may_swapoff(false);
	CHECK_EQ(swapoff(tm.disk), -EPERM);
	may_swapoff(true);
	CHECK_EQ(swapoff(tm.disk), 0);
	CHECK_EQ(swapoff(tm.disk), -EINVAL);
	CHECK_EQ(mm_counter_get(s.mm, MM_SWAPENTS), 0);
	CHECK_EQ(mm_counter_get(s.child, MM_SWAPENTS), 0);
	CHECK_EQ(mm_counter_get(s.mm, MM_ANONPAGES), PAGES);
	CHECK_EQ(get_nr_swap_pages(), 0);
	CHECK_EQ(cache_sys.total_swap_pages, 0);
	CHECK_EQ(global_node_page_state(NR_SWAPCACHE), 0);
	CHECK(!shown("/proc/swaps", "tmdisk"));
	for (u64 i = 0; i < PAGES; i++)
		CHECK(pte_present(tm_pte(s.mm, AT + P(i))));
	CHECK(shown("/proc/meminfo", "SwapTotal:             0 kB"));
	scene_check(&s);
	/* Back on: the same number. */
	CHECK_EQ(swapon(tm.disk, -2), 0);
	CHECK_EQ(cache_sys.total_swap_pages, total);
	CHECK_EQ(swapon(tm.disk, 7), -EBUSY);
	CHECK_EQ(cache_sys.total_swap_pages, total);
	tm_swap_out(s.mm, AT + P(7));
	scene_check(&s);
	scene_end(&s);
	return 0;
}

/* From one area to another, which may be full. */
static int between_body(void *arg)
{
	struct port_bdev *other;
	struct scene s;

	(void)arg;
	may_swapoff(true);
	other = second_area(64, 5);
	scene_make(&s);
	CHECK(cache_sys.swap[1]->inuse_pages > 20);
	CHECK_EQ(cache_sys.swap[0]->inuse_pages, 0);
	CHECK_EQ(swapoff(other), 0);
	CHECK(cache_sys.swap[1] == NULL);
	scene_check(&s);
	for (u64 i = 0; i < PAGES; i += 2)
		tm_swap_out(s.mm, AT + P(i));
	CHECK(cache_sys.swap[0]->inuse_pages > 5);
	CHECK_EQ(swapon(other, 5), 1);
	for (u64 i = 1; i < PAGES; i += 2)
		tm_swap_out(s.mm, AT + P(i));
	CHECK_EQ(swapoff(tm.disk), 0);
	CHECK(cache_sys.swap[1]->inuse_pages > 5);
	scene_check(&s);
	CHECK_EQ(swapon(tm.disk, -2), 0);
	CHECK_EQ(swapoff(other), 0);
	scene_check(&s);
	scene_end(&s);
	return 0;
}

static void comes_back(void **state)
{
	(void)state;
	TM_RUN(back_body, .swap_pages = 128);
	TM_RUN(between_body, .swap_pages = 128);
}

/* ---- what refuses it -------------------------------------------------------
 */

/* More in swap than memory can hold. */
static int room_body(void *arg)
{
	u64 pages = 2 * tm.cfg.mem >> PAGE_SHIFT, total, inuse;
	struct mm_struct *mm = tm_mm();

	(void)arg;
	may_swapoff(true);
	tm_use(mm);
	/* The killer could choose it. */
	mm_task_register(port_current(), "main");
	CHECK_EQ(do_mmap(mm, AT, P(pages), TM_RW, TM_ANON | MAP_FIXED), AT);
	for (u64 i = 0; i < pages; i++)
		tm_store(AT + P(i), i);
	total = cache_sys.total_swap_pages;
	inuse = cache_sys.swap[0]->inuse_pages;
	CHECK_EQ(swapoff(tm.disk), -ENOMEM);
	CHECK_EQ(port_current()->fatal_signal, 0);
	CHECK_EQ(cache_sys.total_swap_pages, total);
	CHECK(cache_sys.swap[0]->in_use && inuse > pages / 2);
	swap_check();
	for (u64 i = 0; i < pages; i++)
		CHECK_EQ(tm_load(AT + P(i)), i);
	/* Mode 2: what is promised could not be kept. */
	space_sys.overcommit_memory = 2;
	CHECK_EQ(swapoff(tm.disk), -ENOMEM);
	CHECK_EQ(cache_sys.total_swap_pages, total);
	space_sys.overcommit_memory = 0;
	CHECK_EQ(do_munmap(mm, AT, P(pages * 3 / 4)), 0);
	CHECK_EQ(swapoff(tm.disk), 0);
	for (u64 i = pages * 3 / 4; i < pages; i++)
		CHECK_EQ(tm_load(AT + P(i)), i);
	CHECK_EQ(swapon(tm.disk, -2), 0);
	tm_use(NULL);
	mm_task_unregister(port_current());
	mm_put(mm);
	return 0;
}

/* The same of a file: nobody is killed for its frames either. */
static int room_file_body(void *arg)
{
	u64 pages = 2 * tm.cfg.mem >> PAGE_SHIFT, kills, v;
	struct file *f = memfd_create_file("large", 0);
	struct mm_struct *mm = tm_mm();

	(void)arg;
	may_swapoff(true);
	tm_use(mm);
	mm_task_register(port_current(), "main");
	for (u64 i = 0; i < pages; i++) {
		v = i + 1;
		CHECK_EQ(sh_write(f, &v, sizeof(v), P(i)), sizeof(v));
	}
	kills = sum_vm_event(OOM_KILL);
	CHECK_EQ(swapoff(tm.disk), -ENOMEM);
	CHECK_EQ(port_current()->fatal_signal, 0);
	CHECK_EQ(sum_vm_event(OOM_KILL), kills);
	swap_check();
	for (u64 i = 0; i < pages; i++) {
		CHECK_EQ(sh_read(f, &v, sizeof(v), P(i)), sizeof(v));
		CHECK_EQ(v, i + 1);
	}
	CHECK_EQ(shmem_truncate(f->f_inode, P(pages / 4)), 0);
	CHECK_EQ(swapoff(tm.disk), 0);
	for (u64 i = 0; i < pages / 4; i++) {
		CHECK_EQ(sh_read(f, &v, sizeof(v), P(i)), sizeof(v));
		CHECK_EQ(v, i + 1);
	}
	CHECK_EQ(swapon(tm.disk, -2), 0);
	fput(f);
	tm_use(NULL);
	mm_task_unregister(port_current());
	mm_put(mm);
	return 0;
}

static int killed_body(void *arg)
{
	u64 free_slots;
	struct scene s;

	(void)arg;
	may_swapoff(true);
	scene_make(&s);
	free_slots = cache_sys.total_swap_pages;
	port_current()->fatal_signal = MM_SIGKILL;
	CHECK_EQ(swapoff(tm.disk), -EINTR);
	port_current()->fatal_signal = 0;
	CHECK_EQ(cache_sys.total_swap_pages, free_slots);
	CHECK(cache_sys.swap[0]->inuse_pages > 0);
	swap_check();
	tm_swap_out(s.mm, AT);
	scene_check(&s);
	scene_end(&s);
	return 0;
}

/* Each allocation fails: it is off, or it is on and nothing is lost. */
static int failing_body(void *arg)
{
	u64 fired = 0, refused = 0;

	(void)arg;
	may_swapoff(true);
	for (u64 n = 2; n < 400; n++) {
		struct fail_result r;
		struct scene s;
		int err;

		scene_make(&s);
		fail_arm_nth(FAIL_ALL & ~(FAIL_MASK(FAIL_BIO_WRITE) |
					  FAIL_MASK(FAIL_BIO_READ)),
			     n / 2, n & 1);
		fail_only_task(port_current());
		err = swapoff(tm.disk);
		r = fail_disarm();
		fired += r.fired;
		refused += err != 0;
		CHECK(!err || (err == -ENOMEM && r.fired));
		swap_check();
		scene_check(&s);
		scene_end(&s);
		CHECK(err || swapon(tm.disk, -2) == 0);
		if (!r.fired)
			break;
	}
	CHECK(fired > 20 && refused > 10);
	return 0;
}

static void refused(void **state)
{
	(void)state;
	TM_RUN(room_body, .mem = 8UL << 20, .swap_pages = 8192);
	TM_RUN(room_file_body, .mem = 8UL << 20, .swap_pages = 8192);
	TM_RUN(killed_body, .swap_pages = 128);
	TM_RUN(failing_body, .swap_pages = 128);
}

/* ---- what cannot be read ---------------------------------------------------
 */

static int lost_body(void *arg)
{
	struct sim_disk_fault rule = {.reads = true, .error = -EIO};
	u32 bad = 0, bad_files = 0;
	struct mm_struct *late;
	struct scene s;
	u64 v;

	(void)arg;
	may_swapoff(true);
	scene_make(&s);
	/* Some slots for good; of the last seed those of the file, too. */
	rule.first = tm.cfg.seed * 5 * 8;
	rule.last = rule.first + 4 * 8 - 1;
	sim_disk_fail(tm.disk, &rule);
	CHECK_EQ(swapoff(tm.disk), 0);
	sim_disk_fail(tm.disk, NULL);
	mm_check(s.mm);
	mm_check(s.child);
	CHECK_EQ(mm_fork(s.mm, &late), 0);
	CHECK_EQ(do_mprotect(s.mm, AT + P(5), P(1), TM_RW), 0);
	for (u64 i = 0; i < PAGES; i++) {
		int sig = sim_copy_from_user(&v, AT + P(i), sizeof(v));

		CHECK(sig == 0 ? v == 100 + i : sig == MM_SIGBUS);
		bad += sig != 0;
		/* Whoever shares it lost it too, and those to come. */
		tm_use(late);
		if (i != 5)
			CHECK_EQ(sim_touch(AT + P(i), SIM_WRITE), sig);
		tm_use(s.child);
		CHECK(i == 3 || sim_touch(AT + P(i), SIM_READ) == sig);
		tm_use(s.mm);
	}
	for (u64 i = 0; i < 4; i++) {
		int sig = sim_copy_from_user(&v, s.sh + P(i), sizeof(v));
		s64 got = sh_read(s.f, &v, sizeof(v), P(i));

		CHECK(sig == 0 ? v == 200 + i && got == sizeof(v)
			       : sig == MM_SIGBUS && got == -EIO);
		bad_files += sig != 0;
	}
	CHECK(bad + bad_files > 0 && bad < PAGES);
	CHECK(tm.cfg.seed != 5 || bad_files > 0);
	shmem_check();
	/* A page that was lost can be had anew. */
	CHECK_EQ(do_madvise(s.mm, AT, P(PAGES), MADV_DONTNEED), 0);
	CHECK_EQ(tm_load(AT + P(1)), 0);
	CHECK_EQ(shmem_truncate(s.f->f_inode, 0), 0);
	CHECK_EQ(shmem_inode_blocks(s.f->f_inode), 0);
	CHECK_EQ(swapon(tm.disk, -2), 0);
	tm_use(NULL);
	mm_put(late);
	scene_end(&s);
	return 0;
}

/* Code of the SIGBUS that a read at AT ends in; 0: it does not. */
static int bus_code(uva_t at)
{
	struct mm_siginfo info = {0};
	int sig = mm_user_fault_info(port_current(), at, PF_ERR_USER, &info);

	CHECK(sig == 0 || sig == MM_SIGBUS);
	return sig ? info.code : 0;
}

/* Page I of S's file is in the swap cache, dirty: it could not be written. */
static struct page *cached_file_page(struct scene *s, u64 i)
{
	struct sim_disk_fault rule = {.writes = true, .error = -EIO};
	struct address_space *mapping = s->f->f_inode->i_mapping;
	struct page *page;
	void *value;

	tm_store(s->sh + P(i), 200 + i);
	sim_disk_fail(tm.disk, &rule);
	/* It was just used: not at the first look. */
	while ((page = find_get_page(mapping, i)))
		(void)sh_shrink(page);
	value = xa_load(&mapping->i_pages, i);
	CHECK(xa_is_value(value));
	page = lookup_swap_cache((swp_entry_t){xa_to_value(value)});
	CHECK(page);
	wait_on_page_writeback(page);
	sim_disk_fail(tm.disk, NULL);
	CHECK(PageSwapCache(page) && PageDirty(page));
	put_page(page);
	return page;
}

/* Frames of pages in the swap cache are lost: their owners get no page. */
static int lost_frame_body(void *arg)
{
	struct page *page, *file_page;
	struct scene s;
	swp_entry_t e;
	u64 v;

	(void)arg;
	may_swapoff(true);
	scene_make(&s);
	/* Shared, dirty: one entry to the frame, one to the slot. */
	CHECK_EQ(tm_load(AT + P(9)), 109);
	page = pfn_to_page(pte_pfn(tm_pte(s.mm, AT + P(9))));
	CHECK(PageSwapCache(page));
	SetPageDirty(page);
	file_page = cached_file_page(&s, 2);
	CHECK_EQ(memory_failure(page_to_pfn(page), 0), 0);
	CHECK_EQ(memory_failure(page_to_pfn(file_page), 0), 0);
	CHECK(pte_in_swap(tm_pte(s.child, AT + P(9))));
	CHECK_EQ(swapoff(tm.disk), 0);
	CHECK_EQ(mm_counter_get(s.child, MM_SWAPENTS), 0);
	e = pte_to_swp_entry(tm_pte(s.child, AT + P(9)));
	CHECK(is_hwpoison_entry(e) && swp_offset(e) == page_to_pfn(page));
	/* Set aside with the last who had them. */
	CHECK(PageReserved(page) && PageReserved(file_page));
	CHECK_EQ(bus_code(AT + P(9)), MM_BUS_MCEERR_AR);
	CHECK_EQ(bus_code(s.sh + P(2)), MM_BUS_MCEERR_AR);
	CHECK_EQ(sh_read(s.f, &v, sizeof(v), P(2)), -EIO);
	CHECK_EQ(tm_load(s.sh + P(1)), 201);
	tm_use(s.child);
	CHECK_EQ(bus_code(AT + P(9)), MM_BUS_MCEERR_AR);
	CHECK_EQ(tm_load(AT + P(8)), 108);
	tm_use(s.mm);
	CHECK_EQ(swapon(tm.disk, -2), 0);
	mm_check(s.child);
	shmem_check();
	scene_end(&s);
	CHECK_EQ(unpoison_memory(page_to_pfn(page)), 0);
	CHECK_EQ(unpoison_memory(page_to_pfn(file_page)), 0);
	return 0;
}

static void lost(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 6; seed++)
		TM_RUN(lost_body, .swap_pages = 128, .seed = seed);
	TM_RUN(lost_frame_body, .swap_pages = 128);
}

/* ---- a userfaultfd's memory ------------------------------------------------
 */

static s64 uffd_ioctl(struct file *fd, u32 cmd, const u64 *words, u64 n)
{
	struct mm_struct *mm = port_current()->mm;

	CHECK_EQ(sim_copy_to_user(AT, words, n * 8), 0);
	return userfaultfd_ioctl(fd, mm, cmd, AT);
}

/* MM's page 0 is for arguments; pages 1 to 8 are registered. */
static struct file *uffd_make(struct mm_struct *mm)
{
	struct file *fd = userfaultfd_create(mm, O_NONBLOCK);
	u64 api[] = {UFFD_API,
		     UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			     UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_POISON,
		     0};
	u64 reg[] = {AT + P(1), P(8), 3, 0};
	u64 wp[] = {AT + P(1), P(4), 1}, poison[] = {AT + P(7), P(1), 0, 0};

	CHECK(!IS_ERR(fd));
	CHECK_EQ(uffd_ioctl(fd, UFFDIO_API, api, 3), 0);
	CHECK_EQ(uffd_ioctl(fd, UFFDIO_REGISTER, reg, 4), 0);
	CHECK_EQ(uffd_ioctl(fd, UFFDIO_WRITEPROTECT, wp, 3), 0);
	CHECK_EQ(uffd_ioctl(fd, UFFDIO_POISON, poison, 4), 0);
	return fd;
}

/* Pages that are watched stay so, markers stay, what is missing stays missing.
 */
static int watched_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	pte_t before[9];
	struct file *fd;

	(void)arg;
	may_swapoff(true);
	port_current()->caps |= MM_CAP_SYS_PTRACE;
	tm_use(mm);
	CHECK_EQ(do_mmap(mm, AT, P(9), TM_RW, TM_ANON | MAP_FIXED), AT);
	tm_store(AT + P(1), 1);
	tm_store(AT + P(2), 2);
	tm_store(AT + P(5), 5);
	fd = uffd_make(mm);
	tm_swap_out(mm, AT + P(1));
	tm_swap_out(mm, AT + P(2));
	tm_swap_out(mm, AT + P(5));
	for (u64 i = 1; i < 9; i++)
		before[i] = tm_pte(mm, AT + P(i));
	CHECK(pte_in_swap(before[1]) && pte_swp_uffd_wp(before[1]));
	CHECK(pte_in_swap(before[5]) && !pte_swp_uffd_wp(before[5]));
	CHECK_EQ(pte_marker(before[3]), PTE_MARKER_UFFD_WP);
	CHECK_EQ(pte_marker(before[7]), PTE_MARKER_POISONED);
	CHECK_EQ(swapoff(tm.disk), 0);
	for (u64 i = 1; i < 9; i++) {
		pte_t e = tm_pte(mm, AT + P(i));

		if (!pte_in_swap(before[i])) {
			CHECK(pte_same(e, before[i]));
			continue;
		}
		CHECK(pte_present(e) && pte_uffd_wp(e) == (i != 5));
		CHECK(i == 5 || !pte_write(e));
		CHECK_EQ(tm_load(AT + P(i)), i);
	}
	CHECK_EQ(bus_code(AT + P(7)), MM_BUS_MCEERR_AR);
	CHECK_EQ(swapon(tm.disk, -2), 0);
	fput(fd);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void watched(void **state)
{
	(void)state;
	TM_RUN(watched_body, .swap_pages = 128);
}

/* ---- under load ------------------------------------------------------------
 */

struct load {
	struct port_bdev *disk;
	struct file *f;
	bool stop;
	struct mm_task *inside; /* who swaps off now; NULL: nobody */
	u64 offs, full, kills, seed;
};

/* swapoff(), which may be killed meanwhile. */
static int off_once(struct load *l)
{
	struct mm_task *task = port_current();
	int err;

	WRITE_ONCE(l->inside, task);
	err = swapoff(l->disk);
	WRITE_ONCE(l->inside, NULL);
	CHECK(err == 0 || err == -ENOMEM ||
	      (err == -EINTR && task->fatal_signal));
	task->fatal_signal = 0;
	return err;
}

/* The better area goes and comes. */
static void off_and_on(void *arg)
{
	struct load *l = arg;

	may_swapoff(true);
	while (!READ_ONCE(l->stop)) {
		int err = off_once(l);

		l->offs += err == 0;
		l->full += err == -ENOMEM;
		l->kills += err == -EINTR;
		if (!err)
			CHECK(swapon(l->disk, 10) > 0);
		port_park(3 * 1000 * 1000);
	}
}

/* Kills who swaps off, at times. */
static void killer(void *arg)
{
	struct load *l = arg;
	struct prng r;

	prng_seed(&r, l->seed + 99);
	while (!READ_ONCE(l->stop)) {
		struct mm_task *task = READ_ONCE(l->inside);

		if (task && prng_one_in(&r, 16))
			WRITE_ONCE(task->fatal_signal, MM_SIGKILL);
		port_park(prng_below(&r, 2 * 1000 * 1000));
	}
}

#define FILE_PAGES 64u

/* Words of page I hold I + 1 in the low byte, or are 0. */
static void file_user(void *arg)
{
	struct load *l = arg;
	struct prng r;

	prng_seed(&r, l->seed + 77);
	while (!READ_ONCE(l->stop)) {
		u64 i = prng_below(&r, FILE_PAGES), v = prng_u64(&r);

		v = (v & ~0xffUL) | (i + 1);
		if (prng_one_in(&r, 20))
			CHECK_EQ(shmem_truncate(l->f->f_inode, P(i)), 0);
		else if (prng_one_in(&r, 2))
			CHECK_EQ(sh_write(l->f, &v, sizeof(v), P(i)),
				 sizeof(v));
		v = 0;
		CHECK(sh_read(l->f, &v, sizeof(v), P(i)) >= 0);
		CHECK(v == 0 || (v & 0xff) == i + 1);
		(void)sh_try_swap_out(l->f->f_inode, i);
		port_park(prng_below(&r, 200000));
	}
}

static void whole_thread(void *arg)
{
	wl_life(arg);
}

static int wl_start(struct wl_proc *p)
{
	p->next = wl.started;
	wl.started = p;
	CHECK_EQ(sim_thread_start_on(&p->thread, "whole",
				     (int)(p->id % (u32)tm.cfg.cpus),
				     whole_thread, p),
		 0);
	return 0;
}

static int load_body(void *arg)
{
	struct load *l = arg;
	struct port_thread *off, *user, *kill;
	u32 fill = (u32)(tm.cfg.mem >> PAGE_SHIFT) * 2 / 3;

	l->stop = false;
	l->disk = second_area(16384, 10);
	l->f = memfd_create_file("load", 0);
	CHECK_EQ(sim_thread_start_on(&off, "swapoff", tm.cfg.cpus - 1,
				     off_and_on, l),
		 0);
	CHECK_EQ(sim_thread_start_on(&user, "file", 0, file_user, l), 0);
	CHECK_EQ(sim_thread_start_on(&kill, "killer", 0, killer, l), 0);
	wl_run(2, 60, fill, 4, l->seed);
	WRITE_ONCE(l->stop, true);
	port_thread_join(off);
	port_thread_join(user);
	port_thread_join(kill);
	may_swapoff(true);
	fput(l->f);
	CHECK_EQ(swapoff(l->disk), 0);
	swap_check();
	return 0;
}

static void under_load(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 300 : 8);
	struct load l = {0};

	(void)state;
	for (u64 i = 0; i < n; i++) {
		l.seed = seed + i;
		snprintf(tm_context, sizeof(tm_context),
			 "(replay: SEED=%llu ITERS=1)",
			 (unsigned long long)l.seed);
		TM_RUN(load_body, .arg = &l, .mem = (6 + i % 3) << 20,
		       .swap_pages = 16384, .cpus = 1 + (int)(i % 4),
		       .explore = i % 2 == 1, .seed = l.seed);
	}
	fprintf(stderr,
		"swapoff: seeds %llu..%llu, %llu times off, %llu times "
		"refused, %llu times killed\n",
		(unsigned long long)seed, (unsigned long long)(seed + n - 1),
		(unsigned long long)l.offs, (unsigned long long)l.full,
		(unsigned long long)l.kills);
	assert_true(l.offs >= n && l.kills >= n / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back), cmocka_unit_test(refused),
		cmocka_unit_test(lost),	      cmocka_unit_test(watched),
		cmocka_unit_test(under_load),
	};

	return cmocka_run_group_tests_name("swapoff", tests, NULL, NULL);
}
