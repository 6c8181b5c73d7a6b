/* SPDX-License-Identifier: MIT */
/*
 * memcg_show.c - the files of a memory control group: their text, and what is
 * written to them.
 *
 * Names, order of lines and units are those of Linux 6.1. A figure is for the
 * group and all below it, but for memory.events.local. Lines whose subject does
 * not exist here (huge pages, sockets) say 0.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2, accounting/psi.
 */
#include <mmkit/errno.h>
#include <mmkit/memcg.h>
#include <mmkit/percpu.h>
#include <mmkit/vmalloc.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "memcg/limits.h"
#include "pgtable/huge.h"
#include "phys/vmstat.h"
#include "report/report.h"

typedef unsigned long long llu;

/* ---- memory.stat
 * -------------------------------------------------------------------- */

/* Where a line's figure comes from: an item, in which units; or a sum. */
enum stat_kind {
	STAT_PAGES,
	STAT_BYTES,
	STAT_KIB,
	STAT_THP,
	STAT_COUNT,
	STAT_LRU,
	STAT_FILE,
	STAT_KERNEL,
	STAT_PERCPU,
	STAT_SLAB,
	STAT_VMALLOC,
	STAT_PGSCAN,
	STAT_PGSTEAL,
	STAT_NONE
};

static const struct stat_line {
	const char *name;
	u8 kind;
	u8 item;
	u8 event; /* STAT_COUNT of the root: enum vm_event_item */
} stat_lines[] = {
	{"anon", STAT_PAGES, NR_ANON_MAPPED, 0},
	{"file", STAT_FILE, 0, 0},
	{"kernel", STAT_KERNEL, 0, 0},
	{"kernel_stack", STAT_KIB, NR_KERNEL_STACK_KB, 0},
	{"pagetables", STAT_PAGES, NR_PAGETABLE, 0},
	{"sec_pagetables", STAT_PAGES, NR_SECONDARY_PAGETABLE, 0},
	{"percpu", STAT_PERCPU, 0, 0},
	{"sock", STAT_NONE, 0, 0},
	{"vmalloc", STAT_VMALLOC, 0, 0},
	{"shmem", STAT_PAGES, NR_SHMEM, 0},
	{"file_mapped", STAT_PAGES, NR_FILE_MAPPED, 0},
	{"file_dirty", STAT_PAGES, NR_FILE_DIRTY, 0},
	{"file_writeback", STAT_PAGES, NR_WRITEBACK, 0},
	{"swapcached", STAT_PAGES, NR_SWAPCACHE, 0},
	{"anon_thp", STAT_THP, NR_ANON_THPS, 0},
	{"file_thp", STAT_THP, NR_FILE_THPS, 0},
	{"shmem_thp", STAT_THP, NR_SHMEM_THPS, 0},
	{"inactive_anon", STAT_LRU, LRU_INACTIVE_ANON, 0},
	{"active_anon", STAT_LRU, LRU_ACTIVE_ANON, 0},
	{"inactive_file", STAT_LRU, LRU_INACTIVE_FILE, 0},
	{"active_file", STAT_LRU, LRU_ACTIVE_FILE, 0},
	{"unevictable", STAT_LRU, LRU_UNEVICTABLE, 0},
	{"slab_reclaimable", STAT_BYTES, NR_SLAB_RECLAIMABLE_B, 0},
	{"slab_unreclaimable", STAT_BYTES, NR_SLAB_UNRECLAIMABLE_B, 0},
	{"slab", STAT_SLAB, 0, 0},
	{"workingset_refault_anon", STAT_COUNT, WORKINGSET_REFAULT_ANON, 0},
	{"workingset_refault_file", STAT_COUNT, WORKINGSET_REFAULT_FILE, 0},
	{"workingset_activate_anon", STAT_COUNT, WORKINGSET_ACTIVATE_ANON, 0},
	{"workingset_activate_file", STAT_COUNT, WORKINGSET_ACTIVATE_FILE, 0},
	{"workingset_restore_anon", STAT_COUNT, WORKINGSET_RESTORE_ANON, 0},
	{"workingset_restore_file", STAT_COUNT, WORKINGSET_RESTORE_FILE, 0},
	{"workingset_nodereclaim", STAT_COUNT, WORKINGSET_NODERECLAIM, 0},
	{"pgscan", STAT_PGSCAN, 0, 0},
	{"pgsteal", STAT_PGSTEAL, 0, 0},
	{"pgscan_kswapd", STAT_COUNT, GROUP_PGSCAN_KSWAPD, PGSCAN_KSWAPD},
	{"pgscan_direct", STAT_COUNT, GROUP_PGSCAN_DIRECT, PGSCAN_DIRECT},
	{"pgsteal_kswapd", STAT_COUNT, GROUP_PGSTEAL_KSWAPD, PGSTEAL_KSWAPD},
	{"pgsteal_direct", STAT_COUNT, GROUP_PGSTEAL_DIRECT, PGSTEAL_DIRECT},
	{"pgfault", STAT_COUNT, GROUP_PGFAULT, PGFAULT},
	{"pgmajfault", STAT_COUNT, GROUP_PGMAJFAULT, PGMAJFAULT},
	{"pgrefill", STAT_COUNT, GROUP_PGREFILL, PGREFILL},
	{"pgactivate", STAT_COUNT, GROUP_PGACTIVATE, PGACTIVATE},
	{"pgdeactivate", STAT_COUNT, GROUP_PGDEACTIVATE, PGDEACTIVATE},
	{"pglazyfree", STAT_COUNT, GROUP_PGLAZYFREE, PGLAZYFREE},
	{"pglazyfreed", STAT_COUNT, GROUP_PGLAZYFREED, PGLAZYFREED},
	{"thp_fault_alloc", STAT_COUNT, GROUP_THP_FAULT_ALLOC, THP_FAULT_ALLOC},
	{"thp_collapse_alloc", STAT_NONE, 0, 0},
};

