/* SPDX-License-Identifier: MIT */
/*
 * fork.c - making tasks: fork(2), vfork(2), clone(2), clone3(2).
 *
 * 1. Order. All that can fail is made for a child nobody knows yet: its
 *    thread, memory, descriptors, number. Then, with the lock held and no
 *    signal waiting that it would have missed, it is linked; after that
 *    nothing fails and it is started.
 *
 * 2. What is shared and what is copied is said by the CLONE_* bits; memory by
 *    mm_clone(), descriptors and directories by the files' part. A new thread
 *    has its process's struct process, any other task one of its own.
 *
 * 3. vfork: the parent waits in a wait that SIGKILL ends. The completion is
 *    therefore not on its stack but counted, by parent and child.
 *
 * Reference: clone(2), fork(2), vfork(2), credentials(7).
 */
#include <mmkit/mempolicy.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "base/trace_ring.h"
#include "event.h"
#include "ktime.h"
#include "syscall.h"
#include "task/coredump.h"
#include "task/ptrace.h"
#include "vfs.h"

#define CSIGNAL		     0x000000ffUL
#define CLONE_VM	     0x00000100UL
#define CLONE_FS	     0x00000200UL
#define CLONE_FILES	     0x00000400UL
#define CLONE_SIGHAND	     0x00000800UL
#define CLONE_PIDFD	     0x00001000UL
#define CLONE_PTRACE	     0x00002000UL
#define CLONE_VFORK	     0x00004000UL
#define CLONE_PARENT	     0x00008000UL
#define CLONE_THREAD	     0x00010000UL
#define CLONE_NEWNS	     0x00020000UL
#define CLONE_SYSVSEM	     0x00040000UL
#define CLONE_SETTLS	     0x00080000UL
#define CLONE_PARENT_SETTID  0x00100000UL
#define CLONE_CHILD_CLEARTID 0x00200000UL
#define CLONE_DETACHED	     0x00400000UL
#define CLONE_UNTRACED	     0x00800000UL
#define CLONE_CHILD_SETTID   0x01000000UL
#define CLONE_NEWCGROUP	     0x02000000UL
#define CLONE_NEWUTS	     0x04000000UL
#define CLONE_NEWIPC	     0x08000000UL
#define CLONE_NEWUSER	     0x10000000UL
#define CLONE_NEWPID	     0x20000000UL
#define CLONE_NEWNET	     0x40000000UL
#define CLONE_IO	     0x80000000UL
#define CLONE_CLEAR_SIGHAND  0x100000000UL
#define CLONE_INTO_CGROUP    0x200000000UL
#define CLONE_NEW                                                      \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
/* Bits that make no difference here, as disks have no contexts. */
#define CLONE_QUIET (CLONE_DETACHED | CLONE_SYSVSEM | CLONE_IO)

#define CAP_SYS_ADMIN	 21
#define CAP_SYS_RESOURCE 24
#define RLIMIT_NPROC	 6

/* ---- structures ------------------------------------------------------------
 */

struct task *task_alloc(void)
{
	struct task *t =
		kmem_cache_alloc(task_sys.task_cache, GFP_KERNEL | __GFP_ZERO);

	if (!t)
		return NULL;
	t->count = 1;
	INIT_LIST_HEAD(&t->group_entry);
	sigpending_init(&t->pending);
	trace_init(t);
	t->timerslack = 50000;
	t->start_ns = port_now_ns();
	return t;
}

struct process *process_alloc(void)
{
	struct process *p = kmem_cache_alloc(task_sys.process_cache,
					     GFP_KERNEL | __GFP_ZERO);

	if (!p)
		return NULL;
	p->count = 1;
	INIT_LIST_HEAD(&p->children);
	INIT_LIST_HEAD(&p->sibling);
	INIT_LIST_HEAD(&p->threads);
	INIT_LIST_HEAD(&p->all);
	sigpending_init(&p->shared);
	init_waitqueue_head(&p->child_wait);
	init_waitqueue_head(&p->signal_wait);
	init_waitqueue_head(&p->exec_wait);
	p->dumpable = true;
	p->core_filter = CORE_FILTER_DEFAULT;
	p->start_ns = port_now_ns();
	time_process_init(p);
	return p;
}

void process_free(struct process *p)
{
	mm_verify(list_empty(&p->threads) && list_empty(&p->children));
	mm_verify(list_empty(&p->shared.queue));
	sighand_put(p->sighand);
	kmem_cache_free(task_sys.process_cache, p);
}

