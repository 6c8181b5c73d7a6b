/* SPDX-License-Identifier: MIT */
/*
 * main.c - memblock as a library: what a boot loader or a program with one
 * large buffer needs to hand out pieces of it and to know what is left.
 *
 * Linked with memblock and the few files of floor base that it calls; no page
 * allocator, no zones. The port is the three functions below and the inline
 * half of examples/frames.
 *
 *   memblock [KiB]   carve up a buffer of so many KiB (default 1024)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/memblock.h>
#include <mmkit/port.h>

char *region_base;
struct mm_task region_task = {.flags = PF_KTHREAD, .comm = "example"};

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

u64 port_now_ns(void)
{
	return 0;
}

static void show(const char *what)
{
	struct memblock_iter it;

	printf("%s: %llu of %llu bytes reserved\n", what,
	       (unsigned long long)memblock_reserved_size(),
	       (unsigned long long)memblock_phys_mem_size());
	for_each_free_mem_range (it, NUMA_NO_NODE, 0)
		printf("  free [mem 0x%08llx-0x%08llx]\n",
		       (unsigned long long)it.start,
		       (unsigned long long)it.end - 1);
}

/* Strings of all lengths, until nothing is left; how many there were. */
static unsigned int fill(void)
{
	unsigned int n = 0;
	char *s;

	while ((s = memblock_alloc(1 + n % 100, 1))) {
		memset(s, 'a' + (int)(n % 26), n % 100);
		n++;
	}
	return n;
}

/* The buffer as memory, its middle as somebody else's. */
static int describe(u64 bytes)
{
	int err = memblock_add(REGION_PHYS, bytes);

	if (!err)
		err = memblock_reserve(REGION_PHYS + bytes / 2, 5000);
	/* From now on tables may grow into the buffer itself. */
	memblock_allow_resize();
	return err;
}

int main(int argc, char **argv)
{
	unsigned long kib = argc > 1 ? strtoul(argv[1], NULL, 10) : 1024;
	void *page, *low;
	unsigned int n;

	if (kib < 64 || kib > 1 << 20) {
		fprintf(stderr, "memblock: from 64 to 1048576 KiB\n");
		return 2;
	}
	region_base = calloc(kib, 1024);
	memblock_init();
	if (!region_base || describe(kib << 10))
		return 1;
	page = memblock_alloc(PAGE_SIZE, PAGE_SIZE);
	memblock_set_bottom_up(true);
	low = memblock_alloc(100, 0);
	show("two pieces");
	n = fill();
	printf("strings: %u\n", n);
	show("full");
	if (!page || !low || memblock_free(page, PAGE_SIZE))
		return 1;
	show("a page back");
	memblock_check();
	free(region_base);
	return 0;
}
