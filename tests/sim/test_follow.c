/* SPDX-License-Identifier: MIT */
/*
 * The life of a page as it is told: one that was swapped out and in, forked,
 * copied on write, merged, copied again, moved and freed has each step named,
 * in order; a frame, and a large page, likewise. Frames are letters in the
 * text that is compared, times and threads are left out.
 */
#include "calls.h"

#include <mmkit/ksm.h>
#include <mmkit/mempolicy.h>
#include <mmkit/uaccess.h>

#include "base/trace_ring.h"
#include "events.h"
#include "filemap_machine.h"
#include "merge/ksm.h"
#include "space/collapse.h"
#include "space/huge.h"
#include "space/ksm.h"
#include "space/rmap.h"

/* ---- what was told
 * ----------------------------------------------------------------------- */

#define RECORDS 65536u

static struct trace_record *ring[MM_NR_CPUS];
static struct events_opts opts;
static char *told;
static size_t told_len;
static FILE *told_file;

static void listen(void)
{
	told_file = open_memstream(&told, &told_len);
	CHECK(told_file != NULL);
	for (int i = 0; i < port_nr_cpus(); i++) {
		ring[i] = calloc(RECORDS, sizeof(*ring[i]));
		CHECK(ring[i] != NULL);
		trace_ring_attach(i, ring[i], RECORDS);
	}
	follow_begin(&opts, told_file);
	follow_enable();
}

/* What has happened up to now is of MM's page (NULL: as before). */
static void told_of(const struct mm_struct *mm)
{
	struct trace_cursor c;
	struct trace_record r;

	trace_enable_mask(0);
	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r))
		follow_record(&r, mm ? mm->serial : 0);
	for (int i = 0; i < port_nr_cpus(); i++) {
		CHECK_EQ(trace_lost(i), 0);
		trace_ring_attach(i, ring[i], RECORDS);
	}
	follow_enable();
}

static void hush(void)
{
	trace_enable_mask(0);
	follow_end();
	CHECK_EQ(fclose(told_file), 0);
	for (int i = 0; i < port_nr_cpus(); i++) {
		trace_ring_attach(i, NULL, 0);
		free(ring[i]);
	}
}

/* "0x..." at *P as a letter of its own, the same for the same. */
static char letter(const char **p, u64 known[26], u32 *nr)
{
	char *end;
	u64 v = strtoull(*p, &end, 16);
	u32 i = 0;

	*p = end;
	while (i < *nr && known[i] != v)
		i++;
	if (i == *nr) {
		CHECK(*nr < 26);
		known[(*nr)++] = v;
	}
	return (char)('A' + i);
}

/* Line P without its time and thread, numbers of frames as letters, to OUT. */
static char *plain_line(const char *p, char *out, u64 known[26], u32 *nr)
{
	p += strspn(p, " ");
	p += strcspn(p, " ");
	p += strspn(p, " ");
	p += strcspn(p, " ");
	p += strspn(p, " ");
	while (*p && *p != '\n') {
		if (!strncmp(p, "0x", 2) &&
		    (!memcmp(out - 6, "frame ", 6) ||
		     !memcmp(out - 12, "frames from ", 12)))
			*out++ = letter(&p, known, nr);
		else if (!strncmp(p, "slot ", 5)) {
			p += 5 + strspn(p + 5, "0123456789");
			memcpy(out, "slot N", 6);
			out += 6;
		} else
			*out++ = *p++;
	}
	*out++ = '\n';
	return out;
}

static const char *plain(void)
{
	static char text[16384];
	u64 known[26];
	u32 nr = 0;
	char *out = text + 16;
	const char *p = strchr(told, '\n') + 1;

	memset(text, '\n', 16);
	for (; *p && *p != '\n'; p = strchr(p, '\n') + 1)
		out = plain_line(p, out, known, &nr);
	*out = 0;
	return text + 16;
}

static void compare(const char *const *want)
{
	const char *p = plain();
	u32 line = 1;

	for (; *want; want++, line++) {
		size_t len = strcspn(p, "\n");

		if (len != strlen(*want) || memcmp(p, *want, len)) {
			fprintf(stderr, "line %u: wanted '%s'\nall of it:\n%s",
				line, *want, plain());
			tm_fail("the story is another one", __FILE__, __LINE__);
		}
		p += len + 1;
	}
	if (*p)
		fprintf(stderr, "line %u and on was not wanted:\n%s", line, p);
	CHECK(!*p);
	free(told);
}

