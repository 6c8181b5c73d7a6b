/* SPDX-License-Identifier: MIT */
/*
 * n_tty.c - the line discipline: what typed bytes mean, and how output looks.
 *
 * 1. Purpose. Between the wire and the program stands what termios(3)
 *    describes: lines are collected and edited (ICANON), some bytes are
 *    signals (ISIG) or hold the output (IXON), what is typed is shown (ECHO),
 *    newlines become what the device wants (OPOST).
 *
 * 2. Buffer. One ring with three free-running places: bytes come in at HEAD
 *    and are read at TAIL; in canonical mode only what is before CANON, whole
 *    lines, can be read, and what is between CANON and HEAD is still being
 *    edited. ENDS marks the bytes that end a line; an end of file is such a
 *    byte too (EOF_MARK), which ends a read without being given.
 *
 * 3. Invariants.
 *    TTY-1  tail <= canon <= head <= tail + TTY_BUF (as distances); without
 *           ICANON canon is tail.
 *    TTY-2  lines is the number of marks in [tail, canon); none stands
 *           elsewhere.
 *
 * 4. Columns. To rub out a tab one must know where it began: the column of
 *    output is counted, and the one at which the line being edited began; the
 *    rest is computed from its bytes.
 *
 * 5. Locking. All under tty.lock, in interrupts too. What must be done without
 *    it (signals, wake-ups) is noted in the tty and done by tty_input().
 *
 * References: termios(3), ioctl_tty(2); POSIX.1, General Terminal Interface.
 */
#include "base/bitops.h"
#include "tty.h"

#define EOF_MARK 0u /* cc[VEOF] in the buffer: "disabled" is never typed */
#define DISABLED 0u

static u32 at(u32 place)
{
	return place & (TTY_BUF - 1);
}

static bool l_flag(const struct tty *tty, u32 flag)
{
	return (tty->termios.lflag & flag) != 0;
}

static bool i_flag(const struct tty *tty, u32 flag)
{
	return (tty->termios.iflag & flag) != 0;
}

static bool o_flag(const struct tty *tty, u32 flag)
{
	return (tty->termios.oflag & flag) != 0;
}

/* Is C the special character NR, and is there one? */
static bool is_cc(const struct tty *tty, u8 c, u32 nr)
{
	return tty->termios.cc[nr] != DISABLED && tty->termios.cc[nr] == c;
}

void n_tty_check(const struct tty *tty)
{
	u32 lines = 0, marks = 0;

	mm_verify(tty->head - tty->tail <= TTY_BUF);
	mm_verify(tty->canon - tty->tail <= tty->head - tty->tail);
	mm_verify(l_flag(tty, ICANON) || tty->canon == tty->tail);
	for (u32 p = tty->tail; p != tty->canon; p++)
		lines += test_bit(at(p), tty->ends);
	for (u32 i = 0; i < TTY_BUF; i++)
		marks += test_bit(i, tty->ends);
	mm_verify(lines == tty->lines && marks == lines);
}

/* ---- output ----------------------------------------------------------------
 */

static void put1(struct tty *tty, u8 c)
{
	char byte = (char)c;

	if (tty->driver->room(tty))
		tty->driver->put(tty, &byte, 1);
}

static void put_text(struct tty *tty, const char *text)
{
	for (; *text; text++)
		put1(tty, (u8)*text);
}

static bool continues(const struct tty *tty, u8 c)
{
	return i_flag(tty, IUTF8) && (c & 0xc0) == 0x80;
}

/* Columns that C, shown as it is, moves on from COLUMN. */
static u32 width(const struct tty *tty, u8 c, u32 column)
{
	if (c == '\t')
		return 8 - (column & 7);
	return c >= ' ' && c != 0x7f && !continues(tty, c);
}

static void put_newline(struct tty *tty)
{
	if (o_flag(tty, ONLRET))
		tty->column = 0;
	if (o_flag(tty, ONLCR)) {
		tty->column = 0;
		put1(tty, '\r');
	}
	tty->canon_column = tty->column;
	put1(tty, '\n');
}

static void put_return(struct tty *tty)
{
	if (o_flag(tty, ONOCR) && !tty->column)
		return;
	if (o_flag(tty, OCRNL)) {
		if (o_flag(tty, ONLRET))
			tty->column = tty->canon_column = 0;
		put1(tty, '\n');
		return;
	}
	tty->column = tty->canon_column = 0;
	put1(tty, '\r');
}

