/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID and /proc/kpage*: whole texts against what is known to be mapped,
 * words against page tables and descriptors, sums against a recount, the
 * soft-dirty protocol against a model of what was written.
 */
#include <mmkit/prctl.h>

#include "sim_machine.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

static char text[1 << 16];

static const char *show(const char *path)
{
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(path, &s), 0);
	CHECK(!seq_buf_has_overflowed(&s));
	return seq_buf_str(&s);
}

static void expect_text(const char *path, const char *want)
{
	const char *got = show(path);

	if (strcmp(got, want) != 0) {
		fprintf(stderr, "%s:\n%s\nwanted:\n%s\n", path, got, want);
		tm_fail("the text is as wanted", __FILE__, __LINE__);
	}
}

/* The value of NAME in a text of lines "NAME: value"; all lines summed. */
static u64 value_of(const char *lines, const char *name)
{
	size_t len = strlen(name);
	u64 sum = 0;
	bool found = false;

	for (const char *at = lines; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, name, len) == 0 && at[len] == ':') {
			sum += strtoull(at + len + 1, NULL, 10);
			found = true;
		}
	}
	if (!found)
		tm_fail(name, __FILE__, __LINE__);
	return sum;
}

static struct mm_struct *use_new_space(void)
{
	struct mm_struct *mm = tm_mm();

	tm_use(mm);
	if (!port_current()->pid)
		mm_task_register(port_current(), "prog");
	return mm;
}

static void leave(struct mm_struct *mm)
{
	mm_check(mm);
	mm_task_unregister(port_current());
	port_current()->pid = 0;
	tm_use(NULL);
	mm_put(mm);
}

static void map_at(struct mm_struct *mm, uva_t at, u64 pages, int prot,
		   int flags)
{
	CHECK_EQ(do_mmap(mm, at, P(pages), prot, TM_ANON | MAP_FIXED | flags),
		 (s64)at);
}

/* ---- maps, smaps, status: whole texts ------------------------------------
 */

static const char want_maps[] =
	"00400000-00402000 r-xp 00000000 00:00 0 \n"
	"00500000-00503000 rw-p 00000000 00:00 0                          "
	"        [heap]\n"
	"7f0000000000-7f0000004000 rw-p 00000000 00:00 0 \n"
	"7f0000004000-7f0000005000 ---p 00000000 00:00 0 \n"
	"7f0000010000-7f0000011000 -w-p 00000000 00:00 0 \n"
	"7ffffffdd000-7fffffffe000 rw-p 00000000 00:00 0                  "
	"        [stack]\n";

static const char want_smap[] =
	"7f0000000000-7f0000004000 rw-p 00000000 00:00 0 \n"
	"Size:                 16 kB\n"
	"KernelPageSize:        4 kB\n"
	"MMUPageSize:           4 kB\n"
	"Rss:                   8 kB\n"
	"Pss:                   8 kB\n"
	"Pss_Dirty:             8 kB\n"
	"Shared_Clean:          0 kB\n"
	"Shared_Dirty:          0 kB\n"
	"Private_Clean:         0 kB\n"
	"Private_Dirty:         8 kB\n"
	"Referenced:            8 kB\n"
	"Anonymous:             8 kB\n"
	"LazyFree:              0 kB\n"
	"AnonHugePages:         0 kB\n"
	"ShmemPmdMapped:        0 kB\n"
	"FilePmdMapped:         0 kB\n"
	"Shared_Hugetlb:        0 kB\n"
	"Private_Hugetlb:       0 kB\n"
	"Swap:                  0 kB\n"
	"SwapPss:               0 kB\n"
	"Locked:                0 kB\n"
	"THPeligible:    0\n"
	"VmFlags: rd wr mr mw me ";

