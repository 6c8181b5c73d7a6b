/* SPDX-License-Identifier: MIT */
/*
 * proc_task.c - /proc/PID and /proc/PID/task/TID: which task, and the files
 * that tell of it and are not the memory manager's.
 *
 * 1. Purpose. What ps(1), top(1) and programs about themselves read, as
 *    proc(5) describes it, in the layout of Linux 6.1.
 *
 * 2. A node keeps numbers; each function finds the process anew, and when it
 *    started tells a number that is used again (PT-1: no text is of another
 *    process than the one that was opened: -ESRCH).
 *
 * 3. Rights. What shows memory or names of files asks may_ptrace().
 *
 * 4. Locking. None held: tasks and address spaces by references.
 *
 * References: proc(5); Linux documentation, filesystems/proc.
 */
#include "procfs/proc_task.h"
#include "procfs/cgroup.h"

#include <mmkit/ksm.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/prctl.h>
#include <mmkit/report.h>
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "base/string.h"
#include "cache/swap.h"
#include "policy/policy.h"
#include "space/space.h"
#include "task/coredump.h"

/* ---- the task --------------------------------------------------------------
 */

struct task *pkey_task(const struct pkey *key)
{
	struct process *p = process_find(key->pid);
	struct task *t = NULL;

	if (!p)
		return NULL;
	if (p->start_ns == key->start)
		t = key->tid ? task_find(key->tid) : task_find(key->pid);
	/* The first thread may have ended before the others. */
	if (!t && !key->tid && p->start_ns == key->start)
		t = task_next(p, 0);
	if (t && t->proc != p) {
		task_put(t);
		t = NULL;
	}
	process_put(p);
	return t;
}

void proc_owner(const struct pkey *key, u32 *uid, u32 *gid)
{
	struct task *t = pkey_task(key);

	if (!t)
		return;
	*uid = t->cred.euid;
	*gid = t->cred.egid;
	task_put(t);
}

int task_may_look(const struct pnode *n)
{
	struct task *t = pkey_task(&n->key);
	int err;

	if (!t)
		return -ESRCH;
	err = may_ptrace(t) ? -EACCES : 0;
	task_put(t);
	return err;
}

struct mm_struct *pnode_mm(const struct pnode *n)
{
	struct task *t = pkey_task(&n->key);
	struct mm_struct *mm = t ? task_mm(t) : NULL;

	if (t)
		task_put(t);
	return mm;
}

/* ---- the report's files ----------------------------------------------------
 */

/* "/proc/12/maps" for the entry's source "maps"; false: it has ended. */
static bool report_path(const struct pnode *n, char path[48])
{
	struct task *t = pkey_task(&n->key);

	if (!t)
		return false;
	(void)mm_scnprintf(path, 48, "/proc/%d/%s", t->tid, n->e->source);
	task_put(t);
	return true;
}

static int show_report(const struct pnode *n, struct seq_buf *out)
{
	char path[48];
	int err = -ESRCH;

	if (report_path(n, path))
		err = mm_show(path, out);
	return err;
}

/* What ended meanwhile has no more to say. */
static int show_report_next(const struct pnode *n, u64 *at, struct seq_buf *out)
{
	char path[48];
	int ret = *at ? 0 : -ESRCH;

	if (report_path(n, path)) {
		ret = mm_show_next(path, at, out);
		ret = ret == -ESRCH && *at ? 0 : ret;
	}
	return ret;
}

static s64 read_report(const struct pnode *n, u64 off, void *buf, size_t len)
{
	char path[48];

	return report_path(n, path) ? mm_read(path, off, buf, len) : -ESRCH;
}

static s64 write_report(const struct pnode *n, const char *text, size_t len)
{
	char path[48];

	return report_path(n, path) ? mm_write(path, text, len) : -ESRCH;
}

/* ---- memory of the process -------------------------------------------------
 */

#define COPY_PIECE 256u

