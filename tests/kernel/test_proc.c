/* SPDX-License-Identifier: MIT */
/* Tasks: fork, threads, exit, wait, exec, and what becomes of them. */
#include "proc_world.h"

#include "base/fail.h"
#include "base/trace_ring.h"
#include "report/trace_show.h"

#define CLONE_THREAD_FLAGS 0x3d0f00UL /* as pthread_create(3) has it */

/* ---- fork and wait ---------------------------------------------------------
 */

static void child_7(struct pt_regs *regs)
{
	CHECK_EQ(regs->rax, 0);
	pw_exit(7);
}

static void forks(struct pt_regs *regs)
{
	int status = 0;
	s64 pid;

	(void)regs;
	CHECK_EQ(pw_sys(39), 1);
	CHECK_EQ(pw_sys(110), 0);
	CHECK_EQ(pw_wait(-1, NULL, 0), -ECHILD);
	for (int i = 0; i < 5; i++) {
		pid = pw_fork(child_7);
		CHECK(pid > 1);
		CHECK_EQ(pw_wait(pid, &status, 0), pid);
		CHECK_EQ(status, 7 << 8);
		CHECK_EQ(pw_wait(pid, NULL, 0), -ECHILD);
	}
	pw_exit(0);
}

static void test_forks(void **state)
{
	(void)state;
	PW_RUN(forks, .cpus = 2);
}

/* ---- what is counted of them ------------------------------------------------
 */

/* ru_nvcsw and ru_nivcsw of getrusage(WHO), or (WHO 2) of what stands at AT. */
static void switches(int who, uva_t at, u64 out[2])
{
	u64 w[18];

	if (who != 2)
		CHECK_EQ(pw_sys(98, (u64)who, at), 0);
	CHECK_EQ(user_read(w, at, sizeof(w)), 0);
	out[0] = w[16];
	out[1] = w[17];
}

/* This thread has read and written: N of each, and what differs by 1 .. 7. */
static void io_done(u64 n)
{
	current->mt->io = (struct mm_task_io){n,     2 * n, 3 * n, 4 * n,
					      5 * n, 6 * n, 7 * n};
}

/* OWN: the thread's, else its process's. Of system calls there may be more. */
static void io_is(u64 n, bool own)
{
	struct mm_task_io io;

	task_io_get(current, own, &io);
	CHECK_EQ(io.rchar, n);
	CHECK_EQ(io.wchar, 2 * n);
	CHECK_EQ(io.syscr, 3 * n);
	CHECK_EQ(io.syscw, 4 * n);
	CHECK_EQ(io.read_bytes, 5 * n);
	CHECK_EQ(io.write_bytes, 6 * n);
	CHECK_EQ(io.cancelled_write_bytes, 7 * n);
}

static void switched_thread(struct pt_regs *regs)
{
	(void)regs;
	kt_switched(port_self(), 300, 40);
	io_done(1);
	pw_sys(60, 0);
}

static void switched_child(struct pt_regs *regs)
{
	uva_t at = pw_map(PAGE_SIZE);
	u64 was[2], is[2], own[2];

	(void)regs;
	switches(0, at, was);
	CHECK(pw_clone(switched_thread, CLONE_THREAD_FLAGS, 0x8800, at, at + 4,
		       0x7000) > 0);
	kt_switched(port_self(), 5000, 600);
	io_done(100);
	while (READ_ONCE(current->proc->nr_threads) > 1)
		pw_sys(24);
	io_is(101, false);
	io_is(100, true);
	switches(0, at, is);
	CHECK_EQ(is[0] - was[0], 5300);
	CHECK(is[1] - was[1] >= 640);
	/* RUSAGE_THREAD, and /proc/PID/status: this thread's. */
	switches(1, at, own);
	CHECK_EQ(own[0], 5000);
	CHECK(own[1] >= 600 && own[1] <= is[1] - 40);
	pw_exit(0);
}

static void switches_counted(struct pt_regs *regs)
{
	uva_t at = pw_map(PAGE_SIZE);
	u64 was[2], ru[2], is[2], loads[4];
	struct task_stat s;
	s64 pid;

	(void)regs;
	switches(-1, at, was);
	CHECK_EQ(was[0], 0);
	io_is(0, false);
	pid = pw_fork(switched_child);
	CHECK_EQ(pw_sys(61, (u64)pid, 0, 0, at), pid);
	/* Of a child that was waited for, to the last byte; not before. */
	io_is(101, false);
	io_is(0, true);
	switches(2, at, ru);
	CHECK_EQ(ru[0], 5300);
	CHECK(ru[1] >= 640);
	switches(-1, at, is);
	CHECK_EQ(is[0], ru[0]);
	CHECK_EQ(is[1], ru[1]);
	kt_switched(port_self(), 7, 0);
	task_stat_get(current, &s);
	CHECK_EQ(s.nvcsw, 7);
	/* sysinfo(2)'s loads are the kernel's. */
	CHECK_EQ(pw_sys(99, at), 0);
	CHECK_EQ(user_read(loads, at, sizeof(loads)), 0);
	for (u64 i = 1; i < 4; i++)
		CHECK_EQ(loads[i], i << 16);
	pw_exit(0);
}

