/* SPDX-License-Identifier: MIT */
/*
 * sock.c - sockets: what all families share.
 *
 * 1. Purpose. Sockets of one machine that talk to each other: AF_UNIX, and
 *    AF_INET and AF_INET6 over addresses of the machine itself. There is no
 *    network: a connection is two sockets that know each other, and what one
 *    sends stands in the other's queue at once.
 *
 * 2. Queues. A sender copies its bytes into a message first, without a lock,
 *    then puts it at the end of the receiver's queue under the receiver's lock
 *    if there is room. A reader holds the receiver's reader mutex, so that the
 *    first message stays while it is copied out, and takes it off under the
 *    lock. Weight of a queue is limited by the sender's send buffer (and the
 *    receiver's receive buffer for inet). Senders sleep on their own queue WR
 *    (streams) or the receiver's ROOM (datagrams).
 *
 * 3. Life. A socket lives while somebody refers to it: its file, its peer,
 *    messages it sent, a name in use. When its file goes it leaves tables and
 *    lines, drops its queue and its peer; what refers to it still finds it
 *    SS_CLOSED and shut down.
 *
 * 4. Connecting. A client makes the server's end itself and puts it in the
 *    listener's line; where the line is full an inet client waits in the
 *    second line and whoever accepts connects it (sock_conn.c).
 *
 * 5. Files in messages keep references; sockets that are sent over themselves
 *    and then closed are found by a collector (sock_files.c).
 *
 * 6. Locking. reader mutex; the families' tables; a socket's lock, two in order
 *    of addresses; queues.
 *
 * 7. Failure. Messages are made before anything changes: -ENOBUFS, -ENOMEM.
 *
 * References: socket(2), socket(7), unix(7), tcp(7), udp(7), ip(7).
 */
#include "sock.h"

static const struct file_operations sock_fops;

/* ---- life ------------------------------------------------------------------
 */

struct ucred sock_my_cred(void)
{
	return (struct ucred){current->proc->tgid, current->cred.euid,
			      current->cred.egid};
}

bool sock_is_stream(const struct sock *sk)
{
	return sk->type == SOCK_STREAM;
}

struct sock *sock_new(u16 family, u32 type, int protocol)
{
	struct sock *sk = kzalloc(sizeof(*sk), GFP_KERNEL);

	if (!sk)
		return NULL;
	sk->refs = 1;
	sk->family = family;
	sk->type = (u16)type;
	sk->protocol = protocol;
	sk->ops = family == AF_UNIX ? &unix_ops : &inet_ops;
	spin_lock_init(&sk->lock, LOCK_CLASS_NONE);
	mutex_init(&sk->reader, LOCK_CLASS_NONE);
	INIT_LIST_HEAD(&sk->queue);
	INIT_LIST_HEAD(&sk->accepts);
	INIT_LIST_HEAD(&sk->hopefuls);
	INIT_LIST_HEAD(&sk->line);
	INIT_LIST_HEAD(&sk->bound);
	INIT_LIST_HEAD(&sk->flight);
	INIT_LIST_HEAD(&sk->work);
	init_waitqueue_head(&sk->rd);
	init_waitqueue_head(&sk->wr);
	init_waitqueue_head(&sk->room);
	sk->sndbuf = sk->rcvbuf = SOCK_BUF;
	sk->rcvlowat = 1;
	sk->cred = sock_my_cred();
	sock_list_add(sk);
	return sk;
}

struct sock *sock_get(struct sock *sk)
{
	(void)mm_fetch_add(&sk->refs, 1u);
	return sk;
}

void sock_put(struct sock *sk)
{
	if (!sk || mm_fetch_add(&sk->refs, -1u) != 1)
		return;
	mm_assert(list_empty(&sk->queue) && list_empty(&sk->line));
	mm_assert(!sk->peer && list_empty(&sk->bound));
	mm_assert(!sk->flights && list_empty(&sk->work));
	sock_list_del(sk);
	kfree(sk);
}

struct sock *sock_of(const struct file *file)
{
	return file->f_op == &sock_fops ? file->private_data : NULL;
}

void sock_lock2(struct sock *a, struct sock *b)
{
	spin_lock(a < b ? &a->lock : &b->lock);
	if (a != b)
		spin_lock_nested(a < b ? &b->lock : &a->lock, 1);
}

void sock_unlock2(struct sock *a, struct sock *b)
{
	spin_unlock(&a->lock);
	if (a != b)
		spin_unlock(&b->lock);
}

