/* SPDX-License-Identifier: MIT */
/*
 * record.h - from what a tracer prints to the records of a trace.
 *
 * record_space.c follows address spaces (addresses to mappings) and writes
 * map and call records; record_ref.c filters and collapses references;
 * record_sample.c samples contents; record_lackey.c reads valgrind's text;
 * cmd_record.c runs the program. One recorder is one thread's.
 *
 * Functions that write return 0 or a negative errno; the text is in
 * recorder.err and the recording cannot go on.
 */
#ifndef LAB_RECORD_H
#define LAB_RECORD_H

#include "trace.h"

#include <stdio.h>
#include <sys/types.h>

/* Where the top of a program's stack may be, and how far it may grow. */
#define RECORD_STACK_PAGES 2048u
/* No range is longer than the user half of the address space. */
#define RECORD_MAX_PAGES ((u64)1 << 36)

/* Pages START .. END - 1 of an address space, in coordinates of a mapping. */
struct rec_vma {
	u64 start, end; /* page numbers */
	u32 map;
	u32 page; /* of START in the mapping */
};

/* A mapping id of one address space. */
struct rec_mapping {
	struct trace_map def; /* as written */
	u32 live;	      /* pages of vmas that name it; 0: id is free */
	u32 serial;	      /* differs for each use of the id */
};

/* A page that was touched. */
struct rec_page {
	u64 vpn;
	u64 last; /* mm.now when it was reported */
	u64 hash; /* of the last sample */
	u32 gen;  /* mm.gen when map and page were looked up */
	u32 map, page;
	u32 serial;
	u32 held;   /* references since, not reported */
	u8 covered; /* kinds of access reported in this window */
	u8 samples;
	u8 dirty; /* TRACE_W: written since the sample; else touched */
};

struct rec_mm {
	u32 users;
	u32 gen; /* raised by whatever may change what a touch does */
	u32 serial;
	u64 now;	      /* references so far */
	struct rec_vma *vmas; /* sorted, disjoint */
	u32 nr_vmas, room_vmas;
	struct rec_mapping *maps; /* by id */
	u32 nr_maps;
	u32 heap;      /* mapping id or TRACE_NO_ID */
	u64 brk_start; /* bytes */
	struct rec_page *pages;
	u32 nr_pages, room_pages;
	u32 *slots; /* hash of vpn to index + 1 */
	u32 nr_slots;
	u32 recent[2]; /* index of the last data and code page */
};

struct rec_file {
	u64 dev, ino; /* 0: not known */
	u64 size;     /* as far as is known */
	u32 links;
	bool special, gone; /* TRACE_FILE_SPECIAL; has no name any more */
	char *name;
};

/* What open(2) made; descriptors share it. */
struct rec_open {
	u32 refs;
	u32 id, file;
	u64 pos;
	bool append;
};

#define REC_FDS_MAX 1024u
struct rec_fd {
	char *name; /* NULL: closed */
	bool cloexec;
	struct rec_open *open; /* NULL: no regular file */
};

struct recorder {
	struct trace_writer *out;
	u64 window;
	bool sample;		/* page contents are wanted */
	struct rec_file *files; /* by file id */
	u32 nr_files;
	struct rec_open **opens; /* by id of the trace */
	u32 nr_opens;
	u32 next_task;
	u32 cur; /* task of the last SWITCH */
	struct trace_ref pending;
	bool has_pending;
	struct trace_totals extra; /* footprint, unreported */
	u64 refs;
	struct trace_error err;
};

/* ---- record_space.c
 * ---------------------------------------------------------- */

struct rec_mm *rec_mm_new(void) MM_MUST_CHECK;
/* rec_mm_copy: as fork does. rec_mm_put: counts what was held back. */
struct rec_mm *rec_mm_copy(const struct rec_mm *from) MM_MUST_CHECK;
void rec_mm_put(struct recorder *r, struct rec_mm *mm);

/* rec_vma_find: the vma of page VPN, or NULL. */
const struct rec_vma *rec_vma_find(const struct rec_mm *mm, u64 vpn);

/* rec_write: flush the pending reference, then write REC. */
int rec_write(struct recorder *r, const struct trace_rec *rec) MM_MUST_CHECK;

/* rec_switch: make TASK the current one. */
int rec_switch(struct recorder *r, u32 task) MM_MUST_CHECK;

/*
 * rec_map: M (map, serial and placement are filled in here) comes into being,
 * replacing what was at its addresses.
 */
int rec_map(struct recorder *r, struct rec_mm *mm,
	    struct trace_map *m) MM_MUST_CHECK;

/* rec_touch_map: a mapping for VPN, of which nothing is known. */
int rec_touch_map(struct recorder *r, struct rec_mm *mm, u64 vpn) MM_MUST_CHECK;

/* rec_call: a call over [ADDR, ADDR + LEN) bytes; munmap takes effect. */
int rec_call(struct recorder *r, struct rec_mm *mm, struct trace_call *c,
	     u64 addr, u64 len) MM_MUST_CHECK;

/* rec_mremap: a successful one; all in bytes. */
int rec_mremap(struct recorder *r, struct rec_mm *mm, const u64 args[5],
	       u64 result) MM_MUST_CHECK;

/* rec_brk: brk(WANT) gave RESULT. */
int rec_brk(struct recorder *r, struct rec_mm *mm, u64 want,
	    u64 result) MM_MUST_CHECK;

/* ---- record_files.c
 * ----------------------------------------------------------- */

