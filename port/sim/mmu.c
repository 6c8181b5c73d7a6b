/* SPDX-License-Identifier: MIT */
/*
 * mmu.c - the software MMU: TLB, table walk, flushes, user accesses.
 *
 * 1. Purpose. Translate user addresses as a CPU does: from cached entries
 *    that stay until flushed, even when the table says otherwise by now; by
 *    a walk of the real tables in simulated RAM when there is none.
 *
 * 2. Structures. Each CPU has a set-associative array of entries and, before
 *    it, a direct-mapped array of pointers into it. A pointer is a guess:
 *    the entry's own key decides, so an entry that is replaced or flushed
 *    needs no search for pointers to it. Keys are page number and ASID.
 *
 *    A large page has one entry, in the same array or in one of its own
 *    (tlb_large_sets), under a key that no address has. The first level knows
 *    4 KiB only: a page of a large one that is used gets a part there, which
 *    is good as long as the large entry is.
 *
 *	l1[i] --> entry of a small page
 *	l1[j] --> parts[j]  <== large entry (one for all its parts)
 *
 * 3. Invariants. An entry has SIM_WRITE only if its leaf is writable at all
 *    levels and had D set when it was loaded or first written; the walk that
 *    sets D also checks the table again. A part has no right that its large
 *    entry has not, and goes with it; a flush that touches any byte of a large
 *    page drops its entry, as INVLPG does.
 *
 * 4. Interleaving. Nothing between lookup and access is a sched point. A
 *    flush acts on a remote TLB at once if that CPU has interrupts on; else
 *    it waits until that CPU has them on again.
 *
 * 5. Permission misses re-walk, so raising permissions needs no flush, as
 *    on x86 (SDM vol. 3A, 4.10.4.3 lets a CPU fault once; ours never does).
 *
 * 6. The walk itself, with all rules, is arch/walk.h's.
 */
#include "sim_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace_ring.h"

#define SIGSEGV_NR	11
#define FLUSH_ONE_LIMIT 32u	/* more pages than that: scan all */
#define FAULT_LIMIT	100000u /* retries of one access */

/* Key of the page of VA whose leaf stands at LEVEL. */
static u64 tlb_key(uva_t va, u64 asid, u32 level)
{
	u64 key = ALIGN_DOWN(va, pt_span(sim.cfg.format, level)) | asid;

	/* Beside the sign bit: no canonical address, and never the first
	 * level's. */
	return level ? key ^ (1UL << 63) >> level : key;
}

static uva_t entry_va(const struct sim_tlb_entry *e)
{
	u64 key = e->level ? e->key ^ (1UL << 63) >> e->level : e->key;

	return key & PAGE_MASK;
}

/* Where leaves of LEVEL are kept. */
static struct sim_tlb_array *tlb_array(struct sim_cpu *c, u32 level)
{
	return level && c->large.sets ? &c->large : &c->tlb;
}

/* The set that the page of VA at LEVEL belongs to. */
static u32 tlb_set(const struct sim_tlb_array *a, uva_t va, u64 asid, u32 level)
{
	u64 set = va / pt_span(sim.cfg.format, level) ^ asid * 0x9e37u;

	return (u32)(set & (a->sets - 1));
}

/* ---- the walk ---------------------------------------------------------------
 */

MM_STATIC_ASSERT(SIM_READ == PAGING_READ && SIM_WRITE == PAGING_WRITE &&
			 SIM_EXEC == PAGING_EXEC,
		 "kinds of access are the walk's");

static bool sim_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		     u64 *raw)
{
	(void)arg;
	if (unlikely(pa >= sim.ram_bytes))
		return false;
	*raw = pt_raw_read(f, sim_phys(pa));
	return true;
}

/* One host thread plays all CPUs: nothing comes between read and update. */
static bool sim_update(void *arg, const struct paging_format *f, phys_addr_t pa,
		       u64 old, u64 raw)
{
	(void)arg;
	(void)old;
	if (f->entry_bytes == 8)
		WRITE_ONCE(*(u64 *)sim_phys(pa), raw);
	else
		WRITE_ONCE(*(u32 *)sim_phys(pa), (u32)raw);
	return true;
}

static const struct paging_mem sim_mem = {sim_read, sim_update, NULL};

