/* SPDX-License-Identifier: MIT */
/*
 * futex.c - futex(2): sleeping at a word of user memory.
 *
 * 1. Purpose. Programs build their locks of words that they change themselves;
 *    the kernel is asked only to sleep while a word has a value, and to wake
 *    who sleeps there. It keeps nothing about a word at which nobody waits.
 *
 * 2. Key. The same word may stand at several addresses. One that only this
 *    address space can reach is named by (space, address); one of a file that
 *    is mapped shared (shared anonymous memory is a file too) by (inode, byte).
 *    A caller that says "private" promises the first kind. A waiter holds a
 *    reference to the inode, so that no other can get its name.
 *
 * 3. No lost wake-up. The value is read and the waiter queued under the lock of
 *    the key's bucket; a waker changed the value before it takes that lock. So
 *    either the waiter sees the new value, or the waker sees the waiter. Under
 *    the lock nothing may sleep: the word is read only where the page is there
 *    (user_load32_try()); otherwise the lock is given back, the page faulted
 *    in, and all begins anew.
 *
 * 4. Ends of a wait. A waker takes the waiter off its list and unparks its
 *    thread under the lock of the bucket; futex_dequeue() takes the same lock,
 *    so a waiter (on a stack) and a thread live as long as a waker uses them.
 *    A waiter may be moved to another bucket meanwhile: whoever wants its lock
 *    takes that of the bucket it names and looks whether it still does.
 *
 * 5. Locking. Buckets in the order of their addresses; inside them table locks
 *    (by the _try functions) and the port's.
 *
 * 6. Failure. Nothing here allocates (futex_waitv.c does).
 *
 * References: futex(2), futex(7); U. Drepper, "Futexes Are Tricky" (2011).
 */
#include <mmkit/fs.h>

#include "futex.h"
#include "space/space.h"

#define FUTEX_WAIT	      0
#define FUTEX_WAKE	      1
#define FUTEX_REQUEUE	      3
#define FUTEX_CMP_REQUEUE     4
#define FUTEX_WAKE_OP	      5
#define FUTEX_LOCK_PI	      6
#define FUTEX_UNLOCK_PI	      7
#define FUTEX_TRYLOCK_PI      8
#define FUTEX_WAIT_BITSET     9
#define FUTEX_WAKE_BITSET     10
#define FUTEX_WAIT_REQUEUE_PI 11
#define FUTEX_CMP_REQUEUE_PI  12
#define FUTEX_LOCK_PI2	      13
#define FUTEX_CMD_MASK	      0x7fu
#define FUTEX_PRIVATE_FLAG    0x80u
#define FUTEX_CLOCK_REALTIME  0x100u

static struct {
	struct futex_bucket bucket[FUTEX_BUCKETS];
} futex_sys;

/* ---- keys ------------------------------------------------------------------
 */

/* What ADDR names if other processes may have it too. 0 or -EFAULT. */
static int key_of_mapping(struct mm_struct *mm, u64 addr, struct futex_key *key)
{
	struct vm_area_struct *vma;
	int err = -EFAULT;

	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	if (vma_contains(vma, addr)) {
		err = 0;
		if (vma->vm_file && (vma->vm_flags & VM_SHARED)) {
			key->mm = NULL;
			key->inode = vma->vm_file->f_mapping->host;
			ihold(key->inode);
			key->offset = (vma->vm_pgoff << PAGE_SHIFT) + addr -
				      vma->vm_start;
		}
	}
	mmap_read_unlock(mm);
	return err;
}

int futex_key_get(u64 addr, bool shared, struct futex_key *key)
{
	struct mm_struct *mm = current->mt->mm;

	if (addr % sizeof(u32))
		return -EINVAL;
	if (addr >= mm->layout.task_size)
		return -EFAULT;
	*key = (struct futex_key){.mm = mm, .offset = addr};
	return shared ? key_of_mapping(mm, addr, key) : 0;
}

