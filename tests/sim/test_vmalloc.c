/* SPDX-License-Identifier: MIT */
/*
 * vmalloc: who gets which addresses, what is seen there by the machine's MMU
 * and in the host's window, what is left when it is freed, and that nothing is
 * lost when something fails.
 */
#include "sim_machine.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mmkit/vmalloc.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/prng.h"
#include "kmem/vmalloc.h"
#include "pgtable/kernel.h"

#define MiB (1UL << 20)
#define GiB (1UL << 30)

static u64 seed;

static struct vmap_areas *areas(void)
{
	return &kmem_sys.vm.areas;
}

/* What the machine's CPU sees at kernel address VA; NULL if it faults. */
static u8 *cpu_sees(kva_t va, unsigned access)
{
	u32 error = 0;
	u8 *p = sim_kernel(va, access, &error);

	CHECK(p || (error & SIM_WALK_FAULT));
	return p;
}

/* Does touching P kill a child of ours by SIGSEGV? */
static bool traps(const void *p)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		_exit(*(const volatile u8 *)p ? 1 : 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void fill(void *p, u64 bytes, u64 stamp)
{
	u64 *w = p;

	for (u64 i = 0; i < bytes / 8; i += 64)
		w[i] = stamp + i;
}

static void expect(const void *p, u64 bytes, u64 stamp)
{
	const u64 *w = p;

	for (u64 i = 0; i < bytes / 8; i += 64)
		CHECK_EQ(w[i], stamp + i);
}

/* The same through the machine's MMU: its tables and TLB say the same. */
static void expect_mmu(const void *p, u64 bytes, u64 stamp)
{
	kva_t va = vmalloc_kva(p);

	for (u64 off = 0; off < bytes; off += PAGE_SIZE) {
		u8 *at = cpu_sees(va + off, SIM_READ);

		CHECK(at != NULL);
		CHECK_EQ(*(u64 *)at, stamp + off / 8);
	}
}

static void settle(void)
{
	vm_unmap_aliases();
	vmalloc_check();
	CHECK_EQ(areas()->nr_busy, 0);
	CHECK_EQ(areas()->nr_free, 1);
	CHECK_EQ(areas()->nr_lazy, 0);
	CHECK_EQ(vmalloc_nr_pages(), 0);
	CHECK_EQ(vmap_largest_free(), areas()->end - areas()->start);
}

/* ---- allocation
 * ------------------------------------------------------------------------ */

static const size_t sizes[] = {1,     4096,  4097, 8192,
			       65536, 66000, MiB,  3 * MiB + 5};

static void one_size(size_t size)
{
	u64 pages = PAGE_ALIGN(size) >> PAGE_SHIFT;
	void *p = vmalloc(size), *q = vzalloc(size);
	kva_t va = vmalloc_kva(p);
	struct vm_struct *vm = find_vm_area(p);

	CHECK(p && q && p != q);
	CHECK(IS_ALIGNED(va, PAGE_SIZE) && va >= areas()->start);
	CHECK(is_vmalloc_addr(p) && is_vmalloc_addr((char *)p + size - 1));
	CHECK(vm && get_vm_area_size(vm) == pages << PAGE_SHIFT);
	CHECK_EQ(vmalloc_nr_pages() >= 2 * pages, true);
	for (u64 i = 0; i < pages << PAGE_SHIFT; i++)
		CHECK_EQ(((u8 *)q)[i], 0);
	fill(p, pages << PAGE_SHIFT, 7);
	fill(q, pages << PAGE_SHIFT, 1000000);
	expect(p, pages << PAGE_SHIFT, 7);
	expect_mmu(p, pages << PAGE_SHIFT, 7);
	expect_mmu(q, pages << PAGE_SHIFT, 1000000);
	for (u64 i = 0; i < pages; i++) {
		struct page *page =
			vmalloc_to_page((char *)p + (i << PAGE_SHIFT));

		CHECK(page && page_count(page) == 1);
		CHECK_EQ(vmalloc_to_pfn((char *)p + (i << PAGE_SHIFT)),
			 page_to_pfn(page));
	}
	/* Behind it nothing is mapped, neither here nor there. */
	CHECK(!cpu_sees(va + (pages << PAGE_SHIFT), SIM_READ));
	CHECK(vmalloc_to_page((char *)p + (pages << PAGE_SHIFT)) == NULL);
	vmalloc_check();
	vfree(p);
	vfree(q);
	CHECK(find_vm_area(p) == NULL);
}

static int allocate_body(void *arg)
{
	(void)arg;
	vfree(NULL);
	CHECK(!is_vmalloc_addr(&seed) && !vmalloc_kva(&seed));
	CHECK(!find_vm_area(&seed) && !vmalloc_to_page(&seed));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		one_size(sizes[i]);
	settle();
	return 0;
}

static void each_format(int (*body)(void *), u64 mem)
{
	for (u32 i = 0; paging_format_nth(i); i++) {
		snprintf(tm_context, sizeof(tm_context), "%s",
			 paging_format_nth(i)->name);
		TM_RUN(body, .mem = mem, .shared_ram = true, .seed = seed,
		       .format = paging_format_nth(i), .cpus = 2);
	}
	tm_context[0] = 0;
}

static void test_allocate(void **state)
{
	(void)state;
	each_format(allocate_body, 32 * MiB);
}

/* ---- guard pages
 * ------------------------------------------------------------------------- */

static int guard_body(void *arg)
{
	u8 *p = vmalloc(2 * PAGE_SIZE), *q = vmalloc(PAGE_SIZE);

	(void)arg;
	CHECK(p && q);
	CHECK_EQ(vmalloc_kva(q) - vmalloc_kva(p), 3 * PAGE_SIZE);
	p[0] = p[2 * PAGE_SIZE - 1] = 1;
	CHECK(!traps(p) && !traps(p + 2 * PAGE_SIZE - 1));
	CHECK(traps(p + 2 * PAGE_SIZE));
	CHECK(traps(p + 3 * PAGE_SIZE - 1));
	CHECK(traps(q + PAGE_SIZE));
	CHECK(!cpu_sees(vmalloc_kva(p) + 2 * PAGE_SIZE, SIM_WRITE));
	CHECK(cpu_sees(vmalloc_kva(q), SIM_WRITE));
	vfree(p);
	/* What was freed traps at once in the window. */
	CHECK(traps(p) && !traps(q));
	vfree(q);
	settle();
	return 0;
}

static void test_guard(void **state)
{
	(void)state;
	TM_RUN(guard_body, .shared_ram = true, .seed = seed);
}

/* ---- the set of addresses against a model
 * ------------------------------------------------ */

#define SPACE 192 /* pages */

enum { FREE, BUSY, LAZY };

struct model {
	kva_t base;
	u8 page[SPACE];
	struct vm_struct *vm[SPACE]; /* at the first page of a busy area */
};

/* The lowest place among free runs of at least LENGTH pages; -1: none. */
static int model_pass(const struct model *m, u32 length, u32 size, u32 align,
		      u32 start, u32 end)
{
	for (u32 i = 0; i < SPACE;) {
		u32 run = i, at;

		if (m->page[i] != FREE) {
			i++;
			continue;
		}
		while (run < SPACE && m->page[run] == FREE)
			run++;
		at = (u32)ALIGN(max(i, start), align);
		if (run - i >= length && at + size <= min(run, end))
			return (int)at;
		i = run;
	}
	return -1;
}

static int model_place(struct model *m, u32 size, u32 align, u32 start, u32 end)
{
	int at = -1;

	for (int again = 0; at < 0 && again < 2; again++) {
		at = model_pass(m, size + align - 1, size, align, start, end);
		if (at < 0)
			at = model_pass(m, size, size, align, start, end);
		if (at >= 0)
			break;
		for (u32 i = 0; i < SPACE && !again; i++)
			if (m->page[i] == LAZY)
				m->page[i] = FREE;
	}
	return at;
}

static void model_alloc(struct model *m, struct prng *r)
{
	u32 size = 1 + (u32)prng_below(r, prng_one_in(r, 4) ? 40 : 6);
	u32 align = 1u << prng_below(r, 5);
	u32 start = 0, end = SPACE;
	struct vmap_want want;
	struct vm_struct *vm;
	int at, err;

	if (prng_one_in(r, 3)) {
		start = (u32)prng_below(r, SPACE);
		end = start + (u32)prng_below(r, SPACE - start + 1);
	}
	want = (struct vmap_want){size * PAGE_SIZE, align * PAGE_SIZE,
				  m->base + start * PAGE_SIZE,
				  m->base + end * PAGE_SIZE};
	if (start == 0 && end == SPACE) {
		want.start = areas()->start;
		want.end = areas()->end;
	}
	vm = kmem_cache_alloc(areas()->cache, GFP_KERNEL | __GFP_ZERO);
	CHECK(vm);
	at = model_place(m, size, align, start, end);
	err = vmap_area_alloc(vm, &want, GFP_KERNEL | __GFP_NOWARN);
	CHECK_EQ(err, at < 0 ? -ENOSPC : 0);
	if (err) {
		kmem_cache_free(areas()->cache, vm);
		return;
	}
	CHECK_EQ((vm->va.va_start - m->base) / PAGE_SIZE, at);
	CHECK_EQ(vm->va.va_end - vm->va.va_start, size * PAGE_SIZE);
	vm->flags = VM_MAP_RAM;
	memset(m->page + at, BUSY, size);
	m->vm[at] = vm;
}

static void model_free(struct model *m, u32 at, bool cancel)
{
	struct vm_struct *vm = m->vm[at];
	u64 pages = (vm->va.va_end - vm->va.va_start) / PAGE_SIZE;

	memset(m->page + at, cancel ? FREE : LAZY, pages);
	m->vm[at] = NULL;
	if (cancel) {
		vmap_area_cancel(vm);
		return;
	}
	CHECK(vmap_area_take(vm->va.va_start, VM_MAP_RAM) == vm);
	vmap_area_release(vm);
}

static void model_step(struct model *m, struct prng *r)
{
	u32 at = (u32)prng_below(r, SPACE);

	if (prng_one_in(r, 2)) {
		model_alloc(m, r);
	} else if (m->vm[at]) {
		model_free(m, at, prng_one_in(r, 3));
	} else if (prng_one_in(r, 40)) {
		vmap_purge(0, 0);
		for (u32 i = 0; i < SPACE; i++)
			if (m->page[i] == LAZY)
				m->page[i] = FREE;
	}
	for (u32 i = 0; i < SPACE && prng_one_in(r, 8); i++) {
		struct vm_struct *vm;

		spin_lock(&areas()->lock);
		vm = vmap_area_find(m->base + i * PAGE_SIZE);
		spin_unlock(&areas()->lock);
		CHECK_EQ(vm != NULL, m->page[i] == BUSY);
	}
}

static int model_body(void *arg)
{
	static struct model m;
	u64 iters = *(u64 *)arg;
	struct vmap_want rest = {0, PAGE_SIZE, 0, areas()->end};
	struct vm_struct *vm =
		kmem_cache_alloc(areas()->cache, GFP_KERNEL | __GFP_ZERO);
	struct prng r;

	prng_seed(&r, seed);
	memset(&m, 0, sizeof(m));
	m.base = areas()->start;
	rest.start = m.base + SPACE * PAGE_SIZE;
	rest.size = rest.end - rest.start;
	CHECK_EQ(vmap_area_alloc(vm, &rest, GFP_KERNEL), 0);
	vm->flags = VM_MAP_RAM;
	for (u64 i = 0; i < iters; i++) {
		model_step(&m, &r);
		if (i % 16 == 0)
			vmap_areas_check();
	}
	for (u32 i = 0; i < SPACE; i++)
		if (m.vm[i])
			model_free(&m, i, false);
	CHECK(vmap_area_take(rest.start, VM_MAP_RAM) == vm);
	vmap_area_release(vm);
	settle();
	return 0;
}

static void test_model(void **state)
{
	u64 iters = test_iters(30000);

	(void)state;
	TM_RUN(model_body, .shared_ram = true, .seed = seed, .arg = &iters);
}

/* ---- stale translations
 * ------------------------------------------------------------------- */

static int stale_body(void *arg)
{
	u64 purges = areas()->nr_purges;
	u8 *p = vmalloc(PAGE_SIZE), *q, *again;
	kva_t va = vmalloc_kva(p);

	(void)arg;
	CHECK(cpu_sees(va, SIM_WRITE));
	vfree(p);
	CHECK_EQ(areas()->nr_lazy, 2);
	/* The CPU still has it, so nobody else may get the address. */
	CHECK(cpu_sees(va, SIM_WRITE));
	q = vmalloc(PAGE_SIZE);
	CHECK(q && vmalloc_kva(q) != va);
	CHECK_EQ(areas()->nr_purges, purges);
	vm_unmap_aliases();
	CHECK_EQ(areas()->nr_purges, purges + 1);
	CHECK_EQ(areas()->nr_lazy, 0);
	CHECK(!cpu_sees(va, SIM_READ));
	again = vmalloc(PAGE_SIZE);
	CHECK_EQ(vmalloc_kva(again), va);
	fill(again, PAGE_SIZE, 5);
	expect_mmu(again, PAGE_SIZE, 5);
	vfree(again);
	vfree(q);
	settle();
	return 0;
}

/* A frame that somebody else holds stays his; the others go as blocks. */
static int held_body(void *arg)
{
	for (u64 at = 0; at < 64; at += 9) {
		u8 *p = vmalloc(64 * PAGE_SIZE);
		struct page *page = vmalloc_to_page(p + at * PAGE_SIZE);
		u64 before;

		drain_all_pages();
		before = nr_free_pages();
		get_page(page);
		*(u64 *)page_view(page) = 4711;
		vfree(p);
		CHECK_EQ(page_count(page), 1);
		CHECK_EQ(*(u64 *)page_view(page), 4711);
		drain_all_pages();
		CHECK_EQ(nr_free_pages(), before + 63);
		put_page(page);
	}
	(void)arg;
	settle();
	return 0;
}

static void test_stale(void **state)
{
	(void)state;
	TM_RUN(held_body, .shared_ram = true, .seed = seed);
	TM_RUN(stale_body, .shared_ram = true, .seed = seed, .cpus = 2);
}

/* One flush serves 32 MiB for each bit of the number of CPUs. */
static int lazy_body(void *arg)
{
	u64 purges = areas()->nr_purges, max_pages = 8192UL * *(u64 *)arg;
	u64 n = max_pages / 2 + 1;

	CHECK_EQ(areas()->lazy_max, max_pages);
	for (u64 i = 0; i < 2 * n; i++) {
		void *p = vmalloc(PAGE_SIZE);

		CHECK(p);
		vfree(p);
		CHECK_EQ(areas()->nr_purges - purges, (i + 1) / n);
		CHECK(areas()->nr_lazy <= max_pages);
	}
	settle();
	return 0;
}

static void test_lazy(void **state)
{
	u64 one = 1, three = 3;

	(void)state;
	TM_RUN(lazy_body, .shared_ram = true, .arg = &one);
	TM_RUN(lazy_body, .shared_ram = true, .arg = &three, .cpus = 4);
}

/* Areas that come behind all others are put into the tree when somebody must
 * search, or when they are many. */
#define LATE 200

static void late_alloc(void **p, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		CHECK((p[i] = vmalloc(PAGE_SIZE)));
}

static void late_free(void **p, u32 from, u32 to)
{
	for (u32 i = from; i < to; i++)
		vfree(p[i]);
}

static int late_body(void *arg)
{
	static void *p[VMAP_LATE_MAX + LATE];
	struct vmap_areas *a = areas();

	(void)arg;
	/* In the order in which they came, and in the opposite one. */
	late_alloc(p, LATE);
	CHECK_EQ(a->nr_late, LATE);
	for (u32 i = 0; i < LATE; i++) {
		vfree(p[i]);
		CHECK_EQ(a->nr_late, LATE - i - 1);
	}
	late_alloc(p, LATE);
	for (u32 i = LATE; i-- > 0;) {
		vfree(p[i]);
		CHECK_EQ(a->nr_late, i);
	}
	CHECK(!a->busy.rb_node && a->nr_busy == 0);
	/* A search brings all of them in, what comes later waits again. */
	late_alloc(p, LATE);
	CHECK(find_vm_area(p[LATE / 2]));
	CHECK_EQ(a->nr_late, 0);
	late_alloc(p + LATE, LATE);
	CHECK_EQ(a->nr_late, LATE);
	vfree(p[0]);
	CHECK_EQ(a->nr_late, 0);
	vmalloc_check();
	late_free(p, 1, 2 * LATE);
	/* Many: the first of them go in one by one. */
	late_alloc(p, ARRAY_SIZE(p));
	CHECK_EQ(a->nr_late, VMAP_LATE_MAX);
	CHECK_EQ(a->nr_busy, ARRAY_SIZE(p));
	late_free(p, LATE / 2, ARRAY_SIZE(p));
	vmalloc_check();
	late_free(p, 0, LATE / 2);
	settle();
	/* Addresses below are free again: what comes there is in the tree. */
	late_alloc(p, LATE);
	vfree(p[0]);
	vm_unmap_aliases();
	p[0] = vmalloc(PAGE_SIZE);
	CHECK(p[0] && p[0] < p[1] && a->nr_late == 0);
	late_free(p, 0, LATE);
	settle();
	return 0;
}

static void test_late(void **state)
{
	(void)state;
	TM_RUN(late_body, .shared_ram = true);
}

/* ---- frames of others
 * -------------------------------------------------------------------- */

#define MAPPED 100

static void get_pages(struct page **pages, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		CHECK(pages[i]);
		*(u64 *)page_view(pages[i]) = 77 + i;
	}
}

