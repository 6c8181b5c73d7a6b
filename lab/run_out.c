/* SPDX-License-Identifier: MIT */
/*
 * run_out.c - the table and the JSON of a program that ran on a kernel.
 *
 * The rows and the names are replay's, as far as a real machine can know them;
 * what it cannot know (references, the optimum) is left out of the table and
 * null in the JSON. Events are counted from the program's start to its end,
 * levels (nr_...) are those at the end.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "args.h"
#include "run.h"

static unsigned long long ull(u64 v)
{
	return v;
}

/* Swap-ins and pages of files; pgpgin counts both, in KiB. */
static u64 pageins(const struct run_result *r)
{
	u64 swap = run_counter(r, "pswpin"), all = run_counter(r, "pgpgin") / 4;

	return max(swap, all);
}

static u64 refaults(const struct run_result *r)
{
	return run_counter(r, "workingset_refault_anon") +
	       run_counter(r, "workingset_refault_file");
}

/* Of all zones; Linux counts them by zone. */
static u64 allocated(const struct run_result *r)
{
	static const char *const zones[] = {"pgalloc_dma", "pgalloc_dma32",
					    "pgalloc_normal",
					    "pgalloc_movable"};
	u64 sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(zones); i++)
		sum += run_counter(r, zones[i]);
	return sum;
}

static void row(FILE *f, const char *name, u64 v)
{
	fprintf(f, "%-22s %16llu\n", name, ull(v));
}

static void row_size(FILE *f, const char *name, u64 v)
{
	char buf[24];

	args_size_text(buf, v);
	fprintf(f, "%-22s %16s\n", name, buf);
}

static void row_ms(FILE *f, const char *name, u64 ns)
{
	fprintf(f, "%-22s %16.1f\n", name, (double)ns / 1e6);
}

static void counters(FILE *f, const struct run_result *r)
{
	static const struct {
		const char *name, *counter;
	} rows[] = {
		{"page cache, pages", "nr_file_pages"},
		{"  mapped", "nr_mapped"},
		{"  dirty", "nr_dirty"},
		{"pages written back", "nr_written"},
		{"scanned by kswapd", "pgscan_kswapd"},
		{"scanned directly", "pgscan_direct"},
		{"reclaimed by kswapd", "pgsteal_kswapd"},
		{"reclaimed directly", "pgsteal_direct"},
		{"swapped out", "pswpout"},
		{"swapped in", "pswpin"},
	};
	row(f, "faults", run_counter(r, "pgfault"));
	row(f, "major faults", run_counter(r, "pgmajfault"));
	row(f, "frames allocated", allocated(r));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		row(f, rows[i].name, run_counter(r, rows[i].counter));
	row(f, "refaults", refaults(r));
	row(f, "page-ins", pageins(r));
	row(f, "OOM kills", run_counter(r, "oom_kill"));
}

/* "EXIT STATUS" as a shell would say it. */
static void how_text(char *buf, size_t size, const struct run_about *a)
{
	const struct run_result *r = a->r;

	if (r->end == RUN_END_EXIT)
		snprintf(buf, size, "exit status %d", r->status);
	else if (r->end == RUN_END_SIGNAL)
		snprintf(buf, size, "signal %d (%s)%s", r->status,
			 strsignal(r->status), r->core ? ", core" : "");
	else
		snprintf(buf, size, "did not end by itself: %d", a->status);
}

void run_print_table(FILE *f, const struct run_about *a)
{
	const struct run_result *r = a->r;
	const struct run_opts *o = a->o;
	char how[128];

	how_text(how, sizeof(how), a);
	fprintf(f, "run of %s on %s under %s, %u CPU%s: %s\n",
		o->argv ? o->argv[0] : "a shell", a->m->type, a->m->accel,
		o->cpus, o->cpus == 1 ? "" : "s", how);
	fprintf(f, "kernel: %s\n", r->version[0] ? r->version : "unknown");
	row_size(f, "memory", o->mem_bytes);
	row_size(f, "  for programs", r->mem_total);
	row_size(f, "  free at the start", r->mem_free_before);
	row_size(f, "swap", r->swap_total);
	counters(f, r);
	row(f, "largest process, KiB", r->maxrss_kb);
	row_ms(f, "user time, ms", r->user_us * 1000);
	row_ms(f, "system time, ms", r->sys_us * 1000);
	row_ms(f, "guest's time, ms", r->guest_ns);
	row_ms(f, "wall time, ms", r->wall_ns);
	if (r->audit)
		fprintf(f, "%-22s %16s\n", "audit", r->leak ? "leak" : "clean");
}

