/* SPDX-License-Identifier: MIT */
/*
 * cred.c - who a task is, and what it may do: uids, gids, capabilities.
 *
 * 1. A task's struct cred is written by the task alone, under task_sys.lock
 *    since others look at it to decide whether they may send it a signal.
 *
 * 2. Rules. Root is not special here: capabilities(7) are, and uid 0 gets them
 *    at execve(2) and loses them as setuid(2) is told there, unless the
 *    securebits forbid, which do not exist yet. There are no ambient sets and
 *    no capabilities of files.
 *
 * 3. Users. What all processes of one uid have together is counted in struct
 *    user: threads (RLIMIT_NPROC) and queued signals (RLIMIT_SIGPENDING).
 *
 * 4. The memory manager knows six capabilities (mm_task.caps): they are
 *    written anew whenever the effective set changes.
 *
 * Reference: credentials(7), capabilities(7), setuid(2), setresuid(2).
 */
#include <mmkit/slab.h>

#include "base/string.h"
#include "syscall.h"
#include "task/task_priv.h"

#define CAP_CHOWN	 0
#define CAP_FSETID	 4
#define CAP_KILL	 5
#define CAP_SETGID	 6
#define CAP_SETUID	 7
#define CAP_SETPCAP	 8
#define CAP_IPC_LOCK	 14
#define CAP_IPC_OWNER	 15
#define CAP_SYS_PTRACE	 19
#define CAP_SYS_ADMIN	 21
#define CAP_SYS_NICE	 23
#define CAP_SYS_RESOURCE 24
#define CAP_MAC_OVERRIDE 32
#define CAP_LAST	 40
#define CAP_FULL	 ((1UL << (CAP_LAST + 1)) - 1)
#define CAP_FS                                                              \
	(0x1fUL /* chown, dac_*, fowner, fsetid */ | 1UL << 9 | 1UL << 27 | \
	 1UL << CAP_MAC_OVERRIDE)

#define ID_NONE	    (~0u) /* -1: as it is */
#define NGROUPS_MAX 65536u

/* ---- users -----------------------------------------------------------------
 */

static struct user *user_lookup(u32 uid)
{
	struct hlist_node *n;

	for (n = task_sys.users[uid % USER_HASH].first; n; n = n->next) {
		struct user *u = hlist_entry(n, struct user, node);

		if (u->uid == uid)
			return u;
	}
	return NULL;
}

struct user *user_get(u32 uid)
{
	struct user *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL), *u;
	unsigned long flags;

	if (!fresh)
		return NULL;
	task_lock(flags);
	u = user_lookup(uid);
	if (u) {
		u->count++;
	} else {
		u = fresh;
		u->uid = uid;
		u->count = 1;
		hlist_add_head(&u->node, &task_sys.users[uid % USER_HASH]);
	}
	task_unlock(flags);
	if (u != fresh)
		kfree(fresh);
	return u;
}

struct user *user_hold(struct user *u)
{
	unsigned long flags;

	task_lock(flags);
	u->count++;
	task_unlock(flags);
	return u;
}

void user_put_locked(struct user *u)
{
	if (--u->count)
		return;
	mm_verify(u->threads == 0 && u->sigpending == 0);
	hlist_del_init(&u->node);
	kfree(u);
}

void user_put(struct user *u)
{
	unsigned long flags;

	task_lock(flags);
	user_put_locked(u);
	task_unlock(flags);
}

/* ---- capabilities ----------------------------------------------------------
 */

void cred_init_root(struct cred *c)
{
	mm_memset(c, 0, sizeof(*c));
	c->cap_effective = c->cap_permitted = c->cap_bset = CAP_FULL;
}

bool capable(int cap)
{
	const struct task *t = current;

	return !t || (t->cred.cap_effective >> cap & 1);
}

