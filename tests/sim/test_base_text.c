/* SPDX-License-Identifier: MIT */
/*
 * test_base_text.c - formatting against the libc's, output buffers, the log,
 * warnings, fault injection, tracing, strings, random numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <mmkit/errno.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "base_seed.h"
#include "sim.h"

/* ---- formatting
 * ---------------------------------------------------------------- */

/* The formats are made at run time: that is the point of the test. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

/* Unchecked: it is given unknown conversions too. */
static int ours(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = mm_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

/* Both write the same SIZE bytes and return the same. */
static void same(size_t size, const char *fmt, ...)
{
	static char a[512], b[512];
	va_list ap, again;
	int na, nb;

	memset(a, 'z', sizeof(a));
	memset(b, 'z', sizeof(b));
	va_start(ap, fmt);
	va_copy(again, ap);
	na = mm_vsnprintf(a, size, fmt, ap);
	nb = vsnprintf(b, size, fmt, again);
	va_end(again);
	va_end(ap);
	if (na != nb || memcmp(a, b, sizeof(a)) != 0)
		fail_msg("\"%s\": ours \"%.200s\" (%d), libc \"%.200s\" (%d)",
			 fmt, a, na, b, nb);
}

/* A random "%flags width .precision size conv" into FMT. */
static void make_format(struct prng *r, char *fmt, const char *convs,
			const char *size)
{
	const char flags[] = "-+ #0";
	int n = 0;

	fmt[n++] = '<';
	fmt[n++] = '%';
	while (prng_below(r, 2))
		fmt[n++] = flags[prng_below(r, 5)];
	if (prng_below(r, 2))
		n += sprintf(fmt + n, "%d", (int)prng_range(r, 1, 30));
	if (prng_below(r, 2))
		n += sprintf(fmt + n, ".%d", (int)prng_below(r, 25));
	n += sprintf(fmt + n, "%s%c>", size,
		     convs[prng_below(r, strlen(convs))]);
}

static void printf_random_int(struct prng *r)
{
	static const char *const size[] = {"",	 "hh", "h", "l",
					   "ll", "z",  "j", "t"};
	u64 k = prng_below(r, 8), v = prng_u64(r) >> prng_below(r, 64);
	size_t room = prng_one_in(r, 4) ? prng_below(r, 20) : 512;
	char fmt[64];

	if (prng_one_in(r, 8))
		v = prng_below(r, 2) ? 0 : 1ul << (7 + 8 * prng_below(r, 8));
	if (prng_below(r, 2))
		v = -v;
	make_format(r, fmt, "diuxXo", size[k]);
	if (k < 3)
		same(room, fmt, (int)v);
	else
		same(room, fmt, v);
}

static void printf_random(void **state)
{
	static const char *const text[] = {"", "a", "frame", "migratetype"};
	struct prng r;
	char fmt[64];

	(void)state;
	test_seed(&r, "printf_random");
	for (u64 k = test_iters(200000); k > 0; k--) {
		printf_random_int(&r);
		make_format(&r, fmt, "s", "");
		same(512, fmt, text[prng_below(&r, 4)]);
	}
}

static void printf_fixed(void **state)
{
	char buf[8];

	(void)state;
	same(512, "%c%5c%-5c|", 'a', 'b', 'c');
	same(512, "%p %20p %-20p|", (void *)0x1234, (void *)1, (void *)-1ul);
	same(512, "%p|%8p", NULL, NULL);
	same(512, "%*d|%-*d|%.*d|", 7, 42, 7, 42, 5, 42);
	same(512, "%*d|%.*d|", -7, 42, -1, 42);
	same(512, "%s|%.3s|%.*s|%5.1s", "abcdef", "abcdef", 2, "abc", "xyz");
	same(512, "100%% %d%%", 5);
	same(512, "%.0d|%.0x|%#.0o|%+.0d", 0, 0, 0, 0);
	same(512, "%lld %lld %d", INT64_MIN, INT64_MAX, INT32_MIN);
	same(512, "%#x %#X %#o %#x", 255, 255, 8, 0);
	same(5, "%s", "abcdefgh");
	same(1, "%d", 12345);
	assert_int_equal(ours(NULL, 0, "%s", "abc"), 3);
	assert_int_equal(ours(buf, 8, "%s", (char *)NULL), 6);
	assert_string_equal(buf, "(null)");
	ours(buf, 8, "%y|");
	assert_string_equal(buf, "%y|");
	ours(buf, 8, "a%");
	assert_string_equal(buf, "a%");
	assert_int_equal(mm_scnprintf(buf, 8, "%d", 123456789), 7);
	assert_int_equal(mm_scnprintf(buf, 0, "%d", 1), 0);
	assert_int_equal(mm_snprintf(buf, 8, "%d", 123456789), 9);
	assert_string_equal(buf, "1234567");
}

struct collect {
	char text[4096];
	size_t len;
	u32 calls;
};

static void collect_flush(void *arg, const char *text, size_t len)
{
	struct collect *c = arg;

	assert_true(len > 0 && c->len + len < sizeof(c->text));
	memcpy(c->text + c->len, text, len);
	c->len += len;
	c->text[c->len] = '\0';
	c->calls++;
}

static void seqbuf_both_kinds(void **state)
{
	static struct collect c;
	static char expect[4096];
	char small[8];
	struct seq_buf s;

	(void)state;
	seq_buf_init(&s, small, sizeof(small));
	seq_puts(&s, "abc");
	seq_putc(&s, 'd');
	assert_false(seq_buf_has_overflowed(&s));
	assert_string_equal(seq_buf_str(&s), "abcd");
	seq_printf(&s, "%d", 123456);
	assert_true(seq_buf_has_overflowed(&s));
	assert_string_equal(seq_buf_str(&s), "abcd123");

	seq_buf_init_sink(&s, small, sizeof(small), collect_flush, &c);
	for (int i = 0; i < 100; i++) {
		seq_printf(&s, "%d:%s;", i, "some text");
		sprintf(expect + strlen(expect), "%d:%s;", i, "some text");
	}
	seq_buf_flush(&s);
	assert_string_equal(c.text, expect);
	assert_true(c.calls > 100);
	assert_false(seq_buf_has_overflowed(&s));
}

/* ---- the log, on a machine
 * ---------------------------------------------------------- */

static struct collect console;

static void on_console(void *arg, int level, const char *text, size_t len)
{
	(void)arg;
	assert_true(level >= 0 && level <= 7);
	if (console.len + len >= sizeof(console.text))
		console.len = 0;
	collect_flush(&console, text, len);
}

static int machine_up(void **state)
{
	struct sim_config cfg = {
		.console = on_console, .console_level = 7, .catch_panic = true};

	(void)state;
	console.len = 0;
	console.text[0] = '\0';
	base_reset();
	return sim_init(&cfg);
}

static int machine_down(void **state)
{
	(void)state;
	sim_shutdown();
	return 0;
}

static void printk_lines(void **state)
{
	static char dump[PRINTK_RING_BYTES + 1];
	struct seq_buf s;
	char longer[600];
	const char *p;

	(void)state;
	pr_info("zone %s: %d pages", "DMA", 4096);
	pr_err("newline\n");
	pr_debug("hidden");
	printk_debug(true);
	pr_debug("shown");
	seq_buf_init(&s, dump, sizeof(dump));
	printk_dump(&s);
	assert_string_equal(seq_buf_str(&s), console.text);
	assert_string_equal(console.text,
			    "[    0.000000] zone DMA: 4096 pages\n"
			    "[    0.000000] newline\n"
			    "[    0.000000] shown\n");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	console.len = 0;
	pr_warn("%s", longer);
	assert_int_equal(console.len, PRINTK_LINE_MAX - 1);
	assert_int_equal(console.text[console.len - 1], '\n');

	/* Over the ring's size: the newest remain, from a whole line on. */
	for (int i = 0; i < 3000; i++)
		pr_info("line %d", i);
	seq_buf_init(&s, dump, sizeof(dump));
	printk_dump(&s);
	p = seq_buf_str(&s);
	assert_int_equal(strncmp(p, "[    0.", 7), 0);
	assert_non_null(strstr(p, "line 2999\n"));
	assert_null(strstr(p, "line 1\n"));
	assert_true(s.len > PRINTK_RING_BYTES - PRINTK_LINE_MAX);
}

/* Record by record: what was lost are numbers that are left out. */
static void printk_records(void **state)
{
	struct printk_pos pos = {0}, end;
	struct printk_line line;
	char text[200];
	struct seq_buf s;
	u64 seen = 0;

	(void)state;
	assert_false(printk_read(&pos, &line));
	printk_user(30, "of a daemon");
	pr_crit("two\nlines\n");
	assert_true(printk_read(&pos, &line));
	assert_int_equal(line.seq, 0);
	assert_int_equal(line.prio, 30);
	assert_string_equal(line.text, "of a daemon");
	assert_true(printk_read(&pos, &line));
	assert_int_equal(line.seq, 1);
	assert_string_equal(line.text, "two\nlines");
	seq_buf_init(&s, text, sizeof(text));
	printk_text(&s, &line, true);
	assert_string_equal(seq_buf_str(&s), "<2>[    0.000000] two\n"
					     "<2>[    0.000000] lines\n");
	assert_false(printk_read(&pos, &line));
	end = printk_end();
	assert_int_equal(end.seq, pos.seq);
	assert_int_equal(end.at, pos.at);
	/* Texts of all lengths, around the ring many times. */
	for (int i = 0; i < 5000; i++)
		pr_info("%0*d", 1 + i % 180, i);
	assert_int_equal(printk_end().seq, 5002);
	for (int i = 0; printk_read(&pos, &line); i++) {
		if (!i)
			assert_int_equal(line.seq, printk_oldest().seq);
		assert_int_equal(strtol(line.text, NULL, 10), line.seq - 2);
		assert_int_equal(pos.seq, line.seq + 1);
		seen++;
	}
	assert_int_equal(seen, 5002 - printk_oldest().seq);
	assert_true(seen > 100);
	assert_int_equal(pos.at, printk_end().at);
}

static void console_level(void **state)
{
	(void)state;
	assert_int_equal(printk_console_level(0), 8);
	assert_int_equal(printk_console_level(4), 8);
	pr_warn("hidden");
	assert_int_equal(console.len, 0);
	pr_err("shown");
	assert_int_equal(console.text[console.len - 2], 'n');
	assert_int_equal(printk_console_level(8), 4);
	pr_notice("again");
	assert_non_null(strstr(console.text, "again"));
}

static bool warn_here(bool cond)
{
	return mm_warn_on_once(cond);
}

static void warn_once(void **state)
{
	(void)state;
	assert_false(warn_here(false));
	assert_int_equal(console.len, 0);
	assert_true(warn_here(true));
	assert_non_null(strstr(console.text, "WARNING: "));
	assert_non_null(strstr(console.text, "warn_here: cond"));
	console.len = 0;
	assert_true(warn_here(true));
	assert_int_equal(console.len, 0);
	assert_true(mm_warn_on_once(1 + 1 == 2));
	assert_true(console.len > 0);
}

static int fail_verify(void *arg)
{
	mm_verify(arg == NULL);
	return 0;
}

static int fail_assert_eq(void *arg)
{
	mm_assert_eq(*(int *)arg, -3);
	return 0;
}

static int fail_bug(void *arg)
{
	mm_bug("order %d too large", *(int *)arg);
}

static int hold_assertions(void *arg)
{
	int minus = -1;

	mm_assert_lt(minus, 1u);
	mm_assert_le(0, UINT64_MAX);
	mm_assert_eq(minus, (s64)-1);
	mm_assert_eq(arg, arg);
	mm_assert_implies(minus > 0, false);
	return 0;
}

static void assertions(void **state)
{
	int five = 5;

	(void)state;
	assert_int_equal(sim_run(hold_assertions, &five), 0);
	assert_int_equal(sim_run(fail_verify, NULL), 0);
	assert_int_equal(sim_run(fail_verify, &five), -EIO);
	assert_non_null(strstr(console.text, "fail_verify: assertion failed: "
					     "arg == NULL"));
}

static void assertion_with_values(void **state)
{
	int five = 5;

	(void)state;
	if (MM_DEBUG < 1) {
		assert_int_equal(sim_run(fail_assert_eq, &five), 0);
		return;
	}
	assert_int_equal(sim_run(fail_assert_eq, &five), -EIO);
	assert_non_null(
		strstr(console.text, "(5 = 0x5, -3 = 0xfffffffffffffffd)"));
}

static void bug_text(void **state)
{
	int five = 5;

	(void)state;
	assert_int_equal(sim_run(fail_bug, &five), -EIO);
	assert_non_null(strstr(console.text, "fail_bug: order 5 too large"));
}

/* ---- fault injection
 * ------------------------------------------------------------------ */

static void fail_nth(void **state)
{
	struct fail_result r;

	(void)state;
	assert_false(fail_should(FAIL_SLAB));
	for (u64 n = 1; n <= 6; n++) {
		for (int keep = 0; keep < 2; keep++) {
			u64 call = 0;

			fail_arm_nth(FAIL_MASK(FAIL_SLAB) | FAIL_MASK(FAIL_VMA),
				     n, keep);
			for (int i = 0; i < 5; i++) {
				enum fail_site s = i & 1 ? FAIL_SLAB : FAIL_VMA;
				bool hit = ++call == n || (keep && call > n);

				assert_int_equal(fail_should(s), hit);
				assert_false(fail_should(FAIL_CHARGE));
			}
			r = fail_disarm();
			assert_int_equal(r.calls, 5);
			assert_int_equal(r.fired, n > 5 ? 0 : keep ? 6 - n : 1);
			assert_false(fail_should(FAIL_SLAB));
		}
	}
	assert_string_equal(fail_site_name(FAIL_BIO_WRITE), "bio_write");
	assert_string_equal(fail_site_name(FAIL_NR), "?");
}

static void fail_probability(void **state)
{
	u64 first = 0, hits;
	struct fail_result r;

	(void)state;
	for (int round = 0; round < 2; round++) {
		u64 pattern = 0;

		fail_arm_prob(FAIL_ALL, 10, 42);
		for (hits = 0, r.calls = 0; r.calls < 10000; r.calls++) {
			bool hit = fail_should(FAIL_PAGE_ALLOC);

			hits += hit;
			pattern = pattern * 31 + hit;
		}
		assert_true(hits > 800 && hits < 1200);
		assert_true(round == 0 || pattern == first);
		first = pattern;
		r = fail_disarm();
		assert_int_equal(r.fired, hits);
	}
	fail_arm_nth(FAIL_ALL, 1, true);
	fail_only_task((const struct mm_task *)&first);
	assert_false(fail_should(FAIL_SLAB));
	fail_only_task(port_current());
	assert_true(fail_should(FAIL_SLAB));
	assert_int_equal(fail_disarm().calls, 1);
}

/* ---- tracing
 * ------------------------------------------------------------------------------
 */

static void trace_rings(void **state)
{
	static struct trace_record buf[8], other[4];
	struct trace_cursor c;
	struct trace_record r;
	u64 evaluated = 0, n = 0;

	(void)state;
	trace_ring_attach(0, buf, 8);
	trace_emit(TEST_EVENT, ++evaluated);
	assert_int_equal(evaluated, 0);
	trace_enable(TRACE_TEST_EVENT);
	assert_true(trace_enabled(TRACE_TEST_EVENT));
	for (u64 i = 0; i < 20; i++) {
		trace_emit(TEST_EVENT, i, i * i, 3, 4, 5, 6);
		trace_emit(SWAP_OUT, 1);
		port_charge_ns(10);
	}
	/* A second CPU's ring, its records in between by time. */
	trace_ring_attach(3, other, 4);
	for (u64 i = 0; i < 2; i++)
		other[i] = (struct trace_record){.ns = buf[(14 + i * 3) % 8].ns,
						 .event = TRACE_SWAP_IN,
						 .cpu = 3};
	base_sys.trace[3].head = 2;
	trace_disable(TRACE_TEST_EVENT);
	trace_emit(TEST_EVENT, 1);
	assert_int_equal(trace_lost(0), 12);
	trace_cursor_init(&c);
	for (u64 last = 0; trace_cursor_next(&c, &r); n++) {
		assert_true(r.ns >= last);
		last = r.ns;
		if (r.cpu == 3)
			continue;
		assert_int_equal(r.event, TRACE_TEST_EVENT);
		assert_int_equal(r.arg[1], r.arg[0] * r.arg[0]);
		assert_int_equal(r.arg[5], 6);
	}
	assert_int_equal(n, 10);
	assert_string_equal(trace_event_info(TRACE_SWAP_OUT)->name, "swap_out");
	assert_null(trace_event_info(NR_TRACE_EVENTS));
	trace_ring_attach(0, NULL, 0);
	trace_enable_mask(~0ul);
	trace_emit(OOM_KILL, 1);
	trace_enable_mask(0);
	trace_cursor_init(&c);
	assert_true(trace_cursor_next(&c, &r) && r.cpu == 3);
}

/* ---- strings and random numbers
 * -------------------------------------------------------- */

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

static void strings(void **state)
{
	static const char *const s[] = {"", "a", "ab", "b", "\xff", "abc"};
	char buf[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		assert_int_equal(mm_strlen(s[i]), strlen(s[i]));
		for (size_t k = 0; k < ARRAY_SIZE(s); k++) {
			assert_int_equal(sign(mm_strcmp(s[i], s[k])),
					 sign(strcmp(s[i], s[k])));
			assert_int_equal(sign(mm_strncmp(s[i], s[k], 2)),
					 sign(strncmp(s[i], s[k], 2)));
		}
	}
	assert_int_equal(mm_strscpy(buf, "abc", 4), 3);
	assert_string_equal(buf, "abc");
	assert_int_equal(mm_strscpy(buf, "abcd", 4), -E2BIG);
	assert_string_equal(buf, "abc");
	assert_int_equal(mm_strnlen("abc", 2), 2);
	assert_ptr_equal(mm_strchr(s[5], 'c'), s[5] + 2);
	assert_null(mm_strchr("abc", 'x'));
	mm_memset(buf, 7, 4);
	assert_null(mm_memchr_inv(buf, 7, 4));
	buf[2] = 8;
	assert_ptr_equal(mm_memchr_inv(buf, 7, 4), buf + 2);
	mm_memmove(buf + 1, buf, 3);
	assert_int_equal(buf[3], 8);
	assert_int_not_equal(mm_memcmp(buf, "\7\7\7\7", 4), 0);
}

static void prng_known(void **state)
{
	u32 seen[10] = {0};
	struct prng p;

	(void)state;
	/* The published first outputs of splitmix64 from seed 0. */
	prng_seed(&p, 0);
	assert_int_equal(prng_u64(&p), 0xe220a8397b1dcdafUL);
	assert_int_equal(prng_u64(&p), 0x6e789e6aa1b965f4UL);
	for (int i = 0; i < 10000; i++)
		seen[prng_range(&p, 5, 14) - 5]++;
	for (int i = 0; i < 10; i++)
		assert_in_range(seen[i], 850, 1150);
}

#define ON_MACHINE(f) \
	cmocka_unit_test_setup_teardown(f, machine_up, machine_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(printf_random),
		cmocka_unit_test(printf_fixed),
		cmocka_unit_test(seqbuf_both_kinds),
		ON_MACHINE(printk_lines),
		ON_MACHINE(printk_records),
		ON_MACHINE(console_level),
		ON_MACHINE(warn_once),
		ON_MACHINE(assertions),
		ON_MACHINE(assertion_with_values),
		ON_MACHINE(bug_text),
		ON_MACHINE(fail_nth),
		ON_MACHINE(fail_probability),
		ON_MACHINE(trace_rings),
		cmocka_unit_test(strings),
		cmocka_unit_test(prng_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
