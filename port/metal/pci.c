/* SPDX-License-Identifier: MIT */
/*
 * pci.c - the PCI bus by its configuration space, through ports 0xcf8 and
 * 0xcfc.
 *
 * The firmware has numbered the buses and placed the regions; we go from bus 0
 * through bridges and use what we find. A message-signalled interrupt (MSI-X)
 * is a write by the device to the local APIC's address: the table of such
 * writes lies in one of the device's regions.
 *
 * Reference: PCI Local Bus Specification 3.0, 6.
 */
#include "pci.h"

#include "apic.h"
#include "base/printk.h"
#include "io.h"

#define CONFIG_ADDRESS 0xcf8u
#define CONFIG_DATA    0xcfcu
#define CLASS_BRIDGE   0x0604u
#define MAX_CAPS       48u

#define MSIX_ENABLE	 0x8000u
#define MSIX_MASK_ALL	 0x4000u
#define MSIX_ENTRY_BYTES 16u

static u32 config_lock;

/* Both ports belong together. */
static unsigned long config_begin(u16 fn, u32 reg)
{
	unsigned long flags = port_irq_save();

	port_spin_lock(&config_lock);
	io_out32(CONFIG_ADDRESS, 1u << 31 | (u32)fn << 8 | (reg & 0xfc));
	return flags;
}

static void config_end(unsigned long flags)
{
	port_spin_unlock(&config_lock);
	port_irq_restore(flags);
}

u32 pci_get32(u16 fn, u32 reg)
{
	unsigned long flags = config_begin(fn, reg);
	u32 v = io_in32(CONFIG_DATA);

	config_end(flags);
	return v;
}

u16 pci_get16(u16 fn, u32 reg)
{
	return (u16)(pci_get32(fn, reg) >> (reg & 2) * 8);
}

u8 pci_get8(u16 fn, u32 reg)
{
	return (u8)(pci_get32(fn, reg) >> (reg & 3) * 8);
}

void pci_set32(u16 fn, u32 reg, u32 v)
{
	unsigned long flags = config_begin(fn, reg);

	io_out32(CONFIG_DATA, v);
	config_end(flags);
}

void pci_set16(u16 fn, u32 reg, u16 v)
{
	unsigned long flags = config_begin(fn, reg);

	io_out16((u16)(CONFIG_DATA + (reg & 2)), v);
	config_end(flags);
}

bool pci_there(void)
{
	u32 v;

	io_out32(CONFIG_ADDRESS, 1u << 31);
	v = io_in32(CONFIG_ADDRESS);
	return v == 1u << 31 && pci_get32(0, PCI_ID) != ~0u;
}

/* ---- finding ----------------------------------------------------------------
 */

/* Buses that are to be looked at, and those that were: each once. */
static u64 bus_todo[4], bus_seen[4];

static void add_bus(u8 bus)
{
	if (!(bus_seen[bus / 64] >> bus % 64 & 1))
		bus_todo[bus / 64] |= 1ull << bus % 64;
}

static u32 scan_device(u16 fn, void (*found)(u16 fn, u32 id))
{
	u32 id = pci_get32(fn, PCI_ID), nr = 0, last = 0;

	if ((id & 0xffff) == 0xffff)
		return 0;
	if (pci_get8(fn, PCI_HEADER) & 0x80)
		last = 7;
	for (u32 i = 0; i <= last; i++) {
		u16 f = (u16)(fn + i);

		id = pci_get32(f, PCI_ID);
		if ((id & 0xffff) == 0xffff)
			continue;
		nr++;
		found(f, id);
		if (pci_get16(f, PCI_CLASS + 2) == CLASS_BRIDGE)
			add_bus(pci_get8(f, PCI_SECONDARY));
	}
	return nr;
}

static int next_bus(void)
{
	for (int i = 0; i < 4; i++) {
		if (bus_todo[i])
			return i * 64 + __builtin_ctzll(bus_todo[i]);
	}
	return -1;
}

u32 pci_scan(void (*found)(u16 fn, u32 id))
{
	u32 nr = 0;
	int bus;

	for (u32 i = 0; i < 4; i++)
		bus_todo[i] = bus_seen[i] = 0;
	add_bus(0);
	while ((bus = next_bus()) >= 0) {
		bus_todo[bus / 64] &= ~(1ull << bus % 64);
		bus_seen[bus / 64] |= 1ull << bus % 64;
		for (u32 dev = 0; dev < 32; dev++)
			nr += scan_device((u16)(bus << 8 | dev << 3), found);
	}
	return nr;
}

u32 pci_next_cap(u16 fn, u8 kind, u32 at)
{
	u32 next;

	if (!(pci_get16(fn, PCI_STATUS) & 0x10))
		return 0;
	next = pci_get8(fn, at ? at + 1 : PCI_CAPS) & 0xfc;
	for (u32 i = 0; i < MAX_CAPS && next >= 0x40; i++) {
		if (pci_get8(fn, next) == kind)
			return next;
		next = pci_get8(fn, next + 1) & 0xfc;
	}
	return 0;
}

phys_addr_t pci_bar(u16 fn, u32 bar)
{
	u32 lo, type;
	u64 hi = 0;

	if (bar > 5)
		return 0;
	lo = pci_get32(fn, PCI_BAR0 + 4 * bar);
	type = lo >> 1 & 3;
	if (lo & 1)
		return 0;
	if (type == 2 && bar < 5)
		hi = pci_get32(fn, PCI_BAR0 + 4 * bar + 4);
	return hi << 32 | (lo & ~15u);
}

void pci_enable(u16 fn)
{
	u16 command = pci_get16(fn, PCI_COMMAND);

	pci_set16(fn, PCI_COMMAND,
		  command | PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
}

/* ---- interrupts by message --------------------------------------------------
 */

volatile u8 *pci_msix(u16 fn, u32 vector)
{
	u32 cap = pci_next_cap(fn, PCI_CAP_MSIX, 0), where;
	u64 to = irq_msi_address();
	volatile u8 *table;
	phys_addr_t bar;
	u16 control;

	if (!cap)
		return NULL;
	control = pci_get16(fn, cap + 2);
	where = pci_get32(fn, cap + 4);
	bar = pci_bar(fn, where & 7);
	if (!bar)
		return NULL;
	table = metal_map_io(bar + (where & ~7u), MSIX_ENTRY_BYTES);
	if (!table)
		return NULL;
	pci_set16(fn, cap + 2, control | MSIX_ENABLE | MSIX_MASK_ALL);
	mmio_set32(table, (u32)to);
	mmio_set32(table + 4, (u32)(to >> 32));
	mmio_set32(table + 8, vector);
	mmio_set32(table + 12, 0);
	pci_set16(fn, PCI_COMMAND,
		  pci_get16(fn, PCI_COMMAND) | PCI_COMMAND_NO_INTX);
	pci_set16(fn, cap + 2, (control | MSIX_ENABLE) & (u16)~MSIX_MASK_ALL);
	return table;
}
