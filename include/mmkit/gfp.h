/* SPDX-License-Identifier: MIT */
/*
 * gfp.h - "get free pages" flags: where a frame may come from, what may be
 * done to get one, what it is for. Names and meanings follow Linux's
 * documentation (core-api/memory-allocation, core-api/mm-api); the numbers
 * are mmkit's own.
 */
#ifndef MMKIT_GFP_H
#define MMKIT_GFP_H

#include <mmkit/types.h>

typedef u32 gfp_t;

/* Zone modifiers. */
#define __GFP_DMA     0x00000001u
#define __GFP_HIGHMEM 0x00000002u
#define __GFP_DMA32   0x00000004u
#define __GFP_MOVABLE 0x00000008u
/* Mobility and placement. */
#define __GFP_RECLAIMABLE 0x00000010u
#define __GFP_THISNODE	  0x00000020u
#define __GFP_HARDWALL	  0x00000040u
#define __GFP_WRITE	  0x00000080u
#define __GFP_ACCOUNT	  0x00000100u
/* Reserves. */
#define __GFP_HIGH	 0x00000200u
#define __GFP_MEMALLOC	 0x00000400u
#define __GFP_NOMEMALLOC 0x00000800u
/* What may be done to get it. */
#define __GFP_IO	     0x00001000u
#define __GFP_FS	     0x00002000u
#define __GFP_DIRECT_RECLAIM 0x00004000u
#define __GFP_KSWAPD_RECLAIM 0x00008000u
#define __GFP_RECLAIM	     (__GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM)
#define __GFP_RETRY_MAYFAIL  0x00010000u
#define __GFP_NOFAIL	     0x00020000u
#define __GFP_NORETRY	     0x00040000u
/* What to do with it. */
#define __GFP_NOWARN	0x00080000u
#define __GFP_COMP	0x00100000u
#define __GFP_ZERO	0x00200000u
#define __GFP_SKIP_FAIL 0x00400000u /* exempt from fault injection */

/* Combinations in everyday use. */
#define GFP_ATOMIC	     (__GFP_HIGH | __GFP_KSWAPD_RECLAIM)
#define GFP_KERNEL	     (__GFP_RECLAIM | __GFP_IO | __GFP_FS)
#define GFP_KERNEL_ACCOUNT   (GFP_KERNEL | __GFP_ACCOUNT)
#define GFP_NOWAIT	     (__GFP_KSWAPD_RECLAIM)
#define GFP_NOIO	     (__GFP_RECLAIM)
#define GFP_NOFS	     (__GFP_RECLAIM | __GFP_IO)
#define GFP_USER	     (__GFP_RECLAIM | __GFP_IO | __GFP_FS | __GFP_HARDWALL)
#define GFP_DMA		     __GFP_DMA
#define GFP_DMA32	     __GFP_DMA32
#define GFP_HIGHUSER	     (GFP_USER | __GFP_HIGHMEM)
#define GFP_HIGHUSER_MOVABLE (GFP_HIGHUSER | __GFP_MOVABLE)

#endif
