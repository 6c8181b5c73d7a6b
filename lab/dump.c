/* SPDX-License-Identifier: MIT */
/*
 * dump.c - a copy of the simulated machine's /proc and /sys as a directory.
 *
 * 1. Purpose. Programs that read /proc and /sys read the sim world's files
 *    too: those of DIR/proc and DIR/sys, mounted over the real ones.
 *
 * 2. Structure. The manager knows a file by its whole name (mm_show(), and of
 *    tunables and KSM their own calls), but lists only some of them; here
 *    stand the names of the others. What is one for each task, slab cache or
 *    memory block is asked of the lists of these.
 *
 * 3. Invariants.
 *    DP-1  A file is what --show would print of it, or dump_task_show() where
 *          Linux's has more than the manager knows: made as a whole in memory
 *          first, then written under its name.
 *    DP-2  Nothing is written over (dump_dir.c).
 *    DP-3  A name of ours that the manager does not know is an error, so that
 *          none is lost unseen; only what Linux has for some machines alone
 *          (tiers, slab traces) may be missing.
 *    DP-4  Files with a form in JSON (proc_json.c) are in DIR/json as well,
 * from the same text. DP-5  Reading takes virtual time and changes nothing
 * else. So the audit, which empties what it looks at, is left out.
 *
 * 4. Locking. None: tasks and caches are written down by number and name
 *    before their files are made.
 *
 * 5. Failure. The process ends, naming the file; what was written until then
 *    stays, and the message says that it is not all.
 */
#include "dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/ksm.h>
#include <mmkit/memory_hotplug.h>
#include <mmkit/report.h>
#include <mmkit/sysctl.h>

#include "base/seqbuf.h"
#include "dump_task.h"
#include "err.h"
#include "kmem/slab.h"
#include "phys/phys.h"
#include "space/space.h"

#define AUDIT "/proc/mmkit/audit"
#define KSM   "/sys/kernel/mm/ksm/"
#define TIERS "/sys/devices/virtual/memory_tiering/"
#define RAM   "/sys/devices/system/memory/"
#define NODES "/sys/devices/system/node/"

/* Directories and their files, separated by blanks. */
static const struct dir_names {
	const char *dir, *names;
} dirs[] = {
	{"/sys/kernel/debug/sched/numa_balancing/",
	 "hot_threshold_ms scan_delay_ms scan_period_max_ms "
	 "scan_period_min_ms scan_size_mb"},
	{"/sys/kernel/debug/zswap/",
	 "duplicate_entry pool_limit_hit pool_total_size reject_alloc_fail "
	 "reject_compress_poor reject_kmemcache_fail reject_reclaim_fail "
	 "same_filled_pages stored_pages written_back_pages"},
	{"/sys/kernel/mm/lru_gen/", "enabled min_ttl_ms"},
	{"/sys/kernel/mm/numa/", "demotion_enabled"},
	{"/sys/kernel/mm/swap/", "vma_ra_enabled"},
	{"/sys/kernel/mm/transparent_hugepage/",
	 "defrag enabled hpage_pmd_size use_zero_page"},
	{"/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/", "enabled"},
	{"/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/stats/",
	 "anon_fault_alloc anon_fault_fallback anon_fault_fallback_charge "
	 "nr_anon nr_anon_partially_mapped shmem_alloc shmem_fallback "
	 "shmem_fallback_charge split split_deferred split_failed swpin "
	 "swpin_fallback swpin_fallback_charge swpout swpout_fallback "
	 "zswpout"},
	{"/sys/kernel/mm/transparent_hugepage/khugepaged/",
	 "alloc_sleep_millisecs defrag full_scans max_ptes_none "
	 "max_ptes_shared max_ptes_swap pages_collapsed pages_to_scan "
	 "scan_sleep_millisecs"},
	{"/sys/module/damon_reclaim/parameters/",
	 "aggr_interval bytes_reclaim_tried_regions bytes_reclaimed_regions "
	 "commit_inputs enabled max_nr_regions min_age min_nr_regions "
	 "monitor_region_end monitor_region_start nr_quota_exceeds "
	 "nr_reclaim_tried_regions nr_reclaimed_regions quota_ms "
	 "quota_reset_interval_ms quota_sz sample_interval wmarks_high "
	 "wmarks_interval wmarks_low wmarks_mid"},
	{"/sys/module/zswap/parameters/",
	 "accept_threshold_percent compressor enabled max_pool_percent "
	 "non_same_filled_pages_enabled same_filled_pages_enabled "
	 "shrinker_enabled zpool"},
	{RAM, "block_size_bytes"},
};

