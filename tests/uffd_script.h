/* SPDX-License-Identifier: MIT */
/*
 * uffd_script.h - small programs around a userfaultfd, as text, for two sides:
 * the running kernel and the simulated machine. tests/data/uffd/cases.txt has
 * them with what Linux 6.18 answered:
 *
 *	case NAME
 *	COMMAND ...
 *	= ANSWER
 *
 * A place is a page of the region at US_BASE ("3", "3+8" with bytes) or "@HEX";
 * a length is pages or "@HEX". All other numbers are hexadecimal.
 *
 *	map PLACE LEN KIND PROT	  KIND: anon, shared, file, private (of the
 *file) munmap, mprotect, madvise, mremap PLACE LEN LEN FLAGS PLACE open FLAGS;
 *api FEATURES; close reg PLACE LEN MODE; unreg PLACE LEN; wake PLACE LEN copy
 *PLACE PLACE LEN MODE; move the same; zero, cont, poison PLACE LEN MODE; wp
 *PLACE LEN MODE ioctl CMD PLACE		  with any argument r PLACE; w
 *PLACE BYTE	  touch, what is read or the signal
 *	kr PLACE		  the kernel reads it for us
 *	bg COMMAND		  in a second thread; join: its answer
 *	msg; poll		  read a message, waiting; look for one
 *	pm PLACE		  of /proc/PID/pagemap: present, watched
 *	vmas			  the region's mappings with VmFlags um, uw, ui
 *	fw PAGE BYTE; punch PAGE LEN; trunc PAGES	the file
 *
 * Before each case pages 64 to 71 are mapped, each filled with its number, page
 * 72 is for arguments, and the file has 32 pages.
 */
#ifndef TESTS_UFFD_SCRIPT_H
#define TESTS_UFFD_SCRIPT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/userfaultfd.h>

/* Above the shadow that AddressSanitizer keeps. */
#define US_BASE	 0x200000000000UL
#define US_SRC	 64
#define US_ARG	 72
#define US_PAGES 73
#define US_WORDS 8

struct us_cmd {
	char name[16];
	u64 a[6];
	char word[2][16]; /* of map */
};

struct us_out {
	char text[1 << 17];
	size_t len;
};

#define US_PUT(o, ...)                                                        \
	((o)->len +=                                                          \
	 (size_t)snprintf((o)->text + (o)->len, sizeof((o)->text) - (o)->len, \
			  __VA_ARGS__))

/* What a side must be able to do. Answers are results or -errno. */
struct us_side {
	void (*begin)(void);
	s64 (*call)(const struct us_cmd *c); /* what has a plain answer */
	/* An ioctl with N words of argument, which are changed. */
	s64 (*ioctl)(u32 cmd, u64 *words, int n);
	/* Touch: the byte, or SIGNAL << 16 | CODE << 8. */
	s64 (*touch)(u64 at, int store);
	void (*background)(const struct us_cmd *c);
	int (*join)(s64 *ret); /* 0: it does not end */
	s64 (*msg)(struct uffd_msg *m, int wait);
	u64 (*pagemap)(u64 at); /* the word */
	void (*vmas)(struct us_out *o);
	void (*end)(void);
};

static inline u64 us_place(const char *t)
{
	char *end;
	u64 page, bytes = 0;

	if (*t == '@')
		return strtoull(t + 1, NULL, 16);
	page = strtoull(t, &end, 10);
	if (*end == '+')
		bytes = strtoull(end + 1, NULL, 10);
	return US_BASE + page * 4096 + bytes;
}

static inline u64 us_len(const char *t)
{
	return *t == '@' ? strtoull(t + 1, NULL, 16)
			 : strtoull(t, NULL, 10) * 4096;
}

/* Arguments by name: p place, l length, x number, s word. */
static const char *const us_known[][2] = {
	{"map", "plss"},    {"munmap", "pl"},	 {"mprotect", "plx"},
	{"madvise", "plx"}, {"mremap", "pllxp"}, {"open", "x"},
	{"api", "x"},	    {"close", ""},	 {"reg", "plx"},
	{"unreg", "pl"},    {"wake", "pl"},	 {"copy", "pplx"},
	{"move", "pplx"},   {"zero", "plx"},	 {"cont", "plx"},
	{"poison", "plx"},  {"wp", "plx"},	 {"ioctl", "xp"},
	{"r", "p"},	    {"w", "px"},	 {"kr", "p"},
	{"join", ""},	    {"msg", ""},	 {"poll", ""},
	{"pm", "p"},	    {"vmas", ""},	 {"fw", "xx"},
	{"punch", "xl"},    {"trunc", "x"},
};

