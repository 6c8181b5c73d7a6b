/* SPDX-License-Identifier: MIT */
/*
 * Memory policies of files in memory: what mbind() of one mapping says counts
 * for all that use the file; random calls against an array of policies;
 * failing allocations; who binds against who faults.
 */
#include "calls.h"
#include "shmem_machine.h"

#include <mmkit/mempolicy.h>
#include <mmkit/report.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/seqbuf.h"
#include "mempolicy_machine.h"
#include "sim.h"

#define MiB   1048576UL
#define PAGES 24u

static struct file *memory_file(void)
{
	struct file *f = memfd_create_file("p", 0);

	CHECK(!IS_ERR(f));
	CHECK_EQ(shmem_truncate(f->f_inode, P(PAGES)), 0);
	return f;
}

static uva_t map_part(struct mm_struct *mm, struct file *f, u64 first,
		      u64 pages, u32 flags)
{
	struct mm_mmap r = {0, P(pages), TM_RW, flags, f, first};
	s64 at = do_mmap_file(mm, &r);

	CHECK(at > 0);
	return (uva_t)at;
}

static int page_nid(struct file *f, u64 index)
{
	struct page *page = find_get_page(f->f_inode->i_mapping, index);
	int nid;

	if (!page)
		return -1;
	nid = zone_to_nid(page_zone(page));
	put_page(page);
	return nid;
}

static void drop_pages(struct file *f, u64 first, u64 pages)
{
	CHECK_EQ(vfs_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (s64)P(first), (s64)P(pages)),
		 0);
}

/* ---- where pages go --------------------------------------------------------
 */

/* Made by a fault of whoever maps it, by write(), by fallocate(), from swap;
 * of others' private copies as well. */
static void each_way(struct mm_struct *other, struct file *f)
{
	static const char byte = 1;
	uva_t p = map_part(other, f, 0, PAGES, MAP_SHARED);
	uva_t copy = map_part(other, f, 0, PAGES, MAP_PRIVATE);

	tm_use(other);
	tm_store(p + P(8), 1);
	CHECK_EQ(page_nid(f, 8), 2);
	CHECK_EQ(sh_write(f, &byte, 1, P(9)), 1);
	CHECK_EQ(page_nid(f, 9), 2);
	CHECK_EQ(vfs_fallocate(f, 0, (s64)P(10), (s64)P(1)), 0);
	CHECK_EQ(page_nid(f, 10), 2);
	tm_store(p + P(7), 1);
	CHECK_EQ(page_nid(f, 7), 0);
	tm_store(p + P(12), 1);
	CHECK_EQ(page_nid(f, 12), 0);
	tm_store(copy + P(11), 1);
	CHECK_EQ(zone_to_nid(page_zone(page_at(other, copy + P(11)))), 2);
	/* Read in by a fault, with and without the swap cache. */
	sh_swap_out(f->f_inode, 8);
	CHECK_EQ(tm_load(p + P(8)), 1);
	CHECK_EQ(page_nid(f, 8), 2);
	tm_use(NULL);
}

static int ways_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *other = tm_mm();
	struct file *f = memory_file();
	uva_t at = map_part(mm, f, 4, 16, MAP_SHARED);

	(void)arg;
	tm_use(mm);
	CHECK_EQ(do_mbind(mm, at + P(4), P(4), MPOL_BIND, NODE_MASK(2), 0), 0);
	tm_use(NULL);
	each_way(other, f);
	/* The file outlives who bound it; truncation changes nothing. */
	mm_put(mm);
	CHECK_EQ(shmem_truncate(f->f_inode, 0), 0);
	CHECK_EQ(shmem_truncate(f->f_inode, P(PAGES)), 0);
	CHECK_EQ(vfs_fallocate(f, 0, (s64)P(10), (s64)P(3)), 0);
	CHECK_EQ(page_nid(f, 10), 2);
	CHECK_EQ(page_nid(f, 11), 2);
	CHECK_EQ(page_nid(f, 12), 0);
	/* The task's, where the file has none: by page number and inode. */
	CHECK_EQ(do_set_mempolicy(MPOL_INTERLEAVE, 0xa), 0);
	CHECK_EQ(vfs_fallocate(f, 0, (s64)P(16), (s64)P(4)), 0);
	for (u64 i = 16; i < 20; i++)
		CHECK_EQ(page_nid(f, i), (f->f_inode->i_ino + i) % 2 ? 3 : 1);
	shmem_check();
	mm_put(other);
	fput(f);
	no_policies_left();
	return 0;
}

