/* SPDX-License-Identifier: MIT */
/*
 * run_pack.c - the set of files that go into the machine.
 *
 * A path of the host is rebuilt as it is there: every link that is met on the
 * way goes in as a link, every folder as a folder, so that /lib64 -> usr/lib64
 * leads where it did. A program's interpreter and libraries are found as
 * ld.so(8) describes it: DT_RPATH of the file and of who loads it, DT_RUNPATH,
 * the folders of /etc/ld.so.conf, the built-in ones. The machine has no
 * ld.so.cache, so folders that the loader does not know by itself are
 * remembered for LD_LIBRARY_PATH.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "run.h"

#define MAX_LINKS   40
#define MAX_SCRIPTS 4

static const char *const builtin_dirs[] = {"/lib/x86_64-linux-gnu",
					   "/usr/lib/x86_64-linux-gnu",
					   "/lib64",
					   "/usr/lib64",
					   "/lib",
					   "/usr/lib"};

/* What the kernel puts files of its own over. */
static const char *const taken[] = {"dev/", "proc/", "sys/", "mmkit/"};

/* ---- the set ---------------------------------------------------------------
 */

void *run_must(void *p)
{
	if (!p)
		run_fail("no memory for the list of files");
	return p;
}

static char *join(const char *a, const char *sep, const char *b)
{
	char *s = NULL;

	if (asprintf(&s, "%s%s%s", a, sep, b) < 0)
		s = NULL;
	return run_must(s);
}

static int by_path(const void *a, const void *b)
{
	const struct run_entry *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static void entry_free(void *p)
{
	struct run_entry *e = p;

	free(e->path);
	free(e->source);
	free(e);
}

void run_pack_init(struct run_pack *p)
{
	memset(p, 0, sizeof(*p));
	p->lib_path = run_must(strdup(""));
}

void run_pack_free(struct run_pack *p)
{
	tdestroy(p->tree, entry_free);
	free(p->lib_path);
	memset(p, 0, sizeof(*p));
}

/* True: it is new. What is there already stays as it is. */
static bool put(struct run_pack *p, const struct run_entry *e)
{
	struct run_entry *copy = run_must(malloc(sizeof(*copy)));
	struct run_entry **slot;

	*copy = *e;
	copy->path = run_must(strdup(e->path + strspn(e->path, "/")));
	slot = run_must(tsearch(copy, &p->tree, by_path));
	if (*slot != copy) {
		free(copy->path);
		free(copy);
		return false;
	}
	if (e->contents) {
		copy->source = run_must(malloc(e->size + 1));
		memcpy(copy->source, e->source, e->size);
	} else if (e->source) {
		copy->source = run_must(strdup(e->source));
	}
	if (S_ISREG(e->mode))
		p->bytes += e->size;
	p->nr++;
	return true;
}

/* The folders above PATH that are not there yet. */
static void put_parents(struct run_pack *p, const char *path)
{
	char *copy = run_must(strdup(path));

	for (char *s = copy + strspn(copy, "/"); (s = strchr(s, '/')); s++) {
		struct run_entry e = {.path = copy, .mode = S_IFDIR | 0755};

		*s = 0;
		put(p, &e);
		*s = '/';
	}
	free(copy);
}

void run_pack_dir(struct run_pack *p, const char *path, u32 mode)
{
	struct run_entry e = {.path = (char *)path, .mode = S_IFDIR | mode};

	put_parents(p, path);
	put(p, &e);
}

void run_pack_text(struct run_pack *p, const char *path, const void *text,
		   size_t len)
{
	struct run_entry e = {.path = (char *)path,
			      .source = (char *)text,
			      .size = len,
			      .mode = S_IFREG | 0644,
			      .contents = true};

	put_parents(p, path);
	put(p, &e);
}

void run_pack_node(struct run_pack *p, const char *path, u32 mode, u32 major,
		   u32 minor)
{
	struct run_entry e = {.path = (char *)path,
			      .mode = mode,
			      .rdev_major = major,
			      .rdev_minor = minor};

	put_parents(p, path);
	put(p, &e);
}

void run_pack_link(struct run_pack *p, const char *path, const char *text)
{
	struct run_entry e = {.path = (char *)path,
			      .source = (char *)text,
			      .mode = S_IFLNK | 0777};

	put_parents(p, path);
	put(p, &e);
}

void run_pack_raw(struct run_pack *p, const struct run_entry *e)
{
	put_parents(p, e->path);
	put(p, e);
}

u64 run_file_size(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		run_fail("%s: %s", path, strerror(errno));
	return (u64)st.st_size;
}

struct walk {
	void (*fn)(const struct run_entry *e, void *arg);
	void *arg;
};

static void walk_node(const void *node, VISIT which, void *arg)
{
	const struct walk *w = arg;

	if (which == postorder || which == leaf)
		w->fn(*(struct run_entry *const *)node, w->arg);
}

void run_pack_walk(const struct run_pack *p,
		   void (*fn)(const struct run_entry *e, void *arg), void *arg)
{
	struct walk w = {fn, arg};

	twalk_r(p->tree, walk_node, &w);
}

/* ---- libraries -------------------------------------------------------------
 */

/* A file whose needs are looked for, and on whose behalf. */
struct object {
	const char *path;
	struct run_elf elf;
	const struct object *loader;
};

static bool add_resolved(struct run_pack *p, const char *path, char **real);
static void add_needs(struct run_pack *p, const char *path,
		      const struct object *loader, bool strict);

/* Is DIR/NAME a library of our kind? Its path is to be freed. */
static char *try_dir(const char *dir, const char *name)
{
	char *path = join(dir, "/", name), why[256];
	struct run_elf e;

	if (access(path, R_OK) == 0 && run_elf_read(path, &e, why) == 1) {
		run_elf_free(&e);
		return path;
	}
	free(path);
	return NULL;
}

/* DIR of a search path with $ORIGIN, $LIB and $PLATFORM replaced. */
static char *expand(const char *dir, size_t len, const char *origin)
{
	static const char *const from[] = {"$ORIGIN",	"${ORIGIN}",
					   "$LIB",	"${LIB}",
					   "$PLATFORM", "${PLATFORM}"};
	const char *to[] = {origin,
			    origin,
			    "lib/x86_64-linux-gnu",
			    "lib/x86_64-linux-gnu",
			    "x86_64",
			    "x86_64"};
	char *s = run_must(strndup(dir, len));

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		char *hit = strstr(s, from[i]), *next;

		if (!hit)
			continue;
		*hit = 0;
		next = join(s, to[i], hit + strlen(from[i]));
		free(s);
		s = next;
	}
	return s;
}

