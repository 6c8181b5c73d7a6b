/* SPDX-License-Identifier: MIT */
/*
 * The malloc library by its inner names: contents, sizes, alignments, errors,
 * threads that come and go, fork, giving back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base_seed.h"
#include "kmem/slab.h"
#include "malloc_alone.h"
#include "mt.h"

#define NR_OBJECTS 4096

struct object {
	unsigned char *p;
	size_t size;
	unsigned char fill;
};

static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005UL + 1442695040888963407UL;
	return *state >> 33;
}

/* Mostly small, sometimes a run, rarely a mapping. */
static size_t some_size(u64 *state)
{
	u64 kind = next_random(state) % 64;

	if (kind == 0)
		return next_random(state) % (6u << 20);
	if (kind < 4)
		return next_random(state) % 200000;
	if (kind < 16)
		return next_random(state) % 9000;
	return next_random(state) % 300;
}

static void check_object(const struct object *o)
{
	for (size_t i = 0; i<o->size; i += o->size> 4096 ? 509 : 1)
		assert_int_equal(o->p[i], o->fill);
}

static void make_object(struct object *o, u64 *state)
{
	static const size_t aligns[] = {16, 64, 512, 4096, 65536};
	size_t align = 1;

	o->size = some_size(state);
	o->fill = (unsigned char)next_random(state);
	if (next_random(state) % 8 == 0) {
		align = aligns[next_random(state) % ARRAY_SIZE(aligns)];
		o->p = mt_memalign(align, o->size);
	} else {
		align = o->size <= 8 ? 8 : 16;
		o->p = mt_malloc(o->size);
	}
	assert_non_null(o->p);
	assert_int_equal((uintptr_t)o->p % align, 0);
	assert_true(mt_usable_size(o->p) >= o->size);
	memset(o->p, o->fill, o->size);
}

static void resize_object(struct object *o, u64 *state)
{
	size_t size = some_size(state) + 1, both;

	o->p = mt_realloc(o->p, size);
	assert_non_null(o->p);
	both = min(size, o->size);
	o->size = both;
	check_object(o);
	o->size = size;
	memset(o->p, o->fill, size);
}

/* Random traffic; each object keeps its contents until it is freed. */
static void traffic(u64 seed, u64 iters, struct object *objects, u64 nr)
{
	u64 state = seed;

	while (iters-- > 0) {
		struct object *o = &objects[next_random(&state) % nr];

		if (!o->p) {
			make_object(o, &state);
			continue;
		}
		check_object(o);
		if (next_random(&state) % 4 == 0) {
			resize_object(o, &state);
			continue;
		}
		mt_free(o->p);
		o->p = NULL;
	}
}

static void free_objects(struct object *objects, u64 nr)
{
	for (u64 i = 0; i < nr; i++) {
		if (objects[i].p)
			check_object(&objects[i]);
		mt_free(objects[i].p);
		objects[i].p = NULL;
	}
}

static void test_contents(void **arg)
{
	static struct object objects[NR_OBJECTS];

	(void)arg;
	traffic(test_env("SEED", 1), test_iters(60000), objects, 1000);
	free_objects(objects, 1000);
}

/* At least eight to a doubling up to 8 KiB, and sixteen in its first part. */
static void assert_fine(size_t size, size_t class)
{
	size_t base = 128;

	if (size <= 128 || size > MT_PACK_END)
		return;
	while (base * 2 < size)
		base *= 2;
	assert_true((class - size) * 8 < base);
	if (size > 512 && size <= 4352 && size * 8 <= base * 13)
		assert_true((class - size) * 16 < base);
}

