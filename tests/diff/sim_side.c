/* SPDX-License-Identifier: MIT */
/*
 * sim_side.c - sequences on mmkit, in the simulated machine: calls by the
 * interface of include/mmkit/mm.h, touches through the software MMU.
 *
 * One thread plays all processes in turn: it leaves one address space and
 * enters the other, as at a switch.
 */
#include "sim_machine.h"

#include "difflib.h"

/* What a kernel's table of system calls would know of the running process. */
struct side {
	struct mm_struct *mm[DIFF_MAX_PROCS];
	uint32_t running;
	struct diff_result *res;
	uint64_t *blob;
	uint32_t blob_used;
	bool parted; /* what comes is not comparable */
};

static struct side side;

/* ---- snapshots -------------------------------------------------------------
 */

static void put(uint64_t word)
{
	CHECK(side.blob_used < DIFF_BLOB);
	side.blob[side.blob_used++] = word;
}

static uint64_t vma_deep_flags(const struct vm_area_struct *vma)
{
	static const struct {
		u64 vm;
		enum diff_vf vf;
	} map[] = {
		{VM_READ, DIFF_VF_RD},	     {VM_WRITE, DIFF_VF_WR},
		{VM_EXEC, DIFF_VF_EX},	     {VM_SHARED, DIFF_VF_SH},
		{VM_MAYREAD, DIFF_VF_MR},    {VM_MAYWRITE, DIFF_VF_MW},
		{VM_MAYEXEC, DIFF_VF_ME},    {VM_GROWSDOWN, DIFF_VF_GD},
		{VM_LOCKED, DIFF_VF_LO},     {VM_SEQ_READ, DIFF_VF_SR},
		{VM_RAND_READ, DIFF_VF_RR},  {VM_DONTCOPY, DIFF_VF_DC},
		{VM_DONTEXPAND, DIFF_VF_DE}, {VM_ACCOUNT, DIFF_VF_AC},
		{VM_NORESERVE, DIFF_VF_NR},  {VM_WIPEONFORK, DIFF_VF_WF},
		{VM_NOHUGEPAGE, DIFF_VF_NH},
	};
	uint64_t f = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (vma->vm_flags & map[i].vm)
			f |= 1ul << map[i].vf;
	return f;
}

static void put_maps(struct mm_struct *mm, bool deep)
{
	uint32_t at = side.blob_used;
	struct vm_area_struct *vma;

	put(0);
	for_each_vma (vma, mm) {
		if (vma->vm_start < DIFF_LOW_END)
			continue;
		put(vma->vm_start);
		/* VM_READ .. VM_SHARED have these numbers. */
		put(vma->vm_end | (vma->vm_flags & 0xf));
		put(deep ? vma_deep_flags(vma) : 0);
		side.blob[at]++;
	}
}

static void put_page_at(const struct vm_area_struct *vma, uva_t addr, pte_t e)
{
	bool zero = pte_present(e) && pte_special(e);

	put(addr | (zero ? DIFF_PG_ZERO : 0) |
	    (pte_present(e) ? 0 : DIFF_PG_SWAP));
	put(zero || !pte_present(e) || !(vma->vm_flags & VM_ACCESS_FLAGS)
		    ? 0
		    : diff_hash(page_view(pfn_to_page(pte_pfn(e)))));
}

static void put_pages_of(struct mm_struct *mm, struct vm_area_struct *vma,
			 uint64_t *count)
{
	uva_t addr = vma->vm_start;
	struct pt_slot slot;

	while (addr < vma->vm_end) {
		if (!pt_lookup(&mm->pt, addr, &slot)) {
			addr = pt_skip(&mm->pt, addr, vma->vm_end);
			continue;
		}
		if (!pte_none(pt_get(&slot))) {
			put_page_at(vma, addr, pt_get(&slot));
			++*count;
		}
		addr += PAGE_SIZE;
	}
}

static void put_pages(struct mm_struct *mm)
{
	uint32_t at = side.blob_used;
	struct vm_area_struct *vma;

	put(0);
	for_each_vma (vma, mm)
		if (vma->vm_start >= DIFF_LOW_END)
			put_pages_of(mm, vma, &side.blob[at]);
}

static void sim_snapshot(struct diff_result *r, bool pages, bool deep)
{
	struct mm_struct *mm = side.mm[side.running];

	if (pages)
		mm_check(mm);
	r->blob = side.blob_used;
	down_read(&mm->mmap_lock);
	put_maps(mm, deep);
	if (pages)
		put_pages(mm);
	up_read(&mm->mmap_lock);
	r->words = side.blob_used - r->blob;
}

/* ---- touches
 * ------------------------------------------------------------------- */