static char *try_list(const char *list, const char *of, const char *name)
{
	char *real = realpath(of, NULL), *slash, *found = NULL;

	if (!list || !real) {
		free(real);
		return NULL;
	}
	slash = strrchr(real, '/');
	*slash = 0;
	while (!found && *list) {
		size_t len = strcspn(list, ":");
		char *dir = expand(list, len, real);

		found = try_dir(*dir ? dir : ".", name);
		free(dir);
		list += len + (list[len] == ':');
	}
	free(real);
	return found;
}

/* Folders that are in ld.so.conf and not built in go to LD_LIBRARY_PATH. */
static void remember_dir(struct run_pack *p, const char *dir)
{
	char *list;

	if (strstr(p->lib_path, dir))
		return;
	list = join(p->lib_path, *p->lib_path ? ":" : "", dir);
	free(p->lib_path);
	p->lib_path = list;
}

static char *try_conf(struct run_pack *p, const char *conf, const char *name,
		      u32 depth)
{
	FILE *f = fopen(conf, "re");
	char line[512], *found = NULL;

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "#\n")] = 0;
		if (!strncmp(line, "include ", 8) && depth < 4) {
			glob_t g;

			if (glob(line + 8, 0, NULL, &g))
				continue;
			for (size_t i = 0; !found && i < g.gl_pathc; i++)
				found = try_conf(p, g.gl_pathv[i], name,
						 depth + 1);
			globfree(&g);
		} else if (line[0] == '/') {
			found = try_dir(line, name);
			if (found)
				remember_dir(p, line);
		}
	}
	if (f)
		fclose(f);
	return found;
}

