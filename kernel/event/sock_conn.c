/* SPDX-License-Identifier: MIT */
/*
 * sock_conn.c - listening, connecting, accepting.
 *
 * A listener has two lines. ACCEPTS: ends of connections that nobody has
 * accepted yet, at most backlog + 1 of them, each connected to its client
 * already. HOPEFULS: clients that found the first line full; whoever takes
 * one from the first line connects the next of these. A client of AF_UNIX that
 * would not wait gets -EAGAIN instead, as unix(7) has no half-open connections.
 *
 * Locking. Both lines, and the links of who stands in them, are the listener's
 * (lock). A hopeful's own lock comes inside it.
 */
#include "sock.h"

int sock_listen(struct sock *sk, int backlog)
{
	int err = 0;

	if (sk->type == SOCK_DGRAM)
		return -EOPNOTSUPP;
	if (sk->family == AF_UNIX && !sk->name.len)
		return -EINVAL;
	err = sk->ops->autobind(sk);
	if (err)
		return err;
	spin_lock(&sk->lock);
	if (sk->state != SS_FREE && sk->state != SS_LISTEN) {
		err = -EINVAL;
	} else {
		sk->state = SS_LISTEN;
		sk->backlog = min((u32)backlog, SOMAXCONN);
		sk->cred = sock_my_cred();
	}
	spin_unlock(&sk->lock);
	return err;
}

/* ---- lines -----------------------------------------------------------------
 */

static bool line_full(const struct sock *l)
{
	return l->nr_accepts > l->backlog;
}

/* END, the server's side, is connected to CLIENT and stands in L's line. L
 * locked. */
static void line_up(struct sock *l, struct sock *client, struct sock *end)
{
	end->name = l->name;
	end->sndbuf = l->sndbuf;
	end->rcvbuf = l->rcvbuf;
	end->passcred = l->passcred;
	end->cred = l->cred;
	sock_lock2(client, end);
	sock_join(client, end);
	client->ops->accepted(end, client);
	sock_unlock2(client, end);
	list_add_tail(&end->line, &l->accepts);
	l->nr_accepts++;
}

/* CLIENT is off the second line; its listener's reference is the caller's to
 * put, as the other end is his. */
static struct sock *leave_hopefuls(struct sock *client)
{
	struct sock *end;

	list_del_init(&client->line);
	spin_lock_nested(&client->lock, 1);
	end = client->half;
	client->half = NULL;
	client->listener = NULL;
	spin_unlock(&client->lock);
	return end;
}

/* The first hopeful for whom there is a place now. L locked. */
static struct sock *next_hopeful(struct sock *l)
{
	struct sock *client, *end;

	if (line_full(l) || list_empty(&l->hopefuls))
		return NULL;
	client = list_first_entry(&l->hopefuls, struct sock, line);
	end = leave_hopefuls(client);
	/* Not the last reference: who accepts has one. */
	sock_put(l);
	line_up(l, client, end);
	return client;
}

bool sock_acceptable(struct sock *sk)
{
	bool yes;

	spin_lock(&sk->lock);
	yes = sk->state == SS_LISTEN && !list_empty(&sk->accepts);
	spin_unlock(&sk->lock);
	return yes;
}

/* 1: *OUT, with the line's reference; 0: none; -EINVAL: does not listen. */
static int take_accept(struct sock *sk, struct sock **out)
{
	struct sock *client = NULL;
	int ret = -EINVAL;

	spin_lock(&sk->lock);
	if (sk->state == SS_LISTEN) {
		ret = !list_empty(&sk->accepts);
		if (ret) {
			*out = list_first_entry(&sk->accepts, struct sock,
						line);
			list_del_init(&(*out)->line);
			sk->nr_accepts--;
			client = next_hopeful(sk);
		}
	}
	spin_unlock(&sk->lock);
	if (client) {
		event_wake(&client->wr);
		event_wake(&client->rd);
		sock_put(client);
	}
	if (ret > 0)
		event_wake(&sk->room);
	return ret;
}

