/* SPDX-License-Identifier: MIT */
/* The sim world's disks: contents, times, order, errors, interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim.h"

#define SECTORS	   (PAGE_SIZE / PORT_SECTOR_SIZE)
#define DISK_PAGES 64

static struct port_bdev *disk;
static char path[64];
static u32 done;
static struct port_bio *order[32];
static u64 when[32];

static void on_done(struct port_bio *bio)
{
	assert_true(port_in_irq());
	when[done] = port_now_ns();
	order[done++] = bio;
	if (bio->private)
		port_unpark(bio->private);
}

static void fill(struct port_bio *bio, enum port_bio_op op, u64 page, u64 pfn,
		 u32 n)
{
	u32 i;

	memset(bio, 0, sizeof(*bio));
	bio->bdev = disk;
	bio->op = op;
	bio->sector = page * SECTORS;
	bio->nr_pages = n;
	bio->end_io = on_done;
	bio->private = port_self();
	for (i = 0; i < n; i++)
		bio->pfn[i] = pfn + i;
}

static void wait_for(u32 n)
{
	while (done < n)
		port_park(UINT64_MAX);
}

/* One request from start to end; its status. */
static int transfer(enum port_bio_op op, u64 page, u64 pfn, u32 n)
{
	struct port_bio bio;

	done = 0;
	fill(&bio, op, page, pfn, n);
	port_bio_submit(&bio);
	wait_for(1);
	return bio.status;
}

static void boot(int cpus)
{
	struct sim_config cfg = {.cpus = cpus, .ram_max = 1UL << 36};

	assert_int_equal(sim_init(&cfg), 0);
	assert_int_equal(port_ram_online(0, 1UL << 20), 0);
}

static void open_disk(const char *p, u32 depth)
{
	struct sim_disk_config dc = {.name = "/swapfile",
				     .path = p,
				     .size_bytes = DISK_PAGES * PAGE_SIZE,
				     .depth = depth};
	char err[SIM_DISK_ERR_MAX] = "";

	assert_int_equal(sim_disk_open(&disk, &dc, err), 0);
	assert_string_equal(port_bdev_name(disk), "/swapfile");
	assert_int_equal(port_bdev_size(disk), dc.size_bytes);
}

/* ---- contents
 * ----------------------------------------------------------------- */

static int run_contents(void *arg)
{
	unsigned char *ram = port_ram(0);
	struct sim_disk_stats s;
	u32 i;

	(void)arg;
	for (i = 0; i < 3 * PAGE_SIZE; i++)
		ram[i] = (unsigned char)(i * 7 + i / 4096);
	assert_int_equal(transfer(PORT_BIO_WRITE, 10, 0, 3), 0);
	assert_int_equal(transfer(PORT_BIO_READ, 11, 8, 2), 0);
	assert_memory_equal(ram + PAGE_SIZE, ram + 8 * PAGE_SIZE,
			    2 * PAGE_SIZE);
	/* What was never written is zero. */
	assert_int_equal(transfer(PORT_BIO_READ, 40, 8, 1), 0);
	for (i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(ram[8 * PAGE_SIZE + i], 0);
	/* Past the end. */
	assert_int_equal(transfer(PORT_BIO_READ, DISK_PAGES - 1, 8, 2), -EIO);
	assert_int_equal(transfer(PORT_BIO_WRITE, 1UL << 60, 8, 1), -EIO);
	sim_disk_stats(disk, &s);
	assert_int_equal(s.reads, 3);
	assert_int_equal(s.writes, 2);
	assert_int_equal(s.errors, 2);
	return 0;
}

static void contents(void **state)
{
	struct stat st;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		boot(1 + i);
		open_disk(i ? path : NULL, 0);
		assert_int_equal(sim_run(run_contents, NULL), 0);
		sim_shutdown();
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, DISK_PAGES * PAGE_SIZE);
}

/* ---- flush
 * ----------------------------------------------------------------------------
 */