static void put_pages(struct page **pages, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		__free_page(pages[i]);
}

/* P shows the pages, in order, here and there. */
static void expect_pages(const u8 *p, u32 nr)
{
	for (u64 i = 0; i < nr; i++) {
		const u8 *seen =
			cpu_sees(vmalloc_kva(p) + i * PAGE_SIZE, SIM_READ);

		CHECK_EQ(*(const u64 *)(p + i * PAGE_SIZE), 77 + i);
		CHECK(seen);
		CHECK_EQ(*(const u64 *)seen, 77 + i);
	}
}

static int vmap_body(void *arg)
{
	static struct page *pages[MAPPED];
	struct page **own;
	kva_t va;
	u8 *p;

	(void)arg;
	get_pages(pages, MAPPED);
	p = vmap(pages, MAPPED, VM_MAP, VM_PROT_RW);
	CHECK(p);
	expect_pages(p, MAPPED);
	va = vmalloc_kva(p);
	CHECK(!cpu_sees(va, SIM_EXEC));
	CHECK(!cpu_sees(va + MAPPED * PAGE_SIZE, SIM_READ));
	CHECK_EQ(vmalloc_nr_pages(), 0);
	vmalloc_check();
	vunmap(p);
	p = vmap(pages, 3, VM_MAP, VM_PROT_RO);
	CHECK(cpu_sees(vmalloc_kva(p), SIM_READ));
	CHECK(!cpu_sees(vmalloc_kva(p), SIM_WRITE));
	vunmap(p);
	p = vmap(pages, 3, VM_MAP, VM_PROT_RX);
	CHECK(cpu_sees(vmalloc_kva(p), SIM_EXEC));
	CHECK(!cpu_sees(vmalloc_kva(p), SIM_WRITE));
	vunmap(p);
	put_pages(pages, MAPPED);
	/* The frames and the array go with the mapping. */
	own = kmalloc_array(5, sizeof(*own), GFP_KERNEL);
	get_pages(own, 5);
	p = vmap(own, 5, VM_MAP | VM_MAP_PUT_PAGES, VM_PROT_RW);
	expect_pages(p, 5);
	vfree(p);
	CHECK(vmap(pages, 0, VM_MAP, VM_PROT_RW) == NULL);
	CHECK(vmap(pages, (u32)totalram_pages() + 1, VM_MAP, VM_PROT_RW) ==
	      NULL);
	settle();
	return 0;
}