void caps_to_mm(struct task *t)
{
	static const struct {
		u8 cap, mm;
	} map[] = {
		{CAP_IPC_LOCK, MM_CAP_IPC_LOCK},
		{CAP_SYS_ADMIN, MM_CAP_SYS_ADMIN},
		{CAP_SYS_NICE, MM_CAP_SYS_NICE},
		{CAP_SYS_RESOURCE, MM_CAP_SYS_RESOURCE},
		{CAP_IPC_OWNER, MM_CAP_IPC_OWNER},
		{CAP_SYS_PTRACE, MM_CAP_SYS_PTRACE},
	};
	u32 caps = 0;

	for (u32 i = 0; i < ARRAY_SIZE(map); i++)
		if (t->cred.cap_effective >> map[i].cap & 1)
			caps |= map[i].mm;
	t->mt->caps = caps;
	WRITE_ONCE(t->mt->uid, t->cred.uid);
}

bool cred_may_signal(const struct cred *from, const struct cred *to)
{
	return (from->cap_effective >> CAP_KILL & 1) ||
	       from->euid == to->suid || from->euid == to->uid ||
	       from->uid == to->suid || from->uid == to->uid;
}

bool cred_exec(struct cred *c, u32 mode, u32 uid, u32 gid, bool no_new)
{
	u32 ruid = c->uid, rgid = c->gid;

	if (!no_new && (mode & 04000))
		c->euid = uid;
	/* Without x for the group it is a mark for locking. */
	if (!no_new && (mode & 02010) == 02010)
		c->egid = gid;
	c->suid = c->fsuid = c->euid;
	c->sgid = c->fsgid = c->egid;
	if (c->uid == 0 || c->euid == 0)
		c->cap_permitted = c->cap_bset | c->cap_inheritable;
	else
		c->cap_permitted = 0;
	c->cap_effective = c->euid == 0 ? c->cap_permitted : 0;
	return c->euid != ruid || c->egid != rgid;
}

/* Switch to the counts of another uid: a thread more there, one less here. */
static void user_switch(struct task *t, struct user *u)
{
	struct user *old = t->user;
	unsigned long flags;

	__atomic_fetch_add(&u->threads, 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&old->threads, 1, __ATOMIC_RELAXED);
	task_lock(flags);
	t->user = u;
	task_unlock(flags);
	user_put(old);
}

int cred_commit(const struct cred *c)
{
	struct task *t = current;
	struct user *u = NULL;
	unsigned long flags;
	bool changed;

	if (c->uid != t->cred.uid) {
		u = user_get(c->uid);
		if (!u)
			return -EAGAIN;
		user_switch(t, u);
	}
	changed = c->euid != t->cred.euid || c->egid != t->cred.egid ||
		  c->fsuid != t->cred.fsuid || c->fsgid != t->cred.fsgid ||
		  (c->cap_permitted & ~t->cred.cap_permitted);
	task_lock(flags);
	t->cred = *c;
	task_unlock(flags);
	caps_to_mm(t);
	if (changed) {
		t->proc->dumpable = false;
		t->pdeath_signal = 0;
	}
	return 0;
}

/* What leaving or entering uid 0 does to the sets: "Effect of user ID changes
 * on capabilities" in capabilities(7). */
static void caps_follow_uids(struct cred *c, const struct cred *old)
{
	bool was = !old->uid || !old->euid || !old->suid;
	bool is = !c->uid || !c->euid || !c->suid;

	if (was && !is)
		c->cap_permitted = c->cap_effective = 0;
	if (!old->euid && c->euid)
		c->cap_effective = 0;
	if (old->euid && !c->euid)
		c->cap_effective = c->cap_permitted;
	if (!old->fsuid && c->fsuid)
		c->cap_effective &= ~CAP_FS;
	if (old->fsuid && !c->fsuid)
		c->cap_effective |= c->cap_permitted & CAP_FS;
}

static s64 commit_uids(struct cred *c)
{
	const struct cred *old = &current->cred;

	caps_follow_uids(c, old);
	return cred_commit(c);
}

/* ---- calls -----------------------------------------------------------------
 */

