/* SPDX-License-Identifier: MIT */
/*
 * The report of memory that is out, line by line beside what Linux 6.1 printed
 * for the same (tests/data/linux/oom.txt, written by "tools/linux-compare
 * record oom"): each line of ours has the words of Linux's line in its place,
 * numbers aside. Then what is in it: the right process, user and group.
 */
#include "sim_machine.h"

#define P(n)	 ((u64)(n) << PAGE_SHIFT)
#define RECORD	 "tests/data/linux/oom.txt"
#define LINES	 160
#define LONGEST	 640
#define REAL_UID 1000u

/* ---- forms ----------------------------------------------------------------
 */

/* Lines with numbers, names and what varies with them taken out. */
struct forms {
	u32 nr;
	char line[LINES][LONGEST];
};

static bool hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* The number at S: how long. "0x" and what follows, or digits. */
static size_t number_at(const char *s)
{
	size_t n = 0;

	if (s[0] == '0' && s[1] == 'x')
		for (n = 2; hex_digit(s[n]); n++)
			;
	else
		while (s[n] >= '0' && s[n] <= '9')
			n++;
	return n;
}

static bool past(const char **s, const char *what)
{
	size_t n = strlen(what);

	if (strncmp(*s, what, n))
		return false;
	*s += n;
	return true;
}

/* Which types of blocks a list has, and whether a node is past reclaim. */
static bool skip_state(const char **s)
{
	const char *end;

	if ((*s)[0] == ' ' && (*s)[1] == '(' && (*s)[2] >= 'A' &&
	    (*s)[2] <= 'Z') {
		end = *s + 2 + strspn(*s + 2, "UMEHCI");
		if (*end == ')') {
			*s = end + 1;
			return true;
		}
	}
	return false;
}

/* IN[LEN] as a form: each number "#", each run of spaces one, the program's
 * name "NAME", the names of GFP flags "FLAGS". */
static void form_of(const char *in, size_t len, char *out)
{
	static const char *const names[] = {"busybox", "hog", "clerk", "idler"};
	char line[LONGEST], *o = out;
	const char *s = line;

	CHECK(len < sizeof(line));
	memcpy(line, in, len);
	line[len] = 0;
	while (*s) {
		size_t n = number_at(s);
		bool name = false;

		for (u32 i = 0; i < ARRAY_SIZE(names) && !name; i++)
			name = past(&s, names[i]);
		if (name) {
			o += sprintf(o, "NAME");
		} else if (n) {
			*o++ = '#';
			s += n;
		} else if (skip_state(&s)) {
		} else if (past(&s, "(GFP_")) {
			o += sprintf(o, "(FLAGS");
			s += strcspn(s, ")");
		} else if (past(&s, "all_unreclaimable? ")) {
			o += sprintf(o, "all_unreclaimable? ?");
			s += strcspn(s, " \n");
		} else if (*s == ' ' && (s[1] == ' ' || s[1] == 0)) {
			s++;
		} else {
			*o++ = *s++;
		}
	}
	*o = 0;
	CHECK(o - out < LONGEST);
}

/* Of Linux alone: the machine it ran on and its stack; pools of huge pages;
 * zswap by group; and at the end of a line the kernel's version. Of ours: that
 * Linux had no CMA. */
static bool one_alone(char *form)
{
	static const char *const alone[] = {
		"Hardware name:", "Call Trace:", "Node # hugepages_total",
		"zswap #",	  "zswapped #",	 "# pages cma reserved"};
	char *taint = strstr(form, " Not tainted");

	for (u32 i = 0; i < ARRAY_SIZE(alone); i++)
		if (!strncmp(form, alone[i], strlen(alone[i])))
			return true;
	if (taint)
		*taint = 0;
	return false;
}

static void add_line(struct forms *f, const char *text, size_t len)
{
	CHECK(f->nr < LINES);
	form_of(text, len, f->line[f->nr]);
	if (!one_alone(f->line[f->nr]))
		f->nr++;
}

/* Linux's report in section NAME of the record. */
static void read_record(const char *name, struct forms *f)
{
	FILE *in = fopen(RECORD, "r");
	char line[LONGEST], want[64];
	bool on = false;

	f->nr = 0;
	CHECK(in);
	snprintf(want, sizeof(want), "==== %s ====\n", name);
	while (fgets(line, sizeof(line), in)) {
		if (!strncmp(line, "==== ", 5))
			on = !strcmp(line, want);
		else if (on)
			add_line(f, line, strcspn(line, "\n"));
	}
	fclose(in);
	CHECK(f->nr > 10);
}

/* Our last report, to the victim's line and what belongs to it. */
static void read_log(struct forms *f)
{
	const char *log = tm.log, *end = tm.log + tm.log_len, *p = log;

	f->nr = 0;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);

		const char *text = memchr(p, ']', len);

		CHECK(*p == '[' && text);
		text += 2;
		if (memmem(p, len, "invoked oom-killer", 18))
			f->nr = 0;
		if (!memmem(p, len, "oom_reaper:", 11))
			add_line(f, text, (size_t)(p + len - text));
		p += len + 1;
	}
}

