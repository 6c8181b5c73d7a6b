/* SPDX-License-Identifier: MIT */
/*
 * trace_filter.c - which records of an event are wanted.
 *
 * 1. Language. FIELD OP VALUE, with == != < <= > >= & for numbers, == != and ~
 *    (* and ? are wild) for strings; joined by && and ||, negated by !, with
 *    parentheses. Beside an event's own fields there are common_pid, comm and
 *    cpu.
 *
 * 2. Way. The text is parsed once, by descent, to operations in the order of
 *    their doing; what is true stands as bits in a word. A record is tested
 *    when its words are known, before it enters the ring.
 *
 * 3. Change. Who writes records asks through one pointer of base's. A new
 *    filter takes the old one's place; trace_sync() waits for writers that may
 *    still be at the old one.
 *
 * 4. Failure. A text that means nothing is -EINVAL: no filter holds then, and
 *    the file says what is wrong. No memory: -ENOMEM, all is as before.
 *
 * 5. Locking. tracefs' mutex; none to test.
 *
 * Reference: Linux documentation, trace/events (event filtering).
 */
#include <mmkit/slab.h>

#include "base/string.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"
#include "report/trace_show.h"

#define MAX_OPS	  32u
#define MAX_DEPTH 8u
#define MAX_TEXT  256u

enum filter_cmp {
	CMP_EQ,
	CMP_NE,
	CMP_LT,
	CMP_LE,
	CMP_GT,
	CMP_GE,
	CMP_AND,
	CMP_LIKE
};
enum filter_kind { OP_NUMBER, OP_TEXT, OP_AND, OP_OR, OP_NOT };

/* Words that are no arguments. */
#define WORD_PID  TRACE_ARGS
#define WORD_CPU  (TRACE_ARGS + 1)
#define WORD_COMM (TRACE_ARGS + 2)

struct filter_op {
	u8 kind, cmp;
	u8 word; /* of trace_record.arg, or WORD_* */
	u8 words;
	char type; /* as trace_events.h has it */
	u64 value;
	char text[32];
};

struct trace_filter {
	const char *error; /* NULL: it holds */
	u32 nr;
	struct filter_op op[MAX_OPS];
	char text[MAX_TEXT];
};

static struct tracefs_state *state(void)
{
	return &proc_sys.trace;
}

/* ---- testing ---------------------------------------------------------------
 */

/* Does TEXT[SIZE] look like GLOB? */
static bool like(const char *glob, const char *text, u32 size)
{
	const char *star = NULL;
	u32 at = 0, back = 0;

	while (at < size && text[at]) {
		if (*glob == '*') {
			star = ++glob;
			back = at;
		} else if (*glob == '?' || *glob == text[at]) {
			glob++;
			at++;
		} else if (star) {
			glob = star;
			at = ++back;
		} else {
			return false;
		}
	}
	while (*glob == '*')
		glob++;
	return !*glob;
}

static bool text_holds(const struct filter_op *op, const struct trace_record *r)
{
	bool comm = op->word == WORD_COMM;
	const char *text =
		comm ? r->comm : (const char *)(const void *)&r->arg[op->word];
	u32 size = comm ? sizeof(r->comm) : op->words * 8u, len = 0;

	if (op->cmp == CMP_LIKE)
		return like(op->text, text, size);
	while (len < size && text[len])
		len++;
	return (mm_strlen(op->text) == len &&
		mm_strncmp(text, op->text, len) == 0) == (op->cmp == CMP_EQ);
}

/* The value as its type has it, widened. */
static u64 number_of(const struct filter_op *op, const struct trace_record *r)
{
	u64 v = op->word == WORD_PID   ? r->pid
		: op->word == WORD_CPU ? r->cpu
				       : r->arg[op->word];

	switch (op->type) {
	case 'd':
		return (u64)(s64)(s32)v;
	case 'h':
		return (u64)(s64)(s16)v;
	case 'u':
	case 'D':
		return (u32)v;
	case 'b':
	case 'c':
		return (u8)v;
	default:
		return v;
	}
}

static bool is_signed(char type)
{
	return type == 'd' || type == 'h' || type == 'l';
}

static bool number_holds(const struct filter_op *op,
			 const struct trace_record *r)
{
	u64 a = number_of(op, r), b = op->value;
	/* Signed ones in order: the sign's bit the other way round. */
	u64 flip = is_signed(op->type) ? 1UL << 63 : 0;

	switch (op->cmp) {
	case CMP_EQ:
		return a == b;
	case CMP_NE:
		return a != b;
	case CMP_LT:
		return (a ^ flip) < (b ^ flip);
	case CMP_LE:
		return (a ^ flip) <= (b ^ flip);
	case CMP_GT:
		return (a ^ flip) > (b ^ flip);
	case CMP_GE:
		return (a ^ flip) >= (b ^ flip);
	default:
		return (a & b) != 0;
	}
}