void vfork_wait_put(struct vfork_wait *v)
{
	if (v && __atomic_sub_fetch(&v->count, 1, __ATOMIC_ACQ_REL) == 0)
		kfree(v);
}

void task_free(struct task *t)
{
	mm_verify(t->pid == NULL && list_empty(&t->pending.queue));
	if (t->mt && t->mt->pprev)
		mm_task_unregister(t->mt);
	if (t->thread)
		machine_thread_free(t->thread);
	if (t->user) {
		if (!t->dead)
			__atomic_fetch_sub(&t->user->threads, 1,
					   __ATOMIC_RELAXED);
		user_put(t->user);
	}
	vfork_wait_put(t->vfork);
	if (t->proc)
		process_put(t->proc);
	kmem_cache_free(task_sys.task_cache, t);
}

/* ---- copies ----------------------------------------------------------------
 */

/* A child of the current task that nobody knows yet. */
struct birth {
	const struct clone_args *a;
	struct task *parent, *child;
	struct process *fresh; /* its process, unless it is a thread */
	struct vfork_wait *vfork;
	int pidfd; /* -1: none */
	int event; /* PTRACE_EVENT_* that tells of it; 0: none */
};

static int copy_user(struct birth *b)
{
	struct user *u = b->parent->user;
	u64 limit = rlimit(RLIMIT_NPROC);

	if (READ_ONCE(u->threads) >= limit && u->uid != 0 &&
	    !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN))
		return -EAGAIN;
	if (READ_ONCE(task_sys.nr_threads) >= READ_ONCE(task_sys.threads_max))
		return -EAGAIN;
	b->child->user = user_hold(u);
	__atomic_fetch_add(&u->threads, 1, __ATOMIC_RELAXED);
	return 0;
}

static int copy_files(struct birth *b)
{
	struct task *c = b->child, *p = b->parent;
	u64 flags = b->a->flags;

	c->files = flags & CLONE_FILES ? files_get(p->files)
				       : files_copy(p->files);
	c->fs = flags & CLONE_FS ? fs_get(p->fs) : fs_copy(p->fs);
	return c->files && c->fs ? 0 : -ENOMEM;
}

static int copy_process(struct birth *b)
{
	struct process *from = b->parent->proc, *p;
	u64 flags = b->a->flags;
	unsigned long irq;

	if (flags & CLONE_THREAD) {
		b->child->proc = NULL; /* when it is linked */
		return 0;
	}
	p = process_alloc();
	if (!p)
		return -ENOMEM;
	b->fresh = p;
	process_inherit_exe(p, from);
	if (flags & CLONE_SIGHAND) {
		p->sighand = from->sighand;
		__atomic_fetch_add(&p->sighand->count, 1, __ATOMIC_RELAXED);
	} else {
		p->sighand = sighand_new(
			flags & CLONE_CLEAR_SIGHAND ? NULL : from->sighand);
	}
	if (!p->sighand)
		return -ENOMEM;
	task_lock(irq);
	mm_memcpy(p->rlim, from->rlim, sizeof(p->rlim));
	/* What is ignored stays so. */
	for (u32 i = 0; (flags & CLONE_CLEAR_SIGHAND) && i < NSIG; i++)
		if (from->sighand->action[i].handler == SIG_IGN)
			p->sighand->action[i].handler = SIG_IGN;
	task_unlock(irq);
	p->exit_signal = (int)b->a->exit_signal;
	p->dumpable = from->dumpable;
	p->core_filter = from->core_filter;
	p->personality = from->personality;
	p->oom_score_adj = from->oom_score_adj;
	return 0;
}

static int copy_memory(struct birth *b)
{
	struct mm_task *mt = b->child->mt;
	struct mm_struct *mm;
	int err = mm_clone(b->parent->mt->mm,
			   b->a->flags & CLONE_VM ? MM_CLONE_VM : 0, &mm);

	if (err)
		return err;
	if (b->vfork) {
		b->vfork->count = 2;
		b->child->vfork = b->vfork;
		mm_task_vfork(mt, mm, &b->vfork->done);
	} else {
		mm_task_attach(mt, mm);
	}
	mm_put(mm);
	mt->oom_score_adj = b->parent->mt->oom_score_adj;
	return 0;
}

