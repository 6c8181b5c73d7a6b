/* SPDX-License-Identifier: MIT */
/*
 * cmd_boot.c - "mmkit boot": boot a machine, print its log and files.
 */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include <mmkit/report.h>

#include "base/seqbuf.h"
#include "err.h"
#include "machine.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

int cmd_boot(int argc, char **argv);

enum { OPT_MEM = 'm', OPT_SWAP = 's', OPT_JSON = 'j' };

struct boot_opts {
	struct machine_opts machine;
	bool json;
};

static const struct argp_option options[] = {
	{"mem", OPT_MEM, "SIZE", 0, "RAM, e.g. 128M or 1T (1G)", 0},
	{"swap", OPT_SWAP, "SIZE", 0, "swap space (none)", 0},
	{"json", OPT_JSON, 0, 0, "zones as JSON instead of the log", 0},
	{0}};

static u64 size_arg(const char *name, const char *arg)
{
	struct args_error e;
	u64 v;

	if (!args_size(arg, &v, &e))
		err_usage("--%s: %s", name, e.text);
	return v;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct boot_opts *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->machine;
		return 0;
	case OPT_MEM:
		o->machine.mem_bytes = size_arg("mem", arg);
		return 0;
	case OPT_SWAP:
		o->machine.swap_bytes = size_arg("swap", arg);
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		err_usage("what is '%s'? boot takes options only", arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static json_t *zone_json(const struct zone *z)
{
	return json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "node", zone_to_nid(z), "name", z->name, "start_pfn",
			 (json_int_t)z->zone_start_pfn, "spanned_pages",
			 (json_int_t)z->spanned_pages, "present_pages",
			 (json_int_t)z->present_pages, "managed_pages",
			 (json_int_t)zone_managed_pages(z), "free_pages",
			 (json_int_t)zone_page_state(z, NR_FREE_PAGES),
			 "min_pages", (json_int_t)min_wmark_pages(z),
			 "low_pages", (json_int_t)low_wmark_pages(z),
			 "high_pages", (json_int_t)high_wmark_pages(z));
}

static int boot_json(void *arg)
{
	json_t *zones = json_array(), *root;
	struct zone *zone;

	(void)arg;
	for_each_populated_zone (zone)
		json_array_append_new(zones, zone_json(zone));
	root = json_pack("{s:s, s:o}", "schema", "mmkit.boot/1", "zones",
			 zones);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return 0;
}

int cmd_boot(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&machine_argp, 0, "The machine:", 1}, {0}};
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.doc = "Boot a simulated machine and show its memory.",
		.children = children,
	};
	static struct boot_opts o;

	machine_defaults(&o.machine);
	args_run(&argp, argc, argv, 0, &o);
	if (!o.json && !o.machine.nr_shows)
		o.machine.log = true;
	return machine_run(&o.machine, o.json ? boot_json : NULL, NULL) ? 1 : 0;
}
