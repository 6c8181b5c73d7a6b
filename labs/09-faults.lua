-- SPDX-License-Identifier: MIT
-- world: sim
-- 09 - Page faults, of the system and of one process.
-- Read 09-faults.md beside it; 09-faults-metal.sh is the same with programs.
boot{mem="64M", swap="128M"}
local t, other = spawn("mine"), spawn("other")

-- What ACTION costs: T's faults, and those that the system counted.
local function cost(title, action)
  local minor, major = t:faults()
  local was = vmstat()
  action()
  local minor2, major2 = t:faults()
  local is = vmstat()
  print(string.format("%-44s %5d %5d %8d %8d", title, minor2 - minor,
    major2 - major, is.pgfault - was.pgfault,
    is.pgmajfault - was.pgmajfault))
end

print(string.format("%-44s %11s %17s", "", "process", "system"))
print(string.format("%-44s %5s %5s %8s %8s", "", "minor", "major", "all",
  "major"))

local a
cost("64 pages mapped", function() a = t:mmap("256K") end)
cost("each read", function() t:touch(a, "256K") end)
cost("each read again", function() t:touch(a, "256K") end)
cost("each written", function() t:touch(a, "256K", "w") end)
cost("each written again", function() t:touch(a, "256K", "w") end)

local b = t:mmap("256K")
cost("64 others, written at once", function() t:touch(b, "256K", "w") end)
cost("another process writes 64 pages", function()
  other:touch(other:mmap("256K"), "256K", "w")
end)
cost("64 pages with MAP_POPULATE", function()
  t:mmap(nil, "256K", "rw", "private,anonymous,populate")
end)

-- A file: what is not in the page cache must be read from the disk.
local f = file("data", "256K")
local m = t:mmap(nil, "256K", "r", "shared", f)
cost("64 pages of a file, first time", function() t:touch(m, "256K") end)
t:munmap(m, "256K")
m = t:mmap(nil, "256K", "r", "shared", f)
cost("mapped anew, the file is in the cache", function()
  t:touch(m, "256K")
end)

-- Swapped out by pressure, and in again, without read-ahead.
echo(0, "/proc/sys/vm/page-cluster")
hog("80M"):exit()
cost("64 pages that were swapped out, read", function()
  t:touch(b, "256K")
end)

-- To do:
-- 1. With page-cluster 3 the last line has fewer major faults. How many, and
--    what became of the others? (pswpin of /proc/vmstat knows.)
-- 2. Map 2 MiB, madvise "hugepage", with /sys/kernel/mm/transparent_hugepage/
--    enabled "madvise" (see `mmkit lab`'s help("echo")): how many faults?
