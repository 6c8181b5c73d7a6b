/* SPDX-License-Identifier: MIT */
/*
 * follow.c - the life of one page, told from the tracepoints.
 *
 * 1. What is followed. Either a frame, whatever is in it; or what a task has
 *    at an address, wherever that is: in a frame, in a slot of swap, in the
 *    frame that it was moved to, in the copy that a write made, in the page
 *    of KSM that took its place.
 *
 * 2. Way. A record tells of a frame, a slot or an address; those of the page's
 *    present place are its life, and some of them say where it goes next. A
 *    frame is allocated before it is known whose it will be: the last
 *    allocation of each frame is kept until then.
 *
 *    A page of a file is also that file's page by number, which is what write-
 *    back speaks of: each frame's is kept while it is in the cache, and the
 *    place remembers it while its frame is away.
 *
 * 3. Limits. A fault is told when it is over, after what it did. Records that
 *    rings have lost are missing here too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/seqbuf.h"
#include "base/trace_ring.h"
#include "err.h"
#include "events.h"
#include "move/migrate.h"
#include "phys/mmzone.h"
#include "phys/page_debug.h"
#include "report/trace_show.h"
#include "space/fault.h"

#define NOWHERE UINT64_MAX

/* A page of a file by its number. */
struct file_page {
	u64 dev, ino, index;
};

#define WORKERS 16u

static struct {
	FILE *f;	/* as text; NULL: as JSON alone */
	json_t *events; /* as JSON, or NULL */
	struct events_opts o;
	u64 mm;		    /* serial of the space; 0: not known yet */
	u64 pfn;	    /* where it is; NOWHERE: in no frame */
	u64 type, slot;	    /* in swap; NOWHERE: in no slot */
	u64 nr_told, asked; /* ASKED: the address at first */
	struct born {
		u64 ns, gfp;
		u32 pid;
		u16 cpu;
		char comm[16];
		u8 order, mt, nid, zone, list;
		bool known, cached;
		struct file_page file; /* if cached */
	} * born;		       /* by frame */
	u64 nr_born;
	bool of_file; /* the place is FILE's */
	struct file_page file;
	/* Who is writing back, and why; who has chosen our page to. */
	struct {
		u32 pid, reason;
	} work[WORKERS];
	u32 nr_work, reclaimer;
} fo;

/* Frames of a large page. */
#define PMD_ORDER 9

/* ---- telling
 * ------------------------------------------------------------------ */

static void tell(const struct trace_record *r, const char *fmt, ...)
	MM_PRINTF(2, 3);

/* The record's own words by name; addresses may be more than a reader of JSON
 * keeps exactly. */
static json_t *values_of(const struct trace_record *r)
{
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(r->event, f);
	json_t *o = json_object();
	char hex[24];

	for (u32 i = 0; i < nr; i++) {
		u64 v = r->arg[f[i].word];

		snprintf(hex, sizeof(hex), "0x%llx", (unsigned long long)v);
		json_object_set_new(o, f[i].name,
				    strcmp(f[i].name, "address")
					    ? json_integer((json_int_t)v)
					    : json_string(hex));
	}
	return o;
}

static void tell_json(const struct trace_record *r, const char *who,
		      const char *text)
{
	json_t *e = json_object();

	json_object_set_new(e, "ns", json_integer((json_int_t)r->ns));
	json_object_set_new(e, "who", json_string(who));
	json_object_set_new(e, "event",
			    json_string(trace_event_info(r->event)->name));
	json_object_set_new(e, "values", values_of(r));
	json_object_set_new(e, "text", json_string(text));
	if (json_array_append_new(fo.events, e))
		err_die("no memory to follow a page");
}

static void tell(const struct trace_record *r, const char *fmt, ...)
{
	char who[40], text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	events_who(r, who, sizeof(who));
	if (fo.f)
		fprintf(fo.f, "%5llu.%09llu  %-12s %s\n",
			(unsigned long long)(r->ns / 1000000000u),
			(unsigned long long)(r->ns % 1000000000u), who, text);
	if (fo.events)
		tell_json(r, who, text);
	fo.nr_told++;
}

static unsigned long long ull(u64 v)
{
	return v;
}

