/* SPDX-License-Identifier: MIT */
/*
 * mglru_ctl.c - mglru's switches, and its text.
 *
 * 1. /sys/kernel/mm/lru_gen/enabled: bits. 0x1: it is the policy; to set the
 *    bit chooses it, to clear it brings back what it took the place of. 0x2:
 *    aging walks page tables; without that only eviction looks for uses. 0x4,
 *    accessed bits of upper tables, is never on: as on a CPU that sets none.
 *
 * 2. /sys/kernel/mm/lru_gen/min_ttl_ms: lists whose oldest generation is
 *    younger are not taken from. If nothing else is left, reclaim fails, and
 *    whoever needs memory comes to the OOM killer: the working set of so many
 *    milliseconds is kept whole, or somebody dies, but nobody thrashes.
 *
 * 3. /sys/kernel/debug/lru_gen: the generations of each group and node, and
 *    what may be written there: "+" makes a generation (to see what is in use),
 *    "-" takes an old one's pages (to have them out of the way).
 *
 * References: Linux documentation, admin-guide/mm/multigen_lru.
 */
#include <mmkit/errno.h>
#include <mmkit/port.h>

#include "base/assert.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "cache/swap.h"
#include "reclaim/mglru.h"

bool mglru_too_young(const struct mglru_room *room, u32 allow)
{
	u64 ttl = (u64)READ_ONCE(reclaim_sys.mglru.min_ttl_ms) * 1000000;
	u64 born = room->born[mglru_gen(mglru_oldest(room, allow))];

	return ttl && port_now_ns() - born < ttl;
}

/* ---- numbers in text
 * --------------------------------------------------------------------- */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return 16;
}

