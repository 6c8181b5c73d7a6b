/* SPDX-License-Identifier: MIT */
/*
 * explain_doc.c - explanations as blocks: text and JSON from one source.
 *
 * A value is drawn as three lines: bit positions, names, values; a value with
 * more fields than a line has room for goes on in three more lines.
 */
#include "explain_doc.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "err.h"

#define COLUMNS	    80
#define INDENT	    4
#define KEY_COLUMNS 12

/* ---- building
 * ----------------------------------------------------------------- */

static char *format(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		err_die("out of memory");
	return s;
}

void doc_free(struct doc *d)
{
	for (u32 i = 0; i < d->nr; i++) {
		struct doc_block *b = d->block[i];

		for (u32 k = 0; k < b->nr_items; k++)
			free(b->item[k].str);
		free(b->title);
		free(b);
	}
	d->nr = 0;
}

void doc_block(struct doc *d, const char *kind, const char *title, ...)
{
	struct doc_block *b = calloc(1, sizeof(*b));
	va_list ap;

	if (!b || d->nr == DOC_MAX_BLOCKS)
		err_die("out of memory");
	va_start(ap, title);
	b->title = format(title, ap);
	va_end(ap);
	b->kind = kind;
	d->block[d->nr++] = b;
}

static struct doc_block *last_block(struct doc *d)
{
	mm_verify(d->nr > 0);
	return d->block[d->nr - 1];
}

void doc_draw(struct doc *d, u64 raw, const struct doc_field *field, u32 nr)
{
	struct doc_block *b = last_block(d);
	struct doc_drawing *w = &b->drawing[b->nr_drawings];

	mm_verify(b->nr_drawings < DOC_MAX_DRAWINGS && nr <= DOC_MAX_FIELDS);
	w->raw = raw;
	w->nr = nr;
	memcpy(w->field, field, nr * sizeof(*field));
	b->nr_drawings++;
}

static struct doc_item *new_item(struct doc *d, enum doc_type type,
				 const char *key)
{
	struct doc_block *b = last_block(d);

	mm_verify(b->nr_items < DOC_MAX_ITEMS);
	b->item[b->nr_items] = (struct doc_item){.type = type, .key = key};
	return &b->item[b->nr_items++];
}

void doc_str(struct doc *d, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	new_item(d, DOC_STR, key)->str = format(fmt, ap);
	va_end(ap);
}

void doc_hex(struct doc *d, const char *key, u64 v)
{
	new_item(d, DOC_HEX, key)->num = v;
}

void doc_dec(struct doc *d, const char *key, u64 v)
{
	new_item(d, DOC_DEC, key)->num = v;
}

void doc_quiet_hex(struct doc *d, const char *key, u64 v)
{
	struct doc_item *item = new_item(d, DOC_HEX, key);

	item->num = v;
	item->quiet = true;
}

void doc_quiet_str(struct doc *d, const char *key, const char *s)
{
	struct doc_item *item = new_item(d, DOC_STR, key);

	item->quiet = true;
	item->str = strdup(s);
	if (!item->str)
		err_die("out of memory");
}

void doc_flag(struct doc *d, const char *key, bool v)
{
	new_item(d, DOC_FLAG, key)->num = v;
}

void doc_check(struct doc *d, bool ok, const char *rule)
{
	struct doc_item *item = new_item(d, DOC_CHECK, "check");

	item->num = ok;
	item->str = strdup(rule);
	if (!item->str)
		err_die("out of memory");
}

/* ---- drawing
 * ------------------------------------------------------------------ */

struct cell {
	char bits[12], name[16], value[24];
	int width;
};

static u64 field_value(u64 raw, const struct doc_field *f)
{
	u32 width = f->hi - f->lo + 1u;
	u64 mask = width == 64 ? ~0UL : (1UL << width) - 1;

	return raw >> f->lo & mask;
}

static struct cell make_cell(u64 raw, const struct doc_field *f)
{
	u64 v = field_value(raw, f);
	u32 width = f->hi - f->lo + 1u;
	struct cell c;

	snprintf(c.name, sizeof(c.name), "%s", f->name);
	if (width == 1)
		snprintf(c.bits, sizeof(c.bits), "%u", f->lo);
	else
		snprintf(c.bits, sizeof(c.bits), "%u:%u", f->hi, f->lo);
	if (width == 1 || f->decimal)
		snprintf(c.value, sizeof(c.value), "%llu",
			 (unsigned long long)v);
	else
		snprintf(c.value, sizeof(c.value), "0x%0*llx",
			 (int)(width + 3) / 4, (unsigned long long)v);
	c.width = (int)strlen(c.bits);
	c.width = max(c.width, (int)strlen(c.name));
	c.width = max(c.width, (int)strlen(c.value));
	return c;
}

static void put_row(FILE *out, const struct cell *c, u32 nr, size_t text)
{
	fprintf(out, "%*s", INDENT, "");
	for (u32 i = 0; i < nr; i++)
		fprintf(out, "%s%*s", i ? "|" : "", c[i].width,
			(const char *)&c[i] + text);
	fputc('\n', out);
}

static void put_drawing(FILE *out, const struct doc_drawing *w)
{
	struct cell cell[DOC_MAX_FIELDS];
	u32 from = 0;

	for (u32 i = 0; i < w->nr; i++)
		cell[i] = make_cell(w->raw, &w->field[i]);
	while (from < w->nr) {
		int columns = INDENT + cell[from].width;
		u32 n = 1;

		while (from + n < w->nr &&
		       columns + 1 + cell[from + n].width <= COLUMNS)
			columns += 1 + cell[from + n++].width;
		put_row(out, cell + from, n, offsetof(struct cell, bits));
		put_row(out, cell + from, n, offsetof(struct cell, name));
		put_row(out, cell + from, n, offsetof(struct cell, value));
		from += n;
	}
}

