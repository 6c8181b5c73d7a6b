/* SPDX-License-Identifier: MIT */
/*
 * sock_show.c - /proc/net: the sockets there are.
 *
 * 1. Purpose. unix, tcp, tcp6, udp, udp6, sockstat and protocols in Linux's
 *    form, read by ss(8), netstat(8), lsof(8). There are no devices, so that
 *    dev has its heads alone; every socket is of this machine.
 *
 * 2. All sockets stand in one list from their making to their end, in the
 *    order of their numbers. Who lists them takes some at a time under the
 *    list's lock, with a reference each, and goes on behind the last number:
 *    text is made without that lock, and a socket that is there all the time
 *    is told once (SS-1).
 *
 * 3. Locking. The list's lock is taken alone; then each socket's own.
 *
 * References: proc(5); Linux documentation, networking/proc_net_tcp.
 */
#include "base/seqbuf.h"
#include "event.h"
#include "sock.h"

#define BATCH 32u

static struct {
	spinlock_t lock;
	struct list_head all; /* sock.all, by number */
	u64 last;	      /* number given */
	u32 nr;
} list;

/* ---- the list
 * ------------------------------------------------------------------ */

void sock_list_init(void)
{
	spin_lock_init(&list.lock, LOCK_CLASS_NONE);
	INIT_LIST_HEAD(&list.all);
	list.last = 0;
	list.nr = 0;
}

void sock_list_add(struct sock *sk)
{
	spin_lock(&list.lock);
	sk->number = ++list.last;
	list_add_tail(&sk->all, &list.all);
	list.nr++;
	spin_unlock(&list.lock);
}

void sock_list_del(struct sock *sk)
{
	spin_lock(&list.lock);
	if (!list_empty(&sk->all)) {
		list_del_init(&sk->all);
		list.nr--;
	}
	spin_unlock(&list.lock);
}

