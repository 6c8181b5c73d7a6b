/* SPDX-License-Identifier: MIT */
/*
 * virtio.c - queues that a driver and a device share, "split" layout.
 *
 * A queue is three arrays in one piece of memory. Descriptors name pieces of
 * memory and are chained to requests; the driver writes heads of chains to
 * `avail`, the device writes heads that it is done with to `used`. Each side
 * writes an index that only grows (mod 2^16), so neither needs a lock against
 * the other:
 *
 *      desc[size] | avail: flags idx ring[size] | ... | used: flags idx ring[]
 *                                                     ^ at a multiple of 4096
 *
 * The place of `used` is what devices before version 1 prescribe; newer ones
 * are told all three addresses, so one layout serves both.
 *
 * The device is not trusted with our books: which descriptors are free, where
 * a chain goes on and whose it is stand in arrays of our own. An entry of
 * `used` that names nothing under way makes the queue `broken`; its owner
 * resets the device then.
 *
 * Order on x86: stores are seen in order, so descriptors and ring entries are
 * there before the index that covers them. Only the store of the index and the
 * load of the device's "do not tell me" flag need a fence.
 *
 * Reference: OASIS, Virtual I/O Device (VIRTIO) 1.1, 2.6, 3.1, 4.1, 4.2.
 */
#include "virtio.h"

#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/printk.h"
#include "base/string.h"

#define DESC_NEXT  1u
#define DESC_WRITE 2u

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY	   1u

#define RING_ALIGN   4096u
#define RESET_ROUNDS 1000000u

/* ---- the device -------------------------------------------------------------
 */

void virtio_reset(struct virtio_dev *dev)
{
	dev->t->set_status(dev, 0);
	for (u32 i = 0; i < RESET_ROUNDS && dev->t->status(dev); i++)
		port_relax();
}

static int give_up(struct virtio_dev *dev, const char *why)
{
	pr_err("virtio: %s: %s", dev->where, why);
	dev->t->set_status(dev, VIRTIO_FAILED);
	return -EIO;
}

int virtio_begin(struct virtio_dev *dev, u64 wanted)
{
	u8 status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;
	u64 offered;

	virtio_reset(dev);
	dev->t->set_status(dev, VIRTIO_ACKNOWLEDGE);
	dev->t->set_status(dev, status);
	offered = dev->t->features(dev);
	if (!dev->legacy) {
		if (!(offered & VIRTIO_F_VERSION_1))
			return give_up(dev, "does not offer version 1");
		wanted |= VIRTIO_F_VERSION_1;
	}
	dev->features = offered & wanted;
	dev->t->accept(dev, dev->features);
	if (dev->legacy)
		return 0;
	status |= VIRTIO_FEATURES_OK;
	dev->t->set_status(dev, status);
	if (!(dev->t->status(dev) & VIRTIO_FEATURES_OK))
		return give_up(dev, "does not accept our features");
	return 0;
}

void virtio_ready(struct virtio_dev *dev)
{
	dev->t->set_status(dev, dev->t->status(dev) | VIRTIO_DRIVER_OK);
}

void virtio_config(struct virtio_dev *dev, u32 off, void *to, u32 len)
{
	u32 before, tries = 0;

	do {
		before = dev->t->generation(dev);
		dev->t->config(dev, off, to, len);
	} while (dev->t->generation(dev) != before && ++tries < 1000);
}

/* ---- the queue --------------------------------------------------------------
 */

static u32 used_offset(u16 size)
{
	return ALIGN((u32)(sizeof(struct vring_desc) * size +
			   sizeof(struct vring_avail) + 2 * size + 2),
		     RING_ALIGN);
}

u32 virtq_size_bytes(u16 size)
{
	return used_offset(size) +
	       (u32)(sizeof(struct vring_used) +
		     sizeof(struct vring_used_elem) * size + 2);
}

