/* SPDX-License-Identifier: MIT */
/*
 * lua_kmem.c - the kernel's own memory by hand: blocks of frames, objects of
 * caches, kmalloc, vmalloc.
 *
 * 1. The lab is a caller in the kernel. What it got it must give back, with the
 *    order or the cache that it came from: an address that is none of those
 *    that it holds is refused here, before the manager would have to.
 *
 * 2. Addresses are the machine's: of the direct map, or of the part for
 *    vmalloc. The manager's views of them are the host's and stay in a table.
 *
 * 3. Caches of a lab are never merged with others, so that slabinfo shows them
 *    by their names. What a script left is given back when the machine goes.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/gfp.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>
#include <mmkit/vmalloc.h>

#include "pgtable/kernel.h"
#include "phys/page.h"
#include "phys/phys.h"

#define HELD_HASH 4096u

enum held_kind { HELD_PAGES, HELD_OBJECT, HELD_KMALLOC, HELD_VMALLOC };

/* Something that a script holds. */
struct held {
	struct held *next;
	enum held_kind kind;
	u64 key;    /* frame number, or address in the machine */
	void *view; /* not of pages */
	u32 arg;    /* order, or the cache's number */
};

struct lab_cache {
	struct lab_cache *next;
	u32 id;
	char name[32];
	struct kmem_cache *cache; /* NULL: destroyed */
};

static struct {
	struct held *hash[HELD_HASH];
	struct lab_cache *caches;
	u32 nr_caches;
} kmem;

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

/* ---- what is held
 * ---------------------------------------------------------------------- */

static struct held **held_at(enum held_kind kind, u64 key)
{
	struct held **h = &kmem.hash[(key >> 3 ^ key >> 15) % HELD_HASH];

	while (*h && ((*h)->kind != kind || (*h)->key != key))
		h = &(*h)->next;
	return h;
}

/* Inside the machine. */
static s64 hold(enum held_kind kind, u64 key, void *view, u32 arg)
{
	struct held **at = held_at(kind, key);

	*at = calloc(1, sizeof(**at));
	if (!*at)
		return -ENOMEM;
	**at = (struct held){
		.kind = kind, .key = key, .view = view, .arg = arg};
	return 0;
}

static struct lab_cache *cache_nr(u32 id)
{
	struct lab_cache *k = kmem.caches;

	while (k && k->id != id)
		k = k->next;
	return k;
}

static void give_back(const struct held *h)
{
	switch (h->kind) {
	case HELD_PAGES:
		__free_pages(pfn_to_page(h->key), h->arg);
		break;
	case HELD_OBJECT:
		kmem_cache_free(cache_nr(h->arg)->cache, h->view);
		break;
	case HELD_KMALLOC:
		kfree(h->view);
		break;
	case HELD_VMALLOC:
		vfree(h->view);
		break;
	}
}

/* Give KEY back, if it is held. */
static s64 drop(enum held_kind kind, u64 key, u32 arg)
{
	struct held **at = held_at(kind, key), *h = *at;

	if (!h || h->arg != arg)
		return -EINVAL;
	*at = h->next;
	give_back(h);
	free(h);
	return 0;
}

void lab_kmem_exit(void)
{
	for (u32 i = 0; i < HELD_HASH; i++) {
		struct held *next;

		for (struct held *h = kmem.hash[i]; h; h = next) {
			next = h->next;
			give_back(h);
			free(h);
		}
		kmem.hash[i] = NULL;
	}
	for (struct lab_cache *k = kmem.caches; k; k = k->next)
		if (k->cache && kmem_cache_destroy(k->cache) == 0)
			k->cache = NULL;
}

void lab_kmem_free(void)
{
	struct lab_cache *next;

	for (u32 i = 0; i < HELD_HASH; i++) {
		while (kmem.hash[i]) {
			struct held *h = kmem.hash[i];

			kmem.hash[i] = h->next;
			free(h);
		}
	}
	for (struct lab_cache *k = kmem.caches; k; k = next) {
		next = k->next;
		free(k);
	}
	kmem.caches = NULL;
	kmem.nr_caches = 0;
}

/* ---- flags
 * ------------------------------------------------------------------------- */

