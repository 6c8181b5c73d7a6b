/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd.h - page faults that another task answers: userfaultfd(2).
 *
 * What a kernel's system calls stand on: the handle, ioctl(2), read(2) and
 * poll(2) of it. Numbers and structures are Linux's on x86-64, bit for bit
 * (ioctl_userfaultfd(2)); do not include <linux/userfaultfd.h> beside this.
 * Unless noted: may sleep, the caller holds no lock. Theory:
 * src/space/userfaultfd.c.
 */
#ifndef MMKIT_USERFAULTFD_H
#define MMKIT_USERFAULTFD_H

#include <mmkit/types.h>

struct file;
struct mm_struct;

/* ---- the interface of programs -------------------------------------------
 */

#define UFFD_API	    0xaaUL
#define UFFD_USER_MODE_ONLY 1u /* userfaultfd(2): no fault of the kernel's */

/* ioctl(2): a direction, the size of the structure, 0xaa, the number. */
#define UFFDIO_API	    0xc018aa3fu
#define UFFDIO_REGISTER	    0xc020aa00u
#define UFFDIO_UNREGISTER   0x8010aa01u
#define UFFDIO_WAKE	    0x8010aa02u
#define UFFDIO_COPY	    0xc028aa03u
#define UFFDIO_ZEROPAGE	    0xc020aa04u
#define UFFDIO_MOVE	    0xc028aa05u
#define UFFDIO_WRITEPROTECT 0xc018aa06u
#define UFFDIO_CONTINUE	    0xc020aa07u
#define UFFDIO_POISON	    0xc020aa08u

/* The same as bits of uffdio_api.ioctls and uffdio_register.ioctls. */
#define UFFDIO_BIT(cmd) (1UL << ((cmd)&0xff))
#define UFFD_API_IOCTLS                                         \
	(UFFDIO_BIT(UFFDIO_API) | UFFDIO_BIT(UFFDIO_REGISTER) | \
	 UFFDIO_BIT(UFFDIO_UNREGISTER))
/* Of each range; WRITEPROTECT and CONTINUE only with their modes. */
#define UFFD_API_RANGE_IOCTLS                                      \
	(UFFDIO_BIT(UFFDIO_WAKE) | UFFDIO_BIT(UFFDIO_COPY) |       \
	 UFFDIO_BIT(UFFDIO_ZEROPAGE) | UFFDIO_BIT(UFFDIO_MOVE) |   \
	 UFFDIO_BIT(UFFDIO_POISON) | UFFDIO_BIT(UFFDIO_CONTINUE) | \
	 UFFDIO_BIT(UFFDIO_WRITEPROTECT))

#define UFFD_FEATURE_PAGEFAULT_FLAG_WP	0x1u
#define UFFD_FEATURE_EVENT_FORK		0x2u
#define UFFD_FEATURE_EVENT_REMAP	0x4u
#define UFFD_FEATURE_EVENT_REMOVE	0x8u
#define UFFD_FEATURE_MISSING_HUGETLBFS	0x10u
#define UFFD_FEATURE_MISSING_SHMEM	0x20u
#define UFFD_FEATURE_EVENT_UNMAP	0x40u
#define UFFD_FEATURE_SIGBUS		0x80u
#define UFFD_FEATURE_THREAD_ID		0x100u
#define UFFD_FEATURE_MINOR_HUGETLBFS	0x200u
#define UFFD_FEATURE_MINOR_SHMEM	0x400u
#define UFFD_FEATURE_EXACT_ADDRESS	0x800u
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM 0x1000u
#define UFFD_FEATURE_WP_UNPOPULATED	0x2000u
#define UFFD_FEATURE_POISON		0x4000u
#define UFFD_FEATURE_WP_ASYNC		0x8000u
#define UFFD_FEATURE_MOVE		0x10000u
/* What is there: all but hugetlbfs's. */
#define UFFD_API_FEATURES \
	(0x1ffffu &       \
	 ~(UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MINOR_HUGETLBFS))

#define UFFD_EVENT_PAGEFAULT 0x12
#define UFFD_EVENT_FORK	     0x13
#define UFFD_EVENT_REMAP     0x14
#define UFFD_EVENT_REMOVE    0x15
#define UFFD_EVENT_UNMAP     0x16

#define UFFD_PAGEFAULT_FLAG_WRITE 0x1u
#define UFFD_PAGEFAULT_FLAG_WP	  0x2u
#define UFFD_PAGEFAULT_FLAG_MINOR 0x4u

/* What read(2) gives. */
struct uffd_msg {
	u8 event; /* UFFD_EVENT_* */
	u8 reserved1;
	u16 reserved2;
	u32 reserved3;
	union {
		struct {
			u64 flags; /* UFFD_PAGEFAULT_FLAG_* */
			u64 address;
			union {
				u32 ptid; /* UFFD_FEATURE_THREAD_ID */
			} feat;
		} pagefault;
		struct {
			u32 ufd; /* descriptor of the child's */
		} fork;
		struct {
			u64 from, to, len;
		} remap;
		struct {
			u64 start, end;
		} remove; /* and UNMAP */
		struct {
			u64 reserved1, reserved2, reserved3;
		} reserved;
	} arg;
};
MM_STATIC_ASSERT(sizeof(struct uffd_msg) == 32, "as programs read it");

struct uffdio_api {
	u64 api;      /* UFFD_API */
	u64 features; /* in: wanted; out: there */
	u64 ioctls;   /* out */
};

struct uffdio_range {
	u64 start, len;
};

