/* SPDX-License-Identifier: MIT */
/*
 * run_qemu.c - the command line of QEMU, and whether KVM works here.
 *
 * A KVM may be there and yet refuse what QEMU asks of it at start, or not get
 * through instructions that every kernel has (loading the FPU's state was one).
 * So it is tried: a kernel of a few instructions is started under it, which
 * leaves with a status of its own through isa-debug-exit. What does not work is
 * not used, and QEMU's own translator takes its place.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

#define QEMU	     "qemu-system-x86_64"
#define PROBE_STATUS 0x2a
#define PROBE_MS     5000
#define MIB	     (1UL << 20)

/* ---- trying KVM ------------------------------------------------------------
 */

/* A PVH kernel: it writes PROBE_STATUS to port 0xf4. */
struct probe {
	Elf64_Ehdr eh;
	Elf64_Phdr load, note;
	struct {
		u32 name_len, desc_len, type;
		char name[4];
		u32 entry, pad;
	} pvh;
	u8 code[64];
};
#define PROBE_BASE 0x100000UL
#define PROBE_AREA 0x101000UL /* zeroes; the code has it as a number */

static void make_probe(struct probe *p)
{
	/* clang-format off */
	static const u8 code[] = {
		0xb8, 0x01, 0x00, 0x00, 0x00,	/* mov $1, %eax */
		0x0f, 0xa2,			/* cpuid */
		0x0f, 0xba, 0xe1, 0x1a,		/* bt $26, %ecx: XSAVE? */
		0x73, 0x1f,			/* jnc 1f */
		0x0f, 0x20, 0xe0,		/* mov %cr4, %eax */
		0x0d, 0x00, 0x02, 0x04, 0x00,	/* or $OSXSAVE|OSFXSR, %eax */
		0x0f, 0x22, 0xe0,		/* mov %eax, %cr4 */
		0x31, 0xc9, 0x31, 0xd2,		/* xor %ecx, %ecx; %edx, %edx */
		0xb8, 0x03, 0x00, 0x00, 0x00,	/* mov $3, %eax: x87, SSE */
		0x0f, 0x01, 0xd1,		/* xsetbv */
		0xbe, 0x00, 0x10, 0x10, 0x00,	/* mov $PROBE_AREA, %esi */
		0x0f, 0xae, 0x2e,		/* xrstor (%esi) */
		0xb0, PROBE_STATUS,		/* 1: mov $.., %al */
		0x66, 0xba, 0xf4, 0x00,		/* mov $0xf4, %dx */
		0xee,				/* out %al, %dx */
		0xf4, 0xeb, 0xfd};		/* hlt; jmp */
	/* clang-format on */

	memset(p, 0, sizeof(*p));
	memcpy(p->eh.e_ident, ELFMAG, SELFMAG);
	p->eh.e_ident[EI_CLASS] = ELFCLASS64;
	p->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	p->eh.e_ident[EI_VERSION] = EV_CURRENT;
	p->eh.e_type = ET_EXEC;
	p->eh.e_machine = EM_X86_64;
	p->eh.e_version = EV_CURRENT;
	p->eh.e_entry = PROBE_BASE + offsetof(struct probe, code);
	p->eh.e_phoff = offsetof(struct probe, load);
	p->eh.e_ehsize = sizeof(p->eh);
	p->eh.e_phentsize = sizeof(p->load);
	p->eh.e_phnum = 2;
	p->load = (Elf64_Phdr){.p_type = PT_LOAD,
			       .p_flags = PF_R | PF_X,
			       .p_vaddr = PROBE_BASE,
			       .p_paddr = PROBE_BASE,
			       .p_filesz = sizeof(*p),
			       .p_memsz = PROBE_AREA + 4096 - PROBE_BASE,
			       .p_align = 4096};
	p->note = p->load;
	p->note.p_type = PT_NOTE;
	p->note.p_offset = offsetof(struct probe, pvh);
	p->note.p_vaddr = p->note.p_paddr =
		PROBE_BASE + offsetof(struct probe, pvh);
	p->note.p_filesz = p->note.p_memsz = 20;
	p->note.p_align = 4;
	p->pvh.name_len = 4;
	p->pvh.desc_len = 4;
	p->pvh.type = 18; /* XEN_ELFNOTE_PHYS32_ENTRY */
	memcpy(p->pvh.name, "Xen", 4);
	p->pvh.entry = (u32)p->eh.e_entry;
	memcpy(p->code, code, sizeof(code));
}