static void test_classes(void **arg)
{
	(void)arg;
	assert_int_equal(mt_up(), true);
	for (size_t size = 0; size <= MT_CLASS_MAX; size++) {
		u32 c = mt_class_for(size);

		/* Who asks finds it in the table from then on. */
		assert_int_equal(mt_sys.class_of[(size + 7) >> 3], c);
		assert_true(c >= MT_FIRST && c < MT_NR_CLASSES);
		assert_true(mt_sys.size_of[c] >= size);
		/* At least four to a doubling, over 1 KiB eight. */
		if (size > 128 && size <= MT_PACK_END)
			assert_true((mt_sys.size_of[c] - size) *
					    (size <= MT_PACK_OVER ? 4 : 8) <
				    size);
		/* The smallest that will do, or the highest of its group. */
		while (c > MT_FIRST && mt_sys.size_of[c - 1] >= size)
			assert_true(mt_joined(--c));
		assert_fine(size, mt_sys.size_of[c]);
	}
	for (u32 c = MT_FIRST + 1; c < MT_NR_CLASSES; c++)
		assert_int_equal(mt_sys.size_of[c] % 16, 0);
}

/* The list of names and the sizes that are computed say the same. */
static void test_names(void **arg)
{
	u32 nr = 0;

	(void)arg;
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		char name[24];
		void *p;

		if (!mt_in_slabs(c))
			continue;
		assert_int_equal(mt_objects_get(c, &p, 1, false, NULL), 1);
		snprintf(name, sizeof(name), "malloc-%u", mt_sys.size_of[c]);
		assert_string_equal(mt_sys.cache[c]->name, name);
		mt_objects_put(c, &p, 1);
		nr++;
	}
	assert_true(nr >= 34);
}

static void test_zeroed(void **arg)
{
	static const size_t sizes[] = {1,     24,    1000,   8000,
				       30000, 70000, 5000000};

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (int round = 0; round < 3; round++) {
			unsigned char *p = mt_malloc(sizes[i]);

			memset(p, 0xff, sizes[i]);
			mt_free(p);
			p = mt_calloc(1, sizes[i]);
			assert_non_null(p);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(p[k], 0);
			mt_free(p);
		}
	}
}

static void test_errors(void **arg)
{
	void *out = &arg;
	void *p;

	(void)arg;
	errno = 0;
	assert_null(mt_malloc(PTRDIFF_MAX));
	assert_int_equal(errno, ENOMEM);
	assert_null(mt_malloc(SIZE_MAX));
	assert_null(mt_malloc(SIZE_MAX - 4096));
	errno = 0;
	assert_null(mt_calloc(1ul << 33, 1ul << 33));
	assert_int_equal(errno, ENOMEM);
	p = mt_malloc(100);
	assert_null(mt_realloc(p, PTRDIFF_MAX));
	memset(p, 1, 100); /* still ours */
	mt_free(p);
	p = mt_malloc(10u << 20);
	assert_null(mt_realloc(p, SIZE_MAX - 100));
	mt_free(p);
	assert_int_equal(mt_posix_memalign(&p, 24, 10), EINVAL);
	assert_int_equal(mt_posix_memalign(&p, 0, 10), EINVAL);
	assert_int_equal(mt_posix_memalign(&p, 4, 10), EINVAL);
	p = out;
	errno = 77;
	assert_int_equal(mt_posix_memalign(&p, 64, PTRDIFF_MAX), ENOMEM);
	assert_ptr_equal(p, out);
	assert_int_equal(errno, 77);
	assert_int_equal(mt_posix_memalign(&p, 1u << 23, 10), 0);
	assert_int_equal((uintptr_t)p % (1u << 23), 0);
	mt_free(p);
	p = mt_malloc(0);
	assert_non_null(p);
	assert_null(mt_realloc(p, 0));
	mt_free(NULL);
	assert_int_equal(mt_usable_size(NULL), 0);
}

static void test_errno_kept(void **arg)
{
	void *p = mt_malloc(5u << 20), *q = mt_malloc(100000);

	(void)arg;
	errno = 4711;
	mt_free(p);
	mt_free(q);
	assert_int_equal(errno, 4711);
}

static void test_realloc_grows(void **arg)
{
	unsigned char *p = NULL;

	(void)arg;
	for (size_t n = 1; n < (12u << 20); n += n / 3 + 1) {
		p = mt_realloc(p, n);
		assert_non_null(p);
		p[n - 1] = (unsigned char)n;
		p[n / 2] = 3;
		assert_true(mt_usable_size(p) >= n);
	}
	p = mt_realloc(p, 100);
	assert_true(mt_usable_size(p) < 1000);
	mt_free(p);
}

