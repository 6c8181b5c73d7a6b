/* SPDX-License-Identifier: MIT */
/*
 * mt_fork.c - fork() in programs with threads.
 *
 * 1. Purpose. The child can allocate, whatever the parent's other threads were
 *    doing, and keeps nothing that only those could have used.
 *
 * 2. Way. Threads with magazines are in a list. Before fork all words of the
 *    library are taken, each thread's own included: so nobody is inside the
 *    machine, and no thread is rearranging its magazines. A thread may be in
 *    one of the short ways; it stops there between two stores, and at each of
 *    these points its magazines are whole (an object handed out is named until
 *    the top moves, one that comes back is named before it does). In the child
 *    these threads are gone and their thread-local memory still there: their
 *    magazines go to depots and slabs.
 *
 * 3. Invariants.
 *    MF-1  Every thread whose life is MT_LIVE is in the list.
 *    MF-2  In the child, once the handler ran, the list has the one thread.
 *
 * 4. Locking. threads_word, then the threads' own words, then depots, meta,
 *    slots, grow, packs, then those of the modes. The forking thread's own word
 *    is not taken: it may fork from a handler of a signal.
 *
 * 5. Before there are hooks. They are registered when a second thread
 *    allocates. fork() itself comes here first (the library has the name): a
 *    thread that forks counts as one that allocates, for the first may be
 *    inside the machine.
 *
 *    The C library runs the handlers that were there when the fork began, and
 *    lets others be registered meanwhile. So a fork that begins while there is
 *    one thread says so (nr_forks) before it looks at the number of threads,
 *    and a thread that comes alive counts itself before it looks whether there
 *    are such forks, and waits for their end. One of them sees the other.
 *
 *    While the library boots nobody forks: mt_fork() counts itself at the gate
 *    and looks whether a boot has begun; a boot says that it begins and waits
 *    until nobody is at the gate. A child that finds a boot begun knows that it
 *    had not got further.
 *
 *    What makes processes by another name of the C library's (daemon(),
 *    forkpty()) does not pass here.
 *
 * 6. What stays lost. An object that a short way had taken from a magazine
 *    and not yet returned, and all that the other threads held themselves.
 */
#include <sched.h>
#include <unistd.h>

#include "mt.h"

void mt_thread_add(void)
{
	mt_lock(&mt_sys.threads_word);
	mt_self.next = mt_sys.threads;
	mt_self.prev = NULL;
	if (mt_sys.threads)
		mt_sys.threads->prev = &mt_self;
	mt_sys.threads = &mt_self;
	WRITE_ONCE(mt_sys.nr_live, mt_sys.nr_live + 1);
	mt_unlock(&mt_sys.threads_word);
}

void mt_thread_del(void)
{
	mt_lock(&mt_sys.threads_word);
	if (mt_self.prev)
		mt_self.prev->next = mt_self.next;
	else
		mt_sys.threads = mt_self.next;
	if (mt_self.next)
		mt_self.next->prev = mt_self.prev;
	mt_self.next = mt_self.prev = NULL;
	WRITE_ONCE(mt_sys.nr_live, mt_sys.nr_live - 1);
	mt_unlock(&mt_sys.threads_word);
}

static void prepare(void)
{
	if (mt_self.forking) {
		mt_self.forking++; /* registered twice: see in_child() */
		return;
	}
	mt_lock(&mt_sys.threads_word);
	for (struct mt_self *t = mt_sys.threads; t; t = t->next) {
		if (t != &mt_self)
			mt_lock(&t->word);
	}
	for (u32 c = 0; c < MT_NR_CLASSES; c++)
		mt_lock(&mt_sys.depot[c].word);
	mt_lock(&mt_sys.meta_word);
	for (u32 i = 0; i < mt_sys.nr_slots; i++)
		mt_lock(&mt_slot(i)->word);
	mt_lock(&mt_sys.grow_word);
	mt_pack_lock();
	mt_guard_lock();
	mt_self.forking = 1;
}

static void release(void)
{
	if (--mt_self.forking)
		return;
	mt_guard_unlock();
	mt_pack_unlock();
	mt_unlock(&mt_sys.grow_word);
	for (u32 i = 0; i < mt_sys.nr_slots; i++)
		mt_unlock(&mt_slot(i)->word);
	mt_unlock(&mt_sys.meta_word);
	for (u32 c = 0; c < MT_NR_CLASSES; c++)
		mt_unlock(&mt_sys.depot[c].word);
	for (struct mt_self *t = mt_sys.threads; t; t = t->next) {
		if (t != &mt_self)
			mt_unlock(&t->word);
	}
	mt_unlock(&mt_sys.threads_word);
}

/* Nobody else runs here. A child whose parent was about to note that the hooks
 * are there registers them again. */
