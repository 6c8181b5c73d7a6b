-- SPDX-License-Identifier: MIT
-- world: sim
-- 15 - Refault: a page that went too early says so when it comes back.
-- Read 15-refault.md beside it.
boot{mem="16M"}
local old = file("yesterday's data", "8M") -- 2048 pages
local new = file("today's data", "7M") -- 1792 pages

-- Do ACTION, and print what workingset detection saw of it.
local function watch(title, action)
  local was = vmstat()
  action()
  local is, m = vmstat(), meminfo()
  print(string.format("%-26s %5d %6d %6d | %5d %6d | %5d %5d", title,
    (is.pgpgin - was.pgpgin) // 4,
    is.workingset_refault_file - was.workingset_refault_file,
    is.workingset_activate_file - was.workingset_activate_file,
    m["Active(file)"] // 4, m["Inactive(file)"] // 4,
    old:cached(), new:cached()))
end

print("pages                       from            acti- |  lists of files |"
  .. "    cached of")
print("                            disk refault vated |active inact. |"
  .. "   old   new")
watch("old file read", function() old:read(0, "8M") end)
watch("old file read again", function() old:read(0, "8M") end)
for round = 1, 4 do
  watch("new file read, round " .. round, function() new:read(0, "7M") end)
end
watch("old file read", function() old:read(0, "8M") end)

-- To do:
-- 1. Make the new file 12M, more than all of memory can hold beside anything.
--    Does it still push out what is active? Compare the refault distance.
-- 2. boot{mem="16M", policy="mglru"}, or "sieve", "s3fifo", "arc": how many
--    rounds do they take?