/* Walk for the user from ROOT_PFN; true if there is a translation. */
static bool walk(u64 root_pfn, uva_t va, unsigned access, struct paging_walk *w)
{
	struct paging_cpu cpu = sim.paging;
	enum paging_reason reason;

	w->depth = 0;
	w->changed = false;
	if (root_pfn == SIM_NO_ROOT) {
		w->error = paging_error_code(&cpu, access | PAGING_USER,
					     PAGING_NOT_PRESENT);
		return false;
	}
	cpu.root = PFN_PHYS(root_pfn);
	cpu.root_high = PFN_PHYS(sim.kernel_root);
	reason = paging_walk_with(&cpu, va, access | PAGING_USER, w, &sim_mem);
	if (unlikely(reason == PAGING_BAD_TABLE))
		sim_bug("mmu: a page table lies outside RAM");
	return reason == PAGING_OK;
}

u32 sim_walk(u64 root_pfn, uva_t va, unsigned access, phys_addr_t *pa)
{
	struct paging_walk w;

	if (!walk(root_pfn, va, access, &w))
		return w.error | SIM_WALK_FAULT;
	*pa = w.pa;
	return 0;
}

/* ---- the TLB
 * ------------------------------------------------------------------ */

/* The entry of VA's page at LEVEL, or NULL. */
static struct sim_tlb_entry *tlb_find(struct sim_cpu *c, uva_t va, u64 asid,
				      u32 level)
{
	struct sim_tlb_array *a = tlb_array(c, level);
	u64 key = tlb_key(va, asid, level);
	struct sim_tlb_entry *e =
		&a->e[(size_t)tlb_set(a, va, asid, level) * a->ways];
	u32 i;

	for (i = 0; i < a->ways; i++, e++) {
		if (e->key == key)
			return e;
	}
	return NULL;
}

/* The entry of a large page that VA lies in, or NULL. */
static struct sim_tlb_entry *tlb_find_large(struct sim_cpu *c, uva_t va,
					    u64 asid)
{
	struct sim_tlb_entry *e = NULL;

	for (u32 l = 1; c->large_levels >> l && !e; l++)
		e = tlb_find(c, va, asid, l);
	return e;
}

/* E, of a large page, goes or loses rights: the first level forgets it. */
static void drop_parts(struct sim_cpu *c, const struct sim_tlb_entry *e)
{
	u64 span = pt_span(sim.cfg.format, e->level);
	uva_t va = entry_va(e);
	u64 asid = e->key & SIM_ASID_MAX;
	u64 n = min(span >> PAGE_SHIFT, (u64)sim.cfg.tlb_l1);

	for (u64 i = 0; i < n; i++) {
		struct sim_tlb_entry *p =
			&c->parts[((va >> PAGE_SHIFT) + i) & c->mmu.l1_mask];

		if (ALIGN_DOWN(p->key, span) != va ||
		    (p->key & SIM_ASID_MAX) != asid)
			continue;
		p->key = SIM_NO_KEY;
		p->perm = 0;
	}
}

/* An entry to load the translation of VA's page at LEVEL into. */
static struct sim_tlb_entry *tlb_slot(struct sim_cpu *c, uva_t va, u64 asid,
				      u32 level)
{
	struct sim_tlb_array *a = tlb_array(c, level);
	struct sim_tlb_entry *e = tlb_find(c, va, asid, level);
	u32 set = tlb_set(a, va, asid, level), i;

	if (e)
		return e;
	e = &a->e[(size_t)set * a->ways];
	for (i = 0; i < a->ways; i++) {
		if (e[i].key == SIM_NO_KEY)
			return &e[i];
	}
	i = a->victim[set];
	a->victim[set] = (u8)((i + 1) % a->ways);
	if (e[i].level)
		drop_parts(c, &e[i]);
	return &e[i];
}

/* L, a large page's entry, serves VA: its part in the first level. */
static struct sim_tlb_entry *part_fill(struct sim_cpu *c,
				       const struct sim_tlb_entry *l, uva_t va,
				       unsigned access)
{
	u64 span = pt_span(sim.cfg.format, l->level);
	u64 into = va & (span - 1) & PAGE_MASK;
	u64 key = tlb_key(va, c->mmu.asid, 0), pfn = l->pfn + PFN_DOWN(into);
	u64 slot = (va >> PAGE_SHIFT) & c->mmu.l1_mask;
	struct sim_tlb_entry *e = &c->parts[slot];
	bool loaded = e->key != key || e->pfn != pfn;

	if (loaded)
		e->user_bits = 0;
	e->key = key;
	e->pfn = pfn;
	e->view = l->view + into;
	e->perm = l->perm;
	e->level = l->level;
	c->mmu.l1[slot] = e;
	if (sim.fill_hook)
		sim.fill_hook(e, va, access, loaded);
	return e;
}

