/* SPDX-License-Identifier: MIT */
/*
 * cgroup.c - cgroup2: control groups as directories, the memory controller
 * alone.
 *
 * 1. Purpose. `mount -t cgroup2 none /sys/fs/cgroup`, then mkdir, rmdir, and
 *    what stands in the files: who is in a group, what it uses, what it may.
 *    The groups themselves are the manager's (mmkit/memcg.h); names, and
 *    which directory has its controller on, are kept here.
 *
 * 2. Rules. The files of memory are in a directory if the one above it has
 *    "+memory" in cgroup.subtree_control. A directory (but the root) that has
 *    it on for those below holds no processes itself, and the other way round:
 *    -EBUSY. A limit stays in force while its file is not shown.
 *
 * 3. Locking. One mutex for names and settings. Nothing that reclaims runs
 *    under it: a write to memory.max may take long.
 *
 * 4. Missing. Threaded groups, other controllers, cgroup.max.*, freezing,
 *    cgroup.kill, delegation, namespaces; events do not wake poll(2).
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2; cgroups(7).
 */
#include <mmkit/memcg.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "procfs/cgroup.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"
#include "stat.h"

struct cgroup {
	struct list_head list; /* of all, as they were made */
	u16 id, parent;
	bool control; /* memory is on for those below */
	char name[PKEY_NAME];
};

/* The one of ID; NULL: the root, or gone. Lock held. */
static struct cgroup *cgroup_of(u16 id)
{
	struct cgroup *c;

	list_for_each_entry (c, &proc_sys.cgroups, list)
		if (c->id == id)
			return c;
	return NULL;
}

static struct cgroup *cgroup_named(u16 parent, const char *name)
{
	struct cgroup *c;

	list_for_each_entry (c, &proc_sys.cgroups, list)
		if (c->parent == parent && !mm_strcmp(c->name, name))
			return c;
	return NULL;
}

/* Is memory on for those below ID? Lock held. */
static bool controls(u16 id)
{
	const struct cgroup *c = cgroup_of(id);

	return c ? c->control : proc_sys.cgroup_root_control;
}

static u16 key_id(const struct pkey *key)
{
	return (u16)key->num;
}

/* ---- whose
 * ---------------------------------------------------------------------------
 */

/* The processes of group ID by number, after AFTER, with a reference. */
static struct process *next_member(u16 id, s32 after)
{
	struct process *p;

	while ((p = process_next(after))) {
		struct task *t = task_next(p, 0);
		bool in = t && READ_ONCE(t->mt->group) == id;

		after = p->tgid;
		if (t)
			task_put(t);
		if (in)
			return p;
		process_put(p);
	}
	return NULL;
}

static int show_procs(const struct pnode *n, struct seq_buf *out)
{
	struct process *p;
	s32 after = 0;

	while ((p = next_member(key_id(&n->key), after))) {
		after = p->tgid;
		process_put(p);
		seq_printf(out, "%d\n", after);
	}
	return 0;
}

static bool has_members(u16 id)
{
	struct process *p = next_member(id, 0);

	if (p)
		process_put(p);
	return p != NULL;
}

/* Is there a process in ID, or in a directory below it? Lock held. */
static bool populated(u16 id)
{
	struct cgroup *c;

	if (has_members(id))
		return true;
	list_for_each_entry (c, &proc_sys.cgroups, list) {
		u16 up = c->parent;

		while (up && up != id) {
			const struct cgroup *above = cgroup_of(up);

			up = above ? above->parent : 0;
		}
		if (up == id && has_members(c->id))
			return true;
	}
	return false;
}

static int show_cgroup_events(const struct pnode *n, struct seq_buf *out)
{
	mutex_lock(&proc_sys.cgroup_lock);
	seq_printf(out, "populated %d\nfrozen 0\n", populated(key_id(&n->key)));
	mutex_unlock(&proc_sys.cgroup_lock);
	return 0;
}

static int move_process(struct process *p, u16 id)
{
	struct task *t;
	s32 after = 0;
	int err = 0;

	while (!err && (t = task_next(p, after))) {
		after = t->tid;
		err = memcg_attach(t->mt, id);
		task_put(t);
	}
	return err == -ENOENT ? -ENODEV : err;
}