void sock_join(struct sock *a, struct sock *b)
{
	mm_assert(!a->peer && !b->peer);
	a->peer = sock_get(b);
	b->peer = sock_get(a);
	a->state = b->state = SS_CONNECTED;
	a->peer_cred = b->cred;
	b->peer_cred = a->cred;
}

u64 sock_deadline(u64 timeo)
{
	return timeo ? wait_deadline(timeo) : UINT64_MAX;
}

int sock_wait_errno(int err, u64 timeo)
{
	if (err == -ETIMEDOUT)
		return -EAGAIN;
	/* A call with a time-out is not made again: it would wait anew. */
	return err == -ERESTARTSYS && timeo ? -EINTR : err;
}

int sock_take_error(struct sock *sk)
{
	int err;

	spin_lock(&sk->lock);
	err = sk->err;
	sk->err = 0;
	spin_unlock(&sk->lock);
	return err;
}

/* ---- ends ------------------------------------------------------------------
 */

static void wake_both(struct sock *sk)
{
	event_wake(&sk->rd);
	event_wake(&sk->wr);
	event_wake(&sk->room);
}

/* SK's peer, with a reference, or NULL. */
static struct sock *peer_get(struct sock *sk)
{
	struct sock *peer;

	spin_lock(&sk->lock);
	peer = sk->peer ? sock_get(sk->peer) : NULL;
	spin_unlock(&sk->lock);
	return peer;
}

static void shut_one(struct sock *sk, u32 how)
{
	spin_lock(&sk->lock);
	sk->shut |= how;
	spin_unlock(&sk->lock);
	wake_both(sk);
}

void sock_shutdown(struct sock *sk, u32 how)
{
	struct sock *peer = peer_get(sk);
	u32 theirs = 0;

	shut_one(sk, how);
	/* What one does not send, the other does not receive. Inet tells only
	 * that one direction. */
	if (how & SHUT_SND)
		theirs |= SHUT_RCV;
	if ((how & SHUT_RCV) && sk->family == AF_UNIX)
		theirs |= SHUT_SND;
	if (peer && sk->type != SOCK_DGRAM)
		shut_one(peer, theirs);
	sock_put(peer);
}

/* The other end of a connection is gone; RESET: it had not read everything. */
static void peer_gone(struct sock *sk, const struct sock *who, bool reset)
{
	bool mine;

	spin_lock(&sk->lock);
	mine = sk->peer == who;
	if (mine) {
		sk->peer = NULL;
		sk->state = SS_CLOSED;
		/* An inet end learns that nobody reads when it sends. */
		sk->shut |=
			sk->family == AF_UNIX || reset ? SHUT_ALL : SHUT_RCV;
		if (reset)
			sk->err = ECONNRESET;
	}
	spin_unlock(&sk->lock);
	if (mine)
		sock_put((struct sock *)(uintptr_t)who);
	wake_both(sk);
}

void sock_disconnect(struct sock *sk)
{
	struct sock *peer;

	spin_lock(&sk->lock);
	peer = sk->peer;
	sk->peer = NULL;
	sk->peer_name.len = 0;
	if (sk->state == SS_CONNECTED)
		sk->state = sk->type == SOCK_DGRAM ? SS_FREE : SS_CLOSED;
	spin_unlock(&sk->lock);
	sock_put(peer);
}

void sock_unconnect(struct sock *sk)
{
	enum sock_state was;
	struct sock *peer;

	sock_leave_line(sk);
	spin_lock(&sk->lock);
	was = sk->state;
	peer = sk->peer;
	sk->peer = NULL;
	sk->peer_name.len = 0;
	sk->state = SS_FREE;
	sk->shut = 0;
	/* It is told what it has done to itself. */
	if (was != SS_FREE && was != SS_LISTEN)
		sk->err = ECONNRESET;
	spin_unlock(&sk->lock);
	if (was == SS_LISTEN)
		sock_listener_gone(sk);
	(void)sock_flush(sk);
	wake_both(sk);
	if (peer)
		peer_gone(peer, sk, true);
	sock_put(peer);
	sk->ops->forget(sk);
}

