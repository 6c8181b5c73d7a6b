/* SPDX-License-Identifier: MIT */
/*
 * exec_main.c - performs sequences on the kernel that it runs on.
 *
 * 1. Purpose. A program whose whole address space above the first GiB can be
 *    mapped, unmapped and torn at will. It is linked to low addresses, has its
 *    stack among its own data and no C library; at the start it removes all
 *    that the kernel put above (stack, vdso), and fills all gaps below.
 *
 * 2. Processes. For each sequence it forks the first process; processes fork
 *    with CLONE_PARENT, so all are children of this one. They take turns by a
 *    word in shared memory: each performs those operations that name it.
 *
 * 3. Signals. A touch is an ordinary access with handlers for SIGSEGV and
 *    SIGBUS around it, which note what they got and leave the function that
 * made it.
 *
 * 4. It has no privileges: all capabilities are dropped first, and limits are
 *    pinned by who started it. No setting of the host is written.
 *
 * Reads commands from descriptor 0, a byte each, and answers on descriptor 1:
 * 'r' run the sequence in shared memory (descriptor 3), answer 'k', or 'd' if
 * a process died of something.
 */
#include "diff.h"
#include "exec_sys.h"

static struct diff_shared *const sh =
	(struct diff_shared *)(uintptr_t)DIFF_SHM_BASE;

#define PROT_RW		3u
#define MAP_SHARED_F	1u
#define MAP_PRIVATE_F	2u
#define MAP_FIXED_F	0x10u
#define MAP_ANON_F	0x20u
#define MAP_NORESERVE_F 0x4000u
#define MAP_NOREPL_F	0x100000u

void *memset(void *p, int c, size_t n)
{
	char *d = p;

	while (n--)
		*d++ = (char)c;
	return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
	char *d = to;
	const char *s = from;

	while (n--)
		*d++ = *s++;
	return to;
}

/* ---- touches
 * -----------------------------------------------------------------
 */

struct ksigaction {
	void (*handler)(int sig, void *info, void *context);
	uint64_t flags;
	void (*restorer)(void);
	uint64_t mask;
};

struct ksiginfo {
	int32_t signo, err, code, pad;
	uint64_t addr;
};

static struct diff_result *touched;

/*
 * One access each, as a function of which only its first instruction can
 * fault, with the stack as at its entry. touch_fault is where it goes on then.
 */
__asm__("touch_load:\n"
	"	mov (%rdi), %rax\n"
	"	mov %rax, (%rsi)\n"
	"	ret\n"
	"touch_load_byte:\n"
	"	movzbl (%rdi), %eax\n"
	"	mov %rax, (%rsi)\n"
	"	ret\n"
	"touch_store:\n"
	"	mov %rsi, (%rdi)\n"
	"	ret\n"
	"touch_run:\n"
	"	jmp *%rdi\n"
	"touch_fault:\n"
	"	ret\n"
	"signal_return:\n"
	"	mov $15, %eax\n"
	"	syscall\n");
void touch_load(uint64_t at, int64_t *value);
void touch_load_byte(uint64_t at, int64_t *value);
void touch_store(uint64_t at, uint64_t value);
void touch_run(uint64_t at);
extern const char touch_fault[];
void signal_return(void);

/* Where struct ucontext keeps the instruction pointer, in words. */
#define UCONTEXT_RIP 21

static void on_signal(int sig, void *info, void *context)
{
	const struct ksiginfo *i = info;

	touched->sig = sig;
	touched->code = i->code;
	touched->addr = i->addr;
	((uint64_t *)context)[UCONTEXT_RIP] = U64(touch_fault);
}

static void catch_signals(void)
{
	/* SA_SIGINFO, SA_RESTORER */
	struct ksigaction sa = {on_signal, 0x04000004u, signal_return, 0};

	SYS(NR_rt_sigaction, 11, U64(&sa), 0, 8);
	SYS(NR_rt_sigaction, 7, U64(&sa), 0, 8);
}

static void touch_exec(uint64_t at)
{
	int64_t byte = 0;

	/* Only what was planted is run. */
	touch_load_byte(at, &byte);
	if (touched->sig)
		return;
	if (byte != 0xc3)
		touched->ret = 1;
	else
		touch_run(at);
}

/* ---- operations
 * ------------------------------------------------------------------ */

static const int16_t sys_nr[] = {
#define CALL(id, name, nr, args, weight) nr,
#include "calls.def"
#undef CALL
};

