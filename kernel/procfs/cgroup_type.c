/* SPDX-License-Identifier: MIT */
/*
 * cgroup_type.c - threaded control groups: which groups share a domain.
 *
 * 1. Purpose. A process and its memory belong to a domain. Its threads may be
 *    spread over groups below that: cgroup.type "threaded", for good. Such a
 *    group has no files of memory; what its threads use counts for the domain,
 *    the nearest group above that is not threaded, whose type is "domain
 *    threaded" then. All threads of a process stay within one domain.
 *
 * 2. What follows. Resources of a domain cannot be handed out to groups below
 *    it while threads are spread there: a group that is neither, below a
 *    threaded group or beside one, is "domain invalid" and holds nobody until
 *    it is made threaded too. The root is the exception: it is the domain of
 *    threaded groups right below it and gives memory to others at once.
 *
 * 3. In the manager each group counts what its threads are charged, threaded
 *    or not, and the sums above are right as they are. What had been set for a
 *    group that becomes threaded is taken back.
 *
 * 4. Locking. cgroup_lock, held by all who call.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (threads).
 */
#include <mmkit/memcg.h>

#include "base/string.h"
#include "procfs/cgroup_priv.h"

bool cgroup_threaded(u16 id)
{
	const struct cgroup *c = cgroup_of(id);

	return c && c->threaded;
}

u16 cgroup_domain(u16 id)
{
	while (cgroup_threaded(id))
		id = cgroup_above(id);
	return id;
}

/* Is there a group right below ID that is threaded, or (POPULATED) one that is
 * not and has somebody in it or below? */
static bool child_is(u16 id, bool threaded)
{
	const struct cgroup *c;

	list_for_each_entry (c, &proc_sys.cgroups, list)
		if (c->parent == id && c->threaded == threaded &&
		    (threaded || cgroup_populated(c->id)))
			return true;
	return false;
}

/* Does ID share what it has with threaded groups? */
static bool is_thread_root(u16 id)
{
	return !cgroup_threaded(id) && child_is(id, true);
}

/* May threaded groups begin below ID? */
static bool may_be_thread_root(u16 id)
{
	if (!id)
		return true;
	return !cgroup_threaded(id) && !cgroup_controls(id) &&
	       !child_is(id, false);
}

/* Can processes and their memory belong to ID? */
static bool is_valid_domain(u16 id)
{
	if (cgroup_threaded(id))
		return false;
	for (id = cgroup_above(id); id; id = cgroup_above(id))
		if (cgroup_threaded(id) || is_thread_root(id))
			return false;
	return true;
}

int cgroup_may_hold(u16 id)
{
	if (!is_valid_domain(cgroup_domain(id)))
		return -EOPNOTSUPP;
	if (cgroup_threaded(id) || may_be_thread_root(id))
		return 0;
	return cgroup_controls(id) ? -EBUSY : 0;
}

int cgroup_may_control(u16 id)
{
	if (!is_valid_domain(cgroup_domain(id)))
		return -EOPNOTSUPP;
	if (!id)
		return 0;
	if (cgroup_threaded(id) || is_thread_root(id))
		return -EOPNOTSUPP;
	return cgroup_has_members(id) ? -EBUSY : 0;
}

/* Nothing is set for ID any more. */
static void forget_settings(u16 id)
{
	static const char *const none[] = {
		"memory.max",	    "max", "memory.high",      "max",
		"memory.swap.max",  "max", "memory.swap.high", "max",
		"memory.min",	    "0",   "memory.low",       "0",
		"memory.oom.group", "0"};

	for (u32 i = 0; i < ARRAY_SIZE(none); i += 2)
		(void)memcg_write(id, none[i], none[i + 1]);
}

static int make_threaded(u16 id)
{
	struct cgroup *c = cgroup_of(id);
	u16 domain;

	if (!c)
		return -ENODEV;
	if (c->threaded)
		return 0;
	domain = cgroup_domain(c->parent);
	if (cgroup_populated(id) || c->control || !is_valid_domain(domain) ||
	    !may_be_thread_root(domain))
		return -EOPNOTSUPP;
	c->threaded = true;
	forget_settings(id);
	return 0;
}

int show_type(const struct pnode *n, struct seq_buf *out)
{
	u16 id = key_id(&n->key);
	const char *type = "domain";

	mutex_lock(&proc_sys.cgroup_lock);
	if (cgroup_threaded(id))
		type = "threaded";
	else if (!is_valid_domain(id))
		type = "domain invalid";
	else if (is_thread_root(id))
		type = "domain threaded";
	mutex_unlock(&proc_sys.cgroup_lock);
	seq_printf(out, "%s\n", type);
	return 0;
}

s64 write_type(const struct pnode *n, const char *text, size_t len)
{
	char word[16];
	int err;

	if (!text_word(text, len, word, sizeof(word)) ||
	    mm_strcmp(word, "threaded"))
		return -EINVAL;
	mutex_lock(&proc_sys.cgroup_lock);
	err = make_threaded(key_id(&n->key));
	mutex_unlock(&proc_sys.cgroup_lock);
	return err ? err : (s64)len;
}
