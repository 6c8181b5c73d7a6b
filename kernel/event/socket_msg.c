/* SPDX-License-Identifier: MIT */
/*
 * socket_msg.c - sendmsg(2), recvmsg(2) and their many-message forms; control
 * data: SCM_RIGHTS and SCM_CREDENTIALS of unix(7).
 *
 * Files that are sent are referenced at once and travel in the message; a
 * receiver gets descriptors for as many as it has room for, the others are
 * closed (MSG_CTRUNC). Credentials that one says must be one's own, unless one
 * may claim others'.
 *
 * References: sendmsg(2), recvmsg(2), cmsg(3), unix(7).
 */
#include "fs/fs.h"
#include "socket_sys.h"

#define SCM_RIGHTS	1
#define SCM_CREDENTIALS 2
#define CAP_SETGID	6
#define CAP_SETUID	7
#define CAP_SYS_ADMIN	21
#define CONTROL_MAX	20480u

struct user_msghdr {
	u64 name;
	s32 namelen;
	u32 pad;
	u64 iov, iovlen;
	u64 control, controllen;
	u32 flags, pad2;
};
struct user_mmsghdr {
	struct user_msghdr hdr;
	u32 len, pad;
};
struct user_cmsghdr {
	u64 len;
	s32 level, type;
};

#define CMSG_ALIGN(n) (((n) + 7) & ~7UL)

void socket_drop_files(struct sock_call *c)
{
	for (u32 i = 0; i < c->nr_files; i++)
		fput(c->files[i]);
	kfree(c->files);
	c->files = NULL;
	c->nr_files = 0;
}

/* ---- control data that is sent ---------------------------------------------
 */

static int take_fds(struct sock_call *c, const s32 *fds, u32 n)
{
	struct file *file;

	if (c->nr_files + n > SCM_MAX_FD)
		return -EINVAL;
	if (!c->files)
		c->files = kmalloc_array(SCM_MAX_FD, sizeof(*c->files),
					 GFP_KERNEL);
	if (!c->files)
		return -ENOMEM;
	for (u32 i = 0; i < n; i++) {
		file = fd_get(fds[i]);
		if (!file)
			return -EBADF;
		c->files[c->nr_files++] = file;
	}
	return 0;
}

static bool is_one_of(u32 id, u32 a, u32 b, u32 e)
{
	return id == a || id == b || id == e;
}

static int take_cred(struct sock_call *c, const struct ucred *u)
{
	const struct cred *me = &current->cred;

	if ((u->pid != current->proc->tgid && !capable(CAP_SYS_ADMIN)) ||
	    (!is_one_of(u->uid, me->uid, me->euid, me->suid) &&
	     !capable(CAP_SETUID)) ||
	    (!is_one_of(u->gid, me->gid, me->egid, me->sgid) &&
	     !capable(CAP_SETGID)))
		return -EPERM;
	c->cred = *u;
	c->has_cred = true;
	return 0;
}

static int take_one(const struct sock *sk, struct sock_call *c,
		    const struct user_cmsghdr *h)
{
	const void *data = h + 1;
	u64 n = h->len - sizeof(*h);

	if (h->level != SOL_SOCKET || sk->family != AF_UNIX)
		return sk->family == AF_UNIX ? 0 : -EINVAL;
	if (h->type == SCM_RIGHTS)
		return take_fds(c, data, (u32)(n / sizeof(s32)));
	if (h->type == SCM_CREDENTIALS && n == sizeof(struct ucred))
		return take_cred(c, data);
	return -EINVAL;
}

static int parse_control(const struct sock *sk, struct sock_call *c,
			 const u8 *buf, u64 len)
{
	const struct user_cmsghdr *h;
	int err = 0;

	for (u64 at = 0; !err && at + sizeof(*h) <= len;
	     at += CMSG_ALIGN(h->len)) {
		h = (const void *)(buf + at);
		if (h->len < sizeof(*h) || h->len > len - at)
			return -EINVAL;
		err = take_one(sk, c, h);
	}
	return err;
}