/* Put the result of W into the TLB of C; true if it was not there. */
static bool entry_fill(struct sim_cpu *c, struct sim_tlb_entry *e, uva_t va,
		       const struct paging_walk *w)
{
	u32 level = (u32)w->level;
	u64 key = tlb_key(va, c->mmu.asid, level);
	phys_addr_t pa = ALIGN_DOWN(w->pa, pt_span(sim.cfg.format, level));
	bool loaded = e->key != key || e->pfn != PFN_DOWN(pa);
	unsigned perm = SIM_READ;

	if (w->write && pte_dirty(w->entry[w->depth - 1]))
		perm |= SIM_WRITE;
	if (w->exec)
		perm |= SIM_EXEC;
	if (level && e->key == key && (loaded || (e->perm & ~perm)))
		drop_parts(c, e);
	e->key = key;
	e->pfn = PFN_DOWN(pa);
	e->view = sim_phys(pa);
	e->level = (u8)level;
	e->global = 0;
	e->perm = (u8)perm;
	c->large_levels |= level ? BIT(level) : 0;
	if (loaded)
		e->user_bits = 0;
	return loaded;
}

/* The same, into both levels, and tell the fill hook. */
static struct sim_tlb_entry *tlb_fill(struct sim_cpu *c, uva_t va,
				      unsigned access,
				      const struct paging_walk *w)
{
	struct sim_tlb_entry *e = tlb_slot(c, va, c->mmu.asid, (u32)w->level);
	bool loaded;

	if (unlikely(ALIGN_DOWN(w->pa, PAGE_SIZE) >= sim.ram_bytes))
		sim_bug("mmu: a page lies outside RAM");
	loaded = entry_fill(c, e, va, w);
	if (e->level) {
		c->stats.large_fills += loaded;
		return part_fill(c, e, va, access);
	}
	c->mmu.l1[(va >> PAGE_SHIFT) & c->mmu.l1_mask] = e;
	if (sim.fill_hook)
		sim.fill_hook(e, va, access, loaded);
	return e;
}

/* The second level; a hit moves into the first. */
static struct sim_tlb_entry *tlb_second(struct sim_cpu *c, uva_t va,
					unsigned access, bool *clean)
{
	struct sim_tlb_entry *e = tlb_find(c, va, c->mmu.asid, 0);

	if (!e)
		e = tlb_find_large(c, va, c->mmu.asid);
	if (!e)
		return NULL;
	if (access & ~e->perm) {
		*clean = access == SIM_WRITE;
		return NULL;
	}
	c->mmu.hits++;
	c->mmu.hot.clock_ns += sim_costs.tlb_hit_ns + sim_costs.tlb_second_ns;
	if (e->level)
		return part_fill(c, e, va, access);
	c->mmu.l1[(va >> PAGE_SHIFT) & c->mmu.l1_mask] = e;
	return e;
}

/* One try at the running CPU: an entry, or NULL with *ERR set. */
static struct sim_tlb_entry *translate(uva_t va, unsigned access, u32 *err)
{
	struct sim_cpu *c = sim_this_cpu();
	struct sim_tlb_entry *e;
	struct paging_walk w;
	bool clean = false;
	bool ok;

	e = tlb_second(c, va, access, &clean);
	if (e)
		return e;
	c->stats.walks++;
	ok = walk(c->root_pfn, va, access, &w);
	c->mmu.hot.clock_ns += (u64)sim_costs.walk_level_ns * (u32)w.depth +
			       (w.changed ? sim_costs.set_bits_ns : 0);
	if (ok && clean)
		c->stats.dirty_walks++;
	else
		c->stats.misses++;
	*err = w.error;
	return ok ? tlb_fill(c, va, access, &w) : NULL;
}

struct sim_tlb_entry *sim_tlb_get(uva_t va, unsigned access, int *sig)
{
	struct sim_tlb_entry *e = sim_tlb_lookup(va, access);
	u32 tries, err;

	if (e)
		return e;
	if (!sim.up || !paging_canonical(sim.cfg.format, va)) {
		*sig = SIGSEGV_NR;
		return NULL;
	}
	for (tries = 0; tries < FAULT_LIMIT; tries++) {
		e = translate(va, access, &err);
		if (e)
			return e;
		sim_this_cpu()->stats.faults++;
		sim_this->clock_ns += sim_costs.fault_ns;
		*sig = SIGSEGV_NR;
		if (sim.fault_hook)
			*sig = sim.fault_hook(port_current(), va, err);
		if (*sig)
			return NULL;
		/* Who was preempted here and comes back to another fault has
		 * its slice before it: two that undo each other's work, in step
		 * on one CPU, do not go on for ever. */
		if (tries % 2 == 0)
			port_sched_point();
	}
	sim_bug("mmu: a fault is retried for ever");
}

