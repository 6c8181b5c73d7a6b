/* SPDX-License-Identifier: MIT */
/*
 * record_lackey.c - reads what valgrind's lackey prints.
 *
 * 1. Purpose. With --trace-mem, --trace-syscalls and --trace-sched a process
 *    prints, in the order of its execution:
 *	I  0401ab70,3			an instruction fetch
 *	 L|S|M 1fff000718,8		a load, store, both
 *	SYSCALL[pid,tid](nr) name ( args ) --> [pre-success] Success(0x..)
 *	SYSCALL[pid,tid](nr) name ( args )[sync] --> Failure(0x..)
 *	SYSCALL[pid,tid](nr) name ( args ) --> [async] ...
 *	SYSCALL[pid,tid](nr) ... [async] --> Success(0x..)
 *	--pid--   SCHED[tid]: acquired lock (..) | exiting VG_(scheduler)
 *	==pid== Command: ...		at start and after exec
 *    sometimes with a result on the next line, or two of these on one line.
 * 2. Structures. A process has an address space, file descriptors by name,
 *    and threads by valgrind's number; of each thread the call that it is in.
 * 3. Invariants. Every live thread has a task in the trace; the thread that
 *    acquired the lock last is the one that references belong to.
 * 4. Locking: none. Order of several processes: see cmd_record.c.
 * 5. Life: a process appears when its parent's text says "created child" (or
 *    as the first), and ends by lackey_end().
 * 6. Failure: lines that make no sense are counted and skipped.
 * 7. Complexity: linear in the text.
 * 8. Rejected: sscanf per line (ten times slower than the tracer).
 */
#include "record_lackey.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- processes and threads
 * -------------------------------------------------------- */

struct lackey *lackey_new(struct recorder *r, bool live,
			  int (*lost)(void *arg, pid_t pid), void *arg)
{
	struct lackey *l = calloc(1, sizeof(*l));

	if (l)
		*l = (struct lackey){
			.r = r, .live = live, .lost = lost, .arg = arg};
	return l;
}

u64 lackey_garbage(const struct lackey *l)
{
	return l->garbage;
}

u64 lackey_unseen(const struct lackey *l)
{
	return l->unseen;
}

static void proc_free(struct lackey *l, struct lackey_proc *p)
{
	for (u32 i = 0; i < THREADS_MAX; i++)
		free(p->threads[i]);
	rec_fds_free(p->fds);
	rec_mm_put(l->r, p->mm);
	free(p);
}

void lackey_free(struct lackey *l)
{
	struct lackey_proc *p, *next;

	if (!l)
		return;
	for (p = l->procs; p; p = next) {
		next = p->next;
		proc_free(l, p);
	}
	free(l);
}

static struct lackey_proc *find_proc(struct lackey *l, pid_t pid)
{
	struct lackey_proc *p = l->procs;

	while (p && (p->pid != pid || p->ended))
		p = p->next;
	return p;
}

static struct lackey_proc *proc_new(struct lackey *l, pid_t pid)
{
	struct lackey_proc *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->pid = pid;
	p->running = 1;
	p->next_sample = 1 << 18;
	p->next = l->procs;
	l->procs = p;
	return p;
}

struct lackey_proc *lackey_proc(struct lackey *l, pid_t pid)
{
	struct lackey_proc *p = find_proc(l, pid);

	if (p || l->procs)
		return p;
	p = proc_new(l, pid);
	if (!p)
		return NULL;
	p->mm = rec_mm_new();
	p->has_task = true;
	return p->mm ? p : NULL;
}

/* Thread TID of P, made if it is new; NULL: no such number, or no memory. */
static struct thread *thread_get(struct lackey_proc *p, u32 tid)
{
	if (tid >= THREADS_MAX)
		return NULL;
	if (!p->threads[tid]) {
		p->threads[tid] = calloc(1, sizeof(struct thread));
		if (p->threads[tid])
			p->threads[tid]->nr = -1;
	}
	return p->threads[tid];
}

static int fork_record(struct lackey *l, u32 flags, u32 *child)
{
	struct trace_rec rec = {.type = TRACE_FORK};
	int ret;

	*child = rec.fork.child = ++l->r->next_task;
	rec.fork.flags = flags;
	ret = rec_write(l->r, &rec);
	return ret;
}