static void ways(void **state)
{
	(void)state;
	TM_RUN(ways_body, .mem = 256 * MiB, .nodes = 4, .swap_pages = 256);
}

/* The home node counts, interleaving goes by the file's page numbers, and
 * numa_maps tells what the file says. */
static int told_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *other = tm_mm();
	struct file *f = memory_file();
	static char text[4096];
	struct seq_buf s;
	uva_t at, p;

	(void)arg;
	at = map_part(mm, f, 1, 8, MAP_SHARED);
	p = map_part(other, f, 0, PAGES, MAP_SHARED);
	CHECK_EQ(do_mbind(mm, at, P(2), MPOL_BIND, 0xe, 0), 0);
	CHECK_EQ(do_set_mempolicy_home_node(mm, at, P(2), 3, 0), 0);
	CHECK_EQ(do_mbind(mm, at + P(2), P(6), MPOL_INTERLEAVE, 0xf, 0), 0);
	tm_use(other);
	mm_task_register(port_current(), "prog");
	for (u64 i = 1; i < 9; i++)
		tm_store(p + P(i), i);
	CHECK_EQ(page_nid(f, 1), 3);
	CHECK_EQ(page_nid(f, 2), 3);
	for (u64 i = 3; i < 9; i++)
		CHECK_EQ(page_nid(f, i), (int)((f->f_inode->i_ino + i) % 4));
	/* A mapping is told of as its first page is. */
	CHECK_EQ(do_munmap(other, p, P(1)), 0);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/self/numa_maps", &s), 0);
	CHECK(strstr(text, " bind:1-3 "));
	mm_task_unregister(port_current());
	tm_use(NULL);
	mm_put(mm);
	mm_put(other);
	fput(f);
	no_policies_left();
	return 0;
}

static void told(void **state)
{
	(void)state;
	TM_RUN(told_body, .mem = 256 * MiB, .nodes = 4);
}

/* ---- random calls ----------------------------------------------------------
 */

#define MAPS 3u

static const struct mp none = {MPOL_DEFAULT, 0, -1};

static struct {
	struct prng rng;
	struct file *f;
	struct mm_struct *mm[MAPS];
	uva_t at[MAPS];
	struct mp map[MAPS][PAGES], file[PAGES];
	u64 refused, pages;
} m;

static bool mp_equal(struct mp a, struct mp b)
{
	return a.mode == b.mode && a.nodes == b.nodes && a.home == b.home;
}

/*
 * A mapping that has the policy already is passed over, whatever others have
 * said of the file since. One that changes brings its policy as a whole, with
 * what it melted with: what became one is read off.
 */
static void model_bind(u32 i, const struct mp *new)
{
	bool changed[PAGES];
	uva_t base = m.at[i];

	for (u64 k = 0; k < PAGES; k++) {
		changed[k] = !mp_equal(m.map[i][k], new[k]);
		m.map[i][k] = new[k];
	}
	for (u64 k = 0; k < PAGES; k++) {
		struct vm_area_struct *vma = find_vma(m.mm[i], base + P(k));

		for (u64 at = (vma->vm_start - base) >> PAGE_SHIFT;
		     changed[k] && at < (vma->vm_end - base) >> PAGE_SHIFT;
		     at++) {
			CHECK(mp_equal(m.map[i][at], new[k]));
			m.file[at] = new[k];
		}
	}
}

static void op_bind(u32 i, u64 from, u64 to)
{
	static const struct mp all[] = {
		{MPOL_DEFAULT, 0, -1},	    {MPOL_BIND, 1, -1},
		{MPOL_BIND, 3, -1},	    {MPOL_PREFERRED_MANY, 2, -1},
		{MPOL_INTERLEAVE, 0xf, -1}, {MPOL_INTERLEAVE, 6, -1},
		{MPOL_PREFERRED, 8, -1},
	};
	struct mp p = all[prng_below(&m.rng, ARRAY_SIZE(all))], new[PAGES];

	CHECK_EQ(do_mbind(m.mm[i], m.at[i] + P(from), P(to - from), p.mode,
			  p.nodes, 0),
		 0);
	memcpy(new, m.map[i], sizeof(new));
	for (u64 k = from; k < to; k++)
		new[k] = p;
	model_bind(i, new);
}

