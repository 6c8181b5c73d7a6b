/* SPDX-License-Identifier: MIT */
/* Descriptors, locks, mounts, programs that run; and want of memory. */
#include "fs_machine.h"

#include "base/fail.h"

static int fds_body(void *arg)
{
	struct ft_stat st;
	int fd;

	(void)arg;
	CHECK_EQ(OPEN("/f", O_CREAT | O_RDWR, 0644), 0);
	CHECK_EQ(SYS(32, 0), 1);
	CHECK_EQ(SYS(33, 0, 200), 200); /* the table grows */
	CHECK_EQ(SYS(292, 0, 5, O_CLOEXEC), 5);
	CHECK_EQ(SYS(292, 0, 0, 0), -EINVAL);
	CHECK_EQ(SYS(33, 7, 8), -EBADF);
	CHECK_EQ(SYS(33, 0, 100000), -EBADF);
	/* One position for all of them. */
	CHECK_EQ(ft_write(200, "abc", 3), 3);
	CHECK_EQ(SYS(8, 0, 0, 1), 3);
	files_exec(ft.task.files);
	CHECK_EQ(CLOSE(5), -EBADF);
	CHECK_EQ(SYS(436, 1, 300, 0), 0);
	CHECK_EQ(CLOSE(1), -EBADF);
	CHECK_EQ(CLOSE(200), -EBADF);
	/* No descriptor, no file. */
	kt_stub.rlimit[RLIMIT_NOFILE] = 1;
	CHECK_EQ(OPEN("/g", O_CREAT | O_RDWR, 0644), -EMFILE);
	CHECK_EQ(ft_stat("/g", true, &st), -ENOENT);
	kt_stub.rlimit[RLIMIT_NOFILE] = 1024;
	/* What is run is not written. */
	CHECK_EQ(SYS(90, ft_str("/f"), 0755), 0);
	CHECK_EQ(CLOSE(0), 0);
	{
		struct file *x = vfs_open_exec(AT_FDCWD, "/f");

		CHECK(!IS_ERR(x));
		CHECK_EQ(OPEN("/f", O_RDWR, 0), -ETXTBSY);
		CHECK_EQ(SYS(76, ft_str("/f"), 0), -ETXTBSY);
		/* Regression: to read it, but empty. */
		CHECK_EQ(OPEN("/f", O_RDONLY | O_TRUNC, 0), -ETXTBSY);
		fput(x);
	}
	/* Who only cuts it is no writer afterwards. */
	CHECK_EQ(SYS(76, ft_str("/f"), 5), 0);
	fd = (int)OPEN("/f", O_RDONLY | O_TRUNC, 0);
	CHECK_EQ(fd, 0);
	CHECK_EQ(CLOSE(fd), 0);
	fput(vfs_open_exec(AT_FDCWD, "/f"));
	fd = (int)OPEN("/f", O_RDWR, 0);
	CHECK_EQ(fd, 0);
	CHECK_EQ(PTR_ERR(vfs_open_exec(AT_FDCWD, "/f")), -ETXTBSY);
	return 0;
}

static void fds(void **state)
{
	(void)state;
	FS_RUN(fds_body);
}

/* fcntl(CMD) of FD; what comes back stands in *FL. */
static s64 lock(int fd, u32 cmd, int type, s64 start, s64 len,
		struct flock64 *fl)
{
	struct flock64 f = {
		.l_type = (s16)type, .l_start = start, .l_len = len};
	s64 err;

	ft_put(&f, sizeof(f), 0);
	err = SYS(72, fd, cmd, FT_AT);
	if (fl)
		ft_get(fl, sizeof(*fl), 0);
	return err;
}

static int locks_body(void *arg)
{
	struct files_struct *other, *mine = ft.task.files;
	struct flock64 fl;
	int fd = (int)OPEN("/l", O_CREAT | O_RDWR, 0644);

	(void)arg;
	other = files_copy(mine);
	CHECK_EQ(lock(fd, 6, 1, 0, 100, NULL), 0);
	/* A hole in the middle: two locks. */
	CHECK_EQ(lock(fd, 6, 2, 40, 20, NULL), 0);
	ft.task.files = other;
	CHECK_EQ(lock(fd, 6, 0, 39, 1, NULL), -EAGAIN);
	CHECK_EQ(lock(fd, 6, 1, 40, 20, NULL), 0);
	CHECK_EQ(lock(fd, 5, 1, 0, 0, &fl), 0);
	CHECK(fl.l_type == 1 && fl.l_start == 0 && fl.l_len == 40);
	CHECK_EQ(lock(fd, 5, 1, 60, 0, &fl), 0);
	CHECK(fl.l_type == 1 && fl.l_start == 60 && fl.l_len == 40);
	/* Open files' locks stand against both. */
	CHECK_EQ(lock(fd, 37, 0, 100, 0, NULL), 0);
	ft.task.files = mine;
	CHECK_EQ(lock(fd, 6, 1, 90, 20, NULL), -EAGAIN);
	CHECK_EQ(lock(fd, 6, 0, 90, 20, NULL), 0);
	/* The first close of the file ends all of a process's. */
	CHECK_EQ(SYS(32, fd), 1);
	CHECK_EQ(CLOSE(1), 0);
	ft.task.files = other;
	CHECK_EQ(lock(fd, 6, 1, 0, 100, NULL), 0);
	ft.task.files = mine;
	files_put(other);
	CHECK_EQ(SYS(73, fd, 2 | 4), 0);
	CHECK_EQ(SYS(73, OPEN("/l", O_RDONLY, 0), 2 | 4), -EAGAIN);
	return 0;
}

