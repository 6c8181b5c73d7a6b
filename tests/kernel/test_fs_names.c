/* SPDX-License-Identifier: MIT */
/* Names: walks, making, removing, renaming, links, rights, mounts. */
#include "fs_machine.h"

#include <mmkit/shrinker.h>

#include "base/seqbuf.h"

static int walks_body(void *arg)
{
	struct ft_stat st;
	int fd;

	(void)arg;
	CHECK(!strcmp(ft_cwd(), "/"));
	CHECK_EQ(MKDIR("/a", 0755), 0);
	CHECK_EQ(MKDIR("/a", 0755), -EEXIST);
	CHECK_EQ(MKDIR("/a/b/", 0755), 0);
	CHECK_EQ(MKDIR("/x/b", 0755), -ENOENT);
	fd = (int)OPEN("/a/b/f", O_CREAT | O_RDWR, 0644);
	CHECK_EQ(fd, 0);
	CHECK_EQ(ft_write(fd, "hello", 5), 5);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK_EQ(CLOSE(fd), -EBADF);
	CHECK_EQ(ft_stat("/a//./b/../b/f", true, &st), 0);
	CHECK_EQ(st.size, 5);
	CHECK_EQ(st.mode, S_IFREG | 0644);
	CHECK_EQ(ft_stat("/a/b/f/", true, &st), -ENOTDIR);
	CHECK_EQ(ft_stat("/a/b/f/g", true, &st), -ENOTDIR);
	CHECK_EQ(ft_stat("/../../a/b", true, &st), 0);
	CHECK_EQ(st.nlink, 2);
	CHECK_EQ(ft_stat("", true, &st), -ENOENT);
	CHECK_EQ(CHDIR("/a/b/f"), -ENOTDIR);
	CHECK_EQ(CHDIR("/a/b"), 0);
	CHECK(!strcmp(ft_cwd(), "/a/b"));
	CHECK_EQ(ft_stat("f", true, &st), 0);
	CHECK_EQ(UNLINK("f"), 0);
	CHECK_EQ(UNLINK("f"), -ENOENT);
	CHECK_EQ(UNLINK("/a"), -EISDIR);
	CHECK_EQ(RMDIR("/a"), -ENOTEMPTY);
	CHECK_EQ(RMDIR("/a/b/."), -EINVAL);
	CHECK_EQ(RMDIR("/a/b/.."), -ENOTEMPTY);
	CHECK_EQ(RMDIR("/"), -EBUSY);
	CHECK_EQ(RMDIR("/a/b"), 0);
	/* Standing in what is gone. */
	CHECK_EQ(SYS(79, FT_AT, 4096), -ENOENT);
	CHECK_EQ(MKDIR("c", 0755), -ENOENT);
	CHECK_EQ(ft_stat(".", true, &st), 0);
	CHECK_EQ(st.nlink, 0);
	CHECK_EQ(ft_stat("..", true, &st), 0);
	CHECK_EQ(CHDIR(".."), 0);
	CHECK(!strcmp(ft_cwd(), "/a"));
	return 0;
}

static void walks(void **state)
{
	(void)state;
	FS_RUN(walks_body);
}

static int links_body(void *arg)
{
	struct ft_stat st, t;
	char name[32], prev[32];
	int fd;

	(void)arg;
	CHECK_EQ(MKDIR("/d", 0755), 0);
	CHECK_EQ(SYMLINK("d", "/l"), 0);
	CHECK_EQ(SYMLINK("", "/e"), -ENOENT);
	CHECK(!strcmp(ft_readlink("/l"), "d"));
	CHECK_EQ(ft_stat("/l", false, &st), 0);
	CHECK_EQ(st.mode, S_IFLNK | 0777);
	CHECK_EQ(st.size, 1);
	CHECK_EQ(ft_stat("/l/", false, &st), 0);
	CHECK(S_ISDIR(st.mode));
	/* Through a link to a name that is made by that. */
	CHECK_EQ(SYMLINK("/d/new", "/dangling"), 0);
	CHECK_EQ(OPEN("/dangling", O_RDONLY, 0), -ENOENT);
	CHECK_EQ(OPEN("/dangling", O_CREAT | O_EXCL | O_RDWR, 0600), -EEXIST);
	CHECK_EQ(OPEN("/dangling", O_CREAT | O_NOFOLLOW | O_RDWR, 0600),
		 -ELOOP);
	fd = (int)OPEN("/dangling", O_CREAT | O_RDWR, 0600);
	CHECK_EQ(fd, 0);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK_EQ(ft_stat("/l/new", true, &st), 0);
	/* 40 links are followed, 41 are not. */
	strcpy(prev, "/d");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "/n%d", i);
		CHECK_EQ(SYMLINK(prev, name), 0);
		strcpy(prev, name);
	}
	CHECK_EQ(ft_stat("/n40", true, &st), 0);
	CHECK_EQ(ft_stat("/n41", true, &st), -ELOOP);
	CHECK_EQ(ft_stat("/n40/new", true, &st), 0);
	CHECK_EQ(SYMLINK("loop", "/loop"), 0);
	CHECK_EQ(ft_stat("/loop", true, &st), -ELOOP);
	CHECK_EQ(ft_stat("/loop", false, &st), 0);
	/* Hard ones. */
	CHECK_EQ(LINK("/d/new", "/d/other"), 0);
	CHECK_EQ(LINK("/d/new", "/d/other"), -EEXIST);
	CHECK_EQ(LINK("/d", "/dd"), -EPERM);
	CHECK_EQ(LINK("/d/new", "/dev/x"), -EXDEV);
	CHECK_EQ(ft_stat("/d/other", true, &st), 0);
	CHECK_EQ(ft_stat("/d/new", true, &t), 0);
	CHECK(st.ino == t.ino && st.nlink == 2);
	CHECK_EQ(UNLINK("/d/new"), 0);
	CHECK_EQ(ft_stat("/d/other", true, &st), 0);
	CHECK_EQ(st.nlink, 1);
	return 0;
}

