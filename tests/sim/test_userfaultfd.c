/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd(2): recorded cases, each asked of the running kernel as well
 * where that can be (uffd_script.h, tests/data/uffd/cases.txt).
 *
 * UFFD_RECORD=FILE writes the cases with the running kernel's answers there.
 */
#include "calls.h"

#include <mmkit/shmem.h>
#include <mmkit/uaccess.h>
#include <mmkit/userfaultfd.h>

#include "cache/shmem.h"
#include "space/fault.h"
#include "uffd_linux.h"

#define UR_LOAD(to, va, len)	sim_copy_from_user(to, va, len)
#define UR_STORE(va, from, len) sim_copy_to_user(va, from, len)
#include "uffd_race.h"

#define TOUCH_SIGNAL(sig, code) ((s64)(sig) << 16 | (s64)(code) << 8)

/* ---- the machine as a side of the scripts ----------------------------------
 */

static struct {
	struct mm_struct *mm;
	struct file *fd, *file;
	struct port_thread *bg;
	struct us_cmd cmd;
	struct completion done;
	s64 ret;
} us;

/* Touch one byte of the running task: the byte, 0, or the signal. */
static s64 touch_byte(uva_t at, int store)
{
	u32 err = PF_ERR_USER | (store >= 0 ? PF_ERR_WRITE : 0);
	struct mm_siginfo info;
	u8 byte = (u8)store;

	for (;;) {
		pte_t e = tm_pte(us.mm, at);
		int sig;

		/* Not with the machine's own trap: it does not tell the code.
		 */
		if (pte_valid(e) && (store < 0 || pte_write(e)))
			break;
		sig = mm_user_fault_info(port_current(), at, err, &info);
		if (sig)
			return TOUCH_SIGNAL(sig, info.code);
	}
	if (store >= 0)
		return TOUCH_SIGNAL(sim_copy_to_user(at, &byte, 1), 0);
	CHECK_EQ(sim_copy_from_user(&byte, at, 1), 0);
	return byte;
}

static s64 us_map(const struct us_cmd *c)
{
	const char *kind = c->word[0], *prot = c->word[1];
	struct mm_mmap m = {.addr = c->a[0], .len = c->a[1]};

	m.prot = (strchr(prot, 'r') ? PROT_READ : 0) |
		 (strchr(prot, 'w') ? PROT_WRITE : 0);
	m.flags = MAP_FIXED;
	if (!strcmp(kind, "anon"))
		m.flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	else if (!strcmp(kind, "shared"))
		m.flags |= MAP_SHARED | MAP_ANONYMOUS;
	else
		m.flags |= !strcmp(kind, "file") ? MAP_SHARED : MAP_PRIVATE;
	if (!(m.flags & MAP_ANONYMOUS))
		m.file = us.file;
	return do_mmap_file(us.mm, &m);
}

static void us_begin(void)
{
	uva_t at = US_BASE + P(US_SRC);
	char page[PAGE_SIZE];

	/* So that low addresses are a matter of mappings, as for root. */
	space_sys.mmap_min_addr = PAGE_SIZE;
	us.mm = tm_mm();
	tm_use(us.mm);
	mm_task_register(port_current(), "script");
	us.fd = NULL;
	us.file = memfd_create_file("uffd", 0);
	CHECK(!IS_ERR(us.file));
	CHECK_EQ(shmem_truncate(us.file->f_inode, P(32)), 0);
	CHECK_EQ(do_mmap(us.mm, at, P(9), TM_RW, TM_ANON | MAP_FIXED), at);
	for (u64 i = 0; i < 8; i++) {
		memset(page, (int)(US_SRC + i), sizeof(page));
		CHECK_EQ(copy_to_user(us.mm, at + P(i), page, PAGE_SIZE), 0);
	}
	tm_store(at + P(8), 1);
	port_current()->caps = MM_CAP_SYS_PTRACE;
}

static s64 us_open(u32 flags)
{
	struct file *file = userfaultfd_create(us.mm, flags);

	if (IS_ERR(file))
		return PTR_ERR(file);
	us.fd = file;
	return 0;
}

static s64 us_close(void)
{
	fput(us.fd);
	us.fd = NULL;
	return 0;
}

static s64 us_kernel_read(uva_t at)
{
	u8 byte = 0;

	return access_process_vm(us.mm, at, &byte, 1, false) == 1 ? byte
								  : -EFAULT;
}

static s64 us_call(const struct us_cmd *c)
{
	const u64 *a = c->a;

	if (!strcmp(c->name, "map"))
		return us_map(c);
	if (!strcmp(c->name, "munmap"))
		return do_munmap(us.mm, a[0], a[1]);
	if (!strcmp(c->name, "mprotect"))
		return do_mprotect(us.mm, a[0], a[1], (int)a[2]);
	if (!strcmp(c->name, "madvise"))
		return do_madvise(us.mm, a[0], a[1], (int)a[2]);
	if (!strcmp(c->name, "mremap"))
		return do_mremap(us.mm, a[0], a[1], a[2], (int)a[3], a[4]);
	if (!strcmp(c->name, "open"))
		return us_open((u32)a[0]);
	if (!strcmp(c->name, "close"))
		return us_close();
	if (!strcmp(c->name, "ioctl"))
		return userfaultfd_ioctl(us.fd, us.mm, (u32)a[0], a[1]);
	if (!strcmp(c->name, "kr"))
		return us_kernel_read(a[0]);
	if (!strcmp(c->name, "fw")) {
		u64 pos = P(a[0]);
		char page[PAGE_SIZE];

		memset(page, (int)a[1], sizeof(page));
		return kernel_write(us.file, page, PAGE_SIZE, &pos);
	}
	if (!strcmp(c->name, "punch"))
		return vfs_fallocate(us.file,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     (s64)P(a[0]), (s64)a[1]);
	if (!strcmp(c->name, "trunc"))
		return shmem_truncate(us.file->f_inode, P(a[0]));
	return touch_byte(a[0], c->name[0] == 'w' ? (int)a[1] : -1);
}

