/* SPDX-License-Identifier: MIT */
/*
 * sockopt.c - getsockopt(2), setsockopt(2).
 *
 * Some options change what a socket does; they have cases here. Others speak
 * of a network that is not there (keep-alive probes, types of service, corks):
 * they are checked, remembered and told again, as they would be by a Linux
 * whose only interface is the loopback, where they show no effect either.
 * What no table names is -ENOPROTOOPT.
 *
 * References: socket(7), tcp(7), ip(7), ipv6(7), unix(7).
 */
#include "sock.h"

#define SO_REUSEADDR   2
#define SO_TYPE	       3
#define SO_ERROR       4
#define SO_SNDBUF      7
#define SO_RCVBUF      8
#define SO_LINGER      13
#define SO_REUSEPORT   15
#define SO_PASSCRED    16
#define SO_PEERCRED    17
#define SO_RCVLOWAT    18
#define SO_RCVTIMEO    20
#define SO_SNDTIMEO    21
#define SO_ACCEPTCONN  30
#define SO_SNDBUFFORCE 32
#define SO_RCVBUFFORCE 33
#define SO_PROTOCOL    38
#define SO_DOMAIN      39
#define IPV6_V6ONLY    26

#define CAP_NET_ADMIN 12
#define SNDBUF_MIN    4608u
#define RCVBUF_MIN    2304u

/* What is only remembered: where in sock.plain, and what is allowed. */
static const struct plain_opt {
	int level, opt;
	s32 least, most, initial;
} plain_opts[] = {
	{SOL_SOCKET, 5, 0, INT32_MAX, 0},   /* SO_DONTROUTE */
	{SOL_SOCKET, 6, 0, INT32_MAX, 0},   /* SO_BROADCAST */
	{SOL_SOCKET, 9, 0, INT32_MAX, 0},   /* SO_KEEPALIVE */
	{SOL_SOCKET, 10, 0, INT32_MAX, 0},  /* SO_OOBINLINE */
	{SOL_SOCKET, 12, 0, 6, 0},	    /* SO_PRIORITY */
	{IPPROTO_TCP, 1, 0, INT32_MAX, 0},  /* TCP_NODELAY */
	{IPPROTO_TCP, 3, 0, INT32_MAX, 0},  /* TCP_CORK */
	{IPPROTO_TCP, 4, 1, 32767, 7200},   /* TCP_KEEPIDLE */
	{IPPROTO_TCP, 5, 1, 32767, 75},	    /* TCP_KEEPINTVL */
	{IPPROTO_TCP, 6, 1, 127, 9},	    /* TCP_KEEPCNT */
	{IPPROTO_TCP, 9, 0, INT32_MAX, 0},  /* TCP_DEFER_ACCEPT */
	{IPPROTO_TCP, 12, 0, INT32_MAX, 1}, /* TCP_QUICKACK */
	{IPPROTO_TCP, 18, 0, INT32_MAX, 0}, /* TCP_USER_TIMEOUT */
	{IPPROTO_IP, 1, 0, 255, 0},	    /* IP_TOS */
	{IPPROTO_IP, 2, 1, 255, 64},	    /* IP_TTL */
	{IPPROTO_IP, 10, 0, 5, 1},	    /* IP_MTU_DISCOVER */
};
MM_STATIC_ASSERT(ARRAY_SIZE(plain_opts) <= 16, "sock.plain has a place each");

static bool level_of_family(const struct sock *sk, int level)
{
	if (level == SOL_SOCKET)
		return true;
	if (sk->family == AF_UNIX)
		return false;
	if (level == IPPROTO_TCP)
		return sk->type == SOCK_STREAM;
	return level == IPPROTO_IP || sk->family == AF_INET6;
}

/* -1: there is none such. */
static int find_plain(const struct sock *sk, int level, int opt)
{
	for (u32 i = 0; i < ARRAY_SIZE(plain_opts); i++)
		if (plain_opts[i].level == level && plain_opts[i].opt == opt &&
		    level_of_family(sk, level))
			return (int)i;
	return -1;
}

