/* SPDX-License-Identifier: MIT */
/*
 * proc_json.h - files of /proc as JSON. Theory: proc_json.c.
 */
#ifndef LAB_PROC_JSON_H
#define LAB_PROC_JSON_H

#include <stdbool.h>

#include <jansson.h>

/* proc_json_knows: is there a form for the file PATH, by its last name? */
bool proc_json_knows(const char *path);

/*
 * proc_json: TEXT, which is the file PATH, as a document mmkit.proc/1, the
 * caller's. NULL: there is no form for it, no memory (WHY is empty), or WHY is
 * the line that was not understood.
 */
json_t *proc_json(const char *path, const char *text, char why[128]);

#endif
