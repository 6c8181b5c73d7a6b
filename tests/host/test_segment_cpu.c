/* SPDX-License-Identifier: MIT */
/*
 * Segmentation against the CPU that runs this: modify_ldt puts random
 * descriptors into this process's LDT, 32-bit code in compatibility mode loads
 * them and refers through them, and what happens (exception, error code,
 * linear address, value) must be what the model says. Rows are skipped, with
 * the reason, where the kernel has no LDT or runs no 32-bit code. One thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "arch/segment_cpu.h"
#include "arch/segment_linux.h"
#include "base_seed.h"

#define LOW	   0x20000000UL /* all that 32-bit code can reach */
#define CODE_PAGE  LOW
#define LANDING	   (LOW + 0x800)
#define STACK_TOP  (LOW + 0x3000)
#define ARENA	   (LOW + 0x3000)
#define ARENA_SIZE 0x10000u
#define LOW_SIZE   (0x3000 + ARENA_SIZE)
#define NOBODYS	   0x30000000u /* 1 GiB that nothing is mapped in */
#define ENTRIES	   32
#define RANDOM	   5 /* the LDT entry that trials change */
#define USER32_CS  0x23
#define USER_CS	   0x33
#define USER_SS	   0x2b

enum op { OP_REF, OP_FETCH, OP_LAR, OP_LSL, OP_VERR, OP_VERW, NR_OPS };

static const char *const op_names[NR_OPS] = {"reference", "fetch", "lar",
					     "lsl",	  "verr",  "verw"};

struct trial {
	enum op op;
	enum seg_id reg;
	u16 sel;
	struct seg_ref ref;
};

struct outcome {
	bool fault;
	u8 vector;
	u16 error;
	bool flag;
	u32 value;
	u64 linear; /* of a page fault */
};

/*
 * cpu_enter(ax, bx, cx): go to cpu_target (CS:EIP) on a low stack; dx comes
 * back. Signal handlers and the 32-bit code go on at cpu_back.
 */
u32 cpu_enter(u32 ax, u32 bx, u32 cx);
void cpu_back(void);
u64 cpu_saved_sp, cpu_target_ip, cpu_target_cs;

__asm__(".pushsection .text\n"
	".globl cpu_enter, cpu_back\n"
	"cpu_enter:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n"
	"	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, cpu_saved_sp(%rip)\n"
	"	mov %edi, %eax\n"
	"	mov %esi, %ebx\n"
	"	mov %edx, %ecx\n"
	"	mov $0xdddddddd, %edx\n"
	"	mov $0x20003000, %esp\n"
	"	push cpu_target_cs(%rip)\n"
	"	push cpu_target_ip(%rip)\n"
	"	lretq\n"
	"cpu_back:\n"
	"	mov cpu_saved_sp(%rip), %rsp\n"
	"	mov $0x2b, %eax\n"
	"	mov %eax, %ss\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %edx, %eax\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n"
	"	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n"
	".popsection\n");

static u64 ldt[ENTRIES];
static struct seg_windows windows = {1, {{0x1000, sizeof(ldt), ldt}}};
static const struct seg_mem memory = {seg_windows_read, seg_windows_write,
				      &windows};
static struct seg_cpu model;
static struct outcome real;
static u8 *low;
static const char *why_not;
static u64 tried[NR_OPS], faulted[NR_OPS];

/* ---- this CPU ----------------------------------------------------------- */

static void on_fault(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)info;
	(void)sig;
	real.fault = true;
	real.vector = (u8)g[REG_TRAPNO];
	real.error = (u16)g[REG_ERR];
	real.linear = (u64)g[REG_CR2];
	g[REG_RIP] = (greg_t)(uintptr_t)cpu_back;
	/* CS, GS, FS, SS share a word. */
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000) | USER_CS |
			(greg_t)USER_SS << 48;
}

static bool refuses(const char *why)
{
	why_not = why;
	return false;
}

