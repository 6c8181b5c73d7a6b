/* SPDX-License-Identifier: MIT */
/*
 * page_owner.c - who allocated each frame, and when.
 *
 * 1. Purpose. To find leaks and hogs, and to say in a report of a bad frame
 *    who had it last.
 *
 * 2. Structures. A struct page_owner in each frame's page_ext: every frame of
 *    a block has the same one. PAGE_EXT_OWNER: there is a record;
 *    PAGE_EXT_OWNER_ALLOCATED: the frame is in use. After a free the record
 *    stays, with the time of the free, until the next allocation.
 *
 * 3. Invariants.
 *    PO-1  A frame that left alloc_pages() has both bits; one that came back
 *          by free_pages_prepare() has the first alone.
 *
 * 4. Locking. The writer is who takes or frees the block. Reports read
 *    without a lock and may mix two owners' words.
 *
 * 5. Stacks of the last allocation and the last free are the depot's, which
 *    gets memory for them at boot; when that is full, or the port cannot walk
 *    stacks, the address of the call of the page allocator is what remains.
 *    Where the compiler made that call from inside the allocator (debug
 *    builds), so does the record.
 *
 * 6. Failure. None.
 *
 * 7. Cost. 72 bytes per frame, and their writing with each block.
 *
 * References: Linux documentation, mm/page_owner.
 */
#include "phys/page_owner.h"

#include "base/printk.h"
#include "base/stack_depot.h"
#include "base/string.h"
#include "phys/page_debug.h"
#include "phys/phys.h"

MM_STATIC_ASSERT(sizeof(struct page_owner) % 8 == 0, "entries stay aligned");
MM_STATIC_ASSERT(MAX_ORDER <= UINT16_MAX, "an order fits its field");

bool page_owner_on(void)
{
	return phys_sys.debug.p.page_owner;
}

static void owner_init(void)
{
	pr_info("page_owner is enabled: %llu bytes for each frame, %lluK",
		(unsigned long long)phys_sys.page_ext.entry_size,
		(unsigned long long)phys_sys.page_ext.reserved_bytes >> 10);
}

/* A 2048th of memory, at most a quarter of what the depot may have. */
void page_owner_reserve(void)
{
	u64 nr = memblock_phys_mem_size() / 2048 / STACK_DEPOT_CHUNK;

	if (!page_owner_on())
		return;
	nr = clamp(nr, 8ul, (u64)DEPOT_CHUNKS / 4);
	while (nr--) {
		phys_addr_t at = memblock_phys_alloc_try_nid(
			STACK_DEPOT_CHUNK, PAGE_SIZE, NUMA_NO_NODE);

		if (!at || !stack_depot_feed(port_ram(at)))
			return;
	}
}

const struct page_ext_operations page_owner_ops = {
	.size = sizeof(struct page_owner),
	.need = page_owner_on,
	.init = owner_init,
};

/* PAGE's record to write, and its bits in *EXT. */
static struct page_owner *owner_entry(const struct page *page,
				      struct page_ext **ext)
{
	*ext = lookup_page_ext(page);
	mm_verify(*ext != NULL);
	return page_ext_data(*ext, PAGE_EXT_PAGE_OWNER);
}

static bool ext_test(const struct page_ext *ext, enum page_ext_flags bit)
{
	return __atomic_load_n(&ext->flags, __ATOMIC_ACQUIRE) >> bit & 1;
}

void set_page_owner(struct page *page, unsigned int order, gfp_t gfp)
{
	struct page_owner now = {
		.order = (u16)order,
		.migratetype = (u16)gfp_migratetype(gfp),
		.gfp = gfp,
		.ts_ns = port_now_ns(),
	};
	struct page_owner *owner;
	struct page_ext *ext;

	if (likely(!page_owner_on()))
		return;
	now.stack = stack_depot_here(0);
	if (port_in_irq()) {
		mm_memcpy(now.comm, "interrupt", sizeof("interrupt"));
	} else {
		now.pid = port_current()->pid;
		mm_memcpy(now.comm, port_current()->comm, sizeof(now.comm));
		now.comm[sizeof(now.comm) - 1] = '\0';
	}
	for (u64 i = 0; i < 1UL << order; i++) {
		owner = owner_entry(page + i, &ext);
		now.free_pid = owner->free_pid;
		now.free_ts_ns = owner->free_ts_ns;
		now.free_stack = owner->free_stack;
		*owner = now;
		__atomic_fetch_or(&ext->flags,
				  1UL << PAGE_EXT_OWNER |
					  1UL << PAGE_EXT_OWNER_ALLOCATED,
				  __ATOMIC_RELEASE);
	}
}

void page_owner_caller(struct page *page, unsigned int order, const void *at)
{
	struct page_ext *ext;

	if (likely(!page_owner_on()))
		return;
	for (u64 i = 0; i < 1UL << order; i++)
		owner_entry(page + i, &ext)->caller = at;
}