/* Bytes [START, END) of MM as they are. How many. */
static u64 put_memory(struct mm_struct *mm, struct seq_buf *out, u64 start,
		      u64 end)
{
	char piece[COPY_PIECE];
	u64 at = start;

	while (at < end) {
		u64 n = access_process_vm(
			mm, at, piece, min(end - at, (u64)COPY_PIECE), false);

		if (!n)
			break;
		seq_write(out, piece, n);
		at += n;
	}
	return at - start;
}

static int show_area(const struct pnode *n, struct seq_buf *out)
{
	struct mm_struct *mm = pnode_mm(n);
	struct prctl_mm_map m;

	if (!mm)
		return 0;
	mm_prctl_map_get(mm, &m);
	if (n->e->arg)
		(void)put_memory(mm, out, m.env_start, m.env_end);
	else
		(void)put_memory(mm, out, m.arg_start, m.arg_end);
	mm_put(mm);
	return 0;
}

static int show_auxv(const struct pnode *n, struct seq_buf *out)
{
	struct mm_struct *mm = pnode_mm(n);
	u64 words[MM_AUXV_WORDS];
	u32 nr;

	if (!mm)
		return 0;
	nr = mm_auxv_get(mm, words, MM_AUXV_WORDS);
	seq_write(out, (const char *)words, nr * sizeof(u64));
	mm_put(mm);
	return 0;
}

static s64 read_mem(const struct pnode *n, u64 off, void *buf, size_t len)
{
	struct mm_struct *mm = pnode_mm(n);
	u64 got;

	if (!mm)
		return 0;
	got = ptrace_access_vm(mm, off, buf, len, false);
	mm_put(mm);
	return got ? (s64)got : -EIO;
}

static s64 write_mem(const struct pnode *n, u64 off, const void *buf,
		     size_t len)
{
	struct mm_struct *mm = pnode_mm(n);
	u64 got;

	if (!mm)
		return 0;
	got = ptrace_access_vm(mm, off, (void *)(uintptr_t)buf, len, true);
	mm_put(mm);
	return got ? (s64)got : -EIO;
}

/* ---- names and limits ------------------------------------------------------
 */

static int show_comm(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);

	if (!t)
		return -ESRCH;
	seq_printf(out, "%.*s\n", MM_TASK_COMM, t->mt->comm);
	task_put(t);
	return 0;
}

static s64 write_comm(const struct pnode *n, const char *text, size_t len)
{
	struct task *t = pkey_task(&n->key);
	char name[MM_TASK_COMM] = {0};

	if (!t)
		return -ESRCH;
	/* proc(5): threads of the same process only. */
	if (!current || t->proc != current->proc) {
		task_put(t);
		return -EINVAL;
	}
	mm_memcpy(name, text, min(len, sizeof(name) - 1));
	for (u32 i = 0; i < sizeof(name); i++)
		if (name[i] == '\n')
			name[i] = '\0';
	task_set_comm(t, name);
	task_put(t);
	return (s64)len;
}

