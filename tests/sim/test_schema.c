/* SPDX-License-Identifier: MIT */
/*
 * What the verbs print as JSON, held against docs/schema/.
 *
 * 1. The validator knows the keywords of JSON Schema 2020-12 that the schemas
 * use and no others: one that it does not know is an error of the schema, so
 * that nothing is left unchecked. A schema must describe each member, close
 * each object or say what else may be in it, and require no member that it
 * does not have.
 *
 * 2. Documents are the real ones: the command of the same variant is run. For
 * `mmkit run`, which wants a machine, its printer is called.
 *
 * 3. That a document is accepted proves little. Each one is broken at every
 * place - a required member gone, a value of another type, a member more, in
 * every object - and must be refused each time. And when all documents of a
 * schema have been seen, none of its members may be left that no document had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

struct schema {
	json_t *root;
	json_t *seen; /* members that documents had, by address; or NULL */
	char why[256];
};

static bool bad(struct schema *s, const char *what, const char *name)
{
	snprintf(s->why, sizeof(s->why), "%s: %s", what, name);
	return false;
}

/* ---- a schema by itself
 * --------------------------------------------------------- */

static json_t *resolve(const struct schema *s, const char *ref)
{
	if (strncmp(ref, "#/$defs/", 8))
		return NULL;
	return json_object_get(json_object_get(s->root, "$defs"), ref + 8);
}

static bool sound(struct schema *s, json_t *node);

static bool sound_all(struct schema *s, json_t *members, bool described)
{
	const char *name;
	json_t *m;

	json_object_foreach(members, name, m)
	{
		if (described && !json_is_string(json_object_get(m, "descripti"
								    "on")))
			return bad(s, "no description", name);
		if (!sound(s, m))
			return false;
	}
	return json_is_object(members) || bad(s, "no object", "members");
}

static bool sound_list(struct schema *s, json_t *list)
{
	json_t *m;
	size_t i;

	json_array_foreach(list, i, m) if (!sound(s, m)) return false;
	return json_array_size(list) || bad(s, "no list", "oneOf");
}

static bool sound_required(struct schema *s, const json_t *node)
{
	json_t *m, *props = json_object_get(node, "properties");
	size_t i;

	json_array_foreach(json_object_get(node, "required"), i, m)
	{
		const char *name = json_string_value(m);

		if (!name || !json_object_get(props, name))
			return bad(s, "required, but no property",
				   name ? name : "?");
	}
	return true;
}

static bool sound_type(struct schema *s, json_t *type)
{
	static const char *const types[] = {"object",  "array",	 "string",
					    "integer", "number", "boolean",
					    "null"};
	json_t *m;
	size_t i;

	if (json_is_array(type)) {
		json_array_foreach(type, i,
				   m) if (json_is_array(m) ||
					  !sound_type(s, m)) return false;
		return true;
	}
	for (i = 0; i < ARRAY_SIZE(types) && json_is_string(type); i++)
		if (!strcmp(types[i], json_string_value(type)))
			return true;
	return bad(s, "no type", "type");
}

static bool sound_pattern(struct schema *s, const char *text)
{
	regex_t re;

	if (!text || regcomp(&re, text, REG_EXTENDED | REG_NOSUB))
		return bad(s, "no pattern", text ? text : "?");
	regfree(&re);
	return true;
}

static bool sound_keyword(struct schema *s, json_t *node, const char *key,
			  json_t *v)
{
	if (!strcmp(key, "$schema") || !strcmp(key, "$id") ||
	    !strcmp(key, "title") || !strcmp(key, "description"))
		return json_is_string(v) || bad(s, "no text", key);
	if (!strcmp(key, "type"))
		return sound_type(s, v);
	if (!strcmp(key, "properties") || !strcmp(key, "$defs"))
		return sound_all(s, v, *key == 'p');
	if (!strcmp(key, "required"))
		return sound_required(s, node);
	if (!strcmp(key, "items"))
		return sound(s, v);
	if (!strcmp(key, "additionalProperties"))
		return json_is_false(v) || sound(s, v);
	if (!strcmp(key, "$ref"))
		return (json_is_string(v) &&
			resolve(s, json_string_value(v))) ||
		       bad(s, "leads nowhere", key);
	if (!strcmp(key, "oneOf"))
		return sound_list(s, v);
	if (!strcmp(key, "pattern"))
		return sound_pattern(s, json_string_value(v));
	if (!strcmp(key, "enum"))
		return json_array_size(v) || bad(s, "no list", key);
	if (!strcmp(key, "minimum"))
		return json_is_number(v) || bad(s, "no number", key);
	return !strcmp(key, "const") || bad(s, "unknown keyword", key);
}

