/* SPDX-License-Identifier: MIT */
/*
 * cgroup_tasks.c - who is in a control group, and what is done to all of them:
 * cgroup.procs, cgroup.kill, cgroup.freeze, cgroup.events.
 *
 * 1. Who. A process is where its first thread is (the manager knows tasks);
 *    nobody else keeps lists. So whoever wants all of a group goes through all
 *    processes, by number. One that is born meanwhile with a smaller number is
 *    found by the next round: killing and freezing go on until a round finds
 *    nobody who has not been told.
 *
 * 2. Freezing. A group is to be frozen if it says so or one above does; its
 *    threads are told (task_freeze()), and those of a process that is moved
 *    into it or out of it. It is frozen when all threads in it and below rest.
 *    A group without any is not: as in Linux, it is, if it is to be.
 *
 * 3. Events. Whether there are processes is the manager's to know
 *    (memcg_version()); whether it is frozen is looked up when a thread comes
 *    to rest, when the setting changes and when somebody reads. Both numbers
 *    together are what poll(2) goes by.
 *
 * 4. Locking. cgroup_lock; task_sys.lock inside, taken by kernel/task.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (core interface files).
 */
#include <mmkit/memcg.h>

#include "base/string.h"
#include "procfs/cgroup_priv.h"
#include "stat.h"

#define SIGKILL 9

/* ---- whose
 * ---------------------------------------------------------------------------
 */

/* P's group, by its first thread; -1: it has none left. */
static int group_of_process(struct process *p)
{
	struct task *t = task_next(p, 0);
	int id = -1;

	if (!t)
		return id;
	id = READ_ONCE(t->mt->group);
	task_put(t);
	return id;
}

/* The processes of group ID by number, after AFTER, with a reference. */
static struct process *next_member(u16 id, s32 after)
{
	struct process *p;

	while ((p = process_next(after))) {
		if (group_of_process(p) == id)
			return p;
		after = p->tgid;
		process_put(p);
	}
	return NULL;
}

/* The same of those in ID and below. Lock held. */
static struct process *next_below(u16 id, s32 after)
{
	struct process *p;

	while ((p = process_next(after))) {
		int in = group_of_process(p);

		if (in > 0 && cgroup_below((u16)in, id))
			return p;
		after = p->tgid;
		process_put(p);
	}
	return NULL;
}

int show_procs(const struct pnode *n, struct seq_buf *out)
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

bool cgroup_has_members(u16 id)
{
	struct process *p = next_member(id, 0);

	if (p)
		process_put(p);
	return p != NULL;
}

/* ---- freezing
 * ------------------------------------------------------------------------ */

/* Lock held. */
static bool to_freeze(u16 id)
{
	for (; id; id = cgroup_above(id)) {
		const struct cgroup *c = cgroup_of(id);

		if (!c || c->freeze)
			return c != NULL;
	}
	return false;
}

/* FN of P's threads, until it says true: so does this. */
static bool any_thread(struct process *p, bool (*fn)(struct task *t, bool on),
		       bool on)
{
	struct task *t;
	s32 after = 0;
	bool yes = false;

	while (!yes && (t = task_next(p, after))) {
		after = t->tid;
		yes = fn(t, on);
		task_put(t);
	}
	return yes;
}

static bool is_awake(struct task *t, bool on)
{
	(void)on;
	return !task_resting(t);
}

/* Lock held. */
static bool is_frozen(u16 id)
{
	struct process *p;
	s32 after = 0;
	bool awake = false;

	if (!to_freeze(id))
		return false;
	while (!awake && (p = next_below(id, after))) {
		after = p->tgid;
		awake = any_thread(p, is_awake, true);
		process_put(p);
	}
	return !awake;
}

/* Is C, and what is above it, as it was told last? Lock held. */
static void tell_frozen(struct cgroup *c)
{
	bool news = false;

	for (; c; c = cgroup_of(c->parent)) {
		bool now = is_frozen(c->id);

		if (now == c->frozen)
			continue;
		c->frozen = now;
		c->turns++;
		news = true;
	}
	if (news)
		pseudo_changed();
}

void cgroup_rested(struct task *t)
{
	mutex_lock(&proc_sys.cgroup_lock);
	tell_frozen(cgroup_of(READ_ONCE(t->mt->group)));
	mutex_unlock(&proc_sys.cgroup_lock);
}

/* All of P's threads are told: a thread that is new ends the search, so that
 * its own are looked at again. */
static void freeze_process(struct process *p, bool on)
{
	while (any_thread(p, task_freeze, on))
		;
}

/* All in ID and below are told what their group says. Lock held. */
static void freeze_below(u16 id)
{
	bool news;

	do {
		struct process *p;
		s32 after = 0;

		news = false;
		while ((p = next_below(id, after))) {
			bool on = to_freeze((u16)max(group_of_process(p), 0));

			after = p->tgid;
			news |= any_thread(p, task_freeze, on);
			freeze_process(p, on);
			process_put(p);
		}
	} while (news);
}

