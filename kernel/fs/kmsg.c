/* SPDX-License-Identifier: MIT */
/*
 * kmsg.c - the kernel's log for programs: /dev/kmsg and syslog(2), which is
 * also what /proc/kmsg reads.
 *
 * 1. /dev/kmsg. A read gives one record, "PRIO,NUMBER,MICROSECONDS,-;TEXT\n",
 *    bytes of TEXT that do not print as \xNN. Each open file has its own
 *    place, the oldest record at first. A record that has been overwritten
 *    since is told once by -EPIPE, a buffer too small by -EINVAL. What is
 *    written is a record: "<PRIO>TEXT", PRIO a level and facility of
 *    syslog(3), which is never the kernel's: 0 becomes LOG_USER.
 *
 * 2. syslog(2) and /proc/kmsg share one place for all who read. Records are
 *    as they were printed, "<PRIO>[   sec.usec] TEXT\n". A record that does
 *    not fit is given in parts.
 *
 * 3. Waiting. printk() may be called with any lock held and in interrupts, so
 *    it wakes nobody. A timer looks fifty times a second while somebody waits;
 *    who begins to wait starts it.
 *
 * 4. Locking. log_lock: the place of (2) and that of dmesg -c; an open file's
 *    mutex: its own. Memory of the user may be faulted in under either; no
 *    file of ours is mapped.
 *
 * References: syslog(2), proc(5) (/proc/kmsg), kernel ABI documentation
 * dev-kmsg.
 */
#include <mmkit/errno.h>
#include <mmkit/gfp.h>
#include <mmkit/shmem.h>
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "base/string.h"
#include "fs/sys.h"
#include "task.h"

#define TICK_NS	 (20UL * 1000 * 1000)
#define SEEK_SET 0
#define SEEK_END 2
#define LOG_USER 1u
#define TEXT_MAX (PRINTK_LINE_MAX * 4 + 64) /* all escaped, and a head */

/* Who waits looks at a place without the lock of who moves it. */
static void move_to(struct printk_pos *pos, struct printk_pos to)
{
	WRITE_ONCE(pos->seq, to.seq);
	WRITE_ONCE(pos->at, to.at);
}

/* Of an open /dev/kmsg. */
struct kmsg_reader {
	struct mutex lock;
	struct printk_pos pos; /* (lock) */
	struct printk_line line;
	char text[TEXT_MAX];
};

static struct fs_log *state(void)
{
	return &fs_sys.log;
}

/* ---- waiting ---------------------------------------------------------------
 */

static void tick(struct machine_timer *timer)
{
	struct fs_log *l = state();
	u64 head = printk_end().seq;

	if (head != READ_ONCE(l->seen)) {
		WRITE_ONCE(l->seen, head);
		wake_up_all(&l->wait);
	}
	if (!waitqueue_active(&l->wait))
		return;
	timer->expires = port_now_ns() + TICK_NS;
	machine_timer_arm(timer);
}

/* The caller is in the queue and found nothing up to record SEQ. */
static bool tick_start(u64 seq)
{
	struct fs_log *l = state();

	WRITE_ONCE(l->seen, seq);
	l->tick.expires = port_now_ns() + TICK_NS;
	machine_timer_arm(&l->tick);
	return false;
}

/* Is there a record at or behind POS? */
static bool more(const struct printk_pos *pos)
{
	return READ_ONCE(pos->seq) != printk_end().seq;
}

static int wait_more(const struct printk_pos *pos, bool nonblock)
{
	if (nonblock && !more(pos))
		return -EAGAIN;
	return wait_event_interruptible(
		state()->wait, more(pos) || tick_start(READ_ONCE(pos->seq)));
}

static u32 poll_more(const struct printk_pos *pos, struct poll_table *table)
{
	poll_wait(table, &state()->wait);
	if (more(pos))
		return POLLIN | POLLRDNORM;
	(void)tick_start(READ_ONCE(pos->seq));
	return 0;
}

static bool may_read(void)
{
	return capable(CAP_SYSLOG) || capable(CAP_SYS_ADMIN);
}

/* ---- /dev/kmsg -------------------------------------------------------------
 */

