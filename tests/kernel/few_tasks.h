/* SPDX-License-Identifier: MIT */
/*
 * few_tasks.h - what /proc asks of kernel/task, answered without it: one
 * process, whose number is 1, that may have a second thread, and may be gone.
 */
#ifndef TESTS_KERNEL_FEW_TASKS_H
#define TESTS_KERNEL_FEW_TASKS_H

#include "fs_machine.h"

#include "event.h"
#include "procfs/procfs.h"
#include "task/task_priv.h"

static bool ended; /* process 1 is gone */
MM_UNUSED static void (*born_or_gone)(s32 parent, s32 child);
MM_UNUSED static u64 asleep_at; /* where it sleeps */
MM_UNUSED static struct mm_task other, second_mt;
static bool two; /* process 1 has a second thread */
static struct task second = {.tid = 2, .mt = &second_mt, .proc = &ft.proc};

KT_WEAK struct task_state task_sys;

KT_WEAK struct process *process_find(s32 tgid)
{
	return tgid == 1 && !ended ? &ft.proc : NULL;
}
KT_WEAK void process_put(struct process *p)
{
	(void)p;
}
KT_WEAK struct task *task_find(s32 tid)
{
	if (tid == 2 && two)
		return &second;
	return tid == 1 && !ended ? &ft.task : NULL;
}
KT_WEAK void task_put(struct task *t)
{
	(void)t;
}
KT_WEAK struct process *process_next(s32 after)
{
	return after < 1 ? process_find(1) : NULL;
}
KT_WEAK struct task *task_next(struct process *p, s32 after)
{
	(void)p;
	return after < 2 ? task_find(after < 1 ? 1 : 2) : NULL;
}
KT_WEAK struct files_struct *task_files(struct task *t)
{
	return files_get(t->files);
}
KT_WEAK struct fs_struct *task_fs(struct task *t)
{
	return fs_get(t->fs);
}
KT_WEAK struct mm_struct *task_mm(struct task *t)
{
	mm_get(t->mt->mm);
	return t->mt->mm;
}
KT_WEAK int may_ptrace(struct task *t)
{
	(void)t;
	return current->cred.uid ? -EPERM : 0;
}
KT_WEAK void task_on_life(void (*fn)(s32 parent, s32 child))
{
	born_or_gone = fn;
}
KT_WEAK void task_set_comm(struct task *t, const char *name)
{
	snprintf(t->mt->comm, sizeof(t->mt->comm), "%s", name);
}
KT_WEAK int process_set_oom_score_adj(struct process *p, int adj)
{
	if (adj < -1000 || adj > 1000)
		return -EINVAL;
	p->oom_score_adj = adj;
	return 0;
}
/* The freezer's: the only task is told, and rests at once if the test says so.
 */
static bool rests;
KT_WEAK bool task_freeze(struct task *t, bool on)
{
	bool news = t->freeze != on;

	t->freeze = on;
	t->frozen = on && rests;
	return news;
}
KT_WEAK bool task_resting(struct task *t)
{
	return t->frozen;
}
KT_WEAK void task_on_rest(void (*fn)(struct task *t))
{
	(void)fn;
}
KT_WEAK const char *uts_hostname(void)
{
	return "thehost";
}
KT_WEAK void task_counts_get(struct task_counts *out)
{
	*out = (struct task_counts){
		.forks = 77, .threads = 5, .processes = 3, .last_pid = 99};
}
KT_WEAK void task_stat_get(struct task *t, struct task_stat *out)
{
	*out = (struct task_stat){.comm = "a b) c",
				  .tid = t->tid,
				  .tgid = 1,
				  .state = 'R',
				  .wchan = asleep_at,
				  .nr_threads = 1,
				  .utime = 1230000000,
				  .start_ns = 4560000000,
				  .cred = t->cred};
}
/* A thread's own are others than its process's. */
KT_WEAK void task_stat_own(struct task *t, struct task_stat *out)
{
	(void)t;
	out->utime = 40000000;
	out->stime = 20000000;
	out->min_flt = 7;
	out->start_ns = 9990000000;
}
/* A thread's own, or with 1000 of each, of threads that are gone. */
KT_WEAK void task_io_get(struct task *t, bool own, struct mm_task_io *out)
{
	*out = t->mt->io;
	out->rchar += own ? 0 : 1000;
	out->cancelled_write_bytes += own ? 0 : 1000;
}
/* Of sockets there is test_unix.c. */
KT_WEAK void sock_show_unix(struct seq_buf *out)
{
	seq_puts(out, "of unix\n");
}
KT_WEAK void sock_show_inet(struct seq_buf *out, bool v6, u32 type)
{
	seq_printf(out, "of inet %d %u\n", v6, type);
}
KT_WEAK void sock_show_sums(struct seq_buf *out, bool v6)
{
	seq_printf(out, "sums %d\n", v6);
}
KT_WEAK void sock_show_protocols(struct seq_buf *out)
{
	seq_puts(out, "protocols\n");
}
KT_WEAK void sock_show_devices(struct seq_buf *out)
{
	seq_puts(out, "devices\n");
}
KT_WEAK void syscall_show(struct seq_buf *out)
{
	seq_puts(out, "read 5\n");
}

#endif