void *sim_user(uva_t va, unsigned access, int *sig)
{
	struct sim_tlb_entry *e = sim_tlb_lookup(va, access);

	if (unlikely(!e))
		e = sim_tlb_get(va, access, sig);
	return e ? e->view + (va & (PAGE_SIZE - 1)) : NULL;
}

/* Bytes of [VA, VA + LEN) that lie in VA's page. */
static size_t in_page(uva_t va, size_t len)
{
	return min(len, (size_t)(PAGE_SIZE - (va & (PAGE_SIZE - 1))));
}

static void charge_copy(size_t n)
{
	sim_this->clock_ns += (n * sim_costs.copy_user_kib_ns + 1023) / 1024;
	port_sched_point();
}

int sim_copy_to_user(uva_t to, const void *from, size_t len)
{
	const char *src = from;
	int sig = 0;

	while (len) {
		size_t n = in_page(to, len);
		void *p = sim_user(to, SIM_WRITE, &sig);

		if (!p)
			return sig;
		memcpy(p, src, n);
		to += n;
		src += n;
		len -= n;
		charge_copy(n);
	}
	return 0;
}

int sim_copy_from_user(void *to, uva_t from, size_t len)
{
	char *dst = to;
	int sig = 0;

	while (len) {
		size_t n = in_page(from, len);
		const void *p = sim_user(from, SIM_READ, &sig);

		if (!p)
			return sig;
		memcpy(dst, p, n);
		dst += n;
		from += n;
		len -= n;
		charge_copy(n);
	}
	return 0;
}

static void forget_aged(struct sim_cpu *c);

/* ---- roots and flushes
 * ------------------------------------------------------------ */

void port_load_root(u64 root_pfn, u32 asid)
{
	struct sim_cpu *c = sim_this_cpu();

	if (asid > SIM_ASID_MAX)
		sim_bug("port_load_root: the TLB has 12 bits of ASID");
	c->root_pfn = root_pfn;
	c->mmu.asid = asid;
	c->mmu.hot.clock_ns += sim_costs.load_root_ns;
	if (unlikely(c->any_aged))
		forget_aged(c);
}

static void drop(struct sim_cpu *c, struct sim_tlb_entry *e)
{
	if (e->level)
		drop_parts(c, e);
	e->key = SIM_NO_KEY;
	e->perm = 0;
	c->stats.flushed++;
}

/* True if E is a translation of ASID that [START, END) touches. */
static bool hit_by(const struct sim_tlb_entry *e, u32 asid, uva_t start,
		   uva_t end)
{
	u64 span = pt_span(sim.cfg.format, e->level);
	uva_t va = entry_va(e);

	if (e->key == SIM_NO_KEY || (e->key & SIM_ASID_MAX) != asid ||
	    e->global)
		return false;
	return end == 0 || (va < end && start < va + span);
}

/* True if E is a translation of any ASID in [START, LAST]. */
static bool hit_by_kernel(const struct sim_tlb_entry *e, kva_t start,
			  kva_t last)
{
	u64 span = pt_span(sim.cfg.format, e->level);
	kva_t va = entry_va(e);

	return e->key != SIM_NO_KEY && va <= last && start <= va + (span - 1);
}

/* FN for each place of C's arrays. */
static void for_each_place(struct sim_cpu *c,
			   void (*fn)(struct sim_cpu *c,
				      struct sim_tlb_entry *e, void *arg),
			   void *arg)
{
	struct sim_tlb_array *arrays[] = {&c->tlb, &c->large};

	for (size_t k = 0; k < ARRAY_SIZE(arrays); k++) {
		size_t n = (size_t)arrays[k]->sets * arrays[k]->ways;

		for (size_t i = 0; i < n; i++)
			fn(c, &arrays[k]->e[i], arg);
	}
}

struct flush_range {
	u64 asid;
	u64 start, end; /* kernel: the last byte */
};

static void flush_place(struct sim_cpu *c, struct sim_tlb_entry *e, void *arg)
{
	const struct flush_range *r = arg;

	if (hit_by(e, (u32)r->asid, r->start, r->end))
		drop(c, e);
}

