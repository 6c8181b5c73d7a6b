/* SPDX-License-Identifier: MIT */
/*
 * ram.c - sparse simulated RAM: one reserved range in which physical address
 * n is n bytes from the base; what is not online faults when touched.
 *
 * Nothing is committed by reserving or by bringing online, so a machine of a
 * terabyte costs what it touches.
 */
#include "sim_priv.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* A place that is free in ordinary and in sanitized programs. */
#define RAM_HINT ((void *)0x200000000000UL)
#define RAM_MIN	 (1UL << 36)
#define RAM_MAP	 (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

char *sim_ram_base;

/*
 * Reserve BYTES of addresses; where the process cannot have so many (a limit,
 * a checker with a small address space), the largest half, quarter, ... that
 * fits, at least 64 GiB.
 */
int sim_ram_init(u64 bytes)
{
	void *base;

	for (;;) {
		base = mmap(RAM_HINT, bytes, PROT_NONE,
			    RAM_MAP | MAP_FIXED_NOREPLACE, -1, 0);
		if (base == MAP_FAILED)
			base = mmap(NULL, bytes, PROT_NONE, RAM_MAP, -1, 0);
		if (base != MAP_FAILED)
			break;
		if (bytes / 2 < RAM_MIN)
			return -ENOMEM;
		bytes = ALIGN_DOWN(bytes / 2, PAGE_SIZE);
	}
	sim_ram_base = base;
	sim.ram_bytes = bytes;
	sim.ram_open = false;
	return 0;
}

void sim_ram_exit(void)
{
	if (sim.memmap)
		munmap(sim.memmap, sim.memmap_bytes);
	if (sim.ram_bytes)
		munmap(sim_ram_base, sim.ram_bytes);
	sim.memmap = NULL;
	sim_ram_base = NULL;
}

int port_ram_online(phys_addr_t start, u64 size)
{
	if (!IS_ALIGNED(start | size, PAGE_SIZE))
		return -ERANGE;
	if (start > sim.ram_bytes || size > sim.ram_bytes - start)
		return -ERANGE;
	if (size &&
	    mprotect(sim_ram_base + start, size, PROT_READ | PROT_WRITE))
		return -ENOMEM;
	return 0;
}

/*
 * Each protected frame between others costs the process a mapping, of which
 * it may have a limited number. When there is none left for opening a range,
 * everything is opened, which needs one, and protecting ends for good.
 */
void port_ram_protect(phys_addr_t start, u64 size, bool protect)
{
	int prot = protect ? PROT_NONE : PROT_READ | PROT_WRITE;

	if (protect && READ_ONCE(sim.ram_open))
		return;
	if (!mprotect(sim_ram_base + start, size, prot) || protect)
		return;
	WRITE_ONCE(sim.ram_open, true);
	if (mprotect(sim_ram_base, sim.ram_bytes, PROT_READ | PROT_WRITE))
		port_panic("port_ram_protect: cannot map RAM again");
}

/* The advice takes the memory away, the protection keeps strangers out. */
void port_ram_offline(phys_addr_t start, u64 size)
{
	if (!size || start > sim.ram_bytes || size > sim.ram_bytes - start)
		return;
	madvise(sim_ram_base + start, size, MADV_DONTNEED);
	mprotect(sim_ram_base + start, size, PROT_NONE);
}

void *port_memmap_reserve(u64 bytes)
{
	void *map;

	if (sim.memmap || !sim.up)
		return NULL;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, RAM_MAP, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	/* Huge pages would commit much more than is used. Advice only. */
	madvise(map, bytes, MADV_NOHUGEPAGE);
	sim.memmap = map;
	sim.memmap_bytes = bytes;
	return map;
}

int port_memmap_back(u64 off, u64 len, phys_addr_t phys)
{
	(void)phys;
	if (off > sim.memmap_bytes || len > sim.memmap_bytes - off)
		return -ENOMEM;
	return 0;
}

void port_memmap_unback(u64 off, u64 len)
{
	if (!len || off > sim.memmap_bytes || len > sim.memmap_bytes - off)
		return;
	madvise(sim.memmap + off, len, MADV_DONTNEED);
}
