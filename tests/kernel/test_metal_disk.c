/* SPDX-License-Identifier: MIT */
/*
 * The driver of virtio disks (port/metal) against a device that is played
 * here: it walks the queue as the specification says, finishes requests in any
 * order, fails, stays silent and writes nonsense. A model of the disk says
 * what each read must give.
 */
#include "sim_machine.h"

#include <stdlib.h>

#include "base/fail.h"
#include "base_seed.h"
#include "machine.h"

/* The driver's timers and soft interrupts are the test's. */
#define machine_timer_arm    fake_timer_arm
#define machine_timer_cancel fake_timer_cancel

void fake_timer_arm(struct machine_timer *timer);
bool fake_timer_cancel(struct machine_timer *timer);

#include "../../port/metal/virtio.c"
#include "../../port/metal/virtio_blk.c"

static struct machine_timer *armed;
static struct irq_soft *softs;

void fake_timer_arm(struct machine_timer *timer)
{
	timer->armed = true;
	armed = timer;
}

bool fake_timer_cancel(struct machine_timer *timer)
{
	timer->armed = false;
	return true;
}

void irq_soft(struct irq_soft *s)
{
	s->next = softs;
	softs = s;
}

static void run_softs(void)
{
	while (softs) {
		struct irq_soft *s = softs;

		softs = s->next;
		s->fn(s->arg);
	}
}

/* ---- the device -------------------------------------------------------------
 */

#define DISK_PAGES  300u
#define MAX_PENDING VIRTIO_MAX_QUEUE
#define BAD_SECTOR  (200u * 8)

static struct {
	struct virtio_dev dev;
	u64 offered, accepted;
	u8 status;
	bool refuses; /* FEATURES_OK is not taken */
	u16 queue_max;
	u32 seg_max, generation;
	u64 sectors;
	struct virtq *q;
	u16 seen; /* entries of the avail ring */
	u16 pending[MAX_PENDING];
	u32 nr_pending;
	u32 kicks, isr, resets;
	bool fails; /* sectors from BAD_SECTOR on cannot be moved */
	u32 flushes;
	void (*fn)(void *arg);
	void *arg;
	u8 *bytes;
} fake;

static u64 fake_features(struct virtio_dev *dev)
{
	(void)dev;
	return fake.offered;
}

static void fake_accept(struct virtio_dev *dev, u64 features)
{
	(void)dev;
	CHECK_EQ(features & ~fake.offered, 0);
	fake.accepted = features;
}

static u8 fake_status(struct virtio_dev *dev)
{
	(void)dev;
	return fake.status;
}

static void fake_set_status(struct virtio_dev *dev, u8 status)
{
	(void)dev;
	if (!status) {
		fake.resets++;
		fake.q = NULL;
		fake.nr_pending = 0;
		fake.seen = 0;
	}
	if (fake.refuses)
		status &= (u8)~VIRTIO_FEATURES_OK;
	fake.status = status;
}

static void fake_config(struct virtio_dev *dev, u32 off, void *to, u32 len)
{
	u8 regs[16] = {0};

	(void)dev;
	memcpy(regs, &fake.sectors, 8);
	memcpy(regs + 12, &fake.seg_max, 4);
	CHECK(off + len <= sizeof(regs));
	memcpy(to, regs + off, len);
}

static u32 fake_generation(struct virtio_dev *dev)
{
	(void)dev;
	return fake.generation;
}

static u16 fake_queue_max(struct virtio_dev *dev, u16 index)
{
	(void)dev;
	return index == 0 ? fake.queue_max : 0;
}

static int fake_queue_set(struct virtio_dev *dev, struct virtq *q)
{
	(void)dev;
	CHECK(q->size && !(q->size & (q->size - 1)));
	CHECK(q->size <= fake.queue_max);
	fake.q = q;
	return 0;
}

