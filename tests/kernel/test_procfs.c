/* SPDX-License-Identifier: MIT */
/* /proc and /sys as programs read them: by paths and system calls, in pieces,
 * with a process that may end. */
#include "few_tasks.h"

#include "memcg/memcg.h"
#include "procfs/cgroup.h"
#include "procfs/procfs.h"

/* ---- reading ---------------------------------------------------------------
 */

static char text[1 << 20];

/* All of PATH by reads of STEP; its length or -errno. */
static s64 slurp(const char *path, u64 step)
{
	/* Those that would wait say so. */
	s64 fd = OPEN(path, 04000, 0), n, total = 0;

	if (fd < 0)
		return fd;
	while ((n = ft_read((int)fd, text + total, step)) > 0) {
		total += n;
		CHECK(total < (s64)sizeof(text) - 40000);
	}
	CHECK_EQ(CLOSE(fd), 0);
	text[total] = '\0';
	return n < 0 ? n : total;
}

/* A reader of the file NAME waits for what is not there yet. */
static bool waits_for_more(const char *name)
{
	return !strncmp(name, "trace_pipe", 10) || !strcmp(name, "kmsg");
}

static void has(const char *path, const char *what)
{
	s64 n = slurp(path, 30000);

	snprintf(tm_context, sizeof(tm_context), "%s: \"%s\"", path, what);
	CHECK(n > 0);
	if (!strstr(text, what))
		fprintf(stderr, "%s", text);
	CHECK(strstr(text, what));
}

static s64 put(const char *path, const char *what)
{
	s64 fd = OPEN(path, 1, 0), n;

	if (fd < 0)
		return fd;
	n = ft_write((int)fd, what, strlen(what));
	CHECK_EQ(CLOSE(fd), 0);
	return n;
}

static u32 files_seen;

/* Each file below PATH opens and reads to its end; each link has a text. */
static void read_tree(const char *path, u32 depth)
{
	static char names[4][8192];
	s64 fd = OPEN(path, 0200000, 0), n;
	char *buf = names[depth];

	CHECK(fd >= 0);
	while ((n = SYS(217, fd, FT_AT, 8000)) > 0) {
		ft_get(buf, (u64)n, 0);
		for (s64 at = 0; at < n;) {
			char *rec = buf + at, *name = rec + 19, sub[512];
			struct ft_stat st;
			u64 ino;

			memcpy(&ino, rec, 8);
			at += *(u16 *)(void *)(rec + 16);
			if (!strcmp(name, ".") || !strcmp(name, ".."))
				continue;
			snprintf(sub, sizeof(sub), "%s/%s", path, name);
			snprintf(tm_context, sizeof(tm_context), "%.200s", sub);
			CHECK_EQ(ft_stat(sub, false, &st), 0);
			CHECK_EQ(st.ino, ino);
			CHECK_EQ(st.mode >> 12, rec[18]);
			files_seen++;
			if ((st.mode & S_IFMT) == S_IFLNK)
				CHECK(*ft_readlink(sub) ||
				      !strcmp(name, "exe"));
			else if ((st.mode & S_IFMT) == S_IFDIR && depth < 3)
				read_tree(sub, depth + 1);
			else if ((st.mode & S_IFMT) == S_IFREG &&
				 (st.mode & 0400) && strcmp(name, "mem") &&
				 strcmp(name, "pagemap"))
				CHECK(slurp(sub, 32768) >= 0 ||
				      waits_for_more(name));
		}
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(CLOSE(fd), 0);
}

static void mount_both(void)
{
	CHECK_EQ(procfs_init(), 0);
	CHECK_EQ(MKDIR("/proc", 0755), 0);
	CHECK_EQ(MKDIR("/sys", 0755), 0);
	CHECK_EQ(MOUNT("proc", "/proc", "proc", 0, ""), 0);
	CHECK_EQ(MOUNT("sysfs", "/sys", "sysfs", 0, ""), 0);
	ended = false;
	ft.proc.start_ns = 4560000000;
	ft.proc.rlim[7] = (struct krlimit){1024, RLIM_INFINITY};
	task_sys.pid_max = 32768;
	mm_task_register_as(port_current(), "test", 1);
	/* Not the only one, and not the newest. */
	other = (struct mm_task){.flags = PF_KTHREAD};
	mm_task_register_as(&other, "other", 2);
}

/* The shrinker may be at one of its names just now. */
static void umount_one_of(const char *dir)
{
	s64 err = -EBUSY;

	for (int i = 0; i < 100 && err == -EBUSY; i++) {
		err = UMOUNT(dir, 0);
		if (err == -EBUSY)
			port_park(1000000);
	}
	CHECK_EQ(err, 0);
}

static void umount_both(void)
{
	umount_one_of("/proc");
	umount_one_of("/sys");
	procfs_exit();
	mm_task_unregister(&other);
	mm_task_unregister(port_current());
}

static int tree_body(void *arg)
{
	(void)arg;
	mount_both();
	files_seen = 0;
	read_tree("/proc", 0);
	CHECK(files_seen > 120);
	files_seen = 0;
	read_tree("/sys", 0);
	CHECK(files_seen > 200);
	umount_both();
	return 0;
}

static void trees(void **state)
{
	(void)state;
	FS_RUN(tree_body, .mem = 64UL << 20, .cpus = 2, .nodes = 2);
}

/* ---- the machine's files ---------------------------------------------------
 */

/* The number behind the line's beginning in text. */
static u64 number_of(const char *begin)
{
	const char *at = strstr(text, begin);

	snprintf(tm_context, sizeof(tm_context), "\"%s\"", begin);
	CHECK(at != NULL);
	return strtoull(at + strlen(begin), NULL, 10);
}

/* A row for each source, a column for each CPU. */
static void interrupts(void)
{
	CHECK(slurp("/proc/interrupts", 30000) > 0);
	CHECK(strstr(text, "           CPU0       CPU1  \n") == text);
	CHECK(strstr(text, "\n   4:         40         41   IO-APIC   4-edge"
			   "      ttyS0\n"));
	CHECK(strstr(text, "\n LOC:          2          3   Local timer "
			   "interrupts\n"));
}

/* What the nodes have is together what there is. */
static void node_files(void)
{
	static const char *const rows[] = {
		"\nnr_slab_unreclaimable ", "\nnr_page_table_pages ",
		"\nnr_kernel_stack ",	    "\nnr_anon_pages ",
		"\nnr_file_pages ",	    "\nnr_zone_active_anon "};
	char path[64];
	u64 sum;

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		sum = 0;
		for (int nid = 0; nid < 2; nid++) {
			snprintf(path, sizeof(path),
				 "/sys/devices/system/node/node%d/vmstat", nid);
			CHECK(slurp(path, 30000) > 0);
			CHECK_EQ(strncmp(text, "nr_free_pages ", 14), 0);
			sum += number_of(rows[i]);
		}
		CHECK(slurp("/proc/vmstat", 30000) > 0);
		CHECK_EQ(sum, number_of(rows[i]));
		CHECK(i || sum);
	}
	CHECK(slurp("/sys/devices/system/node/node0/meminfo", 30000) > 0);
	sum = number_of("Node 0 MemTotal:");
	CHECK(slurp("/sys/devices/system/node/node1/meminfo", 30000) > 0);
	sum += number_of("Node 1 MemTotal:");
	CHECK(slurp("/proc/meminfo", 30000) > 0);
	CHECK_EQ(sum, number_of("MemTotal:"));
	CHECK(slurp("/sys/devices/system/node/node1/meminfo", 30000) > 0);
	CHECK_EQ(number_of("Node 1 MemUsed:"),
		 number_of("Node 1 MemTotal:") - number_of("Node 1 MemFree:"));
	CHECK_EQ(number_of("Node 1 Slab:"),
		 number_of("Node 1 SReclaimable:") +
			 number_of("Node 1 SUnreclaim:"));
	CHECK(strstr(text, "\nNode 1 HugePages_Surp:      0\n"));
	CHECK_EQ(slurp("/sys/devices/system/node/node2/vmstat", 10), -ENOENT);
	CHECK_EQ(put("/sys/devices/system/node/node1/compact", "1"), 1);
	CHECK_EQ(put("/sys/devices/system/node/node1/vmstat", "1"), -EINVAL);
}

