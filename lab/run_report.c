/* SPDX-License-Identifier: MIT */
/*
 * run_report.c - what the machine reported through port 0x402.
 *
 * Lines, written by guest/init.c:
 *
 *   hello 1                      the program of the guest is there
 *   ticks N                      the time stamp counter at its start
 *   note TEXT ERRNO              something that is missing and not needed
 *   failed TEXT ERRNO            why the program cannot be run
 *   begin NS                     it runs
 *   pid N                        that is its number
 *   traced BYTES LOST            of records on the disk for them; missing ones
 *   time NS                      the moment of the sample that follows
 *   marks MIN LOW HIGH           its watermarks, pages of all zones
 *   data PATH WHEN LEN           LEN bytes of a file; WHEN is before, after
 *                                or sample, which /proc/vmstat ends; tasks and
 *                                groups are no files (guest/owners.h); dump:
 *                                for a directory (run_dump.c)
 *   ack N                        N more bytes of standard input were taken
 *   cannot-exec PATH ERRNO
 *   usage ...                    of wait4(2)
 *   ended NS                     the program's life
 *   exit STATUS | signal N CORE
 *   end                          nothing follows
 *
 * What comes before "hello" is the firmware's, which takes the port for its
 * own; unknown lines are left alone.
 */
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "run.h"

/* ---- counters --------------------------------------------------------------
 */

static struct run_counter *counter(struct run_result *r, const char *name,
				   size_t len)
{
	struct run_counter *c;

	for (u32 i = 0; i < r->nr_vm; i++)
		if (strlen(r->vm[i].name) == len &&
		    !strncmp(r->vm[i].name, name, len))
			return &r->vm[i];
	if (r->nr_vm == RUN_MAX_COUNTERS || len >= sizeof(c->name))
		return NULL;
	c = &r->vm[r->nr_vm++];
	memcpy(c->name, name, len);
	return c;
}

static const char *next_line(const char *s)
{
	s += strcspn(s, "\n");
	return s + (*s == '\n');
}

static void take_vmstat(struct run_result *r, const char *text, bool after)
{
	for (const char *s = text; *s; s = next_line(s)) {
		size_t len = strcspn(s, " \n");
		struct run_counter *c;

		if (s[len] != ' ')
			continue;
		c = counter(r, s, len);
		if (!c)
			continue;
		if (after) {
			c->after = strtoull(s + len, NULL, 10);
			c->has_after = true;
		} else {
			c->before = strtoull(s + len, NULL, 10);
			c->had_before = true;
		}
	}
}

/* A level is what it is at the end; everything else counts up. */
static bool is_level(const char *name)
{
	return !strncmp(name, "nr_", 3) && strcmp(name, "nr_dirtied") &&
	       strcmp(name, "nr_written") && strcmp(name, "nr_vmscan_write") &&
	       strcmp(name, "nr_vmscan_immediate_reclaim");
}

static u64 counter_value(const struct run_counter *c)
{
	if (is_level(c->name) || c->after < c->before)
		return c->after;
	return c->after - c->before;
}

u64 run_counter(const struct run_result *r, const char *name)
{
	for (u32 i = 0; i < r->nr_vm; i++)
		if (!strcmp(r->vm[i].name, name))
			return counter_value(&r->vm[i]);
	return 0;
}

u64 run_vmstat_in(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *s = text; *s; s = next_line(s))
		if (!strncmp(s, name, len) && s[len] == ' ')
			return strtoull(s + len, NULL, 10);
	return 0;
}

/* "MemTotal:   12345 kB" in bytes. */
static u64 meminfo(const char *text, const char *name)
{
	const char *s = strstr(text, name);

	return s ? strtoull(s + strlen(name), NULL, 10) * 1024 : 0;
}

static void take_meminfo(struct run_result *r, const char *text, bool after)
{
	u64 swap = meminfo(text, "SwapTotal:");

	r->mem_total = meminfo(text, "MemTotal:");
	r->swap_total = swap;
	if (after)
		r->swap_used = swap - meminfo(text, "SwapFree:");
	else
		r->mem_free_before = meminfo(text, "MemFree:");
}

/* ---- blocks ----------------------------------------------------------------
 */

/*
 * When the room is full, every second one goes and half as many are kept. The
 * last one stands for the end of a machine that does not come to report it.
 */