/* A reference of what is in the list, whose last one may be going. */
static bool sock_tryget(struct sock *sk)
{
	u32 refs = READ_ONCE(sk->refs);

	while (refs)
		if (__atomic_compare_exchange_n(&sk->refs, &refs, refs + 1,
						false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return true;
	return false;
}

/* Up to BATCH sockets behind number *AFTER, which moves on. How many. */
static u32 next_batch(u64 *after, struct sock *out[BATCH])
{
	struct sock *sk;
	u32 n = 0;

	spin_lock(&list.lock);
	list_for_each_entry (sk, &list.all, all) {
		if (n == BATCH)
			break;
		if (sk->number <= *after || !sock_tryget(sk))
			continue;
		out[n++] = sk;
	}
	spin_unlock(&list.lock);
	if (n)
		*after = out[n - 1]->number;
	return n;
}

static void each_sock(void (*fn)(struct sock *sk, void *arg), void *arg)
{
	struct sock *batch[BATCH];
	u64 after = 0;
	u32 n;

	while ((n = next_batch(&after, batch)))
		for (u32 i = 0; i < n; i++) {
			fn(batch[i], arg);
			sock_put(batch[i]);
		}
}

/* What is told of one, as it is at one moment. */
struct view {
	enum sock_state state;
	struct sock_name name, peer;
	bool has_peer, has_file;
	u32 refs, queued, sent;
	u64 ino;
};

static void look(struct sock *sk, struct view *v)
{
	spin_lock(&sk->lock);
	*v = (struct view){.state = sk->state,
			   .name = sk->name,
			   .peer = sk->peer_name,
			   .has_peer = sk->peer != NULL,
			   .has_file = READ_ONCE(sk->ino) != 0,
			   /* Our own is not counted. */
			   .refs = READ_ONCE(sk->refs) - 1,
			   .queued = sk->queued,
			   .ino = READ_ONCE(sk->ino)};
	spin_unlock(&sk->lock);
}

/* Where Linux has a hashed address: tells sockets apart, and no more. */
static u64 handle(const struct sock *sk)
{
	return (u32)(sk->number * 0x9e3779b1UL);
}

/* ---- AF_UNIX
 * ------------------------------------------------------------------ */

/* SS_UNCONNECTED, SS_CONNECTING (nobody has accepted it), SS_CONNECTED. */
static u32 unix_state(const struct view *v)
{
	if (!v->has_file)
		return 2;
	return v->state == SS_CONNECTED || v->state == SS_CLOSED ? 3 : 1;
}

static void show_unix(struct sock *sk, void *arg)
{
	struct seq_buf *out = arg;
	struct view v;
	u32 end;

	if (sk->family != AF_UNIX)
		return;
	look(sk, &v);
	seq_printf(out, "%016llx: %08X %08X %08X %04X %02X %5llu",
		   (unsigned long long)handle(sk), v.refs, 0u,
		   v.state == SS_LISTEN ? 0x10000u : 0u, sk->type,
		   unix_state(&v), (unsigned long long)v.ino);
	/* A path's length counts its end; an abstract name has none. */
	end = v.name.len > 3 && v.name.bytes[2] ? v.name.len - 1 : v.name.len;
	if (end > 2)
		seq_putc(out, ' ');
	for (u32 i = 2; i < end; i++)
		seq_putc(out, v.name.bytes[i] ? (char)v.name.bytes[i] : '@');
	seq_putc(out, '\n');
}

void sock_show_unix(struct seq_buf *out)
{
	seq_puts(out, "Num       RefCount Protocol Flags    Type St Inode "
		      "Path\n");
	each_sock(show_unix, out);
}

/* ---- AF_INET, AF_INET6
 * ------------------------------------------------------------------ */

#define TCP_ESTABLISHED 1u
#define TCP_SYN_SENT	2u
#define TCP_CLOSE_WAIT	8u
#define TCP_CLOSE	7u
#define TCP_LISTEN	10u

struct lines {
	struct seq_buf *out;
	u16 family, type;
	u32 nr;
};

/* Four bytes as the number that they are on this machine. */
static u32 word_of(const u8 *p)
{
	u32 v;

	mm_memcpy(&v, p, sizeof(v));
	return v;
}

static void put_addr(struct seq_buf *out, const struct sock_name *n, u16 family)
{
	u32 port = n->len ? (u32)n->bytes[2] << 8 | n->bytes[3] : 0;
	u32 at = family == AF_INET ? 4 : 8, words = family == AF_INET ? 1 : 4;

	for (u32 i = 0; i < words; i++)
		seq_printf(out, "%08X",
			   n->len ? word_of(n->bytes + at + 4UL * i) : 0);
	seq_printf(out, ":%04X ", port);
}

static u32 inet_state(const struct sock *sk, const struct view *v)
{
	if (sk->type == SOCK_DGRAM)
		return v->state == SS_CONNECTED ? TCP_ESTABLISHED : TCP_CLOSE;
	switch (v->state) {
	case SS_LISTEN:
		return TCP_LISTEN;
	case SS_CONNECTING:
		return TCP_SYN_SENT;
	case SS_CONNECTED:
		return TCP_ESTABLISHED;
	case SS_CLOSED:
		return TCP_CLOSE_WAIT;
	default:
		return TCP_CLOSE;
	}
}

/* What has no name yet is in no table of Linux's either. */
static void show_inet(struct sock *sk, void *arg)
{
	struct lines *l = arg;
	bool udp = l->type == SOCK_DGRAM;
	struct view v;

	if (sk->family != l->family || sk->type != l->type)
		return;
	look(sk, &v);
	if (!v.name.len)
		return;
	seq_printf(l->out, udp ? "%5u: " : "%4u: ", l->nr++);
	put_addr(l->out, &v.name, l->family);
	put_addr(l->out, &v.peer, l->family);
	seq_printf(l->out, "%02X %08X:%08X 00:00000000 00000000 %5u %8d %llu ",
		   inet_state(sk, &v), 0u, v.queued, sk->cred.uid, 0,
		   (unsigned long long)v.ino);
	seq_printf(l->out, "%u %016llx", v.refs,
		   (unsigned long long)handle(sk));
	seq_puts(l->out, udp ? " 0\n" : " 100 0 0 10 0\n");
}

void sock_show_inet(struct seq_buf *out, bool v6, u32 type)
{
	struct lines l = {.out = out,
			  .family = v6 ? AF_INET6 : AF_INET,
			  .type = (u16)type};

	if (v6)
		seq_puts(out, "  sl  local_address                         "
			      "remote_address                        st "
			      "tx_queue rx_queue tr tm->when retrnsmt   uid  "
			      "timeout inode");
	else
		seq_puts(out, "  sl  local_address rem_address   st tx_queue "
			      "rx_queue tr tm->when retrnsmt   uid  timeout "
			      "inode");
	seq_puts(out, type != SOCK_STREAM ? " ref pointer drops\n" : "\n");
	each_sock(show_inet, &l);
}

/* ---- sums
 * ------------------------------------------------------------------ */

enum { UNIX_STREAM, UNIX_OTHER, TCP, UDP, TCP6, UDP6, NR_SUMS };

static void count(struct sock *sk, void *arg)
{
	u32 *nr = arg;
	bool udp = sk->type == SOCK_DGRAM;

	if (sk->family == AF_UNIX)
		nr[sk->type == SOCK_STREAM ? UNIX_STREAM : UNIX_OTHER]++;
	else if (sk->family == AF_INET6)
		nr[udp ? UDP6 : TCP6]++;
	else
		nr[udp ? UDP : TCP]++;
}

void sock_show_sums(struct seq_buf *out, bool v6)
{
	u32 nr[NR_SUMS] = {0};

	each_sock(count, nr);
	if (v6) {
		seq_printf(out, "TCP6: inuse %u\nUDP6: inuse %u\n", nr[TCP6],
			   nr[UDP6]);
		seq_puts(out, "UDPLITE6: inuse 0\nRAW6: inuse 0\n"
			      "FRAG6: inuse 0 memory 0\n");
		return;
	}
	seq_printf(out, "sockets: used %u\n", READ_ONCE(list.nr));
	seq_printf(out, "TCP: inuse %u orphan 0 tw 0 alloc %u mem 0\n", nr[TCP],
		   nr[TCP] + nr[TCP6]);
	seq_printf(out, "UDP: inuse %u mem 0\n", nr[UDP]);
	seq_puts(out, "UDPLITE: inuse 0\nRAW: inuse 0\n"
		      "FRAG: inuse 0 memory 0\n");
}

/* Which calls a protocol has of its own: close, connect, disconnect, shutdown,
 * socket options, messages, bind, port. */
void sock_show_protocols(struct seq_buf *out)
{
	static const struct {
		const char *name, *calls;
	} rows[NR_SUMS] = {
		[UNIX_STREAM] = {"UNIX-STREAM",
				 "n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  "
				 "n  n  n  n"},
		[UNIX_OTHER] = {"UNIX", "n  n  n  n  n  n  n  n  n  n  n  n  n "
					" n  n  n  n  n  n"},
		[TCP] = {"TCP", "y  y  y  y  n  n  n  y  y  y  y  y  n  y  n  "
				"n  n  y  n"},
		[UDP] = {"UDP", "y  y  y  n  n  n  n  y  y  y  y  y  n  y  n  "
				"n  n  y  n"},
		[TCP6] = {"TCPv6", "y  y  y  y  n  n  n  y  y  y  y  y  n  y  "
				   "n  n  n  y  n"},
		[UDP6] = {"UDPv6", "y  y  y  n  n  n  n  y  y  y  y  y  n  y  "
				   "n  n  n  y  n"},
	};
	u32 nr[NR_SUMS] = {0};

	each_sock(count, nr);
	seq_puts(out, "protocol  size sockets  memory press maxhdr  slab "
		      "module     cl co di ac io in de sh ss gs se re sp bi br "
		      "ha uh gp em\n");
	for (u32 i = 0; i < NR_SUMS; i++)
		seq_printf(out,
			   "%-9s %4u %6u  %6d   %-3s %6u   %-3s  %-10s  %s\n",
			   rows[i].name, (u32)sizeof(struct sock), nr[i], -1,
			   "NI", 0u, "no", "kernel", rows[i].calls);
}

void sock_show_devices(struct seq_buf *out)
{
	seq_puts(out,
		 "Inter-|   Receive                                            "
		 "    |  Transmit\n"
		 " face |bytes    packets errs drop fifo frame compressed "
		 "multicast|bytes    packets errs drop fifo colls carrier "
		 "compressed\n");
}
