/* SPDX-License-Identifier: MIT */
/*
 * machine.h - what a kernel asks of the machine below it besides port.h.
 *
 * kernel/ is freestanding and knows neither registers nor devices: threads
 * that go to user mode, timers, the console and the disks are the machine's.
 * port/metal implements this on an x86-64 PC; tests/kernel implements enough
 * of it on the sim and host worlds to run files and processes without a CPU.
 * Times are nanoseconds. Context "any" includes interrupt handlers.
 */
#ifndef KERNEL_MACHINE_H
#define KERNEL_MACHINE_H

#include <mmkit/port.h>
#include <mmkit/types.h>

/* A user thread's registers at the top of its kernel stack; the order is the
 * one that entry code pushes them in, and ptrace(2)'s user_regs_struct's. */
struct pt_regs {
	u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	u64 rax, rcx, rdx, rsi, rdi;
	u64 orig_rax; /* number of the system call; -1: no system call */
	u64 rip, cs, eflags, rsp, ss;
};

#define USER_CS 0x33u
#define USER_DS 0x2bu

/* ---- threads that go to user mode -----------------------------------------
 */

/*
 * machine_thread_create: a thread with a kernel stack, registers and FPU state
 * of its own, not running yet. After machine_thread_start() it calls FN(ARG)
 * in the kernel, and when FN returns it enters user mode with
 * machine_regs(). OWNER is the kernel's. May sleep. 0, -ENOMEM, -EAGAIN; *OUT
 * is the caller's until machine_thread_free().
 */
int machine_thread_create(struct port_thread **out, const char *name,
			  void (*fn)(void *arg), void *arg,
			  void *owner) MM_MUST_CHECK;
void machine_thread_start(struct port_thread *t);
/* machine_thread_exit: the running thread ends here. */
_Noreturn void machine_thread_exit(void);
/* machine_thread_free: T has called machine_thread_exit(), or was never
 * started: wait until it is off its CPU, free it. May sleep. */
void machine_thread_free(struct port_thread *t);

/* Any context: what belongs to a thread. */
void *machine_owner(const struct port_thread *t);
/* machine_current_owner: of the running thread; a port may know a short way. */
static inline void *machine_current_owner(void)
{
#ifdef PORT_OWNER
	return port_owner();
#else
	return machine_owner(port_self());
#endif
}
struct mm_task *machine_mm_task(struct port_thread *t);
struct pt_regs *machine_regs(struct port_thread *t);

/*
 * machine_kick: T calls kernel_exit_work() before it executes another user
 * instruction; if it runs in user mode on another CPU it is interrupted, if it
 * is parked it is unparked. Any context.
 */
void machine_kick(struct port_thread *t);

/* Bases of FS and GS of T; the running one's take effect at once. */
void machine_set_fsbase(struct port_thread *t, u64 base);
void machine_set_gsbase(struct port_thread *t, u64 base);
u64 machine_fsbase(struct port_thread *t);
u64 machine_gsbase(struct port_thread *t);

/* FPU. The image is what FXSAVE or XSAVE writes and signal frames hold; its
 * size is constant after boot, <= 4096, its alignment 64. */
u32 machine_fpu_size(void);
u64 machine_fpu_features(void);	    /* XCR0; 0: FXSAVE */
void machine_fpu_save(void *image); /* of the running thread */
/* machine_fpu_load: 0; -EINVAL: not an image; then nothing changed. */
int machine_fpu_load(const void *image) MM_MUST_CHECK;
void machine_fpu_reset(void);			  /* execve */
void machine_fpu_copy(struct port_thread *child); /* fork: the caller's */
/* machine_fpu_peek, _poke: the image of T, which is parked off its CPU, to or
 * from IMAGE. 0; -EAGAIN: it is not parked (yet); -EINVAL: not an image. */
int machine_fpu_peek(struct port_thread *t, void *image) MM_MUST_CHECK;
int machine_fpu_poke(struct port_thread *t, const void *image) MM_MUST_CHECK;
/* machine_debug_set: what T's debug registers hold whenever it runs in user
 * mode: DR0 to DR3 from ADDR and CONTROL, which is DR7 and names only addresses
 * of user space. T is parked, or the caller. 0; -EOPNOTSUPP. */
int machine_debug_set(struct port_thread *t, const u64 addr[4], u64 control);

/* ---- scheduling ------------------------------------------------------------
 */

void machine_yield(void);
/* machine_set_affinity: T runs on CPUs of MASK only, from soon on. 0; -EINVAL:
 * none of them is up. While all of them are down it runs on others. */
int machine_set_affinity(struct port_thread *t,
			 const struct port_cpumask *mask);
void machine_get_affinity(const struct port_thread *t,
			  struct port_cpumask *out);
/*
 * machine_cpu_down: no thread runs on CPU any more when this returns; it still
 * answers interrupts. machine_cpu_up: threads may run there again. One caller
 * at a time; may sleep. 0; -EINVAL: there is no such CPU, or it is CPU 0, which
 * stays; -EOPNOTSUPP: CPUs of this world do not go.
 */
int machine_cpu_down(int cpu);
int machine_cpu_up(int cpu);
/* machine_set_nice: -20 .. 19, weights as sched(7) has them. */
void machine_set_nice(struct port_thread *t, int nice);
/* Where T runs, or ran last; whether it runs or waits for a CPU. */
int machine_thread_cpu(const struct port_thread *t);
bool machine_thread_running(const struct port_thread *t);
/* CPU time of T in user mode and in the kernel. */
void machine_thread_times(const struct port_thread *t, u64 *user, u64 *sys);
/* machine_thread_switches: how often T gave its CPU up because it waited, and
 * how often it was taken from it (or given to others: sched_yield(2)). */
