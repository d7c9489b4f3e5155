#!lua flags=allow-oom
-- The registry of one cluster, in one hash: revision `r`, view `v`, stamp `s`, and for each lease `l` and the name of the node, with
-- when it is over, incarnation, grant and what it says of its holder. That memory is full must end no lease: hence the flag.
--
-- KEYS: the hash. ARGV: what to do; the channel on which changes are told; the revision that the caller knows, or "*" if it wants
-- no view; then, for all but "look", name, incarnation and grant of a lease; then for "renew" 1 if it is begun, its length in
-- milliseconds, and what it says; for "swap" the expected revision and the view.
--
-- Returns, for "look" and for a lease that is the caller's: "yours", revision, view or nothing, stamp, and four for each lease:
-- name, incarnation, grant, what it says. Else "held" with incarnation, grant, what it says and the milliseconds that are left,
-- or "lapsed"; for a swap "done" or "other" with the revision, or "unheld".
local key, act, known, name, incarnation, grant = KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local all, revision, view, stamp, leases, over = redis.call('HGETALL', key), '0', false, nil, {}, {}
for i = 1, #all, 2 do
  local field, value = all[i], all[i + 1]
  if field == 'r' then
    revision = value
  elseif field == 'v' then
    view = value
  elseif field == 's' then
    stamp = value
  else
    local ends, by, which, about = string.match(value, '^(%d+) (%d+) (%d+) (.*)$')
    if tonumber(ends) > now then
      leases[string.sub(field, 2)] = {ends = tonumber(ends), by = by, grant = which, about = about}
    else
      over[#over + 1] = field
    end
  end
end
local is_changed = #over > 0
if is_changed then
  redis.call('HDEL', key, unpack(over))
end

-- One that is prolonged ends no earlier than it would have.
local function keep(ends, about)
  redis.call('HSET', key, 'l' .. name, string.format('%.0f %s %s ', ends, incarnation, grant) .. about)
  leases[name] = {ends = ends, by = incarnation, grant = grant, about = about}
end

local held = name and leases[name]
local is_own = held and held.by == incarnation
local is_this = is_own and held.grant == grant
local answer
if act == 'renew' then
  local is_begun, ends, about = ARGV[7] == '1', now + tonumber(ARGV[8]), ARGV[9]
  if held and not is_own then
    answer = {'held', held.by, held.grant, held.about, string.format('%.0f', held.ends - now)}
  elseif is_this then
    is_changed = is_changed or held.about ~= about
    keep(math.max(ends, held.ends), about)
  elseif not is_begun or (held and tonumber(held.grant) > tonumber(grant)) then
    answer = {'lapsed'}
  else
    is_changed = true
    keep(ends, about)
  end
elseif act == 'release' then
  answer = {'released'}
  if is_this then
    is_changed = true
    redis.call('HDEL', key, 'l' .. name)
  end
elseif act == 'swap' then
  if not is_this then
    answer = {'unheld'}
  elseif revision ~= ARGV[7] then
    answer = {'other', revision}
  else
    is_changed = true
    revision = string.format('%.0f', tonumber(revision) + 1)
    redis.call('HSET', key, 'r', revision, 'v', ARGV[8])
    answer = {'done', revision}
  end
end

if is_changed then
  -- The first one is of the time, so that a registry that was lost and begun anew has another.
  local first = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
  stamp = string.format('%.0f', stamp and tonumber(stamp) + 1 or first)
  redis.call('HSET', key, 's', stamp)
  redis.call('PUBLISH', ARGV[2], '')
end
if not answer then
  answer = {'yours', revision, known ~= '*' and known ~= revision and view, stamp or '0'}
  for holder, lease in pairs(leases) do
    for _, part in ipairs({holder, lease.by, lease.grant, lease.about}) do
      answer[#answer + 1] = part
    end
  end
end
return answer
