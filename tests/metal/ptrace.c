// SPDX-License-Identifier: MIT
/*
 * ptrace.c - what ptrace(2) shows of a few tracees, line by line; the same on
 * every kernel. ptrace.sh runs it here and in the guest. No numbers of
 * processes and no addresses are printed, but whether they are the right ones.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static long pt(int request, pid_t pid, void *addr, void *data)
{
	return syscall(SYS_ptrace, (long)request, (long)pid, addr, data);
}
#define REQ(request, pid, addr, data) \
	pt(request, pid, (void *)(long)(addr), (void *)(long)(data))

/* How a request ended. */
static void said(const char *what, long ret)
{
	printf("  %s: %s\n", what, ret < 0 ? strerrorname_np(errno) : "0");
}

static void event(pid_t want, pid_t pid, int status)
{
	if (pid < 0) {
		printf("  wait: %s\n", strerrorname_np(errno));
		return;
	}
	printf("  wait: %s", pid == want ? "it" : pid ? "another" : "nobody");
	if (!pid)
		printf("\n");
	else if (WIFEXITED(status))
		printf(" exited %d\n", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		printf(" killed %d core %d\n", WTERMSIG(status),
		       !!WCOREDUMP(status));
	else if (WIFCONTINUED(status))
		printf(" continued\n");
	else
		printf(" stopped %d event %d\n", WSTOPSIG(status) & 0xff,
		       status >> 16);
}

/* Wait for PID and tell of it. */
static int next(pid_t pid)
{
	int status = 0;
	pid_t got = waitpid(pid, &status, __WALL);

	event(pid, got, status);
	return status;
}

static void info(pid_t pid)
{
	siginfo_t si;

	memset(&si, 0, sizeof(si));
	if (REQ(PTRACE_GETSIGINFO, pid, 0, &si)) {
		printf("  siginfo: %s\n", strerrorname_np(errno));
		return;
	}
	printf("  siginfo: signo %d code %x errno %d pid %s\n", si.si_signo,
	       si.si_code, si.si_errno,
	       si.si_pid == pid	       ? "its own"
	       : si.si_pid == getpid() ? "mine"
	       : si.si_pid	       ? "other"
				       : "none");
}

static unsigned long message(pid_t pid)
{
	unsigned long word = 0;

	said("eventmsg", REQ(PTRACE_GETEVENTMSG, pid, 0, &word));
	return word;
}

static struct user_regs_struct regs(pid_t pid)
{
	struct user_regs_struct r;

	memset(&r, 0, sizeof(r));
	if (REQ(PTRACE_GETREGS, pid, 0, &r))
		said("getregs", -1);
	return r;
}

static void go(pid_t pid, int how, int sig)
{
	long ret = REQ(how, pid, 0, sig);

	if (ret)
		said("go", ret);
}

/* A child that is traced from its beginning and stops. */
static pid_t traced(void (*fn)(void))
{
	pid_t pid = fork();

	if (!pid) {
		if (REQ(PTRACE_TRACEME, 0, 0, 0))
			_exit(99);
		raise(SIGSTOP);
		fn();
		_exit(7);
	}
	next(pid);
	return pid;
}

/* ---- signals --------------------------------------------------------------
 */

static volatile sig_atomic_t got;
static void note(int sig)
{
	got = got * 10 + sig % 10;
}

static void signals_child(void)
{
	signal(SIGUSR1, note);
	signal(SIGUSR2, SIG_IGN);
	raise(SIGUSR1);
	raise(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGTERM);
	_exit(got);
}

static void signals(void)
{
	siginfo_t si;
	pid_t pid = traced(signals_child);

	info(pid);
	said("options", REQ(PTRACE_SETOPTIONS, pid, 0, 0x40000000));
	said("bad signal", REQ(PTRACE_CONT, pid, 0, 65));
	go(pid, PTRACE_CONT, 0);
	next(pid); /* USR1 */
	info(pid);
	said("getsiginfo", REQ(PTRACE_GETSIGINFO, pid, 0, &si));
	go(pid, PTRACE_CONT, SIGUSR1);
	next(pid); /* USR2, ignored */
	go(pid, PTRACE_CONT, SIGUSR2);
	next(pid); /* USR1: not passed on */
	go(pid, PTRACE_CONT, 0);
	next(pid); /* TERM: another in its place */
	go(pid, PTRACE_CONT, SIGUSR1);
	next(pid);
	pid = traced(signals_child);
	kill(pid, SIGKILL);
	next(pid);
	said("gone", REQ(PTRACE_CONT, pid, 0, 0));
}

/* ---- memory and registers -------------------------------------------------
 */

static volatile long word = 0x1122334455667788;
static const long constant[2048] = {0x42};
static int pipefd[2];

static void memory_child(void)
{
	__asm__ volatile("int3");
	__asm__ volatile("movq $5, %%rax\n\tint3" ::: "rax");
	_exit((int)word + (int)constant[0]);
}

static void memory(void)
{
	pid_t pid = traced(memory_child);
	struct user_regs_struct r;
	struct user_fpregs_struct fp;
	struct iovec iov = {&r, sizeof(r)};
	unsigned long w = 0;
	char line[64];
	int fd;

	said("peek", REQ(PTRACE_PEEKDATA, pid, &word, &w));
	printf("  word %lx\n", w);
	said("peek nothing", REQ(PTRACE_PEEKDATA, pid, 8, &w));
	said("poke", REQ(PTRACE_POKEDATA, pid, &word, 30));
	said("poke nothing", REQ(PTRACE_POKEDATA, pid, 8, 30));
	said("poke what is read-only",
	     REQ(PTRACE_POKETEXT, pid, &constant[0], 12));
	printf("  ours %lx\n", constant[0]);
	snprintf(line, sizeof(line), "/proc/%d/mem", pid);
	fd = open(line, O_RDWR);
	w = 13;
	printf("  pwrite %zd\n",
	       pwrite(fd, &w, 8, (off_t)(uintptr_t)&constant[1024]));
	w = 0;
	printf("  pread %zd\n",
	       pread(fd, &w, 8, (off_t)(uintptr_t)&constant[1024]));
	printf("  word %lx\n", w);
	close(fd);
	go(pid, PTRACE_CONT, 0);
	next(pid);
	info(pid);
	r = regs(pid);
	printf("  behind it %d\n", (int)((r.rip & 0xff) != 0));
	printf("  cs %llx ss %llx ds %llx orig_rax %llx\n", r.cs, r.ss, r.ds,
	       r.orig_rax);
	go(pid, PTRACE_CONT, 0);
	next(pid);
	r = regs(pid);
	printf("  rax %llx\n", r.rax);
	said("peekuser",
	     REQ(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rax), &w));
	printf("  rax %lx\n", w);
	said("peekuser odd", REQ(PTRACE_PEEKUSER, pid, 3, &w));
	said("peekuser far", REQ(PTRACE_PEEKUSER, pid, 2048, &w));
	said("pokeuser cs",
	     REQ(PTRACE_POKEUSER, pid, offsetof(struct user, regs.cs), 0x10));
	said("pokeuser base", REQ(PTRACE_POKEUSER, pid,
				  offsetof(struct user, regs.fs_base), -1));
	said("regset", REQ(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov));
	printf("  %zu bytes rax %llx\n", iov.iov_len, r.rax);
	iov.iov_len = 13;
	said("regset odd", REQ(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov));
	iov.iov_len = 16;
	said("regset short", REQ(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov));
	printf("  %zu bytes\n", iov.iov_len);
	said("regset none", REQ(PTRACE_GETREGSET, pid, 0x7777, &iov));
	memset(&fp, 0, sizeof(fp));
	said("getfpregs", REQ(PTRACE_GETFPREGS, pid, 0, &fp));
	printf("  cwd %x mxcsr %x\n", fp.cwd, fp.mxcsr);
	fp.xmm_space[60] = 77;
	said("setfpregs", REQ(PTRACE_SETFPREGS, pid, 0, &fp));
	memset(&fp, 0, sizeof(fp));
	said("getfpregs", REQ(PTRACE_GETFPREGS, pid, 0, &fp));
	printf("  xmm15 %x\n", fp.xmm_space[60]);
	fp.mxcsr = ~0u;
	said("setfpregs bad", REQ(PTRACE_SETFPREGS, pid, 0, &fp));
	said("eflags", REQ(PTRACE_POKEUSER, pid,
			   offsetof(struct user, regs.eflags), 0xffffffff));
	printf("  eflags %llx\n", regs(pid).eflags & ~0x40100ull);
	said("eflags", REQ(PTRACE_POKEUSER, pid,
			   offsetof(struct user, regs.eflags), 0x202));
	go(pid, PTRACE_CONT, 0);
	next(pid);
}

