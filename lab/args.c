/* SPDX-License-Identifier: MIT */
/* args.c - sizes, counts, lists and options. */
#include "args.h"

#include "err.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(struct args_error *e, const char *fmt, ...) MM_PRINTF(2, 3);

static bool refuse(struct args_error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return false;
}

/* Digits at *S in BASE; *S is moved behind them. */
static bool digits(const char **s, int base, u64 *out, struct args_error *e)
{
	char *end;
	u64 v;

	if (base == 16 ? !isxdigit((u8) * *s) : !isdigit((u8) * *s))
		return refuse(e, "'%.64s' does not begin with a digit", *s);
	errno = 0;
	v = strtoull(*s, &end, base);
	if (errno)
		return refuse(e, "'%.64s' is too large (64 bits)", *s);
	*s = end;
	*out = v;
	return true;
}

/* The power of two that the unit at *S stands for, or -1. */
static int unit_shift(const char **s)
{
	static const char units[] = "KMGTPE";
	const char *u;

	if (!**s)
		return 0;
	u = strchr(units, toupper((u8) * *s));
	if (!u)
		return -1;
	++*s;
	if ((*s)[0] == 'i' && (*s)[1] == 'B')
		*s += 2;
	else if ((*s)[0] == 'B')
		++*s;
	return (int)(u - units + 1) * 10;
}

bool args_size(const char *s, u64 *out, struct args_error *e)
{
	const char *p = s;
	u64 v = 0;
	int shift;

	if (!*s)
		return refuse(e, "a size is missing");
	if (!digits(&p, 10, &v, e))
		return false;
	shift = unit_shift(&p);
	if (shift < 0 || *p)
		return refuse(
			e, "'%.64s' is no size: use bytes or K, M, G, T, P, E",
			s);
	if (v > UINT64_MAX >> shift)
		return refuse(e, "'%.64s' is too large (64 bits)", s);
	*out = v << shift;
	return true;
}

bool args_size_list(const char *s, struct args_list *out, struct args_error *e)
{
	struct args_list list = {0};

	for (;;) {
		char item[64];
		size_t n = strcspn(s, ",");

		if (n >= sizeof(item))
			return refuse(e, "'%.64s' is no size", s);
		if (list.nr == ARGS_LIST_MAX)
			return refuse(e, "more than %d sizes", ARGS_LIST_MAX);
		memcpy(item, s, n);
		item[n] = 0;
		if (!args_size(item, &list.v[list.nr], e))
			return false;
		list.nr++;
		if (!s[n])
			break;
		s += n + 1;
	}
	*out = list;
	return true;
}

bool args_count(const char *s, u64 lo, u64 hi, u64 *out, struct args_error *e)
{
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	const char *p = hex ? s + 2 : s;
	u64 v = 0;

	if (!*s)
		return refuse(e, "a number is missing");
	if (!digits(&p, hex ? 16 : 10, &v, e))
		return false;
	if (*p)
		return refuse(e, "'%.64s' is no number", s);
	if (v < lo || v > hi)
		return refuse(e, "%llu is not in the range %llu to %llu",
			      (unsigned long long)v, (unsigned long long)lo,
			      (unsigned long long)hi);
	*out = v;
	return true;
}

bool args_pair(const char *s, struct args_pair *out, struct args_error *e)
{
	const char *eq = strchr(s, '=');

	if (!eq || eq == s || !eq[1])
		return refuse(e, "'%.64s' is not of the form name=value", s);
	if ((size_t)(eq - s) >= sizeof(out->key) ||
	    strlen(eq + 1) >= sizeof(out->value))
		return refuse(e, "'%.64s...' is too long", s);
	memcpy(out->key, s, (size_t)(eq - s));
	out->key[eq - s] = 0;
	memcpy(out->value, eq + 1, strlen(eq + 1) + 1);
	return true;
}

/* ---- options
 * ------------------------------------------------------------------ */

#define NAMES_MAX 64

