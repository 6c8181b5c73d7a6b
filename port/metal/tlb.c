/* SPDX-License-Identifier: MIT */
/*
 * tlb.c - which table a CPU translates by, and making CPUs forget.
 *
 * A CPU keeps translations of user addresses by their tag (PCID = ASID), if it
 * has tags, and loses them at every change of table if it has none. Three
 * rules follow from that.
 *
 * 1. Only the table that is loaded is walked, also by speculation. So a CPU
 *    must be interrupted for a flush only if the ASID is the one it has
 *    loaded: else it forgets before it loads that ASID again. Each CPU
 *    publishes `loaded`, and there is a bit per CPU and ASID that means
 *    "forget when you load this". Without tags the bit is not needed. Only a
 *    load takes the bit, for it forgets everything of the ASID: who forgets
 *    some pages cannot know for whose the bit was set.
 * 2. The flusher that finds another ASID loaded sets the bit, then looks once
 *    more; the loader publishes TRANSIT, then takes the bit, writes CR3,
 *    publishes the ASID. With a full fence between the two on both sides, at
 *    least one sees the other. TRANSIT is interrupted as if it were any ASID:
 *    the interrupt waits until the loader, which runs with interrupts off, is
 *    through. A CPU that has left the ASID when it is asked sets its bit
 *    itself, before it answers.
 * 3. `loaded` names the new ASID only after CR3 was written. So a flusher that
 *    reads another ASID knows that the CPU has left its table, and accesses
 *    that had begun with it are complete (writing CR3 serialises).
 *
 * 4. Accessed bits that were cleared are no reason to interrupt anybody: a CPU
 *    that remembers such an entry uses the right frame with the right rights,
 *    and only fails to set the bit again. It gets `aged`, and forgets all of
 *    the ASID at its next tick, if it has not left it before. x86 Linux does
 *    not flush at all then; here what one program uses all the time from one
 *    CPU may stay in the TLB for long, since nothing else runs.
 *
 * 5. What debug_pagealloc takes out of the direct map (pagealloc.c) is
 *    forgotten by the CPU that does it at once, by others at their next tick:
 *    frames are freed with locks held and interrupts off, where waiting for an
 *    answer could last for ever. An entry that lives on until then shows a
 *    free frame and harms nobody; an idle CPU, which has no tick, keeps it for
 *    as long as it is idle. The mark is set after the entries were cleared,
 *    and taken before the CPU forgets: one of both sees the other.
 *
 * An idle CPU loads the kernel's table (PF_IDLE), so it is skipped by
 * the same rules, and the tables of a process that ended are not walked.
 *
 * Requests. Each CPU has one request of its own, which it fills in, and then
 * waits for with interrupts on. Each CPU has a word `asked` with a bit for each
 * CPU that waits for it. Who sets the first bit sends the interrupt; who sets
 * another finds that one on its way, since the target takes all bits at once.
 * The target answers in the interrupt, or wherever it waits for somebody
 * itself, also with interrupts off (tlb_poll()): so two senders that wait for
 * each other, and a flusher that holds a lock for which the target spins, get
 * on.
 *
 * The kernel's addresses are global and the same on all CPUs, which are all
 * interrupted. For few pages INVLPG does it: global entries go whatever their
 * tag, and the kernel frees no table in so small a range. For more, all
 * entries of all tags and what is cached of upper levels go: INVPCID of type
 * 2, or CR4.PGE turned off and on.
 *
 * References: Intel SDM vol. 3A, 4.10 (caching translation information).
 */
#include "tlb_hw.h"

#include "apic.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/bitops.h"
#include "base/printk.h"
#include "base/trace_ring.h"
#include "clock.h"

#define NR_ASIDS    4096u
#define TRANSIT	    0xffffffffu
#define CR3_KEEP    (1ul << 63)
#define FEW_PAGES   32u
#define PATIENCE_NS 10000000000ull

MM_STATIC_ASSERT(MM_NR_CPUS <= 64, "a set of CPUs is one word");

