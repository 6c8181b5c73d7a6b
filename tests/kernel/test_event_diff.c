/* SPDX-License-Identifier: MIT */
/*
 * test_event_diff.c - the same random calls on our pipes, sockets, eventfds and
 * epolls and on those of the kernel that runs the test: results, errors and
 * bytes must be equal. Nothing waits: all descriptors are non-blocking.
 *
 * What is limited by sizes that a system may set (bytes in a socket's queue,
 * datagrams that wait) is kept below them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The kernel's own names for these follow. */
static int linux_epoll_create(void)
{
	return epoll_create1(0);
}
static const int linux_fionread = FIONREAD;
static long linux_ret(long ret)
{
	return ret < 0 ? -errno : ret;
}
static long linux_pipe(int *fd, int flags)
{
	return linux_ret(pipe2(fd, flags));
}
static long linux_pair(int type, int *fd)
{
	return linux_ret(socketpair(AF_UNIX, type, 0, fd));
}
static long linux_eventfd(unsigned n, int flags)
{
	return linux_ret(eventfd(n, flags));
}
static long linux_write(int fd, const void *p, size_t n)
{
	return linux_ret(write(fd, p, n));
}
static long linux_read(int fd, void *p, size_t n)
{
	return linux_ret(read(fd, p, n));
}
static long linux_send(int fd, const void *p, size_t n, int flags)
{
	return linux_ret(send(fd, p, n, flags));
}
static long linux_recv(int fd, void *p, size_t n, int flags)
{
	return linux_ret(recv(fd, p, n, flags));
}
static long linux_shutdown(int fd, int how)
{
	return linux_ret(shutdown(fd, how));
}
static long linux_poll1(int fd, short events)
{
	struct pollfd p = {fd, events, 0};
	long ret = linux_ret(poll(&p, 1, 0));

	return ret < 0 ? ret : p.revents & 0xffff;
}
static long linux_bytes(int fd)
{
	int n = 0;
	long ret = linux_ret(ioctl(fd, (unsigned long)linux_fionread, &n));

	return ret ? ret : n;
}
static long linux_pipe_size(int fd, long size)
{
	return linux_ret(fcntl(fd, F_SETPIPE_SZ, size));
}
static long linux_splice(int in, int out, size_t n)
{
	return linux_ret(splice(in, NULL, out, NULL, n, SPLICE_F_NONBLOCK));
}
static long linux_tee(int in, int out, size_t n)
{
	return linux_ret(tee(in, out, n, SPLICE_F_NONBLOCK));
}
static long linux_ctl(int ep, int op, int fd, unsigned events,
		      unsigned long data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return linux_ret(epoll_ctl(ep, op, fd, &ev));
}
static long linux_wait(int ep, void *ev, int max)
{
	return linux_ret(epoll_wait(ep, ev, max, 0));
}
static const int linux_flags[] = {MSG_DONTWAIT | MSG_NOSIGNAL,
				  MSG_DONTWAIT | MSG_PEEK,
				  MSG_DONTWAIT | MSG_TRUNC};
#undef POLLIN
#undef POLLPRI
#undef POLLOUT
#undef POLLERR
#undef POLLHUP
#undef POLLNVAL
#undef POLLRDNORM
#undef POLLRDBAND
#undef POLLWRNORM
#undef POLLWRBAND
#undef POLLRDHUP
#undef AT_FDCWD
#undef sa_handler
#undef SI_TIMER
#undef NSIG

#include "sim_machine.h"

#include "event_stub.h"

#define SLOTS	  12
#define BYTES_MAX 50000 /* in the queue of a socket */

enum kind { NONE, PIPE_R, PIPE_W, STREAM, DGRAM, SEQ, EVENT, EPOLL };

struct slot {
	enum kind kind;
	int ours, theirs;
	int other;	  /* the slot of the other end, -1: closed */
	long bytes, msgs; /* sent here that nobody has read */
};

static struct {
	struct slot slot[SLOTS];
	struct prng rnd;
	struct mm_struct *mm;
	uva_t mem;
	u64 serial;
} d;

