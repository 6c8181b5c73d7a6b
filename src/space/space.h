/* SPDX-License-Identifier: MIT */
/*
 * space.h - the structures of address spaces, for this floor and those above.
 */
#ifndef MM_SPACE_SPACE_H
#define MM_SPACE_SPACE_H

#include <mmkit/fs.h>
#include <mmkit/mm.h>
#include <mmkit/port.h>
#include <mmkit/shm.h>
#include <mmkit/shrinker.h>

#include "base/atomic.h"
#include "base/epoch.h"
#include "base/list.h"
#include "base/mutex.h"
#include "base/rbtree.h"
#include "base/rwsem.h"
#include "base/spinlock.h"
#include "base/trace_ring.h"
#include "base/wait.h"
#include "pgtable/mmu_gather.h"
#include "pgtable/pgtable.h"

/* vm_area_struct.vm_flags; names as in Linux. */
#define VM_READ		0x00000001UL
#define VM_WRITE	0x00000002UL
#define VM_EXEC		0x00000004UL
#define VM_SHARED	0x00000008UL
#define VM_MAYREAD	0x00000010UL
#define VM_MAYWRITE	0x00000020UL
#define VM_MAYEXEC	0x00000040UL
#define VM_MAYSHARE	0x00000080UL /* asked for as MAP_SHARED */
#define VM_GROWSDOWN	0x00000100UL
#define VM_UFFD_MISSING 0x00000200UL /* userfaultfd.c */
#define VM_UFFD_WP	0x00001000UL
#define VM_LOCKED	0x00002000UL
#define VM_SEQ_READ	0x00008000UL
#define VM_RAND_READ	0x00010000UL
#define VM_DONTCOPY	0x00020000UL
#define VM_DONTEXPAND	0x00040000UL
#define VM_LOCKONFAULT	0x00080000UL
#define VM_ACCOUNT	0x00100000UL
#define VM_NORESERVE	0x00200000UL
#define VM_WIPEONFORK	0x02000000UL
#define VM_DONTDUMP	0x04000000UL
#define VM_SOFTDIRTY	0x08000000UL /* younger than the last clear_refs */
#define VM_HUGEPAGE	0x20000000UL
#define VM_NOHUGEPAGE	0x40000000UL
#define VM_MERGEABLE	0x80000000UL
#define VM_UFFD_MINOR	0x4000000000UL

#define VM_UFFD_FLAGS (VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR)

/* Flags that do not keep neighbours from being one mapping. */
#define VM_MERGE_IGNORE VM_SOFTDIRTY

#define VM_LOCKED_MASK (VM_LOCKED | VM_LOCKONFAULT)

#define VM_ACCESS_FLAGS (VM_READ | VM_WRITE | VM_EXEC)

/*
 * One mapping. (W) mmap lock for writing and vma_start_write() to change; mmap
 * lock for reading, or a claim (vma_lock.c), to read; (V) additionally the
 * locks of the trees that the VMA is linked in to change: its file's
 * i_mmap_rwsem and its anon_vmas' root; (T) as (W), within
 * tree_change_begin() and its end.
 */
struct vm_area_struct {
	uva_t vm_start, vm_end;	  /* (T, V) [start, end) */
	u64 vm_lock_seq;	  /* equal to mm_lock_seq: being changed */
	u64 vm_pgoff;		  /* (W, V) page number of vm_start */
	u64 vm_flags;		  /* (W) VM_* */
	pgprot_t vm_page_prot;	  /* (W) access bits of new entries */
	struct mm_struct *vm_mm;  /* constant */
	struct rb_node vm_rb;	  /* (T) */
	u64 rb_subtree_gap;	  /* (W) largest gap below, in the subtree */
	struct list_head vm_list; /* (W) in address order */
	struct list_head anon_vma_chain; /* (W) avc.same_vma */
	struct anon_vma *anon_vma;	 /* (W) set once under mm->anon_lock */
	struct epoch_head epoch;	 /* for the deferred free */
	/* Where its pages go: mempolicy.h. */
	struct mempolicy *vm_policy; /* (W) a reference; NULL: as the task's */
	s16 vm_home;		     /* (W) set_mempolicy_home_node(); -1 */
	u16 vm_life;		     /* (W) VMA_*: for checks only */
	/* (W) who is asked about faults, as VM_UFFD_* say; else NULL. */
	struct userfaultfd_ctx *vm_uffd;
	/* Of whom the contents are asked: vma_file.c. */
	struct file *vm_file; /* (W) holds a reference; NULL: no file */
	const struct vm_operations_struct *vm_ops; /* (W) NULL: anonymous */
	void *vm_private_data;			   /* the provider's */
	u64 vm_swap_ra; /* unlocked: read-ahead from swap: swap_ra.c */
	struct rb_node shared_rb; /* (V) in i_mmap */
	u64 shared_subtree_last;  /* (V) greatest last page */
};

