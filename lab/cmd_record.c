/* SPDX-License-Identifier: MIT */
/*
 * cmd_record.c - mmkit record: run a program under valgrind's lackey and
 * make a trace of what its processes print.
 *
 * 1. Purpose. One trace of a program and its children, in one legal order.
 * 2. Structures. A directory with one log per process. The first process'
 *    log is a FIFO, so that gigabytes of text never touch a disk. A forked
 *    child's log is created by valgrind itself, a plain file; when the child
 *    execs, valgrind starts what the environment names as its launcher, a
 *    script of ours that keeps the file as fork.PID and puts a FIFO in its
 *    place (a plain file would be truncated there).
 * 3. Order. Logs are read in turns as text arrives, which follows real time
 *    to within a pipe's length. Rules make it legal: a child's text is read
 *    only after the fork in its parent's text; a wait in the parent's text is
 *    recorded only after all of the child's text (the child is dead by then,
 *    so this cannot block); exec is in the stream itself. Recording the same
 *    program twice may order independent processes differently.
 * 4. Locking: none; one thread. 5. Life: the trace appears under its name
 *    only when all went well.
 * 6. Failure: the temporary directory and the half trace are removed, also
 *    on SIGINT and SIGTERM.
 * 7. Complexity: linear in the text, about a million lines a second, most of
 *    it valgrind's own time.
 * 8. Rejected: --log-fd (lines of several processes would mix without a
 *    pid); --log-socket (children inherit the connection).
 */
#include "args.h"
#include "err.h"
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK	 65536
#define IDLE_MS	 10
#define WINDOW	 1000 /* the default filter */
#define MAX_ARGV 4096
#define TICK_NS	 200000000LL

int cmd_record(int argc, char **argv);

struct options {
	const char *out;
	const char *lackey; /* text instead of a program */
	u64 window;
	bool no_content;
	char **argv; /* the program's, NULL-terminated */
	int argc;
};

/* One process' log. */
struct stream {
	pid_t pid;
	int fd;
	bool fifo, done;
	struct stream *next;
	char buf[CHUNK];
};

struct session {
	const struct options *opt;
	struct recorder rec;
	struct lackey *lackey;
	struct stream *streams;
	char dir[256];
	pid_t root;
	bool root_dead;
	int root_status; /* 0..255, or 256 + signal */
	bool tty;
	s64 last_tick;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

/* ---- progress
 * --------------------------------------------------------------------- */

static void progress(struct session *s, bool last)
{
	const struct trace_totals *t = trace_writer_totals(s->rec.out);
	struct timespec ts;
	s64 now;

	if (!s->tty)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * 1000000000LL + ts.tv_nsec;
	if (!last && now - s->last_tick < TICK_NS)
		return;
	s->last_tick = now;
	fprintf(stderr, "\r%12llu references  %10llu records  %8llu pages%s",
		(unsigned long long)s->rec.refs, (unsigned long long)t->records,
		(unsigned long long)s->rec.extra.footprint_pages,
		last ? "\n" : "");
	fflush(stderr);
}

/* ---- the logs of processes
 * ------------------------------------------------------------ */

static void log_name(const struct session *s, const char *kind, pid_t pid,
		     char *to, size_t size)
{
	snprintf(to, size, "%s/%s.%d", s->dir, kind, (int)pid);
}

/* Is PID gone, or only a zombie? */
static bool is_dead(const struct session *s, pid_t pid)
{
	char name[64], line[512], *state;
	FILE *f;
	bool dead = true;

	if (pid == s->root)
		return s->root_dead;
	snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	f = fopen(name, "re");
	if (!f)
		return true;
	if (fgets(line, sizeof(line), f) && (state = strrchr(line, ')')))
		dead = state[1] == ' ' && state[2] == 'Z';
	fclose(f);
	return dead;
}

/* Open what there is to read of S's process now: the part before exec first. */
static bool stream_open(struct session *s, struct stream *t)
{
	char name[320];
	struct stat st;
	int fd;

	log_name(s, "fork", t->pid, name, sizeof(name));
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		unlink(name);
	} else {
		log_name(s, "log", t->pid, name, sizeof(name));
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (fd < 0)
		return false;
	t->fd = fd;
	t->fifo = !fstat(fd, &st) && S_ISFIFO(st.st_mode);
	return true;
}

/* At the end of a plain log: has exec put a FIFO in its place? */
static bool stream_replaced(struct session *s, struct stream *t)
{
	char name[320];
	struct stat st;

	log_name(s, "log", t->pid, name, sizeof(name));
	if (t->fifo || stat(name, &st) || !S_ISFIFO(st.st_mode))
		return false;
	log_name(s, "fork", t->pid, name, sizeof(name));
	unlink(name);
	return true;
}

/* Bytes read and handed on, 0 for none now, or a negative errno. */
static ssize_t pump(struct session *s, struct stream *t)
{
	struct lackey_proc *p = lackey_proc(s->lackey, t->pid);
	ssize_t n;
	int ret;

	if (!p || (t->fd < 0 && !stream_open(s, t)))
		return 0;
	n = read(t->fd, t->buf, CHUNK);
	if (n <= 0) {
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n == 0 && stream_replaced(s, t)) {
			close(t->fd);
			t->fd = -1;
			return stream_open(s, t) ? 1 : 0;
		}
		return 0;
	}
	ret = lackey_text(s->lackey, p, t->buf, (size_t)n);
	return ret ? ret : n;
}