static void fake_notify(struct virtio_dev *dev, struct virtq *q)
{
	(void)dev;
	CHECK(q == fake.q && (fake.status & VIRTIO_DRIVER_OK));
	fake.kicks++;
}

static u32 fake_isr(struct virtio_dev *dev)
{
	u32 why = fake.isr;

	(void)dev;
	fake.isr = 0;
	return why;
}

static bool fake_irq(struct virtio_dev *dev, void (*fn)(void *arg), void *arg)
{
	(void)dev;
	fake.fn = fn;
	fake.arg = arg;
	return true;
}

static const struct virtio_transport fake_transport = {
	.features = fake_features,
	.accept = fake_accept,
	.status = fake_status,
	.set_status = fake_set_status,
	.config = fake_config,
	.generation = fake_generation,
	.queue_max = fake_queue_max,
	.queue_set = fake_queue_set,
	.notify = fake_notify,
	.isr = fake_isr,
	.irq = fake_irq,
};

static void device_take(void)
{
	while (fake.q && fake.seen != fake.q->avail->idx) {
		CHECK(fake.nr_pending < MAX_PENDING);
		fake.pending[fake.nr_pending++] =
			fake.q->avail->ring[fake.seen++ & (fake.q->size - 1)];
	}
}

/* Move the pieces of a chain behind its header; returns bytes written. */
static u32 device_move(const struct vblk_header *h, u16 at, u8 **status)
{
	struct vring_desc *d = fake.q->desc;
	u64 off = h->sector * 512;
	u32 n = 0, written = 0;

	for (; d[at].flags & DESC_NEXT; at = d[at].next) {
		u8 *view = port_ram(d[at].addr);

		CHECK(h->type == T_IN || h->type == T_OUT);
		CHECK_EQ(!!(d[at].flags & DESC_WRITE), h->type == T_IN);
		CHECK(off + d[at].len <= fake.sectors * 512);
		CHECK(++n <= fake.seg_max);
		if (h->type == T_IN)
			memcpy(view, fake.bytes + off, d[at].len);
		else
			memcpy(fake.bytes + off, view, d[at].len);
		off += d[at].len;
		written += h->type == T_IN ? d[at].len : 0;
	}
	CHECK(d[at].len == 1 && (d[at].flags & DESC_WRITE));
	*status = port_ram(d[at].addr);
	return written + 1;
}

static void device_used(u32 id, u32 len)
{
	volatile struct vring_used *u = fake.q->used;

	u->ring[u->idx & (fake.q->size - 1)].id = id;
	u->ring[u->idx & (fake.q->size - 1)].len = len;
	u->idx++;
	fake.isr |= VIRTIO_ISR_QUEUE;
}

/* Finish the request number N of those under way. */
static void device_finish(u32 n)
{
	u16 head = fake.pending[n];
	struct vring_desc *d = fake.q->desc;
	const struct vblk_header *h = port_ram(d[head].addr);
	u8 *status;
	u32 len;

	fake.pending[n] = fake.pending[--fake.nr_pending];
	CHECK(d[head].len == 16 && !(d[head].flags & DESC_WRITE));
	len = device_move(h, d[head].next, &status);
	fake.flushes += h->type == T_FLUSH;
	*status = fake.fails && h->sector >= BAD_SECTOR ? S_IOERR : S_OK;
	device_used(head, len);
}

static void interrupt(void)
{
	fake.fn(fake.arg);
}

static void device_fresh(struct prng *rng)
{
	u8 *bytes = fake.bytes ? fake.bytes : malloc(DISK_PAGES * PAGE_SIZE);

	memset(&fake, 0, sizeof(fake));
	memset(bytes, 0x11, DISK_PAGES * PAGE_SIZE);
	fake.bytes = bytes;
	fake.dev.t = &fake_transport;
	fake.dev.id = VIRTIO_ID_BLOCK;
	fake.dev.legacy = prng_one_in(rng, 2);
	fake.offered = VIRTIO_F_VERSION_1 | F_SEG_MAX | F_FLUSH | 1ull << 40;
	fake.queue_max = (u16)prng_range(rng, 4, 300);
	fake.seg_max = (u32)prng_range(rng, 1, 40);
	fake.sectors = DISK_PAGES * 8 - prng_below(rng, 9);
	armed = NULL;
	softs = NULL;
}