static s64 sys_getuid(const struct sys_args *s)
{
	(void)s;
	return current->cred.uid;
}

static s64 sys_geteuid(const struct sys_args *s)
{
	(void)s;
	return current->cred.euid;
}

static s64 sys_getgid(const struct sys_args *s)
{
	(void)s;
	return current->cred.gid;
}

static s64 sys_getegid(const struct sys_args *s)
{
	(void)s;
	return current->cred.egid;
}

static s64 sys_setuid(const struct sys_args *s)
{
	struct cred c = current->cred;
	u32 uid = (u32)s->a[0];

	if (uid == ID_NONE)
		return -EINVAL;
	if (capable(CAP_SETUID))
		c.uid = c.suid = uid;
	else if (uid != c.uid && uid != c.suid)
		return -EPERM;
	c.euid = c.fsuid = uid;
	return commit_uids(&c);
}

static s64 sys_setgid(const struct sys_args *s)
{
	struct cred c = current->cred;
	u32 gid = (u32)s->a[0];

	if (gid == ID_NONE)
		return -EINVAL;
	if (capable(CAP_SETGID))
		c.gid = c.sgid = gid;
	else if (gid != c.gid && gid != c.sgid)
		return -EPERM;
	c.egid = c.fsgid = gid;
	return cred_commit(&c);
}

/* May an id become ID, of three (real, effective, saved) that there are? */
static bool one_of(u32 id, u32 r, u32 e, u32 s)
{
	return id == ID_NONE || id == r || id == e || id == s;
}

static s64 sys_setreuid(const struct sys_args *s)
{
	struct cred c = current->cred, old = c;
	u32 r = (u32)s->a[0], e = (u32)s->a[1];

	if (!capable(CAP_SETUID) && (!one_of(r, old.uid, old.euid, old.euid) ||
				     !one_of(e, old.uid, old.euid, old.suid)))
		return -EPERM;
	if (r != ID_NONE)
		c.uid = r;
	if (e != ID_NONE)
		c.euid = e;
	if (r != ID_NONE || (e != ID_NONE && e != old.uid))
		c.suid = c.euid;
	c.fsuid = c.euid;
	return commit_uids(&c);
}

static s64 sys_setregid(const struct sys_args *s)
{
	struct cred c = current->cred, old = c;
	u32 r = (u32)s->a[0], e = (u32)s->a[1];

	if (!capable(CAP_SETGID) && (!one_of(r, old.gid, old.egid, old.egid) ||
				     !one_of(e, old.gid, old.egid, old.sgid)))
		return -EPERM;
	if (r != ID_NONE)
		c.gid = r;
	if (e != ID_NONE)
		c.egid = e;
	if (r != ID_NONE || (e != ID_NONE && e != old.gid))
		c.sgid = c.egid;
	c.fsgid = c.egid;
	return cred_commit(&c);
}

static s64 sys_setresuid(const struct sys_args *s)
{
	u32 r = (u32)s->a[0], e = (u32)s->a[1], sv = (u32)s->a[2];
	struct cred c = current->cred, old = c;

	if (!capable(CAP_SETUID) && (!one_of(r, old.uid, old.euid, old.suid) ||
				     !one_of(e, old.uid, old.euid, old.suid) ||
				     !one_of(sv, old.uid, old.euid, old.suid)))
		return -EPERM;
	if (r != ID_NONE)
		c.uid = r;
	if (e != ID_NONE)
		c.euid = e;
	if (sv != ID_NONE)
		c.suid = sv;
	c.fsuid = c.euid;
	return commit_uids(&c);
}

static s64 sys_setresgid(const struct sys_args *s)
{
	u32 r = (u32)s->a[0], e = (u32)s->a[1], sv = (u32)s->a[2];
	struct cred c = current->cred, old = c;

	if (!capable(CAP_SETGID) && (!one_of(r, old.gid, old.egid, old.sgid) ||
				     !one_of(e, old.gid, old.egid, old.sgid) ||
				     !one_of(sv, old.gid, old.egid, old.sgid)))
		return -EPERM;
	if (r != ID_NONE)
		c.gid = r;
	if (e != ID_NONE)
		c.egid = e;
	if (sv != ID_NONE)
		c.sgid = sv;
	c.fsgid = c.egid;
	return cred_commit(&c);
}

