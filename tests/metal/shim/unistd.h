/* SPDX-License-Identifier: MIT */
/* unistd.h - sleeping, for tests on the bare machine. */
#ifndef SHIM_UNISTD_H
#define SHIM_UNISTD_H

int usleep(unsigned us);

#endif
