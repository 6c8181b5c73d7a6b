/* SPDX-License-Identifier: MIT */
/*
 * trace.h - reading and writing recorded memory lives of programs.
 *
 * docs/TRACE-FORMAT.md gives the bytes; lab/trace.c opens with the theory.
 * In short: a trace is a list of records. A reference names a mapping (an id
 * in the current task's address space) and a page inside it, never an
 * address, so that it can be replayed on any layout. A mapping is a system of
 * coordinates: it says where page 0 was, how many pages may be named, and
 * what backs them. Ids are per address space: fork without TRACE_CLONE_VM
 * copies the parent's table, exec empties it, a new MAP record for an id that
 * is in use replaces it.
 *
 * What a consumer may trust: every decoded record has existing task and
 * mapping ids, page ranges inside their mapping, and enumerations in range.
 * It may NOT trust that a page which is named is still mapped (a hostile
 * trace can unmap it first); a replayer counts such accesses as faults of
 * the program.
 *
 * Context of all functions: an ordinary single thread; a reader or writer
 * must not be shared by threads without a lock.
 */
#ifndef LAB_TRACE_H
#define LAB_TRACE_H

#include <mmkit/types.h>

#define TRACE_VERSION	     2u	    /* what is written */
#define TRACE_OLDEST	     1u	    /* what is still read */
#define TRACE_MAX_TASKS	     4096u  /* task ids are 0 .. 4095 */
#define TRACE_MAX_MAPS	     16384u /* mapping ids are 0 .. 16383 */
#define TRACE_MAX_FILES	     65536u
#define TRACE_MAX_OPENS	     65536u
#define TRACE_MAX_MAP_PAGES  (1u << 31) /* 8 TiB in one mapping */
#define TRACE_MAX_MM_ENTRIES (1u << 20) /* mappings of all live mms */
#define TRACE_MAX_NAME	     4095u
#define TRACE_NO_ID	     UINT32_MAX

struct trace_error {
	char text[640];
};

/* ---- the header: what was recorded, and how ------------------------------ */

#define TRACE_ARCH_X86_64 62u /* the ELF machine numbers */

/* trace_header.flags */
#define TRACE_HAS_CONTENT 0x1u /* CONTENT records were sampled */
#define TRACE_FROM_LACKEY 0x2u /* plain lackey text: no calls, no maps */

struct trace_header {
	/* Reading: TRACE_OLDEST .. TRACE_VERSION. Writing: 0 means
	 * TRACE_VERSION; an older one refuses what it cannot hold. */
	u32 version;
	u32 flags;     /* TRACE_HAS_CONTENT, TRACE_FROM_LACKEY */
	u32 arch;      /* TRACE_ARCH_* */
	u32 page_size; /* 4096 */
	/*
	 * The filter used: 0 none; W: after a page was reported, the next W
	 * references of its address space to it are only counted, unless it
	 * is accessed in a way that the report did not cover (a write covers
	 * reads) or a memory call or fork came between.
	 */
	u64 window;
	u32 argc;
	char **argv;   /* the program and its arguments */
	char *program; /* what wrote the trace, e.g. "mmkit 0.1 lackey" */
};

/* What the end record says of the whole; written last, known at open. */
struct trace_totals {
	u64 blocks;
	u64 records;	 /* of all types */
	u64 ref_records; /* REF records */
	u64 references;	 /* sum of their raw counts */
	u64 unreported;	 /* references the filter dropped at the very end */
	u64 tasks;
	u64 maps;	/* MAP records */
	u64 touch_maps; /* of these: ranges nobody had accounted for */
	u64 calls;
	u64 contents;
	u64 footprint_pages; /* distinct pages referenced (COW not counted) */
	u64 raw_bytes;	     /* of all blocks, before compression */
	s64 exit_status;     /* of the first task; 256 + signal if killed */
};

/* ---- records ---------------------------------------------------------------
 */