static void test_vmap(void **state)
{
	(void)state;
	TM_RUN(vmap_body, .shared_ram = true, .seed = seed);
}

/* ---- small mappings by CPU
 * ---------------------------------------------------------------- */

static int map_ram_body(void *arg)
{
	static struct page *pages[MAPPED];
	u64 purges = areas()->nr_purges;
	u8 *p, *q, *large;
	kva_t va;

	(void)arg;
	get_pages(pages, MAPPED);
	p = vm_map_ram(pages, 3, -1);
	q = vm_map_ram(pages, 64, -1);
	large = vm_map_ram(pages, MAPPED, -1);
	CHECK(p && q && large);
	CHECK_EQ(areas()->nr_busy, 2); /* the block, and the large one */
	expect_pages(p, 3);
	expect_pages(q, 64);
	expect_pages(large, MAPPED);
	CHECK_EQ(vmalloc_kva(q) - vmalloc_kva(p), 4 * PAGE_SIZE);
	vmalloc_check();
	va = vmalloc_kva(p);
	CHECK(!cpu_sees(va + 3 * PAGE_SIZE, SIM_READ));
	vm_unmap_ram(p, 3);
	CHECK(traps(p) && !traps(q));
	/* Given out from front to back, never twice before a flush. */
	p = vm_map_ram(pages, 3, -1);
	CHECK(vmalloc_kva(p) > va);
	CHECK(cpu_sees(va, SIM_READ));
	vm_unmap_aliases();
	CHECK_EQ(areas()->nr_purges, purges + 1);
	CHECK(!cpu_sees(va, SIM_READ));
	vm_unmap_ram(p, 3);
	vm_unmap_ram(q, 64);
	vm_unmap_ram(large, MAPPED);
	vmalloc_check();
	/* Begun, and nothing mapped: given up when asked to. */
	CHECK_EQ(areas()->nr_busy, 1);
	vm_unmap_aliases();
	CHECK_EQ(areas()->nr_busy, 0);
	CHECK(!cpu_sees(vmalloc_kva(q), SIM_READ));
	put_pages(pages, MAPPED);
	settle();
	return 0;
}

