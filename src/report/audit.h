/* SPDX-License-Identifier: MIT */
/*
 * audit.h - the books that the files of the audit fill in and compare.
 */
#ifndef MM_REPORT_AUDIT_H
#define MM_REPORT_AUDIT_H

#include "report/report.h"

#define AUDIT_FINDINGS 32

/* Something that does not add up; WHAT is constant text. */
struct audit_finding {
	const char *what;
	u64 pfn; /* ~0: not about one frame */
	u64 want, got;
};

/* A count with a sum over what was counted, so that sets can be compared. */
struct audit_set {
	u64 nr;
	u64 print; /* sum of audit_mix() */
};

struct audit {
	/* Frames by owner (audit_frames.c). */
	u64 present, free, deferred, stored, reserved, tables, slab;
	u64 kernel_tables; /* of the master, which all spaces share */
	u64 anon, swapcache, file, zero, kernel, unknown;
	u64 vmalloc, percpu, kmalloc;
	u64 guard;		/* kept unused beside frames in use */
	u64 mapped;		/* anonymous frames with mappings */
	u64 file_mapped, dirty; /* of frames of files */
	u64 shmem;		/* of frames of files: in memory and swap */
	u64 lru, writeback;
	u64 charged, grouped;	    /* to anybody; to a group, not the root */
	struct audit_set mapcounts; /* of all frames */
	u64 next;		    /* frames below are counted */
	/* From page tables and swap maps (audit_spaces.c). */
	u64 spaces, lazy_spaces, vmas, links, space_tables, zero_entries;
	u64 rss, swapents;	       /* what the spaces' counters say */
	u64 shmem_swapents;	       /* slots that files in memory name */
	struct audit_set entries;      /* frames that page tables name */
	struct audit_set swap_entries; /* slots that page tables, files name */
	struct audit_set swap_counts;  /* slots by the maps' counts */
	u64 swap_cached;	       /* slots with the cache bit */
	u64 nr_findings;
	struct audit_finding findings[AUDIT_FINDINGS];
};

/* Spread X over 64 bits (the finaliser of splitmix64). */
static inline u64 audit_mix(u64 x)
{
	x += 0x9e3779b97f4a7c15UL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9UL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebUL;
	return x ^ x >> 31;
}

/* N times X enters SET. */
static inline void audit_set_add(struct audit_set *set, u64 x, u64 n)
{
	set->nr += n;
	set->print += n * audit_mix(x);
}

/* audit_note: one finding more; PFN ~0 when it is not about one frame. */
void audit_note(struct audit *a, const char *what, u64 pfn, u64 want, u64 got);

/* audit_equal: a finding unless WANT equals GOT. */
void audit_equal(struct audit *a, const char *what, u64 want, u64 got);

/* audit_frames: classify every present frame. No locks. */
void audit_frames(struct audit *a);

/* audit_spaces: go through all page tables and swap maps. May sleep. */
void audit_spaces(struct audit *a);

#endif
