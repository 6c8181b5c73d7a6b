/* SPDX-License-Identifier: MIT */
/*
 * disk.c - block devices of the sim world, and the interrupts they raise.
 *
 * A request occupies one of the device's channels for a seek plus its
 * transfer; when all are busy it starts when the first becomes free. Bytes
 * move at the moment of completion, straight between the file and the frames:
 * a frame that is reused while it is under I/O shows as wrong contents. The
 * completion then waits on the CPU that had submitted the request until that
 * CPU has interrupts on.
 *
 * A request on its way needs no memory: it links by its own fields; until it
 * is complete, port_data is its completion time and status its CPU.
 */
#include "sim_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEPTH_DEFAULT 8
#define DEPTH_MAX     64
#define PAGE_SECTORS  (PAGE_SIZE / PORT_SECTOR_SIZE)

struct port_bdev {
	char name[256];
	int fd;	   /* -1: memory */
	char *mem; /* the bytes, if in memory */
	u64 size;
	u32 depth;
	u64 channel_free_ns[DEPTH_MAX];
	struct port_bio *queue; /* by completion time */
	struct sim_event event; /* completion of the first */
	struct sim_disk_fault fault;
	bool faulty;
	u64 matched; /* requests that matched the fault rule */
	struct sim_disk_stats stats;
	struct port_bdev *channels; /* whose channels it uses */
	void (*fill)(void *arg, u64 page, void *view);
	void *fill_arg;
	void (*watch)(void *arg, enum port_bio_op op, u64 page,
		      const void *bytes);
	void *watch_arg;
	u64 fill_bytes; /* what lies behind was never filled */
	u8 *seen;	/* with fill: bit per page that was moved */
	u64 seen_room;	/* pages */
	u32 discard_max;
	struct port_bdev *next;
};

/* ---- service ---------------------------------------------------------------
 */

/* Whether the installed rule fails this request. */
static bool injected(struct port_bdev *d, const struct port_bio *bio)
{
	const struct sim_disk_fault *f = &d->fault;
	u64 end = bio->sector + bio->nr_pages * PAGE_SECTORS;

	if (!d->faulty)
		return false;
	if (bio->op == PORT_BIO_FLUSH	  ? !f->flushes
	    : bio->op == PORT_BIO_DISCARD ? !f->discards
	    : bio->op == PORT_BIO_READ	  ? !f->reads
					  : !f->writes)
		return false;
	if (bio->op != PORT_BIO_FLUSH &&
	    (end <= f->first || (f->last && bio->sector > f->last)))
		return false;
	d->matched++;
	return d->matched > f->skip &&
	       (!f->times || d->matched <= f->skip + f->times);
}

/* The page at OFF of a disk that fills moves; make its bytes if it is new. */
static void see_page(struct port_bdev *d, enum port_bio_op op, u64 off)
{
	u64 page = off / PAGE_SIZE;
	u8 bit = (u8)(1u << page % 8);
	char *view = d->mem + off;

	if (d->seen[page / 8] & bit) {
		d->stats.pages_again += op == PORT_BIO_READ;
		return;
	}
	d->seen[page / 8] |= bit;
	if (op != PORT_BIO_READ || off >= d->fill_bytes)
		return;
	d->fill(d->fill_arg, page, view);
	if (d->fill_bytes - off < PAGE_SIZE)
		memset(view + (d->fill_bytes - off), 0,
		       PAGE_SIZE - (d->fill_bytes - off));
}

/* Room to see pages below BYTES; what lies behind is new if it comes again. */
static int see_resize(struct port_bdev *d, u64 bytes)
{
	u64 pages = PFN_UP(bytes);
	u8 *seen;

	if (pages > d->seen_room) {
		u64 room = max(pages, d->seen_room * 2);

		seen = calloc(1, room / 8 + 1);
		if (!seen)
			return -ENOMEM;
		if (d->seen)
			memcpy(seen, d->seen, d->seen_room / 8 + 1);
		free(d->seen);
		d->seen = seen;
		d->seen_room = room;
	}
	for (u64 p = pages; p < PFN_UP(d->size); p++)
		d->seen[p / 8] &= (u8) ~(1u << p % 8);
	d->fill_bytes = min(d->fill_bytes, bytes);
	return 0;
}

