-- SPDX-License-Identifier: MIT
-- world: sim
-- 14 - Swap: more memory than there is, and what it costs.
-- Read 14-swap.md beside it.
boot{mem="16M", swap="64M", sysctl={["vm.page-cluster"]=0}}
local t = spawn("program")
local a = t:mmap("1M")
for i = 0, 255 do t:poke(a + i * 4096, 1000 + i) end

local function entry(title, addr)
  local w = t:walk(addr)
  print(string.format("%-22s %s, %s", title, w.entries[#w.entries].raw,
    w.state == "swap" and "swapped to page " .. w.offset .. " of area " ..
    w.type or "frame " .. string.format("%#x", w.pfn)))
end

print("== an entry of the page table, before and after")
entry("in memory:", a)
local pressure = hog("24M")
entry("swapped out:", a)
step("1s") -- what is on its way to the disk arrives
cat("/proc/swaps")
t:cat("/proc/self/status", "^VmRSS")
t:cat("/proc/self/status", "^VmSwap")

print("\n== it is read: a major fault")
local minor, major = t:faults()
local before = now()
local value = t:peek(a)
local minor2, major2 = t:faults()
print("value " .. value .. ", minor faults " .. minor2 - minor ..
  ", major faults " .. major2 - major)
print("nanoseconds: " .. now() - before)
before = now()
t:peek(a)
print("once more:   " .. now() - before)

-- The whole 1 MiB, with pressure gone; then with read-ahead.
pressure:exit()
local function read_all(title)
  local was = vmstat()
  local m, j = t:faults()
  before = now()
  for i = 0, 255 do assert(t:peek(a + i * 4096) == 1000 + i) end
  local m2, j2 = t:faults()
  local is = vmstat()
  print(string.format("%-28s minor %4d, major %4d, pages in %4d, %7d us",
    title, m2 - m, j2 - j, is.pswpin - was.pswpin, (now() - before) // 1000))
end
print("\n== 256 pages come back, each with its own value")
hog("24M"):exit()
step("1s")
read_all("page by page:")
hog("24M"):exit()
step("1s")
echo(3, "/proc/sys/vm/page-cluster")
read_all("with read-ahead of 8:")

-- To do:
-- 1. Read the pages in random order (math.random). What is read-ahead worth
--    then? With page-cluster 5?
-- 2. boot without swap: hog("24M") is refused (lesson 8). Allow it by
--    echo(1, "/proc/sys/vm/overcommit_memory"). Who dies, and what is logged?