/* rec_file_id: id of the file NAME (a FILE record at first sight); SIZE is
 * taken for its size if it cannot be looked at. */
int rec_file_id(struct recorder *r, const char *name, u64 size,
		u32 *id) MM_MUST_CHECK;

/* Calls on files by name: of files that are not known nothing is written. */
int rec_truncate(struct recorder *r, const char *name, u64 size) MM_MUST_CHECK;
int rec_unlink(struct recorder *r, const char *name) MM_MUST_CHECK;
int rec_rename(struct recorder *r, const char *from,
	       const char *to) MM_MUST_CHECK;
int rec_sync_all(struct recorder *r) MM_MUST_CHECK;

/* rec_fd_open: FD is what open(2) made; a FILE and an OPEN record if that is a
 * regular file. */
struct stat;
struct rec_opened {
	const char *name;      /* absolute */
	u32 flags;	       /* open(2)'s */
	const struct stat *st; /* what it is, or NULL: could not be found out */
	const char *via;       /* a path to it, for statfs(2) */
	u64 pos;
};
int rec_fd_open(struct recorder *r, struct rec_fd *fds, u64 fd,
		const struct rec_opened *how) MM_MUST_CHECK;
int rec_fd_memfd(struct recorder *r, struct rec_fd *fds, u64 fd,
		 u32 flags) MM_MUST_CHECK;
int rec_fd_close(struct recorder *r, struct rec_fd *fds, u64 fd) MM_MUST_CHECK;
int rec_fd_dup(struct recorder *r, struct rec_fd *fds, u64 fd, u64 to,
	       bool cloexec) MM_MUST_CHECK;
void rec_fd_cloexec(struct rec_fd *fds, u64 fd, bool on);
/* rec_fd_map: M's kind, file and open file, if FD is mapped. */
int rec_fd_map(struct recorder *r, const struct rec_fd *fds, u64 fd,
	       struct trace_map *m) MM_MUST_CHECK;
/* rec_fd_rw: LENGTH bytes were read or written, at OFFSET or, with REC_POS, at
 * the position, which moves. */
#define REC_POS UINT64_MAX
int rec_fd_rw(struct recorder *r, struct rec_fd *fds, u64 fd, bool write,
	      u64 offset, u64 length) MM_MUST_CHECK;
void rec_fd_seek(struct rec_fd *fds, u64 fd, u64 pos);
int rec_fd_truncate(struct recorder *r, struct rec_fd *fds, u64 fd,
		    u64 size) MM_MUST_CHECK;
int rec_fd_sync(struct recorder *r, struct rec_fd *fds, u64 fd,
		bool data) MM_MUST_CHECK;
/* The arguments behind the descriptor: offset, length, advice; mode, offset,
 * length. */
int rec_fd_advise(struct recorder *r, struct rec_fd *fds, u64 fd,
		  const u64 args[3]) MM_MUST_CHECK;
int rec_fd_allocate(struct recorder *r, struct rec_fd *fds, u64 fd,
		    const u64 args[3]) MM_MUST_CHECK;
/* Tables: as exec and exit, and as fork, have it. _free: without records. */
int rec_fds_close(struct recorder *r, struct rec_fd *fds,
		  bool cloexec_only) MM_MUST_CHECK;
int rec_fds_copy(struct recorder *r, struct rec_fd *to,
		 const struct rec_fd *from) MM_MUST_CHECK;
void rec_fds_free(struct rec_fd *fds);
void rec_opens_free(struct recorder *r);

/* ---- record_ref.c
 * ------------------------------------------------------------- */

/* rec_ref: SIZE bytes at ADDR are accessed by the current task. */
int rec_ref(struct recorder *r, struct rec_mm *mm, u64 addr, u32 size,
	    u32 access) MM_MUST_CHECK;

/* rec_flush: write the pending reference. */
int rec_flush(struct recorder *r) MM_MUST_CHECK;

/* ---- record_sample.c
 * ----------------------------------------------------------- */

/*
 * rec_sample: sample pages of MM that changed since the last time from the
 * memory of process PID. A process that cannot be read is not an error.
 */
int rec_sample(struct recorder *r, struct rec_mm *mm, pid_t pid) MM_MUST_CHECK;

/* ---- record_lackey.c
 * ------------------------------------------------------------ */

struct lackey;
struct lackey_proc;

/*
 * lackey_new: a reader of lackey's text for R. LIVE: processes exist while
 * their text is read (their /proc is looked at). LOST(ARG, PID) is called when
 * the text of PID must be read to its end, since it was waited for.
 */
struct lackey *lackey_new(struct recorder *r, bool live,
			  int (*lost)(void *arg, pid_t pid),
			  void *arg) MM_MUST_CHECK;
void lackey_free(struct lackey *l);

/* lackey_proc: process PID, or NULL; the first one is made by asking. */
struct lackey_proc *lackey_proc(struct lackey *l, pid_t pid);

/* lackey_text: LEN more bytes of the text of P. */
int lackey_text(struct lackey *l, struct lackey_proc *p, const char *text,
		size_t len) MM_MUST_CHECK;

/* lackey_end: the text of P is over; its tasks exit with STATUS (-1: as said).
 */
int lackey_end(struct lackey *l, struct lackey_proc *p,
	       int status) MM_MUST_CHECK;

/* lackey_garbage: lines that made no sense so far. */
u64 lackey_garbage(const struct lackey *l);

/* lackey_unseen: calls that used files at places that the text does not tell.
 */
u64 lackey_unseen(const struct lackey *l);

#endif