static void take_sample(struct run_parser *p)
{
	struct run_result *r = p->res;

	take_vmstat(r, p->data, true);
	r->guest_ns = p->time_ns;
	if (p->seen_samples++ % (r->every ? r->every : 1))
		return;
	if (r->nr_samples == RUN_MAX_SAMPLES) {
		for (u32 i = 0; i < RUN_MAX_SAMPLES; i++) {
			if (i % 2)
				free(r->samples[i].vmstat);
			else
				r->samples[i / 2] = r->samples[i];
		}
		r->nr_samples /= 2;
		r->every = (r->every ? r->every : 1) * 2;
	}
	p->next.ns = p->time_ns;
	p->next.vmstat = p->data;
	r->samples[r->nr_samples++] = p->next;
	p->data = NULL;
}

/* "Node 0, zone  Normal  12 4 0 ...": blocks of each order. */
static void take_blocks(struct run_parser *p)
{
	u64 *sum = p->next.in_order;

	memset(sum, 0, sizeof(p->next.in_order));
	for (const char *s = p->data; *s; s = next_line(s)) {
		u64 blocks[RUN_MAX_ORDER] = {0}, more = 0;
		const char *at = strstr(s, ", zone");
		char *end;

		if (!at || at > s + strcspn(s, "\n"))
			continue;
		at += strlen(", zone");
		at += strspn(at, " ");
		at += strcspn(at, " \n");
		for (u32 o = 0; o < RUN_MAX_ORDER; o++, at = end) {
			at += strspn(at, " ");
			blocks[o] = strtoull(at, &end, 10);
		}
		for (u32 o = RUN_MAX_ORDER; o-- > 0;) {
			more += blocks[o] << o;
			sum[o] += more;
		}
	}
}

static void drop_shots(struct run_result *r)
{
	for (u32 i = 0; i < r->nr_shots; i++)
		free(r->shots[i].cells);
	r->nr_shots = 0;
}

/* When the room is full, every second one goes. */
static void thin_shots(struct run_result *r)
{
	for (u32 i = 0; i < RUN_MAX_SHOTS; i++) {
		if (i % 2)
			free(r->shots[i].cells);
		else
			r->shots[i / 2] = r->shots[i];
	}
	r->nr_shots = RUN_MAX_SHOTS / 2;
	r->shots_every *= 2;
}

/* "frames in a cell: N", then a letter for each. */
static void take_shot(struct run_parser *p)
{
	struct run_result *r = p->res;
	unsigned long long per;
	const char *cells;
	u32 nr, order = 0;

	if (sscanf(p->data, "frames in a cell: %llu", &per) != 1)
		return;
	while (order < 32 && 1ULL << order < per)
		order++;
	cells = next_line(p->data);
	nr = (u32)strcspn(cells, "\n");
	if (r->nr_shots && (nr != r->cells || order != r->cell_order))
		drop_shots(r); /* there is more memory now, or less */
	r->cells = nr;
	r->cell_order = order;
	if (!r->shots_every)
		r->shots_every = 1;
	if (p->seen_shots++ % r->shots_every)
		return;
	if (r->nr_shots == RUN_MAX_SHOTS)
		thin_shots(r);
	r->shots[r->nr_shots++] =
		(struct run_shot){p->time_ns, strndup(cells, nr)};
	if (!r->shots[r->nr_shots - 1].cells)
		r->nr_shots--;
}

/* The owners of a sample, by lines of numbers and a name. */
static void begin_owners(struct run_parser *p, struct shares *s, u32 kinds)
{
	if (!s->kinds)
		shares_init(s, kinds);
	shares_begin(s, (double)p->time_ns);
}

/* "PID ANON FILE SHMEM SWAP NAME", KiB. */
static void take_tasks(struct run_parser *p)
{
	struct shares *all = &p->res->tasks;
	char name[SHARES_NAME], comm[32];

	begin_owners(p, all, SHARE_SWAP + 1);
	for (const char *s = p->data; *s; s = next_line(s)) {
		u64 pid, v[SHARES_KINDS];
		char *end;

		pid = strtoull(s, &end, 10);
		for (u32 k = 0; k < SHARES_KINDS; k++)
			v[k] = strtoull(end, &end, 10) * 1024;
		end += *end == ' ';
		snprintf(comm, sizeof(comm), "%.*s", (int)strcspn(end, "\n"),
			 end);
		snprintf(name, sizeof(name), pid ? "%s (%llu)" : "%s", comm,
			 (unsigned long long)pid);
		shares_put(all, pid, name, v);
	}
}

