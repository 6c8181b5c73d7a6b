/* SPDX-License-Identifier: MIT */
/*
 * What the man pages say of malloc and its kin, a statement for each check:
 * malloc(3), posix_memalign(3), malloc_usable_size(3), mallopt(3),
 * mallinfo(3), malloc_info(3), malloc_trim(3); Linux man-pages 6.03.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mt.h"

/* CALL gives NULL and ENOMEM. */
#define assert_nomem(call)                       \
	do {                                     \
		errno = 0;                       \
		assert_null(call);               \
		assert_int_equal(errno, ENOMEM); \
	} while (0)

static bool all_bytes(const void *p, size_t n, u8 val)
{
	const u8 *b = p;

	while (n && *b == val) {
		b++;
		n--;
	}
	return !n;
}

/* ---- malloc(3)
 * ------------------------------------------------------------------ */

static void test_of_malloc(void **arg)
{
	void *p = mt_malloc(0), *q = mt_malloc(0);

	(void)arg;
	/* "If size is 0, then malloc() returns a unique pointer value that
	 * can later be successfully passed to free()." */
	assert_non_null(p);
	assert_non_null(q);
	assert_ptr_not_equal(p, q);
	mt_free(p);
	mt_free(q);
	/* "If ptr is NULL, no operation is performed." */
	mt_free(NULL);
	/* "suitably aligned for any type that fits into the requested size
	 * or less" */
	for (size_t n = 1; n < 10000; n += n / 7 + 1) {
		p = mt_malloc(n);
		assert_int_equal((uintptr_t)p % (n > 8 ? 16 : 8), 0);
		mt_free(p);
	}
	/* "Attempting to allocate more than PTRDIFF_MAX bytes is considered
	 * an error" */
	assert_nomem(mt_malloc((size_t)PTRDIFF_MAX + 1));
	assert_nomem(mt_malloc(SIZE_MAX));
	assert_nomem(mt_calloc(1, (size_t)PTRDIFF_MAX + 1));
	assert_nomem(mt_realloc(NULL, (size_t)PTRDIFF_MAX + 1));
}

static void test_free_keeps_errno(void **arg)
{
	static const size_t sizes[] = {0, 24, 3000, 20000, 300000, 9u << 20};

	(void)arg;
	/* "The free() function [...] preserves errno." More than fit into a
	 * magazine, so that every way is taken. */
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		static void *p[300];
		size_t nr = sizes[i] > 1000000 ? 3 : ARRAY_SIZE(p);

		for (size_t k = 0; k < nr; k++)
			p[k] = mt_malloc(sizes[i]);
		errno = 4711;
		for (size_t k = 0; k < nr; k++)
			mt_free(p[k]);
		assert_int_equal(errno, 4711);
	}
}

static void test_of_calloc(void **arg)
{
	static const size_t sizes[] = {8, 100, 5000, 30000, 500000, 6u << 20};
	void *p;

	(void)arg;
	/* "The memory is set to zero." */
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = mt_malloc(sizes[i]);
		memset(p, 0xee, sizes[i]);
		mt_free(p);
		p = mt_calloc(sizes[i] / 4, 4);
		assert_true(all_bytes(p, sizes[i], 0));
		mt_free(p);
	}
	/* "If nmemb or size is 0, then calloc() returns a unique pointer" */
	p = mt_calloc(0, 10);
	assert_non_null(p);
	mt_free(p);
	p = mt_calloc(10, 0);
	assert_non_null(p);
	mt_free(p);
	/* "If the multiplication of nmemb and size would result in integer
	 * overflow, then calloc() returns an error." */
	assert_nomem(mt_calloc(SIZE_MAX / 2, 3));
	assert_nomem(mt_calloc(3, SIZE_MAX / 2));
}

