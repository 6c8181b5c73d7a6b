/* SPDX-License-Identifier: MIT */
/*
 * lab.h - "mmkit lab": what the command line asks of the interpreter.
 */
#ifndef LAB_LAB_H
#define LAB_LAB_H

#include "machine.h"

struct lab_opts {
	struct machine_opts machine; /* what boot() without options makes */
	const char *code;	     /* -e, or NULL */
	const char *script;	     /* a file; "-" or NULL: standard input */
	bool interactive;	     /* a prompt after it */
	char **args;		     /* the script's */
	int nr_args;
};

/*
 * lab_main: run what O says. The exit status: 0, or 1 after an error that the
 * script did not catch. Weak where it is asked for: not there in a build
 * without Lua.
 */
int lab_main(const struct lab_opts *o) __attribute__((weak));
/* lab_script: the same, for who cannot do without Lua. */
int lab_script(const struct lab_opts *o);

#endif