static void put_tab(struct tty *tty)
{
	u32 n = width(tty, '\t', tty->column);

	tty->column += n;
	if ((tty->termios.oflag & XTABS) != XTABS) {
		put1(tty, '\t');
		return;
	}
	while (n--)
		put1(tty, ' ');
}

/* One byte of output, processed: at most 8 bytes. */
static void put_processed(struct tty *tty, u8 c)
{
	if (!o_flag(tty, OPOST)) {
		put1(tty, c);
		return;
	}
	if (c == '\n') {
		put_newline(tty);
	} else if (c == '\r') {
		put_return(tty);
	} else if (c == '\t') {
		put_tab(tty);
	} else {
		if (c == '\b' && tty->column)
			tty->column--;
		tty->column += width(tty, c, tty->column);
		if (o_flag(tty, OLCUC) && c >= 'a' && c <= 'z')
			c = (u8)(c - 'a' + 'A');
		put1(tty, c);
	}
}

u32 n_tty_output(struct tty *tty, const u8 *bytes, u32 n)
{
	u32 done = 0;

	while (done < n && !tty->stopped && tty->driver->room(tty) >= 8)
		put_processed(tty, bytes[done++]);
	return done;
}

/* ---- echo ------------------------------------------------------------------
 */

/* Is C shown as ^C? */
static bool shown_as_control(const struct tty *tty, u8 c)
{
	return l_flag(tty, ECHOCTL) && (c < ' ' || c == 0x7f) && c != '\t' &&
	       c != '\n';
}

static void echo_control(struct tty *tty, u8 c)
{
	put1(tty, '^');
	put1(tty, c ^ 0x40);
	tty->column += 2;
}

static void echo(struct tty *tty, u8 c)
{
	if (c == '\n' ? !l_flag(tty, ECHO | ECHONL) : !l_flag(tty, ECHO))
		return;
	if (tty->canon == tty->head)
		tty->canon_column = tty->column;
	if (shown_as_control(tty, c))
		echo_control(tty, c);
	else
		put_processed(tty, c);
}

/* Columns of the line being edited, up to place END. */
static u32 column_at(const struct tty *tty, u32 end)
{
	u32 column = tty->canon_column;

	for (u32 p = tty->canon; p != end; p++) {
		u8 c = tty->buf[at(p)];

		column += shown_as_control(tty, c) ? 2 : width(tty, c, column);
	}
	return column;
}

/* Go back to COLUMN, blanking what is passed. */
static void rub_out(struct tty *tty, u32 column, bool tab)
{
	while (tty->column > column) {
		put_text(tty, tab ? "\b" : "\b \b");
		tty->column--;
	}
}

/* ---- editing ---------------------------------------------------------------
 */

/* The last character of the line being edited goes; with IUTF8 all its bytes.
 */
static void erase_char(struct tty *tty)
{
	bool tab;

	if (tty->head == tty->canon)
		return;
	do {
		tty->head--;
	} while (tty->head != tty->canon &&
		 continues(tty, tty->buf[at(tty->head)]));
	if (!l_flag(tty, ECHO))
		return;
	if (!l_flag(tty, ECHOE)) {
		echo(tty, tty->termios.cc[VERASE]);
		return;
	}
	tab = tty->buf[at(tty->head)] == '\t';
	rub_out(tty, column_at(tty, tty->head), tab);
}