static void op_home(u32 i, u64 from, u64 to)
{
	struct mp new[PAGES];
	int want = -ENOENT, home = (int)prng_below(&m.rng, 4);

	for (u64 k = from; k < to; k++) {
		int mode = m.map[i][k].mode;

		if (mode == MPOL_DEFAULT)
			continue;
		if (mode != MPOL_BIND && mode != MPOL_PREFERRED_MANY) {
			want = -EOPNOTSUPP;
			break;
		}
		want = 0;
	}
	CHECK_EQ(do_set_mempolicy_home_node(m.mm[i], m.at[i] + P(from),
					    P(to - from), (u64)home, 0),
		 want);
	m.refused += want != 0;
	memcpy(new, m.map[i], sizeof(new));
	for (u64 k = from; !want && k < to; k++)
		if (new[k].mode != MPOL_DEFAULT)
			new[k].home = home;
	model_bind(i, new);
}

static int expect_node(struct mp p, u64 index)
{
	switch (p.mode) {
	case MPOL_PREFERRED:
		return __builtin_ctzll(p.nodes);
	case MPOL_BIND:
	case MPOL_PREFERRED_MANY:
		return nearest(p.nodes, p.home >= 0 ? p.home : 0);
	case MPOL_INTERLEAVE:
		return nth(p.nodes, index);
	default:
		return 0;
	}
}

/* Pages go and come again; by a write to a shared mapping. */
static void op_pages(u32 i, u64 from, u64 to)
{
	drop_pages(m.f, from, to - from);
	tm_use(m.mm[i]);
	for (u64 k = from; k < to; k++) {
		tm_store(m.at[i] + P(k), k);
		CHECK_EQ(page_nid(m.f, k),
			 expect_node(m.file[k], m.f->f_inode->i_ino + k));
		m.pages++;
	}
	tm_use(NULL);
}

static void check_told(void)
{
	shmem_policy_check(m.f->f_inode);
	for (u64 k = 0; k < PAGES; k++) {
		int home;
		struct mempolicy *pol =
			shmem_policy_get(m.f->f_inode, k, &home);

		CHECK_EQ(mpol_mode(pol), m.file[k].mode);
		CHECK_EQ(mpol_user_nodes(pol), m.file[k].nodes);
		CHECK_EQ(home, m.file[k].home);
		mpol_put(pol);
	}
}

static void model_step(void)
{
	u32 i = (u32)prng_below(&m.rng, MAPS);
	u64 from = prng_below(&m.rng, PAGES);
	u64 to = from + 1 + prng_below(&m.rng, PAGES - from);

	switch (prng_below(&m.rng, 6)) {
	case 0:
		op_pages(i % 2, from, to);
		break;
	case 1:
		op_home(i, from, to);
		break;
	default:
		op_bind(i, from, to);
	}
	check_told();
	mm_check(m.mm[i]);
}

static int model_body(void *arg)
{
	memset(&m, 0, sizeof(m));
	m.rng = *(struct prng *)arg;
	m.f = memory_file();
	for (u32 i = 0; i < MAPS; i++) {
		m.mm[i] = tm_mm();
		/* What a private mapping is bound to binds the file, too. */
		m.at[i] = map_part(m.mm[i], m.f, 0, PAGES,
				   i == 2 ? MAP_PRIVATE : MAP_SHARED);
		for (u64 k = 0; k < PAGES; k++)
			m.map[i][k] = m.file[k] = none;
	}
	for (u64 n = test_iters(tm_soak() ? 20000 : 600); n; n--)
		model_step();
	CHECK(m.refused && m.pages);
	for (u32 i = 0; i < MAPS; i++)
		mm_put(m.mm[i]);
	shmem_check();
	fput(m.f);
	no_policies_left();
	return 0;
}

static void model(void **state)
{
	struct prng rng;

	(void)state;
	test_seed(&rng, "shmem_policy model");
	TM_RUN(model_body, .arg = &rng, .mem = 256 * MiB, .nodes = 4);
}

/* ---- every allocation fails ------------------------------------------------
 */

static struct {
	struct file *f;
	uva_t at;
} fa;

/* Two mappings of the file, between them memory of the mapping's own. */
static struct mm_struct *fail_setup(void)
{
	struct mm_struct *mm = tm_mm();

