/* SPDX-License-Identifier: MIT */
/*
 * socket_sys.h - what the files of the calls of sockets share.
 */
#ifndef KERNEL_EVENT_SOCKET_SYS_H
#define KERNEL_EVENT_SOCKET_SYS_H

#include "sock.h"

/* socket_get: FD's socket; FILE is the caller's to put. -EBADF, -ENOTSOCK. */
int socket_get(int fd, struct file **file, struct sock **sk) MM_MUST_CHECK;
/* socket_drop_files: files that came along and are not wanted. */
void socket_drop_files(struct sock_call *c);
void socket_msg_init(void);

#endif
