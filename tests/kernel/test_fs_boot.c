/* SPDX-License-Identifier: MIT */
/*
 * What a kernel's files begin with: archives of cpio(1), packed by gzip(1) or
 * not, whole and damaged; devices.
 */
#include "fs_machine.h"

#define IMAGE_MOST (4u << 20)

static u8 image[IMAGE_MOST];
static u64 image_len;

/* What COMMAND writes. */
static void run(const char *command)
{
	FILE *f = popen(command, "r");
	size_t n;

	assert_non_null(f);
	image_len = 0;
	while ((n = fread(image + image_len, 1, sizeof(image) - image_len, f)) >
	       0)
		image_len += n;
	assert_int_equal(pclose(f), 0);
	assert_true(image_len > 0);
}

static bool have(const char *program)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "command -v %s >/dev/null 2>&1", program);
	return system(cmd) == 0;
}

/* ---- gunzip ----------------------------------------------------------------
 */

struct collect {
	struct inflate_sink sink;
	u8 *buf;
	u64 len, most;
};

static int collect(struct inflate_sink *sink, const u8 *data, u64 n)
{
	struct collect *c = container_of(sink, struct collect, sink);

	if (n > c->most - c->len)
		return -ENOSPC;
	memcpy(c->buf + c->len, data, n);
	c->len += n;
	return 0;
}

static u8 plain[1 << 20], unpacked[1 << 20];
static u64 plain_len;

/* PLAIN as gzip packs it with LEVEL. */
static void pack(int level)
{
	char dir[] = "/tmp/mmkit-gz-XXXXXX", cmd[128], file[64];
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/f", dir);
	f = fopen(file, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(plain, 1, plain_len, f), plain_len);
	assert_int_equal(fclose(f), 0);
	snprintf(cmd, sizeof(cmd), "gzip -%d -c %s; rm -rf %s", level, file,
		 dir);
	run(cmd);
}

/* Bytes of a kind that packs in a way of its own. */
static void fill(struct prng *p, int kind)
{
	plain_len = prng_below(p, kind == 3 ? 300 : sizeof(plain) / 4);
	for (u64 i = 0; i < plain_len; i++) {
		if (kind == 0)
			plain[i] = (u8)prng_u64(p);
		else if (kind == 1)
			plain[i] = (u8)('a' + prng_below(p, 3));
		else
			plain[i] = (u8)(i / 1000 * 7);
	}
}

static int gunzip_body(void *arg)
{
	struct collect c = {.sink.take = collect,
			    .buf = unpacked,
			    .most = sizeof(unpacked)};
	struct prng *p = arg;
	const char *why = NULL;
	u64 used, damaged = 0, found = 0;

	CHECK_EQ(inflate_gzip(image, image_len, &c.sink, &used, &why), 0);
	CHECK_EQ(used, image_len);
	CHECK_EQ(c.len, plain_len);
	CHECK(!memcmp(unpacked, plain, plain_len));
	/* A byte that is another, an end that came too soon. */
	for (u64 i = 0; i < test_iters(tm_soak() ? 3000 : 60); i++) {
		u64 at = prng_below(p, image_len), len = image_len;
		u8 was = image[at];
		int err;

		if (prng_below(p, 4))
			image[at] ^= (u8)(1 + prng_below(p, 255));
		else
			len = at;
		c.len = 0;
		why = NULL;
		err = inflate_gzip(image, len, &c.sink, &used, &why);
		CHECK(used <= len);
		CHECK(err == 0 || err == -ENOSPC || (err == -EINVAL && why));
		/* Time, name and system are not covered by a checksum. */
		if (at >= 18) {
			damaged++;
			found += err != 0;
		}
		if (!err)
			CHECK(c.len == plain_len &&
			      !memcmp(unpacked, plain, plain_len));
		image[at] = was;
	}
	/* Bits that fill the last byte say nothing. */
	CHECK(found * 4 >= damaged * 3);
	return 0;
}

static void gunzip(void **state)
{
	struct prng p;

	(void)state;
	if (!have("gzip"))
		skip();
	test_seed(&p, "test_fs_boot");
	for (int kind = 0; kind < 4; kind++) {
		for (int level = 1; level <= 9; level += 4) {
			fill(&p, kind);
			pack(level);
			TM_RUN(gunzip_body, .arg = &p);
		}
	}
}

/* ---- archives --------------------------------------------------------------
 */

