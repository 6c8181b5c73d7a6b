/* SPDX-License-Identifier: MIT */
/*
 * owners.h - who has how much memory at this moment: tasks and control groups,
 * as text for the host (lab/run_report.c).
 *
 *   tasks   PID ANON FILE SHMEM SWAP NAME        a line each, KiB
 *   groups  CURRENT SWAP HIGH MAX PATH           bytes; max: no limit
 *
 * Read from /proc/PID/status, of what has memory of its own, and from where
 * /proc/mounts says that a cgroup2 file system is, if one is. What has no room
 * in the text is summed up in a last line (tasks) or left out (groups).
 *
 * A part of init.c, which has its only thread that samples.
 */
#ifndef GUEST_OWNERS_H
#define GUEST_OWNERS_H

#include "sys.h"

#define OWNERS_TEXT   16384
#define OWNERS_GROUPS 64
#define OWNERS_PATH   192
#define DT_FOLDER     4

struct dirent_head {
	u64 ino;
	s64 off;
	u16 len;
	u8 type;
	char name[];
};

static struct {
	char text[OWNERS_TEXT], file[8192], path[OWNERS_PATH];
	char names[4096] __attribute__((aligned(8)));
	char group[OWNERS_GROUPS][OWNERS_PATH];
	u32 nr_groups;
	size_t at;
	s64 more[4]; /* KiB of tasks that have no line */
} owners;

static void owners_word(const char *s, char after)
{
	char end[2] = {after, 0};

	owners.at = put_text(owners.text, OWNERS_TEXT, owners.at, s);
	owners.at = put_text(owners.text, OWNERS_TEXT, owners.at, end);
}

static void owners_number(s64 v)
{
	owners.at = put_number(owners.text, OWNERS_TEXT, owners.at, v);
	owners_word("", ' ');
}

/* The file FOLDER/NAME in owners.file as a text; its length, or why not. */
static long owners_read(const char *folder, const char *name)
{
	size_t at = put_text(owners.path, OWNERS_PATH, 0, folder);
	long n;

	at = put_text(owners.path, OWNERS_PATH, at, "/");
	put_text(owners.path, OWNERS_PATH, at, name);
	n = read_file(owners.path, owners.file, sizeof(owners.file) - 1);
	owners.file[n < 0 ? 0 : n] = 0;
	return n;
}

/* Call FN for the names in the folder PATH. */
static void owners_each(const char *path,
			void (*fn)(const char *path,
				   const struct dirent_head *e))
{
	long fd = SYS(openat, -100ULL, U64(path), O_RD | O_CLO), n;

	if (fd < 0)
		return;
	while ((n = SYS(getdents64, (u64)fd, U64(owners.names),
			sizeof(owners.names))) > 0)
		for (long at = 0; at < n;) {
			const struct dirent_head *e =
				(const void *)(owners.names + at);

			fn(path, e);
			at += e->len;
		}
	SYS(close, (u64)fd);
}

/* ---- tasks
 * ------------------------------------------------------------------ */

/* What follows NAME at the beginning of a line of owners.file, or NULL. */
static const char *owners_field(const char *name)
{
	size_t len = strlen(name);

	for (const char *s = owners.file; *s;) {
		if (!memcmp(s, name, len)) {
			for (s += len; *s == ' ' || *s == '\t'; s++)
				;
			return s;
		}
		while (*s && *s++ != '\n')
			;
	}
	return NULL;
}

static void owners_task(const char *path, const struct dirent_head *e)
{
	static const char *const fields[] = {
		"RssAnon:", "RssFile:", "RssShmem:", "VmSwap:"};
	const char *pid = e->name;
	s64 v[4] = {0}, nr = (s64)take_number(&pid);
	char name[48];

	(void)path;
	if (e->name[0] < '0' || e->name[0] > '9' || nr == 1)
		return;
	put_text(name, sizeof(name), 0, "/proc/");
	put_text(name, sizeof(name), 6, e->name);
	if (owners_read(name, "status") <= 0 || !owners_field("RssAnon:"))
		return;
	for (u32 i = 0; i < 4; i++) {
		const char *s = owners_field(fields[i]);

		v[i] = s ? (s64)take_number(&s) : 0;
	}
	if (owners.at > OWNERS_TEXT - 256) {
		for (u32 i = 0; i < 4; i++)
			owners.more[i] += v[i];
		return;
	}
	owners_number(nr);
	for (u32 i = 0; i < 4; i++)
		owners_number(v[i]);
	for (const char *s = owners_field("Name:"); s && *s && *s != '\n'; s++)
		owners_word((char[2]){*s, 0}, 0);
	owners_word("", '\n');
}

/* The text in owners.text; its length. */
static long owners_tasks(void)
{
	owners.at = 0;
	memset(owners.more, 0, sizeof(owners.more));
	owners_each("/proc", owners_task);
	if (owners.at > OWNERS_TEXT - 256) {
		owners_number(0);
		for (u32 i = 0; i < 4; i++)
			owners_number(owners.more[i]);
		owners_word("more", '\n');
	}
	return (long)owners.at;
}

/* ---- groups
 * ------------------------------------------------------------------ */

/* Where cgroup2 is mounted, to owners.group[0]; 0: nowhere. */
static int owners_mount(void)
{
	char *s = owners.file, *end;

	if (owners_read("/proc", "mounts") <= 0)
		return 0;
	for (; *s; s = end) {
		char *dir = s, *type;

		while (*dir && *dir++ != ' ')
			;
		for (type = dir; *type && *type++ != ' ';)
			;
		for (end = type; *end && *end++ != '\n';)
			;
		if (memcmp(type, "cgroup2 ", 8) || type - dir >= OWNERS_PATH)
			continue;
		type[-1] = 0;
		put_text(owners.group[0], OWNERS_PATH, 0, dir);
		return 1;
	}
	return 0;
}

static void owners_below(const char *path, const struct dirent_head *e)
{
	char *to = owners.group[owners.nr_groups];
	size_t at;

	if (e->type != DT_FOLDER || e->name[0] == '.' ||
	    owners.nr_groups == OWNERS_GROUPS ||
	    strlen(path) + strlen(e->name) + 32 > OWNERS_PATH)
		return;
	at = put_text(to, OWNERS_PATH, 0, path);
	at = put_text(to, OWNERS_PATH, at, "/");
	put_text(to, OWNERS_PATH, at, e->name);
	owners.nr_groups++;
}

static void owners_group(const char *path)
{
	static const char *const files[] = {"memory.current",
					    "memory.swap.current",
					    "memory.high", "memory.max"};

	if (owners.at > OWNERS_TEXT - OWNERS_PATH - 128 ||
	    owners_read(path, files[0]) <= 0)
		return;
	for (u32 i = 0; i < ARRAY_LEN(files); i++) {
		const char *s = owners.file;

		if (owners_read(path, files[i]) <= 0)
			owners_number(0);
		else if (*s == 'm')
			owners_word("max", ' ');
		else
			owners_number((s64)take_number(&s));
	}
	owners_word(path + strlen(owners.group[0]), '\n');
}

/* The text in owners.text; its length, 0: there are none. */
static long owners_groups(void)
{
	owners.at = 0;
	if (!owners_mount())
		return 0;
	owners.nr_groups = 1;
	for (u32 i = 0; i < owners.nr_groups; i++) {
		owners_each(owners.group[i], owners_below);
		if (i)
			owners_group(owners.group[i]);
	}
	return (long)owners.at;
}

#endif
