/* SPDX-License-Identifier: MIT */
/*
 * cgroup_priv.h - what the files of cgroup2 share. Theory: cgroup.c (names,
 * settings), cgroup_tasks.c (who is in a group, and what is done to all).
 */
#ifndef KERNEL_PROCFS_CGROUP_PRIV_H
#define KERNEL_PROCFS_CGROUP_PRIV_H

#include "procfs/cgroup.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"

enum cgroup_limit { CGROUP_DEPTH, CGROUP_DESCENDANTS, NR_CGROUP_LIMITS };
#define CGROUP_NO_LIMIT UINT64_MAX

/* All under proc_sys.cgroup_lock. */
struct cgroup {
	struct list_head list; /* of all, as they were made */
	u16 id, parent;
	bool control;		   /* memory is on for those below */
	bool freeze;		   /* its own cgroup.freeze */
	bool frozen;		   /* as it was told last */
	u64 turns;		   /* how often that changed */
	u64 max[NR_CGROUP_LIMITS]; /* cgroup.max.depth, .descendants */
	char name[PKEY_NAME];
};

static inline u16 key_id(const struct pkey *key)
{
	return (u16)key->num;
}

/* cgroup_of: the one of ID; NULL: the root, or gone. cgroup_above: ID's parent;
 * 0 for the root's own. cgroup_below: is ID UP or below it? Lock held. */
struct cgroup *cgroup_of(u16 id);
u16 cgroup_above(u16 id);
bool cgroup_below(u16 id, u16 up);
/* cgroup_controls: is memory on for those below ID? Lock held. */
bool cgroup_controls(u16 id);
/* cgroup_has_members: is a process right in ID? */
bool cgroup_has_members(u16 id);
/* text_word: TEXT[LEN] without white space at its ends to OUT[SIZE]. False:
 * there is none, or it is too long. */
bool text_word(const char *text, size_t len, char *out, size_t size);

/* cgroup_tasks.c: the files' functions. */
int show_procs(const struct pnode *n, struct seq_buf *out);
s64 write_procs(const struct pnode *n, const char *text, size_t len);
s64 write_kill(const struct pnode *n, const char *text, size_t len);
int show_freeze(const struct pnode *n, struct seq_buf *out);
s64 write_freeze(const struct pnode *n, const char *text, size_t len);
int show_cgroup_events(const struct pnode *n, struct seq_buf *out);
u64 cgroup_events_version(const struct pnode *n);

#endif