void reset_page_owner(struct page *page, unsigned int order)
{
	depot_stack_handle_t stack;
	struct page_owner *owner;
	struct page_ext *ext;
	u64 now;

	if (likely(!page_owner_on()))
		return;
	now = port_now_ns();
	stack = stack_depot_here(0);
	for (u64 i = 0; i < 1UL << order; i++) {
		owner = owner_entry(page + i, &ext);
		owner->free_pid = port_in_irq() ? 0 : port_current()->pid;
		owner->free_ts_ns = now;
		owner->free_stack = stack;
		__atomic_fetch_and(&ext->flags,
				   ~(1UL << PAGE_EXT_OWNER_ALLOCATED),
				   __ATOMIC_RELEASE);
	}
}

void split_page_owner(struct page *page, u64 nr)
{
	struct page_ext *ext;

	if (likely(!page_owner_on()))
		return;
	for (u64 i = 0; i < nr; i++)
		owner_entry(page + i, &ext)->order = 0;
}

void copy_page_owner(struct page *new, const struct page *old)
{
	struct page_owner *to;
	const struct page_owner *from;
	struct page_ext *ext;

	if (likely(!page_owner_on()))
		return;
	from = page_owner_of(old);
	to = owner_entry(new, &ext);
	if (!from)
		return;
	/* When and by whom the frame was freed before is the frame's own. */
	to->gfp = from->gfp;
	to->migratetype = from->migratetype;
	to->pid = from->pid;
	to->ts_ns = from->ts_ns;
	to->caller = from->caller;
	to->stack = from->stack;
	mm_memcpy(to->comm, from->comm, sizeof(to->comm));
}

const struct page_owner *page_owner_of(const struct page *page)
{
	struct page_ext *ext;

	if (!page_owner_on())
		return NULL;
	ext = lookup_page_ext(page);
	if (!ext || !ext_test(ext, PAGE_EXT_OWNER))
		return NULL;
	return page_ext_data(ext, PAGE_EXT_PAGE_OWNER);
}

bool page_owner_allocated(const struct page *page)
{
	return page_owner_of(page) &&
	       ext_test(lookup_page_ext(page), PAGE_EXT_OWNER_ALLOCATED);
}

/* ---- text
 * ------------------------------------------------------------------------- */

void page_owner_print(struct seq_buf *out, const struct page *page)
{
	const struct page_owner *o = page_owner_of(page);
	u64 pfn = page_to_pfn(page);

	mm_assert(o != NULL && o->migratetype < MIGRATE_TYPES);
	seq_printf(out, "Page allocated via order %u, mask %#x(", o->order,
		   o->gfp);
	name_gfp(out, o->gfp);
	seq_printf(out,
		   "), pid %d, tgid %d (%s), ts %llu ns, free_ts %llu ns\n",
		   o->pid, o->pid, o->comm, (unsigned long long)o->ts_ns,
		   (unsigned long long)o->free_ts_ns);
	seq_printf(out, "PFN 0x%llx type %s Block %llu type %s Flags 0x%x(",
		   (unsigned long long)pfn, migratetype_names[o->migratetype],
		   (unsigned long long)(pfn >> pageblock_order),
		   migratetype_names[get_pfnblock_migratetype(pfn)],
		   READ_ONCE(page->flags));
	name_page_flags(out, READ_ONCE(page->flags));
	seq_puts(out, ")\n");
	if (o->stack)
		stack_depot_print(out, o->stack, " ");
	else
		seq_printf(out, " caller 0x%llx\n",
			   (unsigned long long)(uintptr_t)o->caller);
	seq_puts(out, "\n");
}

static void dump_stack(const char *what, depot_stack_handle_t stack)
{
	const u64 *entry;
	u32 nr = stack_depot_fetch(stack, &entry);
	char text[128];

	if (nr)
		pr_emerg("%s", what);
	for (u32 i = 0; i < nr; i++) {
		port_symbol(entry[i], text, sizeof(text));
		pr_emerg(" %s", text);
	}
}

void dump_page_owner(const struct page *page)
{
	const struct page_owner *o = page_owner_of(page);
	char text[256];
	struct seq_buf s;

	if (!page_owner_on())
		return;
	if (!o) {
		pr_emerg("page_owner info is not present (never set?)");
		return;
	}
	pr_emerg("page_owner tracks the page as %s",
		 page_owner_allocated(page) ? "allocated" : "freed");
	seq_buf_init(&s, text, sizeof(text));
	name_gfp(&s, o->gfp);
	pr_emerg("page last allocated via order %u, migratetype %s, gfp_mask "
		 "%#x(%s), pid %d, tgid %d (%s), ts %llu, free_ts %llu",
		 o->order, migratetype_names[o->migratetype], o->gfp,
		 seq_buf_str(&s), o->pid, o->pid, o->comm,
		 (unsigned long long)o->ts_ns,
		 (unsigned long long)o->free_ts_ns);
	pr_emerg(" caller 0x%llx; last free by pid %d",
		 (unsigned long long)(uintptr_t)o->caller, o->free_pid);
	dump_stack("page last allocated from:", o->stack);
	dump_stack("page last free stack trace:", o->free_stack);
}
