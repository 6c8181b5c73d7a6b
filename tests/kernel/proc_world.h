/* SPDX-License-Identifier: MIT */
/*
 * proc_world.h - kernel/task without files and without a CPU.
 *
 * Programs are C functions (pw_prog()); their address is a number, so that
 * execve, fork and handlers can name them. pw_sys() is what SYSCALL is: the
 * real kernel_syscall() on the thread's registers, then whatever they say is
 * next: the call again, a handler, another program. User memory is the real
 * one. Files are named images in memory (pw_file()), descriptors are few.
 *
 *	PW_RUN(body, .cpus = 2);    BODY is process 1
 */
#ifndef TESTS_KERNEL_PROC_WORLD_H
#define TESTS_KERNEL_PROC_WORLD_H

#include <setjmp.h>

#include "sim_machine.h"

#include <mmkit/shmem.h>
#include <mmkit/uaccess.h>

#include "cache/filemap.h"
#include "event.h"
#include "ktime.h"
#include "machine_test.h"
#include "procfs/procfs.h"
#include "syscall.h"
#include "task/task_priv.h"
#include "vfs.h"

#define PW_BASE	    0x400000UL
#define PW_HANDLERS 0x410000UL
#define PW_RESTORER 0x420000UL
#define PW_SITE	    0x430002UL /* behind a SYSCALL of the program's */
#define PW_MAX	    64u
#define PW_THREADS  4096u

typedef void (*pw_fn)(struct pt_regs *regs);
typedef void (*pw_handler_fn)(int sig, u64 info, u64 uc);

static struct {
	pw_fn prog[PW_MAX];
	pw_handler_fn handler[PW_MAX];
	u32 nr_progs, nr_handlers;
	struct {
		struct port_thread *thread;
		jmp_buf *top;
	} tops[PW_THREADS];
	struct {
		char name[32];
		struct file *file;
	} files[16];
	int init_code;
	u32 open_files; /* tables of descriptors */
	struct completion init_done;
} pw;

/* ---- files -----------------------------------------------------------------
 */

struct files_struct {
	u32 count;
	struct file *fd[16];
	bool cloexec[16];
};
struct fs_struct {
	u32 count;
};

struct files_struct *files_new(void)
{
	struct files_struct *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (f) {
		f->count = 1;
		__atomic_fetch_add(&pw.open_files, 1, __ATOMIC_RELAXED);
	}
	return f;
}
struct files_struct *files_get(struct files_struct *f)
{
	__atomic_fetch_add(&f->count, 1, __ATOMIC_RELAXED);
	return f;
}
void files_put(struct files_struct *f)
{
	if (__atomic_sub_fetch(&f->count, 1, __ATOMIC_ACQ_REL))
		return;
	for (u32 i = 0; i < 16; i++)
		if (f->fd[i])
			fput(f->fd[i]);
	__atomic_fetch_sub(&pw.open_files, 1, __ATOMIC_RELAXED);
	kfree(f);
}
struct files_struct *files_copy(struct files_struct *f)
{
	struct files_struct *n = files_new();

