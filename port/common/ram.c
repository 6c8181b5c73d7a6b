/* SPDX-License-Identifier: MIT */
/*
 * ram.c - RAM of a hosted world, once it is reserved: online and offline,
 * protection, the end of the direct map, the kernel's window, descriptors.
 *
 * Compiled once for each world that is a process; its world.h names the state
 * and says how RAM is laid out. What differs, reserving the addresses, stands
 * in the world's own ram.c.
 */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_MAP (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

int world_ram_file(u64 bytes)
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
	world.ram_fd = fd;
	return 0;
}

void world_ram_exit(void)
{
	if (world.memmap)
		munmap(world.memmap, world.memmap_bytes);
	if (world.kva_view)
		munmap(world.kva_view, world.kva_bytes);
	if (world_phys_base && world_phys_base != world_ram_base)
		munmap(world_phys_base, world.ram_bytes);
	if (world_ram_base)
		munmap(world_ram_base, world.ram_bytes);
	if (world.ram_fd)
		close(world.ram_fd);
	world.memmap = world.kva_view = NULL;
	world.memmap_bytes = world.kva_bytes = 0;
	world.ram_fd = 0;
	world_ram_base = world_phys_base = NULL;
}

/* ---- RAM comes and goes
 * ------------------------------------------------------------- */

/*
 * Set the protection of [START, START + SIZE): in the direct map as far as it
 * reaches, and with ALL in the view of all RAM.
 */
static int ram_mprotect(phys_addr_t start, u64 size, int prot, bool all)
{
	u64 end = min(start + size, world.ram_limit);
	int err = 0;

	if (start < end)
		err = mprotect(world_ram_base + start, end - start, prot);
	if (!err && all && world_phys_base != world_ram_base)
		err = mprotect(world_phys_base + start, size, prot);
	return err;
}

int port_ram_online(phys_addr_t start, u64 size)
{
	if (!IS_ALIGNED(start | size, PAGE_SIZE))
		return -ERANGE;
	if (start > world.ram_bytes || size > world.ram_bytes - start)
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

	if (protect && READ_ONCE(world.ram_open))
		return;
	if (!ram_mprotect(start, size, prot, false) || protect)
		return;
	WRITE_ONCE(world.ram_open, true);
	if (ram_mprotect(0, world.ram_bytes, PROT_READ | PROT_WRITE, false))
		port_panic("port_ram_protect: cannot map RAM again");
}

/* The advice takes the memory away, the protection keeps strangers out. */
void port_ram_offline(phys_addr_t start, u64 size)
{
	if (!size || start > world.ram_bytes || size > world.ram_bytes - start)
		return;
	if (world.ram_fd)
		(void)!fallocate(world.ram_fd,
				 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)start, (off_t)size);
	else
		madvise(world_ram_base + start, size, MADV_DONTNEED);
	ram_mprotect(start, size, PROT_NONE, true);
}

int port_ram_limit(phys_addr_t end)
{
	if (!world.ram_fd)
		return -EOPNOTSUPP;
	if (end < world.ram_bytes &&
	    mprotect(world_ram_base + end, world.ram_bytes - end, PROT_NONE))
		return -EOPNOTSUPP;
	world.ram_limit = end;
	return 0;
}

/* ---- the kernel's window
 * ------------------------------------------------------------ */

int port_kva_reserve(kva_t start, u64 bytes)
{
	void *view;

	if (!world.ram_fd)
		return -EOPNOTSUPP;
	if (world.kva_view || !IS_ALIGNED(start | bytes, PAGE_SIZE))
		world_bug("port_kva_reserve: twice, or not whole pages");
	view = mmap(NULL, bytes, PROT_NONE, RAM_MAP, -1, 0);
	if (view == MAP_FAILED)
		return -ENOMEM;
	world.kva_view = view;
	world.kva_start = start;
	world.kva_bytes = bytes;
	return 0;
}

/* The view of the NR pages at VA, which must lie in the window. */
static char *kva_range(kva_t va, u64 nr)
{
	u64 off = va - world.kva_start;

	if (!IS_ALIGNED(va, PAGE_SIZE) || off >= world.kva_bytes ||
	    nr > (world.kva_bytes - off) >> PAGE_SHIFT)
		world_bug("a view outside the kernel's window");
	return world.kva_view + off;
}

int port_kmap_view(kva_t va, u64 pfn, u64 nr)
{
	void *at = kva_range(va, nr);

	if (PFN_PHYS(pfn + nr) > world.ram_bytes)
		world_bug("port_kmap_view: a frame outside RAM");
	if (mmap(at, nr << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, world.ram_fd,
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
	if (va - world.kva_start >= world.kva_bytes)
		world_bug("port_kva: not an address of the window");
	return world.kva_view + (va - world.kva_start);
}

kva_t port_kva_of(const void *view)
{
	u64 off = (u64)((const char *)view - world.kva_view);

	return world.kva_view && off < world.kva_bytes ? world.kva_start + off
						       : 0;
}

/* ---- descriptors
 * -------------------------------------------------------------------- */

void *port_memmap_reserve(u64 bytes)
{
	void *map;

	if (world.memmap || !world.up)
		return NULL;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, RAM_MAP, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	/* Huge pages would commit much more than is used. Advice only. */
	madvise(map, bytes, MADV_NOHUGEPAGE);
	world.memmap = map;
	world.memmap_bytes = bytes;
	return map;
}

int port_memmap_back(u64 off, u64 len, phys_addr_t phys)
{
	(void)phys;
	if (off > world.memmap_bytes || len > world.memmap_bytes - off)
		return -ENOMEM;
	return 0;
}

void port_memmap_unback(u64 off, u64 len)
{
	if (!len || off > world.memmap_bytes || len > world.memmap_bytes - off)
		return;
	madvise(world.memmap + off, len, MADV_DONTNEED);
}
