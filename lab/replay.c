/* SPDX-License-Identifier: MIT */
/*
 * replay.c - running a trace.
 *
 * 1. Purpose. Drive the manager exactly as the recorded program would: each
 *    reference through the MMU, each call through the system-call gate.
 *
 * 2. Order. The trace is one global order. Each of its tasks is a thread of
 *    the machine; the thread of the task whose records come now has the turn
 *    and reads them. A SWITCH record hands the turn over. So a task that
 *    waits for its page holds the trace while the daemons run.
 *
 * 3. Two passes. The first runs the machine. If anything was swapped in, the
 *    second goes through the trace again without a machine and asks for the
 *    optimum: MIN's page-ins with as many frames as the run ever used.
 *
 * 4. A task that was killed is gone; its records are skipped, as are those of
 *    children that it would have had.
 */
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mmkit/boot.h>
#include <mmkit/mm.h>
#include <mmkit/report.h>

#include "base/seqbuf.h"
#include "dump.h"
#include "err.h"
#include "phys/phys.h"
#include "policy.h"
#include "replay_priv.h"
#include "sim_costs.h"
#include "space/space.h"

/* References between two looks at the rest of the machine. */
#define BATCH 256

void replay_die(struct replay *rp, const char *what, ...)
{
	char where[256], text[512];
	va_list ap;

	va_start(ap, what);
	vsnprintf(text, sizeof(text), what, ap);
	va_end(ap);
	trace_reader_where(rp->r, where, sizeof(where));
	err_die("%s: record %llu, task %u: %s", where,
		(unsigned long long)rp->record, rp->cur, text);
}

/* ---- tasks
 * ------------------------------------------------------------------- */

static void turn_to(struct replay *rp, u32 id);
static void task_main(void *arg);

static void task_start_thread(struct replay *rp, struct replay_task *t)
{
	char name[16];
	int err;

	snprintf(name, sizeof(name), "task%u", t->id);
	err = sim_thread_start_on(&t->thread, name,
				  (int)(t->id % rp->o->machine.cpus), task_main,
				  t);
	if (err)
		err_die("cannot start a thread for task %u: %s", t->id,
			strerror(-err));
	rp->live_threads++;
	t->task = sim_thread_task(t->thread);
	/* What was locked when it was recorded may be locked here. */
	if (rp->exact)
		t->task->caps |= MM_CAP_IPC_LOCK;
	mm_task_register(t->task, name);
	memcg_task(&rp->o->memcg, rp->res, t->task, t->id);
}

static bool is_last(const struct replay *rp, const struct replay_task *t)
{
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++)
		if (rp->tasks[i].live && &rp->tasks[i] != t)
			return false;
	return true;
}

/* The address space is given back now; the thread ends when it next runs. */
static void task_exit(struct replay *rp, struct replay_task *t)
{
	if (!t->live)
		return;
	/* The last moment when there is a task to see. */
	if (rp->o->machine.dump_proc && !rp->dry && is_last(rp, t))
		dump_proc(rp->o->machine.dump_proc);
	t->live = false;
	if (!rp->dry) {
		mm_task_unregister(t->task);
		mm_task_exit(t->task);
	}
	rmm_put(rp, t->rmm);
	t->rmm = NULL;
}

static void do_fork(struct replay *rp, struct replay_task *t,
		    const struct trace_fork *f)
{
	struct replay_task *child = &rp->tasks[f->child];

	*child = (struct replay_task){
		.rp = rp, .id = f->child, .kill_record = child->kill_record};
	if (!t->live) {
		child->killed = true;
		return;
	}
	if (f->flags & TRACE_CLONE_VM) {
		child->rmm = t->rmm;
		child->rmm->users++;
	} else {
		child->rmm = rmm_fork(rp, t->rmm, f->child);
	}
	if (!child->rmm) {
		child->killed = true;
		rp->res->call_mismatches++;
		return;
	}
	child->live = true;
	if (!rp->dry)
		task_start_thread(rp, child);
}

/* A fresh address space for the running task. */
static void do_exec(struct replay *rp, struct replay_task *t)
{
	struct replay_mm *old = t->rmm;

	t->rmm = rmm_new(rp, t->id);
	if (!rp->dry) {
		mm_task_exit(t->task);
		t->task->flags &= ~PF_EXITING;
		mm_task_attach(t->task, t->rmm->mm);
	}
	rmm_put(rp, old);
}

/* ---- records
 * -------------------------------------------------------------------- */

