/* SPDX-License-Identifier: MIT */
/*
 * trace_file.c - tracepoints of the host world, to a file.
 *
 * 1. Way. Rings are attached and events enabled; an ordinary thread, which
 * holds no CPU, takes what the rings have every few milliseconds, each CPU's in
 *    the order of writing, and writes it as it is. What a slow disk misses is
 *    overwritten, and counted; the program is never held up.
 *
 * 2. File. A page that begins with MMKITTRC, then records (struct
 *    trace_record): what the bare machine's init writes, too. They are put in
 *    order of time by who reads it.
 *
 * 3. Locking. One mutex around start and stop; the thread alone reads the rings
 *    and writes the file while it lives.
 *
 * 4. Failure. A write that fails ends the writing; host_trace_stop() says so.
 */
#include "trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/trace_ring.h"
#include "host.h"

#define TRACE_MAGIC "MMKITTRC"
#define TRACE_FIRST 4096u
#define DEFAULT_KB  1024u
#define MAX_KB	    (1u << 20)
#define PAUSE_NS    (2 * 1000 * 1000)
#define AT_ONCE	    512u /* records in one write */

static struct {
	pthread_mutex_t lock;
	bool running;
	bool stop; /* the thread is to end */
	int fd, err;
	pthread_t thread;
	struct trace_record *ring[MM_NR_CPUS];
	u64 pos[MM_NR_CPUS], lost;
	u64 chosen[TRACE_WORDS];
	struct trace_record batch[AT_ONCE];
} tf = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- which -----------------------------------------------------------------
 */

static bool same(const char *word, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(word, name, len);
}

static bool names(const char *word, size_t len,
		  const struct trace_event_info *e)
{
	size_t sys = strlen(e->system);

	if (same(word, len, "all") || same(word, len, e->system) ||
	    same(word, len, e->name))
		return true;
	return len > sys && word[sys] == ':' && same(word, sys, e->system) &&
	       same(word + sys + 1, len - sys - 1, e->name);
}

/* EVENTS to tf.chosen. False: there is no such one. */
static bool choose(const char *events)
{
	memset(tf.chosen, 0, sizeof(tf.chosen));
	while (*events) {
		size_t len = strcspn(events, ",");
		bool any = false;

		for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
			if (i == TRACE_TEST_EVENT ||
			    !names(events, len, trace_event_info(i)))
				continue;
			tf.chosen[i / 64] |= 1ul << i % 64;
			any = true;
		}
		if (!any)
			return false;
		events += len + (events[len] == ',');
	}
	return true;
}

static void enable(bool on)
{
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		if (!(tf.chosen[i / 64] >> i % 64 & 1))
			continue;
		if (on)
			trace_enable((enum trace_event)i);
		else
			trace_disable((enum trace_event)i);
	}
}

/* ---- writing ---------------------------------------------------------------
 */

static int write_all(const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(tf.fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* What CPU has; true: there was something. */
static bool drain_cpu(int cpu)
{
	u64 was = tf.pos[cpu];
	u32 n = 0;

	while (n < AT_ONCE && trace_read(cpu, &tf.pos[cpu], &tf.batch[n]))
		n++;
	tf.lost += tf.pos[cpu] - was - n;
	if (n && !tf.err)
		tf.err = write_all(tf.batch, n * sizeof(tf.batch[0]));
	return n > 0;
}

static void drain(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		while (drain_cpu(cpu))
			;
}

static void *drainer(void *arg)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};

	while (!__atomic_load_n(&tf.stop, __ATOMIC_ACQUIRE)) {
		drain();
		nanosleep(&pause, NULL);
	}
	return arg;
}

/* ---- from start to end -----------------------------------------------------
 */

static void rings_drop(void)
{
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++) {
		if (!tf.ring[cpu])
			continue;
		trace_ring_attach(cpu, NULL, 0);
		free(tf.ring[cpu]);
		tf.ring[cpu] = NULL;
	}
}

static int rings_make(u64 kb)
{
	u64 nr = max(kb * 1024 / sizeof(struct trace_record), 2ul);

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		tf.ring[cpu] = calloc(nr, sizeof(*tf.ring[cpu]));
		if (!tf.ring[cpu]) {
			rings_drop();
			return -ENOMEM;
		}
		trace_ring_attach(cpu, tf.ring[cpu], nr);
		tf.pos[cpu] = 0;
	}
	return 0;
}

static int file_make(const char *path)
{
	static const char first[TRACE_FIRST] = TRACE_MAGIC;
	int err;

	tf.fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
	if (tf.fd < 0)
		return -errno;
	err = write_all(first, sizeof(first));
	if (err)
		close(tf.fd);
	return err;
}

static int begin(const char *path, u64 kb)
{
	int err = rings_make(kb);

	if (err)
		return err;
	err = file_make(path);
	if (!err) {
		tf.stop = false;
		tf.err = 0;
		tf.lost = 0;
		err = -pthread_create(&tf.thread, NULL, drainer, NULL);
		if (err)
			close(tf.fd);
	}
	if (err)
		rings_drop();
	return err;
}

int host_trace_start(const char *path, const char *events, u64 kb)
{
	int err = -EBUSY;

	pthread_mutex_lock(&tf.lock);
	if (!tf.running) {
		err = choose(events) && kb <= MAX_KB
			      ? begin(path, kb ? kb : DEFAULT_KB)
			      : -EINVAL;
		tf.running = !err;
		if (!err)
			enable(true);
	}
	pthread_mutex_unlock(&tf.lock);
	return err;
}

int host_trace_stop(u64 *lost)
{
	int err = -ESRCH;

	pthread_mutex_lock(&tf.lock);
	if (tf.running) {
		enable(false);
		trace_sync();
		__atomic_store_n(&tf.stop, true, __ATOMIC_RELEASE);
		pthread_join(tf.thread, NULL);
		drain();
		rings_drop();
		err = close(tf.fd) && !tf.err ? -errno : tf.err;
		tf.running = false;
		if (lost)
			*lost = tf.lost;
	}
	pthread_mutex_unlock(&tf.lock);
	return err;
}