/* ---- all of it
 * ----------------------------------------------------------------------- */

static void fill(uva_t va, int c)
{
	static u8 bytes[PAGE_SIZE];

	memset(bytes, c, sizeof(bytes));
	CHECK_EQ(sim_copy_to_user(va, bytes, PAGE_SIZE), 0);
}

static u8 first_byte(uva_t va)
{
	u8 b;

	CHECK_EQ(sim_copy_from_user(&b, va, 1), 0);
	return b;
}

static void move_to(struct mm_struct *mm, uva_t va, uva_t area, s32 node)
{
	struct mm_move_pages m = {mm, mm, 1, area, area + 64, area + 128, 0};
	s32 status = -1;

	CHECK_EQ(copy_to_user(mm, area, &va, sizeof(va)), 0);
	CHECK_EQ(copy_to_user(mm, area + 64, &node, sizeof(node)), 0);
	CHECK_EQ(kernel_move_pages(&m), 0);
	CHECK_EQ(copy_from_user(mm, &status, area + 128, sizeof(status)), 0);
	CHECK_EQ(status, node);
}

static void scan_twice(void)
{
	u64 until = merge_sys.full_scans + 3;

	while (merge_sys.full_scans < until)
		CHECK(mm_ksm_scan(1000) || merge_sys.full_scans == until);
}

static const char *const whole_life[] = {
	"frame A allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_HIGHUSER_MOVABLE|__GFP_ACCOUNT|__GFP_ZERO",
	"mapped at 0x7ffff7dff000 of space 9 as memory of its own",
	"fault: a write of a page that is not there, by the "
	"program: minor",
	"onto LRU list inactive_anon",
	"aged: used through 1 of its mappings since",
	"reclaim: kept, back to its list",
	"onto LRU list inactive_anon",
	"aged: used through 0 of its mappings since",
	"unmapped from 0x7ffff7dff000 of space 9: by reclaim",
	"written to swap: area 0, slot N",
	"reclaim: kept, being written",
	"onto LRU list inactive_anon",
	"reclaim: freed",
	"frame A freed, order 0",
	"frame A allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_KERNEL|__GFP_HIGHMEM|__GFP_MOVABLE",
	"read back from slot N into frame A",
	"onto LRU list inactive_anon",
	"mapped at 0x7ffff7dff000 of space 9 back from swap",
	"fault: a read of a page that is not there, by the "
	"program: major (it was read in)",
	"mapped at 0x7ffff7dff000 of space 11 by fork, shared "
	"until somebody writes",
	"unmapped from 0x7ffff7dff000 of space 9: a write made a "
	"copy",
	"frame B allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_HIGHUSER_MOVABLE|__GFP_ACCOUNT",
	"written by space 9 at 0x7ffff7dff000: copied to frame B",
	"mapped at 0x7ffff7dff000 of space 9 as memory of its own",
	"fault: a write of a page that is protected, by the "
	"program: minor",
	"onto LRU list inactive_anon",
	"merged: pages of equal contents are to share it",
	"mapped at 0x7ffff7dff000 of space 10 in place of a page "
	"of equal contents",
	"mapped at 0x7ffff7dff000 of space 11 in place of a page "
	"of equal contents",
	"unmapped from 0x7ffff7dff000 of space 9: a write made a "
	"copy",
	"frame A allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_HIGHUSER_MOVABLE|__GFP_ACCOUNT",
	"written by space 9 at 0x7ffff7dff000: copied to frame A",
	"mapped at 0x7ffff7dff000 of space 9 as memory of its own",
	"fault: a write of a page that is protected, by the "
	"program: minor",
	"onto LRU list inactive_anon",
	"unmapped from 0x7ffff7dff000 of space 9: while it is "
	"moved",
	"frame C allocated from its CPU's list, node 1, zone "
	"DMA32: order 0, migratetype Movable, "
	"GFP_KERNEL|__GFP_HIGHMEM|__GFP_MOVABLE|__GFP_THISNODE|__GFP_NOWARN",
	"moved to frame C for a system call",
	"mapped at 0x7ffff7dff000 of space 9 where the frame "
	"before was",
	"onto LRU list inactive_anon",
	"unmapped from 0x7ffff7dff000 of space 9: given back by "
	"the program",
	"frame C freed, order 0",
	NULL,
};

