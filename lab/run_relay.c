/* SPDX-License-Identifier: MIT */
/*
 * run_relay.c - QEMU started, bytes passed on, the end awaited.
 *
 * One loop over what QEMU writes (the console, three channels of the guest,
 * its own messages), our standard input and the signals that should end us.
 *
 * The console belongs to the program between two markers, which the guest's
 * init writes; what a firmware or a kernel says outside goes to the log. Where
 * our standard input is no terminal it is sent with an escape for its end (see
 * guest/init.c), and never more than WINDOW bytes ahead of what the guest says
 * it has taken: a serial line has no other way to say "stop".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "run.h"

#define WINDOW	 1024u
#define ESCAPE	 0x10
#define GRACE_MS 5000
#define LOG_MAX	 (1u << 20)

enum { CONSOLE, LOG, REPORT, ERRORS, QEMU_ERR, NR_IN };

struct relay {
	const struct run_relay_opts *o;
	struct run_result *res;
	struct run_log *log;
	struct run_parser parser;
	pid_t pid;
	int in[NR_IN]; /* -1: at its end */
	int to_console, signals;
	FILE *log_file;
	/* The console's two markers. */
	u32 markers;	/* seen */
	size_t matched; /* bytes of the next one */
	/* Standard input: what is to be sent, what was sent. */
	char out[2 * WINDOW + 2];
	size_t out_len;
	u64 sent;
	bool stdin_end, prefix, keys; /* keys: a person types */
	u64 deadline_ms;	      /* 0: none */
	int result;
};

static struct termios saved_terminal;
static bool terminal_is_raw;

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* ---- our terminal ----------------------------------------------------------
 */

static void terminal_restore(void)
{
	if (terminal_is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_terminal);
	terminal_is_raw = false;
}

static void terminal_raw(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved_terminal))
		return;
	t = saved_terminal;
	cfmakeraw(&t);
	atexit(terminal_restore);
	if (!tcsetattr(STDIN_FILENO, TCSADRAIN, &t))
		terminal_is_raw = true;
}

/* ---- what comes from the machine -------------------------------------------
 */

/* The end is what matters: when the room is full the first half goes. */
static void add_log(struct relay *r, const char *p, size_t n)
{
	struct run_log *log = r->log;

	if (r->log_file)
		fwrite(p, 1, n, r->log_file);
	if (log->len + n > LOG_MAX) {
		memmove(log->text, log->text + LOG_MAX / 2,
			log->len - LOG_MAX / 2);
		log->len -= LOG_MAX / 2;
	}
	memcpy(log->text + log->len, p, n);
	log->len += n;
	log->text[log->len] = 0;
}

static void end_with(struct relay *r, int result)
{
	if (!r->result)
		r->result = result;
	kill(r->pid, SIGKILL);
}

static void put(struct relay *r, int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			if (errno != EPIPE)
				err_say("standard %s: %s",
					fd == 1 ? "output" : "error",
					strerror(errno));
			end_with(r,
				 errno == EPIPE ? 128 + SIGPIPE : RUN_FAILED);
			return;
		}
		p += done;
		n -= (size_t)done;
	}
}

/* Bytes of the console that are no marker's. */
static void console_bytes(struct relay *r, const char *p, size_t n)
{
	if (r->markers == 1)
		put(r, STDOUT_FILENO, p, n);
	else if (r->o->log_console)
		add_log(r, p, n);
}

/*
 * Bytes that could begin a marker are held back until it is clear. A marker's
 * first byte does not occur within it again, so a mismatch begins anew there.
 */
static void console(struct relay *r, const char *p, size_t n)
{
	const char *marker = r->o->marker;
	size_t len = strlen(marker), from = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == marker[r->matched]) {
			if (!r->matched++) {
				console_bytes(r, p + from, i - from);
				from = i;
			}
			if (r->matched == len) {
				r->markers++;
				r->matched = 0;
				from = i + 1;
			}
			continue;
		}
		if (!r->matched)
			continue;
		/* What was held back may have come in an earlier piece. */
		console_bytes(r, marker, r->matched);
		r->matched = 0;
		from = i;
		if (p[i] == marker[0])
			r->matched = 1;
	}
	if (!r->matched)
		console_bytes(r, p + from, n - from);
}

