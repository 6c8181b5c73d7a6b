/* SPDX-License-Identifier: MIT */
/*
 * stir.h - what moves memory, makes it huge, merges it, takes it away and gives
 * it back, all at once, under programs that compare every byte with a model.
 *
 *	stir_open(what, seed);		in the machine, before the programs
 *	stir_op(&r, mm, at, pages);	by a program, about its own memory
 *	stir_close();			after the last of them
 *
 * A thread of its own does what an operator or the machine would; the daemons
 * (kcompactd, khugepaged, ksmd, kswapd) do the rest. None of it may change what
 * a program finds; so no operation has a model, and each may fail, by the
 * errors that its documentation names alone. stir_total() says over all runs
 * how often each thing happened: a run in which nothing moved shows nothing.
 *
 * Frames that were set aside (soft offline) come back at the end, and all that
 * is merged is made private again, so that the books of the machine close.
 */
#ifndef TESTS_STIR_H
#define TESTS_STIR_H

#include <mmkit/ksm.h>
#include <mmkit/memory_failure.h>
#include <mmkit/mempolicy.h>
#include <mmkit/prctl.h>
#include <mmkit/sysctl.h>

#include "compact/compact.h"
#include "merge/ksm.h"
#include "mover.h"
#include "sim_machine.h"

/* What a run has of it. */
enum {
	STIR_MOVE = 1, /* pages to other frames and nodes; frames set aside */
	STIR_COMPACT = 2, /* compaction, and blocks that want it */
	STIR_THP = 4,	  /* huge pages */
	STIR_KSM = 8,	  /* equal pages merged */
	STIR_POLICY = 16, /* one reclaim policy after the other */
	STIR_SWAP = 32,	  /* a second swap area comes and goes */
	STIR_LIMITS = 64, /* limits of groups change */
	STIR_ALL = 127,
};

/* Counters of the machine that are added up over runs. */
#define STIR_EVENTS(X)                                       \
	X(PGMIGRATE_SUCCESS, "pages moved")                  \
	X(PGMIGRATE_FAIL, "not moved")                       \
	X(COMPACTSUCCESS, "blocks by compaction")            \
	X(COMPACTMIGRATE_SCANNED, "frames looked at for it") \
	X(KCOMPACTD_MIGRATE_SCANNED, "by kcompactd")         \
	X(THP_FAULT_ALLOC, "huge pages at a fault")          \
	X(THP_COLLAPSE_ALLOC, "by collapse")                 \
	X(THP_SPLIT_PMD, "split")                            \
	X(COW_KSM, "merged pages copied when written")       \
	X(KSM_SWPIN_COPY, "copied after swap")               \
	X(PSWPOUT, "pages swapped out")                      \
	X(PSWPIN, "in")                                      \
	X(OOM_KILL, "killed")

enum stir_event {
#define X(item, text) STIR_##item,
	STIR_EVENTS(X)
#undef X
		STIR_MERGED, /* most at once, added up over runs */
	STIR_OFFLINED,
	STIR_SWAPOFFS,
	STIR_SWAPOFFS_REFUSED,
	STIR_EXCHANGES,
	STIR_LIMITED, /* limits set */
	STIR_BINDS,
	STIR_ADVICES,
	NR_STIR_EVENTS
};

static const char *const stir_names[NR_STIR_EVENTS] = {
#define X(item, text) text,
	STIR_EVENTS(X)
#undef X
		"merged at once",
	"frames set aside",
	"times a swap area went",
	"times it could not",
	"policies exchanged",
	"limits changed",
	"calls to move",
	"advices",
};

#define STIR_OFFLINE 6u /* frames set aside at a time */

static struct stir {
	u32 what;
	u64 seed, merged;
	volatile bool done;
	struct port_thread *thread;
	struct port_bdev *swap; /* the second area */
	bool swap_on;
	u64 offlined[STIR_OFFLINE];
	u32 nr_offlined;
	struct mover mover;
	u64 total[NR_STIR_EVENTS]; /* over all runs */
} st;

MM_UNUSED static u64 stir_total(enum stir_event e)
{
	return st.total[e];
}