static int whole_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *other = tm_mm(), *child;
	uva_t at = tm_map(mm, 1), twin = tm_map(other, 1);
	uva_t area = tm_map(mm, 1);

	(void)arg;
	CHECK_EQ(mm_ksm_set("smart_scan", "0"), 0);
	opts = (struct events_opts){.follow = true, .address = at};
	CHECK_EQ(do_madvise(mm, at, P(1), MADV_MERGEABLE), 0);
	CHECK_EQ(do_madvise(other, twin, P(1), MADV_MERGEABLE), 0);
	tm_use(other);
	fill(twin, 7);
	tm_use(mm);
	fill(area, 1);
	listen();
	told_of(mm);
	fill(at, 7);
	tm_swap_out(mm, at);
	CHECK_EQ(first_byte(at), 7);
	told_of(mm);
	/* The child reads, the parent writes. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	fill(at, 7);
	tm_use(child);
	CHECK_EQ(first_byte(at), 7);
	tm_use(NULL);
	told_of(mm);
	scan_twice();
	told_of(mm);
	tm_use(mm);
	fill(at, 9);
	told_of(mm);
	move_to(mm, at, area, 1);
	CHECK_EQ(first_byte(at), 9);
	told_of(mm);
	CHECK_EQ(do_munmap(mm, at, P(1)), 0);
	lru_add_drain();
	told_of(mm);
	tm_use(NULL);
	mm_put(mm);
	mm_put(other);
	mm_put(child);
	CHECK_EQ(mm_ksm_set("run", "2"), 0);
	CHECK_EQ(mm_ksm_set("run", "0"), 0);
	hush();
	compare(whole_life);
	return 0;
}

static void whole(void **state)
{
	(void)state;
	TM_RUN(whole_body, .nodes = 2, .cpus = 1, .mem = 32UL << 20,
	       .swap_pages = 256);
}

/* ---- what the program changes about it
 * ----------------------------------------------------------------------- */

static const char *const changed_life[] = {
	"frame A allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_HIGHUSER_MOVABLE|__GFP_ACCOUNT|__GFP_ZERO",
	"mapped at 0x7ffff7dfe000 of space 9 as memory of its own",
	"fault: a write of a page that is not there, by the "
	"program: minor",
	"protected at 0x7ffff7dfe000 of space 9: r-- from now",
	"protected at 0x7ffff7dfe000 of space 9: rw- from now",
	"of space 9: no longer at 0x7ffff7dfe000 but at 0x20000000",
	"onto LRU list inactive_anon",
	"aged: used through 1 of its mappings since",
	"reclaim: kept, back to its list",
	"onto LRU list inactive_anon",
	"aged: used through 0 of its mappings since",
	"unmapped from 0x20000000 of space 9: by reclaim",
	"written to swap: area 0, slot N",
	"reclaim: kept, being written",
	"onto LRU list inactive_anon",
	"reclaim: freed",
	"frame A freed, order 0",
	"of space 9: no longer at 0x20000000 but at 0x30000000",
	"frame A allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_KERNEL|__GFP_HIGHMEM|__GFP_MOVABLE",
	"read back from slot N into frame A",
	"onto LRU list inactive_anon",
	"mapped at 0x30000000 of space 9 back from swap",
	"fault: a read of a page that is not there, by the "
	"program: major (it was read in)",
	"unmapped from 0x30000000 of space 9: given back by the program",
	"frame A freed, order 0",
	NULL,
};