static void do_live_record(struct replay *rp, struct replay_task *t,
			   const struct trace_rec *rec)
{
	switch (rec->type) {
	case TRACE_REF:
		rp->pending_ns += rec->ref.count * rp->ref_ns;
		replay_ref(rp, t, &rec->ref);
		break;
	case TRACE_MAP:
		replay_map_record(rp, t, &rec->map);
		break;
	case TRACE_CALL:
		replay_call_record(rp, t, &rec->call);
		break;
	case TRACE_EXEC:
		do_exec(rp, t);
		break;
	case TRACE_EXIT:
		task_exit(rp, t);
		break;
	case TRACE_CONTENT:
		replay_content_record(rp, t, &rec->content);
		break;
	default:
		break; /* WAIT: nothing to do for memory */
	}
}

static void do_file(struct replay *rp, const struct trace_file *f)
{
	if (rp->exact)
		replay_file_record(rp, f);
}

static void do_fileop(struct replay *rp, const struct replay_task *t,
		      const struct trace_fileop *f)
{
	if (rp->exact)
		replay_fileop_record(rp, t->live, f);
}

/* What the current task's next record asks for; SWITCH is the caller's. */
static void do_record(struct replay *rp, const struct trace_rec *rec)
{
	struct replay_task *t = &rp->tasks[rp->cur];

	/* The second pass: the first lost this task here. */
	if (rp->dry && t->live && t->kill_record == rp->record &&
	    t->kill_record)
		task_exit(rp, t);
	if (rec->type == TRACE_FORK)
		do_fork(rp, t, &rec->fork);
	else if (rec->type == TRACE_FILE)
		do_file(rp, &rec->file);
	else if (rec->type == TRACE_FILEOP)
		do_fileop(rp, t, &rec->fileop);
	else if (t->live)
		do_live_record(rp, t, rec);
	/* Killed in the middle of it: leave at once, as the kernel would. */
	if (t->killed && t->live)
		task_exit(rp, t);
}

/* The serial of the address space of which a page is followed, or 0. */
static u64 followed_space(const struct replay *rp)
{
	u32 id = rp->o->events.task;
	const struct replay_task *t =
		id < TRACE_MAX_TASKS ? &rp->tasks[id] : NULL;

	return t && t->live && t->rmm->mm ? t->rmm->mm->serial : 0;
}

/* Time passes for references that hit, and others may run. */
static void settle(struct replay *rp)
{
	if (rp->dry)
		return;
	port_charge_ns(rp->pending_ns);
	rp->pending_ns = 0;
	replay_sample(rp, false);
	if (events_wanted(&rp->o->events))
		events_poll(followed_space(rp));
	port_sched_point();
}

/* One reference by the short decoder. False: something else is next. */
static bool pump_ref(struct replay *rp, struct replay_task *t)
{
	struct trace_ref ref;

	if (!trace_next_ref(rp->r, &ref))
		return false;
	rp->record++;
	rp->pending_ns += ref.count * rp->ref_ns;
	replay_ref(rp, t, &ref);
	if (unlikely(t->killed))
		task_exit(rp, t);
	return true;
}

/* Up to BATCH references by the short way. False: something else is next. */
static bool pump_refs(struct replay *rp, struct replay_task *t)
{
	for (u32 n = 0; n < BATCH && t->live; n++) {
		if (!rp->dry)
			n += replay_refs_fast(rp, t, BATCH - n);
		if (n < BATCH && !pump_ref(rp, t))
			return false;
	}
	return t->live;
}

static bool may_use_short_way(const struct replay *rp,
			      const struct replay_task *t)
{
	/* The second pass must notice the record at which a task died. */
	return t->live && !(rp->dry && t->kill_record);
}

/* One record by the long way. False: the trace is over. */
static bool pump_one(struct replay *rp, bool *switched)
{
	struct trace_rec rec;
	int ret = trace_next(rp->r, &rec);

	if (ret < 0)
		err_die("%s", trace_reader_error(rp->r));
	if (ret == 0)
		return false;
	rp->record++;
	*switched = rec.type == TRACE_SWITCH;
	if (*switched)
		rp->cur = rec.to;
	else
		do_record(rp, &rec);
	return true;
}

/* ---- the turn
 * ------------------------------------------------------------------- */

static void finish_trace(struct replay *rp)
{
	rp->done = true;
	if (!rp->dry)
		port_unpark(rp->main_thread);
}

static void turn_to(struct replay *rp, u32 id)
{
	port_unpark(rp->tasks[id].thread);
}

/*
 * Read records while the turn is ME's, or of nobody who is alive. Returns when
 * the turn went to another thread or the trace is over.
 */
static void pump(struct replay *rp, struct replay_task *me)
{
	for (;;) {
		struct replay_task *t = &rp->tasks[rp->cur];
		bool switched = false;

		settle(rp);
		if (may_use_short_way(rp, t) && pump_refs(rp, t))
			continue;
		if (!pump_one(rp, &switched)) {
			finish_trace(rp);
			return;
		}
		t = &rp->tasks[rp->cur];
		if (switched && !rp->dry && t != me && t->live) {
			turn_to(rp, t->id);
			return;
		}
	}
}