/* A flush moves nothing, counts as itself, and fails by its own rule. */
static int run_flush(void *arg)
{
	struct sim_disk_fault rule = {.writes = true, .error = -EIO};
	struct sim_disk_stats s;

	(void)arg;
	assert_int_equal(transfer(PORT_BIO_FLUSH, 1UL << 50, 0, 0), 0);
	sim_disk_fail(disk, &rule);
	assert_int_equal(transfer(PORT_BIO_FLUSH, 0, 0, 0), 0);
	rule.flushes = true;
	sim_disk_fail(disk, &rule);
	assert_int_equal(transfer(PORT_BIO_FLUSH, 0, 0, 0), -EIO);
	sim_disk_fail(disk, NULL);
	sim_disk_stats(disk, &s);
	assert_int_equal(s.flushes, 3);
	assert_int_equal(s.reads + s.writes, 0);
	assert_int_equal(s.errors, 1);
	return 0;
}

static void flush(void **state)
{
	(void)state;
	boot(1);
	open_disk(NULL, 1);
	assert_int_equal(sim_run(run_flush, NULL), 0);
	sim_disk_close(disk);
	sim_shutdown();
}

/* ---- times and order
 * -------------------------------------------------------------- */

static int run_times(void *arg)
{
	static struct port_bio bio[6];
	u64 t0 = port_now_ns();
	u64 seek = sim_costs.disk_seek_ns, kib = sim_costs.disk_per_kib_ns;
	u32 i;

	(void)arg;
	assert_int_equal(transfer(PORT_BIO_READ, 0, 0, 1), 0);
	assert_true(when[0] >= t0 + seek + 4 * kib);
	assert_true(when[0] < t0 + seek + 4 * kib + 20000);
	t0 = port_now_ns();
	assert_int_equal(transfer(PORT_BIO_READ, 0, 0, 32), 0);
	assert_true(when[0] >= t0 + seek + 128 * kib);
	/* Two at once: the large first request ends after the small ones. */
	done = 0;
	for (i = 0; i < 6; i++) {
		fill(&bio[i], PORT_BIO_WRITE, i, i, i ? 1 : 32);
		port_bio_submit(&bio[i]);
	}
	wait_for(6);
	for (i = 1; i < 6; i++)
		assert_true(when[i] >= when[i - 1]);
	assert_ptr_equal(order[0], &bio[1]);
	assert_ptr_equal(order[1], &bio[0]);
	for (i = 2; i < 6; i++)
		assert_ptr_equal(order[i], &bio[i]);
	/* Depth 2: the five small ones take at least two rounds. */
	assert_true(when[5] - when[0] >= 2 * seek);
	return 0;
}

static void times_and_order(void **state)
{
	(void)state;
	boot(1);
	open_disk(NULL, 2);
	assert_int_equal(sim_run(run_times, NULL), 0);
	sim_shutdown();
}

/* ---- parts of a disk, and contents made on demand
 * ------------------------------------------------------------------ */

static u64 fill_calls;

static void fill_page(void *arg, u64 page, void *view)
{
	fill_calls++;
	memset(view, (int)((u64)(uintptr_t)arg + page), PAGE_SIZE);
}

static void open_part(struct port_bdev **out, struct port_bdev *on)
{
	struct sim_disk_config dc = {.name = "part",
				     .size_bytes = 8 * PAGE_SIZE,
				     .on = on,
				     .fill = fill_page,
				     .fill_arg = (void *)(uintptr_t)100};
	char err[SIM_DISK_ERR_MAX] = "";

	assert_int_equal(sim_disk_open(out, &dc, err), 0);
}

