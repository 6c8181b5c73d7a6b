/* SPDX-License-Identifier: MIT */
/*
 * The protocol by which CPUs of the metal world forget translations
 * (port/metal/tlb.c), with and without tags, on CPUs that are played: each
 * thread has a TLB of its own, filled by its accesses and emptied only by what
 * the instructions would. An access may never see an entry that is older than
 * the last change whose flush has returned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bitops.h"
#include "base_seed.h"
#include "host.h"

#define CPUS   6
#define ASIDS  5u /* 1 .. ASIDS - 1; 0 is the kernel's */
#define PAGES  40u
#define KEEP   (1ul << 63)
#define STRIDE 4096ul

/* ---- the CPUs ---------------------------------------------------------------
 */

static struct cpu {
	u64 cr3, cr4;
	u64 entry[ASIDS][PAGES]; /* 0: none */
	u32 ipi;
	u64 dropped;
	u32 loads;
} MM_ALIGNED(64) fake[CPUS];

static bool tags; /* CPUs have them */

static struct cpu *self(void)
{
	return &fake[port_cpu()];
}

static u32 tag_of(const struct cpu *c)
{
	return tags ? (u32)(c->cr3 & 0xfff) : 0;
}

static u64 table[ASIDS][PAGES]; /* what entries map: numbers that grow */
static u64 epoch[ASIDS][PAGES]; /* no access sees less */

static u32 wrongs;

/* cmocka knows only assertions of its own thread. */
static void check(bool right, const char *what)
{
	if (right)
		return;
	__atomic_fetch_add(&wrongs, 1, __ATOMIC_RELAXED);
	fprintf(stderr, "CPU %d: %s\n", port_cpu(), what);
}

/* An access of the running CPU by the table in CR3. */
static void access_page(struct cpu *c, u32 page)
{
	u32 asid = (u32)(c->cr3 >> 12) % 100, tag = tag_of(c);
	u64 least = __atomic_load_n(&epoch[asid][page], __ATOMIC_ACQUIRE);

	if (!c->entry[tag][page])
		c->entry[tag][page] =
			__atomic_load_n(&table[asid][page], __ATOMIC_ACQUIRE);
	if (!asid) /* the kernel's: nobody changes it */
		return;
	check(c->entry[tag][page] >= least, "an entry outlived its flush");
}

/* Until the last moment the CPU may walk the old table, by speculation. */
static void x86_write_cr3(u64 v)
{
	struct cpu *c = self();

	if (++c->loads % 4 == 0)
		host_yield();
	for (u32 i = 0; i < PAGES && c->cr3; i += 3)
		access_page(c, i);
	c->cr3 = v & ~KEEP;
	if (!(v & KEEP)) {
		c->dropped++;
		memset(c->entry[tag_of(c)], 0, sizeof(c->entry[0]));
	}
	if (c->loads % 8 == 0)
		host_yield();
}

static u64 x86_read_cr3(void)
{
	return self()->cr3;
}

static u64 x86_read_cr4(void)
{
	return self()->cr4;
}

static void x86_write_cr4(u64 v)
{
	self()->cr4 = v;
}

static void x86_cpuid(u32 leaf, u32 sub, u32 out[4])
{
	(void)sub;
	out[0] = leaf == 0 ? 7 : 0;
	out[1] = 0;
	out[2] = leaf == 1 && tags ? 1u << 17 : 0;
	out[3] = 0;
}

static void invlpg(u64 va)
{
	struct cpu *c = self();

	if (va / STRIDE < PAGES)
		c->entry[tag_of(c)][va / STRIDE] = 0;
}

static void invpcid_all(void)
{
	memset(self()->entry, 0, sizeof(self()->entry));
}

static bool x86_irqs_on(void)
{
	return !host_self.irq_off;
}

/* What other CPUs do, once, when one is about to set a bit, passes a fence or
 * waits. */
static void (*at_bit)(void), (*at_fence)(void), (*at_pause)(void);

static void others(void (**hook)(void))
{
	void (*doing)(void) = *hook;

	if (!doing)
		return;
	*hook = NULL;
	doing();
}

static void x86_pause(void)
{
	others(&at_pause);
	host_yield();
}

#define CR4_PGE	  (1ul << 7)
#define CR4_PCIDE (1ul << 17)

