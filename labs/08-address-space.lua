-- SPDX-License-Identifier: MIT
-- world: sim
-- 08 - The address space of a process: mappings, not memory.
-- Read 08-address-space.md beside it.
boot{mem="64M"}
local t = spawn("shell")

-- The mappings, and how much of them is in memory.
local function show_maps(title)
  print("== " .. title)
  for line in t:readfile("/proc/self/maps"):gmatch("[^\n]+") do
    print("  " .. line:gsub("%s+00000000 00:00 0", ""))
  end
  local size, rss = t:readfile("/proc/self/status"):match(
    "VmSize:%s+(%d+) kB.-VmRSS:%s+(%d+) kB")
  print("  size " .. size .. " KiB, in memory " .. rss .. " KiB\n")
end

show_maps("a new process: a stack, and nothing in memory")

local a = t:mmap("64K")
t:sbrk("32K")
show_maps("64 KiB by mmap, 32 KiB by brk: places, no frames")

t:mmap("64K")
show_maps("64 KiB more lie below, and the two are one mapping")

t:mprotect(a + 16384, "16K", "r")
show_maps("four pages in the middle become read-only: it is cut in three")

t:mprotect(a + 16384, "16K", "rw")
show_maps("they are as the rest again: one mapping")

t:touch(a, "64K", "w")
show_maps("the upper half is written: now there are frames")

t:munmap(a + 32768, "4K")
show_maps("a page is unmapped: a hole, and its frame is free")

print("== what may not be")
for _, try in ipairs{
  { "a write into the hole", t.poke, t, a + 32768, 1 },
  { "a read of address 16", t.peek, t, 16 },
  { "a mapping larger than all memory", t.mmap, t, "1T" },
  { "one at address 0", t.mmap, t, 0, "4K", "rw", "private,anonymous,fixed" },
} do
  local ok, e = pcall(table.unpack(try, 2))
  print(string.format("  %-34s %s", try[1], ok and "allowed" or e.name))
end

-- To do:
-- 1. Map 1G in a machine of 64M, with prot "r". Is it refused? With "rw"? Look
--    at /proc/sys/vm/overcommit_memory, set it to 2, and try again.
-- 2. Touch an address 64 KiB below the stack. Which line of maps changes?
