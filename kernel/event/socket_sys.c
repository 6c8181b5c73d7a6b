/* SPDX-License-Identifier: MIT */
/*
 * socket_sys.c - the system calls of sockets but for messages with vectors and
 * control data (socket_msg.c).
 */
#include "socket_sys.h"

#define SOCK_FLAGS (O_NONBLOCK | O_CLOEXEC)

/* ---- descriptors and names -------------------------------------------------
 */

int socket_get(int fd, struct file **file, struct sock **sk)
{
	*file = fd_get(fd);
	if (!*file)
		return -EBADF;
	*sk = sock_of(*file);
	if (*sk)
		return 0;
	fput(*file);
	return -ENOTSOCK;
}

int sock_read_name(struct sock_name *name, u64 from, u64 len)
{
	if ((s32)len < 0 || len > SOCK_NAME_MAX)
		return -EINVAL;
	mm_memset(name, 0, sizeof(*name));
	if (user_read(name->bytes, from, len))
		return -EFAULT;
	name->len = (u32)len;
	return 0;
}

int sock_write_name(const struct sock_name *name, u64 to, u64 len_at)
{
	u32 len = name->len;
	s32 room;

	if (user_read(&room, len_at, sizeof(room)))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (user_write(to, name->bytes, min(len, (u32)room)))
		return -EFAULT;
	return user_write(len_at, &len, sizeof(len));
}

/* A name as programs see it: one that has none still has a family. */
static struct sock_name shown_name(const struct sock *sk,
				   const struct sock_name *name)
{
	struct sock_name n = *name;

	if (n.len)
		return n;
	mm_memset(&n, 0, sizeof(n));
	n.family = sk->family;
	n.len = sk->family == AF_UNIX ? 2 : sk->family == AF_INET ? 16 : 28;
	return n;
}

/* ---- making ----------------------------------------------------------------
 */

static int check_inet(u32 type, int *protocol)
{
	int want = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;

	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return type == 3 ? -EPERM : -ESOCKTNOSUPPORT;
	if (*protocol && *protocol != want)
		return -EPROTONOSUPPORT;
	*protocol = want;
	return 0;
}