void futex_key_put(struct futex_key *key)
{
	if (key->inode)
		iput(key->inode);
	key->inode = NULL;
}

bool futex_key_same(const struct futex_key *a, const struct futex_key *b)
{
	return a->mm == b->mm && a->inode == b->inode && a->offset == b->offset;
}

struct futex_bucket *futex_bucket_at(u32 i)
{
	return &futex_sys.bucket[i];
}

/* Words of one page fall into neighbours, spaces anywhere. */
struct futex_bucket *futex_bucket(const struct futex_key *key)
{
	u64 h = key->mm ? (u64)(uintptr_t)key->mm : (u64)(uintptr_t)key->inode;

	h = (h >> 6) * 0x9e3779b97f4a7c15UL + (key->offset >> 2);
	h *= 0xff51afd7ed558ccdUL;
	return futex_bucket_at((u32)(h >> 56) % FUTEX_BUCKETS);
}

/* ---- buckets and waiters ---------------------------------------------------
 */

void futex_lock2(struct futex_bucket *a, struct futex_bucket *b)
{
	spin_lock(a < b ? &a->lock : &b->lock);
	if (a != b)
		spin_lock_nested(a < b ? &b->lock : &a->lock, 1);
}

void futex_unlock2(struct futex_bucket *a, struct futex_bucket *b)
{
	spin_unlock(&a->lock);
	if (a != b)
		spin_unlock(&b->lock);
}

void futex_waiter_init(struct futex_waiter *w, const struct futex_key *key,
		       u32 bitset)
{
	*w = (struct futex_waiter){.key = *key,
				   .bitset = bitset,
				   .thread = port_self(),
				   .tid = current->tid};
	INIT_LIST_HEAD(&w->entry);
}

void futex_queue(struct futex_waiter *w, struct futex_bucket *b)
{
	WRITE_ONCE(w->bucket, b);
	list_add_tail(&w->entry, &b->waiters);
}

bool futex_dequeue(struct futex_waiter *w)
{
	struct futex_bucket *b;
	bool woken;

	for (;;) {
		b = READ_ONCE(w->bucket);
		spin_lock(&b->lock);
		if (b == w->bucket)
			break;
		spin_unlock(&b->lock);
	}
	woken = w->woken;
	if (!woken)
		list_del_init(&w->entry);
	spin_unlock(&b->lock);
	futex_key_put(&w->key);
	return woken;
}

void futex_wake_one(struct futex_waiter *w)
{
	list_del_init(&w->entry);
	WRITE_ONCE(w->woken, true);
	port_unpark(w->thread);
}

/* ---- sleeping --------------------------------------------------------------
 */

struct wall_timeout {
	struct ktimer timer;
	struct port_thread *thread;
	bool due; /* (A) */
};

static void wall_due(struct ktimer *t, u64 times)
{
	struct wall_timeout *w = container_of(t, struct wall_timeout, timer);

	if (!times)
		return;
	WRITE_ONCE(w->due, true);
	port_unpark(w->thread);
}

static bool any_woken(const struct futex_waiter *w, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (READ_ONCE(w[i].woken))
			return true;
	return false;
}

static int sleep_until(const struct futex_waiter *w, u32 n, u64 deadline,
		       const bool *due)
{
	u64 left = UINT64_MAX;

	for (;;) {
		if (deadline != UINT64_MAX)
			left = wait_left(deadline);
		if (any_woken(w, n))
			return 0;
		if (!left || READ_ONCE(*due))
			return -ETIMEDOUT;
		if (signal_pending(current))
			return -ERESTARTSYS;
		(void)port_park(left);
	}
}

