/* SPDX-License-Identifier: MIT */
/*
 * main.c - from a booted manager to the first program.
 *
 * 1. Order: tables of calls and tasks, files (an empty root, /dev, what the
 *    initramfs holds), what has devices, file systems; then init.
 *
 * 2. Which init. /init of the initramfs (rdinit= names another); without one
 *    root= is mounted and init=, /sbin/init, /etc/init, /bin/init, /bin/sh are
 *    tried in turn. The command line is Linux's: words that nobody here knows
 *    go to init, those with a "=" as its environment, and all behind "--" as
 *    arguments.
 *
 * 3. Failure: the machine stops and says what was missing.
 *
 * Reference: Linux documentation, admin-guide/kernel-parameters; bootparam(7).
 */
#include <mmkit/errno.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "event.h"
#include "ext2/ext2.h"
#include "ktime.h"
#include "machine.h"
#include "procfs/procfs.h"
#include "syscall.h"
#include "task/task_priv.h"
#include "vfs.h"

#define CMDLINE_MAX 2048u
#define WORDS_MAX   32u

static struct {
	char text[CMDLINE_MAX]; /* cut into words */
	const char *init, *rdinit, *root, *rootfstype;
	u32 root_flags;
	bool trace;
	u64 panic_seconds;
	const char *argv[WORDS_MAX + 2], *envp[WORDS_MAX + 4];
	u32 argc, envc;
} boot_sys;

/* ---- the command line ------------------------------------------------------
 */

/* The value of WORD if it is KEY=VALUE. */
static const char *value_of(const char *word, const char *key)
{
	size_t n = mm_strlen(key);

	if (mm_strncmp(word, key, n) != 0 || word[n] != '=')
		return NULL;
	return word + n + 1;
}

/* Words that the machine or a driver looks for by itself. */
static bool machine_word(const char *word)
{
	static const char *const keys[] = {"console",
					   "mem",
					   "earlycon",
					   "quiet",
					   "nosmp",
					   "maxcpus",
					   "reboot",
					   "loglevel",
					   "rootwait",
					   "rootdelay",
					   "acpi",
					   "nokaslr",
					   "noapic",
					   "pci",
					   "tsc",
					   "mmkit",
					   "debug",
					   "BOOT_IMAGE",
					   "debug_pagealloc",
					   "debug_guardpage_minorder",
					   "page_owner",
					   "page_poison",
					   "init_on_alloc",
					   "init_on_free"};

	for (u32 i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t n = mm_strlen(keys[i]);

		if (!mm_strncmp(word, keys[i], n) &&
		    (!word[n] || word[n] == '='))
			return true;
	}
	/* "module.parameter" */
	for (const char *c = word; *c && *c != '='; c++)
		if (*c == '.')
			return true;
	return false;
}

static void take_word(char *word)
{
	const char *v;

	if ((v = value_of(word, "init")))
		boot_sys.init = v;
	else if ((v = value_of(word, "rdinit")))
		boot_sys.rdinit = v;
	else if ((v = value_of(word, "root")))
		boot_sys.root = v;
	else if ((v = value_of(word, "rootfstype")))
		boot_sys.rootfstype = v;
	else if ((v = value_of(word, "panic")))
		(void)v; /* the machine's */
	else if (!mm_strcmp(word, "syscall_trace"))
		boot_sys.trace = true;
	else if (!mm_strcmp(word, "ro"))
		boot_sys.root_flags |= MS_RDONLY;
	else if (!mm_strcmp(word, "rw"))
		boot_sys.root_flags &= ~MS_RDONLY;
	else if (machine_word(word))
		return;
	else if (mm_strchr(word, '=') && boot_sys.envc < WORDS_MAX)
		boot_sys.envp[boot_sys.envc++] = word;
	else if (!mm_strchr(word, '=') && boot_sys.argc < WORDS_MAX)
		boot_sys.argv[boot_sys.argc++] = word;
	else
		pr_warn("command line: too many words for init: %s\n", word);
}

/* The next word from *AT on, terminated; NULL: none. Quotes hold spaces. */
static char *next_word(char **at)
{
	char *p = *at, *word, *to;
	bool quoted = false;

	while (*p == ' ' || *p == '\t' || *p == '\n')
		p++;
	if (!*p)
		return NULL;
	word = to = p;
	for (; *p && (quoted || (*p != ' ' && *p != '\t' && *p != '\n')); p++) {
		if (*p == '"')
			quoted = !quoted;
		else
			*to++ = *p;
	}
	*at = *p ? p + 1 : p;
	*to = 0;
	return word;
}