enum tlb_kind { TLB_USER, TLB_KERNEL, TLB_ROOT };

/* What one CPU asks of others; LEFT of them have not answered. */
struct tlb_request {
	enum tlb_kind kind;
	u32 asid;
	u64 start, end; /* end 0: all */
	u32 left;
} MM_ALIGNED(MM_CACHELINE);

struct tlb_cpu {
	u64 asked;  /* CPUs whose requests wait for this one */
	u32 loaded; /* ASID, or TRANSIT */
	bool aged;  /* entries of it lost their accessed bits: rule 4 */
	bool freed; /* entries of the kernel's went: rule 5 */
	u64 root;   /* frame; both belong to this CPU */
	struct tlb_stats stats;
	u64 stale[NR_ASIDS / 64];
} MM_ALIGNED(MM_CACHELINE);

static struct {
	bool pcid, invpcid;
	u64 kernel_root;
	struct tlb_request request[MM_NR_CPUS];
	struct tlb_cpu cpu[MM_NR_CPUS];
} tlb_sys;

/* ---- the running CPU --------------------------------------------------------
 */

/* What this CPU did; pinned. Its interrupts count as well: one that comes
 * between load and store may be lost. */
static void count_local(const struct tlb_stats *n)
{
	struct tlb_stats *s = &tlb_sys.cpu[port_cpu()].stats;

	s->all += n->all;
	s->one += n->one;
}

/* All entries of all tags, global ones too. */
static void flush_everything(void)
{
	u64 cr4;

	count_local(&(struct tlb_stats){.all = 1});
	if (tlb_sys.invpcid) {
		invpcid_all();
		return;
	}
	cr4 = x86_read_cr4();
	if (cr4 & CR4_PGE) {
		x86_write_cr4(cr4 & ~CR4_PGE);
		x86_write_cr4(cr4);
	} else {
		x86_write_cr3(x86_read_cr3() & ~CR3_KEEP);
	}
}

static u64 pages_of(u64 start, u64 end)
{
	return (PAGE_ALIGN(end) - (start & PAGE_MASK)) >> PAGE_SHIFT;
}

/* tlb_flush, as Linux numbers its reasons: what happened to [START, END) of a
 * process's, END 0: all of it. What the kernel's own addresses cost is not
 * told there either. */
enum tlb_reason {
	TLB_FLUSH_ON_TASK_SWITCH,
	TLB_REMOTE_SHOOTDOWN,
	TLB_LOCAL_SHOOTDOWN,
	TLB_LOCAL_MM_SHOOTDOWN,
	TLB_REMOTE_SEND_IPI
};

static void tell(enum tlb_reason why, u64 start, u64 end)
{
	bool all = !end || end - start > FEW_PAGES * PAGE_SIZE;

	trace_emit(TLB_FLUSH, (u64)why, all ? ~0ul : pages_of(start, end));
}

/* [START, END) of the loaded ASID; END 0: all of it. */
static void flush_loaded(u64 start, u64 end, enum tlb_reason why)
{
	tell(why, start, end);
	if (!end || end - start > FEW_PAGES * PAGE_SIZE) {
		count_local(&(struct tlb_stats){.all = 1});
		x86_write_cr3(x86_read_cr3() & ~CR3_KEEP);
		return;
	}
	count_local(&(struct tlb_stats){.one = pages_of(start, end)});
	for (u64 va = start & PAGE_MASK; va < end; va += PAGE_SIZE)
		invlpg(va);
}

void port_tlb_flush_kernel_self(kva_t start, kva_t end)
{
	unsigned long flags;

	if (end - start <= FEW_PAGES * PAGE_SIZE) {
		count_local(&(struct tlb_stats){.one = pages_of(start, end)});
		for (u64 va = start & PAGE_MASK; va < end; va += PAGE_SIZE)
			invlpg(va);
		return;
	}
	flags = port_irq_save(); /* CR4 is read and written back */
	flush_everything();
	port_irq_restore(flags);
}

