/* SPDX-License-Identifier: MIT */
/*
 * sysfs.c - /sys: CPUs, NUMA nodes, slab caches, disks.
 *
 * What is here exists: a directory of a feature that this kernel lacks
 * (huge page pools) is not there, so programs that look
 * for it go without. CPUs are shown as cores of their own; which node they
 * belong to is the machine's word, and counts as their package.
 *
 * References: sysfs(5), numa(7), slabinfo(5); Linux documentation,
 * ABI/stable/sysfs-devices-node, ABI/testing/sysfs-devices-system-cpu,
 * ABI/testing/sysfs-kernel-slab.
 */
#include <mmkit/cpu_hotplug.h>
#include <mmkit/memory_hotplug.h>
#include <mmkit/page_alloc.h>
#include <mmkit/report.h>

#include "base/string.h"
#include "kmem/slab.h"
#include "phys/mmzone.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"
#include "procfs/tracefs.h"

/* ---- sets ------------------------------------------------------------------
 */

static void cpus_all(u64 bits[1])
{
	bits[0] = 0;
	for (int i = 0; i < port_nr_cpus(); i++)
		bits[0] |= 1UL << i;
}

static void cpus_online(u64 bits[1])
{
	bits[0] = 0;
	for (int i = 0; i < port_nr_cpus(); i++)
		if (cpu_online(i))
			bits[0] |= 1UL << i;
}

static void cpus_of_node(int nid, u64 bits[1])
{
	bits[0] = 0;
	for (int i = 0; i < port_nr_cpus(); i++)
		if (port_cpu_node(i) == nid && cpu_online(i))
			bits[0] |= 1UL << i;
}

/* entry->arg of the sets of CPUs. */
enum { CPUS_ALL, CPUS_ONLINE, CPUS_OFFLINE };

static int show_cpus(const struct pnode *n, struct seq_buf *out)
{
	u64 bits[1], on[1];

	cpus_all(bits);
	cpus_online(on);
	if (n->e->arg != CPUS_ALL)
		bits[0] = n->e->arg == CPUS_ONLINE ? on[0] : bits[0] & ~on[0];
	put_list(out, bits, 64);
	seq_putc(out, '\n');
	return 0;
}

/* ---- CPUs ------------------------------------------------------------------
 */

enum {
	TOPO_CORE,
	TOPO_PACKAGE,
	TOPO_SELF,
	TOPO_SELF_LIST,
	TOPO_NODE,
	TOPO_NODE_LIST
};

static int show_topology(const struct pnode *n, struct seq_buf *out)
{
	int cpu = (int)n->key.num, nid = port_cpu_node(cpu);
	u64 bits[1] = {1UL << cpu};

	if (n->e->arg >= TOPO_NODE)
		cpus_of_node(nid, bits);
	switch (n->e->arg) {
	case TOPO_CORE:
		seq_printf(out, "%d", cpu);
		break;
	case TOPO_PACKAGE:
		seq_printf(out, "%d", nid);
		break;
	case TOPO_SELF:
	case TOPO_NODE:
		put_mask(out, bits, (u32)port_nr_cpus());
		break;
	default:
		put_list(out, bits, 64);
	}
	seq_putc(out, '\n');
	return 0;
}

#define NUMBERED(n, f, a)                                              \
	{                                                              \
		.name = n, .mode = S_IFREG | 0444, .show = f, .arg = a \
	}

static const struct pentry topology_entries[] = {
	NUMBERED("core_id", show_topology, TOPO_CORE),
	NUMBERED("physical_package_id", show_topology, TOPO_PACKAGE),
	NUMBERED("thread_siblings", show_topology, TOPO_SELF),
	NUMBERED("thread_siblings_list", show_topology, TOPO_SELF_LIST),
	NUMBERED("core_cpus", show_topology, TOPO_SELF),
	NUMBERED("core_cpus_list", show_topology, TOPO_SELF_LIST),
	NUMBERED("core_siblings", show_topology, TOPO_NODE),
	NUMBERED("core_siblings_list", show_topology, TOPO_NODE_LIST),
	NUMBERED("package_cpus", show_topology, TOPO_NODE),
	NUMBERED("package_cpus_list", show_topology, TOPO_NODE_LIST),
};
static const struct pdir topology_dir = PDIR(topology_entries);