	for (u32 i = 0; n && i < 16; i++) {
		if (f->fd[i])
			n->fd[i] = get_file(f->fd[i]);
		n->cloexec[i] = f->cloexec[i];
	}
	return n;
}
void files_exec(struct files_struct *f)
{
	for (u32 i = 0; i < 16; i++) {
		if (f->fd[i] && f->cloexec[i]) {
			fput(f->fd[i]);
			f->fd[i] = NULL;
		}
	}
}
struct file *files_file(struct files_struct *f, int fd)
{
	return fd >= 0 && fd < 16 && f->fd[fd] ? get_file(f->fd[fd]) : NULL;
}
struct file *fd_get(int fd)
{
	return files_file(current->files, fd);
}
int fd_install(struct file *file, int min, bool cloexec)
{
	struct files_struct *f = current->files;

	for (int i = min; i < 16; i++) {
		if (f->fd[i])
			continue;
		f->fd[i] = file;
		f->cloexec[i] = cloexec;
		return i;
	}
	return -EMFILE;
}
int fd_close(int fd)
{
	struct files_struct *f = current->files;
	struct file *file = fd >= 0 && fd < 16 ? f->fd[fd] : NULL;

	if (!file)
		return -EBADF;
	f->fd[fd] = NULL;
	fput(file);
	return 0;
}
struct fs_struct *fs_new(void)
{
	struct fs_struct *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (f)
		f->count = 1;
	return f;
}
struct fs_struct *fs_get(struct fs_struct *f)
{
	__atomic_fetch_add(&f->count, 1, __ATOMIC_RELAXED);
	return f;
}
void fs_put(struct fs_struct *f)
{
	if (__atomic_sub_fetch(&f->count, 1, __ATOMIC_ACQ_REL) == 0)
		kfree(f);
}
struct fs_struct *fs_copy(struct fs_struct *f)
{
	(void)f;
	return fs_new();
}
struct file *vfs_open_exec(int dfd, const char *path)
{
	(void)dfd;
	for (u32 i = 0; i < ARRAY_SIZE(pw.files); i++)
		if (pw.files[i].file && !strcmp(pw.files[i].name, path))
			return get_file(pw.files[i].file);
	return ERR_PTR(-ENOENT);
}
struct file *vfs_open(int dfd, const char *path, u32 flags, u32 mode)
{
	(void)dfd;
	(void)path;
	(void)flags;
	(void)mode;
	return ERR_PTR(-ENOENT);
}
int vfs_lookup(int dfd, const char *path, u32 lookup, struct dentry **out)
{
	(void)dfd;
	(void)path;
	(void)lookup;
	(void)out;
	return -ENOENT;
}
struct vnode *dentry_vnode(const struct dentry *d)
{
	(void)d;
	return NULL;
}
void dput(struct dentry *d)
{
	(void)d;
}
int vfs_permission(const struct vnode *v, u32 mask)
{
	(void)v;
	(void)mask;
	return 0;
}
int blkdev_by_path(const char *path, struct port_bdev **out)
{
	(void)path;
	(void)out;
	return -ENOENT;
}
s64 vfs_realpath(const char *path, char *buf, size_t size, char **text)
{
	(void)path;
	(void)buf;
	(void)size;
	(void)text;
	return -ENOENT;
}
s64 file_path(struct file *file, char *buf, size_t size)
{
	(void)file;
	(void)buf;
	(void)size;
	return -ENOENT;
}
u64 iter_put(struct iov_iter *iter, const void *buf, u64 n)
{
	(void)iter;
	(void)buf;
	(void)n;
	return 0;
}
/* A file of private data: a memfd that was told another f_op. */
struct file *anon_file(const char *name, const struct file_operations *fop,
		       void *private, u32 fmode, u32 flags, u32 s_mode)
{
	struct file *f = shmem_file_setup(name, 0, 0);

	(void)s_mode;
	if (IS_ERR(f))
		return f;
	f->f_op = fop;
	f->f_mode = fmode;
	f->f_flags = flags;
	f->private_data = private;
	return f;
}

/* NAME holds LEN bytes of IMAGE from now on. */
MM_UNUSED static void pw_file(const char *name, const void *image, u64 len)
{
	struct file *f = shmem_file_setup("prog", 0, SHMEM_NORESERVE);
	struct iov_iter iter = {
		.count = len, .buf = (void *)(uintptr_t)image, .write = true};
	u64 pos = 0;
	u32 at = 0;

	CHECK(!IS_ERR(f));
	CHECK_EQ(vfs_iter_write(f, &iter, &pos), (s64)len);
	for (u32 i = 0; i < ARRAY_SIZE(pw.files); i++) {
		if (pw.files[i].file && strcmp(pw.files[i].name, name) != 0)
			continue;
		at = i;
		if (pw.files[i].file)
			break;
	}
	if (pw.files[at].file)
		fput(pw.files[at].file);
	snprintf(pw.files[at].name, sizeof(pw.files[at].name), "%s", name);
	pw.files[at].file = f;
}

/* ---- the other parts -------------------------------------------------------
 */

void fs_sys_init(void)
{
}
void event_sys_init(void)
{
}
void time_sys_init(void)
{
}
void time_process_init(struct process *p)
{
	(void)p;
}
void time_process_exec(struct process *p)
{
	(void)p;
}
void time_process_exit(struct process *p)
{
	(void)p;
}
void futex_exit(struct task *t)
{
	u32 zero = 0;

	if (t->clear_child_tid &&
	    copy_to_user(t->mt->mm, t->clear_child_tid, &zero, 4))
		return;
}
void futex_exec(struct task *t)
{
	futex_exit(t);
}
int user_read_timespec(struct ktimespec *out, u64 from)
{
	return user_read(out, from, sizeof(*out));
}
u64 timespec_ns(const struct ktimespec *t)
{
	return (u64)t->sec * NSEC_PER_SEC + (u64)t->nsec;
}
struct tty *tty_of_process(struct process *p)
{
	(void)p;
	return NULL;
}
u32 tty_rdev(const struct tty *tty)
{
	(void)tty;
	return 0;
}
s32 tty_fg_pgrp(const struct tty *tty)
{
	(void)tty;
	return -1;
}
void tty_put(struct tty *tty)
{
	(void)tty;
}
void tty_inherit(struct process *child, struct process *parent)
{
	(void)child;
	(void)parent;
}
void tty_setsid(struct process *p)
{
	(void)p;
}
void tty_process_exit(struct process *p)
{
	(void)p;
}