/* Blocks that are all dirty go by themselves. */
static int map_ram_churn(void *arg)
{
	static struct page *pages[8];
	u32 block = kmem_sys.vm.block_pages;

	(void)arg;
	get_pages(pages, 8);
	for (u32 i = 0; i < 3 * block / 8; i++) {
		u8 *p = vm_map_ram(pages, 5, -1);

		expect_pages(p, 5);
		vm_unmap_ram(p, 5);
		CHECK(areas()->nr_busy <= 1);
	}
	CHECK_EQ(areas()->nr_busy, 0);
	CHECK_EQ(areas()->nr_lazy, 3 * block);
	put_pages(pages, 8);
	settle();
	return 0;
}

static void ram_thread(void *arg)
{
	struct page **pages = arg;
	u8 *p = vm_map_ram(pages, 5, -1);

	expect_pages(p, 5);
	vm_unmap_ram(p, 5);
}

/* Each finds no block and makes one; what nobody begins must go too. */
static int unbegun_body(void *arg)
{
	static struct page *pages[5];
	struct port_thread *t[4];

	(void)arg;
	get_pages(pages, 5);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(port_thread_start(&t[i], "ram", 0, ram_thread, pages),
			 0);
	for (int i = 0; i < 4; i++)
		port_thread_join(t[i]);
	put_pages(pages, 5);
	settle();
	return 0;
}

