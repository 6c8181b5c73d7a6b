/* SPDX-License-Identifier: MIT */
/*
 * System V shared memory: random calls by several users, answered alike by the
 * running Linux (in a namespace of its own) and by mmkit; life of segments over
 * fork, split, exit and removal; limits, locks, text, failures, races.
 */
#include "calls.h"

#include <mmkit/shm.h>
#include <mmkit/sysctl.h>
#include <mmkit/uaccess.h>

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "cache/shmem.h"
#include "shmem_machine.h"
#include "space/shm.h"

/* Above the shadow that AddressSanitizer keeps. */
#define BASE	0x300000000000UL
#define BUF	0x2f0000000UL
#define MEMLOCK (8UL << 12)
/* Linux counts a user's locks over all processes: of parallel tests, too. */
#define MEMLOCK_MANY (8UL << 20)
#define NR_OPS	     400u
#define MAX_IDS	     512u

/* ---- random calls, as data -------------------------------------------------
 */

enum kind {
	OP_GET,
	OP_AT,
	OP_DT,
	OP_STAT,
	OP_SET,
	OP_RMID,
	OP_INFO,
	OP_LOCK,
	OP_UNMAP,
	OP_BAD
};

struct op {
	enum kind kind;
	u32 uid, gid, pick; /* whose call; which id, attach or index */
	s32 key;
	u64 size, addr;
	int flags;
	u32 set_uid, set_gid, set_mode;
};

struct answer {
	s64 ret;
	u64 seen[8]; /* of structures that were filled in */
};

/* One of the two that are asked. */
struct side {
	s64 (*get)(s32 key, u64 size, int flags);
	s64 (*at)(int id, u64 addr, int flags);
	s64 (*dt)(u64 addr);
	s64 (*ctl)(int id, int cmd, void *buf, size_t size);
	s64 (*unmap)(u64 addr, u64 len);
	void (*become)(u32 uid, u32 gid);
	s64 id[MAX_IDS];
	u32 nr_ids;
	u64 at_addr[NR_OPS];
	u32 nr_at;
};

static void op_random(struct op *o, struct prng *r)
{
	static const u32 uids[] = {0, 1000, 1000, 1001, 1002};
	static const u64 sizes[] = {0,	   1,	  4096,	     5000,
				    12288, 12288, 1UL << 62, ~0UL};
	static const u16 modes[] = {0600, 0600, 0644, 0660, 0666, 0400,
				    0200, 0004, 0040, 0777, 0};
	static const u8 kinds[] = {OP_GET,   OP_GET, OP_GET,  OP_AT,   OP_AT,
				   OP_AT,    OP_AT,  OP_DT,   OP_DT,   OP_STAT,
				   OP_STAT,  OP_SET, OP_RMID, OP_INFO, OP_LOCK,
				   OP_UNMAP, OP_BAD};

	memset(o, 0, sizeof(*o));
	o->kind = (enum kind)kinds[prng_below(r, ARRAY_SIZE(kinds))];
	o->uid = uids[prng_below(r, ARRAY_SIZE(uids))];
	o->gid = o->uid == 1001 ? 1000 : o->uid; /* shares 1000's group */
	o->pick = prng_u32(r);
	o->key = (s32)prng_below(r, 4);
	o->size = sizes[prng_below(r, prng_one_in(r, 4) ? 8 : 6)];
	o->flags = modes[prng_below(r, ARRAY_SIZE(modes))];
	if (!prng_one_in(r, 3))
		o->flags |= IPC_CREAT;
	if (prng_one_in(r, 5))
		o->flags |= IPC_EXCL;
	if (o->kind == OP_AT) {
		o->flags = (int)(prng_u32(r) &
				 (SHM_RDONLY | SHM_RND | SHM_REMAP | SHM_EXEC));
		if (prng_one_in(r, 2))
			o->flags &= SHM_RDONLY;
		o->addr = prng_one_in(r, 3) ? 0
					    : BASE + (prng_below(r, 24) << 12);
		/* Who may map address 0 is not this test's. */
		if ((o->addr || o->uid) && prng_one_in(r, 6))
			o->addr += prng_below(r, 4096);
	}
	o->set_uid = uids[prng_below(r, 5)];
	o->set_gid = prng_one_in(r, 12) ? ~0u : o->set_uid;
	o->set_mode = modes[prng_below(r, ARRAY_SIZE(modes))] | SHM_DEST;
}

/* The identifier that O means: one that was made, or nonsense. */
static int op_id(const struct side *s, const struct op *o)
{
	static const int bad[] = {-1, 0x7fffffff, 5 * 32768 + 77, -32768};

	if (!s->nr_ids || o->pick % 16 == 0)
		return bad[o->pick / 16 % 4];
	/* Mostly a young one. */
	if (o->pick % 3)
		return (int)
			s->id[s->nr_ids - 1 - o->pick / 3 % min(s->nr_ids, 6u)];
	return (int)s->id[o->pick / 3 % s->nr_ids];
}

