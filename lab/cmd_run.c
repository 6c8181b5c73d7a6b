/* SPDX-License-Identifier: MIT */
/*
 * cmd_run.c - "mmkit run": an unmodified program of the host on our kernel (or
 * another one) in a machine under QEMU; at the end, what its memory cost.
 */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "args.h"
#include "dump.h"
#include "err.h"
#include "run.h"

int cmd_run(int argc, char **argv);

#define IMAGE_FROM  (8UL << 20) /* a larger set becomes an ext2 image */
#define IMAGE_SPACE (64UL << 20)
#define MEM_MIN	    (1UL << 20)
#define MEM_MAX	    (1UL << 40)
#define SAMPLE_MS   100
#define DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum {
	OPT_MEM = 'm',
	OPT_SWAP = 's',
	OPT_CPUS = 'c',
	OPT_KERNEL = 'k',
	OPT_ADD = 'a',
	OPT_ENV = 'e',
	OPT_JSON = 'j',
	OPT_PACKAGES = 'p',
	OPT_REPORT = 'r',
	OPT_OUT = 'o',
	OPT_NODES = 512,
	OPT_MACHINE,
	OPT_ACCEL,
	OPT_CPU,
	OPT_TIMEOUT,
	OPT_AUDIT,
	OPT_SHELL,
	OPT_TTY,
	OPT_APPEND,
	OPT_LOG,
	OPT_DISK,
	OPT_DIR,
	OPT_QEMU,
	OPT_TRACE,
	OPT_TRACE_OUT,
	OPT_PERFETTO,
	OPT_FOLLOW,
	OPT_LIFE,
	OPT_PFN,
	OPT_DUMP
};

static const struct argp_option options[] = {
	{"mem", OPT_MEM, "SIZE", 0, "RAM of the machine (256M)", 0},
	{"swap", OPT_SWAP, "SIZE", 0, "a disk to swap to (none)", 0},
	{"cpus", OPT_CPUS, "N", 0, "CPUs, 1 to 64 (1)", 0},
	{"nodes", OPT_NODES, "N", 0, "NUMA nodes, 1 to 8 (1)", 0},
	{"machine", OPT_MACHINE, "microvm|pc", 0,
	 "the machine (microvm; pc with nodes, or for a Linux)", 0},
	{"accel", OPT_ACCEL, "kvm|tcg", 0,
	 "how its CPU is made (KVM where that works, else TCG)", 0},
	{"cpu", OPT_CPU, "MODEL", 0, "QEMU's model of the CPU", 0},
	{"kernel", OPT_KERNEL, "FILE", 0,
	 "another kernel: an ELF file with a PVH note, or a Linux bzImage", 0},
	{"append", OPT_APPEND, "TEXT", 0, "more on the kernel's command line",
	 0},
	{"add", OPT_ADD, "HOSTPATH[:GUESTPATH]", 0,
	 "a file or folder that the program wants; may be given again", 0},
	{"packages", OPT_PACKAGES, 0, 0,
	 "also the files of the program's Debian package and of those that it "
	 "depends on: modules, data, programs that it starts",
	 0},
	{"env", OPT_ENV, "NAME=VALUE", 0,
	 "set in the program's environment; may be given again", 0},
	{"dir", OPT_DIR, "PATH", 0, "the program's working directory (/)", 0},
	{"disk", OPT_DISK, "SIZE", 0,
	 "files on a disk image with SIZE free (64M when the files are more "
	 "than 8M, else in RAM)",
	 0},
	{"shell", OPT_SHELL, 0, 0, "a shell (busybox) on the console", 0},
	{"tty", OPT_TTY, 0, 0,
	 "the console is the program's terminal, even if ours is none", 0},
	{"timeout", OPT_TIMEOUT, "S", 0, "end it after S seconds: status 124",
	 0},
	{"audit", OPT_AUDIT, 0, 0,
	 "every frame is recounted at the end; a leak is status 125", 0},
	{"json", OPT_JSON, 0, 0, "JSON (mmkit.replay/1) instead of the table",
	 0},
	{"out", OPT_OUT, "FILE", 0, "where table or JSON go (standard error)",
	 0},
	{"report", OPT_REPORT, "FILE.html", 0, "write a page with charts", 0},
	{"dump-proc", OPT_DUMP, "DIR", 0,
	 "copy files of the guest's /proc and /sys there when the program has "
	 "ended, also as JSON (mmkit.proc/1) below DIR/json",
	 0},
	{"log", OPT_LOG, "FILE", 0, "where the kernel's log goes", 0},
	{"trace", OPT_TRACE, "EVENT[,EVENT...]", 0,
	 "tell these tracepoints, by name, by system, or all", 0},
	{"trace-out", OPT_TRACE_OUT, "FILE", 0,
	 "there (FILE must be given with --trace)", 0},
	{"perfetto", OPT_PERFETTO, "FILE.json", 0,
	 "all tracepoints as a trace that Perfetto opens", 0},
	{"follow", OPT_FOLLOW, "PID:ADDRESS", 0,
	 "tell the life of the page that this process has there (0: the "
	 "program itself)",
	 0},
	{"pfn", OPT_PFN, "N", 0, "tell the life of this frame", 0},
	{"life", OPT_LIFE, "FILE.json", 0,
	 "there, as JSON (mmkit.life/1), in place of standard error", 0},
	{"qemu", OPT_QEMU, "ARG", 0,
	 "one more argument of QEMU; may be given again", 0},
	{0}};

