/* SPDX-License-Identifier: MIT */
/*
 * run_image.c - files as a cpio archive or an ext2 image, and swap.
 *
 * cpio is the "newc" form that the kernel's documentation of initramfs
 * describes: for each file a head of 110 characters in hexadecimal, the name,
 * the contents, both padded to 4. A swap area is what mkswap(8) makes: in the
 * first page a version, the last page's number, and the magic word at the
 * page's end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

#define SWAP_PAGE      4096u
#define EXT2_BLOCK     4096u
#define SWAP_MIN_PAGES 10u

/* ---- cpio ------------------------------------------------------------------
 */

struct cpio {
	FILE *f;
	const char *path;
	u32 ino;
	u64 at;
};

static void put(struct cpio *c, const void *p, size_t n)
{
	if (fwrite(p, 1, n, c->f) != n)
		run_fail("%s: %s", c->path, strerror(errno));
	c->at += n;
}

static void pad(struct cpio *c)
{
	put(c, "\0\0\0", (4 - c->at % 4) % 4);
}

static void put_head(struct cpio *c, const struct run_entry *e, u64 size)
{
	char head[128];
	size_t name = strlen(e->path) + 1;

	if (size > UINT32_MAX)
		run_fail("%s: too large for a cpio archive (4 GiB)", e->source);
	snprintf(head, sizeof(head),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		 ++c->ino, e->mode, 0, 0, S_ISDIR(e->mode) ? 2 : 1, 0,
		 (u32)size, 0, 0, e->rdev_major, e->rdev_minor, (u32)name, 0);
	put(c, head, 110);
	put(c, e->path, name);
	pad(c);
}

/* A file that changes its size meanwhile is refused, not padded. */
static void put_file(struct cpio *c, const struct run_entry *e)
{
	static char buf[65536];
	FILE *f = fopen(e->source, "re");
	u64 left = e->size;

	if (!f)
		run_fail("%s: %s", e->source, strerror(errno));
	while (left) {
		size_t n = fread(buf, 1, min(left, (u64)sizeof(buf)), f);

		if (!n)
			run_fail("%s: became shorter while it was read",
				 e->source);
		put(c, buf, n);
		left -= n;
	}
	fclose(f);
}

static void cpio_entry(const struct run_entry *e, void *arg)
{
	struct cpio *c = arg;

	if (S_ISLNK(e->mode)) {
		put_head(c, e, strlen(e->source));
		put(c, e->source, strlen(e->source));
	} else if (e->contents) {
		put_head(c, e, e->size);
		put(c, e->source, e->size);
	} else {
		put_head(c, e, S_ISREG(e->mode) ? e->size : 0);
		if (S_ISREG(e->mode))
			put_file(c, e);
	}
	pad(c);
}

void run_write_cpio(const struct run_pack *p, const char *path)
{
	struct run_entry end = {.path = (char *)"TRAILER!!!"};
	struct cpio c = {.f = fopen(path, "we"), .path = path};

	if (!c.f)
		run_fail("%s: %s", path, strerror(errno));
	run_pack_walk(p, cpio_entry, &c);
	put_head(&c, &end, 0);
	while (c.at % 512)
		put(&c, "", 1);
	if (fclose(c.f))
		run_fail("%s: %s", path, strerror(errno));
}

/* ---- ext2 ------------------------------------------------------------------
 */

struct stage {
	const char *folder;
};

static void copy_file(const char *from, const char *to, const struct stat *st)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		       st->st_mode & 07777);
	ssize_t n = 1;

	if (in < 0 || out < 0)
		run_fail("%s: %s", in < 0 ? from : to, strerror(errno));
	while (n > 0)
		n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0);
	if (n < 0 && (errno == EXDEV || errno == EINVAL)) {
		static char buf[1 << 16];

		while ((n = read(in, buf, sizeof(buf))) > 0)
			if (write(out, buf, (size_t)n) != n)
				run_fail("%s: %s", to, strerror(errno));
	}
	if (n < 0 || fchmod(out, st->st_mode & 07777))
		run_fail("%s: %s", to, strerror(errno));
	close(in);
	close(out);
}

static void stage_contents(const struct run_entry *e, const char *to)
{
	FILE *f = fopen(to, "wxe");

	if (!f || fwrite(e->source, 1, e->size, f) != e->size || fclose(f) ||
	    chmod(to, e->mode & 07777))
		run_fail("%s: %s", to, strerror(errno));
}

