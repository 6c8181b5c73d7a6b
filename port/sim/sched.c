/* SPDX-License-Identifier: MIT */
/*
 * sched.c - virtual CPUs, threads and virtual time on one host thread.
 *
 * 1. Purpose. Play N CPUs, each running one thread at a time, so that every
 *    run with the same seed interleaves them in the same way, and so that
 *    many different interleavings can be asked for.
 *
 * 2. Structures. A sim_cpu has a clock, a run queue and always a thread: its
 *    idle thread if no other. Threads are coroutines (context.c). At any
 *    moment one CPU is played: sim_this is its head, sim.exec its thread.
 *    Waiting for a time is an event (event.c).
 *
 *         CPU 0  clock 1200  [T1]  queue: T4      <- sim_this
 *         CPU 1  clock 1350  [T2]  queue:
 *         CPU 2  clock 1100  [idle, resting]      (not playable)
 *
 * 3. Two kinds of change. schedule() gives a CPU another thread; go() plays
 *    another CPU, in whatever thread that one has. schedule() ends in go(),
 *    so the two together cost one context switch at most.
 *
 * 4. Which CPU. Normally the playable one whose clock is smallest; then it
 *    runs until its clock passes the next one's by a random lead (jitter),
 *    which is what deadline_ns says. In explore mode the deadline is always
 *    past and each point draws a CPU, and at times a thread, at random. A
 *    CPU that spins on a word is not playable while the word is set, so
 *    spinning costs nothing and a deadlock of spinners is seen as such.
 *    Drawing alone never leaves a CPU behind for long: that another does a
 *    whole system call between two steps of this one has no chance in
 *    practice. So with cfg.stall a CPU is at times left out of the draw, for
 *    1 to 2047 drawings, each power of two as likely as the next.
 *
 * 5. Invariants. A CPU with pin > 0 keeps its thread. A thread moves to
 *    another CPU only by itself (PREV_MOVE), when it is off every stack. An
 *    idle CPU's clock is brought up to the moment of what wakes it.
 *
 * 6. Events come due when the smallest clock reaches them, or when no CPU is
 *    playable: then time jumps. No event and no playable CPU is a deadlock:
 *    it is reported thread by thread and sim_run() returns.
 *
 * 7. Cost. A sched point with nothing to do is one compare. The slow path is
 *    linear in the number of CPUs.
 *
 * 8. Rejected: swapcontext (a system call per switch); real threads handing
 *    a token around (microseconds per switch, and no repeatable crash);
 *    balancing threads between CPUs (a driver places threads explicitly).
 */
#include "sim_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUIET_LIMIT 20000000u /* busy-wait rounds that change nothing */

/* The driver's own code runs there; pages are committed when touched. */
#define MAIN_STACK ((size_t)8 << 20)

/* What becomes of the thread that schedule() takes off its CPU. */
enum prev_fate { PREV_QUEUE, PREV_BLOCK, PREV_MOVE, PREV_DIE };

static void go(void);
static void main_fn(void *arg);

u64 sim_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

/* ---- run queues -------------------------------------------------------------
 */

static void queue_tail(struct sim_cpu *c, struct port_thread *t)
{
	t->queue_next = NULL;
	if (c->queue_tail)
		c->queue_tail->queue_next = t;
	else
		c->queue_head = t;
	c->queue_tail = t;
}

static void queue_head(struct sim_cpu *c, struct port_thread *t)
{
	t->queue_next = c->queue_head;
	c->queue_head = t;
	if (!c->queue_tail)
		c->queue_tail = t;
}

static struct port_thread *queue_take(struct sim_cpu *c)
{
	struct port_thread *t = c->queue_head;

	if (!t)
		return NULL;
	c->queue_head = t->queue_next;
	if (!c->queue_head)
		c->queue_tail = NULL;
	t->queue_next = NULL;
	return t;
}