static const struct {
	const char *name;
	gfp_t gfp;
} gfp_words[] = {
	{"GFP_KERNEL", GFP_KERNEL},
	{"GFP_ATOMIC", GFP_ATOMIC},
	{"GFP_NOWAIT", GFP_NOWAIT},
	{"GFP_NOIO", GFP_NOIO},
	{"GFP_NOFS", GFP_NOFS},
	{"GFP_USER", GFP_USER},
	{"GFP_HIGHUSER", GFP_HIGHUSER},
	{"GFP_HIGHUSER_MOVABLE", GFP_HIGHUSER_MOVABLE},
	{"GFP_DMA", GFP_DMA},
	{"GFP_DMA32", GFP_DMA32},
	{"__GFP_MOVABLE", __GFP_MOVABLE},
	{"__GFP_RECLAIMABLE", __GFP_RECLAIMABLE},
	{"__GFP_ZERO", __GFP_ZERO},
	{"__GFP_NORETRY", __GFP_NORETRY},
	{"__GFP_RETRY_MAYFAIL", __GFP_RETRY_MAYFAIL},
	{"__GFP_NOWARN", __GFP_NOWARN},
	{"__GFP_NOMEMALLOC", __GFP_NOMEMALLOC},
	{"__GFP_COMP", __GFP_COMP},
};

static gfp_t one_gfp(lua_State *L, int arg, const char *word, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(gfp_words); i++)
		if (strlen(gfp_words[i].name) == n &&
		    !memcmp(gfp_words[i].name, word, n))
			return gfp_words[i].gfp;
	luaL_argerror(L, arg,
		      "GFP flags are words like \"GFP_KERNEL\" or "
		      "\"GFP_KERNEL|__GFP_ZERO\"");
	return 0;
}

/* GFP flags at ARG; GFP_KERNEL if there are none. */
static gfp_t gfp_arg(lua_State *L, int arg)
{
	const char *s = luaL_optstring(L, arg, "GFP_KERNEL");
	gfp_t gfp = 0;

	for (;;) {
		size_t n = strcspn(s, "|, ");

		gfp |= one_gfp(L, arg, s, n);
		s += n + strspn(s + n, "|, ");
		if (!*s)
			return gfp;
	}
}

/* ---- blocks of frames
 * ------------------------------------------------------------------ */

/* A: order, flags; result there: frame number. */
static s64 do_alloc_pages(struct lab_call *c)
{
	u32 order = (u32)c->a[0];
	struct page *p = alloc_pages((gfp_t)c->a[1], order);

	if (!p)
		return -ENOMEM;
	c->a[2] = page_to_pfn(p);
	return hold(HELD_PAGES, c->a[2], NULL, order);
}

static int push_a2(lua_State *L, struct lab_call *c)
{
	lua_pushinteger(L, (lua_Integer)c->a[2]);
	return 1;
}

static u32 order_arg(lua_State *L, int arg)
{
	lua_Integer order = luaL_checkinteger(L, arg);

	luaL_argcheck(L, order >= 0 && order <= 10, arg, "orders are 0 to 10");
	return (u32)order;
}

static int l_alloc_pages(lua_State *L)
{
	struct lab_call c = {
		.fn = do_alloc_pages, .name = "alloc_pages", .push = push_a2};

	c.a[0] = order_arg(L, 1);
	c.a[1] = gfp_arg(L, 2);
	snprintf(c.what, sizeof(c.what), "order %llu",
		 (unsigned long long)c.a[0]);
	return lab_do(L, &c);
}

/* A: kind, key, arg. */
static s64 do_drop(struct lab_call *c)
{
	return drop((enum held_kind)c->a[0], c->a[1], (u32)c->a[2]);
}

static int l_free_pages(lua_State *L)
{
	struct lab_call c = {
		.fn = do_drop, .name = "free_pages", .push = push_none};

	c.a[0] = HELD_PAGES;
	c.a[1] = (u64)luaL_checkinteger(L, 1);
	c.a[2] = order_arg(L, 2);
	snprintf(c.what, sizeof(c.what), "no block of order %u at frame 0x%llx",
		 (u32)c.a[2], (unsigned long long)c.a[1]);
	return lab_do(L, &c);
}

static s64 do_drain(struct lab_call *c)
{
	(void)c;
	drain_all_pages();
	return 0;
}

