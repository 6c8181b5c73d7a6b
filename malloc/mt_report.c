/* SPDX-License-Identifier: MIT */
/*
 * mt_report.c - what the library knows of itself: counts, malloc_stats(), and
 * the statistics at exit that MMKIT_OPTIONS asks for.
 *
 * Objects in magazines of threads count as used: only their threads may look.
 */
#include <string.h>
#include <unistd.h>

#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/seqbuf.h"
#include "kmem/slab.h"
#include "mt.h"
#include "report/report.h"

#define LLU(x) ((unsigned long long)(x))

/* Objects that are free: in slabs, in the depot. Entered. */
static void count_free(struct mt_counts *out)
{
	out->nr_free = out->nr_depot = 0;
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		struct kmem_cache *s =
			__atomic_load_n(&mt_sys.cache[c], __ATOMIC_ACQUIRE);
		struct slab_count n = {0};

		if (s)
			slab_counts(s, &n);
		out->nr_free += n.objects - min(n.objects, n.active);
		out->nr_depot +=
			(u64)READ_ONCE(mt_sys.depot[c].nr) * mt_sys.cap_of[c];
	}
}

void mt_count(struct mt_counts *out)
{
	s64 dirty = __atomic_load_n(&mt_sys.nr_dirty, __ATOMIC_RELAXED);
	u64 used;

	mt_enter();
	used = totalram_pages() - nr_free_pages();
	count_free(out);
	mt_pack_count(&out->packs, &out->packed);
	mt_leave();
	used = used > mt_sys.boot_frames ? used - mt_sys.boot_frames : 0;
	out->ram = PFN_PHYS((u64)max(dirty, (s64)0));
	out->cached = (u64)max(
		__atomic_load_n(&mt_sys.depot_bytes, __ATOMIC_RELAXED), 0l);
	out->used = PFN_PHYS(used);
	out->used -= min(out->used, out->cached);
	out->mapped = (u64)__atomic_load_n(&mt_sys.map_bytes, __ATOMIC_RELAXED);
	out->nr_maps = (u64)__atomic_load_n(&mt_sys.nr_maps, __ATOMIC_RELAXED);
}

static void to_fd(void *arg, const char *text, size_t len)
{
	int fd = *(const int *)arg;

	while (len) {
		ssize_t n = write(fd, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

/* DEPOT: of each class, objects in the depots. */
static void put_classes(struct seq_buf *s, const u32 *depot)
{
	seq_puts(s, "malloc class: size, objects out of slabs, packs or "
		    "frames, in the depot\n");
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		struct kmem_cache *k =
			__atomic_load_n(&mt_sys.cache[c], __ATOMIC_ACQUIRE);
		u64 nr = k ? kmem_cache_active(k) : 0;

		if (!mt_in_slabs(c))
			nr = mt_class_objects(c);
		if (nr || depot[c])
			seq_printf(s, "%6u %10llu %10llu\n", mt_sys.size_of[c],
				   LLU(nr), LLU(depot[c]));
	}
}

void mt_print_stats(int fd)
{
	u32 depot[MT_NR_CLASSES];
	char text[512];
	struct mt_counts n;
	struct seq_buf s;

	mt_count(&n);
	seq_buf_init_sink(&s, text, sizeof(text), to_fd, &fd);
	seq_printf(&s, "mmkit-malloc: RAM touched %llu KiB, used %llu KiB, ",
		   LLU(n.ram >> 10), LLU(n.used >> 10));
	seq_printf(&s, "in the depot %llu KiB\n", LLU(n.cached >> 10));
	seq_printf(&s, "packs: %llu KiB, %llu KiB of it objects\n",
		   LLU(n.packs >> 10), LLU(n.packed >> 10));
	seq_printf(&s, "mappings: %llu, %llu KiB; trims: %llu; own: %llu KiB\n",
		   LLU(n.nr_maps), LLU(n.mapped >> 10),
		   LLU(READ_ONCE(mt_sys.nr_trims)),
		   LLU(mt_sys.meta_bytes >> 10));
	mt_depot_count(depot);
	mt_enter();
	put_classes(&s, depot);
	mt_leave();
	seq_buf_flush(&s);
}

void mt_at_exit(void)
{
	int fd = mt_sys.stats_fd;
	char text[512];
	struct seq_buf s;

	if (READ_ONCE(mt_sys.state) != 2)
		return;
	mt_cache_check();
	mt_guard_check();
	if (mt_sys.opt.stats)
		mt_print_stats(fd);
	if (!mt_sys.opt.slabinfo && !mt_sys.opt.stats)
		return;
	mt_cache_flush();
	seq_buf_init_sink(&s, text, sizeof(text), to_fd, &fd);
	mt_enter();
	show_slabinfo(&s);
	mt_leave();
	seq_buf_flush(&s);
}
