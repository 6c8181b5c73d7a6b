/* SPDX-License-Identifier: MIT */
/*
 * proc_smaps.c - /proc/PID/smaps and smaps_rollup: what is in each mapping.
 *
 * Each entry is looked at. A page counts as shared when more than one entry
 * maps it, dirty when its entry or the page says so. The proportional set
 * size divides a page by the number of entries that map it; fractions are
 * kept in units of 2^-12 byte, so that the sum over all processes is what
 * they use together to within a byte a page.
 */
#include "cache/swap.h"
#include "report/proc_pid.h"
#include "space/rmap.h"

#define PSS_SHIFT 12

struct mem_size {
	u64 rss, shared_clean, shared_dirty, private_clean, private_dirty;
	u64 referenced, anonymous, lazyfree, huge, swap;   /* bytes */
	u64 pss, pss_anon, pss_file, pss_shmem, pss_dirty; /* << 12 */
	u64 pss_locked, swap_pss;			   /* << 12 */
};

static void count_pss(struct mem_size *m, const struct page *page, u64 pss,
		      bool dirty)
{
	m->pss += pss;
	if (PageAnon(page))
		m->pss_anon += pss;
	else if (PageSwapBacked(page))
		m->pss_shmem += pss;
	else
		m->pss_file += pss;
	if (dirty)
		m->pss_dirty += pss;
}

static void count_page(struct mem_size *m, struct page *page, pte_t e,
		       bool locked)
{
	int mapcount = max(page_mapcount(page), 1);
	bool dirty = pte_dirty(e) || PageDirty(page);
	u64 pss = ((u64)PAGE_SIZE << PSS_SHIFT) / (u64)mapcount;

	m->rss += PAGE_SIZE;
	if (PageAnon(page)) {
		m->anonymous += PAGE_SIZE;
		if (!PageSwapBacked(page) && !dirty)
			m->lazyfree += PAGE_SIZE;
	}
	if (pte_young(e) || PageReferenced(page))
		m->referenced += PAGE_SIZE;
	if (mapcount > 1)
		*(dirty ? &m->shared_dirty : &m->shared_clean) += PAGE_SIZE;
	else
		*(dirty ? &m->private_dirty : &m->private_clean) += PAGE_SIZE;
	count_pss(m, page, pss, dirty);
	if (locked)
		m->pss_locked += pss;
}

static void count_entry(struct vm_area_struct *vma, const struct pt_slot *slot,
			uva_t addr, void *arg)
{
	struct mem_size *m = arg;
	pte_t e = pt_get(slot);

	(void)addr;
	if (pte_in_swap(e)) {
		u32 users = max(swap_count(pte_to_swp_entry(e)), 1u);

		m->swap += PAGE_SIZE;
		m->swap_pss += ((u64)PAGE_SIZE << PSS_SHIFT) / users;
	} else if (pte_migrating(e)) {
		count_page(m, migrating_page(e), e,
			   (vma->vm_flags & VM_LOCKED) != 0);
	} else if (pte_present(e) && !pte_special(e)) {
		count_page(m, pfn_to_page(pte_pfn(e)), e,
			   (vma->vm_flags & VM_LOCKED) != 0);
		if (pt_promoted(slot->table))
			m->huge += PAGE_SIZE;
	}
}

static void put_bytes(struct seq_buf *out, const char *name, u64 bytes)
{
	seq_printf(out, "%-16s%8llu kB\n", name, LLU(bytes >> 10));
}

static void put_pss(struct seq_buf *out, const char *name, u64 pss)
{
	put_bytes(out, name, pss >> PSS_SHIFT);
}