int sock_accept(struct sock *sk, bool nonblock, struct sock **out)
{
	u64 timeo = READ_ONCE(sk->rcvtimeo);
	int ret, err;

	if (sk->type == SOCK_DGRAM)
		return -EOPNOTSUPP;
	ret = take_accept(sk, out);
	if (!ret) {
		if (nonblock)
			return -EAGAIN;
		err = wait_event_deadline(sk->rd,
					  (ret = take_accept(sk, out)) != 0,
					  sock_deadline(timeo));
		if (err)
			return sock_wait_errno(err, timeo);
	}
	return ret < 0 ? ret : 0;
}

/* ---- who is turned away ----------------------------------------------------
 */

/* A hopeful leaves its line by itself. */
void sock_leave_line(struct sock *sk)
{
	struct sock *l, *end = NULL;

	spin_lock(&sk->lock);
	l = sk->listener ? sock_get(sk->listener) : NULL;
	spin_unlock(&sk->lock);
	if (!l)
		return;
	spin_lock(&l->lock);
	if (!list_empty(&sk->line))
		end = leave_hopefuls(sk);
	spin_unlock(&l->lock);
	if (end) {
		sock_put(end);
		sock_put(sk); /* the line's */
		sock_put(l);
	}
	sock_put(l);
}

static void refuse(struct sock *client, struct sock *end)
{
	sock_put(end);
	spin_lock(&client->lock);
	client->state = SS_FREE;
	client->err = ECONNREFUSED;
	spin_unlock(&client->lock);
	event_wake(&client->wr);
	event_wake(&client->rd);
	sock_put(client);
}

/* The first of each line, as long as there is one. */
static bool turn_one_away(struct sock *l)
{
	struct sock *end = NULL, *client = NULL, *half = NULL;

	spin_lock(&l->lock);
	if (!list_empty(&l->accepts)) {
		end = list_first_entry(&l->accepts, struct sock, line);
		list_del_init(&end->line);
		l->nr_accepts--;
	} else if (!list_empty(&l->hopefuls)) {
		client = list_first_entry(&l->hopefuls, struct sock, line);
		half = leave_hopefuls(client);
	}
	spin_unlock(&l->lock);
	if (end)
		sock_end(end, true);
	if (client) {
		refuse(client, half);
		sock_put(l);
	}
	return end || client;
}

void sock_listener_gone(struct sock *l)
{
	while (turn_one_away(l))
		;
}
/* ---- connecting ------------------------------------------------------------
 */

/* 1: connected; 0: no place; -errno. END's reference goes over on 1. */
static int try_line(struct sock *l, struct sock *client, struct sock *end)
{
	int ret = 0;

	spin_lock(&l->lock);
	if (l->state != SS_LISTEN || (l->shut & SHUT_RCV)) {
		ret = -ECONNREFUSED;
	} else if (!line_full(l) && list_empty(&l->hopefuls)) {
		line_up(l, client, end);
		ret = 1;
	}
	spin_unlock(&l->lock);
	if (ret > 0)
		event_wake(&l->rd);
	return ret;
}

/* CLIENT stands in the second line of L. END goes with it. */
static int join_hopefuls(struct sock *l, struct sock *client, struct sock *end)
{
	int err = 0;

	spin_lock(&l->lock);
	if (l->state != SS_LISTEN) {
		err = -ECONNREFUSED;
	} else {
		spin_lock_nested(&client->lock, 1);
		client->state = SS_CONNECTING;
		client->listener = sock_get(l);
		client->half = end;
		spin_unlock(&client->lock);
		list_add_tail(&sock_get(client)->line, &l->hopefuls);
	}
	spin_unlock(&l->lock);
	return err;
}

static bool still_connecting(struct sock *sk)
{
	bool yes;

	spin_lock(&sk->lock);
	yes = sk->state == SS_CONNECTING;
	spin_unlock(&sk->lock);
	return yes;
}

/* Until somebody accepts or the listener goes. */
static int wait_connected(struct sock *sk)
{
	u64 timeo = READ_ONCE(sk->sndtimeo);
	int err = wait_event_deadline(sk->wr, !still_connecting(sk),
				      sock_deadline(timeo));

	if (err == -ETIMEDOUT)
		return -EINPROGRESS;
	if (err)
		return sock_wait_errno(err, timeo);
	return -sock_take_error(sk);
}