static bool my_turn(const struct replay *rp, const struct replay_task *me)
{
	return &rp->tasks[rp->cur] == me && me->live && !rp->done;
}

static void task_main(void *arg)
{
	struct replay_task *me = arg;
	struct replay *rp = me->rp;

	/* By itself: it may have run already, and then nobody loads the space
	 * into its CPU. */
	if (me->live)
		mm_task_attach(port_current(), me->rmm->mm);
	while (!rp->done && me->live) {
		if (my_turn(rp, me))
			pump(rp, me);
		else
			port_park(UINT64_MAX);
	}
	port_current()->flags |= PF_EXITING;
	rp->live_threads--;
	port_unpark(rp->main_thread);
}

/* ---- the passes
 * ------------------------------------------------------------------ */

static void open_trace(struct replay *rp)
{
	struct trace_error e;

	rp->r = trace_reader_open(rp->o->trace, &e);
	if (!rp->r)
		err_die("%s", e.text);
}

static void first_task(struct replay *rp)
{
	struct replay_task *t = &rp->tasks[0];

	rp->cur = 0;
	rp->record = 0;
	rp->done = false;
	*t = (struct replay_task){.rp = rp, .kill_record = t->kill_record};
	t->rmm = rmm_new(rp, 0);
	t->live = true;
}

static void wait_for_end(struct replay *rp)
{
	rp->main_thread = port_self();
	task_start_thread(rp, &rp->tasks[0]);
	while (!rp->done)
		port_park(UINT64_MAX);
	/* Tasks that the trace left alive: as if the machine went down. */
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++)
		if (rp->tasks[i].thread && !rp->tasks[i].live)
			port_unpark(rp->tasks[i].thread);
}

/* The kernel's own counters, and the disk's. */
static void collect_files(struct replay *rp)
{
	struct replay_result *res = rp->res;
	u64 all = global_node_page_state(NR_WRITTEN);

	replay_files_count(rp);
	res->cache_pages = global_node_page_state(NR_FILE_PAGES);
	res->mapped_pages = global_node_page_state(NR_FILE_MAPPED);
	res->dirty_pages = global_node_page_state(NR_FILE_DIRTY);
	res->dirtied = global_node_page_state(NR_DIRTIED);
	res->written = all - min(all, res->events[PSWPOUT]);
	res->pageins += res->file_rereads;
}

static void collect(struct replay *rp)
{
	struct replay_result *res = rp->res;
	struct sim_tlb_stats tlb;

	replay_sample(rp, true);
	sim_tlb_stats(&tlb);
	res->tlb_hits = tlb.hits;
	res->tlb_misses = tlb.misses;
	res->virtual_ns = sim_now_ns();
	all_vm_events(res->events);
	res->maj_flt = res->events[PGMAJFAULT];
	res->min_flt = res->events[PGFAULT] - res->maj_flt;
	res->pageins = res->events[PSWPIN];
	res->refault_anon = global_node_page_state(WORKINGSET_REFAULT_ANON);
	res->refault_file = global_node_page_state(WORKINGSET_REFAULT_FILE);
	if (rp->exact)
		collect_files(rp);
	whatif_collect(res);
	memcg_collect(res);
	snprintf(res->oom, sizeof(res->oom), "%s", mm_last_oom());
}

static void stop_tasks(struct replay *rp)
{
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++)
		task_exit(rp, &rp->tasks[i]);
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++) {
		if (!rp->tasks[i].thread)
			continue;
		port_unpark(rp->tasks[i].thread);
		port_thread_join(rp->tasks[i].thread);
		rp->tasks[i].thread = NULL;
	}
}

/* With all tasks gone every frame and slot must have an owner again. */
static void final_audit(struct replay *rp)
{
	static char text[16384];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	rp->res->leaks = (u64)mm_audit(&s);
	if (rp->res->leaks)
		err_say("the audit at the end found leaks:\n%s", text);
}

static int first_pass(void *arg)
{
	struct replay *rp = arg;

	replay_set_hook(rp);
	if (events_wanted(&rp->o->events))
		events_start(&rp->o->events, rp->o->machine.cpus);
	if (rp->o->machine.map)
		rp->res->mem_bytes = e820_total_ram(&phys_sys.e820);
	if (rp->exact)
		replay_files_init(rp);
	whatif_begin(&rp->o->whatif, rp->res);
	first_task(rp);
	wait_for_end(rp);
	collect(rp);
	machine_show(&rp->o->machine); /* with the tasks still there */
	stop_tasks(rp);
	if (rp->exact)
		replay_files_exit(rp);
	memcg_end(rp->res);
	rp->machine_digest = mm_stats_digest();
	final_audit(rp);
	events_stop();
	replay_set_hook(NULL);
	return 0;
}

