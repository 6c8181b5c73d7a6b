/* SPDX-License-Identifier: MIT */
/*
 * replay_refs.c - references: through the MMU in the first pass, to the
 * optimum in the second.
 *
 * First pass. A reference that hits the TLB costs a compare: the loop in
 * replay_refs_fast() decodes the record and looks into the TLB's first level
 * at about 32 instructions, and leaves all else to the long way. When a
 * translation is loaded (after a miss, so after every fault, copy, swap-in or
 * flush) the page is checked against its shadow: all of it if it stands in
 * another frame than last time, else a sample. The first write through a
 * translation gives the page new contents.
 *
 * Second pass. Identities for the optimum: a page gets one with its first
 * write (until then it is the shared zero page and needs no frame); forked
 * pages share theirs until one side writes, which references the old page
 * (it is copied) and then the new one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <mmkit/mm.h>

#include "err.h"
#include "phys/alloc.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"
#include "replay_priv.h"

/* All TLBs are looked through after so many faults. */
#define FAULTS_PER_CHECK 128

/* The MMU's hook has no argument; there is one machine per process. */
static struct replay *hook_replay;

static struct replay_task *running_task(struct replay *rp)
{
	return &rp->tasks[rp->cur];
}

static void data_error(struct replay *rp, uva_t va, const struct shadow_page *p,
		       const u64 *view)
{
	if (rp->res->data_errors++ < 10)
		err_say("data error: record %llu, task %u, address 0x%llx: "
			"expected stamp %llx, first word is %llx, frame %u "
			"before",
			(unsigned long long)rp->record, rp->cur,
			(unsigned long long)va, (unsigned long long)p->stamp,
			(unsigned long long)view[0], p->pfn);
}

static void fill_hook(struct sim_tlb_entry *e, uva_t va, unsigned access,
		      bool loaded)
{
	struct replay *rp = hook_replay;
	struct replay_task *t = running_task(rp);
	struct shadow_page *p;

	if (!t->rmm)
		return;
	p = shadow_get(&t->rmm->shadow, va);
	if (loaded) {
		rp->res->data_checks++;
		if (!stamp_matches(e->view, p->stamp, p->pfn != e->pfn))
			data_error(rp, va, p, (const u64 *)(void *)e->view);
		p->pfn = (u32)e->pfn;
	}
	if (!p->touched) {
		p->touched = 1;
		rp->res->footprint_pages++;
		rp->res->file_as_anon += p->file;
	}
	if (!(access & SIM_WRITE))
		return;
	/* A sample of the real contents, else something never seen before. */
	p->stamp = p->next_stamp ? p->next_stamp : ++rp->stamp_seq << 1 | 1;
	p->next_stamp = 0;
	stamp_write(e->view, p->stamp);
}

/* ---- the same with files as files
 * -------------------------------------------------------- */

/* The region of VA, and if it shows an object, where; NULL: private memory. */
static struct replay_region *object_at(struct replay_mm *rmm, uva_t va,
				       u64 *index)
{
	struct replay_region *r = rmm->nr_regions ? region_find(rmm, va) : NULL;

	if (!r || !r->obj)
		return NULL;
	*index = r->index + ((va - r->start) >> PAGE_SHIFT);
	return r;
}

/* Does VIEW hold what P says, or what it may hold besides? Q: the page of the
 * file behind a private mapping. P is brought up to date. */
static bool holds(const void *view, struct shadow_page *p,
		  const struct shadow_page *q, bool all)
{
	static const struct shadow_page zero;

	switch (p->alt) {
	case ALT_ANY:
		return true;
	case ALT_ZERO:
		if (stamp_matches_cut(view, p, true))
			return true;
		p->stamp = p->cut = 0;
		p->alt = ALT_NONE;
		return stamp_matches_cut(view, &zero, true);
	case ALT_FILE:
		if (q &&
		    (q->alt == ALT_ANY || stamp_matches_cut(view, q, true)))
			return true;
		p->alt = ALT_NONE;
		p->own = 1;
		return stamp_matches_cut(view, p, true);
	default:
		return stamp_matches_cut(view, p, all);
	}
}

static void check_loaded(struct replay *rp, const struct sim_tlb_entry *e,
			 uva_t va, struct shadow_page *p,
			 const struct shadow_page *q)
{
	rp->res->data_checks++;
	if (!holds(e->view, p, q, p->pfn != e->pfn))
		data_error(rp, va, p, (const u64 *)(void *)e->view);
	p->pfn = (u32)e->pfn;
}