static bool panicked(const struct relay *r)
{
	return r->log->len && strstr(r->log->text, "Kernel panic");
}

static void take(struct relay *r, u32 which)
{
	static char buf[16384];
	ssize_t n = read(r->in[which], buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(r->in[which]);
		r->in[which] = -1;
		return;
	}
	if (which == CONSOLE)
		console(r, buf, (size_t)n);
	else if (which == REPORT)
		run_parse(&r->parser, buf, (size_t)n);
	else if (which == ERRORS)
		put(r, STDERR_FILENO, buf, (size_t)n);
	else
		add_log(r, buf, (size_t)n);
	/* QEMU would stay, with a machine that stands still. */
	if (which == QEMU_ERR && strstr(r->log->text, "KVM internal error")) {
		r->res->kvm_failed = true;
		end_with(r, RUN_FAILED);
	}
	/* It has said its last word; it should go by itself. */
	if (!r->deadline_ms && (r->res->bye || (which == LOG && panicked(r))))
		r->deadline_ms = now_ms() + GRACE_MS;
}

/* ---- what goes to it -------------------------------------------------------
 */

static void frame(struct relay *r, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == ESCAPE)
			r->out[r->out_len++] = ESCAPE;
		r->out[r->out_len++] = p[i];
	}
}

/* Ctrl-A x ends the machine, as in QEMU's own console; Ctrl-A twice is one. */
static void typed(struct relay *r, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (r->keys && !r->prefix && p[i] == 1) {
			r->prefix = true;
			continue;
		}
		if (r->prefix && p[i] == 'x') {
			end_with(r, 128 + SIGINT);
			return;
		}
		r->prefix = false;
		r->out[r->out_len++] = p[i];
	}
}

static void take_stdin(struct relay *r)
{
	char buf[WINDOW / 2];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && r->o->tty) {
		typed(r, buf, (size_t)n);
	} else if (n > 0) {
		frame(r, buf, (size_t)n);
	} else {
		r->stdin_end = true;
		if (r->o->tty)
			r->out[r->out_len++] = 4; /* Ctrl-D */
		if (!r->o->tty) {
			r->out[r->out_len++] = ESCAPE;
			r->out[r->out_len++] = 'e';
		}
	}
}

static void send_out(struct relay *r)
{
	ssize_t n = write(r->to_console, r->out, r->out_len);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		r->out_len = 0;
		r->stdin_end = true;
		return;
	}
	memmove(r->out, r->out + n, r->out_len - (size_t)n);
	r->out_len -= (size_t)n;
	r->sent += (u64)n;
}

static bool wants_stdin(const struct relay *r)
{
	if (r->stdin_end || !r->res->began || r->out_len ||
	    (!r->o->tty && !r->o->forward_stdin))
		return false;
	return r->o->tty || r->sent - r->res->acked < WINDOW;
}

/* ---- the loop --------------------------------------------------------------
 */

static void take_signal(struct relay *r)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof(info)) == sizeof(info))
		end_with(r, 128 + (int)info.ssi_signo);
}

static int wait_ms(struct relay *r)
{
	u64 now = now_ms();

	if (!r->deadline_ms)
		return -1;
	return r->deadline_ms > now
		       ? (int)min(r->deadline_ms - now, (u64)1 << 30)
		       : 0;
}

static bool open_ends(const struct relay *r)
{
	for (u32 i = 0; i < NR_IN; i++)
		if (r->in[i] >= 0)
			return true;
	return false;
}

static void turn(struct relay *r)
{
	struct pollfd p[NR_IN + 3];
	int n;

	for (u32 i = 0; i < NR_IN; i++)
		p[i] = (struct pollfd){.fd = r->in[i], .events = POLLIN};
	p[NR_IN] = (struct pollfd){.fd = r->signals, .events = POLLIN};
	p[NR_IN + 1] = (struct pollfd){.fd = wants_stdin(r) ? STDIN_FILENO : -1,
				       .events = POLLIN};
	p[NR_IN + 2] = (struct pollfd){.fd = r->out_len ? r->to_console : -1,
				       .events = POLLOUT};
	n = poll(p, NR_IN + 3, wait_ms(r));
	if (!n) {
		/* Said goodbye, or a panic: nothing was missed. */
		end_with(r, r->res->bye || panicked(r) ? 0 : RUN_TIMEOUT);
		r->deadline_ms = 0;
	}
	if (n <= 0)
		return;
	if (p[NR_IN].revents)
		take_signal(r);
	/* The report first: it opens and closes the way of the console. */
	if (p[REPORT].revents)
		take(r, REPORT);
	for (u32 i = 0; i < NR_IN; i++)
		if (i != REPORT && p[i].revents)
			take(r, i);
	if (p[NR_IN + 1].revents)
		take_stdin(r);
	if (p[NR_IN + 2].revents)
		send_out(r);
}