static int changed_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 2), to = 0x20000000;
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;

	(void)arg;
	opts = (struct events_opts){.follow = true, .address = at};
	tm_use(mm);
	fill(at + PAGE_SIZE, 1);
	listen();
	told_of(mm);
	fill(at, 7);
	CHECK_EQ(do_mprotect(mm, at, P(2), PROT_READ), 0);
	CHECK_EQ(do_mprotect(mm, at, P(1), PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(do_mremap(mm, at, P(1), P(1), fixed, to), (s64)to);
	tm_swap_out(mm, to);
	CHECK_EQ(do_mremap(mm, to, P(1), P(1), fixed, 0x30000000), 0x30000000);
	CHECK_EQ(first_byte(0x30000000), 7);
	CHECK_EQ(do_munmap(mm, 0x30000000, P(1)), 0);
	lru_add_drain();
	told_of(mm);
	tm_use(NULL);
	mm_put(mm);
	hush();
	compare(changed_life);
	return 0;
}

static void changed(void **state)
{
	(void)state;
	TM_RUN(changed_body, .cpus = 1, .mem = 16UL << 20, .swap_pages = 256);
}

/* Where room was looked for, and what was found. */
static int area_body(void *arg)
{
	static struct trace_record records[16];
	struct mm_struct *mm = tm_mm();
	const u64 most = mm->layout.mmap_base - (64u << 20);
	struct trace_record r;
	u64 pos = 0;
	s64 at;

	(void)arg;
	trace_ring_attach(0, records, ARRAY_SIZE(records));
	trace_enable(TRACE_VM_UNMAPPED_AREA);
	at = do_mmap(mm, 0, P(3), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
	CHECK(at > 0);
	CHECK(do_mmap(mm, 0, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS) > 0);
	CHECK_EQ(do_mmap(mm, 0, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS),
		 -ENOMEM);
	trace_enable_mask(0);
	CHECK(trace_read(0, &pos, &r));
	CHECK(r.arg[0] == (u64)at && r.arg[1] == 0 && r.arg[4] == P(3));
	CHECK(r.arg[3] == 1 && r.arg[5] <= (u64)at && (u64)at < r.arg[6]);
	CHECK(trace_read(0, &pos, &r) && r.arg[2] == 3);
	CHECK(trace_read(0, &pos, &r));
	CHECK(r.arg[0] == 0 && (s64)r.arg[1] == -ENOMEM && r.arg[4] == most);
	CHECK(!trace_read(0, &pos, &r));
	trace_ring_attach(0, NULL, 0);
	mm_put(mm);
	return 0;
}

static void area(void **state)
{
	(void)state;
	TM_RUN(area_body, .cpus = 1, .mem = 16UL << 20);
}

/* ---- a large page, and a frame
 * ----------------------------------------------------------------------- */

static const char *const huge_life[] = {
	"frame A allocated from its CPU's list, node 0, zone "
	"DMA32: order 9, migratetype Movable, "
	"__GFP_HIGHMEM|__GFP_MOVABLE|__GFP_NOMEMALLOC|__GFP_IO|__GFP_FS|__GFP_DIRECT_RECLAIM|__GFP_NOWARN|__GFP_ZERO",
	"mapped at 0x7ffff7a03000 of space 9 as memory of its own",
	"onto LRU list inactive_anon",
	"part of the large page at 0x7ffff7a00000 of space 9, "
	"frames from B: one entry maps all of them",
	"fault: a write of a page that is not there, by the "
	"program: minor",
	"unmapped from 0x7ffff7a03000 of space 9: given back by "
	"the program",
	"frame A freed, order 0",
	NULL,
};

static int huge_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = ALIGN(tm_map(mm, 1024), HPAGE_PMD_SIZE);

	(void)arg;
	CHECK_EQ(do_madvise(mm, at, HPAGE_PMD_SIZE, MADV_HUGEPAGE), 0);
	opts = (struct events_opts){.follow = true, .address = at + P(3)};
	listen();
	told_of(mm);
	tm_use(mm);
	tm_store(at + P(3), 1);
	told_of(mm);
	CHECK_EQ(do_munmap(mm, at, HPAGE_PMD_SIZE), 0);
	lru_add_drain();
	told_of(mm);
	tm_use(NULL);
	mm_put(mm);
	hush();
	compare(huge_life);
	return 0;
}

static void huge(void **state)
{
	(void)state;
	TM_RUN(huge_body, .mem = 64UL << 20);
}

/* Whoever has it. */
static const char *const frame_life[] = {
	"frame A allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_HIGHUSER_MOVABLE|__GFP_ACCOUNT|__GFP_ZERO",
	"mapped at 0x7ffff7dff000 of space 9 as memory of its own",
	"mapped at 0x7ffff7dff000 of space 10 by fork, shared "
	"until somebody writes",
	"unmapped from 0x7ffff7dff000 of space 9: a write made a "
	"copy",
	"written by space 9 at 0x7ffff7dff000: copied to frame B",
	"unmapped from 0x7ffff7dff000 of space 10: given back by "
	"the program",
	"onto LRU list inactive_anon",
	"frame A freed, order 0",
	"free: from its CPU's list to the buddy lists",
	NULL,
};

static int frame_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	uva_t at = tm_map(mm, 1);

	(void)arg;
	tm_use(mm);
	fill(at, 1);
	opts = (struct events_opts){
		.follow = true, .by_pfn = true, .pfn = pte_pfn(tm_pte(mm, at))};
	CHECK_EQ(do_munmap(mm, at, P(1)), 0);
	lru_add_drain();
	at = tm_map(mm, 1);
	listen();
	fill(at, 1);
	CHECK_EQ(mm_fork(mm, &child), 0);
	fill(at, 2);
	tm_use(NULL);
	told_of(mm);
	mm_put(mm);
	mm_put(child);
	lru_add_drain();
	drain_all_pages();
	told_of(NULL);
	hush();
	compare(frame_life);
	return 0;
}