/* The child's first steps: what only it can do in its own memory. */
static void child_start(void *arg)
{
	struct task *t = arg;

	if (t->set_child_tid) {
		s32 tid = t->tid;

		(void)user_write(t->set_child_tid, &tid, sizeof(tid));
		t->set_child_tid = 0;
	}
}

static int copy_thread(struct birth *b)
{
	struct task *c = b->child;
	struct port_thread *me = b->parent->thread;
	struct port_cpumask cpus;
	struct pt_regs *regs;
	int err = machine_thread_create(&c->thread, b->parent->mt->comm,
					child_start, c, c);

	if (err) {
		c->thread = NULL;
		return err;
	}
	c->mt = machine_mm_task(c->thread);
	regs = machine_regs(c->thread);
	*regs = *machine_regs(me);
	regs->rax = 0;
	regs->orig_rax = (u64)-1;
	trace_step_forget(b->parent, regs);
	if (b->a->stack)
		regs->rsp = b->a->stack + b->a->stack_size;
	machine_set_fsbase(c->thread, b->a->flags & CLONE_SETTLS
					      ? b->a->tls
					      : machine_fsbase(me));
	machine_set_gsbase(c->thread, machine_gsbase(me));
	machine_fpu_copy(c->thread);
	machine_get_affinity(me, &cpus);
	(void)machine_set_affinity(c->thread, &cpus);
	c->nice = b->parent->nice;
	if (c->nice)
		machine_set_nice(c->thread, c->nice);
	return 0;
}

/* What is plain words of the task itself. */
static void copy_words(struct birth *b)
{
	struct task *c = b->child, *p = b->parent;
	u64 flags = b->a->flags;

	c->cred = p->cred;
	c->blocked = p->blocked;
	c->no_new_privs = p->no_new_privs;
	c->timerslack = p->timerslack;
	c->exit_signal = flags & CLONE_THREAD ? -1 : (s32)b->a->exit_signal;
	/* The alternative stack is not for two that share memory. */
	if (!(flags & CLONE_VM) || (flags & CLONE_VFORK)) {
		c->altstack = p->altstack;
		c->altstack_size = p->altstack_size;
		c->altstack_flags = p->altstack_flags;
	}
	c->set_child_tid = flags & CLONE_CHILD_SETTID ? b->a->child_tid : 0;
	c->clear_child_tid = flags & CLONE_CHILD_CLEARTID ? b->a->child_tid : 0;
}

/* Undo what there is of a child that is not linked. */
static void birth_undo(struct birth *b)
{
	struct task *c = b->child;
	unsigned long flags;

	if (c->pid) {
		task_lock(flags);
		pid_detach(c);
		task_unlock(flags);
	}
	if (c->mt)
		mm_task_exit(c->mt);
	if (c->files)
		files_put(c->files);
	if (c->fs)
		fs_put(c->fs);
	if (b->fresh) {
		process_set_exe(b->fresh, NULL);
		process_put(b->fresh);
	}
	task_free(c);
}

static int birth_make(struct birth *b)
{
	int err;

	copy_words(b);
	err = copy_user(b);
	if (!err)
		err = copy_files(b);
	if (!err)
		err = copy_process(b);
	if (!err)
		err = copy_thread(b);
	if (!err)
		err = copy_memory(b);
	if (!err)
		err = pid_alloc(b->child, 0);
	return err;
}

/* ---- linking ---------------------------------------------------------------
 */

static void link_process(struct birth *b)
{
	struct process *p = b->fresh, *from = b->parent->proc;
	struct process *parent =
		b->a->flags & CLONE_PARENT ? from->parent : from;

	p->tgid = b->child->tid;
	p->pgid = from->pgid;
	p->sid = from->sid;
	pid_hold(p->pgid);
	pid_hold(p->sid);
	p->parent = parent;
	p->parent_tid = parent == from ? b->parent->tid : from->parent_tid;
	list_add_tail(&p->sibling, &parent->children);
	list_add_tail(&p->all, &task_sys.processes);
	task_sys.nr_processes++;
}

void link_thread(struct task *t, struct process *p)
{
	t->proc = p;
	list_add_tail(&t->group_entry, &p->threads);
	p->nr_threads++;
	p->nr_live++;
	task_sys.nr_threads++;
	task_sys.forks++;
}

/* From here on others see the child. 0, -ERESTARTNOINTR: a signal came, which
 * it would have missed. */