/* Where a mapping is between its making and its end. No two differ in one bit
 * only, and none is what freed memory holds. */
#define VMA_NEW	   0x6e65u /* not yet in the tree */
#define VMA_LINKED 0x1a5cu
#define VMA_LEFT   0x83b1u /* out of the tree; walks may still pass by */
#define VMA_FREED  0xf4eeu /* nobody may look at it */

enum mm_counter {
	MM_ANONPAGES,
	MM_SWAPENTS,
	MM_FILEPAGES,  /* mapped pages of files */
	MM_SHMEMPAGES, /* mapped pages of shared memory */
	NR_MM_COUNTERS
};

/*
 * What faults of one CPU write: a cache line for each CPU (beyond MM_LINES
 * CPUs share them).
 */
#define MM_LINES       16u
#define MM_LINE_CLAIMS 4u
struct mm_line {
	uintptr_t claims[MM_LINE_CLAIMS]; /* (A) vma_lock.c; 0: free */
	s64 counters[NR_MM_COUNTERS];	  /* (A) this line's share of pages */
};
MM_STATIC_ASSERT(sizeof(struct mm_line) == MM_CACHELINE, "a line each");

/* mm_struct.flags */
#define MMF_OOM_SKIP	 0x1UL /* nothing more to gain from killing it */
#define MMF_OOM_VICTIM	 0x2UL
#define MMF_UNSTABLE	 0x4UL /* the reaper took pages away: faults must fail */
#define MMF_GONE	 0x8UL	/* exit_mmap() is over */
#define MMF_VM_MERGE_ANY 0x10UL /* PR_SET_MEMORY_MERGE: ksm.h */
#define MMF_DISABLE_THP	 0x20UL /* prctl(PR_SET_THP_DISABLE) */
#define MMF_HUGE_ZERO	 0x40UL /* it is a user of the huge zero page */

/* (M) mmap_lock, (A) atomic, (C) constant, (S) space_sys.lock. */
struct mm_struct {
	struct pgtable pt; /* see pgtable.h */
	struct rw_semaphore mmap_lock;
	struct rb_root mm_rb;	  /* (M), in a tree change */
	u64 tree_seq;		  /* (M) odd: the tree changes */
	u64 mm_lock_seq;	  /* (M) raised when the lock goes */
	u32 lines_used;		  /* (A) lines ever written */
	u32 zaps;		  /* (A) between clearing and flush */
	u32 unflushed;		  /* (A) batches of reclaim: tlb_batch.c */
	struct list_head mmap;	  /* (M) VMAs in address order */
	u32 map_count;		  /* (M) */
	u32 mm_users;		  /* (A) tasks and other users */
	u32 mm_count;		  /* (A) references to the structure */
	u32 asid;		  /* (C) tag in the TLBs */
	struct port_cpumask cpus; /* (A) CPUs that ever loaded it */
	struct mm_numa {	  /* numa_balance.c's, but for the counts */
		u64 next_ns;	  /* when it is looked at; 0: it is new */
		uva_t at;	  /* and where */
		u32 period_ms, passes;
		u64 local, remote; /* (A) hint faults since the last pass */
	} numa;
	u64 thp_pass;		 /* khugepaged's, that has seen it */
	uva_t thp_at;		 /* where khugepaged goes on */
	u64 flags;		 /* (A) MMF_* */
	struct mm_layout layout; /* (C) */
	uva_t brk, start_brk;	 /* (M) */
	u64 total_vm, data_vm, stack_vm, exec_vm; /* (M) pages */
	u64 locked_vm; /* (M) pages of VM_LOCKED mappings */
	u64 def_flags; /* (M) VM_LOCKED_MASK of mappings to come: mlockall() */
	u64 hiwater_rss; /* (A) largest mm_rss() before pages went */
	u64 hiwater_vm;	 /* (M) largest total_vm so far */
	/* (M) bytes; what binds, and how far it may be raised: rlimit.c */
	u64 rlimit_as, rlimit_data, rlimit_stack, rlimit_memlock;
	struct mm_hard_limits {
		u64 as, data, stack, memlock;
	} hard;
	struct mm_exec *exec;	      /* (A) set once; PR_SET_MM: prctl_mm.c */
	spinlock_t anon_lock;	      /* linking a VMA's first anon_vma */
	struct list_head mmlist;      /* (S) all address spaces */
	u64 serial;		      /* (C) they are in this order there */
	u32 swap_areas;		      /* (A) bit: may have entries of it */
	u16 group;		      /* (A) its tasks', when one locked it */
	struct list_head uffd_events; /* (M) to be told: userfaultfd.h */
	struct epoch_head epoch;      /* for the deferred free */
	wait_queue_head_t fault_wait; /* writers, for claims to go */
	/* Who is scanned for equal pages (src/merge/): written with the mmap
	 * lock held; what was found, under the scan's mutex; (A). */
	struct ksm_mm_slot *ksm_slot;
	u64 ksm_rmap_items, ksm_merging_pages;
	s64 ksm_zero_pages;
	struct mm_line *lines; /* (C) MM_LINES of them, behind this */
};

