/* SPDX-License-Identifier: MIT */
/*
 * mover.h - pages are moved under whoever uses them, in any world: a step takes
 * some frames and gives what is in them other ones.
 */
#ifndef TESTS_MOVER_H
#define TESTS_MOVER_H

#include "base/prng.h"
#include "move/move.h"
#include "phys/lru.h"
#include "phys/phys.h"

struct mover {
	struct prng rnd;
	u32 refuse; /* one in so many frames is not to be had; 0: all are */
	u64 moved, stayed, refused;
};

static inline struct page *mover_new(struct page *page, void *arg)
{
	struct migrate_target where = {.nid = NUMA_NO_NODE,
				       .nodes = NODE_MASK_ALL,
				       .gfp = __GFP_NORETRY | __GFP_NOWARN};
	struct mover *m = arg;

	if (m->refuse && !prng_below(&m->rnd, m->refuse)) {
		m->refused++;
		return NULL;
	}
	return migrate_new_page(page, &where);
}

/* Up to NR frames from a random one on. */
static inline void mover_step(struct mover *m, u64 nr)
{
	struct migrate_control mc = {
		.get_new = mover_new,
		.arg = m,
		.mode = (enum migrate_mode)prng_below(&m->rnd, 3),
		.reason = MR_SYSCALL,
	};
	u64 end = phys_sys.hot.max_pfn, pfn = prng_below(&m->rnd, end);
	bool disable = prng_below(&m->rnd, 2) != 0;
	int err;

	if (disable)
		lru_cache_disable();
	(void)migrate_frames(pfn, min(pfn + nr, end), &mc, &err);
	if (disable)
		lru_cache_enable();
	m->moved += mc.succeeded;
	m->stayed += mc.failed;
}

#endif