MM_UNUSED static void stir_tell(FILE *out)
{
	fprintf(out, "  stirred:");
	for (u32 e = 0; e < NR_STIR_EVENTS; e++)
		fprintf(out, "%s %llu %s", e ? "," : "",
			(unsigned long long)st.total[e], stir_names[e]);
	fprintf(out, "\n");
}

/* ---- what an operator does -------------------------------------------------
 */

static void stir_ksm(const char *name, u64 value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	CHECK_EQ(mm_ksm_set(name, text), 0);
}

static void stir_thp(const char *name, const char *text)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s",
		 name);
	CHECK_EQ(mm_write(path, text, strlen(text)), (s64)strlen(text));
}

/* Blocks of some size are wanted for a moment, whatever must move for them. */
static void stir_block(struct prng *r)
{
	unsigned int order = (unsigned int)prng_range(r, 3, 8);
	/* Nobody is killed for it. */
	gfp_t how = prng_one_in(r, 4) ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL;
	struct page *page[4];
	u32 n = 0;

	while (n < ARRAY_SIZE(page)) {
		page[n] = alloc_pages(GFP_KERNEL | __GFP_NOWARN | how, order);
		if (!page[n])
			break;
		n++;
	}
	port_park(prng_below(r, 300000));
	while (n)
		__free_pages(page[--n], order);
}

static void stir_compact(struct prng *r)
{
	switch (prng_below(r, 8)) {
	case 0:
		CHECK_EQ(mm_sysctl_set("vm.compact_memory", "1"), 0);
		break;
	case 1:
		CHECK_EQ(mm_sysctl_set("vm.compaction_proactiveness",
				       prng_one_in(r, 2) ? "90" : "0"),
			 0);
		break;
	default:
		stir_block(r);
	}
}

/* A suspect frame is set aside, or turns out to be good. */
static void stir_offline(struct prng *r)
{
	u64 pfn = prng_below(r, phys_sys.hot.max_pfn);
	int err;

	if (st.nr_offlined && prng_one_in(r, 3)) {
		CHECK_EQ(unpoison_memory(st.offlined[--st.nr_offlined]), 0);
		return;
	}
	if (st.nr_offlined == STIR_OFFLINE)
		return;
	err = soft_offline_page(pfn, 0);
	CHECK(!err || err == -EBUSY || err == -EHWPOISON || err == -ENXIO ||
	      err == -ENOMEM || err == -EAGAIN);
	if (err || !PageHWPoison(pfn_to_page(pfn)))
		return;
	st.offlined[st.nr_offlined++] = pfn;
	st.total[STIR_OFFLINED]++;
}

static void stir_move(struct prng *r)
{
	if (prng_one_in(r, 4))
		stir_offline(r);
	else
		mover_step(&st.mover, prng_range(r, 1, 256));
}

static void stir_policy(struct prng *r)
{
	u32 n = 0;

	while (reclaim_policy(n))
		n++;
	CHECK_EQ(reclaim_select(reclaim_policy((u32)prng_below(r, n))->name),
		 0);
	st.total[STIR_EXCHANGES]++;
}

static void stir_swap(struct prng *r)
{
	int err;

	if (!st.swap_on) {
		err = swapon(st.swap, prng_one_in(r, 2) ? 9 : -1);
		CHECK(err >= 0 || err == -ENOMEM);
		st.swap_on = err >= 0;
		return;
	}
	err = swapoff(st.swap);
	CHECK(!err || err == -ENOMEM);
	st.total[err ? STIR_SWAPOFFS_REFUSED : STIR_SWAPOFFS]++;
	st.swap_on = err != 0;
}

/* Never below what wg_open() gave: nobody shall die of it. */
static void stir_limit(struct prng *r)
{
	u32 ram = (u32)(tm.cfg.mem >> PAGE_SHIFT);
	u16 id;
	int err;

	if (!wg.nr)
		return;
	id = wg.id[prng_below(r, wg.nr)];
	switch (prng_below(r, 4)) {
	case 0:
		wg_set(id, "memory.high", (u32)prng_range(r, ram / 6, ram));
		break;
	case 1:
		wg_set(id, "memory.max", (u32)prng_range(r, ram / 2, ram));
		break;
	case 2:
		wg_set(id, "memory.low", (u32)prng_below(r, ram / 6));
		break;
	default:
		err = memcg_write(id, "memory.reclaim", "256K");
		CHECK(!err || err == -EAGAIN);
	}
	st.total[STIR_LIMITED]++;
}

