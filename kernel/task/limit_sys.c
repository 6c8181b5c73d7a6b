/* SPDX-License-Identifier: MIT */
/*
 * limit_sys.c - limits, and what a task may say about itself: prlimit(2),
 * prctl(2), arch_prctl(2), personality(2).
 *
 * RLIMIT_DATA, STACK, MEMLOCK and AS are the manager's (mmkit/resource.h): they
 * belong to the address space. The process keeps a copy of what was set, which
 * its files' part and getrlimit(2) read; both change together.
 *
 * Reference: getrlimit(2), prctl(2), arch_prctl(2), personality(2).
 */
#include <mmkit/memory_failure.h>
#include <mmkit/prctl.h>
#include <mmkit/resource.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "space/huge.h"
#include "space/space.h"
#include "syscall.h"
#include "task/exec.h"
#include "task/task_priv.h"
#include "vfs.h"

#define CAP_SYS_RESOURCE 24
#define RLIMIT_NOFILE	 7u
#define NR_OPEN		 1048576UL

/* ---- limits ----------------------------------------------------------------
 */

u64 rlimit_of(const struct process *p, u32 resource)
{
	return READ_ONCE(p->rlim[resource].cur);
}

u64 rlimit(u32 resource)
{
	const struct task *t = current;

	return t ? rlimit_of(t->proc, resource) : RLIM_INFINITY;
}

static bool is_memory(u32 resource)
{
	return resource == MM_RLIMIT_DATA || resource == MM_RLIMIT_STACK ||
	       resource == MM_RLIMIT_MEMLOCK || resource == MM_RLIMIT_AS;
}

/* May the current task touch the limits of P? */
static bool may_limit(const struct process *p)
{
	const struct cred *me = &current->cred, *c;
	const struct task *t;

	if (p == current->proc || capable(CAP_SYS_RESOURCE))
		return true;
	t = list_first_entry_or_null(&p->threads, struct task, group_entry);
	if (!t)
		return false;
	c = &t->cred;
	return me->uid == c->euid && me->uid == c->suid && me->uid == c->uid &&
	       me->gid == c->egid && me->gid == c->sgid && me->gid == c->gid;
}

static int limit_check(const struct krlimit *old, const struct krlimit *new,
		       u32 resource)
{
	if (new->cur > new->max)
		return -EINVAL;
	if (resource == RLIMIT_NOFILE && new->max > NR_OPEN)
		return -EPERM;
	if (new->max > old->max && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	return 0;
}

/* P's limit: *OLD, and *NEW unless NULL becomes it. MM: P's memory, or NULL. */
static int do_prlimit(struct process *p, struct mm_struct *mm, u32 resource,
		      const struct krlimit *new, struct krlimit *old)
{
	struct mm_rlimit words;
	unsigned long flags;
	int err = 0;

	task_lock(flags);
	if (!may_limit(p))
		err = -EPERM;
	*old = p->rlim[resource];
	if (!err && new)
		err = limit_check(old, new, resource);
	task_unlock(flags);
	if (err || !new)
		return err;
	if (mm && is_memory(resource)) {
		words = (struct mm_rlimit){new->cur, new->max};
		err = mm_rlimit_set(mm, (int)resource, &words);
		if (err)
			return err;
	}
	task_lock(flags);
	p->rlim[resource] = *new;
	task_unlock(flags);
	return 0;
}

static s64 prlimit_pid(s32 pid, u32 resource, const struct krlimit *new,
		       struct krlimit *old)
{
	struct mm_struct *mm;
	struct task *t;
	s64 ret;

	if (resource >= RLIM_NLIMITS)
		return -EINVAL;
	t = pid ? task_find(pid) : task_get(current);
	if (!t)
		return -ESRCH;
	mm = task_mm(t);
	ret = do_prlimit(t->proc, mm, resource, new, old);
	if (mm)
		mm_put(mm);
	task_put(t);
	return ret;
}

static s64 sys_prlimit64(const struct sys_args *s)
{
	struct krlimit new, old;
	s64 ret;

	if (s->a[2] && user_read(&new, s->a[2], sizeof(new)))
		return -EFAULT;
	ret = prlimit_pid((s32)s->a[0], (u32)s->a[1], s->a[2] ? &new : NULL,
			  &old);
	if (!ret && s->a[3])
		ret = user_write(s->a[3], &old, sizeof(old));
	return ret;
}

static s64 sys_getrlimit(const struct sys_args *s)
{
	struct krlimit old;
	s64 ret = prlimit_pid(0, (u32)s->a[0], NULL, &old);

	return ret ? ret : user_write(s->a[1], &old, sizeof(old));
}

static s64 sys_setrlimit(const struct sys_args *s)
{
	struct krlimit new, old;

	if (user_read(&new, s->a[1], sizeof(new)))
		return -EFAULT;
	return prlimit_pid(0, (u32)s->a[0], &new, &old);
}

/* ---- arch_prctl, personality -----------------------------------------------
 */

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

static s64 sys_arch_prctl(const struct sys_args *s)
{
	struct port_thread *t = current->thread;
	u64 base;

	switch ((int)s->a[0]) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (s->a[1] >= user_space_end())
			return -EPERM;
		if ((int)s->a[0] == ARCH_SET_FS)
			machine_set_fsbase(t, s->a[1]);
		else
			machine_set_gsbase(t, s->a[1]);
		return 0;
	case ARCH_GET_FS:
		base = machine_fsbase(t);
		return user_write(s->a[1], &base, sizeof(base));
	case ARCH_GET_GS:
		base = machine_gsbase(t);
		return user_write(s->a[1], &base, sizeof(base));
	default:
		return -EINVAL;
	}
}