/* Identifiers differ; the n-th that came up is the same on both sides. */
static s64 ordinal(struct side *s, s64 id)
{
	if (id < 0)
		return id;
	for (u32 i = 0; i < s->nr_ids; i++)
		if (s->id[i] == id)
			return i;
	if (s->nr_ids == MAX_IDS)
		abort();
	s->id[s->nr_ids] = id;
	return s->nr_ids++;
}

static void op_attach(struct side *s, const struct op *o, struct answer *a)
{
	s64 at = s->at(op_id(s, o), o->addr, o->flags);

	a->ret = at;
	if (at < 0)
		return;
	if (!o->addr)
		a->ret = 7777;
	s->at_addr[s->nr_at++] = (u64)at;
}

static u64 op_where(const struct side *s, const struct op *o)
{
	if (!s->nr_at || o->pick % 9 == 0)
		return o->pick % 2 ? BASE + (40UL << 12) : BASE + 77;
	return s->at_addr[s->nr_at - 1 - o->pick / 9 % min(s->nr_at, 6u)];
}

/* Addresses that the kernel chose are used once: they come again, but not on
 * both sides for the same attach. */
static void op_detach(struct side *s, const struct op *o, struct answer *a)
{
	u64 at = op_where(s, o);

	a->ret = s->dt(at);
	if (a->ret || at - BASE <= P(64))
		return;
	for (u32 i = 0; i < s->nr_at; i++)
		if (s->at_addr[i] == at) {
			s->at_addr[i] = s->at_addr[--s->nr_at];
			return;
		}
}

static void op_look(struct side *s, const struct op *o, struct answer *a)
{
	static const int cmds[] = {IPC_STAT, IPC_STAT, SHM_STAT, SHM_STAT_ANY};
	int cmd = cmds[o->pick / 64 % 4];
	struct mm_shmid_ds ds = {0};
	int id = cmd == IPC_STAT ? op_id(s, o) : (int)(o->pick % 9) - 1;

	a->ret = s->ctl(id, cmd, &ds, sizeof(ds));
	if (cmd != IPC_STAT)
		a->ret = ordinal(s, a->ret);
	if (a->ret < 0)
		return;
	a->seen[0] = (u64)(u32)ds.shm_perm.key << 32 | ds.shm_perm.mode;
	a->seen[1] = (u64)ds.shm_perm.uid << 32 | ds.shm_perm.gid;
	a->seen[2] = (u64)ds.shm_perm.cuid << 32 | ds.shm_perm.cgid;
	a->seen[3] = ds.shm_segsz;
	a->seen[4] = ds.shm_nattch;
	a->seen[5] = (ds.shm_atime != 0) | (ds.shm_dtime != 0) << 1 |
		     (ds.shm_ctime != 0) << 2;
	a->seen[6] = (ds.shm_cpid != 0) | (ds.shm_lpid != 0) << 1;
}

static void op_info(struct side *s, const struct op *o, struct answer *a)
{
	struct mm_shm_info info = {0};
	struct mm_shminfo limits = {0};

	if (o->pick % 2) {
		a->ret = s->ctl((int)(o->pick / 2 % 3) - 1, SHM_INFO, &info,
				sizeof(info));
		a->seen[0] = (u64)info.used_ids;
		a->seen[1] = info.shm_tot;
		return;
	}
	a->ret = s->ctl(0, IPC_INFO, &limits, sizeof(limits));
	a->seen[0] = limits.shmmax;
	a->seen[1] = limits.shmmin;
	a->seen[2] = limits.shmmni;
	a->seen[3] = limits.shmseg;
	a->seen[4] = limits.shmall;
}

static void op_set(struct side *s, const struct op *o, struct answer *a)
{
	struct mm_shmid_ds ds = {0};

	ds.shm_perm.uid = o->set_uid;
	ds.shm_perm.gid = o->set_gid;
	ds.shm_perm.mode = o->set_mode;
	a->ret = s->ctl(op_id(s, o), IPC_SET, &ds, sizeof(ds));
}

static void op_run(struct side *s, const struct op *o, struct answer *a)
{
	memset(a, 0, sizeof(*a));
	/* Locks are one user's: the counts of others are not alike. */
	s->become(o->kind == OP_LOCK ? 1000 : o->uid,
		  o->kind == OP_LOCK ? 1000 : o->gid);
	switch (o->kind) {
	case OP_GET:
		a->ret = ordinal(s, s->get(o->key, o->size, o->flags));
		break;
	case OP_AT:
		op_attach(s, o, a);
		break;
	case OP_DT:
		op_detach(s, o, a);
		break;
	case OP_STAT:
		op_look(s, o, a);
		break;
	case OP_SET:
		op_set(s, o, a);
		break;
	case OP_RMID:
		a->ret = s->ctl(op_id(s, o), IPC_RMID, NULL, 0);
		break;
	case OP_INFO:
		op_info(s, o, a);
		break;
	case OP_LOCK:
		a->ret = s->ctl(op_id(s, o),
				o->pick % 3 ? SHM_LOCK : SHM_UNLOCK, NULL, 0);
		break;
	case OP_UNMAP:
		/* Elsewhere something else may be behind it. */
		if (op_where(s, o) - BASE > P(64))
			break;
		a->ret = s->unmap((op_where(s, o) & ~4095UL) +
					  (o->pick / 256 % 3 << 12),
				  4096);
		break;
	case OP_BAD:
		a->ret = s->ctl(op_id(s, o), 16 + (int)(o->pick % 5) * 100,
				NULL, 0);
		break;
	}
}

