/* SPDX-License-Identifier: MIT */
/*
 * inflate.c - gzip files (RFC 1952) with deflated contents (RFC 1951).
 *
 * 1. Codes. A canonical Huffman code is given by the length of each symbol's
 *    code: count[n] codes have n bits, and symbols stand in order of length,
 *    then of value. A symbol is found bit by bit: first and count of each
 *    length say whether the bits so far are one of its codes (RFC 1951, 3.2.2).
 *
 * 2. Output goes to a window of 32 KiB, as far back as a copy may reach, and
 *    from there to the sink whenever it is full.
 *
 * 3. Damage. Each read is checked against the end of the input, each code
 *    against being complete, each distance against what was written; contents
 *    against CRC and length. What is wrong is said with the offset. Nothing
 *    outside the window and the tables is ever written.
 *
 * References: RFC 1951, RFC 1952.
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "fs.h"

#define WINDOW	     32768u
#define MAX_BITS     15u
#define MAX_LITERALS 286u
#define MAX_DISTS    30u

struct huffman {
	u16 count[MAX_BITS + 1];
	u16 symbol[MAX_LITERALS + 2];
};

struct inflate {
	const u8 *in;
	u64 len, at;
	u32 bits, nr_bits; /* read and not used */
	struct inflate_sink *sink;
	u64 out;    /* bytes made */
	u32 filled; /* of the window, not given to the sink */
	u32 crc;
	const char *why;
	struct huffman lit, dist;
	u8 lengths[MAX_LITERALS + MAX_DISTS + 4];
	u32 crc_table[256];
	u8 window[WINDOW];
};

static int bad(struct inflate *s, const char *why)
{
	s->why = why;
	return -EINVAL;
}

/* ---- bits ------------------------------------------------------------------
 */

/* N bits, 0 .. 16; below 0: the end. */
static int get_bits(struct inflate *s, u32 n)
{
	u32 v;

	while (s->nr_bits < n) {
		if (s->at == s->len)
			return bad(s, "ends too early");
		s->bits |= (u32)s->in[s->at++] << s->nr_bits;
		s->nr_bits += 8;
	}
	v = s->bits & ((1u << n) - 1);
	s->bits >>= n;
	s->nr_bits -= n;
	return (int)v;
}

/* The next symbol of H. */
static int get_symbol(struct inflate *s, const struct huffman *h)
{
	int code = 0, first = 0, index = 0, bit;

	for (u32 n = 1; n <= MAX_BITS; n++) {
		bit = get_bits(s, 1);
		if (bit < 0)
			return bit;
		code |= bit;
		if (code - h->count[n] < first)
			return h->symbol[index + (code - first)];
		index += h->count[n];
		first = (first + h->count[n]) << 1;
		code <<= 1;
	}
	return bad(s, "no such code");
}

/* H from the code lengths of N symbols. How many codes are missing: 0 of a
 * complete set; below 0: too many. */
static int make_code(struct huffman *h, const u8 *lengths, u32 n)
{
	u16 offs[MAX_BITS + 1];
	int left = 1;

	mm_memset(h->count, 0, sizeof(h->count));
	for (u32 i = 0; i < n; i++)
		h->count[lengths[i]]++;
	if (h->count[0] == n)
		return 0; /* no codes: using one is an error */
	for (u32 b = 1; b <= MAX_BITS; b++) {
		left = left * 2 - h->count[b];
		if (left < 0)
			return left;
	}
	offs[1] = 0;
	for (u32 b = 1; b < MAX_BITS; b++)
		offs[b + 1] = (u16)(offs[b] + h->count[b]);
	for (u32 i = 0; i < n; i++) {
		if (lengths[i])
			h->symbol[offs[lengths[i]]++] = (u16)i;
	}
	return left;
}

/* ---- output ----------------------------------------------------------------
 */

static void crc_init(struct inflate *s)
{
	for (u32 n = 0; n < 256; n++) {
		u32 c = n;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
		s->crc_table[n] = c;
	}
	s->crc = ~0u;
}

static int flush(struct inflate *s)
{
	u32 n = s->filled, c = s->crc;

	s->filled = 0;
	for (u32 i = 0; i < n; i++)
		c = s->crc_table[(c ^ s->window[i]) & 0xff] ^ c >> 8;
	s->crc = c;
	return n ? s->sink->take(s->sink, s->window, n) : 0;
}

static int put_byte(struct inflate *s, u8 byte)
{
	s->window[s->filled++] = byte;
	s->out++;
	return s->filled == WINDOW ? flush(s) : 0;
}

