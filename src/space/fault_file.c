/* SPDX-License-Identifier: MIT */
/*
 * fault_file.c - the first touch of a page that a provider has.
 */
#include "space/fault.h"

vm_fault_t do_fault(struct vm_fault *vmf)
{
	mm_assert(!vma_is_anonymous(vmf->vma));
	/* No provider of pages is known yet. */
	return VM_FAULT_SIGBUS;
}