MM_STATIC_ASSERT(NR_GROUP_STATS < 256 && PGLAZYFREED < 256, "items fit");

/* ITEM of MEMCG; of the machine for the root. EVENT: where that is counted. */
static u64 stat_of(struct memcg *memcg, int item, int event)
{
	s64 n;

	if (!memcg && item >= GROUP_EV_BASE)
		return sum_vm_event((enum vm_event_item)event);
	if (!memcg)
		return global_node_page_state(item);
	n = memcg_stat(memcg, item);
	return n > 0 ? (u64)n : 0;
}

/* Of a group: its objects, and blocks that kmalloc() gave whole; of the
 * machine, which is read in pages: slabs. */
static u64 slab_bytes(struct memcg *memcg, int item)
{
	u32 objects = item == NR_SLAB_RECLAIMABLE_B ? OBJCG_SLAB_RECLAIMABLE
						    : OBJCG_SLAB_UNRECLAIMABLE;

	if (!memcg)
		return stat_of(memcg, item, 0) << PAGE_SHIFT;
	return stat_of(memcg, item, 0) + objcg_bytes(memcg, objects);
}

static u64 vmalloc_bytes(struct memcg *memcg)
{
	u64 pages =
		memcg ? stat_of(memcg, GROUP_VMALLOC, 0) : vmalloc_nr_pages();

	return pages << PAGE_SHIFT;
}

static u64 percpu_bytes(struct memcg *memcg)
{
	return memcg ? objcg_bytes(memcg, OBJCG_PERCPU)
		     : pcpu_nr_pages() << PAGE_SHIFT;
}

static u64 all_slab_bytes(struct memcg *memcg)
{
	return slab_bytes(memcg, NR_SLAB_RECLAIMABLE_B) +
	       slab_bytes(memcg, NR_SLAB_UNRECLAIMABLE_B);
}

/* All that is the kernel's: the sum of its rows. */
static u64 kernel_bytes(struct memcg *memcg)
{
	return all_slab_bytes(memcg) + vmalloc_bytes(memcg) +
	       percpu_bytes(memcg) +
	       (stat_of(memcg, NR_PAGETABLE, 0) << PAGE_SHIFT) +
	       (stat_of(memcg, NR_KERNEL_STACK_KB, 0) << 10);
}

