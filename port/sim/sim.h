/* SPDX-License-Identifier: MIT */
/*
 * sim.h - the simulated machine, as a program that drives it sees it.
 *
 * A machine is made by sim_init(), runs inside sim_run() and is taken away
 * by sim_shutdown(), after which another may be made in the same process.
 * There is one machine at a time and only one host thread may use it.
 *
 * Everything is repeatable: equal configuration and equal calls give the
 * same interleaving, the same virtual times and the same counters. No host
 * clock and no host address takes part in any decision.
 */
#ifndef PORT_SIM_H
#define PORT_SIM_H

#include <mmkit/port.h>

#include "arch/paging.h"

/* ---- the machine -----------------------------------------------------------
 */

/* First-level slots that a TLB can have. */
#define SIM_TLB_L1_MAX 1024
/* Sets of its second level, and entries of a set. */
#define SIM_TLB_SETS_MAX 65536
#define SIM_TLB_WAYS_MAX 255

/* Where finished console text goes. */
typedef void sim_console_fn(void *arg, int level, const char *text, size_t len);

struct sim_config {
	int cpus;	    /* 1 .. MM_NR_CPUS; 0 means 1 */
	u64 seed;	    /* of the scheduler's and the entropy's PRNG */
	bool explore;	    /* switch at random at every sched point */
	u32 stall;	    /* explore: one in so many points a CPU stands still
			     * for long while others go on; 0: never */
	u64 ram_max;	    /* addressable bytes; 0 means 16 TiB */
	u32 tlb_l1;	    /* first-level slots, power of two; 0: 256 */
	u32 tlb_sets;	    /* second level, power of two; 0: 128 */
	u32 tlb_ways;	    /* 0: 12 */
	u32 tlb_large_sets; /* large pages' own array, power of two; 0: they
			     * are in the second level with the small ones */
	u32 tlb_large_ways;
	u64 jitter_ns;	 /* lead a CPU may take; 0: 500 */
	u32 stack_bytes; /* of a thread; 0: 256 KiB (1 MiB under asan) */
	const struct paging_format *format; /* NULL: x86-64, four levels */
	const struct sim_costs *costs;	    /* NULL: sim_default_costs */
	const u8 *cpu_node;	 /* node of each CPU; NULL: all on node 0 */
	sim_console_fn *console; /* NULL: standard error */
	void *console_arg;
	int console_level; /* less severe text is dropped; 0: 4 */
	bool quiet;	   /* no console text at all */
	bool catch_panic;  /* port_panic ends sim_run, else it aborts */
	/*
	 * RAM is a file, so that frames can be mapped a second time. Always so
	 * where the format has high memory.
	 */
	bool shared_ram;
};

/* The defaults of docs/TIME-MODEL.md. */
extern const struct sim_costs sim_default_costs;

/*
 * sim_init: make a machine. CFG may be NULL for all defaults; it is copied.
 * Until sim_run() and after it the caller plays CPU 0 in a boot task: it may
 * call what does not sleep. Returns 0, -EINVAL, -ENOMEM or -EBUSY (there is
 * a machine already).
 */
int sim_init(const struct sim_config *cfg) MM_MUST_CHECK;

/*
 * sim_run: run MAIN(ARG) as a thread on CPU 0 (PF_KTHREAD until it is given
 * an mm) and the machine with it until MAIN returns; other threads stay where
 * they are then and go on in a later sim_run(). Returns MAIN's result;
 * -EDEADLK when nothing could ever happen again (the state of each thread is
 * on the console; the machine can only be shut down); -EIO after a panic with
 * catch_panic.
 */
int sim_run(int (*main)(void *arg), void *arg);

/* sim_shutdown: free the machine with its RAM, threads and disks. */
void sim_shutdown(void);

/* View of physical address 0 with all RAM, high memory too. */
extern char *sim_phys_base;

/* sim_phys: what stands at PA, past all rules: for the world and for tests. */
static inline void *sim_phys(phys_addr_t pa)
{
	return sim_phys_base + pa;
}

/* sim_now_ns: virtual time of the CPU that runs. */
u64 sim_now_ns(void);

