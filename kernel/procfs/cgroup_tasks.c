/* SPDX-License-Identifier: MIT */
/*
 * cgroup_tasks.c - who is in a control group, and what is done to all of them:
 * cgroup.procs, cgroup.kill, cgroup.freeze, cgroup.events.
 *
 * 1. Who. The manager knows where each thread is, and nobody else keeps lists.
 * A process is in the domain of its threads (cgroup_type.c). So whoever wants
 * all of a group goes through all processes, by number. One that is born
 * meanwhile with a smaller number is found by the next round: killing and
 * freezing go on until a round finds nobody who has not been told.
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

/* The processes whose domain is ID by number, after AFTER, with a reference.
 * Lock held. */
static struct process *next_member(u16 id, s32 after)
{
	struct process *p;

	while ((p = process_next(after))) {
		int in = group_of_process(p);

		if (in >= 0 && cgroup_domain((u16)in) == id)
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

/* FN of the threads of all processes, until it says true: so does this. */
static bool any_task(bool (*fn)(struct task *t, void *arg), void *arg)
{
	struct process *p;
	struct task *t;
	s32 pid = 0, tid;
	bool yes = false;

	while (!yes && (p = process_next(pid))) {
		pid = p->tgid;
		tid = 0;
		while (!yes && (t = task_next(p, tid))) {
			tid = t->tid;
			yes = fn(t, arg);
			task_put(t);
		}
		process_put(p);
	}
	return yes;
}

static u16 group_of(const struct task *t)
{
	return READ_ONCE(t->mt->group);
}

/* What is asked about the threads of a group. */
struct ask {
	u16 id;
	struct seq_buf *out;
};

static bool is_in(struct task *t, void *arg)
{
	return group_of(t) == ((struct ask *)arg)->id;
}

static bool is_below(struct task *t, void *arg)
{
	u16 in = group_of(t);

	return in && cgroup_below(in, ((struct ask *)arg)->id);
}

bool cgroup_has_members(u16 id)
{
	struct ask ask = {.id = id};

	return any_task(is_in, &ask);
}

bool cgroup_populated(u16 id)
{
	struct ask ask = {.id = id};

	return any_task(is_below, &ask);
}

int show_procs(const struct pnode *n, struct seq_buf *out)
{
	u16 id = key_id(&n->key);
	struct process *p;
	s32 after = 0;
	int err;

	mutex_lock(&proc_sys.cgroup_lock);
	err = cgroup_threaded(id) ? -EOPNOTSUPP : 0;
	while (!err && (p = next_member(id, after))) {
		after = p->tgid;
		process_put(p);
		seq_printf(out, "%d\n", after);
	}
	mutex_unlock(&proc_sys.cgroup_lock);
	return err;
}

static bool tell_tid(struct task *t, void *arg)
{
	if (is_in(t, arg))
		seq_printf(((struct ask *)arg)->out, "%d\n", t->tid);
	return false;
}

int show_threads(const struct pnode *n, struct seq_buf *out)
{
	struct ask ask = {.id = key_id(&n->key), .out = out};

	(void)any_task(tell_tid, &ask);
	return 0;
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

static bool is_awake(struct task *t, void *arg)
{
	return is_below(t, arg) && !task_resting(t);
}

/* Lock held. */
static bool is_frozen(u16 id)
{
	struct ask ask = {.id = id};

	return to_freeze(id) && !any_task(is_awake, &ask);
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

/* T is told what its group says; is that news? */
static bool freeze_task(struct task *t, void *arg)
{
	return is_below(t, arg) && task_freeze(t, to_freeze(group_of(t)));
}

/* All in ID and below are told. News ends the search, so that threads that are
 * new are looked at again. Lock held. */
static void freeze_below(u16 id)
{
	struct ask ask = {.id = id};

	while (any_task(freeze_task, &ask))
		;
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

static bool is_alive(struct process *p)
{
	struct task *t;
	s32 after = 0;
	bool yes = false;

	while (!yes && (t = task_next(p, after))) {
		after = t->tid;
		yes = !t->dead && !fatal_signal_pending_task(t);
		task_put(t);
	}
	return yes;
}

/* A round: how many were told. Lock held. */
static u32 kill_below(u16 id)
{
	struct process *p;
	s32 after = 0;
	u32 n = 0;

	while ((p = next_below(id, after))) {
		after = p->tgid;
		if (is_alive(p)) {
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
	else if (cgroup_threaded(id))
		ret = -EOPNOTSUPP;
	while (ret > 0 && kill_below(id))
		;
	mutex_unlock(&proc_sys.cgroup_lock);
	return ret;
}

/* ---- moving
 * -------------------------------------------------------------------------- */

/* T is in ID from now on, and rests or runs as that says. */
static int move_task(struct task *t, u16 id)
{
	int err = memcg_attach(t->mt, id);

	if (err)
		return err == -ENOENT ? -ENODEV : err;
	(void)task_freeze(t, to_freeze(id));
	return 0;
}

static int move_process(struct process *p, u16 id)
{
	struct task *t;
	s32 after = 0;
	int err = 0;

	while (!err && (t = task_next(p, after))) {
		after = t->tid;
		err = move_task(t, id);
		task_put(t);
	}
	return err;
}

/* T's process, or ALONE it, moves to ID. Lock held. */
static int move_in(struct task *t, u16 id, bool alone)
{
	struct cgroup *c;
	u16 from = group_of(t);
	int err = cgroup_may_move(from, id);

	if (!err)
		err = cgroup_may_hold(id);
	if (!err && alone && cgroup_domain(from) != cgroup_domain(id))
		err = -EOPNOTSUPP;
	if (!err)
		err = alone ? move_task(t, id) : move_process(t->proc, id);
	/* Its threads may have been in several. */
	list_for_each_entry (c, &proc_sys.cgroups, list)
		tell_frozen(c);
	return err;
}

static s64 write_members(const struct pnode *n, const char *text, size_t len,
			 bool alone)
{
	struct task *t;
	char word[16];
	s64 pid;
	int err;

	if (!text_word(text, len, word, sizeof(word)))
		return -EINVAL;
	pid = pseudo_number(word, INT32_MAX);
	if (pid < 0)
		return -EINVAL;
	t = task_find(pid ? (s32)pid : current->tid);
	if (!t)
		return -ESRCH;
	mutex_lock(&proc_sys.cgroup_lock);
	err = move_in(t, key_id(&n->key), alone);
	mutex_unlock(&proc_sys.cgroup_lock);
	task_put(t);
	return err ? err : (s64)len;
}

s64 write_procs(const struct pnode *n, const char *text, size_t len)
{
	return write_members(n, text, len, false);
}

s64 write_threads(const struct pnode *n, const char *text, size_t len)
{
	return write_members(n, text, len, true);
}

/* ---- events
 * -------------------------------------------------------------------------- */

int show_cgroup_events(const struct pnode *n, struct seq_buf *out)
{
	u16 id = key_id(&n->key);
	struct cgroup *c;

	mutex_lock(&proc_sys.cgroup_lock);
	c = cgroup_of(id);
	if (c)
		tell_frozen(c);
	seq_printf(out, "populated %d\nfrozen %d\n", cgroup_populated(id),
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