/* Move one page; 0 or a negative errno. Short transfers are continued. */
static int move_page(struct port_bdev *d, enum port_bio_op op, char *view,
		     u64 off)
{
	/* The last page may end within. */
	size_t done = 0, len = min(d->size - off, PAGE_SIZE);

	if (op == PORT_BIO_READ)
		memset(view + len, 0, PAGE_SIZE - len);
	if (d->fill)
		see_page(d, op, off);
	if (d->mem) {
		memcpy(op == PORT_BIO_READ ? view : d->mem + off,
		       op == PORT_BIO_READ ? d->mem + off : view, len);
		return 0;
	}
	while (done < len) {
		size_t left = len - done;
		off_t at = (off_t)(off + done);
		ssize_t n = op == PORT_BIO_READ
				    ? pread(d->fd, view + done, left, at)
				    : pwrite(d->fd, view + done, left, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == ENOSPC ? -ENOSPC : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* What was in the pages of BIO is gone: in memory they are full of something
 * else, so that who still wanted it notices; of a file they are holes. */
static int forget(struct port_bdev *d, const struct port_bio *bio)
{
	u64 off = bio->sector * PORT_SECTOR_SIZE;
	u64 len = min(d->size - off, bio->nr_pages * PAGE_SIZE);

	d->stats.discarded += bio->nr_pages;
	if (d->mem)
		memset(d->mem + off, 0xd5, len);
	else if (fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   (off_t)off, (off_t)len))
		return errno == EOPNOTSUPP ? 0 : -EIO;
	return 0;
}

static int check_bio(const struct port_bdev *d, const struct port_bio *bio)
{
	u64 pages = DIV_ROUND_UP(d->size, PAGE_SIZE),
	    first = bio->sector / PAGE_SECTORS;
	u32 most = bio->op == PORT_BIO_DISCARD ? d->discard_max
					       : PORT_BIO_MAX_PAGES;

	if (bio->op == PORT_BIO_FLUSH)
		return 0;
	if (bio->op == PORT_BIO_DISCARD && !most)
		return -EOPNOTSUPP;
	if (bio->nr_pages < 1 || bio->nr_pages > most ||
	    bio->sector % PAGE_SECTORS)
		sim_bug("port_bio_submit: malformed request");
	if (first >= pages || bio->nr_pages > pages - first)
		return -EIO;
	return 0;
}

/* BIO was done. */
static void tell_watch(struct port_bdev *d, const struct port_bio *bio)
{
	if (bio->op == PORT_BIO_FLUSH)
		d->watch(d->watch_arg, bio->op, 0, NULL);
	for (u32 i = 0; bio->op == PORT_BIO_WRITE && i < bio->nr_pages; i++)
		d->watch(d->watch_arg, bio->op, bio->sector / PAGE_SECTORS + i,
			 sim_phys(PFN_PHYS(bio->pfn[i])));
}

/* Do what BIO asks; 0 or a negative errno. */
static int transfer(struct port_bdev *d, struct port_bio *bio)
{
	u64 off = bio->sector * PORT_SECTOR_SIZE;
	int err = check_bio(d, bio);
	u32 i;

	if (!err && injected(d, bio))
		err = d->fault.error;
	if (!err && bio->op == PORT_BIO_DISCARD)
		err = forget(d, bio);
	/* What was written stays in a simulated disk: a flush moves nothing. */
	for (i = 0; bio->op <= PORT_BIO_WRITE && i < bio->nr_pages && !err; i++)
		err = move_page(d, bio->op, sim_phys(PFN_PHYS(bio->pfn[i])),
				off + i * PAGE_SIZE);
	if (d->watch && !err)
		tell_watch(d, bio);
	d->stats.errors += err != 0;
	return err;
}

/* When a request of that many pages that starts now is complete. */
static u64 service_time(struct port_bdev *d, u32 nr_pages)
{
	struct port_bdev *of = d->channels;
	u64 *ch = &of->channel_free_ns[0], start, cost;
	u32 i;

	for (i = 1; i < of->depth; i++) {
		if (of->channel_free_ns[i] < *ch)
			ch = &of->channel_free_ns[i];
	}
	start = max(sim_this->clock_ns, *ch);
	cost = sim_costs.disk_seek_ns +
	       (u64)sim_costs.disk_per_kib_ns * nr_pages * (PAGE_SIZE / 1024);
	d->stats.busy_ns += cost;
	*ch = start + cost;
	return *ch;
}

void port_bio_submit(struct port_bio *bio)
{
	struct port_bdev *d = bio->bdev;
	struct port_bio **at = &d->queue;
	bool moves = bio->op <= PORT_BIO_WRITE;
	u64 sectors = bio->nr_pages * PAGE_SECTORS;

	sim_this->clock_ns += sim_costs.disk_submit_ns;
	(void)check_bio(d, bio);
	if (bio->op == PORT_BIO_FLUSH) {
		d->stats.flushes++;
	} else if (bio->op == PORT_BIO_DISCARD) {
		d->stats.discards++;
	} else if (bio->op == PORT_BIO_READ) {
		d->stats.reads++;
		d->stats.read_sectors += sectors;
	} else {
		d->stats.writes++;
		d->stats.write_sectors += sectors;
	}
	bio->port_data = service_time(d, moves ? bio->nr_pages : 0);
	bio->status = sim_this->id;
	while (*at && (*at)->port_data <= bio->port_data)
		at = &(*at)->next;
	bio->next = *at;
	*at = bio;
	if (d->queue == bio)
		sim_event_add(&d->event, bio->port_data);
}

/* ---- completion -------------------------------------------------------------
 */

/* The first request is complete: do it and hand it to its CPU, or to the first
 * one if that went down meanwhile. */
static void disk_fire(struct sim_event *ev)
{
	struct port_bdev *d = container_of(ev, struct port_bdev, event);
	struct port_bio *bio = d->queue;
	struct sim_cpu *c = &sim.cpus[bio->status];

	if (c->down)
		c = &sim.cpus[0];
	d->queue = bio->next;
	bio->next = NULL;
	bio->status = transfer(d, bio);
	sim_cpu_catch_up(c, bio->port_data);
	if (c->irq_tail)
		c->irq_tail->next = bio;
	else
		c->irq_head = bio;
	c->irq_tail = bio;
	if (d->queue)
		sim_event_add(&d->event, d->queue->port_data);
	sim_kick(c);
}

bool sim_irq_pending(const struct sim_cpu *cpu)
{
	return cpu->irq_head && !cpu->mmu.hot.irq_off;
}

/* Run the completion callbacks that wait on CPU, which is being played. */
void sim_irq_deliver(struct sim_cpu *cpu)
{
	struct sim_hot *hot = &cpu->mmu.hot;

	while (sim_irq_pending(cpu)) {
		struct port_bio *bio = cpu->irq_head;

		cpu->irq_head = bio->next;
		if (!cpu->irq_head)
			cpu->irq_tail = NULL;
		bio->next = NULL;
		hot->in_irq = 1;
		hot->irq_off = 1;
		hot->pin++;
		hot->clock_ns =
			max(hot->clock_ns, bio->port_data) + sim_costs.irq_ns;
		bio->end_io(bio);
		hot->pin--;
		hot->irq_off = 0;
		hot->in_irq = 0;
	}
}

/* ---- opening
 * ------------------------------------------------------------------ */

/* Write why PATH cannot be used to ERR, if the caller wants to know. */
static int refuse(char *err, const char *path, const char *what, int code)
{
	int n = 0;

	if (err)
		n = snprintf(err, SIM_DISK_ERR_MAX, "%s: %s: %s", path, what,
			     strerror(code));
	/* A path too long to show in full says so. */
	if (n >= SIM_DISK_ERR_MAX)
		memcpy(err + SIM_DISK_ERR_MAX - 4, "...", 4);
	return -code;
}

static int open_file(struct port_bdev *d, const struct sim_disk_config *cfg,
		     char *err)
{
	int code;

	d->fd = open(cfg->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->fd < 0)
		return refuse(err, cfg->path, "cannot open", errno);
	if (ftruncate(d->fd, (off_t)cfg->size_bytes))
		return refuse(err, cfg->path, "cannot set the size", errno);
	code = cfg->reserve ? posix_fallocate(d->fd, 0, (off_t)cfg->size_bytes)
			    : 0;
	if (code)
		return refuse(err, cfg->path, "cannot reserve space", code);
	if (cfg->unlink && unlink(cfg->path))
		return refuse(err, cfg->path, "cannot unlink", errno);
	return 0;
}

static int open_memory(struct port_bdev *d, char *err)
{
	void *mem = mmap(NULL, d->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return refuse(err, d->name, "cannot map", errno);
	d->mem = mem;
	return 0;
}

static void disk_free(struct port_bdev *d)
{
	if (d->mem)
		munmap(d->mem, max(PAGE_ALIGN(d->size), PAGE_SIZE));
	if (d->fd >= 0)
		close(d->fd);
	free(d->seen);
	free(d);
}

int sim_disk_open(struct port_bdev **out, const struct sim_disk_config *cfg,
		  char *err)
{
	const char *name = cfg->name ? cfg->name : cfg->path;
	struct port_bdev *d;
	int code;

	if (!name)
		name = "memory disk";
	if (!sim.up || !cfg->size_bytes || cfg->size_bytes > INT64_MAX ||
	    !IS_ALIGNED(cfg->size_bytes, PAGE_SIZE) || cfg->depth > DEPTH_MAX ||
	    (cfg->fill && cfg->path))
		return refuse(err, name, "bad disk configuration", EINVAL);
	d = calloc(1, sizeof(*d));
	if (!d)
		return refuse(err, name, "no memory", ENOMEM);
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->fd = -1;
	d->size = cfg->size_bytes;
	d->depth = cfg->depth ? cfg->depth : DEPTH_DEFAULT;
	d->event.fire = disk_fire;
	d->channels = cfg->on ? cfg->on->channels : d;
	d->discard_max = cfg->discard_max;
	d->fill = cfg->fill;
	d->fill_arg = cfg->fill_arg;
	d->fill_bytes = cfg->size_bytes;
	code = cfg->path ? open_file(d, cfg, err) : open_memory(d, err);
	if (!code && d->fill && see_resize(d, d->size))
		code = refuse(err, name, "no memory", ENOMEM);
	if (code) {
		disk_free(d);
		return code;
	}
	d->next = sim.disks;
	sim.disks = d;
	*out = d;
	return 0;
}

void sim_disk_close(struct port_bdev *disk)
{
	struct port_bdev **at = &sim.disks;

	if (disk->queue)
		sim_bug("sim_disk_close: requests are under way");
	while (*at != disk)
		at = &(*at)->next;
	*at = disk->next;
	disk_free(disk);
}

/* The machine goes away: requests under way are dropped with it. */
void sim_disks_exit(void)
{
	while (sim.disks) {
		sim_event_cancel(&sim.disks->event);
		sim.disks->queue = NULL;
		sim_disk_close(sim.disks);
	}
}

void sim_disk_fail(struct port_bdev *disk, const struct sim_disk_fault *rule)
{
	disk->faulty = rule != NULL;
	disk->matched = 0;
	if (rule)
		disk->fault = *rule;
}

void sim_disk_watch(struct port_bdev *disk,
		    void (*fn)(void *arg, enum port_bio_op op, u64 page,
			       const void *bytes),
		    void *arg)
{
	disk->watch = fn;
	disk->watch_arg = arg;
}

void sim_disk_stats(const struct port_bdev *disk, struct sim_disk_stats *out)
{
	*out = disk->stats;
}

u64 port_bdev_size(const struct port_bdev *bdev)
{
	return bdev->size;
}

/* Other bytes for a disk in memory; none at all cannot be mapped. */
static int resize_memory(struct port_bdev *d, u64 bytes)
{
	u64 old = PAGE_ALIGN(d->size), new = PAGE_ALIGN(bytes);
	void *mem;

	new = max(new, PAGE_SIZE);
	old = max(old, PAGE_SIZE);
	mem = old == new ? d->mem : mremap(d->mem, old, new, MREMAP_MAYMOVE);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	d->mem = mem;
	/* What appears some day has to be zero. */
	if (bytes < d->size)
		memset(d->mem + bytes, 0,
		       min(new, PAGE_ALIGN(d->size)) - bytes);
	return 0;
}

int port_bdev_resize(struct port_bdev *d, u64 bytes)
{
	int err = 0;

	if (bytes > INT64_MAX)
		return -EFBIG;
	if (d->faulty && d->fault.resizes)
		err = d->fault.error;
	else if (d->fill && (err = see_resize(d, bytes)))
		return err;
	else if (d->mem)
		err = resize_memory(d, bytes);
	else if (ftruncate(d->fd, (off_t)bytes))
		err = errno == ENOSPC || errno == EFBIG ? -errno : -EIO;
	if (!err)
		d->size = bytes;
	return err;
}

u32 port_bdev_discard_max(const struct port_bdev *bdev)
{
	return bdev->discard_max;
}

const char *port_bdev_name(const struct port_bdev *bdev)
{
	return bdev->name;
}