static void second_pass(struct replay *rp)
{
	rp->dry = true;
	rp->min = min_create();
	if (!rp->min)
		err_die("no memory to compute the optimum; use --no-min");
	open_trace(rp);
	if (rp->exact)
		replay_files_init(rp);
	first_task(rp);
	pump(rp, &rp->tasks[0]);
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++)
		task_exit(rp, &rp->tasks[i]);
	if (rp->exact)
		replay_files_exit(rp);
	rp->res->min_pageins = min_pageins(rp->min, rp->res->min_frames);
	if (rp->res->min_pageins == MIN_FAILED)
		err_die("no memory to compute the optimum; use --no-min");
	min_destroy(rp->min);
	free(rp->id_refs);
	trace_reader_close(rp->r);
}

static u64 mix(u64 h, u64 v)
{
	return (h ^ v) * 0x100000001b3UL;
}

/* Over everything that was counted; wall time left out. */
static u64 result_digest(const struct replay_result *r, u64 machine)
{
	u64 h = mix(0xcbf29ce484222325UL, machine);

	h = mix(h, r->references);
	h = mix(h, r->records);
	h = mix(h, r->footprint_pages);
	h = mix(h, r->tlb_hits);
	h = mix(h, r->tlb_misses);
	h = mix(h, r->data_checks);
	h = mix(h, r->data_errors);
	h = mix(h, r->access_errors);
	h = mix(h, r->peak_user_pages);
	h = mix(h, r->virtual_ns);
	for (u32 i = 0; i < NR_VM_EVENT_ITEMS; i++)
		h = mix(h, r->events[i]);
	if (!r->exact)
		return h;
	h = mix(h, r->file_min_flt);
	h = mix(h, r->file_maj_flt);
	h = mix(h, r->shm_min_flt);
	h = mix(h, r->shm_maj_flt);
	h = mix(h, r->cache_peak);
	h = mix(h, r->dirtied);
	h = mix(h, r->written);
	h = mix(h, r->file_reads);
	h = mix(h, r->file_rereads);
	return h;
}

static u64 wall_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000UL + (u64)ts.tv_nsec;
}

static void note_machine(const struct replay_opts *o, struct replay_result *res)
{
	const struct machine_opts *m = &o->machine;

	res->mem_bytes = m->mem_bytes;
	res->swap_bytes = m->swap_bytes;
	res->cpus = m->cpus;
	res->seed = m->seed;
	snprintf(res->arch, sizeof(res->arch), "%s", machine_format(m)->name);
	snprintf(res->policy, sizeof(res->policy), "%s",
		 m->policy ? policy_find(m->policy)->name : "classic");
}

static bool files_are_real(const struct replay_opts *o,
			   const struct trace_reader *r)
{
	if (o->files != REPLAY_FILES_AUTO)
		return o->files == REPLAY_FILES_REAL;
	return trace_reader_header(r)->version > 1;
}

void replay_run(const struct replay_opts *o, struct replay_result *res)
{
	struct replay *rp = calloc(1, sizeof(*rp));
	u64 start = wall_now();

	if (!rp)
		err_die("no memory for the replay");
	memset(res, 0, sizeof(*res));
	shares_init(&res->series.tasks, SHARE_SWAP + 1);
	shares_init(&res->series.groups, SHARE_SWAPPED + 1);
	rp->o = o;
	rp->res = res;
	rp->ref_ns = 1;
	rp->stamp_seq = o->machine.seed;
	open_trace(rp);
	res->exact = rp->exact = files_are_real(o, rp->r);
	rp->sample_step = trace_reader_totals(rp->r)->references / 256 + 1;
	rp->shot_step = trace_reader_totals(rp->r)->references / 40 + 1;
	rp->free_least = UINT64_MAX;
	note_machine(o, res);
	machine_run(&o->machine, first_pass, rp);
	trace_reader_close(rp->r);
	if (o->progress)
		fprintf(stderr, "\r%*s\r", 70, "");
	res->wall_ns = wall_now() - start;
	/* Frames that a CPU's batch hides from the lists' counters. */
	res->min_frames = res->peak_user_pages + 15UL * o->machine.cpus;
	/* Without page-ins of ours there is nothing to compare: 0 is right. */
	res->min_known = !o->no_min || !res->pageins;
	if (!o->no_min && res->pageins)
		second_pass(rp);
	res->digest = result_digest(res, rp->machine_digest);
	free(rp->places.v);
	free(rp);
}
