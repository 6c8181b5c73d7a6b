/* SPDX-License-Identifier: MIT */
/*
 * sched.c - who runs on which CPU.
 *
 * 1. Purpose. Share each CPU among its threads by weight, let what wakes up
 *    run soon, keep no CPU idle while a thread waits that may run there.
 *
 * 2. Structures. Each CPU has a queue: a tree of the threads that wait for it,
 *    by virtual time, and the running one, which is not in the tree. A
 *    thread's virtual time grows while it runs, the slower the greater its
 *    weight: 1024 at nice 0, and a step of nice is a factor of 1.25
 *    (sched(7)). The leftmost has had least and is next. queue.floor is
 *    the smallest virtual time that counts; it never goes back.
 *
 * 3. Invariants.
 *    SCH-1  A thread is in one tree, or running, or parked, or being left.
 *    SCH-2  Nobody runs a thread, and nobody queues it, before the CPU that
 *           left it has saved its registers (sched_left()).
 *    SCH-3  preempt's bit 31 is written by its own CPU alone; another one
 *           asks by interrupt.
 *
 * 4. Locking. queue.word: interrupts off, one queue at a time. A thread's
 *    word (thread.c) is outside of it.
 *
 * 5. Life. A thread that is woken goes to the CPU where it ran if that is
 *    idle, else to an idle one, else back. A CPU that runs dry takes a waiting
 *    thread of another's. One that goes down is out of `online`, under its
 *    queue's lock, before its threads go to others; it rests then, and still
 *    answers interrupts. CPU 0 stays. A thread whose CPUs are all down runs
 *    anywhere until one is back.
 *
 * 6. Failure. None.
 *
 * 7. Cost. A switch: two tree operations of O(log n), one lock for each of the
 *    queue and the thread left. The tick (250 Hz) runs on CPUs that are busy.
 *
 * 8. Rejected. Queues in order of arrival: a thread that computes would make
 *    the others wait for all. One queue for all CPUs: its lock. Weighing of
 *    whole CPUs against each other: idle CPUs that take, and wakers that look
 *    for them, leave little to even out on a small machine.
 *
 * References: sched(7); Linux documentation, scheduler/sched-design-CFS
 * (virtual run time, the leftmost is next).
 */
#include "metal.h"

#include <mmkit/errno.h>

#include "base/atomic.h"
#include "base/string.h"

#define TICK_NS	      4000000ul /* 250 Hz */
#define SLEEP_CREDIT  3000000ul /* what a sleeper may be behind the others */
#define WAKE_MARGIN   1000000ul /* less is not worth a preemption */
#define NICE_0_WEIGHT 1024u

/* Weight by nice + 20. */
static const u32 weights[40] = {
	88818, 71054, 56843, 45475, 36380, 29104, 23283, 18626, 14901, 11921,
	9537,  7629,  6104,  4883,  3906,  3125,  2500,	 2000,	1600,  1280,
	1024,  819,   655,   524,   419,   336,	  268,	 215,	172,   137,
	110,   88,    70,    56,    45,	   36,	  29,	 23,	18,    15,
};

static void (*switch_hook)(struct mm_task *prev, struct mm_task *next);
static struct port_cpumask online; /* CPUs that run threads */
static struct port_thread first;

void port_set_switch_hook(void (*hook)(struct mm_task *prev,
				       struct mm_task *next))
{
	switch_hook = hook;
}

/* ---- the lock and the tree
 * ------------------------------------------------------------ */

static bool mask_has(const struct port_cpumask *mask, int cpu)
{
	return READ_ONCE(mask->bits[cpu / 64]) >> (cpu % 64) & 1;
}

static bool may_run(const struct port_thread *t, int cpu)
{
	return mask_has(&online, cpu) && mask_has(&t->allowed, cpu);
}

/* Is none of T's CPUs up? */
static bool homeless(const struct port_thread *t)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		if (may_run(t, cpu))
			return false;
	return true;
}

static bool before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static void tree_add(struct metal_rq *q, struct port_thread *t)
{
	struct rb_node **link = &q->tree.rb_node, *parent = NULL;
	bool leftmost = true;

	while (*link) {
		parent = *link;
		if (before(t->vtime,
			   rb_entry(parent, struct port_thread, node)->vtime)) {
			link = &parent->left;
		} else {
			link = &parent->right;
			leftmost = false;
		}
	}
	rb_link_node(&t->node, parent, link);
	rb_insert_color(&t->node, &q->tree);
	if (leftmost)
		q->first = t;
	q->nr++;
	t->queued = true;
}