static u64 lru_of(struct memcg *memcg, int lru)
{
	return memcg ? memcg_lru(memcg, (enum lru_list)lru, -1)
		     : global_node_page_state(NR_LRU_BASE + lru);
}

static u64 sub_floor(u64 all, u64 less)
{
	return all > less ? all - less : 0;
}

/* Pages of files, those of memory included, the swap cache's not. */
static u64 file_pages(struct memcg *memcg)
{
	u64 all = stat_of(memcg, NR_FILE_PAGES, 0);
	u64 swap = stat_of(memcg, NR_SWAPCACHE, 0);

	return sub_floor(all, swap);
}

static u64 stat_sum(struct memcg *memcg, int kind)
{
	switch (kind) {
	case STAT_FILE:
		return file_pages(memcg) << PAGE_SHIFT;
	case STAT_SLAB:
		return all_slab_bytes(memcg);
	case STAT_KERNEL:
		return kernel_bytes(memcg);
	case STAT_VMALLOC:
		return vmalloc_bytes(memcg);
	case STAT_PERCPU:
		return percpu_bytes(memcg);
	case STAT_PGSCAN:
		return stat_of(memcg, GROUP_PGSCAN_KSWAPD, PGSCAN_KSWAPD) +
		       stat_of(memcg, GROUP_PGSCAN_DIRECT, PGSCAN_DIRECT);
	case STAT_PGSTEAL:
		return stat_of(memcg, GROUP_PGSTEAL_KSWAPD, PGSTEAL_KSWAPD) +
		       stat_of(memcg, GROUP_PGSTEAL_DIRECT, PGSTEAL_DIRECT);
	default:
		return 0;
	}
}

static u64 stat_value(struct memcg *memcg, const struct stat_line *l)
{
	switch (l->kind) {
	case STAT_PAGES:
		return stat_of(memcg, l->item, 0) << PAGE_SHIFT;
	case STAT_BYTES:
		return slab_bytes(memcg, l->item);
	case STAT_KIB:
		return stat_of(memcg, l->item, 0) << 10;
	case STAT_THP:
		return stat_of(memcg, l->item, 0)
		       << (PAGE_SHIFT + HPAGE_PMD_ORDER);
	case STAT_COUNT:
		return stat_of(memcg, l->item, l->event);
	case STAT_LRU:
		return lru_of(memcg, l->item) << PAGE_SHIFT;
	default:
		return stat_sum(memcg, l->kind);
	}
}

static void show_stat(struct memcg *memcg, struct seq_buf *out)
{
	/* What CPUs keep of objects' figures. */
	objcg_drain();
	for (size_t i = 0; i < ARRAY_SIZE(stat_lines); i++)
		seq_printf(out, "%s %llu\n", stat_lines[i].name,
			   (llu)stat_value(memcg, &stat_lines[i]));
}

void memcg_report_stat(struct memcg *memcg)
{
	objcg_drain();
	for (size_t i = 0; i < ARRAY_SIZE(stat_lines); i++)
		pr_info("%s %llu\n", stat_lines[i].name,
			(llu)stat_value(memcg, &stat_lines[i]));
}

/* ---- memory.numa_stat
 * ---------------------------------------------------------------- */

/* ITEM of MEMCG, of the machine for the root, on NID. */
static u64 node_stat_of(struct memcg *memcg, int nid, int item)
{
	s64 n;

	if (!memcg)
		return node_page_state(NODE_DATA(nid), item);
	n = memcg_node_stat(memcg, nid, item);
	return n > 0 ? (u64)n : 0;
}

/* The line's figure on NID: of those that nodes count. */
static u64 node_value(struct memcg *memcg, const struct stat_line *l, int nid)
{
	u64 n;

	switch (l->kind) {
	case STAT_PAGES:
		return node_stat_of(memcg, nid, l->item) << PAGE_SHIFT;
	case STAT_KIB:
		return node_stat_of(memcg, nid, l->item) << 10;
	case STAT_THP:
		return node_stat_of(memcg, nid, l->item)
		       << (PAGE_SHIFT + HPAGE_PMD_ORDER);
	case STAT_COUNT:
		return node_stat_of(memcg, nid, l->item);
	case STAT_LRU:
		n = memcg ? memcg_lru(memcg, (enum lru_list)l->item, nid)
			  : node_stat_of(memcg, nid, NR_LRU_BASE + l->item);
		return n << PAGE_SHIFT;
	case STAT_FILE:
		n = node_stat_of(memcg, nid, NR_SWAPCACHE);
		return sub_floor(node_stat_of(memcg, nid, NR_FILE_PAGES), n)
		       << PAGE_SHIFT;
	default:
		return 0;
	}
}