static void frame(void **state)
{
	(void)state;
	TM_RUN(frame_body, .mem = 16UL << 20);
}

/* ---- a page of a file
 * ----------------------------------------------------------------------- */

static const char *const file_life[] = {
	"frame A allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_HIGHUSER_MOVABLE|__GFP_NORETRY|__GFP_NOWARN",
	"page 2 of file 77 is in it",
	"mapped at 0x7ffff7dff000 of space 9 as its file's page",
	"fault: a write of a page that is not there, by the program: "
	"major (it was read in)",
	"written back as page 2 of file 77: a call of the task's own",
	"the write has ended",
	"dirty: page 2 of file 77 is to be written back",
	"fault: a write of a page that is protected, by the program: "
	"minor",
	"written back as page 2 of file 77: all that was dirty was "
	"asked for",
	"the write has ended",
	"onto LRU list inactive_file",
	"aged: used through 1 of its mappings since",
	"reclaim: kept, back to its list",
	"onto LRU list inactive_file",
	"aged: used through 0 of its mappings since",
	"unmapped from 0x7ffff7dff000 of space 9: by reclaim",
	"page 2 of file 77 left the cache",
	"reclaim: freed",
	"frame A freed, order 0",
	"frame A allocated from its CPU's list, node 0, zone DMA: "
	"order 0, migratetype Movable, "
	"GFP_HIGHUSER_MOVABLE|__GFP_NORETRY|__GFP_NOWARN",
	"page 2 of file 77 is in it",
	"a refault: 1 pages went since it left",
	"mapped at 0x7ffff7dff000 of space 9 as its file's page",
	"fault: a read of a page that is not there, by the program: "
	"major (it was read in)",
	"dirty: page 2 of file 77 is to be written back",
	"fault: a write of a page that is protected, by the program: "
	"minor",
	"written back as page 2 of file 77: a call of the task's own",
	"the write failed: Input/output error",
	"who syncs its file next is told of the error",
	"unmapped from 0x7ffff7dff000 of space 9: given back by the "
	"program",
	NULL,
};