/* Some live task of P other than that of T, which may be NULL. */
static u32 some_task(const struct lackey_proc *p, const struct thread *t)
{
	for (u32 i = 0; i < THREADS_MAX; i++)
		if (p->threads[i] && p->threads[i]->live && p->threads[i] != t)
			return p->threads[i]->task;
	return t ? t->task : p->first_task;
}

/* T is about to run: it must be a task and the current one. */
static int thread_run(struct lackey *l, struct lackey_proc *p, struct thread *t)
{
	int ret;

	if (t->live)
		return rec_switch(l->r, t->task);
	if (p->has_task) { /* the process' first thread */
		p->has_task = false;
		t->task = p->main_task;
		t->live = true;
		return rec_switch(l->r, t->task);
	}
	ret = rec_switch(l->r, some_task(p, t));
	if (!ret)
		ret = fork_record(l, TRACE_CLONE_VM | TRACE_CLONE_THREAD,
				  &t->task);
	t->live = !ret;
	return ret ? ret : rec_switch(l->r, t->task);
}

static int thread_exit(struct lackey *l, struct thread *t, s32 status)
{
	struct trace_rec rec = {.type = TRACE_EXIT, .exit_status = status};
	int ret;

	if (!t->live)
		return 0;
	ret = rec_switch(l->r, t->task);
	t->live = false;
	return ret ? ret : rec_write(l->r, &rec);
}

static u32 live_threads(const struct lackey_proc *p)
{
	u32 n = 0;

	for (u32 i = 0; i < THREADS_MAX; i++)
		n += p->threads[i] && p->threads[i]->live;
	return n;
}

/* ---- the initial map
 * ------------------------------------------------------------------ */

/* Is this line of /proc/PID/maps the program's own, not valgrind's? */
static bool is_client(u64 start, const char *prot, const char *path)
{
	if (strstr(path, "/valgrind/") || path[0] == '[')
		return false;
	if (start >= 0x1ff0000000 && start < 0x2000000000)
		return true;
	if (start >= 0x58000000)
		return false;
	return path[0] || strncmp(prot, "rwx", 3) != 0;
}

static u32 prot_bits(const char *prot)
{
	return (prot[0] == 'r' ? TRACE_PROT_READ : 0) |
	       (prot[1] == 'w' ? TRACE_PROT_WRITE : 0) |
	       (prot[2] == 'x' ? TRACE_PROT_EXEC : 0);
}

/* One line of the map at the start. */
static int start_map(struct lackey *l, struct lackey_proc *p, char *line)
{
	struct trace_map m = {.kind = TRACE_KIND_ANON,
			      .how = TRACE_HOW_START,
			      .flags = TRACE_MF_FIXED,
			      .file = TRACE_NO_ID,
			      .open = TRACE_NO_ID};
	unsigned long long start, end, off;
	char prot[8], *path;
	int ret = 0, used = 0;

	line[strcspn(line, "\n")] = 0;
	if (sscanf(line, "%llx-%llx %7s %llx %*s %*s %n", &start, &end, prot,
		   &off, &used) < 4 ||
	    !used)
		return 0;
	path = line + used;
	if (!is_client(start, prot, path))
		return 0;
	m.start = start;
	m.pages = (u32)((end - start) / PAGE_SIZE);
	m.prot = prot_bits(prot);
	if (start >= 0x1ff0000000) {
		m.kind = TRACE_KIND_STACK;
		m.flags = TRACE_MF_GROWSDOWN;
		m.grown_pages = m.pages;
		m.pages = max(m.pages, RECORD_STACK_PAGES);
		m.start = end - m.pages * PAGE_SIZE;
	}
	if (path[0]) {
		m.kind = TRACE_KIND_FILE;
		m.file_page = off / PAGE_SIZE;
		ret = rec_file_id(l->r, path,
				  (m.file_page + m.pages) * PAGE_SIZE, &m.file);
	}
	if (prot[3] == 's')
		m.flags |= TRACE_MF_SHARED;
	return ret ? ret : rec_map(l->r, p->mm, &m);
}

/* The process has just begun to run: its segments and stack. */
static int read_maps(struct lackey *l, struct lackey_proc *p)
{
	char name[64], *line = NULL;
	size_t room = 0;
	FILE *f;
	int ret = 0;

	p->want_maps = false;
	snprintf(name, sizeof(name), "/proc/%d/maps", (int)p->pid);
	f = fopen(name, "re");
	if (!f)
		return 0;
	while (!ret && getline(&line, &room, f) > 0)
		ret = start_map(l, p, line);
	free(line);
	fclose(f);
	return ret ? ret : lackey_inherited(l, p);
}