/* Private memory was stored to: its own contents, from now on. */
static void store_private(struct replay *rp, struct shadow_page *p, void *view)
{
	p->stamp = p->next_stamp ? p->next_stamp : ++rp->stamp_seq << 1 | 1;
	p->next_stamp = 0;
	p->cut = 0;
	p->alt = ALT_NONE;
	p->own = 1;
	stamp_write(view, p->stamp);
}

static void fill_hook_exact(struct sim_tlb_entry *e, uva_t va, unsigned access,
			    bool loaded)
{
	struct replay *rp = hook_replay;
	struct replay_task *t = running_task(rp);
	struct shadow_page *p, *q = NULL, *seen;
	struct replay_region *r;
	u64 index = 0;

	if (!t->rmm)
		return;
	r = object_at(t->rmm, va, &index);
	p = r && r->shared ? NULL : shadow_get(&t->rmm->shadow, va);
	if (r)
		q = obj_page(r->obj, index);
	/* What is seen: one's own page if there is one, or may be. */
	seen = p && (!q || p->own || p->alt) ? p : q;
	if (!seen)
		err_die("%#llx is mapped, but nothing was",
			(unsigned long long)va);
	if (loaded)
		check_loaded(rp, e, va, seen, q);
	if (!seen->touched)
		rp->res->footprint_pages++;
	seen->touched = 1;
	if (!(access & SIM_WRITE))
		return;
	if (p)
		store_private(rp, p, e->view);
	else
		obj_store(r->obj, q, index, e->view);
	if (p && !p->touched)
		rp->res->footprint_pages++;
	if (p)
		p->touched = 1;
}

struct fault_mark replay_faults_now(void)
{
	return (struct fault_mark){sum_vm_event(PGFAULT),
				   sum_vm_event(PGMAJFAULT)};
}

void replay_faults_are(struct replay *rp, u8 kind,
		       const struct fault_mark *mark)
{
	struct fault_mark now = replay_faults_now();
	u64 major = now.major - mark->major;
	u64 minor = now.all - mark->all - major;

	if (kind == OBJ_FILE) {
		rp->res->file_maj_flt += major;
		rp->res->file_min_flt += minor;
	} else {
		rp->res->shm_maj_flt += major;
		rp->res->shm_min_flt += minor;
	}
}

void replay_faults_at(struct replay *rp, struct replay_mm *rmm, uva_t va,
		      const struct fault_mark *mark)
{
	u64 index;
	struct replay_region *r = object_at(rmm, va, &index);

	if (r)
		replay_faults_are(rp, r->obj->kind, mark);
}

/*
 * A frame that is free must not be reachable through any CPU's TLB: its next
 * owner's data would be read or overwritten. (A hit checks no contents, so
 * this is how a missing flush is seen.)
 */
static void check_entry(const struct sim_tlb_entry *e, int cpu, void *arg)
{
	struct replay *rp = arg;

	u64 n = pt_span(machine_format(&rp->o->machine), e->level) >>
		PAGE_SHIFT,
	    i = 0;

	while (i < n && page_count(pfn_to_page(e->pfn + i)) > 0)
		i++;
	if (i == n)
		return;
	if (rp->res->data_errors++ < 10)
		err_say("stale translation: CPU %d still maps 0x%llx to frame "
			"%llu, which is free",
			cpu,
			(unsigned long long)(e->key & PAGE_MASK) +
				(i << PAGE_SHIFT),
			(unsigned long long)e->pfn + i);
}

void replay_check_tlbs(struct replay *rp)
{
	sim_tlb_for_each(check_entry, rp);
}

/* Reasons for a fault to wait: pages that were read in, direct reclaim. */
static u64 waits_so_far(void)
{
	u64 n = sum_vm_event(PGMAJFAULT);

	for (int i = ALLOCSTALL_DMA; i <= ALLOCSTALL_MOVABLE; i++)
		n += sum_vm_event((enum vm_event_item)i);
	return n;
}

/* The manager's fault entry, and a look at what is resident afterwards. */
static int fault_hook(struct mm_task *task, uva_t va, u32 error_code)
{
	u64 waits = waits_so_far(), start = sim_now_ns();
	int sig = mm_user_fault(task, va, error_code);

	if (waits_so_far() != waits)
		hook_replay->res->stall_ns += sim_now_ns() - start;
	replay_note_peak(hook_replay);
	replay_watch_free(hook_replay);
	if (++hook_replay->faults % FAULTS_PER_CHECK == 0)
		replay_check_tlbs(hook_replay);
	return sig;
}