/* Remembered as the difference to what it is at first. */
static int set_plain(struct sock *sk, int i, s32 v)
{
	const struct plain_opt *o = &plain_opts[i];

	if (v < o->least || v > o->most)
		return -EINVAL;
	/* Switches are on or off. */
	if (o->most == INT32_MAX && o->opt != 18)
		v = v != 0;
	WRITE_ONCE(sk->plain[i], v - o->initial);
	return 0;
}

/* ---- setting ---------------------------------------------------------------
 */

static int set_buf(u32 *buf, s32 v, u32 least, bool force)
{
	u32 size = (u32)v;

	if (!force)
		size = min(size, SOCK_BUF);
	/* Twice, as Linux does: half is for what it costs to keep. */
	WRITE_ONCE(*buf, max(min(size, (u32)INT32_MAX / 2) * 2, least));
	return 0;
}

static int set_timeo(u64 *to, u64 val, u32 len)
{
	struct ktimeval t;

	if (len < sizeof(t))
		return -EINVAL;
	if (user_read(&t, val, sizeof(t)))
		return -EFAULT;
	if (t.usec < 0 || t.usec >= 1000000)
		return -EDOM;
	if (t.sec < 0)
		t.sec = t.usec = 0;
	WRITE_ONCE(*to, timespec_ns(&(struct ktimespec){
				t.sec, t.usec * (s64)NSEC_PER_USEC}));
	return 0;
}

static int set_linger(struct sock *sk, u64 val, u32 len)
{
	if (len < sizeof(sk->linger))
		return -EINVAL;
	return user_read(sk->linger, val, sizeof(sk->linger));
}

static int set_socket_int(struct sock *sk, int opt, s32 v)
{
	switch (opt) {
	case SO_REUSEADDR:
		WRITE_ONCE(sk->reuseaddr, v != 0);
		return 0;
	case SO_REUSEPORT:
		WRITE_ONCE(sk->reuseport, v != 0);
		return 0;
	case SO_PASSCRED:
		WRITE_ONCE(sk->passcred, v != 0);
		return sk->family == AF_UNIX ? 0 : -EOPNOTSUPP;
	case SO_SNDBUF:
		return set_buf(&sk->sndbuf, v, SNDBUF_MIN, false);
	case SO_RCVBUF:
		return set_buf(&sk->rcvbuf, v, RCVBUF_MIN, false);
	case SO_SNDBUFFORCE:
	case SO_RCVBUFFORCE:
		if (!capable(CAP_NET_ADMIN))
			return -EPERM;
		return opt == SO_SNDBUFFORCE
			       ? set_buf(&sk->sndbuf, v, SNDBUF_MIN, true)
			       : set_buf(&sk->rcvbuf, v, RCVBUF_MIN, true);
	case SO_RCVLOWAT:
		WRITE_ONCE(sk->rcvlowat, v < 0 ? INT32_MAX : max((u32)v, 1u));
		return 0;
	}
	return -ENOPROTOOPT;
}

static int set_v6only(struct sock *sk, s32 v)
{
	if (sk->name.len)
		return -EINVAL;
	sk->v6only = v != 0;
	return 0;
}

s64 sock_setopt(struct sock *sk, int level, int opt, u64 val, u32 len)
{
	int plain = find_plain(sk, level, opt);
	s32 v = 0;

	if (level == SOL_SOCKET && opt == SO_RCVTIMEO)
		return set_timeo(&sk->rcvtimeo, val, len);
	if (level == SOL_SOCKET && opt == SO_SNDTIMEO)
		return set_timeo(&sk->sndtimeo, val, len);
	if (level == SOL_SOCKET && opt == SO_LINGER)
		return set_linger(sk, val, len);
	if (!level_of_family(sk, level))
		return sk->family == AF_UNIX ? -EOPNOTSUPP : -ENOPROTOOPT;
	if (len < sizeof(v))
		return -EINVAL;
	if (user_read(&v, val, sizeof(v)))
		return -EFAULT;
	if (plain >= 0)
		return set_plain(sk, plain, v);
	if (level == IPPROTO_IPV6 && opt == IPV6_V6ONLY)
		return set_v6only(sk, v);
	return level == SOL_SOCKET ? set_socket_int(sk, opt, v) : -ENOPROTOOPT;
}