static bool canonical(uva_t va)
{
	return (s64)(va << 16) >> 16 == (s64)va;
}

/* The word at VA, or NULL with the signal in R. */
static void *touch(uva_t va, unsigned access, struct diff_result *r)
{
	u32 error = PF_ERR_USER | (access == SIM_WRITE ? PF_ERR_WRITE : 0) |
		    (access == SIM_EXEC ? PF_ERR_INSTR : 0);
	struct mm_siginfo info;
	int sig = 0;
	void *p = sim_user(va, access, &sig);

	if (p)
		return p;
	/* The world's hook gets the number alone: ask the manager for more. */
	CHECK_EQ(mm_user_fault_info(port_current(), va, error, &info), sig);
	r->sig = sig;
	r->code = info.code;
	r->addr = info.addr;
	/* The CPU itself refuses such an address: general protection. */
	if (!canonical(va)) {
		r->code = 0x80; /* SI_KERNEL */
		r->addr = 0;
	}
	return NULL;
}

static void touch_write(uva_t va, uint64_t v, struct diff_result *r)
{
	uint64_t *p = touch(va, SIM_WRITE, r);

	if (p)
		*p = v;
}

static void touch_exec(uva_t va, struct diff_result *r)
{
	uint8_t *p = touch(va, SIM_READ, r);

	if (p && *p != 0xc3)
		r->ret = 1;
	else if (p)
		touch(va, SIM_EXEC, r);
}

/* ---- calls
 * --------------------------------------------------------------------- */

static struct mm_struct *new_space(void)
{
	const struct diff_host *h = linux_host();
	u64 data = PAGE_SIZE * h->data_pages;
	struct mm_layout l = {
		.task_size = DIFF_TASK_SIZE,
		.mmap_base = DIFF_MMAP_BASE,
		.start_brk = DIFF_HEAP,
		.stack_top = DIFF_TASK_SIZE,
	};
	int flags = TM_ANON | MAP_FIXED | MAP_NORESERVE;
	struct mm_struct *mm = NULL;

	CHECK_EQ(mm_create(&l, &mm), 0);
	/* In place of the executor: as large, as much of it data. */
	CHECK_EQ(do_mmap(mm, h->min_addr, data, PROT_READ | PROT_WRITE, flags),
		 h->min_addr);
	CHECK_EQ(do_mmap(mm, h->min_addr + data,
			 DIFF_LOW_END - data - h->min_addr, PROT_NONE, flags),
		 h->min_addr + data);
	return mm;
}

static void set_limit(struct mm_struct *mm, const struct diff_op *op)
{
	u64 v = op->arg[1];

	switch (op->arg[0]) {
	case 2:
		mm->rlimit_data =
			v == ~0ul ? v
				  : v + linux_host()->data_pages * PAGE_SIZE;
		break;
	case 3:
		mm->rlimit_stack = v;
		break;
	case 9:
		mm->rlimit_as = v;
		break;
	default:
		break;
	}
}

static void run_in(uint32_t proc)
{
	if (side.running == proc)
		return;
	tm_use(side.mm[proc]);
	side.running = proc;
}

/* Does a mapping cross AT? */
static bool crossed(struct mm_struct *mm, uva_t at)
{
	struct vm_area_struct *vma = find_vma(mm, at);

	return vma && vma->vm_start < at;
}

/*
 * Normalised: when MAP_FIXED fails for a limit, Linux (6.12 and later) has cut
 * the mappings at the ends of the range already, and leaves them so; mmkit has
 * changed nothing. From there on the two are not compared.
 */
static s64 sim_mmap(struct mm_struct *mm, const uint64_t *a)
{
	s64 ret = do_mmap(mm, a[0], a[1], (int)a[2], (int)a[3]);
	u64 len = PAGE_ALIGN(a[1]);

	if (ret != -ENOMEM || !(a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) ||
	    !len || len > DIFF_TASK_SIZE)
		return ret;
	/* Normalised: Linux takes such an address for an error of its own. */
	if (a[0] > ~0ul - 4095)
		return (s64)a[0];
	if (a[0] <= DIFF_TASK_SIZE - len && !(a[3] & MAP_FIXED_NOREPLACE)) {
		down_read(&mm->mmap_lock);
		side.parted |= crossed(mm, a[0]) || crossed(mm, a[0] + len);
		up_read(&mm->mmap_lock);
	}
	return ret;
}

/* The end of what is mapped alike from START on, at most END; START: nothing
 * is mapped there. */
