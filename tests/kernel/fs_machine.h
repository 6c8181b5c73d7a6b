/* SPDX-License-Identifier: MIT */
/*
 * fs_machine.h - a machine with files and one task, for tests that make system
 * calls: strings and buffers stand in the task's user memory.
 *
 *	static int body(void *arg) { CHECK_EQ(OPEN("/a", O_CREAT, 0644), 0); }
 *	FS_RUN(body, .mem = 16UL << 20);
 *
 * At the end descriptors, names and mounts are given back, and the machine's
 * audit must be clean.
 */
#ifndef TESTS_KERNEL_FS_MACHINE_H
#define TESTS_KERNEL_FS_MACHINE_H

#include "sim_machine.h"

#include <mmkit/uaccess.h>

#include "fs/fs.h"
#include "syscall.h"
#include "task_stub.h"

#define FT_USER (64u << 10) /* bytes of user memory */
#define FT_BUF	(32u << 10) /* of that, from here on: FT_AT */

static struct {
	syscall_fn calls[NR_SYSCALLS];
	const char *names[NR_SYSCALLS];
	struct task task;
	struct process proc;
	struct mm_struct *mm;
	uva_t user;
	u32 next; /* strings so far */
	int (*body)(void *arg);
	void *arg;
} ft;

KT_WEAK void syscall_register(const struct syscall_def *defs, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		CHECK(!ft.calls[defs[i].nr]);
		ft.calls[defs[i].nr] = defs[i].fn;
		ft.names[defs[i].nr] = defs[i].name;
	}
}

KT_WEAK int user_path(char *buf, uva_t from)
{
	s64 n = strncpy_from_user(current->mt->mm, buf, from, PATH_MAX);

	if (n < 0)
		return (int)n;
	return n == PATH_MAX ? -ENAMETOOLONG : 0;
}

/* A string in user memory; the oldest are written over. */
MM_UNUSED static uva_t ft_str(const char *s)
{
	u32 n = (u32)strlen(s) + 1;
	uva_t at;

	if (ft.next + n > FT_USER - FT_BUF)
		ft.next = 0;
	at = ft.user + ft.next;
	CHECK_EQ(copy_to_user(ft.mm, at, s, n), 0);
	ft.next += n;
	return at;
}

/* The buffer. */
#define FT_AT (ft.user + FT_USER - FT_BUF)

MM_UNUSED static void ft_put(const void *p, u64 n, u64 off)
{
	CHECK_EQ(copy_to_user(ft.mm, FT_AT + off, p, n), 0);
}

MM_UNUSED static void ft_get(void *p, u64 n, u64 off)
{
	CHECK_EQ(copy_from_user(ft.mm, p, FT_AT + off, n), 0);
}

MM_UNUSED static s64 ft_call(u32 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	struct sys_args s = {{a, b, c, d, e, f}};

	CHECK(ft.calls[nr]);
	return ft.calls[nr](&s);
}

#define FT_SEL(_1, _2, _3, _4, _5, _6, _7, name, ...) name
#define FT0(n)					      ft_call(n, 0, 0, 0, 0, 0, 0)
#define FT1(n, a)				      ft_call(n, (u64)(a), 0, 0, 0, 0, 0)
#define FT2(n, a, b)				      ft_call(n, (u64)(a), (u64)(b), 0, 0, 0, 0)
#define FT3(n, a, b, c)				      ft_call(n, (u64)(a), (u64)(b), (u64)(c), 0, 0, 0)
#define FT4(n, a, b, c, d) \
	ft_call(n, (u64)(a), (u64)(b), (u64)(c), (u64)(d), 0, 0)
#define FT5(n, a, b, c, d, e) \
	ft_call(n, (u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), 0)
#define FT6(n, a, b, c, d, e, f) \
	ft_call(n, (u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), (u64)(f))
/* SYS(number, arguments...) */
#define SYS(...) \
	FT_SEL(__VA_ARGS__, FT6, FT5, FT4, FT3, FT2, FT1, FT0, )(__VA_ARGS__)