/* ---- the running Linux -----------------------------------------------------
 */

static s64 sys(s64 ret)
{
	return ret < 0 ? -errno : ret;
}

static s64 lx_get(s32 key, u64 size, int flags)
{
	return sys(syscall(SYS_shmget, key, size, flags));
}

static s64 lx_at(int id, u64 addr, int flags)
{
	return sys(syscall(SYS_shmat, id, addr, flags));
}

static s64 lx_dt(u64 addr)
{
	return sys(syscall(SYS_shmdt, addr));
}

static s64 lx_ctl(int id, int cmd, void *buf, size_t size)
{
	(void)size;
	return sys(syscall(SYS_shmctl, id, cmd, buf));
}

static s64 lx_unmap(u64 addr, u64 len)
{
	return sys(munmap((void *)addr, len));
}

static void lx_become(u32 uid, u32 gid)
{
	if (seteuid(0) || setegid(gid) || seteuid(uid))
		_exit(1);
}

static const struct side linux_side = {.get = lx_get,
				       .at = lx_at,
				       .dt = lx_dt,
				       .ctl = lx_ctl,
				       .unmap = lx_unmap,
				       .become = lx_become};

struct program {
	u32 valid;
	struct op op[NR_OPS];
	struct answer linux_said[NR_OPS];
};

static void linux_child(struct program *p)
{
	struct rlimit lim = {MEMLOCK_MANY, MEMLOCK_MANY};
	struct side s = linux_side;

	if (geteuid() || unshare(CLONE_NEWIPC) || setgroups(0, NULL) ||
	    setrlimit(RLIMIT_MEMLOCK, &lim))
		_exit(0);
	for (u32 i = 0; i < NR_OPS; i++)
		op_run(&s, &p->op[i], &p->linux_said[i]);
	p->valid = 1;
	_exit(0);
}

static void ask_linux(struct program *p)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		linux_child(p);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0); /* of what it may not do it says 0 */
}

/* ---- mmkit -----------------------------------------------------------------
 */

static struct shm_caller me;

static s64 mk_get(s32 key, u64 size, int flags)
{
	return do_shmget(&me, key, size, flags);
}

static s64 mk_at(int id, u64 addr, int flags)
{
	return do_shmat(&me, id, addr, flags);
}

static s64 mk_dt(u64 addr)
{
	return do_shmdt(&me, addr);
}

static s64 mk_ctl(int id, int cmd, void *buf, size_t size)
{
	s64 ret;

	if (size)
		CHECK_EQ(copy_to_user(me.mm, BUF, buf, size), 0);
	ret = do_shmctl(&me, id, cmd, BUF);
	if (size)
		CHECK_EQ(copy_from_user(me.mm, buf, BUF, size), 0);
	return ret;
}

static s64 mk_unmap(u64 addr, u64 len)
{
	return do_munmap(me.mm, addr, len);
}

static void mk_become(u32 uid, u32 gid)
{
	me.uid = uid;
	me.gid = gid;
	port_current()->caps =
		uid ? 0 : MM_CAP_IPC_OWNER | MM_CAP_IPC_LOCK | MM_CAP_SYS_ADMIN;
}

static const struct side mmkit_side = {.get = mk_get,
				       .at = mk_at,
				       .dt = mk_dt,
				       .ctl = mk_ctl,
				       .unmap = mk_unmap,
				       .become = mk_become};

/* A space with room for answers, as the caller's. */
static void shm_begin(void)
{
	me = (struct shm_caller){.mm = tm_mm()};
	tm_use(me.mm);
	port_current()->pid = 1;
	me.mm->rlimit_memlock = MEMLOCK;
	CHECK_EQ(do_mmap(me.mm, BUF, P(1), TM_RW, TM_ANON | MAP_FIXED), BUF);
	/* Times are seconds; 0 is never. */
	port_park(2000000000);
}

