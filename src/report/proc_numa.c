/* SPDX-License-Identifier: MIT */
/*
 * proc_numa.c - /proc/PID/numa_maps: the policy of each mapping, and where its
 * pages are.
 *
 * The policy that is shown is the one in effect: the mapping's own, else the
 * task's. Only what differs from what a reader would assume is written: counts
 * that are not 0, "mapped" if it is neither "anon" nor "dirty", "active" if it
 * is not all pages.
 *
 * References: numa(7), "numa_maps"; Linux documentation, filesystems/tmpfs
 * (how policies are written), filesystems/proc.
 */
#include "base/bitops.h"
#include "base/string.h"
#include "phys/mmzone.h"
#include "report/proc_pid.h"
#include "space/mempolicy.h"

struct numa_pages {
	u64 pages, anon, active, writeback, dirty, swapcache;
	int mapcount_max;
	u64 node[MM_MAX_NODES];
};

static void count_numa(struct vm_area_struct *vma, const struct pt_slot *slot,
		       uva_t addr, void *arg)
{
	struct numa_pages *n = arg;
	pte_t e = pt_get(slot);
	struct page *page;

	(void)vma;
	(void)addr;
	if (!pte_present(e) || pte_special(e))
		return;
	page = pfn_to_page(pte_pfn(e));
	n->pages++;
	n->anon += PageAnon(page);
	n->active += PageActive(page) || PageUnevictable(page);
	n->writeback += PageWriteback(page);
	n->dirty += pte_dirty(e) || PageDirty(page);
	n->swapcache += PageSwapCache(page);
	n->mapcount_max = max(n->mapcount_max, page_mapcount(page));
	n->node[zone_to_nid(page_zone(page))]++;
}

/* NODES as "0-2,5". */
static void put_nodes(struct seq_buf *out, nodemask_t nodes)
{
	const char *comma = "";

	while (nodes) {
		unsigned int first = __ffs(nodes), last = first;

		while (last < 63 && (nodes & NODE_MASK(last + 1)))
			last++;
		seq_printf(out, first == last ? "%s%u" : "%s%u-%u", comma,
			   first, last);
		nodes &= last == 63 ? 0 : ~(NODE_MASK(last + 1) - 1);
		comma = ",";
	}
}

void proc_put_policy(struct seq_buf *out, const struct mempolicy *pol)
{
	static const char *const names[MPOL_MAX] = {
		[MPOL_DEFAULT] = "default",
		[MPOL_PREFERRED] = "prefer",
		[MPOL_BIND] = "bind",
		[MPOL_INTERLEAVE] = "interleave",
		[MPOL_LOCAL] = "local",
		[MPOL_PREFERRED_MANY] = "prefer (many)",
		[MPOL_WEIGHTED_INTERLEAVE] = "weighted interleave",
	};
	u32 flags = mpol_flags(pol);
	nodemask_t nodes = mpol_nodes(pol);

	seq_puts(out, names[mpol_mode(pol)]);
	if (flags & MPOL_F_STATIC_NODES)
		seq_puts(out, "=static");
	else if (flags & MPOL_F_RELATIVE_NODES)
		seq_puts(out, "=relative");
	if (flags & MPOL_F_NUMA_BALANCING)
		seq_puts(out,
			 flags & MPOL_NODE_FLAGS ? "|balancing" : "=balancing");
	if (nodes) {
		seq_putc(out, ':');
		put_nodes(out, nodes);
	}
}

static void put_name(struct seq_buf *out, const char *name)
{
	if (!name)
		return;
	if (mm_strcmp(name, "[heap]") == 0)
		seq_puts(out, " heap");
	else if (mm_strcmp(name, "[stack]") == 0)
		seq_puts(out, " stack");
	else
		seq_printf(out, " file=%s", name);
}

static void put_count(struct seq_buf *out, const char *name, u64 count)
{
	if (count)
		seq_printf(out, " %s=%llu", name, LLU(count));
}

static void put_pages(struct seq_buf *out, const struct numa_pages *n)
{
	put_count(out, "anon", n->anon);
	put_count(out, "dirty", n->dirty);
	if (n->pages != n->anon && n->pages != n->dirty)
		put_count(out, "mapped", n->pages);
	if (n->mapcount_max > 1)
		put_count(out, "mapmax", (u64)n->mapcount_max);
	put_count(out, "swapcache", n->swapcache);
	if (n->active < n->pages)
		seq_printf(out, " active=%llu", LLU(n->active));
	put_count(out, "writeback", n->writeback);
	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		if (n->node[nid])
			seq_printf(out, " N%d=%llu", nid, LLU(n->node[nid]));
	seq_printf(out, " kernelpagesize_kB=%llu", LLU(PAGE_SIZE >> 10));
}

void show_pid_numa_maps(const struct proc_task *t, struct seq_buf *out)
{
	struct vm_area_struct *vma;
	struct proc_vma v = {0};
	bool more = t->mm != NULL;

	while (more) {
		struct mempolicy *pol = NULL;
		struct numa_pages n = {0};
		int home;

		mmap_read_lock(t->mm);
		more = proc_vma_next(t->mm, v.end, &v, &vma);
		if (more) {
			proc_walk(vma, v.start, v.end, count_numa, &n);
			pol = vma_policy_at(vma, v.start, &home);
		}
		mmap_read_unlock(t->mm);
		if (!more)
			break;
		seq_printf(out, "%08llx ", LLU(v.start));
		proc_put_policy(out, pol ? pol : t->mempolicy);
		put_name(out, v.name);
		if (n.pages)
			put_pages(out, &n);
		seq_putc(out, '\n');
		mpol_put(pol);
		proc_vma_put(&v);
	}
}
