/* SPDX-License-Identifier: MIT */
/*
 * fuzz.c - hostile user space: random system calls with random arguments.
 *
 *   fuzz SECONDS PROCESSES SEED [ONE]
 *
 * PROCESSES children at a time; each makes a few hundred calls from a seed of
 * its own and ends, or is ended. Arguments are of the kinds that kernels get
 * wrong: addresses at the borders of what is mapped, of the user's half, of
 * pages; sizes that overflow; descriptors that are open, closed, huge. With ONE
 * only the child of that seed runs, which repeats what a whole run printed.
 *
 * What would end the test itself is left out: switching the machine off,
 * signals to process 1 and to everybody. Exit status 0 when the time is over;
 * the kernel is judged by whether it lives, and by its audit.
 */
#include "sys.h"

#define PAGE	  4096UL
#define CALLS	  300
#define ARENA	  (64 * PAGE)
#define MAX_CHILD 16

static u64 rng;

static u64 rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1dUL;
}

static u64 below(u64 n)
{
	return rnd() % n;
}

static void say(const char *what, s64 a, s64 b)
{
	char line[200];
	size_t at = put_text(line, sizeof(line), 0, what);

	at = put_text(line, sizeof(line), at, " ");
	at = put_number(line, sizeof(line), at, a);
	at = put_text(line, sizeof(line), at, " ");
	at = put_number(line, sizeof(line), at, b);
	at = put_text(line, sizeof(line), at, "\n");
	write_all(1, line, at);
}

/* ---- arguments -------------------------------------------------------------
 */

static char *arena; /* readable and writable, a hole in its middle */

static const char *const names[] = {"/",
				    ".",
				    "..",
				    "/tmp",
				    "/tmp/fuzz",
				    "/tmp/fuzz/a",
				    "/proc/self/maps",
				    "/proc/self/mem",
				    "/proc/meminfo",
				    "/dev/null",
				    "/dev/zero",
				    "/dev/full",
				    "/dev/random",
				    "/dev/shm/x",
				    "",
				    "/proc/self/fd/0",
				    "/tmp/fuzz/link",
				    "/proc/self/exe",
				    "/tmp/fuzz/fifo",
				    "//tmp//fuzz//b/"};

static u64 an_address(void)
{
	static const u64 edges[] = {0,
				    1,
				    PAGE - 1,
				    PAGE,
				    0x400000,
				    0x7ffffffff000,
				    0x7fffffffffff,
				    0x800000000000,
				    0xffff800000000000,
				    0xffff888000000000,
				    0xffffffff80000000,
				    0xffffffffffffffff,
				    0xfffffffffffff000};
	u64 page = below(ARENA / PAGE) * PAGE;

	switch (below(8)) {
	case 0:
		return edges[below(ARRAY_LEN(edges))];
	case 1: /* the end of a page */
		return U64(arena) + page + PAGE - below(16);
	case 2: /* the hole */
		return U64(arena) + ARENA / 2 - below(64);
	case 3: /* the end */
		return U64(arena) + ARENA - below(64);
	case 4:
		return U64(names[below(ARRAY_LEN(names))]);
	case 5:
		return rnd();
	default:
		return U64(arena) + page + (below(4) ? 0 : below(PAGE));
	}
}

static u64 a_number(void)
{
	static const u64 edges[] = {0,
				    1,
				    2,
				    4095,
				    4096,
				    4097,
				    65536,
				    0x7fffffff,
				    0x80000000,
				    0xffffffff,
				    0x100000000,
				    0x7ffffffffffff000,
				    0x7fffffffffffffff,
				    0x8000000000000000,
				    0xffffffffffffffff};

	switch (below(4)) {
	case 0:
		return edges[below(ARRAY_LEN(edges))];
	case 1:
		return 1UL << below(64);
	case 2:
		return below(64);
	default:
		return below(64) * PAGE;
	}
}

static u64 a_descriptor(void)
{
	switch (below(6)) {
	case 0:
		return (u64)-100; /* AT_FDCWD */
	case 1:
		return a_number();
	default:
		return 3 + below(24);
	}
}

