/* SPDX-License-Identifier: MIT */
/*
 * ram.c - sparse simulated RAM: one reserved range in which physical address
 * n is n bytes from the base; what is not online faults when touched.
 *
 * Nothing is committed by reserving or by bringing online, so a machine of a
 * terabyte costs what it touches.
 *
 * With high memory RAM is a file without a name that is mapped twice: as the
 * direct map, which ends at low memory, and as a whole for the world's own MMU
 * and disks. Views in the kernel's window are further mappings of its pages.
 * Otherwise it is anonymous memory, and both views are one.
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

char *sim_ram_base, *sim_phys_base;

/* ---- the reserved ranges
 * ------------------------------------------------------------ */

/* BYTES of addresses that fault, of the RAM file if there is one, or NULL. */
static char *reserve(u64 bytes)
{
	int flags = sim.ram_fd ? MAP_SHARED | MAP_NORESERVE : RAM_MAP;
	int fd = sim.ram_fd ? sim.ram_fd : -1;
	void *base = mmap(RAM_HINT, bytes, PROT_NONE,
			  flags | MAP_FIXED_NOREPLACE, fd, 0);

	if (base == MAP_FAILED)
		base = mmap(NULL, bytes, PROT_NONE, flags, fd, 0);
	return base == MAP_FAILED ? NULL : base;
}

/*
 * Reserve BYTES of addresses; where the process cannot have so many (a limit,
 * a checker with a small address space), the largest half, quarter, ... that
 * fits, at least 64 GiB.
 */
int sim_ram_init(u64 bytes)
{
	if (sim.cfg.shared_ram && sim_ram_file(bytes))
		return -ENOMEM;
	sim.ram_limit = UINT64_MAX;
	sim.ram_open = false;
	while (!(sim_ram_base = reserve(bytes))) {
		if (bytes / 2 < RAM_MIN)
			return -ENOMEM;
		bytes = ALIGN_DOWN(bytes / 2, PAGE_SIZE);
	}
	sim.ram_bytes = bytes;
	sim_phys_base = sim.ram_fd ? reserve(bytes) : sim_ram_base;
	return sim_phys_base ? 0 : -ENOMEM;
}