/* ---- calls ----------------------------------------------------------------
 */

static void calls_child(void)
{
	long ret = syscall(SYS_getpid);

	ret = syscall(SYS_getppid) == 4242 && ret > 0;
	ret = ret * 10 + (syscall(SYS_alarm, 5) == -1 && errno == EPERM);
	ret = ret * 10 +
	      (syscall(SYS_write, -1, "", 1) == -1 && errno == EBADF);
	_exit((int)ret);
}

static void call_info(pid_t pid)
{
	struct __ptrace_syscall_info i;
	long n;

	memset(&i, 0xee, sizeof(i));
	n = REQ(PTRACE_GET_SYSCALL_INFO, pid, sizeof(i), &i);
	printf("  info %ld op %d arch %x", n, i.op, i.arch);
	if (i.op == 1)
		printf(" nr %lld arg %lld", (long long)i.entry.nr,
		       i.entry.nr == SYS_getpid	 ? 0ll
		       : i.entry.nr == SYS_alarm ? (long long)i.entry.args[0]
						 : -1ll);
	else if (i.op == 2)
		printf(" error %d", i.exit.is_error);
	printf("\n");
}

static void calls(void)
{
	pid_t pid = traced(calls_child);
	struct user_regs_struct r;
	int status;

	said("options", REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
	call_info(pid);
	for (int i = 0; i < 8; i++) {
		go(pid, PTRACE_SYSCALL, 0);
		status = next(pid);
		if (!WIFSTOPPED(status))
			return;
		info(pid);
		call_info(pid);
		r = regs(pid);
		if (i % 2 == 0)
			printf("  rax at entry %lld\n", (long long)r.rax);
		if (r.orig_rax == SYS_getppid && i % 2) {
			r.rax = 4242;
			REQ(PTRACE_SETREGS, pid, 0, &r);
		} else if (r.orig_rax == SYS_alarm && i % 2 == 0) {
			r.orig_rax = -1; /* not made */
			r.rax = -EPERM;
			REQ(PTRACE_SETREGS, pid, 0, &r);
		}
	}
	go(pid, PTRACE_SYSCALL, 0);
	next(pid); /* exit_group begins */
	call_info(pid);
	go(pid, PTRACE_SYSCALL, 0);
	next(pid);
}

/* An interrupted call is made again, or not. */
static void restart_child(void)
{
	char c = 0;

	signal(SIGUSR1, note);
	_exit(read(pipefd[0], &c, 1) == 1 ? c : 1);
}

static void restarts(void)
{
	pid_t pid;
	char line[256];
	FILE *f;

	if (pipe(pipefd))
		exit(1);
	pid = traced(restart_child);
	said("options", REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
	do
		go(pid, PTRACE_SYSCALL, 0);
	while (waitpid(pid, NULL, 0) == pid && regs(pid).orig_rax != SYS_read);
	go(pid, PTRACE_SYSCALL, 0);
	kill(pid, SIGSTOP);
	next(pid);
	printf("  rax %lld\n", (long long)regs(pid).rax);
	go(pid, PTRACE_CONT, 0);
	next(pid);
	snprintf(line, sizeof(line), "/proc/%d/status", pid);
	f = fopen(line, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "State:", 6))
			printf("  %s", line);
		if (!strncmp(line, "TracerPid:", 10))
			printf("  tracer is %s\n",
			       atoi(line + 10) == getpid() ? "me" : "another");
	}
	if (f)
		fclose(f);
	go(pid, PTRACE_CONT, 0);
	if (write(pipefd[1], "a", 1) != 1)
		exit(1);
	next(pid);
}