static void stir_thread(void *arg)
{
	static void (*const op[])(struct prng * r) = {
		stir_move,   stir_compact, NULL,      NULL,
		stir_policy, stir_swap,	   stir_limit};
	struct prng r;

	(void)arg;
	port_current()->caps = MM_CAP_SYS_ADMIN;
	prng_seed(&r, st.seed * 31 + 7);
	while (!st.done) {
		u32 k = (u32)prng_below(&r, ARRAY_SIZE(op));

		if (op[k] && (st.what & 1u << k))
			op[k](&r);
		st.merged = max(st.merged, (u64)merge_sys.pages_sharing);
		port_park(prng_range(&r, 20000, 2000000));
	}
}

/* ---- what a program does about its own memory ------------------------------
 */

static void stir_unmap(struct mm_struct *mm, s64 room)
{
	while (do_munmap(mm, (uva_t)room, PAGE_SIZE))
		if (port_current()->fatal_signal)
			return;
}

/* Pages of MM's range, and where they shall lie, by move_pages(2); the arrays
 * live in a mapping that is there for that alone. */
static void stir_move_pages(struct prng *r, struct mm_struct *mm, uva_t at,
			    u64 pages)
{
	u64 n = min(prng_range(r, 1, 32), pages), first;
	struct mm_move_pages a = {.target = mm, .local = mm, .nr = n};
	s64 room = do_mmap(mm, 0, PAGE_SIZE, TM_RW, TM_ANON), got;

	if (room < 0)
		return;
	a.pages = (uva_t)room;
	a.nodes = a.pages + 1024;
	a.status = a.pages + 2048;
	a.flags = prng_one_in(r, 2) ? MPOL_MF_MOVE : MPOL_MF_MOVE_ALL;
	first = prng_below(r, pages - n + 1);
	for (u64 i = 0; i < n; i++) {
		u64 va = at + ((first + i) << PAGE_SHIFT);
		u32 node = (u32)prng_below(r, (u64)tm.cfg.nodes);

		if (sim_copy_to_user(a.pages + 8 * i, &va, 8) ||
		    sim_copy_to_user(a.nodes + 4 * i, &node, 4))
			goto out; /* allocations fail, or swap does */
	}
	got = kernel_move_pages(&a);
	CHECK((got >= 0 && got <= (s64)n) || got == -ENOMEM || got == -EFAULT);
	st.total[STIR_BINDS]++;
out:
	stir_unmap(mm, room);
}

static void stir_migrate_pages(struct prng *r, struct mm_struct *mm)
{
	s64 room = do_mmap(mm, 0, PAGE_SIZE, TM_RW, TM_ANON), got;
	u64 old, new;
	uva_t at = (uva_t)room;

	if (room < 0)
		return;
	old = 1ul << prng_below(r, (u64)tm.cfg.nodes);
	new = 1ul << prng_below(r, (u64)tm.cfg.nodes);
	if (!sim_copy_to_user(at, &old, 8) &&
	    !sim_copy_to_user(at + 8, &new, 8)) {
		got = kernel_migrate_pages(mm, mm, MM_MAX_NODES + 1, at,
					   at + 8);
		CHECK(got >= 0 || got == -ENOMEM || got == -EFAULT);
		st.total[STIR_BINDS]++;
	}
	stir_unmap(mm, room);
}