static long do_fork(void)
{
	/* CLONE_PARENT | SIGCHLD */
	return SYS(NR_clone, 0x8000u | 17u);
}

static long set_limit(const struct diff_op *op)
{
	uint64_t lim[2];

	SYS(NR_getrlimit, op->arg[0], U64(lim));
	lim[0] = op->arg[1];
	/* RLIMIT_DATA is given beyond what the executor itself needs. */
	if (op->arg[0] == 2 && lim[0] != ~0ul)
		lim[0] += sh->host.data_pages * DIFF_PAGE;
	return SYS(NR_setrlimit, op->arg[0], U64(lim));
}

/* Both limits; what the executor needs comes on top, as above. */
static long set_both_limits(const uint64_t *a)
{
	uint64_t lim[2] = {a[1], a[2]};

	for (unsigned i = 0; a[0] == 2 && i < 2; i++)
		if (lim[i] != ~0ul)
			lim[i] += sh->host.data_pages * DIFF_PAGE;
	return SYS(NR_setrlimit, a[0], U64(lim));
}

/* Where the heap is, and how much data there is beside it (PR_SET_MM_MAP). */
static long set_heap(uint64_t start, uint64_t brk, uint64_t data)
{
	struct diff_prctl_map map;

	diff_heap_map(&map, start, brk, data);
	return SYS(NR_prctl, 35, 14, U64(&map), sizeof(map), 0);
}

/* process_vm_readv(2) and its sister, of this process itself. */
static long process_vm(const struct diff_op *op)
{
	const uint64_t *a = op->arg;
	uint64_t iov[4] = {a[0], a[1], a[2], a[3]};

	return SYS(op->call == OP_PVREAD ? NR_process_vm_readv
					 : NR_process_vm_writev,
		   (uint64_t)SYS(NR_getpid, 0), U64(iov), 1, U64(iov + 2), 1,
		   a[4]);
}

/* With swap, what is paged out would look different; and what goes of files
 * depends on who looked at them last: made cold then. */
static uint64_t comparable_advice(uint64_t advice)
{
	return advice == 21 && (sh->host.swap || sh->files) ? 20 : advice;
}

static long process_madvise(const struct diff_op *op)
{
	const uint64_t *a = op->arg;
	uint64_t iov[4] = {a[0], a[1], a[2], a[3]};
	long fd = SYS(NR_pidfd_open, (uint64_t)SYS(NR_getpid, 0), 0), ret;

	if (fd < 0)
		return fd;
	ret = SYS(NR_process_madvise, (uint64_t)fd, U64(iov), 2,
		  comparable_advice(a[4]), 0);
	SYS(NR_close, (uint64_t)fd);
	return ret;
}

/* What was freed lazily goes at once: when it goes is the kernel's choice. */
static long advise(const struct diff_op *op)
{
	const uint64_t *a = op->arg;
	long ret = SYS(NR_madvise, a[0], a[1], comparable_advice(a[2]));

	if (a[2] == 8)
		SYS(NR_madvise, a[0], a[1], 4);
	return ret;
}

/* Which pages of a file are cached may be each kernel's own affair: then only
 * the result is compared. */
static long mincore(const struct diff_op *op)
{
	static unsigned char unseen[DIFF_MINCORE];
	const uint64_t *a = op->arg;

	return SYS(NR_mincore, a[0], a[1],
		   sh->files & DIFF_LAZY ? U64(unseen) : a[2]);
}

/* The set of nodes in a word; MAXNODE counts one more than there are. */
static long bind_memory(const uint64_t *a)
{
	uint64_t nodes = a[3];

	return SYS(NR_mbind, a[0], a[1], a[2], U64(&nodes), 65, a[4]);
}

/* Of an address: its policy, or the node of its page. */
static void get_policy(const uint64_t *a, struct diff_result *r)
{
	uint64_t nodes[16];
	int32_t mode = 0;

	memset(nodes, 0, sizeof(nodes));
	r->ret = SYS(NR_get_mempolicy, U64(&mode), a[1] & 1 ? 0 : U64(nodes),
		     1024, a[0], a[1]);
	r->addr = (uint64_t)mode << 32 | nodes[0];
}

