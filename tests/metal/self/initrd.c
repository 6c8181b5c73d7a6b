/* SPDX-License-Identifier: MIT */
/* initrd.c - what the loader put into memory is there, and then ordinary RAM.
 */
#include "self.h"

#include <mmkit/gfp.h>
#include <mmkit/page_alloc.h>

#include "base/string.h"
#include "phys/page.h"

#define PATTERN "mmkit initrd\n"

static u64 bytes_like_pattern(const u8 *at, u64 size)
{
	u64 n = 0;

	while (n < size && at[n] == PATTERN[n % (sizeof(PATTERN) - 1)])
		n++;
	return n;
}

/* Whatever was freed by mistake is now somebody's data. */
static void scribble(void)
{
	struct page *list = NULL, *p;
	u32 n = 0;

	while ((p = alloc_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN,
				0))) {
		mm_memset(page_view(p), 0x5a, PAGE_SIZE);
		*(struct page **)page_view(p) = list;
		list = p;
		n++;
	}
	CHECK(n > 1000);
	while ((p = list)) {
		list = *(struct page **)page_view(p);
		__free_pages(p, 0);
	}
}

void self_initrd(void)
{
	u64 size, frames;
	const u8 *at = machine_initrd(&size);

	if (!at) {
		CHECK(size == 0);
		return;
	}
	CHECK(bytes_like_pattern(at, size) == size);
	frames = PFN_UP(port_ram_phys(at) + size) - PFN_DOWN(port_ram_phys(at));
	scribble();
	CHECK(bytes_like_pattern(at, size) == size);
	machine_initrd_free();
	CHECK(!machine_initrd(&size) && size == 0);
	machine_initrd_free();
	scribble();
	pr_info("self: initrd of %llu frames", (unsigned long long)frames);
}
