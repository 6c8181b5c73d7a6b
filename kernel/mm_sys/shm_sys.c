/* SPDX-License-Identifier: MIT */
/*
 * shm_sys.c - System V shared memory: the calls of mmkit/shm.h.
 *
 * Reference: shmget(2), shmat(2), shmctl(2), sysvipc(7).
 */
#include <mmkit/shm.h>

#include "mm_sys/mm_sys.h"

/* The current task, as the manager wants to know it. */
static struct shm_caller caller(void)
{
	const struct task *t = current;

	return (struct shm_caller){
		.mm = t->mt->mm,
		.uid = t->cred.euid,
		.gid = t->cred.egid,
		.groups = t->cred.groups,
		.nr_groups = t->cred.nr_groups,
	};
}

static s64 sys_shmget(const struct sys_args *s)
{
	struct shm_caller c = caller();

	return do_shmget(&c, (s32)s->a[0], s->a[1], (int)s->a[2]);
}

static s64 sys_shmat(const struct sys_args *s)
{
	struct shm_caller c = caller();

	return do_shmat(&c, (int)s->a[0], s->a[1], (int)s->a[2]);
}

static s64 sys_shmdt(const struct sys_args *s)
{
	struct shm_caller c = caller();

	return do_shmdt(&c, s->a[0]);
}

static s64 sys_shmctl(const struct sys_args *s)
{
	struct shm_caller c = caller();

	return do_shmctl(&c, (int)s->a[0], (int)s->a[1], s->a[2]);
}

void shm_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{29, "shmget", sys_shmget},
		{30, "shmat", sys_shmat},
		{31, "shmctl", sys_shmctl},
		{67, "shmdt", sys_shmdt},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
