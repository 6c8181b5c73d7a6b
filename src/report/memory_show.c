/* SPDX-License-Identifier: MIT */
/*
 * memory_show.c - /sys/devices/system/memory: blocks of RAM, which may go
 * offline and come back.
 *
 *	block_size_bytes		in hexadecimal
 *	memoryN/phys_index		N, in hexadecimal
 *	memoryN/state			online, offline, going-offline;
 *					written: online, online_kernel,
 *					online_movable, offline
 *	memoryN/online			1, 0; written likewise
 *	memoryN/removable		1 (may be tried)
 *	memoryN/phys_device		0
 *	memoryN/valid_zones		where it is, or could come to be
 *
 * A block with its number times 128 MiB has a directory as long as there is RAM
 * in it.
 *
 * References: Linux documentation, admin-guide/mm/memory-hotplug and
 * ABI/testing/sysfs-devices-memory.
 */
#include <mmkit/errno.h>
#include <mmkit/memory_hotplug.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "phys/phys.h"
#include "report/report.h"

#define FRAMES (MEMORY_BLOCK_BYTES >> PAGE_SHIFT)

/* The number behind WORD at the start of *NAME, which is left at what follows
 * the '/' behind it; -1: no such text. */
s64 number_behind(const char **name, const char *word)
{
	const size_t n = mm_strlen(word);
	const char *s = *name + n;
	s64 v = 0;

	if (mm_strncmp(*name, word, n) != 0 || *s < '0' || *s > '9')
		return -1;
	for (; *s >= '0' && *s <= '9'; s++)
		v = v < INT32_MAX ? v * 10 + (*s - '0') : v;
	if (*s != '/')
		return -1;
	*name = s + 1;
	return v;
}

/* The first frame of the block that *NAME is about; 0, or -ENOENT. */
static int block_of(const char **name, u64 *pfn)
{
	s64 nr = number_behind(name, "memory");

	if (nr < 0)
		return -ENOENT;
	*pfn = (u64)nr * FRAMES;
	return memory_block_state(*pfn) == -ENOENT ? -ENOENT : 0;
}

static const char *state_word(u64 pfn)
{
	int state = memory_block_state(pfn);

	if (state == MEM_GOING_OFFLINE)
		return "going-offline";
	return state == MEM_ONLINE ? "online" : "offline";
}

/* The zone that the block is in, if it is one; one that is offline can come to
 * two. */
static void show_zones(u64 pfn, struct seq_buf *out)
{
	struct page *first = pfn_to_online_page(pfn);
	struct page *last = pfn_to_online_page(pfn + FRAMES - 1);

	if (memory_block_state(pfn) != MEM_ONLINE)
		seq_puts(out, "Normal Movable\n");
	else if (!first || !last || page_zone(first) != page_zone(last))
		seq_puts(out, "none\n");
	else
		seq_printf(out, "%s\n", page_zone(first)->name);
}

int memory_block_show(const char *name, struct seq_buf *out)
{
	u64 pfn;

	if (mm_strcmp(name, "block_size_bytes") == 0) {
		seq_printf(out, "%lx\n", MEMORY_BLOCK_BYTES);
		return 0;
	}
	if (block_of(&name, &pfn))
		return -ENOENT;
	if (mm_strcmp(name, "phys_index") == 0)
		seq_printf(out, "%08llx\n", (unsigned long long)(pfn / FRAMES));
	else if (mm_strcmp(name, "state") == 0)
		seq_printf(out, "%s\n", state_word(pfn));
	else if (mm_strcmp(name, "online") == 0)
		seq_printf(out, "%d\n", memory_block_state(pfn) == MEM_ONLINE);
	else if (mm_strcmp(name, "removable") == 0)
		seq_puts(out, "1\n");
	else if (mm_strcmp(name, "phys_device") == 0)
		seq_puts(out, "0\n");
	else if (mm_strcmp(name, "valid_zones") == 0)
		show_zones(pfn, out);
	else
		return -ENOENT;
	return 0;
}

/* memoryN/state is to be WORD. */
static int set_state(u64 pfn, const char *word)
{
	static const struct {
		const char *word;
		enum mmop op;
	} words[] = {
		{"online", MMOP_ONLINE},
		{"online_kernel", MMOP_ONLINE_KERNEL},
		{"online_movable", MMOP_ONLINE_MOVABLE},
		{"offline", MMOP_OFFLINE},
	};
	bool online = memory_block_state(pfn) == MEM_ONLINE;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (mm_strcmp(words[i].word, word) != 0)
			continue;
		/* It is so already. */
		if (online == (words[i].op != MMOP_OFFLINE))
			return -EINVAL;
		return online ? offline_pages(pfn, FRAMES)
			      : online_pages(pfn, FRAMES, words[i].op);
	}
	return -EINVAL;
}

/* memoryN/online: as often as one likes. */
static int set_online(u64 pfn, const char *word)
{
	bool online = memory_block_state(pfn) == MEM_ONLINE;

	if (mm_strcmp(word, "1") == 0)
		return online ? 0 : online_pages(pfn, FRAMES, MMOP_ONLINE);
	if (mm_strcmp(word, "0") == 0)
		return online ? offline_pages(pfn, FRAMES) : 0;
	return -EINVAL;
}

int memory_block_store(const char *name, const char *text, size_t len)
{
	char word[24];
	u64 pfn;

	if (block_of(&name, &pfn))
		return -ENOENT;
	if (len && text[len - 1] == '\n')
		len--;
	if (len >= sizeof(word))
		return -EINVAL;
	mm_memcpy(word, text, len);
	word[len] = '\0';
	if (mm_strcmp(name, "state") == 0)
		return set_state(pfn, word);
	return mm_strcmp(name, "online") == 0 ? set_online(pfn, word) : -ENOENT;
}