void metal_master_ready(u64 root_pfn);
void metal_master_ready(u64 root_pfn)
{
	(void)root_pfn;
}

static void fence(void)
{
	others(&at_fence);
	smp_mb();
}

static void bit(u64 nr, u64 *bits)
{
	others(&at_bit);
	set_bit(nr, bits);
}

#define smp_mb()	  fence()
#define set_bit(nr, bits) bit(nr, bits)

/* The host world has functions of these names. */
#define METAL_TLB_HW_H
#define port_tlb_flush		   metal_tlb_flush
#define port_tlb_flush_aged	   metal_tlb_flush_aged
#define port_tlb_flush_kernel	   metal_tlb_flush_kernel
#define port_tlb_flush_kernel_self metal_tlb_flush_kernel_self
#define port_tlb_counts(out)	   metal_tlb_counts(out)
#define port_load_root		   metal_load_root
#define port_load_kernel_root	   metal_load_kernel_root

void metal_tlb_flush(const struct port_cpumask *set, u32 asid, uva_t start,
		     uva_t end);
void metal_tlb_flush_aged(const struct port_cpumask *set, u32 asid, uva_t start,
			  uva_t end);
void metal_tlb_counts(struct port_tlb_counts *out);
void metal_tlb_flush_kernel(kva_t start, kva_t end);
void metal_tlb_flush_kernel_self(kva_t start, kva_t end);
void metal_load_root(u64 root_pfn, u32 asid);
void metal_load_kernel_root(u64 root_pfn);

#include "../../port/metal/tlb.c"
#undef smp_mb
#undef set_bit

int smp_nr_cpus(void)
{
	return CPUS;
}

u64 clock_now_ns(void)
{
	return port_now_ns();
}

bool smp_stopping(void)
{
	return false;
}

void apic_ipi(int cpu, u32 vector)
{
	check(vector == VEC_TLB && cpu != port_cpu(), "a wrong interrupt");
	__atomic_store_n(&fake[cpu].ipi, 1, __ATOMIC_RELEASE);
}

/* A place where an interrupt can come. */
static void interrupts(void)
{
	struct cpu *c = self();

	if (__atomic_exchange_n(&c->ipi, 0, __ATOMIC_ACQUIRE))
		tlb_poll();
}

/* What metal_tick() does, in an interrupt. */
static void metal_irq_tick(void)
{
	unsigned long flags = port_irq_save();

	tlb_tick();
	port_irq_restore(flags);
}

/* ---- tables, and who changes them -------------------------------------------
 */

static struct {
	struct port_cpumask all;
	u32 started, done, nr;
	u64 rounds, seed, skipped, asked;
} run;

static void touch(struct prng *rng)
{
	for (u32 i = 0; i < 4; i++)
		access_page(self(), (u32)prng_below(rng, PAGES));
	if (prng_one_in(rng, 16))
		host_yield();
	access_page(self(), (u32)prng_below(rng, PAGES));
}

/* Each thread changes pages of its own, in all tables. */
static void change(struct prng *rng, u32 me)
{
	u32 asid = (u32)prng_range(rng, 1, ASIDS - 1);
	u32 page = me + run.nr * (u32)prng_below(rng, PAGES / run.nr);
	u64 va = page * STRIDE, now = table[asid][page] + 1;

	__atomic_store_n(&table[asid][page], now, __ATOMIC_RELEASE);
	switch (prng_below(rng, 4)) {
	case 0:
		metal_tlb_flush(&run.all, asid, 0, 0);
		break;
	case 1: /* more than go one by one */
		metal_tlb_flush(&run.all, asid, 0, PAGES * STRIDE);
		break;
	case 2:
		metal_tlb_flush(&run.all, asid, va > STRIDE ? va - STRIDE : 0,
				va + STRIDE);
		break;
	default:
		metal_tlb_flush(&run.all, asid, va, va + STRIDE);
		break;
	}
	__atomic_store_n(&epoch[asid][page], now, __ATOMIC_RELEASE);
}

