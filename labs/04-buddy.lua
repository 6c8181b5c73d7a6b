-- SPDX-License-Identifier: MIT
-- world: sim
-- 04 - The buddy allocator: blocks are cut in half, and halves find each
-- other again. Read 04-buddy.md beside it.
boot{mem="16M"} -- one zone: DMA, orders 0 to 10
local gfp = "GFP_HIGHUSER_MOVABLE"

-- Free blocks of each order, of the kind that we ask for (lesson 5).
local function free_blocks()
  drain_pages() -- frames that the CPU keeps for itself go back, too
  local line = readfile("/proc/pagetypeinfo"):match("type +Movable([ %d]+)")
  local t, order = {}, 0
  for n in line:gmatch("%d+") do t[order], order = tonumber(n), order + 1 end
  return t
end
local function lists(title)
  local free = free_blocks()
  local s = {}
  for order = 0, 10 do s[#s + 1] = string.format("%4d", free[order]) end
  print(string.format("%-30s%s", title, table.concat(s)))
end

print("free blocks of order:            0   1   2   3   4   5   6   7   8   9"
  .. "  10")
lists("after boot")
-- The small ones are taken, so that what follows is in order.
for order = 0, 8 do
  while free_blocks()[order] > 0 do alloc_pages(order, gfp) end
end
lists("only large blocks are left")

local p = alloc_pages(3, gfp)
lists("a block of 8 frames is taken")
print(string.format("  frame %#x; what is left of a block of 512 is one of "
  .. "each order from 3 to 8", p))

local q = alloc_pages(3, gfp)
lists("another of 8")
print(string.format("  frame %#x; the buddy of %#x is %#x", q, p, p ~ 8))

free_pages(p, 3)
lists("the first is given back")
print("  its buddy is in use: nothing can be joined")
free_pages(q, 3)
lists("the second is given back")
print("  two of order 3 are one of 4, two of 4 one of 5, up to 9")

print("\n== how a buddy is found: one bit of the frame number")
for order = 3, 6 do
  print(string.format("block at %#x of order %d: buddy %#x, both together at "
    .. "%#x of order %d", p, order, p ~ (1 << order), p & ~(1 << order),
    order + 1))
end

print("\n== a block of 512 taken frame by frame, every second given back")
local frames = {}
for i = 1, 512 do frames[i] = alloc_pages(0, gfp) end
table.sort(frames)
lists("512 single frames are taken")
for i = 1, 512, 2 do free_pages(frames[i], 0) end
lists("every second is given back")
print("  half of them are free, and no two make a block: fragmentation")
for i = 2, 512, 2 do free_pages(frames[i], 0) end
lists("so are the others")

-- To do:
-- 1. You need 5 frames in a row. Which order do you ask for, and how many
--    frames are lost? (alloc_pages_exact() of the kernel gives them back.)
-- 2. Free the 512 frames in the order of their numbers, and look after each
--    128: when do large blocks appear?
