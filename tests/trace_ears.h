/* SPDX-License-Identifier: MIT */
/*
 * trace_ears.h - for tests in sim: tracepoints are listened to, and what was
 * told is counted and summed.
 *
 *	listen_to("vmscan swap_out");
 *	... what is to be told ...
 *	hush();
 *	CHECK_EQ(count(TRACE_SWAP_OUT, "type", 0, &last), 7);
 *	forget();
 */
#ifndef TESTS_TRACE_EARS_H
#define TESTS_TRACE_EARS_H

#include "sim_machine.h"

#include "base/trace_ring.h"
#include "report/trace_show.h"

#define EARS_RECORDS (1u << 17)

MM_UNUSED static struct trace_record *ears[MM_NR_CPUS];

/* NAMES: events, systems, or both, with blanks between. Nothing is lost. */
MM_UNUSED static void listen_to(const char *names)
{
	for (int i = 0; i < port_nr_cpus(); i++) {
		ears[i] = calloc(EARS_RECORDS, sizeof(*ears[i]));
		CHECK(ears[i] != NULL);
		trace_ring_attach(i, ears[i], EARS_RECORDS);
	}
	for (const char *p = names; *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");
		u32 found = 0;

		for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
			if (!trace_named(i, p, len))
				continue;
			trace_enable((enum trace_event)i);
			found++;
		}
		CHECK(found > 0);
		p += len;
	}
}

MM_UNUSED static void hush(void)
{
	trace_enable_mask(0);
	for (int i = 0; i < port_nr_cpus(); i++)
		CHECK_EQ(trace_lost(i), 0);
}

MM_UNUSED static void forget(void)
{
	for (int i = 0; i < port_nr_cpus(); i++) {
		trace_ring_attach(i, NULL, 0);
		free(ears[i]);
	}
}

/* Does EVENT have a field NAME? One that is misspelt is 0 everywhere. */
static inline bool ears_field(enum trace_event event, const char *name)
{
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(event, f);

	for (u32 i = 0; i < nr; i++)
		if (!strcmp(f[i].name, name))
			return true;
	return false;
}

/* Field NAME of R, which has one. */
MM_UNUSED static u64 field(const struct trace_record *r, const char *name)
{
	CHECK(ears_field((enum trace_event)r->event, name));
	return trace_field(r, name);
}

/* Records of EVENT whose FIELD (NULL: any) is VALUE; the last one to OUT. */
MM_UNUSED static u64 count(enum trace_event event, const char *name, u64 value,
			   struct trace_record *out)
{
	struct trace_cursor c;
	struct trace_record r;
	u64 n = 0;

	CHECK(!name || ears_field(event, name));
	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r)) {
		if (r.event != event ||
		    (name && trace_field(&r, name) != value))
			continue;
		n++;
		if (out)
			*out = r;
	}
	return n;
}

/* All records of EVENT. */
MM_UNUSED static u64 told(enum trace_event event)
{
	return count(event, NULL, 0, NULL);
}

/* The first record of EVENT; there is one. */
MM_UNUSED static struct trace_record first(enum trace_event event)
{
	struct trace_cursor c;
	struct trace_record r;

	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r))
		if (r.event == event)
			return r;
	tm_fail(trace_event_info(event)->name, __FILE__, __LINE__);
}

/* The sum of field NAME over all records of EVENT. */
MM_UNUSED static u64 sum_of(enum trace_event event, const char *name)
{
	struct trace_cursor c;
	struct trace_record r;
	u64 sum = 0;

	CHECK(ears_field(event, name));
	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r))
		if (r.event == event)
			sum += trace_field(&r, name);
	return sum;
}

#endif
