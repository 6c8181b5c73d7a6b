/* SPDX-License-Identifier: MIT */
/*
 * test_unix.c - files in messages of AF_UNIX sockets: they arrive, they count,
 * and sockets that nobody can reach any more are found.
 *
 * A model knows for a random run who can be reached: descriptors are roots, a
 * socket's queue leads to what was sent to it.
 */
#include "sim_machine.h"

#include "base/seqbuf.h"
#include "event.h"
#include "event/sock.h"
#include "event_stub.h"
#include "task/task_priv.h"

#define SOL_SOCKET 1
#define SCM_RIGHTS 1

static struct mm_struct *um;
static uva_t area;

static int unix_main(void *arg)
{
	int (*body)(void *) = (int (*)(void *))(uintptr_t)arg;
	int ret;

	um = tm_mm();
	area = tm_map(um, 4);
	tm_use(um);
	es_start_files(um);
	ret = body(NULL);
	es_stop_files();
	mm_put(um);
	return ret;
}

#define UNIX_RUN(fn, ...)                                          \
	tm_run(&(struct tm_config){.body = unix_main,              \
				   .arg = (void *)(uintptr_t)(fn), \
				   __VA_ARGS__})

static void put(u64 off, const void *p, u64 n)
{
	CHECK_EQ(user_write(area + off, p, n), 0);
}

static void get(u64 off, void *p, u64 n)
{
	CHECK_EQ(user_read(p, area + off, n), 0);
}

static s64 pair(u32 type, s32 fd[2])
{
	s64 ret = CALL(53, AF_UNIX, type, 0, area);

	if (!ret)
		get(0, fd, 8);
	return ret;
}

static void shut(int fd)
{
	CHECK_EQ(CALL(3, fd), 0);
}

/* Lay a struct msghdr of one byte and NR descriptors' room at AREA. */
static void head(u32 nr)
{
	u64 h[7] = {0, 0, area + 512, 1, area + 1024, 16 + 4UL * nr, 0};
	u64 iov[2] = {area + 600, 1};

	put(0, h, sizeof(h));
	put(512, iov, sizeof(iov));
	put(600, "x", 1);
}