static int file_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct fm_inode *fi = fm_inode_new(4);
	struct file *file =
		file_open(&fi->inode, FMODE_READ | FMODE_WRITE, 0, "/f");
	struct mm_mmap m = {.len = P(1),
			    .prot = TM_RW,
			    .flags = MAP_SHARED,
			    .file = file,
			    .pgoff = 2};
	uva_t at;

	(void)arg;
	CHECK(file);
	fi->inode.i_ino = 77;
	at = (uva_t)do_mmap_file(mm, &m);
	tm_use(mm);
	opts = (struct events_opts){.follow = true, .address = at};
	listen();
	told_of(mm);
	/* Read in, changed, synced. */
	tm_store(at, 1);
	CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
	told_of(mm);
	/* Written by the flusher, and nobody waits. */
	tm_store(at, 2);
	wakeup_flusher_threads();
	port_park(1000 * 1000 * 1000);
	told_of(mm);
	/* Away, and read again. */
	while (pte_present(tm_pte(mm, at)))
		(void)tm_reclaim_one(mm, at);
	CHECK_EQ(tm_load(at), 2);
	told_of(mm);
	/* A write that fails. */
	tm_store(at, 3);
	fi->fail_write = 1;
	CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), -EIO);
	told_of(mm);
	CHECK_EQ(do_munmap(mm, at, P(1)), 0);
	told_of(mm);
	tm_use(NULL);
	mm_put(mm);
	fput(file);
	fm_inode_drop(fi);
	hush();
	compare(file_life);
	return 0;
}

static void of_file(void **state)
{
	(void)state;
	TM_RUN(file_body, .mem = 16UL << 20);
}

/* ---- pages that become a large one
 * ----------------------------------------------------------------------- */

static const char *const collapsed_life[] = {
	"frame A allocated from its CPU's list, node 0, zone DMA32: "
	"order 0, migratetype Movable, "
	"GFP_HIGHUSER_MOVABLE|__GFP_ACCOUNT|__GFP_ZERO",
	"mapped at 0x7ffff7a03000 of space 9 as memory of its own",
	"fault: a write of a page that is not there, by the program: "
	"minor",
	"onto LRU list inactive_anon",
	"no large page is made of it and its neighbours: "
	"not_suitable_page_count",
	"onto LRU list inactive_anon",
	"unmapped from 0x7ffff7a03000 of space 9: it is part of a "
	"large page now",
	"frame B allocated from its CPU's list, node 0, zone DMA32: "
	"order 9, migratetype Movable, "
	"__GFP_HIGHMEM|__GFP_MOVABLE|__GFP_NOMEMALLOC|__GFP_IO|__GFP_FS|__GFP_DIRECT_RECLAIM|__GFP_NORETRY|__GFP_NOWARN",
	"mapped at 0x7ffff7a03000 of space 9 as memory of its own",
	"onto LRU list inactive_anon",
	"part of the large page at 0x7ffff7a00000 of space 9, frames "
	"from C: made of single pages",
	"unmapped from 0x7ffff7a03000 of space 9: given back by the "
	"program",
	"frame B freed, order 0",
	NULL,
};

static int collapsed_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = ALIGN(tm_map(mm, 1024), HPAGE_PMD_SIZE);
	struct page *page;

	(void)arg;
	opts = (struct events_opts){.follow = true, .address = at + P(3)};
	tm_use(mm);
	CHECK_EQ(do_madvise(mm, at, HPAGE_PMD_SIZE, MADV_NOHUGEPAGE), 0);
	for (u64 i = 0; i < 512; i++)
		if (i != 3)
			tm_store(at + P(i), i);
	listen();
	told_of(mm);
	tm_store(at + P(3), 3);
	CHECK_EQ(do_madvise(mm, at, HPAGE_PMD_SIZE, MADV_HUGEPAGE), 0);
	page = pfn_to_page(pte_pfn(tm_pte(mm, at + P(3))));
	get_page(page);
	CHECK(thp_collapse(mm, at, false) > THP_PROMOTED);
	put_page(page);
	told_of(mm);
	CHECK_EQ(thp_collapse(mm, at, false), THP_SUCCEED);
	told_of(mm);
	CHECK_EQ(do_munmap(mm, at, HPAGE_PMD_SIZE), 0);
	lru_add_drain();
	told_of(mm);
	tm_use(NULL);
	mm_put(mm);
	hush();
	compare(collapsed_life);
	return 0;
}

static void collapsed(void **state)
{
	(void)state;
	TM_RUN(collapsed_body, .mem = 64UL << 20);
}

/* ---- what machines seldom do, by hand
 * ----------------------------------------------------------------------- */

