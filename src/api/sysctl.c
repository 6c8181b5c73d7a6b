/* SPDX-License-Identifier: MIT */
/*
 * sysctl.c - tunables by name.
 *
 * 1. Purpose. One place that knows each tunable's name, unit, range and what
 *    has to follow a change, so that command line, scripts and /proc/sys say
 *    the same.
 *
 * 2. Structure. A constant table of addresses in the floors' state structs;
 *    a tunable's initial value is its floor's to set at boot.
 *
 * 3. Invariants. A value is stored only after the whole text was understood
 *    and found in range (SY-1). Readers use READ_ONCE and may see a list's
 *    numbers change one by one (SY-2).
 *
 * 4. Locking. Stores are single words; watermarks are computed under their
 *    own lock.
 *
 * 5. Rejected. Registration by the floors: the table is known when compiled,
 *    and a lower floor would have to know what to recompute above it.
 *
 * References: Linux documentation, admin-guide/sysctl/vm and admin-guide/
 * kernel-parameters (stack_guard_gap).
 */
#include "api/sysctl.h"

#include <mmkit/errno.h>
#include <mmkit/shrinker.h>

#include "arch/paging.h"
#include "base/assert.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "cache/swap.h"
#include "compact/compact.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "policy/policy.h"
#include "reclaim/reclaim.h"
#include "space/space.h"

MM_STATIC_ASSERT(MAX_NR_ZONES < SYSCTL_MAX_VALUES, "a value per zone");

#define USER_END 0x800000000000UL

/* Watermarks, reserves and the sizes of per-CPU lists. */
static void wmarks_changed(void)
{
	if (phys_sys.booted)
		init_per_zone_wmark_min();
}

#define RESERVE_RATIO(zone) &phys_sys.tunables.lowmem_reserve_ratio[zone]

/* A ratio for each zone that the machine's layout has. */
static bool zone_exists(int zt)
{
	const struct phys_layout *l = phys_sys.layout;

	return layout_has_zone(l ? l : phys_layout_find(NULL), zt);
}

/* Bit 0 is the page cache's, of which swap cache is no part; 4: nothing. */
static void caches_dropped(void)
{
	if (phys_sys.booted && (READ_ONCE(reclaim_sys.drop_caches) & 1))
		(void)drop_pagecache();
	if (phys_sys.booted && (READ_ONCE(reclaim_sys.drop_caches) & 2))
		drop_slab();
}

/* Of a ratio and the bytes that replace it the one set last counts; the other
 * reads as 0. Bytes of 0 say nothing. */
static void background_ratio_changed(void)
{
	WRITE_ONCE(cache_sys.fm.flush.dirty_background_bytes, 0);
}

static void background_bytes_changed(void)
{
	if (READ_ONCE(cache_sys.fm.flush.dirty_background_bytes))
		WRITE_ONCE(cache_sys.fm.flush.dirty_background_ratio, 0);
}

static void dirty_ratio_changed(void)
{
	WRITE_ONCE(cache_sys.fm.flush.dirty_bytes, 0);
	WRITE_ONCE(phys_sys.tunables.dirty_ratio,
		   READ_ONCE(cache_sys.fm.flush.dirty_ratio));
}

static void dirty_bytes_changed(void)
{
	if (READ_ONCE(cache_sys.fm.flush.dirty_bytes))
		WRITE_ONCE(cache_sys.fm.flush.dirty_ratio, 0);
}

/* Each time that a 1 is written. */
static void compact_asked(void)
{
	if (phys_sys.booted && READ_ONCE(compact_sys.compact_memory))
		compact_nodes();
}

static void numa_balancing_asked(void)
{
	if (phys_sys.booted)
		numa_balancing_changed();
}

#define ANY_COUNT INT32_MAX
/* A single number; 0 or from ZERO_OR on, within LO .. HI. */
#define ONE(name, field, lo, hi, zero_or, changed)                         \
	{                                                                  \
		name, {&(field)}, sizeof(field), lo, hi, zero_or, changed, \
			NULL, NULL, NULL                                   \
	}