static bool filter_holds(const struct trace_filter *f,
			 const struct trace_record *r)
{
	u64 bits = 0; /* the last result is bit 0 */

	for (u32 i = 0; i < f->nr; i++) {
		const struct filter_op *op = &f->op[i];

		switch (op->kind) {
		case OP_NUMBER:
			bits = bits << 1 | number_holds(op, r);
			break;
		case OP_TEXT:
			bits = bits << 1 | text_holds(op, r);
			break;
		case OP_AND:
			bits = (bits >> 2 << 1) | (bits >> 1 & bits & 1);
			break;
		case OP_OR:
			bits = (bits >> 2 << 1) | ((bits >> 1 | bits) & 1);
			break;
		default:
			bits ^= 1;
		}
	}
	return bits & 1;
}

/* For who writes records: any context. */
static bool wants(const struct trace_record *r)
{
	const struct trace_filter *f =
		__atomic_load_n(&state()->filter[r->event], __ATOMIC_SEQ_CST);

	return trace_pid_wanted(r) && (!f || f->error || filter_holds(f, r));
}

/* ---- parsing ---------------------------------------------------------------
 */

struct parse {
	struct trace_filter *f;
	const char *at;
	u32 event, depth;
};

static bool fail(struct parse *p, const char *why)
{
	if (!p->f->error)
		p->f->error = why;
	return false;
}

static void skip(struct parse *p)
{
	while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')
		p->at++;
}

/* Is WORD next? Then it is behind. */
static bool eat(struct parse *p, const char *word)
{
	size_t n = mm_strlen(word);

	skip(p);
	if (mm_strncmp(p->at, word, n) != 0)
		return false;
	p->at += n;
	return true;
}

static struct filter_op *push(struct parse *p, enum filter_kind kind)
{
	if (p->f->nr == MAX_OPS) {
		(void)fail(p, "Too many predicates");
		return NULL;
	}
	p->f->op[p->f->nr] = (struct filter_op){.kind = (u8)kind};
	return &p->f->op[p->f->nr++];
}

static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
	       c == '?' || c == '.' || c == '/' || c == ':';
}

static bool name_is(const char *name, size_t len, const char *want)
{
	return mm_strlen(want) == len && mm_strncmp(name, want, len) == 0;
}

/* The field NAME[LEN] to OP. */
static bool find_field(const struct parse *p, const char *name, size_t len,
		       struct filter_op *op)
{
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(p->event, f);

	*op = (struct filter_op){.kind = OP_NUMBER, .type = 'd'};
	for (u32 i = 0; i < nr; i++) {
		if (!name_is(name, len, f[i].name))
			continue;
		op->kind = f[i].words > 1 ? OP_TEXT : OP_NUMBER;
		op->word = (u8)f[i].word;
		op->words = (u8)f[i].words;
		op->type = f[i].type;
		return true;
	}
	if (name_is(name, len, "common_pid"))
		op->word = WORD_PID;
	else if (name_is(name, len, "cpu") || name_is(name, len, "CPU"))
		op->word = WORD_CPU;
	else if (name_is(name, len, "comm") || name_is(name, len, "COMM"))
		op->word = WORD_COMM;
	else
		return false;
	if (op->word == WORD_COMM)
		op->kind = OP_TEXT;
	return true;
}

static bool parse_cmp(struct parse *p, struct filter_op *op)
{
	static const struct {
		const char *text;
		enum filter_cmp cmp;
	} names[] = {
		{"==", CMP_EQ}, {"!=", CMP_NE}, {"<=", CMP_LE},	 {">=", CMP_GE},
		{"<", CMP_LT},	{">", CMP_GT},	{"~", CMP_LIKE},
	};
	bool text = op->kind == OP_TEXT;

	skip(p);
	/* && joins; it is no test of bits. */
	if (p->at[0] == '&' && p->at[1] != '&') {
		p->at++;
		op->cmp = CMP_AND;
		return !text || fail(p, "Illegal operation for field type");
	}
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		if (!eat(p, names[i].text))
			continue;
		op->cmp = (u8)names[i].cmp;
		if (text ? op->cmp > CMP_NE && op->cmp != CMP_LIKE
			 : op->cmp == CMP_LIKE)
			return fail(p, "Illegal operation for field type");
		return true;
	}
	return fail(p, "Invalid operator");
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : 16;
}

static bool parse_number(struct parse *p, struct filter_op *op)
{
	bool minus = eat(p, "-");
	int base = p->at[0] == '0' && (p->at[1] == 'x' || p->at[1] == 'X') ? 16
									   : 10;
	const char *start;

	p->at += base == 16 ? 2 : 0;
	start = p->at;
	for (op->value = 0; digit(*p->at) < base; p->at++) {
		if (op->value > (~0UL - (u64)digit(*p->at)) / (u64)base)
			return fail(p, "Illegal integer value");
		op->value = op->value * (u64)base + (u64)digit(*p->at);
	}
	if (p->at == start || word_char(*p->at))
		return fail(p, "Illegal integer value");
	if (minus)
		op->value = -op->value;
	return true;
}