static char *find_library(struct run_pack *p, const struct object *of,
			  const char *name)
{
	char *found = NULL;

	if (strchr(name, '/'))
		return access(name, R_OK) ? NULL : run_must(strdup(name));
	for (const struct object *o = of; !of->elf.runpath && !found && o;
	     o = o->loader)
		if (!o->elf.runpath)
			found = try_list(o->elf.rpath, o->path, name);
	if (!found)
		found = try_list(of->elf.runpath, of->path, name);
	for (size_t i = 0; !found && i < ARRAY_SIZE(builtin_dirs); i++)
		found = try_dir(builtin_dirs[i], name);
	return found ? found : try_conf(p, "/etc/ld.so.conf", name, 0);
}

static void add_library(struct run_pack *p, const struct object *of,
			const char *name, bool strict)
{
	char *path = find_library(p, of, name);

	if (path && add_resolved(p, path, NULL))
		add_needs(p, path, of, strict);
	else if (!path && strict)
		run_fail("%s: needs the library %s, which is not there",
			 of->path, name);
	else if (!path)
		err_say("note: %s: needs the library %s, which is not there",
			of->path, name);
	free(path);
}

/* What the file PATH of the host cannot run without. STRICT: what is wrong
 * with it ends the command. */
static void add_needs(struct run_pack *p, const char *path,
		      const struct object *loader, bool strict)
{
	struct object o = {.path = path, .loader = loader};
	char why[256];
	int kind = run_elf_read(path, &o.elf, why);

	if (kind <= 0) /* no program of our kind: data */
		return;
	if (o.elf.interp && access(o.elf.interp, R_OK) && strict)
		run_fail("%s: its interpreter %s: %s", path, o.elf.interp,
			 strerror(errno));
	if (o.elf.interp && !access(o.elf.interp, R_OK))
		add_resolved(p, o.elf.interp, NULL);
	for (u32 i = 0; i < o.elf.nr_needed; i++)
		add_library(p, &o, o.elf.needed[i], strict);
	run_elf_free(&o.elf);
}

/* ---- files of the host -----------------------------------------------------
 */

static void refuse_taken(const char *path)
{
	const char *rel = path + strspn(path, "/");

	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		if (!strncmp(rel, taken[i], strlen(taken[i])))
			run_fail("%s: the machine has its own /%s; give "
				 "another place with --add HOSTPATH:GUESTPATH",
				 path, taken[i]);
}

static bool add_file(struct run_pack *p, const char *host, const char *guest,
		     const struct stat *st)
{
	struct run_entry e = {.path = (char *)guest,
			      .source = (char *)host,
			      .mode = st->st_mode & (S_IFMT | 07777),
			      .size = (u64)st->st_size};

	if (!S_ISREG(st->st_mode)) {
		err_say("note: %s is neither file, folder nor link: left out",
			host);
		return false;
	}
	if (access(host, R_OK))
		run_fail("%s: %s", host, strerror(errno));
	refuse_taken(guest);
	put_parents(p, guest);
	return put(p, &e);
}

static char *absolute(const char *path)
{
	char *cwd, *s;

	if (*path == '/')
		return run_must(strdup(path));
	cwd = run_must(getcwd(NULL, 0));
	s = join(cwd, "/", path);
	free(cwd);
	return s;
}

/* The link at AT leads on: what is left of the way. */
static char *follow(struct run_pack *p, const char *at, const char *rest)
{
	static char text[PATH_MAX];
	char *next, *dir;
	ssize_t n = readlink(at, text, sizeof(text) - 1);

	if (n < 0)
		run_fail("%s: %s", at, strerror(errno));
	text[n] = 0;
	run_pack_link(p, at, text);
	dir = run_must(strndup(at, (size_t)(strrchr(at, '/') - at)));
	next = text[0] == '/' ? join(text, "", rest) : join(dir, "/", text);
	free(dir);
	if (text[0] != '/') {
		dir = join(next, "", rest);
		free(next);
		next = dir;
	}
	return next;
}

/* One step: the component of *REST behind AT. True: a link was followed, and
 * *REST is a whole path again. */