static void tree_del(struct metal_rq *q, struct port_thread *t)
{
	if (q->first == t)
		q->first = rb_entry_safe(rb_next(&t->node), struct port_thread,
					 node);
	rb_erase(&t->node, &q->tree);
	q->nr--;
	t->queued = false;
}

/* Charge the running thread up to now. Locked. */
static void charge(struct metal_rq *q)
{
	struct port_thread *t = q->curr;
	u64 now = port_now_ns(), ran = now - q->stamp, least;

	q->stamp = now;
	if (t->idle)
		return;
	t->runtime += ran;
	t->vtime += t->weight == NICE_0_WEIGHT
			    ? ran
			    : ran * NICE_0_WEIGHT / t->weight;
	least = t->vtime;
	if (q->first && before(q->first->vtime, least))
		least = q->first->vtime;
	if (before(q->floor, least))
		q->floor = least;
}

/* ---- asking a CPU to look
 * ------------------------------------------------------------- */

/* This CPU is to give way as soon as it may. */
static void need_resched(void)
{
	__asm__ volatile("andl $0x7fffffff, %%gs:48" ::: "memory", "cc");
}

void sched_resched(int cpu)
{
	if (cpu == port_cpu())
		need_resched();
	else
		apic_ipi(cpu, VEC_RESCHED);
}

/* ---- choosing a CPU
 * ----------------------------------------------------------------------- */

static bool cpu_idle(int cpu)
{
	const struct metal_rq *q = &metal_cpus[cpu]->rq;

	return READ_ONCE(q->curr) == metal_cpus[cpu]->idle &&
	       READ_ONCE(q->nr) == 0;
}

/* Where T should wait: its own CPU, or one that is idle. */
static int choose_cpu(const struct port_thread *t)
{
	int best = -1, cpu;

	if (may_run(t, t->cpu) && cpu_idle(t->cpu))
		return t->cpu;
	for (cpu = 0; cpu < port_nr_cpus(); cpu++) {
		if (!may_run(t, cpu))
			continue;
		if (cpu_idle(cpu))
			return cpu;
		if (best < 0 || READ_ONCE(metal_cpus[cpu]->rq.nr) <
					READ_ONCE(metal_cpus[best]->rq.nr))
			best = cpu;
	}
	if (may_run(t, t->cpu))
		return t->cpu;
	/* Its CPUs are not up: anywhere rather than never. */
	return best < 0 ? 0 : best;
}

/* Should T, now queued, run instead of who does? Locked. */
static bool preempts(const struct metal_rq *q, const struct port_thread *t)
{
	if (q->curr->idle)
		return true;
	return before(t->vtime + WAKE_MARGIN, q->curr->vtime);
}

/* The CPU that T shall wait for, its queue locked: nobody is queued on one that
 * has gone down. Threads begin on CPU 0 before any is up. */
static int lock_chosen(const struct port_thread *t)
{
	for (;;) {
		int cpu = choose_cpu(t);

		port_spin_lock(&metal_cpus[cpu]->rq.word);
		if (cpu == 0 || mask_has(&online, cpu))
			return cpu;
		port_spin_unlock(&metal_cpus[cpu]->rq.word);
	}
}

void sched_enqueue(struct port_thread *t, bool wake)
{
	int cpu = lock_chosen(t);
	struct metal_rq *q = &metal_cpus[cpu]->rq;
	bool kick;

	if (cpu != t->cpu)
		t->vtime += q->floor - metal_cpus[t->cpu]->rq.floor;
	t->cpu = cpu;
	if (wake && before(t->vtime, q->floor - SLEEP_CREDIT))
		t->vtime = q->floor - SLEEP_CREDIT;
	tree_add(q, t);
	kick = preempts(q, t);
	port_spin_unlock(&q->word);
	if (kick)
		sched_resched(cpu);
}

void sched_place_new(struct port_thread *t)
{
	struct metal_rq *q = &metal_cpus[t->cpu]->rq;

	port_spin_lock(&q->word);
	if (q == &metal_this()->rq)
		charge(q);
	t->vtime = q->floor;
	if (!q->curr->idle && before(t->vtime, q->curr->vtime))
		t->vtime = q->curr->vtime;
	port_spin_unlock(&q->word);
}