static const char want_rollup[] =
	"00400000-7fffffffe000 ---p 00000000 00:00 0                      "
	"        [rollup]\n"
	"Rss:                  16 kB\n"
	"Pss:                  16 kB\n"
	"Pss_Dirty:            16 kB\n"
	"Pss_Anon:             16 kB\n"
	"Pss_File:              0 kB\n"
	"Pss_Shmem:             0 kB\n"
	"Shared_Clean:          0 kB\n"
	"Shared_Dirty:          0 kB\n"
	"Private_Clean:         0 kB\n"
	"Private_Dirty:        16 kB\n"
	"Referenced:           16 kB\n"
	"Anonymous:            16 kB\n"
	"LazyFree:              0 kB\n"
	"AnonHugePages:         0 kB\n"
	"ShmemPmdMapped:        0 kB\n"
	"FilePmdMapped:         0 kB\n"
	"Shared_Hugetlb:        0 kB\n"
	"Private_Hugetlb:       0 kB\n"
	"Swap:                  0 kB\n"
	"SwapPss:               0 kB\n"
	"Locked:                0 kB\n";

static const char want_memory[] = "VmPeak:\t     176 kB\n"
				  "VmSize:\t     176 kB\n"
				  "VmLck:\t       0 kB\n"
				  "VmPin:\t       0 kB\n"
				  "VmHWM:\t      16 kB\n"
				  "VmRSS:\t      16 kB\n"
				  "RssAnon:\t      16 kB\n"
				  "RssFile:\t       0 kB\n"
				  "RssShmem:\t       0 kB\n"
				  "VmData:\t      32 kB\n"
				  "VmStk:\t     132 kB\n"
				  "VmExe:\t       0 kB\n"
				  "VmLib:\t       8 kB\n";

/* A program as execve leaves it, four pages written to and one read. */
static struct mm_struct *make_program(void)
{
	struct mm_struct *mm = use_new_space();
	uva_t stack = mm->layout.stack_top - P(33);

	CHECK_EQ(mm->layout.stack_top, 0x7fffffffe000);
	map_at(mm, 0x400000, 2, PROT_READ | PROT_EXEC, 0);
	CHECK_EQ(mm_set_start_brk(mm, 0x500000), 0);
	CHECK_EQ(do_brk(mm, 0x502010), 0x502010);
	map_at(mm, 0x7f0000000000, 4, TM_RW, 0);
	map_at(mm, 0x7f0000004000, 1, PROT_NONE, 0);
	map_at(mm, 0x7f0000010000, 1, PROT_WRITE, 0);
	map_at(mm, stack, 33, TM_RW, MAP_GROWSDOWN);
	tm_store(0x500000, 1);
	tm_store(0x7f0000000000, 2);
	tm_store(0x7f0000003000, 3);
	tm_store(mm->layout.stack_top - 8, 4);
	CHECK_EQ(tm_load(0x7f0000001000), 0);
	return mm;
}

static int texts_body(void *arg)
{
	static const struct mm_set_mm code_start = {.op = PR_SET_MM_START_CODE,
						    .arg3 = 0x400010},
				      code_end = {.op = PR_SET_MM_END_CODE,
						  .arg3 = 0x400900};
	struct mm_struct *mm = make_program();
	char path[64];
	const char *at;

	(void)arg;
	expect_text("/proc/self/maps", want_maps);
	snprintf(path, sizeof(path), "/proc/%d/maps", port_current()->pid);
	expect_text(path, want_maps);
	at = strstr(show("/proc/self/smaps"), "7f0000000000-");
	CHECK(at && strncmp(at, want_smap, sizeof(want_smap) - 1) == 0);
	expect_text("/proc/self/smaps_rollup", want_rollup);
	at = show("/proc/self/status");
	CHECK(strncmp(at, "Name:\tprog\nPid:\t", 16) == 0);
	CHECK(strstr(at, want_memory) != NULL);
	CHECK_EQ(value_of(at, "VmPTE"), READ_ONCE(mm->pt.table_bytes) >> 10);
	expect_text("/proc/self/statm", "44 4 0 0 0 41 0\n");
	/* Told where its code is: the rest of it is of libraries. */
	port_current()->caps |= MM_CAP_SYS_RESOURCE;
	CHECK_EQ(mm_prctl_set_mm(mm, &code_end), 0);
	CHECK_EQ(mm_prctl_set_mm(mm, &code_start), 0);
	at = show("/proc/self/status");
	CHECK_EQ(value_of(at, "VmExe"), 4);
	CHECK_EQ(value_of(at, "VmLib"), 4);
	expect_text("/proc/self/statm", "44 4 0 1 0 41 0\n");
	leave(mm);
	return 0;
}