static int fault_hook_exact(struct mm_task *task, uva_t va, u32 error_code)
{
	struct replay_mm *rmm = running_task(hook_replay)->rmm;
	struct fault_mark mark = replay_faults_now();
	int sig = fault_hook(task, va, error_code);

	if (rmm)
		replay_faults_at(hook_replay, rmm, va, &mark);
	return sig;
}

void replay_set_hook(struct replay *rp)
{
	hook_replay = rp;
	if (!rp) {
		sim_set_fill_hook(NULL);
		port_set_fault_hook(mm_user_fault);
	} else if (rp->exact) {
		sim_set_fill_hook(fill_hook_exact);
		port_set_fault_hook(fault_hook_exact);
	} else {
		sim_set_fill_hook(fill_hook);
		port_set_fault_hook(fault_hook);
	}
}

void replay_note_peak(struct replay *rp)
{
	u64 n = 0;

	/* Pages in batches and isolated ones are counted when they return. */
	for (int l = 0; l < NR_LRU_LISTS; l++)
		n += global_node_page_state(NR_LRU_BASE + l);
	n += global_node_page_state(NR_ISOLATED_ANON);
	n += global_node_page_state(NR_ISOLATED_FILE);
	if (n > rp->res->peak_user_pages)
		rp->res->peak_user_pages = n;
	n = rp->exact ? global_node_page_state(NR_FILE_PAGES) : 0;
	if (n > rp->res->cache_peak)
		rp->res->cache_peak = n;
}

/* ---- identities (second pass)
 * ------------------------------------------------------ */

/* A page of a file is read in before it is used: it needs a frame of its own
 * even if the program only reads it. */
static u32 first_access(const struct shadow_page *p, u32 access)
{
	return p->file && !p->touched ? access | TRACE_W : access;
}

static u32 id_new(struct replay *rp)
{
	if (rp->nr_ids == rp->max_ids) {
		rp->max_ids = rp->max_ids ? rp->max_ids * 2 : 65536;
		rp->id_refs = realloc(rp->id_refs,
				      rp->max_ids * sizeof(*rp->id_refs));
		if (!rp->id_refs)
			err_die("no memory for the optimum's page table");
	}
	if (!rp->nr_ids)
		rp->id_refs[rp->nr_ids++] = 0; /* 0 means none */
	rp->id_refs[rp->nr_ids] = 1;
	return rp->nr_ids++;
}

void replay_id_share(struct shadow_page *p, void *arg)
{
	struct replay *rp = arg;

	if (p->id)
		rp->id_refs[p->id]++;
}

void replay_id_drop(struct shadow_page *p, void *arg)
{
	struct replay *rp = arg;

	if (p->id && --rp->id_refs[p->id] == 0)
		min_kill(rp->min, p->id);
	p->id = 0;
}

static void min_add(struct replay *rp, u32 id)
{
	int err = min_ref(rp->min, id);

	if (err)
		err_die("the optimum cannot be computed: %s; use --no-min",
			err == -EOVERFLOW ? "too many references"
					  : "no memory");
}

static void dry_page(struct replay *rp, struct shadow_page *p, u32 access)
{
	access = first_access(p, access);
	p->touched = 1;
	if (p->id)
		min_add(rp, p->id);
	if (!(access & TRACE_W))
		return;
	if (p->id && rp->id_refs[p->id] == 1)
		return;
	if (p->id)
		rp->id_refs[p->id]--;
	p->id = id_new(rp);
	min_add(rp, p->id);
}

void replay_dry_file_page(struct replay *rp, struct shadow_page *p)
{
	if (!p->id)
		p->id = id_new(rp);
	min_add(rp, p->id);
}

/* A page of an object: shared, or until a private mapping has its own. */
static void dry_page_exact(struct replay *rp, struct replay_mm *rmm, uva_t va,
			   u32 access)
{
	struct shadow_page *p, *q;
	struct replay_region *r;
	u64 index = 0;

	r = object_at(rmm, va, &index);
	p = r && r->shared ? NULL : shadow_get(&rmm->shadow, va);
	if (!r || (p && p->own)) {
		dry_page(rp, p, access);
		return;
	}
	q = obj_page(r->obj, index);
	replay_dry_file_page(rp, q);
	if (!(access & TRACE_W))
		return;
	if (p) {
		p->own = 1;
		dry_page(rp, p, access);
		return;
	}
	/* A store makes a page with contents, for the model of writes. */
	q->stamp |= 1;
	q->cut = 0;
}