static int l_drain_pages(lua_State *L)
{
	struct lab_call c = {
		.fn = do_drain, .name = "drain_pages", .push = push_none};

	return lab_do(L, &c);
}

/* ---- objects
 * ------------------------------------------------------------------------- */

/* The machine's address of what lies at VIEW. */
static u64 direct_va(const void *view)
{
	phys_addr_t pa = port_ram_phys(view);

	return direct_map_va(PFN_DOWN(pa)) + pa % PAGE_SIZE;
}

static struct lab_cache *cache_arg(lua_State *L, int arg)
{
	struct lab_cache *k = cache_nr(lab_handle_id(L, arg, "lab.cache"));

	if (!k->cache)
		lab_fail(L, EINVAL, "cache", "it was destroyed");
	return k;
}

/* A: cache, size, alignment. */
static s64 do_create(struct lab_call *c)
{
	struct lab_cache *k = cache_nr((u32)c->a[0]);

	k->cache = kmem_cache_create(k->name, (u32)c->a[1], (u32)c->a[2],
				     SLAB_NO_MERGE, NULL);
	return k->cache ? 0 : -ENOMEM;
}

static int push_cache(lua_State *L, struct lab_call *c)
{
	lab_handle(L, "lab.cache", (u32)c->a[0]);
	return 1;
}

static int l_create(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	u64 size = lab_size(L, 2), align = lab_opt_size(L, 3, 0);
	struct lab_call c = {.fn = do_create,
			     .name = "kmem_cache_create",
			     .push = push_cache};
	struct lab_cache *k;

	luaL_argcheck(L, *name && strlen(name) < sizeof(k->name), 1,
		      "a name has 1 to 31 letters");
	luaL_argcheck(L, size >= 8 && size <= KMEM_MAX_OBJECT, 2,
		      "objects have 8 bytes to 32 KiB");
	luaL_argcheck(L, align <= PAGE_SIZE && !(align & (align - 1)), 3,
		      "an alignment is a power of two up to 4096");
	lab_need_machine(L);
	k = calloc(1, sizeof(*k));
	if (!k)
		return lab_fail(L, ENOMEM, "kmem_cache_create", name);
	snprintf(k->name, sizeof(k->name), "%s", name);
	k->id = ++kmem.nr_caches;
	k->next = kmem.caches;
	kmem.caches = k;
	c.a[0] = k->id;
	c.a[1] = size;
	c.a[2] = align;
	snprintf(c.what, sizeof(c.what), "%s", k->name);
	return lab_do(L, &c);
}

/* A: cache, flags. */
static s64 do_object(struct lab_call *c)
{
	void *obj =
		kmem_cache_alloc(cache_nr((u32)c->a[0])->cache, (gfp_t)c->a[1]);

	if (!obj)
		return -ENOMEM;
	c->a[2] = direct_va(obj);
	return hold(HELD_OBJECT, c->a[2], obj, (u32)c->a[0]);
}

static int l_cache_alloc(lua_State *L)
{
	struct lab_cache *k = cache_arg(L, 1);
	struct lab_call c = {
		.fn = do_object, .name = "kmem_cache_alloc", .push = push_a2};

	c.a[0] = k->id;
	c.a[1] = gfp_arg(L, 2);
	snprintf(c.what, sizeof(c.what), "%s", k->name);
	return lab_do(L, &c);
}

static int l_cache_free(lua_State *L)
{
	struct lab_cache *k = cache_arg(L, 1);
	struct lab_call c = {
		.fn = do_drop, .name = "kmem_cache_free", .push = push_none};

	c.a[0] = HELD_OBJECT;
	c.a[1] = (u64)luaL_checkinteger(L, 2);
	c.a[2] = k->id;
	snprintf(c.what, sizeof(c.what), "no object of %s at 0x%llx", k->name,
		 (unsigned long long)c.a[1]);
	return lab_do(L, &c);
}

static s64 do_shrink(struct lab_call *c)
{
	return (s64)kmem_cache_shrink(cache_nr((u32)c->a[0])->cache);
}

static int l_cache_shrink(lua_State *L)
{
	struct lab_call c = {.fn = do_shrink, .name = "kmem_cache_shrink"};

	c.a[0] = cache_arg(L, 1)->id;
	return lab_do(L, &c);
}