static void flush_scan(struct sim_cpu *c, u32 asid, uva_t start, uva_t end)
{
	struct flush_range r = {asid, start, end};

	c->stats.flush_all++;
	c->mmu.hot.clock_ns += sim_costs.flush_all_ns;
	for_each_place(c, flush_place, &r);
}

/* The entries that serve VA, small and large, if they are GLOBAL or are not. */
static void flush_page(struct sim_cpu *c, u64 va, u32 asid, bool global)
{
	struct sim_tlb_entry *e[] = {tlb_find(c, va, asid, 0),
				     tlb_find_large(c, va, asid)};

	for (size_t i = 0; i < ARRAY_SIZE(e); i++)
		if (e[i] && e[i]->global == global)
			drop(c, e[i]);
	c->stats.flush_pages++;
	c->mmu.hot.clock_ns += sim_costs.flush_page_ns;
}

/* Forget, on C alone, what port_tlb_flush() names. */
static void flush_cpu(struct sim_cpu *c, u32 asid, uva_t start, uva_t end)
{
	uva_t va;

	if (end == 0 || end - start > FLUSH_ONE_LIMIT * PAGE_SIZE) {
		flush_scan(c, asid, start, end);
		return;
	}
	for (va = start & PAGE_MASK; va < end; va += PAGE_SIZE)
		flush_page(c, va, asid, false);
}

/* SELF tells C to flush and waits until it can. */
static void wait_remote(struct sim_cpu *self, struct sim_cpu *c)
{
	self->stats.ipis++;
	self->mmu.hot.clock_ns += sim_costs.ipi_send_ns;
	if (sim.running)
		sim_wait_word(&c->mmu.hot.irq_off);
	c->mmu.hot.clock_ns += sim_costs.ipi_handle_ns;
}

/* tlb_flush, as Linux numbers its reasons. */
enum {
	TLB_REMOTE_SHOOTDOWN = 1,
	TLB_LOCAL_SHOOTDOWN = 2,
	TLB_LOCAL_MM_SHOOTDOWN = 3,
	TLB_REMOTE_SEND_IPI = 4
};

/* [START, END), END 0: all, happened to C. */
static void tell_flush(const struct sim_cpu *c, u64 why, uva_t start, uva_t end)
{
	bool all = !end || end - start > FLUSH_ONE_LIMIT * PAGE_SIZE;
	u64 pages = all ? ~0ul
			: (PAGE_ALIGN(end) - (start & PAGE_MASK)) >> PAGE_SHIFT;

	if (trace_enabled(TRACE_TLB_FLUSH))
		trace_ring_write_at(TRACE_TLB_FLUSH,
				    (const u64[TRACE_ARGS]){why, pages},
				    (int)(c - sim.cpus), &c->thread->task,
				    c->mmu.hot.clock_ns);
}

void port_tlb_flush(const struct port_cpumask *cpus, u32 asid, uva_t start,
		    uva_t end)
{
	struct sim_cpu *self;
	u64 ipis;
	int i;

	if (sim_this->irq_off)
		sim_bug("port_tlb_flush: interrupts are off");
	/* Unpinned, a wait may end on another CPU; then start over there. */
	port_pin();
	self = sim_this_cpu();
	ipis = self->stats.ipis;
	for (i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];

		if (!(cpus->bits[i / 64] >> (i % 64) & 1))
			continue;
		if (c != self)
			wait_remote(self, c);
		flush_cpu(c, asid, start, end);
		tell_flush(c,
			   c == self ? TLB_LOCAL_MM_SHOOTDOWN
				     : TLB_REMOTE_SHOOTDOWN,
			   start, end);
	}
	if (self->stats.ipis != ipis)
		tell_flush(self, TLB_REMOTE_SEND_IPI, start, end);
	self->stats.remote += self->stats.ipis != ipis;
	port_unpin();
}

/*
 * Of other CPUs only accessed bits are at stake: they are not told, and forget
 * a time slice later, or when they load the space again (port/metal/tlb.c does
 * the same at its tick).
 */
void port_tlb_flush_aged(const struct port_cpumask *cpus, u32 asid, uva_t start,
			 uva_t end)
{
	struct sim_cpu *self = sim_this_cpu();

	for (int i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];

		if (!(cpus->bits[i / 64] >> (i % 64) & 1))
			continue;
		if (c == self) {
			flush_cpu(c, asid, start, end);
			tell_flush(c, TLB_LOCAL_MM_SHOOTDOWN, start, end);
			continue;
		}
		c->aged[asid / 64] |= BIT(asid % 64);
		c->any_aged = true;
		if (!c->aged_at)
			c->aged_at = c->mmu.hot.clock_ns + sim_costs.slice_ns;
	}
}

