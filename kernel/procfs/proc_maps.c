/* SPDX-License-Identifier: MIT */
/*
 * proc_maps.c - /proc/PID/map_files: a link for each mapping of a file, named
 * "START-END" in hexadecimal, to the file itself, also if it has no name any
 * more.
 *
 * A name is looked for by address anew each time, and only a mapping with
 * exactly these borders has it: what was split or joined meanwhile has another.
 * The file is held before the mmap lock is dropped.
 *
 * References: proc(5); Linux documentation, filesystems/proc.
 */
#include <mmkit/mman.h>
#include <mmkit/prctl.h>

#include "base/string.h"
#include "procfs/proc_task.h"
#include "space/space.h"

static struct mm_struct *key_mm(const struct pkey *key)
{
	struct task *t = pkey_task(key);
	struct mm_struct *mm = t ? task_mm(t) : NULL;

	if (t)
		task_put(t);
	return mm;
}

/* A hexadecimal number as it is written in a name; *AT is behind it then. */
static bool take_hex(const char **at, u64 *out)
{
	const char *s = *at;
	u64 v = 0;

	if (s[0] == '0' && s[1] != '-' && s[1] != '\0')
		return false;
	for (; (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'f'); s++) {
		if (v >> 60)
			return false;
		v = v << 4 | (u64)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
	}
	if (s == *at)
		return false;
	*at = s;
	*out = v;
	return true;
}

static bool parse_name(const char *name, u64 *start, u64 *end)
{
	if (!take_hex(&name, start) || *name++ != '-')
		return false;
	return take_hex(&name, end) && *name == '\0';
}

/* The file of KEY's mapping NAME, held, and may it be WRITTEN; NULL: none. */
static struct file *mapped_file(const struct pkey *key, const char *name,
				bool *written)
{
	struct mm_struct *mm = key_mm(key);
	struct vm_area_struct *v;
	struct file *file = NULL;
	u64 start, end;

	if (mm && parse_name(name, &start, &end)) {
		mmap_read_lock(mm);
		v = find_vma(mm, start);
		if (v && v->vm_file && v->vm_start == start &&
		    v->vm_end == end) {
			file = get_file(v->vm_file);
			*written = v->vm_flags & VM_WRITE;
		}
		mmap_read_unlock(mm);
	}
	if (mm)
		mm_put(mm);
	return file;
}

/* 0 and its file, held. */
static int node_file(const struct pnode *n, struct file **file)
{
	int err = task_may_look(n);
	bool written;

	if (err)
		return err;
	*file = mapped_file(&n->key, n->key.name, &written);
	return *file ? 0 : -ENOENT;
}

static s64 readlink_map(const struct pnode *n, char *buf, size_t size)
{
	struct file *file;
	s64 len = node_file(n, &file);

	if (len)
		return len;
	len = file_readlink(file, buf, size);
	fput(file);
	return len;
}

static int link_map(const struct pnode *n, struct dentry **out)
{
	struct file *file;
	int err = node_file(n, &file);

	if (err)
		return err;
	err = file_link(file, out);
	fput(file);
	return err;
}

#define MAP_ENTRY(rights)                                             \
	{                                                             \
		.mode = S_IFLNK | (rights), .readlink = readlink_map, \
		.get_link = link_map                                  \
	}
/* For reading; for writing too. */
static const struct pentry map_entries[] = {MAP_ENTRY(0400), MAP_ENTRY(0600)};

static const struct pentry *map_find(const struct pkey *key, const char *name,
				     struct pkey *child)
{
	bool written;
	struct file *file = mapped_file(key, name, &written);

	if (!file)
		return NULL;
	fput(file);
	(void)mm_scnprintf(child->name, sizeof(child->name), "%s", name);
	return &map_entries[written];
}

/* CURSOR: the next mapping ends above it. */
static const struct pentry *map_next(const struct pkey *key, u64 *cursor,
				     char *name)
{
	struct mm_struct *mm = key_mm(key);
	const struct pentry *e = NULL;
	struct vm_area_struct *v;

	if (!mm)
		return NULL;
	mmap_read_lock(mm);
	for (v = find_vma(mm, *cursor); v && !v->vm_file;
	     v = find_vma(mm, *cursor))
		*cursor = v->vm_end;
	if (v) {
		(void)mm_scnprintf(name, PNAME_MAX, "%llx-%llx",
				   LLU(v->vm_start), LLU(v->vm_end));
		*cursor = v->vm_end;
		e = &map_entries[!!(v->vm_flags & VM_WRITE)];
	}
	mmap_read_unlock(mm);
	mm_put(mm);
	return e;
}

const struct pdir proc_map_dir = {.find = map_find, .next = map_next};
