/* SPDX-License-Identifier: MIT */
/* user.c - user mode: doors, faults, traps, the FPU, being interrupted. */
#include "self.h"

#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/uaccess.h>

#include "base/string.h"

#define CODE  0x400000ul
#define PAGES 64u

struct program {
	struct mm_struct *mm;
	struct port_thread *thread;
	const u8 *code;
	u64 bytes, number;
	u64 status;
	u64 calls, exit_works;
	u64 traps[32];
	uva_t data, stack;
	bool kill;
};

/* ---- the kernel that the programs see
 * ---------------------------------------------------- */

static struct program *self(void)
{
	return machine_owner(port_self());
}

static _Noreturn void leave(u64 status)
{
	struct program *p = self();

	p->status = status;
	mm_task_exit(port_current());
	mm_task_unregister(port_current());
	machine_thread_exit();
}

/* Ticks of the TSC: instructions, under QEMU's -icount shift=0. */
static void show_costs(void)
{
	u64 n[3];

	CHECK(!copy_from_user(self()->mm, n, self()->data, sizeof(n)));
	pr_info("self: ticks: call %llu, trap %llu, fault %llu",
		(unsigned long long)n[0] / 1000,
		(unsigned long long)n[1] / 1000, (unsigned long long)n[2] / 63);
}

void kernel_syscall(struct pt_regs *regs)
{
	u64 nr = regs->rax;

	if (nr == CALL_NOTHING)
		return;
	CHECK(regs == machine_regs(port_self()) && regs->orig_rax == nr);
	self()->calls++;
	switch (nr) {
	case CALL_EXIT:
		leave(regs->rdi);
	case CALL_YIELD:
		machine_yield();
		break;
	case CALL_COUNT:
		regs->rax = 42;
		break;
	case CALL_NONCANON:
		regs->rip = 1ul << 63;
		break;
	case CALL_FRAME:
		regs->rcx = 0x1234;
		regs->r11 = 0x5678;
		break;
	case CALL_FSBASE:
		machine_set_fsbase(port_self(), self()->data);
		(void)!copy_to_user(self()->mm, self()->data, &self()->data, 8);
		break;
	case CALL_COSTS:
		show_costs();
		break;
	default:
		leave(nr);
	}
}

/* Behind the instruction that trapped: those of prog_traps. */
static u64 step_over(u32 vector, u64 count)
{
	switch (vector) {
	case 1:
	case 3:
		return 0;
	case 13:
		/* mov (%rbx); hlt; cli; mov %ax, %ds */
		return count == 0 ? 2 : count <= 2 ? 1 : 2;
	default:
		return 2; /* ud2, div %ecx, mov (%rbx), %al */
	}
}

void kernel_user_trap(struct pt_regs *regs, u32 vector, u64 error, u64 addr)
{
	struct program *p = self();

	(void)error;
	(void)addr;
	if (p->code == prog_cost)
		return;
	CHECK(vector < 32 && x86_irqs_on());
	CHECK(regs == machine_regs(port_self()));
	if (p->code == prog_bad_rip)
		leave(vector == 13 && regs->rip == 1ul << 63 ? 0 : 99);
	if (p->code != prog_traps)
		leave(1000 + vector);
	regs->rip += step_over(vector, p->traps[vector]);
	p->traps[vector]++;
	if (vector == 1)
		regs->eflags &= ~EFLAGS_TF;
}

void kernel_exit_work(struct pt_regs *regs)
{
	struct program *p = self();

	CHECK(regs == machine_regs(port_self()) && x86_irqs_on());
	p->exit_works++;
	if (READ_ONCE(p->kill))
		leave(0);
}

/* ---- running programs
 * -------------------------------------------------------------------- */

static void begin(void *arg)
{
	struct program *p = arg;
	struct pt_regs *regs = machine_regs(port_self());

	mm_task_register(port_current(), "prog");
	mm_task_attach(port_current(), p->mm);
	*regs = (struct pt_regs){.rip = CODE,
				 .cs = USER_CS,
				 .ss = USER_DS,
				 .eflags = EFLAGS_IF,
				 .rsp = p->stack,
				 .rdi = p->number,
				 .r15 = p->data};
	machine_fpu_reset();
}

