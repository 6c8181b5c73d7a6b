/* SPDX-License-Identifier: MIT */
/*
 * Limits and the places of a program's parts: prlimit(2), PR_SET_MM of
 * prctl(2). Where the running kernel lets itself be asked, it gets the same
 * calls, from a child that cannot raise limits, and must give the same answers.
 */
#include "calls.h"

#include <mmkit/prctl.h>
#include <mmkit/resource.h>
#include <mmkit/uaccess.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "shmem_machine.h"

#define PR_SET_MM 35

/* Both sides have memory there; the machine's arguments lie in its last page.
 */
#define AT	 0x10000000UL
#define PAGES	 16u
#define ARG	 (AT + P(PAGES - 1))
#define NOWHERE	 0x30000000UL
#define MIN_ADDR 65536UL
#define END	 0x7ffffffff000UL

#define NR_MAPS	  3000u
#define NR_LIMITS 2000u

/* ---- calls as data, answers in memory that a child shares -------------------
 */

struct map_call {
	struct prctl_mm_map map;
	u64 size, arg5;
	bool bad_pointer;
	u64 data_limit; /* RLIMIT_DATA before it */
};

struct limit_call {
	int resource;
	bool set;
	struct mm_rlimit new;
};

struct limit_answer {
	int err;
	struct mm_rlimit old;
};

struct answers {
	bool maps, exe, limits; /* were given */
	int map[NR_MAPS];
	struct limit_answer limit[NR_LIMITS];
};

static struct map_call map_calls[NR_MAPS];
static struct limit_call limit_calls[NR_LIMITS];
static struct answers *linux_says;

static struct prctl_mm_map valid_map(void)
{
	return (struct prctl_mm_map){
		.start_code = AT,
		.end_code = AT + P(1),
		.start_data = AT + P(1),
		.end_data = AT + P(2),
		.start_brk = 0x20000000,
		.brk = 0x20001000,
		.start_stack = AT + P(8),
		.arg_start = AT + P(8),
		.arg_end = AT + P(8),
		.env_start = AT + P(8),
		.env_end = AT + P(8),
		.exe_fd = ~0u,
	};
}

/* Descriptors of both sides. */
#define FD_NONE	 999u
#define FD_PLAIN 998u /* a file that may not be run */

static u64 some_address(struct prng *r)
{
	static const u64 at[] = {
		0,	    1,
		P(1),	    MIN_ADDR - 1,
		MIN_ADDR,   MIN_ADDR + 1,
		AT,	    AT + 1,
		AT + P(1),  AT + P(1) + 1,
		AT + P(2),  AT + P(3),
		NOWHERE,    0x20000000,
		0x20000fff, 0x20001000,
		0x20002000, 0x20002001,
		0x20003000, 0x20003001,
		END - 1,    END,
		END + 1,    END + P(1),
		1UL << 47,  (u64)-4096L,
		(u64)-1L,
	};

	return at[prng_below(r, ARRAY_SIZE(at))];
}

static void vary_auxv(struct prctl_mm_map *m, struct prng *r)
{
	static const u32 size[] = {0, 1, 7, 8, 16, 440, 447, 448, 449, 4096};
	static const u64 at[] = {0, AT, AT + P(3), NOWHERE, (u64)-4096L, END};

	m->auxv = at[prng_below(r, ARRAY_SIZE(at))];
	m->auxv_size = size[prng_below(r, ARRAY_SIZE(size))];
}

/* A valid call, of which a few things are changed. */
static void make_map_call(struct map_call *c, struct prng *r)
{
	static const u64 limits[] = {MM_RLIM_INFINITY, 0x3000, 0x3001, 0x2fff,
				     0x2000};
	u64 *word = (u64 *)&c->map;

	*c = (struct map_call){.map = valid_map(), .size = sizeof(c->map)};
	c->data_limit = limits[prng_below(r, ARRAY_SIZE(limits))];
	for (u64 n = prng_below(r, 4); n; n--)
		word[prng_below(r, 11)] = some_address(r);
	if (prng_one_in(r, 4))
		vary_auxv(&c->map, r);
	if (prng_one_in(r, 8))
		c->map.exe_fd = prng_one_in(r, 2) ? FD_NONE : FD_PLAIN;
	if (prng_one_in(r, 20))
		c->size += prng_below(r, 3) - 1;
	c->arg5 = prng_one_in(r, 20);
	c->bad_pointer = prng_one_in(r, 20);
}

