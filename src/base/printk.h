/* SPDX-License-Identifier: MIT */
/*
 * printk.h - the log: a line goes to port_console() and into a ring of
 * PRINTK_RING_BYTES that can be read back (dmesg).
 *
 * Each call is one record, printed as "[    0.000000] text\n" with the time
 * since boot; a newline at the end of the text is optional. Lines over
 * PRINTK_LINE_MAX bytes are cut. Records have numbers from 0 on; the oldest
 * are overwritten. Any context; takes no lock that others see.
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

/*
 * printk_user: the line TEXT of a program. PRIO is of syslog(3): a level, and
 * a facility shifted by PRINTK_FACILITY_SHIFT.
 */
void printk_user(u32 prio, const char *text);
#define PRINTK_FACILITY_SHIFT 3

/* printk_debug: keep and print lines of level PRINTK_DEBUG from now on? */
void printk_debug(bool on);

/*
 * printk_dump: append the lines that the ring still holds, oldest first and
 * beginning with a whole line, to S. S must not log from its sink.
 */
void printk_dump(struct seq_buf *s);

/*
 * What reads record by record: a position, 0 at first, and what stood there,
 * without a newline at its end.
 */
struct printk_pos {
	u64 seq; /* the record's number */
	u64 at;	 /* the log's: where it may be found */
};
struct printk_line {
	u64 seq, ns;
	u32 prio; /* as printk_user() has it */
	u32 len;
	char text[PRINTK_LINE_MAX];
};

/*
 * printk_read: the oldest record at or after POS that the ring still has, to
 * *LINE; POS is behind it then. False: there is none. Records that were lost
 * are the numbers left out.
 */
bool printk_read(struct printk_pos *pos, struct printk_line *line);
/* printk_oldest: at the oldest record that is there. printk_end: behind the
 * newest. */
struct printk_pos printk_oldest(void);
struct printk_pos printk_end(void);
/*
 * printk_text: append LINE as it was printed to S, each line of it with its
 * time, and PRIO's number in front ("<6>[    0.000000] text\n") if PRIO.
 */
void printk_text(struct seq_buf *s, const struct printk_line *line, bool prio);

/*
 * The console: printk_console_level(N) shows records of levels below N from
 * now on, 1 to 8 (8: all); returns what it was. 0: only asks.
 */
u32 printk_console_level(u32 level);

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
