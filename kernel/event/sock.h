/* SPDX-License-Identifier: MIT */
/*
 * sock.h - sockets inside kernel/event. Theory: sock.c.
 */
#ifndef KERNEL_EVENT_SOCK_H
#define KERNEL_EVENT_SOCK_H

#include "event_priv.h"

struct dentry;
struct sock;

#define AF_UNSPEC 0
#define AF_UNIX	  1
#define AF_INET	  2
#define AF_INET6  10

#define SOCK_STREAM    1u
#define SOCK_DGRAM     2u
#define SOCK_SEQPACKET 5u
#define SOCK_TYPE_MASK 0xfu

#define IPPROTO_IP   0
#define IPPROTO_TCP  6
#define IPPROTO_UDP  17
#define IPPROTO_IPV6 41
#define SOL_SOCKET   1

#define MSG_OOB		 0x1u
#define MSG_PEEK	 0x2u
#define MSG_CTRUNC	 0x8u
#define MSG_TRUNC	 0x20u
#define MSG_DONTWAIT	 0x40u
#define MSG_WAITALL	 0x100u
#define MSG_ERRQUEUE	 0x2000u
#define MSG_NOSIGNAL	 0x4000u
#define MSG_WAITFORONE	 0x10000u
#define MSG_CMSG_CLOEXEC 0x40000000u

#define SHUT_RCV 1u
#define SHUT_SND 2u
#define SHUT_ALL 3u

#define SCM_MAX_FD    253u
#define SOCK_BUF      212992u /* of a socket; the largest that can be asked for */
#define SOCK_NAME_MAX 128u    /* struct sockaddr_storage */
#define SOMAXCONN     4096u

/* A sockaddr as user space has it. */
struct sock_name {
	u32 len; /* 0: none */
	union {
		u16 family;
		u8 bytes[SOCK_NAME_MAX];
	};
};

struct ucred {
	s32 pid;
	u32 uid, gid;
};

/* What was sent in one piece; a stream's may be read in several. */
struct sock_msg {
	struct list_head entry; /* (lock of the receiver) */
	struct sock *sender;	/* a reference; NULL: none to be woken */
	u32 len, off;		/* bytes; read so far (reader's) */
	u32 weight;		/* what it counts in the queue */
	bool has_cred;
	struct ucred cred;
	u32 nr_files;
	struct file **files;   /* references; NULL */
	struct user *user;     /* a reference: whose files they count as */
	struct sock_name from; /* datagrams */
	u8 data[];
};

enum sock_state {
	SS_FREE,
	SS_LISTEN,
	SS_CONNECTING, /* in a listener's line */
	SS_CONNECTED,
	SS_CLOSED /* had been connected; the other end is gone */
};

/* What families differ in. All may sleep, no lock held. */
struct sock_ops {
	int (*bind)(struct sock *sk, const struct sock_name *name);
	/* *OUT, with a reference: who has NAME, of SK's type. STREAM: who
	 * listens. -ECONNREFUSED, -EINVAL ... */
	int (*find)(struct sock *sk, const struct sock_name *name,
		    struct sock **out);
	/* A name for a socket that is about to send or connect. */
	int (*autobind)(struct sock *sk);
	/* END has been connected to CLIENT, both locked: their names. */
	void (*accepted)(struct sock *end, struct sock *client);
	/* The name under which TO gets what SK sends. */
	void (*source)(struct sock *sk, const struct sock *to,
		       struct sock_name *out);
	void (*unbind)(struct sock *sk);
	/* SK is connected to nothing any more: of its name stays what bind(2)
	 * had asked for. NULL: all. */
	void (*forget)(struct sock *sk);
};

/* (L) lock; (C) constant; (A) atomic; (R) the reader's mutex */
struct sock {
	u32 refs;		    /* (A) */
	u16 family;		    /* (C) */
	u16 type;		    /* (C) SOCK_* */
	int protocol;		    /* (C) */
	const struct sock_ops *ops; /* (C) */
	spinlock_t lock;
	enum sock_state state;	  /* (L) */
	u32 shut;		  /* (L) SHUT_* */
	int err;		  /* (L) told once: SO_ERROR */
	struct sock *peer;	  /* (L) a reference; datagrams: the default */
	struct list_head queue;	  /* (L) sock_msg.entry */
	u32 queued, nr_queued;	  /* (L) weight, messages */
	struct mutex reader;	  /* who takes from the queue */
	wait_queue_head_t rd, wr; /* something to read or accept; room */
	wait_queue_head_t room;	  /* of a datagram socket: for senders */
	/* Listening. */
	u32 backlog;		   /* (L) */
	struct list_head accepts;  /* (L) line: connected, to be accepted */
	struct list_head hopefuls; /* (L) line: SS_CONNECTING clients */
	u32 nr_accepts;		   /* (L) */
	struct list_head line;	   /* (L of the listener) in one of them */
	/* A hopeful's: references to whom it waits for, its other end. */
	struct sock *listener, *half; /* (L) */
	/* Names. */
	struct sock_name name, peer_name; /* (L) */
	struct sock_name target;	  /* that it connects to */
	struct list_head bound;		  /* the family's table */
	struct dentry *dentry;		  /* AF_UNIX in the file system */
	struct ucred cred, peer_cred;
	/* In flight: sock_files.c, under its lock. */
	struct file *file; /* (C) once it has one */
	u64 ino;	   /* (A) FILE's, 0: it has none */
	/* Among all: sock_show.c, under its lock. */
	struct list_head all;
	u64 number;  /* (C) */
	u32 flights; /* files of messages that it is */
	u32 left;    /* the search's */
	bool suspect;
	struct list_head flight, work;
	/* Options. */
	u32 sndbuf, rcvbuf;		   /* (A) */
	u64 rcvtimeo, sndtimeo;		   /* (A) ns; 0: none */
	bool passcred;			   /* (A) */
	bool reuseaddr, reuseport, v6only; /* (A) */
	bool own_port, own_addr;	   /* (table) bind(2) asked for them */
	s32 linger[2];
	s32 plain[16]; /* (A) options that are only remembered: sockopt.c */
	u32 rcvlowat;
};

