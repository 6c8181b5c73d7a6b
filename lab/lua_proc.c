/* SPDX-License-Identifier: MIT */
/*
 * lua_proc.c - files of /proc and /sys, and memory groups as folders.
 *
 * Who answers depends on the path: the tree of groups below /sys/fs/cgroup,
 * tunables of /proc/sys, KSM's files, and the manager's report for the rest.
 * Names of groups are the lab's; the manager knows numbers.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/ksm.h>
#include <mmkit/memcg.h>
#include <mmkit/report.h>
#include <mmkit/sysctl.h>
#include <mmkit/task.h>

#include "base/seqbuf.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define SYSCTL_ROOT "/proc/sys/"
#define KSM_ROOT    "/sys/kernel/mm/ksm/"
#define PATH_LEN    256

static struct lab_group {
	struct lab_group *next;
	char path[PATH_LEN]; /* "" is the root */
	u16 id;
} * groups;

void lab_groups_free(void)
{
	struct lab_group *next;

	for (struct lab_group *g = groups; g; g = next) {
		next = g->next;
		free(g);
	}
	groups = NULL;
}

/* ---- text that grows
 * ------------------------------------------------------------- */

struct text {
	char *s;
	size_t len, max;
	bool failed;
};

static void text_add(void *arg, const char *s, size_t len)
{
	struct text *t = arg;

	if (t->len + len > t->max) {
		size_t max = (t->len + len) * 2 + 4096;
		char *grown = realloc(t->s, max);

		if (!grown) {
			t->failed = true;
			return;
		}
		t->s = grown;
		t->max = max;
	}
	memcpy(t->s + t->len, s, len);
	t->len += len;
}

/* ---- paths
 * ----------------------------------------------------------------------- */

static const char *below(const char *path, const char *root)
{
	size_t n = strlen(root);

	return strncmp(path, root, n) ? NULL : path + n;
}

static struct lab_group *find_group(const char *path, size_t len)
{
	struct lab_group *g = groups;

	while (g && (strlen(g->path) != len || memcmp(g->path, path, len)))
		g = g->next;
	return g;
}

/* The number of the group PATH[LEN], "/a/b"; -ENOENT. */
static int group_id(const char *path, size_t len)
{
	const struct lab_group *g;

	while (len && path[len - 1] == '/')
		len--;
	if (!len)
		return 0;
	g = find_group(path, len);
	return g ? g->id : -ENOENT;
}

/* "/a/b/memory.max" is a file of a group: its number and name. */
static int group_file(const char *path, const char **file)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return -ENOENT;
	*file = slash + 1;
	return group_id(path, (size_t)(slash - path));
}

/* "vm/swappiness" as "vm.swappiness". */
static void sysctl_name(char *buf, size_t size, const char *path)
{
	snprintf(buf, size, "%s", path);
	for (char *c = buf; *c; c++)
		if (*c == '/')
			*c = '.';
}

u16 lab_group_at(lua_State *L, const char *path)
{
	const char *rest = below(path, CGROUP_ROOT);
	int id = rest ? group_id(rest, strlen(rest)) : -ENOENT;

	if (id < 0)
		lab_fail(L, ENOENT, "group", path);
	return (u16)id;
}

/* ---- reading
 * ---------------------------------------------------------------------- */

static s64 show_procs(u16 id, struct text *out)
{
	for (struct lab_task *t = lab_next_task(NULL); t;
	     t = lab_next_task(t)) {
		char line[16];

		if (t->task->group == id)
			text_add(out, line,
				 (size_t)snprintf(line, sizeof(line), "%d\n",
						  t->pid));
	}
	return 0;
}

static s64 show_group(const char *path, struct text *out)
{
	const char *file = "";
	int id = group_file(path, &file);
	static char buf[16384];
	s64 n;

	if (id < 0)
		return id;
	if (!strcmp(file, "cgroup.procs"))
		return show_procs((u16)id, out);
	n = memcg_read((u16)id, file, buf, sizeof(buf));
	if (n > 0)
		text_add(out, buf, min((size_t)n, sizeof(buf) - 1));
	return n < 0 ? n : 0;
}