static s64 write_procs(const struct pnode *n, const char *text, size_t len)
{
	u16 id = key_id(&n->key);
	struct process *p;
	char word[16];
	size_t end = len;
	s64 pid;
	int err;

	while (end && (text[end - 1] == '\n' || text[end - 1] == ' '))
		end--;
	if (!end || end >= sizeof(word))
		return -EINVAL;
	mm_memcpy(word, text, end);
	word[end] = '\0';
	pid = pseudo_number(word, INT32_MAX);
	if (pid < 0)
		return -EINVAL;
	p = process_find(pid ? (s32)pid : current->proc->tgid);
	if (!p)
		return -ESRCH;
	mutex_lock(&proc_sys.cgroup_lock);
	err = id && controls(id) ? -EBUSY : move_process(p, id);
	mutex_unlock(&proc_sys.cgroup_lock);
	process_put(p);
	return err ? err : (s64)len;
}

/* ---- controllers
 * ---------------------------------------------------------------------
 */

static int show_controllers(const struct pnode *n, struct seq_buf *out)
{
	const struct cgroup *c;
	bool on;

	mutex_lock(&proc_sys.cgroup_lock);
	c = cgroup_of(key_id(&n->key));
	on = !c || controls(c->parent);
	mutex_unlock(&proc_sys.cgroup_lock);
	seq_puts(out, on ? "memory\n" : "\n");
	return 0;
}

static int show_control(const struct pnode *n, struct seq_buf *out)
{
	mutex_lock(&proc_sys.cgroup_lock);
	seq_puts(out, controls(key_id(&n->key)) ? "memory\n" : "\n");
	mutex_unlock(&proc_sys.cgroup_lock);
	return 0;
}

/* Does a directory right below ID have it on for those below itself? */
static bool used_below(u16 id)
{
	const struct cgroup *c;

	list_for_each_entry (c, &proc_sys.cgroups, list)
		if (c->parent == id && c->control)
			return true;
	return false;
}

static int set_control(u16 id, bool on)
{
	struct cgroup *c = cgroup_of(id);

	if (id && !c)
		return -ENODEV;
	if (on && c && !controls(c->parent))
		return -ENOENT;
	if (on && c && has_members(id))
		return -EBUSY;
	if (!on && used_below(id))
		return -EBUSY;
	if (c)
		c->control = on;
	else
		proc_sys.cgroup_root_control = on;
	return 0;
}

/* "+memory", "-memory", several of them. */
static s64 write_control(const struct pnode *n, const char *text, size_t len)
{
	const char *at = text;
	int want = -1, err = 0;

	while (*at) {
		if (*at == ' ' || *at == '\n') {
			at++;
			continue;
		}
		if ((*at != '+' && *at != '-') ||
		    mm_strncmp(at + 1, "memory", 6) ||
		    (at[7] && at[7] != ' ' && at[7] != '\n'))
			return -EINVAL;
		want = *at == '+';
		at += 7;
	}
	if (want >= 0) {
		mutex_lock(&proc_sys.cgroup_lock);
		err = set_control(key_id(&n->key), want);
		mutex_unlock(&proc_sys.cgroup_lock);
	}
	return err ? err : (s64)len;
}

static int show_type(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_puts(out, "domain\n");
	return 0;
}

/* ---- memory
 * --------------------------------------------------------------------------
 */

static int show_memory(const struct pnode *n, struct seq_buf *out)
{
	char *text = kmalloc(PAGE_SIZE, GFP_KERNEL);
	s64 len;

	if (!text)
		return -ENOMEM;
	len = memcg_read(key_id(&n->key), n->key.name, text, PAGE_SIZE);
	if (len >= 0)
		seq_write(out, text, (size_t)min(len, (s64)PAGE_SIZE - 1));
	kfree(text);
	return len == -ENOENT ? -ENODEV : (int)min(len, (s64)0);
}

static s64 write_memory(const struct pnode *n, const char *text, size_t len)
{
	int err = memcg_write(key_id(&n->key), n->key.name, text);

	if (err)
		return err == -ENOENT ? -ENODEV : err;
	return (s64)len;
}

