/* SPDX-License-Identifier: MIT */
/*
 * mm.h - address spaces: what a kernel's processes and system calls use.
 *
 * Calls take the address space explicitly and return a value or a negative
 * errno, as the man pages of section 2 say. Unless noted: context may sleep;
 * the caller holds no lock; a call that fails has changed nothing.
 */
#ifndef MMKIT_MM_H
#define MMKIT_MM_H

#include <mmkit/task.h>
#include <mmkit/types.h>

struct mm_struct;

/* Signals that a fault can end in (signal(7)). */
#define MM_SIGBUS  7
#define MM_SIGKILL 9
#define MM_SIGSEGV 11

/* Counters of one address space; pages unless said otherwise. */
struct mm_usage {
	u64 total_vm;	 /* mapped address space */
	u64 hiwater_vm;	 /* largest total_vm so far */
	u64 data_vm;	 /* of it private and writable, stacks left out */
	u64 stack_vm;	 /* of it stacks */
	u64 exec_vm;	 /* of it executable and not writable */
	u64 locked_vm;	 /* of those, kept in RAM by mlock() */
	u64 rss_anon;	 /* resident anonymous pages */
	u64 rss_file;	 /* resident pages of files */
	u64 rss_shmem;	 /* resident pages of shared memory */
	u64 swap;	 /* swap entries in page tables */
	u64 hiwater_rss; /* largest rss so far */
	u64 table_bytes; /* page tables, bytes */
	u32 map_count;	 /* VMAs */
	uva_t brk, start_brk;
	u64 text; /* of code, as PR_SET_MM says; 0: not set */
};

/* Places where a new address space puts things. */
struct mm_layout {
	uva_t task_size; /* first address beyond user space */
	uva_t mmap_base; /* mmap searches downwards from here */
	uva_t start_brk;
	uva_t stack_top;
};

/* mm_default_layout: Linux's layout of x86-64, without randomisation. */
void mm_default_layout(struct mm_layout *l);

/*
 * mm_create: a new, empty address space with one user. *OUT owns it until
 * mm_put(). Returns 0, -ENOMEM, or -EAGAIN (4095 spaces exist already).
 */
int mm_create(const struct mm_layout *layout,
	      struct mm_struct **out) MM_MUST_CHECK;

/* mm_get / mm_put: a user more / less; the last one unmaps everything. */
void mm_get(struct mm_struct *mm);
void mm_put(struct mm_struct *mm);

/*
 * mm_fork: a copy of OLD, pages shared copy-on-write (fork(2)). The caller
 * owns *OUT. Returns 0, -ENOMEM, -EAGAIN. Fork of a space that others use is
 * allowed.
 */
int mm_fork(struct mm_struct *old, struct mm_struct **out) MM_MUST_CHECK;

/*
 * mm_clone: the memory of a new task of MM's process, as clone(2) makes it: MM
 * itself, with a user more (MM_CLONE_VM), or a copy. The caller owns *OUT.
 * Returns 0, -ENOMEM, -EAGAIN; with MM_CLONE_VM it cannot fail. Other bits of
 * FLAGS are not memory's business.
 */
#define MM_CLONE_VM 0x100u
int mm_clone(struct mm_struct *mm, u32 flags,
	     struct mm_struct **out) MM_MUST_CHECK;

/*
 * mm_task_attach: TASK runs in MM from now on (one user more); a task without
 * one becomes a user task. mm_task_exit: leave it; PF_EXITING is set.
 * Called by the task itself, or before it runs for the first time.
 */
void mm_task_attach(struct mm_task *task, struct mm_struct *mm);
void mm_task_exit(struct mm_task *task);

/*
 * mm_task_vfork: as mm_task_attach(), for the child of vfork(2): DONE is
 * completed (base/wait.h) when TASK has left MM for good, by mm_task_exec() or
 * mm_task_exit(). The parent waits for it, so DONE may stand on its stack.
 */
void mm_task_vfork(struct mm_task *task, struct mm_struct *mm,
		   struct completion *done);

/*
 * mm_task_exec: what execve(2) does to the memory of the running task: it
 * leaves its space, if it has one, for MM, whose user the caller had becomes
 * the task's. MM gets the old space's limits; locks and MCL_FUTURE stay behind,
 * the task's memory policy and counts come along. A parent that waits in vfork
 * goes on. The old space goes with its last user. Cannot fail; may sleep.
 */
void mm_task_exec(struct mm_struct *mm);

