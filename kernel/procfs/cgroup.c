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
 * 4. Waiting. poll(2) says POLLPRI and POLLERR of a file of events when one
 *    came since it was read; each open file knows which it has seen
 *    (pseudo.c).
 *
 * 5. Missing. Other controllers, namespaces (and with them nsdelegate).
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2; cgroups(7).
 */
#include <mmkit/memcg.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "fs/fs.h"
#include "procfs/cgroup_priv.h"
#include "procfs/pressure.h"
#include "procfs/pseudo.h"
#include "stat.h"

struct cgroup *cgroup_of(u16 id)
{
	struct cgroup *c;

	list_for_each_entry (c, &proc_sys.cgroups, list)
		if (c->id == id)
			return c;
	return NULL;
}

u16 cgroup_above(u16 id)
{
	const struct cgroup *c = cgroup_of(id);

	return c ? c->parent : 0;
}

bool cgroup_below(u16 id, u16 up)
{
	while (id && id != up)
		id = cgroup_above(id);
	return id == up;
}

static struct cgroup *cgroup_named(u16 parent, const char *name)
{
	struct cgroup *c;

	list_for_each_entry (c, &proc_sys.cgroups, list)
		if (c->parent == parent && !mm_strcmp(c->name, name))
			return c;
	return NULL;
}

bool cgroup_controls(u16 id)
{
	const struct cgroup *c = cgroup_of(id);

	return c ? c->control : proc_sys.cgroup_root_control;
}

bool text_word(const char *text, size_t len, char *out, size_t size)
{
	while (len && (*text == ' ' || *text == '\n')) {
		text++;
		len--;
	}
	while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	return pseudo_line(text, len, out, size);
}

/* ---- controllers
 * ---------------------------------------------------------------------
 */

/* Is memory ID's to hand out, and has it the files? Lock held. */
static bool shows_memory(u16 id)
{
	const struct cgroup *c = cgroup_of(id);

	return !id || (c && !c->threaded && cgroup_controls(c->parent));
}

static int show_controllers(const struct pnode *n, struct seq_buf *out)
{
	bool on;

	mutex_lock(&proc_sys.cgroup_lock);
	on = shows_memory(key_id(&n->key));
	mutex_unlock(&proc_sys.cgroup_lock);
	seq_puts(out, on ? "memory\n" : "\n");
	return 0;
}

