/* SPDX-License-Identifier: MIT */
/*
 * test_base_locks.c - locks, waits and epochs under the seeded scheduler, on
 * 1 to 4 CPUs, and what the order checker finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <mmkit/errno.h>

#include "base/lockdep.h"
#include "base/seqbuf.h"
#include "base_lock_cases.h"
#include "base_seed.h"
#include "sim.h"

static char said[8192];

static void on_console(void *arg, int level, const char *text, size_t len)
{
	size_t at = strlen(said);

	(void)arg;
	(void)level;
	if (at + len < sizeof(said)) {
		memcpy(said + at, text, len);
		said[at + len] = '\0';
	}
}

static void machine_up(int cpus, u64 seed, bool explore)
{
	struct sim_config cfg = {.cpus = cpus,
				 .seed = seed,
				 .explore = explore,
				 .console = on_console,
				 .catch_panic = true};

	said[0] = '\0';
	base_reset();
	assert_int_equal(sim_init(&cfg), 0);
}

/* Every case, on 1..4 CPUs, with and without switches at every point. */
static void primitives(void **state)
{
	u64 first = test_env("SEED", 1);

	(void)state;
	for (u64 k = 0; k < test_iters(8); k++) {
		u64 seed = first + k / 8;
		int err;

		machine_up(1 + (int)(k % 4), seed, k & 4);
		err = sim_run(run_lock_cases, &seed);
		if (err)
			fail_msg("SEED=%lu, round %lu: %d, %s",
				 (unsigned long)seed, (unsigned long)k, err,
				 said);
		sim_shutdown();
	}
}

/* ---- the order checker
 * -------------------------------------------------------------- */

static spinlock_t a, b, c, a2;
static struct mutex ma, mb;
static struct rw_semaphore rw;

static void take2(spinlock_t *x, spinlock_t *y)
{
	spin_lock(x);
	spin_lock(y);
	spin_unlock(y);
	spin_unlock(x);
}

static int good_orders(void *arg)
{
	struct seq_buf s;
	char text[256];

	(void)arg;
	take2(&a, &b);
	take2(&b, &c);
	take2(&a, &c);
	/* A trylock may go against the order. */
	spin_lock(&b);
	CHECK(spin_trylock(&a));
	spin_unlock(&b);
	spin_unlock(&a);
	/* Nor does it wait for a writer that queued behind its own reader. */
	down_read(&rw);
	CHECK(down_read_trylock(&rw));
	up_read(&rw);
	CHECK(lockdep_held(&rw));
	up_read(&rw);
	/* Two of one class, said so. */
	spin_lock(&a);
	spin_lock_nested(&a2, 1);
	CHECK(lockdep_held(&a2));
	spin_unlock(&a);
	spin_unlock(&a2);
	might_sleep();
	seq_buf_init(&s, text, sizeof(text));
	lockdep_dump(&s);
	if (MM_DEBUG >= 1)
		CHECK(strcmp(seq_buf_str(&s),
			     "test_a -> test_b, test_c, test_a/1\n"
			     "test_b -> test_c\n") == 0);
	return 0;
}

static int bad_inversion(void *arg)
{
	(void)arg;
	take2(&a, &b);
	take2(&b, &a);
	return 0;
}

static int bad_inversion_of_three(void *arg)
{
	(void)arg;
	take2(&a, &b);
	take2(&b, &c);
	take2(&c, &a);
	return 0;
}

static int bad_after_try(void *arg)
{
	(void)arg;
	take2(&a, &b);
	CHECK(spin_trylock(&b));
	spin_lock(&a);
	return 0;
}

static int bad_recursion(void *arg)
{
	(void)arg;
	spin_lock(&a);
	spin_lock(&a);
	return 0;
}

static int bad_same_class(void *arg)
{
	(void)arg;
	take2(&a, &a2);
	return 0;
}

static int bad_sleep_in_spin(void *arg)
{
	(void)arg;
	spin_lock(&a);
	mutex_lock(&mb);
	return 0;
}

static int bad_might_sleep(void *arg)
{
	(void)arg;
	get_cpu();
	might_sleep();
	return 0;
}

static int bad_sleep_irqs_off(void *arg)
{
	unsigned long flags;

	(void)arg;
	local_irq_save(flags);
	down_read(&rw);
	return (int)flags;
}

static int bad_sleep_in_epoch(void *arg)
{
	(void)arg;
	epoch_enter();
	epoch_synchronize();
	return 0;
}