static void texts(void **state)
{
	(void)state;
	TM_RUN(texts_body);
}

/* ---- names and arguments that are wrong -----------------------------------
 */

static int errors_body(void *arg)
{
	static const char *const names[] = {
		"/proc/self/nothing",
		"/proc/self",
		"/proc/self/",
		"/proc/12x/maps",
		"/proc//maps",
		"/proc/-1/maps",
		"/proc/99999999999999999999/maps",
	};
	struct mm_struct *mm = use_new_space();
	u64 words[4] = {7, 7, 7, 7};
	struct seq_buf s;

	(void)arg;
	seq_buf_init(&s, text, sizeof(text));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CHECK_EQ(mm_show(names[i], &s), -ENOENT);
		CHECK_EQ(mm_read(names[i], 0, words, 8), -ENOENT);
		CHECK_EQ(mm_write(names[i], "1", 1), -ENOENT);
	}
	CHECK_EQ(mm_show("/proc/4711/maps", &s), -ESRCH);
	CHECK_EQ(mm_read("/proc/4711/pagemap", 0, words, 8), -ESRCH);
	CHECK_EQ(mm_write("/proc/4711/clear_refs", "1", 1), -ESRCH);
	CHECK_EQ(mm_show("/proc/self/pagemap", &s), -EINVAL);
	CHECK_EQ(mm_read("/proc/self/maps", 0, words, 8), -EINVAL);
	CHECK_EQ(mm_write("/proc/self/maps", "1", 1), -EINVAL);
	CHECK_EQ(s.len, 0);
	CHECK_EQ(mm_read("/proc/self/pagemap", 4, words, 8), -EINVAL);
	CHECK_EQ(mm_read("/proc/self/pagemap", 0, words, 12), -EINVAL);
	CHECK_EQ(mm_read("/proc/kpageflags", 0, (char *)words + 4, 8), -EINVAL);
	CHECK_EQ(mm_read("/proc/kpagecount", 1, words, 8), -EINVAL);
	CHECK_EQ(words[0], 7);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "0", 1), -EINVAL);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "6", 1), -EINVAL);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "", 0), -EINVAL);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "44", 2), -EINVAL);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "4\n", 2), 2);
	leave(mm);
	return 0;
}

static int no_space_body(void *arg)
{
	u64 word = 7;

	(void)arg;
	mm_task_register(port_current(), "daemon");
	expect_text("/proc/self/maps", "");
	expect_text("/proc/self/smaps", "");
	expect_text("/proc/self/smaps_rollup", "");
	expect_text("/proc/self/statm", "0 0 0 0 0 0 0\n");
	CHECK(strncmp(show("/proc/self/status"), "Name:\tdaemon\n", 13) == 0);
	CHECK_EQ(mm_read("/proc/self/pagemap", 0, &word, 8), 0);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "4", 1), 1);
	CHECK_EQ(word, 7);
	mm_task_unregister(port_current());
	port_current()->pid = 0;
	return 0;
}

static void errors(void **state)
{
	(void)state;
	TM_RUN(errors_body);
	TM_RUN(no_space_body);
}

/* ---- words ----------------------------------------------------------------
 */

#define PM_SOFT	   (1UL << 55)
#define PM_EXCL	   (1UL << 56)
#define PM_SWAP	   (1UL << 62)
#define PM_PRESENT (1UL << 63)

static u64 pagemap(uva_t va)
{
	u64 w = 0;

	CHECK_EQ(mm_read("/proc/self/pagemap", (va >> PAGE_SHIFT) * 8, &w, 8),
		 8);
	return w;
}