static void test_of_realloc(void **arg)
{
	static const size_t sizes[] = {1, 40, 700, 9000, 50000, 5u << 20};
	u8 *p, *q;

	(void)arg;
	/* "The contents of the memory will be unchanged in the range from
	 * the start of the region up to the minimum of the old and new
	 * sizes." */
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			p = mt_malloc(sizes[i]);
			memset(p, 0x5c, sizes[i]);
			p = mt_realloc(p, sizes[k]);
			assert_true(
				all_bytes(p, min(sizes[i], sizes[k]), 0x5c));
			mt_free(p);
		}
	}
	/* "If ptr is NULL, then the call is equivalent to malloc(size)" */
	p = mt_realloc(NULL, 77);
	assert_true(mt_usable_size(p) >= 77);
	/* "If realloc() fails, the original block is left untouched" */
	memset(p, 3, 77);
	assert_nomem(mt_realloc(p, PTRDIFF_MAX));
	assert_true(all_bytes(p, 77, 3));
	/* "If size is equal to zero, and ptr is not NULL, then the call is
	 * equivalent to free(ptr)" */
	assert_null(mt_realloc(p, 0));
	/* reallocarray: "fails safely in the case where the multiplication
	 * would overflow" */
	q = mt_reallocarray(NULL, 10, 20);
	assert_true(mt_usable_size(q) >= 200);
	memset(q, 9, 200);
	assert_nomem(mt_reallocarray(q, SIZE_MAX / 4, 5));
	assert_true(all_bytes(q, 200, 9));
	q = mt_reallocarray(q, 30, 20);
	assert_true(all_bytes(q, 200, 9));
	mt_free(q);
}

/* ---- posix_memalign(3)
 * ---------------------------------------------------------- */

static void test_aligned(void **arg)
{
	void *p, *before = &p;

	(void)arg;
	for (size_t a = 1; a <= 8u << 20; a *= 2) {
		for (size_t n = 0; n < 100000; n = n * 5 + 1) {
			/* "The address of the allocated memory will be a
			 * multiple of alignment, which must be a power of
			 * two and a multiple of sizeof(void *)." */
			if (a >= sizeof(void *)) {
				assert_int_equal(mt_posix_memalign(&p, a, n),
						 0);
				assert_int_equal((uintptr_t)p % a, 0);
				assert_true(mt_usable_size(p) >= n);
				mt_free(p);
			}
			/* aligned_alloc: here any power of two. */
			p = mt_aligned_alloc(a, n);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % a, 0);
			mt_free(p);
			p = mt_memalign_any(a, n);
			assert_int_equal((uintptr_t)p % a, 0);
			mt_free(p);
		}
	}
	/* "EINVAL The alignment argument was not a power of two, or was not
	 * a multiple of sizeof(void *)." The value of *memptr is as it was,
	 * and errno is not set. */
	errno = 99;
	p = before;
	assert_int_equal(mt_posix_memalign(&p, 24, 8), EINVAL);
	assert_int_equal(mt_posix_memalign(&p, 4, 8), EINVAL);
	assert_int_equal(mt_posix_memalign(&p, 0, 8), EINVAL);
	assert_int_equal(mt_posix_memalign(&p, 64, PTRDIFF_MAX), ENOMEM);
	assert_int_equal(mt_posix_memalign(&p, 8, SIZE_MAX), ENOMEM);
	assert_ptr_equal(p, before);
	assert_int_equal(errno, 99);
	errno = 0;
	assert_null(mt_aligned_alloc(24, 48));
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_null(mt_aligned_alloc(0, 48));
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_null(mt_memalign_any(((size_t)1 << 63) + 1, 8));
	assert_int_equal(errno, EINVAL);
	assert_nomem(mt_memalign_any((size_t)1 << 62, 8));
	assert_nomem(mt_aligned_alloc(64, SIZE_MAX - 63));
}

static void test_pages(void **arg)
{
	void *p;

	(void)arg;
	/* "valloc() [...] the address will be a multiple of the page size",
	 * "pvalloc() is similar [...] but rounds the size of the allocation
	 * up to the next multiple of the system page size." */
	for (size_t n = 0; n < 40000; n = n * 2 + 1) {
		p = mt_valloc(n);
		assert_int_equal((uintptr_t)p % 4096, 0);
		assert_true(mt_usable_size(p) >= n);
		mt_free(p);
		p = mt_pvalloc(n);
		assert_int_equal((uintptr_t)p % 4096, 0);
		assert_true(mt_usable_size(p) >= (n + 4095) / 4096 * 4096);
		mt_free(p);
	}
	assert_nomem(mt_valloc(SIZE_MAX));
	assert_nomem(mt_pvalloc(SIZE_MAX));
	assert_nomem(mt_pvalloc(SIZE_MAX - 4096));
}

