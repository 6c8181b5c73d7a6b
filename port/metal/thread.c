/* SPDX-License-Identifier: MIT */
/*
 * thread.c - threads: made, parked, woken, ended.
 *
 * 1. Purpose. port_thread_*, port_park(), port_unpark(), machine_thread_*.
 *
 * 2. Structures. A thread has a stack of STACK_SIZE bytes from vmalloc(), so
 *    that what is below it is not mapped: an overflow is a double fault, on a
 *    stack of the CPU's own, and says so. At its top lie the user's registers
 *    (struct pt_regs). Stacks of ended threads are kept for the next ones.
 *
 * 3. Invariants.
 *    THR-1  state, permit, timed_out and on_cpu change under the thread's
 *           word.
 *    THR-2  A thread that parks is queued again by the CPU that left it or by
 *           who woke it after that, never by both: on_cpu says which.
 *
 * 4. Locking. thread.word: interrupts off; a joiner's word inside; queues
 *    inside. The store of stacks has a word of its own.
 *
 * 5. Life. NEW -> RUNS <-> PARKED; RUNS -> DEAD, when only its owner uses it.
 *
 * 6. Failure. -ENOMEM from making one, nothing left behind.
 *
 * 7. Cost. With a stack in the store two allocations of objects.
 *
 * 8. Rejected. Unparking by waiting until the other CPU has let go of the
 *    thread: that CPU may wait, in the manager's hook, for a lock of ours.
 *
 * References: Linux documentation, mm/vmalloced-kernel-stacks, x86/
 * kernel-stacks.
 */
#include "metal.h"

#include <mmkit/errno.h>
#include <mmkit/memcg.h>
#include <mmkit/slab.h>
#include <mmkit/vmalloc.h>

#include "base/string.h"
#include "phys/page.h"

#define STORED_STACKS 16u

static struct {
	u32 word;
	u32 nr;
	void *stack[STORED_STACKS];
} store;

void metal_thread_begin(void);
void metal_thread_main(struct port_thread *prev, struct port_thread *self);

/* ---- stacks
 * ----------------------------------------------------------------------------
 */

static void *stack_get(void)
{
	unsigned long flags = port_irq_save();
	void *stack = NULL;

	port_spin_lock(&store.word);
	if (store.nr)
		stack = store.stack[--store.nr];
	port_spin_unlock(&store.word);
	port_irq_restore(flags);
	return stack ? stack : vmalloc(STACK_SIZE);
}

static void stack_put(void *stack)
{
	unsigned long flags = port_irq_save();
	bool kept;

	port_spin_lock(&store.word);
	kept = store.nr < STORED_STACKS;
	if (kept)
		store.stack[store.nr++] = stack;
	port_spin_unlock(&store.word);
	port_irq_restore(flags);
	if (!kept)
		vfree(stack);
}

static int stack_nid(const struct port_thread *t)
{
	return page_to_nid(vmalloc_to_page(t->stack));
}

/* ---- making
 * ----------------------------------------------------------------------------
 */

/* What metal_switch_to() pops: R15 R14 R13 R12 RBX RBP and where to. */
void thread_prepare(struct port_thread *t, void (*fn)(void *arg), void *arg)
{
	u64 *sp = (u64 *)thread_regs(t) - 1;

	t->fn = fn;
	t->arg = arg;
	*--sp = (u64)metal_thread_begin;
	*--sp = 0;
	*--sp = (u64)t;
	for (u32 i = 0; i < 4; i++)
		*--sp = 0;
	t->sp = (u64)sp;
}

static struct port_thread *thread_new(const char *name, void (*fn)(void *arg),
				      void *arg)
{
	struct port_thread *t = kmalloc(sizeof(*t), GFP_KERNEL);
	void *stack = t ? stack_get() : NULL;

	if (!stack) {
		kfree(t);
		return NULL;
	}
	sched_thread_init(t, name, stack);
	if (memcg_stack_charge(stack_nid(t), STACK_SIZE >> 10,
			       &t->stack_group)) {
		stack_put(stack);
		kfree(t);
		return NULL;
	}
	mm_memset(thread_regs(t), 0, sizeof(struct pt_regs));
	thread_prepare(t, fn, arg);
	t->cpu = port_cpu();
	return t;
}

static void thread_drop(struct port_thread *t)
{
	memcg_stack_uncharge(stack_nid(t), STACK_SIZE >> 10, t->stack_group);
	stack_put(t->stack);
	kfree(t);
}

static void thread_free(struct port_thread *t)
{
	user_free(t);
	thread_drop(t);
}

void machine_thread_start(struct port_thread *t)
{
	unsigned long flags = port_irq_save();

	mm_verify(t->state == THREAD_NEW);
	t->state = THREAD_RUNS;
	sched_place_new(t);
	sched_enqueue(t, true);
	port_irq_restore(flags);
}

int port_thread_start(struct port_thread **out, const char *name, int node,
		      void (*fn)(void *arg), void *arg)
{
	struct port_thread *t = thread_new(name, fn, arg);

	if (!t)
		return -ENOMEM;
	t->task.flags = PF_KTHREAD;
	for (int cpu = 0; node >= 0 && cpu < port_nr_cpus(); cpu++)
		if (port_cpu_node(cpu) == node)
			t->cpu = cpu;
	*out = t;
	machine_thread_start(t);
	return 0;
}