enum trace_type {
	TRACE_REF = 1, /* references to a run of pages */
	TRACE_MAP,     /* a mapping comes into being */
	TRACE_FILE,    /* identity of a file, before its first MAP */
	TRACE_CALL,    /* a memory call other than a successful mmap */
	TRACE_FORK,    /* a task is born (of the current task) */
	TRACE_EXEC,    /* the current task's address space starts anew */
	TRACE_EXIT,    /* the current task ends */
	TRACE_WAIT,    /* the current task has reaped a child */
	TRACE_SWITCH,  /* the following records belong to another task */
	TRACE_CONTENT, /* what a page of the current task holds now */
	TRACE_FILEOP,  /* the current task used a file (version 2) */
	TRACE_NR_TYPES
};

#define TRACE_R 1u
#define TRACE_W 2u
#define TRACE_X 4u

/*
 * Pages page .. page + nr_pages - 1, one after the other upwards, each
 * accessed as ACCESS says. With TRACE_W set the first access to each page was
 * a store or a read-modify-write (TRACE_R beside it: loads followed), so a
 * replayer performs a write. COUNT raw references are summed up in all.
 */
struct trace_ref {
	u32 map;
	u32 page;
	u32 nr_pages; /* 1 .. 256 */
	u32 access;   /* TRACE_R | TRACE_W | TRACE_X, not 0 */
	u32 count;    /* >= 1 */
};

enum trace_map_kind {
	TRACE_KIND_ANON,
	TRACE_KIND_STACK, /* grows down: see grown_pages */
	TRACE_KIND_HEAP,  /* the brk area; its size changes by brk calls */
	TRACE_KIND_FILE,
	TRACE_KIND_VDSO,
	TRACE_NR_KINDS
};

enum trace_map_how {
	TRACE_HOW_START, /* there when the program started (or after exec) */
	TRACE_HOW_MMAP,	 /* made by mmap */
	TRACE_HOW_MOVE,	 /* made by mremap; follows its CALL record */
	TRACE_HOW_TOUCH, /* nobody accounted for it: mapped at first touch */
	TRACE_NR_HOWS
};

#define TRACE_PROT_READ	 1u
#define TRACE_PROT_WRITE 2u
#define TRACE_PROT_EXEC	 4u

/* trace_map.flags: meanings of MAP_*, numbers of our own. */
#define TRACE_MF_SHARED	   0x1u
#define TRACE_MF_FIXED	   0x2u /* the program asked for this address */
#define TRACE_MF_NORESERVE 0x4u
#define TRACE_MF_LOCKED	   0x8u
#define TRACE_MF_POPULATE  0x10u
#define TRACE_MF_HUGETLB   0x20u
#define TRACE_MF_GROWSDOWN 0x40u
#define TRACE_MF_32BIT	   0x80u
#define TRACE_MF_ALL	   0xffu

/*
 * Mapping MAP covers PAGES pages from START (the recorded address; a replayer
 * keeps it modulo 2 MiB). AT_MAP != TRACE_NO_ID: the mapping replaces the
 * pages from AT_PAGE on of that mapping (mmap with MAP_FIXED inside an earlier
 * one) and must be placed there; pages past AT_MAP's end are allowed, then
 * the address just continues. A stack's pages count from the lowest address
 * that it may grow to; GROWN_PAGES at its upper end are mapped at once.
 */
struct trace_map {
	u32 map;
	u32 kind;
	u32 how;
	u32 prot;
	u32 flags;
	u32 pages;	 /* 0 is allowed for TRACE_KIND_HEAP only */
	u32 grown_pages; /* stack only, else 0 */
	u32 at_map, at_page;
	u64 start;
	u32 file;      /* id of a FILE record, or TRACE_NO_ID */
	u64 file_page; /* offset in the file, in pages */
	/* Version 2: the open file that was mapped, whose read-ahead serves
	 * its faults; TRACE_NO_ID: one of the mapping's own. */
	u32 open;
};