/* A block that grows by little gets room for more, the less the more blocks of
 * its size there are: twice its size, or three eighths. */
static void test_realloc_reserve(void **arg)
{
	enum { SIZE = 1000, MANY = 100 };
	void *many[MANY], *p;
	size_t old;

	(void)arg;
	p = mt_realloc(mt_malloc(SIZE), SIZE);
	assert_non_null(p);
	old = mt_usable_size(p);
	p = mt_realloc(p, old + 1);
	assert_in_range(mt_usable_size(p), 2 * old, 2 * old + old / 8);
	mt_free(p);
	for (int i = 0; i < MANY; i++)
		assert_non_null(many[i] = mt_malloc(SIZE));
	old = mt_usable_size(many[0]);
	many[0] = mt_realloc(many[0], old + 1);
	assert_in_range(mt_usable_size(many[0]), old + old / 8 * 3,
			2 * old - 1);
	/* What asks for more gets that. */
	many[1] = mt_realloc(many[1], 3 * old);
	assert_in_range(mt_usable_size(many[1]), 3 * old, 3 * old + old / 2);
	for (int i = 0; i < MANY; i++)
		mt_free(many[i]);
}

/* ---- threads
 * ------------------------------------------------------------------- */

#define NR_THREADS 8
#define NR_SHARED  1024

static void *shared[NR_SHARED];

/* Objects change hands: who takes one checks it and frees it. */
static void *exchange(void *arg)
{
	u64 state = (u64)(uintptr_t)arg, iters = test_iters(20000);

	while (iters-- > 0) {
		size_t size = next_random(&state) % 64
				      ? 8 + next_random(&state) % 500
				      : 9000 + next_random(&state) % 60000;
		size_t *p = mt_malloc(size), *old;

		assert_non_null(p);
		p[0] = size;
		((unsigned char *)p)[size - 1] = (unsigned char)(size >> 56);
		old = __atomic_exchange_n(
			&shared[next_random(&state) % NR_SHARED], p,
			__ATOMIC_ACQ_REL);
		if (old)
			assert_true(mt_usable_size(old) >= old[0]);
		mt_free(old);
	}
	return NULL;
}

static void test_threads(void **arg)
{
	pthread_t t[NR_THREADS];
	u64 seed = test_env("SEED", 1);

	(void)arg;
	for (u64 i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, exchange,
						(void *)(seed + i)),
				 0);
	for (u64 i = 0; i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
	for (u64 i = 0; i < NR_SHARED; i++) {
		mt_free(shared[i]);
		shared[i] = NULL;
	}
}

static void *short_life(void *arg)
{
	void *p[40];

	for (int i = 0; i < 40; i++)
		p[i] = mt_malloc((size_t)(uintptr_t)arg + (size_t)i * 16);
	for (int i = 0; i < 40; i++)
		mt_free(p[i]);
	return mt_malloc(32);
}

static pthread_key_t late_key;

/* Runs after the library's own destructor, or in a later round. */
static void late(void *arg)
{
	static __thread int rounds;

	mt_free(arg);
	if (++rounds < 3)
		pthread_setspecific(late_key, mt_malloc(48));
}

static void *late_life(void *arg)
{
	pthread_setspecific(late_key, mt_malloc(48));
	return short_life(arg);
}

/* More threads than CPU slots, one after the other and at once. */
static void test_thread_ends(void **arg)
{
	struct mt_counts before, after;
	pthread_t t[2 * MM_NR_CPUS];
	void *left;

	(void)arg;
	assert_int_equal(pthread_key_create(&late_key, late), 0);
	mt_free(mt_malloc(1));
	mt_cache_flush();
	mt_trim();
	mt_count(&before);
	for (int round = 0; round < 2; round++) {
		for (u64 i = 0; i < ARRAY_SIZE(t); i++)
			assert_int_equal(pthread_create(&t[i], NULL, late_life,
							(void *)(i * 8)),
					 0);
		for (u64 i = 0; i < ARRAY_SIZE(t); i++) {
			pthread_join(t[i], &left);
			mt_free(left);
		}
	}
	pthread_key_delete(late_key);
	mt_cache_flush();
	mt_trim();
	mt_count(&after);
	/* Nothing stays with threads that are gone. */
	assert_true(after.used <= before.used + (512u << 10));
}