/* No policy forbids a node: nobody shall die for want of one. */
static void stir_bind(struct prng *r, struct mm_struct *mm, uva_t at, u64 len)
{
	static const int mode[] = {MPOL_PREFERRED, MPOL_PREFERRED,
				   MPOL_INTERLEAVE, MPOL_LOCAL};
	int m = mode[prng_below(r, ARRAY_SIZE(mode))], err;
	nodemask_t nodes = NODE_MASK(prng_below(r, (u64)tm.cfg.nodes));

	if (m == MPOL_INTERLEAVE)
		nodes = (1ul << tm.cfg.nodes) - 1;
	else if (m == MPOL_LOCAL)
		nodes = 0;
	err = do_mbind(mm, at, len, m, nodes,
		       prng_one_in(r, 2) ? MPOL_MF_MOVE : MPOL_MF_MOVE_ALL);
	/* EFAULT: the model's mappings have holes. */
	CHECK(!err || err == -EFAULT || err == -ENOMEM || err == -EIO);
	st.total[STIR_BINDS]++;
}

static void stir_numa(struct prng *r, struct mm_struct *mm, uva_t at, u64 pages)
{
	u32 caps = port_current()->caps;

	port_current()->caps |= MM_CAP_SYS_NICE;
	switch (prng_below(r, 3)) {
	case 0:
		stir_move_pages(r, mm, at, pages);
		break;
	case 1:
		stir_migrate_pages(r, mm);
		break;
	default:
		stir_bind(r, mm, at, pages << PAGE_SHIFT);
	}
	port_current()->caps = caps;
}

static void stir_advise(struct prng *r, struct mm_struct *mm, uva_t at,
			u64 pages)
{
	static const int thp[] = {MADV_HUGEPAGE, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
				  MADV_COLLAPSE, MADV_COLLAPSE};
	static const int ksm[] = {MADV_MERGEABLE, MADV_MERGEABLE,
				  MADV_UNMERGEABLE};
	static const int any[] = {MADV_PAGEOUT, MADV_COLD, MADV_WILLNEED,
				  MADV_POPULATE_READ};
	u32 which = st.what & (STIR_THP | STIR_KSM);
	int a = any[prng_below(r, ARRAY_SIZE(any))], err;

	if (which == (STIR_THP | STIR_KSM))
		which = prng_one_in(r, 2) ? STIR_THP : STIR_KSM;
	if (which == STIR_THP && !prng_one_in(r, 4))
		a = thp[prng_below(r, ARRAY_SIZE(thp))];
	else if (which == STIR_KSM && !prng_one_in(r, 4))
		a = ksm[prng_below(r, ARRAY_SIZE(ksm))];
	err = do_madvise(mm, at, pages << PAGE_SHIFT, a);
	CHECK(!err || err == -ENOMEM || err == -EAGAIN || err == -EIO ||
	      ((a == MADV_COLLAPSE || a == MADV_POPULATE_READ) &&
	       (err == -EINVAL || err == -EBUSY || err == -EFAULT)) ||
	      port_current()->fatal_signal);
	st.total[STIR_ADVICES]++;
}

/* Something about PAGES pages at AT of MM, the running program's. */
MM_UNUSED static void stir_op(struct prng *r, struct mm_struct *mm, uva_t at,
			      u64 pages)
{
	/* A range that a huge page fits into, often. */
	u64 n = min(prng_one_in(r, 2) ? prng_range(r, 512, 1100)
				      : prng_range(r, 1, 64),
		    pages),
	    first = prng_below(r, pages - n + 1);

	at += first << PAGE_SHIFT;
	if ((st.what & STIR_MOVE) && prng_one_in(r, 2))
		stir_numa(r, mm, at, n);
	else if (st.what)
		stir_advise(r, mm, at, n);
}

/* There is room for a moment: for a huge page where there are small ones. */
MM_UNUSED static void stir_collapse(struct prng *r, struct mm_struct *mm,
				    uva_t at, u64 pages)
{
	u64 n = min(1100UL, pages), first = prng_below(r, pages - n + 1);
	int err;

	if (!(st.what & STIR_THP))
		return;
	err = do_madvise(mm, at + (first << PAGE_SHIFT), n << PAGE_SHIFT,
			 MADV_COLLAPSE);
	CHECK(!err || err == -ENOMEM || err == -EAGAIN || err == -EINVAL ||
	      err == -EBUSY || port_current()->fatal_signal);
	st.total[STIR_ADVICES]++;
}

