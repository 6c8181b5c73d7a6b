/* SPDX-License-Identifier: MIT */
/*
 * ksm_sysfs.c - the files of /sys/kernel/mm/ksm, by name.
 *
 * A table of what each file shows and what writing it does. All changes are
 * made under the scan's mutex; what is read is a single word, or a few that may
 * be of different moments.
 */
#include <mmkit/errno.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "merge/ksm.h"
#include "space/ksm.h"

#define LLU(x) ((unsigned long long)(x))

struct ksm_file {
	const char *name;
	void (*show)(struct seq_buf *out);
	/* VALUE, in [0, max], or, with a word, WORD. (K) 0, -errno. */
	int (*store)(u64 value);
	int (*store_word)(const char *word);
	u64 max;
	bool is_bool; /* y, n, on, off are values, too */
};

/* ---- what is shown ---------------------------------------------------------
 */

#define SHOW(fn, value)                                           \
	static void show_##fn(struct seq_buf *out)                \
	{                                                         \
		seq_printf(out, "%llu\n", LLU(READ_ONCE(value))); \
	}

SHOW(full_scans, merge_sys.full_scans)
SHOW(max_page_sharing, merge_sys.max_page_sharing)
SHOW(merge_across_nodes, merge_sys.merge_across_nodes)
SHOW(pages_scanned, merge_sys.pages_scanned)
SHOW(pages_shared, merge_sys.pages_shared)
SHOW(pages_sharing, merge_sys.pages_sharing)
SHOW(pages_skipped, merge_sys.pages_skipped)
SHOW(pages_to_scan, merge_sys.pages_to_scan)
SHOW(pages_unshared, merge_sys.pages_unshared)
SHOW(run, merge_sys.run)
SHOW(sleep_millisecs, merge_sys.sleep_millisecs)
SHOW(smart_scan, merge_sys.smart_scan)
SHOW(stable_node_chains, merge_sys.stable_node_chains)
SHOW(stable_node_dups, merge_sys.stable_node_dups)
SHOW(prune_millisecs, merge_sys.prune_millisecs)
SHOW(use_zero_pages, merge_sys.use_zero_pages)
SHOW(advisor_max_cpu, merge_sys.advisor.max_cpu)
SHOW(advisor_min_pages, merge_sys.advisor.min_pages_to_scan)
SHOW(advisor_max_pages, merge_sys.advisor.max_pages_to_scan)
SHOW(advisor_target, merge_sys.advisor.target_scan_time)

static void show_zero_pages(struct seq_buf *out)
{
	s64 n = READ_ONCE(space_sys.ksm_zero_pages);

	seq_printf(out, "%llu\n", LLU(n > 0 ? n : 0));
}

/* What is neither shared nor unique changes too fast. The words are read one by
 * one, so the difference may be below zero for a moment. */
static void show_volatile(struct seq_buf *out)
{
	s64 n = (s64)(READ_ONCE(merge_sys.rmap_items) -
		      READ_ONCE(merge_sys.pages_shared) -
		      READ_ONCE(merge_sys.pages_sharing) -
		      READ_ONCE(merge_sys.pages_unshared));

	seq_printf(out, "%llu\n", LLU(n > 0 ? n : 0));
}

s64 mm_ksm_profit(void)
{
	return (s64)(READ_ONCE(merge_sys.pages_sharing) * PAGE_SIZE) +
	       READ_ONCE(space_sys.ksm_zero_pages) * (s64)PAGE_SIZE -
	       (s64)(READ_ONCE(merge_sys.rmap_items) *
		     sizeof(struct ksm_rmap_item));
}

static void show_profit(struct seq_buf *out)
{
	seq_printf(out, "%lld\n", (long long)mm_ksm_profit());
}

static void show_advisor(struct seq_buf *out)
{
	seq_puts(out, merge_sys.advisor.mode == KSM_ADVISOR_NONE
			      ? "[none] scan-time\n"
			      : "none [scan-time]\n");
}

/* ---- what is written -------------------------------------------------------
 */

static int store_run(u64 value)
{
	int err = 0;

	if (value == merge_sys.run)
		return 0;
	if (value & KSM_RUN_MERGE)
		err = ksmd_run();
	if (err)
		return err;
	WRITE_ONCE(merge_sys.run, (u32)value);
	if (value & KSM_RUN_UNMERGE) {
		port_current()->flags |= PF_OOM_ORIGIN;
		err = ksm_unmerge_all();
		port_current()->flags &= ~PF_OOM_ORIGIN;
		if (err)
			WRITE_ONCE(merge_sys.run, KSM_RUN_STOP);
	}
	return err;
}