/* Until the process that writes to FD has closed it; true: what it wrote says
 * that KVM failed, or it takes too long. (QEMU would stay, standing still.) */
static bool gave_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[1024];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(text) - 1) {
		if (poll(&p, 1, PROBE_MS) != 1)
			return true;
		n = read(fd, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			return false;
		len += (size_t)n;
		text[len] = 0;
		if (strstr(text, "KVM internal error"))
			return true;
	}
	return true; /* so many words are no success */
}

/* The exit status of ARGV, silenced, or -1. */
static int quiet_status(char *const *argv)
{
	int ends[2], status = -1, fd;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		run_fail("cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(fd, 0);
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		run_fail("cannot fork: %s", strerror(errno));
	close(ends[1]);
	if (gave_up(ends[0]))
		kill(pid, SIGKILL);
	close(ends[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool kvm_works(const char *cpu, const char *kernel)
{
	char *argv[] = {(char *)QEMU,
			(char *)"-nodefaults",
			(char *)"-no-user-config",
			(char *)"-no-reboot",
			(char *)"-display",
			(char *)"none",
			(char *)"-machine",
			(char *)"microvm",
			(char *)"-accel",
			(char *)"kvm",
			(char *)"-cpu",
			(char *)cpu,
			(char *)"-m",
			(char *)"32M",
			(char *)"-device",
			(char *)"isa-debug-exit,iobase=0xf4,iosize=0x04",
			(char *)"-kernel",
			(char *)kernel,
			NULL};

	return quiet_status(argv) == (PROBE_STATUS << 1 | 1);
}

/* The CPU that KVM can give, or NULL. */
static const char *kvm_cpu(const char *folder)
{
	static const char *const cpus[] = {"host",
					   "host,arch-capabilities=off"};
	const char *found = NULL;
	struct probe p;
	char *path = NULL;
	FILE *f;

	if (access("/dev/kvm", R_OK | W_OK))
		return NULL;
	if (asprintf(&path, "%s/probe", folder) < 0)
		run_fail("no memory for a path");
	make_probe(&p);
	f = fopen(path, "we");
	if (!f || fwrite(&p, sizeof(p), 1, f) != 1 || fclose(f))
		run_fail("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(cpus) && !found; i++)
		if (kvm_works(cpus[i], path))
			found = cpus[i];
	unlink(path);
	free(path);
	return found;
}

/* ---- the machine -----------------------------------------------------------
 */

void run_machine_choose(struct run_machine *m, const char *folder)
{
	const struct run_opts *o = m->o;
	const char *cpu = NULL;

	m->type = o->machine			       ? o->machine
		  : o->nodes > 1 || m->kernel->bzimage ? "pc"
						       : "microvm";
	m->accel = o->accel;
	/* A bzImage begins in real mode, which not every KVM gets through. */
	if (!m->accel && m->kernel->bzimage)
		m->accel = "tcg";
	if (!m->accel || !strcmp(m->accel, "kvm")) {
		cpu = kvm_cpu(folder);
		if (!cpu && m->accel)
			run_fail("--accel kvm: KVM does not work here");
		m->accel = cpu ? "kvm" : "tcg";
	}
	m->cpu = o->cpu ? o->cpu : cpu ? cpu : "max";
}

static void arg(struct run_machine *m, const char *fmt, ...) MM_PRINTF(2, 3);

static void arg(struct run_machine *m, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	if (m->argc == RUN_QEMU_ARGS - 1)
		run_fail("too many arguments for QEMU");
	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		run_fail("no memory for QEMU's arguments");
	va_end(ap);
	m->argv[m->argc++] = s;
	m->argv[m->argc] = NULL;
}

/* In an option's value a comma is written twice. */
static void disk(struct run_machine *m, const char *id, const char *path)
{
	bool mmio = !strcmp(m->type, "microvm");
	static char name[8192];
	size_t n = 0;

	if (!path)
		return;
	for (; *path && n < sizeof(name) - 2; path++) {
		if (*path == ',')
			name[n++] = ',';
		name[n++] = *path;
	}
	name[n] = 0;
	arg(m, "-drive");
	arg(m,
	    "if=none,id=%s,format=raw,cache=unsafe,discard=unmap,"
	    "file=%s",
	    id, name);
	arg(m, "-device");
	arg(m, "virtio-blk-%s,drive=%s", mmio ? "device" : "pci", id);
}

static void channel(struct run_machine *m, const char *id, u32 port, int fd)
{
	arg(m, "-chardev");
	arg(m, "file,id=%s,path=/proc/self/fd/%d", id, fd);
	arg(m, "-device");
	arg(m, "isa-debugcon,iobase=0x%x,chardev=%s", port, id);
}

/* Memory and CPUs in equal parts, what is left over to the last. */
static void nodes(struct run_machine *m)
{
	const struct run_opts *o = m->o;
	u64 each = o->mem_bytes / o->nodes & ~(MIB - 1);
	u32 next = 0;

	if (o->nodes < 2)
		return;
	for (u32 i = 0; i < o->nodes; i++) {
		bool last = i == o->nodes - 1;
		u64 size = last ? o->mem_bytes - each * i : each;
		u32 upto = o->cpus * (i + 1) / o->nodes;
		char cpus[32] = "";

		if (upto > next)
			snprintf(cpus, sizeof(cpus), ",cpus=%u-%u", next,
				 upto - 1);
		arg(m, "-object");
		arg(m, "memory-backend-ram,id=m%u,size=%lluK", i,
		    (unsigned long long)(size >> 10));
		arg(m, "-numa");
		arg(m, "node,nodeid=%u,memdev=m%u%s", i, i, cpus);
		next = upto;
	}
}

static void kernel_args(struct run_machine *m)
{
	const struct run_opts *o = m->o;
	/* A Linux has no console but the program's: it must be silent. */
	const char *mute =
		m->kernel->bzimage
			? " panic=-1 quiet loglevel=1 edd=off reboot=t"
			: "";

	arg(m, "-kernel");
	arg(m, "%s", m->kernel->path);
	arg(m, "-initrd");
	arg(m, "%s", m->initrd);
	arg(m, "-append");
	arg(m, "console=ttyS0%s%s%s", mute, o->append ? " " : "",
	    o->append ? o->append : "");
}

void run_machine_argv(struct run_machine *m)
{
	const struct run_opts *o = m->o;

	arg(m, QEMU);
	arg(m, "-nodefaults");
	arg(m, "-no-user-config");
	arg(m, "-no-reboot");
	arg(m, "-display");
	arg(m, "none");
	arg(m, "-machine");
	arg(m, "%s", m->type);
	arg(m, "-accel");
	arg(m, "%s", m->accel);
	arg(m, "-cpu");
	arg(m, "%s", m->cpu);
	arg(m, "-smp");
	arg(m, "%u", o->cpus);
	arg(m, "-m");
	arg(m, "%lluK", (unsigned long long)(o->mem_bytes >> 10));
	nodes(m);
	kernel_args(m);
	arg(m, "-chardev");
	arg(m, "stdio,id=console,signal=off");
	arg(m, "-serial");
	arg(m, "chardev:console");
	channel(m, "log", 0xe9, RUN_FD_LOG);
	channel(m, "report", 0x402, RUN_FD_REPORT);
	channel(m, "errors", 0x403, RUN_FD_STDERR);
	arg(m, "-device");
	arg(m, "isa-debug-exit,iobase=0xf4,iosize=0x04");
	disk(m, "root", m->root);
	disk(m, "swap", m->swap);
	disk(m, "trace", m->trace);
	for (u32 i = 0; i < o->nr_qemu; i++)
		arg(m, "%s", o->qemu[i]);
}

void run_machine_free(struct run_machine *m)
{
	for (u32 i = 0; i < m->argc; i++)
		free(m->argv[i]);
	m->argc = 0;
}