void loadavg_get(u64 out[3])
{
	for (u64 i = 0; i < 3; i++)
		out[i] = (i + 1) << 16;
}

void kernel_init_ended(int code)
{
	pw.init_code = code;
}

/* ---- the CPU ---------------------------------------------------------------
 */

static inline u64 pw_prog(pw_fn fn)
{
	for (u32 i = 0; i < pw.nr_progs; i++)
		if (pw.prog[i] == fn)
			return PW_BASE + 16UL * i;
	CHECK(pw.nr_progs < PW_MAX);
	pw.prog[pw.nr_progs] = fn;
	return PW_BASE + 16UL * pw.nr_progs++;
}

static inline u64 pw_handler(pw_handler_fn fn)
{
	for (u32 i = 0; i < pw.nr_handlers; i++)
		if (pw.handler[i] == fn)
			return PW_HANDLERS + 16UL * i;
	CHECK(pw.nr_handlers < PW_MAX);
	pw.handler[pw.nr_handlers] = fn;
	return PW_HANDLERS + 16UL * pw.nr_handlers++;
}

static inline jmp_buf **pw_top(bool make)
{
	unsigned long flags = port_irq_save();
	jmp_buf **top = NULL;

	for (u32 i = 0; i < PW_THREADS && !top; i++)
		if (pw.tops[i].thread == port_self())
			top = &pw.tops[i].top;
	for (u32 i = 0; make && i < PW_THREADS && !top; i++) {
		struct port_thread *none = NULL;

		if (__atomic_compare_exchange_n(
			    &pw.tops[i].thread, &none, port_self(), false,
			    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			top = &pw.tops[i].top;
	}
	port_irq_restore(flags);
	return top;
}

static inline bool pw_in(u64 rip, u64 base)
{
	return rip >= base && rip < base + 16 * PW_MAX;
}

/* The handler that the registers stand at, until it has returned. */
static inline void pw_run_handler(struct pt_regs *regs)
{
	u64 restorer;

	CHECK_EQ(regs->rsp & 15, 8);
	pw.handler[(regs->rip - PW_HANDLERS) / 16]((int)regs->rdi, regs->rsi,
						   regs->rdx);
	CHECK_EQ(user_read(&restorer, regs->rsp, 8), 0);
	CHECK_EQ(restorer, PW_RESTORER);
	regs->rsp += 8;
	regs->rip = restorer;
	regs->orig_rax = 15;
	kernel_syscall(regs);
}

/* What the registers say is done until they stand behind SITE, or on SYSCALL
 * there: true. */
static inline bool pw_settle(struct pt_regs *regs, u64 site)
{
	for (;;) {
		if (kt_kicked(port_self()))
			kernel_exit_work(regs);
		if (pw_in(regs->rip, PW_HANDLERS))
			pw_run_handler(regs);
		else if (regs->rip == site)
			return false;
		else if (regs->rip == site - 2)
			return true;
		else
			longjmp(**pw_top(false), 1);
	}
}

static inline s64 pw_sys_at(u64 site, u64 nr, const u64 *a)
{
	struct pt_regs *regs = machine_regs(port_self());

	regs->rdi = a[0], regs->rsi = a[1], regs->rdx = a[2];
	regs->r10 = a[3], regs->r8 = a[4], regs->r9 = a[5];
	regs->rax = nr;
	do {
		regs->orig_rax = regs->rax;
		regs->rip = site;
		kernel_syscall(regs);
	} while (pw_settle(regs, site));
	return (s64)regs->rax;
}

#define pw_sys(nr, ...) pw_sys_at(PW_SITE, (nr), (const u64[6]){__VA_ARGS__})

/* An instruction goes by: signals may come. */
static inline void pw_step(void)
{
	struct pt_regs *regs = machine_regs(port_self());

	regs->rip = PW_SITE;
	CHECK(!pw_settle(regs, PW_SITE));
}

/* fork(2): the child runs CHILD. clone(2) with words of A. */
static inline s64 pw_fork(pw_fn child)
{
	return pw_sys_at(pw_prog(child), 57, (const u64[6]){0});
}
#define pw_clone(child, ...) \
	pw_sys_at(pw_prog(child), 56, (const u64[6]){__VA_ARGS__})

static inline _Noreturn void pw_exit(int code)
{
	pw_sys(231, (u64)code);
	CHECK(!"exit_group returned");
	abort();
}

static void pw_user_mode(struct pt_regs *regs)
{
	jmp_buf here, **top = pw_top(true);

	*top = &here;
	(void)setjmp(here);
	/* A thread begins as others end: with what came meanwhile. */
	if (kt_kicked(port_self()))
		kernel_exit_work(regs);
	while (pw_in(regs->rip, PW_HANDLERS))
		pw_run_handler(regs);
	/* A program that is not one of ours: nothing to run there. */
	if (!pw_in(regs->rip, PW_BASE) ||
	    (regs->rip - PW_BASE) / 16 >= pw.nr_progs)
		pw_exit(111);
	pw.prog[(regs->rip - PW_BASE) / 16](regs);
	pw_exit(0);
}

/* Room for words of the program's, mapped once. */
static inline uva_t pw_map(u64 bytes)
{
	s64 at = pw_sys(9, 0, bytes, 3, 0x22, (u64)-1, 0);

	CHECK(at > 0);
	return (uva_t)at;
}

static inline void pw_action(int sig, u64 handler, u64 flags, u64 mask)
{
	uva_t at = pw_map(PAGE_SIZE);
	struct ksigaction a = {handler, flags | SA_RESTORER, PW_RESTORER, mask};

	CHECK_EQ(user_write(at, &a, sizeof(a)), 0);
	CHECK_EQ(pw_sys(13, (u64)sig, at, 0, 8), 0);
	CHECK_EQ(pw_sys(11, at, PAGE_SIZE), 0);
}

/* wait4(PID): the number, *STATUS as wait4 has it. */
static inline s64 pw_wait(s64 pid, int *status, u32 options)
{
	uva_t at = pw_map(PAGE_SIZE);
	s64 ret = pw_sys(61, (u64)pid, at, options, 0);

	if (status)
		CHECK_EQ(user_read(status, at, sizeof(*status)), 0);
	CHECK_EQ(pw_sys(11, at, PAGE_SIZE), 0);
	return ret;
}

/* ---- programs as files -----------------------------------------------------
 */

struct pw_elf {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
	struct {
		u32 type, flags;
		u64 offset, vaddr, paddr, filesz, memsz, align;
	} ph[4];
};

/* A program of one segment at PW_BASE that begins at FN. */
static inline struct pw_elf pw_elf(pw_fn fn)
{
	struct pw_elf e = {
		.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
		.type = 2,
		.machine = 62,
		.version = 1,
		.entry = pw_prog(fn),
		.phoff = 64,
		.ehsize = 64,
		.phentsize = 56,
		.phnum = 1,
	};

	e.ph[0].type = 1;
	e.ph[0].flags = 5;
	e.ph[0].vaddr = e.ph[0].paddr = PW_BASE;
	e.ph[0].filesz = e.ph[0].memsz = sizeof(e);
	e.ph[0].align = PAGE_SIZE;
	return e;
}

/* ---- running ---------------------------------------------------------------
 */

static pw_fn pw_init;

static inline int pw_body(void *arg)
{
	static const char *const argv[] = {"init", NULL};
	static const char *const envp[] = {"HOME=/", NULL};
	struct pw_elf elf;
	int err;

	(void)arg;
	kt_start(NULL);
	memset(&pw, 0, sizeof(pw));
	kt_user_mode(pw_user_mode);
	syscall_init();
	CHECK_EQ(process_init(), 0);
	elf = pw_elf(pw_init);
	pw_file("/init", &elf, sizeof(elf));
	err = spawn_init("/init", argv, envp);
	CHECK_EQ(err, 0);
	/* It is gone when nobody is left. */
	while (READ_ONCE(task_sys.nr_processes))
		port_park(1000 * 1000);
	process_shutdown();
	for (u32 i = 0; i < ARRAY_SIZE(pw.files); i++)
		if (pw.files[i].file)
			fput(pw.files[i].file);
	CHECK_EQ(pw.open_files, 0);
	kt_user_mode(NULL);
	kt_stop();
	CHECK_EQ(pw.init_code, 0);
	return 0;
}

#define PW_RUN(fn, ...)                                                    \
	do {                                                               \
		pw_init = (fn);                                            \
		tm_run(&(struct tm_config){.body = pw_body, __VA_ARGS__}); \
	} while (0)

#endif