static const char *map_how(u64 how)
{
	static const char *const names[] = {
		[PAGE_MAP_NEW] = "as memory of its own",
		[PAGE_MAP_SWAP] = "back from swap",
		[PAGE_MAP_FILE] = "as its file's page",
		[PAGE_MAP_FORK] = "by fork, shared until somebody writes",
		[PAGE_MAP_MOVED] = "where the frame before was",
		[PAGE_MAP_KSM] = "in place of a page of equal contents",
	};

	return how < ARRAY_SIZE(names) ? names[how] : "?";
}

static const char *unmap_why(u64 why)
{
	static const char *const names[] = {
		[PAGE_UNMAP_ZAP] = "given back by the program",
		[PAGE_UNMAP_RECLAIM] = "by reclaim",
		[PAGE_UNMAP_LAZY] = "by reclaim, after MADV_FREE",
		[PAGE_UNMAP_MOVE] = "while it is moved",
		[PAGE_UNMAP_COW] = "a write made a copy",
		[PAGE_UNMAP_KSM] = "a page of KSM stands for it",
		[PAGE_UNMAP_HUGE] = "it is part of a large page now",
		[PAGE_UNMAP_POISON] = "its frame is bad",
	};

	return why < ARRAY_SIZE(names) ? names[why] : "?";
}

static const char *verdict(u64 v)
{
	static const char *const names[] = {
		"kept, back to its list",     "kept, being written",
		"in use: to the active list", "cold: to a slower node",
		"unmapped, to be freed",      "freed",
	};

	return v < ARRAY_SIZE(names) ? names[v] : "?";
}

static const char *migrate_reason(u64 reason)
{
	static const char *const names[] = {
		[MR_COMPACTION] = "compaction",
		[MR_MEMORY_FAILURE] = "memory failure",
		[MR_MEMORY_HOTPLUG] = "memory hot-remove",
		[MR_SYSCALL] = "a system call",
		[MR_MEMPOLICY_MBIND] = "mbind",
		[MR_NUMA_MISPLACED] = "NUMA balancing",
		[MR_CONTIG_RANGE] = "an exact range",
		[MR_LONGTERM_PIN] = "a long-term pin",
		[MR_DEMOTION] = "demotion",
	};

	return reason < ARRAY_SIZE(names) ? names[reason] : "another reason";
}

static const char *take_from(u64 list)
{
	static const char *const names[] = {
		[PAGE_TAKE_CPU] = "its CPU's list",
		[PAGE_TAKE_BUDDY] = "the buddy lists",
		[PAGE_TAKE_STOLEN] = "the buddy lists of another type",
		[PAGE_TAKE_RESERVE] = "the high-order reserve",
		[PAGE_TAKE_CMA] = "a contiguous area",
	};

	return list < ARRAY_SIZE(names) ? names[list] : "?";
}

/* What the error code says of the access, and the result of its end. */
static void fault_words(const struct trace_record *r, char *buf, size_t size)
{
	u64 code = r->arg[2], result = r->arg[4];

	snprintf(buf, size, "a %s of a page that is %s, by %s: %s%s",
		 code & 16  ? "fetch"
		 : code & 2 ? "write"
			    : "read",
		 code & 1 ? "protected" : "not there",
		 code & 4 ? "the program" : "the kernel for it",
		 result & VM_FAULT_ERROR   ? "failed"
		 : result & VM_FAULT_MAJOR ? "major (it was read in)"
					   : "minor",
		 result & VM_FAULT_RETRY ? ", tried again" : "");
}

/* ---- where it is
 * -------------------------------------------------------------- */

static void tell_birth(u64 pfn)
{
	const struct born *b = pfn < fo.nr_born ? &fo.born[pfn] : NULL;
	struct trace_record r;
	char gfp[256];
	struct seq_buf s;

	if (!b || !b->known)
		return;
	seq_buf_init(&s, gfp, sizeof(gfp));
	name_gfp(&s, (gfp_t)b->gfp);
	r = (struct trace_record){.ns = b->ns,
				  .event = TRACE_MM_PAGE_ALLOC,
				  .pid = b->pid,
				  .cpu = b->cpu,
				  .arg = {pfn, b->order, b->gfp, b->mt}};
	memcpy(r.comm, b->comm, sizeof(r.comm));
	tell(&r,
	     "frame 0x%llx allocated from %s, node %u, zone %s: order %u, "
	     "migratetype %s, %s",
	     ull(pfn), take_from(b->list), b->nid,
	     zone_type_name((enum zone_type)b->zone), b->order,
	     migratetype_names[b->mt], seq_buf_str(&s));
}

