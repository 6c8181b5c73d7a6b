/* SPDX-License-Identifier: MIT */
/*
 * replay_out.c - the table and the JSON of replay.
 */
#include <math.h>
#include <stdio.h>

#include <jansson.h>

#include "args.h"
#include "phys/layout.h"
#include "replay.h"

static unsigned long long ull(u64 v)
{
	return v;
}

/* ---- the table --------------------------------------------------------------
 */

static void over_min_text(char buf[24], const struct replay_result *r)
{
	if (!r->pageins || !r->min_known)
		snprintf(buf, 24, "-");
	else if (!r->min_pageins)
		snprintf(buf, 24, "inf");
	else
		snprintf(buf, 24, "%.3f",
			 (double)r->pageins / (double)r->min_pageins);
}

enum row_kind { ROW_U64, ROW_SIZE, ROW_MS, ROW_HEX };
/* Rows that stand for one way of replaying files only. */
enum row_when { ROW_ALWAYS, ROW_REAL, ROW_ANON };

struct row {
	const char *name;
	enum row_kind kind;
	u64 (*get)(const struct replay_result *r);
	enum row_when when;
};

#define FIELD(name)                                          \
	static u64 get_##name(const struct replay_result *r) \
	{                                                    \
		return r->name;                              \
	}
FIELD(mem_bytes)
FIELD(swap_bytes)
FIELD(references)
FIELD(records)
FIELD(footprint_pages)
FIELD(min_flt)
FIELD(maj_flt)
FIELD(peak_user_pages)
FIELD(file_min_flt)
FIELD(file_maj_flt)
FIELD(shm_min_flt)
FIELD(shm_maj_flt)
FIELD(cache_pages)
FIELD(cache_peak)
FIELD(mapped_pages)
FIELD(dirty_pages)
FIELD(written)
FIELD(file_reads)
FIELD(disk_reads)
FIELD(disk_writes)
FIELD(min_pageins)
FIELD(tlb_hits)
FIELD(tlb_misses)
FIELD(data_checks)
FIELD(data_errors)
FIELD(access_errors)
FIELD(call_mismatches)
FIELD(file_as_anon)
FIELD(virtual_ns)
FIELD(wall_ns)
FIELD(digest)
#undef FIELD

static u64 get_kswapd(const struct replay_result *r)
{
	return r->events[PGSTEAL_KSWAPD];
}

static u64 get_direct(const struct replay_result *r)
{
	return r->events[PGSTEAL_DIRECT];
}

static u64 get_swpout(const struct replay_result *r)
{
	return r->events[PSWPOUT];
}

static u64 get_swpin(const struct replay_result *r)
{
	return r->events[PSWPIN];
}

static u64 get_rereads(const struct replay_result *r)
{
	return r->file_rereads;
}

static u64 anon_maj(const struct replay_result *r)
{
	return r->maj_flt - r->file_maj_flt - r->shm_maj_flt;
}

static u64 anon_min(const struct replay_result *r)
{
	return r->min_flt - r->file_min_flt - r->shm_min_flt;
}

static u64 get_refaults(const struct replay_result *r)
{
	return r->refault_anon + r->refault_file;
}

static const struct row rows[] = {
	{"memory", ROW_SIZE, get_mem_bytes, ROW_ALWAYS},
	{"swap", ROW_SIZE, get_swap_bytes, ROW_ALWAYS},
	{"references", ROW_U64, get_references, ROW_ALWAYS},
	{"page-run records", ROW_U64, get_records, ROW_ALWAYS},
	{"footprint, pages", ROW_U64, get_footprint_pages, ROW_ALWAYS},
	{"peak use, pages", ROW_U64, get_peak_user_pages, ROW_ALWAYS},
	{"minor faults", ROW_U64, get_min_flt, ROW_ALWAYS},
	{"  anonymous", ROW_U64, anon_min, ROW_REAL},
	{"  files", ROW_U64, get_file_min_flt, ROW_REAL},
	{"  shared memory", ROW_U64, get_shm_min_flt, ROW_REAL},
	{"major faults", ROW_U64, get_maj_flt, ROW_ALWAYS},
	{"  anonymous", ROW_U64, anon_maj, ROW_REAL},
	{"  files", ROW_U64, get_file_maj_flt, ROW_REAL},
	{"  shared memory", ROW_U64, get_shm_maj_flt, ROW_REAL},
	{"page cache, pages", ROW_U64, get_cache_pages, ROW_REAL},
	{"  at most", ROW_U64, get_cache_peak, ROW_REAL},
	{"  mapped", ROW_U64, get_mapped_pages, ROW_REAL},
	{"  dirty", ROW_U64, get_dirty_pages, ROW_REAL},
	{"file pages read", ROW_U64, get_file_reads, ROW_REAL},
	{"  read again", ROW_U64, get_rereads, ROW_REAL},
	{"pages written back", ROW_U64, get_written, ROW_REAL},
	{"disk reads", ROW_U64, get_disk_reads, ROW_REAL},
	{"disk writes", ROW_U64, get_disk_writes, ROW_REAL},
	{"reclaimed by kswapd", ROW_U64, get_kswapd, ROW_ALWAYS},
	{"reclaimed directly", ROW_U64, get_direct, ROW_ALWAYS},
	{"swapped out", ROW_U64, get_swpout, ROW_ALWAYS},
	{"swapped in", ROW_U64, get_swpin, ROW_ALWAYS},
	{"refaults", ROW_U64, get_refaults, ROW_ALWAYS},
	{"optimum's page-ins", ROW_U64, get_min_pageins, ROW_ALWAYS},
	{"TLB hits", ROW_U64, get_tlb_hits, ROW_ALWAYS},
	{"TLB misses", ROW_U64, get_tlb_misses, ROW_ALWAYS},
	{"contents checked", ROW_U64, get_data_checks, ROW_ALWAYS},
	{"data errors", ROW_U64, get_data_errors, ROW_ALWAYS},
	{"access errors", ROW_U64, get_access_errors, ROW_ALWAYS},
	{"call mismatches", ROW_U64, get_call_mismatches, ROW_ALWAYS},
	{"file pages as anon", ROW_U64, get_file_as_anon, ROW_ANON},
	{"virtual time, ms", ROW_MS, get_virtual_ns, ROW_ALWAYS},
	{"wall time, ms", ROW_MS, get_wall_ns, ROW_ALWAYS},
	{"digest", ROW_HEX, get_digest, ROW_ALWAYS},
};