static int store_pages_to_scan(u64 value)
{
	if (merge_sys.advisor.mode != KSM_ADVISOR_NONE)
		return -EINVAL;
	WRITE_ONCE(merge_sys.pages_to_scan, (u32)value);
	return 0;
}

static int store_sleep(u64 value)
{
	WRITE_ONCE(merge_sys.sleep_millisecs, (u32)value);
	return 0;
}

static int store_prune(u64 value)
{
	WRITE_ONCE(merge_sys.prune_millisecs, (u32)value);
	return 0;
}

/* The trees are made anew: only with nothing in them. */
static int trees_must_be_empty(void)
{
	stable_prune();
	return merge_sys.pages_shared || stable_remove_all() ? -EBUSY : 0;
}

static int store_across(u64 value)
{
	int err = 0;

	if ((bool)value != merge_sys.merge_across_nodes)
		err = trees_must_be_empty();
	if (err)
		return err;
	if ((bool)value != merge_sys.merge_across_nodes)
		ksm_forget_unstable();
	WRITE_ONCE(merge_sys.merge_across_nodes, (bool)value);
	return 0;
}

static int store_max_sharing(u64 value)
{
	int err = 0;

	/* Less than two is no sharing. */
	if (value < 2)
		return -EINVAL;
	if (value != merge_sys.max_page_sharing)
		err = trees_must_be_empty();
	if (!err)
		WRITE_ONCE(merge_sys.max_page_sharing, (u32)value);
	return err;
}

static int store_zero(u64 value)
{
	WRITE_ONCE(merge_sys.use_zero_pages, (bool)value);
	return 0;
}

static int store_smart(u64 value)
{
	WRITE_ONCE(merge_sys.smart_scan, (bool)value);
	return 0;
}

static int store_max_cpu(u64 value)
{
	WRITE_ONCE(merge_sys.advisor.max_cpu, (u32)value);
	return 0;
}

static int store_min_pages(u64 value)
{
	if (value > merge_sys.advisor.max_pages_to_scan)
		return -EINVAL;
	WRITE_ONCE(merge_sys.advisor.min_pages_to_scan, value);
	return 0;
}

static int store_max_pages(u64 value)
{
	if (value < merge_sys.advisor.min_pages_to_scan)
		return -EINVAL;
	WRITE_ONCE(merge_sys.advisor.max_pages_to_scan, value);
	return 0;
}

static int store_target(u64 value)
{
	if (value < 1)
		return -EINVAL;
	WRITE_ONCE(merge_sys.advisor.target_scan_time, value);
	return 0;
}

/* ---- the table -------------------------------------------------------------
 */

#define RO(file, fn)                                  \
	{                                             \
		file, show_##fn, NULL, NULL, 0, false \
	}
#define RW(file, fn, store, max)                         \
	{                                                \
		file, show_##fn, store, NULL, max, false \
	}
#define FLAG(file, fn, store)                         \
	{                                             \
		file, show_##fn, store, NULL, 1, true \
	}

static const struct ksm_file files[] = {
	RW("advisor_max_cpu", advisor_max_cpu, store_max_cpu, 100),
	RW("advisor_max_pages_to_scan", advisor_max_pages, store_max_pages,
	   INT32_MAX),
	RW("advisor_min_pages_to_scan", advisor_min_pages, store_min_pages,
	   INT32_MAX),
	{"advisor_mode", show_advisor, NULL, ksm_advisor_select, 0, false},
	RW("advisor_target_scan_time", advisor_target, store_target, INT32_MAX),
	RO("full_scans", full_scans),
	RO("general_profit", profit),
	RO("ksm_zero_pages", zero_pages),
	RW("max_page_sharing", max_page_sharing, store_max_sharing, INT32_MAX),
	RW("merge_across_nodes", merge_across_nodes, store_across, 1),
	RO("pages_scanned", pages_scanned),
	RO("pages_shared", pages_shared),
	RO("pages_sharing", pages_sharing),
	RO("pages_skipped", pages_skipped),
	RW("pages_to_scan", pages_to_scan, store_pages_to_scan, UINT32_MAX),
	RO("pages_unshared", pages_unshared),
	RO("pages_volatile", volatile),
	RW("run", run, store_run, 2),
	RW("sleep_millisecs", sleep_millisecs, store_sleep, UINT32_MAX),
	FLAG("smart_scan", smart_scan, store_smart),
	RO("stable_node_chains", stable_node_chains),
	RW("stable_node_chains_prune_millisecs", prune_millisecs, store_prune,
	   UINT32_MAX),
	RO("stable_node_dups", stable_node_dups),
	FLAG("use_zero_pages", use_zero_pages, store_zero),
};

