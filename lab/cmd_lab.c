/* SPDX-License-Identifier: MIT */
/*
 * cmd_lab.c - "mmkit lab": machines under a script, or under a prompt.
 *
 * The interpreter is in lab/lua_*.c, which a build without Lua leaves out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "lab.h"

int cmd_lab(int argc, char **argv);

enum {
	OPT_EXECUTE = 'e',
	OPT_INTERACTIVE = 'i',
};

static const struct argp_option options[] = {
	{"execute", OPT_EXECUTE, "CODE", 0, "run CODE, then SCRIPT if given",
	 0},
	{"interactive", OPT_INTERACTIVE, 0, 0,
	 "a prompt when CODE and SCRIPT are done", 0},
	{"mem", MACHINE_OPT_MEM, "SIZE", 0,
	 "RAM that boot() gives, e.g. 128M (1G)", 0},
	{"swap", MACHINE_OPT_SWAP, "SIZE", 0,
	 "swap space that boot() gives (none)", 0},
	{0}};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct lab_opts *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->machine;
		return 0;
	case OPT_EXECUTE:
		if (o->code)
			err_usage("--execute: once");
		o->code = arg;
		return 0;
	case OPT_INTERACTIVE:
		o->interactive = true;
		return 0;
	case ARGP_KEY_ARGS:
		o->script = state->argv[state->next];
		o->args = state->argv + state->next + 1;
		o->nr_args = state->argc - state->next - 1;
		return 0;
	default:
		return machine_size_opt(&o->machine, key, arg);
	}
}

int cmd_lab(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&machine_argp, 0, "The machine that boot() makes:", 1}, {0}};
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.args_doc = "[SCRIPT [ARG...]]",
		.doc = "Drive simulated machines by a Lua script, or from a "
		       "prompt: boot, make tasks, map, touch, look.\v"
		       "Without SCRIPT and CODE a terminal gets a prompt; "
		       "otherwise standard input is the script, as with '-'. "
		       "help() in the lab lists what there is.",
		.children = children,
	};
	static struct lab_opts o;

	machine_defaults(&o.machine);
	args_run(&argp, argc, argv, ARGP_IN_ORDER, &o);
	machine_check(&o.machine);
	if (o.machine.nr_shows)
		err_usage("--show: print it with cat() where it is wanted");
	if (!lab_main)
		err_die("this mmkit was built without Lua: install "
			"liblua5.4-dev and libedit-dev and build it again");
	return lab_main(&o);
}