static void test_switches(void **state)
{
	(void)state;
	PW_RUN(switches_counted, .cpus = 2);
}

/* ---- threads ---------------------------------------------------------------
 */

static u32 ran;

static void thread_main(struct pt_regs *regs)
{
	CHECK_EQ(regs->rax, 0);
	CHECK_EQ(pw_sys(39), current->proc->tgid);
	CHECK_EQ(pw_sys(186), current->tid);
	CHECK(current->tid != current->proc->tgid);
	CHECK_EQ(machine_fsbase(current->thread), 0x7000);
	CHECK_EQ(regs->rsp, 0x8800);
	__atomic_fetch_add(&ran, 1, __ATOMIC_RELAXED);
	pw_sys(60, 3);
}

static void threads(struct pt_regs *regs)
{
	uva_t words = pw_map(PAGE_SIZE);
	u32 tid;

	(void)regs;
	for (u64 i = 0; i < 8; i++) {
		u64 at = words + 8 * i;
		s64 got = pw_clone(thread_main, CLONE_THREAD_FLAGS, 0x8800, at,
				   at + 4, 0x7000);

		CHECK(got > 1);
		/* Parent's word: its number; the child's is cleared. */
		CHECK_EQ(user_read(&tid, at, 4), 0);
		CHECK_EQ(tid, got);
	}
	while (READ_ONCE(current->proc->nr_threads) > 1)
		pw_sys(24);
	CHECK_EQ(ran, 8);
	/* Threads are no children. */
	CHECK_EQ(pw_wait(-1, NULL, 0), -ECHILD);
	CHECK_EQ(pw_clone(thread_main, 0x10000), -EINVAL);
	CHECK_EQ(pw_clone(thread_main, 0x800), -EINVAL);
	pw_exit(0);
}

static void test_threads(void **state)
{
	(void)state;
	ran = 0;
	PW_RUN(threads, .cpus = 3);
}

/* A thread ends the process while others sleep and run. */
static void sleeper(struct pt_regs *regs)
{
	(void)regs;
	for (;;)
		pw_sys(34);
}

static void spinner(struct pt_regs *regs)
{
	(void)regs;
	for (;;) {
		pw_sys(24);
		pw_step();
	}
}

static void ender(struct pt_regs *regs)
{
	(void)regs;
	pw_exit(9);
}

static void group_child(struct pt_regs *regs)
{
	(void)regs;
	for (u64 i = 0; i < 6; i++)
		CHECK(pw_clone(i & 1 ? sleeper : spinner, CLONE_THREAD_FLAGS,
			       0x8000, pw_map(PAGE_SIZE), 0, 0) > 0);
	CHECK(pw_clone(ender, CLONE_THREAD_FLAGS, 0x8000, pw_map(PAGE_SIZE), 0,
		       0) > 0);
	sleeper(regs);
}

static void group_exits(struct pt_regs *regs)
{
	int status;
	s64 pid;

	(void)regs;
	for (int i = 0; i < 10; i++) {
		pid = pw_fork(group_child);
		CHECK_EQ(pw_wait(pid, &status, 0), pid);
		CHECK_EQ(status, 9 << 8);
	}
	pw_exit(0);
}

static void test_group_exit(void **state)
{
	(void)state;
	PW_RUN(group_exits, .cpus = 4, .seed = test_env("SEED", 1),
	       .explore = true);
}

/* ---- vfork -----------------------------------------------------------------
 */

static u32 vfork_step;

static void vfork_child(struct pt_regs *regs)
{
	(void)regs;
	port_park(2000000);
	CHECK_EQ(vfork_step, 0);
	vfork_step = 1;
	pw_exit(4);
}

static void vforks(struct pt_regs *regs)
{
	int status;
	s64 pid;

	(void)regs;
	vfork_step = 0;
	pid = pw_sys_at(pw_prog(vfork_child), 58, (const u64[6]){0});
	/* The child has gone first. */
	CHECK_EQ(vfork_step, 1);
	CHECK_EQ(pw_wait(pid, &status, 0), pid);
	CHECK_EQ(status, 4 << 8);
	pw_exit(0);
}

static void test_vfork(void **state)
{
	(void)state;
	PW_RUN(vforks, .cpus = 2);
}

/* The report finds each of several tasks by its number. */
static bool shown(s64 pid)
{
	char path[32], text[256];
	struct seq_buf s;

	snprintf(path, sizeof(path), "/proc/%lld/statm", (long long)pid);
	seq_buf_init(&s, text, sizeof(text));
	return mm_show(path, &s) == 0 && strtoull(seq_buf_str(&s), NULL, 10);
}

/* ---- wait ------------------------------------------------------------------
 */