/* LEN bytes from DIST back. */
static int copy_back(struct inflate *s, u32 len, u32 dist)
{
	int err = 0;

	if (dist > s->out)
		return bad(s, "a distance reaches before the beginning");
	while (len-- && !err)
		err = put_byte(s, s->window[(s->filled - dist) % WINDOW]);
	return err;
}

/* ---- blocks ----------------------------------------------------------------
 */

static int stored_block(struct inflate *s)
{
	u32 len, inverse;
	int err = 0;

	s->bits = s->nr_bits = 0;
	if (s->len - s->at < 4)
		return bad(s, "ends too early");
	len = s->in[s->at] | (u32)s->in[s->at + 1] << 8;
	inverse = s->in[s->at + 2] | (u32)s->in[s->at + 3] << 8;
	s->at += 4;
	if (len != (~inverse & 0xffff))
		return bad(s, "a stored block's length is wrong");
	if (s->len - s->at < len)
		return bad(s, "ends too early");
	while (len-- && !err)
		err = put_byte(s, s->in[s->at++]);
	return err;
}

/* Length or distance CODE: its first value and how many bits follow. */
static int extra(struct inflate *s, u32 base, u32 bits)
{
	int v = get_bits(s, bits);

	return v < 0 ? v : (int)base + v;
}

static int get_length(struct inflate *s, u32 code)
{
	static const u16 base[29] = {
		3,  4,	5,  6,	7,  8,	9,  10, 11,  13,  15,  17,  19,	 23, 27,
		31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
	static const u8 bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
				    2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};

	if (code >= ARRAY_SIZE(base))
		return bad(s, "no such length");
	return extra(s, base[code], bits[code]);
}

static int get_distance(struct inflate *s)
{
	int code = get_symbol(s, &s->dist);
	u32 bits;

	if (code < 0)
		return code;
	if (code >= (int)MAX_DISTS)
		return bad(s, "no such distance");
	if (code < 4)
		return code + 1;
	bits = (u32)code / 2 - 1;
	return extra(s, ((2 + ((u32)code & 1)) << bits) + 1, bits);
}

static int coded_block(struct inflate *s)
{
	int sym, len, dist, err;

	for (;;) {
		sym = get_symbol(s, &s->lit);
		if (sym < 0)
			return sym;
		if (sym == 256)
			return 0;
		if (sym < 256) {
			err = put_byte(s, (u8)sym);
		} else {
			len = get_length(s, (u32)sym - 257);
			if (len < 0)
				return len;
			dist = get_distance(s);
			if (dist < 0)
				return dist;
			err = copy_back(s, (u32)len, (u32)dist);
		}
		if (err)
			return err;
	}
}

static void fixed_codes(struct inflate *s)
{
	u8 *l = s->lengths;

	mm_memset(l, 8, 144);
	mm_memset(l + 144, 9, 112);
	mm_memset(l + 256, 7, 24);
	mm_memset(l + 280, 8, 8);
	(void)make_code(&s->lit, l, 288);
	mm_memset(l, 5, MAX_DISTS);
	(void)make_code(&s->dist, l, MAX_DISTS);
}

/* Code 16 .. 18: a length that is repeated. How often, *LEN. */
static int repeat(struct inflate *s, int sym, u32 at, u8 *len)
{
	*len = 0;
	if (sym == 16) {
		if (!at)
			return bad(s, "nothing to repeat");
		*len = s->lengths[at - 1];
		return extra(s, 3, 2);
	}
	return sym == 17 ? extra(s, 3, 3) : extra(s, 11, 7);
}

/* The N code lengths of a dynamic block, by the code in s->lit. */
static int get_lengths(struct inflate *s, u32 n)
{
	u32 at = 0;

	while (at < n) {
		int sym = get_symbol(s, &s->lit), times = 1;
		u8 len = (u8)sym;

		if (sym < 0)
			return sym;
		if (sym >= 16)
			times = repeat(s, sym, at, &len);
		if (times < 0)
			return times;
		if ((u32)times > n - at)
			return bad(s, "too many code lengths");
		mm_memset(s->lengths + at, len, (u32)times);
		at += (u32)times;
	}
	return 0;
}

/* Is a code that lacks LEFT codes one that may be? One code alone may. */
static bool code_ok(const struct huffman *h, int left, u32 n)
{
	return !left || (left > 0 && n - h->count[0] == 1);
}