static s64 show_path(const char *path, struct text *out)
{
	char buf[1024], name[128];
	const char *rest;
	struct seq_buf s;
	s64 err;

	rest = below(path, CGROUP_ROOT);
	if (rest)
		return show_group(rest, out);
	seq_buf_init_sink(&s, buf, sizeof(buf), text_add, out);
	rest = below(path, SYSCTL_ROOT);
	if (rest) {
		sysctl_name(name, sizeof(name), rest);
		err = mm_sysctl_get(name, &s);
		if (!err)
			seq_printf(&s, "\n");
	} else {
		rest = below(path, KSM_ROOT);
		err = rest ? mm_ksm_get(rest, &s) : mm_show(path, &s);
	}
	seq_buf_flush(&s);
	return err;
}

/* BUF: the path, then the text. */
static s64 do_show(struct lab_call *c)
{
	struct text out = {0};
	s64 err = show_path(c->buf, &out);

	free(c->buf);
	c->buf = out.s;
	c->buf_len = out.len;
	return out.failed ? -ENOMEM : err;
}

static int push_text(lua_State *L, struct lab_call *c)
{
	lua_pushlstring(L, c->buf ? c->buf : "", c->buf_len);
	return 1;
}

/* Push what the file at ARG says; TASK asks ("self" is it), or NULL. */
static int read_path(lua_State *L, struct lab_task *task, int arg)
{
	const char *path = luaL_checkstring(L, arg);
	struct lab_call c = {
		.fn = do_show, .name = "cat", .push = push_text, .task = task};

	lab_need_machine(L);
	snprintf(c.what, sizeof(c.what), "%s", path);
	c.buf = strdup(path);
	if (!c.buf)
		return luaL_error(L, "no memory");
	return lab_do(L, &c);
}

static int l_readfile(lua_State *L)
{
	return read_path(L, NULL, 1);
}

static int l_task_readfile(lua_State *L)
{
	return read_path(L, lab_check_task(L, 1), 2);
}

/* ---- writing
 * ---------------------------------------------------------------------- */

static s64 attach(u16 id, const char *text)
{
	s32 pid = (s32)strtol(text, NULL, 10);

	for (struct lab_task *t = lab_next_task(NULL); t; t = lab_next_task(t))
		if (t->pid == pid)
			return memcg_attach(t->task, id);
	return -ESRCH;
}

static s64 store_group(const char *path, const char *text)
{
	const char *file = "";
	int id = group_file(path, &file);

	if (id < 0)
		return id;
	if (!strcmp(file, "cgroup.procs"))
		return attach((u16)id, text);
	return memcg_write((u16)id, file, text);
}

static s64 store_path(const char *path, const char *text)
{
	const char *rest = below(path, CGROUP_ROOT);
	char name[128];

	if (rest)
		return store_group(rest, text);
	rest = below(path, SYSCTL_ROOT);
	if (rest) {
		sysctl_name(name, sizeof(name), rest);
		return mm_sysctl_set(name, text);
	}
	rest = below(path, KSM_ROOT);
	if (rest)
		return mm_ksm_set(rest, text);
	return mm_write(path, text, strlen(text));
}

/* BUF: the path, a 0, the text, a 0. */
static s64 do_store(struct lab_call *c)
{
	const char *path = c->buf;
	s64 ret = store_path(path, path + strlen(path) + 1);

	return ret < 0 ? ret : 0;
}

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

static int write_path(lua_State *L, struct lab_task *task, int arg)
{
	const char *text = luaL_tolstring(L, arg, NULL);
	const char *path = luaL_checkstring(L, arg + 1);
	struct lab_call c = {.fn = do_store,
			     .name = "echo",
			     .push = push_none,
			     .task = task};
	size_t n = strlen(path) + 1;

	lab_need_machine(L);
	snprintf(c.what, sizeof(c.what), "'%.40s' to %.48s", text, path);
	c.buf = malloc(n + strlen(text) + 1);
	if (!c.buf)
		return luaL_error(L, "no memory");
	memcpy(c.buf, path, n);
	memcpy((char *)c.buf + n, text, strlen(text) + 1);
	return lab_do(L, &c);
}

static int l_echo(lua_State *L)
{
	return write_path(L, NULL, 1);
}

static int l_task_echo(lua_State *L)
{
	return write_path(L, lab_check_task(L, 1), 2);
}

/* ---- groups
 * ---------------------------------------------------------------------- */