static struct born *born_of(u64 pfn, u64 nr)
{
	if (pfn + nr > fo.nr_born) {
		u64 want = max(2 * fo.nr_born, pfn + nr);
		struct born *b = realloc(fo.born, want * sizeof(*b));

		if (!b)
			err_die("no memory to follow a page");
		memset(b + fo.nr_born, 0, (want - fo.nr_born) * sizeof(*b));
		fo.born = b;
		fo.nr_born = want;
	}
	return &fo.born[pfn];
}

/* Comes before the allocation is told, which may try several. */
static void on_take(const struct trace_record *r)
{
	u64 nr = 1UL << r->arg[1];
	struct born *b = born_of(r->arg[0], nr);

	for (u64 i = 0; i < nr; i++) {
		b[i].nid = (u8)r->arg[2];
		b[i].zone = (u8)min(r->arg[3], MAX_NR_ZONES - 1ul);
		b[i].list = (u8)r->arg[4];
	}
}

static void note_birth(const struct trace_record *r)
{
	u64 nr = 1UL << r->arg[1];
	struct born *b = born_of(r->arg[0], nr);

	for (u64 i = 0; i < nr; i++) {
		b[i].ns = r->ns;
		b[i].gfp = r->arg[2];
		b[i].pid = r->pid;
		b[i].cpu = r->cpu;
		memcpy(b[i].comm, r->comm, sizeof(b[i].comm));
		b[i].order = (u8)r->arg[1];
		b[i].mt = (u8)min(r->arg[3], (u64)MIGRATE_MOVABLE + 1);
		b[i].known = true;
		b[i].cached = false;
	}
}

static bool covers(const struct trace_record *r)
{
	return fo.pfn >= r->arg[0] && fo.pfn < r->arg[0] + (1UL << r->arg[1]);
}

/* It is in PFN from now on. */
static void goes_to(u64 pfn)
{
	if (!fo.o.by_pfn)
		fo.pfn = pfn;
}

/* What is in its frame now is of a file, or is not. */
static void file_of_frame(void)
{
	const struct born *b = fo.pfn < fo.nr_born ? &fo.born[fo.pfn] : NULL;

	fo.of_file = b && b->cached;
	if (fo.of_file)
		fo.file = b->file;
}

static bool is_file(u64 dev, u64 ino, u64 index)
{
	return fo.of_file && fo.file.dev == dev && fo.file.ino == ino &&
	       fo.file.index == index;
}

/* ---- records
 * ------------------------------------------------------------------ */

static void on_alloc(const struct trace_record *r)
{
	note_birth(r);
	if (fo.o.by_pfn && covers(r))
		tell_birth(fo.pfn);
}

static void on_free(const struct trace_record *r)
{
	if (fo.pfn == NOWHERE || !covers(r))
		return;
	tell(r, "frame 0x%llx freed, order %llu", ull(fo.pfn), ull(r->arg[1]));
	goes_to(NOWHERE);
}

static bool is_place(const struct trace_record *r)
{
	return fo.mm && r->arg[1] == fo.mm && r->arg[2] == fo.o.address &&
	       !fo.o.by_pfn;
}

static void on_map(const struct trace_record *r)
{
	if (is_place(r) && r->arg[0] != fo.pfn) {
		goes_to(r->arg[0]);
		if (r->arg[3] == PAGE_MAP_NEW || r->arg[3] == PAGE_MAP_FILE)
			tell_birth(fo.pfn);
		fo.slot = NOWHERE;
		file_of_frame();
		if (r->arg[3] == PAGE_MAP_FILE && fo.of_file)
			tell(r, "page %llu of file %llu is in it",
			     ull(fo.file.index), ull(fo.file.ino));
	}
	if (r->arg[0] == fo.pfn)
		tell(r, "mapped at 0x%llx of space %llu %s", ull(r->arg[2]),
		     ull(r->arg[1]), map_how(r->arg[3]));
}