static int show_cpu_online(const struct pnode *n, struct seq_buf *out)
{
	seq_printf(out, "%d\n", cpu_online((int)n->key.num));
	return 0;
}

static int cpu_set_online(int cpu, bool on)
{
	int err;

	if (on == cpu_online(cpu))
		return 0;
	if (on) {
		err = add_cpu(cpu);
		return err ?: machine_cpu_up(cpu);
	}
	err = machine_cpu_down(cpu);
	if (!err) {
		err = remove_cpu(cpu);
		if (err)
			(void)machine_cpu_up(cpu);
	}
	return err;
}

static s64 write_cpu_online(const struct pnode *n, const char *text, size_t len)
{
	bool ends = len == 1 || (len == 2 && text[1] == '\n');
	int err;

	if (!ends || (text[0] != '0' && text[0] != '1'))
		return -EINVAL;
	mutex_lock(&proc_sys.cpu_lock);
	err = cpu_set_online((int)n->key.num, text[0] == '1');
	mutex_unlock(&proc_sys.cpu_lock);
	return err ?: (s64)len;
}

static const struct pentry one_cpu_entries[] = {
	{.name = "topology", .mode = S_IFDIR | 0755, .dir = &topology_dir},
	{.name = "online",
	 .mode = S_IFREG | 0644,
	 .show = show_cpu_online,
	 .write = write_cpu_online},
};
static const struct pdir one_cpu_dir = PDIR(one_cpu_entries);
static const struct pentry one_cpu = {.mode = S_IFDIR | 0755,
				      .dir = &one_cpu_dir};
/* The first CPU stays, as on Linux's x86: its directory has no "online". */
static const struct pdir first_cpu_dir = {.entries = one_cpu_entries, .nr = 1};
static const struct pentry first_cpu = {.mode = S_IFDIR | 0755,
					.dir = &first_cpu_dir};

static const struct pentry *cpu_entry(u64 cpu)
{
	return cpu ? &one_cpu : &first_cpu;
}

/* WORD and a number below NR. */
static s64 numbered(const char *name, const char *word, s64 nr)
{
	size_t len = mm_strlen(word);

	if (mm_strncmp(name, word, len) != 0)
		return -1;
	return pseudo_number(name + len, nr - 1);
}

static const struct pentry *cpu_find(const struct pkey *key, const char *name,
				     struct pkey *child)
{
	(void)key;
	child->num = numbered(name, "cpu", port_nr_cpus());
	return child->num >= 0 ? cpu_entry((u64)child->num) : NULL;
}

static const struct pentry *cpu_next(const struct pkey *key, u64 *cursor,
				     char *name)
{
	(void)key;
	if (*cursor >= (u64)port_nr_cpus())
		return NULL;
	(void)mm_scnprintf(name, PNAME_MAX, "cpu%llu", LLU(*cursor));
	return cpu_entry((*cursor)++);
}

static int show_kernel_max(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%d\n", MM_NR_CPUS - 1);
	return 0;
}

static const struct pentry cpu_entries[] = {
	NUMBERED("online", show_cpus, CPUS_ONLINE),
	NUMBERED("offline", show_cpus, CPUS_OFFLINE),
	NUMBERED("possible", show_cpus, CPUS_ALL),
	NUMBERED("present", show_cpus, CPUS_ALL),
	NUMBERED("kernel_max", show_kernel_max, 0),
};
static const struct pdir cpu_dir =
	PDIR(cpu_entries, .find = cpu_find, .next = cpu_next);

/* ---- nodes -----------------------------------------------------------------
 */

#define NODE_DIR "/sys/devices/system/node/"

/* A file of a node is the manager's of the same path. */
static void node_path(const struct pnode *n, char path[96])
{
	(void)mm_scnprintf(path, 96, NODE_DIR "node%llu/%s", LLU(n->key.num),
			   n->e->name);
}

static int show_node(const struct pnode *n, struct seq_buf *out)
{
	char path[96];

	node_path(n, path);
	return mm_show(path, out);
}