static bool word_byte(u8 c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

/* Blanks and such, then the word before them. */
static void erase_word(struct tty *tty)
{
	bool seen = false;

	while (tty->head != tty->canon) {
		bool word = word_byte(tty->buf[at(tty->head - 1)]);

		if (seen && !word)
			break;
		seen |= word;
		erase_char(tty);
	}
}

static void erase_line(struct tty *tty)
{
	if (l_flag(tty, ECHO) && l_flag(tty, ECHOKE) && l_flag(tty, ECHOE)) {
		while (tty->head != tty->canon)
			erase_char(tty);
		return;
	}
	tty->head = tty->canon;
	if (!l_flag(tty, ECHO))
		return;
	echo(tty, tty->termios.cc[VKILL]);
	if (l_flag(tty, ECHOK))
		put_processed(tty, '\n');
}

static void reprint(struct tty *tty)
{
	u32 head = tty->head;

	echo(tty, tty->termios.cc[VREPRINT]);
	put_processed(tty, '\n');
	for (u32 p = tty->canon; p != head; p++)
		echo(tty, tty->buf[at(p)]);
}

/* ---- input -----------------------------------------------------------------
 */

static void note(struct tty *tty, u8 what)
{
	if (tty->driver->note)
		tty->driver->note(tty, what);
}

void n_tty_flush_output(struct tty *tty)
{
	if (tty->driver->flush)
		tty->driver->flush(tty);
	note(tty, TTY_PKT_FLUSHWRITE);
}

void n_tty_stop(struct tty *tty, bool stop)
{
	if (tty->stopped == stop || tty->held)
		return;
	tty->stopped = stop;
	note(tty, stop ? TTY_PKT_STOP : TTY_PKT_START);
}

void n_tty_hold(struct tty *tty, bool hold)
{
	tty->held = false;
	n_tty_stop(tty, hold);
	tty->held = hold;
}

void n_tty_flush_input(struct tty *tty)
{
	note(tty, TTY_PKT_FLUSHREAD);
	tty->head = tty->canon = tty->tail = 0;
	tty->lines = 0;
	tty->literal = false;
	mm_memset(tty->ends, 0, sizeof(tty->ends));
}

/* C is what programs get, if there is room. A line keeps one byte free for its
 * end. */
static bool store(struct tty *tty, u8 c, bool end)
{
	u32 used = tty->head - tty->tail;

	if (used >= TTY_BUF - (l_flag(tty, ICANON) && !end)) {
		if (i_flag(tty, IMAXBEL))
			put1(tty, '\a');
		return false;
	}
	tty->buf[at(tty->head++)] = c;
	if (!l_flag(tty, ICANON)) {
		tty->input_came = true;
	} else if (end) {
		__set_bit(at(tty->head - 1), tty->ends);
		tty->canon = tty->head;
		tty->lines++;
		tty->input_came = true;
	}
	if (!l_flag(tty, ICANON))
		tty->canon = tty->tail;
	return true;
}

/* INTR, QUIT, SUSP: the signal of C, or 0. */
static int signal_of(const struct tty *tty, u8 c)
{
	if (!l_flag(tty, ISIG))
		return 0;
	if (is_cc(tty, c, VINTR))
		return SIGINT;
	if (is_cc(tty, c, VQUIT))
		return SIGQUIT;
	return is_cc(tty, c, VSUSP) ? SIGTSTP : 0;
}

static void go_on(struct tty *tty)
{
	n_tty_stop(tty, false);
	tty->went_on = true;
}

static void receive_signal(struct tty *tty, u8 c, int sig)
{
	if (!l_flag(tty, NOFLSH)) {
		n_tty_flush_input(tty);
		n_tty_flush_output(tty);
		tty->went_on = true;
	}
	if (i_flag(tty, IXON))
		go_on(tty);
	echo(tty, c);
	tty->signals |= SIGSET(sig);
}

/* START and STOP; true: C was one. */
static bool receive_flow(struct tty *tty, u8 c)
{
	if (!i_flag(tty, IXON))
		return false;
	if (is_cc(tty, c, VSTOP)) {
		n_tty_stop(tty, true);
		return true;
	}
	if (is_cc(tty, c, VSTART)) {
		go_on(tty);
		return true;
	}
	if (tty->stopped && i_flag(tty, IXANY))
		go_on(tty);
	return false;
}

/* Editing; true: C was for that. */
static bool receive_edit(struct tty *tty, u8 c)
{
	if (is_cc(tty, c, VERASE)) {
		erase_char(tty);
	} else if (is_cc(tty, c, VKILL)) {
		erase_line(tty);
	} else if (!l_flag(tty, IEXTEN)) {
		return false;
	} else if (is_cc(tty, c, VWERASE)) {
		erase_word(tty);
	} else if (is_cc(tty, c, VLNEXT)) {
		tty->literal = true;
		if (l_flag(tty, ECHO) && l_flag(tty, ECHOCTL))
			put_text(tty, "^\b");
	} else if (is_cc(tty, c, VREPRINT) && l_flag(tty, ECHO)) {
		reprint(tty);
	} else {
		return false;
	}
	return true;
}

/* Ends of lines; true: C was one. */
static bool receive_end(struct tty *tty, u8 c)
{
	if (is_cc(tty, c, VEOF)) {
		(void)store(tty, EOF_MARK, true);
		return true;
	}
	if (c != '\n' && !is_cc(tty, c, VEOL) &&
	    !(l_flag(tty, IEXTEN) && is_cc(tty, c, VEOL2)))
		return false;
	echo(tty, c);
	(void)store(tty, c, true);
	return true;
}

/* What a return or newline is to programs; false: nothing. */
static bool map_newline(const struct tty *tty, u8 *c)
{
	if (*c == '\r') {
		if (i_flag(tty, IGNCR))
			return false;
		if (i_flag(tty, ICRNL))
			*c = '\n';
	} else if (*c == '\n' && i_flag(tty, INLCR)) {
		*c = '\r';
	}
	return true;
}

static void receive_plain(struct tty *tty, u8 c)
{
	/* Shown first: where the line began is where it is still empty. */
	if (tty->head - tty->tail < TTY_BUF - 1)
		echo(tty, c);
	(void)store(tty, c, false);
}

void n_tty_receive(struct tty *tty, u8 c)
{
	int sig;

	if (i_flag(tty, ISTRIP))
		c &= 0x7f;
	if (tty->literal) {
		tty->literal = false;
		receive_plain(tty, c);
		return;
	}
	if (receive_flow(tty, c))
		return;
	sig = signal_of(tty, c);
	if (sig) {
		receive_signal(tty, c, sig);
		return;
	}
	if (!map_newline(tty, &c))
		return;
	if (i_flag(tty, IUCLC) && l_flag(tty, IEXTEN) && c >= 'A' && c <= 'Z')
		c = (u8)(c - 'A' + 'a');
	if (l_flag(tty, ICANON) &&
	    (receive_edit(tty, c) || receive_end(tty, c)))
		return;
	receive_plain(tty, c);
}

/* ---- reading ---------------------------------------------------------------
 */

u32 n_tty_readable(const struct tty *tty)
{
	return l_flag(tty, ICANON) ? tty->lines : tty->head - tty->tail;
}

u32 n_tty_take(struct tty *tty, u8 *out, u32 n, bool *end)
{
	u32 done = 0, stop = tty->head;

	*end = false;
	if (l_flag(tty, ICANON))
		stop = tty->canon;
	while (tty->tail != stop && !*end) {
		u32 i = at(tty->tail);
		bool last = test_bit(i, tty->ends);
		u8 c = tty->buf[i];

		/* An end of file is taken even with no room left for it. */
		if (done == n && !(last && c == EOF_MARK))
			break;
		if (!(last && c == EOF_MARK))
			out[done++] = c;
		tty->tail++;
		if (last) {
			__clear_bit(i, tty->ends);
			tty->lines--;
			*end = true;
		}
	}
	if (!l_flag(tty, ICANON))
		tty->canon = tty->tail;
	return done;
}

/* Into canonical mode what is there becomes a line; out of it lines are bytes.
 */
static void change_mode(struct tty *tty)
{
	mm_memset(tty->ends, 0, sizeof(tty->ends));
	tty->lines = 0;
	tty->canon = tty->tail;
	if (!l_flag(tty, ICANON) || tty->head == tty->tail)
		return;
	tty->canon = tty->head;
	__set_bit(at(tty->head - 1), tty->ends);
	tty->lines = 1;
}

/* Does the other end do well to stop and go by ^S and ^Q of its own? */
static bool usual_flow(const struct ktermios *t)
{
	return (t->iflag & IXON) && t->cc[VSTOP] == 19 && t->cc[VSTART] == 17;
}

void n_tty_set_termios(struct tty *tty, const struct ktermios *t)
{
	struct ktermios old = tty->termios;

	tty->termios = *t;
	if (usual_flow(&old) != usual_flow(t))
		note(tty, usual_flow(t) ? TTY_PKT_DOSTOP : TTY_PKT_NOSTOP);
	if ((old.lflag ^ t->lflag) & ICANON)
		change_mode(tty);
	if ((old.iflag & IXON) && !(t->iflag & IXON) && tty->stopped)
		go_on(tty);
	if (n_tty_readable(tty))
		tty->input_came = true;
}
