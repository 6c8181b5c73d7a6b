/* world: host */
/* SPDX-License-Identifier: MIT */
/*
 * page_alloc - instructions of the allocators' and the fault path's everyday
 * operations, in the world of real threads.
 *
 *	page_alloc            print the table
 *	page_alloc ITEM N     do ITEM N times
 *
 * Linux's figures: Debian's 6.1, guest instructions under QEMU TCG with
 * init_on_alloc=0 and mitigations=off. Its faults and calls include the trap
 * and the way back, about 60 to 100 instructions, which ours have not.
 */
#include "bench_items.h"

#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "arch/paging.h"
#include "base/prng.h"

#define BATCH	   512
#define CHURN_LIVE 2000
#define FAULTS	   4096 /* pages of the mapping that faults go through */

/* ---- frames
 * ------------------------------------------------------------------ */

static void pairs(u64 n, gfp_t gfp, unsigned int order)
{
	while (n--) {
		struct page *page = alloc_pages(gfp, order);

		need(page);
		__free_pages(page, order);
	}
}

static void run_page(u64 n)
{
	pairs(n, GFP_KERNEL, 0);
}

static void run_zeroed(u64 n)
{
	pairs(n, GFP_KERNEL | __GFP_ZERO, 0);
}

static void run_order3(u64 n)
{
	pairs(n, GFP_KERNEL, 3);
}

static void run_order9(u64 n)
{
	pairs(n, GFP_KERNEL, 9);
}

static void run_order10(u64 n)
{
	pairs(n, GFP_KERNEL, 10);
}

static void run_batch(u64 n)
{
	static struct page *pages[BATCH];

	for (u64 done = 0; done < n; done += BATCH) {
		for (int i = 0; i < BATCH; i++) {
			pages[i] = alloc_page(GFP_KERNEL);
			need(pages[i]);
		}
		for (int i = 0; i < BATCH; i++)
			__free_page(pages[i]);
	}
}

static void run_bulk(u64 n)
{
	static struct page *pages[BATCH];

	for (u64 done = 0; done < n; done += BATCH) {
		memset(pages, 0, sizeof(pages));
		need(alloc_pages_bulk(GFP_KERNEL, -1, BATCH, pages) == BATCH);
		for (int i = 0; i < BATCH; i++)
			__free_page(pages[i]);
	}
}

/* ---- objects
 * ------------------------------------------------------------------- */

static void run_slab(u64 n)
{
	struct kmem_cache *s = kmem_cache_create("bench", 64, 0, 0, NULL);

	need(s);
	while (n--) {
		void *obj = kmem_cache_alloc(s, GFP_KERNEL);

		kmem_cache_free(s, obj); /* which would report a NULL */
	}
	need(!kmem_cache_destroy(s));
}

static void run_kmalloc(u64 n)
{
	while (n--) {
		kfree(kmalloc(64 + n % 4 * 512, GFP_KERNEL));
	}
}

#define OBJECTS 1000