static s64 write_node(const struct pnode *n, const char *text, size_t len)
{
	char path[96];

	node_path(n, path);
	return mm_write(path, text, len);
}

static const struct pentry one_node_entries[] = {
	NUMBERED("meminfo", show_node, 0),
	NUMBERED("numastat", show_node, 0),
	NUMBERED("vmstat", show_node, 0),
	NUMBERED("distance", show_node, 0),
	NUMBERED("cpulist", show_node, 0),
	NUMBERED("cpumap", show_node, 0),
	{.name = "compact", .mode = S_IFREG | 0200, .write = write_node},
};
static const struct pdir one_node_dir = PDIR(one_node_entries);
static const struct pentry one_node = {.mode = S_IFDIR | 0755,
				       .dir = &one_node_dir};

static const struct pentry *node_find(const struct pkey *key, const char *name,
				      struct pkey *child)
{
	(void)key;
	child->num = numbered(name, "node", MM_MAX_NODES);
	return child->num >= 0 && NODE_DATA((int)child->num) ? &one_node : NULL;
}

static const struct pentry *node_next(const struct pkey *key, u64 *cursor,
				      char *name)
{
	(void)key;
	while (*cursor < MM_MAX_NODES && !NODE_DATA((int)*cursor))
		++*cursor;
	if (*cursor >= MM_MAX_NODES)
		return NULL;
	(void)mm_scnprintf(name, PNAME_MAX, "node%llu", LLU(*cursor));
	++*cursor;
	return &one_node;
}

static const struct pentry node_entries[] = {
	SYSFS_RO("online", NODE_DIR, 0444),
	SYSFS_RO("possible", NODE_DIR, 0444),
	SYSFS_RO("has_memory", NODE_DIR, 0444),
	SYSFS_RO("has_normal_memory", NODE_DIR, 0444),
	SYSFS_RO("has_cpu", NODE_DIR, 0444),
};
static const struct pdir node_dir =
	PDIR(node_entries, .find = node_find, .next = node_next);

/* ---- tiers of memory -------------------------------------------------------
 */

#define TIER_DIR "/sys/devices/virtual/memory_tiering/"
/* More than there can be. */
#define NR_TIERS (MM_MAX_NODES + 8)

static int show_tier(const struct pnode *n, struct seq_buf *out)
{
	char path[96];

	(void)mm_scnprintf(path, 96, TIER_DIR "memory_tier%llu/%s",
			   LLU(n->key.num), n->e->name);
	return mm_show(path, out);
}

static const struct pentry one_tier_entries[] = {
	NUMBERED("nodelist", show_tier, 0),
};
static const struct pdir one_tier_dir = PDIR(one_tier_entries);
static const struct pentry one_tier = {.mode = S_IFDIR | 0755,
				       .dir = &one_tier_dir};

static bool tier_there(u64 num)
{
	struct seq_buf s;
	char path[96], text[64];

	(void)mm_scnprintf(path, 96, TIER_DIR "memory_tier%llu/nodelist",
			   LLU(num));
	seq_buf_init(&s, text, sizeof(text));
	return !mm_show(path, &s);
}

static const struct pentry *tier_find(const struct pkey *key, const char *name,
				      struct pkey *child)
{
	(void)key;
	child->num = numbered(name, "memory_tier", NR_TIERS);
	return child->num >= 0 && tier_there((u64)child->num) ? &one_tier
							      : NULL;
}

static const struct pentry *tier_next(const struct pkey *key, u64 *cursor,
				      char *name)
{
	(void)key;
	while (*cursor < NR_TIERS && !tier_there(*cursor))
		++*cursor;
	if (*cursor >= NR_TIERS)
		return NULL;
	(void)mm_scnprintf(name, PNAME_MAX, "memory_tier%llu", LLU(*cursor));
	++*cursor;
	return &one_tier;
}

static const struct pdir tiering_dir = {.find = tier_find, .next = tier_next};

/* ---- blocks of memory ------------------------------------------------------
 *
 * A file is the manager's of the same path.
 */

#define MEMORY_DIR "/sys/devices/system/memory/"