/* Interrupts off. */
static void load(struct tlb_cpu *c, u64 root, u32 asid)
{
	u64 cr3 = root << PAGE_SHIFT;

	if (unlikely(READ_ONCE(c->aged))) {
		WRITE_ONCE(c->aged, false);
		if (tlb_sys.pcid)
			set_bit(c->loaded, c->stale);
	}
	WRITE_ONCE(c->loaded, TRANSIT);
	smp_mb();
	c->root = root;
	if (tlb_sys.pcid) {
		cr3 |= asid;
		if (!test_and_clear_bit(asid, c->stale))
			cr3 |= CR3_KEEP;
	}
	x86_write_cr3(cr3);
	smp_store_release(&c->loaded, asid);
	if (!(cr3 & CR3_KEEP))
		tell(TLB_FLUSH_ON_TASK_SWITCH, 0, 0);
}

void port_load_root(u64 root, u32 asid)
{
	unsigned long flags = port_irq_save();

	mm_assert_lt(asid, NR_ASIDS);
	load(&tlb_sys.cpu[port_cpu()], root, asid);
	port_irq_restore(flags);
}

void tlb_tick(void)
{
	struct tlb_cpu *c = &tlb_sys.cpu[port_cpu()];

	if (unlikely(READ_ONCE(c->freed))) {
		(void)mm_xchg(&c->freed, false);
		flush_everything();
	}
	if (likely(!READ_ONCE(c->aged)))
		return;
	WRITE_ONCE(c->aged, false);
	flush_loaded(0, 0, TLB_LOCAL_SHOOTDOWN);
}

/* ---- answering --------------------------------------------------------------
 */

/* A CPU that has no process's table changes to the kernel's new one. */
static void take_kernel_root(struct tlb_cpu *c)
{
	u64 root = READ_ONCE(tlb_sys.kernel_root);

	if (c->loaded == 0 && c->root != root)
		load(c, root, 0);
	if (tlb_sys.pcid)
		set_bit(0, c->stale);
	flush_everything();
}

static void answer(struct tlb_cpu *c, struct tlb_request *r)
{
	switch (r->kind) {
	case TLB_USER:
		if (c->loaded == r->asid)
			flush_loaded(r->start, r->end, TLB_REMOTE_SHOOTDOWN);
		else if (tlb_sys.pcid)
			set_bit(r->asid, c->stale);
		break;
	case TLB_KERNEL:
		port_tlb_flush_kernel_self(r->start, r->end);
		break;
	case TLB_ROOT:
		take_kernel_root(c);
		break;
	}
	__atomic_fetch_sub(&r->left, 1, __ATOMIC_RELEASE);
}

void tlb_poll(void)
{
	struct tlb_cpu *c = &tlb_sys.cpu[port_cpu()];
	unsigned long flags;
	u64 asked;

	if (likely(!READ_ONCE(c->asked)))
		return;
	flags = port_irq_save();
	c = &tlb_sys.cpu[port_cpu()];
	asked = mm_xchg(&c->asked, 0);
	for (; asked; asked &= asked - 1)
		answer(c, &tlb_sys.request[__builtin_ctzll(asked)]);
	port_irq_restore(flags);
}

static u32 nr_of(u64 cpus)
{
	u32 n = 0;

	for (; cpus; cpus &= cpus - 1)
		n++;
	return n;
}

/* ---- asking -----------------------------------------------------------------
 */

static void complain(u32 left)
{
	pr_err("tlb: CPU %d waits for %u CPUs that do not answer", port_cpu(),
	       left);
	for (int cpu = 0; cpu < smp_nr_cpus(); cpu++) {
		if (READ_ONCE(tlb_sys.cpu[cpu].asked))
			pr_err("tlb: CPU %d is asked by %#llx", cpu,
			       (unsigned long long)tlb_sys.cpu[cpu].asked);
	}
}