int futex_sleep(const struct futex_waiter *w, u32 n,
		const struct futex_timeout *to)
{
	struct ktimer_value v = {.value = max(to->deadline, (u64)1)};
	struct wall_timeout wall = {.thread = port_self()};
	int err;

	if (!to->real || to->deadline == UINT64_MAX)
		return sleep_until(w, n, to->deadline, &wall.due);
	ktimer_init(&wall.timer, KT_REAL, wall_due);
	ktimer_set(&wall.timer, true, &v, NULL);
	err = sleep_until(w, n, UINT64_MAX, &wall.due);
	ktimer_stop(&wall.timer);
	return err;
}

/* ---- wait ------------------------------------------------------------------
 */

static int wait_begin(struct futex_waiter *w, u64 addr, bool shared, u32 val,
		      u32 bitset, const struct futex_key *target)
{
	struct mm_struct *mm = current->mt->mm;
	struct futex_bucket *b;
	struct futex_key key;
	u32 now;
	int err;

	for (;;) {
		err = futex_key_get(addr, shared, &key);
		if (err)
			return err;
		futex_waiter_init(w, &key, bitset);
		w->target = target;
		/* One word by two names. */
		if (target && futex_key_same(target, &key)) {
			futex_key_put(&w->key);
			return -EINVAL;
		}
		b = futex_bucket(&key);
		spin_lock(&b->lock);
		err = user_load32_try(mm, addr, &now);
		if (!err && now == val) {
			futex_queue(w, b);
			spin_unlock(&b->lock);
			return 0;
		}
		spin_unlock(&b->lock);
		futex_key_put(&w->key);
		if (err != -EAGAIN)
			return err ? err : -EAGAIN;
		err = user_word_fault_in(mm, addr, false);
		if (err)
			return err;
	}
}

int futex_wait_begin(struct futex_waiter *w, u64 addr, bool shared, u32 val,
		     u32 bitset)
{
	return wait_begin(w, addr, shared, val, bitset, NULL);
}

int futex_wait_begin_for(struct futex_waiter *w, u64 addr, bool shared, u32 val,
			 const struct futex_key *target)
{
	return wait_begin(w, addr, shared, val, FUTEX_BITSET_ALL, target);
}

struct wait_args {
	u64 addr;
	u32 val, bitset;
	bool shared;
	struct futex_timeout to;
};

static s64 futex_wait_restart(struct task *t);

static s64 futex_wait(const struct wait_args *a)
{
	struct futex_waiter w;
	struct task *t = current;
	int err;

	if (!a->bitset)
		return -EINVAL;
	err = futex_wait_begin(&w, a->addr, a->shared, a->val, a->bitset);
	if (err)
		return err;
	err = futex_sleep(&w, 1, &a->to);
	if (futex_dequeue(&w))
		return 0;
	if (err != -ERESTARTSYS || a->to.deadline == UINT64_MAX)
		return err;
	t->restart.fn = futex_wait_restart;
	t->restart.arg[0] = a->addr;
	t->restart.arg[1] = a->val | (u64)a->bitset << 32;
	t->restart.arg[2] = (u64)a->shared | (u64)a->to.real << 1;
	t->restart.arg[3] = a->to.deadline;
	return -ERESTART_RESTARTBLOCK;
}

static s64 futex_wait_restart(struct task *t)
{
	struct wait_args a = {
		.addr = t->restart.arg[0],
		.val = (u32)t->restart.arg[1],
		.bitset = (u32)(t->restart.arg[1] >> 32),
		.shared = (t->restart.arg[2] & 1) != 0,
		.to = {t->restart.arg[3], (t->restart.arg[2] & 2) != 0}};

	return futex_wait(&a);
}

/* ---- wake ------------------------------------------------------------------
 */

/* At most NR; -EINVAL: a lock of the other kind is there. B locked. */
static s64 wake_locked(struct futex_bucket *b, const struct futex_key *key,
		       u32 nr, u32 bitset)
{
	struct futex_waiter *w, *next;
	s64 woken = 0;

	list_for_each_entry_safe (w, next, &b->waiters, entry) {
		if (woken >= (s64)nr)
			break;
		if (!(w->bitset & bitset) || !futex_key_same(&w->key, key))
			continue;
		if (w->pi || w->target)
			return woken ? woken : -EINVAL;
		futex_wake_one(w);
		woken++;
	}
	return woken;
}