extern const struct sock_ops unix_ops, inet_ops;

/* sock.c: life */
struct sock *sock_new(u16 family, u32 type, int protocol) MM_MUST_CHECK;
struct sock *sock_get(struct sock *sk);
void sock_put(struct sock *sk);
struct sock *sock_of(const struct file *file); /* NULL: -ENOTSOCK */
/* A file for SK, whose reference it takes over; ERR_PTR: it does not. */
struct file *sock_file(struct sock *sk, u32 flags);
void sock_lock2(struct sock *a, struct sock *b);
void sock_unlock2(struct sock *a, struct sock *b);
/* sock_join: two sockets are connected to each other. Both locked. */
void sock_join(struct sock *a, struct sock *b);
void sock_disconnect(struct sock *sk);
/* sock_unconnect: SK, a stream of inet, is as if it had never been connected or
 * listening; who stood at the other end is told of a reset. */
void sock_unconnect(struct sock *sk);
/* sock_end: nobody uses SK any more, whose reference goes; RESET: its peer is
 * told that in any case. */
void sock_end(struct sock *sk, bool reset);
void sock_shutdown(struct sock *sk, u32 how);
/* sock_take_error: SO_ERROR, which is 0 afterwards; positive. */
int sock_take_error(struct sock *sk);
bool sock_is_stream(const struct sock *sk);
/* How a wait of SK ends: deadline; and what a signal is then. */
u64 sock_deadline(u64 timeo);
int sock_wait_errno(int err, u64 timeo);

/* sock_conn.c */
int sock_listen(struct sock *sk, int backlog);
int sock_connect(struct sock *sk, const struct sock_name *name, bool nonblock);
int sock_accept(struct sock *sk, bool nonblock, struct sock **out);
bool sock_acceptable(struct sock *sk);
/* sock_listener_gone: who stands in SK's lines is turned away. */
void sock_listener_gone(struct sock *sk);
void sock_leave_line(struct sock *sk);

/* sock_io.c: a call's arguments */
struct sock_call {
	struct iov_iter *iter;
	u32 flags;	       /* MSG_* */
	u32 out_flags;	       /* MSG_TRUNC, MSG_CTRUNC */
	struct sock_name name; /* to; or out: from */
	/* Files and credentials that go along, or have come. */
	struct file **files;
	u32 nr_files;
	bool has_cred;
	struct ucred cred;
};
s64 sock_send(struct sock *sk, struct sock_call *c);
s64 sock_recv(struct sock *sk, struct sock_call *c);
void sock_dequeue(struct sock *sk, struct sock_msg *m); /* SK locked */
/* sock_flush: everything that is queued at SK is dropped; was there any? */
bool sock_flush(struct sock *sk);
u64 sock_room_limit(const struct sock *sk, const struct sock *to);
struct ucred sock_my_cred(void);
u64 sock_readable(struct sock *sk);

/* sock_files.c: sock_files_fly: M's files, which it has, are in flight from
 * now on; -ETOOMANYREFS: they are not. sock_files_land: they are not any more,
 * and still M's. sock_files_peek: references for the caller. */
int sock_files_fly(struct sock_msg *m) MM_MUST_CHECK;
void sock_files_land(struct sock_msg *m);
void sock_files_peek(const struct sock_msg *m, struct file **out);
/* sock_msg_free: M, in no queue, goes with its files. May sleep. */
void sock_msg_free(struct sock_msg *m);
/* sock_collect: sockets that are referred to by nothing but messages in each
 * other's queues are closed. May sleep. */
void sock_collect(void);
/* sock_ended: an AF_UNIX socket has: perhaps others can be collected. */
void sock_ended(void);
/* sock_collected: how many were found so far. */
u64 sock_collected(void);
void sock_files_init(void);

s64 sock_setopt(struct sock *sk, int level, int opt, u64 val, u32 len);
s64 sock_getopt(struct sock *sk, int level, int opt, u64 val, u64 len_at);

/* sock_show.c: SK is among all sockets from its making to its end. */
void sock_list_init(void);
void sock_list_add(struct sock *sk);
void sock_list_del(struct sock *sk);

/* Names in user memory. to: at most *LEN_AT bytes, which becomes the length. */
int sock_read_name(struct sock_name *name, u64 from, u64 len);
int sock_write_name(const struct sock_name *name, u64 to, u64 len_at);
void sock_init(void);
void inet_init(void);
void unix_init(void);

#endif