static void one_round(struct prng *rng, u32 me)
{
	u32 asid = (u32)prng_below(rng, ASIDS);

	switch (prng_below(rng, 8)) {
	case 0:
		metal_load_root(100 + asid, asid);
		break;
	case 1:
	case 2:
		change(rng, me);
		break;
	case 3:
		metal_tlb_flush_aged(&run.all, asid, 0,
				     prng_below(rng, PAGES) * STRIDE);
		break;
	case 4:
		metal_irq_tick();
		break;
	default:
		touch(rng);
		break;
	}
	if (prng_one_in(rng, 4))
		interrupts();
}

static void cpu_main(void *arg)
{
	u32 me = (u32)(size_t)arg;
	struct prng rng;

	prng_seed(&rng, run.seed + me);
	tlb_init_cpu();
	__atomic_fetch_or(&run.all.bits[0], 1ul << port_cpu(),
			  __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&run.started, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&run.started, __ATOMIC_SEQ_CST) < run.nr)
		host_yield();
	for (u64 i = 0; i < run.rounds; i++)
		one_round(&rng, me);
	__atomic_fetch_add(&run.done, 1, __ATOMIC_SEQ_CST);
	/* Others may still ask. */
	while (__atomic_load_n(&run.done, __ATOMIC_SEQ_CST) < run.nr) {
		interrupts();
		host_yield();
	}
}

static void race(bool with_tags)
{
	struct port_thread *t[CPUS - 1];
	struct host_config cfg = {.cpus = CPUS, .ram_max = 1UL << 30};
	struct tlb_stats s;
	struct prng rng;

	test_seed(&rng, with_tags ? "tagged" : "untagged");
	assert_int_equal(host_init(&cfg), 0);
	memset(&run, 0, sizeof(run));
	memset(&tlb_sys, 0, sizeof(tlb_sys));
	memset(fake, 0, sizeof(fake));
	memset(epoch, 0, sizeof(epoch));
	for (u32 i = 0; i < ASIDS * PAGES; i++)
		table[i / PAGES][i % PAGES] = 1;
	tags = with_tags;
	run.seed = prng_u64(&rng);
	run.rounds = test_iters(20000);
	run.nr = ARRAY_SIZE(t);
	tlb_init(200);
	assert_int_equal(tlb_sys.pcid, with_tags);
	for (u32 i = 0; i < run.nr; i++)
		assert_int_equal(port_thread_start(&t[i], "cpu", -1, cpu_main,
						   (void *)(size_t)i),
				 0);
	for (u32 i = 0; i < run.nr; i++)
		port_thread_join(t[i]);
	assert_int_equal(wrongs, 0);
	tlb_stats(&s);
	/* About a fifth of the CPUs has the ASID of a change loaded. */
	assert_true(s.asked > 0 && s.skipped > s.asked);
	assert_true(s.remote > 0 && s.remote <= s.asked && s.all && s.one);
	assert_int_equal(host_shutdown(), 0);
}

static void tagged(void **state)
{
	(void)state;
	race(true);
}

static void untagged(void **state)
{
	(void)state;
	race(false);
}

/* With tags nothing is forgotten at a change of table that need not be. */
static void tags_keep(void **state)
{
	struct host_config cfg = {.cpus = CPUS, .ram_max = 1UL << 30};
	struct port_cpumask me = {{1}};
	u64 dropped;

	(void)state;
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(port_cpu(), 0);
	memset(&tlb_sys, 0, sizeof(tlb_sys));
	memset(fake, 0, sizeof(fake));
	tags = true;
	tlb_init(200);
	metal_load_root(101, 1);
	metal_load_root(102, 2);
	dropped = fake[0].dropped;
	fake[0].entry[1][3] = 77;
	metal_load_root(101, 1);
	assert_int_equal(fake[0].entry[1][3], 77);
	metal_load_root(102, 2);
	metal_tlb_flush(&me, 1, 0, 0); /* not loaded: later */
	assert_int_equal(fake[0].entry[1][3], 77);
	assert_int_equal(fake[0].dropped, dropped);
	metal_load_root(101, 1);
	assert_int_equal(fake[0].entry[1][3], 0);
	assert_int_equal(fake[0].dropped, dropped + 1);
	metal_load_root(102, 2);
	metal_load_root(101, 1); /* once is enough */
	assert_int_equal(fake[0].dropped, dropped + 1);
	/* A page of the loaded one alone. */
	fake[0].entry[1][3] = 77;
	fake[0].entry[1][4] = 78;
	metal_tlb_flush(&me, 1, 3 * STRIDE, 4 * STRIDE);
	assert_int_equal(fake[0].entry[1][3], 0);
	assert_int_equal(fake[0].entry[1][4], 78);
	assert_int_equal(host_shutdown(), 0);
}

