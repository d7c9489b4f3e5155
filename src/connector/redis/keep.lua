-- Replaces the mark of the server that the database belongs to, if it is what is expected.
--
-- KEYS: the guards. ARGV: name of the mark; the new mark; what is expected, or nothing if there must be none.
-- Returns the mark that is there then.
local found = redis.call('HGET', KEYS[1], ARGV[1])
if (found or nil) == ARGV[3] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  return ARGV[2]
end
return found