/* TEXT is the machine's command line. */
static void cmdline_parse(const char *text)
{
	char *at = boot_sys.text, *word;
	bool for_init = false;

	mm_memset(&boot_sys, 0, sizeof(boot_sys));
	if (mm_strscpy(boot_sys.text, text, sizeof(boot_sys.text)) < 0)
		pr_warn("command line cut after %u bytes\n", CMDLINE_MAX - 1);
	boot_sys.root_flags = MS_RDONLY;
	boot_sys.argv[boot_sys.argc++] = "init";
	boot_sys.envp[boot_sys.envc++] = "HOME=/";
	boot_sys.envp[boot_sys.envc++] = "TERM=linux";
	while ((word = next_word(&at)) != NULL) {
		if (for_init && boot_sys.argc < WORDS_MAX)
			boot_sys.argv[boot_sys.argc++] = word;
		else if (!for_init && !mm_strcmp(word, "--"))
			for_init = true;
		else if (!for_init)
			take_word(word);
	}
}

/* ---- init ------------------------------------------------------------------
 */

static bool there(const char *path)
{
	struct dentry *d;

	if (vfs_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &d))
		return false;
	dput(d);
	return true;
}

static int try_init(const char *path)
{
	int err;

	boot_sys.argv[0] = path;
	err = spawn_init(path, boot_sys.argv, boot_sys.envp);
	if (err == 0)
		pr_info("init is %s\n", path);
	else if (err != -ENOENT)
		pr_err("%s exists but cannot be run: error %d\n", path, -err);
	return err;
}

static _Noreturn void no_init(const char *what)
{
	char line[160];

	(void)mm_scnprintf(line, sizeof(line), "no init found: %s", what);
	port_panic(line);
}

static void run_init(void)
{
	static const char *const usual[] = {"/sbin/init", "/etc/init",
					    "/bin/init", "/bin/sh"};
	const char *rdinit = boot_sys.rdinit ? boot_sys.rdinit : "/init";

	if (there(rdinit)) {
		if (try_init(rdinit))
			no_init(rdinit);
		return;
	}
	if (!boot_sys.root && !boot_sys.init && !there("/sbin/init") &&
	    !there("/bin/sh"))
		no_init("the initramfs has none and root= is not given");
	if (boot_sys.root && vfs_mount_root(boot_sys.root, boot_sys.rootfstype,
					    boot_sys.root_flags))
		no_init("root= cannot be mounted");
	if (boot_sys.init) {
		if (try_init(boot_sys.init))
			no_init(boot_sys.init);
		return;
	}
	for (u32 i = 0; i < ARRAY_SIZE(usual); i++)
		if (!try_init(usual[i]))
			return;
	no_init("neither init=, /sbin/init nor /bin/sh can be run");
}

/* ---- boot ------------------------------------------------------------------
 */

static void must(int err, const char *what)
{
	char line[120];

	if (!err)
		return;
	(void)mm_scnprintf(line, sizeof(line), "%s: error %d", what, -err);
	port_panic(line);
}

static void unpack_initramfs(void)
{
	char why[200], line[240];
	u64 size;
	const void *image = machine_initrd(&size);

	if (!image)
		return;
	/* Half of a system is none: init may be there and what it needs not. */
	if (initramfs_unpack(image, size, why, sizeof(why))) {
		(void)mm_scnprintf(line, sizeof(line),
				   "the initramfs cannot be used: %s", why);
		port_panic(line);
	}
	machine_initrd_free();
}

/* The disks that the machine has: /dev/vda and so on, 16 minors each as Linux
 * numbers virtio's. */
static void enter_disks(void)
{
	char name[] = "vda";
	struct port_bdev *bdev;

	for (u32 n = 0; n < 26 && (bdev = machine_bdev(n)) != NULL; n++) {
		name[2] = (char)('a' + n);
		if (blkdev_register(MKDEV(254, 16 * n), name, bdev))
			pr_err("/dev/%s cannot be entered\n", name);
	}
}

static void filesystems_init(void)
{
	must(ext2_init(), "ext2");
	must(procfs_init(), "/proc and /sys");
}

void kernel_main(void)
{
	cmdline_parse(machine_cmdline());
	syscall_init();
	must(process_init(), "tasks");
	must(time_init(), "clocks");
	must(vfs_init(), "files");
	must(event_init(), "terminals");
	enter_disks();
	filesystems_init();
	unpack_initramfs();
	syscall_trace(boot_sys.trace);
	run_init();
	/* The first thread has nothing left to do; it is nobody's to free. */
	for (;;)
		(void)port_park(UINT64_MAX);
}

void kernel_init_ended(int code)
{
	char line[80];

	(void)mm_scnprintf(line, sizeof(line),
			   "init has ended, exit code 0x%08x", (u32)code);
	port_panic(line);
}