s64 futex_wake(u64 addr, bool shared, u32 nr, u32 bitset)
{
	struct futex_bucket *b;
	struct futex_key key;
	s64 ret;

	if (!bitset)
		return -EINVAL;
	ret = futex_key_get(addr, shared, &key);
	if (ret)
		return ret;
	b = futex_bucket(&key);
	spin_lock(&b->lock);
	ret = wake_locked(b, &key, nr, bitset);
	spin_unlock(&b->lock);
	futex_key_put(&key);
	return ret;
}

s64 futex_wake_user(u64 addr, u32 nr, bool shared)
{
	return futex_wake(addr, shared, nr, FUTEX_BITSET_ALL);
}

/* ---- requeue ---------------------------------------------------------------
 */

static int two_get(struct futex_two *k, u64 addr, u64 addr2, bool shared)
{
	int err = futex_key_get(addr, shared, &k->from);

	if (err)
		return err;
	err = futex_key_get(addr2, shared, &k->to);
	if (err) {
		futex_key_put(&k->from);
		return err;
	}
	k->b1 = futex_bucket(&k->from);
	k->b2 = futex_bucket(&k->to);
	return 0;
}

void futex_two_put(struct futex_two *k)
{
	futex_key_put(&k->from);
	futex_key_put(&k->to);
}

/* Both locked: up to NR waiters of one wait at the other; how many. */
static s64 move_waiters(struct futex_two *k, u32 nr)
{
	struct futex_waiter *w, *next;
	s64 moved = 0;

	list_for_each_entry_safe (w, next, &k->b1->waiters, entry) {
		if (moved >= (s64)nr)
			break;
		if (!futex_key_same(&w->key, &k->from))
			continue;
		/* Those are moved by another call. */
		if (w->pi || w->target)
			return moved ? moved : -EINVAL;
		moved++;
		if (futex_key_same(&k->from, &k->to))
			continue;
		if (k->to.inode)
			ihold(k->to.inode);
		w->key = k->to;
		list_move_tail(&w->entry, &k->b2->waiters);
		WRITE_ONCE(w->bucket, k->b2);
	}
	return moved;
}

int futex_requeue_begin(struct futex_two *k, const struct futex_requeue_args *a)
{
	struct mm_struct *mm = current->mt->mm;
	u32 now = a->val;
	int err;

	for (;;) {
		err = two_get(k, a->addr, a->addr2, a->shared);
		if (err)
			return err;
		futex_lock2(k->b1, k->b2);
		if (a->compare)
			err = user_load32_try(mm, a->addr, &now);
		if (!err && now == a->val)
			return 0;
		futex_unlock2(k->b1, k->b2);
		futex_two_put(k);
		if (err != -EAGAIN)
			return err ? err : -EAGAIN;
		err = user_word_fault_in(mm, a->addr, false);
		if (err)
			return err;
	}
}

static s64 futex_requeue(const struct futex_requeue_args *a)
{
	struct futex_two k;
	s64 woken, moved = 0;
	struct inode *old;

	if ((s32)a->wake < 0 || (s32)a->move < 0)
		return -EINVAL;
	woken = futex_requeue_begin(&k, a);
	if (woken)
		return woken;
	old = futex_key_same(&k.from, &k.to) ? NULL : k.from.inode;
	woken = wake_locked(k.b1, &k.from, a->wake, FUTEX_BITSET_ALL);
	if (woken >= 0)
		moved = move_waiters(&k, a->move);
	futex_unlock2(k.b1, k.b2);
	/* What the moved ones had held. */
	for (s64 i = 0; old && i < moved; i++)
		iput(old);
	futex_two_put(&k);
	if (woken < 0 || (moved < 0 && !woken))
		return woken < 0 ? woken : moved;
	return woken + max(moved, (s64)0);
}

