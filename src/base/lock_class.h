/* SPDX-License-Identifier: MIT */
/*
 * lock_class.h - every kind of lock that the manager has.
 *
 * The list is written outermost first: a lock may be taken while locks that
 * stand above it are held. docs/LOCKING.md gives the reasons. The checker
 * (base/lockdep) does not read this order: it learns the real one from what
 * happens and reports the first contradiction.
 *
 * X(NAME, "name") becomes LOCK_CLASS_NAME; append where it belongs.
 */
#ifndef MM_BASE_LOCK_CLASS_H
#define MM_BASE_LOCK_CLASS_H

#include "base/system.h"

#define LOCK_CLASS_LIST(X)                                                     \
	X(NONE, "none")	    /* zeroed memory: held is tracked, order not */    \
	X(TEST_A, "test_a") /* for tests */                                    \
	X(TEST_B, "test_b")                                                    \
	X(TEST_C, "test_c")                                                    \
	X(F_POS, "f_pos")	  /* position of an open file */               \
	X(MOUNT, "mount")	  /* a kernel's: who is mounted where */       \
	X(PRUNE, "prune")	  /* a kernel's: unused names go */            \
	X(RENAME, "rename")	  /* a kernel's: directories change parents */ \
	X(VNODE, "vnode")	  /* a kernel's: names and attributes */       \
	X(PROC_TEXT, "proc_text") /* a kernel's: text of an open file */       \
	X(TRACEFS, "tracefs")	  /* a kernel's: what is traced */             \
	X(CGROUP, "cgroup")	  /* a kernel's: names of control groups */    \
	X(OOM, "oom")		  /* one OOM kill at a time */                 \
	X(CPU_HOTPLUG, "cpu_hotplug")	    /* a kernel's: CPUs come and go */ \
	X(HOTPLUG, "hotplug")		    /* memory online and offline */    \
	X(PSI_MONITOR, "psi_monitor")	    /* triggers come and go */         \
	X(PSI_TRIGGER, "psi_trigger")	    /* the list of triggers */         \
	X(MEMCG_MAKE, "memcg_make")	    /* groups begin, nodes come */     \
	X(MEMORY_FAILURE, "memory_failure") /* one report at a time */         \
	X(KSM, "ksm")	      /* one scan at a time, both trees */             \
	X(I_RWSEM, "i_rwsem") /* contents and size of one inode */             \
	X(MMAP_LOCK, "mmap_lock")                                              \
	X(VMA, "vma")			  /* a fault's claim on its mapping */ \
	X(SHM, "shm")			  /* one namespace of segments */      \
	X(UFFD_CHANGING, "uffd_changing") /* filling against events */         \
	X(INVALIDATE_LOCK, "invalidate_lock") /* filling against truncating */ \
	X(SWAPON, "swapon") /* swapon and swapoff, one at a time */            \
	X(MMLIST, "mmlist") /* list of address spaces with swap entries */     \
	X(TASKS, "tasks")   /* registry of tasks */                            \
	X(TASK_LIST, "task_list") /* kernel: relations, signals */             \
	X(TASK_DEAD, "task_dead") /* kernel: tasks to be freed */              \
	X(KSM_SLOTS, "ksm_slots") /* spaces that are scanned */                \
	X(SHRINKER, "shrinker")	  /* registry of shrinkers */                  \
	X(SLAB_CACHES, "slab_caches")                                          \
	X(CMA, "cma")			/* emptying a range of an area */      \
	X(PERCPU_ALLOC, "percpu_alloc") /* making per-CPU chunks */            \
	X(VMAP_PURGE, "vmap_purge")	/* flushing what was unmapped */       \
	X(PAGE_LOCK, "page_lock")                                              \
	X(EXT2_MAP, "ext2_map")	      /* a kernel's: blocks of a file */       \
	X(EXT2_ALLOC, "ext2_alloc")   /* what is free of a file system */      \
	X(EXT2_META, "ext2_meta")     /* filling its disk's pages */           \
	X(EXT2_ICACHE, "ext2_icache") /* its inodes in memory */               \
	X(I_MMAP, "i_mmap")                                                    \
	X(ANON_VMA, "anon_vma")                                                \
	X(PTL, "ptl") /* one page table */                                     \
	X(PTL_NESTED, "ptl_nested")                                            \
	X(PGTABLE, "pgtable")		    /* installing upper tables */      \
	X(KERNEL_PGTABLE, "kernel_pgtable") /* the kernel's, and who shares */ \
	X(MM_ANON, "mm_anon")		    /* a VMA's first anon_vma */       \
	X(KSWAPD, "kswapd")		    /* daemon start and stop */        \
	X(TREE, "tree")			    /* vmap areas */                   \
	X(VMAP_BLOCK, "vmap_block")	    /* one CPU's small mappings */     \
	X(PERCPU, "percpu")		    /* maps of per-CPU chunks */       \
	X(PERCPU_COUNTER, "percpu_counter")                                    \
	X(FILES, "files")   /* a kernel's: one table of descriptors */         \
	X(FS, "fs")	    /* a kernel's: root and working directory */       \
	X(FLOCK, "flock")   /* a kernel's: locks on files */                   \
	X(DCACHE, "dcache") /* a kernel's: names */                            \
	X(F_LOCK, "f_lock") /* errors told to one open file */                 \
	X(INODE_LIST, "inode_list") /* all inodes, dirty inodes */             \
	X(I_PAGES, "i_pages")	    /* page cache of one mapping */            \
	X(SWAP_SLOTS, "swap_slots") /* slots that one CPU keeps */             \
	X(SWAP_INFO, "swap_info")                                              \
	X(SWAP_CACHE, "swap_cache")                                            \
	X(ZSWAP_CPU, "zswap_cpu")	/* one CPU's buffer */                 \
	X(ZSWAP, "zswap")		/* compressed pages */                 \
	X(SHADOW_NODES, "shadow_nodes") /* nodes of evicted pages */           \
	X(SWAP_AVAIL, "swap_avail")                                            \
	X(MEMCG, "memcg")	/* the tree of groups */                       \
	X(OBJCG, "objcg")	/* who pays for objects */                     \
	X(CHARGE, "charge")	/* a group's stock, its lost time */           \
	X(SLAB_CPU, "slab_cpu") /* one CPU's slabs of a cache */               \
	X(SLAB_NODE, "slab_node")                                              \
	X(SLAB_BARN, "slab_barn")                                              \
	X(CMA_AREA, "cma_area") /* one area's bitmap */                        \
	X(LRU_ALL, "lru_all")	/* the list of all lruvecs */                  \
	X(LRUVEC, "lruvec")                                                    \
	X(LRU_DISABLE, "lru_disable") /* who wants batches of one */           \
	X(PCP, "pcp")		      /* one CPU's free pages */               \
	X(ZONE, "zone")                                                        \
	X(SECTION, "section")		  /* deferred memmap sections */       \
	X(SHARED_POLICY, "shared_policy") /* of one shmem file */              \
	X(MEMPOLICY, "mempolicy")	  /* slots of policies */              \
	X(MEMBLOCK, "memblock")                                                \
	X(SEQ_STATS, "seq_stats")                                              \
	X(UFFD, "uffd") /* who waits for one userfaultfd */                    \
	X(PAGE_HASH_WAITQ, "page_hash_waitq")                                  \
	X(KMAP, "kmap")	  /* slots of pkmap */                                 \
	X(WAITQ, "waitq") /* innermost but for the port */

enum lock_class {
#define LOCK_CLASS_ENUM(name, text) LOCK_CLASS_##name,
	LOCK_CLASS_LIST(LOCK_CLASS_ENUM)
#undef LOCK_CLASS_ENUM
		NR_LOCK_CLASSES
};

MM_STATIC_ASSERT(NR_LOCK_CLASSES <= LOCKDEP_CLASSES, "class fits the matrix");
MM_STATIC_ASSERT(LOCK_CLASS_NONE == 0, "zeroed memory has class NONE");

/* lock_class_name: the name in the list; "?" out of range. */
const char *lock_class_name(unsigned int class_id);

#endif