/* Something happens to CPU at WHEN: if it rests, it has rested until then. */
void sim_cpu_catch_up(struct sim_cpu *cpu, u64 when)
{
	if (cpu->resting && !cpu->queue_head && !cpu->irq_head)
		cpu->mmu.hot.clock_ns = max(cpu->mmu.hot.clock_ns, when);
}

/* CPU has new work: whoever is played must look again. */
void sim_kick(struct sim_cpu *cpu)
{
	if (!sim.running)
		return;
	cpu->mmu.hot.deadline_ns = 0;
	sim_this->deadline_ns = 0;
}

/* Make T runnable on its CPU at WHEN. A kernel thread goes before others. */
static void make_ready(struct port_thread *t, u64 when)
{
	struct sim_cpu *c = &sim.cpus[t->cpu];

	sim_event_cancel(&t->timer);
	t->state = SIM_READY;
	sim_cpu_catch_up(c, when + sim_costs.wake_ns);
	if ((t->task.flags & PF_KTHREAD) && !c->thread->idle) {
		queue_head(c, t);
		c->need_resched = true;
	} else {
		queue_tail(c, t);
	}
	sim_kick(c);
}

/* ---- which CPU is played
 * ------------------------------------------------------- */

static bool playable(const struct sim_cpu *c)
{
	if (c->waiting)
		return !READ_ONCE(*c->waiting) || sim_irq_pending(c);
	return !c->resting || c->queue_head || sim_irq_pending(c);
}

/* The playable CPU with the smallest clock, EXCEPT left out; or NULL. */
static struct sim_cpu *earliest_cpu(const struct sim_cpu *except)
{
	struct sim_cpu *best = NULL;
	int i;

	for (i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];

		if (c == except || !playable(c))
			continue;
		if (!best || c->mmu.hot.clock_ns < best->mmu.hot.clock_ns)
			best = c;
	}
	return best;
}

/* Longest stall is below 1 << STALL_BITS drawings. */
#define STALL_BITS 11

/* At times the CPU that is played shall stand still. */
static void maybe_stall(struct sim_cpu *c)
{
	u64 r;

	sim.draws++;
	if (!sim.cfg.stall)
		return;
	r = sim_random(&sim.rng);
	if ((u32)r % sim.cfg.stall == 0)
		c->stalled_until =
			sim.draws + 1 +
			(r >> 32 & (BIT((r >> 50) % (STALL_BITS + 1)) - 1));
}

/* Explore: the CPU that is played every other time, else any playable one. A
 * stalled one only if there is no other. */
static struct sim_cpu *any_cpu(void)
{
	struct sim_cpu *list[MM_NR_CPUS], *self = sim_this_cpu();
	u64 r = sim_random(&sim.rng);
	u32 n = 0, stalled = 0;
	int i;

	maybe_stall(self);
	if ((r >> 32 & 1) && playable(self) && self->stalled_until <= sim.draws)
		return self;
	for (i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];

		if (!playable(c))
			continue;
		if (c->stalled_until <= sim.draws)
			list[n++] = c;
		else
			list[MM_NR_CPUS - ++stalled] = c;
	}
	if (n)
		return list[(u32)r % n];
	return stalled ? list[MM_NR_CPUS - 1 - (u32)r % stalled] : NULL;
}

static const char *state_name(const struct port_thread *t)
{
	const struct sim_cpu *c = &sim.cpus[t->cpu];

	if (t->state == SIM_PARKED)
		return "parked";
	if (t->state == SIM_JOINING)
		return "waits for a thread's end";
	if (t->state == SIM_DEAD)
		return "ended, not joined";
	if (c->thread != t)
		return "in the run queue";
	return c->waiting ? "spins on a lock or a CPU" : "running";
}

