/* SPDX-License-Identifier: MIT */
/*
 * lockdep.c - the lock-order checker.
 *
 * 1. Purpose: find a possible deadlock in a run that did not deadlock. Not a
 *    proof: it knows only orders that have happened.
 * 2. Structures. Per task a stack of held locks (struct mm_task). Globally a
 *    directed graph over lock classes: an edge a -> b means that a lock of
 *    class b was awaited while one of class a was held. Subclass 1 of a class
 *    is a node of its own. The graph is a bit matrix, rows by holder. Two
 *    further bit sets: classes taken in an interrupt, and classes taken with
 *    interrupts on.
 * 3. Invariants. The graph has no cycle: an edge that would close one is
 *    reported instead of entered. Bits are only ever set.
 * 4. Locking. The stack belongs to its task (an interrupt on top of it leaves
 *    it as it was). A known edge is seen by one relaxed load; a new edge is
 *    searched and entered under the raw lock. A report is made after giving
 *    that up.
 * 5. Rules, beyond order: a lock is not taken twice by its holder (shared, it
 *    may be tried); nothing
 *    that may sleep happens while a spinlock or a section without sleep is on
 *    the stack, or in an interrupt; a class of interrupts is never taken with
 *    interrupts on (an interrupt in between would wait for its own CPU).
 *    Locks taken in an interrupt are not ordered after what the interrupted
 *    task happens to hold.
 *    A lock got by trying creates no order, but orders what comes after it.
 *    Class NONE is on the stack but not in the graph.
 * 6. Failure. The first finding goes to port_panic() and turns the checker
 *    off, since the state that it would go on from is wrong.
 * 7. Cost: a few loads per lock held; a breadth-first search over at most 128
 *    nodes per new edge, and there are few edges. Nothing in release builds.
 * 8. Rejected: declared ranks (they must be kept by hand, and classes of
 *    equal rank hide real inversions); per-lock graphs (grow with the
 *    machine).
 * 9. Reference: the documented behaviour of Linux's lock validator.
 */
#include "base/lockdep.h"

#include <mmkit/port.h>

#include "base/base_priv.h"
#include "base/bitops.h"
#include "base/seqbuf.h"

#define REPORT_MAX 900
#define NO_NODE	   0xffu

static const char *const class_name[LOCKDEP_CLASSES] = {
#define LOCK_CLASS_NAME(name, text) [LOCK_CLASS_##name] = (text),
	LOCK_CLASS_LIST(LOCK_CLASS_NAME)
#undef LOCK_CLASS_NAME
};

const char *lock_class_name(unsigned int class_id)
{
	return class_id < NR_LOCK_CLASSES ? class_name[class_id] : "?";
}

static u32 node_of(u32 class_id, u32 kind)
{
	mm_verify(class_id < NR_LOCK_CLASSES);
	return class_id + (kind & LOCKDEP_NEST1 ? LOCKDEP_CLASSES : 0);
}

static void put_node(struct seq_buf *s, u32 node)
{
	seq_printf(s, "%s%s", lock_class_name(node % LOCKDEP_CLASSES),
		   node >= LOCKDEP_CLASSES ? "/1" : "");
}

/* ---- reports
 * -------------------------------------------------------------------- */

/* "comm (pid 7) holds: a -> b" */
static void put_held(struct seq_buf *s, const struct mm_task *t)
{
	seq_printf(s, "; task %.15s (pid %d) holds:", t->comm, (int)t->pid);
	for (u32 i = 0; i < t->nr_held; i++) {
		const struct mm_held_lock *h = &t->held[i];

		seq_puts(s, i ? " -> " : " ");
		if (h->flags & LOCKDEP_MARK)
			seq_puts(s, h->flags & LOCKDEP_IRQOFF ? "[irqs off]"
							      : "[no sleep]");
		else
			put_node(s, node_of(h->class_id, h->flags));
	}
	if (t->nr_held == 0)
		seq_puts(s, " nothing");
}

/* Say "lockdep: WHAT NODE; task ... holds ...", once, and stop. */
static MM_NOINLINE void report(const struct mm_task *t, const char *what,
			       u32 node)
{
	char text[REPORT_MAX];
	struct seq_buf s;

	if (mm_xchg(&base_sys.lockdep.disabled, 1u))
		return;
	seq_buf_init(&s, text, sizeof(text));
	seq_printf(&s, "lockdep: %s ", what);
	put_node(&s, node);
	put_held(&s, t);
	port_panic(seq_buf_str(&s));
}

