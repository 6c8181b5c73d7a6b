/* SPDX-License-Identifier: MIT */
/*
 * thp_show.c - the files of /sys/kernel/mm/transparent_hugepage.
 *
 * Names, values and errors as Linux's documentation has them (admin-guide/mm/
 * transhuge). A choice is shown as all of its words, the one that counts in
 * brackets.
 */
#include <mmkit/errno.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "report/report.h"
#include "space/huge.h"

static const char *const enabled_words[] = {[THP_ALWAYS] = "always",
					    [THP_MADVISE] = "madvise",
					    [THP_NEVER] = "never"};
static const u32 enabled_order[] = {THP_ALWAYS, THP_MADVISE, THP_NEVER};

/* The one size that there is: as above, or whatever that says. */
static const char *const size_words[] = {[THP_ALWAYS] = "always",
					 [THP_INHERIT] = "inherit",
					 [THP_MADVISE] = "madvise",
					 [THP_NEVER] = "never"};
static const u32 size_order[] = {THP_ALWAYS, THP_INHERIT, THP_MADVISE,
				 THP_NEVER};
#define SIZE_DIR "hugepages-2048kB/"

static const char *const defrag_words[] = {[THP_DEFRAG_ALWAYS] = "always",
					   [THP_DEFRAG_DEFER] = "defer",
					   [THP_DEFRAG_DEFER_MADVISE] =
						   "defer+madvise",
					   [THP_DEFRAG_MADVISE] = "madvise",
					   [THP_DEFRAG_NEVER] = "never"};
static const u32 defrag_order[] = {THP_DEFRAG_ALWAYS, THP_DEFRAG_DEFER,
				   THP_DEFRAG_DEFER_MADVISE, THP_DEFRAG_MADVISE,
				   THP_DEFRAG_NEVER};

/* A file: a choice of WORDS, or a number up to MOST. */
static const struct thp_file {
	const char *name;
	u32 *value;
	u32 most;
	const char *const *words;
	const u32 *order;
	u32 nr_words;
} thp_files[] = {
	{"enabled", &space_sys.thp.enabled_all, 0, enabled_words, enabled_order,
	 ARRAY_SIZE(enabled_order)},
	{SIZE_DIR "enabled", &space_sys.thp.enabled_size, 0, size_words,
	 size_order, ARRAY_SIZE(size_order)},
	{"defrag", &space_sys.thp.defrag, 0, defrag_words, defrag_order,
	 ARRAY_SIZE(defrag_order)},
	{"use_zero_page", &space_sys.thp.use_zero_page, 1, NULL, NULL, 0},
	{"khugepaged/defrag", &space_sys.thp.khugepaged_defrag, 1, NULL, NULL,
	 0},
	{"khugepaged/pages_to_scan", &space_sys.thp.pages_to_scan, UINT32_MAX,
	 NULL, NULL, 0},
	{"khugepaged/scan_sleep_millisecs", &space_sys.thp.scan_sleep_millisecs,
	 UINT32_MAX, NULL, NULL, 0},
	{"khugepaged/alloc_sleep_millisecs",
	 &space_sys.thp.alloc_sleep_millisecs, UINT32_MAX, NULL, NULL, 0},
	{"khugepaged/max_ptes_none", &space_sys.thp.max_ptes_none,
	 HPAGE_PMD_NR - 1, NULL, NULL, 0},
	{"khugepaged/max_ptes_swap", &space_sys.thp.max_ptes_swap,
	 HPAGE_PMD_NR - 1, NULL, NULL, 0},
	{"khugepaged/max_ptes_shared", &space_sys.thp.max_ptes_shared,
	 HPAGE_PMD_NR - 1, NULL, NULL, 0},
};

static const struct thp_file *file_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(thp_files); i++)
		if (!mm_strcmp(thp_files[i].name, name))
			return &thp_files[i];
	return NULL;
}

static void show_words(const struct thp_file *f, struct seq_buf *out)
{
	u32 now = READ_ONCE(*f->value);

	for (u32 i = 0; i < f->nr_words; i++) {
		const char *word = f->words[f->order[i]];
		bool chosen = f->order[i] == now;

		seq_printf(out, "%s%s%s%s", i ? " " : "", chosen ? "[" : "",
			   word, chosen ? "]" : "");
	}
	seq_putc(out, '\n');
}

/* ---- figures of the one size ----------------------------------------------
 */

/* stats/: what each of them is by names of /proc/vmstat; ITEM 0: it does not
 * happen here, which the file says. */