int kmsg_open(struct vnode *v, struct file *file)
{
	struct kmsg_reader *r;

	(void)v;
	if (!(file->f_mode & FMODE_READ))
		return 0;
	if (READ_ONCE(state()->restricted) && !may_read())
		return -EPERM;
	r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	mutex_init(&r->lock, LOCK_CLASS_PROC_TEXT);
	file->private_data = r;
	return 0;
}

static void kmsg_release(struct inode *inode, struct file *file)
{
	(void)inode;
	kfree(file->private_data);
}

static void put_record(struct seq_buf *s, const struct printk_line *l)
{
	seq_printf(s, "%u,%llu,%llu,-;", l->prio, (unsigned long long)l->seq,
		   (unsigned long long)(l->ns / 1000));
	for (u32 i = 0; i < l->len; i++) {
		u8 c = (u8)l->text[i];

		if (c < ' ' || c >= 127 || c == '\\')
			seq_printf(s, "\\x%02x", c);
		else
			seq_putc(s, (char)c);
	}
	seq_putc(s, '\n');
}

/* The next record to ITER. Locks: r->lock. */
static s64 give_record(struct kmsg_reader *r, struct iov_iter *iter)
{
	struct printk_pos at = r->pos;
	struct seq_buf s;

	if (!printk_read(&at, &r->line))
		return 0; /* another took it: not of ours */
	if (r->line.seq != r->pos.seq) {
		move_to(&r->pos, (struct printk_pos){r->line.seq, 0});
		return -EPIPE;
	}
	seq_buf_init(&s, r->text, sizeof(r->text));
	put_record(&s, &r->line);
	if (s.len > iter->count)
		return -EINVAL;
	if (iter_put(iter, r->text, s.len) < s.len)
		return -EFAULT;
	move_to(&r->pos, at);
	return (s64)s.len;
}

static s64 kmsg_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct kmsg_reader *r = file->private_data;
	s64 ret;

	(void)pos;
	do {
		ret = wait_more(&r->pos, READ_ONCE(file->f_flags) & O_NONBLOCK);
		if (ret)
			return ret;
		mutex_lock(&r->lock);
		ret = give_record(r, iter);
		mutex_unlock(&r->lock);
	} while (!ret);
	return ret;
}

/* "<N>" in front of TEXT: N to *PRIO; what is behind it. */
static const char *take_prio(const char *text, u32 *prio)
{
	u32 n = 0, digits = 1;

	if (text[0] != '<')
		return text;
	for (; text[digits] >= '0' && text[digits] <= '9' && digits < 5;
	     digits++)
		n = n * 10 + (u32)(text[digits] - '0');
	if (digits == 1 || text[digits] != '>')
		return text;
	*prio = n;
	if (!(n >> PRINTK_FACILITY_SHIFT))
		*prio |= LOG_USER << PRINTK_FACILITY_SHIFT;
	return text + digits + 1;
}

static s64 kmsg_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	u32 prio = LOG_USER << PRINTK_FACILITY_SHIFT | LOG_DEFAULT_LEVEL;
	char line[PRINTK_LINE_MAX];
	u64 n = min(iter->count, sizeof(line) - 1);
	s64 all = (s64)iter->count;
	const char *text;

	(void)file;
	(void)pos;
	if (iter_get(iter, line, n) < n)
		return -EFAULT;
	line[n] = '\0';
	text = take_prio(line, &prio);
	printk_user(prio, text);
	return all;
}

/* SEEK_SET: the oldest; SEEK_DATA: since dmesg -C; SEEK_END: what comes. */
static s64 kmsg_llseek(struct file *file, s64 off, int whence)
{
	struct kmsg_reader *r = file->private_data;
	struct printk_pos to = {0};

	if (!r)
		return -EBADF;
	if (off)
		return -ESPIPE;
	if (whence != SEEK_SET && whence != SEEK_END && whence != SEEK_DATA)
		return -EINVAL;
	mutex_lock(&state()->lock);
	if (whence == SEEK_DATA)
		to = state()->clear;
	mutex_unlock(&state()->lock);
	if (whence == SEEK_END)
		to = printk_end();
	else if (!to.seq)
		to = printk_oldest();
	mutex_lock(&r->lock);
	move_to(&r->pos, to);
	mutex_unlock(&r->lock);
	return 0;
}

