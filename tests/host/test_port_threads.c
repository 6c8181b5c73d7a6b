/* SPDX-License-Identifier: MIT */
/* The host world: slots, park, locks, disks, access sections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

#define RAM_BYTES (8UL << 20)
#define ROOT_PFN  1
#define VA	  0x7f0000000000UL
#define URW	  (X86_PTE_P | X86_PTE_RW | X86_PTE_US)
#define THREADS	  3

static int setup(void **state)
{
	struct host_config cfg = {.cpus = 5, .ram_max = 1UL << 30};

	(void)state;
	if (host_init(&cfg))
		return -1;
	return port_ram_online(0, RAM_BYTES);
}

static int teardown(void **state)
{
	(void)state;
	return host_shutdown();
}

/* ---- slots ------------------------------------------------------------------
 */

static void parks(void *arg)
{
	int *cpu = arg;

	*cpu = port_cpu();
	assert_ptr_equal(port_current()->thread, port_self());
	while (!port_park(UINT64_MAX))
		;
}

static void slots_run_out(void **state)
{
	struct port_thread *t[8], *none = NULL;
	int cpu[8], i, k, n = 0;

	(void)state;
	assert_int_equal(port_nr_cpus(), 5);
	(void)port_current(); /* takes a slot */
	while (n < 8 && !port_thread_start(&t[n], "parks", -1, parks, &cpu[n]))
		n++;
	assert_int_equal(n, 4);
	assert_int_equal(port_thread_start(&none, "x", -1, parks, NULL),
			 -EAGAIN);
	assert_null(none);
	assert_int_equal(host_shutdown(), -EBUSY);
	for (i = 0; i < n; i++) {
		port_unpark(t[i]);
		port_thread_join(t[i]);
	}
	for (i = 0; i < n; i++) {
		for (k = 0; k < i; k++)
			assert_int_not_equal(cpu[i], cpu[k]);
	}
	/* Slots come back. */
	assert_int_equal(host_thread_start(&t[0], "again", parks, &cpu[0]), 0);
	assert_int_equal(host_thread_task(t[0])->flags, 0);
	port_unpark(t[0]);
	port_thread_join(t[0]);
}

static void *foreign(void *arg)
{
	struct mm_task *t = port_current();

	assert_non_null(t);
	assert_ptr_equal(t, port_current());
	assert_true(t->flags & PF_KTHREAD);
	*(int *)arg = port_cpu();
	return NULL;
}

/* A thread's end gives its slot back without being asked. */
static void foreign_threads(void **state)
{
	pthread_t p;
	int i, cpu;

	(void)state;
	for (i = 0; i < 20; i++) {
		cpu = -1;
		assert_int_equal(pthread_create(&p, NULL, foreign, &cpu), 0);
		assert_int_equal(pthread_join(p, NULL), 0);
		assert_true(cpu >= 0 && cpu < 5);
	}
}

static u32 hook_count;

static void on_switch(struct mm_task *prev, struct mm_task *next)
{
	assert_ptr_not_equal(prev, next);
	__atomic_fetch_add(&hook_count, 1, __ATOMIC_RELAXED);
}

static void switch_hook(void **state)
{
	struct port_thread *t;
	int cpu;

	(void)state;
	hook_count = 0;
	port_set_switch_hook(on_switch);
	assert_int_equal(host_thread_start(&t, "user", parks, &cpu), 0);
	port_unpark(t);
	port_thread_join(t);
	assert_int_equal(hook_count, 2);
	port_set_switch_hook(NULL);
}

/* ---- park and locks
 * ------------------------------------------------------------ */

static void park_permits(void **state)
{
	u64 t0 = port_now_ns();

	(void)state;
	assert_false(port_park(2000000));
	assert_true(port_now_ns() - t0 >= 2000000);
	port_unpark(port_self());
	port_unpark(port_self());
	assert_true(port_park(UINT64_MAX));
	assert_false(port_park(0));
}

static struct {
	u32 lock;
	u64 count;
	struct port_thread *turn[2];
	u32 ball;
} w;

static void locker(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 20000; i++) {
		port_pin();
		if (i % 3 || !port_spin_trylock(&w.lock))
			port_spin_lock(&w.lock);
		w.count++;
		port_spin_unlock(&w.lock);
		port_unpin();
	}
}