static bool sound(struct schema *s, json_t *node)
{
	const char *key, *type;
	json_t *v;

	if (!json_object_size(node))
		return bad(s, "says nothing", "schema");
	type = json_string_value(json_object_get(node, "type"));
	if (type && !strcmp(type, "object") &&
	    !json_object_get(node, "additionalProperties"))
		return bad(s, "left open", "object");
	json_object_foreach(
		node, key, v) if (!sound_keyword(s, node, key, v)) return false;
	return true;
}

/* ---- a value against a schema
 * --------------------------------------------------- */

static bool valid(struct schema *s, json_t *node, json_t *v);

static bool is_of(const char *type, const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return !strcmp(type, "object");
	case JSON_ARRAY:
		return !strcmp(type, "array");
	case JSON_STRING:
		return !strcmp(type, "string");
	case JSON_INTEGER:
		return !strcmp(type, "integer") || !strcmp(type, "number");
	case JSON_REAL:
		return !strcmp(type, "number");
	case JSON_NULL:
		return !strcmp(type, "null");
	default:
		return !strcmp(type, "boolean");
	}
}

static bool valid_type(const json_t *type, const json_t *v)
{
	json_t *m;
	size_t i;

	if (json_is_string(type))
		return is_of(json_string_value(type), v);
	json_array_foreach(type, i,
			   m) if (is_of(json_string_value(m), v)) return true;
	return !type;
}

static bool valid_const(const json_t *node, const json_t *v)
{
	const json_t *c = json_object_get(node, "const"), *m;
	const json_t *list = json_object_get(node, "enum");
	size_t i;

	if (c && !json_equal(c, v))
		return false;
	json_array_foreach(list, i, m) if (json_equal(m, v)) return true;
	return !list;
}

static bool valid_limits(const json_t *node, const json_t *v)
{
	const char *pattern =
		json_string_value(json_object_get(node, "pattern"));
	const json_t *least = json_object_get(node, "minimum");
	regex_t re;
	int found;

	if (least && json_is_number(v) &&
	    json_number_value(v) < json_number_value(least))
		return false;
	if (!pattern || !json_is_string(v))
		return true;
	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	found = regexec(&re, json_string_value(v), 0, NULL, 0);
	regfree(&re);
	return !found;
}

static void note(const struct schema *s, const json_t *member)
{
	char at[32];

	snprintf(at, sizeof(at), "%p", (const void *)member);
	if (s->seen)
		json_object_set_new(s->seen, at, json_true());
}

static bool valid_object(struct schema *s, const json_t *node, json_t *v)
{
	json_t *props = json_object_get(node, "properties"), *m;
	json_t *rest = json_object_get(node, "additionalProperties");
	const char *name;
	size_t i;

	json_array_foreach(json_object_get(node, "required"), i, m) if (
		!json_object_get(
			v,
			json_string_value(m))) return bad(s, "missing",
							  json_string_value(m));
	json_object_foreach(v, name, m)
	{
		json_t *member = json_object_get(props, name);

		if (!member && json_is_false(rest))
			return bad(s, "unknown member", name);
		if (!member)
			member = rest;
		note(s, member);
		if (member && !valid(s, member, m))
			return false;
	}
	return true;
}

/* What a branch that does not fit had seen is none of its members. */
static bool valid_one(struct schema *s, const json_t *list, json_t *v)
{
	json_t *seen = s->seen, *branch;
	char why[sizeof(s->why)] = "";
	u32 fit = 0;
	size_t i;

	json_array_foreach(list, i, branch)
	{
		s->seen = seen ? json_object() : NULL;
		if (valid(s, branch, v)) {
			fit++;
			json_object_update(seen, s->seen);
		} else {
			memcpy(why, s->why, sizeof(why));
		}
		json_decref(s->seen);
	}
	s->seen = seen;
	if (fit != 1)
		memcpy(s->why, why, sizeof(why));
	return fit == 1;
}

