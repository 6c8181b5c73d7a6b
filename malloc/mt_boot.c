/* SPDX-License-Identifier: MIT */
/*
 * mt_boot.c - the machine under malloc: boot, CPUs, RAM that grows.
 *
 * 1. Purpose. Bring up floors base to kmem inside somebody else's process, at
 *    the first request for memory, before main and with no memory but what
 *    mmap gives.
 *
 * 2. CPUs are borrowed. A thread is CPU i of the machine while it holds the
 *    word of slot i: from mt_enter() to mt_leave(), which is some hundred
 *    instructions every few dozen requests. So any number of threads share
 *    few slots, a thread that ends has nothing to give back, and fork waits
 *    for all words to know that nobody is inside. The port's own attaching of
 *    threads, which keeps a slot for life and allocates, is never reached.
 *    All threads begin at slot 0 and stay where they last found one free: what
 *    CPUs keep for themselves is kept as often as threads met, not as often as
 *    there were threads. While these are few, one waits a while for its slot
 *    (MT_WAITS_MOST in its life), so that two that meet when they begin, and
 *    seldom after that, have one between them.
 *
 * 3. RAM lies in one reservation of address space. It starts with a part of a
 *    section, so that few descriptors are made for small programs, and grows
 *    by sections of 128 MiB that are hot-added when an allocation fails. All
 *    is at physical addresses from 4 GiB, which is zone NORMAL.
 *
 * 4. Locking. grow_word (cache creation, RAM) is taken with a slot held;
 *    meta_word and the depots' words are taken with or without one and hold
 *    nothing. fork takes depots, meta, slots, grow, packs in that order
 * (mt_fork.c); nobody waits for a slot with one of the others held.
 *
 *    fork's hooks are registered by the second thread that has magazines (in
 *    the modes at boot): while there is one, nobody else can be inside, and a
 *    process of one thread is spared the pages of the C library that
 *    registering touches. (The C library holds its own word through fork, so
 *    registering waits.) Other libraries' hooks may then allocate after ours
 *    has taken all words: the thread that holds them goes through.
 *
 * 5. Failure. No address space, no RAM: state 3, every request is ENOMEM.
 *
 * 6. Rejected. A slot for life with a fallback for the threads that find
 *    none: two ways for everything, and a program with 65 threads that is
 *    slower than one with 64. RAM of fixed size made at boot: its descriptors
 *    alone are 1 % of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <mmkit/errno.h>
#include <mmkit/memory_hotplug.h>
#include <mmkit/page_alloc.h>

#include "base/fail.h"
#include "kmem/slab.h"
#include "mt.h"
#include "phys/phys.h"

#define RAM_START   (1UL << 32)
#define RAM_FIRST   (16UL << 20) /* bytes to begin with */
#define RAM_MOST    (1UL << 38)
#define MEMMAP_STEP 64u /* frames whose descriptors are made at a time */
#define META_CHUNK  (64UL << 10)
#define META_FIRST  3584u /* of it before mt_map, on its first page */
#define BOOT_BYTES  8192u
#define WAITING	    4u /* threads at most, or each has a slot of its own soon */
#define ENV_BYTES   65536u
#define MAP_METAMAP (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

struct mt_state mt_sys;
char *mt_base;
u64 mt_span;
u8 *mt_map;

static struct {
	char bytes[BOOT_BYTES] MM_ALIGNED(16);
	size_t used;
} boot_heap;

static struct e820_table ram_map;

/* ---- saying what is wrong ---------------------------------------------------
 */

static void console(void *arg, int level, const char *text, size_t len)
{
	(void)level;
	mt_sink(arg, text, len);
}

static void say_text(const char *text)
{
	mt_say(text, strlen(text));
}

/* ---- being a CPU
 * -------------------------------------------------------------- */

static void be_cpu(u32 i)
{
	struct port_thread *t = &mt_slot(i)->thread;

	mt_self.slot = i;
	host_self = (struct host_self){
		.task = &t->task, .thread = t, .cpu = (int)i};
}

/* Be CPU I, whose word is held, for the first time as a thread. CPU 0 runs
 * since the boot. */
static void be_other_cpu(u32 i)
{
	be_cpu(i);
	if (!mt_slot(i)->started && i)
		phys_start_cpu();
	mt_slot(i)->started = true;
}