/* What can be kept can be asked for again; only Linux's own is meant. */
#define PER_QUERY	  0xffffffffu
#define ADDR_NO_RANDOMIZE 0x0040000u
#define PER_MASK	  0xffu

static s64 sys_personality(const struct sys_args *s)
{
	struct process *p = current->proc;
	u32 old = p->personality, new = (u32)s->a[0];

	if (new == PER_QUERY)
		return old;
	/* Addresses are not random: asking for that changes nothing. */
	if (new & ~ADDR_NO_RANDOMIZE)
		return -EINVAL;
	p->personality = new;
	return old;
}

/* ---- prctl -----------------------------------------------------------------
 */

#define PR_SET_PDEATHSIG       1
#define PR_GET_PDEATHSIG       2
#define PR_GET_DUMPABLE	       3
#define PR_SET_DUMPABLE	       4
#define PR_GET_KEEPCAPS	       7
#define PR_GET_TIMING	       13
#define PR_SET_NAME	       15
#define PR_GET_NAME	       16
#define PR_GET_SECCOMP	       21
#define PR_CAPBSET_READ	       23
#define PR_CAPBSET_DROP	       24
#define PR_GET_TSC	       25
#define PR_GET_SECUREBITS      27
#define PR_SET_TIMERSLACK      29
#define PR_GET_TIMERSLACK      30
#define PR_MCE_KILL	       33
#define PR_MCE_KILL_GET	       34
#define PR_SET_MM	       35
#define PR_SET_CHILD_SUBREAPER 36
#define PR_GET_CHILD_SUBREAPER 37
#define PR_SET_NO_NEW_PRIVS    38
#define PR_GET_NO_NEW_PRIVS    39
#define PR_GET_TID_ADDRESS     40
#define PR_SET_THP_DISABLE     41
#define PR_GET_THP_DISABLE     42
#define PR_CAP_AMBIENT	       47

static struct file *fget(u32 fd, void *arg)
{
	(void)arg;
	return fd_get((int)fd);
}

static s64 prctl_name(int op, uva_t at)
{
	struct task *t = current;
	char name[MM_TASK_COMM] = {0};
	s64 len;

	if (op == PR_GET_NAME) {
		mm_memcpy(name, t->mt->comm, sizeof(name));
		return user_write(at, name, sizeof(name));
	}
	len = strncpy_from_user(t->mt->mm, name, at, sizeof(name));
	if (len < 0)
		return -EFAULT;
	name[MM_TASK_COMM - 1] = 0;
	task_set_comm(t, name);
	return 0;
}

static s64 put_int(uva_t at, u32 value)
{
	return user_write(at, &value, sizeof(value));
}

/* What concerns children, rights and dumps. */
static s64 prctl_process(const struct sys_args *s)
{
	struct task *t = current;
	struct process *p = t->proc;

	switch ((int)s->a[0]) {
	case PR_SET_PDEATHSIG:
		if (s->a[1] > NSIG)
			return -EINVAL;
		t->pdeath_signal = (u32)s->a[1];
		return 0;
	case PR_GET_PDEATHSIG:
		return put_int(s->a[1], t->pdeath_signal);
	case PR_GET_DUMPABLE:
		return p->dumpable;
	case PR_SET_DUMPABLE:
		if (s->a[1] > 1)
			return -EINVAL;
		p->dumpable = s->a[1] != 0;
		return 0;
	case PR_SET_CHILD_SUBREAPER:
		p->subreaper = s->a[1] != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return put_int(s->a[1], p->subreaper);
	case PR_SET_NO_NEW_PRIVS:
		if (s->a[1] != 1 || s->a[2] || s->a[3] || s->a[4])
			return -EINVAL;
		t->no_new_privs = true;
		return 0;
	case PR_SET_THP_DISABLE:
		if (s->a[2] || s->a[3] || s->a[4])
			return -EINVAL;
		return mm_set_thp_disable(t->mt->mm, s->a[1] != 0);
	case PR_GET_THP_DISABLE:
		if (s->a[1] || s->a[2] || s->a[3] || s->a[4])
			return -EINVAL;
		return mm_thp_disabled(t->mt->mm);
	case PR_GET_NO_NEW_PRIVS:
		if (s->a[1] || s->a[2] || s->a[3] || s->a[4])
			return -EINVAL;
		return t->no_new_privs;
	default:
		return -EINVAL;
	}
}

