/* SPDX-License-Identifier: MIT */
/*
 * Segmentation against a real CPU: a virtual one of /dev/kvm in 32-bit
 * protected mode gets random tables and does one thing with them; what it
 * does, the model must have said: exception and error code, or registers,
 * hidden parts, linear address, accessed bits and what was pushed.
 *
 * Rows are skipped, with the reason, where /dev/kvm is missing or refuses. One
 * thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/segment_cpu.h"
#include "arch/segment_linux.h"
#include "base_seed.h"

#define RAM	    0x100000u
#define GDT	    0x1000u
#define LDT	    0x2000u
#define IDT	    0x3000u
#define TSS	    0x4000u
#define TABLES_END  0x5000u
#define HANDLERS    0x5000u
#define CODE	    0x6000u
#define LANDING	    0x6800u
#define STACK0	    0x8000u
#define STACK1	    0x9000u
#define STACK	    0xa000u
#define ARENA	    0x10000u
#define DONE	    0x80 /* the port that says so */
#define SOFT_VECTOR 0x40

/* GDT: flat code and data of rings 0 and 3, then what is random. */
#define I_KCODE	 1
#define I_KDATA	 2
#define I_UCODE	 3
#define I_UDATA	 4
#define I_TSS	 5
#define I_LDT	 6
#define I_RANDOM 16
#define I_TARGET 17
#define I_STACK1 18
#define I_LAST	 31

enum op {
	OP_LOAD,
	OP_REF,
	OP_JUMP,
	OP_CALL,
	OP_RET,
	OP_IRET,
	OP_INT,
	OP_LAR,
	OP_LSL,
	OP_VERR,
	OP_VERW,
	OP_LLDT,
	OP_LTR,
	NR_OPS
};

static const char *const op_names[NR_OPS] = {
	"load", "reference", "far jump", "far call", "far return",
	"iret", "int n",     "lar",	 "lsl",	     "verr",
	"verw", "lldt",	     "ltr"};

struct trial {
	enum op op;
	enum seg_id reg;
	u16 sel;    /* what is loaded, or gone to */
	u32 offset; /* of the reference or the target */
	struct seg_ref ref;
	struct seg_return ret;
};

/* What came of it, on either side. */
struct outcome {
	bool fault;
	u8 vector;
	u16 error;
	bool flag; /* ZF */
	u32 value; /* of LAR and LSL; of a read */
	u64 linear;
};

static struct {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	u8 *ram;
	struct kvm_sregs sregs; /* as the CPU came */
	const char *why_not;
} vm = {.kvm = -1, .vm = -1, .vcpu = -1};

static u8 model_ram[TABLES_END];
static struct seg_windows windows = {1, {{0, TABLES_END, model_ram}}};
static const struct seg_mem memory = {seg_windows_read, seg_windows_write,
				      &windows};
static struct seg_cpu model;
static struct seg_xfer xfer;
static u64 tried[NR_OPS], faulted[NR_OPS];
static bool runs[NR_OPS];
static bool interprets; /* protected-mode code is not run by the CPU itself */
static u64 given_up[NR_OPS];

/* ---- the virtual machine ------------------------------------------------ */

static void on_alarm(int sig)
{
	(void)sig;
}

static bool refuses(const char *why)
{
	vm.why_not = why;
	return false;
}

static bool vm_open(void)
{
	struct kvm_userspace_memory_region region = {.memory_size = RAM};
	struct sigaction act = {.sa_handler = on_alarm};
	int size;

	vm.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm.kvm < 0)
		return refuses("/dev/kvm cannot be opened");
	if (ioctl(vm.kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION ||
	    ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0)
		return refuses("/dev/kvm is of another version");
	vm.vm = ioctl(vm.kvm, KVM_CREATE_VM, 0);
	if (vm.vm < 0)
		return refuses("no virtual machine can be made");
	vm.vcpu = ioctl(vm.vm, KVM_CREATE_VCPU, 0);
	if (vm.vcpu < 0)
		return refuses("no virtual CPU can be made");
	size = ioctl(vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm.run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      vm.vcpu, 0);
	vm.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vm.run == MAP_FAILED || vm.ram == MAP_FAILED)
		return refuses("no memory for a virtual machine");
	region.userspace_addr = (uintptr_t)vm.ram;
	if (ioctl(vm.vm, KVM_SET_USER_MEMORY_REGION, &region) ||
	    ioctl(vm.vcpu, KVM_GET_SREGS, &vm.sregs))
		return refuses("/dev/kvm does not take memory");
	sigaction(SIGALRM, &act, NULL);
	return true;
}

