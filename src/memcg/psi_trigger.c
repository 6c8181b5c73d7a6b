/* SPDX-License-Identifier: MIT */
/*
 * psi_trigger.c - telling somebody when too much time is lost.
 *
 * 1. Purpose. Who manages load wants to act when a group (or the machine) lost
 *    more than so many milliseconds within a window, and to sleep otherwise.
 *
 * 2. Way. A trigger keeps the total at the last SLICES moments, a tenth of its
 *    window apart: what was lost in the window is the total now less the one
 *    that far back, exact to a slice. One thread looks at all triggers, each
 *    when its slice is over; there is none while there is no trigger. What it
 *    finds is an event, at most one in a window: it stays until who asked has
 *    taken it.
 *
 * 3. Locking. Two mutexes: monitor_lock for the thread's life, taken by who
 *    makes or ends a trigger; inside it trigger_lock for the list, which the
 *    thread takes too. A group's lost time has a lock of its own (psi.c). A
 *    trigger keeps its group in memory, not online.
 *
 * 4. Failure. No memory, no thread: nothing was made.
 *
 * Reference: Linux documentation, accounting/psi (monitoring for pressure
 * thresholds).
 */
#include "memcg/psi_trigger.h"

#include <mmkit/errno.h>
#include <mmkit/port.h>

#include "base/string.h"
#include "memcg/memcg.h"

/* ---- what is asked for
 * ------------------------------------------------------------ */

static const char *skip(const char *at)
{
	while (*at == ' ')
		at++;
	return at;
}

/* A number of microseconds; NULL: there is none. */
static const char *number(const char *at, u64 *out)
{
	u64 n = 0;

	at = skip(at);
	if (*at < '0' || *at > '9')
		return NULL;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (n > UINT32_MAX)
			return NULL;
		n = n * 10 + (u64)(*at - '0');
	}
	*out = n;
	return at;
}

int psi_trigger_parse(const char *text, struct psi_trigger *t)
{
	u64 threshold, window;

	text = skip(text);
	if (!mm_strncmp(text, "some ", 5))
		t->kind = PSI_SOME;
	else if (!mm_strncmp(text, "full ", 5))
		t->kind = PSI_FULL;
	else
		return -EINVAL;
	text = number(text + 5, &threshold);
	if (text && *text == ' ')
		text = number(text, &window);
	else
		text = NULL;
	if (!text)
		return -EINVAL;
	text = skip(text);
	if (*text == '\n')
		text++;
	if (*text || window < PSI_WINDOW_MIN_US || window > PSI_WINDOW_MAX_US ||
	    !threshold || threshold > window)
		return -EINVAL;
	t->threshold_ns = threshold * 1000;
	t->window_ns = window * 1000;
	return 0;
}

/* ---- looking
 * ---------------------------------------------------------------------- */

static void trigger_look(struct psi_trigger *t, u64 now)
{
	u64 total = psi_total(t->memcg, t->kind);

	if (total - t->past[t->at] >= t->threshold_ns &&
	    now >= t->quiet_until_ns) {
		t->quiet_until_ns = now + t->window_ns;
		__atomic_store_n(&t->event, true, __ATOMIC_RELEASE);
		wake_up_all(&t->wait);
	}
	t->past[t->at] = total;
	t->at = (t->at + 1) % PSI_SLICES;
	t->next_ns = now + t->window_ns / PSI_SLICES;
}

u64 psi_triggers_look(void)
{
	u64 now = port_now_ns(), next = UINT64_MAX;
	struct psi_trigger *t;

	mutex_lock(&memcg_sys.trigger_lock);
	list_for_each_entry (t, &memcg_sys.triggers, list) {
		if (t->next_ns <= now)
			trigger_look(t, now);
		next = min(next, t->next_ns);
	}
	mutex_unlock(&memcg_sys.trigger_lock);
	return next;
}

static void monitor(void *arg)
{
	(void)arg;
	while (!READ_ONCE(memcg_sys.monitor_stop)) {
		u64 next = psi_triggers_look(), now = port_now_ns();

		if (next == UINT64_MAX)
			(void)port_park(UINT64_MAX);
		else if (next > now)
			(void)port_park(next - now);
	}
}

/* ---- making and ending
 * ------------------------------------------------------------ */

/* The group ID, online, for T to watch. 0, -ENOENT. */
static int watch_group(struct psi_trigger *t, u16 id)
{
	t->memcg = memcg_get(id);
	if (!id)
		return 0;
	if (t->memcg && READ_ONCE(t->memcg->online)) {
		__atomic_fetch_add(&t->memcg->watchers, 1, __ATOMIC_RELAXED);
		return 0;
	}
	if (t->memcg)
		memcg_put(t->memcg, 1);
	return -ENOENT;
}

static void unwatch_group(struct psi_trigger *t)
{
	if (!t->memcg)
		return;
	__atomic_fetch_sub(&t->memcg->watchers, 1, __ATOMIC_RELAXED);
	memcg_put(t->memcg, 1);
}

/* T is looked at no more. True: it was the last one. */
static bool trigger_unlist(struct psi_trigger *t)
{
	bool last;

	mutex_lock(&memcg_sys.trigger_lock);
	list_del(&t->list);
	last = list_empty(&memcg_sys.triggers);
	mutex_unlock(&memcg_sys.trigger_lock);
	return last;
}

int psi_trigger_start(struct psi_trigger *t, u16 id)
{
	int err = watch_group(t, id);

	if (err)
		return err;
	init_waitqueue_head(&t->wait);
	mutex_lock(&memcg_sys.monitor_lock);
	mutex_lock(&memcg_sys.trigger_lock);
	t->next_ns = port_now_ns() + t->window_ns / PSI_SLICES;
	for (u32 i = 0; i < PSI_SLICES; i++)
		t->past[i] = psi_total(t->memcg, t->kind);
	list_add_tail(&t->list, &memcg_sys.triggers);
	mutex_unlock(&memcg_sys.trigger_lock);
	if (memcg_sys.monitor)
		port_unpark(memcg_sys.monitor);
	else
		err = port_thread_start(&memcg_sys.monitor, "psimon", -1,
					monitor, NULL);
	if (err)
		trigger_unlist(t);
	mutex_unlock(&memcg_sys.monitor_lock);
	if (err)
		unwatch_group(t);
	return err;
}

void psi_trigger_end(struct psi_trigger *t)
{
	mutex_lock(&memcg_sys.monitor_lock);
	if (trigger_unlist(t)) {
		WRITE_ONCE(memcg_sys.monitor_stop, true);
		port_unpark(memcg_sys.monitor);
		port_thread_join(memcg_sys.monitor);
		memcg_sys.monitor = NULL;
		WRITE_ONCE(memcg_sys.monitor_stop, false);
	}
	mutex_unlock(&memcg_sys.monitor_lock);
	unwatch_group(t);
}

bool psi_trigger_take(struct psi_trigger *t)
{
	return __atomic_exchange_n(&t->event, false, __ATOMIC_ACQ_REL);
}

bool psi_trigger_dead(const struct psi_trigger *t)
{
	return t->memcg && !READ_ONCE(t->memcg->online);
}