/* C forgets the ASID that it has loaded, if that has aged. */
static void forget_aged(struct sim_cpu *c)
{
	u64 *word = &c->aged[c->mmu.asid / 64], bit = BIT(c->mmu.asid % 64);

	if (!(*word & bit))
		return;
	*word &= ~bit;
	flush_scan(c, (u32)c->mmu.asid, 0, 0);
	tell_flush(c, TLB_LOCAL_SHOOTDOWN, 0, 0);
}

/* What is not loaded goes when it is. */
void sim_tlb_tick(struct sim_cpu *c)
{
	if (likely(!c->aged_at) || c->mmu.hot.clock_ns < c->aged_at)
		return;
	c->aged_at = 0;
	forget_aged(c);
}

/* ---- the kernel's addresses
 * ---------------------------------------------------------
 *
 * Rights of the supervisor stand above the user's in an entry, so that an
 * access of the user never hits one. A global page has the key of ASID 0.
 */

#define KERNEL_PERM(perm) ((perm) << 3)

static struct sim_tlb_entry *kernel_find(struct sim_cpu *c, kva_t va)
{
	struct sim_tlb_entry *e = tlb_find(c, va, 0, 0);

	if (!e || !e->global)
		e = tlb_find(c, va, c->mmu.asid, 0);
	if (!e)
		e = tlb_find_large(c, va, 0);
	if (!e || (e->level && !e->global))
		e = tlb_find_large(c, va, c->mmu.asid);
	return e;
}

static struct sim_tlb_entry *kernel_fill(struct sim_cpu *c, kva_t va,
					 const struct paging_walk *w)
{
	u64 asid = w->global ? 0 : c->mmu.asid;
	u32 level = (u32)w->level;
	phys_addr_t pa = ALIGN_DOWN(w->pa, pt_span(sim.cfg.format, level));
	struct sim_tlb_entry *e = tlb_slot(c, va, asid, level);
	unsigned perm = SIM_READ;

	if (w->write && pte_dirty(w->entry[w->depth - 1]))
		perm |= SIM_WRITE;
	if (w->exec)
		perm |= SIM_EXEC;
	*e = (struct sim_tlb_entry){
		.key = tlb_key(va, asid, level),
		/* What is no RAM has no view: a device. */
		.view = pa < sim.ram_bytes ? sim_phys(pa) : NULL,
		.pfn = PFN_DOWN(pa),
		.perm = (u8)KERNEL_PERM(perm),
		.level = (u8)level,
		.global = w->global,
	};
	c->large_levels |= level ? BIT(level) : 0;
	c->has_private |= !w->global;
	return e;
}

/* Offset of VA in E's page. */
static u64 kernel_offset(const struct sim_tlb_entry *e, kva_t va)
{
	return va & (pt_span(sim.cfg.format, e->level) - 1);
}

static struct sim_tlb_entry *kernel_get(kva_t va, unsigned access, u32 *error)
{
	struct sim_cpu *c = sim_this_cpu();
	u64 root = c->root_pfn == SIM_NO_ROOT ? sim.kernel_root : c->root_pfn;
	struct sim_tlb_entry *e = kernel_find(c, va);
	struct paging_cpu cpu = sim.paging;
	struct paging_walk w;

	if (va < sim.cfg.format->kernel_start)
		sim_bug("sim_kernel: not an address of the kernel's");
	if (e && !(KERNEL_PERM(access) & ~(unsigned)e->perm)) {
		c->mmu.hits++;
		c->mmu.hot.clock_ns += sim_costs.tlb_hit_ns;
		return e;
	}
	cpu.root = PFN_PHYS(root);
	cpu.root_high = PFN_PHYS(sim.kernel_root);
	c->stats.walks++;
	c->stats.misses++;
	paging_walk_with(&cpu, va, access, &w, &sim_mem);
	c->mmu.hot.clock_ns += (u64)sim_costs.walk_level_ns * (u32)w.depth;
	if (w.reason == PAGING_BAD_TABLE)
		sim_bug("mmu: a page table of the kernel lies outside RAM");
	if (w.reason == PAGING_OK)
		return kernel_fill(c, va, &w);
	*error = w.error | SIM_WALK_FAULT;
	return NULL;
}

void *sim_kernel(kva_t va, unsigned access, u32 *error)
{
	struct sim_tlb_entry *e = kernel_get(va, access, error);

	return e ? e->view + kernel_offset(e, va) : NULL;
}

