/* SPDX-License-Identifier: MIT */
/*
 * port.c - the linked part: what floors base and phys ask of the world, and
 * no symbol more.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mmkit/errno.h>
#include <mmkit/port.h>

char *region_base;
u64 region_size;
void *region_descriptors;
struct mm_task region_task = {.flags = PF_KTHREAD, .comm = "example"};

/* Warnings and worse; the boot log is not for this program's user. */
void port_console(int level, const char *text, size_t len)
{
	if (level <= 4)
		fwrite(text, 1, len, stderr);
}

_Noreturn void port_panic(const char *message)
{
	fprintf(stderr, "panic: %s\n", message);
	abort();
}

/* Only reports of failure look at the clock, to be few: it may stand. */
u64 port_now_ns(void)
{
	return 0;
}

u32 port_stack_trace(u64 *out, u32 max)
{
	(void)out;
	(void)max;
	return 0;
}

u32 port_symbol(u64 addr, char *buf, u32 size)
{
	int n = snprintf(buf, size, "0x%lx", addr);

	return n < 0 ? 0 : min((u32)n, size - 1);
}

int port_nr_cpus(void)
{
	return 1;
}

int port_cpu_node(int cpu)
{
	return cpu;
}

struct port_thread *port_self(void)
{
	return NULL;
}

/* Who waits here waits for ever: there is no other thread. */
bool port_park(u64 timeout_ns)
{
	port_panic(timeout_ns ? "the only thread sleeps" : "nothing to poll");
}

void port_unpark(struct port_thread *t)
{
	(void)t;
}

int port_ram_online(phys_addr_t start, u64 size)
{
	bool inside = start >= REGION_PHYS &&
		      start + size <= REGION_PHYS + region_size;

	return inside ? 0 : -ERANGE;
}

void *port_memmap_reserve(u64 bytes)
{
	region_descriptors = calloc(1, bytes);
	return region_descriptors;
}

/* All of it is there already; the frames set aside at PHYS stay unused. */
int port_memmap_back(u64 off, u64 len, phys_addr_t phys)
{
	return region_descriptors && off + len > 0 && phys ? 0 : -ENOMEM;
}
