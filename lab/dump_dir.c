/* SPDX-License-Identifier: MIT */
/*
 * dump_dir.c - the directory of --dump-proc: files of /proc and /sys under
 * their names, and under json/ those that have a form in JSON (proc_json.c).
 *
 * Nothing is written over: the directory is empty at first, and a file is
 * opened as a new one. Who calls knows the names; what a guest says is text
 * alone.
 */
#include "dump.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "proc_json.h"

static const char *root; /* NULL: nothing was written yet */
static bool foreign;

/* ---- one file
 * ------------------------------------------------------------------ */

_Noreturn static void die_at(const char *path)
{
	err_die("--dump-proc: %s: %s; what is there is not all", path,
		strerror(errno));
}

static void make_parents(char *path)
{
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(path, 0777) && errno != EEXIST)
			die_at(path);
		*at = '/';
	}
}

static void write_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		die_at(path);
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die_at(path);
		text += n;
		len -= (size_t)n;
	}
	if (close(fd))
		die_at(path);
}

/* Of our own text that is a mistake; a guest's kernel may be any. */
static void not_understood(const char *path, const char *why)
{
	if (!foreign)
		err_die("--dump-proc: %s as JSON: '%s' is not understood", path,
			why);
	err_say("--dump-proc: %s as JSON: '%s' is not understood", path, why);
}

/* The same as JSON, in a folder of its own. */
static void put_json(const char *path, const char *text)
{
	static char full[PATH_MAX];
	char why[128], *dumped;
	json_t *doc = proc_json(path, text, why);

	if (!doc)
		not_understood(path, why);
	if (!doc)
		return;
	dumped = json_dumps(doc, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	if (!dumped)
		err_die("--dump-proc: no memory for %s", path);
	if (snprintf(full, sizeof(full), "%s/json%s.json", root, path) >=
	    (int)sizeof(full)) {
		errno = ENAMETOOLONG;
		die_at(path);
	}
	make_parents(full);
	write_file(full, dumped, strlen(dumped));
	free(dumped);
	json_decref(doc);
}

void dump_link(const char *path, const char *to)
{
	static char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", root, path);
	if (symlink(to, full))
		die_at(full);
}

void dump_write(const char *path, const char *text, size_t len)
{
	static char full[PATH_MAX];

	if (snprintf(full, sizeof(full), "%s%s", root, path) >=
	    (int)sizeof(full)) {
		errno = ENAMETOOLONG;
		die_at(path);
	}
	make_parents(full);
	write_file(full, text, len);
	if (proc_json_knows(path))
		put_json(path, text);
}

/* ---- the directory
 * ------------------------------------------------------------------ */

static bool is_empty(DIR *d)
{
	struct dirent *e;

	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return false;
	return true;
}

void dump_check(const char *dir)
{
	DIR *d;
	bool empty;

	if (!mkdir(dir, 0777))
		return;
	if (errno != EEXIST)
		err_die("--dump-proc: %s: cannot create: %s", dir,
			strerror(errno));
	d = opendir(dir);
	if (!d)
		err_die("--dump-proc: %s: %s", dir, strerror(errno));
	empty = is_empty(d);
	closedir(d);
	if (!empty)
		err_die("--dump-proc: %s: not empty: give a new directory",
			dir);
	if (access(dir, W_OK | X_OK))
		err_die("--dump-proc: %s: %s", dir, strerror(errno));
}

bool dump_open(const char *dir, bool of_guest)
{
	if (root)
		return false;
	root = dir;
	foreign = of_guest;
	/* The file limit is an error to report, not a signal to die of. */
	signal(SIGXFSZ, SIG_IGN);
	return true;
}
