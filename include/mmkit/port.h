/* SPDX-License-Identifier: MIT */
/*
 * port.h - everything that the manager needs from the world it runs in.
 *
 * src/ is freestanding: no libc, no OS. What it cannot do by itself it asks
 * of a port: the linked functions below, and port_inline.h for what must cost a
 * few instructions. There are three (sim, host, metal); an embedder writes a
 * fourth. docs/PORTING.md is the guide; tests/null-port defines exactly these
 * symbols, which proves by linking that nothing leaked into src/.
 *
 * Conventions. Times are nanoseconds, sizes bytes, addresses physical unless
 * said otherwise. Results are 0 or a negative errno. "May sleep" means that
 * the caller holds no spinlock, is not pinned and is not in an interrupt.
 *
 * port_inline.h must define, as static inline:
 *
 *   int port_cpu(void)
 *       Number of the running CPU, 0 .. port_nr_cpus()-1; stable while pinned.
 *   int port_cpu_or_none(void), with PORT_CPU_OR_NONE defined: optional
 *       The same at less cost: MM_NR_CPUS for a thread that has no number
 *       yet, which port_cpu() would give it. Fast paths index tables by it
 *       and find an entry there that sends them the slow way.
 *   struct mm_task *port_current(void)
 *       The running thread's task; never NULL between start-up and shut-down.
 *   void port_pin(void), void port_unpin(void)
 *       Stay on this CPU and keep other threads off it; nests. No sleeping
 *       in between. Interrupts may still come.
 *   unsigned long port_irq_save(void), void port_irq_restore(unsigned long)
 *       No interrupt handler runs on this CPU in between (implies pinned);
 *       nests by the saved word. Completion callbacks of block I/O and
 *       remote TLB flushes are the interrupts there are.
 *   bool port_in_irq(void)
 *       True inside a completion callback or an IPI handler.
 *   bool port_spin_trylock(u32 *word), void port_spin_lock(u32 *word),
 *   void port_spin_unlock(u32 *word)
 *       A lock word: 0 is free. Acquire and release ordering. The caller is
 *       pinned already. A world may run other CPUs while it waits, and at
 *       any trylock or lock (even with interrupts off).
 *   void port_relax(void)
 *       One round of a busy wait on another CPU.
 *   void port_sched_point(void)
 *       A place where the world may let another thread or CPU run. Called
 *       with interrupts on and nothing pinned it may switch threads; pinned
 *       it may only interleave other CPUs; with interrupts off it does
 *       nothing.
 *   void *port_ram(phys_addr_t pa)
 *       View of RAM in the hosting address space (the direct map). Valid for
 *       addresses brought online by port_ram_online(); linear: the view of
 *       pa + n is the view of pa plus n within one online range.
 *   phys_addr_t port_ram_phys(const void *view)
 *       The inverse.
 *   u64 port_user_copy(void *to, const void *from, u64 n), with PORT_USER_COPY
 *   defined: optional
 *       Copy N bytes as the running task's own accesses would; one of TO and
 *       FROM is an address of its space, below its end, the other is the
 *       kernel's. Ends where an access would fault: no fault is taken.
 *       Returns the number of bytes that were not copied. Any context.
 *   void port_clear_page(void *view), void port_copy_page(void *to, const
 *   void *from)
 *       Whole pages of PAGE_SIZE, page aligned; charged to virtual time
 *       where there is one.
 */
#ifndef MMKIT_PORT_H
#define MMKIT_PORT_H

#include <mmkit/task.h>
#include <mmkit/types.h>

struct port_thread; /* a thread of the world; opaque to the manager */
struct port_bdev;   /* a block device of the world; opaque */

/* ---- console, panic, entropy, time ------------------------------------- */

/*
 * port_console: hand LEN bytes of finished text to the console; LEVEL is the
 * severity as in syslog(2), 0 emergency .. 7 debug. Any context.
 */
void port_console(int level, const char *text, size_t len);

/*
 * port_panic: the manager cannot go on (a broken invariant, no memory that
 * must be had). Must not return. The port decides what happens to the rest.
 */
_Noreturn void port_panic(const char *message);

/* port_entropy: 64 random bits; seeded and repeatable in sim. Any context. */
u64 port_entropy(void);

/* port_now_ns: monotonic time since boot; virtual in sim. Any context. */
u64 port_now_ns(void);