static int pagemap_body(void *arg)
{
	struct mm_struct *mm = use_new_space(), *child;
	uva_t at = tm_map(mm, 8);
	u64 w, words[16];
	swp_entry_t entry;

	(void)arg;
	tm_store(at, 1);
	tm_store(at + P(1), 1);
	tm_store(at + P(2), 1);
	tm_load(at + P(3));
	CHECK_EQ(pagemap(at),
		 PM_PRESENT | PM_EXCL | PM_SOFT | pte_pfn(tm_pte(mm, at)));
	CHECK_EQ(pagemap(at + P(3)), PM_PRESENT | PM_SOFT | space_sys.zero_pfn);
	CHECK_EQ(pagemap(at + P(4)), PM_SOFT);
	CHECK_EQ(pagemap(at - P(1)), 0);
	tm_swap_out(mm, at + P(1));
	entry = pte_to_swp_entry(tm_pte(mm, at + P(1)));
	CHECK_EQ(pagemap(at + P(1)),
		 PM_SWAP | PM_SOFT | swp_type(entry) | swp_offset(entry) << 5);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(pagemap(at) & PM_EXCL, 0);
	mm_put(child);
	CHECK_EQ(pagemap(at) & PM_EXCL, PM_EXCL);
	/* Many at once, across the mapping's end; then the end of space. */
	CHECK_EQ(mm_read("/proc/self/pagemap", (at >> PAGE_SHIFT) * 8, words,
			 sizeof(words)),
		 sizeof(words));
	for (u32 i = 0; i < 8; i++)
		CHECK_EQ(words[i], pagemap(at + P(i)));
	w = mm->layout.task_size >> PAGE_SHIFT;
	CHECK_EQ(mm_read("/proc/self/pagemap", (w - 1) * 8, words, 128), 8);
	CHECK_EQ(mm_read("/proc/self/pagemap", w * 8, words, 128), 0);
	leave(mm);
	return 0;
}

static void pagemap_words(void **state)
{
	(void)state;
	TM_RUN(pagemap_body, .swap_pages = 256);
}

static u64 kpage(const char *path, u64 pfn)
{
	u64 w = 0;

	CHECK_EQ(mm_read(path, pfn * 8, &w, 8), 8);
	return w;
}

#define KPF(n) (1UL << (n))