/* ---- the temporary folder --------------------------------------------------
 */

static char folder[4000];

void run_fail(const char *fmt, ...)
{
	static char text[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_say("%s", text);
	exit(RUN_FAILED);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) && errno != ENOENT;
}

static void remove_folder(void)
{
	if (folder[0])
		nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	folder[0] = 0;
}

/* Before QEMU runs there is nobody to read signals: files go, and we end as
 * the signal would have ended us. */
static void on_signal(int sig)
{
	remove_folder();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void make_folder(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/mmkit-run-XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(folder)) {
		static char where[sizeof(folder)];

		memcpy(where, folder, sizeof(where));
		folder[0] = 0;
		run_fail("%s: %s", where, strerror(errno));
	}
	atexit(remove_folder);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], on_signal);
}

static char *in_folder(const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		run_fail("no memory for a path");
	return path;
}

/* ---- options ---------------------------------------------------------------
 */

static u64 size_arg(const char *name, const char *arg, u64 lo, u64 hi)
{
	struct args_error e;
	u64 v;

	if (!args_size(arg, &v, &e))
		err_usage("--%s: %s", name, e.text);
	if (v < lo || v > hi)
		err_usage("--%s: '%s' is not in the range %lluK to %lluK", name,
			  arg, (unsigned long long)(lo >> 10),
			  (unsigned long long)(hi >> 10));
	return v;
}

static u32 count_arg(const char *name, const char *arg, u64 hi)
{
	struct args_error e;
	u64 v;

	if (!args_count(arg, 1, hi, &v, &e))
		err_usage("--%s: %s", name, e.text);
	return (u32)v;
}

static const char *word_arg(const char *name, const char *arg, const char *a,
			    const char *b)
{
	if (strcmp(arg, a) && strcmp(arg, b))
		err_usage("--%s: '%s': %s or %s", name, arg, a, b);
	return arg;
}

static void list_arg(const char *name, const char **list, u32 *nr,
		     const char *arg)
{
	if (*nr == RUN_MAX_ADD)
		err_usage("--%s: more than %d times", name, RUN_MAX_ADD);
	list[(*nr)++] = arg;
}

static u64 timeout_arg(const char *arg)
{
	char *end;
	double s = strtod(arg, &end);

	if (end == arg || *end || !(s > 0 && s < 1e9))
		err_usage("--timeout: '%s' is no number of seconds", arg);
	return (u64)(s * 1000) + 1;
}

