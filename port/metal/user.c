/* SPDX-License-Identifier: MIT */
/*
 * user.c - what of a thread is the program's: FPU state, FS and GS.
 *
 * 1. Purpose. The kernel itself uses neither FPU nor FS, so a program's stay
 *    in the registers while the kernel works for it; they change hands when
 *    the CPU goes to another program's thread.
 * 2. Structures. thread.fpu: an image as XSAVE (FXSAVE, where there is no
 *    XSAVE) writes it in its standard form, which is also what signal frames
 *    hold. cpu.fpu: whose state the registers were loaded with last.
 * 3. Invariants.
 *    FPU-1  Off its CPU, a thread's image is current.
 *    FPU-2  If cpu.fpu == t and t.fpu_cpu == cpu, the registers equal T's
 *           image or are newer.
 *    FPU-3  With FSGSBASE a program changes its bases without a call: those in
 *           struct port_thread are current off its CPU only.
 * 4. Locking. The thread itself, or the CPU that switches.
 * 5. Life. From machine_thread_create() to machine_thread_free().
 * 6. Failure. -ENOMEM at creation; -EINVAL for an image that XRSTOR would
 *    refuse, seen before anything is loaded.
 * 7. Cost. One XSAVE for each switch away from a program; XRSTOR only if
 *    another program ran here in between, or the thread elsewhere.
 * 8. Rejected. Trapping the first use (CR0.TS): what programs run uses SSE at
 *    once.
 *
 * References: Intel SDM vol. 1, 13.4 to 13.8; AMD APM vol. 2, 11.5.
 */
#include "metal.h"

#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/string.h"

#define FXSAVE_SIZE   512u
#define XSAVE_HEADER  512u /* offset of xstate_bv, xcomp_bv and zeroes */
#define XSAVE_MINIMUM 576u
#define MXCSR_AT      24u
#define MXCSR_MASK_AT 28u
#define MXCSR_RESET   0x1f80u
#define FCW_RESET     0x037fu
/* x87, SSE, AVX, AVX-512: what fits an image of 4096 bytes and has no rules of
 * its own. */
#define XCR0_WANTED 0xe7ul

/* The state that a program starts with. */
static u8 initial[4096] MM_ALIGNED(64);
static struct kmem_cache *images;

