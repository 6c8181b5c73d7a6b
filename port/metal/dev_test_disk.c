/* SPDX-License-Identifier: MIT */
/*
 * dev_test_disk.c - scratch disks are written and read by several threads at
 * once, several requests of each under way; what is read must be what was
 * written last. Each page carries its place and version in every word.
 */
#include "dev_test.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "base/prng.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "metal.h"
#include "phys/page.h"

#define WORKERS	     4u
#define LANES	     4u /* requests of one worker under way */
#define LANE_PAGES   64u
#define ROUNDS	     40u
#define PAGE_SECTORS (PAGE_SIZE / PORT_SECTOR_SIZE)

/* One request at a time, on pages of the disk that are its own. */
struct lane {
	struct port_bio bio;
	struct page *frame[PORT_BIO_MAX_PAGES];
	u64 first; /* page of the disk */
	u32 start; /* of the request, from FIRST */
	u32 version[LANE_PAGES];
	u32 ended;
	struct port_thread *waiter;
};

struct worker {
	struct port_thread *t;
	struct port_bdev *bdev;
	struct prng rng;
	struct lane lane[LANES];
};

static struct {
	u32 requests, now, most; /* under way */
} disk_test;

static void disk_end(struct port_bio *bio)
{
	struct lane *l = bio->private;
	struct port_thread *waiter = l->waiter;

	if (!port_in_irq())
		test_fail("a request does not end in an interrupt");
	mm_fetch_add(&disk_test.now, -1u);
	/* From here on the waiter may use the lane again. */
	mm_fetch_add(&l->ended, 1);
	port_unpark(waiter);
}

static void submit(struct lane *l, enum port_bio_op op, u64 page, u32 nr)
{
	u32 now = mm_fetch_add(&disk_test.now, 1) + 1, most;

	most = READ_ONCE(disk_test.most);
	while (most < now && !mm_try_cmpxchg(&disk_test.most, &most, now))
		;
	mm_fetch_add(&disk_test.requests, 1);
	l->ended = 0;
	l->waiter = port_self();
	l->bio.op = op;
	l->bio.sector = page * PAGE_SECTORS;
	l->bio.nr_pages = nr;
	l->bio.status = 1;
	l->bio.end_io = disk_end;
	l->bio.private = l;
	for (u32 i = 0; i < nr; i++)
		l->bio.pfn[i] = page_to_pfn(l->frame[i]);
	port_bio_submit(&l->bio);
}

static int wait_end(struct lane *l)
{
	while (!smp_load_acquire(&l->ended))
		(void)port_park(UINT64_MAX);
	test_check(l->ended == 1, "a request ended %u times", l->ended);
	return l->bio.status;
}

/* ---- contents ---------------------------------------------------------------
 */

static u64 word_of(u64 page, u32 version, u32 at)
{
	return version ? prng_mix(page << 40 ^ (u64)version << 16 ^ at) : 0;
}

static void fill(struct lane *l, u32 i)
{
	u64 *w = page_view(l->frame[i]);
	u32 n = l->start + i;

	for (u32 at = 0; at < PAGE_SIZE / 8; at++)
		w[at] = word_of(l->first + n, l->version[n], at);
}

static void check(const struct lane *l, u32 i)
{
	const u64 *w = page_view(l->frame[i]);
	u32 n = l->start + i;

	if (!l->version[n])
		return; /* never written: whatever the disk held */
	for (u32 at = 0; at < PAGE_SIZE / 8; at++) {
		if (w[at] == word_of(l->first + n, l->version[n], at))
			continue;
		test_fail("%s: page %llu, version %u: word %u is wrong",
			  port_bdev_name(l->bio.bdev),
			  (unsigned long long)(l->first + n), l->version[n],
			  at);
		return;
	}
}

static void begin(struct worker *w, struct lane *l)
{
	bool write = prng_one_in(&w->rng, 2);
	u32 nr = (u32)prng_range(&w->rng, 1, PORT_BIO_MAX_PAGES);

	l->start = (u32)prng_below(&w->rng, LANE_PAGES - nr + 1);
	for (u32 i = 0; i < nr; i++) {
		if (write)
			l->version[l->start + i]++;
		if (write)
			fill(l, i);
		else
			mm_memset(page_view(l->frame[i]), 0xee, PAGE_SIZE);
	}
	submit(l, write ? PORT_BIO_WRITE : PORT_BIO_READ, l->first + l->start,
	       nr);
}

static void end(struct lane *l)
{
	int status = wait_end(l);

	test_check(status == 0, "%s: status %d", port_bdev_name(l->bio.bdev),
		   status);
	for (u32 i = 0; l->bio.op == PORT_BIO_READ && i < l->bio.nr_pages; i++)
		check(l, i);
}

static void worker_main(void *arg)
{
	struct worker *w = arg;

	for (u32 r = 0; r < ROUNDS && test_good(); r++) {
		for (u32 i = 0; i < LANES; i++)
			begin(w, &w->lane[i]);
		for (u32 i = 0; i < LANES; i++)
			end(&w->lane[i]);
		if (r % 8 == 7) {
			submit(&w->lane[0], PORT_BIO_FLUSH, 0, 0);
			test_check(wait_end(&w->lane[0]) == 0,
				   "a flush failed");
		}
	}
}

