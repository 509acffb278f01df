-- Starts or stops typing of a user in a channel, and removes members whose typing has expired.
-- KEYS: typing:<channel>, the customer's set of members who type, which can only expire as a whole;
-- {typing:<channel>}:until, a hash of user -> '<expiry> <last broadcast> <expiry that was broadcast>', by which each
-- member expires alone. A member who stopped stays in it until the next broadcast is permitted
-- ARGV: user, ms that typing lasts, minimum ms between two broadcasts of a user, 1 to start or 0 to stop
-- Returns expiry: epoch ms at which typing ends, 0 when stopped; broadcast: 1 when other members must be notified
local user, ttl_ms, interval_ms, starts = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
local last_broadcast, broadcast_expiry = 0, 0
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  local member = fields[i]
  local member_expiry, member_broadcast, known_expiry = string.match(fields[i + 1], '^(%d+) (%d+) (%d+)$')
  if member == user then
    last_broadcast, broadcast_expiry = tonumber(member_broadcast), tonumber(known_expiry)
  elseif tonumber(member_expiry) <= now then
    redis.call('SREM', KEYS[1], member)
    if tonumber(member_broadcast) + interval_ms <= now then redis.call('HDEL', KEYS[2], member) end
  end
end
local expiry, must_broadcast = 0, broadcast_expiry > now
if starts then
  expiry, must_broadcast = now + ttl_ms, last_broadcast + interval_ms <= now
  redis.call('SADD', KEYS[1], user)
  redis.call('PEXPIRE', KEYS[1], ttl_ms)
  if must_broadcast then last_broadcast, broadcast_expiry = now, expiry end
else
  redis.call('SREM', KEYS[1], user)
  broadcast_expiry = 0
end
if last_broadcast > 0 then
  redis.call('HSET', KEYS[2], user, string.format('%.0f %.0f %.0f', expiry, last_broadcast, broadcast_expiry))
  redis.call('PEXPIRE', KEYS[2], math.max(ttl_ms, interval_ms))
end
return { 'expiry', string.format('%.0f', expiry), 'broadcast', must_broadcast and 1 or 0 }
