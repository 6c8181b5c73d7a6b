-- SPDX-License-Identifier: MIT
-- world: sim
-- 12 - fork and copy on write: a copy that nobody makes before it is needed.
-- Read 12-cow.md beside it.
boot{mem="64M"}
local parent = spawn("parent")
local a = parent:mmap("256K") -- 64 pages
parent:fill(a, "256K", "parent's")

local before = meminfo().MemFree
local child = parent:fork("child")
print("== fork of a process with 64 pages")
print("KiB gone:", before - meminfo().MemFree,
  "(page tables, mappings; not 256)")

-- Who has which frame, and may they write?
local function look(title)
  print("\n== " .. title)
  for i = 0, 2 do
    local p, c = parent:walk(a + i * 4096), child:walk(a + i * 4096)
    print(string.format("page %d: %s, mapped by %d; writable: parent %s, "
      .. "child %s", i, p.pfn == c.pfn and "one frame" or "two frames",
      parent:page(a + i * 4096).mapcount, p.writable, c.writable))
  end
end
look("after fork: each page has one frame, and nobody may write to it")

local was = vmstat().pgfault
child:write(a, "child's!")
print("\n== the child writes to page 0: " .. vmstat().pgfault - was ..
  " fault")
look("page 0 was copied for the child")
print("page 0: parent reads '" .. parent:read(a, 8) .. "', child reads '" ..
  child:read(a, 8) .. "'")

local frame0 = parent:walk(a).pfn
parent:write(a, "p.again!")
print("\n== the parent writes to page 0: it is the last who has the frame")
print("copied: " .. tostring(parent:walk(a).pfn ~= frame0))

child:exit()
local frame1 = parent:walk(a + 4096).pfn
was = vmstat().pgfault
parent:touch(a, "256K", "w")
print("\n== the child has gone, the parent writes everywhere")
print("faults: " .. vmstat().pgfault - was .. ", page 1 was copied: " ..
  tostring(parent:walk(a + 4096).pfn ~= frame1))

-- To do:
-- 1. Fork twice. How many faults and how many copies does it take until all
--    three have written to page 0?
-- 2. Map with "shared,anonymous" instead of private. What does the child see,
--    and what is different in look()?
