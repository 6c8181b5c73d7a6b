/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.c - disks of virtual machines.
 *
 * A request is a chain: a header that the device reads, the frames, a byte of
 * status that it writes. Headers and status bytes lie in slots, one for each
 * descriptor of the queue at most, in memory of the disk's own. Frames that
 * follow each other in memory become one descriptor.
 *
 * A bio waits in a list until there is room in the queue. One with more pieces
 * than the device takes at once goes in several requests, one after the other:
 * port_data counts the pages that are done. Many bios are under way at a time,
 * and the device may finish them in any order.
 *
 * The end of a bio is told in an interrupt, as port.h wants it, also if it
 * fails before the device sees it: then a soft interrupt does it (irq_soft()).
 *
 * The last page of a disk that is not a multiple of a page: what lies behind
 * the end reads as zero and is dropped when written.
 *
 * A disk that does not interrupt is noticed by a timer that runs while there
 * are requests: it looks into the queue, and often, once that has helped
 * thrice. After some interrupts that did their work the timer is not needed
 * any more. (Where idle time is skipped, as by QEMU's -icount, a timer that is
 * always armed would make time run while a disk works.) A disk whose queue
 * holds nonsense is reset, so that it touches no memory any more, and
 * everything that waits for it fails.
 *
 * Durability. A disk with a write-back cache has FLUSH: what ended before the
 * flush was submitted is on the medium when it ends. Without the feature the
 * disk is write-through and a flush has nothing to do.
 *
 * Locking. d->lock: the queue, slots, lists. Interrupts off. end_io is called
 * without it.
 *
 * Reference: VIRTIO 1.1, 5.2.
 */
#include "virtio_blk.h"

#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "apic.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/printk.h"
#include "machine.h"

#define F_SEG_MAX (1ull << 2)
#define F_RO	  (1ull << 5)
#define F_FLUSH	  (1ull << 9)
#define F_DISCARD (1ull << 13)
#define F_WANTED  (F_SEG_MAX | F_RO | F_FLUSH | F_DISCARD)

#define CONFIG_CAPACITY 0u
#define CONFIG_SEG_MAX	12u
#define CONFIG_DISCARD	36u /* most sectors in a piece of a request */

#define T_IN	  0u
#define T_OUT	  1u
#define T_FLUSH	  4u
#define T_DISCARD 11u

#define S_OK	 0
#define S_IOERR	 1
#define S_UNSUPP 2

#define PAGE_SECTORS (PAGE_SIZE / PORT_SECTOR_SIZE)
#define MAX_SEGS     (PORT_BIO_MAX_PAGES + 2)
#define WATCH_NS     1000000000ull
#define WATCH_SOON   10000000ull
#define WATCH_FAST   2000000ull
#define STUCK_NS     30000000000ull
#define TRUSTED	     16u /* interrupts that did work */

struct vblk_header {
	u32 type, reserved;
	u64 sector;
};

/* What a request to forget names, instead of frames. */
struct vblk_range {
	u64 sector;
	u32 sectors, flags;
};

/* A request; the first three lines are the device's to see, and RANGE. */
struct vblk_slot {
	struct vblk_header header;
	u8 status;
	u8 pad[3];
	u32 pages; /* of the bio, in this request */
	struct port_bio *bio;
	struct vblk_slot *next; /* of the free ones */
	u64 since;
	struct vblk_range range;
};

MM_STATIC_ASSERT(sizeof(struct vblk_slot) == 64, "a slot is a cache line");

struct vblk {
	struct virtio_dev *dev;
	const char *name;
	u32 lock;
	bool up, dead;
	bool known; /* its interrupt handler is */
	bool read_only, write_back;
	bool slow_told;	 /* "does not answer" was said */
	u32 max_segs;	 /* frames or runs of them in a request */
	u32 discard_max; /* pages in a request to forget; 0: none */
	u64 bytes;
	u32 busy; /* bios that have not ended */
	struct machine_disk_stats stats;
	u64 stamp; /* when stats.busy_ns was brought up to date */
	u64 lost;
	u32 suspect; /* done, not told of at the last look: its place + 1 */
	u32 trusted; /* interrupts that found something done */
	struct port_bio *head, *tail; /* wait for room */
	struct port_bio *refused;     /* end in a soft interrupt, with status */
	struct irq_soft soft;
	bool soft_asked;
	struct vblk_slot *slots, *free;
	struct machine_timer watch;
	struct virtq q;
};

