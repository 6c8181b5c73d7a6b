/* SPDX-License-Identifier: MIT */
/*
 * memalloc.h - scopes: from save to restore every allocation of the running
 * task is changed, whatever flags its callers pass.
 *
 *	unsigned int flags = memalloc_nofs_save();
 *	...
 *	memalloc_nofs_restore(flags);
 *
 * Scopes nest; each restore gets what its own save returned. They hold for
 * the running task only, not for interrupts that come meanwhile. Names and
 * meanings: Linux documentation, core-api/gfp_mask-from-fs-io.
 */
#ifndef MMKIT_MEMALLOC_H
#define MMKIT_MEMALLOC_H

#include <mmkit/port.h>

/* Set FLAG (PF_*); returns what it was before. */
static inline unsigned int memalloc_scope_save(u32 flag)
{
	struct mm_task *task = port_current();
	unsigned int before = task->flags & flag;

	task->flags |= flag;
	return before;
}

static inline void memalloc_scope_restore(u32 flag, unsigned int before)
{
	struct mm_task *task = port_current();

	task->flags = (task->flags & ~flag) | before;
}

/* No I/O is started, no file system called, to get memory (drops __GFP_IO and
 * __GFP_FS). */
static inline unsigned int MM_MUST_CHECK memalloc_noio_save(void)
{
	return memalloc_scope_save(PF_MEMALLOC_NOIO);
}

static inline void memalloc_noio_restore(unsigned int before)
{
	memalloc_scope_restore(PF_MEMALLOC_NOIO, before);
}

/* No file system is called to get memory (drops __GFP_FS). */
static inline unsigned int MM_MUST_CHECK memalloc_nofs_save(void)
{
	return memalloc_scope_save(PF_MEMALLOC_NOFS);
}

static inline void memalloc_nofs_restore(unsigned int before)
{
	memalloc_scope_restore(PF_MEMALLOC_NOFS, before);
}

/* No reclaim, but all reserves: for who is about to free memory. */
static inline unsigned int MM_MUST_CHECK memalloc_noreclaim_save(void)
{
	return memalloc_scope_save(PF_MEMALLOC);
}

static inline void memalloc_noreclaim_restore(unsigned int before)
{
	memalloc_scope_restore(PF_MEMALLOC, before);
}

/*
 * memalloc_pin_save / _restore: frames will be pinned for long, so none may
 * come from where everything must be movable (drops __GFP_MOVABLE). While any
 * task is in such a scope, allocations take the longer way. Context: a task.
 */
unsigned int memalloc_pin_save(void) MM_MUST_CHECK;
void memalloc_pin_restore(unsigned int before);

#endif
