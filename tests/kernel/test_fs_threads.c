/* SPDX-License-Identifier: MIT */
/*
 * test_fs_threads.c - names and files with real threads beside each other:
 * making, removing, renaming, linking, opening, reading, mounting, and the
 * shrinker in between, for the thread sanitizer.
 *
 * What is checked meanwhile: an error is one that the call may give; a file's
 * bytes are writers'. At the end the caches are in order and
 * everything is given back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <mmkit/boot.h>
#include <mmkit/shrinker.h>
#include <mmkit/slab.h>

#include "base/prng.h"
#include "base_seed.h"
#include "cache/filemap.h"
#include "fs/fs.h"
#include "host.h"
#include "host_check.h"
#include "machine_test.h"
#include "phys/e820.h"
#include "task_stub.h"

#define THREADS 4u
#define DIRS	3u
#define NAMES	5u
#define TAG	64u /* bytes that a writer writes at once */

struct worker {
	struct port_thread *thread;
	struct prng rnd;
	u64 ops, done[8]; /* how often something really happened */
	u8 tag;
};

static struct e820_table map;
static u64 iters;

static void some_name(struct worker *w, char *buf, size_t size)
{
	(void)mm_scnprintf(buf, size, "/d%u/n%u",
			   (u32)prng_below(&w->rnd, DIRS),
			   (u32)prng_below(&w->rnd, NAMES));
}

/* ERR is none, or one of those that others beside us make possible. */
static bool allowed(int err, const int *errs, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (err == errs[i])
			return true;
	return err == 0;
}

#define ALLOWED(err, ...)                                \
	CHECK(allowed((err), (const int[]){__VA_ARGS__}, \
		      ARRAY_SIZE(((const int[]){__VA_ARGS__}))))

static void write_tag(struct worker *w, struct file *f)
{
	u8 bytes[TAG];
	u64 pos = 0;

	memset(bytes, w->tag, sizeof(bytes));
	CHECK(kernel_write(f, bytes, sizeof(bytes), &pos) == TAG);
}

/* Bytes of writers, or there are none yet; a read beside a write may see both,
 * as on Linux. */
static void read_tag(struct file *f)
{
	u8 bytes[TAG];
	u64 pos = 0;
	s64 n = kernel_read(f, bytes, sizeof(bytes), &pos);

	CHECK(n == 0 || n == TAG);
	for (s64 i = 0; i < n; i++)
		CHECK(bytes[i] >= 1 && bytes[i] <= THREADS);
}

static void op_open(struct worker *w)
{
	bool make = prng_one_in(&w->rnd, 2);
	char name[32];
	struct file *f;

	some_name(w, name, sizeof(name));
	f = vfs_open(AT_FDCWD, name, O_RDWR | (make ? O_CREAT : 0), 0644);
	if (IS_ERR(f)) {
		ALLOWED((int)PTR_ERR(f), -ENOENT, -EISDIR);
		return;
	}
	w->done[0]++;
	if (prng_one_in(&w->rnd, 2))
		write_tag(w, f);
	else
		read_tag(f);
	fput(f);
}

static void op_remove(struct worker *w)
{
	bool dir = prng_one_in(&w->rnd, 3);
	char name[32];
	int err;

	some_name(w, name, sizeof(name));
	err = vfs_unlink(AT_FDCWD, name, dir);
	ALLOWED(err, -ENOENT, -EISDIR, -ENOTDIR, -ENOTEMPTY, -EBUSY);
	w->done[1] += !err;
}

static void op_mkdir(struct worker *w)
{
	char name[40];
	int err;

	some_name(w, name, 32);
	/* Sometimes inside a directory that may be going. */
	if (prng_one_in(&w->rnd, 3))
		strcat(name, "/in");
	err = vfs_mkdir(AT_FDCWD, name, 0755);
	ALLOWED(err, -EEXIST, -ENOENT, -ENOTDIR);
	w->done[2] += !err;
	if (!err && prng_one_in(&w->rnd, 2))
		ALLOWED(vfs_unlink(AT_FDCWD, name, true), -ENOENT, -ENOTDIR,
			-ENOTEMPTY);
}

static void op_rename(struct worker *w)
{
	char from[32], to[32];
	struct link_args a = {.olddfd = AT_FDCWD,
			      .oldpath = from,
			      .newdfd = AT_FDCWD,
			      .newpath = to,
			      .flags = prng_one_in(&w->rnd, 4) ? RENAME_EXCHANGE
				       : prng_one_in(&w->rnd, 3)
					       ? RENAME_NOREPLACE
					       : 0};
	int err;

	some_name(w, from, sizeof(from));
	some_name(w, to, sizeof(to));
	err = do_rename(&a);
	ALLOWED(err, -ENOENT, -EEXIST, -EISDIR, -ENOTDIR, -ENOTEMPTY, -EINVAL,
		-EBUSY);
	w->done[3] += !err;
}

