/* SPDX-License-Identifier: MIT */
/*
 * numa_hint.h - entries that make an access tell where it comes from. Theory:
 * numa_hint.c.
 */
#ifndef MM_SPACE_NUMA_HINT_H
#define MM_SPACE_NUMA_HINT_H

#include "space/fault.h"
#include "space/space.h"

/* kernel.numa_balancing: bits. */
#define NUMA_BALANCING_NORMAL	      0x1u
#define NUMA_BALANCING_MEMORY_TIERING 0x2u

/* numa_hint_init: the tunables at boot. */
void numa_hint_init(void);
/* numa_hint_start: the history is there, or there is no memory for one: then
 * pages stay. May sleep. numa_hint_stop: at the end of the machine. */
void numa_hint_start(void);
void numa_hint_stop(void);

/*
 * numa_scan_space: hint entries in PAGES pages of MM, from where the last call
 * ended. True: the end of MM was reached. May sleep.
 */
bool numa_scan_space(struct mm_struct *mm, u64 pages);

/* numa_history_move: NEW, fresh, gets OLD's contents and what is known of its
 * use. */
void numa_history_move(struct page *new, const struct page *old);

/* do_numa_page: VMF's entry is a hint. A case of fault.c; 0. */
vm_fault_t do_numa_page(struct vm_fault *vmf);

#endif