/* ---- wake and change -------------------------------------------------------
 */

static s32 sign12(u32 v)
{
	return (s32)(v << 20) >> 20;
}

/* What OP makes of OLD; -ENOSYS. */
static int op_result(u32 op, u32 old, u32 *out)
{
	u32 arg = (u32)sign12(op >> 12 & 0xfff);

	if (op >> 28 & 8)
		arg = 1u << (arg & 31);
	switch (op >> 28 & 7) {
	case 0:
		*out = arg;
		return 0;
	case 1:
		*out = old + arg;
		return 0;
	case 2:
		*out = old | arg;
		return 0;
	case 3:
		*out = old & ~arg;
		return 0;
	case 4:
		*out = old ^ arg;
		return 0;
	}
	return -ENOSYS;
}

static int op_compare(u32 op, u32 old)
{
	s32 arg = sign12(op & 0xfff), val = (s32)old;

	switch (op >> 24 & 15) {
	case 0:
		return val == arg;
	case 1:
		return val != arg;
	case 2:
		return val < arg;
	case 3:
		return val <= arg;
	case 4:
		return val > arg;
	case 5:
		return val >= arg;
	}
	return -ENOSYS;
}

/* Change the word at ADDR by OP; *OLD is what it was. May sleep. */
static int change_word(u64 addr, u32 op, u32 *old)
{
	struct mm_struct *mm = current->mt->mm;
	u32 seen = 0, want = 0, val;
	int err;

	for (;;) {
		err = op_result(op, want, &val);
		if (err)
			return err;
		seen = want;
		err = user_cmpxchg32_try(mm, addr, &seen, val);
		if (!err && seen == want) {
			*old = seen;
			return 0;
		}
		if (err == -EAGAIN)
			err = user_word_fault_in(mm, addr, true);
		if (err)
			return err;
		want = seen;
	}
}

/*
 * The word is changed before the buckets are locked: who queues at it in
 * between saw the new value, and may be woken for nothing, as any futex may.
 */
static s64 futex_wake_op(const struct futex_requeue_args *a, u32 op)
{
	struct futex_two k;
	s64 woken, more;
	u32 old;
	int err = op_compare(op, 0);

	if (err < 0)
		return err;
	err = two_get(&k, a->addr, a->addr2, a->shared);
	if (err)
		return err;
	err = change_word(a->addr2, op, &old);
	if (err) {
		futex_two_put(&k);
		return err;
	}
	futex_lock2(k.b1, k.b2);
	woken = wake_locked(k.b1, &k.from, a->wake, FUTEX_BITSET_ALL);
	if (woken >= 0 && op_compare(op, old)) {
		more = wake_locked(k.b2, &k.to, a->move, FUTEX_BITSET_ALL);
		woken = more < 0 ? more : woken + more;
	}
	futex_unlock2(k.b1, k.b2);
	futex_two_put(&k);
	return woken;
}

/* ---- the call --------------------------------------------------------------
 */

static bool has_timeout(u32 cmd)
{
	return cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET ||
	       cmd == FUTEX_LOCK_PI || cmd == FUTEX_LOCK_PI2 ||
	       cmd == FUTEX_WAIT_REQUEUE_PI;
}

/* The fourth argument as a time; FUTEX_WAIT's is relative. */
static int read_timeout(u32 op, u32 cmd, u64 from, struct futex_timeout *to)
{
	struct ktimespec t;
	int err;

	*to = (struct futex_timeout){.deadline = UINT64_MAX};
	if (!has_timeout(cmd) || !from)
		return 0;
	err = user_read_timespec(&t, from);
	if (err)
		return err;
	to->deadline = timespec_ns(&t);
	if (cmd == FUTEX_WAIT)
		to->deadline = wait_deadline(to->deadline);
	else
		to->real = cmd == FUTEX_LOCK_PI ||
			   (op & FUTEX_CLOCK_REALTIME) != 0;
	return 0;
}