/* Tunables at boot: vm.mmap_min_addr (bytes), vm.stack_guard_gap (pages). */
#define SPACE_MMAP_MIN_ADDR   65536u
#define SPACE_STACK_GUARD_GAP 256u

/* /sys/kernel/mm/transparent_hugepage/enabled */
enum thp_enabled { THP_NEVER, THP_MADVISE, THP_ALWAYS, THP_INHERIT };

/* Tunables of huge pages, by the names of their files; khugepaged's figures. */
struct thp_state {
	u32 enabled; /* enum thp_enabled: what counts, of the next two */
	u32 enabled_all, enabled_size; /* the files, of all sizes and of ours */
	u32 defrag;		       /* enum thp_defrag */
	u32 khugepaged_defrag;
	u32 pages_to_scan;
	u32 scan_sleep_millisecs, alloc_sleep_millisecs;
	u32 max_ptes_none, max_ptes_swap, max_ptes_shared;
	u64 pages_collapsed, full_scans; /* (A) */
	u64 pass;			 /* khugepaged's, of all spaces */
	u32 use_zero_page;
	u64 zero; /* (A) huge_zero.c: frame number << 32 | users */
	struct shrinker zero_shrinker;
	bool ask; /* khugepaged is to look now */
	struct port_thread *khugepaged;
	wait_queue_head_t wait;
};

/* Balancing of nodes: numa_hint.c, src/policy/numa_balance.c. */
struct numa_balancing {
	u32 mode; /* tunable: NUMA_BALANCING_* */
	/* Tunables, by the names of their files. */
	u32 scan_delay_ms, scan_period_min_ms, scan_period_max_ms;
	u32 scan_size_mb, hot_threshold_ms;
	u32 rate_limit_mbps;
	u32 *history;	  /* (A) a word by frame; NULL: not used yet */
	u64 history_size; /* a power of two; before history is set */
	/* (A) pages that went to each node, and in which second */
	u64 rate_moved[MM_MAX_NODES], rate_second[MM_MAX_NODES];
	struct port_thread *daemon;
	wait_queue_head_t wait;
	bool ask; /* the daemon is to look now */
};

/* What this floor asks of move/; registered at boot. NULL: nothing moves. */
struct page_list;
struct mempolicy;
struct space_move_ops {
	/* PAGE, held by a reference that goes, leaves its frame, which is
	 * poisoned: 0, or why it stays. May sleep; no page lock held. */
	int (*soft_offline)(struct page *page);
	/* PAGE is to be taken off its list: true, isolated with a reference of
	 * its own. Does not sleep. */
	bool (*isolate)(struct page *page);
	/* LIST, of isolated pages, to nodes by POL (each page's place in it is
	 * its index); those that stay go back. How many; or -ENOMEM, with some
	 * back as well. The mmap lock may be held. May sleep. */
	s64 (*by_policy)(struct page_list *list, struct mempolicy *pol);
	/* PAGE, held by a reference that goes, should be on node NID: true, it
	 * is. Waits for nothing. No page lock held. */
	bool (*misplaced)(struct page *page, int nid);
	/* The same for the huge page FIRST. */
	bool (*misplaced_huge)(struct page *first, int nid);
	/* The huge page FIRST, held by a reference that goes, into BLOCK, or
	 * NULL, for mbind (MBIND) or migrate_pages: true, it has moved. May
	 * sleep; the mmap lock may be held. */
	bool (*whole)(struct page *first, struct page *block, bool mbind);
};

struct space_state {
	const struct space_move_ops *move_ops;
	spinlock_t lock;		    /* tasks, mms, ids */
	const struct paging_format *format; /* of this machine; constant */
	struct mm_task *tasks;
	struct list_head mms;
	s32 next_pid;
	void (*kill_hook)(struct mm_task *task); /* mm_set_kill_hook() */
	u32 next_asid;
#define SPACE_NR_ASIDS 4096u		/* what 12-bit PCIDs allow */
	u64 asids[SPACE_NR_ASIDS / 64]; /* taken; 0 is never given out */
	u64 nr_mms, last_serial;
	u64 swapoff_walks;     /* spaces that swapoff looked through */
	s64 oom_victims;       /* (A) spaces of victims that are not gone */
	u64 zero_pfn;	       /* the shared zero page */
	u64 committed;	       /* (A) pages accounted by VM_ACCOUNT */
	u64 max_map_count;     /* tunable */
	u32 overcommit_memory; /* tunable: 0, 1, 2 */
	u32 overcommit_ratio;  /* tunable, percent */
	u64 overcommit_kbytes; /* tunable; 0: the ratio counts */
	u64 admin_reserve_kbytes, user_reserve_kbytes; /* tunables */
	u64 mmap_min_addr;			       /* tunable, bytes */
	u64 stack_guard_gap;			       /* tunable, pages */
	struct shm_ns *shm; /* the first namespace of System V segments */
	struct shm_limits shm_limit; /* its limits; kernel.shm* */
	struct mutex mf_lock;	     /* one memory failure at a time */
	const struct memory_failure_ops *mf_ops;
	u32 memory_failure_early_kill, memory_failure_recovery; /* tunables */
	struct kmem_cache *mm_cache, *vma_cache, *avc_cache, *anon_vma_cache;
	struct super_block uffd_sb;   /* what handles are inodes of */
	struct list_head uffds;	      /* (lock) userfaultfd_ctx.list */
	u32 unprivileged_userfaultfd; /* tunable: 0, 1 */
	const struct ksm_ops *ksm;    /* ksm.h; NULL: nothing is merged */
	s64 ksm_zero_pages;	      /* (A) entries of the zero page by it */
	bool ksm_unmerging; /* (A) shared pages are not mapped again */
	struct thp_state thp;
	struct numa_balancing numa;
};

