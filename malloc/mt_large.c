/* SPDX-License-Identifier: MIT */
/*
 * mt_large.c - requests beyond the classes: runs of frames, and mappings.
 *
 * A run is up to 4 MiB of contiguous frames; mt_map marks its first frame and
 * mt_sys.run says how many there are. Larger requests, and those that want more
 * alignment than a block of frames has, are mappings of their own: a struct
 * mapping stands right before what the user gets. Mappings grow by mremap,
 * which moves tables and no contents.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <mmkit/page_alloc.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "mt.h"
#include "phys/phys.h"

#define MAPPING_MAGIC 0x6d6d6b69746d6170UL
#define RUN_GFP	      __GFP_NOWARN

/* In the 64 bytes before the user's first byte. */
struct mapping {
	u64 magic; /* MAPPING_MAGIC and its own address */
	char *start;
	u64 len;
	u64 unused[5];
};
MM_STATIC_ASSERT(sizeof(struct mapping) == MM_CACHELINE, "keeps alignment");

/* ---- runs
 * ---------------------------------------------------------------------- */

/* Frames beyond the first NR of the split block at PAGE go back. */
static void drop_tail(struct page *page, u64 nr, u64 have)
{
	for (; nr < have; nr++)
		__free_pages(page + nr, 0);
}

static struct page *run_frames(u64 nr, u64 align)
{
	unsigned int order =
		(unsigned int)get_order(max(nr << PAGE_SHIFT, align));
	struct page *page = alloc_pages(RUN_GFP, order);

	if (page && order) {
		split_page(page, order);
		drop_tail(page, nr, 1UL << order);
	}
	return page;
}

void *mt_run_get(u64 nr, u64 align, u32 use)
{
	struct page *page = run_frames(nr, align);
	u64 f;

	if (!page)
		return NULL;
	f = mt_frame(page_view(page));
	/* A class says how many there are. */
	if (use == MT_RUN)
		WRITE_ONCE(mt_sys.run[f], (u32)nr);
	mt_mark(f, use);
	for (u64 i = 1; i < nr; i++)
		mt_mark(f + i, MT_BODY);
	return page_view(page);
}

void mt_run_put(void *p, u64 nr)
{
	free_pages_exact(view_to_page(p), nr << PAGE_SHIFT);
}

static void *run_alloc(size_t size, size_t align)
{
	bool due;
	void *p;
	u64 seen;

	mt_enter();
	do {
		seen = __atomic_load_n(&mt_sys.ram_end, __ATOMIC_ACQUIRE);
		p = mt_run_get(PFN_UP(size), align, MT_RUN);
	} while (!p && mt_grow(seen));
	due = mt_peak_due();
	mt_leave();
	if (unlikely(due))
		mt_trim_peak();
	return p;
}