/* Add the long names of ARGP and of the parsers that it includes. */
static size_t add_names(const struct argp *argp, const char **names, size_t nr)
{
	for (const struct argp_option *o = argp->options;
	     o && (o->name || o->key || o->doc); o++)
		if (o->name && nr < NAMES_MAX)
			names[nr++] = o->name;
	for (const struct argp_child *c = argp->children; c && c->argp; c++)
		nr = add_names(c->argp, names, nr);
	return nr;
}

/* All long names, with argp's own. */
static size_t long_names(const struct argp *argp, const char **names)
{
	names[0] = "help";
	names[1] = "usage";
	return add_names(argp, names, 2);
}

/* OPT, without its dashes and value, must be or begin a name. */
static void check_long(const char *opt, const char *const *names, size_t nr)
{
	size_t len = strcspn(opt, "=");
	char word[64];
	const char *near;

	for (size_t i = 0; i < nr; i++)
		if (!strncmp(opt, names[i], len))
			return;
	snprintf(word, sizeof(word), "%.*s", (int)len, opt);
	near = err_suggest(word, names, nr);
	if (near)
		err_usage("unknown option --%s: did you mean --%s?", word,
			  near);
	err_usage("unknown option --%s", word);
}

/* Is the argument behind ARG the value of the option ARG? */
static bool takes_next(const struct argp *argp, const char *arg)
{
	const struct argp_option *o = argp->options;

	for (; o && (o->name || o->key || o->doc); o++) {
		if (!o->arg || (o->flags & OPTION_ARG_OPTIONAL))
			continue;
		if (arg[1] != '-' && arg[1] == o->key && !arg[2])
			return true;
		if (arg[1] == '-' && o->name && !strcmp(arg + 2, o->name))
			return true;
	}
	for (const struct argp_child *c = argp->children; c && c->argp; c++)
		if (takes_next(c->argp, arg))
			return true;
	return false;
}

static FILE *table_out; /* or NULL: options are for parsing */

void args_show_table(FILE *f)
{
	table_out = f;
}

static void show_option(const struct argp_option *o)
{
	fprintf(table_out, "%s\t", o->name);
	if (o->key > ' ' && o->key < 127)
		fputc(o->key, table_out);
	fprintf(table_out, "\t%s\t%d\t%s\n", o->arg ? o->arg : "",
		(o->flags & OPTION_ARG_OPTIONAL) != 0, o->doc ? o->doc : "");
}

static void show_options(const struct argp *argp)
{
	for (const struct argp_option *o = argp->options;
	     o && (o->name || o->key || o->doc); o++)
		if (o->name && !(o->flags & OPTION_HIDDEN))
			show_option(o);
	for (const struct argp_child *c = argp->children; c && c->argp; c++)
		show_options(c->argp);
}

_Noreturn static void show_table(const struct argp *argp)
{
	const char *s = argp->args_doc;

	show_options(argp);
	while (s && *s) {
		size_t len = strcspn(s, "\n");

		fprintf(table_out, "\t%.*s\n", (int)len, s);
		s += len + (s[len] == '\n');
	}
	exit(fclose(table_out) ? EXIT_FAILED : EXIT_SUCCESS);
}

void args_run(const struct argp *argp, int argc, char **argv, unsigned flags,
	      void *input)
{
	const char *names[NAMES_MAX];
	size_t nr = long_names(argp, names);
	char title[64];
	char *verb = argv[0];

	if (table_out)
		show_table(argp);
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (argv[i][0] != '-') {
			if (flags & ARGP_IN_ORDER)
				break;
			continue;
		}
		if (argv[i][1] == '-')
			check_long(argv[i] + 2, names, nr);
		i += takes_next(argp, argv[i]);
	}
	snprintf(title, sizeof(title), "mmkit %s", verb);
	argv[0] = title;
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(argp, argc, argv, flags, NULL, input))
		exit(EXIT_USAGE);
	argv[0] = verb;
}

void args_size_text(char buf[24], u64 bytes)
{
	static const char unit[] = "BKMGTP";
	u32 u = 0;

	while (bytes >= 1024 && bytes % 1024 == 0 && u < 5) {
		bytes /= 1024;
		u++;
	}
	if (u)
		snprintf(buf, 24, "%llu%c", (unsigned long long)bytes, unit[u]);
	else
		snprintf(buf, 24, "%llu", (unsigned long long)bytes);
}
