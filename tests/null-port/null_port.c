/* SPDX-License-Identifier: MIT */
/*
 * null_port.c - exactly the symbols that a port links, and the four memory
 * functions that a compiler may call. The manager linked with this alone
 * shows by linking that it needs nothing else. It is never run.
 */
#include <mmkit/errno.h>
#include <mmkit/port.h>

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void _start(void);

static _Noreturn void never(void)
{
	__builtin_trap();
}

void _start(void)
{
	never();
}

void port_console(int level, const char *text, size_t len)
{
	(void)level;
	(void)text;
	(void)len;
	never();
}

_Noreturn void port_panic(const char *message)
{
	(void)message;
	never();
}

u64 port_entropy(void)
{
	never();
}

u64 port_now_ns(void)
{
	never();
}

void port_charge_ns(u64 ns)
{
	(void)ns;
	never();
}

u32 port_stack_trace(u64 *out, u32 max)
{
	(void)out;
	(void)max;
	never();
}

u32 port_symbol(u64 addr, char *buf, u32 size)
{
	(void)addr;
	(void)buf;
	(void)size;
	never();
}

int port_nr_cpus(void)
{
	never();
}

int port_cpu_node(int cpu)
{
	(void)cpu;
	never();
}

int port_thread_start(struct port_thread **out, const char *name, int node,
		      void (*fn)(void *arg), void *arg)
{
	(void)out;
	(void)name;
	(void)node;
	(void)fn;
	(void)arg;
	never();
}

void port_thread_join(struct port_thread *t)
{
	(void)t;
	never();
}

struct port_thread *port_self(void)
{
	never();
}

bool port_park(u64 timeout_ns)
{
	(void)timeout_ns;
	never();
}

void port_unpark(struct port_thread *t)
{
	(void)t;
	never();
}

int port_ram_online(phys_addr_t start, u64 size)
{
	(void)start;
	(void)size;
	never();
}

void port_ram_protect(phys_addr_t start, u64 size, bool protect)
{
	(void)start;
	(void)size;
	(void)protect;
	never();
}

void port_ram_offline(phys_addr_t start, u64 size)
{
	(void)start;
	(void)size;
	never();
}

void port_memmap_unback(u64 off, u64 len)
{
	(void)off;
	(void)len;
	never();
}

void *port_memmap_reserve(u64 bytes)
{
	(void)bytes;
	never();
}

int port_memmap_back(u64 off, u64 len, phys_addr_t phys)
{
	(void)off;
	(void)len;
	(void)phys;
	never();
}

void port_set_switch_hook(void (*hook)(struct mm_task *prev,
				       struct mm_task *next))
{
	(void)hook;
	never();
}

void port_set_fault_hook(int (*hook)(struct mm_task *task, uva_t va, u32 error))
{
	(void)hook;
	never();
}

void port_load_root(u64 root_pfn, u32 asid)
{
	(void)root_pfn;
	(void)asid;
	never();
}

void port_tlb_flush(const struct port_cpumask *cpus, u32 asid, uva_t start,
		    uva_t end)
{
	(void)cpus;
	(void)asid;
	(void)start;
	(void)end;
	never();
}

void port_tlb_flush_aged(const struct port_cpumask *cpus, u32 asid, uva_t start,
			 uva_t end)
{
	port_tlb_flush(cpus, asid, start, end);
}

int port_ram_limit(phys_addr_t end)
{
	(void)end;
	never();
}

int port_kva_reserve(kva_t start, u64 bytes)
{
	(void)start;
	(void)bytes;
	never();
}

int port_kmap_view(kva_t va, u64 pfn, u64 nr)
{
	(void)va;
	(void)pfn;
	(void)nr;
	never();
}

void port_kunmap_view(kva_t va, u64 nr)
{
	(void)va;
	(void)nr;
	never();
}

void *port_kva(kva_t va)
{
	(void)va;
	never();
}

kva_t port_kva_of(const void *view)
{
	(void)view;
	never();
}

void port_load_kernel_root(u64 root_pfn)
{
	(void)root_pfn;
	never();
}

void port_tlb_flush_kernel(kva_t start, kva_t end)
{
	(void)start;
	(void)end;
	never();
}

void port_tlb_flush_kernel_self(kva_t start, kva_t end)
{
	(void)start;
	(void)end;
	never();
}

void port_tlb_counts(struct port_tlb_counts *out)
{
	(void)out;
	never();
}

void port_bio_submit(struct port_bio *bio)
{
	(void)bio;
	never();
}

u64 port_bdev_size(const struct port_bdev *bdev)
{
	(void)bdev;
	never();
}

int port_bdev_resize(struct port_bdev *bdev, u64 bytes)
{
	(void)bdev;
	(void)bytes;
	return -EOPNOTSUPP;
}

u32 port_bdev_discard_max(const struct port_bdev *bdev)
{
	(void)bdev;
	return 0;
}

const char *port_bdev_name(const struct port_bdev *bdev)
{
	(void)bdev;
	never();
}

/* ---- what the compiler may call
 * ------------------------------------------------ */

void *memcpy(void *to, const void *from, size_t n)
{
	return memmove(to, from, n);
}

void *memmove(void *to, const void *from, size_t n)
{
	(void)to;
	(void)from;
	(void)n;
	never();
}

void *memset(void *to, int byte, size_t n)
{
	(void)to;
	(void)byte;
	(void)n;
	never();
}

int memcmp(const void *a, const void *b, size_t n)
{
	(void)a;
	(void)b;
	(void)n;
	never();
}
