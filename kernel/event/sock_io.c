/* SPDX-License-Identifier: MIT */
/*
 * sock_io.c - messages between sockets: sending, receiving.
 *
 * Rules of the queue: sock.c, 2. A stream is sent in messages of at most
 * STREAM_PIECE bytes and read without regard to them, but for what came along:
 * files end a read behind the message that had them, and other credentials
 * (SO_PASSCRED) end it before. Other types are sent and read message by
 * message; what does not fit into a read is lost (MSG_TRUNC tells).
 *
 * Room. A queue takes a message while its weight is below the limit; who was
 * told that it is full, or asks by poll(), waits until half of it is free, so
 * that not each byte read wakes a writer.
 */
#include "sock.h"

#define STREAM_PIECE 32768u
#define MSG_WEIGHT   256u /* of a message besides its bytes */
#define UNIX_QUEUE   11u  /* datagrams that may wait at one AF_UNIX socket */

/* ---- messages --------------------------------------------------------------
 */

/* N bytes of C as a message; ERR_PTR. */
static struct sock_msg *msg_new(struct sock *sk, struct sock_call *c, u32 n)
{
	struct sock_msg *m = kvmalloc(sizeof(*m) + n, GFP_KERNEL_ACCOUNT);

	if (!m)
		return ERR_PTR(-ENOBUFS);
	mm_memset(m, 0, sizeof(*m));
	m->len = n;
	m->weight = n + MSG_WEIGHT;
	m->cred = c->has_cred ? c->cred : sock_my_cred();
	m->has_cred = true;
	if (iter_get(c->iter, m->data, n) < n) {
		kvfree(m);
		return ERR_PTR(-EFAULT);
	}
	m->sender = sock_get(sk);
	return m;
}

/* The files of C go along with M. -ETOOMANYREFS: they stay C's. */
static int give_files(struct sock_msg *m, struct sock_call *c)
{
	int err;

	m->files = c->files;
	m->nr_files = c->nr_files;
	err = sock_files_fly(m);
	if (err) {
		m->files = NULL;
		m->nr_files = 0;
		return err;
	}
	c->files = NULL;
	c->nr_files = 0;
	return 0;
}

u64 sock_room_limit(const struct sock *sk, const struct sock *to)
{
	u64 limit = READ_ONCE(sk->sndbuf);

	return sk->family == AF_UNIX ? limit : limit + READ_ONCE(to->rcvbuf);
}

static void enqueue(struct sock *to, struct sock_msg *m)
{
	list_add_tail(&m->entry, &to->queue);
	to->queued += m->weight;
	to->nr_queued++;
}

void sock_dequeue(struct sock *sk, struct sock_msg *m)
{
	list_del(&m->entry);
	sk->queued -= m->weight;
	sk->nr_queued--;
}

bool sock_flush(struct sock *sk)
{
	struct sock_msg *m;
	bool any = false;

	for (;;) {
		spin_lock(&sk->lock);
		m = list_first_entry_or_null(&sk->queue, struct sock_msg,
					     entry);
		if (m)
			sock_dequeue(sk, m);
		spin_unlock(&sk->lock);
		if (!m)
			return any;
		any = true;
		/* Senders of datagrams learn of the room as if it were read. */
		if (sk->type == SOCK_DGRAM)
			event_wake(&m->sender->wr);
		sock_msg_free(m);
	}
}

/* FIONREAD: bytes of a stream, or of the next message. */
u64 sock_readable(struct sock *sk)
{
	struct sock_msg *m;
	u64 n = 0;

	spin_lock(&sk->lock);
	list_for_each_entry (m, &sk->queue, entry) {
		n += m->len - m->off;
		if (sk->type == SOCK_DGRAM)
			break;
	}
	spin_unlock(&sk->lock);
	return n;
}

/* ---- sending on connections ------------------------------------------------
 */

/*
 * To whom SK sends: a reference. -EPIPE: not any more; -ENOTCONN; or the
 * error that the socket has. DROPPED: nobody, and it shall not be told yet.
 */
#define DROPPED ((struct sock *)1)
static struct sock *send_peer(struct sock *sk)
{
	struct sock *ret;