/* ---- the process -----------------------------------------------------------
 */

static void make_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC))
		run_fail("cannot make a pipe: %s", strerror(errno));
}

_Noreturn static void become_qemu(char *const *argv, int console_in,
				  int ends[NR_IN][2], const sigset_t *mask)
{
	static const int target[NR_IN] = {STDOUT_FILENO, RUN_FD_LOG,
					  RUN_FD_REPORT, RUN_FD_STDERR,
					  STDERR_FILENO};
	int copy[NR_IN];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Above all targets first, so that none is overwritten. */
	console_in = fcntl(console_in, F_DUPFD_CLOEXEC, RUN_FD_END);
	for (u32 i = 0; i < NR_IN; i++)
		copy[i] = fcntl(ends[i][1], F_DUPFD_CLOEXEC, RUN_FD_END);
	dup2(console_in, STDIN_FILENO);
	for (u32 i = 0; i < NR_IN; i++)
		dup2(copy[i], target[i]);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	setpgid(0, 0); /* the terminal's signals are ours */
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void start(struct relay *r, char *const *argv)
{
	int ends[NR_IN][2], console_in[2];
	sigset_t mask, old;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGQUIT);
	sigprocmask(SIG_BLOCK, &mask, &old);
	signal(SIGPIPE, SIG_IGN);
	r->signals = signalfd(-1, &mask, SFD_CLOEXEC);
	if (r->signals < 0)
		run_fail("signalfd: %s", strerror(errno));
	make_pipe(console_in);
	for (u32 i = 0; i < NR_IN; i++)
		make_pipe(ends[i]);
	fflush(NULL);
	r->pid = fork();
	if (r->pid < 0)
		run_fail("cannot fork: %s", strerror(errno));
	if (!r->pid)
		become_qemu(argv, console_in[0], ends, &old);
	close(console_in[0]);
	r->to_console = console_in[1];
	fcntl(r->to_console, F_SETFL, O_NONBLOCK);
	for (u32 i = 0; i < NR_IN; i++) {
		close(ends[i][1]);
		r->in[i] = ends[i][0];
	}
}

static void open_log(struct relay *r)
{
	r->log->text = malloc(LOG_MAX + 1);
	if (!r->log->text)
		run_fail("no memory for the kernel's log");
	r->log->text[0] = 0;
	if (!r->o->log)
		return;
	r->log_file = fopen(r->o->log, "we");
	if (!r->log_file)
		run_fail("--log: %s: %s", r->o->log, strerror(errno));
}

int run_relay(const struct run_machine *m, const struct run_relay_opts *o,
	      struct run_result *res, struct run_log *log)
{
	static struct relay r;
	u64 begin = now_ms();
	int status = 0;

	r = (struct relay){0};
	r.o = o;
	r.res = res;
	r.log = log;
	r.parser.res = res;
	open_log(&r);
	if (o->timeout_ms)
		r.deadline_ms = begin + o->timeout_ms;
	start(&r, m->argv);
	r.keys = o->tty && isatty(STDIN_FILENO);
	if (r.keys)
		terminal_raw();
	while (open_ends(&r))
		turn(&r);
	if (r.matched) /* it was no marker after all */
		console_bytes(&r, o->marker, r.matched);
	terminal_restore();
	close(r.to_console);
	while (waitpid(r.pid, &status, 0) < 0 && errno == EINTR)
		;
	close(r.signals);
	free(r.parser.data);
	res->wall_ns = (now_ms() - begin) * 1000000;
	if (r.log_file && fclose(r.log_file))
		run_fail("--log: %s: %s", o->log, strerror(errno));
	return r.result;
}