#define MEM_BYTES 65536u
static u8 ours_buf[MEM_BYTES], theirs_buf[MEM_BYTES];

static void said(const char *what, int slot, long a, long b)
{
	snprintf(tm_context, sizeof(tm_context), "%s slot %d kind %d: %ld %ld",
		 what, slot, slot >= 0 ? (int)d.slot[slot].kind : -1, a, b);
	if (getenv("TRACE"))
		fprintf(stderr, "%s\n", tm_context);
}

static int free_slot(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (d.slot[i].kind == NONE)
			return i;
	return -1;
}

static int set_slot(enum kind kind, int ours, int theirs)
{
	int i = free_slot();

	d.slot[i] = (struct slot){
		.kind = kind, .ours = ours, .theirs = theirs, .other = -1};
	return i;
}

static void pair(enum kind a, enum kind b, const s32 *ours, const int *theirs)
{
	int i = set_slot(a, ours[0], theirs[0]);
	int j = set_slot(b, ours[1], theirs[1]);

	d.slot[i].other = j;
	d.slot[j].other = i;
}

static int room(int n)
{
	for (int i = 0; i < SLOTS; i++)
		n -= d.slot[i].kind == NONE;
	return n <= 0;
}

/* ---- making ----------------------------------------------------------------
 */

static void make_pipe(void)
{
	int theirs[2];
	s32 ours[2];

	CHECK_EQ(CALL(293, d.mem, O_NONBLOCK), 0);
	CHECK_EQ(linux_pipe(theirs, O_NONBLOCK), 0);
	CHECK_EQ(sim_copy_from_user(ours, d.mem, 8), 0);
	pair(PIPE_R, PIPE_W, ours, theirs);
}

static void make_pair(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	static const enum kind kinds[] = {STREAM, DGRAM, SEQ};
	u32 k = (u32)prng_below(&d.rnd, 3);
	int theirs[2];
	s32 ours[2];

	CHECK_EQ(CALL(53, 1, types[k] | SOCK_NONBLOCK, 0, d.mem), 0);
	CHECK_EQ(linux_pair(types[k] | SOCK_NONBLOCK, theirs), 0);
	CHECK_EQ(sim_copy_from_user(ours, d.mem, 8), 0);
	pair(kinds[k], kinds[k], ours, theirs);
}

static void make_one(void)
{
	u64 n = prng_below(&d.rnd, 3), flags = O_NONBLOCK;

	if (prng_one_in(&d.rnd, 3)) {
		set_slot(EPOLL, (int)CALL(291, 0), linux_epoll_create());
		return;
	}
	flags |= prng_below(&d.rnd, 2); /* EFD_SEMAPHORE */
	set_slot(EVENT, (int)CALL(290, n, flags),
		 (int)linux_eventfd((unsigned)n, (int)flags));
}

static void make(void)
{
	if (!room(2))
		return;
	switch (prng_below(&d.rnd, 3)) {
	case 0:
		make_pipe();
		break;
	case 1:
		make_pair();
		break;
	default:
		make_one();
	}
}

static void close_slot(int i)
{
	struct slot *s = &d.slot[i];

	said("close", i, s->ours, s->theirs);
	CHECK_EQ(CALL(3, s->ours), 0);
	CHECK_EQ(close(s->theirs), 0);
	if (s->other >= 0)
		d.slot[s->other].other = -1;
	s->kind = NONE;
}

/* ---- moving bytes -----------------------------------------------------------
 */

static u64 some_size(const struct slot *s)
{
	if (s->kind == EVENT)
		return prng_one_in(&d.rnd, 6) ? 4 : 8;
	switch (prng_below(&d.rnd, 5)) {
	case 0:
		return prng_below(&d.rnd, 3);
	case 1:
		return prng_below(&d.rnd, 5000);
	case 2:
		return s->kind == PIPE_W ? prng_below(&d.rnd, 20000) : 100;
	case 3:
		return s->kind == PIPE_W ? 4096 : 7;
	default:
		return prng_below(&d.rnd, 300);
	}
}

