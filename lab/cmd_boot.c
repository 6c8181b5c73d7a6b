/* SPDX-License-Identifier: MIT */
/*
 * cmd_boot.c - "mmkit boot": boot a machine, print its log and files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <mmkit/report.h>

#include "base/seqbuf.h"
#include "dump.h"
#include "err.h"
#include "frames.h"
#include "machine.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

int cmd_boot(int argc, char **argv);

enum { OPT_JSON = 'j', OPT_FRAMES = 'f', OPT_WIDTH = 'w', OPT_DUMP = 512 };

struct boot_opts {
	struct machine_opts machine;
	bool json, draw;
	struct frames_opts frames;
};

static const struct argp_option options[] = {
	{"mem", MACHINE_OPT_MEM, "SIZE", 0, "RAM, e.g. 128M or 1T (1G)", 0},
	{"swap", MACHINE_OPT_SWAP, "SIZE", 0, "swap space (none)", 0},
	{"json", OPT_JSON, 0, 0, "zones as JSON instead of the log", 0},
	{"frames", OPT_FRAMES, 0, 0,
	 "draw memory, a character for each pageblock, instead of the log", 0},
	{"dump-proc", OPT_DUMP, "DIR", 0,
	 "write all files of /proc and /sys to a new directory", 0},
	{"width", OPT_WIDTH, "N", 0, "characters of a line of --frames (64)",
	 0},
	{0}};

static u32 width_arg(const char *arg)
{
	struct args_error e;
	u64 v;

	if (!args_count(arg, FRAMES_WIDTH_MIN, FRAMES_WIDTH_MAX, &v, &e))
		err_usage("--width: %s", e.text);
	return (u32)v;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct boot_opts *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->machine;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_FRAMES:
		o->draw = true;
		return 0;
	case OPT_DUMP:
		o->machine.dump_proc = arg;
		return 0;
	case OPT_WIDTH:
		o->frames.width = width_arg(arg);
		return 0;
	case ARGP_KEY_ARG:
		err_usage("what is '%s'? boot takes options only", arg);
	default:
		return machine_size_opt(&o->machine, key, arg);
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
	const struct boot_opts *o = arg;
	struct zone *zone;

	for_each_populated_zone (zone)
		json_array_append_new(zones, zone_json(zone));
	root = json_pack("{s:s, s:o}", "schema", "mmkit.boot/1", "zones",
			 zones);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	machine_show(&o->machine);
	return 0;
}

/* The picture, then the files that --show asked for. */
static int boot_frames(void *arg)
{
	const struct boot_opts *o = arg;

	frames_draw(&o->frames);
	machine_show(&o->machine);
	return 0;
}

/* Colours are for people: not in files, and not where they are refused. */
static bool wants_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term &&
	       strcmp(term, "dumb") != 0;
}

static void check_opts(const struct boot_opts *o)
{
	if (o->draw && o->json)
		err_usage("--frames and --json: one of them");
	if (o->frames.width && !o->draw)
		err_usage("--width is for --frames");
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
	int (*body)(void *arg) = NULL;

	machine_defaults(&o.machine);
	args_run(&argp, argc, argv, 0, &o);
	o.machine.show_stderr = o.json;
	check_opts(&o);
	machine_check(&o.machine);
	if (o.machine.dump_proc)
		dump_check(o.machine.dump_proc);
	if (!o.json && !o.draw && !o.machine.nr_shows && !o.machine.dump_proc)
		o.machine.log = true;
	o.frames.color = wants_color();
	if (o.draw)
		body = boot_frames;
	else if (o.json)
		body = boot_json;
	return machine_run(&o.machine, body, &o) ? 1 : 0;
}
