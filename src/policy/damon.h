/* SPDX-License-Identifier: MIT */
/*
 * damon.h - watching which memory is used, at a cost that is bounded, and
 * giving up what is not. Theory in damon.c.
 */
#ifndef MM_POLICY_DAMON_H
#define MM_POLICY_DAMON_H

#include "base/list.h"
#include "base/mutex.h"
#include "base/prng.h"
#include "base/wait.h"

struct mm_struct;
struct port_thread;
struct seq_buf;

/* Neighbouring addresses that are taken to be used alike. Bytes; virtual, or
 * of RAM. */
struct damon_region {
	struct list_head list; /* of its target, by address */
	u64 start, end;	       /* whole pages, at least one */
	u64 sampling_addr;     /* the page that stands for it now */
	u32 nr_accesses;       /* samples of this aggregation that were used */
	u32 last_nr_accesses;  /* of the one before */
	u32 age;	       /* aggregations since that changed much */
};

/* What is watched: a space (a reference to its structure), or RAM (NULL). */
struct damon_target {
	struct mm_struct *mm;
	struct list_head regions;
	u32 nr_regions;
};

enum damos_action {
	DAMOS_PAGEOUT, /* as MADV_PAGEOUT */
	DAMOS_COLD,    /* as MADV_COLD */
	DAMOS_STAT,    /* counted only */
};

/* What regions are told apart by when not all can be done: DAMOS_MAX_SCORE is
 * what the action suits best. */
#define DAMOS_MAX_SCORE 99u

/* How much a scheme may do in each RESET_MS: bytes, and time; 0: no limit. What
 * it does first: weights of size, accesses and age; all 0: as addresses come.
 */
struct damos_quota {
	u64 ms, sz, reset_ms;
	u32 weight_sz, weight_nr_accesses, weight_age;
	/* The scheme's own from here on. */
	u64 window_ns, charged_sz, total_sz, total_ns;
	u64 charge_from; /* where the last window ended */
	u32 min_score;	 /* of those that the rest of the window is for */
	struct {
		u64 sz; /* most that one of the wanted regions has */
		u32 age;
	} most;
	bool exhausted;
};

/* When a scheme works: thousandths of memory that are free. HIGH 0: always. */
struct damos_wmarks {
	u64 interval_us;
	u32 high, mid, low;
	bool activated;
};

struct damos_stat {
	u64 nr_tried, sz_tried, nr_applied, sz_applied, qt_exceeds;
};

/* Regions like this get ACTION. Bounds are inclusive. */
struct damos {
	u64 min_sz, max_sz;
	u32 min_nr_accesses, max_nr_accesses;
	u32 min_age, max_age; /* aggregations */
	enum damos_action action;
	struct damos_quota quota;
	struct damos_wmarks wmarks;
	struct damos_stat stat;
};

struct damon_ctx;

/* How addresses are watched: damon_ops.c. */
struct damon_operations {
	/* The first regions; 0, -ESRCH or -ENOMEM. */
	int (*init)(struct damon_ctx *ctx);
	/* Mappings may have changed. */
	void (*update)(struct damon_ctx *ctx);
	/* Forget uses of all sampled pages; then: which were used since? False:
	 * the target is gone. */
	bool (*prepare)(struct damon_ctx *ctx);
	void (*check)(struct damon_ctx *ctx);
	/* Do ACTION to [START, END); bytes that it was done to. */
	u64 (*apply)(struct damon_ctx *ctx, u64 start, u64 end,
		     enum damos_action action);
};

extern const struct damon_operations damon_vaddr_ops, damon_paddr_ops;

/* One daemon and what it watches. The owner fills in the first part. */
struct damon_ctx {
	u64 sample_us, aggr_us, update_us;
	u32 min_nr_regions, max_nr_regions;
	const struct damon_operations *ops;
	struct damon_target target;
	struct damos *scheme; /* NULL: watch only */
	u64 start, end;	      /* RAM to watch (damon_paddr_ops) */
	/* Called in the daemon after each aggregation, before schemes; regions
	 * may be read. May be NULL. */
	void (*after_aggregation)(struct damon_ctx *ctx, void *arg);
	void *arg;
	/* The daemon's. */
	struct prng rng;
	struct port_thread *thread;
	wait_queue_head_t wait;
	bool stop;
	u64 aggregations;
};

/*
 * damon_start: a daemon, kdamond, watches CTX->target until damon_stop(), or
 * until the space is gone. Returns 0, -EINVAL (intervals or numbers that make
 * no sense), -EBUSY (it runs), -ENOMEM, -EAGAIN. damon_stop: it has ended when
 * this returns, and holds nothing; nothing if it does not run. May sleep. CTX
 * is the caller's.
 */
int damon_start(struct damon_ctx *ctx) MM_MUST_CHECK;
void damon_stop(struct damon_ctx *ctx);

/* damon_set_regions: CTX's regions cover the NR ranges (pairs of addresses, in
 * order) and nothing else; what was learnt of addresses that stay is kept. 0 or
 * -ENOMEM. For damon_operations. */
struct damon_range {
	u64 start, end;
};
int damon_set_regions(struct damon_ctx *ctx, const struct damon_range *r,
		      u32 nr) MM_MUST_CHECK;

/* damos_apply: CTX's scheme to all regions, within its quota. damos_wait: how
 * long the scheme's marks let it do nothing, ns; 0: it is to work. (damos.c) */
void damos_apply(struct damon_ctx *ctx);
u64 damos_wait(struct damos *s);
/* damon_split_at: R ends at AT, a new region begins there. False: no memory. */
bool damon_split_at(struct damon_target *t, struct damon_region *r, u64 at);

/* damon_check: CTX's regions are in order, whole pages, counted. Panics. */
void damon_check(const struct damon_ctx *ctx);

/* Proactive reclaim: damon_reclaim.c. */
struct damon_reclaim_state {
	struct mutex lock; /* starting, stopping */
	struct damon_ctx ctx;
	struct damos scheme;
	u32 enabled;
	/* /sys/module/damon_reclaim/parameters */
	u64 min_age, quota_ms, quota_sz, quota_reset_interval_ms;
	u64 wmarks_interval, wmarks_high, wmarks_mid, wmarks_low;
	u64 sample_interval, aggr_interval, min_nr_regions, max_nr_regions;
	u64 monitor_region_start, monitor_region_end;
};

void damon_reclaim_init(void);
/* damon_reclaim_stop: at the machine's end. May sleep. */
void damon_reclaim_stop(void);
/* damon_reclaim_show: the parameter NAME; damon_reclaim_store: set it. 0,
 * -ENOENT, -EINVAL, -EACCES (a counter), and what damon_start() says. May
 * sleep. */
int damon_reclaim_show(const char *name, struct seq_buf *out);
int damon_reclaim_store(const char *name, const char *text, size_t len);

#endif
