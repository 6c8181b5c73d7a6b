/* SPDX-License-Identifier: MIT */
/*
 * dump_task.c - files of /proc that a kernel around the manager makes, of the
 * simulated machine: time, CPUs, and what ps(1) and top(1) ask of a task.
 *
 * 1. Purpose. Programs that look at processes find them in a directory that
 *    --dump-proc wrote, with the figures that the machine has.
 *
 * 2. Times are virtual. The machine has one border that costs anything, the
 *    fault, and does not say on which side of it time was spent: time of tasks
 *    counts as user time, time of kernel threads as the system's. It begins in
 *    1970, a second late, since ps takes 0 for no time.
 *
 * 3. Load. Linux averages the tasks that run or want to, each five seconds,
 *    over a time that a run here rarely lasts. Shown is the same average as if
 *    the tasks had run evenly since the start.
 *
 * 4. A task is the child of nobody, and its own process, group and session.
 *    It was started without arguments: its command line is its name.
 *
 * Fields that the machine has nothing for are 0, as proc(5) allows.
 *
 * Locking. A task is copied under the registry's lock and its space held.
 *
 * References: proc(5).
 */
#include "dump_task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/prctl.h>
#include <mmkit/report.h>

#include "sim.h"
#include "space/space.h"

#define NS	1000000000ull
#define TICK_NS (NS / 100)
#define LLU(x)	((unsigned long long)(x))

/* ---- the machine -----------------------------------------------------------
 */

struct load {
	u64 user, system, up; /* of all CPUs; since the start */
};

static struct load load_of(int first, int last)
{
	struct load l = {.up = port_now_ns()};

	for (int cpu = first; cpu <= last; cpu++) {
		u64 user, system;

		sim_cpu_times(cpu, &user, &system);
		l.user += user;
		l.system += system;
	}
	return l;
}

static u64 idle_of(const struct load *l, int cpus)
{
	u64 all = l->up * (u64)cpus, busy = l->user + l->system;

	return all > busy ? all - busy : 0;
}

static void put_cpu_line(struct seq_buf *out, const char *name, struct load l,
			 int cpus)
{
	seq_printf(out, "%s %llu 0 %llu %llu 0 0 0 0 0 0\n", name,
		   LLU(l.user / TICK_NS), LLU(l.system / TICK_NS),
		   LLU(idle_of(&l, cpus) / TICK_NS));
}

struct counts {
	u32 tasks, run;
	s32 last;
};

static bool count_task(struct mm_task *task, void *arg)
{
	struct sim_thread_times times = {0};
	struct counts *n = arg;

	if (task->thread)
		sim_thread_times(task->thread, &times);
	n->tasks++;
	n->run += times.runs;
	if (task->pid > n->last)
		n->last = task->pid;
	return false;
}

static void show_stat(struct seq_buf *out)
{
	int cpus = port_nr_cpus();
	struct sim_tlb_stats s;
	struct counts n = {0};

	put_cpu_line(out, "cpu ", load_of(0, cpus - 1), cpus);
	for (int cpu = 0; cpu < cpus; cpu++) {
		char name[16];

		snprintf(name, sizeof(name), "cpu%d", cpu);
		put_cpu_line(out, name, load_of(cpu, cpu), 1);
	}
	sim_tlb_stats(&s);
	task_for_each(count_task, &n);
	seq_printf(out,
		   "intr 0\nctxt %llu\nbtime 1\nprocesses %d\n"
		   "procs_running %u\nprocs_blocked 0\n",
		   LLU(s.switches), n.last, n.run);
}

static void put_seconds(struct seq_buf *out, u64 ns, const char *end)
{
	seq_printf(out, "%llu.%02llu%s", LLU(ns / NS), LLU(ns / TICK_NS % 100),
		   end);
}

static void show_uptime(struct seq_buf *out)
{
	int cpus = port_nr_cpus();
	struct load l = load_of(0, cpus - 1);

	put_seconds(out, l.up, " ");
	put_seconds(out, idle_of(&l, cpus), "\n");
}