static int show_control(const struct pnode *n, struct seq_buf *out)
{
	mutex_lock(&proc_sys.cgroup_lock);
	seq_puts(out, cgroup_controls(key_id(&n->key)) ? "memory\n" : "\n");
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

	int err;

	if (id && !c)
		return -ENODEV;
	if (on && !shows_memory(id))
		return -ENOENT;
	if (on == cgroup_controls(id))
		return 0;
	err = on ? cgroup_may_control(id) : 0;
	if (err)
		return err;
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

/* ---- how many, how deep
 * --------------------------------------------------------------- */

/* The limit of kind KIND of ID, kept here. Lock held; NULL: it is gone. */
static u64 *limit_of(u16 id, u32 kind)
{
	struct cgroup *c = cgroup_of(id);

	if (c)
		return &c->max[kind];
	return id ? NULL : &proc_sys.cgroup_root_max[kind];
}

static int show_limit(const struct pnode *n, struct seq_buf *out)
{
	const u64 *limit;
	int err = 0;

	mutex_lock(&proc_sys.cgroup_lock);
	limit = limit_of(key_id(&n->key), n->e->arg);
	if (!limit)
		err = -ENODEV;
	else if (*limit == CGROUP_NO_LIMIT)
		seq_puts(out, "max\n");
	else
		seq_printf(out, "%llu\n", LLU(*limit));
	mutex_unlock(&proc_sys.cgroup_lock);
	return err;
}

static s64 write_limit(const struct pnode *n, const char *text, size_t len)
{
	u64 value = CGROUP_NO_LIMIT, *limit;
	char word[16];

	if (!text_word(text, len, word, sizeof(word)))
		return -EINVAL;
	if (mm_strcmp(word, "max")) {
		s64 v = pseudo_number(word, INT32_MAX);

		if (v < 0)
			return -EINVAL;
		value = (u64)v;
	}
	mutex_lock(&proc_sys.cgroup_lock);
	limit = limit_of(key_id(&n->key), n->e->arg);
	if (limit)
		*limit = value;
	mutex_unlock(&proc_sys.cgroup_lock);
	return limit ? (s64)len : -ENODEV;
}

/* Directories below ID. Lock held. */
static u64 nr_below(u16 id)
{
	const struct cgroup *c;
	u64 n = 0;

	list_for_each_entry (c, &proc_sys.cgroups, list)
		n += c->id != id && cgroup_below(c->id, id);
	return n;
}

/* May there be one more right below ID? Every one above has a say. Lock held.
 */
static bool room_below(u16 id)
{
	u64 depth = 1;

	for (;; id = cgroup_above(id), depth++) {
		const u64 *most = limit_of(id, CGROUP_DEPTH);

		if (!most || depth > *most ||
		    nr_below(id) >= *limit_of(id, CGROUP_DESCENDANTS))
			return false;
		if (!id)
			return true;
	}
}

static int show_cgroup_stat(const struct pnode *n, struct seq_buf *out)
{
	u32 online, dying;

	memcg_descendants(key_id(&n->key), &online, &dying);
	seq_printf(out, "nr_descendants %u\nnr_dying_descendants %u\n", online,
		   dying);
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

static u64 memory_version(const struct pnode *n)
{
	return memcg_version(key_id(&n->key), n->key.name);
}

static const struct pentry memory_ro = {.mode = S_IFREG | 0444,
					.show = show_memory};
static const struct pentry memory_events = {
	.mode = S_IFREG | 0444, .show = show_memory, .version = memory_version};
static const struct pentry memory_pressure = {.mode = S_IFREG | 0644,
					      .show = pressure_show,
					      .own_write = pressure_write,
					      .own_poll = pressure_poll,
					      .own_end = pressure_end};
static const struct pentry memory_rw = {
	.mode = S_IFREG | 0644, .show = show_memory, .write = write_memory};

static const struct pentry memory_wo = {.mode = S_IFREG | 0200,
					.write = write_memory};

static const struct pentry *memory_entry(const char *name, u32 flags)
{
	if (!mm_strcmp(name, "memory.pressure"))
		return &memory_pressure;
	if (!mm_strcmp(name, "memory.events") ||
	    !mm_strcmp(name, "memory.events.local") ||
	    !mm_strcmp(name, "memory.swap.events"))
		return &memory_events;
	if (!(flags & MEMCG_FILE_READ))
		return &memory_wo;
	return flags & MEMCG_FILE_WRITE ? &memory_rw : &memory_ro;
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
			e = memory_entry(file, flags);
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
		return memory_entry(file, flags);
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
	c->uid = fs_uid();
	c->gid = fs_gid();
	INIT_LIST_HEAD(&c->notes);
	c->max[CGROUP_DEPTH] = c->max[CGROUP_DESCENDANTS] = CGROUP_NO_LIMIT;
	mutex_lock(&proc_sys.cgroup_lock);
	err = cgroup_named(c->parent, name) ? -EEXIST
	      : !room_below(c->parent)	    ? -EAGAIN
					    : memcg_create(c->parent, &c->id);
	if (!err) {
		list_add_tail(&c->list, &proc_sys.cgroups);
		(void)memcg_set_name(c->id, name);
	}
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
	if (!err) {
		cgroup_forget_notes(&c->notes);
		kfree(c);
	}
	return err;
}

/* clang-format off */
#define CGROUP_FILE(n, rights, ...) \
	{.name = n, .mode = S_IFREG | (rights), __VA_ARGS__}
#define CGROUP_COMMON                                                       \
	CGROUP_FILE("cgroup.controllers", 0444, .show = show_controllers),  \
	CGROUP_FILE("cgroup.max.depth", 0644, .arg = CGROUP_DEPTH,          \
		    .show = show_limit, .write = write_limit),              \
	CGROUP_FILE("cgroup.max.descendants", 0644,                         \
		    .arg = CGROUP_DESCENDANTS, .show = show_limit,          \
		    .write = write_limit),                                  \
	CGROUP_FILE("cgroup.procs", 0644, .show = show_procs,               \
		    .write = write_procs),                                  \
	CGROUP_FILE("cgroup.stat", 0444, .show = show_cgroup_stat),         \
	CGROUP_FILE("cgroup.subtree_control", 0644, .show = show_control,   \
		    .write = write_control),                                \
	CGROUP_FILE("cgroup.threads", 0644, .show = show_threads,           \
		    .write = write_threads)
/* clang-format on */

static const struct pentry cgroup_root_entries[] = {CGROUP_COMMON};
static const struct pentry cgroup_entries[] = {
	CGROUP_COMMON,
	CGROUP_FILE("cgroup.events", 0444, .show = show_cgroup_events,
		    .version = cgroup_events_version),
	CGROUP_FILE("cgroup.freeze", 0644, .show = show_freeze,
		    .write = write_freeze),
	CGROUP_FILE("cgroup.kill", 0200, .write = write_kill),
	CGROUP_FILE("cgroup.type", 0644, .show = show_type,
		    .write = write_type),
};

static const struct pdir cgroup_root_dir = PDIR(
	cgroup_root_entries, .find = cgroup_find, .next = cgroup_next,
	.make = cgroup_make, .remove = cgroup_remove, .attrs = &cgroup_attrs);
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
	INIT_LIST_HEAD(&proc_sys.cgroup_root_notes);
	mutex_init(&proc_sys.cgroup_lock, LOCK_CLASS_CGROUP);
	proc_sys.cgroup_root_control = false;
	for (u32 i = 0; i < NR_CGROUP_LIMITS; i++)
		proc_sys.cgroup_root_max[i] = CGROUP_NO_LIMIT;
	memcg_on_change(pseudo_changed);
	task_on_rest(cgroup_rested);
	proc_sys.types[2] =
		(struct vfs_fstype){.name = "cgroup2", .mount = cgroup_mount};
	vfs_register_fs(&proc_sys.types[2]);
}

void cgroup_exit(void)
{
	struct cgroup *c, *next;

	memcg_on_change(NULL);
	task_on_rest(NULL);
	list_for_each_entry_safe (c, next, &proc_sys.cgroups, list) {
		list_del(&c->list);
		cgroup_forget_notes(&c->notes);
		kfree(c);
	}
	cgroup_forget_notes(&proc_sys.cgroup_root_notes);
}
