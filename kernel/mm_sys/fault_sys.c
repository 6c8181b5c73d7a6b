// SPDX-License-Identifier: MIT
/*
 * fault_sys.c - a system call of our own: how many page faults the machine and
 * one process had. labs/10-new-call.md walks through it as an example of how a
 * call is added; uapi.h is what a program includes.
 *
 * The counts are not made here. The end of each fault counts it twice
 * (fault_account() in src/space/fault.c): in the running CPU's PGFAULT, whose
 * sum over all CPUs /proc/vmstat shows, and in the thread's min_flt or maj_flt,
 * which getrusage(2) and /proc/PID/stat sum over the threads of a process. This
 * call reads the same words, so it agrees with both.
 *
 * Like /proc/PID/stat it asks for no right: anybody may see anybody's.
 */
#include "base/string.h"
#include "mm_sys/mm_sys.h"
#include "phys/vmstat.h"
#include "uapi.h"

/* What process PID had; 0 or -ESRCH. */
static int process_faults(s32 pid, struct fault_counts *c)
{
	struct task *t = task_find(pid ? pid : current->tid);
	struct task_stat stat;

	if (!t)
		return -ESRCH;
	task_stat_get(t, &stat);
	task_put(t);
	c->process_minor = stat.min_flt;
	c->process_major = stat.maj_flt;
	return 0;
}

/* fault_counts(pid, out, size) */
static s64 sys_fault_counts(const struct sys_args *s)
{
	struct fault_counts c;
	u64 size = s->a[2];
	int err;

	if (!size || size % sizeof(u64) || size > PAGE_SIZE)
		return -EINVAL;
	err = process_faults((s32)s->a[0], &c);
	if (err)
		return err;
	c.system = sum_vm_event(PGFAULT);
	c.system_major = sum_vm_event(PGMAJFAULT);
	err = user_write(s->a[1], &c, min(size, (u64)sizeof(c)));
	if (!err && size > sizeof(c) &&
	    clear_user(current->mt->mm, s->a[1] + sizeof(c), size - sizeof(c)))
		err = -EFAULT;
	return err;
}

void fault_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{NR_FAULT_COUNTS, "fault_counts", sys_fault_counts},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