/* ---- magazines that grow
 * --------------------------------------------------------- */

#define GROWING 2000

/* The calling thread's magazine of class C is whole: see mt.h. Its places. */
static u32 magazine(u32 c)
{
	void **top = mt_self.top[c], **mag, **low;
	u32 cap = mt_self.cap[c];

	if (top == MT_NIL)
		return 0;
	mag = (void **)((uintptr_t)(top - 1) & ~(MT_MAG_BYTES - 1));
	low = mag + MT_MAG_WORDS - cap;
	assert_true(cap && cap <= mt_sys.cap_of[c]);
	assert_true(top >= low && top <= mag + MT_MAG_WORDS);
	assert_null(low[-1]);
	for (void **at = low; at < top; at++)
		assert_true(*at && mt_use(*at) >= c &&
			    mt_lends(mt_use(*at), c));
	return cap;
}

/* A few objects, however often, have a few places. */
static void stays_small(size_t size, u32 first)
{
	u32 c = mt_class_for(size);
	void *p[3];

	for (int i = 0; i < 1000; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(p); k++)
			p[k] = mt_malloc(size);
		for (size_t k = 0; k < ARRAY_SIZE(p); k++)
			mt_free(p[k]);
		assert_int_equal(magazine(c), first);
	}
}

/* The part of its class that a magazine of NEXT places may be. */
static u32 part_of(size_t size, u32 next)
{
	if (size > 512)
		return min(2 + mt_sys.nr_live, 7u);
	return next < mt_sys.cap_of[mt_class_for(size)] ? 2 : 4;
}

/* Places come with what the class has, a part of it, up to the most. */
static void grows_with(size_t size, u32 first)
{
	static u64 *p[GROWING];
	u32 c = mt_class_for(size), was = first, steps = 0;

	for (size_t i = 0; i < GROWING; i++) {
		p[i] = mt_malloc(size);
		*p[i] = i;
		if (magazine(c) != was) {
			u32 now = magazine(c), next = was + min(was, 16u);

			/* Shelf and depot are empty: it was this step. */
			assert_int_equal(now, min(next, mt_sys.cap_of[c]));
			assert_true(next * part_of(size, next) <=
				    mt_class_objects(c));
			was = now;
			steps++;
		}
	}
	assert_true(steps > 0);
	assert_int_equal(was, mt_sys.cap_of[c]);
	for (size_t i = 0; i < GROWING; i++) {
		assert_int_equal(*p[i], i);
		mt_free(p[i]);
		magazine(c);
	}
}

static void *grow_thread(void *arg)
{
	(void)arg;
	assert_int_equal(magazine(mt_class_for(40)), 0);
	stays_small(40, 16);
	/* This one and the one that forked. */
	assert_int_equal(mt_sys.nr_live, 2);
	grows_with(40, 16);
	stays_small(600, 6);
	grows_with(600, 6);
	stays_small(5000, 2);
	grows_with(5000, 2);
	return NULL;
}

#define SHELVED 8000 /* objects of 64 bytes: 500 KiB */

/* What many others made is freed: it waits where others find it. */
static void *only_frees(void *arg)
{
	u32 c = mt_class_for(64);
	void **p = arg;

	for (int i = 0; i < SHELVED; i++)
		mt_free(p[i]);
	assert_int_equal(mt_self.cap[c], mt_sys.cap_of[c]);
	assert_true(mt_self.shelf[c].nr <= 1);
	assert_true(mt_sys.depot[c].nr > 20);
	return NULL;
}