static unsigned long lock(struct vblk *d)
{
	unsigned long flags = port_irq_save();

	port_spin_lock(&d->lock);
	return flags;
}

static void unlock(struct vblk *d, unsigned long flags)
{
	port_spin_unlock(&d->lock);
	port_irq_restore(flags);
}

/* ---- ending -----------------------------------------------------------------
 */

/* END_IO of the list from BIO on, in order; the disk's lock is not held. */
static void end_list(struct port_bio *bio)
{
	struct port_bio *next;

	for (; bio; bio = next) {
		next = bio->next;
		bio->next = NULL;
		bio->end_io(bio);
	}
}

/* In a soft interrupt: those that failed on their way in. */
static void end_refused(void *arg)
{
	struct vblk *d = arg;
	unsigned long flags = lock(d);
	struct port_bio *list = d->refused;

	d->refused = NULL;
	d->soft_asked = false;
	unlock(d, flags);
	end_list(list);
}

/* Locked. BIO ends with STATUS as soon as interrupts are on. */
static void refuse(struct vblk *d, struct port_bio *bio, int status)
{
	bio->status = status;
	bio->next = d->refused;
	d->refused = bio;
	if (d->soft_asked)
		return;
	d->soft_asked = true;
	d->soft.fn = end_refused;
	d->soft.arg = d;
	irq_soft(&d->soft);
}

/* ---- building requests ------------------------------------------------------
 */

/* Bytes of BIO's page I that the disk has: less for its last one. */
static u32 page_bytes(const struct vblk *d, const struct port_bio *bio, u32 i)
{
	u64 at = bio->sector * PORT_SECTOR_SIZE + (u64)i * PAGE_SIZE;

	return (u32)min(d->bytes - at, (u64)PAGE_SIZE);
}

/* Pieces for the frames of BIO from FIRST on, at most max_segs; *PAGES: how
 * many frames they cover. */
static u32 gather(const struct vblk *d, const struct port_bio *bio, u32 first,
		  struct virtio_seg *seg, u32 *pages)
{
	u32 n = 0, i;

	for (i = first; i < bio->nr_pages; i++) {
		phys_addr_t pa = PFN_PHYS(bio->pfn[i]);
		u32 len = page_bytes(d, bio, i);

		if (n && seg[n - 1].pa + seg[n - 1].len == pa) {
			seg[n - 1].len += len;
			continue;
		}
		if (n == d->max_segs)
			break;
		seg[n++] = (struct virtio_seg){pa, len};
	}
	*pages = i - first;
	return n;
}

static u32 type_of(const struct port_bio *bio)
{
	return bio->op == PORT_BIO_READ	     ? T_IN
	       : bio->op == PORT_BIO_WRITE   ? T_OUT
	       : bio->op == PORT_BIO_DISCARD ? T_DISCARD
					     : T_FLUSH;
}

/* S names what BIO says; in one piece. */
static u32 name_range(const struct vblk *d, const struct port_bio *bio,
		      struct vblk_slot *s, struct virtio_seg *seg, u32 *pages)
{
	u64 all = d->bytes / PORT_SECTOR_SIZE - bio->sector;

	s->range = (struct vblk_range){
		bio->sector, (u32)min(all, (u64)bio->nr_pages * PAGE_SECTORS),
		0};
	*seg = (struct virtio_seg){port_ram_phys(&s->range), sizeof(s->range)};
	*pages = bio->nr_pages;
	return 1;
}

/* Locked. The time since the last call was one with the device, or not. */
static u64 count_time(struct vblk *d)
{
	u64 now = port_now_ns();

	if (d->stats.in_flight)
		d->stats.busy_ns += now - d->stamp;
	d->stamp = now;
	return now;
}