static s64 do_wait(const struct sys_args *s, bool shared, u32 bitset,
		   const struct futex_timeout *to)
{
	struct wait_args a = {s->a[0], (u32)s->a[2], bitset, shared, *to};

	return futex_wait(&a);
}

static s64 do_two(const struct sys_args *s, bool shared, u32 cmd)
{
	struct futex_requeue_args a = {.addr = s->a[0],
				       .addr2 = s->a[4],
				       .wake = (u32)s->a[2],
				       .move = (u32)s->a[3],
				       .shared = shared,
				       .compare = cmd == FUTEX_CMP_REQUEUE ||
						  cmd == FUTEX_CMP_REQUEUE_PI};

	if (cmd == FUTEX_WAKE_OP)
		return futex_wake_op(&a, (u32)s->a[5]);
	if (a.compare)
		a.val = (u32)s->a[5];
	return cmd == FUTEX_CMP_REQUEUE_PI ? futex_cmp_requeue_pi(&a)
					   : futex_requeue(&a);
}

static s64 sys_futex(const struct sys_args *s)
{
	u32 op = (u32)s->a[1], cmd = op & FUTEX_CMD_MASK;
	bool shared = !(op & FUTEX_PRIVATE_FLAG);
	struct futex_timeout to;
	int err;

	if ((op & FUTEX_CLOCK_REALTIME) && cmd != FUTEX_WAIT &&
	    cmd != FUTEX_WAIT_BITSET && cmd != FUTEX_LOCK_PI2 &&
	    cmd != FUTEX_WAIT_REQUEUE_PI)
		return -ENOSYS;
	err = read_timeout(op, cmd, s->a[3], &to);
	if (err)
		return err;
	switch (cmd) {
	case FUTEX_WAIT:
		return do_wait(s, shared, FUTEX_BITSET_ALL, &to);
	case FUTEX_WAIT_BITSET:
		return do_wait(s, shared, (u32)s->a[5], &to);
	case FUTEX_WAKE:
		return futex_wake(s->a[0], shared, (u32)s->a[2],
				  FUTEX_BITSET_ALL);
	case FUTEX_WAKE_BITSET:
		return futex_wake(s->a[0], shared, (u32)s->a[2], (u32)s->a[5]);
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_CMP_REQUEUE_PI:
	case FUTEX_WAKE_OP:
		return do_two(s, shared, cmd);
	case FUTEX_WAIT_REQUEUE_PI:
		return futex_wait_requeue_pi(s->a[0], s->a[4], shared,
					     (u32)s->a[2], &to);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_TRYLOCK_PI:
		return futex_lock_pi(s->a[0], shared, &to,
				     cmd == FUTEX_TRYLOCK_PI);
	case FUTEX_UNLOCK_PI:
		return futex_unlock_pi(s->a[0], shared);
	}
	return -ENOSYS;
}

int futex_init(void)
{
	for (u32 i = 0; i < FUTEX_BUCKETS; i++) {
		spin_lock_init(&futex_sys.bucket[i].lock, LOCK_CLASS_NONE);
		INIT_LIST_HEAD(&futex_sys.bucket[i].waiters);
	}
	return 0;
}

void futex_stop(void)
{
	for (u32 i = 0; i < FUTEX_BUCKETS; i++)
		mm_verify(list_empty(&futex_sys.bucket[i].waiters));
}

static const struct syscall_def futex_calls[] = {
	{202, "futex", sys_futex},
};

void futex_sys_init(void)
{
	syscall_register(futex_calls, ARRAY_SIZE(futex_calls));
	futex_robust_init();
	futex_waitv_init();
}