static bool valid(struct schema *s, json_t *node, json_t *v)
{
	const char *ref = json_string_value(json_object_get(node, "$ref"));
	json_t *one = json_object_get(node, "oneOf"), *m;
	json_t *items = json_object_get(node, "items");
	const char *about =
		json_string_value(json_object_get(node, "description"));
	size_t i;

	if (!valid_type(json_object_get(node, "type"), v))
		return bad(s, "type", about ? about : "?");
	if (!valid_const(node, v) || !valid_limits(node, v))
		return bad(s, "value", about ? about : "?");
	if (ref && !valid(s, resolve(s, ref), v))
		return false;
	if (one && !valid_one(s, one, v))
		return false;
	if (json_is_object(v) && !valid_object(s, node, v))
		return false;
	if (!json_is_array(v) || !items)
		return true;
	json_array_foreach(v, i, m) if (!valid(s, items, m)) return false;
	return true;
}

/* ---- breaking documents
 * --------------------------------------------------------- */

struct breaker {
	struct schema *s;
	json_t *doc;
	u32 refused, missed, optional;
};

static void refused(struct breaker *b, const char *how, const char *name)
{
	if (valid(b->s, b->s->root, b->doc)) {
		print_message("%s %s is not noticed\n", how, name);
		b->missed++;
	} else {
		b->refused++;
	}
}

/* What may be away. Of objects that others may add to, all but the named. */
static bool may_be_away(const char *name, const json_t *v, bool takes_more)
{
	static const char *const names[] = {
		"mem_percent", "oom", "files",	 "whatif",     "memcg",
		"thp",	       "ksm", "without", "node_stats", "pagesets"};

	if (takes_more)
		return strcmp(name, "kind") && strcmp(name, "title");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			/* --thp's value in a sweep has the same name. */
			return i < 5 || i > 7 || json_is_object(v);
	return false;
}

static void break_away(struct breaker *b, json_t *o, const char *name,
		       bool takes_more)
{
	json_t *m = json_incref(json_object_get(o, name));

	json_object_del(o, name);
	if (!may_be_away(name, m, takes_more)) {
		refused(b, "the absence of", name);
	} else if (valid(b->s, b->s->root, b->doc)) {
		b->optional++;
	} else {
		print_message("%s may be away, and is missed\n", name);
		b->missed++;
	}
	json_object_set_new(o, name, m);
}

/* Whether it takes members that its schema does not name. */
static bool is_open(struct breaker *b, json_t *o)
{
	bool open;

	json_object_set_new(o, "odd", json_integer(1));
	open = valid(b->s, b->s->root, b->doc);
	json_object_del(o, "odd");
	return open;
}

/* A value that no member has: an object with a list in it. */
static void break_type(struct breaker *b, json_t *o, const char *name)
{
	json_t *m = json_incref(json_object_get(o, name));

	json_object_set_new(o, name, json_pack("{s:[]}", "odd"));
	refused(b, "another type of", name);
	json_object_set_new(o, name, m);
}

static void break_all(struct breaker *b, json_t *v)
{
	bool takes_more;
	json_t *m, *names;
	const char *name;
	size_t i;

	json_array_foreach(v, i, m) break_all(b, m);
	if (!json_is_object(v))
		return;
	json_object_set_new(v, "odd", json_array());
	refused(b, "a member more in", "an object");
	json_object_del(v, "odd");
	takes_more = is_open(b, v);
	names = json_deep_copy(v);
	json_object_foreach(names, name, m)
	{
		break_away(b, v, name, takes_more);
		break_type(b, v, name);
		break_all(b, json_object_get(v, name));
	}
	json_decref(names);
}

/* ---- the documents
 * -------------------------------------------------------------- */

/* The command that was built with this program. */
static const char *command(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);

	assert_true(n > 0);
	path[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	strcat(path, "/mmkit");
	return path;
}

/* Its output, or the file's that SHELL leaves there; to be given back. */
static json_t *document(const char *folder, const char *shell)
{
	json_error_t e = {0};
	char *line;
	FILE *f;
	json_t *j;

	assert_true(asprintf(&line, "M='%s' D='%s'; %s", command(), folder,
			     shell) > 0);
	f = popen(line, "r");
	assert_non_null(f);
	j = json_loadf(f, JSON_REJECT_DUPLICATES, &e);
	if (pclose(f) || !j)
		fail_msg("%s: %s", shell, e.text);
	free(line);
	return j;
}

static void load(struct schema *s, const char *name)
{
	json_error_t e = {0};
	char path[128];

	snprintf(path, sizeof(path), "docs/schema/%s.json", name);
	*s = (struct schema){
		.root = json_load_file(path, JSON_REJECT_DUPLICATES, &e),
		.seen = json_object()};
	if (!s->root)
		fail_msg("%s: line %d: %s", path, e.line, e.text);
	if (!sound(s, s->root))
		fail_msg("%s: %s", path, s->why);
}