static struct kvm_segment to_kvm(const struct seg_reg *r)
{
	struct kvm_segment k = {.base = r->hid.base,
				.limit = r->hid.limit,
				.selector = r->sel,
				.type = r->hid.type,
				.present = r->hid.present,
				.dpl = r->hid.dpl,
				.db = r->hid.db,
				.s = seg_is_memory(&r->hid),
				.l = r->hid.lmode,
				.g = r->hid.gran,
				.avl = r->hid.avl,
				.unusable = !r->usable};

	return k;
}

static void vm_set(const struct trial *t)
{
	struct kvm_sregs s = vm.sregs;
	struct kvm_segment *at[] = {&s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs};
	struct kvm_regs r = {.rip = CODE,
			     .rsp = model.sp,
			     .rflags = model.flags,
			     .rax = t->sel,
			     .rbx = (u32)t->ref.offset,
			     .rcx = 0x55aa55aa,
			     .rdx = 0xdddddddd};

	for (int i = 0; i < SEG_NR_REGS; i++)
		*at[i] = to_kvm(&model.sr[i]);
	s.ldt = to_kvm(&model.ldtr);
	s.tr = to_kvm(&model.tr);
	s.gdt = (struct kvm_dtable){.base = GDT, .limit = model.gdtr.limit};
	s.idt = (struct kvm_dtable){.base = IDT, .limit = model.idtr.limit};
	s.cr0 = 0x31; /* PE, ET, NE: no paging, linear is physical */
	s.cr4 = 0;
	s.efer = 0;
	assert_int_equal(ioctl(vm.vcpu, KVM_SET_SREGS, &s), 0);
	assert_int_equal(ioctl(vm.vcpu, KVM_SET_REGS, &r), 0);
}

/* An exit is over only when the vCPU has been entered again. */
static void vm_complete(void)
{
	int ret;

	vm.run->immediate_exit = 1;
	do {
		ret = ioctl(vm.vcpu, KVM_RUN, 0);
	} while (ret == 0);
	assert_int_equal(errno, EINTR);
	vm.run->immediate_exit = 0;
}