static const char *group_arg(lua_State *L, int arg)
{
	const char *path = luaL_checkstring(L, arg);
	const char *rest = below(path, CGROUP_ROOT "/");

	luaL_argcheck(L, rest && *rest && strlen(path) < PATH_LEN, arg,
		      "groups are below " CGROUP_ROOT "/");
	return rest - 1;
}

static s64 do_mkdir(struct lab_call *c)
{
	u16 id = 0;
	int err = memcg_create((u16)c->a[0], &id);

	return err ? err : id;
}

static int l_mkdir(lua_State *L)
{
	const char *path = group_arg(L, 1);
	struct lab_call c = {.fn = do_mkdir, .name = "mkdir"};
	struct lab_group *g;
	int parent;

	lab_need_machine(L);
	parent = group_id(path, (size_t)(strrchr(path, '/') - path));
	snprintf(c.what, sizeof(c.what), "%s", path);
	if (parent < 0)
		return lab_fail(L, ENOENT, "mkdir", path);
	if (find_group(path, strlen(path)))
		return lab_fail(L, EEXIST, "mkdir", path);
	c.a[0] = (u64)parent;
	lab_run(L, lab_play, &c);
	if (c.ret < 0)
		return lab_result(L, &c);
	g = calloc(1, sizeof(*g));
	if (!g)
		return luaL_error(L, "no memory");
	snprintf(g->path, sizeof(g->path), "%s", path);
	g->id = (u16)c.ret;
	g->next = groups;
	groups = g;
	return 0;
}

static s64 do_rmdir(struct lab_call *c)
{
	return memcg_remove((u16)c->a[0]);
}

static int l_rmdir(lua_State *L)
{
	const char *path = group_arg(L, 1);
	struct lab_call c = {.fn = do_rmdir, .name = "rmdir"};
	struct lab_group *g, **at = &groups;

	lab_need_machine(L);
	g = find_group(path, strlen(path));
	if (!g)
		return lab_fail(L, ENOENT, "rmdir", path);
	c.a[0] = g->id;
	snprintf(c.what, sizeof(c.what), "%s", path);
	lab_run(L, lab_play, &c);
	if (c.ret < 0)
		return lab_result(L, &c);
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	free(g);
	return 0;
}

const struct lab_fn lab_proc_fns[] = {
	{"readfile", "readfile(path) -> string",
	 "The text of a file of /proc or /sys.",
	 "print(#readfile(\"/proc/meminfo\") > 0)", l_readfile},
	{"task:readfile", "task:readfile(path) -> string",
	 "The same, read by the task: /proc/self is it.",
	 "print(spawn():readfile(\"/proc/self/maps\"))", l_task_readfile},
	{"cat", "cat(path, [pattern])",
	 "Print a file of /proc or /sys, or its lines that match a Lua "
	 "pattern.",
	 "cat(\"/proc/meminfo\", \"^Mem\")", NULL},
	{"task:cat", "task:cat(path, [pattern])",
	 "The same, read by the task: /proc/self is it.",
	 "spawn():cat(\"/proc/self/maps\")", NULL},
	{"echo", "echo(value, path)",
	 "Write a file of /proc or /sys: tunables, KSM, THP, groups.",
	 "echo(100, \"/proc/sys/vm/swappiness\")\n"
	 "echo(\"always\", "
	 "\"/sys/kernel/mm/transparent_hugepage/enabled\")",
	 l_echo},
	{"task:echo", "task:echo(value, path)",
	 "The same, written by the task: /proc/self is it.",
	 "spawn():echo(1, \"/proc/self/clear_refs\")", l_task_echo},
	{"mkdir", "mkdir(\"/sys/fs/cgroup/...\")",
	 "A new memory group; its files are read and written by cat() and "
	 "echo(), tasks enter it through cgroup.procs.",
	 "t = spawn()\nmkdir(\"/sys/fs/cgroup/a\")\n"
	 "echo(\"8M\", \"/sys/fs/cgroup/a/memory.max\")\n"
	 "echo(t:pid(), \"/sys/fs/cgroup/a/cgroup.procs\")\n"
	 "cat(\"/sys/fs/cgroup/a/memory.max\")",
	 l_mkdir},
	{"rmdir", "rmdir(\"/sys/fs/cgroup/...\")",
	 "The group ends; no task may be in it.",
	 "mkdir(\"/sys/fs/cgroup/a\")\nrmdir(\"/sys/fs/cgroup/a\")", l_rmdir},
	{0}};
