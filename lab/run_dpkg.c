/* SPDX-License-Identifier: MIT */
/*
 * run_dpkg.c - "mmkit run --packages": what a program opens by itself.
 *
 * An ELF file names its libraries, not its modules, its data, or the programs
 * that it starts. Debian knows them by package: the files of the packages that
 * own what is in the set so far, of those that these recommend, and of all
 * that any of them depends on, go in, too. dpkg-query(1) tells who owns a
 * file, what a package asks for, and what it has. Of alternatives the first
 * that is installed counts; versions were dpkg's business when it installed
 * them.
 *
 * Left out: documentation, manuals, translations, and the packages that only
 * installing needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "run.h"

static const char *const no_use[] = {
	"/usr/share/doc/",
	"/usr/share/man/",
	"/usr/share/info/",
	"/usr/share/lintian/",
	"/usr/share/locale/",
	"/usr/share/bug/",
	"/usr/lib/x86_64-linux-gnu/gconv/",
};

/* They come by name for the sake of scripts that run at installation. */
static const char *const installers[] = {"debconf", "debconf-2.0", "dpkg",
					 "install-info", "ucf"};

/* A package that is installed. */
struct pkg {
	char *name;    /* alone */
	char *full;    /* with its architecture, where dpkg needs that */
	char *depends; /* and what must be there before */
	char *recommends, *provides;
	bool taken;
	struct pkg *next; /* taken, to be looked into */
};

struct db {
	struct pkg *pkgs;
	size_t nr;
	struct pkg *todo;
};

/* ---- dpkg-query ------------------------------------------------------------
 */

/* The arguments of a call, NULL at the end. */
struct words {
	char **at;
	size_t nr;
};

static void word_add(struct words *w, const char *text)
{
	w->at = run_must(reallocarray(w->at, w->nr + 2, sizeof(*w->at)));
	w->at[w->nr++] = run_must(strdup(text));
	w->at[w->nr] = NULL;
}

static void words_free(struct words *w)
{
	for (size_t i = 0; i < w->nr; i++)
		free(w->at[i]);
	free(w->at);
}

/* dpkg-query with these words; each line of its output to FN. SOME: that it
 * found not everything is no failure. */
static void query(const struct words *w, bool some,
		  void (*fn)(char *line, void *arg), void *arg)
{
	int fds[2], status = -1;
	char *line = NULL;
	size_t size = 0;
	pid_t pid;
	FILE *f;

	if (pipe2(fds, O_CLOEXEC))
		run_fail("--packages: pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		dup2(fds[1], 1);
		if (some)
			dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
		execvp(w->at[0], w->at);
		_exit(127);
	}
	close(fds[1]);
	f = run_must(fdopen(fds[0], "re"));
	while (getline(&line, &size, f) >= 0) {
		line[strcspn(line, "\n")] = 0;
		fn(line, arg);
	}
	free(line);
	fclose(f);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		run_fail("--packages: %s: %s", w->at[0], strerror(errno));
	if (status == 127 << 8)
		run_fail("--packages: no %s here: it wants Debian's packages",
			 w->at[0]);
	if (status && !(some && status == 1 << 8))
		run_fail("--packages: %s %s failed", w->at[0], w->at[1]);
}

/* ---- packages --------------------------------------------------------------
 */

#define FIELDS 7
#define FORMAT                                                       \
	"-f=${db:Status-Status}\\t${Package}\\t${binary:Package}\\t" \
	"${Pre-Depends}\\t${Depends}\\t${Recommends}\\t${Provides}\\n"

static void take_package(char *line, void *arg)
{
	char *part[FIELDS], *depends = NULL;
	struct db *db = arg;

	for (u32 i = 0; i < FIELDS; i++)
		part[i] = line ? strsep(&line, "\t") : (char *)"";
	if (strcmp(part[0], "installed"))
		return;
	if (asprintf(&depends, "%s, %s", part[3], part[4]) < 0)
		depends = NULL;
	db->pkgs =
		run_must(reallocarray(db->pkgs, db->nr + 1, sizeof(*db->pkgs)));
	db->pkgs[db->nr++] =
		(struct pkg){.name = run_must(strdup(part[1])),
			     .full = run_must(strdup(part[2])),
			     .depends = run_must(depends),
			     .recommends = run_must(strdup(part[5])),
			     .provides = run_must(strdup(part[6]))};
}

static void read_packages(struct db *db)
{
	struct words w = {0};

	word_add(&w, "dpkg-query");
	word_add(&w, "-W");
	word_add(&w, FORMAT);
	query(&w, false, take_package, db);
	words_free(&w);
	if (!db->nr)
		run_fail("--packages: no package is installed");
}

static void db_free(struct db *db)
{
	for (size_t i = 0; i < db->nr; i++) {
		free(db->pkgs[i].name);
		free(db->pkgs[i].full);
		free(db->pkgs[i].depends);
		free(db->pkgs[i].recommends);
		free(db->pkgs[i].provides);
	}
	free(db->pkgs);
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

/* A regular file of the set, by the names that a package may have for it:
 * some are from before /bin was a link. */
static void ask_owner(const struct run_entry *e, void *arg)
{
	struct words *w = arg;

	if (!S_ISREG(e->mode) || e->contents || !e->source)
		return;
	word_add(w, e->source);
	if (!strncmp(e->source, "/usr/", 5))
		word_add(w, e->source + 4);
}

/* "a, b:amd64: /path": a and b. */
static void take_owners(char *line, void *arg)
{
	char *end = strstr(line, ": /"), *name;
	struct db *db = arg;

	if (!end)
		return; /* who diverts it */
	*end = 0;
	while ((name = strsep(&line, ","))) {
		name += strspn(name, " ");
		for (size_t i = 0; i < db->nr; i++)
			if (!strcmp(db->pkgs[i].full, name))
				take(db, &db->pkgs[i]);
	}
}

static void add_listed(char *path, void *arg)
{
	struct run_pack *pack = arg;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(no_use); i++)
		if (!strncmp(path, no_use[i], strlen(no_use[i])))
			return;
	/* dpkg may have been told not to unpack it. */
	if (*path != '/' || stat(path, &st) || !S_ISREG(st.st_mode))
		return;
	if (access(path, R_OK))
		err_say("note: --packages: %s: %s: left out", path,
			strerror(errno));
	else
		run_pack_part(pack, path);
}

static void find_owners(struct db *db, const struct run_pack *pack)
{
	struct words w = {0};
	size_t none;

	word_add(&w, "dpkg-query");
	word_add(&w, "-S");
	none = w.nr;
	run_pack_walk(pack, ask_owner, &w);
	if (w.nr > none)
		query(&w, true, take_owners, db);
	words_free(&w);
}

static void add_files(const struct db *db, struct run_pack *pack)
{
	struct words w = {0};
	size_t none;

	word_add(&w, "dpkg-query");
	word_add(&w, "-L");
	none = w.nr;
	for (size_t i = 0; i < db->nr; i++)
		if (db->pkgs[i].taken)
			word_add(&w, db->pkgs[i].full);
	if (w.nr > none)
		query(&w, false, add_listed, pack);
	words_free(&w);
}

void run_pack_packages(struct run_pack *pack)
{
	struct db db = {0};
	struct pkg *owners;

	read_packages(&db);
	find_owners(&db, pack);
	owners = db.todo;
	for (struct pkg *p = owners; p; p = p->next)
		take_list(&db, p->recommends);
	while (db.todo) {
		struct pkg *p = db.todo;

		db.todo = p->next;
		take_list(&db, p->depends);
	}
	add_files(&db, pack);
	db_free(&db);
}