static void on_unmap(const struct trace_record *r)
{
	if (r->arg[0] != fo.pfn)
		return;
	tell(r, "unmapped from 0x%llx of space %llu: %s", ull(r->arg[2]),
	     ull(r->arg[1]), unmap_why(r->arg[3]));
}

static void on_cow(const struct trace_record *r)
{
	bool ours = fo.mm && r->arg[2] == fo.mm && r->arg[3] == fo.o.address &&
		    !fo.o.by_pfn;

	if (r->arg[0] != fo.pfn)
		return;
	if (ours)
		tell_birth(r->arg[1]);
	tell(r, "written by space %llu at 0x%llx: copied to frame 0x%llx",
	     ull(r->arg[2]), ull(r->arg[3]), ull(r->arg[1]));
	if (ours) {
		goes_to(r->arg[1]);
		file_of_frame();
	}
}

static void on_swap_out(const struct trace_record *r)
{
	if (r->arg[0] != fo.pfn)
		return;
	fo.type = r->arg[1];
	fo.slot = r->arg[2];
	fo.reclaimer = 0;
	tell(r, "written to swap: area %llu, slot %llu", ull(fo.type),
	     ull(fo.slot));
}

static void on_swap_in(const struct trace_record *r)
{
	if (fo.slot == NOWHERE || r->arg[1] != fo.type ||
	    r->arg[2] != fo.slot || fo.o.by_pfn)
		return;
	tell_birth(r->arg[0]);
	tell(r, "read back from slot %llu into frame 0x%llx%s", ull(fo.slot),
	     ull(r->arg[0]), r->arg[3] ? ", ahead of need" : "");
	goes_to(r->arg[0]);
}

/* What the frame is of goes with the contents. */
static void file_moves(u64 old, u64 new)
{
	struct born from = *born_of(old, 1), *to = born_of(new, 1);

	to->cached = from.cached;
	to->file = from.file;
	born_of(old, 1)->cached = false;
}

static void on_migrate(const struct trace_record *r)
{
	file_moves(r->arg[0], r->arg[1]);
	if (r->arg[0] != fo.pfn)
		return;
	if (!fo.o.by_pfn)
		tell_birth(r->arg[1]);
	tell(r, "moved to frame 0x%llx for %s", ull(r->arg[1]),
	     migrate_reason(r->arg[2]));
	goes_to(r->arg[1]);
}

static void on_merge(const struct trace_record *r)
{
	bool mine = fo.o.by_pfn || r->arg[2] == fo.mm;

	/* Others' pages join it; that they are mapped now is told. */
	if (r->arg[0] != fo.pfn || !mine)
		return;
	if (r->arg[1] == r->arg[0])
		tell(r, "merged: pages of equal contents are to share it");
	else if (r->arg[1])
		tell(r, "merged: frame 0x%llx has the same contents",
		     ull(r->arg[1]));
	else
		tell(r, "merged: all zero, the zero page stands for it");
	goes_to(r->arg[1] ? r->arg[1] : NOWHERE);
}

static void on_huge(const struct trace_record *r)
{
	u64 first = r->arg[0];
	const char *what = r->arg[3] == PAGE_HUGE_MAP
				   ? "one entry maps all of them"
				   : "made of single pages";

	if (fo.pfn == NOWHERE || fo.pfn < first ||
	    fo.pfn >= first + (1UL << PMD_ORDER))
		return;
	tell(r,
	     "part of the large page at 0x%llx of space %llu, frames from "
	     "0x%llx: %s",
	     ull(r->arg[2]), ull(r->arg[1]), ull(first), what);
}

static void on_protect(const struct trace_record *r)
{
	u64 access = r->arg[3];

	if (r->arg[0] != fo.pfn)
		return;
	tell(r, "protected at 0x%llx of space %llu: %c%c%c from now",
	     ull(r->arg[2]), ull(r->arg[1]), access & 1 ? 'r' : '-',
	     access & 2 ? 'w' : '-', access & 4 ? 'x' : '-');
}

/* Its address is another one from now on, wherever it is. */
static void on_remap(const struct trace_record *r)
{
	bool ours = is_place(r);

	if (!ours && r->arg[0] != fo.pfn)
		return;
	tell(r, "of space %llu: no longer at 0x%llx but at 0x%llx",
	     ull(r->arg[1]), ull(r->arg[2]), ull(r->arg[3]));
	if (ours)
		fo.o.address = r->arg[3];
}