/* Nothing can ever happen again: say who waits, and end the run. */
static _Noreturn void deadlock(const char *why)
{
	const struct port_thread *t;

	sim_print(0, "sim: deadlock at %lu ns: %s\n", sim_this->clock_ns, why);
	for (t = sim.all; t; t = t->all_next) {
		const struct sim_hot *h = &sim.cpus[t->cpu].mmu.hot;
		bool on = sim.cpus[t->cpu].thread == t;

		if (t->idle && !on)
			continue;
		sim_print(0, "sim:   %-16s cpu %d  %s%s%s\n", t->name, t->cpu,
			  t->idle ? "idle" : state_name(t),
			  on && h->pin ? ", pinned" : "",
			  on && h->irq_off ? ", interrupts off" : "");
	}
	sim_stop(-EDEADLK);
}

/* Let events happen until a CPU may go on, and return that one. */
static struct sim_cpu *pick(void)
{
	for (;;) {
		struct sim_cpu *c =
			sim.cfg.explore ? any_cpu() : earliest_cpu(NULL);
		u64 at = c ? c->mmu.hot.clock_ns : UINT64_MAX;

		if (sim_event_next() <= at && sim_event_fire_next())
			continue;
		if (c)
			return c;
		deadlock("every thread waits and no event is due");
	}
}

/* When the scheduler wants to be asked again while C is played. */
static void set_deadline(struct sim_cpu *c)
{
	u64 now = c->mmu.hot.clock_ns, deadline = sim_event_next();
	u64 lead = 1 + sim_random(&sim.rng) % sim.cfg.jitter_ns;
	int i;

	if (c->queue_head)
		deadline = min(deadline, c->slice_end_ns);
	if (c->aged_at)
		deadline = min(deadline, c->aged_at);
	if (sim.cfg.explore || c->irq_head || c->need_resched)
		deadline = 0;
	for (i = 0; i < sim.nr_cpus && deadline; i++) {
		const struct sim_cpu *o = &sim.cpus[i];

		if (o == c)
			continue;
		if (o->waiting)
			deadline = min(deadline, now + lead);
		else if (playable(o))
			deadline = min(deadline,
				       max(o->mmu.hot.clock_ns, now) + lead);
	}
	c->mmu.hot.deadline_ns = deadline;
}

/* Become CPU C. Returns when the thread that called is played again. */
static void play(struct sim_cpu *c)
{
	struct port_thread *from = sim.exec, *to = c->thread;

	sim.left_ns = sim_this->clock_ns;
	sim_this = &c->mmu.hot;
	if (from == to)
		return;
	sim.exec = to;
	sim_context_switch(from, to, from->state == SIM_DEAD);
}

static void go(void)
{
	play(pick());
	set_deadline(sim_this_cpu());
}

/* ---- thread switches
 * -------------------------------------------------------------- */

static void tell_hook(struct sim_cpu *c, struct mm_task *next)
{
	struct mm_task *prev = c->last_task;

	if (prev == next)
		return;
	c->last_task = next;
	if (!sim.switch_hook)
		return;
	c->mmu.hot.pin++;
	sim.switch_hook(prev, next);
	c->mmu.hot.pin--;
}

/* T, on C until now, has run since it got it. */
static void count_run(struct sim_cpu *c, struct port_thread *t)
{
	u64 now = c->mmu.hot.clock_ns, ran = now - t->since;

	t->since = now;
	t->run_ns += ran;
	if (t->idle)
		return;
	if (t->task.flags & PF_KTHREAD)
		c->kthread_ns += ran;
	else
		c->user_ns += ran;
}

void sim_thread_times(const struct port_thread *t, struct sim_thread_times *out)
{
	const struct sim_cpu *c = &sim.cpus[t->cpu];

	*out = (struct sim_thread_times){.start_ns = t->start_ns,
					 .run_ns = t->run_ns,
					 .cpu = t->cpu,
					 .runs = t->state == SIM_READY};
	if (c->thread == t)
		out->run_ns += c->mmu.hot.clock_ns - t->since;
}

void sim_cpu_times(int cpu, u64 *user_ns, u64 *kthread_ns)
{
	struct sim_cpu *c = &sim.cpus[cpu];

	count_run(c, c->thread);
	*user_ns = c->user_ns;
	*kthread_ns = c->kthread_ns;
}