/* ---- malloc_usable_size(3)
 * ------------------------------------------------------- */

static void test_usable(void **arg)
{
	(void)arg;
	/* "at least the size", "If ptr is NULL, 0 is returned"; all of it can
	 * be written. */
	assert_int_equal(mt_usable_size(NULL), 0);
	for (size_t n = 0; n < 6000000; n = n * 3 + 1) {
		void *p = mt_malloc(n);
		size_t have = mt_usable_size(p);

		assert_true(have >= n);
		memset(p, 0xff, have);
		mt_free(p);
	}
}

/* ---- mallopt(3)
 * ---------------------------------------------------------------------- */

/* FN changes the library for good: in a process of its own. */
static void apart(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		fn();
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

#define MUST(x)                                                         \
	do {                                                            \
		if (!(x)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #x); \
			_exit(1);                                       \
		}                                                       \
	} while (0)

static u64 nr_maps(void)
{
	struct mt_counts n;

	mt_count(&n);
	return n.nr_maps;
}

static void mmap_threshold(void)
{
	u64 before = nr_maps();
	void *p = mt_malloc(100), *q;

	MUST(nr_maps() == before);
	mt_free(p);
	/* "For allocations greater than or equal to the limit" */
	MUST(mt_mallopt(M_MMAP_THRESHOLD, 4096) == 1);
	p = mt_malloc(4096);
	MUST(nr_maps() == before + 1);
	q = mt_calloc(1, 200000);
	MUST(nr_maps() == before + 2 && all_bytes(q, 200000, 0));
	mt_free(p);
	mt_free(q);
	p = mt_malloc(4095);
	MUST(nr_maps() == before);
	mt_free(p);
	p = mt_memalign(64, 5000);
	MUST(nr_maps() == before + 1);
	p = mt_realloc(p, 100);
	MUST(nr_maps() == before && p);
	/* "The lower limit for this parameter is 0." */
	MUST(mt_mallopt(M_MMAP_THRESHOLD, 0) == 1);
	p = mt_malloc(1);
	MUST(nr_maps() == before + 1);
	mt_free(p);
	/* "The upper limit is [...] 4*1024*1024*sizeof(long)" */
	MUST(mt_mallopt(M_MMAP_THRESHOLD, 32 << 20) == 1);
	MUST(mt_mallopt(M_MMAP_THRESHOLD, (32 << 20) + 1) == 0);
	p = mt_malloc(3 << 20);
	MUST(nr_maps() == before);
	mt_free(p);
}

static void mmap_max(void)
{
	u64 before = nr_maps();

	/* "Setting this parameter to 0 disables the use of mmap(2)": of what
	 * RAM can serve. */
	MUST(mt_mallopt(M_MMAP_THRESHOLD, 100000) == 1);
	MUST(mt_mallopt(M_MMAP_MAX, 0) == 1);
	MUST(mt_malloc(200000) && nr_maps() == before);
	/* "the maximum number of allocation requests that may be
	 * simultaneously serviced using mmap(2)" */
	MUST(mt_mallopt(M_MMAP_MAX, (int)before + 2) == 1);
	for (int i = 0; i < 5; i++)
		MUST(mt_malloc(200000));
	MUST(nr_maps() == before + 2);
}

static void trim_threshold(void)
{
	static void *p[2000];
	struct mt_counts n, full;

	/* "Setting M_TRIM_THRESHOLD to -1 disables trimming completely." */
	for (int round = 0; round < 2; round++) {
		MUST(mt_mallopt(M_TRIM_THRESHOLD, round ? 128 << 10 : -1) == 1);
		for (size_t i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = memset(mt_malloc(20000), 1, 20000);
		mt_count(&full);
		for (size_t i = 0; i < ARRAY_SIZE(p); i++)
			mt_free(p[i]);
		mt_count(&n);
		MUST(round ? n.ram < full.ram / 4 : n.ram >= full.ram);
	}
}

static void perturb(void)
{
	static const size_t sizes[] = {1,     8,      100,     3000,
				       20000, 200000, 5u << 20};

	/* Objects from before, too. */
	void *old = mt_malloc(64);

	MUST(mt_mallopt(M_PERTURB, 0x1a5) == 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* "initialized to the complement of the value in the least
		 * significant byte of value" */
		u8 *p = mt_malloc(sizes[i]);

		MUST(all_bytes(p, sizes[i], 0x5a));
		/* "other than allocations via calloc(3)" */
		MUST(all_bytes(mt_calloc(1, sizes[i]), sizes[i], 0));
		MUST(all_bytes(mt_memalign(64, sizes[i]), sizes[i], 0x5a));
		memset(p, 1, sizes[i]);
		/* "the freed bytes are set to the least significant byte of
		 * value": a class's object waits as it is */
		mt_free(p);
		if (sizes[i] <= MT_CLASS_MAX)
			MUST(all_bytes(p, sizes[i], 0xa5));
	}
	mt_free(old);
	MUST(all_bytes(old, 64, 0xa5));
	/* "The default value for this parameter is 0." */
	MUST(mt_mallopt(M_PERTURB, 0) == 1);
	old = memset(mt_malloc(64), 7, 64);
	mt_free(old);
	MUST(all_bytes(old, 64, 7));
}

static void other_parameters(void)
{
	errno = 17;
	MUST(mt_mallopt(M_ARENA_MAX, 1) == 1);
	MUST(mt_mallopt(M_ARENA_TEST, 8) == 1);
	MUST(mt_mallopt(M_TOP_PAD, 1 << 20) == 1);
	/* "The range for this parameter is 0 to 80*sizeof(size_t)/4." */
	MUST(mt_mallopt(M_MXFAST, 0) == 1);
	MUST(mt_mallopt(M_MXFAST, 160) == 1);
	MUST(mt_mallopt(M_MXFAST, 161) == 0);
	MUST(mt_mallopt(M_MXFAST, -1) == 0);
	MUST(mt_mallopt(12345, 1) == 0);
	/* "On error, errno is not set." */
	MUST(errno == 17);
	MUST(mt_malloc(10));
}

static void variables(void)
{
	setenv("MALLOC_MMAP_THRESHOLD_", "5000", 1);
	setenv("MALLOC_PERTURB_", "15", 1);
	setenv("MALLOC_ARENA_MAX", "rubbish", 1);
	setenv("MALLOC_CHECK_", "1xyz", 1);
	mt_options_late();
	MUST(mt_sys.tune.mmap_threshold == 5000);
	MUST(mt_sys.tune.check_action == 1);
	MUST(all_bytes(mt_malloc(10), 10, 0xf0));
}

static void test_mallopt(void **arg)
{
	(void)arg;
	apart(mmap_threshold);
	apart(mmap_max);
	apart(trim_threshold);
	apart(perturb);
	apart(other_parameters);
	apart(variables);
}

/* ---- mallinfo(3), malloc_info(3), malloc_trim(3)
 * ----------------------------------- */

static void test_mallinfo(void **arg)
{
	struct mallinfo2 a, b, c;
	struct mallinfo old;
	void *p, *q;

	(void)arg;
	mt_malloc_trim(0);
	a = mt_mallinfo2();
	p = mt_malloc(10u << 20);
	q = memset(mt_malloc(2u << 20), 1, 2u << 20);
	b = mt_mallinfo2();
	/* hblks, hblkhd: "blocks currently allocated using mmap(2)" */
	assert_int_equal(b.hblks, a.hblks + 1);
	assert_true(b.hblkhd - a.hblkhd >= 10u << 20);
	assert_true(b.hblkhd - a.hblkhd < 11u << 20);
	/* arena: "by means other than mmap(2)" */
	assert_true(b.arena - a.arena >= 2u << 20);
	/* uordblks: "used by in-use allocations" */
	assert_true(b.uordblks - a.uordblks >= 12u << 20);
	/* usmblks: "unused, and is always 0" */
	assert_int_equal(b.usmblks, 0);
	old = mt_mallinfo();
	assert_int_equal(old.hblks, (int)b.hblks);
	assert_int_equal(old.hblkhd, (int)b.hblkhd);
	assert_int_equal(old.usmblks, 0);
	mt_free(p);
	mt_free(q);
	c = mt_mallinfo2();
	assert_int_equal(c.hblks, a.hblks);
	assert_int_equal(c.hblkhd, a.hblkhd);
	/* fordblks: "in free blocks"; arena "includes both in-use blocks and
	 * blocks on the free list" */
	assert_true(c.fordblks >= 7u << 18);
	assert_true(c.fordblks <= c.arena);
	assert_true(c.keepcost <= c.fordblks);
	/* malloc_trim: pad "specifies the amount of free space to leave
	 * untrimmed" */
	assert_int_equal(mt_malloc_trim(64u << 20), 0);
	assert_true(mt_mallinfo2().fordblks >= 7u << 18);
	/* "returns 1 if memory was actually released back to the system, or
	 * 0 if it was not possible to release any memory" */
	assert_int_equal(mt_malloc_trim(0), 1);
	assert_true(mt_mallinfo2().fordblks < 1u << 20);
	assert_int_equal(mt_malloc_trim(0), 0);
}

static char *info_text(void)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(mt_malloc_info(0, f), 0);
	fclose(f);
	return text;
}

/* The value of ATTR in the first tag that begins with TAG. */
static u64 value(const char *text, const char *tag, const char *attr)
{
	const char *at = strstr(text, tag), *end;

	assert_non_null(at);
	end = strchr(at, '>');
	at = strstr(at, attr);
	assert_true(at && at < end);
	return strtoull(at + strlen(attr) + 2, NULL, 10);
}

/* Tags are closed in the order in which they are opened. */
static void assert_nested(const char *text)
{
	char open[8][32];
	int depth = 0;

	for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<')) {
		const char *end = strchr(at, '>');
		size_t len = strcspn(at + 1, " >/");

		assert_non_null(end);
		if (at[1] == '/') {
			assert_true(depth > 0);
			depth--;
			assert_int_equal(strncmp(at + 2, open[depth],
						 strlen(open[depth])),
					 0);
		} else if (end[-1] != '/') {
			assert_true(depth < 8 && len < 32);
			memcpy(open[depth], at + 1, len);
			open[depth++][len] = '\0';
		}
	}
	assert_int_equal(depth, 0);
}

