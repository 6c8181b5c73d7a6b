/* SPDX-License-Identifier: MIT */
/*
 * explain_host.c - an address of a real process of the host.
 *
 * 1. Purpose. What Linux tells of an address: the mapping (/proc/N/maps), the
 *    page's state (/proc/N/pagemap), and of its frame the flags and the number
 *    of mappings (/proc/kpageflags, /proc/kpagecount).
 *
 * 2. What it does not tell is said, not made up: entries of the tables, and,
 *    without privilege, frame numbers. The split into indices is the CPU's:
 *    the address alone decides it.
 *
 * Reference: Linux documentation, admin-guide/mm/pagemap.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "err.h"
#include "explain.h"

#define LLU(x)		 ((unsigned long long)(x))
#define PM_PRESENT	 BIT(63)
#define PM_SWAP		 BIT(62)
#define PM_FILE		 BIT(61)
#define PM_UFFD_WP	 BIT(57)
#define PM_EXCLUSIVE	 BIT(56)
#define PM_SOFT_DIRTY	 BIT(55)
#define PM_PFN		 (BIT(55) - 1)
#define PM_SWAP_TYPE	 0x1fUL
#define PM_SWAP_TYPE_LEN 5

struct host_vma {
	u64 start, end;
	char rest[512]; /* rights, offset, device, inode, name */
};

/* ---- the mapping
 * -------------------------------------------------------------- */

static FILE *open_maps(int pid)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f && errno == ENOENT)
		err_die("--pid %d: no such process", pid);
	if (!f)
		err_die("--pid %d: %s: %s", pid, path, strerror(errno));
	return f;
}

/* The mapping below ends at BELOW, that above begins at ABOVE; 0: none. */
static _Noreturn void not_mapped(int pid, u64 va, u64 below, u64 above)
{
	char text[128] = "nothing is mapped below";
	size_t len;

	if (below)
		snprintf(text, sizeof(text), "below it ends 0x%llx",
			 LLU(below));
	len = strlen(text);
	if (above)
		snprintf(text + len, sizeof(text) - len,
			 ", above it begins 0x%llx", LLU(above));
	else
		snprintf(text + len, sizeof(text) - len,
			 ", nothing is mapped above");
	err_die("--pid %d: address 0x%llx is not mapped (%s)", pid, LLU(va),
		text);
}

/* The mapping of VA in process PID; without one the process ends. */
static void find_mapping(int pid, u64 va, struct host_vma *v)
{
	FILE *f = open_maps(pid);
	u64 below = 0, above = 0;
	char *line = NULL;
	size_t room = 0;
	bool any = false;

	errno = 0;
	while (getline(&line, &room, f) > 0) {
		unsigned long long start, end;
		int at = 0;

		if (sscanf(line, "%llx-%llx %n", &start, &end, &at) < 2 || !at)
			continue;
		any = true;
		*v = (struct host_vma){start, end, ""};
		snprintf(v->rest, sizeof(v->rest), "%.*s",
			 (int)strcspn(line + at, "\n"), line + at);
		if (va < start) {
			above = start;
			break;
		}
		if (va < end) {
			free(line);
			fclose(f);
			return;
		}
		below = end;
	}
	if (ferror(f))
		err_die("--pid %d: /proc/%d/maps: %s", pid, pid,
			strerror(errno));
	free(line);
	fclose(f);
	if (!any)
		err_die("--pid %d: it has no memory of its own (a kernel "
			"thread, or it has ended)",
			pid);
	not_mapped(pid, va, below, above);
}