static u64 an_argument(void)
{
	switch (below(3)) {
	case 0:
		return an_address();
	case 1:
		return a_number();
	default:
		return a_descriptor();
	}
}

/* ---- calls -----------------------------------------------------------------
 */

/* Not made: what would end the test, not the kernel. */
static int left_out(u32 nr)
{
	static const u16 list[] = {__NR_exit,
				   __NR_exit_group,
				   __NR_reboot,
				   __NR_kill,
				   __NR_tkill,
				   __NR_tgkill,
				   __NR_rt_sigqueueinfo,
				   __NR_rt_tgsigqueueinfo,
				   __NR_pidfd_send_signal,
				   __NR_vfork,
				   __NR_pause,
				   __NR_rt_sigsuspend,
				   __NR_kexec_load,
				   __NR_init_module,
				   __NR_finit_module,
				   __NR_delete_module,
				   __NR_umount2,
				   __NR_mount,
				   __NR_pivot_root,
				   __NR_chroot,
				   __NR_swapoff,
				   __NR_swapon,
				   __NR_sched_setscheduler,
				   __NR_sched_setattr,
				   __NR_sched_setparam,
				   __NR_ptrace,
				   __NR_settimeofday,
				   __NR_clock_settime,
				   __NR_syslog,
				   __NR_iopl,
				   __NR_ioperm,
				   __NR_setpriority,
				   __NR_rt_sigreturn,
				   __NR_nanosleep,
				   __NR_clock_nanosleep};

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (list[i] == nr)
			return 1;
	return 0;
}

/* Calls that memory lives by come more often than their number. */
static u32 a_call(void)
{
	static const u16 often[] = {__NR_mmap,
				    __NR_munmap,
				    __NR_mprotect,
				    __NR_mremap,
				    __NR_madvise,
				    __NR_brk,
				    __NR_mlock,
				    __NR_munlock,
				    __NR_mincore,
				    __NR_msync,
				    __NR_read,
				    __NR_write,
				    __NR_readv,
				    __NR_openat,
				    __NR_close,
				    __NR_memfd_create,
				    __NR_shmget,
				    __NR_shmat,
				    __NR_shmdt,
				    __NR_pipe2,
				    __NR_mbind,
				    __NR_mlockall,
				    __NR_ftruncate,
				    __NR_fallocate,
				    __NR_process_vm_readv,
				    __NR_process_vm_writev,
				    __NR_clone};
	u32 nr;

	if (below(2))
		return often[below(ARRAY_LEN(often))];
	do
		nr = (u32)below(462);
	while (left_out(nr));
	return nr;
}

static long make_call(u32 nr)
{
	u64 a[6];

	for (int i = 0; i < 6; i++)
		a[i] = an_argument();
	if (nr == __NR_mmap) {
		a[0] = below(2) ? 0 : a[0] & ~(PAGE - 1);
		a[1] = below(4) ? below(256) * PAGE : a[1];
		a[2] = below(8);
		a[3] = (below(4) ? M_PRIVATE : M_SHARED) | M_ANON |
		       (below(4) ? 0 : rnd() & 0x1fff0);
	}
	if (nr == __NR_clone) { /* a process that ends at once, no thread */
		a[0] = 17;
		a[1] = 0;
	}
	if (nr == __NR_alarm || nr == __NR_setitimer)
		a[0] = 0;
	/* Root may do that to others, too: to process 1 it would end the test.
	 */
	if (nr == __NR_prlimit64 || nr == __NR_process_vm_writev)
		a[0] = (u64)SYS(getpid, 0);
	/* mlockall for good would only tell how much fits. */
	if (nr == __NR_mlockall)
		a[0] &= 1;
	return sys6(nr, a);
}

static void prepare(void)
{
	SYS(mkdir, U64("/tmp/fuzz"), 0777);
	arena = (char *)SYS(mmap, 0, ARENA, P_READ | P_WRITE,
			    M_PRIVATE | M_ANON, (u64)-1, 0);
	for (u64 i = 0; i < ARENA; i += 8)
		*(u64 *)(arena + i) = below(4) ? a_number() : rnd();
	SYS(munmap, U64(arena) + ARENA / 2, PAGE);
	for (int i = 0; i < 4; i++)
		SYS(openat, -100ULL, U64(names[below(ARRAY_LEN(names))]),
		    below(2) ? O_RD : O_RW | O_NEW, 0666);
}