/* From 32-bit code back to cpu_back: a far jump, then a 64-bit one. */
static u8 *emit_back(u8 *p)
{
	u64 back = (uintptr_t)cpu_back;
	u32 stub = (u32)LANDING + 0x100;

	*p++ = 0xea;
	memcpy(p, &stub, 4);
	memcpy(p + 4, &(u16){USER_CS}, 2);
	memcpy(low + (stub - LOW), (u8[]){0x49, 0xbb}, 2);
	memcpy(low + (stub - LOW) + 2, &back, 8);
	memcpy(low + (stub - LOW) + 10, (u8[]){0x41, 0xff, 0xe3}, 3);
	return p + 6;
}

static bool kernel_ldt(const struct user_desc *u)
{
	return (int)syscall(SYS_modify_ldt, 0x11, u, sizeof(*u)) == 0;
}

static bool set_entry(struct user_desc u)
{
	ldt[u.entry_number] = linux_user_desc_encode(&u);
	return kernel_ldt(&u);
}

/* The test library has handlers of its own: again in each test. */
static void catch_faults(void)
{
	static u8 signal_stack[1 << 16];
	stack_t stack = {.ss_sp = signal_stack,
			 .ss_size = sizeof(signal_stack)};
	struct sigaction act = {.sa_sigaction = on_fault,
				.sa_flags =
					SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGILL, &act, NULL);
	sigaction(SIGTRAP, &act, NULL);
}