static void block_path(const struct pnode *n, char path[96])
{
	(void)mm_scnprintf(path, 96, MEMORY_DIR "memory%llu/%s",
			   LLU(n->key.num), n->e->name);
}

static int show_block(const struct pnode *n, struct seq_buf *out)
{
	char path[96];

	block_path(n, path);
	return mm_show(path, out);
}

static s64 write_block(const struct pnode *n, const char *text, size_t len)
{
	char path[96];

	block_path(n, path);
	return mm_write(path, text, len);
}

#define BLOCK_RO(n)                                                   \
	{                                                             \
		.name = n, .mode = S_IFREG | 0444, .show = show_block \
	}
#define BLOCK_RW(n)                                                    \
	{                                                              \
		.name = n, .mode = S_IFREG | 0644, .show = show_block, \
		.write = write_block                                   \
	}

static const struct pentry one_block_entries[] = {
	BLOCK_RW("online"),    BLOCK_RO("phys_device"), BLOCK_RO("phys_index"),
	BLOCK_RO("removable"), BLOCK_RW("state"),	BLOCK_RO("valid_zones"),
};
static const struct pdir one_block_dir = PDIR(one_block_entries);
static const struct pentry one_block = {.mode = S_IFDIR | 0755,
					.dir = &one_block_dir};

/* As many as the machine could have. */
static u64 nr_blocks(void)
{
	return phys_sys.nr_sections;
}

static bool block_there(u64 nr)
{
	return memory_block_state(nr * (MEMORY_BLOCK_BYTES >> PAGE_SHIFT)) !=
	       -ENOENT;
}

static const struct pentry *block_find(const struct pkey *key, const char *name,
				       struct pkey *child)
{
	(void)key;
	child->num = numbered(name, "memory", (s64)nr_blocks());
	return child->num >= 0 && block_there((u64)child->num) ? &one_block
							       : NULL;
}

static const struct pentry *block_next(const struct pkey *key, u64 *cursor,
				       char *name)
{
	(void)key;
	while (*cursor < nr_blocks() && !block_there(*cursor))
		++*cursor;
	if (*cursor >= nr_blocks())
		return NULL;
	(void)mm_scnprintf(name, PNAME_MAX, "memory%llu", LLU(*cursor));
	++*cursor;
	return &one_block;
}

static const struct pentry memory_entries[] = {
	SYSFS_RO("block_size_bytes", MEMORY_DIR, 0444),
};
static const struct pdir memory_dir =
	PDIR(memory_entries, .find = block_find, .next = block_next);

/* ---- slab caches -----------------------------------------------------------
 */

static int show_slab(const struct pnode *n, struct seq_buf *out)
{
	char path[2 * PKEY_NAME + 24];

	(void)mm_scnprintf(path, sizeof(path), "/sys/kernel/slab/%s/%s",
			   n->key.name, n->e->name);
	return mm_show(path, out);
}

#define SLAB(n) NUMBERED(n, show_slab, 0)
static const struct pentry slab_entries[] = {
	SLAB("align"),		 SLAB("aliases"),	SLAB("cache_dma"),
	SLAB("cpu_partial"),	 SLAB("cpu_slabs"),	SLAB("ctor"),
	SLAB("destroy_by_rcu"),	 SLAB("hwcache_align"), SLAB("min_partial"),
	SLAB("object_size"),	 SLAB("objects"),	SLAB("objs_per_slab"),
	SLAB("order"),		 SLAB("partial"),	SLAB("poison"),
	SLAB("reclaim_account"), SLAB("red_zone"),	SLAB("sanity_checks"),
	SLAB("slab_size"),	 SLAB("slabs"),		SLAB("store_user"),
	SLAB("total_objects"),	 SLAB("trace"),
};
static const struct pdir slab_dir = PDIR(slab_entries);
static const struct pentry one_slab = {.mode = S_IFDIR | 0755,
				       .dir = &slab_dir};

struct slab_walk {
	const char *want;
	char *name;
	u64 at, from;
	bool found;
};