/* Slot I, which another thread holds, if it is free again before the thread has
 * waited as long as it may in its life. */
static bool wait_for(u32 i)
{
	if (READ_ONCE(mt_sys.nr_live) > WAITING)
		return false;
	while (mt_self.waits < MT_WAITS_MOST) {
		mt_self.waits++;
		port_relax();
		if (port_spin_trylock(&mt_slot(i)->word))
			return true;
	}
	return false;
}

/* The slot that was free last is not: one that is. */
static MM_NOINLINE void enter_other(u32 i)
{
	if (unlikely(mt_self.forking) || wait_for(i)) {
		be_cpu(i);
		return;
	}
	for (;;) {
		for (u32 n = 0; n < mt_sys.nr_slots; n++) {
			if (port_spin_trylock(&mt_slot(i)->word)) {
				be_other_cpu(i);
				return;
			}
			i = i + 1 < mt_sys.nr_slots ? i + 1 : 0;
		}
		sched_yield();
	}
}

void mt_enter(void)
{
	u32 i = mt_self.slot;

	mm_assert(host_self.task == NULL);
	if (likely(!mt_self.forking) &&
	    likely(port_spin_trylock(&mt_slot(i)->word)))
		be_cpu(i);
	else
		enter_other(i);
}

void mt_leave(void)
{
	u32 i = (u32)host_self.cpu;

	host_self = (struct host_self){.cpu = MM_NR_CPUS};
	mt_unlock(&mt_slot(i)->word);
}

/*
 * The C library's wrappers of some calls lie on pages that small programs use
 * for nothing else; a process pays 64 KiB of residence for each.
 */
#if defined(__x86_64__)
static long call(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}
#else
static long call(long nr, long a, long b, long c)
{
	return syscall(nr, a, b, c);
}
#endif

#ifdef MT_PRELOAD
/* For all of the library (malloc.mk): threads that meet yield. */
int __wrap_sched_yield(void) MT_HIDDEN;
int __wrap_sched_yield(void)
{
	return (int)call(SYS_sched_yield, 0, 0, 0);
}
#endif

static u32 count_slots(void)
{
	u64 set[CPU_SETSIZE / 64] = {0};
	u32 n = 0;

	if (call(SYS_sched_getaffinity, 0, sizeof(set), (long)set) <= 0)
		return 4;
	for (size_t i = 0; i < ARRAY_SIZE(set); i++)
		n += (u32)__builtin_popcountl(set[i]);
	/* More than CPUs: a thread may lose its CPU while it is inside. */
	return clamp(2 * n, 2u, (u32)MM_NR_CPUS);
}

/* ---- memory of our own
 * --------------------------------------------------------- */