	spin_lock(&sk->lock);
	/* A unix stream keeps its error for SO_ERROR and readers. */
	if (sk->err && (sk->family != AF_UNIX || !sock_is_stream(sk))) {
		ret = ERR_PTR(-sk->err);
		sk->err = 0;
	} else if (sk->shut & SHUT_SND) {
		ret = ERR_PTR(-EPIPE);
	} else if (sk->peer && sk->state == SS_CONNECTED) {
		ret = sock_get(sk->peer);
	} else if (sk->state == SS_CLOSED && sk->family != AF_UNIX) {
		/* The first to meet a closed end is lost; its answer is what
		 * the next is told. */
		sk->shut = SHUT_ALL;
		ret = DROPPED;
	} else {
		ret = ERR_PTR(sk->family == AF_UNIX || sk->state != SS_FREE
				      ? -ENOTCONN
				      : -EPIPE);
	}
	spin_unlock(&sk->lock);
	return ret;
}

/* 1: M is in PEER's queue; 0: it is full; -EPIPE. HALF: half must be free. */
static int try_send(struct sock *sk, struct sock *peer, struct sock_msg *m,
		    bool half)
{
	u64 limit = sock_room_limit(sk, peer);
	int ret = 0;

	spin_lock(&peer->lock);
	if (peer->state == SS_CLOSED ||
	    ((peer->shut & SHUT_RCV) && sk->family == AF_UNIX)) {
		ret = -EPIPE;
	} else if (half ? peer->queued * 2UL < limit : peer->queued < limit) {
		enqueue(peer, m);
		ret = 1;
	}
	spin_unlock(&peer->lock);
	return ret;
}

/* Until M is sent. 0, -EPIPE, -EAGAIN, -ERESTARTSYS, -EINTR. */
static int send_msg(struct sock *sk, struct sock *peer, struct sock_msg *m,
		    bool nonblock)
{
	u64 timeo = READ_ONCE(sk->sndtimeo);
	int ret = try_send(sk, peer, m, false), err;

	if (!ret && nonblock)
		return -EAGAIN;
	if (!ret) {
		err = wait_event_deadline(
			sk->wr,
			(READ_ONCE(sk->shut) & SHUT_SND) ||
				(ret = try_send(sk, peer, m, true)) != 0,
			sock_deadline(timeo));
		if (err)
			return sock_wait_errno(err, timeo);
		if (!ret)
			ret = -EPIPE;
	}
	if (ret < 0)
		return ret;
	event_wake(&peer->rd);
	return 0;
}

/* One message of a connection. Bytes or -errno. */
static s64 send_piece(struct sock *sk, struct sock_call *c, bool nonblock)
{
	struct sock *peer = send_peer(sk);
	u64 n = c->iter->count;
	struct sock_msg *m;
	int err;

	if (IS_ERR(peer))
		return PTR_ERR(peer);
	if (sock_is_stream(sk))
		n = min(n, (u64)STREAM_PIECE);
	if (peer == DROPPED)
		return (s64)n;
	/* Of a stream nothing is not a message. */
	if (!n && sock_is_stream(sk)) {
		sock_put(peer);
		return 0;
	}
	/* Do not copy what has no room. */
	if (nonblock && READ_ONCE(peer->queued) >= sock_room_limit(sk, peer)) {
		sock_put(peer);
		return -EAGAIN;
	}
	m = msg_new(sk, c, (u32)n);
	if (IS_ERR(m)) {
		sock_put(peer);
		return PTR_ERR(m);
	}
	err = give_files(m, c);
	if (!err)
		err = send_msg(sk, peer, m, nonblock);
	if (err)
		sock_msg_free(m);
	sock_put(peer);
	return err ? err : (s64)n;
}

static s64 send_connected(struct sock *sk, struct sock_call *c)
{
	bool nonblock = c->flags & MSG_DONTWAIT;
	s64 total = 0, n;

	if (c->name.len && sk->family == AF_UNIX)
		return READ_ONCE(sk->state) == SS_CONNECTED ? -EISCONN
							    : -EOPNOTSUPP;
	if (!sock_is_stream(sk)) {
		if (c->iter->count + MSG_WEIGHT > READ_ONCE(sk->sndbuf))
			return -EMSGSIZE;
		return send_piece(sk, c, nonblock);
	}
	do {
		n = send_piece(sk, c, nonblock);
		if (n < 0)
			return total ? total : n;
		total += n;
	} while (c->iter->count && n);
	return total;
}

/* ---- sending datagrams -----------------------------------------------------
 */