static const struct pentry memory_ro = {.mode = S_IFREG | 0444,
					.show = show_memory};
static const struct pentry memory_rw = {
	.mode = S_IFREG | 0644, .show = show_memory, .write = write_memory};

static const struct pentry memory_wo = {.mode = S_IFREG | 0200,
					.write = write_memory};

static const struct pentry *memory_entry(u32 flags)
{
	if (!(flags & MEMCG_FILE_READ))
		return &memory_wo;
	return flags & MEMCG_FILE_WRITE ? &memory_rw : &memory_ro;
}

/* Has the directory of ID the files of memory? Lock held. */
static bool shows_memory(u16 id)
{
	const struct cgroup *c = cgroup_of(id);

	return !id || (c && controls(c->parent));
}

/* ---- directories
 * ---------------------------------------------------------------------
 */

static const struct pentry group_entry;

static const struct pentry *cgroup_find(const struct pkey *key,
					const char *name, struct pkey *child)
{
	const struct pentry *e = NULL;
	const char *file;
	struct cgroup *c;
	u32 flags;
	u16 id = key_id(key);

	mutex_lock(&proc_sys.cgroup_lock);
	c = cgroup_named(id, name);
	if (c) {
		child->num = c->id;
		e = &group_entry;
	}
	for (u32 i = 0; !e && shows_memory(id); i++) {
		file = memcg_file(i, &flags);
		if (!file)
			break;
		if ((id || (flags & MEMCG_FILE_ROOT)) && !mm_strcmp(file, name))
			e = memory_entry(flags);
	}
	mutex_unlock(&proc_sys.cgroup_lock);
	if (e && e != &group_entry && mm_strlen(name) < PKEY_NAME)
		mm_memcpy(child->name, name, mm_strlen(name) + 1);
	return e;
}

/* Files of memory have the cursors below this, groups their id and it. */
#define FIRST_GROUP 256u

static const struct pentry *next_file(u16 id, u64 *cursor, char *name)
{
	const char *file;
	u32 flags;

	while (*cursor < FIRST_GROUP && shows_memory(id) &&
	       (file = memcg_file((u32)*cursor, &flags))) {
		++*cursor;
		if (!id && !(flags & MEMCG_FILE_ROOT))
			continue;
		(void)mm_scnprintf(name, PNAME_MAX, "%s", file);
		return memory_entry(flags);
	}
	return NULL;
}

static const struct pentry *cgroup_next(const struct pkey *key, u64 *cursor,
					char *name)
{
	const struct cgroup *c, *best = NULL;
	const struct pentry *e;
	u16 id = key_id(key);

	mutex_lock(&proc_sys.cgroup_lock);
	e = next_file(id, cursor, name);
	if (!e) {
		*cursor = max(*cursor, (u64)FIRST_GROUP);
		list_for_each_entry (c, &proc_sys.cgroups, list)
			if (c->parent == id && c->id + FIRST_GROUP >= *cursor &&
			    (!best || c->id < best->id))
				best = c;
	}
	if (best) {
		*cursor = (u64)best->id + FIRST_GROUP + 1;
		(void)mm_scnprintf(name, PNAME_MAX, "%s", best->name);
		e = &group_entry;
	}
	mutex_unlock(&proc_sys.cgroup_lock);
	return e;
}

static int cgroup_make(const struct pkey *key, const char *name)
{
	struct cgroup *c;
	const char *file;
	u32 flags;
	int err;

	if (mm_strlen(name) >= PKEY_NAME)
		return -ENAMETOOLONG;
	for (u32 i = 0; (file = memcg_file(i, &flags)); i++)
		if (!mm_strcmp(file, name))
			return -EEXIST;
	c = kzalloc(sizeof(*c), GFP_KERNEL);
	if (!c)
		return -ENOMEM;
	mm_memcpy(c->name, name, mm_strlen(name) + 1);
	c->parent = key_id(key);
	mutex_lock(&proc_sys.cgroup_lock);
	err = cgroup_named(c->parent, name) ? -EEXIST
					    : memcg_create(c->parent, &c->id);
	if (!err)
		list_add_tail(&c->list, &proc_sys.cgroups);
	mutex_unlock(&proc_sys.cgroup_lock);
	if (err)
		kfree(c);
	return err == -ENOENT ? -ENODEV : err;
}

