/* SPDX-License-Identifier: MIT */
/*
 * frames.h - a picture of the machine's memory, one character for each
 * pageblock: "mmkit boot --frames".
 */
#ifndef LAB_FRAMES_H
#define LAB_FRAMES_H

#include <mmkit/types.h>

#define FRAMES_WIDTH_MIN 16
#define FRAMES_WIDTH_MAX 512

struct frames_opts {
	u32 width; /* characters of a line of blocks; 0: 64 */
	bool color;
};

/*
 * frames_draw: every populated zone of the booted machine, to standard
 * output: a line with its addresses and frames, then its pageblocks by
 * address, several to a character where the machine is large, and a legend.
 * Reads descriptors and changes nothing. Inside a machine's thread.
 */
void frames_draw(const struct frames_opts *o);

#endif
