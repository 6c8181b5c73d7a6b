/* SPDX-License-Identifier: MIT */
/*
 * exec_file.c - open files on the executor's kernel.
 *
 * Those with a disk were opened by who started the executor and are emptied
 * for each sequence that uses them; those in memory are made for it. Bytes
 * move from and to a buffer here: the memory that is compared stays as it is.
 */
#include "diff.h"
#include "exec_sys.h"

static uint64_t io[DIFF_IO / 8];

/* FD becomes the file at SLOT. */
static long place(long fd, uint32_t slot)
{
	long err = fd;

	if (fd >= 0) {
		err = SYS(NR_dup2, (uint64_t)fd, DIFF_FD0 + slot);
		SYS(NR_close, (uint64_t)fd);
	}
	return err < 0 ? err : 0;
}

static long memfd(uint32_t slot, uint64_t flags)
{
	char name[] = "m0";

	name[1] = (char)('0' + slot);
	return place(SYS(NR_memfd_create, U64(name), flags), slot);
}

static long fill_a(void)
{
	long err = SYS(NR_ftruncate, DIFF_FD0, 0);

	if (!err)
		err = SYS(NR_ftruncate, DIFF_FD0 + 3, 0);
	if (err)
		return err;
	diff_fill(io, DIFF_IO / 8, 0xa);
	err = SYS(NR_pwrite64, DIFF_FD0, U64(io), DIFF_A_SIZE, 0);
	return err < 0 ? err : 0;
}

long files_prepare(const struct diff_shared *sh)
{
	long err = 0;

	if (sh->files & DIFF_USES_DISK)
		err = fill_a();
	if (err || !(sh->files & DIFF_USES_FILES))
		return err;
	err = memfd(4, 2); /* MFD_ALLOW_SEALING */
	if (!err)
		err = SYS(NR_ftruncate, DIFF_FD0 + 4, 4 * DIFF_PAGE);
	if (!err)
		err = place(SYS(NR_open, U64("/proc/self/fd/104"), 0, 0), 5);
	return err;
}

static void write_words(const uint64_t *a, struct diff_result *r)
{
	diff_fill(io, DIFF_IO / 8, a[3]);
	r->ret = SYS(NR_pwrite64, a[0], U64(io), a[2], a[1]);
}

static void read_bytes(const uint64_t *a, struct diff_result *r)
{
	r->ret = SYS(NR_pread64, a[0], U64(io), a[2], a[1]);
	if (r->ret > 0)
		r->addr = diff_bytes(0, io, (uint64_t)r->ret);
}

void file_call(const struct diff_op *op, struct diff_result *r)
{
	const uint64_t *a = op->arg;

	switch (op->call) {
	case OP_PREAD:
		read_bytes(a, r);
		break;
	case OP_PWRITE:
		write_words(a, r);
		break;
	case OP_MEMFD:
		r->ret = memfd((uint32_t)(a[0] - DIFF_FD0), a[1]);
		break;
	case OP_SEAL: /* F_ADD_SEALS */
		r->ret = SYS(NR_fcntl, a[0], 1033, a[1]);
		break;
	case OP_SEALS: /* F_GET_SEALS */
		r->ret = SYS(NR_fcntl, a[0], 1034);
		break;
	default:
		break;
	}
}

void file_state(uint32_t n, uint64_t *size, uint64_t *hash)
{
	uint64_t stat[18], at = 0; /* st_size is the seventh word */
	long got = 1;

	*hash = 0;
	*size = ~0ul;
	if (SYS(NR_fstat, DIFF_FD0 + n, U64(stat)))
		return;
	*size = stat[6];
	while (got > 0 && at < DIFF_HASHED) {
		got = SYS(NR_pread64, DIFF_FD0 + n, U64(io), DIFF_IO, at);
		if (got > 0)
			*hash = diff_bytes(*hash, io, (uint64_t)got);
		at += DIFF_IO;
	}
}