/* Large enough for the child itself, whichever it is. */
static u64 some_limit(struct prng *r)
{
	static const u64 v[] = {1UL << 33,	 (1UL << 33) + 1, 1UL << 34,
				1UL << 40,	 1UL << 62,	  (u64)-2L,
				MM_RLIM_INFINITY};

	return v[prng_below(r, ARRAY_SIZE(v))];
}

static void make_limit_call(struct limit_call *c, struct prng *r)
{
	static const int known[] = {MM_RLIMIT_DATA, MM_RLIMIT_STACK,
				    MM_RLIMIT_AS, 77};

	static u64 hard[10];
	u64 *now;

	*c = (struct limit_call){.resource = known[prng_below(r, 4)],
				 .set = prng_below(r, 3) != 0};
	now = &hard[c->resource % 10];
	if (!*now)
		*now = MM_RLIM_INFINITY;
	c->new = (struct mm_rlimit){some_limit(r), *now};
	/* Once lowered it stays so: rarely, or all would be at the bottom. */
	if (prng_one_in(r, 8))
		c->new.max = prng_one_in(r, 30) ? some_limit(r) : *now + 1;
	if (c->set && c->new.cur <= c->new.max && c->new.max < *now)
		*now = c->new.max;
}

/* ---- the running kernel ----------------------------------------------------
 */

/* Without capabilities limits bind. */
static bool drop_capabilities(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0}};

	return syscall(SYS_capset, &head, none) == 0;
}

static int linux_map(const struct map_call *c)
{
	const void *from = c->bad_pointer ? (void *)NOWHERE : &c->map;
	struct rlimit limit = {c->data_limit, RLIM_INFINITY};

	if (syscall(SYS_prlimit64, 0, RLIMIT_DATA, &limit, NULL))
		return -EIO;
	return syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, from, c->size,
		       c->arg5)
		       ? -errno
		       : 0;
}

/* False: this kernel does not say, or means other things. */
static bool linux_maps(struct answers *a)
{
	struct map_call c = {.map = valid_map(),
			     .size = sizeof(c.map),
			     .data_limit = MM_RLIM_INFINITY};
	u32 size = 0;

	if (syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) ||
	    size != sizeof(c.map) || linux_map(&c))
		return false;
	c.map.end_code = END;
	if (linux_map(&c) != -EINVAL)
		return false;
	c.map.end_code = AT + P(1);
	c.map.start_code = MIN_ADDR;
	if (linux_map(&c))
		return false;
	c.map.start_code--;
	if (linux_map(&c) != -EINVAL)
		return false;
	/* The longest vector is another one in other kernels. */
	c.map = valid_map();
	c.map.auxv = AT;
	c.map.auxv_size = 8 * MM_AUXV_WORDS;
	if (linux_map(&c))
		return false;
	c.map.auxv_size++;
	if (linux_map(&c) != -EINVAL)
		return false;
	c.map = valid_map();
	c.map.exe_fd = FD_NONE;
	a->exe = linux_map(&c) == -EBADF;
	return true;
}

static bool linux_limits(struct answers *a)
{
	struct rlimit old;

	for (u32 i = 0; i < NR_LIMITS; i++) {
		const struct limit_call *c = &limit_calls[i];
		struct rlimit new = {c->new.cur, c->new.max};

		old = (struct rlimit){0, 0};
		a->limit[i].err = syscall(SYS_prlimit64, 0, c->resource,
					  c->set ? &new : NULL, &old)
					  ? -errno
					  : 0;
		a->limit[i].old =
			(struct mm_rlimit){old.rlim_cur, old.rlim_max};
	}
	return true;
}