static void on_fault(const struct trace_record *r)
{
	char words[120];

	if (fo.o.by_pfn || !fo.mm || r->arg[3] != fo.mm ||
	    (r->arg[0] & ~(u64)(PAGE_SIZE - 1)) != fo.o.address)
		return;
	fault_words(r, words, sizeof(words));
	tell(r, "fault: %s", words);
}

static void on_cache(const struct trace_record *r)
{
	const struct file_page f = {r->arg[3], r->arg[1], r->arg[2]};
	bool comes = r->event == TRACE_MM_FILEMAP_ADD_TO_PAGE_CACHE;
	struct born *b = born_of(r->arg[0], 1);

	b->cached = comes;
	b->file = f;
	/* The place's page, read again. */
	if (comes && fo.pfn == NOWHERE && is_file(f.dev, f.ino, f.index)) {
		tell_birth(r->arg[0]);
		goes_to(r->arg[0]);
	}
	if (r->arg[0] != fo.pfn)
		return;
	if (comes)
		file_of_frame();
	tell(r, "page %llu of file %llu %s", ull(f.index), ull(f.ino),
	     comes ? "is in it" : "left the cache");
	/* A frame is nobody's page then; the place waits for it. */
	if (!comes && fo.o.by_pfn)
		fo.of_file = false;
}

/* ---- write-back
 * ------------------------------------------------------------------ */

static void on_dirty(const struct trace_record *r)
{
	if (is_file(r->arg[0], r->arg[1], r->arg[2]))
		tell(r, "dirty: page %llu of file %llu is to be written back",
		     ull(r->arg[2]), ull(r->arg[1]));
}

static void on_wait(const struct trace_record *r)
{
	if (is_file(r->arg[0], r->arg[1], r->arg[2]))
		tell(r, "somebody waits for the write to end");
}

/* Who works for what, to say why a page is written. */
static void on_work(const struct trace_record *r)
{
	u32 i = 0;

	while (i < fo.nr_work && fo.work[i].pid != r->pid)
		i++;
	if (r->event == TRACE_WRITEBACK_WRITTEN) {
		if (i < fo.nr_work)
			fo.work[i] = fo.work[--fo.nr_work];
		return;
	}
	if (i == WORKERS)
		return;
	fo.nr_work += i == fo.nr_work;
	fo.work[i].pid = r->pid;
	fo.work[i].reason = (u32)r->arg[6];
}

static const char *write_why(const struct trace_record *r)
{
	/* As Linux numbers them. */
	static const char *const names[] = {
		"too much is dirty",
		"all that was dirty was asked for",
		"a sync",
		"it has been dirty for long",
	};

	if (fo.reclaimer == r->pid)
		return "reclaim wants the frame";
	for (u32 i = 0; i < fo.nr_work; i++)
		if (fo.work[i].pid == r->pid)
			return fo.work[i].reason < ARRAY_SIZE(names)
				       ? names[fo.work[i].reason]
				       : "another reason";
	return "a call of the task's own";
}

static void on_writeback(const struct trace_record *r)
{
	s64 err = (s32)r->arg[5];

	if (r->arg[0] != fo.pfn)
		return;
	if (r->arg[4] == PAGE_WRITEBACK_BEGIN)
		tell(r, "written back as page %llu of file %llu: %s",
		     ull(r->arg[2]), ull(r->arg[1]), write_why(r));
	else if (err)
		tell(r, "the write failed: %s", strerror((int)-err));
	else
		tell(r, "the write has ended");
	fo.reclaimer = 0;
}

static void on_write_error(const struct trace_record *r)
{
	if (fo.of_file && fo.file.ino == r->arg[0] && fo.file.dev == r->arg[1])
		tell(r, "who syncs its file next is told of the error");
}

/* ---- what became of the frame's surroundings
 * ------------------------------------------------------------------ */

/* The last page that was looked at is why there is no large one. */
static void on_refused(const struct trace_record *r)
{
	bool taken = r->event == TRACE_MM_COLLAPSE_HUGE_PAGE_ISOLATE;
	u64 pfn = r->arg[taken ? 0 : 1], status = r->arg[taken ? 4 : 5], same;
	const char *name = trace_value_name('A', (u32)status, &same);

	if (pfn == fo.pfn && fo.pfn != NOWHERE && status > 1)
		tell(r, "no large page is made of it and its neighbours: %s",
		     name ? name : "?");
}