phys_addr_t sim_kernel_pa(kva_t va, unsigned access, u32 *error)
{
	struct sim_tlb_entry *e = kernel_get(va, access, error);

	return e ? PFN_PHYS(e->pfn) + kernel_offset(e, va) : UINT64_MAX;
}

void port_load_kernel_root(u64 root_pfn)
{
	sim.kernel_root = root_pfn;
}

static void flush_kernel_place(struct sim_cpu *c, struct sim_tlb_entry *e,
			       void *arg)
{
	const struct flush_range *r = arg;

	if (hit_by_kernel(e, r->start, r->end))
		drop(c, e);
}

/* Forget [START, END) on C alone: one by one, or by a scan of all. */
static void flush_kernel_cpu(struct sim_cpu *c, kva_t start, kva_t end)
{
	struct flush_range r = {0, start, end - 1};
	kva_t va;

	/* Entries of other ASIDs stand under keys that are not known. */
	if (!c->has_private && end - start <= FLUSH_ONE_LIMIT * PAGE_SIZE) {
		for (va = start & PAGE_MASK; va != end; va += PAGE_SIZE)
			flush_page(c, va, 0, true);
		return;
	}
	c->stats.flush_all++;
	c->mmu.hot.clock_ns += sim_costs.flush_all_ns;
	for_each_place(c, flush_kernel_place, &r);
}

void port_tlb_flush_kernel_self(kva_t start, kva_t end)
{
	if (start < sim.cfg.format->kernel_start)
		sim_bug("port_tlb_flush_kernel: not addresses of the kernel's");
	flush_kernel_cpu(sim_this_cpu(), start, PAGE_ALIGN(end));
}

void port_tlb_flush_kernel(kva_t start, kva_t end)
{
	struct sim_cpu *self;
	int i;

	if (sim_this->irq_off)
		sim_bug("port_tlb_flush_kernel: interrupts are off");
	port_pin();
	self = sim_this_cpu();
	port_tlb_flush_kernel_self(start, end);
	self->stats.remote += sim.nr_cpus > 1;
	for (i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];

		if (c == self)
			continue;
		wait_remote(self, c);
		flush_kernel_cpu(c, start, PAGE_ALIGN(end));
	}
	port_unpin();
}

/* ---- hooks, statistics, set-up
 * ------------------------------------------------------ */

void port_set_fault_hook(int (*hook)(struct mm_task *task, uva_t va, u32 error))
{
	sim.fault_hook = hook;
}

void port_set_switch_hook(void (*hook)(struct mm_task *prev,
				       struct mm_task *next))
{
	sim.switch_hook = hook;
}

void sim_set_fill_hook(void (*hook)(struct sim_tlb_entry *e, uva_t va,
				    unsigned access, bool loaded))
{
	sim.fill_hook = hook;
}

void sim_tlb_stats(struct sim_tlb_stats *out)
{
	struct sim_tlb_stats s = {0};
	int i;

	for (i = 0; i < sim.nr_cpus; i++) {
		const struct sim_cpu *c = &sim.cpus[i];

		s.hits += c->mmu.hits;
		s.misses += c->stats.misses;
		s.walks += c->stats.walks;
		s.dirty_walks += c->stats.dirty_walks;
		s.faults += c->stats.faults;
		s.flush_pages += c->stats.flush_pages;
		s.flush_all += c->stats.flush_all;
		s.flushed += c->stats.flushed;
		s.ipis += c->stats.ipis;
		s.remote += c->stats.remote;
		s.switches += c->stats.switches;
		s.large_fills += c->stats.large_fills;
	}
	*out = s;
}

void port_tlb_counts(struct port_tlb_counts *out)
{
	struct sim_tlb_stats s;

	sim_tlb_stats(&s);
	*out = (struct port_tlb_counts){.remote = s.remote,
					.received = s.ipis,
					.all = s.flush_all,
					.one = s.flush_pages};
}

static bool array_init(struct sim_tlb_array *a, u32 sets, u32 ways)
{
	size_t n = (size_t)sets * ways;

	*a = (struct sim_tlb_array){.sets = sets, .ways = ways};
	a->victim = calloc(sets + 1UL, 1);
	a->e = calloc(n + 1, sizeof(*a->e));
	if (!a->e || !a->victim)
		return false;
	for (size_t k = 0; k < n; k++)
		a->e[k].key = SIM_NO_KEY;
	return true;
}

