/* SPDX-License-Identifier: MIT */
/* page.c - how the command's HTML pages come into their files. */
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Close FD; the first failure's errno stays. */
static int close_after(int fd, int ret)
{
	int err = errno;

	if (close(fd) && !ret)
		return -1;
	errno = err;
	return ret;
}

/* A pipe, a terminal, /dev/null: nothing to rename. */
static int write_direct(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return close_after(fd, write_all(fd, text, len));
}

static int write_beside(const char *path, const char *text, size_t len,
			mode_t mode)
{
	size_t size = strlen(path) + sizeof(".XXXXXX");
	char *tmp = malloc(size);
	int fd, ret = -1, err;

	if (!tmp)
		return -1;
	snprintf(tmp, size, "%s.XXXXXX", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd >= 0) {
		ret = write_all(fd, text, len);
		if (!ret)
			ret = fchmod(fd, mode);
		ret = close_after(fd, ret);
		if (!ret)
			ret = rename(tmp, path);
		err = errno;
		if (ret)
			unlink(tmp);
		errno = err;
	}
	err = errno;
	free(tmp);
	errno = err;
	return ret;
}

/* Links are followed, so that the file they lead to is what changes. */
int page_write(const char *path, const char *text, size_t len)
{
	char *real = realpath(path, NULL);
	struct stat st;
	mode_t mask = umask(0);
	int ret, err;

	umask(mask);
	if (!real)
		return errno == ENOENT
			       ? write_beside(path, text, len, 0666 & ~mask)
			       : -1;
	if (stat(real, &st))
		ret = -1;
	else if (S_ISREG(st.st_mode))
		ret = write_beside(real, text, len, st.st_mode & 0777);
	else
		ret = write_direct(real, text, len);
	err = errno;
	free(real);
	errno = err;
	return ret;
}

int page_compose(const char *path, void (*put)(FILE *f, void *arg), void *arg)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int ret = -1, err;

	if (!f)
		return -1;
	put(f, arg);
	ret = ferror(f) ? -1 : 0;
	if (fclose(f))
		ret = -1;
	if (ret)
		errno = ENOMEM; /* a stream in memory fails only so */
	else
		ret = page_write(path, text, len);
	err = errno;
	free(text);
	errno = err;
	return ret;
}

int page_check(const char *path)
{
	bool there = access(path, F_OK) == 0;
	FILE *f = fopen(path, "ae");

	if (!f)
		return -1;
	fclose(f);
	if (!there)
		unlink(path);
	return 0;
}
