/* SPDX-License-Identifier: MIT */
/* err.c - messages of the mmkit command. */
#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 31

static const char *err_verb;
static struct err_catch *catcher;

void err_set_verb(const char *verb)
{
	err_verb = verb;
}

void err_catch(struct err_catch *c)
{
	catcher = c;
}

/* Does not return if somebody waits for it. */
static void give_to_catcher(const char *fmt, va_list ap)
{
	struct err_catch *c = catcher;

	if (!c)
		return;
	catcher = NULL;
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	longjmp(c->env, 1);
}

static void say(const char *fmt, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "mmkit%s%s: ", err_verb ? " " : "",
		err_verb ? err_verb : "");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void err_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void err_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_to_catcher(fmt, ap);
	say(fmt, ap);
	va_end(ap);
	exit(EXIT_FAILED);
}

void err_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_to_catcher(fmt, ap);
	say(fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try 'mmkit%s%s --help'.\n", err_verb ? " " : "",
		err_verb ? err_verb : "");
	exit(EXIT_USAGE);
}

/* Levenshtein's distance of two words of at most WORD_MAX letters. */
static u32 distance(const char *a, const char *b)
{
	u32 row[WORD_MAX + 1];
	size_t n = strlen(b);

	for (u32 j = 0; j <= n; j++)
		row[j] = j;
	for (u32 i = 1; *a; i++, a++) {
		u32 diag = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			u32 best = diag + (*a != b[j - 1]);

			diag = row[j];
			best = min(best, row[j] + 1);
			row[j] = min(best, row[j - 1] + 1);
		}
	}
	return row[n];
}

const char *err_suggest(const char *word, const char *const *names, size_t nr)
{
	size_t len = strlen(word);
	u32 limit = max((u32)len / 3, 2u), best = limit + 1;
	const char *found = NULL;

	if (!len || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < nr; i++) {
		u32 d;

		if (strlen(names[i]) > WORD_MAX)
			continue;
		d = distance(word, names[i]);
		if (d < best && d < len) {
			best = d;
			found = names[i];
		}
	}
	return found;
}

/* ---- files
 * ------------------------------------------------------------------------- */

char *err_read_text(const char *path, const char *what, size_t *len)
{
	FILE *f = fopen(path, "re");
	char *text;
	int error;

	if (!f)
		err_die("%s: cannot open: %s", path, strerror(errno));
	text = malloc(ERR_TEXT_MAX + 2);
	*len = text ? fread(text, 1, ERR_TEXT_MAX + 1, f) : 0;
	error = !text ? ENOMEM : ferror(f) ? errno : 0;
	fclose(f);
	if (!error && *len <= ERR_TEXT_MAX) {
		text[*len] = '\0';
		return text;
	}
	free(text);
	if (error)
		err_die("%s: cannot read: %s", path, strerror(error));
	err_die("%s: larger than %u bytes: not %s", path, ERR_TEXT_MAX, what);
}
