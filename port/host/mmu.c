/* SPDX-License-Identifier: MIT */
/*
 * mmu.c - user accesses of the host world: a table walk for each.
 *
 * 1. Purpose. Let threads access user memory through the real tables while
 *    other threads change them, with the guarantee that port_tlb_flush()
 *    gives on hardware: after it, nobody uses an old translation.
 *
 * 2. Access sections. Translation and the copy that uses it lie between
 *    enter() and leave(), which make the slot's SEQ odd and even again. No
 *    lock is taken and nothing waits inside; faults are handled outside, and
 *    the access is tried again. port_tlb_flush() waits for each slot that is
 *    inside until its SEQ changes: that section began before; a later one
 *    reads the tables anew. It is the acknowledgement of an IPI.
 *
 * 3. Ordering. enter() is a sequentially consistent read-modify-write before
 *    the tables are read; the flush does one before it reads SEQ, after the
 *    tables were written. So either the walk sees the new table or the flush
 *    sees the section. leave() releases what the copy did to the flush.
 *
 * 4. The walk is arch/walk.h's: A and D are set by compare-and-swap on the
 *    value that was judged, so an entry taken away meanwhile is never marked.
 *
 * 5. Rejected: a lock per task (the manager would wait for user copies, and
 *    lock order would tie user access to the manager's locks); signals as
 *    IPIs (slow, and blind to ThreadSanitizer).
 */
#include "host_priv.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/string.h"

#define SIGSEGV_NR  11
#define FAULT_LIMIT 1000000u /* retries of one access */

static void enter(struct host_cpu *c)
{
	__atomic_fetch_add(&c->seq, 1, __ATOMIC_SEQ_CST);
}

static void leave(struct host_cpu *c)
{
	__atomic_fetch_add(&c->seq, 1, __ATOMIC_RELEASE);
}

MM_STATIC_ASSERT(HOST_READ == PAGING_READ && HOST_WRITE == PAGING_WRITE &&
			 HOST_EXEC == PAGING_EXEC,
		 "kinds of access are the walk's");

static bool host_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		      u64 *raw)
{
	(void)arg;
	/* Sequentially consistent: not before enter()'s (3). */
	if (f->entry_bytes == 8)
		*raw = __atomic_load_n((u64 *)host_phys(pa), __ATOMIC_SEQ_CST);
	else
		*raw = __atomic_load_n((u32 *)host_phys(pa), __ATOMIC_SEQ_CST);
	return true;
}

static bool host_update(void *arg, const struct paging_format *f,
			phys_addr_t pa, u64 old, u64 raw)
{
	(void)arg;
	return pt_raw_cmpxchg(f, host_phys(pa), &old, raw);
}

static const struct paging_mem host_mem = {host_read, host_update, NULL};

/* Translate VA through C's root; true with W->pa, false with W->error. */
static bool walk(const struct host_cpu *c, uva_t va, unsigned access,
		 struct paging_walk *w)
{
	struct paging_cpu cpu = host.paging;

	if (c->root_pfn == HOST_NO_ROOT) {
		w->error = paging_error_code(&cpu, access | PAGING_USER,
					     PAGING_NOT_PRESENT);
		return false;
	}
	cpu.root = PFN_PHYS(c->root_pfn);
	cpu.root_high = PFN_PHYS(host.kernel_root);
	return paging_walk_with(&cpu, va, access | PAGING_USER, w, &host_mem) ==
	       PAGING_OK;
}

/* The bytes of one page that an access moves; LEN 0: none. */
struct piece {
	uva_t va;
	unsigned access;
	char *to;
	const char *from;
	size_t len;
};

/* One access section: translate, and copy. False: a fault, with *ERROR. */
static bool try_access(const struct piece *p, u32 *error)
{
	struct host_cpu *c = &host_cpus[port_cpu()];
	struct paging_walk w;
	bool ok;

	enter(c);
	ok = walk(c, p->va, p->access, &w);
	if (ok && p->len) {
		/* Threads of a program may race for its memory, and with the
		 * device that writes it: that is the program's matter. */
		if (p->access & HOST_WRITE)
			mm_memcpy_racy(host_phys(w.pa), p->from, p->len);
		else
			mm_memcpy_racy(p->to, host_phys(w.pa), p->len);
	}
	leave(c);
	*error = w.error;
	return ok;
}

/* Access P, with as many faults as it takes; 0 or the signal. */
static int do_access(const struct piece *p)
{
	u32 tries, err;
	int sig;

	if (!paging_canonical(host.cfg.format, p->va))
		return SIGSEGV_NR;
	for (tries = 0; tries < FAULT_LIMIT; tries++) {
		if (try_access(p, &err))
			return 0;
		if (!host.fault_hook)
			return SIGSEGV_NR;
		sig = host.fault_hook(port_current(), p->va, err);
		if (sig)
			return sig;
	}
	host_bug("mmu: a fault is retried for ever");
}

