/* SPDX-License-Identifier: MIT */
/*
 * trace.c - the model of tasks and mappings that traces are checked against,
 * the checksum, and names.
 *
 * 1. Purpose. A trace carries the memory life of a program from a recorder
 *    to a replayer, perhaps years and machines later. It must be small, it
 *    must decode in a few instructions per record, and it must not be able to
 *    harm the program that reads it. docs/TRACE-FORMAT.md has the bytes.
 *
 * 2. Structures. A file is a header, blocks and an end record. A block is up
 *    to 4 MiB of 64-bit words, compressed by zstd. A reference is one word of
 *    fixed fields, so decoding is shifts and masks; words repeat literally
 *    when a program loops, which is what an LZ compressor wants (delta coding
 *    would make equal loop bodies at different places differ less, but equal
 *    ones at one place differ more; loops are what programs do). Everything
 *    else is rare and is a word with type and length, then varints.
 *    struct trace_state models what a record may refer to: tasks, the
 *    address space of each (shared by threads), and of each mapping only the
 *    number of pages and the kind.
 *
 * 3. Invariants. Reader and writer run every record through one function,
 *    trace_state_apply(), so what can be written can be read. limits[id] in
 *    the public part of a reader is 0 for ids without mapping, so the fast
 *    path needs no second look. Sum of mm->nr over all mms is nr_entries and
 *    at most TRACE_MAX_MM_ENTRIES: the bound on memory (5 MiB) whatever the
 *    file says.
 *
 * 4. Locking: none; one thread per reader or writer.
 *
 * 5. Life of a record. trace_write() checks and encodes it into the block
 *    buffer; a full buffer is compressed and summed; the reader reads a
 *    block, compares its sum before it looks at one byte of it, decompresses
 *    into a buffer of bounded size, and decodes record by record, checking.
 *
 * 6. Failure. Damage is found by sums (XXH64 of each block, chained through
 *    the file, so that missing, doubled or reordered blocks are found too);
 *    malice, which can fix sums, by the model. Each text names file, block,
 *    byte and reason.
 *
 * 7. Complexity. O(1) per record except fork, which copies a table.
 *
 * 8. Rejected: absolute addresses (bind a trace to one layout); checking
 *    whether pages are mapped in the reader (needs the whole VMA tree, and
 *    the replayer has one); an index of blocks (the model's state would have
 *    to be stored with each entry); protocol generators (too slow per word).
 *
 * 9. References. XXH64: the published description of xxHash. zstd: RFC 8878.
 *    Varints: LEB128 as in DWARF.
 */
#include "trace_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void trace_errorf(struct trace_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
}

/* ---- XXH64 ------------------------------------------------------------------
 */

#define P1 0x9e3779b185ebca87ULL
#define P2 0xc2b2ae3d27d4eb4fULL
#define P3 0x165667b19e3779f9ULL
#define P4 0x85ebca77c2b2ae63ULL
#define P5 0x27d4eb2f165667c5ULL

static u64 rotl(u64 x, int n)
{
	return (x << n) | (x >> (64 - n));
}

static u64 load64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static u64 sum_round(u64 acc, u64 lane)
{
	return rotl(acc + lane * P2, 31) * P1;
}

static u64 sum_merge(u64 h, u64 acc)
{
	return (h ^ sum_round(0, acc)) * P1 + P4;
}

/* The 32-byte stripes; *P is moved behind them. */
static u64 sum_stripes(const u8 **p, const u8 *end, u64 seed)
{
	u64 v[4] = {seed + P1 + P2, seed + P2, seed, seed - P1};
	u64 h;

	for (; end - *p >= 32; *p += 32)
		for (int i = 0; i < 4; i++)
			v[i] = sum_round(v[i], load64(*p + 8 * i));
	h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
	for (int i = 0; i < 4; i++)
		h = sum_merge(h, v[i]);
	return h;
}