/* ---- threads
 * ------------------------------------------------------------------ */

/*
 * sim_thread_start_on: run FN(ARG) on CPU as a user task (no PF_KTHREAD, no
 * mm yet). As port_thread_start() otherwise.
 */
int sim_thread_start_on(struct port_thread **out, const char *name, int cpu,
			void (*fn)(void *arg), void *arg) MM_MUST_CHECK;

/* sim_thread_name: of the thread whose task has this trace_id; NULL: it has
 * ended, or never was. They have SIM_TRACE_ID set, as no pid has. */
#define SIM_TRACE_ID 0x80000000u
const char *sim_thread_name(u32 trace_id);

/* What became of a thread so far. */
struct sim_thread_times {
	u64 start_ns; /* it was made */
	u64 run_ns;   /* it had a CPU for so long */
	int cpu;
	bool runs; /* it has one now, or waits for it */
};
void sim_thread_times(const struct port_thread *t,
		      struct sim_thread_times *out);
/* sim_cpu_times: how long CPU ran user tasks, and kernel threads. */
void sim_cpu_times(int cpu, u64 *user_ns, u64 *kthread_ns);

/* sim_thread_task: the task that T embeds. */
struct mm_task *sim_thread_task(struct port_thread *t);

/*
 * sim_set_cpu: move T to CPU. The running thread is there when the call
 * returns (may sleep); another one moves when it next gets to run.
 */
void sim_set_cpu(struct port_thread *t, int cpu);

/*
 * sim_cpu_down: CPU runs no thread any more: those that are there move to
 * others, new ones begin on others, disks interrupt CPU 0 instead; returns when
 * the last has moved (may sleep). Not CPU 0. sim_cpu_up: threads may begin
 * there again, and be moved.
 */
void sim_cpu_down(int cpu);
void sim_cpu_up(int cpu);

/* sim_yield: let other runnable threads of this CPU go first. May sleep. */
void sim_yield(void);

/* ---- user memory access
 * --------------------------------------------------------- */

#define SIM_READ  1u
#define SIM_WRITE 2u
#define SIM_EXEC  4u

/* Bits of sim_tlb_entry.user_bits that belong to the caller. */
#define SIM_TLB_USER0 1u
#define SIM_TLB_USER1 2u

/*
 * One cached translation of a 4 KiB page, or of 4 KiB of a large one (LEVEL is
 * its leaf's): only sim_tlb_for_each() shows large ones whole. SIM_WRITE is in
 * PERM only once the dirty bit of the table is set, as in a CPU.
 */
struct sim_tlb_entry {
	u64 key;    /* page address | asid */
	char *view; /* of the page frame */
	u64 pfn;
	u8 perm;      /* SIM_* that need no walk */
	u8 user_bits; /* the caller's; cleared when the entry is loaded */
	u8 level;     /* of the leaf it came from */
	u8 global;    /* a global page of the kernel's: of every ASID */
};

/* The head of a CPU: what an access that hits needs. */
struct sim_mmu {
	struct sim_hot hot;
	u64 asid;
	u64 hits;
	u32 hit_ns;
	u32 l1_mask;
	struct sim_tlb_entry *l1[SIM_TLB_L1_MAX];
};

/*
 * sim_tlb_lookup: the running CPU's entry for VA if an access of kind ACCESS
 * hits it in the first level, charged and counted; else NULL, not charged.
 * The entry may be used until the next sched point.
 */
static inline struct sim_tlb_entry *sim_tlb_lookup(uva_t va, unsigned access)
{
	struct sim_mmu *m = (struct sim_mmu *)sim_this;
	struct sim_tlb_entry *e = m->l1[(va >> PAGE_SHIFT) & m->l1_mask];

	if (unlikely(e->key != ((va & PAGE_MASK) | m->asid) ||
		     (access & ~e->perm)))
		return NULL;
	m->hits++;
	m->hot.clock_ns += m->hit_ns;
	return e;
}

/* sim_tlb_hit: the same as a predicate. */
static inline bool sim_tlb_hit(uva_t va, unsigned access)
{
	return sim_tlb_lookup(va, access) != NULL;
}

