/* SPDX-License-Identifier: MIT */
/*
 * mt_info.c - mallinfo(3), malloc_info(3), malloc_trim(3), malloc_stats(3).
 *
 * What the man pages call fastbin blocks are the objects of magazines in the
 * depot: free, kept by size, not merged. Other free blocks are free objects in
 * slabs. What lies in magazines of threads counts as allocated: only their
 * threads may look. There is one arena, RAM; blocks from mmap(2) are the
 * mappings.
 *
 * References: mallinfo(3), malloc_info(3), malloc_trim(3), Linux man-pages.
 */
#include <errno.h>
#include <malloc.h>
#include <unistd.h>

#include "base/seqbuf.h"
#include "kmem/slab.h"
#include "mt.h"

#define LLU(x) ((unsigned long long)(x))

struct mallinfo2 mt_mallinfo2(void)
{
	struct mallinfo2 mi = {0};
	struct mt_counts n;

	if (!mt_up())
		return mi;
	mt_count(&n);
	mi.arena = n.ram;
	mi.ordblks = n.nr_free;
	mi.smblks = n.nr_depot;
	mi.fsmblks = n.cached;
	mi.hblks = n.nr_maps;
	mi.hblkhd = n.mapped;
	mi.uordblks = n.used + n.mapped;
	mi.fordblks = n.ram > n.used ? n.ram - n.used : 0;
	mi.keepcost = mi.fordblks;
	return mi;
}

struct mallinfo mt_mallinfo(void)
{
	struct mallinfo2 mi = mt_mallinfo2();

	return (struct mallinfo){
		.arena = (int)mi.arena,
		.ordblks = (int)mi.ordblks,
		.smblks = (int)mi.smblks,
		.hblks = (int)mi.hblks,
		.hblkhd = (int)mi.hblkhd,
		.fsmblks = (int)mi.fsmblks,
		.uordblks = (int)mi.uordblks,
		.fordblks = (int)mi.fordblks,
		.keepcost = (int)mi.keepcost,
	};
}

void mt_malloc_stats(void)
{
	if (mt_up())
		mt_print_stats(STDERR_FILENO);
}

/*
 * All that is free goes, but for PAD bytes: pages that are dirty and free are
 * counted first.
 */
int mt_malloc_trim(size_t pad)
{
	struct mt_counts n;

	if (!mt_up())
		return 0;
	mt_cache_check();
	mt_guard_check();
	mt_cache_flush();
	mt_count(&n);
	if (pad && n.ram <= n.used + n.cached + pad)
		return 0;
	return mt_trim() > 0;
}

/* ---- malloc_info
 * -------------------------------------------------------------- */

/* Objects. All of them stand on the stack; a depot has half a MiB at most. */
struct class_info {
	u64 in_use;
	u64 in_slabs : 44, in_depot : 20;
};

/* Printing may allocate, so it comes after counting. */
static MM_NOINLINE void count_classes(struct class_info *info)
{
	u32 depot[MT_NR_CLASSES];

	mt_depot_count(depot);
	mt_enter();
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		struct kmem_cache *s =
			__atomic_load_n(&mt_sys.cache[c], __ATOMIC_ACQUIRE);
		struct slab_count n = {0};

		if (s)
			slab_counts(s, &n);
		if (!mt_in_slabs(c))
			n.active = n.objects = mt_class_objects(c);
		info[c].in_depot = depot[c];
		info[c].in_use = n.active - min(n.active, (u64)depot[c]);
		info[c].in_slabs = n.objects - min(n.objects, n.active);
	}
	mt_leave();
}

static void print_sizes(const struct class_info *info, FILE *out)
{
	fputs("<sizes>\n", out);
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		u64 nr = (u64)info[c].in_slabs + info[c].in_depot;
		u32 from = c == MT_FIRST ? 0 : mt_sys.size_of[c - 1] + 1;

		if (nr)
			fprintf(out,
				"  <size from=\"%u\" to=\"%u\" total=\"%llu\" "
				"count=\"%llu\"/>\n",
				from, mt_sys.size_of[c],
				LLU(nr * mt_sys.size_of[c]), LLU(nr));
	}
	fputs("</sizes>\n<classes>\n", out);
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		if (info[c].in_use || info[c].in_slabs || info[c].in_depot)
			fprintf(out,
				"  <class size=\"%u\" used=\"%llu\" "
				"slabs=\"%llu\" depot=\"%llu\"/>\n",
				mt_sys.size_of[c], LLU(info[c].in_use),
				LLU(info[c].in_slabs), LLU(info[c].in_depot));
	}
	fputs("</classes>\n", out);
}

static void print_totals(const struct class_info *info,
			 const struct mt_counts *n, FILE *out)
{
	u64 fast = 0, fast_bytes = 0, rest = 0, rest_bytes = 0;

	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		u64 depot = info[c].in_depot, slabs = info[c].in_slabs;

		fast += depot;
		fast_bytes += depot * mt_sys.size_of[c];
		rest += slabs;
		rest_bytes += slabs * mt_sys.size_of[c];
	}
	fprintf(out, "<total type=\"fast\" count=\"%llu\" size=\"%llu\"/>\n",
		LLU(fast), LLU(fast_bytes));
	fprintf(out, "<total type=\"rest\" count=\"%llu\" size=\"%llu\"/>\n",
		LLU(rest), LLU(rest_bytes));
	fprintf(out, "<total type=\"mmap\" count=\"%llu\" size=\"%llu\"/>\n",
		LLU(n->nr_maps), LLU(n->mapped));
	fprintf(out, "<system type=\"current\" size=\"%llu\"/>\n", LLU(n->ram));
	fprintf(out, "<system type=\"max\" size=\"%llu\"/>\n",
		LLU(__atomic_load_n(&mt_sys.ram_end, __ATOMIC_ACQUIRE)));
	fprintf(out, "<aspace type=\"total\" size=\"%llu\"/>\n",
		LLU(mt_sys.span));
	fprintf(out, "<aspace type=\"mprotect\" size=\"%llu\"/>\n",
		LLU(mt_sys.span));
}

int mt_malloc_info(int options, FILE *out)
{
	struct class_info info[MT_NR_CLASSES] = {0};
	struct mt_counts n;

	if (options) {
		errno = EINVAL;
		return -1;
	}
	if (!mt_up()) {
		errno = ENOMEM;
		return -1;
	}
	mt_count(&n);
	count_classes(info);
	fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n", out);
	print_sizes(info, out);
	print_totals(info, &n, out);
	fputs("</heap>\n", out);
	print_totals(info, &n, out);
	fputs("</malloc>\n", out);
	return ferror(out) ? -1 : 0;
}
