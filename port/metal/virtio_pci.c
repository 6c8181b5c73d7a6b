/* SPDX-License-Identifier: MIT */
/*
 * virtio_pci.c - virtio devices on the PCI bus, by their modern interface:
 * capabilities say in which region and where the common registers, the
 * notification area, the interrupt reason and the device's own registers lie.
 * Transitional devices have that too.
 *
 * Interrupts come by message (MSI-X) where the device can: configuration and
 * queue share one vector, the handler looks for both reasons. Else by the
 * line that the firmware routed.
 *
 * Reference: VIRTIO 1.1, 4.1.
 */
#include "virtio.h"

#include <mmkit/errno.h>

#include "acpi.h"
#include "apic.h"
#include "base/printk.h"
#include "base/seqbuf.h"
#include "io.h"
#include "pci.h"

/* Capability: kind, region, place, length. */
#define CAP_KIND   3u
#define CAP_BAR	   4u
#define CAP_OFFSET 8u
#define CAP_LENGTH 12u
#define CAP_MUL	   16u

#define KIND_COMMON 1u
#define KIND_NOTIFY 2u
#define KIND_ISR    3u
#define KIND_OWN    4u

/* Common registers. */
#define REG_FEATURES_SEL 0x00u
#define REG_FEATURES	 0x04u
#define REG_ACCEPT_SEL	 0x08u
#define REG_ACCEPT	 0x0cu
#define REG_MSIX	 0x10u
#define REG_STATUS	 0x14u
#define REG_GENERATION	 0x15u
#define REG_QUEUE	 0x16u
#define REG_QUEUE_SIZE	 0x18u
#define REG_QUEUE_MSIX	 0x1au
#define REG_QUEUE_ON	 0x1cu
#define REG_QUEUE_NOTIFY 0x1eu
#define REG_QUEUE_DESC	 0x20u
#define REG_QUEUE_AVAIL	 0x28u
#define REG_QUEUE_USED	 0x30u
#define COMMON_BYTES	 0x38u

#define NO_VECTOR 0xffffu

static u64 pci_features(struct virtio_dev *dev)
{
	u64 f;

	mmio_set32(dev->common + REG_FEATURES_SEL, 0);
	f = mmio_get32(dev->common + REG_FEATURES);
	mmio_set32(dev->common + REG_FEATURES_SEL, 1);
	return f | (u64)mmio_get32(dev->common + REG_FEATURES) << 32;
}

static void pci_accept(struct virtio_dev *dev, u64 features)
{
	mmio_set32(dev->common + REG_ACCEPT_SEL, 0);
	mmio_set32(dev->common + REG_ACCEPT, (u32)features);
	mmio_set32(dev->common + REG_ACCEPT_SEL, 1);
	mmio_set32(dev->common + REG_ACCEPT, (u32)(features >> 32));
}

static u8 pci_status(struct virtio_dev *dev)
{
	return mmio_get8(dev->common + REG_STATUS);
}

static void pci_set_status(struct virtio_dev *dev, u8 status)
{
	mmio_set8(dev->common + REG_STATUS, status);
}

static void pci_config(struct virtio_dev *dev, u32 off, void *to, u32 len)
{
	u8 *p = to;

	for (u32 i = 0; i < len; i++)
		p[i] = mmio_get8(dev->own + off + i);
}

static u32 pci_generation(struct virtio_dev *dev)
{
	return mmio_get8(dev->common + REG_GENERATION);
}

static u16 pci_queue_max(struct virtio_dev *dev, u16 index)
{
	mmio_set16(dev->common + REG_QUEUE, index);
	return mmio_get16(dev->common + REG_QUEUE_SIZE);
}

static void set_pa(struct virtio_dev *dev, u32 reg, const volatile void *view)
{
	u64 pa = port_ram_phys((const void *)view);

	mmio_set32(dev->common + reg, (u32)pa);
	mmio_set32(dev->common + reg + 4, (u32)(pa >> 32));
}

static int pci_queue_set(struct virtio_dev *dev, struct virtq *q)
{
	mmio_set16(dev->common + REG_QUEUE, q->index);
	mmio_set16(dev->common + REG_QUEUE_SIZE, q->size);
	q->notify_off = mmio_get16(dev->common + REG_QUEUE_NOTIFY);
	if ((u64)q->notify_off * dev->notify_mul + 2 > dev->notify_len)
		return -EIO;
	if (dev->msix) {
		mmio_set16(dev->common + REG_QUEUE_MSIX, 0);
		if (mmio_get16(dev->common + REG_QUEUE_MSIX) == NO_VECTOR)
			return -EIO;
	}
	set_pa(dev, REG_QUEUE_DESC, q->desc);
	set_pa(dev, REG_QUEUE_AVAIL, q->avail);
	set_pa(dev, REG_QUEUE_USED, q->used);
	mmio_set16(dev->common + REG_QUEUE_ON, 1);
	return 0;
}