/* Rows of memory.stat, which Linux's log line is too short for. */
static bool stat_row(const char *form)
{
	return strcspn(form, " ") ==
		       strspn(form, "abcdefghijklmnopqrstuvwxyz_") &&
	       !strcmp(form + strcspn(form, " "), " #");
}

/* Each of OURS is THEIRS, in order; there may be more rows of memory.stat, and
 * other numbers of processes. */
static void compare(const struct forms *ours, const struct forms *theirs)
{
	u32 i = 0, k = 0;

	while (i < ours->nr || k < theirs->nr) {
		const char *a = i < ours->nr ? ours->line[i] : "(end)";
		const char *b = k < theirs->nr ? theirs->line[k] : "(end)";

		if (!strcmp(a, b)) {
			i++;
			k++;
			/* A row for each process. */
			while (i < ours->nr && !strcmp(a, ours->line[i]))
				i++;
			while (k < theirs->nr && !strcmp(b, theirs->line[k]))
				k++;
		} else if (stat_row(a) && !stat_row(b)) {
			i++;
		} else {
			fprintf(stderr, "ours:  %s\nLinux: %s\n", a, b);
			CHECK(!"the lines have one form");
		}
	}
}

/* ---- who is out of memory -------------------------------------------------
 */

struct user {
	const char *name;
	u64 pages;
	u32 uid;
	u16 group;
	s32 tgid;		  /* a thread of this process; 0: of its own */
	struct mm_struct *shared; /* and in this space */
	const struct user *until; /* waits for its end */
	int signal;
	bool ready, ended;
	s32 pid;
	struct port_thread *thread;
};

static int fill(struct user *u, struct mm_struct *mm)
{
	s64 at = do_mmap(mm, 0, P(u->pages), TM_RW, TM_ANON | MAP_NORESERVE);

	CHECK(at > 0);
	for (u64 i = 0; i < u->pages; i++) {
		int sig = sim_copy_to_user((uva_t)at + P(i), &i, sizeof(i));

		if (sig)
			return sig;
	}
	return 0;
}

static void user_thread(void *arg)
{
	struct user *u = arg;
	struct mm_task *task = port_current();
	struct mm_struct *mm = u->shared ? u->shared : tm_mm();

	task->uid = u->uid;
	task->tgid = u->tgid;
	mm_task_register(task, u->name);
	u->pid = task->pid;
	mm_task_attach(task, mm);
	if (!u->shared)
		mm_put(mm);
	if (u->group)
		CHECK_EQ(memcg_attach(task, u->group), 0);
	u->ready = true;
	if (u->pages)
		u->signal = fill(u, mm);
	while (u->until && !READ_ONCE(u->until->ended) &&
	       !READ_ONCE(task->fatal_signal))
		port_park(1000 * 1000);
	if (task->fatal_signal)
		u->signal = task->fatal_signal;
	mm_task_exit(task);
	mm_task_unregister(task);
	WRITE_ONCE(u->ended, true);
}

static void start(struct user *u)
{
	CHECK_EQ(sim_thread_start_on(&u->thread, u->name, 0, user_thread, u),
		 0);
	while (!READ_ONCE(u->ready))
		port_park(1000 * 1000);
}

static void check_logged(const char *fmt, ...)
{
	char want[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(want, sizeof(want), fmt, ap);
	va_end(ap);
	if (!tm_logged(want))
		fprintf(stderr, "not in the log: %s\n", want);
	CHECK(tm_logged(want));
}

static u32 times_logged(const char *text)
{
	const char *p = tm.log, *end = tm.log + tm.log_len;
	u32 n = 0;

	while ((p = memmem(p, (size_t)(end - p), text, strlen(text)))) {
		p += strlen(text);
		n++;
	}
	return n;
}

/* ---- the machine's memory -------------------------------------------------
 */

static struct forms ours, theirs;

static int global_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct user hog = {.name = "hog", .pages = 9000, .uid = REAL_UID};
	struct user idler = {.name = "idler", .until = &hog, .uid = 7};
	struct user two[2] = {
		{.name = "clerk", .shared = mm, .until = &hog},
		{.name = "clerk", .shared = mm, .until = &hog},
	};

	(void)arg;
	start(&idler);
	start(&two[0]);
	two[1].tgid = two[0].pid;
	start(&two[1]);
	start(&hog);
	port_thread_join(hog.thread);
	port_thread_join(idler.thread);
	for (u32 i = 0; i < 2; i++)
		port_thread_join(two[i].thread);
	mm_put(mm);
	CHECK_EQ(hog.signal, MM_SIGKILL);
	check_logged("[%7d] %5u %5d ", idler.pid, 7u, idler.pid);
	check_logged("[%7d] %5u %5d ", hog.pid, REAL_UID, hog.pid);
	check_logged("task=hog,pid=%d,uid=%u\n", hog.pid, REAL_UID);
	check_logged("UID:%u pgtables:", REAL_UID);
	/* Threads are one process, oldest first. */
	CHECK_EQ(times_logged(" clerk\n"), 1);
	check_logged("[%7d] %5u %5d ", two[0].pid, 0u, two[0].pid);
	CHECK(strstr(tm.log, " 0 idler\n") < strstr(tm.log, " 0 clerk\n"));
	CHECK(strstr(tm.log, " 0 clerk\n") < strstr(tm.log, " 0 hog\n"));
	read_log(&ours);
	return 0;
}