/* In the child. Limits begin as a new space's do. */
static void ask_linux(struct answers *a)
{
	struct rlimit stack = {8UL << 20, RLIM_INFINITY};
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	int plain = open("/etc/passwd", O_RDONLY);
	void *at =
		mmap((void *)AT, P(PAGES), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (at != (void *)AT || dup2(plain, (int)FD_PLAIN) < 0 ||
	    setrlimit(RLIMIT_STACK, &stack) || setrlimit(RLIMIT_AS, &all) ||
	    setrlimit(RLIMIT_DATA, &all))
		return;
	a->maps = linux_maps(a);
	for (u32 i = 0; a->maps && i < NR_MAPS; i++)
		a->map[i] = linux_map(&map_calls[i]);
	if (setrlimit(RLIMIT_DATA, &all) || !drop_capabilities())
		return;
	a->limits = linux_limits(a);
}

static int ask(void **state)
{
	struct prng r;
	int status;
	pid_t pid;

	(void)state;
	test_seed(&r, "prctl");
	for (u32 i = 0; i < NR_MAPS; i++)
		make_map_call(&map_calls[i], &r);
	for (u32 i = 0; i < NR_LIMITS; i++)
		make_limit_call(&limit_calls[i], &r);
	linux_says = mmap(NULL, sizeof(*linux_says), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(linux_says, MAP_FAILED);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		ask_linux(linux_says);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	fprintf(stderr, "asked of the running kernel: %s%s%s\n",
		linux_says->maps ? "maps " : "", linux_says->exe ? "exe " : "",
		linux_says->limits ? "limits" : "");
	return 0;
}

/* ---- the machine -----------------------------------------------------------
 */

static struct file *plain_file, *program;

static struct file *fget(u32 fd, void *arg)
{
	(void)arg;
	if (fd == FD_PLAIN)
		return get_file(plain_file);
	return fd == 3 ? get_file(program) : NULL;
}

static int set_mm(int op, u64 arg3, u64 arg4, u64 arg5)
{
	struct mm_set_mm req = {op, arg3, arg4, arg5, fget, NULL};

	return mm_prctl_set_mm(port_current()->mm, &req);
}

static int set_map(const struct prctl_mm_map *m)
{
	CHECK_EQ(sim_copy_to_user(ARG, m, sizeof(*m)), 0);
	return set_mm(PR_SET_MM_MAP, ARG, sizeof(*m), 0);
}

static int limit(int resource, u64 cur, u64 max)
{
	struct mm_rlimit new = {cur, max};

	return mm_prlimit(port_current()->mm, resource, &new, NULL);
}

/* A space with the memory that calls name. */
static struct mm_struct *prctl_mm(u32 caps)
{
	struct mm_struct *mm = tm_mm();
	int flags = TM_ANON | MAP_FIXED;

	tm_use(mm);
	port_current()->caps = caps;
	CHECK_EQ(do_mmap(mm, AT, P(PAGES), TM_RW, flags), AT);
	return mm;
}

static void prctl_mm_end(struct mm_struct *mm)
{
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	port_current()->caps = 0;
}

static bool same_map(struct prctl_mm_map a, const struct prctl_mm_map *b)
{
	a.auxv = b->auxv;
	a.auxv_size = b->auxv_size;
	a.exe_fd = b->exe_fd;
	return !memcmp(&a, b, sizeof(a));
}

/* ---- PR_SET_MM_MAP ---------------------------------------------------------
 */

static int sim_map(const struct map_call *c)
{
	u64 from = c->bad_pointer ? NOWHERE : ARG;

	CHECK_EQ(limit(MM_RLIMIT_DATA, c->data_limit, MM_RLIM_INFINITY), 0);
	CHECK_EQ(sim_copy_to_user(ARG, &c->map, sizeof(c->map)), 0);
	return set_mm(PR_SET_MM_MAP, from, c->size, c->arg5);
}

/* A file of SB, with permissions PERM. */
static struct file *file_of(struct super_block *sb, u32 perm)
{
	struct inode *inode = shmem_inode_new(sb, perm);
	struct file *f;

	CHECK(!IS_ERR(inode));
	f = file_open(inode, SH_RW, 0, "/program");
	CHECK(f);
	inode->i_nlink = 0;
	iput(inode);
	return f;
}

static int maps_body(void *arg)
{
	struct mm_struct *mm = prctl_mm(MM_CAP_SYS_ADMIN);
	struct super_block *sb = sh_mount(0, 0);
	struct prctl_mm_map was, now;
	u64 done = 0, asked = 0;

	(void)arg;
	plain_file = file_of(sb, 0644);
	for (u32 i = 0; i < NR_MAPS; i++) {
		const struct map_call *c = &map_calls[i];
		int err;

		snprintf(tm_context, sizeof(tm_context), "map %u", i);
		mm_prctl_map_get(mm, &was);
		err = sim_map(c);
		mm_prctl_map_get(mm, &now);
		CHECK(same_map(now, err ? &was : &c->map));
		done += err == 0;
		if (linux_says->maps &&
		    (linux_says->exe || c->map.exe_fd == ~0u)) {
			CHECK_EQ(err, linux_says->map[i]);
			asked++;
		}
	}
	tm_context[0] = 0;
	CHECK(done > NR_MAPS / 20 && done < NR_MAPS);
	CHECK(!linux_says->maps || asked > NR_MAPS / 2);
	fput(plain_file);
	prctl_mm_end(mm);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

/* Sizes are Linux's; the vector ends whatever was given. */
static int contents_body(void *arg)
{
	struct mm_struct *mm = prctl_mm(0), *child;
	struct prctl_mm_map m = valid_map(), got;
	u64 words[MM_AUXV_WORDS], buf[MM_AUXV_WORDS + 1];
	struct mm_usage u;
	u32 size = 0;

	(void)arg;
	CHECK_EQ(set_mm(PR_SET_MM_MAP_SIZE, ARG, 1, 0), 0);
	CHECK_EQ(sim_copy_from_user(&size, ARG, sizeof(size)), 0);
	CHECK_EQ(size, 104);
	CHECK_EQ(set_mm(PR_SET_MM_MAP_SIZE, NOWHERE, 0, 0), -EFAULT);
	CHECK_EQ(set_mm(PR_SET_MM_MAP_SIZE, ARG, 0, 1), -EINVAL);
	CHECK_EQ(mm_auxv_get(mm, words, MM_AUXV_WORDS), 0);
	mm_usage_get(mm, &u);
	CHECK_EQ(u.text, 0);
	/* All words of it, as Linux: the last two are the end. */
	memset(buf, 0x11, sizeof(buf));
	CHECK_EQ(sim_copy_to_user(AT, buf, sizeof(buf)), 0);
	m.auxv = AT;
	m.auxv_size = sizeof(words);
	m.start_code = AT + 5;
	m.end_code = AT + P(2) + 1;
	m.start_data = m.end_data = AT;
	CHECK_EQ(set_map(&m), 0);
	CHECK_EQ(mm_auxv_get(mm, words, MM_AUXV_WORDS), MM_AUXV_WORDS);
	CHECK(!memcmp(words, buf, sizeof(words) - 16));
	CHECK(!words[MM_AUXV_WORDS - 2] && !words[MM_AUXV_WORDS - 1]);
	mm_usage_get(mm, &u);
	CHECK_EQ(u.text, 3);
	/* Shorter; and without one it stays. A child has it all. */
	m.auxv_size = 16;
	CHECK_EQ(set_map(&m), 0);
	m.auxv = m.auxv_size = 0;
	CHECK_EQ(set_map(&m), 0);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(mm_auxv_get(child, words, MM_AUXV_WORDS), 4);
	CHECK(words[1] == buf[0] && !words[2] && !words[3]);
	CHECK_EQ(mm_auxv_get(child, words, 1), 1);
	mm_prctl_map_get(child, &got);
	CHECK(same_map(got, &m) && got.auxv_size == 32 && got.exe_fd == ~0u);
	mm_put(child);
	prctl_mm_end(mm);
	return 0;
}

/* The program's file. */
static int exe_body(void *arg)
{
	struct super_block *sb = sh_mount(0, 0);
	struct mm_struct *mm = prctl_mm(MM_CAP_SYS_RESOURCE), *child;
	struct file *first = file_of(sb, 0755), *second = file_of(sb, 0711);
	struct mm_mmap r = {0,		 P(1),	PROT_READ | PROT_EXEC,
			    MAP_PRIVATE, first, 0};
	struct prctl_mm_map m = valid_map();
	struct file *got;
	s64 at;

	(void)arg;
	plain_file = file_of(sb, 0644);
	program = first;
	CHECK(!mm_exe_file_get(mm));
	CHECK_EQ(set_mm(PR_SET_MM_EXE_FILE, FD_NONE, 0, 0), -EBADF);
	CHECK_EQ(set_mm(PR_SET_MM_EXE_FILE, FD_PLAIN, 0, 0), -EACCES);
	sb->s_iflags |= SB_I_NOEXEC;
	CHECK_EQ(set_mm(PR_SET_MM_EXE_FILE, 3, 0, 0), -EACCES);
	sb->s_iflags &= ~SB_I_NOEXEC;
	CHECK_EQ(set_mm(PR_SET_MM_EXE_FILE, 3, 1, 0), -EINVAL);
	CHECK_EQ(set_mm(PR_SET_MM_EXE_FILE, 3, 0, 0), 0);
	at = do_mmap_file(mm, &r);
	CHECK(at > 0);
	/* While it is mapped there is no other. */
	program = second;
	CHECK_EQ(set_mm(PR_SET_MM_EXE_FILE, 3, 0, 0), -EBUSY);
	m.exe_fd = 3;
	CHECK_EQ(set_map(&m), -EPERM);
	port_current()->caps = MM_CAP_SYS_ADMIN;
	CHECK_EQ(set_map(&m), -EBUSY);
	CHECK_EQ(mm->start_brk == m.start_brk, false);
	got = mm_exe_file_get(mm);
	CHECK(got == first);
	fput(got);
	CHECK_EQ(do_munmap(mm, (uva_t)at, P(1)), 0);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(set_map(&m), 0);
	got = mm_exe_file_get(mm);
	CHECK(got == second);
	fput(got);
	got = mm_exe_file_get(child);
	CHECK(got == first);
	fput(got);
	mm_put(child);
	fput(first);
	fput(second);
	fput(plain_file);
	prctl_mm_end(mm);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void map_all(void **state)
{
	(void)state;
	TM_RUN(maps_body);
	TM_RUN(contents_body);
	TM_RUN(exe_body);
}

/* ---- one by one ------------------------------------------------------------
 */

/* Without the right; arguments that are not used; outside user space. */
static int one_errors_body(void *arg)
{
	struct mm_struct *mm = prctl_mm(0);
	static const int ops[] = {0, 1,	 2,  3,	 4,  5,	 6,  7, 8,
				  9, 10, 11, 12, 13, 16, 99, -1};

	(void)arg;
	/* As Linux, which looks at the arguments first. */
	for (u32 i = 0; i < ARRAY_SIZE(ops); i++) {
		int op = ops[i];

		REFUSED(mm, set_mm(op, AT, 0, 0), -EPERM);
		REFUSED(mm, set_mm(op, AT, 0, 1), -EINVAL);
		REFUSED(mm, set_mm(op, AT, 1, 0),
			op == PR_SET_MM_AUXV ? -EPERM : -EINVAL);
	}
	port_current()->caps = MM_CAP_SYS_RESOURCE;
	REFUSED(mm, set_mm(0, AT, 0, 0), -EINVAL);
	REFUSED(mm, set_mm(16, AT, 0, 0), -EINVAL);
	REFUSED(mm, set_mm(-1, AT, 0, 0), -EINVAL);
	for (int op = PR_SET_MM_START_CODE; op <= PR_SET_MM_ENV_END; op++) {
		REFUSED(mm, set_mm(op, 0, 0, 0), -EINVAL);
		REFUSED(mm, set_mm(op, MIN_ADDR - 1, 0, 0), -EINVAL);
		REFUSED(mm, set_mm(op, END, 0, 0), -EINVAL);
		REFUSED(mm, set_mm(op, (u64)-1L, 0, 0), -EINVAL);
		if (op != PR_SET_MM_START_BRK && op != PR_SET_MM_BRK)
			REFUSED(mm, set_mm(op, NOWHERE, 0, 0), -EINVAL);
	}
	REFUSED(mm, set_mm(PR_SET_MM_AUXV, AT, 449, 0), -EINVAL);
	REFUSED(mm, set_mm(PR_SET_MM_AUXV, NOWHERE, 8, 0), -EFAULT);
	CHECK_EQ(set_mm(PR_SET_MM_AUXV, AT, 448, 0), 0);
	prctl_mm_end(mm);
	return 0;
}

/* Which memory each value may lie in. */
static int one_areas_body(void *arg)
{
	static const struct {
		int prot, flags;
		bool code, data, stack;
	} area[] = {
		{PROT_READ | PROT_EXEC, MAP_PRIVATE, true, false, false},
		{PROT_READ | PROT_EXEC, MAP_SHARED, false, false, false},
		{TM_RW | PROT_EXEC, MAP_PRIVATE, false, false, true},
		{TM_RW, MAP_PRIVATE, false, true, true},
		{TM_RW, MAP_SHARED, false, false, true},
		{PROT_READ, MAP_PRIVATE, false, false, false},
		{PROT_NONE, MAP_PRIVATE, false, false, false},
	};
	struct prctl_mm_map got;

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(area); i++) {
		struct mm_struct *mm = prctl_mm(MM_CAP_SYS_RESOURCE);
		int flags = area[i].flags | MAP_ANONYMOUS | MAP_FIXED;
		u64 at = 0x40000000;

		CHECK_EQ(do_mmap(mm, at, P(2), area[i].prot, flags), at);
		for (int op = 1; op <= PR_SET_MM_ENV_END; op++) {
			bool may = op <= 2   ? area[i].code
				   : op <= 4 ? area[i].data
					     : area[i].stack;
			bool end = op == 2 || op == 4 || op == 9 || op == 11;

			if (op == PR_SET_MM_START_BRK || op == PR_SET_MM_BRK)
				continue;
			/* An end is the first byte beyond. */
			CHECK_EQ(set_mm(op, at - !end, 0, 0), -EINVAL);
			CHECK_EQ(set_mm(op, at + P(2) + end, 0, 0), -EINVAL);
			CHECK_EQ(set_mm(op, end ? at + P(2) : at, 0, 0),
				 may ? 0 : -EINVAL);
		}
		mm_prctl_map_get(mm, &got);
		CHECK_EQ(got.start_code, area[i].code ? at : 0);
		CHECK_EQ(got.end_code, area[i].code ? at + P(2) : 0);
		CHECK_EQ(got.start_data, area[i].data ? at : 0);
		CHECK_EQ(got.end_data, area[i].data ? at + P(2) : 0);
		CHECK_EQ(got.start_stack, area[i].stack ? at : 0);
		CHECK_EQ(got.env_end, area[i].stack ? at + P(2) : 0);
		prctl_mm_end(mm);
	}
	return 0;
}

/* The heap moves: brk(2) goes by it, and data counts against the limit. */
static int one_heap_body(void *arg)
{
	struct mm_struct *mm = prctl_mm(MM_CAP_SYS_RESOURCE);
	struct prctl_mm_map m = valid_map();
	uva_t heap = 0x20000000;

	(void)arg;
	CHECK_EQ(set_mm(PR_SET_MM_START_DATA, AT, 0, 0), 0);
	CHECK_EQ(set_mm(PR_SET_MM_END_DATA, AT + P(2), 0, 0), 0);
	/* A start behind its end. */
	REFUSED(mm, set_mm(PR_SET_MM_START_DATA, AT + P(2) + 1, 0, 0), -EINVAL);
	REFUSED(mm, set_mm(PR_SET_MM_END_DATA, AT + 1 - 1, 0, 0), -EINVAL);
	REFUSED(mm, set_mm(PR_SET_MM_BRK, mm->start_brk - 1, 0, 0), -EINVAL);
	/* Behind the data. */
	REFUSED(mm, set_mm(PR_SET_MM_START_BRK, AT + P(2), 0, 0), -EINVAL);
	CHECK_EQ(set_mm(PR_SET_MM_START_BRK, heap, 0, 0), 0);
	CHECK_EQ(set_mm(PR_SET_MM_BRK, heap, 0, 0), 0);
	CHECK_EQ(do_brk(mm, heap + P(3)), heap + P(3));
	tm_store(heap + P(2), 5);
	CHECK_EQ(do_brk(mm, heap - 1), heap + P(3));
	/* Five pages of heap and data. */
	CHECK_EQ(limit(MM_RLIMIT_DATA, P(5), MM_RLIM_INFINITY), 0);
	CHECK_EQ(set_mm(PR_SET_MM_BRK, heap + P(3), 0, 0), 0);
	REFUSED(mm, set_mm(PR_SET_MM_BRK, heap + P(3) + 1, 0, 0), -EINVAL);
	REFUSED(mm, set_mm(PR_SET_MM_END_DATA, AT + P(2) + 1, 0, 0), -EINVAL);
	CHECK_EQ(set_mm(PR_SET_MM_END_DATA, AT + P(1), 0, 0), 0);
	CHECK_EQ(limit(MM_RLIMIT_DATA, P(300), MM_RLIM_INFINITY), 0);
	/* What is mapped counts by itself: data that is not binds brk alone. */
	CHECK_EQ(do_brk(mm, heap), heap);
	m.end_data = m.start_data + P(100);
	m.brk = m.start_brk;
	CHECK_EQ(set_map(&m), 0);
	CHECK_EQ(limit(MM_RLIMIT_DATA, P(102), MM_RLIM_INFINITY), 0);
	CHECK_EQ(do_brk(mm, m.start_brk + P(2)), m.start_brk + P(2));
	CHECK_EQ(do_brk(mm, m.start_brk + P(2) + 1), m.start_brk + P(2));
	CHECK_EQ(do_brk(mm, m.start_brk), m.start_brk);
	prctl_mm_end(mm);
	return 0;
}

static void one_by_one(void **state)
{
	(void)state;
	TM_RUN(one_errors_body);
	TM_RUN(one_areas_body);
	TM_RUN(one_heap_body);
}

/* ---- every allocation fails ------------------------------------------------
 */

static int failing_body(void *arg)
{
	u64 fired = 0;

	(void)arg;
	for (u64 n = 1;; n++) {
		struct mm_struct *mm = prctl_mm(MM_CAP_SYS_RESOURCE), *child;
		struct prctl_mm_map m = valid_map(), was, now;
		struct fail_result r;
		int err, forked;

		CHECK_EQ(sim_copy_to_user(ARG, &m, sizeof(m)), 0);
		mm_prctl_map_get(mm, &was);
		fail_arm_nth(FAIL_ALL, n, false);
		fail_only_task(port_current());
		err = set_mm(PR_SET_MM_MAP, ARG, sizeof(m), 0);
		forked = err ? -ENOMEM : mm_fork(mm, &child);
		r = fail_disarm();
		fired += r.fired;
		mm_prctl_map_get(mm, &now);
		CHECK(same_map(now, err ? &was : &m));
		CHECK((!err && !forked) || r.fired);
		CHECK(err == 0 || err == -ENOMEM);
		CHECK(forked == 0 || forked == -ENOMEM);
		if (!forked) {
			mm_prctl_map_get(child, &now);
			CHECK(same_map(now, &m));
			mm_put(child);
		}
		prctl_mm_end(mm);
		if (!r.fired)
			break;
	}
	CHECK(fired > 2);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(failing_body);
}

/* ---- prlimit ---------------------------------------------------------------
 */

static int limits_body(void *arg)
{
	struct mm_struct *mm = prctl_mm(0);
	struct mm_rlimit model[10], *l;
	u64 raised = 0;

	(void)arg;
	for (u32 i = 0; i < 10; i++)
		model[i] =
			(struct mm_rlimit){MM_RLIM_INFINITY, MM_RLIM_INFINITY};
	model[MM_RLIMIT_STACK].cur = 8UL << 20;
	for (u32 i = 0; i < NR_LIMITS; i++) {
		const struct limit_call *c = &limit_calls[i];
		struct mm_rlimit old = {0, 0};
		int want = 0, err;

		snprintf(tm_context, sizeof(tm_context), "limit %u", i);
		err = mm_prlimit(mm, c->resource, c->set ? &c->new : NULL,
				 &old);
		if (linux_says->limits) {
			CHECK_EQ(err, linux_says->limit[i].err);
			CHECK_EQ(old.cur, linux_says->limit[i].old.cur);
			CHECK_EQ(old.max, linux_says->limit[i].old.max);
		}
		l = &model[c->resource % 10];
		if (c->resource == 77 || (c->set && c->new.cur > c->new.max))
			want = -EINVAL;
		else if (c->set && c->new.max > l->max)
			want = -EPERM;
		CHECK_EQ(err, want);
		if (err)
			continue;
		CHECK(old.cur == l->cur && old.max == l->max);
		raised += c->set && c->new.cur > l->cur;
		if (c->set)
			*l = c->new;
	}
	tm_context[0] = 0;
	CHECK(raised > 10);
	prctl_mm_end(mm);
	return 0;
}

/* Whose limits, and who has them afterwards. */
static int owners_body(void *arg)
{
	struct mm_struct *mm = prctl_mm(0), *child, *next = tm_mm();
	struct mm_rlimit got, new = {P(100), P(200)};

	(void)arg;
	CHECK_EQ(mm_prlimit(mm, MM_RLIMIT_AS, NULL, NULL), 0);
	CHECK_EQ(mm_prlimit(mm, MM_RLIMIT_AS, &new, NULL), 0);
	CHECK_EQ(limit(MM_RLIMIT_AS, P(150), P(200)), 0);
	CHECK_EQ(limit(MM_RLIMIT_AS, P(150), P(201)), -EPERM);
	CHECK_EQ(limit(MM_RLIMIT_AS, P(201), P(200)), -EINVAL);
	CHECK_EQ(limit(MM_RLIMIT_MEMLOCK, 0, (8UL << 20) + 1), -EPERM);
	CHECK_EQ(limit(MM_RLIMIT_MEMLOCK, P(1), 8UL << 20), 0);
	CHECK_EQ(do_mlock(mm, AT, P(2), 0), -ENOMEM);
	CHECK(do_mmap(mm, 0, P(200), TM_RW, TM_ANON) == -ENOMEM);
	CHECK_EQ(mm_fork(mm, &child), 0);
	/* Another's: only with the right. */
	CHECK_EQ(mm_prlimit(child, MM_RLIMIT_AS, NULL, &got), -EPERM);
	CHECK_EQ(mm_prlimit(child, 77, NULL, &got), -EPERM);
	port_current()->caps = MM_CAP_SYS_RESOURCE;
	CHECK_EQ(mm_prlimit(child, MM_RLIMIT_AS, NULL, &got), 0);
	CHECK(got.cur == P(150) && got.max == P(200));
	CHECK_EQ(mm_prlimit(child, 77, NULL, &got), -EINVAL);
	new.max = MM_RLIM_INFINITY;
	CHECK_EQ(mm_prlimit(child, MM_RLIMIT_AS, &new, &got), 0);
	CHECK_EQ(got.max, P(200));
	CHECK_EQ(mm_prlimit(mm, MM_RLIMIT_AS, NULL, &got), 0);
	CHECK(got.cur == P(150) && got.max == P(200));
	mm_put(child);
	port_current()->caps = 0;
	/* execve keeps them. */
	mm_get(next);
	mm_task_exec(next);
	CHECK_EQ(mm_prlimit(next, MM_RLIMIT_AS, NULL, &got), 0);
	CHECK(got.cur == P(150) && got.max == P(200));
	CHECK_EQ(mm_prlimit(next, MM_RLIMIT_MEMLOCK, NULL, &got), 0);
	CHECK(got.cur == P(1) && got.max == 8UL << 20);
	mm_put(mm);
	prctl_mm_end(next);
	return 0;
}

static void limits(void **state)
{
	(void)state;
	TM_RUN(limits_body);
	TM_RUN(owners_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_all),
		cmocka_unit_test(one_by_one),
		cmocka_unit_test(failing),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests_name("prctl", tests, ask, NULL);
}