static void *shelf_thread(void *arg)
{
	static void *p[SHELVED];
	u32 c = mt_class_for(64);
	pthread_t t;

	(void)arg;
	for (int i = 0; i < SHELVED; i++)
		p[i] = mt_malloc(64);
	assert_int_equal(pthread_create(&t, NULL, only_frees, p), 0);
	pthread_join(t, NULL);
	assert_int_equal(mt_sys.nr_live, 2);
	/* Who takes as much as it gives keeps what it needs, up to 256 KiB. */
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < SHELVED; i++)
			p[i] = mt_malloc(64);
		for (int i = 0; i < SHELVED; i++)
			mt_free(p[i]);
	}
	assert_true(mt_self.shelf[c].nr > 8);
	assert_true(mt_self.shelf[c].nr * mt_sys.cap_of[c] * 64 <= 256u << 10);
	return NULL;
}

static void test_shelves(void **arg)
{
	(void)arg;
	alone(shelf_thread);
}

static void test_magazines_grow(void **arg)
{
	(void)arg;
	alone(grow_thread);
}

/* ---- fork
 * ---------------------------------------------------------------------- */

static int stop;

static void *busy(void *arg)
{
	u64 state = (u64)(uintptr_t)arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		void *p[50];

		for (int i = 0; i < 50; i++)
			p[i] = mt_malloc(next_random(&state) % 40000);
		for (int i = 0; i < 50; i++)
			mt_free(p[i]);
	}
	return NULL;
}

static int child_work(u64 seed)
{
	static struct object objects[100];

	traffic(seed, 2000, objects, 100);
	free_objects(objects, 100);
	/* The others' magazines are gone. */
	return mt_sys.nr_live == 1 ? 7 : 8;
}

