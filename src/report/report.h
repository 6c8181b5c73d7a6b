/* SPDX-License-Identifier: MIT */
/*
 * report.h - what the files of floor 10 share. Each show_* appends one file;
 * no locks held; none sleeps but show_audit.
 */
#ifndef MM_REPORT_REPORT_H
#define MM_REPORT_REPORT_H

#include <mmkit/report.h>

#include "base/assert.h"
#include "base/seqbuf.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

/* zones_show.c */
void show_buddyinfo(struct seq_buf *out);
void show_pagetypeinfo(struct seq_buf *out);
void show_zoneinfo(struct seq_buf *out);
void show_vmstat(struct seq_buf *out);
/* extfrag_show.c */
void show_extfrag_index(struct seq_buf *out);
void show_unusable_index(struct seq_buf *out);
/* meminfo.c */
void show_meminfo(struct seq_buf *out);
/* frame_map.c */
void show_frames(struct seq_buf *out);
/* tables_show.c */
void show_iomem(struct seq_buf *out);
void show_swaps(struct seq_buf *out);
void show_rmap(struct seq_buf *out);
void show_tlb(struct seq_buf *out);
/* slab_show.c */
void show_slabinfo(struct seq_buf *out);
/* show_slab_attr: NAME is "CACHE/ATTRIBUTE". 0, or -ENOENT with OUT as it
 * was. May sleep. */
int show_slab_attr(const char *name, struct seq_buf *out);
/* show_slab_traces: the same for debugfs's alloc_traces and free_traces. */
int show_slab_traces(const char *name, struct seq_buf *out);

/* vmallocinfo.c */
void show_vmallocinfo(struct seq_buf *out);
/* owner_show.c */
void show_page_owner(struct seq_buf *out);

/* memcg_report_stat: memory.stat of MEMCG, which is held, to the log. Context:
 * any that may take locks. */
struct memcg;
void memcg_report_stat(struct memcg *memcg);

/* u64 as %llu wants it. */
#define LLU(x) ((unsigned long long)(x))

/* memory_show.c: the files of /sys/devices/system/memory by what follows that:
 * 0, -ENOENT, -EINVAL, and what offline_pages() and online_pages() say. May
 * sleep. */
int memory_block_show(const char *name, struct seq_buf *out);
int memory_block_store(const char *name, const char *text, size_t len);
/* number_behind: 3 of *NAME "node3/meminfo" and WORD "node", and *NAME is what
 * follows the slash then; -1, *NAME as it was: it does not begin so. */
s64 number_behind(const char **name, const char *word);

/* node_show.c: the files of /sys/devices/system/node by what follows that. 0,
 * -ENOENT. Writing may sleep. */
int node_file_show(const char *name, struct seq_buf *out);
int node_file_store(const char *name, const char *text, size_t len);
/* put_bit_list: "0-2,5" and a new line for BITS. */
void put_bit_list(struct seq_buf *out, u64 bits);

/* parse_truth (numa_show.c): TEXT[LEN] as a truth value, a newline at its end
 * or not: 0, 1, or -EINVAL. */
int parse_truth(const char *text, size_t len);

/* swap_show.c: the files of /sys/kernel/mm/swap by what follows that. 0,
 * -ENOENT, -EINVAL. */
int swap_file_show(const char *name, struct seq_buf *out);
int swap_file_store(const char *name, const char *text, size_t len);

/* numa_show.c: the files of /sys/kernel/mm/numa and of
 * /sys/devices/virtual/memory_tiering by what follows that. 0, -ENOENT,
 * -EINVAL.
 */
int numa_file_show(const char *name, struct seq_buf *out);
int numa_file_store(const char *name, const char *text, size_t len);
int memory_tier_show(const char *name, struct seq_buf *out);
/* The same of /sys/kernel/debug/sched/numa_balancing. */
int numa_balancing_show(const char *name, struct seq_buf *out);
int numa_balancing_store(const char *name, const char *text, size_t len);

/* thp_show.c: the files of /sys/kernel/mm/transparent_hugepage by what follows
 * that: text to OUT; TEXT[LEN] stored. 0, -ENOENT, -EINVAL. */
int thp_file_show(const char *name, struct seq_buf *out);
int thp_file_store(const char *name, const char *text, size_t len);

#endif