/* The frame is one of NR from FIRST on, and it is the frame that is asked
 * about. */
static bool frame_among(u64 first, u64 nr)
{
	return fo.o.by_pfn && fo.pfn >= first && fo.pfn < first + nr;
}

static void on_drain(const struct trace_record *r)
{
	if (frame_among(r->arg[0], 1UL << r->arg[1]))
		tell(r, "free: from its CPU's list to the buddy lists");
}

static void on_steal(const struct trace_record *r)
{
	u64 from = min(r->arg[4], MIGRATE_TYPES - 1ul);
	u64 to = min(r->arg[3], MIGRATE_TYPES - 1ul);

	if (frame_among(r->arg[0], 1UL << r->arg[2]))
		tell(r,
		     "in a free block of type %s, order %llu, that is "
		     "taken for %s%s",
		     migratetype_names[from], ull(r->arg[2]),
		     migratetype_names[to],
		     r->arg[5] ? "; the pageblock changes its type" : "");
}

static void on_cma(const struct trace_record *r)
{
	static const char *const what[] = {
		"given out with", "could not go with", "given back with"};
	u32 i = r->event == TRACE_CMA_ALLOC_FINISH	 ? 0
		: r->event == TRACE_CMA_ALLOC_BUSY_RETRY ? 1
							 : 2;

	if (r->arg[2] && frame_among(r->arg[2], r->arg[3]))
		tell(r, "%s %llu frames of the area %.16s", what[i],
		     ull(r->arg[3]), (const char *)r->arg);
}

/* What is told of the frame by itself. */
static void on_frame(const struct trace_record *r)
{
	if (r->arg[0] != fo.pfn)
		return;
	switch (r->event) {
	case TRACE_MM_LRU_INSERTION:
		tell(r, "onto LRU list %s", events_lru(r->arg[1]));
		break;
	case TRACE_MM_LRU_ACTIVATE:
		tell(r, "activated");
		break;
	case TRACE_PAGE_DEACTIVATE:
		tell(r, "deactivated");
		break;
	case TRACE_PAGE_REFERENCED:
		tell(r, "aged: used through %llu of its mappings since",
		     ull(r->arg[1]));
		break;
	case TRACE_PAGE_ISOLATE:
		tell(r, "off its list for reclaim, priority %llu",
		     ull(r->arg[1]));
		break;
	case TRACE_MM_VMSCAN_WRITE_FOLIO:
		fo.reclaimer = r->pid; /* what follows says how */
		break;
	case TRACE_KSM_REMOVE_KSM_PAGE:
		tell(r, "nobody shares it any more: KSM has forgotten it");
		break;
	case TRACE_PAGE_VERDICT:
		tell(r, "reclaim: %s", verdict(r->arg[1]));
		break;
	case TRACE_MM_REFAULT:
		tell(r, "a refault: %llu pages went since it left%s",
		     ull(r->arg[1]), r->arg[2] ? ", active at once" : "");
		break;
	default:
		break;
	}
}

