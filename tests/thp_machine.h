/* SPDX-License-Identifier: MIT */
/* What tests of huge pages share: regions, counts, contents. */
#ifndef TESTS_THP_MACHINE_H
#define TESTS_THP_MACHINE_H

#include "sim_machine.h"

#include "space/huge.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)
#define HP   HPAGE_PMD_SIZE

/* BODY on machines of each format that has huge pages of 2 MiB. */
#define EACH_FORMAT(body)                                                      \
	do {                                                                   \
		TM_RUN(body, .mem = 32UL << 20);                               \
		TM_RUN(body, .mem = 32UL << 20, .cpus = 2,                     \
		       .format = &paging_x86_64_5level);                       \
		TM_RUN(body, .mem = 32UL << 20, .format = &paging_x86_32_pae); \
		TM_RUN(body, .mem = 32UL << 20, .format = &paging_arm64);      \
	} while (0)

static inline u64 event(enum vm_event_item item)
{
	u64 sum[NR_VM_EVENT_ITEMS];

	all_vm_events(sum);
	return sum[item];
}

/* Does the CPU see a large entry at VA? */
static inline bool huge_at(struct mm_struct *mm, uva_t va)
{
	struct pt_slot slot;

	return pt_lookup(&mm->pt, va, &slot) && pt_promoted(slot.table);
}

static inline u64 huge_count(void)
{
	return global_node_page_state(NR_ANON_THPS);
}

/* N huge pages' regions, advised. */
static inline uva_t map_huge(struct mm_struct *mm, u64 n)
{
	uva_t at = tm_map(mm, (n + 1) * HPAGE_PMD_NR), to = ALIGN(at, HP);

	if (to > at)
		CHECK_EQ(do_munmap(mm, at, to - at), 0);
	if (at + HP > to)
		CHECK_EQ(do_munmap(mm, to + n * HP, at + HP - to), 0);
	CHECK_EQ(do_madvise(mm, to, n * HP, MADV_HUGEPAGE), 0);
	return to;
}

static inline u64 rss_of(struct mm_struct *mm)
{
	return mm_rss(mm);
}

static inline struct mm_struct *use_mm(void)
{
	struct mm_struct *mm = tm_mm();

	tm_use(mm);
	return mm;
}

static inline void end_mm(struct mm_struct *mm)
{
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(huge_count(), 0);
}

static inline void set_file(const char *name, const char *text)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s",
		 name);
	CHECK_EQ(mm_write(path, text, strlen(text)), (s64)strlen(text));
}

/* Fill [AT, AT + N pages) with words that tell where they are. */
static inline void fill(uva_t at, u64 n, u64 salt)
{
	for (u64 i = 0; i < n; i++)
		tm_store(at + P(i), salt + i);
}

static inline void verify(uva_t at, u64 n, u64 salt)
{
	for (u64 i = 0; i < n; i++)
		CHECK_EQ(tm_load(at + P(i)), salt + i);
}

#endif