static int bad_mutex_order(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++) {
		mutex_lock(i ? &mb : &ma);
		mutex_lock(i ? &ma : &mb);
		mutex_unlock(&ma);
		mutex_unlock(&mb);
	}
	return 0;
}

static int bad_read_twice(void *arg)
{
	(void)arg;
	down_read(&rw);
	down_read(&rw);
	return 0;
}

static int bad_release(void *arg)
{
	(void)arg;
	lockdep_release(&a);
	return 0;
}

static int bad_too_many(void *arg)
{
	(void)arg;
	for (int i = 0; i <= MM_TASK_HELD_LOCKS; i++)
		preempt_disable();
	return 0;
}

static int bad_left_held(void *arg)
{
	(void)arg;
	spin_lock(&a);
	lockdep_assert_none_held();
	return 0;
}

/* A completion callback takes a lock that is elsewhere taken with interrupts
 * on. */
static void irq_end_io(struct port_bio *bio)
{
	spin_lock(&a);
	spin_unlock(&a);
	complete(bio->private);
}

static int use_in_irq(bool save)
{
	struct sim_disk_config cfg = {.name = "d", .size_bytes = 1 << 20};
	struct completion done;
	struct port_bio bio = {.op = PORT_BIO_READ,
			       .nr_pages = 1,
			       .end_io = irq_end_io,
			       .private = &done};
	unsigned long flags;

	init_completion(&done);
	CHECK(port_ram_online(0, 1 << 20) == 0);
	CHECK(sim_disk_open(&bio.bdev, &cfg, NULL) == 0);
	port_bio_submit(&bio);
	wait_for_completion(&done);
	if (save) {
		spin_lock_irqsave(&a, flags);
		spin_unlock_irqrestore(&a, flags);
		local_irq_save(flags);
		spin_lock(&a);
		spin_unlock(&a);
		local_irq_restore(flags);
	} else {
		spin_lock(&a);
		spin_unlock(&a);
	}
	return 0;
}

static int good_irq(void *arg)
{
	(void)arg;
	return use_in_irq(true);
}

static int bad_irq(void *arg)
{
	(void)arg;
	return use_in_irq(false);
}

static const struct finding {
	int (*fn)(void *arg);
	const char *text; /* NULL: nothing is found */
} findings[] = {
	{good_orders, NULL},
	{good_irq, NULL},
	{bad_inversion, "order inversion: wants test_a; task "},
	{bad_inversion, "holds: test_b; seen before: test_a -> test_b"},
	{bad_inversion_of_three, "seen before: test_a -> test_b -> test_c"},
	{bad_after_try, "order inversion: wants test_a"},
	{bad_recursion, "taken twice by its holder: test_a"},
	{bad_same_class, "second lock of one class (no nesting said): test_a"},
	{bad_sleep_in_spin, "sleeping lock where sleep is not allowed: oom"},
	{bad_might_sleep, "sleep where it is not allowed"},
	{bad_sleep_irqs_off, "holds: [irqs off]"},
	{bad_sleep_in_epoch, "holds: [no sleep]"},
	{bad_mutex_order, "order inversion: wants tasks"},
	{bad_read_twice, "taken twice by its holder: mmap_lock"},
	{bad_release, "released but not held"},
	{bad_too_many, "too many locks held"},
	{bad_left_held, "thread ends while holding a lock: test_a"},
	{bad_irq, "taken in an interrupt and with interrupts on: test_a"},
};

static void checker_finds(void **state)
{
	(void)state;
	if (MM_DEBUG < 1)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(findings); i++) {
		const struct finding *f = &findings[i];
		int err;

		machine_up(1, 1, false);
		spin_lock_init(&a, LOCK_CLASS_TEST_A);
		spin_lock_init(&a2, LOCK_CLASS_TEST_A);
		spin_lock_init(&b, LOCK_CLASS_TEST_B);
		spin_lock_init(&c, LOCK_CLASS_TEST_C);
		mutex_init(&ma, LOCK_CLASS_TASKS);
		mutex_init(&mb, LOCK_CLASS_OOM);
		init_rwsem(&rw, LOCK_CLASS_MMAP_LOCK);
		err = sim_run(f->fn, NULL);
		if (err != (f->text ? -EIO : 0) ||
		    (f->text && !strstr(said, f->text)))
			fail_msg("finding %zu: %d, said \"%s\"", i, err, said);
		sim_shutdown();
	}
	assert_string_equal(lock_class_name(LOCK_CLASS_ZONE), "zone");
	assert_string_equal(lock_class_name(NR_LOCK_CLASSES), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(primitives),
		cmocka_unit_test(checker_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