static void waits(struct pt_regs *regs)
{
	uva_t at = pw_map(PAGE_SIZE);
	struct ksiginfo info;
	int status;
	s64 a, b;

	(void)regs;
	a = pw_fork(sleeper);
	b = pw_fork(child_7);
	CHECK(shown(1) && shown(a) && !shown(12345));
	CHECK_EQ(pw_wait(a, &status, 1 /* WNOHANG */), 0);
	CHECK_EQ(pw_wait(-1, &status, 0), b);
	/* WNOWAIT leaves it; stopped and continued are told once each. */
	CHECK_EQ(pw_sys(62, (u64)a, SIGSTOP), 0);
	CHECK_EQ(pw_wait(a, &status, 2), a);
	CHECK_EQ(status, SIGSTOP << 8 | 0x7f);
	CHECK_EQ(pw_wait(a, &status, 2 | 1), 0);
	CHECK_EQ(pw_sys(62, (u64)a, SIGCONT), 0);
	CHECK_EQ(pw_wait(a, &status, 8), a);
	CHECK_EQ(status, 0xffff);
	CHECK_EQ(pw_wait(a, &status, 8 | 1), 0);
	CHECK_EQ(pw_sys(62, (u64)a, SIGKILL), 0);
	CHECK_EQ(pw_sys(247, 1, (u64)a, at, 4 | 0x01000000), 0);
	CHECK_EQ(user_read(&info, at, sizeof(info)), 0);
	CHECK_EQ(info.signo, SIGCHLD);
	CHECK_EQ(info.code, CLD_KILLED);
	CHECK_EQ(info.u.chld.pid, a);
	CHECK_EQ(info.u.chld.status, SIGKILL);
	CHECK_EQ(pw_wait(a, &status, 0), a);
	CHECK_EQ(status, SIGKILL);
	CHECK_EQ(pw_sys(247, 9, 0, at, 4), -EINVAL);
	CHECK_EQ(pw_sys(247, 0, 0, at, 0), -EINVAL);
	CHECK_EQ(pw_sys(61, 1, 0, 0x100), -EINVAL);
	pw_exit(0);
}

static void test_waits(void **state)
{
	(void)state;
	PW_RUN(waits, .cpus = 2);
}

/* ---- freezing --------------------------------------------------------------
 */

static struct {
	u64 ticks, rested;
} fz;

static void ticker(struct pt_regs *regs)
{
	(void)regs;
	for (;;) {
		__atomic_fetch_add(&fz.ticks, 1, __ATOMIC_RELAXED);
		pw_sys(24);
	}
}

static void count_rest(struct task *t)
{
	(void)t;
	__atomic_fetch_add(&fz.rested, 1, __ATOMIC_RELAXED);
}

static void await_rest(s64 pid, bool rests)
{
	struct task *t = task_find((s32)pid);

	CHECK(t != NULL);
	while (task_resting(t) != rests)
		port_park(1000 * 1000);
	task_put(t);
}

static bool freeze(s64 pid, bool on)
{
	struct task *t = task_find((s32)pid);
	bool news;

	CHECK(t != NULL);
	news = task_freeze(t, on);
	task_put(t);
	return news;
}

/* How many steps the ticker makes in a while. */
static u64 ticks_in_a_while(void)
{
	u64 before = READ_ONCE(fz.ticks);

	port_park(20 * 1000 * 1000);
	return READ_ONCE(fz.ticks) - before;
}

static void freezes(struct pt_regs *regs)
{
	int status;
	s64 a, b;

	(void)regs;
	memset(&fz, 0, sizeof(fz));
	task_on_rest(count_rest);
	a = pw_fork(ticker);
	b = pw_fork(sleeper);
	CHECK(ticks_in_a_while() > 0);
	/* One that runs, one that waits in a call. */
	CHECK(freeze(a, true) && !freeze(a, true));
	CHECK(freeze(b, true));
	await_rest(a, true);
	await_rest(b, true);
	CHECK_EQ(ticks_in_a_while(), 0);
	CHECK_EQ(fz.rested, 2);
	/* Signals wait, but for those that end it. */
	CHECK_EQ(pw_sys(62, (u64)a, SIGTSTP), 0);
	CHECK_EQ(ticks_in_a_while(), 0);
	CHECK_EQ(pw_wait(a, &status, 1 | 2), 0);
	CHECK_EQ(pw_sys(62, (u64)a, SIGUSR1), 0);
	CHECK_EQ(pw_wait(a, &status, 0), a);
	CHECK_EQ(status, SIGUSR1);
	CHECK(freeze(b, false));
	await_rest(b, false);
	CHECK_EQ(pw_wait(b, &status, 1), 0);
	CHECK(freeze(b, true));
	await_rest(b, true);
	CHECK_EQ(pw_sys(62, (u64)b, SIGKILL), 0);
	CHECK_EQ(pw_wait(b, &status, 0), b);
	CHECK_EQ(status, SIGKILL);
	/* Stopped is at rest; continued it freezes. */
	a = pw_fork(ticker);
	CHECK_EQ(pw_sys(62, (u64)a, SIGSTOP), 0);
	CHECK_EQ(pw_wait(a, &status, 2), a);
	CHECK(freeze(a, true));
	CHECK_EQ(pw_sys(62, (u64)a, SIGCONT), 0);
	await_rest(a, true);
	CHECK_EQ(ticks_in_a_while(), 0);
	CHECK(freeze(a, false));
	while (!ticks_in_a_while())
		;
	CHECK_EQ(pw_sys(62, (u64)a, SIGKILL), 0);
	CHECK_EQ(pw_wait(a, &status, 0), a);
	task_on_rest(NULL);
	pw_exit(0);
}

