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
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

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
	host.ram_fd = fd;
	return 0;
}

int host_ram_init(u64 bytes, bool shared)
{
	if (shared && open_file(bytes))
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

void host_ram_exit(void)
{
	if (host.memmap)
		munmap(host.memmap, host.memmap_bytes);
	if (host.kva_view)
		munmap(host.kva_view, host.kva_bytes);
	if (host_phys_base && host_phys_base != host_ram_base)
		munmap(host_phys_base, host.ram_bytes);
	if (host_ram_base)
		munmap(host_ram_base, host.ram_bytes);
	if (host.ram_fd)
		close(host.ram_fd);
	host.memmap = host.kva_view = NULL;
	host.memmap_bytes = host.kva_bytes = 0;
	host.ram_fd = 0;
	host_ram_base = host_phys_base = NULL;
}

/* ---- RAM comes and goes
 * ------------------------------------------------------------- */

/*
 * Set the protection of [START, START + SIZE): in the direct map as far as it
 * reaches, and with ALL in the view of all RAM.
 */
static int ram_mprotect(phys_addr_t start, u64 size, int prot, bool all)
{
	u64 end = min(start + size, host.ram_limit);
	int err = 0;

	if (start < end)
		err = mprotect(host_ram_base + start, end - start, prot);
	if (!err && all && host_phys_base != host_ram_base)
		err = mprotect(host_phys_base + start, size, prot);
	return err;
}

int port_ram_online(phys_addr_t start, u64 size)
{
	if (!IS_ALIGNED(start | size, PAGE_SIZE))
		return -ERANGE;
	if (start > host.ram_bytes || size > host.ram_bytes - start)
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

	if (protect && READ_ONCE(host.ram_open))
		return;
	if (!ram_mprotect(start, size, prot, false) || protect)
		return;
	WRITE_ONCE(host.ram_open, true);
	if (ram_mprotect(0, host.ram_bytes, PROT_READ | PROT_WRITE, false))
		port_panic("port_ram_protect: cannot map RAM again");
}

/* The advice takes the memory away, the protection keeps strangers out. */
void port_ram_offline(phys_addr_t start, u64 size)
{
	if (!size || start > host.ram_bytes || size > host.ram_bytes - start)
		return;
	if (host.ram_fd)
		(void)!fallocate(host.ram_fd,
				 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)start, (off_t)size);
	else
		madvise(host_ram_base + start, size, MADV_DONTNEED);
	ram_mprotect(start, size, PROT_NONE, true);
}

int port_ram_limit(phys_addr_t end)
{
	if (!host.ram_fd)
		return -EOPNOTSUPP;
	if (end < host.ram_bytes &&
	    mprotect(host_ram_base + end, host.ram_bytes - end, PROT_NONE))
		return -EOPNOTSUPP;
	host.ram_limit = end;
	return 0;
}

/* ---- the kernel's window
 * ------------------------------------------------------------ */

int port_kva_reserve(kva_t start, u64 bytes)
{
	void *view;

	if (!host.ram_fd)
		return -EOPNOTSUPP;
	if (host.kva_view || !IS_ALIGNED(start | bytes, PAGE_SIZE))
		host_bug("port_kva_reserve: twice, or not whole pages");
	view = mmap(NULL, bytes, PROT_NONE, RAM_MAP, -1, 0);
	if (view == MAP_FAILED)
		return -ENOMEM;
	host.kva_view = view;
	host.kva_start = start;
	host.kva_bytes = bytes;
	return 0;
}

/* The view of the NR pages at VA, which must lie in the window. */
static char *kva_range(kva_t va, u64 nr)
{
	u64 off = va - host.kva_start;

	if (!IS_ALIGNED(va, PAGE_SIZE) || off >= host.kva_bytes ||
	    nr > (host.kva_bytes - off) >> PAGE_SHIFT)
		host_bug("a view outside the kernel's window");
	return host.kva_view + off;
}

int port_kmap_view(kva_t va, u64 pfn, u64 nr)
{
	void *at = kva_range(va, nr);

	if (PFN_PHYS(pfn + nr) > host.ram_bytes)
		host_bug("port_kmap_view: a frame outside RAM");
	if (mmap(at, nr << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, host.ram_fd,
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
	if (va - host.kva_start >= host.kva_bytes)
		host_bug("port_kva: not an address of the window");
	return host.kva_view + (va - host.kva_start);
}

kva_t port_kva_of(const void *view)
{
	u64 off = (u64)((const char *)view - host.kva_view);

	return host.kva_view && off < host.kva_bytes ? host.kva_start + off : 0;
}

/* ---- descriptors
 * -------------------------------------------------------------------- */

void *port_memmap_reserve(u64 bytes)
{
	void *map;

	if (host.memmap || !host.up)
		return NULL;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, RAM_MAP, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	/* Huge pages would commit much more than is used. Advice only. */
	madvise(map, bytes, MADV_NOHUGEPAGE);
	host.memmap = map;
	host.memmap_bytes = bytes;
	return map;
}

int port_memmap_back(u64 off, u64 len, phys_addr_t phys)
{
	(void)phys;
	if (off > host.memmap_bytes || len > host.memmap_bytes - off)
		return -ENOMEM;
	return 0;
}

void port_memmap_unback(u64 off, u64 len)
{
	if (!len || off > host.memmap_bytes || len > host.memmap_bytes - off)
		return;
	madvise(host.memmap + off, len, MADV_DONTNEED);
}
