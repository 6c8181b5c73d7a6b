/* SPDX-License-Identifier: MIT */
/*
 * Power cuts: a file is written and synced while memory is short and pages go
 * to swap. Every write that reached the disk is logged; the power may fail
 * after each of them, and what was written after the last flush may or may not
 * be there, each page by itself. Whatever is left, data for which fsync() came
 * back before is there, and no page has what nobody wrote into it.
 */
#include "sim_machine.h"

#include <mmkit/flatfile.h>

#include "base/prng.h"
#include "cache/filemap.h"

#define P(n)	((u64)(n) << PAGE_SHIFT)
#define FPAGES	96u
#define WRITERS 2u
#define LOG_MAX 60000u

/* One thing that happened, in the order in which it did. */
enum what { LOG_WRITE, LOG_FLUSH, LOG_SYNCED };
struct event {
	enum what what;
	u32 page, version; /* of a write */
	u32 *promised;	   /* of a sync: a version of each page */
};

static struct pc {
	struct event log[LOG_MAX];
	u32 nr;
	u32 version[FPAGES]; /* written last, by the program */
	struct file *file;
	u64 syncs, hog_pages;
	bool stop;
} pc;

/* Version V of page PAGE: every byte follows from both. */
static void make_page(u32 page, u32 v, u64 *bytes)
{
	for (u32 i = 0; i < PAGE_SIZE / 8; i++)
		bytes[i] = ((u64)page << 40 | (u64)v << 8) + (u64)i * v;
	bytes[0] = (u64)page << 32 | v;
}

static struct event *log_new(enum what what)
{
	CHECK(pc.nr < LOG_MAX);
	pc.log[pc.nr].what = what;
	return &pc.log[pc.nr++];
}

/* A page that reaches the disk is a whole version that somebody wrote. */
static void watched(void *arg, enum port_bio_op op, u64 page, const void *bytes)
{
	static u64 want[PAGE_SIZE / 8];
	struct event *e;
	u64 head;

	(void)arg;
	if (op == PORT_BIO_FLUSH) {
		log_new(LOG_FLUSH);
		return;
	}
	memcpy(&head, bytes, 8);
	CHECK(page < FPAGES && head >> 32 == page);
	make_page((u32)page, (u32)head, want);
	CHECK(!memcmp(want, bytes, PAGE_SIZE));
	e = log_new(LOG_WRITE);
	e->page = (u32)page;
	e->version = (u32)head;
	CHECK(e->version <= pc.version[page]);
}

/* ---- while the power is on -------------------------------------------------
 */

/* Of pages I modulo WRITERS each writer has its own. */
static void writer(void *arg)
{
	u32 id = (u32)(u64)arg;
	static u64 bytes[WRITERS][PAGE_SIZE / 8];
	struct prng r;

	prng_seed(&r, tm.cfg.seed * 10 + id);
	mm_task_register(port_current(), "writer");
	for (u32 i = 0; i < 350; i++) {
		u32 page = (u32)prng_below(&r, FPAGES / WRITERS) * WRITERS + id;
		u64 pos = P(page);

		make_page(page, pc.version[page] + 1, bytes[id]);
		pc.version[page]++;
		CHECK_EQ(kernel_write(pc.file, bytes[id], PAGE_SIZE, &pos),
			 PAGE_SIZE);
		if (prng_one_in(&r, 12)) {
			u32 *before = malloc(sizeof(pc.version));
			u32 own[FPAGES];

			/* Of another writer's pages nothing is promised that is
			 * being written now. */
			memcpy(own, pc.version, sizeof(own));
			for (u32 k = 0; k < FPAGES; k++)
				before[k] = k % WRITERS == id ? own[k] : 0;
			CHECK_EQ(vfs_fsync_range(pc.file, 0, INT64_MAX,
						 prng_one_in(&r, 2)),
				 0);
			log_new(LOG_SYNCED)->promised = before;
			pc.syncs++;
		}
		sim_yield();
	}
	mm_task_unregister(port_current());
}