static void test_freezes(void **state)
{
	(void)state;
	PW_RUN(freezes, .cpus = 1);
	PW_RUN(freezes, .cpus = 2);
}

/* Children of who ends go to init; who does not want to know keeps none. */
static s64 orphan_pid;

static void orphan(struct pt_regs *regs)
{
	(void)regs;
	while (pw_sys(110) != 1)
		pw_sys(24);
	pw_exit(5);
}

static void middle(struct pt_regs *regs)
{
	(void)regs;
	orphan_pid = pw_fork(orphan);
	pw_exit(0);
}

static void orphans(struct pt_regs *regs)
{
	int status;
	s64 pid = pw_fork(middle);

	(void)regs;
	CHECK_EQ(pw_wait(pid, &status, 0), pid);
	CHECK_EQ(pw_wait(orphan_pid, &status, 0), orphan_pid);
	CHECK_EQ(status, 5 << 8);
	pw_action(SIGCHLD, SIG_IGN, 0, 0);
	pw_fork(child_7);
	pw_fork(child_7);
	CHECK_EQ(pw_wait(-1, NULL, 0), -ECHILD);
	pw_exit(0);
}

static void idler(struct pt_regs *regs)
{
	(void)regs;
	for (;;)
		pw_sys(24);
}

/* A group that was an orphan before: one stands still, another ends. */
static void old_orphan_group(struct pt_regs *regs)
{
	int status;
	s64 a, b;

	(void)regs;
	CHECK_EQ(pw_sys(109, 0, 0), 0);
	a = pw_fork(idler);
	CHECK_EQ(pw_sys(62, (u64)a, SIGSTOP), 0);
	CHECK_EQ(pw_wait(a, &status, 2), a);
	b = pw_fork(child_7);
	CHECK_EQ(pw_wait(b, &status, 0), b);
	CHECK_EQ(pw_sys(62, (u64)a, SIGKILL), 0);
	CHECK_EQ(pw_wait(a, &status, 0), a);
	CHECK_EQ(status, SIGKILL);
	pw_exit(9);
}

/* Ends while a group of its child's, which only it ties, stands still. */
static void leaves_stopped(struct pt_regs *regs)
{
	int status;

	(void)regs;
	orphan_pid = pw_fork(idler);
	CHECK_EQ(pw_sys(109, (u64)orphan_pid, (u64)orphan_pid), 0);
	CHECK_EQ(pw_sys(62, (u64)orphan_pid, SIGSTOP), 0);
	CHECK_EQ(pw_wait(orphan_pid, &status, 2), orphan_pid);
	pw_exit(0);
}

/* SIGHUP is for who becomes an orphan, not for who is one. */
static void orphan_groups(struct pt_regs *regs)
{
	int status;
	s64 pid = pw_fork(old_orphan_group);

	(void)regs;
	CHECK_EQ(pw_wait(pid, &status, 0), pid);
	CHECK_EQ(status, 9 << 8);
	pid = pw_fork(leaves_stopped);
	CHECK_EQ(pw_wait(pid, &status, 0), pid);
	CHECK_EQ(pw_wait(orphan_pid, &status, 0), orphan_pid);
	CHECK_EQ(status, SIGHUP);
	pw_exit(0);
}

static void test_orphans(void **state)
{
	(void)state;
	PW_RUN(orphans, .cpus = 2);
	PW_RUN(orphan_groups, .cpus = 2);
}

/* ---- execve ----------------------------------------------------------------
 */

/* What a program finds on its stack. */
struct stack_words {
	u64 argc, w[80];
};

static void read_stack(struct stack_words *s)
{
	u64 sp = machine_regs(port_self())->rsp;

	CHECK_EQ(sp & 15, 0);
	/* It may end before our words do. */
	memset(s, 0, sizeof(*s));
	CHECK(copy_from_user(current->mt->mm, s, sp, sizeof(*s)) <
	      sizeof(*s) - 8 * 30);
}

static void check_string(u64 at, const char *want)
{
	char text[64] = {0};

	CHECK(strncpy_from_user(current->mt->mm, text, at, 63) >= 0);
	CHECK_EQ(strcmp(text, want), 0);
}

static u64 aux_of(const u64 *w, u64 type)
{
	for (; w[0]; w += 2)
		if (w[0] == type)
			return w[1];
	return 0;
}

static void new_program(struct pt_regs *regs)
{
	struct stack_words s;
	const u64 *aux;

	CHECK_EQ(regs->rdi, 0);
	read_stack(&s);
	CHECK_EQ(s.argc, 3);
	check_string(s.w[0], "new");
	check_string(s.w[1], "");
	check_string(s.w[2], "arg");
	CHECK_EQ(s.w[3], 0);
	check_string(s.w[4], "A=1");
	CHECK_EQ(s.w[5], 0);
	aux = s.w + 6;
	CHECK_EQ(aux_of(aux, 9), pw_prog(new_program));
	CHECK_EQ(aux_of(aux, 3), PW_BASE + 64);
	CHECK_EQ(aux_of(aux, 5), 1);
	CHECK_EQ(aux_of(aux, 6), PAGE_SIZE);
	check_string(aux_of(aux, 31), "/new");
	check_string(aux_of(aux, 15), "x86_64");
	CHECK_EQ(aux_of(aux, 25) & 15, 0);
	CHECK_EQ(strcmp(current->mt->comm, "new"), 0);
	CHECK_EQ(pw_sys(12, 0), PW_BASE + PAGE_SIZE);
	pw_exit(11);
}

