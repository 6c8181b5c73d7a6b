/* SPDX-License-Identifier: MIT */
/*
 * explain_sim.c - an address on a booted machine.
 *
 * 1. Purpose. A machine of the sim world with a sample process, whose
 *    mappings stand at fixed places, one for each state that a page can be
 *    in; and the kernel's part: all RAM mapped where Linux has it, and the
 *    descriptor table.
 *
 * 2. The process is made by the manager's own calls and its pages come by
 *    faults; the page that is swapped out was written by reclaim. Its tables
 *    are walked, not a copy.
 *
 * 3. The kernel's part is the master table's, which every process shares; the
 *    descriptor table is the one thing that is added, and taken away again.
 *
 * 4. What can fail for want of memory ends in a message: machines of a few
 *    MiB boot, but have no room for all this.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "arch/kernel_layout.h"
#include "arch/segment_linux.h"
#include "base/assert.h"
#include "base/seqbuf.h"
#include "cache/swap.h"
#include "err.h"
#include "explain.h"
#include "pgtable/kernel.h"
#include "phys/page_debug.h"
#include "phys/phys.h"
#include "reclaim/reclaim.h"
#include "space/rmap.h"
#include "space/space.h"

#define LLU(x) ((unsigned long long)(x))

/* ---- the sample process
 * ------------------------------------------------------- */

enum sample_state {
	S_TOUCHED,   /* written, and the frame is its own */
	S_SHARED,    /* as fork left it: two processes, one frame */
	S_READ,	     /* only read: the zero page */
	S_UNTOUCHED, /* no entry */
	S_SWAPPED
};

struct sample {
	const char *name;
	u32 offset; /* from the start of the image, pages */
	u32 pages;
	int prot;
	enum sample_state state;
	const char *shows;
};

/* From IMAGE_32 or IMAGE_64 on; the stack's place is elsewhere. */
static const struct sample samples[] = {
	{"text", 0, 4, PROT_READ | PROT_EXEC, S_SHARED,
	 "executable, read-only"},
	{"rodata", 8, 2, PROT_READ, S_SHARED, "read-only, no execute"},
	{"data", 16, 4, PROT_READ | PROT_WRITE, S_TOUCHED, "writable"},
	{"cow", 24, 1, PROT_READ | PROT_WRITE, S_SHARED,
	 "writable mapping, write-protected entry: copy on write"},
	{"zero", 32, 1, PROT_READ | PROT_WRITE, S_READ,
	 "read, never written: the zero page"},
	{"untouched", 40, 4, PROT_READ | PROT_WRITE, S_UNTOUCHED,
	 "no entry yet"},
	{"swapped", 48, 1, PROT_READ | PROT_WRITE, S_SWAPPED, "in swap"},
	{"protnone", 56, 1, PROT_NONE, S_SHARED, "frame kept, no access"},
};

#define IMAGE_32    0x08048000UL
#define IMAGE_64    0x400000UL
#define STACK_PAGES 32

struct sim_explain {
	struct doc *d;
	const struct machine_opts *o;
	const struct explain_query *q;
	struct mm_struct *mm, *child;
	uva_t image, stack;
	explain_who_fn *who; /* names a space; NULL: the sample process */
	const struct paging_format *fmt;
	kva_t gdt; /* 0: none */
	struct page *gdt_page;
	struct seg_cpu cpu;
	struct seg_mem mem;
	struct explain_target target;
};

static _Noreturn void no_room(const char *what)
{
	err_die("the machine is too small for %s: give it more --mem", what);
}

static uva_t sample_at(const struct sim_explain *s, const struct sample *p)
{
	return s->image + (u64)p->offset * PAGE_SIZE;
}

static void touch(uva_t va, u32 pages, unsigned how)
{
	for (u32 i = 0; i < pages; i++) {
		int sig = sim_touch(va + (u64)i * PAGE_SIZE, how);

		if (sig)
			no_room("a sample process");
	}
}