void sock_end(struct sock *sk, bool reset)
{
	struct sock *peer;
	bool listens;

	sock_list_del(sk);
	sk->ops->unbind(sk);
	sock_leave_line(sk);
	spin_lock(&sk->lock);
	listens = sk->state == SS_LISTEN;
	sk->state = SS_CLOSED;
	sk->shut = SHUT_ALL;
	peer = sk->peer;
	sk->peer = NULL;
	spin_unlock(&sk->lock);
	if (listens)
		sock_listener_gone(sk);
	reset |= sock_flush(sk);
	wake_both(sk);
	if (peer && sk->type != SOCK_DGRAM)
		peer_gone(peer, sk, reset);
	sock_put(peer);
	sock_put(sk);
}

/* ---- as files --------------------------------------------------------------
 */

static s64 sock_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct sock_call c = {.iter = iter};

	(void)pos;
	if (file_nonblock(file))
		c.flags |= MSG_DONTWAIT;
	return sock_recv(file->private_data, &c);
}

static s64 sock_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct sock_call c = {.iter = iter};

	(void)pos;
	if (file_nonblock(file))
		c.flags |= MSG_DONTWAIT;
	return sock_send(file->private_data, &c);
}

/* Is there room for more, in the eyes of who asks before sending? */
static bool writable(struct sock *sk)
{
	struct sock *peer = peer_get(sk);
	bool room = true;

	if (peer && sk->type != SOCK_DGRAM) {
		spin_lock(&peer->lock);
		room = peer->queued * 2UL < sock_room_limit(sk, peer);
		spin_unlock(&peer->lock);
	}
	sock_put(peer);
	return room;
}

static u32 stream_mask(const struct sock *sk)
{
	u32 mask = 0;

	if (sk->shut == SHUT_ALL)
		mask |= POLLHUP;
	if (sk->shut & SHUT_RCV)
		mask |= POLLIN | POLLRDNORM | POLLRDHUP;
	/* Never connected. */
	if (sk->type != SOCK_DGRAM && sk->state == SS_FREE)
		mask |= POLLHUP;
	return mask;
}

static u32 sock_poll(struct file *file, struct poll_table *pt)
{
	struct sock *sk = file->private_data;
	bool connecting;
	u32 mask = 0;

	poll_wait_rw(pt, &sk->rd, &sk->wr);
	if (sock_acceptable(sk))
		return POLLIN | POLLRDNORM;
	spin_lock(&sk->lock);
	if (sk->state == SS_LISTEN) {
		spin_unlock(&sk->lock);
		return 0;
	}
	if (sk->err)
		mask |= POLLERR;
	if (!list_empty(&sk->queue))
		mask |= POLLIN | POLLRDNORM;
	mask |= stream_mask(sk);
	connecting = sk->state == SS_CONNECTING;
	spin_unlock(&sk->lock);
	if (!connecting && ((sk->shut & SHUT_SND) || writable(sk)))
		mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
	return mask;
}

static s64 sock_ioctl(struct file *file, u32 cmd, u64 arg)
{
	struct sock *sk = file->private_data, *peer;
	s32 n = 0;

	switch (cmd) {
	case FIONREAD:
		if (sk->state == SS_LISTEN)
			return -EINVAL;
		n = (s32)sock_readable(sk);
		break;
	case 0x5411u: /* SIOCOUTQ: what the other end has not read */
		peer = peer_get(sk);
		if (peer && sk->type != SOCK_DGRAM)
			n = (s32)READ_ONCE(peer->queued);
		sock_put(peer);
		break;
	default:
		return -ENOTTY;
	}
	return user_write(arg, &n, sizeof(n));
}

static void sock_release(struct inode *inode, struct file *file)
{
	struct sock *sk = file->private_data;
	bool collect = sk->family == AF_UNIX;

	(void)inode;
	sock_end(sk, false);
	if (collect)
		sock_ended();
}

static const struct file_operations sock_fops = {
	.read_iter = sock_read,
	.write_iter = sock_write,
	.poll = sock_poll,
	.ioctl = sock_ioctl,
	.llseek = event_no_seek,
	.release = sock_release,
};

struct file *sock_file(struct sock *sk, u32 flags)
{
	struct file *file = anon_file(
		"socket:[%d]", &sock_fops, sk, FMODE_READ | FMODE_WRITE,
		O_RDWR | (flags & O_NONBLOCK), S_IFSOCK | 0777);

	if (!IS_ERR(file)) {
		sk->file = file;
		WRITE_ONCE(sk->ino, file->f_inode->i_ino);
	}
	return file;
}

void sock_init(void)
{
	sock_list_init();
	sock_files_init();
	unix_init();
	inet_init();
}
