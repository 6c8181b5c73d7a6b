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
 * 4. A and D are set by compare-and-swap on the value that was judged, so an
 *    entry that was taken away meanwhile is never marked.
 *
 * 5. Rejected: a lock per task (the manager would wait for user copies, and
 *    lock order would tie user access to the manager's locks); signals as
 *    IPIs (slow, and blind to ThreadSanitizer).
 */
#include "host_priv.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#define SIGSEGV_NR  11
#define FAULT_LIMIT 1000000u /* retries of one access */

/* One try: a table's root, what is asked, and the answer. */
struct walk {
	u64 root_pfn;
	uva_t va;
	unsigned access;
	u64 *slot;
	u64 val; /* of the entry last read */
	phys_addr_t pa;
};

/* What walk_once() says besides error codes. */
#define WALK_FAULT 0x80000000u
#define WALK_AGAIN 0x40000000u /* an entry changed under the walk */

static void enter(struct host_cpu *c)
{
	__atomic_fetch_add(&c->seq, 1, __ATOMIC_SEQ_CST);
}

static void leave(struct host_cpu *c)
{
	__atomic_fetch_add(&c->seq, 1, __ATOMIC_RELEASE);
}

static u32 walk_error(const struct walk *w, u32 bits)
{
	return WALK_FAULT | PF_ERR_USER | bits |
	       (w->access & HOST_WRITE ? PF_ERR_WRITE : 0) |
	       (w->access & HOST_EXEC ? PF_ERR_INSTR : 0);
}

/* Rights that one entry grants, as a mask of its own bits that must agree. */
static u32 check_rights(const struct walk *w, const struct paging_format *f)
{
	if (!(w->val & f->present))
		return walk_error(w, 0);
	if (!(w->val & f->user) ||
	    ((w->access & HOST_WRITE) && !(w->val & f->write)) ||
	    ((w->access & HOST_EXEC) && (w->val & f->no_exec)))
		return walk_error(w, PF_ERR_PRESENT);
	return 0;
}

/* Set BITS in the entry just judged; WALK_AGAIN if it is another by now. */
static u32 mark(struct walk *w, u64 bits)
{
	if ((w->val & bits) == bits)
		return 0;
	if (!__atomic_compare_exchange_n(w->slot, &w->val, w->val | bits, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return WALK_AGAIN;
	return 0;
}

/*
 * Walk from the root to the leaf. Rights missing at an upper level count only
 * if the entries below are present, as in a CPU: the first absent entry
 * decides that the fault is "not present".
 */
static u32 walk_once(struct walk *w)
{
	const struct paging_format *f = host.cfg.format;
	u64 table = w->root_pfn << PAGE_SHIFT;
	u32 denied = 0, err;
	int level;

	for (level = f->levels - 1;; level--) {
		bool leaf;

		w->slot = port_ram(table + (u64)pt_index(f, level, w->va) *
						   f->entry_bytes);
		w->val = __atomic_load_n(w->slot, __ATOMIC_SEQ_CST);
		err = check_rights(w, f);
		if (err && !(err & PF_ERR_PRESENT))
			return err;
		denied |= err;
		leaf = level == 0 || (w->val & f->large);
		if (leaf && level && !(f->large_levels & BIT(level)))
			return walk_error(w, PF_ERR_PRESENT | PF_ERR_RSVD);
		if (leaf)
			break;
		err = denied ? 0 : mark(w, f->accessed);
		if (err)
			return err;
		table = w->val & f->frame_mask;
	}
	if (denied)
		return denied;
	table = ALIGN_DOWN(w->val & f->frame_mask, pt_span(f, level));
	w->pa = table | (w->va & (pt_span(f, level) - 1));
	return mark(w, f->accessed | (w->access & HOST_WRITE ? f->dirty : 0));
}

static u32 walk(struct walk *w)
{
	u32 err;

	if (w->root_pfn == HOST_NO_ROOT)
		return walk_error(w, 0);
	do {
		err = walk_once(w);
	} while (err == WALK_AGAIN);
	return err;
}

/* The bytes of one page that an access moves; LEN 0: none. */
struct piece {
	uva_t va;
	unsigned access;
	char *to;
	const char *from;
	size_t len;
};

/* One access section: translate, and copy. 0 or an error code. */
static u32 try_access(const struct piece *p)
{
	struct host_cpu *c = &host.cpus[port_cpu()];
	struct walk w = {.va = p->va, .access = p->access};
	u32 err;

	w.root_pfn = c->root_pfn;
	enter(c);
	err = walk(&w);
	if (!err && p->len) {
		if (p->access & HOST_WRITE)
			memcpy(port_ram(w.pa), p->from, p->len);
		else
			memcpy(p->to, port_ram(w.pa), p->len);
	}
	leave(c);
	return err;
}

/* Access P, with as many faults as it takes; 0 or the signal. */
static int do_access(const struct piece *p)
{
	u32 tries, err;
	int sig;

	if (!paging_canonical(host.cfg.format, p->va))
		return SIGSEGV_NR;
	for (tries = 0; tries < FAULT_LIMIT; tries++) {
		err = try_access(p);
		if (!err)
			return 0;
		if (!host.fault_hook)
			return SIGSEGV_NR;
		sig = host.fault_hook(port_current(), p->va, err & ~WALK_FAULT);
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
	host.cpus[port_cpu()].root_pfn = root_pfn;
}

void port_tlb_flush(const struct port_cpumask *cpus, u32 asid, uva_t start,
		    uva_t end)
{
	int i, self = port_cpu();

	(void)asid;
	(void)start;
	(void)end;
	if (host_self.irq_off)
		host_bug("port_tlb_flush: interrupts are off");
	__atomic_fetch_add(&host.flushes, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < host.nr_cpus; i++) {
		u64 *seq = &host.cpus[i].seq, seen;

		/* CPUs join the mask at any time. */
		seen = __atomic_load_n(&cpus->bits[i / 64], __ATOMIC_SEQ_CST);
		if (i == self || !(seen >> (i % 64) & 1))
			continue;
		seen = __atomic_load_n(seq, __ATOMIC_SEQ_CST);
		while ((seen & 1) &&
		       __atomic_load_n(seq, __ATOMIC_ACQUIRE) == seen)
			sched_yield();
	}
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
