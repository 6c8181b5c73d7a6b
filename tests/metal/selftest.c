// SPDX-License-Identifier: MIT
/*
 * selftest.c - tests of src/ on the bare machine.
 *
 * 1. Purpose. The tests that were written for real threads (tests/host), and
 *    those of pure functions, run on a CPU with its own MMU and interrupts. The
 *    image holds them all, each program's main() under the program's name, on
 *    a C library of a few functions (shim/).
 *
 * 2. One boot runs one case: "selftest=PROGRAM case=N" on the command line,
 *    SEED= and ITERS= as in the environment. The machine's manager is up when
 *    a case begins, with the RAM that it has: mm_boot(), mm_reset() and
 *    base_reset() of the case do nothing.
 *
 * 3. Result. The last line is "selftest PROGRAM N NAME: ok" with status 0,
 *    "selftest PROGRAM N: no such case" with status 2, or "FAILED ..." with
 *    status 1. A panic has a status of its own.
 */
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/page_alloc.h>
#include <mmkit/uaccess.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "base/system.h"
#include "base/wait.h"
#include "host.h"
#include "machine.h"
#include "phys/page.h"
#include "phys/phys.h"
#include "selftest.h"

#define SELFTEST_POOL  (48u << 20)
#define SELFTEST_DISKS 10u
#define SELFTEST_WARM  48u

struct chunk;

static struct {
	char pool[SELFTEST_POOL] MM_ALIGNED(16);
	size_t used;
	struct chunk *free[32];
	u32 nr_disks;
	struct disk {
		struct port_bdev *bdev;
		u64 size; /* what the case knows of it, bytes */
	} disk[SELFTEST_DISKS];
	u64 want_case;
	const char *program;
	char value[64];
	u32 lock;
} st;

/* ---- output ----------------------------------------------------------------
 */

static void put(const char *fmt, va_list ap)
{
	char line[PRINTK_LINE_MAX];

	mm_vsnprintf(line, sizeof(line), fmt, ap);
	printk(PRINTK_NOTICE, "%s", line);
}

#define PUT(fmt)                   \
	do {                       \
		va_list ap;        \
		va_start(ap, fmt); \
		put(fmt, ap);      \
		va_end(ap);        \
	} while (0)

void print_message(const char *fmt, ...)
{
	PUT(fmt);
}

int printf(const char *fmt, ...)
{
	PUT(fmt);
	return 0;
}

