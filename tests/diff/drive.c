/* SPDX-License-Identifier: MIT */
/*
 * drive.c - a sequence on both sides, and the smallest one that still fails.
 *
 * Shrinking takes out runs of operations, half of the sequence first, then
 * smaller ones, as long as what is left still fails (A. Zeller and R.
 * Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
 */
#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "difflib.h"

enum verdict seq_try(const struct seq *s, uint32_t *compared, char *why,
		     size_t max)
{
	struct outcome host, sim;
	int at;

	why[0] = 0;
	*compared = 0;
	if (!linux_run(s, &host)) {
		snprintf(why, max,
			 "the executor died of it: operation %u, status 0x%x\n",
			 linux_host()->death_at, linux_host()->death);
		if (!linux_restart())
			snprintf(why, max, "the executor does not start\n");
		return HOST_DIED;
	}
	sim_perform(s, &sim);
	at = compare(s, &host, &sim, why, max);
	*compared = at < 0 ? sim.nr : (uint32_t)at;
	return at < 0 ? SAME : DIFFERENT;
}

#define KIND_MAX 256

/* Which failure is being reduced; empty: any. */
static char wanted[KIND_MAX];

/* The first line of what a process said as it died, without its numbers. */
static void death_kind(int fd, char *kind)
{
	ssize_t n = pread(fd, kind, KIND_MAX - 1, 0);
	char *to = kind;

	kind[n > 0 ? n : 0] = 0;
	kind[strcspn(kind, "\n")] = 0;
	for (const char *p = kind; *p; p++)
		if (!isxdigit((unsigned char)*p))
			*to++ = *p;
	*to = 0;
}

/* Sim, in a process of its own: the kind of failure into KIND, shared. */
static _Noreturn void perform_here(const struct seq *s,
				   const struct outcome *host, int fd,
				   char *kind)
{
	static char why[1 << 16];
	struct outcome sim;
	int at;

	/* Nothing of the parent's is to be cleared up. */
	signal(SIGABRT, SIG_DFL);
	if (dup2(fd, STDERR_FILENO) < 0)
		_exit(0);
	sim_perform(s, &sim);
	at = compare(s, host, &sim, why, sizeof(why));
	if (at >= 0)
		compare_kind(s, (uint32_t)at, host, &sim, kind, KIND_MAX);
	_exit(0);
}

/* How does S fail? Linux here, sim in a process that may come to harm. KIND
 * is empty if it does not. */
static void failure_kind(const struct seq *s, char *kind)
{
	char *shared = mmap(NULL, DIFF_PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("said", MFD_CLOEXEC), status = 0;
	struct outcome host;
	pid_t pid;

	kind[0] = 0;
	if (shared == MAP_FAILED || fd < 0)
		abort();
	if (!linux_run(s, &host)) {
		linux_restart();
	} else {
		fflush(NULL);
		pid = fork();
		if (pid == 0)
			perform_here(s, &host, fd, shared);
		if (pid > 0 && waitpid(pid, &status, 0) == pid && status)
			death_kind(fd, shared);
		memcpy(kind, shared, KIND_MAX);
	}
	close(fd);
	munmap(shared, DIFF_PAGE);
}

/* Does S fail in the way that is looked for? */
static bool still_fails(const struct seq *s)
{
	char kind[KIND_MAX];

	failure_kind(s, kind);
	return kind[0] && strcmp(kind, wanted) == 0;
}

/* Snapshots after each operation: what shows a difference first? */
static void add_snapshots(struct seq *to, const struct seq *from)
{
	to->nr = 0;
	for (uint32_t i = 0; i < from->nr; i++) {
		const struct diff_op *op = &from->op[i];

		if (to->nr + 2 >= DIFF_MAX_OPS)
			return;
		to->op[to->nr++] = *op;
		if (op->call != OP_EXIT)
			to->op[to->nr++] = (struct diff_op){.call = OP_MAPS,
							    .proc = op->proc};
	}
}

/* S without operations FROM to TO, if that still fails. */
static bool try_without(struct seq *s, uint32_t from, uint32_t to)
{
	static struct seq less;

	less.nr = 0;
	for (uint32_t i = 0; i < s->nr; i++)
		if (i < from || i >= to)
			less.op[less.nr++] = s->op[i];
	seq_mend(&less);
	if (!less.nr || !still_fails(&less))
		return false;
	*s = less;
	return true;
}

static bool pass(struct seq *s, uint32_t chunk)
{
	bool any = false;

	/* From the end: what comes late depends on what came before. */
	for (uint32_t end = s->nr; end > 0;) {
		uint32_t from = end > chunk ? end - chunk : 0;

		if (try_without(s, from, end)) {
			any = true;
			end = from < s->nr ? from : s->nr;
		} else {
			end = from;
		}
	}
	return any;
}

/* Try a simpler value in argument K of operation I. */
static void simplify_arg(struct seq *s, uint32_t i, unsigned k)
{
	static struct seq less;
	static const uint64_t lengths[] = {DIFF_PAGE, 2 * DIFF_PAGE};
	char kind = diff_call_args[s->op[i].call][k];

	for (unsigned t = 0; t < 2; t++) {
		less = *s;
		if (kind == 'l')
			less.op[i].arg[k] = lengths[t];
		else if (kind == 'm')
			less.op[i].arg[k] = t ? 0x22 : 0x32;
		else if (kind == 'w')
			less.op[i].arg[k] = 1;
		else if (kind == 't')
			less.op[i].arg[k] &= ~(DIFF_PAGE - 1);
		else
			return;
		if (less.op[i].arg[k] == s->op[i].arg[k])
			return;
		seq_mend(&less);
		if (less.nr == s->nr && still_fails(&less)) {
			*s = less;
			return;
		}
	}
}

void seq_shrink(struct seq *s)
{
	static struct seq more;
	char kind[KIND_MAX];
	bool again = true;

	failure_kind(s, wanted);
	if (!wanted[0])
		return;
	/* A difference may show earlier, in another way; a panic is a panic. */
	add_snapshots(&more, s);
	failure_kind(&more, kind);
	if (strncmp(kind, "snapshot", 8) == 0 &&
	    strncmp(wanted, "Kernel", 6) != 0)
		memcpy(wanted, kind, KIND_MAX);
	if (strcmp(kind, wanted) == 0)
		*s = more;
	for (uint32_t chunk = s->nr / 2; chunk > 0; chunk /= 2)
		pass(s, chunk);
	for (int round = 0; again && round < 8; round++) {
		again = pass(s, 2);
		again |= pass(s, 1);
	}
	for (uint32_t i = 0; i < s->nr; i++)
		for (unsigned k = 0; diff_call_args[s->op[i].call][k]; k++)
			simplify_arg(s, i, k);
}
