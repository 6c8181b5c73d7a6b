/* SPDX-License-Identifier: MIT */
/*
 * replay_sample.c - the machine looked at again and again while a trace runs.
 *
 * 1. Three looks, each into a table of fixed size. Samples of the counters come
 *    every so many references; pictures of all frames likewise, more rarely.
 *    When a table is full every second entry goes and the steps double: what
 *    is kept is spread evenly over the run, however long it is. The close-up
 *    is of what samples are too far apart to show: it begins when free memory
 *    of a zone first comes down to its low watermark, which is when kswapd is
 *    woken, goes from fault to fault, and ends when its table is full.
 *
 *    Who has how much of memory and swap, by address space and by group of
 *    --memcg, is taken with the samples into a table of its own (shares.c).
 *
 * 2. Nothing here changes the run: counters and descriptors are read, and no
 *    time is charged. The steps depend on the trace alone, so that the same
 *    run is looked at at the same moments.
 */
#include <stdio.h>
#include <time.h>

#include <mmkit/report.h>

#include "phys/alloc.h"
#include "phys/phys.h"
#include "replay_priv.h"

/* ---- free memory at every fault
 * ----------------------------------------------------------------- */

static u64 free_of(const struct zone *zone)
{
	return zone_page_state(zone, NR_FREE_PAGES);
}

static u64 free_of_all(void)
{
	struct zone *zone;
	u64 n = 0;

	for_each_populated_zone (zone)
		n += free_of(zone);
	return n;
}

static void zone_text(char buf[32], const struct zone *zone)
{
	snprintf(buf, 32, "node %d, %s", zone_to_nid(zone), zone->name);
}

/* The zone of the most frames: the one that programs live in. */
static struct zone *largest_zone(void)
{
	struct zone *zone, *largest = NULL;

	for_each_populated_zone (zone)
		if (!largest || zone->managed_pages > largest->managed_pages)
			largest = zone;
	return largest;
}

/* A moment for each step of free memory that one can see, in 32 of the way
 * between the marks. */
static bool worth_a_moment(const struct replay_closeup *c, u64 free)
{
	u64 last, step = max((c->high - c->low) / 32, 1UL);

	if (!c->nr)
		return true;
	last = c->m[c->nr - 1].free;
	return free >= last + step || free + step <= last;
}

static void close_up(struct replay_closeup *c)
{
	struct zone *zone = largest_zone();
	u64 free = free_of(zone);

	if (c->nr == REPLAY_MAX_MOMENTS)
		return;
	if (!c->nr && free > low_wmark_pages(zone))
		return;
	if (!c->nr) {
		zone_text(c->zone, zone);
		c->min = min_wmark_pages(zone);
		c->low = low_wmark_pages(zone);
		c->high = high_wmark_pages(zone);
	}
	if (!worth_a_moment(c, free))
		return;
	c->m[c->nr++] = (struct replay_moment){sim_now_ns(), free,
					       sum_vm_event(PGSTEAL_KSWAPD),
					       sum_vm_event(PGSTEAL_DIRECT)};
}

void replay_watch_free(struct replay *rp)
{
	u64 free = free_of_all();

	rp->free_least = min(rp->free_least, free);
	rp->free_most = max(rp->free_most, free);
	close_up(&rp->res->series.closeup);
}

/* ---- samples
 * ----------------------------------------------------------------- */

static void take_counts(struct replay *rp, struct replay_sample *s)
{
	*s = (struct replay_sample){
		.references = rp->res->references,
		.virtual_ns = sim_now_ns(),
		.pgfault = sum_vm_event(PGFAULT),
		.pgmajfault = sum_vm_event(PGMAJFAULT),
		.pswpin = sum_vm_event(PSWPIN),
		.pswpout = sum_vm_event(PSWPOUT),
		.scan_kswapd = sum_vm_event(PGSCAN_KSWAPD),
		.scan_direct = sum_vm_event(PGSCAN_DIRECT),
		.steal_kswapd = sum_vm_event(PGSTEAL_KSWAPD),
		.steal_direct = sum_vm_event(PGSTEAL_DIRECT),
		.refault_anon = global_node_page_state(WORKINGSET_REFAULT_ANON),
		.refault_file = global_node_page_state(WORKINGSET_REFAULT_FILE),
	};
}