/* ---- one record
 * ---------------------------------------------------------------------- */

void replay_forget(struct replay *rp, struct replay_mm *rmm, uva_t start,
		   u64 len)
{
	shadow_clear(&rmm->shadow, start, len, rp->dry ? replay_id_drop : NULL,
		     rp);
}

/* Not in the first level of the TLB: walk, fault, perhaps a signal. */
static MM_NOINLINE bool ref_slow(struct replay *rp, struct replay_task *t,
				 uva_t va, u32 access)
{
	struct shadow_page *p = shadow_find(&t->rmm->shadow, va);
	int sig = 0;

	if (p)
		access = first_access(p, access);
	if (sim_tlb_get(va, access, &sig))
		return true;
	if (sig == MM_SIGKILL) {
		t->killed = true;
		t->kill_record = rp->record;
		rp->res->killed_tasks++;
		return false;
	}
	rp->res->access_errors++;
	return true;
}

static void dry_ref(struct replay *rp, struct replay_task *t, uva_t va,
		    const struct trace_ref *ref)
{
	for (u32 i = 0; rp->exact && i < ref->nr_pages; i++, va += PAGE_SIZE)
		dry_page_exact(rp, t->rmm, va, ref->access);
	if (rp->exact)
		return;
	for (u32 i = 0; i < ref->nr_pages; i++, va += PAGE_SIZE)
		dry_page(rp, shadow_get(&t->rmm->shadow, va), ref->access);
}

void replay_ref(struct replay *rp, struct replay_task *t,
		const struct trace_ref *ref)
{
	const struct replay_map *m = &t->rmm->maps[ref->map];
	uva_t va = m->base + ((u64)ref->page << PAGE_SHIFT);

	if (unlikely(!m->base)) {
		rp->res->access_errors += !rp->dry;
		return;
	}
	if (unlikely(rp->dry)) {
		dry_ref(rp, t, va, ref);
		return;
	}
	rp->res->records++;
	rp->res->references += ref->count;
	for (u32 n = ref->nr_pages; n; n--, va += PAGE_SIZE)
		if (unlikely(!sim_tlb_lookup(va, ref->access)) &&
		    !ref_slow(rp, t, va, ref->access))
			break;
}

/*
 * Which accesses (bits of the index into the word) a translation with the
 * given permissions serves; access 0, which no sound record has, is served by
 * none.
 */
static const u32 served[8] = {
	0,
	BIT(1),
	BIT(2),
	BIT(1) | BIT(2) | BIT(3),
	BIT(4),
	BIT(1) | BIT(4) | BIT(5),
	BIT(2) | BIT(4) | BIT(6),
	0xfe,
};

/* Bits of a REF word that must be 0 on the fast way: a record of another
 * type, or a run of more than one page. */
#define REF_NOT_FAST (1UL | 0xffUL << TRACE_REF_RUN_SHIFT)

u32 replay_refs_fast(struct replay *rp, struct replay_task *t, u32 limit)
{
	const struct replay_map *maps = t->rmm->maps;
	struct sim_mmu *m = (struct sim_mmu *)sim_this;
	const u64 *p = rp->r->p, *start = p;
	u64 asid = m->asid, mask = m->l1_mask, count = 0;

	for (const u64 *end = p + limit; p != end; p++) {
		u64 w = *p, page = w >> TRACE_REF_PAGE_SHIFT & 0x3fffff;
		const struct replay_map *map =
			&maps[w >> TRACE_REF_MAP_SHIFT & 0x3fff];
		const struct sim_tlb_entry *e;
		uva_t va;

		if (unlikely(w & REF_NOT_FAST) || unlikely(page >= map->pages))
			break;
		va = map->base + (page << PAGE_SHIFT);
		e = m->l1[va >> PAGE_SHIFT & mask];
		if (unlikely(e->key != (va | asid)) ||
		    unlikely(!(served[e->perm & 7] >>
				       (w >> TRACE_REF_ACCESS_SHIFT & 31) &
			       1)))
			break;
		count += w >> TRACE_REF_COUNT_SHIFT;
	}
	limit = (u32)(p - start);
	count += limit; /* the words hold one less each */
	rp->r->p = p;
	rp->record += limit;
	rp->res->records += limit;
	rp->res->references += count;
	rp->pending_ns += count * rp->ref_ns;
	m->hits += limit;
	m->hot.clock_ns += (u64)limit * m->hit_ns;
	return limit;
}