static void fill(u64 n)
{
	for (u64 i = 0; i < n; i++)
		ours_buf[i] = (u8)prng_below(&d.rnd, 256);
	/* An eventfd's number stays small, or is one that is refused. */
	if (n == 8) {
		u64 v = prng_below(&d.rnd, 5);

		v = v == 4 ? ~0UL : v;
		memcpy(ours_buf, &v, 8);
	}
	CHECK_EQ(sim_copy_to_user(d.mem, ours_buf, n), 0);
}

/* Is there so little in the other end's queue that limits do not matter? */
static bool may_send(const struct slot *s, u64 n)
{
	const struct slot *o = s->other >= 0 ? &d.slot[s->other] : NULL;

	if (s->kind == PIPE_W || s->kind == EVENT || !o)
		return true;
	return o->bytes + (long)n < BYTES_MAX && o->msgs < 9;
}

static void do_write(int i)
{
	struct slot *s = &d.slot[i];
	u64 n = some_size(s);
	bool sock = s->kind >= STREAM && s->kind <= SEQ;
	s64 ours, theirs;
	u32 f = (u32)prng_below(&d.rnd, 2);

	/* Whether an unread message of no bytes resets who sent it depends on
	 * the kernel's version. */
	if (!may_send(s, n) || (s->kind == SEQ && !n))
		return;
	fill(n);
	if (sock && f) {
		ours = CALL(44, s->ours, d.mem, n, linux_flags[0], 0, 0);
		theirs = linux_send(s->theirs, ours_buf, n, linux_flags[0]);
	} else {
		ours = CALL(1, s->ours, d.mem, n);
		theirs = linux_write(s->theirs, ours_buf, n);
	}
	said("write", i, (long)n, (long)theirs);
	CHECK_EQ(ours, theirs);
	if (s->other >= 0 && ours >= 0) {
		d.slot[s->other].bytes += (long)ours;
		d.slot[s->other].msgs += s->kind != STREAM || ours > 0;
	}
}

static void do_read(int i)
{
	struct slot *s = &d.slot[i];
	u64 n = s->kind == EVENT ? 8 : some_size(s);
	bool sock = s->kind >= STREAM && s->kind <= SEQ, peek;
	u32 f = (u32)prng_below(&d.rnd, 4);
	s64 ours, theirs, got;

	/* Nothing is a message too: what a read of 0 bytes does is its own. */
	if (!n && sock)
		n = 1;
	peek = sock && f == 1;
	if (sock && f < 3) {
		ours = CALL(45, s->ours, d.mem, n, linux_flags[f], 0, 0);
		theirs = linux_recv(s->theirs, theirs_buf, n, linux_flags[f]);
	} else {
		ours = CALL(0, s->ours, d.mem, n);
		theirs = linux_read(s->theirs, theirs_buf, n);
	}
	said("read", i, (long)n, (long)theirs);
	CHECK_EQ(ours, theirs);
	got = ours < (s64)n ? ours : (s64)n;
	if (got > 0) {
		CHECK_EQ(sim_copy_from_user(ours_buf, d.mem, (u64)got), 0);
		CHECK(!memcmp(ours_buf, theirs_buf, (u64)got));
	}
	if (ours >= 0 && !peek) {
		s->bytes = s->bytes > ours ? s->bytes - (long)ours : 0;
		if (s->kind != STREAM && s->msgs)
			s->msgs--;
		else if (s->kind == STREAM && !s->bytes)
			s->msgs = 0;
	}
}

/* ---- asking -----------------------------------------------------------------
 */

static s64 our_poll1(int fd, u16 events)
{
	struct {
		s32 fd;
		u16 events, revents;
	} p = {fd, events, 0};
	s64 ret;

	CHECK_EQ(sim_copy_to_user(d.mem, &p, sizeof(p)), 0);
	ret = CALL(7, d.mem, 1, 0);
	CHECK_EQ(sim_copy_from_user(&p, d.mem, sizeof(p)), 0);
	return ret < 0 ? ret : p.revents;
}