/* trace_file.flags (version 2) */
#define TRACE_FILE_MEMORY  1u /* lives in memory and swap: tmpfs, memfd */
#define TRACE_FILE_SPECIAL 2u /* no regular file: a device, a pipe */
#define TRACE_FILE_ALL	   3u

struct trace_file {
	u32 file;
	u64 dev, ino; /* 0 if unknown */
	u64 size;     /* bytes, when it was first seen */
	u32 flags;    /* TRACE_FILE_* */
	char *name;   /* owned by the reader; valid until the next record */
};

enum trace_op {
	TRACE_OP_MMAP, /* a failed one; a successful one is a MAP record */
	TRACE_OP_MUNMAP,
	TRACE_OP_MPROTECT, /* arg: TRACE_PROT_* */
	TRACE_OP_MREMAP,   /* arg: new size in pages, new_map */
	TRACE_OP_BRK,	   /* arg: new end in bytes from the heap's start */
	TRACE_OP_MADVISE,  /* arg: Linux's advice number */
	TRACE_OP_MLOCK,	   /* arg: mlock2's flags */
	TRACE_OP_MUNLOCK,
	TRACE_OP_MLOCKALL, /* arg: Linux's flags; no range */
	TRACE_OP_MUNLOCKALL,
	TRACE_OP_MSYNC, /* arg: Linux's flags */
	TRACE_NR_OPS
};

/* trace_call.flags of MREMAP (version 2): mremap(2)'s. */
#define TRACE_MREMAP_MAYMOVE   1u
#define TRACE_MREMAP_FIXED     2u
#define TRACE_MREMAP_DONTUNMAP 4u
#define TRACE_MREMAP_ALL       7u

/*
 * One memory call, or one piece of it: a range that spans several mappings is
 * given as one record per mapping, all but the last with MORE set. A range
 * without any mapping has map == TRACE_NO_ID (so have MMAP and *ALL). ERR is 0
 * or a positive Linux errno. A successful MREMAP with new_map == map changes
 * the mapping's size to page + arg pages; otherwise a MAP record with
 * TRACE_HOW_MOVE for new_map follows directly. A successful BRK
 * changes the heap mapping's size to arg rounded up to pages.
 */
struct trace_call {
	u32 op;
	u32 map;
	u32 page;
	u32 nr_pages;
	u32 err;
	u32 new_map; /* MREMAP only, else TRACE_NO_ID */
	u32 flags;   /* MREMAP only, else 0 */
	u64 arg;
	bool more;
};

/* What a task did to a file otherwise than through memory (version 2). */
enum trace_fileop_kind {
	TRACE_FOP_OPEN,	    /* handle OPEN of FILE; arg: TRACE_OPEN_* */
	TRACE_FOP_CLOSE,    /* nobody has OPEN any more */
	TRACE_FOP_READ,	    /* LENGTH bytes at OFFSET came out of OPEN */
	TRACE_FOP_WRITE,    /* LENGTH bytes at OFFSET went into OPEN */
	TRACE_FOP_TRUNCATE, /* FILE has OFFSET bytes now */
	TRACE_FOP_SYNC,	    /* fsync of FILE; arg 1: fdatasync */
	TRACE_FOP_ADVISE,   /* posix_fadvise of OPEN; arg: its advice */
	TRACE_FOP_ALLOCATE, /* fallocate of OPEN; arg: its mode */
	TRACE_FOP_UNLINK,   /* FILE has no name any more */
	TRACE_NR_FOPS
};

#define TRACE_OPEN_READ	  1u
#define TRACE_OPEN_WRITE  2u
#define TRACE_OPEN_APPEND 4u
#define TRACE_OPEN_ALL	  7u

