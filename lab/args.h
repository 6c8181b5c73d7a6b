/* SPDX-License-Identifier: MIT */
/*
 * args.h - parsing of the mmkit command's arguments, with exact errors.
 *
 * The args_* functions return true with *OUT set, or false with the reason in
 * E and *OUT untouched. They print nothing; callers say err_usage().
 */
#ifndef LAB_ARGS_H
#define LAB_ARGS_H

#include <argp.h>
#include <stdio.h>

#include <mmkit/types.h>

#define ARGS_LIST_MAX 64

struct args_error {
	char text[256];
};

struct args_list {
	size_t nr; /* 1 .. ARGS_LIST_MAX */
	u64 v[ARGS_LIST_MAX];
};

struct args_pair {
	char key[128];
	char value[256];
};

/*
 * args_size: bytes as "4096", "3K", "32M", "1G", "2T", "1P", "9E" (powers of
 * 1024, either case, an "iB" or "B" behind the letter allowed). Less than
 * 2^64, else refused as too large.
 */
bool args_size(const char *s, u64 *out, struct args_error *e) MM_MUST_CHECK;

/* args_size_list: sizes separated by commas: "8M,16M,32M". */
bool args_size_list(const char *s, struct args_list *out,
		    struct args_error *e) MM_MUST_CHECK;

/* args_count: a decimal or 0x number from LO to HI. */
bool args_count(const char *s, u64 lo, u64 hi, u64 *out,
		struct args_error *e) MM_MUST_CHECK;

/* args_pair: "key=value"; neither key nor value empty. */
bool args_pair(const char *s, struct args_pair *out,
	       struct args_error *e) MM_MUST_CHECK;

/*
 * args_run: argp_parse() for a verb, ARGV[0] being the verb. Before it, every
 * long option up to "--" is looked up, so that an unknown one is answered
 * with a suggestion; all misuse exits with status 2. FLAGS are argp's.
 * With ARGP_IN_ORDER, the check ends at the first argument that is neither an
 * option nor the value of one.
 */
void args_run(const struct argp *argp, int argc, char **argv, unsigned flags,
	      void *input);

/*
 * args_show_table: from now on args_run() parses nothing: it writes the options
 * that it was given to F and ends the process. A line each: long name, letter
 * or nothing, value or nothing, 1 if the value may be missing, what it does; a
 * tab between. Lines that begin with a tab are the forms of the arguments.
 */
void args_show_table(FILE *f);

/* args_size_text: BYTES as args_size() reads them, "64M"; exact. */
void args_size_text(char buf[24], u64 bytes);

#endif
