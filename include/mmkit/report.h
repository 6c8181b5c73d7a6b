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
 * to OUT; of a task "/proc/12/maps", "/proc/self/maps", and so smaps,
 * smaps_rollup, statm, status. Returns 0; -ENOENT: no such file; -ESRCH: no
 * such task; -EINVAL: the file is not text (mm_read()). OUT is unchanged then.
 * Whether everything fitted is OUT's to say. Context: may sleep (only
 * mmkit/audit does); no locks held. Before mm_boot() most files are empty.
 */
int mm_show(const char *path, struct seq_buf *out);

/*
 * mm_show_next: a part of such a file that may be long: of "/proc/PID/maps" and
 * "/proc/PID/smaps", what there is to say of the next mapping. *AT is 0 at the
 * beginning, and where to go on after each call. Returns 1; 0: there is no
 * more; -EINVAL: a file that is made as a whole; -ENOENT, -ESRCH. Context as
 * mm_show().
 */
int mm_show_next(const char *path, u64 *at, struct seq_buf *out);

/*
 * mm_read: bytes [OFF, OFF + LEN) of a file of 64-bit words into BUF:
 * "/proc/PID/pagemap" ("self" for the caller's), "/proc/kpageflags",
 * "/proc/kpagecount", "/proc/kpagecgroup". Returns how many bytes there were,
 * 0 at the end; -EINVAL: OFF, LEN or BUF is no multiple of 8, or the file is
 * text; -ENOENT: no such file; -ESRCH: no such task. BUF may have been written
 * to only where the result is positive. Context: may sleep; no locks held.
 * Linux documentation, admin-guide/mm/pagemap.
 */
s64 mm_read(const char *path, u64 off, void *buf, size_t len);

/*
 * mm_write: what writing TEXT[LEN] to a file does: "/proc/PID/clear_refs"
 * (1 all, 2 anonymous, 3 file pages: not referenced any more; 4: not
 * soft-dirty; 5: peak of the resident set starts anew), zswap's parameters,
 * "/sys/kernel/mm/lru_gen/enabled" and "min_ttl_ms", and commands to
 * "/sys/kernel/debug/lru_gen" (Linux documentation, admin-guide/mm/
 * multigen_lru). Returns LEN, or
 * -EINVAL (not such a number; a file that is not written to), -ENOENT,
 * -ESRCH, -ERANGE, -EINTR. Context: may sleep; no locks held. proc(5).
 */
s64 mm_write(const char *path, const char *text, size_t len);

/* mm_show_list: call FN with the full name of each file, in fixed order; files
 * of tasks are left out. */
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

/* So many cells has the map of "/proc/mmkit/frames" at most. */
#define MM_FRAME_MAP_CELLS 2048u

/* mm_frame_map_order: the smallest order of which MAX > 0 cells reach from
 * frame 0 to the last of RAM. */
u32 mm_frame_map_order(u32 max);

/*
 * mm_frame_map: what RAM is used for, in cells of 2^ORDER frames from frame 0
 * on: FN(LETTER, ARG) for each, by address; letters as in
 * src/report/frame_map.c. A snapshot without locks. FN may sleep. Any
 * context but interrupts.
 */
void mm_frame_map(u32 order, void (*fn)(char letter, void *arg), void *arg);

/*
 * mm_stats_digest: 64-bit digest of all event, zone, node and address-space
 * counters: equal histories have equal digests, on any host. No time and no
 * address takes part. Takes spinlocks only.
 */
u64 mm_stats_digest(void);

#endif