/* Makes memory short, and checks its own. */
static void hog(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 pages = pc.hog_pages;
	uva_t at;

	(void)arg;
	mm_task_register(port_current(), "hog");
	mm_task_attach(port_current(), mm);
	mm_put(mm);
	at = tm_map(mm, pages);
	for (u64 round = 0; round < 3 || !pc.stop; round++) {
		for (u64 i = 0; i < pages && (round < 2 || !pc.stop); i++) {
			if (round)
				CHECK_EQ(tm_load(at + P(i)),
					 (round - 1) * pages + i);
			tm_store(at + P(i), round * pages + i);
		}
		if (round > 1 && pc.stop)
			break;
	}
	mm_task_exit(port_current());
	mm_task_unregister(port_current());
}

/* ---- after it went ---------------------------------------------------------
 */

/* What a page may hold: its version at the last flush, or one since. */
struct fate {
	u32 safe, nr;
	u32 later[64];
};

static void fate_write(struct fate *f, u32 version)
{
	CHECK(f->nr < ARRAY_SIZE(f->later));
	f->later[f->nr++] = version;
}

/* The power fails now: the oldest version that may be left of F's page. */
static u32 fate_oldest(const struct fate *f)
{
	u32 oldest = f->safe;

	for (u32 k = 0; k < f->nr; k++)
		oldest = min(oldest, f->later[k]);
	return oldest;
}

/* Cut after each event; of each page any of what may be left. Pages whose
 * fate the event does not change are as they were after the one before. */
static u64 replay_cuts(void)
{
	static struct fate fate[FPAGES];
	u32 promised[FPAGES] = {0};
	u64 cuts = 0;

	memset(fate, 0, sizeof(fate));
	for (u32 i = 0; i < pc.nr; i++) {
		const struct event *e = &pc.log[i];

		cuts++;
		if (e->what == LOG_WRITE) {
			fate_write(&fate[e->page], e->version);
			CHECK(fate_oldest(&fate[e->page]) >= promised[e->page]);
			continue;
		}
		for (u32 p = 0; p < FPAGES; p++) {
			if (e->what == LOG_FLUSH && fate[p].nr) {
				fate[p].safe = fate[p].later[fate[p].nr - 1];
				fate[p].nr = 0;
			}
			if (e->what == LOG_SYNCED)
				promised[p] = max(promised[p], e->promised[p]);
			CHECK(fate_oldest(&fate[p]) >= promised[p]);
		}
	}
	return cuts;
}

static u64 total_cuts, total_syncs;

static int cut_body(void *arg)
{
	static struct super_block sb = {
		.s_dev = 0x802, .s_id = "cut", .s_maxbytes = MAX_LFS_FILESIZE};
	struct port_bdev *disk = tm_disk(FPAGES);
	struct port_thread *t[WRITERS], *h;
	struct inode *inode;

	(void)arg;
	memset(&pc, 0, sizeof(pc));
	pc.hog_pages = (tm.cfg.mem >> PAGE_SHIFT) * 5 / 4;
	CHECK_EQ(flatfile_new(&sb, disk, 1, S_IFREG | 0644, &inode), 0);
	pc.file = file_open(inode, FMODE_READ | FMODE_WRITE, 0, "cut");
	CHECK(pc.file);
	iput(inode);
	sim_disk_watch(disk, watched, NULL);
	CHECK_EQ(sim_thread_start_on(&h, "hog", 0, hog, NULL), 0);
	for (u64 i = 0; i < WRITERS; i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "writer",
					     (int)i % tm.cfg.cpus, writer,
					     (void *)i),
			 0);
	for (u32 i = 0; i < WRITERS; i++)
		port_thread_join(t[i]);
	pc.stop = true;
	port_thread_join(h);
	CHECK(sum_vm_event(PSWPOUT) > 200);
	total_cuts += replay_cuts();
	total_syncs += pc.syncs;
	for (u32 i = 0; i < pc.nr; i++)
		free(pc.log[i].promised);
	fput(pc.file);
	return 0;
}

static void power_cut(void **state)
{
	u64 seed = test_first(), n = test_share(tm_soak() ? 300 : 8);

	(void)state;
	for (u64 i = 0; i < n; i++)
		TM_RUN(cut_body, .mem = 5UL << 20, .swap_pages = 8192,
		       .seed = seed + i, .cpus = 1 + (int)(i % 3),
		       .explore = i % 2);
	fprintf(stderr, "powercut: %llu cuts, %llu syncs\n",
		(unsigned long long)total_cuts,
		(unsigned long long)total_syncs);
	assert_true(total_cuts > 100 * n && total_syncs > 10 * n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_cut),
	};

	return cmocka_run_group_tests_name("powercut", tests, NULL, NULL);
}
