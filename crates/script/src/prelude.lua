-- Makes the globals of scripts out of those of a fresh state. Runs once per state, before any script.
--
-- A table a script must not change is shown to it as an empty table whose metatable reads from the real one: stock Lua
-- has no read-only tables. Functions that work on tables without asking metatables would see through that, so those a
-- script is given look the real table up first. Every such function raises its errors at the line that called it, as
-- the functions of C do.
local G, host = ...
local error, getmetatable, next, pairs, pcall, rawget, rawset = error, getmetatable, next, pairs, pcall, rawget, rawset
local select, setmetatable, tonumber, tostring, type = select, setmetatable, tonumber, tostring, type
local concat, insert, remove = table.concat, table.insert, table.remove
local resume = coroutine.resume

local real_of = {} -- what is shown -> what is meant

local function refuse()
  error("Attempt to modify a readonly table", 2)
end

local function freeze(real, meta)
  local shown = {}
  real_of[shown] = real
  meta = meta or {}
  meta.__index, meta.__newindex = real, refuse
  return setmetatable(shown, meta)
end

local function expected(what, at, name, n, value)
  local got = at > n and "no value" or type(value)
  error("bad argument #" .. at .. " to '" .. name .. "' (" .. what .. " expected, got " .. got .. ")", 3)
end

-- Errors of functions in Rust arrive as values only the host can read.
local function settle(ok, ...)
  if ok then
    return true, ...
  end
  local err = ...
  if type(err) == "userdata" then
    err = host.translate(err)
  end
  return false, err
end

-- As Redis has it: of an error table only the text is caught.
local function caught(ok, ...)
  if ok then
    return true, ...
  end
  local err = ...
  if type(err) == "table" then
    local text = rawget(err, "err")
    if type(text) == "string" or type(text) == "number" then
      return false, text
    end
  end
  return false, err
end

function G.pcall(...)
  if select("#", ...) == 0 then
    return false
  end
  return caught(settle(pcall(...)))
end

-- The handler runs after the stack is unwound: one that runs on top of it cannot be interrupted.
local function handle(handler, ok, ...)
  if ok then
    return true, ...
  end
  return false, select(2, settle(pcall(handler, ...)))
end

function G.xpcall(f, handler, ...)
  if handler == nil and select("#", ...) == 0 then
    error("bad argument #2 to 'xpcall' (value expected)", 2)
  end
  return handle(handler, settle(pcall(f)))
end

function G.coroutine.resume(...)
  local co = ...
  if type(co) ~= "thread" then
    error("bad argument #1 to 'resume' (coroutine expected)", 2)
  end
  return settle(resume(...))
end

function G.getmetatable(...)
  local value = ...
  if select("#", ...) == 0 then
    error("bad argument #1 to 'getmetatable' (value expected)", 2)
  end
  if type(value) == "string" then
    return host.string_meta
  end
  if real_of[value] then
    return host.meta[value]
  end
  return getmetatable(value)
end

function G.setmetatable(...)
  local t, meta = ...
  if real_of[t] then
    error("Attempt to modify a readonly table", 0)
  end
  if type(t) ~= "table" then
    expected("table", 1, "setmetatable", select("#", ...), t)
  end
  local n = select("#", ...)
  if n < 2 or meta ~= nil and type(meta) ~= "table" then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  end
  local old = getmetatable(t)
  if type(old) == "table" and rawget(old, "__metatable") ~= nil or old ~= nil and type(old) ~= "table" then
    error("cannot change a protected metatable", 2)
  end
  return setmetatable(t, meta)
end

function G.rawset(...)
  local t, key, value = ...
  if real_of[t] then
    error("Attempt to modify a readonly table", 0)
  end
  local n = select("#", ...)
  if type(t) ~= "table" then
    expected("table", 1, "rawset", n, t)
  elseif n < 3 then
    error("bad argument #" .. n + 1 .. " to 'rawset' (value expected)", 2)
  elseif key == nil then
    error("table index is nil", 2)
  elseif key ~= key then
    error("table index is NaN", 2)
  end
  return rawset(t, key, value)
end