static bool cpu_open(void)
{
	low = mmap((void *)LOW, LOW_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (low != (u8 *)LOW)
		return refuses("no memory at 512 MiB");
	if (!set_entry((struct user_desc){.entry_number = ENTRIES - 1,
					  .limit = 0xfff,
					  .seg_32bit = 1}))
		return refuses("this kernel has no modify_ldt");
	catch_faults();
	emit_back(low);
	cpu_target_cs = USER32_CS;
	cpu_target_ip = CODE_PAGE;
	(void)cpu_enter(0, 0, 0);
	if (real.fault)
		return refuses("this kernel runs no 32-bit code");
	return true;
}

static void fill_arena(void)
{
	for (u32 i = 0; i < ARENA_SIZE; i += 4)
		memcpy((u8 *)ARENA + i, &(u32){i * 0x9e3779b1u}, 4);
}

/* ---- trials ------------------------------------------------------------- */

static struct user_desc random_desc(struct prng *r, u32 offset, u32 addr)
{
	u32 edge = offset + (u32)prng_below(r, 12) - 6;
	struct user_desc u = {.entry_number = RANDOM,
			      .base_addr = addr - offset,
			      .seg_32bit = !prng_one_in(r, 3),
			      .contents = prng_below(r, 3) & 3,
			      .read_exec_only = prng_one_in(r, 3),
			      .limit_in_pages = prng_one_in(r, 2),
			      .seg_not_present = prng_one_in(r, 16)};

	if (prng_one_in(r, 2))
		edge = prng_u32(r) >> prng_below(r, 32);
	u.limit = (u.limit_in_pages ? edge >> 12 : edge) & 0xfffff;
	if (prng_one_in(r, 8))
		u.base_addr = NOBODYS + (u32)prng_below(r, 1 << 30) - offset;
	return u;
}

static u16 random_sel(struct prng *r)
{
	u32 index = RANDOM;

	if (prng_one_in(r, 12))
		index = (u32)prng_below(r, ENTRIES + 4);
	return seg_sel(index, true,
		       prng_one_in(r, 8) ? (u32)prng_below(r, 4) : 3);
}

static struct trial plan(struct prng *r)
{
	static const u8 sizes[] = {1, 2, 4}, regs[] = {SEG_ES, SEG_DS, SEG_SS};
	struct trial t = {.op = prng_one_in(r, 2) ? OP_REF
						  : prng_below(r, NR_OPS),
			  .reg = regs[prng_below(r, 3)],
			  .sel = random_sel(r)};
	u32 addr = (u32)(ARENA + prng_below(r, ARENA_SIZE - 8));
	struct user_desc u;

	t.ref.size = sizes[prng_below(r, 3)];
	t.ref.access = prng_one_in(r, 2) ? SEG_READ : SEG_WRITE;
	t.ref.offset = prng_one_in(r, 4) ? 0xfffffff0 + prng_below(r, 8)
					 : prng_u32(r) >> prng_below(r, 32);
	if (t.op == OP_FETCH) {
		t.ref = (struct seg_ref){prng_u32(r) >> prng_below(r, 32), 7,
					 SEG_FETCH};
		addr = LANDING;
	}
	u = random_desc(r, (u32)t.ref.offset, addr);
	if (t.op == OP_FETCH)
		u.base_addr = addr - (u32)t.ref.offset;
	if (t.op == OP_FETCH && !prng_one_in(r, 4))
		u.contents = 2;
	assert_true(set_entry(u));
	return t;
}

static void write_code(const struct trial *t)
{
	static const u8 prefix[] = {0x26, 0x2e, 0x36, 0x3e};
	bool read = t->ref.access == SEG_READ;
	u8 *p = low;

	if (t->op == OP_FETCH) {
		/* The same in 16-bit and 32-bit code: 0x67 0x66 is not. */
		p = (u8 *)LANDING;
		if (!(ldt[RANDOM] & BIT(54)))
			*p++ = 0x66;
		emit_back(p);
		return;
	}
	*p++ = 0x8e;
	*p++ = (u8)(0xc0 | t->reg << 3);
	*p++ = prefix[t->reg];
	if (t->ref.size == 2)
		*p++ = 0x66;
	*p++ = (u8)((read ? 0x8a : 0x88) + (t->ref.size > 1));
	*p++ = read ? 0x13 : 0x0b;
	emit_back(p);
}

static void ask_cpu(const struct trial *t)
{
	u32 v = 0, sel = t->sel;
	u8 zf = 0;

	switch (t->op) {
	case OP_LAR:
		__asm__("lar %2, %0; setz %1" : "+r"(v), "=qm"(zf) : "r"(sel));
		break;
	case OP_LSL:
		__asm__("lsl %2, %0; setz %1" : "+r"(v), "=qm"(zf) : "r"(sel));
		break;
	case OP_VERR:
		__asm__("verr %w1; setz %0" : "=qm"(zf) : "r"(sel));
		break;
	default:
		__asm__("verw %w1; setz %0" : "=qm"(zf) : "r"(sel));
	}
	real.flag = zf;
	real.value = zf ? v : 0;
}

static void do_real(const struct trial *t)
{
	real = (struct outcome){0};
	if (t->op > OP_FETCH) {
		ask_cpu(t);
		return;
	}
	write_code(t);
	cpu_target_cs = t->op == OP_FETCH ? t->sel : USER32_CS;
	cpu_target_ip = t->op == OP_FETCH ? t->ref.offset : CODE_PAGE;
	real.value = cpu_enter(t->sel, (u32)t->ref.offset, 0x55aa55aa);
}

/* ---- the model ---------------------------------------------------------- */

/* Ring 3 of long mode, in 32-bit or (WIDE) 64-bit code. */
static void model_boot(bool wide)
{
	seg_cpu_init(&model, &memory);
	model.pe = true;
	model.lma = true;
	model.cpl = 3;
	model.ldtr.usable = true;
	model.ldtr.hid = seg_system(SEG_KIND_LDT, 0x1000, sizeof(ldt));
	model.sr[SEG_CS] = (struct seg_reg){wide ? USER_CS : USER32_CS, true,
					    seg_flat(SEG_KIND_CODE, 3, wide)};
	model.sr[SEG_SS] = (struct seg_reg){USER_SS, true,
					    seg_flat(SEG_KIND_DATA, 3, false)};
}

static int do_model(const struct trial *t, struct outcome *o)
{
	struct seg_return ret = {.cs = t->sel, .ip = t->ref.offset};
	struct seg_ref ref = t->ref;

	model_boot(t->op == OP_FETCH);
	switch (t->op) {
	case OP_REF:
		return seg_load(&model, t->reg, t->sel)
			       ?: seg_linear(&model, t->reg, &t->ref,
					     &o->linear);
	case OP_FETCH:
		if (seg_far_return(&model, &ret))
			return -14;
		ref.size += !model.sr[SEG_CS].hid.db;
		return seg_linear(&model, SEG_CS, &ref, &o->linear);
	case OP_LAR:
		return seg_lar(&model, t->sel, &o->flag, &o->value);
	case OP_LSL:
		return seg_lsl(&model, t->sel, &o->flag, &o->value);
	default:
		return seg_verify(&model, t->sel, t->op == OP_VERW, &o->flag);
	}
}

/* ---- comparing ---------------------------------------------------------- */

static int differs(const char *what, u64 cpu, u64 said)
{
	if (cpu == said)
		return 0;
	fprintf(stderr, "%s: CPU 0x%llx, model 0x%llx\n", what,
		(unsigned long long)cpu, (unsigned long long)said);
	return 1;
}

static int ref_differs(const struct trial *t, const struct outcome *said)
{
	u64 mask = t->ref.size == 4 ? 0xffffffff : BIT(8 * t->ref.size) - 1;
	u64 there = 0;

	/* The linear address is nobody's: the page fault tells it. */
	if (real.fault)
		return differs("vector", real.vector, X86_TRAP_PF) ||
		       (real.linear - said->linear >= t->ref.size &&
			differs("linear", real.linear, said->linear));
	if (said->linear - LOW >= LOW_SIZE)
		return differs("page fault", 0, said->linear);
	memcpy(&there, (void *)said->linear, t->ref.size);
	if (t->ref.access == SEG_READ)
		return differs("read", real.value & mask, there);
	return differs("written", there, 0x55aa55aa & mask);
}

static int compare(const struct trial *t)
{
	struct outcome said = {0};
	int ret = do_model(t, &said);

	do_real(t);
	tried[t->op]++;
	faulted[t->op] += ret != 0 || (t->op > OP_FETCH && !said.flag);
	if (ret)
		return differs("vector", real.fault ? real.vector : 0,
			       model.fault.vector) |
		       differs("error code", real.error, model.fault.error);
	if (t->op > OP_FETCH)
		return differs("ZF", real.flag, said.flag) |
		       differs("value", real.value, said.value);
	if (t->op == OP_REF)
		return ref_differs(t, &said);
	return differs("vector", real.fault ? real.vector : 0, 0);
}

/*
 * What wraps past the last offset or address is the CPU's own affair; and
 * sanitizers have memory of their own above NOBODYS.
 */
static bool undefined(const struct trial *t)
{
	u64 raw = ldt[RANDOM];
	u32 base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
	u32 linear = base + (u32)t->ref.offset;

	return t->op <= OP_FETCH && (t->ref.offset + t->ref.size > 0xffffffff ||
				     linear >= NOBODYS + (1u << 30));
}

static void explain_trial(const struct trial *t, u64 n)
{
	fprintf(stderr,
		"trial %llu: %s, reg %s, sel 0x%x, 0x%llx+%u access %u, "
		"descriptor 0x%016llx; model: %s\n",
		(unsigned long long)n, op_names[t->op], seg_reg_name(t->reg),
		t->sel, (unsigned long long)t->ref.offset, t->ref.size,
		t->ref.access, (unsigned long long)ldt[RANDOM],
		seg_rule_text(model.fault.rule));
}

static void test_same_as_cpu(void **state)
{
	u64 iters = test_iters(20000), bad = 0;
	struct prng r;

	(void)state;
	if (why_not) {
		print_message("skip: limits and access types against this "
			      "CPU: %s\n",
			      why_not);
		skip();
	}
	test_seed(&r, "cpu");
	catch_faults();
	fill_arena();
	for (u64 i = 0; i < iters && bad < 10; i++) {
		struct trial t = plan(&r);

		if (undefined(&t) || !compare(&t))
			continue;
		explain_trial(&t, i);
		bad++;
	}
	for (u32 op = 0; op < NR_OPS; op++)
		print_message("%-10s %6llu tried, %6llu of them refused\n",
			      op_names[op], (unsigned long long)tried[op],
			      (unsigned long long)faulted[op]);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_cpu),
	};

	(void)cpu_open();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