static void test_fork(void **arg)
{
	pthread_t t[2];
	char *p = mt_malloc(5000);

	(void)arg;
	memset(p, 5, 5000);
	stop = 0;
	for (u64 i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, busy, (void *)(i + 1));
	for (u64 i = 0; i < 10; i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			_exit(p[4999] == 5 ? child_work(i) : 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 7);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (u64 i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	mt_free(p);
}

/* ---- giving back
 * --------------------------------------------------------------- */

static u64 resident_of(const void *p, size_t len)
{
	char *start = (char *)PAGE_ALIGN_DOWN((uintptr_t)p);
	size_t pages = PFN_UP(len), nr = 0;
	unsigned char *vec = malloc(pages);

	assert_int_equal(mincore(start, pages << PAGE_SHIFT, vec), 0);
	for (size_t i = 0; i < pages; i++)
		nr += vec[i] & 1;
	free(vec);
	return nr;
}

#define PEAK_PAGES 600

/* Every second of many pages is free: N blocks of SIZE do not fit there. How
 * many more frames are dirty then? */
static s64 peak_grows(size_t size, int n)
{
	static char *page[PEAK_PAGES], *block[64];
	s64 before, more;

	mt_cache_flush();
	mt_trim();
	mt_sys.peak_dirty = 0;
	for (int i = 0; i < PEAK_PAGES; i++)
		page[i] = memset(mt_malloc(PAGE_SIZE), i, PAGE_SIZE);
	for (int i = 1; i < PEAK_PAGES; i += 2)
		mt_free(page[i]);
	mt_cache_flush();
	before = mt_sys.nr_dirty;
	assert_true(before >= PEAK_PAGES);
	for (int i = 0; i < n; i++)
		block[i] = memset(mt_malloc(size), 1, size);
	more = mt_sys.nr_dirty - before;
	for (int i = 0; i < n; i++)
		mt_free(block[i]);
	for (int i = 0; i < PEAK_PAGES; i += 2) {
		for (u32 k = 0; k < PAGE_SIZE; k++)
			assert_int_equal((u8)page[i][k], (u8)i);
		mt_free(page[i]);
	}
	return more;
}

/* Before it needs more than ever, a process gives back what is of no use. */
static void test_peak(void **arg)
{
	struct mt_tune tune = mt_sys.tune;

	(void)arg;
	assert_true(peak_grows(64 << 10, 16) < 64);
	assert_true(peak_grows(7680, 64) < 64);
	/* Unless it was told what may stay. */
	mt_mallopt(M_TRIM_THRESHOLD, 4 << 20);
	assert_true(peak_grows(64 << 10, 16) >= 240);
	mt_sys.tune = tune;
}

static void test_gives_back(void **arg)
{
	static void *p[3000];
	struct mt_counts n;
	u64 peak;

	(void)arg;
	for (int i = 0; i < 3000; i++) {
		p[i] = mt_malloc(20000);
		memset(p[i], 1, 20000);
	}
	mt_count(&n);
	peak = n.ram;
	assert_true(peak >= 3000ul * 20000);
	for (int i = 0; i < 3000; i++)
		mt_free(p[i]);
	/* By itself, but for a remainder. */
	mt_count(&n);
	assert_true(n.ram < peak / 4);
	mt_cache_flush();
	mt_trim();
	mt_count(&n);
	assert_true(n.ram <= n.used + (1u << 20));
	/* What is given back reads as it should when it comes again. */
	p[0] = mt_malloc(3u << 20);
	memset(p[0], 7, 3u << 20);
	assert_int_equal(resident_of(p[0], 3u << 20), (3u << 20) >> PAGE_SHIFT);
	mt_free(p[0]);
}

/* ---- misuse
 * -------------------------------------------------------------------- */

/* What FN says on standard error before it is killed by SIGABRT. */
static void assert_dies(void (*fn)(void), const char *env, const char *says)
{
	char text[512] = "", cmd[64];
	int fd[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fd[1], 2);
		close(fd[0]);
		if (env)
			setenv("MMKIT_OPTIONS", env, 1);
		signal(SIGABRT, SIG_DFL);
		fn();
		_exit(0);
	}
	close(fd[1]);
	n = read(fd[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	close(fd[0]);
	waitpid(pid, &status, 0);
	snprintf(cmd, sizeof(cmd), "%d", WTERMSIG(status));
	assert_true(WIFSIGNALED(status));
	if (!strstr(text, says))
		fail_msg("said: %s", text);
}

static void free_run_twice(void)
{
	void *p = mt_malloc(100000);

	mt_free(p);
	mt_free(p);
}

static void free_inside_run(void)
{
	char *p = mt_malloc(100000);

	mt_free(p + 8192);
}

static void free_stack(void)
{
	char bytes[256] MM_ALIGNED(64) = {0};

	mt_free(bytes + 128);
}

/* Would the magazine of class C go to the thread's shelf, unseen? */
static bool full_for_shelf(u32 c)
{
	const struct mt_shelf *s = &mt_self.shelf[c];

	return !((uintptr_t)mt_self.top[c] % MT_MAG_BYTES) &&
	       mt_self.spare.nr && s->nr <= s->most &&
	       (mt_self.nr_shelved + 1) % 16;
}

/* Twice in a row, where that is so. */
static void free_twice_where_full(void)
{
	static void *p[1000];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = mt_malloc(64);
		for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
			mt_free(p[i]);
			if (round == 2 && full_for_shelf(mt_class_for(64))) {
				mt_free(p[i]);
				return;
			}
		}
	}
}

static void test_misuse(void **arg)
{
	(void)arg;
	assert_dies(free_twice_where_full, NULL, "double free");
	assert_dies(free_run_twice, NULL, "double free");
	assert_dies(free_inside_run, NULL, "invalid pointer");
	assert_dies(free_stack, NULL, "invalid pointer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_zeroed),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_errno_kept),
		cmocka_unit_test(test_realloc_grows),
		cmocka_unit_test(test_realloc_reserve),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_thread_ends),
		cmocka_unit_test(test_magazines_grow),
		cmocka_unit_test(test_shelves),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_peak),
		cmocka_unit_test(test_gives_back),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_misuse),
	};

	fprintf(stderr, "test_malloc_basic: SEED=%llu\n",
		(unsigned long long)test_env("SEED", 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