static void global(void **state)
{
	(void)state;
	TM_RUN(global_body, .mem = 24UL << 20, .shared_ram = true);
	read_record("global", &theirs);
	compare(&ours, &theirs);
}

/* ---- a group's ------------------------------------------------------------
 */

/* WHOLE: its group goes as one. */
static int group_body(void *arg)
{
	bool whole = arg != NULL;
	struct user hog = {.name = "hog", .pages = 900, .uid = REAL_UID};
	struct user idler = {.name = "idler", .until = &hog, .uid = REAL_UID};
	u16 shop, till;

	CHECK_EQ(memcg_create(0, &shop), 0);
	CHECK_EQ(memcg_set_name(shop, "shop"), 0);
	CHECK_EQ(memcg_create(shop, &till), 0);
	CHECK_EQ(memcg_write(shop, "memory.max", "2M"), 0);
	CHECK_EQ(memcg_set_name(till, "till"), 0);
	CHECK_EQ(memcg_set_name(999, "none"), -ENOENT);
	if (whole)
		CHECK_EQ(memcg_write(till, "memory.oom.group", "1"), 0);
	hog.group = idler.group = till;
	start(&idler);
	start(&hog);
	port_thread_join(hog.thread);
	port_thread_join(idler.thread);
	CHECK_EQ(hog.signal, MM_SIGKILL);
	CHECK_EQ(idler.signal, whole ? MM_SIGKILL : 0);
	check_logged("Memory cgroup stats for /shop:\n");
	check_logged("oom_memcg=/shop,task_memcg=/shop/till,task=hog,pid=%d,"
		     "uid=%u\n",
		     hog.pid, REAL_UID);
	if (whole) {
		check_logged("Tasks in /shop/till are going to be killed due "
			     "to memory.oom.group set\n");
		check_logged("Killed process %d (idler) total-vm:", idler.pid);
	}
	CHECK_EQ(times_logged(": Killed process "), whole ? 2 : 1);
	read_log(&ours);
	CHECK_EQ(memcg_remove(till), 0);
	CHECK_EQ(memcg_remove(shop), 0);
	return 0;
}

static void group(void **state)
{
	(void)state;
	TM_RUN(group_body, .mem = 24UL << 20, .shared_ram = true);
	read_record("memcg", &theirs);
	compare(&ours, &theirs);
	TM_RUN(group_body, .arg = &ours, .mem = 24UL << 20, .shared_ram = true);
	read_record("whole", &theirs);
	compare(&ours, &theirs);
}

/* Nobody named it: its number. Its rows are those of memory.stat. */
static int unnamed_body(void *arg)
{
	struct user hog = {.name = "hog", .pages = 900};
	char text[4096], *row, *save = NULL;
	u16 id;

	(void)arg;
	CHECK_EQ(memcg_create(0, &id), 0);
	CHECK_EQ(memcg_write(id, "memory.max", "2M"), 0);
	CHECK(memcg_read(id, "memory.stat", text, sizeof(text)) > 0);
	hog.group = id;
	start(&hog);
	port_thread_join(hog.thread);
	CHECK_EQ(hog.signal, MM_SIGKILL);
	check_logged("oom_memcg=/%u,task_memcg=/%u,task=hog", id, id);
	for (row = strtok_r(text, "\n", &save); row;
	     row = strtok_r(NULL, "\n", &save)) {
		*strchr(row, ' ') = 0;
		check_logged("] %s ", row);
	}
	CHECK_EQ(memcg_remove(id), 0);
	return 0;
}

static void unnamed(void **state)
{
	(void)state;
	TM_RUN(unnamed_body, .mem = 24UL << 20, .shared_ram = true);
}

/* Of a storm ten are told at length, and each in a line. */
static int storm_body(void *arg)
{
	u16 id;

	(void)arg;
	CHECK_EQ(memcg_create(0, &id), 0);
	CHECK_EQ(memcg_write(id, "memory.max", "256K"), 0);
	for (u32 i = 0; i < 14; i++) {
		struct user hog = {.name = "hog", .pages = 200, .group = id};

		if (i == 12)
			port_park(5000UL * 1000 * 1000);
		start(&hog);
		port_thread_join(hog.thread);
		CHECK_EQ(hog.signal, MM_SIGKILL);
	}
	CHECK_EQ(times_logged("invoked oom-killer"), 12);
	CHECK_EQ(times_logged("oom-kill:constraint="), 12);
	CHECK_EQ(times_logged(": Killed process "), 14);
	CHECK_EQ(memcg_remove(id), 0);
	return 0;
}

static void storm(void **state)
{
	(void)state;
	TM_RUN(storm_body, .mem = 24UL << 20, .shared_ram = true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(global),
		cmocka_unit_test(group),
		cmocka_unit_test(unnamed),
		cmocka_unit_test(storm),
	};

	return cmocka_run_group_tests_name("oom_report", tests, NULL, NULL);
}