static void (*const handlers[NR_TRACE_EVENTS])(const struct trace_record *r) = {
	[TRACE_MM_PAGE_ALLOC] = on_alloc,
	[TRACE_MM_PAGE_FREE] = on_free,
	[TRACE_PAGE_MAP] = on_map,
	[TRACE_PAGE_UNMAP] = on_unmap,
	[TRACE_PAGE_COW] = on_cow,
	[TRACE_SWAP_OUT] = on_swap_out,
	[TRACE_SWAP_IN] = on_swap_in,
	[TRACE_PAGE_MIGRATE] = on_migrate,
	[TRACE_PAGE_MERGE] = on_merge,
	[TRACE_PAGE_FAULT_USER] = on_fault,
	[TRACE_PAGE_FAULT_KERNEL] = on_fault,
	[TRACE_PAGE_TAKE] = on_take,
	[TRACE_PAGE_HUGE] = on_huge,
	[TRACE_PAGE_PROTECT] = on_protect,
	[TRACE_PAGE_REMAP] = on_remap,
	[TRACE_MM_LRU_INSERTION] = on_frame,
	[TRACE_MM_LRU_ACTIVATE] = on_frame,
	[TRACE_PAGE_DEACTIVATE] = on_frame,
	[TRACE_PAGE_REFERENCED] = on_frame,
	[TRACE_PAGE_ISOLATE] = on_frame,
	[TRACE_PAGE_VERDICT] = on_frame,
	[TRACE_MM_REFAULT] = on_frame,
	[TRACE_MM_FILEMAP_ADD_TO_PAGE_CACHE] = on_cache,
	[TRACE_MM_FILEMAP_DELETE_FROM_PAGE_CACHE] = on_cache,
	[TRACE_WRITEBACK_DIRTY_FOLIO] = on_dirty,
	[TRACE_FOLIO_WAIT_WRITEBACK] = on_wait,
	[TRACE_WRITEBACK_START] = on_work,
	[TRACE_WRITEBACK_WRITTEN] = on_work,
	[TRACE_PAGE_WRITEBACK] = on_writeback,
	[TRACE_FILEMAP_SET_WB_ERR] = on_write_error,
	[TRACE_MM_VMSCAN_WRITE_FOLIO] = on_frame,
	[TRACE_KSM_REMOVE_KSM_PAGE] = on_frame,
	[TRACE_MM_KHUGEPAGED_SCAN_PMD] = on_refused,
	[TRACE_MM_COLLAPSE_HUGE_PAGE_ISOLATE] = on_refused,
	[TRACE_MM_PAGE_PCPU_DRAIN] = on_drain,
	[TRACE_MM_PAGE_ALLOC_EXTFRAG] = on_steal,
	[TRACE_CMA_ALLOC_FINISH] = on_cma,
	[TRACE_CMA_ALLOC_BUSY_RETRY] = on_cma,
	[TRACE_CMA_RELEASE] = on_cma,
};

void follow_enable(void)
{
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++)
		if (handlers[i])
			trace_enable((enum trace_event)i);
}

bool follow_needs(u32 event)
{
	return handlers[event] != NULL;
}

void follow_begin(const struct events_opts *o, FILE *f)
{
	memset(&fo, 0, sizeof(fo));
	fo.o = *o;
	fo.asked = o->address;
	fo.f = o->life ? NULL : f;
	fo.events = o->life ? json_array() : NULL;
	fo.pfn = o->by_pfn ? o->pfn : NOWHERE;
	fo.slot = NOWHERE;
	if (!fo.f)
		return;
	if (o->by_pfn)
		fprintf(f, "The life of frame 0x%llx (seconds, who, what)\n",
			ull(o->pfn));
	else
		fprintf(f,
			"The life of task %u's page at 0x%llx (seconds, who, "
			"what)\n",
			o->task, ull(o->address));
}

void follow_record(const struct trace_record *r, u64 mm)
{
	if (mm)
		fo.mm = mm;
	if (handlers[r->event])
		handlers[r->event](r);
}

/* The document; its file is closed. */
static void write_life(void)
{
	FILE *f = fopen(fo.o.life, "w");
	json_t *doc = json_object();
	char hex[24];
	int bad;

	if (!f)
		err_die("--life: %s: %s", fo.o.life, strerror(errno));
	json_object_set_new(doc, "schema", json_string("mmkit.life/1"));
	snprintf(hex, sizeof(hex), "0x%llx", ull(fo.asked));
	if (fo.o.by_pfn) {
		json_object_set_new(doc, "pfn",
				    json_integer((json_int_t)fo.o.pfn));
	} else {
		json_object_set_new(doc, "task", json_integer(fo.o.task));
		json_object_set_new(doc, "address", json_string(hex));
	}
	json_object_set_new(doc, "events", fo.events);
	bad = json_dumpf(doc, f, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	bad |= fputc('\n', f) == EOF;
	bad |= fclose(f);
	if (bad)
		err_die("--life: %s: %s", fo.o.life, strerror(errno));
	json_decref(doc);
}

void follow_end(void)
{
	if (fo.f && !fo.nr_told)
		fprintf(fo.f, "(nothing: it was never there)\n");
	if (fo.f)
		fputc('\n', fo.f);
	if (fo.events)
		write_life();
	free(fo.born);
	fo.born = NULL;
}
