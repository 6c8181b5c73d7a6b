/* SPDX-License-Identifier: MIT */
/*
 * proc_stat.c - /proc/PID/stat, status and io.
 *
 * The lines of memory are the report's (src/report/proc_status.c), put between
 * the others in Linux's order. Fields that this kernel has nothing for are 0
 * where proc(5) says that they may be.
 *
 * References: proc(5).
 */
#include <mmkit/mempolicy.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/prctl.h>
#include <mmkit/report.h>

#include "base/string.h"
#include "phys/mmzone.h"
#include "procfs/proc_task.h"
#include "task/task_priv.h"

#define TICK_NS 10000000UL
#ifndef RLIMIT_RSS
#define RLIMIT_RSS 5
#endif
#ifndef RLIMIT_SIGPENDING
#define RLIMIT_SIGPENDING 11
#endif

struct stat_mm {
	u64 vsize, rss;
	struct prctl_mm_map map;
	bool has;
};

static void mm_part(struct task *t, struct stat_mm *m)
{
	struct mm_struct *mm = task_mm(t);
	struct mm_usage u;

	*m = (struct stat_mm){0};
	if (!mm)
		return;
	mm_usage_get(mm, &u);
	m->vsize = u.total_vm << PAGE_SHIFT;
	m->rss = u.rss_anon + u.rss_file + u.rss_shmem;
	mm_prctl_map_get(mm, &m->map);
	m->has = true;
	mm_put(mm);
}

/* Fields 3 to 24. */
static void put_first(struct seq_buf *out, const struct task_stat *s,
		      const struct stat_mm *m)
{
	seq_printf(out, "%c %d %d %d %d %d 0 %llu %llu %llu %llu ", s->state,
		   s->ppid, s->pgid, s->sid, s->tty_nr, s->tpgid,
		   LLU(s->min_flt), LLU(s->cmin_flt), LLU(s->maj_flt),
		   LLU(s->cmaj_flt));
	seq_printf(out, "%llu %llu %llu %llu %d %d %d 0 %llu %llu %llu ",
		   LLU(s->utime / TICK_NS), LLU(s->stime / TICK_NS),
		   LLU(s->cutime / TICK_NS), LLU(s->cstime / TICK_NS),
		   20 + s->nice, s->nice, s->nr_threads,
		   LLU(s->start_ns / TICK_NS), LLU(m->vsize), LLU(m->rss));
}

/* Fields 25 to 52; ADDR: the reader may know addresses. */
static void put_second(struct seq_buf *out, const struct task_stat *s,
		       const struct stat_mm *m, u64 rsslim, bool addr)
{
	struct prctl_mm_map none = {0};
	const struct prctl_mm_map *p = addr ? &m->map : &none;

	seq_printf(out, "%llu %llu %llu %llu 0 0 %llu %llu %llu %llu ",
		   LLU(rsslim), LLU(p->start_code), LLU(p->end_code),
		   LLU(p->start_stack), LLU(s->sigpnd), LLU(s->blocked),
		   LLU(s->ignored), LLU(s->caught));
	seq_printf(out, "%d 0 0 %d %d 0 0 0 0 0 ", addr && s->wchan,
		   s->exit_signal, s->cpu);
	seq_printf(out, "%llu %llu %llu %llu %llu %llu %llu 0\n",
		   LLU(p->start_data), LLU(p->end_data), LLU(p->start_brk),
		   LLU(p->arg_start), LLU(p->arg_end), LLU(p->env_start),
		   LLU(p->env_end));
}

int show_task_stat(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);
	struct task_stat s;
	struct stat_mm m;
	u64 rsslim;
	bool addr;

	if (!t)
		return -ESRCH;
	task_stat_get(t, &s);
	if (n->key.tid)
		task_stat_own(t, &s);
	mm_part(t, &m);
	rsslim = t->proc->rlim[RLIMIT_RSS].cur;
	addr = may_ptrace(t) == 0;
	task_put(t);
	seq_printf(out, "%d (%.*s) ", n->key.tid ? s.tid : s.tgid, MM_TASK_COMM,
		   s.comm);
	put_first(out, &s, &m);
	put_second(out, &s, &m, rsslim, addr);
	return 0;
}

/* ---- status ----------------------------------------------------------------
 */

static const char *state_name(char state)
{
	switch (state) {
	case 'R':
		return "R (running)";
	case 'D':
		return "D (disk sleep)";
	case 'T':
		return "T (stopped)";
	case 't':
		return "t (tracing stop)";
	case 'Z':
		return "Z (zombie)";
	default:
		return "S (sleeping)";
	}
}

static void put_ids(struct seq_buf *out, const struct pnode *n,
		    const struct task_stat *s, u32 slots)
{
	const struct cred *c = &s->cred;

	seq_printf(out, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n",
		   state_name(s->state), s->tgid,
		   n->key.tid ? s->tid : s->tgid);
	seq_printf(out, "PPid:\t%d\nTracerPid:\t%d\n", s->ppid, s->tracer);
	seq_printf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid,
		   c->euid, c->suid, c->fsuid, c->gid, c->egid, c->sgid,
		   c->fsgid);
	seq_printf(out, "FDSize:\t%u\nGroups:\t", slots);
	for (u32 i = 0; i < c->nr_groups; i++)
		seq_printf(out, "%u ", c->groups[i]);
	seq_puts(out, c->nr_groups ? "\n" : " \n");
}

