/* SPDX-License-Identifier: MIT */
/*
 * main.c - the page allocator alone, inside a program: floors base and phys,
 * a port of two small files, and one region of memory.
 *
 *	frames [MIB]	manage a region of so many MiB (64), 4 to 1024
 *
 * Takes and gives blocks of all sizes at random, each filled with a pattern
 * that is compared before it is freed; then takes all there is. Exit status 0
 * if everything was as it should be.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "phys/phys.h"

#define MIB	     (1UL << 20)
#define REGION_ALIGN (4 * MIB)
#define SLOTS	     512
#define STEPS	     200000

#define check(cond)                                                      \
	do {                                                             \
		if (!(cond)) {                                           \
			fprintf(stderr, "frames: %s:%d: not true: %s\n", \
				__FILE__, __LINE__, #cond);              \
			exit(1);                                         \
		}                                                        \
	} while (0)

static struct slot {
	struct page *page;
	unsigned int order;
	u64 pattern;
} slots[SLOTS];
static u64 nr_blocks, nr_refused;

static u64 words(unsigned int order)
{
	return (PAGE_SIZE << order) / sizeof(u64);
}

static void take(struct slot *s, struct prng *rng)
{
	unsigned int order = (unsigned int)prng_below(rng, MAX_ORDER);
	gfp_t gfp = prng_below(rng, 2) ? GFP_KERNEL : GFP_USER | __GFP_MOVABLE;
	u64 *bytes;

	s->page = alloc_pages(gfp | __GFP_NOWARN, order);
	if (!s->page) {
		nr_refused++;
		return;
	}
	nr_blocks++;
	s->order = order;
	s->pattern = prng_u64(rng);
	bytes = page_view(s->page);
	check((uintptr_t)bytes % (PAGE_SIZE << order) == 0);
	check((char *)bytes >= region_base &&
	      (char *)(bytes + words(order)) <= region_base + region_size);
	for (u64 i = 0; i < words(order); i += 64)
		bytes[i] = s->pattern + i;
}

static void give(struct slot *s)
{
	const u64 *bytes = page_view(s->page);

	for (u64 i = 0; i < words(s->order); i += 64)
		check(bytes[i] == s->pattern + i);
	__free_pages(s->page, s->order);
	s->page = NULL;
}

static void take_and_give(void)
{
	struct prng rng;

	prng_seed(&rng, 1);
	for (int i = 0; i < STEPS; i++) {
		struct slot *s = &slots[prng_below(&rng, SLOTS)];

		if (s->page)
			give(s);
		else
			take(s, &rng);
	}
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].page)
			give(&slots[i]);
	phys_check();
}

/* Single frames until there are no more, linked by their first word. */
static u64 take_all(void)
{
	struct page *page, *list = NULL;
	u64 n = 0;

	while ((page = alloc_page(GFP_ATOMIC | __GFP_NOWARN)) != NULL) {
		*(struct page **)page_view(page) = list;
		list = page;
		n++;
	}
	while (list) {
		page = list;
		list = *(struct page **)page_view(page);
		__free_page(page);
	}
	phys_check();
	return n;
}

static void boot(void)
{
	static struct e820_table map;
	struct phys_boot_params params = {.map = &map};

	e820_init(&map);
	check(e820_add(&map, REGION_PHYS, region_size, E820_TYPE_RAM) == 0);
	check(phys_boot_memory(&params) == 0);
}

int main(int argc, char **argv)
{
	u64 mib = argc > 1 ? strtoull(argv[1], NULL, 10) : 64, n;

	if (argc > 2 || mib < 4 || mib > 1024) {
		fprintf(stderr, "usage: frames [MIB], 4 to 1024\n");
		return 2;
	}
	region_size = mib * MIB;
	region_base =
		aligned_alloc(REGION_ALIGN, ALIGN(region_size, REGION_ALIGN));
	check(region_base != NULL);
	boot();
	printf("region: %llu MiB, %llu of %llu frames managed\n",
	       (unsigned long long)mib, (unsigned long long)totalram_pages(),
	       (unsigned long long)(region_size >> PAGE_SHIFT));
	take_and_give();
	printf("blocks: %llu taken and given, %llu refused for lack of memory\n",
	       (unsigned long long)nr_blocks, (unsigned long long)nr_refused);
	n = take_all();
	printf("frames: %llu taken one by one\n", (unsigned long long)n);
	drain_all_pages();
	check(nr_free_pages() == totalram_pages());
	printf("free: %llu of %llu frames\n",
	       (unsigned long long)nr_free_pages(),
	       (unsigned long long)totalram_pages());
	free(region_descriptors);
	free(region_base);
	return 0;
}
