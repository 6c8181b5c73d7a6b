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
 * 3. Invariants. An entry has SIM_WRITE only if its leaf is writable at all
 *    levels and had D set when it was loaded or first written; the walk that
 *    sets D also checks the table again. Large leaves are cached as 4 KiB
 *    parts, each with the leaf's level, and a flush that touches any part
 *    drops all, as INVLPG does.
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

#define SIGSEGV_NR	11
#define FLUSH_ONE_LIMIT 32u	/* more pages than that: scan all */
#define FAULT_LIMIT	100000u /* retries of one access */

static u64 tlb_key(uva_t va, u64 asid)
{
	return (va & PAGE_MASK) | asid;
}

/* First entry of the set that KEY belongs to. */
static size_t tlb_set(u64 key)
{
	u64 set = (key >> PAGE_SHIFT) ^ (key & SIM_ASID_MAX) * 0x9e37u;

	return (set & (sim.cfg.tlb_sets - 1)) * sim.cfg.tlb_ways;
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

/* The entry with KEY in its set, or NULL. */
static struct sim_tlb_entry *tlb_find(struct sim_cpu *c, u64 key)
{
	struct sim_tlb_entry *e = &c->tlb[tlb_set(key)];
	u32 i;

	for (i = 0; i < sim.cfg.tlb_ways; i++, e++) {
		if (e->key == key)
			return e;
	}
	return NULL;
}

/* An entry to load KEY's translation into. */
static struct sim_tlb_entry *tlb_slot(struct sim_cpu *c, u64 key)
{
	struct sim_tlb_entry *e = tlb_find(c, key);
	size_t set = tlb_set(key);
	u8 *victim = &c->victim[set / sim.cfg.tlb_ways];
	u32 i;

	if (e)
		return e;
	e = &c->tlb[set];
	for (i = 0; i < sim.cfg.tlb_ways; i++) {
		if (e[i].key == SIM_NO_KEY)
			return &e[i];
	}
	i = *victim;
	*victim = (u8)((i + 1) % sim.cfg.tlb_ways);
	return &e[i];
}

/* Put the result of W into the TLB of C and tell the fill hook. */
static struct sim_tlb_entry *tlb_fill(struct sim_cpu *c, uva_t va,
				      unsigned access,
				      const struct paging_walk *w)
{
	u64 key = tlb_key(va, c->mmu.asid);
	phys_addr_t pa = ALIGN_DOWN(w->pa, PAGE_SIZE);
	struct sim_tlb_entry *e = tlb_slot(c, key);
	bool loaded = e->key != key || e->pfn != PFN_DOWN(pa);

	if (unlikely(pa >= sim.ram_bytes))
		sim_bug("mmu: a page lies outside RAM");
	e->key = key;
	e->pfn = PFN_DOWN(pa);
	e->view = sim_phys(pa);
	e->level = (u8)w->level;
	e->global = 0;
	c->has_large |= w->level != 0;
	if (loaded)
		e->user_bits = 0;
	e->perm = SIM_READ;
	if (w->write && pte_dirty(w->entry[w->depth - 1]))
		e->perm |= SIM_WRITE;
	if (w->exec)
		e->perm |= SIM_EXEC;
	c->mmu.l1[(va >> PAGE_SHIFT) & c->mmu.l1_mask] = e;
	if (sim.fill_hook)
		sim.fill_hook(e, va, access, loaded);
	return e;
}

/* The second level; a hit moves into the first. */
static struct sim_tlb_entry *tlb_second(struct sim_cpu *c, uva_t va,
					unsigned access, bool *clean)
{
	struct sim_tlb_entry *e = tlb_find(c, tlb_key(va, c->mmu.asid));

	if (!e)
		return NULL;
	if (access & ~e->perm) {
		*clean = access == SIM_WRITE;
		return NULL;
	}
	c->mmu.l1[(va >> PAGE_SHIFT) & c->mmu.l1_mask] = e;
	c->mmu.hits++;
	c->mmu.hot.clock_ns += sim_costs.tlb_hit_ns + sim_costs.tlb_second_ns;
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
}

static void drop(struct sim_cpu *c, struct sim_tlb_entry *e)
{
	e->key = SIM_NO_KEY;
	e->perm = 0;
	c->stats.flushed++;
}

/* True if E is a translation of ASID that [START, END) touches. */
static bool hit_by(const struct sim_tlb_entry *e, u32 asid, uva_t start,
		   uva_t end)
{
	u64 span = pt_span(sim.cfg.format, e->level);
	uva_t va = ALIGN_DOWN(e->key, span);

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
	kva_t va = ALIGN_DOWN(e->key, span);

	return e->key != SIM_NO_KEY && va <= last && start <= va + (span - 1);
}

static void flush_scan(struct sim_cpu *c, u32 asid, uva_t start, uva_t end)
{
	size_t i, n = (size_t)sim.cfg.tlb_sets * sim.cfg.tlb_ways;

	c->stats.flush_all++;
	c->mmu.hot.clock_ns += sim_costs.flush_all_ns;
	for (i = 0; i < n; i++) {
		if (hit_by(&c->tlb[i], asid, start, end))
			drop(c, &c->tlb[i]);
	}
}

/* Forget, on C alone, what port_tlb_flush() names. */
static void flush_cpu(struct sim_cpu *c, u32 asid, uva_t start, uva_t end)
{
	uva_t va;

	if (end == 0 || c->has_large ||
	    end - start > FLUSH_ONE_LIMIT * PAGE_SIZE) {
		flush_scan(c, asid, start, end);
		return;
	}
	for (va = start & PAGE_MASK; va < end; va += PAGE_SIZE) {
		struct sim_tlb_entry *e = tlb_find(c, tlb_key(va, asid));

		if (e && !e->global)
			drop(c, e);
		c->stats.flush_pages++;
		c->mmu.hot.clock_ns += sim_costs.flush_page_ns;
	}
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
	}
	self->stats.remote += self->stats.ipis != ipis;
	port_unpin();
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
	struct sim_tlb_entry *e = tlb_find(c, tlb_key(va, 0));

	if (e && e->global)
		return e;
	return tlb_find(c, tlb_key(va, c->mmu.asid));
}