/*
 * An open file (OPEN) is what open(2) makes: descriptors that dup or fork made
 * share it, and read-ahead is its own. Its id is given by OPEN, used until
 * CLOSE, and may be given again then; mappings outlive it. FILE is TRACE_NO_ID
 * where only OPEN counts, and the reverse. OFFSET and LENGTH are bytes, what
 * was done, not what was asked for; OFFSET + LENGTH is at most TRACE_MAX_BYTES.
 * After UNLINK the id of FILE is used by no new OPEN or MAP; what is open or
 * mapped of it lives on. The program's buffer is not part of the record: REF
 * records follow it.
 */
#define TRACE_MAX_BYTES ((u64)1 << 62)
struct trace_fileop {
	u32 op;
	u32 file, open;
	u64 offset, length;
	u64 arg;
};

#define TRACE_CLONE_VM	   1u /* shares the address space */
#define TRACE_CLONE_THREAD 2u
#define TRACE_CLONE_VFORK  4u

struct trace_fork {
	u32 child; /* a task id not in use */
	u32 flags; /* TRACE_CLONE_* */
};

struct trace_exec {
	char *name; /* owned by the reader; valid until the next record */
};

/* A sample. Equal hash means equal bytes. */
struct trace_content {
	u32 map;
	u32 page;
	bool zero; /* all bytes are 0 */
	u32 csize; /* bytes after compression by zstd level 1, <= 4096 */
	u64 hash;  /* XXH64, seed 0, of the page's bytes */
};

struct trace_rec {
	enum trace_type type;
	u32 task; /* the task it belongs to, after a SWITCH the new one */
	union {
		struct trace_ref ref;
		struct trace_map map;
		struct trace_file file;
		struct trace_call call;
		struct trace_fork fork;
		struct trace_exec exec;
		s32 exit_status; /* EXIT: status, or 256 + signal */
		u32 child;	 /* WAIT */
		u32 to;		 /* SWITCH */
		struct trace_content content;
		struct trace_fileop fileop;
	};
};

/* ---- reading ---------------------------------------------------------------
 */

/*
 * The part of a reader that trace_next_ref() works on; the rest is private.
 * p[0] is always readable: a word that is no REF stands behind each block.
 */
struct trace_reader {
	const u64 *p;	   /* next word of the decoded block */
	const u32 *limits; /* pages of each mapping of the current mm */
	u32 nr_limits;
	u32 task; /* the current task */
	struct trace_reader_priv *priv;
};

/* The word of a REF record, bits from the lowest. */
#define TRACE_REF_ACCESS_SHIFT 1  /* 3 bits; bit 0 is clear */
#define TRACE_REF_RUN_SHIFT    4  /* 8 bits: pages less one */
#define TRACE_REF_MAP_SHIFT    12 /* 14 bits */
#define TRACE_REF_PAGE_SHIFT   26 /* 22 bits */
#define TRACE_REF_COUNT_SHIFT  48 /* 16 bits: references less one */

/*
 * trace_reader_open: open the trace at PATH and check its header and its end
 * record. Returns the reader, to be closed by trace_reader_close(), or NULL
 * with ERR->text filled in.
 */
struct trace_reader *trace_reader_open(const char *path,
				       struct trace_error *err) MM_MUST_CHECK;
void trace_reader_close(struct trace_reader *r);

/* trace_reader_header, _totals: live as long as the reader. */
const struct trace_header *trace_reader_header(const struct trace_reader *r);
const struct trace_totals *trace_reader_totals(const struct trace_reader *r);

/* trace_reader_progress: bytes of the file read so far, and its size. */
void trace_reader_progress(const struct trace_reader *r, u64 *done, u64 *size);

/*
 * trace_next: the next record of any type. Returns 1 with *OUT filled in, 0
 * at the end of a complete and undamaged trace, a negative errno on damage
 * (-EBADMSG), on a read error, or without memory; trace_reader_error() then
 * tells file, block, byte and what is wrong, and every later call returns the
 * same. *OUT is undefined unless 1 is returned.
 */
int trace_next(struct trace_reader *r, struct trace_rec *out) MM_MUST_CHECK;