static void shm_end(void)
{
	struct mm_shm_info info;

	mk_become(0, 0);
	CHECK(mk_ctl(0, SHM_INFO, &info, sizeof(info)) >= 0);
	tm_use(NULL);
	mm_put(me.mm);
	for (u32 i = 0; i < 64; i++) {
		struct shm_segment *seg = shm_at(space_sys.shm, i);

		if (seg) {
			CHECK_EQ(seg->nattch, 0);
			CHECK_EQ(do_shmctl(&me, seg->id, IPC_RMID, 0), 0);
		}
	}
	shm_check(NULL);
	CHECK_EQ(space_sys.shm->in_use, 0);
	CHECK_EQ(cache_sys.shmem.kernel->used_inodes, 0);
	port_current()->caps = 0;
	port_current()->pid = 0;
}

static int same_body(void *arg)
{
	const struct program *p = arg;
	struct side s = mmkit_side;

	shm_begin();
	me.mm->rlimit_memlock = MEMLOCK_MANY;
	for (u32 i = 0; i < NR_OPS; i++) {
		struct answer a;

		snprintf(tm_context, sizeof(tm_context),
			 "op %u: kind %d uid %u pick %u key %d size %llx flags "
			 "%o addr %llx; Linux %lld",
			 i, (int)p->op[i].kind, p->op[i].uid, p->op[i].pick,
			 p->op[i].key, (unsigned long long)p->op[i].size,
			 (unsigned)p->op[i].flags,
			 (unsigned long long)p->op[i].addr,
			 (long long)p->linux_said[i].ret);
		op_run(&s, &p->op[i], &a);
		if (i % 16 == 0)
			shm_check(NULL);
		if (!p->valid)
			continue;
		CHECK_EQ(a.ret, p->linux_said[i].ret);
		for (u32 k = 0; k < 8; k++)
			CHECK_EQ(a.seen[k], p->linux_said[i].seen[k]);
	}
	tm_context[0] = 0;
	mm_check(me.mm);
	shmem_check();
	shm_end();
	return 0;
}

static void as_linux(void **state)
{
	struct program *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 n = test_iters(tm_soak() ? 2000 : 40), asked = 0;
	struct prng r;

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	test_seed(&r, "shm calls");
	for (u64 i = 0; i < n; i++) {
		for (u32 k = 0; k < NR_OPS; k++)
			op_random(&p->op[k], &r);
		p->valid = 0;
		ask_linux(p);
		asked += p->valid;
		TM_RUN(same_body, .arg = p);
	}
	fprintf(stderr,
		"shm: %llu programs of %u calls, %llu asked of the "
		"running kernel as well\n",
		(unsigned long long)n, NR_OPS, (unsigned long long)asked);
	munmap(p, sizeof(*p));
}

/* ---- life ------------------------------------------------------------------
 */

static u64 nattch(s64 id)
{
	struct mm_shmid_ds ds;
	s64 ret = mk_ctl((int)id, IPC_STAT, &ds, sizeof(ds));

	return ret ? (u64)ret : ds.shm_nattch;
}

static int life_body(void *arg)
{
	struct mm_struct *child;
	struct inode *inode;
	s64 id, other, at;

	(void)arg;
	shm_begin();
	mk_become(1000, 1000);
	id = mk_get(42, P(4) + 1, IPC_CREAT | 0600);
	CHECK(id >= 0);
	CHECK_EQ(space_sys.committed, 1 + 5);
	CHECK_EQ(mk_get(42, 1, 0), id);
	CHECK_EQ(mk_get(42, 1, IPC_CREAT | IPC_EXCL), -EEXIST);
	at = mk_at((int)id, 0, 0);
	CHECK(at > 0);
	tm_store((uva_t)at + P(2), 7);
	CHECK_EQ(nattch(id), 1);
	/* A hole makes two mappings of one; shmdt finds both by the base. */
	CHECK_EQ(mk_unmap((u64)at + P(1), P(1)), 0);
	CHECK_EQ(nattch(id), 2);
	CHECK_EQ(mm_fork(me.mm, &child), 0);
	CHECK_EQ(nattch(id), 4);
	CHECK_EQ(mk_unmap((u64)at, P(1)), 0);
	CHECK_EQ(nattch(id), 3);
	CHECK_EQ(mk_dt((u64)at + P(2)), -EINVAL);
	CHECK_EQ(mk_ctl((int)id, IPC_RMID, NULL, 0), 0);
	/* Without its key, but there: the identifier still serves. */
	CHECK_EQ(mk_get(42, 1, 0), -ENOENT);
	other = mk_get(42, 1, IPC_CREAT | 0600);
	CHECK(other >= 0 && other != id);
	CHECK_EQ(mk_dt((u64)at), 0);
	CHECK_EQ(mk_dt((u64)at), -EINVAL);
	CHECK_EQ(nattch(id), 2);
	at = mk_at((int)id, 0, SHM_RDONLY);
	CHECK_EQ(tm_load((uva_t)at + P(2)), 7);
	CHECK_EQ(sim_touch((uva_t)at, SIM_WRITE), MM_SIGSEGV);
	CHECK_EQ(do_mprotect(me.mm, (uva_t)at, P(1), TM_RW), -EACCES);
	/* To swap and back. */
	inode = find_vma(me.mm, (uva_t)at)->vm_file->f_inode;
	sh_swap_out(inode, 2);
	CHECK_EQ(tm_load((uva_t)at + P(2)), 7);
	CHECK_EQ(do_mremap(me.mm, (uva_t)at, P(5), P(5),
			   MREMAP_MAYMOVE | MREMAP_FIXED, BASE),
		 (s64)BASE);
	CHECK_EQ(nattch(id), 3);
	CHECK_EQ(tm_load(BASE + P(2)), 7);
	shm_check(NULL);
	CHECK_EQ(mk_dt(BASE), 0);
	CHECK_EQ(nattch(id), 2);
	mm_put(child);
	/* The last mapping took it along; nobody has that slot yet. */
	CHECK_EQ(mk_at((int)id, 0, 0), -EINVAL);
	CHECK_EQ(space_sys.committed, 1 + 1);
	CHECK_EQ(mk_ctl((int)other, IPC_RMID, NULL, 0), 0);
	CHECK_EQ(mk_ctl((int)other, IPC_RMID, NULL, 0), -EINVAL);
	shm_end();
	return 0;
}

