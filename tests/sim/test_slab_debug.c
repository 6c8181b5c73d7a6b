/* SPDX-License-Identifier: MIT */
/*
 * Debug caches: each mistake is made once and must be reported by name, with
 * the cache and the last users, and survived: the slab is set aside or the
 * call ignored, and the cache goes on.
 */
#include "sim_machine.h"

#include "base/stack_depot.h"

#define FULL                                                     \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | \
	 SLAB_STORE_USER)
#define SIZE 64u

/* A mistake with OBJ of S; returns what is to be freed afterwards, or NULL. */
struct mistake {
	const char *name;
	u32 flags;
	void *(*make)(struct kmem_cache *s, u8 *obj);
	const char *report;
	bool quarantine; /* of a slab, when it is found */
	bool at_alloc;	 /* found at the next allocation, not at the free */
	const char *freed_in; /* who freed it, in the report */
};

static void *overrun_right(struct kmem_cache *s, u8 *obj)
{
	(void)s;
	obj[SIZE] = 0x11;
	return obj;
}

static void *overrun_left(struct kmem_cache *s, u8 *obj)
{
	(void)s;
	obj[-1] = 0x11;
	return obj;
}

static __attribute__((noinline)) void *use_after_free(struct kmem_cache *s,
						      u8 *obj)
{
	kmem_cache_free(s, obj);
	obj[10] = 0x11;
	return NULL;
}

static __attribute__((noinline)) void *use_after_free_end(struct kmem_cache *s,
							  u8 *obj)
{
	kmem_cache_free(s, obj);
	obj[SIZE - 1] = 0x11;
	return NULL;
}

static __attribute__((noinline)) void *double_free(struct kmem_cache *s,
						   u8 *obj)
{
	kmem_cache_free(s, obj);
	return obj;
}

static __attribute__((noinline)) void *
double_free_elsewhere(struct kmem_cache *s, u8 *obj)
{
	kmem_cache_free(s, obj);
	sim_set_cpu(port_self(), 1);
	return obj;
}

static void *interior(struct kmem_cache *s, u8 *obj)
{
	kmem_cache_free(s, obj + 8);
	return obj;
}

static void *foreign_cache(struct kmem_cache *s, u8 *obj)
{
	void *other = kmalloc(128, GFP_KERNEL);

	kmem_cache_free(s, other);
	kfree(other);
	return obj;
}

static void *not_in_ram(struct kmem_cache *s, u8 *obj)
{
	static u64 mine;

	kmem_cache_free(s, &mine);
	kmem_cache_free(s, NULL);
	return obj;
}

static void *a_frame(struct kmem_cache *s, u8 *obj)
{
	struct page *page = alloc_page(GFP_KERNEL);

	kmem_cache_free(s, page_view(page));
	__free_page(page);
	return obj;
}

static __attribute__((noinline)) void *link_overwritten(struct kmem_cache *s,
							u8 *obj)
{
	kmem_cache_free(s, obj);
	memset(obj + s->layout.link, 0x41, 8);
	return NULL;
}

static void *padding(struct kmem_cache *s, u8 *obj)
{
	obj[s->layout.end] = 0x11;
	return obj;
}

static const struct mistake mistakes[] = {
	{"overrun right", FULL, overrun_right, "Right Redzone overwritten",
	 true, false, NULL},
	{"overrun left", FULL, overrun_left, "Left Redzone overwritten", true,
	 false, NULL},
	{"use after free", FULL, use_after_free, "Poison overwritten", true,
	 true, "\tuse_after_free+0x"},
	{"use after free, last byte", FULL, use_after_free_end,
	 "End Poison overwritten", true, true, "\tuse_after_free_end+0x"},
	{"double free", FULL, double_free, "Object already free", false, false,
	 "\tdouble_free+0x"},
	{"double free, F alone", SLAB_CONSISTENCY_CHECKS, double_free,
	 "Object already free", false, false, NULL},
	{"double free on another CPU", FULL, double_free_elsewhere,
	 "Object already free", false, false, "\tdouble_free_elsewhere+0x"},
	{"interior pointer", FULL, interior, "Invalid object pointer", false,
	 false, NULL},
	{"object of another cache", FULL, foreign_cache, "Wrong slab cache",
	 false, false, NULL},
	{"pointer outside RAM", FULL, not_in_ram, "which is not in RAM", false,
	 false, NULL},
	{"a frame", FULL, a_frame, "Wrong slab cache", false, false, NULL},
	{"link overwritten", FULL, link_overwritten, "Freepointer corrupt",
	 true, true, "\tlink_overwritten+0x"},
	{"link overwritten, Z alone", SLAB_RED_ZONE | SLAB_CONSISTENCY_CHECKS,
	 link_overwritten, "Freepointer corrupt", true, true, NULL},
	{"padding", FULL, padding, "Object padding overwritten", true, false,
	 NULL},
};