/* ---- the model --------------------------------------------------------------
 */

#define BIOS 24u

/* Each bio has pages of the disk that no other touches meanwhile. */
struct job {
	struct port_bio bio;
	struct page *frame[PORT_BIO_MAX_PAGES];
	bool busy;
	u32 ends;
};

static struct job jobs[BIOS];
static u8 model[DISK_PAGES]; /* the byte that fills each page */
static bool page_busy[DISK_PAGES];
static u32 jobs_under_way;

static u32 page_of(const struct port_bio *bio)
{
	return (u32)(bio->sector / 8);
}

static void job_end(struct port_bio *bio)
{
	struct job *j = bio->private;
	u32 first = page_of(bio);

	CHECK(j->busy);
	j->busy = false;
	j->ends++;
	jobs_under_way--;
	if (bio->op == PORT_BIO_FLUSH || bio->status)
		return;
	for (u32 i = 0; i < bio->nr_pages; i++) {
		const u8 *view = page_view(j->frame[i]);
		u64 left = fake.sectors * 512 - (first + i) * PAGE_SIZE;
		u32 len = (u32)min(left, (u64)PAGE_SIZE);

		page_busy[first + i] = false;
		if (bio->op != PORT_BIO_READ)
			continue;
		for (u32 at = 0; at < PAGE_SIZE; at++)
			CHECK_EQ(view[at], at < len ? model[first + i] : 0);
	}
}

/* NR free pages of the disk, or false. */
static bool find_pages(struct prng *rng, u32 nr, u32 *first)
{
	for (u32 tries = 0; tries < 20; tries++) {
		u32 n = 0;

		*first = (u32)prng_below(rng, DISK_PAGES - nr + 1);
		while (n < nr && !page_busy[*first + n])
			n++;
		if (n == nr)
			return true;
	}
	return false;
}

static void job_fill(struct prng *rng, struct job *j, u32 first, u32 nr)
{
	bool write = j->bio.op == PORT_BIO_WRITE;

	for (u32 i = 0; i < nr; i++) {
		page_busy[first + i] = true;
		if (write)
			model[first + i] = (u8)prng_u32(rng);
		memset(page_view(j->frame[i]), write ? model[first + i] : 0xee,
		       PAGE_SIZE);
		j->bio.pfn[i] = page_to_pfn(j->frame[i]);
	}
}

static void job_start(struct prng *rng, struct vblk *d, struct job *j)
{
	u32 nr = (u32)prng_range(rng, 1, PORT_BIO_MAX_PAGES), first;

	if (j->busy || !find_pages(rng, nr, &first))
		return;
	j->bio.op = prng_one_in(rng, 2) ? PORT_BIO_READ : PORT_BIO_WRITE;
	if (prng_one_in(rng, 20))
		j->bio.op = PORT_BIO_FLUSH;
	j->bio.sector = first * 8;
	j->bio.nr_pages = nr;
	j->bio.end_io = job_end;
	j->bio.private = j;
	j->busy = true;
	j->ends = 0;
	jobs_under_way++;
	if (j->bio.op != PORT_BIO_FLUSH)
		job_fill(rng, j, first, nr);
	vblk_submit(d, &j->bio);
}

/* Frames in a row or scattered: the driver joins what it can. */
static void jobs_make(void)
{
	for (u32 i = 0; i < BIOS; i++) {
		struct page *block = alloc_pages(GFP_KERNEL, 5);

		CHECK(block != NULL);
		split_page(block, 5);
		for (u32 k = 0; k < PORT_BIO_MAX_PAGES; k++)
			jobs[i].frame[k] = block + (i % 2 ? k : k * 5 % 32);
	}
	memset(model, 0x11, sizeof(model));
}