static void save(void *image)
{
	if (metal_features.xcr0)
		__asm__ volatile("xsave64 (%0)" ::"r"(image), "a"(-1), "d"(-1)
				 : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" ::"r"(image) : "memory");
}

static void restore(const void *image)
{
	if (metal_features.xcr0)
		__asm__ volatile("xrstor64 (%0)" ::"r"(image), "a"(-1), "d"(-1)
				 : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" ::"r"(image) : "memory");
}

void fpu_init(void)
{
	struct metal_features *f = &metal_features;
	u16 fcw = FCW_RESET;
	u32 r[4], mxcsr = MXCSR_RESET;

	f->fpu_size = FXSAVE_SIZE;
	if (f->xsave) {
		x86_cpuid(13, 0, r);
		f->xcr0 = ((u64)r[3] << 32 | r[0]) & XCR0_WANTED;
		/* AVX-512 is three components or none. */
		if ((f->xcr0 & 0xe0) != 0xe0)
			f->xcr0 &= ~0xe0ul;
		cpu_load(metal_this());
		x86_cpuid(13, 0, r);
		f->fpu_size = r[1];
		if (f->fpu_size > sizeof(initial))
			metal_fatal("the FPU's state takes %u bytes; at most "
				    "%zu are provided for",
				    f->fpu_size, sizeof(initial));
	}
	__asm__ volatile("fxsave64 (%0)" ::"r"(initial) : "memory");
	mm_memcpy(&f->mxcsr_mask, initial + MXCSR_MASK_AT, 4);
	if (!f->mxcsr_mask)
		f->mxcsr_mask = 0xffbf;
	/* Registers are all zero in a state that XSAVE calls initial. */
	mm_memset(initial, 0, sizeof(initial));
	mm_memcpy(initial, &fcw, sizeof(fcw));
	mm_memcpy(initial + MXCSR_AT, &mxcsr, sizeof(mxcsr));
	mm_memcpy(initial + MXCSR_MASK_AT, &f->mxcsr_mask, 4);
	restore(initial);
}

/* ---- threads
 * ----------------------------------------------------------------------------
 */

int user_init(struct port_thread *t)
{
	static u32 word;
	unsigned long flags;

	if (unlikely(!READ_ONCE(images))) {
		struct kmem_cache *made = kmem_cache_create(
			"fpu_state", metal_features.fpu_size, 64, 0, NULL);
		bool mine;

		if (!made)
			return -ENOMEM;
		flags = port_irq_save();
		port_spin_lock(&word);
		mine = !images;
		if (mine)
			images = made;
		port_spin_unlock(&word);
		port_irq_restore(flags);
		if (!mine)
			kmem_cache_destroy(made);
	}
	t->fpu = kmem_cache_alloc(images, GFP_KERNEL);
	if (!t->fpu)
		return -ENOMEM;
	mm_memcpy(t->fpu, initial, metal_features.fpu_size);
	return 0;
}

void user_free(struct port_thread *t)
{
	if (t->fpu)
		kmem_cache_free(images, t->fpu);
}

static u16 read_sel_fs(void)
{
	u16 v;

	__asm__ volatile("movw %%fs, %0" : "=r"(v));
	return v;
}

static u16 read_sel_gs(void)
{
	u16 v;

	__asm__ volatile("movw %%gs, %0" : "=r"(v));
	return v;
}

static u16 read_sel_ds(void)
{
	u16 v;

	__asm__ volatile("movw %%ds, %0" : "=r"(v));
	return v;
}

static u16 read_sel_es(void)
{
	u16 v;

	__asm__ volatile("movw %%es, %0" : "=r"(v));
	return v;
}

static void save_selectors(struct port_thread *t)
{
	t->fssel = read_sel_fs();
	t->gssel = read_sel_gs();
	t->dssel = read_sel_ds();
	t->essel = read_sel_es();
}

/*
 * A program may have loaded any selector that it may load; those of its own
 * GDT are all flat, so they load again. Loading GS changes the active base,
 * which is the kernel's: it is put back.
 */
static void load_selectors(const struct port_thread *t)
{
	if (unlikely(t->fssel | read_sel_fs()))
		__asm__ volatile("movw %0, %%fs" ::"r"(t->fssel));
	if (unlikely(t->gssel | read_sel_gs())) {
		u64 base = x86_rdmsr(MSR_GS_BASE);

		__asm__ volatile("movw %0, %%gs" ::"r"(t->gssel));
		x86_wrmsr(MSR_GS_BASE, base);
	}
	if (unlikely(t->dssel != read_sel_ds()))
		__asm__ volatile("movw %0, %%ds" ::"r"(t->dssel));
	if (unlikely(t->essel != read_sel_es()))
		__asm__ volatile("movw %0, %%es" ::"r"(t->essel));
}

static void load_debug(const struct port_thread *t)
{
	/* Off while they are half the old ones. */
	__asm__ volatile("movq %0, %%dr7" ::"r"(0ul));
	if (!t->debug[4])
		return;
	__asm__ volatile("movq %0, %%dr0\n\t"
			 "movq %1, %%dr1\n\t"
			 "movq %2, %%dr2\n\t"
			 "movq %3, %%dr3\n\t"
			 "movq %4, %%dr7" ::"r"(t->debug[0]),
			 "r"(t->debug[1]), "r"(t->debug[2]), "r"(t->debug[3]),
			 "r"(t->debug[4]));
}

/* With FSGSBASE only the registers know the running program's bases. In the
 * kernel that of its GS is the one that SWAPGS will load. */
static void save_bases(struct port_thread *t)
{
	if (!metal_features.fsgsbase)
		return;
	__asm__ volatile("rdfsbase %0" : "=r"(t->fsbase));
	t->gsbase = x86_rdmsr(MSR_KERNEL_GS_BASE);
}

void user_switch(struct port_thread *prev, struct port_thread *next)
{
	struct metal_cpu *c = metal_this();

	if (unlikely(prev->debug[4] | next->debug[4]))
		load_debug(next);
	if (prev->fpu) {
		save_selectors(prev);
		save_bases(prev);
		save(prev->fpu);
	}
	if (!next->fpu)
		return;
	load_selectors(next);
	x86_wrmsr(MSR_FS_BASE, next->fsbase);
	x86_wrmsr(MSR_KERNEL_GS_BASE, next->gsbase);
	if (c->fpu == next && next->fpu_cpu == c->id)
		return;
	restore(next->fpu);
	c->fpu = next;
	next->fpu_cpu = c->id;
}

/* ---- bases
 * ------------------------------------------------------------------------------
 */

static void set_base(struct port_thread *t, u64 *where, u32 msr, u64 base)
{
	unsigned long flags = port_irq_save();

	*where = base;
	if (t == port_self())
		x86_wrmsr(msr, base);
	port_irq_restore(flags);
}

void machine_set_fsbase(struct port_thread *t, u64 base)
{
	set_base(t, &t->fsbase, MSR_FS_BASE, base);
}

void machine_set_gsbase(struct port_thread *t, u64 base)
{
	set_base(t, &t->gsbase, MSR_KERNEL_GS_BASE, base);
}

/* *WHERE of T's bases, as it is now. */
static u64 base_of(struct port_thread *t, const u64 *where)
{
	unsigned long flags = port_irq_save();
	u64 base;

	if (t == port_self() && t->fpu)
		save_bases(t);
	base = *where;
	port_irq_restore(flags);
	return base;
}

u64 machine_fsbase(struct port_thread *t)
{
	return base_of(t, &t->fsbase);
}

u64 machine_gsbase(struct port_thread *t)
{
	return base_of(t, &t->gsbase);
}

/* ---- the FPU's image
 * ------------------------------------------------------------------- */

u32 machine_fpu_size(void)
{
	return metal_features.fpu_size;
}

u64 machine_fpu_features(void)
{
	return metal_features.xcr0;
}

void machine_fpu_save(void *image)
{
	port_pin();
	/* XSAVE leaves alone what it does not write. */
	mm_memset(image, 0, metal_features.fpu_size);
	save(image);
	port_unpin();
}

/* Would XRSTOR take it? */
static bool image_ok(const u8 *image)
{
	u64 header[8];
	u32 mxcsr;

	mm_memcpy(&mxcsr, image + MXCSR_AT, sizeof(mxcsr));
	if (mxcsr & ~metal_features.mxcsr_mask)
		return false;
	if (!metal_features.xcr0)
		return true;
	mm_memcpy(header, image + XSAVE_HEADER, sizeof(header));
	if (header[0] & ~metal_features.xcr0)
		return false;
	for (u32 i = 1; i < ARRAY_SIZE(header); i++)
		if (header[i])
			return false;
	return true;
}

int machine_fpu_load(const void *image)
{
	if (!IS_ALIGNED((u64)image, 64) || !image_ok(image))
		return -EINVAL;
	port_pin();
	restore(image);
	port_unpin();
	return 0;
}

void machine_fpu_reset(void)
{
	port_pin();
	restore(initial);
	port_unpin();
}

void machine_fpu_copy(struct port_thread *child)
{
	port_pin();
	save(child->fpu);
	port_unpin();
	child->fpu_cpu = -1;
}

/* The image of T, if it is parked: nobody can wake it while its word is held.
 */
static int image_move(struct port_thread *t, void *image, bool poke)
{
	unsigned long flags = port_irq_save();
	bool parked;

	port_spin_lock(&t->word);
	parked = t->state == THREAD_PARKED && !t->on_cpu;
	if (parked && poke) {
		mm_memcpy(t->fpu, image, metal_features.fpu_size);
		t->fpu_cpu = -1;
	} else if (parked) {
		mm_memcpy(image, t->fpu, metal_features.fpu_size);
	}
	port_spin_unlock(&t->word);
	port_irq_restore(flags);
	return parked ? 0 : -EAGAIN;
}

int machine_fpu_peek(struct port_thread *t, void *image)
{
	return image_move(t, image, false);
}

int machine_fpu_poke(struct port_thread *t, const void *image)
{
	if (!image_ok(image))
		return -EINVAL;
	return image_move(t, (void *)(uintptr_t)image, true);
}

/* ---- debug registers
 * ------------------------------------------------------------------- */

int machine_debug_set(struct port_thread *t, const u64 addr[4], u64 control)
{
	unsigned long flags = port_irq_save();
	bool was = t->debug[4] != 0;

	mm_memcpy(t->debug, addr, 4 * sizeof(u64));
	t->debug[4] = control;
	if (t == port_self() && (was || control))
		load_debug(t);
	port_irq_restore(flags);
	return 0;
}