#define UFFDIO_REGISTER_MODE_MISSING 0x1UL
#define UFFDIO_REGISTER_MODE_WP	     0x2UL
#define UFFDIO_REGISTER_MODE_MINOR   0x4UL
struct uffdio_register {
	struct uffdio_range range;
	u64 mode;
	u64 ioctls; /* out */
};

#define UFFDIO_COPY_MODE_DONTWAKE 0x1UL
#define UFFDIO_COPY_MODE_WP	  0x2UL
struct uffdio_copy {
	u64 dst, src, len;
	u64 mode;
	s64 copy; /* out: bytes done, or -errno */
};

#define UFFDIO_ZEROPAGE_MODE_DONTWAKE 0x1UL
struct uffdio_zeropage {
	struct uffdio_range range;
	u64 mode;
	s64 zeropage; /* out */
};

#define UFFDIO_WRITEPROTECT_MODE_WP	  0x1UL
#define UFFDIO_WRITEPROTECT_MODE_DONTWAKE 0x2UL
struct uffdio_writeprotect {
	struct uffdio_range range;
	u64 mode;
};

#define UFFDIO_CONTINUE_MODE_DONTWAKE 0x1UL
#define UFFDIO_CONTINUE_MODE_WP	      0x2UL
struct uffdio_continue {
	struct uffdio_range range;
	u64 mode;
	s64 mapped; /* out */
};

#define UFFDIO_POISON_MODE_DONTWAKE 0x1UL
struct uffdio_poison {
	struct uffdio_range range;
	u64 mode;
	s64 updated; /* out */
};

#define UFFDIO_MOVE_MODE_DONTWAKE	 0x1UL
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES 0x2UL
struct uffdio_move {
	u64 dst, src, len;
	u64 mode;
	s64 move; /* out */
};

/* ---- the kernel's side
 * -------------------------------------------------------- */

#ifndef O_NONBLOCK
#define O_NONBLOCK 04000
#endif
#ifndef O_CLOEXEC
#define O_CLOEXEC 02000000
#endif

/* Of poll(2). */
#define MM_POLLIN  0x1u
#define MM_POLLERR 0x8u
#define MM_POLLHUP 0x10u

/*
 * userfaultfd_create: userfaultfd(2) for MM, the running task's space: an open
 * file, one reference, the caller's; fput() of the last one unregisters all
 * memory and lets everybody who waits go on. FLAGS: O_CLOEXEC (the caller's
 * business), O_NONBLOCK, UFFD_USER_MODE_ONLY. ERR_PTR: -EPERM (not
 * USER_MODE_ONLY, vm.unprivileged_userfaultfd 0 and not MM_CAP_SYS_PTRACE),
 * -EINVAL (flags), -ENOMEM. The file does not keep MM from ending.
 */
struct file *userfaultfd_create(struct mm_struct *mm, u32 flags) MM_MUST_CHECK;

/* Is FILE one of these? */
bool is_userfaultfd(const struct file *file);

/*
 * userfaultfd_ioctl: ioctl(2) on FILE, the structure at ARG in LOCAL, the
 * caller's memory. 0, or as ioctl_userfaultfd(2) says; "out" fields hold what
 * was done, also after a failure:
 *	-EFAULT	ARG, or the source of COPY, cannot be accessed
 *	-EINVAL	not one of ours; before UFFDIO_API; a second UFFDIO_API; not
 *		aligned, empty, outside user space; unknown modes; memory that
 *		this cannot be done to
 *	-EPERM	EVENT_FORK without MM_CAP_SYS_PTRACE; memory that can never be
 *		written
 *	-EBUSY	registered with another userfaultfd; MOVE of a shared page
 *	-ENOENT	no registered mapping holds the range; MOVE from a hole
 *	-EEXIST	a page is there already
 *	-EAGAIN	done in part, or mappings are changing: an event is to be read
 *	-ENOSPC, -ENOMEM, -EIO, -EINTR (the caller is being killed)
 *	-ESRCH	the watched process is gone
 *	-EFAULT	beyond the end of a file
 */
s64 userfaultfd_ioctl(struct file *file, struct mm_struct *local, u32 cmd,
		      uva_t arg) MM_MUST_CHECK;

/*
 * userfaultfd_read: read(2) of LEN bytes to BUF, kernel memory: whole
 * messages; waits for the first unless O_NONBLOCK. A fork's message needs a
 * descriptor: INSTALL(CHILD, ARG), CHILD an open file whose reference becomes
 * INSTALL's, gives its number; if it gives a negative errno the message stays
 * to be read again, and CHILD's reference goes. Returns bytes, or -EINVAL
 * (LEN too small; before UFFDIO_API), -EAGAIN, -EINTR, -ENOMEM, or INSTALL's.
 */
struct uffd_reader {
	void *buf;
	u64 len;
	int (*install)(struct file *child, void *arg);
	void *arg;
};
s64 userfaultfd_read(struct file *file,
		     const struct uffd_reader *r) MM_MUST_CHECK;

/*
 * userfaultfd_poll: poll(2), waiting TIMEOUT_NS at most (0: not at all): bits
 * MM_POLL*: IN: a message; ERR: before UFFDIO_API, or without O_NONBLOCK.
 */
u32 userfaultfd_poll(struct file *file, u64 timeout_ns);

/*
 * userfaultfd_check: lists of all handles, and marks of mappings against them.
 * At rest. Panics. Takes each mmap lock for reading.
 */
void userfaultfd_check(void);

#endif