static struct stream *stream_new(struct session *s, pid_t pid)
{
	struct stream *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->pid = pid;
	t->fd = -1;
	t->next = s->streams;
	s->streams = t;
	return t;
}

static struct stream *stream_find(struct session *s, pid_t pid)
{
	struct stream *t = s->streams;

	while (t && (t->pid != pid || t->done))
		t = t->next;
	return t;
}

static void stream_close(struct session *s, struct stream *t)
{
	char name[320];

	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	t->done = true;
	log_name(s, "log", t->pid, name, sizeof(name));
	unlink(name);
}

/* The process is dead: read the rest. */
static int drain(struct session *s, struct stream *t)
{
	ssize_t n;

	while ((n = pump(s, t)) > 0)
		progress(s, false);
	stream_close(s, t);
	return (int)n;
}

/* lackey's LOST callback: PID was waited for. */
static int drain_pid(void *arg, pid_t pid)
{
	struct session *s = arg;
	struct stream *t = stream_find(s, pid);

	if (!t)
		t = stream_new(s, pid);
	return t ? drain(s, t) : -ENOMEM;
}

/* Logs of processes that are new in the directory. */
static int find_streams(struct session *s)
{
	DIR *d = opendir(s->dir);
	struct dirent *e;
	int pid, ret = 0;

	if (!d)
		return -errno;
	while (!ret && (e = readdir(d)))
		if (sscanf(e->d_name, "log.%d", &pid) == 1 &&
		    !stream_find(s, pid) && !stream_new(s, pid))
			ret = -ENOMEM;
	closedir(d);
	return ret;
}

/* ---- the main loop
 * ---------------------------------------------------------------------- */

static void reap_root(struct session *s)
{
	int st;

	if (s->root_dead || waitpid(s->root, &st, WNOHANG) != s->root)
		return;
	s->root_dead = true;
	s->root_status = WIFSIGNALED(st) ? 256 + WTERMSIG(st) : WEXITSTATUS(st);
}

/* One turn over all logs: 1 if something was read, 0, or an error. */
static int turn(struct session *s)
{
	int any = 0;

	for (struct stream *t = s->streams; t; t = t->next) {
		bool dead = !t->done && is_dead(s, t->pid);
		struct lackey_proc *p;
		ssize_t n;

		if (t->done)
			continue;
		n = pump(s, t);
		if (n < 0)
			return (int)n;
		any |= n > 0;
		p = lackey_proc(s->lackey, t->pid);
		if (!dead || n || !p || t->done)
			continue;
		stream_close(s, t);
		n = lackey_end(s->lackey, p,
			       t->pid == s->root ? s->root_status : -1);
		if (n)
			return (int)n;
		any = 1;
	}
	return any;
}

/* Nothing to read: wait for text of a FIFO, or a while. */
static void idle(struct session *s)
{
	struct pollfd fds[64];
	nfds_t n = 0;

	for (struct stream *t = s->streams; t && n < 64; t = t->next)
		if (!t->done && t->fifo && t->fd >= 0 && !is_dead(s, t->pid))
			fds[n++] = (struct pollfd){t->fd, POLLIN, 0};
	if (poll(fds, n, IDLE_MS) > 0 && !(fds[0].revents & POLLIN))
		usleep(1000); /* hung up between exec and its first line */
}

/* Are processes left that somebody knows of? Others were never heard of. */
static bool finished(struct session *s)
{
	if (!s->root_dead)
		return false;
	for (struct stream *t = s->streams; t; t = t->next)
		if (!t->done && lackey_proc(s->lackey, t->pid))
			return false;
	return true;
}