static int birth_link(struct birth *b)
{
	struct process *p = b->fresh ? b->fresh : b->parent->proc;
	unsigned long flags;
	int err = 0;

	task_lock(flags);
	recalc_sigpending(b->parent);
	if (signal_pending(b->parent) || p->group_exit || p->exec_task) {
		err = -ERESTARTNOINTR;
	} else {
		if (b->fresh)
			link_process(b);
		else
			process_get(p);
		link_thread(b->child, p);
		b->child->freeze = b->parent->freeze;
		b->event = trace_fork_event(b->parent, b->a->flags,
					    b->a->exit_signal);
		trace_fork(b->parent, b->child, b->event,
			   (b->a->flags & CLONE_PTRACE) != 0);
		recalc_sigpending(b->child);
	}
	task_unlock(flags);
	return err;
}

/* ---- clone -----------------------------------------------------------------
 */

static s64 clone_check(const struct clone_args *a)
{
	u64 f = a->flags;

	if ((f & CLONE_NEW) == CLONE_NEW)
		return -EINVAL;
	if ((f & (CLONE_NEWNS | CLONE_FS)) == (CLONE_NEWNS | CLONE_FS) ||
	    (f & (CLONE_NEWUSER | CLONE_FS)) == (CLONE_NEWUSER | CLONE_FS) ||
	    (f & (CLONE_NEWIPC | CLONE_SYSVSEM)) ==
		    (CLONE_NEWIPC | CLONE_SYSVSEM) ||
	    ((f & CLONE_NEWPID) && (f & (CLONE_THREAD | CLONE_PARENT))))
		return -EINVAL;
	if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && (f & CLONE_CLEAR_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_PARENT) && current->proc->tgid == 1)
		return -EINVAL;
	if ((f & CLONE_PIDFD) && (f & (CLONE_DETACHED | CLONE_THREAD)))
		return -EINVAL;
	/* There are no namespaces but the first; nor groups of tasks. */
	if (f & CLONE_NEW)
		return capable(CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
	if (f & CLONE_INTO_CGROUP)
		return -EOPNOTSUPP;
	if ((f & CLONE_SETTLS) && a->tls >= user_space_end())
		return -EPERM;
	return 0;
}

/* The parent of a vfork waits until the child has left its memory. */
static void vfork_sleep(struct vfork_wait *v)
{
	struct task *t = current;

	wait_event(v->done.wait,
		   completion_done(&v->done) || fatal_signal_pending_task(t));
	vfork_wait_put(v);
}

/* Descriptor of the child, made before it is. */
static int clone_pidfd(struct birth *b)
{
	int fd;

	if (!(b->a->flags & CLONE_PIDFD))
		return 0;
	fd = pidfd_install(b->fresh, 0);
	if (fd < 0)
		return fd;
	b->pidfd = fd;
	return user_write(b->a->pidfd, &fd, sizeof(fd));
}

void task_on_life(void (*fn)(s32 parent, s32 child))
{
	WRITE_ONCE(task_sys.on_life, fn);
}

void task_life(s32 parent, s32 child)
{
	void (*fn)(s32 parent, s32 child) = READ_ONCE(task_sys.on_life);

	if (fn)
		fn(parent, child);
}

static s64 clone_run(struct birth *b)
{
	struct task *c = b->child;
	s32 tid = c->tid;
	int err = clone_pidfd(b);

	if (err)
		return err;
	if (b->fresh)
		tty_inherit(b->fresh, b->parent->proc);
	if (b->a->flags & CLONE_THREAD) {
		c->mt->flags |= b->parent->mt->flags & PF_INIT;
		c->mt->tgid = b->parent->proc->tgid;
	}
	mm_task_register_as(c->mt, b->parent->mt->comm, tid);
	trace_emit(TASK_NEWTASK, (u64)tid, TRACE_TEXT(b->parent->mt->comm),
		   b->a->flags, (u64)(s64)b->parent->mt->oom_score_adj);
	caps_to_mm(c);
	/* Before anybody can know the number, and before the child can look. */
	if ((b->a->flags & CLONE_PARENT_SETTID) &&
	    user_write(b->a->parent_tid, &tid, sizeof(tid)))
		err = -EFAULT;
	task_get(c); /* its own thread's */
	err = birth_link(b);
	if (err) {
		c->count--;
		if (b->fresh)
			tty_setsid(b->fresh);
		return err;
	}
	task_life(b->parent->tid, tid);
	machine_thread_start(c->thread);
	if (unlikely(b->event))
		trace_event(b->parent, b->event, (u64)tid);
	if (b->vfork) {
		vfork_sleep(b->vfork);
		trace_event(b->parent, PTRACE_EVENT_VFORK_DONE, (u64)tid);
	}
	return tid;
}

