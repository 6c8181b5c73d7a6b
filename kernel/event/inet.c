/* SPDX-License-Identifier: MIT */
/*
 * inet.c - names of AF_INET and AF_INET6 sockets: addresses of this machine
 * and ports.
 *
 * There is one interface, the loopback: 127.0.0.0/8, ::1, and these seen
 * through IPv6 (::ffff:127.0.0.1). Other addresses cannot be bound
 * (-EADDRNOTAVAIL) and are not reached (-ENETUNREACH). Inside, an address is 16
 * bytes, IPv4 in its mapped form, so that a socket of one family serves the
 * other where Linux lets it (no IPV6_V6ONLY).
 *
 * Each protocol has a table of who is bound, by port. A port can be had again
 * while connections of it are left (there is no TIME_WAIT: both ends see each
 * other go).
 *
 * References: ip(7), ipv6(7), tcp(7), udp(7), RFC 4291.
 */
#include "sock.h"

#define INET_HASH	     256u
#define FIRST_FREE_PORT	     32768u
#define LAST_FREE_PORT	     60999u
#define PORT_RESERVED	     1024u
#define CAP_NET_BIND_SERVICE 10
#define CAP_NET_RAW	     13

struct user_sockaddr_in {
	u16 family;
	u8 port[2];
	u8 addr[4];
	u8 zero[8];
};
struct user_sockaddr_in6 {
	u16 family;
	u8 port[2];
	u32 flow;
	u8 addr[16];
	u32 scope;
};

struct inet_addr {
	u8 ip[16];
	u16 port;
};

static struct {
	spinlock_t lock;
	struct list_head table[2][INET_HASH]; /* TCP, UDP: sock.bound */
	u32 next_port;			      /* (lock) */
} inet_sys;

static const u8 v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const u8 v6_loopback[16] = {[15] = 1};

/* ---- addresses -------------------------------------------------------------
 */

static bool is_v4(const struct inet_addr *a)
{
	return !mm_memcmp(a->ip, v4_prefix, sizeof(v4_prefix));
}

static bool is_any(const struct inet_addr *a)
{
	u32 from = is_v4(a) ? 12 : 0;

	return !mm_memchr_inv(a->ip + from, 0, 16 - from);
}

/* Does it lead to this machine? */
static bool is_local(const struct inet_addr *a)
{
	if (is_v4(a))
		return a->ip[12] == 127;
	return !mm_memcmp(a->ip, v6_loopback, sizeof(v6_loopback));
}

/* The address of this machine, in the form that A has. */
static void to_loopback(struct inet_addr *a)
{
	bool v4 = is_v4(a);

	mm_memcpy(a->ip, v6_loopback, sizeof(v6_loopback));
	if (v4) {
		mm_memcpy(a->ip, v4_prefix, sizeof(v4_prefix));
		a->ip[12] = 127;
	}
}

/* NAME, of a family that SK can use. -EINVAL, -EAFNOSUPPORT. */
static int parse(const struct sock *sk, const struct sock_name *n,
		 struct inet_addr *out)
{
	struct user_sockaddr_in a4;
	struct user_sockaddr_in6 a6;

	if (n->len < sizeof(u16))
		return -EINVAL;
	if (n->family == AF_INET && n->len >= sizeof(a4)) {
		mm_memcpy(&a4, n->bytes, sizeof(a4));
		mm_memcpy(out->ip, v4_prefix, sizeof(v4_prefix));
		mm_memcpy(out->ip + 12, a4.addr, 4);
		out->port = (u16)(a4.port[0] << 8 | a4.port[1]);
		return sk->family == AF_INET ? 0 : -EAFNOSUPPORT;
	}
	if (n->family == AF_INET6 && n->len >= 24) {
		mm_memset(&a6, 0, sizeof(a6));
		mm_memcpy(&a6, n->bytes, min(n->len, (u32)sizeof(a6)));
		mm_memcpy(out->ip, a6.addr, 16);
		out->port = (u16)(a6.port[0] << 8 | a6.port[1]);
		if (sk->family != AF_INET6)
			return -EAFNOSUPPORT;
		return is_v4(out) && sk->v6only ? -ENETUNREACH : 0;
	}
	return n->family == AF_INET || n->family == AF_INET6 ? -EINVAL
							     : -EAFNOSUPPORT;
}

/* A as a name of FAMILY. */
static void unparse(u16 family, const struct inet_addr *a, struct sock_name *n)
{
	struct user_sockaddr_in a4 = {.family = AF_INET};
	struct user_sockaddr_in6 a6 = {.family = AF_INET6};
	u8 port[2] = {(u8)(a->port >> 8), (u8)a->port};

	mm_memset(n, 0, sizeof(*n));
	if (family == AF_INET) {
		mm_memcpy(a4.addr, a->ip + 12, 4);
		mm_memcpy(a4.port, port, 2);
		n->len = sizeof(a4);
		mm_memcpy(n->bytes, &a4, sizeof(a4));
	} else {
		mm_memcpy(a6.addr, a->ip, 16);
		mm_memcpy(a6.port, port, 2);
		n->len = sizeof(a6);
		mm_memcpy(n->bytes, &a6, sizeof(a6));
	}
}