/* A slot that somebody else has: EIDRM, 64 segments later. */
static int stale_body(void *arg)
{
	s64 first, id = -1;

	(void)arg;
	shm_begin();
	mk_become(0, 0);
	first = mk_get(IPC_PRIVATE, 1, 0600);
	CHECK_EQ(mk_ctl((int)first, IPC_RMID, NULL, 0), 0);
	CHECK_EQ(mk_at((int)first, 0, 0), -EINVAL);
	for (u32 i = 0; i < 64; i++) {
		CHECK(id < 0 || !mk_ctl((int)id, IPC_RMID, NULL, 0));
		id = mk_get(IPC_PRIVATE, 1, 0600);
	}
	CHECK_EQ(id - first, SHMMNI_MAX);
	CHECK_EQ(mk_at((int)first, 0, 0), -EIDRM);
	CHECK_EQ(mk_ctl((int)first, IPC_STAT, NULL, 0), -EIDRM);
	CHECK_EQ(mk_ctl((int)first, SHM_LOCK, NULL, 0), -EIDRM);
	shm_end();
	return 0;
}

static void life(void **state)
{
	(void)state;
	TM_RUN(life_body, .swap_pages = 64);
	TM_RUN(stale_body);
}

/* ---- limits, rights --------------------------------------------------------
 */

