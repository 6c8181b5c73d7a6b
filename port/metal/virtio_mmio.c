/* SPDX-License-Identifier: MIT */
/*
 * virtio_mmio.c - virtio devices by a window of registers in memory, of
 * version 2 and of version 1 ("legacy"), which wants the queue as a number of
 * a 4 KiB frame and has 32 features.
 *
 * Reference: VIRTIO 1.1, 4.2.2 and 4.2.4.
 */
#include "virtio.h"

#include <mmkit/errno.h>

#include "apic.h"
#include "base/printk.h"
#include "base/seqbuf.h"
#include "io.h"

#define REG_MAGIC	 0x00u
#define REG_VERSION	 0x04u
#define REG_DEVICE	 0x08u
#define REG_FEATURES	 0x10u
#define REG_FEATURES_SEL 0x14u
#define REG_ACCEPT	 0x20u
#define REG_ACCEPT_SEL	 0x24u
#define REG_PAGE_SIZE	 0x28u /* legacy */
#define REG_QUEUE	 0x30u
#define REG_QUEUE_MAX	 0x34u
#define REG_QUEUE_SIZE	 0x38u
#define REG_QUEUE_ALIGN	 0x3cu /* legacy */
#define REG_QUEUE_PFN	 0x40u /* legacy */
#define REG_QUEUE_READY	 0x44u
#define REG_NOTIFY	 0x50u
#define REG_ISR		 0x60u
#define REG_ISR_ACK	 0x64u
#define REG_STATUS	 0x70u
#define REG_QUEUE_DESC	 0x80u
#define REG_QUEUE_AVAIL	 0x90u
#define REG_QUEUE_USED	 0xa0u
#define REG_GENERATION	 0xfcu
#define REG_CONFIG	 0x100u

#define MAGIC 0x74726976u /* "virt" */

static u32 get(struct virtio_dev *dev, u32 reg)
{
	return mmio_get32(dev->regs + reg);
}

static void set(struct virtio_dev *dev, u32 reg, u32 v)
{
	mmio_set32(dev->regs + reg, v);
}

static void set_pa(struct virtio_dev *dev, u32 reg, const volatile void *view)
{
	u64 pa = port_ram_phys((const void *)view);

	set(dev, reg, (u32)pa);
	set(dev, reg + 4, (u32)(pa >> 32));
}

static u64 mmio_features(struct virtio_dev *dev)
{
	u64 f;

	set(dev, REG_FEATURES_SEL, 0);
	f = get(dev, REG_FEATURES);
	if (dev->legacy)
		return f;
	set(dev, REG_FEATURES_SEL, 1);
	return f | (u64)get(dev, REG_FEATURES) << 32;
}

static void mmio_accept(struct virtio_dev *dev, u64 features)
{
	set(dev, REG_ACCEPT_SEL, 0);
	set(dev, REG_ACCEPT, (u32)features);
	if (dev->legacy) {
		set(dev, REG_PAGE_SIZE, PAGE_SIZE);
		return;
	}
	set(dev, REG_ACCEPT_SEL, 1);
	set(dev, REG_ACCEPT, (u32)(features >> 32));
}

static u8 mmio_status(struct virtio_dev *dev)
{
	return (u8)get(dev, REG_STATUS);
}

static void mmio_set_status(struct virtio_dev *dev, u8 status)
{
	set(dev, REG_STATUS, status);
}

static void mmio_config(struct virtio_dev *dev, u32 off, void *to, u32 len)
{
	u8 *p = to;

	for (u32 i = 0; i < len; i++)
		p[i] = mmio_get8(dev->regs + REG_CONFIG + off + i);
}

static u32 mmio_generation(struct virtio_dev *dev)
{
	return dev->legacy ? 0 : get(dev, REG_GENERATION);
}

static u16 mmio_queue_max(struct virtio_dev *dev, u16 index)
{
	set(dev, REG_QUEUE, index);
	return (u16)min(get(dev, REG_QUEUE_MAX), 0x8000u);
}