/* The inversion: T wants NODE, but PATH (ending in NO_NODE) was seen. */
static MM_NOINLINE void report_inversion(const struct mm_task *t, u32 node,
					 const u8 *path)
{
	char text[REPORT_MAX];
	struct seq_buf s;

	if (mm_xchg(&base_sys.lockdep.disabled, 1u))
		return;
	seq_buf_init(&s, text, sizeof(text));
	seq_puts(&s, "lockdep: lock order inversion: wants ");
	put_node(&s, node);
	put_held(&s, t);
	seq_puts(&s, "; seen before: ");
	for (u32 i = 0; path[i] != NO_NODE; i++) {
		seq_puts(&s, i ? " -> " : "");
		put_node(&s, path[i]);
	}
	port_panic(seq_buf_str(&s));
}

/* ---- the graph
 * -------------------------------------------------------------------- */

static bool has_edge(u32 from, u32 to)
{
	return test_bit(to, base_sys.lockdep.after[from]);
}

/*
 * Shortest way FROM -> ... -> TO, both included, into PATH (ended by
 * NO_NODE); false if there is none. Locks: the graph's raw lock.
 */
static MM_NOINLINE bool find_path(u32 from, u32 to, u8 path[LOCKDEP_NODES + 1])
{
	u8 *next = base_sys.lockdep.next, *queue = base_sys.lockdep.queue;
	u64 seen[LOCKDEP_NODES / 64] = {0};
	u32 head = 0, tail = 0, n = 0;

	/* Backwards from TO, so that next[] reads forwards. */
	queue[tail++] = (u8)to;
	next[to] = NO_NODE;
	__set_bit(to, seen);
	while (head < tail && !test_bit(from, seen)) {
		u32 at = queue[head++];

		for (u32 up = 0; up < LOCKDEP_NODES; up++) {
			if (!has_edge(up, at) || __test_and_set_bit(up, seen))
				continue;
			next[up] = (u8)at;
			queue[tail++] = (u8)up;
		}
	}
	if (!test_bit(from, seen))
		return false;
	for (u32 at = from; at != NO_NODE; at = next[at])
		path[n++] = (u8)at;
	path[n] = NO_NODE;
	return true;
}

/* Enter "TO awaited under FROM", or report the cycle it would close. */
static void add_edge(const struct mm_task *t, u32 from, u32 to)
{
	struct lockdep_state *l = &base_sys.lockdep;
	u8 path[LOCKDEP_NODES + 1];
	unsigned long flags;
	bool cycle;

	flags = raw_lock(&l->word);
	cycle = find_path(to, from, path);
	if (!cycle)
		set_bit(to, l->after[from]);
	raw_unlock(&l->word, flags);
	if (cycle)
		report_inversion(t, to, path);
}

/* ---- checks
 * ------------------------------------------------------------------------- */

/* Flags of all entries of T's stack, joined. */
static u32 held_flags(const struct mm_task *t)
{
	u32 all = 0;

	for (u32 i = 0; i < t->nr_held; i++)
		all |= t->held[i].flags;
	return all;
}

static bool in_atomic(const struct mm_task *t)
{
	return port_in_irq() || (held_flags(t) & LOCKDEP_SPIN);
}

static struct mm_held_lock *find_held(struct mm_task *t, const void *lock)
{
	for (u32 i = t->nr_held; i-- > 0;) {
		if (t->held[i].lock == lock)
			return &t->held[i];
	}
	return NULL;
}

/* A spinlock: is its class of interrupts, and were they on? */
static void check_irq_use(const struct mm_task *t, u32 class_id, u32 kind)
{
	struct lockdep_state *l = &base_sys.lockdep;

	if (kind & LOCKDEP_IN_IRQ) {
		if (!test_bit(class_id, l->irq_used))
			set_bit(class_id, l->irq_used);
	} else if (!((kind | held_flags(t)) & LOCKDEP_IRQOFF)) {
		if (!test_bit(class_id, l->irqs_on))
			set_bit(class_id, l->irqs_on);
	}
	if (test_bit(class_id, l->irq_used) && test_bit(class_id, l->irqs_on))
		report(t, "taken in an interrupt and with interrupts on:",
		       class_id);
}

/* Order against everything on the stack of the same context. */
static void check_order(const struct mm_task *t, u32 node, u32 kind)
{
	for (u32 i = 0; i < t->nr_held; i++) {
		const struct mm_held_lock *h = &t->held[i];
		u32 from = node_of(h->class_id, h->flags);

		if (h->class_id == LOCK_CLASS_NONE)
			continue;
		if ((h->flags ^ kind) & LOCKDEP_IN_IRQ)
			continue;
		if (from == node) {
			report(t, "second lock of one class (no nesting said):",
			       node);
			return;
		}
		if (!has_edge(from, node))
			add_edge(t, from, node);
	}
}

