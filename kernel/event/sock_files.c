/* SPDX-License-Identifier: MIT */
/*
 * sock_files.c - files that travel in messages of AF_UNIX sockets.
 *
 * 1. Purpose. A file in a queue is referenced by its message alone. If it is a
 *    socket, and nobody but messages refers to it, and those messages stand in
 *    queues of such sockets, then no program can ever get at it: it must be
 *    found and closed, or it would stay for ever.
 *
 * 2. Counting. A file is in flight from the moment its message is made until
 *    it is taken out of it. sock.flights counts how often a socket is; those
 *    with some stand on a list. struct user counts files for the limit of
 *    unix(7) (ETOOMANYREFS).
 *
 * 3. Finding. Suspect is a socket whose file has as many references as it has
 *    flights. From each suspect's number of flights those are taken off that
 *    stand in suspects' queues (a listener's queues are also those of who waits
 *    to be accepted). What is left comes from where somebody may read: such a
 *    suspect is reached, and so is what stands in its queues, and so on. Of the
 *    suspects that are not reached the messages with files are taken away;
 *    closing those files ends the sockets.
 *
 * 4. Why that is sure. flights change, and files are copied out of messages
 *    (MSG_PEEK), under one lock, which the search holds. A suspect has no
 *    reference but messages', so none can be made without that lock; nobody
 *    has it open who could read its queue. A message that is in somebody's
 *    hands stands in no queue: what it carries is reached.
 *
 * 5. When. A socket becomes unreachable when descriptors are closed. Each
 *    AF_UNIX socket that ends pays for COLLECT_PAID flights; the search is made
 *    when all are paid for, with few in flight at once. So closing stays cheap
 *    however many there are. Sending looks for itself when twice as many are
 *    in flight as were after the last search.
 *
 * 6. Depth. Closing a file in a message may end a socket whose queue has files
 *    in turn. Messages that are met while one is freed wait in a list of the
 *    thread that frees, so that a chain of any length needs one stack frame.
 *
 * 7. Locking. fly_sys.lock, then a socket's lock, then one that waits to be
 *    accepted. No file is closed with any of them held.
 *
 * 8. Cost. One pass over all sockets in flight and what stands in suspects'
 *    queues; nothing where no socket is in flight.
 *
 * References: unix(7), SCM_RIGHTS, ETOOMANYREFS; D. Bacon and V. Rajan,
 * "Concurrent Cycle Collection in Reference Counted Systems", ECOOP 2001
 * (trial deletion).
 */
#include "sock.h"
#include "task/task_priv.h"

#define CAP_SYS_ADMIN	 21
#define CAP_SYS_RESOURCE 24
#define ETOOMANYREFS	 109
#define COLLECT_LEAST	 64u
#define COLLECT_PAID	 64u

/* What a thread frees: on its stack. */
struct drop {
	struct list_head entry; /* (lock) fly_sys.drops */
	struct port_thread *thread;
	struct list_head msgs; /* (lock) sock_msg.entry: still to be freed */
};

static struct {
	spinlock_t lock;
	struct list_head flying; /* (lock) sock.flight */
	struct list_head drops;	 /* (lock) */
	u32 nr;			 /* (lock) flights of all sockets */
	u32 collect_at;		 /* (lock) */
	u32 paid;		 /* (A) by ends since the last search */
	u64 found;		 /* (lock) sockets that nobody could reach */
} fly_sys;

static struct sock *flyer(const struct file *file)
{
	struct sock *sk = sock_of(file);

	return sk && sk->family == AF_UNIX ? sk : NULL;
}

/* ---- counting --------------------------------------------------------------
 */

static bool too_many(const struct user *u, u32 nr)
{
	return u && (u64)READ_ONCE(u->flights) + nr > rlimit(RLIMIT_NOFILE) &&
	       !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN);
}