/* Strings S, ended by NULL, at AT as an argument list behind them. */
static uva_t put_strings(uva_t at, const char *const *s, uva_t strings)
{
	u64 words[16] = {0};

	for (u32 i = 0; s[i]; i++) {
		words[i] = strings;
		CHECK_EQ(user_write(strings, s[i], strlen(s[i]) + 1), 0);
		strings += strlen(s[i]) + 1;
	}
	CHECK_EQ(user_write(at, words, sizeof(words)), 0);
	return at;
}

/* The three arguments of execve(2), in memory from the result on. */
static uva_t put_exec(const char *path, const char *const *argv,
		      const char *const *envp)
{
	uva_t at = pw_map(2 * PAGE_SIZE);

	CHECK_EQ(user_write(at, path, strlen(path) + 1), 0);
	put_strings(at + 256, argv, at + 512);
	put_strings(at + PAGE_SIZE, envp, at + PAGE_SIZE + 512);
	return at;
}

static s64 pw_exec(const char *path, const char *const *argv,
		   const char *const *envp)
{
	uva_t at = put_exec(path, argv, envp);

	return pw_sys(59, at, at + 256, at + PAGE_SIZE);
}

static const char *const new_argv[] = {"new", "", "arg", NULL};
static const char *const new_envp[] = {"A=1", NULL};

static void execs_child(struct pt_regs *regs)
{
	(void)regs;
	CHECK_EQ(pw_exec("/none", new_argv, new_envp), -ENOENT);
	CHECK_EQ(pw_exec("/text", new_argv, new_envp), -ENOEXEC);
	pw_exec("/new", new_argv, new_envp);
	CHECK(!"execve returned");
}

static u64 handler_of(int sig)
{
	return current->proc->sighand->action[sig - 1].handler;
}

/* Handlers were the old program's; what it ignored stays ignored, and what it
 * blocked is blocked. */
static void signals_program(struct pt_regs *regs)
{
	(void)regs;
	CHECK_EQ(handler_of(SIGUSR1), SIG_DFL);
	CHECK_EQ(handler_of(SIGUSR2), SIG_IGN);
	CHECK_EQ(current->blocked, SIGSET(SIGUSR1));
	pw_exit(13);
}

static void signals_child(struct pt_regs *regs)
{
	(void)regs;
	pw_action(SIGUSR1, pw_prog(signals_program), 0, SIGSET(SIGHUP));
	pw_action(SIGUSR2, SIG_IGN, 0, 0);
	set_blocked(SIGSET(SIGUSR1));
	pw_exec("/signals", new_argv, new_envp);
	CHECK(!"execve returned");
}

static void script_program(struct pt_regs *regs)
{
	struct stack_words s;

	(void)regs;
	read_stack(&s);
	CHECK_EQ(s.argc, 5);
	check_string(s.w[0], "/int");
	check_string(s.w[1], "-x y");
	check_string(s.w[2], "/script");
	check_string(s.w[3], "");
	check_string(s.w[4], "arg");
	CHECK_EQ(strcmp(current->mt->comm, "script"), 0);
	pw_exit(12);
}

static void script_child(struct pt_regs *regs)
{
	(void)regs;
	CHECK_EQ(pw_exec("/loop", new_argv, new_envp), -ELOOP);
	CHECK_EQ(pw_exec("/bad", new_argv, new_envp), -ENOENT);
	pw_exec("/script", new_argv, new_envp);
	CHECK(!"execve returned");
}

/* A thread that is not the first takes its place. */
static void exec_thread(struct pt_regs *regs)
{
	(void)regs;
	pw_exec("/new", new_argv, new_envp);
	CHECK(!"execve returned");
}

static void thread_exec_child(struct pt_regs *regs)
{
	(void)regs;
	for (int i = 0; i < 3; i++)
		CHECK(pw_clone(spinner, CLONE_THREAD_FLAGS, 0x8000,
			       pw_map(PAGE_SIZE), 0, 0) > 0);
	CHECK(pw_clone(exec_thread, CLONE_THREAD_FLAGS, 0x8000,
		       pw_map(PAGE_SIZE), 0, 0) > 0);
	idler(regs);
}

static void enter_files(void)
{
	struct pw_elf elf = pw_elf(new_program), sc = pw_elf(script_program);
	struct pw_elf sig = pw_elf(signals_program);

	pw_file("/new", &elf, sizeof(elf));
	pw_file("/signals", &sig, sizeof(sig));
	pw_file("/int", &sc, sizeof(sc));
	pw_file("/text", "hello\n", 6);
	pw_file("/script", "#! /int \t-x y \nrest", 19);
	pw_file("/loop", "#!/loop\n", 8);
	pw_file("/bad", "#!/nothing\n", 11);
}