/* ---- steps ----------------------------------------------------------------
 */

static void step_child(void)
{
	signal(SIGUSR1, note);
	__asm__ volatile("int3\n\t"
			 "nop\n\t"
			 "movl $39, %%eax\n\t"
			 "syscall\n\t"
			 "nop\n\t"
			 "nop" ::
				 : "rax", "rcx", "r11", "memory");
	_exit(3);
}

static void steps(void)
{
	pid_t pid = traced(step_child);
	unsigned long from, to;
	struct user_regs_struct r;

	go(pid, PTRACE_CONT, 0);
	next(pid);
	from = regs(pid).rip;
	for (int i = 0; i < 5; i++) {
		go(pid, PTRACE_SINGLESTEP, 0);
		next(pid);
		info(pid);
		r = regs(pid);
		to = r.rip;
		printf("  %ld further, TF %d\n", (long)(to - from),
		       !!(r.eflags & 0x100));
		from = to;
	}
	/* Into a handler. */
	go(pid, PTRACE_SINGLESTEP, SIGUSR1);
	next(pid);
	info(pid);
	printf("  at the handler %d\n", regs(pid).rip == (unsigned long)note);
	go(pid, PTRACE_CONT, 0);
	next(pid);
}

/* ---- debug registers ------------------------------------------------------
 */