/* The parts of a line of maps; NAME may be empty. */
static void say_mapping(struct doc *d, const struct explain_query *q,
			const struct host_vma *v)
{
	char rights[8] = "", dev[32] = "";
	unsigned long long offset = 0, inode = 0;
	int at = 0;
	const char *need = q->access == SEG_WRITE   ? "w"
			   : q->access == SEG_FETCH ? "x"
						    : "r";

	sscanf(v->rest, "%7s %llx %31s %llu %n", rights, &offset, dev, &inode,
	       &at);
	doc_block(d, "mapping", "Mapping 0x%llx-0x%llx %s", LLU(v->start),
		  LLU(v->end), rights);
	doc_str(d, "rights", "%s", rights);
	doc_str(d, "of", "%s", v->rest[at] ? v->rest + at : "anonymous memory");
	if (inode) {
		doc_hex(d, "offset",
			offset + ((q->addr & PAGE_MASK) - v->start));
		doc_dec(d, "inode", inode);
		doc_str(d, "device", "%s", dev);
	}
	doc_check(d, strchr(rights, *need) != NULL,
		  *need == 'w'	 ? "the mapping allows to write"
		  : *need == 'x' ? "the mapping allows to execute"
				 : "the mapping allows to read");
}

/* ---- the address
 * -------------------------------------------------------------- */

/* /proc/cpuinfo lists la57 only where Linux uses it. */
static bool five_levels(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	if (!f)
		return false;
	while (!found && getline(&line, &room, f) > 0)
		found = !strncmp(line, "flags", 5) && strstr(line, " la57");
	free(line);
	fclose(f);
	return found;
}

static const struct paging_format *host_format(void)
{
	struct utsname u;

	if (uname(&u))
		return NULL;
	if (!strcmp(u.machine, "x86_64"))
		return five_levels() ? &paging_x86_64_5level
				     : &paging_x86_64_4level;
	if (!strcmp(u.machine, "aarch64") && sysconf(_SC_PAGESIZE) == 4096)
		return &paging_arm64;
	return NULL;
}

static void say_split(struct doc *d, u64 va)
{
	const struct paging_format *f = host_format();

	doc_block(d, "linear", "Linear address 0x%016llx", LLU(va));
	if (!f) {
		doc_str(d, "format", "not one that is known here");
		return;
	}
	explain_split(d, f, va);
	doc_str(d, "format", "%s: %s", f->name, f->title);
	doc_str(d, "entries",
		"Linux does not show the tables of a process: "
		"their addresses and values are not known");
}

/* ---- the page
 * ----------------------------------------------------------------- */

/* The 64-bit word INDEX of a file; false with errno (0: it ends before). */
static bool read_word(const char *path, u64 index, u64 *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int err;

	if (fd < 0)
		return false;
	errno = 0;
	n = pread(fd, out, sizeof(*out), (off_t)(index * sizeof(*out)));
	err = errno;
	close(fd);
	errno = err;
	return n == (ssize_t)sizeof(*out);
}

static void draw_pagemap(struct doc *d, u64 e)
{
	static const struct doc_field present[] = {
		{63, 63, "P", false},  {62, 62, "SW", false},
		{61, 61, "F", false},  {60, 58, "-", false},
		{57, 57, "UF", false}, {56, 56, "X", false},
		{55, 55, "SD", false}, {54, 0, "frame", false}};
	static const struct doc_field swapped[] = {
		{63, 63, "P", false},  {62, 62, "SW", false},
		{61, 61, "F", false},  {60, 58, "-", false},
		{57, 57, "UF", false}, {56, 56, "X", false},
		{55, 55, "SD", false}, {54, 5, "swap offset", false},
		{4, 0, "type", true}};

	if (e & PM_SWAP)
		doc_draw(d, e, swapped, ARRAY_SIZE(swapped));
	else
		doc_draw(d, e, present, ARRAY_SIZE(present));
}

