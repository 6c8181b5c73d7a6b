/* SPDX-License-Identifier: MIT */
/*
 * exec.c - execve(2), execveat(2): another program in the same process.
 *
 * 1. Everything that can fail is done in an address space that is nobody's
 *    yet: arguments are copied from the old program's memory straight to the
 *    new stack, the file is mapped, the tables are written. Only then do the
 *    other threads end and the task changes spaces. A caller that gets an
 *    error still has its program, all of its threads but in one case: killed
 *    while it waited for them it dies as well.
 *
 * 2. The strings fill the stack from its top downwards: the path, the
 *    environment, the arguments. An interpreter line (#!) takes the first
 *    argument away and puts others in front, then the interpreter is loaded in
 *    the script's place.
 *
 * 3. While a program runs nobody may open it for writing (ETXTBSY): vnode's
 *    count of writers is below zero. The process holds one denial with its
 *    reference to the file.
 *
 * Reference: execve(2), execveat(2), credentials(7), signal(7).
 */
#include <mmkit/mman.h>
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "cache/filemap.h"
#include "event.h"
#include "ktime.h"
#include "space/space.h"
#include "syscall.h"
#include "task/exec.h"
#include "task/ptrace.h"
#include "vfs.h"

#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EMPTY_PATH	    0x1000
#define RLIMIT_STACK	    3

#define STACK_FIRST (132UL << 10) /* what a stack begins with */
#define ARGS_LEAST  (128UL << 10)
#define ARGS_MOST   (6UL << 20)

/* ---- files -----------------------------------------------------------------
 */

int exec_read(struct file *file, void *to, u64 n, u64 off)
{
	struct iov_iter iter = {.count = n, .buf = to};
	u64 pos = off;
	s64 got = vfs_iter_read(file, &iter, &pos);

	if (got < 0)
		return (int)got;
	return (u64)got == n ? 0 : -ENOEXEC;
}