/*
 * sim_tlb_get: like sim_tlb_lookup(), but goes through the second level, a
 * walk and the fault hook as needed. NULL with *SIG set if the task gets a
 * signal. Context: task context, nothing pinned; may sleep.
 */
struct sim_tlb_entry *sim_tlb_get(uva_t va, unsigned access, int *sig);

/*
 * sim_touch: one access by the running task; 0, or the signal that it gets.
 */
static inline int sim_touch(uva_t va, unsigned access)
{
	int sig = 0;

	if (likely(sim_tlb_hit(va, access)))
		return 0;
	sim_tlb_get(va, access, &sig);
	return sig;
}

/*
 * sim_user: host view of the byte at VA of the running task after an access
 * of kind ACCESS, good up to the end of its page and until the next sched
 * point; NULL with *SIG set if the task gets a signal.
 */
void *sim_user(uva_t va, unsigned access, int *sig);

/*
 * sim_copy_to_user, sim_copy_from_user: move LEN bytes, page by page with a
 * sched point after each. Return 0 or the signal; what lies before the page
 * that failed has been copied then.
 */
int sim_copy_to_user(uva_t to, const void *from, size_t len) MM_MUST_CHECK;
int sim_copy_from_user(void *to, uva_t from, size_t len) MM_MUST_CHECK;

/*
 * sim_set_fill_hook: HOOK(E, VA, ACCESS, LOADED) is called after each walk,
 * and when a large page's entry serves 4 KiB that the first level lacked: with
 * LOADED when a translation was put into the TLB, without when a first write
 * set the dirty bit under an entry that was there. It is not called on other
 * hits. It must not take a sched point. NULL: none.
 */
void sim_set_fill_hook(void (*hook)(struct sim_tlb_entry *e, uva_t va,
				    unsigned access, bool loaded));

/*
 * sim_tlb_for_each: FN for each translation that any CPU holds now, a large
 * page's once, with the page's first address as key: a checker sees by it what
 * a missing flush left behind. FN must not take a sched point.
 */
void sim_tlb_for_each(void (*fn)(const struct sim_tlb_entry *e, int cpu,
				 void *arg),
		      void *arg);

/* One place in a CPU's second level, and what lies there. */
struct sim_tlb_place {
	const struct sim_tlb_entry *e;
	int cpu;
	u32 asid;   /* of a global page: 0 */
	u64 start;  /* of the page; a large one's as a whole */
	bool first; /* the first level has the page asked for, by E */
	bool large; /* in the large pages' own array */
	u32 set, way;
	unsigned user, kernel; /* SIM_* that need no walk, by whom */
};

/*
 * sim_tlb_covering: FN for each translation of VA that any CPU holds now, of
 * whatever ASID. Nothing is charged. FN must not take a sched point.
 */
void sim_tlb_covering(u64 va,
		      void (*fn)(const struct sim_tlb_place *p, void *arg),
		      void *arg);

/* Where a CPU would look for the 4 KiB of an address. */
struct sim_tlb_where {
	int cpu;
	u32 loaded;	 /* ASID */
	u32 slot, slots; /* first level */
	u32 set, sets, ways;
};

/* sim_tlb_where: the running CPU, asked for VA of ASID. */
void sim_tlb_where(u64 va, u32 asid, struct sim_tlb_where *out);

/*
 * sim_walk: translate VA through the table at ROOT_PFN as the MMU would for
 * a user access: sets A and D, no TLB, no charge. Returns 0 with *PA set, or
 * the PF_ERR_* code + 1 << 31 (so that it is never 0).
 */
#define SIM_WALK_FAULT 0x80000000u
u32 sim_walk(u64 root_pfn, uva_t va, unsigned access, phys_addr_t *pa);

/*
 * sim_kernel: host view of the byte at the kernel's address VA after an access
 * of kind ACCESS by the supervisor: through the TLB, or a walk of the tables
 * that the running CPU has loaded. Good up to the end of the page and until
 * the next sched point. NULL with *ERROR = PF_ERR_* | SIM_WALK_FAULT if it
 * would fault. sim_kernel_pa: the frame's address in place of the view; ~0.
 */
