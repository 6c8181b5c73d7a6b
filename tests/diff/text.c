/* SPDX-License-Identifier: MIT */
/*
 * text.c - sequences as text: a line for each operation.
 *
 *     PROCESS CALL ARGUMENT...        # comment
 *     0 mmap w+0x2000 0x3000 rw private|anon|fixed
 *
 * Addresses are given from w (the window), h (the heap), m (where mmap's
 * search begins) or e (the end of user space), or as numbers. What a name does
 * not say is a number: "private|0x800000". Files are f0 to f7.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "difflib.h"

const char *const diff_call_name[DIFF_NR_CALLS] = {
#define CALL(id, name, nr, args, weight) name,
#include "calls.def"
#undef CALL
};

const char *const diff_call_args[DIFF_NR_CALLS] = {
#define CALL(id, name, nr, args, weight) args,
#include "calls.def"
#undef CALL
};

struct name {
	const char *text;
	uint64_t bits;
};

static const struct name map_names[] = {
	{"shared", 1},	       {"private", 2},		{"fixed", 0x10},
	{"anon", 0x20},	       {"32bit", 0x40},		{"growsdown", 0x100},
	{"denywrite", 0x800},  {"executable", 0x1000},	{"locked", 0x2000},
	{"noreserve", 0x4000}, {"populate", 0x8000},	{"nonblock", 0x10000},
	{"stack", 0x20000},    {"noreplace", 0x100000}, {NULL, 0},
};

static const struct name prot_names[] = {
	{"r", 1},
	{"w", 2},
	{"x", 4},
	{"sem", 8},
	{"growsdown", 1u << 24},
	{"growsup", 1u << 25},
	{NULL, 0},
};

static const struct name mremap_names[] = {
	{"maymove", 1},
	{"fixed", 2},
	{"dontunmap", 4},
	{NULL, 0},
};

static const struct name mlock2_names[] = {{"onfault", 1}, {NULL, 0}};

static const struct name mlockall_names[] = {
	{"current", 1}, {"future", 2}, {"onfault", 4}, {NULL, 0}};

static const struct name msync_names[] = {
	{"async", 1}, {"invalidate", 2}, {"sync", 4}, {NULL, 0}};

static const struct name falloc_names[] = {
	{"keep_size", 1}, {"punch_hole", 2}, {NULL, 0}};

static const struct name seal_names[] = {
	{"seal", 1},  {"shrink", 2},	    {"grow", 4}, {"write", 8},
	{"exec", 32}, {"future_write", 16}, {NULL, 0},
};

static const struct name memfd_names[] = {
	{"cloexec", 1},	    {"allow_sealing", 2}, {"hugetlb", 4},
	{"noexec_seal", 8}, {"exec", 16},	  {NULL, 0},
};

static const struct name policy_names[] = {
	{"default", 0},	 {"preferred", 1},
	{"bind", 2},	 {"interleave", 3},
	{"local", 4},	 {"preferred_many", 5},
	{"weighted", 6}, {"bind_static", 0x8002},
	{NULL, 0},
};

static const struct name mbind_names[] = {
	{"strict", 1}, {"move", 2}, {"move_all", 4}, {NULL, 0}};

static const struct name getpol_names[] = {
	{"node", 1}, {"addr", 2}, {"mems_allowed", 4}, {NULL, 0}};

/* Names of values rather than of bits. */
static const struct name fadvise_names[] = {
	{"normal", 0},	 {"random", 1},	 {"sequential", 2}, {"willneed", 3},
	{"dontneed", 4}, {"noreuse", 5}, {NULL, 0},
};

static const struct name file_names[] = {
	{"f0", DIFF_FD0},     {"f1", DIFF_FD0 + 1}, {"f2", DIFF_FD0 + 2},
	{"f3", DIFF_FD0 + 3}, {"f4", DIFF_FD0 + 4}, {"f5", DIFF_FD0 + 5},
	{"f6", DIFF_FD0 + 6}, {"f7", DIFF_FD0 + 7}, {NULL, 0},
};

