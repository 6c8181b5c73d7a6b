/* SPDX-License-Identifier: MIT */
/*
 * cgroup_attr.c - whose the directories and files of control groups are.
 *
 * 1. Purpose. A group is handed to a user by giving him its directory, its
 *    cgroup.procs, cgroup.threads and cgroup.subtree_control (chown(2)). What
 *    he makes below is his then; the limits of the group itself are not.
 *
 * 2. Who made a directory owns it and its files. Who else was given what, and
 *    other modes, are kept with the group, one note for each file that was
 *    changed; all mounts show the same.
 *
 * 3. Moving a process takes the right to write the cgroup.procs where it goes
 *    (asked by open(2)), and that of the nearest group above both: so nobody
 *    pulls in a process from outside of what he was given, nor pushes one out.
 *    Rights are those of who writes.
 *
 * 4. Locking. cgroup_lock.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (delegation).
 */
#include <mmkit/slab.h>

#include "base/string.h"
#include "fs/fs.h"
#include "procfs/cgroup_priv.h"

/* Of one file, or (no name) of the directory. */
struct cgroup_note {
	struct list_head list;
	char name[PKEY_NAME];
	struct pattr attr;
};

static struct list_head *notes_of(u16 id)
{
	struct cgroup *c = cgroup_of(id);

	if (c)
		return &c->notes;
	return id ? NULL : &proc_sys.cgroup_root_notes;
}

static struct cgroup_note *note_of(u16 id, const char *name)
{
	struct list_head *notes = notes_of(id);
	struct cgroup_note *note;

	if (notes)
		list_for_each_entry (note, notes, list)
			if (!mm_strcmp(note->name, name))
				return note;
	return NULL;
}

/* What NAME of ID is like; MODE as it was made. Lock held. */
static struct pattr attr_of(u16 id, const char *name, u32 mode)
{
	const struct cgroup_note *note = note_of(id, name);
	const struct cgroup *c = cgroup_of(id);
	struct pattr attr = {.mode = mode & 07777};

	if (note)
		return note->attr;
	if (c) {
		attr.uid = c->uid;
		attr.gid = c->gid;
	}
	return attr;
}

static const char *name_of(const struct pnode *n)
{
	if (n->e->dir)
		return "";
	return n->e->name ? n->e->name : n->key.name;
}

static void attr_get(const struct pnode *n, struct pattr *attr)
{
	mutex_lock(&proc_sys.cgroup_lock);
	*attr = attr_of(key_id(&n->key), name_of(n), n->e->mode);
	mutex_unlock(&proc_sys.cgroup_lock);
}

static int attr_set(const struct pnode *n, const struct pattr *attr)
{
	u16 id = key_id(&n->key);
	struct cgroup_note *new = kzalloc(sizeof(*new), GFP_KERNEL), *note;
	struct list_head *notes;

	if (!new)
		return -ENOMEM;
	mutex_lock(&proc_sys.cgroup_lock);
	notes = notes_of(id);
	note = note_of(id, name_of(n));
	if (!note && notes) {
		(void)mm_strscpy(new->name, name_of(n), sizeof(new->name));
		list_add_tail(&new->list, notes);
		note = new;
		new = NULL;
	}
	if (note)
		note->attr = *attr;
	mutex_unlock(&proc_sys.cgroup_lock);
	kfree(new);
	return note ? 0 : -ENODEV;
}

const struct pattr_ops cgroup_attrs = {.get = attr_get, .set = attr_set};

void cgroup_forget_notes(struct list_head *notes)
{
	while (!list_empty(notes)) {
		struct cgroup_note *note =
			list_first_entry(notes, struct cgroup_note, list);

		list_del(&note->list);
		kfree(note);
	}
}

int cgroup_may_move(u16 from, u16 to)
{
	struct pattr attr;
	struct vnode v;

	while (!cgroup_below(from, to))
		to = cgroup_above(to);
	attr = attr_of(to, "cgroup.procs", 0644);
	mm_memset(&v, 0, sizeof(v));
	v.mode = S_IFREG | attr.mode;
	v.uid = attr.uid;
	v.gid = attr.gid;
	return vfs_permission(&v, MAY_WRITE);
}
