/* SPDX-License-Identifier: MIT */
/*
 * printk.h - the log: a line goes to port_console() and into a ring of
 * PRINTK_RING_BYTES that can be read back (dmesg).
 *
 * Each call is one line "[    0.000000] text\n" with the time since boot; a
 * newline at the end of the text is optional. Lines over PRINTK_LINE_MAX
 * bytes are cut. Any context; takes no lock that others see.
 */
#ifndef MM_BASE_PRINTK_H
#define MM_BASE_PRINTK_H

#include "base/seqbuf.h"

#define PRINTK_LINE_MAX 512

enum printk_level {
	PRINTK_EMERG = 0,
	PRINTK_ALERT = 1,
	PRINTK_CRIT = 2,
	PRINTK_ERR = 3,
	PRINTK_WARN = 4,
	PRINTK_NOTICE = 5,
	PRINTK_INFO = 6,
	PRINTK_DEBUG = 7,
};

/* printk: log one line at LEVEL. PRINTK_DEBUG only after printk_debug(true). */
void printk(enum printk_level level, const char *fmt, ...) MM_PRINTF(2, 3);

/* printk_debug: keep and print lines of level PRINTK_DEBUG from now on? */
void printk_debug(bool on);

/*
 * printk_dump: append the lines that the ring still holds, oldest first and
 * beginning with a whole line, to S. S must not log from its sink.
 */
void printk_dump(struct seq_buf *s);

#define pr_emerg(...)  printk(PRINTK_EMERG, __VA_ARGS__)
#define pr_crit(...)   printk(PRINTK_CRIT, __VA_ARGS__)
#define pr_err(...)    printk(PRINTK_ERR, __VA_ARGS__)
#define pr_warn(...)   printk(PRINTK_WARN, __VA_ARGS__)
#define pr_notice(...) printk(PRINTK_NOTICE, __VA_ARGS__)
#ifdef MM_LOG_WARN
/* No line below a warning, nor the code to make it; still checked. */
#define pr_low(level, ...)                          \
	do {                                        \
		if (0)                              \
			printk(level, __VA_ARGS__); \
	} while (0)
#define pr_info(...)  pr_low(PRINTK_INFO, __VA_ARGS__)
#define pr_debug(...) pr_low(PRINTK_DEBUG, __VA_ARGS__)
#else
#define pr_info(...)  printk(PRINTK_INFO, __VA_ARGS__)
#define pr_debug(...) printk(PRINTK_DEBUG, __VA_ARGS__)
#endif

#endif