static const struct name advice_names[] = {
	{"normal", 0},		 {"random", 1},		{"sequential", 2},
	{"willneed", 3},	 {"dontneed", 4},	{"free", 8},
	{"remove", 9},		 {"dontfork", 10},	{"dofork", 11},
	{"mergeable", 12},	 {"unmergeable", 13},	{"hugepage", 14},
	{"nohugepage", 15},	 {"dontdump", 16},	{"dodump", 17},
	{"wipeonfork", 18},	 {"keeponfork", 19},	{"cold", 20},
	{"pageout", 21},	 {"populate_read", 22}, {"populate_write", 23},
	{"dontneed_locked", 24}, {"collapse", 25},	{NULL, 0},
};

static const struct name limit_names[] = {
	{"data", 2}, {"stack", 3}, {"memlock", 8}, {"as", 9}, {NULL, 0},
};

static const struct name bases[] = {
	{"w", DIFF_WINDOW},    {"h", DIFF_HEAP}, {"m", DIFF_MMAP_BASE},
	{"e", DIFF_TASK_SIZE}, {NULL, 0},
};

/* Bits or values of this kind of argument have names; else NULL. */
static const struct name *names_of(char kind, bool *values)
{
	*values = kind == 'v' || kind == 'L' || kind == 'F' || kind == 'A' ||
		  kind == 'P';
	switch (kind) {
	case 'm':
		return map_names;
	case 'p':
		return prot_names;
	case 'r':
		return mremap_names;
	case 'k':
		return mlock2_names;
	case 'K':
		return mlockall_names;
	case 's':
		return msync_names;
	case 'v':
		return advice_names;
	case 'L':
		return limit_names;
	case 'P':
		return policy_names;
	case 'B':
		return mbind_names;
	case 'g':
		return getpol_names;
	case 'F':
		return file_names;
	case 'f':
		return falloc_names;
	case 'A':
		return fadvise_names;
	case 'S':
		return seal_names;
	case 'M':
		return memfd_names;
	default:
		return NULL;
	}
}

static bool is_address(char kind)
{
	return kind == 'a' || kind == 't' || kind == 'b';
}

/* ---- printing
 * ------------------------------------------------------------------ */

struct writer {
	char *at, *end;
};

static void __attribute__((format(printf, 2, 3)))
put(struct writer *w, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(w->at, (size_t)(w->end - w->at), format, ap);
	va_end(ap);
	if (n > 0)
		w->at += n < w->end - w->at ? n : w->end - w->at - 1;
}

static void put_address(struct writer *w, uint64_t v)
{
	for (const struct name *b = bases; b->text; b++) {
		int64_t off = (int64_t)(v - b->bits);

		if (off > -(1l << 30) && off < 1l << 30) {
			if (off)
				put(w, "%s%c0x%llx", b->text,
				    off < 0 ? '-' : '+',
				    (unsigned long long)(off < 0 ? -off : off));
			else
				put(w, "%s", b->text);
			return;
		}
	}
	put(w, "0x%llx", (unsigned long long)v);
}

static void put_bits(struct writer *w, const struct name *n, uint64_t v)
{
	const char *sep = "";

	for (; n->text; n++) {
		if (!(v & n->bits))
			continue;
		put(w, "%s%s", sep, n->text);
		sep = "|";
		v &= ~n->bits;
	}
	if (v || !*sep)
		put(w, "%s0x%llx", sep, (unsigned long long)v);
}

static void put_value(struct writer *w, const struct name *n, uint64_t v)
{
	for (; n->text; n++) {
		if (n->bits == v) {
			put(w, "%s", n->text);
			return;
		}
	}
	put(w, "0x%llx", (unsigned long long)v);
}

void op_print(const struct diff_op *op, char *line, size_t max)
{
	const char *kinds = diff_call_args[op->call];
	struct writer w = {line, line + max};

	put(&w, "%u %s", op->proc, diff_call_name[op->call]);
	for (unsigned i = 0; kinds[i]; i++) {
		bool values;
		const struct name *n = names_of(kinds[i], &values);

		put(&w, " ");
		if (is_address(kinds[i]))
			put_address(&w, op->arg[i]);
		else if (!n)
			put(&w, "0x%llx", (unsigned long long)op->arg[i]);
		else if (values)
			put_value(&w, n, op->arg[i]);
		else
			put_bits(&w, n, op->arg[i]);
	}
}

