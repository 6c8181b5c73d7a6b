/* SPDX-License-Identifier: MIT */
/*
 * mt_guard.c - hardened and debug mode: which of the two has a pointer.
 *
 * In debug mode every object is one of mt_debug.c. In hardened mode those in
 * slabs are of mt_hardened.c and larger ones of mt_debug.c.
 */
#include <string.h>

#include "mt_records.h"

static bool in_slab(const void *p)
{
	return !mt_sys.opt.debug && mt_hardened_owns(p);
}

bool mt_guard_init(void)
{
	return mt_sys.opt.debug ? mt_debug_init() : mt_hardened_init();
}

void *mt_guard_alloc(size_t size, size_t align, bool zero)
{
	if (size > PTRDIFF_MAX)
		return NULL;
	return mt_sys.opt.debug ? mt_debug_alloc(size, align, zero)
				: mt_hardened_alloc(size, align, zero);
}

static void free_by(void *p, const char *func)
{
	if (in_slab(p))
		mt_hardened_free(p, func);
	else
		mt_debug_free(p, func);
}

void mt_guard_free(void *p)
{
	free_by(p, "free");
}

static bool size_by(const void *p, const char *func, size_t *out)
{
	struct mt_record r;

	if (in_slab(p))
		return mt_hardened_size(p, func, out);
	if (mt_record_get((uintptr_t)p, &r) && r.state == MT_OBJ_LIVE) {
		*out = r.size;
		return true;
	}
	mt_report_free(func, p);
	return false;
}

/* Always somewhere else: who keeps the old pointer is found. */
void *mt_guard_realloc(void *p, size_t size)
{
	size_t old;
	void *q;

	if (!size_by(p, "realloc", &old))
		return NULL;
	q = mt_guard_alloc(size, 16, false);
	if (!q)
		return NULL;
	memcpy(q, p, min(old, size));
	free_by(p, "realloc");
	return q;
}

size_t mt_guard_size(const void *p)
{
	size_t size;

	return size_by(p, "malloc_usable_size", &size) ? size : 0;
}

u64 mt_guard_check(void)
{
	u64 bad = 0;

	if (!mt_sys.direct)
		return 0;
	if (!mt_sys.opt.debug)
		bad = mt_hardened_check();
	return bad + mt_debug_check();
}

void mt_guard_lock(void)
{
	if (!mt_sys.direct)
		return;
	mt_hardened_lock();
	mt_debug_lock();
}

void mt_guard_unlock(void)
{
	if (!mt_sys.direct)
		return;
	mt_debug_unlock();
	mt_hardened_unlock();
}