static int cgroup_remove(const struct pkey *key, const char *name)
{
	struct cgroup *c;
	int err;

	mutex_lock(&proc_sys.cgroup_lock);
	c = cgroup_named(key_id(key), name);
	err = c ? memcg_remove(c->id) : -ENOENT;
	if (!err)
		list_del(&c->list);
	mutex_unlock(&proc_sys.cgroup_lock);
	if (!err)
		kfree(c);
	return err;
}

#define CGROUP_COMMON                                                     \
	{.name = "cgroup.controllers",                                    \
	 .mode = S_IFREG | 0444,                                          \
	 .show = show_controllers},                                       \
		{.name = "cgroup.procs",                                  \
		 .mode = S_IFREG | 0644,                                  \
		 .show = show_procs,                                      \
		 .write = write_procs},                                   \
	{                                                                 \
		.name = "cgroup.subtree_control", .mode = S_IFREG | 0644, \
		.show = show_control, .write = write_control              \
	}

static const struct pentry cgroup_root_entries[] = {CGROUP_COMMON};
static const struct pentry cgroup_entries[] = {
	CGROUP_COMMON,
	{.name = "cgroup.events",
	 .mode = S_IFREG | 0444,
	 .show = show_cgroup_events},
	{.name = "cgroup.type", .mode = S_IFREG | 0444, .show = show_type},
};

static const struct pdir cgroup_root_dir =
	PDIR(cgroup_root_entries, .find = cgroup_find, .next = cgroup_next,
	     .make = cgroup_make, .remove = cgroup_remove);
static const struct pdir cgroup_dir =
	PDIR(cgroup_entries, .find = cgroup_find, .next = cgroup_next,
	     .make = cgroup_make, .remove = cgroup_remove);
static const struct pentry group_entry = {.mode = S_IFDIR | 0755,
					  .dir = &cgroup_dir};
static const struct pentry cgroup_root_entry = {.mode = S_IFDIR | 0755,
						.dir = &cgroup_root_dir};

/* ---- /proc/PID/cgroup, mounting
 * ------------------------------------------------------
 */

/* The path of C at the end of BUF[SIZE]. Lock held. NULL: too long. */
static const char *cgroup_path(const struct cgroup *c, char *buf, size_t size)
{
	char *at = buf + size - 1;

	*at = '\0';
	if (!c)
		*--at = '/';
	for (; c; c = cgroup_of(c->parent)) {
		size_t len = mm_strlen(c->name);

		if ((size_t)(at - buf) < len + 1)
			return NULL;
		at -= len;
		mm_memcpy(at, c->name, len);
		*--at = '/';
	}
	return at;
}

int cgroup_show_task(struct task *t, struct seq_buf *out)
{
	char *buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	const char *path;

	if (!buf)
		return -ENOMEM;
	mutex_lock(&proc_sys.cgroup_lock);
	path = cgroup_path(cgroup_of(READ_ONCE(t->mt->group)), buf, PAGE_SIZE);
	if (path)
		seq_printf(out, "0::%s\n", path);
	mutex_unlock(&proc_sys.cgroup_lock);
	kfree(buf);
	return path ? 0 : -ENAMETOOLONG;
}

static int cgroup_mount(const char *dev, u32 flags, const char *data,
			struct vfs_sb **out)
{
	(void)dev;
	(void)data;
	return pseudo_mount("cgroup2", vfs_anon_dev(), flags,
			    &cgroup_root_entry, out);
}

void cgroup_init(void)
{
	INIT_LIST_HEAD(&proc_sys.cgroups);
	mutex_init(&proc_sys.cgroup_lock, LOCK_CLASS_CGROUP);
	proc_sys.cgroup_root_control = false;
	proc_sys.types[2] =
		(struct vfs_fstype){.name = "cgroup2", .mount = cgroup_mount};
	vfs_register_fs(&proc_sys.types[2]);
}

void cgroup_exit(void)
{
	struct cgroup *c, *next;

	list_for_each_entry_safe (c, next, &proc_sys.cgroups, list) {
		list_del(&c->list);
		kfree(c);
	}
}
