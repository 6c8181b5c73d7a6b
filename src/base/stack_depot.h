/* SPDX-License-Identifier: MIT */
/*
 * stack_depot.h - call stacks, each kept once, known by a small number.
 *
 * For those who remember with each object or frame who asked for it: many
 * objects have few stacks. The names are Linux's. Theory: stack_depot.c.
 */
#ifndef MM_BASE_STACK_DEPOT_H
#define MM_BASE_STACK_DEPOT_H

#include <mmkit/types.h>

#include "base/seqbuf.h"

#define STACK_DEPOT_DEPTH 16u	/* return addresses that are kept */
#define STACK_DEPOT_CHUNK 4096u /* bytes of memory that it is fed with */

/* 0: no stack. */
typedef u32 depot_stack_handle_t;

/*
 * stack_depot_here: the running stack from the call that returns to FROM on
 * (0, or a FROM that is not found: all of it), kept. 0 if the world cannot
 * walk stacks, or there is no memory. Any context.
 */
depot_stack_handle_t stack_depot_here(u64 from);

/* stack_depot_save: the same for ENTRIES[NR]; what is beyond
 * STACK_DEPOT_DEPTH is cut off. NR 0: no stack. */
depot_stack_handle_t stack_depot_save(const u64 *entries, u32 nr);

/* stack_depot_fetch: *ENTRIES of H, for as long as the machine lives; returns
 * how many. 0 for handle 0. */
u32 stack_depot_fetch(depot_stack_handle_t h, const u64 **entries);

/* stack_depot_print: a line for each address of H, behind INDENT, to OUT.
 * Nothing for handle 0. */
void stack_depot_print(struct seq_buf *out, depot_stack_handle_t h,
		       const char *indent);

/*
 * stack_depot_feed: MEM[STACK_DEPOT_CHUNK], aligned to 8, is the depot's until
 * base_reset(). False: it has as much as it may have; MEM stays the caller's.
 * stack_depot_hungry: should it be fed soon? Any context.
 */
bool stack_depot_feed(void *mem);
bool stack_depot_hungry(void);

/* stack_depot_owns: was MEM, a chunk's first byte, fed? */
bool stack_depot_owns(const void *mem);

/* stack_depot_check: verify everything; panics. Returns the stacks. */
u32 stack_depot_check(void);

#endif