static void wait_for_code(s64 pid, int code)
{
	int status;

	CHECK(pid > 1);
	CHECK_EQ(pw_wait(pid, &status, 0), pid);
	CHECK_EQ(status, code << 8);
}

static void execs(struct pt_regs *regs)
{
	(void)regs;
	enter_files();
	wait_for_code(pw_fork(execs_child), 11);
	wait_for_code(pw_fork(script_child), 12);
	wait_for_code(pw_fork(signals_child), 13);
	for (int i = 0; i < 5; i++)
		wait_for_code(pw_fork(thread_exec_child), 11);
	wait_for_code(pw_sys_at(pw_prog(exec_thread), 58, (const u64[6]){0}),
		      11);
	pw_exit(0);
}

static void test_execs(void **state)
{
	(void)state;
	PW_RUN(execs, .cpus = 3, .seed = test_env("SEED", 1), .explore = true);
}

/* Arguments that are too many or too long: nothing has happened. */
static void too_long(struct pt_regs *regs)
{
	uva_t at = pw_map(300 * PAGE_SIZE), words = pw_map(PAGE_SIZE);
	u64 w[3] = {at, at, 0};
	char page[PAGE_SIZE];

	(void)regs;
	enter_files();
	memset(page, 'x', sizeof(page));
	for (u64 i = 0; i < 31; i++)
		CHECK_EQ(user_write(at + i * PAGE_SIZE, page, PAGE_SIZE), 0);
	CHECK_EQ(user_write(words, "/new", 5), 0);
	CHECK_EQ(user_write(words + 64, w, sizeof(w)), 0);
	/* Two of 31 pages are a quarter of this stack's limit. */
	w[0] = 256 << 10, w[1] = RLIM_INFINITY;
	CHECK_EQ(user_write(words + 128, w, 16), 0);
	CHECK_EQ(pw_sys(160, 3, words + 128), 0);
	CHECK_EQ(pw_sys(59, words, words + 64, 0), -E2BIG);
	/* One string beyond MAX_ARG_STRLEN. */
	CHECK_EQ(user_write(at + 31 * PAGE_SIZE, page, PAGE_SIZE), 0);
	w[0] = at, w[1] = 0;
	CHECK_EQ(user_write(words + 64, w, 16), 0);
	CHECK_EQ(pw_sys(59, words, words + 64, 0), -E2BIG);
	CHECK_EQ(pw_sys(59, words, 0x10, 0), -EFAULT);
	CHECK_EQ(pw_sys(59, 0x10, 0, 0), -EFAULT);
	pw_exit(0);
}

static void test_too_long(void **state)
{
	(void)state;
	PW_RUN(too_long, .cpus = 1);
}

/* ---- every allocation fails ------------------------------------------------
 */

/* Each allocation of a fork fails in turn, then each of an exec: the caller
 * goes on as if nothing had been. */
static u32 fail_forks(void)
{
	struct fail_result r;
	int status;
	u32 failed = 0;

	for (u64 n = 1;; n++) {
		s64 pid;

		fail_arm_nth(FAIL_ALL, n, false);
		fail_only_task(port_current());
		pid = pw_fork(child_7);
		r = fail_disarm();
		CHECK(pid > 0 || pid == -ENOMEM || pid == -EAGAIN);
		failed += pid < 0;
		if (pid > 0) {
			CHECK_EQ(pw_wait(pid, &status, 0), pid);
			CHECK_EQ(status, 7 << 8);
		}
		if (!r.fired)
			return failed;
	}
}

static u32 exec_failed;

static void fail_exec_child(struct pt_regs *regs)
{
	uva_t at = put_exec("/new", new_argv, new_envp);
	s64 err;

	(void)regs;
	fail_arm_nth(FAIL_ALL, exec_failed + 1, false);
	fail_only_task(port_current());
	err = pw_sys(59, at, at + 256, at + PAGE_SIZE);
	(void)fail_disarm();
	CHECK(err == -ENOMEM || err == -EFAULT || err == -EAGAIN);
	pw_exit(77);
}

static void failing(struct pt_regs *regs)
{
	int status = 0;

	(void)regs;
	enter_files();
	CHECK(fail_forks() > 8);
	for (exec_failed = 0; exec_failed < 2000; exec_failed++) {
		struct fail_result r;
		s64 pid = pw_fork(fail_exec_child);

		CHECK_EQ(pw_wait(pid, &status, 0), pid);
		r = fail_disarm();
		CHECK(status == 77 << 8 || status == 11 << 8);
		if (!r.fired && status == 11 << 8)
			break;
	}
	CHECK(exec_failed > 20);
	pw_exit(0);
}

static void test_failing(void **state)
{
	(void)state;
	PW_RUN(failing, .cpus = 1);
}

/* ---- storms ----------------------------------------------------------------
 */

static u32 storm_left;

static void storm_thread(struct pt_regs *regs)
{
	(void)regs;
	pw_sys(24);
	pw_sys(60, 0);
}