function G.rawget(...)
  local t, key = ...
  local n = select("#", ...)
  if type(t) ~= "table" then
    expected("table", 1, "rawget", n, t)
  elseif n < 2 then
    error("bad argument #2 to 'rawget' (value expected)", 2)
  end
  return rawget(real_of[t] or t, key)
end

function G.next(...)
  local t, key = ...
  if type(t) ~= "table" then
    expected("table", 1, "next", select("#", ...), t)
  end
  return next(real_of[t] or t, key)
end

function G.pairs(...)
  local t = ...
  if type(t) ~= "table" then
    expected("table", 1, "pairs", select("#", ...), t)
  end
  if real_of[t] then
    return G.next, t, nil
  end
  return next, t, nil
end

function G.table.insert(...)
  local t, at, value = ...
  local n = select("#", ...)
  if type(t) ~= "table" then
    expected("table", 1, "insert", n, t)
  elseif real_of[t] then
    error("Attempt to modify a readonly table", 0)
  end
  if n == 2 then
    return insert(t, at)
  elseif n ~= 3 then
    error("wrong number of arguments to 'insert'", 2)
  elseif not tonumber(at) then
    expected("number", 2, "insert", n, at)
  end
  return insert(t, at, value)
end

function G.table.remove(...)
  local t, at = ...
  local n = select("#", ...)
  if type(t) ~= "table" then
    expected("table", 1, "remove", n, t)
  elseif n > 1 and at ~= nil and not tonumber(at) then
    expected("number", 2, "remove", n, at)
  elseif at == nil then
    return remove(t)
  end
  return remove(t, at)
end

function G.load(...)
  local reader, name = ...
  if type(reader) ~= "function" then
    expected("function", 1, "load", select("#", ...), reader)
  end
  local pieces, n = {}, 0
  while true do
    local piece = reader()
    if piece == nil or piece == "" then
      break
    elseif type(piece) ~= "string" then
      return nil, "reader function must return a string"
    end
    n = n + 1
    pieces[n] = piece
  end
  return host.load(concat(pieces), name or "=(load)")
end

function G.loadstring(...)
  local text, name = ...
  if type(text) ~= "string" and type(text) ~= "number" then
    expected("string", 1, "loadstring", select("#", ...), text)
  end
  text = tostring(text)
  return host.load(text, name or text)
end

-- Functions have globals of their own: no KEYS and ARGV, less of `redis`, and while the source of a library runs almost
-- nothing. Gives what they see, and what it shows in either case.
local function globals_of_functions(nonexistent)
  local globals, redis = {}, {}
  for name, value in pairs(G) do
    globals[name] = value
  end
  for name, value in pairs(real_of[G.redis]) do
    redis[name] = value
  end
  for _, name in pairs({ "breakpoint", "debug", "replicate_commands" }) do
    redis[name] = nil
  end
  local loading = { register_function = host.register_function }
  for name, value in pairs(redis) do
    if name == "log" or name:find("^LOG_") or name:find("^REDIS_") then
      loading[name] = value
    end
  end
  globals.redis, globals.server, globals.__redis__err__handler = freeze(redis), nil, nil
  local while_loading = { redis = freeze(setmetatable(loading, nonexistent)) }
  local env = freeze(setmetatable(globals, nonexistent))
  rawset(globals, "_G", env)
  return env, setmetatable(while_loading, nonexistent), globals
end

-- Freezes what is there by now. Gives what scripts see as their globals.
return function()
  local shown_meta = {}
  local nonexistent = {
    __index = function(_, name)
      error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end,
  }
  for name, value in pairs(G) do
    if type(value) == "table" and value ~= G and not real_of[value] then
      G[name] = freeze(value)
    end
  end
  setmetatable(G, nonexistent)
  local env = freeze(G)
  rawset(G, "_G", env)
  host.functions = { globals_of_functions(nonexistent) }
  host.meta = shown_meta
  shown_meta[env] = freeze({ __index = nonexistent.__index })
  local of_strings = getmetatable("")
  host.string_meta = freeze({ __index = G.string })
  of_strings.__metatable = nil
  return env
end