static void spinlocks(void **state)
{
	struct port_thread *t[THREADS];
	int i;

	(void)state;
	w.count = 0;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(
			port_thread_start(&t[i], "locker", -1, locker, NULL),
			0);
	for (i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
	assert_int_equal(w.count, THREADS * 20000);
}

/* Two threads hand a ball to and fro; a lost permit would hang. */
static void player(void *arg)
{
	u32 me = (u32)(uintptr_t)arg;
	int i;

	while (!__atomic_load_n(&w.turn[!me], __ATOMIC_ACQUIRE))
		port_relax();
	for (i = 0; i < 2000; i++) {
		while (__atomic_load_n(&w.ball, __ATOMIC_ACQUIRE) != me)
			port_park(UINT64_MAX);
		__atomic_store_n(&w.ball, !me, __ATOMIC_RELEASE);
		port_unpark(w.turn[!me]);
	}
	/* Nobody may be freed while the other still unparks it. */
	__atomic_fetch_add(&w.count, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&w.count, __ATOMIC_ACQUIRE) < 2)
		port_relax();
}

static void ping_pong(void **state)
{
	struct port_thread *t[2];
	uintptr_t i;

	(void)state;
	memset(&w, 0, sizeof(w));
	for (i = 0; i < 2; i++) {
		assert_int_equal(port_thread_start(&t[i], "player", -1, player,
						   (void *)i),
				 0);
		__atomic_store_n(&w.turn[i], t[i], __ATOMIC_RELEASE);
	}
	port_thread_join(t[0]);
	port_thread_join(t[1]);
	assert_int_equal(w.ball, 0);
}

/* ---- disks
 * --------------------------------------------------------------------- */

static u32 ends;

static void on_end(struct port_bio *bio)
{
	struct port_thread *waiter = bio->private;

	assert_true(port_in_irq());
	assert_non_null(port_current());
	/* From here on the waiter may use the bio again. */
	__atomic_fetch_add(&ends, 1, __ATOMIC_RELEASE);
	port_unpark(waiter);
}

static void disk_round(struct port_bdev *d, struct port_bio *bio,
		       enum port_bio_op op, u64 pfn)
{
	u32 i;

	__atomic_store_n(&ends, 0, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++) {
		bio[i] = (struct port_bio){
			.bdev = d,
			.op = op,
			.sector = i * 16,
			.nr_pages = 2,
			.end_io = on_end,
			.private = port_self(),
			.pfn = {pfn + 2 * i, pfn + 2 * i + 1}};
		port_bio_submit(&bio[i]);
	}
	while (__atomic_load_n(&ends, __ATOMIC_ACQUIRE) < 4)
		port_park(UINT64_MAX);
	for (i = 0; i < 4; i++)
		assert_int_equal(bio[i].status, 0);
}

/* A file's bytes go to its medium; a flush that cannot says so. */
static void disk_flush(void **state)
{
	char path[] = "/tmp/mmkit-flush-XXXXXX", err[HOST_DISK_ERR_MAX];
	struct host_disk_config dc = {.size_bytes = 64 * PAGE_SIZE,
				      .path = path};
	struct port_bio bio = {.op = PORT_BIO_FLUSH,
			       .end_io = on_end,
			       .status = 1,
			       .private = port_self()};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(host_disk_open(&bio.bdev, &dc, err), 0);
	__atomic_store_n(&ends, 0, __ATOMIC_RELAXED);
	port_bio_submit(&bio);
	while (__atomic_load_n(&ends, __ATOMIC_ACQUIRE) < 1)
		port_park(UINT64_MAX);
	assert_int_equal(bio.status, 0);
	host_disk_close(bio.bdev);
	unlink(path);
}

static void disk_contents(void **state)
{
	struct host_disk_config dc = {.size_bytes = 64 * PAGE_SIZE};
	char err[HOST_DISK_ERR_MAX];
	unsigned char *ram = port_ram(0);
	static struct port_bio bio[4];
	struct port_bdev *d;
	u32 i;

	(void)state;
	assert_int_equal(host_disk_open(&d, &dc, err), 0);
	assert_int_equal(port_bdev_size(d), dc.size_bytes);
	for (i = 0; i < 8 * PAGE_SIZE; i++)
		ram[i] = (unsigned char)(i * 3 + i / 5000);
	disk_round(d, bio, PORT_BIO_WRITE, 0);
	disk_round(d, bio, PORT_BIO_READ, 8);
	assert_memory_equal(ram, ram + 8 * PAGE_SIZE, 8 * PAGE_SIZE);
	host_disk_close(d);
	dc.path = "/nonexistent/dir/swap";
	assert_int_equal(host_disk_open(&d, &dc, err), -ENOENT);
	assert_non_null(strstr(err, "cannot open"));
	memset(ram, 0, 16 * PAGE_SIZE);
}