/* A group is known by its path: two never have one at a time. */
static u64 path_key(const char *s, size_t len)
{
	u64 h = 14695981039346656037UL;

	while (len--)
		h = (h ^ (u8)*s++) * 1099511628211UL;
	return h;
}

/* "CURRENT SWAP HIGH MAX PATH", bytes. */
static void take_groups(struct run_parser *p)
{
	struct shares *all = &p->res->groups;
	char name[SHARES_NAME];

	begin_owners(p, all, SHARE_SWAPPED + 1);
	for (const char *s = p->data; *s; s = next_line(s)) {
		const char *at = s;
		u64 v[SHARES_KINDS];
		size_t len;

		for (u32 k = 0; k < SHARES_KINDS; k++) {
			v[k] = *at == 'm' ? SHARES_NONE
					  : strtoull(at, NULL, 10);
			at += strcspn(at, " \n");
			at += *at == ' ';
		}
		len = strcspn(at, "\n");
		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		shares_put(all, path_key(at, len), name, v);
	}
}

static void take_sample_file(struct run_parser *p)
{
	if (!strcmp(p->name, "/proc/vmstat"))
		take_sample(p);
	else if (!strcmp(p->name, "/proc/buddyinfo"))
		take_blocks(p);
	else if (!strcmp(p->name, "/proc/mmkit/frames"))
		take_shot(p);
	else if (!strcmp(p->name, "tasks"))
		take_tasks(p);
	else if (!strcmp(p->name, "groups"))
		take_groups(p);
}

static void take_marks(struct run_sample *s, const char *rest)
{
	unsigned long long v[3] = {0};

	sscanf(rest, "%llu %llu %llu", &v[0], &v[1], &v[2]);
	s->min = v[0];
	s->low = v[1];
	s->high = v[2];
}

static void keep(char **slot, struct run_parser *p)
{
	free(*slot);
	*slot = p->data;
	p->data = NULL;
}

static void take_audit(struct run_parser *p)
{
	const char *verdict = strstr(p->data, "verdict: ");

	p->res->leak = !verdict || strncmp(verdict + 9, "clean", 5);
	keep(&p->res->audit, p);
}

static void end_block(struct run_parser *p)
{
	struct run_result *r = p->res;
	bool after = !strcmp(p->when, "after");

	if (!strcmp(p->when, "sample"))
		take_sample_file(p);
	else if (!strcmp(p->when, "dump"))
		run_dump_take(r, p->name, p->data, p->want);
	else if (!strcmp(p->name, "/proc/vmstat"))
		take_vmstat(r, p->data, after);
	else if (!strcmp(p->name, "/proc/meminfo"))
		take_meminfo(r, p->data, after);
	else if (!strcmp(p->name, "/proc/zoneinfo"))
		keep(&r->zoneinfo, p);
	else if (!strcmp(p->name, "/proc/mmkit/audit"))
		take_audit(p);
	else if (!strcmp(p->name, "/proc/mmkit/syscalls"))
		keep(&r->syscalls, p);
	else if (!strcmp(p->name, "/proc/version"))
		snprintf(r->version, sizeof(r->version), "%.*s",
			 (int)strcspn(p->data, "\n"), p->data);
	free(p->data);
	p->data = NULL;
}

static void begin_block(struct run_parser *p, const char *rest)
{
	char name[256], when[16];
	unsigned long long len;

	if (sscanf(rest, "%255s %15s %llu", name, when, &len) != 3 ||
	    len > 1 << 20)
		return;
	memcpy(p->name, name, sizeof(name));
	memcpy(p->when, when, sizeof(when));
	p->data = calloc(1, len + 1);
	if (!p->data)
		run_fail("no memory for what the guest reports");
	p->want = len;
	p->have = 0;
	if (!len)
		end_block(p);
}

/* ---- lines -----------------------------------------------------------------
 */

/* "TEXT ERRNO" for people. */
static void explain(char *out, size_t size, const char *rest)
{
	const char *last = strrchr(rest, ' ');
	int err = last ? atoi(last + 1) : 0;

	if (!last || err <= 0)
		snprintf(out, size, "%s", rest);
	else
		snprintf(out, size, "%.*s: %s", (int)(last - rest), rest,
			 strerror(err));
}

