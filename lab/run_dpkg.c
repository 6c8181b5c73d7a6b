/* SPDX-License-Identifier: MIT */
/*
 * run_dpkg.c - "mmkit run --packages": what a program opens by itself.
 *
 * An ELF file names its libraries, not its modules, its data, or the programs
 * that it starts. Debian knows them by package: the files of the packages that
 * own what is in the set so far, of those that these recommend, and of all
 * that any of them depends on, go in, too. dpkg's database is read as deb(7)
 * and dpkg-query(1) describe it: DIR/status has a paragraph for each package,
 * DIR/info/NAME.list or NAME:ARCH.list its paths. DIR is $DPKG_ADMINDIR or
 * /var/lib/dpkg. Of alternatives the first that is installed counts; versions
 * were dpkg's business when it installed them.
 *
 * Left out: documentation, manuals, translations, and the packages that only
 * installing needs.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "run.h"

#define DEFAULT_DIR "/var/lib/dpkg"

static const char *const no_use[] = {
	"/usr/share/doc/",
	"/usr/share/man/",
	"/usr/share/info/",
	"/usr/share/lintian/",
	"/usr/share/locale/",
	"/usr/share/bug/",
	"/usr/lib/x86_64-linux-gnu/gconv/",
};

/* Essential is what may be named by nobody (Debian policy 3.8); these come by
 * name for the sake of their scripts at installation. */
static const char *const installers[] = {"debconf", "debconf-2.0", "dpkg",
					 "install-info", "ucf"};

struct pkg {
	char *name, *depends, *recommends, *provides;
	bool installed, taken, owner;
	struct pkg *next; /* taken, to be looked into */
};

struct db {
	const char *dir;
	struct pkg *pkgs;
	size_t nr;
	void *files; /* tsearch(3): files of the host in the set */
	struct pkg *todo;
};

/* ---- the database ----------------------------------------------------------
 */

static void *must(void *p)
{
	if (!p)
		run_fail("no memory for dpkg's database");
	return p;
}

/* Is LINE the field NAME? Then where its value begins. */
static char *field(char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

static void append(char **to, const char *text)
{
	char *s = NULL;

	if (asprintf(&s, "%s%s%s", *to ? *to : "", *to ? ", " : "", text) < 0)
		s = NULL;
	free(*to);
	*to = must(s);
}

static void take_line(struct pkg *p, char *line)
{
	char *v;

	if ((v = field(line, "Package")))
		append(&p->name, v);
	else if ((v = field(line, "Status")))
		p->installed = strstr(v, " installed") != NULL;
	else if ((v = field(line, "Depends")) ||
		 (v = field(line, "Pre-Depends")))
		append(&p->depends, v);
	else if ((v = field(line, "Recommends")))
		append(&p->recommends, v);
	else if ((v = field(line, "Provides")))
		append(&p->provides, v);
}

static void pkg_clear(struct pkg *p)
{
	free(p->name);
	free(p->depends);
	free(p->recommends);
	free(p->provides);
}

/* A paragraph is over: what is not installed is none of ours. */
static void keep(struct db *db, struct pkg *p)
{
	if (p->name && p->installed) {
		db->pkgs = must(
			reallocarray(db->pkgs, db->nr + 1, sizeof(*db->pkgs)));
		db->pkgs[db->nr++] = *p;
	} else {
		pkg_clear(p);
	}
	*p = (struct pkg){0};
}

static void read_status(struct db *db)
{
	struct pkg p = {0};
	char *path = NULL, *line = NULL;
	size_t size = 0;
	ssize_t n;
	FILE *f;

	if (asprintf(&path, "%s/status", db->dir) < 0)
		path = NULL;
	f = fopen(must(path), "re");
	if (!f)
		run_fail("--packages: %s: %s: it wants Debian's packages", path,
			 strerror(errno));
	while ((n = getline(&line, &size, f)) >= 0) {
		while (n && (line[n - 1] == '\n' || line[n - 1] == ' '))
			line[--n] = 0;
		if (!n)
			keep(db, &p);
		else
			take_line(&p, line);
	}
	keep(db, &p);
	if (ferror(f))
		run_fail("--packages: %s: %s", path, strerror(errno));
	fclose(f);
	free(line);
	free(path);
}

/* ---- what is taken ---------------------------------------------------------
 */

static void take(struct db *db, struct pkg *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(installers); i++)
		if (!strcmp(p->name, installers[i]))
			return;
	if (p->taken)
		return;
	p->taken = true;
	p->next = db->todo;
	db->todo = p;
}

/* The first word of a relation: "libc6:any (>= 2.36)" is libc6. */
static size_t word(const char *s)
{
	return strcspn(s, " \t(:,|");
}

/* Does the list of relations have NAME? */
static bool names(const char *list, const char *name, size_t len)
{
	while (list && *list) {
		list += strspn(list, " \t,|");
		if (word(list) == len && !memcmp(list, name, len))
			return true;
		list += strcspn(list, ",|");
	}
	return false;
}

