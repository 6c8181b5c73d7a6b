/* SPDX-License-Identifier: MIT */
/*
 * futex_waitv.c - waiting at several words at once: futex_waitv(2).
 *
 * The words are queued at one after the other, each only if it has its value;
 * then the thread sleeps until one of them is woken. Woken while still queuing
 * counts as well.
 */
#include <mmkit/slab.h>

#include "futex.h"

#define FUTEX_WAITV_MAX 128u
#define FUTEX2_SIZE_U32 2u
#define FUTEX2_PRIVATE	128u

struct user_futex_waitv {
	u64 val, addr;
	u32 flags, reserved;
};

static int check_words(const struct user_futex_waitv *v, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		if ((v[i].flags & ~FUTEX2_PRIVATE) != FUTEX2_SIZE_U32 ||
		    v[i].reserved || v[i].val > UINT32_MAX)
			return -EINVAL;
	}
	return 0;
}

/* All N leave; the last one that had been woken, or -1. */
static s64 leave_all(struct futex_waiter *w, u32 n)
{
	s64 woken = -1;

	for (u32 i = 0; i < n; i++)
		if (futex_dequeue(&w[i]))
			woken = i;
	return woken;
}

static s64 wait_all(struct futex_waiter *w, const struct user_futex_waitv *v,
		    u32 n, const struct futex_timeout *to)
{
	s64 woken;
	int err;

	for (u32 i = 0; i < n; i++) {
		err = futex_wait_begin(&w[i], v[i].addr,
				       !(v[i].flags & FUTEX2_PRIVATE),
				       (u32)v[i].val, FUTEX_BITSET_ALL);
		if (!err)
			continue;
		woken = leave_all(w, i);
		return woken >= 0 ? woken : err;
	}
	err = futex_sleep(w, n, to);
	woken = leave_all(w, n);
	return woken >= 0 ? woken : err;
}

static s64 sys_futex_waitv(const struct sys_args *s)
{
	u32 n = (u32)s->a[1];
	struct futex_timeout to = {.deadline = UINT64_MAX};
	struct user_futex_waitv *v;
	struct futex_waiter *w;
	struct ktimespec t;
	s64 ret = 0;

	if (s->a[2] || !n || n > FUTEX_WAITV_MAX || !s->a[0])
		return -EINVAL;
	if (s->a[3]) {
		if ((s32)s->a[4] != CLOCK_MONOTONIC &&
		    (s32)s->a[4] != CLOCK_REALTIME)
			return -EINVAL;
		ret = user_read_timespec(&t, s->a[3]);
		if (ret)
			return ret;
		to.deadline = timespec_ns(&t);
		to.real = (s32)s->a[4] == CLOCK_REALTIME;
	}
	v = kmalloc_array(n, sizeof(*v), GFP_KERNEL);
	w = kmalloc_array(n, sizeof(*w), GFP_KERNEL);
	if (!v || !w)
		ret = -ENOMEM;
	else if (user_read(v, s->a[0], n * sizeof(*v)))
		ret = -EFAULT;
	else
		ret = check_words(v, n);
	if (!ret)
		ret = wait_all(w, v, n, &to);
	kfree(v);
	kfree(w);
	return ret;
}

static const struct syscall_def waitv_calls[] = {
	{449, "futex_waitv", sys_futex_waitv},
};

void futex_waitv_init(void)
{
	syscall_register(waitv_calls, ARRAY_SIZE(waitv_calls));
}