s64 do_clone(struct clone_args *a)
{
	struct birth b = {.a = a, .parent = current, .pidfd = -1};
	s64 ret = clone_check(a);

	if (ret)
		return ret;
	b.child = task_alloc();
	if (!b.child)
		return -ENOMEM;
	if (a->flags & CLONE_VFORK) {
		b.vfork = kzalloc(sizeof(*b.vfork), GFP_KERNEL);
		if (!b.vfork) {
			task_free(b.child);
			return -ENOMEM;
		}
		init_completion(&b.vfork->done);
		b.vfork->count = 1;
	}
	ret = birth_make(&b);
	if (!ret)
		ret = clone_run(&b);
	if (ret >= 0)
		return ret;
	if (b.pidfd >= 0)
		(void)fd_close(b.pidfd);
	birth_undo(&b);
	vfork_wait_put(b.vfork);
	return ret;
}

/* ---- calls -----------------------------------------------------------------
 */

static s64 sys_clone(const struct sys_args *s)
{
	u64 flags = (u32)s->a[0];
	struct clone_args a = {
		.flags = flags & ~CSIGNAL,
		.exit_signal = flags & CSIGNAL,
		.stack = s->a[1],
		.parent_tid = s->a[2],
		.pidfd = s->a[2],
		.child_tid = s->a[3],
		.tls = s->a[4],
	};

	/* One word for two answers. */
	if ((flags & CLONE_PIDFD) && (flags & CLONE_PARENT_SETTID))
		return -EINVAL;
	if (a.exit_signal > NSIG)
		return -EINVAL;
	return do_clone(&a);
}

static s64 sys_fork(const struct sys_args *s)
{
	struct clone_args a = {.exit_signal = SIGCHLD};

	(void)s;
	return do_clone(&a);
}

static s64 sys_vfork(const struct sys_args *s)
{
	struct clone_args a = {.flags = CLONE_VFORK | CLONE_VM,
			       .exit_signal = SIGCHLD};

	(void)s;
	return do_clone(&a);
}

/* A structure of SIZE bytes at ADDR, of which we know KNOWN: the rest must be
 * zero. 0, -E2BIG, -EFAULT. */
static int read_versioned(void *to, u64 known, uva_t addr, u64 size)
{
	u8 rest[64];

	mm_memset(to, 0, known);
	if (user_read(to, addr, min(known, size)))
		return -EFAULT;
	for (u64 at = known; at < size; at += sizeof(rest)) {
		u64 n = min(size - at, (u64)sizeof(rest));

		if (user_read(rest, addr + at, n))
			return -EFAULT;
		if (mm_memchr_inv(rest, 0, n))
			return -E2BIG;
	}
	return 0;
}

static s64 sys_clone3(const struct sys_args *s)
{
	struct clone_args a;
	u64 size = s->a[1];
	int err;

	if (size > PAGE_SIZE)
		return -E2BIG;
	if (size < 64)
		return -EINVAL;
	err = read_versioned(&a, sizeof(a), s->a[0], size);
	if (err)
		return err;
	if (a.exit_signal > NSIG || (a.flags & (CSIGNAL | CLONE_DETACHED)))
		return -EINVAL;
	if ((a.flags & (CLONE_THREAD | CLONE_PARENT)) && a.exit_signal)
		return -EINVAL;
	if (!a.stack != !a.stack_size)
		return -EINVAL;
	/* Numbers of one's choice: nobody restores checkpoints here. */
	if (!a.set_tid != !a.set_tid_size || a.set_tid_size > 32)
		return -EINVAL;
	if (a.set_tid_size)
		return capable(CAP_SYS_ADMIN) ? -EEXIST : -EPERM;
	return do_clone(&a);
}

static s64 sys_set_tid_address(const struct sys_args *s)
{
	current->clear_child_tid = s->a[0];
	return current->tid;
}

void fork_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{56, "clone", sys_clone},
		{57, "fork", sys_fork},
		{58, "vfork", sys_vfork},
		{218, "set_tid_address", sys_set_tid_address},
		{435, "clone3", sys_clone3},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