static const char *const hand_life[] = {
	"in a free block of type Movable, order 4, that is taken for "
	"Unmovable; the pageblock changes its type",
	"given out with 32 frames of the area video",
	"could not go with 16 frames of the area video",
	"given back with 32 frames of the area video",
	"page 6 of file 7 is in it",
	"dirty: page 6 of file 7 is to be written back",
	"written back as page 6 of file 7: reclaim wants the frame",
	"somebody waits for the write to end",
	"the write has ended",
	"written back as page 6 of file 7: too much is dirty",
	"the write has ended",
	"written back as page 6 of file 7: it has been dirty for long",
	"the write has ended",
	"written back as page 6 of file 7: a call of the task's own",
	"the write has ended",
	"moved to frame A for compaction",
	"nobody shares it any more: KSM has forgotten it",
	"no large page is made of it and its neighbours: page_locked",
	NULL,
};

#define SAYS(name, who, ...)                                        \
	follow_record(&(struct trace_record){.event = TRACE_##name, \
					     .pid = (who),          \
					     .arg = {__VA_ARGS__}}, \
		      0)

static void written(u32 who)
{
	SAYS(PAGE_WRITEBACK, who, 0x105, 7, 6, 8, PAGE_WRITEBACK_BEGIN, 0);
	if (who == 9)
		SAYS(FOLIO_WAIT_WRITEBACK, who, 8, 7, 6);
	SAYS(PAGE_WRITEBACK, 0, 0x105, 7, 6, 8, PAGE_WRITEBACK_END, 0);
}

static void by_hand(void **state)
{
	u64 video = trace_word("video", 0);

	(void)state;
	opts = (struct events_opts){
		.follow = true, .by_pfn = true, .pfn = 0x105};
	told_file = open_memstream(&told, &told_len);
	assert_non_null(told_file);
	follow_begin(&opts, told_file);
	/* Beside it, and then with it. */
	SAYS(MM_PAGE_ALLOC_EXTFRAG, 1, 0x110, 0, 4, 0, 1, 1, 9, 1);
	SAYS(MM_PAGE_ALLOC_EXTFRAG, 1, 0x100, 0, 4, 0, 1, 1, 9, 1);
	SAYS(CMA_ALLOC_FINISH, 1, video, 0, 0x106, 32, 0);
	SAYS(CMA_ALLOC_FINISH, 1, video, 0, 0x100, 32, 0);
	SAYS(CMA_ALLOC_BUSY_RETRY, 1, video, 0, 0x100, 16, 0);
	SAYS(CMA_RELEASE, 1, video, 0, 0x100, 32);
	SAYS(MM_FILEMAP_ADD_TO_PAGE_CACHE, 1, 0x105, 7, 6, 8, 0);
	SAYS(WRITEBACK_DIRTY_FOLIO, 1, 8, 7, 5);
	SAYS(WRITEBACK_DIRTY_FOLIO, 1, 9, 7, 6);
	SAYS(WRITEBACK_DIRTY_FOLIO, 1, 8, 7, 6);
	/* By whom reclaim chose it; by two that work for all; by itself. */
	SAYS(MM_VMSCAN_WRITE_FOLIO, 9, 0x105, 2);
	written(9);
	SAYS(WRITEBACK_START, 3, 0, 0, 0, 0, 1, 1, 0);
	SAYS(WRITEBACK_START, 4, 0, 0, 0, 1, 1, 0, 3);
	written(3);
	written(4);
	SAYS(WRITEBACK_WRITTEN, 3, 0, 0, 0, 0, 1, 1, 0);
	written(3);
	SAYS(PAGE_MIGRATE, 1, 0x105, 0x205, 0);
	SAYS(KSM_REMOVE_KSM_PAGE, 1, 0x105);
	SAYS(MM_KHUGEPAGED_SCAN_PMD, 1, 0, 0x105, 1, 0, 0, 0, 0);
	SAYS(MM_KHUGEPAGED_SCAN_PMD, 1, 0, 0x105, 1, 0, 0, 11, 0);
	follow_end();
	assert_int_equal(fclose(told_file), 0);
	compare(hand_life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),     cmocka_unit_test(changed),
		cmocka_unit_test(area),	     cmocka_unit_test(huge),
		cmocka_unit_test(frame),     cmocka_unit_test(of_file),
		cmocka_unit_test(collapsed), cmocka_unit_test(by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