/* What a program asks for before it begins. */
MM_UNUSED static void stir_begin(struct mm_struct *mm)
{
	if (st.what & STIR_KSM)
		CHECK_EQ(mm_prctl_set_memory_merge(mm, true), 0);
}

/* ---- a run -----------------------------------------------------------------
 */

static void stir_ksm_open(struct prng *r)
{
	stir_ksm("sleep_millisecs", prng_range(r, 1, 5));
	stir_ksm("pages_to_scan", prng_range(r, 50, 300));
	stir_ksm("smart_scan", prng_below(r, 2));
	stir_ksm("use_zero_pages", prng_below(r, 2));
	stir_ksm("max_page_sharing", prng_one_in(r, 2) ? 256 : 3);
	stir_ksm("merge_across_nodes", prng_below(r, 2));
	stir_ksm("run", 1);
}

static void stir_thp_open(struct prng *r)
{
	static const char *const defrag[] = {"always", "defer", "defer+madvise",
					     "madvise", "never"};

	stir_thp("enabled", prng_one_in(r, 3) ? "madvise" : "always");
	stir_thp("defrag", defrag[prng_below(r, ARRAY_SIZE(defrag))]);
	stir_thp("khugepaged/scan_sleep_millisecs",
		 prng_one_in(r, 2) ? "1" : "9");
	stir_thp("khugepaged/alloc_sleep_millisecs", "5");
	stir_thp("khugepaged/max_ptes_none", prng_one_in(r, 2) ? "511" : "64");
	stir_thp("khugepaged/max_ptes_swap", prng_one_in(r, 2) ? "511" : "64");
	stir_thp("khugepaged/max_ptes_shared", prng_one_in(r, 2) ? "511" : "0");
}

/* The machine has WHAT from now on. wg_open() was called before. */
MM_UNUSED static void stir_open(u32 what, u64 seed)
{
	struct prng r;

	prng_seed(&r, seed * 17 + 3);
	st.what = what;
	st.seed = seed;
	st.done = st.swap_on = false;
	st.nr_offlined = 0;
	st.merged = 0;
	memset(&st.mover, 0, sizeof(st.mover));
	prng_seed(&st.mover.rnd, seed);
	st.mover.refuse = prng_one_in(&r, 2) ? 50 : 0;
	if (what & STIR_KSM)
		stir_ksm_open(&r);
	if (what & STIR_THP)
		stir_thp_open(&r);
	if (what & STIR_SWAP)
		st.swap = tm_swap_disk(2048);
	st.thread = NULL;
	if (what)
		CHECK_EQ(sim_thread_start_on(&st.thread, "stir",
					     (int)(seed % (u64)tm.cfg.cpus),
					     stir_thread, NULL),
			 0);
}

static void stir_add_events(void)
{
#define X(item, text) st.total[STIR_##item] += sum_vm_event(item);
	STIR_EVENTS(X)
#undef X
	st.total[STIR_MERGED] += st.merged;
}

/* The last program is gone. Its thread ends; all comes back. */
MM_UNUSED static void stir_close(void)
{
	if (!st.what)
		return;
	st.done = true;
	port_thread_join(st.thread);
	while (st.nr_offlined)
		CHECK_EQ(unpoison_memory(st.offlined[--st.nr_offlined]), 0);
	if (st.what & STIR_KSM) {
		/* A space at which the daemon stands goes when it goes on. */
		for (u32 i = 0; i < 100 && READ_ONCE(merge_sys.rmap_items); i++)
			port_park(1000000);
		ksm_check();
		CHECK_EQ(merge_sys.rmap_items, 0);
		stir_ksm("run", 2);
		ksm_check();
		CHECK_EQ(space_sys.ksm_zero_pages, 0);
	}
	if (st.what & STIR_THP)
		stir_thp("enabled", "never");
	if (st.swap_on) {
		u32 caps = port_current()->caps;

		port_current()->caps |= MM_CAP_SYS_ADMIN;
		CHECK_EQ(swapoff(st.swap), 0);
		port_current()->caps = caps;
	}
	if (st.what & STIR_SWAP)
		sim_disk_close(st.swap);
	stir_add_events();
	st.what = 0;
}

#endif