static void slab_take(struct kmem_cache *s, void *arg)
{
	struct slab_walk *w = arg;
	u64 at = w->at++;

	if (w->found)
		return;
	if (w->want) {
		w->found = mm_strcmp(s->name, w->want) == 0;
	} else if (at >= w->from) {
		(void)mm_strscpy(w->name, s->name, PNAME_MAX);
		w->from = at + 1;
		w->found = true;
	}
}

static const struct pentry *slab_find(const struct pkey *key, const char *name,
				      struct pkey *child)
{
	struct slab_walk w = {.want = name};

	(void)key;
	slab_for_each(slab_take, &w);
	if (!w.found || mm_strscpy(child->name, name, PKEY_NAME) < 0)
		return NULL;
	return &one_slab;
}

static const struct pentry *slab_next(const struct pkey *key, u64 *cursor,
				      char *name)
{
	struct slab_walk w = {.name = name, .from = *cursor};

	(void)key;
	slab_for_each(slab_take, &w);
	*cursor = w.from;
	return w.found ? &one_slab : NULL;
}

static const struct pdir slabs_dir = {.find = slab_find, .next = slab_next};

/* ---- disks -----------------------------------------------------------------
 */

static int show_disk(const struct pnode *n, struct seq_buf *out)
{
	struct port_bdev *bdev = machine_bdev((u32)n->key.num);

	if (!bdev)
		return -ENODEV;
	if (n->e->arg)
		seq_printf(out, "254:%u\n", (u32)n->key.num * 16);
	else
		seq_printf(out, "%llu\n", LLU(port_bdev_size(bdev) / 512));
	return 0;
}

static const struct pentry disk_entries[] = {
	NUMBERED("size", show_disk, 0),
	NUMBERED("dev", show_disk, 1),
};
static const struct pdir disk_dir = PDIR(disk_entries);
static const struct pentry one_disk = {.mode = S_IFDIR | 0755,
				       .dir = &disk_dir};

static const struct pentry *disk_find(const struct pkey *key, const char *name,
				      struct pkey *child)
{
	(void)key;
	if (mm_strncmp(name, "vd", 2) != 0 || name[2] < 'a' || name[2] > 'z' ||
	    name[3] || !machine_bdev((u32)(name[2] - 'a')))
		return NULL;
	child->num = name[2] - 'a';
	return &one_disk;
}

static const struct pentry *disk_next(const struct pkey *key, u64 *cursor,
				      char *name)
{
	(void)key;
	if (*cursor >= 26 || !machine_bdev((u32)*cursor))
		return NULL;
	(void)mm_scnprintf(name, PNAME_MAX, "vd%c", (char)('a' + *cursor));
	++*cursor;
	return &one_disk;
}

static const struct pdir block_dir = {.find = disk_find, .next = disk_next};

/* ---- the directories above -------------------------------------------------
 */

#define DIR_OF(n, d)                                        \
	{                                                   \
		.name = n, .mode = S_IFDIR | 0755, .dir = d \
	}

static const struct pentry system_entries[] = {
	DIR_OF("cpu", &cpu_dir),
	DIR_OF("memory", &memory_dir),
	DIR_OF("node", &node_dir),
};
static const struct pdir system_dir = PDIR(system_entries);
static const struct pentry virtual_entries[] = {
	DIR_OF("memory_tiering", &tiering_dir),
};
static const struct pdir virtual_dir = PDIR(virtual_entries);

static const struct pentry devices_entries[] = {
	DIR_OF("system", &system_dir),
	DIR_OF("virtual", &virtual_dir),
};
static const struct pdir devices_dir = PDIR(devices_entries);

/* ---- debugfs ----------------------------------------------------------------
 */

#define BALANCING "/sys/kernel/debug/sched/numa_balancing/"
static const struct pentry balancing_entries[] = {
	SYSFS_RW("hot_threshold_ms", BALANCING, 0644),
	SYSFS_RW("scan_delay_ms", BALANCING, 0644),
	SYSFS_RW("scan_period_max_ms", BALANCING, 0644),
	SYSFS_RW("scan_period_min_ms", BALANCING, 0644),
	SYSFS_RW("scan_size_mb", BALANCING, 0644),
};
static const struct pdir balancing_dir = PDIR(balancing_entries);
static const struct pentry sched_entries[] = {
	DIR_OF("numa_balancing", &balancing_dir),
};
static const struct pdir sched_dir = PDIR(sched_entries);