/* A remembered leaf table is not taken for one 64 tables further on. */
static int far_body(void *arg)
{
	u64 far = KERNEL_LEAVES * pt_span(pgtable_sys.layout.fmt, 1);
	u8 *p = vmalloc(PAGE_SIZE);
	struct vm_place place = {.size = PAGE_SIZE,
				 .align = PAGE_SIZE,
				 .start = vmalloc_kva(p) + far,
				 .end = areas()->end,
				 .flags = VM_MAP,
				 .caller = "far"};
	struct vm_struct *vm = vm_area_get(&place, GFP_KERNEL);
	struct page *page = alloc_page(GFP_KERNEL);
	struct kernel_entry e;

	(void)arg;
	CHECK(vm && page && vm->va.va_start == place.start);
	CHECK_EQ(vm_show(place.start, &page, 1, PAGE_KERNEL, false), 0);
	CHECK(kernel_lookup(place.start, &e) && e.pfn == page_to_pfn(page));
	CHECK_EQ(vmalloc_to_pfn(p) == e.pfn, 0);
	vm_hide(place.start, 1);
	CHECK(!kernel_lookup(place.start, &e) && vmalloc_to_page(p));
	vm_area_ready(vm);
	CHECK(vmap_area_take(place.start, VM_MAP) == vm);
	vmap_area_release(vm);
	__free_page(page);
	vfree(p);
	settle();
	return 0;
}

static void test_map_ram(void **state)
{
	(void)state;
	for (u64 i = 0; i < 20; i++)
		TM_RUN(unbegun_body, .shared_ram = true, .seed = seed + i,
		       .cpus = 2, .explore = true);
	TM_RUN(far_body, .shared_ram = true, .seed = seed);
	TM_RUN(map_ram_body, .shared_ram = true, .seed = seed);
	TM_RUN(map_ram_churn, .shared_ram = true, .seed = seed);
}

/* ---- devices
 * ------------------------------------------------------------------------- */

static u64 leaf_bits(const void *p)
{
	struct kernel_entry e;

	CHECK(kernel_lookup(vmalloc_kva(p), &e));
	return pte_val(e.pte) & (X86_PTE_PCD | X86_PTE_PWT);
}

static int ioremap_body(void *arg)
{
	bool arm = pgtable_sys.layout.fmt->kind == PAGING_ARM64;
	phys_addr_t dev = 0xe0000000;
	struct kernel_entry e;
	u8 *p, *wc, *cached;
	u32 error = 0;

	(void)arg;
	p = ioremap(dev + 0x123, 0x2000);
	wc = ioremap_wc(dev, 100);
	cached = ioremap_cache(dev, 4096);
	CHECK(p && wc && cached);
	CHECK_EQ(vmalloc_kva(p) & 0xfff, 0x123);
	CHECK_EQ(get_vm_area_size(find_vm_area(p - 0x123)), 3 * PAGE_SIZE);
	CHECK_EQ(leaf_bits(p), arm ? X86_PTE_PWT : X86_PTE_PCD);
	CHECK_EQ(leaf_bits(wc), arm ? X86_PTE_PCD : X86_PTE_PWT);
	CHECK_EQ(leaf_bits(cached), 0);
	for (u64 i = 0; i < 3; i++)
		CHECK_EQ(sim_kernel_pa(vmalloc_kva(p) + i * PAGE_SIZE,
				       SIM_WRITE, &error),
			 dev + 0x123 + i * PAGE_SIZE);
	CHECK(!kernel_lookup(vmalloc_kva(p) + 3 * PAGE_SIZE, &e));
	CHECK(traps(p)); /* no device here */
	vmalloc_check();
	iounmap(p + 5);
	iounmap(wc);
	iounmap(cached);
	/* As large pages, where both sides allow it. */
	p = ioremap(dev, 8 * MiB);
	CHECK(p && kernel_lookup(vmalloc_kva(p), &e));
	CHECK_EQ(e.level, 1);
	iounmap(p);
	/* RAM is refused, however little of it. */
	CHECK(!ioremap(MiB, 4096));
	CHECK(tm_logged("ioremap on RAM at 0x0000000000100000 - "
			"0x0000000000100fff"));
	CHECK(!ioremap(0x9f000 - 1, 2));
	CHECK(!ioremap(dev, 0));
	CHECK(!ioremap(UINT64_MAX - 5, 100));
	CHECK(!ioremap(1UL << 60, 4096));
	CHECK(tm_logged("beyond the physical addresses of this format"));
	iounmap(&seed);
	CHECK(tm_logged("BUG: iounmap of what is no device's"));
	settle();
	return 0;
}

static void test_ioremap(void **state)
{
	(void)state;
	each_format(ioremap_body, 32 * MiB);
}

/* ---- large pages
 * ----------------------------------------------------------------------- */

static int huge_body(void *arg)
{
	u64 span = pt_span(pgtable_sys.layout.fmt, 1);
	struct kernel_entry e;
	u8 *p, *small;

	(void)arg;
	/* Small pages first, so that a table stands where a large page goes. */
	small = vmalloc(2 * span);
	CHECK(small);
	fill(small, 2 * span, 1);
	expect_mmu(small, 2 * span, 1);
	vfree(small);
	vm_unmap_aliases();
	p = vmalloc_huge(2 * span + 3 * PAGE_SIZE, GFP_KERNEL | __GFP_ZERO);
	CHECK(p && IS_ALIGNED(vmalloc_kva(p), span));
	CHECK(kernel_lookup(vmalloc_kva(p), &e) && e.level == 1);
	CHECK(kernel_lookup(vmalloc_kva(p) + 2 * span, &e) && e.level == 0);
	CHECK(!kernel_lookup(vmalloc_kva(p) + 2 * span + 3 * PAGE_SIZE, &e));
	for (u64 i = 0; i < 2 * span; i += 4096)
		CHECK_EQ(p[i], 0);
	fill(p, 2 * span, 3);
	expect(p, 2 * span, 3);
	expect_mmu(p, 2 * span, 3);
	vmalloc_check();
	kernel_tables_check();
	vfree(p);
	/* And small ones again in its place. */
	vm_unmap_aliases();
	small = vmalloc(span);
	fill(small, span, 9);
	expect_mmu(small, span, 9);
	vfree(small);
	p = vmalloc_huge(PAGE_SIZE, GFP_KERNEL);
	CHECK(p && kernel_lookup(vmalloc_kva(p), &e) && e.level == 0);
	vfree(p);
	settle();
	return 0;
}