static void own_addr(const struct sock *sk, struct inet_addr *out)
{
	mm_memset(out, 0, sizeof(*out));
	if (sk->name.len)
		(void)parse(sk, &sk->name, out);
	else if (sk->family == AF_INET)
		mm_memcpy(out->ip, v4_prefix, sizeof(v4_prefix));
}

static bool has_port(const struct sock *sk)
{
	struct inet_addr a;

	own_addr(sk, &a);
	return a.port != 0;
}

/* ---- the table -------------------------------------------------------------
 */

static struct list_head *bucket(const struct sock *sk, u16 port)
{
	return &inet_sys.table[sk->type == SOCK_DGRAM][port % INET_HASH];
}

/* Would a packet for one of the two reach the other as well? */
static bool overlap(const struct sock *s, const struct inet_addr *a,
		    const struct sock *t, const struct inet_addr *b)
{
	if (is_any(a) && is_any(b)) {
		if (is_v4(a) == is_v4(b))
			return true;
		return is_v4(a) ? !t->v6only : !s->v6only;
	}
	if (is_any(a))
		return is_v4(a) == is_v4(b) || (!is_v4(a) && !s->v6only);
	if (is_any(b))
		return is_v4(a) == is_v4(b) || (!is_v4(b) && !t->v6only);
	return !mm_memcmp(a->ip, b->ip, 16);
}

/* May SK be bound to A? inet_sys.lock held. */
static bool port_free(const struct sock *sk, const struct inet_addr *a)
{
	struct inet_addr b;
	struct sock *t;

	list_for_each_entry (t, bucket(sk, a->port), bound) {
		own_addr(t, &b);
		if (b.port != a->port || !overlap(sk, a, t, &b))
			continue;
		if (sk->reuseport && t->reuseport)
			continue;
		if (sk->reuseaddr && t->reuseaddr &&
		    (sk->type == SOCK_DGRAM || t->state != SS_LISTEN))
			continue;
		return false;
	}
	return true;
}

static void enter(struct sock *sk, const struct inet_addr *a)
{
	unparse(sk->family, a, &sk->name);
	list_add(&sk->bound, bucket(sk, a->port));
}

/* A port that nobody has at this address; 0: all are taken. */
static u16 some_port(const struct sock *sk, struct inet_addr *a)
{
	u32 n = LAST_FREE_PORT - FIRST_FREE_PORT + 1;

	for (u32 i = 0; i < n; i++) {
		a->port = (u16)(FIRST_FREE_PORT + inet_sys.next_port++ % n);
		if (port_free(sk, a))
			return a->port;
	}
	return 0;
}

static int bind_addr(struct sock *sk, struct inet_addr *a)
{
	int err = 0;

	spin_lock(&inet_sys.lock);
	if (has_port(sk))
		err = -EINVAL;
	else if (!a->port && !some_port(sk, a))
		err = -EADDRINUSE;
	else if (!port_free(sk, a))
		err = -EADDRINUSE;
	else
		enter(sk, a);
	spin_unlock(&inet_sys.lock);
	return err;
}

static int inet_bind(struct sock *sk, const struct sock_name *n)
{
	struct inet_addr a;
	bool own_port;
	int err = n->family == sk->family ? parse(sk, n, &a) : -EAFNOSUPPORT;

	if (err)
		return n->len < 16 ? -EINVAL : err;
	if (!is_any(&a) && !is_local(&a))
		return -EADDRNOTAVAIL;
	if (a.port && a.port < PORT_RESERVED && !capable(CAP_NET_BIND_SERVICE))
		return -EACCES;
	own_port = a.port != 0;
	err = bind_addr(sk, &a);
	if (!err) {
		sk->own_port = own_port;
		sk->own_addr = !is_any(&a);
	}
	return err;
}

static int inet_autobind(struct sock *sk)
{
	struct inet_addr a;

	own_addr(sk, &a);
	if (a.port)
		return 0;
	return bind_addr(sk, &a) ? -EADDRNOTAVAIL : 0;
}

static void inet_unbind(struct sock *sk)
{
	spin_lock(&inet_sys.lock);
	if (!list_empty(&sk->bound))
		list_del_init(&sk->bound);
	spin_unlock(&inet_sys.lock);
}

