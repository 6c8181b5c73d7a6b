/* SPDX-License-Identifier: MIT */
/*
 * memcg.h - memory control groups (cgroup v2's memory controller).
 *
 * A group is known by a number, 1 .. 65535; 0 is the root, which always
 * exists. Tasks belong to one group each; what they are the first to use is
 * charged to it and to all groups above it, until it is freed. A group may
 * have a limit (max), a point from which its tasks are slowed down (high), and
 * amounts that others' needs do not take from it (min, low).
 *
 * Files and their text are those of Linux's admin-guide/cgroup-v2: amounts are
 * bytes, multiples of a page; "max" is no limit.
 */
#ifndef MMKIT_MEMCG_H
#define MMKIT_MEMCG_H

#include <mmkit/types.h>

struct mm_task;

/* A limit that binds nobody. */
#define MEMCG_NO_LIMIT (~0UL >> 13)

/*
 * memcg_create: a new group below the group PARENT. Its number to *ID.
 * Context: may sleep. 0; -ENOMEM; -ENOENT: no such parent; -ENOSPC: no number
 * is free, or it would be more than 255 deep. Source of the idea:
 * mkdir(2) in cgroup2.
 */
int memcg_create(u16 parent, u16 *id) MM_MUST_CHECK;

/*
 * memcg_set_name: reports call the group ID by NAME, which is copied, its first
 * 63 bytes at most, and not by its number. Context: any that may take locks. 0;
 * -ENOENT: there is no such group.
 */
int memcg_set_name(u16 id, const char *name);

/*
 * memcg_remove: the group ID ends. What is charged to it stays, and counts
 * above, until it is freed; its number is not given out again before that.
 * Context: any that may take locks. 0; -ENOENT; -EBUSY: tasks or groups are
 * in it.
 */
int memcg_remove(u16 id) MM_MUST_CHECK;

/*
 * memcg_attach: TASK belongs to the group ID from now on. What it used before
 * stays charged where it was. Context: any that may take locks; TASK may run.
 * 0; -ENOENT.
 */
int memcg_attach(struct mm_task *task, u16 id) MM_MUST_CHECK;

/*
 * memcg_read: the text of the group's FILE ("memory.current", ...; the root
 * has memory.stat, memory.numa_stat and memory.pressure to be read), at most
 * LEN bytes and a 0 to BUF. Returns how long the whole text is; -ENOENT: no
 * such group or file. Context: may sleep.
 */
s64 memcg_read(u16 id, const char *file, char *buf, size_t len);

/*
 * memcg_write: TEXT, as a user writes it, to the group's FILE (the root has
 * memory.reclaim alone: of the whole machine). Context: may
 * sleep, for as long as reclaim to a lower limit takes; a kill of the task ends
 * it. 0; -ENOENT; -EINVAL: not such a text, or the file cannot be written;
 * -EAGAIN: memory.reclaim got less than was asked for.
 */
int memcg_write(u16 id, const char *file, const char *text);

/* memcg_file: names of the files by number, from 0; NULL after the last.
 * *FLAGS: can it be read, and written; does the root have it? Any context. */
#define MEMCG_FILE_READ	 0x1u
#define MEMCG_FILE_WRITE 0x2u
#define MEMCG_FILE_ROOT	 0x4u
const char *memcg_file(u32 i, u32 *flags);

/*
 * memcg_stack_charge: the running task makes a thread whose kernel stack has
 * KIB KiB, a multiple of a page, in NID's memory: they are charged to its
 * group, *GROUP, and told as KernelStack. Context: may sleep. 0; -ENOMEM: over
 * the group's limit. memcg_stack_uncharge: the thread is gone. Context: any
 * that may take locks.
 */
int memcg_stack_charge(int nid, u32 kib, u16 *group) MM_MUST_CHECK;
void memcg_stack_uncharge(int nid, u32 kib, u16 group);

/*
 * memcg_on_change: FN is called whenever something happened to any group that
 * one of its files tells as an event: memory.events and its kin, and whether
 * there are tasks in it or below. FN runs in any context, locks held; it
 * wakes who waits, who then asks memcg_version(). NULL: nobody is called.
 * memcg_version: a number that is another one after each event that FILE of
 * the group ID tells ("memory.events", "memory.events.local",
 * "memory.swap.events", "cgroup.events"; 0 for others, and without group).
 * Any context that may take locks.
 */
void memcg_on_change(void (*fn)(void));
u64 memcg_version(u16 id, const char *file);

/* memcg_descendants: groups below ID: *ONLINE, and *DYING ones that were
 * removed and have charges. Any context that may take locks. */
void memcg_descendants(u16 id, u32 *online, u32 *dying);

/* memcg_parent: the group above ID; 0 for the root itself. -ENOENT. */
int memcg_parent(u16 id);

#endif