static void test_huge(void **state)
{
	(void)state;
	each_format(huge_body, 64 * MiB);
}

/* ---- failure
 * ------------------------------------------------------------------------- */

static struct page *fail_pages[80];

static void *op_vmalloc(void)
{
	return vmalloc(20 * PAGE_SIZE);
}

static void *op_one(void)
{
	return vmalloc(1);
}

/* More frames than fit a page of pointers: the array is vmalloc'ed. */
static void *op_array(void)
{
	return vmalloc(600 * PAGE_SIZE);
}

static void *op_huge(void)
{
	return vmalloc_huge(3 * MiB, GFP_KERNEL);
}

static void *op_vmap(void)
{
	return vmap(fail_pages, 80, VM_MAP, VM_PROT_RW);
}

static void *op_ram(void)
{
	return vm_map_ram(fail_pages, 6, -1);
}

static void *op_ram_alone(void)
{
	return vm_map_ram(fail_pages, 80, -1);
}

static void *op_ioremap(void)
{
	return ioremap(0xe0001000, 5 * MiB);
}

static void undo_vfree(void *p)
{
	vfree(p);
}

static void undo_vunmap(void *p)
{
	vunmap(p);
}

static void undo_ram(void *p)
{
	vm_unmap_ram(p, 6);
}

static void undo_ram_alone(void *p)
{
	vm_unmap_ram(p, 80);
}

static void undo_ioremap(void *p)
{
	iounmap(p);
}

static const struct {
	const char *name;
	void *(*op)(void);
	void (*undo)(void *);
} ops[] = {
	{"vmalloc", op_vmalloc, undo_vfree},
	{"one page", op_one, undo_vfree},
	{"large array", op_array, undo_vfree},
	{"huge", op_huge, undo_vfree},
	{"vmap", op_vmap, undo_vunmap},
	{"vm_map_ram", op_ram, undo_ram},
	{"vm_map_ram, 80", op_ram_alone, undo_ram_alone},
	{"ioremap", op_ioremap, undo_ioremap},
};

#define FAIL_HERE                                            \
	(FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB) | \
	 FAIL_MASK(FAIL_PGTABLE) | FAIL_MASK(FAIL_VMAP))

/* Fail the N-th allocation of operation I; true if there was such a one. */
static bool fail_one(size_t i, u64 n, bool keep)
{
	u64 frames = vmalloc_nr_pages(), busy = areas()->nr_busy;
	struct fail_result r;
	void *p;

	snprintf(tm_context, sizeof(tm_context), "%s, failure %llu keep %d",
		 ops[i].name, (unsigned long long)n, keep);
	fail_arm_nth(FAIL_HERE, n, keep);
	fail_only_task(port_current());
	p = ops[i].op();
	r = fail_disarm();
	CHECK(p || r.fired);
	if (p) {
		ops[i].undo(p);
		vm_unmap_aliases();
	} else {
		vmap_areas_check();
		CHECK_EQ(vmalloc_nr_pages(), frames);
	}
	vm_unmap_aliases();
	CHECK_EQ(areas()->nr_busy, busy);
	CHECK_EQ(vmalloc_nr_pages(), frames);
	vmalloc_check();
	return r.fired;
}

static int fail_body(void *arg)
{
	u64 fired = 0;

	(void)arg;
	get_pages(fail_pages, 80);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		for (int keep = 0; keep < 2; keep++) {
			for (u64 n = 1; fail_one(i, n, keep); n++)
				fired++;
		}
		CHECK(fired > i);
	}
	put_pages(fail_pages, 80);
	tm_context[0] = 0;
	settle();
	return 0;
}

static void test_fail(void **state)
{
	(void)state;
	TM_RUN(fail_body, .mem = 32 * MiB, .shared_ram = true, .seed = seed);
}

/* With 32 bits addresses run out before frames do. */
static int full_body(void *arg)
{
	void *p[64], *last = NULL;
	u64 space = areas()->end - areas()->start;
	int n = 0;

	(void)arg;
	CHECK(space < GiB);
	while (n < 64 && (p[n] = ioremap(0xe0000000, 7 * MiB)))
		n++;
	CHECK(n > 0 && n < 64);
	CHECK(tm_logged("vmap allocation for size 7344128 failed: use "
			"vmalloc=<size> to increase size"));
	vmap_areas_check();
	/* What waits for a flush is flushed before anybody is refused. */
	iounmap(p[0]);
	CHECK(areas()->nr_lazy > 0);
	last = ioremap(0xe0000000, 7 * MiB);
	CHECK(last && areas()->nr_lazy == 0);
	CHECK_EQ(vmalloc_kva(last), vmalloc_kva(p[0]));
	p[0] = last;
	/* Too large for all RAM. */
	CHECK(!vmalloc(GiB) && tm_logged("exceeds total pages"));
	CHECK(!vmalloc(0));
	while (n)
		iounmap(p[--n]);
	settle();
	return 0;
}

static void test_full(void **state)
{
	(void)state;
	TM_RUN(full_body, .mem = 900 * MiB, .seed = seed,
	       .format = paging_format_by_name("x86-32"));
}

/* More than the machine has: all of it comes back. */
static int shortage_body(void *arg)
{
	void *p[64];
	int n = 0;

	(void)arg;
	while (n < 64 && (p[n] = __vmalloc(MiB, GFP_KERNEL | __GFP_NORETRY)))
		n++;
	CHECK(n > 4 && n < 64);
	CHECK(tm_logged("failed to allocate pages"));
	CHECK_EQ(vmalloc_nr_pages(), (u64)n * 256);
	vmalloc_check();
	while (n)
		vfree(p[--n]);
	settle();
	return 0;
}

static void test_shortage(void **state)
{
	(void)state;
	TM_RUN(shortage_body, .mem = 24 * MiB, .shared_ram = true,
	       .seed = seed);
}

