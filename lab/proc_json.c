/* SPDX-License-Identifier: MIT */
/*
 * proc_json.c - files of /proc as JSON (docs/schema/proc.json).
 *
 * The text is what is taken apart, not the counters behind it: both say the
 * same at the same moment, whoever made the text. A line that is not understood
 * is an error, so that no figure is lost unseen.
 *
 * References: proc(5), slabinfo(5).
 */
#include "proc_json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef bool (*line_fn)(json_t *doc, char *line);

static json_t *member(json_t *o, const char *name, bool array)
{
	json_t *m = json_object_get(o, name);

	if (!m) {
		m = array ? json_array() : json_object();
		json_object_set_new(o, name, m);
	}
	return m;
}

/* The last of ARRAY, NULL: it is empty. */
static json_t *last_of(json_t *array)
{
	size_t n = json_array_size(array);

	return n ? json_array_get(array, n - 1) : NULL;
}

static json_t *append(json_t *array)
{
	json_t *o = json_object();

	json_array_append_new(array, o);
	return o;
}

static void put(json_t *o, const char *name, long long v)
{
	json_object_set_new(o, name, json_integer(v));
}

static void put_text(json_t *o, const char *name, const char *text)
{
	json_object_set_new(o, name, json_string(text));
}

/* ---- names and numbers: vmstat, numastat, meminfo --------------------------
 */

static bool counter_line(json_t *doc, char *line)
{
	char name[64];
	long long v;
	int end = -1;

	if (sscanf(line, "%63s %lld%n", name, &v, &end) != 2 || line[end])
		return false;
	put(member(doc, "counters", false), name, v);
	return true;
}

/* "Name:  12 kB" or "Name: 12", of a node with "Node 0 " before it. */
static bool kb_line(json_t *doc, char *line)
{
	int node = -1, skip = 0, end = -1;
	char name[64];
	long long v;

	if (sscanf(line, "Node %d %n", &node, &skip) == 1 && skip)
		line += skip;
	if (sscanf(line, "%63[^:]: %lld%n", name, &v, &end) != 2)
		return false;
	if (!strcmp(line + end, " kB"))
		put(member(doc, "kb", false), name, v);
	else if (!line[end])
		put(member(doc, "counts", false), name, v);
	else
		return false;
	return true;
}

/* ---- zones: buddyinfo, zoneinfo --------------------------------------------
 */

/* A zone of DOC begins; *REST is what follows its name. NULL: not here. */
static json_t *zone_begins(json_t *doc, char *line, char **rest)
{
	int node, end = -1;
	char name[16];
	json_t *zone;

	if (sscanf(line, "Node %d, zone %15s%n", &node, name, &end) != 2)
		return NULL;
	zone = append(member(doc, "zones", true));
	put(zone, "node", node);
	put_text(zone, "zone", name);
	*rest = line + end;
	return zone;
}

static bool put_numbers(json_t *array, const char *text, const char *between)
{
	char *end;

	text += strspn(text, between);
	while (*text) {
		json_array_append_new(array,
				      json_integer(strtoll(text, &end, 10)));
		if (end == text)
			return false;
		text = end + strspn(end, between);
	}
	return true;
}

static bool buddy_line(json_t *doc, char *line)
{
	char *rest;
	json_t *zone = zone_begins(doc, line, &rest);

	return zone &&
	       put_numbers(member(zone, "free_blocks", true), rest, " ");
}

/* Of a CPU's lists: true if LINE was that. */
static bool pageset_line(json_t *zone, const char *line)
{
	json_t *sets = json_object_get(zone, "pagesets"), *set;
	char name[32];
	long long v;

	if (sscanf(line, "cpu: %lld", &v) == 1) {
		put(append(member(zone, "pagesets", true)), "cpu", v);
		return true;
	}
	set = last_of(sets);
	if (set && sscanf(line, "vm stats threshold: %lld", &v) == 1)
		put(set, "stat_threshold", v);
	else if (set && sscanf(line, "%31[a-z]: %lld", name, &v) == 2)
		put(set, name, v);
	else
		return false;
	return true;
}

/* Of the zone's last two: true if LINE was that. */
static bool last_line(json_t *zone, const char *line)
{
	long long v;

	if (sscanf(line, "node_unreclaimable: %lld", &v) == 1)
		put(zone, "node_unreclaimable", v);
	else if (sscanf(line, "start_pfn: %lld", &v) == 1)
		put(zone, "start_pfn", v);
	else
		return false;
	return true;
}

static bool zoneinfo_line(json_t *doc, char *line)
{
	json_t *zone = last_of(json_object_get(doc, "zones")), *begun;
	const char *part;
	char name[64], *rest;
	long long v;

	if ((begun = zone_begins(doc, line, &rest))) {
		json_object_set_new(begun, "node_unreclaimable", json_null());
		json_object_set_new(begun, "start_pfn", json_null());
		return *rest == '\0';
	}
	line += strspn(line, " ");
	if (!zone)
		return false;
	if (!strcmp(line, "per-node stats"))
		return member(zone, "node_stats", false) != NULL;
	if (!strcmp(line, "pagesets"))
		return member(zone, "pagesets", true) != NULL;
	if (sscanf(line, "pages free %lld", &v) == 1) {
		put(member(zone, "pages", false), "free", v);
		return true;
	}
	if (!strncmp(line, "protection:", 11))
		return put_numbers(member(zone, "protection", true), line + 11,
				   " (),");
	if (last_line(zone, line) || pageset_line(zone, line))
		return true;
	part = json_object_get(zone, "pages") ? "pages" : "node_stats";
	if (sscanf(line, "%63[a-z0-9_] %lld", name, &v) != 2)
		return false;
	put(member(zone, part, false), name, v);
	return true;
}