void machine_thread_switches(const struct port_thread *t, u64 *voluntary,
			     u64 *involuntary);
struct machine_cpu_times {
	u64 user, nice, sys, idle, iowait, irq;
	u64 switches; /* of threads */
	u64 interrupts;
};
void machine_cpu_times(int cpu, struct machine_cpu_times *out);
/* A source of interrupts: what /proc/interrupts calls it, and what it is. */
struct machine_irq {
	char name[8], text[56];
	u32 slot; /* the machine's */
};
/* machine_irq_row: source number I; false: there are no more. _count: how many
 * CPU has taken from it. */
bool machine_irq_row(u32 i, struct machine_irq *out);
u64 machine_irq_count(const struct machine_irq *irq, int cpu);
u32 machine_nr_running(void); /* on all CPUs, with who waits for one */

/* ---- time ------------------------------------------------------------------
 */

u64 machine_wall_ns(void); /* since 1970; port_now_ns() is monotonic */
void machine_set_wall_ns(u64 ns);

/* A timer, zero at first; the owner keeps it alive until
 * machine_timer_cancel() returned. */
struct machine_timer {
	u64 expires; /* port_now_ns() at which FN is called, once */
	void (*fn)(struct machine_timer *timer); /* in an interrupt */
	void *private;
	bool armed; /* the machine's */
	struct machine_timer *child, *next, **pprev;
	int cpu;
};
/* machine_timer_arm: (again) for timer->expires. Any context. */
void machine_timer_arm(struct machine_timer *timer);
/* machine_timer_cancel: FN is not called any more and does not run when this
 * returns. True: it was armed. No lock held that FN takes. */
bool machine_timer_cancel(struct machine_timer *timer);

/* ---- devices and boot ------------------------------------------------------
 */

const char *machine_cmdline(void);
/* machine_initrd: the image that the loader put into memory; NULL: none. */
const void *machine_initrd(u64 *size);
/* machine_initrd_free: it is used no more; its frames go to the buddy. */
void machine_initrd_free(void);
/* machine_bdev: the disk number N (vda is 0), NULL: there are fewer. */
struct port_bdev *machine_bdev(u32 n);
/* machine_bdev_read_only: writes to it end with -EROFS. */
bool machine_bdev_read_only(const struct port_bdev *bdev);
/* What a disk has done: requests that ended, by enum port_bio_op, and the time
 * that each was with the device. */
struct machine_disk_stats {
	struct {
		u64 ios, sectors, ns;
	} op[4];
	u64 busy_ns;   /* with at least one request */
	u32 in_flight; /* with the device now */
};
void machine_bdev_stats(struct port_bdev *bdev, struct machine_disk_stats *out);
/* machine_cpu_text: what /proc/cpuinfo says of CPU. */
struct seq_buf;
void machine_cpu_text(int cpu, struct seq_buf *out);
/* machine_hwcap: AT_HWCAP of getauxval(3): on x86 CPUID.1:EDX. 0: unknown. */
u64 machine_hwcap(void);
/* machine_hwcap2: AT_HWCAP2. FSGSBASE: programs may use its instructions. */
#define HWCAP2_FSGSBASE 2u
u64 machine_hwcap2(void);

/* The console's bytes, as they are; RX is called in an interrupt. */
void machine_console_write(const char *text, size_t len);
void machine_console_on_rx(void (*rx)(u8 byte));
/* I/O ports, for /dev/port; 0xff where there are none. */
u8 machine_inb(u16 port);
void machine_outb(u16 port, u8 value);

/* machine_power_off: with an exit status where the machine can tell one. */
_Noreturn void machine_power_off(int status);
_Noreturn void machine_restart(void);

/* ---- names -----------------------------------------------------------------
 */

/* A function of the kernel; TYPE as nm(1) has it. */
struct machine_symbol {
	u64 addr;
	char type;
	const char *name;
};
/* machine_symbol: number I by address; false: there are no more. _at: the one
 * that ADDR lies in, and its SIZE; false: none does. Any context. */
bool machine_symbol(u32 i, struct machine_symbol *out);
bool machine_symbol_at(u64 addr, struct machine_symbol *out, u64 *size);
/* machine_thread_wchan: where in the kernel T sleeps: a return address; 0: it
 * does not, or that is not known. Any context; may be past when it returns. */
u64 machine_thread_wchan(const struct port_thread *t);

/* ---- what the kernel gives the machine -------------------------------------
 */

/* kernel_main: the first thread, after mm_boot(), all CPUs up. */
void kernel_main(void);
/* kernel_syscall: the running thread executed SYSCALL: result to regs->rax.
 * Interrupts on. */
void kernel_syscall(struct pt_regs *regs);
/*
 * kernel_user_trap: the running thread met exception VECTOR in user mode, with
 * ERROR and, for 14, the address, for 1, DR6; interrupts on. It ends in a
 * repeated access or a signal.
 */
void kernel_user_trap(struct pt_regs *regs, u32 vector, u64 error, u64 addr);
/* kernel_exit_work: see machine_kick(). Interrupts on; may not return. */
void kernel_exit_work(struct pt_regs *regs);

#endif
