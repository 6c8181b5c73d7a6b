/* SPDX-License-Identifier: MIT */
/*
 * sysfs_mm.c - /sys/kernel/mm: files that the manager itself writes and reads
 * by their paths (mmkit/report.h).
 */
#include <mmkit/errno.h>
#include <mmkit/ksm.h>
#include <mmkit/report.h>

#include "base/string.h"
#include "procfs/procfs.h"

#define MM_DIR "/sys/kernel/mm/"

int sysfs_show_source(const struct pnode *n, struct seq_buf *out)
{
	return mm_show(n->e->source, out);
}

s64 sysfs_write_source(const struct pnode *n, const char *text, size_t len)
{
	return mm_write(n->e->source, text, len);
}

#define FILE_RW(n, folder) SYSFS_RW(n, folder, 0644)
#define FILE_RO(n, folder) SYSFS_RO(n, folder, 0444)
#define DIR_OF(n, d)                                        \
	{                                                   \
		.name = n, .mode = S_IFDIR | 0755, .dir = d \
	}

/* ---- huge pages ------------------------------------------------------------
 */

#define THP_DIR MM_DIR "transparent_hugepage/"
#define KHD_DIR THP_DIR "khugepaged/"

static const struct pentry khugepaged_entries[] = {
	FILE_RW("alloc_sleep_millisecs", KHD_DIR),
	FILE_RW("defrag", KHD_DIR),
	FILE_RO("full_scans", KHD_DIR),
	FILE_RW("max_ptes_none", KHD_DIR),
	FILE_RW("max_ptes_shared", KHD_DIR),
	FILE_RW("max_ptes_swap", KHD_DIR),
	FILE_RO("pages_collapsed", KHD_DIR),
	FILE_RW("pages_to_scan", KHD_DIR),
	FILE_RW("scan_sleep_millisecs", KHD_DIR),
};
static const struct pdir khugepaged_dir = PDIR(khugepaged_entries);

#define SIZE_DIR  THP_DIR "hugepages-2048kB/"
#define STATS_DIR SIZE_DIR "stats/"

static const struct pentry thp_stats_entries[] = {
	FILE_RO("anon_fault_alloc", STATS_DIR),
	FILE_RO("anon_fault_fallback", STATS_DIR),
	FILE_RO("anon_fault_fallback_charge", STATS_DIR),
	FILE_RO("nr_anon", STATS_DIR),
	FILE_RO("nr_anon_partially_mapped", STATS_DIR),
	FILE_RO("shmem_alloc", STATS_DIR),
	FILE_RO("shmem_fallback", STATS_DIR),
	FILE_RO("shmem_fallback_charge", STATS_DIR),
	FILE_RO("split", STATS_DIR),
	FILE_RO("split_deferred", STATS_DIR),
	FILE_RO("split_failed", STATS_DIR),
	FILE_RO("swpin", STATS_DIR),
	FILE_RO("swpin_fallback", STATS_DIR),
	FILE_RO("swpin_fallback_charge", STATS_DIR),
	FILE_RO("swpout", STATS_DIR),
	FILE_RO("swpout_fallback", STATS_DIR),
	FILE_RO("zswpout", STATS_DIR),
};
static const struct pdir thp_stats_dir = PDIR(thp_stats_entries);

static const struct pentry thp_size_entries[] = {
	FILE_RW("enabled", SIZE_DIR),
	DIR_OF("stats", &thp_stats_dir),
};
static const struct pdir thp_size_dir = PDIR(thp_size_entries);

static const struct pentry thp_entries[] = {
	FILE_RW("defrag", THP_DIR),
	FILE_RW("enabled", THP_DIR),
	FILE_RO("hpage_pmd_size", THP_DIR),
	DIR_OF("hugepages-2048kB", &thp_size_dir),
	DIR_OF("khugepaged", &khugepaged_dir),
	FILE_RW("use_zero_page", THP_DIR),
};
static const struct pdir thp_dir = PDIR(thp_entries);

/* ---- read-ahead from swap --------------------------------------------------
 */

static const struct pentry swap_entries[] = {
	FILE_RW("vma_ra_enabled", MM_DIR "swap/"),
};
static const struct pdir swap_dir = PDIR(swap_entries);

/* ---- slower nodes ----------------------------------------------------------
 */

static const struct pentry numa_entries[] = {
	FILE_RW("demotion_enabled", MM_DIR "numa/"),
};
static const struct pdir numa_dir = PDIR(numa_entries);

/* ---- the multi-gen LRU -----------------------------------------------------
 */

#define LRU_DIR MM_DIR "lru_gen/"

static const struct pentry lru_gen_entries[] = {
	FILE_RW("enabled", LRU_DIR),
	FILE_RW("min_ttl_ms", LRU_DIR),
};
static const struct pdir lru_gen_dir = PDIR(lru_gen_entries);

/* ---- equal pages that become one -------------------------------------------
 */

static int show_ksm(const struct pnode *n, struct seq_buf *out)
{
	return mm_ksm_get(n->key.name, out);
}

static s64 write_ksm(const struct pnode *n, const char *text, size_t len)
{
	char value[64];
	int err;

	if (len >= sizeof(value))
		return -EINVAL;
	mm_memcpy(value, text, len);
	value[len] = '\0';
	err = mm_ksm_set(n->key.name, value);
	return err ? err : (s64)len;
}

static const struct pentry ksm_ro = {.mode = S_IFREG | 0444, .show = show_ksm};
static const struct pentry ksm_rw = {
	.mode = S_IFREG | 0644, .show = show_ksm, .write = write_ksm};

struct ksm_search {
	const char *want; /* or NULL: the first from FROM on */
	char *name;
	u64 at, from;
	const struct pentry *found;
};

static void ksm_take(const char *name, bool writable, void *arg)
{
	struct ksm_search *s = arg;
	u64 at = s->at++;

	if (s->found ||
	    (s->want ? mm_strcmp(name, s->want) != 0 : at < s->from))
		return;
	s->found = writable ? &ksm_rw : &ksm_ro;
	if (s->want)
		return;
	(void)mm_strscpy(s->name, name, PNAME_MAX);
	s->from = at + 1;
}

static const struct pentry *ksm_find(const struct pkey *key, const char *name,
				     struct pkey *child)
{
	struct ksm_search s = {.want = name};

	(void)key;
	mm_ksm_list(ksm_take, &s);
	if (!s.found || mm_strscpy(child->name, name, PKEY_NAME) < 0)
		return NULL;
	return s.found;
}

static const struct pentry *ksm_next(const struct pkey *key, u64 *cursor,
				     char *name)
{
	struct ksm_search s = {.name = name, .from = *cursor};

	(void)key;
	mm_ksm_list(ksm_take, &s);
	*cursor = s.from;
	return s.found;
}

static const struct pdir ksm_dir = {.find = ksm_find, .next = ksm_next};

static const struct pentry mm_entries[] = {
	DIR_OF("ksm", &ksm_dir),
	DIR_OF("lru_gen", &lru_gen_dir),
	DIR_OF("numa", &numa_dir),
	DIR_OF("swap", &swap_dir),
	DIR_OF("transparent_hugepage", &thp_dir),
};
const struct pdir sysfs_mm_dir = PDIR(mm_entries);
