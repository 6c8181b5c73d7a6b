/* SPDX-License-Identifier: MIT */
/*
 * Files for Perfetto: what is against the format's description is found, by
 * one document for each rule; and what is written of a million events, from
 * several CPUs and threads, with spans that are left open and ends without a
 * begin, is sound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/prng.h"
#include "base/trace_ring.h"
#include "base_seed.h"
#include "events.h"
#include "perfetto_check.h"

#define DOC(events)  "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[" events "]}"
#define EV(ph, rest) "{\"ph\":\"" ph "\",\"pid\":1,\"tid\":2," rest "}"
#define AT(t)	     "\"name\":\"n\",\"ts\":" t

static void broken(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "neither"},
		{"{}", "key and a colon"},
		{"{\"a\":1}", "no traceEvents"},
		{"{\"traceEvents\":{}}", "no array"},
		{"{\"traceEvents\":[],\"traceEvents\":[]}", "twice"},
		{"{\"displayTimeUnit\":\"s\",\"traceEvents\":[]}",
		 "displayTime"},
		{DOC("") "x", "follows"},
		{DOC("1"), "no object"},
		{DOC("{\"ph\":\"B\",\"ph\":\"B\"}"), "duplicate"},
		{DOC("{}"), "phase"},
		{DOC(EV("Q", AT("1"))), "phase"},
		{DOC(EV("i", "\"ts\":1")), "no name"},
		{DOC(EV("i", "\"name\":\"\",\"ts\":1")), "empty name"},
		{DOC(EV("i", AT("\"1\""))), "ts is not"},
		{DOC(EV("i", AT("-1"))), "less than 0"},
		{DOC("{\"ph\":\"i\",\"pid\":\"1\",\"tid\":2," AT("1") "}"),
		 "pid is not"},
		{DOC("{\"ph\":\"i\",\"pid\":1," AT("1") "}"), "tid is not"},
		{DOC(EV("i", AT("1") ",\"s\":\"x\"")), "scope"},
		{DOC(EV("i", AT("1") ",\"cat\":1")), "cat"},
		{DOC(EV("i", AT("1") ",\"args\":[]")), "args"},
		{DOC(EV("i", AT("2")) "," EV("i", AT("1"))), "goes back"},
		{DOC(EV("E", AT("1"))), "not begun"},
		{DOC(EV("B", AT("1"))), "do not end"},
		{DOC(EV("B", AT("1")) "," EV("E", "\"name\":\"m\",\"ts\":2")),
		 "while"},
		{DOC(EV("X", AT("1"))), "dur is not"},
		{DOC(EV("C", AT("1"))), "without values"},
		{DOC(EV("C", AT("1") ",\"args\":{\"v\":\"1\"}")), "no number"},
		{DOC(EV("M", "\"name\":\"thread_name\"")), "args.name"},
		{DOC(EV("M", "\"name\":\"thread_colour\"")), "metadata"},
		{DOC(EV("i", AT("1")) ","), "no JSON"},
		{"{\"traceEvents\":[" EV("i", AT("1")), "does not end"},
	};
	struct perfetto_check c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (perfetto_check(rows[i].text, strlen(rows[i].text), &c))
			fail_msg("taken: %s", rows[i].text);
		if (!strstr(c.error, rows[i].why))
			fail_msg("%s: '%s', not '%s'", rows[i].text, c.error,
				 rows[i].why);
	}
}

static void sound(void **state)
{
	static const char text[] = DOC(
		EV("M", "\"name\":\"thread_name\",\"args\":{\"name\":\"t\"}") "," EV("B", AT("1.5")) "," EV(
			"i",
			AT("1.5") ",\"s\":\"t\"") "," EV("E",
							 "\"ts\":2") "," EV("X",
									    AT("3") ",\"dur\":0") "," EV("C",
													 AT("0") ",\"args\":{\"v\":1.5}"));
	struct perfetto_check c;

	(void)state;
	assert_true(perfetto_check(text, strlen(text), &c));
	assert_int_equal(c.events, 6);
	assert_int_equal(c.spans, 2);
	assert_int_equal(c.instants, 1);
	assert_int_equal(c.counters, 1);
	assert_true(perfetto_check("[]", 2, &c));
}

/* Where everything is checked a tenth has to do. */
#if MM_DEBUG || defined(__SANITIZE_ADDRESS__)
#define EVENTS 100000u
#else
#define EVENTS 1000000u
#endif

/* Any event of any thread, spans' ends and begins among them. */
static void million(void **state)
{
	u64 seed = test_env("SEED", 1);
	char path[] = "/tmp/mmkit-perfetto-XXXXXX";
	struct perfetto_check c;
	struct prng rng;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	test_seed(&rng, "million");
	perfetto_open(path);
	for (u32 i = 0; i < EVENTS; i++) {
		struct trace_record r = {
			.ns = i * 100ul,
			.event = (u16)(prng_u64(&rng) % NR_TRACE_EVENTS),
			.cpu = (u16)(prng_u64(&rng) % 4),
			.pid = 1 + (u32)(prng_u64(&rng) % 40),
			.comm = "a \"name\"\\"};

		for (u32 a = 0; a < TRACE_ARGS; a++)
			r.arg[a] = prng_u64(&rng) >> prng_u64(&rng) % 64;
		perfetto_record(&r);
	}
	perfetto_close(EVENTS * 100ul);
	if (!perfetto_check_file(path, &c))
		fail_msg("event %llu: %s (seed %llu)",
			 (unsigned long long)c.event, c.error,
			 (unsigned long long)seed);
	unlink(path);
	assert_int_equal(c.instants, EVENTS);
	assert_true(c.spans > 1000);
	assert_int_equal(c.tracks, 44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken),
		cmocka_unit_test(sound),
		cmocka_unit_test(million),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