/*
 * trace_reader_where: into TEXT (SIZE bytes, which may cut it), where the
 * record that trace_next() gave last ends: file, block, byte, decoded byte;
 * for messages about a record that was sound but could not be followed.
 */
void trace_reader_where(const struct trace_reader *r, char *text, size_t size);

/* trace_reader_error: text of the last failure of trace_next(). */
const char *trace_reader_error(const struct trace_reader *r);

/*
 * trace_next_ref: if the next record is a REF in its short form, and sound,
 * decode it into *OUT and step over it. Returns false if it is anything else
 * (another record, the end of a block, a REF that is damaged or in its long
 * form); trace_next() then tells what. Fast path of replay: about 20
 * instructions. Loop:
 *
 *	for (;;) {
 *		while (trace_next_ref(r, &ref))
 *			...
 *		ret = trace_next(r, &rec);
 *		if (ret <= 0)
 *			break;
 *		...
 *	}
 */
static inline bool trace_next_ref(struct trace_reader *r, struct trace_ref *out)
{
	u64 w = *r->p;
	u32 map = (u32)(w >> TRACE_REF_MAP_SHIFT) & 0x3fffu;
	u32 page = (u32)(w >> TRACE_REF_PAGE_SHIFT) & 0x3fffffu;
	u32 nr = ((u32)(w >> TRACE_REF_RUN_SHIFT) & 0xffu) + 1;

	if (unlikely(w & 1) || unlikely(map >= r->nr_limits) ||
	    unlikely(page + nr > r->limits[map]) || unlikely(!(w & 0xe)))
		return false;
	r->p++;
	out->map = map;
	out->page = page;
	out->nr_pages = nr;
	out->access = (u32)(w >> TRACE_REF_ACCESS_SHIFT) & 7u;
	out->count = (u32)(w >> TRACE_REF_COUNT_SHIFT) + 1;
	return true;
}

/* ---- writing ----------------------------------------------------------------
 */

struct trace_writer;

/*
 * trace_writer_open: begin a trace that will appear at PATH. The bytes go to
 * a temporary file beside it until trace_writer_finish(). HDR is copied.
 * Returns NULL with ERR->text filled in on failure.
 */
struct trace_writer *trace_writer_open(const char *path,
				       const struct trace_header *hdr,
				       struct trace_error *err) MM_MUST_CHECK;

/*
 * trace_write: append REC; REC->task is ignored (write a SWITCH). The same
 * checks as in reading apply, so that no invalid trace can be written.
 * Returns 0 or a negative errno (-EINVAL: not a sound record here); the text
 * is in trace_writer_error(). After a failure other than -EINVAL only
 * trace_writer_abort() is of use.
 */
int trace_write(struct trace_writer *w,
		const struct trace_rec *rec) MM_MUST_CHECK;
const char *trace_writer_error(const struct trace_writer *w);

/*
 * trace_writer_finish: write what is buffered and the end record, with
 * footprint_pages, unreported and exit_status from EXTRA (the rest is
 * counted), and rename the file to its place. Frees W in any case. Returns 0,
 * or a negative errno with ERR->text filled in and no file left behind.
 */
int trace_writer_finish(struct trace_writer *w,
			const struct trace_totals *extra,
			struct trace_error *err) MM_MUST_CHECK;

/* trace_writer_abort: leave no file behind; frees W. */
void trace_writer_abort(struct trace_writer *w);

/* trace_writer_totals: the counts so far. */
const struct trace_totals *trace_writer_totals(const struct trace_writer *w);

/* ---- helpers
 * ------------------------------------------------------------------ */

/* trace_sum64: XXH64 of LEN bytes. */
u64 trace_sum64(const void *data, size_t len, u64 seed);

/* Names of enumerators, for people; "?" out of range. */
const char *trace_type_name(u32 type);
const char *trace_kind_name(u32 kind);
const char *trace_how_name(u32 how);
const char *trace_op_name(u32 op);
const char *trace_fileop_name(u32 op);

#endif