/* Put the next request of BIO into the queue. False: no room. */
static bool issue(struct vblk *d, struct port_bio *bio)
{
	struct virtio_seg seg[MAX_SEGS];
	struct vblk_slot *s = d->free;
	u32 done = (u32)bio->port_data, pages = 0, n = 0;
	phys_addr_t pa;
	bool in = bio->op == PORT_BIO_READ;

	if (!s)
		return false;
	if (bio->op == PORT_BIO_DISCARD)
		n = name_range(d, bio, s, seg + 1, &pages);
	else if (bio->op != PORT_BIO_FLUSH)
		n = gather(d, bio, done, seg + 1, &pages);
	pa = port_ram_phys(s);
	seg[0] = (struct virtio_seg){pa, sizeof(s->header)};
	seg[n + 1] =
		(struct virtio_seg){pa + offsetof(struct vblk_slot, status), 1};
	s->header = (struct vblk_header){
		.type = type_of(bio),
		.sector = n && bio->op != PORT_BIO_DISCARD
				  ? bio->sector + done * PAGE_SECTORS
				  : 0};
	s->status = 0xff;
	s->pages = pages;
	s->bio = bio;
	s->since = port_now_ns();
	if (!virtq_add(&d->q, seg, in ? 1 : n + 1, in ? n + 1 : 1, s))
		return false;
	d->free = s->next;
	count_time(d);
	d->stats.in_flight++;
	return true;
}

/* Locked: what waits goes into the queue as far as there is room. */
static void issue_waiting(struct vblk *d)
{
	bool any = false;

	while (d->head && !d->dead && issue(d, d->head)) {
		struct port_bio *bio = d->head;

		any = true;
		d->head = bio->next;
		if (!d->head)
			d->tail = NULL;
		bio->next = NULL;
	}
	if (any)
		virtq_kick(&d->q);
}

/* ---- submitting -------------------------------------------------------------
 */

/* Look whether an interrupt was missed, in a while. */
static void arm_watch(struct vblk *d)
{
	u64 in = d->lost >= 3 ? WATCH_FAST : d->suspect ? WATCH_SOON : WATCH_NS;

	d->watch.expires = port_now_ns() + in;
	machine_timer_arm(&d->watch);
}

/* 0: the device shall have it; 1: there is nothing to do; or why not. */
static int judge(const struct vblk *d, const struct port_bio *bio)
{
	u64 pages = DIV_ROUND_UP(d->bytes, PAGE_SIZE);
	u64 first = bio->sector / PAGE_SECTORS;

	if (d->dead)
		return -EIO;
	if (bio->op == PORT_BIO_FLUSH)
		return d->write_back ? 0 : 1;
	if (bio->op != PORT_BIO_READ && d->read_only)
		return -EROFS;
	if (bio->op == PORT_BIO_DISCARD && !d->discard_max)
		return -EOPNOTSUPP;
	if (first >= pages || bio->nr_pages > pages - first)
		return -EIO;
	return 0;
}

void vblk_submit(struct vblk *d, struct port_bio *bio)
{
	u32 most = bio->op == PORT_BIO_DISCARD ? max(d->discard_max, 1u)
					       : PORT_BIO_MAX_PAGES;
	unsigned long flags;
	int verdict;

	if (bio->op != PORT_BIO_FLUSH &&
	    (bio->nr_pages < 1 || bio->nr_pages > most ||
	     bio->sector % PAGE_SECTORS))
		mm_bug("%s: bio of %u pages at sector %llu", d->name,
		       bio->nr_pages, (unsigned long long)bio->sector);
	bio->next = NULL;
	bio->port_data = 0;
	bio->status = 0;
	flags = lock(d);
	verdict = judge(d, bio);
	if (d->busy++ == 0 && d->trusted < TRUSTED && !d->watch.armed)
		arm_watch(d);
	if (verdict) {
		d->busy--;
		refuse(d, bio, min(verdict, 0));
	} else {
		if (d->tail)
			d->tail->next = bio;
		else
			d->head = bio;
		d->tail = bio;
		issue_waiting(d);
	}
	unlock(d, flags);
}

/* ---- done -------------------------------------------------------------------
 */

static int status_of(const struct vblk *d, const struct vblk_slot *s)
{
	static const char *const ops[] = {"read", "write", "flush", "discard"};
	const struct port_bio *bio = s->bio;

	if (s->status == S_OK)
		return 0;
	pr_err("%s: %s of %u pages at sector %llu: %s", d->name, ops[bio->op],
	       s->pages, (unsigned long long)s->header.sector,
	       s->status == S_IOERR    ? "I/O error"
	       : s->status == S_UNSUPP ? "not supported"
				       : "no status");
	return -EIO;
}

