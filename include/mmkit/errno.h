/* SPDX-License-Identifier: MIT */
/*
 * errno.h - Linux's error numbers (errno(3)); results are negative errno.
 *
 * Guarded one by one so that an ordinary program may include its C library's
 * <errno.h> as well: the numbers are the same.
 */
#ifndef MMKIT_ERRNO_H
#define MMKIT_ERRNO_H

#ifndef EPERM
#define EPERM	   1
#define ENOENT	   2
#define ESRCH	   3
#define EINTR	   4
#define EIO	   5
#define ENXIO	   6
#define E2BIG	   7
#define EBADF	   9
#define EAGAIN	   11
#define ENOMEM	   12
#define EACCES	   13
#define EFAULT	   14
#define EBUSY	   16
#define EEXIST	   17
#define EXDEV	   18
#define ENODEV	   19
#define EINVAL	   22
#define ETXTBSY	   26
#define EFBIG	   27
#define ENOSPC	   28
#define ERANGE	   34
#define EIDRM	   43
#define EDEADLK	   35
#define ENOSYS	   38
#define EOVERFLOW  75
#define EOPNOTSUPP 95
#define ETIMEDOUT  110
#endif
/* What only a kernel around the manager answers. */
#ifndef ENOTDIR
#define ENOEXEC		8
#define ECHILD		10
#define ENOTBLK		15
#define ENOTDIR		20
#define EISDIR		21
#define ENFILE		23
#define EMFILE		24
#define ENOTTY		25
#define ESPIPE		29
#define EROFS		30
#define EMLINK		31
#define EPIPE		32
#define EDOM		33
#define ENAMETOOLONG	36
#define ENOLCK		37
#define ENOTEMPTY	39
#define ELOOP		40
#define ENODATA		61
#define ELIBBAD		80
#define ENOTSOCK	88
#define EDESTADDRREQ	89
#define EMSGSIZE	90
#define EPROTOTYPE	91
#define ENOPROTOOPT	92
#define EPROTONOSUPPORT 93
#define ESOCKTNOSUPPORT 94
#define EPFNOSUPPORT	96
#define EAFNOSUPPORT	97
#define EADDRINUSE	98
#define EADDRNOTAVAIL	99
#define ENETUNREACH	101
#define ECONNABORTED	103
#define ECONNRESET	104
#define ENOBUFS		105
#define EISCONN		106
#define ENOTCONN	107
#define ECONNREFUSED	111
#define EALREADY	114
#define EINPROGRESS	115
#endif
#ifndef EHWPOISON
#define EHWPOISON 133
#endif

/* ERR_PTR convention: internal look-ups with several causes of failure. */
#define MAX_ERRNO  4095UL
#define ERR_PTR(e) ((void *)(long)(e))
#define PTR_ERR(p) ((long)(p))
#define IS_ERR(p)  ((unsigned long)(p) >= (unsigned long)-MAX_ERRNO)

#endif
