-- SPDX-License-Identifier: MIT
-- Random calls by several tasks on a machine that is too small; what they wrote
-- must be what they read. Arguments: seed, steps. The last line repeats.
local seed, steps = tonumber(arg[1]), tonumber(arg[2])
math.randomseed(seed)
local policies = { "classic", "mglru" }
boot{
  mem = "8M", swap = "16M", seed = seed, cpus = math.random(2),
  policy = policies[math.random(#policies)],
  thp = math.random(2) == 1 and "always" or "never", ksm = math.random(2) == 1,
}

local all, files, errors, groups = {}, {}, {}, 0
local PAGE = PAGE_SIZE
local function pick(list) return list[math.random(#list)] end

-- A task with its regions: {at, pages, words = {page -> value}, prot}.
local function grow(t, regions)
  local e = { task = t, regions = {} }
  for i, r in ipairs(regions or {}) do
    local words = {}
    for k, v in pairs(r.words) do words[k] = v end
    e.regions[i] = { at = r.at, pages = r.pages, words = words, prot = r.prot }
  end
  all[#all + 1] = e
  return e
end

local function lose(e)
  for i, x in ipairs(all) do
    if x == e then table.remove(all, i) return end
  end
end

local acts = {}

function acts.spawn() if #all < 6 then grow(spawn("t" .. #all)) end end

function acts.fork(e)
  if #all < 6 then grow(e.task:fork("f" .. #all), e.regions) end
end

function acts.exit(e)
  if #all > 1 then e.task:exit(1) lose(e) end
end

function acts.mmap(e)
  local pages = math.random(200)
  local at = e.task:mmap(pages * PAGE)
  table.insert(e.regions, { at = at, pages = pages, words = {}, prot = "rw" })
end

function acts.munmap(e, r, i)
  e.task:munmap(r.at, r.pages * PAGE)
  table.remove(e.regions, i)
end

function acts.poke(e, r)
  local p, v = math.random(r.pages) - 1, math.random(1 << 40)
  e.task:poke(r.at + p * PAGE + 8 * math.random(0, 511), 0)
  e.task:poke(r.at + p * PAGE, v)
  r.words[p] = v
end

function acts.fill(e, r)
  local v = math.random(1 << 40)
  for p = 0, r.pages - 1 do
    e.task:poke(r.at + p * PAGE, v + p)
    r.words[p] = v + p
  end
end

local function look(e, r, p)
  local v = e.task:peek(r.at + p * PAGE)
  if v ~= (r.words[p] or 0) then
    error(string.format("LOST: page %d of 0x%x holds %d, not %d", p, r.at, v,
      r.words[p] or 0), 0)
  end
end

function acts.peek(e, r)
  for _ = 1, 20 do look(e, r, math.random(r.pages) - 1) end
end

function acts.touch(e, r) e.task:touch(r.at, r.pages * PAGE) end

function acts.mprotect(e, r)
  local prot = pick{ "r", "rw", "none" }
  e.task:mprotect(r.at, r.pages * PAGE, prot)
  r.prot = prot
end

function acts.mremap(e, r)
  local pages = math.random(200)
  r.at = e.task:mremap(r.at, r.pages * PAGE, pages * PAGE)
  for p in pairs(r.words) do if p >= pages then r.words[p] = nil end end
  r.pages = pages
end

function acts.madvise(e, r)
  local what = pick{ "cold", "pageout", "willneed", "mergeable", "unmergeable",
    "hugepage", "nohugepage", "populate_read", "collapse", "sequential" }
  e.task:madvise(r.at, r.pages * PAGE, what)
end

function acts.dontneed(e, r)
  e.task:madvise(r.at, r.pages * PAGE, "dontneed")
  r.words = {}
end

function acts.mlock(e, r)
  e.task:mlock(r.at, PAGE)
  e.task:munlock(r.at, PAGE)
end

function acts.mincore(e, r) e.task:mincore(r.at, r.pages * PAGE) end

function acts.look(e, r)
  e.task:page(r.at)
  e.task:rmap(r.at)
  e.task:vmas()
  zones()
end

function acts.file(e)
  if #files < 3 then
    files[#files + 1] = pick{ file, tmpfile }("f" .. #files, "256K")
  end
  local f = pick(files)
  f:write(math.random(0, 60) * PAGE, string.rep("x", 3000))
  f:read(0, 65536)
end

function acts.map_file(e)
  if #files == 0 then return end
  local a = e.task:mmap(nil, "64K", "rw", pick{ "shared", "private" },
    pick(files))
  e.task:fill(a, "64K", 7)
  e.task:msync(a, "64K")
  e.task:munmap(a, "64K")
end

function acts.group(e)
  local g = "/sys/fs/cgroup/g" .. groups
  groups = groups + 1
  mkdir(g)
  echo("4M", g .. "/memory.high")
  echo(e.task:pid(), g .. "/cgroup.procs")
end

function acts.start(e, r)
  e.task:start("touch", r.at, r.pages * PAGE)
  step("50us")
  e.task:wait()
end

function acts.swap() swapoff(swapon("1M")) end

function acts.tune()
  echo(math.random(0, 200), "/proc/sys/vm/swappiness")
  echo(pick{ "classic", "mglru", "clock" }, "/proc/sys/vm/reclaim_policy")
end

function acts.step() step("100us") end

-- What may be refused, and what a task may get for it.
local known = {}
for name in ("ENOMEM EINVAL EAGAIN EACCES EBUSY ENOSPC EFAULT SIGSEGV SIGBUS " ..
    "SIGKILL ESRCH EPERM ENOENT"):gmatch("%S+") do known[name] = true end

local names = {}
for name in pairs(acts) do names[#names + 1] = name end
for _ = 1, 6 do
  table.insert(names, "fill")
  table.insert(names, "peek")
  table.insert(names, "mmap")
end

local function one()
  if #all == 0 then grow(spawn("t")) end
  local e = pick(all)
  local i = #e.regions > 0 and math.random(#e.regions)
  local name = pick(names)
  local r = i and e.regions[i]
  if not r and debug.getinfo(acts[name], "u").nparams > 1 then return end
  local ok, err = pcall(acts[name], e, r, i)
  if not ok then
    if type(err) ~= "table" or not known[err.name] then error(err, 0) end
    errors[err.name] = (errors[err.name] or 0) + 1
  end
  -- The OOM killer may have been there.
  for k = #all, 1, -1 do
    if not all[k].task:alive() then table.remove(all, k) end
  end
end

local ok, why = pcall(function()
  for _ = 1, steps do one() end
  local n, text = audit()
  assert(n == 0, text)
  for _, e in ipairs(all) do e.task:exit() end
  n, text = audit()
  assert(n == 0, text)
end)
if not ok then
  print(tostring(why))
  print("SEED=" .. seed)
  os.exit(1, true)
end
local list = {}
for name, n in pairs(errors) do list[#list + 1] = name .. "=" .. n end
print(seed, digest(), table.concat(list, " "))