static int show_limits(const struct pnode *n, struct seq_buf *out)
{
	static const struct {
		const char *name, *unit;
	} rows[RLIM_NLIMITS] = {
		{"Max cpu time", "seconds"},
		{"Max file size", "bytes"},
		{"Max data size", "bytes"},
		{"Max stack size", "bytes"},
		{"Max core file size", "bytes"},
		{"Max resident set", "bytes"},
		{"Max processes", "processes"},
		{"Max open files", "files"},
		{"Max locked memory", "bytes"},
		{"Max address space", "bytes"},
		{"Max file locks", "locks"},
		{"Max pending signals", "signals"},
		{"Max msgqueue size", "bytes"},
		{"Max nice priority", ""},
		{"Max realtime priority", ""},
		{"Max realtime timeout", "us"},
	};
	struct task *t = pkey_task(&n->key);
	struct krlimit lim[RLIM_NLIMITS];

	if (!t)
		return -ESRCH;
	mm_memcpy(lim, t->proc->rlim, sizeof(lim));
	task_put(t);
	seq_printf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit",
		   "Hard Limit", "Units");
	for (u32 i = 0; i < RLIM_NLIMITS; i++) {
		char cur[24] = "unlimited", hard[24] = "unlimited";

		if (lim[i].cur != RLIM_INFINITY)
			(void)mm_scnprintf(cur, sizeof(cur), "%llu",
					   LLU(lim[i].cur));
		if (lim[i].max != RLIM_INFINITY)
			(void)mm_scnprintf(hard, sizeof(hard), "%llu",
					   LLU(lim[i].max));
		seq_printf(out, "%-25s %-20s %-20s %-10s\n", rows[i].name, cur,
			   hard, rows[i].unit);
	}
	return 0;
}

/* ---- the OOM killer's ------------------------------------------------------
 */

/* -1000 .. 1000 on the old scale of -17 .. 15. */
static int old_adj(int adj)
{
	return adj == 1000 ? 15 : adj * 17 / 1000;
}

static int new_adj(int old)
{
	return old == 15 ? 1000 : old * 1000 / 17;
}

static int show_oom_adj(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);
	int adj;

	if (!t)
		return -ESRCH;
	adj = t->proc->oom_score_adj;
	task_put(t);
	seq_printf(out, "%d\n", n->e->arg ? old_adj(adj) : adj);
	return 0;
}

static bool parse_int(const char *text, size_t len, int *out)
{
	bool minus = len && *text == '-';
	size_t i = minus;
	int v = 0;

	while (len > i && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	if (i == len)
		return false;
	for (; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || v > 100000)
			return false;
		v = v * 10 + (text[i] - '0');
	}
	*out = minus ? -v : v;
	return true;
}

#define CAP_SYS_RESOURCE 24

static s64 write_oom_adj(const struct pnode *n, const char *text, size_t len)
{
	struct task *t;
	int adj, err;

	if (!parse_int(text, len, &adj))
		return -EINVAL;
	if (n->e->arg && (adj < -17 || adj > 15))
		return -EINVAL;
	if (n->e->arg)
		adj = new_adj(adj);
	t = pkey_task(&n->key);
	if (!t)
		return -ESRCH;
	if (adj < t->proc->oom_score_adj && !capable(CAP_SYS_RESOURCE))
		err = -EACCES;
	else
		err = process_set_oom_score_adj(t->proc, adj);
	task_put(t);
	return err ? err : (s64)len;
}

/* core(5): which mappings a core holds. */
static int show_core_filter(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);

	if (!t)
		return -ESRCH;
	seq_printf(out, "%08x\n", READ_ONCE(t->proc->core_filter));
	task_put(t);
	return 0;
}

/* A number as C has them: 0x1f, 017, 15. */
static bool core_filter_parse(const char *s, u64 *bits)
{
	u32 base = 10;

	if (s[0] == '0' && (s[1] | 0x20) == 'x') {
		base = 16;
		s += 2;
	} else if (s[0] == '0') {
		base = 8;
	}
	*bits = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		u32 d = (u32)(*s >= 'a'	  ? *s - 'a' + 10
			      : *s >= 'A' ? *s - 'A' + 10
					  : *s - '0');

		if (d >= base)
			return false;
		*bits = *bits * base + d;
	}
	return true;
}

static s64 write_core_filter(const struct pnode *n, const char *text,
			     size_t len)
{
	struct task *t;
	char word[16];
	u64 bits;

	if (!pseudo_line(text, len, word, sizeof(word)) ||
	    !core_filter_parse(word, &bits))
		return -EINVAL;
	t = pkey_task(&n->key);
	if (!t)
		return -ESRCH;
	WRITE_ONCE(t->proc->core_filter, (u32)bits & CORE_FILTER_MASK);
	task_put(t);
	return (s64)len;
}

