-- SPDX-License-Identifier: MIT
-- world: sim
-- 05 - Migrate types: why the kernel keeps apart what can be moved and what
-- cannot. Read 05-migrate-types.md beside it.

-- Of all pageblocks (512 frames): how many have which type, and how many are
-- free from end to end.
local function blocks(title)
  drain_pages()
  local text = readfile("/proc/pagetypeinfo")
  local u, m, r = text:match("zone +DMA32 +(%d+) +(%d+) +(%d+)")
  local free = buddyinfo().DMA32
  print(string.format("%-36s unmovable %2d, movable %2d, reclaimable %2d; "
    .. "wholly free %2d", title, u, m, r, free[9] + 2 * free[10]))
end
local function pageblocks_of(frames)
  local set, n = {}, 0
  for _, pfn in ipairs(frames) do
    if not set[pfn >> 9] then set[pfn >> 9], n = true, n + 1 end
  end
  return n
end

-- The kernel takes a frame for itself, with these flags, after each 100 that a
-- program takes. Then the program goes.
local function life(gfp)
  boot{mem="64M"}
  print("== 90 frames of the kernel's with " .. gfp)
  blocks("after boot")
  local t, kept = spawn("program"), {}
  for i = 1, 90 do
    t:touch(t:mmap("400K"), "400K", "w")
    kept[i] = alloc_pages(0, gfp)
  end
  blocks("9000 frames of the program, 90 kept")
  t:exit()
  blocks("the program has gone")
  print("the 90 lie in pageblocks: " .. pageblocks_of(kept) .. "\n")
end
life("GFP_HIGHUSER_MOVABLE") -- a lie: nobody can move them
life("GFP_KERNEL")

print("== fallback: when blocks of the right type are used up")
trace("mm_page_alloc_extfrag")
local more = {}
for i = 1, 3000 do more[i] = alloc_pages(0, "GFP_KERNEL") end
blocks("3000 frames more for the kernel")
local list = events()
print("blocks taken over from another type: " .. #list)
print("the first: " .. list[1].text)
for _, pfn in ipairs(more) do free_pages(pfn, 0) end
blocks("all 3000 are given back")

-- To do:
-- 1. life("GFP_KERNEL|__GFP_RECLAIMABLE"): what is different, and for which
--    kind of kernel memory is it meant?
-- 2. bench/frag.c of the project measures what types are worth after a long
--    life (README.md). Which of its three lines is this lesson's first half?