static int mmio_queue_set(struct virtio_dev *dev, struct virtq *q)
{
	u64 pfn = PFN_DOWN(port_ram_phys(q->mem));

	set(dev, REG_QUEUE, q->index);
	set(dev, REG_QUEUE_SIZE, q->size);
	if (dev->legacy) {
		if (pfn >> 32)
			return -EIO;
		set(dev, REG_QUEUE_ALIGN, PAGE_SIZE);
		set(dev, REG_QUEUE_PFN, (u32)pfn);
		return get(dev, REG_QUEUE_PFN) == (u32)pfn ? 0 : -EIO;
	}
	set_pa(dev, REG_QUEUE_DESC, q->desc);
	set_pa(dev, REG_QUEUE_AVAIL, q->avail);
	set_pa(dev, REG_QUEUE_USED, q->used);
	set(dev, REG_QUEUE_READY, 1);
	return get(dev, REG_QUEUE_READY) == 1 ? 0 : -EIO;
}

static void mmio_notify(struct virtio_dev *dev, struct virtq *q)
{
	set(dev, REG_NOTIFY, q->index);
}

static u32 mmio_isr(struct virtio_dev *dev)
{
	u32 why = get(dev, REG_ISR);

	if (why)
		set(dev, REG_ISR_ACK, why);
	return why;
}

static bool mmio_irq(struct virtio_dev *dev, void (*fn)(void *arg), void *arg)
{
	return irq_route(dev->gsi, dev->gsi_level, dev->gsi_low, "virtio", fn,
			 arg);
}

static const struct virtio_transport mmio_transport = {
	.features = mmio_features,
	.accept = mmio_accept,
	.status = mmio_status,
	.set_status = mmio_set_status,
	.config = mmio_config,
	.generation = mmio_generation,
	.queue_max = mmio_queue_max,
	.queue_set = mmio_queue_set,
	.notify = mmio_notify,
	.isr = mmio_isr,
	.irq = mmio_irq,
};

bool virtio_mmio_probe(struct virtio_dev *dev, phys_addr_t pa, u32 size,
		       u32 gsi)
{
	u32 version;

	*dev = (struct virtio_dev){.t = &mmio_transport, .gsi = gsi};
	mm_snprintf(dev->where, sizeof(dev->where), "mmio 0x%llx",
		    (unsigned long long)pa);
	if (size < 0x200)
		return false;
	dev->regs = metal_map_io(pa, size);
	if (!dev->regs || get(dev, REG_MAGIC) != MAGIC)
		return false;
	dev->id = get(dev, REG_DEVICE);
	version = get(dev, REG_VERSION);
	if (dev->id && version != 1 && version != 2) {
		pr_warn("virtio: %s: version %u is unknown", dev->where,
			version);
		return false;
	}
	dev->legacy = version == 1;
	dev->gsi_level = true;
	return dev->id != 0;
}

/* ---- the word on the command line -------------------------------------------
 */

/* A number as C has it, with K, M or G; behind it *S. */
static bool number(const char **s, u64 *out)
{
	const char *p = *s;
	u32 base = 10, digit;
	u64 v = 0;
	bool any = false;

	if (p[0] == '0' && (p[1] | 0x20) == 'x') {
		base = 16;
		p += 2;
	}
	for (;; p++, any = true) {
		if (*p >= '0' && *p <= '9')
			digit = (u32)(*p - '0');
		else if ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'f' && base == 16)
			digit = (u32)((*p | 0x20) - 'a') + 10;
		else
			break;
		if (v > (~0ull - digit) / base)
			return false;
		v = v * base + digit;
	}
	if (*p == 'K' || *p == 'M' || *p == 'G') {
		u32 shift = *p == 'K' ? 10 : *p == 'M' ? 20 : 30;

		if (v > ~0ull >> shift)
			return false;
		v <<= shift;
		p++;
	}
	*s = p;
	*out = v;
	return any;
}

bool virtio_mmio_word(const char *s, u64 *size, u64 *base, u32 *gsi)
{
	u64 irq, id;

	if (!number(&s, size) || *s++ != '@' || !number(&s, base) ||
	    *s++ != ':' || !number(&s, &irq) || irq > 1023)
		return false;
	if (*s == ':') {
		s++;
		if (!number(&s, &id))
			return false;
	}
	*gsi = (u32)irq;
	return *s == 0 || *s == ' ';
}