/* What the OOM killer would gain, in thousandths of all memory, moved and
 * scaled as Linux shows it: 0 .. 2000, without a wish about 667. */
static int show_oom_score(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);
	u64 total = totalram_pages() + READ_ONCE(cache_sys.total_swap_pages);
	u64 bad;

	if (!t)
		return -ESRCH;
	/* Under this lock a task leaves its space. */
	spin_lock(&space_sys.lock);
	bad = oom_badness(t->mt);
	spin_unlock(&space_sys.lock);
	task_put(t);
	seq_printf(
		out, "%llu\n",
		LLU(bad ? (1000 + bad * 1000 / max(total, 1UL)) * 2 / 3 : 0));
	return 0;
}

static int show_cgroup(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);
	int err;

	if (!t)
		return -ESRCH;
	err = cgroup_show_task(t, out);
	task_put(t);
	return err;
}

/* ---- links -----------------------------------------------------------------
 */

static struct file *exe_of(const struct pnode *n)
{
	struct mm_struct *mm = pnode_mm(n);
	struct file *file = mm ? mm_exe_file_get(mm) : NULL;

	if (mm)
		mm_put(mm);
	return file;
}

static s64 readlink_exe(const struct pnode *n, char *buf, size_t size)
{
	struct file *file;
	s64 len = task_may_look(n);

	if (len)
		return len;
	file = exe_of(n);
	if (!file)
		return -ENOENT;
	len = file_readlink(file, buf, size);
	fput(file);
	return len;
}

static int link_exe(const struct pnode *n, struct dentry **out)
{
	struct file *file;
	int err = task_may_look(n);

	if (err)
		return err;
	file = exe_of(n);
	if (!file)
		return -ENOENT;
	err = file_link(file, out);
	fput(file);
	return err;
}

/* ---- smaller ones ----------------------------------------------------------
 */

static int show_wchan(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);
	struct task_stat s = {0};

	if (!t)
		return -ESRCH;
	if (may_ptrace(t) == 0)
		task_stat_get(t, &s);
	task_put(t);
	if (!kernel_symbol_name(s.wchan, out))
		seq_putc(out, '0');
	return 0;
}

static int show_personality(const struct pnode *n, struct seq_buf *out)
{
	struct task *t = pkey_task(&n->key);

	if (!t)
		return -ESRCH;
	seq_printf(out, "%08x\n", t->proc->personality);
	task_put(t);
	return 0;
}

static int show_mounts_of(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	vfs_show_mounts(out);
	return 0;
}

static int show_mountinfo(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	vfs_show_mountinfo(out);
	return 0;
}

/* ---- equal pages -----------------------------------------------------------
 */

/* entry->arg: ksm_merging_pages alone. */
static int show_ksm_stat(const struct pnode *n, struct seq_buf *out)
{
	struct mm_struct *mm = pnode_mm(n);
	struct mm_ksm_usage u;

	if (!mm)
		return 0;
	mm_ksm_usage(mm, &u);
	mm_put(mm);
	if (n->e->arg) {
		seq_printf(out, "%llu\n", LLU(u.merging_pages));
		return 0;
	}
	seq_printf(out,
		   "ksm_rmap_items %llu\nksm_zero_pages %llu\n"
		   "ksm_merging_pages %llu\nksm_process_profit %lld\n",
		   LLU(u.rmap_items), LLU(u.zero_pages), LLU(u.merging_pages),
		   (long long)u.profit);
	seq_printf(out, "ksm_merge_any: %s\nksm_mergeable: %s\n",
		   u.merge_any ? "yes" : "no", u.mergeable ? "yes" : "no");
	return 0;
}

/* ---- the tables ------------------------------------------------------------
 */

#define TEXT(n, f)                                           \
	{                                                    \
		.name = n, .mode = S_IFREG | 0444, .show = f \
	}
