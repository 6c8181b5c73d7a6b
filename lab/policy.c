/* SPDX-License-Identifier: MIT */
/*
 * policy.c - replacement policies by name, or from a file.
 *
 * A file is a shared object that defines
 *
 *	const u32 mmkit_policy_version = LRU_OPS_VERSION;
 *	const struct lru_ops mmkit_policy = { .name = ..., ... };
 *
 * and calls what src/reclaim/ has for policies (reclaim_*, queue_*): the
 * command exports its functions. It is compiled with the headers of src/ and
 * the flags of the command (examples/policy).
 */
#include "policy.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "reclaim/reclaim.h"

_Noreturn static void unknown(const char *name)
{
	const struct lru_ops *ops;
	char names[256] = "";
	size_t at = 0;

	for (u32 i = 0; (ops = reclaim_policy(i)) && at < sizeof(names); i++)
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s",
				       i ? ", " : "", ops->name);
	err_usage("--policy: no policy is called '%s' (there are: %s)", name,
		  names);
}

/* What the machine, and what prints its results, rely on. */
static void check_loaded(const char *path, const struct lru_ops *ops)
{
	const struct lru_ops *other;

	if (!ops->name || !*ops->name || strlen(ops->name) > 15)
		err_usage("--policy: %s: its name has 1 to 15 characters",
			  path);
	if (!ops->add || !ops->del || !ops->activate || !ops->scan)
		err_usage("--policy: %s: add, del, activate or scan is missing",
			  path);
	for (u32 i = 0; (other = reclaim_policy(i)); i++)
		if (other != ops && !strcmp(other->name, ops->name))
			err_usage(
				"--policy: %s: there is a policy '%s' already",
				path, ops->name);
}

static const struct lru_ops *load(const char *path)
{
	void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct lru_ops *ops;
	const u32 *version;

	if (!file)
		err_usage("--policy: %s", dlerror());
	version = dlsym(file, "mmkit_policy_version");
	ops = dlsym(file, "mmkit_policy");
	if (!version || !ops)
		err_usage("--policy: %s: it does not define mmkit_policy and "
			  "mmkit_policy_version",
			  path);
	if (*version != LRU_OPS_VERSION)
		err_usage("--policy: %s: made for version %u of the door, this "
			  "is version %u",
			  path, *version, LRU_OPS_VERSION);
	check_loaded(path, ops);
	return ops;
}

const struct lru_ops *policy_find(const char *name)
{
	const struct lru_ops *ops;

	if (strchr(name, '/'))
		return load(name);
	for (u32 i = 0; (ops = reclaim_policy(i)); i++)
		if (!strcmp(ops->name, name))
			return ops;
	unknown(name);
}

void policy_join(const struct lru_ops *ops)
{
	for (u32 i = 0; reclaim_policy(i); i++)
		if (reclaim_policy(i) == ops)
			return;
	if (reclaim_add(ops))
		err_die("--policy: %s: the machine has too many", ops->name);
}