/* A thread that waits for another CPU and may run here; NULL: none. */
static struct port_thread *steal(int cpu)
{
	for (int i = 1; i < port_nr_cpus(); i++) {
		int from = (cpu + i) % port_nr_cpus();
		struct metal_rq *q = &metal_cpus[from]->rq;
		struct port_thread *t;

		if (!READ_ONCE(q->nr) || !port_spin_trylock(&q->word))
			continue;
		for (t = q->first; t && !may_run(t, cpu);)
			t = rb_entry_safe(rb_next(&t->node), struct port_thread,
					  node);
		if (t) {
			tree_del(q, t);
			t->vtime += metal_cpus[cpu]->rq.floor - q->floor;
			t->cpu = cpu;
		}
		port_spin_unlock(&q->word);
		if (t)
			return t;
	}
	return NULL;
}

/* ---- switching
 * ----------------------------------------------------------------------- */

/* Who runs on C from now on; PREV may, unless BLOCKED. Locked. */
static struct port_thread *pick(struct metal_cpu *c, bool blocked)
{
	struct metal_rq *q = &c->rq;
	struct port_thread *prev = q->curr, *next = q->first;
	bool stays = !blocked && !prev->idle &&
		     (may_run(prev, c->id) ||
		      (mask_has(&online, c->id) && homeless(prev)));

	charge(q);
	if (stays && (!next || !before(next->vtime, prev->vtime)))
		next = prev;
	else if (next)
		tree_del(q, next);
	if (!next)
		next = steal(c->id);
	if (!next)
		next = c->idle;
	q->curr = next;
	return next;
}

static void start_tick(struct metal_rq *q, const struct port_thread *next)
{
	if (next->idle || q->ticking)
		return;
	q->ticking = true;
	clock_tick(TICK_NS);
}

/* PREV, whose registers are saved, is off this CPU. */
void sched_left(struct port_thread *prev)
{
	bool wake = false, queue = false;

	if (prev->idle)
		return;
	port_spin_lock(&prev->word);
	WRITE_ONCE(prev->on_cpu, false);
	if (prev->state == THREAD_PARKED && (prev->permit || prev->timed_out)) {
		prev->state = THREAD_RUNS;
		wake = true;
	}
	queue = prev->state == THREAD_RUNS;
	if (prev->state == THREAD_DEAD && prev->joiner)
		port_unpark(prev->joiner);
	port_spin_unlock(&prev->word);
	if (queue)
		sched_enqueue(prev, wake);
}

/* Interrupts off, PREV pinned once by schedule(). */
static void switch_threads(struct metal_cpu *c, struct port_thread *prev,
			   struct port_thread *next)
{
	/* The manager's hook may take locks that flushes wait for. */
	x86_sti();
	if (switch_hook)
		switch_hook(&prev->task, &next->task);
	x86_cli();
	c->times.switches++;
	WRITE_ONCE(next->cpu, c->id);
	WRITE_ONCE(next->on_cpu, true);
	/* Either machine_kick() sees that, or we see its work. */
	smp_mb();
	c->calm = READ_ONCE(next->work) ? 0 : METAL_CALM;
	user_switch(prev, next);
	c->thread = next;
	c->current = &next->task;
	c->owner = next->owner;
	c->kernel_sp = (u64)next->stack + STACK_SIZE;
	c->tss.sp0 = c->kernel_sp;
	start_tick(&c->rq, next);
	sched_left(metal_switch_to(prev, next));
}

/* Interrupts off, nothing pinned. */
static void schedule(bool blocked)
{
	do {
		struct metal_cpu *c = metal_this();
		struct port_thread *prev = c->thread, *next;

		metal_preempt_set(METAL_NO_RESCHED | METAL_PIN);
		port_spin_lock(&c->rq.word);
		next = pick(c, blocked);
		port_spin_unlock(&c->rq.word);
		if (next != prev) {
			if (blocked)
				prev->nvcsw++;
			else
				prev->nivcsw++;
			switch_threads(c, prev, next);
		}
		blocked = false;
		metal_preempt_add(-METAL_PIN);
	} while (metal_preempt_word() == 0);
}

void sched_block(void)
{
	schedule(true);
}

/* Called when preempt became 0. */
void metal_preempt(void)
{
	/* Whoever turns interrupts on looks again. */
	if (!x86_irqs_on())
		return;
	x86_cli();
	if (metal_preempt_word() == 0)
		schedule(false);
	x86_sti();
}

/* At the end of an interrupt of the kernel; interrupts off. */
void metal_preempt_irq(void)
{
	/* A copy from a user may have been interrupted: what it may touch is
	 * not for the others; IRETQ brings its flags back. */
	if (metal_smap)
		__asm__ volatile("clac" ::: "memory");
	schedule(false);
}