static const struct thp_stat {
	const char *name;
	enum vm_event_item item;
} thp_stats[] = {
	{"anon_fault_alloc", THP_FAULT_ALLOC},
	/* anon_fault_fallback and nr_anon: show_stat() */
	{"anon_fault_fallback_charge", THP_FAULT_FALLBACK_CHARGE},
	{"zswpout", 0},
	{"swpin", 0},
	{"swpin_fallback", 0},
	{"swpin_fallback_charge", 0},
	{"swpout", THP_SWPOUT},
	{"swpout_fallback", THP_SWPOUT_FALLBACK},
	{"shmem_alloc", THP_FILE_ALLOC},
	{"shmem_fallback", THP_FILE_FALLBACK},
	{"shmem_fallback_charge", THP_FILE_FALLBACK_CHARGE},
	{"split", THP_SPLIT_PAGE},
	{"split_failed", THP_SPLIT_PAGE_FAILED},
	{"split_deferred", THP_DEFERRED_SPLIT_PAGE},
	{"nr_anon_partially_mapped", 0},
};
MM_STATIC_ASSERT(THP_FAULT_ALLOC != 0, "item 0 is none of them");

static u64 event_of(const u64 *sum, enum vm_event_item item)
{
	return item ? sum[item] : 0;
}

/* NAME of stats/. */
static int show_stat(const char *name, struct seq_buf *out)
{
	u64 sum[NR_VM_EVENT_ITEMS], v = 0;
	bool found = true;

	all_vm_events(sum);
	if (!mm_strcmp(name, "nr_anon"))
		v = global_node_page_state(NR_ANON_THPS);
	else if (!mm_strcmp(name, "anon_fault_fallback"))
		/* No zeroes to share is in the event, but no page's fault. */
		v = sum[THP_FAULT_FALLBACK] -
		    min(sum[THP_FAULT_FALLBACK],
			sum[THP_ZERO_PAGE_ALLOC_FAILED]);
	else
		found = false;
	for (size_t i = 0; i < ARRAY_SIZE(thp_stats) && !found; i++) {
		found = !mm_strcmp(thp_stats[i].name, name);
		v = event_of(sum, thp_stats[i].item);
	}
	if (found)
		seq_printf(out, "%llu\n", (unsigned long long)v);
	return found ? 0 : -ENOENT;
}

/* The part of NAME below that folder, or NULL. */
static const char *below(const char *name, const char *folder)
{
	size_t n = mm_strlen(folder);

	return mm_strncmp(name, folder, n) ? NULL : name + n;
}

int thp_file_show(const char *name, struct seq_buf *out)
{
	const struct thp_file *f = file_find(name);
	const struct thp_state *t = &space_sys.thp;

	if (below(name, SIZE_DIR "stats/"))
		return show_stat(below(name, SIZE_DIR "stats/"), out);
	if (f && f->words)
		show_words(f, out);
	else if (f)
		seq_printf(out, "%u\n", READ_ONCE(*f->value));
	else if (!mm_strcmp(name, "hpage_pmd_size"))
		seq_printf(out, "%lu\n", HPAGE_PMD_SIZE);
	else if (!mm_strcmp(name, "khugepaged/pages_collapsed"))
		seq_printf(out, "%llu\n",
			   (unsigned long long)READ_ONCE(t->pages_collapsed));
	else if (!mm_strcmp(name, "khugepaged/full_scans"))
		seq_printf(out, "%llu\n",
			   (unsigned long long)READ_ONCE(t->full_scans));
	else
		return -ENOENT;
	return 0;
}

/* TEXT[LEN] is one of F's words: which, or -EINVAL. */
static s64 parse_word(const struct thp_file *f, const char *text, size_t len)
{
	for (u32 i = 0; i < f->nr_words; i++)
		if (mm_strlen(f->words[i]) == len &&
		    !mm_strncmp(f->words[i], text, len))
			return i;
	return -EINVAL;
}

static s64 parse_number(const struct thp_file *f, const char *text, size_t len)
{
	u64 v = 0;

	if (!len || len > 10)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		v = v * 10 + (u64)(text[i] - '0');
	}
	return v <= f->most ? (s64)v : -EINVAL;
}

static void thp_enabled_changed(void)
{
	struct thp_state *t = &space_sys.thp;
	u32 size = READ_ONCE(t->enabled_size);

	WRITE_ONCE(t->enabled,
		   size == THP_INHERIT ? READ_ONCE(t->enabled_all) : size);
}

int thp_file_store(const char *name, const char *text, size_t len)
{
	const struct thp_file *f = file_find(name);
	struct thp_state *t = &space_sys.thp;
	s64 v;

	if (!f)
		return -ENOENT;
	if (len && text[len - 1] == '\n')
		len--;
	v = f->words ? parse_word(f, text, len) : parse_number(f, text, len);
	if (v < 0)
		return (int)v;
	/* No round is no round at all. */
	if (f->value == &t->pages_to_scan && !v)
		return -EINVAL;
	WRITE_ONCE(*f->value, (u32)v);
	thp_enabled_changed();
	/* The others count from the next round on. */
	if (f->value == &t->enabled_all || f->value == &t->enabled_size ||
	    f->value == &t->scan_sleep_millisecs ||
	    f->value == &t->alloc_sleep_millisecs) {
		WRITE_ONCE(t->ask, true);
		wake_up_all(&t->wait);
	}
	return 0;
}
