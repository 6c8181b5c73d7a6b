/* SPDX-License-Identifier: MIT */
/*
 * policy.h - replacement policies by name, or from a file.
 */
#ifndef LAB_POLICY_H
#define LAB_POLICY_H

#include "phys/lru.h"

/*
 * policy_find: the policy called NAME, or the one in the shared object NAME,
 * which has a '/' in it. A wrong name, or a file that has no policy for this
 * version of the door (LRU_OPS_VERSION), ends the process (err_usage). A file
 * is loaded once, and stays.
 */
const struct lru_ops *policy_find(const char *name);

/* policy_join: before a machine boots that is to have OPS: if it came from a
 * file, the machine learns of it. */
void policy_join(const struct lru_ops *ops);

#endif