static volatile int watched;
static void touch(void)
{
	watched = 5;
}

static void watch_child(void)
{
	watched = 1;
	touch();
	_exit(watched);
}

static long debugreg(pid_t pid, int i, unsigned long value)
{
	return REQ(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[i]),
		   value);
}

static void watching(void)
{
	pid_t pid = traced(watch_child);
	unsigned long w = 0;

	said("dr0", debugreg(pid, 0, (unsigned long)&watched));
	said("dr4", debugreg(pid, 4, 1));
	said("dr1 in the kernel", debugreg(pid, 1, 0xffff888000000000));
	said("dr7", debugreg(pid, 7, 1 | 0xd << 16));
	go(pid, PTRACE_CONT, 0);
	next(pid);
	info(pid);
	said("dr6", REQ(PTRACE_PEEKUSER, pid,
			offsetof(struct user, u_debugreg[6]), &w));
	printf("  which %lx\n", w & 0xf);
	go(pid, PTRACE_CONT, 0);
	next(pid);
	said("dr7", debugreg(pid, 7, 0));
	go(pid, PTRACE_CONT, 0);
	next(pid);
}

/* ---- events ---------------------------------------------------------------
 */

static void fork_child(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(4);
	waitpid(pid, &status, 0);
	pid = vfork();
	if (!pid)
		_exit(5);
	waitpid(pid, &status, 0);
	execl("/proc/self/exe", "ptrace", "end", (char *)NULL);
	_exit(98);
}

#define FORKS                                                             \
	(PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
	 PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT)

static void child_of(pid_t pid)
{
	pid_t child = (pid_t)message(pid);

	next(child);
	info(child);
	go(child, PTRACE_CONT, 0);
	next(child); /* its exit */
	printf("  code %lx\n", message(child));
	go(child, PTRACE_CONT, 0);
	next(child);
}

static void forks(void)
{
	pid_t pid = traced(fork_child);
	int status;

	said("options", REQ(PTRACE_SETOPTIONS, pid, 0, FORKS));
	for (;;) {
		go(pid, PTRACE_CONT, 0);
		status = next(pid);
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == SIGCHLD) {
			info(pid);
			continue;
		}
		switch (status >> 16) {
		case PTRACE_EVENT_FORK:
			info(pid);
			child_of(pid);
			break;
		case PTRACE_EVENT_VFORK: {
			pid_t child = (pid_t)message(pid);

			next(child);
			go(child, PTRACE_CONT, 0);
			/* The parent sleeps until it is gone. */
			next(child);
			go(pid, PTRACE_CONT, 0);
			go(child, PTRACE_CONT, 0);
			next(child);
			next(pid);
			printf("  done %d\n", (pid_t)message(pid) == child);
			break;
		}
		case PTRACE_EVENT_EXEC:
			printf("  was %d\n", (pid_t)message(pid) == pid);
			printf("  call %lld result %lld\n",
			       (long long)regs(pid).orig_rax,
			       (long long)regs(pid).rax);
			break;
		case PTRACE_EVENT_EXIT:
			printf("  code %lx\n", message(pid));
			break;
		}
	}
}

static void exec_child(void)
{
	execl("/proc/self/exe", "ptrace", "end", (char *)NULL);
	_exit(98);
}

static void execs(void)
{
	pid_t pid = traced(exec_child);

	go(pid, PTRACE_CONT, 0);
	next(pid);
	info(pid);
	go(pid, PTRACE_CONT, 0);
	next(pid);
}

/* ---- threads --------------------------------------------------------------
 */

static void *thread_main(void *arg)
{
	if (arg)
		execl("/proc/self/exe", "ptrace", "end", (char *)NULL);
	return NULL;
}

static void thread_child(void)
{
	pthread_t t;

	pthread_create(&t, NULL, thread_main, NULL);
	pthread_join(t, NULL);
	pthread_create(&t, NULL, thread_main, "");
	pthread_join(t, NULL);
	_exit(97);
}