static const struct ksm_file *find_file(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (!mm_strcmp(files[i].name, name))
			return &files[i];
	return NULL;
}

/* ---- reading numbers -------------------------------------------------------
 */

/* TEXT without blanks at its ends, in WORD[SIZE]. */
static int one_word(const char *text, char *word, size_t size)
{
	size_t n = 0;

	while (*text == ' ' || *text == '\t')
		text++;
	while (*text && *text != '\n' && *text != ' ' && *text != '\t') {
		if (n + 1 == size)
			return -EINVAL;
		word[n++] = *text++;
	}
	word[n] = '\0';
	while (*text == ' ' || *text == '\t' || *text == '\n')
		text++;
	return *text || !n ? -EINVAL : 0;
}

static int parse_u64(const char *s, u64 *out)
{
	u64 v = 0;

	for (; *s; s++) {
		if (*s < '0' || *s > '9' ||
		    __builtin_mul_overflow(v, 10UL, &v) ||
		    __builtin_add_overflow(v, (u64)(*s - '0'), &v))
			return -EINVAL;
	}
	*out = v;
	return 0;
}

static int parse_bool(const char *s, u64 *out)
{
	static const char *const yes[] = {"1", "y", "Y", "on"};
	static const char *const no[] = {"0", "n", "N", "off"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		*out = !mm_strcmp(s, yes[i]);
		if (*out || !mm_strcmp(s, no[i]))
			return 0;
	}
	return -EINVAL;
}

/* ---- the calls -------------------------------------------------------------
 */

static int store_number(const struct ksm_file *f, const char *word)
{
	u64 value;
	int err =
		f->is_bool ? parse_bool(word, &value) : parse_u64(word, &value);

	if (err || value > f->max)
		return -EINVAL;
	ksm_lock();
	err = f->store(value);
	ksm_unlock();
	return err;
}

int mm_ksm_set(const char *name, const char *text)
{
	const struct ksm_file *f = find_file(name);
	char word[24];
	int err;

	if (!f)
		return -ENOENT;
	if (!f->store && !f->store_word)
		return -EACCES;
	err = one_word(text, word, sizeof(word));
	if (err)
		return err;
	if (f->store) {
		err = store_number(f, word);
	} else {
		ksm_lock();
		err = f->store_word(word);
		ksm_unlock();
	}
	ksmd_wake();
	return err;
}

int mm_ksm_get(const char *name, struct seq_buf *out)
{
	const struct ksm_file *f = find_file(name);

	if (!f)
		return -ENOENT;
	f->show(out);
	return 0;
}

void mm_ksm_list(void (*fn)(const char *name, bool writable, void *arg),
		 void *arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		fn(files[i].name, files[i].store || files[i].store_word, arg);
}

u32 mm_ksm_scan(u32 pages)
{
	return ksm_scan_pages(pages);
}

static bool any_mergeable(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	bool any = false;

	mmap_read_lock(mm);
	for_each_vma (vma, mm)
		any |= (vma->vm_flags & VM_MERGEABLE) != 0;
	mmap_read_unlock(mm);
	return any;
}

void mm_ksm_usage(struct mm_struct *mm, struct mm_ksm_usage *out)
{
	s64 zero = READ_ONCE(mm->ksm_zero_pages);

	out->rmap_items = READ_ONCE(mm->ksm_rmap_items);
	out->merging_pages = READ_ONCE(mm->ksm_merging_pages);
	out->zero_pages = zero > 0 ? (u64)zero : 0;
	out->profit =
		(s64)((out->merging_pages + out->zero_pages) * PAGE_SIZE) -
		(s64)(out->rmap_items * sizeof(struct ksm_rmap_item));
	out->merge_any = (READ_ONCE(mm->flags) & MMF_VM_MERGE_ANY) != 0;
	out->mergeable = any_mergeable(mm);
}