static void start(struct program *p, const u8 *code, const u8 *end, u64 number)
{
	const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	struct mm_layout l;
	s64 at;

	*p = (struct program){.code = code,
			      .bytes = (u64)(end - code),
			      .number = number,
			      .status = STATUS_UNTOUCHED};
	mm_default_layout(&l);
	CHECK(!mm_create(&l, &p->mm));
	CHECK(do_mmap(p->mm, CODE, PAGE_SIZE,
		      PROT_READ | PROT_WRITE | PROT_EXEC, fixed) == CODE);
	CHECK(access_process_vm(p->mm, CODE, (void *)code, p->bytes, true) ==
	      p->bytes);
	at = do_mmap(p->mm, 0, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS);
	CHECK(at > 0);
	p->data = (uva_t)at;
	at = do_mmap(p->mm, 0, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS);
	CHECK(at > 0);
	p->stack = (uva_t)at + 4 * PAGE_SIZE;
	CHECK(!machine_thread_create(&p->thread, "prog", begin, p, p));
	machine_thread_start(p->thread);
}

static void finish(struct program *p)
{
	machine_thread_free(p->thread);
	mm_put(p->mm);
	if (p->status)
		pr_err("self: a program ended with %llu",
		       (unsigned long long)p->status);
	CHECK(p->status == 0);
}

static void test_alone(void)
{
	struct program p;

	start(&p, prog_regs, prog_regs_end, 0);
	finish(&p);
	CHECK(p.calls == 4);
	start(&p, prog_memory, prog_memory_end, 77);
	finish(&p);
	start(&p, prog_bad_rip, prog_bad_rip_end, 0);
	finish(&p);
}

static void test_traps(void)
{
	static const struct {
		u8 vector, times;
	} want[] = {{0, 1}, {1, 1}, {3, 1}, {6, 1}, {13, 4}, {14, 1}};
	struct program p;
	u64 sum = 0;

	start(&p, prog_traps, prog_traps_end, 0);
	finish(&p);
	for (u32 i = 0; i < ARRAY_SIZE(want); i++)
		CHECK(p.traps[want[i].vector] == want[i].times);
	for (u32 i = 0; i < 32; i++)
		sum += p.traps[i];
	CHECK(sum == 9);
}

static void test_many(const u8 *code, const u8 *end)
{
	static struct program p[6];

	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		start(&p[i], code, end, 1000 + i);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		finish(&p[i]);
}

/* A program that makes no call is preempted, and ends when it is told. */
static void test_kick(void)
{
	static struct program p[3];
	u64 user, sys, seen;

	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		start(&p[i], prog_loop, prog_loop_end, 0);
	/* Each has run, and was seen in user mode by the tick. */
	for (u32 i = 0, tries = 0; i < ARRAY_SIZE(p); tries++) {
		port_park(10000000);
		CHECK(tries < 3000);
		CHECK(access_process_vm(p[i].mm, p[i].data, &seen, 8, false) ==
		      8);
		machine_thread_times(p[i].thread, &user, &sys);
		i += seen > 0 && user > 0;
	}
	machine_kick(p[0].thread);
	for (u32 i = 0; i < 1000 && !READ_ONCE(p[0].exit_works); i++)
		port_park(10000000);
	CHECK(READ_ONCE(p[0].exit_works) == 1 && p[0].status != 0);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++) {
		WRITE_ONCE(p[i].kill, true);
		machine_kick(p[i].thread);
	}
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		finish(&p[i]);
}

static void test_images(void)
{
	static u8 image[4096] MM_ALIGNED(64);
	u32 bad = 0xffffffff, size = machine_fpu_size();

	CHECK(size >= 512 && size <= sizeof(image));
	machine_fpu_save(image);
	CHECK(!machine_fpu_load(image));
	mm_memcpy(image + 24, &bad, 4);
	CHECK(machine_fpu_load(image) == -22);
	machine_fpu_save(image);
	if (machine_fpu_features()) {
		image[512 + 7] = 0x80;
		CHECK(machine_fpu_load(image) == -22);
		machine_fpu_save(image);
		image[520] = 1;
		CHECK(machine_fpu_load(image) == -22);
	}
	CHECK(machine_fpu_load(image + 8) == -22);
}

void self_user(void)
{
	test_alone();
	test_traps();
	test_many(prog_fpu, prog_fpu_end);
	test_many(prog_selectors, prog_selectors_end);
	test_images();
	test_kick();
}

/* No check: figures, for who looks at them. */
void self_cost(void)
{
	struct program p;

	start(&p, prog_cost, prog_cost_end, 0);
	finish(&p);
}
