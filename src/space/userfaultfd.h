/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd.h - faults answered by another task, inside the floor. Theory:
 * userfaultfd.c.
 */
#ifndef MM_SPACE_USERFAULTFD_H
#define MM_SPACE_USERFAULTFD_H

#include <mmkit/userfaultfd.h>

#include "space/fault.h"

/* userfaultfd_ctx.features beside UFFD_FEATURE_*: UFFDIO_API was called. */
#define UFFD_INITIALIZED 0x80000000u

/* One handle. (C) constant, (L) lock, (A) atomic. */
struct userfaultfd_ctx {
	struct inode inode;	      /* its count is the handle's */
	struct mm_struct *mm;	      /* (C) watched; held by mm_grab() */
	u32 flags;		      /* (C) O_NONBLOCK, UFFD_USER_MODE_ONLY */
	u32 features;		      /* (A) 0 until UFFDIO_API */
	u32 released;		      /* (A) 1: the file is closed */
	u32 mmap_changing;	      /* (A) events that nobody has read */
	struct rw_semaphore changing; /* filling, shared; an event begins */
	spinlock_t lock;
	struct list_head pending;  /* (L) uffd_fault.link: not read yet */
	struct list_head faults;   /* (L) the same: read */
	struct list_head events;   /* (L) uffd_event.link */
	wait_queue_head_t fd_wait; /* who wants to read */
	struct list_head list;	   /* (space_sys.lock) space_sys.uffds */
};

/* A fault that waits for its answer; on the stack of who waits. */
struct uffd_fault {
	struct list_head link; /* (ctx L) empty once woken */
	struct userfaultfd_ctx *ctx;
	struct uffd_msg msg;
	u32 woken; /* (ctx L) */
	wait_queue_head_t wait;
};

static inline bool userfaultfd_missing(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_UFFD_MISSING) != 0;
}

static inline bool userfaultfd_wp(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_UFFD_WP) != 0;
}

static inline bool userfaultfd_minor(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_UFFD_MINOR) != 0;
}

static inline u32 uffd_features(const struct userfaultfd_ctx *ctx)
{
	return __atomic_load_n(&ctx->features, __ATOMIC_ACQUIRE);
}

static inline bool uffd_released(const struct userfaultfd_ctx *ctx)
{
	return __atomic_load_n(&ctx->released, __ATOMIC_ACQUIRE) != 0;
}

/* Writes to VMA go on without asking, only the bit says that they were. */
static inline bool userfaultfd_wp_async(const struct vm_area_struct *vma)
{
	return vma->vm_uffd &&
	       (uffd_features(vma->vm_uffd) & UFFD_FEATURE_WP_ASYNC);
}

/* ---- the handle (userfaultfd.c) ------------------------------------------
 */

/* uffd_ctx_new: for MM, one reference, not on a file yet; NULL: no memory. */
struct userfaultfd_ctx *uffd_ctx_new(struct mm_struct *mm, u32 flags,
				     u32 features) MM_MUST_CHECK;
void uffd_ctx_get(struct userfaultfd_ctx *ctx);
/* uffd_ctx_put: may sleep. */
void uffd_ctx_put(struct userfaultfd_ctx *ctx);
/* uffd_ctx_file: an open file for CTX, with a reference of its own. NULL: no
 * memory. */
struct file *uffd_ctx_file(struct userfaultfd_ctx *ctx) MM_MUST_CHECK;
/* uffd_file_ctx: FILE's, or NULL: it is of another kind. */
struct userfaultfd_ctx *uffd_file_ctx(const struct file *file);

/*
 * userfault_begin: a fault at ADDRESS of VMA ended in WHY (VM_FAULT_UFFD_*).
 * The mmap lock or the claim is still held. VM_FAULT_RETRY: it waits in line:
 * give the lock or claim up and call userfault_wait(UF). 0: the reason is gone,
 * look again. VM_FAULT_SIGBUS: this access is not waited for. FLAGS:
 * FAULT_FLAG_*. Does not sleep.
 */
vm_fault_t userfault_begin(struct uffd_fault *uf,
			   const struct vm_area_struct *vma, uva_t address,
			   u32 flags, vm_fault_t why) MM_MUST_CHECK;
/* userfault_wait: until somebody answered. False: the task is being killed.
 * No lock held. */
bool userfault_wait(struct uffd_fault *uf) MM_MUST_CHECK;

/* uffd_wake: who waits for an address in [START, START + LEN) goes on; LEN 0:
 * everybody. */
void uffd_wake(struct userfaultfd_ctx *ctx, uva_t start, u64 len);

/* ---- registering (userfaultfd_register.c) ---------------------------------
 */

/* What a call is made with. */
struct uffd_call {
	struct userfaultfd_ctx *ctx;
	struct mm_struct *local; /* the caller's memory */
	uva_t arg;		 /* the structure */
};

s64 uffd_register(const struct uffd_call *c);
s64 uffd_unregister(const struct uffd_call *c);
/* uffd_release_all: no mapping of MM has CTX any more. Takes the mmap lock. */
void uffd_release_all(struct mm_struct *mm, struct userfaultfd_ctx *ctx);
/* uffd_reset_vma: VMA, in no tree yet, or (M) for writing and its entries say
 * nothing of watched writes, is nobody's. */
void uffd_reset_vma(struct vm_area_struct *vma);

/* uffd_check_range: 0, -EINVAL. ALIGNED: START has to be, too. */
int uffd_check_range(const struct mm_struct *mm, u64 start, u64 len,
		     bool aligned);

/* ---- answering (userfaultfd_fill.c, userfaultfd_wp.c, userfaultfd_move.c)
 * ----- */

s64 uffd_copy(const struct uffd_call *c);
s64 uffd_zeropage(const struct uffd_call *c);
s64 uffd_continue(const struct uffd_call *c);
s64 uffd_poison(const struct uffd_call *c);
s64 uffd_writeprotect(const struct uffd_call *c);
s64 uffd_move(const struct uffd_call *c);

/*
 * uffd_filling_begin: the mappings of CTX's space stay, and no event is under
 * way, until uffd_filling_end(). 0; -EAGAIN (an event is). Mmap lock for
 * reading and CTX's changing, shared, are held then.
 */
int uffd_filling_begin(struct userfaultfd_ctx *ctx) MM_MUST_CHECK;
void uffd_filling_end(struct userfaultfd_ctx *ctx);

/* uffd_answer: DONE bytes of [START, START + LEN), or -errno: stored at AT of
 * the caller's memory, who waits there woken (WAKE). 0, -EAGAIN, -errno. */
struct uffd_done {
	s64 done;
	uva_t start;
	u64 len;
	uva_t at;
	bool wake;
};
s64 uffd_answer(const struct uffd_call *c, const struct uffd_done *d);

/*
 * uffd_wp_range: entries of [START, END) of VMA begin (ENABLE) or cease to be
 * watched for writes. (M) held; with ENABLE VM_UFFD_WP is set. 0; -ENOMEM,
 * only with ENABLE.
 */
int uffd_wp_range(struct vm_area_struct *vma, uva_t start, uva_t end,
		  bool enable) MM_MUST_CHECK;

#endif