/* Is the line one of what nodes count? Bytes of objects are not: they are
 * charged as bytes, wherever their slab is. */
static bool line_by_node(const struct stat_line *l)
{
	switch (l->kind) {
	case STAT_PAGES:
	case STAT_KIB:
	case STAT_THP:
	case STAT_LRU:
	case STAT_FILE:
		return true;
	case STAT_COUNT:
		return l->item < GROUP_EV_BASE;
	default:
		return false;
	}
}

static void show_numa_stat(struct memcg *memcg, struct seq_buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(stat_lines); i++) {
		if (!line_by_node(&stat_lines[i]))
			continue;
		seq_puts(out, stat_lines[i].name);
		for (int nid = 0; nid < MM_MAX_NODES; nid++)
			if (NODE_DATA(nid))
				seq_printf(out, " N%d=%llu", nid,
					   (llu)node_value(
						   memcg, &stat_lines[i], nid));
		seq_puts(out, "\n");
	}
}

/* ---- one value
 * ---------------------------------------------------------------------- */

static void put_pages(struct seq_buf *out, u64 pages)
{
	if (pages >= MEMCG_NO_LIMIT)
		seq_puts(out, "max\n");
	else
		seq_printf(out, "%llu\n", (llu)pages << PAGE_SHIFT);
}

#define SHOW_PAGES(fn, value)                                     \
	static void show_##fn(struct memcg *m, struct seq_buf *s) \
	{                                                         \
		put_pages(s, value);                              \
	}

SHOW_PAGES(current, memcg_usage(&m->memory))
SHOW_PAGES(min, READ_ONCE(m->min))
SHOW_PAGES(low, READ_ONCE(m->low))
SHOW_PAGES(high, READ_ONCE(m->memory.high))
SHOW_PAGES(max, READ_ONCE(m->memory.max))
SHOW_PAGES(peak, READ_ONCE(m->memory.peak))
SHOW_PAGES(swap_current, memcg_usage(&m->swap))
SHOW_PAGES(swap_high, READ_ONCE(m->swap.high))
SHOW_PAGES(swap_max, READ_ONCE(m->swap.max))
SHOW_PAGES(swap_peak, READ_ONCE(m->swap.peak))

static void show_oom_group(struct memcg *memcg, struct seq_buf *out)
{
	seq_printf(out, "%d\n", READ_ONCE(memcg->oom_group));
}

/* ---- events
 * ------------------------------------------------------------------------- */

static void put_events(struct seq_buf *out, const u64 *n)
{
	static const char *const names[] = {
		"low", "high", "max", "oom", "oom_kill", "oom_group_kill"};

	MM_STATIC_ASSERT(MEMCG_OOM_GROUP_KILL + 1 == ARRAY_SIZE(names),
			 "a name for each event");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		seq_printf(out, "%s %llu\n", names[i], (llu)READ_ONCE(n[i]));
}

static void show_events(struct memcg *memcg, struct seq_buf *out)
{
	put_events(out, memcg->events);
}

static void show_events_local(struct memcg *memcg, struct seq_buf *out)
{
	put_events(out, memcg->events_local);
}

static void show_swap_events(struct memcg *memcg, struct seq_buf *out)
{
	seq_printf(out, "high %llu\nmax %llu\nfail %llu\n",
		   (llu)READ_ONCE(memcg->events[MEMCG_SWAP_HIGH]),
		   (llu)READ_ONCE(memcg->events[MEMCG_SWAP_MAX]),
		   (llu)READ_ONCE(memcg->events[MEMCG_SWAP_FAIL]));
}