void machine_yield(void)
{
	struct metal_cpu *c;

	x86_cli();
	c = metal_this();
	port_spin_lock(&c->rq.word);
	charge(&c->rq);
	if (c->rq.first && before(c->rq.curr->vtime, c->rq.first->vtime + 1))
		c->rq.curr->vtime = c->rq.first->vtime + 1;
	port_spin_unlock(&c->rq.word);
	schedule(false);
	x86_sti();
}

/* ---- time
 * ------------------------------------------------------------------------------
 */

static void account_tick(struct metal_cpu *c, struct port_thread *t)
{
	if (c->irq_user) {
		t->user_ticks++;
		if (t->nice > 0)
			c->times.nice += TICK_NS;
		else
			c->times.user += TICK_NS;
	} else {
		t->sys_ticks++;
		c->times.sys += TICK_NS;
	}
}

void metal_tick(void)
{
	struct metal_cpu *c = metal_this();
	struct metal_rq *q = &c->rq;
	bool give = false;

	if (c->thread->idle) {
		q->ticking = false;
		clock_tick(0);
		return;
	}
	tlb_tick();
	account_tick(c, c->thread);
	port_spin_lock(&q->word);
	charge(q);
	give = q->first && before(q->first->vtime, q->curr->vtime);
	port_spin_unlock(&q->word);
	if (give)
		need_resched();
}

void machine_cpu_times(int cpu, struct machine_cpu_times *out)
{
	const struct metal_cpu *c = metal_cpus[cpu];

	*out = c->times;
	out->interrupts = dev_interrupts(cpu);
}

void machine_thread_times(const struct port_thread *t, u64 *user, u64 *sys)
{
	u64 ticks = READ_ONCE(t->user_ticks) + READ_ONCE(t->sys_ticks);
	u64 ran = READ_ONCE(t->runtime), part = READ_ONCE(t->user_ticks);

	/* The sum is measured, how it is parted was looked at by ticks. */
	part = min(part, ticks);
	*user = ticks ? ran / ticks * part + ran % ticks * part / ticks : 0;
	*sys = ran - *user;
}

void machine_thread_switches(const struct port_thread *t, u64 *voluntary,
			     u64 *involuntary)
{
	*voluntary = READ_ONCE(t->nvcsw);
	*involuntary = READ_ONCE(t->nivcsw);
}

/* ---- idle
 * ------------------------------------------------------------------------------
 */

/* Interrupts off. Somebody may be taken over, or wants to run here. */
static bool work_to_do(const struct metal_cpu *c)
{
	if (!(metal_preempt_word() & METAL_NO_RESCHED) || READ_ONCE(c->rq.nr))
		return true;
	if (!mask_has(&online, c->id))
		return false;
	for (int i = 0; i < port_nr_cpus(); i++)
		if (i != c->id && READ_ONCE(metal_cpus[i]->rq.nr))
			return true;
	return false;
}

_Noreturn void sched_idle(void)
{
	for (;;) {
		struct metal_cpu *c = metal_this();
		u64 since;

		x86_cli();
		if (work_to_do(c))
			schedule(false);
		if (!work_to_do(c)) {
			since = port_now_ns();
			metal_idle_halt();
			x86_cli();
			c->times.idle += port_now_ns() - since;
		}
		x86_sti();
	}
}

/* ---- what threads are told
 * ------------------------------------------------------------ */

static void set_weight(struct port_thread *t, int nice)
{
	t->nice = (s8)nice;
	t->weight = weights[nice + 20];
}

void machine_set_nice(struct port_thread *t, int nice)
{
	set_weight(t, clamp(nice, -20, 19));
}

/* T's queue, locked, with T's CPU not changing. Interrupts off. */
static struct metal_rq *lock_queue_of(const struct port_thread *t)
{
	for (;;) {
		int cpu = READ_ONCE(t->cpu);
		struct metal_rq *q = &metal_cpus[cpu]->rq;

		port_spin_lock(&q->word);
		if (READ_ONCE(t->cpu) == cpu)
			return q;
		port_spin_unlock(&q->word);
	}
}

int machine_set_affinity(struct port_thread *t, const struct port_cpumask *mask)
{
	unsigned long flags;
	struct metal_rq *q;
	bool any = false, moved = false, runs = false;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		any |= mask_has(mask, cpu) && mask_has(&online, cpu);
	if (!any)
		return -EINVAL;
	flags = port_irq_save();
	for (u32 i = 0; i < ARRAY_SIZE(mask->bits); i++)
		WRITE_ONCE(t->allowed.bits[i], mask->bits[i]);
	q = lock_queue_of(t);
	if (!may_run(t, t->cpu)) {
		moved = t->queued;
		runs = q->curr == t;
		if (moved)
			tree_del(q, t);
	}
	port_spin_unlock(&q->word);
	if (moved)
		sched_enqueue(t, false);
	if (runs)
		sched_resched(t->cpu);
	port_irq_restore(flags);
	return 0;
}