static void cell(char buf[24], enum row_kind kind, u64 v)
{
	switch (kind) {
	case ROW_SIZE:
		args_size_text(buf, v);
		break;
	case ROW_MS:
		snprintf(buf, 24, "%.1f", (double)v / 1e6);
		break;
	case ROW_HEX:
		snprintf(buf, 24, "%016llx", ull(v));
		break;
	default:
		snprintf(buf, 24, "%llu", ull(v));
	}
}

static void print_row(const struct row *row, const struct replay_result *runs,
		      u32 nr)
{
	char buf[24];

	printf("%-22s", row->name);
	for (u32 i = 0; i < nr; i++) {
		cell(buf, row->kind, row->get(&runs[i]));
		printf(" %16s", buf);
	}
	putchar('\n');
}

/* More memory and yet more page-ins: it can happen, and is said. */
static void print_anomalies(const struct replay_result *runs, u32 nr)
{
	char a[24], b[24];

	for (u32 i = 1; i < nr; i++) {
		const struct replay_result *s = &runs[i - 1], *l = &runs[i];

		if (l->mem_bytes <= s->mem_bytes || l->pageins <= s->pageins)
			continue;
		args_size_text(a, s->mem_bytes);
		args_size_text(b, l->mem_bytes);
		printf("note: %s of memory took more page-ins (%llu) than %s "
		       "(%llu): this policy is not a stack algorithm, and "
		       "read-ahead counts\n",
		       b, ull(l->pageins), a, ull(s->pageins));
	}
}

void replay_print_table(const struct replay_result *runs, u32 nr,
			const char *trace)
{
	char buf[24];

	printf("replay of %s on %s, policy %s, %u CPU%s, seed %llu\n", trace,
	       runs->arch, runs->policy, runs->cpus, runs->cpus == 1 ? "" : "s",
	       ull(runs->seed));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].when == ROW_ALWAYS ||
		    (rows[i].when == ROW_REAL) == runs->exact)
			print_row(&rows[i], runs, nr);
	whatif_print(runs, nr);
	printf("%-22s", "page-ins / optimum");
	for (u32 i = 0; i < nr; i++) {
		over_min_text(buf, &runs[i]);
		printf(" %16s", buf);
	}
	putchar('\n');
	print_anomalies(runs, nr);
	memcg_print(runs, nr);
	for (u32 i = 0; i < nr; i++)
		if (runs[i].killed_tasks)
			printf("out of memory: %s\n", runs[i].oom);
}

/* ---- JSON
 * ---------------------------------------------------------------------- */