static inline const char *us_args(const char *name)
{
	for (size_t i = 0; i < sizeof(us_known) / sizeof(us_known[0]); i++)
		if (!strcmp(us_known[i][0], name))
			return us_known[i][1];
	fprintf(stderr, "uffd script: no command \"%s\"\n", name);
	abort();
}

static inline void us_parse(char *line, struct us_cmd *c)
{
	char *save, *t = strtok_r(line, " ", &save);
	const char *kinds;
	int words = 0;

	memset(c, 0, sizeof(*c));
	snprintf(c->name, sizeof(c->name), "%s", t);
	kinds = us_args(c->name);
	for (int i = 0; kinds[i]; i++) {
		t = strtok_r(NULL, " ", &save);
		if (!t)
			abort();
		if (kinds[i] == 'p')
			c->a[i] = us_place(t);
		else if (kinds[i] == 'l')
			c->a[i] = us_len(t);
		else if (kinds[i] == 's')
			snprintf(c->word[words++], 16, "%s", t);
		else
			c->a[i] = strtoull(t, NULL, 16);
	}
}

/* ---- answers ---------------------------------------------------------------
 */

static inline void us_put_place(struct us_out *o, u64 at)
{
	u64 off = at - US_BASE;

	if (off >= 4096 * 4096UL)
		US_PUT(o, "@%llx", (unsigned long long)at);
	else if (off % 4096)
		US_PUT(o, "%llu+%llu", (unsigned long long)(off / 4096),
		       (unsigned long long)(off % 4096));
	else
		US_PUT(o, "%llu", (unsigned long long)(off / 4096));
}

/* A result that may be an address of the region. */
static inline void us_put_ret(struct us_out *o, s64 ret)
{
	if (ret >= (s64)US_BASE && ret < (s64)(US_BASE + 4096 * 4096UL))
		us_put_place(o, (u64)ret);
	else
		US_PUT(o, "%lld", (long long)ret);
}

static inline void us_put_msg(struct us_out *o, const struct uffd_msg *m)
{
	switch (m->event) {
	case UFFD_EVENT_PAGEFAULT:
		US_PUT(o, "fault ");
		us_put_place(o, m->arg.pagefault.address);
		US_PUT(o, " flags %llx%s",
		       (unsigned long long)m->arg.pagefault.flags,
		       m->arg.pagefault.feat.ptid ? " thread" : "");
		break;
	case UFFD_EVENT_REMAP:
		US_PUT(o, "remap ");
		us_put_place(o, m->arg.remap.from);
		US_PUT(o, " ");
		us_put_place(o, m->arg.remap.to);
		US_PUT(o, " %llx", (unsigned long long)m->arg.remap.len);
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		US_PUT(o, m->event == UFFD_EVENT_UNMAP ? "unmap " : "remove ");
		us_put_place(o, m->arg.remove.start);
		US_PUT(o, " ");
		us_put_place(o, m->arg.remove.end);
		break;
	default:
		US_PUT(o, "event %x", m->event);
	}
}

/* ---- running ---------------------------------------------------------------
 */

struct us_ioctl {
	const char *name;
	u32 cmd;
	int words;   /* of the structure */
	int out;     /* the first that is told; words: none */
	int from[4]; /* word i is argument from[i]; -1: 0 */
};

static const struct us_ioctl us_ioctls[] = {
	{"reg", UFFDIO_REGISTER, 4, 3, {0, 1, 2, -1}},
	{"unreg", UFFDIO_UNREGISTER, 2, 2, {0, 1}},
	{"wake", UFFDIO_WAKE, 2, 2, {0, 1}},
	{"copy", UFFDIO_COPY, 5, 4, {0, 1, 2, 3}},
	{"move", UFFDIO_MOVE, 5, 4, {0, 1, 2, 3}},
	{"zero", UFFDIO_ZEROPAGE, 4, 3, {0, 1, 2, -1}},
	{"cont", UFFDIO_CONTINUE, 4, 3, {0, 1, 2, -1}},
	{"poison", UFFDIO_POISON, 4, 3, {0, 1, 2, -1}},
	{"wp", UFFDIO_WRITEPROTECT, 3, 3, {0, 1, 2, -1}},
};