/* What is no system call. Returns the process that goes on as this one. */
static uint32_t special(const struct diff_op *op, struct diff_result *r,
			uint32_t me)
{
	uint64_t a = op->arg[0];
	long child;

	switch (op->call) {
	case OP_READ:
		touch_load(a, &r->ret);
		break;
	case OP_WRITE:
		touch_store(a, op->arg[1]);
		break;
	case OP_PLANT:
		touch_store(a, 0xc3c3c3c3c3c3c3c3ul);
		break;
	case OP_EXEC:
		touch_exec(a);
		break;
	case OP_FORK:
		child = do_fork();
		if (child == 0)
			return (uint32_t)a;
		r->ret = child < 0 ? child : 0;
		break;
	case OP_MADVISE:
		r->ret = advise(op);
		break;
	case OP_MBIND:
		r->ret = bind_memory(op->arg);
		break;
	case OP_GETPOL:
		get_policy(op->arg, r);
		break;
	case OP_MINCORE:
		r->ret = mincore(op);
		break;
	case OP_PVREAD:
	case OP_PVWRITE:
		r->ret = process_vm(op);
		break;
	case OP_PMADVISE:
		r->ret = process_madvise(op);
		break;
	case OP_RLIMIT:
		r->ret = set_limit(op);
		break;
	case OP_PRLIMIT:
		r->ret = set_both_limits(op->arg);
		break;
	case OP_HEAP:
		r->ret = set_heap(a, op->arg[1], op->arg[2]);
		break;
	case OP_MAPS:
		r->ret = snapshot(sh, r, SNAP_MAPS);
		break;
	case OP_CHECK:
		r->ret = snapshot(sh, r, SNAP_PAGES);
		break;
	case OP_DEEP:
		r->ret = snapshot(sh, r, SNAP_DEEP);
		break;
	default:
		file_call(op, r);
	}
	return me;
}

static void wait_turn(uint32_t now)
{
	/* FUTEX_WAIT; the wake comes from whoever passes the turn on. */
	SYS(NR_futex, U64(&sh->turn), 0, now, 0);
}

/* Operation I is done: the next one's process may go on. */
static void pass_turn(uint32_t i, uint32_t me)
{
	__atomic_store_n(&sh->turn, i + 1, __ATOMIC_SEQ_CST);
	if (i + 1 >= sh->nr_ops || sh->op[i + 1].proc != me)
		SYS(NR_futex, U64(&sh->turn), 1, 0x7fffffff);
}

static void run_sequence(void)
{
	uint32_t me = 0;

	for (;;) {
		uint32_t i = __atomic_load_n(&sh->turn, __ATOMIC_SEQ_CST);
		const struct diff_op *op = &sh->op[i];
		uint32_t was = me;

		if (i >= sh->nr_ops ||
		    __atomic_load_n(&sh->abort, __ATOMIC_SEQ_CST))
			return;
		if (op->proc != me) {
			wait_turn(i);
			continue;
		}
		touched = &sh->res[i];
		if (sys_nr[op->call] >= 0)
			touched->ret = sys6(sys_nr[op->call], op->arg);
		else
			me = special(op, touched, me);
		/* The parent of a fork passes the turn, not the child. */
		if (me != was)
			continue;
		if (op->call == OP_EXIT) {
			/* Who counts mappings must not see this one's. */
			SYS(NR_munmap, DIFF_LOW_END,
			    DIFF_TASK_SIZE - DIFF_LOW_END);
			pass_turn(i, me);
			return;
		}
		pass_turn(i, me);
	}
}

/* ---- the first process
 * --------------------------------------------------------------- */

struct low_info {
	uint64_t from[64], to[64];
	uint32_t nr;
	uint64_t data_pages, min_addr;
};

static void note_low(const struct maps_line *m, void *arg)
{
	struct low_info *l = arg;

	if (m->start >= DIFF_LOW_END || l->nr == 64)
		return;
	l->from[l->nr] = m->start;
	l->to[l->nr++] = m->end;
	if ((m->prot & DIFF_W) && !(m->prot & DIFF_SHARED))
		l->data_pages += (m->end - m->start) / DIFF_PAGE;
}

/* No gap stays below DIFF_LOW_END. Two neighbours never have equal flags:
 * what is mapped here is not accessible, and theirs is. */
static long fill_low(const struct low_info *l)
{
	uint64_t at = sh->host.min_addr;

	for (uint32_t i = 0; i <= l->nr; i++) {
		uint64_t to = i < l->nr ? l->from[i] : DIFF_LOW_END;
		long got;

		if (to > at) {
			got = SYS(NR_mmap, at, to - at, 0,
				  MAP_PRIVATE_F | MAP_ANON_F | MAP_NOREPL_F |
					  MAP_NORESERVE_F,
				  ~0ul, 0);
			if ((uint64_t)got != at)
				return got < 0 ? got : -17;
		}
		if (i < l->nr)
			at = l->to[i];
	}
	return 0;
}