/* Free frames, holes, and their sum. */
static void count_frames(u64 *buddy, u64 *nopage)
{
	static u64 words[1024];
	u64 off = 0;
	s64 n;

	*buddy = *nopage = 0;
	while ((n = mm_read("/proc/kpageflags", off, words, sizeof(words))) >
	       0) {
		for (s64 i = 0; i < n / 8; i++) {
			*buddy += (words[i] & KPF(10)) != 0;
			*nopage += (words[i] & KPF(20)) != 0;
		}
		off += (u64)n;
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(off, phys_hot()->max_pfn * 8);
}

static int kpage_body(void *arg)
{
	struct mm_struct *mm = use_new_space(), *child;
	uva_t at = tm_map(mm, 2);
	u64 buddy, nopage, pfn, slab;
	struct page *page;

	(void)arg;
	tm_store(at, 1);
	tm_load(at + P(1));
	lru_add_drain_all();
	pfn = pte_pfn(tm_pte(mm, at));
	/* uptodate, LRU, mapped, anonymous, swap backed, and no more but
	 * referenced, dirty or active. */
	CHECK_EQ(kpage("/proc/kpageflags", pfn) & ~(KPF(2) | KPF(4) | KPF(6)),
		 KPF(3) | KPF(5) | KPF(11) | KPF(12) | KPF(14));
	CHECK_EQ(kpage("/proc/kpagecount", pfn), 1);
	CHECK_EQ(kpage("/proc/kpagecgroup", pfn), 0);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(kpage("/proc/kpagecount", pfn), 2);
	mm_put(child);
	CHECK(kpage("/proc/kpageflags", space_sys.zero_pfn) & KPF(24));
	pfn = page_to_pfn(compound_head(view_to_page(mm)));
	slab = kpage("/proc/kpageflags", pfn);
	CHECK_EQ(slab & (KPF(7) | KPF(11) | KPF(12)), KPF(7));
	CHECK_EQ(kpage("/proc/kpagecount", pfn), 0);
	CHECK(kpage("/proc/kpageflags", mm->pt.root_pfn) & KPF(26));
	/* A hole among frames has a descriptor, which nobody may use. */
	CHECK_EQ(kpage("/proc/kpageflags", 0xa0), KPF(32));
	page = alloc_pages(GFP_KERNEL | __GFP_COMP, 2);
	CHECK(page);
	CHECK(kpage("/proc/kpageflags", page_to_pfn(page)) & KPF(15));
	CHECK(kpage("/proc/kpageflags", page_to_pfn(page) + 3) & KPF(16));
	__free_pages(page, 2);
	drain_all_pages();
	count_frames(&buddy, &nopage);
	CHECK(nopage == 0 && buddy > 0);
	leave(mm);
	return 0;
}

static void kpage_words(void **state)
{
	(void)state;
	TM_RUN(kpage_body);
	/* Most of this machine has no descriptors yet. */
	TM_RUN(kpage_body, .mem = 2UL << 30);
}

/* ---- what was written since -----------------------------------------------
 *
 * A model keeps a bit for each page; pages are written, read, swapped out,
 * moved, forked, protected, unmapped and mapped anew.
 */

#define SD_PAGES 24

struct sd {
	struct mm_struct *mm;
	struct prng r;
	uva_t at;
	bool dirty[SD_PAGES]; /* as pagemap must show it */
};

static void sd_compare(struct sd *sd)
{
	for (u32 i = 0; i < SD_PAGES; i++) {
		snprintf(tm_context, sizeof(tm_context), "page %u", i);
		CHECK_EQ((pagemap(sd->at + P(i)) & PM_SOFT) != 0, sd->dirty[i]);
	}
}

static void sd_clear(struct sd *sd)
{
	CHECK_EQ(mm_write("/proc/self/clear_refs", "4", 1), 1);
	memset(sd->dirty, 0, sizeof(sd->dirty));
}

/* Everything goes and is mapped anew: all of it is news. */
static void sd_remap(struct sd *sd)
{
	CHECK_EQ(do_munmap(sd->mm, sd->at, P(SD_PAGES)), 0);
	map_at(sd->mm, sd->at, SD_PAGES, TM_RW, 0);
	memset(sd->dirty, 1, sizeof(sd->dirty));
}

/* There and back: pages that had an entry are marked, wherever they go. */
static void sd_move(struct sd *sd)
{
	uva_t other = sd->at + P(4096);

	CHECK_EQ(do_mremap(sd->mm, sd->at, P(SD_PAGES), P(SD_PAGES),
			   MREMAP_MAYMOVE | MREMAP_FIXED, other),
		 (s64)other);
	for (u32 i = 0; i < SD_PAGES; i++)
		if (tm_pte(sd->mm, other + P(i)).val)
			sd->dirty[i] = true;
	CHECK_EQ(do_mremap(sd->mm, other, P(SD_PAGES), P(SD_PAGES),
			   MREMAP_MAYMOVE | MREMAP_FIXED, sd->at),
		 (s64)sd->at);
}

static void sd_step(struct sd *sd)
{
	u32 i = (u32)prng_below(&sd->r, SD_PAGES);
	uva_t va = sd->at + P(i);
	struct mm_struct *child;
	pte_t e = tm_pte(sd->mm, va);

	switch (prng_below(&sd->r, 12)) {
	case 0:
		sd_clear(sd);
		break;
	case 1:
	case 2:
	case 3:
		tm_store(va, i);
		sd->dirty[i] = true;
		break;
	case 4:
	case 5:
		tm_load(va);
		break;
	case 6:
		if (pte_present(e) && !pte_special(e))
			tm_swap_out(sd->mm, va);
		break;
	case 7:
		CHECK_EQ(mm_fork(sd->mm, &child), 0);
		mm_put(child);
		break;
	case 8:
		CHECK_EQ(do_mprotect(sd->mm, va, P(1), PROT_READ), 0);
		CHECK_EQ(do_mprotect(sd->mm, va, P(1), TM_RW), 0);
		break;
	case 9:
		if (prng_below(&sd->r, 4) == 0)
			sd_move(sd);
		break;
	case 10:
		if (prng_below(&sd->r, 8) == 0)
			sd_remap(sd);
		break;
	default:
		CHECK_EQ(mm_write("/proc/self/clear_refs", "1", 1), 1);
	}
}

static int soft_dirty_body(void *arg)
{
	struct sd sd = {.at = 0x40000000};
	u64 steps = tm_soak() ? 100000 : 1500;

	(void)arg;
	sd.mm = use_new_space();
	test_seed(&sd.r, "soft_dirty");
	map_at(sd.mm, sd.at, SD_PAGES, TM_RW, 0);
	memset(sd.dirty, 1, sizeof(sd.dirty));
	for (u64 i = 0; i < steps; i++) {
		sd_step(&sd);
		sd_compare(&sd);
	}
	leave(sd.mm);
	return 0;
}

static void soft_dirty(void **state)
{
	(void)state;
	TM_RUN(soft_dirty_body, .swap_pages = 512);
	TM_RUN(soft_dirty_body, .swap_pages = 512, .format = &paging_x86_32);
	TM_RUN(soft_dirty_body, .swap_pages = 512, .format = &paging_arm64);
}

/* ---- shares ---------------------------------------------------------------
 *
 * Spaces that share pages by fork: over all of them Pss adds up to what is
 * resident, Rss to the entries, and swap's shares to the slots.
 */

#define SPACES 6

struct share_sum {
	u64 rss, pss, swap, swap_pss, refs;
};

static void sum_space(struct mm_struct *mm, struct share_sum *s)
{
	const char *lines;

	tm_use(mm);
	lines = show("/proc/self/smaps");
	s->rss += value_of(lines, "Rss");
	s->pss += value_of(lines, "Pss");
	s->swap += value_of(lines, "Swap");
	s->swap_pss += value_of(lines, "SwapPss");
	s->refs += value_of(lines, "Referenced");
	CHECK_EQ(value_of(lines, "Rss"),
		 value_of(lines, "Shared_Clean") +
			 value_of(lines, "Shared_Dirty") +
			 value_of(lines, "Private_Clean") +
			 value_of(lines, "Private_Dirty"));
	CHECK_EQ(value_of(lines, "Rss"), value_of(lines, "Anonymous"));
}

static int shares_body(void *arg)
{
	struct mm_struct *mm[SPACES];
	u64 free0, resident;
	struct share_sum s = {0};
	uva_t at;

	(void)arg;
	mm[0] = use_new_space();
	at = tm_map(mm[0], 60);
	free0 = global_node_page_state(NR_ANON_MAPPED);
	for (u32 i = 0; i < 60; i++)
		tm_store(at + P(i), i);
	for (u32 c = 1; c < SPACES; c++) {
		CHECK_EQ(mm_fork(mm[0], &mm[c]), 0);
		tm_use(mm[c]);
		for (u32 i = 0; i < 10 * c; i++)
			tm_store(at + P(i), i + c);
		tm_use(mm[0]);
	}
	tm_swap_out(mm[0], at + P(59)); /* in all of them */
	tm_swap_out(mm[0], at);		/* the first's own */
	resident = global_node_page_state(NR_ANON_MAPPED) - free0;
	for (u32 c = 0; c < SPACES; c++)
		sum_space(mm[c], &s);
	CHECK_EQ(s.rss, (SPACES * 60 - SPACES - 1) * 4);
	/* Each space rounds down once. */
	CHECK(s.pss <= resident * 4 && s.pss + SPACES >= resident * 4);
	CHECK_EQ(s.swap, (SPACES + 1) * 4);
	CHECK(s.swap_pss <= 8 && s.swap_pss + SPACES >= 8);
	/* What nobody touches after 1 is not referenced, until it is. */
	tm_use(mm[0]);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "3", 1), 1);
	CHECK(value_of(show("/proc/self/smaps"), "Referenced") > 0);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "2", 1), 1);
	CHECK_EQ(value_of(show("/proc/self/smaps"), "Referenced"), 0);
	tm_load(at + P(20));
	CHECK_EQ(value_of(show("/proc/self/smaps"), "Referenced"), 4);
	CHECK_EQ(mm_write("/proc/self/clear_refs", "5", 1), 1);
	CHECK_EQ(value_of(show("/proc/self/status"), "VmHWM"), 58 * 4);
	for (u32 c = 1; c < SPACES; c++)
		mm_put(mm[c]);
	CHECK_EQ(do_munmap(mm[0], at, P(50)), 0);
	CHECK_EQ(value_of(show("/proc/self/status"), "VmPeak"), 240);
	CHECK_EQ(value_of(show("/proc/self/status"), "VmSize"), 40);
	leave(mm[0]);
	return 0;
}