static struct sim_tlb_entry *kernel_fill(struct sim_cpu *c, kva_t va,
					 const struct paging_walk *w)
{
	u64 key = tlb_key(va, w->global ? 0 : c->mmu.asid);
	phys_addr_t pa = ALIGN_DOWN(w->pa, PAGE_SIZE);
	struct sim_tlb_entry *e = tlb_slot(c, key);
	unsigned perm = SIM_READ;

	if (w->write && pte_dirty(w->entry[w->depth - 1]))
		perm |= SIM_WRITE;
	if (w->exec)
		perm |= SIM_EXEC;
	*e = (struct sim_tlb_entry){
		.key = key,
		/* What is no RAM has no view: a device. */
		.view = pa < sim.ram_bytes ? sim_phys(pa) : NULL,
		.pfn = PFN_DOWN(pa),
		.perm = (u8)KERNEL_PERM(perm),
		.level = (u8)w->level,
		.global = w->global,
	};
	c->has_large |= w->level != 0;
	c->has_private |= !w->global;
	return e;
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

	return e ? e->view + (va & (PAGE_SIZE - 1)) : NULL;
}

phys_addr_t sim_kernel_pa(kva_t va, unsigned access, u32 *error)
{
	struct sim_tlb_entry *e = kernel_get(va, access, error);

	return e ? PFN_PHYS(e->pfn) | (va & (PAGE_SIZE - 1)) : UINT64_MAX;
}

void port_load_kernel_root(u64 root_pfn)
{
	sim.kernel_root = root_pfn;
}

/* Forget [START, END) on C alone: one by one, or by a scan of all. */
static void flush_kernel_cpu(struct sim_cpu *c, kva_t start, kva_t end)
{
	size_t i, n = (size_t)sim.cfg.tlb_sets * sim.cfg.tlb_ways;
	kva_t va;

	/* Entries of other ASIDs stand under keys that are not known. */
	if (!c->has_large && !c->has_private &&
	    end - start <= FLUSH_ONE_LIMIT * PAGE_SIZE) {
		for (va = start & PAGE_MASK; va != end; va += PAGE_SIZE) {
			struct sim_tlb_entry *e = tlb_find(c, tlb_key(va, 0));

			if (e && e->global)
				drop(c, e);
			c->stats.flush_pages++;
			c->mmu.hot.clock_ns += sim_costs.flush_page_ns;
		}
		return;
	}
	c->stats.flush_all++;
	c->mmu.hot.clock_ns += sim_costs.flush_all_ns;
	for (i = 0; i < n; i++) {
		if (hit_by_kernel(&c->tlb[i], start, end - 1))
			drop(c, &c->tlb[i]);
	}
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

/* Empty TLBs and no root on all CPUs. */
int sim_mmu_init(void)
{
	size_t n = (size_t)sim.cfg.tlb_sets * sim.cfg.tlb_ways, k;
	int i;

	paging_cpu_init(&sim.paging, sim.cfg.format, 0, true);
	for (i = 0; i < sim.nr_cpus; i++) {
		struct sim_cpu *c = &sim.cpus[i];

		c->root_pfn = SIM_NO_ROOT;
		c->mmu.hit_ns = sim_costs.tlb_hit_ns;
		c->mmu.l1_mask = sim.cfg.tlb_l1 - 1;
		c->victim = calloc(sim.cfg.tlb_sets, 1);
		c->tlb = calloc(n, sizeof(*c->tlb));
		if (!c->tlb || !c->victim)
			return -ENOMEM;
		for (k = 0; k < n; k++)
			c->tlb[k].key = SIM_NO_KEY;
		for (k = 0; k < sim.cfg.tlb_l1; k++)
			c->mmu.l1[k] = c->tlb;
	}
	return 0;
}

void sim_tlb_for_each(void (*fn)(const struct sim_tlb_entry *e, int cpu,
				 void *arg),
		      void *arg)
{
	size_t n = (size_t)sim.cfg.tlb_sets * sim.cfg.tlb_ways;

	for (int cpu = 0; cpu < sim.nr_cpus; cpu++) {
		const struct sim_tlb_entry *e = sim.cpus[cpu].tlb;

		for (size_t i = 0; i < n; i++)
			if (e[i].key != SIM_NO_KEY)
				fn(&e[i], cpu, arg);
	}
}

void sim_mmu_exit(void)
{
	int i;

	for (i = 0; i < sim.nr_cpus; i++) {
		free(sim.cpus[i].tlb);
		free(sim.cpus[i].victim);
	}
}