/* The package NAME in as many architectures as it is installed for, else who
 * provides it. False: nobody does. */
static bool take_name(struct db *db, const char *name, size_t len)
{
	bool found = false;

	for (size_t i = 0; i < db->nr; i++) {
		struct pkg *p = &db->pkgs[i];

		if (strlen(p->name) == len && !memcmp(p->name, name, len)) {
			take(db, p);
			found = true;
		}
	}
	for (size_t i = 0; !found && i < db->nr; i++) {
		found = names(db->pkgs[i].provides, name, len);
		if (found)
			take(db, &db->pkgs[i]);
	}
	return found;
}

/* "a | b, c": of a and b one, and c. */
static void take_list(struct db *db, const char *list)
{
	while (list && *list) {
		bool found = false;

		do {
			list += strspn(list, " \t,|");
			if (!found)
				found = take_name(db, list, word(list));
			list += strcspn(list, ",|");
		} while (*list == '|');
	}
}

/* ---- files -----------------------------------------------------------------
 */

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void remember(const struct run_entry *e, void *arg)
{
	struct db *db = arg;
	char *copy;

	if (!S_ISREG(e->mode) || e->contents || !e->source)
		return;
	copy = must(strdup(e->source));
	if (*(char **)must(tsearch(copy, &db->files, by_text)) != copy)
		free(copy);
}

/* Packages from before /bin was a link name their files without /usr. */
static bool in_set(const struct db *db, const char *path)
{
	static char usr[PATH_MAX];

	if (tfind(path, &db->files, by_text))
		return true;
	snprintf(usr, sizeof(usr), "/usr%s", path);
	return tfind(usr, &db->files, by_text) != NULL;
}

static void add_listed(struct run_pack *pack, const char *path)
{
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(no_use); i++)
		if (!strncmp(path, no_use[i], strlen(no_use[i])))
			return;
	/* dpkg may have been told not to unpack it. */
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return;
	if (access(path, R_OK))
		err_say("note: --packages: %s: %s: left out", path,
			strerror(errno));
	else
		run_pack_part(pack, path);
}

/* All paths of the list FILE: into PACK, or without one whether any of them is
 * in the set. */
static bool read_list(struct db *db, const char *file, struct run_pack *pack)
{
	char *path = NULL, *line = NULL;
	size_t size = 0;
	bool found = false;
	ssize_t n;
	FILE *f;

	if (asprintf(&path, "%s/info/%s", db->dir, file) < 0)
		path = NULL;
	f = fopen(must(path), "re");
	if (!f)
		run_fail("--packages: %s: %s", path, strerror(errno));
	while (!found && (n = getline(&line, &size, f)) >= 0) {
		line[strcspn(line, "\n")] = 0;
		if (pack)
			add_listed(pack, line);
		else
			found = in_set(db, line);
	}
	fclose(f);
	free(line);
	free(path);
	return found;
}

/* Each list, of packages that were taken into PACK, or without one of all, to
 * take their owners. */
static void each_list(struct db *db, struct run_pack *pack)
{
	char *path = NULL;
	struct dirent *d;
	DIR *dir;

	if (asprintf(&path, "%s/info", db->dir) < 0)
		path = NULL;
	dir = opendir(must(path));
	if (!dir)
		run_fail("--packages: %s: %s", path, strerror(errno));
	while ((d = readdir(dir))) {
		size_t len = strcspn(d->d_name, ":"), all = strlen(d->d_name);

		if (all < 5 || strcmp(d->d_name + all - 5, ".list"))
			continue;
		len = len == all ? all - 5 : len;
		for (size_t i = 0; i < db->nr; i++) {
			struct pkg *p = &db->pkgs[i];

			if (strncmp(p->name, d->d_name, len) || p->name[len])
				continue;
			if (pack ? p->taken : !p->taken) {
				if (read_list(db, d->d_name, pack))
					take(db, p);
				break;
			}
		}
	}
	closedir(dir);
	free(path);
}

void run_pack_packages(struct run_pack *pack)
{
	const char *dir = getenv("DPKG_ADMINDIR");
	struct db db = {.dir = dir && *dir ? dir : DEFAULT_DIR};

	read_status(&db);
	run_pack_walk(pack, remember, &db);
	each_list(&db, NULL);
	for (size_t i = 0; i < db.nr; i++)
		db.pkgs[i].owner = db.pkgs[i].taken;
	for (size_t i = 0; i < db.nr; i++)
		if (db.pkgs[i].owner)
			take_list(&db, db.pkgs[i].recommends);
	while (db.todo) {
		struct pkg *p = db.todo;

		db.todo = p->next;
		take_list(&db, p->depends);
	}
	each_list(&db, pack);
	tdestroy(db.files, free);
	for (size_t i = 0; i < db.nr; i++)
		pkg_clear(&db.pkgs[i]);
	free(db.pkgs);
}