static void shares(void **state)
{
	(void)state;
	TM_RUN(shares_body, .swap_pages = 256);
}

/* ---- large pages
 * ----------------------------------------------------------------------- */

#define THP_HEAD (1ul << 15)
#define THP_TAIL (1ul << 16)
#define THP_FLAG (1ul << 22)

static u64 thp_word(u64 pfn)
{
	u64 w;

	CHECK_EQ(mm_read("/proc/kpageflags", pfn * 8, &w, 8), 8);
	return w & (THP_HEAD | THP_TAIL | THP_FLAG);
}

/* One is told as one for as long as one entry maps it. */
static int large_body(void *arg)
{
	struct mm_struct *mm = use_new_space();
	uva_t at = 0x40000000;
	u64 first, word;

	(void)arg;
	map_at(mm, at, 512, PROT_READ | PROT_WRITE, 0);
	CHECK_EQ(do_madvise(mm, at, P(512), MADV_HUGEPAGE), 0);
	tm_store(at + P(7), 1);
	CHECK_EQ(value_of(show("/proc/self/smaps"), "AnonHugePages"), 2048);
	CHECK_EQ(value_of(text, "Rss"), 2048);
	CHECK_EQ(value_of(text, "THPeligible"), 1);
	CHECK_EQ(value_of(show("/proc/self/smaps_rollup"), "AnonHugePages"),
		 2048);
	first = pte_pfn(tm_pte(mm, at));
	CHECK_EQ(thp_word(first), THP_FLAG | THP_HEAD);
	CHECK_EQ(thp_word(first + 1), THP_FLAG | THP_TAIL);
	CHECK_EQ(thp_word(first + 511), THP_FLAG | THP_TAIL);
	CHECK_EQ(mm_read("/proc/self/pagemap", (at >> PAGE_SHIFT) * 8 + 8,
			 &word, 8),
		 8);
	CHECK_EQ(word & ((1ul << 55) - 1), first + 1);
	/* A page of it goes: the others are pages. */
	CHECK_EQ(do_munmap(mm, at + P(3), P(1)), 0);
	CHECK_EQ(value_of(show("/proc/self/smaps"), "AnonHugePages"), 0);
	CHECK_EQ(value_of(text, "Rss"), 2044);
	CHECK_EQ(thp_word(first + 1) | thp_word(first), 0);
	leave(mm);
	return 0;
}

static void large(void **state)
{
	(void)state;
	TM_RUN(large_body, .mem = 32UL << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),	 cmocka_unit_test(errors),
		cmocka_unit_test(pagemap_words), cmocka_unit_test(kpage_words),
		cmocka_unit_test(soft_dirty),	 cmocka_unit_test(shares),
		cmocka_unit_test(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