static void map_sample(struct sim_explain *s, const struct sample *p)
{
	s64 at = do_mmap(s->mm, sample_at(s, p), p->pages * PAGE_SIZE,
			 PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);

	if (at < 0)
		no_room("a sample process");
	if (p->state == S_READ)
		touch((uva_t)at, p->pages, SIM_READ);
	else if (p->state != S_UNTOUCHED)
		touch((uva_t)at, p->pages, SIM_WRITE);
	if (do_mprotect(s->mm, (uva_t)at, p->pages * PAGE_SIZE, p->prot))
		no_room("a sample process");
}

static pte_t entry_at(const struct mm_struct *mm, uva_t va)
{
	struct pt_slot slot;

	if (!pt_lookup(&mm->pt, va, &slot))
		return __pte(0);
	return pt_get(&slot);
}

/* One try of reclaim at the page at VA; true when the frame is gone. */
static bool reclaim_one(struct mm_struct *mm, uva_t va)
{
	struct scan_control sc = {.gfp = GFP_KERNEL,
				  .may_writepage = true,
				  .may_unmap = true,
				  .may_swap = true};
	struct reclaim_stat stat = {0};
	pte_t e = entry_at(mm, va);
	struct page_list list;
	struct page *page;

	if (pte_swap(e)) {
		page = lookup_swap_cache(pte_to_swp_entry(e));
		if (!page)
			return true;
	} else {
		page = pfn_to_page(pte_pfn(e));
		get_page(page);
	}
	lru_add_drain_all();
	page_list_init(&list);
	if (!lru_isolate_page(page)) {
		put_page(page);
		return false;
	}
	put_page(page);
	ClearPageActive(page);
	page_list_add(&list, page);
	shrink_page_list(&list, NODE_DATA(page_to_nid(page)), &sc, &stat);
	page = page_list_pop(&list);
	if (page)
		lru_putback_page(page);
	return false;
}

static void swap_out(struct mm_struct *mm, uva_t va)
{
	for (int i = 0; i < 50; i++) {
		if (reclaim_one(mm, va))
			return;
		port_park(1000 * 1000);
	}
	err_die("the sample page does not go to swap: give more --swap");
}

static void map_stack(struct sim_explain *s)
{
	struct mm_layout l;

	mm_default_layout(&l);
	s->stack = l.stack_top - STACK_PAGES * PAGE_SIZE;
	if (do_mmap(s->mm, s->stack, STACK_PAGES * PAGE_SIZE,
		    PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN) <
	    0)
		no_room("a sample process");
	touch(l.stack_top - 2 * PAGE_SIZE, 2, SIM_WRITE);
}

/* Everything is written, then shared by fork, then some of it written again. */
static void make_process(struct sim_explain *s)
{
	struct mm_layout l;

	mm_default_layout(&l);
	s->image = space_sys.format->va_bits == 32 ? IMAGE_32 : IMAGE_64;
	if (mm_create(&l, &s->mm))
		no_room("a sample process");
	mm_task_register(port_current(), "sample");
	mm_task_attach(port_current(), s->mm);
	for (u32 i = 0; i < ARRAY_SIZE(samples); i++) {
		map_sample(s, &samples[i]);
		if (samples[i].state == S_SWAPPED)
			swap_out(s->mm, sample_at(s, &samples[i]));
	}
	map_stack(s);
	if (mm_fork(s->mm, &s->child))
		no_room("a second process");
	for (u32 i = 0; i < ARRAY_SIZE(samples); i++) {
		if (samples[i].state == S_TOUCHED)
			touch(sample_at(s, &samples[i]), samples[i].pages,
			      SIM_WRITE);
	}
	touch(l.stack_top - 2 * PAGE_SIZE, 2, SIM_WRITE);
}

static void end_process(struct sim_explain *s)
{
	mm_put(s->child);
	mm_task_exit(port_current());
	mm_task_unregister(port_current());
	mm_put(s->mm);
}

/* ---- the kernel's part
 * -------------------------------------------------------- */

/* The end of RAM, or of what the kernel has room for. */
static u64 direct_end(void)
{
	return min(pgtable_sys.layout.low_end, PFN_PHYS(phys_sys.hot.max_pfn));
}