void *sim_kernel(kva_t va, unsigned access, u32 *error);
phys_addr_t sim_kernel_pa(kva_t va, unsigned access, u32 *error);

/* Counters of all CPUs since sim_init(). */
struct sim_tlb_stats {
	u64 hits;	 /* first or second level */
	u64 misses;	 /* no usable entry */
	u64 walks;	 /* misses and first writes */
	u64 dirty_walks; /* first writes through a clean entry */
	u64 faults;	 /* fault hook calls */
	u64 flush_pages; /* pages of ranges flushed one by one */
	u64 flush_all;	 /* scans of a whole TLB */
	u64 flushed;	 /* entries that a flush removed */
	u64 ipis;	 /* remote CPUs told to flush */
	u64 remote;	 /* flushes that told any */
	u64 switches;	 /* thread switches */
	u64 large_fills; /* misses that loaded a large page's entry */
};

void sim_tlb_stats(struct sim_tlb_stats *out);

/* ---- disks
 * --------------------------------------------------------------------- */

struct sim_disk_config {
	const char *name; /* as /proc/swaps shows it; NULL: the path */
	const char *path; /* host file, created if needed; NULL: memory */
	u64 size_bytes;	  /* a multiple of PAGE_SIZE */
	u32 depth;	  /* requests that proceed at once; 0: 8 */
	bool reserve;	  /* allocate the file's blocks now */
	bool unlink;	  /* remove the file's name at once */
	/* A part of that disk: requests take turns for its channels. It must
	 * not be closed before this one. NULL: a disk by itself. */
	struct port_bdev *on;
	/* In memory only: makes what page PAGE (4096 bytes at VIEW, zeroed)
	 * holds when it is read before it was ever written. Bytes behind
	 * SIZE_BYTES, or behind a size the disk had since, are zero. Called
	 * at completion: must not block. NULL: zeroes. */
	void (*fill)(void *arg, u64 page, void *view);
	void *fill_arg;
	/* Pages that one request may name to be forgotten: then the disk does
	 * so, and reads of them give rubbish. 0: it knows no such requests. */
	u32 discard_max;
};

#define SIM_DISK_ERR_MAX 256

/*
 * sim_disk_open: make a disk. On success *OUT lives until sim_disk_close()
 * or sim_shutdown(). On failure a negative errno, and the reason with the
 * path in ERR (SIM_DISK_ERR_MAX bytes; may be NULL).
 */
int sim_disk_open(struct port_bdev **out, const struct sim_disk_config *cfg,
		  char *err) MM_MUST_CHECK;

/* sim_disk_close: no request may be under way. */
void sim_disk_close(struct port_bdev *disk);

/* A rule that makes requests fail. */
struct sim_disk_fault {
	bool reads, writes; /* which operations match */
	bool resizes;	    /* port_bdev_resize() fails as well */
	bool flushes;	    /* so do flushes, wherever */
	bool discards;	    /* and PORT_BIO_DISCARD */
	u64 first, last;    /* sectors; last == 0: up to the end */
	u64 skip;	    /* matching requests that pass first */
	u64 times;	    /* then so many fail; 0: all */
	int error;	    /* status: -EIO, -ENOSPC */
};

/*
 * sim_disk_watch: FN(ARG, op, page, bytes) for each page that is written, at
 * the moment it is, and for each flush (bytes NULL); NULL: no more. It must not
 * block.
 */
void sim_disk_watch(struct port_bdev *disk,
		    void (*fn)(void *arg, enum port_bio_op op, u64 page,
			       const void *bytes),
		    void *arg);

/* sim_disk_fail: install RULE, replacing any; NULL: none. */
void sim_disk_fail(struct port_bdev *disk, const struct sim_disk_fault *rule);

struct sim_disk_stats {
	u64 reads, writes, flushes, discards; /* requests */
	u64 discarded;			      /* pages that were forgotten */
	u64 read_sectors, write_sectors;
	u64 errors;
	u64 busy_ns;	 /* sum of service times */
	u64 pages_again; /* with fill: pages read that had been moved before */
};

void sim_disk_stats(const struct port_bdev *disk, struct sim_disk_stats *out);

#endif