/* Whoever has H shared has tried to have it once more: nobody waits. */
static bool shared_again(const struct mm_held_lock *h, u32 kind)
{
	u32 both = LOCKDEP_READ | LOCKDEP_TRY;

	return (h->flags & LOCKDEP_READ) && (kind & both) == both;
}

static void check_acquire(struct mm_task *t, u32 class_id, const void *lock,
			  u32 kind)
{
	const struct mm_held_lock *h = find_held(t, lock);
	u32 node = node_of(class_id, kind);

	if (h && !(h->flags & LOCKDEP_MARK) && !shared_again(h, kind))
		report(t, "taken twice by its holder:", node);
	if ((kind & (LOCKDEP_SLEEP | LOCKDEP_TRY)) == LOCKDEP_SLEEP &&
	    in_atomic(t))
		report(t, "sleeping lock where sleep is not allowed:", node);
	if (class_id == LOCK_CLASS_NONE)
		return;
	if (kind & LOCKDEP_SPIN)
		check_irq_use(t, class_id, kind);
	if (!(kind & LOCKDEP_TRY))
		check_order(t, node, kind);
}

void lockdep_do_acquire(enum lock_class class_id, const void *lock, u32 kind)
{
	struct mm_task *t = port_current();

	if (!t || READ_ONCE(base_sys.lockdep.disabled))
		return;
	mm_verify(kind & (LOCKDEP_SPIN | LOCKDEP_SLEEP));
	if (port_in_irq())
		kind |= LOCKDEP_IN_IRQ;
	if (!(kind & LOCKDEP_MARK))
		check_acquire(t, class_id, lock, kind);
	if (t->nr_held == MM_TASK_HELD_LOCKS) {
		report(t, "too many locks held, wants:", class_id);
		return;
	}
	t->held[t->nr_held] = (struct mm_held_lock){
		.lock = lock, .class_id = (u16)class_id, .flags = (u16)kind};
	/* An interrupt from here on pushes above the new entry. */
	barrier();
	t->nr_held++;
}

void lockdep_do_release(const void *lock)
{
	struct mm_task *t = port_current();
	struct mm_held_lock *h;

	if (!t || READ_ONCE(base_sys.lockdep.disabled))
		return;
	h = find_held(t, lock);
	if (!h) {
		report(t, "released but not held:", LOCK_CLASS_NONE);
		return;
	}
	for (; h + 1 < &t->held[t->nr_held]; h++)
		h[0] = h[1];
	barrier();
	t->nr_held--;
}

void lockdep_do_might_sleep(const struct mm_where *w)
{
	const struct mm_task *t = port_current();
	char text[REPORT_MAX];
	struct seq_buf s;

	if (!t || READ_ONCE(base_sys.lockdep.disabled) || !in_atomic(t))
		return;
	if (mm_xchg(&base_sys.lockdep.disabled, 1u))
		return;
	seq_buf_init(&s, text, sizeof(text));
	seq_printf(&s, "lockdep: sleep where it is not allowed%s: %s:%d: %s",
		   port_in_irq() ? " (interrupt)" : "", w->file, w->line,
		   w->func);
	put_held(&s, t);
	port_panic(seq_buf_str(&s));
}

bool lockdep_do_held(const void *lock, u32 kind)
{
	struct mm_task *t = port_current();
	const struct mm_held_lock *h;

	if (!t || READ_ONCE(base_sys.lockdep.disabled))
		return true;
	h = find_held(t, lock);
	return h && (h->flags & kind) == kind;
}

void lockdep_assert_none_held(void)
{
	const struct mm_task *t = port_current();

	if (MM_DEBUG >= 1 && t && t->nr_held &&
	    !READ_ONCE(base_sys.lockdep.disabled))
		report(t, "thread ends while holding a lock:",
		       node_of(t->held[0].class_id, t->held[0].flags));
}

/* One line: a class and what was taken under it. */
static void dump_row(struct seq_buf *s, u32 from)
{
	const char *sep = " -> ";

	put_node(s, from);
	for (u32 to = 0; to < LOCKDEP_NODES; to++) {
		if (!has_edge(from, to))
			continue;
		seq_puts(s, sep);
		put_node(s, to);
		sep = ", ";
	}
	seq_putc(s, '\n');
}

void lockdep_dump(struct seq_buf *s)
{
	const struct lockdep_state *l = &base_sys.lockdep;

	for (u32 from = 0; from < LOCKDEP_NODES; from++) {
		u64 any = 0;

		for (u32 i = 0; i < LOCKDEP_NODES / 64; i++)
			any |= READ_ONCE(l->after[from][i]);
		if (any)
			dump_row(s, from);
	}
}