static error_t parse_machine(int key, char *arg, struct run_opts *o)
{
	switch (key) {
	case OPT_MEM:
		o->mem_bytes = size_arg("mem", arg, MEM_MIN, MEM_MAX);
		return 0;
	case OPT_SWAP:
		o->swap_bytes = size_arg("swap", arg, 40 << 10, 16UL << 40);
		return 0;
	case OPT_CPUS:
		o->cpus = count_arg("cpus", arg, 64);
		return 0;
	case OPT_NODES:
		o->nodes = count_arg("nodes", arg, 8);
		return 0;
	case OPT_MACHINE:
		o->machine = word_arg("machine", arg, "microvm", "pc");
		return 0;
	case OPT_ACCEL:
		o->accel = word_arg("accel", arg, "kvm", "tcg");
		return 0;
	case OPT_CPU:
		o->cpu = arg;
		return 0;
	case OPT_KERNEL:
		o->kernel = arg;
		return 0;
	case OPT_APPEND:
		o->append = arg;
		return 0;
	case OPT_QEMU:
		list_arg("qemu", o->qemu, &o->nr_qemu, arg);
		return 0;
	case OPT_DISK:
		o->disk_bytes = size_arg("disk", arg, 1 << 20, 1UL << 40);
		o->ext2 = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static u64 pfn_arg(const char *arg)
{
	char *end;
	u64 pfn = strtoull(arg, &end, 0);

	if (end == arg || *end)
		err_usage("--pfn: '%s': no number", arg);
	return pfn;
}

static error_t parse_events(int key, char *arg, struct run_opts *o)
{
	switch (key) {
	case OPT_TRACE:
		o->events.list = arg;
		return 0;
	case OPT_TRACE_OUT:
		o->events.out = arg;
		return 0;
	case OPT_PERFETTO:
		o->events.perfetto = arg;
		return 0;
	case OPT_FOLLOW:
		events_parse_follow(&o->events, arg);
		return 0;
	case OPT_LIFE:
		o->events.life = arg;
		return 0;
	case OPT_PFN:
		o->events.pfn = pfn_arg(arg);
		o->events.follow = o->events.by_pfn = true;
		return 0;
	default:
		return parse_machine(key, arg, o);
	}
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct run_opts *o = state->input;

	switch (key) {
	case OPT_ADD:
		list_arg("add", o->add, &o->nr_add, arg);
		return 0;
	case OPT_ENV:
		if (!strchr(arg, '=') || *arg == '=')
			err_usage("--env: '%s' is not of the form NAME=VALUE",
				  arg);
		list_arg("env", o->env, &o->nr_env, arg);
		return 0;
	case OPT_PACKAGES:
		o->packages = true;
		return 0;
	case OPT_DIR:
		o->dir = arg;
		return 0;
	case OPT_SHELL:
		o->shell = true;
		return 0;
	case OPT_TTY:
		o->tty = true;
		return 0;
	case OPT_TIMEOUT:
		o->timeout_ms = timeout_arg(arg);
		return 0;
	case OPT_AUDIT:
		o->audit = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_OUT:
		o->out = arg;
		return 0;
	case OPT_REPORT:
		o->report = arg;
		return 0;
	case OPT_DUMP:
		o->dump_proc = arg;
		return 0;
	case OPT_LOG:
		o->log = arg;
		return 0;
	case ARGP_KEY_ARGS:
		o->argv = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		if (!o->argv && !o->shell)
			err_usage("which program? give it behind the options");
		return 0;
	default:
		return parse_events(key, arg, o);
	}
}

/* A place that cannot be written is refused before the work. */
static void check_output(const char *option, const char *path)
{
	FILE *f;
	bool there;

	if (!path)
		return;
	there = access(path, F_OK) == 0;
	f = fopen(path, "ae");
	if (!f)
		run_fail("--%s: %s: %s", option, path, strerror(errno));
	fclose(f);
	if (!there)
		unlink(path);
}

/* ---- what init is told -----------------------------------------------------
 */

struct plan {
	struct run_opts *o;
	struct run_pack image; /* what the program needs */
	struct run_pack
		initramfs; /* init's own; the same if there is no disk */
	struct run_kernel kernel;
	struct run_relay_opts relay;
	char *program; /* its path in the machine */
	char *initrd, *root, *swap, *trace;
	bool in_ram;
};

static void put_config(struct plan *pl, FILE *f)
{
	const struct run_opts *o = pl->o;
	struct winsize size = {0};
	struct stat st;
	bool null = fstat(STDIN_FILENO, &st) ||
		    (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));

	pl->relay.tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	pl->relay.forward_stdin = !pl->relay.tty && !null;
	if (pl->relay.tty || o->tty) {
		fprintf(f, "stdin tty\nstdout tty\nstderr %s\n",
			isatty(STDERR_FILENO) || !pl->relay.tty ? "tty"
								: "pipe");
		if (pl->relay.tty && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
			fprintf(f, "size %u %u\n", size.ws_row, size.ws_col);
		/* Bytes as they are: the terminal has its own end. */
		if (!pl->relay.tty && pl->relay.forward_stdin)
			pl->relay.tty = true;
	} else {
		fprintf(f, "stdin %s\nstdout pipe\nstderr pipe\n",
			null ? "null" : "pipe");
	}
	fprintf(f, "marker %s\n", pl->relay.marker);
	if (o->dir)
		fprintf(f, "dir %s\n", o->dir);
	if (o->swap_bytes)
		fprintf(f, "swap yes\n");
	if (!pl->in_ram)
		fprintf(f, "root ext2\n");
	if (o->audit)
		fprintf(f, "audit yes\n");
	if (o->report || o->events.perfetto)
		fprintf(f, "sample %d\n", SAMPLE_MS);
	if (o->dump_proc)
		run_dump_lines(o, f);
	if (events_wanted(&o->events))
		run_trace_lines(o, f);
}

/* What is packed below a folder must not be mounted over. */
static void keep_entry(const struct run_entry *e, void *arg)
{
	static const char *const dirs[] = {"tmp", "run"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (!strncmp(e->path, dirs[i], 3) && e->path[3] == '/')
			fprintf(arg, "keep /%s\n", dirs[i]);
}

static void put_modules(struct plan *pl, FILE *f)
{
	static const char *const names[] = {"virtio_pci", "virtio_mmio",
					    "virtio_blk", "ext4",
					    "crc32c_generic"};

	if (pl->kernel.bzimage && (pl->o->swap_bytes || !pl->in_ram))
		run_kernel_modules(&pl->kernel, &pl->initramfs, names,
				   ARRAY_SIZE(names), f);
}

static void string(FILE *f, const char *s)
{
	fputs(s, f);
	fputc(0, f);
}

/* init executes the first with the rest as argv. */
static void put_argv(struct plan *pl, FILE *f)
{
	string(f, pl->program);
	if (pl->o->shell)
		fprintf(f, "busybox%csh%c", 0, 0);
	if (pl->o->shell)
		return;
	for (char **a = pl->o->argv; *a; a++)
		string(f, *a);
}

static bool is_set(const struct run_opts *o, const char *name)
{
	size_t len = strlen(name);

	for (u32 i = 0; i < o->nr_env; i++)
		if (!strncmp(o->env[i], name, len) && o->env[i][len] == '=')
			return true;
	return false;
}

static void put_env(struct plan *pl, FILE *f)
{
	const struct run_opts *o = pl->o;
	const char *term = getenv("TERM"), *path = getenv("PATH");

	for (u32 i = 0; i < o->nr_env; i++)
		string(f, o->env[i]);
	/* Names mean what they mean here. */
	if (!is_set(o, "PATH"))
		fprintf(f, "PATH=%s%s%s%c", path ? path : "",
			path && *path ? ":" : "", DEFAULT_PATH, 0);
	if (!is_set(o, "HOME"))
		string(f, "HOME=/root");
	if (!is_set(o, "TERM") && pl->relay.tty && term)
		fprintf(f, "TERM=%s%c", term, 0);
	if (!is_set(o, "LD_LIBRARY_PATH") && *pl->image.lib_path)
		fprintf(f, "LD_LIBRARY_PATH=%s%c", pl->image.lib_path, 0);
}

/* The text that FN writes, as the file PATH of the initramfs. */
static void put_file(struct plan *pl, const char *path,
		     void (*fn)(struct plan *pl, FILE *f))
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		run_fail("no memory for %s", path);
	fn(pl, f);
	if (fclose(f))
		run_fail("no memory for %s", path);
	run_pack_text(&pl->initramfs, path, text, len);
	free(text);
}

static void put_settings(struct plan *pl, FILE *f)
{
	put_config(pl, f);
	run_pack_walk(&pl->image, keep_entry, f);
	put_modules(pl, f);
}

/* ---- packing ---------------------------------------------------------------
 */

/* What every root has. */
static void pack_base(struct run_pack *p)
{
	static const char *const dirs[] = {"dev", "proc", "sys",
					   "tmp", "run",  "root",
					   "etc", "var",  "var/tmp"};
	static const char *const bins[] = {"/bin",   "/sbin",	 "/lib",
					   "/lib64", "/usr/bin", "/usr/sbin"};
	static const char passwd[] =
		"root:x:0:0:root:/root:/bin/sh\n"
		"nobody:x:65534:65534:nobody:/:/bin/false\n";
	static const char group[] = "root:x:0:\nnogroup:x:65534:\n";
	static const char hosts[] = "127.0.0.1 localhost mmkit\n";

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		run_pack_dir(p, dirs[i], 0755);
	/* Folders of the host, or its links into /usr. */
	for (size_t i = 0; i < ARRAY_SIZE(bins); i++)
		if (!access(bins[i], F_OK))
			run_pack_path(p, bins[i]);
	run_pack_node(p, "dev/console", S_IFCHR | 0600, 5, 1);
	run_pack_text(p, "etc/passwd", passwd, sizeof(passwd) - 1);
	run_pack_text(p, "etc/group", group, sizeof(group) - 1);
	run_pack_text(p, "etc/hosts", hosts, sizeof(hosts) - 1);
}

/* Names by which busybox is called; its own shell finds the others itself. */
static void pack_applets(struct run_pack *p, const char *busybox)
{
	static const char *const names[] = {"sh", "ash"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *path = NULL;
		const char *slash = strrchr(busybox, '/');

		if (asprintf(&path, "%.*s/%s", (int)(slash - busybox), busybox,
			     names[i]) < 0)
			run_fail("no memory for a path");
		run_pack_link(p, path, slash + 1);
		free(path);
	}
}

static void pack_program(struct plan *pl)
{
	struct run_opts *o = pl->o;

	for (u32 i = 0; i < o->nr_add; i++)
		run_pack_add(&pl->image, o->add[i]);
	/* With --shell a program is taken along for the shell to start. */
	if (o->argv && o->argv[0])
		pl->program = run_pack_program(&pl->image, o->argv[0]);
	if (o->packages)
		run_pack_packages(&pl->image);
	if (!o->shell)
		return;
	free(pl->program);
	pl->program = run_pack_program(&pl->image, "busybox");
	pack_applets(&pl->image, pl->program);
}

static void copy_entry(const struct run_entry *e, void *arg)
{
	struct run_pack *to = arg;

	if (S_ISLNK(e->mode))
		run_pack_link(to, e->path, e->source);
	else if (S_ISDIR(e->mode))
		run_pack_dir(to, e->path, e->mode & 07777);
	else if (e->contents)
		run_pack_text(to, e->path, e->source, e->size);
	else if (S_ISREG(e->mode))
		run_pack_raw(to, e);
}

static void make_marker(char marker[64])
{
	u64 word[2];

	if (getrandom(word, sizeof(word), 0) != sizeof(word))
		run_fail("getrandom: %s", strerror(errno));
	snprintf(marker, 64, "\x1dmmkit-%016llx%016llx\r\n",
		 (unsigned long long)word[0], (unsigned long long)word[1]);
	marker[strcspn(marker, "\r")] = 0;
}

static void pack(struct plan *pl)
{
	struct run_opts *o = pl->o;
	char *init = run_our_file("guest/init");

	if (!init)
		run_fail("guest/init is not there: build it with `make`");
	run_pack_init(&pl->image);
	run_pack_init(&pl->initramfs);
	pack_base(&pl->image);
	pack_base(&pl->initramfs);
	pack_program(pl);
	pl->in_ram = !o->ext2 && pl->image.bytes <= IMAGE_FROM;
	run_pack_raw(&pl->initramfs,
		     &(struct run_entry){.path = (char *)"init",
					 .source = init,
					 .size = run_file_size(init),
					 .mode = S_IFREG | 0755});
	make_marker(pl->relay.marker);
	put_file(pl, "mmkit/config", put_settings);
	put_file(pl, "mmkit/argv", put_argv);
	put_file(pl, "mmkit/env", put_env);
	if (pl->in_ram)
		run_pack_walk(&pl->image, copy_entry, &pl->initramfs);
	free(init);
}

static void make_images(struct plan *pl)
{
	struct run_opts *o = pl->o;

	pl->initrd = in_folder("initrd");
	run_write_cpio(&pl->initramfs, pl->initrd);
	if (!pl->in_ram) {
		char *stage = in_folder("stage");

		if (mkdir(stage, 0755))
			run_fail("%s: %s", stage, strerror(errno));
		pl->root = in_folder("root");
		run_write_ext2(&pl->image, pl->root, stage,
			       o->disk_bytes ? o->disk_bytes : IMAGE_SPACE);
		nftw(stage, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		free(stage);
	}
	if (o->swap_bytes) {
		pl->swap = in_folder("swap");
		run_write_swap(pl->swap, o->swap_bytes);
	}
	if (events_wanted(&o->events)) {
		pl->trace = in_folder("trace");
		run_trace_file(pl->trace);
	}
}

/* ---- the end ---------------------------------------------------------------
 */

/* The last lines of what the kernel and QEMU said. */
static void show_log(const struct run_log *log)
{
	const char *s = log->text + log->len;
	u32 lines = 0;

	while (s > log->text && lines < 60)
		if (*--s == '\n')
			lines++;
	if (log->len)
		fprintf(stderr, "---- log of the guest and QEMU\n%s%s----\n",
			s + (*s == '\n'), s[strlen(s) - 1] == '\n' ? "" : "\n");
}

static int guest_status(const struct run_result *r, const struct run_log *log,
			bool audit)
{
	switch (r->end) {
	case RUN_END_EXIT:
	case RUN_END_SIGNAL:
		if (audit && !r->audit)
			err_say("--audit: this kernel has no "
				"/proc/mmkit/audit");
		if (audit && r->audit && r->leak)
			err_say("--audit: frames were lost\n%s", r->audit);
		if (audit && (!r->audit || r->leak))
			return RUN_FAILED;
		return r->end == RUN_END_SIGNAL ? 128 + r->status : r->status;
	case RUN_END_FAILED:
		err_say("the guest's init: %s", r->failure);
		show_log(log);
		return RUN_FAILED;
	default:
		if (strstr(log->text, "Kernel panic"))
			err_say("the guest's kernel panicked");
		else
			err_say("the guest ended %s",
				r->began ? "without saying how the program did"
					 : "before the program began");
		show_log(log);
		return RUN_FAILED;
	}
}

static void print(const struct run_about *a)
{
	const struct run_opts *o = a->o;
	FILE *f = o->out ? fopen(o->out, "we") : stderr;

	if (!f)
		run_fail("--out: %s: %s", o->out, strerror(errno));
	if (o->json)
		run_print_json(f, a);
	else
		run_print_table(f, a);
	if (o->out && fclose(f))
		run_fail("--out: %s: %s", o->out, strerror(errno));
	if (o->report && run_write_html(o->report, a))
		run_fail("--report: %s: %s", o->report, strerror(errno));
}

/* The machine, once. A KVM that gave up before the program began is no reason
 * to fail where nobody asked for KVM: the second time goes without it. */
static int run_machine(struct plan *pl, struct run_machine *m,
		       struct run_result *res, struct run_log *log)
{
	int ret;

	run_machine_choose(m, folder);
	run_machine_argv(m);
	ret = run_relay(m, &pl->relay, res, log);
	if (!res->kvm_failed || res->began || pl->o->accel)
		return ret;
	err_say("note: KVM did not get through this kernel: without it again");
	run_machine_free(m);
	run_result_free(res);
	res->dump = pl->o->dump_proc;
	free(log->text);
	*log = (struct run_log){0};
	pl->o->accel = "tcg";
	run_machine_choose(m, folder);
	run_machine_argv(m);
	return run_relay(m, &pl->relay, res, log);
}

static void show_trace(const struct plan *pl, const struct run_result *res)
{
	run_symbols_use(pl->kernel.path);
	run_trace_show(pl->trace, pl->o, res);
	run_symbols_end();
}

static int run_plan(struct plan *pl)
{
	static struct run_machine m;
	static struct run_result res;
	struct run_log log = {0};
	struct run_about about = {pl->o, &m, &res, 0};
	int ret;

	m = (struct run_machine){.o = pl->o,
				 .kernel = &pl->kernel,
				 .initrd = pl->initrd,
				 .root = pl->root,
				 .swap = pl->swap,
				 .trace = pl->trace};
	res.dump = pl->o->dump_proc;
	pl->relay.timeout_ms = pl->o->timeout_ms;
	pl->relay.log = pl->o->log;
	pl->relay.log_console = pl->kernel.bzimage;
	ret = run_machine(pl, &m, &res, &log);
	if (pl->trace && res.began)
		show_trace(pl, &res);
	remove_folder();
	if (ret == RUN_TIMEOUT) {
		err_say("stopped after %g s", (double)pl->o->timeout_ms / 1e3);
		if (!res.began)
			show_log(&log);
	}
	if (ret == RUN_FAILED && res.kvm_failed)
		show_log(&log);
	if (!ret)
		ret = guest_status(&res, &log, pl->o->audit);
	about.status = ret;
	if (res.began)
		print(&about);
	run_result_free(&res);
	run_machine_free(&m);
	free(log.text);
	return ret;
}

static void check_events(const struct events_opts *e)
{
	events_check(e);
	if (e->list && !e->out)
		err_usage("--trace: where to? give --trace-out FILE");
	check_output("trace-out", e->out);
	check_output("perfetto", e->perfetto);
}

int cmd_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.args_doc = "PROGRAM [ARG...]\n--shell",
		.doc = "Run a program of this system, unmodified, on mmkit's "
		       "kernel in a machine under QEMU.\v"
		       "Exit status: the program's; 128 and the signal that "
		       "ended it; 124 after --timeout; 125 if mmkit, QEMU or "
		       "the kernel failed; 2 for wrong use. On a terminal "
		       "Ctrl-A x ends the machine.",
	};
	static struct run_opts o = {
		.mem_bytes = 256UL << 20, .cpus = 1, .nodes = 1};
	static struct plan pl = {.o = &o};
	int ret;

	args_run(&argp, argc, argv, ARGP_IN_ORDER, &o);
	if (o.nodes > 1 && o.machine && strcmp(o.machine, "pc"))
		err_usage("--nodes: a microvm has one node: use --machine pc");
	check_events(&o.events);
	check_output("out", o.out);
	check_output("report", o.report);
	check_output("log", o.log);
	if (o.dump_proc)
		dump_check(o.dump_proc);
	make_folder();
	run_kernel_find(&pl.kernel, o.kernel);
	pack(&pl);
	make_images(&pl);
	ret = run_plan(&pl);
	run_pack_free(&pl.image);
	run_pack_free(&pl.initramfs);
	free(pl.program);
	free(pl.initrd);
	free(pl.root);
	free(pl.swap);
	free(pl.trace);
	return ret;
}
