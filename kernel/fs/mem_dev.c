/* SPDX-License-Identifier: MIT */
/*
 * mem_dev.c - null, zero, full, random, urandom and port.
 *
 * random(4) and urandom(4) give the same: words of the world's entropy; what
 * is written to them is taken and not used (the world needs no seed). kmsg's
 * reader gets the log as text, each open file from its beginning and then the
 * end of file; what is written becomes a line of the log. port is one I/O port
 * for each byte position. zero can be mapped, which is how programs got
 * anonymous memory before MAP_ANONYMOUS.
 *
 * References: null(4), zero(4), full(4), random(4), mem(4) (port).
 */
#include <mmkit/errno.h>
#include <mmkit/port.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "fs.h"
#include "machine.h"
#include "space/space.h"

#define MEM_MAJOR 1u

/* ---- null, zero, full ------------------------------------------------------
 */

static s64 null_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	(void)iter;
	(void)pos;
	return 0;
}

static s64 null_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	s64 n = (s64)iter->count;

	(void)file;
	(void)pos;
	iter->count = 0;
	return n;
}

static s64 zero_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	static const char zeroes[256];
	s64 total = 0;

	(void)file;
	(void)pos;
	while (iter->count) {
		u64 n = min(iter->count, (u64)sizeof(zeroes));
		u64 done = iter_put(iter, zeroes, n);

		total += (s64)done;
		if (done < n)
			return total ? total : -EFAULT;
		if (current && signal_pending(current))
			break;
	}
	return total;
}

static s64 full_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	(void)iter;
	(void)pos;
	return -ENOSPC;
}

static s64 null_llseek(struct file *file, s64 off, int whence)
{
	(void)off;
	(void)whence;
	file->f_pos = 0;
	return 0;
}

/* ---- random ----------------------------------------------------------------
 */

static s64 random_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	s64 total = 0;
	u64 words[8];

	(void)file;
	(void)pos;
	while (iter->count) {
		u64 n = min(iter->count, (u64)sizeof(words)), done;

		for (u32 i = 0; i < ARRAY_SIZE(words); i++)
			words[i] = port_entropy();
		done = iter_put(iter, words, n);
		total += (s64)done;
		if (done < n)
			return total ? total : -EFAULT;
		if (current && signal_pending(current))
			break;
	}
	return total;
}

/* ---- port ------------------------------------------------------------------
 */

#define NR_PORTS 65536u

static s64 port_xfer(struct iov_iter *iter, u64 *pos, bool write)
{
	s64 total = 0;
	u8 byte = 0;

	for (; iter->count && *pos < NR_PORTS; ++*pos, total++) {
		if (!write)
			byte = machine_inb((u16)*pos);
		if (!(write ? iter_get(iter, &byte, 1)
			    : iter_put(iter, &byte, 1)))
			return total ? total : -EFAULT;
		if (write)
			machine_outb((u16)*pos, byte);
	}
	return total;
}

static s64 port_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	return port_xfer(iter, pos, false);
}

static s64 port_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	return port_xfer(iter, pos, true);
}

static int port_open(struct vnode *v, struct file *file)
{
	(void)v;
	(void)file;
	return fs_capable(17 /* CAP_SYS_RAWIO */) ? 0 : -EPERM;
}

/* There are no pages to map. */
static int mem_mmap(struct file *file, struct vm_area_struct *vma)
{
	(void)file;
	(void)vma;
	return -ENODEV;
}

/* ---- names -----------------------------------------------------------------
 */

static const struct file_operations null_fops = {
	.read_iter = null_read,
	.write_iter = null_write,
	.mmap = mem_mmap,
	.llseek = null_llseek,
};
static const struct file_operations zero_fops = {
	.read_iter = zero_read,
	.write_iter = null_write,
	.mmap = zero_file_mmap,
	.llseek = null_llseek,
};
static const struct file_operations full_fops = {
	.read_iter = zero_read,
	.write_iter = full_write,
	.mmap = mem_mmap,
	.llseek = null_llseek,
};
static const struct file_operations random_fops = {
	.read_iter = random_read,
	.write_iter = null_write,
	.mmap = mem_mmap,
	.llseek = null_llseek,
};
static const struct file_operations port_fops = {
	.read_iter = port_read,
	.write_iter = port_write,
	.mmap = mem_mmap,
};

int mem_dev_init(void)
{
	static const struct {
		u32 minor, mode;
		const char *name;
		const struct file_operations *fop;
		int (*open)(struct vnode *v, struct file *file);
	} devs[] = {
		{3, 0666, "null", &null_fops, NULL},
		{4, 0640, "port", &port_fops, port_open},
		{5, 0666, "zero", &zero_fops, NULL},
		{7, 0666, "full", &full_fops, NULL},
		{8, 0666, "random", &random_fops, NULL},
		{9, 0666, "urandom", &random_fops, NULL},
		{11, 0644, "kmsg", &kmsg_fops, kmsg_open},
	};
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(devs) && !err; i++)
		err = chrdev_register(MKDEV(MEM_MAJOR, devs[i].minor), 1,
				      devs[i].name, devs[i].mode, devs[i].fop,
				      devs[i].open);
	return err;
}
