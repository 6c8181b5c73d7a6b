/* SPDX-License-Identifier: MIT */
/*
 * thread.c - threads and CPU slots of the host world.
 *
 * A slot is claimed before its thread exists, so that running out of slots
 * is an error of the start and not a thread that hangs. The slot's idle task
 * stands for "nobody": the switch hook is told idle -> task when a thread
 * takes the slot and task -> idle when it leaves, in the thread itself.
 *
 * Park is a mutex, a condition and a flag in each thread. The unparker holds
 * the mutex while it signals, so a thread that is joined right after its
 * wake-up is not freed under the unparker's hands only if the caller keeps it
 * alive until port_unpark() returns: that is the caller's duty, as always.
 */
#include "host_priv.h"

#include "base/seqbuf.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPIN_ROUNDS 100 /* busy rounds before the host's scheduler is asked */

#define SELF_NONE ((struct host_self){.cpu = MM_NR_CPUS})

__thread struct host_self host_self = {.cpu = MM_NR_CPUS};

static pthread_key_t detach_key;
static pthread_once_t detach_once = PTHREAD_ONCE_INIT;

/* ---- slots ------------------------------------------------------------------
 */

/* A free slot, on NODE if there is one; -1 if all are taken. Locked. */
static int free_slot(int node)
{
	int i, other = -1;

	for (i = 0; i < host.nr_cpus; i++) {
		if (host_cpus[i].owner)
			continue;
		if (node < 0 || host_cpus[i].node == node)
			return i;
		if (other < 0)
			other = i;
	}
	return other;
}

/* Somebody takes slot CPU. Locked. */
static void make_slot(int cpu)
{
	struct host_cpu *c = &host_cpus[cpu];

	if (c->idle.flags)
		return;
	c->root_pfn = HOST_NO_ROOT;
	c->idle.flags = PF_KTHREAD;
	(void)mm_snprintf(c->idle.comm, sizeof(c->idle.comm), "idle/%u",
			  (u32)cpu % 100);
}

/* Give T a slot; wait for one if WAIT. False if there is none. */
static bool claim_slot(struct port_thread *t, int node, bool wait)
{
	int cpu;

	pthread_mutex_lock(&host.lock);
	while ((cpu = free_slot(node)) < 0 && wait)
		pthread_cond_wait(&host.freed, &host.lock);
	if (cpu >= 0) {
		make_slot(cpu);
		host_cpus[cpu].owner = t;
		t->cpu = cpu;
	}
	pthread_mutex_unlock(&host.lock);
	return cpu >= 0;
}

static void release_slot(struct port_thread *t)
{
	pthread_mutex_lock(&host.lock);
	host_cpus[t->cpu].owner = NULL;
	pthread_cond_signal(&host.freed);
	pthread_mutex_unlock(&host.lock);
}

/* Slots in use, other than by the caller. */
int host_slots_used(void)
{
	int i, n = 0;

	pthread_mutex_lock(&host.lock);
	for (i = 0; i < host.nr_cpus; i++) {
		if (host_cpus[i].owner &&
		    host_cpus[i].owner != host_self.thread)
			n++;
	}
	pthread_mutex_unlock(&host.lock);
	return n;
}

/* ---- being a thread
 * ------------------------------------------------------------ */

/* The calling pthread becomes T, which has a slot. */
static void enter(struct port_thread *t)
{
	struct host_cpu *c = &host_cpus[t->cpu];

	host_self = (struct host_self){.task = &t->task,
				       .thread = t,
				       .cpu = t->cpu,
				       .irq_off = t->in_irq,
				       .in_irq = t->in_irq};
	if (!host.switch_hook || t->no_slot)
		return;
	port_pin();
	host.switch_hook(&c->idle, &t->task);
	port_unpin();
}

/* T's pthread stops being it and gives the slot back. */
static void leave(struct port_thread *t)
{
	struct host_cpu *c = &host_cpus[t->cpu];

	if (host_self.pin || (host_self.irq_off && !t->in_irq))
		host_bug("a thread ends pinned or with interrupts off");
	if (t->no_slot) {
		host_self = SELF_NONE;
		return;
	}
	if (host.switch_hook) {
		port_pin();
		host.switch_hook(&t->task, &c->idle);
		port_unpin();
	}
	c->root_pfn = HOST_NO_ROOT;
	release_slot(t);
	host_self = SELF_NONE;
}

static void init_wake(struct port_thread *t)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &attr);
	pthread_condattr_destroy(&attr);
}

/* Allocate a thread with a slot (without waiting for one). */
int host_thread_new(struct port_thread **out, const char *name, int node,
		    u32 flags, bool irq)
{
	struct port_thread *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (!host.up || !claim_slot(t, node, false)) {
		free(t);
		return -EAGAIN;
	}
	strncpy(t->name, name, sizeof(t->name) - 1);
	strncpy(t->task.comm, name, sizeof(t->task.comm) - 1);
	t->task.flags = flags;
	t->task.thread = t;
	t->in_irq = irq;
	init_wake(t);
	*out = t;
	return 0;
}