static s64 do_active(struct lab_call *c)
{
	return (s64)kmem_cache_active(cache_nr((u32)c->a[0])->cache);
}

static int l_cache_active(lua_State *L)
{
	struct lab_call c = {.fn = do_active, .name = "active"};

	c.a[0] = cache_arg(L, 1)->id;
	return lab_do(L, &c);
}

static s64 do_destroy(struct lab_call *c)
{
	struct lab_cache *k = cache_nr((u32)c->a[0]);

	if (kmem_cache_active(k->cache))
		return -EBUSY;
	(void)kmem_cache_destroy(k->cache);
	k->cache = NULL;
	return 0;
}

static int l_cache_destroy(lua_State *L)
{
	struct lab_cache *k = cache_arg(L, 1);
	struct lab_call c = {.fn = do_destroy,
			     .name = "kmem_cache_destroy",
			     .push = push_none};

	c.a[0] = k->id;
	snprintf(c.what, sizeof(c.what), "%s has objects", k->name);
	return lab_do(L, &c);
}

/* ---- kmalloc and vmalloc
 * --------------------------------------------------------------- */

/* A: size, flags. */
static s64 do_kmalloc(struct lab_call *c)
{
	void *p = kmalloc(c->a[0], (gfp_t)c->a[1]);

	if (!p)
		return -ENOMEM;
	c->a[2] = direct_va(p);
	return hold(HELD_KMALLOC, c->a[2], p, 0);
}

static s64 do_vmalloc(struct lab_call *c)
{
	void *p = vmalloc_caller(c->a[0], (gfp_t)c->a[1], -1, "lab");

	if (!p)
		return -ENOMEM;
	c->a[2] = vmalloc_kva(p);
	return hold(HELD_VMALLOC, c->a[2], p, 0);
}

static int alloc_bytes(lua_State *L, const char *name,
		       s64 (*fn)(struct lab_call *c))
{
	struct lab_call c = {.fn = fn, .name = name, .push = push_a2};

	c.a[0] = lab_size(L, 1);
	c.a[1] = gfp_arg(L, 2);
	luaL_argcheck(L, c.a[0], 1, "of no bytes there is no address");
	snprintf(c.what, sizeof(c.what), "%llu bytes",
		 (unsigned long long)c.a[0]);
	return lab_do(L, &c);
}

static int l_kmalloc(lua_State *L)
{
	return alloc_bytes(L, "kmalloc", do_kmalloc);
}

static int l_vmalloc(lua_State *L)
{
	return alloc_bytes(L, "vmalloc", do_vmalloc);
}

static int free_bytes(lua_State *L, const char *name, enum held_kind kind)
{
	struct lab_call c = {.fn = do_drop, .name = name, .push = push_none};

	c.a[0] = kind;
	c.a[1] = (u64)luaL_checkinteger(L, 1);
	snprintf(c.what, sizeof(c.what), "nothing of yours at 0x%llx",
		 (unsigned long long)c.a[1]);
	return lab_do(L, &c);
}

static int l_kfree(lua_State *L)
{
	return free_bytes(L, "kfree", HELD_KMALLOC);
}

static int l_vfree(lua_State *L)
{
	return free_bytes(L, "vfree", HELD_VMALLOC);
}

static s64 do_ksize(struct lab_call *c)
{
	const struct held *h = *held_at(HELD_KMALLOC, c->a[0]);

	return h ? (s64)ksize(h->view) : -EINVAL;
}

static int l_ksize(lua_State *L)
{
	struct lab_call c = {.fn = do_ksize, .name = "ksize"};

	c.a[0] = (u64)luaL_checkinteger(L, 1);
	return lab_do(L, &c);
}

/* ---- where it lies
 * ----------------------------------------------------------------- */

/* A[0]: an address of the direct map, or of a vmalloc area. */
static s64 do_to_pfn(struct lab_call *c)
{
	u64 low = pgtable_sys.layout.page_offset;
	u64 pfn;

	if (c->a[0] - low < pgtable_sys.layout.low_end)
		pfn = PFN_DOWN(c->a[0] - low);
	else if (c->a[0] >= pgtable_sys.layout.vmalloc_start &&
		 c->a[0] < pgtable_sys.layout.vmalloc_end)
		pfn = vmalloc_to_pfn(port_kva(c->a[0]));
	else
		return -EFAULT;
	return pfn_valid(pfn) ? (s64)pfn : -EFAULT;
}