static const char pid_names[] = "maps numa_maps smaps smaps_rollup statm";
static const char task_names[] = "cmdline comm stat status";
static const char node_names[] =
	"cpulist cpumap distance meminfo numastat vmstat";
static const char node_sets[] =
	"has_cpu has_memory has_normal_memory online possible";
static const char slab_names[] =
	"align aliases cache_dma cpu_partial cpu_slabs ctor destroy_by_rcu "
	"hwcache_align min_partial object_size objects objs_per_slab order "
	"partial poison reclaim_account red_zone sanity_checks slab_size "
	"slabs store_user total_objects trace";
static const char trace_names[] = "alloc_traces free_traces";
static const char block_names[] =
	"online phys_device phys_index removable state valid_zones";

/* ---- one file
 * ------------------------------------------------------------------ */

/* NAME's text to OUT: 0, or a negative errno. */
typedef int (*show_fn)(const char *name, struct seq_buf *out);

static void sink_file(void *arg, const char *text, size_t len)
{
	fwrite(text, 1, len, arg);
}

/* What SHOW says of NAME, to be freed; NULL: there is no such file. */
static char *text_of(show_fn show, const char *name, size_t *len)
{
	char *text = NULL, buf[1024];
	FILE *f = open_memstream(&text, len);
	struct seq_buf s;
	int err;

	if (!f)
		err_die("--dump-proc: no memory for %s", name);
	seq_buf_init_sink(&s, buf, sizeof(buf), sink_file, f);
	err = show(name, &s);
	seq_buf_flush(&s);
	if (ferror(f) | fclose(f))
		err_die("--dump-proc: no memory for %s", name);
	if (err && err != -ENOENT && err != -ESRCH)
		err_die("--dump-proc: %s: %s", name, strerror(-err));
	if (err) {
		free(text);
		return NULL;
	}
	return text;
}

/* The file PATH of the machine, as SHOW says it of NAME. False: none. */
static bool put_file(const char *path, show_fn show, const char *name)
{
	size_t len;
	char *text = text_of(show, name, &len);

	if (!text)
		return false;
	dump_write(path, text, len);
	free(text);
	return true;
}

static void must_put(const char *path, show_fn show, const char *name)
{
	if (!put_file(path, show, name))
		err_die("--dump-proc: the machine has no file %s", path);
}

/* The files NAMES of DIR, by SHOW; with MAY_MISS those that there are. */
static void put_shown(const char *dir, const char *names, show_fn show,
		      bool may_miss)
{
	char path[256];

	while (*names) {
		int len = (int)strcspn(names, " ");

		snprintf(path, sizeof(path), "%s%.*s", dir, len, names);
		if (!put_file(path, show, path) && !may_miss)
			err_die("--dump-proc: the machine has no file %s",
				path);
		names += len + (names[len] == ' ');
	}
}

static void put_names(const char *dir, const char *names, bool may_miss)
{
	put_shown(dir, names, mm_show, may_miss);
}

/* ---- by lists
 * ------------------------------------------------------------------ */

static void put_listed(const char *path, void *arg)
{
	(void)arg;
	if (strcmp(path, AUDIT) != 0)
		must_put(path, mm_show, path);
}

static int show_sysctl(const char *name, struct seq_buf *out)
{
	int err = mm_sysctl_get(name, out);

	if (!err)
		seq_putc(out, '\n');
	return err;
}

/* Of "vm.swappiness" /proc/sys/vm/swappiness. */
static void put_sysctl(const char *name, void *arg)
{
	char path[128];

	(void)arg;
	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	for (char *at = path; (at = strchr(at, '.')); at++)
		*at = '/';
	must_put(path, show_sysctl, name);
}