void mt_run_free(void *p)
{
	u64 f = mt_frame(p);
	mt_frame_map was = MT_ALL_GRAINS(MT_RUN);
	bool due;

	if ((uintptr_t)p % PAGE_SIZE) {
		mt_bad("invalid pointer", p);
		return;
	}
	if (!__atomic_compare_exchange_n(mt_map_of(f), &was,
					 MT_ALL_GRAINS(MT_BODY), false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		mt_bad("double free", p);
		return;
	}
	mt_enter();
	mt_run_put(p, mt_sys.run[f]);
	due = mt_trim_due();
	mt_leave();
	if (unlikely(due))
		mt_trim();
}

/* ---- mappings
 * ------------------------------------------------------------------ */

static struct mapping *mapping_of(const void *p)
{
	return (struct mapping *)(uintptr_t)((const char *)p -
					     sizeof(struct mapping));
}

/* NULL: P is none. */
static struct mapping *mapping_check(const void *p)
{
	struct mapping *m = mapping_of(p);

	if ((uintptr_t)p % sizeof(*m) == 0 &&
	    m->magic == (MAPPING_MAGIC ^ (uintptr_t)m))
		return m;
	mt_bad("invalid pointer", p);
	return NULL;
}

static void count_map(s64 bytes, s64 nr)
{
	__atomic_fetch_add(&mt_sys.map_bytes, bytes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&mt_sys.nr_maps, nr, __ATOMIC_RELAXED);
}

static void *mapping_init(char *p, char *start, u64 len)
{
	struct mapping *m = mapping_of(p);

	m->magic = MAPPING_MAGIC ^ (uintptr_t)m;
	m->start = start;
	m->len = len;
	return p;
}

/* SIZE bytes at a multiple of ALIGN, a power of two over 63. */
static void *map_alloc(size_t size, size_t align)
{
	size_t slack = align > PAGE_SIZE ? align : 0, len, lead;
	char *start, *p;

	if (align > PTRDIFF_MAX / 2 ||
	    size > PTRDIFF_MAX - slack - 2 * PAGE_SIZE)
		return NULL;
	if (fail_should(FAIL_VMAP))
		return NULL;
	align = max(align, sizeof(struct mapping));
	lead = align >= PAGE_SIZE ? PAGE_SIZE : align;
	len = PAGE_ALIGN(size + slack + lead);
	start = mmap(NULL, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	p = (char *)ALIGN((uintptr_t)start + lead, align);
	/* What alignment left over at either end. */
	if (p - start > (ptrdiff_t)PAGE_SIZE) {
		char *at = (char *)PAGE_ALIGN_DOWN((uintptr_t)p - 1);

		munmap(start, (size_t)(at - start));
		len -= (size_t)(at - start);
		start = at;
	}
	if ((size_t)(start + len - p) - PAGE_SIZE >= size && slack) {
		char *end = (char *)PAGE_ALIGN((uintptr_t)p + size);

		munmap(end, (size_t)(start + len - end));
		len = (size_t)(end - start);
	}
	count_map((s64)len, 1);
	return mapping_init(p, start, len);
}

void mt_map_free(void *p)
{
	struct mapping *m = mapping_check(p);

	if (!m)
		return;
	/* A second free finds that it is one, if the address is mapped yet. */
	m->magic = 0;
	count_map(-(s64)m->len, -1);
	munmap(m->start, m->len);
}

size_t mt_map_size(const void *p)
{
	const struct mapping *m = mapping_check(p);

	return m ? (size_t)(m->start + m->len - (const char *)p) : 0;
}

void *mt_map_resize(void *p, size_t size)
{
	const struct mapping *m = mapping_check(p);
	size_t lead, len, old;
	char *start;

	if (!m || size > PTRDIFF_MAX - 2 * PAGE_SIZE)
		return NULL;
	lead = (size_t)((char *)p - m->start);
	len = PAGE_ALIGN(size + lead);
	old = m->len;
	if (len == old)
		return p;
	if (fail_should(FAIL_VMAP))
		return NULL;
	start = mremap(m->start, old, len, MREMAP_MAYMOVE);
	if (start == MAP_FAILED)
		return NULL;
	count_map((s64)len - (s64)old, 0);
	return mapping_init(start + lead, start, len);
}

/* Is a mapping wanted where a run would do? */
static bool wants_map(size_t size)
{
	return size >= mt_sys.tune.mmap_threshold &&
	       __atomic_load_n(&mt_sys.nr_maps, __ATOMIC_RELAXED) <
		       mt_sys.tune.mmap_max;
}

void *mt_large(size_t size, size_t align, bool *zeroed)
{
	void *p = NULL;

	*zeroed = false;
	/* A block of frames is aligned as the view of RAM is. */
	if (size <= MT_RUN_MAX && align <= MT_RUN_MAX &&
	    (uintptr_t)mt_base % align == 0 && !wants_map(size))
		p = run_alloc(size, align);
	if (!p) {
		*zeroed = true;
		p = map_alloc(size, align);
	}
	return p;
}