/* Members of NODE that no document had. */
static u32 unseen(const struct schema *s, json_t *node)
{
	json_t *props = json_object_get(node, "properties"), *m;
	u32 nr = 0;
	const char *name;
	char at[32];
	size_t i;

	json_object_foreach(props, name, m)
	{
		snprintf(at, sizeof(at), "%p", (void *)m);
		if (!json_object_get(s->seen, at)) {
			print_message("no document has %s\n", name);
			nr++;
		}
	}
	if (json_is_object(node))
		json_object_foreach(node, name, m) nr +=
			strcmp(name, "const") ? unseen(s, m) : 0;
	json_array_foreach(node, i, m) nr += unseen(s, m);
	return nr;
}

static void unload(struct schema *s)
{
	assert_int_equal(unseen(s, s->root), 0);
	json_decref(s->seen);
	json_decref(s->root);
}

/* DOC is good, and nothing that is made of it by breaking it; is given back. */
static void accept(struct schema *s, json_t *doc)
{
	struct breaker b = {.s = s, .doc = doc};
	json_t *seen = s->seen;

	if (!valid(s, s->root, doc))
		fail_msg("%s", s->why);
	s->seen = NULL;
	break_all(&b, doc);
	s->seen = seen;
	print_message("%u breaks are refused, %u members may be away\n",
		      b.refused, b.optional);
	assert_int_equal(b.missed, 0);
	assert_true(b.refused > 0);
	assert_true(valid(s, s->root, doc));
	json_decref(doc);
}

static char *folder_new(char path[64])
{
	strcpy(path, "/tmp/mmkit-schema-XXXXXX");
	return mkdtemp(path);
}

static void folder_remove(const char *path)
{
	char line[96];

	snprintf(line, sizeof(line), "rm -r '%s'", path);
	assert_int_equal(system(line), 0);
}

static void verb(const char *schema, const char *const *lines, u32 nr)
{
	struct schema s;
	char folder[64];

	assert_non_null(folder_new(folder));
	load(&s, schema);
	for (u32 i = 0; i < nr; i++)
		accept(&s, document(folder, lines[i]));
	unload(&s);
	folder_remove(folder);
}

#define VERB(schema, ...)                                          \
	do {                                                       \
		static const char *const lines_[] = {__VA_ARGS__}; \
		verb(schema, lines_, ARRAY_SIZE(lines_));          \
	} while (0)

#define LOOP "traces/loop.trace"

static void boot(void **state)
{
	(void)state;
	VERB("boot", "$M boot --json", "$M boot --mem 64M --json",
	     "$M boot --arch x86-32 --mem 2G --json",
	     "$M boot --arch arm64 --mem 8G --nodes 2 --json");
}

static void layout(void **state)
{
	(void)state;
	VERB("layout", "$M layout --json", "$M layout --arch x86-32 --json",
	     "$M layout --arch x86-32-pae --mem 8G --json",
	     "$M layout --arch x86-64-la57 --json",
	     "$M layout --arch arm64 --json");
}

static void explain(void **state)
{
	(void)state;
	VERB("explain", "$M explain --mem 64M --list --json",
	     "$M explain --mem 64M --json 0x400123",
	     "$M explain --mem 64M --json -a w 0x408000",
	     "$M explain --mem 64M --json -a w 0x418000",
	     "$M explain --mem 64M --json 0",
	     "$M explain --mem 64M --json 0x430000",
	     "$M explain --json --arch x86-32 0x400123",
	     "$M explain --json --arch arm64 0x400123",
	     "$M explain --json --machine tests/data/machines/multi-segment.machine "
	     "0x10:0x10");
}

static void trace(void **state)
{
	(void)state;
	VERB("trace", "$M trace info --json traces/sort.trace",
	     "$M trace info --json " LOOP);
}

static void compare(void **state)
{
	(void)state;
	VERB("compare",
	     "$M replay " LOOP " -q --json --swap 16M --mem 2M,3M >$D/a && "
	     "$M replay " LOOP
	     " -q --json --swap 16M --mem 3M --seed 2 >$D/b && "
	     "$M compare --json --all $D/a $D/b",
	     "$M compare --json $D/b $D/a");
}

static void sweep(void **state)
{
	(void)state;
	VERB("sweep-table",
	     "$M sweep --out $D/s --swap 16M --mem 2M,3M --policy clock,arc "
	     "--seeds 2 --print json " LOOP,
	     /* Without swap it does not fit: a point without a result. */
	     "$M sweep --out $D/f --mem 2M --print json " LOOP
	     " 2>$D/err; [ $? -eq 1 ]");
	VERB("sweep",
	     "$M sweep --out $D/s --swap 16M --mem 2M --thp never,always --print none " LOOP
	     " && cat $D/s/sweep.json");
}