void *mt_map_meta(u64 bytes)
{
	void *p;

	if (fail_should(FAIL_VMAP))
		return NULL;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_METAMAP, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void **mt_meta_mag(void)
{
	void **mag = NULL;

	mt_lock(&mt_sys.meta_word);
	if (mt_sys.meta_free) {
		mag = mt_sys.meta_free;
		mt_sys.meta_free = *mag;
	} else {
		if (mt_sys.meta_at == mt_sys.meta_end) {
			char *p = mt_map_meta(META_CHUNK);

			mt_sys.meta_at = p;
			mt_sys.meta_end = p ? p + META_CHUNK : NULL;
			mt_sys.meta_bytes += p ? META_CHUNK : 0;
		}
		if (mt_sys.meta_at) {
			mag = (void **)(void *)mt_sys.meta_at;
			mt_sys.meta_at += MT_MAG_BYTES;
		}
	}
	mt_unlock(&mt_sys.meta_word);
	return mag;
}

void mt_meta_drop(void **mag)
{
	mt_lock(&mt_sys.meta_word);
	*mag = mt_sys.meta_free;
	mt_sys.meta_free = mag;
	mt_unlock(&mt_sys.meta_word);
}

void *mt_boot_alloc(size_t size)
{
	size_t at = boot_heap.used;

	size = ALIGN(max(size, (size_t)1), 16ul);
	if (size > BOOT_BYTES - at)
		return NULL;
	boot_heap.used = at + size;
	return boot_heap.bytes + at;
}

bool mt_boot_owns(const void *p)
{
	return (const char *)p >= boot_heap.bytes &&
	       (const char *)p < boot_heap.bytes + BOOT_BYTES;
}

/* ---- boot
 * ---------------------------------------------------------------------- */

/* Bytes of address space for RAM: twice what the system has, at least 16 GiB,
 * but not more than half of what the process may have. */
static u64 ram_room(void)
{
	struct sysinfo si = {0};
	struct rlimit lim;
	u64 room = 16UL << 30;

	if (!call(SYS_sysinfo, (long)&si, 0, 0))
		room = max(room, 2 * (u64)si.totalram * si.mem_unit);
	if (!getrlimit(RLIMIT_AS, &lim) && lim.rlim_cur != RLIM_INFINITY)
		room = min(room, (u64)lim.rlim_cur / 2);
	room = clamp(room, MEMORY_BLOCK_BYTES, RAM_MOST);
	return ALIGN_DOWN(room, MEMORY_BLOCK_BYTES);
}

/*
 * The port reserves from physical address 0 on; what lies below RAM_START is
 * given back at once.
 */
static bool boot_machine(void)
{
	struct host_config cfg = {.console = console,
				  .console_level = 3,
				  .no_stacks = true,
				  .cpus = (int)mt_sys.nr_slots,
				  .ram_max = RAM_START + mt_span};
	struct phys_boot_params pp = {.map = &ram_map,
				      .no_mobility_grouping = true,
				      .min_free_kbytes = 64,
				      .max_possible = RAM_START + mt_span,
				      .memmap_step = MEMMAP_STEP,
				      .memmap_apart = true,
				      /* Slabs come and go one by one. */
				      .pcp_batch = 3,
				      .late_cpus = true};

	/* Small slabs are empty sooner: what is free can be given back. */
	const struct slab_boot_params sp = {
		.slub_min_objects = 2,
		/* Magazines stand before the CPUs' arrays. */
		.array_most = 8,
		.no_kmalloc = true,
		/* What debugging checks must stay. */
		.few_slabs = !mt_sys.direct,
		.bulk_only = !mt_sys.direct,
		.link_first = !mt_sys.direct,
		.freelist_hardened = mt_sys.opt.hardened,
		.freelist_random = mt_sys.opt.hardened,
	};

	if (host_init(&cfg))
		return false;
	munmap(host_ram_base, RAM_START);
	mt_base = host_ram_base + RAM_START;
	madvise(mt_base, mt_span, MADV_NOHUGEPAGE);
	if (e820_add(&ram_map, RAM_START, RAM_FIRST, E820_TYPE_RAM))
		return false;
	mt_sys.ram_end = RAM_FIRST;
	be_cpu(0);
	if (phys_boot_memory(&pp) || kmem_init(&sp))
		return false;
	mt_sys.boot_frames = totalram_pages() - nr_free_pages();
	return true;
}

/* mt_map for FRAMES frames, with the first magazines on the page that it begins
 * on: small processes need no other. */
static u8 *map_and_mags(u64 frames)
{
	char *p = mt_map_meta(META_FIRST + frames * sizeof(mt_frame_map));

	if (!p)
		return NULL;
	mt_sys.meta_at = p;
	mt_sys.meta_end = p + META_FIRST;
	mt_sys.meta_bytes = META_FIRST;
	return (u8 *)p + META_FIRST;
}

static bool boot(void)
{
	u64 frames;

	mt_sys.nr_slots = count_slots();
	mt_span = ram_room();
	mt_sys.span = mt_span;
	mt_class_init();
	mt_options_init();
	mt_sys.pack_over = mt_sys.direct ? (u32)PAGE_SIZE : MT_PACK_OVER;
	/* Programs may close it before the statistics are written. */
	mt_sys.stats_fd = STDERR_FILENO;
	if (mt_sys.opt.stats || mt_sys.opt.slabinfo)
		mt_sys.stats_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
	frames = mt_span >> PAGE_SHIFT;
	mt_map = map_and_mags(frames);
	mt_sys.run = mt_map_meta(frames * sizeof(*mt_sys.run));
	if (!mt_map || !mt_sys.run || !mt_pack_init() ||
	    (mt_sys.direct && !mt_guard_init()))
		return false;
	return boot_machine();
}

/* Not inlined: it is dropped with the boot when that is over. */
static MM_NOINLINE bool bring_up(void)
{
	bool ok = boot();

	host_self = (struct host_self){.cpu = MM_NR_CPUS};
	if (ok && pthread_key_create(&mt_sys.key, mt_cache_exit))
		say_text("mmkit-malloc: no hook for threads' ends\n");
	return ok;
}

/* What mallopt() and registering do is for a library that is up. */
static MM_NOINLINE void after_boot(bool ok)
{
	if (!ok) {
		say_text("mmkit-malloc: cannot boot\n");
		return;
	}
	if (mt_sys.direct && !mt_fork_init())
		say_text("mmkit-malloc: no hooks for fork\n");
	mt_options_late();
}

#ifdef MT_PRELOAD
extern const char mt_some[] MT_HIDDEN, mt_few[] MT_HIDDEN;
extern const char mt_warm[] MT_HIDDEN, mt_rare[] MT_HIDDEN;
extern const char mt_cold[] MT_HIDDEN, mt_never[] MT_HIDDEN;
extern const char mt_cold_end[] MT_HIDDEN;

/* ADVICE for the library's file between two symbols of malloc.ld. */
static void advise(const char *from, const char *to, long advice)
{
	call(SYS_madvise, (long)from, (long)PAGE_ALIGN((u64)(to - from)),
	     advice);
}

/*
 * A fault brings what is around it in the same mapping. So the file's parts
 * become mappings of their own, by an advice for every second one that says
 * nothing, for what a file has is in no core dump; and what came with the
 * loader's faults goes.
 */
static MM_NOINLINE void part_file(void)
{
	advise(mt_some, mt_warm, MADV_DONTDUMP);
	advise(mt_few, mt_rare, MADV_DONTDUMP);
	advise(mt_cold, mt_never, MADV_DONTDUMP);
	advise(mt_some, mt_cold_end, MADV_DONTNEED);
}

/*
 * What only the boot runs is resident no longer; should it be needed, it comes
 * from the file again. The caller is not part of it (malloc.ld).
 */
static void forget_boot(void)
{
	advise(mt_some, mt_cold_end, MADV_DONTNEED);
}

/* The same when RAM grew, which runs parts of the boot. */
static void forget_growth(void)
{
	advise(mt_cold, mt_cold_end, MADV_DONTNEED);
}
#else
static void part_file(void)
{
}

static void forget_boot(void)
{
}

static void forget_growth(void)
{
}
#endif

/*
 * The first thread boots, others wait. What the C library allocates for it
 * meanwhile comes from a few static bytes.
 */
bool mt_boot(void)
{
	u32 none = 0;
	bool ok;

	if (mt_self.booting)
		return false;
	if (!__atomic_compare_exchange_n(&mt_sys.state, &none, 1, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
		/* By a handler of fork's, or it would be waited for. */
		mt_gate_leave();
		while ((none = __atomic_load_n(&mt_sys.state,
					       __ATOMIC_ACQUIRE)) == 1)
			sched_yield();
		return none == 2;
	}
	mt_self.booting = 1;
	mt_gate_wait();
	part_file();
	ok = bring_up();
	mt_self.booting = 0;
	__atomic_store_n(&mt_sys.state, ok ? 2 : 3, __ATOMIC_RELEASE);
	after_boot(ok);
	forget_boot();
	return ok;
}

/* ---- more RAM
 * ------------------------------------------------------------------ */

bool mt_grow(u64 seen)
{
	u64 at, size, end;
	bool ok = true;

	mt_lock(&mt_sys.grow_word);
	if (mt_sys.ram_end == seen) {
		/* The first part of a section stays one: blocks are whole. */
		at = ALIGN(mt_sys.ram_end, MEMORY_BLOCK_BYTES);
		size = MEMORY_BLOCK_BYTES;
		end = at + size;
		ok = end <= mt_sys.span &&
		     !add_memory(0, RAM_START + at, size,
				 MHP_MEMMAP_ON_MEMORY) &&
		     !online_pages(PFN_DOWN(RAM_START + at), PFN_DOWN(size),
				   MMOP_ONLINE_KERNEL);
		if (ok)
			__atomic_store_n(&mt_sys.ram_end, end,
					 __ATOMIC_RELEASE);
		forget_growth();
	}
	mt_unlock(&mt_sys.grow_word);
	return ok;
}
