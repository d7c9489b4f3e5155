-- Caches records.
--
-- KEYS: three for each record: of its version, its data, and its stamp. ARGV: seconds after which they are forgotten, or
-- nothing; the stamp; then version and data of each record.
--
-- One script, so that nobody finds one of the three without the others.
local ttl, stamp = ARGV[1], ARGV[2]
local function put(key, value)
  if ttl == '' then
    redis.call('SET', key, value)
  else
    redis.call('SET', key, value, 'EX', ttl)
  end
end
for i = 1, #KEYS / 3 do
  put(KEYS[3 * i - 2], ARGV[2 * i + 1])
  put(KEYS[3 * i - 1], ARGV[2 * i + 2])
  put(KEYS[3 * i], stamp)
end
