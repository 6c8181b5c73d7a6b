/* SPDX-License-Identifier: MIT */
/*
 * proc_ns.c - /proc/PID/ns and /proc/PID/net.
 *
 * There is one namespace of each kind, in which all processes are: the links
 * have the texts that Linux gives to its initial ones (namespaces(7)), so that
 * who compares two processes finds them together. Nothing can be opened by
 * them (-ENXIO, as pipes and sockets), for there is nowhere to go: setns(2) and
 * unshare(2) have no other namespace. The sockets are kernel/event's.
 *
 * References: namespaces(7), proc(5).
 */
#include "base/string.h"
#include "event.h"
#include "procfs/proc_task.h"

static s64 readlink_ns(const struct pnode *n, char *buf, size_t size)
{
	s64 err = task_may_look(n);
	size_t len = min(mm_strlen(n->e->source), size);

	if (err)
		return err;
	mm_memcpy(buf, n->e->source, len);
	return (s64)len;
}

static int link_ns(const struct pnode *n, struct dentry **out)
{
	int err = task_may_look(n);

	(void)out;
	return err ? err : -ENXIO;
}

#define NS(n, text)                                                  \
	{                                                            \
		.name = n, .mode = S_IFLNK | 0777, .source = (text), \
		.readlink = readlink_ns, .get_link = link_ns         \
	}

static const struct pentry ns_entries[] = {
	NS("cgroup", "cgroup:[4026531835]"),
	NS("ipc", "ipc:[4026531839]"),
	NS("mnt", "mnt:[4026531841]"),
	NS("net", "net:[4026531840]"),
	NS("pid", "pid:[4026531836]"),
	NS("pid_for_children", "pid:[4026531836]"),
	NS("time", "time:[4026531834]"),
	NS("time_for_children", "time:[4026531834]"),
	NS("user", "user:[4026531837]"),
	NS("uts", "uts:[4026531838]"),
};
const struct pdir proc_ns_dir = PDIR(ns_entries);

/* ---- net
 * ------------------------------------------------------------------ */

static int show_unix(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	sock_show_unix(out);
	return 0;
}

/* The argument: a kind of socket, and of which IP. */
#define NET_V6 0x100u
#define TCP    1u
#define UDP    2u
#define RAW    3u
static int show_inet(const struct pnode *n, struct seq_buf *out)
{
	sock_show_inet(out, n->e->arg & NET_V6, n->e->arg & 0xff);
	return 0;
}

static int show_sums(const struct pnode *n, struct seq_buf *out)
{
	sock_show_sums(out, n->e->arg & NET_V6);
	return 0;
}

static int show_protocols(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	sock_show_protocols(out);
	return 0;
}

static int show_dev(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	sock_show_devices(out);
	return 0;
}

#define NET(n, f, a)                                                     \
	{                                                                \
		.name = n, .mode = S_IFREG | 0444, .show = f, .arg = (a) \
	}

static const struct pentry net_entries[] = {
	NET("dev", show_dev, 0),       NET("protocols", show_protocols, 0),
	NET("sockstat", show_sums, 0), NET("sockstat6", show_sums, NET_V6),
	NET("raw", show_inet, RAW),    NET("raw6", show_inet, NET_V6 | RAW),
	NET("tcp", show_inet, TCP),    NET("tcp6", show_inet, NET_V6 | TCP),
	NET("udp", show_inet, UDP),    NET("udp6", show_inet, NET_V6 | UDP),
	NET("unix", show_unix, 0),
};
const struct pdir proc_net_dir = PDIR(net_entries);