/* Is there a place, or will there never be? */
static bool place_in_line(const struct sock *l)
{
	return READ_ONCE(l->state) != SS_LISTEN ||
	       READ_ONCE(l->nr_accepts) <= READ_ONCE(l->backlog);
}

/* Unix: wait for a place, holding none. 0: try again. */
static int wait_place(struct sock *l, struct sock *sk, bool nonblock)
{
	u64 timeo = READ_ONCE(sk->sndtimeo);
	int err;

	if (nonblock)
		return -EAGAIN;
	err = wait_event_deadline(l->room, place_in_line(l),
				  sock_deadline(timeo));
	return err ? sock_wait_errno(err, timeo) : 0;
}

static int may_connect(struct sock *sk)
{
	int err = 0;

	spin_lock(&sk->lock);
	switch (sk->state) {
	case SS_FREE:
		break;
	case SS_CONNECTING:
		err = -EALREADY;
		break;
	case SS_CONNECTED:
		err = -EISCONN;
		break;
	case SS_CLOSED:
		err = sk->family == AF_UNIX ? -EINVAL : -EISCONN;
		break;
	case SS_LISTEN:
		err = sk->family == AF_UNIX ? -EINVAL : -EISCONN;
		break;
	}
	spin_unlock(&sk->lock);
	return err;
}

/* L was found; END is given away or put. */
static int connect_to(struct sock *sk, struct sock *l, struct sock *end,
		      bool nonblock)
{
	int ret;

	for (;;) {
		ret = try_line(l, sk, end);
		if (ret > 0)
			return 0;
		if (!ret && sk->family != AF_UNIX)
			break;
		if (!ret)
			ret = wait_place(l, sk, nonblock);
		if (ret) {
			sock_put(end);
			return ret;
		}
	}
	ret = join_hopefuls(l, sk, end);
	if (ret) {
		sock_put(end);
		return ret;
	}
	return nonblock ? -EINPROGRESS : wait_connected(sk);
}

static int connect_stream(struct sock *sk, const struct sock_name *name,
			  bool nonblock)
{
	struct sock *l, *end;
	int err = may_connect(sk);

	if (err == -EALREADY && !nonblock)
		return wait_connected(sk);
	if (!err)
		err = sk->ops->autobind(sk);
	if (!err)
		err = sk->ops->find(sk, name, &l);
	if (err)
		return err;
	spin_lock(&sk->lock);
	sk->err = 0;
	sk->cred = sock_my_cred();
	sk->target = *name;
	spin_unlock(&sk->lock);
	end = sock_new(l->family, sk->type, sk->protocol);
	err = end ? connect_to(sk, l, end, nonblock) : -ENOMEM;
	sock_put(l);
	return err;
}

/* A datagram socket's default; AF_UNSPEC: none any more. */
static int connect_dgram(struct sock *sk, const struct sock_name *name)
{
	struct sock *to = NULL;
	int err = 0;

	if (name->family != AF_UNSPEC) {
		err = sk->ops->autobind(sk);
		if (!err && sk->family == AF_UNIX)
			err = sk->ops->find(sk, name, &to);
		/* An inet name need not be anybody's yet. */
		if (!err && sk->family != AF_UNIX)
			err = sk->ops->find(sk, name, NULL);
	}
	if (err)
		return err;
	sock_disconnect(sk);
	spin_lock(&sk->lock);
	sk->peer = to;
	/* As it is named itself: a path with its end mark. */
	sk->peer_name = to ? to->name : *name;
	if (name->family == AF_UNSPEC)
		sk->peer_name.len = 0;
	sk->state = name->family == AF_UNSPEC ? SS_FREE : SS_CONNECTED;
	spin_unlock(&sk->lock);
	if (name->family == AF_UNSPEC && sk->ops->forget)
		sk->ops->forget(sk);
	return 0;
}

int sock_connect(struct sock *sk, const struct sock_name *name, bool nonblock)
{
	if (sk->type == SOCK_DGRAM)
		return connect_dgram(sk, name);
	if (name->family == AF_UNSPEC && sk->family != AF_UNIX) {
		sock_unconnect(sk);
		return 0;
	}
	/* Before it is asked whether it could be connected at all. */
	if (sk->family == AF_UNIX && name->family != AF_UNIX)
		return -EINVAL;
	return connect_stream(sk, name, nonblock);
}