/* What is left after the stripes, 0 to 31 bytes. */
static u64 sum_tail(const u8 *p, const u8 *end, u64 h)
{
	for (; end - p >= 8; p += 8)
		h = rotl(h ^ sum_round(0, load64(p)), 27) * P1 + P4;
	if (end - p >= 4) {
		u32 v;

		memcpy(&v, p, sizeof(v));
		h = rotl(h ^ v * P1, 23) * P2 + P3;
		p += 4;
	}
	for (; p < end; p++)
		h = rotl(h ^ *p * P5, 11) * P1;
	h = (h ^ (h >> 33)) * P2;
	h = (h ^ (h >> 29)) * P3;
	return h ^ (h >> 32);
}

u64 trace_sum64(const void *data, size_t len, u64 seed)
{
	const u8 *p = data;
	const u8 *end = p + len;
	u64 h = len >= 32 ? sum_stripes(&p, end, seed) : seed + P5;

	return sum_tail(p, end, h + len);
}

/* ---- names ------------------------------------------------------------------
 */

static const char *name_of(const char *const *names, u32 nr, u32 i)
{
	return i < nr && names[i] ? names[i] : "?";
}

const char *trace_type_name(u32 type)
{
	static const char *const names[TRACE_NR_TYPES] = {
		NULL,	"ref",	"map",	"file",	  "call",    "fork",
		"exec", "exit", "wait", "switch", "content", "fileop",
	};

	return name_of(names, TRACE_NR_TYPES, type);
}

const char *trace_kind_name(u32 kind)
{
	static const char *const names[TRACE_NR_KINDS] = {
		"anon", "stack", "heap", "file", "vdso"};

	return name_of(names, TRACE_NR_KINDS, kind);
}

const char *trace_how_name(u32 how)
{
	static const char *const names[TRACE_NR_HOWS] = {"start", "mmap",
							 "move", "touch"};

	return name_of(names, TRACE_NR_HOWS, how);
}

const char *trace_op_name(u32 op)
{
	static const char *const names[TRACE_NR_OPS] = {
		"mmap",	    "munmap",	  "mprotect", "mremap",
		"brk",	    "madvise",	  "mlock",    "munlock",
		"mlockall", "munlockall", "msync",
	};

	return name_of(names, TRACE_NR_OPS, op);
}

const char *trace_fileop_name(u32 op)
{
	static const char *const names[TRACE_NR_FOPS] = {
		"open", "close",  "read",     "write", "truncate",
		"sync", "advise", "allocate", "unlink"};

	return name_of(names, TRACE_NR_FOPS, op);
}

/* ---- totals -----------------------------------------------------------------
 */

void trace_totals_pack(const struct trace_totals *t, u64 v[TRACE_NR_TOTALS])
{
	const u64 all[TRACE_NR_TOTALS] = {
		t->blocks,
		t->records,
		t->ref_records,
		t->references,
		t->unreported,
		t->tasks,
		t->maps,
		t->touch_maps,
		t->calls,
		t->contents,
		t->footprint_pages,
		t->raw_bytes,
		(u64)t->exit_status,
	};

	memcpy(v, all, sizeof(all));
}

void trace_totals_unpack(struct trace_totals *t, const u64 v[TRACE_NR_TOTALS])
{
	*t = (struct trace_totals){
		.blocks = v[0],
		.records = v[1],
		.ref_records = v[2],
		.references = v[3],
		.unreported = v[4],
		.tasks = v[5],
		.maps = v[6],
		.touch_maps = v[7],
		.calls = v[8],
		.contents = v[9],
		.footprint_pages = v[10],
		.raw_bytes = v[11],
		.exit_status = (s64)v[12],
	};
}

/* ---- the model: address spaces
 * -------------------------------------------------- */

static int refuse(struct trace_state *st, const char *fmt, ...) MM_PRINTF(2, 3);

