/* SPDX-License-Identifier: MIT */
/*
 * uaccess.h - a kernel's access to the memory of its processes.
 *
 * User addresses may be wild: each function checks them. Context of all: may
 * sleep; the caller holds no lock of that address space and no spinlock.
 * Theory: src/space/gup.c.
 */
#ifndef MMKIT_UACCESS_H
#define MMKIT_UACCESS_H

#include <mmkit/types.h>

struct iov_iter;
struct mm_struct;
struct page;

/*
 * copy_to_user / copy_from_user: copy N bytes between MM's memory and a
 * buffer of ours, faulting pages in as the process's own access would (a stack
 * grows, a shared page is copied). Returns the number of bytes that could NOT
 * be copied, 0 on success; those before were.
 */
u64 copy_to_user(struct mm_struct *mm, uva_t to, const void *from,
		 u64 n) MM_MUST_CHECK;
u64 copy_from_user(struct mm_struct *mm, void *to, uva_t from,
		   u64 n) MM_MUST_CHECK;

/*
 * Words that threads share (futexes), in one piece, as the process's own
 * access would be. The _try functions do not sleep, spinlocks may be held:
 * 0; -EAGAIN: the page is not there, or the space is being changed: give the
 * spinlocks back, user_word_fault_in(), try again; -EFAULT: no such word, or
 * not on a multiple of 4. user_cmpxchg32_try: the word becomes VAL if it is
 * *OLD; *OLD is what it was. Full order. user_word_fault_in: may sleep; 0;
 * -EFAULT: no mapping, no right, no memory.
 */
int user_load32_try(struct mm_struct *mm, uva_t addr, u32 *val) MM_MUST_CHECK;
int user_cmpxchg32_try(struct mm_struct *mm, uva_t addr, u32 *old,
		       u32 val) MM_MUST_CHECK;
int user_word_fault_in(struct mm_struct *mm, uva_t addr,
		       bool write) MM_MUST_CHECK;

/* clear_user: N zero bytes at TO. Returns the number not written. */
u64 clear_user(struct mm_struct *mm, uva_t to, u64 n) MM_MUST_CHECK;

/*
 * strncpy_from_user: a string of at most N bytes, its end included. Returns
 * its length; N if there was no end (then TO has none either); -EFAULT.
 */
s64 strncpy_from_user(struct mm_struct *mm, char *to, uva_t from,
		      u64 n) MM_MUST_CHECK;

/*
 * access_process_vm: as the two copies, for memory of somebody else: stacks do
 * not grow. Returns the number of bytes that were copied.
 */
u64 access_process_vm(struct mm_struct *mm, uva_t addr, void *buf, u64 n,
		      bool write);

/*
 * ptrace_access_vm: the same for a debugger: all that is mapped is read, and
 * private mappings are written whatever they allow, as ptrace(2)'s POKETEXT
 * does: the page becomes the process's own, what it may do does not change. A
 * shared mapping without PROT_WRITE is not written.
 */
u64 ptrace_access_vm(struct mm_struct *mm, uva_t addr, void *buf, u64 n,
		     bool write);

/*
 * iov_iter_user: *ITER is N bytes of MM's memory at ADDR, for vfs_iter_read(),
 * which stores them, and vfs_iter_write() (mmkit/fs.h), as read(2) and write(2)
 * have them. Memory that cannot be accessed ends the transfer: what came before
 * it counts, or -EFAULT if nothing did. Bytes may lie in a mapping of the file
 * itself. MM stays until ITER is not used any more. Cannot fail; any context.
 */
void iov_iter_user(struct iov_iter *iter, struct mm_struct *mm, uva_t addr,
		   u64 n);

#define FOLL_WRITE 0x1u /* the frames will be written */

/*
 * pin_user_pages: fault in NR pages from START on and keep their frames:
 * they are not reclaimed until unpinned. GUP_FLAGS: FOLL_WRITE. Returns how
 * many of PAGES were filled (fewer than NR: the next one failed), or, if none,
 * -EFAULT (no mapping, no right), -ENOMEM, -EINTR, -EINVAL (unknown flag).
 * Unmapping does not disturb a pin; after a fork() the process's next write
 * gives the process a new frame, and the pin keeps the old one.
 */
s64 pin_user_pages(struct mm_struct *mm, uva_t start, u64 nr, u32 gup_flags,
		   struct page **pages) MM_MUST_CHECK;
/* unpin_user_page: give one back; _pages_dirty: several, which (DIRTY) were
 * written. */
void unpin_user_page(struct page *page);
void unpin_user_pages_dirty(struct page **pages, u64 nr, bool dirty);

/* One piece of user memory, as struct iovec in the process's memory. */
struct mm_iovec {
	u64 base, len;
};
#define MM_IOV_MAX 1024

/*
 * process_vm_readv / process_vm_writev: process_vm_readv(2) between LOCAL, the
 * caller's memory, and REMOTE; both vectors stand in LOCAL's memory. The caller
 * has found REMOTE and checked the right to it (ESRCH, EPERM). Returns the
 * number of bytes transferred, which may be fewer than asked when memory is
 * met that cannot be accessed; -EINVAL (flags, more than MM_IOV_MAX elements,
 * a sum of lengths beyond SSIZE_MAX), -EFAULT (a vector, or nothing at all
 * could be transferred), -ENOMEM.
 */
struct mm_process_vm {
	struct mm_struct *local, *remote;
	uva_t local_iov;
	u64 liovcnt;
	uva_t remote_iov;
	u64 riovcnt;
};
s64 process_vm_readv(const struct mm_process_vm *p, u64 flags) MM_MUST_CHECK;
s64 process_vm_writev(const struct mm_process_vm *p, u64 flags) MM_MUST_CHECK;

/*
 * do_process_madvise: process_madvise(2) on MM: WILLNEED, COLD, PAGEOUT, or,
 * if MM is LOCAL, any advice, for the ranges of the vector VEC of VLEN elements
 * in LOCAL's memory. The caller has checked the right. Returns the bytes that
 * were advised: fewer than asked if a later range failed; else its error: those
 * of do_madvise(), -EINVAL (flags, another advice, VLEN), -EFAULT (VEC, or a
 * range outside user space).
 */
s64 do_process_madvise(struct mm_struct *mm, struct mm_struct *local, uva_t vec,
		       u64 vlen, int advice, u32 flags) MM_MUST_CHECK;

#endif