static void say_state(struct doc *d, u64 e)
{
	doc_flag(d, "present", e & PM_PRESENT);
	doc_flag(d, "swapped", e & PM_SWAP);
	doc_flag(d, "file", e & PM_FILE);
	doc_flag(d, "exclusive", e & PM_EXCLUSIVE);
	doc_flag(d, "soft dirty", e & PM_SOFT_DIRTY);
	doc_flag(d, "uffd-wp", e & PM_UFFD_WP);
	if (!(e & (PM_PRESENT | PM_SWAP)))
		doc_str(d, "means",
			"no page yet, or not in this process's "
			"tables: a touch is a page fault");
	if (e & PM_SWAP)
		doc_str(d, "in swap",
			"area %llu, page %llu of it (or a page "
			"that is being moved)",
			LLU(e & PM_SWAP_TYPE),
			LLU((e & PM_PFN) >> PM_SWAP_TYPE_LEN));
}

/* Bits of /proc/kpageflags (uapi linux/kernel-page-flags.h). */
static const char *const kpage_names[] = {
	"locked",	 "error",	  "referenced", "uptodate",
	"dirty",	 "lru",		  "active",	"slab",
	"writeback",	 "reclaim",	  "buddy",	"mmap",
	"anon",		 "swapcache",	  "swapbacked", "compound",
	"compound-head", "compound-tail", "huge",	"unevictable",
	"hwpoison",	 "nopage",	  "ksm",	"thp",
	"offline",	 "zero-page",	  "idle",	"page-table"};

static void say_kpageflags(struct doc *d, u64 pfn)
{
	char text[512] = "";
	size_t len = 0;
	u64 flags;

	if (!read_word("/proc/kpageflags", pfn, &flags)) {
		doc_str(d, "flags", "not known: /proc/kpageflags: %s",
			errno ? strerror(errno) : "ends before this frame");
		return;
	}
	for (u32 i = 0; i < ARRAY_SIZE(kpage_names); i++) {
		if (!(flags >> i & 1))
			continue;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
					len ? " | " : "", kpage_names[i]);
	}
	doc_hex(d, "kpageflags", flags);
	doc_str(d, "flags", "%s", len ? text : "none");
}

static void say_frame(struct doc *d, u64 pfn, u64 va)
{
	u64 count;

	doc_block(d, "frame", "Frame 0x%llx, physical 0x%llx", LLU(pfn),
		  LLU(pfn << PAGE_SHIFT | (va & ~PAGE_MASK)));
	doc_hex(d, "pfn", pfn);
	say_kpageflags(d, pfn);
	if (read_word("/proc/kpagecount", pfn, &count))
		doc_dec(d, "mapcount", count);
	else
		doc_str(d, "mapcount", "not known: /proc/kpagecount: %s",
			errno ? strerror(errno) : "ends before this frame");
}

static void say_page(struct doc *d, int pid, u64 va)
{
	char path[64];
	u64 e = 0;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	if (!read_word(path, va >> PAGE_SHIFT, &e)) {
		if (errno)
			err_die("--pid %d: %s: %s", pid, path, strerror(errno));
		d->result = "linear";
		doc_block(d, "page", "%s ends before this address", path);
		doc_str(d, "means",
			"the mapping is the kernel's: its page is "
			"not told");
		return;
	}
	doc_block(d, "page", "Page 0x%llx in %s: 0x%016llx",
		  LLU(va & PAGE_MASK), path, LLU(e));
	draw_pagemap(d, e);
	say_state(d, e);
	d->result = e & PM_PRESENT ? "physical" : "fault";
	if (!(e & PM_PRESENT))
		return;
	if (e & PM_PFN) {
		say_frame(d, e & PM_PFN, va);
		return;
	}
	d->result = "linear";
	doc_str(d, "frame",
		"not known: Linux shows frame numbers only to "
		"processes with CAP_SYS_ADMIN");
}

void explain_host(struct doc *d, int pid, const struct explain_query *q)
{
	static const char *const names[] = {"Read", "Write", "Fetch"};
	static struct host_vma v;

	find_mapping(pid, q->addr, &v);
	doc_block(d, "question", "%s linear 0x%llx by process %d of this host",
		  names[q->access], LLU(q->addr), pid);
	say_mapping(d, q, &v);
	say_split(d, q->addr);
	say_page(d, pid, q->addr);
}
