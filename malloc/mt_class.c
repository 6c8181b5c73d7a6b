/* SPDX-License-Identifier: MIT */
/*
 * mt_class.c - size classes and their caches.
 *
 * Each class up to 8 KiB has a cache of its own in floor kmem, made when the
 * class is first used: a descriptor for each would cost a small program more
 * than its objects. Objects of a cache are aligned to the largest power of two
 * that divides their size, which is what aligned requests rely on. Larger
 * classes are runs of frames that go through the same magazines.
 */
#include <string.h>

#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "kmem/slab.h"
#include "mt.h"
#include "phys/phys.h"

#define MAG_BYTES_MOST 65536u /* of the objects of one magazine */
#define MT_GFP	       (GFP_NOWAIT | __GFP_NOWARN)

static char names[MT_NR_CLASSES][16];

/* The class after SIZE: eight to a doubling, 16 bytes apart at least. */
static u32 next_size(u32 size)
{
	u32 step = 16;

	if (size < 16)
		return 16;
	if (size >= MT_SLAB_MAX)
		return size + (u32)PAGE_SIZE;
	while (size >= step * 16)
		step *= 2;
	return size + step;
}

void mt_class_init(void)
{
	u32 c = MT_FIRST, size = 8, at = 0;

	for (; size <= MT_CLASS_MAX; c++, size = next_size(size)) {
		struct seq_buf s;

		mm_verify(c < MT_NR_CLASSES);
		mt_sys.size_of[c] = size;
		mt_sys.cap_of[c] = clamp(MAG_BYTES_MOST / 2 / size, 2u,
				     MT_MAG_WORDS - 1);
		for (; at <= size / 8; at++)
			mt_sys.class_of[at] = (u8)c;
		seq_buf_init(&s, names[c], sizeof(names[c]));
		seq_printf(&s, "malloc-%u", size);
	}
	mm_verify(c == MT_NR_CLASSES);
}

static struct kmem_cache *make_cache(u32 c)
{
	u32 size = mt_sys.size_of[c];
	struct kmem_cache *s;

	mt_lock(&mt_sys.grow_word);
	s = mt_sys.cache[c];
	if (!s) {
		s = kmem_cache_create(
			names[c], size, min(size & -size, (u32)PAGE_SIZE), 0,
			NULL);
		__atomic_store_n(&mt_sys.cache[c], s, __ATOMIC_RELEASE);
	}
	mt_unlock(&mt_sys.grow_word);
	return s;
}

/* The frames of OBJ's slab are of class C from now on. */
static void mark_slab(void *obj, u32 c)
{
	struct page *slab = compound_head(view_to_page(obj));
	u64 f = mt_frame(page_view(slab));

	mm_assert(PageSlab(slab));
	for (u64 i = 0; i < compound_nr(slab); i++)
		mt_mark(f + i, c);
}

static void *one_object(u32 c)
{
	u32 size = mt_sys.size_of[c];
	struct kmem_cache *s;
	void *p;

	if (size > MT_SLAB_MAX)
		return mt_run_get(size >> PAGE_SHIFT, PAGE_SIZE, c);
	s = __atomic_load_n(&mt_sys.cache[c], __ATOMIC_ACQUIRE);
	if (unlikely(!s))
		s = make_cache(c);
	p = s ? kmem_cache_alloc(s, MT_GFP) : NULL;
	if (p && unlikely(READ_ONCE(mt_sys.map[mt_frame(p)]) != c))
		mark_slab(p, c);
	return p;
}

u32 mt_objects_get(u32 c, void **out, u32 nr)
{
	u32 n = 0;
	u64 seen;

	mt_enter();
	while (n < nr) {
		seen = __atomic_load_n(&mt_sys.ram_end, __ATOMIC_ACQUIRE);
		out[n] = one_object(c);
		if (out[n])
			n++;
		else if (n || !mt_grow(seen))
			break;
	}
	mt_leave();
	return n;
}

void mt_objects_put(u32 c, void **objs, u32 nr)
{
	u64 frames = mt_sys.size_of[c] >> PAGE_SHIFT;
	bool due;

	mt_enter();
	for (u32 i = 0; i < nr; i++) {
		if (mt_sys.size_of[c] > MT_SLAB_MAX) {
			WRITE_ONCE(mt_sys.map[mt_frame(objs[i])],
				   MT_BODY);
			mt_run_put(objs[i], frames);
		} else {
			kmem_cache_free(mt_sys.cache[c], objs[i]);
		}
	}
	due = mt_trim_due();
	mt_leave();
	if (unlikely(due))
		mt_trim();
}
