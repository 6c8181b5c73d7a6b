/* SPDX-License-Identifier: MIT */
/*
 * machine_devices.c - console, clock, disks, ports and boot parameters of
 * kernel/machine.h for tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/seqbuf.h"
#include "machine_test.h"
#if __has_include("sim.h")
#include "sim.h"
#else
/* The host world's disks count nothing. */
struct sim_disk_stats {
	u64 reads, writes, flushes, discards, read_sectors, write_sectors;
	u64 busy_ns;
};
static void sim_disk_stats(struct port_bdev *bdev, struct sim_disk_stats *out)
{
	(void)bdev;
	*out = (struct sim_disk_stats){0};
}
#endif

#define MAX_BDEVS 4u

static struct {
	char text[1 << 16];
	size_t len;
	void (*rx)(u8 byte);
	const char *cmdline;
	const void *initrd;
	u64 initrd_size;
	struct port_bdev *bdev[MAX_BDEVS];
	u8 ports[1 << 16];
	const struct machine_symbol *symbols;
	u32 nr_symbols;
	u64 symbol_size;
	u64 wall;
} dev;

/* ---- console ---------------------------------------------------------------
 */

void machine_console_write(const char *text, size_t len)
{
	if (dev.len + len > sizeof(dev.text) - 1)
		dev.len = 0;
	if (len > sizeof(dev.text) - 1)
		len = sizeof(dev.text) - 1;
	memcpy(dev.text + dev.len, text, len);
	dev.len += len;
	dev.text[dev.len] = 0;
}

void machine_console_on_rx(void (*rx)(u8 byte))
{
	dev.rx = rx;
}

const char *kt_console_text(size_t *len)
{
	if (len)
		*len = dev.len;
	return dev.text;
}

void kt_console_clear(void)
{
	dev.len = 0;
	dev.text[0] = 0;
}

void kt_console_type(const char *text)
{
	for (; *text; text++) {
		unsigned long flags = port_irq_save();

		if (dev.rx)
			dev.rx((u8)*text);
		port_irq_restore(flags);
	}
}

/* ---- time, boot, disks, ports ----------------------------------------------
 */

u64 machine_wall_ns(void)
{
	return dev.wall + port_now_ns();
}

void machine_set_wall_ns(u64 ns)
{
	dev.wall = ns - port_now_ns();
}

void kt_set_wall_ns(u64 ns)
{
	machine_set_wall_ns(ns);
}

const char *machine_cmdline(void)
{
	return dev.cmdline ? dev.cmdline : "";
}

void kt_set_cmdline(const char *cmdline)
{
	dev.cmdline = cmdline;
}

const void *machine_initrd(u64 *size)
{
	*size = dev.initrd_size;
	return dev.initrd;
}

void kt_set_initrd(const void *image, u64 size)
{
	dev.initrd = image;
	dev.initrd_size = size;
}

void machine_initrd_free(void)
{
	kt_set_initrd(NULL, 0);
}

struct port_bdev *machine_bdev(u32 n)
{
	return n < MAX_BDEVS ? dev.bdev[n] : NULL;
}

bool machine_bdev_read_only(const struct port_bdev *bdev)
{
	(void)bdev;
	return false;
}

void machine_bdev_stats(struct port_bdev *bdev, struct machine_disk_stats *out)
{
	struct sim_disk_stats s;

	sim_disk_stats(bdev, &s);
	*out = (struct machine_disk_stats){.busy_ns = s.busy_ns};
	out->op[PORT_BIO_READ].ios = s.reads;
	out->op[PORT_BIO_READ].sectors = s.read_sectors;
	out->op[PORT_BIO_WRITE].ios = s.writes;
	out->op[PORT_BIO_WRITE].sectors = s.write_sectors;
	out->op[PORT_BIO_FLUSH].ios = s.flushes;
	out->op[PORT_BIO_DISCARD].ios = s.discards;
}

void kt_set_bdev(u32 n, struct port_bdev *bdev)
{
	dev.bdev[n] = bdev;
}

void machine_cpu_text(int cpu, struct seq_buf *out)
{
	seq_printf(out, "processor\t: %d\n", cpu);
}

void kt_set_symbols(const struct machine_symbol *s, u32 nr, u64 size)
{
	dev.symbols = s;
	dev.nr_symbols = nr;
	dev.symbol_size = size;
}

bool machine_symbol(u32 i, struct machine_symbol *out)
{
	if (i >= dev.nr_symbols)
		return false;
	*out = dev.symbols[i];
	return true;
}

bool machine_symbol_at(u64 addr, struct machine_symbol *out, u64 *size)
{
	struct machine_symbol s;
	bool found = false;

	*size = dev.symbol_size;
	for (u32 i = 0; machine_symbol(i, &s); i++) {
		if (addr < s.addr || addr >= s.addr + *size)
			continue;
		*out = s;
		found = true;
	}
	return found;
}

/* The worlds' threads do not say where they wait. */
u64 machine_thread_wchan(const struct port_thread *t)
{
	(void)t;
	return 0;
}

u8 machine_inb(u16 port)
{
	return dev.ports[port];
}

void machine_outb(u16 port, u8 value)
{
	dev.ports[port] = value;
}

u8 kt_port(u16 port)
{
	return dev.ports[port];
}

_Noreturn void machine_power_off(int status)
{
	fprintf(stderr, "the machine is switched off: %d\n", status);
	abort();
}

_Noreturn void machine_restart(void)
{
	fprintf(stderr, "the machine is restarted\n");
	abort();
}
