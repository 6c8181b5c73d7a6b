-- SPDX-License-Identifier: MIT
-- world: sim
-- 06 - Slab: many small equal objects out of frames.
-- Read 06-slab.md beside it.
boot{mem="64M"}
local task = kmem_cache_create("my_task", 400)

local function state(title)
  local active, objects, size, perslab =
    readfile("/proc/slabinfo"):match("\nmy_task +(%d+) +(%d+) +(%d+) +(%d+)")
  print(string.format("%-32s in use %3d of %3d, %d bytes each, %d in a slab",
    title, active, objects, size, perslab))
end

print("== a cache of objects of 400 bytes")
state("just made")
local first = task:alloc()
state("one object")
local objects = { first }
for i = 2, 25 do objects[i] = task:alloc() end
state("25 objects")

print("\n== where they lie")
for i = 1, 12 do
  print(string.format("object %2d at %#x, frame %#x, %5d bytes from the "
    .. "first", i, objects[i], virt_to_pfn(objects[i]), objects[i] - first))
end

print("\n== freed last, handed out first: it is still in the CPU's cache")
local last = objects[25]
task:free(last)
print("the same address again: " .. tostring(task:alloc() == last))

for i, o in ipairs(objects) do task:free(o) end
state("all are free")
print("frames that kmem_cache_shrink() gives back: " .. task:shrink())
state("afterwards")

print("\n== kmalloc: caches for every size")
for _, size in ipairs{ 1, 8, 33, 100, 200, 1000, 4096, 8192, 8193, 100000 } do
  local p = kmalloc(size)
  print(string.format("kmalloc(%6d) gives %6d bytes, %3d %% unused", size,
    ksize(p), 100 - 100 * size // ksize(p)))
  kfree(p)
end

print("\n== an object that is still in use")
local lost = task:alloc()
local ok, e = pcall(task.destroy, task)
print("destroy: " .. (ok and "done" or e.name))
task:free(lost)
print("destroy: " .. (pcall(task.destroy, task) and "done" or "no"))

-- To do:
-- 1. Make the objects 2100 bytes. How many are in a slab, how many frames has
--    one, and how much of it is lost? And with 2049?
-- 2. boot{mem="64M", slub_debug="FZPU"}: what becomes of the size of an
--    object, and why?
