/* SPDX-License-Identifier: MIT */
/*
 * The same random calls on names and files, made on Linux's tmpfs and on ours:
 * results, errors and what can be seen afterwards are equal.
 *
 * A child process goes into a fresh directory of /dev/shm by chroot(2), so
 * that absolute paths mean the same to both. Without the right to that, the
 * test is skipped. Where the file system below is no tmpfs, link counts of
 * directories are not compared.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs_machine.h"

/* Of the C library's headers only those that say nothing of files. */
#define F_GETFD 1
#define F_GETFL 3
#define F_SETFL 4

#define SLOTS 6
#define IO    4096

static struct {
	struct prng p;
	int host[SLOTS], ours[SLOTS]; /* -1: none */
	bool tmpfs;
	bool fallocated; /* pages that nobody wrote: hole or data, as it likes
			  */
	u64 step, iters;
	u64 counts[64], errors[64];
	char what[600];
} d;

static u64 rnd(u64 n)
{
	return prng_u64(&d.p) % n;
}

static bool one_in(u64 n)
{
	return !rnd(n);
}

/* What a call says on this Linux: value or -errno. */
#define HOST(...)                               \
	({                                      \
		long r_ = syscall(__VA_ARGS__); \
		r_ < 0 ? -(long)errno : r_;     \
	})

static void same(s64 ours, s64 host, u32 op)
{
	d.counts[op]++;
	d.errors[op] += host < 0;
	if (getenv("VERBOSE"))
		fprintf(stderr, "%llu: %s = %lld\n", (unsigned long long)d.step,
			d.what, (long long)host);
	if (ours == host)
		return;
	fprintf(stderr, "step %llu: %s: ours %lld, Linux %lld\n",
		(unsigned long long)d.step, d.what, (long long)ours,
		(long long)host);
	CHECK_EQ(ours, host);
}

#define WHAT(...) snprintf(d.what, sizeof(d.what), __VA_ARGS__)

/* ---- paths -----------------------------------------------------------------
 */

static const char *component(void)
{
	static char big[300];
	static const char *const names[] = {"a", "b", "c", "dd", "e"};

	if (one_in(60)) {
		u64 n = 30 + rnd(5) + (one_in(2) ? 222 : 0);

		memset(big, 'n', n);
		big[n] = 0;
		return big;
	}
	if (one_in(9))
		return "..";
	if (one_in(20))
		return ".";
	return names[rnd(ARRAY_SIZE(names))];
}

static const char *path(int which)
{
	static char buf[2][1024];
	char *at = buf[which];
	u64 n = 1 + rnd(3);

	*at = 0;
	if (one_in(150))
		return at;
	if (one_in(3))
		at = stpcpy(at, "/");
	for (u64 i = 0; i < n; i++) {
		if (i)
			at = stpcpy(at, one_in(12) ? "//" : "/");
		at = stpcpy(at, component());
	}
	if (one_in(12))
		stpcpy(at, "/");
	return buf[which];
}

/* ---- operations ------------------------------------------------------------
 */

static int slot(void)
{
	return (int)rnd(SLOTS);
}

static void op_open(u32 op)
{
	static const u32 bits[] = {O_CREAT,    O_CREAT,	    O_EXCL,	O_TRUNC,
				   O_APPEND,   O_DIRECTORY, O_NOFOLLOW, O_PATH,
				   O_NONBLOCK, O_CLOEXEC};
	u32 flags = (u32)rnd(3), mode = (u32)rnd(010000);
	const char *p = path(0);
	int i = slot();
	s64 o, h;

	for (u64 n = rnd(4); n; n--)
		flags |= bits[rnd(ARRAY_SIZE(bits))];
	/* A fifo waits for its other side; ours has none here. */
	flags |= O_NONBLOCK;
	if (d.host[i] >= 0) {
		CHECK_EQ(HOST(SYS_close, d.host[i]), CLOSE(d.ours[i]));
		d.host[i] = d.ours[i] = -1;
	}
	WHAT("open(%s, %o, %o)", p, flags, mode);
	o = OPEN(p, flags, mode);
	h = HOST(SYS_open, p, flags, mode);
	if (h >= 0 && o >= 0) {
		d.host[i] = (int)h;
		d.ours[i] = (int)o;
		o = h = 0;
	}
	/* Opening fifos is kernel/event's. */
	if (o == -ENXIO) {
		if (h >= 0)
			close((int)h);
		return;
	}
	same(o, h, op);
}