/* ---- calls
 * ------------------------------------------------------------------------------
 */

/* The process PID that P can wait for, or NULL. */
static struct lackey_proc *find_child(struct lackey *l,
				      const struct lackey_proc *p, pid_t pid)
{
	struct lackey_proc *c = l->procs;

	while (c && (c->pid != pid || c->reaped || c == p))
		c = c->next;
	return c;
}

/* A child was waited for: its text comes first, all of it. */
static int did_wait(struct lackey *l, struct lackey_proc *p, pid_t pid)
{
	struct lackey_proc *c = find_child(l, p, pid);
	struct trace_rec rec = {.type = TRACE_WAIT};
	struct thread *t = p->threads[p->running];
	int ret = 0;

	if (!c)
		return 0;
	rec.child = c->first_task;
	c->reaped = true;
	if (!c->ended && l->lost)
		ret = l->lost(l->arg, pid);
	if (!ret)
		ret = lackey_end(l, c, -1);
	if (!ret && t)
		ret = thread_run(l, p, t);
	return ret ? ret : rec_write(l->r, &rec);
}

/* Thread T's call has a result. */
static int call_done(struct lackey *l, struct lackey_proc *p, struct thread *t,
		     u64 value, bool ok)
{
	u32 err = ok ? 0 : (u32)min(value, (u64)4095);
	int ret;

	if (t->nr < 0)
		return 0;
	if (t->nr == SYS_execve || t->nr == SYS_execveat)
		p->execing = false;
	ret = thread_run(l, p, t);
	if (!ret)
		ret = lackey_call_done(l, p, t, value, err);
	if (!ret && ok && t->nr == SYS_wait4)
		ret = did_wait(l, p, (pid_t)value);
	t->nr = -1;
	return ret;
}

/* ---- fork and exec
 * ------------------------------------------------------------------------ */

static int forked(struct lackey *l, struct lackey_proc *p, pid_t pid)
{
	struct thread *t = thread_get(p, p->running);
	struct lackey_proc *c;
	int ret;

	if (!t || pid <= 0)
		return 0;
	ret = thread_run(l, p, t);
	c = ret ? NULL : proc_new(l, pid);
	if (!c)
		return ret ? ret : -ENOMEM;
	c->mm = rec_mm_copy(p->mm);
	if (!c->mm)
		return -ENOMEM;
	p->mm->gen++;
	c->running = p->running;
	c->has_task = true;
	c->started = true;
	ret = rec_fds_copy(l->r, c->fds, p->fds);
	if (ret)
		return ret;
	ret = fork_record(l, 0, &c->first_task);
	c->main_task = c->first_task;
	return ret;
}

/* The task that goes on after an exec: the first one, or who called. */
static u32 exec_task(const struct lackey_proc *p)
{
	const struct thread *t = p->threads[p->running];

	for (u32 i = 0; i < THREADS_MAX; i++)
		if (p->threads[i] && p->threads[i]->live &&
		    p->threads[i]->task == p->first_task)
			return p->first_task;
	return t && t->live ? t->task : some_task(p, NULL);
}

/* P runs another program now: one thread, an empty address space. */
static int execed(struct lackey *l, struct lackey_proc *p, char *name)
{
	struct trace_rec rec = {.type = TRACE_EXEC, .exec.name = name};
	u32 keep = p->has_task ? p->main_task : exec_task(p);
	int ret = 0;

	for (u32 i = 0; i < THREADS_MAX && !ret; i++) {
		struct thread *t = p->threads[i];

		if (t && t->live && t->task != keep)
			ret = thread_exit(l, t, 0);
		if (t)
			t->live = false;
	}
	if (!ret)
		ret = rec_switch(l->r, keep);
	if (!ret)
		ret = rec_fds_close(l->r, p->fds, true);
	if (!ret)
		ret = rec_write(l->r, &rec);
	rec_mm_put(l->r, p->mm);
	p->mm = rec_mm_new();
	p->running = 1;
	p->has_task = true;
	p->main_task = keep;
	return ret ? ret : p->mm ? 0 : -ENOMEM;
}

