/* SPDX-License-Identifier: MIT */
/* Who had how much over time: the bounded table against one without bounds,
 * and what is drawn and written of it. One thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "base_seed.h"
#include "shares.h"

#include <math.h>
#include <string.h>

#define OWNERS	100u
#define MOMENTS 1000u

/* ---- the table
 * ------------------------------------------------------------------ */

struct model {
	u64 v[MOMENTS][OWNERS][SHARES_KINDS];
	bool there[MOMENTS][OWNERS];
	u64 peak[OWNERS];
};

/* Lives of different lengths and sizes; what is there changes a little. */
static void fill_model(struct model *m, struct prng *p, u32 owners)
{
	memset(m, 0, sizeof(*m));
	for (u32 o = 0; o < owners; o++) {
		u32 born = (u32)prng_below(p, MOMENTS);
		u32 dies = born + (u32)prng_below(p, MOMENTS - born) + 1;
		u64 size = 1UL << prng_below(p, 30);

		for (u32 i = born; i < dies; i++) {
			u64 use = 0;

			m->there[i][o] = true;
			for (u32 k = 0; k < SHARES_KINDS; k++)
				m->v[i][o][k] = size / 2 + prng_below(p, size);
			for (u32 k = 0; k < 2; k++)
				use += m->v[i][o][k];
			m->peak[o] = max(m->peak[o], use);
		}
	}
}

static void play(struct shares *s, const struct model *m, u32 owners)
{
	char name[SHARES_NAME];

	shares_init(s, 2);
	for (u32 i = 0; i < MOMENTS; i++) {
		shares_begin(s, i * 10);
		for (u32 o = 0; o < owners; o++) {
			snprintf(name, sizeof(name), "owner %u", o);
			if (m->there[i][o])
				shares_put(s, o, name, m->v[i][o]);
		}
		assert_true(s->nr_samples <= SHARES_SAMPLES);
		assert_true(s->nr_owners <= SHARES_OWNERS);
	}
}

/* Every row and the rest make up what there was, by kind. */
static void check_sums(const struct shares *s, const struct model *m)
{
	for (u32 i = 0; i < s->nr_samples; i++) {
		u32 at = (u32)s->x[i] / 10;

		for (u32 k = 0; k < 2; k++) {
			u64 all = 0, got;

			got = shares_use(s, SHARES_OWNERS, i, k, k + 1);
			for (u32 o = 0; o < s->nr_owners; o++)
				got += shares_use(s, o, i, k, k + 1);
			for (u32 o = 0; o < OWNERS; o++)
				all += m->v[at][o][k];
			assert_int_equal(got, all);
		}
	}
}

static void check_rows(const struct shares *s, const struct model *m)
{
	for (u32 o = 0; o < s->nr_owners; o++) {
		const struct share_owner *w = &s->owner[o];

		for (u32 i = 0; i < s->nr_samples; i++) {
			u32 at = (u32)s->x[i] / 10;

			for (u32 k = 0; k < SHARES_KINDS; k++)
				/* NONE: not there, or in the rest then. */
				if (w->v[k][i] != SHARES_NONE)
					assert_int_equal(w->v[k][i],
							 m->v[at][w->key][k]);
				else if (s->nr_owners < SHARES_OWNERS)
					assert_false(m->there[at][w->key]);
		}
	}
}

static void check_moments(const struct shares *s)
{
	assert_true(s->nr_samples >= SHARES_SAMPLES / 2);
	assert_true(s->x[0] == 0);
	for (u32 i = 1; i < s->nr_samples; i++)
		assert_true(s->x[i] - s->x[i - 1] >= s->step * (1 - 1e-9) &&
			    s->x[i] - s->x[i - 1] <= 2 * s->step + 10);
}

static void test_against_a_table_without_bounds(void **state)
{
	static struct model m;
	static struct shares s;
	struct prng p;

	(void)state;
	test_seed(&p, "shares");
	for (u64 i = 0; i < test_iters(20); i++) {
		u32 owners = 1 + (u32)prng_below(&p, OWNERS);

		fill_model(&m, &p, owners);
		play(&s, &m, owners);
		check_sums(&s, &m);
		check_rows(&s, &m);
		check_moments(&s);
	}
}

/* With few owners nothing is ever in the rest, and all peaks are known. */
static void test_few_owners_are_exact(void **state)
{
	static struct model m;
	static struct shares s;
	u32 order[SHARES_OWNERS], nr;
	struct prng p;

	(void)state;
	test_seed(&p, "shares, few");
	fill_model(&m, &p, SHARES_OWNERS);
	play(&s, &m, SHARES_OWNERS);
	nr = shares_order(&s, order);
	assert_int_equal(nr, s.nr_owners);
	for (u32 i = 0; i < nr; i++) {
		const struct share_owner *o = &s.owner[order[i]];

		assert_int_equal(o->peak, m.peak[o->key]);
		if (i)
			assert_true(o->peak <= s.owner[order[i - 1]].peak);
	}
	for (u32 i = 0; i < s.nr_samples; i++)
		assert_int_equal(shares_use(&s, SHARES_OWNERS, i, 0, 2), 0);
}