static void do_poll(int i)
{
	static const u16 events[] = {1, 4, 5, 0x2001, 0x2fff, 0};
	u16 e = events[prng_below(&d.rnd, ARRAY_SIZE(events))];
	struct slot *s = &d.slot[i];
	s64 theirs = linux_poll1(s->theirs, (short)e);

	said("poll", i, e, (long)theirs);
	CHECK_EQ(our_poll1(s->ours, e), theirs);
}

static void do_bytes(int i)
{
	struct slot *s = &d.slot[i];
	s64 theirs = linux_bytes(s->theirs), ours;
	s32 n = 0;

	if (s->kind == EVENT || s->kind == EPOLL)
		return;
	said("FIONREAD", i, 0, (long)theirs);
	ours = CALL(16, s->ours, linux_fionread, d.mem);
	CHECK_EQ(sim_copy_from_user(&n, d.mem, 4), 0);
	CHECK_EQ(ours ? ours : n, theirs);
}

static void do_size(int i)
{
	struct slot *s = &d.slot[i];
	u64 size = 1UL << (10 + prng_below(&d.rnd, 8));
	s64 theirs;

	if (s->kind != PIPE_R && s->kind != PIPE_W)
		return;
	theirs = linux_pipe_size(s->theirs, (long)size);
	said("F_SETPIPE_SZ", i, (long)size, (long)theirs);
	CHECK_EQ(CALL(72, s->ours, 1031, size), theirs);
}

/* Between pipes: buffers move, or are shared. */
static void do_splice(int i, int k)
{
	u64 n = prng_below(&d.rnd, 12000);
	bool share = prng_one_in(&d.rnd, 2);
	struct slot *s, *t;
	s64 theirs;

	if (i < 0 || k < 0)
		return;
	s = &d.slot[i];
	t = &d.slot[k];

	theirs = share ? linux_tee(s->theirs, t->theirs, n)
		       : linux_splice(s->theirs, t->theirs, n);
	said(share ? "tee" : "splice", i, k, (long)theirs);
	CHECK_EQ(share ? CALL(276, s->ours, t->ours, n, 2)
		       : CALL(275, s->ours, 0, t->ours, 0, n, 2),
		 theirs);
}

static void do_shutdown(int i)
{
	struct slot *s = &d.slot[i];
	int how = (int)prng_below(&d.rnd, 4);
	s64 theirs;

	if (s->kind < STREAM || s->kind > SEQ || !prng_one_in(&d.rnd, 4))
		return;
	theirs = linux_shutdown(s->theirs, how);
	said("shutdown", i, how, (long)theirs);
	CHECK_EQ(CALL(48, s->ours, how), theirs);
}

/* ---- epoll ------------------------------------------------------------------
 */

static void do_ctl(int ep, int i)
{
	static const u32 flags[] = {0, 0, 1u << 31, 1u << 30, 3u << 30};
	struct __attribute__((packed)) {
		u32 events;
		u64 data;
	} ev;
	int op = 1 + (int)prng_below(&d.rnd, 3);
	struct slot *e = &d.slot[ep], *s = &d.slot[i];
	s64 theirs;

	ev.events = (u32)prng_below(&d.rnd, 8) & 5;
	ev.events |= flags[prng_below(&d.rnd, ARRAY_SIZE(flags))];
	ev.data = ++d.serial;
	CHECK_EQ(sim_copy_to_user(d.mem, &ev, sizeof(ev)), 0);
	theirs = linux_ctl(e->theirs, op, s->theirs, ev.events, ev.data);
	said("epoll_ctl", i, ep * 10 + op, (long)theirs);
	if (getenv("TRACE"))
		fprintf(stderr, " events %x data %llu\n", ev.events,
			(unsigned long long)ev.data);
	CHECK_EQ(CALL(233, e->ours, op, s->ours, d.mem), theirs);
}

struct __attribute__((packed)) event {
	u32 events;
	u64 data;
};

static int by_data(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return x->data < y->data ? -1 : x->data > y->data;
}