extern struct space_state space_sys;

/* space_reset: forget all; for a fresh machine. */
void space_reset(void);
/*
 * space_init: caches and the zero page; FORMAT is that of all tables. 0 or
 * -ENOMEM. At boot.
 */
int space_init(const struct paging_format *format) MM_MUST_CHECK;

/* ---- vma.c: the tree ------------------------------------------------------
 */

/* find_vma: the first VMA with vm_end > ADDR, or NULL. (M) held. */
struct vm_area_struct *find_vma(struct mm_struct *mm, uva_t addr);
struct vm_area_struct *vma_next(struct vm_area_struct *vma);
struct vm_area_struct *vma_prev(struct vm_area_struct *vma);
struct vm_area_struct *vma_first(struct mm_struct *mm);

/* Does a mapping with VM_FLAGS write into its file, or may be made to? Seals
 * forbid it to shared mappings by taking VM_MAYWRITE away. */
static inline bool vma_writes_file(u64 vm_flags)
{
	return (vm_flags & VM_SHARED) && (vm_flags & VM_MAYWRITE);
}

static inline bool vma_contains(const struct vm_area_struct *vma, uva_t addr)
{
	return vma && addr >= vma->vm_start && addr < vma->vm_end;
}

static inline u64 vma_pages(const struct vm_area_struct *vma)
{
	return (vma->vm_end - vma->vm_start) >> PAGE_SHIFT;
}

/* ---- vma_lock.c: who may change a mapping, and who may rely on it
 * ------- */

/* mm_trace_lock: the tracepoints of system mmap_lock: EVENT happens to MM's,
 * for writing if WRITE; TAKEN: with success. */
void mm_trace_lock(enum trace_event event, struct mm_struct *mm, bool write,
		   bool taken);

/* The mmap lock for reading. May sleep; the trylock does not: false. */
static inline void mmap_read_lock(struct mm_struct *mm)
{
	if (trace_enabled(TRACE_MMAP_LOCK_START_LOCKING))
		mm_trace_lock(TRACE_MMAP_LOCK_START_LOCKING, mm, false, false);
	down_read(&mm->mmap_lock);
	if (trace_enabled(TRACE_MMAP_LOCK_ACQUIRE_RETURNED))
		mm_trace_lock(TRACE_MMAP_LOCK_ACQUIRE_RETURNED, mm, false,
			      true);
}
static inline MM_MUST_CHECK bool mmap_read_trylock(struct mm_struct *mm)
{
	bool taken = down_read_trylock(&mm->mmap_lock);

	if (trace_enabled(TRACE_MMAP_LOCK_ACQUIRE_RETURNED))
		mm_trace_lock(TRACE_MMAP_LOCK_ACQUIRE_RETURNED, mm, false,
			      taken);
	return taken;
}
static inline void mmap_read_unlock(struct mm_struct *mm)
{
	if (trace_enabled(TRACE_MMAP_LOCK_RELEASED))
		mm_trace_lock(TRACE_MMAP_LOCK_RELEASED, mm, false, true);
	up_read(&mm->mmap_lock);
}

/*
 * The mmap lock for writing, with the marks of vma_start_write(): these only,
 * not the semaphore's own functions. May sleep. Giving it back frees what
 * calls have left behind for an epoch, if that is much.
 */
void mmap_write_lock(struct mm_struct *mm);
void mmap_write_lock_nested(struct mm_struct *mm);
void mmap_write_unlock(struct mm_struct *mm);

/*
 * vma_start_write: VMA is going to change: no fault relies on it from here
 * until the mmap lock, held for writing, is given back. May sleep.
 */