/* Read-only, and marked as used: a CPU that reads it changes nothing. */
#define GDT_PROT __pgprot(X86_PTE_P | X86_PTE_A | X86_PTE_G | X86_PTE_NX)

/*
 * Linux's table in a page of its own: mapped read-only in the CPU entry area,
 * after the IDT's page; with 32 bits it is used in the direct map.
 */
static void make_gdt(struct sim_explain *s)
{
	const struct kl_region *area =
		kernel_layout_region(&pgtable_sys.layout, KL_CPU_ENTRY);
	struct linux_cpu_desc desc = {.cpu = 0};
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	bool wide = s->fmt->kind == PAGING_X86_64;
	int err;

	if (!page)
		no_room("the descriptor table");
	s->gdt_page = page;
	s->gdt = area ? area->start + PAGE_SIZE
		      : direct_map_va(page_to_pfn(page));
	desc.tss_base = desc.df_tss_base = s->gdt + PAGE_SIZE;
	err = wide ? linux_gdt64(&desc, page_view(page))
		   : linux_gdt32(&desc, page_view(page));
	mm_verify(!err);
	if (area && kernel_map(s->gdt, page_to_pfn(page), 1, GDT_PROT))
		no_room("the descriptor table");
	s->cpu.gdtr = (struct seg_dtr){
		s->gdt,
		(u16)((wide ? LINUX64_GDT_ENTRIES : LINUX32_GDT_ENTRIES) * 8 -
		      1)};
}

static void drop_gdt(struct sim_explain *s)
{
	const struct kl_region *area =
		kernel_layout_region(&pgtable_sys.layout, KL_CPU_ENTRY);

	if (!s->gdt_page)
		return;
	if (area)
		kernel_unmap(s->gdt, 1);
	__free_page(s->gdt_page);
}

/* ---- the CPU
 * ---------------------------------------------------------------------- */

/* The byte of RAM at LINEAR as the supervisor reaches it; NULL: a fault. */
static char *linear_byte(struct sim_explain *s, u64 linear, u32 access)
{
	const struct paging_mem mem = {machine_ram_read, NULL, NULL};
	struct paging_walk w;

	if (paging_walk_with(&s->target.cpu, linear, access, &w, &mem))
		return NULL;
	return sim_phys(w.pa);
}

/* Descriptors are read through the page tables, as a CPU reads them. */
static int linear_read(void *arg, u64 linear, void *to, size_t len)
{
	char *out = to;

	for (size_t i = 0; i < len; i++) {
		const char *from = linear_byte(arg, linear + i, PAGING_READ);

		if (!from)
			return -EFAULT;
		out[i] = *from;
	}
	return 0;
}

/* Accessed bits: on x86-64 they are set already, and the page is read-only. */
static int linear_write(void *arg, u64 linear, const void *from, size_t len)
{
	const char *in = from;

	for (size_t i = 0; i < len; i++) {
		char *to = linear_byte(arg, linear + i, PAGING_WRITE);

		if (!to)
			return -EFAULT;
		*to = in[i];
	}
	return 0;
}

static void setup_segments(struct sim_explain *s, bool user)
{
	bool wide = s->fmt->kind == PAGING_X86_64;
	struct seg_return r = {
		.cs = wide ? seg_sel(user ? LINUX64_USER_CS : LINUX64_KERNEL_CS,
				     false, user ? 3 : 0)
			   : seg_sel(user ? LINUX32_USER_CS : LINUX32_KERNEL_CS,
				     false, user ? 3 : 0),
		.ss = wide ? seg_sel(user ? LINUX64_USER_DS : LINUX64_KERNEL_DS,
				     false, user ? 3 : 0)
			   : seg_sel(user ? LINUX32_USER_DS : LINUX32_KERNEL_DS,
				     false, user ? 3 : 0),
	};
	struct seg_dtr gdtr = s->cpu.gdtr;

	s->mem = (struct seg_mem){linear_read, linear_write, s};
	seg_cpu_init(&s->cpu, &s->mem);
	s->cpu.pe = true;
	s->cpu.lma = wide;
	s->cpu.la57 = s->fmt->va_bits == 57;
	s->cpu.gdtr = gdtr;
	for (int i = 0; i < SEG_NR_REGS; i++)
		s->cpu.sr[i].usable = i == SEG_CS;
	if (seg_far_return(&s->cpu, &r))
		mm_bug("explain: Linux's own segments are refused");
	s->target.seg = &s->cpu;
}