/* A word. */
#define WORD(name, set, get)                                       \
	{                                                          \
		name, {NULL}, 0, 0, 0, 0, NULL, NULL, (set), (get) \
	}

static const char *policy_name(void)
{
	const struct lru_ops *ops = lru_policy();

	return ops ? ops->name : "";
}

static const struct sysctl_entry sysctl_table[] = {
	ONE("kernel.numa_balancing", space_sys.numa.mode, 0, 3, 0,
	    numa_balancing_asked),
	ONE("kernel.numa_balancing_promote_rate_limit_MBps",
	    space_sys.numa.rate_limit_mbps, 0, ANY_COUNT, 0, NULL),
	ONE("kernel.shm_rmid_forced", space_sys.shm_limit.rmid_forced, 0, 1, 0,
	    shm_forced_changed),
	ONE("kernel.shmall", space_sys.shm_limit.shmall, 0, UINT64_MAX, 0,
	    NULL),
	ONE("kernel.shmmax", space_sys.shm_limit.shmmax, 0, UINT64_MAX, 0,
	    NULL),
	ONE("kernel.shmmni", space_sys.shm_limit.shmmni, 0, SHMMNI_MAX, 0,
	    NULL),
	ONE("vm.admin_reserve_kbytes", space_sys.admin_reserve_kbytes, 0,
	    INT64_MAX, 0, NULL),
	ONE("vm.compact_memory", compact_sys.compact_memory, 0, 1, 0,
	    compact_asked),
	ONE("vm.compact_unevictable_allowed", compact_sys.unevictable_allowed,
	    0, 1, 0, NULL),
	ONE("vm.compaction_proactiveness", compact_sys.proactiveness, 0, 100, 0,
	    NULL),
	ONE("vm.dirty_background_bytes",
	    cache_sys.fm.flush.dirty_background_bytes, 0, INT64_MAX, 1,
	    background_bytes_changed),
	ONE("vm.dirty_background_ratio",
	    cache_sys.fm.flush.dirty_background_ratio, 0, 100, 0,
	    background_ratio_changed),
	ONE("vm.dirty_bytes", cache_sys.fm.flush.dirty_bytes, 0, INT64_MAX,
	    2 * PAGE_SIZE, dirty_bytes_changed),
	ONE("vm.dirty_expire_centisecs",
	    cache_sys.fm.flush.dirty_expire_centisecs, 0, ANY_COUNT, 0, NULL),
	ONE("vm.dirty_ratio", cache_sys.fm.flush.dirty_ratio, 0, 100, 0,
	    dirty_ratio_changed),
	ONE("vm.dirty_writeback_centisecs",
	    policy_sys.dirty_writeback_centisecs, 0, ANY_COUNT, 0, NULL),
	ONE("vm.drop_caches", reclaim_sys.drop_caches, 0, 4, 0, caches_dropped),
	ONE("vm.extfrag_threshold", compact_sys.extfrag_threshold, 0, 1000, 0,
	    NULL),
	{"vm.lowmem_reserve_ratio",
	 {RESERVE_RATIO(ZONE_DMA), RESERVE_RATIO(ZONE_DMA32),
	  RESERVE_RATIO(ZONE_NORMAL), RESERVE_RATIO(ZONE_HIGHMEM),
	  RESERVE_RATIO(ZONE_MOVABLE)},
	 sizeof(u32),
	 0,
	 ANY_COUNT,
	 0,
	 wmarks_changed,
	 zone_exists,
	 NULL,
	 NULL},
	ONE("vm.max_map_count", space_sys.max_map_count, 0, ANY_COUNT, 0, NULL),
	ONE("vm.memfd_noexec", cache_sys.shmem.memfd_noexec, 0, 2, 0, NULL),
	ONE("vm.memory_failure_early_kill", space_sys.memory_failure_early_kill,
	    0, 1, 0, NULL),
	ONE("vm.memory_failure_recovery", space_sys.memory_failure_recovery, 0,
	    1, 0, NULL),
	ONE("vm.min_free_kbytes", phys_sys.tunables.min_free_kbytes, 0,
	    ANY_COUNT, 0, wmarks_changed),
	ONE("vm.min_slab_ratio", phys_sys.tunables.min_slab_ratio, 0, 100, 0,
	    NULL),
	ONE("vm.min_unmapped_ratio", phys_sys.tunables.min_unmapped_ratio, 0,
	    100, 0, NULL),
	ONE("vm.mmap_min_addr", space_sys.mmap_min_addr, 0, USER_END, 0, NULL),
	ONE("vm.numa_stat", phys_sys.tunables.numa_stat, 0, 1, 0,
	    vmstat_numa_changed),
	ONE("vm.oom_dump_tasks", policy_sys.oom_dump_tasks, 0, ANY_COUNT, 0,
	    NULL),
	ONE("vm.oom_kill_allocating_task", policy_sys.oom_kill_allocating_task,
	    0, ANY_COUNT, 0, NULL),
	ONE("vm.overcommit_kbytes", space_sys.overcommit_kbytes, 0, INT64_MAX,
	    0, NULL),
	ONE("vm.overcommit_memory", space_sys.overcommit_memory, 0, 2, 0, NULL),
	ONE("vm.overcommit_ratio", space_sys.overcommit_ratio, 0, ANY_COUNT, 0,
	    NULL),
	ONE("vm.page-cluster", cache_sys.page_cluster, 0, 31, 0, NULL),
	ONE("vm.panic_on_oom", policy_sys.panic_on_oom, 0, 2, 0, NULL),
	ONE("vm.percpu_pagelist_high_fraction",
	    phys_sys.tunables.percpu_pagelist_high_fraction, 0, ANY_COUNT, 8,
	    wmarks_changed),
	WORD("vm.reclaim_policy", reclaim_select, policy_name),
	ONE("vm.stack_guard_gap", space_sys.stack_guard_gap, 0,
	    USER_END >> PAGE_SHIFT, 0, NULL),
	ONE("vm.swappiness", reclaim_sys.swappiness, 0, 200, 0, NULL),
	ONE("vm.unprivileged_userfaultfd", space_sys.unprivileged_userfaultfd,
	    0, 1, 0, NULL),
	ONE("vm.user_reserve_kbytes", space_sys.user_reserve_kbytes, 0,
	    INT64_MAX, 0, NULL),
	ONE("vm.watermark_boost_factor",
	    phys_sys.tunables.watermark_boost_factor, 0, ANY_COUNT, 0,
	    wmarks_changed),
	ONE("vm.watermark_scale_factor",
	    phys_sys.tunables.watermark_scale_factor, 1, 3000, 0,
	    wmarks_changed),
	ONE("vm.zone_reclaim_mode", phys_sys.tunables.zone_reclaim_mode, 0, 7,
	    0, NULL),
};