static int follow(struct session *s)
{
	int ret = 0;

	while (!interrupted) {
		reap_root(s);
		ret = turn(s);
		if (ret < 0)
			return ret;
		if (ret == 0) {
			if (finished(s))
				return 0;
			ret = find_streams(s);
			if (ret)
				return ret;
			idle(s);
		}
		progress(s, false);
	}
	return -EINTR;
}

/* ---- starting the program
 * ------------------------------------------------------------------- */

/* The full name of lackey's program, or NULL. */
static const char *find_tool(void)
{
	static const char *const dirs[] = {
		"/usr/libexec/valgrind",   "/usr/lib/x86_64-linux-gnu/valgrind",
		"/usr/lib/valgrind",	   "/usr/local/libexec/valgrind",
		"/usr/local/lib/valgrind",
	};
	static char name[512];
	const char *lib = getenv("VALGRIND_LIB");

	for (size_t i = 0; i <= ARRAY_SIZE(dirs); i++) {
		const char *dir = i ? dirs[i - 1] : lib;

		if (!dir)
			continue;
		snprintf(name, sizeof(name), "%s/lackey-amd64-linux", dir);
		if (!access(name, X_OK))
			return name;
	}
	return NULL;
}

static bool is_program(const char *name)
{
	struct stat st;

	return !stat(name, &st) && S_ISREG(st.st_mode) && !access(name, X_OK);
}

/* Where the shell would find PROGRAM; dies if nowhere. */
static char *find_program(const char *program)
{
	const char *path = getenv("PATH");
	char *full;

	if (strchr(program, '/')) {
		if (access(program, F_OK))
			err_die("%s: %s", program, strerror(errno));
		if (!is_program(program))
			err_die("%s: not an executable file", program);
		return strdup(program);
	}
	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t n = strcspn(p, ":");

		if (asprintf(&full, "%.*s/%s", (int)n, n ? p : ".", program) <
		    0)
			err_die("out of memory");
		if (is_program(full))
			return full;
		free(full);
		p += n + (p[n] == ':');
	}
	err_die("%s: program not found", program);
}

/* The script that valgrind starts in place of itself when a child execs. */
static void write_launcher(const struct session *s, const char *tool,
			   char *name, size_t size)
{
	FILE *f;

	snprintf(name, size, "%s/launch", s->dir);
	f = fopen(name, "we");
	if (!f)
		err_die("%s: %s", name, strerror(errno));
	fprintf(f,
		"#!/bin/sh\n"
		"if [ ! -p '%s'/log.$$ ]; then\n"
		"\tmv '%s'/log.$$ '%s'/fork.$$\n"
		"\tmkfifo '%s'/log.$$\n"
		"fi\n"
		"VALGRIND_LAUNCHER='%s' exec '%s' \"$@\"\n",
		s->dir, s->dir, s->dir, s->dir, name, tool);
	if (fclose(f) || chmod(name, 0700))
		err_die("%s: %s", name, strerror(errno));
}