static void test_malloc_info(void **arg)
{
	static void *p[5000];
	char *text;

	(void)arg;
	/* "EINVAL options was nonzero." */
	errno = 0;
	assert_int_equal(mt_malloc_info(1, stderr), -1);
	assert_int_equal(errno, EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = mt_malloc(200);
	text = info_text();
	/* "includes a version field" */
	assert_int_equal(strncmp(text, "<malloc version=\"1\">", 20), 0);
	assert_nested(text);
	/* The first of them are of the class that serves both for a while. */
	assert_true(value(text, "<class size=\"208\"", "used") +
			    value(text, "<class size=\"224\"", "used") >=
		    5000);
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		mt_free(p[i]);
	mt_cache_flush();
	text = info_text();
	assert_nested(text);
	assert_true(value(text, "<class size=\"208\"", "used") < 5000);
	assert_true(value(text, "<system type=\"current\"", "size") <=
		    value(text, "<system type=\"max\"", "size"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_malloc),
		cmocka_unit_test(test_free_keeps_errno),
		cmocka_unit_test(test_of_calloc),
		cmocka_unit_test(test_of_realloc),
		cmocka_unit_test(test_aligned),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_mallopt),
		cmocka_unit_test(test_mallinfo),
		cmocka_unit_test(test_malloc_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