/* The report's lines from "VmPeak" on. */
struct cut {
	struct seq_buf *out;
	char line[96];
	u32 len;
};

static void cut_line(struct cut *c)
{
	c->line[c->len] = '\0';
	if (mm_strncmp(c->line, "Name:", 5) && mm_strncmp(c->line, "Pid:", 4))
		seq_puts(c->out, c->line);
	c->len = 0;
}

static void cut_take(void *arg, const char *text, size_t len)
{
	struct cut *c = arg;

	for (size_t i = 0; i < len; i++) {
		if (c->len < sizeof(c->line) - 1)
			c->line[c->len++] = text[i];
		if (text[i] == '\n')
			cut_line(c);
	}
}

static void put_vm(struct seq_buf *out, s32 tid)
{
	struct cut c = {.out = out};
	char piece[128], path[32];
	struct seq_buf from;

	seq_buf_init_sink(&from, piece, sizeof(piece), cut_take, &c);
	(void)mm_scnprintf(path, sizeof(path), "/proc/%d/status", tid);
	if (mm_show(path, &from) == 0)
		seq_buf_flush(&from);
}

static void put_signals(struct seq_buf *out, const struct task_stat *s,
			u64 queued, u64 limit)
{
	const struct cred *c = &s->cred;

	seq_printf(out, "Threads:\t%d\nSigQ:\t%llu/%llu\n", s->nr_threads,
		   LLU(queued), LLU(limit));
	seq_printf(out, "SigPnd:\t%016llx\nShdPnd:\t%016llx\n", LLU(s->sigpnd),
		   LLU(s->shdpnd));
	seq_printf(out, "SigBlk:\t%016llx\nSigIgn:\t%016llx\n", LLU(s->blocked),
		   LLU(s->ignored));
	seq_printf(out, "SigCgt:\t%016llx\nCapInh:\t%016llx\n", LLU(s->caught),
		   LLU(c->cap_inheritable));
	seq_printf(out, "CapPrm:\t%016llx\nCapEff:\t%016llx\n",
		   LLU(c->cap_permitted), LLU(c->cap_effective));
	seq_printf(out, "CapBnd:\t%016llx\nCapAmb:\t%016llx\n",
		   LLU(c->cap_bset), 0ULL);
	seq_printf(out, "NoNewPrivs:\t%d\nSeccomp:\t0\n", s->no_new_privs);
}

static void put_places(struct seq_buf *out, const struct port_cpumask *cpus)
{
	u64 nodes = 0;
	const pg_data_t *pgdat;

	for_each_online_pgdat(pgdat) nodes |= 1UL << pgdat->node_id;
	seq_puts(out, "Cpus_allowed:\t");
	put_mask(out, cpus->bits, (u32)port_nr_cpus());
	seq_puts(out, "\nCpus_allowed_list:\t");
	put_list(out, cpus->bits, (u32)port_nr_cpus());
	seq_puts(out, "\nMems_allowed:\t");
	put_mask(out, &nodes, MM_MAX_NODES);
	seq_puts(out, "\nMems_allowed_list:\t");
	put_list(out, &nodes, MM_MAX_NODES);
	seq_putc(out, '\n');
}

int show_task_status(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);
	struct port_cpumask cpus = {0};
	u64 sigq, queued;
	struct task_stat s;
	u32 umask, slots;
	s32 tid;

	if (!t)
		return -ESRCH;
	task_stat_get(t, &s);
	tid = t->tid;
	sigq = t->proc->rlim[RLIMIT_SIGPENDING].cur;
	queued = t->user ? READ_ONCE(t->user->sigpending) : 0;
	umask = task_umask(t);
	slots = task_fd_slots(t);
	if (!t->dead)
		machine_get_affinity(t->thread, &cpus);
	task_put(t);
	seq_printf(out, "Name:\t%.*s\nUmask:\t%04o\n", MM_TASK_COMM, s.comm,
		   umask);
	put_ids(out, n, &s, slots);
	put_vm(out, tid);
	seq_puts(out, "CoreDumping:\t0\n");
	put_signals(out, &s, queued, sigq);
	put_places(out, &cpus);
	seq_printf(out,
		   "voluntary_ctxt_switches:\t%llu\n"
		   "nonvoluntary_ctxt_switches:\t%llu\n",
		   LLU(s.nvcsw), LLU(s.nivcsw));
	return 0;
}

/* ---- io
 * ------------------------------------------------------------------ */

int show_task_io(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);
	struct mm_task_io io;

	if (!t)
		return -ESRCH;
	task_io_get(t, n->key.tid != 0, &io);
	task_put(t);
	seq_printf(out, "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\n",
		   LLU(io.rchar), LLU(io.wchar), LLU(io.syscr), LLU(io.syscw));
	seq_printf(out,
		   "read_bytes: %llu\nwrite_bytes: %llu\n"
		   "cancelled_write_bytes: %llu\n",
		   LLU(io.read_bytes), LLU(io.write_bytes),
		   LLU(io.cancelled_write_bytes));
	return 0;
}
