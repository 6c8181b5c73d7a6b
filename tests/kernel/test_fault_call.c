/* SPDX-License-Identifier: MIT */
/* The call fault_counts of our own: what it says beside getrusage(2), vmstat
 * and what is done. One thread. */
#include "proc_world.h"

#include <mmkit/report.h>

#include "uapi.h"

#define CLONE_THREAD_FLAGS 0x3d0f00UL /* as pthread_create(3) has it */
#define PAGES		   37UL

/* What the call says of PID at AT, which has been written before. */
static struct fault_counts counts(s64 pid, uva_t at)
{
	struct fault_counts c;

	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, (u64)pid, at, sizeof(c)), 0);
	CHECK_EQ(user_read(&c, at, sizeof(c)), 0);
	return c;
}

/* Touches PAGES, each once. */
static uva_t touch(u64 pages)
{
	uva_t p = pw_map(pages * PAGE_SIZE);
	u32 one = 1;

	for (u64 i = 0; i < pages; i++)
		CHECK_EQ(user_write(p + i * PAGE_SIZE, &one, 4), 0);
	return p;
}

/* "NAME N" of /proc/vmstat. */
static u64 vmstat(const char *name)
{
	static char text[16384];
	struct seq_buf out;
	const char *s;

	seq_buf_init(&out, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/vmstat", &out), 0);
	s = strstr(text, name);
	CHECK(s && s[strlen(name)] == ' ');
	return strtoull(s + strlen(name), NULL, 10);
}

static void agrees(struct pt_regs *regs)
{
	uva_t at = touch(1);
	struct fault_counts was = counts(0, at), is;
	u64 ru[18];

	(void)regs;
	is = counts(0, at);
	CHECK_EQ(is.process_minor, was.process_minor);
	CHECK_EQ(is.system, was.system);
	touch(PAGES);
	is = counts(0, at);
	CHECK_EQ(is.process_minor - was.process_minor, PAGES);
	CHECK_EQ(is.process_major, was.process_major);
	CHECK_EQ(is.system - was.system, PAGES);
	CHECK_EQ(is.system, vmstat("\npgfault"));
	CHECK_EQ(is.system_major, vmstat("\npgmajfault"));
	CHECK_EQ(pw_sys(98, 0, at), 0);
	CHECK_EQ(user_read(ru, at, sizeof(ru)), 0);
	CHECK_EQ(ru[8], is.process_minor);
	CHECK_EQ(ru[9], is.process_major);
}

static void touching_thread(struct pt_regs *regs)
{
	(void)regs;
	touch(PAGES);
	pw_sys(60, 0);
}

static void touching_child(struct pt_regs *regs)
{
	(void)regs;
	CHECK_EQ(counts(0, touch(1)).process_minor, 1);
	touch(2 * PAGES);
	pw_exit(0);
}

/* A thread's are its process's, while it lives and after; a child's are not. */
static void of_whom(struct pt_regs *regs)
{
	uva_t at = touch(1);
	struct fault_counts was, is;
	s64 pid;

	(void)regs;
	pw_map(PAGE_SIZE);
	was = counts(0, at);
	CHECK(pw_clone(touching_thread, CLONE_THREAD_FLAGS, 0x8800, at + 64,
		       at + 68, 0x7000) > 0);
	while (READ_ONCE(current->proc->nr_threads) > 1)
		pw_sys(24);
	is = counts(0, at);
	CHECK_EQ(is.process_minor - was.process_minor, PAGES);
	pid = pw_fork(touching_child);
	CHECK(pid > 1);
	CHECK_EQ(pw_wait(pid, NULL, 0), pid);
	was = is;
	is = counts(1, at);
	/* Ours: what was write-protected for the fork, and wait4's page. */
	CHECK(is.process_minor - was.process_minor <= 4);
	CHECK(is.system - was.system >= 2 * PAGES);
}

static void sizes(struct pt_regs *regs)
{
	uva_t at = touch(3);
	u64 w[8], mark = 77;

	(void)regs;
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(user_write(at + 8 * i, &mark, 8), 0);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 0, at, 16), 0);
	CHECK_EQ(user_read(w, at, sizeof(w)), 0);
	CHECK(w[0] != 77 && w[1] != 77);
	CHECK_EQ(w[2], 77);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 0, at, 48), 0);
	CHECK_EQ(user_read(w, at, sizeof(w)), 0);
	CHECK_EQ(w[4], 0);
	CHECK_EQ(w[5], 0);
	CHECK_EQ(w[6], 77);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 0, at, PAGE_SIZE), 0);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 0, at, 0), -EINVAL);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 0, at, 12), -EINVAL);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 0, at, PAGE_SIZE + 8), -EINVAL);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 4242, at, 32), -ESRCH);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, (u64)-1, at, 32), -ESRCH);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 0, 0, 32), -EFAULT);
	/* What is known can be written, the zeroes behind it cannot. */
	CHECK_EQ(pw_sys(11, at + PAGE_SIZE, 2 * PAGE_SIZE), 0);
	CHECK_EQ(pw_sys(NR_FAULT_COUNTS, 0, at + PAGE_SIZE - 32, 64), -EFAULT);
}

/* Numbers of our own that nobody has taken, and those beyond. */
static void numbers(struct pt_regs *regs)
{
	static char text[16384];
	struct seq_buf out;

	(void)regs;
	counts(0, touch(1));
	for (u64 nr = 1001; nr < 1010; nr++)
		CHECK_EQ(pw_sys(nr), -ENOSYS);
	CHECK_EQ(pw_sys(999), -ENOSYS);
	seq_buf_init(&out, text, sizeof(text));
	syscall_show(&out);
	CHECK(strstr(text, "\nfault_counts 1\n"));
	CHECK(strstr(text, "\n? 1 ENOSYS\n"));
	CHECK(strstr(text, "\nbeyond 3 ENOSYS\n"));
}

static void test_agrees(void **state)
{
	(void)state;
	PW_RUN(agrees);
}

static void test_of_whom(void **state)
{
	(void)state;
	PW_RUN(of_whom, .cpus = 2);
}

static void test_sizes(void **state)
{
	(void)state;
	PW_RUN(sizes);
}

static void test_numbers(void **state)
{
	(void)state;
	PW_RUN(numbers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agrees),
		cmocka_unit_test(test_of_whom),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