#define REPORT(n, m)                                                   \
	{                                                              \
		.name = n, .mode = S_IFREG | (m), .show = show_report, \
		.source = n                                            \
	}
#define REPORT_MM(n, m)                                                \
	{                                                              \
		.name = n, .mode = S_IFREG | (m), .show = show_report, \
		.source = n, .may_open = task_may_look                 \
	}
#define REPORT_LONG(n, m)                                                   \
	{                                                                   \
		.name = n, .mode = S_IFREG | (m), .next = show_report_next, \
		.source = n, .may_open = task_may_look                      \
	}

#define COMMON_ENTRIES                                                         \
	TEXT("stat", show_task_stat), TEXT("status", show_task_status),        \
		REPORT("statm", 0444), REPORT_LONG("maps", 0444),              \
		REPORT_LONG("smaps", 0444), REPORT_MM("smaps_rollup", 0444),   \
		REPORT_MM("numa_maps", 0444),                                  \
		{.name = "pagemap",                                            \
		 .mode = S_IFREG | 0400,                                       \
		 .read = read_report,                                          \
		 .source = "pagemap",                                          \
		 .may_open = task_may_look},                                   \
		{.name = "clear_refs",                                         \
		 .mode = S_IFREG | 0200,                                       \
		 .write = write_report,                                        \
		 .source = "clear_refs",                                       \
		 .may_open = task_may_look},                                   \
		TEXT("cmdline", show_area),                                    \
		{.name = "environ",                                            \
		 .mode = S_IFREG | 0400,                                       \
		 .show = show_area,                                            \
		 .arg = 1,                                                     \
		 .may_open = task_may_look},                                   \
		{.name = "auxv",                                               \
		 .mode = S_IFREG | 0400,                                       \
		 .show = show_auxv,                                            \
		 .may_open = task_may_look},                                   \
		{.name = "mem",                                                \
		 .mode = S_IFREG | 0600,                                       \
		 .read = read_mem,                                             \
		 .pwrite = write_mem,                                          \
		 .may_open = task_may_look},                                   \
		{.name = "comm",                                               \
		 .mode = S_IFREG | 0644,                                       \
		 .show = show_comm,                                            \
		 .write = write_comm},                                         \
		TEXT("limits", show_limits),                                   \
		{.name = "io",                                                 \
		 .mode = S_IFREG | 0400,                                       \
		 .show = show_task_io,                                         \
		 .may_open = task_may_look},                                   \
		{.name = "ns", .mode = S_IFDIR | 0511, .dir = &proc_ns_dir},   \
		{.name = "net", .mode = S_IFDIR | 0555, .dir = &proc_net_dir}, \
		{.name = "oom_score_adj",                                      \
		 .mode = S_IFREG | 0644,                                       \
		 .show = show_oom_adj,                                         \
		 .write = write_oom_adj},                                      \
		{.name = "oom_adj",                                            \
		 .mode = S_IFREG | 0644,                                       \
		 .arg = 1,                                                     \
		 .show = show_oom_adj,                                         \
		 .write = write_oom_adj},                                      \
		TEXT("oom_score", show_oom_score),                             \
		{.name = "coredump_filter",                                    \
		 .mode = S_IFREG | 0644,                                       \
		 .show = show_core_filter,                                     \
		 .write = write_core_filter},                                  \
		TEXT("cgroup", show_cgroup),                                   \
		{.name = "ksm_merging_pages",                                  \
		 .mode = S_IFREG | 0400,                                       \
		 .show = show_ksm_stat,                                        \
		 .arg = 1,                                                     \
		 .may_open = task_may_look},                                   \
		{.name = "ksm_stat",                                           \
		 .mode = S_IFREG | 0400,                                       \
		 .show = show_ksm_stat,                                        \
		 .may_open = task_may_look},                                   \
		{.name = "exe",                                                \
		 .mode = S_IFLNK | 0777,                                       \
		 .readlink = readlink_exe,                                     \
		 .get_link = link_exe},                                        \
		{.name = "cwd",                                                \
		 .mode = S_IFLNK | 0777,                                       \
		 .readlink = readlink_fs,                                      \
		 .get_link = link_fs},                                         \
		{.name = "root",                                               \
		 .mode = S_IFLNK | 0777,                                       \
		 .arg = 1,                                                     \
		 .readlink = readlink_fs,                                      \
		 .get_link = link_fs},                                         \
		{.name = "fd", .mode = S_IFDIR | 0500, .dir = &proc_fd_dir},   \
		{.name = "fdinfo",                                             \
		 .mode = S_IFDIR | 0500,                                       \
		 .dir = &proc_fdinfo_dir},                                     \
		TEXT("mounts", show_mounts_of),                                \
		TEXT("mountinfo", show_mountinfo), TEXT("wchan", show_wchan),  \
	{                                                                      \
		.name = "personality", .mode = S_IFREG | 0400,                 \
		.show = show_personality, .may_open = task_may_look            \
	}