static int l_to_pfn(lua_State *L)
{
	struct lab_call c = {.fn = do_to_pfn, .name = "virt_to_pfn"};

	c.a[0] = (u64)luaL_checkinteger(L, 1);
	snprintf(c.what, sizeof(c.what), "0x%llx", (unsigned long long)c.a[0]);
	return lab_do(L, &c);
}

#define K "k = kmem_cache_create(\"thing\", 100)\n"

const struct lab_fn lab_kmem_fns[] = {
	{"alloc_pages", "alloc_pages(order, [gfp]) -> pfn",
	 "A block of 2^order frames from the page allocator, as the kernel gets "
	 "it. Flags: \"GFP_KERNEL\", \"GFP_HIGHUSER_MOVABLE\", "
	 "\"GFP_KERNEL|__GFP_NORETRY\" ...",
	 "p = alloc_pages(3)\nassert(p % 8 == 0)\nfree_pages(p, 3)",
	 l_alloc_pages},
	{"free_pages", "free_pages(pfn, order)",
	 "Give a block back that alloc_pages() gave.",
	 "free_pages(alloc_pages(0), 0)", l_free_pages},
	{"drain_pages", "drain_pages()",
	 "Frames that CPUs keep in their lists go back to the buddy lists.",
	 "drain_pages()", l_drain_pages},
	{"buddyinfo", "buddyinfo([node]) -> table",
	 "/proc/buddyinfo: buddyinfo()[\"DMA32\"][order] free blocks, order 0 "
	 "to 10.",
	 "print(buddyinfo().DMA[10])", NULL},
	{"kmem_cache_create", "kmem_cache_create(name, size, [align]) -> cache",
	 "A slab cache of objects of that size, in /proc/slabinfo by its name.",
	 K "cat(\"/proc/slabinfo\", \"^thing\")", l_create},
	{"cache:alloc", "cache:alloc([gfp]) -> addr",
	 "kmem_cache_alloc(): an object.", K "print(k:alloc())", l_cache_alloc},
	{"cache:free", "cache:free(addr)", "kmem_cache_free().",
	 K "k:free(k:alloc())", l_cache_free},
	{"cache:active", "cache:active() -> objects", "How many are out.",
	 K "k:alloc()\nassert(k:active() == 1)", l_cache_active},
	{"cache:shrink", "cache:shrink() -> frames",
	 "kmem_cache_shrink(): empty slabs go back to the page allocator.",
	 K "k:free(k:alloc())\nprint(k:shrink())", l_cache_shrink},
	{"cache:destroy", "cache:destroy()",
	 "kmem_cache_destroy(); EBUSY while objects are out.", K "k:destroy()",
	 l_cache_destroy},
	{"kmalloc", "kmalloc(size, [gfp]) -> addr",
	 "Bytes that lie together in physical memory: from a cache of the next "
	 "size, or above 8 KiB from whole frames.",
	 "p = kmalloc(100)\nassert(ksize(p) == 128)\nkfree(p)", l_kmalloc},
	{"kfree", "kfree(addr)", "Give back what kmalloc() gave.",
	 "kfree(kmalloc(10))", l_kfree},
	{"ksize", "ksize(addr) -> bytes",
	 "How much there is behind an address of kmalloc().",
	 "assert(ksize(kmalloc(33)) == 64)", l_ksize},
	{"vmalloc", "vmalloc(size, [gfp]) -> addr",
	 "Bytes that lie together in the kernel's address space, in frames from "
	 "anywhere.",
	 "p = vmalloc(\"64K\")\ncat(\"/proc/vmallocinfo\")\nvfree(p)",
	 l_vmalloc},
	{"vfree", "vfree(addr)", "Give back what vmalloc() gave.",
	 "vfree(vmalloc(1))", l_vfree},
	{"virt_to_pfn", "virt_to_pfn(addr) -> pfn",
	 "The frame behind an address of the kernel: of the direct map, or of "
	 "vmalloc().",
	 "p = vmalloc(\"8K\")\nprint(virt_to_pfn(p), virt_to_pfn(p + 4096))",
	 l_to_pfn},
	{0}};
