/* SPDX-License-Identifier: MIT */
/*
 * run_kernel.c - which kernel it is, and which modules it needs.
 *
 * Ours is an ELF file with a PVH note, which QEMU starts by itself. A Linux is
 * a bzImage; the kernel's documentation of its boot protocol says where the
 * head has the magic word and the version. A distribution's Linux has its
 * disks and file systems as modules, whose order modules.dep gives.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"

/* From where the command is: build/, build/<variant>/.., bin/../lib/mmkit of an
 * installed one. Where that is elsewhere, $MMKIT_LIBDIR says so. */
static const char *const places[] = {"", "/..", "/../lib/mmkit"};

char *run_our_file(const char *name)
{
	static char exe[PATH_MAX];
	const char *folder = getenv("MMKIT_LIBDIR");
	char *slash, *path = NULL;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (folder && *folder) {
		if (asprintf(&path, "%s/%s", folder, name) < 0)
			run_fail("no memory for a path");
		return path;
	}
	if (n < 0)
		run_fail("/proc/self/exe: %s", strerror(errno));
	exe[n] = 0;
	slash = strrchr(exe, '/');
	*slash = 0;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (asprintf(&path, "%s%s/%s", exe, places[i], name) < 0)
			run_fail("no memory for a path");
		if (!access(path, R_OK))
			return path;
		free(path);
	}
	return NULL;
}

static bool read_at(int fd, void *buf, size_t len, off_t at)
{
	return pread(fd, buf, len, at) == (ssize_t)len;
}

/* The version stands in text at an offset that the head gives. */
static void read_version(int fd, struct run_kernel *k)
{
	u16 offset = 0;
	char text[128] = "";

	if (!read_at(fd, &offset, sizeof(offset), 0x20e) || !offset ||
	    pread(fd, text, sizeof(text) - 1, offset + 0x200) <= 0)
		return;
	text[strcspn(text, " ")] = 0;
	snprintf(k->version, sizeof(k->version), "%s", text);
}

void run_kernel_find(struct run_kernel *k, const char *asked)
{
	char magic[4];
	int fd;

	memset(k, 0, sizeof(*k));
	k->path = asked ? asked : run_our_file("mmkit-kernel");
	if (!k->path)
		run_fail("there is no kernel beside the command: build it "
			 "with `make kernel`, or name one with --kernel");
	fd = open(k->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		run_fail("%s: %s", k->path, strerror(errno));
	if (read_at(fd, magic, 4, 0x202) && !memcmp(magic, "HdrS", 4)) {
		k->bzimage = true;
		read_version(fd, k);
	} else if (!read_at(fd, magic, 4, 0) || memcmp(magic, "\177ELF", 4)) {
		run_fail("%s: neither an ELF kernel nor a Linux bzImage",
			 k->path);
	}
	close(fd);
}

/* ---- modules ---------------------------------------------------------------
 */

struct modules {
	char *dep; /* text of modules.dep */
	const char *folder;
	struct run_pack *pack;
	FILE *config;
	char done[64][128]; /* names that are in the config */
	u32 nr_done;
};

/* Does PATH end with NAME.ko, with or without compression? */
static bool is_module(const char *path, size_t len, const char *name)
{
	const char *end = path + len, *base = end;
	size_t n = strlen(name);

	while (base > path && base[-1] != '/')
		base--;
	if ((size_t)(end - base) < n + 3)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = base[i] == '-' ? '_' : base[i];

		if (c != (name[i] == '-' ? '_' : name[i]))
			return false;
	}
	return !strncmp(base + n, ".ko", 3);
}

static void add_module(struct modules *m, const char *path, size_t len)
{
	char host[600], guest[64];

	for (u32 i = 0; i < m->nr_done; i++)
		if (strlen(m->done[i]) == len &&
		    !strncmp(m->done[i], path, len))
			return;
	if (m->nr_done == ARRAY_SIZE(m->done) || len >= sizeof(m->done[0]))
		run_fail("%s: too many modules", m->folder);
	if (strncmp(path + len - 3, ".ko", 3))
		run_fail("%s/%.*s: a compressed module; unpack it", m->folder,
			 (int)len, path);
	snprintf(m->done[m->nr_done++], sizeof(m->done[0]), "%.*s", (int)len,
		 path);
	snprintf(host, sizeof(host), "%s/%.*s", m->folder, (int)len, path);
	snprintf(guest, sizeof(guest), "/modules/%u.ko", m->nr_done);
	run_pack_raw(m->pack, &(struct run_entry){.path = guest,
						  .source = host,
						  .size = run_file_size(host),
						  .mode = S_IFREG | 0644});
	fprintf(m->config, "module %s\n", guest);
}

/* A line is "MODULE: DEPENDENCIES"; what is last must be there first. */
static void add_line(struct modules *m, const char *line)
{
	const char *end = line + strcspn(line, "\n");
	const char *colon = memchr(line, ':', (size_t)(end - line));

	while (end > colon + 1) {
		const char *word = end;

		while (word[-1] != ' ' && word[-1] != ':')
			word--;
		if (word < end)
			add_module(m, word, (size_t)(end - word));
		end = word - 1;
	}
	add_module(m, line, (size_t)(colon - line));
}

/* False: it is built in, or not there; init will find out. */
static bool add_named(struct modules *m, const char *name)
{
	for (const char *s = m->dep; *s; s += strcspn(s, "\n")) {
		const char *colon;

		s += *s == '\n';
		colon = strchr(s, ':');
		if (!colon)
			return false;
		if (is_module(s, (size_t)(colon - s), name)) {
			add_line(m, s);
			return true;
		}
	}
	return false;
}

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, 0, f) < 0) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

void run_kernel_modules(const struct run_kernel *k, struct run_pack *p,
			const char *const *names, u32 nr, FILE *config)
{
	static struct modules m;
	char folder[256], dep[300];

	snprintf(folder, sizeof(folder), "/lib/modules/%s", k->version);
	snprintf(dep, sizeof(dep), "%s/modules.dep", folder);
	m.pack = p;
	m.config = config;
	m.folder = folder;
	m.dep = read_text(dep);
	if (!m.dep)
		return; /* a Linux with everything built in has none */
	for (u32 i = 0; i < nr; i++)
		add_named(&m, names[i]);
	free(m.dep);
}