static bool parse_string(struct parse *p, struct filter_op *op)
{
	char quote = *p->at == '"' || *p->at == '\'' ? *p->at : 0;
	u32 n = 0;

	p->at += quote != 0;
	while (*p->at && (quote ? *p->at != quote : word_char(*p->at))) {
		if (n == sizeof(op->text) - 1)
			return fail(p, "String too long");
		op->text[n++] = *p->at++;
	}
	op->text[n] = '\0';
	if (quote && *p->at++ != quote)
		return fail(p, "Missing quote");
	return quote || n || fail(p, "Missing value");
}

static bool parse_test(struct parse *p)
{
	const char *name;
	struct filter_op op, *to;

	skip(p);
	for (name = p->at; word_char(*p->at) && *p->at != '-'; p->at++)
		;
	if (p->at == name)
		return fail(p, "No field");
	if (!find_field(p, name, (size_t)(p->at - name), &op))
		return fail(p, "Field not found");
	if (!parse_cmp(p, &op))
		return false;
	skip(p);
	if (op.kind == OP_TEXT ? !parse_string(p, &op) : !parse_number(p, &op))
		return false;
	to = push(p, OP_NUMBER);
	if (to)
		*to = op;
	return to;
}

static bool parse_or(struct parse *p);

static bool parse_one(struct parse *p)
{
	skip(p);
	if (p->at[0] == '!' && p->at[1] != '=') {
		p->at++;
		if (++p->depth > MAX_DEPTH)
			return fail(p, "Too deep");
		return parse_one(p) && p->depth-- && push(p, OP_NOT);
	}
	if (!eat(p, "("))
		return parse_test(p);
	if (++p->depth > MAX_DEPTH)
		return fail(p, "Too deep");
	if (!parse_or(p))
		return false;
	p->depth--;
	return eat(p, ")") || fail(p, "Missing )");
}

static bool parse_and(struct parse *p)
{
	if (!parse_one(p))
		return false;
	while (eat(p, "&&"))
		if (!parse_one(p) || !push(p, OP_AND))
			return false;
	return true;
}

static bool parse_or(struct parse *p)
{
	if (!parse_and(p))
		return false;
	while (eat(p, "||"))
		if (!parse_and(p) || !push(p, OP_OR))
			return false;
	return true;
}

/* ---- the files -------------------------------------------------------------
 */

void trace_filter_update(void)
{
	bool any = trace_pid_any();

	for (u32 i = 0; i < NR_TRACE_EVENTS; i++)
		any |= state()->filter[i] != NULL;
	trace_set_filter(any ? wants : NULL);
}

/* NEW takes the place of EVENT's. Lock held. */
static void replace(u32 event, struct trace_filter *new)
{
	struct tracefs_state *t = state();
	struct trace_filter *old = t->filter[event];

	mutex_assert_held(&t->lock);
	__atomic_store_n(&t->filter[event], new, __ATOMIC_RELEASE);
	trace_filter_update();
	if (!old)
		return;
	trace_sync();
	kfree(old);
}

/* TEXT for EVENT. MANY: events without its fields keep what they have. */
static int set(u32 event, const char *text, size_t len, bool many)
{
	struct trace_filter *f = kzalloc(sizeof(*f), GFP_KERNEL);
	struct parse p = {.f = f, .event = event};

	if (!f)
		return -ENOMEM;
	mm_memcpy(f->text, text, len);
	p.at = f->text;
	if (parse_or(&p)) {
		skip(&p);
		if (*p.at)
			(void)fail(&p, "Meaningless text behind it");
	}
	if (f->error && many) {
		kfree(f);
		return -EINVAL;
	}
	replace(event, f);
	return f->error ? -EINVAL : 0;
}

int trace_filter_set(u32 event, const char *text, size_t len, bool many)
{
	while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	if (len >= MAX_TEXT)
		return -EINVAL;
	if (len == 1 && *text == '0') {
		replace(event, NULL);
		return 0;
	}
	return set(event, text, len, many);
}

void trace_filter_show(u32 event, struct seq_buf *out)
{
	const struct trace_filter *f;

	mutex_lock(&state()->lock);
	f = state()->filter[event];
	seq_printf(out, "%s\n", f ? f->text : "none");
	if (f && f->error)
		seq_printf(out, "^\nparse_error: %s\n", f->error);
	mutex_unlock(&state()->lock);
}

void trace_filter_exit(void)
{
	mutex_lock(&state()->lock);
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++)
		if (state()->filter[i])
			replace(i, NULL);
	mutex_unlock(&state()->lock);
}