/* ---- look-up ----------------------------------------------------------- */

/* '.' and '/' separate alike, as for sysctl(8). */
static bool name_equal(const char *a, const char *b)
{
	while (*a && (*a == *b || (*a == '.' && *b == '/'))) {
		a++;
		b++;
	}
	return *a == 0 && *b == 0;
}

static const struct sysctl_entry *find_entry(const char *name)
{
	mm_assert(name != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(sysctl_table); i++)
		if (name_equal(sysctl_table[i].name, name))
			return &sysctl_table[i];
	return NULL;
}

/* Where the N-th number stands that exists on this machine, or NULL. */
static void *value_at(const struct sysctl_entry *e, int n)
{
	for (int i = 0; i < SYSCTL_MAX_VALUES && e->at[i]; i++) {
		if (e->exists && !e->exists(i))
			continue;
		if (n-- == 0)
			return e->at[i];
	}
	return NULL;
}

static u64 load_value(const struct sysctl_entry *e, const void *at)
{
	mm_assert(e->width == 4 || e->width == 8);
	if (e->width == 4)
		return READ_ONCE(*(const u32 *)at);
	return READ_ONCE(*(const u64 *)at);
}

static void store_value(const struct sysctl_entry *e, void *at, u64 value)
{
	mm_assert_implies(e->width == 4, value <= UINT32_MAX);
	if (e->width == 4)
		WRITE_ONCE(*(u32 *)at, (u32)value);
	else
		WRITE_ONCE(*(u64 *)at, value);
}