static long drop_privileges(void)
{
	struct {
		uint32_t version;
		int32_t pid;
	} head = {0x20080522u, 0};
	uint32_t none[6] = {0};

	/* PR_SET_DUMPABLE stays: a process may look at itself in /proc.
	 * PR_SET_THP_DISABLE: pages of 4 KiB alone. PR_SET_PDEATHSIG. */
	SYS(NR_prctl, 41, 1, 0, 0, 0);
	SYS(NR_prctl, 1, 9, 0, 0, 0);
	return SYS(NR_capset, U64(&head), U64(none));
}

static void note_count(const struct maps_line *m, void *arg)
{
	if (m->start < DIFF_LOW_END)
		++*(uint32_t *)arg;
}

static long probe_scan(void)
{
	struct diff_result r;
	long err;

	sh->host.scan = 1;
	err = snapshot(sh, &r, SNAP_PAGES);
	sh->host.scan = err == 0;
	return 0;
}

static long prepare(void)
{
	static struct low_info low;
	long err, at;

	sh->host.stage = 1;
	err = maps_each(note_low, &low);
	if (err)
		return err;
	sh->host.data_pages = low.data_pages;
	sh->host.stage = 2;
	err = fill_low(&low);
	if (err)
		return err;
	sh->host.stage = 3;
	err = drop_privileges();
	if (err)
		return err;
	sh->host.stage = 4;
	err = SYS(NR_munmap, DIFF_LOW_END, DIFF_TASK_SIZE - DIFF_LOW_END);
	if (err)
		return err;
	sh->host.heap = set_heap(DIFF_HEAP, DIFF_HEAP, 0) == 0;
	sh->host.stage = 5;
	at = SYS(NR_mmap, 0, DIFF_PAGE, PROT_RW, MAP_PRIVATE_F | MAP_ANON_F,
		 ~0ul, 0);
	if (at < 0)
		return at;
	sh->host.mmap_base = (uint64_t)at + DIFF_PAGE;
	err = SYS(NR_munmap, (uint64_t)at, DIFF_PAGE);
	if (err)
		return err;
	sh->host.stage = 6;
	err = maps_each(note_count, &sh->host.nr_low);
	return err ? err : probe_scan();
}

/* Run what is in shared memory; the answer. */
static char run_and_reap(void)
{
	int32_t status = 0;
	char answer = 'k';
	long pid;

	pid = SYS(NR_clone, 17);
	if (pid == 0) {
		SYS(NR_prctl, 1, 9, 0, 0, 0);
		if (files_prepare(sh))
			SYS(NR_exit_group, 2);
		run_sequence();
		SYS(NR_exit_group, 0);
	}
	if (pid < 0)
		return 'd';
	while (SYS(NR_wait4, ~0ul, U64(&status), 0x40000000u, 0) > 0) {
		if (status == 0)
			continue;
		answer = 'd';
		if (!sh->host.death) {
			sh->host.death = (uint32_t)status;
			sh->host.death_at = sh->turn;
		}
		__atomic_store_n(&sh->abort, 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&sh->turn, DIFF_MAX_OPS, __ATOMIC_SEQ_CST);
		SYS(NR_futex, U64(&sh->turn), 1, 0x7fffffff);
	}
	return answer;
}

static void __attribute__((used)) executor_main(void)
{
	long at = SYS(NR_mmap, DIFF_SHM_BASE, DIFF_SHM_SIZE, PROT_RW,
		      MAP_SHARED_F | MAP_NOREPL_F, 3, 0);
	char cmd;

	if ((uint64_t)at != DIFF_SHM_BASE)
		SYS(NR_exit_group, 1);
	sh->host.error = (int32_t)prepare();
	sh->host.ready = 1;
	catch_signals();
	cmd = 'k';
	SYS(NR_write, 1, U64(&cmd), 1);
	while (SYS(NR_read, 0, U64(&cmd), 1) == 1) {
		cmd = run_and_reap();
		SYS(NR_write, 1, U64(&cmd), 1);
	}
	SYS(NR_exit_group, 0);
}

/* The kernel's stack lies above and is about to go: use our own. */
static char stack[1 << 17] __attribute__((aligned(16), used));

__asm__(".globl _start\n"
	"_start:\n"
	"	lea stack+131072(%rip), %rsp\n"
	"	xor %ebp, %ebp\n"
	"	call executor_main\n"
	"	ud2\n");