static int limits_body(void *arg)
{
	struct mm_shmid_ds gift;
	struct shm_limits old, l;
	u32 groups[] = {7, 50};
	s64 id;

	(void)arg;
	shm_begin();
	mk_become(0, 0);
	shm_get_limits(NULL, &old);
	CHECK_EQ(old.shmmni, SHMMNI_DEFAULT);
	l = old;
	l.shmmax = P(4);
	l.shmall = 6;
	l.shmmni = 3;
	CHECK_EQ(shm_set_limits(NULL, &l), 0);
	CHECK_EQ(mk_get(IPC_PRIVATE, P(4) + 1, 0600), -EINVAL);
	CHECK_EQ(mk_get(IPC_PRIVATE, 0, 0600), -EINVAL);
	CHECK(mk_get(1, P(4), IPC_CREAT | 0600) >= 0);
	CHECK_EQ(mk_get(2, P(3), IPC_CREAT | 0600), -ENOSPC);
	CHECK(mk_get(2, 1, IPC_CREAT | 0600) >= 0);
	CHECK(mk_get(3, 1, IPC_CREAT | 0600) >= 0);
	l.shmall = 100;
	CHECK_EQ(shm_set_limits(NULL, &l), 0);
	CHECK_EQ(mk_get(4, 1, IPC_CREAT | 0600), -ENOSPC);
	l.shmmni = SHMMNI_MAX + 1;
	CHECK_EQ(shm_set_limits(NULL, &l), -EINVAL);
	/* By name. */
	CHECK_EQ(mm_sysctl_set("kernel.shmmni", "4"), 0);
	CHECK_EQ(mm_sysctl_set("kernel.shmmni", "32769"), -ERANGE);
	CHECK_EQ(mm_sysctl_set("kernel.shmmax", "8192"), 0);
	CHECK_EQ(mk_get(4, P(2) + 1, IPC_CREAT | 0600), -EINVAL);
	CHECK_EQ(mm_sysctl_set("kernel.shmall", "7"), 0);
	CHECK_EQ(mk_get(4, P(2), IPC_CREAT | 0600), -ENOSPC);
	CHECK(mk_get(4, P(1), IPC_CREAT | 0600) >= 0);
	shm_get_limits(NULL, &l);
	CHECK(l.shmmni == 4 && l.shmmax == P(2) && l.shmall == 7);
	CHECK_EQ(shm_set_limits(NULL, &old), 0);
	/* Huge pages: none in the pool, or not allowed to ask. */
	CHECK_EQ(mk_get(9, 2UL << 20, IPC_CREAT | SHM_HUGETLB), -ENOMEM);
	mk_become(5, 5);
	CHECK_EQ(mk_get(9, 2UL << 20, IPC_CREAT | SHM_HUGETLB), -EPERM);
	/* What cannot be promised; nothing is promised of NORESERVE, but in
	 * mode 2. */
	CHECK_EQ(mk_get(9, 1UL << 42, IPC_CREAT | 0600), -ENOMEM);
	space_sys.overcommit_memory = 2;
	CHECK_EQ(mk_get(9, 1UL << 42, IPC_CREAT | SHM_NORESERVE), -ENOMEM);
	space_sys.overcommit_memory = 0;
	id = mk_get(9, 1UL << 42, IPC_CREAT | SHM_NORESERVE | 0640);
	CHECK(id >= 0);
	/* One class of bits counts: the first that fits. */
	CHECK(mk_get(10, 1, IPC_CREAT | 0066) >= 0);
	CHECK_EQ(mk_get(10, 1, 0400), -EACCES);
	/* Given away, it still is its creator's. */
	gift = (struct mm_shmid_ds){
		.shm_perm = {.uid = 77, .gid = 77, .mode = 0600}};
	id = mk_get(10, 1, 0);
	CHECK_EQ(mk_ctl((int)id, IPC_SET, &gift, sizeof(gift)), 0);
	CHECK_EQ(mk_get(10, 1, 0600), id);
	CHECK_EQ(mk_ctl((int)id, IPC_RMID, NULL, 0), 0);
	id = mk_get(9, 1, 0);
	/* A group of the caller's, not its first. */
	mk_become(6, 6);
	CHECK_EQ(mk_at((int)id, 0, SHM_RDONLY), -EACCES);
	mk_become(5, 50);
	CHECK_EQ(do_shmctl(&me, (int)id, IPC_STAT, 0x1000), -EFAULT);
	CHECK_EQ(do_shmctl(&me, (int)id, IPC_SET, 0x1000), -EFAULT);
	CHECK_EQ(do_shmctl(&me, 0, IPC_INFO, 0x1000), -EFAULT);
	CHECK_EQ(do_shmctl(&me, 0, SHM_INFO, 0x1000), -EFAULT);
	mk_become(6, 6);
	me.groups = groups;
	me.nr_groups = 2;
	CHECK_EQ(mk_get(9, 1, 0440), -EACCES);
	groups[1] = 5;
	CHECK_EQ(mk_get(9, 1, 0440), id);
	CHECK_EQ(mk_get(9, 1, 0660), -EACCES);
	port_current()->caps = MM_CAP_IPC_OWNER;
	CHECK_EQ(mk_get(9, 1, 0660), id);
	CHECK_EQ(mk_ctl((int)id, IPC_RMID, NULL, 0), -EPERM);
	me.nr_groups = 0;
	shm_end();
	return 0;
}

/* SHM_LOCK: pages stay; each user's limit. */
static int lock_body(void *arg)
{
	struct inode *inode;
	s64 a, b, at;

	(void)arg;
	shm_begin();
	mk_become(1000, 1000);
	a = mk_get(IPC_PRIVATE, P(5), 0600);
	b = mk_get(IPC_PRIVATE, P(4), 0600);
	at = mk_at((int)a, 0, 0);
	tm_store((uva_t)at, 3);
	inode = find_vma(me.mm, (uva_t)at)->vm_file->f_inode;
	CHECK_EQ(mk_ctl((int)a, SHM_LOCK, NULL, 0), 0);
	CHECK_EQ(mk_ctl((int)a, SHM_LOCK, NULL, 0), 0);
	CHECK(!sh_try_swap_out(inode, 0));
	CHECK_EQ(mk_ctl((int)b, SHM_LOCK, NULL, 0), -ENOMEM);
	CHECK_EQ(mk_ctl((int)a, SHM_UNLOCK, NULL, 0), 0);
	CHECK_EQ(mk_ctl((int)b, SHM_LOCK, NULL, 0), 0);
	shm_check(NULL);
	sh_swap_out(inode, 0);
	CHECK_EQ(tm_load((uva_t)at), 3);
	me.mm->rlimit_memlock = 0;
	CHECK_EQ(mk_ctl((int)a, SHM_LOCK, NULL, 0), -EPERM);
	CHECK_EQ(mk_ctl((int)b, SHM_UNLOCK, NULL, 0), 0);
	mk_become(1001, 1001);
	CHECK_EQ(mk_ctl((int)a, SHM_UNLOCK, NULL, 0), -EPERM);
	port_current()->caps = MM_CAP_IPC_LOCK;
	CHECK_EQ(mk_ctl((int)a, SHM_LOCK, NULL, 0), 0);
	shm_end();
	return 0;
}