	if (fa.f)
		fput(fa.f);
	fa.f = memory_file();
	fa.at = map_part(mm, fa.f, 0, PAGES, MAP_SHARED);
	CHECK_EQ(do_mmap(mm, fa.at + P(8), P(2), TM_RW, TM_ANON | MAP_FIXED),
		 (s64)(fa.at + P(8)));
	CHECK_EQ(do_mbind(mm, fa.at, P(6), MPOL_BIND, 1, 0), 0);
	return mm;
}

static int mode_at(u64 index)
{
	int home;
	struct mempolicy *pol = shmem_policy_get(fa.f->f_inode, index, &home);
	int mode = mpol_mode(pol);

	mpol_put(pol);
	return mode;
}

static int op_fail_mbind(struct mm_struct *mm)
{
	int err = do_mbind(mm, fa.at + P(2), P(12), MPOL_INTERLEAVE, 3, 0);
	int want = err ? MPOL_DEFAULT : MPOL_INTERLEAVE;

	CHECK(err == 0 || err == -ENOMEM);
	CHECK_EQ(mode_at(1), MPOL_BIND);
	CHECK_EQ(mode_at(5), err ? MPOL_BIND : MPOL_INTERLEAVE);
	CHECK_EQ(mode_at(7), want);
	CHECK_EQ(mode_at(8), MPOL_DEFAULT);
	CHECK_EQ(mode_at(13), want);
	CHECK_EQ(mode_at(14), MPOL_DEFAULT);
	return err;
}

static int failures_body(void *arg)
{
	(void)arg;
	fa.f = NULL;
	fail_each(&(struct fail_case){fail_setup, op_fail_mbind, false, 8});
	fput(fa.f);
	no_policies_left();
	return 0;
}

static void failures(void **state)
{
	(void)state;
	TM_RUN(failures_body, .mem = 64 * MiB, .nodes = 2);
}

/* ---- who binds against who faults ------------------------------------------
 */

static struct {
	struct file *f;
	u64 seed, running;
} race;

static void race_bind(struct mm_struct *mm, uva_t at, struct prng *r)
{
	u64 from = prng_below(r, PAGES), n = 1 + prng_below(r, PAGES - from);
	int mode = prng_below(r, 3) ? MPOL_BIND : MPOL_DEFAULT;

	CHECK_EQ(do_mbind(mm, at + P(from), P(n), mode,
			  mode == MPOL_BIND ? 1 + prng_below(r, 3) : 0, 0),
		 0);
}

static void race_thread(void *arg)
{
	u64 id = (u64)(uintptr_t)arg;
	struct mm_struct *mm = tm_mm();
	uva_t at = map_part(mm, race.f, 0, PAGES, MAP_SHARED);
	struct prng r;

	prng_seed(&r, race.seed * 4 + id);
	mm_task_attach(port_current(), mm);
	for (int i = 0; i < 40; i++) {
		u64 k = prng_below(&r, PAGES);

		if (prng_below(&r, 2))
			race_bind(mm, at, &r);
		else
			tm_store(at + P(k), i);
		if (i % 8 == 7)
			drop_pages(race.f, k, 1);
	}
	mm_task_exit(port_current());
	mm_put(mm);
}

static int race_body(void *arg)
{
	struct port_thread *t[3];

	race.seed = *(u64 *)arg;
	race.f = memory_file();
	for (u64 i = 0; i < 3; i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "bind", (int)i, race_thread,
					     (void *)i),
			 0);
	for (u64 i = 0; i < 3; i++)
		port_thread_join(t[i]);
	shmem_check();
	fput(race.f);
	no_policies_left();
	return 0;
}

static void races(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 10000 : 60);

	(void)state;
	for (u64 i = 0; i < n; i++, seed++)
		TM_RUN(race_body, .mem = 64 * MiB, .nodes = 2, .cpus = 3,
		       .seed = seed, .explore = true, .arg = &seed);
	fprintf(stderr, "shmem_policy: SEED=%llu, %llu schedules\n",
		(unsigned long long)(seed - n), (unsigned long long)n);
}

/* ---- as Linux tells them ---------------------------------------------------
 */

#define OBJ_PAGES 16u
#define NR_OPS	  60u
#define VIEWS	  4u