static void take_lists(struct replay *rp, struct replay_sample *s)
{
	s->active_anon = global_node_page_state(NR_ACTIVE_ANON);
	s->inactive_anon = global_node_page_state(NR_INACTIVE_ANON);
	s->active_file = global_node_page_state(NR_ACTIVE_FILE);
	s->inactive_file = global_node_page_state(NR_INACTIVE_FILE);
	s->unevictable = global_node_page_state(NR_UNEVICTABLE);
	s->swapcache = global_node_page_state(NR_SWAPCACHE);
	s->lru_anon = s->active_anon + s->inactive_anon +
		      global_node_page_state(NR_ISOLATED_ANON);
	s->lru_file = s->active_file + s->inactive_file +
		      global_node_page_state(NR_ISOLATED_FILE);
	s->slab = global_node_page_state(NR_SLAB_RECLAIMABLE_B) +
		  global_node_page_state(NR_SLAB_UNRECLAIMABLE_B);
	s->tables = global_node_page_state(NR_PAGETABLE);
	s->anon = global_node_page_state(NR_ANON_MAPPED);
	s->huge = global_node_page_state(NR_ANON_THPS);
	s->saved = rp->o->whatif.ksm ? whatif_saved() : 0;
}

static void take_blocks(const struct zone *zone, struct replay_sample *s)
{
	u64 n = 0;

	for (u32 o = MAX_ORDER; o-- > 0;) {
		n += zone_nr_free_blocks(zone, o, -1) << o;
		s->in_order[o] += n;
	}
}

static void take_zones(struct replay_series *all, struct replay_sample *s)
{
	u64 managed = 0, known;
	struct zone *zone;
	u32 i = 0;

	for_each_populated_zone (zone) {
		u64 free = free_of(zone);

		s->free += free;
		s->min += min_wmark_pages(zone);
		s->low += low_wmark_pages(zone);
		s->high += high_wmark_pages(zone);
		managed += zone_managed_pages(zone);
		take_blocks(zone, s);
		if (i == REPLAY_MAX_ZONES)
			continue;
		zone_text(all->zones[i], zone);
		s->zone[i++] = free;
	}
	all->nr_zones = max(all->nr_zones, i);
	known = s->free + s->lru_anon + s->lru_file + s->unevictable + s->slab +
		s->tables;
	s->kernel = managed - min(managed, known);
}

static void take_sample(struct replay *rp, struct replay_sample *s)
{
	take_counts(rp, s);
	take_lists(rp, s);
	take_zones(&rp->res->series, s);
	s->free_least = min(rp->free_least, s->free);
	s->free_most = max(rp->free_most, s->free);
	rp->free_least = UINT64_MAX;
	rp->free_most = 0;
}

/* ---- tasks and groups
 * ----------------------------------------------------------------- */

/* Each address space once, whoever shares it. */
static void take_task(struct replay *rp, struct replay_mm *rmm)
{
	u64 now = rp->res->references + 1, v[SHARES_KINDS];
	char name[SHARES_NAME];
	struct mm_usage u;

	if (rmm->sampled_at == now)
		return;
	rmm->sampled_at = now;
	mm_usage_get(rmm->mm, &u);
	v[SHARE_ANON] = u.rss_anon << PAGE_SHIFT;
	v[SHARE_FILE] = u.rss_file << PAGE_SHIFT;
	v[SHARE_SHMEM] = u.rss_shmem << PAGE_SHIFT;
	v[SHARE_SWAP] = u.swap << PAGE_SHIFT;
	snprintf(name, sizeof(name), "task %u", rmm->task);
	shares_put(&rp->res->series.tasks, rmm->task, name, v);
}