/*
 * mm_task_register: enter TASK into the registry with a fresh pid, named COMM.
 * A task that the caller has made, and that does not run yet, gets the caller's
 * memory policy, until mm_task_exit(). mm_task_unregister: take it out. The
 * registry is what the OOM killer and /proc look through; it does not own
 * tasks.
 */
void mm_task_register(struct mm_task *task, const char *comm);
/* The same with a pid of the caller's, who sees to it that it is the only one.
 */
void mm_task_register_as(struct mm_task *task, const char *comm, s32 pid);
void mm_task_unregister(struct mm_task *task);

/*
 * mm_set_kill_hook: HOOK(TASK) is called for each task that the OOM killer
 * kills, after its fatal_signal was set; it makes TASK look, in user mode and
 * in its sleep. Any context: it takes no lock that is held while a task is
 * registered. NULL, as at boot: TASK's thread is unparked.
 */
void mm_set_kill_hook(void (*hook)(struct mm_task *task));

/*
 * do_mmap: mmap(2) for anonymous memory. Returns the address, or -EINVAL,
 * -ENOMEM, -EEXIST (FIXED_NOREPLACE), -EPERM (below mmap_min_addr; MAP_LOCKED
 * with RLIMIT_MEMLOCK 0), -EAGAIN (RLIMIT_MEMLOCK), -EBADF (without
 * MAP_ANONYMOUS). MAP_SHARED is memory shared by forks. MAP_POPULATE and
 * MAP_LOCKED fault the pages in; that this fails is not told, as mmap(2) says.
 */
s64 do_mmap(struct mm_struct *mm, uva_t addr, u64 len, int prot, int flags);

/*
 * do_mmap_file: mmap(2) of FILE from page PGOFF on; the mapping holds a
 * reference of its own. With MAP_ANONYMOUS FILE is ignored. Returns the
 * address, or do_mmap()'s errors and: -EBADF (FILE is NULL), -EACCES (not
 * opened for reading, or, shared and PROT_WRITE, for writing; append-only),
 * -EPERM (PROT_EXEC of what may not be run; a seal forbids writing), -EINVAL
 * (neither private nor shared, MAP_GROWSDOWN), -EOPNOTSUPP (a flag that
 * MAP_SHARED_VALIDATE does not know), -ENODEV (cannot be mapped), -EOVERFLOW
 * (beyond the largest file), -ETXTBSY (to be written, and swap lies in it), or
 * what the file's own mmap says.
 */
struct file;
struct mm_mmap {
	uva_t addr; /* hint, or the place with MAP_FIXED */
	u64 len;    /* bytes */
	int prot, flags;
	struct file *file;
	u64 pgoff;
};
s64 do_mmap_file(struct mm_struct *mm, const struct mm_mmap *req);

/* do_munmap: munmap(2): 0, -EINVAL, -ENOMEM. */
int do_munmap(struct mm_struct *mm, uva_t addr, u64 len);

/* do_mprotect: mprotect(2): 0, -EINVAL, -ENOMEM, -EACCES. */
int do_mprotect(struct mm_struct *mm, uva_t addr, u64 len, int prot);

/*
 * do_mremap: mremap(2) with MAYMOVE, FIXED, DONTUNMAP: the address, or -EINVAL,
 * -EFAULT (not one mapping), -ENOMEM, -EAGAIN (RLIMIT_MEMLOCK). What FIXED
 * replaces may be gone after a failure. A range that moves to a fixed place
 * without changing its length may hold several mappings and gaps; if one of
 * them cannot move, those before it have.
 */
s64 do_mremap(struct mm_struct *mm, uva_t addr, u64 old_len, u64 new_len,
	      int flags, uva_t new_addr);

/* do_brk: brk(2) as the kernel does it: the new or the unchanged break. */
uva_t do_brk(struct mm_struct *mm, uva_t brk);

/*
 * mm_set_start_brk: where the heap begins; what execve does for a program.
 * PR_SET_MM_START_BRK of prctl(2) is in mmkit/prctl.h. Only while the heap is
 * empty: 0, -EBUSY; -EINVAL outside user space.
 */
int mm_set_start_brk(struct mm_struct *mm, uva_t start);

