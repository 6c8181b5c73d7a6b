/* SPDX-License-Identifier: MIT */
/*
 * err.h - how the mmkit command speaks of failures: one line on stderr,
 * "mmkit VERB: what: why"; exit status 2 for wrong use, 1 for failure.
 */
#ifndef LAB_ERR_H
#define LAB_ERR_H

#include <setjmp.h>

#include <mmkit/types.h>

#define EXIT_FAILED 1
#define EXIT_USAGE  2

/* err_set_verb: the name in the messages; VERB must stay. NULL: none. */
void err_set_verb(const char *verb);

/* err_say: a message that ends nothing. */
void err_say(const char *fmt, ...) MM_PRINTF(1, 2);

/* err_die: a message, then exit(1). err_usage: exit(2), naming --help. */
_Noreturn void err_die(const char *fmt, ...) MM_PRINTF(1, 2);
_Noreturn void err_usage(const char *fmt, ...) MM_PRINTF(1, 2);

/*
 * err_catch: from now on err_die() and err_usage() put their message, without
 * the verb, into C->text and go where setjmp(C->env) was called. NULL: they end
 * the process again. Only what runs on the stack of C's owner may be caught.
 */
struct err_catch {
	jmp_buf env;
	char text[512];
};
void err_catch(struct err_catch *c);

/*
 * err_read_text: the file at PATH, to be freed, a zero behind its *LEN bytes.
 * What cannot be read, or has more than ERR_TEXT_MAX bytes and so is not WHAT
 * ("a firmware map"), ends in err_die() with nothing left open.
 */
#define ERR_TEXT_MAX (1u << 20)
char *err_read_text(const char *path, const char *what, size_t *len);

/*
 * err_suggest: that of the NR names closest to WORD by edit distance, or NULL
 * if none is near (more than a third of the letters, and more than 2, off).
 */
const char *err_suggest(const char *word, const char *const *names, size_t nr);

#endif