/* TEXT from COLUMN on, broken at blanks; lines that follow begin there too. */
static void put_wrapped(FILE *out, const char *text, int column)
{
	int at = column;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (at > column && at + 1 + (int)len > COLUMNS) {
			fprintf(out, "\n%*s", column, "");
			at = column;
		}
		/* A word that no line holds is cut. */
		while (at + (int)len > COLUMNS) {
			int n = COLUMNS - at;

			fprintf(out, "%.*s\n%*s", n, text, column, "");
			text += n;
			len -= (size_t)n;
			at = column;
		}
		fprintf(out, "%s%.*s", at > column ? " " : "", (int)len, text);
		at += (int)len + (at > column);
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void put_item(FILE *out, const struct doc_item *item)
{
	char number[32];
	const char *text = number, *key = item->key;
	int column = INDENT + KEY_COLUMNS;

	if (item->quiet)
		return;
	switch (item->type) {
	case DOC_HEX:
		snprintf(number, sizeof(number), "0x%llx",
			 (unsigned long long)item->num);
		break;
	case DOC_DEC:
		snprintf(number, sizeof(number), "%llu",
			 (unsigned long long)item->num);
		break;
	case DOC_FLAG:
		text = item->num ? "yes" : "no";
		break;
	case DOC_CHECK:
		key = item->num ? "[ok]" : "[BROKEN]";
		text = item->str;
		break;
	case DOC_STR:
		text = item->str;
		break;
	}
	fprintf(out, "%*s%-*s", INDENT, "", KEY_COLUMNS - 1, key);
	if ((int)strlen(key) > KEY_COLUMNS - 1)
		fprintf(out, "\n%*s", column, "");
	else
		fputc(' ', out);
	put_wrapped(out, text, column);
}

void doc_text(const struct doc *d, FILE *out)
{
	for (u32 i = 0; i < d->nr; i++) {
		const struct doc_block *b = d->block[i];

		fprintf(out, "%s%2u  ", i ? "\n" : "", i + 1);
		put_wrapped(out, b->title, INDENT);
		for (u32 k = 0; k < b->nr_drawings; k++)
			put_drawing(out, &b->drawing[k]);
		for (u32 k = 0; k < b->nr_items; k++)
			put_item(out, &b->item[k]);
	}
}

/* ---- JSON
 * --------------------------------------------------------------------- */

static json_t *json_hex(u64 v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)v);
	return json_string(text);
}

/* What came from a file's name may be no UTF-8. */
static json_t *json_words(const char *s)
{
	json_t *j = json_string(s);
	char *copy;

	if (j)
		return j;
	copy = strdup(s);
	if (!copy)
		err_die("out of memory");
	for (char *p = copy; *p; p++)
		*p = *p & 0x80 ? '?' : *p;
	j = json_string(copy);
	free(copy);
	return j;
}

static json_t *drawing_json(const struct doc_drawing *w)
{
	json_t *fields = json_array(), *j = json_object();

	for (u32 i = 0; i < w->nr; i++) {
		struct cell c = make_cell(w->raw, &w->field[i]);
		json_t *f = json_object();

		json_object_set_new(f, "bits", json_string(c.bits));
		json_object_set_new(f, "name", json_string(c.name));
		json_object_set_new(
			f, "value",
			json_hex(field_value(w->raw, &w->field[i])));
		json_array_append_new(fields, f);
	}
	json_object_set_new(j, "raw", json_hex(w->raw));
	json_object_set_new(j, "fields", fields);
	return j;
}

static void add_check(json_t *step, const struct doc_item *item)
{
	json_t *checks = json_object_get(step, "checks");
	json_t *c = json_object();

	if (!checks) {
		json_object_set_new(step, "checks", json_array());
		checks = json_object_get(step, "checks");
	}
	json_object_set_new(c, "rule", json_words(item->str));
	json_object_set_new(c, "ok", json_boolean(item->num));
	json_array_append_new(checks, c);
}

static void add_item(json_t *step, const struct doc_item *item)
{
	json_t *v = NULL;
	char key[32];

	switch (item->type) {
	case DOC_HEX:
		v = json_hex(item->num);
		break;
	case DOC_DEC:
		v = json_integer((json_int_t)item->num);
		break;
	case DOC_FLAG:
		v = json_boolean(item->num);
		break;
	case DOC_STR:
		v = json_words(item->str);
		break;
	case DOC_CHECK:
		add_check(step, item);
		return;
	}
	snprintf(key, sizeof(key), "%s", item->key);
	for (char *p = key; *p; p++)
		*p = *p == ' ' ? '_' : *p;
	json_object_set_new(step, key, v);
}

static json_t *block_json(const struct doc_block *b)
{
	json_t *step = json_object();

	json_object_set_new(step, "kind", json_string(b->kind));
	json_object_set_new(step, "title", json_words(b->title));
	if (b->nr_drawings) {
		json_t *values = json_array();

		for (u32 k = 0; k < b->nr_drawings; k++)
			json_array_append_new(values,
					      drawing_json(&b->drawing[k]));
		json_object_set_new(step, "values", values);
	}
	for (u32 k = 0; k < b->nr_items; k++)
		add_item(step, &b->item[k]);
	return step;
}

json_t *doc_json(const struct doc *d, const char *schema)
{
	json_t *root = json_object(), *steps = json_array();

	json_object_set_new(root, "schema", json_string(schema));
	json_object_set_new(root, "result", json_string(d->result));
	for (u32 i = 0; i < d->nr; i++)
		json_array_append_new(steps, block_json(d->block[i]));
	json_object_set_new(root, "steps", steps);
	return root;
}
