/* SPDX-License-Identifier: MIT */
/*
 * disk.c - block devices of the host world. Each has a thread that takes the
 * requests in order, moves the bytes and calls end_io with port_in_irq()
 * true, at the same time as everything else.
 */
#include "host_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/string.h"

#define PAGE_SECTORS (PAGE_SIZE / PORT_SECTOR_SIZE)

struct port_bdev {
	char name[256];
	int fd;	   /* -1: memory */
	char *mem; /* the bytes, if in memory */
	u64 size;
	struct port_thread *thread;
	pthread_mutex_t lock;	   /* the queue and stop */
	pthread_mutex_t size_lock; /* size and mem against transfers */
	pthread_cond_t work;
	struct port_bio *head, *tail;
	bool stop;
	struct port_bdev *next; /* under host.lock */
};

/* ---- service ---------------------------------------------------------------
 */

/* Move one page; 0 or a negative errno. Short transfers are continued. */
static int move_page(struct port_bdev *d, enum port_bio_op op, char *view,
		     u64 off)
{
	/* The last page may end within. */
	size_t done = 0, len = min(d->size - off, PAGE_SIZE);

	if (op == PORT_BIO_READ)
		memset(view + len, 0, PAGE_SIZE - len);
	if (d->mem) {
		/* A page may be written to while it is on its way out. */
		mm_memcpy_racy(op == PORT_BIO_READ ? view : d->mem + off,
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

static int transfer(struct port_bdev *d, struct port_bio *bio)
{
	u64 pages = DIV_ROUND_UP(d->size, PAGE_SIZE),
	    first = bio->sector / PAGE_SECTORS;
	int err = 0;
	u32 i;

	if (bio->op == PORT_BIO_FLUSH)
		return d->mem || !fdatasync(d->fd) ? 0 : -EIO;
	if (bio->op == PORT_BIO_DISCARD)
		return -EOPNOTSUPP;
	if (first >= pages || bio->nr_pages > pages - first)
		return -EIO;
	for (i = 0; i < bio->nr_pages && !err; i++)
		err = move_page(d, bio->op, host_phys(PFN_PHYS(bio->pfn[i])),
				(first + i) * PAGE_SIZE);
	return err;
}

/* The next request, or NULL when the disk closes and none is left. */
static struct port_bio *take(struct port_bdev *d)
{
	struct port_bio *bio;

	pthread_mutex_lock(&d->lock);
	while (!d->head && !d->stop)
		pthread_cond_wait(&d->work, &d->lock);
	bio = d->head;
	if (bio) {
		d->head = bio->next;
		if (!d->head)
			d->tail = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	return bio;
}

static void disk_thread(void *arg)
{
	struct port_bdev *d = arg;
	struct port_bio *bio;

	while ((bio = take(d))) {
		bio->next = NULL;
		pthread_mutex_lock(&d->size_lock);
		bio->status = transfer(d, bio);
		pthread_mutex_unlock(&d->size_lock);
		bio->end_io(bio);
	}
}

void port_bio_submit(struct port_bio *bio)
{
	struct port_bdev *d = bio->bdev;

	if (bio->op <= PORT_BIO_WRITE &&
	    (bio->nr_pages < 1 || bio->nr_pages > PORT_BIO_MAX_PAGES ||
	     bio->sector % PAGE_SECTORS))
		host_bug("port_bio_submit: malformed request");
	bio->next = NULL;
	pthread_mutex_lock(&d->lock);
	if (d->tail)
		d->tail->next = bio;
	else
		d->head = bio;
	d->tail = bio;
	pthread_cond_signal(&d->work);
	pthread_mutex_unlock(&d->lock);
}

/* ---- opening and closing
 * --------------------------------------------------------- */

/* Write why PATH cannot be used to ERR, if the caller wants to know. */
static int refuse(char *err, const char *path, const char *what, int code)
{
	int n = 0;

	if (err)
		n = snprintf(err, HOST_DISK_ERR_MAX, "%s: %s: %s", path, what,
			     strerror(code));
	/* A path too long to show in full says so. */
	if (n >= HOST_DISK_ERR_MAX)
		memcpy(err + HOST_DISK_ERR_MAX - 4, "...", 4);
	return -code;
}

static int open_file(struct port_bdev *d, const struct host_disk_config *cfg,
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
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->size_lock);
	pthread_cond_destroy(&d->work);
	free(d);
}

/* Start D's thread, with a slot of its own. */
static int disk_start(struct port_bdev *d, char *err)
{
	int code = host_thread_new(&d->thread, "disk", -1, PF_KTHREAD, true);

	if (code)
		return refuse(err, d->name, "no CPU slot", -code);
	code = host_thread_go(d->thread, disk_thread, d);
	if (code) {
		host_thread_drop(d->thread);
		return refuse(err, d->name, "no thread", -code);
	}
	return 0;
}

int host_disk_open(struct port_bdev **out, const struct host_disk_config *cfg,
		   char *err)
{
	const char *name = cfg->name ? cfg->name : cfg->path;
	struct port_bdev *d;
	int code;

	if (!name)
		name = "memory disk";
	if (!host.up || !cfg->size_bytes || cfg->size_bytes > INT64_MAX ||
	    !IS_ALIGNED(cfg->size_bytes, PAGE_SIZE))
		return refuse(err, name, "bad disk configuration", EINVAL);
	d = calloc(1, sizeof(*d));
	if (!d)
		return refuse(err, name, "no memory", ENOMEM);
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->fd = -1;
	d->size = cfg->size_bytes;
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->size_lock, NULL);
	pthread_cond_init(&d->work, NULL);
	code = cfg->path ? open_file(d, cfg, err) : open_memory(d, err);
	if (!code)
		code = disk_start(d, err);
	if (code) {
		disk_free(d);
		return code;
	}
	pthread_mutex_lock(&host.lock);
	d->next = host.disks;
	host.disks = d;
	pthread_mutex_unlock(&host.lock);
	*out = d;
	return 0;
}

void host_disk_close(struct port_bdev *disk)
{
	struct port_bdev **at = &host.disks;

	pthread_mutex_lock(&host.lock);
	while (*at != disk)
		at = &(*at)->next;
	*at = disk->next;
	pthread_mutex_unlock(&host.lock);
	pthread_mutex_lock(&disk->lock);
	disk->stop = true;
	pthread_cond_signal(&disk->work);
	pthread_mutex_unlock(&disk->lock);
	port_thread_join(disk->thread);
	disk_free(disk);
}

void host_disks_exit(void)
{
	while (host.disks)
		host_disk_close(host.disks);
}

u64 port_bdev_size(const struct port_bdev *bdev)
{
	return __atomic_load_n(&bdev->size, __ATOMIC_ACQUIRE);
}

static int resize_memory(struct port_bdev *d, u64 bytes)
{
	u64 old = max(PAGE_ALIGN(d->size), PAGE_SIZE);
	u64 new = max(PAGE_ALIGN(bytes), PAGE_SIZE);
	void *mem =
		old == new ? d->mem : mremap(d->mem, old, new, MREMAP_MAYMOVE);

	if (mem == MAP_FAILED)
		return -ENOMEM;
	d->mem = mem;
	/* What appears some day has to be zero. */
	if (bytes < d->size)
		memset(d->mem + bytes, 0,
		       min(new, PAGE_ALIGN(d->size)) - bytes);
	return 0;
}

/* The disk's thread moves bytes with the size lock held. */
int port_bdev_resize(struct port_bdev *d, u64 bytes)
{
	int err = 0;

	if (bytes > INT64_MAX)
		return -EFBIG;
	pthread_mutex_lock(&d->size_lock);
	if (d->mem)
		err = resize_memory(d, bytes);
	else if (ftruncate(d->fd, (off_t)bytes))
		err = errno == ENOSPC || errno == EFBIG ? -errno : -EIO;
	if (!err)
		__atomic_store_n(&d->size, bytes, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&d->size_lock);
	return err;
}

const char *port_bdev_name(const struct port_bdev *bdev)
{
	return bdev->name;
}

/* Files and memory of the host: nothing is won by telling them. */
u32 port_bdev_discard_max(const struct port_bdev *bdev)
{
	(void)bdev;
	return 0;
}
