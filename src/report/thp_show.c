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
	{"enabled", &space_sys.thp.enabled, 0, enabled_words, enabled_order,
	 ARRAY_SIZE(enabled_order)},
	{"defrag", &space_sys.thp.defrag, 0, defrag_words, defrag_order,
	 ARRAY_SIZE(defrag_order)},
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

int thp_file_show(const char *name, struct seq_buf *out)
{
	const struct thp_file *f = file_find(name);
	const struct thp_state *t = &space_sys.thp;

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
	/* The others count from the next round on. */
	if (f->value == &t->enabled || f->value == &t->scan_sleep_millisecs ||
	    f->value == &t->alloc_sleep_millisecs) {
		WRITE_ONCE(t->ask, true);
		wake_up_all(&t->wait);
	}
	return 0;
}