/* Run to the exit; which exit, and in *LINEAR where a reference left RAM. */
static int vm_run(u64 *linear)
{
	alarm(10);
	if (ioctl(vm.vcpu, KVM_RUN, 0)) {
		fprintf(stderr, "KVM_RUN: %s\n", strerror(errno));
		return -1;
	}
	alarm(0);
	if (vm.run->exit_reason == KVM_EXIT_MMIO) {
		*linear = vm.run->mmio.phys_addr;
		vm_complete();
		return DONE;
	}
	if (vm.run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		return X86_TRAP_UD;
	if (vm.run->exit_reason != KVM_EXIT_IO) {
		fprintf(stderr, "exit %u\n", vm.run->exit_reason);
		return -1;
	}
	vm_complete();
	return vm.run->io.port;
}

static void vm_close(void)
{
	if (vm.vcpu >= 0)
		close(vm.vcpu);
	if (vm.vm >= 0)
		close(vm.vm);
	if (vm.kvm >= 0)
		close(vm.kvm);
}

/* ---- a random machine --------------------------------------------------- */

static u64 *entry(u32 table, u32 index)
{
	return (u64 *)(vm.ram + table) + index;
}

static void put(u32 table, u32 index, struct seg_desc d)
{
	assert_int_equal(seg_encode(&d, false, entry(table, index)), 1);
}

static struct seg_desc gate(enum seg_kind kind, u8 dpl, u16 target, u32 offset)
{
	return (struct seg_desc){.kind = kind,
				 .dpl = dpl,
				 .present = true,
				 .target = target,
				 .offset = offset};
}

/* The parts that every trial starts from. */
static void fixed_tables(void)
{
	struct x86_tss32 *tss = (struct x86_tss32 *)(vm.ram + TSS);
	struct seg_desc d;

	memset(vm.ram, 0, ARENA);
	put(GDT, I_KCODE, seg_flat(SEG_KIND_CODE, 0, false));
	put(GDT, I_KDATA, seg_flat(SEG_KIND_DATA, 0, false));
	put(GDT, I_UCODE, seg_flat(SEG_KIND_CODE, 3, false));
	put(GDT, I_UDATA, seg_flat(SEG_KIND_DATA, 3, false));
	d = seg_system(SEG_KIND_TSS32, TSS, 104);
	d.type = SEG_T_BUSY;
	put(GDT, I_TSS, d);
	put(GDT, I_LDT, seg_system(SEG_KIND_LDT, LDT, 32 * 8));
	x86_tss32_init(tss, I_KDATA * 8, STACK0);
	tss->ss1 = I_STACK1 * 8 | 1;
	tss->sp1 = STACK1;
	for (u32 v = 0; v < 32; v++) {
		put(IDT, v,
		    gate(SEG_KIND_INTR32, 0, I_KCODE * 8, HANDLERS + v * 16));
		memcpy(vm.ram + HANDLERS + v * 16, (u8[]){0xe6, (u8)v, 0xf4},
		       3);
	}
	memcpy(vm.ram + LANDING, (u8[]){0xe6, DONE, 0xf4}, 3);
}

/* A memory segment: mostly what could work for ring CPL, near ADDR. */
static struct seg_desc random_segment(struct prng *r, u8 cpl, u32 offset,
				      u32 addr)
{
	struct seg_desc d = {
		.kind = prng_one_in(r, 3) ? SEG_KIND_CODE : SEG_KIND_DATA,
		.dpl = prng_one_in(r, 4) ? (u8)prng_below(r, 4) : cpl,
		.present = !prng_one_in(r, 8),
		.gran = prng_one_in(r, 2),
		.db = !prng_one_in(r, 4),
		.avl = prng_one_in(r, 2),
		.base = addr - offset};
	u32 edge = offset + (u32)prng_below(r, 12) - 6;

	d.type = (u8)prng_below(r, 8);
	if (d.kind == SEG_KIND_CODE)
		d.type |= SEG_T_CODE;
	d.limit = prng_one_in(r, 3) ? edge : prng_u32(r) >> prng_below(r, 32);
	if (d.gran)
		d.limit |= 0xfff;
	else
		d.limit &= 0xfffff;
	if (prng_one_in(r, 16))
		d.base = prng_u32(r);
	return d;
}

static u16 random_sel(struct prng *r, u32 index, u8 cpl)
{
	u16 sel = seg_sel(index, prng_one_in(r, 4),
			  prng_one_in(r, 4) ? (u32)prng_below(r, 4) : cpl);

	if (prng_one_in(r, 16))
		sel = (u16)prng_below(r, 4);
	if (prng_one_in(r, 16))
		sel = (u16)(prng_range(r, 9, 40) << 3 | (sel & 7));
	return sel;
}

/* Both tables have the same thing, so that TI alone decides which is read. */
static void put_both(u32 index, struct seg_desc d)
{
	put(GDT, index, d);
	put(LDT, index, d);
}

static void put_raw_both(u32 index, u64 raw)
{
	*entry(GDT, index) = raw;
	*entry(LDT, index) = raw;
}

/* The model's CPU, from which the virtual one is set too. */
static void model_boot(u8 cpl, struct prng *r)
{
	struct seg_return ret = {.cs = seg_sel(cpl ? I_UCODE : I_KCODE, 0, cpl),
				 .ss = seg_sel(cpl ? I_UDATA : I_KDATA, 0, cpl),
				 .ip = CODE,
				 .sp = STACK};

	memcpy(model_ram, vm.ram, TABLES_END);
	seg_cpu_init(&model, &memory);
	model.pe = true;
	model.gdtr = (struct seg_dtr){GDT, I_LAST * 8 + 7};
	model.idtr = (struct seg_dtr){IDT, 256 * 8 - 1};
	if (prng_one_in(r, 16))
		model.gdtr.limit = (u16)(I_RANDOM * 8 + prng_below(r, 24));
	model.tr = (struct seg_reg){I_TSS * 8, true, {0}};
	(void)seg_decode(entry(GDT, I_TSS), false, &model.tr.hid);
	assert_int_equal(seg_lldt(&model, I_LDT * 8), 0);
	if (prng_one_in(r, 16))
		model.ldtr.hid.limit = (u32)(I_RANDOM * 8 + prng_below(r, 24));
	assert_int_equal(seg_far_return(&model, &ret), 0);
	assert_int_equal(seg_load(&model, SEG_SS, ret.ss), 0);
	for (int i = 0; i < SEG_NR_REGS; i++) {
		if (i != SEG_CS && i != SEG_SS)
			assert_int_equal(seg_load(&model, i, ret.ss), 0);
	}
	model.sp = STACK;
	model.ip = CODE;
	model.flags = 2 | X86_FLAGS_IOPL; /* ring 3 may say DONE */
	memcpy(vm.ram, model_ram, TABLES_END);
}

/* ---- trials ------------------------------------------------------------- */

static u8 *emit(u8 *at, const void *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

static void plan_ref(struct trial *t, struct prng *r, u8 cpl)
{
	static const u8 sizes[] = {1, 2, 4};

	t->ref.size = sizes[prng_below(r, 3)];
	t->ref.access = prng_one_in(r, 2) ? SEG_READ : SEG_WRITE;
	t->ref.offset = prng_one_in(r, 4) ? 0xfffffff0 + prng_below(r, 8)
					  : prng_u32(r) >> prng_below(r, 32);
	put_both(I_RANDOM,
		 random_segment(r, cpl, (u32)t->ref.offset,
				ARENA + (u32)prng_below(r, RAM - ARENA - 8)));
}

/* A code segment whose OFFSET is the landing, for transfers. */
static struct seg_desc random_code(struct prng *r, u8 dpl, u32 offset)
{
	struct seg_desc d = random_segment(r, dpl, offset, LANDING);

	d.base = LANDING - offset;
	if (!prng_one_in(r, 6)) {
		d.kind = SEG_KIND_CODE;
		d.type |= SEG_T_CODE;
		if (prng_one_in(r, 2))
			d.limit = 0xffffffff, d.gran = true;
	}
	return d;
}

static void plan_far(struct trial *t, struct prng *r, u8 cpl)
{
	static const u8 kinds[] = {SEG_KIND_CALL32, SEG_KIND_CALL32,
				   SEG_KIND_CALL32, SEG_KIND_INTR32,
				   SEG_KIND_LDT};
	u8 dpl = cpl;
	struct seg_desc s, g;

	t->offset = prng_u32(r) >> (16 + prng_below(r, 16));
	if (prng_one_in(r, 2)) {
		put_both(I_RANDOM, random_code(r, cpl, t->offset));
		return;
	}
	if (cpl == 3 && !prng_one_in(r, 3))
		dpl = 1;
	put_both(I_TARGET, random_code(r, dpl, t->offset));
	s = seg_flat(SEG_KIND_DATA, 1, false);
	if (prng_one_in(r, 4))
		s = random_segment(r, 1, STACK1, STACK1);
	s.base = 0;
	put(GDT, I_STACK1, s);
	if (prng_one_in(r, 8))
		((struct x86_tss32 *)(vm.ram + TSS))->ss1 =
			random_sel(r, I_STACK1, 1) & ~SEG_SEL_TI;
	g = gate(kinds[prng_below(r, 5)],
		 prng_one_in(r, 4) ? (u8)prng_below(r, 4) : 3,
		 random_sel(r, I_TARGET, cpl), t->offset);
	g.present = !prng_one_in(r, 8);
	if (g.kind == SEG_KIND_CALL32 && prng_one_in(r, 2))
		g.params = (u8)prng_below(r, 32);
	if (g.kind == SEG_KIND_LDT)
		g = seg_system(SEG_KIND_LDT, 0, 8);
	put_both(I_RANDOM, g);
}

static void plan_return(struct trial *t, struct prng *r, u8 cpl)
{
	u8 to = prng_one_in(r, 2) ? cpl : 3;
	u32 *stack = (u32 *)(vm.ram + STACK);
	u32 n = 0;
	struct seg_desc s = seg_flat(SEG_KIND_DATA, to, false);

	t->offset = prng_u32(r) >> (16 + prng_below(r, 16));
	put_both(I_RANDOM, random_code(r, to, t->offset));
	if (prng_one_in(r, 3))
		s = random_segment(r, to, 0x100, ARENA);
	put_both(I_TARGET, s);
	t->ret = (struct seg_return){.iret = t->op == OP_IRET,
				     .cs = random_sel(r, I_RANDOM, to),
				     .ss = random_sel(r, I_TARGET, to),
				     .ip = t->offset,
				     .sp = 0xb000,
				     .flags = 2 | X86_FLAGS_IOPL};
	stack[n++] = t->offset;
	stack[n++] = t->ret.cs;
	if (t->ret.iret)
		stack[n++] = (u32)t->ret.flags;
	stack[n++] = 0xb000;
	stack[n++] = t->ret.ss;
}

static void plan_int(struct trial *t, struct prng *r, u8 cpl)
{
	static const u8 kinds[] = {SEG_KIND_INTR32, SEG_KIND_TRAP32,
				   SEG_KIND_INTR32, SEG_KIND_CALL32};
	struct seg_desc g;

	plan_far(t, r, cpl);
	put_both(I_TARGET,
		 random_code(r, cpl == 3 && prng_one_in(r, 2) ? 1 : cpl,
			     t->offset));
	g = gate(kinds[prng_below(r, 4)],
		 prng_one_in(r, 4) ? (u8)prng_below(r, 4) : 3,
		 random_sel(r, I_TARGET, cpl), t->offset);
	g.present = !prng_one_in(r, 8);
	put(IDT, SOFT_VECTOR, g);
	if (prng_one_in(r, 16))
		*entry(IDT, SOFT_VECTOR) = 0;
}

/* Anything at all, for questions about descriptors, LLDT and LTR. */
static void plan_any(struct trial *t, struct prng *r, u8 cpl)
{
	u64 raw = prng_u64(r);

	if (!prng_one_in(r, 3))
		raw |= BIT(47);
	if (t->op == OP_LLDT || t->op == OP_LTR)
		raw = (raw & ~(0x1fUL << 40)) |
		      (prng_one_in(r, 4)   ? raw & (0x1fUL << 40)
		       : t->op == OP_LLDT  ? 2UL << 40
		       : prng_one_in(r, 2) ? 9UL << 40
					   : 11UL << 40);
	else if (prng_one_in(r, 2))
		raw = (raw & ~(3UL << 45)) | (u64)cpl << 45;
	put_raw_both(I_RANDOM, raw);
	if (t->op == OP_LLDT || t->op == OP_LTR)
		t->sel &= prng_one_in(r, 4) ? 0xffff : ~SEG_SEL_TI;
}

static struct trial plan(struct prng *r, u8 *cpl)
{
	static const u8 regs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS, SEG_SS};
	struct trial t = {.op = (enum op)prng_below(r, NR_OPS)};

	if (prng_one_in(r, 3))
		t.op = OP_REF;
	*cpl = prng_one_in(r, 2) ? 3 : 0;
	t.reg = regs[prng_below(r, 5)];
	/* In ring 0 a fault would be delivered on the stack that is tried. */
	if (t.op == OP_REF && t.reg == SEG_SS)
		*cpl = 3;
	t.sel = random_sel(r, I_RANDOM, *cpl);
	switch (t.op) {
	case OP_LOAD:
	case OP_REF:
		plan_ref(&t, r, *cpl);
		break;
	case OP_JUMP:
	case OP_CALL:
		plan_far(&t, r, *cpl);
		break;
	case OP_RET:
	case OP_IRET:
		plan_return(&t, r, *cpl);
		break;
	case OP_INT:
		plan_int(&t, r, *cpl);
		break;
	default:
		plan_any(&t, r, *cpl);
	}
	return t;
}

static u8 *emit_load(u8 *p, const struct trial *t)
{
	return emit(p, (u8[]){0x8e, (u8)(0xc0 | t->reg << 3)}, 2);
}

static u8 *emit_ref(u8 *p, const struct trial *t)
{
	static const u8 prefix[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
	u8 op = t->ref.access == SEG_READ ? 0x8a : 0x88;
	u8 modrm = t->ref.access == SEG_READ ? 0x13 : 0x0b; /* dx, cx */

	p = emit_load(p, t);
	*p++ = prefix[t->reg];
	if (t->ref.size == 2)
		*p++ = 0x66;
	*p++ = op + (t->ref.size > 1);
	*p++ = modrm;
	return p;
}

static void write_code(const struct trial *t)
{
	static const u8 system_code[NR_OPS][3] = {
		[OP_LAR] = {0x0f, 0x02, 0xd0},	[OP_LSL] = {0x0f, 0x03, 0xd0},
		[OP_VERR] = {0x0f, 0x00, 0xe0}, [OP_VERW] = {0x0f, 0x00, 0xe8},
		[OP_LLDT] = {0x0f, 0x00, 0xd0}, [OP_LTR] = {0x0f, 0x00, 0xd8},
	};
	u8 *p = vm.ram + CODE;

	switch (t->op) {
	case OP_LOAD:
		p = emit_load(p, t);
		break;
	case OP_REF:
		p = emit_ref(p, t);
		break;
	case OP_JUMP:
	case OP_CALL:
		*p++ = t->op == OP_JUMP ? 0xea : 0x9a;
		p = emit(p, &t->offset, 4);
		p = emit(p, &t->sel, 2);
		break;
	case OP_RET:
		*p++ = 0xcb;
		break;
	case OP_IRET:
		*p++ = 0xcf;
		break;
	case OP_INT:
		p = emit(p, (u8[]){0xcd, SOFT_VECTOR}, 2);
		break;
	default:
		p = emit(p, system_code[t->op], 3);
	}
	emit(p, (u8[]){0xe6, DONE, 0xf4}, 3);
}

/* What a call or INT has pushed as return address. */
static u32 after_instruction(const struct trial *t)
{
	return CODE + (t->op == OP_CALL ? 7 : 2);
}

/*
 * Some /dev/kvm interpret protected-mode code instead of running it, and know
 * few instructions. OP is tried on a descriptor that nothing is wrong with.
 */
static bool op_runs(enum op op)
{
	struct trial t = {.op = op, .sel = I_RANDOM * 8 | 3};
	struct prng r;
	u64 linear;

	prng_seed(&r, 3); /* no table is cut short */
	fixed_tables();
	put_both(I_RANDOM, seg_flat(SEG_KIND_DATA, 3, false));
	put(IDT, SOFT_VECTOR, gate(SEG_KIND_INTR32, 3, I_KCODE * 8, LANDING));
	if (op != OP_INT && (op < OP_LAR || op > OP_VERW))
		return 1;
	model_boot(3, &r);
	write_code(&t);
	vm_set(&t);
	return vm_run(&linear) == DONE;
}

/* ---- what the model says ------------------------------------------------ */

static int model_step(const struct trial *t, struct outcome *o)
{
	struct seg_event e = {SEG_EVENT_INT, SOFT_VECTOR, false, 0};

	xfer = (struct seg_xfer){0};
	switch (t->op) {
	case OP_LOAD:
		return seg_load(&model, t->reg, t->sel);
	case OP_REF:
		return seg_load(&model, t->reg, t->sel)
			       ?: seg_linear(&model, t->reg, &t->ref,
					     &o->linear);
	case OP_JUMP:
		return seg_far(&model, SEG_JUMP, t->sel, t->offset, &xfer);
	case OP_CALL:
		model.ip = after_instruction(t);
		return seg_far(&model, SEG_CALL, t->sel, t->offset, &xfer);
	case OP_RET:
	case OP_IRET:
		model.sp += t->op == OP_RET ? 8 : 12;
		return seg_far_return(&model, &t->ret);
	case OP_INT:
		model.ip = after_instruction(t);
		return seg_deliver(&model, &e, &xfer);
	case OP_LAR:
		return seg_lar(&model, t->sel, &o->flag, &o->value);
	case OP_LSL:
		return seg_lsl(&model, t->sel, &o->flag, &o->value);
	case OP_VERR:
	case OP_VERW:
		return seg_verify(&model, t->sel, t->op == OP_VERW, &o->flag);
	case OP_LLDT:
		return seg_lldt(&model, t->sel);
	default:
		return seg_ltr(&model, t->sel);
	}
}

/* After a transfer the landing, two bytes, must be inside the segment too. */
static int model_do(const struct trial *t, struct outcome *o)
{
	int ret = model_step(t, o);
	struct seg_ref landing = {model.ip, 2, SEG_FETCH};
	u64 linear;

	if (ret || t->op < OP_JUMP || t->op > OP_INT || xfer.task_switch)
		return ret;
	return seg_linear(&model, SEG_CS, &landing, &linear);
}

/* ---- comparing ---------------------------------------------------------- */

static int differs(const char *what, u64 real, u64 said)
{
	if (real == said)
		return 0;
	fprintf(stderr, "%s: CPU 0x%llx, model 0x%llx\n", what,
		(unsigned long long)real, (unsigned long long)said);
	return 1;
}

static int segment_differs(const char *what, const struct kvm_segment *k,
			   const struct seg_reg *r)
{
	int bad = differs(what, k->selector, r->sel);

	if (!r->usable)
		return bad | differs(what, k->unusable, 1);
	bad |= differs("base", k->base, r->hid.base);
	bad |= differs("limit", k->limit, r->hid.limit);
	bad |= differs("type", k->type, r->hid.type);
	bad |= differs("dpl", k->dpl, r->hid.dpl);
	return bad | differs("db", k->db, r->hid.db);
}

/* The memory that a reference reached, as the two sides see it. */
static int ref_differs(const struct trial *t, const struct outcome *said,
		       const struct outcome *real, const struct kvm_regs *r)
{
	u64 mask = t->ref.size == 4 ? 0xffffffff : BIT(8 * t->ref.size) - 1;
	u64 there = 0;

	/* Only some bytes outside: the exit is for the first of them. */
	if (real->linear)
		return said->linear < RAM - 4
			       ? true
			       : differs("linear", real->linear & ~3UL,
					 max(said->linear, RAM) & ~3UL);
	if (said->linear > RAM - 4)
		return differs("linear", 0, said->linear);
	memcpy(&there, vm.ram + said->linear, t->ref.size);
	if (t->ref.access == SEG_READ)
		return differs("read", r->rdx & mask, there);
	return differs("written", there, 0x55aa55aa & mask);
}

static int pushes_differ(const struct kvm_sregs *s, const struct kvm_regs *r)
{
	u32 n = xfer.nr_pushes, all = n + xfer.params;
	int bad = 0;

	for (u32 i = 0; i < n; i++) {
		/* Parameters lie below the old stack pointer. */
		u32 place = xfer.params && i >= 2 ? i + xfer.params : i;
		u64 at = s->ss.base + (u32)r->rsp +
			 (all - 1 - place) * (u64)xfer.width;
		u64 there = 0;

		if (at > RAM - 8)
			continue;
		memcpy(&there, vm.ram + at, xfer.width);
		if (i == n - 3 && n != 4) /* flags: RF and reserved bits */
			continue;
		bad |= differs(
			"pushed",
			there & (xfer.pushes[i] > 0xffff ? 0xffffffff : 0xffff),
			xfer.pushes[i]);
	}
	return bad;
}

/* After a transfer: where the CPU is, and on which stack. */
static int place_differs(const struct kvm_sregs *s, const struct kvm_regs *r)
{
	return segment_differs("cs", &s->cs, &model.sr[SEG_CS]) |
	       segment_differs("ss", &s->ss, &model.sr[SEG_SS]) |
	       segment_differs("ds", &s->ds, &model.sr[SEG_DS]) |
	       differs("ip", r->rip, model.ip + 2) |
	       differs("sp", r->rsp, model.sp) | pushes_differ(s, r);
}

static int success_differs(const struct trial *t, const struct outcome *said,
			   const struct outcome *real)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct kvm_segment *at[] = {&s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs};
	int bad;

	assert_int_equal(ioctl(vm.vcpu, KVM_GET_SREGS, &s), 0);
	assert_int_equal(ioctl(vm.vcpu, KVM_GET_REGS, &r), 0);
	bad = differs("tables", (u64)memcmp(vm.ram, model_ram, TABLES_END), 0);
	switch (t->op) {
	case OP_LOAD:
		return bad | segment_differs("segment", at[t->reg],
					     &model.sr[t->reg]);
	case OP_REF:
		return bad | ref_differs(t, said, real, &r);
	case OP_LAR:
	case OP_LSL:
		if (said->flag)
			bad |= differs("value", r.rdx, said->value);
		return bad | differs("ZF", r.rflags >> 6 & 1, said->flag);
	case OP_VERR:
	case OP_VERW:
		return bad | differs("ZF", r.rflags >> 6 & 1, said->flag);
	case OP_LLDT:
		return bad | segment_differs("ldt", &s.ldt, &model.ldtr);
	case OP_LTR:
		return bad | segment_differs("tr", &s.tr, &model.tr);
	default:
		return bad | place_differs(&s, &r);
	}
}

/* The handler's stack begins with the error code. */
static u16 pushed_error(u8 vector)
{
	struct kvm_regs r;
	u16 error = 0;

	assert_int_equal(ioctl(vm.vcpu, KVM_GET_REGS, &r), 0);
	if (vector >= X86_TRAP_TS && vector <= X86_TRAP_PF)
		memcpy(&error, vm.ram + (r.rsp & (RAM - 1)), 2);
	return error;
}

static int run_and_compare(const struct trial *t)
{
	struct outcome said = {0}, real = {0};
	int ret, port;

	vm_set(t);
	ret = model_do(t, &said);
	/* A switch of tasks is told, not done. */
	if (!ret && xfer.task_switch)
		return false;
	port = vm_run(&real.linear);
	/* An interpreter that gives up says so as if there were no opcode. */
	if (interprets && port == X86_TRAP_UD) {
		given_up[t->op]++;
		return false;
	}
	tried[t->op]++;
	faulted[t->op] += ret != 0;
	if (port < 0)
		return true;
	if (port == DONE && !ret)
		return success_differs(t, &said, &real);
	if (port == DONE || !ret)
		return differs("exception", port == DONE ? 0 : (u64)port,
			       ret ? model.fault.vector : 0) |
		       differs("error code",
			       port == DONE ? 0 : pushed_error((u8)port),
			       ret ? model.fault.error : 0);
	return differs("exception", (u64)port, model.fault.vector) |
	       differs("error code", pushed_error((u8)port), model.fault.error);
}

static void explain_trial(const struct trial *t, u64 n)
{
	fprintf(stderr,
		"trial %llu: %s, reg %s, sel 0x%x, offset 0x%x, ref 0x%llx+%u "
		"%u, gdt 0x%016llx target 0x%016llx stack 0x%016llx; model: "
		"%s\n",
		(unsigned long long)n, op_names[t->op], seg_reg_name(t->reg),
		t->sel, t->offset, (unsigned long long)t->ref.offset,
		t->ref.size, t->ref.access,
		(unsigned long long)*entry(GDT, I_RANDOM),
		(unsigned long long)*entry(GDT, I_TARGET),
		(unsigned long long)*entry(GDT, I_STACK1),
		seg_rule_text(model.fault.rule));
}

/*
 * Accesses that wrap may do as the CPU likes (SDM 5.3). Linux's interpreter
 * does not refuse a selector of the LDT in LLDT, and in LTR blames none.
 */
static bool undefined(const struct trial *t)
{
	if (interprets && (t->op == OP_LLDT || t->op == OP_LTR) &&
	    seg_sel_ldt(t->sel))
		return true;
	return t->op == OP_REF && t->ref.offset + t->ref.size - 1 > 0xffffffff;
}

/* 1 if CPU and model differ. */
static MM_NOINLINE u32 one_trial(struct prng *r, u64 n)
{
	struct trial t;
	u8 cpl;

	fixed_tables();
	t = plan(r, &cpl);
	if (undefined(&t) || !runs[t.op])
		return 0;
	model_boot(cpl, r);
	write_code(&t);
	if (!run_and_compare(&t))
		return 0;
	explain_trial(&t, n);
	return 1;
}

static void test_same_as_cpu(void **state)
{
	u64 iters = test_iters(8000), bad = 0;
	struct prng r;

	(void)state;
	if (!vm.ram || vm.why_not) {
		print_message("skip: limits and access types against a CPU: "
			      "%s\n",
			      vm.why_not);
		skip();
	}
	test_seed(&r, "kvm");
	for (u32 op = 0; op < NR_OPS; op++) {
		runs[op] = op_runs(op);
		interprets |= !runs[op];
		if (!runs[op])
			print_message("skip: %s: this /dev/kvm does not run "
				      "the instruction\n",
				      op_names[op]);
	}
	for (u32 i = ARENA; i < RAM; i += 4)
		memcpy(vm.ram + i, &(u32){i * 0x9e3779b1u}, 4);
	for (u64 i = 0; i < iters && bad < 10; i++)
		bad += one_trial(&r, i);
	for (u32 op = 0; op < NR_OPS; op++)
		print_message("%-10s %5llu tried, %5llu of them faulted; "
			      "skip: %llu that /dev/kvm gave up\n",
			      op_names[op], (unsigned long long)tried[op],
			      (unsigned long long)faulted[op],
			      (unsigned long long)given_up[op]);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_cpu),
	};
	int ret;

	(void)vm_open();
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	vm_close();
	return ret;
}