int exec_deny_write(struct file *file)
{
	struct vnode *v = file_vnode(file);
	s32 now;

	/* A memfd: whoever has it may do what he likes. */
	if (!v)
		return 0;
	now = READ_ONCE(v->writers);
	do {
		if (now > 0)
			return -ETXTBSY;
	} while (!__atomic_compare_exchange_n(&v->writers, &now, now - 1, false,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return 0;
}

void exec_allow_write(struct file *file)
{
	struct vnode *v = file_vnode(file);

	if (v)
		__atomic_fetch_add(&v->writers, 1, __ATOMIC_ACQ_REL);
}

void process_set_exe(struct process *p, struct file *file)
{
	struct file *old;
	unsigned long flags;

	task_lock(flags);
	old = p->exe;
	p->exe = file;
	task_unlock(flags);
	if (old) {
		exec_allow_write(old);
		fput(old);
	}
}

void process_inherit_exe(struct process *p, struct process *from)
{
	struct file *file;
	unsigned long flags;

	task_lock(flags);
	file = from->exe ? get_file(from->exe) : NULL;
	task_unlock(flags);
	if (!file)
		return;
	/* It is denied already, so there is no writer. */
	mm_verify(exec_deny_write(file) == 0);
	process_set_exe(p, file);
}

uva_t user_space_end(void)
{
	return current->mt->mm->layout.task_size;
}

static const char *last_part(const char *path)
{
	const char *name = path;

	for (const char *c = path; *c; c++)
		if (*c == '/' && c[1])
			name = c + 1;
	return name;
}

void task_set_comm(struct task *t, const char *name)
{
	char word[MM_TASK_COMM] = "";
	unsigned long flags;

	(void)mm_strscpy(word, name, sizeof(word));
	trace_emit(TASK_RENAME, (u64)t->tid, TRACE_TEXT(t->mt->comm),
		   TRACE_TEXT(word), (u64)(s64)t->mt->oom_score_adj);
	task_lock(flags);
	mm_memcpy(t->mt->comm, word, sizeof(word));
	task_unlock(flags);
}

/* E->file becomes FILE, whose reference it takes: its first bytes are read,
 * and nobody writes it any more. */
static int exec_set_file(struct exec *e, struct file *file)
{
	struct iov_iter iter = {.count = EXEC_HEAD, .buf = e->head};
	u64 pos = 0;
	s64 got;
	int err;

	if (e->denied)
		exec_allow_write(e->file);
	if (e->file)
		fput(e->file);
	e->file = file;
	e->denied = false;
	err = exec_deny_write(file);
	if (err)
		return err;
	e->denied = true;
	mm_memset(e->head, 0, sizeof(e->head));
	got = vfs_iter_read(file, &iter, &pos);
	return got < 0 ? (int)got : 0;
}

/* ---- strings ---------------------------------------------------------------
 */

/* The address of word I of LIST, 0 at its end. */
static int list_word(const struct exec_list *list, u32 i, u64 *word)
{
	if (list->kernel) {
		*word = (u64)(uintptr_t)list->kernel[i];
		return 0;
	}
	*word = 0;
	return list->user ? user_read(word, list->user + 8UL * i, 8) : 0;
}

static int list_count(const struct exec_list *list, u32 *out)
{
	u64 word;

	for (*out = 0;; ++*out) {
		int err = list_word(list, *out, &word);

		if (err || !word)
			return err;
		if (*out >= ARGS_MOST / sizeof(u64))
			return -E2BIG;
		if (fatal_signal_pending_task(current))
			return -EINTR;
	}
}

/* LEN bytes in front of what is there; room is checked. */
static int push(struct exec *e, const char *bytes, u64 len)
{
	if (len > e->limit - (e->stack_top - e->p))
		return -E2BIG;
	e->p -= len;
	return copy_to_user(e->mm, e->p, bytes, len) ? -EFAULT : 0;
}

static int push_kernel(struct exec *e, const char *s)
{
	u64 len = mm_strlen(s) + 1;

	return len > MAX_ARG_STRLEN ? -E2BIG : push(e, s, len);
}

/* The length of the user's string, its end included. */
static s64 user_strlen(struct exec *e, uva_t s)
{
	u64 len = 0;

	while (len <= MAX_ARG_STRLEN) {
		u64 n = PAGE_SIZE - ((s + len) & ~PAGE_MASK);
		s64 got =
			strncpy_from_user(current->mt->mm, e->buf, s + len, n);

		if (got < 0)
			return got;
		len += (u64)got;
		if ((u64)got < n)
			return (s64)len + 1;
	}
	return -E2BIG;
}

static int push_user(struct exec *e, uva_t s)
{
	s64 left = user_strlen(e, s);

	if (left < 0)
		return (int)left;
	if ((u64)left > MAX_ARG_STRLEN)
		return -E2BIG;
	/* Its end first: the lowest address is the last to be written. */
	while (left > 0) {
		u64 n = min((u64)left, PAGE_SIZE);
		int err;

		left -= (s64)n;
		if (user_read(e->buf, s + (u64)left, n))
			return -EFAULT;
		err = push(e, e->buf, n);
		if (err)
			return err;
	}
	return 0;
}

/* The N words of LIST, the last one first. */
static int push_list(struct exec *e, const struct exec_list *list, u32 n)
{
	while (n--) {
		u64 word;
		int err = list_word(list, n, &word);

		if (!err && !word)
			err = -EFAULT; /* it changed meanwhile */
		if (!err)
			err = list->kernel ? push_kernel(e, list->kernel[n])
					   : push_user(e, word);
		if (err)
			return err;
		if (fatal_signal_pending_task(current))
			return -EINTR;
	}
	return 0;
}

/* ---- the new space ---------------------------------------------------------
 */

/* An empty space with a stack, which has the caller's limits. */
static int exec_space(struct exec *e)
{
	struct mm_struct *old = current->mt->mm;
	struct mm_layout l;
	s64 at;
	int err;

	mm_default_layout(&l);
	err = mm_create(&l, &e->mm);
	if (err) {
		e->mm = NULL;
		return err;
	}
	if (old) {
		mmap_read_lock(old);
		mm_limits_inherit(e->mm, old);
		mmap_read_unlock(old);
	}
	at = do_mmap(e->mm, l.stack_top - STACK_FIRST, STACK_FIRST,
		     PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN |
			     MAP_STACK);
	if (at < 0)
		return (int)at;
	e->stack_top = l.stack_top;
	e->stack_low = l.stack_top - STACK_FIRST;
	/* A word of zero is the end of it all. */
	e->p = l.stack_top - 8;
	return 0;
}

/* How many bytes the strings may take: execve(2), "Limits on size of
 * arguments and environment". */
static int exec_limit(struct exec *e)
{
	u64 words = 8UL * (max(e->argc, 1u) + e->envc);
	u64 limit = clamp(rlimit(RLIMIT_STACK) / 4, ARGS_LEAST, ARGS_MOST);

	if (words >= limit)
		return -E2BIG;
	e->limit = limit - words;
	return 0;
}

static int exec_strings(struct exec *e, const struct exec_list *argv,
			const struct exec_list *envp)
{
	int err = list_count(argv, &e->argc);

	if (!err)
		err = list_count(envp, &e->envc);
	if (!err)
		err = exec_limit(e);
	if (!err)
		err = push_kernel(e, e->name);
	e->execfn = e->p;
	if (!err)
		err = push_list(e, envp, e->envc);
	if (!err)
		err = push_list(e, argv, e->argc);
	/* A program counts on a name. */
	if (!err && !e->argc) {
		e->argc = 1;
		err = push_kernel(e, "");
	}
	return err;
}

/* ---- scripts ---------------------------------------------------------------
 */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The interpreter and its argument ("": none) from the first line of E->head,
 * which is cut up. -ENOEXEC: there is none, or its name is cut off. */
static int script_parse(struct exec *e, char **interp, char **arg)
{
	char *line = (char *)e->head, *end = line + 2, *p;
	bool whole = false;

	while (end < line + EXEC_HEAD - 1 && *end && *end != '\n')
		end++;
	whole = *end == '\n' || !*end;
	*end = 0;
	while (end > line + 2 && is_blank(end[-1]))
		*--end = 0;
	for (p = line + 2; is_blank(*p); p++)
		;
	if (!*p)
		return -ENOEXEC;
	*interp = p;
	while (*p && !is_blank(*p))
		p++;
	/* Cut off in the name: that is not the program that is meant. */
	if (!*p && !whole)
		return -ENOEXEC;
	while (is_blank(*p))
		*p++ = 0;
	*arg = p;
	return 0;
}

/* The first argument goes. */
static int drop_argument(struct exec *e)
{
	for (;;) {
		u64 n = min(PAGE_SIZE, e->stack_top - e->p);
		s64 len = strncpy_from_user(e->mm, e->buf, e->p, n);

		if (len < 0)
			return (int)len;
		e->p += (u64)len;
		if ((u64)len < n)
			break;
	}
	e->p++;
	e->argc--;
	return 0;
}

/* E->file is a script: its interpreter takes its place. */
static int exec_script(struct exec *e)
{
	char *interp, *arg, *name;
	struct file *file;
	int err = script_parse(e, &interp, &arg);

	if (!err)
		err = drop_argument(e);
	if (!err)
		err = push_kernel(e, e->name);
	if (!err && *arg)
		err = push_kernel(e, arg);
	if (!err)
		err = push_kernel(e, interp);
	if (err)
		return err;
	e->argc += *arg ? 3 : 2;
	name = kstrdup(interp, GFP_KERNEL);
	if (!name)
		return -ENOMEM;
	kfree(e->name);
	e->name = name;
	file = vfs_open_exec(AT_FDCWD, name);
	if (IS_ERR(file))
		return (int)PTR_ERR(file);
	return exec_set_file(e, file);
}

static int exec_load(struct exec *e)
{
	for (u32 nested = 0; nested < EXEC_MAX_NESTED; nested++) {
		int err;

		if (e->head[0] != '#' || e->head[1] != '!')
			return elf_load(e);
		err = exec_script(e);
		if (err)
			return err;
	}
	return -ELOOP;
}

/* ---- rights ----------------------------------------------------------------
 */

/* Who the program will be. */
static void exec_rights(struct exec *e)
{
	const struct vnode *v = file_vnode(e->file);
	struct task *t = current;

	e->cred = t->cred;
	e->secure =
		cred_exec(&e->cred, v ? READ_ONCE(v->mode) : 0,
			  v ? READ_ONCE(v->uid) : 0, v ? READ_ONCE(v->gid) : 0,
			  t->no_new_privs || trace_exec_unsafe(t));
}

/* ---- the other threads -----------------------------------------------------
 */

/* T, the only one left, has the process's number from now on. Locked. */
static void become_leader(struct task *t)
{
	struct process *p = t->proc;
	struct task *leader = task_lookup(p->tgid);
	struct pid_entry *e = leader->pid;

	mm_verify(leader->dead && leader->proc == p);
	pid_detach(t);
	e->task = t;
	leader->pid = NULL;
	t->pid = e;
	t->tid = p->tgid;
	WRITE_ONCE(t->mt->pid, p->tgid);
	list_del_init(&leader->group_entry);
	/* Who traced it hears of T under its number. */
	if (leader->trace.tracer)
		trace_unlink(leader);
	task_put(leader);
}

/* All other threads of the process end. 0; -EAGAIN: it is ending, or another
 * one is faster; -EINTR: killed meanwhile. */
static int end_other_threads(struct task *t)
{
	struct process *p = t->proc;
	unsigned long flags;
	int err = 0;

	task_lock(flags);
	if (p->group_exit || p->exec_task) {
		task_unlock(flags);
		return -EAGAIN;
	}
	p->exec_task = t;
	p->stopping = false;
	zap_other_threads(p, t);
	task_unlock(flags);
	wait_event(p->exec_wait, READ_ONCE(p->nr_threads) == 1 ||
					 fatal_signal_pending_task(t));
	task_lock(flags);
	if (p->nr_threads != 1)
		err = -EINTR;
	else if (t->tid != p->tgid)
		become_leader(t);
	p->exec_task = NULL;
	recalc_sigpending(t);
	task_unlock(flags);
	return err;
}

/* ---- the change ------------------------------------------------------------
 */

/* What is made before the point of no return, for behind it. */
struct exec_spare {
	struct sighand *sighand;
	struct files_struct *files;
};

static void set_regs(const struct exec *e, uva_t sp)
{
	struct pt_regs *regs = machine_regs(port_self());
	u64 call = regs->orig_rax; /* who traces asks for it */

	current->trace.forced_tf = false;
	mm_memset(current->trace.debug, 0, sizeof(current->trace.debug));
	(void)machine_debug_set(port_self(), current->trace.debug, 0);
	mm_memset(regs, 0, sizeof(*regs));
	regs->rip = e->entry;
	regs->rsp = sp;
	regs->cs = USER_CS;
	regs->ss = USER_DS;
	regs->eflags = 0x202;
	regs->orig_rax = call;
	machine_set_fsbase(port_self(), 0);
	machine_set_gsbase(port_self(), 0);
	machine_fpu_reset();
}

static void change_files(struct task *t, struct exec_spare *s)
{
	struct files_struct *old;
	unsigned long flags;

	task_lock(flags);
	old = t->files;
	t->files = s->files;
	task_unlock(flags);
	s->files = NULL;
	files_put(old);
	files_exec(t->files);
}

/* Nothing fails any more. */
static void exec_commit(struct exec *e, struct exec_spare *s, uva_t sp)
{
	struct task *t = current;
	struct process *p = t->proc;
	unsigned long flags;

	futex_exec(t);
	t->robust_list = t->clear_child_tid = t->set_child_tid = 0;
	time_process_exec(p);
	note_maxrss(t);
	mm_task_exec(e->mm);
	e->mm = NULL;
	signal_exec(t, s->sighand);
	s->sighand = NULL;
	process_set_exe(p, get_file(e->file));
	e->denied = false;
	task_set_comm(t, last_part(e->path));
	change_files(t, s);
	/* The user is the same: this cannot fail. */
	mm_verify(e->cred.uid == t->cred.uid);
	task_lock(flags);
	p->dumpable = !e->secure;
	p->did_exec = true;
	p->exit_signal = SIGCHLD;
	if (e->secure)
		t->pdeath_signal = 0;
	t->cred = e->cred;
	task_unlock(flags);
	caps_to_mm(t);
	set_regs(e, sp);
}

static int exec_spares(struct exec_spare *s)
{
	struct task *t = current;

	if (READ_ONCE(t->proc->sighand->count) > 1) {
		s->sighand = sighand_new(t->proc->sighand);
		if (!s->sighand)
			return -ENOMEM;
	}
	s->files = files_copy(t->files);
	return s->files ? 0 : -ENOMEM;
}

static int exec_make(struct exec *e, const struct exec_list *argv,
		     const struct exec_list *envp, uva_t *sp)
{
	int err = exec_space(e);

	if (!err)
		err = exec_strings(e, argv, envp);
	if (!err)
		err = exec_load(e);
	if (!err) {
		exec_rights(e);
		err = elf_tables(e, sp);
	}
	if (!err && e->exec_stack)
		err = do_mprotect(e->mm, e->stack_top - PAGE_SIZE, PAGE_SIZE,
				  PROT_READ | PROT_WRITE | PROT_EXEC |
					  PROT_GROWSDOWN);
	return err;
}

static void exec_end(struct exec *e)
{
	if (e->mm)
		mm_put(e->mm);
	if (e->file) {
		if (e->denied)
			exec_allow_write(e->file);
		fput(e->file);
	}
	kfree(e->buf);
	kfree(e->name);
}

static int exec_run(struct exec *e, const struct exec_list *argv,
		    const struct exec_list *envp)
{
	struct exec_spare s = {.sighand = NULL};
	s32 tid = current->tid;
	uva_t sp = 0;
	int err = exec_make(e, argv, envp, &sp);

	if (!err)
		err = exec_spares(&s);
	if (!err)
		err = end_other_threads(current);
	if (!err)
		exec_commit(e, &s, sp);
	sighand_put(s.sighand);
	if (s.files)
		files_put(s.files);
	if (!err)
		trace_exec(current, tid);
	return err;
}

/* FILE, whose reference it takes, is run under NAME. */
static int exec_file(struct file *file, const char *name,
		     const struct exec_list *argv, const struct exec_list *envp)
{
	struct exec *e = kzalloc(sizeof(*e), GFP_KERNEL);
	int err = -ENOMEM;

	if (!e) {
		fput(file);
		return -ENOMEM;
	}
	e->path = name;
	e->buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	e->name = kstrdup(name, GFP_KERNEL);
	if (e->buf && e->name) {
		err = exec_set_file(e, file);
		file = NULL;
	}
	if (!err)
		err = exec_run(e, argv, envp);
	if (file)
		fput(file);
	exec_end(e);
	kfree(e);
	return err;
}

/* The file behind descriptor FD itself: fexecve(3). */
static int exec_descriptor(int fd, const struct exec_list *argv,
			   const struct exec_list *envp)
{
	struct file *file = fd_get(fd);
	const struct vnode *v;
	char name[24];
	int err;

	if (!file)
		return -EBADF;
	v = file_vnode(file);
	err = !S_ISREG(file->f_inode->i_mode) || !(file->f_mode & FMODE_READ) ||
			      (file->f_inode->i_sb->s_iflags & SB_I_NOEXEC)
		      ? -EACCES
		      : 0;
	if (!err && v)
		err = vfs_permission(v, 1);
	if (err) {
		fput(file);
		return err;
	}
	(void)mm_snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	return exec_file(file, name, argv, envp);
}

/* Is the last part of PATH a link? */
static int check_nofollow(int dfd, const char *path)
{
	struct dentry *d;
	int err = vfs_lookup(dfd, path, 0, &d);

	if (err)
		return err;
	if ((READ_ONCE(dentry_vnode(d)->mode) & S_IFMT) == S_IFLNK)
		err = -ELOOP;
	dput(d);
	return err;
}

int do_execve(int dfd, const char *path, const struct exec_list *argv,
	      const struct exec_list *envp, u32 flags)
{
	struct file *file;
	int err = 0;

	if (flags & ~(u32)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	if (!*path && (flags & AT_EMPTY_PATH))
		return exec_descriptor(dfd, argv, envp);
	if (flags & AT_SYMLINK_NOFOLLOW)
		err = check_nofollow(dfd, path);
	if (err)
		return err;
	file = vfs_open_exec(dfd, path);
	if (IS_ERR(file))
		return (int)PTR_ERR(file);
	return exec_file(file, path, argv, envp);
}

static s64 execve_user(int dfd, const struct sys_args *s, u32 at, u32 flags)
{
	struct exec_list argv = {.user = s->a[at + 1]};
	struct exec_list envp = {.user = s->a[at + 2]};
	char *path = kmalloc(PATH_MAX, GFP_KERNEL);
	s64 ret;

	if (!path)
		return -ENOMEM;
	ret = user_path(path, s->a[at]);
	if (!ret)
		ret = do_execve(dfd, path, &argv, &envp, flags);
	kfree(path);
	return ret;
}

static s64 sys_execve(const struct sys_args *s)
{
	return execve_user(AT_FDCWD, s, 0, 0);
}

static s64 sys_execveat(const struct sys_args *s)
{
	return execve_user((int)s->a[0], s, 1, (u32)s->a[4]);
}

void exec_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{59, "execve", sys_execve},
		{322, "execveat", sys_execveat},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