/* Where the object shows up: [first, first + pages) at a place of its own. */
static const struct view {
	uva_t at;
	u32 first, pages;
	int flags;
} views[VIEWS] = {
	{0x210000000, 0, 16, MAP_SHARED},
	{0x220000000, 4, 8, MAP_SHARED},
	{0x230000000, 2, 12, MAP_PRIVATE},
	{0x240000000, 0, 16, MAP_SHARED},
};

/* What is done: mbind() through a view, or a view goes and comes again. */
struct script_op {
	u32 view, from, n;
	int mode; /* -1: the view is mapped anew */
	u64 nodes;
};

struct told {
	s32 ret[NR_OPS];
	s32 mode[NR_OPS][VIEWS][OBJ_PAGES];
	bool valid;
};

static void make_script(struct script_op *ops, struct prng *rng)
{
	static const int modes[] = {
		MPOL_DEFAULT,	 MPOL_PREFERRED,
		MPOL_BIND,	 MPOL_BIND,
		MPOL_INTERLEAVE, MPOL_LOCAL,
		MPOL_DEFAULT,	 MPOL_BIND | MPOL_F_STATIC_NODES,
	};

	for (u32 i = 0; i < NR_OPS; i++) {
		struct script_op *o = &ops[i];

		o->view = prng_below(rng, VIEWS);
		o->from = prng_below(rng, views[o->view].pages);
		o->n = 1 + prng_below(rng, views[o->view].pages - o->from);
		o->mode = prng_below(rng, 8)
				  ? modes[prng_below(rng, ARRAY_SIZE(modes))]
				  : -1;
		o->nodes = o->mode > 0 && o->mode != MPOL_LOCAL;
	}
}

static void linux_view(int fd, const struct view *v)
{
	int flags = v->flags | MAP_FIXED;
	size_t len = v->pages * 4096UL;

	munmap((void *)v->at, len);
	if (mmap((void *)v->at, len, PROT_READ | PROT_WRITE, flags, fd,
		 v->first * 4096L) == MAP_FAILED)
		_exit(0);
}

static void linux_told(s32 (*mode)[OBJ_PAGES])
{
	for (u32 v = 0; v < VIEWS; v++)
		for (u32 i = 0; i < views[v].pages; i++)
			if (syscall(239, &mode[v][i], NULL, 0UL,
				    views[v].at + P(i), 2UL))
				_exit(0);
}

static void linux_script(const struct script_op *ops, struct told *t)
{
	int fd = (int)syscall(SYS_memfd_create, "policy", 0);

	if (fd < 0 || ftruncate(fd, OBJ_PAGES * 4096L))
		_exit(0);
	for (u32 v = 0; v < VIEWS; v++)
		linux_view(fd, &views[v]);
	for (u32 i = 0; i < NR_OPS; i++) {
		const struct script_op *o = &ops[i];

		if (o->mode < 0)
			linux_view(fd, &views[o->view]);
		else if (syscall(237, views[o->view].at + P(o->from), P(o->n),
				 o->mode, &o->nodes, 64UL, 0UL))
			t->ret[i] = -errno;
		linux_told(t->mode[i]);
	}
	t->valid = true;
	_exit(0);
}

static void sim_view(struct mm_struct *mm, struct file *f, const struct view *v)
{
	struct mm_mmap r = {v->at, P(v->pages), TM_RW, v->flags | MAP_FIXED,
			    f,	   v->first};

	CHECK_EQ(do_munmap(mm, v->at, P(v->pages)), 0);
	CHECK_EQ(do_mmap_file(mm, &r), (s64)v->at);
}

static void sim_told(struct mm_struct *mm, uva_t out, s32 (*mode)[OBJ_PAGES])
{
	for (u32 v = 0; v < VIEWS; v++) {
		for (u32 i = 0; i < views[v].pages; i++) {
			CHECK_EQ(kernel_get_mempolicy(mm, out, 0, 0,
						      views[v].at + P(i),
						      MPOL_F_ADDR),
				 0);
			mode[v][i] = (s32)tm_load(out);
		}
	}
}

struct script {
	struct script_op ops[NR_OPS];
	struct told kernel, sim;
};