/* A datagram took room of SK and is not sent: who waits for an edge hears of
 * it, as on Linux. */
static void room_again(struct sock *sk)
{
	if (sk->family == AF_UNIX)
		event_wake(&sk->wr);
}

static int dgram_target(struct sock *sk, const struct sock_call *c,
			struct sock **to)
{
	struct sock_name name;
	int err = 0;

	*to = NULL;
	spin_lock(&sk->lock);
	if (sk->err) {
		err = -sk->err;
		sk->err = 0;
	} else if (sk->shut & SHUT_SND) {
		err = -EPIPE;
	}
	name = c->name.len ? c->name : sk->peer_name;
	if (!err && !c->name.len && sk->peer)
		*to = sock_get(sk->peer);
	spin_unlock(&sk->lock);
	if (err || *to)
		return err;
	if (!c->name.len && sk->state != SS_CONNECTED)
		err = sk->family == AF_UNIX ? -ENOTCONN : -EDESTADDRREQ;
	else
		err = sk->ops->find(sk, &name, to);
	if (err)
		room_again(sk);
	return err;
}

/* Does TO take datagrams from SK? It may have a default of its own. */
static bool takes_from(const struct sock *to, const struct sock *sk)
{
	/* Of inet only one that does was found. */
	return to->family != AF_UNIX || to->state != SS_CONNECTED ||
	       to->peer == sk;
}

/* 1: sent, or lost as datagrams may be; 0: full; -errno. */
static int try_dgram(struct sock *sk, struct sock *to, struct sock_msg *m,
		     bool *queued)
{
	int ret = 1;

	*queued = false;
	spin_lock(&to->lock);
	if (to->state == SS_CLOSED) {
		ret = -ECONNREFUSED;
	} else if (!takes_from(to, sk)) {
		ret = sk->family == AF_UNIX ? -EPERM : 1;
	} else if (to->shut & SHUT_RCV) {
		ret = sk->family == AF_UNIX ? -EPIPE : 1;
	} else if (sk->family == AF_UNIX && to != sk &&
		   (to->nr_queued >= UNIX_QUEUE ||
		    to->queued >= READ_ONCE(sk->sndbuf))) {
		ret = 0;
	} else if (sk->family == AF_UNIX ||
		   to->queued < READ_ONCE(to->rcvbuf)) {
		enqueue(to, m);
		*queued = true;
	}
	spin_unlock(&to->lock);
	return ret;
}

static int send_dgram_msg(struct sock *sk, struct sock *to, struct sock_msg *m,
			  bool nonblock)
{
	u64 timeo = READ_ONCE(sk->sndtimeo);
	bool queued;
	int ret = try_dgram(sk, to, m, &queued), err;

	if (!ret && nonblock)
		return -EAGAIN;
	if (!ret) {
		err = wait_event_deadline(
			to->room, (ret = try_dgram(sk, to, m, &queued)) != 0,
			sock_deadline(timeo));
		if (err)
			return sock_wait_errno(err, timeo);
	}
	if (queued)
		event_wake(&to->rd);
	else if (ret > 0)
		sock_msg_free(m);
	return ret < 0 ? ret : 0;
}

/* Nobody is there: a connected inet socket is told at its next call. */
static s64 dgram_lost(struct sock *sk, const struct sock_call *c, int err)
{
	if (err != -ECONNREFUSED)
		return err;
	if (sk->family == AF_UNIX) {
		/* Its default is gone: it has none, nor what that had sent. */
		if (!c->name.len) {
			sock_disconnect(sk);
			(void)sock_flush(sk);
		}
		return err;
	}
	spin_lock(&sk->lock);
	if (sk->state == SS_CONNECTED)
		sk->err = ECONNREFUSED;
	spin_unlock(&sk->lock);
	return (s64)c->iter->count;
}