static void op_close(u32 op)
{
	int i = slot();

	WHAT("close(slot %d)", i);
	same(CLOSE(d.ours[i]), HOST(SYS_close, d.host[i]), op);
	d.host[i] = d.ours[i] = -1;
}

static void op_mkdir(u32 op)
{
	const char *p = path(0);
	u32 mode = (u32)rnd(02000);

	WHAT("mkdir(%s, %o)", p, mode);
	same(MKDIR(p, mode), HOST(SYS_mkdir, p, mode), op);
}

static void op_mknod(u32 op)
{
	const char *p = path(0);
	u32 mode = (u32)rnd(01000) |
		   (one_in(2) ? S_IFIFO : (one_in(2) ? S_IFREG : S_IFSOCK));

	WHAT("mknod(%s, %o)", p, mode);
	same(SYS(133, ft_str(p), mode, 0), HOST(SYS_mknod, p, mode, 0), op);
}

static void op_rmdir(u32 op)
{
	const char *p = path(0);

	WHAT("rmdir(%s)", p);
	same(RMDIR(p), HOST(SYS_rmdir, p), op);
}

static void op_unlink(u32 op)
{
	const char *p = path(0);

	WHAT("unlink(%s)", p);
	same(UNLINK(p), HOST(SYS_unlink, p), op);
}

static void op_rename(u32 op)
{
	const char *a = path(0), *b = path(1);
	u32 flags = one_in(3) ? (u32)rnd(5) : 0;

	/* Whiteouts are not there. */
	flags &= 3;
	WHAT("renameat2(%s, %s, %u)", a, b, flags);
	same(SYS(316, AT_FDCWD, ft_str(a), AT_FDCWD, ft_str(b), flags),
	     HOST(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags), op);
}

static void op_link(u32 op)
{
	const char *a = path(0), *b = path(1);
	u32 flags = one_in(2) ? AT_SYMLINK_FOLLOW : 0;

	WHAT("linkat(%s, %s, %u)", a, b, flags);
	same(SYS(265, AT_FDCWD, ft_str(a), AT_FDCWD, ft_str(b), flags),
	     HOST(SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, flags), op);
}

static void op_symlink(u32 op)
{
	const char *a = path(0), *b = path(1);

	WHAT("symlink(%s, %s)", a, b);
	same(SYMLINK(a, b), HOST(SYS_symlink, a, b), op);
}

static void op_readlink(u32 op)
{
	const char *p = path(0);
	char o[1024] = {0}, h[1024] = {0};
	u64 n = 1 + rnd(40);
	s64 got;

	WHAT("readlink(%s, %llu)", p, (unsigned long long)n);
	got = SYS(89, ft_str(p), FT_AT, n);
	if (got > 0)
		ft_get(o, (u64)got, 0);
	same(got, HOST(SYS_readlink, p, h, n), op);
	CHECK(!memcmp(o, h, n));
}

static void compare_stat(const struct ft_stat *o, const struct ft_stat *h,
			 u32 op)
{
	same(o->mode, h->mode, op);
	same(o->uid, h->uid, op);
	same(o->gid, h->gid, op);
	if (d.tmpfs || (h->mode & S_IFMT) != S_IFDIR)
		same((s64)o->nlink, (s64)h->nlink, op);
	if (d.tmpfs || (h->mode & S_IFMT) != S_IFDIR)
		same(o->size, h->size, op);
	same((s64)o->rdev, (s64)h->rdev, op);
	if (d.tmpfs && (h->mode & S_IFMT) == S_IFREG)
		same(o->blocks, h->blocks, op);
}