static void jobs_free(void)
{
	for (u32 i = 0; i < BIOS; i++) {
		for (u32 k = 0; k < PORT_BIO_MAX_PAGES; k++)
			__free_page(jobs[i].frame[k]);
	}
}

static void disk_forget(struct vblk *d)
{
	kfree(d->slots);
	kfree(d->q.mem);
	kfree(d);
}

/* ---- random work ------------------------------------------------------------
 */

static void finish_some(struct prng *rng, u32 n)
{
	device_take();
	while (n-- && fake.nr_pending)
		device_finish((u32)prng_below(rng, fake.nr_pending));
}

static void one_disk(struct prng *rng)
{
	struct vblk *d = NULL;
	u32 free;

	device_fresh(rng);
	memset(model, 0x11, sizeof(model));
	memset(page_busy, 0, sizeof(page_busy));
	CHECK_EQ(vblk_open(&d, &fake.dev, "vda"), 0);
	CHECK_EQ(vblk_bytes(d), fake.sectors * 512);
	CHECK_EQ(fake.accepted & VIRTIO_F_VERSION_1,
		 fake.dev.legacy ? 0 : VIRTIO_F_VERSION_1);
	free = d->q.nr_free;
	for (u32 i = 0; i < 400; i++) {
		job_start(rng, d, &jobs[prng_below(rng, BIOS)]);
		if (prng_one_in(rng, 3))
			finish_some(rng, (u32)prng_below(rng, 6));
		if (prng_one_in(rng, 3))
			interrupt();
		run_softs();
	}
	for (u32 i = 0; jobs_under_way; i++) {
		CHECK(i < 1000);
		run_softs();
		finish_some(rng, 100);
		interrupt();
	}
	CHECK_EQ(vblk_busy(d), 0);
	CHECK_EQ(d->q.nr_free, free);
	CHECK_EQ(vblk_lost(d), 0);
	CHECK(fake.flushes > 0);
	disk_forget(d);
}

static int random_work_body(void *arg)
{
	struct prng rng;
	u64 n = test_iters(20);

	(void)arg;
	test_seed(&rng, "metal_disk");
	jobs_make();
	for (u64 i = 0; i < n; i++)
		one_disk(&rng);
	jobs_free();
	return 0;
}

/* ---- what goes wrong --------------------------------------------------------
 */

static struct vblk *open_disk(struct prng *rng)
{
	struct vblk *d = NULL;

	device_fresh(rng);
	fake.queue_max = 256;
	fake.seg_max = 32;
	fake.sectors = DISK_PAGES * 8;
	memset(model, 0x11, sizeof(model));
	memset(page_busy, 0, sizeof(page_busy));
	CHECK_EQ(vblk_open(&d, &fake.dev, "vda"), 0);
	return d;
}

static struct job *submit(struct vblk *d, u32 n, enum port_bio_op op, u32 page,
			  u32 nr)
{
	struct job *j = &jobs[n];

	j->bio = (struct port_bio){.op = op,
				   .sector = page * 8,
				   .nr_pages = nr,
				   .end_io = job_end,
				   .status = 99,
				   .private = j};
	for (u32 i = 0; i < nr; i++)
		j->bio.pfn[i] = page_to_pfn(j->frame[i]);
	j->busy = true;
	j->ends = 0;
	jobs_under_way++;
	vblk_submit(d, &j->bio);
	return j;
}

