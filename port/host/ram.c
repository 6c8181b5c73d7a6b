/* SPDX-License-Identifier: MIT */
/*
 * ram.c - the host world's RAM: one reserved range in which physical address
 * n is n bytes from the base; what is not online faults when touched.
 *
 * With high memory RAM is a file without a name that is mapped twice: as the
 * direct map, which ends at low memory, and as a whole for the world's own MMU
 * and disks. Views in the kernel's window are further mappings of its pages.
 * Otherwise it is anonymous memory, and both views are one.
 */
#include "host_priv.h"

#include <errno.h>
#include <sys/mman.h>

#define RAM_MAP (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

char *host_ram_base, *host_phys_base;

/* ---- the reserved ranges
 * ------------------------------------------------------------ */

/* BYTES of addresses that fault, of the RAM file if there is one, or NULL. */
static char *reserve(u64 bytes)
{
	void *base = mmap(NULL, bytes, PROT_NONE,
			  host.ram_fd ? MAP_SHARED | MAP_NORESERVE : RAM_MAP,
			  host.ram_fd ? host.ram_fd : -1, 0);

	return base == MAP_FAILED ? NULL : base;
}

int host_ram_init(u64 bytes, bool shared)
{
	if (shared && host_ram_file(bytes))
		return -ENOMEM;
	host.ram_bytes = bytes;
	host.ram_limit = UINT64_MAX;
	host.ram_open = false;
	host_ram_base = reserve(bytes);
	host_phys_base =
		host_ram_base && host.ram_fd ? reserve(bytes) : host_ram_base;
	if (host_phys_base)
		return 0;
	host_ram_exit();
	return -ENOMEM;
}