static void set_u64(json_t *o, const char *name, u64 v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

/* By the zones of the run's machine, which this process may not have had. */
static json_t *vmstat_json(const struct replay_result *r)
{
	const struct phys_layout *l = phys_layout_find(r->arch);
	json_t *v = json_object();

	for (int i = 0; i < NR_VM_EVENT_ITEMS; i++) {
		const char *name = vmstat_event_name_of(l, i);

		if (name)
			set_u64(v, name, r->events[i]);
	}
	json_object_set_new(v, "workingset_refault_anon",
			    json_integer((json_int_t)r->refault_anon));
	json_object_set_new(v, "workingset_refault_file",
			    json_integer((json_int_t)r->refault_file));
	return v;
}

static void set_counts(json_t *o, const struct replay_result *r)
{
	set_u64(o, "records", r->records);
	set_u64(o, "minor_faults", r->min_flt);
	set_u64(o, "major_faults", r->maj_flt);
	set_u64(o, "peak_user_pages", r->peak_user_pages);
	set_u64(o, "min_frames_pages", r->min_frames);
	set_u64(o, "data_checks", r->data_checks);
	set_u64(o, "access_errors", r->access_errors);
	set_u64(o, "call_mismatches", r->call_mismatches);
	set_u64(o, "unsupported_calls", r->unsupported_calls);
	set_u64(o, "file_as_anon_pages", r->file_as_anon);
	set_u64(o, "shared_as_private", r->shared_as_private);
	set_u64(o, "touch_maps", r->touch_maps);
	set_u64(o, "killed_tasks", r->killed_tasks);
	set_u64(o, "leaks", r->leaks);
	if (r->oom[0])
		json_object_set_new(o, "oom", json_string(r->oom));
}

/* What there is only with files as files. */
static json_t *files_json(const struct replay_result *r)
{
	json_t *o = json_object();

	set_u64(o, "anon_minor_faults", anon_min(r));
	set_u64(o, "anon_major_faults", anon_maj(r));
	set_u64(o, "file_minor_faults", r->file_min_flt);
	set_u64(o, "file_major_faults", r->file_maj_flt);
	set_u64(o, "shmem_minor_faults", r->shm_min_flt);
	set_u64(o, "shmem_major_faults", r->shm_maj_flt);
	set_u64(o, "cache_pages", r->cache_pages);
	set_u64(o, "cache_peak_pages", r->cache_peak);
	set_u64(o, "mapped_pages", r->mapped_pages);
	set_u64(o, "dirty_pages", r->dirty_pages);
	set_u64(o, "dirtied_pages", r->dirtied);
	set_u64(o, "written_back_pages", r->written);
	set_u64(o, "read_pages", r->file_reads);
	set_u64(o, "read_again_pages", get_rereads(r));
	set_u64(o, "disk_reads", r->disk_reads);
	set_u64(o, "disk_writes", r->disk_writes);
	set_u64(o, "special_maps", r->special_maps);
	return o;
}

static json_t *run_json(const struct replay_result *r)
{
	json_t *o = json_object();
	char digest[24];

	set_u64(o, "mem_bytes", r->mem_bytes);
	set_u64(o, "swap_bytes", r->swap_bytes);
	set_u64(o, "cpus", r->cpus);
	set_u64(o, "seed", r->seed);
	json_object_set_new(o, "arch", json_string(r->arch));
	json_object_set_new(o, "policy", json_string(r->policy));
	set_u64(o, "references", r->references);
	set_u64(o, "footprint_pages", r->footprint_pages);
	json_object_set_new(o, "vmstat", vmstat_json(r));
	json_object_set_new(o, "min_pageins",
			    r->min_known
				    ? json_integer((json_int_t)r->min_pageins)
				    : json_null());
	set_u64(o, "pageins", r->pageins);
	json_object_set_new(o, "pageins_over_min",
			    r->min_pageins ? json_real((double)r->pageins /
						       (double)r->min_pageins)
					   : json_null());
	set_u64(o, "tlb_hits", r->tlb_hits);
	set_u64(o, "tlb_misses", r->tlb_misses);
	set_u64(o, "data_errors", r->data_errors);
	set_u64(o, "stall_ns", r->stall_ns);
	json_object_set_new(o, "scanned_per_reclaimed",
			    isnan(replay_scan_cost(r))
				    ? json_null()
				    : json_real(replay_scan_cost(r)));
	if (r->mem_percent)
		set_u64(o, "mem_percent", r->mem_percent);
	set_u64(o, "virtual_ns", r->virtual_ns);
	set_u64(o, "wall_ns", r->wall_ns);
	snprintf(digest, sizeof(digest), "%016llx", ull(r->digest));
	json_object_set_new(o, "digest", json_string(digest));
	set_counts(o, r);
	if (r->exact)
		json_object_set_new(o, "files", files_json(r));
	if (r->whatif.thp || r->whatif.ksm)
		json_object_set_new(o, "whatif", whatif_json(r));
	json_object_set_new(o, "tasks", shares_tasks_json(&r->series.tasks));
	json_object_set_new(o, "groups", shares_groups_json(&r->series.groups));
	if (r->memcg.asked)
		json_object_set_new(o, "memcg", memcg_json(r));
	return o;
}

void replay_print_json(const struct replay_result *runs, u32 nr)
{
	json_t *list = json_array();
	json_t *root = json_pack("{s:s, s:o}", "schema", "mmkit.replay/1",
				 "runs", list);

	for (u32 i = 0; i < nr; i++)
		json_array_append_new(list, run_json(&runs[i]));
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}