/* A second name is as good as a copy for mke2fs, where it can be had. */
static void stage_entry(const struct run_entry *e, void *arg)
{
	const struct stage *s = arg;
	struct stat st = {.st_mode = e->mode};
	char *to = NULL;
	int bad = 0;

	if (asprintf(&to, "%s/%s", s->folder, e->path) < 0)
		run_fail("no memory for a path");
	if (S_ISDIR(e->mode))
		bad = mkdir(to, 0755) || chmod(to, (e->mode & 07777) | 0700);
	else if (S_ISLNK(e->mode))
		bad = symlink(e->source, to);
	else if (e->contents)
		stage_contents(e, to);
	else if (S_ISREG(e->mode) && link(e->source, to))
		copy_file(e->source, to, &st);
	if (bad && errno != EEXIST)
		run_fail("%s: %s", to, strerror(errno));
	free(to);
}

static void count_entry(const struct run_entry *e, void *arg)
{
	u64 *blocks = arg;

	*blocks += 1 + e->size / EXT2_BLOCK + e->size / EXT2_BLOCK / 512;
}

/* Run ARGV with its output in a file beside, which is shown if it fails. */
static void run_tool(char *const *argv, const char *log)
{
	char text[512] = "";
	pid_t pid = fork();
	int status = -1, fd;

	if (!pid) {
		fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		run_fail("%s: %s", argv[0], strerror(errno));
	if (status == 127 << 8)
		run_fail("%s is not there (Debian's package e2fsprogs)",
			 argv[0]);
	if (!status)
		return;
	fd = open(log, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	run_fail("%s failed: %s", argv[0], text);
}

void run_write_ext2(const struct run_pack *p, const char *path,
		    const char *folder, u64 space)
{
	struct stage s = {folder};
	u64 blocks = space / EXT2_BLOCK;
	static char log[4096];
	char count[32], inodes[32];
	const char *dirs = getenv("PATH");
	char *argv[] = {(char *)"mke2fs",
			(char *)"-q",
			(char *)"-F",
			(char *)"-t",
			(char *)"ext2",
			(char *)"-b",
			(char *)"4096",
			(char *)"-m",
			(char *)"0",
			(char *)"-N",
			inodes,
			(char *)"-I",
			(char *)"128",
			(char *)"-O",
			(char *)"^resize_inode,^dir_index,^ext_attr",
			(char *)"-E",
			(char *)"root_owner=0:0",
			(char *)"-d",
			(char *)folder,
			(char *)path,
			count,
			NULL};

	run_pack_walk(p, stage_entry, &s);
	run_pack_walk(p, count_entry, &blocks);
	snprintf(inodes, sizeof(inodes), "%u", p->nr * 2 + 4096);
	/* Tables of inodes, bitmaps, group descriptors. */
	blocks += (p->nr * 2 + 4096) / 32 + blocks / 64 + 1024;
	snprintf(count, sizeof(count), "%llu", (unsigned long long)blocks);
	snprintf(log, sizeof(log), "%s.log", path);
	/* An ordinary user's PATH need not have sbin. */
	if (dirs && !strstr(dirs, "/sbin")) {
		char *more = NULL;

		if (asprintf(&more, "%s:/usr/sbin:/sbin", dirs) > 0)
			setenv("PATH", more, 1);
		free(more);
	}
	run_tool(argv, log);
}

/* ---- swap ------------------------------------------------------------------
 */

void run_write_swap(const char *path, u64 size)
{
	struct {
		u32 version, last_page, nr_bad;
		u8 uuid[16];
		char label[16];
	} head = {.version = 1,
		  .last_page = (u32)(size / SWAP_PAGE) - 1,
		  .uuid = "mmkit run swap!",
		  .label = "mmkit"};
	static char page[SWAP_PAGE];
	int fd;

	if (size / SWAP_PAGE < SWAP_MIN_PAGES || size / SWAP_PAGE > UINT32_MAX)
		run_fail("--swap: a swap area has 40K to 16T");
	memcpy(page + 1024, &head, sizeof(head));
	memcpy(page + SWAP_PAGE - 10, "SWAPSPACE2", 10);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, page, SWAP_PAGE) != SWAP_PAGE ||
	    ftruncate(fd, (off_t)(size & ~(u64)(SWAP_PAGE - 1))) || close(fd))
		run_fail("%s: %s", path, strerror(errno));
}