static void show_loadavg(struct seq_buf *out)
{
	static const double minutes[] = {1, 5, 15};
	struct load l = load_of(0, port_nr_cpus() - 1);
	double t = (double)l.up / NS, even;
	struct counts n = {0};
	char text[32];

	even = l.up ? (double)(l.user + l.system) / (double)l.up : 0;
	task_for_each(count_task, &n);
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%.2f ",
			 even * (1 - exp(-t / (60 * minutes[i]))));
		seq_puts(out, text);
	}
	seq_printf(out, "%u/%u %d\n", n.run, n.tasks, n.last);
}

static void show_cpuinfo(struct seq_buf *out)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		seq_printf(out,
			   "processor\t: %d\nmodel name\t: simulated, one "
			   "thread\nphysical id\t: %d\ncore id\t\t: %d\n"
			   "cpu cores\t: 1\n\n",
			   cpu, port_cpu_node(cpu), cpu);
}

static void show_cpus(struct seq_buf *out)
{
	if (port_nr_cpus() > 1)
		seq_printf(out, "0-%d\n", port_nr_cpus() - 1);
	else
		seq_puts(out, "0\n");
}

static void show_version(struct seq_buf *out)
{
	seq_puts(out, "Linux version 6.1.0-mmkit (sim) #1 SMP\n");
}

/* ---- a task ----------------------------------------------------------------
 */

struct seen {
	s32 pid, tgid;
	u32 uid;
	char comm[MM_TASK_COMM];
	u64 min_flt, maj_flt;
	struct mm_struct *mm; /* held, or NULL */
	struct sim_thread_times times;
	bool found;
};

static bool see_task(struct mm_task *task, void *arg)
{
	struct seen *t = arg;

	if (task->pid != t->pid)
		return false;
	t->found = true;
	t->tgid = task->tgid;
	t->uid = task->uid;
	memcpy(t->comm, task->comm, sizeof(t->comm));
	t->min_flt = task->min_flt;
	t->maj_flt = task->maj_flt;
	t->mm = task->mm && mm_get_not_zero(task->mm) ? task->mm : NULL;
	if (task->thread)
		sim_thread_times(task->thread, &t->times);
	return true;
}

/* Fields 14 to 52; U and M: of the space, zeroes without one. */
static void put_stat_rest(struct seq_buf *out, const struct seen *t,
			  const struct mm_usage *u,
			  const struct prctl_mm_map *m)
{
	seq_printf(out, "%llu 0 0 0 20 0 1 0 %llu %llu %llu ",
		   LLU(t->times.run_ns / TICK_NS),
		   LLU(t->times.start_ns / TICK_NS),
		   LLU(u->total_vm << PAGE_SHIFT),
		   LLU(u->rss_anon + u->rss_file + u->rss_shmem));
	/* No limit, addresses, no signals, its CPU. */
	seq_printf(out, "%llu %llu %llu %llu 0 0 0 0 0 0 0 0 0 17 %d ", ~0ull,
		   LLU(m->start_code), LLU(m->end_code), LLU(m->start_stack),
		   t->times.cpu);
	seq_printf(out, "0 0 0 0 0 %llu %llu %llu %llu %llu %llu %llu 0\n",
		   LLU(m->start_data), LLU(m->end_data), LLU(m->start_brk),
		   LLU(m->arg_start), LLU(m->arg_end), LLU(m->env_start),
		   LLU(m->env_end));
}

static char state_of(const struct seen *t)
{
	return t->times.runs ? 'R' : 'S';
}

static void show_task_stat(const struct seen *t, struct seq_buf *out)
{
	struct prctl_mm_map m = {0};
	struct mm_usage u = {0};

	if (t->mm) {
		mm_usage_get(t->mm, &u);
		mm_prctl_map_get(t->mm, &m);
	}
	seq_printf(out, "%d (%.*s) %c 0 %d %d 0 -1 0 %llu 0 %llu 0 ", t->pid,
		   MM_TASK_COMM, t->comm, state_of(t), t->tgid, t->tgid,
		   LLU(t->min_flt), LLU(t->maj_flt));
	put_stat_rest(out, t, &u, &m);
}