static void limits(void **state)
{
	(void)state;
	TM_RUN(limits_body);
	TM_RUN(lock_body, .swap_pages = 64);
}

/* ---- creators, namespaces --------------------------------------------------
 */

static int orphans_body(void *arg)
{
	struct shm_limits l, off;
	struct mm_task *self = port_current();
	struct shm_ns *ns;
	s64 a, b, c, at;

	(void)arg;
	shm_begin();
	mk_become(0, 0);
	shm_get_limits(NULL, &off);
	l = off;
	l.rmid_forced = 1;
	a = mk_get(1, 1, IPC_CREAT | 0600);
	b = mk_get(2, 1, IPC_CREAT | 0600);
	at = mk_at((int)b, 0, 0);
	/* Not forced: the creator's exit is nothing. */
	shm_task_exit(NULL, self);
	CHECK_EQ(mk_get(1, 1, 0), a);
	CHECK_EQ(mm_sysctl_set("kernel.shm_rmid_forced", "2"), -ERANGE);
	CHECK_EQ(mk_get(1, 1, 0), a);
	CHECK_EQ(mm_sysctl_set("kernel.shm_rmid_forced", "1"), 0);
	CHECK_EQ(mk_get(1, 1, 0), -ENOENT);
	/* And by a call, of what became an orphan in between. */
	CHECK_EQ(mm_sysctl_set("kernel.shm_rmid_forced", "0"), 0);
	CHECK(mk_get(1, 1, IPC_CREAT | 0600) >= 0);
	shm_task_exit(NULL, self);
	CHECK_EQ(shm_set_limits(NULL, &l), 0);
	CHECK_EQ(mk_get(1, 1, 0), -ENOENT);
	CHECK_EQ(mk_get(2, 1, 0), b);
	CHECK_EQ(mk_dt((u64)at), 0);
	CHECK_EQ(mk_get(2, 1, 0), -ENOENT);
	/* Forced: its segments go with it, mapped ones later. */
	a = mk_get(1, 1, IPC_CREAT | 0600);
	c = mk_get(3, 1, IPC_CREAT | 0600);
	at = mk_at((int)c, 0, 0);
	shm_task_exit(NULL, self);
	CHECK_EQ(mk_get(1, 1, 0), -ENOENT);
	CHECK_EQ(mk_get(3, 1, 0), c);
	CHECK_EQ(mk_dt((u64)at), 0);
	CHECK_EQ(mk_get(3, 1, 0), -ENOENT);
	CHECK_EQ(shm_set_limits(NULL, &off), 0);
	/* Another namespace: other keys, gone with its last mapping. */
	a = mk_get(1, 1, IPC_CREAT | 0600);
	ns = shm_ns_create();
	CHECK(ns != NULL);
	me.ns = ns;
	CHECK_EQ(mk_get(1, 1, 0), -ENOENT);
	CHECK(mk_get(1, 1, IPC_CREAT | 0600) >= 0);
	b = mk_get(2, P(1), IPC_CREAT | 0600);
	at = mk_at((int)b, 0, 0);
	shm_check(ns);
	shm_ns_put(ns);
	me.ns = NULL;
	tm_store((uva_t)at, 5);
	CHECK_EQ(cache_sys.shmem.kernel->used_inodes, 2);
	CHECK_EQ(mk_dt((u64)at), 0);
	CHECK_EQ(cache_sys.shmem.kernel->used_inodes, 1);
	CHECK_EQ(mk_get(1, 1, 0), a);
	shm_end();
	return 0;
}

static void orphans(void **state)
{
	(void)state;
	TM_RUN(orphans_body);
}

/* ---- what is shown ---------------------------------------------------------
 */

static int shown_body(void *arg)
{
	static char text[4096], want[512];
	struct seq_buf s;
	s64 id, at;

	(void)arg;
	shm_begin();
	mk_become(1000, 100);
	id = mk_get(0x1234, P(3), IPC_CREAT | 0640);
	at = mk_at((int)id, BASE, 0);
	tm_store((uva_t)at, 1);
	tm_store((uva_t)at + P(1), 1);
	sh_swap_out(find_vma(me.mm, (uva_t)at)->vm_file->f_inode, 1);
	mk_become(1001, 101);
	memset(text, 0, sizeof(text));
	seq_buf_init(&s, text, sizeof(text) - 1);
	CHECK_EQ(mm_show("/proc/sysvipc/shm", &s), 0);
	/* The header and a line as Linux 6.18 prints them. */
	snprintf(
		want, sizeof(want),
		"       key      shmid perms                  size  cpid  lpid "
		"nattch   uid   gid  cuid  cgid      atime      dtime      "
		"ctime                   rss                  swap\n"
		"      4660 %10lld   640                 12288     1     1      "
		"1  1000   100  1000   100          2          0          2    "
		"              4096                  4096\n",
		(long long)id);
	if (strcmp(text, want))
		fprintf(stderr, "%s---\n%s", text, want);
	CHECK(!strcmp(text, want));
	memset(text, 0, sizeof(text));
	seq_buf_init(&s, text, sizeof(text) - 1);
	mm_task_register(port_current(), "shm");
	CHECK_EQ(mm_show("/proc/self/maps", &s), 0);
	mm_task_unregister(port_current());
	snprintf(want, sizeof(want),
		 "300000000000-300000003000 rw-s 00000000 00:01 %lld ",
		 (long long)id);
	CHECK(strstr(text, want) != NULL);
	CHECK(strstr(text, " /SYSV00001234 (deleted)\n") != NULL);
	shm_end();
	return 0;
}