static void fly(struct sock_msg *m)
{
	for (u32 i = 0; i < m->nr_files; i++) {
		struct sock *sk = flyer(m->files[i]);

		if (!sk)
			continue;
		if (sk->flights++ == 0)
			list_add_tail(&sk->flight, &fly_sys.flying);
		fly_sys.nr++;
	}
}

int sock_files_fly(struct sock_msg *m)
{
	struct user *u = current->user;
	bool collect;

	if (!m->nr_files)
		return 0;
	if (too_many(u, m->nr_files))
		return -ETOOMANYREFS;
	if (u) {
		m->user = user_hold(u);
		(void)mm_fetch_add(&u->flights, m->nr_files);
	}
	spin_lock(&fly_sys.lock);
	fly(m);
	collect = fly_sys.nr > fly_sys.collect_at;
	spin_unlock(&fly_sys.lock);
	if (collect)
		sock_collect();
	return 0;
}

void sock_files_land(struct sock_msg *m)
{
	if (!m->nr_files)
		return;
	spin_lock(&fly_sys.lock);
	for (u32 i = 0; i < m->nr_files; i++) {
		struct sock *sk = flyer(m->files[i]);

		if (!sk)
			continue;
		mm_assert(sk->flights > 0);
		if (--sk->flights == 0)
			list_del_init(&sk->flight);
		fly_sys.nr--;
	}
	spin_unlock(&fly_sys.lock);
	if (m->user) {
		(void)mm_fetch_add(&m->user->flights, -m->nr_files);
		user_put(m->user);
		m->user = NULL;
	}
}

void sock_files_peek(const struct sock_msg *m, struct file **out)
{
	spin_lock(&fly_sys.lock);
	for (u32 i = 0; i < m->nr_files; i++)
		out[i] = get_file(m->files[i]);
	spin_unlock(&fly_sys.lock);
}

/* ---- freeing ---------------------------------------------------------------
 */

static void msg_end(struct sock_msg *m)
{
	for (u32 i = 0; i < m->nr_files; i++)
		fput(m->files[i]);
	kfree(m->files);
	sock_put(m->sender);
	kvfree(m);
}

/* True: this thread is freeing already, and will free M as well. */
static bool left_to_caller(struct sock_msg *m, struct drop *mine)
{
	struct port_thread *self = port_self();
	struct drop *d;

	spin_lock(&fly_sys.lock);
	list_for_each_entry (d, &fly_sys.drops, entry) {
		if (d->thread == self) {
			list_add_tail(&m->entry, &d->msgs);
			spin_unlock(&fly_sys.lock);
			return true;
		}
	}
	mine->thread = self;
	INIT_LIST_HEAD(&mine->msgs);
	list_add(&mine->entry, &fly_sys.drops);
	spin_unlock(&fly_sys.lock);
	return false;
}

/* The next one; NULL: there is none, and MINE is over. */
static struct sock_msg *next_drop(struct drop *mine)
{
	struct sock_msg *m;

	spin_lock(&fly_sys.lock);
	m = list_first_entry_or_null(&mine->msgs, struct sock_msg, entry);
	list_del(m ? &m->entry : &mine->entry);
	spin_unlock(&fly_sys.lock);
	return m;
}

void sock_msg_free(struct sock_msg *m)
{
	struct drop mine;

	sock_files_land(m);
	if (!m->nr_files) {
		msg_end(m);
		return;
	}
	if (left_to_caller(m, &mine))
		return;
	for (; m; m = next_drop(&mine))
		msg_end(m);
}

/* ---- finding what nobody can reach -----------------------------------------
 */

typedef void (*child_fn)(struct sock *child, struct list_head *work);

static void each_in_queue(struct sock *sk, child_fn fn, struct list_head *work)
{
	const struct sock_msg *m;

	list_for_each_entry (m, &sk->queue, entry) {
		for (u32 i = 0; i < m->nr_files; i++) {
			struct sock *child = flyer(m->files[i]);

			if (child && child->suspect)
				fn(child, work);
		}
	}
}