/* ---- mmkit run
 * ------------------------------------------------------------------ */

static json_t *ran(const struct run_about *a)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	json_t *j;

	assert_non_null(f);
	run_print_json(f, a);
	assert_int_equal(fclose(f), 0);
	j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	free(text);
	return j;
}

static void fill_owners(struct run_result *r)
{
	static const u64 of_task[] = {4096, 8192, 0, 12288},
			 free_group[] = {4096, 0, SHARES_NONE, SHARES_NONE},
			 held_group[] = {4096, 8192, 1 << 20, 2 << 20};

	shares_init(&r->tasks, SHARE_SWAP + 1);
	shares_begin(&r->tasks, 0);
	shares_put(&r->tasks, 7, "sort (7)", of_task);
	shares_init(&r->groups, SHARE_SWAPPED + 1);
	shares_begin(&r->groups, 0);
	shares_put(&r->groups, 1, "/free", free_group);
	shares_put(&r->groups, 2, "/held", held_group);
}

static void run_documents(struct schema *s)
{
	static char *argv[] = {"sort", "-r", NULL};
	static struct run_result r;
	struct run_kernel k = {.path = "kernel"};
	struct run_opts o = {.mem_bytes = 64 << 20, .cpus = 2, .nodes = 1};
	struct run_machine m = {
		.o = &o, .kernel = &k, .type = "microvm", .accel = "tcg"};
	struct run_about a = {&o, &m, &r, 0};

	r = (struct run_result){.end = RUN_END_EXIT, .status = 3, .nr_vm = 1};
	r.vm[0] = (struct run_counter){"pgfault", 1, 5, true, true};
	fill_owners(&r);
	accept(s, ran(&a));
	o.argv = argv;
	r.end = RUN_END_SIGNAL;
	r.audit = "clean";
	accept(s, ran(&a));
	k.bzimage = true;
	r.end = RUN_END_FAILED;
	r.leak = true;
	a.status = 125;
	accept(s, ran(&a));
}

static void replay(void **state)
{
	static const char *const lines[] = {
		"$M replay " LOOP " -q --json --swap 16M --mem 2M,50%",
		"$M replay " LOOP
		" -q --json --no-min --files=anon --swap 16M --mem 2M",
		"$M replay " LOOP " -q --json --thp=always --ksm "
		"--memcg=2M --mem 8M",
		"$M replay " LOOP " -q --json --memcg=0=64K --mem 8M "
		"2>/dev/null",
	};
	struct schema s;

	(void)state;
	load(&s, "replay");
	for (u32 i = 0; i < ARRAY_SIZE(lines); i++)
		accept(&s, document("", lines[i]));
	run_documents(&s);
	unload(&s);
}

/* A long list is checked by its first members: all are made alike, and each is
 * broken at every place with the whole document behind it. */
static void shorten(json_t *doc, const char *name, size_t most)
{
	json_t *list = json_object_get(doc, name);

	while (json_array_size(list) > most)
		json_array_remove(list, most);
}

static void proc_files(void **state)
{
	static const char *const names[] = {
		"buddyinfo",
		"zoneinfo",
		"vmstat",
		"meminfo",
		"slabinfo",
		"swaps",
		"1/smaps",
		"1/smaps_rollup",
		"../sys/devices/system/node/node0/meminfo"};
	struct schema s;
	char folder[64], line[160];

	(void)state;
	assert_non_null(folder_new(folder));
	load(&s, "proc");
	snprintf(line, sizeof(line),
		 "$M replay " LOOP " -q --no-min --mem 4M --swap 16M "
		 "--dump-proc $D/d >$D/out && cat $D/d/json/proc/vmstat.json");
	json_decref(document(folder, line));
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		json_t *doc;

		snprintf(line, sizeof(line), "cat $D/d/json/proc/%s.json",
			 names[i]);
		doc = document(folder, line);
		/* More than the form's name and the file's. */
		assert_true(json_object_size(doc) > 2);
		shorten(doc, "caches", 2);
		shorten(doc, "zones", 3);
		shorten(doc, "mappings", 2);
		accept(&s, doc);
	}
	unload(&s);
	folder_remove(folder);
}