/* PREV, off its CPU now, goes where FATE says. */
static void place_prev(struct port_thread *prev, enum prev_fate fate)
{
	u64 now = sim_this->clock_ns;

	if (fate == PREV_MOVE) {
		sim.cpus[prev->cpu].nr_threads--;
		prev->cpu = prev->want_cpu;
		sim.cpus[prev->cpu].nr_threads++;
		make_ready(prev, now);
	} else if (fate == PREV_DIE) {
		sim.cpus[prev->cpu].nr_threads--;
		prev->state = SIM_DEAD;
		if (prev->joiner)
			make_ready(prev->joiner, now);
	}
}

/*
 * Give the running CPU to the next thread of its queue. Returns when the
 * thread that called runs again.
 */
static void schedule(enum prev_fate fate)
{
	struct sim_cpu *c = sim_this_cpu();
	struct port_thread *prev = c->thread, *next;

	if (fate == PREV_QUEUE)
		queue_tail(c, prev);
	next = queue_take(c);
	if (!next)
		next = c->idle;
	c->need_resched = false;
	c->slice_end_ns = c->mmu.hot.clock_ns + sim_costs.slice_ns;
	sim.quiet_rounds = 0;
	if (next == prev) {
		go();
		return;
	}
	count_run(c, prev);
	if (fate == PREV_MOVE || fate == PREV_DIE)
		tell_hook(c, &c->idle->task);
	if (!next->idle)
		tell_hook(c, &next->task);
	c->thread = next;
	c->resting = next->idle;
	c->mmu.hot.current = &next->task;
	c->mmu.hot.clock_ns += sim_costs.switch_ns;
	next->since = c->mmu.hot.clock_ns;
	c->stats.switches++;
	place_prev(prev, fate);
	if (prev == sim.main_thread && fate == PREV_DIE)
		sim_stop(sim.result);
	go();
}

static void move_if_wanted(void)
{
	struct port_thread *t = sim.exec;

	while (t->want_cpu != t->cpu)
		schedule(PREV_MOVE);
}

/* Whether the running thread should give its CPU to another. */
static bool should_yield(struct sim_cpu *c)
{
	if (!c->queue_head) {
		c->need_resched = false;
		return false;
	}
	if (c->need_resched || c->mmu.hot.clock_ns >= c->slice_end_ns)
		return true;
	return sim.cfg.explore && (sim_random(&sim.rng) >> 40) % 4 == 0;
}

/* A sched point whose deadline has come. */
void sim_point_slow(void)
{
	struct sim_cpu *c = sim_this_cpu();

	if (!sim.running || c->mmu.hot.irq_off)
		return;
	sim_event_fire_due(c->mmu.hot.clock_ns);
	sim_irq_deliver(c);
	sim_tlb_tick(c);
	if (c->mmu.hot.pin) {
		go();
		return;
	}
	if (!c->thread->idle && should_yield(c))
		schedule(PREV_QUEUE);
	else
		go();
	if (!sim.exec->idle)
		move_if_wanted();
}

/* A lock operation whose deadline has come: other CPUs may get ahead. */
void sim_interleave(void)
{
	struct sim_cpu *c = sim_this_cpu();

	if (!sim.running)
		return;
	sim_irq_deliver(c);
	go();
}

/* Wait, as a CPU that spins does, until *WORD is 0. */
void sim_wait_word(const u32 *word)
{
	struct sim_cpu *c = sim_this_cpu();

	if (!sim.running)
		sim_bug("a lock is held that nobody can release");
	while (READ_ONCE(*word)) {
		sim_irq_deliver(c);
		c->waiting = word;
		go();
		c->waiting = NULL;
		c->mmu.hot.clock_ns = max(c->mmu.hot.clock_ns, sim.left_ns);
	}
}

void sim_spin_wait(u32 *word)
{
	sim_this->clock_ns += sim_costs.relax_ns;
	sim_wait_word(word);
}

/*
 * A round of a busy wait: time passes at least until the next CPU or event
 * can change something.
 */