static int misuse_body(void *arg)
{
	u8 *p = vmalloc(3 * PAGE_SIZE), *io = ioremap(0xe0000000, 4096);

	(void)arg;
	vfree(p + PAGE_SIZE);
	CHECK(tm_logged("BUG: trying to vfree() nonexistent vm area"));
	vfree(&seed);
	vunmap(p);
	CHECK(tm_logged("BUG: trying to vunmap() nonexistent vm area"));
	vfree(io);
	iounmap(p);
	vmalloc_check();
	CHECK(find_vm_area(p) && find_vm_area(io));
	vfree(p);
	vfree(p);
	iounmap(io);
	settle();
	return 0;
}

/* A world whose RAM has one view only: refused, with the reason. */
static int no_view_body(void *arg)
{
	void *p;

	(void)arg;
	CHECK(!vmalloc(PAGE_SIZE));
	CHECK(tm_logged("RAM cannot be mapped twice in this world"));
	CHECK(!ioremap(0xe0000000, 4096));
	CHECK(!is_vmalloc_addr(&seed));
	vm_unmap_aliases();
	p = kvmalloc(100000, GFP_KERNEL);
	CHECK(p);
	kvfree(p);
	return 0;
}

static void test_misuse(void **state)
{
	(void)state;
	TM_RUN(misuse_body, .shared_ram = true, .seed = seed);
	TM_RUN(no_view_body, .seed = seed);
}

/* ---- later
 * -----------------------------------------------------------------------------
 */

static void free_in_irq(struct port_bio *bio)
{
	void **later = bio->private;

	CHECK(port_in_irq());
	vfree(*later);
	*later = NULL;
}

static int atomic_body(void *arg)
{
	u8 *p = vmalloc(PAGE_SIZE), *q = vmalloc(2 * PAGE_SIZE), *r;
	void *later = vmalloc(PAGE_SIZE);
	struct port_bio bio = {.op = PORT_BIO_READ,
			       .nr_pages = 1,
			       .bdev = tm.disk,
			       .end_io = free_in_irq,
			       .private = &later};
	struct page *page = alloc_page(GFP_KERNEL);

	(void)arg;
	bio.pfn[0] = page_to_pfn(page);
	spin_lock(&areas()->lock);
	vfree_atomic(p);
	vfree_atomic(q);
	vfree_atomic(NULL);
	spin_unlock(&areas()->lock);
	CHECK(find_vm_area(p) && find_vm_area(q));
	port_bio_submit(&bio);
	while (READ_ONCE(later))
		port_park(1000000);
	CHECK_EQ(vmalloc_nr_pages(), 4);
	r = vmalloc(PAGE_SIZE); /* does it first */
	CHECK_EQ(vmalloc_nr_pages(), 1);
	vfree(r);
	__free_page(page);
	settle();
	return 0;
}

static void test_atomic(void **state)
{
	(void)state;
	TM_RUN(atomic_body, .shared_ram = true, .seed = seed, .swap_pages = 64);
}

/* ---- questions
 * ------------------------------------------------------------------------ */

static const char *show(const char *file)
{
	static char text[1 << 16];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(file, &s), 0);
	return seq_buf_str(&s);
}

static u64 meminfo(const char *name)
{
	const char *at = strstr(show("meminfo"), name);

	CHECK(at);
	return strtoull(at + strlen(name), NULL, 10);
}

static int info_body(void *arg)
{
	struct page *page = alloc_page(GFP_KERNEL);
	u8 *p = vmalloc(10 * PAGE_SIZE), *io, *m, *u;
	char want[256];
	const char *text;
	kva_t va = vmalloc_kva(p);

	(void)arg;
	io = ioremap(0xe0000000, 8192);
	m = vmap(&page, 1, VM_MAP, VM_PROT_RW);
	u = vmalloc_user(PAGE_SIZE);
	text = show("vmallocinfo");
	snprintf(want, sizeof(want),
		 "0x%016llx-0x%016llx   45056 info_body pages=10 vmalloc "
		 "N0=10\n",
		 (unsigned long long)va, (unsigned long long)va + 45056);
	CHECK(strstr(text, want));
	CHECK(strstr(text, "   12288 ioremap phys=0x00000000e0000000 "
			   "ioremap\n"));
	CHECK(strstr(text, "    8192 vmap pages=1 vmap\n"));
	CHECK(strstr(text, "    8192 vmalloc_user pages=1 vmalloc user "
			   "N0=1\n"));
	CHECK_EQ(meminfo("VmallocTotal:"), 34359738367);
	CHECK_EQ(meminfo("VmallocUsed:"), 44);
	CHECK_EQ(meminfo("VmallocChunk:"), vmap_largest_free() >> 10);
	vfree(p);
	CHECK_EQ(meminfo("VmallocUsed:"), 4);
	snprintf(want, sizeof(want),
		 "0x%016llx-0x%016llx   45056 unpurged vm_area\n",
		 (unsigned long long)va, (unsigned long long)va + 45056);
	CHECK(strstr(show("vmallocinfo"), want));
	iounmap(io);
	vunmap(m);
	vfree(u);
	__free_page(page);
	settle();
	CHECK_EQ(strlen(show("vmallocinfo")), 0);
	return 0;
}

