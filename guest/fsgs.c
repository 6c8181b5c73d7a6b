/* SPDX-License-Identifier: MIT */
/*
 * fsgs.c - bases of FS and GS that programs set by themselves (FSGSBASE).
 *
 *	fsgs [ROUNDS]		200 rounds if nothing is said
 *
 * AT_HWCAP2 says whether they may; if not, the instructions must be a fault,
 * and that is all. Else six processes change their bases all the time, to
 * addresses of programs and of the kernel, and have them back after calls,
 * faults, preemption and fork; calls tell the same, and what calls set the
 * instructions read; traps come through with a base that is the kernel's. Exit
 * status: 0 all was so; 1 not; 3 there is no such thing here, and it is
 *refused.
 */
#include "sys.h"

#define PROCESSES 6u
#define AT_HWCAP2 26u
#define PAGE	  4096UL

enum { SET_GS = 0x1001, SET_FS = 0x1002, GET_FS = 0x1003, GET_GS = 0x1004 };
enum { SIG_ILL = 4, SIG_TRAP = 5 };

static u64 rounds = 200;

static u64 rdfs(void)
{
	u64 v;

	__asm__ volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static u64 rdgs(void)
{
	u64 v;

	__asm__ volatile("rdgsbase %0" : "=r"(v));
	return v;
}

static void wrfs(u64 v)
{
	__asm__ volatile("wrfsbase %0" ::"r"(v) : "memory");
}

static void wrgs(u64 v)
{
	__asm__ volatile("wrgsbase %0" ::"r"(v) : "memory");
}

static void say(const char *what, u64 number)
{
	char line[96];
	size_t at = put_text(line, sizeof(line), 0, what);

	at = put_text(line, sizeof(line), at, " ");
	at = put_number(line, sizeof(line), at, (s64)number);
	at = put_text(line, sizeof(line), at, "\n");
	write_all(1, line, at);
}

static void must(int yes, const char *what, u64 number)
{
	if (yes)
		return;
	say(what, number);
	(void)SYS(exit_group, 1);
}

/* FN in a child: its status as wait4(2) has it. */
static u64 child_status(void (*fn)(u64), u64 arg)
{
	u32 status = 0;
	long pid = SYS(clone, SIG_CHLD);

	if (pid == 0) {
		fn(arg);
		(void)SYS(exit_group, 0);
	}
	must(pid > 0 && SYS(wait4, (u64)pid, U64(&status), 0, 0) == pid,
	     "no child", (u64)-pid);
	return status;
}

/* ---- one process ------------------------------------------------------------
 */

/* Anything that an address may be: low, high, the kernel's own. */
static u64 some_base(u64 me, u64 i)
{
	static const u64 from[] = {0,
				   0x1000,
				   0x7ffffffff000,
				   0xffff888000000000,
				   0xffffffff80000000,
				   0xffffc90000000000};

	return from[(i + me) % ARRAY_LEN(from)] + (me << 8);
}

static void same(u64 fs, u64 gs, const char *after)
{
	must(rdfs() == fs && rdgs() == gs, after, rdgs());
}

static void seen_by_calls(u64 fs, u64 gs)
{
	u64 f = 1, g = 1;

	must(SYS(arch_prctl, GET_FS, U64(&f)) == 0 && f == fs, "GET_FS", f);
	must(SYS(arch_prctl, GET_GS, U64(&g)) == 0 && g == gs, "GET_GS", g);
}

static void inherits(u64 gs)
{
	must(rdgs() == gs && rdfs() == gs + 16, "inherited", rdgs());
}

static void set_by_calls(u64 me)
{
	must(SYS(arch_prctl, SET_GS, 0x5000 + me) == 0 &&
		     SYS(arch_prctl, SET_FS, 0x6000 + me) == 0,
	     "SET_GS", me);
	same(0x6000 + me, 0x5000 + me, "by calls");
}

static void touch_new_page(void)
{
	long at = SYS(mmap, 0, PAGE, P_READ | P_WRITE, M_PRIVATE | M_ANON,
		      (u64)-1, 0);

	must(at > 0, "mmap", (u64)-at);
	*(volatile char *)at = 1;
	(void)SYS(munmap, (u64)at, PAGE);
}

static void lives(u64 me)
{
	for (u64 i = 0; i < rounds; i++) {
		u64 gs = some_base(me, i), fs = gs + 16;

		wrgs(gs);
		wrfs(fs);
		(void)SYS(sched_yield, 0);
		same(fs, gs, "after a call");
		touch_new_page();
		same(fs, gs, "after a fault");
		for (volatile u32 n = 0; n < 20000; n++)
			;
		same(fs, gs, "after a while");
		seen_by_calls(fs, gs);
		if (i % 16 == 0)
			must(!child_status(inherits, gs), "a child", i);
		same(fs, gs, "after fork");
		set_by_calls(me);
	}
}

/* ---- traps, and what is refused
 * --------------------------------------------------------
 */

static void sets(u64 base)
{
	wrgs(base);
}

/* With a base that is the kernel's. */
static void breakpoint(u64 base)
{
	wrgs(base);
	__asm__ volatile("int3");
}

static void one_step(u64 base)
{
	wrgs(base);
	__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop" ::
				 : "memory", "cc");
}

static u64 hwcap2(char **envp)
{
	u64 *aux;

	while (*envp)
		envp++;
	for (aux = (u64 *)(envp + 1); aux[0]; aux += 2)
		if (aux[0] == AT_HWCAP2)
			return aux[1];
	return 0;
}

static void all_live(void)
{
	u32 status;

	for (u64 i = 0; i < PROCESSES; i++) {
		long pid = SYS(clone, SIG_CHLD);

		must(pid >= 0, "clone", (u64)-pid);
		if (pid == 0) {
			lives(i + 1);
			(void)SYS(exit_group, 0);
		}
	}
	for (u64 i = 0; i < PROCESSES; i++) {
		must(SYS(wait4, (u64)-1, U64(&status), 0, 0) > 0, "wait4", i);
		must(status == 0, "a process", status);
	}
}

int guest_main(int argc, char **argv, char **envp)
{
	const char *s = argc > 1 ? argv[1] : NULL;

	if (s)
		rounds = take_number(&s);
	if (!(hwcap2(envp) & 2)) {
		must(child_status(sets, 0) == SIG_ILL, "not refused", 0);
		say("FSGSBASE", 0);
		return 3;
	}
	all_live();
	must(child_status(breakpoint, 0xffffffff80000000) == SIG_TRAP, "int3",
	     0);
	must(child_status(one_step, 0xffffffff80000000) == SIG_TRAP, "a step",
	     0);
	say("FSGSBASE", rounds * PROCESSES);
	return 0;
}
