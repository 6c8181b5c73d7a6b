/* SPDX-License-Identifier: MIT */
/*
 * unix.c - names of AF_UNIX sockets: in the file system and abstract.
 *
 * A name in the file system is a vnode of S_IFSOCK; vnode.socket says who is
 * bound to it, while the socket holds the dentry. Abstract names (sun_path
 * begins with 0; all bytes count) stand in a table of their own and vanish with
 * the socket. unix_sys.lock guards both, and who is found under it gets a
 * reference before it is given back.
 *
 * References: unix(7).
 */
#include "sock.h"

#define UNIX_PATH_MAX 108u
#define UNIX_HASH     64u

static struct {
	spinlock_t lock;
	struct list_head table[UNIX_HASH]; /* abstract: sock.bound */
	u32 next_auto;
} unix_sys;

static u32 path_len(const struct sock_name *n)
{
	return n->len - (u32)sizeof(u16);
}

static bool is_abstract(const struct sock_name *n)
{
	return n->len > sizeof(u16) && !n->bytes[2];
}

static u32 name_hash(const struct sock_name *n)
{
	u32 h = 0;

	for (u32 i = 2; i < n->len; i++)
		h = h * 31 + n->bytes[i];
	return h % UNIX_HASH;
}

/* The path of N with an end; -EINVAL: N is no such name. */
static int name_path(const struct sock_name *n, char *path)
{
	u32 len = path_len(n);

	if (n->family != AF_UNIX || n->len <= sizeof(u16) ||
	    len > UNIX_PATH_MAX)
		return -EINVAL;
	mm_memcpy(path, n->bytes + 2, len);
	path[len] = 0;
	return 0;
}

static struct sock *find_abstract(const struct sock_name *n, u32 type)
{
	struct sock *sk;

	list_for_each_entry (sk, &unix_sys.table[name_hash(n)], bound)
		if (sk->name.len == n->len && (!type || sk->type == type) &&
		    !mm_memcmp(sk->name.bytes, n->bytes, n->len))
			return sk;
	return NULL;
}

/* ---- binding ---------------------------------------------------------------
 */

static int bind_abstract(struct sock *sk, const struct sock_name *n)
{
	int err = 0;

	spin_lock(&unix_sys.lock);
	if (sk->name.len) {
		err = -EINVAL;
	} else if (find_abstract(n, sk->type)) {
		err = -EADDRINUSE;
	} else {
		sk->name = *n;
		list_add(&sk->bound, &unix_sys.table[name_hash(n)]);
	}
	spin_unlock(&unix_sys.lock);
	return err;
}

/* Five hexadecimal digits that nobody has. */
static int unix_autobind(struct sock *sk)
{
	struct sock_name n = {.len = 8};
	static const char digits[] = "0123456789abcdef";
	int err = -EADDRINUSE;

	if (sk->name.len)
		return 0;
	n.family = AF_UNIX;
	for (u32 tries = 0; err == -EADDRINUSE && tries < 1u << 20; tries++) {
		u32 v = mm_fetch_add(&unix_sys.next_auto, 1u);

		for (u32 i = 0; i < 5; i++)
			n.bytes[3 + i] = (u8)digits[v >> (16 - 4 * i) & 15];
		err = bind_abstract(sk, &n);
	}
	return err == -EADDRINUSE ? -ENOSPC : err;
}

/* The vnode of a new name is SK's. D's reference goes over on success. */
static int bind_vnode(struct sock *sk, const struct sock_name *n,
		      struct dentry *d)
{
	struct vnode *v = dentry_vnode(d);
	int err = -EADDRINUSE;

	spin_lock(&unix_sys.lock);
	if (sk->name.len) {
		err = -EINVAL;
	} else if (v && (v->mode & S_IFMT) == S_IFSOCK && !v->socket) {
		v->socket = sk;
		sk->dentry = d;
		sk->name = *n;
		/* The length that programs see counts the end. */
		sk->name.len = (u32)(sizeof(u16) +
				     mm_strnlen((const char *)n->bytes + 2,
						path_len(n)) +
				     1);
		err = 0;
	}
	spin_unlock(&unix_sys.lock);
	return err;
}