int host_touch(uva_t va, unsigned access)
{
	struct piece p = {.va = va, .access = access};

	return do_access(&p);
}

/* Bytes of [VA, VA + LEN) that lie in VA's page. */
static size_t in_page(uva_t va, size_t len)
{
	return min(len, (size_t)(PAGE_SIZE - (va & (PAGE_SIZE - 1))));
}

int host_copy_to_user(uva_t to, const void *from, size_t len)
{
	struct piece p = {.va = to, .access = HOST_WRITE, .from = from};
	int sig;

	for (; len; len -= p.len, p.va += p.len, p.from += p.len) {
		p.len = in_page(p.va, len);
		sig = do_access(&p);
		if (sig)
			return sig;
	}
	return 0;
}

int host_copy_from_user(void *to, uva_t from, size_t len)
{
	struct piece p = {.va = from, .access = HOST_READ, .to = to};
	int sig;

	for (; len; len -= p.len, p.va += p.len, p.to += p.len) {
		p.len = in_page(p.va, len);
		sig = do_access(&p);
		if (sig)
			return sig;
	}
	return 0;
}

/* ---- roots and flushes
 * ------------------------------------------------------------ */

void port_load_root(u64 root_pfn, u32 asid)
{
	(void)asid;
	host_cpus[port_cpu()].root_pfn = root_pfn;
}

/* Until the section that SEQ counts, if one is under way, is over. */
static void wait_section(u64 *seq)
{
	u64 seen = __atomic_load_n(seq, __ATOMIC_SEQ_CST);

	while ((seen & 1) && __atomic_load_n(seq, __ATOMIC_ACQUIRE) == seen)
		sched_yield();
}

/* The CPUs of word I of CPUS (NULL: all) but this one. */
static inline u64 others(const struct port_cpumask *cpus, int i)
{
	int left = host.nr_cpus - i * 64;
	u64 bits = left < 64 ? (1UL << left) - 1 : ~0UL;

	/* Who joins the mask later finds the tables as they are now. */
	if (cpus)
		bits &= __atomic_load_n(&cpus->bits[i], __ATOMIC_SEQ_CST);
	if (host_self.cpu / 64 == i)
		bits &= ~(1UL << host_self.cpu % 64);
	return bits;
}

static MM_NOINLINE void wait_sections(const struct port_cpumask *cpus)
{
	for (int i = 0; i * 64 < host.nr_cpus; i++)
		for (u64 left = others(cpus, i); left; left &= left - 1)
			wait_section(
				&host_cpus[i * 64 + __builtin_ctzl(left)].seq);
}

/* Wait until each of CPUS (NULL: all) is out of what it was inside of. */
static inline void flush(const struct port_cpumask *cpus)
{
	if (unlikely(!host_self.task))
		host_attach();
	if (host_self.irq_off)
		host_bug("port_tlb_flush: interrupts are off");
	__atomic_fetch_add(&host.flushes, 1, __ATOMIC_SEQ_CST);
	if (host.nr_cpus > 64 || others(cpus, 0))
		wait_sections(cpus);
}

void port_tlb_flush(const struct port_cpumask *cpus, u32 asid, uva_t start,
		    uva_t end)
{
	(void)asid;
	(void)start;
	(void)end;
	flush(cpus);
}

/* Accessed bits are set by each access's own walk. */
void port_tlb_flush_aged(const struct port_cpumask *cpus, u32 asid, uva_t start,
			 uva_t end)
{
	(void)cpus;
	(void)asid;
	(void)start;
	(void)end;
}

void port_load_kernel_root(u64 root_pfn)
{
	host.kernel_root = root_pfn;
}

void port_tlb_flush_kernel(kva_t start, kva_t end)
{
	(void)start;
	(void)end;
	flush(NULL);
}

void port_tlb_counts(struct port_tlb_counts *out)
{
	*out = (struct port_tlb_counts){0};
}

/* There is no TLB: the next walk reads the tables. */
void port_tlb_flush_kernel_self(kva_t start, kva_t end)
{
	(void)start;
	(void)end;
}

void port_set_fault_hook(int (*hook)(struct mm_task *task, uva_t va, u32 error))
{
	host.fault_hook = hook;
}

void port_set_switch_hook(void (*hook)(struct mm_task *prev,
				       struct mm_task *next))
{
	host.switch_hook = hook;
}
