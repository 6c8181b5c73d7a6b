/* SPDX-License-Identifier: MIT */
/*
 * rlimit.c - a process's limits are read and set: prlimit(2).
 *
 * What they mean stands where they are asked: limits.c, mlock.c, stack.c,
 * do_brk(). They change with the mmap lock held for writing, under which most
 * of that happens; who asks without it reads one word.
 *
 * References: getrlimit(2), prlimit(2).
 */
#include <mmkit/errno.h>
#include <mmkit/resource.h>

#include "space/space.h"

/* Where MM keeps RESOURCE's two limits. False: not here. */
static bool limit_words(struct mm_struct *mm, int resource, u64 **cur,
			u64 **max)
{
	switch (resource) {
	case MM_RLIMIT_DATA:
		*cur = &mm->rlimit_data;
		*max = &mm->hard.data;
		return true;
	case MM_RLIMIT_STACK:
		*cur = &mm->rlimit_stack;
		*max = &mm->hard.stack;
		return true;
	case MM_RLIMIT_MEMLOCK:
		*cur = &mm->rlimit_memlock;
		*max = &mm->hard.memlock;
		return true;
	case MM_RLIMIT_AS:
		*cur = &mm->rlimit_as;
		*max = &mm->hard.as;
		return true;
	default:
		return false;
	}
}

int mm_prlimit(struct mm_struct *mm, int resource, const struct mm_rlimit *new,
	       struct mm_rlimit *old)
{
	bool may = mm_capable(MM_CAP_SYS_RESOURCE);
	struct mm_rlimit was;
	u64 *cur, *max;
	int err = 0;

	if (mm != port_current()->mm && !may)
		return -EPERM;
	if (!limit_words(mm, resource, &cur, &max) ||
	    (new &&new->cur > new->max))
		return -EINVAL;
	mmap_write_lock(mm);
	was = (struct mm_rlimit){*cur, *max};
	if (new &&new->max > was.max && !may) {
		err = -EPERM;
	} else if (new) {
		WRITE_ONCE(*cur, new->cur);
		WRITE_ONCE(*max, new->max);
	}
	mmap_write_unlock(mm);
	if (!err && old)
		*old = was;
	return err;
}

int mm_rlimit_set(struct mm_struct *mm, int resource,
		  const struct mm_rlimit *new)
{
	u64 *cur, *max;

	if (!limit_words(mm, resource, &cur, &max) || new->cur > new->max)
		return -EINVAL;
	mmap_write_lock(mm);
	WRITE_ONCE(*cur, new->cur);
	WRITE_ONCE(*max, new->max);
	mmap_write_unlock(mm);
	return 0;
}

void mm_limits_init(struct mm_struct *mm)
{
	mm->rlimit_as = mm->rlimit_data = MM_RLIM_INFINITY;
	mm->rlimit_stack = mm->rlimit_memlock = 8UL << 20;
	mm->hard = (struct mm_hard_limits){
		.as = MM_RLIM_INFINITY,
		.data = MM_RLIM_INFINITY,
		.stack = MM_RLIM_INFINITY,
		.memlock = 8UL << 20,
	};
}

void mm_limits_inherit(struct mm_struct *mm, const struct mm_struct *old)
{
	mm->flags |= READ_ONCE(old->flags) & MMF_DISABLE_THP;
	mm->rlimit_as = old->rlimit_as;
	mm->rlimit_data = old->rlimit_data;
	mm->rlimit_stack = old->rlimit_stack;
	mm->rlimit_memlock = old->rlimit_memlock;
	mm->hard = old->hard;
}