int show_freeze(const struct pnode *n, struct seq_buf *out)
{
	const struct cgroup *c;
	int err = -ENODEV;

	mutex_lock(&proc_sys.cgroup_lock);
	c = cgroup_of(key_id(&n->key));
	if (c) {
		seq_printf(out, "%d\n", c->freeze);
		err = 0;
	}
	mutex_unlock(&proc_sys.cgroup_lock);
	return err;
}

/* The groups below C, and C: what they say now is told. Lock held. */
static void tell_all(struct cgroup *c)
{
	struct cgroup *o;

	list_for_each_entry (o, &proc_sys.cgroups, list)
		if (cgroup_below(o->id, c->id))
			tell_frozen(o);
}

s64 write_freeze(const struct pnode *n, const char *text, size_t len)
{
	struct cgroup *c;
	char word[4];
	s64 ret = (s64)len;

	if (!text_word(text, len, word, sizeof(word)))
		return -EINVAL;
	if (mm_strcmp(word, "0") && mm_strcmp(word, "1"))
		return -ERANGE;
	mutex_lock(&proc_sys.cgroup_lock);
	c = cgroup_of(key_id(&n->key));
	if (!c) {
		ret = -ENODEV;
	} else if (c->freeze != (word[0] == '1')) {
		/* Before: a group that was frozen is told to be awake. */
		c->freeze = word[0] == '1';
		tell_all(c);
		freeze_below(c->id);
		tell_all(c);
	}
	mutex_unlock(&proc_sys.cgroup_lock);
	return ret;
}

/* ---- killing
 * ------------------------------------------------------------------------- */

static bool is_alive(struct task *t, bool on)
{
	(void)on;
	return !t->dead && !fatal_signal_pending_task(t);
}

/* A round: how many were told. Lock held. */
static u32 kill_below(u16 id)
{
	struct process *p;
	s32 after = 0;
	u32 n = 0;

	while ((p = next_below(id, after))) {
		after = p->tgid;
		if (any_thread(p, is_alive, true)) {
			(void)send_sig_process(p, SIGKILL, NULL);
			n++;
		}
		process_put(p);
	}
	return n;
}

s64 write_kill(const struct pnode *n, const char *text, size_t len)
{
	char word[4];
	s64 ret = (s64)len;
	u16 id = key_id(&n->key);

	if (!text_word(text, len, word, sizeof(word)))
		return -EINVAL;
	if (mm_strcmp(word, "1"))
		return -ERANGE;
	mutex_lock(&proc_sys.cgroup_lock);
	if (!cgroup_of(id))
		ret = -ENODEV;
	while (ret > 0 && kill_below(id))
		;
	mutex_unlock(&proc_sys.cgroup_lock);
	return ret;
}

/* ---- moving
 * -------------------------------------------------------------------------- */

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

/* Lock held. */
static int move_in(struct process *p, u16 id)
{
	struct cgroup *from = cgroup_of((u16)max(group_of_process(p), 0));
	int err = id && cgroup_controls(id) ? -EBUSY : move_process(p, id);

	if (err)
		return err;
	freeze_process(p, to_freeze(id));
	tell_frozen(from);
	tell_frozen(cgroup_of(id));
	return 0;
}

s64 write_procs(const struct pnode *n, const char *text, size_t len)
{
	struct process *p;
	char word[16];
	s64 pid;
	int err;

	if (!text_word(text, len, word, sizeof(word)))
		return -EINVAL;
	pid = pseudo_number(word, INT32_MAX);
	if (pid < 0)
		return -EINVAL;
	p = process_find(pid ? (s32)pid : current->proc->tgid);
	if (!p)
		return -ESRCH;
	mutex_lock(&proc_sys.cgroup_lock);
	err = move_in(p, key_id(&n->key));
	mutex_unlock(&proc_sys.cgroup_lock);
	process_put(p);
	return err ? err : (s64)len;
}

/* ---- events
 * -------------------------------------------------------------------------- */

/* Is there a process in ID, or in a directory below it? Lock held. */
static bool populated(u16 id)
{
	struct process *p = next_below(id, 0);

	if (p)
		process_put(p);
	return p != NULL;
}

int show_cgroup_events(const struct pnode *n, struct seq_buf *out)
{
	u16 id = key_id(&n->key);
	struct cgroup *c;

	mutex_lock(&proc_sys.cgroup_lock);
	c = cgroup_of(id);
	if (c)
		tell_frozen(c);
	seq_printf(out, "populated %d\nfrozen %d\n", populated(id),
		   c && c->frozen);
	mutex_unlock(&proc_sys.cgroup_lock);
	return c ? 0 : -ENODEV;
}

u64 cgroup_events_version(const struct pnode *n)
{
	u16 id = key_id(&n->key);
	const struct cgroup *c;
	u64 turns;

	mutex_lock(&proc_sys.cgroup_lock);
	c = cgroup_of(id);
	turns = c ? c->turns : 0;
	mutex_unlock(&proc_sys.cgroup_lock);
	return turns + memcg_version(id, "cgroup.events");
}