static void shown(void **state)
{
	(void)state;
	TM_RUN(shown_body, .swap_pages = 64);
}

/* ---- every allocation fails ------------------------------------------------
 */

static int fail_body(void *arg)
{
	u64 fired = 0, objects;

	(void)arg;
	shm_begin();
	mk_become(0, 0);
	objects = kmem_cache_active(space_sys.vma_cache);
	for (u64 n = 2; n < 200; n++) {
		u64 committed = space_sys.committed;
		struct fail_result r;
		s64 id, at = 0;

		fail_arm_nth(FAIL_ALL, n / 2, n & 1);
		fail_only_task(port_current());
		id = mk_get(5, P(2), IPC_CREAT | 0600);
		if (id >= 0)
			at = mk_at((int)id, 0, 0);
		r = fail_disarm();
		fired += r.fired;
		CHECK(id >= 0 || (id == -ENOMEM && r.fired));
		CHECK(at >= 0 || (at == -ENOMEM && r.fired));
		shm_check(NULL);
		if (at > 0)
			CHECK_EQ(mk_dt((u64)at), 0);
		epoch_drain();
		CHECK_EQ(kmem_cache_active(space_sys.vma_cache), objects);
		if (id >= 0)
			CHECK_EQ(mk_ctl((int)id, IPC_RMID, NULL, 0), 0);
		CHECK_EQ(space_sys.committed, committed);
		CHECK_EQ(cache_sys.shmem.kernel->used_inodes, 0);
		if (!r.fired)
			break;
	}
	CHECK(fired > 8);
	shm_end();
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(fail_body);
}

/* ---- races -----------------------------------------------------------------
 */

#define RACERS 3

static u64 race_seed;

/* Attach, write, read, detach, fork, remove and make anew, by one key. */
static void racer(void *arg)
{
	struct shm_caller c = {.mm = tm_mm()};
	struct mm_struct *child;
	struct prng r;

	prng_seed(&r, race_seed * 10 + (u64)(uintptr_t)arg);
	mm_task_register(port_current(), "racer");
	mm_task_exec(c.mm);
	for (u32 i = 0; i < 40; i++) {
		s64 id = do_shmget(&c, 1, P(2), IPC_CREAT | 0600), at;

		CHECK(id >= 0);
		at = do_shmat(&c, (int)id, 0, 0);
		if (at < 0) {
			CHECK(at == -EIDRM || at == -EINVAL);
			continue;
		}
		tm_store((uva_t)at, (u64)id);
		CHECK_EQ(tm_load((uva_t)at), (u64)id);
		if (prng_one_in(&r, 4))
			(void)do_shmctl(&c, (int)id, IPC_RMID, 0);
		if (prng_one_in(&r, 4)) {
			CHECK_EQ(mm_fork(c.mm, &child), 0);
			mm_put(child);
		}
		CHECK_EQ(tm_load((uva_t)at), (u64)id);
		if (!prng_one_in(&r, 4))
			CHECK_EQ(do_shmdt(&c, (uva_t)at), 0);
	}
	mm_task_exit(port_current());
	mm_task_unregister(port_current());
}

static int race_body(void *arg)
{
	struct port_thread *t[RACERS];

	(void)arg;
	for (int i = 0; i < RACERS; i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "racer", i % tm.cfg.cpus,
					     racer, (void *)(uintptr_t)i),
			 0);
	for (int i = 0; i < RACERS; i++)
		port_thread_join(t[i]);
	shm_begin();
	shm_end();
	return 0;
}

static void races(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 2000 : 40);

	(void)state;
	for (race_seed = seed; race_seed < seed + n; race_seed++)
		TM_RUN(race_body, .cpus = 1 + (int)(race_seed % 3),
		       .seed = race_seed, .explore = race_seed % 4 != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_linux), cmocka_unit_test(life),
		cmocka_unit_test(limits),   cmocka_unit_test(orphans),
		cmocka_unit_test(shown),    cmocka_unit_test(failing),
		cmocka_unit_test(races),
	};

	return cmocka_run_group_tests_name("shm", tests, NULL, NULL);
}