static s64 send_fds(int to, const s32 *fd, u32 nr)
{
	struct {
		u64 len;
		s32 level, type;
	} c = {16 + 4UL * nr, SOL_SOCKET, SCM_RIGHTS};

	head(nr);
	put(1024, &c, sizeof(c));
	put(1040, fd, 4UL * nr);
	return CALL(46, to, area, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* How many descriptors came; -errno, ENDED. */
#define ENDED (-1000)
static s64 recv_fds(int from, s32 *fd, u32 nr, u32 flags)
{
	u64 h[7], len;
	s64 ret;

	head(nr);
	ret = CALL(47, from, area, MSG_DONTWAIT | flags);
	if (ret <= 0)
		return ret ? ret : ENDED;
	get(0, h, sizeof(h));
	if (h[5] < 16)
		return 0;
	get(1024, &len, sizeof(len));
	get(1040, fd, len - 16);
	return (s64)(len - 16) / 4;
}

/* ---- arrival ---------------------------------------------------------------
 */

static int arrive_body(void *arg)
{
	s32 a[2], b[2], got[4], two[2];

	(void)arg;
	for (u32 type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
		if (type != SOCK_STREAM && type != SOCK_DGRAM &&
		    type != SOCK_SEQPACKET)
			continue;
		CHECK_EQ(pair(type, a), 0);
		CHECK_EQ(pair(SOCK_STREAM, b), 0);
		two[0] = b[0];
		two[1] = a[1];
		CHECK_EQ(send_fds(a[0], two, 2), 1);
		shut(b[0]);
		/* A look leaves them there. */
		CHECK_EQ(recv_fds(a[1], got, 4, MSG_PEEK), 2);
		shut(got[0]);
		shut(got[1]);
		CHECK_EQ(recv_fds(a[1], got, 4, 0), 2);
		CHECK_EQ(CALL(1, b[1], area + 600, 1), 1);
		CHECK_EQ(CALL(0, got[0], area + 700, 1), 1);
		shut(got[0]);
		shut(got[1]);
		/* Two came, room for one. */
		two[0] = two[1] = b[1];
		CHECK_EQ(send_fds(a[0], two, 2), 1);
		CHECK_EQ(recv_fds(a[1], got, 1, 0), 1);
		shut(got[0]);
		shut(a[0]);
		shut(a[1]);
		shut(b[1]);
	}
	return 0;
}

/* Who may not send any more does not keep who he would send to. */
static int shut_body(void *arg)
{
	s32 a[2];

	(void)arg;
	for (u32 i = 0; i < 100; i++) {
		CHECK_EQ(pair(SOCK_DGRAM, a), 0);
		CHECK_EQ(CALL(48, a[0], 1), 0);
		CHECK_EQ(send_fds(a[0], a, 1), -EPIPE);
		shut(a[0]);
		shut(a[1]);
	}
	return 0;
}

static void arrive(void **state)
{
	(void)state;
	UNIX_RUN(arrive_body);
	UNIX_RUN(shut_body);
}

/* ---- who cannot be reached -------------------------------------------------
 */

/* Another socket ends, which is when one looks. */
static void look(void)
{
	s32 p[2];

	CHECK_EQ(pair(SOCK_STREAM, p), 0);
	shut(p[0]);
	shut(p[1]);
}

static int cycles_body(void *arg)
{
	s32 a[2], b[2], c[2], got[2];
	u64 was = sock_collected();

	(void)arg;
	/* In its own queue. */
	CHECK_EQ(pair(SOCK_STREAM, a), 0);
	CHECK_EQ(send_fds(a[1], &a[0], 1), 1);
	shut(a[0]);
	shut(a[1]);
	CHECK_EQ(sock_collected() - was, 1);
	/* Each in the other's. */
	CHECK_EQ(pair(SOCK_DGRAM, a), 0);
	CHECK_EQ(send_fds(a[1], &a[1], 1), 1);
	CHECK_EQ(send_fds(a[0], &a[0], 1), 1);
	shut(a[0]);
	shut(a[1]);
	look();
	CHECK_EQ(sock_collected() - was, 3);
	/* Two pairs crossed; one descriptor keeps all of it. */
	CHECK_EQ(pair(SOCK_STREAM, a), 0);
	CHECK_EQ(pair(SOCK_SEQPACKET, b), 0);
	CHECK_EQ(send_fds(a[0], &b[1], 1), 1); /* b1 in a1's queue */
	CHECK_EQ(send_fds(b[0], &a[1], 1), 1); /* a1 in b1's */
	c[0] = (s32)CALL(32, a[1]);
	CHECK(c[0] >= 0);
	shut(a[0]);
	shut(a[1]);
	shut(b[0]);
	shut(b[1]);
	look();
	CHECK_EQ(sock_collected() - was, 3);
	CHECK_EQ(recv_fds(c[0], got, 1, 0), 1);
	CHECK_EQ(recv_fds(got[0], got + 1, 1, 0), 1);
	CHECK_EQ(recv_fds(c[0], got, 1, 0), ENDED);
	shut(c[0]);
	shut(got[0]);
	shut(got[1]);
	CHECK_EQ(sock_collected() - was, 3);
	return 0;
}

/* What waits to be accepted is read through who listens. */
static int listener_body(void *arg)
{
	struct {
		u16 family;
		char name[6];
	} n = {AF_UNIX, {0, 'm', 'm', 'g', 'c', 0}};
	u64 was = sock_collected();
	s32 l, c;

	(void)arg;
	for (int keep = 0; keep < 2; keep++) {
		n.name[5] = (char)keep;
		l = (s32)CALL(41, AF_UNIX, SOCK_STREAM, 0);
		put(2000, &n, sizeof(n));
		CHECK_EQ(CALL(49, l, area + 2000, sizeof(n)), 0);
		CHECK_EQ(CALL(50, l, 5), 0);
		c = (s32)CALL(41, AF_UNIX, SOCK_STREAM, 0);
		CHECK_EQ(CALL(42, c, area + 2000, sizeof(n)), 0);
		CHECK_EQ(send_fds(c, &l, 1), 1);
		if (!keep)
			shut(l);
		shut(c);
		look();
		CHECK_EQ(sock_collected() - was, 1);
		if (keep) {
			c = (s32)CALL(43, l, 0, 0);
			CHECK(c >= 0);
			shut(l);
			CHECK_EQ(recv_fds(c, &l, 1, 0), 1);
			shut(c);
			shut(l);
		}
	}
	return 0;
}

/* A chain is as long as one likes and freed from its head. */
static int chain_body(void *arg)
{
	s32 a[2], next = -1;

	(void)arg;
	for (int i = 0; i < 20000; i++) {
		CHECK_EQ(pair(SOCK_DGRAM, a), 0);
		if (next >= 0) {
			CHECK_EQ(send_fds(a[0], &next, 1), 1);
			shut(next);
		}
		shut(a[0]);
		next = a[1];
	}
	shut(next);
	return 0;
}

static int limit_body(void *arg)
{
	struct user u = {0};
	s32 a[2], got[4];

	(void)arg;
	current->user = &u;
	es.may = false;
	es.nofile = 10;
	CHECK_EQ(pair(SOCK_STREAM, a), 0);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(send_fds(a[0], a, 2), 1);
	CHECK_EQ(u.flights, 10);
	CHECK_EQ(send_fds(a[0], a, 1), -109 /* ETOOMANYREFS */);
	es.may = true;
	CHECK_EQ(send_fds(a[0], a, 1), 1);
	es.may = false;
	CHECK_EQ(u.flights, 11);
	CHECK_EQ(recv_fds(a[1], got, 2, 0), 2);
	shut(got[0]);
	shut(got[1]);
	CHECK_EQ(u.flights, 9);
	CHECK_EQ(send_fds(a[0], a, 1), 1);
	shut(a[0]);
	shut(a[1]);
	look();
	CHECK(u.flights == 0 && es.user_holds == 0);
	current->user = NULL;
	es.may = true;
	return 0;
}

static void unreachable(void **state)
{
	(void)state;
	UNIX_RUN(cycles_body);
	UNIX_RUN(listener_body);
	UNIX_RUN(limit_body);
	UNIX_RUN(chain_body, .mem = 128UL << 20);
}

/* ---- against a model -------------------------------------------------------
 */

#define PAIRS	12u
#define FLIGHTS 60u

static struct {
	bool alive[2 * PAIRS]; /* the socket is there */
	bool open[2 * PAIRS];  /* by a descriptor */
	s32 fd[2 * PAIRS];
	struct {
		u32 what, in; /* WHAT is in IN's queue, in order of sending */
	} fly[FLIGHTS];
	u32 nr;
	u64 collected;
} md;

static void md_drop(u32 i)
{
	memmove(&md.fly[i], &md.fly[i + 1],
		(md.nr - i - 1) * sizeof(md.fly[0]));
	md.nr--;
}

/* Who is neither open nor in a queue that can be read goes, with its queue. */
static void md_settle(void)
{
	bool reached[2 * PAIRS], again = true;

	memcpy(reached, md.open, sizeof(reached));
	while (again) {
		again = false;
		for (u32 i = 0; i < md.nr; i++) {
			if (reached[md.fly[i].in] && !reached[md.fly[i].what])
				reached[md.fly[i].what] = again = true;
		}
	}
	for (u32 s = 0; s < 2 * PAIRS; s++) {
		if (!md.alive[s] || reached[s])
			continue;
		md.alive[s] = false;
		for (u32 i = md.nr; i-- > 0;)
			if (md.fly[i].in == s)
				md_drop(i);
	}
}

static void md_check(void)
{
	for (u32 p = 0; p < PAIRS; p++) {
		for (u32 k = 0; k < 2; k++) {
			u32 s = 2 * p + k, o = s ^ 1;
			s64 ret;

			/* A peer that is gone: the pipe is broken. */
			if (!md.open[s])
				continue;
			head(0);
			ret = CALL(44, md.fd[s], area + 600, 1,
				   MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
			/* It went with something unread: that comes first. */
			CHECK(md.alive[o]
				      ? ret == 1
				      : ret == -EPIPE || ret == -ECONNRESET);
		}
	}
	/* Take the bytes away again. */
	for (u32 s = 0; s < 2 * PAIRS; s++) {
		u32 files = 0;
		s32 got[4];
		s64 ret;

		if (!md.open[s])
			continue;
		for (u32 i = md.nr; i-- > 0;)
			files += md.fly[i].in == s;
		for (u32 i = md.nr; i-- > 0;)
			if (md.fly[i].in == s)
				md_drop(i);
		md_settle();
		while ((ret = recv_fds(md.fd[s], got, 4, 0)) >= 0 ||
		       ret == -ECONNRESET) {
			for (s64 k = 0; k < ret; k++)
				shut(got[k]);
			files -= ret > 0 ? (u32)ret : 0;
		}
		/* Who cannot be reached any more may be gone by now. */
		CHECK(ret == -EAGAIN || (!md.alive[s ^ 1] && ret == ENDED));
		CHECK_EQ(files, 0);
	}
	look();
	md_settle();
}

static void md_step(struct prng *p)
{
	u32 s = (u32)prng_below(p, 2 * PAIRS);
	u32 to = (u32)prng_below(p, 2 * PAIRS);
	s32 fd[2];

	if (!md.alive[s] && !md.alive[s ^ 1]) {
		CHECK_EQ(pair(SOCK_SEQPACKET, fd), 0);
		for (u32 k = 0; k < 2; k++) {
			md.fd[(s & ~1u) + k] = fd[k];
			md.open[(s & ~1u) + k] = md.alive[(s & ~1u) + k] = true;
		}
	} else if (md.open[s] && md.open[to] && md.alive[to ^ 1] &&
		   md.nr < FLIGHTS && prng_below(p, 5)) {
		/* Into the queue of TO's other end. */
		CHECK_EQ(send_fds(md.fd[to], &md.fd[s], 1), 1);
		md.fly[md.nr].what = s;
		md.fly[md.nr++].in = to ^ 1;
	} else if (md.open[s]) {
		shut(md.fd[s]);
		md.open[s] = false;
		look();
		md_settle();
	}
}

static u64 md_seed;

static int model_body(void *arg)
{
	struct prng p;

	(void)arg;
	prng_seed(&p, md_seed);
	memset(&md, 0, sizeof(md));
	for (u64 i = 0; i < test_iters(600); i++) {
		md_step(&p);
		if (prng_below(&p, 60) == 0)
			md_check();
	}
	for (u32 s = 0; s < 2 * PAIRS; s++)
		if (md.open[s])
			shut(md.fd[s]);
	look();
	return 0;
}

static void model(void **state)
{
	struct prng p;

	(void)state;
	test_seed(&p, "test_unix");
	for (int i = 0; i < 20; i++) {
		md_seed = prng_u64(&p);
		UNIX_RUN(model_body);
	}
}

/* ---- /proc/net/unix ---------------------------------------------------------
 */

static char listing[65536];

/* The lines of the sockets there are now. */
static u32 list_sockets(void)
{
	struct seq_buf out;
	u32 n = 0;

	seq_buf_init(&out, listing, sizeof(listing));
	sock_show_unix(&out);
	(void)seq_buf_str(&out);
	CHECK(strstr(listing, "Num       RefCount Protocol Flags    Type St "
			      "Inode Path\n") == listing);
	for (const char *s = listing; (s = strchr(s, '\n')); s++)
		n++;
	return n - 1;
}

/* A socket with an abstract name, "@" and NAME. */
static s64 named(u32 type, const char *name)
{
	s64 fd = CALL(41, AF_UNIX, type, 0);
	u16 family = AF_UNIX;

	CHECK(fd >= 0);
	put(0, &family, 2);
	put(2, "", 1);
	put(3, name, strlen(name));
	CHECK_EQ(CALL(49, fd, area, 3 + strlen(name)), 0);
	return fd;
}

static int listed_body(void *arg)
{
	s64 server = named(SOCK_STREAM, "a server"), client, end;
	s32 fd[2], many[200];

	(void)arg;
	CHECK_EQ(list_sockets(), 1);
	CHECK(strstr(listing, ": 00000002 00000000 00000000 0001 01 ") ||
	      strstr(listing, ": 00000001 00000000 00000000 0001 01 "));
	CHECK(strstr(listing, " @a server\n"));
	CHECK_EQ(CALL(50, server, 5), 0);
	CHECK_EQ(list_sockets(), 1);
	CHECK(strstr(listing, " 00000000 00010000 0001 01 "));
	/* In the line: the server's end is there, and no file of it. */
	client = CALL(41, AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(CALL(42, client, area, 11), 0);
	CHECK_EQ(list_sockets(), 3);
	CHECK(strstr(listing, " 00000000 0001 02     0 @a server\n"));
	CHECK(strstr(listing, " 00000000 0001 03 "));
	end = CALL(43, server, 0, 0);
	CHECK_EQ(list_sockets(), 3);
	CHECK(!strstr(listing, " 0001 02 "));
	shut((int)end);
	shut((int)client);
	shut((int)server);
	CHECK_EQ(list_sockets(), 0);
	/* More than are taken at a time; each once. */
	for (u32 i = 0; i < 200; i += 2) {
		CHECK_EQ(pair(i % 4 ? SOCK_STREAM : SOCK_DGRAM, fd), 0);
		many[i] = fd[0];
		many[i + 1] = fd[1];
	}
	CHECK_EQ(list_sockets(), 200);
	for (u32 i = 0; i < 200; i += 3)
		shut(many[i]);
	CHECK_EQ(list_sockets(), 133);
	for (u32 i = 0; i < 200; i++)
		if (i % 3)
			shut(many[i]);
	CHECK_EQ(list_sockets(), 0);
	return 0;
}

static void listed(void **state)
{
	(void)state;
	UNIX_RUN(listed_body);
}

/* The same of the machine's own addresses, and how many there are. */
static int inet_body(void *arg)
{
	const u8 name[16] = {2, 0, 0x1b, 0x58, 127, 0, 0, 1};
	s64 tcp = CALL(41, AF_INET, SOCK_STREAM, 0);
	s64 udp = CALL(41, AF_INET6, SOCK_DGRAM, 0);
	struct seq_buf out;

	(void)arg;
	CHECK(tcp >= 0 && udp >= 0);
	put(0, name, sizeof(name));
	CHECK_EQ(CALL(49, tcp, area, 16), 0);
	CHECK_EQ(CALL(50, tcp, 5), 0);
	seq_buf_init(&out, listing, sizeof(listing));
	sock_show_inet(&out, false, SOCK_STREAM);
	(void)seq_buf_str(&out);
	CHECK(strstr(listing, "   0: 0100007F:1B58 00000000:0000 0A 00000000:"
			      "00000000 00:00000000 00000000     0        0 "));
	/* One without a name is in no table. */
	seq_buf_init(&out, listing, sizeof(listing));
	sock_show_inet(&out, true, SOCK_DGRAM);
	(void)seq_buf_str(&out);
	CHECK_EQ(strchr(listing, '\n')[1], 0);
	seq_buf_init(&out, listing, sizeof(listing));
	sock_show_sums(&out, false);
	sock_show_sums(&out, true);
	(void)seq_buf_str(&out);
	CHECK(strstr(listing, "sockets: used 2\nTCP: inuse 1 "));
	CHECK(strstr(listing, "\nTCP6: inuse 0\nUDP6: inuse 1\n"));
	shut((int)tcp);
	shut((int)udp);
	return 0;
}

static void inet(void **state)
{
	(void)state;
	UNIX_RUN(inet_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrive), cmocka_unit_test(unreachable),
		cmocka_unit_test(model),  cmocka_unit_test(listed),
		cmocka_unit_test(inet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
