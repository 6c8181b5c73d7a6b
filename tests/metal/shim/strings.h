/* SPDX-License-Identifier: MIT */
/* strings.h - see string.h. */
#ifndef SHIM_STRINGS_H
#define SHIM_STRINGS_H

#define ffs(x)	__builtin_ffs(x)
#define ffsl(x) __builtin_ffsl(x)

#endif