/* The page of RAM at PFN holds N bytes of VALUE and zeroes behind them. */
static void holds(u64 pfn, int value, u32 n)
{
	const unsigned char *p = (unsigned char *)port_ram(0) + pfn * PAGE_SIZE;

	for (u32 i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(p[i], i < n ? value : 0);
}

static u64 again(void)
{
	struct sim_disk_stats s;

	sim_disk_stats(disk, &s);
	return s.pages_again;
}

static int run_filled(void *arg)
{
	(void)arg;
	fill_calls = 0;
	assert_int_equal(transfer(PORT_BIO_READ, 3, 8, 2), 0);
	holds(8, 103, PAGE_SIZE);
	holds(9, 104, PAGE_SIZE);
	assert_int_equal(transfer(PORT_BIO_READ, 3, 10, 1), 0);
	holds(10, 103, PAGE_SIZE);
	assert_true(fill_calls == 2 && again() == 1);
	/* What was written is not made; nor is what it replaced. */
	memset((char *)port_ram(0) + 8 * PAGE_SIZE, 7, PAGE_SIZE);
	assert_int_equal(transfer(PORT_BIO_WRITE, 5, 8, 1), 0);
	assert_int_equal(transfer(PORT_BIO_READ, 5, 9, 1), 0);
	holds(9, 7, PAGE_SIZE);
	assert_true(fill_calls == 2 && again() == 2);
	/* Cut within page 2 and grown again: the rest is zero, and new. */
	assert_int_equal(port_bdev_resize(disk, 2 * PAGE_SIZE + 10), 0);
	assert_int_equal(port_bdev_resize(disk, 40 * PAGE_SIZE), 0);
	assert_int_equal(transfer(PORT_BIO_READ, 2, 8, 4), 0);
	holds(8, 102, 10);
	holds(9, 0, 0);
	holds(11, 0, 0);
	assert_true(fill_calls == 3 && again() == 2);
	assert_int_equal(transfer(PORT_BIO_READ, 39, 8, 1), 0);
	holds(8, 0, 0);
	assert_int_equal(again(), 2);
	return 0;
}

static void filled(void **state)
{
	struct sim_disk_config both = {
		.path = path, .size_bytes = PAGE_SIZE, .fill = fill_page};

	(void)state;
	boot(1);
	assert_int_equal(sim_disk_open(&disk, &both, NULL), -EINVAL);
	open_part(&disk, NULL);
	assert_int_equal(sim_run(run_filled, NULL), 0);
	sim_shutdown();
}

/* Two requests to two parts of a disk with one channel, or of two disks. */
static int run_parts(void *arg)
{
	static struct port_bio bio[2];
	struct port_bdev *whole = disk, *part[2];
	bool shared = arg != NULL;

	done = 0;
	for (u32 i = 0; i < 2; i++) {
		open_part(&part[i], shared ? whole : NULL);
		disk = part[i];
		fill(&bio[i], PORT_BIO_READ, 0, i, 1);
		port_bio_submit(&bio[i]);
	}
	wait_for(2);
	assert_int_equal(when[1] - when[0] >= sim_costs.disk_seek_ns, shared);
	for (u32 i = 0; i < 2; i++)
		sim_disk_close(part[i]);
	disk = whole;
	return 0;
}

static void parts(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		boot(1);
		open_disk(NULL, 1);
		assert_int_equal(sim_run(run_parts, i ? &disk : NULL), 0);
		sim_shutdown();
	}
}

/* ---- interrupts
 * --------------------------------------------------------------------- */

static int run_masked(void *arg)
{
	struct port_bio bio;
	unsigned long flags;

	(void)arg;
	done = 0;
	fill(&bio, PORT_BIO_READ, 0, 0, 1);
	flags = port_irq_save();
	port_bio_submit(&bio);
	port_charge_ns(10 * 1000 * 1000);
	port_sched_point();
	assert_int_equal(done, 0);
	assert_false(port_in_irq());
	port_irq_restore(flags);
	/* Pinned is not masked. */
	port_pin();
	port_sched_point();
	assert_int_equal(done, 1);
	port_unpin();
	assert_true(port_park(UINT64_MAX));
	return 0;
}

static void masked_interrupts(void **state)
{
	(void)state;
	boot(1);
	open_disk(NULL, 0);
	assert_int_equal(sim_run(run_masked, NULL), 0);
	sim_shutdown();
}