/* What a page's tail behind the end of the disk reads as. */
static void clear_tail(const struct vblk *d, const struct port_bio *bio)
{
	u32 last = bio->nr_pages - 1, len = page_bytes(d, bio, last);

	if (len < PAGE_SIZE)
		__builtin_memset((char *)port_ram(PFN_PHYS(bio->pfn[last])) +
					 len,
				 0, PAGE_SIZE - len);
}

/* Locked. S has ended. */
static void count_request(struct vblk *d, const struct vblk_slot *s)
{
	enum port_bio_op op = s->bio->op;
	u64 now = count_time(d), left = d->bytes / PORT_SECTOR_SIZE;

	d->stats.in_flight--;
	d->stats.op[op].ios++;
	d->stats.op[op].ns += now - s->since;
	if (op == PORT_BIO_DISCARD)
		d->stats.op[op].sectors += s->range.sectors;
	else if (op != PORT_BIO_FLUSH)
		d->stats.op[op].sectors += min(left - s->header.sector,
					       (u64)s->pages * PAGE_SECTORS);
}

/* Locked. A request ended with STATUS. True: so did its bio. */
static bool request_done(struct vblk *d, struct vblk_slot *s, int status)
{
	struct port_bio *bio = s->bio;

	count_request(d, s);
	bio->port_data += s->pages;
	s->bio = NULL;
	s->next = d->free;
	d->free = s;
	if (!status && bio->op != PORT_BIO_FLUSH &&
	    bio->port_data < bio->nr_pages) {
		bio->next = d->head; /* the rest, before all others */
		d->head = bio;
		if (!d->tail)
			d->tail = bio;
		return false;
	}
	if (!status && bio->op == PORT_BIO_READ)
		clear_tail(d, bio);
	bio->status = status;
	d->busy--;
	return true;
}

struct bio_list {
	struct port_bio *head, **tail;
};

static void list_add_bio(struct bio_list *l, struct port_bio *bio)
{
	bio->next = NULL;
	*l->tail = bio;
	l->tail = &bio->next;
}

/* Locked. The disk is beyond use: all that is under way fails. */
static void die(struct vblk *d, struct bio_list *ended)
{
	struct vblk_slot *s;
	struct port_bio *bio;

	pr_err("%s: gives nonsense; it is not used any more", d->name);
	d->dead = true;
	virtio_reset(d->dev);
	while ((s = virtq_take_back(&d->q))) {
		bio = s->bio;
		(void)request_done(d, s, -EIO); /* an error ends all of it */
		list_add_bio(ended, bio);
	}
	while ((bio = d->head)) {
		d->head = bio->next;
		bio->status = -EIO;
		d->busy--;
		list_add_bio(ended, bio);
	}
	d->tail = NULL;
}

bool vblk_poll(struct vblk *d)
{
	struct port_bio *first = NULL;
	struct bio_list ended = {NULL, &first};
	unsigned long flags = lock(d);
	struct vblk_slot *s;
	struct port_bio *bio;
	bool any = false;
	u32 len;

	while (!d->dead && (s = virtq_get(&d->q, &len))) {
		any = true;
		bio = s->bio;
		if (request_done(d, s, status_of(d, s)))
			list_add_bio(&ended, bio);
	}
	if (d->q.broken && !d->dead)
		die(d, &ended);
	issue_waiting(d);
	unlock(d, flags);
	end_list(first);
	return any;
}

static void read_capacity(struct vblk *d)
{
	u64 sectors = 0;

	virtio_config(d->dev, CONFIG_CAPACITY, &sectors, sizeof(sectors));
	if (sectors > ~0ull / PORT_SECTOR_SIZE)
		sectors = ~0ull / PORT_SECTOR_SIZE;
	if (d->up && sectors * PORT_SECTOR_SIZE != d->bytes)
		pr_info("%s: has %llu sectors now", d->name,
			(unsigned long long)sectors);
	WRITE_ONCE(d->bytes, sectors * PORT_SECTOR_SIZE);
}

static void vblk_interrupt(void *arg)
{
	struct vblk *d = arg;
	u32 why = d->dev->t->isr(d->dev);

	if (!d->up || !why)
		return;
	if (why & VIRTIO_ISR_CONFIG)
		read_capacity(d);
	if (vblk_poll(d) && d->trusted < TRUSTED)
		d->trusted++;
}

/* ---- the watchdog -----------------------------------------------------------
 */