/* ---- asking ----------------------------------------------------------------
 */

/* At most *LEN_AT bytes of N at DATA, which becomes how many. */
static int give(u64 val, u64 len_at, const void *data, u32 n)
{
	s32 len;

	if (user_read(&len, len_at, sizeof(len)))
		return -EFAULT;
	if (len < 0)
		return -EINVAL;
	n = min(n, (u32)len);
	if (user_write(val, data, n) || user_write(len_at, &n, sizeof(n)))
		return -EFAULT;
	return 0;
}

static int give_timeo(u64 ns, u64 val, u64 len_at)
{
	struct ktimeval t = {(s64)(ns / NSEC_PER_SEC),
			     (s64)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};

	return give(val, len_at, &t, sizeof(t));
}

static int get_socket_int(struct sock *sk, int opt, s32 *v)
{
	switch (opt) {
	case SO_REUSEADDR:
		*v = sk->reuseaddr;
		return 0;
	case SO_REUSEPORT:
		*v = sk->reuseport;
		return 0;
	case SO_PASSCRED:
		*v = sk->passcred;
		return 0;
	case SO_TYPE:
		*v = sk->type;
		return 0;
	case SO_ERROR:
		*v = sock_take_error(sk);
		return 0;
	case SO_SNDBUF:
		*v = (s32)sk->sndbuf;
		return 0;
	case SO_RCVBUF:
		*v = (s32)sk->rcvbuf;
		return 0;
	case SO_RCVLOWAT:
		*v = (s32)sk->rcvlowat;
		return 0;
	case SO_ACCEPTCONN:
		*v = READ_ONCE(sk->state) == SS_LISTEN;
		return 0;
	case SO_PROTOCOL:
		*v = sk->protocol;
		return 0;
	case SO_DOMAIN:
		*v = sk->family;
		return 0;
	}
	return -ENOPROTOOPT;
}

/* Nobody: pid 0, and ids that are no one's. */
static int get_peercred(struct sock *sk, u64 val, u64 len_at)
{
	struct ucred c = {0, ~0u, ~0u};

	spin_lock(&sk->lock);
	if (sk->family == AF_UNIX && sk->type != SOCK_DGRAM &&
	    (sk->state == SS_CONNECTED || sk->state == SS_CLOSED))
		c = sk->peer_cred;
	else if (sk->peer_cred.pid)
		c = sk->peer_cred;
	spin_unlock(&sk->lock);
	return give(val, len_at, &c, sizeof(c));
}

s64 sock_getopt(struct sock *sk, int level, int opt, u64 val, u64 len_at)
{
	int plain = find_plain(sk, level, opt), err = -ENOPROTOOPT;
	s32 v = 0;

	if (level == SOL_SOCKET && opt == SO_RCVTIMEO)
		return give_timeo(sk->rcvtimeo, val, len_at);
	if (level == SOL_SOCKET && opt == SO_SNDTIMEO)
		return give_timeo(sk->sndtimeo, val, len_at);
	if (level == SOL_SOCKET && opt == SO_LINGER)
		return give(val, len_at, sk->linger, sizeof(sk->linger));
	if (level == SOL_SOCKET && opt == SO_PEERCRED)
		return get_peercred(sk, val, len_at);
	if (!level_of_family(sk, level))
		return sk->family == AF_UNIX ? -EOPNOTSUPP : -ENOPROTOOPT;
	if (plain >= 0) {
		v = READ_ONCE(sk->plain[plain]) + plain_opts[plain].initial;
		err = 0;
	} else if (level == IPPROTO_IPV6 && opt == IPV6_V6ONLY) {
		v = sk->v6only;
		err = 0;
	} else if (level == SOL_SOCKET) {
		err = get_socket_int(sk, opt, &v);
	}
	return err ? err : give(val, len_at, &v, sizeof(v));
}
