-- SPDX-License-Identifier: MIT
-- world: sim
-- 07 - vmalloc: in a row for the CPU, anywhere in memory.
-- Read 07-vmalloc.md beside it.
boot{mem="16M"}

-- Memory in pieces: all single frames are taken, every second is given back,
-- and of what was left in blocks none of two frames or more stays.
local quiet = "|__GFP_NORETRY|__GFP_NOWARN"
local function take_all(order, gfp)
  local t = {}
  while true do
    local ok, pfn = pcall(alloc_pages, order, gfp .. quiet)
    if not ok then return t end
    t[#t + 1] = pfn
  end
end
local frames = take_all(0, "GFP_HIGHUSER_MOVABLE")
table.sort(frames)
for i = 1, #frames, 2 do free_pages(frames[i], 0) end
for order = 10, 1, -1 do take_all(order, "GFP_ATOMIC") end
drain_pages()
local single, larger = buddyinfo().DMA[0], 0
for order = 1, 10 do larger = larger + buddyinfo().DMA[order] end
print("== memory in pieces")
print("free: " .. single .. " single frames, " .. larger .. " larger blocks")

print("\n== 64 KiB")
local ok, e = pcall(kmalloc, "64K", "GFP_KERNEL" .. quiet)
print("kmalloc: " .. (ok and "done" or e.name) ..
  " (16 frames in a row are wanted)")
local p = vmalloc("64K")
print("vmalloc: " .. string.format("%#x", p))

print("\n== the first pages of it")
for i = 0, 5 do
  print(string.format("page %d at %#x is frame %#x", i, p + i * 4096,
    virt_to_pfn(p + i * 4096)))
end
local q = vmalloc("8K")
print("\n== a second area: between the two lies a page that nobody maps")
print(string.format("64 KiB from %#x on end at %#x, the next begins at %#x",
  p, p + 65536, q))
cat("/proc/vmallocinfo", "lab")
local behind, err = pcall(virt_to_pfn, p + 65536)
print("a frame behind the guard page's address: " ..
  (behind and "yes" or err.name))

print("\n== and the direct map")
local k = kmalloc(4096)
print(string.format("kmalloc at %#x is frame %#x: the address less the "
  .. "beginning\nof the direct map, %#x, divided by 4096",
  k, virt_to_pfn(k), k - virt_to_pfn(k) * 4096))

vfree(p)
vfree(q)
kfree(k)
print("\nareas left: " .. select(2,
  readfile("/proc/vmallocinfo"):gsub("lab ", "")))

-- To do:
-- 1. How many frames does vmalloc("1M") take more than 256? (meminfo() before
--    and after: PageTables, VmallocUsed, MemFree.)
-- 2. Why must a device that reads memory by itself (DMA) not be given an
--    address of vmalloc()?