static const char make_tree[] =
	"set -e; d=$(mktemp -d); cd $d; umask 022; mkdir -p bin etc/deep; "
	"echo hello >bin/hello; chmod 4755 bin/hello; ln bin/hello bin/again; "
	"ln -s ../bin/hello etc/link; "
	"head -c 100000 /dev/zero | tr '\\0' 'z' >etc/big; : >etc/empty; "
	"mkfifo etc/fifo; chmod 700 etc/deep; "
	"(find . | LC_ALL=C sort | cpio -o -H newc --quiet) > ../a.$$; cat "
	"../a.$$; rm ../a.$$; ";

static void check_tree(void)
{
	static char buf[4096];
	struct ft_stat st, t;
	int fd;

	CHECK_EQ(ft_stat("/bin/hello", true, &st), 0);
	CHECK_EQ(st.mode, S_IFREG | 04755);
	CHECK_EQ(st.nlink, 2);
	CHECK_EQ(ft_stat("/bin/again", true, &t), 0);
	CHECK_EQ(st.ino, t.ino);
	CHECK(!strcmp(ft_readlink("/etc/link"), "../bin/hello"));
	fd = (int)OPEN("/etc/link", O_RDONLY, 0);
	CHECK_EQ(ft_read(fd, buf, sizeof(buf)), 6);
	CHECK(!memcmp(buf, "hello\n", 6));
	CLOSE(fd);
	CHECK_EQ(ft_stat("/etc/big", true, &st), 0);
	CHECK_EQ(st.size, 100000);
	fd = (int)OPEN("/etc/big", O_RDONLY, 0);
	for (int n, sum = 0; sum < 100000; sum += n) {
		n = (int)ft_read(fd, buf, sizeof(buf));
		CHECK(n > 0);
		for (int i = 0; i < n; i++)
			CHECK_EQ(buf[i], 'z');
	}
	CLOSE(fd);
	CHECK_EQ(ft_stat("/etc/empty", true, &st), 0);
	CHECK_EQ(st.size, 0);
	CHECK_EQ(ft_stat("/etc/fifo", true, &st), 0);
	CHECK_EQ(st.mode & S_IFMT, S_IFIFO);
	CHECK_EQ(ft_stat("/etc/deep", true, &st), 0);
	CHECK_EQ(st.mode, S_IFDIR | 0700);
}

static int archive_body(void *arg)
{
	char why[200];

	(void)arg;
	CHECK_EQ(initramfs_unpack(image, image_len, why, sizeof(why)), 0);
	check_tree();
	/* Again over what is there. */
	CHECK_EQ(initramfs_unpack(image, image_len, why, sizeof(why)), 0);
	check_tree();
	return 0;
}

static void archives(void **state)
{
	char cmd[1024];

	(void)state;
	if (!have("cpio") || !have("gzip"))
		skip();
	snprintf(cmd, sizeof(cmd), "%s rm -rf $d", make_tree);
	run(cmd);
	FS_RUN(archive_body);
	snprintf(cmd, sizeof(cmd), "(%s rm -rf $d) | gzip -9", make_tree);
	run(cmd);
	FS_RUN(archive_body);
	/* One after the other, with zeroes between. */
	snprintf(cmd, sizeof(cmd),
		 "(%s rm -rf $d); head -c 512 /dev/zero; "
		 "mkdir -p /tmp/mmk.$$/x && cd /tmp/mmk.$$ && (echo x | cpio "
		 "-o -H newc --quiet | gzip); rm -rf /tmp/mmk.$$",
		 make_tree);
	run(cmd);
	FS_RUN(archive_body);
}

/* Whatever is wrong, a line says where, and nothing else happens. */
static int damage_body(void *arg)
{
	struct prng *p = arg;
	char why[200];
	u64 errors = 0;

	p = ft.arg;
	for (u64 i = 0; i < test_iters(tm_soak() ? 2000 : 100); i++) {
		u64 at = prng_below(p, min(image_len, 3000UL));
		u64 len = image_len;
		u8 was = image[at];
		int err;

		if (prng_below(p, 4))
			image[at] = (u8)prng_u64(p);
		else
			len = at;
		err = initramfs_unpack(image, len, why, sizeof(why));
		errors += err != 0;
		CHECK(err <= 0);
		if (err)
			CHECK(tm_logged(why));
		image[at] = was;
	}
	CHECK(errors > 5);
	return 0;
}