static void storm_child(struct pt_regs *regs)
{
	u64 r = current->tid * 2654435761u >> 7;

	(void)regs;
	for (u32 i = 0; i < (r & 3); i++)
		(void)pw_clone(storm_thread, CLONE_THREAD_FLAGS, 0x8000,
			       pw_map(PAGE_SIZE), 0, 0);
	if ((r & 4) &&
	    __atomic_fetch_sub(&storm_left, 1, __ATOMIC_RELAXED) > 40)
		(void)pw_fork(storm_child);
	if (r & 8)
		pw_sys(62, (u64)current->proc->tgid, SIGKILL);
	if (r & 16)
		(void)pw_exec("/new", new_argv, new_envp);
	pw_exit((int)(r & 15));
}

static void storm(struct pt_regs *regs)
{
	(void)regs;
	enter_files();
	storm_left = 400;
	for (u32 i = 0; i < 60; i++) {
		(void)pw_fork(storm_child);
		while (pw_wait(-1, NULL, 1) > 0)
			;
	}
	while (pw_wait(-1, NULL, 0) > 0)
		;
	pw_exit(0);
}

static void test_storm(void **state)
{
	(void)state;
	PW_RUN(storm, .cpus = 4, .mem = 64UL << 20, .seed = test_env("SEED", 1),
	       .explore = true);
}

/* ---- limits of others ------------------------------------------------------
 */

#define RLIMIT_AS_ 9u

static s32 limited;	/* the process that is asked about */
static u64 limited_set; /* (A) it is who it should be */

static void become(u64 uid, u64 gid, u64 saved)
{
	CHECK_EQ(pw_sys(119, gid, gid, gid), 0);
	CHECK_EQ(pw_sys(117, uid, uid, saved), 0);
}

static void limited_child(struct pt_regs *regs)
{
	become(1000, 1000, 1000);
	(void)mm_fetch_add(&limited_set, 1UL);
	spinner(regs);
}

/* It could be root again. */
static void limited_suid_child(struct pt_regs *regs)
{
	become(1000, 1000, 0);
	(void)mm_fetch_add(&limited_set, 1UL);
	spinner(regs);
}

/* Its limit RESOURCE is asked for, and set if CUR is not 0. */
static s64 limit_of(u32 resource, u64 cur, u64 max, u64 *was)
{
	uva_t at = pw_map(PAGE_SIZE);
	u64 new[2] = {cur, max}, old[2] = {0};
	s64 ret;

	CHECK_EQ(user_write(at, new, sizeof(new)), 0);
	ret = pw_sys(302, limited, resource, cur ? at : 0, at + 64);
	CHECK_EQ(user_read(old, at + 64, sizeof(old)), 0);
	if (was)
		*was = old[0];
	return ret;
}

static void same_user(struct pt_regs *regs)
{
	u64 was = 0;

	(void)regs;
	become(1000, 1000, 1000);
	CHECK_EQ(limit_of(RLIMIT_AS_, 0, 0, &was), 0);
	CHECK_EQ(was, RLIM_INFINITY);
	/* Of memory, and of another kind. */
	CHECK_EQ(limit_of(RLIMIT_AS_, 1UL << 28, 1UL << 30, NULL), 0);
	CHECK_EQ(limit_of(RLIMIT_AS_, 0, 0, &was), 0);
	CHECK_EQ(was, 1UL << 28);
	CHECK_EQ(limit_of(7, 100, 200, NULL), 0);
	CHECK_EQ(limit_of(7, 0, 0, &was), 0);
	CHECK_EQ(was, 100);
	/* Up to what was allowed once, and no further. */
	CHECK_EQ(limit_of(RLIMIT_AS_, 1UL << 30, 1UL << 30, NULL), 0);
	CHECK_EQ(limit_of(RLIMIT_AS_, 1UL << 20, 1UL << 31, NULL), -EPERM);
	CHECK_EQ(limit_of(RLIMIT_AS_, 1UL << 31, 1UL << 30, NULL), -EINVAL);
	CHECK_EQ(limit_of(7, 100, 1UL << 31, NULL), -EPERM);
	CHECK_EQ(limit_of(16, 0, 0, NULL), -EINVAL);
	pw_exit(0);
}

static void refused(u64 uid, u64 gid)
{
	become(uid, gid, uid);
	CHECK_EQ(limit_of(RLIMIT_AS_, 0, 0, NULL), -EPERM);
	CHECK_EQ(limit_of(RLIMIT_AS_, 1UL << 20, 1UL << 20, NULL), -EPERM);
	pw_exit(0);
}

static void other_user(struct pt_regs *regs)
{
	(void)regs;
	refused(1001, 1000);
}

static void other_group(struct pt_regs *regs)
{
	(void)regs;
	refused(1000, 1001);
}

/* The same name; but the other has had more rights. */
static void weaker_user(struct pt_regs *regs)
{
	(void)regs;
	refused(1000, 1000);
}