static void op_stat(u32 op)
{
	const char *p = path(0);
	struct ft_stat o, h;
	bool follow = one_in(2);
	s64 err;

	WHAT("%sstat(%s)", follow ? "" : "l", p);
	err = ft_stat(p, follow, &o);
	same(err, HOST(follow ? SYS_stat : SYS_lstat, p, &h), op);
	if (!err)
		compare_stat(&o, &h, op);
}

static void op_fstat(u32 op)
{
	struct ft_stat o, h;
	int i = slot();
	s64 err;

	WHAT("fstat(slot %d)", i);
	err = SYS(5, d.ours[i], FT_AT);
	if (!err)
		ft_get(&o, sizeof(o), 0);
	same(err, HOST(SYS_fstat, d.host[i], &h), op);
	if (!err)
		compare_stat(&o, &h, op);
}

static void op_write(u32 op)
{
	char buf[IO];
	u64 n = rnd(one_in(4) ? IO : 50);
	int i = slot();

	memset(buf, (int)('a' + rnd(26)), sizeof(buf));
	WHAT("write(slot %d, %llu)", i, (unsigned long long)n);
	ft_put(buf, n, 0);
	same(SYS(1, d.ours[i], FT_AT, n), HOST(SYS_write, d.host[i], buf, n),
	     op);
}

static void op_pwrite(u32 op)
{
	char buf[IO];
	u64 n = rnd(50);
	s64 at = (s64)rnd(40000) - 10;
	int i = slot();

	memset(buf, (int)('A' + rnd(26)), sizeof(buf));
	WHAT("pwrite(slot %d, %llu, %lld)", i, (unsigned long long)n,
	     (long long)at);
	ft_put(buf, n, 0);
	same(SYS(18, d.ours[i], FT_AT, n, at),
	     HOST(SYS_pwrite64, d.host[i], buf, n, at), op);
}

static void op_read(u32 op)
{
	char o[IO], h[IO];
	u64 n = rnd(IO);
	int i = slot();
	s64 got;

	memset(o, 0, sizeof(o));
	memset(h, 0, sizeof(h));
	WHAT("read(slot %d, %llu)", i, (unsigned long long)n);
	got = SYS(0, d.ours[i], FT_AT, n);
	if (got > 0)
		ft_get(o, (u64)got, 0);
	same(got, HOST(SYS_read, d.host[i], h, n), op);
	CHECK(!memcmp(o, h, sizeof(o)));
}

static void op_readv(u32 op)
{
	struct {
		u64 base, len;
	} ov[3], hv[3];
	char o[IO], h[IO];
	int i = slot();
	u64 off = 0;
	s64 got;

	memset(h, 0, sizeof(h));
	memset(o, 0, sizeof(o));
	ft_put(o, sizeof(o), 0);
	for (int k = 0; k < 3; k++) {
		u64 len = rnd(300);

		ov[k].base = FT_AT + off;
		hv[k].base = (uintptr_t)h + off;
		ov[k].len = hv[k].len = len;
		off += len;
	}
	WHAT("preadv(slot %d)", i);
	ft_put(ov, sizeof(ov), IO);
	got = SYS(295, d.ours[i], FT_AT + IO, 3, 100, 0);
	ft_get(o, sizeof(o), 0);
	same(got, HOST(SYS_preadv, d.host[i], hv, 3, 100, 0), op);
	CHECK(!memcmp(o, h, sizeof(o)));
}

static void op_lseek(u32 op)
{
	int whence = (int)rnd(d.fallocated ? 3 : 6), i = slot();
	s64 off = (s64)rnd(50000) - 1000;
	struct ft_stat st;

	WHAT("lseek(slot %d, %lld, %d)", i, (long long)off, whence);
	/* Directories have positions of their file system's own. */
	if (!SYS(5, d.ours[i], FT_AT)) {
		ft_get(&st, sizeof(st), 0);
		if ((st.mode & S_IFMT) == S_IFDIR) {
			off = 0;
			whence = 0;
		}
	}
	same(SYS(8, d.ours[i], off, whence),
	     HOST(SYS_lseek, d.host[i], off, whence), op);
}

