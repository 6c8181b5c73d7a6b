-- SPDX-License-Identifier: MIT
-- world: sim
-- 17 - KSM: equal pages of different processes become one.
-- Read 17-ksm.md beside it.
boot{mem="64M"}
local ksm = "/sys/kernel/mm/ksm/"

-- Three "virtual machines": 256 pages each, of which 192 are the same in all,
-- 32 are zeroes, 32 are each one's own.
local vms = {}
for i = 1, 3 do
  local t = spawn("vm" .. i)
  local a = t:mmap("1M")
  for n = 0, 191 do t:fill(a + n * 4096, 4096, "system page " .. n .. ".") end
  t:fill(a + 192 * 4096, 32 * 4096, 0)
  for n = 224, 255 do t:fill(a + n * 4096, 4096, i .. " owns " .. n) end
  t:madvise(a, "1M", "mergeable")
  vms[i] = { task = t, at = a }
end

local function state(title)
  print("== " .. title)
  for _, name in ipairs{ "pages_shared", "pages_sharing", "pages_unshared",
    "full_scans" } do
    io.write(name, " ", (readfile(ksm .. name):gsub("\n", "  ")))
  end
  local rss = 0
  for _, vm in ipairs(vms) do
    rss = rss + tonumber(vm.task:readfile("/proc/self/status"):match(
      "VmRSS:%s+(%d+)"))
  end
  print(string.format("\nresident %d KiB in all processes, %d KiB of frames\n",
    rss, meminfo().AnonPages))
end
state("before: 768 pages, each in a frame of its own")

echo(1000, ksm .. "pages_to_scan")
echo(1, ksm .. "run")
for _ = 1, 100 do
  step("20ms")
  if tonumber(readfile(ksm .. "full_scans")) >= 3 then break end
end
state("after three full scans")

local x, y = vms[1], vms[2]
print("== page 0 of the first two")
print("one frame: " .. tostring(x.task:walk(x.at).pfn ==
  y.task:walk(y.at).pfn) .. ", writable: " ..
  tostring(x.task:walk(x.at).writable))
x.task:write(x.at, "changed")
print("after a write of the first: one frame: " ..
  tostring(x.task:walk(x.at).pfn == y.task:walk(y.at).pfn) ..
  "; the second reads '" .. y.task:read(y.at, 11) .. "'\n")
state("after that write")

echo(2, ksm .. "run") -- everything is taken apart again
state("after echo 2 > run")

-- To do:
-- 1. How many frames would 10 such machines take, merged and not?
-- 2. echo(1, ksm .. "use_zero_pages") before run: which figures change?