/* ---- what is known of the place
 * ----------------------------------------------- */

static void rights_text(char *buf, u64 vm_flags)
{
	snprintf(buf, 8, "%c%c%c%c", vm_flags & VM_READ ? 'r' : '-',
		 vm_flags & VM_WRITE ? 'w' : '-',
		 vm_flags & VM_EXEC ? 'x' : '-',
		 vm_flags & VM_SHARED ? 's' : 'p');
}

static const char *sample_name(const struct sim_explain *s, uva_t va)
{
	for (u32 i = 0; i < ARRAY_SIZE(samples); i++) {
		u64 off = va - sample_at(s, &samples[i]);

		if (off < samples[i].pages * PAGE_SIZE)
			return samples[i].name;
	}
	return va >= s->stack ? "stack" : "";
}

/* What the kernel's handler makes of a fault there. */
static const char *handler_does(const struct sim_explain *s,
				const struct vm_area_struct *vma)
{
	enum seg_access access = s->q->access;
	u64 need = access == SEG_WRITE	 ? VM_WRITE
		   : access == SEG_FETCH ? VM_EXEC
					 : VM_READ;

	if (!(vma->vm_flags & need))
		return "the mapping forbids it: SIGSEGV";
	return "the mapping allows it: the page is brought in or copied, and "
	       "the access is repeated";
}

static void say_mapping(const struct sim_explain *s, uva_t va, bool found)
{
	struct vm_area_struct *vma = find_vma(s->mm, va);
	char rights[8];

	if (!vma_contains(vma, va)) {
		doc_block(s->d, "mapping", "No mapping of the process");
		if (vma && (vma->vm_flags & VM_GROWSDOWN))
			doc_str(s->d, "above",
				"0x%llx: a stack, which grows "
				"down as far as its limit",
				LLU(vma->vm_start));
		return;
	}
	rights_text(rights, vma->vm_flags);
	if (s->who)
		doc_block(s->d, "mapping", "Mapping of %s", s->who(s->mm));
	else
		doc_block(s->d, "mapping", "Mapping %s of the sample process",
			  sample_name(s, va));
	doc_str(s->d, "range", "0x%llx-0x%llx %s %s%s", LLU(vma->vm_start),
		LLU(vma->vm_end), rights,
		vma->vm_file && vma->vm_file->f_path ? vma->vm_file->f_path
						     : "anonymous",
		vma->vm_flags & VM_GROWSDOWN ? ", grows down" : "");
	if (!found)
		doc_str(s->d, "handler", "%s", handler_does(s, vma));
}

static void say_kernel(const struct sim_explain *s, u64 va)
{
	if (va < s->fmt->kernel_start)
		return;
	if (s->gdt && va - s->gdt < PAGE_SIZE)
		doc_block(s->d, "mapping", "Kernel: the CPU's GDT");
	else if (va - pgtable_sys.layout.page_offset < direct_end())
		doc_block(s->d, "mapping",
			  "Kernel: direct map, 0x%llx + "
			  "physical address",
			  LLU(pgtable_sys.layout.page_offset));
	else
		doc_block(
			s->d, "mapping", "Kernel: %s",
			kl_kind_text(kernel_layout_find(&pgtable_sys.layout, va)
					     ->kind));
}

/* Is P inside a free block that begins before it? */
static bool in_free_block(const struct page *p)
{
	u64 pfn = page_to_pfn(p);

	for (unsigned int order = 1; order < MAX_ORDER; order++) {
		u64 head = ALIGN_DOWN(pfn, 1UL << order);
		const struct page *h;

		if (!pfn_valid(head))
			return false;
		h = pfn_to_page(head);
		if (PageBuddy(h) && buddy_order(h) >= order)
			return true;
	}
	return false;
}