static void threads(void)
{
	pid_t pid = traced(thread_child), tid;

	said("options", REQ(PTRACE_SETOPTIONS, pid, 0, FORKS));
	go(pid, PTRACE_CONT, 0);
	next(pid);
	tid = (pid_t)message(pid);
	next(tid);
	go(tid, PTRACE_CONT, 0);
	next(tid); /* its exit */
	printf("  code %lx\n", message(tid));
	go(pid, PTRACE_CONT, 0);
	go(tid, PTRACE_CONT, 0);
	next(tid);
	next(pid); /* the second */
	tid = (pid_t)message(pid);
	next(tid);
	go(pid, PTRACE_CONT, 0);
	go(tid, PTRACE_CONT, 0);
	next(pid); /* the leader ends */
	printf("  code %lx\n", message(pid));
	go(pid, PTRACE_CONT, 0);
	next(pid); /* exec, under its number */
	printf("  was the other %d\n", (pid_t)message(pid) == tid);
	said("the other", REQ(PTRACE_CONT, tid, 0, 0));
	go(pid, PTRACE_CONT, 0);
	next(pid);
	printf("  code %lx\n", message(pid));
	go(pid, PTRACE_CONT, 0);
	next(pid);
}

/* ---- attach, seize, stop --------------------------------------------------
 */

/* Wait until PID is in STATE. */
static void state_is(pid_t pid, char state)
{
	char line[64];
	int c = 0;

	snprintf(line, sizeof(line), "/proc/%d/stat", pid);
	while (c != state) {
		FILE *f = fopen(line, "r");

		if (!f || fscanf(f, "%*d %*s %c", (char *)&c) != 1)
			exit(1);
		fclose(f);
		usleep(1000);
	}
}

static pid_t loop(void)
{
	pid_t pid = fork();

	if (!pid) {
		signal(SIGUSR1, note);
		for (;;)
			pause();
	}
	state_is(pid, 'S');
	return pid;
}

static void attach(void)
{
	pid_t pid = loop();
	int status;

	said("nobody's", REQ(PTRACE_CONT, pid, 0, 0));
	said("myself", REQ(PTRACE_ATTACH, getpid(), 0, 0));
	said("attach", REQ(PTRACE_ATTACH, pid, 0, 0));
	said("twice", REQ(PTRACE_ATTACH, pid, 0, 0));
	next(pid);
	info(pid);
	said("interrupt", REQ(PTRACE_INTERRUPT, pid, 0, 0));
	said("listen", REQ(PTRACE_LISTEN, pid, 0, 0));
	printf("  again: %d\n", waitpid(pid, &status, WNOHANG | __WALL));
	/* A group-stop: no siginfo. */
	go(pid, PTRACE_CONT, SIGSTOP);
	next(pid);
	info(pid);
	said("detach", REQ(PTRACE_DETACH, pid, 0, 0));
	state_is(pid, 'T');
	kill(pid, SIGCONT);
	said("attach", REQ(PTRACE_ATTACH, pid, 0, 0));
	next(pid);
	said("detach", REQ(PTRACE_DETACH, pid, 0, SIGTERM));
	next(pid);
}

static void seize(void)
{
	pid_t pid = loop();
	int status;

	said("address", REQ(PTRACE_SEIZE, pid, 8, 0));
	said("options", REQ(PTRACE_SEIZE, pid, 0, 0x40000000));
	said("seize", REQ(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
	said("regs of who runs", REQ(PTRACE_GETREGS, pid, 0, NULL));
	said("interrupt", REQ(PTRACE_INTERRUPT, pid, 0, 0));
	next(pid);
	info(pid);
	printf("  call %lld result %lld\n", (long long)regs(pid).orig_rax,
	       (long long)regs(pid).rax);
	go(pid, PTRACE_CONT, 0);
	kill(pid, SIGSTOP);
	next(pid); /* the signal */
	info(pid);
	said("listen too early", REQ(PTRACE_LISTEN, pid, 0, 0));
	go(pid, PTRACE_CONT, SIGSTOP);
	next(pid); /* the group-stop */
	info(pid);
	said("listen", REQ(PTRACE_LISTEN, pid, 0, 0));
	printf("  nothing: %d\n", waitpid(pid, &status, WNOHANG | __WALL));
	said("regs of who listens", REQ(PTRACE_GETREGS, pid, 0, NULL));
	kill(pid, SIGCONT);
	next(pid); /* the end of the stop */
	info(pid);
	go(pid, PTRACE_CONT, 0);
	next(pid); /* SIGCONT itself */
	go(pid, PTRACE_CONT, SIGCONT);
	said("options", REQ(PTRACE_INTERRUPT, pid, 0, 0));
	next(pid);
	said("options", REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT));
	go(pid, PTRACE_CONT, 0);
	kill(pid, SIGTERM);
	next(pid);
	go(pid, PTRACE_CONT, SIGTERM);
	next(pid);
	printf("  code %lx\n", message(pid));
	go(pid, PTRACE_CONT, 0);
	next(pid);
}

/* ---- masks and queues -----------------------------------------------------
 */

static void mask_child(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGUSR2, note);
	raise(SIGUSR2);
	raise(SIGSTOP);
	_exit(got);
}