/* ---- reading numbers --------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == ',';
}

/*
 * The number at *TEXT, which is left behind it. 0, -EINVAL, or -ERANGE for
 * what is a number but negative or too large for 64 bits.
 */
static int parse_number(const char **text, u64 *out)
{
	const char *s = *text;
	bool negative = *s == '-', over = false;
	u64 v = 0;

	mm_assert(*s && !is_blank(*s));
	s += negative;
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		over |= __builtin_mul_overflow(v, 10UL, &v);
		over |= __builtin_add_overflow(v, (u64)(*s - '0'), &v);
	}
	if (*s && !is_blank(*s))
		return -EINVAL;
	*text = s;
	*out = v;
	return over || (negative && v) ? -ERANGE : 0;
}

static bool in_range(const struct sysctl_entry *e, u64 v)
{
	mm_assert(e->lo <= e->hi);
	if (v < e->lo || v > e->hi)
		return false;
	return v == 0 || v >= e->zero_or;
}

/* All numbers of TEXT into V; how many, or a negative errno. */
static int parse_values(const struct sysctl_entry *e, const char *text,
			u64 v[static SYSCTL_MAX_VALUES])
{
	int n = 0, worst = 0;

	for (;;) {
		int err;

		while (is_blank(*text))
			text++;
		if (!*text)
			break;
		if (!value_at(e, n))
			return -EINVAL;
		err = parse_number(&text, &v[n]);
		if (err == -EINVAL)
			return err;
		if (err || !in_range(e, v[n]))
			worst = -ERANGE;
		n++;
	}
	if (worst)
		return worst;
	return n ? n : -EINVAL;
}

/* TEXT, a word with blanks around it, to the tunable's own parser. */
static int set_word(const struct sysctl_entry *e, const char *text)
{
	char word[32];
	size_t n = 0;

	while (is_blank(*text))
		text++;
	while (*text && !is_blank(*text)) {
		if (n + 1 == sizeof(word))
			return -EINVAL;
		word[n++] = *text++;
	}
	while (is_blank(*text))
		text++;
	if (*text || !n)
		return -EINVAL;
	word[n] = '\0';
	return e->set_word(word);
}

/* ---- the calls --------------------------------------------------------- */

int mm_sysctl_set(const char *name, const char *value)
{
	const struct sysctl_entry *e = find_entry(name);
	u64 v[SYSCTL_MAX_VALUES];
	int n;

	mm_assert(value != NULL);
	if (!e)
		return -ENOENT;
	if (e->set_word)
		return set_word(e, value);
	n = parse_values(e, value, v);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		store_value(e, value_at(e, i), v[i]);
	if (e->changed)
		e->changed();
	return 0;
}

int mm_sysctl_get(const char *name, struct seq_buf *out)
{
	const struct sysctl_entry *e = find_entry(name);

	if (!e)
		return -ENOENT;
	if (e->get_word)
		seq_printf(out, "%s", e->get_word());
	for (int n = 0; value_at(e, n); n++)
		seq_printf(out, "%s%llu", n ? "\t" : "",
			   (unsigned long long)load_value(e, value_at(e, n)));
	return 0;
}

int mm_sysctl_range(const char *name, u64 *lo, u64 *hi)
{
	const struct sysctl_entry *e = find_entry(name);

	if (!e)
		return -ENOENT;
	*lo = e->lo;
	*hi = e->hi;
	return 0;
}

void mm_sysctl_list(void (*fn)(const char *name, void *arg), void *arg)
{
	mm_assert(fn != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(sysctl_table); i++)
		fn(sysctl_table[i].name, arg);
}
