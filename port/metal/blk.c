/* SPDX-License-Identifier: MIT */
/*
 * blk.c - the machine's disks, vda and on: finding them, and port.h's block
 * devices on top of the virtio driver.
 *
 * Found by whatever tells of them, in this order: devices in memory by the
 * command line's virtio_mmio.device=, else by ACPI's definition block, else,
 * on a machine with neither tables nor PCI, where a microvm has them; then the
 * PCI bus. Numbers are given in the order of addresses, so that -drive's order
 * on QEMU's command line is that of the names.
 */
#include <mmkit/errno.h>

#include "acpi.h"
#include "base/assert.h"
#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "dev.h"
#include "machine.h"
#include "pci.h"
#include "virtio_blk.h"

#define MAX_DISKS	26u
#define MMIO_WORD	"virtio_mmio.device="
#define MICROVM_BASE	0xfeb00000u
#define MICROVM_STEP	0x200u
#define MICROVM_DEVICES 8u
#define MICROVM_GSI	5u

struct port_bdev {
	char name[4];
	struct vblk *disk;
	struct virtio_dev dev;
};

static struct {
	u32 nr;
	bool polling;
	struct port_bdev bdev[MAX_DISKS];
} blk_sys;

struct port_bdev *machine_bdev(u32 n)
{
	return n < blk_sys.nr ? &blk_sys.bdev[n] : NULL;
}

bool machine_bdev_read_only(const struct port_bdev *bdev)
{
	return vblk_read_only(bdev->disk);
}

void machine_bdev_stats(struct port_bdev *bdev, struct machine_disk_stats *out)
{
	vblk_stats(bdev->disk, out);
}

/* ---- port.h -----------------------------------------------------------------
 */

void port_bio_submit(struct port_bio *bio)
{
	struct vblk *d = bio->bdev->disk;

	vblk_submit(d, bio);
	while (unlikely(READ_ONCE(blk_sys.polling)) && vblk_busy(d)) {
		if (!vblk_poll(d))
			port_relax();
	}
}

u64 port_bdev_size(const struct port_bdev *bdev)
{
	return vblk_bytes(bdev->disk);
}

int port_bdev_resize(struct port_bdev *bdev, u64 bytes)
{
	(void)bdev;
	(void)bytes;
	return -EOPNOTSUPP;
}

u32 port_bdev_discard_max(const struct port_bdev *bdev)
{
	return vblk_discard_max(bdev->disk);
}

const char *port_bdev_name(const struct port_bdev *bdev)
{
	return bdev->name;
}

u64 blk_lost(void)
{
	u64 sum = 0;

	for (u32 i = 0; i < blk_sys.nr; i++)
		sum += vblk_lost(blk_sys.bdev[i].disk);
	return sum;
}

void blk_polling(void)
{
	WRITE_ONCE(blk_sys.polling, true);
}

/* ---- finding ----------------------------------------------------------------
 */

/* The next place for a disk; NULL: all are taken (said once). */
static struct port_bdev *next_place(void)
{
	struct port_bdev *b = &blk_sys.bdev[blk_sys.nr];

	if (blk_sys.nr == MAX_DISKS) {
		mm_warn_on_once(blk_sys.nr == MAX_DISKS);
		return NULL;
	}
	mm_memcpy(b->name, "vda", 4);
	b->name[2] = (char)('a' + blk_sys.nr);
	return b;
}

/* B's device was found: open it. */
static void add_disk(struct port_bdev *b)
{
	u64 bytes;
	int err;

	if (b->dev.id != VIRTIO_ID_BLOCK)
		return;
	err = vblk_open(&b->disk, &b->dev, b->name);
	if (err) {
		pr_err("blk: %s cannot be used (error %d)", b->dev.where, -err);
		return;
	}
	blk_sys.nr++;
	bytes = port_bdev_size(b);
	pr_info("blk: %s: %llu sectors (%llu KiB), %s%s%s", b->name,
		(unsigned long long)bytes / PORT_SECTOR_SIZE,
		(unsigned long long)bytes >> 10, b->dev.where,
		vblk_write_back(b->disk) ? ", write-back cache" : "",
		vblk_read_only(b->disk) ? ", read-only" : "");
}

static void try_mmio(phys_addr_t base, u64 size, u32 gsi)
{
	struct port_bdev *b = next_place();

	if (b &&
	    virtio_mmio_probe(&b->dev, base, (u32)min(size, 0x1000ul), gsi))
		add_disk(b);
}

/* True: the command line names devices. */
static bool scan_cmdline(void)
{
	const char *s = machine_cmdline();
	size_t len = sizeof(MMIO_WORD) - 1;
	u64 size, base;
	bool any = false;
	u32 gsi;

	for (; *s; s++) {
		if (mm_strncmp(s, MMIO_WORD, len) ||
		    (s != machine_cmdline() && s[-1] != ' '))
			continue;
		any = true;
		if (virtio_mmio_word(s + len, &size, &base, &gsi))
			try_mmio(base, size, gsi);
		else
			pr_warn("blk: %.40s: not SIZE@BASE:IRQ", s);
	}
	return any;
}

static void scan_acpi(void)
{
	for (u32 i = 0; i < acpi.nr_virtio; i++)
		try_mmio(acpi.virtio[i].addr, acpi.virtio[i].size,
			 acpi.virtio[i].gsi);
}

static void scan_window(void)
{
	for (u32 i = 0; i < MICROVM_DEVICES; i++)
		try_mmio(MICROVM_BASE + i * MICROVM_STEP, MICROVM_STEP,
			 MICROVM_GSI + i);
}

static void found_pci(u16 fn, u32 id)
{
	struct port_bdev *b = next_place();

	(void)id;
	if (b && virtio_pci_probe(&b->dev, fn))
		add_disk(b);
}

void blk_init(void)
{
	bool pci = pci_there();

	if (!scan_cmdline()) {
		if (acpi.nr_virtio)
			scan_acpi();
		else if (!pci && !acpi.has_madt)
			scan_window();
	}
	if (pci)
		pr_info("pci: %u functions", pci_scan(found_pci));
}