static void op_truncate(u32 op)
{
	const char *p = path(0);
	s64 n = (s64)rnd(20000) - 20;

	WHAT("truncate(%s, %lld)", p, (long long)n);
	same(SYS(76, ft_str(p), n), HOST(SYS_truncate, p, n), op);
}

static void op_ftruncate(u32 op)
{
	int i = slot();
	s64 n = (s64)rnd(20000) - 20;

	WHAT("ftruncate(slot %d, %lld)", i, (long long)n);
	same(SYS(77, d.ours[i], n), HOST(SYS_ftruncate, d.host[i], n), op);
}

static void op_fallocate(u32 op)
{
	int i = slot();
	u32 mode = (u32)rnd(4);
	s64 off = (s64)rnd(20000), n = (s64)rnd(20000) - 10;

	/* In the second half of a run. */
	if (d.step < d.iters / 2)
		return;
	d.fallocated = true;
	WHAT("fallocate(slot %d, %u, %lld, %lld)", i, mode, (long long)off,
	     (long long)n);
	same(SYS(285, d.ours[i], mode, off, n),
	     HOST(SYS_fallocate, d.host[i], mode, off, n), op);
}

static void op_chmod(u32 op)
{
	const char *p = path(0);
	u32 mode = (u32)rnd(010000);

	WHAT("chmod(%s, %o)", p, mode);
	same(SYS(90, ft_str(p), mode), HOST(SYS_chmod, p, mode), op);
}

static void op_chown(u32 op)
{
	const char *p = path(0);
	u32 uid = one_in(3) ? UINT32_MAX : (u32)rnd(3) * 1000;
	u32 gid = one_in(3) ? UINT32_MAX : (u32)rnd(3) * 1000;
	bool follow = one_in(2);

	WHAT("%schown(%s, %d, %d)", follow ? "" : "l", p, (int)uid, (int)gid);
	same(SYS(follow ? 92 : 94, ft_str(p), uid, gid),
	     HOST(follow ? SYS_chown : SYS_lchown, p, uid, gid), op);
}

static void op_chdir(u32 op)
{
	const char *p = path(0);
	char h[4200] = {0};
	s64 o;

	WHAT("chdir(%s)", p);
	same(CHDIR(p), HOST(SYS_chdir, p), op);
	WHAT("getcwd");
	o = SYS(79, FT_AT, 4096);
	same(o, HOST(SYS_getcwd, h, 4096), op);
	if (o > 0)
		CHECK(!strcmp(ft_cwd(), h));
}

static void op_access(u32 op)
{
	const char *p = path(0);
	u32 mode = (u32)rnd(9), flags = one_in(2) ? AT_EACCESS : 0;

	WHAT("faccessat2(%s, %u, %u)", p, mode, flags);
	same(SYS(439, AT_FDCWD, ft_str(p), mode, flags),
	     HOST(SYS_faccessat2, AT_FDCWD, p, mode, flags), op);
}