/* ---- user access
 * -------------------------------------------------------------------- */

static u64 *pte(u64 table_pfn, u32 index)
{
	return (u64 *)port_ram(PFN_PHYS(table_pfn)) + index;
}

static u64 *build_table(void)
{
	const struct paging_format *f = &paging_x86_64_4level;

	*pte(1, pt_index(f, 3, VA)) = PFN_PHYS(2) | URW;
	*pte(2, pt_index(f, 2, VA)) = PFN_PHYS(3) | URW;
	*pte(3, pt_index(f, 1, VA)) = PFN_PHYS(4) | URW;
	return pte(4, pt_index(f, 0, VA));
}

static u32 last_error;
static u64 *fault_slot;

static int on_fault(struct mm_task *task, uva_t va, u32 error)
{
	assert_ptr_equal(task, port_current());
	__atomic_store_n(&last_error, error, __ATOMIC_RELAXED);
	if (va >= VA + PAGE_SIZE)
		return 11;
	/* The page is being moved: it will be mapped again. */
	port_park(20000);
	return 0;
}

static int map_on_fault(struct mm_task *task, uva_t va, u32 error)
{
	(void)task;
	(void)va;
	last_error = error;
	__atomic_store_n(fault_slot, PFN_PHYS(20) | URW, __ATOMIC_SEQ_CST);
	return 0;
}

static void access_bits(void **state)
{
	u64 *slot = build_table();
	char buf[16];

	(void)state;
	fault_slot = slot;
	port_load_root(ROOT_PFN, 0);
	port_set_fault_hook(map_on_fault);
	assert_int_equal(host_touch(VA, HOST_READ), 0);
	assert_int_equal(last_error, PF_ERR_USER);
	assert_int_equal(*slot & (X86_PTE_A | X86_PTE_D), X86_PTE_A);
	assert_int_equal(host_copy_to_user(VA + 100, "hello", 6), 0);
	assert_true(*slot & X86_PTE_D);
	assert_int_equal(host_copy_from_user(buf, VA + 100, 6), 0);
	assert_string_equal(buf, "hello");
	assert_string_equal((char *)port_ram(PFN_PHYS(20) + 100), "hello");
	*slot = PFN_PHYS(20) | X86_PTE_P | X86_PTE_US;
	assert_int_equal(host_copy_to_user(VA, "x", 1), 0);
	assert_int_equal(last_error,
			 PF_ERR_PRESENT | PF_ERR_WRITE | PF_ERR_USER);
	port_set_fault_hook(on_fault);
	assert_int_equal(host_copy_to_user(VA + PAGE_SIZE - 1, "xy", 2), 11);
	assert_int_equal(last_error, PF_ERR_WRITE | PF_ERR_USER);
	assert_int_equal(host_touch(1UL << 60, HOST_READ), 11);
	port_set_fault_hook(NULL);
}

#define SHARE 512 /* bytes of the page that each accessor owns */

static bool stop;
static u64 rounds[THREADS];

/* Writes its own part of the page and reads it back, again and again. */
static void accessor(void *arg)
{
	uintptr_t me = (uintptr_t)arg;
	uva_t va = VA + SHARE * me;
	unsigned char buf[SHARE], back[SHARE];
	u64 n = 0;

	port_load_root(ROOT_PFN, 0);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		memset(buf, (int)(++n % 200), SHARE);
		assert_int_equal(host_copy_to_user(va, buf, SHARE), 0);
		assert_int_equal(host_copy_from_user(back, va, SHARE), 0);
		assert_memory_equal(buf, back, SHARE);
		__atomic_store_n(&rounds[me], n, __ATOMIC_RELEASE);
	}
}

/* All accessors have done at least N rounds. */
static bool all_did(u64 n)
{
	int i;

	for (i = 0; i < THREADS; i++) {
		if (__atomic_load_n(&rounds[i], __ATOMIC_ACQUIRE) < n)
			return false;
	}
	return true;
}