/* From a cache of objects of that size: contiguous, aligned to it. */
static int alloc_rings(struct virtq *q)
{
	u64 bytes = RING_ALIGN;
	char *mem;

	while (bytes < virtq_size_bytes(q->size))
		bytes *= 2;
	mem = kzalloc(bytes, GFP_KERNEL);
	if (!mem)
		return -ENOMEM;
	mm_verify(IS_ALIGNED((u64)mem, RING_ALIGN));
	q->mem = mem;
	q->desc = (struct vring_desc *)mem;
	q->avail = (struct vring_avail *)(q->desc + q->size);
	q->used = (struct vring_used *)(mem + used_offset(q->size));
	return 0;
}

int virtq_init(struct virtq *q, struct virtio_dev *dev, u16 index)
{
	u16 most = dev->t->queue_max(dev, index);
	int err;

	mm_memset(q, 0, sizeof(*q));
	q->dev = dev;
	q->index = index;
	if (most < 4)
		return give_up(dev, "has no such queue");
	q->size = (u16)min((u32)most, VIRTIO_MAX_QUEUE);
	while (q->size & (q->size - 1)) /* a power of two */
		q->size &= (u16)(q->size - 1);
	err = alloc_rings(q);
	if (err)
		return err;
	q->nr_free = q->size;
	for (u16 i = 0; i < q->size; i++)
		q->next[i] = (u16)(i + 1);
	err = dev->t->queue_set(dev, q);
	if (err) {
		kfree(q->mem);
		q->mem = NULL;
	}
	return err;
}

bool virtq_add(struct virtq *q, const struct virtio_seg *seg, u32 nr_out,
	       u32 nr_in, void *token)
{
	u32 nr = nr_out + nr_in;
	u16 head = q->free, at = head;

	mm_assert(nr > 0 && token);
	if (nr > q->nr_free || q->broken)
		return false;
	for (u32 i = 0; i < nr; i++) {
		u16 next = q->next[at];

		q->desc[at] = (struct vring_desc){
			.addr = seg[i].pa,
			.len = seg[i].len,
			.flags = (u16)((i >= nr_out ? DESC_WRITE : 0) |
				       (i + 1 < nr ? DESC_NEXT : 0)),
			.next = i + 1 < nr ? next : 0,
		};
		at = next;
	}
	q->free = at;
	q->nr_free = (u16)(q->nr_free - nr);
	q->count[head] = (u16)nr;
	q->token[head] = token;
	q->avail->ring[q->avail_idx & (q->size - 1)] = head;
	q->avail_idx++;
	return true;
}

void virtq_kick(struct virtq *q)
{
	smp_store_release(&q->avail->idx, q->avail_idx);
	smp_mb();
	if (!(q->used->flags & USED_NO_NOTIFY))
		q->dev->t->notify(q->dev, q);
}

/* The chain at HEAD is free again; its token. */
static void *give_back(struct virtq *q, u16 head)
{
	void *token = q->token[head];
	u16 last = head;

	for (u16 i = 1; i < q->count[head]; i++)
		last = q->next[last];
	q->next[last] = q->free;
	q->free = head;
	q->nr_free = (u16)(q->nr_free + q->count[head]);
	q->token[head] = NULL;
	return token;
}

bool virtq_more(const struct virtq *q)
{
	return !q->broken && smp_load_acquire(&q->used->idx) != q->seen;
}

void *virtq_get(struct virtq *q, u32 *len)
{
	volatile struct vring_used_elem *e;
	u32 id;

	if (!virtq_more(q))
		return NULL;
	e = &q->used->ring[q->seen & (q->size - 1)];
	id = e->id;
	if (id >= q->size || !q->token[id]) {
		pr_err("virtio: %s: queue %u: done with %u, which is not "
		       "under way",
		       q->dev->where, q->index, id);
		q->broken = true;
		return NULL;
	}
	*len = e->len;
	q->seen++;
	return give_back(q, (u16)id);
}

void *virtq_take_back(struct virtq *q)
{
	for (u16 i = 0; i < q->size; i++) {
		if (q->token[i])
			return give_back(q, i);
	}
	return NULL;
}