static void op_utimes(u32 op)
{
	const char *p = path(0);
	s64 t[4];
	struct ft_stat o, h;
	s64 err;

	for (int i = 0; i < 2; i++) {
		t[2 * i] = (s64)rnd(100000);
		t[2 * i + 1] = one_in(8) ? UTIME_OMIT : (s64)rnd(1000000500);
	}
	WHAT("utimensat(%s)", p);
	ft_put(t, sizeof(t), 0);
	err = SYS(280, AT_FDCWD, ft_str(p), FT_AT, 0);
	same(err, HOST(SYS_utimensat, AT_FDCWD, p, t, 0), op);
	if (err || t[1] == UTIME_OMIT || t[3] == UTIME_OMIT)
		return;
	same(ft_stat(p, true, &o), HOST(SYS_stat, p, &h), op);
	same((s64)o.mtime, (s64)h.mtime, op);
	same((s64)o.mtime_ns, (s64)h.mtime_ns, op);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted names with their kinds, out of N bytes of records. */
static void names_of(const char *buf, s64 n, char *out, size_t size)
{
	char *list[128], text[128][300];
	u32 nr = 0;

	for (s64 at = 0; at < n && nr < 128;) {
		const struct linux_dirent_ {
			u64 ino;
			s64 off;
			u16 reclen;
			u8 type;
			char name[];
		} *e = (const void *)(buf + at);

		snprintf(text[nr], sizeof(text[nr]), "%d:%s ", e->type,
			 e->name);
		list[nr] = text[nr];
		nr++;
		at += e->reclen;
	}
	qsort(list, nr, sizeof(*list), by_name);
	*out = 0;
	for (u32 i = 0; i < nr; i++)
		strncat(out, list[i], size - strlen(out) - 1);
}

static void op_getdents(u32 op)
{
	static _Alignas(8) char ob[FT_BUF], hb[FT_BUF], on[9000], hn[9000];
	int i = slot();
	s64 o, h;

	WHAT("getdents64(slot %d)", i);
	(void)SYS(8, d.ours[i], 0, 0);
	(void)HOST(SYS_lseek, d.host[i], 0, 0);
	o = SYS(217, d.ours[i], FT_AT, FT_BUF);
	h = HOST(SYS_getdents64, d.host[i], hb, sizeof(hb));
	if (o > 0)
		ft_get(ob, (u64)o, 0);
	same(o < 0 ? o : 0, h < 0 ? h : 0, op);
	names_of(ob, o, on, sizeof(on));
	names_of(hb, h, hn, sizeof(hn));
	if (strcmp(on, hn))
		fprintf(stderr, "%s: ours %s, Linux %s\n", d.what, on, hn);
	CHECK(!strcmp(on, hn));
}

static void op_fcntl(u32 op)
{
	int i = slot();
	u32 flags = one_in(2) ? O_APPEND | O_NONBLOCK : O_NONBLOCK;

	WHAT("F_GETFL(slot %d)", i);
	same(SYS(72, d.ours[i], F_GETFL, 0),
	     HOST(SYS_fcntl, d.host[i], F_GETFL, 0), op);
	WHAT("F_SETFL(slot %d, %o)", i, flags);
	same(SYS(72, d.ours[i], F_SETFL, flags),
	     HOST(SYS_fcntl, d.host[i], F_SETFL, flags), op);
	WHAT("F_GETFD(slot %d)", i);
	same(SYS(72, d.ours[i], F_GETFD, 0),
	     HOST(SYS_fcntl, d.host[i], F_GETFD, 0), op);
}

static void op_fchdir(u32 op)
{
	int i = slot();

	WHAT("fchdir(slot %d)", i);
	same(SYS(81, d.ours[i]), HOST(SYS_fchdir, d.host[i]), op);
}

static void op_umask(u32 op)
{
	u32 mask = (u32)rnd(01000);

	WHAT("umask(%o)", mask);
	same(SYS(95, mask), HOST(SYS_umask, mask), op);
}

/* Another user for the files' sake: setfsuid(2) takes capabilities away. */
static void op_identity(u32 op)
{
	u32 uid = one_in(2) ? 0 : 1000;
	struct cred *c = &ft.task.cred;
	u64 fs_caps = 0x1fUL | 1UL << 9 | 1UL << 27 | 1UL << 32;

	(void)op;
	(void)HOST(SYS_setfsgid, uid);
	(void)HOST(SYS_setfsuid, uid);
	c->fsuid = c->fsgid = uid;
	c->cap_effective = uid ? c->cap_permitted & ~fs_caps : c->cap_permitted;
}

static void op_copy(u32 op)
{
	int i = slot(), j = slot();
	u64 from = rnd(3000), to = rnd(3000), n = rnd(3000);
	s64 h, o;

	WHAT("copy_file_range(slot %d, slot %d, %llu)", i, j,
	     (unsigned long long)n);
	ft_put(&from, 8, 0);
	ft_put(&to, 8, 8);
	o = SYS(326, d.ours[i], FT_AT, d.ours[j], FT_AT + 8, n, 0);
	h = HOST(SYS_copy_file_range, d.host[i], &from, d.host[j], &to, n, 0);
	/* Kinds besides regular files: the order of errors differs. */
	if (o < 0 && h < 0)
		o = h;
	same(o, h, op);
}

static void (*const ops[])(u32 op) = {
	op_open,     op_open,  op_open,	    op_close,	  op_mkdir,
	op_mkdir,    op_mknod, op_rmdir,    op_unlink,	  op_rename,
	op_rename,   op_link,  op_symlink,  op_readlink,  op_stat,
	op_stat,     op_fstat, op_write,    op_pwrite,	  op_read,
	op_readv,    op_lseek, op_truncate, op_ftruncate, op_fallocate,
	op_chmod,    op_chown, op_chdir,    op_access,	  op_utimes,
	op_getdents, op_fcntl, op_fchdir,   op_umask,	  op_identity,
	op_copy,
};

/* WATCH=/a/b: when do the two begin to differ there? */
static void watch(const char *p)
{
	struct ft_stat o, h;
	char was[sizeof(d.what)];
	s64 err = ft_stat(p, false, &o);

	memcpy(was, d.what, sizeof(was));
	if (!err && !HOST(SYS_lstat, p, &h) && o.mode != h.mode)
		fprintf(stderr, "%s differs since %s: ours %o, Linux %o\n", p,
			was, o.mode, h.mode);
}

static int diff_body(void *arg)
{
	u64 iters = test_iters(tm_soak() ? 400000 : 20000);
	u64 did = 0, failed = 0;

	(void)arg;
	test_seed(&d.p, "test_fs_diff");
	tm.cfg.seed = test_env("SEED", 1);
	CHECK_EQ(MKDIR("/w", 0777), 0);
	CHECK_EQ(SYS(90, ft_str("/w"), 0777), 0);
	CHECK_EQ(SYS(161, ft_str("/w")), 0);
	CHECK_EQ(CHDIR("/"), 0);
	(void)SYS(95, 022);
	(void)HOST(SYS_umask, 022);
	for (int i = 0; i < SLOTS; i++)
		d.host[i] = d.ours[i] = -1;
	d.iters = iters;
	for (d.step = 0; d.step < iters; d.step++) {
		u32 op = (u32)rnd(ARRAY_SIZE(ops));

		ops[op](op);
		if (getenv("WATCH"))
			watch(getenv("WATCH"));
		if (!(d.step % 500))
			dcache_check();
	}
	for (u32 i = 0; i < ARRAY_SIZE(ops); i++) {
		did += d.counts[i];
		failed += d.errors[i];
	}
	fprintf(stderr, "%llu results compared, %llu of them errors\n",
		(unsigned long long)did, (unsigned long long)failed);
	/* A test of errors alone would be none. */
	CHECK(did - failed > iters / 8);
	(void)HOST(SYS_setfsuid, 0);
	(void)HOST(SYS_setfsgid, 0);
	ft_become(0);
	return 0;
}

/* In a child: the directory is "/" from now on. 77: not allowed. */
static int child(const char *dir)
{
	u64 sf[15];

	if (chdir(dir) || HOST(SYS_chmod, ".", 0777) ||
	    HOST(SYS_statfs, ".", sf) || HOST(SYS_chroot, ".") ||
	    HOST(SYS_setgroups, 0, NULL))
		return 77;
	d.tmpfs = sf[0] == TMPFS_MAGIC;
	FS_RUN(diff_body, .mem = 32UL << 20);
	return 0;
}

static void differential(void **state)
{
	char dir[64] = "/dev/shm/mmkit-fs-XXXXXX", cmd[128];
	int status = -1;
	int pid;

	(void)state;
	if (!mkdtemp(dir)) {
		strcpy(dir, "/tmp/mmkit-fs-XXXXXX");
		if (!mkdtemp(dir))
			skip();
	}
	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(child(dir));
	assert_true(pid > 0);
	assert_int_equal(HOST(SYS_wait4, pid, &status, 0, NULL), pid);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	if (system(cmd))
		fprintf(stderr, "%s stays\n", dir);
	if (status == 77 << 8)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(differential),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