/* ---- errors
 * ---------------------------------------------------------------------- */

static int run_injected(void *arg)
{
	struct sim_disk_fault f = {
		.writes = true, .skip = 1, .times = 2, .error = -ENOSPC};
	unsigned char *ram = port_ram(0);

	(void)arg;
	memset(ram, 0xaa, PAGE_SIZE);
	sim_disk_fail(disk, &f);
	assert_int_equal(transfer(PORT_BIO_WRITE, 5, 0, 1), 0);
	memset(ram, 0xbb, PAGE_SIZE);
	assert_int_equal(transfer(PORT_BIO_WRITE, 5, 0, 1), -ENOSPC);
	assert_int_equal(transfer(PORT_BIO_READ, 5, 1, 1), 0);
	/* A failed write has written nothing. */
	assert_int_equal(ram[PAGE_SIZE], 0xaa);
	assert_int_equal(transfer(PORT_BIO_WRITE, 5, 0, 1), -ENOSPC);
	assert_int_equal(transfer(PORT_BIO_WRITE, 5, 0, 1), 0);
	f = (struct sim_disk_fault){.reads = true,
				    .first = 8 * SECTORS,
				    .last = 9 * SECTORS - 1,
				    .error = -EIO};
	sim_disk_fail(disk, &f);
	assert_int_equal(transfer(PORT_BIO_READ, 7, 1, 1), 0);
	assert_int_equal(transfer(PORT_BIO_READ, 8, 1, 1), -EIO);
	assert_int_equal(transfer(PORT_BIO_READ, 7, 1, 2), -EIO);
	assert_int_equal(transfer(PORT_BIO_READ, 9, 1, 1), 0);
	assert_int_equal(transfer(PORT_BIO_WRITE, 8, 0, 1), 0);
	sim_disk_fail(disk, NULL);
	assert_int_equal(transfer(PORT_BIO_READ, 8, 1, 1), 0);
	return 0;
}

/* The file is cut behind the disk's back: an error, not wrong data. */
static int run_cut(void *arg)
{
	(void)arg;
	assert_int_equal(truncate(path, 6 * PAGE_SIZE + 100), 0);
	assert_int_equal(transfer(PORT_BIO_READ, 5, 1, 1), 0);
	assert_int_equal(transfer(PORT_BIO_READ, 6, 1, 1), -EIO);
	return 0;
}

static void io_errors(void **state)
{
	(void)state;
	boot(1);
	open_disk(path, 0);
	assert_int_equal(sim_run(run_injected, NULL), 0);
	assert_int_equal(sim_run(run_cut, NULL), 0);
	sim_shutdown();
}

static void refused_paths(void **state)
{
	struct sim_disk_config dc = {.path = "/nonexistent/dir/swap",
				     .size_bytes = PAGE_SIZE};
	char err[SIM_DISK_ERR_MAX] = "";

	(void)state;
	boot(1);
	disk = NULL;
	assert_int_equal(sim_disk_open(&disk, &dc, err), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/dir/swap: cannot open"));
	dc.path = "/";
	assert_int_equal(sim_disk_open(&disk, &dc, err), -EISDIR);
	dc.path = path;
	dc.size_bytes = 100;
	assert_int_equal(sim_disk_open(&disk, &dc, err), -EINVAL);
	assert_non_null(strstr(err, "bad disk configuration"));
	dc.size_bytes = 1UL << 62;
	assert_true(sim_disk_open(&disk, &dc, err) < 0);
	assert_non_null(strstr(err, path));
	assert_null(disk);
	sim_shutdown();
}

static int make_path(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/mmkit-disk-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	return close(fd);
}

static int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents),
		cmocka_unit_test(flush),
		cmocka_unit_test(times_and_order),
		cmocka_unit_test(filled),
		cmocka_unit_test(parts),
		cmocka_unit_test(masked_interrupts),
		cmocka_unit_test(io_errors),
		cmocka_unit_test(refused_paths),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
