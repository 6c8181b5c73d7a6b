/* SPDX-License-Identifier: MIT */
/*
 * event.c - what happens at a virtual time: park time-outs and completions.
 *
 * A list sorted by time, equal times in the order of their making. New
 * events are mostly the latest, so insertion looks from the end.
 */
#include "sim_priv.h"

void sim_event_add(struct sim_event *ev, u64 when)
{
	struct sim_event *at;

	sim_event_cancel(ev);
	at = sim.events.prev;
	while (at != &sim.events && at->when > when)
		at = at->prev;
	ev->when = when;
	ev->prev = at;
	ev->next = at->next;
	at->next->prev = ev;
	at->next = ev;
	/* The CPU that runs may have to stop for it earlier than it thought. */
	if (sim.running && sim_this->deadline_ns > when)
		sim_this->deadline_ns = when;
}

void sim_event_cancel(struct sim_event *ev)
{
	if (!ev->next)
		return;
	ev->prev->next = ev->next;
	ev->next->prev = ev->prev;
	ev->next = NULL;
	ev->prev = NULL;
}

/* Time of the next event, UINT64_MAX if there is none. */
u64 sim_event_next(void)
{
	if (sim.events.next == &sim.events)
		return UINT64_MAX;
	return sim.events.next->when;
}

/* Let the next event happen; false if there is none. */
bool sim_event_fire_next(void)
{
	struct sim_event *ev = sim.events.next;

	if (ev == &sim.events)
		return false;
	sim_event_cancel(ev);
	sim.quiet_rounds = 0;
	ev->fire(ev);
	return true;
}

/* Let all events up to NOW happen; true if there was one. */
bool sim_event_fire_due(u64 now)
{
	bool any = false;

	while (sim_event_next() <= now)
		any |= sim_event_fire_next();
	return any;
}