static inline int us_run_ioctl(const struct us_side *side,
			       const struct us_cmd *c, struct us_out *o)
{
	u64 w[US_WORDS] = {0};

	for (size_t i = 0; i < sizeof(us_ioctls) / sizeof(us_ioctls[0]); i++) {
		const struct us_ioctl *k = &us_ioctls[i];

		if (strcmp(k->name, c->name))
			continue;
		for (int n = 0; n < 4 && n < k->words; n++)
			w[n] = k->from[n] < 0 ? 0 : c->a[k->from[n]];
		US_PUT(o, "%lld", (long long)side->ioctl(k->cmd, w, k->words));
		for (int n = k->out; n < k->words; n++)
			US_PUT(o, " %lld", (long long)w[n]);
		return 1;
	}
	return 0;
}

static inline void us_run_api(const struct us_side *side,
			      const struct us_cmd *c, struct us_out *o)
{
	u64 w[US_WORDS] = {UFFD_API, c->a[0], 0};
	/* What needs hugetlbfs is not compared. */
	u64 huge =
		UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MINOR_HUGETLBFS;

	US_PUT(o, "%lld", (long long)side->ioctl(UFFDIO_API, w, 3));
	US_PUT(o, " %llx %llx", (unsigned long long)(w[1] & ~huge),
	       (unsigned long long)w[2]);
}

static inline void us_put_touch(struct us_out *o, s64 v)
{
	if (v >> 16)
		US_PUT(o, "signal %lld code %lld", (long long)(v >> 16),
		       (long long)(v >> 8 & 0xff));
	else
		US_PUT(o, "%lld", (long long)v);
}

static inline void us_run_look(const struct us_side *side,
			       const struct us_cmd *c, struct us_out *o)
{
	struct uffd_msg m;
	s64 ret;

	if (!strcmp(c->name, "pm")) {
		u64 w = side->pagemap(c->a[0]);

		US_PUT(o, "present %d watched %d", (int)(w >> 63),
		       (int)(w >> 57 & 1));
	} else if (!strcmp(c->name, "vmas")) {
		side->vmas(o);
	} else if (!strcmp(c->name, "join")) {
		if (!side->join(&ret))
			US_PUT(o, "does not end");
		else if (ret >> 16 && ret > 0 && ret < (s64)US_BASE)
			us_put_touch(o, ret);
		else
			us_put_ret(o, ret);
	} else {
		ret = side->msg(&m, c->name[0] == 'm');
		if (ret == (s64)sizeof(m))
			us_put_msg(o, &m);
		else
			US_PUT(o, "%lld", (long long)ret);
	}
}

static inline void us_run(const struct us_side *side, const struct us_cmd *c,
			  struct us_out *o)
{
	if (us_run_ioctl(side, c, o))
		return;
	if (!strcmp(c->name, "api"))
		us_run_api(side, c, o);
	else if (!strcmp(c->name, "r") || !strcmp(c->name, "w"))
		us_put_touch(o, side->touch(c->a[0], c->name[0] == 'w'
							     ? (int)c->a[1]
							     : -1));
	else if (strstr(" pm vmas join msg poll ", c->name))
		us_run_look(side, c, o);
	else
		us_put_ret(o, side->call(c));
}

/* One line of a script: the answer follows it in O. */
static inline void us_line(const struct us_side *side, const char *line,
			   struct us_out *o)
{
	char copy[128];
	struct us_cmd c;

	US_PUT(o, "%s\n= ", line);
	if (!strncmp(line, "bg ", 3)) {
		snprintf(copy, sizeof(copy), "%s", line + 3);
		us_parse(copy, &c);
		side->background(&c);
		US_PUT(o, "begun");
	} else {
		snprintf(copy, sizeof(copy), "%s", line);
		us_parse(copy, &c);
		us_run(side, &c, o);
	}
	US_PUT(o, "\n");
}

/* The case that begins at *TEXT, with its answers, in O; *TEXT is the next
 * one then. False: no more. */
static inline int us_case(const struct us_side *side, const char **text,
			  struct us_out *o)
{
	const char *p = *text;
	int cases = 0;

	o->len = 0;
	while (*p) {
		size_t n = strcspn(p, "\n");
		char line[128];

		snprintf(line, sizeof(line), "%.*s", (int)n, p);
		if (!strncmp(line, "case ", 5) && cases++)
			break;
		p += n + (p[n] == '\n');
		if (!strncmp(line, "case ", 5)) {
			US_PUT(o, "%s\n", line);
			if (side)
				side->begin();
		} else if (!side) {
			US_PUT(o, "%s\n", line);
		} else if (cases && line[0] && line[0] != '=' &&
			   line[0] != '#') {
			us_line(side, line, o);
		} else if (line[0] != '=') {
			US_PUT(o, "%s\n", line);
		}
	}
	if (cases && side)
		side->end();
	*text = p;
	return cases != 0;
}

#endif
