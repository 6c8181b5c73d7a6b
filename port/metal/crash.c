/* SPDX-License-Identifier: MIT */
/*
 * crash.c - "crash=KIND" on the command line: after the boot the kernel does
 * something that it must not do. So the last words (panic.c) can be tested,
 * and looked at by who wonders what they would say.
 */
#include "metal.h"

#include <mmkit/page_alloc.h>

#include "base/string.h"
#include "phys/page.h"

/* The compiler need not see where it leads. */
static volatile int *at(u64 addr)
{
	__asm__("" : "+r"(addr));
	return (volatile int *)addr;
}

static void write_null(void)
{
	*at(8) = 1;
}

/* A user's address; with SMAP or without. */
static void read_user(void)
{
	(void)*at(0x400000);
}

static void write_text(void)
{
	*at((u64)__text_start) = 0;
}

static void jump_data(void)
{
	static u8 code[] = {0xc3};
	void (*volatile fn)(void) = (void (*)(void))(u64)code;

	fn();
}

static u64 deeper(volatile u8 *above, u64 n)
{
	volatile u8 frame[512];

	frame[0] = above[0];
	return n ? deeper(frame, n + 1) + frame[0] : 0;
}

static void overflow(void)
{
	volatile u8 start[1] = {1};

	(void)deeper(start, 1);
}

void metal_crash_stack(const char *kind)
{
	const char *want = metal_option("crash");
	size_t len = mm_strlen(kind);

	if (want && !mm_strncmp(want, kind, len) &&
	    (!want[len] || want[len] == ' '))
		overflow();
}

/* In an interrupt, which uses the stack of who runs. */
static void overflow_if_idle(void *arg)
{
	(void)arg;
	if (port_self()->idle)
		overflow();
}

static void overflow_timer(struct machine_timer *timer)
{
	overflow_if_idle(timer);
}

/* Of another CPU's idle thread, or of the only one's. */
static void overflow_idle(void)
{
	struct machine_timer timer = {.fn = overflow_timer};
	int nr = port_nr_cpus();

	for (;;) {
		if (nr > 1) {
			port_pin();
			smp_call((port_cpu() + 1) % nr, overflow_if_idle, NULL);
			port_unpin();
			continue;
		}
		timer.expires = port_now_ns() + 1000000;
		machine_timer_arm(&timer);
		(void)port_park(2000000);
		machine_timer_cancel(&timer);
	}
}

/* A frame that was freed is touched; debug_pagealloc sees it. */
static void touch_free(bool write)
{
	struct page *page = alloc_pages(GFP_KERNEL, 0);
	volatile int *view =
		page ? at((u64)port_ram(PFN_PHYS(page_to_pfn(page)))) : at(8);

	*view = 1;
	__free_pages(page, 0);
	if (write)
		*view = 2;
	else
		(void)*view;
}

static void read_free(void)
{
	touch_free(false);
}

static void write_free(void)
{
	touch_free(true);
}

/* Another CPU goes on to read what it has in its TLB. */
static struct {
	volatile int *view;
	int cpu; /* that reads, -1: none yet */
} reader;

static void read_on(void *arg)
{
	u64 until = port_now_ns() + 20000000000ul;

	(void)arg;
	while (port_now_ns() < until) {
		(void)*reader.view;
		WRITE_ONCE(reader.cpu, port_cpu());
	}
}

static void read_free_there(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, 0);
	struct port_thread *t;

	if (!page)
		return;
	reader.view = at((u64)port_ram(PFN_PHYS(page_to_pfn(page))));
	reader.cpu = -1;
	if (port_thread_start(&t, "reader", -1, read_on, NULL))
		return;
	port_pin();
	while (READ_ONCE(reader.cpu) < 0 ||
	       READ_ONCE(reader.cpu) == port_cpu()) {
		port_unpin();
		(void)port_park(1000000);
		port_pin();
	}
	__free_pages(page, 0);
	port_unpin();
	port_thread_join(t);
}

static void divide(void)
{
	volatile u64 zero = 0;

	__asm__ volatile("divq %0" ::"r"((u64)zero), "a"(1ul), "d"(0ul) : "cc");
}

static void undefined(void)
{
	__asm__ volatile("ud2");
}

static void verify(void)
{
	volatile int one = 1;

	mm_verify(one == 2);
}

static void noncanonical(void)
{
	(void)*at(1ul << 63);
}

static void sleep_pinned(void)
{
	port_pin();
	port_park(1);
}

static const struct {
	const char *name;
	void (*fn)(void);
} kinds[] = {
	{"null", write_null},	    {"user", read_user},
	{"text", write_text},	    {"exec", jump_data},
	{"stack", overflow},	    {"idle-stack", overflow_idle},
	{"divide", divide},	    {"opcode", undefined},
	{"verify", verify},	    {"wild", noncanonical},
	{"sleep", sleep_pinned},    {"free", read_free},
	{"free-write", write_free}, {"free-there", read_free_there},
};

static void crash_thread(void *arg)
{
	void (*fn)(void) = (void (*)(void))(u64)arg;

	fn();
	metal_fatal("crash=: it did not");
}

void metal_crash_option(void)
{
	const char *want = metal_option("crash");
	struct port_thread *t;

	if (!want)
		return;
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = mm_strlen(kinds[i].name);

		if (mm_strncmp(want, kinds[i].name, len) ||
		    (want[len] && want[len] != ' '))
			continue;
		/* On a stack like any other's. */
		if (port_thread_start(&t, "crash", -1, crash_thread,
				      (void *)(u64)kinds[i].fn))
			metal_fatal("crash=: no memory");
		port_thread_join(t);
	}
	metal_fatal("command line: crash=%.20s: no such kind", want);
}