/* TEXT[LEN] as a whole is a number: decimal, or hexadecimal behind 0x. */
static bool parse_u64(const char *text, size_t len, u64 *out)
{
	u32 base = 10;
	u64 v = 0;

	if (len > 2 && text[0] == '0' && (text[1] | 0x20) == 'x') {
		base = 16;
		text += 2;
		len -= 2;
	}
	for (size_t i = 0; i < len; i++) {
		u32 d = (u32)digit_of(text[i]);

		if (d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return false;
	}
	*out = v;
	return len > 0;
}

/* ---- switches
 * -----------------------------------------------------------------------------
 */

static u32 caps_now(void)
{
	u32 caps = MGLRU_CAPS & ~READ_ONCE(reclaim_sys.mglru.off);

	if (lru_policy() != &mglru_ops)
		caps &= ~MGLRU_CAP_CORE;
	return caps;
}

static void caps_set(u32 caps)
{
	const struct lru_ops *now = lru_policy();

	WRITE_ONCE(reclaim_sys.mglru.off, MGLRU_CAPS & ~caps & ~MGLRU_CAP_CORE);
	if ((caps & MGLRU_CAP_CORE) && now != &mglru_ops) {
		reclaim_sys.mglru.before = now;
		lru_register(&mglru_ops);
	} else if (!(caps & MGLRU_CAP_CORE) && now == &mglru_ops) {
		now = reclaim_sys.mglru.before;
		lru_register(now ? now : &classic_ops);
	}
}

/* The line TEXT[LEN] without its end. */
static size_t line_len(const char *text, size_t len)
{
	return len && text[len - 1] == '\n' ? len - 1 : len;
}

int lru_gen_show(const char *name, struct seq_buf *out)
{
	if (!mm_strcmp(name, "enabled"))
		seq_printf(out, "0x%04x\n", caps_now());
	else if (!mm_strcmp(name, "min_ttl_ms"))
		seq_printf(out, "%u\n",
			   READ_ONCE(reclaim_sys.mglru.min_ttl_ms));
	else
		return -ENOENT;
	return 0;
}

int lru_gen_store(const char *name, const char *text, size_t len)
{
	bool ttl = !mm_strcmp(name, "min_ttl_ms");
	u64 v;

	if (!ttl && mm_strcmp(name, "enabled"))
		return -ENOENT;
	len = line_len(text, len);
	if (!ttl && len == 1 && (*text | 0x20) == 'y')
		v = MGLRU_CAPS;
	else if (!ttl && len == 1 && (*text | 0x20) == 'n')
		v = 0;
	else if (!parse_u64(text, len, &v) || v > UINT32_MAX)
		return -EINVAL;
	if (ttl)
		WRITE_ONCE(reclaim_sys.mglru.min_ttl_ms, (u32)v);
	else
		caps_set((u32)v);
	return 0;
}

/* ---- debugfs: the text
 * -------------------------------------------------------------------- */

/* The lists of MEMCG (NULL: the root) on NODE, or NULL. */
static struct lruvec *lruvec_for(struct memcg *memcg, pg_data_t *pgdat)
{
	struct page_group *g = memcg ? &memcg->page : NULL;
	struct lruvec *lruvec = group_lruvec(g, pgdat);

	/* A node that came after the group: see group_lruvec(). */
	return lruvec->group == g ? lruvec : NULL;
}

/* A copy of LRUVEC's room; false: it is another policy's. */
static bool room_copy(struct lruvec *lruvec, struct mglru_room *room)
{
	unsigned long flags;
	bool ours;

	spin_lock_irqsave(&lruvec->lock, flags);
	ours = mglru_owns(lruvec);
	if (ours)
		*room = *mglru_room(lruvec);
	spin_unlock_irqrestore(&lruvec->lock, flags);
	return ours;
}

static void show_gens(const struct mglru_room *room, struct seq_buf *out)
{
	u64 now = port_now_ns();
	u64 seq = mglru_oldest(room, MGLRU_TAKE_ANON | MGLRU_TAKE_FILE);

	for (; seq <= room->max_seq; seq++) {
		seq_printf(out, " %10llu %10llu", (unsigned long long)seq,
			   (unsigned long long)((now -
						 room->born[mglru_gen(seq)]) /
						1000000));
		for (u32 t = 0; t < MGLRU_TYPES; t++) {
			u64 n = mglru_nr(room, seq, (enum mglru_type)t,
					 LRU_NR_ZONES - 1);

			/* Of an index that a younger one has by now. */
			if (seq < room->min_seq[t])
				n = 0;
			seq_printf(out, " %10llu ", (unsigned long long)n);
		}
		seq_puts(out, "\n");
	}
}

/* The manager does not know names: a group's path is of numbers. */
static void show_path(const struct memcg *memcg, struct seq_buf *out)
{
	const struct memcg *up[16];
	u32 n = 0;

	for (; memcg && n < ARRAY_SIZE(up); memcg = memcg->parent)
		up[n++] = memcg;
	if (!n)
		seq_puts(out, "/");
	while (n)
		seq_printf(out, "/%u", up[--n]->page.id);
	seq_puts(out, "\n");
}

static void show_group(struct memcg *memcg, struct seq_buf *out)
{
	struct mglru_room room;
	pg_data_t *pgdat;

	seq_printf(out, "memcg %5u ", memcg_id(memcg));
	show_path(memcg, out);
	for_each_online_pgdat(pgdat)
	{
		struct lruvec *lruvec = lruvec_for(memcg, pgdat);

		if (!lruvec)
			continue;
		seq_printf(out, " node %5d\n", pgdat->node_id);
		if (room_copy(lruvec, &room))
			show_gens(&room, out);
	}
}

void lru_gen_debug_show(struct seq_buf *out)
{
	struct memcg *m = NULL;

	show_group(NULL, out);
	while ((m = memcg_next(NULL, m)))
		show_group(m, out);
}

/* ---- debugfs: commands
 * ----------------------------------------------------------------------------
 */

/* One command: its sign and its numbers. */
#define CMD_WORDS 5u
struct cmd {
	char sign;
	u32 nr; /* of the numbers, how many are there */
	u64 v[CMD_WORDS];
};

enum { CMD_MEMCG, CMD_NODE, CMD_SEQ, CMD_FIRST, CMD_SECOND };

static u64 cmd_or(const struct cmd *c, u32 i, u64 otherwise)
{
	return i < c->nr ? c->v[i] : otherwise;
}

/* "+": generation SEQ, the youngest, gets a younger one. */
static int cmd_age(struct lruvec *lruvec, const struct cmd *c)
{
	bool swap = cmd_or(c, CMD_FIRST, get_nr_swap_pages() > 0) != 0;
	bool force = cmd_or(c, CMD_SECOND, 1) != 0;
	struct mglru_room room;
	u64 oldest;

	if (c->nr > CMD_SECOND + 1 || !room_copy(lruvec, &room) ||
	    c->v[CMD_SEQ] > room.max_seq)
		return -EINVAL;
	/* It has been made already. */
	if (c->v[CMD_SEQ] < room.max_seq)
		return 0;
	oldest = mglru_oldest(&room,
			      MGLRU_TAKE_FILE | (swap ? MGLRU_TAKE_ANON : 0));
	/* The oldest one would be lost. */
	if (!force && room.max_seq - oldest + 1 >= MGLRU_MAX_GENS)
		return -ERANGE;
	return mglru_age(lruvec, room.max_seq, force) ? 0 : -EINVAL;
}

/* "-": generations up to SEQ go. */
static int cmd_evict(struct lruvec *lruvec, const struct cmd *c)
{
	u64 swappiness =
		cmd_or(c, CMD_FIRST, READ_ONCE(reclaim_sys.swappiness));
	struct mm_task *task = port_current();
	u32 nested = task->flags & PF_MEMALLOC;
	struct mglru_room room;

	if (swappiness > 200 || !room_copy(lruvec, &room) ||
	    c->v[CMD_SEQ] + MGLRU_MIN_GENS > room.max_seq)
		return -EINVAL;
	task->flags |= PF_MEMALLOC;
	(void)mglru_evict_from(lruvec, c->v[CMD_SEQ], (u32)swappiness,
			       cmd_or(c, CMD_SECOND, UINT64_MAX));
	task->flags = (task->flags & ~(u32)PF_MEMALLOC) | nested;
	return READ_ONCE(task->fatal_signal) ? -EINTR : 0;
}

static int cmd_run(const struct cmd *c)
{
	struct memcg *memcg = NULL;
	struct lruvec *lruvec;
	int err = -EINVAL;

	if (c->nr <= CMD_SEQ || c->v[CMD_MEMCG] > UINT16_MAX ||
	    c->v[CMD_NODE] >= MM_MAX_NODES || !NODE_DATA((int)c->v[CMD_NODE]))
		return -EINVAL;
	if (c->v[CMD_MEMCG]) {
		memcg = memcg_get((u16)c->v[CMD_MEMCG]);
		if (!memcg)
			return -EINVAL;
	}
	lruvec = lruvec_for(memcg, NODE_DATA((int)c->v[CMD_NODE]));
	if (lruvec && mglru_owns(lruvec)) {
		lru_add_drain_all();
		err = c->sign == '+' ? cmd_age(lruvec, c)
				     : cmd_evict(lruvec, c);
	}
	if (memcg)
		memcg_put(memcg, 1);
	return err;
}

/* TEXT[LEN], one command, into C. False: it is none. */
static bool cmd_parse(const char *text, size_t len, struct cmd *c)
{
	size_t at = 1;

	c->sign = text[0];
	c->nr = 0;
	if (c->sign != '+' && c->sign != '-')
		return false;
	for (;;) {
		size_t from;

		while (at < len && (text[at] == ' ' || text[at] == '\t'))
			at++;
		if (at == len)
			return true;
		from = at;
		while (at < len && text[at] != ' ' && text[at] != '\t')
			at++;
		if (c->nr == CMD_WORDS ||
		    !parse_u64(text + from, at - from, &c->v[c->nr++]))
			return false;
	}
}

static bool is_end(char c)
{
	return c == '\n' || c == ';' || c == ',';
}

s64 lru_gen_debug_write(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t from = at;
		struct cmd c;
		int err;

		while (at < len && !is_end(text[at]))
			at++;
		while (from < at && (text[from] == ' ' || text[from] == '\t'))
			from++;
		if (from < at) {
			if (!cmd_parse(text + from, at - from, &c))
				return -EINVAL;
			err = cmd_run(&c);
			if (err)
				return err;
		}
		at++;
	}
	return (s64)len;
}
