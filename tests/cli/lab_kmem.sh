#!/bin/sh
# SPDX-License-Identifier: MIT
# variants: release asan
# The kernel's own memory in the lab: what is refused, what is given back, and
# that all frames have an owner afterwards.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

cat >"$work/kmem.lua" <<'END'
boot{mem="16M"}
local function fails(name, ...)
  local ok, e = pcall(...)
  assert(not ok and e.name == name, tostring(e))
end

-- Blocks: with their order, once.
local p = alloc_pages(2)
assert(p % 4 == 0 and frame(p).refcount == 1)
fails("EINVAL", free_pages, p, 1)
fails("EINVAL", free_pages, p + 1, 2)
free_pages(p, 2)
fails("EINVAL", free_pages, p, 2)
assert(not pcall(alloc_pages, 11) and not pcall(alloc_pages, 0, "GFP_WHAT"))
fails("ENOMEM", function()
  while true do alloc_pages(10, "GFP_KERNEL|__GFP_NORETRY|__GFP_NOWARN") end
end)

-- Objects belong to their cache; a cache with objects stays.
boot{mem="16M"}
local a, b = kmem_cache_create("a", 64), kmem_cache_create("b", 64)
local x, y = a:alloc(), b:alloc()
assert(a:active() == 1 and x ~= y and x % 8 == 0)
fails("EINVAL", b.free, b, x)
fails("EBUSY", a.destroy, a)
a:free(x)
fails("EINVAL", a.free, a, x)
a:destroy()
fails("EINVAL", a.alloc, a)
assert(not pcall(kmem_cache_create, "huge", 40000))
assert(not pcall(kmem_cache_create, "odd", 64, 3))

-- kmalloc and vmalloc: in a row, or page by page; not mixed up.
local k, v = kmalloc("16K"), vmalloc("16K")
for i = 1, 3 do
  assert(virt_to_pfn(k + i * 4096) == virt_to_pfn(k) + i)
end
assert(ksize(k) == 16384)
fails("EINVAL", kfree, v)
fails("EINVAL", vfree, k)
fails("EINVAL", ksize, v)
fails("EFAULT", virt_to_pfn, v + 16384)
fails("EFAULT", virt_to_pfn, 4096)
fails("ENOMEM", vmalloc, "1G")
kfree(k)
vfree(v)

-- What a machine before had is nothing to the next; b's object was left.
boot{mem="16M"}
assert(audit() == 0)
fails("ENODEV", b.alloc, b)
fails("EINVAL", kfree, y)

-- Given back, everything is as it was.
local free = meminfo().MemFree
local list = {}
for i = 1, 500 do list[i] = { alloc_pages(i % 4, "GFP_HIGHUSER_MOVABLE"), i % 4 } end
for _, block in ipairs(list) do free_pages(table.unpack(block)) end
drain_pages()
assert(meminfo().MemFree == free)
local orders = 0
for order, n in pairs(buddyinfo().DMA) do orders = orders + (n << order) end
assert(orders == zones()[0].DMA.free)
local found, text = audit()
assert(found == 0, text)
END
run lab "$work/kmem.lua"
if grep -q "built without Lua" "$work/err"; then
	skip kmem "this mmkit was built without Lua"
elif [ "$status" -eq 0 ] && ! grep -qv '^\[' "$work/err"; then
	ok kmem
else
	not_ok kmem "$(why)"
fi
finish