/* Allocate 1000, free them in an order that has nothing to do with it. */
static void object_batches(u64 n, u32 size)
{
	struct kmem_cache *s = kmem_cache_create("bench", size, 0, 0, NULL);
	static void *obj[OBJECTS];
	static u32 order[OBJECTS];
	struct prng rnd;

	need(s);
	prng_seed(&rnd, 1);
	for (u32 i = 0; i < OBJECTS; i++) {
		u64 j = prng_below(&rnd, i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (u64 done = 0; done < n; done += OBJECTS) {
		for (u32 i = 0; i < OBJECTS; i++)
			obj[i] = kmem_cache_alloc(s, GFP_KERNEL);
		for (u32 i = 0; i < OBJECTS; i++)
			kmem_cache_free(s, obj[order[i]]);
	}
	need(!kmem_cache_destroy(s));
}

static void run_slab_batch(u64 n)
{
	object_batches(n, 64);
}

static void run_slab_batch256(u64 n)
{
	object_batches(n, 256);
}

static void run_slab_bulk(u64 n)
{
	struct kmem_cache *s = kmem_cache_create("bench", 64, 0, 0, NULL);
	static void *obj[BATCH];

	need(s);
	for (u64 done = 0; done < n; done += BATCH) {
		need(kmem_cache_alloc_bulk(s, GFP_KERNEL, BATCH, obj) == BATCH);
		kmem_cache_free_bulk(s, BATCH, obj);
	}
	need(!kmem_cache_destroy(s));
}

static void run_kmalloc_const(u64 n)
{
	while (n--)
		kfree(kmalloc(64, GFP_KERNEL));
}

static void run_churn(u64 n)
{
	static void *live[CHURN_LIVE];
	struct prng rnd;

	prng_seed(&rnd, 1);
	while (n--) {
		u64 i = prng_below(&rnd, CHURN_LIVE);

		kfree(live[i]);
		live[i] = kmalloc(8 + prng_below(&rnd, 2048), GFP_KERNEL);
		need(live[i]);
	}
	for (int i = 0; i < CHURN_LIVE; i++) {
		kfree(live[i]);
		live[i] = NULL;
	}
}

/* ---- address spaces
 * ---------------------------------------------------------------- */

static struct mm_struct *space_begin(void)
{
	struct mm_struct *mm = NULL;
	struct mm_layout l;

	mm_default_layout(&l);
	need(!mm_create(&l, &mm));
	mm_task_attach(port_current(), mm);
	return mm;
}

static void space_end(struct mm_struct *mm)
{
	mm_task_exit(port_current());
	port_current()->flags &= ~(u32)PF_EXITING;
	mm_put(mm);
}

static uva_t map_pages(struct mm_struct *mm, u64 pages)
{
	s64 va = do_mmap(mm, 0, pages << PAGE_SHIFT, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS);

	need(va > 0);
	return (uva_t)va;
}

/* A fault on each page of fresh mappings; UNMAP: that is all that counts. */
static void faults(u64 n, u32 error)
{
	struct mm_struct *mm = space_begin();
	uva_t va = map_pages(mm, FAULTS);

	/* Tables and the pages that hold them are not what is measured. */
	for (u64 done = 0; done < n; done += FAULTS) {
		for (u64 i = 0; i < FAULTS; i++)
			need(!mm_user_fault(port_current(),
					    va + (i << PAGE_SHIFT), error));
		need(!do_madvise(mm, va, (u64)FAULTS << PAGE_SHIFT,
				 MADV_DONTNEED));
	}
	space_end(mm);
}

static void run_write_fault(u64 n)
{
	faults(n, PF_ERR_USER | PF_ERR_WRITE);
}

static void run_read_fault(u64 n)
{
	faults(n, PF_ERR_USER);
}

static void run_mmap(u64 n)
{
	struct mm_struct *mm = space_begin();

	while (n--)
		need(!do_munmap(mm, map_pages(mm, 1), PAGE_SIZE));
	space_end(mm);
}

static void run_mmap_touch(u64 n)
{
	struct mm_struct *mm = space_begin();

	while (n--) {
		uva_t va = map_pages(mm, 1);

		need(!mm_user_fault(port_current(), va,
				    PF_ERR_USER | PF_ERR_WRITE));
		need(!do_munmap(mm, va, PAGE_SIZE));
	}
	space_end(mm);
}

/* ---- the table
 * ---------------------------------------------------------------------- */

static const struct item items[] = {
	{"page", "page pair, order 0", 701, 70, run_page},
	{"zeroed", "page pair, order 0, zeroed", 1239, 600, run_zeroed},
	{"batch", "page pair in batches of 512", 611 + 519, 120, run_batch},
	{"bulk", "page pair, bulk alloc of 512", 66 + 267, 65, run_bulk},
	{"order3", "block pair, order 3", 885, 120, run_order3},
	{"order9", "block pair, order 9", 17730, 300, run_order9},
	{"order10", "block pair, order 10", 33659, 300, run_order10},
	{"slab", "slab pair, 64 B", 224, 40, run_slab},
	{"slab_batch", "slab pair, 1000 at a time, random", 274 + 197, 100,
	 run_slab_batch},
	{"slab_batch256", "the same, 256 B", 786 + 197, 140, run_slab_batch256},
	{"slab_bulk", "slab pair, bulk of 512", 0, 50, run_slab_bulk},
	{"kmalloc_const", "kmalloc pair, 64 B, known size", 242, 50,
	 run_kmalloc_const},
	{"kmalloc", "kmalloc pair, 64 B to 1.6 KB", 250, 50, run_kmalloc},
	{"churn", "kmalloc churn, 2000 live", 636, 150, run_churn},
	{"write_fault", "write fault and DONTNEED, a page", 3308 + 1300,
	 1000 + 120, run_write_fault},
	{"read_fault", "zero-page fault and DONTNEED, a page", 1241, 300,
	 run_read_fault},
	{"mmap", "mmap + munmap, 1 page, untouched", 12846, 1500, run_mmap},
	{"mmap_touch", "mmap + touch + munmap, 1 page", 20940, 2800,
	 run_mmap_touch},
};

int main(int argc, char **argv)
{
	const struct bench_table t = {.items = items,
				      .nr = ARRAY_SIZE(items),
				      .few = 2 * FAULTS,
				      .many = 10 * FAULTS};

	return bench_items(&t, argc, argv);
}