static uva_t mapped_end(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *vma;

	down_read(&mm->mmap_lock);
	vma = find_vma(mm, start);
	end = vma && vma->vm_start <= start ? min(vma->vm_end, end) : start;
	up_read(&mm->mmap_lock);
	return end;
}

/* Where the first mapping that ends beyond AT begins, also in *START. */
static uva_t stack_start(struct mm_struct *mm, uva_t at, uva_t *start)
{
	struct vm_area_struct *vma;

	down_read(&mm->mmap_lock);
	vma = find_vma(mm, at);
	*start = vma ? vma->vm_start : ~0ul;
	up_read(&mm->mmap_lock);
	return *start;
}

/*
 * Normalised: when mprotect(2) fails at a hole or a limit, Linux has changed
 * the mappings before it, mmkit nothing. Make up for it.
 */
static s64 sim_mprotect(struct mm_struct *mm, const uint64_t *a)
{
	s64 err = do_mprotect(mm, a[0], a[1], (int)a[2]);
	uva_t at = a[0], end = a[0] + PAGE_ALIGN(a[1]), to;

	if (err != -ENOMEM || end <= at)
		return err;
	/* The range begins where the stack does. */
	if (a[2] & PROT_GROWSDOWN && stack_start(mm, at, &at) >= end)
		return err;
	while (at < end && (to = mapped_end(mm, at, end)) > at &&
	       do_mprotect(mm, at, to - at, (int)a[2] & ~PROT_GROWSDOWN) == 0)
		at = to;
	return err;
}

static s64 sim_call(struct mm_struct *mm, const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	switch (op->call) {
	case OP_MMAP:
		return sim_mmap(mm, a);
	case OP_MUNMAP:
		return do_munmap(mm, a[0], a[1]);
	case OP_MPROTECT:
		return sim_mprotect(mm, a);
	case OP_MREMAP:
		return do_mremap(mm, a[0], a[1], a[2], (int)a[3], a[4]);
	case OP_BRK:
		return (s64)do_brk(mm, a[0]);
	case OP_MADVISE:
		return do_madvise(mm, a[0], a[1], (int)a[2]);
	case OP_FORK:
		return mm_fork(mm, &side.mm[a[0]]);
	default:
		return 0;
	}
}

static void sim_op(const struct diff_op *op, struct diff_result *r)
{
	struct mm_struct *mm = side.mm[op->proc];
	uint64_t *p;

	run_in(op->proc);
	switch (op->call) {
	case OP_READ:
		p = touch(op->arg[0], SIM_READ, r);
		r->ret = p ? (s64)*p : 0;
		break;
	case OP_WRITE:
		touch_write(op->arg[0], op->arg[1], r);
		break;
	case OP_PLANT:
		touch_write(op->arg[0], 0xc3c3c3c3c3c3c3c3ul, r);
		break;
	case OP_EXEC:
		touch_exec(op->arg[0], r);
		break;
	case OP_EXIT:
		tm_use(NULL);
		side.running = DIFF_MAX_PROCS;
		mm_put(mm);
		side.mm[op->proc] = NULL;
		break;
	case OP_RLIMIT:
		set_limit(mm, op);
		break;
	case OP_MAPS:
	case OP_CHECK:
	case OP_DEEP:
		sim_snapshot(r, op->call != OP_MAPS, op->call == OP_DEEP);
		break;
	default:
		r->ret = sim_call(mm, op);
	}
}

void sim_perform(const struct seq *s, struct outcome *out)
{
	static struct diff_result res[DIFF_MAX_OPS];
	static uint64_t blob[DIFF_BLOB];

	memset(res, 0, s->nr * sizeof(res[0]));
	memset(&side, 0, sizeof(side));
	side.res = out->res = res;
	side.blob = out->blob = blob;
	side.mm[0] = new_space();
	side.running = DIFF_MAX_PROCS;
	for (out->nr = 0; out->nr < s->nr && !side.parted; out->nr++)
		sim_op(&s->op[out->nr], &res[out->nr]);
	tm_use(NULL);
	for (uint32_t p = 0; p < DIFF_MAX_PROCS; p++)
		if (side.mm[p])
			mm_put(side.mm[p]);
}

/* ---- the machine
 * ----------------------------------------------------------------- */

struct session {
	int (*fn)(void *arg);
	void *arg;
};

static int session_body(void *arg)
{
	struct session *s = arg;

	space_sys.mmap_min_addr = linux_host()->min_addr;
	return s->fn(s->arg);
}

int sim_session(uint64_t seed, int (*fn)(void *arg), void *arg)
{
	struct session s = {fn, arg};

	/* More than any writable mapping but those that nobody may have. */
	return TM_RUN(session_body, .arg = &s, .seed = seed, .mem = 64ul << 30);
}