/* Accessed bits of ASID 1 were cleared by another CPU than this one. */
static void age(u32 page)
{
	struct tlb_stats before, after;
	struct port_cpumask both = {{3}};

	tlb_stats(&before);
	host_self.cpu = 1;
	metal_tlb_flush_aged(&both, 1, page * STRIDE, (page + 1) * STRIDE);
	host_self.cpu = 0;
	tlb_stats(&after);
	assert_int_equal(after.remote, before.remote);
	assert_int_equal(after.asked, before.asked);
	assert_int_equal(fake[0].ipi, 0);
}

/* For accessed bits nobody is interrupted; they are forgotten at the tick of
 * who has that table loaded, and when it is loaded. */
static void forgets_later(bool with_tags)
{
	struct host_config cfg = {.cpus = CPUS, .ram_max = 1UL << 30};

	assert_int_equal(host_init(&cfg), 0);
	memset(&tlb_sys, 0, sizeof(tlb_sys));
	memset(fake, 0, sizeof(fake));
	tags = with_tags;
	tlb_init(200);
	metal_load_root(101, 1);
	fake[0].entry[with_tags][3] = 77;
	age(3);
	assert_int_equal(fake[0].entry[with_tags][3], 77);
	tlb_tick();
	assert_int_equal(fake[0].entry[with_tags][3], 0);
	/* Once. */
	fake[0].entry[with_tags][3] = 77;
	tlb_tick();
	assert_int_equal(fake[0].entry[with_tags][3], 77);
	/* It leaves the table before its tick comes, or had left it. */
	age(3);
	metal_load_root(102, 2);
	tlb_tick();
	metal_load_root(101, 1);
	assert_int_equal(fake[0].entry[with_tags][3], 0);
	metal_load_root(102, 2);
	fake[0].entry[1][3] = with_tags ? 77 : 0;
	age(3);
	metal_load_root(101, 1);
	assert_int_equal(fake[0].entry[with_tags][3], 0);
	assert_int_equal(host_shutdown(), 0);
}

static void aged_tagged(void **state)
{
	(void)state;
	forgets_later(true);
}

static void aged_untagged(void **state)
{
	(void)state;
	forgets_later(false);
}

/* CPU 1 takes NR pages of the kernel's out from page FROM on: what CPU 1 knew
 * of them is gone, what CPU 0 knows goes with its next tick, once. */
static void freed_pages(u32 from, u32 nr)
{
	struct tlb_stats before, after;

	for (u32 cpu = 0; cpu < 2; cpu++)
		for (u32 i = 0; i < PAGES; i++)
			fake[cpu].entry[0][i] = 77;
	tlb_stats(&before);
	host_self.cpu = 1;
	tlb_forget_kernel(from * STRIDE, (from + nr) * STRIDE);
	host_self.cpu = 0;
	tlb_stats(&after);
	assert_int_equal(after.asked, before.asked);
	assert_int_equal(fake[0].ipi, 0);
	for (u32 i = from; i < min(from + nr, PAGES); i++) {
		assert_int_equal(fake[1].entry[0][i], 0);
		assert_int_equal(fake[0].entry[0][i], 77);
	}
	/* Changing tables does not take the mark: those entries are global. */
	metal_load_root(101, 1);
	metal_load_root(200, 0);
	fake[0].entry[0][from] = 77;
	tlb_tick();
	assert_int_equal(fake[0].entry[0][from], 0);
	fake[0].entry[0][from] = 78;
	tlb_tick();
	assert_int_equal(fake[0].entry[0][from], 78);
}

