/* SPDX-License-Identifier: MIT */
/*
 * api.h - what the files of floor 11 share.
 */
#ifndef MM_API_API_H
#define MM_API_API_H

#include <mmkit/boot.h>

#endif