void vma_start_write(struct vm_area_struct *vma);
/* The same for FIRST and its successors that begin before END. */
void vma_start_write_range(struct vm_area_struct *first, uva_t end);
/* The same for all of MM. */
void mm_start_write_all(struct mm_struct *mm);
/* vma_mark: as vma_start_write(), for a VMA that no fault can know yet. */
void vma_mark(struct vm_area_struct *vma);
/* vma_set_flags: start to write, and store. */
void vma_set_flags(struct vm_area_struct *vma, u64 flags);
/* vma_wait_unseen: VMA left the tree; until no fault even looks at it. */
void vma_wait_unseen(struct vm_area_struct *vma);
/* The same for all that MM had. */
void mm_wait_unseen(struct mm_struct *mm);

/*
 * vma_assert_changing: debug builds stop unless VMA may be changed by who
 * calls: (M) held for writing, marked, and no fault relies on it.
 */
void vma_assert_changing(const struct vm_area_struct *vma);

/*
 * race_point: in the midst of something that is done without a lock, or while
 * others look on without one: debug builds of sim let other CPUs get ahead
 * here, so that explored schedules meet what is between two accesses.
 */
static inline void race_point(void)
{
	if (MM_DEBUG >= 1)
		port_sched_point();
}

/* Around each change of links in the tree and of bounds. (M) for writing. */
void tree_change_begin(struct mm_struct *mm);
void tree_change_end(struct mm_struct *mm);

#define for_each_vma(vma, mm) list_for_each_entry (vma, &(mm)->mmap, vm_list)

/* vma_new: an unlinked VMA, fields set, not in the tree. NULL: no memory.
 * Fault injection: FAIL_VMA. */
struct vm_area_struct *vma_new(struct mm_struct *mm, uva_t start, uva_t end,
			       u64 vm_flags) MM_MUST_CHECK;
/* vma_dup: a copy of VMA's fields with empty links, or NULL. */
struct vm_area_struct *vma_dup(const struct vm_area_struct *vma) MM_MUST_CHECK;
/* vma_free: free a VMA that is linked nowhere and never was in the tree; its
 * file is put. May sleep. */
void vma_free(struct vm_area_struct *vma);
/* vma_retire: the same for one that was, and left it: once nobody can still
 * look at it. (M) for writing. May sleep. */
void vma_retire(struct vm_area_struct *vma);
/* vma_retire_all: vma_unlink() and vma_retire() for all of MM's. */
void vma_retire_all(struct mm_struct *mm);
/* vma_link / vma_unlink: into and out of tree and list. (M) for writing. */
void vma_link(struct mm_struct *mm, struct vm_area_struct *vma);
void vma_unlink(struct mm_struct *mm, struct vm_area_struct *vma);
/* vma_resize: new bounds that overlap no neighbour; keeps tree, gaps and the
 * reverse map's trees true. Cannot fail. (M) for writing. */
void vma_resize(struct vm_area_struct *vma, uva_t start, uva_t end, u64 pgoff);

/* vma_merge: extend a neighbour over the free range [START, END) if flags and
 * reverse map allow. The VMA that now covers it, or NULL: nothing changed. */
struct vma_merge_want {
	uva_t start, end;
	u64 vm_flags, pgoff;
	struct anon_vma *anon_vma;
	struct file *file;
	bool single; /* mmap: equal neighbours are not asked, as below a heap */
	const struct vm_area_struct *like; /* whose policy; NULL: none */
	struct userfaultfd_ctx *uffd;
};
struct vm_area_struct *vma_merge(struct mm_struct *mm,
				 const struct vma_merge_want *want);

/* vma_join: after flags changed, melt VMA with equal neighbours. Returns the
 * VMA that covers VMA's range now. */
struct vm_area_struct *vma_join(struct mm_struct *mm,
				struct vm_area_struct *vma);

/* vma_rejoin: take back splits after a failure: what holds AT melts with its
 * neighbours as far as they are parts of what was one mapping, from START to
 * END; beyond that all stays as it was. */
void vma_rejoin(struct mm_struct *mm, uva_t at, uva_t start, uva_t end);

/* split_vma: cut VMA at ADDR; VMA keeps the lower part. 0, -ENOMEM, or what
 * its provider's may_split says. */
int split_vma(struct mm_struct *mm, struct vm_area_struct *vma,
	      uva_t addr) MM_MUST_CHECK;

/* vma_isolate_range: split so that no VMA crosses START or END. 0, -ENOMEM
 * (also beyond max_map_count), or split_vma()'s. Splits done before a failure
 * are melted. */
int vma_isolate_range(struct mm_struct *mm, uva_t start,
		      uva_t end) MM_MUST_CHECK;

/* vma_changing_range: narrow [*START, *END) to the mappings whose flags FLAGS
 * would change, from the first to the last; false: there are none. */
typedef u64 vma_flags_fn(const struct vm_area_struct *vma, u64 arg);
bool vma_changing_range(struct mm_struct *mm, uva_t *start, uva_t *end,
			vma_flags_fn *flags, u64 arg);