static s64 send_dgram(struct sock *sk, struct sock_call *c)
{
	u64 n = c->iter->count;
	struct sock_msg *m;
	struct sock *to;
	int err;

	if (sk->family != AF_UNIX && n > 65507)
		return -EMSGSIZE;
	if (n + MSG_WEIGHT > READ_ONCE(sk->sndbuf))
		return -EMSGSIZE;
	/* A unix sender stays nameless; an inet one gets a port. */
	err = sk->family == AF_UNIX ? 0 : sk->ops->autobind(sk);
	if (!err)
		err = dgram_target(sk, c, &to);
	if (err)
		return dgram_lost(sk, c, err);
	m = msg_new(sk, c, (u32)n);
	if (IS_ERR(m)) {
		sock_put(to);
		return PTR_ERR(m);
	}
	sk->ops->source(sk, to, &m->from);
	err = give_files(m, c);
	if (!err)
		err = send_dgram_msg(sk, to, m, c->flags & MSG_DONTWAIT);
	if (err) {
		sock_msg_free(m);
		room_again(sk);
	}
	sock_put(to);
	return err ? dgram_lost(sk, c, err) : (s64)n;
}

s64 sock_send(struct sock *sk, struct sock_call *c)
{
	s64 ret;

	if (c->flags & MSG_OOB)
		return -EOPNOTSUPP;
	ret = sk->type == SOCK_DGRAM ? send_dgram(sk, c)
				     : send_connected(sk, c);
	if (ret == -EPIPE && !(c->flags & MSG_NOSIGNAL) &&
	    sk->type != SOCK_DGRAM)
		(void)send_sig_task(current, SIGPIPE, NULL);
	return ret;
}

/* ---- receiving -------------------------------------------------------------
 */

/* 1: there is a message; 0: there will be none; -EAGAIN: not yet; the error
 * that the socket has; -ENOTCONN, -EINVAL. */
static int look(struct sock *sk)
{
	int ret = -EAGAIN;

	spin_lock(&sk->lock);
	if (!list_empty(&sk->queue) && (sock_is_stream(sk) || !sk->err)) {
		ret = 1;
	} else if (sk->err) {
		ret = -sk->err;
		sk->err = 0;
	} else if (sk->shut & SHUT_RCV) {
		ret = 0;
	} else if (sk->type != SOCK_DGRAM &&
		   (sk->state == SS_FREE || sk->state == SS_LISTEN)) {
		ret = sk->family == AF_UNIX && sock_is_stream(sk) ? -EINVAL
								  : -ENOTCONN;
	}
	spin_unlock(&sk->lock);
	return ret;
}

/* With the reader's mutex on 1. */
static int look_locked(struct sock *sk)
{
	int ret;

	mutex_lock(&sk->reader);
	ret = look(sk);
	if (ret <= 0)
		mutex_unlock(&sk->reader);
	return ret;
}

static int wait_msg(struct sock *sk, bool nonblock)
{
	u64 timeo = READ_ONCE(sk->rcvtimeo);
	int ret = look_locked(sk), err;

	/* The end of datagrams is told to who would wait for one. */
	if (!ret && nonblock && sk->type == SOCK_DGRAM)
		return -EAGAIN;
	if (ret != -EAGAIN || nonblock)
		return ret;
	err = wait_event_deadline(sk->rd, (ret = look_locked(sk)) != -EAGAIN,
				  sock_deadline(timeo));
	return err ? sock_wait_errno(err, timeo) : ret;
}

/* The first message behind AFTER (NULL: the first); reader's mutex held. */
static struct sock_msg *msg_after(struct sock *sk, struct sock_msg *after)
{
	struct sock_msg *m = NULL;
	struct list_head *next;

	spin_lock(&sk->lock);
	next = after ? after->entry.next : sk->queue.next;
	if (next != &sk->queue)
		m = list_entry(next, struct sock_msg, entry);
	spin_unlock(&sk->lock);
	return m;
}

/* M has been read: off the queue, its sender may go on. */
static void consume(struct sock *sk, struct sock_msg *m)
{
	struct sock *sender = sock_get(m->sender);
	bool room;

	spin_lock(&sk->lock);
	sock_dequeue(sk, m);
	room = sk->type == SOCK_DGRAM ||
	       sk->queued * 2UL < sock_room_limit(sender, sk);
	spin_unlock(&sk->lock);
	sock_msg_free(m);
	if (sk->type == SOCK_DGRAM)
		event_wake(&sk->room);
	if (room)
		event_wake(&sender->wr);
	sock_put(sender);
}

