-- Enters the database: from here on nothing is written that was sent by whoever entered before.
--
-- KEYS: the guards. ARGV: name of the guard of the writer's seat; the holder, and their turn; 1 if somebody else may be put
-- out; when this holder entered last, or 0.
-- Returns the guard, when that was, and what the guard was, or "". Nothing if it stays as it was.
--
-- A guard has its time, so that one which Redis has taken from an older snapshot of its data is known: whoever put us out
-- entered after us.
local had, now = redis.call('HGET', KEYS[1], ARGV[1]), redis.call('TIME')
local time = string.format('%.0f', tonumber(now[1]) * 1000000 + tonumber(now[2]))
if had then
  local holder, turn, since = string.match(had, '^(%d+) (%d+) (%d+)$')
  if holder == ARGV[2] then
    if tonumber(turn) > tonumber(ARGV[3]) then
      return {}
    end
  elseif holder and ARGV[4] ~= '1' and tonumber(since) >= tonumber(ARGV[5]) then
    return {}
  end
end
local guard = ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. time
redis.call('HSET', KEYS[1], ARGV[1], guard)
return {guard, time, had or ''}