/*
 * do_madvise: madvise(2), every advice that anonymous memory can get. 0, or
 * -EINVAL (unknown; not aligned, or an end before the start; REMOVE, which
 * needs a file; FREE, COLD, PAGEOUT, DONTNEED of locked memory; POPULATE_*
 * without the right), -ENOMEM (a hole: the rest was treated; POPULATE_* stops
 * there), -EAGAIN (no memory to split a mapping), -EFAULT (POPULATE_*: the
 * contents cannot be had), -EHWPOISON (POPULATE_*: the frame lost them),
 * -EPERM (HWPOISON, SOFT_OFFLINE without MM_CAP_SYS_ADMIN), and what
 * memory_failure() and soft_offline_page() (mmkit/memory_failure.h) say of the
 * first page that they fail at.
 */
int do_madvise(struct mm_struct *mm, uva_t addr, u64 len, int advice);

/*
 * do_mlock: mlock(2), and mlock2(2) with FLAGS (MLOCK_ONFAULT); any address
 * is rounded to its page. Pages come in, stay in RAM and off the lists that
 * reclaim looks at. 0; -EPERM (RLIMIT_MEMLOCK is 0), -ENOMEM (beyond the
 * limit; a hole, or memory without any access, of which the part before it
 * stays locked; too many mappings), -EAGAIN (no frame), -EINVAL (flags; the
 * range overflows). MM_CAP_IPC_LOCK: no limit. do_munlock: munlock(2): 0,
 * -ENOMEM, -EINVAL.
 */
int do_mlock(struct mm_struct *mm, uva_t addr, u64 len, u32 flags);
int do_munlock(struct mm_struct *mm, uva_t addr, u64 len);

/*
 * do_mlockall: mlockall(2), MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT: 0, -EINVAL,
 * -EPERM, -ENOMEM (beyond the limit; then nothing changed). A page that cannot
 * be had now is no error. do_munlockall: munlockall(2): 0.
 */
int do_mlockall(struct mm_struct *mm, u32 flags);
int do_munlockall(struct mm_struct *mm);

/*
 * do_mincore: mincore(2): a byte for each page of [ADDR, ADDR + LEN) to the
 * user's VEC, bit 0: it is in RAM. 0, -EINVAL (not aligned), -ENOMEM (a hole,
 * or beyond user space), -EFAULT (VEC). Bytes before a hole may be written.
 */
int do_mincore(struct mm_struct *mm, uva_t addr, u64 len, uva_t vec);

/*
 * do_msync: msync(2). 0, -EINVAL (flags, not aligned), -ENOMEM (a hole: the
 * rest was done), -EBUSY (MS_INVALIDATE of locked memory).
 */
int do_msync(struct mm_struct *mm, uva_t addr, u64 len, int flags);

/*
 * mm_user_fault: the trap's entry: TASK, running here, touched VA and the CPU
 * reported ERROR_CODE (PF_ERR_*, SDM vol. 3A 4.7). Returns 0 when the access
 * is to be repeated, or the signal number that it ends in. May sleep.
 */
int mm_user_fault(struct mm_task *task, uva_t va, u32 error_code);

/*
 * mm_user_fault_info: the same; *INFO says what a signal handler is told
 * (sigaction(2), siginfo_t): SIGNO, which is also returned, CODE and ADDR.
 * CODE is 0 with a pending kill. With MM_BUS_MCEERR_AR ADDR_LSB says how much
 * is lost: 1 << ADDR_LSB bytes.
 */
struct mm_siginfo {
	int signo, code;
	uva_t addr;
	int addr_lsb;
};
#define MM_SEGV_MAPERR	 1 /* no mapping there */
#define MM_SEGV_ACCERR	 2 /* a mapping without this right */
#define MM_BUS_ADRERR	 2 /* contents that cannot be had */
#define MM_BUS_MCEERR_AR 4 /* the access met memory that lost its contents */
#define MM_BUS_MCEERR_AO 5 /* the same, told before any access */
int mm_user_fault_info(struct mm_task *task, uva_t va, u32 error_code,
		       struct mm_siginfo *info);

/* mm_usage_get: a snapshot of MM's counters. Takes no lock. */
void mm_usage_get(const struct mm_struct *mm, struct mm_usage *out);

/*
 * mm_for_each_map: call FN for each mapping in address order, mmap lock held
 * for reading; FN must not call back into this space. PROT as in mmap(2).
 */
struct mm_map_info {
	uva_t start, end;
	int prot;
	bool grows_down;
};
void mm_for_each_map(struct mm_struct *mm,
		     void (*fn)(const struct mm_map_info *m, void *arg),
		     void *arg);

/*
 * mm_check: verify the whole space: tree order and gaps, counters against a
 * recount of the page tables, tables against the allocator. Panics with the
 * finding. Takes the mmap lock for writing.
 */
void mm_check(struct mm_struct *mm);

#endif