/* What came along with M goes to C. PEEK: the files are shared. */
static int take_along(struct sock *sk, struct sock_call *c, struct sock_msg *m)
{
	bool peek = c->flags & MSG_PEEK;

	if (READ_ONCE(sk->passcred)) {
		c->cred = m->cred;
		c->has_cred = true;
	}
	if (!m->nr_files)
		return 0;
	if (!peek) {
		sock_files_land(m);
		c->files = m->files;
		c->nr_files = m->nr_files;
		m->files = NULL;
		m->nr_files = 0;
		return 0;
	}
	c->files = kmalloc_array(m->nr_files, sizeof(*c->files), GFP_KERNEL);
	if (!c->files)
		return -ENOMEM;
	sock_files_peek(m, c->files);
	c->nr_files = m->nr_files;
	return 0;
}

static s64 recv_message(struct sock *sk, struct sock_call *c)
{
	struct sock_msg *m = msg_after(sk, NULL);
	u64 n = min((u64)m->len, c->iter->count);
	int err;

	if (iter_put(c->iter, m->data, n) < n)
		return -EFAULT;
	err = take_along(sk, c, m);
	if (err)
		return err;
	c->name = m->from;
	if (n < m->len)
		c->out_flags |= MSG_TRUNC;
	n = c->flags & MSG_TRUNC ? m->len : n;
	if (!(c->flags & MSG_PEEK))
		consume(sk, m);
	return (s64)n;
}

static bool same_cred(const struct ucred *a, const struct ucred *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* May a read that has TOTAL bytes go on with M? */
static bool may_join(const struct sock *sk, const struct sock_call *c,
		     const struct sock_msg *m, s64 total)
{
	if (!total)
		return true;
	if (m->nr_files || c->nr_files)
		return false;
	return !READ_ONCE(sk->passcred) || same_cred(&c->cred, &m->cred);
}

/* Bytes of M, from AT on. MSG_TRUNC: they are not wanted (tcp(7)). */
static u64 put_bytes(const struct sock *sk, struct sock_call *c,
		     struct sock_msg *m, u64 n)
{
	if ((c->flags & MSG_TRUNC) && sk->family != AF_UNIX) {
		c->iter->count -= n;
		return n;
	}
	return iter_put(c->iter, m->data + m->off, n);
}

/* What stands in the queue; reader's mutex held. */
static s64 recv_ready(struct sock *sk, struct sock_call *c, s64 before)
{
	struct sock_msg *m = msg_after(sk, NULL), *next;
	s64 total = 0;
	u64 n, done;
	int err;

	for (; m && may_join(sk, c, m, before + total); m = next) {
		n = min((u64)(m->len - m->off), c->iter->count);
		done = put_bytes(sk, c, m, n);
		if (done < n && !done)
			return total ? total : -EFAULT;
		err = take_along(sk, c, m);
		if (err)
			return total ? total : err;
		total += (s64)done;
		next = msg_after(sk, m);
		if (!(c->flags & MSG_PEEK)) {
			spin_lock(&sk->lock);
			m->off += (u32)done;
			spin_unlock(&sk->lock);
			if (m->off == m->len)
				consume(sk, m);
		}
		if (done < n || !c->iter->count || c->nr_files)
			break;
	}
	return total;
}

static s64 recv_stream(struct sock *sk, struct sock_call *c)
{
	bool nonblock = c->flags & MSG_DONTWAIT;
	u64 want = c->iter->count, least = 1;
	s64 total = 0, n;
	int ret;

	if (!want)
		return 0;
	if (c->flags & MSG_WAITALL)
		least = want;
	else
		least = min(want, (u64)max(READ_ONCE(sk->rcvlowat), 1u));
	while ((u64)total < least) {
		ret = wait_msg(sk, nonblock);
		if (ret <= 0)
			return total ? total : ret;
		n = recv_ready(sk, c, total);
		mutex_unlock(&sk->reader);
		if (n < 0)
			return total ? total : n;
		total += n;
		if (!n || c->nr_files || (c->flags & MSG_PEEK))
			break;
	}
	return total;
}

s64 sock_recv(struct sock *sk, struct sock_call *c)
{
	s64 ret;

	if (c->flags & MSG_OOB)
		return sk->family == AF_UNIX ? -EOPNOTSUPP : -EINVAL;
	if (c->flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (sock_is_stream(sk))
		return recv_stream(sk, c);
	ret = wait_msg(sk, c->flags & MSG_DONTWAIT);
	if (ret <= 0)
		return ret;
	ret = recv_message(sk, c);
	mutex_unlock(&sk->reader);
	return ret;
}