static int errors_body(void *arg)
{
	struct machine_disk_stats was, is;
	struct prng rng;
	struct vblk *d;
	struct job *j;

	(void)arg;
	prng_seed(&rng, 7);
	jobs_make();
	d = open_disk(&rng);
	/* Behind the end: never before submit returned, and no request. */
	j = submit(d, 0, PORT_BIO_READ, DISK_PAGES - 1, 2);
	CHECK_EQ(j->ends, 0);
	run_softs();
	CHECK(j->ends == 1 && j->bio.status == -EIO && fake.kicks == 0);
	/* The device's word. */
	fake.fails = true;
	j = submit(d, 0, PORT_BIO_WRITE, 210, 3);
	finish_some(&rng, 9);
	interrupt();
	CHECK(j->ends == 1 && j->bio.status == -EIO);
	/* Its neighbours are none the worse. */
	j = submit(d, 0, PORT_BIO_READ, 10, 3);
	vblk_stats(d, &was);
	CHECK(was.in_flight == 1 && was.op[PORT_BIO_READ].ios == 0);
	port_charge_ns(5000);
	finish_some(&rng, 9);
	interrupt();
	CHECK(j->ends == 1 && j->bio.status == 0);
	/* Both were counted, what never reached the device was not. */
	vblk_stats(d, &is);
	CHECK(is.in_flight == 0 && is.op[PORT_BIO_WRITE].ios == 1);
	CHECK_EQ(is.op[PORT_BIO_WRITE].sectors, 24);
	CHECK(is.op[PORT_BIO_READ].ios == 1 &&
	      is.op[PORT_BIO_READ].sectors == 24);
	CHECK(is.op[PORT_BIO_READ].ns >= 5000 &&
	      is.busy_ns - was.busy_ns >= 5000);
	port_charge_ns(5000);
	vblk_stats(d, &was);
	CHECK_EQ(was.busy_ns, is.busy_ns);
	CHECK_EQ(vblk_busy(d), 0);
	disk_forget(d);
	jobs_free();
	return 0;
}

/* It never interrupts: the watch finds what is done, and looks often then. */
static int silent_body(void *arg)
{
	struct prng rng;
	struct vblk *d;

	(void)arg;
	prng_seed(&rng, 8);
	jobs_make();
	d = open_disk(&rng);
	for (u32 i = 0; i < 4; i++) {
		struct job *j = submit(d, 0, PORT_BIO_READ, 1, 1);
		u64 wait = armed->expires - port_now_ns();

		CHECK(wait <= (i < 3 ? WATCH_NS : WATCH_FAST));
		CHECK(i == 3 || wait > WATCH_FAST);
		finish_some(&rng, 9);
		armed->armed = false;
		armed->fn(armed);
		/* The interrupt may be on its way: not at the first look. */
		CHECK_EQ(j->ends, i == 3);
		if (i < 3) {
			CHECK(armed->expires - port_now_ns() <= WATCH_SOON);
			armed->armed = false;
			armed->fn(armed);
		}
		CHECK_EQ(j->ends, 1);
		CHECK_EQ(vblk_lost(d), i + 1);
	}
	disk_forget(d);
	/* One that does interrupt is not watched for ever. */
	d = open_disk(&rng);
	for (u32 i = 0; i < TRUSTED + 1; i++) {
		submit(d, 0, PORT_BIO_READ, 1, 1);
		CHECK_EQ(armed != NULL, i < TRUSTED);
		finish_some(&rng, 9);
		interrupt();
		if (armed)
			armed->armed = false;
		armed = NULL;
	}
	disk_forget(d);
	jobs_free();
	return 0;
}

/* Nonsense in the used ring: reset, and everything fails once. */
static int nonsense_body(void *arg)
{
	static const u32 ids[] = {0xffffffff, 256, 40, 1};
	struct prng rng;

	(void)arg;
	prng_seed(&rng, 9);
	jobs_make();
	for (u32 i = 0; i < ARRAY_SIZE(ids); i++) {
		struct vblk *d = open_disk(&rng);
		u32 resets = fake.resets;

		/* 4 of 34 descriptors each at most, one of 3: id 1 is inside
		 * the first chain, 40 is nobody's. */
		for (u32 n = 0; n < 6; n++)
			(void)submit(d, n, PORT_BIO_READ, n * 8, 1);
		device_take();
		device_used(ids[i], 0);
		interrupt();
		CHECK_EQ(fake.resets, resets + 1);
		CHECK_EQ(jobs_under_way, 0);
		for (u32 n = 0; n < 6; n++)
			CHECK(jobs[n].ends == 1 && jobs[n].bio.status == -EIO);
		(void)submit(d, 0, PORT_BIO_READ, 0, 1);
		run_softs();
		CHECK(jobs[0].ends == 1 && jobs[0].bio.status == -EIO);
		disk_forget(d);
	}
	jobs_free();
	return 0;
}

