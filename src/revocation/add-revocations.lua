-- Adds revocations, unless the list would exceed its limit; then it changes nothing.
-- KEYS: list, a hash of subject -> signed times; its version, which every change replaces
-- ARGV: new version, limit, ms that both are kept at least; number of expired subjects, these; then subjects and values
-- Returns full: 1 when the limit is reached
local expired = tonumber(ARGV[4])
for i = 5, 4 + expired do redis.call('HDEL', KEYS[1], ARGV[i]) end
local count = redis.call('HLEN', KEYS[1])
for i = 5 + expired, #ARGV, 2 do count = count + 1 - redis.call('HEXISTS', KEYS[1], ARGV[i]) end
if count > tonumber(ARGV[2]) then return { 'full', 1 } end
for i = 5 + expired, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], ARGV[1])
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < tonumber(ARGV[3]) then redis.call('PEXPIRE', key, ARGV[3]) end
end
return { 'full', 0 }