static void in_child(void)
{
	struct mt_self *t, *next;

	release();
	if (mt_self.forking)
		return;
	for (t = mt_sys.threads; t; t = next) {
		next = t->next;
		if (t != &mt_self)
			mt_cache_adopt(t);
	}
	mt_sys.threads = mt_self.life == MT_LIVE ? &mt_self : NULL;
	mt_self.next = mt_self.prev = NULL;
	mt_sys.nr_live = mt_sys.threads != NULL;
}

static bool hooks_due(void)
{
	return mt_sys.direct ||
	       __atomic_load_n(&mt_sys.nr_threads, __ATOMIC_SEQ_CST) > 1;
}

static void wait_hooked(void)
{
	while (!__atomic_load_n(&mt_sys.hooked, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* The second thread registers, those after it wait; and all for the forks that
 * began without hooks, for their children must find no word taken. */
void mt_hooks(void)
{
	static const char text[] = "mmkit-malloc: no hooks for fork\n";
	bool counted = mt_self.counted;

	mt_self.counted = 1;
	if (!counted && !mt_sys.direct &&
	    __atomic_add_fetch(&mt_sys.nr_threads, 1, __ATOMIC_SEQ_CST) == 2 &&
	    !mt_fork_init())
		mt_say(text, sizeof(text) - 1);
	if (mt_self.in_fork)
		return;
	if (hooks_due())
		wait_hooked();
	while (__atomic_load_n(&mt_sys.nr_forks, __ATOMIC_SEQ_CST))
		sched_yield();
}

bool mt_fork_init(void)
{
	bool ok = pthread_atfork(prepare, release, in_child) == 0;

	__atomic_store_n(&mt_sys.hooked, true, __ATOMIC_RELEASE);
	return ok;
}

/* ---- fork() itself
 * ----------------------------------------------------------------- */

#ifdef MT_PRELOAD
pid_t __fork(void); /* the C library's, by its other name */
#define os_fork __fork
#else
#define os_fork fork
#endif

static u32 lib_state(void)
{
	return __atomic_load_n(&mt_sys.state, __ATOMIC_SEQ_CST);
}

/* No thread is inside the boot, and none gets there, until mt_gate_leave();
 * or the library is up, or cannot be. */
static void gate_enter(void)
{
	u32 state;

	for (;;) {
		__atomic_add_fetch(&mt_sys.at_gate, 1, __ATOMIC_SEQ_CST);
		state = lib_state();
		if (state == 0)
			break;
		__atomic_sub_fetch(&mt_sys.at_gate, 1, __ATOMIC_SEQ_CST);
		if (state != 1)
			return;
		sched_yield();
	}
	mt_self.at_gate = 1;
}

void mt_gate_leave(void)
{
	if (!mt_self.at_gate)
		return;
	mt_self.at_gate = 0;
	__atomic_sub_fetch(&mt_sys.at_gate, 1, __ATOMIC_SEQ_CST);
}

/* One of fork's handlers boots: then the C library lets no other fork go on,
 * and those at the gate would be waited for in vain. */
void mt_gate_wait(void)
{
	while (!mt_self.at_gate &&
	       __atomic_load_n(&mt_sys.at_gate, __ATOMIC_SEQ_CST))
		sched_yield();
}

static void fork_ends(void)
{
	mt_self.in_fork = 0;
	__atomic_sub_fetch(&mt_sys.nr_forks, 1, __ATOMIC_SEQ_CST);
}

/* Those at the gate, who waits for them and who was about to register are not
 * here. */
static void child_begins(void)
{
	u32 begun = 1;

	if (mt_self.at_gate)
		__atomic_compare_exchange_n(&mt_sys.state, &begun, 0, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	mt_self.at_gate = 0;
	mt_self.in_fork = 0;
	if (!mt_sys.hooked)
		mt_sys.nr_threads = mt_self.counted;
	__atomic_store_n(&mt_sys.at_gate, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&mt_sys.nr_forks, 0, __ATOMIC_SEQ_CST);
}

/* True: this fork needs no hooks, and nobody gets into the machine before
 * fork_ends(). */
static bool fork_begins(void)
{
	mt_self.in_fork = 1;
	__atomic_add_fetch(&mt_sys.nr_forks, 1, __ATOMIC_SEQ_CST);
	if (!hooks_due())
		return true;
	fork_ends();
	wait_hooked();
	return false;
}

static void fork_is_over(pid_t pid, bool counted)
{
	if (!pid) {
		child_begins();
		return;
	}
	mt_gate_leave();
	if (counted)
		fork_ends();
}

pid_t mt_fork(void)
{
	bool counted;
	pid_t pid;

	if (lib_state() < 2)
		gate_enter();
	/* A thread that forks counts as one that allocates. */
	if (!mt_self.at_gate && lib_state() == 2)
		mt_hooks();
	counted = lib_state() != 3 && fork_begins();
	pid = os_fork();
	fork_is_over(pid, counted);
	return pid;
}