/* port_charge_ns: virtual time spent by the running CPU; a no-op elsewhere. */
void port_charge_ns(u64 ns);

/*
 * port_stack_trace: the return addresses of the running stack into OUT[MAX],
 * innermost first, beginning with the one in the function that calls this.
 * Allocates nothing, takes no lock that an allocation could be made under.
 * Returns how many; 0 where stacks cannot be walked, or while one is. A
 * debugging aid: a list may end early. Any context.
 */
u32 port_stack_trace(u64 *out, u32 max);

/*
 * port_symbol: ADDR, a return address, in words: "function+0x1c/0x40", with
 * " [module]" if there are several, or what the world knows instead; the
 * number at least. BUF[SIZE], SIZE > 0, is terminated. Allocates nothing.
 * Returns the text's length, < SIZE. Any context; may be slow.
 */
u32 port_symbol(u64 addr, char *buf, u32 size);

/* ---- CPUs and threads ---------------------------------------------------- */

/* port_nr_cpus: CPUs of this machine, 1 .. MM_NR_CPUS; constant after start. */
int port_nr_cpus(void);

/* port_cpu_node: the NUMA node that CPU belongs to. */
int port_cpu_node(int cpu);

/*
 * port_thread_start: run FN(ARG) as a kernel thread that prefers the CPUs of
 * NODE (-1: any). On success *OUT owns the thread until port_thread_join().
 * The thread's mm_task has PF_KTHREAD and no mm. Context: may sleep.
 * Returns 0, -ENOMEM or -EAGAIN; *OUT is untouched on failure.
 */
int port_thread_start(struct port_thread **out, const char *name, int node,
		      void (*fn)(void *arg), void *arg) MM_MUST_CHECK;

/* port_thread_join: wait until T's function has returned, then free T. */
void port_thread_join(struct port_thread *t);

/* port_self: the running thread. */
struct port_thread *port_self(void);

/*
 * port_park: sleep until somebody calls port_unpark() on this thread or
 * TIMEOUT_NS passes (UINT64_MAX: no limit). A thread has one permit: an
 * unpark that came first makes the next park return at once. Returns true if
 * a permit was taken, false on time-out. May return true spuriously: callers
 * re-check their condition. Context: may sleep.
 */
bool port_park(u64 timeout_ns);

/* port_unpark: give T its permit and make it runnable. Any context. */
void port_unpark(struct port_thread *t);

/* ---- RAM ------------------------------------------------------------------
 */

/*
 * port_ram_online: make [START, START + SIZE) usable through port_ram().
 * Page aligned. Contents are zero in sim and host. Returns 0, -ENOMEM, or
 * -ERANGE if the world cannot address the range.
 */
int port_ram_online(phys_addr_t start, u64 size) MM_MUST_CHECK;

/*
 * port_ram_protect: [START, START + SIZE), page aligned and online, must not
 * be touched through port_ram() from now on (PROTECT), or may be again. A
 * debugging aid: a world that cannot, or can no longer, may leave the range
 * accessible; it never leaves one inaccessible that should be. Contents stay.
 * Any context.
 */
void port_ram_protect(phys_addr_t start, u64 size, bool protect);

/*
 * port_ram_offline: [START, START + SIZE), which port_ram_online() brought up,
 * is used no more: contents are lost, the world may take the memory back, and
 * touching it should fault. Page aligned; any part of what is online. A later
 * port_ram_online() of it starts again from zero. Nobody uses the range when
 * it is called.
 */
void port_ram_offline(phys_addr_t start, u64 size);

/*
 * port_ram_limit: from now on port_ram() reaches only what lies below END, the
 * end of low memory; touching more should trap, online or not. Frames above
 * are reached through views (below). Called once, at boot, where there can be
 * high memory. Returns 0, or -EOPNOTSUPP if the world has no such views.
 */
int port_ram_limit(phys_addr_t end) MM_MUST_CHECK;

/* ---- the kernel's virtual window ------------------------------------------
 *
 * Places in the kernel's address space that get frames by and by: vmalloc,
 * pkmap, fixmap. Page tables say which, and on a machine nothing else is
 * needed: a view is the address itself. A hosted world maps frames of its RAM
 * a second time where the manager can touch them.
 */

/*
 * port_kva_reserve: the kernel will use [START, START + BYTES), page aligned,
 * in this way. Called once at boot. Returns 0, -ENOMEM, or -EOPNOTSUPP if the
 * world's RAM cannot be mapped twice.
 */