static u32 kmsg_poll(struct file *file, struct poll_table *table)
{
	struct kmsg_reader *r = file->private_data;
	u32 ready = POLLOUT | POLLWRNORM;

	if (!r)
		return ready;
	ready |= poll_more(&r->pos, table);
	/* It has been overwritten: -EPIPE waits there. */
	if (READ_ONCE(r->pos.seq) < printk_oldest().seq)
		ready |= POLLERR | POLLPRI;
	return ready;
}

static int kmsg_mmap(struct file *file, struct vm_area_struct *vma)
{
	(void)file;
	(void)vma;
	return -ENODEV;
}

const struct file_operations kmsg_fops = {
	.read_iter = kmsg_read,
	.write_iter = kmsg_write,
	.mmap = kmsg_mmap,
	.llseek = kmsg_llseek,
	.poll = kmsg_poll,
	.release = kmsg_release,
};

/* ---- syslog(2) -------------------------------------------------------------
 */

enum {
	LOG_CLOSE,
	LOG_OPEN,
	LOG_READ,
	LOG_READ_ALL,
	LOG_READ_CLEAR,
	LOG_CLEAR,
	LOG_CONSOLE_OFF,
	LOG_CONSOLE_ON,
	LOG_CONSOLE_LEVEL,
	LOG_SIZE_UNREAD,
	LOG_SIZE_BUFFER,
};

/* A line as it was printed, and room to make it. */
struct log_text {
	struct printk_line line;
	char text[TEXT_MAX];
	u32 len;
};

/* The record at *POS, which is behind it then. */
static bool text_at(struct log_text *t, struct printk_pos *pos)
{
	struct seq_buf s;

	if (!printk_read(pos, &t->line))
		return false;
	seq_buf_init(&s, t->text, sizeof(t->text));
	printk_text(&s, &t->line, true);
	t->len = (u32)s.len;
	return true;
}

/* What is unread, as far as it fits. Locks: log->lock. */
static s64 take_unread(struct log_text *t, struct iov_iter *iter)
{
	struct fs_log *l = state();
	struct printk_pos at = l->read;
	s64 done = 0;

	while (iter->count && text_at(t, &at)) {
		u32 from = t->line.seq == l->read.seq ? l->part : 0;
		u32 n = (u32)min((u64)(t->len - from), iter->count);

		/* Whole records, but where not even one has room. */
		if (done && from + n < t->len)
			break;
		if (iter_put(iter, t->text + from, n) < n)
			return done ? done : -EFAULT;
		done += n;
		l->part = from + n < t->len ? from + n : 0;
		if (l->part) {
			WRITE_ONCE(l->read.seq, t->line.seq);
			break;
		}
		move_to(&l->read, at);
	}
	return done;
}

static s64 log_read(struct iov_iter *iter, bool nonblock)
{
	struct log_text *t = kmalloc(sizeof(*t), GFP_KERNEL_ACCOUNT);
	struct fs_log *l = state();
	s64 ret = t ? 0 : -ENOMEM;

	while (!ret) {
		ret = wait_more(&l->read, nonblock);
		if (ret)
			break;
		mutex_lock(&l->lock);
		ret = take_unread(t, iter);
		mutex_unlock(&l->lock);
	}
	kfree(t);
	return ret;
}

/* How many bytes are at *FROM and behind it, up to record END. */
static u64 text_size(struct log_text *t, struct printk_pos from, u64 end)
{
	u64 size = 0;

	while (from.seq < end && text_at(t, &from))
		size += t->len;
	return size;
}

/* The last records that fit, since the last CLEAR. Locks: log->lock. */
static s64 give_last(struct log_text *t, struct iov_iter *iter)
{
	struct printk_pos from = state()->clear, end = printk_end();
	u64 size = text_size(t, from, end.seq);
	s64 done = 0;

	while (size > iter->count && text_at(t, &from))
		size -= min(size, (u64)t->len);
	while (from.seq < end.seq && text_at(t, &from)) {
		if (t->len > iter->count)
			break; /* overwritten meanwhile by longer ones */
		if (iter_put(iter, t->text, t->len) < t->len)
			return done ? done : -EFAULT;
		done += t->len;
	}
	return done;
}