static const struct pentry tid_entries[] = {COMMON_ENTRIES};
static const struct pdir tid_dir = PDIR(tid_entries);
static const struct pentry tid_entry = {.mode = S_IFDIR | 0555,
					.dir = &tid_dir};

static const struct pentry *tid_find(const struct pkey *key, const char *name,
				     struct pkey *child)
{
	s64 tid = pseudo_number(name, INT32_MAX);
	struct task *t;

	if (tid <= 0)
		return NULL;
	child->tid = (s32)tid;
	t = pkey_task(child);
	(void)key;
	if (!t)
		return NULL;
	task_put(t);
	return &tid_entry;
}

static const struct pentry *tid_next(const struct pkey *key, u64 *cursor,
				     char *name)
{
	struct process *p = process_find(key->pid);
	struct task *t = NULL;

	if (p && p->start_ns == key->start)
		t = task_next(p, (s32)*cursor);
	if (p)
		process_put(p);
	if (!t)
		return NULL;
	*cursor = (u64)t->tid;
	(void)mm_scnprintf(name, PNAME_MAX, "%d", t->tid);
	task_put(t);
	return &tid_entry;
}

static const struct pdir task_dir = {.find = tid_find, .next = tid_next};

static const struct pentry pid_entries[] = {
	COMMON_ENTRIES,
	{.name = "map_files", .mode = S_IFDIR | 0500, .dir = &proc_map_dir},
	{.name = "task", .mode = S_IFDIR | 0555, .dir = &task_dir},
};
static const struct pdir pid_dir = PDIR(pid_entries);
static const struct pentry pid_entry = {.mode = S_IFDIR | 0555,
					.dir = &pid_dir};

const struct pentry *pid_find(const struct pkey *key, const char *name,
			      struct pkey *child)
{
	s64 pid = pseudo_number(name, INT32_MAX);
	struct process *p;
	struct task *t;

	(void)key;
	if (pid <= 0)
		return NULL;
	p = process_find((s32)pid);
	if (!p) {
		/* A thread's number leads to its process, unlisted. */
		t = task_find((s32)pid);
		if (!t)
			return NULL;
		child->pid = t->proc->tgid;
		child->start = t->proc->start_ns;
		task_put(t);
		return &pid_entry;
	}
	child->pid = (s32)pid;
	child->start = p->start_ns;
	process_put(p);
	return &pid_entry;
}

const struct pentry *pid_next(const struct pkey *key, u64 *cursor, char *name)
{
	struct process *p = process_next((s32)*cursor);

	(void)key;
	if (!p)
		return NULL;
	*cursor = (u64)p->tgid;
	(void)mm_scnprintf(name, PNAME_MAX, "%d", p->tgid);
	process_put(p);
	return &pid_entry;
}