static int refuse(struct trace_state *st, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(st->why, sizeof(st->why), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int no_memory(struct trace_state *st)
{
	refuse(st, "out of memory");
	return -ENOMEM;
}

static void mm_put(struct trace_state *st, struct trace_mm *mm)
{
	if (!mm || --mm->users)
		return;
	st->nr_entries -= mm->nr;
	free(mm->pages);
	free(mm->kind);
	free(mm);
}

/* Make room for ids below NR (a power of two); the new ones are undefined. */
static int mm_grow(struct trace_state *st, struct trace_mm *mm, u32 nr)
{
	u32 *pages;
	u8 *kind;

	if (nr <= mm->nr)
		return 0;
	if (st->nr_entries + (nr - mm->nr) > TRACE_MAX_MM_ENTRIES)
		return refuse(st, "more than %u mappings in all",
			      TRACE_MAX_MM_ENTRIES);
	pages = realloc(mm->pages, nr * sizeof(*pages));
	if (!pages)
		return no_memory(st);
	mm->pages = pages;
	kind = realloc(mm->kind, nr);
	if (!kind)
		return no_memory(st);
	mm->kind = kind;
	memset(pages + mm->nr, 0, (nr - mm->nr) * sizeof(*pages));
	memset(kind + mm->nr, TRACE_KIND_NONE, nr - mm->nr);
	st->nr_entries += nr - mm->nr;
	mm->nr = nr;
	return 0;
}

/* A new address space for one user: empty, or a copy of FROM. */
static int mm_new(struct trace_state *st, const struct trace_mm *from,
		  struct trace_mm **out)
{
	struct trace_mm *mm = calloc(1, sizeof(*mm));
	int ret;

	if (!mm)
		return no_memory(st);
	mm->users = 1;
	ret = from ? mm_grow(st, mm, from->nr) : 0;
	if (ret) {
		mm_put(st, mm);
		return ret;
	}
	if (from && from->nr && mm->pages) {
		memcpy(mm->pages, from->pages, from->nr * sizeof(*mm->pages));
		memcpy(mm->kind, from->kind, from->nr);
	}
	*out = mm;
	return 0;
}

struct trace_state *trace_state_new(u32 version)
{
	struct trace_state *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->version = version;
	st->expect_move = TRACE_NO_ID;
	if (mm_new(st, NULL, &st->tasks[0].mm)) {
		free(st);
		return NULL;
	}
	st->tasks[0].state = TRACE_TASK_ALIVE;
	return st;
}

void trace_state_free(struct trace_state *st)
{
	if (!st)
		return;
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++)
		mm_put(st, st->tasks[i].mm);
	free(st);
}

struct trace_mm *trace_state_mm(const struct trace_state *st)
{
	return st->tasks[st->cur].mm;
}

/* ---- the model: one check per type
 * ----------------------------------------------- */

static bool has_map(const struct trace_mm *mm, u32 map)
{
	return map < mm->nr && mm->kind[map] != TRACE_KIND_NONE;
}

/* Pages PAGE .. PAGE + NR of MAP exist as coordinates. */
static int check_range(struct trace_state *st, u32 map, u32 page, u32 nr)
{
	const struct trace_mm *mm = trace_state_mm(st);

	if (!has_map(mm, map))
		return refuse(st, "mapping %u does not exist", map);
	if ((u64)page + nr > mm->pages[map])
		return refuse(st,
			      "pages %u+%u are outside mapping %u of %u pages",
			      page, nr, map, mm->pages[map]);
	return 0;
}

static int apply_ref(struct trace_state *st, const struct trace_ref *r)
{
	if (!r->access || r->access > 7)
		return refuse(st, "reference with access %u", r->access);
	if (!r->nr_pages || r->nr_pages > TRACE_MAX_RUN)
		return refuse(st, "reference to a run of %u pages",
			      r->nr_pages);
	if (!r->count)
		return refuse(st, "reference with count 0");
	return check_range(st, r->map, r->page, r->nr_pages);
}

/* The numbers of a MAP record, without regard to what exists. */
static int check_map_fields(struct trace_state *st, const struct trace_map *m)
{
	if (m->map >= TRACE_MAX_MAPS)
		return refuse(st, "mapping id %u is above %u", m->map,
			      TRACE_MAX_MAPS - 1);
	if (m->kind >= TRACE_NR_KINDS || m->how >= TRACE_NR_HOWS)
		return refuse(st, "mapping of unknown kind %u/%u", m->kind,
			      m->how);
	if (m->prot > 7 || (m->flags & ~TRACE_MF_ALL))
		return refuse(st, "mapping with protection %u, flags %#x",
			      m->prot, m->flags);
	if (m->pages > TRACE_MAX_MAP_PAGES ||
	    (!m->pages && m->kind != TRACE_KIND_HEAP))
		return refuse(st, "mapping of %u pages", m->pages);
	if (m->grown_pages > (m->kind == TRACE_KIND_STACK ? m->pages : 0))
		return refuse(st, "mapping grown by %u of %u pages",
			      m->grown_pages, m->pages);
	if ((m->start & (PAGE_SIZE - 1)) || m->start >= TRACE_MAX_ADDR)
		return refuse(st, "mapping at address %#llx",
			      (unsigned long long)m->start);
	return 0;
}

/* FILE exists and, if it is wanted, has a name still. */
static int check_file(struct trace_state *st, u32 file, bool named)
{
	if (file >= TRACE_MAX_FILES || st->files[file] == TRACE_FILE_NONE)
		return refuse(st, "file %u does not exist", file);
	if (named && st->files[file] == TRACE_FILE_GONE)
		return refuse(st, "file %u is gone", file);
	return 0;
}

static int check_open(struct trace_state *st, u32 open)
{
	if (open >= TRACE_MAX_OPENS || !st->open_file[open])
		return refuse(st, "open file %u does not exist", open);
	return 0;
}

/* The file of a MAP record, and the open file by which it was mapped. */
static int check_map_file(struct trace_state *st, const struct trace_map *m)
{
	int ret;

	if (m->file_page >= TRACE_MAX_ADDR / PAGE_SIZE)
		return refuse(st, "file offset of %llu pages",
			      (unsigned long long)m->file_page);
	if (m->open == TRACE_NO_ID)
		return check_file(st, m->file, m->how != TRACE_HOW_MOVE);
	ret = check_open(st, m->open);
	if (!ret && st->open_file[m->open] != m->file + 1)
		ret = refuse(st, "open file %u is of file %u, not %u", m->open,
			     st->open_file[m->open] - 1, m->file);
	return ret;
}

/* What a MAP record refers to. */
static int check_map_refs(struct trace_state *st, const struct trace_map *m)
{
	const struct trace_mm *mm = trace_state_mm(st);

	if (m->at_map != TRACE_NO_ID && !has_map(mm, m->at_map))
		return refuse(st, "placed in mapping %u, which does not exist",
			      m->at_map);
	if (m->at_map != TRACE_NO_ID && m->at_page > TRACE_MAX_MAP_PAGES)
		return refuse(st, "placed at page %u", m->at_page);
	if (m->file == TRACE_NO_ID)
		return m->kind == TRACE_KIND_FILE
			       ? refuse(st, "file mapping without a file")
		       : m->open != TRACE_NO_ID
			       ? refuse(st, "open file %u, but no file",
					m->open)
			       : 0;
	return check_map_file(st, m);
}

static int apply_map(struct trace_state *st, const struct trace_map *m)
{
	struct trace_mm *mm = trace_state_mm(st);
	u32 nr = mm->nr ? mm->nr : 64;
	int ret = check_map_fields(st, m);

	if (!ret)
		ret = check_map_refs(st, m);
	if (ret)
		return ret;
	if ((m->how == TRACE_HOW_MOVE) != (st->expect_move != TRACE_NO_ID))
		return refuse(st, "a moved mapping without its mremap");
	if (m->how == TRACE_HOW_MOVE && m->map != st->expect_move)
		return refuse(st, "mremap makes mapping %u, not %u",
			      st->expect_move, m->map);
	while (nr <= m->map)
		nr *= 2;
	ret = mm_grow(st, mm, nr);
	if (ret)
		return ret;
	mm->pages[m->map] = m->pages;
	mm->kind[m->map] = (u8)m->kind;
	st->expect_move = TRACE_NO_ID;
	return 0;
}

static int apply_file(struct trace_state *st, const struct trace_file *f)
{
	if (f->file >= TRACE_MAX_FILES)
		return refuse(st, "file id %u is above %u", f->file,
			      TRACE_MAX_FILES - 1);
	if (st->files[f->file] != TRACE_FILE_NONE)
		return refuse(st, "file %u is defined twice", f->file);
	if (!f->name || strlen(f->name) > TRACE_MAX_NAME)
		return refuse(st, "file %u without a usable name", f->file);
	if (f->flags & ~TRACE_FILE_ALL)
		return refuse(st, "file %u with flags %#x", f->file, f->flags);
	st->files[f->file] = TRACE_FILE_NAMED;
	return 0;
}

/* A successful mremap: grows in place, or announces the MAP that follows. */
static int apply_mremap(struct trace_state *st, const struct trace_call *c)
{
	struct trace_mm *mm = trace_state_mm(st);

	if (c->map == TRACE_NO_ID || !c->arg || c->arg > TRACE_MAX_MAP_PAGES)
		return refuse(st, "mremap of mapping %d to %llu pages",
			      (int)c->map, (unsigned long long)c->arg);
	if (c->new_map >= TRACE_MAX_MAPS)
		return refuse(st, "mremap makes mapping %u", c->new_map);
	if (c->new_map != c->map) {
		st->expect_move = c->new_map;
		return 0;
	}
	if ((u64)c->page + c->nr_pages != mm->pages[c->map] ||
	    c->page + c->arg > TRACE_MAX_MAP_PAGES)
		return refuse(st, "mremap in place away from the end");
	mm->pages[c->map] = c->page + (u32)c->arg;
	return 0;
}

static int apply_brk(struct trace_state *st, const struct trace_call *c)
{
	struct trace_mm *mm = trace_state_mm(st);

	if (!has_map(mm, c->map) || mm->kind[c->map] != TRACE_KIND_HEAP)
		return refuse(st, "brk in mapping %d, which is no heap",
			      (int)c->map);
	if (c->arg > (u64)TRACE_MAX_MAP_PAGES * PAGE_SIZE)
		return refuse(st, "brk to %llu bytes",
			      (unsigned long long)c->arg);
	mm->pages[c->map] = (u32)(PFN_UP(c->arg));
	return 0;
}

static int apply_call(struct trace_state *st, const struct trace_call *c)
{
	int ret = 0;

	if (c->op >= TRACE_NR_OPS)
		return refuse(st, "unknown call %u", c->op);
	if (c->err > TRACE_MAX_ERRNO)
		return refuse(st, "call failed with errno %u", c->err);
	if (c->nr_pages > TRACE_MAX_MAP_PAGES)
		return refuse(st, "call over %u pages", c->nr_pages);
	if (c->op == TRACE_OP_MMAP && !c->err)
		return refuse(st, "a successful mmap as a call record");
	if (c->new_map != TRACE_NO_ID && (c->op != TRACE_OP_MREMAP || c->err))
		return refuse(st, "%s with a new mapping",
			      trace_op_name(c->op));
	if (c->flags &&
	    (c->op != TRACE_OP_MREMAP || (c->flags & ~TRACE_MREMAP_ALL)))
		return refuse(st, "%s with flags %#x", trace_op_name(c->op),
			      c->flags);
	if (c->map != TRACE_NO_ID)
		ret = check_range(st, c->map, c->page, c->nr_pages);
	if (ret || c->err)
		return ret;
	if (c->op == TRACE_OP_MREMAP)
		return apply_mremap(st, c);
	if (c->op == TRACE_OP_BRK)
		return apply_brk(st, c);
	return 0;
}

static int apply_fork(struct trace_state *st, const struct trace_fork *f)
{
	struct trace_mm *mm = trace_state_mm(st);
	struct trace_task *child = &st->tasks[f->child % TRACE_MAX_TASKS];
	int ret;

	if (f->child >= TRACE_MAX_TASKS)
		return refuse(st, "task id %u is above %u", f->child,
			      TRACE_MAX_TASKS - 1);
	if (child->state != TRACE_TASK_FREE)
		return refuse(st, "task %u is born but exists", f->child);
	if (f->flags > 7 ||
	    ((f->flags & TRACE_CLONE_THREAD) && !(f->flags & TRACE_CLONE_VM)))
		return refuse(st, "fork with flags %#x", f->flags);
	if (f->flags & TRACE_CLONE_VM) {
		mm->users++;
	} else {
		ret = mm_new(st, mm, &mm);
		if (ret)
			return ret;
	}
	child->mm = mm;
	child->state = TRACE_TASK_ALIVE;
	child->thread = f->flags & TRACE_CLONE_THREAD;
	return 0;
}

static int apply_exec(struct trace_state *st, const struct trace_exec *e)
{
	struct trace_mm *mm = NULL;
	int ret;

	if (!e->name || strlen(e->name) > TRACE_MAX_NAME)
		return refuse(st, "exec without a usable name");
	ret = mm_new(st, NULL, &mm);
	if (ret)
		return ret;
	mm_put(st, st->tasks[st->cur].mm);
	st->tasks[st->cur].mm = mm;
	return 0;
}

static int apply_exit(struct trace_state *st)
{
	struct trace_task *t = &st->tasks[st->cur];

	mm_put(st, t->mm);
	t->mm = NULL;
	t->state = t->thread ? TRACE_TASK_FREE : TRACE_TASK_ZOMBIE;
	return 0;
}

static int apply_wait(struct trace_state *st, u32 child)
{
	if (child >= TRACE_MAX_TASKS ||
	    st->tasks[child].state != TRACE_TASK_ZOMBIE)
		return refuse(st, "wait for task %u, which has not ended",
			      child);
	st->tasks[child].state = TRACE_TASK_FREE;
	return 0;
}

static int apply_switch(struct trace_state *st, u32 to)
{
	if (to >= TRACE_MAX_TASKS || st->tasks[to].state != TRACE_TASK_ALIVE)
		return refuse(st, "switch to task %u, which does not live", to);
	st->cur = to;
	return 0;
}

static int apply_content(struct trace_state *st, const struct trace_content *c)
{
	if (c->csize > PAGE_SIZE)
		return refuse(st, "a page compressed to %u bytes", c->csize);
	return check_range(st, c->map, c->page, 1);
}

/* What does not apply to an operation must not be given. */
static int check_fileop_fields(struct trace_state *st,
			       const struct trace_fileop *f)
{
	static const u64 max_arg[TRACE_NR_FOPS] = {
		[TRACE_FOP_OPEN] = TRACE_OPEN_ALL,
		[TRACE_FOP_SYNC] = 1,
		[TRACE_FOP_ADVISE] = 5,
		[TRACE_FOP_ALLOCATE] = UINT32_MAX,
	};
	bool by_file = f->op == TRACE_FOP_TRUNCATE || f->op == TRACE_FOP_SYNC ||
		       f->op == TRACE_FOP_UNLINK;
	bool range = f->op == TRACE_FOP_READ || f->op == TRACE_FOP_WRITE ||
		     f->op == TRACE_FOP_ADVISE || f->op == TRACE_FOP_ALLOCATE;

	if (f->op >= TRACE_NR_FOPS)
		return refuse(st, "unknown file operation %u", f->op);
	if ((f->file != TRACE_NO_ID) != (by_file || f->op == TRACE_FOP_OPEN) ||
	    (f->open != TRACE_NO_ID) == by_file || f->arg > max_arg[f->op])
		return refuse(st, "%s of file %d, open file %d, arg %#llx",
			      trace_fileop_name(f->op), (int)f->file,
			      (int)f->open, (unsigned long long)f->arg);
	if (f->offset > TRACE_MAX_BYTES ||
	    f->length > TRACE_MAX_BYTES - f->offset || (!range && f->length) ||
	    (!range && f->op != TRACE_FOP_TRUNCATE && f->offset))
		return refuse(st, "%s of %llu bytes at %llu",
			      trace_fileop_name(f->op),
			      (unsigned long long)f->length,
			      (unsigned long long)f->offset);
	return 0;
}

static int apply_fileop(struct trace_state *st, const struct trace_fileop *f)
{
	int ret = check_fileop_fields(st, f);

	if (ret)
		return ret;
	if (f->op == TRACE_FOP_OPEN) {
		ret = check_file(st, f->file, true);
		if (!ret && f->open >= TRACE_MAX_OPENS)
			ret = refuse(st, "open file %u is above %u", f->open,
				     TRACE_MAX_OPENS - 1);
		if (!ret && st->open_file[f->open])
			ret = refuse(st, "open file %u is opened twice",
				     f->open);
		if (!ret)
			st->open_file[f->open] = f->file + 1;
		return ret;
	}
	if (f->open != TRACE_NO_ID)
		ret = check_open(st, f->open);
	else
		ret = check_file(st, f->file, f->op == TRACE_FOP_UNLINK);
	if (!ret && f->op == TRACE_FOP_CLOSE)
		st->open_file[f->open] = 0;
	if (!ret && f->op == TRACE_FOP_UNLINK)
		st->files[f->file] = TRACE_FILE_GONE;
	return ret;
}

/* What version 1 has no place for. */
static int check_version(struct trace_state *st, const struct trace_rec *rec)
{
	bool fits = true;

	if (rec->type == TRACE_MAP)
		fits = rec->map.open == TRACE_NO_ID;
	else if (rec->type == TRACE_FILE)
		fits = !rec->file.flags;
	else if (rec->type == TRACE_CALL)
		fits = !rec->call.flags;
	else if (rec->type == TRACE_FILEOP)
		fits = false;
	return fits || st->version > 1
		       ? 0
		       : refuse(st, "version 1 cannot hold this %s record",
				trace_type_name(rec->type));
}

/* What must hold before any record, whatever it is. */
static int check_before(struct trace_state *st, const struct trace_rec *rec)
{
	if (rec->type == TRACE_SWITCH)
		return st->expect_move == TRACE_NO_ID
			       ? 0
			       : refuse(st, "mremap without its new mapping");
	if (!trace_state_mm(st))
		return refuse(st, "%s record of a task that has ended",
			      trace_type_name(rec->type));
	if (st->expect_move != TRACE_NO_ID && rec->type != TRACE_MAP)
		return refuse(st, "mremap without its new mapping");
	return 0;
}

int trace_state_apply(struct trace_state *st, const struct trace_rec *rec)
{
	int ret = check_before(st, rec);

	if (!ret)
		ret = check_version(st, rec);
	if (ret)
		return ret;
	switch (rec->type) {
	case TRACE_REF:
		return apply_ref(st, &rec->ref);
	case TRACE_MAP:
		return apply_map(st, &rec->map);
	case TRACE_FILE:
		return apply_file(st, &rec->file);
	case TRACE_CALL:
		return apply_call(st, &rec->call);
	case TRACE_FORK:
		return apply_fork(st, &rec->fork);
	case TRACE_EXEC:
		return apply_exec(st, &rec->exec);
	case TRACE_EXIT:
		return apply_exit(st);
	case TRACE_WAIT:
		return apply_wait(st, rec->child);
	case TRACE_SWITCH:
		return apply_switch(st, rec->to);
	case TRACE_CONTENT:
		return apply_content(st, &rec->content);
	case TRACE_FILEOP:
		return apply_fileop(st, &rec->fileop);
	case TRACE_NR_TYPES:
		break;
	}
	return refuse(st, "record of unknown type %u", (unsigned)rec->type);
}