static int script_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct file *f = memfd_create_file("policy", 0);
	uva_t out = tm_map(mm, 1);
	struct script *s = arg;

	tm_use(mm);
	CHECK(!IS_ERR(f));
	CHECK_EQ(shmem_truncate(f->f_inode, P(OBJ_PAGES)), 0);
	for (u32 v = 0; v < VIEWS; v++)
		sim_view(mm, f, &views[v]);
	for (u32 i = 0; i < NR_OPS; i++) {
		const struct script_op *o = &s->ops[i];

		if (o->mode < 0)
			sim_view(mm, f, &views[o->view]);
		else
			s->sim.ret[i] =
				do_mbind(mm, views[o->view].at + P(o->from),
					 P(o->n), o->mode, o->nodes, 0);
		sim_told(mm, out, s->sim.mode[i]);
	}
	shmem_check();
	fput(f);
	tm_use(NULL);
	mm_put(mm);
	no_policies_left();
	return 0;
}

/* What was done last, and where the answers part. */
static void say_difference(const struct script *s, u32 k)
{
	const struct script_op *o = &s->ops[k];

	for (u32 v = 0; v < VIEWS; v++)
		for (u32 i = 0; i < views[v].pages; i++)
			if (s->sim.mode[k][v][i] != s->kernel.mode[k][v][i])
				fprintf(stderr,
					"after step %u (view %u, page %u + %u, "
					"mode %d): view %u page %u: %d, Linux "
					"%d\n",
					k, o->view, o->from, o->n, o->mode, v,
					i, s->sim.mode[k][v][i],
					s->kernel.mode[k][v][i]);
}

/* One node that may be asked for. */
static bool linux_fits(void)
{
	u64 allowed[16] = {0};

	return syscall(239, NULL, allowed, 1024UL, NULL, 4UL) == 0 &&
	       allowed[0] == 1 &&
	       access("/sys/devices/system/node/node1", F_OK) != 0;
}

static void as_linux(void **state)
{
	struct script *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 runs = test_iters(tm_soak() ? 500 : 12), asked = 0;
	struct prng rng;

	(void)state;
	CHECK(s != MAP_FAILED);
	test_seed(&rng, "shmem_policy as_linux");
	for (u64 i = 0; i < runs; i++) {
		pid_t pid;

		memset(s, 0, sizeof(*s));
		make_script(s->ops, &rng);
		fflush(NULL);
		pid = linux_fits() ? fork() : -1;
		if (pid == 0)
			linux_script(s->ops, &s->kernel);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		TM_RUN(script_body, .arg = s);
		if (!s->kernel.valid)
			continue;
		asked++;
		for (u32 k = 0; k < NR_OPS; k++) {
			CHECK_EQ(s->sim.ret[k], s->kernel.ret[k]);
			say_difference(s, k);
			CHECK(!memcmp(s->sim.mode[k], s->kernel.mode[k],
				      sizeof(s->sim.mode[k])));
		}
	}
	printf("shmem_policy: %llu of %llu scripts asked of Linux\n",
	       (unsigned long long)asked, (unsigned long long)runs);
	munmap(s, sizeof(*s));
}

/* ---- mounts ----------------------------------------------------------------
 */

/* mpol= of a mount is that of every file in it. */
static int mount_body(void *arg)
{
	struct shmem_mount_options o = {.s_dev = 9, .s_id = "tmpfs"};
	struct super_block *sb;
	struct file *f;
	char c = 1;

	(void)arg;
	CHECK_EQ(mpol_new(MPOL_BIND, 0, 2, &o.mpol), 0);
	sb = shmem_mount(&o);
	mpol_put(o.mpol);
	CHECK(!IS_ERR(sb));
	f = sh_file(sb, 0600);
	CHECK_EQ(sh_write(f, &c, 1, 0), 1);
	CHECK_EQ(sh_write(f, &c, 1, P(999)), 1);
	for (u64 i = 0; i < 1000; i += 999) {
		struct page *page = find_get_page(f->f_inode->i_mapping, i);

		CHECK_EQ(zone_to_nid(page_zone(page)), 1);
		put_page(page);
	}
	f->f_inode->i_nlink = 0;
	fput(f);
	CHECK_EQ(shmem_umount(sb), 0);
	no_policies_left();
	return 0;
}

static void mount(void **state)
{
	(void)state;
	TM_RUN(mount_body, .mem = 64 * MiB, .nodes = 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ways),	 cmocka_unit_test(told),
		cmocka_unit_test(model), cmocka_unit_test(failures),
		cmocka_unit_test(races), cmocka_unit_test(as_linux),
		cmocka_unit_test(mount),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
