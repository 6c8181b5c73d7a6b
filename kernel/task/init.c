/* SPDX-License-Identifier: MIT */
/*
 * init.c - the first process, which nobody forks.
 *
 * Its thread runs do_execve() itself; spawn_init() waits until that has
 * succeeded, or until the thread is gone again, and then says so.
 */
#include "base/printk.h"
#include "base/string.h"
#include "event.h"
#include "syscall.h"
#include "task/task_priv.h"
#include "vfs.h"

#define O_RDWR 2u

struct init_start {
	const char *path;
	struct exec_list argv, envp;
	struct completion done;
	int err;
};

/* Descriptors 0 to 2. Without a console init must do without. */
static void open_console(void)
{
	struct file *f = vfs_open(AT_FDCWD, "/dev/console", O_RDWR, 0);

	if (IS_ERR(f)) {
		pr_warn("init has no /dev/console: error %ld\n", -PTR_ERR(f));
		return;
	}
	for (int i = 0; i < 3; i++)
		if (fd_install(get_file(f), i, false) < 0)
			fput(f);
	fput(f);
}

static struct init_start *init_start_of(struct task *t)
{
	return (struct init_start *)(uintptr_t)t->set_child_tid;
}

/* The first steps of process 1. */
static void init_main(void *arg)
{
	struct task *t = arg;
	struct init_start *s = init_start_of(t);
	int err;

	t->set_child_tid = 0;
	open_console();
	err = do_execve(AT_FDCWD, s->path, &s->argv, &s->envp, 0);
	s->err = err;
	complete(&s->done);
	if (err)
		machine_thread_exit();
}

static void init_limits(struct process *p)
{
	static const struct {
		u8 nr;
		u64 cur, max;
	} set[] = {
		{3, 8UL << 20, RLIM_INFINITY}, /* stack */
		{4, 0, RLIM_INFINITY},	       /* core */
		{7, 1024, 4096},	       /* nofile */
		{8, 8UL << 20, 8UL << 20},     /* memlock */
		{12, 819200, 819200},	       /* msgqueue */
		{13, 0, 0},
		{14, 0, 0}, /* nice, rtprio */
	};

	for (u32 i = 0; i < RLIM_NLIMITS; i++)
		p->rlim[i] = (struct krlimit){RLIM_INFINITY, RLIM_INFINITY};
	for (u32 i = 0; i < ARRAY_SIZE(set); i++)
		p->rlim[set[i].nr] = (struct krlimit){set[i].cur, set[i].max};
	p->rlim[6].cur = p->rlim[6].max = task_sys.threads_max / 2;
	p->rlim[11] = p->rlim[6];
}

/* All that process 1 has but its thread; what there is when it fails goes back
 * by init_undo(). */
static int init_parts(struct task *t, struct process *p)
{
	t->proc = p;
	p->sighand = sighand_new(NULL);
	p->exit_signal = SIGCHLD;
	init_limits(p);
	cred_init_root(&t->cred);
	t->user = user_get(0);
	if (!t->user)
		return -ENOMEM;
	__atomic_fetch_add(&t->user->threads, 1, __ATOMIC_RELAXED);
	t->files = files_new();
	t->fs = fs_new();
	return p->sighand && t->files && t->fs ? 0 : -ENOMEM;
}

static void init_undo(struct task *t)
{
	unsigned long flags;

	task_lock(flags);
	if (t->proc && !list_empty(&t->group_entry)) {
		struct process *p = t->proc;

		list_del_init(&t->group_entry);
		list_del_init(&p->all);
		p->nr_threads = p->nr_live = 0;
		task_sys.nr_threads--;
		task_sys.nr_processes--;
		pid_drop(p->pgid);
		pid_drop(p->sid);
		task_sys.init = NULL;
	}
	if (t->pid)
		pid_detach(t);
	task_unlock(flags);
	if (t->files)
		files_put(t->files);
	if (t->fs)
		fs_put(t->fs);
	task_free(t);
}

static void init_link(struct task *t)
{
	struct process *p = t->proc;
	unsigned long flags;

	task_lock(flags);
	p->tgid = p->pgid = p->sid = t->tid;
	pid_hold(p->pgid);
	pid_hold(p->sid);
	list_add_tail(&p->all, &task_sys.processes);
	task_sys.nr_processes++;
	task_sys.init = p;
	link_thread(t, p);
	task_unlock(flags);
}

static int init_run(struct task *t, struct init_start *s)
{
	int err = pid_alloc(t, 1);

	if (err)
		return err;
	err = machine_thread_create(&t->thread, "init", init_main, t, t);
	if (err) {
		t->thread = NULL;
		return err;
	}
	t->mt = machine_mm_task(t->thread);
	t->mt->flags |= PF_INIT;
	mm_task_register_as(t->mt, "init", 1);
	caps_to_mm(t);
	init_link(t);
	t->set_child_tid = (u64)(uintptr_t)s;
	machine_thread_start(t->thread);
	wait_for_completion(&s->done);
	return s->err;
}

int spawn_init(const char *path, const char *const *argv,
	       const char *const *envp)
{
	struct init_start s = {.path = path,
			       .argv = {.kernel = argv},
			       .envp = {.kernel = envp}};
	struct task *t = task_alloc();
	struct process *p = process_alloc();
	int err = -ENOMEM;

	init_completion(&s.done);
	if (t && p)
		err = init_parts(t, p);
	else if (p)
		process_put(p);
	if (!err)
		err = init_run(t, &s);
	if (err && t)
		init_undo(t);
	return err;
}

void proc_sys_init(void)
{
	fork_sys_init();
	exit_sys_init();
	exec_sys_init();
	signal_sys_init();
	cred_sys_init();
	limit_sys_init();
	sched_sys_init();
	info_sys_init();
	pidfd_sys_init();
	ptrace_sys_init();
}
