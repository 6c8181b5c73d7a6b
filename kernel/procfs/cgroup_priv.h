/* SPDX-License-Identifier: MIT */
/*
 * cgroup_priv.h - what the files of cgroup2 share. Theory: cgroup.c (names,
 * settings), cgroup_tasks.c (who is in a group, and what is done to all),
 * cgroup_type.c (threaded groups), cgroup_attr.c (owners).
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
	bool threaded;		   /* cgroup.type */
	u32 uid, gid;		   /* constant: who made it */
	struct list_head notes;	   /* of what was given away (cgroup_attr.c) */
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
/* cgroup_has_members: is a thread right in ID? cgroup_populated: in ID, which
 * is not the root, or below? Lock held. */
bool cgroup_has_members(u16 id);
bool cgroup_populated(u16 id);

/* cgroup_type.c. Lock held. cgroup_domain: the group, ID or above, whose
 * processes threads of ID are of. cgroup_may_hold: may there be threads in ID?
 * 0; -EBUSY: it hands memory out; -EOPNOTSUPP: it has no valid domain.
 * cgroup_may_control: may ID hand memory out? 0, -EBUSY, -EOPNOTSUPP. */
bool cgroup_threaded(u16 id);
u16 cgroup_domain(u16 id);
int cgroup_may_hold(u16 id);
int cgroup_may_control(u16 id);
int show_type(const struct pnode *n, struct seq_buf *out);
s64 write_type(const struct pnode *n, const char *text, size_t len);

/* cgroup_attr.c. cgroup_may_move: may the running task move somebody from group
 * FROM to TO, whose cgroup.procs it could open? 0, -EACCES. Lock held.
 * cgroup_forget_notes: of a group that is gone. */
extern const struct pattr_ops cgroup_attrs;
int cgroup_may_move(u16 from, u16 to);
void cgroup_forget_notes(struct list_head *notes);

/* text_word: TEXT[LEN] without white space at its ends to OUT[SIZE]. False:
 * there is none, or it is too long. */
bool text_word(const char *text, size_t len, char *out, size_t size);

/* cgroup_tasks.c: the files' functions. */
int show_procs(const struct pnode *n, struct seq_buf *out);
s64 write_procs(const struct pnode *n, const char *text, size_t len);
int show_threads(const struct pnode *n, struct seq_buf *out);
s64 write_threads(const struct pnode *n, const char *text, size_t len);
s64 write_kill(const struct pnode *n, const char *text, size_t len);
int show_freeze(const struct pnode *n, struct seq_buf *out);
s64 write_freeze(const struct pnode *n, const char *text, size_t len);
int show_cgroup_events(const struct pnode *n, struct seq_buf *out);
u64 cgroup_events_version(const struct pnode *n);

#endif
