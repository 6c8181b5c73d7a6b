/* SPDX-License-Identifier: MIT */
/*
 * run_trace.c - what a machine's tracepoints told.
 *
 * The guest's init copies the kernel's records, as they are, to a disk that is
 * a sparse file here: a page that names it, then records. When the machine is
 * gone they are put in order by time and go where those of a replay go. A
 * machine that was ended early has left what it had written: the file is read
 * up to the first record without a time. Counters come from the samples of
 * /proc/vmstat that the report brought.
 *
 * A program that embeds the manager writes the same file
 * (port/host/trace_file.h): events_file().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trace_ring.h"
#include "err.h"
#include "run.h"

#define TRACE_MAGIC "MMKITTRC"
#define TRACE_FIRST 4096u
#define TRACE_ROOM  (1UL << 36)

void run_trace_file(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)TRACE_ROOM) ||
	    write(fd, TRACE_MAGIC, 8) != 8)
		run_fail("%s: %s", path, strerror(errno));
	close(fd);
}

void run_trace_lines(const struct run_opts *o, FILE *config)
{
	/* A part of RAM, each CPU's own: enough for what happens between two
	 * looks, and little of a small machine. */
	u64 kb = o->mem_bytes / 64 / o->cpus >> 10;

	fprintf(config, "trace ");
	events_names(&o->events, config);
	fprintf(config, "\ntrace_kb %llu\n",
		(unsigned long long)max(min(kb, 16384ul), 128ul));
}

/* ---- counters
 * ----------------------------------------------------------------------- */

/* The sum over zones of the lines "NAME N" of a zoneinfo. */
static u64 zone_sum(const char *text, const char *name)
{
	size_t len = strlen(name);
	u64 sum = 0;

	for (const char *s = text; s && *s; s = strchr(s, '\n')) {
		s += strspn(s, " \n");
		if (!strncmp(s, name, len) && s[len] == ' ')
			sum += strtoull(s + len, NULL, 10);
	}
	return sum;
}

static void put_watermarks(const struct run_result *r, u64 ns)
{
	static const char *const names[] = {"min", "low", "high"};
	char title[32];

	for (size_t i = 0; r->zoneinfo && i < ARRAY_SIZE(names); i++) {
		snprintf(title, sizeof(title), "watermark %s", names[i]);
		perfetto_counter(title, ns, zone_sum(r->zoneinfo, names[i]));
	}
}

static u64 put_counters(const struct run_result *r)
{
	static const struct {
		const char *title, *name;
	} rows[] = {
		{"free", "nr_free_pages"},
		{"inactive anon", "nr_inactive_anon"},
		{"active anon", "nr_active_anon"},
		{"inactive file", "nr_inactive_file"},
		{"active file", "nr_active_file"},
		{"dirty", "nr_dirty"},
		{"writeback", "nr_writeback"},
	};
	u64 ns = r->begin_ns;

	put_watermarks(r, ns);
	for (u32 i = 0; i < r->nr_samples; i++) {
		ns = r->begin_ns + r->samples[i].ns;
		for (size_t j = 0; j < ARRAY_SIZE(rows); j++)
			perfetto_counter(rows[j].title, ns,
					 run_vmstat_in(r->samples[i].vmstat,
						       rows[j].name));
	}
	return ns;
}

/* ---- records
 * ----------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
	const struct trace_record *const *x = a, *const *y = b;

	if ((*x)->ns != (*y)->ns)
		return (*x)->ns < (*y)->ns ? -1 : 1;
	return *x < *y ? -1 : *x > *y; /* as they were read */
}

static u64 count_records(const struct trace_record *r, u64 room)
{
	u64 n = 0;

	while (n < room && r[n].ns)
		n++;
	return n;
}

/*
 * Whose page is followed: process PID has the space that its next fault will
 * tell, for what a new program is given at its start comes before that. MM[i]
 * is the space at record i; 0: no more of its faults.
 */
static void find_spaces(const struct trace_record *const *order, u64 nr,
			u32 pid, u64 *mm)
{
	u64 now = 0;

	for (u64 i = nr; i-- > 0;) {
		const struct trace_record *r = order[i];

		if (r->pid == pid && (r->event == TRACE_PAGE_FAULT_USER ||
				      r->event == TRACE_PAGE_FAULT_KERNEL))
			now = r->arg[3];
		mm[i] = now;
	}
}

/* False: no memory. *LAST: the last one's time; 0: there is none. */
static bool pass_all(const struct trace_record *r, u64 nr, u32 pid, u64 *last)
{
	const struct trace_record **order = calloc(nr + 1, sizeof(*order));
	u64 *mm = calloc(nr + 1, sizeof(*mm));
	bool room = order && mm;

	for (u64 i = 0; room && i < nr; i++)
		order[i] = &r[i];
	if (room) {
		qsort(order, nr, sizeof(*order), by_time);
		find_spaces(order, nr, pid, mm);
		for (u64 i = 0; i < nr; i++)
			events_import_record(order[i], mm[i]);
		*last = nr ? order[nr - 1]->ns : 0;
	}
	free(order);
	free(mm);
	return room;
}

/* PATH's bytes, *SIZE of them, or the process ends. */
static const char *map_file(const char *path, u64 *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *map = MAP_FAILED;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		err_die("%s: %s", path, strerror(errno));
	*size = (u64)st.st_size;
	if (S_ISREG(st.st_mode) && *size >= TRACE_FIRST)
		map = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED || memcmp(map, TRACE_MAGIC, 8) != 0)
		err_die("%s: no file of events (host_trace_start)", path);
	return map;
}

void events_file(const char *path, const struct events_opts *e)
{
	u64 size, last = 0, nr;
	const char *map = map_file(path, &size);
	const struct trace_record *r = (const void *)(map + TRACE_FIRST);

	nr = count_records(r, (size - TRACE_FIRST) / sizeof(*r));
	if (nr * sizeof(*r) != size - TRACE_FIRST)
		err_say("%s: ends in the middle of a record", path);
	events_import(e);
	if (!pass_all(r, nr, e->task, &last))
		err_die("no memory for %llu events", (unsigned long long)nr);
	events_import_end(last);
	munmap((void *)(uintptr_t)map, size);
}

void run_trace_show(const char *path, const struct run_opts *o,
		    const struct run_result *res)
{
	struct events_opts e = o->events;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *map = fd < 0 ? MAP_FAILED
			   : mmap(NULL, TRACE_ROOM, PROT_READ,
				  MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	const struct trace_record *r;
	u64 room = TRACE_ROOM - TRACE_FIRST, last = 0;

	if (map == MAP_FAILED)
		run_fail("%s: %s", path, strerror(errno));
	close(fd);
	if (res->traced)
		room = min(room, res->traced);
	r = (const void *)(map + TRACE_FIRST);
	if (!e.task)
		e.task = (u32)res->pid;
	events_import(&e);
	if (!pass_all(r, count_records(r, room / sizeof(*r)), e.task, &last))
		run_fail("no memory for the events");
	if (e.perfetto)
		last = max(last, put_counters(res));
	events_import_end(last);
	munmap(map, TRACE_ROOM);
	if (res->trace_lost)
		err_say("--trace: %llu events were overwritten before they "
			"could be told",
			(unsigned long long)res->trace_lost);
}