static void links(void **state)
{
	(void)state;
	FS_RUN(links_body);
}

/* ---- what mounts are told as ------------------------------------------------
 */

static int mountinfo_body(void *arg)
{
	static char buf[4096];
	struct seq_buf q;
	const char *text;

	(void)arg;
	CHECK_EQ(MKDIR("/a", 0755), 0);
	CHECK_EQ(MKDIR("/c", 0755), 0);
	CHECK_EQ(MKDIR("/e f", 0755), 0);
	CHECK_EQ(MOUNT("x", "/a", "tmpfs", MS_RDONLY, "size=1m"), 0);
	CHECK_EQ(MOUNT("", "/a", "", MS_REMOUNT, ""), 0);
	CHECK_EQ(MKDIR("/a/sub", 0755), 0);
	CHECK_EQ(MKDIR("/a/sub/low", 0755), 0);
	CHECK_EQ(MOUNT("/a/sub", "/c", "", MS_BIND, ""), 0);
	/* Of a part of a part. */
	CHECK_EQ(MOUNT("/c/low", "/e f", "", MS_BIND, ""), 0);
	seq_buf_init(&q, buf, sizeof(buf));
	vfs_show_mountinfo(&q);
	text = seq_buf_str(&q);
	CHECK(strstr(text, " / / rw,relatime - tmpfs rootfs rw"));
	CHECK(strstr(text, " / /a rw,relatime - tmpfs x rw"));
	CHECK(strstr(text, " /sub /c rw,relatime - tmpfs x rw"));
	CHECK(strstr(text, " /sub/low /e\\040f rw,relatime - tmpfs x rw"));
	CHECK_EQ(UMOUNT("/e f", 0), 0);
	CHECK_EQ(UMOUNT("/c", 0), 0);
	CHECK_EQ(UMOUNT("/a", 0), 0);
	seq_buf_init(&q, buf, sizeof(buf));
	vfs_show_devices(&q);
	CHECK(strstr(seq_buf_str(&q), "Character devices:\n  1 mem\n"));
	return 0;
}

static void mountinfo(void **state)
{
	(void)state;
	FS_RUN(mountinfo_body);
}

/* ---- umount while names are given up ---------------------------------------
 */

static bool shrinker_stop;
static u64 shrunk;

static void shrinker_main(void *arg)
{
	(void)arg;
	while (!READ_ONCE(shrinker_stop)) {
		shrunk += shrink_slab(GFP_KERNEL, 0, 0);
		port_sched_point();
	}
}

/* Nobody uses the mount: that the shrinker has some of its names in its hands
 * is not use. */
static int umount_body(void *arg)
{
	struct port_thread *t;
	char name[32];

	(void)arg;
	CHECK_EQ(MKDIR("/m", 0755), 0);
	CHECK_EQ(port_thread_start(&t, "shrinker", -1, shrinker_main, NULL), 0);
	for (u64 i = 0; i < test_iters(40); i++) {
		CHECK_EQ(MOUNT("x", "/m", "tmpfs", 0, ""), 0);
		CHECK_EQ(MKDIR("/m/d", 0755), 0);
		for (u64 k = 0; k < 1 + i % 5; k++) {
			snprintf(name, sizeof(name), "/m/d/f%d", (int)k);
			CHECK_EQ(CLOSE(OPEN(name, O_CREAT | O_RDWR, 0600)), 0);
		}
		for (u64 k = 0; k < i % 7; k++)
			port_sched_point();
		if (i % 8 == 0) {
			CHECK_EQ(CHDIR("/m/d"), 0);
			CHECK_EQ(UMOUNT("/m", 0), -EBUSY);
			CHECK_EQ(CHDIR("/"), 0);
		}
		CHECK_EQ(UMOUNT("/m", 0), 0);
	}
	WRITE_ONCE(shrinker_stop, true);
	port_thread_join(t);
	CHECK(shrunk > 0);
	return 0;
}

static void umounts(void **state)
{
	(void)state;
	for (u64 seed = 1; seed <= 10; seed++) {
		shrinker_stop = false;
		FS_RUN(umount_body, .cpus = 2, .explore = true, .stall = 50,
		       .seed = seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks),
		cmocka_unit_test(links),
		cmocka_unit_test(mountinfo),
		cmocka_unit_test(umounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