static void life(void **state)
{
	static const char *const lines[] = {
		"$M replay " LOOP " -q --no-min --mem 4M --swap 16M "
		"--follow 0:0x10000000 --life $D/l >$D/out && cat $D/l",
		"$M replay " LOOP " -q --json --no-min --mem 4M --swap 16M "
		"--pfn 0x21 --life $D/l >$D/out && cat $D/l",
	};
	char folder[64];
	struct schema s;

	(void)state;
	assert_non_null(folder_new(folder));
	load(&s, "life");
	for (u32 i = 0; i < ARRAY_SIZE(lines); i++) {
		json_t *doc = document(folder, lines[i]);

		assert_true(json_array_size(json_object_get(doc, "events")) >
			    4);
		shorten(doc, "events", 8);
		accept(&s, doc);
	}
	unload(&s);
	folder_remove(folder);
}

/* ---- the validator
 * -------------------------------------------------------------- */

static void unsound(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"{}", "says nothing"},
		{"{\"maximum\":1}", "unknown keyword: maximum"},
		{"{\"type\":\"float\"}", "no type"},
		{"{\"type\":[\"string\",\"nil\"]}", "no type"},
		{"{\"type\":\"object\"}", "left open"},
		{"{\"$ref\":\"#/$defs/a\"}", "leads nowhere"},
		{"{\"pattern\":\"(\"}", "no pattern"},
		{"{\"enum\":[]}", "no list"},
		{"{\"required\":[\"a\"]}", "required, but no property: a"},
		{"{\"properties\":{\"a\":{\"type\":\"null\"}}}",
		 "no description: a"},
		{"{\"items\":{\"items\":{\"if\":{}}}}", "unknown keyword: if"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct schema s = {.root = json_loads(rows[i].text, 0, NULL)};

		assert_non_null(s.root);
		assert_false(sound(&s, s.root));
		if (strncmp(s.why, rows[i].why, strlen(rows[i].why)))
			fail_msg("%s: %s", rows[i].text, s.why);
		json_decref(s.root);
	}
}

/* Each keyword takes one value and refuses another. */
static void keywords(void **state)
{
	static const struct {
		const char *schema, *good, *wrong;
	} rows[] = {
		{"{\"type\":\"integer\"}", "1", "1.5"},
		{"{\"type\":\"number\"}", "1", "\"1\""},
		{"{\"type\":[\"number\",\"null\"]}", "null", "false"},
		{"{\"minimum\":1}", "1", "0"},
		{"{\"const\":true}", "true", "1"},
		{"{\"enum\":[\"a\",null]}", "null", "\"b\""},
		{"{\"pattern\":\"^0x[0-9]+$\"}", "\"0x12\"", "\"0x12g\""},
		{"{\"items\":{\"type\":\"string\"}}", "[\"a\"]", "[\"a\",1]"},
		{"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":5}]}", "3",
		 "7"},
		{"{\"oneOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}",
		 "null", "1"},
		{"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"const\":1}}}",
		 "1", "2"},
		{"{\"type\":\"object\",\"additionalProperties\":"
		 "{\"type\":\"null\"}}",
		 "{\"a\":null}", "{\"a\":1}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *good = json_loads(rows[i].good, JSON_DECODE_ANY, NULL);
		json_t *wrong =
			json_loads(rows[i].wrong, JSON_DECODE_ANY, NULL);
		struct schema s = {.root = json_loads(rows[i].schema, 0, NULL)};

		assert_true(sound(&s, s.root));
		if (!valid(&s, s.root, good) || valid(&s, s.root, wrong))
			fail_msg("%s", rows[i].schema);
		json_decref(good);
		json_decref(wrong);
		json_decref(s.root);
	}
}

/* test_schema NAME FILE: whether a document keeps to docs/schema/NAME.json. */
static int check_file(const char *name, const char *path)
{
	json_error_t e = {0};
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
	struct schema s;
	bool good;

	load(&s, name);
	good = doc && valid(&s, s.root, doc);
	printf("%s: %s\n", path, good ? "good" : doc ? s.why : e.text);
	json_decref(doc);
	json_decref(s.seen);
	json_decref(s.root);
	return !good;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unsound), cmocka_unit_test(keywords),
		cmocka_unit_test(boot),	   cmocka_unit_test(layout),
		cmocka_unit_test(explain), cmocka_unit_test(trace),
		cmocka_unit_test(replay),  cmocka_unit_test(compare),
		cmocka_unit_test(life),	   cmocka_unit_test(proc_files),
		cmocka_unit_test(sweep),
	};

	if (argc == 3)
		return check_file(argv[1], argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
