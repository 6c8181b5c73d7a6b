/* SPDX-License-Identifier: MIT */
/*
 * completion.h - what a shell needs to complete the command's words.
 */
#ifndef LAB_COMPLETION_H
#define LAB_COMPLETION_H

#include <stddef.h>
#include <stdio.h>

#include <mmkit/types.h>

struct verb {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv); /* NULL: not linked in */
};

/*
 * completion_write: the script for SHELL (bash, zsh or fish), or with "table"
 * the options of all verbs, a line each: verb, long name, letter, value,
 * words that the value may be; a tab between. False if there is no such SHELL;
 * what goes wrong otherwise ends the process (err_die).
 */
bool completion_write(FILE *f, const char *shell, const struct verb *verbs,
		      size_t nr) MM_MUST_CHECK;

#endif
