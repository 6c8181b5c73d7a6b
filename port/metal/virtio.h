/* SPDX-License-Identifier: MIT */
/*
 * virtio.h - devices of virtual machines: the parts that all kinds share.
 * Private to port/metal. Theory: virtio.c.
 */
#ifndef METAL_VIRTIO_H
#define METAL_VIRTIO_H

#include <mmkit/port.h>
#include <mmkit/types.h>

#define VIRTIO_ID_BLOCK 2u

/* Bits of the status register. */
#define VIRTIO_ACKNOWLEDGE 1u
#define VIRTIO_DRIVER	   2u
#define VIRTIO_DRIVER_OK   4u
#define VIRTIO_FEATURES_OK 8u
#define VIRTIO_NEEDS_RESET 64u
#define VIRTIO_FAILED	   128u

#define VIRTIO_F_VERSION_1 (1ull << 32)

#define VIRTIO_MAX_QUEUE 256u

/* Why a device interrupts. */
#define VIRTIO_ISR_QUEUE  1u
#define VIRTIO_ISR_CONFIG 2u

struct virtio_dev;
struct virtq;

/* One way to reach a device: registers in memory, or PCI. */
struct virtio_transport {
	u64 (*features)(struct virtio_dev *dev);
	void (*accept)(struct virtio_dev *dev, u64 features);
	u8 (*status)(struct virtio_dev *dev);
	/* 0 resets the device; it is done when it reads as 0 again. */
	void (*set_status)(struct virtio_dev *dev, u8 status);
	/* LEN bytes of the device's own registers from OFF on. */
	void (*config)(struct virtio_dev *dev, u32 off, void *to, u32 len);
	/* Changes whenever those registers do. */
	u32 (*generation)(struct virtio_dev *dev);
	u16 (*queue_max)(struct virtio_dev *dev, u16 index);
	/* Tell where Q lies; 0 or -EIO. */
	int (*queue_set)(struct virtio_dev *dev, struct virtq *q);
	void (*notify)(struct virtio_dev *dev, struct virtq *q);
	/* VIRTIO_ISR_*: why it interrupted; taken back. */
	u32 (*isr)(struct virtio_dev *dev);
	/* Call FN(ARG) at each interrupt. False: it cannot interrupt. */
	bool (*irq)(struct virtio_dev *dev, void (*fn)(void *arg), void *arg);
};

struct virtio_dev {
	const struct virtio_transport *t;
	u32 id;	      /* VIRTIO_ID_*; 0: nothing there */
	u64 features; /* that both know */
	bool legacy;  /* before version 1: the ring's place is a frame number */
	char where[32];
	/* The transport's. */
	volatile u8 *regs, *common, *isr_reg, *own, *notify_regs, *msix;
	u32 notify_mul, notify_len;
	u32 gsi;
	bool gsi_level, gsi_low;
	u16 pci; /* bus, device, function */
};

/* A piece of memory that the device reads or writes. */
struct virtio_seg {
	phys_addr_t pa;
	u32 len;
};

struct vring_desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};

struct vring_avail {
	u16 flags, idx, ring[];
};

struct vring_used_elem {
	u32 id, len;
};

struct vring_used {
	u16 flags, idx;
	struct vring_used_elem ring[];
};

/* A queue of requests; the caller's lock is around every call. */
struct virtq {
	struct virtio_dev *dev;
	u16 index, size;
	u16 nr_free, free; /* descriptors that are nobody's: a list by next[] */
	u16 avail_idx;	   /* as of now; the device sees it after the kick */
	u16 seen;	   /* used entries that were taken */
	bool broken;	   /* the device wrote nonsense */
	bool polled;	   /* no interrupts are wanted */
	u16 notify_off;	   /* the transport's */
	void *mem;
	struct vring_desc *desc;
	volatile struct vring_avail *avail;
	volatile struct vring_used *used;
	/* Ours: the device cannot damage it. */
	u16 next[VIRTIO_MAX_QUEUE];
	u16 count[VIRTIO_MAX_QUEUE]; /* descriptors of the chain from here */
	void *token[VIRTIO_MAX_QUEUE];
};

/*
 * virtio_begin: reset DEV and agree on those of WANTED features that it has
 * (VERSION_1 is added where the transport can). 0; -EIO: it refuses (logged).
 * virtio_ready: from now on it works.
 */
int virtio_begin(struct virtio_dev *dev, u64 wanted) MM_MUST_CHECK;
void virtio_ready(struct virtio_dev *dev);
/* virtio_reset: it does nothing any more, nor touches memory. */
void virtio_reset(struct virtio_dev *dev);
/* virtio_config: LEN bytes of its registers, all of one moment. */
void virtio_config(struct virtio_dev *dev, u32 off, void *to, u32 len);

/* virtq_init: queue number INDEX of DEV. May sleep. 0, -ENOMEM, -EIO. */
int virtq_init(struct virtq *q, struct virtio_dev *dev,
	       u16 index) MM_MUST_CHECK;
/*
 * virtq_add: a request of NR_OUT pieces that the device reads and then NR_IN
 * that it writes. False: no room now. TOKEN, not NULL, comes back by
 * virtq_get() when it is done.
 */
bool virtq_add(struct virtq *q, const struct virtio_seg *seg, u32 nr_out,
	       u32 nr_in, void *token) MM_MUST_CHECK;
/* virtq_kick: the device is told of what was added. */
void virtq_kick(struct virtq *q);
/* virtq_get: a request that is done, *LEN bytes were written; NULL: none, or
 * q->broken. */
void *virtq_get(struct virtq *q, u32 *len);
/* virtq_more: has something been done since the last virtq_get()? */
bool virtq_more(const struct virtq *q);
/* virtq_take_back: after virtio_reset(): a request that was under way, or
 * NULL. */
void *virtq_take_back(struct virtq *q);
/* virtq_size_bytes: the memory that a queue of SIZE takes. */
u32 virtq_size_bytes(u16 size);

/* virtio_mmio_probe: what there is at PA; FALSE: no device. */
bool virtio_mmio_probe(struct virtio_dev *dev, phys_addr_t pa, u32 size,
		       u32 gsi);
/* virtio_pci_probe: function PCI. False: not for us (the reason is logged). */
bool virtio_pci_probe(struct virtio_dev *dev, u16 pci);
/*
 * virtio_mmio_word: parse "SIZE@BASE:GSI" as in Linux's virtio_mmio.device=;
 * numbers as C has them, with K, M, G. False: it is not one.
 */
bool virtio_mmio_word(const char *s, u64 *size, u64 *base, u32 *gsi);

#endif