static int bind_path(struct sock *sk, const struct sock_name *n)
{
	char path[UNIX_PATH_MAX + 1];
	struct dentry *d;
	int err = name_path(n, path);

	if (err)
		return err;
	if (sk->name.len)
		return -EINVAL;
	err = vfs_mknod(AT_FDCWD, path, S_IFSOCK | 0777, 0);
	if (err)
		return err == -EEXIST ? -EADDRINUSE : err;
	err = vfs_lookup(AT_FDCWD, path, 0, &d);
	if (err)
		return err;
	err = bind_vnode(sk, n, d);
	if (err)
		dput(d);
	return err;
}

static int unix_bind(struct sock *sk, const struct sock_name *n)
{
	if (n->family != AF_UNIX || n->len < sizeof(u16) ||
	    path_len(n) > UNIX_PATH_MAX)
		return -EINVAL;
	if (n->len == sizeof(u16))
		return unix_autobind(sk);
	return is_abstract(n) ? bind_abstract(sk, n) : bind_path(sk, n);
}

static void unix_unbind(struct sock *sk)
{
	struct dentry *d;

	spin_lock(&unix_sys.lock);
	if (!list_empty(&sk->bound))
		list_del_init(&sk->bound);
	d = sk->dentry;
	sk->dentry = NULL;
	if (d && dentry_vnode(d))
		dentry_vnode(d)->socket = NULL;
	spin_unlock(&unix_sys.lock);
	if (d)
		dput(d);
}

/* ---- finding ---------------------------------------------------------------
 */

static int find_path(const struct sock_name *n, struct sock **out)
{
	char path[UNIX_PATH_MAX + 1];
	struct sock *sk = NULL;
	struct dentry *d;
	struct vnode *v;
	int err = name_path(n, path);

	if (!err)
		err = vfs_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &d);
	if (err)
		return err;
	v = dentry_vnode(d);
	err = v ? vfs_permission(v, 2) : -ENOENT;
	if (!err) {
		spin_lock(&unix_sys.lock);
		if ((v->mode & S_IFMT) == S_IFSOCK && v->socket)
			sk = sock_get(v->socket);
		spin_unlock(&unix_sys.lock);
		err = sk ? 0 : -ECONNREFUSED;
	}
	dput(d);
	*out = sk;
	return err;
}

static int unix_find(struct sock *sk, const struct sock_name *n,
		     struct sock **out)
{
	struct sock *to;
	int err = 0;

	if (n->family != AF_UNIX || n->len <= sizeof(u16) ||
	    path_len(n) > UNIX_PATH_MAX)
		return -EINVAL;
	if (is_abstract(n)) {
		spin_lock(&unix_sys.lock);
		to = find_abstract(n, sk->type);
		if (to)
			(void)sock_get(to);
		spin_unlock(&unix_sys.lock);
		err = to ? 0 : -ECONNREFUSED;
	} else {
		err = find_path(n, &to);
	}
	if (!err && to->type != sk->type) {
		sock_put(to);
		err = -EPROTOTYPE;
	}
	if (!err)
		*out = to;
	return err;
}

/* Clients need no name. */
static int unix_no_autobind(struct sock *sk)
{
	(void)sk;
	return 0;
}

static void unix_accepted(struct sock *end, struct sock *client)
{
	client->peer_name = end->name;
	end->peer_name = client->name;
}

static void unix_source(struct sock *sk, const struct sock *to,
			struct sock_name *out)
{
	(void)to;
	spin_lock(&sk->lock);
	*out = sk->name;
	spin_unlock(&sk->lock);
}

const struct sock_ops unix_ops = {
	.bind = unix_bind,
	.find = unix_find,
	.autobind = unix_no_autobind,
	.accepted = unix_accepted,
	.source = unix_source,
	.unbind = unix_unbind,
};

void unix_init(void)
{
	spin_lock_init(&unix_sys.lock, LOCK_CLASS_NONE);
	for (u32 i = 0; i < UNIX_HASH; i++)
		INIT_LIST_HEAD(&unix_sys.table[i]);
	unix_sys.next_auto = 0;
}