void machine_get_affinity(const struct port_thread *t, struct port_cpumask *out)
{
	*out = t->allowed;
}

/* ---- CPUs that come and go
 * ------------------------------------------------------------ */

/* The threads that wait for CPU, which is down, wait for others now. */
static void evict(int cpu)
{
	struct metal_rq *q = &metal_cpus[cpu]->rq;
	unsigned long flags = port_irq_save();
	struct port_thread *t;

	do {
		port_spin_lock(&q->word);
		t = q->first;
		if (t)
			tree_del(q, t);
		port_spin_unlock(&q->word);
		if (t)
			sched_enqueue(t, false);
	} while (t);
	port_irq_restore(flags);
}

int machine_cpu_down(int cpu)
{
	struct metal_cpu *c;
	unsigned long flags;

	if (cpu <= 0 || cpu >= port_nr_cpus())
		return -EINVAL;
	c = metal_cpus[cpu];
	flags = port_irq_save();
	port_spin_lock(&c->rq.word);
	__atomic_fetch_and(&online.bits[cpu / 64], ~(1ul << (cpu % 64)),
			   __ATOMIC_SEQ_CST);
	port_spin_unlock(&c->rq.word);
	port_irq_restore(flags);
	evict(cpu);
	sched_resched(cpu);
	while (READ_ONCE(c->thread) != c->idle)
		(void)port_park(1000000);
	return 0;
}

int machine_cpu_up(int cpu)
{
	if (cpu <= 0 || cpu >= port_nr_cpus())
		return -EINVAL;
	__atomic_fetch_or(&online.bits[cpu / 64], 1ul << (cpu % 64),
			  __ATOMIC_SEQ_CST);
	/* It looks for threads that wait elsewhere. */
	sched_resched(cpu);
	return 0;
}

int machine_thread_cpu(const struct port_thread *t)
{
	return READ_ONCE(t->cpu);
}

bool machine_thread_running(const struct port_thread *t)
{
	return READ_ONCE(t->state) == THREAD_RUNS;
}

u32 machine_nr_running(void)
{
	u32 n = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		const struct metal_cpu *c = metal_cpus[cpu];

		n += READ_ONCE(c->rq.nr);
		n += READ_ONCE(c->rq.curr) != c->idle;
	}
	return n;
}

/* ---- boot
 * ------------------------------------------------------------------------------
 */

void sched_thread_init(struct port_thread *t, const char *name, void *stack)
{
	mm_memset(t, 0, sizeof(*t));
	(void)mm_strscpy(t->task.comm, name, sizeof(t->task.comm));
	t->task.thread = t;
	t->stack = stack;
	t->state = THREAD_NEW;
	t->fpu_cpu = -1;
	set_weight(t, 0);
	mm_memset(&t->allowed, 0xff, sizeof(t->allowed));
}

void sched_init_cpu(struct metal_cpu *c, struct port_thread *t, void *stack)
{
	char name[MM_TASK_COMM];

	(void)mm_scnprintf(name, sizeof(name), "idle/%d", c->id);
	sched_thread_init(t, name, stack);
	t->task.flags = PF_KTHREAD | PF_IDLE;
	t->idle = true;
	t->state = THREAD_RUNS;
	t->on_cpu = true;
	t->cpu = c->id;
	c->idle = c->thread = c->rq.curr = t;
	c->current = &t->task;
	c->kernel_sp = c->tss.sp0 = (u64)t->stack + STACK_SIZE;
	c->rq.stamp = port_now_ns();
	c->rq.tree = RB_ROOT;
	/* The boot held the CPU. */
	metal_preempt_set(METAL_NO_RESCHED);
	__atomic_fetch_or(&online.bits[c->id / 64], 1ul << (c->id % 64),
			  __ATOMIC_SEQ_CST);
}

void sched_first(void (*fn)(void *arg), void *stack)
{
	sched_thread_init(&first, "init", stack);
	first.task.flags = PF_KTHREAD;
	thread_prepare(&first, fn, NULL);
	first.state = THREAD_RUNS;
	sched_enqueue(&first, false);
}