static int read_control(const struct sock *sk, struct sock_call *c,
			const struct user_msghdr *h)
{
	u8 *buf;
	int err;

	if (!h->controllen)
		return 0;
	if (h->controllen > CONTROL_MAX)
		return -ENOBUFS;
	buf = kmalloc(h->controllen, GFP_KERNEL);
	if (!buf)
		return -ENOBUFS;
	if (user_read(buf, h->control, h->controllen))
		err = -EFAULT;
	else
		err = parse_control(sk, c, buf, h->controllen);
	kfree(buf);
	return err;
}

/* ---- control data that is received -----------------------------------------
 */

/* Where control data goes. */
struct control_out {
	u64 at, left;
	bool cut;
};

static int put_control(struct control_out *o, int type, const void *data, u64 n)
{
	struct user_cmsghdr h = {sizeof(h) + n, SOL_SOCKET, type};

	if (o->left < h.len) {
		o->cut = true;
		return 0;
	}
	if (user_write(o->at, &h, sizeof(h)) ||
	    user_write(o->at + sizeof(h), data, n))
		return -EFAULT;
	n = min(CMSG_ALIGN(h.len), o->left);
	o->at += n;
	o->left -= n;
	return 0;
}

/* Descriptors for as many files as there is room for. */
static int put_files(struct control_out *o, struct sock_call *c)
{
	u64 head = sizeof(struct user_cmsghdr);
	u32 room = o->left < head ? 0 : (u32)((o->left - head) / sizeof(s32));
	s32 fds[SCM_MAX_FD];
	u32 n = 0;

	for (; n < c->nr_files && n < room; n++) {
		fds[n] = fd_install(get_file(c->files[n]), 0,
				    c->flags & MSG_CMSG_CLOEXEC);
		if (fds[n] < 0) {
			fput(c->files[n]);
			break;
		}
	}
	o->cut |= n < c->nr_files;
	return n ? put_control(o, SCM_RIGHTS, fds, n * sizeof(s32)) : 0;
}

static int write_control(struct sock_call *c, struct user_msghdr *h)
{
	struct control_out o = {h->control, h->controllen, false};
	int err = 0;

	if (c->has_cred)
		err = put_control(&o, SCM_CREDENTIALS, &c->cred,
				  sizeof(c->cred));
	if (!err && c->nr_files)
		err = put_files(&o, c);
	h->controllen -= o.left;
	if (o.cut)
		c->out_flags |= MSG_CTRUNC;
	return err;
}

/* ---- one message -----------------------------------------------------------
 */

static int read_hdr(struct user_msghdr *h, u64 from)
{
	if (user_read(h, from, sizeof(*h)))
		return -EFAULT;
	if (h->namelen < 0)
		return -EINVAL;
	return h->iovlen > UIO_MAXIOV ? -EMSGSIZE : 0;
}

static s64 send_one(struct sock *sk, u64 at, u32 flags)
{
	struct sock_call c = {.flags = flags};
	struct user_msghdr h;
	struct iov_iter iter;
	struct uvec v;
	s64 ret = read_hdr(&h, at);

	if (!ret && h.name)
		ret = sock_read_name(&c.name, h.name,
				     min((u64)h.namelen, (u64)SOCK_NAME_MAX));
	if (ret)
		return ret;
	ret = uvec_get(&v, &iter, h.iov, h.iovlen);
	if (!ret)
		ret = read_control(sk, &c, &h);
	c.iter = &iter;
	if (!ret)
		ret = sock_send(sk, &c);
	socket_drop_files(&c);
	uvec_put(&v);
	return ret;
}

static int write_back(u64 at, const struct user_msghdr *h,
		      const struct sock_call *c)
{
	u32 flags = c->out_flags | (c->flags & MSG_CMSG_CLOEXEC);
	int err = 0;

	if (h->name)
		err = sock_write_name(
			&c->name, h->name,
			at + offsetof(struct user_msghdr, namelen));
	if (!err && user_write(at + offsetof(struct user_msghdr, controllen),
			       &h->controllen, sizeof(h->controllen)))
		err = -EFAULT;
	if (!err && user_write(at + offsetof(struct user_msghdr, flags), &flags,
			       sizeof(flags)))
		err = -EFAULT;
	return err;
}

