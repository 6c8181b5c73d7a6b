/* SPDX-License-Identifier: MIT */
/*
 * linux_side.c - the kernel that this runs on, as one of the two sides.
 *
 * The executor (exec_main.c) is started with equal limits and without address
 * randomisation. A host that is not known to behave as compared is refused
 * with a reason: nothing is concluded from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "difflib.h"

/* Kernels on which differences were looked at; others may differ. */
#define OLDEST_MAJOR 6
#define OLDEST_MINOR 17
#define ANSWER_MS    30000

static struct {
	struct diff_shared *sh;
	int memfd, to, from;
	int file[DIFF_FD_MEMFD]; /* with a disk, as slots 0 to 3 */
	bool noexec;
	pid_t pid;
} side = {.memfd = -1};

static char reason[256];

static bool read_u64(const char *path, uint64_t *v)
{
	FILE *f = fopen(path, "r");
	unsigned long long n = 0;
	bool ok = f && fscanf(f, "%llu", &n) == 1;

	if (f)
		fclose(f);
	*v = n;
	return ok;
}

static bool cpu_has(const char *flag)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	static char line[16384];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		char *save = NULL;

		if (strncmp(line, "flags", 5) != 0)
			continue;
		for (char *t = strtok_r(line, " \t\n", &save); t && !found;
		     t = strtok_r(NULL, " \t\n", &save))
			found = strcmp(t, flag) == 0;
		break;
	}
	if (f)
		fclose(f);
	return found;
}

/* Does the host swap? The first line of the file is its heading. */
static bool host_swaps(void)
{
	FILE *f = fopen("/proc/swaps", "r");
	char line[256];
	int lines = 0;

	while (f && fgets(line, sizeof(line), f))
		lines++;
	if (f)
		fclose(f);
	return lines > 1;
}

/* What advice this kernel was built with, and does nothing about by itself. */
static void look_for_features(void)
{
	uint64_t v;

	gen_features = GEN_POPULATE;
	if (read_u64("/sys/kernel/mm/ksm/run", &v) && v == 0)
		gen_features |= GEN_KSM;
	if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0)
		gen_features |= GEN_THP;
}

/* Why this host is none to compare with; NULL: it is. */
static const char *unsuitable(void)
{
	struct utsname u;
	struct sysinfo si;
	static const int open_ended[] = {RLIMIT_STACK, RLIMIT_DATA, RLIMIT_AS};
	struct rlimit lim;
	unsigned major = 0, minor = 0;
	uint64_t v;

	if (uname(&u) || strcmp(u.sysname, "Linux") != 0 ||
	    strcmp(u.machine, "x86_64") != 0)
		return "not Linux on x86-64";
	if (sscanf(u.release, "%u.%u", &major, &minor) != 2 ||
	    major < OLDEST_MAJOR ||
	    (major == OLDEST_MAJOR && minor < OLDEST_MINOR)) {
		snprintf(reason, sizeof(reason),
			 "Linux %.32s is older than %u.%u", u.release,
			 OLDEST_MAJOR, OLDEST_MINOR);
		return reason;
	}
	if (cpu_has("la57"))
		return "the CPU has page tables of five levels";
	if (cpu_has("ospke"))
		return "memory that is only executable cannot be read here "
		       "(protection keys)";
	if (!read_u64("/proc/sys/vm/overcommit_memory", &v) || v != 0)
		return "vm.overcommit_memory is not 0";
	if (read_u64("/proc/sys/vm/memfd_noexec", &v) && v != 0)
		return "vm.memfd_noexec is not 0";
	if (!read_u64("/proc/sys/vm/mmap_min_addr", &v) || v > 65536)
		return "vm.mmap_min_addr is not known";
	if (sysinfo(&si) || (uint64_t)si.totalram * si.mem_unit < 3ull << 30)
		return "less than 3 GiB of RAM";
	if (getrlimit(RLIMIT_MEMLOCK, &lim) || lim.rlim_max < DIFF_MEMLOCK)
		return "RLIMIT_MEMLOCK may not be 8 MiB";
	for (unsigned i = 0; i < sizeof(open_ended) / sizeof(*open_ended); i++)
		if (getrlimit(open_ended[i], &lim) ||
		    lim.rlim_max != RLIM_INFINITY)
			return "a hard limit of memory is set";
	return NULL;
}

/* MAX: also what it may be raised to. */
static void limit(int which, rlim_t soft, rlim_t max)
{
	struct rlimit r = {soft, max};

	if (setrlimit(which, &r))
		_exit(3);
}

/* ---- files with a disk
 * ------------------------------------------------------------- */

/* A file without a name in DIR, in which holes can be made; or -1. */
static int file_in(const char *dir, char letter)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/mmdiff-%c-XXXXXX", dir, letter);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -1;
	unlink(path);
	if (!ftruncate(fd, 2 * DIFF_PAGE) &&
	    !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		       DIFF_PAGE))
		return fd;
	close(fd);
	return -1;
}

