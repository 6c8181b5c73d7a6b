/* SPDX-License-Identifier: MIT */
/*
 * page_owner.h - who allocated each frame, and when. Boot parameter
 * page_owner. Theory: page_owner.c.
 */
#ifndef MM_PHYS_PAGE_OWNER_H
#define MM_PHYS_PAGE_OWNER_H

#include "base/seqbuf.h"
#include "phys/page_ext.h"

extern const struct page_ext_operations page_owner_ops;

/* A frame's record; of a block every frame has one. */
struct page_owner {
	u16 order;
	u16 migratetype; /* wanted, by the request's flags */
	gfp_t gfp;
	s32 pid, free_pid;
	u64 ts_ns, free_ts_ns; /* 0: not freed since boot */
	const void *caller;    /* an address in the code that asked */
	u32 stack, free_stack; /* depot_stack_handle_t */
	char comm[MM_TASK_COMM];
};

/* page_owner_on: are owners recorded? */
bool page_owner_on(void);

/* page_owner_reserve: boot, when entries are laid out: memory for stacks. */
void page_owner_reserve(void);

/*
 * set_page_owner: the block of ORDER at PAGE is now the running task's.
 * page_owner_caller: the address that asked for it. reset_page_owner: it is
 * given back. split_page_owner: NR frames at PAGE are single from now on. All:
 * any context; the block is the caller's; nothing happens when off.
 */
void set_page_owner(struct page *page, unsigned int order, gfp_t gfp);
void page_owner_caller(struct page *page, unsigned int order, const void *at);
void reset_page_owner(struct page *page, unsigned int order);
void split_page_owner(struct page *page, u64 nr);
/* copy_page_owner: NEW has OLD's contents now: it is the same owner's. */
void copy_page_owner(struct page *new, const struct page *old);

/* page_owner_of: PAGE's record, NULL: none was ever written (or off). */
const struct page_owner *page_owner_of(const struct page *page);

/* page_owner_allocated: is PAGE in use, by its record? */
bool page_owner_allocated(const struct page *page);

/*
 * page_owner_print: PAGE's paragraph of Linux's debugfs file page_owner.
 * dump_page_owner: the lines of a page dump, to the log; none when off.
 */
void page_owner_print(struct seq_buf *out, const struct page *page);
void dump_page_owner(const struct page *page);

#endif