static int dynamic_codes(struct inflate *s)
{
	static const u8 order[19] = {16, 17, 18, 0, 8,	7, 9,  6, 10, 5,
				     11, 4,  12, 3, 13, 2, 14, 1, 15};
	int nlen = get_bits(s, 5), ndist = get_bits(s, 5);
	int ncode = get_bits(s, 4), v, err;

	if (nlen < 0 || ndist < 0 || ncode < 0)
		return -EINVAL;
	nlen += 257;
	ndist += 1;
	if (nlen > (int)MAX_LITERALS || ndist > (int)MAX_DISTS)
		return bad(s, "too many codes");
	mm_memset(s->lengths, 0, 19);
	for (int i = 0; i < ncode + 4; i++) {
		v = get_bits(s, 3);
		if (v < 0)
			return v;
		s->lengths[order[i]] = (u8)v;
	}
	if (make_code(&s->lit, s->lengths, 19))
		return bad(s, "the code of code lengths is not complete");
	err = get_lengths(s, (u32)(nlen + ndist));
	if (err)
		return err;
	if (!s->lengths[256])
		return bad(s, "a block has no end");
	/* The distances first: their lengths stand behind the others. */
	v = make_code(&s->dist, s->lengths + nlen, (u32)ndist);
	if (!code_ok(&s->dist, v, (u32)ndist))
		return bad(s, "the code of distances is not complete");
	v = make_code(&s->lit, s->lengths, (u32)nlen);
	if (!code_ok(&s->lit, v, (u32)nlen))
		return bad(s, "the code of lengths is not complete");
	return 0;
}

static int inflate_blocks(struct inflate *s)
{
	int last, type, err;

	do {
		last = get_bits(s, 1);
		type = last < 0 ? last : get_bits(s, 2);
		if (type < 0)
			return type;
		if (type == 0) {
			err = stored_block(s);
		} else if (type == 3) {
			err = bad(s, "no such kind of block");
		} else {
			err = 0;
			if (type == 1)
				fixed_codes(s);
			else
				err = dynamic_codes(s);
			if (!err)
				err = coded_block(s);
		}
		if (err)
			return err;
	} while (!last);
	return flush(s);
}

/* ---- gzip ------------------------------------------------------------------
 */

#define FHCRC	 2u
#define FEXTRA	 4u
#define FNAME	 8u
#define FCOMMENT 16u

/* A string that ends. */
static int skip_text(struct inflate *s)
{
	while (s->at < s->len)
		if (!s->in[s->at++])
			return 0;
	return bad(s, "ends too early");
}

static int skip(struct inflate *s, u64 n)
{
	if (s->len - s->at < n)
		return bad(s, "ends too early");
	s->at += n;
	return 0;
}

static int gzip_head(struct inflate *s)
{
	u32 flags;
	int err = 0;

	if (s->len < 18)
		return bad(s, "ends too early");
	if (s->in[0] != 0x1f || s->in[1] != 0x8b)
		return bad(s, "no gzip file");
	flags = s->in[3];
	if (s->in[2] != 8 || (flags & 0xe0))
		return bad(s, "packed in another way");
	s->at = 10;
	if (flags & FEXTRA) {
		u32 n = s->in[10] | (u32)s->in[11] << 8;

		err = skip(s, 2 + (u64)n);
	}
	if (!err && (flags & FNAME))
		err = skip_text(s);
	if (!err && (flags & FCOMMENT))
		err = skip_text(s);
	if (!err && (flags & FHCRC))
		err = skip(s, 2);
	return err;
}

static u32 le32(const u8 *p)
{
	return p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

static int gzip_tail(struct inflate *s)
{
	const u8 *p;

	/* Whole bytes that were read ahead go back. */
	s->at -= s->nr_bits / 8;
	s->nr_bits = 0;
	if (s->len - s->at < 8)
		return bad(s, "ends too early");
	p = s->in + s->at;
	if (le32(p) != ~s->crc)
		return bad(s, "the contents' checksum is wrong");
	if (le32(p + 4) != (u32)s->out)
		return bad(s, "the contents' length is wrong");
	s->at += 8;
	return 0;
}

int inflate_gzip(const u8 *in, u64 len, struct inflate_sink *sink, u64 *used,
		 const char **why)
{
	struct inflate *s = kvzalloc(sizeof(*s), GFP_KERNEL);
	int err;

	*used = 0;
	if (!s)
		return -ENOMEM;
	s->in = in;
	s->len = len;
	s->sink = sink;
	crc_init(s);
	err = gzip_head(s);
	if (!err)
		err = inflate_blocks(s);
	if (!err)
		err = gzip_tail(s);
	*used = s->at;
	if (s->why)
		*why = s->why;
	kvfree(s);
	return err;
}