static s64 put_three(const struct sys_args *s, u32 a, u32 b, u32 c)
{
	if (user_write(s->a[0], &a, 4) || user_write(s->a[1], &b, 4) ||
	    user_write(s->a[2], &c, 4))
		return -EFAULT;
	return 0;
}

static s64 sys_getresuid(const struct sys_args *s)
{
	const struct cred *c = &current->cred;

	return put_three(s, c->uid, c->euid, c->suid);
}

static s64 sys_getresgid(const struct sys_args *s)
{
	const struct cred *c = &current->cred;

	return put_three(s, c->gid, c->egid, c->sgid);
}

/* setfsuid(2) gives the old one, and no error. */
static s64 sys_setfsuid(const struct sys_args *s)
{
	struct cred c = current->cred;
	u32 id = (u32)s->a[0], old = c.fsuid;

	if (id != ID_NONE &&
	    (capable(CAP_SETUID) || one_of(id, c.uid, c.euid, c.suid) ||
	     id == c.fsuid)) {
		c.fsuid = id;
		(void)commit_uids(&c);
	}
	return old;
}

static s64 sys_setfsgid(const struct sys_args *s)
{
	struct cred c = current->cred;
	u32 id = (u32)s->a[0], old = c.fsgid;

	if (id != ID_NONE &&
	    (capable(CAP_SETGID) || one_of(id, c.gid, c.egid, c.sgid) ||
	     id == c.fsgid)) {
		c.fsgid = id;
		if (cred_commit(&c))
			return old; /* setfsgid(2) has no errors */
	}
	return old;
}

static s64 sys_getgroups(const struct sys_args *s)
{
	const struct cred *c = &current->cred;
	int size = (int)s->a[0];

	if (size < 0)
		return -EINVAL;
	if (size == 0)
		return c->nr_groups;
	if ((u32)size < c->nr_groups)
		return -EINVAL;
	if (user_write(s->a[1], c->groups, 4UL * c->nr_groups))
		return -EFAULT;
	return c->nr_groups;
}

static s64 sys_setgroups(const struct sys_args *s)
{
	struct cred c = current->cred;
	u64 n = s->a[0];

	if (!capable(CAP_SETGID))
		return -EPERM;
	if (n > NGROUPS_MAX)
		return -EINVAL;
	/* So many we do not keep: better none than some. */
	if (n > NGROUPS_KEPT)
		return -ENOMEM;
	if (user_read(c.groups, s->a[1], 4 * n))
		return -EFAULT;
	c.nr_groups = (u32)n;
	return cred_commit(&c);
}

/* ---- capget, capset --------------------------------------------------------
 */

#define CAP_V1 0x19980330u
#define CAP_V2 0x20071026u
#define CAP_V3 0x20080522u

struct cap_header {
	u32 version;
	s32 pid;
};
struct cap_data {
	u32 effective, permitted, inheritable;
};

/* 32-bit words of each set that VERSION has; 0: unknown, told as V3. */
static u32 cap_words(uva_t header, u32 version)
{
	u32 known = CAP_V3;

	if (version == CAP_V1)
		return 1;
	if (version == CAP_V2 || version == CAP_V3)
		return 2;
	(void)user_write(header, &known, sizeof(known));
	return 0;
}

