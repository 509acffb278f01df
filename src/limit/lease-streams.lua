-- Sets how many streams an instance has open under each limit, unless one of the limits would be exceeded by the
-- streams of all instances together; then it changes nothing.
-- KEYS: limits, of one tenant; each is a hash of instance -> '<open streams> <lease end, epoch ms>'
-- ARGV: instance, ms that the lease lasts; then for each limit: streams of this instance, limit (0: none)
-- Returns exceeded: position of the exceeded limit, from 1; 0 when there is none
local instance, lease_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
for i = 1, #KEYS do
  local count, limit = tonumber(ARGV[1 + 2 * i]), tonumber(ARGV[2 + 2 * i])
  local leases = redis.call('HGETALL', KEYS[i])
  for at = 1, #leases, 2 do
    local open, lease_end = string.match(leases[at + 1], '(%d+) (%d+)')
    if tonumber(lease_end) <= now then redis.call('HDEL', KEYS[i], leases[at])
    elseif leases[at] ~= instance then count = count + tonumber(open) end
  end
  if limit > 0 and count > limit then return { 'exceeded', i } end
end
for i = 1, #KEYS do
  local count = tonumber(ARGV[1 + 2 * i])
  if count == 0 then redis.call('HDEL', KEYS[i], instance)
  else
    redis.call('HSET', KEYS[i], instance, string.format('%d %.0f', count, now + lease_ms))
    redis.call('PEXPIRE', KEYS[i], lease_ms)
  end
end
return { 'exceeded', 0 }