static void inet_forget(struct sock *sk)
{
	struct inet_addr a;

	spin_lock(&inet_sys.lock);
	own_addr(sk, &a);
	if (!sk->own_addr) {
		bool v4 = is_v4(&a);

		mm_memset(a.ip, 0, sizeof(a.ip));
		if (v4)
			mm_memcpy(a.ip, v4_prefix, sizeof(v4_prefix));
	}
	if (!sk->own_port) {
		list_del_init(&sk->bound);
		a.port = 0;
	}
	if (sk->own_port || sk->own_addr)
		unparse(sk->family, &a, &sk->name);
	else
		sk->name.len = 0;
	spin_unlock(&inet_sys.lock);
}

/* ---- finding ---------------------------------------------------------------
 */

/* Who sends is seen at an address, as one of family FAMILY sees it. */
static void source_name(struct sock *sk, u16 family, struct sock_name *out)
{
	struct inet_addr a;

	own_addr(sk, &a);
	if (is_any(&a))
		to_loopback(&a);
	unparse(family, &a, out);
}

static void inet_source(struct sock *sk, const struct sock *to,
			struct sock_name *out)
{
	spin_lock(&inet_sys.lock);
	source_name(sk, to->family, out);
	spin_unlock(&inet_sys.lock);
}

/* How well T's name fits A: 0 not, 1 by its port, 2 by its address, 3: it is
 * connected to SK. */
static int fits(const struct sock *t, const struct inet_addr *a,
		struct sock *sk)
{
	struct sock_name source;
	struct inet_addr b;

	own_addr(t, &b);
	if (b.port != a->port)
		return 0;
	if (sk->type == SOCK_STREAM && t->state != SS_LISTEN)
		return 0;
	if (sk->type == SOCK_DGRAM && t->state == SS_CONNECTED) {
		source_name(sk, t->family, &source);
		if (t->peer_name.len != source.len ||
		    mm_memcmp(t->peer_name.bytes, source.bytes, source.len))
			return 0;
		return 3;
	}
	if (is_any(&b))
		return is_v4(&b) == is_v4(a) || (!is_v4(&b) && !t->v6only);
	return mm_memcmp(b.ip, a->ip, 16) ? 0 : 2;
}

static struct sock *best_fit(struct sock *sk, const struct inet_addr *a)
{
	struct sock *t, *best = NULL;
	int fit, best_fits = 0;

	spin_lock(&inet_sys.lock);
	list_for_each_entry (t, bucket(sk, a->port), bound) {
		fit = fits(t, a, sk);
		if (fit > best_fits) {
			best_fits = fit;
			best = t;
		}
	}
	if (best)
		(void)sock_get(best);
	spin_unlock(&inet_sys.lock);
	return best;
}

/* Who connects from no address connects from the one it is seen at. */
static void take_source(struct sock *sk, const struct inet_addr *to)
{
	struct inet_addr own;

	spin_lock(&inet_sys.lock);
	own_addr(sk, &own);
	if (is_any(&own)) {
		mm_memcpy(own.ip, to->ip, 16);
		to_loopback(&own);
		unparse(sk->family, &own, &sk->name);
	}
	spin_unlock(&inet_sys.lock);
}

static int inet_find(struct sock *sk, const struct sock_name *n,
		     struct sock **out)
{
	struct inet_addr a;
	int err = parse(sk, n, &a);

	if (err)
		return err;
	/* To any address is to this machine. */
	if (is_any(&a))
		to_loopback(&a);
	if (!is_local(&a))
		return -ENETUNREACH;
	if (sk->type == SOCK_STREAM || !out)
		take_source(sk, &a);
	if (!out)
		return 0;
	*out = a.port ? best_fit(sk, &a) : NULL;
	return *out ? 0 : -ECONNREFUSED;
}

/* The server's end has the address that the client named; its port stays the
 * listener's, it does not enter the table. Both are locked. */
static void inet_accepted(struct sock *end, struct sock *client)
{
	struct inet_addr a;

	if (parse(client, &client->target, &a))
		return;
	if (is_any(&a))
		to_loopback(&a);
	unparse(end->family, &a, &end->name);
	unparse(client->family, &a, &client->peer_name);
	own_addr(client, &a);
	unparse(end->family, &a, &end->peer_name);
}

const struct sock_ops inet_ops = {
	.bind = inet_bind,
	.find = inet_find,
	.autobind = inet_autobind,
	.accepted = inet_accepted,
	.source = inet_source,
	.unbind = inet_unbind,
	.forget = inet_forget,
};

void inet_init(void)
{
	spin_lock_init(&inet_sys.lock, LOCK_CLASS_NONE);
	for (u32 i = 0; i < INET_HASH; i++) {
		INIT_LIST_HEAD(&inet_sys.table[0][i]);
		INIT_LIST_HEAD(&inet_sys.table[1][i]);
	}
	inet_sys.next_port = 0;
}