static int check_unix(u32 type, int *protocol)
{
	if (*protocol && *protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	*protocol = 0;
	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	return 0;
}

/* ERR_PTR. */
static struct sock *make(int family, u32 type, int protocol)
{
	struct sock *sk;
	int err;

	if (type & ~(SOCK_TYPE_MASK | SOCK_FLAGS))
		return ERR_PTR(-EINVAL);
	if (family == AF_UNIX)
		err = check_unix(type & SOCK_TYPE_MASK, &protocol);
	else if (family == AF_INET || family == AF_INET6)
		err = check_inet(type & SOCK_TYPE_MASK, &protocol);
	else
		err = -EAFNOSUPPORT;
	if (err)
		return ERR_PTR(err);
	sk = sock_new((u16)family, type & SOCK_TYPE_MASK, protocol);
	return sk ? sk : ERR_PTR(-ENOBUFS);
}

/* A file of SK, which is given up if there is none. */
static struct file *file_or_end(struct sock *sk, u32 flags)
{
	struct file *file = sock_file(sk, flags);

	if (IS_ERR(file))
		sock_end(sk, true);
	return file;
}

static s64 sys_socket(const struct sys_args *s)
{
	u32 type = (u32)s->a[1];
	struct sock *sk = make((int)s->a[0], type, (int)s->a[2]);

	if (IS_ERR(sk))
		return PTR_ERR(sk);
	return event_install(file_or_end(sk, type), type);
}

static s64 sys_socketpair(const struct sys_args *s)
{
	u32 type = (u32)s->a[1];
	struct sock *a = make((int)s->a[0], type, (int)s->a[2]), *b;
	struct file *fa, *fb;

	if (IS_ERR(a))
		return PTR_ERR(a);
	b = a->family == AF_UNIX ? sock_new(a->family, a->type, a->protocol)
				 : ERR_PTR(-EOPNOTSUPP);
	if (!b || IS_ERR(b)) {
		sock_end(a, true);
		return b ? PTR_ERR(b) : -ENOBUFS;
	}
	sock_join(a, b);
	fa = file_or_end(a, type);
	fb = file_or_end(b, type);
	if (IS_ERR(fa) || IS_ERR(fb)) {
		if (!IS_ERR(fa))
			fput(fa);
		if (!IS_ERR(fb))
			fput(fb);
		return -ENFILE;
	}
	return event_install2(fa, fb, type, s->a[3]);
}

/* ---- names and connections -------------------------------------------------
 */

static s64 sys_bind(const struct sys_args *s)
{
	struct sock_name name;
	struct file *file;
	struct sock *sk;
	int err = socket_get((int)s->a[0], &file, &sk);

	if (err)
		return err;
	err = sock_read_name(&name, s->a[1], s->a[2]);
	if (!err)
		err = sk->ops->bind(sk, &name);
	fput(file);
	return err;
}

static s64 sys_listen(const struct sys_args *s)
{
	struct file *file;
	struct sock *sk;
	int err = socket_get((int)s->a[0], &file, &sk);

	if (err)
		return err;
	err = sock_listen(sk, (int)s->a[1]);
	fput(file);
	return err;
}

static s64 sys_connect(const struct sys_args *s)
{
	struct sock_name name;
	struct file *file;
	struct sock *sk;
	int err = socket_get((int)s->a[0], &file, &sk);

	if (err)
		return err;
	err = sock_read_name(&name, s->a[1], s->a[2]);
	if (!err && name.len < sizeof(u16))
		err = -EINVAL;
	if (!err)
		err = sock_connect(sk, &name, file_nonblock(file));
	fput(file);
	return err;
}

static s64 accept_on(struct sock *sk, struct file *file,
		     const struct sys_args *s, u32 flags)
{
	struct sock_name name;
	struct file *fresh;
	struct sock *end;
	int err = sock_accept(sk, file_nonblock(file), &end);

	if (err)
		return err;
	spin_lock(&end->lock);
	name = shown_name(end, &end->peer_name);
	spin_unlock(&end->lock);
	fresh = file_or_end(end, flags);
	if (IS_ERR(fresh))
		return PTR_ERR(fresh);
	if (s->a[1]) {
		err = sock_write_name(&name, s->a[1], s->a[2]);
		if (err) {
			fput(fresh);
			return err;
		}
	}
	return event_install(fresh, flags);
}

static s64 do_accept(const struct sys_args *s, u32 flags)
{
	struct file *file;
	struct sock *sk;
	s64 ret;

	if (flags & ~SOCK_FLAGS)
		return -EINVAL;
	ret = socket_get((int)s->a[0], &file, &sk);
	if (ret)
		return ret;
	ret = accept_on(sk, file, s, flags);
	fput(file);
	return ret;
}

static s64 sys_accept(const struct sys_args *s)
{
	return do_accept(s, 0);
}

static s64 sys_accept4(const struct sys_args *s)
{
	return do_accept(s, (u32)s->a[3]);
}

static s64 get_name(const struct sys_args *s, bool peer)
{
	struct sock_name name;
	struct file *file;
	struct sock *sk;
	int err = socket_get((int)s->a[0], &file, &sk);

	if (err)
		return err;
	spin_lock(&sk->lock);
	if (peer && sk->state != SS_CONNECTED)
		err = -ENOTCONN;
	name = shown_name(sk, peer ? &sk->peer_name : &sk->name);
	spin_unlock(&sk->lock);
	if (!err)
		err = sock_write_name(&name, s->a[1], s->a[2]);
	fput(file);
	return err;
}

static s64 sys_getsockname(const struct sys_args *s)
{
	return get_name(s, false);
}

static s64 sys_getpeername(const struct sys_args *s)
{
	return get_name(s, true);
}

static s64 sys_shutdown(const struct sys_args *s)
{
	struct file *file;
	struct sock *sk;
	int err = socket_get((int)s->a[0], &file, &sk);

	if (err)
		return err;
	spin_lock(&sk->lock);
	if (sk->family != AF_UNIX &&
	    (sk->state == SS_FREE || sk->state == SS_CONNECTING))
		err = -ENOTCONN;
	spin_unlock(&sk->lock);
	if (s->a[1] > 2)
		err = -EINVAL;
	if (!err)
		sock_shutdown(sk, (u32)s->a[1] + 1);
	fput(file);
	return err;
}

static s64 sys_setsockopt(const struct sys_args *s)
{
	struct file *file;
	struct sock *sk;
	s64 ret = socket_get((int)s->a[0], &file, &sk);

	if (ret)
		return ret;
	ret = (s32)s->a[4] < 0 ? -EINVAL
			       : sock_setopt(sk, (int)s->a[1], (int)s->a[2],
					     s->a[3], (u32)s->a[4]);
	fput(file);
	return ret;
}

static s64 sys_getsockopt(const struct sys_args *s)
{
	struct file *file;
	struct sock *sk;
	s64 ret = socket_get((int)s->a[0], &file, &sk);

	if (ret)
		return ret;
	ret = sock_getopt(sk, (int)s->a[1], (int)s->a[2], s->a[3], s->a[4]);
	fput(file);
	return ret;
}

/* ---- plain messages --------------------------------------------------------
 */

static s64 sys_sendto(const struct sys_args *s)
{
	struct iov_iter iter;
	struct sock_call c = {.iter = &iter, .flags = (u32)s->a[3]};
	struct file *file;
	struct sock *sk;
	s64 ret = socket_get((int)s->a[0], &file, &sk);

	if (ret)
		return ret;
	iov_iter_user(&iter, current->mt->mm, s->a[1],
		      min(s->a[2], (u64)INT32_MAX & PAGE_MASK));
	if (s->a[4])
		ret = sock_read_name(&c.name, s->a[4], s->a[5]);
	if (file_nonblock(file))
		c.flags |= MSG_DONTWAIT;
	if (!ret)
		ret = sock_send(sk, &c);
	fput(file);
	return ret;
}

static s64 sys_recvfrom(const struct sys_args *s)
{
	struct iov_iter iter;
	struct sock_call c = {.iter = &iter, .flags = (u32)s->a[3]};
	struct file *file;
	struct sock *sk;
	s64 ret = socket_get((int)s->a[0], &file, &sk);
	int err;

	if (ret)
		return ret;
	iov_iter_user(&iter, current->mt->mm, s->a[1],
		      min(s->a[2], (u64)INT32_MAX & PAGE_MASK));
	if (file_nonblock(file))
		c.flags |= MSG_DONTWAIT;
	ret = sock_recv(sk, &c);
	socket_drop_files(&c);
	if (ret >= 0 && s->a[4]) {
		err = sock_write_name(&c.name, s->a[4], s->a[5]);
		ret = err ? err : ret;
	}
	fput(file);
	return ret;
}

static const struct syscall_def socket_calls[] = {
	{41, "socket", sys_socket},
	{42, "connect", sys_connect},
	{43, "accept", sys_accept},
	{44, "sendto", sys_sendto},
	{45, "recvfrom", sys_recvfrom},
	{48, "shutdown", sys_shutdown},
	{49, "bind", sys_bind},
	{50, "listen", sys_listen},
	{51, "getsockname", sys_getsockname},
	{52, "getpeername", sys_getpeername},
	{53, "socketpair", sys_socketpair},
	{54, "setsockopt", sys_setsockopt},
	{55, "getsockopt", sys_getsockopt},
	{288, "accept4", sys_accept4},
};

void socket_sys_init(void)
{
	syscall_register(socket_calls, ARRAY_SIZE(socket_calls));
	socket_msg_init();
}