static void pci_notify(struct virtio_dev *dev, struct virtq *q)
{
	mmio_set16(dev->notify_regs + (u32)q->notify_off * dev->notify_mul,
		   q->index);
}

/* Reading takes it back. By message nobody says why: look at everything. */
static u32 pci_isr(struct virtio_dev *dev)
{
	if (dev->msix)
		return VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG;
	return mmio_get8(dev->isr_reg);
}

static bool pci_irq(struct virtio_dev *dev, void (*fn)(void *arg), void *arg)
{
	u32 vector = 0;
	struct acpi_override o;

	if (pci_next_cap(dev->pci, PCI_CAP_MSIX, 0))
		vector = irq_claim("virtio", fn, arg);
	if (vector)
		dev->msix = pci_msix(dev->pci, vector);
	if (dev->msix) {
		mmio_set16(dev->common + REG_MSIX, 0);
		return true;
	}
	if (!pci_get8(dev->pci, PCI_IRQ_PIN))
		return false;
	o = acpi_gsi(&acpi, pci_get8(dev->pci, PCI_IRQ_LINE));
	return irq_route(o.gsi, true, o.low, "virtio", fn, arg);
}

static const struct virtio_transport pci_transport = {
	.features = pci_features,
	.accept = pci_accept,
	.status = pci_status,
	.set_status = pci_set_status,
	.config = pci_config,
	.generation = pci_generation,
	.queue_max = pci_queue_max,
	.queue_set = pci_queue_set,
	.notify = pci_notify,
	.isr = pci_isr,
	.irq = pci_irq,
};

/* ---- finding the registers --------------------------------------------------
 */

/* The registers of KIND, LEAST bytes; *LEN: how many. The first that can be
 * used counts. */
static volatile u8 *map_kind(struct virtio_dev *dev, u8 kind, u32 least,
			     u32 *len, u32 *mul)
{
	u16 fn = dev->pci;
	u32 cap = 0;

	while ((cap = pci_next_cap(fn, PCI_CAP_VENDOR, cap))) {
		phys_addr_t bar = pci_bar(fn, pci_get8(fn, cap + CAP_BAR));

		*len = pci_get32(fn, cap + CAP_LENGTH);
		if (pci_get8(fn, cap + CAP_KIND) != kind || !bar ||
		    *len < least)
			continue;
		if (mul)
			*mul = pci_get32(fn, cap + CAP_MUL);
		/* Nothing of ours lies further behind. */
		*len = min(*len, 0x1000u);
		return metal_map_io(bar + pci_get32(fn, cap + CAP_OFFSET),
				    *len);
	}
	return NULL;
}

bool virtio_pci_probe(struct virtio_dev *dev, u16 fn)
{
	u32 id = pci_get32(fn, PCI_ID), len;

	if ((id & 0xffff) != 0x1af4)
		return false;
	*dev = (struct virtio_dev){.t = &pci_transport, .pci = fn};
	if (id >> 16 == 0x1001) /* transitional */
		dev->id = VIRTIO_ID_BLOCK;
	else if (id >> 16 >= 0x1040 && id >> 16 < 0x1080)
		dev->id = (id >> 16) - 0x1040;
	if (dev->id != VIRTIO_ID_BLOCK)
		return false;
	mm_snprintf(dev->where, sizeof(dev->where), "pci %02x:%02x.%x", fn >> 8,
		    fn >> 3 & 31, fn & 7);
	pci_enable(fn);
	dev->common = map_kind(dev, KIND_COMMON, COMMON_BYTES, &len, NULL);
	dev->isr_reg = map_kind(dev, KIND_ISR, 1, &len, NULL);
	dev->own = map_kind(dev, KIND_OWN, 8, &len, NULL);
	dev->notify_regs = map_kind(dev, KIND_NOTIFY, 2, &dev->notify_len,
				    &dev->notify_mul);
	if (dev->common && dev->isr_reg && dev->own && dev->notify_regs)
		return true;
	pr_warn("virtio: %s: has no modern interface", dev->where);
	return false;
}