static void take_usage(struct run_result *r, const char *rest)
{
	unsigned long long v[5] = {0};

	sscanf(rest, "%llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
	       &v[4]);
	r->user_us = v[0];
	r->sys_us = v[1];
	r->maxrss_kb = v[2];
	r->minflt = v[3];
	r->majflt = v[4];
}

static void take_traced(struct run_result *r, const char *rest)
{
	char *tail;

	r->traced = strtoull(rest, &tail, 10);
	r->trace_lost = strtoull(tail, NULL, 10);
}

static void take_note(const char *rest)
{
	char text[512];

	explain(text, sizeof(text), rest);
	err_say("note: in the guest: %s", text);
}

static void take_end(struct run_result *r, enum run_end end, const char *rest)
{
	char *tail;

	if (r->end == RUN_END_FAILED)
		return;
	r->end = end;
	r->status = (int)strtol(rest, &tail, 10);
	r->core = end == RUN_END_SIGNAL && atoi(tail);
}

static void take_failure(struct run_result *r, const char *what,
			 const char *rest)
{
	char text[400];

	explain(text, sizeof(text), rest);
	snprintf(r->failure, sizeof(r->failure), "%s%s", what, text);
	r->end = RUN_END_FAILED;
}

static void take_line(struct run_parser *p)
{
	struct run_result *r = p->res;
	char *rest = strchr(p->line, ' ');

	if (rest)
		*rest++ = 0;
	else
		rest = p->line + strlen(p->line);
	/* The firmware may have left a line open. */
	if (!p->hello) {
		size_t len = strlen(p->line);

		p->hello = len >= 5 && !strcmp(p->line + len - 5, "hello") &&
			   !strcmp(rest, "1");
	} else if (!strcmp(p->line, "data"))
		begin_block(p, rest);
	else if (!strcmp(p->line, "ack"))
		r->acked += strtoull(rest, NULL, 10);
	else if (!strcmp(p->line, "note"))
		take_note(rest);
	else if (!strcmp(p->line, "time"))
		p->time_ns = strtoull(rest, NULL, 10);
	else if (!strcmp(p->line, "marks"))
		take_marks(&p->next, rest);
	else if (!strcmp(p->line, "ticks"))
		r->boot_ticks = strtoull(rest, NULL, 10);
	else if (!strcmp(p->line, "begin")) {
		r->began = true;
		r->begin_ns = strtoull(rest, NULL, 10);
	} else if (!strcmp(p->line, "pid"))
		r->pid = atoi(rest);
	else if (!strcmp(p->line, "traced"))
		take_traced(r, rest);
	else if (!strcmp(p->line, "usage"))
		take_usage(r, rest);
	else if (!strcmp(p->line, "ended"))
		r->guest_ns = strtoull(rest, NULL, 10);
	else if (!strcmp(p->line, "exit"))
		take_end(r, RUN_END_EXIT, rest);
	else if (!strcmp(p->line, "signal"))
		take_end(r, RUN_END_SIGNAL, rest);
	else if (!strcmp(p->line, "failed"))
		take_failure(r, "", rest);
	else if (!strcmp(p->line, "cannot-exec"))
		take_failure(r, "cannot start ", rest);
	else if (!strcmp(p->line, "end"))
		r->bye = true;
}

void run_parse(struct run_parser *p, const char *bytes, size_t n)
{
	while (n) {
		if (p->data) {
			size_t part = min(n, p->want - p->have);

			memcpy(p->data + p->have, bytes, part);
			p->have += part;
			bytes += part;
			n -= part;
			if (p->have == p->want)
				end_block(p);
			continue;
		}
		if (*bytes == '\n') {
			p->line[p->len] = 0;
			p->len = 0;
			take_line(p);
		} else if (p->len < sizeof(p->line) - 1) {
			p->line[p->len++] = *bytes;
		}
		bytes++;
		n--;
	}
}

void run_result_free(struct run_result *r)
{
	free(r->audit);
	free(r->syscalls);
	free(r->zoneinfo);
	for (u32 i = 0; i < r->nr_samples; i++)
		free(r->samples[i].vmstat);
	drop_shots(r);
	memset(r, 0, sizeof(*r));
}
