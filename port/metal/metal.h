/* SPDX-License-Identifier: MIT */
/*
 * metal.h - what the files of the CPU's half of the metal world say to each
 * other: boot, early memory, traps, panic, threads. The devices' half: dev.h.
 */
#ifndef METAL_METAL_H
#define METAL_METAL_H

#include <mmkit/boot.h>
#include <mmkit/port.h>

#include "base/seqbuf.h"
#include "cpu.h"
#include "dev.h"
#include "machine.h"
#include "phys/e820.h"

/* ---- the image (link.ld) ---------------------------------------------------
 */

extern const char __image_start[], __image_end[], __ro_end[];
extern const char __text_start[], __text_end[], __bss_start[], __bss_end[];
extern const u8 __symbols_start[], __symbols_end[];
extern u64 boot_pml4[512], boot_pdpt_low[512], boot_pdpt_direct[512];
extern u64 boot_pdpt_image[512], boot_pd[512], boot_io_pd[512], boot_io_pt[512];
extern u64 boot_stack_pt[512];

/* A place that may fault, and where it goes on then (usercopy.S). */
struct fixup {
	u64 from, to;
};
extern const struct fixup __fixup_start[], __fixup_end[];

static inline phys_addr_t image_phys(const void *at)
{
	return (phys_addr_t)at - KERNEL_BASE;
}

/* The manager's page-fault entry; called by entry.S. */
extern int (*metal_fault_hook)(struct mm_task *task, uva_t va, u32 error);
/* entry.S: by vector; the entry of SYSCALL. */
extern const u64 metal_stubs[256];
void metal_syscall_entry(void);

/* ---- start.c ---------------------------------------------------------------
 */

/* What the loader told, copied from where it left it. */
struct metal_boot {
	struct e820_table map;
	char cmdline[2048];
	phys_addr_t initrd;
	u64 initrd_size;
	phys_addr_t rsdp;
	bool quiet, earlycon;
	u64 panic_seconds; /* METAL_PANIC_WAIT: for ever */
};
extern struct metal_boot metal_boot;
#define METAL_PANIC_WAIT UINT64_MAX

/* metal_fatal: the boot cannot go on: say why, end with status 1. */
_Noreturn void metal_fatal(const char *fmt, ...) MM_PRINTF(1, 2);

/* metal_loader_info: read struct hvm_start_info at PA into metal_boot. */
void metal_loader_info(phys_addr_t pa);

/* metal_option_u64: NAME's number with K, M, G; false: not there. A number
 * that is none ends the boot. */
bool metal_option_u64(const char *name, u64 *out);

/* ---- early.c: memory before there is a manager -----------------------------
 */

/* early_init: the pool begins behind the image. After metal_loader_info(). */
void early_init(void);
/* early_alloc: BYTES of zeroes, page aligned, for ever; NULL: none left.
 * Before mm_boot(). */
void *early_alloc(u64 bytes);
/* early_stack: the STACK_SIZE bytes of RAM from PA on, in use for ever, as a
 * stack: its lowest byte, below which nothing is mapped. NULL: there are too
 * many. Before mm_boot(). early_boot_stack: the one that boot.S runs on. */
void *early_stack(phys_addr_t pa);
void *early_boot_stack(void);
/* early_seal: what mm_boot() will need of the pool, and what DEBUG asks for, is
 * set aside. Returns where the kernel's memory ends. */
phys_addr_t early_seal(const struct mm_debug_params *debug);
/* early_release: the tables that the master replaced go to the buddy. */
void early_release(void);
/* metal_master_ready: the manager's table is complete: what is mapped for
 * devices enters it. Called by port_load_kernel_root() before it loads. */
void metal_master_ready(u64 root_pfn);

/* metal_crash_option: "crash=KIND" on the command line (crash.c). */
void metal_crash_option(void);
/* metal_crash_stack: with "crash=KIND" the running stack overflows. */
void metal_crash_stack(const char *kind);

/* ---- pagealloc.c -----------------------------------------------------------
 */

/* metal_debug_options: the command line's words about frames into D. */
void metal_debug_options(struct mm_debug_params *d);
/* metal_debug_bytes: what debug_pagealloc wants of the pool, 0 without it;
 * metal_debug_start: there it is, zeroed. Before mm_boot(). */
u64 metal_debug_bytes(const struct mm_debug_params *d);
void metal_debug_start(void *bits);
/* metal_debug_master: the manager's table is complete, not loaded: free frames
 * leave it. */
void metal_debug_master(void);
/* metal_free_frame: does VA lie in a free frame that debug_pagealloc unmapped?
 * Then that is appended to OUT and what is known of the frame logged. */
bool metal_free_frame(u64 va, struct seq_buf *out);

struct early_costs {
	u64 tables, areas; /* bytes */
};
extern struct early_costs early_costs;

/* ---- panic.c ---------------------------------------------------------------
 */

/* console_init: what the log goes to, from the command line. */
void console_options(void);
/* metal_panic_regs: as port_panic(), with the registers REGS of a trap. */
_Noreturn void metal_panic_regs(const char *message,
				const struct pt_regs *regs);