static s64 us_ioctl(u32 cmd, u64 *words, int n)
{
	uva_t arg = US_BASE + P(US_ARG);
	s64 ret;

	CHECK_EQ(copy_to_user(us.mm, arg, words, (u64)n * 8), 0);
	ret = userfaultfd_ioctl(us.fd, us.mm, cmd, arg);
	CHECK_EQ(copy_from_user(us.mm, words, arg, (u64)n * 8), 0);
	return ret;
}

static void us_thread(void *arg)
{
	(void)arg;
	mm_task_attach(port_current(), us.mm);
	mm_task_register(port_current(), "touch");
	us.ret = us_call(&us.cmd);
	mm_task_unregister(port_current());
	mm_task_exit(port_current());
	complete(&us.done);
}

static void us_background(const struct us_cmd *c)
{
	us.cmd = *c;
	init_completion(&us.done);
	CHECK_EQ(port_thread_start(&us.bg, "touch", -1, us_thread, NULL), 0);
	port_park(1000 * 1000);
}

static int us_join(s64 *ret)
{
	if (!wait_for_completion_timeout(&us.done, 1000UL * 1000 * 1000))
		return 0;
	port_thread_join(us.bg);
	*ret = us.ret;
	return 1;
}

static s64 us_msg(struct uffd_msg *m, int wait)
{
	struct uffd_reader r = {.buf = m, .len = sizeof(*m)};

	memset(m, 0, sizeof(*m));
	if (wait)
		(void)userfaultfd_poll(us.fd, 1000UL * 1000 * 1000);
	return userfaultfd_read(us.fd, &r);
}

static u64 us_pagemap(u64 at)
{
	u64 w = 0;

	CHECK_EQ(mm_read("/proc/self/pagemap", at / PAGE_SIZE * 8, &w, 8), 8);
	return w;
}

static void us_vmas(struct us_out *o)
{
	struct vm_area_struct *vma;

	mmap_read_lock(us.mm);
	for_each_vma (vma, us.mm) {
		if (vma->vm_start >= US_BASE + P(US_SRC))
			break;
		us_put_place(o, vma->vm_start);
		US_PUT(o, "-");
		us_put_place(o, vma->vm_end);
		US_PUT(o, "%s%s%s ",
		       vma->vm_flags & VM_UFFD_MISSING ? "+um" : "",
		       vma->vm_flags & VM_UFFD_WP ? "+uw" : "",
		       vma->vm_flags & VM_UFFD_MINOR ? "+ui" : "");
	}
	mmap_read_unlock(us.mm);
}

static void us_end(void)
{
	mm_check(us.mm);
	userfaultfd_check();
	if (us.fd)
		us_close();
	mm_check(us.mm);
	userfaultfd_check();
	mm_task_unregister(port_current());
	tm_use(NULL);
	mm_put(us.mm);
	fput(us.file);
	CHECK(list_empty(&space_sys.uffds));
	CHECK_EQ(cache_sys.fm.nr_inodes, 0);
	port_current()->caps = 0;
}

static const struct us_side uffd_sim = {
	.begin = us_begin,
	.call = us_call,
	.ioctl = us_ioctl,
	.touch = touch_byte,
	.background = us_background,
	.join = us_join,
	.msg = us_msg,
	.pagemap = us_pagemap,
	.vmas = us_vmas,
	.end = us_end,
};

/* ---- recorded cases --------------------------------------------------------
 */