/* The file open at FD once more, with other rights. */
static int open_again(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

static bool open_files(const char *dir)
{
	int a = dir ? file_in(dir, 'A') : -1, b = dir ? file_in(dir, 'B') : -1;
	struct statvfs fs;

	if (a < 0 || b < 0 || fstatvfs(a, &fs))
		return false;
	side.noexec = (fs.f_flag & ST_NOEXEC) != 0;
	side.file[0] = a;
	side.file[1] = open_again(a, O_RDONLY);
	side.file[2] = open_again(a, O_WRONLY);
	side.file[3] = open_again(b, O_RDWR | O_APPEND);
	close(b);
	return side.file[1] >= 0 && side.file[2] >= 0 && side.file[3] >= 0;
}

/* ---- the executor
 * ------------------------------------------------------------------ */

/* In the child: become the executor. */
static void become(int in, int out)
{
	static char *const argv[] = {"executor", NULL}, *const env[] = {NULL};
	const char *path = getenv("MMDIFF_EXECUTOR");

	setpgid(0, 0);
	limit(RLIMIT_STACK, 8u << 20, RLIM_INFINITY);
	limit(RLIMIT_CORE, 0, 0);
	limit(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY);
	limit(RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY);
	limit(RLIMIT_MEMLOCK, DIFF_MEMLOCK, DIFF_MEMLOCK);
	if (personality(ADDR_NO_RANDOMIZE) < 0)
		_exit(4);
	for (unsigned i = 0; i < DIFF_FD_MEMFD; i++)
		if (dup2(side.file[i], (int)(DIFF_FD0 + i)) < 0)
			_exit(5);
	/* Above the three, so that none is overwritten. */
	in = fcntl(in, F_DUPFD, 10);
	out = fcntl(out, F_DUPFD, 10);
	if (dup2(side.memfd, 9) < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(9, 3) < 0)
		_exit(5);
	execve(path ? path : "build/diff/executor", argv, env);
	_exit(127);
}

/* The next answer, or 0. */
static char answer(void)
{
	struct pollfd p = {side.from, POLLIN, 0};
	char c = 0;
	int n;

	do
		n = poll(&p, 1, ANSWER_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0 || read(side.from, &c, 1) != 1)
		return 0;
	return c;
}

static bool spawn(void)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return false;
	memset(&side.sh->host, 0, sizeof(side.sh->host));
	read_u64("/proc/sys/vm/mmap_min_addr", &side.sh->host.min_addr);
	side.sh->host.swap = host_swaps();
	side.sh->host.noexec = side.noexec;
	side.pid = fork();
	if (side.pid == 0)
		become(to[0], from[1]);
	close(to[0]);
	close(from[1]);
	side.to = to[1];
	side.from = from[0];
	return side.pid > 0 && answer() == 'k' && side.sh->host.ready &&
	       !side.sh->host.error;
}

void linux_stop(void)
{
	if (side.pid <= 0)
		return;
	close(side.to);
	close(side.from);
	kill(-side.pid, SIGKILL);
	waitpid(side.pid, NULL, 0);
	side.pid = 0;
}

bool linux_restart(void)
{
	linux_stop();
	return spawn();
}

const char *linux_start(void)
{
	const char *why = unsuitable();
	const struct diff_host *h;

	if (why)
		return why;
	look_for_features();
	signal(SIGPIPE, SIG_IGN);
	if (!open_files(getenv("TMPDIR")) && !open_files("/tmp") &&
	    !open_files("/dev/shm"))
		return "no directory for files with holes";
	side.memfd = memfd_create("mmdiff", 0);
	if (side.memfd < 0 || ftruncate(side.memfd, (off_t)DIFF_SHM_SIZE))
		return "no memfd_create(2)";
	side.sh = mmap(NULL, DIFF_SHM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       side.memfd, 0);
	if (side.sh == MAP_FAILED)
		return "no memory to share";
	if (!spawn()) {
		fprintf(stderr, "mmdiff: the executor failed: stage %u, %s\n",
			side.sh->host.stage, strerror(-side.sh->host.error));
		return "";
	}
	h = &side.sh->host;
	if (!h->heap)
		return "the heap cannot be placed (PR_SET_MM_MAP)";
	if (!h->scan)
		return "populated pages cannot be listed (PAGEMAP_SCAN)";
	if (h->mmap_base != DIFF_MMAP_BASE) {
		snprintf(reason, sizeof(reason),
			 "mmap(2) begins at 0x%llx here",
			 (unsigned long long)h->mmap_base);
		return reason;
	}
	return NULL;
}

bool linux_run(const struct seq *s, struct outcome *out)
{
	struct diff_shared *sh = side.sh;
	char c;

	memcpy(sh->op, s->op, s->nr * sizeof(s->op[0]));
	memset(sh->res, 0, s->nr * sizeof(sh->res[0]));
	sh->nr_ops = s->nr;
	sh->files = seq_uses(s);
	sh->turn = sh->abort = sh->blob_used = 0;
	out->nr = s->nr;
	out->res = sh->res;
	out->blob = sh->blob;
	if (write(side.to, "r", 1) != 1)
		return false;
	c = answer();
	return c == 'k' && sh->turn >= s->nr;
}

const struct diff_host *linux_host(void)
{
	return &side.sh->host;
}