static void do_wait(int ep)
{
	struct event *ours = (void *)ours_buf, *theirs = (void *)theirs_buf;
	struct slot *e = &d.slot[ep];
	s64 n = linux_wait(e->theirs, theirs, 2 * SLOTS), k;

	said("epoll_wait", ep, 0, (long)n);
	k = CALL(232, e->ours, d.mem, 2 * SLOTS, 0);
	if (k > 0)
		CHECK_EQ(sim_copy_from_user(ours, d.mem, (u64)k * 12), 0);
	for (s64 i = 0; k != n && i < max(k, n); i++)
		fprintf(stderr, "  ours %x of %llu, theirs %x of %llu\n",
			i < k ? ours[i].events : 0,
			i < k ? (unsigned long long)ours[i].data : 0,
			i < n ? theirs[i].events : 0,
			i < n ? (unsigned long long)theirs[i].data : 0);
	CHECK_EQ(k, n);
	if (n <= 0)
		return;
	qsort(ours, (size_t)n, sizeof(*ours), by_data);
	qsort(theirs, (size_t)n, sizeof(*theirs), by_data);
	for (s64 i = 0; i < n; i++) {
		said("event", ep, (long)ours[i].events, (long)theirs[i].events);
		CHECK_EQ(ours[i].data, theirs[i].data);
		CHECK_EQ(ours[i].events, theirs[i].events);
	}
}

/* ---- the walk
 * ---------------------------------------------------------------- */

static int some_slot(enum kind kind)
{
	int at = (int)prng_below(&d.rnd, SLOTS);

	for (int i = 0; i < SLOTS; i++) {
		int k = (at + i) % SLOTS;

		if (d.slot[k].kind != NONE &&
		    (kind == NONE || d.slot[k].kind == kind))
			return k;
	}
	return -1;
}

static void step(void)
{
	int i = some_slot(NONE), ep = some_slot(EPOLL);

	es_clear(&es.task[0]);
	if (i < 0 || prng_one_in(&d.rnd, 12)) {
		make();
		return;
	}
	if (prng_one_in(&d.rnd, 40)) {
		close_slot(i);
		return;
	}
	switch (prng_below(&d.rnd, 15)) {
	case 0 ... 3:
		do_write(i);
		break;
	case 4 ... 6:
		do_read(i);
		break;
	case 7:
		do_bytes(i);
		break;
	case 8:
		do_shutdown(i);
		break;
	case 9:
		do_size(i);
		break;
	case 10:
		if (ep >= 0)
			do_ctl(ep, i);
		break;
	case 11:
	case 12:
		if (ep >= 0)
			do_wait(ep);
		break;
	case 13:
		do_splice(some_slot(PIPE_R), some_slot(PIPE_W));
		break;
	default:
		do_poll(i);
	}
}

static void one_walk(u64 steps)
{
	memset(&d, 0, sizeof(d));
	d.mm = tm_mm();
	tm_use(d.mm);
	es_start_files(d.mm);
	d.mem = tm_map(d.mm, MEM_BYTES >> PAGE_SHIFT);
	prng_seed(&d.rnd, tm.cfg.seed);
	for (u64 k = 0; k < steps; k++)
		step();
	for (int i = 0; i < SLOTS; i++)
		if (d.slot[i].kind != NONE)
			close_slot(i);
	es_stop_files();
	tm_use(NULL);
	mm_put(d.mm);
}

/* The same again and again: caches of objects keep structures that they made
 * when they were first needed, but what is lost at each walk is a leak. */
static int walk_body(void *arg)
{
	u64 steps = test_iters(tm_soak() ? 100000 : 6000), left;

	(void)arg;
	one_walk(steps);
	for (u32 again = 0; again < 4; again++) {
		left = tm_settle();
		one_walk(steps);
		if (tm_settle() == left)
			return 0;
	}
	CHECK(!"each walk loses frames");
	return 0;
}

static void walk(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	for (u64 k = 0; k < (tm_soak() ? 20u : 4u); k++) {
		fprintf(stderr, "walk: SEED=%llu\n",
			(unsigned long long)(seed + k));
		TM_RUN(walk_body, .cpus = 1, .seed = seed + k,
		       .no_audit = true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