void sim_relax(void)
{
	struct sim_cpu *c = sim_this_cpu(), *other;
	u64 *clock = &c->mmu.hot.clock_ns;

	*clock += sim_costs.relax_ns;
	if (!sim.running)
		return;
	if (++sim.quiet_rounds > QUIET_LIMIT)
		deadlock("a busy wait never ends");
	sim_irq_deliver(c);
	other = earliest_cpu(c);
	if (other)
		*clock = max(*clock, other->mmu.hot.clock_ns + 1);
	else if (!c->queue_head && sim_event_next() != UINT64_MAX)
		*clock = max(*clock, sim_event_next());
	if (c->queue_head && !c->mmu.hot.pin && !c->mmu.hot.irq_off &&
	    !c->thread->idle)
		schedule(PREV_QUEUE);
	else
		go();
}

/* ---- threads
 * -------------------------------------------------------------------- */

struct port_thread *port_self(void)
{
	return sim_this->current->thread;
}

static void check_may_sleep(const char *what)
{
	if (!sim.running || sim_this->pin || sim_this->irq_off)
		sim_bug(what);
}

static _Noreturn void thread_end(void)
{
	check_may_sleep("a thread ends pinned or with interrupts off");
	schedule(PREV_DIE);
	__builtin_unreachable();
}

static void thread_entry(void)
{
	struct port_thread *t = sim.exec;

	sim_context_arrived(t);
	set_deadline(sim_this_cpu());
	move_if_wanted();
	t->fn(t->arg);
	thread_end();
}

static void idle_entry(void)
{
	struct sim_cpu *c = sim_this_cpu();

	sim_context_arrived(sim.exec);
	for (;;) {
		c->resting = false;
		sim_irq_deliver(c);
		if (c->queue_head) {
			schedule(PREV_BLOCK);
			continue;
		}
		c->resting = true;
		go();
	}
}

static void timer_fire(struct sim_event *ev)
{
	struct port_thread *t = container_of(ev, struct port_thread, timer);

	if (t->state == SIM_PARKED)
		make_ready(t, ev->when);
}

/* Allocate T and put it on the list of all; it is not queued yet. */
int sim_thread_new(struct port_thread **out, const char *name, int cpu,
		   void (*fn)(void *arg), void *arg)
{
	struct port_thread *t = calloc(1, sizeof(*t));
	bool idle = fn == NULL;

	if (!t)
		return -ENOMEM;
	if (sim_context_new(t, fn == main_fn ? MAIN_STACK : sim.cfg.stack_bytes,
			    idle ? idle_entry : thread_entry)) {
		free(t);
		return -ENOMEM;
	}
	strncpy(t->name, name, sizeof(t->name) - 1);
	strncpy(t->task.comm, name, sizeof(t->task.comm) - 1);
	t->task.trace_id = SIM_TRACE_ID | ++sim.nr_trace_ids;
	t->task.thread = t;
	t->start_ns = sim_this->clock_ns;
	t->cpu = t->want_cpu = cpu;
	t->idle = idle;
	t->fn = fn;
	t->arg = arg;
	t->timer.fire = timer_fire;
	t->all_next = sim.all;
	t->all_pprev = &sim.all;
	if (sim.all)
		sim.all->all_pprev = &t->all_next;
	sim.all = t;
	sim.cpus[cpu].nr_threads += !idle;
	*out = t;
	return 0;
}

void sim_thread_free(struct port_thread *t)
{
	sim_event_cancel(&t->timer);
	*t->all_pprev = t->all_next;
	if (t->all_next)
		t->all_next->all_pprev = t->all_pprev;
	sim_context_free(t);
	free(t);
}

static int start(struct port_thread **out, const char *name, int cpu,
		 void (*fn)(void *arg), void *arg, u32 flags)
{
	struct port_thread *t;
	int err = sim_thread_new(&t, name, cpu, fn, arg);

	if (err)
		return err;
	t->task.flags = flags;
	*out = t;
	make_ready(t, sim_this->clock_ns);
	return 0;
}