#define OPEN(path, flags, mode) SYS(2, ft_str(path), (flags), (mode))
#define CLOSE(fd)		SYS(3, (fd))
#define MKDIR(path, mode)	SYS(83, ft_str(path), (mode))
#define RMDIR(path)		SYS(84, ft_str(path))
#define UNLINK(path)		SYS(87, ft_str(path))
#define LINK(a, b)		SYS(86, ft_str(a), ft_str(b))
#define SYMLINK(text, path)	SYS(88, ft_str(text), ft_str(path))
#define RENAME(a, b)		SYS(82, ft_str(a), ft_str(b))
#define CHDIR(path)		SYS(80, ft_str(path))
#define MOUNT(dev, dir, type, flags, data) \
	SYS(165, ft_str(dev), ft_str(dir), ft_str(type), (flags), ft_str(data))
#define UMOUNT(dir, flags) SYS(166, ft_str(dir), (flags))

MM_UNUSED static s64 ft_write(int fd, const void *p, u64 n)
{
	ft_put(p, n, 0);
	return SYS(1, fd, FT_AT, n);
}

MM_UNUSED static s64 ft_read(int fd, void *p, u64 n)
{
	s64 got = SYS(0, fd, FT_AT, n);

	if (got > 0)
		ft_get(p, (u64)got, 0);
	return got;
}

/* struct stat of x86-64 */
struct ft_stat {
	u64 dev, ino, nlink;
	u32 mode, uid, gid, pad;
	u64 rdev;
	s64 size, blksize, blocks;
	u64 atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
	s64 unused[3];
};

MM_UNUSED static s64 ft_stat(const char *path, bool follow, struct ft_stat *st)
{
	s64 err = SYS(follow ? 4 : 6, ft_str(path), FT_AT);

	if (!err)
		ft_get(st, sizeof(*st), 0);
	return err;
}

/* What getcwd(2) says; "" if nothing. */
MM_UNUSED static const char *ft_cwd(void)
{
	static char buf[PATH_MAX];
	s64 n = SYS(79, FT_AT, sizeof(buf));

	buf[0] = 0;
	if (n > 0)
		ft_get(buf, (u64)n, 0);
	return buf;
}

MM_UNUSED static const char *ft_readlink(const char *path)
{
	static char buf[PATH_MAX];
	s64 n = SYS(89, ft_str(path), FT_AT, sizeof(buf) - 1);

	buf[0] = 0;
	if (n > 0) {
		ft_get(buf, (u64)n, 0);
		buf[n] = 0;
	}
	return buf;
}

/* ---- the machine -----------------------------------------------------------
 */

/* Another task's credentials: UID, its group, no capabilities; 0: root. */
MM_UNUSED static void ft_become(u32 uid)
{
	struct cred *c = &ft.task.cred;

	c->uid = c->euid = c->suid = c->fsuid = uid;
	c->gid = c->egid = c->sgid = c->fsgid = uid;
	c->nr_groups = 0;
	c->cap_permitted = c->cap_effective = uid ? 0 : (1UL << 41) - 1;
}

MM_UNUSED static void ft_begin(void)
{
	ft.next = 0;
	memset(ft.calls, 0, sizeof(ft.calls));
	ft.mm = tm_mm();
	tm_use(ft.mm);
	port_current()->flags &= ~(u32)PF_KTHREAD;
	ft.user = tm_map(ft.mm, FT_USER >> PAGE_SHIFT);
	kt_start(NULL);
	kt_set_wall_ns(1700000000UL * 1000000000UL);
	CHECK_EQ(vfs_init(), 0);
	fs_sys_init();
	kt_task_init(&ft.task, &ft.proc);
	ft.task.files = files_new();
	ft.task.fs = fs_new();
	CHECK(ft.task.files && ft.task.fs);
	kt_set_owner(&ft.task);
}

MM_UNUSED static void ft_end(void)
{
	ft_become(0);
	files_put(ft.task.files);
	CHECK(locks_none());
	fs_put(ft.task.fs);
	dcache_check();
	kt_set_owner(NULL);
	vfs_shutdown();
	kt_stop();
	mm_put(ft.mm);
}

MM_UNUSED static int ft_main(void *arg)
{
	int ret;

	(void)arg;
	ft_begin();
	ret = ft.body(ft.arg);
	ft_end();
	return ret;
}

#define FS_RUN(fn, ...)                       \
	do {                                  \
		ft.body = (fn);               \
		ft.arg = NULL;                \
		TM_RUN(ft_main, __VA_ARGS__); \
	} while (0)

#endif