int fprintf(FILE *f, const char *fmt, ...)
{
	(void)f;
	PUT(fmt);
	return 0;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = mm_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

int fflush(FILE *f)
{
	(void)f;
	return 0;
}

/* ---- memory, words, time ---------------------------------------------------
 */

/* What malloc() gave out is one of these and the bytes behind it. */
struct chunk {
	u64 class;
	struct chunk *next;
};

static u32 chunk_class(size_t size)
{
	u32 class = 5;

	while ((1ul << class) < size + sizeof(struct chunk))
		class ++;
	return class;
}

void *malloc(size_t size)
{
	u32 class = chunk_class(size);
	struct chunk *c;

	pthread_mutex_lock(&st.lock);
	c = st.free[class];
	if (c) {
		st.free[class] = c->next;
	} else if (st.used + (1ul << class) <= SELFTEST_POOL) {
		c = (struct chunk *)(st.pool + st.used);
		st.used += 1ul << class;
		c->class = class;
	}
	pthread_mutex_unlock(&st.lock);
	return c ? c + 1 : NULL;
}

void *calloc(size_t n, size_t size)
{
	void *p = malloc(n * size);

	if (p)
		mm_memset(p, 0, n * size);
	return p;
}

void free(void *p)
{
	struct chunk *c = (struct chunk *)p - 1;

	if (!p)
		return;
	pthread_mutex_lock(&st.lock);
	c->next = st.free[c->class];
	st.free[c->class] = c;
	pthread_mutex_unlock(&st.lock);
}

/* The pool's values are looked up one after another by one thread. */
char *getenv(const char *name)
{
	size_t len = mm_strlen(name);
	const char *at = machine_cmdline();
	size_t n = 0;

	for (; at && *at; at++) {
		if (mm_strncmp(at, name, len) || at[len] != '=')
			continue;
		if (at != machine_cmdline() && at[-1] != ' ')
			continue;
		for (at += len + 1; *at && *at != ' '; at++)
			if (n < sizeof(st.value) - 1)
				st.value[n++] = *at;
		st.value[n] = 0;
		return st.value;
	}
	return NULL;
}

unsigned long long strtoull(const char *text, char **end, int base)
{
	u64 v = 0;

	if (text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
	}
	base = base ? base : 10;
	for (;; text++) {
		int d = *text >= '0' && *text <= '9'   ? *text - '0'
			: *text >= 'a' && *text <= 'f' ? *text - 'a' + 10
						       : 99;

		if (d >= base)
			break;
		v = v * (u64)base + (u64)d;
	}
	if (end)
		*end = (char *)text;
	return v;
}

void qsort(void *base, size_t n, size_t size,
	   int (*cmp)(const void *, const void *))
{
	char *a = base;

	for (size_t i = 1; i < n; i++)
		for (size_t k = i;
		     k && cmp(a + (k - 1) * size, a + k * size) > 0; k--)
			for (size_t b = 0; b < size; b++) {
				char t = a[(k - 1) * size + b];

				a[(k - 1) * size + b] = a[k * size + b];
				a[k * size + b] = t;
			}
}

int usleep(unsigned us)
{
	u64 end = port_now_ns() + us * 1000ull;

	while (port_now_ns() < end)
		(void)port_park(end - min(port_now_ns(), end));
	return 0;
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
	while (__atomic_exchange_n(m, 1, __ATOMIC_ACQUIRE))
		machine_yield();
	return 0;
}

int pthread_mutex_unlock(pthread_mutex_t *m)
{
	__atomic_store_n(m, 0, __ATOMIC_RELEASE);
	return 0;
}

size_t strlen(const char *s)
{
	return mm_strlen(s);
}

int strcmp(const char *a, const char *b)
{
	return mm_strcmp(a, b);
}

int strncmp(const char *a, const char *b, size_t n)
{
	return mm_strncmp(a, b, n);
}

char *strstr(const char *s, const char *part)
{
	size_t n = mm_strlen(part);

	for (; *s; s++)
		if (!mm_strncmp(s, part, n))
			return (char *)s;
	return n ? NULL : (char *)s;
}

char *strcpy(char *to, const char *from)
{
	return mm_memcpy(to, from, mm_strlen(from) + 1);
}

char *strcat(char *to, const char *from)
{
	strcpy(to + mm_strlen(to), from);
	return to;
}

/* ---- the host world --------------------------------------------------------
 */

/* The names of these three are the test's (tools/make/selftest.mk). */
int mm_boot(const struct mm_boot_params *params)
{
	(void)params;
	return mm_booted() ? 0 : -EINVAL;
}

void mm_reset(void)
{
}

void base_reset(void)
{
}

static struct completion warm;

static void warm_thread(void *arg)
{
	(void)arg;
	wait_for_completion(&warm);
}

/* This world keeps stacks of threads that ended; cases count frames. */
int host_init(const struct host_config *cfg)
{
	struct port_thread *t[SELFTEST_WARM];

	(void)cfg;
	init_completion(&warm);
	for (u32 i = 0; i < SELFTEST_WARM; i++)
		assert_int_equal(
			port_thread_start(&t[i], "warm", -1, warm_thread, NULL),
			0);
	complete_all(&warm);
	for (u32 i = 0; i < SELFTEST_WARM; i++)
		port_thread_join(t[i]);
	return 0;
}

int host_run(int (*main)(void *arg), void *arg)
{
	return main(arg);
}

int host_shutdown(void)
{
	return 0;
}

struct started {
	void (*fn)(void *arg);
	void *arg;
};

static void start_user(void *arg)
{
	struct started s = *(struct started *)arg;

	port_current()->flags &= ~PF_KTHREAD;
	s.fn(s.arg);
}

int host_thread_start(struct port_thread **out, const char *name,
		      void (*fn)(void *arg), void *arg)
{
	struct started *s = malloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fn = fn;
	s->arg = arg;
	return port_thread_start(out, name, -1, start_user, s);
}

/* What the software walk cannot reach: which signal says the fault handler. */
static int why(uva_t at, bool write)
{
	u32 error = PF_ERR_USER | (write ? PF_ERR_WRITE : 0);
	int sig = mm_user_fault(port_current(), at, error);

	return sig;
}

int host_copy_to_user(uva_t to, const void *from, size_t len)
{
	while (len) {
		size_t left = copy_to_user(port_current()->mm, to, from, len);
		int sig = left ? why(to + len - left, true) : 0;

		if (sig)
			return sig;
		to += len - left;
		from = (const char *)from + (len - left);
		len = left;
	}
	return 0;
}

int host_copy_from_user(void *to, uva_t from, size_t len)
{
	while (len) {
		size_t left = copy_from_user(port_current()->mm, to, from, len);
		int sig = left ? why(from + len - left, false) : 0;

		if (sig)
			return sig;
		from += len - left;
		to = (char *)to + (len - left);
		len = left;
	}
	return 0;
}

/* ---- disks: the machine's, with a size that can be changed
 * -------------------- */

void __real_port_bio_submit(struct port_bio *bio);
void __wrap_port_bio_submit(struct port_bio *bio);
u64 __real_port_bdev_size(const struct port_bdev *bdev);
u64 __wrap_port_bdev_size(const struct port_bdev *bdev);
int __wrap_port_bdev_resize(struct port_bdev *bdev, u64 bytes);

static struct disk *disk_of(const struct port_bdev *bdev)
{
	for (u32 i = 0; i < st.nr_disks; i++)
		if (st.disk[i].bdev == bdev)
			return &st.disk[i];
	return NULL;
}

u64 __wrap_port_bdev_size(const struct port_bdev *bdev)
{
	const struct disk *d = disk_of(bdev);

	return d ? READ_ONCE(d->size) : __real_port_bdev_size(bdev);
}

void __wrap_port_bio_submit(struct port_bio *bio)
{
	const struct disk *d = disk_of(bio->bdev);
	u64 pages = d ? (READ_ONCE(d->size) + PAGE_SIZE - 1) >> PAGE_SHIFT : 0;

	if (d && bio->op <= PORT_BIO_WRITE &&
	    bio->sector / (PAGE_SIZE / PORT_SECTOR_SIZE) + bio->nr_pages >
		    pages) {
		bio->status = -EIO;
		bio->end_io(bio);
		return;
	}
	__real_port_bio_submit(bio);
}

static void disk_done(struct port_bio *bio)
{
	complete(bio->private);
}

static void disk_page(struct port_bdev *bdev, enum port_bio_op op, u64 page,
		      struct page *frame)
{
	struct port_bio bio = {.bdev = bdev,
			       .op = op,
			       .sector = page * (PAGE_SIZE / PORT_SECTOR_SIZE),
			       .nr_pages = 1,
			       .end_io = disk_done};
	struct completion done;

	init_completion(&done);
	bio.private = &done;
	bio.pfn[0] = page_to_pfn(frame);
	__real_port_bio_submit(&bio);
	wait_for_completion(&done);
	if (bio.status)
		selftest_failed(__FILE__, __LINE__, "the machine's disk");
}

/* What appears reads as zero. */
int __wrap_port_bdev_resize(struct port_bdev *bdev, u64 bytes)
{
	struct disk *d = disk_of(bdev);
	struct page *frame;
	u64 at, off;

	if (!d || bytes > __real_port_bdev_size(bdev))
		return d ? -ENOSPC : -EOPNOTSUPP;
	frame = alloc_pages(GFP_KERNEL, 0);
	if (!frame)
		return -ENOMEM;
	at = d->size >> PAGE_SHIFT;
	off = d->size & (PAGE_SIZE - 1);
	if (off && bytes > d->size)
		disk_page(bdev, PORT_BIO_READ, at, frame);
	for (; at << PAGE_SHIFT < bytes; at++, off = 0) {
		mm_memset((char *)page_view(frame) + off, 0, PAGE_SIZE - off);
		disk_page(bdev, PORT_BIO_WRITE, at, frame);
	}
	__free_pages(frame, 0);
	WRITE_ONCE(d->size, bytes);
	return 0;
}

int host_disk_open(struct port_bdev **out, const struct host_disk_config *cfg,
		   char *err)
{
	struct port_bdev *bdev = machine_bdev(st.nr_disks);

	(void)err;
	if (st.nr_disks >= SELFTEST_DISKS || !bdev ||
	    __real_port_bdev_size(bdev) < cfg->size_bytes) {
		print_message("selftest: disk %u of %llu bytes is wanted",
			      st.nr_disks, (unsigned long long)cfg->size_bytes);
		return -ENODEV;
	}
	st.disk[st.nr_disks].bdev = bdev;
	st.disk[st.nr_disks++].size = cfg->size_bytes;
	*out = bdev;
	return 0;
}

/* It may still be in use for swap: the next one that is opened is another. */
void host_disk_close(struct port_bdev *disk)
{
	(void)disk;
}

/* ---- cases -----------------------------------------------------------------
 */

_Noreturn void selftest_failed(const char *file, int line, const char *what)
{
	print_message("FAILED %s:%d: %s", file, line, what);
	machine_power_off(1);
}

_Noreturn void abort(void)
{
	machine_power_off(1);
}

_Noreturn void exit(int status)
{
	machine_power_off(status);
}

void selftest_equal(u64 a, u64 b, bool want, const char *file, int line)
{
	if ((a == b) == want)
		return;
	print_message("%llu %s %llu", (unsigned long long)a,
		      want ? "!=" : "==", (unsigned long long)b);
	selftest_failed(file, line, "assert_int_equal");
}

void selftest_string(const char *a, const char *b, bool want, const char *file,
		     int line)
{
	if (!mm_strcmp(a, b) == want)
		return;
	print_message("\"%s\" %s \"%s\"", a, want ? "!=" : "==", b);
	selftest_failed(file, line, "assert_string_equal");
}

int selftest_group(const char *name, const struct CMUnitTest *tests, size_t n,
		   CMFixtureFunction setup, CMFixtureFunction teardown)
{
	const struct CMUnitTest *t = &tests[st.want_case];
	void *group = NULL, *state;

	(void)name;
	if (st.want_case >= n) {
		print_message("selftest %s %llu: no such case", st.program,
			      (unsigned long long)st.want_case);
		machine_power_off(2);
	}
	if (setup)
		assert_int_equal(setup(&group), 0);
	state = t->initial_state ? t->initial_state : group;
	if (t->setup_func)
		assert_int_equal(t->setup_func(&state), 0);
	t->test_func(&state);
	if (t->teardown_func)
		assert_int_equal(t->teardown_func(&state), 0);
	if (teardown)
		assert_int_equal(teardown(&group), 0);
	print_message("selftest %s %llu %s: ok", st.program,
		      (unsigned long long)st.want_case, t->name);
	machine_power_off(0);
}

#define DECLARE(p) int p##_main(void);
SELFTEST_PROGRAMS(DECLARE)

#define ENTRY(p) {#p, p##_main},
static const struct {
	const char *name;
	int (*main)(void);
} programs[] = {SELFTEST_PROGRAMS(ENTRY)};

void kernel_main(void)
{
	static char wanted[64];
	const char *text = getenv("selftest");

	mm_strscpy(wanted, text ? text : "", sizeof(wanted));
	text = getenv("case");
	st.want_case = text ? strtoull(text, NULL, 0) : 0;
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (mm_strcmp(programs[i].name, wanted))
			continue;
		st.program = programs[i].name;
		machine_power_off(programs[i].main());
	}
	print_message("FAILED: selftest=%s: no such program", wanted);
	machine_power_off(1);
}
