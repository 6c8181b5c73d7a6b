-- SPDX-License-Identifier: MIT
-- prelude.lua - what of the lab is written in Lua. The methods of tasks come
-- as argument; everything else is a global.
local task = ...

-- Keys of T: numbers first, then strings, then the rest as text.
local function sorted_keys(t)
  local keys = {}
  for k in next, t do keys[#keys + 1] = k end
  local rank = { number = 1, string = 2 }
  table.sort(keys, function(a, b)
    local ra, rb = rank[type(a)] or 3, rank[type(b)] or 3
    if ra ~= rb then return ra < rb end
    if ra < 3 then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

-- Lua's own order depends on where the host put things; scripts repeat.
function pairs(t)
  local meta = getmetatable(t)
  if meta and meta.__pairs then return meta.__pairs(t) end
  local keys, i = sorted_keys(t), 0
  return function()
    repeat
      i = i + 1
      if keys[i] == nil then return nil end
    until t[keys[i]] ~= nil
    return keys[i], t[keys[i]]
  end, t, nil
end

-- Files of /proc and /sys ----------------------------------------------------

local function print_lines(text, pattern)
  if not pattern then
    io.write(text)
    return
  end
  for line in text:gmatch("[^\n]*\n") do
    if line:sub(1, -2):find(pattern) then io.write(line) end
  end
end

function cat(path, pattern) print_lines(readfile(path), pattern) end

function task:cat(path, pattern) print_lines(self:readfile(path), pattern) end

function vmstat()
  local t = {}
  for k, v in readfile("/proc/vmstat"):gmatch("(%S+) (%d+)") do
    t[k] = math.tointeger(v)
  end
  return t
end

function meminfo()
  local t = {}
  for k, v in readfile("/proc/meminfo"):gmatch("(%S+):%s+(%d+)") do
    t[k] = math.tointeger(v)
  end
  return t
end

function buddyinfo(node)
  local t = {}
  for n, zone, counts in
    readfile("/proc/buddyinfo"):gmatch("Node (%d+), zone +(%S+)([ %d]+)") do
    if math.tointeger(n) == (node or 0) then
      local orders, order = {}, 0
      for c in counts:gmatch("%d+") do
        orders[order] = math.tointeger(c)
        order = order + 1
      end
      t[zone] = orders
    end
  end
  return t
end

-- "Node 0, zone   Normal" begins a zone, "per-node stats" what is the node's.
function zones()
  local nodes, at = {}, nil
  for line in readfile("/proc/zoneinfo"):gmatch("[^\n]+") do
    local node, zone = line:match("^Node (%d+), zone%s+(%S+)")
    if node then
      node = math.tointeger(node)
      nodes[node] = nodes[node] or {}
      nodes[node][zone] = {}
      at = nodes[node][zone]
      at.__node = nodes[node]
    elseif line:find("per-node stats", 1, true) then
      at = at.__node
    elseif line:find("^  pages free") then
      for _, n in next, nodes do
        for _, z in next, n do
          if type(z) == "table" and z.__node and not z.free then at = z end
        end
      end
      at.free = math.tointeger(line:match("%d+"))
    elseif at and not line:find("^%s+cpu:") then
      local k, v = line:match("^%s+([%w_]+):?%s+(%d+)$")
      if k and at[k] == nil then at[k] = math.tointeger(v) end
    end
  end
  for _, n in next, nodes do
    for _, z in next, n do
      if type(z) == "table" then z.__node = nil end
    end
  end
  return nodes
end

function slabs()
  local t = {}
  for line in readfile("/proc/slabinfo"):gmatch("[^\n]+") do
    local name, active, objects, size, per, pages =
      line:match("^(%S+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)")
    if name then
      t[name] = {
        active = math.tointeger(active), objects = math.tointeger(objects),
        size = math.tointeger(size), perslab = math.tointeger(per),
        pages = math.tointeger(pages),
      }
    end
  end
  return t
end

function task:vmas()
  local list, at = {}, nil
  for line in self:readfile("/proc/self/smaps"):gmatch("[^\n]+") do
    local from, to, perms, offset, name =
      line:match("^(%x+)%-(%x+) (%S+) (%x+) %S+ %d+%s*(.*)$")
    if from then
      at = {
        start = tonumber(from, 16), ["end"] = tonumber(to, 16),
        perms = perms, offset = tonumber(offset, 16), name = name,
      }
      list[#list + 1] = at
    else
      local k, v = line:match("^(%S+):%s+(.-)%s*$")
      if k then at[k] = math.tointeger(v:match("^(%d+) kB$")) or v end
    end
  end
  return list
end

function task:page(addr)
  local e = self:walk(addr)
  return e.pfn and frame(e.pfn) or nil
end

function task:rmap(addr)
  local p = self:page(addr)
  return p and p.mappers or {}
end

-- Looking at values -----------------------------------------------------------

local function text_of(v, indent, out)
  if type(v) ~= "table" or getmetatable(v) then
    out[#out + 1] = type(v) == "string" and string.format("%q", v)
      or tostring(v)
    return
  end
  if next(v) == nil then
    out[#out + 1] = "{}"
    return
  end
  local list = #v
  out[#out + 1] = "{\n"
  for k, x in pairs(v) do
    out[#out + 1] = indent .. "  "
    if not (math.type(k) == "integer" and k >= 1 and k <= list) then
      local plain = type(k) == "string" and k:find("^[%a_][%w_]*$")
      out[#out + 1] = (plain and k or "[" .. string.format("%q", k) .. "]")
        .. " = "
    end
    text_of(x, indent .. "  ", out)
    out[#out + 1] = ",\n"
  end
  out[#out + 1] = indent .. "}"
end

function show(v)
  local out = {}
  text_of(v, "", out)
  print(table.concat(out))
end

function state()
  local s = {
    meminfo = meminfo(), vmstat = vmstat(), zones = zones(), slabs = slabs(),
    tasks = {},
  }
  for _, t in ipairs(tasks()) do
    if not t:busy() then
      local maps = {}
      for _, m in ipairs(t:vmas()) do
        maps[string.format("%x", m.start)] = m
      end
      s.tasks[t:name() .. "-" .. t:pid()] = maps
    end
  end
  return s
end

local function diff_into(list, path, a, b)
  if type(a) == "table" and type(b) == "table" then
    local both = {}
    for k in next, a do both[k] = true end
    for k in next, b do both[k] = true end
    for k in pairs(both) do
      diff_into(list, path == "" and tostring(k) or path .. "." .. tostring(k),
        a[k], b[k])
    end
  elseif a ~= b then
    local function word(v)
      if v == nil then return "nothing" end
      return type(v) == "table" and "a table" or tostring(v)
    end
    local line = path .. ": " .. word(a) .. " -> " .. word(b)
    if math.type(a) == "integer" and math.type(b) == "integer" then
      line = line .. string.format(" (%+d)", b - a)
    end
    list[#list + 1] = line
  end
end

function diff(a, b)
  local list = {}
  diff_into(list, "", a, b)
  return list
end

-- Pressure --------------------------------------------------------------------

function hog(size, name)
  local t = spawn(name or "hog")
  local at = t:mmap(size)
  t:touch(at, size, "w")
  return t
end

-- The prompt --------------------------------------------------------------------

-- The I-th global whose name begins as TEXT, "a.b" looks into tables.
function _complete(text, i)
  local where, prefix, word = _G, "", text
  for part in text:gmatch("([%a_][%w_]*)%.") do
    where = type(where) == "table" and where[part] or {}
    prefix = prefix .. part .. "."
  end
  word = text:sub(#prefix + 1)
  local found = {}
  if type(where) ~= "table" then return nil end
  for k in pairs(where) do
    if type(k) == "string" and k:sub(1, #word) == word
        and k:sub(1, 1) ~= "_" then
      found[#found + 1] = prefix .. k
    end
  end
  return found[i]
end