/*
 * Move the page between two frames while threads write it: unmap, flush,
 * copy, poison the old frame, map. An access that survived the flush would
 * lose a write or read the poison (and is a race to ThreadSanitizer).
 */
static void access_against_flush(void **state)
{
	struct port_cpumask all = {.bits = {0x1f}};
	struct port_thread *t[THREADS];
	u64 *slot = build_table(), from = 20, to = 21;
	uintptr_t i;

	(void)state;
	stop = false;
	memset(rounds, 0, sizeof(rounds));
	port_set_fault_hook(on_fault);
	__atomic_store_n(slot, PFN_PHYS(from) | URW, __ATOMIC_SEQ_CST);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(host_thread_start(&t[i], "accessor", accessor,
						   (void *)i),
				 0);
	for (i = 0; i < 300 || !all_did(300); i++) {
		__atomic_exchange_n(slot, 0, __ATOMIC_SEQ_CST);
		port_tlb_flush(&all, 0, VA, VA + PAGE_SIZE);
		port_copy_page(port_ram(PFN_PHYS(to)),
			       port_ram(PFN_PHYS(from)));
		memset(port_ram(PFN_PHYS(from)), 0xee, PAGE_SIZE);
		__atomic_store_n(slot, PFN_PHYS(to) | URW, __ATOMIC_SEQ_CST);
		from = to;
		to = 41 - from;
		port_park(20000); /* let some accesses through */
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
	assert_true(*slot & X86_PTE_P);
	port_set_fault_hook(NULL);
}

static char *trap_page;
static u32 inside, released;

/* The copy of an access section stops here, at its source. */
static void on_trap(int sig)
{
	struct timespec ts = {.tv_nsec = 20000000};

	(void)sig;
	__atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
	nanosleep(&ts, NULL);
	__atomic_store_n(&released, 1, __ATOMIC_RELEASE);
	mprotect(trap_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static void slow_writer(void *arg)
{
	(void)arg;
	port_load_root(ROOT_PFN, 0);
	assert_int_equal(host_copy_to_user(VA, trap_page, 100), 0);
}

/* A flush returns only after an access that had begun before is complete. */
static void flush_waits_for_access(void **state)
{
	struct port_cpumask all = {.bits = {0x1f}};
	struct sigaction sa = {.sa_handler = on_trap}, old;
	struct port_thread *t;
	u64 *slot = build_table();

	(void)state;
	inside = released = 0;
	trap_page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(trap_page, MAP_FAILED);
	memset(trap_page, 0x5a, PAGE_SIZE);
	assert_int_equal(mprotect(trap_page, PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);
	__atomic_store_n(slot, PFN_PHYS(20) | URW, __ATOMIC_SEQ_CST);
	assert_int_equal(host_thread_start(&t, "slow", slow_writer, NULL), 0);
	while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE))
		port_relax();
	__atomic_exchange_n(slot, 0, __ATOMIC_SEQ_CST);
	port_tlb_flush(&all, 0, VA, VA + PAGE_SIZE);
	assert_int_equal(__atomic_load_n(&released, __ATOMIC_ACQUIRE), 1);
	/* Nobody else touches the frame now. */
	assert_int_equal(((char *)port_ram(PFN_PHYS(20)))[99], 0x5a);
	port_thread_join(t);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
	assert_int_equal(munmap(trap_page, PAGE_SIZE), 0);
}

static void before_init(void **state)
{
	u32 word = 0;

	(void)state;
	assert_int_equal(port_cpu(), 0);
	assert_non_null(port_current());
	port_pin();
	port_spin_lock(&word);
	assert_false(port_spin_trylock(&word));
	port_spin_unlock(&word);
	port_unpin();
	assert_int_equal(host_init(&(struct host_config){.cpus = 65}), -EINVAL);
}

#define HOST_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_init),
		HOST_TEST(slots_run_out),
		HOST_TEST(foreign_threads),
		HOST_TEST(switch_hook),
		HOST_TEST(park_permits),
		HOST_TEST(spinlocks),
		HOST_TEST(ping_pong),
		HOST_TEST(disk_flush),
		HOST_TEST(disk_contents),
		HOST_TEST(access_bits),
		HOST_TEST(flush_waits_for_access),
		HOST_TEST(access_against_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