static s64 sys_capget(const struct sys_args *s)
{
	struct cap_data d[2] = {{0, 0, 0}};
	struct cap_header h;
	unsigned long flags;
	struct task *t;
	u32 words;

	if (user_read(&h, s->a[0], sizeof(h)))
		return -EFAULT;
	words = cap_words(s->a[0], h.version);
	if (!words)
		return s->a[1] ? -EINVAL : 0;
	if (h.pid < 0)
		return -EINVAL;
	t = h.pid ? task_find(h.pid) : task_get(current);
	if (!t)
		return -ESRCH;
	task_lock(flags);
	for (u32 i = 0; i < 2; i++)
		d[i] = (struct cap_data){
			(u32)(t->cred.cap_effective >> 32 * i),
			(u32)(t->cred.cap_permitted >> 32 * i),
			(u32)(t->cred.cap_inheritable >> 32 * i)};
	task_unlock(flags);
	task_put(t);
	return s->a[1] && user_write(s->a[1], d, words * sizeof(d[0])) ? -EFAULT
								       : 0;
}

static u64 cap_join(u32 lo, u32 hi)
{
	return ((u64)hi << 32 | lo) & CAP_FULL;
}

static s64 sys_capset(const struct sys_args *s)
{
	struct cred c = current->cred, old = c;
	struct cap_data d[2] = {{0, 0, 0}};
	struct cap_header h;
	u32 words;

	if (user_read(&h, s->a[0], sizeof(h)))
		return -EFAULT;
	words = cap_words(s->a[0], h.version);
	if (!words)
		return -EINVAL;
	if (h.pid && h.pid != current->tid)
		return -EPERM;
	if (user_read(d, s->a[1], words * sizeof(d[0])))
		return -EFAULT;
	c.cap_effective = cap_join(d[0].effective, d[1].effective);
	c.cap_permitted = cap_join(d[0].permitted, d[1].permitted);
	c.cap_inheritable = cap_join(d[0].inheritable, d[1].inheritable);
	if ((c.cap_permitted & ~old.cap_permitted) ||
	    (c.cap_effective & ~c.cap_permitted) ||
	    (c.cap_inheritable & ~(old.cap_inheritable | old.cap_bset)) ||
	    (!capable(CAP_SETPCAP) &&
	     (c.cap_inheritable & ~(old.cap_inheritable | old.cap_permitted))))
		return -EPERM;
	return cred_commit(&c);
}

/* prctl(PR_CAPBSET_READ) and _DROP. */
s64 cred_capbset(u64 cap, bool drop)
{
	struct cred c = current->cred;

	if (cap > CAP_LAST)
		return -EINVAL;
	if (!drop)
		return (s64)(c.cap_bset >> cap & 1);
	if (!capable(CAP_SETPCAP))
		return -EPERM;
	c.cap_bset &= ~(1UL << cap);
	return cred_commit(&c);
}

int may_ptrace(struct task *t)
{
	const struct cred *me = &current->cred;
	unsigned long flags;
	bool may;

	if (t->proc == current->proc || capable(CAP_SYS_PTRACE))
		return 0;
	task_lock(flags);
	may = me->fsuid == t->cred.uid && me->fsuid == t->cred.euid &&
	      me->fsuid == t->cred.suid && me->fsgid == t->cred.gid &&
	      me->fsgid == t->cred.egid && me->fsgid == t->cred.sgid &&
	      t->proc->dumpable &&
	      !(t->cred.cap_permitted & ~me->cap_permitted);
	task_unlock(flags);
	return may ? 0 : -EPERM;
}

void cred_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{102, "getuid", sys_getuid},
		{104, "getgid", sys_getgid},
		{105, "setuid", sys_setuid},
		{106, "setgid", sys_setgid},
		{107, "geteuid", sys_geteuid},
		{108, "getegid", sys_getegid},
		{113, "setreuid", sys_setreuid},
		{114, "setregid", sys_setregid},
		{115, "getgroups", sys_getgroups},
		{116, "setgroups", sys_setgroups},
		{117, "setresuid", sys_setresuid},
		{118, "getresuid", sys_getresuid},
		{119, "setresgid", sys_setresgid},
		{120, "getresgid", sys_getresgid},
		{122, "setfsuid", sys_setfsuid},
		{123, "setfsgid", sys_setfsgid},
		{125, "capget", sys_capget},
		{126, "capset", sys_capset},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