static void locks(void **state)
{
	(void)state;
	FS_RUN(locks_body);
}

static int mounts_body(void *arg)
{
	struct ft_stat st;
	char text[4096];
	struct seq_buf s;
	int fd;

	(void)arg;
	CHECK_EQ(MKDIR("/m", 0755), 0);
	CHECK_EQ(MKDIR("/b", 0755), 0);
	CHECK_EQ(MOUNT("t", "/m", "nofs", 0, ""), -ENODEV);
	CHECK_EQ(MOUNT("t", "/m", "tmpfs", 0, "size=bad"), -EINVAL);
	CHECK_EQ(MOUNT("t", "/m", "tmpfs", MS_NOSUID, "size=8k,nr_inodes=4"),
		 0);
	CHECK_EQ(MKDIR("/m/d", 0755), 0);
	CHECK_EQ(MKDIR("/m/e", 0755), 0);
	fd = (int)OPEN("/m/f", O_CREAT | O_RDWR, 0644);
	CHECK_EQ(OPEN("/m/g", O_CREAT | O_RDWR, 0644), -ENOSPC);
	CHECK_EQ(UMOUNT("/m", 0), -EBUSY);
	CHECK_EQ(RMDIR("/m"), -EBUSY);
	CHECK_EQ(RENAME("/m/f", "/f"), -EXDEV);
	/* The same names by another way. */
	CHECK_EQ(SYS(165, ft_str("/m/d"), ft_str("/b"), 0, MS_BIND, 0), 0);
	CHECK_EQ(UNLINK("/m/f"), 0);
	CHECK_EQ(RMDIR("/m/e"), 0);
	CHECK_EQ(ft_stat("/b/x", true, &st), -ENOENT);
	CHECK_EQ(MKDIR("/m/d/x", 0755), 0);
	CHECK_EQ(ft_stat("/b/x", true, &st), 0);
	CHECK_EQ(RMDIR("/b/x"), 0);
	CHECK_EQ(ft_stat("/m/d/x", true, &st), -ENOENT);
	seq_buf_init(&s, text, sizeof(text));
	vfs_show_mounts(&s);
	CHECK(strstr(seq_buf_str(&s),
		     "t /m tmpfs rw,nosuid,relatime,size=8k,nr_inodes=4 0 0"));
	CHECK_EQ(UMOUNT("/b", 0), 0);
	/* Read-only from now on. */
	CHECK_EQ(MOUNT("t", "/m", "tmpfs", MS_REMOUNT | MS_RDONLY, ""), 0);
	CHECK_EQ(MKDIR("/m/y", 0755), -EROFS);
	CHECK_EQ(ft_stat("/m/d", true, &st), 0);
	/* It goes with its last user. */
	CHECK_EQ(UMOUNT("/m", MNT_DETACH), 0);
	CHECK_EQ(ft_stat("/m/d", true, &st), -ENOENT);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK_EQ(MOUNT("t", "/m", "tmpfs", 0, ""), 0);
	CHECK_EQ(UMOUNT("/m", MNT_EXPIRE), -EAGAIN);
	CHECK_EQ(UMOUNT("/m", MNT_EXPIRE), 0);
	CHECK_EQ(UMOUNT("/m", 0), -EINVAL);
	return 0;
}

static void mounts(void **state)
{
	(void)state;
	FS_RUN(mounts_body);
}

/* Some of everything; what fails says ENOMEM and has changed nothing that
 * would keep the rest from being given back. */
static void some_calls(void)
{
	int fd = (int)OPEN("/s/a-name-that-is-longer-than-thirty-two-bytes",
			   O_CREAT | O_RDWR, 0644);

	(void)MKDIR("/s/d", 0755);
	(void)SYMLINK("d/../d", "/s/l");
	(void)LINK("/s/a-name-that-is-longer-than-thirty-two-bytes", "/s/h");
	(void)RENAME("/s/h", "/s/l/another-name-that-is-longer-than-32-bytes");
	if (fd >= 0) {
		(void)lock(fd, 6, 1, 0, 10, NULL);
		(void)SYS(33, fd, 300);
		(void)CLOSE(fd);
		(void)CLOSE(300);
	}
	(void)MOUNT("t", "/s/d", "tmpfs", 0, "");
	(void)UMOUNT("/s/d", 0);
	(void)UNLINK("/s/l/another-name-that-is-longer-than-32-bytes");
	(void)UNLINK("/s/h");
	(void)UNLINK("/s/l");
	(void)UNLINK("/s/a-name-that-is-longer-than-thirty-two-bytes");
	(void)RMDIR("/s/d");
}

static int failures_body(void *arg)
{
	struct fail_result r;
	u64 n = 0;

	(void)arg;
	CHECK_EQ(MKDIR("/s", 0755), 0);
	do {
		fail_arm_nth(FAIL_MASK(FAIL_SLAB) | FAIL_MASK(FAIL_PAGE_ALLOC),
			     ++n, false);
		fail_only_task(port_current());
		some_calls();
		r = fail_disarm();
		dcache_check();
		/* What could not be made is not there, what could not be
		 * removed is removed now; so is a mount. */
		some_calls();
		while (!UMOUNT("/s/d", 0))
			some_calls();
		CHECK_EQ(RMDIR("/s"), 0);
		CHECK_EQ(MKDIR("/s", 0755), 0);
	} while (r.fired);
	CHECK(n > 20);
	return 0;
}

static void failures(void **state)
{
	(void)state;
	FS_RUN(failures_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fds),
		cmocka_unit_test(locks),
		cmocka_unit_test(mounts),
		cmocka_unit_test(failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
