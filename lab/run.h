/* SPDX-License-Identifier: MIT */
/*
 * run.h - the parts of "mmkit run": a program of the host in a machine of its
 * own under QEMU.
 *
 *   run_elf.c     what an ELF file asks for: interpreter, libraries
 *   run_pack.c    the set of files that go into the machine
 *   run_dpkg.c    what Debian's packages add to it
 *   run_image.c   that set as a cpio archive or an ext2 image; swap
 *   run_kernel.c  which kernel it is, which modules it needs
 *   run_qemu.c    the command line of QEMU, whether KVM works
 *   run_relay.c   QEMU started, bytes passed on, the end awaited
 *   run_report.c  what the machine reported
 *   run_trace.c   what its tracepoints told
 *   run_symbols.c names of its functions in that
 *   run_dump.c    files of its /proc as a directory
 *   run_out.c     the table and the JSON;  run_html.c  the page
 *
 * Failures of mmkit itself end the command by run_fail() with status 125;
 * what was made in the temporary folder is removed at every exit.
 */
#ifndef LAB_RUN_H
#define LAB_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <mmkit/types.h>

#include "events.h"
#include "shares.h"

#define RUN_TIMEOUT 124
#define RUN_FAILED  125

#define RUN_MAX_ADD 256

struct run_opts {
	u64 mem_bytes, swap_bytes;
	u64 disk_bytes; /* room on the image besides its files; 0: some */
	u32 cpus, nodes;
	const char *kernel, *machine, *accel, *append, *dir;
	const char *report, *out, *log, *cpu, *dump_proc;
	const char *add[RUN_MAX_ADD], *env[RUN_MAX_ADD], *qemu[RUN_MAX_ADD];
	u32 nr_add, nr_env, nr_qemu;
	u64 timeout_ms; /* 0: none */
	struct events_opts events;
	bool json, audit, shell, tty, ext2, verbose, packages;
	char **argv; /* the program and its arguments, NULL at the end */
};

/* run_fail: "mmkit run: ...", then exit(125). */
_Noreturn void run_fail(const char *fmt, ...) MM_PRINTF(1, 2);

/* ---- run_elf.c -------------------------------------------------------------
 */

#define RUN_ELF_NEEDED 64

/* Strings are the struct's own. */
struct run_elf {
	bool dynamic; /* it has a dynamic section */
	char *interp; /* PT_INTERP, or NULL */
	char *rpath, *runpath;
	char *needed[RUN_ELF_NEEDED];
	u32 nr_needed;
};

/*
 * run_elf_read: look into PATH. 1: an ELF file for x86-64, *OUT is filled and
 * to be freed with run_elf_free(). 0: no ELF file, or one that nobody executes
 * (an object file). -1: an ELF file that cannot
 * run here; the reason is in WHY.
 */
int run_elf_read(const char *path, struct run_elf *out, char why[256]);
void run_elf_free(struct run_elf *e);

/* ---- run_pack.c ------------------------------------------------------------
 */

struct run_entry {
	char *path;   /* in the machine, without the first slash */
	char *source; /* a file of the host, a link's text, or contents */
	u64 size;     /* of a file or of contents */
	u32 mode;     /* with S_IF* */
	u32 rdev_major, rdev_minor;
	bool contents; /* a regular file whose bytes SOURCE holds */
};

struct run_pack {
	void *tree; /* tsearch(3) */
	u64 bytes;  /* of all regular files */
	u32 nr;
	char *lib_path; /* folders that the loader does not know by itself */
};

/* run_must: P, which memory was asked for; NULL ends the command. */
void *run_must(void *p);
void run_pack_init(struct run_pack *p);
void run_pack_free(struct run_pack *p);
void run_pack_dir(struct run_pack *p, const char *path, u32 mode);
void run_pack_text(struct run_pack *p, const char *path, const void *text,
		   size_t len);
void run_pack_node(struct run_pack *p, const char *path, u32 mode, u32 major,
		   u32 minor);
void run_pack_link(struct run_pack *p, const char *path, const char *text);
/* A file of the host, its links and folders as they are there. With a program
 * or library comes what that needs. Fails by run_fail(). */