/* The cache works, and gives nothing out of slabs that were set aside. */
static void still_works(struct kmem_cache *s, const void *bad_slab)
{
	void *p[100];

	for (u32 i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmem_cache_alloc(s, GFP_KERNEL);
		CHECK(p[i]);
		memset(p[i], 0x77, SIZE);
		if (bad_slab)
			CHECK(compound_head(view_to_page(p[i])) != bad_slab);
	}
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		kmem_cache_free(s, p[i]);
	slab_check(s);
}

/* The report names who had it: place, age, CPU, and the whole stack. */
static void check_stacks(const struct mistake *m)
{
	CHECK(tm_logged("Allocated in try_mistake+0x"));
	CHECK(tm_logged(" age=") && tm_logged(" cpu=0 pid="));
	CHECK(tm_logged("\ttry_mistake+0x") && tm_logged("\tmistakes_body+0x"));
	if (!m->freed_in)
		return;
	CHECK(tm_logged("Freed in ") && tm_logged(m->freed_in));
}

/* And which object, of which slab, and where it was noticed. */
static void check_object_named(const struct mistake *m, const u8 *obj)
{
	char text[64];

	if (m->make == foreign_cache)
		CHECK(tm_logged("Its slab is of cache kmalloc-128"));
	if (m->make == foreign_cache || m->make == a_frame ||
	    m->make == not_in_ram)
		return; /* the object is another one, or there is none */
	snprintf(text, sizeof(text),
		 "Object 0x%llx @offset=", (unsigned long long)(uintptr_t)obj);
	CHECK(tm_logged(text));
	CHECK(tm_logged("Slab 0x") && tm_logged("Object   "));
	CHECK(tm_logged("Call Trace:") && tm_logged("]  try_mistake+0x"));
	if (m->flags & SLAB_STORE_USER)
		check_stacks(m);
}