const char *explain_frame_use(struct page *p)
{
	if (PageReserved(p))
		return "reserved at boot";
	if (PageBuddy(p))
		return "free, first of a block in the buddy lists";
	if (PageTable(p))
		return "a page table";
	if (PageSlab(p))
		return "slab objects";
	if (page_to_pfn(p) == space_sys.zero_pfn)
		return "the zero page";
	if (in_free_block(p))
		return "free, inside a block of the buddy lists";
	if (page_count(p) == 0)
		return "not in use (kept by a CPU, or inside a larger block)";
	if (PageKsm(p))
		return "anonymous memory, shared by its contents (KSM)";
	if (PageAnon(p))
		return "anonymous memory of processes";
	if (PageLRU(p) || page_mapped(p))
		return "the page cache";
	return "the kernel's own";
}

struct mappers {
	const struct sim_explain *s;
	char text[128];
	size_t len;
};

/* One VMA that may map the page: does it? */
static bool note_mapper(struct page *page, struct vm_area_struct *vma,
			uva_t addr, void *arg)
{
	struct mappers *m = arg;
	const char *name = vma->vm_mm == m->s->mm ? "the sample process"
						  : "the process it forked";
	struct pt_slot slot;

	if (m->s->who)
		name = m->s->who(vma->vm_mm);

	if (!page_vma_slot(page, vma, addr, &slot))
		return true;
	pt_unlock(&slot);
	if (m->len < sizeof(m->text))
		m->len += (size_t)snprintf(
			m->text + m->len, sizeof(m->text) - m->len,
			"%s0x%llx of %s", m->len ? ", " : "", LLU(addr), name);
	return true;
}

/* Who maps the frame: through the reverse map. */
static void say_mappers(const struct sim_explain *s, struct page *page)
{
	struct mappers m = {.s = s};
	struct rmap_walk_control rwc = {.arg = &m, .rmap_one = note_mapper};

	if (!page_mapped(page) || !PageAnon(page))
		return;
	rmap_walk(page, &rwc);
	if (m.len)
		doc_str(s->d, "mapped at", "%s", m.text);
}

/* Descriptors of large machines are made when they are needed. */
static bool is_deferred(u64 pfn)
{
	return pfn < phys_sys.hot.max_pfn &&
	       phys_sys.sections[pfn >> PFN_SECTION_SHIFT].state ==
		       SECTION_DEFERRED;
}

static void say_frame(const struct sim_explain *s, u64 pfn)
{
	struct doc *d = s->d;
	struct page *p;
	char buf[256];
	struct seq_buf flags;

	if (!pfn_valid(pfn)) {
		doc_block(d, "frame", "Frame 0x%llx has no descriptor%s",
			  LLU(pfn),
			  is_deferred(pfn) ? " yet: free, never used" : "");
		return;
	}
	p = pfn_to_page(pfn);
	seq_buf_init(&flags, buf, sizeof(buf));
	name_page_flags(&flags, p->flags);
	doc_block(d, "frame", "Frame 0x%llx: %s", LLU(pfn),
		  explain_frame_use(p));
	doc_hex(d, "pfn", pfn);
	doc_dec(d, "node", (u64)page_to_nid(p));
	doc_str(d, "zone", "%s", page_zone(p)->name);
	doc_str(d, "block", "pageblock %llu, %s", LLU(page_block(p)),
		migratetype_names[get_pageblock_migratetype(p)]);
	doc_str(d, "flags", "%s", p->flags ? seq_buf_str(&flags) : "none");
	doc_dec(d, "refcount", (u64)page_count(p));
	doc_dec(d, "mapcount", (u64)page_mapcount(p));
	if (PageBuddy(p))
		doc_dec(d, "order", buddy_order(p));
	if (PageAnon(p) && page_mapped(p))
		doc_hex(d, "index", page_index(p));
	say_mappers(s, p);
}