static void ask_as(pw_fn who)
{
	s32 status;
	s64 pid = pw_fork(who);

	CHECK_EQ(pw_wait(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void limited_start(pw_fn who)
{
	limited_set = 0;
	limited = (s32)pw_fork(who);
	while (!READ_ONCE(limited_set))
		machine_yield();
}

static void limited_end(void)
{
	CHECK_EQ(pw_sys(62, limited, 9), 0);
	CHECK_EQ(pw_wait(limited, NULL, 0), limited);
}

static void limits(struct pt_regs *regs)
{
	u64 was = 0;

	(void)regs;
	limited_start(limited_child);
	ask_as(same_user);
	ask_as(other_user);
	ask_as(other_group);
	/* Root may do all but go beyond what can be. */
	CHECK_EQ(limit_of(RLIMIT_AS_, 1UL << 29, RLIM_INFINITY, NULL), 0);
	CHECK_EQ(limit_of(RLIMIT_AS_, 0, 0, &was), 0);
	CHECK_EQ(was, 1UL << 29);
	CHECK_EQ(limit_of(7, 100, 1UL << 31, NULL), -EPERM);
	limited_end();
	CHECK_EQ(limit_of(RLIMIT_AS_, 0, 0, NULL), -ESRCH);
	limited_start(limited_suid_child);
	ask_as(weaker_user);
	CHECK_EQ(limit_of(RLIMIT_AS_, 0, 0, NULL), 0);
	limited_end();
	pw_exit(0);
}

static void test_limits(void **state)
{
	(void)state;
	PW_RUN(limits, .cpus = 2);
}

/* ---- signals to who ends ---------------------------------------------------
 */

static s32 ending;	/* (A) the process that ends; 0: no more */
static u64 ended_shots; /* (A) signals that were sent */

static void ends_soon(struct pt_regs *regs)
{
	(void)regs;
	pw_step();
	pw_exit(7);
}

/* To the process, and to its thread, as fast as can be. */
static void shooter(struct pt_regs *regs)
{
	s32 at;

	(void)regs;
	while ((at = READ_ONCE(ending)) != 0) {
		s64 ret = pw_sys(62, (u64)at, 10);

		CHECK(ret == 0 || ret == -ESRCH);
		ret = pw_sys(200, (u64)at, 12);
		CHECK(ret == 0 || ret == -ESRCH);
		(void)mm_fetch_add(&ended_shots, 1UL);
		pw_step();
	}
	pw_exit(0);
}

/* What comes while it ends is lost with it, and with nothing else. */
static void shots(struct pt_regs *regs)
{
	int status;
	s64 shot;

	(void)regs;
	ended_shots = 0;
	WRITE_ONCE(ending, (s32)pw_fork(ends_soon));
	shot = pw_fork(shooter);
	for (u32 i = 0; i < 120; i++) {
		CHECK_EQ(pw_wait(ending, &status, 0), ending);
		CHECK(status == 7 << 8 || status == 10 || status == 12);
		WRITE_ONCE(ending, (s32)pw_fork(ends_soon));
	}
	CHECK_EQ(pw_wait(ending, &status, 0), ending);
	WRITE_ONCE(ending, 0);
	CHECK_EQ(pw_wait(shot, &status, 0), shot);
	CHECK(ended_shots > 0);
	pw_exit(0);
}

static void test_shots(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	for (u64 k = 0; k < 4; k++)
		PW_RUN(shots, .cpus = 2 + (int)(k % 2), .seed = seed + k,
		       .explore = true);
}

/* ---- how much the killer likes it
 * ----------------------------------------------------------------------- */

static void adjusted(struct pt_regs *regs)
{
	static struct trace_record ring[8];
	struct trace_record r;
	u64 pos = 0;

	(void)regs;
	trace_ring_attach(0, ring, ARRAY_SIZE(ring));
	trace_enable(TRACE_OOM_SCORE_ADJ_UPDATE);
	CHECK_EQ(process_set_oom_score_adj(current->proc, 1001), -EINVAL);
	CHECK_EQ(process_set_oom_score_adj(current->proc, -1001), -EINVAL);
	CHECK_EQ(trace_written(0), 0);
	CHECK_EQ(process_set_oom_score_adj(current->proc, -17), 0);
	CHECK_EQ(current->mt->oom_score_adj, -17);
	trace_disable(TRACE_OOM_SCORE_ADJ_UPDATE);
	/* Whose it is, its name, and what it is now. */
	CHECK_EQ(trace_written(0), 1);
	CHECK(trace_read(0, &pos, &r));
	CHECK_EQ(r.event, TRACE_OOM_SCORE_ADJ_UPDATE);
	CHECK_EQ(trace_field(&r, "pid"), current->proc->tgid);
	CHECK_EQ(trace_field(&r, "comm"), trace_word("init", 0));
	CHECK_EQ((s64)trace_field(&r, "oom_score_adj"), -17);
	trace_ring_attach(0, NULL, 0);
	pw_exit(0);
}

static void test_adjusted(void **state)
{
	(void)state;
	PW_RUN(adjusted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forks),
		cmocka_unit_test(test_switches),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_group_exit),
		cmocka_unit_test(test_vfork),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_freezes),
		cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_execs),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_failing),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_shots),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_adjusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
