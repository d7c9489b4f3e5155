-- Claims slots, unless somebody else has entered since.
--
-- KEYS: the guards. ARGV: name and value of the writer's guard; the generation; the slots.
-- Returns the slots that a later generation holds, each followed by that generation. Instead one "": see commit.lua.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return {''}
end
local late, generation = {}, tonumber(ARGV[3])
for i = 4, #ARGV do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if held and tonumber(held) > generation then
    late[#late + 1] = ARGV[i]
    late[#late + 1] = held
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[3])
  end
end
return late
