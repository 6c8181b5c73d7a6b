/* SPDX-License-Identifier: MIT */
/* Tracepoints of tasks: one that is new, one that has another name. */
#include "proc_world.h"

#include "base/trace_ring.h"
#include "report/trace_show.h"

#define PR_SET_NAME 15

static struct trace_record ring[MM_NR_CPUS][64];

static void child(struct pt_regs *regs)
{
	(void)regs;
	pw_exit(0);
}

/* The only record of EVENT. */
static struct trace_record the_one(enum trace_event event)
{
	struct trace_record r, found = {0};
	struct trace_cursor c;
	u32 n = 0;

	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r))
		if (r.event == event) {
			found = r;
			n++;
		}
	CHECK_EQ(n, 1);
	return found;
}

static void told(struct pt_regs *regs)
{
	uva_t at = pw_map(PAGE_SIZE);
	struct trace_record r;
	s64 pid;

	(void)regs;
	CHECK_EQ(user_write(at, "another-name", 13), 0);
	for (int i = 0; i < port_nr_cpus(); i++)
		trace_ring_attach(i, ring[i], ARRAY_SIZE(ring[i]));
	trace_enable(TRACE_TASK_NEWTASK);
	trace_enable(TRACE_TASK_RENAME);
	pid = pw_fork(child);
	CHECK(pid > 0);
	CHECK_EQ(pw_sys(61, (u64)pid, 0, 0, 0), pid);
	CHECK_EQ(pw_sys(157, PR_SET_NAME, at), 0);
	CHECK_EQ(pw_sys(157, PR_SET_NAME, 8), -EFAULT);
	trace_enable_mask(0);
	r = the_one(TRACE_TASK_NEWTASK);
	CHECK_EQ(trace_field(&r, "pid"), pid);
	CHECK_EQ(trace_field(&r, "comm"), trace_word("init", 0));
	CHECK_EQ(trace_field(&r, "clone_flags"), 0);
	CHECK_EQ(trace_field(&r, "oom_score_adj"), 0);
	CHECK_EQ(r.pid, 1);
	r = the_one(TRACE_TASK_RENAME);
	CHECK_EQ(trace_field(&r, "pid"), 1);
	CHECK_EQ(trace_field(&r, "oldcomm"), trace_word("init", 0));
	CHECK_EQ(trace_field(&r, "newcomm"), trace_word("another-name", 0));
	CHECK_EQ(r.arg[4], trace_word("another-name", 8));
	CHECK_EQ(trace_field(&r, "oom_score_adj"), 0);
	for (int i = 0; i < port_nr_cpus(); i++)
		trace_ring_attach(i, NULL, 0);
	pw_exit(0);
}

/* Each beginning before the child runs, each end. */
static s32 born[4], parent[4], gone[4];
static u32 nr_born, nr_gone;

static void note_life(s32 who, s32 child_pid)
{
	/* Time for a child that could run. */
	if (child_pid)
		port_park(1000 * 1000);
	if (child_pid && nr_born < ARRAY_SIZE(born)) {
		parent[nr_born] = who;
		born[nr_born++] = child_pid;
	} else if (!child_pid && nr_gone < ARRAY_SIZE(gone)) {
		gone[nr_gone++] = who;
	}
}

static void child_looks(struct pt_regs *regs)
{
	(void)regs;
	CHECK(nr_born > 0 && born[nr_born - 1] == current->tid);
	pw_exit(0);
}

static void lives(struct pt_regs *regs)
{
	s64 pid;

	(void)regs;
	nr_born = nr_gone = 0;
	task_on_life(note_life);
	pid = pw_fork(child_looks);
	CHECK_EQ(pw_sys(61, (u64)pid, 0, 0, 0), pid);
	CHECK(nr_born == 1 && born[0] == pid && parent[0] == 1);
	CHECK(nr_gone == 1 && gone[0] == pid);
	task_on_life(NULL);
	pid = pw_fork(child);
	CHECK_EQ(pw_sys(61, (u64)pid, 0, 0, 0), pid);
	CHECK(nr_born == 1 && nr_gone == 1);
	pw_exit(0);
}

static void test_lives(void **state)
{
	(void)state;
	PW_RUN(lives, .cpus = 2);
}

static void test_told(void **state)
{
	(void)state;
	PW_RUN(told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_told),
					   cmocka_unit_test(test_lives)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