static void damage(void **state)
{
	static struct prng p;
	char cmd[1024];

	(void)state;
	if (!have("cpio"))
		skip();
	test_seed(&p, "test_fs_boot damage");
	snprintf(cmd, sizeof(cmd), "%s rm -rf $d", make_tree);
	run(cmd);
	ft.body = damage_body;
	ft.arg = &p;
	TM_RUN(ft_main, .mem = 32UL << 20);
}

/* Cut anywhere it is not whole; and one that does not fit says so. */
static int cut_body(void *arg)
{
	char why[200] = "";

	(void)arg;
	CHECK_EQ(initramfs_unpack(image, image_len, why, sizeof(why)), 0);
	/* What follows the last entry's name is padding. */
	for (u64 len = 1; len < image_len - 512; len += 61) {
		memset(why, 0, sizeof(why));
		CHECK_EQ(initramfs_unpack(image, len, why, sizeof(why)),
			 -EINVAL);
		CHECK(strstr(why, "archive at byte 0, byte "));
		CHECK(strstr(why, ": the image ends within an entry"));
	}
	return 0;
}

static int big_body(void *arg)
{
	char why[200] = "";

	(void)arg;
	CHECK_EQ(initramfs_unpack(image, image_len, why, sizeof(why)), -ENOSPC);
	CHECK(strstr(why, "it does not fit: /big has no room after "));
	CHECK(tm_logged(why));
	return 0;
}

static void cut_and_big(void **state)
{
	char cmd[1024];

	(void)state;
	if (!have("cpio") || !have("gzip"))
		skip();
	snprintf(cmd, sizeof(cmd), "%s rm -rf $d", make_tree);
	run(cmd);
	FS_RUN(cut_body);
	run("d=$(mktemp -d); cd $d; head -c 100000000 /dev/zero >big; "
	    "echo big | cpio -o -H newc --quiet | gzip -1; rm -rf $d");
	FS_RUN(big_body);
}

/* ---- devices ---------------------------------------------------------------
 */

static int devices_body(void *arg)
{
	char buf[64] = {1};
	u8 a[16], b[16];
	struct ft_stat st;
	int fd;

	(void)arg;
	CHECK_EQ(ft_stat("/dev/null", true, &st), 0);
	CHECK(st.mode == (S_IFCHR | 0666) && st.rdev == MKDEV(1, 3));
	fd = (int)OPEN("/dev/null", O_RDWR, 0);
	CHECK_EQ(ft_write(fd, "x", 1), 1);
	CHECK_EQ(ft_read(fd, buf, 8), 0);
	CLOSE(fd);
	fd = (int)OPEN("/dev/zero", O_RDONLY, 0);
	CHECK_EQ(ft_read(fd, buf, sizeof(buf)), sizeof(buf));
	for (u32 i = 0; i < sizeof(buf); i++)
		CHECK_EQ(buf[i], 0);
	CLOSE(fd);
	fd = (int)OPEN("/dev/full", O_WRONLY, 0);
	CHECK_EQ(ft_write(fd, "x", 1), -ENOSPC);
	CLOSE(fd);
	fd = (int)OPEN("/dev/urandom", O_RDONLY, 0);
	CHECK_EQ(ft_read(fd, a, 16), 16);
	CHECK_EQ(ft_read(fd, b, 16), 16);
	CHECK(memcmp(a, b, 16));
	CLOSE(fd);
	fd = (int)OPEN("/dev/port", O_RDWR, 0);
	CHECK_EQ(SYS(8, fd, 0x402, 0), 0x402);
	CHECK_EQ(ft_write(fd, "\x2a", 1), 1);
	CHECK_EQ(kt_port(0x402), 0x2a);
	CLOSE(fd);
	fd = (int)OPEN("/dev/kmsg", O_RDWR, 0);
	CHECK_EQ(ft_write(fd, "<4>said so\n", 11), 11);
	CHECK(tm_logged("said so"));
	CLOSE(fd);
	/* A node of a number that nobody has. */
	CHECK_EQ(SYS(133, ft_str("/x"), S_IFCHR | 0600, MKDEV(99, 1)), 0);
	CHECK_EQ(OPEN("/x", O_RDONLY, 0), -ENXIO);
	return 0;
}

static void devices(void **state)
{
	(void)state;
	FS_RUN(devices_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gunzip),  cmocka_unit_test(archives),
		cmocka_unit_test(damage),  cmocka_unit_test(cut_and_big),
		cmocka_unit_test(devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