/* ---- edges ------------------------------------------------------------------
 */

/* Behind the end; the last page; a whole page of a disk that has less. */
static void edges(struct lane *l)
{
	u64 bytes = port_bdev_size(l->bio.bdev), pages = PFN_UP(bytes);
	const u8 *view = page_view(l->frame[0]);
	u32 rest = (u32)(bytes % PAGE_SIZE);

	submit(l, PORT_BIO_READ, pages, 1);
	test_check(wait_end(l) == -EIO, "reading behind the end is no error");
	submit(l, PORT_BIO_READ, pages - 1, 2);
	test_check(wait_end(l) == -EIO, "nor is reading over it");
	mm_memset(page_view(l->frame[0]), 0xee, PAGE_SIZE);
	submit(l, PORT_BIO_READ, pages - 1, 1);
	test_check(wait_end(l) == 0, "the last page cannot be read");
	for (u32 i = rest; rest && i < PAGE_SIZE; i++)
		test_check(view[i] == 0, "byte %u behind the end is %#x", i,
			   view[i]);
}

static void edges_read_only(struct lane *l)
{
	submit(l, PORT_BIO_WRITE, 0, 1);
	test_check(wait_end(l) == -EROFS, "%s: read-only, and takes writes",
		   port_bdev_name(l->bio.bdev));
	submit(l, PORT_BIO_READ, 0, 1);
	test_check(wait_end(l) == 0, "%s: cannot be read",
		   port_bdev_name(l->bio.bdev));
}

static bool is_scratch(struct lane *l)
{
	if (port_bdev_size(l->bio.bdev) <
	    (WORKERS * LANES * LANE_PAGES + 1) * PAGE_SIZE)
		return false;
	submit(l, PORT_BIO_READ, 0, 1);
	return wait_end(l) == 0 &&
	       !mm_memcmp(page_view(l->frame[0]), SCRATCH_MAGIC,
			  sizeof(SCRATCH_MAGIC) - 1);
}

/* ---- workers ----------------------------------------------------------------
 */

static bool get_frames(struct lane *l)
{
	for (u32 i = 0; i < PORT_BIO_MAX_PAGES; i++) {
		l->frame[i] = alloc_page(GFP_KERNEL);
		if (!l->frame[i])
			return false;
	}
	return true;
}

static void put_worker(struct worker *w)
{
	for (u32 k = 0; w && k < LANES; k++) {
		for (u32 i = 0; i < PORT_BIO_MAX_PAGES; i++) {
			if (w->lane[k].frame[i])
				__free_page(w->lane[k].frame[i]);
		}
	}
	kfree(w);
}

static struct worker *get_worker(struct port_bdev *bdev, u32 n)
{
	struct worker *w = kzalloc(sizeof(*w), GFP_KERNEL);
	bool good = w != NULL;

	for (u32 k = 0; good && k < LANES; k++) {
		w->lane[k].bio.bdev = bdev;
		w->lane[k].first = 1 + (u64)(n * LANES + k) * LANE_PAGES;
		good = get_frames(&w->lane[k]);
	}
	if (!good) {
		test_fail("no memory");
		put_worker(w);
		return NULL;
	}
	w->bdev = bdev;
	prng_seed(&w->rng, n + 1);
	return w;
}

static void run_workers(struct worker **w)
{
	for (u32 i = 0; i < WORKERS; i++) {
		if (w[i] &&
		    port_thread_start(&w[i]->t, "disk", -1, worker_main, w[i]))
			test_fail("no thread");
	}
	for (u32 i = 0; i < WORKERS; i++) {
		if (w[i] && w[i]->t)
			port_thread_join(w[i]->t);
	}
}

/* True: it was written to. */
static bool test_bdev(struct port_bdev *bdev)
{
	struct worker *w[WORKERS];
	bool scratch = false;

	for (u32 i = 0; i < WORKERS; i++)
		w[i] = get_worker(bdev, i);
	if (w[0]) {
		edges(&w[0]->lane[0]);
		if (machine_bdev_read_only(bdev))
			edges_read_only(&w[0]->lane[0]);
		else
			scratch = is_scratch(&w[0]->lane[0]);
	}
	if (scratch)
		run_workers(w);
	for (u32 i = 0; i < WORKERS; i++)
		put_worker(w[i]);
	return scratch;
}

void test_disk(char *figures, u32 size)
{
	struct port_bdev *bdev;
	u32 n, scratch = 0;

	for (n = 0; (bdev = machine_bdev(n)); n++)
		scratch += test_bdev(bdev);
	test_check(disk_test.now == 0, "%u requests did not end",
		   disk_test.now);
	mm_snprintf(figures, size,
		    "%u disks, %u written; %u requests, up to %u at a time, "
		    "%u interrupts lost",
		    n, scratch, disk_test.requests, disk_test.most,
		    (u32)blk_lost());
}