/* PR_MCE_KILL: CLEAR (0) or SET (1), and then which. */
static s64 prctl_mce_kill(const struct sys_args *s)
{
	if (s->a[3] | s->a[4])
		return -EINVAL;
	if (s->a[1] == 0)
		return s->a[2] ? -EINVAL : mm_mce_kill_set(PR_MCE_KILL_DEFAULT);
	if (s->a[1] != 1 || s->a[2] > PR_MCE_KILL_DEFAULT)
		return -EINVAL;
	return mm_mce_kill_set((int)s->a[2]);
}

/* The program that is shown is not written from now on, the old one may be. */
static s64 set_mm(const struct mm_set_mm *req)
{
	struct mm_struct *mm = current->mt->mm;
	struct process *p = current->proc;
	s64 ret = mm_prctl_set_mm(mm, req);
	struct file *exe = ret < 0 ? NULL : mm_exe_file_get(mm);

	if (!exe)
		return ret;
	if (exe == READ_ONCE(p->exe) || exec_deny_write(exe))
		fput(exe);
	else
		process_set_exe(p, exe);
	return ret;
}

static s64 prctl_memory(const struct sys_args *s)
{
	struct mm_set_mm req = {.op = (int)s->a[1],
				.arg3 = s->a[2],
				.arg4 = s->a[3],
				.arg5 = s->a[4],
				.fget = fget};

	switch ((int)s->a[0]) {
	case PR_SET_MM:
		return set_mm(&req);
	case PR_MCE_KILL:
		return prctl_mce_kill(s);
	case PR_SET_MEMORY_MERGE:
		if (s->a[2] | s->a[3] | s->a[4])
			return -EINVAL;
		return mm_prctl_set_memory_merge(current->mt->mm, s->a[1] != 0);
	case PR_GET_MEMORY_MERGE:
		if (s->a[1] | s->a[2] | s->a[3] | s->a[4])
			return -EINVAL;
		return mm_prctl_get_memory_merge(current->mt->mm);
	default:
		if (s->a[1] | s->a[2] | s->a[3] | s->a[4])
			return -EINVAL;
		return mm_mce_kill_get();
	}
}

static s64 sys_prctl(const struct sys_args *s)
{
	struct task *t = current;

	switch ((int)s->a[0]) {
	case PR_SET_NAME:
	case PR_GET_NAME:
		return prctl_name((int)s->a[0], s->a[1]);
	case PR_CAPBSET_READ:
	case PR_CAPBSET_DROP:
		return cred_capbset(s->a[1], (int)s->a[0] == PR_CAPBSET_DROP);
	case PR_SET_MM:
	case PR_MCE_KILL:
	case PR_MCE_KILL_GET:
	case PR_SET_MEMORY_MERGE:
	case PR_GET_MEMORY_MERGE:
		return prctl_memory(s);
	case PR_SET_TIMERSLACK:
		t->timerslack = s->a[1] ? s->a[1] : 50000;
		return 0;
	case PR_GET_TIMERSLACK:
		return (s64)t->timerslack;
	case PR_GET_TID_ADDRESS:
		return user_write(s->a[1], &t->clear_child_tid, 8);
	case PR_GET_SECCOMP: /* there is none; nor securebits, nor kept caps */
	case PR_GET_SECUREBITS:
	case PR_GET_KEEPCAPS:
	case PR_GET_TIMING:
		return 0;
	case PR_GET_TSC:
		return put_int(s->a[1], 1); /* PR_TSC_ENABLE */
	default:
		return prctl_process(s);
	}
}

void limit_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{97, "getrlimit", sys_getrlimit},
		{135, "personality", sys_personality},
		{157, "prctl", sys_prctl},
		{158, "arch_prctl", sys_arch_prctl},
		{160, "setrlimit", sys_setrlimit},
		{302, "prlimit64", sys_prlimit64},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
