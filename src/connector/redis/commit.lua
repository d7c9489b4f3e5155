-- Writes a part of a group, each write under its condition, unless somebody else has entered since.
--
-- KEYS: the guards; then, for each write, the key of its version, the key of its data, and, if the third of its
-- arguments is 1, the key under which release 1 had the record.
-- ARGV: seconds after which records are forgotten, or nothing; how many guards; name and wanted value of each guard, that
-- of the writer first; then five for each write: which guard holds it, what is expected ("*" anything, "-" nothing, else
-- a version), whether there is a key of release 1, the version, and the value. Without a version it is a removal.
--
-- Returns pairs: the number of a write that was not done, and why (1: something else is there, 2: its guard is another's).
-- Instead of all pairs one 0: somebody else has entered since, and nothing was done.
local ttl, guards, at, key = ARGV[1], tonumber(ARGV[2]), 3, 2
local fields = {}
for i = 1, guards do
  fields[i] = ARGV[at + 2 * i - 2]
end
local found, held = redis.call('HMGET', KEYS[1], unpack(fields)), {}
for i = 1, guards do
  held[i] = found[i] == ARGV[at + 2 * i - 1]
end
if not held[1] then
  return {0}
end
at = at + 2 * guards

-- The text under a key; nil if there is nothing, "" if something else is there.
local function text(name)
  local found = redis.pcall('GET', name)
  if type(found) == 'table' then
    return ''
  end
  return found or nil
end

-- What release 1 has of a record: its version, if the key holds such a record at all.
local function old(name)
  local found = text(name)
  if not found or string.sub(found, 1, 1) ~= '{' then
    return nil
  end
  local read, envelope = pcall(cjson.decode, found)
  if not read or type(envelope['_v']) ~= 'number' or envelope['_d'] == nil then
    return nil
  end
  return string.format('%.0f', envelope['_v'])
end

local refused, sets, gone, number = {}, {}, {}, 0
while at <= #ARGV do
  local guard, expected, legacy = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2] == '1'
  local version, value = ARGV[at + 3], ARGV[at + 4]
  local kv, kd, kold = KEYS[key], KEYS[key + 1], legacy and KEYS[key + 2] or nil
  key = key + (legacy and 3 or 2)
  local why
  if not held[guard] then
    why = 2
  elseif expected ~= '*' then
    local present = text(kv)
    local aged = not present and kold and old(kold) or nil
    local done = false
    if version == '' then
      done = not present and not aged
    elseif present == version then
      done = text(kd) == value
    end
    if not done and (present or aged or '-') ~= expected then
      why = 1
    end
  end
  if why then
    refused[#refused + 1] = number
    refused[#refused + 1] = why
  elseif version == '' then
    gone[#gone + 1] = kv
    gone[#gone + 1] = kd
    if kold and old(kold) then
      gone[#gone + 1] = kold
    end
  else
    sets[#sets + 1] = kv
    sets[#sets + 1] = version
    sets[#sets + 1] = kd
    sets[#sets + 1] = value
    -- What forgets a record must not bring back an older one.
    if ttl ~= '' and kold and old(kold) then
      gone[#gone + 1] = kold
    end
  end
  at = at + 5
  number = number + 1
end

if #sets > 0 and ttl == '' then
  redis.call('MSET', unpack(sets))
elseif #sets > 0 then
  for i = 1, #sets, 2 do
    redis.call('SET', sets[i], sets[i + 1], 'EX', ttl)
  end
end
if #gone > 0 then
  redis.call('DEL', unpack(gone))
end
return refused
