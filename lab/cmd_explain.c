/* SPDX-License-Identifier: MIT */
/*
 * cmd_explain.c - "mmkit explain": how an address becomes a frame, or why not.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "explain.h"

int cmd_explain(int argc, char **argv);

enum {
	OPT_JSON = 'j',
	OPT_PID = 'p',
	OPT_ACCESS = 'a',
	OPT_LIST = 'l',
	OPT_USER = 'u',
	OPT_KERNEL = 'k',
	OPT_MACHINE = 512,
	OPT_REG
};

struct explain_opts {
	struct machine_opts machine;
	const char *file;
	int pid; /* 0: none */
	bool json, list;
	const char *address;
	struct explain_query q;
};

static const struct argp_option options[] = {
	{"mem", MACHINE_OPT_MEM, "SIZE", 0, "RAM of the booted machine (1G)",
	 0},
	{"swap", MACHINE_OPT_SWAP, "SIZE", 0, "its swap space (16M)", 0},
	{"machine", OPT_MACHINE, "FILE", 0,
	 "tables and registers from a machine file instead of a booted machine",
	 0},
	{"pid", OPT_PID, "N", 0, "a process of this host", 0},
	{"access", OPT_ACCESS, "r|w|x", 0, "read, write or execute (r)", 0},
	{"user", OPT_USER, 0, 0, "by user code", 0},
	{"kernel", OPT_KERNEL, 0, 0, "by the kernel", 0},
	{"reg", OPT_REG, "NAME", 0,
	 "segment register that SEL is loaded into (ds; x: cs)", 0},
	{"list", OPT_LIST, 0, 0, "addresses of the sample process", 0},
	{"json", OPT_JSON, 0, 0, "the same as JSON", 0},
	{0}};

static bool find_reg(const char *name, size_t len, enum seg_id *out)
{
	for (enum seg_id i = 0; i < SEG_NR_REGS; i++) {
		if (strlen(seg_reg_name(i)) == len &&
		    !strncasecmp(name, seg_reg_name(i), len)) {
			*out = i;
			return true;
		}
	}
	return false;
}

static void set_access(struct explain_query *q, const char *arg)
{
	static const char letters[] = "rwx";
	const char *at = strlen(arg) == 1 ? strchr(letters, *arg) : NULL;

	if (!at)
		err_usage("--access: '%s' is not r, w or x", arg);
	q->access = (enum seg_access)(at - letters);
	q->has_access = true;
}

static void set_who(struct explain_query *q, enum explain_who who)
{
	if (q->who && q->who != who)
		err_usage("--user and --kernel: one of them");
	q->who = who;
}

static int pid_arg(const char *arg)
{
	struct args_error e;
	u64 v;

	if (!args_count(arg, 1, INT_MAX, &v, &e))
		err_usage("--pid: %s", e.text);
	return (int)v;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct explain_opts *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->machine;
		return 0;
	case OPT_MACHINE:
		o->file = arg;
		return 0;
	case OPT_PID:
		o->pid = pid_arg(arg);
		return 0;
	case OPT_ACCESS:
		set_access(&o->q, arg);
		return 0;
	case OPT_USER:
		set_who(&o->q, EXPLAIN_USER);
		return 0;
	case OPT_KERNEL:
		set_who(&o->q, EXPLAIN_KERNEL);
		return 0;
	case OPT_REG:
		if (!find_reg(arg, strlen(arg), &o->q.reg))
			err_usage("--reg: '%s' is not es, cs, ss, ds, fs or gs",
				  arg);
		o->q.has_reg = true;
		return 0;
	case OPT_LIST:
		o->list = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (o->address)
			err_usage("one address, not '%s' too", arg);
		o->address = arg;
		return 0;
	default:
		return machine_size_opt(&o->machine, key, arg);
	}
}

/* ---- the address
 * -------------------------------------------------------------- */