static int command_line(struct lackey *l, struct lackey_proc *p, char *name)
{
	int ret = 0;

	if (p->started && !p->execing)
		return 0; /* a forked child's log begins with it, too */
	if (p->started)
		ret = execed(l, p, name);
	p->started = true;
	p->execing = false;
	p->want_maps = l->live;
	return ret;
}

/* ---- lines
 * ----------------------------------------------------------------------------------
 */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* "hexaddr,size": true if it is that and nothing else. */
static bool parse_ref(const char *s, u64 *addr, u32 *size)
{
	u64 a = 0;
	u32 n = 0;
	int d, digits = 0;

	for (; (d = hex_digit(*s)) >= 0 && digits < 16; s++, digits++)
		a = a << 4 | (u64)d;
	if (!digits || *s++ != ',' || !isdigit((u8)*s))
		return false;
	for (; isdigit((u8)*s) && n < 1u << 20; s++)
		n = n * 10 + (u32)(*s - '0');
	*addr = a;
	*size = n;
	return !*s && n && n <= 1u << 16 &&
	       a < (u64)RECORD_MAX_PAGES * PAGE_SIZE;
}

static int sample(struct lackey *l, struct lackey_proc *p)
{
	p->next_sample = p->mm->now + min(p->mm->now, (u64)1 << 24);
	return l->live && l->r->sample ? rec_sample(l->r, p->mm, p->pid) : 0;
}

static int ref_line(struct lackey *l, struct lackey_proc *p, const char *line)
{
	struct thread *t = thread_get(p, p->running);
	u32 size, access = TRACE_X;
	u64 addr;
	int ret;

	if (line[0] == ' ')
		access = line[1] == 'L'	  ? TRACE_R
			 : line[1] == 'S' ? TRACE_W
					  : TRACE_R | TRACE_W;
	if (!t || line[2] != ' ' || !parse_ref(line + 3, &addr, &size)) {
		l->garbage++;
		return 0;
	}
	if (!t->live || t->task != l->r->cur) {
		ret = thread_run(l, p, t);
		if (ret)
			return ret;
	}
	ret = rec_ref(l->r, p->mm, addr, size, access);
	if (!ret && p->mm->now >= p->next_sample)
		ret = sample(l, p);
	return ret;
}

/* The numbers between the brackets of a call, and the last string. */
static void parse_args(struct thread *t, const char *s)
{
	memset(t->args, 0, sizeof(t->args));
	t->path[0] = t->first[0] = 0;
	for (int i = 0; i < ARGS_MAX; i++) {
		char *end;

		s += strspn(s, " ,");
		if (!isdigit((u8)*s))
			return;
		t->args[i] = strtoull(s, &end, 0);
		s = end;
		if (*s == '(') {
			size_t n = strcspn(s + 1, ")");

			memcpy(t->first, t->path, sizeof(t->first));
			snprintf(t->path, sizeof(t->path), "%.*s",
				 (int)min(n, (size_t)511), s + 1);
			s += n + 1 + (s[n + 1] == ')');
		}
		s += strcspn(s, ",)");
		if (*s != ',')
			return;
	}
}

/* "Success(0x..)" or "Failure(0x..)" in S: the call of T is over. */
static int result_in(struct lackey *l, struct lackey_proc *p, struct thread *t,
		     const char *s)
{
	const char *ok = strstr(s, "Success(0x");
	const char *no = ok ? NULL : strstr(s, "Failure(0x");

	if (!t || (!ok && !no))
		return 0;
	return call_done(l, p, t, strtoull((ok ? ok : no) + 8, NULL, 16), ok);
}

/* "SYSCALL[pid,tid](nr) ..." from S on. */
static int call_line(struct lackey *l, struct lackey_proc *p, char *s)
{
	unsigned pid, tid;
	int nr, used = 0;
	struct thread *t;
	char *child;
	int ret = 0;

	if (sscanf(s, "SYSCALL[%u,%u](%d)%n", &pid, &tid, &nr, &used) < 3 ||
	    !used || !(t = thread_get(p, tid))) {
		l->garbage++;
		return 0;
	}
	s += used;
	p->called = tid;
	if (!strncmp(s, " ... [async]", 12))
		return result_in(l, p, t, s);
	t->nr = nr;
	s += strcspn(s, "(");
	parse_args(t, s + (*s == '('));
	if (nr == SYS_exit_group)
		p->status = (s32)(t->args[0] & 0xff);
	p->execing = nr == SYS_execve || nr == SYS_execveat;
	child = strstr(s, "created child ");
	if (child)
		ret = forked(l, p, (pid_t)atoi(child + 14));
	return ret ? ret : result_in(l, p, t, s);
}

