/* SPDX-License-Identifier: MIT */
/*
 * oom_report.c - what is told of memory that is out.
 *
 * Line by line what Linux 6.1 prints, so that who reads such reports, or a
 * program that looks for them in a log, finds each figure where it is expected:
 * who wanted what, the machine's memory or the group's, the processes, the line
 * "oom-kill:", and who was killed. A process is one line, whatever threads it
 * has. Groups are called by their names; one that nobody named, by its number.
 *
 * Nothing is allocated: there is no memory. Paths of groups that are longer
 * than OOM_PATH are cut, and so are those of more than 16 groups.
 *
 * The register of processes is locked while it is printed, so that none goes
 * meanwhile; their figures are read without locks.
 *
 * Reference: reports of Linux 6.1 as it prints them (tests/data/linux/oom.txt).
 */
#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "memcg/memcg.h"
#include "phys/page_debug.h"
#include "policy/oom_priv.h"
#include "policy/policy.h"
#include "space/space.h"

#define REPORT_WINDOW_NS (5UL * 1000 * 1000 * 1000)
#define REPORT_BURST	 10

bool oom_report_allowed(void)
{
	u64 now = port_now_ns();

	if (!policy_sys.report_nr ||
	    now - policy_sys.report_since_ns >= REPORT_WINDOW_NS) {
		policy_sys.report_since_ns = now;
		policy_sys.report_nr = 0;
	}
	return policy_sys.report_nr++ < REPORT_BURST;
}

static bool dump_task(struct mm_task *task, void *arg)
{
	const struct mm_struct *mm = task->mm;

	if (!oom_task_below(task, arg))
		return false;
	pr_info("[%7d] %5u %5d %8llu %8llu %8llu %8llu         %5d %s\n",
		task->pid, READ_ONCE(task->uid), task->tgid,
		(unsigned long long)mm->total_vm,
		(unsigned long long)mm_rss(mm),
		(unsigned long long)mm->pt.table_bytes,
		(unsigned long long)mm_counter_get(mm, MM_SWAPENTS),
		task->oom_score_adj, task->comm);
	return false;
}

static unsigned long long kib(u64 pages)
{
	return (unsigned long long)pages * (PAGE_SIZE / 1024);
}

/* What the group at its limit has. */
static void dump_group(struct memcg *m)
{
	void (*stat)(struct memcg *) = READ_ONCE(policy_sys.group_report);
	char path[OOM_PATH];

	pr_info("memory: usage %llukB, limit %llukB, failcnt %llu\n",
		kib(memcg_usage(&m->memory)), kib(READ_ONCE(m->memory.max)),
		(unsigned long long)READ_ONCE(m->events_local[MEMCG_MAX]));
	pr_info("swap: usage %llukB, limit %llukB, failcnt %llu\n",
		kib(memcg_usage(&m->swap)), kib(READ_ONCE(m->swap.max)),
		(unsigned long long)READ_ONCE(m->events_local[MEMCG_SWAP_MAX]));
	pr_info("Memory cgroup stats for %s:\n",
		memcg_path(m, path, sizeof(path)));
	if (stat)
		stat(m);
}

void oom_dump_header(const struct oom_choice *c, gfp_t gfp, unsigned int order)
{
	const struct mm_task *task = port_current();
	char flags[256];
	struct seq_buf s;

	seq_buf_init(&s, flags, sizeof(flags));
	name_gfp(&s, gfp);
	pr_warn("%s invoked oom-killer: gfp_mask=%#x(%s), order=%u, "
		"oom_score_adj=%d\n",
		task->comm, gfp, seq_buf_str(&s), order, task->oom_score_adj);
	pr_warn("CPU: %d PID: %d Comm: %s\n", port_cpu(), task->pid,
		task->comm);
	if (c->root)
		dump_group(c->root);
	else
		show_free_areas(c->nodes);
	if (!READ_ONCE(policy_sys.oom_dump_tasks))
		return;
	pr_info("Tasks state (memory values in pages):\n");
	pr_info("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents "
		"oom_score_adj name\n");
	process_for_each(dump_task, c->root);
}

enum oom_constraint oom_constrained(const struct oom_choice *c)
{
	if (c->root)
		return CONSTRAINT_MEMCG;
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		const pg_data_t *pgdat = NODE_DATA(nid);

		if (pgdat && pgdat->node_present_pages &&
		    !(c->nodes & NODE_MASK(nid)))
			return CONSTRAINT_POLICY;
	}
	return CONSTRAINT_NONE;
}