/* The oldest request's age; 0: there is none. */
static u64 oldest_age(struct vblk *d)
{
	unsigned long flags = lock(d);
	u64 now = port_now_ns(), oldest = now;

	for (u32 i = 0; i < d->q.size; i++) {
		if (d->slots[i].bio)
			oldest = min(oldest, d->slots[i].since);
	}
	unlock(d, flags);
	return now - oldest;
}

/* Something is done, and was at the last look: its interrupt had its time. */
static bool overdue(struct vblk *d)
{
	u32 at = virtq_more(&d->q) ? d->q.seen + 1u : 0;
	bool again = at && (at == d->suspect || d->lost >= 3);

	d->suspect = again ? 0 : at;
	return again;
}

static void watch(struct machine_timer *timer)
{
	struct vblk *d = timer->private;

	if (overdue(d) && vblk_poll(d) && ++d->lost == 3)
		pr_warn("%s: interrupts get lost; it is asked instead",
			d->name);
	if (oldest_age(d) > STUCK_NS && !d->slow_told) {
		d->slow_told = true;
		pr_warn("%s: a request takes more than %llu s", d->name,
			STUCK_NS / 1000000000ull);
	}
	if (vblk_busy(d) && d->trusted < TRUSTED)
		arm_watch(d);
}

/* ---- opening ----------------------------------------------------------------
 */

static int make_slots(struct vblk *d)
{
	d->slots = kzalloc(d->q.size * sizeof(struct vblk_slot), GFP_KERNEL);
	if (!d->slots)
		return -ENOMEM;
	for (u32 i = 0; i < d->q.size; i++) {
		d->slots[i].next = d->free;
		d->free = &d->slots[i];
	}
	return 0;
}

static void read_limits(struct vblk *d)
{
	u64 f = d->dev->features;
	u32 seg_max = PORT_BIO_MAX_PAGES, sectors = 0;

	d->read_only = f & F_RO;
	d->write_back = f & F_FLUSH;
	if (f & F_SEG_MAX)
		virtio_config(d->dev, CONFIG_SEG_MAX, &seg_max,
			      sizeof(seg_max));
	if (f & F_DISCARD)
		virtio_config(d->dev, CONFIG_DISCARD, &sectors,
			      sizeof(sectors));
	d->discard_max = sectors / PAGE_SECTORS;
	seg_max = clamp(seg_max, 1u, (u32)PORT_BIO_MAX_PAGES);
	d->max_segs = min(seg_max, d->q.size - 2u);
}

static int bring_up(struct vblk *d)
{
	int err = virtio_begin(d->dev, F_WANTED);

	if (err)
		return err;
	if (!d->dev->t->irq(d->dev, vblk_interrupt, d)) {
		pr_warn("%s: has no interrupt: it is asked instead", d->name);
		d->lost = 3;
	}
	d->known = true;
	err = virtq_init(&d->q, d->dev, 0);
	if (err)
		return err;
	read_capacity(d);
	read_limits(d);
	return make_slots(d);
}

int vblk_open(struct vblk **out, struct virtio_dev *dev, const char *name)
{
	struct vblk *d = kzalloc(sizeof(*d), GFP_KERNEL);
	int err;

	if (!d)
		return -ENOMEM;
	d->dev = dev;
	d->name = name;
	d->watch.fn = watch;
	d->watch.private = d;
	err = bring_up(d);
	if (err) {
		virtio_reset(dev);
		kfree(d->slots);
		kfree(d->q.mem);
		if (!d->known) /* a handler is known for ever */
			kfree(d);
		return err;
	}
	smp_store_release(&d->up, true);
	virtio_ready(dev);
	*out = d;
	return 0;
}

u32 vblk_busy(const struct vblk *d)
{
	return READ_ONCE(d->busy);
}

u64 vblk_bytes(const struct vblk *d)
{
	return READ_ONCE(d->bytes);
}

u32 vblk_discard_max(const struct vblk *d)
{
	return d->discard_max;
}

bool vblk_read_only(const struct vblk *d)
{
	return d->read_only;
}

bool vblk_write_back(const struct vblk *d)
{
	return d->write_back;
}

void vblk_stats(struct vblk *d, struct machine_disk_stats *out)
{
	unsigned long flags = lock(d);

	count_time(d);
	*out = d->stats;
	unlock(d, flags);
}

u64 vblk_lost(const struct vblk *d)
{
	return d->lost;
}