static void op_link(struct worker *w)
{
	char from[32], to[32];
	struct link_args a = {.olddfd = AT_FDCWD,
			      .oldpath = from,
			      .newdfd = AT_FDCWD,
			      .newpath = to};
	int err;

	some_name(w, from, sizeof(from));
	some_name(w, to, sizeof(to));
	err = do_link(&a);
	ALLOWED(err, -ENOENT, -EEXIST, -EPERM);
	w->done[4] += !err;
}

static void op_lookup(struct worker *w)
{
	struct dentry *d;
	char name[40];
	int err;

	some_name(w, name, 32);
	if (prng_one_in(&w->rnd, 2))
		strcat(name, "/../n1");
	err = vfs_lookup(AT_FDCWD, name, LOOKUP_FOLLOW, &d);
	ALLOWED(err, -ENOENT, -ENOTDIR);
	if (!err) {
		CHECK(dentry_vnode(d));
		dput(d);
		w->done[5]++;
	}
}

/* Nobody but us goes below our mountpoint: umount finds it unused. */
static void op_mount(struct worker *w)
{
	char dir[32], file[40];
	struct file *f;
	int err;

	(void)mm_scnprintf(dir, sizeof(dir), "/m%u", w->tag);
	CHECK(vfs_mount("none", dir, "tmpfs", 0, NULL) == 0);
	(void)mm_scnprintf(file, sizeof(file), "%s/f", dir);
	f = vfs_open(AT_FDCWD, file, O_RDWR | O_CREAT, 0600);
	CHECK(!IS_ERR(f));
	write_tag(w, f);
	fput(f);
	err = vfs_umount(dir, 0);
	CHECK(err == 0);
	w->done[6]++;
}

static void op_shrink(struct worker *w)
{
	w->done[7] += shrink_slab(GFP_KERNEL, 0, 0);
}

static void worker_main(void *arg)
{
	static void (*const ops[])(struct worker * w) = {
		op_open,   op_open, op_remove, op_mkdir, op_rename,
		op_rename, op_link, op_lookup, op_mount, op_shrink};
	struct worker *w = arg;

	for (w->ops = 0; w->ops < iters; w->ops++)
		ops[prng_below(&w->rnd, ARRAY_SIZE(ops))](w);
}

static void start_world(void)
{
	struct mm_boot_params bp = {.map = &map};
	char name[32];

	CHECK(mm_boot(&bp) == 0);
	kt_start(NULL);
	CHECK(vfs_init() == 0);
	for (u32 i = 0; i < DIRS; i++) {
		(void)mm_scnprintf(name, sizeof(name), "/d%u", i);
		CHECK(vfs_mkdir(AT_FDCWD, name, 0755) == 0);
	}
	for (u32 i = 0; i < THREADS; i++) {
		(void)mm_scnprintf(name, sizeof(name), "/m%u", i + 1);
		CHECK(vfs_mkdir(AT_FDCWD, name, 0755) == 0);
	}
}

static int world(void *arg)
{
	static struct worker w[THREADS];
	u64 sum[8] = {0};

	(void)arg;
	start_world();
	for (u32 i = 0; i < THREADS; i++) {
		memset(&w[i], 0, sizeof(w[i]));
		prng_seed(&w[i].rnd, the_seed * 100 + i);
		w[i].tag = (u8)(i + 1);
		CHECK(port_thread_start(&w[i].thread, "names", -1, worker_main,
					&w[i]) == 0);
	}
	for (u32 i = 0; i < THREADS; i++) {
		port_thread_join(w[i].thread);
		for (u32 k = 0; k < 8; k++)
			sum[k] += w[i].done[k];
	}
	/* Each of them did something. */
	for (u32 k = 0; k < 8; k++)
		CHECK(iters < 200 || sum[k] > 0);
	dcache_check();
	vfs_shutdown();
	kt_stop();
	mm_shutdown();
	return 0;
}

static void names_beside_each_other(void **state)
{
	struct host_config hc = {.quiet = true};

	(void)state;
	iters = test_env("ITERS", 800);
	for (u64 k = 0; k < 3; k++) {
		the_seed = test_env("SEED", 1) + k;
		e820_init(&map);
		CHECK(!e820_add(&map, 0x100000, 32UL << 20, E820_TYPE_RAM));
		mm_reset();
		CHECK(host_init(&hc) == 0);
		CHECK(host_run(world, NULL) == 0);
		CHECK(host_shutdown() == 0);
		mm_reset();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_beside_each_other),
	};

	fprintf(stderr, "test_fs_threads: SEED=%llu\n",
		(unsigned long long)test_env("SEED", 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