int machine_thread_create(struct port_thread **out, const char *name,
			  void (*fn)(void *arg), void *arg, void *owner)
{
	struct port_thread *t = thread_new(name, fn, arg);
	int err;

	if (!t)
		return -ENOMEM;
	t->owner = owner;
	t->user = true;
	err = user_init(t);
	if (err) {
		thread_drop(t);
		return err;
	}
	*out = t;
	return 0;
}

/* The first of a thread's life; PREV was left for it. */
void metal_thread_main(struct port_thread *prev, struct port_thread *self)
{
	sched_left(prev);
	port_unpin();
	port_irq_restore(EFLAGS_IF);
	self->fn(self->arg);
	if (!self->user)
		machine_thread_exit();
	x86_cli();
}

/* ---- ending
 * ----------------------------------------------------------------------------
 */

_Noreturn void machine_thread_exit(void)
{
	struct port_thread *t = port_self();

	x86_cli();
	port_spin_lock(&t->word);
	t->state = THREAD_DEAD;
	port_spin_unlock(&t->word);
	sched_block();
	port_panic("a thread that ended runs");
}

/* Is T off its CPU for ever? Else the caller will be unparked. */
static bool gone(struct port_thread *t)
{
	unsigned long flags = port_irq_save();
	bool yes;

	port_spin_lock(&t->word);
	yes = t->state == THREAD_NEW || (t->state == THREAD_DEAD && !t->on_cpu);
	t->joiner = yes ? NULL : port_self();
	port_spin_unlock(&t->word);
	port_irq_restore(flags);
	return yes;
}

void machine_thread_free(struct port_thread *t)
{
	while (!gone(t))
		port_park(UINT64_MAX);
	thread_free(t);
}

void port_thread_join(struct port_thread *t)
{
	machine_thread_free(t);
}

/* ---- park and unpark
 * ------------------------------------------------------------------- */

/* Set what to wake for; true: T must be queued by the caller. */
static bool wake(struct port_thread *t, bool *why)
{
	bool queue;

	port_spin_lock(&t->word);
	*why = true;
	queue = t->state == THREAD_PARKED && !t->on_cpu;
	if (queue)
		t->state = THREAD_RUNS;
	port_spin_unlock(&t->word);
	return queue;
}

void port_unpark(struct port_thread *t)
{
	unsigned long flags;

	flags = port_irq_save();
	if (wake(t, &t->permit))
		sched_enqueue(t, true);
	port_irq_restore(flags);
}

static void park_timeout(struct machine_timer *timer)
{
	struct port_thread *t = timer->private;

	if (wake(t, &t->timed_out))
		sched_enqueue(t, true);
}

/* Take the permit if there is one; else T is about to sleep. */
static bool take_or_sleep(struct port_thread *t)
{
	bool had;

	port_spin_lock(&t->word);
	had = t->permit;
	t->permit = t->timed_out = false;
	if (!had)
		t->state = THREAD_PARKED;
	port_spin_unlock(&t->word);
	return had;
}

static bool take(struct port_thread *t)
{
	bool had;

	port_spin_lock(&t->word);
	had = t->permit;
	t->permit = t->timed_out = false;
	port_spin_unlock(&t->word);
	return had;
}

bool port_park(u64 timeout_ns)
{
	struct port_thread *t = port_self();
	bool timed = timeout_ns <= (u64)1 << 62, had;
	struct machine_timer timer = {.fn = park_timeout, .private = t};
	unsigned long flags = port_irq_save();

	if (!(flags & EFLAGS_IF) || (metal_preempt_word() & METAL_DEPTH_MASK))
		port_panic("port_park: may not sleep here");
	if (timed && !timeout_ns) {
		had = take(t);
		port_irq_restore(flags);
		return had;
	}
	WRITE_ONCE(t->wchan, (u64)__builtin_return_address(0));
	had = take_or_sleep(t);
	if (!had) {
		if (timed) {
			timer.expires = port_now_ns() + timeout_ns;
			machine_timer_arm(&timer);
		}
		sched_block();
		if (timed)
			machine_timer_cancel(&timer);
		had = take(t);
	}
	port_irq_restore(flags);
	return had;
}

u64 machine_thread_wchan(const struct port_thread *t)
{
	return READ_ONCE(t->state) == THREAD_PARKED ? READ_ONCE(t->wchan) : 0;
}

/* ---- what belongs to a thread
 * ---------------------------------------------------------- */

struct port_thread *port_self(void)
{
	struct port_thread *t;

	__asm__("movq %%gs:16, %0" : "=r"(t));
	return t;
}

void *machine_owner(const struct port_thread *t)
{
	return t->owner;
}

struct mm_task *machine_mm_task(struct port_thread *t)
{
	return &t->task;
}

struct pt_regs *machine_regs(struct port_thread *t)
{
	return thread_regs(t);
}

/* Who enters T's CPU, or runs there, looks at work: see switch_threads(). */
void machine_kick(struct port_thread *t)
{
	unsigned long flags = port_irq_save();
	int cpu;

	__atomic_fetch_or(&t->work, WORK_EXIT, __ATOMIC_SEQ_CST);
	if (t == port_self()) {
		metal_this()->calm = 0;
		port_irq_restore(flags);
		return;
	}
	port_unpark(t);
	cpu = READ_ONCE(t->cpu);
	if (READ_ONCE(t->on_cpu) && cpu != port_cpu())
		apic_ipi(cpu, VEC_RESCHED);
	port_irq_restore(flags);
}
