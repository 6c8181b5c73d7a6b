/* SPDX-License-Identifier: MIT */
/*
 * pseudo.h - file systems whose files are made when they are read. Theory:
 * pseudo.c. procfs and sysfs are tables of struct pentry.
 */
#ifndef KERNEL_PROCFS_PSEUDO_H
#define KERNEL_PROCFS_PSEUDO_H

#include "base/seqbuf.h"
#include "vfs.h"

#ifndef S_ISDIR
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#define S_ISLNK(m) (((m)&S_IFMT) == S_IFLNK)
#endif

/* What a node is of: a directory's is copied to what is in it. */
#define PKEY_NAME 64
struct pkey {
	s32 pid, tid;	      /* process, thread; 0: none. tid 0: the process */
	u64 start;	      /* of the process: numbers are used again */
	s64 num;	      /* CPU, node, descriptor */
	char name[PKEY_NAME]; /* slab cache, tunable, disk */
};

struct pentry;
struct pdir;
struct pnode;

/* Rights and owner of what can be given away. */
struct pattr {
	u32 mode; /* permissions alone */
	u32 uid, gid;
};

/* Of a file system where chmod(2) and chown(2) work: they are kept by who made
 * the table. SET: 0, -errno. Both may sleep. */
struct pattr_ops {
	void (*get)(const struct pnode *n, struct pattr *attr);
	int (*set)(const struct pnode *n, const struct pattr *attr);
};

/* One file, link or directory that is in use. */
struct pnode {
	struct vnode vnode;
	struct inode inode;
	const struct pentry *e;
	struct pkey key;
	bool dynamic; /* found by pdir.find */
};

/*
 * A name and what is behind it. Functions may sleep; no locks are held but
 * that of the open file. They return 0 or bytes, or -errno.
 */
struct pentry {
	const char *name;   /* of a dynamic one: not used */
	u32 mode;	    /* S_IF* and permissions */
	u32 arg;	    /* the functions' */
	const char *source; /* the functions' */
	const struct pdir *dir;
	/* Text: all of it to OUT; errors: what reading gives. */
	int (*show)(const struct pnode *n, struct seq_buf *out);
	/* Or a piece of it, from *AT on, 0 at the beginning, which is where the
	 * next begins then: 1; 0: there is none. For long ones. */
	int (*next)(const struct pnode *n, u64 *at, struct seq_buf *out);
	/* Bytes: [OFF, OFF + LEN), LEN <= PAGE_SIZE. */
	s64 (*read)(const struct pnode *n, u64 off, void *buf, size_t len);
	/* TEXT[LEN], terminated, LEN < PAGE_SIZE: how much was taken. */
	s64 (*write)(const struct pnode *n, const char *text, size_t len);
	/* As read. */
	s64 (*pwrite)(const struct pnode *n, u64 off, const void *buf,
		      size_t len);
	/* It was opened with O_TRUNC, or truncate(2) was called. */
	void (*truncate)(const struct pnode *n);
	/* A link's text, no end mark. */
	s64 (*readlink)(const struct pnode *n, char *buf, size_t size);
	int (*get_link)(const struct pnode *n, struct dentry **out);
	/*
	 * For poll(2), of files with text. VERSION: a number that changes with
	 * what the file tells; another one than when this open file was read
	 * last is POLLPRI and POLLERR. pseudo_changed() wakes who waits.
	 */
	u64 (*version)(const struct pnode *n);
	/*
	 * Or: what is written belongs to the open file. OWN_WRITE makes *OWN,
	 * NULL before; OWN_POLL is what poll(2) says (TABLE as in
	 * file_operations.poll), OWN_END gives OWN, not NULL, back.
	 */
	s64 (*own_write)(const struct pnode *n, const char *text, size_t len,
			 void **own);
	u32 (*own_poll)(const struct pnode *n, void *own,
			struct poll_table *table);
	void (*own_end)(void *own);
	/* May it be opened? NULL: by permissions alone. */
	int (*may_open)(const struct pnode *n);
	/* Or: operations of its own, in place of all above but truncate and
	 * may_open; OPEN may set file.private_data. */
	const struct file_operations *fops;
	int (*open)(const struct pnode *n, struct file *file);
};

#define PNAME_MAX 72
struct pdir {
	const struct pentry *entries;
	u32 nr;
	/* NAME, not in ENTRIES: its entry, and what differs from KEY in CHILD,
	 * which is KEY's copy; NULL: no such name. */
	const struct pentry *(*find)(const struct pkey *key, const char *name,
				     struct pkey *child);
	/* The first such name whose number is >= *CURSOR into NAME[PNAME_MAX];
	 * *CURSOR is behind it then. NULL: no more. */
	const struct pentry *(*next)(const struct pkey *key, u64 *cursor,
				     char *name);
	/* Directories that users make and remove here, found by FIND. NULL:
	 * -EPERM. 0, -errno. */
	int (*make)(const struct pkey *key, const char *name);
	int (*remove)(const struct pkey *key, const char *name);
	/* Of a root: for all that is below. NULL: rights are the table's. */
	const struct pattr_ops *attrs;
};

#define PDIR(table, ...)                                                   \
	{                                                                  \
		.entries = (table), .nr = ARRAY_SIZE(table), ##__VA_ARGS__ \
	}

/* A mounted one. */
struct pseudo_sb {
	struct vfs_sb vsb;
	struct super_block sb;
	const struct pattr_ops *attrs; /* or NULL */
};

/*
 * pseudo_mount: *OUT is a new mount of ROOT, of TYPE, DEV its number. 0,
 * -ENOMEM. Both last.
 */
int pseudo_mount(const char *type, u32 dev, u32 flags,
		 const struct pentry *root, struct vfs_sb **out) MM_MUST_CHECK;

static inline struct pnode *pnode_of(struct vnode *v)
{
	return container_of(v, struct pnode, vnode);
}

/* pseudo_pnode: what FILE, one of these, is of. */
const struct pnode *pseudo_pnode(const struct file *file);

/* pseudo_changed: some file's version may be another one. Any context. */
void pseudo_changed(void);
void pseudo_init(void);

/* pseudo_number: NAME as a decimal number without sign and leading zeroes;
 * -1: it is none, or more than MAX. */
s64 pseudo_number(const char *name, s64 max);
/* pseudo_line: TEXT, LEN bytes that were written, without ends of line and
 * with a NUL, to LINE of SIZE bytes. False: it is empty or too long. */
bool pseudo_line(const char *text, size_t len, char *line, size_t size);

/* owner: the user and group that /proc/PID shows; set by proc_task.c. */
void proc_owner(const struct pkey *key, u32 *uid, u32 *gid);

#endif