/* All of LEFT have answered, or the machine ends. */
static void wait_for(struct tlb_request *r)
{
	u64 since = clock_now_ns();
	u32 rounds = 0, left;

	while ((left = smp_load_acquire(&r->left)) && !smp_stopping()) {
		tlb_poll();
		x86_pause();
		if (++rounds % 4096 == 0 && since != ~0ull &&
		    clock_now_ns() - since > PATIENCE_NS) {
			complain(left);
			since = ~0ull;
		}
	}
}

/* Send R, the running CPU's own, to the CPUs of TO. Pinned. */
static void ask(struct tlb_request *r, u64 to)
{
	u64 me = BIT(port_cpu());

	WRITE_ONCE(r->left, nr_of(to));
	for (u64 left = to; left; left &= left - 1) {
		int cpu = __builtin_ctzll(left);

		if (!mm_fetch_or(&tlb_sys.cpu[cpu].asked, me))
			apic_ipi(cpu, VEC_TLB);
	}
	wait_for(r);
}

/* Those of CPUS that have ASID loaded now; the others are told for later. */
static u64 whom_to_ask(u64 cpus, u32 asid)
{
	u64 ask_them = 0;
	u32 loaded;

	for (u64 left = cpus; left; left &= left - 1) {
		struct tlb_cpu *c = &tlb_sys.cpu[__builtin_ctzll(left)];

		if (smp_load_acquire(&c->loaded) == asid)
			ask_them |= left & -left;
		else if (tlb_sys.pcid)
			set_bit(asid, c->stale);
	}
	smp_mb();
	for (u64 left = cpus & ~ask_them; left; left &= left - 1) {
		int cpu = __builtin_ctzll(left);

		loaded = smp_load_acquire(&tlb_sys.cpu[cpu].loaded);
		if (loaded == asid || loaded == TRANSIT)
			ask_them |= BIT(cpu);
	}
	return ask_them;
}

static void flush_own(u32 asid, u64 start, u64 end)
{
	unsigned long flags = port_irq_save();
	struct tlb_cpu *c = &tlb_sys.cpu[port_cpu()];

	if (c->loaded == asid)
		flush_loaded(start, end, TLB_LOCAL_MM_SHOOTDOWN);
	else if (tlb_sys.pcid)
		set_bit(asid, c->stale);
	port_irq_restore(flags);
}

static u64 up_mask(void)
{
	return GENMASK(smp_nr_cpus() - 1, 0);
}

/* Of the CPUs that a flush named besides this one, ASKED were interrupted. */
static void count(u64 named, u64 asked)
{
	struct tlb_stats *s = &tlb_sys.cpu[port_cpu()].stats;

	s->flushes++;
	s->remote += asked != 0;
	s->asked += nr_of(asked);
	s->skipped += nr_of(named & ~asked);
}

void tlb_stats(struct tlb_stats *sum)
{
	*sum = (struct tlb_stats){0};
	for (int cpu = 0; cpu < smp_nr_cpus(); cpu++) {
		const struct tlb_stats *s = &tlb_sys.cpu[cpu].stats;

		sum->flushes += READ_ONCE(s->flushes);
		sum->kernel += READ_ONCE(s->kernel);
		sum->asked += READ_ONCE(s->asked);
		sum->skipped += READ_ONCE(s->skipped);
		sum->remote += READ_ONCE(s->remote);
		sum->all += READ_ONCE(s->all);
		sum->one += READ_ONCE(s->one);
	}
}

void port_tlb_counts(struct port_tlb_counts *out)
{
	u64 others = (u64)smp_nr_cpus() - 1;
	struct tlb_stats s;

	tlb_stats(&s);
	*out = (struct port_tlb_counts){
		.remote = s.remote + (others ? s.kernel : 0),
		.received = s.asked + s.kernel * others,
		.all = s.all,
		.one = s.one,
	};
}

