/* SPDX-License-Identifier: MIT */
/*
 * proc_status.c - /proc/PID/status and statm: the sums of one address space.
 *
 * The manager knows a task's name, number and memory; identity, signals and
 * scheduling are the kernel's around it, which adds its lines.
 */
#include "report/proc_pid.h"
#include "space/huge.h"

static void put_kb(struct seq_buf *out, const char *name, u64 kb)
{
	seq_printf(out, "%s:\t%8llu kB\n", name, LLU(kb));
}

static void put_pages(struct seq_buf *out, const char *name, u64 pages)
{
	put_kb(out, name, pages << (PAGE_SHIFT - 10));
}

static u64 rss(const struct mm_usage *u)
{
	return u->rss_anon + u->rss_file + u->rss_shmem;
}

static void put_memory(struct seq_buf *out, const struct mm_usage *u)
{
	/* The program's own; what else has code are libraries. */
	u64 text = min(u->text, u->exec_vm);

	put_pages(out, "VmPeak", max(u->hiwater_vm, u->total_vm));
	put_pages(out, "VmSize", u->total_vm);
	put_pages(out, "VmLck", u->locked_vm);
	put_pages(out, "VmPin", 0);
	put_pages(out, "VmHWM", max(u->hiwater_rss, rss(u)));
	put_pages(out, "VmRSS", rss(u));
	put_pages(out, "RssAnon", u->rss_anon);
	put_pages(out, "RssFile", u->rss_file);
	put_pages(out, "RssShmem", u->rss_shmem);
	put_pages(out, "VmData", u->data_vm);
	put_pages(out, "VmStk", u->stack_vm);
	put_pages(out, "VmExe", text);
	put_pages(out, "VmLib", u->exec_vm - text);
	put_kb(out, "VmPTE", u->table_bytes >> 10);
	put_pages(out, "VmSwap", u->swap);
	put_kb(out, "HugetlbPages", 0);
}

void show_pid_status(const struct proc_task *t, struct seq_buf *out)
{
	struct mm_usage u;

	seq_printf(out, "Name:\t%s\n", t->comm);
	seq_printf(out, "Pid:\t%d\n", t->pid);
	if (!t->mm)
		return;
	mm_usage_get(t->mm, &u);
	put_memory(out, &u);
	seq_printf(out, "THP_enabled:\t%d\n", !mm_thp_disabled(t->mm));
}

void show_pid_statm(const struct proc_task *t, struct seq_buf *out)
{
	struct mm_usage u = {0};

	if (t->mm)
		mm_usage_get(t->mm, &u);
	/* size, resident, shared, text, (lib), data with stack, (dirty) */
	seq_printf(out, "%llu %llu %llu %llu 0 %llu 0\n", LLU(u.total_vm),
		   LLU(rss(&u)), LLU(u.rss_file + u.rss_shmem), LLU(u.text),
		   LLU(u.data_vm + u.stack_vm));
}