static void put_ksm(const char *name, bool writable, void *arg)
{
	char path[128];

	(void)writable;
	(void)arg;
	snprintf(path, sizeof(path), KSM "%s", name);
	must_put(path, mm_ksm_get, name);
}

/* Lines that a list's function leaves behind. */
struct lines {
	FILE *f;
	char *text;
	size_t len;
};

static void lines_open(struct lines *l)
{
	*l = (struct lines){0};
	l->f = open_memstream(&l->text, &l->len);
	if (!l->f)
		err_die("--dump-proc: no memory");
}

/* FN for each line; then they are gone. */
static void lines_each(struct lines *l, void (*fn)(const char *line))
{
	char *at;

	if (ferror(l->f) | fclose(l->f))
		err_die("--dump-proc: no memory");
	for (at = strtok(l->text, "\n"); at; at = strtok(NULL, "\n"))
		fn(at);
	free(l->text);
}

static void note_cache(struct kmem_cache *s, void *arg)
{
	fprintf(((struct lines *)arg)->f, "%s\n", s->name);
}

static void put_cache(const char *name)
{
	char dir[160];

	snprintf(dir, sizeof(dir), "/sys/kernel/slab/%s/", name);
	put_names(dir, slab_names, false);
	snprintf(dir, sizeof(dir), "/sys/kernel/debug/slab/%s/", name);
	put_names(dir, trace_names, true);
}

static bool note_task(struct mm_task *task, void *arg)
{
	fprintf(((struct lines *)arg)->f, "%d\n", task->pid);
	return false;
}

/* A task may end while the files of others are made: then it has none. */
static void put_task(const char *pid)
{
	char dir[64];

	snprintf(dir, sizeof(dir), "/proc/%s/", pid);
	put_names(dir, pid_names, true);
	put_shown(dir, task_names, dump_task_show, true);
}

/* Who looks at himself from there is the task that wrote it. */
static void put_self(void)
{
	char to[16];

	snprintf(to, sizeof(to), "%d", port_current()->pid);
	if (port_current()->pid)
		dump_link("/proc/self", to);
}

static void put_system(const char *path)
{
	must_put(path, dump_task_show, path);
}

static void put_nodes(void)
{
	const pg_data_t *pgdat;
	char dir[96];

	put_names(NODES, node_sets, false);
	for_each_online_pgdat(pgdat)
	{
		snprintf(dir, sizeof(dir), NODES "node%d/", pgdat->node_id);
		put_names(dir, node_names, false);
	}
}

static void put_blocks(void)
{
	const u64 frames = MEMORY_BLOCK_BYTES >> PAGE_SHIFT;
	char dir[96];

	for (u64 nr = 0; nr < phys_sys.nr_sections; nr++) {
		if (memory_block_state(nr * frames) == -ENOENT)
			continue;
		snprintf(dir, sizeof(dir), RAM "memory%llu/",
			 (unsigned long long)nr);
		put_names(dir, block_names, false);
	}
}

static void put_tiers(void)
{
	char dir[96];

	for (int i = 0; i < MM_MAX_NODES + 4; i++) {
		snprintf(dir, sizeof(dir), TIERS "memory_tier%d/", i);
		put_names(dir, "nodelist", true);
	}
}

/* ---- all of it
 * ------------------------------------------------------------------ */

void dump_proc(const char *dir)
{
	struct lines l;

	if (!dump_open(dir, false))
		return;
	mm_show_list(put_listed, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		put_names(dirs[i].dir, dirs[i].names, false);
	mm_sysctl_list(put_sysctl, NULL);
	mm_ksm_list(put_ksm, NULL);
	dump_task_list(put_system);
	put_blocks();
	put_nodes();
	put_tiers();
	lines_open(&l);
	slab_for_each_sleep(note_cache, &l);
	lines_each(&l, put_cache);
	lines_open(&l);
	task_for_each(note_task, &l);
	lines_each(&l, put_task);
	put_self();
}