/* The manager's lines from the third on, behind those of the kernel. */
static void show_task_status(const struct seen *t, struct seq_buf *out)
{
	static char text[4096];
	struct seq_buf own;
	char path[32], *vm;

	snprintf(path, sizeof(path), "/proc/%d/status", t->pid);
	seq_buf_init(&own, text, sizeof(text));
	if (mm_show(path, &own))
		text[0] = '\0';
	vm = strstr(text, "\nVmPeak:");
	seq_printf(out,
		   "Name:\t%.*s\nUmask:\t0022\nState:\t%s\nTgid:\t%d\n"
		   "Ngid:\t0\nPid:\t%d\nPPid:\t0\nTracerPid:\t0\n",
		   MM_TASK_COMM, t->comm,
		   t->times.runs ? "R (running)" : "S (sleeping)", t->tgid,
		   t->pid);
	seq_printf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t0\t0\t0\t0\nFDSize:\t0\n",
		   t->uid, t->uid, t->uid, t->uid);
	seq_puts(out, "Groups:\t \n");
	if (vm)
		seq_puts(out, vm + 1);
	seq_printf(out, "Threads:\t1\nSigQ:\t0/0\nSigPnd:\t%016x\n", 0);
	seq_printf(out, "ShdPnd:\t%016x\nSigBlk:\t%016x\n", 0, 0);
	seq_printf(out, "SigIgn:\t%016x\nSigCgt:\t%016x\n", 0, 0);
}

static void show_task_comm(const struct seen *t, struct seq_buf *out)
{
	seq_printf(out, "%.*s\n", MM_TASK_COMM, t->comm);
}

static void show_task_cmdline(const struct seen *t, struct seq_buf *out)
{
	seq_printf(out, "%.*s", MM_TASK_COMM, t->comm);
	seq_putc(out, '\0');
}

/* ---- by name ---------------------------------------------------------------
 */

static const struct {
	const char *name;
	void (*show)(struct seq_buf *out);
} system_files[] = {
	{"/proc/stat", show_stat},
	{"/proc/uptime", show_uptime},
	{"/proc/loadavg", show_loadavg},
	{"/proc/version", show_version},
	{"/proc/cpuinfo", show_cpuinfo},
	{"/sys/devices/system/cpu/online", show_cpus},
	{"/sys/devices/system/cpu/possible", show_cpus},
	{"/sys/devices/system/cpu/present", show_cpus},
};

static const struct {
	const char *name;
	void (*show)(const struct seen *t, struct seq_buf *out);
} task_files[] = {
	{"stat", show_task_stat},
	{"status", show_task_status},
	{"comm", show_task_comm},
	{"cmdline", show_task_cmdline},
};

static int show_of_task(const char *name, struct seq_buf *out)
{
	struct seen t = {0};
	int err = -ENOENT;
	char *rest;

	t.pid = (s32)strtol(name, &rest, 10);
	if (*rest++ != '/')
		return -ENOENT;
	task_for_each(see_task, &t);
	if (!t.found)
		return -ESRCH;
	for (size_t i = 0; i < ARRAY_SIZE(task_files); i++) {
		if (strcmp(task_files[i].name, rest) != 0)
			continue;
		task_files[i].show(&t, out);
		err = 0;
	}
	if (t.mm)
		mm_put(t.mm);
	return err;
}

int dump_task_show(const char *path, struct seq_buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_files); i++) {
		if (strcmp(system_files[i].name, path) != 0)
			continue;
		system_files[i].show(out);
		return 0;
	}
	if (strncmp(path, "/proc/", 6) != 0)
		return -ENOENT;
	return show_of_task(path + 6, out);
}

void dump_task_list(void (*fn)(const char *path))
{
	for (size_t i = 0; i < ARRAY_SIZE(system_files); i++)
		fn(system_files[i].name);
}
