/* SPDX-License-Identifier: MIT */
/*
 * numa_sys.c - on which nodes memory lies: the calls of mmkit/mempolicy.h.
 *
 * Reference: set_mempolicy(2), get_mempolicy(2), mbind(2), migrate_pages(2),
 * move_pages(2), set_mempolicy_home_node(2).
 */
#include <mmkit/mempolicy.h>

#include "mm_sys/mm_sys.h"

static s64 sys_set_mempolicy(const struct sys_args *s)
{
	return kernel_set_mempolicy(current->mt->mm, (int)s->a[0], s->a[1],
				    s->a[2]);
}

static s64 sys_get_mempolicy(const struct sys_args *s)
{
	return kernel_get_mempolicy(current->mt->mm, s->a[0], s->a[1], s->a[2],
				    s->a[3], s->a[4]);
}

static s64 sys_mbind(const struct sys_args *s)
{
	struct mm_mbind a = {
		.start = s->a[0],
		.len = s->a[1],
		.mode = (int)s->a[2],
		.nmask = s->a[3],
		.maxnode = s->a[4],
		.flags = (u32)s->a[5],
	};

	return kernel_mbind(current->mt->mm, &a);
}

static s64 sys_set_mempolicy_home_node(const struct sys_args *s)
{
	return do_set_mempolicy_home_node(current->mt->mm, s->a[0], s->a[1],
					  s->a[2], s->a[3]);
}

static s64 sys_migrate_pages(const struct sys_args *s)
{
	struct mm_struct *target = NULL;
	s64 ret = target_mm((s32)s->a[0], &target);

	if (ret)
		return ret;
	ret = kernel_migrate_pages(target, current->mt->mm, s->a[1], s->a[2],
				   s->a[3]);
	if (target)
		mm_put(target);
	return ret;
}

static s64 sys_move_pages(const struct sys_args *s)
{
	struct mm_move_pages a = {
		.local = current->mt->mm,
		.nr = s->a[1],
		.pages = s->a[2],
		.nodes = s->a[3],
		.status = s->a[4],
		.flags = (u32)s->a[5],
	};
	s64 ret = target_mm((s32)s->a[0], &a.target);

	if (ret)
		return ret;
	ret = kernel_move_pages(&a);
	if (a.target)
		mm_put(a.target);
	return ret;
}

void numa_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{237, "mbind", sys_mbind},
		{238, "set_mempolicy", sys_set_mempolicy},
		{239, "get_mempolicy", sys_get_mempolicy},
		{256, "migrate_pages", sys_migrate_pages},
		{279, "move_pages", sys_move_pages},
		{450, "set_mempolicy_home_node", sys_set_mempolicy_home_node},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