/* ---- JSON ------------------------------------------------------------------
 */

static void set(json_t *o, const char *name, u64 v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static json_t *vmstat_json(const struct run_result *r)
{
	json_t *v = json_object();

	for (u32 i = 0; i < r->nr_vm; i++)
		set(v, r->vm[i].name, run_counter(r, r->vm[i].name));
	return v;
}

static void set_unknown(json_t *o)
{
	static const char *const names[] = {
		"seed",	       "references",	   "footprint_pages",
		"min_pageins", "pageins_over_min", "tlb_hits",
		"tlb_misses",  "data_errors",	   "virtual_ns",
		"digest"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		json_object_set_new(o, names[i], json_null());
}

static void set_end(json_t *o, const struct run_about *a)
{
	const struct run_result *r = a->r;

	set(o, "status", (u64)a->status);
	json_object_set_new(o, "exit_status",
			    r->end == RUN_END_EXIT ? json_integer(r->status)
						   : json_null());
	json_object_set_new(o, "signal",
			    r->end == RUN_END_SIGNAL ? json_integer(r->status)
						     : json_null());
	json_object_set_new(o, "audit",
			    r->audit ? json_string(r->leak ? "leak" : "clean")
				     : json_null());
}

static json_t *program_json(const struct run_opts *o)
{
	json_t *list = json_array();

	for (char **s = o->argv; s && *s; s++)
		json_array_append_new(list, json_string(*s));
	return list;
}

void run_print_json(FILE *f, const struct run_about *a)
{
	const struct run_result *r = a->r;
	json_t *list = json_array(), *o = json_object();
	json_t *root = json_pack("{s:s, s:o}", "schema", "mmkit.replay/1",
				 "runs", list);

	set(o, "mem_bytes", a->o->mem_bytes);
	set(o, "swap_bytes", r->swap_total);
	set(o, "cpus", a->o->cpus);
	set(o, "nodes", a->o->nodes);
	set_unknown(o);
	json_object_set_new(o, "arch", json_string("x86-64"));
	json_object_set_new(o, "policy",
			    a->m->kernel->bzimage ? json_string("linux")
						  : json_string("classic"));
	json_object_set_new(o, "kernel", json_string(r->version));
	json_object_set_new(o, "machine", json_string(a->m->type));
	json_object_set_new(o, "accel", json_string(a->m->accel));
	json_object_set_new(o, "program", program_json(a->o));
	json_object_set_new(o, "vmstat", vmstat_json(r));
	set(o, "pageins", pageins(r));
	set(o, "minor_faults", r->minflt);
	set(o, "major_faults", r->majflt);
	set(o, "mem_total_bytes", r->mem_total);
	set(o, "mem_free_before_bytes", r->mem_free_before);
	set(o, "maxrss_bytes", r->maxrss_kb * 1024);
	set(o, "user_ns", r->user_us * 1000);
	set(o, "sys_ns", r->sys_us * 1000);
	set(o, "boot_ticks", r->boot_ticks);
	set(o, "guest_ns", r->guest_ns);
	set(o, "wall_ns", r->wall_ns);
	json_object_set_new(o, "tasks", shares_tasks_json(&r->tasks));
	json_object_set_new(o, "groups", shares_groups_json(&r->groups));
	set_end(o, a);
	json_array_append_new(list, o);
	json_dumpf(root, f, JSON_INDENT(2));
	fputc('\n', f);
	json_decref(root);
}