static int read_body(void *arg)
{
	static u8 buf[8 * PAGE_SIZE];
	u8 *p = vmalloc(2 * PAGE_SIZE), *io = ioremap(0xe0000000, 4096);
	u8 *far = vmalloc(PAGE_SIZE);

	(void)arg;
	memset(p, 1, 2 * PAGE_SIZE);
	memset(far, 2, PAGE_SIZE);
	memset(buf, 9, sizeof(buf));
	CHECK_EQ(vmalloc_kva(io) - vmalloc_kva(p), 3 * PAGE_SIZE);
	CHECK_EQ(vmalloc_kva(far) - vmalloc_kva(p), 5 * PAGE_SIZE);
	CHECK_EQ(vread(buf, p + 10, 7 * PAGE_SIZE), 7 * PAGE_SIZE);
	for (u64 i = 0; i < 7 * PAGE_SIZE; i++) {
		u64 page = (i + 10) / PAGE_SIZE;

		CHECK_EQ(buf[i], page < 2 ? 1 : page == 5 ? 2 : 0);
	}
	CHECK_EQ(vread(buf, io, PAGE_SIZE), 0);
	CHECK_EQ(vread(buf, &seed, 8), 0);
	vfree(p);
	CHECK_EQ(vread(buf, p, PAGE_SIZE), 0);
	vfree(far);
	iounmap(io);
	/* kvmalloc: contiguous if it is easy, else from here. */
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1, false);
	p = kvmalloc(100000, GFP_KERNEL | __GFP_ZERO);
	CHECK_EQ(fail_disarm().fired, 1);
	CHECK(p && is_vmalloc_addr(p) && p[99999] == 0);
	kvfree(p);
	p = kvmalloc(100000, GFP_KERNEL);
	CHECK(p && !is_vmalloc_addr(p));
	kvfree(p);
	p = vmalloc_32(3 * PAGE_SIZE);
	CHECK(p && vmalloc_to_pfn(p) < 1UL << 20);
	vfree(p);
	settle();
	return 0;
}

/* Frames of the node that was asked for. */
static int node_body(void *arg)
{
	(void)arg;
	for (int node = 0; node < 2; node++) {
		u8 *p = vmalloc_node(8 * PAGE_SIZE, node);

		CHECK(p);
		for (u64 i = 0; i < 8; i++)
			CHECK_EQ(
				page_to_nid(vmalloc_to_page(p + i * PAGE_SIZE)),
				node);
		CHECK(strstr(show("vmallocinfo"), node ? "N1=8\n" : "N0=8\n"));
		vfree(p);
	}
	settle();
	return 0;
}

static void test_questions(void **state)
{
	(void)state;
	TM_RUN(info_body, .shared_ram = true, .seed = seed);
	TM_RUN(read_body, .shared_ram = true, .seed = seed);
	TM_RUN(node_body, .shared_ram = true, .seed = seed, .nodes = 2,
	       .mem = 32 * MiB, .cpus = 2);
}

/* ---- all of it, at random
 * ----------------------------------------------------------------- */

#define LIVE 48

struct live {
	u8 *p;
	u32 kind, pages;
	u64 stamp;
	struct page *frames[16];
};

struct churn {
	u64 steps, seed;
};

enum { K_VMALLOC, K_VMAP, K_RAM, K_HUGE, K_NR };

static void churn_alloc(struct live *l, struct prng *r)
{
	l->kind = (u32)prng_below(r, K_NR);
	l->pages = 1 + (u32)prng_below(r, 16);
	if (l->kind == K_VMALLOC && prng_one_in(r, 8))
		l->pages = 1 + (u32)prng_below(r, 200);
	if (l->kind == K_VMALLOC)
		l->p = vmalloc((u64)l->pages * PAGE_SIZE);
	else if (l->kind == K_HUGE)
		l->p = vmalloc_huge((u64)l->pages * PAGE_SIZE, GFP_KERNEL);
	if (l->kind == K_VMAP || l->kind == K_RAM)
		get_pages(l->frames, l->pages);
	if (l->kind == K_VMAP)
		l->p = vmap(l->frames, l->pages, VM_MAP, VM_PROT_RW);
	if (l->kind == K_RAM)
		l->p = vm_map_ram(l->frames, l->pages, -1);
	CHECK(l->p);
	l->stamp = prng_below(r, 1UL << 32);
	fill(l->p, (u64)l->pages * PAGE_SIZE, l->stamp);
	if (prng_one_in(r, 2))
		expect_mmu(l->p, (u64)l->pages * PAGE_SIZE, l->stamp);
}

static void churn_free(struct live *l)
{
	expect(l->p, (u64)l->pages * PAGE_SIZE, l->stamp);
	expect_mmu(l->p, (u64)l->pages * PAGE_SIZE, l->stamp);
	if (l->kind == K_VMAP)
		vunmap(l->p);
	else if (l->kind == K_RAM)
		vm_unmap_ram(l->p, l->pages);
	else
		vfree(l->p);
	if (l->kind == K_VMAP || l->kind == K_RAM)
		put_pages(l->frames, l->pages);
	l->p = NULL;
}

static void churn_thread(void *arg)
{
	struct churn *c = arg;
	struct live *live = calloc(LIVE, sizeof(*live));
	struct prng r;

	prng_seed(&r, c->seed);
	for (u64 i = 0; i < c->steps; i++) {
		struct live *l = &live[prng_below(&r, LIVE)];

		if (l->p)
			churn_free(l);
		else
			churn_alloc(l, &r);
		if (prng_one_in(&r, 500))
			vm_unmap_aliases();
	}
	for (int i = 0; i < LIVE; i++)
		if (live[i].p)
			churn_free(&live[i]);
	free(live);
}

static int churn_body(void *arg)
{
	struct churn c[3];
	struct port_thread *t[3];

	for (u64 i = 0; i < 3; i++) {
		c[i] = (struct churn){*(u64 *)arg / 3, seed * 3 + i};
		CHECK_EQ(port_thread_start(&t[i], "churn", -1, churn_thread,
					   &c[i]),
			 0);
	}
	for (u64 i = 0; i < 3; i++)
		port_thread_join(t[i]);
	CHECK(areas()->nr_purges > 0);
	settle();
	return 0;
}

static void test_churn(void **state)
{
	u64 steps = test_iters(test_env("SOAK", 0) ? 1000000 : 100000);

	(void)state;
	TM_RUN(churn_body, .mem = 64 * MiB, .shared_ram = true, .seed = seed,
	       .cpus = 3, .arg = &steps);
	steps /= 3;
	TM_RUN(churn_body, .mem = 64 * MiB, .seed = seed, .cpus = 2,
	       .explore = true, .arg = &steps,
	       .format = paging_format_by_name("x86-32-pae"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allocate),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_lazy),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_vmap),
		cmocka_unit_test(test_map_ram),
		cmocka_unit_test(test_ioremap),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_shortage),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_atomic),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_churn),
	};

	seed = test_env("SEED", 1);
	fprintf(stderr, "test_vmalloc: SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