static void put_pressure(struct seq_buf *out, const char *name,
			 const struct psi_text *t, int kind)
{
	static const char *const windows[] = {"avg10", "avg60", "avg300"};

	seq_puts(out, name);
	for (int w = 0; w < NR_PSI_WINDOWS; w++)
		seq_printf(out, " %s=%llu.%02llu", windows[w],
			   (llu)t->avg[kind][w] / 100,
			   (llu)t->avg[kind][w] % 100);
	seq_printf(out, " total=%llu\n", (llu)t->total_us[kind]);
}

static void show_pressure(struct memcg *memcg, struct seq_buf *out)
{
	struct psi_text t;

	psi_read(memcg, &t);
	put_pressure(out, "some", &t, PSI_SOME);
	put_pressure(out, "full", &t, PSI_FULL);
}

/* ---- what is written
 * ---------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t';
}

/* A number of bytes with K, M, G or T behind it, to pages; "max". */
static int parse_pages(const char *text, bool may_max, u64 *pages)
{
	u64 n = 0;
	u32 shift = 0;

	while (is_space(*text))
		text++;
	if (may_max && !mm_strncmp(text, "max", 3)) {
		text += 3;
		n = MEMCG_NO_LIMIT << PAGE_SHIFT;
	} else if (*text < '0' || *text > '9') {
		return -EINVAL;
	}
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(n, 10UL, &n) ||
		    __builtin_add_overflow(n, (u64)(*text - '0'), &n))
			return -EINVAL;
	for (u32 i = 0; i < 4 && *text; i++)
		if ((*text | 0x20) == "kmgt"[i])
			shift = 10 * (i + 1);
	text += shift != 0;
	while (is_space(*text))
		text++;
	if (*text || (n << shift) >> shift != n)
		return -EINVAL;
	*pages = min(n << shift >> PAGE_SHIFT, (u64)MEMCG_NO_LIMIT);
	return 0;
}

static int write_max(struct memcg *memcg, u64 pages)
{
	memcg_set_max(memcg, pages);
	return 0;
}

static int write_high(struct memcg *memcg, u64 pages)
{
	memcg_set_high(memcg, pages);
	return 0;
}

static int write_min(struct memcg *memcg, u64 pages)
{
	memcg_set_protection(memcg, pages, false);
	return 0;
}

static int write_low(struct memcg *memcg, u64 pages)
{
	memcg_set_protection(memcg, pages, true);
	return 0;
}

static int write_swap_max(struct memcg *memcg, u64 pages)
{
	WRITE_ONCE(memcg->swap.max, pages);
	return 0;
}

static int write_swap_high(struct memcg *memcg, u64 pages)
{
	WRITE_ONCE(memcg->swap.high, pages);
	return 0;
}

static int write_oom_group(struct memcg *memcg, const char *text)
{
	if ((text[0] != '0' && text[0] != '1') ||
	    (text[1] && (text[1] != '\n' || text[2])))
		return -EINVAL;
	WRITE_ONCE(memcg->oom_group, text[0] == '1');
	return 0;
}

/* ---- the table
 * ---------------------------------------------------------------------- */

#define FILE_ROOT   0x1u /* the root has it */
#define FILE_NO_MAX 0x2u /* "max" is no amount for it */

static const struct memcg_file {
	const char *name;
	u32 flags;
	void (*show)(struct memcg *memcg, struct seq_buf *out);
	int (*write)(struct memcg *memcg, u64 pages);
	int (*write_text)(struct memcg *memcg, const char *text);
} memcg_files[] = {
	{"memory.current", 0, show_current, NULL, NULL},
	{"memory.min", 0, show_min, write_min, NULL},
	{"memory.low", 0, show_low, write_low, NULL},
	{"memory.high", 0, show_high, write_high, NULL},
	{"memory.max", 0, show_max, write_max, NULL},
	{"memory.peak", 0, show_peak, NULL, NULL},
	{"memory.events", 0, show_events, NULL, NULL},
	{"memory.events.local", 0, show_events_local, NULL, NULL},
	{"memory.stat", FILE_ROOT, show_stat, NULL, NULL},
	{"memory.numa_stat", FILE_ROOT, show_numa_stat, NULL, NULL},
	{"memory.oom.group", 0, show_oom_group, NULL, write_oom_group},
	{"memory.reclaim", FILE_ROOT | FILE_NO_MAX, NULL, memcg_reclaim, NULL},
	{"memory.swap.current", 0, show_swap_current, NULL, NULL},
	{"memory.swap.high", 0, show_swap_high, write_swap_high, NULL},
	{"memory.swap.max", 0, show_swap_max, write_swap_max, NULL},
	{"memory.swap.peak", 0, show_swap_peak, NULL, NULL},
	{"memory.swap.events", 0, show_swap_events, NULL, NULL},
	{"memory.pressure", FILE_ROOT, show_pressure, NULL, NULL},
};