static bool step(struct run_pack *p, char *at, char **rest, struct stat *st)
{
	char *s = *rest + strspn(*rest, "/");
	size_t len = strcspn(s, "/"), have = strlen(at);
	char *next;

	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFDIR;
	if (len == 2 && !memcmp(s, "..", 2)) {
		char *slash = strrchr(at, '/');

		if (slash)
			*slash = 0;
	} else if (len && !(len == 1 && *s == '.')) {
		if (have + len + 2 > PATH_MAX)
			run_fail("%s: %s", s, strerror(ENAMETOOLONG));
		at[have] = '/';
		memcpy(at + have + 1, s, len);
		at[have + 1 + len] = 0;
		if (lstat(at, st))
			run_fail("%s: %s", at, strerror(errno));
		if (S_ISLNK(st->st_mode)) {
			next = follow(p, at, s + len);
			free(*rest);
			*rest = next;
			*at = 0;
			return true;
		}
		if (S_ISDIR(st->st_mode))
			run_pack_dir(p, at, st->st_mode & 07777);
	}
	memmove(*rest, s + len, strlen(s + len) + 1);
	return false;
}

/* True: PATH leads to a file that was not in the set. REAL, if wanted, is
 * where it leads, to be freed. */
static bool add_resolved(struct run_pack *p, const char *path, char **real)
{
	static char at[PATH_MAX];
	char *rest = absolute(path);
	struct stat st = {.st_mode = S_IFDIR};
	bool added = false;
	u32 links = 0;

	*at = 0;
	while (*rest)
		if (step(p, at, &rest, &st) && ++links > MAX_LINKS)
			run_fail("%s: %s", path, strerror(ELOOP));
	free(rest);
	if (!S_ISDIR(st.st_mode))
		added = add_file(p, at, at, &st);
	if (real)
		*real = run_must(strdup(*at ? at : "/"));
	return added;
}

void run_pack_path(struct run_pack *p, const char *path)
{
	char *real = NULL;

	if (add_resolved(p, path, &real))
		add_needs(p, real, NULL, true);
	free(real);
}

void run_pack_part(struct run_pack *p, const char *path)
{
	char *real = NULL;

	if (add_resolved(p, path, &real))
		add_needs(p, real, NULL, false);
	free(real);
}

void run_pack_file(struct run_pack *p, const char *host, const char *guest)
{
	struct stat st;

	if (stat(host, &st))
		run_fail("%s: %s", host, strerror(errno));
	if (add_file(p, host, guest, &st))
		add_needs(p, host, NULL, true);
}

static void add_tree(struct run_pack *p, const char *host, const char *guest);

/* A link within a folder: it goes in, and the file that it leads to. */
static void tree_link(struct run_pack *p, const char *host, const char *guest)
{
	static char text[PATH_MAX];
	ssize_t n = readlink(host, text, sizeof(text) - 1);
	struct stat st;

	if (n < 0)
		run_fail("%s: %s", host, strerror(errno));
	text[n] = 0;
	run_pack_link(p, guest, text);
	if (!strcmp(host, guest) && !stat(host, &st) && S_ISREG(st.st_mode) &&
	    add_resolved(p, host, NULL))
		add_needs(p, host, NULL, false);
}

static void tree_entry(struct run_pack *p, const char *host, const char *guest)
{
	struct stat st;

	if (lstat(host, &st))
		run_fail("%s: %s", host, strerror(errno));
	if (S_ISDIR(st.st_mode)) {
		run_pack_dir(p, guest, st.st_mode & 07777);
		add_tree(p, host, guest);
	} else if (S_ISLNK(st.st_mode)) {
		tree_link(p, host, guest);
	} else if (add_file(p, host, guest, &st)) {
		add_needs(p, host, NULL, false);
	}
}

static void add_tree(struct run_pack *p, const char *host, const char *guest)
{
	DIR *dir = opendir(host);
	struct dirent *d;

	if (!dir)
		run_fail("%s: %s", host, strerror(errno));
	while ((d = readdir(dir))) {
		char *h, *g;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		h = join(host, "/", d->d_name);
		g = join(guest, "/", d->d_name);
		tree_entry(p, h, g);
		free(h);
		free(g);
	}
	closedir(dir);
}

