/* SPDX-License-Identifier: MIT */
/*
 * trace_file.h - the tracepoints of an embedded manager, to a file that
 * `mmkit trace events FILE` reads. Theory: trace_file.c.
 */
#ifndef PORT_HOST_TRACE_FILE_H
#define PORT_HOST_TRACE_FILE_H

#include <mmkit/types.h>

/*
 * host_trace_start: from now on EVENTS (names, systems or "system:name",
 * separated by commas; "all") go to the new file PATH, by a thread of its own;
 * each CPU has a ring of KB (0: 1024). Rings that others attached are in the
 * way of nothing else: there is one trace at a time. Context: after
 * host_init(), an ordinary thread. 0; -EBUSY: there is a trace; -EINVAL: no
 * such event; -ENOMEM; -errno of open(2) and write(2): then nothing has begun.
 */
int host_trace_start(const char *path, const char *events,
		     u64 kb) MM_MUST_CHECK;

/*
 * host_trace_stop: no event is on any more; what is left is in the file, which
 * is closed. LOST, if not NULL: records that were overwritten before they could
 * be written. Before host_shutdown(). 0; -ESRCH: there is no trace; -errno of a
 * write that failed, now or before: the file ends there.
 */
int host_trace_stop(u64 *lost) MM_MUST_CHECK;

#endif
