/* SPDX-License-Identifier: MIT */
/*
 * gup.h - user memory reached by the kernel, inside the floor. Theory: gup.c.
 */
#ifndef MM_SPACE_GUP_H
#define MM_SPACE_GUP_H

#include "space/space.h"

/* What populating asks of each page. */
enum populate_how {
	POPULATE_LIKELY, /* as it will be used: MAP_POPULATE, mlock() */
	POPULATE_READ,
	POPULATE_WRITE
};

#define USER_WRITE 0x1u
#define USER_OWN   0x2u /* on behalf of the process: its stack grows */
#define USER_FORCE 0x4u /* whatever a private mapping allows: a debugger */

/*
 * user_page_lock: fault ADDR of VMA in until it can be read (WRITE: written);
 * then its table is locked and *SLOT names its entry. (M) held, the right
 * checked by the caller. 0; -EFAULT, -ENOMEM, -EINTR (a fatal signal),
 * -EHWPOISON: not locked. USER_PAGE_WAIT: not locked either, a monitor is
 * asked: give (M) back, userfault_wait(UF), begin anew; UF NULL: then -EFAULT.
 * May sleep.
 */
#define USER_PAGE_WAIT 1
struct uffd_fault;
int user_page_lock(struct vm_area_struct *vma, uva_t addr, bool write,
		   struct pt_slot *slot, struct uffd_fault *uf) MM_MUST_CHECK;

/*
 * mm_populate: fault in [START, START + LEN). 0; -ENOMEM (a hole, or no
 * frame), -EFAULT (a signal, or with POPULATE_LIKELY no access), -EINVAL (no
 * right, otherwise), -EINTR. Stops at the first. No lock held. May sleep.
 */
int mm_populate(struct mm_struct *mm, uva_t start, u64 len,
		enum populate_how how);
/* mm_populate_vma: [AT, END) of one mapping, POPULATE_LIKELY; (M) held, errors
 * end it. */
void mm_populate_vma(struct vm_area_struct *vma, uva_t at, uva_t end);
/* mm_populate_all: every mapping, POPULATE_LIKELY; errors are passed over. */
void mm_populate_all(struct mm_struct *mm);

#endif