static s64 recv_one(struct sock *sk, u64 at, u32 flags)
{
	struct sock_call c = {.flags = flags};
	struct user_msghdr h;
	struct iov_iter iter;
	struct uvec v;
	s64 ret = read_hdr(&h, at);
	int err;

	if (ret)
		return ret;
	ret = uvec_get(&v, &iter, h.iov, h.iovlen);
	c.iter = &iter;
	if (!ret)
		ret = sock_recv(sk, &c);
	uvec_put(&v);
	if (ret < 0)
		return ret;
	err = write_control(&c, &h);
	socket_drop_files(&c);
	if (!err)
		err = write_back(at, &h, &c);
	return err ? err : ret;
}

static u32 call_flags(const struct file *file, u64 flags)
{
	return (u32)flags | (file_nonblock(file) ? MSG_DONTWAIT : 0);
}

static s64 sys_sendmsg(const struct sys_args *s)
{
	struct file *file;
	struct sock *sk;
	s64 ret = socket_get((int)s->a[0], &file, &sk);

	if (ret)
		return ret;
	ret = send_one(sk, s->a[1], call_flags(file, s->a[2]));
	fput(file);
	return ret;
}

static s64 sys_recvmsg(const struct sys_args *s)
{
	struct file *file;
	struct sock *sk;
	s64 ret = socket_get((int)s->a[0], &file, &sk);

	if (ret)
		return ret;
	ret = recv_one(sk, s->a[1], call_flags(file, s->a[2]));
	fput(file);
	return ret;
}

/* ---- many messages ---------------------------------------------------------
 */

#define MMSG_MAX 1024u

static int write_len(u64 at, s64 len)
{
	u32 n = (u32)len;

	return user_write(at + offsetof(struct user_mmsghdr, len), &n,
			  sizeof(n));
}

static s64 sys_sendmmsg(const struct sys_args *s)
{
	u32 nr = min((u32)s->a[2], MMSG_MAX), i;
	struct file *file;
	struct sock *sk;
	s64 ret = socket_get((int)s->a[0], &file, &sk);

	if (ret)
		return ret;
	for (i = 0; i < nr; i++) {
		u64 at = s->a[1] + i * sizeof(struct user_mmsghdr);

		ret = send_one(sk, at, call_flags(file, s->a[3]));
		if (ret >= 0)
			ret = write_len(at, ret);
		if (ret)
			break;
	}
	fput(file);
	return i ? (s64)i : ret;
}

/* A time-out is looked at between messages only, as the man page says. */
static s64 sys_recvmmsg(const struct sys_args *s)
{
	u32 nr = min((u32)s->a[2], MMSG_MAX), i, flags;
	u64 deadline = UINT64_MAX;
	struct ktimespec t;
	struct file *file;
	struct sock *sk;
	s64 ret = s->a[4] ? user_read_timespec(&t, s->a[4]) : 0;

	if (!ret)
		ret = socket_get((int)s->a[0], &file, &sk);
	if (ret)
		return ret;
	if (s->a[4])
		deadline = wait_deadline(timespec_ns(&t));
	flags = call_flags(file, s->a[3]);
	for (i = 0; i < nr; i++) {
		u64 at = s->a[1] + i * sizeof(struct user_mmsghdr);

		ret = recv_one(sk, at, flags & ~MSG_WAITFORONE);
		if (ret >= 0)
			ret = write_len(at, ret);
		if (ret)
			break;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (port_now_ns() >= deadline) {
			i++;
			break;
		}
	}
	fput(file);
	return i ? (s64)i : ret;
}

static const struct syscall_def msg_calls[] = {
	{46, "sendmsg", sys_sendmsg},
	{47, "recvmsg", sys_recvmsg},
	{299, "recvmmsg", sys_recvmmsg},
	{307, "sendmmsg", sys_sendmmsg},
};

void socket_msg_init(void)
{
	sock_init();
	syscall_register(msg_calls, ARRAY_SIZE(msg_calls));
}
