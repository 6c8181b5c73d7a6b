/* SPDX-License-Identifier: MIT */
/*
 * slab_options.c - slub_debug=: which caches check what.
 *
 *	OPTIONS[,CACHE...][;OPTIONS[,CACHE...]]...
 *
 * A cache takes the first part that names it; parts without caches are for
 * all that no other part names. Reference: Linux documentation, mm/slub.
 */
#include <mmkit/errno.h>

#include "base/printk.h"
#include "kmem/slab_priv.h"

#define SLUB_DEBUG_DEFAULT                                       \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | \
	 SLAB_STORE_USER)

static u32 option_flag(char c)
{
	switch (c) {
	case 'F':
	case 'f':
		return SLAB_CONSISTENCY_CHECKS;
	case 'Z':
	case 'z':
		return SLAB_RED_ZONE;
	case 'P':
	case 'p':
		return SLAB_POISON;
	case 'U':
	case 'u':
		return SLAB_STORE_USER;
	case 'T':
	case 't':
		return SLAB_TRACE;
	default:
		return 0;
	}
}

/* The letters at *TEXT, which is left behind them. */
static int parse_letters(const char **text, u32 *out)
{
	const char *s = *text;
	u32 flags = 0;
	bool any = false;

	for (; *s && *s != ',' && *s != ';'; s++, any = true) {
		u32 flag = option_flag(*s);

		if (*s == 'O' || *s == 'o')
			kmem_sys.debug_keep_order = true;
		else if (!flag && *s != '-') {
			pr_err("slub_debug: unknown option '%c': the options "
			       "are F Z P U T O -",
			       *s);
			return -EINVAL;
		}
		flags |= flag;
	}
	*out = any ? flags : SLUB_DEBUG_DEFAULT;
	*text = s;
	return 0;
}

static int add_rule(u32 flags, const char *name, size_t len)
{
	struct slub_debug_rule *r = &kmem_sys.rules[kmem_sys.nr_rules];

	if (kmem_sys.nr_rules == SLUB_DEBUG_RULES) {
		pr_err("slub_debug: more than %u caches are named",
		       SLUB_DEBUG_RULES);
		return -EINVAL;
	}
	if (len >= sizeof(r->name)) {
		pr_err("slub_debug: the name \"%.*s\" is too long", (int)len,
		       name);
		return -EINVAL;
	}
	r->flags = flags;
	mm_memcpy(r->name, name, len);
	r->name[len] = 0;
	kmem_sys.nr_rules++;
	return 0;
}

/* The names at *TEXT, each behind a comma. */
static int parse_names(const char **text, u32 flags)
{
	int err = 0;

	while (!err && **text == ',') {
		const char *name = ++*text;

		while (**text && **text != ',' && **text != ';')
			++*text;
		if (*text == name) {
			pr_err("slub_debug: a cache's name is missing");
			return -EINVAL;
		}
		err = add_rule(flags, name, (size_t)(*text - name));
	}
	return err;
}

int slub_debug_parse(const char *text)
{
	for (;;) {
		u32 flags;
		int err = parse_letters(&text, &flags);

		if (!err)
			err = *text == ',' ? parse_names(&text, flags)
					   : add_rule(flags, "", 0);
		if (err)
			return err;
		if (*text != ';')
			return 0;
		text++;
	}
}

static bool rule_names(const struct slub_debug_rule *r, const char *name)
{
	size_t len = mm_strlen(r->name);

	if (len && r->name[len - 1] == '*')
		return mm_strncmp(r->name, name, len - 1) == 0;
	return mm_strcmp(r->name, name) == 0;
}

u32 slub_debug_flags(const char *name, u32 flags)
{
	const struct slub_debug_rule *all = NULL;

	for (u32 i = 0; i < kmem_sys.nr_rules; i++) {
		const struct slub_debug_rule *r = &kmem_sys.rules[i];

		if (r->name[0] && rule_names(r, name))
			return flags | r->flags;
		if (!r->name[0] && !all)
			all = r;
	}
	return all ? flags | all->flags : flags;
}