static void freed(void **state)
{
	struct host_config cfg = {.cpus = CPUS, .ram_max = 1UL << 30};

	(void)state;
	assert_int_equal(host_init(&cfg), 0);
	memset(&tlb_sys, 0, sizeof(tlb_sys));
	memset(fake, 0, sizeof(fake));
	tags = true;
	tlb_init(200);
	tlb_sys.invpcid = true; /* else CR4's bit does it, not played here */
	host_self.cpu = 1;
	tlb_init_cpu();
	host_self.cpu = 0;
	freed_pages(3, 1);
	assert_int_equal(fake[1].entry[0][4], 77);
	freed_pages(2, 30);
	assert_int_equal(fake[1].entry[0][1], 77);
	/* More than go one by one. */
	freed_pages(0, 40);
	assert_int_equal(host_shutdown(), 0);
}

static void as_cpu(u32 cpu)
{
	host_self.cpu = cpu;
}

static void cpu0_answers(void)
{
	as_cpu(0);
	interrupts();
	as_cpu(2);
}

/* CPU 1 asks CPU 0 for page 3 of ASID 1 alone, which answers and leaves. */
static void cpu0_answers_and_leaves(void)
{
	struct tlb_request *r = &tlb_sys.request[1];

	*r = (struct tlb_request){.kind = TLB_USER,
				  .asid = 1,
				  .start = 3 * STRIDE,
				  .end = 4 * STRIDE,
				  .left = 1};
	tlb_sys.cpu[0].asked |= 2;
	as_cpu(0);
	tlb_poll();
	metal_load_root(102, 2);
	as_cpu(2);
	assert_int_equal(r->left, 0);
	at_pause = cpu0_answers; /* if it is asked all the same */
}

static void cpu0_leaves_and_answers(void)
{
	as_cpu(0);
	metal_load_root(102, 2);
	cpu0_answers();
}

static void cpu0_comes(void)
{
	as_cpu(0);
	metal_load_root(101, 1);
	as_cpu(2);
}

static void cpu0_comes_and_stays(void)
{
	cpu0_comes();
	at_pause = cpu0_answers;
}

static void cpu0_comes_and_goes(void)
{
	cpu0_comes();
	at_fence = cpu0_answers_and_leaves;
}

/* CPU 0 has used page 4 of ASID 1, and has it LOADED or not. CPU 2 flushes
 * it, and the others do IN_FENCE and IN_PAUSE meanwhile. Where CPU 0 has ASID 1
 * after that, and when it loads it again, the page's entry is gone. */
static void forgotten(bool loaded, void (*in_fence)(void),
		      void (*in_pause)(void))
{
	struct port_cpumask target = {{1}};

	memset(&tlb_sys, 0, sizeof(tlb_sys));
	memset(fake, 0, sizeof(fake));
	tags = true;
	tlb_init(200);
	as_cpu(2);
	tlb_init_cpu();
	as_cpu(0);
	metal_load_root(101, 1);
	fake[0].entry[1][3] = 77;
	fake[0].entry[1][4] = 77;
	if (!loaded)
		metal_load_root(102, 2);
	as_cpu(2);
	at_fence = in_fence;
	at_pause = in_pause;
	metal_tlb_flush(&target, 1, 4 * STRIDE, 5 * STRIDE);
	assert_null(at_fence);
	as_cpu(0);
	if (tlb_sys.cpu[0].loaded != 1)
		metal_load_root(101, 1);
	assert_int_equal(fake[0].entry[1][4], 0);
	assert_int_equal(wrongs, 0);
	assert_null(at_bit);
	at_pause = NULL;
}

/* The one that is asked comes, leaves and answers others meanwhile. */
static void comes_and_goes(void **state)
{
	struct host_config cfg = {.cpus = CPUS, .ram_max = 1UL << 30};

	(void)state;
	assert_int_equal(host_init(&cfg), 0);
	forgotten(true, NULL, cpu0_answers);
	forgotten(true, NULL, cpu0_leaves_and_answers);
	forgotten(true, cpu0_answers_and_leaves, NULL);
	forgotten(false, NULL, NULL);
	forgotten(false, cpu0_comes_and_stays, NULL);
	at_bit = cpu0_comes_and_stays;
	forgotten(false, NULL, NULL);
	at_bit = cpu0_comes_and_goes;
	forgotten(false, NULL, NULL);
	assert_int_equal(host_shutdown(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aged_tagged), cmocka_unit_test(aged_untagged),
		cmocka_unit_test(tags_keep),   cmocka_unit_test(comes_and_goes),
		cmocka_unit_test(tagged),      cmocka_unit_test(untagged),
		cmocka_unit_test(freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
