/* SPDX-License-Identifier: MIT */
/*
 * report.h - what the manager knows, as text in the formats of Linux 6.1, and
 * the audit of all frames. Theory: src/report/report.c, src/report/audit.c.
 */
#ifndef MMKIT_REPORT_H
#define MMKIT_REPORT_H

#include <mmkit/types.h>

struct seq_buf;

/*
 * mm_show: append the file PATH ("/proc/buddyinfo"; "buddyinfo" is the same)
 * to OUT. Returns 0, or -ENOENT when there is no such file: OUT is unchanged
 * then. Whether everything fitted is OUT's to say. Context: may sleep (only
 * mmkit/audit does); no locks held. Before mm_boot() most files are empty.
 */
int mm_show(const char *path, struct seq_buf *out);

/* mm_show_list: call FN with the full name of each file, in fixed order. */
void mm_show_list(void (*fn)(const char *path, void *arg), void *arg);

/*
 * mm_audit: empty all per-CPU and deferred stores, then find an owner for
 * each frame and compare with counters and page tables. Appends lines
 * "name: value" to OUT (frames, unless the name says otherwise), then a line
 * "leak: ..." per finding (at most 32 are spelled out), and at the end
 * "verdict: clean" or "verdict: leak". Returns the number of findings; 0 is
 * clean. A frame that a thread holds for a moment is looked at again before
 * it counts; frames that a caller of alloc_pages() still owns are findings.
 * Context: may sleep; no locks held; no call that changes an address space
 * under way. Frees what is stored, changes nothing else.
 */
int mm_audit(struct seq_buf *out);

/*
 * mm_stats_digest: 64-bit digest of all event, zone, node and address-space
 * counters: equal histories have equal digests, on any host. No time and no
 * address takes part. Takes spinlocks only.
 */
u64 mm_stats_digest(void);

#endif