static void thread_free(struct port_thread *t)
{
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->wake);
	free(t);
}

/* Undo host_thread_new() of a thread that never ran. */
void host_thread_drop(struct port_thread *t)
{
	release_slot(t);
	thread_free(t);
}

static void *thread_entry(void *arg)
{
	struct port_thread *t = arg;

	enter(t);
	t->fn(t->arg);
	leave(t);
	return NULL;
}

/* Let T run FN(ARG). On failure T stays as it was. */
int host_thread_go(struct port_thread *t, void (*fn)(void *arg), void *arg)
{
	t->fn = fn;
	t->arg = arg;
	t->joinable = true;
	return pthread_create(&t->handle, NULL, thread_entry, t) ? -EAGAIN : 0;
}

static int start(struct port_thread **out, const char *name, int node,
		 void (*fn)(void *arg), void *arg, u32 flags)
{
	struct port_thread *t;
	int err = host_thread_new(&t, name, node, flags, false);

	if (err)
		return err;
	err = host_thread_go(t, fn, arg);
	if (err) {
		host_thread_drop(t);
		return err;
	}
	*out = t;
	return 0;
}

int port_thread_start(struct port_thread **out, const char *name, int node,
		      void (*fn)(void *arg), void *arg)
{
	return start(out, name, node, fn, arg, PF_KTHREAD);
}

int host_thread_start(struct port_thread **out, const char *name,
		      void (*fn)(void *arg), void *arg)
{
	return start(out, name, -1, fn, arg, 0);
}

struct mm_task *host_thread_task(struct port_thread *t)
{
	return &t->task;
}

void port_thread_join(struct port_thread *t)
{
	pthread_join(t->handle, NULL);
	thread_free(t);
}

struct port_thread *port_self(void)
{
	return port_current()->thread;
}

/* ---- threads of the program's own
 * ------------------------------------------------ */

static void detach(void *arg)
{
	struct port_thread *t = arg;

	leave(t);
	thread_free(t);
}

static void make_key(void)
{
	if (pthread_key_create(&detach_key, detach))
		host_bug("no thread-specific key");
}

/*
 * First call into the manager by a thread that host.h did not start. While
 * there is no machine it gets a task but no slot: enough for locks and lists.
 */
void host_attach(void)
{
	struct port_thread *t = calloc(1, sizeof(*t));
	u32 pin;

	if (!t)
		host_bug("host_attach: no memory");
	strncpy(t->name, "attached", sizeof(t->name) - 1);
	strncpy(t->task.comm, "attached", sizeof(t->task.comm) - 1);
	t->task.flags = PF_KTHREAD;
	t->task.thread = t;
	init_wake(t);
	t->no_slot = !host.up;
	if (host.up)
		claim_slot(t, -1, true);
	pthread_once(&detach_once, make_key);
	pthread_setspecific(detach_key, t);
	/* The thread may have pinned before it asked for its CPU. */
	pin = host_self.pin;
	enter(t);
	host_self.pin = pin;
}

void host_detach(void)
{
	struct port_thread *t = host_self.thread;

	if (!t || t->joinable)
		return;
	pthread_setspecific(detach_key, NULL);
	detach(t);
}

/* ---- park
 * --------------------------------------------------------------------- */

static struct timespec deadline(u64 timeout_ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	timeout_ns += (u64)ts.tv_nsec;
	ts.tv_sec += (time_t)(timeout_ns / 1000000000);
	ts.tv_nsec = (long)(timeout_ns % 1000000000);
	return ts;
}

bool port_park(u64 timeout_ns)
{
	struct port_thread *t = port_self();
	bool forever = timeout_ns > (u64)1 << 62, had;
	struct timespec until = {0};
	int err = 0;

	if (host_self.pin || host_self.irq_off)
		host_bug("port_park: may not sleep here");
	if (!forever)
		until = deadline(timeout_ns);
	pthread_mutex_lock(&t->lock);
	while (!t->permit && !err)
		err = forever ? pthread_cond_wait(&t->wake, &t->lock)
			      : pthread_cond_timedwait(&t->wake, &t->lock,
						       &until);
	had = t->permit;
	t->permit = false;
	pthread_mutex_unlock(&t->lock);
	return had;
}

void port_unpark(struct port_thread *t)
{
	pthread_mutex_lock(&t->lock);
	t->permit = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
}

/* ---- busy waits
 * ------------------------------------------------------------------ */

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/* The holder may be off its CPU: wait actively for a while, then yield. */
void host_spin_wait(u32 *word)
{
	int i;

	for (i = 0; i < SPIN_ROUNDS; i++) {
		if (!__atomic_load_n(word, __ATOMIC_RELAXED))
			return;
		pause_cpu();
	}
	sched_yield();
}

void host_yield(void)
{
	pause_cpu();
	sched_yield();
}
