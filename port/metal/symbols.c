/* SPDX-License-Identifier: MIT */
/*
 * symbols.c - what the functions of the image are called.
 *
 * 1. Purpose. Addresses in last words, in stacks that were kept, in events, in
 *    /proc/PID/wchan and in /proc/kallsyms have names without a debugger.
 *
 * 2. Structure. The table is put into the image by a second link
 *    (tools/make/metal.mk, tools/symbols): a count; for each function its
 *    offset from KERNEL_BASE and that of its name, by address; then the names,
 *    each behind its type, a letter as nm(1) has it. It ends what is read only,
 *    so that filling it in moves no function: addresses of the first link are
 *    those of the second. What is data is not in it.
 *
 * 3. Invariants.
 *    SYM-1 Sorted by address; several names of one address stand in a row, and
 *          the last one is it that is found.
 *
 * 4. Locking, failure. None: nobody writes it. Usable from the first
 *    instruction on to the last words.
 *
 * 5. Cost. 8 bytes and the name for a function: 125 KiB for the 5459 of a
 * release build, 8 % of what is loaded. Not compressed: the last words need no
 * memory to read it.
 *
 * References: nm(1), proc(5) (kallsyms).
 */
#include "metal.h"

#include "base/string.h"

struct symbol {
	u32 at, name; /* offsets from KERNEL_BASE, from the names' start */
};

/* Behind two words, the first of which is the count. */
static const struct symbol *symbols(u32 *nr)
{
	*nr = 0;
	if (__symbols_end - __symbols_start >= 16)
		mm_memcpy(nr, __symbols_start, sizeof(*nr));
	return (const struct symbol *)(__symbols_start + 8);
}

static void symbol_give(const struct symbol *s, struct machine_symbol *out)
{
	u32 nr;
	const char *names = (const char *)(symbols(&nr) + nr);

	out->addr = KERNEL_BASE + s->at;
	out->type = names[s->name];
	out->name = names + s->name + 1;
}

bool machine_symbol(u32 i, struct machine_symbol *out)
{
	u32 nr;
	const struct symbol *s = symbols(&nr);

	if (i >= nr)
		return false;
	symbol_give(&s[i], out);
	return true;
}

bool machine_symbol_at(u64 addr, struct machine_symbol *out, u64 *size)
{
	u32 nr, low = 0, high, at = (u32)(addr - KERNEL_BASE);
	const struct symbol *s = symbols(&nr);

	high = metal_is_text(addr) ? nr : 0;
	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (s[mid].at <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return false;
	symbol_give(&s[low - 1], out);
	*size = (low < nr ? KERNEL_BASE + s[low].at : (u64)__text_end) -
		out->addr;
	return true;
}

u32 metal_symbol_text(u64 addr, u64 at, char *buf, u32 size)
{
	struct machine_symbol s;
	u64 bytes;

	if (!machine_symbol_at(at, &s, &bytes))
		return (u32)mm_scnprintf(buf, size, "0x%llx",
					 (unsigned long long)addr);
	return (u32)mm_scnprintf(buf, size, "%s+0x%llx/0x%llx", s.name,
				 (unsigned long long)(addr - s.addr),
				 (unsigned long long)bytes);
}

/* A return address may be the first one behind its function. */
u32 port_symbol(u64 addr, char *buf, u32 size)
{
	return metal_symbol_text(addr, addr - 1, buf, size);
}