/* "SCHED[tid]: what" from S on. */
static int sched_line(struct lackey *l, struct lackey_proc *p, const char *s)
{
	unsigned tid;
	struct thread *t;

	if (sscanf(s, "SCHED[%u]:", &tid) < 1 || !(t = thread_get(p, tid))) {
		l->garbage++;
		return 0;
	}
	if (strstr(s, "acquired lock")) {
		p->running = tid;
	} else if (strstr(s, "entering VG_(scheduler)")) {
		int ret = thread_run(l, p, t);

		return ret || !p->want_maps ? ret : read_maps(l, p);
	} else if (strstr(s, "exiting VG_(scheduler)") && live_threads(p) > 1) {
		return thread_exit(l, t, 0);
	}
	return 0;
}

/* Anything but a reference; several may stand on one line. */
static int other_line(struct lackey *l, struct lackey_proc *p, char *s)
{
	char *call = strstr(s, "SYSCALL["), *sched = strstr(s, "SCHED[");
	char *cmd = strstr(s, "== Command: ");
	char *child = call ? NULL : strstr(s, "created child ");
	int ret = 0;

	if (cmd)
		return command_line(l, p, cmd + 12);
	if (!call && !sched && !child && !strstr(s, " --> [") &&
	    strncmp(s, "SCHEDSETJMP", 11) && strncmp(s, "==", 2) &&
	    strncmp(s, "--", 2) && *s)
		l->garbage++;
	if (child)
		ret = forked(l, p, (pid_t)atoi(child + 14));
	if (!ret && !call)
		ret = result_in(l, p, thread_get(p, p->called), s);
	if (!ret && call)
		ret = call_line(l, p, call);
	if (!ret && sched)
		ret = sched_line(l, p, sched);
	return ret;
}

static int one_line(struct lackey *l, struct lackey_proc *p, char *s)
{
	if (s[0] == 'I' && s[1] == ' ')
		return ref_line(l, p, s);
	if (s[0] == ' ' && s[1] && strchr("LSM", s[1]) && s[2] == ' ')
		return ref_line(l, p, s);
	return other_line(l, p, s);
}

/* Complete the line in the buffer with N bytes at S; without them if too long.
 */
static int take_line(struct lackey *l, struct lackey_proc *p, const char *s,
		     size_t n)
{
	bool skip = p->skip || p->fill + n >= LINE_MAX_LEN;

	if (!skip) {
		memcpy(p->line + p->fill, s, n);
		p->line[p->fill + n] = 0;
	}
	p->fill = 0;
	p->skip = false;
	if (skip) {
		l->garbage++;
		return 0;
	}
	return one_line(l, p, p->line);
}

int lackey_text(struct lackey *l, struct lackey_proc *p, const char *text,
		size_t len)
{
	const char *end = text + len, *nl;
	int ret;

	if (p->ended)
		return 0;
	while ((nl = memchr(text, '\n', (size_t)(end - text)))) {
		ret = take_line(l, p, text, (size_t)(nl - text));
		if (ret)
			return ret;
		text = nl + 1;
	}
	len = (size_t)(end - text);
	if (p->fill + len >= LINE_MAX_LEN) {
		p->skip = true;
		p->fill = 0;
	} else if (!p->skip) {
		memcpy(p->line + p->fill, text, len);
		p->fill += len;
	}
	return 0;
}

int lackey_end(struct lackey *l, struct lackey_proc *p, int status)
{
	s32 st = status >= 0 ? status : p->status;
	int ret = 0;

	if (p->ended)
		return 0;
	if (p->fill || p->skip)
		ret = take_line(l, p, "", 0);
	if (!ret && p->has_task) /* it never ran */
		ret = thread_run(l, p, thread_get(p, p->running));
	if (!ret && live_threads(p)) { /* who exits closes all */
		ret = rec_switch(l->r, some_task(p, NULL));
		if (!ret)
			ret = rec_fds_close(l->r, p->fds, false);
	}
	for (u32 i = 0; i < THREADS_MAX && !ret; i++)
		if (p->threads[i])
			ret = thread_exit(l, p->threads[i], st);
	p->ended = true;
	return ret;
}