static void tell_place(struct doc *d, const struct explain_target *t,
		       u64 linear, const struct paging_walk *w, bool found)
{
	const struct sim_explain *s = t->arg;

	mm_assert(d == s->d);

	if (w->reason == PAGING_NONCANONICAL)
		return;
	if (linear < t->fmt->user_end)
		say_mapping(s, linear, found);
	else
		say_kernel(s, linear);
	if (found)
		say_frame(s, w->pa >> PAGE_SHIFT);
}

/* ---- all of it
 * ----------------------------------------------------------------- */

static void list_mapping(struct sim_explain *s, uva_t at, const char *name,
			 const char *shows)
{
	struct vm_area_struct *vma = find_vma(s->mm, at);
	char rights[8];

	mm_verify(vma_contains(vma, at));
	rights_text(rights, vma->vm_flags);
	doc_block(s->d, "sample", "0x%llx-0x%llx %s %s: %s", LLU(vma->vm_start),
		  LLU(vma->vm_end), rights, name, shows);
	doc_hex(s->d, "address", at);
	doc_str(s->d, "name", "%s", name);
}

static void list_samples(struct sim_explain *s)
{
	struct mm_layout l;

	mm_default_layout(&l);
	s->d->result = "list";
	for (u32 i = 0; i < ARRAY_SIZE(samples); i++)
		list_mapping(s, sample_at(s, &samples[i]), samples[i].name,
			     samples[i].shows);
	list_mapping(s, l.stack_top - PAGE_SIZE, "stack",
		     "its last two pages are in memory");
	doc_block(s->d, "sample", "0x%llx kernel: the direct map of RAM",
		  LLU(pgtable_sys.layout.page_offset));
	doc_hex(s->d, "address", pgtable_sys.layout.page_offset);
	if (!kernel_layout_region(&pgtable_sys.layout, KL_CPU_ENTRY) || !s->gdt)
		return;
	doc_block(s->d, "sample", "0x%llx kernel: the GDT", LLU(s->gdt));
	doc_hex(s->d, "address", s->gdt);
}

static void setup_target(struct sim_explain *s)
{
	const struct paging_format *f = s->fmt;
	struct explain_target *t = &s->target;

	t->fmt = f;
	t->paging = t->tables = true;
	paging_cpu_init(&t->cpu, f, PFN_PHYS(s->mm->pt.root_pfn),
			f->kind == PAGING_X86_64);
	t->cpu.root_high = PFN_PHYS(pgtable_sys.master.root_pfn);
	t->mem.read = machine_ram_read;
	t->tlb = explain_tlb;
	t->asid = s->mm->asid;
	t->tell = tell_place;
	t->arg = s;
}

static bool wants_user(const struct explain_query *q)
{
	if (q->who)
		return q->who == EXPLAIN_USER;
	return q->has_sel && seg_sel_rpl(q->sel) == 3;
}

static int body(void *arg)
{
	struct sim_explain *s = arg;
	u32 error;

	s->fmt = space_sys.format;
	make_process(s);
	if (s->fmt->kind != PAGING_ARM64)
		make_gdt(s);
	setup_target(s);
	if (s->fmt->kind != PAGING_ARM64)
		setup_segments(s, s->q && wants_user(s->q));
	/* The CPU has read a descriptor, for the code that runs. */
	if (s->gdt)
		(void)sim_kernel(s->gdt, SIM_READ, &error);
	if (s->q)
		explain_address(s->d, &s->target, s->q);
	else
		list_samples(s);
	drop_gdt(s);
	end_process(s);
	return 0;
}

void explain_sim(struct doc *d, const struct machine_opts *o,
		 const struct explain_query *q)
{
	static struct sim_explain s;

	s = (struct sim_explain){.d = d, .o = o, .q = q};
	machine_run(o, body, &s);
}

void explain_process(struct doc *d, struct mm_struct *mm,
		     const struct explain_query *q, explain_who_fn *who)
{
	static struct sim_explain s;

	s = (struct sim_explain){
		.d = d, .q = q, .mm = mm, .who = who, .fmt = space_sys.format};
	setup_target(&s);
	explain_address(d, &s.target, q);
}