static __attribute__((noinline)) void try_mistake(const struct mistake *m)
{
	u64 bugs = kmem_sys.nr_bugs, aside = kmem_sys.nr_quarantined;
	struct kmem_cache *s =
		kmem_cache_create("victim", SIZE, 64, m->flags, NULL);
	const struct page *slab;
	void *other, *left;
	u8 *obj;

	snprintf(tm_context, sizeof(tm_context), "%s", m->name);
	tm.log_len = 0;
	CHECK(s);
	other = kmem_cache_alloc(s, GFP_KERNEL);
	obj = kmem_cache_alloc(s, GFP_KERNEL);
	CHECK(obj && other);
	slab = compound_head(view_to_page(obj));
	left = m->make(s, obj);
	if (m->at_alloc) {
		CHECK(!tm_logged("BUG victim"));
		left = kmem_cache_alloc(s, GFP_KERNEL);
		CHECK(left && left != obj);
	}
	if (left)
		kmem_cache_free(s, left);
	sim_set_cpu(port_self(), 0);
	CHECK(tm_logged(m->report));
	CHECK(kmem_sys.nr_bugs > bugs);
	CHECK_EQ(kmem_sys.nr_quarantined - aside, m->quarantine);
	CHECK(tm_logged("BUG victim (Not tainted): ") ||
	      tm_logged("which is not in RAM, to victim"));
	check_object_named(m, obj);
	still_works(s, m->quarantine ? slab : NULL);
	/* Of a slab that was set aside: ignored. */
	kmem_cache_free(s, other);
	still_works(s, m->quarantine ? slab : NULL);
	CHECK_EQ(kmem_cache_active(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
}

static __attribute__((noinline)) int mistakes_body(void *arg)
{
	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(mistakes); i++)
		try_mistake(&mistakes[i]);
	return 0;
}

static void each_mistake(void **state)
{
	(void)state;
	TM_RUN(mistakes_body, .cpus = 2, .no_audit = true);
}

/* Without checks bytes are still written; validation finds who touched. */
static int validate_body(void *arg)
{
	struct kmem_cache *s = kmem_cache_create(
		"quiet", SIZE, 0, SLAB_RED_ZONE | SLAB_STORE_USER, NULL);
	u8 *a = kmem_cache_alloc(s, GFP_KERNEL);
	u8 *b = kmem_cache_alloc(s, GFP_KERNEL);

	(void)arg;
	CHECK(a && b);
	CHECK_EQ(slab_validate(s), 0);
	a[SIZE + 3] = 1;
	kmem_cache_free(s, b);
	CHECK_EQ(kmem_sys.nr_bugs, 0);
	CHECK_EQ(slab_validate(s), 1);
	CHECK(tm_logged("BUG quiet (Not tainted): Right Redzone overwritten"));
	CHECK(tm_logged("First byte 0x1 instead of 0xcc"));
	CHECK_EQ(slab_validate(s), 0);
	still_works(s, compound_head(view_to_page(a)));
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void validate(void **state)
{
	(void)state;
	TM_RUN(validate_body, .no_audit = true);
}

/* As many objects in a slab as there may be. */
static int validate_large_body(void *arg)
{
	struct kmem_cache *s;
	u8 *a;

	(void)arg;
	kmem_sys.params.slub_min_order = SLUB_LIMIT_ORDER;
	s = kmem_cache_create("many", 8, 0, SLAB_CONSISTENCY_CHECKS, NULL);
	kmem_sys.params.slub_min_order = 0;
	a = kmem_cache_alloc(s, GFP_KERNEL);
	CHECK(a);
	CHECK_EQ(slab_validate(s), 0);
	kmem_cache_free(s, a);
	CHECK_EQ(slab_validate(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void validate_large(void **state)
{
	(void)state;
	TM_RUN(validate_large_body);
}

/* Is SLAB set aside? The flag stands in the top of its word. */
static bool is_set_aside(const struct page *slab)
{
	return page_mapping_word(slab) >> 48 & 2;
}

/* Caches without debugging notice what costs nothing to notice. */
static int plain_body(void *arg)
{
	struct kmem_cache *s =
		kmem_cache_create("plain", 200, 0, SLAB_NO_MERGE, NULL);
	void *p[200], *q;

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		CHECK((p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
	CHECK(s->cpu[0] != &kmem_sys.cpu_none);
	/* The same object twice in a row. */
	kmem_cache_free(s, p[0]);
	kmem_cache_free(s, p[0]);
	CHECK(tm_logged("BUG plain (Not tainted): Object already free"));
	CHECK_EQ(kmem_sys.nr_bugs, 1);
	kfree(p[1]);
	kfree(p[1]);
	CHECK_EQ(kmem_sys.nr_bugs, 2);
	/* kfree() knows objects from what is none. */
	kfree((char *)p[2] + 5000000000ul);
	CHECK_EQ(kmem_sys.nr_bugs, 3);
	CHECK(tm_logged("which is not in RAM"));
	/* What is of another cache is found when it leaves the array. */
	q = kmalloc(200, GFP_KERNEL);
	kmem_cache_free(s, q);
	slab_drain(s);
	CHECK(tm_logged("Wrong slab cache"));
	CHECK_EQ(kmem_sys.nr_bugs, 4);
	kfree(q);
	/* A link that was overwritten costs its slab. */
	for (u32 i = 2; i < 150; i++)
		if (i % 4)
			kmem_cache_free(s, p[i]);
	slab_drain(s);
	q = p[21];
	memset((char *)q + s->layout.link, 0x41, 8);
	for (u32 i = 2; i < 150; i++)
		if (i % 4)
			CHECK((p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
	CHECK(tm_logged("Freepointer corrupt"));
	CHECK_EQ(kmem_sys.nr_quarantined, 1);
	CHECK(is_set_aside(compound_head(view_to_page(q))));
	/* What others have of it is not used again when they free it. */
	for (u32 i = 2; i < ARRAY_SIZE(p); i++) {
		kmem_cache_free(s, p[i]);
		p[i] = kmem_cache_alloc(s, GFP_KERNEL);
		CHECK(p[i] && !is_set_aside(compound_head(view_to_page(p[i]))));
	}
	for (u32 i = 2; i < ARRAY_SIZE(p); i++)
		kmem_cache_free(s, p[i]);
	slab_drain(s);
	slab_check(s);
	CHECK_EQ(kmem_cache_active(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void plain_caches(void **state)
{
	(void)state;
	TM_RUN(plain_body, .mem = 80UL << 20, .no_audit = true);
}

/* The same, where objects are taken from the node's slabs one by one. */
static int direct_body(void *arg)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_THISNODE;
	struct kmem_cache *s =
		kmem_cache_create("direct", 200, 0, SLAB_NO_MERGE, NULL);
	void *p[200], *q;

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		CHECK((p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
	for (u32 i = 0; i < 150; i++)
		if (i % 4)
			kmem_cache_free(s, p[i]);
	slab_drain(s);
	q = p[21];
	memset((char *)q + s->layout.link, 0x41, 8);
	for (u32 i = 0; i < 150; i++)
		if (i % 4) {
			CHECK((p[i] = kmem_cache_alloc_node(s, gfp, 0)));
			CHECK(!is_set_aside(compound_head(view_to_page(p[i]))));
		}
	CHECK(tm_logged("BUG direct (Not tainted): Freepointer corrupt"));
	CHECK_EQ(kmem_sys.nr_quarantined, 1);
	/* Its list is forgotten: nobody can follow it. */
	CHECK(is_set_aside(compound_head(view_to_page(q))));
	CHECK_EQ(page_mapping_word(compound_head(view_to_page(q))) & 0xffff, 0);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		kmem_cache_free(s, p[i]);
	slab_drain(s);
	slab_check(s);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void direct(void **state)
{
	(void)state;
	TM_RUN(direct_body, .mem = 80UL << 20, .no_audit = true);
}

/* What is left at the end is listed, with who had it. */
static int leak_body(void *arg)
{
	struct kmem_cache *s =
		kmem_cache_create("leaky", 40, 0, SLAB_STORE_USER, NULL);
	void *a = kmem_cache_alloc(s, GFP_KERNEL);
	void *b = kmem_cache_alloc(s, GFP_KERNEL);
	char line[64];

	(void)arg;
	kmem_cache_free(s, b);
	CHECK_EQ(kmem_cache_destroy(s), -EBUSY);
	CHECK(tm_logged("BUG leaky (Not tainted): Objects remaining in leaky "
			"on __kmem_cache_shutdown()"));
	snprintf(line, sizeof(line),
		 "Object 0x%llx @offset=", (unsigned long long)(uintptr_t)a);
	CHECK(tm_logged(line) && tm_logged("Allocated in leak_body+0x") &&
	      tm_logged("\tleak_body+0x"));
	snprintf(line, sizeof(line),
		 "Object 0x%llx @offset=", (unsigned long long)(uintptr_t)b);
	CHECK(!tm_logged(line));
	kmem_cache_free(s, a);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void leaks(void **state)
{
	(void)state;
	TM_RUN(leak_body);
}

/* ---- where objects come from ------------------------------------------ */

static __attribute__((noinline)) void *from_here(struct kmem_cache *s)
{
	void *obj = kmem_cache_alloc(s, GFP_KERNEL);

	CHECK(obj);
	return obj;
}

static __attribute__((noinline)) void *from_there(struct kmem_cache *s)
{
	void *obj = kmem_cache_alloc(s, GFP_KERNEL);

	CHECK(obj);
	return obj;
}

static char traces[8192];

static const char *show_traces(const char *file)
{
	struct seq_buf out;

	seq_buf_init(&out, traces, sizeof(traces));
	CHECK_EQ(mm_show(file, &out), 0);
	return seq_buf_str(&out);
}

static int traces_body(void *arg)
{
	static const char allocs[] =
		"/sys/kernel/debug/slab/tracked/alloc_traces";
	static const char frees[] =
		"/sys/kernel/debug/slab/tracked/free_traces";
	struct kmem_cache *s =
		kmem_cache_create("tracked", 40, 0, SLAB_STORE_USER, NULL);
	const char *text;
	struct seq_buf none;
	char buf[16];
	void *p[30];

	(void)arg;
	CHECK(strcmp(show_traces(allocs), "No data\n") == 0);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = i < 10 ? from_here(s) : from_there(s);
	text = show_traces(allocs);
	CHECK(strncmp(text, "     20 from_there+0x", 21) == 0);
	CHECK(strstr(text, "\n     10 from_here+0x"));
	CHECK(strstr(text, " age=0 pid=") && strstr(text, " cpus=0\n"));
	CHECK(strstr(text, "\n        from_here+0x"));
	CHECK(strstr(text, "\n        traces_body+0x"));
	text = show_traces(frees);
	CHECK(strncmp(text, "     30 <not-available> age=0 pid=0\n", 36) == 0);
	/* What is free counts nowhere; where it was freed counts later. */
	for (u32 i = 0; i < 20; i++)
		kmem_cache_free(s, p[i]);
	sim_set_cpu(port_self(), 1);
	port_charge_ns(5000000);
	text = show_traces(allocs);
	CHECK(strncmp(text, "     10 from_there+0x", 21) == 0);
	CHECK(!strstr(text, "from_here") && strstr(text, " age="));
	for (u32 i = 0; i < 5; i++)
		p[i] = from_here(s);
	text = show_traces(allocs);
	CHECK(strstr(text, "\n      5 from_here+0x") &&
	      strstr(text, " cpus=1\n"));
	text = show_traces(frees);
	CHECK(strstr(text, "     10 <not-available>"));
	CHECK(strstr(text, "      5 traces_body+0x"));
	for (u32 i = 0; i < 5; i++)
		kmem_cache_free(s, p[i]);
	for (u32 i = 20; i < 30; i++)
		kmem_cache_free(s, p[i]);
	CHECK(stack_depot_check() >= 4);
	CHECK_EQ(base_sys.depot.nr_refused, 0);
	seq_buf_init(&none, buf, sizeof(buf));
	CHECK_EQ(mm_show("/sys/kernel/debug/slab/tracked/x", &none), -ENOENT);
	CHECK_EQ(mm_show("/sys/kernel/debug/slab/no/alloc_traces", &none),
		 -ENOENT);
	CHECK_EQ(mm_show("/sys/kernel/debug/slab/kmalloc-64/alloc_traces",
			 &none),
		 -ENOENT);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void trace_files(void **state)
{
	(void)state;
	TM_RUN(traces_body, .cpus = 2);
}

/* ---- slub_debug= ------------------------------------------------------ */

static int boot_with(const char *option, struct kmem_cache **out)
{
	static struct e820_table map;
	struct mm_boot_params bp = {.map = &map};
	int err;

	e820_init(&map);
	CHECK_EQ(e820_add(&map, 0, 16UL << 20, E820_TYPE_RAM), 0);
	bp.slab.slub_debug = option;
	err = mm_boot(&bp);
	if (err)
		return err;
	*out = kmem_cache_create("radish", 100, 0, 0, NULL);
	return *out ? 0 : -ENOMEM;
}

struct option_case {
	const char *text;
	int err;
	u32 radish, kmalloc64;
};

static int option_main(void *arg)
{
	const struct option_case *c = arg;
	struct kmem_cache *s = NULL;
	int err = boot_with(c->text, &s);

	snprintf(tm_context, sizeof(tm_context), "slub_debug=%s", c->text);
	CHECK_EQ(err, c->err);
	if (err)
		return 0;
	CHECK_EQ(s->flags & SLAB_DEBUG_FLAGS, c->radish);
	CHECK_EQ(kmem_sys.kmalloc.cache[0][3]->flags & SLAB_DEBUG_FLAGS,
		 c->kmalloc64);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	mm_shutdown();
	return 0;
}

static void options(void **state)
{
	static const struct option_case cases[] = {
		{"", 0, FULL, FULL},
		{"F", 0, SLAB_CONSISTENCY_CHECKS, SLAB_CONSISTENCY_CHECKS},
		{"fzput", 0, FULL | SLAB_TRACE, FULL | SLAB_TRACE},
		{"Z,radish", 0, SLAB_RED_ZONE, 0},
		{",rad*", 0, FULL, 0},
		{"P,radish;U", 0, SLAB_POISON, SLAB_STORE_USER},
		{"-,radish;F", 0, 0, SLAB_CONSISTENCY_CHECKS},
		{"Z,kmalloc-64,radish", 0, SLAB_RED_ZONE, SLAB_RED_ZONE},
		{"-", 0, 0, 0},
		{"Q", -EINVAL, 0, 0},
		{"F,", -EINVAL, 0, 0},
		{"F,a,b,c,d,e,f,g,h,i", -EINVAL, 0, 0},
		{"F,abcdefghijabcdefghijabcdefghijabcdefghij", -EINVAL, 0, 0},
	};
	struct sim_config sc = {.cpus = 1, .console = tm_console};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct option_case c = cases[i];

		mm_reset();
		CHECK_EQ(sim_init(&sc), 0);
		CHECK_EQ(sim_run(option_main, &c), 0);
		sim_shutdown();
		mm_reset();
	}
}

/* ---- links that are no plain pointers, in no plain order -------------- */

static int hardened_main(void *arg)
{
	static struct e820_table map;
	struct mm_boot_params bp = {.map = &map};
	struct kmem_cache *s;
	bool hard = arg != NULL;
	u32 descents = 0, plain = 0;
	static u64 *p[200];
	u64 word;

	e820_init(&map);
	CHECK_EQ(e820_add(&map, 0, 80UL << 20, E820_TYPE_RAM), 0);
	bp.slab.freelist_hardened = hard;
	bp.slab.freelist_random = hard;
	CHECK_EQ(mm_boot(&bp), 0);
	s = kmem_cache_create("hard", 64, 0, SLAB_NO_MERGE, NULL);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++) {
		CHECK((p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
		descents += i && p[i] < p[i - 1];
	}
	/* In order but for the step from slab to slab, or quite mixed. */
	CHECK(hard ? descents > 40 : descents < 10);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		kmem_cache_free(s, p[i]);
	slab_drain(s);
	slab_check(s);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++) {
		memcpy(&word, (char *)p[i] + s->layout.link, sizeof(word));
		plain += word == 0 || (word ^ (u64)(uintptr_t)p[i]) < 4096;
	}
	CHECK(hard ? plain < 5 : plain > 150);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	mm_shutdown();
	return 0;
}

static void hardened(void **state)
{
	struct sim_config sc = {.cpus = 1, .console = tm_console};

	for (int hard = 0; hard < 2; hard++) {
		mm_reset();
		CHECK_EQ(sim_init(&sc), 0);
		CHECK_EQ(sim_run(hardened_main, hard ? state : NULL), 0);
		sim_shutdown();
		mm_reset();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_mistake),
		cmocka_unit_test(validate),
		cmocka_unit_test(validate_large),
		cmocka_unit_test(plain_caches),
		cmocka_unit_test(direct),
		cmocka_unit_test(leaks),
		cmocka_unit_test(trace_files),
		cmocka_unit_test(options),
		cmocka_unit_test(hardened),
	};

	return cmocka_run_group_tests_name("slab_debug", tests, NULL, NULL);
}