void run_pack_path(struct run_pack *p, const char *path);
/* The same, with less insistence: what a library of it lacks is a note. */
void run_pack_part(struct run_pack *p, const char *path);
/* --add's argument: HOSTPATH or HOSTPATH:GUESTPATH; folders with contents. */
void run_pack_add(struct run_pack *p, const char *arg);
/* An entry as it is, nothing looked into. */
void run_pack_raw(struct run_pack *p, const struct run_entry *e);
u64 run_file_size(const char *path);
/* The host's file at another place. */
void run_pack_file(struct run_pack *p, const char *host, const char *guest);
/*
 * run_pack_program: find NAME as a shell would, add it and what it needs;
 * also the interpreter of a script. The path by which the machine starts it
 * is the result (to be freed).
 */
char *run_pack_program(struct run_pack *p, const char *name);
/* Folders before what they hold. */
void run_pack_walk(const struct run_pack *p,
		   void (*fn)(const struct run_entry *e, void *arg), void *arg);

/* ---- run_dpkg.c ------------------------------------------------------------
 */

/* --packages: the files of the packages that own what is in the set, of what
 * these recommend, and of all that they depend on. Fails by run_fail(). */
void run_pack_packages(struct run_pack *p);

/* ---- run_image.c -----------------------------------------------------------
 */

void run_write_cpio(const struct run_pack *p, const char *path);
/* By mke2fs; SPACE bytes are free besides the files. FOLDER is empty and takes
 * the files on their way. */
void run_write_ext2(const struct run_pack *p, const char *path,
		    const char *folder, u64 space);
/* An area of SIZE bytes as mkswap(8) makes it. */
void run_write_swap(const char *path, u64 size);

/* ---- run_kernel.c ----------------------------------------------------------
 */

struct run_kernel {
	const char *path;
	bool bzimage;	   /* Linux's boot protocol, not an ELF file */
	char version[128]; /* of a bzImage, "" if it does not say */
};

/* The kernel that is asked for, or our own where it is built or installed. */
void run_kernel_find(struct run_kernel *k, const char *asked);
/* A file of ours: "guest/init"; to be freed. Fails if it is not there. */
char *run_our_file(const char *name);
/*
 * run_kernel_modules: add the modules NAMES[NR] of a Linux and what they
 * depend on to P; CONFIG gets a line "module PATH" for each, in an order in
 * which they can be loaded.
 */
void run_kernel_modules(const struct run_kernel *k, struct run_pack *p,
			const char *const *names, u32 nr, FILE *config);

/* ---- run_qemu.c ------------------------------------------------------------
 */

#define RUN_QEMU_ARGS 256

/* File descriptors of QEMU's process, by number. */
enum run_fd { RUN_FD_LOG = 10, RUN_FD_REPORT, RUN_FD_STDERR, RUN_FD_END };

struct run_machine {
	const struct run_opts *o;
	const struct run_kernel *kernel;
	const char *type;  /* "microvm", "pc" */
	const char *accel; /* "kvm", "tcg" */
	const char *cpu;
	const char *initrd, *root, *swap, *trace; /* files; NULL: none */
	char *argv[RUN_QEMU_ARGS];
	u32 argc;
};

/* Decide type, accel and cpu: what is asked for, else what works here. */
void run_machine_choose(struct run_machine *m, const char *folder);
void run_machine_argv(struct run_machine *m);
void run_machine_free(struct run_machine *m);

/* ---- run_report.c ----------------------------------------------------------
 */

#define RUN_MAX_SAMPLES	 512
#define RUN_MAX_COUNTERS 512

struct run_counter {
	char name[48];
	u64 before, after;
	bool had_before, has_after;
};

#define RUN_MAX_ORDER 11

/* The machine at one moment: counters kept as the text of /proc/vmstat. */
struct run_sample {
	u64 ns;
	u64 min, low, high;	     /* watermarks of all zones, pages */
	u64 in_order[RUN_MAX_ORDER]; /* free, in blocks of 2^n or larger */
	char *vmstat;
};

#define RUN_MAX_SHOTS 48

/* What memory was used for: /proc/mmkit/frames. */
struct run_shot {
	u64 ns;
	char *cells;
};

#define RUN_MAX_DUMPED 96

enum run_end { RUN_END_NONE, RUN_END_EXIT, RUN_END_SIGNAL, RUN_END_FAILED };