/* Empty TLBs and no root on all CPUs. */
int sim_mmu_init(void)
{
	paging_cpu_init(&sim.paging, sim.cfg.format, 0, true);
	for (int i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];

		c->root_pfn = SIM_NO_ROOT;
		c->mmu.hit_ns = sim_costs.tlb_hit_ns;
		c->mmu.l1_mask = sim.cfg.tlb_l1 - 1;
		c->parts = calloc(sim.cfg.tlb_l1, sizeof(*c->parts));
		if (!c->parts ||
		    !array_init(&c->tlb, sim.cfg.tlb_sets, sim.cfg.tlb_ways) ||
		    !array_init(&c->large, sim.cfg.tlb_large_sets,
				sim.cfg.tlb_large_ways))
			return -ENOMEM;
		for (u32 k = 0; k < sim.cfg.tlb_l1; k++) {
			c->parts[k].key = SIM_NO_KEY;
			c->mmu.l1[k] = c->parts;
		}
	}
	return 0;
}

struct visit {
	void (*fn)(const struct sim_tlb_entry *e, int cpu, void *arg);
	void *arg;
	int cpu;
};

/* Told by its address, not by the key that large ones are found by. */
static void visit_place(struct sim_cpu *c, struct sim_tlb_entry *e, void *arg)
{
	const struct visit *v = arg;
	struct sim_tlb_entry seen = *e;

	(void)c;
	if (e->key == SIM_NO_KEY)
		return;
	seen.key = entry_va(e) | (e->key & SIM_ASID_MAX);
	v->fn(&seen, v->cpu, v->arg);
}

void sim_tlb_for_each(void (*fn)(const struct sim_tlb_entry *e, int cpu,
				 void *arg),
		      void *arg)
{
	struct visit v = {fn, arg, 0};

	for (; v.cpu < sim.nr_cpus; v.cpu++)
		for_each_place(&sim.cpus[v.cpu], visit_place, &v);
}

struct covering {
	u64 va;
	void (*fn)(const struct sim_tlb_place *p, void *arg);
	void *arg;
};

/* Does the first level of C serve VA by E? */
static bool in_first(const struct sim_cpu *c, const struct sim_tlb_entry *e,
		     u64 va)
{
	u64 slot = (va >> PAGE_SHIFT) & c->mmu.l1_mask;
	const struct sim_tlb_entry *first = c->mmu.l1[slot];

	if (!e->level)
		return first == e;
	return first == &c->parts[slot] &&
	       first->key == tlb_key(va, e->key & SIM_ASID_MAX, 0);
}

static void covering_place(struct sim_cpu *c, struct sim_tlb_entry *e,
			   void *arg)
{
	const struct covering *v = arg;
	const struct sim_tlb_array *a = tlb_array(c, e->level);
	size_t at = (size_t)(e - a->e);
	struct sim_tlb_place p = {
		.e = e,
		.cpu = (int)(c - sim.cpus),
		.asid = (u32)(e->key & SIM_ASID_MAX),
		.start = entry_va(e) & ~(u64)SIM_ASID_MAX,
		.first = in_first(c, e, v->va),
		.large = a == &c->large,
		.set = (u32)(at / a->ways),
		.way = (u32)(at % a->ways),
		.user = e->perm & 7u,
		.kernel = e->perm >> 3,
	};

	if (hit_by_kernel(e, v->va, v->va))
		v->fn(&p, v->arg);
}

void sim_tlb_covering(u64 va,
		      void (*fn)(const struct sim_tlb_place *p, void *arg),
		      void *arg)
{
	struct covering v = {va, fn, arg};

	for (int i = 0; i < sim.nr_cpus; i++)
		for_each_place(&sim.cpus[i], covering_place, &v);
}

void sim_tlb_where(u64 va, u32 asid, struct sim_tlb_where *out)
{
	const struct sim_cpu *c = sim_this_cpu();

	*out = (struct sim_tlb_where){
		.cpu = (int)(c - sim.cpus),
		.loaded = (u32)c->mmu.asid,
		.slot = (u32)(va >> PAGE_SHIFT) & c->mmu.l1_mask,
		.slots = c->mmu.l1_mask + 1,
		.set = tlb_set(&c->tlb, va, asid, 0),
		.sets = c->tlb.sets,
		.ways = c->tlb.ways,
	};
}

void sim_mmu_exit(void)
{
	for (int i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];

		free(c->tlb.e);
		free(c->tlb.victim);
		free(c->large.e);
		free(c->large.victim);
		free(c->parts);
	}
}
