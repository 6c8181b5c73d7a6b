/* SPDX-License-Identifier: MIT */
/*
 * memcg_groups.h - control groups for tests in sim: making them, reading and
 * writing their files, and tasks in them that use memory.
 */
#ifndef TESTS_MEMCG_GROUPS_H
#define TESTS_MEMCG_GROUPS_H

#include <mmkit/memcg.h>

#include "memcg/limits.h"
#include "sim_machine.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

/* The group ID, whose life the caller sees to. */
MM_UNUSED static struct memcg *group(u16 id)
{
	struct memcg *m = memcg_get(id);

	CHECK(m != NULL);
	memcg_put(m, 1);
	return m;
}

MM_UNUSED static u16 make(u16 parent)
{
	u16 id = 0;

	CHECK_EQ(memcg_create(parent, &id), 0);
	CHECK(id != 0);
	return id;
}

MM_UNUSED static void join(u16 id)
{
	CHECK_EQ(memcg_attach(port_current(), id), 0);
}

/* PAGES to FILE, in bytes. */
MM_UNUSED static void set(u16 id, const char *file, u64 pages)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu\n",
		 (unsigned long long)pages << PAGE_SHIFT);
	CHECK_EQ(memcg_write(id, file, text), 0);
}

/* The text of FILE; until the next call. */
MM_UNUSED static const char *text_of(u16 id, const char *file)
{
	static char buf[8192];
	s64 len = memcg_read(id, file, buf, sizeof(buf));

	CHECK(len >= 0 && len < (s64)sizeof(buf));
	return buf;
}

/* The line of TEXT that begins with NAME, behind it. */
MM_UNUSED static const char *line_of(const char *text, const char *name)
{
	size_t len = strlen(name);

	while (text && (strncmp(text, name, len) || text[len] != ' ')) {
		text = strchr(text, '\n');
		text = text && text[1] ? text + 1 : NULL;
	}
	CHECK(text != NULL);
	return text + len;
}

/* The figure behind NAME (NULL: the only one) in the group's FILE. */
MM_UNUSED static u64 get(u16 id, const char *file, const char *name)
{
	const char *text = text_of(id, file);

	return strtoull(name ? line_of(text, name) : text, NULL, 10);
}

/* A line of memory.stat. */
MM_UNUSED static u64 row(u16 id, const char *name)
{
	return get(id, "memory.stat", name);
}

MM_UNUSED static u64 event(u16 id, const char *name)
{
	return get(id, "memory.events", name);
}

/* Pages that are charged, none of them in a batch. */
MM_UNUSED static u64 usage(u16 id)
{
	memcg_drain(NULL);
	return get(id, "memory.current", NULL) >> PAGE_SHIFT;
}

/* Batches and ends of groups are done, and all is as it should be. */
MM_UNUSED static void end_all(void)
{
	lru_add_drain_all();
	memcg_drain(NULL);
	epoch_drain();
	epoch_drain();
	memcg_check();
}

/* ---- tasks
 * -------------------------------------------------------------------------- */

/* A task in a group, that uses memory of its own. */
struct user {
	u16 id;
	u64 pages, rounds;
	s16 adj;
	int signal;
	u64 done;
	s32 pid;
	bool stay;    /* keep all of it until told */
	bool leave;   /* what it was told */
	bool arrived; /* has touched all */
	struct port_thread *thread;
};

static inline int touch_all(struct user *u, uva_t at)
{
	for (u64 round = 0; round < u->rounds; round++) {
		for (u64 i = 0; i < u->pages; i++) {
			u64 v = i * 7 + round, got;
			int sig = sim_copy_to_user(at + P(i), &v, sizeof(v));

			if (sig)
				return sig;
			u->done++;
			sig = sim_copy_from_user(&got, at + P(i / 2),
						 sizeof(got));
			if (sig)
				return sig;
			CHECK_EQ(got, i / 2 * 7 + round);
		}
	}
	return 0;
}

static inline void user_thread(void *arg)
{
	struct user *u = arg;
	struct mm_task *task = port_current();
	struct mm_struct *mm = tm_mm();
	s64 at;

	mm_task_register(task, "user");
	CHECK_EQ(memcg_attach(task, u->id), 0);
	task->oom_score_adj = u->adj;
	u->pid = task->pid;
	mm_task_attach(task, mm);
	mm_put(mm);
	at = do_mmap(mm, 0, P(u->pages), TM_RW, TM_ANON | MAP_NORESERVE);
	CHECK(at > 0);
	u->signal = touch_all(u, (uva_t)at);
	u->arrived = true;
	while (u->stay && !READ_ONCE(u->leave) &&
	       !READ_ONCE(task->fatal_signal))
		port_park(1000 * 1000);
	if (!u->signal)
		u->signal = READ_ONCE(task->fatal_signal);
	mm_task_exit(task);
	mm_task_unregister(task);
}

MM_UNUSED static void start(struct user *u, int cpu)
{
	if (!u->rounds)
		u->rounds = 1;
	CHECK_EQ(sim_thread_start_on(&u->thread, "user", cpu, user_thread, u),
		 0);
}

MM_UNUSED static void wait_for(struct user *u)
{
	while (!READ_ONCE(u->arrived))
		port_park(1000 * 1000);
}

MM_UNUSED static void finish(struct user *u)
{
	WRITE_ONCE(u->leave, true);
	port_thread_join(u->thread);
}

#endif