static void bio_ended(struct port_bio *bio)
{
	*(bool *)bio->private = true;
}

static void disk_does(struct port_bdev *disk, enum port_bio_op op, u64 sector)
{
	struct page *page = alloc_page(GFP_KERNEL);
	volatile bool done = false;
	struct port_bio bio = {.bdev = disk,
			       .op = op,
			       .sector = sector,
			       .nr_pages = 1,
			       .end_io = bio_ended,
			       .private = (void *)(uintptr_t)&done};

	CHECK(page != NULL);
	bio.pfn[0] = page_to_pfn(page);
	port_bio_submit(&bio);
	while (!done)
		port_park(100000);
	CHECK_EQ(bio.status, 0);
	__free_page(page);
}

/* Three requests, by field; nobody else has the disk. */
static void disk_line(void)
{
	struct sim_disk_config cfg = {.name = "vda", .size_bytes = 1 << 20};
	char why[SIM_DISK_ERR_MAX];
	struct port_bdev *disk;

	CHECK_EQ(sim_disk_open(&disk, &cfg, why), 0);
	CHECK_EQ(slurp("/proc/diskstats", 100), 0);
	kt_set_bdev(0, disk);
	has("/proc/diskstats",
	    " 254       0 vda 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	disk_does(disk, PORT_BIO_WRITE, 8);
	disk_does(disk, PORT_BIO_WRITE, 16);
	disk_does(disk, PORT_BIO_READ, 8);
	has("/proc/diskstats",
	    " 254       0 vda 1 0 8 0 2 0 16 0 0 0 0 0 0 0 0 0 0\n");
	kt_set_bdev(0, NULL);
	sim_disk_close(disk);
}

static int system_body(void *arg)
{
	static char whole[1 << 16];
	s64 n, fd;

	(void)arg;
	mount_both();
	/* In pieces the same text as at once. */
	n = slurp("/proc/slabinfo", 30000);
	CHECK(n > 2000);
	memcpy(whole, text, (size_t)n);
	CHECK_EQ(strncmp(text, "slabinfo - version: 2.1\n", 24), 0);
	fd = OPEN("/proc/meminfo", 0, 0);
	n = ft_read((int)fd, text, 7);
	CHECK_EQ(n, 7);
	CHECK_EQ(memcmp(text, "MemTota", 7), 0);
	/* From the start again: made anew. */
	CHECK_EQ(SYS(8, fd, 0, 0), 0);
	CHECK(ft_read((int)fd, text, 30000) > 1000);
	CHECK_EQ(SYS(8, fd, 0, 2), -EINVAL);
	CHECK_EQ(CLOSE(fd), 0);
	has("/proc/meminfo", "MemAvailable:");
	has("/proc/stat", "cpu1 ");
	has("/proc/stat", "\nprocesses 77\n");
	has("/proc/stat", "\nbtime ");
	has("/proc/loadavg", "/5 99\n");
	has("/proc/uptime", ".");
	has("/proc/version", "Linux version 6.1.0-mmkit");
	has("/proc/filesystems", "nodev\tsysfs\n");
	has("/proc/mounts", "proc /proc proc rw");
	has("/proc/mmkit/audit", "verdict");
	has("/proc/mmkit/syscalls", "read 5");
	has("/proc/vmstat", "nr_free_pages ");
	has("/sys/devices/system/cpu/online", "0-1\n");
	has("/sys/devices/system/cpu/cpu1/topology/thread_siblings", "2\n");
	has("/sys/devices/system/node/online", "0-1\n");
	has("/sys/devices/system/node/node1/cpulist", "1\n");
	has("/sys/devices/system/node/node0/distance", "10 20\n");
	has("/sys/devices/system/node/node0/meminfo", "Node 0 MemFree:");
	has("/sys/devices/system/node/node1/numastat", "numa_hit ");
	node_files();
	interrupts();
	disk_line();
	has("/sys/devices/system/memory/block_size_bytes", "8000000\n");
	has("/sys/devices/system/memory/memory0/state", "online\n");
	has("/sys/devices/system/memory/memory0/phys_index", "00000000\n");
	has("/sys/devices/system/memory/memory0/online", "1\n");
	has("/sys/kernel/mm/numa/demotion_enabled", "false\n");
	has("/proc/sys/kernel/numa_balancing", "0\n");
	has("/sys/kernel/debug/sched/numa_balancing/scan_size_mb", "256\n");
	has("/sys/kernel/slab/filp/objs_per_slab", "\n");
	CHECK_EQ(slurp("/sys/kernel/slab/nosuch/order", 10), -ENOENT);
	CHECK_EQ(slurp("/sys/devices/system/cpu/cpu2", 10), -ENOENT);
	CHECK_EQ(slurp("/proc/nosuch", 10), -ENOENT);
	CHECK_EQ(OPEN("/proc/new", 0102, 0644), -EACCES);
	/* Words are asked for in words. */
	fd = OPEN("/proc/kpagecount", 0, 0);
	CHECK_EQ(ft_read((int)fd, text, 16), 16);
	CHECK_EQ(ft_read((int)fd, text, 3), -EINVAL);
	CHECK_EQ(CLOSE(fd), 0);
	umount_both();
	return 0;
}

static void system_files(void **state)
{
	(void)state;
	FS_RUN(system_body, .mem = 64UL << 20, .cpus = 2, .nodes = 2);
}

/* ---- tunables --------------------------------------------------------------
 */

static int sysctl_body(void *arg)
{
	(void)arg;
	mount_both();
	CHECK_EQ(put("/proc/sys/vm/swappiness", "77\n"), 3);
	has("/proc/sys/vm/swappiness", "77\n");
	CHECK_EQ(put("/proc/sys/vm/swappiness", "900"), -EINVAL);
	CHECK_EQ(put("/proc/sys/vm/swappiness", "x"), -EINVAL);
	has("/proc/sys/vm/swappiness", "77\n");
	CHECK_EQ(put("/proc/sys/vm/drop_caches", "1\n"), 2);
	CHECK_EQ(put("/proc/sys/vm/nosuch", "1"), -ENOENT);
	has("/proc/sys/kernel/osrelease", "6.1.0-mmkit\n");
	has("/proc/sys/kernel/hostname", "thehost\n");
	has("/proc/sys/kernel/pid_max", "32768\n");
	has("/proc/sys/kernel/printk", "8\t4\t1\t8\n");
	CHECK_EQ(put("/proc/sys/kernel/printk", "5 4 1 7\n"), 8);
	has("/proc/sys/kernel/printk", "5\t4\t1\t8\n");
	CHECK_EQ(put("/proc/sys/kernel/printk", "9"), -EINVAL);
	CHECK_EQ(put("/proc/sys/kernel/printk", "0\n"), -EINVAL);
	CHECK_EQ(put("/proc/sys/kernel/printk", "loud\n"), -EINVAL);
	CHECK_EQ(put("/proc/sys/kernel/printk", "8\n"), 2);
	has("/proc/sys/kernel/dmesg_restrict", "0\n");
	CHECK_EQ(put("/proc/sys/kernel/dmesg_restrict", "1\n"), 2);
	has("/proc/sys/kernel/dmesg_restrict", "1\n");
	CHECK_EQ(put("/proc/sys/kernel/dmesg_restrict", "2\n"), -EINVAL);
	CHECK_EQ(put("/proc/sys/kernel/dmesg_restrict", "0\n"), 2);
	CHECK_EQ(put("/proc/sys/kernel/shmmax", "123456\n"), 7);
	has("/proc/sys/kernel/shmmax", "123456\n");
	CHECK_EQ(put("/proc/sys/kernel/shmmax", "-1"), -EINVAL);
	has("/proc/sys/kernel/shmmni", "4096\n");
	CHECK_EQ(put("/proc/sys/kernel/shmmni", "40000"), -EINVAL);
	has("/proc/sys/kernel/shmall", "18446744073692774399\n");
	has("/proc/sys/kernel/shm_rmid_forced", "0\n");
	CHECK_EQ(put("/proc/sys/kernel/shm_rmid_forced", "2"), -EINVAL);
	CHECK_EQ(put("/proc/sys/kernel/shm_rmid_forced", "1\n"), 2);
	has("/proc/sys/kernel/shm_rmid_forced", "1\n");
	CHECK_EQ(put("/proc/sys/kernel/tainted", "1"), -EINVAL);
	CHECK_EQ(slurp("/proc/sys/kernel/random/uuid", 99), 37);
	CHECK(text[8] == '-' && text[14] == '4' && text[18] == '-');
	ft_become(1000);
	CHECK_EQ(put("/proc/sys/vm/swappiness", "5"), -EACCES);
	ft_become(0);
	umount_both();
	return 0;
}

static void sysctls(void **state)
{
	(void)state;
	FS_RUN(sysctl_body);
}

/* ---- names of the kernel's functions
 * ----------------------------------------------------------------------- */

static const struct machine_symbol symbols[] = {
	{0xffffffff80100000, 'T', "_stext"},
	{0xffffffff80100000, 'T', "first"},
	{0xffffffff80100040, 't', "second.part.0"},
};

/* Field 35 of /proc/PID/stat: does it sleep? */
static int stat_wchan(void)
{
	const char *p;

	CHECK(slurp("/proc/self/stat", 30000) > 0);
	p = strrchr(text, ')') + 2;
	for (u32 i = 3; i < 35; i++)
		p = strchr(p, ' ') + 1;
	return atoi(p);
}

static void sleeps(u64 at, const char *name, int field)
{
	asleep_at = at;
	CHECK(slurp("/proc/self/wchan", 30000) > 0);
	CHECK(!strcmp(text, name));
	CHECK_EQ(stat_wchan(), field);
}

static int names_body(void *arg)
{
	static const char seen[] = "ffffffff80100000 T _stext\n"
				   "ffffffff80100000 T first\n"
				   "ffffffff80100040 t second.part.0\n",
			  hidden[] = "0000000000000000 T _stext\n"
				     "0000000000000000 T first\n"
				     "0000000000000000 t second.part.0\n";

	(void)arg;
	mount_both();
	CHECK_EQ(slurp("/proc/kallsyms", 100), 0);
	kt_set_symbols(symbols, ARRAY_SIZE(symbols), 0x40);
	has("/proc/sys/kernel/kptr_restrict", "0\n");
	CHECK(slurp("/proc/kallsyms", 7) > 0 && !strcmp(text, seen));
	/* Without CAP_SYSLOG addresses are 0, the names are for all. */
	ft_become(1000);
	CHECK(slurp("/proc/kallsyms", 30000) > 0 && !strcmp(text, hidden));
	CHECK_EQ(put("/proc/sys/kernel/kptr_restrict", "1"), -EACCES);
	ft_become(0);
	CHECK_EQ(put("/proc/sys/kernel/kptr_restrict", "1\n"), 2);
	CHECK(slurp("/proc/kallsyms", 30000) > 0 && !strcmp(text, seen));
	CHECK_EQ(put("/proc/sys/kernel/kptr_restrict", "2\n"), 2);
	CHECK(slurp("/proc/kallsyms", 30000) > 0 && !strcmp(text, hidden));
	CHECK_EQ(put("/proc/sys/kernel/kptr_restrict", "3\n"), -EINVAL);
	has("/proc/sys/kernel/kptr_restrict", "2\n");
	/* Where it sleeps, behind a call; nobody else is told. */
	sleeps(0, "0", 0);
	sleeps(0xffffffff80100012, "first", 1);
	sleeps(0xffffffff80100040, "first", 1);
	sleeps(0xffffffff80100041, "second.part.0", 1);
	sleeps(0xffffffff80200000, "0", 1);
	ft_become(1000);
	sleeps(0xffffffff80100012, "0", 0);
	ft_become(0);
	asleep_at = 0;
	kt_set_symbols(NULL, 0, 0);
	umount_both();
	return 0;
}

static void names(void **state)
{
	(void)state;
	FS_RUN(names_body);
}

/* ---- a task's --------------------------------------------------------------
 */

static void stat_has_52_fields(void)
{
	char *p;
	u32 fields = 2;

	CHECK(slurp("/proc/self/stat", 13) > 0);
	CHECK_EQ(strncmp(text, "1 (a b) c) R ", 13), 0);
	p = strrchr(text, ')') + 1;
	for (; *p; p++)
		fields += *p == ' ';
	CHECK_EQ(fields, 52);
	/* utime is field 14, starttime 22. */
	CHECK(strstr(text, " 123 0 0 0 20 0 1 0 456 "));
}

/* How many names are in PATH; NAME is the first of them. */
static u32 names_in(const char *path, char name[64])
{
	static char recs[8192];
	s64 fd = OPEN(path, 0200000, 0), n;
	u32 nr = 0;

	CHECK(fd >= 0);
	while ((n = SYS(217, fd, FT_AT, 8000)) > 0) {
		ft_get(recs, (u64)n, 0);
		for (s64 at = 0; at < n; at += *(u16 *)(void *)(recs + at + 16))
			if (recs[at + 19] != '.' && nr++ == 0)
				snprintf(name, 64, "%s", recs + at + 19);
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(CLOSE(fd), 0);
	return nr;
}

/* A mapping of a file has a link with its borders, and no other name has. */
static void map_files(void)
{
	s64 fd = OPEN("/here/mapped", 0102, 0600), at;
	char name[64] = "", want[64], path[128];
	struct file *file = fd_get((int)fd);

	CHECK_EQ(ft_write((int)fd, "contents", 8), 8);
	CHECK_EQ(names_in("/proc/self/map_files", name), 0);
	at = do_mmap_file(ft.mm, &(struct mm_mmap){.len = 3 * PAGE_SIZE,
						   .prot = PROT_READ,
						   .flags = MAP_SHARED,
						   .file = file});
	fput(file);
	CHECK(at > 0);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK_EQ(names_in("/proc/self/map_files", name), 1);
	snprintf(want, sizeof(want), "%llx-%llx", (unsigned long long)at,
		 (unsigned long long)at + 3 * PAGE_SIZE);
	CHECK_EQ(strcmp(name, want), 0);
	snprintf(path, sizeof(path), "/proc/self/map_files/%s", name);
	CHECK_EQ(strcmp(ft_readlink(path), "/here/mapped"), 0);
	CHECK_EQ(UNLINK("/here/mapped"), 0);
	CHECK_EQ(strcmp(ft_readlink(path), "/here/mapped (deleted)"), 0);
	CHECK_EQ(slurp(path, 100), 8);
	CHECK_EQ(strcmp(text, "contents"), 0);
	snprintf(path, sizeof(path), "/proc/self/map_files/0%s", name);
	CHECK_EQ(slurp(path, 10), -ENOENT);
	snprintf(path, sizeof(path), "/proc/self/map_files/%s0", name);
	CHECK_EQ(slurp(path, 10), -ENOENT);
	/* Split: two of them, neither with the old name. */
	CHECK_EQ(do_munmap(ft.mm, (u64)at + PAGE_SIZE, PAGE_SIZE), 0);
	CHECK_EQ(names_in("/proc/self/map_files", want), 2);
	snprintf(path, sizeof(path), "/proc/self/map_files/%s", name);
	CHECK_EQ(slurp(path, 10), -ENOENT);
	snprintf(path, sizeof(path), "/proc/self/map_files/%s", want);
	ft_become(1000);
	CHECK_EQ(slurp(path, 10), -EACCES);
	ft_become(0);
	CHECK_EQ(slurp(path, 10), 8);
	CHECK_EQ(do_munmap(ft.mm, (u64)at, 3 * PAGE_SIZE), 0);
	CHECK_EQ(names_in("/proc/self/map_files", want), 0);
}

/* What has been read and written since BEFORE. */
static void io_is(const struct mm_task_io *before, u64 syscr, u64 rchar,
		  u64 syscw, u64 wchar)
{
	const struct mm_task_io *io = &current->mt->io;

	CHECK_EQ(io->syscr - before->syscr, syscr);
	CHECK_EQ(io->rchar - before->rchar, rchar);
	CHECK_EQ(io->syscw - before->syscw, syscw);
	CHECK_EQ(io->wchar - before->wchar, wchar);
}

static void io_file(void)
{
	u64 iov[4] = {FT_AT, 30, FT_AT + 100, 20};
	s64 fd = OPEN("/counted", 0102, 0600), to = OPEN("/to", 0102, 0600);
	struct mm_task_io io = current->mt->io;
	char line[64];

	CHECK_EQ(ft_write((int)fd, text, 500), 500);
	io_is(&io, 0, 0, 1, 500);
	CHECK_EQ(SYS(17, fd, FT_AT, 400, 200), 300);
	io_is(&io, 1, 300, 1, 500);
	CHECK_EQ(SYS(17, fd, FT_AT, 400, 500), 0); /* the end */
	io_is(&io, 2, 300, 1, 500);
	ft_put(iov, sizeof(iov), 2000);
	CHECK_EQ(SYS(295, fd, FT_AT + 2000, 2, 0), 50);
	CHECK_EQ(SYS(296, fd, FT_AT + 2000, 2, 0), 50);
	io_is(&io, 3, 350, 2, 550);
	CHECK_EQ(SYS(8, fd, 0, 0), 0);
	CHECK_EQ(SYS(40, to, fd, 0, 100), 100);
	io_is(&io, 4, 450, 3, 650);
	/* Nothing was reached, or is no reading. */
	CHECK_EQ(SYS(0, 999, FT_AT, 10), -EBADF);
	CHECK_EQ(SYS(1, 999, FT_AT, 10), -EBADF);
	io_is(&io, 4, 450, 3, 650);
	/* Refused by the file: a call, no bytes. */
	CHECK_EQ(SYS(0, fd, 0x10, 10), -EFAULT);
	io_is(&io, 5, 450, 3, 650);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK_EQ(CLOSE(to), 0);
	io = current->mt->io;
	CHECK(slurp("/proc/self/io", 4000) > 0);
	snprintf(line, sizeof(line), "rchar: %llu\nwchar: %llu\n",
		 (unsigned long long)io.rchar + 1000,
		 (unsigned long long)io.wchar);
	CHECK(strstr(text, line) == text);
	CHECK(strstr(text, "\nsyscr: ") && strstr(text, "\nread_bytes: "));
	io = current->mt->io;
	CHECK(slurp("/proc/1/task/1/io", 4000) > 0);
	CHECK_EQ(number_of("rchar: "), io.rchar);
	CHECK_EQ(number_of("cancelled_write_bytes: "),
		 io.cancelled_write_bytes);
	ft_become(1000);
	CHECK_EQ(slurp("/proc/1/io", 10), -EACCES);
	CHECK_EQ(slurp("/proc/1/task/1/io", 10), -EACCES);
	ft_become(0);
}

/* All are in the first namespaces; there is nowhere to go by the links. */
static void namespaces(void)
{
	struct ft_stat st;

	CHECK_EQ(strcmp(ft_readlink("/proc/self/ns/pid"), "pid:[4026531836]"),
		 0);
	CHECK_EQ(strcmp(ft_readlink("/proc/1/task/1/ns/uts"),
			"uts:[4026531838]"),
		 0);
	CHECK_EQ(ft_stat("/proc/self/ns", true, &st), 0);
	CHECK_EQ(st.mode, S_IFDIR | 0511);
	CHECK_EQ(OPEN("/proc/self/ns/mnt", 0, 0), -ENXIO);
	CHECK_EQ(OPEN("/proc/self/ns/none", 0, 0), -ENOENT);
	ft_become(1000);
	CHECK_EQ(OPEN("/proc/1/ns/mnt", 0, 0), -EACCES);
	ft_become(0);
	CHECK_EQ(strcmp(ft_readlink("/proc/net"), "self/net"), 0);
	has("/proc/net/unix", "of unix\n");
	has("/proc/net/tcp", "of inet 0 1\n");
	has("/proc/net/udp6", "of inet 1 2\n");
	has("/proc/net/raw", "of inet 0 3\n");
	has("/proc/net/sockstat6", "sums 1\n");
	has("/proc/1/task/1/net/dev", "devices\n");
}

static int task_body(void *arg)
{
	char word[32] = {0};
	s64 fd, out;

	(void)arg;
	mount_both();
	CHECK_EQ(strcmp(ft_readlink("/proc/self"), "1"), 0);
	CHECK_EQ(strcmp(ft_readlink("/proc/thread-self"), "1/task/1"), 0);
	stat_has_52_fields();
	has("/proc/1/task/1/stat", "1 (a b) c) R");
	/* minflt and so on, utime and stime, starttime. */
	has("/proc/1/task/1/stat", " 7 0 0 0 4 2 0 0 20 0 1 0 999 ");
	has("/proc/self/status", "\nFDSize:\t64\nGroups:\t");
	has("/proc/self/status", "VmRSS:\t");
	has("/proc/self/status", "\nUid:\t0\t0\t0\t0\n");
	has("/proc/self/status", "Cpus_allowed_list:\t0");
	has("/proc/self/limits",
	    "Max open files            1024                 unlimited");
	has("/proc/self/maps", "rw-p");
	has("/proc/self/smaps_rollup", "[rollup]");
	/* Directories and descriptors. */
	CHECK_EQ(MKDIR("/here", 0755), 0);
	CHECK_EQ(CHDIR("/here"), 0);
	CHECK_EQ(strcmp(ft_readlink("/proc/self/cwd"), "/here"), 0);
	CHECK_EQ(strcmp(ft_readlink("/proc/self/root"), "/"), 0);
	fd = OPEN("file", 0102, 0600);
	CHECK_EQ(ft_write((int)fd, "gone soon", 9), 9);
	snprintf(word, sizeof(word), "/proc/self/fd/%d", (int)fd);
	CHECK_EQ(strcmp(ft_readlink(word), "/here/file"), 0);
	CHECK_EQ(UNLINK("/here/file"), 0);
	CHECK_EQ(strcmp(ft_readlink(word), "/here/file (deleted)"), 0);
	/* The link leads to what has no name. */
	CHECK_EQ(slurp(word, 100), 9);
	CHECK_EQ(strcmp(text, "gone soon"), 0);
	snprintf(word, sizeof(word), "/proc/self/fdinfo/%d", (int)fd);
	has(word, "pos:\t9\n");
	CHECK_EQ(CLOSE(fd), 0);
	CHECK_EQ(slurp(word, 10), -ENOENT);
	map_files();
	io_file();
	namespaces();
	/* Memory. */
	fd = OPEN("/proc/self/mem", 2, 0);
	ft_put("before", 7, 4096);
	CHECK_EQ(SYS(17, fd, FT_AT, 6, FT_AT + 4096), 6);
	ft_get(word, 6, 0);
	CHECK_EQ(memcmp(word, "before", 6), 0);
	ft_put("after!", 7, 0);
	CHECK_EQ(SYS(18, fd, FT_AT, 6, FT_AT + 4096), 6);
	ft_get(word, 6, 4096);
	CHECK_EQ(memcmp(word, "after!", 6), 0);
	CHECK_EQ(SYS(17, fd, FT_AT, 6, 0x10), -EIO);
	CHECK_EQ(CLOSE(fd), 0);
	/* Wishes. */
	CHECK_EQ(put("/proc/self/oom_score_adj", "-500\n"), 5);
	has("/proc/self/oom_score_adj", "-500\n");
	has("/proc/self/oom_adj", "-8\n");
	CHECK_EQ(put("/proc/self/oom_score_adj", "1001"), -EINVAL);
	CHECK_EQ(put("/proc/self/clear_refs", "4\n"), 2);
	CHECK_EQ(put("/proc/self/clear_refs", "9"), -EINVAL);
	CHECK_EQ(put("/proc/self/comm", "renamed\n"), 8);
	has("/proc/self/comm", "renamed\n");
	ft_become(1000);
	CHECK_EQ(slurp("/proc/1/environ", 10), -EACCES);
	CHECK_EQ(slurp("/proc/1/maps", 10), -EACCES);
	CHECK_EQ(put("/proc/1/oom_score_adj", "-600"), -EACCES);
	ft_become(0);
	/* It ends while its files are open, and another gets its number. */
	fd = OPEN("/proc/1/status", 0, 0);
	out = OPEN("/proc/1", 0200000, 0);
	CHECK(fd >= 0 && out >= 0);
	ended = true;
	CHECK_EQ(ft_read((int)fd, word, 10), -ESRCH);
	CHECK_EQ(slurp("/proc/1/stat", 10), -ENOENT);
	ended = false;
	ft.proc.start_ns++;
	CHECK_EQ(ft_read((int)fd, word, 10), -ESRCH);
	CHECK(slurp("/proc/1/stat", 10) > 0);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK_EQ(CLOSE(out), 0);
	CHECK_EQ(CHDIR("/"), 0);
	umount_both();
	return 0;
}

static void task_files_(void **state)
{
	(void)state;
	FS_RUN(task_body);
}

/* ---- control groups --------------------------------------------------------
 */

/* What poll(2) says of FD now. */
static u32 polled(s64 fd)
{
	struct file *file = fd_get((int)fd);
	u32 mask;

	CHECK(file != NULL);
	mask = file->f_op->poll(file, NULL);
	fput(file);
	return mask & (POLLPRI | POLLERR);
}

/* FD is read again from its start. */
static void look(s64 fd)
{
	CHECK_EQ(SYS(8, fd, 0, 0), 0);
	CHECK(ft_read((int)fd, text, 4000) > 0);
}

/* /cg/a, with /cg/a/b below it: how many and how deep. */
static void cgroup_limits(void)
{
	has("/cg/cgroup.max.depth", "max\n");
	has("/cg/cgroup.stat", "nr_descendants 2\nnr_dying_descendants 0\n");
	has("/cg/a/cgroup.stat", "nr_descendants 1\n");
	CHECK_EQ(put("/cg/a/cgroup.max.descendants", "-1"), -EINVAL);
	CHECK_EQ(put("/cg/a/cgroup.max.depth", "deep"), -EINVAL);
	CHECK_EQ(put("/cg/a/cgroup.max.descendants", "1\n"), 2);
	has("/cg/a/cgroup.max.descendants", "1\n");
	CHECK_EQ(MKDIR("/cg/a/c", 0755), -EAGAIN);
	CHECK_EQ(MKDIR("/cg/a/b/c", 0755), -EAGAIN);
	CHECK_EQ(put("/cg/a/cgroup.max.descendants", "max"), 3);
	CHECK_EQ(put("/cg/cgroup.max.depth", "2"), 1);
	CHECK_EQ(MKDIR("/cg/a/b/c", 0755), -EAGAIN);
	CHECK_EQ(MKDIR("/cg/a/c", 0755), 0);
	CHECK_EQ(RMDIR("/cg/a/c"), 0);
	CHECK_EQ(put("/cg/cgroup.max.depth", "0"), 1);
	CHECK_EQ(MKDIR("/cg/d", 0755), -EAGAIN);
	CHECK_EQ(put("/cg/cgroup.max.depth", "max"), 3);
}

/* Events are told to who has the file open, until he reads it. */
static void cgroup_waits(void)
{
	s64 fd = OPEN("/cg/a/memory.events", 0, 0);
	s64 local = OPEN("/cg/a/memory.events.local", 0, 0);
	s64 procs = OPEN("/cg/a/cgroup.events", 0, 0);
	struct memcg *m = memcg_get(1);

	CHECK(fd >= 0 && local >= 0 && procs >= 0 && m);
	CHECK_EQ(polled(fd), 0);
	memcg_event(m, MEMCG_HIGH);
	CHECK_EQ(polled(fd), POLLPRI | POLLERR);
	CHECK_EQ(polled(local), POLLPRI | POLLERR);
	look(fd);
	CHECK(strstr(text, "high 1\n"));
	CHECK_EQ(polled(fd), 0);
	CHECK_EQ(polled(local), POLLPRI | POLLERR);
	CHECK_EQ(polled(procs), 0);
	CHECK_EQ(put("/cg/a/cgroup.procs", "0"), 1);
	CHECK_EQ(polled(procs), POLLPRI | POLLERR);
	look(procs);
	CHECK_EQ(polled(procs), 0);
	CHECK_EQ(put("/cg/cgroup.procs", "0"), 1);
	CHECK_EQ(polled(procs), POLLPRI | POLLERR);
	memcg_put(m, 1);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK_EQ(CLOSE(local), 0);
	CHECK_EQ(CLOSE(procs), 0);
}

/* Freezing and killing all of a group, our task being in DIR/b. */
static void cgroup_all(const char *dir)
{
	char path[64];
	u64 before;
	s64 fd;

	snprintf(path, sizeof(path), "%s/cgroup.events", dir);
	fd = OPEN(path, 0, 0);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "%s/cgroup.freeze", dir);
	CHECK_EQ(put(path, "2"), -ERANGE);
	CHECK_EQ(put(path, ""), -EINVAL);
	has(path, "0\n");
	rests = false;
	CHECK_EQ(put(path, "1"), 1);
	CHECK(ft.task.freeze);
	look(fd);
	CHECK(strstr(text, "populated 1\nfrozen 0\n"));
	/* It comes to rest. */
	ft.task.frozen = true;
	cgroup_rested(&ft.task);
	CHECK_EQ(polled(fd), POLLPRI | POLLERR);
	look(fd);
	CHECK(strstr(text, "frozen 1\n"));
	has("/cg/a/b/cgroup.events", "frozen 1\n");
	has("/cg/a/b/cgroup.freeze", "0\n");
	/* Who leaves goes on; who comes stops. */
	CHECK_EQ(put("/cg/cgroup.procs", "0"), 1);
	CHECK(!ft.task.freeze);
	rests = true;
	CHECK_EQ(put("/cg/a/b/cgroup.procs", "0"), 1);
	CHECK(ft.task.freeze);
	look(fd);
	CHECK_EQ(put(path, "0\n"), 2);
	CHECK(!ft.task.freeze);
	CHECK_EQ(polled(fd), POLLPRI | POLLERR);
	look(fd);
	CHECK(strstr(text, "frozen 0\n"));
	CHECK_EQ(CLOSE(fd), 0);
	snprintf(path, sizeof(path), "%s/cgroup.kill", dir);
	CHECK_EQ(put(path, "0"), -ERANGE);
	before = kt_stub.signals;
	dies = true;
	CHECK_EQ(put(path, "1\n"), 2);
	dies = false;
	WRITE_ONCE(kt_stub.signal, false);
	CHECK_EQ(kt_stub.signals, before + 1);
	CHECK_EQ(kt_stub.last_sig, 9);
}

#define CHMOD(path, mode)     SYS(90, ft_str(path), (mode))
#define CHOWN(path, uid, gid) SYS(92, ft_str(path), (uid), (gid))

/* Threaded groups a/t and a/u below the domain a, in none of which anybody is
 * to begin with. */
static void threads_spread(void)
{
	CHECK_EQ(put("/cg/a/cgroup.type", "domain"), -EINVAL);
	CHECK_EQ(put("/cg/a/t/cgroup.type", "threaded\n"), 9);
	CHECK_EQ(put("/cg/a/t/cgroup.type", "threaded"), 8);
	has("/cg/a/t/cgroup.type", "threaded\n");
	has("/cg/a/cgroup.type", "domain threaded\n");
	has("/cg/a/u/cgroup.type", "domain invalid\n");
	has("/cg/a/t/x/cgroup.type", "domain invalid\n");
	CHECK_EQ(put("/cg/a/u/cgroup.procs", "1"), -EOPNOTSUPP);
	CHECK_EQ(put("/cg/a/u/cgroup.threads", "1"), -EOPNOTSUPP);
	CHECK_EQ(put("/cg/a/u/cgroup.subtree_control", "+memory"), -ENOENT);
	CHECK_EQ(put("/cg/a/cgroup.subtree_control", "+memory"), -EOPNOTSUPP);
	CHECK_EQ(put("/cg/a/u/cgroup.type", "threaded"), 8);
	/* The process first: a thread alone does not leave its domain. */
	CHECK_EQ(put("/cg/a/t/cgroup.threads", "2"), -EOPNOTSUPP);
	CHECK_EQ(put("/cg/a/t/cgroup.procs", "2"), 1);
	has("/cg/a/t/cgroup.threads", "1\n2\n");
	CHECK_EQ(put("/cg/a/u/cgroup.threads", "2\n"), 2);
	has("/cg/a/t/cgroup.threads", "1\n");
	has("/cg/a/u/cgroup.threads", "2\n");
	has("/cg/a/cgroup.procs", "1\n");
	CHECK_EQ(slurp("/cg/a/cgroup.threads", 10), 0);
	CHECK_EQ(slurp("/cg/a/t/cgroup.procs", 10), -EOPNOTSUPP);
	CHECK_EQ(slurp("/cg/cgroup.procs", 10), 0);
	CHECK_EQ(put("/cg/a/t/cgroup.threads", "4711"), -ESRCH);
	CHECK_EQ(put("/cg/cgroup.threads", "2"), -EOPNOTSUPP);
	CHECK_EQ(put("/cg/a/u/cgroup.kill", "1"), -EOPNOTSUPP);
	has("/cg/a/u/cgroup.events", "populated 1\n");
	CHECK_EQ(RMDIR("/cg/a/u"), -EBUSY);
}

/* Each thread rests as its own group says. */
static void threads_freeze(void)
{
	rests = true;
	CHECK_EQ(put("/cg/a/u/cgroup.freeze", "1"), 1);
	CHECK(second.freeze && !ft.task.freeze);
	has("/cg/a/u/cgroup.events", "frozen 1\n");
	has("/cg/a/cgroup.events", "frozen 0\n");
	CHECK_EQ(put("/cg/a/t/cgroup.threads", "2"), 1);
	CHECK(!second.freeze);
	CHECK_EQ(put("/cg/a/u/cgroup.threads", "2"), 1);
	CHECK(second.freeze);
	CHECK_EQ(put("/cg/a/u/cgroup.freeze", "0"), 1);
	CHECK(!second.freeze);
	rests = false;
}

/* The group called NAME has no limit. */
static bool unlimited(const char *name)
{
	struct memcg *m = NULL;

	while ((m = memcg_next(NULL, m)) && strcmp(m->name, name))
		;
	CHECK(m != NULL);
	memcg_put(m, 1);
	return m->memory.max == MEMCG_NO_LIMIT;
}

/* What keeps a group from becoming threaded: /cg/a/t. */
static void threads_refused(void)
{
	has("/cg/a/cgroup.type", "domain\n");
	CHECK_EQ(slurp("/cg/cgroup.type", 10), -ENOENT);
	/* Not while somebody is in it, or in a domain beside it. */
	CHECK_EQ(put("/cg/a/t/cgroup.procs", "1"), 1);
	CHECK_EQ(put("/cg/a/t/cgroup.type", "threaded"), -EOPNOTSUPP);
	CHECK_EQ(put("/cg/a/u/cgroup.type", "threaded"), -EOPNOTSUPP);
	CHECK_EQ(put("/cg/cgroup.procs", "1"), 1);
	/* Nor where memory is handed out. */
	CHECK_EQ(put("/cg/a/cgroup.subtree_control", "+memory"), 7);
	CHECK_EQ(put("/cg/a/t/memory.max", "1M"), 2);
	CHECK_EQ(put("/cg/a/t/cgroup.type", "threaded"), -EOPNOTSUPP);
	CHECK_EQ(put("/cg/a/cgroup.subtree_control", "-memory"), 7);
}

static void threaded_groups(void)
{
	two = true;
	memcg_fork(&second_mt, ft.task.mt);
	CHECK_EQ(MKDIR("/cg/a", 0755), 0);
	CHECK_EQ(MKDIR("/cg/a/t", 0755), 0);
	CHECK_EQ(MKDIR("/cg/a/t/x", 0755), 0);
	CHECK_EQ(MKDIR("/cg/a/u", 0755), 0);
	threads_refused();
	threads_spread();
	threads_freeze();
	/* The limit went with the file. */
	CHECK_EQ(slurp("/cg/a/t/memory.max", 10), -ENOENT);
	CHECK_EQ(slurp("/cg/a/t/cgroup.controllers", 10), 1);
	CHECK_EQ(put("/cg/a/cgroup.procs", "1"), 1);
	CHECK_EQ(second_mt.group, ft.task.mt->group);
	/* Right below the root: memory is handed out all the same. */
	CHECK_EQ(MKDIR("/cg/r", 0755), 0);
	has("/cg/r/memory.max", "max\n");
	CHECK_EQ(put("/cg/r/memory.max", "1M"), 2);
	CHECK(!unlimited("r"));
	CHECK_EQ(put("/cg/r/cgroup.type", "threaded"), 8);
	CHECK(unlimited("r"));
	has("/cg/a/cgroup.type", "domain threaded\n");
	CHECK_EQ(slurp("/cg/r/memory.max", 10), -ENOENT);
	CHECK_EQ(put("/cg/cgroup.procs", "1"), 1);
	CHECK_EQ(put("/cg/r/cgroup.threads", "2"), 1);
	has("/cg/cgroup.procs", "1\n");
	CHECK_EQ(put("/cg/cgroup.threads", "2"), 1);
	memcg_task_leave(&second_mt);
	two = false;
	CHECK_EQ(RMDIR("/cg/r"), 0);
	CHECK_EQ(RMDIR("/cg/a/t/x"), 0);
	CHECK_EQ(RMDIR("/cg/a/t"), 0);
	has("/cg/a/cgroup.type", "domain threaded\n");
	CHECK_EQ(RMDIR("/cg/a/u"), 0);
	has("/cg/a/cgroup.type", "domain\n");
	CHECK_EQ(RMDIR("/cg/a"), 0);
}

/* A user who was given a group: what is below is his, what is above is not. */
static void delegation(void)
{
	CHECK_EQ(MKDIR("/cg/d", 0755), 0);
	CHECK_EQ(MKDIR("/cg/e", 0755), 0);
	CHECK_EQ(put("/cg/e/cgroup.procs", "1"), 1);
	ft_become(7);
	CHECK_EQ(MKDIR("/cg/d/x", 0755), -EACCES);
	CHECK_EQ(CHOWN("/cg/d", 7, 7), -EPERM);
	ft_become(0);
	CHECK_EQ(CHOWN("/cg/d", 7, 7), 0);
	CHECK_EQ(CHOWN("/cg/d/cgroup.procs", 7, 7), 0);
	CHECK_EQ(CHOWN("/cg/d/cgroup.subtree_control", 7, 7), 0);
	ft_become(7);
	CHECK_EQ(MKDIR("/cg/d/x", 0755), 0);
	CHECK_EQ(MKDIR("/cg/d/y", 0755), 0);
	CHECK_EQ(put("/cg/d/memory.max", "1M"), -EACCES);
	CHECK_EQ(put("/cg/d/cgroup.subtree_control", "+memory"), 7);
	CHECK_EQ(put("/cg/d/x/memory.max", "1M"), 2);
	CHECK_EQ(MKDIR("/cg/z", 0755), -EACCES);
	/* Nobody comes from outside, even to a file that is his. */
	CHECK_EQ(put("/cg/d/x/cgroup.procs", "1"), -EACCES);
	ft_become(0);
	CHECK_EQ(put("/cg/d/x/cgroup.procs", "1"), 1);
	ft_become(7);
	CHECK_EQ(put("/cg/d/y/cgroup.procs", "1"), 1);
	has("/cg/d/y/cgroup.procs", "1\n");
	CHECK_EQ(put("/cg/e/cgroup.procs", "1"), -EACCES);
	ft_become(0);
	CHECK_EQ(CHMOD("/cg/e/cgroup.procs", 0666), 0);
	ft_become(7);
	CHECK_EQ(put("/cg/e/cgroup.procs", "1"), -EACCES);
	/* Modes and owners are the group's, not the name's. */
	CHECK_EQ(CHMOD("/cg/d/x", 0700), 0);
	CHECK_EQ(CHMOD("/cg/d/x/memory.max", 0600), 0);
	ft_become(8);
	CHECK_EQ(slurp("/cg/d/x/memory.max", 10), -EACCES);
	CHECK_EQ(CHMOD("/cg/d/y", 0777), -EPERM);
	ft_become(7);
	has("/cg/d/x/memory.max", "1048576\n");
	CHECK_EQ(RMDIR("/cg/d/x"), 0);
	CHECK_EQ(MKDIR("/cg/d/x", 0755), 0);
	ft_become(8);
	has("/cg/d/x/memory.max", "max\n");
	ft_become(0);
	CHECK_EQ(CHMOD("/proc/version", 0600), -EPERM);
	CHECK_EQ(put("/cg/cgroup.procs", "1"), 1);
	CHECK_EQ(RMDIR("/cg/d/x"), 0);
	CHECK_EQ(RMDIR("/cg/d/y"), 0);
	CHECK_EQ(RMDIR("/cg/d"), 0);
	CHECK_EQ(RMDIR("/cg/e"), 0);
}

/* Triggers: one for each open file, told once a window. */
static void pressure_files(void)
{
	static const char *const bad[] = {"",
					  "some",
					  "some 1 2 3",
					  "some 0 1000000",
					  "all 1 1000000",
					  "some 600000 500000",
					  "full 1 499999",
					  "some 1 10000001",
					  "some 1x 1000000"};
	s64 fd = OPEN("/proc/pressure/memory", 2, 0);
	struct memstall stall;

	CHECK(fd >= 0);
	has("/proc/pressure/memory", "some avg10=0.00 avg60=");
	has("/cg/memory.pressure", "\nfull avg10=");
	CHECK_EQ(polled(fd), POLLPRI | POLLERR);
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(SYS(1, fd, ft_str(bad[i]), strlen(bad[i])), -EINVAL);
	CHECK_EQ(SYS(1, fd, ft_str("some 100000 1000000"), 20), 20);
	CHECK_EQ(SYS(1, fd, ft_str("some 100000 1000000"), 20), -EBUSY);
	CHECK_EQ(polled(fd), 0);
	psi_memstall_enter(&stall);
	port_park(300UL * 1000 * 1000);
	psi_memstall_leave(&stall);
	port_park(200UL * 1000 * 1000);
	CHECK_EQ(polled(fd), POLLPRI);
	CHECK_EQ(polled(fd), 0);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK(memcg_sys.monitor == NULL);
}

static int cgroup_body(void *arg)
{
	(void)arg;
	mount_both();
	CHECK_EQ(MKDIR("/cg", 0755), 0);
	CHECK_EQ(MOUNT("none", "/cg", "cgroup2", 0, ""), 0);
	has("/cg/cgroup.controllers", "memory\n");
	has("/cg/cgroup.procs", "1\n");
	has("/cg/memory.stat", "anon ");
	has("/proc/self/cgroup", "0::/\n");
	CHECK_EQ(slurp("/cg/memory.max", 10), -ENOENT);
	CHECK_EQ(OPEN("/cg/new", 0101, 0644), -EACCES);
	/* No files of memory before the directory above has it on. */
	CHECK_EQ(MKDIR("/cg/a", 0755), 0);
	CHECK_EQ(MKDIR("/cg/a", 0755), -EEXIST);
	CHECK_EQ(slurp("/cg/a/memory.max", 10), -ENOENT);
	CHECK_EQ(slurp("/cg/a/cgroup.controllers", 10), 1);
	CHECK_EQ(put("/cg/a/cgroup.subtree_control", "+memory"), -ENOENT);
	CHECK_EQ(put("/cg/cgroup.subtree_control", "+cpu"), -EINVAL);
	CHECK_EQ(put("/cg/cgroup.subtree_control", "+memory\n"), 8);
	has("/cg/a/memory.max", "max\n");
	has("/cg/a/cgroup.events", "populated 0\n");
	CHECK_EQ(put("/cg/a/memory.max", "8M\n"), 3);
	has("/cg/a/memory.max", "8388608\n");
	CHECK_EQ(put("/cg/a/memory.max", "much"), -EINVAL);
	CHECK_EQ(slurp("/cg/a/memory.reclaim", 10), -EINVAL);
	CHECK_EQ(MKDIR("/cg/a/memory.max", 0755), -EEXIST);
	/* Who is in it. */
	CHECK_EQ(MKDIR("/cg/a/b", 0755), 0);
	cgroup_limits();
	cgroup_waits();
	CHECK_EQ(put("/cg/a/b/cgroup.procs", "4711"), -ESRCH);
	CHECK_EQ(put("/cg/a/b/cgroup.procs", "x"), -EINVAL);
	CHECK_EQ(put("/cg/a/b/cgroup.procs", "0\n"), 2);
	has("/proc/self/cgroup", "0::/a/b\n");
	has("/cg/a/b/cgroup.procs", "1\n");
	CHECK_EQ(slurp("/cg/cgroup.procs", 10), 0);
	has("/cg/a/cgroup.events", "populated 1\n");
	cgroup_all("/cg/a");
	CHECK_EQ(RMDIR("/cg/a/b"), -EBUSY);
	CHECK_EQ(RMDIR("/cg/a"), -EBUSY);
	/* Processes, or controllers for those below: not both. */
	CHECK_EQ(put("/cg/a/b/cgroup.subtree_control", "+memory"), -ENOENT);
	CHECK_EQ(put("/cg/a/cgroup.subtree_control", "+memory"), 7);
	CHECK_EQ(put("/cg/a/b/cgroup.subtree_control", "+memory"), -EBUSY);
	CHECK_EQ(put("/cg/a/cgroup.procs", "1"), -EBUSY);
	has("/cg/a/b/memory.events", "oom_kill 0\n");
	files_seen = 0;
	CHECK_EQ(put("/cg/cgroup.procs", "1"), 1);
	has("/proc/1/cgroup", "0::/\n");
	CHECK_EQ(RMDIR("/cg/a/b"), 0);
	CHECK_EQ(slurp("/cg/a/b/cgroup.procs", 10), -ENOENT);
	CHECK_EQ(RMDIR("/cg/a"), 0);
	CHECK_EQ(RMDIR("/cg/a"), -ENOENT);
	threaded_groups();
	delegation();
	pressure_files();
	umount_one_of("/cg");
	umount_both();
	return 0;
}

static void cgroups(void **state)
{
	(void)state;
	FS_RUN(cgroup_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees),   cmocka_unit_test(system_files),
		cmocka_unit_test(sysctls), cmocka_unit_test(task_files_),
		cmocka_unit_test(cgroups), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