void seq_print(FILE *out, const struct seq *s)
{
	char line[256];

	for (uint32_t i = 0; i < s->nr; i++) {
		op_print(&s->op[i], line, sizeof(line));
		fprintf(out, "%s\n", line);
	}
}

/* ---- reading
 * ------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t *v)
{
	char *end;

	errno = 0;
	*v = strtoull(text, &end, 0);
	return end != text && !*end && !errno && *text != '-';
}

static bool read_address(const char *text, uint64_t *v)
{
	for (const struct name *b = bases; b->text; b++) {
		uint64_t off = 0;

		if (text[0] != b->text[0])
			continue;
		if (text[1] && !((text[1] == '+' || text[1] == '-') &&
				 read_number(text + 2, &off)))
			return false;
		*v = text[1] == '-' ? b->bits - off : b->bits + off;
		return true;
	}
	return read_number(text, v);
}

static bool read_names(char *text, const struct name *names, uint64_t *v)
{
	char *save = NULL;

	*v = 0;
	for (char *t = strtok_r(text, "|", &save); t;
	     t = strtok_r(NULL, "|", &save)) {
		const struct name *n = names;
		uint64_t bits;

		while (n->text && strcmp(n->text, t) != 0)
			n++;
		if (n->text)
			*v |= n->bits;
		else if (read_number(t, &bits))
			*v |= bits;
		else
			return false;
	}
	return true;
}

static bool read_arg(char kind, char *text, uint64_t *v)
{
	bool values;
	const struct name *n = names_of(kind, &values);

	if (is_address(kind))
		return read_address(text, v);
	return n ? read_names(text, n, v) : read_number(text, v);
}

/* What a call gets that the text does not say. */
static void fill_rest(struct diff_op *op)
{
	if (op->call == OP_MMAP)
		op->arg[4] = ~0ull; /* no file */
}

static bool read_op(char *line, struct diff_op *op)
{
	char *save = NULL, *text = strtok_r(line, " \t", &save);
	uint64_t proc;
	const char *kinds;

	memset(op, 0, sizeof(*op));
	if (!read_number(text, &proc) || proc >= DIFF_MAX_PROCS)
		return false;
	op->proc = (uint16_t)proc;
	text = strtok_r(NULL, " \t", &save);
	if (!text)
		return false;
	while (op->call < DIFF_NR_CALLS &&
	       strcmp(diff_call_name[op->call], text) != 0)
		op->call++;
	if (op->call == DIFF_NR_CALLS)
		return false;
	kinds = diff_call_args[op->call];
	for (unsigned i = 0; kinds[i]; i++) {
		text = strtok_r(NULL, " \t", &save);
		if (!text || !read_arg(kinds[i], text, &op->arg[i]))
			return false;
	}
	fill_rest(op);
	return strtok_r(NULL, " \t", &save) == NULL;
}

bool seq_read(FILE *in, struct seq *s, char *why)
{
	char line[512];
	unsigned number = 0;

	s->nr = 0;
	while (fgets(line, sizeof(line), in)) {
		number++;
		line[strcspn(line, "#\n")] = 0;
		if (line[strspn(line, " \t")] == 0)
			continue;
		if (s->nr == DIFF_MAX_OPS) {
			snprintf(why, 128, "more than %u operations",
				 DIFF_MAX_OPS);
			return false;
		}
		if (!read_op(line, &s->op[s->nr])) {
			snprintf(why, 128, "line %u is no operation", number);
			return false;
		}
		if (!op_safe(&s->op[s->nr])) {
			snprintf(why, 128,
				 "line %u reaches what must not be touched",
				 number);
			return false;
		}
		s->nr++;
	}
	return true;
}

bool seq_load(const char *path, struct seq *s, char *why)
{
	FILE *in = fopen(path, "r");
	bool ok;

	if (!in) {
		snprintf(why, 128, "%s", strerror(errno));
		return false;
	}
	ok = seq_read(in, s, why);
	fclose(in);
	return ok;
}