/* In the child: become valgrind; FD tells the parent why not. */
_Noreturn static void become_tool(const struct session *s, const char *tool,
				  const char *launcher, int fd)
{
	char **argv = calloc(MAX_ARGV + 16, sizeof(*argv));
	char log[320], option[360];
	int n = 0, error;

	if (!argv)
		_exit(126);
	log_name(s, "log", getpid(), log, sizeof(log));
	snprintf(option, sizeof(option), "--log-file=%s/log.%%p", s->dir);
	argv[n++] = (char *)"valgrind";
	argv[n++] = (char *)"--tool=lackey";
	argv[n++] = (char *)"--trace-mem=yes";
	argv[n++] = (char *)"--trace-syscalls=yes";
	argv[n++] = (char *)"--trace-sched=yes";
	argv[n++] = (char *)"--trace-children=yes";
	argv[n++] = (char *)"--basic-counts=no";
	argv[n++] = (char *)"--vgdb=no";
	argv[n++] = (char *)"--run-libc-freeres=no";
	argv[n++] = (char *)"--run-cxx-freeres=no";
	argv[n++] = option;
	for (int i = 0; i < s->opt->argc; i++)
		argv[n++] = s->opt->argv[i];
	argv[n] = NULL;
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (!mkfifo(log, 0600) && !setenv("VALGRIND_LAUNCHER", launcher, 1))
		execv(tool, argv);
	error = errno;
	if (write(fd, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static void start(struct session *s, const char *tool)
{
	char launcher[320];
	int fds[2], error;

	write_launcher(s, tool, launcher, sizeof(launcher));
	if (pipe2(fds, O_CLOEXEC))
		err_die("pipe: %s", strerror(errno));
	s->root = fork();
	if (s->root < 0)
		err_die("fork: %s", strerror(errno));
	if (!s->root)
		become_tool(s, tool, launcher, fds[1]);
	close(fds[1]);
	if (read(fds[0], &error, sizeof(error)) == sizeof(error)) {
		waitpid(s->root, NULL, 0);
		err_die("%s: %s", tool, strerror(error));
	}
	close(fds[0]);
}

static void make_dir(struct session *s)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || strlen(tmp) > 200 || strpbrk(tmp, "%'"))
		tmp = "/tmp";
	snprintf(s->dir, sizeof(s->dir), "%s/mmkit-record.XXXXXX", tmp);
	if (!mkdtemp(s->dir))
		err_die("%s: %s", s->dir, strerror(errno));
}

static void remove_dir(const struct session *s)
{
	DIR *d = s->dir[0] ? opendir(s->dir) : NULL;
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(s->dir);
}

/* ---- both ways to make a trace
 * ------------------------------------------------------------------ */

static struct session *session_new(const struct options *o, u32 flags)
{
	struct session *s = calloc(1, sizeof(*s));
	struct trace_header h = {.flags = flags,
				 .arch = TRACE_ARCH_X86_64,
				 .page_size = PAGE_SIZE,
				 .window = o->window,
				 .argc = (u32)o->argc,
				 .argv = o->argv,
				 .program = (char *)"mmkit record (lackey)"};
	struct trace_error err;

	if (!s)
		err_die("out of memory");
	s->opt = o;
	s->tty = isatty(STDERR_FILENO);
	s->rec.window = o->window;
	s->rec.sample = !o->no_content;
	s->rec.out = trace_writer_open(o->out, &h, &err);
	if (!s->rec.out)
		err_die("%s", err.text);
	s->lackey =
		lackey_new(&s->rec, !(flags & TRACE_FROM_LACKEY), drain_pid, s);
	if (!s->lackey)
		err_die("out of memory");
	return s;
}

/* Free what is not the writer's. */
static void session_free(struct session *s)
{
	struct stream *t, *next;

	for (t = s->streams; t; t = next) {
		next = t->next;
		if (t->fd >= 0)
			close(t->fd);
		free(t);
	}
	for (u32 i = 0; i < s->rec.nr_files; i++)
		free(s->rec.files[i].name);
	free(s->rec.files);
	rec_opens_free(&s->rec);
	lackey_free(s->lackey);
	remove_dir(s);
	free(s);
}

_Noreturn static void give_up(struct session *s, int ret)
{
	static char why[sizeof(s->rec.err.text)];

	if (s->rec.err.text[0])
		snprintf(why, sizeof(why), "%s", s->rec.err.text);
	else
		snprintf(why, sizeof(why), "%s",
			 ret == -EINTR ? "interrupted" : strerror(-ret));
	if (s->root && !s->root_dead) {
		kill(s->root, SIGKILL);
		waitpid(s->root, NULL, 0);
	}
	if (s->tty)
		fputc('\n', stderr);
	trace_writer_abort(s->rec.out);
	session_free(s);
	err_die("no trace written: %s", why);
}

/* The end record, and a word about what could not be accounted for. */
static void finish(struct session *s)
{
	struct trace_totals t = *trace_writer_totals(s->rec.out);
	u64 garbage = lackey_garbage(s->lackey);
	u64 unseen = lackey_unseen(s->lackey);
	struct trace_error err;
	int ret = rec_flush(&s->rec);

	if (ret)
		give_up(s, ret);
	progress(s, true);
	if (garbage)
		err_say("%llu lines of the tracer made no sense",
			(unsigned long long)garbage);
	if (t.touch_maps && !s->opt->lackey)
		err_say("%llu ranges were mapped on first touch",
			(unsigned long long)t.touch_maps);
	if (unseen)
		err_say("%llu calls (sendfile, splice, copy_file_range) used "
			"files at places that could not be seen",
			(unsigned long long)unseen);
	lackey_free(s->lackey); /* counts what was held back */
	s->lackey = NULL;
	s->rec.extra.exit_status = s->root_status;
	ret = trace_writer_finish(s->rec.out, &s->rec.extra, &err);
	session_free(s);
	if (ret)
		err_die("%s", err.text);
}

MM_NOINLINE static int record_program(struct options *o)
{
	const char *tool = find_tool();
	struct session *s;
	int ret, status;

	if (!tool)
		err_die("valgrind's lackey is not installed: install the package valgrind");
	o->argv[0] = find_program(o->argv[0]);
	s = session_new(o, o->no_content ? 0 : TRACE_HAS_CONTENT);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	make_dir(s);
	start(s, tool);
	ret = stream_new(s, s->root) && lackey_proc(s->lackey, s->root)
		      ? follow(s)
		      : -ENOMEM;
	if (ret)
		give_up(s, ret);
	status = s->root_status;
	finish(s);
	free(o->argv[0]);
	if (status >= 256) {
		err_say("the program was killed by signal %d (%s)",
			status - 256, strsignal(status - 256));
		return 128 + status - 256;
	}
	if (status)
		err_say("the program exited with status %d", status);
	return status;
}

MM_NOINLINE static int record_text(struct options *o)
{
	bool from_stdin = !strcmp(o->lackey, "-");
	FILE *f = from_stdin ? stdin : fopen(o->lackey, "re");
	char *args[2] = {(char *)o->lackey, NULL}, *buf = malloc(CHUNK);
	struct lackey_proc *p;
	struct session *s;
	size_t n;
	int ret = 0;

	if (!f)
		err_die("%s: %s", o->lackey, strerror(errno));
	o->argv = args;
	o->argc = 1;
	s = session_new(o, TRACE_FROM_LACKEY);
	p = lackey_proc(s->lackey, 1);
	if (!p || !buf)
		give_up(s, -ENOMEM);
	while (!ret && (n = fread(buf, 1, CHUNK, f)) > 0) {
		ret = lackey_text(s->lackey, p, buf, n);
		progress(s, false);
	}
	if (!ret && ferror(f))
		ret = -EIO;
	if (!ret)
		ret = lackey_end(s->lackey, p, 0);
	free(buf);
	if (!from_stdin)
		fclose(f);
	if (!ret && !s->rec.refs) {
		snprintf(s->rec.err.text, sizeof(s->rec.err.text),
			 "%s: no references in the text", o->lackey);
		ret = -EINVAL;
	}
	if (ret)
		give_up(s, ret);
	finish(s);
	return EXIT_SUCCESS;
}

/* ---- options
 * ---------------------------------------------------------------------------------------
 */

#define OPT_WINDOW     256
#define OPT_LACKEY     257
#define OPT_NO_CONTENT 258

static const struct argp_option options[] = {
	{"output", 'o', "FILE", 0, "write the trace to FILE", 0},
	{"window", OPT_WINDOW, "N", 0,
	 "report a page at most once per kind of access in N references (default 1000; 0: every reference)",
	 0},
	{"no-content", OPT_NO_CONTENT, NULL, 0,
	 "do not sample what pages contain", 0},
	{"from-lackey", OPT_LACKEY, "FILE", 0,
	 "read valgrind lackey's text from FILE (- for standard input) instead of running a program",
	 0},
	{0},
};

/* The program and everything behind it. */
static void take_program(struct options *o, struct argp_state *st)
{
	o->argv = st->argv + st->next - 1;
	o->argc = st->argc - st->next + 1;
	st->next = st->argc;
	if (o->argc > MAX_ARGV)
		err_usage("more than %d arguments", MAX_ARGV);
}

static void check_options(const struct options *o)
{
	if (!o->out)
		err_usage("where to? give -o FILE");
	if (!o->lackey && !o->argc)
		err_usage("which program? give PROGRAM or --from-lackey");
	if (o->lackey && o->argc)
		err_usage("a program and --from-lackey exclude each other");
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct options *o = st->input;
	struct args_error e;

	switch (key) {
	case 'o':
		o->out = arg;
		break;
	case OPT_WINDOW:
		if (!args_count(arg, 0, 1ULL << 40, &o->window, &e))
			err_usage("--window: %s", e.text);
		break;
	case OPT_LACKEY:
		o->lackey = arg;
		break;
	case OPT_NO_CONTENT:
		o->no_content = true;
		break;
	case ARGP_KEY_ARG:
		take_program(o, st);
		break;
	case ARGP_KEY_END:
		check_options(o);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int cmd_record(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		"[--] PROGRAM [ARG...]\n--from-lackey FILE",
		"Record the memory references, memory and file calls and sampled page contents of a real program, its children and threads into a trace. "
		"Runs it under valgrind; needs no privileges.",
		NULL,
		NULL,
		NULL};
	struct options o = {.window = WINDOW};

	args_run(&argp, argc, argv, ARGP_IN_ORDER, &o);
	return o.lackey ? record_text(&o) : record_program(&o);
}