/* The CPU of NODE with the fewest threads; of any node if NODE has none. */
static int least_loaded(int node)
{
	int i, best = -1;

	for (i = 0; i < sim.nr_cpus; i++) {
		if (sim.cpus[i].down || (node >= 0 && sim.cpus[i].node != node))
			continue;
		if (best < 0 ||
		    sim.cpus[i].nr_threads < sim.cpus[best].nr_threads)
			best = i;
	}
	return best < 0 ? least_loaded(-1) : best;
}

int port_thread_start(struct port_thread **out, const char *name, int node,
		      void (*fn)(void *arg), void *arg)
{
	if (!sim.up)
		return -EAGAIN;
	return start(out, name, least_loaded(node), fn, arg, PF_KTHREAD);
}

int sim_thread_start_on(struct port_thread **out, const char *name, int cpu,
			void (*fn)(void *arg), void *arg)
{
	if (!sim.up || cpu < 0 || cpu >= sim.nr_cpus)
		return -EINVAL;
	return start(out, name, cpu, fn, arg, 0);
}

const char *sim_thread_name(u32 trace_id)
{
	for (struct port_thread *t = sim.all; t; t = t->all_next) {
		if (t->task.trace_id == trace_id)
			return t->name;
	}
	return NULL;
}

struct mm_task *sim_thread_task(struct port_thread *t)
{
	return &t->task;
}

void port_thread_join(struct port_thread *t)
{
	struct port_thread *self = port_self();

	if (t->state != SIM_DEAD) {
		check_may_sleep("port_thread_join: may not sleep here");
		t->joiner = self;
		self->state = SIM_JOINING;
		schedule(PREV_BLOCK);
		move_if_wanted();
	}
	sim_thread_free(t);
}

bool port_park(u64 timeout_ns)
{
	struct port_thread *t = port_self();
	u64 now = sim_this->clock_ns;

	check_may_sleep("port_park: may not sleep here");
	if (!t->permit) {
		t->state = SIM_PARKED;
		if (timeout_ns < UINT64_MAX - now)
			sim_event_add(&t->timer, now + timeout_ns);
		schedule(PREV_BLOCK);
		move_if_wanted();
	}
	if (!t->permit)
		return false;
	t->permit = false;
	return true;
}

void port_unpark(struct port_thread *t)
{
	t->permit = true;
	if (t->state == SIM_PARKED)
		make_ready(t, sim_this->clock_ns);
}

void sim_set_cpu(struct port_thread *t, int cpu)
{
	if (cpu < 0 || cpu >= sim.nr_cpus || sim.cpus[cpu].down)
		sim_bug("sim_set_cpu: no such CPU, or it is down");
	t->want_cpu = cpu;
	if (t != port_self())
		return;
	check_may_sleep("sim_set_cpu: may not sleep here");
	move_if_wanted();
}

static void queue_remove(struct sim_cpu *c, const struct port_thread *gone)
{
	struct port_thread *t, *rest = c->queue_head;

	c->queue_head = c->queue_tail = NULL;
	while ((t = rest)) {
		rest = t->queue_next;
		if (t != gone)
			queue_tail(c, t);
	}
}

/* T, of a CPU that goes down, is of CPU TO now, or at its next sched point. */
static void send_away(struct port_thread *t, int to)
{
	struct sim_cpu *c = &sim.cpus[t->cpu];
	bool ready = t->state == SIM_READY;

	t->want_cpu = to;
	if (c->thread == t) {
		sim_kick(c);
		return;
	}
	if (ready)
		queue_remove(c, t);
	c->nr_threads--;
	t->cpu = to;
	sim.cpus[to].nr_threads++;
	if (ready)
		make_ready(t, sim_this->clock_ns);
}

static void visit(void *arg)
{
	(void)arg;
}