static s64 log_all(struct iov_iter *iter, bool clear)
{
	struct log_text *t = kmalloc(sizeof(*t), GFP_KERNEL_ACCOUNT);
	struct fs_log *l = state();
	struct printk_pos end;
	s64 ret;

	if (!t)
		return -ENOMEM;
	mutex_lock(&l->lock);
	end = printk_end();
	ret = give_last(t, iter);
	if (clear && ret >= 0)
		l->clear = end;
	mutex_unlock(&l->lock);
	kfree(t);
	return ret;
}

static s64 log_unread(void)
{
	struct log_text *t = kmalloc(sizeof(*t), GFP_KERNEL_ACCOUNT);
	struct fs_log *l = state();
	s64 ret;

	if (!t)
		return -ENOMEM;
	mutex_lock(&l->lock);
	ret = (s64)text_size(t, l->read, UINT64_MAX);
	ret -= min(ret, (s64)l->part);
	mutex_unlock(&l->lock);
	kfree(t);
	return ret;
}

static s64 log_clear(void)
{
	struct fs_log *l = state();

	mutex_lock(&l->lock);
	l->clear = printk_end();
	mutex_unlock(&l->lock);
	return 0;
}

/* OFF keeps what the level was for ON, once. */
static s64 log_console(int type, int level)
{
	struct fs_log *l = state();
	u32 now = printk_console_level(0);

	if (type == LOG_CONSOLE_LEVEL && (level < 1 || level > 8))
		return -EINVAL;
	mutex_lock(&l->lock);
	if (type == LOG_CONSOLE_OFF) {
		if (!l->console)
			l->console = now;
		(void)printk_console_level(1);
	} else if (type == LOG_CONSOLE_ON) {
		if (l->console)
			(void)printk_console_level(l->console);
		l->console = 0;
	} else {
		(void)printk_console_level((u32)level);
		l->console = 0;
	}
	mutex_unlock(&l->lock);
	return 0;
}

static s64 log_give(int type, uva_t buf, int len)
{
	struct iov_iter iter;

	if (!buf || len < 0)
		return -EINVAL;
	if (!len)
		return 0;
	iov_iter_user(&iter, current->mt->mm, buf, (u64)len);
	if (type == LOG_READ)
		return log_read(&iter, false);
	return log_all(&iter, type == LOG_READ_CLEAR);
}

static s64 sys_syslog(const struct sys_args *s)
{
	int type = SYS_I(0), len = SYS_I(2);
	bool open = type == LOG_READ_ALL || type == LOG_SIZE_BUFFER;

	if (!(open && !READ_ONCE(state()->restricted)) && !may_read())
		return -EPERM;
	switch (type) {
	case LOG_CLOSE:
	case LOG_OPEN:
		return 0;
	case LOG_READ:
	case LOG_READ_ALL:
	case LOG_READ_CLEAR:
		return log_give(type, s->a[1], len);
	case LOG_CLEAR:
		return log_clear();
	case LOG_CONSOLE_OFF:
	case LOG_CONSOLE_ON:
	case LOG_CONSOLE_LEVEL:
		return log_console(type, len);
	case LOG_SIZE_UNREAD:
		return log_unread();
	case LOG_SIZE_BUFFER:
		return PRINTK_RING_BYTES;
	default:
		return -EINVAL;
	}
}

const struct syscall_def fs_log_calls[] = {{103, "syslog", sys_syslog}};
const u32 fs_log_nr = ARRAY_SIZE(fs_log_calls);

/* ---- /proc/kmsg ------------------------------------------------------------
 */

static s64 proc_kmsg_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)pos;
	if (!iter->count)
		return 0;
	return log_read(iter, READ_ONCE(file->f_flags) & O_NONBLOCK);
}

static u32 proc_kmsg_poll(struct file *file, struct poll_table *table)
{
	(void)file;
	return poll_more(&state()->read, table);
}

const struct file_operations proc_kmsg_fops = {
	.read_iter = proc_kmsg_read,
	.poll = proc_kmsg_poll,
	.mmap = kmsg_mmap,
};

int proc_kmsg_may_open(void)
{
	return may_read() ? 0 : -EPERM;
}

/* ---- start and end ---------------------------------------------------------
 */

void kmsg_init(void)
{
	struct fs_log *l = state();

	mutex_init(&l->lock, LOCK_CLASS_PROC_TEXT);
	init_waitqueue_head(&l->wait);
	l->tick.fn = tick;
}

void kmsg_exit(void)
{
	(void)machine_timer_cancel(&state()->tick);
}