/* NODES as a list: "0-1,3"; "(null)": all of them. */
static void nodes_text(nodemask_t nodes, bool all, char *buf, size_t size)
{
	struct seq_buf s;

	seq_buf_init(&s, buf, size - 1);
	for (int i = 0, end; i < MM_MAX_NODES && !all; i = end + 1) {
		end = i;
		if (!(nodes & NODE_MASK(i)))
			continue;
		while (end + 1 < MM_MAX_NODES && (nodes & NODE_MASK(end + 1)))
			end++;
		seq_printf(&s, "%s%d", s.len ? "," : "", i);
		if (end > i)
			seq_printf(&s, "-%d", end);
	}
	if (all)
		seq_puts(&s, "(null)");
	buf[s.len] = 0;
}

void oom_report_constraint(const struct oom_choice *c)
{
	static const char *const names[] = {"CONSTRAINT_NONE",
					    "CONSTRAINT_MEMORY_POLICY",
					    "CONSTRAINT_MEMCG"};
	enum oom_constraint why = oom_constrained(c);
	nodemask_t online = 0;
	char nodes[64], mems[64], path[OOM_PATH],
		limit[OOM_PATH + 16] = "global_oom";
	pg_data_t *pgdat;

	for_each_online_pgdat(pgdat) online |= NODE_MASK(pgdat->node_id);
	nodes_text(c->nodes, why != CONSTRAINT_POLICY, nodes, sizeof(nodes));
	nodes_text(online, false, mems, sizeof(mems));
	if (c->root)
		mm_snprintf(limit, sizeof(limit), "oom_memcg=%s",
			    memcg_path(c->root, path, sizeof(path)));
	pr_info("oom-kill:constraint=%s,nodemask=%s,cpuset=/,mems_allowed=%s,"
		"%s,task_memcg=%s,task=%s,pid=%d,uid=%u\n",
		names[why], nodes, mems, limit, c->group, c->comm, c->pid,
		c->uid);
}

/* What PID, COMM of UID, and its space were. */
struct victim {
	const struct mm_struct *mm;
	s32 pid;
	u32 uid;
	const char *comm;
	int oom_score_adj;
};

static void print_kill(const char *why, const struct victim *v, char *line,
		       size_t size)
{
	mm_snprintf(line, size,
		    "Killed process %d (%s) total-vm:%llukB, anon-rss:%llukB, "
		    "file-rss:%llukB, shmem-rss:%llukB",
		    v->pid, v->comm, kib(v->mm->total_vm),
		    kib(mm_counter_get(v->mm, MM_ANONPAGES)),
		    kib(mm_counter_get(v->mm, MM_FILEPAGES)),
		    kib(mm_counter_get(v->mm, MM_SHMEMPAGES)));
	pr_err("%s: %s, UID:%u pgtables:%llukB oom_score_adj:%d\n", why, line,
	       v->uid, (unsigned long long)v->mm->pt.table_bytes / 1024,
	       v->oom_score_adj);
}

void oom_report_kill(const struct oom_choice *c, const struct mm_task *task)
{
	struct victim v = {c->mm, c->pid, c->uid, c->comm, c->oom_score_adj};
	const char *why =
		c->root ? "Memory cgroup out of memory" : "Out of memory";
	char *kept = policy_sys.last_oom, line[sizeof(policy_sys.last_oom)];
	size_t len;

	if (task) {
		v = (struct victim){task->mm, task->pid, READ_ONCE(task->uid),
				    task->comm, task->oom_score_adj};
		print_kill(why, &v, line, sizeof(line));
		return;
	}
	/* Whoever asks how the run ended wants to know of swap, too. */
	print_kill(why, &v, kept, sizeof(line));
	len = mm_strlen(kept);
	mm_snprintf(kept + len, sizeof(line) - len, ", swap:%llukB",
		    kib(mm_counter_get(c->mm, MM_SWAPENTS)));
}

void oom_report_together(const struct memcg *group)
{
	char path[OOM_PATH];

	pr_info("Tasks in %s are going to be killed due to memory.oom.group "
		"set\n",
		memcg_path(group, path, sizeof(path)));
}

void oom_report_reaped(const struct oom_name *who, const struct mm_struct *mm,
		       bool reaped)
{
	pr_info("oom_reaper: %s process %d (%s), now anon-rss:%llukB, "
		"file-rss:%llukB, shmem-rss:%llukB\n",
		reaped ? "reaped" : "unable to reap", who->pid, who->comm,
		kib(mm_counter_get(mm, MM_ANONPAGES)),
		kib(mm_counter_get(mm, MM_FILEPAGES)),
		kib(mm_counter_get(mm, MM_SHMEMPAGES)));
}