static void masks(void)
{
	struct __ptrace_peeksiginfo_args a = {0, 0, 4};
	pid_t pid = traced(mask_child);
	unsigned long mask = 0;
	siginfo_t si[4];
	long n;

	go(pid, PTRACE_CONT, 0);
	next(pid);
	said("size", REQ(PTRACE_GETSIGMASK, pid, 4, &mask));
	said("mask", REQ(PTRACE_GETSIGMASK, pid, 8, &mask));
	printf("  %lx\n", mask);
	n = REQ(PTRACE_PEEKSIGINFO, pid, &a, si);
	printf("  queued %ld: %d\n", n, n > 0 ? si[0].si_signo : 0);
	a.flags = 1;
	printf("  shared %ld\n", REQ(PTRACE_PEEKSIGINFO, pid, &a, si));
	a.nr = -1;
	said("negative", REQ(PTRACE_PEEKSIGINFO, pid, &a, si));
	mask = ~0ul;
	said("set", REQ(PTRACE_SETSIGMASK, pid, 8, &mask));
	said("mask", REQ(PTRACE_GETSIGMASK, pid, 8, &mask));
	printf("  %lx\n", mask);
	mask = 0;
	said("set", REQ(PTRACE_SETSIGMASK, pid, 8, &mask));
	go(pid, PTRACE_CONT, 0);
	next(pid);
	go(pid, PTRACE_CONT, SIGUSR2);
	next(pid);
}

/* ---- who waits ------------------------------------------------------------
 */

/* A tracer that is not the parent, and goes away. */
static void strangers(void)
{
	pid_t pid = loop(), tracer = fork();
	siginfo_t si;
	int status;

	if (!tracer) {
		REQ(PTRACE_SEIZE, pid, 0, 0);
		kill(pid, SIGTERM);
		waitpid(pid, &status, __WALL);
		printf("  tracer: stopped by %d\n", WSTOPSIG(status));
		fflush(stdout);
		REQ(PTRACE_CONT, pid, 0, SIGTERM);
		memset(&si, 0, sizeof(si));
		waitid(P_PID, (id_t)pid, &si, WEXITED | __WALL);
		printf("  tracer: code %d status %d\n", si.si_code,
		       si.si_status);
		fflush(stdout);
		_exit(0);
	}
	next(tracer);
	next(pid); /* after the tracer */
	pid = loop();
	tracer = fork();
	if (!tracer) {
		REQ(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL);
		_exit(0);
	}
	next(tracer);
	next(pid);
}

static void waits(void)
{
	pid_t pid = traced(signals_child);
	siginfo_t si;

	go(pid, PTRACE_CONT, 0);
	memset(&si, 0, sizeof(si));
	waitid(P_PID, (id_t)pid, &si, WSTOPPED | WNOWAIT);
	printf("  code %d status %x\n", si.si_code, si.si_status);
	memset(&si, 0, sizeof(si));
	waitid(P_PID, (id_t)pid, &si, WEXITED);
	printf("  code %d status %x\n", si.si_code, si.si_status);
	printf("  none left: %d\n", waitpid(pid, NULL, WNOHANG));
	said("kill", REQ(PTRACE_KILL, pid, 0, 0));
	next(pid);
	next(pid);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} all[] = {
		{"signals", signals},	  {"memory", memory},
		{"calls", calls},	  {"restarts", restarts},
		{"steps", steps},	  {"watching", watching},
		{"forks", forks},	  {"execs", execs},
		{"threads", threads},	  {"attach", attach},
		{"seize", seize},	  {"masks", masks},
		{"strangers", strangers}, {"waits", waits},
	};

	if (argc > 1 && !strcmp(argv[1], "end"))
		return 6;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (argc > 1 && strcmp(argv[1], all[i].name) != 0)
			continue;
		printf("%s\n", all[i].name);
		alarm(30);
		all[i].fn();
	}
	return 0;
}