int port_kva_reserve(kva_t start, u64 bytes) MM_MUST_CHECK;

/*
 * port_kmap_view: the NR frames from PFN on, online, appear at VA, inside the
 * reserved window; nothing was there. Any context. Returns 0 or -ENOMEM (the
 * world is out of mappings). port_kunmap_view: they go; touching should trap.
 */
int port_kmap_view(kva_t va, u64 pfn, u64 nr) MM_MUST_CHECK;
void port_kunmap_view(kva_t va, u64 nr);

/*
 * port_kva: the view of VA, an address of the window. port_kva_of: the
 * inverse; 0 if VIEW does not lie in the window.
 */
void *port_kva(kva_t va);
kva_t port_kva_of(const void *view);

/*
 * port_memmap_reserve: reserve BYTES of zero-filled address space for the
 * array of struct page, indexed by pfn. Nothing is touched yet. Returns the
 * base, or NULL when the world has no room.
 */
void *port_memmap_reserve(u64 bytes) MM_MUST_CHECK;

/*
 * port_memmap_back: the bytes [OFF, OFF + LEN) of that array will be used;
 * the frames at PHYS have been set aside for them in the machine's books. A
 * world with its own storage for the array may leave those frames unused.
 * Returns 0 or -ENOMEM.
 */
int port_memmap_back(u64 off, u64 len, phys_addr_t phys) MM_MUST_CHECK;

/*
 * port_memmap_unback: the reverse: the bytes [OFF, OFF + LEN) are used no
 * more and read as zero when they are backed again; afterwards the frames
 * that were set aside for them are the manager's to use otherwise.
 */
void port_memmap_unback(u64 off, u64 len);

/* ---- MMU ------------------------------------------------------------------
 */

/*
 * port_set_switch_hook: HOOK(PREV, NEXT) runs on a CPU each time that CPU
 * changes thread, pinned and with interrupts on, before NEXT runs; it loads
 * NEXT's table root. It must not sleep; it may take spinlocks. A CPU that
 * goes idle keeps PREV until another thread comes, unless PREV ends or leaves
 * the CPU: then HOOK is called with the CPU's idle task (PF_KTHREAD, no mm)
 * as NEXT, so that PREV is never a task that is gone. With PF_IDLE in the idle
 * task's flags, which a world may set, HOOK is called whenever a CPU goes idle,
 * and the CPU gives its table up. NULL: none.
 */
void port_set_switch_hook(void (*hook)(struct mm_task *prev,
				       struct mm_task *next));

/*
 * port_set_fault_hook: the manager's page-fault entry. HOOK(TASK, VA, ERROR)
 * is called in TASK's own context (may sleep) when an access at VA has no
 * usable translation; ERROR is made of PF_ERR_* (arch/paging.h). It returns 0
 * if the access should be tried again, else the signal number that TASK gets.
 * NULL: every fault is a SIGSEGV (11).
 */
void port_set_fault_hook(int (*hook)(struct mm_task *task, uva_t va,
				     u32 error));

/*
 * port_load_root: from now on this CPU translates user addresses through the
 * table at ROOT_PFN; its TLB entries are tagged with ASID, 0 .. 4095. Nothing
 * is flushed: entries of the same ASID from before stay. Called pinned.
 */
void port_load_root(u64 root_pfn, u32 asid);

struct port_cpumask {
	u64 bits[(MM_NR_CPUS + 63) / 64]; /* a bit per CPU */
};

/*
 * port_tlb_flush: on each CPU of CPUS forget translations of ASID in
 * [START, END) (END == 0: all of ASID). When it returns, no CPU uses such an
 * entry any more and accesses that had begun with one are complete.
 * Context: interrupts on; spinlocks may be held (so a CPU waiting for a lock
 * must still answer).
 */
void port_tlb_flush(const struct port_cpumask *cpus, u32 asid, uva_t start,
		    uva_t end);

/* port_tlb_flush_aged: the same, but only accessed bits went: the running CPU
 * forgets now, others at their next tick or load of a table, uninterrupted. */
void port_tlb_flush_aged(const struct port_cpumask *cpus, u32 asid, uva_t start,
			 uva_t end);