static u64 number_arg(const char *text, const char *what, u64 most)
{
	struct args_error e;
	u64 v;

	if (!args_count(text, 0, most, &v, &e))
		err_usage("%s: %s (hexadecimal needs 0x)", what, e.text);
	return v;
}

/* ADDRESS, SEL:OFFSET or REG:OFFSET */
static void parse_address(struct explain_query *q, const char *text)
{
	const char *colon = strchr(text, ':');
	char sel[32];

	if (!colon) {
		if (q->has_reg)
			err_usage("--reg needs SEL:OFFSET");
		q->addr = number_arg(text, "address", ULONG_MAX);
		return;
	}
	if (snprintf(sel, sizeof(sel), "%.*s", (int)(colon - text), text) >=
	    (int)sizeof(sel))
		err_usage("selector: '%s' is too long", text);
	q->addr = number_arg(colon + 1, "offset", ULONG_MAX);
	if (!q->has_reg && find_reg(sel, strlen(sel), &q->reg)) {
		q->has_reg = true;
		return;
	}
	q->sel = (u16)number_arg(sel, "selector", 0xffff);
	q->has_sel = true;
	if (!q->has_reg)
		q->reg = q->access == SEG_FETCH ? SEG_CS : SEG_DS;
	else if ((q->reg == SEG_CS) != (q->access == SEG_FETCH))
		err_usage("--reg: cs is loaded for --access x, the others for "
			  "r and w");
	q->has_reg = false;
}

static void check_opts(const struct explain_opts *o)
{
	const struct explain_query *q = &o->q;
	bool segment = q->has_sel || q->has_reg;
	const char *arch = o->machine.arch;

	if (o->machine.nr_shows)
		err_usage("--show: not here; 'mmkit boot' has it");
	if (o->json && o->machine.log)
		err_usage("--json and --log: one of them");
	if (o->file && o->pid)
		err_usage("--machine and --pid: one of them");
	if (o->list && (o->file || o->pid))
		err_usage("--list is for the booted machine");
	if (o->list == (o->address != NULL))
		err_usage(o->list ? "--list takes no address"
				  : "an address is missing");
	if (o->pid && segment)
		err_usage("--pid takes a linear address");
	if (o->pid && arch)
		err_usage("--pid and --arch: the host is what it is");
	if (o->pid && q->who)
		err_usage("--pid: a process is user code");
	if (segment && arch && !strcmp(arch, "arm64"))
		err_usage("arm64 has no segments");
	if (q->has_reg && !o->file)
		err_usage("%s:OFFSET needs --machine: registers of a booted "
			  "machine hold nothing of interest",
			  seg_reg_name(q->reg));
}

static void explain_file(struct doc *d, const struct explain_opts *o)
{
	struct explain_file *f = explain_file_open(o->file, o->machine.arch);
	struct explain_target *t = explain_file_target(f, &o->q);

	if (!t->seg && (o->q.has_sel || o->q.has_reg))
		err_usage("arm64 has no segments");
	explain_address(d, t, &o->q);
	explain_file_close(f);
}

int cmd_explain(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&machine_argp, 0, "The booted machine:", 1}, {0}};
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.args_doc = "ADDRESS|SEL:OFFSET",
		.doc = "Show how an address becomes a frame, step by step, or "
		       "the fault that it ends in.",
		.children = children,
	};
	static struct explain_opts o;
	static struct doc d;

	machine_defaults(&o.machine);
	o.machine.swap_bytes = 16UL << 20;
	args_run(&argp, argc, argv, 0, &o);
	if (o.address)
		parse_address(&o.q, o.address);
	check_opts(&o);
	if (o.pid)
		explain_host(&d, o.pid, &o.q);
	else if (o.file)
		explain_file(&d, &o);
	else
		explain_sim(&d, &o.machine, o.list ? NULL : &o.q);
	if (o.json) {
		json_t *j = doc_json(&d, "mmkit.explain/1");

		json_dumpf(j, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(j);
	} else {
		doc_text(&d, stdout);
	}
	doc_free(&d);
	return EXIT_SUCCESS;
}
