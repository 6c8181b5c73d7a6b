/* SPDX-License-Identifier: MIT */
/*
 * pressure.c - /proc/pressure/memory and a group's memory.pressure: time lost
 * for lack of memory, and waiting until it is too much.
 *
 * A trigger belongs to the open file that it was written to; another one needs
 * another open file (-EBUSY). poll(2) says POLLPRI once for each event, and
 * POLLERR as well when nothing was written, or the group was removed.
 *
 * Reference: Linux documentation, accounting/psi.
 */
#include <mmkit/memcg.h>
#include <mmkit/slab.h>

#include "memcg/psi_trigger.h"
#include "procfs/pressure.h"
#include "procfs/procfs.h"
#include "stat.h"

s64 pressure_write(const struct pnode *n, const char *text, size_t len,
		   void **own)
{
	struct psi_trigger *t;
	int err;

	if (*own)
		return -EBUSY;
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	err = psi_trigger_parse(text, t);
	if (!err)
		err = psi_trigger_start(t, (u16)n->key.num);
	if (err) {
		kfree(t);
		return err == -ENOENT ? -ENODEV : err;
	}
	/* Who polls reads it without the lock of the open file. */
	__atomic_store_n(own, t, __ATOMIC_RELEASE);
	return (s64)len;
}

u32 pressure_poll(const struct pnode *n, void *own, struct poll_table *table)
{
	struct psi_trigger *t = own;

	(void)n;
	if (!t)
		return POLLERR | POLLPRI;
	poll_wait(table, &t->wait);
	if (psi_trigger_dead(t))
		return POLLERR | POLLPRI;
	return psi_trigger_take(t) ? POLLPRI : 0;
}

void pressure_end(void *own)
{
	psi_trigger_end(own);
	kfree(own);
}

static const struct pentry pressure_entries[] = {
	{.name = "memory",
	 .mode = S_IFREG | 0666,
	 .show = pressure_show,
	 .own_write = pressure_write,
	 .own_poll = pressure_poll,
	 .own_end = pressure_end},
};
const struct pdir pressure_dir = PDIR(pressure_entries);

int pressure_show(const struct pnode *n, struct seq_buf *out)
{
	char text[256];
	s64 len = memcg_read((u16)n->key.num, "memory.pressure", text,
			     sizeof(text));

	if (len >= 0)
		seq_write(out, text, (size_t)min(len, (s64)sizeof(text) - 1));
	return len == -ENOENT ? -ENODEV : (int)min(len, (s64)0);
}