void run_pack_add(struct run_pack *p, const char *arg)
{
	const char *colon = strchr(arg, ':');
	char *host = run_must(
		strndup(arg, colon ? (size_t)(colon - arg) : strlen(arg)));
	char *real = NULL;
	struct stat st;

	if (!*host || (colon && colon[1] != '/'))
		run_fail("--add '%s': HOSTPATH or HOSTPATH:/GUESTPATH", arg);
	if (stat(host, &st))
		run_fail("--add: %s: %s", host, strerror(errno));
	if (!colon) {
		run_pack_path(p, host);
		add_resolved(p, host, &real);
		if (S_ISDIR(st.st_mode))
			add_tree(p, real, real);
	} else if (S_ISDIR(st.st_mode)) {
		run_pack_dir(p, colon + 1, st.st_mode & 07777);
		add_tree(p, host, colon + 1);
	} else {
		run_pack_file(p, host, colon + 1);
	}
	free(real);
	free(host);
}

/* ---- programs --------------------------------------------------------------
 */

/* As execvp(3) looks for it; to be freed. */
static char *find_program(const char *name)
{
	const char *path = getenv("PATH");
	struct stat st;

	if (strchr(name, '/')) {
		if (stat(name, &st))
			run_fail("%s: %s", name, strerror(errno));
		if (S_ISDIR(st.st_mode))
			run_fail("%s: is a folder", name);
		if (access(name, X_OK))
			run_fail("%s: not executable", name);
		return absolute(name);
	}
	for (path = path ? path : "/usr/bin:/bin"; *path;) {
		size_t len = strcspn(path, ":");
		char *dir = run_must(strndup(path, len)), *file;

		file = join(*dir ? dir : ".", "/", name);
		free(dir);
		if (!access(file, X_OK) && !stat(file, &st) &&
		    S_ISREG(st.st_mode)) {
			dir = absolute(file);
			free(file);
			return dir;
		}
		free(file);
		path += len + (path[len] == ':');
	}
	run_fail("%s: no such program in PATH", name);
}

/* The words of PATH's first line if it is a script; else false. */
static bool script_line(const char *path, char line[256])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		run_fail("%s: %s", path, strerror(errno));
	n = read(fd, line, 255);
	close(fd);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	memmove(line, line + 2, strlen(line + 2) + 1);
	return true;
}

static void add_program(struct run_pack *p, const char *path, u32 depth)
{
	char line[256], *save = NULL, *interp, *arg, *found;

	run_pack_path(p, path);
	if (!script_line(path, line))
		return;
	interp = strtok_r(line, " \t", &save);
	if (!interp || *interp != '/')
		run_fail("%s: its first line names no interpreter", path);
	if (depth == MAX_SCRIPTS)
		run_fail("%s: scripts that interpret scripts: too many", path);
	if (access(interp, X_OK))
		run_fail("%s: its interpreter %s: %s", path, interp,
			 strerror(errno));
	add_program(p, interp, depth + 1);
	arg = strtok_r(NULL, " \t", &save);
	if (arg && !strcmp(arg, "-S"))
		arg = strtok_r(NULL, " \t", &save);
	if (!arg || *arg == '-' || strcmp(strrchr(interp, '/'), "/env"))
		return;
	found = find_program(arg);
	add_program(p, found, depth + 1);
	free(found);
}

char *run_pack_program(struct run_pack *p, const char *name)
{
	char *path = find_program(name);
	char *real = NULL, why[256], line[256];
	struct run_elf e;
	int kind;

	add_resolved(p, path, &real);
	kind = run_elf_read(real, &e, why);
	if (kind < 0)
		run_fail("%s: %s", real, why);
	if (kind == 0 && !script_line(real, line))
		run_fail("%s: neither an ELF program nor a script with #!",
			 real);
	run_elf_free(&e);
	/* It is in the set already: its needs are not. */
	add_needs(p, real, NULL, true);
	free(real);
	add_program(p, path, 0);
	return path;
}