/* ---- symbols.c -------------------------------------------------------------
 */

/* metal_is_text: ADDR is in a function of the image. */
static inline bool metal_is_text(u64 addr)
{
	return addr >= (u64)__text_start && addr < (u64)__text_end;
}
/* metal_symbol_text: as port_symbol(), of the function that AT lies in. */
u32 metal_symbol_text(u64 addr, u64 at, char *buf, u32 size);

/* ---- sched.c, thread.c -----------------------------------------------------
 */

#define STACK_ORDER 2u
#define STACK_SIZE  (PAGE_SIZE << STACK_ORDER)

MM_STATIC_ASSERT(EARLY_STACK_PAGES == 1u << STACK_ORDER, "asm");

enum thread_state { THREAD_NEW, THREAD_RUNS, THREAD_PARKED, THREAD_DEAD };

#define WORK_EXIT 1u /* kernel_exit_work() is due */

struct port_thread {
	u32 work;  /* (A) WORK_*; assembly reads it */
	u32 word;  /* lock of state, permit, on_cpu */
	u64 sp;	   /* while it is off its CPU */
	u64 wchan; /* where it called port_park() last */
	struct mm_task task;
	u16 stack_group; /* who is charged for it; 0: the root */
	void *stack; /* lowest byte; the CPU's own thread: not ours to free */
	void (*fn)(void *arg);
	void *arg, *owner;
	bool user;	/* enters user mode when FN returns */
	bool permit;	/* (word) */
	bool timed_out; /* (word) */
	bool on_cpu;	/* (word) registers are not in SP yet */
	bool idle;	/* some CPU's idle thread */
	u8 state;	/* (word) enum thread_state */
	s8 nice;
	bool queued; /* (rq) in a tree */
	s32 cpu;     /* runs there, or ran last */
	u32 weight;
	u64 vtime;   /* virtual run time; absolute within a queue */
	u64 runtime; /* ns on a CPU */
	u64 user_ticks, sys_ticks;
	u64 nvcsw, nivcsw;   /* switches: it waited; another was due */
	struct rb_node node; /* (rq) */
	struct port_cpumask allowed;
	struct port_thread *joiner; /* (word) waits for THREAD_DEAD */
	u64 fsbase, gsbase;
	u16 fssel, gssel, dssel, essel;
	u64 debug[5];	/* DR0-3 and DR7; DR7 0: none is on */
	bool fpu_fresh; /* no state yet: the initial one */
	s32 fpu_cpu;	/* whose registers may hold the state; -1: none */
	void *fpu;	/* an image, 64-aligned; NULL: a kernel thread */
};

MM_STATIC_ASSERT(offsetof(struct port_thread, work) == THREAD_WORK, "asm");
MM_STATIC_ASSERT(offsetof(struct port_thread, sp) == THREAD_SP, "asm");

static inline struct pt_regs *thread_regs(const struct port_thread *t)
{
	return (struct pt_regs *)((char *)t->stack + STACK_SIZE) - 1;
}

/* sched_first: FN is to run in the first thread, on STACK, for ever its. */
void sched_first(void (*fn)(void *arg), void *stack);
/* sched_init_cpu: the running code becomes C's idle thread T, on STACK. */
void sched_init_cpu(struct metal_cpu *c, struct port_thread *t, void *stack);
/* sched_thread_init: T is new, nobody's, with STACK. */
void sched_thread_init(struct port_thread *t, const char *name, void *stack);
/* thread_prepare: T's first switch leads to FN(ARG). */
void thread_prepare(struct port_thread *t, void (*fn)(void *arg), void *arg);
/* sched_idle: the idle thread's life. */
_Noreturn void sched_idle(void);
/* sched_block: the running thread, whose state is not THREAD_RUNS, leaves.
 * Interrupts off, pinned by nobody. */
void sched_block(void);
/* sched_place_new: T, which never ran, is due after who runs on its CPU: who
 * starts a thread goes on. Interrupts off. */
void sched_place_new(struct port_thread *t);
/* sched_enqueue: T, off all CPUs and runnable, waits for one. Interrupts off.
 * WAKE: it slept. */
void sched_enqueue(struct port_thread *t, bool wake);
/* sched_left: NEXT runs now; PREV's registers are saved. Interrupts off. */
void sched_left(struct port_thread *prev);
void sched_resched(int cpu);
/* metal_idle_halt: interrupts on, until one comes. */
void metal_idle_halt(void);
void metal_preempt(void);
void metal_preempt_irq(void);

struct port_thread *metal_switch_to(struct port_thread *prev,
				    struct port_thread *next);
/* user_switch: what of PREV's and NEXT's user side is in registers. */
void user_switch(struct port_thread *prev, struct port_thread *next);
/* user_init: T's user side: 0 or -ENOMEM. user_free: it goes. */
int user_init(struct port_thread *t) MM_MUST_CHECK;
void user_free(struct port_thread *t);
/* fpu_init: what state there is; before the first user thread. */
void fpu_init(void);

#endif