/* ---- slabinfo --------------------------------------------------------------
 */

static bool slab_line(json_t *doc, char *line)
{
	static const char *const names[] = {
		"active_objs",	"num_objs",  "objsize",	   "objperslab",
		"pagesperslab", "limit",     "batchcount", "sharedfactor",
		"active_slabs", "num_slabs", "sharedavail"};
	long long v[11];
	char name[64];
	json_t *cache;

	if (!strncmp(line, "slabinfo - version:", 19) || *line == '#')
		return member(doc, "caches", true) != NULL;
	if (sscanf(line,
		   "%63s %lld %lld %lld %lld %lld : tunables %lld %lld %lld : "
		   "slabdata %lld %lld %lld",
		   name, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7],
		   &v[8], &v[9], &v[10]) != 12)
		return false;
	cache = append(member(doc, "caches", true));
	put_text(cache, "name", name);
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
		put(cache, names[i], v[i]);
	return true;
}

/* ---- swaps -----------------------------------------------------------------
 */

static bool swap_line(json_t *doc, char *line)
{
	json_t *areas = member(doc, "areas", true), *area;
	long long size, used, priority;
	char name[128], type[16];

	if (!strncmp(line, "Filename", 8))
		return true;
	if (sscanf(line, "%127s %15s %lld %lld %lld", name, type, &size, &used,
		   &priority) != 5)
		return false;
	area = append(areas);
	put_text(area, "name", name);
	put_text(area, "type", type);
	put(area, "size_kb", size);
	put(area, "used_kb", used);
	put(area, "priority", priority);
	return true;
}

/* ---- smaps -----------------------------------------------------------------
 */

static bool mapping_begins(json_t *doc, const char *line)
{
	char start[20], end[20], perms[5], dev[16], text[24];
	unsigned long long offset, inode;
	int path = -1;
	json_t *m;

	if (sscanf(line, "%18[0-9a-f]-%18[0-9a-f] %4s %llx %15s %llu%n", start,
		   end, perms, &offset, dev, &inode, &path) != 6)
		return false;
	m = append(member(doc, "mappings", true));
	snprintf(text, sizeof(text), "0x%s", start);
	put_text(m, "start", text);
	snprintf(text, sizeof(text), "0x%s", end);
	put_text(m, "end", text);
	put_text(m, "permissions", perms);
	snprintf(text, sizeof(text), "0x%llx", offset);
	put_text(m, "offset", text);
	put_text(m, "device", dev);
	put(m, "inode", (long long)inode);
	line += path + strspn(line + path, " ");
	json_object_set_new(m, "path",
			    *line ? json_string_nocheck(line) : json_null());
	return true;
}

static bool put_flags(json_t *m, char *text)
{
	for (char *at = strtok(text, " "); at; at = strtok(NULL, " "))
		json_array_append_new(member(m, "vm_flags", true),
				      json_string(at));
	return true;
}

static bool smaps_line(json_t *doc, char *line)
{
	json_t *m;

	if (mapping_begins(doc, line))
		return true;
	m = last_of(member(doc, "mappings", true));
	if (!m)
		return false;
	if (!strncmp(line, "VmFlags:", 8))
		return put_flags(m, line + 8);
	return kb_line(m, line);
}

/* ---- by name ---------------------------------------------------------------
 */

static const struct form {
	const char *name;
	line_fn line;
	const char *empty; /* a list that is there without a line too */
} forms[] = {
	{"buddyinfo", buddy_line, "zones"},
	{"zoneinfo", zoneinfo_line, "zones"},
	{"vmstat", counter_line, NULL},
	{"numastat", counter_line, NULL},
	{"meminfo", kb_line, NULL},
	{"slabinfo", slab_line, "caches"},
	{"swaps", swap_line, "areas"},
	{"smaps", smaps_line, "mappings"},
	{"smaps_rollup", smaps_line, "mappings"},
};

static const struct form *form_of(const char *path)
{
	const char *name = strrchr(path, '/');

	for (size_t i = 0; name && i < sizeof(forms) / sizeof(*forms); i++)
		if (!strcmp(forms[i].name, name + 1))
			return &forms[i];
	return NULL;
}

bool proc_json_knows(const char *path)
{
	return form_of(path) != NULL;
}

json_t *proc_json(const char *path, const char *text, char why[128])
{
	const struct form *f = form_of(path);
	json_t *doc = json_object();
	char *copy = strdup(text), *line, *next;
	bool good = f && doc && copy;

	*why = '\0';
	put_text(doc, "schema", "mmkit.proc/1");
	put_text(doc, "path", path);
	if (good && f->empty)
		(void)member(doc, f->empty, true);
	for (line = copy; good && *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		good = f->line(doc, line);
		if (!good)
			snprintf(why, 128, "%.127s", line);
	}
	free(copy);
	if (good)
		return doc;
	json_decref(doc);
	return NULL;
}