/*
 * port_load_kernel_root: on all CPUs the table at ROOT_PFN translates the
 * kernel's addresses where no table of a process does: on a CPU that never
 * loaded one and, for a format with a register of its own for the upper half
 * (arm64), always. Once, at boot.
 */
void port_load_kernel_root(u64 root_pfn);

/*
 * port_tlb_flush_kernel: on all CPUs forget translations of the kernel's
 * addresses [START, END), global ones and of whatever ASID. Otherwise as
 * port_tlb_flush(). port_tlb_flush_kernel_self: the running CPU alone, pinned;
 * any context.
 */
void port_tlb_flush_kernel(kva_t start, kva_t end);
void port_tlb_flush_kernel_self(kva_t start, kva_t end);

/* port_tlb_counts: fill OUT with what all CPUs did so far: flushes that needed
 * other CPUs, interrupts that CPUs got for them, flushes of all of an ASID (or
 * of everything), single pages flushed; without TLBs 0. Any context. */
struct port_tlb_counts {
	u64 remote, received, all, one;
};
void port_tlb_counts(struct port_tlb_counts *out);

/* ---- block devices ---------------------------------------------------------
 */

#define PORT_SECTOR_SIZE 512u

/*
 * PORT_BIO_FLUSH moves no pages (sector and nr_pages do not count): what ended
 * before it was submitted survives a loss of power once it has ended. At once
 * done where a device keeps nothing back.
 *
 * PORT_BIO_DISCARD moves none either: what NR_PAGES pages from SECTOR on hold
 * is not wanted any more, and reads as anything until it is written. NR_PAGES
 * is 1 .. port_bdev_discard_max(); -EOPNOTSUPP: the device knows no such thing.
 */
enum port_bio_op {
	PORT_BIO_READ,
	PORT_BIO_WRITE,
	PORT_BIO_FLUSH,
	PORT_BIO_DISCARD
};

/*
 * One transfer between a device and whole frames. The submitter owns the
 * structure; the port owns it from submit until END_IO is called, once, in
 * interrupt context, with STATUS 0 or a negative errno (-EIO, -ENOSPC; -EROFS:
 * a write to a device that cannot be written).
 */
struct port_bio {
	struct port_bdev *bdev;
	enum port_bio_op op;
	u64 sector;   /* first sector; a multiple of PAGE_SIZE/512 */
	u32 nr_pages; /* 1 .. PORT_BIO_MAX_PAGES, or as said above */
	int status;   /* set by the port before end_io */
	void (*end_io)(struct port_bio *bio);
	void *private;	       /* the submitter's */
	struct port_bio *next; /* the port's while it owns the bio */
	u64 port_data;	       /* the port's while it owns the bio */
#define PORT_BIO_MAX_PAGES 32
	u64 pfn[PORT_BIO_MAX_PAGES];
};

/*
 * port_bio_submit: start BIO; never fails by itself, errors come through
 * end_io (which may be called before this returns). Context: any thread
 * context, no sleeping needed.
 */
void port_bio_submit(struct port_bio *bio);

/*
 * port_bdev_size: bytes of the device; of one that was resized not always
 * whole pages: of a page over the end, what lies behind reads as zero, and is
 * dropped when written.
 */
u64 port_bdev_size(const struct port_bdev *bdev);

/*
 * port_bdev_resize: the device has BYTES from now on; what appears reads as
 * zero. Requests beyond a new, smaller end that are under way may fail. May
 * sleep; one call at a time. 0; -ENOSPC, -EFBIG, -EIO, -ENOMEM: as before;
 * -EOPNOTSUPP: this one has a fixed size.
 */
int port_bdev_resize(struct port_bdev *bdev, u64 bytes) MM_MUST_CHECK;

/* port_bdev_discard_max: the most pages that one PORT_BIO_DISCARD to the device
 * may name; 0: it knows no such requests. Constant. */
u32 port_bdev_discard_max(const struct port_bdev *bdev);

/* port_bdev_name: name as /proc/swaps shows it; lives as long as the device. */
const char *port_bdev_name(const struct port_bdev *bdev);

#include "port_inline.h"

#ifndef PORT_USER_COPY
static inline u64 port_user_copy(void *to, const void *from, u64 n)
{
	(void)to;
	(void)from;
	return n;
}
#endif

#ifndef PORT_CPU_OR_NONE
static inline int port_cpu_or_none(void)
{
	return port_cpu();
}
#endif

#endif