/* FN for each suspect in a queue that is read through SK. */
static void each_child(struct sock *sk, child_fn fn, struct list_head *work)
{
	struct sock *end;

	spin_lock(&sk->lock);
	each_in_queue(sk, fn, work);
	list_for_each_entry (end, &sk->accepts, line) {
		spin_lock_nested(&end->lock, 1);
		each_in_queue(end, fn, work);
		spin_unlock(&end->lock);
	}
	spin_unlock(&sk->lock);
}

static void take_off(struct sock *child, struct list_head *work)
{
	(void)work;
	mm_assert(child->left > 0);
	child->left--;
}

static void reach(struct sock *child, struct list_head *work)
{
	child->suspect = false;
	list_add_tail(&child->work, work);
}

/* Who is a suspect now is not reached. Locked. */
static void find_unreached(void)
{
	LIST_HEAD(work);
	struct sock *sk;

	list_for_each_entry (sk, &fly_sys.flying, flight) {
		sk->left = sk->flights;
		sk->suspect = READ_ONCE(sk->file->f_count) == sk->flights;
	}
	list_for_each_entry (sk, &fly_sys.flying, flight)
		if (sk->suspect)
			each_child(sk, take_off, NULL);
	list_for_each_entry (sk, &fly_sys.flying, flight)
		if (sk->suspect && sk->left)
			reach(sk, &work);
	while (!list_empty(&work)) {
		sk = list_first_entry(&work, struct sock, work);
		list_del_init(&sk->work);
		each_child(sk, reach, &work);
	}
}

/* Messages with files out of SK's queue. */
static void take_msgs(struct sock *sk, struct list_head *out)
{
	struct sock_msg *m, *n;

	list_for_each_entry_safe (m, n, &sk->queue, entry) {
		if (!m->nr_files)
			continue;
		sock_dequeue(sk, m);
		list_add_tail(&m->entry, out);
	}
}

static void take_all_msgs(struct sock *sk, struct list_head *out)
{
	struct sock *end;

	spin_lock(&sk->lock);
	take_msgs(sk, out);
	list_for_each_entry (end, &sk->accepts, line) {
		spin_lock_nested(&end->lock, 1);
		take_msgs(end, out);
		spin_unlock(&end->lock);
	}
	spin_unlock(&sk->lock);
}

void sock_collect(void)
{
	LIST_HEAD(msgs);
	struct sock_msg *m;
	struct sock *sk;

	if (!READ_ONCE(fly_sys.nr))
		return;
	spin_lock(&fly_sys.lock);
	find_unreached();
	list_for_each_entry (sk, &fly_sys.flying, flight) {
		if (!sk->suspect)
			continue;
		fly_sys.found++;
		take_all_msgs(sk, &msgs);
	}
	fly_sys.collect_at = max(COLLECT_LEAST, 2 * fly_sys.nr);
	WRITE_ONCE(fly_sys.paid, 0);
	spin_unlock(&fly_sys.lock);
	while (!list_empty(&msgs)) {
		m = list_first_entry(&msgs, struct sock_msg, entry);
		list_del(&m->entry);
		sock_msg_free(m);
	}
}

void sock_ended(void)
{
	u32 nr = READ_ONCE(fly_sys.nr);

	if (nr &&
	    mm_fetch_add(&fly_sys.paid, COLLECT_PAID) + COLLECT_PAID >= nr)
		sock_collect();
}

u64 sock_collected(void)
{
	return READ_ONCE(fly_sys.found);
}

void sock_files_init(void)
{
	spin_lock_init(&fly_sys.lock, LOCK_CLASS_NONE);
	INIT_LIST_HEAD(&fly_sys.flying);
	INIT_LIST_HEAD(&fly_sys.drops);
	fly_sys.nr = fly_sys.paid = 0;
	fly_sys.found = 0;
	fly_sys.collect_at = COLLECT_LEAST;
}
