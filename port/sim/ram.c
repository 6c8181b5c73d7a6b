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
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* RAM as a file of BYTES without blocks. */
static int open_file(u64 bytes)
{
	int fd = memfd_create("mmkit-ram", MFD_CLOEXEC);

	if (fd < 0)
		return -ENOMEM;
	/* Descriptor 0 stands for none. */
	if (fd == 0) {
		fd = dup(0);
		close(0);
	}
	if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
		if (fd > 0)
			close(fd);
		return -ENOMEM;
	}
	sim.ram_fd = fd;
	return 0;
}

/*
 * Reserve BYTES of addresses; where the process cannot have so many (a limit,
 * a checker with a small address space), the largest half, quarter, ... that
 * fits, at least 64 GiB.
 */
int sim_ram_init(u64 bytes)
{
	if (sim.cfg.shared_ram && open_file(bytes))
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

void sim_ram_exit(void)
{
	if (sim.memmap)
		munmap(sim.memmap, sim.memmap_bytes);
	if (sim.kva_view)
		munmap(sim.kva_view, sim.kva_bytes);
	if (sim_phys_base && sim_phys_base != sim_ram_base)
		munmap(sim_phys_base, sim.ram_bytes);
	if (sim_ram_base)
		munmap(sim_ram_base, sim.ram_bytes);
	if (sim.ram_fd)
		close(sim.ram_fd);
	sim.memmap = sim.kva_view = NULL;
	sim_ram_base = sim_phys_base = NULL;
}

/* ---- RAM comes and goes
 * ------------------------------------------------------------- */

/*
 * Set the protection of [START, START + SIZE): in the direct map as far as it
 * reaches, and with ALL in the view of all RAM.
 */
static int ram_mprotect(phys_addr_t start, u64 size, int prot, bool all)
{
	u64 end = min(start + size, sim.ram_limit);
	int err = 0;

	if (start < end)
		err = mprotect(sim_ram_base + start, end - start, prot);
	if (!err && all && sim_phys_base != sim_ram_base)
		err = mprotect(sim_phys_base + start, size, prot);
	return err;
}

int port_ram_online(phys_addr_t start, u64 size)
{
	if (!IS_ALIGNED(start | size, PAGE_SIZE))
		return -ERANGE;
	if (start > sim.ram_bytes || size > sim.ram_bytes - start)
		return -ERANGE;
	if (size && ram_mprotect(start, size, PROT_READ | PROT_WRITE, true))
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
	if (!ram_mprotect(start, size, prot, false) || protect)
		return;
	WRITE_ONCE(sim.ram_open, true);
	if (ram_mprotect(0, sim.ram_bytes, PROT_READ | PROT_WRITE, false))
		port_panic("port_ram_protect: cannot map RAM again");
}

/* The advice takes the memory away, the protection keeps strangers out. */
void port_ram_offline(phys_addr_t start, u64 size)
{
	if (!size || start > sim.ram_bytes || size > sim.ram_bytes - start)
		return;
	if (sim.ram_fd)
		(void)!fallocate(sim.ram_fd,
				 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)start, (off_t)size);
	else
		madvise(sim_ram_base + start, size, MADV_DONTNEED);
	ram_mprotect(start, size, PROT_NONE, true);
}

int port_ram_limit(phys_addr_t end)
{
	if (!sim.ram_fd)
		return -EOPNOTSUPP;
	if (end < sim.ram_bytes &&
	    mprotect(sim_ram_base + end, sim.ram_bytes - end, PROT_NONE))
		return -EOPNOTSUPP;
	sim.ram_limit = end;
	return 0;
}

/* ---- the kernel's window
 * ------------------------------------------------------------ */

int port_kva_reserve(kva_t start, u64 bytes)
{
	void *view;

	if (!sim.ram_fd)
		return -EOPNOTSUPP;
	if (sim.kva_view || !IS_ALIGNED(start | bytes, PAGE_SIZE))
		sim_bug("port_kva_reserve: twice, or not whole pages");
	view = mmap(NULL, bytes, PROT_NONE, RAM_MAP, -1, 0);
	if (view == MAP_FAILED)
		return -ENOMEM;
	sim.kva_view = view;
	sim.kva_start = start;
	sim.kva_bytes = bytes;
	return 0;
}

/* The view of the NR pages at VA, which must lie in the window. */
static char *kva_range(kva_t va, u64 nr)
{
	u64 off = va - sim.kva_start;

	if (!IS_ALIGNED(va, PAGE_SIZE) || off >= sim.kva_bytes ||
	    nr > (sim.kva_bytes - off) >> PAGE_SHIFT)
		sim_bug("a view outside the kernel's window");
	return sim.kva_view + off;
}

int port_kmap_view(kva_t va, u64 pfn, u64 nr)
{
	void *at = kva_range(va, nr);

	if (PFN_PHYS(pfn + nr) > sim.ram_bytes)
		sim_bug("port_kmap_view: a frame outside RAM");
	if (mmap(at, nr << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, sim.ram_fd,
		 (off_t)PFN_PHYS(pfn)) == MAP_FAILED)
		return -ENOMEM;
	return 0;
}

void port_kunmap_view(kva_t va, u64 nr)
{
	if (mmap(kva_range(va, nr), nr << PAGE_SHIFT, PROT_NONE,
		 RAM_MAP | MAP_FIXED, -1, 0) == MAP_FAILED)
		port_panic("port_kunmap_view: cannot take a view away");
}

void *port_kva(kva_t va)
{
	if (va - sim.kva_start >= sim.kva_bytes)
		sim_bug("port_kva: not an address of the window");
	return sim.kva_view + (va - sim.kva_start);
}

kva_t port_kva_of(const void *view)
{
	u64 off = (u64)((const char *)view - sim.kva_view);

	return sim.kva_view && off < sim.kva_bytes ? sim.kva_start + off : 0;
}

/* ---- descriptors
 * -------------------------------------------------------------------- */

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