/* get_unmapped_area: where LEN bytes fit, HINT first, then downwards from
 * mmap_base, then upwards. ANON: for private anonymous memory, which begins
 * where a large page could if it is as long as some. Address or -ENOMEM. */
s64 get_unmapped_area(struct mm_struct *mm, uva_t hint, u64 len, bool anon);
/* get_unmapped_area_low: the same for MAP_32BIT: from 1 to 2 GiB, upwards. */
s64 get_unmapped_area_low(struct mm_struct *mm, uva_t hint, u64 len, bool anon);

/* range_is_free: no VMA (nor stack guard gap) overlaps [START, END). */
bool range_is_free(struct mm_struct *mm, uva_t start, uva_t end);

/* vma_tree_check: order, gaps, list, counts. Panics. (M) held. */
void vma_tree_check(struct mm_struct *mm);

pgprot_t vm_get_page_prot(u64 vm_flags);
u64 prot_to_vm_flags(int prot);

/* ---- mappings of files (vma_file.c)
 * ------------------------------------------- */

/* vma_is_anonymous: no provider: new pages are zeroes. */
static inline bool vma_is_anonymous(const struct vm_area_struct *vma)
{
	return vma->vm_ops == NULL;
}

/* vma_linear_pgoff: page number of ADDR, of the file or, without one, as
 * reverse mapping counts it. */
static inline u64 linear_page_index(const struct vm_area_struct *vma,
				    uva_t addr)
{
	return vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);
}

/*
 * vma_file_link / vma_file_unlink: VMA enters, leaves its file's tree of
 * mappings; nothing without a file. May sleep; (M) for writing. Unlink before
 * its page tables are freed.
 */
void vma_file_link(struct vm_area_struct *vma);
void vma_file_unlink(struct vm_area_struct *vma);

/* Around a change of VMA's bounds (vma_resize): lock, keep the tree true. */
void vma_file_resize_begin(struct vm_area_struct *vma);
void vma_file_resize_end(struct vm_area_struct *vma);

/* vma_open / vma_close: tell the provider that VMA was copied, that it goes. */
void vma_open(struct vm_area_struct *vma);
void vma_close(struct vm_area_struct *vma);

/* VMAs of MAPPING that hold any of pages [FIRST, LAST]; i_mmap_rwsem held. */
struct vm_area_struct *vma_file_first(struct address_space *mapping, u64 first,
				      u64 last);
struct vm_area_struct *vma_file_next(struct vm_area_struct *vma, u64 first,
				     u64 last);

/* vma_file_check: VMA is in its file's tree, and only then. Panics. May sleep;
 * (M) held for writing. */
void vma_file_check(struct vm_area_struct *vma);

/* ---- mmap of files (mmap_file.c)
 * ----------------------------------------------- */

/*
 * mmap_file_flags: may R, of a file, be mapped? *VM_FLAGS gets what its mode
 * takes away. 0 or the errno of mmap(2).
 */
int mmap_file_flags(const struct mm_mmap *r, u64 *vm_flags) MM_MUST_CHECK;

/*
 * mmap_file_attach: VMA, new, in no tree, becomes a mapping of FILE (a
 * reference more), which may change its flags; it is in the file's tree then.
 * 0, or an errno with VMA as it was.
 */
int mmap_file_attach(struct vm_area_struct *vma,
		     struct file *file) MM_MUST_CHECK;

/*
 * shmem_zero_setup: VMA, new, MAP_SHARED | MAP_ANONYMOUS, gets memory of its
 * own to share, a file in memory, and is in its tree. 0 or
 * -ENOMEM, with VMA as it was. (shmem_map.c)
 */
int shmem_zero_setup(struct vm_area_struct *vma) MM_MUST_CHECK;

/*
 * zero_file_mmap: f_op->mmap of a device that is all zeroes. A private mapping,
 * or one that can never be written, is anonymous memory that keeps the name of
 * FILE; a shared one gets memory of its own, as long as the mapping, in FILE's
 * place: whoever forks from here shares it, nobody who maps FILE anew does. An
 * offset counts in it. Returns 0 or -ENOMEM.
 */
int zero_file_mmap(struct file *file, struct vm_area_struct *vma) MM_MUST_CHECK;

/* shmem_fault: vm_ops->fault of memory that is shared. */
struct vm_fault;
vm_fault_t shmem_fault(struct vm_fault *vmf);

/*
 * swapoff: swapoff(2) of BDEV: everything that is in its area comes back into
 * memory, then it is forgotten. 0; -EPERM (without MM_CAP_SYS_ADMIN), -EINVAL
 * (no area, or somebody is at it), -ENOMEM (what remains could not hold it),
 * -EINTR (the caller is being killed); after an error the area is in use as
 * before and nothing is lost. A page that cannot be read is lost: who touches
 * it gets SIGBUS, who reads it from a file -EIO. May sleep. (swapoff.c)
 * swapoff_file: the same of the area in the file INODE.
 */