static char *read_cases(void)
{
	static char text[1 << 18];
	FILE *f = fopen("tests/data/uffd/cases.txt", "r");
	size_t n;

	if (!f)
		f = fopen("../tests/data/uffd/cases.txt", "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	return text;
}

struct one_case {
	const char *text;
	struct us_out *out;
};

static int case_body(void *arg)
{
	struct one_case *c = arg;
	const char *p = c->text;

	CHECK(us_case(&uffd_sim, &p, c->out));
	return 0;
}

/* The first line where A and B differ, told. */
static bool same_text(const char *who, const struct us_out *a,
		      const struct us_out *b)
{
	size_t i = 0, line = 0;

	if (a->len == b->len && !memcmp(a->text, b->text, a->len))
		return true;
	while (i < a->len && i < b->len && a->text[i] == b->text[i])
		line = a->text[i++] == '\n' ? i : line;
	fprintf(stderr, "%.*s\nrecorded:\n%.*s\n%s:\n%.*s\n",
		(int)strcspn(a->text, "\n"), a->text,
		(int)(a->len - line > 400 ? 400 : a->len - line),
		a->text + line, who,
		(int)(b->len - line > 400 ? 400 : b->len - line),
		b->text + line);
	return false;
}

/*
 * A kernel without memory failure handling (CONFIG_MEMORY_FAILURE) tells of
 * poison (cases of that name) as of any page that cannot be had, with code 2:
 * what is recorded is what others say, 4.
 */
static void swap_poison_code(struct us_out *o, char from, char to)
{
	static const char poison[] = "signal 7 code ";

	if (strncmp(o->text, "case poison", 11) ||
	    access("/proc/sys/vm/memory_failure_recovery", F_OK) == 0)
		return;
	for (char *p = o->text; (p = strstr(p, poison));) {
		p += sizeof(poison) - 1;
		if (*p == from)
			*p = to;
	}
}

/* The case at *ASKED, which is moved on, by the running kernel: as WANT, if it
 * is asked a second time with more patience at the latest? */
static bool running_says(const char **asked, const struct us_out *want,
			 struct us_out *lnx)
{
	const char *begin = *asked;

	for (int tries = 0; tries < 4; tries++) {
		*asked = begin;
		ul_case(asked, lnx);
		if (lnx->len == want->len &&
		    !memcmp(lnx->text, want->text, want->len))
			break;
		/* Others had the machine: more time for its threads. */
		ul_patience = UL_MORE_PATIENCE;
	}
	ul_patience = UL_PATIENCE;
	return same_text("running", want, lnx);
}

static void cases(void **state)
{
	static struct us_out recorded, sim, running;
	struct us_out *lnx = mmap(NULL, sizeof(*lnx), TM_RW,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *p = read_cases(), *here, *asked;
	FILE *record = getenv("UFFD_RECORD") ? fopen(getenv("UFFD_RECORD"), "w")
					     : NULL;
	bool usable = ul_usable();
	int n = 0, bad = 0;

	(void)state;
	assert_true(!record || usable);
	for (here = asked = p; us_case(NULL, &p, &recorded); here = p, n++) {
		struct one_case c = {here, &sim};

		running = recorded;
		swap_poison_code(&running, '4', '2');
		if (usable && record) {
			ul_case(&asked, lnx);
			swap_poison_code(lnx, '2', '4');
			fprintf(record, "%.*s", (int)lnx->len, lnx->text);
		} else if (usable) {
			bad += !running_says(&asked, &running, lnx);
		}
		snprintf(tm_context, sizeof(tm_context), "%.*s",
			 (int)strcspn(here, "\n"), here);
		TM_RUN(case_body, .arg = &c, .swap_pages = 256);
		bad += !same_text("sim", record ? lnx : &recorded, &sim);
	}
	tm_context[0] = 0;
	munmap(lnx, sizeof(*lnx));
	if (record)
		fclose(record);
	fprintf(stderr, "userfaultfd: %d cases%s\n", n,
		usable ? ", each asked of the running kernel as well" : "");
	assert_int_equal(bad, 0);
	assert_true(n > 0);
}

/* ---- what no recorded case can show ----------------------------------------
 */

static s64 io(u32 cmd, u64 a, u64 b, u64 c, u64 d)
{
	u64 w[US_WORDS] = {a, b, c, d};

	return us_ioctl(cmd, w, (int)(cmd >> 16 & 0xff) / 8);
}

#define AT(n) (US_BASE + P(n))

static s64 reg(u64 page, u64 pages, u64 mode)
{
	return io(UFFDIO_REGISTER, AT(page), P(pages), mode, 0);
}

static s64 copy(u64 page, u64 from, u64 pages, u64 mode)
{
	return io(UFFDIO_COPY, AT(page), AT(from), P(pages), mode);
}

static s64 watch(u64 page, u64 pages, bool on)
{
	return io(UFFDIO_WRITEPROTECT, AT(page), P(pages), on, 0);
}

/* A handle with FEATURES, and PAGES pages of KIND at page 0. */
static void open_with(const char *kind, u64 pages, u64 features)
{
	struct us_cmd map = {.a = {AT(0), P(pages)}};

	us_begin();
	snprintf(map.word[0], sizeof(map.word[0]), "%s", kind);
	strcpy(map.word[1], "rw");
	CHECK_EQ(us_map(&map), AT(0));
	CHECK_EQ(us_open(O_NONBLOCK), 0);
	CHECK_EQ(io(UFFDIO_API, UFFD_API, features, 0, 0), 0);
}

static void touch_in_background(u64 page, int store)
{
	struct us_cmd c = {.name = "r", .a = {AT(page), (u64)store}};

	if (store >= 0)
		c.name[0] = 'w';
	us_background(&c);
}

static void expect_fault(u64 page, u64 flags)
{
	struct uffd_msg m;

	CHECK_EQ(us_msg(&m, 1), sizeof(m));
	CHECK_EQ(m.event, UFFD_EVENT_PAGEFAULT);
	CHECK_EQ(m.arg.pagefault.address, AT(page));
	CHECK_EQ(m.arg.pagefault.flags, flags);
}

static void expect_silence(void)
{
	struct uffd_msg m;

	CHECK_EQ(us_msg(&m, 0), -EAGAIN);
	CHECK_EQ(userfaultfd_poll(us.fd, 0), 0);
}

static void expect_join(s64 want)
{
	s64 ret = -1;

	CHECK(us_join(&ret));
	CHECK_EQ(ret, want);
}

static int rights_body(void *arg)
{
	struct uffdio_api api = {UFFD_API, UFFD_FEATURE_EVENT_FORK, 0};
	struct mm_mmap map = {.len = P(1), .prot = PROT_READ};
	struct file *file;
	u64 pos = 0;
	char buf[32];

	(void)arg;
	us_begin();
	port_current()->caps = 0;
	CHECK_EQ(us_open(0), -EPERM);
	CHECK_EQ(us_open(2), -EPERM);
	CHECK_EQ(us_open(UFFD_USER_MODE_ONLY | 2), -EINVAL);
	space_sys.unprivileged_userfaultfd = 1;
	CHECK_EQ(us_open(2), -EINVAL);
	CHECK_EQ(us_open(O_CLOEXEC | O_NONBLOCK), 0);
	us_close();
	space_sys.unprivileged_userfaultfd = 0;
	CHECK_EQ(us_open(UFFD_USER_MODE_ONLY | O_NONBLOCK), 0);
	CHECK(is_userfaultfd(us.fd) && !is_userfaultfd(us.file));
	/* What it cannot do. */
	map.flags = MAP_PRIVATE;
	map.file = us.fd;
	CHECK_EQ(do_mmap_file(us.mm, &map), -ENODEV);
	map.flags = MAP_SHARED;
	CHECK_EQ(do_mmap_file(us.mm, &map), -ENODEV);
	CHECK_EQ(kernel_write(us.fd, buf, 8, &pos), -EINVAL);
	CHECK_EQ(kernel_read(us.fd, buf, 32, &pos), -EINVAL);
	CHECK_EQ(userfaultfd_poll(us.fd, 0), MM_POLLERR);
	CHECK_EQ(userfaultfd_ioctl(us.file, us.mm, UFFDIO_API, AT(0)), -EINVAL);
	/* EVENT_FORK looks into another process. */
	CHECK_EQ(copy_to_user(us.mm, AT(US_ARG), &api, sizeof(api)), 0);
	CHECK_EQ(userfaultfd_ioctl(us.fd, us.mm, UFFDIO_API, AT(US_ARG)),
		 -EPERM);
	CHECK_EQ(copy_from_user(us.mm, &api, AT(US_ARG), sizeof(api)), 0);
	CHECK(!api.api && !api.features && !api.ioctls);
	CHECK_EQ(io(UFFDIO_API, UFFD_API, 0, 0, 0), 0);
	CHECK_EQ(kernel_read(us.fd, buf, 31, &pos), -EINVAL);
	CHECK_EQ(kernel_read(us.fd, buf, 32, &pos), -EAGAIN);
	/* Without O_NONBLOCK nobody can poll. */
	file = us.fd;
	CHECK_EQ(us_open(UFFD_USER_MODE_ONLY), 0);
	CHECK_EQ(io(UFFDIO_API, UFFD_API, 0, 0, 0), 0);
	CHECK_EQ(userfaultfd_poll(us.fd, 1000), MM_POLLERR);
	fput(file);
	us_end();
	return 0;
}

static void rights(void **state)
{
	(void)state;
	TM_RUN(rights_body);
}

/* What the program could never write is not filled for it either. */
static int never_written_body(void *arg)
{
	struct mm_mmap map = {.len = P(2),
			      .prot = PROT_READ,
			      .flags = MAP_SHARED | MAP_FIXED,
			      .addr = AT(0)};

	(void)arg;
	open_with("shared", 4, 0);
	map.file = file_open(us.file->f_inode, FMODE_READ, 0, "/readonly");
	CHECK(map.file);
	CHECK_EQ(do_mmap_file(us.mm, &map), (s64)AT(0));
	REFUSED(us.mm, reg(0, 2, 1), -EPERM);
	REFUSED(us.mm, reg(0, 4, 1), -EPERM);
	CHECK_EQ(reg(2, 2, 1), 0);
	fput(map.file);
	us_end();
	return 0;
}

/* A call that fails is no event: nobody waits, nothing is told later. */
static int cancelled_body(void *arg)
{
	struct us_cmd unmap = {.name = "munmap", .a = {AT(6), P(2)}};
	u64 limit = space_sys.max_map_count;
	struct uffd_msg m;

	(void)arg;
	open_with("anon", 8, UFFD_FEATURE_EVENT_UNMAP);
	CHECK_EQ(reg(0, 8, 1), 0);
	space_sys.max_map_count = us.mm->map_count;
	REFUSED(us.mm, do_munmap(us.mm, AT(3), P(1)), -ENOMEM);
	space_sys.max_map_count = limit;
	CHECK(list_empty(&us.mm->uffd_events));
	expect_silence();
	us_background(&unmap);
	CHECK_EQ(us_msg(&m, 1), sizeof(m));
	CHECK_EQ(m.event, UFFD_EVENT_UNMAP);
	CHECK_EQ(m.arg.remove.start, AT(6));
	expect_join(0);
	expect_silence();
	us_end();
	return 0;
}

static void refusals(void **state)
{
	(void)state;
	TM_RUN(never_written_body);
	TM_RUN(cancelled_body, .cpus = 2);
}

/* Who fills ahead and never looks at what is asked: each fault stands in line
 * before the page comes and is woken by it, or finds the page. */
static void ahead_touch(void *arg)
{
	u64 v;

	mm_task_attach(port_current(), arg);
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(sim_copy_from_user(&v, AT(i), sizeof(v)), 0);
	mm_task_exit(port_current());
}

static int ahead_body(void *arg)
{
	struct port_thread *t;

	(void)arg;
	open_with("anon", 8, 0);
	CHECK_EQ(reg(0, 8, 1), 0);
	CHECK_EQ(sim_thread_start_on(&t, "touch", 1, ahead_touch, us.mm), 0);
	for (u64 i = 0; i < 8; i++) {
		CHECK_EQ(copy(i, US_SRC, 1, 0), 0);
		port_sched_point();
	}
	port_thread_join(t);
	us_end();
	return 0;
}

static void filled_ahead(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 2000 : 60);

	(void)state;
	for (u64 i = 0; i < n; i++)
		TM_RUN(ahead_body, .cpus = 2, .seed = seed + i,
		       .explore = true);
}

static int two_handles_body(void *arg)
{
	struct file *one, *two;
	u32 maps;

	(void)arg;
	open_with("anon", 8, 0);
	maps = us.mm->map_count;
	one = us.fd;
	CHECK_EQ(reg(0, 4, 1), 0);
	CHECK_EQ(us_open(O_NONBLOCK), 0);
	two = us.fd;
	CHECK_EQ(io(UFFDIO_API, UFFD_API, 0, 0, 0), 0);
	REFUSED(us.mm, reg(0, 1, 1), -EBUSY);
	REFUSED(us.mm, reg(3, 2, 1), -EBUSY);
	CHECK_EQ(reg(4, 4, 1), 0);
	/* The same flags, another handle: not one mapping. */
	CHECK_EQ(us.mm->map_count, maps + 1);
	REFUSED(us.mm, io(UFFDIO_UNREGISTER, AT(0), P(8), 0, 0), -EINVAL);
	/* Each is asked about its own. */
	touch_in_background(5, -1);
	expect_fault(5, 0);
	us.fd = one;
	expect_silence();
	us.fd = two;
	CHECK_EQ(copy(5, 64, 1, 0), 0);
	expect_join(64);
	userfaultfd_check();
	us.fd = one;
	us_close();
	us.fd = two;
	CHECK_EQ(us.mm->map_count, maps + 1);
	CHECK_EQ(reg(0, 4, 1), 0);
	CHECK_EQ(us.mm->map_count, maps);
	us_end();
	return 0;
}

static void two_handles(void **state)
{
	(void)state;
	TM_RUN(two_handles_body, .cpus = 2);
}

static int space_gone_body(void *arg)
{
	struct mm_struct *other = tm_mm();

	(void)arg;
	us_begin();
	us.fd = userfaultfd_create(other, O_NONBLOCK);
	CHECK(!IS_ERR(us.fd));
	CHECK_EQ(io(UFFDIO_API, UFFD_API, 0, 0, 0), 0);
	CHECK_EQ(do_mmap(other, AT(0), P(4), TM_RW, TM_ANON | MAP_FIXED),
		 AT(0));
	CHECK_EQ(reg(0, 4, 3), 0);
	/* From the caller's memory into the other's. */
	CHECK_EQ(copy(0, 65, 1, 0), 0);
	CHECK(page_at(other, AT(0)) && !page_at(us.mm, AT(0)));
	CHECK_EQ(*(u8 *)page_view(page_at(other, AT(0))), 65);
	CHECK_EQ(io(UFFDIO_MOVE, AT(1), AT(0), P(1), 0), -EINVAL);
	mm_check(other);
	mm_put(other);
	CHECK_EQ(copy(1, 65, 1, 0), -ESRCH);
	CHECK_EQ(io(UFFDIO_ZEROPAGE, AT(1), P(1), 0, 0), -ESRCH);
	CHECK_EQ(watch(0, 1, true), -ESRCH);
	CHECK_EQ(reg(0, 4, 1), -ENOMEM);
	CHECK_EQ(io(UFFDIO_UNREGISTER, AT(0), P(4), 0, 0), -ENOMEM);
	CHECK_EQ(io(UFFDIO_WAKE, AT(0), P(4), 0, 0), 0);
	us_end();
	return 0;
}

static void space_gone(void **state)
{
	(void)state;
	TM_RUN(space_gone_body);
}

/* A task that is killed does not wait for a monitor that never answers. */
static void kill_touch(void)
{
	struct mm_task *task = NULL;

	for (struct mm_task *t = space_sys.tasks; t; t = t->next)
		if (!strcmp(t->comm, "touch"))
			task = t;
	CHECK(task);
	WRITE_ONCE(task->fatal_signal, MM_SIGKILL);
	port_unpark(task->thread);
}

static int killed_body(void *arg)
{
	struct us_cmd events[] = {
		{.name = "munmap", .a = {AT(0), P(1)}},
		{.name = "kr", .a = {AT(2)}},
	};

	(void)arg;
	open_with("anon", 8, UFFD_FEATURE_EVENT_UNMAP);
	CHECK_EQ(reg(0, 8, 1), 0);
	touch_in_background(3, 5);
	expect_fault(3, UFFD_PAGEFAULT_FLAG_WRITE);
	kill_touch();
	expect_join(TOUCH_SIGNAL(MM_SIGKILL, 0));
	touch_in_background(3, -1); /* not even read */
	kill_touch();
	expect_join(TOUCH_SIGNAL(MM_SIGKILL, 0));
	expect_silence();
	us_background(&events[0]);
	kill_touch();
	expect_join(0);
	expect_silence();
	CHECK_EQ(copy(3, 64, 1, 0), 0);
	us_background(&events[1]);
	expect_fault(2, 0);
	kill_touch();
	expect_join(-EFAULT);
	us_end();
	return 0;
}

static void killed(void **state)
{
	(void)state;
	TM_RUN(killed_body, .cpus = 2);
}

/* ---- pages that go to swap -------------------------------------------------
 */

static int swap_anon_body(void *arg)
{
	(void)arg;
	open_with("anon", 8, 0);
	tm_store(AT(0), 11);
	CHECK_EQ(reg(0, 8, 3), 0);
	CHECK_EQ(copy(1, 66, 1, UFFDIO_COPY_MODE_WP), 0);
	CHECK_EQ(watch(0, 1, true), 0);
	for (u64 i = 0; i < 2; i++) {
		tm_swap_out(us.mm, AT(i));
		CHECK(pte_in_swap(tm_pte(us.mm, AT(i))));
		CHECK_EQ(us_pagemap(AT(i)) >> 57 & 0x21, 0x21);
	}
	/* It is not missing: nobody is asked; and still watched. */
	CHECK_EQ(tm_load(AT(0)), 11);
	CHECK_EQ(touch_byte(AT(1), -1), 66);
	expect_silence();
	for (u64 i = 0; i < 2; i++) {
		CHECK(pte_uffd_wp(tm_pte(us.mm, AT(i))));
		touch_in_background(i, 7);
		expect_fault(i, UFFD_PAGEFAULT_FLAG_WRITE |
					UFFD_PAGEFAULT_FLAG_WP);
		CHECK_EQ(watch(i, 1, false), 0);
		expect_join(0);
		CHECK_EQ(touch_byte(AT(i), -1), 7);
	}
	/* Protected while it is away; a write brings it in, then asks. */
	tm_swap_out(us.mm, AT(0));
	CHECK_EQ(watch(0, 1, true), 0);
	touch_in_background(0, 9);
	expect_fault(0, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK_EQ(watch(0, 1, false), 0);
	expect_join(0);
	/* Protected and let go while it is away. */
	tm_swap_out(us.mm, AT(0));
	CHECK_EQ(watch(0, 1, true), 0);
	CHECK_EQ(watch(0, 1, false), 0);
	CHECK_EQ(touch_byte(AT(0), 3), 0);
	/* Unregistered while it is away. */
	CHECK_EQ(watch(1, 1, true), 0);
	tm_swap_out(us.mm, AT(1));
	CHECK_EQ(io(UFFDIO_UNREGISTER, AT(0), P(8), 0, 0), 0);
	CHECK_EQ(touch_byte(AT(1), 3), 0);
	us_end();
	return 0;
}

static int swap_shmem_body(void *arg)
{
	(void)arg;
	open_with("file", 8, 0);
	CHECK_EQ(touch_byte(AT(0), 11), 0);
	CHECK_EQ(reg(0, 8, 6), 0);
	CHECK_EQ(watch(0, 1, true), 0);
	for (int i = 0; i < 50 && page_at(us.mm, AT(0)); i++) {
		tm_reclaim_one(us.mm, AT(0));
		port_park(1000 * 1000);
	}
	CHECK_EQ(pte_marker(tm_pte(us.mm, AT(0))), PTE_MARKER_UFFD_WP);
	CHECK_EQ(us_pagemap(AT(0)) >> 57 & 1, 1);
	/* The file has it, in swap: a minor fault, then a watched page. */
	touch_in_background(0, 12);
	expect_fault(0, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_MINOR);
	CHECK_EQ(io(UFFDIO_CONTINUE, AT(0), P(1), 2, 0), 0);
	expect_fault(0, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK_EQ(watch(0, 1, false), 0);
	expect_join(0);
	CHECK_EQ(touch_byte(AT(0), -1), 12);
	us_end();
	return 0;
}

static void swapping(void **state)
{
	(void)state;
	TM_RUN(swap_anon_body, .cpus = 2, .swap_pages = 256);
	TM_RUN(swap_shmem_body, .cpus = 2, .swap_pages = 256);
}

/* ---- UFFDIO_MOVE -----------------------------------------------------------
 */

static s64 move(u64 page, u64 from)
{
	return io(UFFDIO_MOVE, AT(page), AT(from), P(1), 0);
}

static int move_body(void *arg)
{
	struct mm_struct *child;
	struct page *page;

	(void)arg;
	open_with("anon", 16, 0);
	CHECK_EQ(reg(0, 8, 1), 0);
	tm_store(AT(8), 21);
	page = page_at(us.mm, AT(8));
	CHECK_EQ(move(0, 8), 0);
	CHECK(page_at(us.mm, AT(0)) == page && !page_at(us.mm, AT(8)));
	/* Reclaim finds it where it is now. */
	tm_swap_out(us.mm, AT(0));
	CHECK_EQ(tm_load(AT(0)), 21);
	/* From swap, with and without a frame that has the contents. */
	tm_store(AT(9), 22);
	tm_swap_out(us.mm, AT(9));
	CHECK_EQ(move(1, 9), 0);
	CHECK(pte_in_swap(tm_pte(us.mm, AT(1))));
	CHECK(pte_none(tm_pte(us.mm, AT(9))));
	CHECK_EQ(tm_load(AT(1)), 22);
	tm_swap_out(us.mm, AT(1));
	CHECK_EQ(do_madvise(us.mm, AT(1), P(1), MADV_WILLNEED), 0);
	CHECK(swap_slot_cached(pte_to_swp_entry(tm_pte(us.mm, AT(1)))));
	CHECK_EQ(move(2, 1), 0);
	CHECK_EQ(tm_load(AT(2)), 22);
	/* Whom others see stays. */
	CHECK_EQ(mm_fork(us.mm, &child), 0);
	CHECK_EQ(move(3, 2), -EBUSY);
	tm_swap_out(us.mm, AT(0));
	CHECK_EQ(move(3, 0), -EBUSY);
	mm_put(child);
	CHECK_EQ(move(3, 2), 0);
	CHECK_EQ(move(4, 0), 0);
	CHECK_EQ(tm_load(AT(4)), 21);
	tm_store(AT(3), 23);
	CHECK_EQ(pin_user_pages(us.mm, AT(3), 1, FOLL_WRITE, &page), 1);
	CHECK_EQ(move(5, 3), -EBUSY);
	unpin_user_page(page);
	CHECK_EQ(move(5, 3), 0);
	CHECK_EQ(tm_load(AT(5)), 23);
	us_end();
	return 0;
}

static void moving(void **state)
{
	(void)state;
	TM_RUN(move_body, .cpus = 2, .swap_pages = 256);
}

/* ---- forks -----------------------------------------------------------------
 */

static struct mm_struct *the_child;
static struct file *child_fd;

static void fork_thread(void *arg)
{
	(void)arg;
	mm_task_attach(port_current(), us.mm);
	us.ret = mm_fork(us.mm, &the_child);
	mm_task_exit(port_current());
	complete(&us.done);
}

static void fork_in_background(void)
{
	init_completion(&us.done);
	CHECK_EQ(port_thread_start(&us.bg, "fork", -1, fork_thread, NULL), 0);
	port_park(1000 * 1000);
}

static int refuse_fd(struct file *child, void *arg)
{
	(void)child;
	(void)arg;
	return -ENOMEM;
}

static int take_fd(struct file *child, void *arg)
{
	(void)arg;
	child_fd = child;
	return 42;
}

static void in_child(void *arg)
{
	struct us_cmd *c = arg;

	mm_task_attach(port_current(), the_child);
	us.ret = sim_copy_from_user(&c->a[1], c->a[0], 1);
	mm_task_exit(port_current());
	complete(&us.done);
}

static void told_of_fork(void)
{
	struct us_cmd c = {.a = {AT(1)}};
	struct uffd_msg m;
	struct uffd_reader r = {&m, sizeof(m), refuse_fd, NULL};
	struct file *mine = us.fd;

	fork_in_background();
	CHECK_EQ(copy(2, 64, 1, 0), -EAGAIN);
	CHECK_EQ(userfaultfd_read(us.fd, &r), -ENOMEM);
	CHECK_EQ(userfaultfd_poll(us.fd, 0), MM_POLLIN);
	CHECK_EQ(copy(2, 64, 1, 0), -EAGAIN);
	r.install = take_fd;
	CHECK_EQ(userfaultfd_read(us.fd, &r), sizeof(m));
	CHECK_EQ(m.event, UFFD_EVENT_FORK);
	CHECK_EQ(m.arg.fork.ufd, 42);
	expect_join(0);
	userfaultfd_check();
	mm_check(the_child);
	/* The child's memory is asked about with the child's handle. */
	CHECK(pte_uffd_wp(tm_pte(the_child, AT(0))));
	CHECK(vma_flags_at(the_child, AT(0)) & VM_UFFD_MISSING);
	init_completion(&us.done);
	CHECK_EQ(port_thread_start(&us.bg, "child", -1, in_child, &c), 0);
	us.fd = child_fd;
	expect_fault(1, 0);
	CHECK_EQ(copy(1, 67, 1, 0), 0);
	expect_join(0);
	CHECK_EQ(c.a[1], 67);
	CHECK(page_at(the_child, AT(1)) && !page_at(us.mm, AT(1)));
	us_close();
	CHECK(!(vma_flags_at(the_child, AT(0)) & VM_UFFD_FLAGS));
	CHECK(!pte_any_uffd_wp(tm_pte(the_child, AT(0))));
	us.fd = mine;
	mm_check(the_child);
	mm_put(the_child);
}

static int forks_body(void *arg)
{
	(void)arg;
	open_with("anon", 8, UFFD_FEATURE_EVENT_FORK);
	CHECK_EQ(do_mprotect(us.mm, AT(4), P(1), PROT_READ), 0);
	CHECK_EQ(reg(0, 8, 3), 0);
	CHECK_EQ(copy(0, 64, 1, UFFDIO_COPY_MODE_WP), 0);
	told_of_fork();
	/* Nobody reads of it: the child is watched by nobody. */
	fork_in_background();
	us_close();
	expect_join(0);
	CHECK(!(vma_flags_at(the_child, AT(0)) & VM_UFFD_FLAGS));
	mm_check(the_child);
	mm_put(the_child);
	/* Nobody asked for it. */
	CHECK_EQ(us_open(O_NONBLOCK), 0);
	CHECK_EQ(io(UFFDIO_API, UFFD_API, 0x2000, 0, 0), 0);
	CHECK_EQ(reg(0, 8, 3), 0);
	CHECK_EQ(watch(0, 8, true), 0);
	CHECK_EQ(mm_fork(us.mm, &the_child), 0);
	CHECK(!(vma_flags_at(the_child, AT(0)) & VM_UFFD_FLAGS));
	CHECK(pte_uffd_wp(tm_pte(us.mm, AT(0))));
	CHECK(!pte_any_uffd_wp(tm_pte(the_child, AT(0))));
	mm_check(the_child);
	mm_put(the_child);
	us_end();
	return 0;
}

static void forks(void **state)
{
	(void)state;
	TM_RUN(forks_body, .cpus = 2, .swap_pages = 256);
}

/* ---- every allocation fails ------------------------------------------------
 */

/* Reads whatever comes until it is told to stop. */
static struct {
	struct port_thread *t;
	u32 stop;
} eater;

static int eat_fd(struct file *child, void *arg)
{
	(void)arg;
	fput(child);
	return 3;
}

static void eat(void *arg)
{
	struct uffd_msg m;
	struct uffd_reader r = {&m, sizeof(m), eat_fd, NULL};

	(void)arg;
	while (!READ_ONCE(eater.stop)) {
		if (userfaultfd_poll(us.fd, 1000 * 1000) & MM_POLLIN)
			CHECK(userfaultfd_read(us.fd, &r) != 0);
	}
}

enum failing_step {
	F_CREATE,
	F_REGISTER,
	F_COPY,
	F_WATCH,
	F_UNMAP,
	F_REMAP,
	F_FORK,
	F_MOVE,
	F_UNREGISTER,
	F_NR
};

static s64 failing_create(void)
{
	struct file *file = userfaultfd_create(us.mm, O_NONBLOCK);

	if (IS_ERR(file))
		return PTR_ERR(file);
	fput(file);
	return 0;
}

static s64 failing_fork(void)
{
	struct mm_struct *child;
	int err = mm_fork(us.mm, &child);

	if (!err)
		mm_put(child);
	return err;
}

static s64 failing_step(enum failing_step step)
{
	s64 at;

	switch (step) {
	case F_CREATE:
		return failing_create();
	case F_REGISTER:
		return reg(2, 4, 3);
	case F_COPY:
		return copy(4, 64, 2, 0);
	case F_WATCH:
		return watch(0, 8, true);
	case F_UNMAP:
		return do_munmap(us.mm, AT(3), P(1));
	case F_REMAP:
		at = do_mremap(us.mm, AT(0), P(8), P(8),
			       MREMAP_MAYMOVE | MREMAP_FIXED, AT(1024));
		return at < 0 ? at : 0;
	case F_FORK:
		return failing_fork();
	case F_MOVE:
		return move(5, 9);
	default:
		return io(UFFDIO_UNREGISTER, AT(1), P(2), 0, 0);
	}
}

static u64 fail_once(enum failing_step step, u64 n, bool keep)
{
	static const u64 features =
		UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP |
		UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_WP_UNPOPULATED;
	struct fail_result f;
	s64 err;

	open_with("anon", 16, features);
	tm_store(AT(9), 5);
	if (step != F_REGISTER)
		CHECK_EQ(reg(0, 8, 3), 0);
	eater.stop = 0;
	CHECK_EQ(port_thread_start(&eater.t, "eat", -1, eat, NULL), 0);
	fail_arm_nth(FAIL_ALL, n, keep);
	fail_only_task(port_current());
	err = failing_step(step);
	f = fail_disarm();
	CHECK(err == 0 || err == -ENOMEM || err == -EAGAIN);
	CHECK(err == 0 || f.fired);
	mm_check(us.mm);
	if (err)
		err = failing_step(step);
	/* COPY may have done its first page. */
	CHECK(err == 0 || (step == F_COPY && err == -EEXIST));
	WRITE_ONCE(eater.stop, 1);
	port_thread_join(eater.t);
	us_end();
	return f.fired;
}

static int failures_body(void *arg)
{
	u64 all = 0;

	(void)arg;
	for (int step = 0; step < F_NR; step++) {
		for (int keep = 0; keep < 2; keep++) {
			u64 n = 1, fired;

			do {
				snprintf(tm_context, sizeof(tm_context),
					 "step %d, allocation %llu, keep %d",
					 step, (unsigned long long)n, keep);
				fired = fail_once((enum failing_step)step, n++,
						  keep != 0);
				all += fired;
			} while (fired);
		}
	}
	tm_context[0] = 0;
	CHECK(all > 30);
	return 0;
}

static void failures(void **state)
{
	(void)state;
	TM_RUN(failures_body, .cpus = 2);
}

/* ---- explored schedules ----------------------------------------------------
 */

static struct uffd_race totals;

static int race_body(void *arg)
{
	struct uffd_race *r = arg;
	struct port_thread *t[UR_TOUCHERS + 1];

	ur_begin(r);
	for (int i = 0; i < UR_TOUCHERS; i++)
		CHECK_EQ(port_thread_start(&t[i], "touch", -1, ur_touch_thread,
					   r),
			 0);
	CHECK_EQ(port_thread_start(&t[UR_TOUCHERS], "change", -1,
				   ur_change_thread, r),
		 0);
	ur_monitor(r);
	for (int i = 0; i <= UR_TOUCHERS; i++)
		port_thread_join(t[i]);
	totals.fills += r->fills;
	totals.watched += r->watched;
	totals.events += r->events;
	totals.again += r->again;
	ur_end(r);
	CHECK(list_empty(&space_sys.uffds));
	return 0;
}

static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 10000 : 60);

	(void)state;
	memset(&totals, 0, sizeof(totals));
	for (u64 i = 0; i < n; i++) {
		struct uffd_race r = {
			.seed = seed + i, .iters = 60, .shared = i % 4 == 3};

		if (i % 2)
			r.features = UFFD_FEATURE_EVENT_REMOVE |
				     UFFD_FEATURE_EVENT_UNMAP |
				     UFFD_FEATURE_EVENT_REMAP |
				     UFFD_FEATURE_EVENT_FORK;
		snprintf(tm_context, sizeof(tm_context), "schedule %llu",
			 (unsigned long long)i);
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 3,
		       .explore = true, .swap_pages = 1024,
		       .mem = (i % 3 ? 5UL : 8UL) << 20);
	}
	tm_context[0] = 0;
	fprintf(stderr,
		"userfaultfd: SEED=%llu, %llu schedules: %llu filled, %llu "
		"writes seen, %llu events, %llu again\n",
		(unsigned long long)seed, (unsigned long long)n,
		(unsigned long long)totals.fills,
		(unsigned long long)totals.watched,
		(unsigned long long)totals.events,
		(unsigned long long)totals.again);
	assert_true(totals.fills && totals.watched);
	assert_true(n < 10 || totals.events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases),       cmocka_unit_test(rights),
		cmocka_unit_test(two_handles), cmocka_unit_test(space_gone),
		cmocka_unit_test(killed),      cmocka_unit_test(swapping),
		cmocka_unit_test(moving),      cmocka_unit_test(forks),
		cmocka_unit_test(failures),    cmocka_unit_test(schedules),
		cmocka_unit_test(refusals),    cmocka_unit_test(filled_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