const char *memcg_file(u32 i, u32 *flags)
{
	const struct memcg_file *f = &memcg_files[i];

	if (i >= ARRAY_SIZE(memcg_files))
		return NULL;
	*flags = (f->show ? MEMCG_FILE_READ : 0) |
		 (f->write || f->write_text ? MEMCG_FILE_WRITE : 0) |
		 (f->flags & FILE_ROOT ? MEMCG_FILE_ROOT : 0);
	return f->name;
}

static const struct memcg_file *find_file(u16 id, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(memcg_files); i++)
		if (!mm_strcmp(memcg_files[i].name, name) &&
		    (id || (memcg_files[i].flags & FILE_ROOT)))
			return &memcg_files[i];
	return NULL;
}

/* The online group ID with a reference. 0, -ENOENT. */
static int get_online(u16 id, struct memcg **memcg)
{
	*memcg = memcg_get(id);
	if (*memcg && !READ_ONCE((*memcg)->online)) {
		memcg_put(*memcg, 1);
		*memcg = NULL;
	}
	return !id || *memcg ? 0 : -ENOENT;
}

s64 memcg_read(u16 id, const char *file, char *buf, size_t len)
{
	const struct memcg_file *f = find_file(id, file);
	struct memcg *memcg;
	struct seq_buf out;

	if (!f || get_online(id, &memcg))
		return -ENOENT;
	seq_buf_init(&out, buf, len);
	if (f->show)
		f->show(memcg, &out);
	if (memcg)
		memcg_put(memcg, 1);
	(void)seq_buf_str(&out); /* the 0 behind it */
	return f->show ? (s64)out.len : -EINVAL;
}

int memcg_write(u16 id, const char *file, const char *text)
{
	const struct memcg_file *f = find_file(id, file);
	struct memcg *memcg;
	u64 pages;
	int err;

	if (!f || get_online(id, &memcg))
		return -ENOENT;
	if (f->write_text) {
		err = f->write_text(memcg, text);
	} else if (!f->write ||
		   parse_pages(text, !(f->flags & FILE_NO_MAX), &pages)) {
		err = -EINVAL;
	} else {
		err = f->write(memcg, pages);
	}
	if (memcg)
		memcg_put(memcg, 1);
	return err;
}

/* ---- what changed
 * ---------------------------------------------------------------------- */

/* What FILE of MEMCG tells of has happened so often. */
static u64 version_of(struct memcg *memcg, const char *file)
{
	const u64 *n = memcg->events;
	u32 from = 0, to = MEMCG_SWAP_HIGH;
	u64 sum = 0;

	if (!mm_strcmp(file, "cgroup.events"))
		return psi_turns(memcg);
	if (!mm_strcmp(file, "memory.events.local")) {
		n = memcg->events_local;
	} else if (!mm_strcmp(file, "memory.swap.events")) {
		from = MEMCG_SWAP_HIGH;
		to = NR_MEMCG_EVENTS;
	} else if (mm_strcmp(file, "memory.events")) {
		return 0;
	}
	for (u32 i = from; i < to; i++)
		sum += READ_ONCE(n[i]);
	return sum;
}

u64 memcg_version(u16 id, const char *file)
{
	struct memcg *memcg = memcg_get(id);
	u64 version;

	if (!memcg)
		return 0;
	version = version_of(memcg, file);
	memcg_put(memcg, 1);
	return version;
}