void sim_cpu_down(int cpu)
{
	struct port_thread *t;

	if (cpu <= 0 || cpu >= sim.nr_cpus)
		sim_bug("sim_cpu_down: no such CPU, or the first");
	check_may_sleep("sim_cpu_down: may not sleep here");
	sim.cpus[cpu].down = true;
	for (t = sim.all; t; t = t->all_next) {
		if (t->idle || t->state == SIM_DEAD)
			continue;
		if (t->cpu == cpu)
			send_away(t, least_loaded(sim.cpus[cpu].node));
		else if (t->want_cpu == cpu)
			t->want_cpu = t->cpu;
	}
	move_if_wanted();
	/* The last one that it ran may end elsewhere: it runs its idle one. */
	if (start(&t, "cpuhp", cpu, visit, NULL, PF_KTHREAD))
		sim_bug("sim_cpu_down: no memory for a thread");
	port_thread_join(t);
	while (sim.cpus[cpu].nr_threads || sim.cpus[cpu].irq_head)
		(void)port_park(1000);
}

void sim_cpu_up(int cpu)
{
	if (cpu <= 0 || cpu >= sim.nr_cpus)
		sim_bug("sim_cpu_up: no such CPU, or the first");
	sim.cpus[cpu].down = false;
}

void sim_yield(void)
{
	check_may_sleep("sim_yield: may not sleep here");
	schedule(PREV_QUEUE);
	move_if_wanted();
}

/* ---- running a machine
 * ------------------------------------------------------------ */

/* The caller of sim_run plays CPU 0, in a task of its own, while it may. */
void sim_host_enter(void)
{
	struct sim_hot *hot = &sim.cpus[0].mmu.hot;
	u64 now = 0;
	int i;

	for (i = 0; i < sim.nr_cpus; i++)
		now = max(now, sim.cpus[i].mmu.hot.clock_ns);
	sim.running = false;
	sim.away = *hot;
	*hot = (struct sim_hot){.current = &sim.host.task,
				.clock_ns = now,
				.deadline_ns = UINT64_MAX};
	sim_this = hot;
}

/* Return RESULT from sim_run; the thread that calls is not resumed. */
_Noreturn void sim_stop(int result)
{
	struct port_thread *from = sim.exec;

	sim.result = result;
	sim.broken = from != sim.main_thread || from->state != SIM_DEAD;
	sim_host_enter();
	sim.exec = &sim.host;
	sim_context_switch(from, &sim.host, from->state == SIM_DEAD);
	__builtin_unreachable();
}

static void main_fn(void *arg)
{
	(void)arg;
	sim.result = sim.main(sim.main_arg);
}

int sim_run(int (*main)(void *arg), void *arg)
{
	struct sim_hot *hot = &sim.cpus[0].mmu.hot;
	u64 now;
	int err;

	if (!sim.up || sim.running || sim.broken)
		return -EINVAL;
	err = start(&sim.main_thread, "main", 0, main_fn, NULL, PF_KTHREAD);
	if (err)
		return err;
	sim.main = main;
	sim.main_arg = arg;
	now = hot->clock_ns;
	*hot = sim.away;
	hot->clock_ns = now;
	sim.running = true;
	sim.exec = &sim.host;
	play(pick());
	if (!sim.broken)
		sim_thread_free(sim.main_thread);
	sim.main_thread = NULL;
	return sim.result;
}

/* Each CPU starts in its idle thread, at rest. */
int sim_sched_init(void)
{
	int i, err;

	sim.events.next = sim.events.prev = &sim.events;
	for (i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];
		char name[16] = "idle/";

		name[5] = (char)('0' + i / 10);
		name[6] = (char)('0' + i % 10);
		err = sim_thread_new(&c->idle, name, i, NULL, NULL);
		if (err)
			return err;
		c->idle->task.flags = PF_KTHREAD;
		c->thread = c->idle;
		c->last_task = &c->idle->task;
		c->resting = true;
		c->mmu.hot.id = i;
		c->mmu.hot.current = &c->idle->task;
	}
	return 0;
}

void sim_sched_exit(void)
{
	while (sim.all)
		sim_thread_free(sim.all);
}