_Noreturn static void child(u64 seed)
{
	/* What it may take from the others: CPU time, size of files. */
	u64 limit[2] = {2, 2}, size[2] = {1 << 20, 1 << 20};
	u64 space[2] = {256UL << 20, 256UL << 20};

	rng = seed * 0x9e3779b97f4a7c15UL | 1;
	SYS(setsid, 0);
	for (u64 fd = 0; fd < 3; fd++) {
		SYS(close, fd);
		SYS(openat, -100ULL, U64("/dev/null"), O_RW);
	}
	SYS(setrlimit, 0 /* CPU */, U64(limit));
	SYS(setrlimit, 1 /* FSIZE */, U64(size));
	SYS(setrlimit, 9 /* AS */, U64(space));
	SYS(alarm, 2);
	prepare();
	for (int i = 0; i < CALLS; i++) {
		u32 nr = a_call();
		long ret = make_call(nr);

		if (!ret &&
		    (nr == __NR_clone || nr == __NR_fork || nr == __NR_clone3))
			break; /* one of these is enough */
	}
	for (;;)
		SYS(exit_group, 0);
}

/* ---- the parent ------------------------------------------------------------
 */

#define PATIENCE 3000000000UL /* ns; a child may sleep, or block signals */

static struct {
	u64 started, killed, signals[64];
	struct {
		long pid;
		u64 since;
	} child[MAX_CHILD];
	u32 running, most;
} all;

static void start(u64 seed)
{
	for (u32 i = 0; i < all.most; i++) {
		long pid;

		if (all.child[i].pid)
			continue;
		pid = SYS(fork, 0);
		if (!pid)
			child(seed);
		if (pid < 0)
			return;
		all.child[i].pid = pid;
		all.child[i].since = now_ns();
		all.running++;
		all.started++;
		return;
	}
}

static void reap(void)
{
	int status = 0;
	long pid = SYS(wait4, (u64)-1, U64(&status), 1 /* WNOHANG */, 0);

	for (u32 i = 0; i < all.most; i++) {
		if (pid > 0 && all.child[i].pid == pid) {
			all.child[i].pid = 0;
			all.running--;
			all.signals[status & 0x3f]++;
		} else if (all.child[i].pid &&
			   now_ns() - all.child[i].since > PATIENCE) {
			SYS(kill, (u64)all.child[i].pid, SIG_KILL);
			all.child[i].since = now_ns();
			all.killed++;
		}
	}
	if (pid <= 0)
		sleep_ms(2);
}

/* System V segments outlive who made them, locked ones fill the machine. */
static void remove_segments(void)
{
	char info[256];

	for (u64 i = 0; i < 64; i++) {
		long id = SYS(shmctl, i, 13 /* SHM_STAT */, U64(info));

		if (id >= 0)
			SYS(shmctl, (u64)id, 0 /* IPC_RMID */, 0);
	}
}

int guest_main(int argc, char **argv, char **envp)
{
	const char *s = argc > 1 ? argv[1] : "5";
	u64 seconds = take_number(&s), seed, end;

	(void)envp;
	s = argc > 2 ? argv[2] : "4";
	all.most = (u32)take_number(&s);
	all.most = all.most < MAX_CHILD ? all.most : MAX_CHILD;
	s = argc > 3 ? argv[3] : "1";
	seed = take_number(&s);
	say("SEED", (s64)seed, (s64)all.most);
	if (argc > 4)
		all.most = 1;
	end = now_ns() + seconds * 1000000000UL;
	while (now_ns() < end && !(argc > 4 && all.started)) {
		if (all.running < all.most) {
			remove_segments();
			start(seed + all.started);
		}
		reap();
	}
	while (all.running)
		reap();
	say("children", (s64)all.started, (s64)(seed + all.started - 1));
	say("killed for patience", (s64)all.killed, 0);
	for (int i = 0; i < 64; i++)
		if (all.signals[i])
			say(i ? "ended by signal" : "ended by themselves", i,
			    (s64)all.signals[i]);
	return 0;
}