static int features_body(void *arg)
{
	struct prng rng;
	struct vblk *d;
	struct job *j;

	(void)arg;
	prng_seed(&rng, 10);
	jobs_make();
	/* Read-only, write-through. */
	device_fresh(&rng);
	fake.offered = VIRTIO_F_VERSION_1 | F_RO;
	CHECK_EQ(vblk_open(&d, &fake.dev, "vda"), 0);
	CHECK(vblk_read_only(d) && !vblk_write_back(d));
	CHECK_EQ(d->max_segs, min(32, d->q.size - 2));
	j = submit(d, 0, PORT_BIO_WRITE, 0, 1);
	run_softs();
	CHECK(j->ends == 1 && j->bio.status == -EROFS);
	j = submit(d, 0, PORT_BIO_FLUSH, 0, 0);
	CHECK_EQ(j->ends, 0);
	run_softs();
	CHECK(j->ends == 1 && j->bio.status == 0 && fake.kicks == 0);
	/* It grows: told by an interrupt. */
	fake.sectors = 16;
	fake.isr = VIRTIO_ISR_CONFIG;
	interrupt();
	CHECK_EQ(vblk_bytes(d), 16 * 512);
	disk_forget(d);
	/* Devices that cannot be used. */
	device_fresh(&rng);
	fake.dev.legacy = false;
	fake.offered = F_FLUSH;
	CHECK_EQ(vblk_open(&d, &fake.dev, "vda"), -EIO);
	fake.offered = VIRTIO_F_VERSION_1;
	fake.refuses = true;
	CHECK_EQ(vblk_open(&d, &fake.dev, "vda"), -EIO);
	fake.refuses = false;
	fake.queue_max = 3;
	CHECK_EQ(vblk_open(&d, &fake.dev, "vda"), -EIO);
	CHECK_EQ(fake.status & VIRTIO_DRIVER_OK, 0);
	kfree(fake.arg); /* the disk whose handler is known */
	jobs_free();
	return 0;
}

/* Each allocation of an opening fails in turn; nothing is left behind but the
 * disk itself where its handler is known. */
static int memory_body(void *arg)
{
	struct prng rng;
	struct vblk *d;
	u64 n = 0;
	int err;

	(void)arg;
	prng_seed(&rng, 11);
	do {
		device_fresh(&rng);
		fail_arm_nth(FAIL_ALL, ++n, true);
		err = vblk_open(&d, &fake.dev, "vda");
		(void)fail_disarm();
		CHECK(err == 0 || err == -ENOMEM);
		CHECK(err == 0 || !(fake.status & VIRTIO_DRIVER_OK));
		if (err && fake.fn)
			kfree(fake.arg);
	} while (err);
	CHECK(n > 3);
	disk_forget(d);
	return 0;
}

#define CASE(name)                              \
	static void name(void **state)          \
	{                                       \
		(void)state;                    \
		TM_RUN(name##_body, .cpus = 1); \
	}                                       \
	_Static_assert(1, "")

CASE(random_work);
CASE(errors);
CASE(silent);
CASE(nonsense);
CASE(features);
CASE(memory);

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_work), cmocka_unit_test(errors),
		cmocka_unit_test(silent),      cmocka_unit_test(nonsense),
		cmocka_unit_test(features),    cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