static const struct pentry debug_entries[] = {
	DIR_OF("sched", &sched_dir),
	SYSFS_RW("lru_gen", "/sys/kernel/debug/", 0644),
	SYSFS_RO("rmap", "/sys/kernel/debug/", 0444),
	SYSFS_RO("tlb", "/sys/kernel/debug/", 0444),
};
static const struct pdir debug_dir = PDIR(debug_entries);
static const struct pentry kernel_entries[] = {
	{.name = "debug", .mode = S_IFDIR | 0700, .dir = &debug_dir},
	DIR_OF("mm", &sysfs_mm_dir),
	DIR_OF("slab", &slabs_dir),
	{.name = "tracing", .mode = S_IFDIR | 0700, .dir = &tracefs_dir},
};
static const struct pdir kernel_dir = PDIR(kernel_entries);
/* ---- parameters of zswap ----------------------------------------------------
 */

#define ZSWAP_DIR   "/sys/module/zswap/parameters/"
#define ZSWAP(n)    SYSFS_RW(n, ZSWAP_DIR, 0644)
#define ZSWAP_RO(n) SYSFS_RO(n, ZSWAP_DIR, 0444)
static const struct pentry zswap_entries[] = {
	ZSWAP("accept_threshold_percent"),
	ZSWAP_RO("compressor"),
	ZSWAP("enabled"),
	ZSWAP("max_pool_percent"),
	ZSWAP("non_same_filled_pages_enabled"),
	ZSWAP("same_filled_pages_enabled"),
	ZSWAP("shrinker_enabled"),
	ZSWAP_RO("zpool"),
};
static const struct pdir zswap_params_dir = PDIR(zswap_entries);
static const struct pentry zswap_module[] = {
	DIR_OF("parameters", &zswap_params_dir),
};
static const struct pdir zswap_dir = PDIR(zswap_module);
/* The same of proactive reclaim. */
#define DAMON_DIR   "/sys/module/damon_reclaim/parameters/"
#define DAMON(n)    SYSFS_RW(n, DAMON_DIR, 0600)
#define DAMON_RO(n) SYSFS_RO(n, DAMON_DIR, 0400)
static const struct pentry damon_entries[] = {
	DAMON("aggr_interval"),
	DAMON_RO("bytes_reclaim_tried_regions"),
	DAMON_RO("bytes_reclaimed_regions"),
	DAMON("commit_inputs"),
	DAMON("enabled"),
	DAMON("max_nr_regions"),
	DAMON("min_age"),
	DAMON("min_nr_regions"),
	DAMON("monitor_region_end"),
	DAMON("monitor_region_start"),
	DAMON_RO("nr_quota_exceeds"),
	DAMON_RO("nr_reclaim_tried_regions"),
	DAMON_RO("nr_reclaimed_regions"),
	DAMON("quota_ms"),
	DAMON("quota_reset_interval_ms"),
	DAMON("quota_sz"),
	DAMON("sample_interval"),
	DAMON("wmarks_high"),
	DAMON("wmarks_interval"),
	DAMON("wmarks_low"),
	DAMON("wmarks_mid"),
};
static const struct pdir damon_params_dir = PDIR(damon_entries);
static const struct pentry damon_module[] = {
	DIR_OF("parameters", &damon_params_dir),
};
static const struct pdir damon_dir = PDIR(damon_module);
static const struct pentry module_entries[] = {
	DIR_OF("damon_reclaim", &damon_dir),
	DIR_OF("zswap", &zswap_dir),
};
static const struct pdir module_dir = PDIR(module_entries);

static const struct pentry root_entries[] = {
	DIR_OF("module", &module_dir),
	DIR_OF("devices", &devices_dir),
	DIR_OF("kernel", &kernel_dir),
	DIR_OF("block", &block_dir),
};
static const struct pdir root_dir = PDIR(root_entries);

const struct pentry sysfs_root_entry = {.mode = S_IFDIR | 0755,
					.dir = &root_dir};