static void take_tasks(struct replay *rp)
{
	shares_begin(&rp->res->series.tasks, (double)rp->res->references);
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++)
		if (rp->tasks[i].live && rp->tasks[i].rmm)
			take_task(rp, rp->tasks[i].rmm);
}

static void take_groups(struct replay *rp)
{
	struct shares *s = &rp->res->series.groups;
	char name[SHARES_NAME];

	shares_begin(s, (double)rp->res->references);
	for (u32 i = 0; i < rp->res->memcg.nr; i++) {
		const struct memcg_row *row = &rp->res->memcg.row[i];
		u64 v[SHARES_KINDS];

		memcg_look(row, v);
		snprintf(name, sizeof(name), "group of task %u", row->task);
		shares_put(s, row->id, name, v);
	}
}

static void thin_samples(struct replay *rp)
{
	struct replay_series *all = &rp->res->series;

	for (u32 i = 0; i < all->nr_samples / 2; i++) {
		struct replay_sample *kept = &all->samples[2 * i];
		const struct replay_sample *gone = kept + 1;

		/* Its extremes are the next one's to tell. */
		if (2 * i + 2 < all->nr_samples) {
			struct replay_sample *next = kept + 2;

			next->free_least =
				min(next->free_least, gone->free_least);
			next->free_most = max(next->free_most, gone->free_most);
		}
		all->samples[i] = *kept;
	}
	all->nr_samples /= 2;
	rp->sample_step *= 2;
}

/* ---- pictures of the frames
 * ----------------------------------------------------------------- */

static void put_cell(char letter, void *arg)
{
	char **at = arg;

	*(*at)++ = letter;
}

static void take_shot(struct replay *rp)
{
	struct replay_series *all = &rp->res->series;
	struct replay_shot *shot;
	char *at;

	if (all->nr_shots == REPLAY_MAX_SHOTS) {
		for (u32 i = 0; i < REPLAY_MAX_SHOTS / 2; i++)
			all->shots[i] = all->shots[2 * i];
		all->nr_shots /= 2;
		rp->shot_step *= 2;
	}
	shot = &all->shots[all->nr_shots++];
	shot->references = rp->res->references;
	shot->virtual_ns = sim_now_ns();
	at = shot->cells;
	all->cell_order = mm_frame_map_order(MM_FRAME_MAP_CELLS);
	mm_frame_map(all->cell_order, put_cell, &at);
	all->cells = (u32)(at - shot->cells);
	rp->next_shot = rp->res->references + rp->shot_step;
}

/* ---- when
 * ----------------------------------------------------------------- */

static void show_progress(struct replay *rp)
{
	u64 done, size, ms;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ms = (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
	if (ms - rp->shown_ms < 200)
		return;
	rp->shown_ms = ms;
	trace_reader_progress(rp->r, &done, &size);
	fprintf(stderr,
		"\r%3llu %%  %llu M references, %llu faults, %llu swapped out ",
		(unsigned long long)(size ? done * 100 / size : 0),
		(unsigned long long)(rp->res->references / 1000000),
		(unsigned long long)sum_vm_event(PGFAULT),
		(unsigned long long)sum_vm_event(PSWPOUT));
}

void replay_sample(struct replay *rp, bool force)
{
	struct replay_series *all = &rp->res->series;

	if (rp->dry || (!force && rp->res->references < rp->next_sample))
		return;
	replay_check_tlbs(rp);
	if (all->nr_samples == REPLAY_MAX_SAMPLES)
		thin_samples(rp);
	take_sample(rp, &all->samples[all->nr_samples++]);
	take_tasks(rp);
	take_groups(rp);
	rp->next_sample = rp->res->references + rp->sample_step;
	if (force || rp->res->references >= rp->next_shot)
		take_shot(rp);
	if (rp->o->progress)
		show_progress(rp);
}