struct port_bdev;
int swapoff(struct port_bdev *bdev) MM_MUST_CHECK;
int swapoff_file(struct inode *inode) MM_MUST_CHECK;

/* shm_init: the first namespace. At boot: 0 or -ENOMEM. (shm.c) */
int shm_init(void) MM_MUST_CHECK;
/* shm_forced_changed: kernel.shm_rmid_forced was set: orphans may go. */
void shm_forced_changed(void);

/* What shmem asks of this floor (src/cache/shmem.h). */
struct shmem_ops;
extern const struct shmem_ops space_shmem_ops;

/* ---- limits (limits.c)
 * ------------------------------------------------------- */

/* vm_enough_memory: account PAGES of MM if the overcommit mode allows. 0,
 * -ENOMEM. */
int vm_enough_memory(const struct mm_struct *mm, u64 pages) MM_MUST_CHECK;
void vm_unaccount(u64 pages);
/* vm_account_again: PAGES promised before are promised at a second place for
 * a while: no mode refuses them. */
void vm_account_again(u64 pages);
/* vm_commit_limit: what mode 2 lets be promised, reserves not taken off. */
u64 vm_commit_limit(void);
/* limits_init: defaults of the tunables, by the memory that is free. */
void limits_init(void);
/* mm_capable: may the running task do what CAP (MM_CAP_*) allows? */
bool mm_capable(u32 cap);
/* can_do_mlock: may anything be locked at all? */
bool can_do_mlock(const struct mm_struct *mm);
/* mm_limits_init: those of the first process. mm_limits_inherit: MM's become
 * OLD's, whose mmap lock is held. (rlimit.c) */
void mm_limits_init(struct mm_struct *mm);
void mm_limits_inherit(struct mm_struct *mm, const struct mm_struct *old);

/*
 * What PR_SET_MM set (prctl_mm.c). mm_exec_fork: MM, new, gets what OLD has: 0,
 * -ENOMEM; OLD's mmap lock held. mm_exec_free: it goes; MM has no user.
 * mm_text_pages: of the program's code; takes no lock. mm_data_bytes: of its
 * data, for RLIMIT_DATA; mmap lock held.
 */
int mm_exec_fork(struct mm_struct *mm, struct mm_struct *old) MM_MUST_CHECK;
void mm_exec_free(struct mm_struct *mm);
u64 mm_text_pages(const struct mm_struct *mm);
u64 mm_data_bytes(const struct mm_struct *mm);

/* mlock_may_grow: does RLIMIT_MEMLOCK let PAGES of VM_FLAGS come? */
bool mlock_may_grow(const struct mm_struct *mm, u64 vm_flags, u64 pages);
/* may_expand_vm: RLIMIT_AS and RLIMIT_DATA allow PAGES more. */
bool may_expand_vm(const struct mm_struct *mm, u64 vm_flags, u64 pages);
void vm_stat_account(struct mm_struct *mm, u64 vm_flags, s64 pages);
/* vm_stat_check: LIM-2. Panics. (M) held. */
void vm_stat_check(struct mm_struct *mm);
/* vma_accountable: are pages of such a mapping promised (Committed_AS)? */
bool vma_accountable(u64 vm_flags);

/* expand_stack: grow VMA, a stack, down to ADDR. 0, -ENOMEM, -EFAULT. Takes
 * the mmap lock for writing itself; the caller holds none. */
int expand_stack(struct mm_struct *mm, uva_t addr) MM_MUST_CHECK;

/* do_munmap_locked: as do_munmap, (M) held for writing; then it is given back
 * by mmap_write_unlock_tell(). */
int do_munmap_locked(struct mm_struct *mm, uva_t start, u64 len) MM_MUST_CHECK;
/* do_munmap_isolated: the same for a range that no mapping crosses the ends
 * of, and that is told of otherwise. Cannot fail. */
void do_munmap_isolated(struct mm_struct *mm, uva_t start, u64 len);

/* ---- zap.c: taking pages out of a range
 * ----------------------------------------- */

/* zap_range: clear all entries in [START, END) of VMA; pages go to TLB; what
 * entries know of a file's pages (dirty, used) goes to the pages. */
void zap_range(struct mmu_gather *tlb, struct vm_area_struct *vma, uva_t start,
	       uva_t end);
/* zap_contents: the same where the mapping stays: what says that writes to a
 * provider's pages are watched stays, as a marker. */
void zap_contents(struct mmu_gather *tlb, struct vm_area_struct *vma,
		  uva_t start, uva_t end);
/*
 * unmap_mapping_range: mapping_ops' (src/cache/filemap.h): pages [FIRST,
 * FIRST + NR), NR 0: to the end, leave all mappings of MAPPING; EVEN_COWS:
 * private copies too. May sleep; page locks may be held.
 */