/* The block that mappings and the sum have in common. */
static void put_sizes(struct seq_buf *out, const struct mem_size *m,
		      bool rollup)
{
	put_bytes(out, "Rss:", m->rss);
	put_pss(out, "Pss:", m->pss);
	put_pss(out, "Pss_Dirty:", m->pss_dirty);
	if (rollup) {
		put_pss(out, "Pss_Anon:", m->pss_anon);
		put_pss(out, "Pss_File:", m->pss_file);
		put_pss(out, "Pss_Shmem:", m->pss_shmem);
	}
	put_bytes(out, "Shared_Clean:", m->shared_clean);
	put_bytes(out, "Shared_Dirty:", m->shared_dirty);
	put_bytes(out, "Private_Clean:", m->private_clean);
	put_bytes(out, "Private_Dirty:", m->private_dirty);
	put_bytes(out, "Referenced:", m->referenced);
	put_bytes(out, "Anonymous:", m->anonymous);
	put_bytes(out, "LazyFree:", m->lazyfree);
	put_bytes(out, "AnonHugePages:", m->huge);
	/* Files have none, and there is no hugetlbfs. */
	put_bytes(out, "ShmemPmdMapped:", 0);
	put_bytes(out, "FilePmdMapped:", 0);
	put_bytes(out, "Shared_Hugetlb:", 0);
	put_bytes(out, "Private_Hugetlb:", 0);
	put_bytes(out, "Swap:", m->swap);
	put_pss(out, "SwapPss:", m->swap_pss);
	put_pss(out, "Locked:", m->pss_locked);
}

/* proc(5): VmFlags, in the order of the bits. */
static const struct {
	u64 flag;
	char name[3];
} flag_names[] = {
	{VM_READ, "rd"},	 {VM_WRITE, "wr"},	 {VM_EXEC, "ex"},
	{VM_SHARED, "sh"},	 {VM_MAYREAD, "mr"},	 {VM_MAYWRITE, "mw"},
	{VM_MAYEXEC, "me"},	 {VM_MAYSHARE, "ms"},	 {VM_GROWSDOWN, "gd"},
	{VM_UFFD_MISSING, "um"}, {VM_UFFD_WP, "uw"},	 {VM_LOCKED, "lo"},
	{VM_SEQ_READ, "sr"},	 {VM_RAND_READ, "rr"},	 {VM_DONTCOPY, "dc"},
	{VM_DONTEXPAND, "de"},	 {VM_LOCKONFAULT, "lf"}, {VM_ACCOUNT, "ac"},
	{VM_NORESERVE, "nr"},	 {VM_WIPEONFORK, "wf"},	 {VM_DONTDUMP, "dd"},
	{VM_SOFTDIRTY, "sd"},	 {VM_HUGEPAGE, "hg"},	 {VM_NOHUGEPAGE, "nh"},
	{VM_MERGEABLE, "mg"},	 {VM_UFFD_MINOR, "ui"},
};

static void put_flags(struct seq_buf *out, u64 flags)
{
	seq_puts(out, "VmFlags: ");
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (flags & flag_names[i].flag)
			seq_printf(out, "%s ", flag_names[i].name);
	seq_putc(out, '\n');
}

static void put_smap(struct seq_buf *out, const struct proc_vma *v,
		     const struct mem_size *m)
{
	proc_put_range(out, v);
	put_bytes(out, "Size:", v->end - v->start);
	put_bytes(out, "KernelPageSize:", PAGE_SIZE);
	put_bytes(out, "MMUPageSize:", PAGE_SIZE);
	put_sizes(out, m, false);
	seq_printf(out, "THPeligible:    %d\n", v->thp_eligible);
	put_flags(out, v->flags);
}

bool show_pid_smaps_next(const struct proc_task *t, uva_t *at,
			 struct seq_buf *out)
{
	struct vm_area_struct *vma;
	struct mem_size m = {0};
	struct proc_vma v;
	bool found;

	mmap_read_lock(t->mm);
	found = proc_vma_next(t->mm, *at, &v, &vma);
	if (found)
		proc_walk(vma, v.start, v.end, count_entry, &m);
	mmap_read_unlock(t->mm);
	if (!found)
		return false;
	put_smap(out, &v, &m);
	proc_vma_put(&v);
	*at = v.end;
	return true;
}

/* All mappings in one look; the sum is true as a whole. */
static void count_space(struct mm_struct *mm, struct mem_size *m,
			struct proc_vma *v)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = vma_first(mm);
	v->start = vma ? vma->vm_start : 0;
	for (; vma; vma = vma_next(vma)) {
		proc_walk(vma, vma->vm_start, vma->vm_end, count_entry, m);
		v->end = vma->vm_end;
	}
	mmap_read_unlock(mm);
}

void show_pid_smaps_rollup(const struct proc_task *t, struct seq_buf *out)
{
	struct proc_vma v = {.name = "[rollup]"};
	struct mem_size m = {0};

	if (!t->mm)
		return;
	count_space(t->mm, &m, &v);
	proc_put_range(out, &v);
	put_sizes(out, &m, true);
}
