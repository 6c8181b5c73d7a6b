-- SPDX-License-Identifier: MIT
-- world: sim
-- 18 - The memory of a container: a limit for a group of processes.
-- Read 18-container.md beside it; 18-container-metal.sh is the same with
-- programs and files of /sys/fs/cgroup.
boot{mem="64M", swap="64M"}
local box = "/sys/fs/cgroup/box"
mkdir(box)
echo("4M", box .. "/memory.max")
local t = spawn("contained")
echo(t:pid(), box .. "/cgroup.procs")

local function field(file, name)
  return tonumber(readfile(box .. "/" .. file):match("%f[%w]" .. name ..
    " (%d+)"))
end
local function state(title)
  print(string.format("%-34s memory %5d KiB, swap %5d KiB, at the limit %5d "
    .. "times, killed %d", title,
    tonumber(readfile(box .. "/memory.current")) // 1024,
    tonumber(readfile(box .. "/memory.swap.current")) // 1024,
    field("memory.events", "max"), field("memory.events", "oom_kill")))
end

print("== a group with memory.max of 4 MiB, in a machine of 64")
state("a process enters")
local a = t:mmap("12M")
t:fill(a, "3M", "x")
state("3 MiB written")
t:fill(a, "12M", "y")
state("12 MiB written")
print("free in the machine meanwhile: " .. meminfo().MemFree // 1024 .. " MiB")
assert(t:read(a, 4) == "yyyy")

-- What is charged?
print("\n== whose memory is it?")
for _, k in ipairs{ "anon", "file", "pagetables", "slab" } do
  print(string.format("%-12s %8d bytes", k, field("memory.stat", k)))
end

print("\n== a child is in the group, too")
local child = t:fork("child")
state("after fork")
local b = child:mmap("1M")
child:fill(b, "1M", "z")
state("the child writes 1 MiB")
child:exit()

print("\n== no swap any more: memory.swap.max 0 for a second group")
local small = "/sys/fs/cgroup/small"
mkdir(small)
echo("2M", small .. "/memory.max")
echo(0, small .. "/memory.swap.max")
local u = spawn("greedy")
echo(u:pid(), small .. "/cgroup.procs")
local c = u:mmap("8M")
local ok, e = pcall(u.fill, u, c, "8M", "!")
print("8 MiB in a group of 2 MiB: " .. (ok and "written" or e.name))
print("alive: " .. tostring(u:alive()) .. ", the other one: " ..
  tostring(t:alive()))
io.write((readfile(small .. "/memory.events"):gsub("\n", ", "))
  :gsub(", $", "\n"), "")

-- To do:
-- 1. memory.high instead of memory.max for the first group: is anybody ever
--    killed? What does the group pay with (now(), memory.events)?
-- 2. Two groups, a file of 8M read by both: to whom is it charged?