struct run_result {
	enum run_end end;
	int status; /* exit status or signal */
	bool core, began, bye, kvm_failed;
	char failure[512]; /* what init could not do */
	char version[256]; /* of the guest's kernel */
	struct run_counter vm[RUN_MAX_COUNTERS];
	u32 nr_vm;
	u64 mem_total, mem_free_before, swap_total, swap_used;
	u64 boot_ticks; /* the time stamp counter when init began */
	u64 guest_ns;	/* the program's life by the guest's clock */
	u64 wall_ns;	/* of QEMU, by ours */
	u64 user_us, sys_us, maxrss_kb, minflt, majflt;
	char *audit, *syscalls, *zoneinfo; /* texts, or NULL */
	bool leak, audit_missing;
	struct run_sample samples[RUN_MAX_SAMPLES];
	u32 nr_samples;
	u64 every; /* n-th sample is kept, once there were many */
	struct run_shot shots[RUN_MAX_SHOTS];
	u32 nr_shots, cells, cell_order; /* of the last shot */
	u64 shots_every;
	const char *dump; /* directory for files of /proc, or NULL */
	char dumped[RUN_MAX_DUMPED][64];
	u32 nr_dumped;
	struct shares tasks, groups; /* of the samples */
	u64 acked;		     /* bytes of standard input that arrived */
	u64 begin_ns;		     /* by the guest's clock */
	s32 pid;		     /* the program's */
	u64 traced, trace_lost; /* bytes of records; how many are missing */
};

/* The reader of the report's bytes. */
struct run_parser {
	struct run_result *res;
	char line[1024];
	size_t len;
	char *data; /* a block under way */
	char name[256], when[16];
	size_t want, have;
	bool hello;
	u64 time_ns, seen_samples, seen_shots;
	struct run_sample next; /* what of it came before the counters */
};

void run_parse(struct run_parser *p, const char *bytes, size_t n);
void run_result_free(struct run_result *r);
/* After - before of an event, the level of a nr_ counter; 0 if unknown. */
u64 run_counter(const struct run_result *r, const char *name);
u64 run_vmstat_in(const char *text, const char *name);

/* ---- run_symbols.c ---------------------------------------------------------
 */

/* run_symbols_use: events name functions by the kernel image PATH from now on;
 * nothing, if it has no names. _end: they do not any more. */
void run_symbols_use(const char *path);
void run_symbols_end(void);

/* ---- run_trace.c -----------------------------------------------------------
 */

/* run_trace_file: an empty disk for records at PATH. _lines: what init is told.
 * _show: what the file PATH has, for R, as O asks for. */
void run_trace_file(const char *path);
void run_trace_lines(const struct run_opts *o, FILE *config);
void run_trace_show(const char *path, const struct run_opts *o,
		    const struct run_result *r);

/* ---- run_dump.c ------------------------------------------------------------
 */

/* run_dump_lines: what init is told to send. _knows: is PATH such a file?
 * _take: it has come: TEXT[LEN], 0 behind it; once, and if R has a directory.
 */
void run_dump_lines(const struct run_opts *o, FILE *config);
bool run_dump_knows(const char *path);
void run_dump_take(struct run_result *r, const char *path, const char *text,
		   size_t len);

/* ---- run_relay.c -----------------------------------------------------------
 */

struct run_relay_opts {
	bool tty;	    /* the program has our terminal */
	bool log_console;   /* the kernel has no other place for its log */
	bool forward_stdin; /* framed, through the console */
	char marker[64];
	u64 timeout_ms;
	const char *log; /* the kernel's log goes there as well, or NULL */
};

struct run_log {
	char *text;
	size_t len;
};

/*
 * run_relay: start QEMU and pass bytes on until it has ended. *LOG is what
 * the kernel and QEMU said. 0; RUN_TIMEOUT; or a signal that came to us, plus
 * 128.
 */
int run_relay(const struct run_machine *m, const struct run_relay_opts *o,
	      struct run_result *res, struct run_log *log);

/* ---- run_out.c, run_html.c -------------------------------------------------
 */

struct run_about {
	const struct run_opts *o;
	const struct run_machine *m;
	const struct run_result *r;
	int status; /* of the command */
};

void run_print_table(FILE *f, const struct run_about *a);
void run_print_json(FILE *f, const struct run_about *a);
/* 0, or -1 with errno set. */
int run_write_html(const char *path, const struct run_about *a);

#endif
