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
 * is not taken: it may fork from a handler of a signal.
 *
 * 5. Before there are hooks. They are registered when a second thread
 * allocates. fork() itself comes here first (the library has the name): a
 * thread that never allocated counts as the second one then, for the first may
 * be inside the machine. While the library boots nobody forks: mt_fork() counts
 * itself at the gate and looks whether a boot has begun; a boot says that it
 * begins and waits until nobody is at the gate. One of them sees the other. A
 * child that finds a boot begun knows that it had not got further. What makes
 *    processes by another name of the C library's (daemon(), forkpty()) does
 *    not pass here.
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
	mt_unlock(&mt_sys.threads_word);
}

static void prepare(void)
{
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
	mt_self.forking = 0;
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

/* Nobody else runs here. */
static void in_child(void)
{
	struct mt_self *t, *next;

	release();
	for (t = mt_sys.threads; t; t = next) {
		next = t->next;
		if (t != &mt_self)
			mt_cache_adopt(t);
	}
	mt_sys.threads = mt_self.life == MT_LIVE ? &mt_self : NULL;
	mt_self.next = mt_self.prev = NULL;
}

/* Registering allocates, which comes here again. */
void mt_hooks(void)
{
	static const char text[] = "mmkit-malloc: no hooks for fork\n";

	if (__atomic_add_fetch(&mt_sys.nr_threads, 1, __ATOMIC_RELAXED) != 2)
		return;
	if (!mt_fork_init())
		mt_say(text, sizeof(text) - 1);
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

/* True: no thread is inside the boot, and none gets there, until gate_leave().
 * False: the library is up, or cannot be. */
static bool gate_enter(void)
{
	u32 state;

	for (;;) {
		__atomic_add_fetch(&mt_sys.at_gate, 1, __ATOMIC_SEQ_CST);
		state = __atomic_load_n(&mt_sys.state, __ATOMIC_SEQ_CST);
		if (state == 0)
			break;
		__atomic_sub_fetch(&mt_sys.at_gate, 1, __ATOMIC_SEQ_CST);
		if (state != 1)
			return false;
		sched_yield();
	}
	mt_self.at_gate = 1;
	return true;
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

static pid_t fork_at_gate(void)
{
	u32 begun = 1;
	pid_t pid = os_fork();

	if (pid) {
		mt_gate_leave();
		return pid;
	}
	/* Those at the gate and who waits for them are not here. */
	if (mt_self.at_gate)
		__atomic_compare_exchange_n(&mt_sys.state, &begun, 0, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	mt_self.at_gate = 0;
	__atomic_store_n(&mt_sys.at_gate, 0, __ATOMIC_SEQ_CST);
	return 0;
}

/* The hooks that are due are there: also if another thread is about to. */
static void hooks_first(void)
{
	if (mt_self.life != MT_LIVE && !mt_sys.direct)
		mt_hooks();
	if (!mt_sys.direct &&
	    __atomic_load_n(&mt_sys.nr_threads, __ATOMIC_RELAXED) < 2)
		return;
	while (!__atomic_load_n(&mt_sys.hooked, __ATOMIC_ACQUIRE))
		sched_yield();
}

pid_t mt_fork(void)
{
	u32 state = __atomic_load_n(&mt_sys.state, __ATOMIC_ACQUIRE);

	if (state < 2 && gate_enter())
		return fork_at_gate();
	if (__atomic_load_n(&mt_sys.state, __ATOMIC_ACQUIRE) == 2)
		hooks_first();
	return os_fork();
}