void port_tlb_flush(const struct port_cpumask *cpus, u32 asid, uva_t start,
		    uva_t end)
{
	struct tlb_request *r;
	u64 to = cpus->bits[0] & up_mask(), me, now;

	mm_assert(x86_irqs_on());
	mm_assert_lt(asid, NR_ASIDS);
	port_pin();
	me = BIT(port_cpu());
	if (to & me)
		flush_own(asid, start, end);
	to &= ~me;
	now = to ? whom_to_ask(to, asid) : 0;
	count(to, now);
	if (now) {
		r = &tlb_sys.request[port_cpu()];
		r->kind = TLB_USER;
		r->asid = asid;
		r->start = start;
		r->end = end;
		tell(TLB_REMOTE_SEND_IPI, start, end);
		ask(r, now);
	}
	port_unpin();
}

void port_tlb_flush_aged(const struct port_cpumask *cpus, u32 asid, uva_t start,
			 uva_t end)
{
	u64 to = cpus->bits[0] & up_mask(), me;

	mm_assert_lt(asid, NR_ASIDS);
	port_pin();
	me = BIT(port_cpu());
	if (to & me)
		flush_own(asid, start, end);
	for (u64 left = to & ~me; left; left &= left - 1) {
		struct tlb_cpu *c = &tlb_sys.cpu[__builtin_ctzll(left)];

		/* One that changes tables now forgets too much or nothing. */
		if (READ_ONCE(c->loaded) == asid)
			WRITE_ONCE(c->aged, true);
		else if (tlb_sys.pcid)
			set_bit(asid, c->stale);
	}
	port_unpin();
}

void tlb_forget_kernel(kva_t start, kva_t end)
{
	u64 to = up_mask() & ~BIT(port_cpu());

	port_tlb_flush_kernel_self(start, end);
	for (; to; to &= to - 1) {
		struct tlb_cpu *c = &tlb_sys.cpu[__builtin_ctzll(to)];

		smp_store_release(&c->freed, true);
	}
}

static void ask_all(enum tlb_kind kind, u64 start, u64 end)
{
	struct tlb_request *r = &tlb_sys.request[port_cpu()];
	u64 to = up_mask() & ~BIT(port_cpu());

	r->kind = kind;
	r->start = start;
	r->end = end;
	if (to)
		ask(r, to);
}

void port_tlb_flush_kernel(kva_t start, kva_t end)
{
	port_pin();
	tlb_sys.cpu[port_cpu()].stats.kernel++;
	port_tlb_flush_kernel_self(start, end);
	ask_all(TLB_KERNEL, start, end);
	port_unpin();
}

void port_load_kernel_root(u64 root)
{
	unsigned long flags;

	metal_master_ready(root);
	port_pin();
	WRITE_ONCE(tlb_sys.kernel_root, root);
	smp_mb();
	flags = port_irq_save();
	take_kernel_root(&tlb_sys.cpu[port_cpu()]);
	port_irq_restore(flags);
	ask_all(TLB_ROOT, 0, 0);
	port_unpin();
}

/* ---- setting up -------------------------------------------------------------
 */

void tlb_init_cpu(void)
{
	struct tlb_cpu *c = &tlb_sys.cpu[port_cpu()];

	/* Only with bits 0-11 of CR3 zero; and it needs global pages' bit. */
	x86_write_cr3(tlb_sys.kernel_root << PAGE_SHIFT);
	c->root = tlb_sys.kernel_root;
	c->loaded = 0;
	if (tlb_sys.pcid)
		x86_write_cr4(x86_read_cr4() | CR4_PCIDE);
}

void tlb_init(u64 kernel_root)
{
	u32 leaf[4];

	tlb_sys.kernel_root = kernel_root;
	x86_cpuid(1, 0, leaf);
	tlb_sys.pcid = leaf[2] >> 17 & 1;
	x86_cpuid(0, 0, leaf);
	if (leaf[0] >= 7) {
		x86_cpuid(7, 0, leaf);
		tlb_sys.invpcid = leaf[1] >> 10 & 1;
	}
	tlb_init_cpu();
	pr_info("tlb: %s", tlb_sys.pcid ? "tagged" : "not tagged");
}
