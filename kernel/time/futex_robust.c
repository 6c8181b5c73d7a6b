/* SPDX-License-Identifier: MIT */
/*
 * futex_robust.c - what is left of a thread's locks when it ends.
 *
 * A program that wants its locks to survive it keeps a list of those it holds
 * in its own memory (set_robust_list(2)); at exit the kernel walks it, marks
 * each word that has the thread's id with FUTEX_OWNER_DIED and wakes one who
 * waits. The list is the program's: it may be wrong or endless, so the walk
 * ends at the first word that cannot be read and after ROBUST_LIMIT entries.
 *
 * clear_child_tid (set_tid_address(2)): the word that pthread_join() sleeps at
 * becomes 0.
 */
#include "futex.h"
#include "space/space.h"

#define FUTEX_WAITERS	 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK	 0x3fffffffu

#define ROBUST_LIMIT   2048u
#define CAP_SYS_PTRACE 19

struct user_robust_head {
	u64 next;
	s64 offset;  /* of the word from its entry */
	u64 pending; /* an entry that is being locked or unlocked; 0 */
};

/* A lock that T may hold. -errno: the list cannot be trusted any further. */
static int word_dies(u64 addr, bool pi, bool pending)
{
	struct mm_struct *mm = current->mt->mm;
	u32 seen, old;
	int err;

	for (;;) {
		err = user_load32_try(mm, addr, &seen);
		/* Unlocked already, but perhaps nobody woken yet. */
		if (!err && pending && !pi && !seen) {
			(void)futex_wake(addr, true, 1, FUTEX_BITSET_ALL);
			return 0;
		}
		if (!err && (s32)(seen & FUTEX_TID_MASK) != current->tid)
			return 0;
		if (!err) {
			old = seen;
			err = user_cmpxchg32_try(mm, addr, &seen,
						 (old & FUTEX_WAITERS) |
							 FUTEX_OWNER_DIED);
			if (!err && seen == old)
				break;
		}
		if (err == -EAGAIN)
			err = user_word_fault_in(mm, addr, true);
		if (err)
			return err;
	}
	if (!pi && (old & FUTEX_WAITERS))
		(void)futex_wake(addr, true, 1, FUTEX_BITSET_ALL);
	return 0;
}

/* The low bit of a pointer says that the lock is one of futex_pi.c. */
static int entry_dies(const struct user_robust_head *h, u64 entry, bool pending)
{
	return word_dies((entry & ~1UL) + (u64)h->offset, entry & 1, pending);
}

static void walk_robust(uva_t head)
{
	struct user_robust_head h;
	u64 entry, next;

	if (user_read(&h, head, sizeof(h)))
		return;
	entry = h.next;
	for (u32 n = 0; n < ROBUST_LIMIT && (entry & ~1UL) != head; n++) {
		/* Read before: the owner of a lock may free it at once. */
		if (user_read(&next, entry & ~1UL, sizeof(next)))
			next = head;
		if (entry != h.pending && entry_dies(&h, entry, false))
			break;
		entry = next;
	}
	if (h.pending)
		(void)entry_dies(&h, h.pending, true);
}

static void clear_tid(struct task *t)
{
	u32 zero = 0;

	/* Nobody is left to see it otherwise. */
	if (READ_ONCE(t->mt->mm->mm_users) > 1 &&
	    !user_write(t->clear_child_tid, &zero, sizeof(zero)))
		(void)futex_wake(t->clear_child_tid, true, 1, FUTEX_BITSET_ALL);
	t->clear_child_tid = 0;
}

void futex_exit(struct task *t)
{
	mm_assert(t == current);
	if (t->robust_list)
		walk_robust(t->robust_list);
	t->robust_list = 0;
	__atomic_store_n(&t->futex_gone, true, __ATOMIC_SEQ_CST);
	if (futex_pi_waiters())
		futex_pi_exit(t);
	if (t->clear_child_tid)
		clear_tid(t);
}

void futex_exec(struct task *t)
{
	futex_exit(t);
	__atomic_store_n(&t->futex_gone, false, __ATOMIC_SEQ_CST);
}

static s64 sys_set_robust_list(const struct sys_args *s)
{
	if (s->a[1] != sizeof(struct user_robust_head))
		return -EINVAL;
	current->robust_list = s->a[0];
	return 0;
}

static bool may_look_at(const struct task *t)
{
	const struct cred *c = &current->cred, *o = &t->cred;

	return t->proc == current->proc || capable(CAP_SYS_PTRACE) ||
	       (c->fsuid == o->uid && c->fsuid == o->euid &&
		c->fsuid == o->suid && c->fsgid == o->gid &&
		c->fsgid == o->egid && c->fsgid == o->sgid);
}

static s64 sys_get_robust_list(const struct sys_args *s)
{
	s32 tid = (s32)s->a[0];
	struct task *t = task_find(tid ? tid : current->tid);
	u64 size = sizeof(struct user_robust_head), head;
	bool may;

	if (!t)
		return -ESRCH;
	may = may_look_at(t);
	head = READ_ONCE(t->robust_list);
	task_put(t);
	if (!may)
		return -EPERM;
	if (user_write(s->a[2], &size, sizeof(size)) ||
	    user_write(s->a[1], &head, sizeof(head)))
		return -EFAULT;
	return 0;
}

static const struct syscall_def robust_calls[] = {
	{273, "set_robust_list", sys_set_robust_list},
	{274, "get_robust_list", sys_get_robust_list},
};

void futex_robust_init(void)
{
	syscall_register(robust_calls, ARRAY_SIZE(robust_calls));
}