void unmap_mapping_range(struct address_space *mapping, u64 first, u64 nr,
			 bool even_cows);
void mm_gather_init(struct mmu_gather *tlb, struct mm_struct *mm);

/*
 * mm_zap_begin, mm_zap_end: a gather of MM whose mappings stay, so that others
 * may find cleared entries before CPUs forget them. What the kernel does for a
 * process (copy_to_user()) heeds that: mm->zaps, see zap.c.
 */
void mm_zap_begin(struct mmu_gather *tlb, struct mm_struct *mm);
void mm_zap_end(struct mmu_gather *tlb, struct mm_struct *mm);

/* ---- counters
 * ----------------------------------------------------------------------- */

/*
 * Each CPU counts on its own line, so a line alone says nothing (pages come on
 * one and go on another); the sum over all is exact when nothing is under way,
 * and at no time further off than what is.
 */

/* mm_line_here: the line of this CPU; known from now on to who sums up. */
static inline struct mm_line *mm_line_here(struct mm_struct *mm)
{
	/* Any line will do: for a thread that has no CPU yet, too. */
	u32 nr = (u32)port_cpu_or_none() % MM_LINES;

	if (unlikely(!(READ_ONCE(mm->lines_used) >> nr & 1)))
		(void)mm_fetch_or(&mm->lines_used, 1u << nr);
	return &mm->lines[nr];
}

/* mm_trace_rss: C of MM has changed: rss_stat. */
void mm_trace_rss(const struct mm_struct *mm, enum mm_counter c);

static inline void mm_counter_add(struct mm_struct *mm, enum mm_counter c,
				  s64 n)
{
	__atomic_fetch_add(&mm_line_here(mm)->counters[c], n, __ATOMIC_RELAXED);
	if (trace_enabled(TRACE_RSS_STAT))
		mm_trace_rss(mm, c);
}

/*
 * mm_note_swap: MM gets an entry of the area TYPE; before the entry is there,
 * while its slot is held. The bit stays until the area is empty (swapoff.c).
 */
static inline void mm_note_swap(struct mm_struct *mm, u32 type)
{
	if (!(READ_ONCE(mm->swap_areas) >> type & 1))
		__atomic_fetch_or(&mm->swap_areas, 1u << type,
				  __ATOMIC_RELAXED);
}

/* mm_counter_get: pages of kind C. mm_rss: resident pages of all kinds. */
u64 mm_counter_get(const struct mm_struct *mm, enum mm_counter c);
u64 mm_rss(const struct mm_struct *mm);
/* mm_hiwater_update: pages are about to go: keep what the peak was. */
void mm_hiwater_update(struct mm_struct *mm);

/* mm_counter: the one that an entry of PAGE counts in. */
static inline enum mm_counter mm_counter(const struct page *page)
{
	if (PageAnon(page))
		return MM_ANONPAGES;
	return PageSwapBacked(page) ? MM_SHMEMPAGES : MM_FILEPAGES;
}

/*
 * mm_oom_victim: the OOM killer chose MM, of which the caller has a reference.
 * Until its last user has left and it is empty it counts in oom_victims. Any
 * context.
 */
void mm_oom_victim(struct mm_struct *mm);

/* ---- references to the structure (mm_count); users are mm_get/mm_put
 * --------- */

/*
 * next_space: the address space after PREV in order of creation (NULL: the
 * first) with a user for the caller; PREV's user is given back, which may end
 * it. NULL at the end. Spaces that are going are left out. May sleep.
 */
struct mm_struct *next_space(struct mm_struct *prev);

/*
 * next_space_held: the same with a reference to the structure (mm_drop()) in
 * place of a user: for who must not end a space. It may be going, or gone: its
 * mappings are looked at under its mmap lock. Any context without space locks.
 */
struct mm_struct *next_space_held(struct mm_struct *prev);

void mm_grab(struct mm_struct *mm);
void mm_drop(struct mm_struct *mm);
/* mm_get_not_zero: a user more unless the space is already going. */
bool mm_get_not_zero(struct mm_struct *mm);

/* mm_switch: the port's hook, when a CPU changes threads. */
void mm_switch(struct mm_task *prev, struct mm_task *next);

/* madvise_inject_error: MADV_HWPOISON, MADV_SOFT_OFFLINE (memory_failure.c):
 * 0, -EPERM, -EFAULT, -EBUSY, -EHWPOISON. No lock held. */
int madvise_inject_error(struct mm_struct *mm, uva_t start, uva_t end,
			 bool soft);

/* task_for_each: FN for each registered task, under the registry's lock;
 * stops when FN returns true. */
void task_for_each(bool (*fn)(struct mm_task *task, void *arg), void *arg);
/* process_for_each: the same for one task of each process that has a space: the
 * main thread, or when that has left the oldest one; oldest process first. */
void process_for_each(bool (*fn)(struct mm_task *task, void *arg), void *arg);

#endif
