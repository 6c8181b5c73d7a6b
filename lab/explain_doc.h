/* SPDX-License-Identifier: MIT */
/*
 * explain_doc.h - an explanation as a list of blocks, written once and printed
 * as text of 80 columns or as JSON: both say the same.
 *
 * Strings given are copied, except kinds, keys and fields, which must stay.
 * The functions that add things end the process if memory runs out.
 */
#ifndef LAB_EXPLAIN_DOC_H
#define LAB_EXPLAIN_DOC_H

#include <jansson.h>
#include <stdio.h>

#include <mmkit/types.h>

/* A field of a drawn value: bits HI..LO. */
struct doc_field {
	u8 hi, lo;
	const char *name;
	bool decimal; /* an index: not in hexadecimal */
};

enum doc_type { DOC_STR, DOC_HEX, DOC_DEC, DOC_FLAG, DOC_CHECK };

struct doc_item {
	enum doc_type type;
	bool quiet; /* only in JSON: the title says it already */
	const char *key;
	u64 num;
	char *str;
};

#define DOC_MAX_DRAWINGS 2
#define DOC_MAX_FIELDS	 24
#define DOC_MAX_ITEMS	 32
#define DOC_MAX_BLOCKS	 64

struct doc_drawing {
	u64 raw;
	u32 nr;
	struct doc_field field[DOC_MAX_FIELDS];
};

/* A step, or a part of the result. */
struct doc_block {
	const char *kind;
	char *title;
	u32 nr_drawings, nr_items;
	struct doc_drawing drawing[DOC_MAX_DRAWINGS];
	struct doc_item item[DOC_MAX_ITEMS];
};

struct doc {
	const char *result; /* JSON "result" */
	u32 nr;
	struct doc_block *block[DOC_MAX_BLOCKS];
};

/* doc_free: give back what D's blocks hold; D is empty then. */
void doc_free(struct doc *d);

/* doc_block: begin a block; what follows belongs to it. */
void doc_block(struct doc *d, const char *kind, const char *title, ...)
	MM_PRINTF(3, 4);

/* doc_draw: RAW as NR bit fields, highest first. At most two in a block. */
void doc_draw(struct doc *d, u64 raw, const struct doc_field *field, u32 nr);

void doc_str(struct doc *d, const char *key, const char *fmt, ...)
	MM_PRINTF(3, 4);
void doc_hex(struct doc *d, const char *key, u64 v);
void doc_dec(struct doc *d, const char *key, u64 v);
/* In JSON only, where the text's title or drawing says it already. */
void doc_quiet_hex(struct doc *d, const char *key, u64 v);
void doc_quiet_str(struct doc *d, const char *key, const char *s);
void doc_flag(struct doc *d, const char *key, bool v);

/* doc_check: a rule and its verdict. */
void doc_check(struct doc *d, bool ok, const char *rule);

/* doc_text: all blocks, numbered, no line longer than 80 columns. */
void doc_text(const struct doc *d, FILE *out);

/* doc_json: the same as a new object with SCHEMA. */
json_t *doc_json(const struct doc *d, const char *schema);

#endif