/* Of many that come and go, the greatest have the rows. */
static void test_the_greatest_stay(void **state)
{
	static struct shares s;

	(void)state;
	shares_init(&s, 1);
	for (u32 i = 0; i < 300; i++) {
		u64 v[SHARES_KINDS] = {i * 137 % 300 + 1};

		shares_begin(&s, i);
		shares_put(&s, i, "one of many", v);
	}
	assert_int_equal(s.nr_owners, SHARES_OWNERS);
	for (u32 o = 0; o < s.nr_owners; o++)
		assert_true(s.owner[o].peak > 300 - SHARES_OWNERS);
}

/* ---- what is made of it
 * ------------------------------------------------------------------ */

static void small_table(struct shares *s, u32 kinds, u32 owners)
{
	shares_init(s, kinds);
	for (u32 i = 0; i < 10; i++) {
		shares_begin(s, i * 1e9);
		for (u32 o = 0; o < owners; o++) {
			u64 v[SHARES_KINDS] = {(o + 1) << 20, i << 12, 4096,
					       (o + 1) * 8UL << 20};
			char name[SHARES_NAME];

			if (kinds == 2)
				v[2] = SHARES_NONE;
			snprintf(name, sizeof(name), "<%u>", o);
			shares_put(s, o, name, v);
		}
	}
}

static char *drawn(void (*put)(FILE *, const struct shares *,
			       const struct shares_look *),
		   const struct shares *s, u32 details)
{
	struct shares_look l = {"seconds", 1e9, SHARES_SAMPLES, details};
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	put(f, s, &l);
	assert_int_equal(fclose(f), 0);
	return text;
}

static u32 occurrences(const char *text, const char *what)
{
	u32 n = 0;

	for (const char *s = text; (s = strstr(s, what)); s++)
		n++;
	return n;
}

static void test_charts_of_tasks(void **state)
{
	static struct shares s;
	char *text;

	(void)state;
	small_table(&s, 4, 20);
	text = drawn(shares_put_tasks, &s, 3);
	/* Two of all, three of one each; each with its table. */
	assert_int_equal(occurrences(text, "<figure class=\"chart\">"), 5);
	assert_int_equal(occurrences(text, "<table class=\"data\">"), 5);
	assert_non_null(strstr(text, "Tasks in memory"));
	assert_non_null(strstr(text, "Tasks in swap"));
	assert_non_null(strstr(text, "<h3>Task &lt;19&gt;</h3>"));
	assert_null(strstr(text, "<h3>Task &lt;16&gt;</h3>"));
	assert_null(strstr(text, "<19>"));
	/* 7 with a curve, 13 in one: 1 + .. + 13 MiB, their files and shared.
	 */
	assert_non_null(strstr(text, "all others, added up"));
	assert_non_null(strstr(text, "<td>91.05 MiB</td></tr>"));
	free(text);
}

static void test_charts_of_groups(void **state)
{
	static struct shares s;
	char *text;

	(void)state;
	small_table(&s, 2, 1);
	text = drawn(shares_put_groups, &s, 3);
	/* One is not compared; no memory.high, and max is far above. */
	assert_int_equal(occurrences(text, "<figure class=\"chart\">"), 1);
	assert_non_null(strstr(text, "<h3>Group &lt;0&gt;</h3>"));
	assert_non_null(strstr(text, "cut at the top"));
	assert_null(strstr(text, "</svg>memory.high</li>"));
	assert_non_null(strstr(text, "</svg>memory.max</li>"));
	free(text);
}

static void test_nobody_is_said(void **state)
{
	static struct shares s;
	char *text;

	(void)state;
	shares_init(&s, 4);
	text = drawn(shares_put_tasks, &s, 3);
	assert_string_equal(text, "<p class=\"none\">No task was seen.</p>\n");
	free(text);
}

static void test_names_in_json(void **state)
{
	static struct shares s;
	const u64 v[SHARES_KINDS] = {1, 2, 3, SHARES_NONE};
	json_t *list, *o;

	(void)state;
	shares_init(&s, 3);
	shares_begin(&s, 0);
	shares_put(&s, 1, "a\xff\xfe z", v);
	list = shares_tasks_json(&s);
	o = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(o, "name")),
			    "a?? z");
	assert_int_equal(json_integer_value(json_object_get(o, "peak_bytes")),
			 6);
	assert_true(json_is_null(json_object_get(o, "swap_bytes")));
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest shares[] = {
		cmocka_unit_test(test_against_a_table_without_bounds),
		cmocka_unit_test(test_few_owners_are_exact),
		cmocka_unit_test(test_the_greatest_stay),
		cmocka_unit_test(test_charts_of_tasks),
		cmocka_unit_test(test_charts_of_groups),
		cmocka_unit_test(test_nobody_is_said),
		cmocka_unit_test(test_names_in_json),
	};

	return cmocka_run_group_tests(shares, NULL, NULL);
}
